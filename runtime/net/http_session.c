/*
 * A server's connection. It reads a request, gives it to a handler, sends the answer, and begins
 * again; see http_server.h. After each event of a handler the session may have gone on or be
 * closed, so code that continues looks at its state first. A session's memory goes when its stream
 * has closed and no handler has its exchange.
 */
#include "net/http_session.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "net/http_headers.h"

static void on_timer(pn_timer *timer);
static bool may_parse(const pn__session *session);
static void feed(pn__session *session, char *data, size_t size);
static const pn_stream_events stream_events;

/* ---- life ---- */

static void free_session(pn__session *session) {
    if (session->has_stream || session->exchange.is_live) return;
    pn_http_server *server = session->server;
    pn_http_message_close(&session->exchange.request);
    pn_http_receiver_close(&session->in);
    pn_buf_close(&session->pending);
    pn_list_remove(&session->link);
    server->session_count--;
    pn_mem_free(server->io->ledger, session, sizeof *session);
    pn__server_release(server);
}

/* A handler that has the exchange is told, and keeps the session's memory. */
static void tell_abort(pn__session *session) {
    pn_http_exchange *x = &session->exchange;
    if (!x->is_live || x->is_told) return;
    x->is_aborted = x->is_told = true;
    session->server->stats.aborted++;
    if (x->handler->on_abort != NULL) x->handler->on_abort(x);
}

static void close_session(pn__session *session) {
    if (session->state == PN__SESSION_CLOSED) return;
    session->state = PN__SESSION_CLOSED;
    pn_io_stop_timer(session->server->io, &session->timer);
    pn_stream_close(&session->stream);
    tell_abort(session);
}

void pn__session_cut(pn__session *session) {
    if (session->state == PN__SESSION_CLOSED) return;
    session->state = PN__SESSION_CLOSED;
    pn_io_stop_timer(session->server->io, &session->timer);
    pn_stream_abort(&session->stream);
    tell_abort(session);
}

static void on_close(pn_stream *stream) {
    pn__session *session = PN_CONTAINER(stream, pn__session, stream);
    session->has_stream = false;
    free_session(session);
}

void pn__session_let_go(pn__session *session) {
    session->exchange.is_live = false;
    free_session(session);
}

/* ---- time ---- */

static void arm(pn__session *session, uint64_t delay_ns) {
    pn_io *io = session->server->io;
    pn_assert(session->state != PN__SESSION_CLOSED);
    session->deadline_ns = io->now_ns + delay_ns;
    uint64_t at_ms = session->deadline_ns / PN_IO_TICK_NS + 1;
    if (pn_timer_active(&session->timer) && session->timer.at_ms <= at_ms) return;
    pn_timer_start(io->wheel, &session->timer, at_ms);
}

static void disarm(pn__session *session) { session->deadline_ns = UINT64_MAX; }

static void watch_progress(pn__session *session, uint64_t bytes_now) {
    session->progress_bytes = bytes_now;
    arm(session, session->server->options.progress_timeout_ns);
}

static bool has_progressed(const pn__session *session, uint64_t bytes_now) {
    return bytes_now - session->progress_bytes >= PN_HTTP_PROGRESS_BYTES;
}

/* What the client's side has taken. The kernel says that it has room again only when much of its
 * buffer is free, so what it still holds is asked for: a client that reads slowly but steadily
 * makes progress. */
static uint64_t bytes_taken(const pn__session *session) {
    const pn_stream *stream = &session->stream;
    uv_os_fd_t fd;
    int held = 0;
    if (uv_fileno(&stream->uv.handle, &fd) != 0 || ioctl(fd, SIOCOUTQ, &held) != 0) held = 0;
    uint64_t left = uv_stream_get_write_queue_size(&stream->uv.stream) + (uint64_t)held;
    return stream->bytes_out > left ? stream->bytes_out - left : 0;
}

static bool is_sending(const pn__session *session) { return session->stream.is_writing; }

static void time_out(pn__session *session) {
    session->server->stats.timed_out++;
    if (session->state == PN__SESSION_HEAD) {
        pn__answer_error(session, 408, false, PN_TEXT_NONE);
    } else {
        pn__session_cut(session);
    }
}

static void expire(pn__session *session) {
    if (is_sending(session)) {
        if (has_progressed(session, bytes_taken(session))) {
            watch_progress(session, bytes_taken(session));
        } else {
            time_out(session);
        }
    } else if (session->state == PN__SESSION_BODY) {
        bool is_paused = !session->stream.is_reading; /* by the handler, not by the client */
        if (is_paused || has_progressed(session, session->stream.bytes_in)) {
            watch_progress(session, session->stream.bytes_in);
        } else {
            time_out(session);
        }
    } else if (session->state == PN__SESSION_IDLE || session->state == PN__SESSION_LINGER) {
        close_session(session);
    } else if (session->state == PN__SESSION_HEAD || session->state == PN__SESSION_OPENING) {
        time_out(session);
    }
}

