/*
 * http_message.h - a message that was received, kept as it came.
 *
 * Design. The head and the body stay where the reads put them, as slices of slabs (slab.h); nothing
 * is copied unless it came in scraps. Headers are looked up in the raw head when asked for, the
 * body is handed out in pieces, gathered or decoded when asked for, and only counted when nobody
 * keeps it.
 *
 * Whoever owns messages can be charged for them: `charge` is told of every byte that is held and
 * let go, and may refuse one that is to be held.
 *
 * Views into a message (headers, body) are valid until the loop turns: its bytes may move then.
 * Threads: one.
 */
#ifndef PN_NET_HTTP_MESSAGE_H
#define PN_NET_HTTP_MESSAGE_H

#include "base/buf.h"
#include "net/http_parser.h"
#include "net/slab.h"

/* A scrap of a body below this is copied to the one before it, so that a peer that sends byte by
 * byte costs no slice for each. */
#define PN_HTTP_SCRAP_BYTES 1024

/* Told that `bytes` more (or less, negative) are held for `owner`. False refuses more; the
 * receiving engine then fails with PN_ENOMEM. Letting go is never refused. */
typedef bool (*pn_http_charge_fn)(void *owner, int64_t bytes);

typedef struct pn_http_message {
    pn_slabs *slabs; /* NULL: nothing is held */
    pn_http_head head;
    pn_slice first;           /* the head, and what of the body lies behind it */
    pn_slice *last;           /* &first, or the last of the list behind it */
    pn_slice *trailers;       /* NULL: none */
    uint32_t body_at;         /* where in `first` the body begins */
    uint64_t body_bytes;      /* received, kept or not */
    bool body_kept;           /* false: body_bytes is all that is known of it */
    pn_http_charge_fn charge; /* NULL: nobody */
    void *charge_owner;
    uint64_t held_bytes;
} pn_http_message;

/* All-zero is a message that holds nothing; this sets who is charged. */
void pn_http_message_init(pn_http_message *message, pn_http_charge_fn charge, void *charge_owner);
void pn_http_message_close(pn_http_message *message); /* lets all go; idempotent */

/* For the engines. `in_slab`: the bytes lie in the room that was reserved last; else they are
 * copied. PN_ENOMEM. */
int pn_http_message_keep_head(pn_http_message *message, pn_slabs *slabs, const pn_http_head *head,
                              char *data, bool in_slab);
int pn_http_message_keep_body(pn_http_message *message, char *data, size_t size, bool in_slab);
int pn_http_message_keep_trailers(pn_http_message *message, const char *data, size_t size);

static inline bool pn_http_message_is_open(const pn_http_message *message) {
    return message->slabs != NULL;
}

/* The header lines, for pn_http_headers_*; empty when nothing is held. */
static inline pn_text pn_http_message_headers(const pn_http_message *message) {
    if (message->slabs == NULL) return PN_TEXT_NONE;
    return pn_text_make(message->first.data + message->head.headers_at, message->head.headers_size);
}

pn_text pn_http_message_header(const pn_http_message *message, pn_text name);
pn_text pn_http_message_target(const pn_http_message *message);
pn_text pn_http_message_reason(const pn_http_message *message);
pn_text pn_http_message_trailers(const pn_http_message *message);

/* Walks the pieces of a kept body: *cursor starts as NULL. False at the end. */
bool pn_http_message_next_piece(const pn_http_message *message, const pn_slice **cursor,
                                pn_text *piece);

/* True when the kept body is one piece (or empty): then *view is all of it. */
bool pn_http_message_view(const pn_http_message *message, pn_text *view);

/* Appends the kept body as it came. */
bool pn_http_message_gather(const pn_http_message *message, pn_buf *out);

/* ---- what an engine reads with ---- */

typedef struct pn_http_receiver {
    pn_http_parser parser;
    pn_buf partial; /* what came of a head or of trailers that are not complete */
} pn_http_receiver;

typedef struct pn_http_input {
    char *at;
    size_t left;
    bool in_slab;
} pn_http_input;

void pn_http_receiver_init(pn_http_receiver *receiver, bool is_request,
                           const pn_http_limits *limits, pn_ledger *ledger);
void pn_http_receiver_close(pn_http_receiver *receiver); /* idempotent */

/* Begins with what was read; PN_ENOMEM. Then next until PN_HTTP_MORE, then end: what was not used
 * is kept for the next read; PN_ENOMEM. */
int pn_http_receiver_begin(pn_http_receiver *receiver, pn_http_input *input, char *data,
                           size_t size);
int pn_http_receiver_end(pn_http_receiver *receiver, pn_http_input *input);

/* As pn_http_parser_next, which moves the input on. */
static inline int pn_http_receiver_next(pn_http_receiver *receiver, pn_http_input *input,
                                        pn_http_piece *piece, char **at) {
    *at = input->at;
    int event = pn_http_parser_next(&receiver->parser, input->at, input->left, piece);
    input->at += piece->used;
    input->left -= piece->used;
    return event;
}

#endif
