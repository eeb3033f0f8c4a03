/*
 * http_server.h - an HTTP/1.1 server: tcp or unix, with or without TLS, bounded everywhere.
 *
 * Design. A connection reads one request at a time and answers in order; what a client sends ahead
 * waits, at most PN_HTTP_AHEAD_BYTES of it, then its socket does. Requests lie where they were read
 * to (http_message.h), so an idle connection holds no buffer. Answers to requests that came in one
 * read leave in one write. A connection has one timer, moved only when it must be earlier.
 *
 * Slow and hostile clients meet named limits: the size and number of headers, the body's size, the
 * time a head may take, a minimum of progress in bodies and in reading our answers, idle time,
 * connections. What HTTP forbids is answered (400, 413, 431, 501, 505 ...) and the connection
 * ended, lingering for a moment so that the answer is not lost to a reset. Without descriptors it
 * accepts none for PN_HTTP_SERVER_REST_MS, then tries again: what waits in the backlog stays there.
 *
 * Exchanges. A handler gets an exchange and ends it exactly once: by pn_http_exchange_respond, by
 * _finish after _start, or by _abort. Until then the exchange and its request are there, whatever
 * the client does: when that goes away, on_abort says so once, what is written is dropped, and the
 * exchange must still be ended. Views into the request are valid until the loop turns.
 *
 * SIGPIPE must be ignored by the process. Threads: the io's.
 */
#ifndef PN_NET_HTTP_SERVER_H
#define PN_NET_HTTP_SERVER_H

#include "net/http_client.h"
#include "net/http_router.h"

#define PN_HTTP_SERVER_BODY_BYTES_MAX  (16ULL << 20)
#define PN_HTTP_SERVER_HEAD_TIMEOUT_NS (10ULL * 1000000000ULL)
#define PN_HTTP_SERVER_IDLE_TIMEOUT_NS (60ULL * 1000000000ULL)
/* In each such time a body must bring PN_HTTP_PROGRESS_BYTES, a client take as many, or its all. */
#define PN_HTTP_SERVER_PROGRESS_TIMEOUT_NS (10ULL * 1000000000ULL)
#define PN_HTTP_PROGRESS_BYTES             1024
#define PN_HTTP_SERVER_CONNECTIONS_MAX     10000
#define PN_HTTP_SERVER_BACKLOG             1024
#define PN_HTTP_SERVER_REST_MS             100 /* real time, in virtual time too */
#define PN_HTTP_AHEAD_BYTES                65536
#define PN_HTTP_LINGER_NS                  (1ULL * 1000000000ULL)
#define PN_HTTP_CORK_BYTES                 65536 /* of answers gathered before they are sent */

typedef struct pn_http_server pn_http_server;
typedef struct pn_http_exchange pn_http_exchange;

/* What a route does. Events not needed may be NULL, but for on_request. */
typedef struct pn_http_handler {
    /* The request is there: whole, or its head when streams_body. */
    void (*on_request)(pn_http_exchange *x);
    void (*on_body)(pn_http_exchange *x, const char *data, size_t size); /* streams_body */
    void (*on_body_end)(pn_http_exchange *x);                            /* streams_body */
    void (*on_writable)(pn_http_exchange *x);
    void (*on_abort)(pn_http_exchange *x);
    bool streams_body;
    uint64_t body_limit_bytes; /* 0: the server's */
    void *user;
} pn_http_handler;

typedef struct pn_http_server_options {
    pn_text host;              /* an address; at NULL: 127.0.0.1 */
    uint16_t port;             /* 0: any free one */
    pn_text socket_path;       /* a unix socket instead; at NULL: none. What is there must not be */
    int backlog;               /* 0 and the like below: the default */
    pn_tls *tls;               /* NULL: plain. Grabbed */
    pn_http_router *router;    /* of pn_http_handler; must outlive the server */
    pn_http_handler *fallback; /* what no route has; NULL: 404, and 405 with Allow */
    uint32_t head_bytes_max, header_count_max;
    uint64_t body_bytes_max;
    uint64_t head_timeout_ns, idle_timeout_ns, progress_timeout_ns;
    uint32_t connections_max;
    pn_text server_name; /* for a Server header; at NULL: none is sent */
    /* Told of each answer when it is handed to the kernel; may be NULL. */
    void (*on_answered)(pn_http_exchange *x, unsigned status);
    /* After pn_http_server_close, when all is over; the server's memory goes behind it. May be
     * NULL. */
    void (*on_closed)(void *user);
    pn_http_charge_fn charge; /* of what requests hold */
    void *user;
} pn_http_server_options;

/* Listens. PN_ENOMEM, PN_EBAD_CONFIG (the host), or what bind and listen said (-EADDRINUSE ...). */
int pn_http_server_create(pn_io *io, const pn_http_server_options *options,
                          pn_http_server **server);

