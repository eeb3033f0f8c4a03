#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

static uint64_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static uint64_t read_virtual(const pn_clock *clock) {
    return atomic_load_explicit(&clock->virtual_ns, memory_order_relaxed);
}

void pn_clock_init(pn_clock *clock, bool is_virtual) {
    *clock = (pn_clock){.is_virtual = is_virtual};
}

uint64_t pn_clock_now_ns(const pn_clock *clock) {
    return clock->is_virtual ? read_virtual(clock) : read_ns(CLOCK_MONOTONIC);
}

uint64_t pn_clock_unix_ns(const pn_clock *clock) {
    if (!clock->is_virtual) return read_ns(CLOCK_REALTIME);
    return PN_CLOCK_VIRTUAL_EPOCH_S * 1000000000ULL + read_virtual(clock);
}

uint64_t pn_clock_cpu_ns(const pn_clock *clock) {
    return clock->is_virtual ? read_virtual(clock) : read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void pn_clock_advance(pn_clock *clock, uint64_t to_ns) {
    pn_assert(clock->is_virtual);
    if (to_ns <= read_virtual(clock)) return;
    atomic_store_explicit(&clock->virtual_ns, to_ns, memory_order_relaxed);
}

uint64_t pn_clock_real_ns(void) { return read_ns(CLOCK_MONOTONIC); }
