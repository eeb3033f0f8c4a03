/*
 * A request under way: C memory of the actor's ledger, owned by the task that waits for it.
 *
 * The engine's callbacks touch no Lua: they note what happened and make the task ready. Until its
 * continuation runs, the task's `cancel` stays set, so that a task that is cancelled or an actor
 * that ends in between takes the transfer with it.
 */
#include "bind/http.h"

#include <stdarg.h>
#include <stdio.h>

#include "net/url.h"

/* ---- waking ---- */

static void abandon(pn_task *task, void *context) {
    pn_transfer *t = context;
    task->cancel = NULL;
    task->context = NULL;
    t->task = NULL;
    if (t->is_held) {
        pn_http_call_cancel(&t->call);
    } else {
        pn_transfer_destroy(t);
    }
}

void pn_transfer_wake(pn_transfer *t) {
    pn_task *task = t->task;
    if (task == NULL) return;
    t->task = NULL;
    pn_task_ready(task, 0);
    task->cancel = abandon; /* the continuation has not taken it yet */
    task->context = t;
}

int pn_transfer_wait(lua_State *L, pn_transfer *t, lua_KContext context, lua_KFunction k) {
    pn_task *task = pn_task_current(L);
    t->task = task;
    task->cancel = abandon;
    task->context = t;
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, context, k);
}

pn_transfer *pn_transfer_woken(lua_State *L) {
    pn_task *task = pn_task_current(L);
    pn_transfer *t = task->context;
    task->cancel = NULL;
    task->context = NULL;
    return t;
}

/* ---- life ---- */

static pn_transfer *transfer_of(pn_http_call *call) {
    return PN_CONTAINER(call, pn_transfer, call);
}

static void on_done(pn_http_call *call) {
    pn_transfer *t = transfer_of(call);
    t->is_done = true;
    if (call->err != PN_EBAD_URL)
        pn_http_record(t); /* a redirect to nowhere: no request was made */
    if (t->download != NULL) pn_download_on_done(t);
    pn_transfer_wake(t);
}

static void on_hop(pn_http_call *call) { pn_http_record(transfer_of(call)); }

static void on_head(pn_http_call *call) {
    pn_transfer *t = transfer_of(call);
    t->has_head = true;
    pn_transfer_wake(t);
}

static void on_body(pn_http_call *call, const char *data, size_t size) {
    pn_download_on_body(transfer_of(call), data, size);
}

static void on_writable(pn_http_call *call) { pn_transfer_wake(transfer_of(call)); }

static const pn_http_call_events events = {
    .on_done = on_done,
    .on_hop = on_hop,
    .on_writable = on_writable,
};

static const pn_http_call_events stream_events = {
    .on_done = on_done,
    .on_hop = on_hop,
    .on_head = on_head,
    .on_body = on_body,
    .on_writable = on_writable,
};

/* What the response holds is the actor's. The collector is told of bytes that it does not see, so
 * that responses nobody refers to go in time. */
#define COLLECT_BYTES (256 << 10)

static bool charge(void *owner, int64_t bytes) {
    pn_lua *lua = owner;
    if (!pn_ledger_charge(&lua->actor->ledger, bytes)) return false;
    if (bytes > 0) lua->uncollected_bytes += bytes;
    return true;
}

static void __attribute__((noinline)) collect_outside(lua_State *L, pn_lua *lua) {
    int kb = (int)(lua->uncollected_bytes >> 10);
    lua->uncollected_bytes = 0;
    lua_gc(L, LUA_GCSTEP, kb);
}

static pn_text body_of(lua_State *L, const pn_http_plan *plan) {
    if (plan->body != PN_HTTP_BODY_IS_TEXT) return PN_TEXT_NONE;
    size_t size;
    const char *text = lua_tolstring(L, PN_HTTP_SLOT_BODY, &size);
    return pn_text_make(text, size);
}

