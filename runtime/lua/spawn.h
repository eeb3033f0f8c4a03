/*
 * spawn.h - the program of a spawned actor: a function or a module, and its arguments, copied.
 */
#ifndef PN_LUA_SPAWN_H
#define PN_LUA_SPAWN_H

#include "lua/codec.h"

/* Copies the function or module name at `first` and the arguments behind it. Raises, naming what
 * cannot be copied ("upvalue sock"). The result belongs to pn_actor_spawn. */
pn_program *pn_program_copy(lua_State *L, int first);

/* A program that runs Lua source: a file's, or a built-in chunk. `text` and `name` are copied. */
pn_program *pn_program_source(pn_worker *worker, const char *text, size_t size, const char *name,
                              bool is_full);

#endif
