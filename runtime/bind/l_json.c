/* perilune.json: encode, decode, array, null. */
#include "bind/bind.h"

#include "lua/args.h"
#include "lua/json_value.h"

static int l_encode(lua_State *L) {
    static const char *const known[] = {"indent", "max_depth", "max_size", NULL};
    pn_json_style style = {0};
    luaL_checkany(L, 1);
    if (pn_check_options(L, 2, known)) {
        style.indent = (uint32_t)pn_field_integer(L, 2, "indent", 0, PN_JSON_INDENT_MAX, 0);
        style.depth_max = (uint32_t)pn_field_integer(L, 2, "max_depth", 1, PN_JSON_DEPTH_MAX, 0);
        style.size_max_bytes = pn_field_size(L, 2, "max_size", 0);
    }
    lua_settop(L, 1);
    return pn_json_encode(L, 1, &style);
}

static int l_decode(lua_State *L) {
    static const char *const known[] = {"max_depth", "max_size", NULL};
    pn_json_limits limits = {0};
    luaL_checktype(L, 1, LUA_TSTRING);
    if (pn_check_options(L, 2, known)) {
        limits.depth_max = (uint32_t)pn_field_integer(L, 2, "max_depth", 1, PN_JSON_DEPTH_MAX, 0);
        limits.size_max_bytes = pn_field_size(L, 2, "max_size", 0);
    }
    size_t size;
    const char *text = lua_tolstring(L, 1, &size);
    return pn_json_decode(L, text, size, &limits);
}

/* Marks the table itself, and returns it. */
static int l_array(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1)) {
        luaL_argcheck(L, pn_module_is_array_mark(L, -1), 1, "the table has a metatable");
        lua_pop(L, 1);
    }
    pn_module_mark_array(L);
    return 1;
}

static int l_is_array(lua_State *L) {
    bool is = lua_istable(L, 1) && lua_getmetatable(L, 1) && pn_module_is_array_mark(L, -1);
    lua_pushboolean(L, is);
    return 1;
}

const luaL_Reg pn_json_functions[] = {
    {"encode", l_encode},     {"decode", l_decode}, {"array", l_array},
    {"is_array", l_is_array}, {NULL, NULL},
};

void pn_open_json(lua_State *L) {
    pn_json_push_null(L);
    lua_setfield(L, -2, "null");
}
