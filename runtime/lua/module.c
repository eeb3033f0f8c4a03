#include "lua/module.h"

#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/luv_bridge.h"
#include "lua/task.h"

extern const pn_embedded_file pn_embedded[];

/* Addresses as registry keys. */
static const char members_key = 0; /* function -> { module, field } */
static const char array_key = 0;   /* the metatable of JSON arrays */
static const char system_key = 0;
static const char module_key =
    0; /* registry: the metatable of unfinished modules; in one: which it is */
static const char ours_key = 0; /* name -> table of those of our modules that were ever required */

void *pn_module_system_mark(void) { return (void *)(uintptr_t)&system_key; }

/* ---- what is built in ---- */

const pn_embedded_file *pn_embedded_list(void) { return pn_embedded; }

const pn_embedded_file *pn_embedded_find(const char *name) {
    for (const pn_embedded_file *f = pn_embedded; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) return f;
    }
    return NULL;
}

/* A compiled chunk, kept for the next state of the runtime that loads the file. */
typedef struct pn_code {
    size_t size;
    char bytes[];
} pn_code;

static int write_code(lua_State *L, const void *bytes, size_t size, void *context) {
    (void)L;
    return pn_buf_add(context, bytes, size) ? 0 : 1;
}

static pn_code *compiled(pn_lua_shared *shared, const char *name) {
    pthread_mutex_lock(&shared->lock);
    pn_code *code = pn_smap_get(&shared->code, name, strlen(name));
    pthread_mutex_unlock(&shared->lock);
    return code;
}

/* Keeps the function on top in the cache. A cache that cannot grow is no error. */
static void keep_compiled(lua_State *L, pn_lua_shared *shared, const char *name) {
    pn_buf dump;
    pn_buf_init(&dump, &pn_lua_worker(pn_lua_of(L))->ledger.door);
    pn_code *code = NULL;
    if (lua_dump(L, write_code, &dump, 0) == 0) {
        code = pn_mem_try(shared->ledger, sizeof *code + dump.size);
    }
    if (code != NULL) {
        code->size = dump.size;
        memcpy(code->bytes, dump.data, dump.size);
        pthread_mutex_lock(&shared->lock);
        bool keep = pn_smap_get(&shared->code, name, strlen(name)) == NULL &&
                    pn_smap_set(&shared->code, name, strlen(name), code) == 0;
        pthread_mutex_unlock(&shared->lock);
        if (!keep) pn_mem_free(shared->ledger, code, sizeof *code + code->size);
    }
    pn_buf_close(&dump);
}

void pn_module_push_chunk(lua_State *L, const pn_embedded_file *file) {
    pn_lua_shared *shared = pn_lua_shared_of(L);
    const pn_code *code = compiled(shared, file->name);
    int status;
    if (code != NULL) {
        status = luaL_loadbufferx(L, code->bytes, code->size, file->name, "b");
    } else {
        lua_pushfstring(L, "@%s", file->file);
        status = luaL_loadbufferx(L, file->start, (size_t)(file->end - file->start),
                                  lua_tostring(L, -1), "t");
        lua_remove(L, -2);
    }
    if (status != LUA_OK) lua_error(L);
    if (code == NULL) keep_compiled(L, shared, file->name);
}

int pn_lua_open(pn_runtime *runtime, const pn_module *modules) {
    pn_lua_shared *shared = pn_mem_try_zeroed(&runtime->shared, sizeof *shared);
    if (shared == NULL) return PN_ENOMEM;
    shared->modules = modules;
    shared->ledger = &runtime->shared;
    pn_smap_init(&shared->code, &runtime->shared.door);
    pn_luv_prepare();
    int err = pn_globals_load_base(shared);
    if (err != 0) {
        pn_mem_free(&runtime->shared, shared, sizeof *shared);
        return err;
    }
    pn_assert(pthread_mutex_init(&shared->lock, NULL) == 0);
    runtime->lua = shared;
    return 0;
}

void pn_lua_close(pn_runtime *runtime) {
    pn_lua_shared *shared = runtime->lua;
    if (shared == NULL) return;
    uint32_t cursor = 0;
    pn_smap_entry *e;
    while ((e = pn_smap_next(&shared->code, &cursor)) != NULL) {
        pn_code *code = e->value;
        pn_mem_free(shared->ledger, code, sizeof *code + code->size);
    }
    pn_smap_close(&shared->code);
    pn_globals_free_base(shared);
    pthread_mutex_destroy(&shared->lock);
    pn_mem_free(&runtime->shared, shared, sizeof *shared);
    runtime->lua = NULL;
}

