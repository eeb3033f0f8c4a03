/*
 * globals.c - the standard libraries of an actor, opened when they are touched.
 *
 * The globals of a bare state are an empty table whose metatable finds the base functions (which
 * cost nothing: plain C functions) and opens the other libraries on first use. What Lua promises
 * holds: the functions that could tell the difference (pairs, next, rawget, getmetatable,
 * setmetatable on _G) first open everything and take the metatable away. Strings begin with a
 * metatable that opens the string library on the first method or arithmetic.
 *
 * Replaced for good, in lazy and full states alike: require (blocking calls work in a module's
 * body), the coroutine library (coroutine.c), os.time, os.clock, os.date (the runtime's clock),
 * os.exit (ends the runtime in order), math.random (seeded per actor), debug.sethook (hook.c shares
 * the hook).
 */
#include <lualib.h>
#include <string.h>
#include <time.h>

#include "base/rand.h"
#include "lua/module.h"
#include "lua/task.h"

static const char *const base_names[] = {
    "assert",   "collectgarbage", "dofile", "error",  "getmetatable", "ipairs",
    "load",     "loadfile",       "next",   "pairs",  "pcall",        "print",
    "rawequal", "rawget",         "rawlen", "rawset", "select",       "setmetatable",
    "tonumber", "tostring",       "type",   "warn",   "xpcall",
};

#define BASE_COUNT (sizeof base_names / sizeof base_names[0])

static int base_index(const char *name) {
    for (size_t i = 0; i < BASE_COUNT; i++) {
        if (strcmp(base_names[i], name) == 0) return (int)i;
    }
    return -1;
}

static void *allocate(void *context, void *block, size_t old_size, size_t new_size) {
    return pn_mem_resize(context, block, block != NULL ? old_size : 0, new_size);
}

static int find_base(lua_State *L) {
    pn_lua_shared *shared = lua_touserdata(L, 1);
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    for (size_t i = 0; i < BASE_COUNT; i++) {
        lua_getfield(L, -1, base_names[i]);
        shared->base[i] = lua_tocfunction(L, -1);
        lua_pop(L, 1);
    }
    lua_getfield(L, -1, "ipairs");
    lua_newtable(L);
    lua_call(L, 1, 1);
    shared->ipairs_next = lua_tocfunction(L, -1);
    return 0;
}

/* Once a runtime: where the base library keeps its functions. */
int pn_globals_load_base(pn_lua_shared *shared) {
    shared->base = pn_mem_try(shared->ledger, BASE_COUNT * sizeof *shared->base);
    lua_State *L = shared->base != NULL ? lua_newstate(allocate, shared->ledger) : NULL;
    if (L == NULL) {
        pn_globals_free_base(shared);
        return PN_ENOMEM;
    }
    lua_pushcfunction(L, find_base);
    lua_pushlightuserdata(L, shared);
    int status = lua_pcall(L, 1, 0, 0);
    lua_close(L);
    if (status == LUA_OK) return 0;
    pn_globals_free_base(shared);
    return PN_ENOMEM;
}

void pn_globals_free_base(pn_lua_shared *shared) {
    pn_mem_free(shared->ledger, shared->base, BASE_COUNT * sizeof *shared->base);
    shared->base = NULL;
}

bool pn_globals_is_yieldable(const pn_lua_shared *shared, lua_CFunction f) {
    static const char *const names[] = {"pcall", "xpcall", "dofile", "pairs"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (shared->base[base_index(names[i])] == f) return true;
    }
    for (const pn_module *m = shared->modules; m->name != NULL; m++) {
        if (m->function == f) return true;
        for (const luaL_Reg *r = m->functions; r != NULL && r->name != NULL; r++) {
            if (r->func == f) return true; /* ours call with continuations */
        }
    }
    return f == pn_module_l_require;
}

lua_CFunction pn_globals_base(const pn_lua_shared *shared, const char *name) {
    return shared->base[base_index(name)];
}

int pn_globals_catcher(const pn_lua_shared *shared, lua_CFunction f) {
    if (f == NULL) return 0;
    if (f == pn_globals_base(shared, "pcall")) return 1;  /* true */
    if (f == pn_globals_base(shared, "xpcall")) return 3; /* function, handler, true */
    return f == pn_module_function(shared, "perilune.timer", "with_timeout") ? 2
                                                                             : 0; /* time, scope */
}

