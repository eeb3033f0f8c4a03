/*
 * io.h - what an I/O engine needs of the worker it runs on: the libuv loop, the timer wheel, the
 * clock and the ledger. Engines in net/ take a pn_io and know nothing of actors; tests drive one
 * directly.
 *
 * The wheel is driven by one libuv timer that is armed only when the loop is about to block. In
 * virtual time the loop never waits for a timer: when it would block, no real I/O is outstanding
 * and a timer is pending, time moves to that timer. An engine that has real I/O under way (a
 * connect, a request, a child process) says so with pn_io_hold and pn_io_drop, and time stands
 * still for virtual timers meanwhile.
 *
 * Threads: one.
 */
#ifndef PN_CORE_IO_H
#define PN_CORE_IO_H

#include <uv.h>

#include "base/clock.h"
#include "core/wheel.h"
#include "memory/ledger.h"

#define PN_IO_TICK_NS 1000000ULL

typedef struct pn_io {
    uv_loop_t loop;
    uv_timer_t alarm; /* drives the wheel while the loop blocks */
    pn_wheel *wheel;
    pn_clock *clock;
    pn_ledger *ledger; /* the worker's own */
    uint64_t now_ns;   /* cached at the start of each turn and after each wait */
    uint32_t outstanding;
    bool may_wait; /* the turn that runs was asked to wait: nothing else is to be done meanwhile */
} pn_io;

/* 0, or a negative code; after a failure there is nothing to close. */
int pn_io_init(pn_io *io, pn_clock *clock, pn_ledger *ledger);

/* All handles but its own must be closed or closing; runs the loop until their close callbacks are
 * done. No timer may be active. */
void pn_io_close(pn_io *io);

/* One turn: polls (waits for at most `wait_ms`; 0 does not wait, UINT64_MAX waits for ever), runs
 * the callbacks, fires the timers that are due. Returns how many timers fired. */
size_t pn_io_turn(pn_io *io, uint64_t wait_ms);

static inline uint64_t pn_io_read_clock(pn_io *io) {
    return io->now_ns = pn_clock_now_ns(io->clock);
}

/* Starts a timer that fires not earlier than `delay_ns` after the clock's now. */
static inline void pn_io_start_timer(pn_io *io, pn_timer *timer, uint64_t delay_ns) {
    uint64_t at_ns = pn_clock_now_ns(io->clock) + delay_ns;
    pn_timer_start(io->wheel, timer, (at_ns + PN_IO_TICK_NS - 1) / PN_IO_TICK_NS);
}

static inline bool pn_io_stop_timer(pn_io *io, pn_timer *timer) {
    return pn_timer_stop(io->wheel, timer);
}

static inline void pn_io_hold(pn_io *io) { io->outstanding++; }

static inline void pn_io_drop(pn_io *io) {
    pn_assert(io->outstanding > 0);
    io->outstanding--;
}

/* libuv's end-of-file and resolver codes as ours; errno codes stay as they are. */
int pn_io_err(int uv_code);

#endif
