/*
 * http_serve.h - what the files of http.serve share.
 *
 * A pn_serving is a server's C side, in the worker's memory, because the engine's server may
 * outlive the actor by a moment. Each request is a pn_incoming from the moment the engine has it:
 * the engine's callback queues it, a task of the actor (the acceptor) begins a task for it, which
 * runs the handler. The Lua objects that the handler gets point to the incoming and are told when
 * it is over; it is over when the handler's task is, at the latest.
 */
#ifndef PN_BIND_HTTP_SERVE_H
#define PN_BIND_HTTP_SERVE_H

#include "bind/http.h"
#include "net/http_server.h"

#define PN_HTTP_ROUTES_MAX 1024
/* Of server:close(), for requests being answered. */
#define PN_HTTP_CLOSE_GRACE_NS (5 * PN_NS_PER_S)

#define PN_REQUEST_CLASS "perilune.http.request"
#define PN_REPLY_CLASS   "perilune.http.reply"
#define PN_SERVER_CLASS  "perilune.http.server"

typedef struct pn_incoming pn_incoming;
typedef struct pn_serving pn_serving;

typedef struct pn_server_box {
    pn_serving *serving; /* NULL: closed */
    uint16_t port;
    bool is_tls, is_unix;
} pn_server_box;

struct pn_serving {
    pn_worker *worker;
    pn_lua *lua; /* NULL: the actor has let go of it */
    pn_handle handle;
    pn_http_server *server;
    pn_http_router *router;
    pn_server_box *box; /* in the registry until it is closed */
    pn_task *acceptor;  /* while it waits */
    pn_list queue;      /* incoming without a task */
    int64_t charged_bytes;
    size_t route_count;
    size_t block_size;
    pn_http_handler routes[]; /* their functions: a list, the box's user value */
};

struct pn_incoming {
    pn_list link; /* in its server's queue, until it has a task */
    pn_lua *lua;
    pn_http_exchange *x;       /* NULL: answered, or cut */
    struct pn_served *request; /* the Lua objects; NULL: not there, or told that it is over */
    struct pn_answer *reply;
    struct pn_intake *intake;   /* the body as it comes; NULL */
    struct pn_outflow *outflow; /* the answer in pieces; NULL */
    size_t route;
    bool is_gone;   /* the client */
    bool has_begun; /* the answer */
};

/* ---- requests as they come (http_incoming.c) ---- */

/* The handler table of a route. */
void pn_incoming_events(pn_http_handler *handler, bool streams_body);

void pn_incoming_destroy(pn_incoming *in); /* ends the exchange if nobody has */

/* The exchange has been ended by an answer. */
void pn_incoming_answered(pn_incoming *in);

/* Begins the handler's task; the acceptor's to call. `box` is a stack index. */
void pn_incoming_begin(lua_State *L, int box, pn_incoming *in);

/* ---- the objects that a handler gets (l_http_request.c, l_http_reply.c) ---- */

typedef struct pn_served pn_served;
typedef struct pn_answer pn_answer;

void pn_served_push(lua_State *L, pn_incoming *in);
void pn_answer_push(lua_State *L, pn_incoming *in);

/* Their incoming is over. */
void pn_served_detach(pn_served *request);
void pn_answer_detach(pn_answer *reply);

/* Answers with what is at these stack indices (status; body and headers may be nil or none). Raises
 * what cannot be sent. */
void pn_answer_send(lua_State *L, pn_incoming *in, int status, int body, int headers);

/* ---- bodies that flow (http_intake.c, http_outflow.c) ---- */

int pn_intake_create(pn_incoming *in); /* PN_ENOMEM */
void pn_intake_on_body(pn_incoming *in, const char *data, size_t size);
void pn_intake_on_end(pn_incoming *in);
void pn_intake_on_gone(pn_incoming *in);
void pn_intake_detach(pn_incoming *in);             /* no more comes */
void pn_intake_push(lua_State *L, pn_incoming *in); /* once */

/* Pushes the flow of a started answer; `is_events`: it takes server-sent events. */
void pn_outflow_push(lua_State *L, pn_incoming *in, bool is_events);
void pn_outflow_on_writable(pn_incoming *in);
void pn_outflow_detach(pn_incoming *in);

int pn_http_l_serve(lua_State *L);

extern const pn_class pn_class_http_server, pn_class_http_request, pn_class_http_reply;

#endif
