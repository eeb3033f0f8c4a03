/* The client and its calls: which connection a call gets, redirects, retries, how it ends. */
#include "net/http_client.h"

#include "base/err.h"
#include "net/http_conn.h"

typedef enum call_state { CALL_OVER, CALL_WAITING, CALL_ACTIVE } call_state;

/* ---- the client ---- */

static int copy_proxy(pn_http_client *client) {
    pn_text proxy = client->options.proxy;
    if (proxy.size == 0) {
        client->options.proxy = PN_TEXT_NONE;
        return 0;
    }
    client->proxy = pn_mem_try(client->io->ledger, proxy.size);
    if (client->proxy == NULL) return PN_ENOMEM;
    client->proxy_size = proxy.size;
    memcpy(client->proxy, proxy.at, proxy.size);
    client->options.proxy.at = client->proxy;
    return 0;
}

static int open_parts(pn_http_client *client) {
    pn_http_client_options *options = &client->options;
    client->dns = options->dns;
    client->tls = options->tls;
    if (client->tls != NULL) pn_tls_grab(client->tls);
    if (client->dns == NULL) {
        client->dns = pn_dns_create(client->io, NULL);
        if (client->dns == NULL) return PN_ENOMEM;
        client->owns_dns = true;
    }
    if (options->idle_timeout_ns == 0) options->idle_timeout_ns = PN_HTTP_IDLE_TIMEOUT_NS;
    client->limits = (pn_http_limits){PN_HTTP_HEAD_BYTES_MAX, PN_HTTP_HEADER_COUNT_MAX, UINT64_MAX};
    if (options->head_bytes_max != 0) client->limits.head_bytes = options->head_bytes_max;
    if (options->header_count_max != 0) client->limits.header_count = options->header_count_max;
    return copy_proxy(client);
}

static void free_client(pn_http_client *client) {
    pn_ledger *ledger = client->io->ledger;
    pn_assert(client->origins.count == 0); /* every request is released */
    pn_smap_close(&client->origins);
    pn_slabs_close(&client->slabs);
    pn_buf_close(&client->decoded);
    pn_tls_release(client->tls);
    if (client->owns_dns) pn_dns_destroy(client->dns);
    pn_mem_free(ledger, client->proxy, client->proxy_size);
    pn_mem_free(ledger, client, sizeof *client);
}

int pn_http_client_create(pn_io *io, const pn_http_client_options *options, pn_http_client **result,
                          const char **why) {
    if (why != NULL) *why = "";
    pn_http_client *client = pn_mem_try_zeroed(io->ledger, sizeof *client);
    if (client == NULL) return PN_ENOMEM;
    client->io = io;
    if (options != NULL) client->options = *options;
    pn_slabs_init(&client->slabs, io->ledger);
    pn_smap_init(&client->origins, &io->ledger->door);
    pn_buf_init(&client->decoded, &io->ledger->door);
    client->decoded.limit_bytes = PN_HTTP_DECODED_PIECE_BYTES_MAX;
    pn_list_init(&client->connections);
    pn_list_init(&client->calls);
    int err = open_parts(client);
    if (err != 0) {
        free_client(client);
        return err;
    }
    if (!client->options.no_settling) {
        pn_settle_open(&client->settle, io, &client->call_count);
        client->settles = true;
    }
    *result = client;
    return 0;
}

static void on_settle_closed(pn_settle *settle) {
    pn_http_client *client = PN_CONTAINER(settle, pn_http_client, settle);
    client->settles = false;
    pn__client_release(client);
}

void pn__client_release(pn_http_client *client) {
    bool is_over = client->connection_count == 0 && !client->settles;
    if (client->is_destroyed && is_over) free_client(client);
}

void pn_http_client_destroy(pn_http_client *client) {
    client->is_destroyed = true;
    client->connection_count++; /* ours, while connections go */
    while (!pn_list_empty(&client->calls)) {
        pn_http_call_cancel(PN_CONTAINER(client->calls.next, pn_http_call, running));
    }
    pn_list *next;
    for (pn_list *at = client->connections.next; at != &client->connections; at = next) {
        next = at->next;
        pn__conn_close(PN_CONTAINER(at, pn__conn, all));
    }
    client->connection_count--;
    if (client->settles) {
        pn_settle_close(&client->settle, on_settle_closed);
    } else {
        pn__client_release(client);
    }
}

