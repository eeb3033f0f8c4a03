#include "lua/send.h"

#include <string.h>

#include "base/units.h"
#include "lua/args.h"
#include "lua/module.h"
#include "lua/request.h"

#define GROUP_RETRY_NS (5 * PN_NS_PER_MS) /* how often a group in restart is tried again */
#define NAME_TRIES     100 /* of a name whose actor was found and had ended when it was sent to */

/* A send that waits for room. */
typedef struct pending {
    pn_list link; /* in lua->sends */
    pn_pid to;
    pn_msg *msg;
    pn_task *task;
} pending;

static uint64_t now_ns(lua_State *L) {
    return pn_clock_now_ns(&pn_lua_worker(pn_lua_of(L))->runtime->clock);
}

static uint64_t left_until(lua_State *L, uint64_t deadline_ns) {
    if (deadline_ns == PN_CALL_NO_DEADLINE) return PN_NO_TIMEOUT;
    uint64_t now = now_ns(L);
    return deadline_ns > now ? deadline_ns - now : 0;
}

int pn_check_target(lua_State *L, int arg, pn_pid *pid) {
    *pid = pn_to_pid(L, arg);
    if (PN_LIKELY(*pid != 0)) return 0;
    if (lua_type(L, arg) != LUA_TSTRING) {
        luaL_typeerror(L, arg, "pid or registered name");
    }
    size_t size;
    const char *name = lua_tolstring(L, arg, &size);
    return pn_names_find(&pn_lua_worker(pn_lua_of(L))->runtime->names, name, size, pid);
}

static int push_noproc(lua_State *L, int arg) {
    luaL_tolstring(L, arg, NULL);
    return pn_push_error(L, PN_ENOPROC, "no such actor: %s", lua_tostring(L, -1));
}

/* ---- full mailboxes ---- */

static pending *first_pending(pn_lua *lua, pn_pid to) {
    for (pn_list *l = lua->sends.next; l != &lua->sends; l = l->next) {
        pending *p = PN_CONTAINER(l, pending, link);
        if (p->to == to) return p;
    }
    return NULL;
}

static void free_pending(pn_lua *lua, pending *p) {
    pn_list_remove(&p->link);
    pn_mem_free(&lua->actor->ledger, p, sizeof *p);
}

/* What could not be sent. The caller knows by the result of its send: the request needs no
 * reply. */
static void discard(pn_worker *worker, pn_msg *msg, int code) {
    if (msg->kind == PN_MSG_REQUEST) pn_call_claim(msg->call, PN_CALL_WITHDRAWN);
    pn_msg_destroy(worker, msg, code);
}

static void cancel_pending(pn_task *task, void *context) {
    pending *p = context;
    discard(pn_lua_worker(task->lua), p->msg, PN_EMAILBOX_FULL);
    free_pending(task->lua, p);
    task->cancel = NULL;
}

/* False: the mailbox is still full. Otherwise the wait is over. */
static bool try_again(pending *p) {
    pn_task *task = p->task;
    pn_lua *lua = task->lua;
    pn_worker *worker = pn_lua_worker(lua);
    int err = pn_actor_send(worker, lua->actor, p->to, p->msg);
    if (err == PN_EMAILBOX_FULL) return false;
    if (err != 0) discard(worker, p->msg, err);
    task->cancel = NULL;
    free_pending(lua, p);
    pn_task_ready(task, err);
    return true;
}

void pn_sends_accept(pn_lua *lua, pn_msg *space) {
    pn_worker *worker = pn_lua_worker(lua);
    pn_pid to = space->from;
    pn_msg_free(worker, space);
    pending *p;
    while ((p = first_pending(lua, to)) != NULL) {
        if (try_again(p)) continue;
        pn_actor_await_space(lua->actor, to);
        return;
    }
}

bool pn_sends_last_try(pn_task *task) {
    pending *p = task->context;
    return first_pending(task->lua, p->to) == p && try_again(p);
}

/* Waits with the message until it is sent. Owns msg. The continuation finds the result in
 * task->code. */