static void on_timer(pn_timer *timer) {
    pn__session *session = PN_CONTAINER(timer, pn__session, timer);
    pn_io *io = session->server->io;
    if (session->feeds_later) {
        session->feeds_later = false;
        if (may_parse(session)) feed(session, NULL, 0);
        if (session->state == PN__SESSION_CLOSED) return;
    }
    if (session->deadline_ns == UINT64_MAX || pn_timer_active(timer)) return;
    if (io->now_ns < session->deadline_ns) {
        pn_timer_start(io->wheel, timer, session->deadline_ns / PN_IO_TICK_NS + 1);
    } else {
        expire(session);
    }
}

/* ---- output ---- */

size_t pn__session_begin_output(const pn__session *session) { return session->server->out.size; }

bool pn__session_is_sending(const pn__session *session) { return is_sending(session); }

static void start_pending(pn__session *session) {
    uv_buf_t buf = {session->pending.data, session->pending.size};
    int state = pn_stream_write(&session->stream, &buf, 1);
    if (state < 0) {
        close_session(session);
    } else if (state == 0) {
        pn_buf_close(&session->pending);
    } else {
        watch_progress(session, bytes_taken(session));
    }
}

/* The kernel's part at once, the rest to `pending`. */
static void send_now(pn__session *session, pn_text bytes, pn_text body) {
    uv_buf_t bufs[2] = {{(char *)(uintptr_t)bytes.at, bytes.size},
                        {(char *)(uintptr_t)body.at, body.size}};
    ptrdiff_t taken = pn_stream_try_write(&session->stream, bufs, body.size > 0 ? 2 : 1);
    if (taken < 0) {
        close_session(session);
        return;
    }
    size_t n = (size_t)taken;
    if (PN_LIKELY(n == bytes.size + body.size)) {
        if (PN_UNLIKELY(is_sending(session))) watch_progress(session, bytes_taken(session));
        return;
    }
    size_t of_bytes = n < bytes.size ? n : bytes.size;
    size_t of_body = n - of_bytes;
    pn_buf_add(&session->pending, bytes.at + of_bytes, bytes.size - of_bytes);
    if (body.size > 0) pn_buf_add(&session->pending, body.at + of_body, body.size - of_body);
    if (session->pending.failed) {
        close_session(session);
    } else {
        start_pending(session);
    }
}

void pn__session_submit(pn__session *session, size_t start, pn_text body) {
    pn_buf *out = &session->server->out;
    bool failed = out->failed;
    out->failed = false;
    if (session->state == PN__SESSION_CLOSED || failed) {
        out->size = start;
        if (failed) close_session(session);
        return;
    }
    if (session == session->server->feeding) {
        start = 0; /* all of it is this session's */
        if (out->size + body.size < PN_HTTP_CORK_BYTES) {
            if (pn_buf_add(out, body.at, body.size)) return; /* feed sends it with what follows */
            out->failed = false;
        }
    }
    send_now(session, pn_text_make(out->data + start, out->size - start), body);
    out->size = start;
}

static void flush(pn__session *session) {
    pn_buf *out = &session->server->out;
    if (out->size == 0) return;
    size_t size = out->size;
    out->size = 0;
    if (session->state != PN__SESSION_CLOSED) {
        send_now(session, pn_text_make(out->data, size), PN_TEXT_NONE);
    }
    if (out->capacity > (size_t)2 * PN_HTTP_CORK_BYTES) pn_buf_close(out);
}

/* ---- from one request to the next ---- */

/* Reads on until the client ends too, so that our last answer is not lost to a reset. */
static void linger(pn__session *session) {
    session->state = PN__SESSION_LINGER;
    pn_stream_shut(&session->stream);
    pn_buf_close(&session->in.partial);
    arm(session, PN_HTTP_LINGER_NS);
    if (pn_stream_start_reading(&session->stream) != 0) close_session(session);
}

static void end_connection(pn__session *session, bool has_unread) {
    if (is_sending(session)) {
        session->has_finished = true; /* on_drain comes back to go_on */
        session->state = PN__SESSION_HANDLING;
    } else if (has_unread && !session->is_ended) {
        linger(session);
    } else {
        close_session(session);
    }
}

