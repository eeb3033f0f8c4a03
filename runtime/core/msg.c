#include "core/msg.h"

#include <string.h>

#include "core/runtime.h"

static pn_msg *prepare(pn_msg *msg, pn_msg_kind kind) {
    if (PN_UNLIKELY(msg == NULL)) return NULL;
    msg->to = msg->from = 0;
    msg->kind = (uint8_t)kind;
    msg->is_heap = 0;
    msg->aux = 0;
    msg->carried = 0;
    msg->size = 0;
    msg->ref = 0;
    return msg;
}

pn_msg *pn_msg_create(pn_worker *worker, pn_msg_kind kind) {
    return prepare(pn_mem_try(&worker->messages, sizeof(pn_msg)), kind);
}

pn_msg *pn_msg_must_create(pn_worker *worker, pn_msg_kind kind) {
    return prepare(pn_mem_must(&worker->messages, sizeof(pn_msg)), kind);
}

int pn_msg_set_payload(pn_worker *worker, pn_msg *msg, const void *bytes, size_t size) {
    if (size > PN_MSG_MAX_BYTES) return PN_ETOO_LARGE;
    /* kinds that carry an `extra` keep their payload outside */
    size_t room = msg->kind == PN_MSG_REPLY || msg->kind == PN_MSG_STREAM ? 0 : PN_MSG_INLINE_BYTES;
    if (size > room) {
        uint8_t *data = pn_mem_try(&worker->messages, size);
        if (data == NULL) return PN_ENOMEM;
        msg->data = data;
        msg->is_heap = 1;
    }
    if (size > 0) memcpy(msg->is_heap ? msg->data : msg->bytes, bytes, size);
    msg->size = (uint32_t)size;
    return 0;
}

void pn_msg_free(pn_worker *worker, pn_msg *msg) {
    if (msg->is_heap) pn_mem_free(&worker->messages, msg->data, msg->size);
    pn_mem_free(&worker->messages, msg, sizeof *msg);
}

void pn_msg_destroy(pn_worker *worker, pn_msg *msg, int code) {
    switch ((pn_msg_kind)msg->kind) {
    case PN_MSG_REQUEST: pn_call_let_go(worker, msg->call, code); break;
    case PN_MSG_DOWN:
    case PN_MSG_EXIT:
    case PN_MSG_SIGNAL_EXIT: pn_exit_release(msg->exit); break;
    case PN_MSG_BIRTH: pn_actor__discard_birth(worker, msg); break;
    default: break;
    }
    for (unsigned i = 0; i < msg->carried; i++) {
        pn_call_let_go(worker, pn_msg_carried(msg, i), PN_ENO_REPLY);
    }
    pn_msg_free(worker, msg);
}

void pn_msg_refuse_stream(pn_worker *worker, pn_msg *msg, int code) {
    pn_pid opener = msg->from;
    msg->from = msg->to;
    msg->to = opener;
    msg->ref = msg->extra;
    msg->extra = (uint64_t)(int64_t)code;
    msg->aux = PN_STREAM_OP_CLOSE;
    pn_worker_route(worker, msg);
}

int pn_msg_set_parcel(pn_worker *worker, pn_msg *msg, const void *bytes, size_t size,
                      pn_call *const *calls, unsigned count) {
    if (count == 0) return pn_msg_set_payload(worker, msg, bytes, size);
    size_t total = size + count * sizeof *calls;
    if (total > PN_MSG_MAX_BYTES || count > PN_MSG_CARRIED_MAX) return PN_ETOO_LARGE;
    uint8_t *data = pn_mem_try(&worker->messages, total);
    if (data == NULL) return PN_ENOMEM;
    memcpy(data, bytes, size);
    memcpy(data + size, calls, count * sizeof *calls);
    for (unsigned i = 0; i < count; i++) pn_call_hold(calls[i]);
    msg->data = data;
    msg->is_heap = 1;
    msg->size = (uint32_t)total;
    msg->carried = (uint8_t)count;
    return 0;
}

pn_call *pn_msg_carried(const pn_msg *msg, unsigned i) {
    pn_call *call;
    memcpy(&call, msg->data + msg->size - (msg->carried - i) * sizeof call, sizeof call);
    return call;
}

pn_call *pn_call_create(pn_worker *worker, pn_pid caller, uint64_t ref, uint64_t deadline_ns,
                        pn_call *parent) {
    pn_call *call = pn_mem_try(&worker->messages, sizeof *call);
    if (call == NULL) return NULL;
    *call = (pn_call){
        .refs = 1, .holders = 1, .caller = caller, .ref = ref, .deadline_ns = deadline_ns};
    if (parent != NULL) {
        call->parent = pn_call_grab(parent);
        call->depth = parent->depth + 1;
        if (parent->deadline_ns < deadline_ns) call->deadline_ns = parent->deadline_ns;
    }
    return call;
}

pn_call *pn_call_grab(pn_call *call) {
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    return call;
}

void pn_call_release(pn_worker *worker, pn_call *call) {
    while (call != NULL) { /* a chain goes link by link, not by recursion */
        if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) > 1) return;
        pn_call *parent = call->parent;
        pn_request_id_release(call->request_id);
        pn_mem_free(&worker->messages, call, sizeof *call);
        call = parent;
    }
}

int pn_call_reply(pn_worker *worker, pn_call *call, pn_msg *reply) {
    if (!pn_call_claim(call, PN_CALL_ANSWERED)) {
        bool withdrawn = atomic_load(&call->state) == PN_CALL_WITHDRAWN;
        if (withdrawn) pn_count(&worker->counts.late_replies);
        pn_msg_destroy(worker, reply, 0);
        return withdrawn ? PN_ETIMEOUT : PN_EBAD_REQUEST;
    }
    reply->to = call->caller;
    reply->ref = call->ref;
    pn_worker_route(worker, reply);
    return 0;
}

void pn_call_fail(pn_worker *worker, pn_call *call, int code) {
    if (!pn_call_is_open(call)) return;
    pn_msg *reply = pn_msg_must_create(worker, PN_MSG_REPLY);
    reply->extra = (uint64_t)(int64_t)code;
    pn_call_reply(worker, call, reply);
}

void pn_call_hold(pn_call *call) {
    pn_call_grab(call);
    atomic_fetch_add_explicit(&call->holders, 1, memory_order_relaxed);
}

void pn_call_let_go(pn_worker *worker, pn_call *call, int code) {
    if (atomic_fetch_sub_explicit(&call->holders, 1, memory_order_acq_rel) == 1) {
        pn_call_fail(worker, call, code);
    }
    pn_call_release(worker, call);
}