/* ---- lazy module tables ---- */

static const pn_module *find_ours(lua_State *L, const char *name) {
    for (const pn_module *m = pn_lua_shared_of(L)->modules; m->name != NULL; m++) {
        if (strcmp(m->name, name) == 0) return m;
    }
    return NULL;
}

lua_CFunction pn_module_function(const pn_lua_shared *shared, const char *module,
                                 const char *name) {
    for (const pn_module *m = shared->modules; m->name != NULL; m++) {
        if (strcmp(m->name, module) != 0) continue;
        for (const luaL_Reg *f = m->functions; f != NULL && f->name != NULL; f++) {
            if (strcmp(f->name, name) == 0) return f->func;
        }
    }
    return NULL;
}

/* Makes the table at index 1 plain: all functions, and what the Lua half adds. */
static void complete(lua_State *L, const pn_module *module) {
    lua_pushnil(L);
    lua_setmetatable(L, 1);
    lua_pushnil(L);
    lua_rawsetp(L, 1, &module_key);
    for (const luaL_Reg *f = module->functions; f != NULL && f->name != NULL; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, 1, f->name);
    }
    const pn_embedded_file *half = pn_embedded_find(module->name);
    if (half == NULL) return;
    pn_module_push_chunk(L, half);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
    pn_lua_of(L)->loaded_count++;
}

/* Which module an unfinished table is, under a key of ours. */
static const pn_module *module_of(lua_State *L) {
    lua_rawgetp(L, 1, &module_key);
    const pn_module *module = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return module;
}

static int module_index(lua_State *L) {
    const pn_module *module = module_of(L);
    if (module == NULL || lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *name = lua_tostring(L, 2);
    for (const luaL_Reg *f = module->functions; f != NULL && f->name != NULL; f++) {
        if (strcmp(f->name, name) != 0) continue;
        lua_pushvalue(L, 2);
        lua_pushcfunction(L, f->func);
        lua_rawset(L, 1);
        lua_pushcfunction(L, f->func);
        return 1;
    }
    complete(L, module);
    lua_pushvalue(L, 2);
    lua_rawget(L, 1);
    return 1;
}

static int module_pairs(lua_State *L) {
    const pn_module *module = module_of(L);
    if (module != NULL) complete(L, module);
    lua_getglobal(L, "next");
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* One metatable serves all unfinished modules of a state. */
static void push_lazy_metatable(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, module_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, module_pairs);
    lua_setfield(L, -2, "__pairs");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &module_key);
}

static void push_ours(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &ours_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &ours_key);
}

/* Pushes the one table of a module of ours, made when it is first required. It stays the same when
 * package.loaded forgets it, as test runners make it do: others hold it already. */
static void push_lazy(lua_State *L, const pn_module *module) {
    if (module->function != NULL) {
        lua_pushcfunction(L, module->function);
        return;
    }
    if (module->functions == NULL && module->open != NULL) {
        module->open(L);
        return;
    }
    push_ours(L);
    if (lua_getfield(L, -1, module->name) == LUA_TTABLE) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    if (module->open != NULL) module->open(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)module);
    lua_rawsetp(L, -2, &module_key);
    push_lazy_metatable(L);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, module->name);
    lua_remove(L, -2);
}

/* ---- require ---- */

static void push_loaded(lua_State *L) { luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); }

/* What is loaded, or built in without running any Lua: pushes it; or nothing, and false. */
static bool push_known(lua_State *L, const char *name) {
    push_loaded(L);
    lua_getfield(L, -1, name);
    bool known = lua_toboolean(L, -1);
    const pn_module *ours = known ? NULL : find_ours(L, name);
    if (ours != NULL) {
        lua_pop(L, 1);
        push_lazy(L, ours);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
        known = true;
    }
    lua_remove(L, -2);
    if (known) return true;
    lua_pop(L, 1);
    if (strcmp(name, LUA_GNAME) == 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
        return true;
    }
    return pn_globals_open_library(L, name);
}