static void feed_later(pn__session *session) {
    pn_io *io = session->server->io;
    session->feeds_later = true;
    pn_timer_start(io->wheel, &session->timer, io->now_ns / PN_IO_TICK_NS);
}

static void begin_request(pn__session *session) {
    session->state = PN__SESSION_IDLE;
    session->limits.body_bytes = UINT64_MAX; /* until a route says its own */
    pn_http_parser_start(&session->in.parser, false);
    arm(session, session->server->options.idle_timeout_ns);
}

/* The last answer is with the kernel. */
static void go_on(pn__session *session) {
    if (!session->keeps_alive || session->server->is_closing) {
        session->keeps_alive = false;
        if (session == session->server->feeding) {
            session->state = PN__SESSION_ENDING; /* feed knows what was not read */
        } else {
            end_connection(session,
                           !session->exchange.body_is_over || session->in.partial.size > 0);
        }
        return;
    }
    begin_request(session);
    if (session == session->server->feeding) return; /* its loop goes on */
    if (session->in.partial.size > 0) {
        feed_later(session);
    } else if (session->is_ended) {
        close_session(session);
        return;
    }
    if (!session->is_ended && pn_stream_start_reading(&session->stream) != 0)
        close_session(session);
}

void pn__session_finish(pn__session *session) {
    pn_http_exchange *x = &session->exchange;
    if (session->server->options.on_answered != NULL) {
        session->server->options.on_answered(x, x->status);
    }
    x->is_live = false;
    pn_http_message_close(&x->request);
    if (!x->body_is_over) session->keeps_alive = false; /* the rest of it is not HTTP to us */
    if (session->state == PN__SESSION_CLOSED) {
        free_session(session);
    } else if (is_sending(session)) {
        session->has_finished = true;
        session->state = PN__SESSION_HANDLING; /* nothing is parsed before it is sent */
    } else {
        go_on(session);
    }
}

static void on_drain(pn_stream *stream, int err) {
    pn__session *session = PN_CONTAINER(stream, pn__session, stream);
    pn_http_exchange *x = &session->exchange;
    pn_buf_close(&session->pending);
    if (err != 0) {
        close_session(session);
        return;
    }
    disarm(session);
    if (session->owes_end) {
        session->owes_end = false;
        pn__answer_last_chunk(session);
        if (session->state == PN__SESSION_CLOSED || is_sending(session)) return;
    }
    if (session->has_finished) {
        session->has_finished = false;
        go_on(session);
        return;
    }
    if (session->state == PN__SESSION_BODY) watch_progress(session, session->stream.bytes_in);
    if (x->is_live && x->wants_writable) {
        x->wants_writable = false;
        if (x->handler->on_writable != NULL) x->handler->on_writable(x);
    }
}

/* ---- requests ---- */

static void give_to_handler(pn__session *session) {
    pn_http_exchange *x = &session->exchange;
    x->is_live = true;
    session->server->stats.requests++;
    x->handler->on_request(x);
}

/* "/a?b" out of "/a?b" or "http://host/a?b" (RFC 9112, 3.2.2). False: no path. */
static bool find_path(pn_http_exchange *x) {
    pn_text target = pn_http_message_target(&x->request);
    size_t at = 0;
    if (target.at[0] != '/') {
        const char *scheme = memmem(target.at, target.size, "://", 3);
        if (scheme == NULL) return false;
        at = (size_t)(scheme + 3 - target.at);
        while (at < target.size && target.at[at] != '/' && target.at[at] != '?') at++;
    }
    size_t end = at;
    while (end < target.size && target.at[end] != '?' && target.at[end] != '#') end++;
    x->path_at = (uint32_t)at;
    x->path_size = (uint32_t)(end - at);
    return true;
}

/* The handler, or NULL after the error was answered. */
static const pn_http_handler *route(pn__session *session) {
    pn_http_exchange *x = &session->exchange;
    const pn_http_server_options *options = &session->server->options;
    bool keep = x->request.head.keep_alive && x->request.head.body_kind == PN_HTTP_BODY_NONE;
    bool has_path = find_path(x);
    pn_text path = has_path ? pn_http_exchange_path(x) : PN_TEXT_NONE;
    if (path.size == 0) path = PN_TEXT("/");
    if (has_path && options->router != NULL &&
        pn_http_router_find(options->router, x->request.head.method, path, &x->match) == 0) {
        return x->match.handler;
    }
    if (options->fallback != NULL) return options->fallback;
    if (x->match.allowed == 0) {
        pn__answer_error(session, 404, keep, PN_TEXT_NONE);
        return NULL;
    }
    pn_buf allow;
    pn_buf_init(&allow, &session->server->io->ledger->door);
    pn_http_write_allowed(&allow, x->match.allowed);
    pn__answer_error(session, 405, keep, pn_text_make(allow.data, allow.size));
    pn_buf_close(&allow);
    return NULL;
}

