/*
 * The body of a request that a route takes as it comes: what is behind `req.body` with stream =
 * true.
 *
 * The incoming owns it until its Lua object is made; then that does, and is told when the request
 * is over.
 */
#include "bind/http_serve.h"

typedef struct pn_intake {
    pn_inflow in;
    pn_incoming *incoming; /* NULL: over */
    bool is_pushed, has_ended, is_gone, has_failed;
} pn_intake;

static pn_intake *intake_of(pn_inflow *in) { return PN_CONTAINER(in, pn_intake, in); }

/* ---- the engine's side ---- */

void pn_intake_on_body(pn_incoming *incoming, const char *data, size_t size) {
    pn_intake *intake = incoming->intake;
    if (intake == NULL || intake->has_failed) return;
    intake->has_failed = !pn_inflow_add(&intake->in, data, size);
}

void pn_intake_on_end(pn_incoming *incoming) {
    pn_intake *intake = incoming->intake;
    if (intake == NULL) return;
    intake->has_ended = true;
    pn_inflow_wake(&intake->in);
}

void pn_intake_on_gone(pn_incoming *incoming) {
    incoming->intake->is_gone = true;
    pn_inflow_wake(&incoming->intake->in);
}

static void pause_exchange(pn_inflow *in, bool is_on) {
    pn_incoming *incoming = intake_of(in)->incoming;
    if (incoming == NULL || incoming->x == NULL) return;
    if (is_on) {
        pn_http_exchange_pause(incoming->x);
    } else {
        pn_http_exchange_resume(incoming->x);
    }
}

static int push_end(lua_State *L, pn_inflow *in) {
    const pn_intake *intake = intake_of(in);
    if (intake->has_failed) return pn_push_error(L, PN_ENOMEM, NULL);
    if (intake->has_ended) {
        lua_pushnil(L);
        return 1;
    }
    if (intake->is_gone) return pn_push_error(L, PN_ECLOSED, "the client is gone");
    if (intake->incoming == NULL)
        return pn_push_error(L, PN_ECLOSED, "the request has been answered");
    return 0;
}

/* ---- life ---- */

static void
close_none(pn_inflow *in) { /* the rest of the body is read over when there is an answer */
    pn_buf_clear(&in->buffer);
}

static void free_intake(pn_inflow *in) {
    pn_intake *intake = intake_of(in);
    if (intake->incoming != NULL) intake->incoming->intake = NULL;
    pn_mem_free(&in->flow.lua->actor->ledger, intake, sizeof *intake);
}

static const pn_inflow_source source = {pause_exchange, push_end, close_none, free_intake};

int pn_intake_create(pn_incoming *incoming) {
    pn_intake *intake = pn_mem_try(&incoming->lua->actor->ledger, sizeof *intake);
    if (intake == NULL) return PN_ENOMEM;
    *intake = (pn_intake){.incoming = incoming};
    pn_inflow_init(&intake->in, &source, incoming->lua);
    incoming->intake = intake;
    return 0;
}

void pn_intake_detach(pn_incoming *incoming) {
    pn_intake *intake = incoming->intake;
    if (intake == NULL) return;
    incoming->intake = NULL;
    intake->incoming = NULL;
    if (intake->is_pushed) {
        pn_inflow_wake(&intake->in);
        return;
    }
    pn_inflow_end(&intake->in);
    free_intake(&intake->in);
}

void pn_intake_push(lua_State *L, pn_incoming *incoming) {
    pn_intake *intake = incoming->intake;
    intake->is_pushed = true; /* pn_flow_push frees it if it cannot be */
    pn_flow_push(L, &intake->in.flow);
}
