/*
 * http_conn.h - what the files of the HTTP client share: origins and connections. Nobody else's.
 */
#ifndef PN_NET_HTTP_CONN_H
#define PN_NET_HTTP_CONN_H

#include "base/map.h"
#include "net/http_client.h"
#include "net/inflate.h"
#include "net/settle.h"
#include "net/stream.h"

/* Where requests of a kind go. Lives as long as a request or a connection refers to it. */
typedef struct pn__origin {
    pn_http_client *client;
    uint32_t references;
    uint32_t connection_count; /* that may still serve calls */
    pn_list idle;              /* connections, the last used first */
    pn_list waiting;           /* calls */
    pn_tls *tls;               /* NULL: plain */
    pn_dns *dns;               /* NULL: the client's */
    const char *host;          /* without brackets */
    const char *socket_path;   /* NULL: tcp */
    const char *proxy_host;    /* NULL: none */
    const char *proxy_auth;    /* a header's value, or "" */
    uint16_t port, proxy_port;
    size_t key_size;
    size_t block_size;
    char text[]; /* the key, then the strings */
} pn__origin;

/* What tells origins apart. Texts need not end. */
typedef struct pn__origin_spec {
    pn_tls *tls;
    pn_dns *dns;
    pn_text host;
    uint16_t port;
    pn_text socket_path; /* at NULL: none */
    pn_text proxy_host;  /* at NULL: none */
    pn_text proxy_auth;
    uint16_t proxy_port;
} pn__origin_spec;

/* With a reference for the caller; PN_ENOMEM. */
int pn__origin_find(pn_http_client *client, const pn__origin_spec *spec, pn__origin **origin);
void pn__origin_release(pn__origin *origin);

struct pn_http_request {
    pn__origin *origin;
    uint32_t references;
    bool is_head, may_repeat, closes, expects_continue, wants_length;
    size_t block_size;
    pn_text method, url;
    pn_text lines; /* the caller's header lines, for redirects */
    pn_text head;  /* start line and all lines, then "\r\n" */
    pn_text socket_path;
    pn_text proxy; /* as in the options */
    pn_tls *tls;
    pn_dns *dns;
};

/* The request that a redirect to `location` means. The body goes with it only when `keeps_body`. */
int pn__request_follow(pn_http_request *from, pn_text location, bool keeps_body,
                       pn_http_request **next, const char **why);

typedef enum pn__conn_state {
    PN__CONN_RESOLVING,
    PN__CONN_CONNECTING,
    PN__CONN_TUNNELING, /* a proxy was asked for a tunnel */
    PN__CONN_SECURING,  /* TLS within the tunnel */
    PN__CONN_IDLE,
    PN__CONN_BUSY,
    PN__CONN_CLOSING,
} pn__conn_state;

#define PN__TUNNEL_BYTES_MAX 2048 /* of a CONNECT request, with its authentication */

/* What is needed only while a connection is made. */
typedef struct pn__dial {
    struct pn__conn *conn;
    pn_dns_query query;
    uint8_t next; /* of its addresses */
    uint64_t connect_ns;
    uint64_t tls_ns; /* when TLS began in a tunnel */
    char request[PN__TUNNEL_BYTES_MAX];
} pn__dial;

#define PN__TAIL_BYTES 80 /* "Content-Length: ...", "Expect: ...", a chunk's size */

typedef struct pn__conn {
    pn_stream stream;
    pn_list link; /* idle, in its origin */
    pn_list all;  /* in its client */
    pn__origin *origin;
    pn_http_call *call;
    pn__dial *dial;
    pn_timer timer;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    uint64_t continue_ns; /* when a body is sent that waits for "100 Continue"; 0: none waits */
    uint64_t bytes_in, bytes_out; /* of the stream when the call began */
    pn_http_receiver in;
    pn_http_limits limits;
    int write_err; /* the request broke off; an answer may still come */
    uint8_t state;
    uint8_t informations;
    bool has_stream; /* the stream must be closed before this may go */
    bool is_sent;    /* the request is all with the kernel */
    bool was_used;
    char tail[PN__TAIL_BYTES];
} pn__conn;

struct pn_http_client {
    pn_io *io;
    pn_http_client_options options;
    pn_http_limits limits;
    pn_slabs slabs;
    pn_smap origins;
    pn_dns *dns;
    pn_tls *tls;
    pn_settle settle;
    pn_buf decoded; /* a piece on its way to on_body */
    pn_list connections;
    pn_list calls; /* running */
    uint32_t connection_count, idle_count, waiting_count, call_count;
    uint64_t connections_made;
    bool owns_dns, settles, is_destroyed;
    size_t proxy_size;
    char *proxy; /* a copy */
};

/* ---- connections, for calls ---- */

/* Begins a connection for the call, which has it from then on. PN_ENOMEM and others: nothing was
 * begun. */
int pn__conn_dial(pn__origin *origin, pn_http_call *call);

/* Sends the call over a kept connection. Negative: the connection was broken and is gone. */
int pn__conn_use(pn__conn *conn, pn_http_call *call);

/* Takes the connection away from its call and closes it. */
void pn__conn_drop(pn__conn *conn);

/* Closes an idle one. */
void pn__conn_close(pn__conn *conn);

int pn__conn_write(pn__conn *conn, const char *data, size_t size);
int pn__conn_finish(pn__conn *conn);

/* ---- calls, for connections, which have let go of them ---- */

void pn__call_complete(pn_http_call *call);
void pn__call_fail(pn_http_call *call, int err, pn_http_phase phase, const char *why);

/* Sends the call again on a fresh connection if that is allowed. */
bool pn__call_retry(pn_http_call *call, bool nothing_sent);

/* The head of the answer is in call->response: is it followed, is its body kept? Tells on_head,
 * which may cancel the call. */
void pn__call_judge(pn_http_call *call);

/* Gives waiting calls what connections there are or may be made. */
void pn__origin_serve(pn__origin *origin);

/* A client that is destroyed goes with its last connection. */
void pn__client_release(pn_http_client *client);

#endif