/* The route's limit for the body, which the parser did not know yet. */
static bool fits(pn__session *session) {
    const pn_http_exchange *x = &session->exchange;
    uint64_t limit = x->handler->body_limit_bytes;
    if (limit == 0) limit = session->server->options.body_bytes_max;
    session->limits.body_bytes = limit;
    if (x->request.head.body_kind != PN_HTTP_BODY_LENGTH) return true;
    if (x->request.head.content_length <= limit) return true;
    pn__answer_error(session, 413, false, PN_TEXT_NONE);
    return false;
}

static void invite_body(pn__session *session) {
    size_t start = pn__session_begin_output(session);
    pn_buf_add_text(&session->server->out, "HTTP/1.1 100 Continue\r\n\r\n");
    pn__session_submit(session, start, PN_TEXT_NONE);
}

static void take_head(pn__session *session, char *data, bool in_slab) {
    pn_http_server *server = session->server;
    pn_http_exchange *x = &session->exchange;
    const pn_http_head *head = &session->in.parser.head;
    *x = (pn_http_exchange){.session = session};
    x->body_is_over = head->body_kind == PN_HTTP_BODY_NONE;
    pn_http_message_init(&x->request, server->options.charge, server->options.user);
    session->state = PN__SESSION_BODY;
    session->keeps_alive = head->keep_alive && !server->is_closing;
    if (pn_http_message_keep_head(&x->request, &server->slabs, head, data, in_slab) != 0) {
        pn__answer_error(session, 503, false, PN_TEXT_NONE);
        return;
    }
    x->handler = route(session);
    if (x->handler == NULL || !fits(session)) return;
    x->request.body_kept = !x->handler->streams_body;
    if (!x->body_is_over) {
        if (head->expects_continue && head->minor == 1) invite_body(session);
        if (session->state == PN__SESSION_CLOSED) return;
        watch_progress(session, session->stream.bytes_in);
    }
    if (x->handler->streams_body) give_to_handler(session);
}

static void take_body(pn__session *session, const pn_http_piece *piece, bool in_slab) {
    pn_http_exchange *x = &session->exchange;
    if (piece->body_size == 0) return;
    if (!x->handler->streams_body) {
        if (pn_http_message_keep_body(&x->request, piece->body, piece->body_size, in_slab) == 0)
            return;
        pn__answer_error(session, 503, false, PN_TEXT_NONE);
        return;
    }
    x->request.body_bytes += piece->body_size;
    if (x->handler->on_body != NULL) x->handler->on_body(x, piece->body, piece->body_size);
}

static void take_end(pn__session *session, const pn_http_piece *piece) {
    pn_http_exchange *x = &session->exchange;
    x->body_is_over = true;
    session->state = PN__SESSION_HANDLING;
    disarm(session);
    if (x->handler->streams_body) {
        if (x->handler->on_body_end != NULL) x->handler->on_body_end(x);
        return;
    }
    if (pn_http_message_keep_trailers(&x->request, piece->body, piece->body_size) != 0) {
        pn__answer_error(session, 503, false, PN_TEXT_NONE);
        return;
    }
    give_to_handler(session);
}

static void refuse(pn__session *session, int err) {
    if (session->exchange.is_live) {
        pn__session_cut(session); /* the handler may have begun to answer */
    } else {
        unsigned status = err == PN_ENOMEM ? 503 : session->in.parser.refuse_status;
        pn__answer_error(session, status, false, PN_TEXT_NONE);
    }
}

static bool may_parse(const pn__session *session) {
    return session->state >= PN__SESSION_IDLE && session->state <= PN__SESSION_BODY &&
           !is_sending(session);
}

static void take(pn__session *session, int event, const pn_http_piece *piece, char *at,
                 bool in_slab) {
    switch (event) {
    case PN_HTTP_HEAD: take_head(session, at, in_slab); break;
    case PN_HTTP_BODY: take_body(session, piece, in_slab); break;
    case PN_HTTP_END: take_end(session, piece); break;
    default: refuse(session, event); break;
    }
}

/* Runs over what came until something must be waited for. */
static void parse(pn__session *session, pn_http_input *input) {
    while (may_parse(session)) {
        pn_http_piece piece;
        char *at;
        int event = pn_http_receiver_next(&session->in, input, &piece, &at);
        if (event == PN_HTTP_MORE) break;
        take(session, event, &piece, at, input->in_slab);
    }
}