void pn_http_client_stats_get(const pn_http_client *client, pn_http_client_stats *stats) {
    *stats = (pn_http_client_stats){
        .connections = client->connection_count,
        .idle_connections = client->idle_count,
        .waiting_calls = client->waiting_count,
        .running_calls = client->call_count,
        .connections_made = client->connections_made,
        .pauses = client->settle.pauses,
        .slabs = client->slabs.slab_count,
        .evacuated_bytes = client->slabs.evacuated_bytes,
    };
}

/* ---- which connection a call gets ---- */

static pn_http_client *client_of(const pn_http_call *call) { return call->request->origin->client; }

static void on_wait_timer(pn_timer *timer);

static void wait_for_one(pn__origin *origin, pn_http_call *call) {
    call->state = CALL_WAITING;
    origin->client->waiting_count++;
    pn_list_push(&origin->waiting, &call->link);
    if (call->deadline_ns == UINT64_MAX) return;
    pn_timer_start(origin->client->io->wheel, &call->timer, call->deadline_ns / PN_IO_TICK_NS + 1);
}

static void stop_waiting(pn_http_call *call) {
    if (call->state != CALL_WAITING) return;
    call->state = CALL_ACTIVE;
    pn_list_remove(&call->link);
    client_of(call)->waiting_count--;
    pn_io_stop_timer(client_of(call)->io, &call->timer);
}

static pn__conn *first_idle(const pn__origin *origin) {
    return PN_CONTAINER(origin->idle.next, pn__conn, link);
}

static bool may_dial(const pn__origin *origin) {
    uint32_t limit = origin->client->options.connections_per_host;
    return limit == 0 || origin->connection_count < limit;
}

/* A call that was sent in vain over a kept connection gets a fresh one. */
static int assign(pn_http_call *call) {
    pn__origin *origin = call->request->origin;
    while (!pn_list_empty(&origin->idle)) {
        if (call->is_retry) {
            if (may_dial(origin)) break;
            pn__conn_close(first_idle(origin));
        } else if (pn__conn_use(first_idle(origin), call) == 0) {
            return 0;
        }
    }
    if (may_dial(origin)) return pn__conn_dial(origin, call);
    wait_for_one(origin, call);
    return 0;
}

void pn__origin_serve(pn__origin *origin) {
    origin->references++; /* what fails here may be the last to hold it */
    while (!pn_list_empty(&origin->waiting)) {
        if (pn_list_empty(&origin->idle) && !may_dial(origin)) break;
        pn_http_call *call = PN_CONTAINER(origin->waiting.next, pn_http_call, link);
        stop_waiting(call);
        call->ready_ns = pn_io_read_clock(origin->client->io);
        int err = assign(call);
        if (err != 0) pn__call_fail(call, err, PN_HTTP_PHASE_CONNECTING, "");
    }
    pn__origin_release(origin);
}

/* ---- how a call begins and ends ---- */

void pn_http_call_init(pn_http_call *call, const pn_http_call_events *events) {
    *call = (pn_http_call){
        .events = events,
        .timeout_ns = PN_HTTP_TIMEOUT_NS,
        .connect_timeout_ns = PN_HTTP_CONNECT_TIMEOUT_NS,
        .body_limit_bytes = UINT64_MAX,
        .redirects_max = PN_HTTP_REDIRECTS_MAX,
        .why = "",
        .tls_version = "",
    };
    pn_list_init(&call->link);
    pn_list_init(&call->running);
    pn_timer_init(&call->timer, on_wait_timer);
}

void pn_http_call_close(pn_http_call *call) {
    pn_http_call_cancel(call);
    pn_http_message_close(&call->response);
    pn_http_request_release(call->request);
    call->request = NULL;
}

static void begin_hop(pn_http_call *call, uint64_t now_ns) {
    call->timings = (pn_http_timings){0};
    call->hop_ns = call->ready_ns = now_ns;
    call->sent_ns = call->first_byte_ns = 0;
    call->bytes_sent = call->bytes_received = 0;
    call->is_retry = call->follows = call->upload_finished = false;
    call->wants_writable = true;
    call->upload_left = call->upload_size;
    call->tls_version = "";
    pn_http_message_init(&call->response, call->charge, call->charge_owner);
}

