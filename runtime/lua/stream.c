#include "lua/stream.h"

#include <string.h>

#include "base/units.h"
#include "lua/args.h"
#include "lua/request.h"
#include "lua/send.h"

/* One end. It lives until its Lua object is collected; its number until it is closed both ways. */
typedef struct stream {
    pn_flow flow;
    uint64_t id; /* in lua->streams, with PN_STREAM_REF */
    pn_pid peer; /* 0: nobody has answered yet */
    uint64_t peer_ref;
    pn_call *call;         /* the request that opened it, until it is answered; counted */
    pn_queue values;       /* DATA messages to read */
    uint32_t granted;      /* credit the peer may use without hearing from us */
    uint32_t consumed;     /* values read since credit was given back */
    uint32_t credit;       /* values we may write */
    bool is_closed;        /* by us */
    bool is_peer_closed;   /* nothing more comes, our writes fail */
    bool ends_after_value; /* a plain reply: one value, then the end */
    int error_code;        /* of the peer's close */
    char *error; /* its message and, behind the NUL, the code's own name or nothing; owned */
    size_t error_bytes;
    pn_task *reader, *writer;
    pn_timer opening; /* the time within which somebody must answer */
} stream;

static pn_map *map_of(pn_lua *lua) { return lua->streams; }

static stream *find(pn_lua *lua, uint64_t id) {
    uint64_t *found = lua->streams != NULL ? pn_map_get(map_of(lua), id) : NULL;
    return found != NULL ? (stream *)(uintptr_t)*found : NULL;
}

static void wake(pn_task **waiting, int code) {
    pn_task *task = *waiting;
    *waiting = NULL;
    if (task != NULL) {
        task->cancel = NULL;
        pn_task_ready(task, code);
    }
}

/* ---- messages ---- */

static pn_msg *to_peer(stream *s, unsigned op) {
    pn_msg *msg = pn_msg_must_create(pn_lua_worker(s->flow.lua), PN_MSG_STREAM);
    msg->to = s->peer;
    msg->from = s->flow.lua->actor->pid;
    msg->aux = (uint8_t)op;
    msg->ref = s->peer_ref;
    msg->extra = 0;
    return msg;
}

static void give_credit(stream *s) {
    if (s->peer == 0 || s->is_peer_closed || s->consumed < (s->granted + 1) / 2) return;
    pn_msg *msg = to_peer(s, PN_STREAM_OP_CREDIT);
    msg->extra = s->consumed;
    s->consumed = 0;
    pn_worker_route(pn_lua_worker(s->flow.lua), msg);
}

/* Without memory for the text of a close, its code alone must do, where it says something. */
static int bare_code(int code) { return code == PN_EUNKNOWN ? PN_ENOMEM : code; }

/* The payload of a close: message, NUL, name, NUL. Nothing: the code's own text must do. */
static void set_error(stream *s, const char *payload, size_t size, int code) {
    s->error_code = code;
    if (size == 0) return;
    s->error = pn_mem_try(&s->flow.lua->actor->ledger, size);
    if (s->error == NULL) {
        s->error_code = bare_code(code);
        return;
    }
    s->error_bytes = size;
    memcpy(s->error, payload, size);
}

static void drop_values(stream *s) {
    pn_link *link;
    while ((link = pn_queue_pop(&s->values)) != NULL) {
        pn_msg_destroy(pn_lua_worker(s->flow.lua), (pn_msg *)link, PN_ECANCELLED);
    }
}

static void end_opening(stream *s) {
    pn_timer_stop(pn_lua_worker(s->flow.lua)->io.wheel, &s->opening);
    pn_call_release(pn_lua_worker(s->flow.lua), s->call);
    s->call = NULL;
}

static void on_peer_closed(stream *s, const char *payload, size_t size, int code) {
    if (s->is_peer_closed) return;
    s->is_peer_closed = true;
    set_error(s, payload, size, code);
    wake(&s->reader, 0);
    wake(&s->writer, 0);
}

/* The plain answer to a stream request: an error, or one value. */
static void on_reply(stream *s, pn_msg *msg) {
    int code = (int)(int64_t)msg->extra;
    end_opening(s);
    if (code != 0) {
        pn_msg_destroy(pn_lua_worker(s->flow.lua), msg, 0);
        on_peer_closed(s, NULL, 0, code);
        return;
    }
    s->ends_after_value = true;
    pn_queue_push(&s->values, &msg->link);
    on_peer_closed(s, NULL, 0, 0);
}

