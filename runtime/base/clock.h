/*
 * clock.h - the one switchable clock. Nothing else in the project reads time.
 *
 * Real: CLOCK_MONOTONIC for intervals, CLOCK_REALTIME for dates, CLOCK_THREAD_CPUTIME_ID or process
 * time for os.clock. Virtual: a number that only pn_clock_advance moves, by the worker, when
 * nothing is runnable and no real I/O is outstanding; dates then start at a fixed instant so that a
 * run repeats.
 *
 * Threads: a virtual clock is moved by its one worker and may be read by all (the monitor's log
 * lines).
 */
#ifndef PN_BASE_CLOCK_H
#define PN_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pn_clock {
    bool is_virtual;
    _Atomic uint64_t virtual_ns;
} pn_clock;

#define PN_CLOCK_VIRTUAL_EPOCH_S 946684800ULL /* 2000-01-01T00:00:00Z: where virtual dates begin */

void pn_clock_init(pn_clock *clock, bool is_virtual);

/* Monotonic nanoseconds. Virtual time begins at 0. */
uint64_t pn_clock_now_ns(const pn_clock *clock);

/* Nanoseconds since 1970-01-01 UTC. */
uint64_t pn_clock_unix_ns(const pn_clock *clock);

/* CPU nanoseconds of the process; in virtual time, the virtual time. */
uint64_t pn_clock_cpu_ns(const pn_clock *clock);

/* Moves virtual time forward to `to_ns`; asserts that the clock is virtual. Never backwards. */
void pn_clock_advance(pn_clock *clock, uint64_t to_ns);

/* Monotonic nanoseconds whatever the mode: for watchdogs and benchmarks, never for logic. */
uint64_t pn_clock_real_ns(void);

#endif
