#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/assert.h"

uint64_t pn_rand_key(uint64_t seed, const char *stream, uint64_t entity) {
    uint64_t h = pn_rand_mix(seed + 0x9e3779b97f4a7c15ULL);
    for (const char *c = stream; *c != '\0'; c++) h = (h ^ (uint8_t)*c) * 0x100000001b3ULL;
    return pn_rand_mix(h) ^ pn_rand_mix(entity + 0x9e3779b97f4a7c15ULL);
}

uint64_t pn_rand_below(pn_rand *r, uint64_t n) {
    pn_assert(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t x = pn_rand_draw(r);
    while (x >= limit) x = pn_rand_draw(r);
    return x % n;
}

uint64_t pn_rand_seed(void) {
    uint64_t seed = 0;
    ssize_t n;
    do n = getrandom(&seed, sizeof seed, 0); /* waits, and can be interrupted, only early at boot */
    while (n < 0 && errno == EINTR);
    pn_assert(n == (ssize_t)sizeof seed);
    return seed;
}
