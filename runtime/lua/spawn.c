#include "lua/spawn.h"

#include <string.h>

#include "lua/module.h"

/* The values in order: function or module name, then the arguments. */
typedef struct copied {
    pn_program base;
    int argument_count;
    size_t size;
    uint8_t bytes[];
} copied;

static void destroy_copied(pn_worker *worker, pn_program *program) {
    copied *c = (copied *)program;
    pn_mem_free(&worker->messages, c, sizeof *c + c->size);
}

static int module_ended(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    return lua_gettop(L);
}

/* Stack: the arguments, the module. It stands for the function it is, or for its function
 * `start`. */
static int module_loaded(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "start");
        lua_remove(L, -2);
    }
    if (!lua_isfunction(L, -1)) {
        pn_raise(L, "spawn: module '%s' is neither a function nor a table with a function 'start'",
                 name);
    }
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, module_ended);
    return module_ended(L, LUA_OK, 0);
}

/* What an actor runs that was spawned with a module's name (upvalue 1). The module's body may
 * wait. */
static int run_module(lua_State *L) {
    lua_pushcfunction(L, pn_module_l_require);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_callk(L, 1, 1, 0, module_loaded);
    return module_loaded(L, LUA_OK, 0);
}

static int push_copied(lua_State *L, pn_program *program) {
    copied *c = (copied *)program;
    const uint8_t *at = c->bytes, *end = at + c->size;
    luaL_checkstack(L, c->argument_count + 8, "too many arguments");
    int count = c->argument_count;
    for (int i = 0; i <= count; i++) {
        pn_codec_decode_program(L, &at, end);
        if (i == 0 && lua_type(L, -1) == LUA_TSTRING) lua_pushcclosure(L, run_module, 1);
    }
    return count;
}

pn_program *pn_program_copy(lua_State *L, int first) {
    pn_worker *worker = pn_lua_worker(pn_lua_of(L));
    int last = lua_gettop(L);
    pn_parcel parcel;
    pn_parcel_begin(L, &parcel);
    for (int i = first; i <= last; i++) {
        const char *root = i == first ? "spawn" : lua_pushfstring(L, "argument %d", i - first);
        pn_codec_encode_program(L, i, &parcel, root);
    }
    lua_settop(L, last);
    if (parcel.call_count > 0) luaL_error(L, "spawn: a request cannot be an argument (send it)");
    size_t size = parcel.bytes->size;
    copied *c = pn_mem_try(&worker->messages, sizeof *c + size);
    if (c == NULL) pn_raise_code(L, PN_ENOMEM);
    *c = (copied){.base = {.push = push_copied, .destroy = destroy_copied},
                  .argument_count = last - first,
                  .size = size};
    memcpy(c->bytes, parcel.bytes->data, size);
    return &c->base;
}

typedef struct source {
    pn_program base;
    size_t size, name_size;
    char text[]; /* the source, then the name with its NUL */
} source;

static void destroy_source(pn_worker *worker, pn_program *program) {
    source *s = (source *)program;
    pn_mem_free(&worker->messages, s, sizeof *s + s->size + s->name_size);
}

static int push_source(lua_State *L, pn_program *program) {
    source *s = (source *)program;
    if (luaL_loadbufferx(L, s->text, s->size, s->text + s->size, "t") != LUA_OK) lua_error(L);
    return 0;
}

pn_program *pn_program_source(pn_worker *worker, const char *text, size_t size, const char *name,
                              bool is_full) {
    size_t name_size = strlen(name) + 1;
    source *s = pn_mem_try(&worker->messages, sizeof *s + size + name_size);
    if (s == NULL) return NULL;
    *s = (source){.base = {.push = push_source, .destroy = destroy_source, .is_full = is_full},
                  .size = size,
                  .name_size = name_size};
    memcpy(s->text, text, size);
    memcpy(s->text + size, name, name_size);
    return &s->base;
}