static void on_close_message(stream *s, pn_msg *msg) {
    end_opening(s);
    on_peer_closed(s, (const char *)msg->data, msg->size, (int)(int64_t)msg->extra);
    pn_msg_destroy(pn_lua_worker(s->flow.lua), msg, 0);
}

static void on_open(stream *s, pn_msg *msg) {
    s->peer = msg->from;
    s->peer_ref = msg->extra;
    s->credit = PN_STREAM_CREDIT;
    end_opening(s);
    wake(&s->writer, 0);
    pn_msg_destroy(pn_lua_worker(s->flow.lua), msg, 0);
}

void pn_streams_accept(pn_lua *lua, pn_msg *msg) {
    stream *s = find(lua, msg->ref);
    if (s == NULL || s->is_closed) { /* we have gone meanwhile */
        if (msg->kind == PN_MSG_STREAM && msg->aux == PN_STREAM_OP_OPEN) {
            pn_msg_refuse_stream(pn_lua_worker(lua), msg, PN_ECANCELLED);
        } else {
            pn_msg_destroy(pn_lua_worker(lua), msg, PN_ECANCELLED); /* and have said so */
        }
    } else if (msg->kind == PN_MSG_REPLY) {
        on_reply(s, msg);
    } else if (msg->aux == PN_STREAM_OP_OPEN) {
        on_open(s, msg);
    } else if (msg->aux == PN_STREAM_OP_DATA) {
        pn_queue_push(&s->values, &msg->link);
        wake(&s->reader, 0);
    } else if (msg->aux == PN_STREAM_OP_CREDIT) {
        s->credit += (uint32_t)msg->extra;
        pn_msg_destroy(pn_lua_worker(lua), msg, 0);
        wake(&s->writer, 0);
    } else {
        on_close_message(s, msg);
    }
}

/* ---- reading ---- */

/* A plain reply may itself be nil, message, code; stream values are single. */
static int push_value(lua_State *L, stream *s, pn_msg *msg) {
    pn_lua *lua = s->flow.lua;
    pn_task *task = lua->current;
    const uint8_t *at = msg->data, *end = at + msg->size - msg->carried * sizeof(pn_call *);
    int top = lua_gettop(L);
    luaL_checkstack(L, 4, NULL);
    if (task->msg != NULL) pn_msg_destroy(pn_lua_worker(lua), task->msg, PN_ENO_REPLY);
    task->msg = msg; /* should decoding raise */
    while (at < end) pn_codec_decode(L, &at, end, msg);
    task->msg = NULL;
    pn_msg_destroy(pn_lua_worker(lua), msg, PN_ENO_REPLY);
    if (!s->ends_after_value) {
        s->consumed++;
        give_credit(s);
    }
    return lua_gettop(L) - top;
}

/* nil, message, code, of the peer's close. */
static int push_error(lua_State *L, const stream *s) {
    const char *name = s->error != NULL ? s->error + strlen(s->error) + 1 : "";
    lua_pushnil(L);
    lua_pushstring(L, s->error != NULL ? s->error : pn_err_text(s->error_code));
    lua_pushstring(L, *name != '\0' ? name : pn_err_name(s->error_code));
    return 3;
}

static int push_end(lua_State *L, const stream *s) {
    if (s->error_code != 0) return push_error(L, s);
    lua_pushnil(L);
    return 1;
}

static void cancel_reader(pn_task *task, void *context) {
    (void)task;
    ((stream *)context)->reader = NULL;
}

static void cancel_writer(pn_task *task, void *context) {
    (void)task;
    ((stream *)context)->writer = NULL;
}

static int read_more(lua_State *L, int status, lua_KContext context);

static int read_stream(lua_State *L, pn_flow *flow, uint64_t timeout_ns) {
    stream *s = (stream *)flow;
    if (s->is_closed) return pn_push_error(L, PN_ECLOSED, "the stream is closed");
    pn_link *link = pn_queue_pop(&s->values);
    if (link != NULL) return push_value(L, s, (pn_msg *)link);
    if (s->is_peer_closed) return push_end(L, s);
    if (s->reader != NULL) return luaL_error(L, "read: another task is reading this stream");
    pn_task_check_block(L);
    pn_task *task = pn_task_current(L);
    s->reader = task;
    task->cancel = cancel_reader;
    task->context = s;
    return pn_task_wait(L, PN_WAIT_IO, timeout_ns, (lua_KContext)s, read_more);
}