static void watch_head(pn__session *session) {
    if (session->state != PN__SESSION_IDLE || session->in.partial.size == 0) return;
    session->state = PN__SESSION_HEAD;
    arm(session, session->server->options.head_timeout_ns);
}

static void after_feed(pn__session *session, pn_http_input *input) {
    if (session->state == PN__SESSION_ENDING) {
        bool has_unread = input->left > 0 || !session->exchange.body_is_over;
        pn_buf_close(&session->in.partial);
        end_connection(session, has_unread);
        return;
    }
    if (session->state == PN__SESSION_CLOSED) return; /* its memory waits for its stream */
    if (pn_http_receiver_end(&session->in, input) != 0) {
        close_session(session);
        return;
    }
    watch_head(session);
    bool can_go_on = session->state == PN__SESSION_HANDLING || is_sending(session);
    if (session->is_ended && !can_go_on) close_session(session);
}

static void feed(pn__session *session, char *data, size_t size) {
    pn_http_server *server = session->server;
    pn_http_input input;
    pn_assert(server->feeding == NULL);
    if (pn_http_receiver_begin(&session->in, &input, data, size) != 0) {
        close_session(session);
        return;
    }
    server->feeding = session;
    parse(session, &input);
    server->feeding = NULL;
    flush(session);
    after_feed(session, &input);
}

/* ---- events of the stream ---- */

static char *on_room(pn_stream *stream, size_t *room) {
    return pn_slabs_reserve(&PN_CONTAINER(stream, pn__session, stream)->server->slabs, room);
}

/* What is sent ahead waits, but not without bound. */
static void hold(pn__session *session, const char *data, size_t size) {
    if (!pn_buf_add(&session->in.partial, data, size)) {
        close_session(session);
    } else if (session->in.partial.size > PN_HTTP_AHEAD_BYTES) {
        pn_stream_stop_reading(&session->stream);
    }
}

/* A client may end its side and still wait for answers. */
static void on_end(pn__session *session, int err) {
    session->is_ended = true;
    bool waits = session->state == PN__SESSION_HANDLING || is_sending(session) ||
                 session->feeds_later || session->exchange.is_live;
    if (err == PN_EEOF && session->state == PN__SESSION_BODY) waits = false; /* cut off */
    if (err != PN_EEOF || !waits) close_session(session);
}

static void on_read(pn_stream *stream, char *data, ptrdiff_t size) {
    pn__session *session = PN_CONTAINER(stream, pn__session, stream);
    if (size < 0) {
        on_end(session, (int)size);
    } else if (PN_LIKELY(may_parse(session))) {
        feed(session, data, (size_t)size);
    } else if (session->state != PN__SESSION_LINGER) {
        hold(session, data, (size_t)size);
    }
}

static void begin(pn__session *session) {
    begin_request(session);
    arm(session, session->server->options.head_timeout_ns);
    if (pn_stream_start_reading(&session->stream) != 0) close_session(session);
}

static void on_open(pn_stream *stream, int err) {
    pn__session *session = PN_CONTAINER(stream, pn__session, stream);
    if (err != 0) {
        close_session(session);
    } else {
        begin(session);
    }
}

static const pn_stream_events stream_events = {
    .on_open = on_open,
    .on_room = on_room,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- for the server ---- */

bool pn__session_accept(pn_http_server *server) {
    pn__session *session = pn_mem_try_zeroed(server->io->ledger, sizeof *session);
    if (session == NULL) return false;
    session->server = server;
    session->has_stream = true;
    session->limits = server->limits;
    pn_timer_init(&session->timer, on_timer);
    pn_http_receiver_init(&session->in, true, &session->limits, server->io->ledger);
    pn_buf_init(&session->pending, &server->io->ledger->door);
    pn_list_push(&server->sessions, &session->link);
    server->session_count++;
    server->stats.accepted++;
    int err = pn_stream_accept(&session->stream, server->io, &stream_events,
                               &server->listener.stream, server->options.tls);
    if (err != 0) {
        server->stats.accept_errors++;
        close_session(session);
    } else if (server->options.tls == NULL) {
        begin(session);
    } else {
        arm(session, server->options.head_timeout_ns);
    }
    return true;
}

void pn__session_close_idle(pn__session *session) {
    session->keeps_alive = false;
    bool is_idle = session->state == PN__SESSION_IDLE && session->in.partial.size == 0;
    if (is_idle && !is_sending(session)) close_session(session);
}
