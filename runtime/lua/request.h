/*
 * request.h - the Lua value of a request: what `receive` returns beside a message that was a call.
 *
 * It is a holder of the pn_call (core/call.h): when the last holder is collected, closed with its
 * actor or dropped with a message, the caller is told at once.
 */
#ifndef PN_LUA_REQUEST_H
#define PN_LUA_REQUEST_H

#include "lua/lua_state.h"

/* Pushes a request; it becomes one more holder of the call. Raises without memory. */
void pn_request_push(lua_State *L, pn_call *call);

/* The call of a request value, or NULL. It may have been answered. */
pn_call *pn_request_call(lua_State *L, int index);

/* Methods and metamethods, from bind/. */
void pn_request_set_class(lua_State *L, const luaL_Reg *metamethods);

#endif
