/* perilune.NAME: check the arguments, call the engine, push the result; no logic here. */
#include "bind/bind.h"

#include "core/NAME.h"
#include "lua/args.h"

#define GUARD_CLASS "perilune.NAME"

/* The object is made closed and gets its class before the engine is opened: whatever fails then,
 * its finalizer finds something valid. */
static int l_new(lua_State *L) {
    static const char *const known[] = {"limit", NULL};
    lua_Integer limit = PN_GUARD_LIMIT_DEFAULT;
    if (pn_check_options(L, 1, known)) {
        limit = pn_field_integer(L, 1, "limit", 1, LUA_MAXINTEGER, limit);
    }
    pn_NAME **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    pn_push_class(L, GUARD_CLASS);
    lua_setmetatable(L, -2);
    *box = pn_NAME_create(&pn_lua_of(L)->actor->ledger, (uint64_t)limit);
    if (*box == NULL) return pn_push_error(L, PN_ENOMEM, NULL);
    return 1;
}

static pn_NAME *check_open(lua_State *L) {
    pn_NAME **box = luaL_checkudata(L, 1, GUARD_CLASS);
    if (*box == NULL) pn_raise(L, "the object is closed");
    return *box;
}

static int l_add(lua_State *L) {
    pn_NAME *self = check_open(L);
    lua_Integer amount = luaL_checkinteger(L, 2);
    luaL_argcheck(L, amount >= 0, 2, "must not be negative");
    return pn_push_result(L, pn_NAME_add(self, (uint64_t)amount));
}

static int l_value(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)pn_NAME_value(check_open(L)));
    return 1;
}

/* close, __close and __gc are one path, which may be taken again. */
static int l_close(lua_State *L) {
    pn_NAME **box = luaL_checkudata(L, 1, GUARD_CLASS);
    pn_NAME *self = *box;
    *box = NULL;
    pn_NAME_destroy(self);
    return 0;
}

static const luaL_Reg object_methods[] = {
    {"add", l_add},
    {"value", l_value},
    {"close", l_close},
    {NULL, NULL},
};

static const luaL_Reg object_metamethods[] = {
    {"__gc", l_close},
    {"__close", l_close},
    {NULL, NULL},
};

const pn_class pn_class_NAME = {GUARD_CLASS, object_methods, object_metamethods};

const luaL_Reg pn_NAME_functions[] = {
    {"new", l_new},
    {NULL, NULL},
};
