/*
 * settle.h - taking several events at once where one at a time costs both sides.
 *
 * A client that is faster than its server would sleep and wake for every single answer: a context
 * switch here, an interrupt to another core there, at a rate of ten thousands. Before the loop
 * blocks, this waits for a moment with the sockets unwatched, so that the next poll finds a few
 * answers: measured against nginx on one core, a third of the client's CPU less and a seventh more
 * requests (docs/http-engine.md).
 *
 * It must not spoil what is measured, so the moment is short and the rate high: never longer than
 * PN_SETTLE_MAX_NS nor than 1/PN_SETTLE_SHARE of the mean time an event is under way (by Little's
 * law, from what is under way and the rate), and only when at least PN_SETTLE_BATCH events are
 * expected in it. Few users, a slow or a very fast server, or other work for the thread: then it
 * does nothing.
 *
 * Threads: the io's. It sets the thread's timer slack to 1 us (PR_SET_TIMERSLACK) when it is
 * opened.
 */
#ifndef PN_NET_SETTLE_H
#define PN_NET_SETTLE_H

#include "core/io.h"

#define PN_SETTLE_MAX_NS    50000ULL
#define PN_SETTLE_MIN_NS    15000ULL /* below this the sleep costs more than it saves */
#define PN_SETTLE_SHARE     16
#define PN_SETTLE_BATCH     2
#define PN_SETTLE_WINDOW_NS 2000000ULL /* over which the rate is taken */

typedef struct pn_settle {
    uv_prepare_t prepare;
    pn_io *io;
    const uint32_t *under_way; /* events that are awaited now */
    uint64_t count;            /* events so far: the owner counts */
    uint64_t turn_count;       /* ... at the last turn */
    uint64_t window_count, window_ns;
    uint64_t pause_ns, pause_batch; /* what the last window allows */
    uint64_t pauses;
    void (*on_close)(struct pn_settle *settle);
} pn_settle;

/* `under_way` must stay. Closing is asynchronous, as libuv's. */
void pn_settle_open(pn_settle *settle, pn_io *io, const uint32_t *under_way);
void pn_settle_close(pn_settle *settle, void (*on_close)(pn_settle *settle));

/* The rule itself: how long to pause, 0 for not at all, and *batch events from which a turn needs
 * none. */
uint64_t pn_settle_pause_ns(uint64_t under_way, uint64_t events, uint64_t window_ns,
                            uint64_t *batch);

#endif