pn_transfer *pn_transfer_create(lua_State *L, const pn_http_plan *plan, pn_http_request *request) {
    pn_lua *lua = pn_lua_of(L);
    if (PN_UNLIKELY(lua->uncollected_bytes >= COLLECT_BYTES)) collect_outside(L, lua);
    const pn_labels *labels = pn_labels_find(L);
    pn_transfer *t = pn_mem_try(&lua->actor->ledger, sizeof *t);
    if (t == NULL) {
        pn_http_request_release(request);
        pn_raise_code(L, PN_ENOMEM);
    }
    pn_http_call_init(&t->call, plan->streams ? &stream_events : &events);
    t->call.charge = charge;
    t->call.charge_owner = lua;
    t->call.timeout_ns = plan->timeout_ns;
    t->call.connect_timeout_ns = plan->connect_timeout_ns;
    t->call.first_byte_timeout_ns = plan->first_byte_timeout_ns;
    t->call.body_limit_bytes = plan->body_limit_bytes;
    t->call.redirects_max = plan->redirects_max;
    t->call.body = body_of(L, plan);
    t->call.decodes = plan->streams;
    t->lua = lua;
    t->task = NULL;
    t->request = request;
    t->tags = NULL;
    pn_vu *vu = pn_vu_of(L);
    t->labels = labels;
    t->run = vu != NULL ? vu->executor->run : NULL;
    t->late_ns = pn_vu_take_lateness(vu);
    t->download = NULL;
    t->is_done = t->has_head = t->is_held = false;
    if (PN_UNLIKELY(plan->body == PN_HTTP_BODY_IS_PRODUCER)) {
        bool is_sized = plan->upload_size != UINT64_MAX;
        t->call.upload = is_sized ? PN_HTTP_UPLOAD_SIZED : PN_HTTP_UPLOAD_CHUNKED;
        t->call.upload_size = is_sized ? plan->upload_size : 0;
    }
    int err = PN_UNLIKELY(plan->has_tags) ? pn_http_tags_read(L, &t->tags) : 0;
    if (PN_UNLIKELY(plan->streams) && err == 0) err = pn_download_create(t);
    if (PN_LIKELY(err == 0)) return t;
    pn_transfer_destroy(t);
    pn_raise_code(L, err);
}

void pn_transfer_destroy(pn_transfer *t) {
    if (t == NULL) return;
    pn_http_call_close(&t->call);
    pn_download_destroy(t->download);
    pn_http_request_release(t->request);
    pn_http_tags_free(t->lua, t->tags);
    pn_mem_free(&t->lua->actor->ledger, t, sizeof *t);
}

/* ---- what went wrong ---- */

/* Appends; what does not fit is cut. */
static void __attribute__((format(printf, 2, 3))) add(char *out, const char *format, ...) {
    size_t size = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + size, PN_HTTP_ERROR_BYTES - size, format, args);
    va_end(args);
}

pn_text pn_http_shown_url(pn_text text, char out[PN_HTTP_URL_BYTES]) {
    pn_url url;
    if (pn_url_parse(&url, text, NULL) != 0 || url.userinfo.at == NULL) return text;
    const char *rest = url.userinfo.at + url.userinfo.size, *end = text.at + text.size;
    int size = snprintf(out, PN_HTTP_URL_BYTES, "%.*s****%.*s", (int)(url.userinfo.at - text.at),
                        text.at, (int)(end - rest), rest);
    return pn_text_make(out, size < PN_HTTP_URL_BYTES ? (size_t)size : PN_HTTP_URL_BYTES - 1);
}

static void add_place(const pn_url *url, char *out) {
    const char *open = url->is_ipv6 ? "[" : "", *close = url->is_ipv6 ? "]" : "";
    add(out, "%s%.*s%s:%u", open, (int)url->host.size, url->host.at, close, (unsigned)url->port);
}

static void add_what(const pn_http_call *call, const pn_http_request *request, char *out) {
    pn_text text = pn_http_request_url(request), method = pn_http_request_method(request);
    pn_url url;
    pn_url_parse(&url, text, NULL); /* it has been parsed before */
    if (call->err == PN_EDNS) {
        add(out, "cannot resolve %.*s", (int)url.host.size, url.host.at);
    } else if (call->phase == PN_HTTP_PHASE_CONNECTING) {
        add(out, "cannot connect to ");
        add_place(&url, out);
    } else if (call->phase == PN_HTTP_PHASE_TLS) {
        add(out, "no TLS with ");
        add_place(&url, out);
    } else {
        char room[PN_HTTP_URL_BYTES];
        pn_text shown = pn_http_shown_url(text, room);
        add(out, "%.*s %.*s", (int)method.size, method.at, (int)shown.size, shown.at);
    }
}

static const char *when(const pn_http_call *call) {
    if (call->err != PN_ETIMEOUT) return "";
    switch (call->phase) {
    case PN_HTTP_PHASE_BLOCKED: return " before there was a connection";
    case PN_HTTP_PHASE_SENDING: return " while the request was sent";
    case PN_HTTP_PHASE_WAITING: return " waiting for the answer";
    case PN_HTTP_PHASE_RECEIVING: return " while the answer came";
    default: return "";
    }
}

void pn_transfer_describe(const pn_transfer *t, char out[PN_HTTP_ERROR_BYTES]) {
    const pn_http_call *call = &t->call;
    out[0] = '\0';
    if (call->err == 0) return;
    add_what(call, call->request != NULL ? call->request : t->request, out);
    if (call->err != PN_EDNS) add(out, ": %s%s", pn_err_text(call->err), when(call));
    if (call->why != NULL && call->why[0] != '\0') add(out, " (%s)", call->why);
}