static void begin(pn_http_call *call, pn_http_request *request) {
    pn_http_client *client = request->origin->client;
    uint64_t now_ns = pn_io_read_clock(client->io);
    pn_http_request_grab(request);
    call->request = request;
    call->err = 0;
    call->why = "";
    call->started_ns = now_ns;
    call->ended_ns = 0;
    call->redirect_count = 0;
    bool has_end = call->timeout_ns != 0 && call->timeout_ns < UINT64_MAX - now_ns;
    call->deadline_ns = has_end ? now_ns + call->timeout_ns : UINT64_MAX;
    call->out_body = call->body;
    call->out_upload = call->upload;
    begin_hop(call, now_ns);
    call->state = CALL_ACTIVE;
    pn_list_push(&client->calls, &call->running);
    client->call_count++;
    pn_io_hold(client->io);
}

static void end(pn_http_call *call) {
    pn_http_client *client = client_of(call);
    pn_inflate_destroy(call->decoder);
    call->decoder = NULL;
    stop_waiting(call);
    call->state = CALL_OVER;
    pn_list_remove(&call->running);
    client->call_count--;
    pn_io_drop(client->io);
}

int pn_http_call_start(pn_http_call *call, pn_http_request *request) {
    pn_assert(call->state == CALL_OVER && call->request == NULL);
    pn_assert(!request->origin->client->is_destroyed);
    begin(call, request);
    call->is_starting = true;
    int err;
    if (PN_UNLIKELY(!pn_list_empty(&request->origin->waiting))) {
        wait_for_one(request->origin, call); /* behind those who waited before */
        err = 0;
    } else {
        err = assign(call);
    }
    call->is_starting = false;
    if (PN_LIKELY(err == 0)) return 0;
    end(call);
    call->err = err;
    pn_http_request_release(request);
    call->request = NULL;
    return err;
}

static void finish(pn_http_call *call, int err, const char *why) {
    end(call);
    call->err = err;
    call->why = why;
    call->events->on_done(call);
}

void pn__call_fail(pn_http_call *call, int err, pn_http_phase phase, const char *why) {
    call->phase = phase;
    call->ended_ns = pn_io_read_clock(client_of(call)->io);
    finish(call, err, why);
}

void pn_http_call_cancel(pn_http_call *call) {
    if (call->state == CALL_OVER) return;
    pn__conn *conn = call->connection;
    end(call);
    call->err = PN_ECANCELLED;
    call->ended_ns = pn_io_read_clock(client_of(call)->io);
    if (conn != NULL) pn__conn_drop(conn);
}

bool pn_http_call_is_running(const pn_http_call *call) { return call->state != CALL_OVER; }

static void on_wait_timer(pn_timer *timer) {
    pn_http_call *call = PN_CONTAINER(timer, pn_http_call, timer);
    uint64_t now_ns = client_of(call)->io->now_ns;
    call->timings.blocked_ns = now_ns - call->hop_ns;
    pn__call_fail(call, PN_ETIMEOUT, PN_HTTP_PHASE_BLOCKED, "no connection was free");
}

/* ---- answers, redirects, retries ---- */

static bool keeps_body(const pn_http_head *head) {
    return head->status == 307 || head->status == 308;
}

static bool is_redirect(const pn_http_call *call) {
    const pn_http_head *head = &call->response.head;
    uint16_t status = head->status;
    if (status != 301 && status != 302 && status != 303 && !keeps_body(head)) return false;
    if (keeps_body(head) && call->out_upload != PN_HTTP_UPLOAD_BYTES) return false; /* it is gone */
    return pn_http_message_header(&call->response, PN_TEXT("location")).at != NULL;
}

void pn__call_judge(pn_http_call *call) {
    if (PN_UNLIKELY(call->redirects_max > 0 && call->response.head.status / 100 == 3)) {
        call->follows = is_redirect(call);
    }
    bool is_taken = call->discard_body || call->events->on_body != NULL || call->follows;
    call->response.body_kept = !is_taken;
    if (call->events->on_head != NULL && !call->follows) call->events->on_head(call);
}

