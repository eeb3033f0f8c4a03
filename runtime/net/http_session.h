/*
 * http_session.h - what the files of the HTTP server share: its connections. Nobody else's.
 */
#ifndef PN_NET_HTTP_SESSION_H
#define PN_NET_HTTP_SESSION_H

#include "net/http_server.h"
#include "net/stream.h"

typedef enum pn__session_state {
    PN__SESSION_OPENING, /* TLS */
    PN__SESSION_IDLE,
    PN__SESSION_HEAD,     /* some of a head is there */
    PN__SESSION_BODY,     /* the head was taken */
    PN__SESSION_HANDLING, /* the request is whole, the answer is not */
    PN__SESSION_ENDING,   /* answered for good, within the loop that parses */
    PN__SESSION_LINGER,   /* answered for good; reads until the client ends too */
    PN__SESSION_CLOSED,
} pn__session_state;

typedef enum pn__answer_state {
    PN__ANSWER_NONE,
    PN__ANSWER_STARTED,
    PN__ANSWER_FINISHED, /* all is given to the session */
} pn__answer_state;

struct pn_http_exchange {
    struct pn__session *session;
    const pn_http_handler *handler;
    pn_http_message request;
    pn_http_match match;
    uint32_t path_at, path_size; /* within the target */
    uint16_t status;
    uint8_t answer;      /* pn__answer_state */
    bool is_live;        /* a handler has it */
    bool is_aborted;     /* the client is gone */
    bool is_told;        /* ... and the handler knows, or learns it from a result */
    bool is_chunked;     /* the answer */
    bool has_no_body;    /* ... is to HEAD, or 204 or 304 */
    bool wants_writable; /* the handler was told to wait */
    bool body_is_over;   /* of the request */
    uint64_t left;       /* of a sized answer */
    void *user;
};

typedef struct pn__session {
    pn_stream stream;
    pn_list link; /* in its server */
    pn_http_server *server;
    pn_timer timer;
    uint64_t deadline_ns;
    pn_http_receiver in;
    pn_http_limits limits;
    pn_http_exchange exchange;
    pn_buf pending;          /* answers that the kernel has not taken */
    uint64_t progress_bytes; /* of the stream when the last progress was seen */
    uint8_t state;
    bool has_stream;
    bool keeps_alive;  /* after this answer */
    bool is_ended;     /* the client sends no more */
    bool owes_end;     /* a finished answer's last chunk waits for what is pending */
    bool has_finished; /* the answer is submitted, but not all with the kernel */
    bool feeds_later;  /* the timer goes on with what was sent ahead */
} pn__session;

typedef union pn__socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
} pn__socket;

struct pn_http_server {
    pn_io *io;
    pn_http_server_options options;
    pn_http_limits limits;
    pn__socket bound;    /* keeps the address and the backlog, whether there is a listener or not */
    pn__socket listener; /* on a duplicate of it */
    pn__socket refused;  /* takes connections for which there is no memory, to drop them */
    uv_timer_t rest;     /* libuv's, as the shortage is: virtual time may stand still */
    uint8_t handles_open; /* of these four */
    pn_slabs slabs;
    pn_list sessions;
    uint32_t session_count;
    pn_timer grace;
    uint16_t port;
    bool listener_open, refused_open, is_closing, accept_waits;
    pn__session *feeding; /* the one within the loop that parses, or NULL */
    pn_buf out; /* answers on their way to the kernel: of `feeding`, then of who writes just now */
    char date[64]; /* "Date: ...\r\n" */
    uint32_t date_size;
    uint64_t date_until_ns; /* of the io's clock */
    char name[128];         /* "Server: ...\r\n" */
    uint32_t name_size;
    size_t text_size;
    char *text; /* a copy of socket_path, NUL-terminated */
    pn_http_server_stats stats;
};

/* ---- sessions, for the server ---- */

/* Takes a connection that the listener has. False without memory: it is still there. */
bool pn__session_accept(pn_http_server *server);
void pn__session_close_idle(pn__session *session); /* or makes it close after its answer */
void pn__session_cut(pn__session *session);

/* A session is gone. */
void pn__server_release(pn_http_server *server);

/* ---- sessions, for answers ---- */

/* Where an answer's bytes are appended in server->out; submit sends what is behind `start`, at the
 * latest when the loop that parses ends, and `body` behind it. Not while the session sends. */
size_t pn__session_begin_output(const pn__session *session);
void pn__session_submit(pn__session *session, size_t start, pn_text body);
bool pn__session_is_sending(const pn__session *session);

/* The exchange's answer is all submitted: goes on to the next request, or ends. */
void pn__session_finish(pn__session *session);

/* The handler lets go of an exchange whose client is gone. */
void pn__session_let_go(pn__session *session);

/* ---- answers, for sessions ---- */

/* One of the server's own: an error that ends the connection unless `keep`. */
void pn__answer_error(pn__session *session, unsigned status, bool keep, pn_text extra_header);

void pn__answer_last_chunk(pn__session *session);

#endif
