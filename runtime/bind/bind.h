/*
 * bind.h - what the bindings share: classes, and the table of modules.
 *
 * A binding checks its arguments, calls, and pushes the result; it has no logic of its own. Tables
 * of functions are at the bottom of each file, NAME_functions for a module, CLASS_methods and
 * CLASS_metamethods for an object.
 */
#ifndef PN_BIND_BIND_H
#define PN_BIND_BIND_H

#include <stdio.h>
#include <string.h>

#include "lua/codec.h"
#include "lua/lua_state.h"
#include "lua/module.h"
#include "lua/task.h"

/* A kind of userdata. The metatable is made when the first object is. */
typedef struct pn_class {
    const char *name; /* as luaL_checkudata knows it, and in messages */
    const luaL_Reg *methods;
    const luaL_Reg *metamethods;
} pn_class;

/* Pushes the metatable of a class of classes.c. */
void pn_push_class(lua_State *L, const char *name);

/* All modules, ended by a NULL name: the argument of pn_lua_open. */
extern const pn_module pn_modules[];

/* What the table in modules.c needs of the bindings that have more than functions. */
int pn_open_request(lua_State *L);
void pn_open_actor(lua_State *L);
void pn_open_json(lua_State *L);
void pn_open_run(lua_State *L);

/* Modules that are a function. */
int pn_l_check(lua_State *L);
int pn_l_scenario(lua_State *L);

#endif