static void follow(pn_http_call *call) {
    if (call->redirect_count == call->redirects_max) {
        finish(call, PN_ETOO_MANY_REDIRECTS, "");
        return;
    }
    call->redirect_count++;
    if (call->events->on_hop != NULL) call->events->on_hop(call);
    if (call->state == CALL_OVER) return;
    pn_http_request *next;
    const char *why = "";
    bool same_body = keeps_body(&call->response.head);
    pn_text location = pn_http_message_header(&call->response, PN_TEXT("location"));
    int err = pn__request_follow(call->request, location, same_body, &next, &why);
    if (err != 0) {
        call->phase = PN_HTTP_PHASE_RECEIVING;
        finish(call, err, why);
        return;
    }
    pn_http_message_close(&call->response);
    pn_http_request_release(call->request);
    call->request = next;
    if (!same_body) {
        call->out_body = PN_TEXT_NONE;
        call->out_upload = PN_HTTP_UPLOAD_BYTES;
    }
    begin_hop(call, pn_io_read_clock(client_of(call)->io));
    err = assign(call);
    if (err != 0) pn__call_fail(call, err, PN_HTTP_PHASE_CONNECTING, "");
}

void pn__call_complete(pn_http_call *call) {
    client_of(call)->settle.count++;
    if (PN_UNLIKELY(call->follows)) {
        follow(call);
    } else {
        finish(call, 0, "");
    }
}

bool pn__call_retry(pn_http_call *call, bool nothing_sent) {
    bool may_repeat = call->request->may_repeat && call->out_upload == PN_HTTP_UPLOAD_BYTES;
    if (call->is_retry || !(nothing_sent || may_repeat)) return false;
    call->is_retry = true;
    call->sent_ns = 0;
    int err = assign(call);
    if (err != 0) pn__call_fail(call, err, PN_HTTP_PHASE_CONNECTING, "");
    return true;
}

/* ---- streams ---- */

void pn_http_call_pause(pn_http_call *call) {
    if (call->connection != NULL) pn_stream_stop_reading(&call->connection->stream);
}

void pn_http_call_resume(pn_http_call *call) {
    pn__conn *conn = call->connection;
    if (conn != NULL && conn->state == PN__CONN_BUSY) pn_stream_start_reading(&conn->stream);
}

bool pn_http_call_is_writable(const pn_http_call *call) {
    const pn__conn *conn = call->connection;
    return conn != NULL && conn->state == PN__CONN_BUSY && !conn->stream.is_writing &&
           conn->continue_ns == 0 && call->out_upload != PN_HTTP_UPLOAD_BYTES &&
           !call->upload_finished;
}

int pn_http_call_write(pn_http_call *call, const char *data, size_t size) {
    if (!pn_http_call_is_writable(call)) return PN_EBAD_VALUE;
    if (size == 0) return 0; /* an empty chunk would end the body */
    if (call->out_upload == PN_HTTP_UPLOAD_SIZED) {
        if (size > call->upload_left) return PN_EBAD_VALUE;
        call->upload_left -= size;
    }
    call->wants_writable = false;
    return pn__conn_write(call->connection, data, size);
}

int pn_http_call_finish(pn_http_call *call) {
    if (!pn_http_call_is_writable(call)) return PN_EBAD_VALUE;
    if (call->out_upload == PN_HTTP_UPLOAD_SIZED && call->upload_left > 0) return PN_EBAD_VALUE;
    return pn__conn_finish(call->connection);
}

/* ---- k6's numbers ---- */

static int code_of_dial(int err) {
    if (err == PN_ETIMEOUT || err == -ETIMEDOUT) return 1211;
    if (err == -ECONNREFUSED) return 1212;
    return err > -4096 ? 1213 : 1210;
}

int pn_http_error_code(int err, pn_http_phase phase, unsigned status) {
    if (err == 0) return status >= 400 ? 1000 + (int)status : 0;
    switch (err) {
    case PN_EBAD_URL: return 1020;
    case PN_EDNS: return 1101;
    case PN_ETLS: return 1300;
    case PN_ETLS_UNKNOWN_AUTHORITY: return 1310;
    case PN_ETLS_HOSTNAME: return 1311;
    case PN_EBAD_ENCODING: return 1701;
    case -EPIPE: return 1201;
    case -ECONNRESET: return 1220;
    default: break;
    }
    if (phase == PN_HTTP_PHASE_CONNECTING) return code_of_dial(err);
    if (err == PN_ETIMEOUT) return 1050;
    return err < 0 && err > -4096 ? 1202 : 1000;
}
