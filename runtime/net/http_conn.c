/*
 * A client's connection: made (name, transport, tunnel, TLS), then busy and idle in turn, then
 * closed.
 *
 * An exchange ends in exactly one of complete (the answer is there), break_off (it failed: retried
 * or reported) and drop (the call was cancelled). After each of these and after each event of the
 * call's the connection may belong to another call or be closing; code that goes on looks first.
 */
#include "net/http_conn.h"

#include <stdio.h>

#include "base/err.h"
#include "net/http_headers.h"

#define DECODED_KEPT_BYTES 262144 /* of the buffer for decoded pieces, between two of them */

static void on_timer(pn_timer *timer);
static const pn_stream_events stream_events;

static pn_http_client *client_of(const pn_http_call *call) { return call->request->origin->client; }

/* ---- life ---- */

static pn__conn *create(pn__origin *origin) {
    pn_http_client *client = origin->client;
    pn__conn *conn = pn_mem_try_zeroed(client->io->ledger, sizeof *conn);
    if (conn == NULL) return NULL;
    conn->origin = origin;
    conn->limits = client->limits;
    conn->deadline_ns = UINT64_MAX;
    pn_timer_init(&conn->timer, on_timer);
    pn_list_init(&conn->link);
    pn_list_init(&conn->all);
    pn_http_receiver_init(&conn->in, false, &conn->limits, client->io->ledger);
    origin->references++;
    origin->connection_count++;
    client->connection_count++;
    client->connections_made++;
    pn_list_push(&client->connections, &conn->all);
    return conn;
}

static void free_dial(pn__conn *conn) {
    if (conn->dial == NULL) return;
    pn_dns_cancel(&conn->dial->query);
    pn_mem_free(conn->origin->client->io->ledger, conn->dial, sizeof *conn->dial);
    conn->dial = NULL;
}

static void free_conn(pn__conn *conn) {
    pn_http_client *client = conn->origin->client;
    pn_list_remove(&conn->all);
    client->connection_count--;
    pn_http_receiver_close(&conn->in);
    pn__origin_release(conn->origin);
    pn_mem_free(client->io->ledger, conn, sizeof *conn);
    pn__client_release(client);
}

static void leave_idle(pn__conn *conn) {
    if (!pn_list_linked(&conn->link)) return;
    pn_list_remove(&conn->link);
    conn->origin->client->idle_count--;
}

/* It serves nobody from here on; its memory goes when the stream is closed. */
void pn__conn_close(pn__conn *conn) {
    if (conn->state == PN__CONN_CLOSING) return;
    conn->state = PN__CONN_CLOSING;
    leave_idle(conn);
    free_dial(conn);
    pn_io_stop_timer(conn->origin->client->io, &conn->timer);
    conn->origin->connection_count--;
    if (conn->has_stream) {
        pn_stream_close(&conn->stream);
    } else {
        free_conn(conn);
    }
}

static void on_close(pn_stream *stream) {
    pn__conn *conn = PN_CONTAINER(stream, pn__conn, stream);
    conn->has_stream = false;
    if (conn->state == PN__CONN_CLOSING) free_conn(conn);
}

static pn_http_call *detach(pn__conn *conn) {
    pn_http_call *call = conn->call;
    conn->call = NULL;
    call->connection = NULL;
    return call;
}

static void attach(pn__conn *conn, pn_http_call *call) {
    conn->call = call;
    call->connection = conn;
}

void pn__conn_drop(pn__conn *conn) {
    pn__origin *origin = conn->origin;
    origin->references++; /* it may be the connection's last */
    detach(conn);
    pn__conn_close(conn);
    pn__origin_serve(origin);
    pn__origin_release(origin);
}

