/*
 * http_client.h - an HTTP/1.1 client: one for each io, with a pool of connections kept alive.
 *
 * Design. A pn_http_request is what does not change between sendings: the method, where it goes,
 * the head's bytes, made once and sent as they are. A pn_http_call is one exchange: its caller's
 * memory, no allocation for a request on a warm connection, one write and one read. Connections
 * belong to an origin (scheme, host, port, TLS options, socket path, proxy); the one used last is
 * used next; reading stays on while they are idle, so the loop's poll set does not change. A
 * connection has one timer, moved only when it must be earlier. What came stays where it was read
 * to (http_message.h).
 *
 * A kept connection that dies before a byte of the answer is replaced by a fresh one, once, when
 * the request may be sent twice (GET, HEAD, OPTIONS, TRACE with its body at hand) or was not sent
 * at all.
 *
 * Accept-Encoding is the caller's to send, as in k6; what comes encoded is decoded when the body is
 * read.
 *
 * Ownership: requests are counted; a call and its response are the caller's memory and must not
 * move while the call runs or the response is open. Everything must be closed and released before
 * the client is destroyed. SIGPIPE must be ignored by the process. Threads: the io's.
 */
#ifndef PN_NET_HTTP_CLIENT_H
#define PN_NET_HTTP_CLIENT_H

#include "net/dns.h"
#include "net/http_message.h"
#include "net/tls.h"

#define PN_HTTP_CONNECT_TIMEOUT_NS  (30ULL * 1000000000ULL)
#define PN_HTTP_TIMEOUT_NS          (60ULL * 1000000000ULL) /* k6's */
#define PN_HTTP_IDLE_TIMEOUT_NS     (60ULL * 1000000000ULL)
#define PN_HTTP_CONTINUE_TIMEOUT_NS (1ULL * 1000000000ULL) /* then the body is sent unasked */
#define PN_HTTP_REDIRECTS_MAX       10                     /* k6's */
/* What one read of a streamed and decoded body may decode to: 64 KiB of gzip are at most 64 MiB. */
#define PN_HTTP_DECODED_PIECE_BYTES_MAX (80UL << 20)
#define PN_HTTP_INFORMATION_MAX         16 /* 1xx answers before the real one */

typedef struct pn_http_client pn_http_client;
typedef struct pn_http_request pn_http_request;
typedef struct pn_http_call pn_http_call;

typedef struct pn_http_client_options {
    pn_dns *dns;                   /* shared; NULL: the client makes its own */
    pn_tls *tls;                   /* for https without options of its own; NULL: the defaults */
    pn_text proxy;                 /* "http://[user:password@]host:port" for all; none: at NULL */
    uint32_t connections_per_host; /* 0: no limit. Waiting for one is the call's `blocked` */
    uint64_t idle_timeout_ns;      /* 0: PN_HTTP_IDLE_TIMEOUT_NS */
    uint32_t head_bytes_max, header_count_max; /* of responses; 0: the defaults */
    bool no_reuse;                             /* a connection for each request */
    bool no_settling; /* never wait for several answers at once (settle.h) */
} pn_http_client_options;

/* NULL options: the defaults. PN_ENOMEM, PN_EBAD_CONFIG. */
int pn_http_client_create(pn_io *io, const pn_http_client_options *options, pn_http_client **client,
                          const char **why);

/* Cancels what runs (no on_done comes), closes all connections; the memory goes when the loop has
 * closed them. Not from within one of the client's own events. */
void pn_http_client_destroy(pn_http_client *client);

typedef struct pn_http_client_stats {
    uint32_t connections, idle_connections, waiting_calls, running_calls;
    uint64_t connections_made;
    uint64_t pauses; /* see settle.h */
    uint32_t slabs;
    uint64_t evacuated_bytes;
} pn_http_client_stats;

void pn_http_client_stats_get(const pn_http_client *client, pn_http_client_stats *stats);

/* ---- requests ---- */

typedef struct pn_http_header {
    pn_text name, value;
} pn_http_header;

typedef struct pn_http_request_options {
    pn_text method; /* at NULL: GET */
    pn_text url;
    const pn_http_header *headers;
    size_t header_count;
    pn_text user, password; /* basic authentication; user at NULL: the URL's, if it has any */
    pn_text socket_path;    /* a unix socket to connect to, whatever the host; at NULL: none */
    pn_text proxy;          /* at NULL: the client's; empty: none */
    pn_tls *tls;            /* for https; NULL: the client's */
    pn_dns *dns;            /* with overrides of its own; NULL: the client's */
    bool expect_continue;   /* with a body: ask before sending it */
} pn_http_request_options;

/* PN_EBAD_URL, PN_EBAD_VALUE (a method or header that cannot be sent), PN_EBAD_CONFIG (the proxy),
 * PN_ENOMEM; *why (may be NULL) says more. The caller has the first reference. */
int pn_http_request_create(pn_http_client *client, const pn_http_request_options *options,
                           pn_http_request **request, const char **why);
void pn_http_request_grab(pn_http_request *request);
void pn_http_request_release(pn_http_request *request); /* NULL is fine */

pn_text pn_http_request_url(const pn_http_request *request); /* absolute */
pn_text pn_http_request_method(const pn_http_request *request);

/* Appends "Basic ..." for an Authorization header. */
bool pn_http_add_basic_auth(pn_buf *out, pn_text user, pn_text password);

/* ---- calls ---- */

