/*
 * msg.h - what travels between actors: 64 bytes, small payloads inside.
 *
 * A message is allocated by the sender's worker and freed by the receiver's; it has one owner at
 * any time. Destroying one that carries a request answers the caller with the given code, so a call
 * can never be lost in transit.
 */
#ifndef PN_CORE_MSG_H
#define PN_CORE_MSG_H

#include "base/list.h"
#include "core/exit.h"
#include "core/pid.h"

typedef struct pn_worker pn_worker;
typedef struct pn_actor pn_actor;
typedef struct pn_call pn_call;
typedef struct pn_msg pn_msg;

/* See pn_actor_ask. */
typedef int (*pn_ask_fn)(pn_worker *worker, const pn_actor *actor, pn_msg *reply);

typedef enum pn_msg_kind {
    /* what people send: counts against the mailbox */
    PN_MSG_USER,
    PN_MSG_REQUEST,
    /* what the runtime tells an actor through its mailbox; never dropped, counts nothing */
    PN_MSG_DOWN,
    PN_MSG_EXIT,
    /* addressed to a waiting task of the actor: the behaviour's `accept` */
    PN_MSG_REPLY,
    PN_MSG_STREAM,
    PN_MSG_SPACE, /* the mailbox that was full has room (or is gone) */
    /* signals, acted on by the core as they arrive */
    PN_MSG_SIGNAL_EXIT, /* from a link, or by hand: ref 1 is by hand */
    PN_MSG_LINK,
    PN_MSG_UNLINK,
    PN_MSG_MONITOR,
    PN_MSG_DEMONITOR,
    PN_MSG_AWAIT_SPACE,
    PN_MSG_BIRTH, /* a spawn on another worker */
    PN_MSG_ASK,   /* run a function on the actor's worker: info */
} pn_msg_kind;

/* What a STREAM message says, in `aux`. OPEN carries the sender's own ref in `extra`, so that it
 * can be told when there is nobody to open it to. */
enum { PN_STREAM_OP_OPEN, PN_STREAM_OP_DATA, PN_STREAM_OP_CREDIT, PN_STREAM_OP_CLOSE };

#define PN_MSG_INLINE_BYTES 24
#define PN_MSG_MAX_BYTES    (64u << 20) /* of one payload */
#define PN_MSG_CARRIED_MAX  255

struct pn_msg {
    pn_link link;
    pn_pid to, from;
    uint8_t kind;
    uint8_t is_heap; /* the payload is in `data` */
    uint8_t aux;     /* the kind's own: a stream's operation */
    uint8_t carried; /* requests that travel in the payload, behind its bytes */
    uint32_t size;   /* of the payload */
    union {
        pn_call *call; /* REQUEST, owned */
        pn_exit *exit; /* EXIT, DOWN, SIGNAL_EXIT, owned */
        uint64_t ref;  /* REPLY, STREAM, MONITOR, DEMONITOR ... */
        void *pointer;
        pn_ask_fn ask; /* ASK; the asker's ref is in `extra` */
    };
    union {
        uint8_t bytes[PN_MSG_INLINE_BYTES];
        struct {
            uint8_t *data;
            uint64_t extra; /* DOWN: the monitor's ref; REPLY: error code */
        };
    };
};

_Static_assert(sizeof(pn_msg) == 64, "a message is a cache line");

static inline const uint8_t *pn_msg_payload(const pn_msg *msg) {
    return msg->is_heap ? msg->data : msg->bytes;
}

/* NULL without memory. No payload yet. */
pn_msg *pn_msg_create(pn_worker *worker, pn_msg_kind kind);

/* Must not fail: for what may not be lost (exit signals, replies). */
pn_msg *pn_msg_must_create(pn_worker *worker, pn_msg_kind kind);

/* Copies the payload in. PN_ENOMEM, PN_ETOO_LARGE. */
int pn_msg_set_payload(pn_worker *worker, pn_msg *msg, const void *bytes, size_t size);

/* As above, with requests that travel in it: each gets one more holder, which the message is until
 * it is destroyed. */
int pn_msg_set_parcel(pn_worker *worker, pn_msg *msg, const void *bytes, size_t size,
                      pn_call *const *calls, unsigned count);
pn_call *pn_msg_carried(const pn_msg *msg, unsigned i);

/* Sends an OPEN (consumed) back as a CLOSE with this code. */
void pn_msg_refuse_stream(pn_worker *worker, pn_msg *msg, int code);

/* Frees it and what it owns; a request in it is answered with `code` (PN_ENOPROC ...). */
void pn_msg_destroy(pn_worker *worker, pn_msg *msg, int code);

/* Frees only the shell and payload: what it owned was taken over. */
void pn_msg_free(pn_worker *worker, pn_msg *msg);

#endif