static int wait_for_room(lua_State *L, pn_pid to, pn_msg *msg, uint64_t deadline_ns,
                         uint32_t block_ms, lua_KContext context, lua_KFunction k) {
    pn_lua *lua = pn_lua_of(L);
    bool is_first = first_pending(lua, to) == NULL;
    pending *p = pn_mem_try(&lua->actor->ledger, sizeof *p);
    if (p == NULL) {
        discard(pn_lua_worker(lua), msg, PN_ENOMEM);
        pn_raise_code(L, PN_ENOMEM);
    }
    *p = (pending){.to = to, .msg = msg, .task = lua->current};
    pn_list_push(&lua->sends, &p->link);
    if (is_first) pn_actor_await_space(lua->actor, to);
    lua->current->cancel = cancel_pending;
    lua->current->context = p;
    uint64_t timeout_ns = left_until(L, deadline_ns), block_ns = block_ms * PN_NS_PER_MS;
    return pn_task_wait(L, PN_WAIT_SPACE, timeout_ns < block_ns ? timeout_ns : block_ns, context,
                        k);
}

/* Sends, or waits for room where that is the mailbox's policy. Owns msg. True: it was sent or has
 * failed, *err says which. False: the caller must return *result, and k goes on. */
static bool send_now(lua_State *L, pn_pid to, pn_msg *msg, uint64_t deadline_ns, int *err,
                     int *result, lua_KFunction k) {
    pn_lua *lua = pn_lua_of(L);
    pn_worker *worker = pn_lua_worker(lua);
    bool queued = PN_UNLIKELY(!pn_list_empty(&lua->sends)) && first_pending(lua, to) != NULL;
    *err = queued ? PN_EMAILBOX_FULL : pn_actor_send(worker, lua->actor, to, msg);
    if (PN_LIKELY(*err == 0)) return true;
    uint32_t block_ms;
    bool may_wait = *err == PN_EMAILBOX_FULL && to != lua->actor->pid &&
                    pn_actor_may_block(worker, to, &block_ms) && pn_lua_can_yield(L);
    if (may_wait) {
        *result = wait_for_room(L, to, msg, deadline_ns, block_ms, 0, k);
        return false;
    }
    discard(worker, msg, *err);
    return true;
}

static int push_send_error(lua_State *L, int err) {
    if (err == PN_ENOPROC) return push_noproc(L, 1);
    if (err == PN_ETIMEOUT) err = PN_EMAILBOX_FULL; /* of waiting for room */
    if (err == PN_EMAILBOX_FULL) {
        luaL_tolstring(L, 1, NULL);
        return pn_push_error(L, err, "the mailbox of %s is full", lua_tostring(L, -1));
    }
    return pn_push_error(L, err, NULL);
}

static int sent(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return push_send_error(L, task->code);
    lua_pushboolean(L, 1);
    return 1;
}

static int group_retry(lua_State *L, int status, lua_KContext deadline);

/* A group without a live member: later, within the default time. */
static int wait_for_group(lua_State *L, lua_KContext deadline, lua_KFunction k) {
    if (deadline == 0) deadline = (lua_KContext)(now_ns(L) + PN_CALL_TIMEOUT_NS);
    if (now_ns(L) >= (uint64_t)deadline || !pn_lua_can_yield(L)) return push_noproc(L, 1);
    return pn_task_wait(L, PN_WAIT_TIMER, GROUP_RETRY_NS, deadline, k);
}

/* Between a lookup of the name and the send its actor may have ended; then somebody else may have
 * it. */
static bool try_name_again(lua_State *L, int err, int *tries) {
    return err == PN_ENOPROC && lua_type(L, 1) == LUA_TSTRING && ++*tries < NAME_TRIES;
}

static int send_until(lua_State *L, lua_KContext deadline) {
    pn_pid to;
    int err, result, tries = 0;
    do {
        err = pn_check_target(L, 1, &to);
        if (PN_UNLIKELY(err == PN_EMAILBOX_FULL)) return wait_for_group(L, deadline, group_retry);
        if (PN_UNLIKELY(err != 0)) return push_noproc(L, 1);
        pn_msg *msg = pn_codec_message(L, 2, PN_MSG_USER, "message");
        if (!send_now(L, to, msg, PN_CALL_NO_DEADLINE, &err, &result, sent)) return result;
        if (PN_LIKELY(err == 0)) {
            lua_pushboolean(L, 1);
            return 1;
        }
    } while (try_name_again(L, err, &tries));
    return push_send_error(L, err);
}

static int group_retry(lua_State *L, int status, lua_KContext deadline) {
    (void)status;
    pn_task_woken(L);
    lua_settop(L, 2);
    return send_until(L, deadline);
}

int pn_send(lua_State *L) { return send_until(L, 0); }

/* ---- calls ---- */