typedef enum pn_http_phase {
    PN_HTTP_PHASE_BLOCKED, /* waiting for a connection, resolving the name */
    PN_HTTP_PHASE_CONNECTING,
    PN_HTTP_PHASE_TLS,
    PN_HTTP_PHASE_SENDING,
    PN_HTTP_PHASE_WAITING,
    PN_HTTP_PHASE_RECEIVING,
} pn_http_phase;

/* k6's, none within another: blocked ends where connecting begins. */
typedef struct pn_http_timings {
    uint64_t blocked_ns, connecting_ns, tls_handshaking_ns, sending_ns, waiting_ns, receiving_ns;
} pn_http_timings;

typedef enum pn_http_upload {
    PN_HTTP_UPLOAD_BYTES,   /* call->body, which must stay until the call is done */
    PN_HTTP_UPLOAD_SIZED,   /* written by pn_http_call_write, call->upload_size bytes in all */
    PN_HTTP_UPLOAD_CHUNKED, /* written by pn_http_call_write */
} pn_http_upload;

typedef struct pn_http_call_events {
    /* The call is over: call->err, call->response. It may be started again, or anything else. */
    void (*on_done)(pn_http_call *call);
    /* May be NULL: the head of the answer (not of a hop) is in call->response. An event may
     * cancel. */
    void (*on_head)(pn_http_call *call);
    /* Not NULL: the body is given piece by piece as it comes, and not kept. An event may pause. */
    void (*on_body)(pn_http_call *call, const char *data, size_t size);
    /* May be NULL: an answer is followed elsewhere; timings and response are this hop's. */
    void (*on_hop)(pn_http_call *call);
    /* With streamed uploads: the connection takes more. */
    void (*on_writable)(pn_http_call *call);
} pn_http_call_events;

struct pn_http_call {
    /* The caller's, set by init and changed before start. */
    const pn_http_call_events *events;
    void *user;
    pn_text body;
    pn_http_upload upload;
    uint64_t upload_size;
    uint64_t timeout_ns;            /* of the whole call, redirects included; 0: none */
    uint64_t connect_timeout_ns;    /* name, connection and TLS; 0: none */
    uint64_t first_byte_timeout_ns; /* from the last byte sent to the first received; 0: none */
    uint64_t body_limit_bytes;      /* of the response, as it comes over the wire */
    uint32_t redirects_max;         /* 0: redirects are answers like others */
    bool discard_body;              /* the response's body is counted, not kept */
    bool decodes;                   /* on_body gets gzip and deflate decoded */
    pn_http_charge_fn charge;       /* is told what the response holds; may be NULL */
    void *charge_owner;

    /* Results, valid from on_done (on_hop for a hop) to the next start. */
    int err;             /* 0: there is an answer, whatever its status */
    pn_http_phase phase; /* where an error struck */
    const char *why;     /* more about the error, or ""; static */
    pn_http_message response;
    pn_http_timings timings; /* of the last hop */
    uint64_t started_ns, ended_ns;
    uint64_t bytes_sent, bytes_received; /* on the wire, of the last hop */
    uint32_t redirect_count;
    bool is_reused;           /* it went over a kept connection */
    const char *tls_version;  /* "tls1.3", or "" */
    pn_http_request *request; /* what was sent last */

    /* The client's. */
    pn_list link;    /* among the calls that wait for a connection */
    pn_list running; /* among all of the client's */
    pn_timer timer;  /* of a waiting call */
    struct pn__conn *connection;
    uint64_t deadline_ns, hop_ns, ready_ns, sent_ns, first_byte_ns;
    struct pn_inflate *decoder;
    pn_text out_body; /* what this hop sends */
    pn_http_upload out_upload;
    uint64_t upload_left;
    uint8_t state;
    bool is_starting, is_retry, follows, wants_writable, upload_finished;
};

/* The time-outs and limits are set to their defaults. */
void pn_http_call_init(pn_http_call *call, const pn_http_call_events *events);

/* Lets go what the last start has left: the response and the request. A running call is cancelled.
 * Idempotent. */
void pn_http_call_close(pn_http_call *call);

/* 0: on_done will tell, not before this returns. Negative: nothing was begun and on_done does not
 * come. The call must be fresh or closed. */
int pn_http_call_start(pn_http_call *call, pn_http_request *request);

/* Ends it where it is: on_done does not come, err is PN_ECANCELLED. A call that does not run is
 * left alone. Calls that waited for its connection may begin or fail. */
void pn_http_call_cancel(pn_http_call *call);

bool pn_http_call_is_running(const pn_http_call *call);

/* Streamed responses: no more is read until resumed; on_done may still come when all had been
 * read. */
void pn_http_call_pause(pn_http_call *call);
void pn_http_call_resume(pn_http_call *call);

/* Streamed uploads, one piece at a time. 0: taken; 1: taken, but `data` must stay and nothing more
 * be written before on_writable. PN_EBAD_VALUE: not writable now, or more than upload_size. A
 * connection that breaks is told by on_done only. */
int pn_http_call_write(pn_http_call *call, const char *data, size_t size);
int pn_http_call_finish(pn_http_call *call); /* no more; PN_EBAD_VALUE when bytes are missing */
bool pn_http_call_is_writable(const pn_http_call *call);

/* k6's duration: sending, waiting and receiving. */
static inline uint64_t pn_http_duration_ns(const pn_http_timings *t) {
    return t->sending_ns + t->waiting_ns + t->receiving_ns;
}

/* k6's error_code: 0 for an answer below 400. */
int pn_http_error_code(int err, pn_http_phase phase, unsigned status);

#endif
