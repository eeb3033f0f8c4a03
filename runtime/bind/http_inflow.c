/*
 * Bodies that are read as they come, of responses and of requests: one reading end over two
 * engines.
 *
 * What came and was not read waits in a buffer; past PN_HTTP_AHEAD_BYTES_MAX of it the connection
 * is not read any more, so a slow reader slows the sender. What the source says of the end is told
 * when the buffer is empty.
 */
#include "bind/http.h"

pn_inflow *pn_inflow_of(pn_flow *flow) { return PN_CONTAINER(flow, pn_inflow, flow); }

void pn_inflow_wake(pn_inflow *in) {
    pn_task *task = in->reader;
    if (task == NULL) return;
    in->reader = NULL;
    pn_task_ready(task, 0);
}

bool pn_inflow_add(pn_inflow *in, const char *data, size_t size) {
    bool is_added = pn_buf_add(&in->buffer, data, size);
    if (in->buffer.size >= PN_HTTP_AHEAD_BYTES_MAX && !in->is_paused) {
        in->is_paused = true;
        in->source->pause(in, true);
    }
    pn_inflow_wake(in);
    return is_added;
}

/* ---- reading ---- */

static int push_bytes(lua_State *L, pn_inflow *in) {
    lua_pushlstring(L, in->buffer.data, in->buffer.size);
    pn_buf_clear(&in->buffer);
    if (in->is_paused) {
        in->is_paused = false;
        in->source->pause(in, false);
    }
    return 1;
}

static void cancel_reader(pn_task *task, void *context) {
    (void)task;
    ((pn_inflow *)context)->reader = NULL;
}

static int read_more(lua_State *L, int status, lua_KContext context);

static int read_inflow(lua_State *L, pn_flow *flow, uint64_t timeout_ns) {
    pn_inflow *in = pn_inflow_of(flow);
    if (in->is_closed) return pn_push_error(L, PN_ECLOSED, "the stream is closed");
    if (in->buffer.size > 0) return push_bytes(L, in);
    int results = in->source->push_end(L, in);
    if (results > 0) return results;
    if (in->reader != NULL) return luaL_error(L, "read: another task is reading this stream");
    pn_task_check_block(L);
    pn_task *task = pn_task_current(L);
    in->reader = task;
    task->cancel = cancel_reader;
    task->context = in;
    return pn_task_wait(L, PN_WAIT_IO, timeout_ns, (lua_KContext)in, read_more);
}

/* The stream's object is at stack index 1 of every method, so it is still there. */
static int read_more(lua_State *L, int status, lua_KContext context) {
    (void)status;
    pn_task *task = pn_task_woken(L);
    if (task->code == PN_ETIMEOUT) return pn_push_error(L, PN_ETIMEOUT, "nothing to read in time");
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return read_inflow(L, &((pn_inflow *)context)->flow, PN_NO_TIMEOUT);
}

static int write_none(lua_State *L, pn_flow *flow) {
    return luaL_error(L, "write: a %s can only be read", flow->class->name);
}

/* ---- life ---- */

void pn_inflow_end(pn_inflow *in) {
    if (in->is_closed) return;
    in->is_closed = true;
    pn_buf_close(&in->buffer);
    pn_inflow_wake(in);
}

static void close_inflow(pn_flow *flow, const char *message, int code) {
    (void)message, (void)code;
    pn_inflow *in = pn_inflow_of(flow);
    if (in->is_closed) return;
    in->source->close(in);
    pn_inflow_end(in);
}

static void free_inflow(pn_flow *flow) {
    pn_inflow *in = pn_inflow_of(flow);
    pn_inflow_end(in);
    in->source->free(in);
}

const pn_flow_class pn_inflow_class = {"body", read_inflow, write_none, close_inflow, free_inflow};

void pn_inflow_init(pn_inflow *in, const pn_inflow_source *source, pn_lua *lua) {
    *in = (pn_inflow){.flow = {.class = &pn_inflow_class, .lua = lua}, .source = source};
    pn_buf_init(&in->buffer, &lua->actor->ledger.door);
}