/* The wait for a reply is over, whether one came or not. */
static void end_call(pn_task *task) {
    pn_task_calls(task, NULL);
    task->wait_ref = 0;
}

static int push_call_error(lua_State *L, int code) {
    luaL_tolstring(L, 1, NULL);
    const char *to = lua_tostring(L, -1);
    switch (code) {
    case PN_ETIMEOUT: return pn_push_error(L, code, "call to %s timed out", to);
    case PN_ECALL_CYCLE: return pn_push_error(L, code, "call to %s would wait for itself", to);
    case PN_EEXITED: return pn_push_error(L, code, "%s exited before it replied", to);
    case PN_ENO_REPLY: return pn_push_error(L, code, "%s dropped the request without a reply", to);
    default: return push_send_error(L, code);
    }
}

/* What the reply carries: value, err, code; or an error code of the runtime. */
static int push_reply(lua_State *L, pn_task *task) {
    pn_msg *msg = task->msg;
    int code = (int)(int64_t)msg->extra;
    if (code != 0) {
        task->msg = NULL;
        pn_msg_free(pn_lua_worker(task->lua), msg);
        return push_call_error(L, code);
    }
    luaL_checkstack(L, 4, NULL);
    const uint8_t *at = msg->data, *end = at + msg->size;
    int top = lua_gettop(L);
    end -= msg->carried * sizeof(pn_call *);
    while (at < end) pn_codec_decode(L, &at, end, msg); /* should it raise, the task has msg */
    task->msg = NULL;
    pn_msg_destroy(pn_lua_worker(task->lua), msg, 0);
    return lua_gettop(L) - top;
}

static int replied(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_lua_of(L)->current;
    bool has_reply = task->msg != NULL;
    end_call(task);
    pn_task_woken(L);
    if (!has_reply) return push_call_error(L, task->code == 0 ? PN_ETIMEOUT : task->code);
    return push_reply(L, task);
}

static void cancel_call(pn_task *task, void *context) {
    (void)context;
    pn_call_claim(task->calling, PN_CALL_WITHDRAWN);
}

static int wait_for_reply(lua_State *L) {
    pn_task *task = pn_task_current(L);
    if (task->msg != NULL) return replied(L, LUA_OK, 0);
    task->cancel = cancel_call;
    return pn_task_wait(L, PN_WAIT_REPLY, left_until(L, task->calling->deadline_ns), 0, replied);
}

static int room_found(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_lua_of(L)->current;
    int code = task->code;
    if (code == 0) return wait_for_reply(L);
    bool is_late = code == PN_ETIMEOUT && now_ns(L) >= task->calling->deadline_ns;
    end_call(task);
    pn_task_woken(L);
    return push_call_error(L, is_late || code != PN_ETIMEOUT ? code : PN_EMAILBOX_FULL);
}

/* The request to send; its call is the task's. */
static pn_msg *create_request(lua_State *L, uint64_t deadline_ns) {
    pn_lua *lua = pn_lua_of(L);
    pn_worker *worker = pn_lua_worker(lua);
    pn_task *task = lua->current;
    uint64_t ref = pn_task_begin_ref(task);
    pn_msg *msg = pn_codec_message(L, 2, PN_MSG_REQUEST, "message");
    pn_call *call = pn_task_create_call(task, ref, deadline_ns);
    if (call == NULL) {
        pn_msg_free(worker, msg);
        pn_raise_code(L, PN_ENOMEM);
    }
    msg->call = pn_call_grab(call);
    pn_task_calls(task, call);
    return msg;
}

static int call_retry(lua_State *L, int status, lua_KContext deadline);

/* False: the caller must return *result. */
static bool request_now(lua_State *L, pn_pid to, uint64_t deadline_ns, int *err, int *result) {
    pn_msg *msg = create_request(L, deadline_ns);
    const pn_call *call = pn_task_current(L)->calling;
    if (call->depth <= PN_CALL_DEPTH_MAX) {
        return send_now(L, to, msg, call->deadline_ns, err, result, room_found);
    }
    discard(pn_lua_worker(pn_lua_of(L)), msg, PN_ECALL_CYCLE);
    *err = PN_ECALL_CYCLE;
    return true;
}