static lua_CFunction base(lua_State *L, const char *name) {
    return pn_globals_base(pn_lua_shared_of(L), name);
}

/* ---- base functions that could see the laziness ---- */

static void unveil(lua_State *L, int index) {
    pn_lua *lua = pn_lua_of(L);
    if (!lua->is_lazy || lua_type(L, index) != LUA_TTABLE) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    bool is_globals = lua_rawequal(L, -1, index);
    lua_pop(L, 1);
    if (is_globals) pn_globals_open_all(L);
}

#define UNVEILING(name)                                                                            \
    static int l_##name(lua_State *L) {                                                            \
        unveil(L, 1);                                                                              \
        return base(L, #name)(L);                                                                  \
    }

UNVEILING(pairs)
UNVEILING(next)
UNVEILING(rawget)
UNVEILING(getmetatable)
UNVEILING(setmetatable)

static const luaL_Reg replaced[] = {
    {"pairs", l_pairs},
    {"next", l_next},
    {"rawget", l_rawget},
    {"getmetatable", l_getmetatable},
    {"setmetatable", l_setmetatable},
    {"require", pn_module_l_require},
    {NULL, NULL},
};

/* Pushes a base function, ours where there is one; false if there is none of that name. */
static bool push_base(lua_State *L, const char *name) {
    for (const luaL_Reg *r = replaced; r->name != NULL; r++) {
        if (strcmp(r->name, name) != 0) continue;
        lua_pushcfunction(L, r->func);
        return true;
    }
    int i = base_index(name);
    if (i >= 0) lua_pushcfunction(L, pn_lua_shared_of(L)->base[i]);
    return i >= 0;
}

/* ---- os, math, debug: stock libraries with a few functions replaced ---- */

static const pn_clock *clock_of(lua_State *L) {
    return &pn_lua_worker(pn_lua_of(L))->runtime->clock;
}

static lua_Integer unix_seconds(lua_State *L) {
    return (lua_Integer)(pn_clock_unix_ns(clock_of(L)) / PN_NS_PER_S);
}

/* With a table the stock function computes; without, it would read the clock. Upvalue 1 is
 * stock. */
static int os_time(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_pushinteger(L, unix_seconds(L));
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int os_date(lua_State *L) {
    lua_settop(L, 2);
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "%c");
        lua_replace(L, 1);
    }
    if (lua_isnil(L, 2)) {
        lua_pushinteger(L, unix_seconds(L));
        lua_replace(L, 2);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

static int os_clock(lua_State *L) {
    lua_pushnumber(L, (lua_Number)pn_clock_cpu_ns(clock_of(L)) * 1e-9);
    return 1;
}

static int os_exit(lua_State *L) {
    int status = 0;
    if (lua_isboolean(L, 1)) {
        status = lua_toboolean(L, 1) ? 0 : 1;
    } else {
        lua_Integer n = luaL_optinteger(L, 1, 0);
        status = n < 0 || n > 255 ? 255 : (int)n; /* never 0 for what is not 0 */
    }
    pn_lua_shared *shared = pn_lua_shared_of(L);
    if (shared->on_exit != NULL) shared->on_exit(shared->context, status);
    return pn_task_end_actor(L, pn_exit_normal());
}

static void replace_with_stock_upvalue(lua_State *L, const char *name, lua_CFunction f) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

static int open_os(lua_State *L) {
    luaopen_os(L);
    replace_with_stock_upvalue(L, "time", os_time);
    replace_with_stock_upvalue(L, "date", os_date);
    lua_pushcfunction(L, os_clock);
    lua_setfield(L, -2, "clock");
    lua_pushcfunction(L, os_exit);
    lua_setfield(L, -2, "exit");
    return 1;
}

static int open_math(lua_State *L) {
    luaopen_math(L);
    pn_actor *actor = pn_lua_of(L)->actor;
    uint64_t seed = actor->worker->runtime->options.seed;
    pn_rand r = {.key = pn_rand_key(seed, "math.random", actor->entity)};
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, (lua_Integer)pn_rand_draw(&r));
    lua_pushinteger(L, (lua_Integer)pn_rand_draw(&r));
    lua_call(L, 2, 0);
    return 1;
}

static int open_debug(lua_State *L) {
    pn_globals_open_all(L); /* debug.getmetatable(_G) and the like see the plain thing */
    luaopen_debug(L);
    pn_hook_open_debug(L, lua_gettop(L));
    return 1;
}

