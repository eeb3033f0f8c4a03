#include "load/pacer.h"

#include "base/assert.h"

void pn_pacer_init(pn_pacer *pacer, uint64_t rate, uint64_t time_unit_ns, uint64_t duration_ns,
                   uint32_t share, uint32_t shares) {
    pn_assert(rate > 0 && time_unit_ns > 0 && share < shares);
    *pacer = (pn_pacer){rate, time_unit_ns, duration_ns, share, shares};
}

uint64_t pn_pacer_count(const pn_pacer *pacer) {
    /* the smallest k with k * unit / rate >= duration, in whole nanoseconds */
    unsigned __int128 scaled = (unsigned __int128)pacer->duration_ns * pacer->rate;
    return (uint64_t)((scaled + pacer->time_unit_ns - 1) / pacer->time_unit_ns);
}

uint64_t pn_pacer_next_ns(const pn_pacer *pacer) {
    uint64_t at_ns = pn_pacer_time_ns(pacer, pacer->next);
    return at_ns < pacer->duration_ns ? at_ns : UINT64_MAX;
}

bool pn_pacer_take(pn_pacer *pacer, uint64_t elapsed_ns, uint64_t *k, uint64_t *at_ns) {
    *at_ns = pn_pacer_next_ns(pacer);
    if (*at_ns == UINT64_MAX || *at_ns > elapsed_ns) return false;
    *k = pacer->next;
    pacer->next += pacer->shares;
    return true;
}
