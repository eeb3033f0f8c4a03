/*
 * call.h - a request under way: who waits, until when, and on whose behalf.
 *
 * A call is shared by the caller's waiting task and by the request that travels; it is answered
 * exactly once, by whoever comes first: the reply, the time-out (which takes it back), or the
 * destruction of the request. Its parent is the call that the calling task itself was serving: the
 * chain that deadlines and cycle detection follow. Counted; threads: any.
 */
#ifndef PN_CORE_CALL_H
#define PN_CORE_CALL_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/msg.h"
#include "core/request_id.h"

#define PN_CALL_DEPTH_MAX   1000 /* of a chain: deeper is a cycle through fresh actors */
#define PN_CALL_NO_DEADLINE UINT64_MAX

struct pn_call {
    _Atomic uint32_t refs;
    _Atomic uint32_t holders; /* messages and Lua values through which it could still be answered */
    _Atomic uint8_t state;
    uint32_t depth;
    uint32_t credit; /* of a request for a stream: what its reader grants */
    pn_pid caller;
    uint64_t ref; /* of the caller's wait */
    uint64_t deadline_ns;
    pn_call *parent;           /* counted */
    pn_request_id *request_id; /* what it is sent for, or NULL; counted */
};

enum { PN_CALL_OPEN, PN_CALL_ANSWERED, PN_CALL_WITHDRAWN };

/* One reference, one holder. NULL without memory. `parent` may be NULL; the deadline is cut to
 * its. */
pn_call *pn_call_create(pn_worker *worker, pn_pid caller, uint64_t ref, uint64_t deadline_ns,
                        pn_call *parent);
pn_call *pn_call_grab(pn_call *call);
void pn_call_release(pn_worker *worker, pn_call *call); /* NULL is fine */

/* True for the one who gets to answer. */
static inline bool pn_call_claim(pn_call *call, uint8_t state) {
    uint8_t open = PN_CALL_OPEN;
    return atomic_compare_exchange_strong(&call->state, &open, state);
}

static inline bool pn_call_is_open(const pn_call *call) {
    return atomic_load_explicit(&call->state, memory_order_acquire) == PN_CALL_OPEN;
}

/* Sends an encoded reply (consumed) to the caller. PN_ETIMEOUT when the caller no longer waits,
 * PN_EBAD_REQUEST when it was answered before; the reply is then freed. */
int pn_call_reply(pn_worker *worker, pn_call *call, pn_msg *reply);

/* Answers with an error code alone, if still open. */
void pn_call_fail(pn_worker *worker, pn_call *call, int code);

/* One more, one less who could answer; each holder owns a reference too. When the last lets go of
 * an open call it fails with `code`. */
void pn_call_hold(pn_call *call);
void pn_call_let_go(pn_worker *worker, pn_call *call, int code);

#endif
