/*
 * module.h - how Lua finds code: our modules, their Lua halves, require.
 *
 * A module is a table whose functions are put there when they are first touched, because a table of
 * thirty functions costs more than a bare actor may. Touching a name that is not among the C
 * functions loads the module's Lua half (scripts/perilune/NAME.lua, built into the binary), which
 * adds its own; from then on the table is plain.
 */
#ifndef PN_LUA_MODULE_H
#define PN_LUA_MODULE_H

#include "lua/lua_state.h"

typedef struct pn_module {
    const char *name;           /* "perilune.actor" */
    const luaL_Reg *functions;  /* NULL: `open`, if there is one, pushes the module, whole */
    void (*open)(lua_State *L); /* adds what is no function to the table on top; or NULL */
    lua_CFunction function;     /* not NULL: the module is this function, not a table */
} pn_module;

/* What all states of a runtime share. */
typedef struct pn_lua_shared {
    const pn_module *modules;  /* ended by a NULL name */
    lua_CFunction *base;       /* the base library's functions, as globals.c lists them */
    lua_CFunction ipairs_next; /* the iterator that ipairs returns */
    pthread_mutex_t lock;      /* guards the code cache */
    pn_smap code;              /* module -> precompiled chunk (pn_code) */
    pn_ledger *ledger;
    void *context;
    void (*on_exit)(void *context, int status); /* os.exit; any worker */
    lua_CFunction open_request;                 /* bind/: sets the class of requests */
    const char *path;                           /* prepended to package.path; or NULL */
    bool gc_stress; /* every state's collector works at every chance: for tests */
    void *load;     /* of bind/load.h: the runtime's load run; or NULL */
} pn_lua_shared;

/* Before the first Lua actor. `modules` is static. */
int pn_lua_open(pn_runtime *runtime, const pn_module *modules);
void pn_lua_close(pn_runtime *runtime); /* after stop */

static inline pn_lua_shared *pn_lua_shared_of(lua_State *L) {
    return pn_lua_worker(pn_lua_of(L))->runtime->lua;
}

/* A C function of one of our modules, NULL when there is none. */
lua_CFunction pn_module_function(const pn_lua_shared *shared, const char *module, const char *name);

/* A file built into the binary. */
typedef struct pn_embedded_file {
    const char *name; /* "perilune.actor", "std.smoke", "bench.actor" */
    const char *file; /* its path in the repository, for messages */
    const char *start, *end;
} pn_embedded_file;

const pn_embedded_file *pn_embedded_find(const char *name); /* NULL: none */
const pn_embedded_file *pn_embedded_list(void);             /* ended by a NULL name */

/* Pushes the chunk of a built-in file, compiled once a runtime. Raises. */
void pn_module_push_chunk(lua_State *L, const pn_embedded_file *file);

/* Pushes the module, as require would. Cannot be waited in. Raises. */
void pn_module_require(lua_State *L, const char *name);

int pn_module_l_require(lua_State *L); /* the function `require` */

/* For the codec: pushes the name under which the table at `index` is loaded; or nothing, and
 * false. */
bool pn_module_find(lua_State *L, int index);
/* Pushes module name and field of a function that a loaded module has; or nothing, and false. */
bool pn_module_find_function(lua_State *L, int index);

/* Takes the function on top off and writes its name: "table.sort", "tostring". False when it has
 * none. */
bool pn_module_name_function(lua_State *L, char *text, size_t room);

/* The mark of a JSON array: a metatable that all such tables of a state share. */
bool pn_module_is_array_mark(lua_State *L, int index);
void pn_module_mark_array(lua_State *L); /* the table on top */

/* actor.SYSTEM */
void *pn_module_system_mark(void);
static inline bool pn_module_is_system_mark(const void *p) { return p == pn_module_system_mark(); }

/* globals.c */
void pn_globals_open(lua_State *L);     /* the lazy ones */
void pn_globals_open_all(lua_State *L); /* everything, plainly; idempotent */
bool pn_globals_open_library(lua_State *L,
                             const char *name); /* pushes it; false: no such library */
int pn_globals_load_base(pn_lua_shared *shared);
/* A function that catches errors, pcall and the like: how many temporaries are in its frame below
 * the function that it calls. 0 for the others. */
int pn_globals_catcher(const pn_lua_shared *shared, lua_CFunction f);
lua_CFunction pn_globals_base(const pn_lua_shared *shared,
                              const char *name); /* one of base_names */
/* Can a function called by this C function suspend? pcall, require and the like. */
bool pn_globals_is_yieldable(const pn_lua_shared *shared, lua_CFunction f);
void pn_globals_free_base(pn_lua_shared *shared);
int pn_coroutine_open(lua_State *L);           /* a lua_CFunction: pushes the library */
bool pn_coroutine_is_wrapped(lua_CFunction f); /* what coroutine.wrap returns */

#endif
