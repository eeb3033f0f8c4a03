/*
 * wheel.h - a hierarchical timer wheel with a tick of 1 ms.
 *
 * A timer is memory of its owner (embedded in a task, a connection ...). Starting and stopping are
 * O(1) and cannot fail. Timers that are due at the same millisecond fire in the order in which they
 * were started, whatever their distance was then, so a run in virtual time repeats. A callback may
 * start and stop any timer, itself included, and free the memory of the timer it was called for. A
 * timer started for a time already reached fires at the next advance, never within the one that is
 * running, so a callback cannot loop for ever. During an advance that time is the one advanced to,
 * for all callbacks.
 *
 * Any tick of 64 bits will do, and a gap of any length costs the same: what an advance does depends
 * on the timers it passes, not on the ticks. A wheel takes 600 KB of addresses, of which an idle
 * one uses a few pages and a busy one what its timers are spread over.
 *
 * The wheel reads no clock: the owner says what time it is. Threads: one.
 */
#ifndef PN_CORE_WHEEL_H
#define PN_CORE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "memory/ledger.h"

typedef struct pn_wheel pn_wheel;
typedef struct pn_timer pn_timer;
typedef void (*pn_timer_fn)(pn_timer *timer);

struct pn_timer {
    pn_list link; /* in a slot of the wheel; link.next is NULL while inactive */
    uint64_t at_ms;
    pn_timer_fn fn;
};

/* NULL without memory. `now_ms` is the first tick. */
pn_wheel *pn_wheel_create(pn_ledger *ledger, uint64_t now_ms);
void pn_wheel_destroy(pn_wheel *wheel); /* no timer may be active */

void pn_timer_init(pn_timer *timer, pn_timer_fn fn);

/* (Re)starts the timer for the tick at_ms. */
void pn_timer_start(pn_wheel *wheel, pn_timer *timer, uint64_t at_ms);

/* Idempotent; true if it was active. */
bool pn_timer_stop(pn_wheel *wheel, pn_timer *timer);

static inline bool pn_timer_active(const pn_timer *timer) { return timer->link.next != NULL; }

/* Moves to now_ms (an earlier one counts as the present one) and fires what is due, in order of
 * (at_ms, start). Returns how many fired. Not to be called from a callback. */
size_t pn_wheel_advance(pn_wheel *wheel, uint64_t now_ms);

/* The tick of the earliest active timer, exactly; false when there is none. Constant time, except
 * for this: when the rest of the current 4 s (of the current 4.6 h) holds no timer, and the timers
 * that come next were not started in the order of their ticks, and the earliest tick of them has
 * been stopped, then a quarter of those of one slot (4 s, 4.6 h ...) are searched, once for each
 * such tick. */
bool pn_wheel_next(const pn_wheel *wheel, uint64_t *at_ms);

size_t pn_wheel_count(const pn_wheel *wheel);
uint64_t pn_wheel_now_ms(const pn_wheel *wheel);

#endif
