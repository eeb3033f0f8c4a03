/*
 * http_router.h - from "METHOD /path" to a handler.
 *
 * A pattern is a method (or "*", any) and a path whose segments are literal, ":name" (one segment
 * that is not empty) or, as the last one, "*" (all the rest, perhaps empty). At each segment a
 * literal wins over a name and a name over "*", with a way back when the winner leads nowhere. HEAD
 * is answered by what answers GET when it has no handler of its own. Literals are compared
 * percent-decoded; nothing else is normalised: "/a", "/a/" and "//a" are three paths.
 *
 * Handlers are pointers that the router does not look into. Threads: one.
 */
#ifndef PN_NET_HTTP_ROUTER_H
#define PN_NET_HTTP_ROUTER_H

#include "base/buf.h"
#include "memory/ledger.h"
#include "net/text.h"

#define PN_HTTP_PARAMS_MAX        16 /* in one pattern */
#define PN_HTTP_PATTERN_BYTES_MAX 1024
#define PN_HTTP_SEGMENTS_MAX      64 /* in one pattern */

typedef struct pn_http_router pn_http_router;

typedef struct pn_http_match {
    void *handler;
    const struct pn__route *route;
    uint32_t param_count;
    struct {
        uint32_t at, size; /* within the path that was matched */
    } params[PN_HTTP_PARAMS_MAX];
    uint64_t allowed; /* a bit for each llhttp method that the path has, when there is no handler */
} pn_http_match;

pn_http_router *pn_http_router_create(pn_ledger *ledger); /* NULL without memory */
void pn_http_router_destroy(pn_http_router *router);      /* NULL is fine */

/* "GET /items/:id". PN_EBAD_VALUE (*why says), PN_EEXISTS, PN_ENOMEM. */
int pn_http_router_add(pn_http_router *router, pn_text pattern, void *handler, const char **why);

/* 0 and the handler; or PN_ENOT_FOUND, where `allowed` is not 0 if other methods have the path. */
int pn_http_router_find(const pn_http_router *router, uint8_t method, pn_text path,
                        pn_http_match *match);

/* The i-th parameter: its name ("*" for the rest) and its text, still encoded. `path` as it was
 * matched. */
bool pn_http_match_param(const pn_http_match *match, uint32_t i, pn_text path, pn_text *name,
                         pn_text *value);

/* Appends "GET, HEAD, POST", the value of an Allow header. */
bool pn_http_write_allowed(pn_buf *out, uint64_t allowed);

#endif
