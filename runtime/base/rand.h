/*
 * rand.h - all randomness, keyed.
 *
 * A draw is a hash of (seed, stream, entity, counter), not the next number of a shared stream:
 * taking one event away leaves every other draw as it was, which is what makes a run replayable
 * from its seed and a failing schedule shrinkable. The mixer is splitmix64's finaliser (Steele,
 * Lea, Flood 2014).
 */
#ifndef PN_BASE_RAND_H
#define PN_BASE_RAND_H

#include <stdint.h>

typedef struct pn_rand {
    uint64_t key;     /* of (seed, stream, entity) */
    uint64_t counter; /* draws so far */
} pn_rand;

static inline uint64_t pn_rand_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* The key of one stream of draws of one entity. `stream` names what is drawn ("backoff"). */
uint64_t pn_rand_key(uint64_t seed, const char *stream, uint64_t entity);

/* The id of the n-th child of an entity: never a global counter. */
static inline uint64_t pn_rand_child(uint64_t parent, uint64_t n) {
    return pn_rand_mix(parent + 0x9e3779b97f4a7c15ULL * (n + 1));
}

static inline uint64_t pn_rand_draw(pn_rand *r) {
    return pn_rand_mix(r->key + 0x9e3779b97f4a7c15ULL * ++r->counter);
}

/* Uniform in [0, 1). */
static inline double pn_rand_unit(pn_rand *r) { return (double)(pn_rand_draw(r) >> 11) * 0x1p-53; }

/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t pn_rand_below(pn_rand *r, uint64_t n);

/* A seed from the operating system, for runs that were given none. */
uint64_t pn_rand_seed(void);

#endif
