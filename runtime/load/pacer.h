/*
 * pacer.h - when the iterations of an open executor are to begin.
 *
 * Evenly spaced: the k-th start is at k * time_unit / rate, computed from k and never added up, so
 * an hour's last start is as exact as its first. The starts are dealt out to `shares` parts in
 * turn: part i has the starts k with k % shares == i; together they are what one part alone would
 * have.
 *
 * Pure; times are relative to the executor's start.
 */
#ifndef PN_LOAD_PACER_H
#define PN_LOAD_PACER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pn_pacer {
    uint64_t rate; /* starts in a time unit */
    uint64_t time_unit_ns;
    uint64_t duration_ns; /* starts are before this */
    uint64_t next;        /* the part's next start, k */
    uint32_t shares;
} pn_pacer;

void pn_pacer_init(pn_pacer *pacer, uint64_t rate, uint64_t time_unit_ns, uint64_t duration_ns,
                   uint32_t share, uint32_t shares);

/* Nanoseconds from the executor's start to start k, rounded down. */
static inline uint64_t pn_pacer_time_ns(const pn_pacer *pacer, uint64_t k) {
    return (uint64_t)((unsigned __int128)k * pacer->time_unit_ns / pacer->rate);
}

/* All starts, of all parts. */
uint64_t pn_pacer_count(const pn_pacer *pacer);

/* The part's next start, if there is one and it is due by `elapsed_ns`: its number and time. */
bool pn_pacer_take(pn_pacer *pacer, uint64_t elapsed_ns, uint64_t *k, uint64_t *at_ns);

/* When the next one is due; UINT64_MAX when there is none. */
uint64_t pn_pacer_next_ns(const pn_pacer *pacer);

#endif
