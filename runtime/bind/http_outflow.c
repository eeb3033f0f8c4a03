/*
 * An answer in pieces: the flow of res:stream() and res:sse().
 *
 * A write waits until the connection takes more, so a client that reads slowly slows its handler.
 * The end of the flow is the end of the answer; closing it with an error, or leaving the handler by
 * one, cuts the connection, so that the client knows that something is missing.
 */
#include "bind/http_serve.h"

#include "lua/args.h"

typedef struct pn_outflow {
    pn_flow flow;
    pn_incoming *in; /* NULL: over */
    pn_task *writer; /* that waits for room */
    bool is_events;
} pn_outflow;

static pn_outflow *outflow_of(pn_flow *flow) { return PN_CONTAINER(flow, pn_outflow, flow); }

static void wake_writer(pn_outflow *o) {
    pn_task *task = o->writer;
    if (task == NULL) return;
    o->writer = NULL;
    pn_task_ready(task, 0);
}

void pn_outflow_on_writable(pn_incoming *in) {
    if (in->outflow != NULL) wake_writer(in->outflow);
}

void pn_outflow_detach(pn_incoming *in) {
    pn_outflow *o = in->outflow;
    if (o == NULL) return;
    in->outflow = NULL;
    o->in = NULL;
    wake_writer(o);
}

/* ---- writing ---- */

static int read_none(lua_State *L, pn_flow *flow, uint64_t timeout_ns) {
    (void)flow, (void)timeout_ns;
    return luaL_error(L, "read: an answer can only be written");
}

static void read_text(lua_State *L, const char *key, pn_text *text) {
    if (lua_getfield(L, 2, key) != LUA_TNIL) { /* the string is the table's */
        if (lua_type(L, -1) != LUA_TSTRING) pn_field_error(L, key, "a string", -1);
        text->at = lua_tolstring(L, -1, &text->size);
    }
}

/* Pushes the event at index 2, a string (its data) or a table, as it is sent. */
static void push_event(lua_State *L) {
    static const char *const known[] = {"event", "data", "id", "retry", "comment", NULL};
    pn_http_sse event = {0};
    if (lua_type(L, 2) == LUA_TTABLE) {
        pn_check_options(L, 2, known);
        read_text(L, "event", &event.event);
        read_text(L, "data", &event.data);
        read_text(L, "id", &event.id);
        read_text(L, "comment", &event.comment);
        event.retry_ms = pn_field_duration(L, 2, "retry", 0) / PN_NS_PER_MS;
    } else {
        event.data.at = luaL_checklstring(L, 2, &event.data.size);
    }
    pn_buf *text = &pn_http_service_of(L)->text;
    pn_buf_clear(text);
    int err = pn_http_sse_write(text, &event);
    if (err == PN_ENOMEM) pn_raise_code(L, err);
    if (err != 0) luaL_error(L, "write: 'event' and 'id' must be one line");
    lua_pushlstring(L, text->data, text->size);
}

static void cancel_writer(pn_task *task, void *context) {
    (void)task;
    ((pn_outflow *)context)->writer = NULL;
}

static int write_more(lua_State *L, int status, lua_KContext context);

/* The bytes are at index 2. */
static int write_bytes(lua_State *L, pn_outflow *o) {
    if (o->in == NULL) return pn_push_error(L, PN_ECLOSED, "the answer is over");
    pn_http_exchange *x = o->in->x;
    if (pn_http_exchange_is_aborted(x)) return pn_push_error(L, PN_ECLOSED, "the client is gone");
    if (!pn_http_exchange_is_writable(x)) {
        if (o->writer != NULL)
            return luaL_error(L, "write: another task is writing to this stream");
        pn_task_check_block(L);
        pn_task *task = pn_task_current(L);
        o->writer = task;
        task->cancel = cancel_writer;
        task->context = o;
        return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, (lua_KContext)o, write_more);
    }
    size_t size;
    const char *data = lua_tolstring(L, 2, &size);
    int state = pn_http_exchange_write(x, data, size);
    if (state < 0) return pn_push_error(L, PN_ECLOSED, "the client is gone");
    lua_pushboolean(L, 1);
    return 1;
}

static int write_more(lua_State *L, int status, lua_KContext context) {
    (void)status;
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return write_bytes(L, (pn_outflow *)context);
}

static int write_outflow(lua_State *L, pn_flow *flow) {
    pn_outflow *o = outflow_of(flow);
    if (o->is_events) {
        push_event(L);
        lua_replace(L, 2);
        lua_settop(L, 2);
    } else {
        luaL_checkstring(L, 2);
    }
    return write_bytes(L, o);
}

/* ---- the end ---- */

static void close_outflow(pn_flow *flow, const char *message, int code) {
    (void)message;
    pn_outflow *o = outflow_of(flow);
    pn_incoming *in = o->in;
    if (in == NULL) return;
    pn_http_exchange *x = in->x;
    pn_incoming_answered(in); /* detaches this, too */
    if (code == 0) {
        pn_http_exchange_finish(x);
    } else {
        pn_http_exchange_abort(x);
    }
}

static void free_outflow(pn_flow *flow) {
    pn_outflow *o = outflow_of(flow);
    if (o->in != NULL) pn_outflow_detach(o->in);
    pn_mem_free(&flow->lua->actor->ledger, o, sizeof *o);
}

static const pn_flow_class outflow_class = {
    "answer", read_none, write_outflow, close_outflow, free_outflow,
};

void pn_outflow_push(lua_State *L, pn_incoming *in, bool is_events) {
    pn_outflow *o = pn_mem_try_zeroed(&in->lua->actor->ledger, sizeof *o);
    if (o == NULL) pn_raise_code(L, PN_ENOMEM);
    o->flow = (pn_flow){.class = &outflow_class, .lua = in->lua};
    o->in = in;
    o->is_events = is_events;
    in->outflow = o;
    pn_flow_push(L, &o->flow);
}