/* Accepts no more, closes idle connections, lets exchanges end within the grace, then aborts them.
 * The server is gone after on_closed, which may come before this returns. A second call shortens
 * the grace. */
void pn_http_server_close(pn_http_server *server, uint64_t grace_ns);

uint16_t pn_http_server_port(const pn_http_server *server); /* 0 for a unix socket */

typedef struct pn_http_server_stats {
    uint32_t connections, exchanges; /* now */
    uint64_t accepted, requests, refused /* by us: 4xx and 5xx of the server's own */, timed_out,
        aborted;
    uint64_t accept_errors;  /* connections dropped without memory, and rests */
    size_t connection_bytes; /* what one connection takes here when it is idle */
    uint32_t slabs;
} pn_http_server_stats;

void pn_http_server_stats_get(const pn_http_server *server, pn_http_server_stats *stats);

/* ---- the request ---- */

uint8_t pn_http_exchange_method(const pn_http_exchange *x); /* llhttp's; HEAD stays HEAD */
pn_text pn_http_exchange_target(const pn_http_exchange *x);
pn_text pn_http_exchange_path(const pn_http_exchange *x);  /* still encoded */
pn_text pn_http_exchange_query(const pn_http_exchange *x); /* without '?'; for pn_form_next */
pn_http_message *pn_http_exchange_request(pn_http_exchange *x);

/* Appends the decoded parameter of the route. PN_ENOT_FOUND, PN_EBAD_VALUE (broken escapes),
 * PN_ENOMEM. */
int pn_http_exchange_param(const pn_http_exchange *x, pn_text name, pn_buf *out);
bool pn_http_exchange_param_at(const pn_http_exchange *x, uint32_t i, pn_text *name,
                               pn_text *value);

const pn_http_handler *pn_http_exchange_handler(const pn_http_exchange *x);
pn_http_server *pn_http_exchange_server(const pn_http_exchange *x);
void *pn_http_exchange_user(const pn_http_exchange *x); /* the handler's, for the exchange */
void pn_http_exchange_set_user(pn_http_exchange *x, void *user);

/* The client's address as text ("127.0.0.1:4711"), or "unix". */
const char *pn_http_exchange_peer(const pn_http_exchange *x, char out[64]);

/* Streamed bodies: no more is read until resumed. */
void pn_http_exchange_pause(pn_http_exchange *x);
void pn_http_exchange_resume(pn_http_exchange *x);

/* ---- the response ---- */

/* The whole answer. Headers are sent as given; Content-Length, Date, Connection and the like are
 * the server's. Ends the exchange, but for PN_EBAD_VALUE: a header or status that cannot be sent,
 * nothing was done. */
int pn_http_exchange_respond(pn_http_exchange *x, unsigned status, const pn_http_header *headers,
                             size_t header_count, pn_text body);

/* An answer in pieces: `size` bytes, or any number when it is UINT64_MAX (chunked; until the end of
 * the connection for HTTP/1.0). PN_EBAD_VALUE as above. */
int pn_http_exchange_start(pn_http_exchange *x, unsigned status, const pn_http_header *headers,
                           size_t header_count, uint64_t size);

/* 0: gone; 1: taken, but write no more before on_writable. PN_EBAD_VALUE: not started, not
 * writable, or more than the size; PN_ECLOSED: the client is gone. */
int pn_http_exchange_write(pn_http_exchange *x, const char *data, size_t size);
bool pn_http_exchange_is_writable(const pn_http_exchange *x);

/* Ends a started answer and the exchange. One that is short of its size ends with the
 * connection. */
void pn_http_exchange_finish(pn_http_exchange *x);

/* Ends the exchange by cutting the connection. */
void pn_http_exchange_abort(pn_http_exchange *x);

bool pn_http_exchange_is_aborted(const pn_http_exchange *x); /* the client is gone */

/* ---- server-sent events ---- */

typedef struct pn_http_sse {
    pn_text event, data, id; /* at NULL: not sent. event and id must be one line */
    uint64_t retry_ms;       /* 0: not sent */
    pn_text comment;         /* ": ..." lines, to keep the connection busy */
} pn_http_sse;

/* Appends one event as text/event-stream has it; each line of data gets its own field.
 * PN_EBAD_VALUE, PN_ENOMEM. */
int pn_http_sse_write(pn_buf *out, const pn_http_sse *event);

/* Starts an answer of events: type, no caching. */
int pn_http_exchange_start_sse(pn_http_exchange *x);
int pn_http_exchange_send_event(pn_http_exchange *x, const pn_http_sse *event);

/* "Not Found", or "" */
const char *pn_http_status_text(unsigned status);

#endif
