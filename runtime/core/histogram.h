/*
 * histogram.h - how often each value came up, to three significant digits, in constant memory.
 *
 * A value's bucket is read straight off its bits: sign, exponent and the upper ten bits of the
 * mantissa, rounded to nearest. So the value reported is within 1/2048 (0.049 %) of the sample over
 * the whole range of doubles, negative and subnormal ones included, and exact for zero and for
 * whole numbers up to 2048. Count, sum, minimum and maximum are kept beside the buckets and exact
 * (the sum is compensated: Knuth's two-sum, so that neither order nor number of the samples shows).
 *
 * The counters of one power of two are a page of 8 KB, allocated when first touched. Latencies from
 * 10 us to 10 s take 20 pages; samples from all corners of the doubles take at most
 * PN_HISTOGRAM_PAGES_MAX. A sample whose page cannot be had, and NaN and the infinities, count as
 * lost and as nothing else.
 *
 * Threads: one writes (init, record, merge into it, reset, close), any number read meanwhile. What
 * they see may be some samples behind and, of one sample, the count without the sum and the bounds.
 */
#ifndef PN_CORE_HISTOGRAM_H
#define PN_CORE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory/ledger.h"

#define PN_HISTOGRAM_BITS      10 /* of the mantissa */
#define PN_HISTOGRAM_BUCKETS   (1u << PN_HISTOGRAM_BITS)
#define PN_HISTOGRAM_PAGES_MAX (2 * (2046 + 52)) /* normal and subnormal exponents, two signs */

typedef struct pn__histogram_page {
    _Atomic uint64_t counts[PN_HISTOGRAM_BUCKETS];
} pn__histogram_page;

/* 64 neighbouring exponents. */
typedef struct pn__histogram_table {
    _Atomic(pn__histogram_page *) pages[64];
    _Atomic uint64_t counts[64]; /* in each page */
} pn__histogram_table;

typedef struct pn_histogram {
    _Atomic double sum, carry; /* the true sum is nearly sum + carry */
    _Atomic double min, max;
    _Atomic uint64_t zeros, lost;
    pn_ledger *ledger;
    /* By the upper six bits of a double; then the positive and the negative subnormals. */
    _Atomic(pn__histogram_table *) tables[66];
} pn_histogram;

/* No memory yet. The ledger must be usable by the writer's thread and outlive the histogram. */
void pn_histogram_init(pn_histogram *histogram, pn_ledger *ledger);
void pn_histogram_close(pn_histogram *histogram); /* idempotent; no reader may be left */

/* Zero, subnormal, huge, not finite, or the first of its page. */
void pn__histogram_record_slow(pn_histogram *histogram, double value);

/* The writer's side of a counter: nobody else writes it, so no locked instruction is needed. */
static inline void pn__histogram_count(_Atomic uint64_t *counter, uint64_t more) {
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + more, memory_order_relaxed);
}

static inline void pn__histogram_sum(pn_histogram *h, double value) {
    double sum = atomic_load_explicit(&h->sum, memory_order_relaxed);
    double carry = atomic_load_explicit(&h->carry, memory_order_relaxed);
    double total = sum + value, part = total - sum;
    carry += (sum - (total - part)) + (value - part);
    atomic_store_explicit(&h->sum, total, memory_order_relaxed);
    atomic_store_explicit(&h->carry, carry, memory_order_relaxed);
}

static inline void pn__histogram_bound(pn_histogram *h, double min, double max) {
    if (min < atomic_load_explicit(&h->min, memory_order_relaxed)) {
        atomic_store_explicit(&h->min, min, memory_order_relaxed);
    }
    if (max > atomic_load_explicit(&h->max, memory_order_relaxed)) {
        atomic_store_explicit(&h->max, max, memory_order_relaxed);
    }
}

static inline void pn_histogram_record(pn_histogram *h, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    unsigned exponent = (unsigned)(bits >> 52) & 0x7ff;
    bits += 1ULL << (51 - PN_HISTOGRAM_BITS); /* to nearest, across powers of two as well */
    pn__histogram_table *table = atomic_load_explicit(&h->tables[bits >> 58], memory_order_relaxed);
    pn__histogram_page *page = NULL;
    unsigned i = (unsigned)(bits >> 52) & 63;
    if (PN_LIKELY(exponent - 1 < 0x7fd && table != NULL)) {
        page = atomic_load_explicit(&table->pages[i], memory_order_relaxed);
    }
    if (PN_UNLIKELY(page == NULL)) {
        pn__histogram_record_slow(h, value);
        return;
    }
    unsigned bucket = (unsigned)(bits >> (52 - PN_HISTOGRAM_BITS)) % PN_HISTOGRAM_BUCKETS;
    pn__histogram_count(&page->counts[bucket], 1);
    pn__histogram_count(&table->counts[i], 1);
    pn__histogram_sum(h, value);
    pn__histogram_bound(h, value, value);
}

/* Adds all that `from` holds, lost samples included. PN_ENOMEM: what found no page is now lost. */
int pn_histogram_merge(pn_histogram *into, const pn_histogram *from);

/* Forgets the samples, keeps the pages. */
void pn_histogram_reset(pn_histogram *histogram);

uint64_t pn_histogram_count(const pn_histogram *histogram); /* without the lost ones */
uint64_t pn_histogram_lost(const pn_histogram *histogram);
double pn_histogram_sum(const pn_histogram *histogram);

/* 0 when there are no samples, as k6 has it. */
double pn_histogram_min(const pn_histogram *histogram);
double pn_histogram_max(const pn_histogram *histogram);
double pn_histogram_average(const pn_histogram *histogram);

/* k6's definition: linear interpolation between the closest ranks, rank = percent / 100 * (n - 1).
 * percent in [0, 100]; 0 and 100 are the exact minimum and maximum. 0 when there are no samples. */
double pn_histogram_percentile(const pn_histogram *histogram, double percent);

/* The buckets in use, by growing value. Start with a zeroed cursor. */
typedef struct pn_histogram_cursor {
    uint32_t page, bucket;
} pn_histogram_cursor;

bool pn_histogram_next(const pn_histogram *histogram, pn_histogram_cursor *cursor, double *value,
                       uint64_t *count);

#endif