/* The stream's object is at stack index 1 of every method, so it is still there. */
static int read_more(lua_State *L, int status, lua_KContext context) {
    (void)status;
    stream *s = (stream *)context;
    pn_task *task = pn_task_woken(L);
    if (task->code == PN_ETIMEOUT) return pn_push_error(L, PN_ETIMEOUT, "nothing to read in time");
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return read_stream(L, &s->flow, PN_NO_TIMEOUT);
}

/* ---- writing ---- */

static int write_more(lua_State *L, int status, lua_KContext context);

static int push_write_error(lua_State *L, const stream *s) {
    if (s->is_closed) return pn_push_error(L, PN_ECLOSED, "the stream is closed");
    if (s->error_code != 0) return push_error(L, s);
    return pn_push_error(L, PN_ECANCELLED, "the reader has gone");
}

static int write_stream(lua_State *L, pn_flow *flow) {
    stream *s = (stream *)flow;
    if (s->is_closed || s->is_peer_closed) return push_write_error(L, s);
    if (lua_isnil(L, 2)) return luaL_argerror(L, 2, "nil is the end of a stream: use close");
    if (s->peer == 0 || s->credit == 0) {
        if (s->writer != NULL)
            return luaL_error(L, "write: another task is writing to this stream");
        pn_task_check_block(L);
        pn_task *task = pn_task_current(L);
        s->writer = task;
        task->cancel = cancel_writer;
        task->context = s;
        return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, (lua_KContext)s, write_more);
    }
    pn_msg *msg = pn_codec_message(L, 2, PN_MSG_STREAM, "value");
    msg->to = s->peer;
    msg->from = s->flow.lua->actor->pid;
    msg->aux = PN_STREAM_OP_DATA;
    msg->ref = s->peer_ref;
    s->credit--;
    pn_worker_route(pn_lua_worker(s->flow.lua), msg);
    lua_pushboolean(L, 1);
    return 1;
}

static int write_more(lua_State *L, int status, lua_KContext context) {
    (void)status;
    stream *s = (stream *)context;
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return write_stream(L, &s->flow);
}

/* ---- closing ---- */

static void tell_close(stream *s, const char *message, int code) {
    pn_worker *worker = pn_lua_worker(s->flow.lua);
    pn_msg *msg = to_peer(s, PN_STREAM_OP_CLOSE);
    msg->extra = (uint64_t)(int64_t)code;
    if (message != NULL) {
        const char *name = s->flow.close_name != NULL ? s->flow.close_name : "";
        pn_buf *text = &worker->scratch;
        pn_buf_clear(text);
        bool whole = pn_buf_add(text, message, strlen(message) + 1) &&
                     pn_buf_add(text, name, strlen(name) + 1);
        if (!whole || pn_msg_set_payload(worker, msg, text->data, text->size) != 0) {
            msg->extra = (uint64_t)(int64_t)bare_code(code);
        }
    }
    pn_worker_route(worker, msg);
}

static void close_stream(pn_flow *flow, const char *message, int code) {
    stream *s = (stream *)flow;
    pn_lua *lua = flow->lua;
    if (s->is_closed) return;
    if (s->call != NULL) {
        pn_call_claim(s->call, PN_CALL_WITHDRAWN);
        end_opening(s);
    }
    if (s->peer != 0 && !s->is_peer_closed) tell_close(s, message, code);
    s->is_closed = true;
    drop_values(s);
    wake(&s->reader, 0);
    wake(&s->writer, 0);
    pn_map_remove(map_of(lua), s->id, NULL);
}

static void free_stream(pn_flow *flow) {
    stream *s = (stream *)flow;
    pn_ledger *ledger = &flow->lua->actor->ledger;
    pn_mem_free(ledger, s->error, s->error_bytes);
    pn_mem_free(ledger, s, sizeof *s);
}

static const pn_flow_class stream_class = {
    "stream", read_stream, write_stream, close_stream, free_stream,
};

static void on_opening_late(pn_timer *timer) {
    stream *s = PN_CONTAINER(timer, stream, opening);
    pn_call_claim(s->call, PN_CALL_WITHDRAWN);
    end_opening(s);
    on_peer_closed(s, NULL, 0, PN_ETIMEOUT);
}

/* ---- opening ---- */

