/*
 * A response body that is read as it comes: the flow behind `res.body` with stream = true.
 *
 * What came and was not read waits in a buffer; past PN_HTTP_AHEAD_BYTES_MAX of it the connection is not read
 * any more, so a slow reader slows the server. The flow owns the transfer once its Lua object is there;
 * before, the transfer owns the flow. Closing it, or its collection, ends the request.
 */
#include "bind/http.h"

static pn_download *download_of(pn_flow *flow) { return PN_CONTAINER(flow, pn_download, flow); }

/* ---- the engine's side ---- */

static void wake_reader(pn_download *d) {
    pn_task *task = d->reader;
    if (task == NULL) return;
    d->reader = NULL;
    task->cancel = NULL;
    pn_task_ready(task, 0);
}

void pn_download_on_body(pn_transfer *t, const char *data, size_t size) {
    pn_download *d = t->download;
    if (!pn_buf_add(&d->buffer, data, size)) {
        pn_http_call_cancel(&t->call);
        t->call.err = PN_ENOMEM;
        t->call.phase = PN_HTTP_PHASE_RECEIVING;
        t->is_done = true;
    } else if (d->buffer.size >= PN_HTTP_AHEAD_BYTES_MAX) {
        d->is_paused = true;
        pn_http_call_pause(&t->call);
    }
    wake_reader(d);
}

void pn_download_on_done(pn_transfer *t) { wake_reader(t->download); }

/* ---- reading ---- */

static int push_end(lua_State *L, const pn_download *d) {
    char error[PN_HTTP_ERROR_BYTES];
    const pn_http_call *call = &d->transfer->call;
    if (call->err == 0) {
        lua_pushnil(L);
        return 1;
    }
    pn_transfer_describe(d->transfer, error);
    return pn_push_error(L, call->err, "%s", error);
}

static int push_bytes(lua_State *L, pn_download *d) {
    lua_pushlstring(L, d->buffer.data, d->buffer.size);
    pn_buf_clear(&d->buffer);
    if (d->is_paused) {
        d->is_paused = false;
        pn_http_call_resume(&d->transfer->call);
    }
    return 1;
}

static void cancel_reader(pn_task *task, void *context) {
    task->cancel = NULL;
    ((pn_download *)context)->reader = NULL;
}

static int read_more(lua_State *L, int status, lua_KContext context);

static int read_download(lua_State *L, pn_flow *flow, uint64_t timeout_ns) {
    pn_download *d = download_of(flow);
    if (d->is_closed) return pn_push_error(L, PN_ECLOSED, "the stream is closed");
    if (d->buffer.size > 0) return push_bytes(L, d);
    if (d->transfer->is_done) return push_end(L, d);
    if (d->reader != NULL) return luaL_error(L, "read: another task is reading this stream");
    pn_task_check_block(L);
    pn_task *task = pn_task_current(L);
    d->reader = task;
    task->cancel = cancel_reader;
    task->context = d;
    return pn_task_wait(L, PN_WAIT_IO, timeout_ns, (lua_KContext)d, read_more);
}

/* The stream's object is at stack index 1 of every method, so it is still there. */
static int read_more(lua_State *L, int status, lua_KContext context) {
    (void)status;
    pn_task *task = pn_task_woken(L);
    if (task->code == PN_ETIMEOUT) return pn_push_error(L, PN_ETIMEOUT, "nothing to read in time");
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return read_download(L, &((pn_download *)context)->flow, PN_NO_TIMEOUT);
}

static int write_download(lua_State *L, pn_flow *flow) {
    (void)flow;
    return luaL_error(L, "write: the body of a response can only be read");
}

/* ---- life ---- */

static void end_download(pn_download *d) {
    if (d->is_closed) return;
    d->is_closed = true;
    pn_handle_forget(&d->handle);
    pn_http_call_close(&d->transfer->call);
    pn_buf_close(&d->buffer);
    wake_reader(d);
}

static void close_download(pn_flow *flow, const char *message, int code) {
    (void)message, (void)code;
    end_download(download_of(flow));
}

static void close_handle(pn_handle *handle) { end_download(PN_CONTAINER(handle, pn_download, handle)); }

static void free_download(pn_flow *flow) { pn_transfer_destroy(download_of(flow)->transfer); }

static const pn_flow_class download_class = {
    "response body", read_download, write_download, close_download, free_download,
};

int pn_download_create(pn_transfer *t) {
    pn_lua *lua = t->lua;
    pn_download *d = pn_mem_try_zeroed(&lua->actor->ledger, sizeof *d);
    if (d == NULL) return PN_ENOMEM;
    d->flow = (pn_flow){.class = &download_class, .lua = lua};
    d->transfer = t;
    pn_buf_init(&d->buffer, &lua->actor->ledger.door);
    pn_handle_open(lua, &d->handle, "http stream", close_handle);
    t->download = d;
    return 0;
}

void pn_download_destroy(pn_download *d) {
    if (d == NULL) return;
    end_download(d);
    pn_mem_free(&d->flow.lua->actor->ledger, d, sizeof *d);
}

pn_transfer *pn_download_test(lua_State *L, int index) {
    pn_flow *flow = pn_flow_test(L, index);
    if (flow == NULL || flow->class != &download_class) return NULL;
    return download_of(flow)->transfer;
}
