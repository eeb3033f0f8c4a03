#include "net/stream.h"

#include <string.h>
#include <sys/un.h>

#include "base/err.h"

static pn_stream *stream_of(void *handle) { return ((uv_handle_t *)handle)->data; }

/* ---- opening ---- */

static void on_later(pn_timer *timer);
static int start_transport(pn_stream *stream);
static int flush_records(pn_stream *stream);

static void prepare(pn_stream *stream, pn_io *io, const pn_stream_events *events) {
    *stream = (pn_stream){.io = io, .events = events};
    pn_timer_init(&stream->later, on_later);
}

static void be_open(pn_stream *stream, uint64_t now_ns) {
    stream->is_open = true;
    stream->opened_ns = now_ns;
    stream->events->on_open(stream, 0);
}

static void advance_handshake(pn_stream *stream) {
    int state = pn_tls_session_handshake(stream->tls);
    int err = flush_records(stream); /* an alert is sent too */
    if (state < 0) err = state;
    if (err < 0) {
        stream->events->on_open(stream, err);
    } else if (state == 0) {
        be_open(stream, pn_io_read_clock(stream->io));
    }
}

static int add_session(pn_stream *stream, pn_tls *tls, const char *server_name) {
    if (tls == NULL) return 0;
    stream->tls = pn_tls_session_create(tls, server_name);
    return stream->tls == NULL ? PN_ENOMEM : 0;
}

static void begin_handshake(pn_stream *stream) {
    int err = start_transport(stream);
    if (err != 0) {
        stream->events->on_open(stream, err);
        return;
    }
    advance_handshake(stream);
}

static void on_connected(uv_connect_t *request, int status) {
    pn_stream *stream = stream_of(request->handle);
    if (stream->is_closing) return;
    if (status != 0) {
        stream->events->on_open(stream, pn_io_err(status));
        return;
    }
    stream->connected_ns = pn_stream_moment(pn_io_read_clock(stream->io));
    if (stream->tls == NULL) {
        be_open(stream, stream->connected_ns);
    } else {
        begin_handshake(stream);
    }
}

/* Initialising a handle without flags cannot fail: it takes no descriptor yet. */
static void init_tcp(pn_stream *stream) {
    uv_tcp_init(&stream->io->loop, &stream->uv.tcp);
    stream->uv.handle.data = stream;
}

static void init_pipe(pn_stream *stream) {
    uv_pipe_init(&stream->io->loop, &stream->uv.pipe, 0);
    stream->uv.handle.data = stream;
}

int pn_stream_connect(pn_stream *stream, pn_io *io, const pn_stream_events *events,
                      const struct sockaddr *address, pn_tls *tls, const char *server_name) {
    prepare(stream, io, events);
    init_tcp(stream);
    int err = add_session(stream, tls, server_name);
    if (err != 0) return err;
    err = uv_tcp_connect(&stream->request.connect, &stream->uv.tcp, address, on_connected);
    if (err == 0) err = uv_tcp_nodelay(&stream->uv.tcp, 1);
    return pn_io_err(err);
}