/* Stack: name, searchers, data ..., result of the loader on top. */
static int loaded(lua_State *L, int status, lua_KContext data) {
    (void)status;
    const char *name = lua_tostring(L, 1);
    pn_lua_of(L)->loaded_count++;
    push_loaded(L);
    if (!lua_isnil(L, -2)) {
        lua_pushvalue(L, -2);
        lua_setfield(L, -2, name);
    }
    if (lua_getfield(L, -1, name) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
    }
    lua_pushvalue(L, (int)data);
    return 2;
}

/* Stack: name. Leaves name, loader, data. */
static void search(lua_State *L) {
    luaL_Buffer message;
    luaL_requiref(L, LUA_LOADLIBNAME, NULL, 0); /* opened by the caller */
    lua_getfield(L, -1, "searchers");
    if (!lua_istable(L, -1)) luaL_error(L, "'package.searchers' must be a table");
    lua_replace(L, 2);
    lua_settop(L, 2);
    luaL_buffinit(L, &message);
    luaL_addstring(&message, "\n\tno built-in module of that name\n\t");
    for (int i = 1;; i++) {
        if (lua_rawgeti(L, 2, i) == LUA_TNIL) {
            lua_pop(L, 1);
            luaL_buffsub(&message, 2); /* the last line's end */
            luaL_pushresult(&message);
            luaL_error(L, "module '%s' not found:%s", lua_tostring(L, 1), lua_tostring(L, -1));
        }
        lua_pushvalue(L, 1);
        lua_call(L, 1, 2);
        if (lua_isfunction(L, -2)) return;
        lua_pop(L, 1);
        if (lua_isstring(L, -1)) {
            luaL_addvalue(&message);
            luaL_addstring(&message, "\n\t");
        } else {
            lua_pop(L, 1);
        }
    }
}

/* As the stock function, but the module's body may block. */
int pn_module_l_require(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    if (push_known(L, name)) return 1;
    pn_globals_open_library(L, LUA_LOADLIBNAME);
    lua_settop(L, 1);
    lua_pushnil(L);
    search(L);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2); /* loader, data, name, data */
    lua_KContext data = lua_gettop(L) - 2;
    lua_pushvalue(L, (int)data - 1);
    lua_insert(L, (int)data + 1); /* loader, data, loader, name, data */
    lua_callk(L, 2, 1, data, loaded);
    return loaded(L, LUA_OK, data);
}

void pn_module_require(lua_State *L, const char *name) {
    luaL_checkstack(L, 6, NULL);
    if (push_known(L, name)) return;
    lua_pushcfunction(L, pn_module_l_require);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}

/* ---- where a value comes from, for the codec ---- */

/* Calls `visit` for each loaded module, a table: its name is at index -2, the table on top. Ours
 * are among them, and the globals (which a lazy state does not list). Ends when `visit` returns
 * true; the name and the table are then left on the stack, with what it has pushed. */
typedef bool (*module_fn)(lua_State *L, void *context);

static bool visit_table(lua_State *L, int modules, module_fn visit, void *context) {
    lua_pushnil(L);
    while (lua_next(L, modules) != 0) {
        bool is_module = lua_istable(L, -1) && lua_type(L, -2) == LUA_TSTRING;
        if (is_module && visit(L, context)) {
            lua_remove(L, modules);
            return true;
        }
        lua_pop(L, 1);
    }
    lua_remove(L, modules);
    return false;
}

static bool visit_modules(lua_State *L, module_fn visit, void *context) {
    lua_pushliteral(L, LUA_GNAME);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    if (visit(L, context)) return true;
    lua_pop(L, 2);
    push_ours(L);
    if (visit_table(L, lua_gettop(L), visit, context)) return true;
    push_loaded(L);
    return visit_table(L, lua_gettop(L), visit, context);
}

static bool is_wanted(lua_State *L, void *context) { return lua_rawequal(L, -1, *(int *)context); }

bool pn_module_find(lua_State *L, int index) {
    luaL_checkstack(L, 8, NULL);
    if (!visit_modules(L, is_wanted, &index)) return false;
    lua_pop(L, 1);
    return true;
}

/* ---- functions of modules ---- */

/* The map at `context` gets module.field for each function of the module on top. A Lua function
 * among the globals is nobody's: globals stay behind. */