static int call_until(lua_State *L, uint64_t deadline_ns) {
    pn_pid to;
    int err, result, tries = 0;
    pn_task_check_block(L);
    do {
        err = pn_check_target(L, 1, &to);
        if (err == PN_EMAILBOX_FULL)
            return wait_for_group(L, (lua_KContext)deadline_ns, call_retry);
        if (err != 0) return push_noproc(L, 1);
        if (!request_now(L, to, deadline_ns, &err, &result)) return result;
        if (err == 0) return wait_for_reply(L);
        end_call(pn_task_current(L));
    } while (try_name_again(L, err, &tries));
    return push_call_error(L, err);
}

static int call_retry(lua_State *L, int status, lua_KContext deadline) {
    (void)status;
    pn_task_woken(L);
    lua_settop(L, 2);
    return call_until(L, (uint64_t)deadline);
}

int pn_call_value(lua_State *L, uint64_t timeout_ns) {
    lua_settop(L, 2);
    return call_until(L, now_ns(L) + timeout_ns);
}

int pn_reply(lua_State *L, pn_call *call, int first) {
    pn_lua *lua = pn_lua_of(L);
    pn_worker *worker = pn_lua_worker(lua);
    int last = first;
    for (int i = first; i <= first + 2; i++) {
        if (!lua_isnoneornil(L, i)) last = i;
    }
    pn_parcel parcel;
    pn_parcel_begin(L, &parcel);
    lua_settop(L, first + 2);
    static const char *const roots[] = {"reply", "reply error", "reply code"};
    for (int i = first; i <= last; i++) pn_codec_encode(L, i, &parcel, roots[i - first]);
    pn_msg *reply = pn_msg_create(worker, PN_MSG_REPLY);
    if (reply == NULL) pn_raise_code(L, PN_ENOMEM);
    reply->from = lua->actor->pid;
    reply->extra = 0;
    pn_parcel_post(L, &parcel, reply);
    if (lua->current != NULL && lua->current->serving == call) pn_task_serve(lua->current, NULL);
    int err = pn_call_reply(worker, call, reply);
    if (err == PN_ETIMEOUT) return pn_push_error(L, err, "the caller no longer waits");
    if (err != 0) return pn_push_error(L, err, "the request was answered before");
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- receiving ---- */

static void push_exit(lua_State *L, pn_msg *msg) {
    bool is_down = msg->kind == PN_MSG_DOWN;
    lua_createtable(L, 0, 6);
    lua_pushstring(L, is_down ? "down" : "exit");
    lua_setfield(L, -2, "type");
    pn_push_pid(L, msg->from);
    lua_setfield(L, -2, "pid");
    if (is_down) {
        lua_pushinteger(L, (lua_Integer)msg->extra);
        lua_setfield(L, -2, "ref");
    }
    lua_pushstring(L, msg->exit->reason);
    lua_setfield(L, -2, "reason");
    lua_pushstring(L, msg->exit->error);
    lua_setfield(L, -2, "error");
    lua_pushstring(L, msg->exit->traceback);
    lua_setfield(L, -2, "traceback");
}

static int push_system(lua_State *L, pn_msg *msg) {
    push_exit(L, msg);
    lua_pushlightuserdata(L, pn_module_system_mark());
    return 2;
}

/* The task keeps the message until it is decoded: a raise loses nothing. */
int pn_push_received(lua_State *L, pn_msg *msg) {
    pn_lua *lua = pn_lua_of(L);
    pn_task *task = lua->current;
    pn_worker *worker = pn_lua_worker(lua);
    if (PN_UNLIKELY(task->msg != NULL)) pn_msg_destroy(worker, task->msg, PN_ENO_REPLY);
    task->msg = msg;
    if (PN_UNLIKELY(msg->kind > PN_MSG_REQUEST)) {
        push_system(L, msg);
    } else {
        pn_codec_push(L, msg);
        if (PN_UNLIKELY(msg->kind == PN_MSG_REQUEST)) {
            pn_request_push(L, msg->call);
            pn_task_serve(task, msg->call);
        } else {
            lua_pushnil(L);
            if (PN_UNLIKELY(task->serving != NULL)) pn_task_serve(task, NULL);
        }
    }
    task->msg = NULL;
    if (PN_LIKELY(msg->kind == PN_MSG_USER && msg->carried == 0)) {
        pn_msg_free(worker, msg);
    } else {
        pn_msg_destroy(worker, msg, PN_ENO_REPLY);
    }
    return 2;
}

static int received(lua_State *L, int status, lua_KContext deadline);

static int receive_until(lua_State *L, uint64_t deadline_ns) {
    pn_msg *msg = pn_actor_receive(pn_lua_of(L)->actor);
    if (msg != NULL) return pn_push_received(L, msg);
    uint64_t left_ns = left_until(L, deadline_ns);
    if (left_ns == 0) {
        pn_task_check_block(L);
        return pn_push_error(L, PN_ETIMEOUT, "no message in time");
    }
    return pn_task_wait(L, PN_WAIT_RECEIVE, left_ns, (lua_KContext)deadline_ns, received);
}

static int received(lua_State *L, int status, lua_KContext deadline) {
    (void)status;
    pn_task *task = pn_task_woken(L);
    if (task->code == PN_ETIMEOUT) return pn_push_error(L, PN_ETIMEOUT, "no message in time");
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return receive_until(L, (uint64_t)deadline);
}

int pn_receive(lua_State *L, uint64_t timeout_ns) {
    if (timeout_ns == PN_NO_TIMEOUT) return receive_until(L, PN_CALL_NO_DEADLINE);
    return receive_until(L, now_ns(L) + timeout_ns);
}

/* ---- receive_match: the first message for which a function says yes; the others stay ---- */

enum { MATCH_FN = 1, MATCH_STATE = 2, MATCH_MSG = 3, MATCH_REQ = 4 };

typedef struct match {
    uint64_t deadline_ns;
    /* From the mailbox when `before` was in it: fn may itself receive, senders may drop. */
    uint64_t taken;
    pn_msg *before; /* the last one that fn did not want; NULL: begin at the front */
} match;

static match *match_of(lua_State *L) { return lua_touserdata(L, MATCH_STATE); }

/* Begins at the front again when the mailbox is no longer the one that was looked through. */
static void check_mailbox(lua_State *L) {
    match *m = match_of(L);
    uint64_t taken = pn_actor_taken(pn_lua_of(L)->actor);
    if (m->taken != taken) m->before = NULL;
    m->taken = taken;
}

static pn_msg *next_of(const pn_actor *actor, const match *m) {
    return (pn_msg *)(m->before != NULL ? m->before->link.next : actor->mailbox.head);
}

/* Pushes fn, message and request, without taking the message. */
static void show(lua_State *L, pn_msg *msg) {
    lua_settop(L, MATCH_STATE);
    lua_pushvalue(L, MATCH_FN);
    if (msg->kind > PN_MSG_REQUEST) {
        push_system(L, msg);
        return;
    }
    pn_codec_push(L, msg);
    if (msg->kind == PN_MSG_REQUEST) {
        pn_request_push(L, msg->call);
    } else {
        lua_pushnil(L);
    }
}

static int match_waited(lua_State *L, int status, lua_KContext context);
static int match_called(lua_State *L, int status, lua_KContext context);

/* fn's verdict is on top. True: the message is taken and pushed. */
static bool take_match(lua_State *L) {
    match *m = match_of(L);
    pn_actor *actor = pn_lua_of(L)->actor;
    if (m->taken != pn_actor_taken(actor)) return false;
    if (!lua_toboolean(L, -1)) {
        m->before = next_of(actor, m);
        return false;
    }
    lua_settop(L, MATCH_STATE);
    pn_push_received(L, pn_actor_take_after(actor, m->before));
    return true;
}

static int match_loop(lua_State *L) {
    match *m = match_of(L);
    for (;;) {
        check_mailbox(L);
        pn_msg *msg = next_of(pn_lua_of(L)->actor, m);
        if (msg == NULL) break;
        show(L, msg);
        lua_callk(L, 2, 1, 0, match_called);
        if (take_match(L)) return 2;
    }
    lua_settop(L, MATCH_STATE);
    uint64_t left_ns = left_until(L, m->deadline_ns);
    if (left_ns == 0) return pn_push_error(L, PN_ETIMEOUT, "no such message in time");
    return pn_task_wait(L, PN_WAIT_MATCH, left_ns, 0, match_waited);
}

static int match_called(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    return take_match(L) ? 2 : match_loop(L);
}

static int match_waited(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_task_woken(L);
    if (task->code == PN_ETIMEOUT) return pn_push_error(L, PN_ETIMEOUT, "no such message in time");
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return match_loop(L);
}

int pn_receive_match(lua_State *L, uint64_t timeout_ns) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, MATCH_FN);
    luaL_checkstack(L, 12, NULL);
    match *m = lua_newuserdatauv(L, sizeof *m, 0);
    bool for_ever = timeout_ns == PN_NO_TIMEOUT;
    *m = (match){.deadline_ns = for_ever ? PN_CALL_NO_DEADLINE : now_ns(L) + timeout_ns};
    return match_loop(L);
}

