/*
 * task.h - tasks: coroutines of an actor that block without blocking the thread.
 *
 * A blocking function checks its arguments, begins the wait with pn_task_wait, and ends in its
 * continuation, which first calls pn_task_woken and then reads task->code and task->msg:
 *
 *     static int slept(lua_State *L, int status, lua_KContext context) {
 *         pn_task *task = pn_task_woken(L);
 *         ...
 *     }
 *     return pn_task_wait(L, PN_WAIT_TIMER, timeout_ns, 0, slept);
 *
 * Only code woken by pn_task_ready, by the wait's time-out (code PN_ETIMEOUT), or by cancellation
 * runs again. Where Lua cannot yield, pn_task_wait raises and names the boundary.
 */
#ifndef PN_LUA_TASK_H
#define PN_LUA_TASK_H

#include "lua/lua_state.h"

#define PN_NO_TIMEOUT UINT64_MAX

/* Raises where the caller cannot block. For what must not have happened when it raises:
 * pn_task_wait itself takes back (cancel) what was prepared for a wait that cannot begin. */
void pn_task_check_block(lua_State *L);

/* Suspends the calling task. In a dead actor's close variables it does not wait: the continuation
 * is called at once with code PN_EEXITED. Whenever a wait ends otherwise than by pn_task_ready, its
 * `cancel` is called, once. */
int pn_task_wait(lua_State *L, pn_wait kind, uint64_t timeout_ns, lua_KContext context,
                 lua_KFunction k);

/* Waits in a list, until somebody takes the task out with pn_task_ready, as pn_tasks_wake does.
 * Whoever owns the list wakes all before it goes. */
int pn_task_wait_in(lua_State *L, pn_list *list, uint64_t timeout_ns, lua_KContext context,
                    lua_KFunction k);
void pn_tasks_wake(pn_list *list, int code);

/* Lets the other tasks go first. */
int pn_task_yield(lua_State *L, lua_KContext context, lua_KFunction k);

/* Runs a task that is ready within the turn of the one that calls, until it ends or waits. It may
 * be freed then, and the actor may have ended. */
void pn_task_run(pn_task *task);

/* Whether the task may wait here and now: it can be suspended, and has not been cancelled. */
bool pn_task_may_wait(lua_State *L);

/* Waits until another task has finished. */
int pn_task_join(lua_State *L, pn_task *other, uint64_t timeout_ns, lua_KFunction k);

/* First call of a continuation: the task, with its wait over. Raises if the wait was cancelled. */
pn_task *pn_task_woken(lua_State *L);

static inline pn_task *pn_task_current(lua_State *L) { return pn_lua_of(L)->current; }

/* Ends a wait. Nothing happens if the task does not wait (any more). */
void pn_task_ready(pn_task *task, int code);

/* The same from our side: the wait's engine is told first (cancel). */
void pn_task_give_up(pn_task *task, int code);

/* The reference that finds this task while it waits as it does now: for replies. What came for an
 * earlier wait is forgotten. */
uint64_t pn_task_begin_ref(pn_task *task);
pn_task *pn_task_find(pn_lua *lua, uint64_t wait_ref); /* NULL: it waits no more */

/* A new task; its function and arguments are taken off L's top. Raises without memory. Becomes
 * ready. */
pn_task *pn_task_spawn(lua_State *L, int argument_count);

/* Lets the other ready tasks run first; k goes on. */
int pn_task_pass(lua_State *L, lua_KContext context, lua_KFunction k);

/* Cancels the members of a team; with `only_endless`, the repeating timers among them. */
void pn_team_cancel(pn_lua *lua, pn_team *team, bool only_endless);

/* Ends a task: abandoned at its yield, close variables run. False when it cannot be ended because
 * it is itself running (it may be running what cancels it). */
bool pn_task_cancel(pn_task *task);

/* Gives the struct back: finished and nobody refers to it. */
void pn_task_release(pn_task *task);

/* with_timeout. Close is idempotent; scopes that are open may be closed in any order. */
void pn_scope_open(lua_State *L, pn_scope *scope, uint64_t timeout_ns);
void pn_scope_close(pn_scope *scope);

/* Is the running code in a scope whose time is over? */
bool pn_scope_is_over(lua_State *L);

/* The request a task serves from now on (grabbed), or none. It ends with the reply, whoever gives
 * it. */
void pn_task_serve(pn_task *task, pn_call *call);
pn_call *pn_task_serving(pn_task *task);

/* The task waits for the reply to this call, whose reference it takes over, or no longer does
 * (NULL): the earlier call is taken back, and whoever replies to it later is told so. */
void pn_task_calls(pn_task *task, pn_call *call);

/* What the task does its work for: its own request id, else that of the request it serves, or
 * NULL. */
static inline pn_request_id *pn_task_request_id(const pn_task *task) {
    if (task->request_id != NULL || task->serving == NULL) return task->request_id;
    return task->serving->request_id;
}
void pn_task_set_request_id(pn_task *task, pn_request_id *id); /* grabs it; NULL: none of its own */

/* A call on behalf of the task: within its deadline, its chain and its request. NULL without
 * memory. */
pn_call *pn_task_create_call(pn_task *task, uint64_t ref, uint64_t deadline_ns);

/* Time left of a wait: the shorter of the time-out and the deadline being served. */
uint64_t pn_task_deadline_ns(const pn_task *task, uint64_t timeout_ns);

/* Called by the behaviour. */
void pn_tasks_init(pn_lua *lua);
void pn_tasks_run(pn_lua *lua);
void pn_tasks_close(pn_lua *lua);
void pn_tasks_accept(pn_lua *lua, pn_msg *msg);
int pn_task__anchor(lua_State *L);

/* coroutine.c: every coroutine from L up to the task's is to be suspended by the runtime. False
 * without memory. */
bool pn_coroutine_park_chain(lua_State *L, pn_task *task);
void pn_coroutine_forget_chain(pn_task *task);

/* The innermost of the coroutines that a suspended task runs in, no longer marked; NULL when it is
 * the task's own. */
lua_State *pn_coroutine_take_innermost(pn_task *task);

/* stream.c, send.c: messages for streams, and room in mailboxes that were full. */
void pn_streams_accept(pn_lua *lua, pn_msg *msg); /* STREAM, and REPLY to a stream request */
void pn_sends_accept(pn_lua *lua, pn_msg *msg);

/* The time of a wait for room is over. Sends if there is room (a mailbox calls only when it is half
 * empty); false when there is none. */
bool pn_sends_last_try(pn_task *task);
bool pn_tasks_can_receive(const pn_lua *lua, const pn_call *chain);

/* What a function returns that may have ended its own actor: its results; or the task is abandoned
 * here, and where Lua cannot suspend, at the next instruction. */
int pn_task_leave(lua_State *L, int results);

/* Ends the calling task's own actor, as above. Takes over `exit`. */
int pn_task_end_actor(lua_State *L, pn_exit *exit);

/* Ends the actor for an error of `co`, whose stack is still as it was raised. */
void pn_task_fail_actor(pn_task *task, int status);

/* The hook side (hook.c). */
void pn_hook_interrupt(pn_lua *lua); /* async-signal-safe */
void pn_hook_kill(pn_lua *lua);      /* raise at every instruction of the running coroutine */
void pn_hook_open_debug(lua_State *L, int debug_table);

/* True if the whole chain of resumes can yield. */
bool pn_lua_can_yield(lua_State *L);

#endif
