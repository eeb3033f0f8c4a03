/*
 * http.h - what the files of perilune.http share: the response object and the worker's client.
 *
 * A response is a userdata that holds the whole exchange (pn_http_call), so a request allocates nothing
 * else. Its bytes stay in the client's slabs and are charged to the actor; a Lua string of the body is
 * made when somebody asks for it.
 */
#ifndef PN_BIND_HTTP_H
#define PN_BIND_HTTP_H

#include "bind/bind.h"
#include "net/http_client.h"

#define PN_RESPONSE_CLASS "perilune.http.response"

enum { PN_RESPONSE_BODY = 1, PN_RESPONSE_HEADERS, PN_RESPONSE_VALUES = PN_RESPONSE_HEADERS };

typedef struct pn_response {
    pn_http_call call;
    pn_lua *lua;
    pn_task *task; /* that waits for it */
    int err;       /* of the start or of the call */
    pn_http_phase phase;
    const char *why;
    bool is_done;
} pn_response;

/* The calling worker's client, made when first needed. Raises. */
pn_http_client *pn_http_client_of(lua_State *L);

/* Pushes a new, closed response. Raises without memory. */
pn_response *pn_response_push(lua_State *L);

extern const pn_class pn_class_response;

#endif