/* ---- serve ---- */

enum { SERVE_HANDLER = 1, SERVE_MSG = 2, SERVE_REQ = 3, SERVE_RESULT = 4 };

#define SERVE_ARGUMENTS_MAX 250

static int serve_received(lua_State *L, int status, lua_KContext context);
static int serve_called(lua_State *L, int status, lua_KContext context);

/* The reply is what the handler returned, from SERVE_RESULT on. A table's function always replies;
 * a function that returns nothing has kept the request for later. */
static void serve_reply(lua_State *L) {
    pn_call *call = pn_request_call(L, SERVE_REQ);
    bool kept = lua_isfunction(L, SERVE_HANDLER) && lua_gettop(L) < SERVE_RESULT;
    if (call != NULL && pn_call_is_open(call) && !kept) pn_reply(L, call, SERVE_RESULT);
}

static void serve_refuse(lua_State *L) {
    lua_settop(L, SERVE_REQ);
    if (pn_request_call(L, SERVE_REQ) == NULL) return; /* a plain message: nobody to tell */
    lua_pushnil(L);
    if (lua_istable(L, SERVE_MSG) && lua_rawgeti(L, SERVE_MSG, 1) == LUA_TSTRING) {
        lua_pushfstring(L, "unknown request: %s", lua_tostring(L, -1));
        lua_remove(L, -2);
    } else {
        lua_settop(L, SERVE_RESULT);
        lua_pushliteral(L, "not a request: a table { name, ... } was expected");
    }
    lua_pushliteral(L, "bad_request");
}

