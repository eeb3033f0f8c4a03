/*
 * fuzz.h - what the harnesses share. A property that does not hold ends the process with its place;
 * so does, through the sanitizers, every access out of bounds and every leak.
 *
 * PN_PLANT_BUG=n builds a harness with its n-th planted bug: a mistake in the harness's own copy of
 * what a user of the code does, never in the code. specs/fuzz/prove.sh shows that each of them is
 * found.
 */
#ifndef PN_FUZZ_FUZZ_H
#define PN_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PN_PLANT_BUG
#define PN_PLANT_BUG 0
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROPERTY(condition)                                                                        \
    ((condition) ? (void)0                                                                         \
                 : (fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition), \
                    abort()))

/* A copy of exactly so many bytes, so that a read past them is seen. Never NULL; free() it. */
static inline void *fuzz_copy(const void *bytes, size_t size) {
    void *copy = calloc(1, size > 0 ? size : 1);
    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, bytes, size);
    return copy;
}

/* What a double is, for comparing: -0 is not 0. */
static inline uint64_t fuzz_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif
