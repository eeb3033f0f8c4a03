/* metrics_shard.c - the samples of one worker: slots, series, the sink. */
#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "core/metrics_inner.h"

static const double infinity = (double)INFINITY;

/* ---- slots ---- */

static size_t slot_bytes(pn_metric_type type) {
    switch (type) {
    case PN_COUNTER: return offsetof(struct pn__slot, counter) + sizeof(struct pn__counter);
    case PN_GAUGE: return offsetof(struct pn__slot, gauge) + sizeof(struct pn__gauge);
    case PN_RATE: return offsetof(struct pn__slot, rate) + sizeof(struct pn__rate);
    case PN_TREND: return sizeof(struct pn__slot);
    }
    pn_unreachable();
}

static void clear_slot(struct pn__slot *slot) {
    switch (slot->metric->public.type) {
    case PN_COUNTER:
        atomic_store_explicit(&slot->counter.samples, 0, memory_order_relaxed);
        pn__store_double(&slot->counter.total, 0);
        break;
    case PN_GAUGE:
        atomic_store_explicit(&slot->gauge.samples, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->gauge.time_ns, 0, memory_order_relaxed);
        pn__store_double(&slot->gauge.value, 0);
        pn__store_double(&slot->gauge.min, infinity);
        pn__store_double(&slot->gauge.max, -infinity);
        break;
    case PN_RATE:
        atomic_store_explicit(&slot->rate.samples, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->rate.passes, 0, memory_order_relaxed);
        break;
    case PN_TREND: pn_histogram_reset(&slot->trend); break;
    }
}

static struct pn__slot *new_slot(pn_ledger *ledger, struct pn__metric *metric) {
    struct pn__slot *slot = pn_mem_try_zeroed(ledger, slot_bytes(metric->public.type));
    if (slot == NULL) return NULL;
    slot->metric = metric;
    if (metric->public.type == PN_TREND) pn_histogram_init(&slot->trend, ledger);
    clear_slot(slot);
    return slot;
}

static void free_slot(pn_ledger *ledger, struct pn__slot *slot) {
    if (slot == NULL) return;
    if (slot->metric->public.type == PN_TREND) pn_histogram_close(&slot->trend);
    pn_mem_free(ledger, slot, slot_bytes(slot->metric->public.type));
}

static void lower(_Atomic double *number, double value) {
    double old = pn__load_double(number);
    while (value < old && !atomic_compare_exchange_weak(number, &old, value)) {}
}

static void raise_to(_Atomic double *number, double value) {
    double old = pn__load_double(number);
    while (value > old && !atomic_compare_exchange_weak(number, &old, value)) {}
}

/* All shards change the level of a gauge that is a sum. It is not on the way of a request. */
static void change_level(struct pn__metric *metric, double change) {
    double old = pn__load_double(&metric->level);
    while (!atomic_compare_exchange_weak(&metric->level, &old, old + change)) {}
    lower(&metric->level_min, old + change);
    raise_to(&metric->level_max, old + change);
}

static void set_gauge(struct pn__slot *slot, double value, uint64_t time_ns) {
    struct pn__gauge *gauge = &slot->gauge;
    if (slot->metric->public.merge == PN_GAUGE_SUM && !slot->is_series) {
        change_level(slot->metric, value - pn__load_double(&gauge->value));
    }
    pn__store_double(&gauge->value, value);
    if (value < pn__load_double(&gauge->min)) pn__store_double(&gauge->min, value);
    if (value > pn__load_double(&gauge->max)) pn__store_double(&gauge->max, value);
    /* After the value: who sees the time sees a value at least as new. */
    atomic_store_explicit(&gauge->time_ns, time_ns, memory_order_release);
    atomic_store_explicit(&gauge->samples, pn__load(&gauge->samples) + 1, memory_order_release);
}

static void add_value(struct pn__slot *slot, double value, uint64_t time_ns) {
    switch (slot->metric->public.type) {
    case PN_COUNTER: {
        double total = pn__load_double(&slot->counter.total);
        pn__store_double(&slot->counter.total, total + value);
        pn__count_up(&slot->counter.samples, 1);
        break;
    }
    case PN_GAUGE: set_gauge(slot, value, time_ns); break;
    case PN_RATE:
        pn__count_up(&slot->rate.passes, value != 0);
        pn__count_up(&slot->rate.samples, 1);
        break;
    case PN_TREND: pn_histogram_record(&slot->trend, value); break;
    }
}

/* ---- shards ---- */

pn_metrics_shard *pn_metrics_shard_create(pn_metrics *metrics, pn_ledger *ledger) {
    pn_metrics_shard *shard = pn_mem_try_zeroed(ledger, sizeof *shard);
    if (shard == NULL) return NULL;
    shard->metrics = metrics;
    shard->ledger = ledger;
    shard->watched = metrics->keeps_series;
    int err = pthread_mutex_init(&shard->series_lock, NULL);
    pn_assert(err == 0);
    pn_smap_init(&shard->series, &ledger->door);
    pn_buf_init(&shard->key, &ledger->door);
    pthread_mutex_lock(&metrics->lock);
    atomic_init(&shard->epoch, atomic_load(&metrics->epoch));
    pn_list_push(&metrics->shards, &shard->link);
    pthread_mutex_unlock(&metrics->lock);
    return shard;
}