int pn_stream_connect_unix(pn_stream *stream, pn_io *io, const pn_stream_events *events,
                           const char *path, pn_tls *tls, const char *server_name) {
    prepare(stream, io, events);
    init_pipe(stream);
    int err = add_session(stream, tls, server_name);
    if (err != 0) return err;
    size_t size = strlen(path);
    if (size == 0) return -ENOENT;
    if (size >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return -ENAMETOOLONG; /* libuv would cut it */
    uv_pipe_connect(&stream->request.connect, &stream->uv.pipe, path, on_connected);
    return 0;
}

int pn_stream_accept(pn_stream *stream, pn_io *io, const pn_stream_events *events,
                     uv_stream_t *listener, pn_tls *tls) {
    prepare(stream, io, events);
    bool is_tcp = listener->type == UV_TCP;
    if (is_tcp) {
        init_tcp(stream);
    } else {
        init_pipe(stream);
    }
    int err = uv_accept(listener, &stream->uv.stream);
    if (err == 0 && is_tcp) err = uv_tcp_nodelay(&stream->uv.tcp, 1);
    if (err != 0) return pn_io_err(err);
    stream->connected_ns = pn_stream_moment(io->now_ns);
    if (tls == NULL) {
        stream->is_open = true;
        stream->opened_ns = io->now_ns;
        return 0;
    }
    err = add_session(stream, tls, NULL);
    return err != 0 ? err : start_transport(stream);
}

int pn_stream_start_tls(pn_stream *stream, pn_tls *tls, const char *server_name) {
    pn_assert(stream->is_open && stream->tls == NULL && !stream->is_busy);
    int err = add_session(stream, tls, server_name);
    if (err != 0) return err;
    stream->is_open = stream->is_reading = false;
    begin_handshake(stream);
    return 0;
}

/* ---- reading ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    pn_stream *stream = stream_of(handle);
    size_t room = 0;
    char *to = stream->tls == NULL ? stream->events->on_room(stream, &room)
                                   : pn_tls_scratch(pn_tls_session_context(stream->tls), &room);
    *buf = (uv_buf_t){to, to == NULL ? 0 : room};
}

/* Decrypts what there is as long as the owner reads; says whether an event ended the stream. */
static bool decrypt(pn_stream *stream) {
    while (stream->is_reading && !stream->is_closing) {
        size_t room;
        char *to = stream->events->on_room(stream, &room);
        ptrdiff_t size = to == NULL ? PN_ENOMEM : pn_tls_session_read(stream->tls, to, room);
        if (size == 0) return true;
        if (size == PN_EEOF) stream->is_clean_end = true;
        stream->events->on_read(stream, to, size);
        if (size < 0) return false;
    }
    return !stream->is_closing;
}

/* All that TLS can do with what it was fed. */
static void pump(pn_stream *stream) {
    if (!pn_tls_session_is_ready(stream->tls)) {
        advance_handshake(stream);
        if (stream->is_closing || !pn_tls_session_is_ready(stream->tls)) return;
    }
    if (!decrypt(stream)) return;
    int err = flush_records(stream);
    if (err >= 0) err = pn_tls_session_hold(stream->tls);
    if (err >= 0 && stream->is_reading && stream->is_ended) err = PN_EEOF;
    if (err < 0) {
        stream->events->on_read(stream, NULL, err);
    } else if (!stream->is_reading) {
        uv_read_stop(&stream->uv.stream);
    }
}

static void pump_once(pn_stream *stream) {
    stream->is_pumping = true;
    pump(stream);
    stream->is_pumping = false;
}

static void on_later(pn_timer *timer) {
    pn_stream *stream = PN_CONTAINER(timer, pn_stream, later);
    if (stream->is_reading && !stream->is_closing) pump_once(stream);
}

static void on_records(pn_stream *stream, const uv_buf_t *buf, ssize_t size) {
    if (size > 0) {
        stream->bytes_in += (uint64_t)size;
        int err = pn_tls_session_feed(stream->tls, buf->base, (size_t)size);
        if (err == 0) {
            pump_once(stream);
            return;
        }
        size = err;
    }
    int err = pn_io_err((int)size);
    uv_read_stop(&stream->uv.stream);
    if (!stream->is_open) {
        stream->events->on_open(stream, err);
    } else if (err == PN_EEOF) {
        stream->is_ended = true;
        pump_once(stream);
    } else {
        stream->events->on_read(stream, NULL, err);
    }
}

static void on_transport_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buf) {
    pn_stream *stream = handle->data;
    if (size == 0) return; /* libuv's EAGAIN */
    if (size == UV_ENOBUFS) size = PN_ENOMEM;
    if (stream->tls != NULL) {
        on_records(stream, buf, size);
    } else if (PN_LIKELY(size > 0)) {
        stream->bytes_in += (uint64_t)size;
        stream->events->on_read(stream, buf->base, size);
    } else {
        uv_read_stop(handle);
        stream->is_reading = false;
        stream->is_clean_end = size == UV_EOF;
        stream->events->on_read(stream, NULL, pn_io_err((int)size));
    }
}

static int start_transport(pn_stream *stream) {
    int err = uv_read_start(&stream->uv.stream, on_room, on_transport_read);
    return err == UV_EALREADY ? 0 : pn_io_err(err);
}