static bool add_members(lua_State *L, void *context) {
    int map = *(int *)context, name = lua_gettop(L) - 1, fields = lua_gettop(L);
    bool globals = strcmp(lua_tostring(L, name), LUA_GNAME) == 0;
    lua_pushnil(L);
    while (lua_next(L, fields) != 0) {
        bool fits = lua_type(L, -2) == LUA_TSTRING && lua_isfunction(L, -1) &&
                    (!globals || lua_iscfunction(L, -1));
        if (fits) {
            lua_pushvalue(L, -1);
            lua_createtable(L, 3, 0);
            lua_pushvalue(L, name);
            lua_rawseti(L, -2, 1);
            lua_pushvalue(L, -4);
            lua_rawseti(L, -2, 2);
            lua_pushvalue(L, fields);
            lua_rawseti(L, -2, 3);
            lua_rawset(L, map);
        }
        lua_pop(L, 1);
    }
    return false;
}

/* Pushes the map, made anew if it must be: since it was made, a module has been loaded. */
static void push_members(lua_State *L, bool anew) {
    lua_Integer version = pn_lua_of(L)->loaded_count;
    if (!anew && lua_rawgetp(L, LUA_REGISTRYINDEX, &members_key) == LUA_TTABLE) {
        lua_rawgeti(L, -1, 1);
        bool is_current = lua_tointeger(L, -1) == version;
        lua_pop(L, 1);
        if (is_current) return;
    }
    lua_newtable(L);
    int map = lua_gettop(L);
    lua_pushinteger(L, version);
    lua_rawseti(L, map, 1);
    visit_modules(L, add_members, &map);
    lua_pushvalue(L, map);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &members_key);
}

/* Pushes module and field if the map knows the function and it is still there. */
static bool push_member(lua_State *L, int index, bool anew) {
    int top = lua_gettop(L);
    push_members(L, anew);
    lua_pushvalue(L, index);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        int entry = lua_gettop(L);
        lua_rawgeti(L, entry, 1);
        lua_rawgeti(L, entry, 2);
        lua_rawgeti(L, entry, 3);
        lua_pushvalue(L, -2);
        lua_rawget(L, -2);
        bool is_there = lua_rawequal(L, -1, index);
        lua_pop(L, 2);
        if (is_there) {
            lua_copy(L, entry + 1, top + 1);
            lua_copy(L, entry + 2, top + 2);
            lua_settop(L, top + 2);
            return true;
        }
    }
    lua_settop(L, top);
    return false;
}

/* A C function cannot be copied otherwise, so for one the map is made anew: modules of ours get
 * their functions when they are touched. */
bool pn_module_find_function(lua_State *L, int index) {
    luaL_checkstack(L, 14, NULL);
    index = lua_absindex(L, index);
    return push_member(L, index, false) ||
           (lua_iscfunction(L, index) && push_member(L, index, true));
}

/* Pushes the field of the table at `index` that holds the value at `wanted`; or nothing, and
 * false. */
static bool find_field(lua_State *L, int index, int wanted) {
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        if (lua_type(L, -2) == LUA_TSTRING && lua_rawequal(L, -1, wanted)) {
            lua_pop(L, 1);
            return true;
        }
        lua_pop(L, 1);
    }
    return false;
}

static bool has_field(lua_State *L, void *context) {
    return find_field(L, lua_gettop(L), *(int *)context);
}

bool pn_module_name_function(lua_State *L, char *text, size_t room) {
    int function = lua_gettop(L);
    lua_CFunction f = lua_tocfunction(L, function);
    bool found = true;
    if (f != NULL && f == pn_lua_shared_of(L)->ipairs_next) {
        snprintf(text, room, "ipairs");
    } else if (f != NULL && pn_coroutine_is_wrapped(f)) {
        snprintf(text, room, "coroutine.wrap");
    } else if (visit_modules(L, has_field, &function)) { /* name, table, field */
        const char *module = lua_tostring(L, function + 1), *field = lua_tostring(L, -1);
        bool is_global = strcmp(module, LUA_GNAME) == 0;
        snprintf(text, room, "%s%s%s", is_global ? "" : module, is_global ? "" : ".", field);
    } else {
        found = false;
    }
    lua_settop(L, function - 1);
    return found;
}

/* ---- marks ---- */

static void push_array_mark(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "json.array");
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
}

bool pn_module_is_array_mark(lua_State *L, int index) {
    index = lua_absindex(L, index);
    bool is =
        lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TTABLE && lua_rawequal(L, -1, index);
    lua_pop(L, 1);
    return is;
}

void pn_module_mark_array(lua_State *L) {
    push_array_mark(L);
    lua_setmetatable(L, -2);
}