/* Pushes the function for the message and its arguments; returns how many, or -1 if there is
 * none. */
static int serve_prepare(lua_State *L) {
    if (lua_isfunction(L, SERVE_HANDLER)) {
        lua_pushvalue(L, SERVE_HANDLER);
        lua_pushvalue(L, SERVE_MSG);
        lua_pushvalue(L, SERVE_REQ);
        return 2;
    }
    bool is_system = lua_touserdata(L, SERVE_REQ) == pn_module_system_mark();
    if (!lua_istable(L, SERVE_MSG)) return -1;
    if (is_system) {
        lua_getfield(L, SERVE_MSG, "type");
    } else {
        lua_rawgeti(L, SERVE_MSG, 1);
    }
    if (lua_isnil(L, -1) || lua_gettable(L, SERVE_HANDLER) != LUA_TFUNCTION) return -1;
    if (is_system) {
        lua_pushvalue(L, SERVE_MSG);
        return 1;
    }
    lua_Unsigned length = lua_rawlen(L, SERVE_MSG);
    if (length > SERVE_ARGUMENTS_MAX + 1) {
        luaL_error(L, "serve: more than %d arguments", SERVE_ARGUMENTS_MAX);
    }
    luaL_checkstack(L, (int)length + 1, "too many arguments");
    for (lua_Unsigned i = 2; i <= length; i++) lua_rawgeti(L, SERVE_MSG, (lua_Integer)i);
    return (int)length - 1;
}

/* One turn for the message at SERVE_MSG. */
static void serve_message(lua_State *L) {
    int arguments = serve_prepare(L);
    if (arguments < 0) {
        serve_refuse(L);
    } else {
        lua_callk(L, arguments, LUA_MULTRET, 0, serve_called);
    }
    serve_reply(L);
}

static int serve_loop(lua_State *L) {
    for (;;) {
        lua_settop(L, SERVE_HANDLER);
        pn_msg *msg = pn_actor_receive(pn_lua_of(L)->actor);
        if (msg == NULL) return pn_task_wait(L, PN_WAIT_RECEIVE, PN_NO_TIMEOUT, 0, serve_received);
        pn_push_received(L, msg);
        serve_message(L);
    }
}

static int serve_called(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    serve_reply(L);
    return serve_loop(L);
}

static int serve_received(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return serve_loop(L);
}

int pn_serve(lua_State *L) {
    if (!lua_isfunction(L, 1) && !lua_istable(L, 1)) {
        return luaL_typeerror(L, 1, "function or table of functions");
    }
    luaL_checkstack(L, 8, NULL);
    return serve_loop(L);
}