static void free_series(pn_metrics_shard *shard) {
    uint32_t cursor = 0;
    for (pn_smap_entry *e; (e = pn_smap_next(&shard->series, &cursor)) != NULL;) {
        free_slot(shard->ledger, e->value);
    }
    pn_smap_close(&shard->series);
}

static void free_slots(pn_metrics_shard *shard, struct pn__slot_chunk *chunk) {
    if (chunk == NULL) return;
    for (uint32_t i = 0; i < PN__CHUNK; i++) {
        free_slot(shard->ledger, atomic_load_explicit(&chunk->items[i], memory_order_relaxed));
    }
    pn_mem_free(shard->ledger, chunk, sizeof *chunk);
}

void pn_metrics_shard_destroy(pn_metrics_shard *shard) {
    if (shard == NULL) return;
    pthread_mutex_lock(&shard->metrics->lock);
    pn_list_remove(&shard->link);
    pthread_mutex_unlock(&shard->metrics->lock);
    for (uint32_t i = 0; i < PN__CHUNKS; i++) {
        free_slots(shard, atomic_load_explicit(&shard->chunks[i], memory_order_relaxed));
    }
    free_series(shard);
    pn_buf_close(&shard->key);
    pthread_mutex_destroy(&shard->series_lock);
    pn_mem_free(shard->ledger, shard, sizeof *shard);
}

void pn_metrics_shard_set_sink(pn_metrics_shard *shard, pn_sample_fn fn, void *context) {
    shard->sink = fn;
    shard->sink_context = context;
    shard->watched = fn != NULL || shard->metrics->keeps_series;
}

bool pn_metrics_wants_tags(const pn_metrics_shard *shard) {
    return shard->sink != NULL ||
           atomic_load_explicit(&shard->metrics->tags_wanted, memory_order_relaxed);
}

static __attribute__((noinline)) struct pn__slot *make_slot(pn_metrics_shard *shard, uint32_t id) {
    struct pn__metric *metric = pn__metric_at(shard->metrics, id);
    pn_assert(metric != NULL);
    _Atomic(struct pn__slot_chunk *) *place = &shard->chunks[id / PN__CHUNK];
    struct pn__slot_chunk *chunk = atomic_load_explicit(place, memory_order_relaxed);
    if (chunk == NULL) {
        chunk = pn_mem_try_zeroed(shard->ledger, sizeof *chunk);
        if (chunk == NULL) return NULL;
        atomic_store_explicit(place, chunk, memory_order_release);
    }
    struct pn__slot *slot = new_slot(shard->ledger, metric);
    if (slot != NULL) {
        atomic_store_explicit(&chunk->items[id % PN__CHUNK], slot, memory_order_release);
    }
    return slot;
}

/* NULL without memory; the sample is then counted as lost. */
static inline struct pn__slot *touch_slot(pn_metrics_shard *shard, uint32_t id) {
    pn_assert(id < PN_METRICS_MAX);
    struct pn__slot *slot = pn__slot_at(shard, id);
    if (PN_UNLIKELY(slot == NULL)) slot = make_slot(shard, id);
    if (PN_UNLIKELY(slot == NULL)) pn__count_up(&shard->lost, 1);
    return slot;
}

/* ---- series ---- */

static void put_word(pn_buf *key, const char *text, uint32_t size) {
    pn_buf_add(key, &size, sizeof size);
    pn_buf_add(key, text, size);
}

/* The id, then the tags by key: sizes and bytes. False: too many tags, or no memory. */
static bool build_key(pn_buf *key, uint32_t id, const pn_tags *tags) {
    const pn_tag *sorted[PN_METRIC_SERIES_TAGS_MAX];
    if (tags->count > PN_METRIC_SERIES_TAGS_MAX) return false;
    for (uint32_t n = 0; n < tags->count; n++) {
        uint32_t i = n;
        for (; i > 0 && pn_tag_compare_keys(sorted[i - 1], &tags->list[n]) > 0; i--) {
            sorted[i] = sorted[i - 1];
        }
        sorted[i] = &tags->list[n];
    }
    pn_buf_clear(key);
    pn_buf_add(key, &id, sizeof id);
    for (uint32_t i = 0; i < tags->count; i++) {
        put_word(key, sorted[i]->key, sorted[i]->key_size);
        put_word(key, sorted[i]->value, sorted[i]->value_size);
    }
    return !key->failed;
}

static const char *get_word(const char *at, const char **text, uint32_t *size) {
    memcpy(size, at, sizeof *size);
    *text = at + sizeof *size;
    return *text + *size;
}

uint32_t pn__series_tags(const pn_smap_entry *series, pn_tag *list, pn_tags *tags) {
    const char *at = series->key, *end = at + series->size;
    uint32_t id, count = 0;
    memcpy(&id, at, sizeof id);
    for (at += sizeof id; at < end; count++) {
        at = get_word(at, &list[count].key, &list[count].key_size);
        at = get_word(at, &list[count].value, &list[count].value_size);
    }
    *tags = (pn_tags){list, count};
    return id;
}