static stream *create(lua_State *L, uint32_t granted) {
    pn_lua *lua = pn_lua_of(L);
    pn_ledger *ledger = &lua->actor->ledger;
    if (lua->streams == NULL) {
        lua->streams = pn_mem_try(ledger, sizeof(pn_map));
        if (lua->streams == NULL) pn_raise_code(L, PN_ENOMEM);
        pn_map_init(lua->streams, &ledger->door);
    }
    stream *s = pn_mem_try_zeroed(ledger, sizeof *s);
    if (s == NULL) pn_raise_code(L, PN_ENOMEM);
    s->flow = (pn_flow){.class = &stream_class, .lua = lua};
    s->id = PN_STREAM_REF | ++lua->wait_count;
    s->granted = granted;
    pn_timer_init(&s->opening, on_opening_late);
    if (pn_map_set(map_of(lua), s->id, (uintptr_t)s) != 0) {
        pn_mem_free(ledger, s, sizeof *s);
        pn_raise_code(L, PN_ENOMEM);
    }
    pn_flow_push(L, &s->flow);
    return s;
}

static int fail_to_open(lua_State *L, stream *s, int err) {
    s->is_closed = true;
    pn_map_remove(map_of(s->flow.lua), s->id, NULL);
    if (s->call != NULL) end_opening(s);
    if (err == PN_ENOPROC) {
        return pn_push_error(L, err, "no such actor: %s", luaL_tolstring(L, 1, NULL));
    }
    return pn_push_error(L, err, NULL);
}

/* Four results, so that `for x in actor.stream(...)` closes it when the loop is left. */
static int return_stream(lua_State *L) {
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, -3);
    return 4;
}

int pn_stream_open(lua_State *L, uint64_t timeout_ns, uint32_t credit) {
    pn_lua *lua = pn_lua_of(L);
    pn_worker *worker = pn_lua_worker(lua);
    pn_pid to;
    int err = pn_check_target(L, 1, &to);
    if (pn_lua_is_ending(lua)) return pn_push_error(L, PN_EEXITED, NULL);
    stream *s = create(L, credit);
    if (err != 0) return fail_to_open(L, s, err == PN_EMAILBOX_FULL ? PN_ENOPROC : err);
    pn_msg *msg = pn_codec_message(L, 2, PN_MSG_REQUEST, "message");
    uint64_t deadline_ns = pn_task_deadline_ns(lua->current, timeout_ns);
    s->call = pn_task_create_call(lua->current, s->id, deadline_ns);
    if (s->call == NULL) {
        pn_msg_free(worker, msg);
        return fail_to_open(L, s, PN_ENOMEM);
    }
    msg->call = pn_call_grab(s->call);
    s->call->credit = credit;
    uint64_t now_ns = pn_clock_now_ns(worker->io.clock);
    uint64_t left_ns = s->call->deadline_ns > now_ns ? s->call->deadline_ns - now_ns : 0;
    pn_io_start_timer(&worker->io, &s->opening, left_ns);
    err = pn_actor_send(worker, lua->actor, to, msg);
    if (err != 0) {
        pn_call_claim(s->call, PN_CALL_WITHDRAWN);
        pn_msg_destroy(worker, msg, err);
        return fail_to_open(L, s, err);
    }
    return return_stream(L);
}

int pn_stream_answer(lua_State *L, pn_call *call) {
    if ((call->ref & PN_STREAM_REF) == 0) {
        return pn_push_error(L, PN_EBAD_REQUEST, "the caller made a call, not a stream");
    }
    if (pn_lua_is_ending(pn_lua_of(L))) return pn_push_error(L, PN_EEXITED, NULL);
    stream *s = create(L, PN_STREAM_CREDIT);
    if (!pn_call_claim(call, PN_CALL_ANSWERED)) {
        bool is_late = atomic_load(&call->state) == PN_CALL_WITHDRAWN;
        fail_to_open(L, s, PN_ECANCELLED);
        return is_late ? pn_push_error(L, PN_ETIMEOUT, "the caller no longer waits")
                       : pn_push_error(L, PN_EBAD_REQUEST, "the request was answered before");
    }
    s->peer = call->caller;
    s->peer_ref = call->ref;
    s->credit = call->credit;
    pn_msg *msg = to_peer(s, PN_STREAM_OP_OPEN);
    msg->extra = s->id;
    pn_worker_route(pn_lua_worker(s->flow.lua), msg);
    return return_stream(L);
}

/* The actor ends: the other sides are told; the objects go with the state. */
void pn_streams_close(pn_lua *lua) {
    if (lua->streams == NULL) return;
    uint32_t cursor = 0;
    pn_map_entry *e;
    while ((e = pn_map_next(map_of(lua), &cursor)) != NULL) {
        stream *s = (stream *)(uintptr_t)e->value;
        close_stream(&s->flow, NULL, PN_EEXITED);
        cursor = 0;
    }
    pn_map_close(map_of(lua));
    pn_mem_free(&lua->actor->ledger, lua->streams, sizeof(pn_map));
    lua->streams = NULL;
}

