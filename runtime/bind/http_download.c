/*
 * A response body that is read as it comes: what is behind `res.body` with stream = true.
 *
 * The flow owns the transfer once its Lua object is there; before, the transfer owns the flow.
 * Closing it, or its collection, ends the request.
 */
#include "bind/http.h"

static pn_download *download_of(pn_inflow *in) { return PN_CONTAINER(in, pn_download, in); }

/* ---- the engine's side ---- */

void pn_download_on_body(pn_transfer *t, const char *data, size_t size) {
    if (pn_inflow_add(&t->download->in, data, size)) return;
    pn_http_call_cancel(&t->call);
    t->call.err = PN_ENOMEM;
    t->call.phase = PN_HTTP_PHASE_RECEIVING;
    t->is_done = true;
}

void pn_download_on_done(pn_transfer *t) {
    pn_handle_forget(&t->download->handle); /* what is left of it is memory */
    pn_inflow_wake(&t->download->in);
}

static void pause_call(pn_inflow *in, bool is_on) {
    pn_http_call *call = &download_of(in)->transfer->call;
    if (is_on) {
        pn_http_call_pause(call);
    } else {
        pn_http_call_resume(call);
    }
}

static int push_end(lua_State *L, pn_inflow *in) {
    char error[PN_HTTP_ERROR_BYTES];
    const pn_transfer *t = download_of(in)->transfer;
    if (!t->is_done) return 0;
    if (t->call.err == 0) {
        lua_pushnil(L);
        return 1;
    }
    pn_transfer_describe(t, error);
    return pn_push_error(L, t->call.err, "%s", error);
}

/* ---- life ---- */

static void close_call(pn_inflow *in) {
    pn_download *d = download_of(in);
    pn_handle_forget(&d->handle);
    pn_http_call_close(&d->transfer->call);
}

static void free_all(pn_inflow *in) { pn_transfer_destroy(download_of(in)->transfer); }

static const pn_inflow_source source = {pause_call, push_end, close_call, free_all};

static void end_download(pn_download *d) {
    if (d->in.is_closed) return;
    close_call(&d->in);
    pn_inflow_end(&d->in);
}

static void close_handle(pn_handle *handle) {
    end_download(PN_CONTAINER(handle, pn_download, handle));
}

int pn_download_create(pn_transfer *t) {
    pn_lua *lua = t->lua;
    pn_download *d = pn_mem_try(&lua->actor->ledger, sizeof *d);
    if (d == NULL) return PN_ENOMEM;
    pn_inflow_init(&d->in, &source, lua);
    d->transfer = t;
    pn_handle_open(lua, &d->handle, "http stream", close_handle);
    t->download = d;
    return 0;
}

void pn_download_destroy(pn_download *d) {
    if (d == NULL) return;
    end_download(d);
    pn_mem_free(&d->in.flow.lua->actor->ledger, d, sizeof *d);
}

pn_transfer *pn_download_test(lua_State *L, int index) {
    pn_flow *flow = pn_flow_test(L, index);
    if (flow == NULL || flow->class != &pn_inflow_class) return NULL;
    pn_inflow *in = pn_inflow_of(flow);
    return in->source == &source ? download_of(in)->transfer : NULL;
}