/* ---- time-outs: one timer, moved only when it must be earlier ---- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t after(uint64_t start_ns, uint64_t delay_ns) {
    if (delay_ns == 0 || start_ns > UINT64_MAX - delay_ns) return UINT64_MAX;
    return start_ns + delay_ns;
}

static void arm(pn__conn *conn, uint64_t deadline_ns) {
    conn->deadline_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX) return;
    uint64_t at_ms = deadline_ns / PN_IO_TICK_NS + 1;
    if (pn_timer_active(&conn->timer) && conn->timer.at_ms <= at_ms) return;
    pn_timer_start(conn->origin->client->io->wheel, &conn->timer, at_ms);
}

static bool awaits_first_byte(const pn__conn *conn) {
    return conn->is_sent && conn->call->first_byte_ns == 0;
}

static uint64_t deadline_of(const pn__conn *conn) {
    const pn_http_call *call = conn->call;
    uint64_t at_ns = call->deadline_ns;
    if (conn->state < PN__CONN_IDLE) {
        return earlier(at_ns, after(call->hop_ns, call->connect_timeout_ns));
    }
    if (conn->continue_ns != 0) at_ns = earlier(at_ns, conn->continue_ns);
    if (call->first_byte_timeout_ns != 0 && awaits_first_byte(conn)) {
        at_ns = earlier(at_ns, after(call->sent_ns, call->first_byte_timeout_ns));
    }
    return at_ns;
}

/* ---- how an exchange ends ---- */

static void note_wire(pn__conn *conn, pn_http_call *call) {
    call->bytes_sent = conn->stream.bytes_out - conn->bytes_out;
    call->bytes_received = conn->stream.bytes_in - conn->bytes_in;
}

