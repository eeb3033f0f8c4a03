/*
 * metrics_inner.h - what the three files of the metrics share: metrics.c (the registry),
 * metrics_shard.c (recording), metrics_view.c (reading).
 *
 * Metrics and slots (a shard's storage for one metric) hang in chunks of 64 pointers that are
 * published by release stores and never move, so an id may be given to one worker while others
 * record. A slot is made by its shard at the first sample. Sub-metrics are a list that only grows
 * at its head; a metric without any costs its samples one load.
 *
 * Reset is an epoch: the registry counts it up, a shard that sees another number than its own
 * clears itself before it records, and readers skip shards that have not done so yet.
 *
 * A gauge that is a sum lives in the registry (the shards add their changes), because minimum and
 * maximum of the sum cannot be known from the parts.
 */
#ifndef PN_CORE_METRICS_INNER_H
#define PN_CORE_METRICS_INNER_H

#include <pthread.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "core/metrics.h"

#define PN__CHUNK  64
#define PN__CHUNKS (PN_METRICS_MAX / PN__CHUNK)

struct pn__metric {
    pn_metric public; /* first, so that one is the other */
    _Atomic(struct pn__metric *) first_sub;
    struct pn__metric *next_sub;
    _Atomic double level, level_min, level_max; /* of a gauge that is a sum */
    size_t bytes;                               /* of this block, texts included */
};

struct pn__metric_chunk {
    _Atomic(struct pn__metric *) items[PN__CHUNK];
};

struct pn_metrics {
    _Atomic uint32_t epoch, count;
    _Atomic bool tags_wanted;
    bool keeps_series;
    pn_ledger *ledger;
    void (*warn)(void *context, const char *message);
    void *warn_context;
    _Atomic bool has_warned;
    pthread_mutex_t lock; /* guards names, shards, and every registration */
    pn_smap names;
    pn_list shards;
    _Atomic(struct pn__metric_chunk *) chunks[PN__CHUNKS];
};

struct pn__counter {
    _Atomic double total;
    _Atomic uint64_t samples;
};

struct pn__gauge {
    _Atomic double value, min, max;
    _Atomic uint64_t time_ns, samples;
};

struct pn__rate {
    _Atomic uint64_t passes, samples;
};

struct pn__slot {
    struct pn__metric *metric;
    bool is_series; /* else it speaks for its shard */
    union {
        struct pn__counter counter;
        struct pn__gauge gauge;
        struct pn__rate rate;
        pn_histogram trend;
    };
};

struct pn__slot_chunk {
    _Atomic(struct pn__slot *) items[PN__CHUNK];
};

struct pn_metrics_shard {
    pn_metrics *metrics;
    pn_ledger *ledger;
    _Atomic uint32_t epoch;
    bool watched; /* by a sink or for its series */
    pn_sample_fn sink;
    void *sink_context;
    _Atomic uint64_t lost, overflow;
    pn_list link;
    pthread_mutex_t series_lock; /* guards series, which only series mode uses */
    pn_smap series;              /* of id and tags: a slot */
    pn_buf key;
    _Atomic(struct pn__slot_chunk *) chunks[PN__CHUNKS];
};

struct pn_metrics_view {
    pn_metrics *metrics;
    pn_ledger *ledger;
    pn_metric_data **list;
    uint32_t count, capacity;
    uint64_t lost, overflow;
};

/* ---- atomics: one writer each, except the levels ---- */

static inline uint64_t pn__load(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static inline double pn__load_double(const _Atomic double *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static inline void pn__store_double(_Atomic double *number, double value) {
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static inline void pn__count_up(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, pn__load(counter) + more, memory_order_relaxed);
}

static inline struct pn__metric *pn__metric_at(const pn_metrics *metrics, uint32_t id) {
    if (id >= PN_METRICS_MAX) return NULL;
    struct pn__metric_chunk *chunk =
        atomic_load_explicit(&metrics->chunks[id / PN__CHUNK], memory_order_acquire);
    if (chunk == NULL) return NULL;
    return atomic_load_explicit(&chunk->items[id % PN__CHUNK], memory_order_acquire);
}

/* By any thread; NULL when nothing was recorded. */
static inline struct pn__slot *pn__slot_at(const pn_metrics_shard *shard, uint32_t id) {
    struct pn__slot_chunk *chunk =
        atomic_load_explicit(&shard->chunks[id / PN__CHUNK], memory_order_acquire);
    if (chunk == NULL) return NULL;
    return atomic_load_explicit(&chunk->items[id % PN__CHUNK], memory_order_acquire);
}

/* The sub-metric with exactly these tags, or NULL. */
struct pn__metric *pn__metric_find_sub(const struct pn__metric *metric,
                                       const pn_selector *selector);

/* Parses with a message; 0 or a code. */
int pn__metrics_parse(const char *text, size_t size, pn_selector *selector, char *message);

/* PN_ENOT_FOUND with a message. */
int pn__metrics_unknown(const pn_selector *selector, char *message);

/* Writes the message, if one is wanted, and returns the code. */
int pn__metrics_fail(char *message, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A size as the precision of a %.*s in a message. */
static inline int pn__metrics_text(size_t size) { return size < 100 ? (int)size : 100; }

/* The tags of a series, as slices of its key, in a list of PN_METRIC_SERIES_TAGS_MAX; returns the
 * metric's id. */
uint32_t pn__series_tags(const pn_smap_entry *series, pn_tag *list, pn_tags *tags);

#endif
