/*
 * luv_bridge.h - `require "luv"`: libuv's raw API in any actor, on a loop of the actor's own.
 *
 * The actor's loop is embedded in its worker's: the worker watches its backend descriptor and its
 * next time-out, and wakes a task of the actor, the pump, which runs the loop without waiting.
 * luv calls back from in there; each callback is begun at once as a task of its own, within the
 * pump's turn, and lives on as a task if it blocks or is pre-empted. So callbacks begin in luv's
 * order, a handle that one closes is closed for the next, and blocking calls, errors, the memory
 * limit and pre-emption are those of any task. Up to PN_LUV_CALLBACKS_MAX may be under way; then
 * the loop pauses.
 *
 * Every luv function is wrapped (a closure with the original): it wakes the pump, for what it may
 * have started, and refuses once the loop is closed. Replaced: run, stop, loop_close, loop_alive,
 * walk; threads and work, os_setenv and os_unsetenv; signals that are the runtime's.
 *
 * Memory: what luv allocates through Lua counts as the actor's; handles and buffers that it takes
 * from malloc do not. While the loop runs, luv's own Lua calls pass the limit (an error would
 * have to jump over libuv); the next allocation of the actor meets it.
 *
 * The end: all handles are closed and the loop is run until it is empty, before the state goes.
 * What a thread of libuv's pool still works on keeps the state's memory, not the actor, waiting.
 */
#ifndef PN_LUA_LUV_BRIDGE_H
#define PN_LUA_LUV_BRIDGE_H

#include "lua/lua_state.h"

#define PN_LUV_CALLBACKS_MAX 1024

/* Once, before any thread that may load luv. */
void pn_luv_prepare(void);

/* Pushes the module; the loop comes with it. Raises. */
void pn_luv_push(lua_State *L);

/* The tasks have ended. True when nothing of the loop is left; else it must be tried again, and
 * pn_actor_reap_again will ask for that. */
bool pn_luv_drain(pn_lua *lua);

/* After the state has gone. */
void pn_luv_free(pn_lua *lua);

/* For test runners: there is a handle of kind "luv loop" in lua->handles as long as something is
 * on the loop. */
void pn_luv_note(pn_lua *lua);

#endif