static void prepend_path(lua_State *L, const char *path) {
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s;%s", path, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 1);
}

static int open_package(lua_State *L) {
    luaopen_package(L);
    lua_pushcfunction(L, pn_module_l_require); /* it has set its own as a global */
    lua_setglobal(L, "require");
    const char *path = pn_lua_shared_of(L)->path;
    if (path != NULL) prepend_path(L, path);
    return 1;
}

static const luaL_Reg libraries[] = {
    {LUA_STRLIBNAME, luaopen_string}, {LUA_TABLIBNAME, luaopen_table},
    {LUA_MATHLIBNAME, open_math},     {LUA_COLIBNAME, pn_coroutine_open},
    {LUA_OSLIBNAME, open_os},         {LUA_IOLIBNAME, luaopen_io},
    {LUA_UTF8LIBNAME, luaopen_utf8},  {LUA_DBLIBNAME, open_debug},
    {LUA_LOADLIBNAME, open_package},  {NULL, NULL},
};

bool pn_globals_open_library(lua_State *L, const char *name) {
    for (const luaL_Reg *lib = libraries; lib->name != NULL; lib++) {
        if (strcmp(lib->name, name) != 0) continue;
        luaL_requiref(L, name, lib->func, 0);
        return true;
    }
    return false;
}

/* ---- the lazy globals ---- */

/* __index of _G: finds a base function, or opens a library. */
static int find_global(lua_State *L) {
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *name = lua_tostring(L, 2);
    if (strcmp(name, LUA_GNAME) == 0) {
        lua_pushvalue(L, 1);
    } else if (strcmp(name, "_VERSION") == 0) {
        lua_pushliteral(L, LUA_VERSION);
    } else if (!push_base(L, name) && !pn_globals_open_library(L, name)) {
        return 0;
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

static void set_lazy_globals(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, find_global);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    pn_lua_of(L)->is_lazy = true;
}

void pn_globals_open_all(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    if (lua->is_full) return;
    lua->is_full = true;
    lua->is_lazy = false;
    luaL_checkstack(L, 8, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushnil(L);
    lua_setmetatable(L, -2);
    for (size_t i = 0; i < BASE_COUNT; i++) {
        push_base(L, base_names[i]);
        lua_setfield(L, -2, base_names[i]);
    }
    lua_pushcfunction(L, pn_module_l_require);
    lua_setfield(L, -2, "require");
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, LUA_GNAME);
    lua_pushliteral(L, LUA_VERSION);
    lua_setfield(L, -2, "_VERSION");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, LUA_GNAME);
    lua_pop(L, 1);
    for (const luaL_Reg *lib = libraries; lib->name != NULL; lib++) {
        luaL_requiref(L, lib->name, lib->func, 0);
        lua_setfield(L, -2, lib->name);
    }
    lua_pop(L, 1);
}

/* ---- the lazy string metatable ---- */

static int string_index(lua_State *L) {
    pn_globals_open_library(L, LUA_STRLIBNAME); /* sets the real metatable */
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    return 1;
}

static int string_arith(lua_State *L, int op) {
    pn_globals_open_library(L, LUA_STRLIBNAME);
    lua_settop(L, op == LUA_OPUNM ? 1 : 2);
    lua_arith(L, op);
    return 1;
}

#define ARITH(name, op)                                                                            \
    static int string_##name(lua_State *L) { return string_arith(L, op); }

ARITH(add, LUA_OPADD)
ARITH(sub, LUA_OPSUB)
ARITH(mul, LUA_OPMUL)
ARITH(mod, LUA_OPMOD)
ARITH(pow, LUA_OPPOW)
ARITH(div, LUA_OPDIV)
ARITH(idiv, LUA_OPIDIV)
ARITH(unm, LUA_OPUNM)

static const luaL_Reg string_lazy[] = {
    {"__index", string_index}, {"__add", string_add},
    {"__sub", string_sub},     {"__mul", string_mul},
    {"__mod", string_mod},     {"__pow", string_pow},
    {"__div", string_div},     {"__idiv", string_idiv},
    {"__unm", string_unm},     {NULL, NULL},
};

static void set_lazy_strings(lua_State *L) {
    lua_pushliteral(L, "");
    luaL_newlibtable(L, string_lazy);
    luaL_setfuncs(L, string_lazy, 0);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void pn_globals_open(lua_State *L) {
    set_lazy_strings(L);
    set_lazy_globals(L);
}