int pn_stream_start_reading(pn_stream *stream) {
    if (stream->is_reading || stream->is_closing) return 0;
    stream->is_reading = true;
    bool has_more = stream->tls != NULL && !stream->is_pumping &&
                    (stream->is_ended || pn_tls_session_has_pending(stream->tls));
    /* Not from here: the caller may be within another read of the same engine. */
    if (has_more) pn_io_start_timer(stream->io, &stream->later, 0);
    return stream->is_ended ? 0 : start_transport(stream);
}

void pn_stream_stop_reading(pn_stream *stream) {
    if (!stream->is_reading) return;
    stream->is_reading = false;
    pn_io_stop_timer(stream->io, &stream->later);
    uv_read_stop(&stream->uv.stream);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status);

static size_t size_of(const uv_buf_t *bufs, unsigned count) {
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) size += bufs[i].len;
    return size;
}

/* Takes the first `size` bytes off; the count of what is left goes to *count. */
static void skip(uv_buf_t *bufs, unsigned *count, size_t size) {
    unsigned from = 0;
    while (from < *count && size >= bufs[from].len) size -= bufs[from++].len;
    if (from < *count) {
        bufs[from].base += size;
        bufs[from].len -= size;
    }
    *count -= from;
    memmove(bufs, bufs + from, *count * sizeof *bufs);
}

static int write_rest(pn_stream *stream, uv_buf_t *bufs, unsigned count) {
    int err = uv_write(&stream->request.write, &stream->uv.stream, bufs, count, on_written);
    if (err != 0) return pn_io_err(err);
    stream->is_busy = true;
    return 1;
}

/* What the kernel takes at once; a full buffer is 0. */
static ptrdiff_t write_now(pn_stream *stream, uv_buf_t *bufs, unsigned count) {
    int size = uv_try_write(&stream->uv.stream, bufs, count);
    if (size == UV_EAGAIN) return 0;
    if (size < 0) return pn_io_err(size);
    stream->bytes_out += (uint64_t)size;
    return size;
}

static int write_plain(pn_stream *stream, uv_buf_t *bufs, unsigned count) {
    ptrdiff_t size = write_now(stream, bufs, count);
    if (size < 0) return (int)size;
    skip(bufs, &count, (size_t)size);
    if (PN_LIKELY(count == 0)) return 0;
    stream->bytes_out += size_of(bufs, count);
    int state = write_rest(stream, bufs, count);
    stream->is_writing = state == 1;
    return state;
}

/* Sends the records that TLS has made. 0: all gone; 1: the rest is under way. */
static int flush_records(pn_stream *stream) {
    pn_buf *out = pn_tls_session_out(stream->tls);
    if (stream->is_busy) return 1;
    if (out->size == 0) return 0;
    uv_buf_t buf = {out->data, out->size};
    ptrdiff_t size = write_now(stream, &buf, 1);
    if (size < 0) return (int)size;
    if ((size_t)size == out->size) {
        pn_buf_close(out);
        return 0;
    }
    pn_buf *unsent = pn_tls_session_unsent(stream->tls);
    pn_buf empty = *unsent;
    *unsent = *out; /* libuv holds these bytes now, while TLS may make more */
    *out = empty;
    buf = (uv_buf_t){unsent->data + size, unsent->size - (size_t)size};
    stream->bytes_out += buf.len;
    return write_rest(stream, &buf, 1);
}

/* Encrypts and sends what is left of the owner's write, a bounded amount at a time. */
static int push_rest(pn_stream *stream) {
    while (stream->rest_count > 0) {
        uv_buf_t *first = &stream->rest[0];
        size_t size = first->len < PN_TLS_RECORDS_MAX_BYTES ? first->len : PN_TLS_RECORDS_MAX_BYTES;
        int err = pn_tls_session_write(stream->tls, first->base, size);
        if (err != 0) return err;
        unsigned count = stream->rest_count;
        skip(stream->rest, &count, size);
        stream->rest_count = (uint8_t)count;
        bool is_enough = pn_tls_session_out(stream->tls)->size >= PN_TLS_RECORDS_MAX_BYTES;
        if (!is_enough && count > 0) continue;
        int state = flush_records(stream);
        if (state != 0) return state;
    }
    return 0;
}

static int write_tls(pn_stream *stream, const uv_buf_t *bufs, unsigned count) {
    memcpy(stream->rest, bufs, count * sizeof *bufs);
    stream->rest_count = (uint8_t)count;
    int state = stream->is_busy ? 1 : push_rest(stream);
    stream->is_writing = state == 1;
    if (state < 0) stream->rest_count = 0;
    return state;
}

