/*
 * send.h - sending from a task: names, full mailboxes, calls, receiving, serving.
 *
 * A send to a full mailbox of policy "block" parks the sending task behind the earlier blocked
 * sends of its actor to the same mailbox, so the order of one sender's messages holds across its
 * tasks.
 */
#ifndef PN_LUA_SEND_H
#define PN_LUA_SEND_H

#include "lua/codec.h"
#include "lua/task.h"

#define PN_CALL_TIMEOUT_NS (5 * PN_NS_PER_S)

/* The pid meant by a pid or a registered name at `arg`; raises for anything else. 0, PN_ENOPROC, or
 * PN_EMAILBOX_FULL for a group without a live member. */
int pn_check_target(lua_State *L, int arg, pn_pid *pid);

/* send(to, msg), call(to, msg, timeout), receive(timeout): to and msg are all that is on the
 * stack. */
int pn_send(lua_State *L);
int pn_call_value(lua_State *L, uint64_t timeout_ns);
int pn_receive(lua_State *L, uint64_t timeout_ns);

/* receive_match(fn, timeout): fn at index 1. */
int pn_receive_match(lua_State *L, uint64_t timeout_ns);

/* serve(handler): a function or a table at index 1. */
int pn_serve(lua_State *L);

/* Replies to a request with the values at first .. first+2 (value, err, code). Returns the
 * results. */
int pn_reply(lua_State *L, pn_call *call, int first);

/* Decodes a received message onto L: the value, and its request, SYSTEM, or nil. Returns 2. The
 * task serves the request from now on. Owns msg. */
int pn_push_received(lua_State *L, pn_msg *msg);

#endif