/* NULL past a limit or without memory. */
static struct pn__slot *touch_series(pn_metrics_shard *shard, struct pn__metric *metric,
                                     const pn_tags *tags) {
    pn_buf *key = &shard->key;
    if (!build_key(key, metric->public.id, tags)) return NULL;
    struct pn__slot *slot = pn_smap_get(&shard->series, key->data, key->size);
    if (slot != NULL || shard->series.count >= PN_METRIC_SERIES_MAX) return slot;
    slot = new_slot(shard->ledger, metric);
    if (slot == NULL) return NULL;
    slot->is_series = true;
    if (pn_smap_set(&shard->series, key->data, key->size, slot) == 0) return slot;
    free_slot(shard->ledger, slot);
    return NULL;
}

static void warn_once(pn_metrics *metrics, const pn_metric *metric) {
    if (metrics->warn == NULL || atomic_exchange(&metrics->has_warned, true)) return;
    char message[PN_METRICS_MESSAGE_BYTES];
    snprintf(message, sizeof message,
             "too many sets of tags (%d are kept, of at most %d tags): from '%s' on, further ones "
             "are counted in their metric only",
             PN_METRIC_SERIES_MAX, PN_METRIC_SERIES_TAGS_MAX, metric->name);
    metrics->warn(metrics->warn_context, message);
}

static void add_to_series(pn_metrics_shard *shard, struct pn__metric *metric, double value,
                          uint64_t time_ns, const pn_tags *tags) {
    pthread_mutex_lock(&shard->series_lock);
    struct pn__slot *slot = touch_series(shard, metric, tags);
    if (slot != NULL) add_value(slot, value, time_ns);
    pthread_mutex_unlock(&shard->series_lock);
    if (slot != NULL) return;
    pn__count_up(&shard->overflow, 1);
    warn_once(shard->metrics, &metric->public);
}

/* ---- recording ---- */

static __attribute__((noinline)) void clear_shard(pn_metrics_shard *shard, uint32_t epoch) {
    for (uint32_t i = 0; i < PN__CHUNKS; i++) {
        struct pn__slot_chunk *chunk =
            atomic_load_explicit(&shard->chunks[i], memory_order_relaxed);
        for (uint32_t k = 0; chunk != NULL && k < PN__CHUNK; k++) {
            struct pn__slot *slot = atomic_load_explicit(&chunk->items[k], memory_order_relaxed);
            if (slot != NULL) clear_slot(slot);
        }
    }
    pthread_mutex_lock(&shard->series_lock);
    free_series(shard);
    pthread_mutex_unlock(&shard->series_lock);
    atomic_store_explicit(&shard->lost, 0, memory_order_relaxed);
    atomic_store_explicit(&shard->overflow, 0, memory_order_relaxed);
    atomic_store_explicit(&shard->epoch, epoch, memory_order_release);
}

/* Whoever looks at tags: the sub-metrics, the series, the sink. */
static __attribute__((noinline)) void show(pn_metrics_shard *shard, struct pn__metric *metric,
                                           double value, uint64_t time_ns, const pn_tags *tags) {
    static const pn_tags none = {NULL, 0};
    if (tags == NULL) tags = &none;
    struct pn__metric *sub = atomic_load_explicit(&metric->first_sub, memory_order_acquire);
    for (; sub != NULL; sub = sub->next_sub) {
        if (!pn_tags_have(tags, sub->public.tags.list, sub->public.tags.count)) continue;
        struct pn__slot *slot = touch_slot(shard, sub->public.id);
        if (slot != NULL) add_value(slot, value, time_ns);
    }
    if (!shard->watched) return;
    if (shard->metrics->keeps_series) add_to_series(shard, metric, value, time_ns, tags);
    if (shard->sink == NULL) return;
    pn_sample sample = {&metric->public, value, time_ns, *tags};
    shard->sink(shard->sink_context, &sample);
}

void pn_metrics_record(pn_metrics_shard *shard, uint32_t id, double value, uint64_t time_ns,
                       const pn_tags *tags) {
    uint32_t epoch = atomic_load_explicit(&shard->metrics->epoch, memory_order_relaxed);
    if (PN_UNLIKELY(epoch != atomic_load_explicit(&shard->epoch, memory_order_relaxed))) {
        clear_shard(shard, epoch);
    }
    if (PN_UNLIKELY(!isfinite(value))) {
        pn__count_up(&shard->lost, 1);
        return;
    }
    struct pn__slot *slot = touch_slot(shard, id);
    if (PN_UNLIKELY(slot == NULL)) return;
    add_value(slot, value, time_ns);
    struct pn__metric *metric = slot->metric;
    if (PN_LIKELY(!shard->watched &&
                  atomic_load_explicit(&metric->first_sub, memory_order_relaxed) == NULL)) {
        return;
    }
    show(shard, metric, value, time_ns, tags);
}