/* ---- the Lua object of all flows ---- */

static const char class_key = 0;

pn_flow *pn_flow_test(lua_State *L, int index) {
    pn_flow **box = lua_touserdata(L, index);
    if (box == NULL || !lua_getmetatable(L, index)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    bool fits = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return fits ? *box : NULL;
}

static pn_flow *check_flow(lua_State *L) {
    pn_flow *flow = pn_flow_test(L, 1);
    if (flow != NULL) return flow;
    luaL_typeerror(L, 1, "stream");
    pn_unreachable();
}

static int l_read(lua_State *L) {
    pn_flow *flow = check_flow(L);
    uint64_t timeout_ns = pn_opt_duration(L, 2, PN_NO_TIMEOUT);
    lua_settop(L, 1);
    return flow->class->read(L, flow, timeout_ns);
}

static int l_write(lua_State *L) {
    pn_flow *flow = check_flow(L);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    return flow->class->write(L, flow);
}

static int l_close(lua_State *L) {
    pn_flow *flow = check_flow(L);
    const char *message = luaL_optstring(L, 2, NULL);
    const char *name = luaL_optstring(L, 3, message != NULL ? "error" : NULL);
    int code = name == NULL ? 0 : pn_err_from_name(name);
    if (message == NULL && name != NULL) message = pn_err_text(code);
    flow->close_name = code == PN_EUNKNOWN ? name : NULL;
    flow->class->close(flow, message, code);
    flow->close_name = NULL;
    lua_pushboolean(L, 1);
    return 1;
}

/* As the iterator of a for loop: nil ends, a failure raises. */
static int raise_failure(lua_State *L, int count) {
    if (count < 2 || lua_isnil(L, -count + 1)) return count;
    return luaL_error(L, "%s (%s)", lua_tostring(L, -count + 1),
                      count > 2 ? lua_tostring(L, -count + 2) : "error");
}

static int iterated(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    return raise_failure(L, lua_gettop(L) - 1);
}

static int l_call(lua_State *L) {
    check_flow(L);
    lua_settop(L, 1);
    lua_pushcfunction(L, l_read);
    lua_pushvalue(L, 1);
    lua_callk(L, 1, LUA_MULTRET, 0, iterated);
    return iterated(L, LUA_OK, 0);
}

static int l_gc(lua_State *L) {
    pn_flow **box = lua_touserdata(L, 1);
    pn_flow *flow = *box;
    *box = NULL;
    if (flow == NULL) return 0;
    if (flow->lua->streams != NULL || flow->class != &stream_class) {
        flow->class->close(flow, NULL, PN_ECANCELLED);
    }
    flow->class->free(flow);
    return 0;
}

static int l_close_variable(lua_State *L) {
    pn_flow *flow = check_flow(L);
    bool failed = !lua_isnoneornil(L, 2);
    flow->class->close(flow, NULL, failed ? PN_ECANCELLED : 0);
    return 0;
}

static int l_tostring(lua_State *L) {
    pn_flow *flow = check_flow(L);
    lua_pushfstring(L, "%s: %p", flow->class->name, (void *)flow);
    return 1;
}

/* api: actor.Stream */
static const luaL_Reg methods[] = {
    {"read", l_read},
    {"write", l_write},
    {"close", l_close},
    {NULL, NULL},
};

/* api: actor.Stream */
static const luaL_Reg metamethods[] = {
    {"__call", l_call},         {"__gc", l_gc}, {"__close", l_close_variable},
    {"__tostring", l_tostring}, {NULL, NULL},
};

static int push_class(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key) == LUA_TTABLE) return 1;
    lua_pop(L, 1);
    luaL_newlib(L, metamethods);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "stream");
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &class_key);
    return 1;
}

static int push_protected(lua_State *L) {
    pn_flow *flow = lua_touserdata(L, 1);
    pn_flow **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    push_class(L);
    lua_setmetatable(L, -2);
    *box = flow;
    return 1;
}

void pn_flow_push(lua_State *L, pn_flow *flow) {
    luaL_checkstack(L, 4, NULL);
    lua_pushcfunction(L, push_protected);
    lua_pushlightuserdata(L, flow);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
    flow->class->close(flow, NULL, PN_ENOMEM);
    flow->class->free(flow);
    lua_error(L);
}