int pn_stream_write(pn_stream *stream, const uv_buf_t *bufs, unsigned count) {
    pn_assert(stream->is_open && !stream->is_writing && count <= PN_STREAM_BUFS_MAX);
    if (stream->tls != NULL) return write_tls(stream, bufs, count);
    uv_buf_t rest[PN_STREAM_BUFS_MAX];
    memcpy(rest, bufs, count * sizeof *bufs);
    return write_plain(stream, rest, count);
}

ptrdiff_t pn_stream_try_write(pn_stream *stream, const uv_buf_t *bufs, unsigned count) {
    pn_assert(stream->is_open && !stream->is_writing && count <= PN_STREAM_BUFS_MAX);
    if (stream->tls == NULL) {
        uv_buf_t copy[PN_STREAM_BUFS_MAX];
        memcpy(copy, bufs, count * sizeof *bufs);
        return write_now(stream, copy, count);
    }
    for (unsigned i = 0; i < count; i++) {
        int err = pn_tls_session_write(stream->tls, bufs[i].base, bufs[i].len);
        if (err != 0) return err;
    }
    int state = flush_records(stream);
    stream->is_writing = state == 1;
    return state < 0 ? state : (ptrdiff_t)size_of(bufs, count);
}

static void shut_now(pn_stream *stream);

static void on_written(uv_write_t *request, int status) {
    pn_stream *stream = stream_of(request->handle);
    stream->is_busy = false;
    if (stream->is_closing) return;
    int state = pn_io_err(status);
    if (stream->tls != NULL) {
        pn_buf_close(pn_tls_session_unsent(stream->tls));
        if (state == 0) state = push_rest(stream);
        if (state == 0) state = flush_records(stream);
        if (state == 1) return;
    }
    bool was_writing = stream->is_writing;
    stream->is_writing = false;
    if (state == 0 && stream->shut_pending) shut_now(stream);
    if (was_writing) stream->events->on_drain(stream, state);
}

/* ---- ending ---- */

static void on_shut(uv_shutdown_t *request, int status) {
    (void)status;
    stream_of(request->handle)->is_busy = false;
}

static void shut_now(pn_stream *stream) {
    if (stream->tls != NULL) {
        if (!stream->tls_shut) pn_tls_session_shut(stream->tls);
        stream->tls_shut = true;
        stream->shut_pending = flush_records(stream) == 1;
        if (stream->shut_pending) return;
    }
    stream->shut_pending = false;
    if (uv_shutdown(&stream->request.shutdown, &stream->uv.stream, on_shut) == 0) {
        stream->is_busy = true;
    }
}

void pn_stream_shut(pn_stream *stream) {
    if (!stream->is_open || stream->is_closing) return;
    if (stream->is_busy) {
        stream->shut_pending = true;
    } else {
        shut_now(stream);
    }
}

static void on_closed(uv_handle_t *handle) {
    pn_stream *stream = handle->data;
    pn_tls_session_destroy(stream->tls);
    stream->tls = NULL;
    stream->events->on_close(stream);
}

/* TLS says goodbye if the kernel has room for it. */
static void say_goodbye(pn_stream *stream) {
    if (stream->tls == NULL || !stream->is_open || stream->is_busy) return;
    pn_tls_session_shut(stream->tls);
    pn_buf *out = pn_tls_session_out(stream->tls);
    uv_buf_t buf = {out->data, out->size};
    if (out->size > 0) write_now(stream, &buf, 1);
}

static bool begin_closing(pn_stream *stream) {
    if (stream->is_closing) return false;
    stream->is_closing = true;
    pn_io_stop_timer(stream->io, &stream->later);
    return true;
}

void pn_stream_close(pn_stream *stream) {
    if (!begin_closing(stream)) return;
    say_goodbye(stream);
    uv_close(&stream->uv.handle, on_closed);
}

void pn_stream_abort(pn_stream *stream) {
    if (!begin_closing(stream)) return;
    if (stream->uv.handle.type != UV_TCP || uv_tcp_close_reset(&stream->uv.tcp, on_closed) != 0) {
        uv_close(&stream->uv.handle, on_closed);
    }
}
