/*
 * stream.h - a connection: tcp, unix socket or either with TLS on it, one type.
 *
 * Design. The owner embeds a pn_stream and gives it a table of functions; reads go straight to the
 * room that the owner offers (no buffer in between, TLS decrypts into it); a write is tried at once
 * and only its rest waits for the loop. At most one write is under way. Phases are stamped with the
 * io's clock.
 *
 * Lifetime: libuv's. After a connect or accept, whatever it returned, the stream must be closed,
 * and its memory is free when on_close comes, never earlier. After pn_stream_close no other event
 * comes. An event may close the stream it is called for. Threads: the io's.
 */
#ifndef PN_NET_STREAM_H
#define PN_NET_STREAM_H

#include "core/io.h"
#include "net/tls.h"

#define PN_STREAM_BUFS_MAX 4 /* pieces in one write */

typedef struct pn_stream pn_stream;

typedef struct pn_stream_events {
    /* The connection stands, TLS included; or it could not be made. For accepted streams only with
     * TLS. */
    void (*on_open)(pn_stream *stream, int err);
    /* Where to read to. NULL: no memory; the stream then fails with PN_ENOMEM. */
    char *(*on_room)(pn_stream *stream, size_t *room);
    /* `size` bytes are at `data`; or size is a negative code, PN_EEOF when the peer will send no
     * more. */
    void (*on_read)(pn_stream *stream, char *data, ptrdiff_t size);
    /* The write that was under way is done, or failed. */
    void (*on_drain)(pn_stream *stream, int err);
    void (*on_close)(pn_stream *stream);
} pn_stream_events;

struct pn_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    union {
        uv_connect_t connect;
        uv_write_t write;
        uv_shutdown_t shutdown;
    } request; /* one at a time: connecting, writing, shutting down */
    pn_io *io;
    const pn_stream_events *events;
    pn_tls_session *tls;               /* NULL: plain */
    pn_timer later;                    /* TLS: bytes that came while reading was stopped */
    uv_buf_t rest[PN_STREAM_BUFS_MAX]; /* TLS: what of a write is not encrypted yet */
    uint8_t rest_count;
    bool is_open, is_closing, is_reading;
    bool is_writing;              /* the owner's write is under way */
    bool is_busy;                 /* libuv writes or shuts down */
    bool is_pumping;              /* TLS: within the loop that decrypts */
    bool shut_pending;            /* shut down when the write is done */
    bool tls_shut;                /* TLS has said that no more follows */
    bool is_ended;                /* TLS: the transport has ended */
    bool is_clean_end;            /* the peer said that it ends (without TLS that is the FIN) */
    uint64_t bytes_in, bytes_out; /* on the wire */
    uint64_t connected_ns;        /* when the transport stood; 0: not yet */
    uint64_t opened_ns;           /* when TLS stood too */
};

/* A moment where 0 stands for "not yet": virtual time begins at 0. */
static inline uint64_t pn_stream_moment(uint64_t now_ns) { return now_ns > 0 ? now_ns : 1; }

/* Begins to connect; on_open tells, unless the result is negative. `tls` (may be NULL) is used for
 * a session with `server_name`, which is sent and verified. */
int pn_stream_connect(pn_stream *stream, pn_io *io, const pn_stream_events *events,
                      const struct sockaddr *address, pn_tls *tls, const char *server_name);
int pn_stream_connect_unix(pn_stream *stream, pn_io *io, const pn_stream_events *events,
                           const char *path, pn_tls *tls, const char *server_name);

/* Takes a connection that `listener` has. With TLS on_open tells when it stands. */
int pn_stream_accept(pn_stream *stream, pn_io *io, const pn_stream_events *events,
                     uv_stream_t *listener, pn_tls *tls);

/* Puts TLS on an open plain stream (after a proxy's CONNECT); on_open tells again. */
int pn_stream_start_tls(pn_stream *stream, pn_tls *tls, const char *server_name);

/* Reading. Start and stop are idempotent. */
int pn_stream_start_reading(pn_stream *stream);
void pn_stream_stop_reading(pn_stream *stream);

/* 0: all of it is with the kernel. 1: the rest follows and on_drain tells; until then the bytes
 * must stay and no other write begin. Negative: the stream is broken. */
int pn_stream_write(pn_stream *stream, const uv_buf_t *bufs, unsigned count);

/* What can go at once: the number of bytes taken, perhaps 0; or a negative code. TLS takes all, and
 * if the kernel does not, the write is under way and on_drain tells. Not while one is. */
ptrdiff_t pn_stream_try_write(pn_stream *stream, const uv_buf_t *bufs, unsigned count);

/* No more will be written: after what is under way. */
void pn_stream_shut(pn_stream *stream);

/* Idempotent. */
void pn_stream_close(pn_stream *stream);

/* Closes with a reset instead of an orderly end, for peers that must not keep the port. */
void pn_stream_abort(pn_stream *stream);

#endif