static uint64_t between(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* What of sending, waiting and receiving has been reached. */
static void note_timings(pn_http_call *call, bool is_sent) {
    pn_http_timings *t = &call->timings;
    uint64_t end_ns = call->ended_ns;
    if (!is_sent || (call->first_byte_ns != 0 && call->first_byte_ns < call->sent_ns)) {
        /* The answer overtook the request: then sending ends where the answer begins. */
        call->sent_ns = call->first_byte_ns != 0 ? call->first_byte_ns : end_ns;
    }
    t->sending_ns = between(call->ready_ns, call->sent_ns);
    uint64_t first_ns = call->first_byte_ns != 0 ? call->first_byte_ns : end_ns;
    t->waiting_ns = between(call->sent_ns, first_ns);
    t->receiving_ns = between(first_ns, end_ns);
}

static pn_http_phase phase_of(const pn__conn *conn) {
    switch ((pn__conn_state)conn->state) {
    case PN__CONN_RESOLVING: return PN_HTTP_PHASE_BLOCKED;
    case PN__CONN_CONNECTING:
        return conn->stream.connected_ns == 0 ? PN_HTTP_PHASE_CONNECTING : PN_HTTP_PHASE_TLS;
    case PN__CONN_TUNNELING: return PN_HTTP_PHASE_CONNECTING;
    case PN__CONN_SECURING: return PN_HTTP_PHASE_TLS;
    default: break;
    }
    if (!conn->is_sent) return PN_HTTP_PHASE_SENDING;
    return conn->call->first_byte_ns == 0 ? PN_HTTP_PHASE_WAITING : PN_HTTP_PHASE_RECEIVING;
}

static void break_off(pn__conn *conn, int err, const char *why) {
    pn_http_call *call = conn->call;
    pn_assert(call != NULL);
    pn_http_phase phase = phase_of(conn);
    bool is_busy = conn->state == PN__CONN_BUSY;
    bool is_stale = is_busy && conn->was_used && call->first_byte_ns == 0 && err != PN_ETIMEOUT;
    bool nothing_sent = conn->stream.bytes_out == conn->bytes_out;
    call->ended_ns = pn_io_read_clock(conn->origin->client->io);
    if (conn->write_err != 0 && call->first_byte_ns == 0) err = conn->write_err;
    if (is_busy) {
        note_wire(conn, call);
        note_timings(call, conn->is_sent);
    }
    pn__origin *origin = conn->origin;
    origin->references++; /* it may be the connection's last */
    detach(conn);
    pn__conn_close(conn);
    if (!is_stale || !pn__call_retry(call, nothing_sent)) pn__call_fail(call, err, phase, why);
    pn__origin_serve(origin);
    pn__origin_release(origin);
}

static void be_idle(pn__conn *conn) {
    pn_http_client *client = conn->origin->client;
    conn->state = PN__CONN_IDLE;
    conn->was_used = true;
    pn_list_push_front(&conn->origin->idle, &conn->link);
    client->idle_count++;
    arm(conn, after(client->io->now_ns, client->options.idle_timeout_ns));
}

static bool may_be_kept(const pn__conn *conn, bool has_more) {
    const pn_http_client *client = conn->origin->client;
    return conn->in.parser.head.keep_alive && conn->is_sent && conn->write_err == 0 && !has_more &&
           !conn->call->request->closes && !client->is_destroyed;
}

/* `has_more`: bytes came behind the answer, which is nothing that a server may do. */
static void complete(pn__conn *conn, bool has_more) {
    pn__origin *origin = conn->origin;
    bool keep = may_be_kept(conn, has_more);
    note_wire(conn, conn->call);
    note_timings(conn->call, conn->is_sent);
    pn_http_call *call = detach(conn);
    if (keep) {
        if (PN_UNLIKELY(!conn->stream.is_reading)) pn_stream_start_reading(&conn->stream);
        be_idle(conn);
    } else {
        pn__conn_close(conn);
    }
    origin->references++;
    pn__call_complete(call);
    if (PN_UNLIKELY(!pn_list_empty(&origin->waiting))) pn__origin_serve(origin);
    pn__origin_release(origin);
}

/* ---- sending ---- */

static void note_sent(pn__conn *conn) {
    conn->is_sent = true;
    conn->call->sent_ns = pn_io_read_clock(conn->origin->client->io);
}

static void tell_writable(pn_http_call *call) {
    if (!call->wants_writable || call->is_starting) return;
    call->wants_writable = false;
    if (call->events->on_writable != NULL) call->events->on_writable(call);
}

static bool upload_is_over(const pn_http_call *call) {
    return call->out_upload == PN_HTTP_UPLOAD_BYTES || call->upload_finished;
}

/* What was given to the stream is gone. */
static void on_part_sent(pn__conn *conn) {
    if (conn->continue_ns != 0) return; /* the head; the body waits */
    pn_http_call *call = conn->call;
    if (upload_is_over(call)) {
        note_sent(conn);
        if (call->first_byte_timeout_ns != 0) arm(conn, deadline_of(conn));
    } else {
        tell_writable(call);
    }
}

static int give(pn__conn *conn, const uv_buf_t *bufs, unsigned count) {
    int state = pn_stream_write(&conn->stream, bufs, count);
    if (state == 0) on_part_sent(conn);
    return state;
}

static uv_buf_t buf_of(const char *data, size_t size) {
    return (uv_buf_t){(char *)(uintptr_t)data, size};
}

/* The lines that depend on the body, and the empty one. */
static size_t write_tail(pn__conn *conn, const pn_http_call *call) {
    const char *expect = conn->continue_ns != 0 ? "Expect: 100-continue\r\n" : "";
    if (call->out_upload == PN_HTTP_UPLOAD_CHUNKED) {
        return (size_t)snprintf(conn->tail, sizeof conn->tail,
                                "Transfer-Encoding: chunked\r\n%s\r\n", expect);
    }
    uint64_t size =
        call->out_upload == PN_HTTP_UPLOAD_SIZED ? call->upload_size : call->out_body.size;
    return (size_t)snprintf(conn->tail, sizeof conn->tail, "Content-Length: %llu\r\n%s\r\n",
                            (unsigned long long)size, expect);
}

static int send_with_body(pn__conn *conn, pn_http_call *call) {
    const pn_http_request *request = call->request;
    bool has_body = call->out_upload != PN_HTTP_UPLOAD_BYTES || call->out_body.size > 0;
    if (request->expects_continue && has_body) {
        conn->continue_ns = after(call->ready_ns, PN_HTTP_CONTINUE_TIMEOUT_NS);
    }
    uv_buf_t bufs[3] = {buf_of(request->head.at, request->head.size - 2)};
    bufs[1] = buf_of(conn->tail, write_tail(conn, call));
    bool body_now = call->out_upload == PN_HTTP_UPLOAD_BYTES && call->out_body.size > 0 &&
                    conn->continue_ns == 0;
    if (body_now) bufs[2] = buf_of(call->out_body.at, call->out_body.size);
    return give(conn, bufs, body_now ? 3 : 2);
}

static int send_request(pn__conn *conn) {
    pn_http_call *call = conn->call;
    const pn_http_request *request = call->request;
    conn->state = PN__CONN_BUSY;
    conn->is_sent = false;
    conn->continue_ns = 0;
    conn->write_err = 0;
    conn->informations = 0;
    conn->bytes_in = conn->stream.bytes_in;
    conn->bytes_out = conn->stream.bytes_out;
    conn->limits.body_bytes = call->body_limit_bytes;
    pn_http_parser_start(&conn->in.parser, request->is_head);
    bool is_plain = call->out_upload == PN_HTTP_UPLOAD_BYTES && call->out_body.size == 0;
    int state;
    if (PN_LIKELY(is_plain && !request->wants_length)) {
        uv_buf_t buf = buf_of(request->head.at, request->head.size);
        state = give(conn, &buf, 1);
    } else {
        state = send_with_body(conn, call);
    }
    if (state >= 0) arm(conn, deadline_of(conn));
    return state < 0 ? state : 0;
}

int pn__conn_use(pn__conn *conn, pn_http_call *call) {
    leave_idle(conn);
    attach(conn, call);
    call->is_reused = true;
    if (conn->stream.tls != NULL) call->tls_version = pn_tls_session_version(conn->stream.tls);
    call->timings.blocked_ns = between(call->hop_ns, call->ready_ns);
    int err = send_request(conn);
    if (err == 0) return 0;
    detach(conn);
    pn__conn_close(conn);
    return err;
}

static void send_awaited_body(pn__conn *conn) {
    pn_http_call *call = conn->call;
    if (conn->continue_ns == 0) return;
    conn->continue_ns = 0;
    if (call->out_upload != PN_HTTP_UPLOAD_BYTES) {
        if (!conn->stream.is_writing) tell_writable(call);
        return;
    }
    uv_buf_t buf = buf_of(call->out_body.at, call->out_body.size);
    int state = give(conn, &buf, 1);
    if (state < 0) conn->write_err = state;
}

static void on_drain(pn_stream *stream, int err) {
    pn__conn *conn = PN_CONTAINER(stream, pn__conn, stream);
    if (conn->state == PN__CONN_TUNNELING) {
        if (err != 0) break_off(conn, err, "");
        return;
    }
    if (conn->state != PN__CONN_BUSY) return;
    /* A server that has had enough answers and closes: the answer is still to be read. */
    if (err != 0) {
        conn->write_err = err;
    } else {
        on_part_sent(conn);
    }
}

int pn__conn_write(pn__conn *conn, const char *data, size_t size) {
    pn_http_call *call = conn->call;
    uv_buf_t bufs[3];
    unsigned count = 0;
    if (call->out_upload == PN_HTTP_UPLOAD_CHUNKED) {
        int n = snprintf(conn->tail, sizeof conn->tail, "%zx\r\n", size);
        bufs[count++] = buf_of(conn->tail, (size_t)n);
    }
    bufs[count++] = buf_of(data, size);
    if (call->out_upload == PN_HTTP_UPLOAD_CHUNKED) bufs[count++] = buf_of("\r\n", 2);
    int state = pn_stream_write(&conn->stream, bufs, count);
    if (state < 0) conn->write_err = state; /* reading tells the end */
    if (state == 1) call->wants_writable = true;
    return state == 1 ? 1 : 0;
}

int pn__conn_finish(pn__conn *conn) {
    pn_http_call *call = conn->call;
    call->upload_finished = true;
    if (call->out_upload == PN_HTTP_UPLOAD_CHUNKED) {
        uv_buf_t buf = buf_of("0\r\n\r\n", 5);
        int state = give(conn, &buf, 1);
        if (state < 0) conn->write_err = state;
    } else {
        note_sent(conn);
        arm(conn, deadline_of(conn));
    }
    return 0;
}

/* ---- receiving ---- */

static char *on_room(pn_stream *stream, size_t *room) {
    pn__conn *conn = PN_CONTAINER(stream, pn__conn, stream);
    return pn_slabs_reserve(&conn->origin->client->slabs, room);
}

/* For the call's event, decoded if it wants that. */
static int stream_body(pn__conn *conn, const char *data, size_t size) {
    pn_http_call *call = conn->call;
    if (call->decoder == NULL) {
        call->events->on_body(call, data, size);
        return 0;
    }
    pn_buf *decoded = &conn->origin->client->decoded;
    pn_buf_clear(decoded);
    int err = pn_inflate_feed(call->decoder, data, size, decoded);
    if (err == 0 && decoded->size > 0) call->events->on_body(call, decoded->data, decoded->size);
    if (decoded->capacity > DECODED_KEPT_BYTES) pn_buf_close(decoded);
    return err;
}

static int on_body(pn__conn *conn, char *data, size_t size, bool in_slab) {
    pn_http_call *call = conn->call;
    pn_http_message *response = &call->response;
    if (size == 0) return 0;
    if (PN_LIKELY(response->body_kept)) {
        return pn_http_message_keep_body(response, data, size, in_slab);
    }
    response->body_bytes += size;
    if (call->events->on_body == NULL || call->follows) return 0;
    return stream_body(conn, data, size);
}

static int begin_decoding(pn_http_call *call) {
    if (!call->decodes || call->events->on_body == NULL || call->follows) return 0;
    pn_encoding encoding =
        pn_encoding_parse(pn_http_message_header(&call->response, PN_TEXT("content-encoding")));
    if (encoding == PN_ENCODING_IDENTITY) return 0;
    if (encoding == PN_ENCODING_UNKNOWN) return PN_EBAD_ENCODING;
    call->decoder = pn_inflate_create(client_of(call)->io->ledger, encoding);
    return call->decoder == NULL ? PN_ENOMEM : 0;
}

static int on_head(pn__conn *conn, char *data, bool in_slab) {
    pn_http_call *call = conn->call;
    const pn_http_head *head = &conn->in.parser.head;
    if (head->status < 200) {
        conn->in.parser.why = "the server switches protocols unasked";
        if (head->status == 101) return PN_EBAD_HTTP;
        conn->in.parser.why = "too many 1xx answers";
        if (++conn->informations > PN_HTTP_INFORMATION_MAX) return PN_EBAD_HTTP;
        if (head->status == 100) send_awaited_body(conn);
        return 0;
    }
    conn->continue_ns = 0; /* answered without the body: it is not sent any more */
    int err = pn_http_message_keep_head(&call->response, &conn->origin->client->slabs, head, data,
                                        in_slab);
    if (err != 0) return err;
    pn__call_judge(call);
    return conn->call == call ? begin_decoding(call) : 0; /* on_head may have cancelled */
}

static bool is_information(const pn__conn *conn) { return conn->in.parser.head.status < 200; }

/* One event of the parser's. 1: the answer is complete. */
static int take(pn__conn *conn, int event, const pn_http_piece *piece, char *at, bool in_slab) {
    switch (event) {
    case PN_HTTP_HEAD: return on_head(conn, at, in_slab);
    case PN_HTTP_BODY: return on_body(conn, piece->body, piece->body_size, in_slab);
    case PN_HTTP_END:
        if (is_information(conn)) {
            pn_http_parser_start(&conn->in.parser, conn->call->request->is_head);
            return 0;
        }
        if (conn->call->decoder != NULL && pn_inflate_finish(conn->call->decoder) != 0) {
            return PN_EBAD_ENCODING;
        }
        if (piece->body_size == 0) return 1;
        int err =
            pn_http_message_keep_trailers(&conn->call->response, piece->body, piece->body_size);
        return err != 0 ? err : 1;
    default: return event; /* an error, or PN_HTTP_MORE, which is 0 */
    }
}

static void receive(pn__conn *conn, char *data, size_t size) {
    pn_http_call *call = conn->call;
    uint64_t now_ns = pn_io_read_clock(conn->origin->client->io);
    if (call->first_byte_ns == 0) call->first_byte_ns = pn_stream_moment(now_ns);
    pn_http_input input;
    int state = pn_http_receiver_begin(&conn->in, &input, data, size);
    int event = PN_HTTP_BODY;
    while (state == 0 && event != PN_HTTP_MORE) {
        pn_http_piece piece;
        char *at;
        event = pn_http_receiver_next(&conn->in, &input, &piece, &at);
        state = take(conn, event, &piece, at, input.in_slab);
        if (PN_UNLIKELY(conn->call != call)) return; /* cancelled by an event */
    }
    bool has_more = input.left > 0;
    if (state >= 0 && pn_http_receiver_end(&conn->in, &input) != 0) state = PN_ENOMEM;
    if (state == 1) {
        call->ended_ns = now_ns;
        complete(conn, has_more);
    } else if (state < 0) {
        break_off(conn, state, conn->in.parser.why != NULL ? conn->in.parser.why : "");
    }
}

/* The peer ended, or the connection broke. */
static void on_end(pn__conn *conn, int err) {
    pn_http_call *call = conn->call;
    if (err != PN_EEOF) {
        break_off(conn, err, conn->stream.tls != NULL ? pn_tls_session_why(conn->stream.tls) : "");
        return;
    }
    int event = pn_http_parser_finish(&conn->in.parser);
    bool lacks_end = call->decoder != NULL && pn_inflate_finish(call->decoder) != 0;
    if (event == PN_HTTP_END && lacks_end) {
        break_off(conn, PN_EBAD_ENCODING, "");
    } else if (event == PN_HTTP_END && conn->stream.is_clean_end) {
        call->ended_ns = pn_io_read_clock(conn->origin->client->io);
        complete(conn, false);
    } else if (event == PN_HTTP_END) {
        break_off(conn, PN_EBAD_HTTP, "the connection was cut: TLS did not end");
    } else if (event == PN_EEOF) {
        break_off(conn, PN_EEOF, "the server closed the connection without an answer");
    } else {
        break_off(conn, event, conn->in.parser.why);
    }
}

static void read_tunnel(pn__conn *conn, char *data, ptrdiff_t size);

static void on_read(pn_stream *stream, char *data, ptrdiff_t size) {
    pn__conn *conn = PN_CONTAINER(stream, pn__conn, stream);
    if (PN_LIKELY(conn->state == PN__CONN_BUSY)) {
        if (PN_LIKELY(size > 0)) {
            receive(conn, data, (size_t)size);
        } else {
            on_end(conn, (int)size);
        }
    } else if (conn->state == PN__CONN_TUNNELING) {
        read_tunnel(conn, data, size);
    } else {
        pn__conn_close(conn); /* idle: the server closed it, or said something unasked */
    }
}

/* ---- making ---- */

static const char *server_name(const pn__conn *conn) {
    return conn->origin->tls != NULL ? conn->origin->host : NULL;
}

static bool needs_tunnel(const pn__origin *origin) {
    return origin->proxy_host != NULL && origin->tls != NULL;
}

/* TLS that begins with the transport; in a tunnel it comes later. */
static pn_tls *direct_tls(const pn__origin *origin) {
    return needs_tunnel(origin) ? NULL : origin->tls;
}

static int connect_socket(pn__conn *conn) {
    const pn__origin *origin = conn->origin;
    conn->state = PN__CONN_CONNECTING;
    conn->has_stream = true;
    return pn_stream_connect_unix(&conn->stream, origin->client->io, &stream_events,
                                  origin->socket_path, origin->tls, server_name(conn));
}

static int connect_next(pn__conn *conn) {
    pn__origin *origin = conn->origin;
    pn__dial *dial = conn->dial;
    const pn_address *address = &dial->query.addresses[dial->next++];
    conn->state = PN__CONN_CONNECTING;
    conn->has_stream = true;
    return pn_stream_connect(&conn->stream, origin->client->io, &stream_events, &address->any,
                             direct_tls(origin), server_name(conn));
}

static void note_connecting(pn__conn *conn) {
    pn_http_call *call = conn->call;
    uint64_t now_ns = pn_io_read_clock(conn->origin->client->io);
    conn->dial->connect_ns = now_ns;
    call->timings.blocked_ns = between(call->hop_ns, now_ns);
}

/* The stream has closed after a failed attempt. */
static void try_next_address(pn__conn *conn) {
    int err = connect_next(conn);
    if (err != 0) break_off(conn, err, "");
}

static void on_answer(pn_dns_query *query, int err) {
    pn__dial *dial = PN_CONTAINER(query, pn__dial, query);
    pn__conn *conn = dial->conn;
    if (err == 0) {
        note_connecting(conn);
        err = connect_next(conn);
    }
    if (err != 0) break_off(conn, err, "");
}

static int resolve(pn__conn *conn) {
    pn__origin *origin = conn->origin;
    bool by_proxy = origin->proxy_host != NULL;
    const char *host = by_proxy ? origin->proxy_host : origin->host;
    conn->dial->query.on_answer = on_answer;
    pn_dns *dns = origin->dns != NULL ? origin->dns : origin->client->dns;
    int state = pn_dns_resolve(dns, &conn->dial->query, pn_text_of(host),
                               by_proxy ? origin->proxy_port : origin->port);
    if (state != 0) return state < 0 ? state : 0;
    note_connecting(conn);
    return connect_next(conn);
}

static int begin_dial(pn__conn *conn) {
    conn->dial = pn_mem_try_zeroed(conn->origin->client->io->ledger, sizeof *conn->dial);
    if (conn->dial == NULL) return PN_ENOMEM;
    conn->dial->conn = conn;
    pn_list_init(&conn->dial->query.link);
    if (conn->origin->socket_path == NULL) return resolve(conn);
    note_connecting(conn);
    return connect_socket(conn);
}

int pn__conn_dial(pn__origin *origin, pn_http_call *call) {
    pn__conn *conn = create(origin);
    if (conn == NULL) return PN_ENOMEM;
    attach(conn, call);
    conn->state = PN__CONN_RESOLVING;
    call->is_reused = false;
    int err = begin_dial(conn);
    if (err == 0) {
        arm(conn, deadline_of(conn));
        return 0;
    }
    call->phase = phase_of(conn);
    detach(conn);
    pn__conn_close(conn);
    return err;
}

static int ask_for_tunnel(pn__conn *conn) {
    const pn__origin *origin = conn->origin;
    pn__dial *dial = conn->dial;
    bool is_v6 = strchr(origin->host, ':') != NULL;
    int size = snprintf(dial->request, sizeof dial->request,
                        "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n%s%s%s\r\n",
                        is_v6 ? "[" : "", origin->host, is_v6 ? "]" : "", (unsigned)origin->port,
                        is_v6 ? "[" : "", origin->host, is_v6 ? "]" : "", (unsigned)origin->port,
                        origin->proxy_auth[0] != '\0' ? "Proxy-Authorization: " : "",
                        origin->proxy_auth, origin->proxy_auth[0] != '\0' ? "\r\n" : "");
    if (size < 0 || (size_t)size >= sizeof dial->request) return PN_ETOO_LARGE;
    conn->state = PN__CONN_TUNNELING;
    pn_http_parser_start(&conn->in.parser, true);
    int err = pn_stream_start_reading(&conn->stream);
    if (err != 0) return err;
    uv_buf_t buf = buf_of(dial->request, (size_t)size);
    int state = pn_stream_write(&conn->stream, &buf, 1);
    return state < 0 ? state : 0;
}

static int enter_tunnel(pn__conn *conn) {
    unsigned status = conn->in.parser.head.status;
    if (status < 200 || status > 299) {
        conn->in.parser.why = status == 407 ? "the proxy asks for authentication (407)"
                                            : "the proxy refuses the tunnel";
        return -ECONNREFUSED;
    }
    conn->state = PN__CONN_SECURING;
    conn->dial->tls_ns = pn_stream_moment(pn_io_read_clock(conn->origin->client->io));
    pn_stream_stop_reading(&conn->stream);
    return pn_stream_start_tls(&conn->stream, conn->origin->tls, server_name(conn));
}

static void read_tunnel(pn__conn *conn, char *data, ptrdiff_t size) {
    pn_http_call *call = conn->call;
    pn_http_input input;
    pn_http_piece piece;
    char *at;
    if (size < 0) {
        break_off(conn, (int)size, "the proxy closed the connection");
        return;
    }
    int event = pn_http_receiver_begin(&conn->in, &input, data, (size_t)size);
    if (event == 0) event = pn_http_receiver_next(&conn->in, &input, &piece, &at);
    int err = event < 0 ? event : 0;
    bool has_head = event == PN_HTTP_HEAD;
    if (has_head && input.left > 0) err = PN_EBAD_HTTP;
    if (err == 0) err = pn_http_receiver_end(&conn->in, &input);
    if (err == 0 && has_head) err = enter_tunnel(conn);
    if (err == 0 || conn->call != call) return; /* an event of start_tls may have ended it */
    break_off(conn, err, conn->in.parser.why != NULL ? conn->in.parser.why : "");
}

static void be_ready(pn__conn *conn) {
    pn_http_call *call = conn->call;
    pn_stream *stream = &conn->stream;
    uint64_t tls_ns = conn->dial->tls_ns != 0 ? conn->dial->tls_ns : stream->connected_ns;
    call->timings.connecting_ns = between(conn->dial->connect_ns, tls_ns);
    if (stream->tls != NULL) {
        call->timings.tls_handshaking_ns = between(tls_ns, stream->opened_ns);
        call->tls_version = pn_tls_session_version(stream->tls);
    }
    free_dial(conn);
    call->ready_ns = stream->opened_ns;
    int err = pn_stream_start_reading(stream);
    if (err == 0) err = send_request(conn);
    if (err != 0) break_off(conn, err, "");
}

static void on_open(pn_stream *stream, int err) {
    pn__conn *conn = PN_CONTAINER(stream, pn__conn, stream);
    bool more_to_try = stream->connected_ns == 0 && conn->origin->socket_path == NULL &&
                       conn->dial->next < conn->dial->query.count;
    if (err != 0 && more_to_try) {
        pn_stream_close(stream); /* on_close goes on; the state stays CONNECTING */
        return;
    }
    if (err == 0 && conn->state == PN__CONN_CONNECTING && needs_tunnel(conn->origin)) {
        err = ask_for_tunnel(conn);
        if (err == 0) return;
    }
    if (err == 0) {
        be_ready(conn);
    } else {
        break_off(conn, err, stream->tls != NULL ? pn_tls_session_why(stream->tls) : "");
    }
}

/* ---- time ---- */

static void expire(pn__conn *conn) {
    uint64_t now_ns = conn->origin->client->io->now_ns;
    if (conn->call == NULL) { /* idle */
        pn__conn_close(conn);
    } else if (conn->continue_ns != 0 && now_ns >= conn->continue_ns) {
        send_awaited_body(conn);
        arm(conn, deadline_of(conn));
    } else {
        break_off(conn, PN_ETIMEOUT, "");
    }
}

static void on_timer(pn_timer *timer) {
    pn__conn *conn = PN_CONTAINER(timer, pn__conn, timer);
    if (conn->call != NULL) conn->deadline_ns = deadline_of(conn);
    if (conn->origin->client->io->now_ns < conn->deadline_ns) {
        arm(conn, conn->deadline_ns);
    } else {
        expire(conn);
    }
}

static void on_stream_close(pn_stream *stream) {
    pn__conn *conn = PN_CONTAINER(stream, pn__conn, stream);
    bool goes_on = conn->state == PN__CONN_CONNECTING;
    on_close(stream);
    if (goes_on) try_next_address(conn);
}

static const pn_stream_events stream_events = {
    .on_open = on_open,
    .on_room = on_room,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_stream_close,
};
