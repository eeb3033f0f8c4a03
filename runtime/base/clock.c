#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

static uint64_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

void pn_clock_init(pn_clock *clock, bool is_virtual) { *clock = (pn_clock){.is_virtual = is_virtual}; }

uint64_t pn_clock_now_ns(const pn_clock *clock) {
    return clock->is_virtual ? clock->virtual_ns : read_ns(CLOCK_MONOTONIC);
}

uint64_t pn_clock_unix_ns(const pn_clock *clock) {
    if (!clock->is_virtual) return read_ns(CLOCK_REALTIME);
    return PN_CLOCK_VIRTUAL_EPOCH_S * 1000000000ULL + clock->virtual_ns;
}

uint64_t pn_clock_cpu_ns(const pn_clock *clock) {
    return clock->is_virtual ? clock->virtual_ns : read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void pn_clock_advance(pn_clock *clock, uint64_t to_ns) {
    pn_assert(clock->is_virtual);
    if (to_ns > clock->virtual_ns) clock->virtual_ns = to_ns;
}

uint64_t pn_clock_real_ns(void) { return read_ns(CLOCK_MONOTONIC); }
