/* metrics.c - the registry: names, ids, selectors. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "core/metrics_inner.h"

static const double infinity = (double)INFINITY;

int pn__metrics_fail(char *message, int code, const char *format, ...) {
    if (message == NULL) return code;
    va_list args;
    va_start(args, format);
    vsnprintf(message, PN_METRICS_MESSAGE_BYTES, format, args);
    va_end(args);
    return code;
}

const char *pn_metric_type_name(pn_metric_type type) {
    static const char *const names[] = {"counter", "gauge", "rate", "trend"};
    return names[type];
}

const pn_metric *pn_metrics_at(const pn_metrics *metrics, uint32_t id) {
    struct pn__metric *metric = pn__metric_at(metrics, id);
    return metric != NULL ? &metric->public : NULL;
}

uint32_t pn_metrics_count(const pn_metrics *metrics) {
    return atomic_load_explicit(&metrics->count, memory_order_acquire);
}

static bool is_name(const char *name, size_t size) {
    if (size == 0 || size > PN_METRIC_NAME_MAX_BYTES) return false;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) return false;
    }
    return true;
}

/* Copies text and NUL to *to, which moves on. */
static const char *put_text(char **to, const char *text, size_t size) {
    char *copy = *to;
    if (size > 0) memcpy(copy, text, size);
    copy[size] = '\0';
    *to += size + 1;
    return copy;
}

/* A metric with its texts behind it. `tags` of a sub-metric are copied, too. */
static struct pn__metric *new_metric(pn_metrics *metrics, const char *name, size_t size,
                                     const pn_metric_options *options,
                                     const pn_selector *selector) {
    uint32_t tag_count = selector != NULL ? selector->count : 0;
    size_t unit_size = strlen(options->unit), help_size = strlen(options->help);
    size_t bytes = sizeof(struct pn__metric) + tag_count * sizeof(pn_tag);
    bytes += size + unit_size + help_size + 3;
    for (uint32_t i = 0; i < tag_count; i++) {
        bytes += selector->tags[i].key_size + selector->tags[i].value_size + 2;
    }
    struct pn__metric *metric = pn_mem_try_zeroed(metrics->ledger, bytes);
    if (metric == NULL) return NULL;
    pn_tag *tags = (pn_tag *)(metric + 1);
    char *text = (char *)(tags + tag_count);
    for (uint32_t i = 0; i < tag_count; i++) {
        tags[i] = selector->tags[i];
        tags[i].key = put_text(&text, tags[i].key, tags[i].key_size);
        tags[i].value = put_text(&text, tags[i].value, tags[i].value_size);
    }
    metric->bytes = bytes;
    metric->public = (pn_metric){.contains = options->contains, .merge = options->merge};
    metric->public.name = put_text(&text, name, size);
    metric->public.unit = put_text(&text, options->unit, unit_size);
    metric->public.help = put_text(&text, options->help, help_size);
    metric->public.tags = (pn_tags){tags, tag_count};
    atomic_init(&metric->level_min, infinity);
    atomic_init(&metric->level_max, -infinity);
    return metric;
}

/* Gives the metric its id. PN_ELIMIT, PN_ENOMEM. */
static int publish(pn_metrics *metrics, struct pn__metric *metric) {
    uint32_t id = pn_metrics_count(metrics);
    if (id == PN_METRICS_MAX) return PN_ELIMIT;
    _Atomic(struct pn__metric_chunk *) *place = &metrics->chunks[id / PN__CHUNK];
    struct pn__metric_chunk *chunk = atomic_load_explicit(place, memory_order_relaxed);
    if (chunk == NULL) {
        chunk = pn_mem_try_zeroed(metrics->ledger, sizeof *chunk);
        if (chunk == NULL) return PN_ENOMEM;
        atomic_store_explicit(place, chunk, memory_order_release);
    }
    metric->public.id = id;
    atomic_store_explicit(&chunk->items[id % PN__CHUNK], metric, memory_order_release);
    atomic_store_explicit(&metrics->count, id + 1, memory_order_release);
    return (int)id;
}

static void free_metric(pn_metrics *metrics, struct pn__metric *metric) {
    pn_mem_free(metrics->ledger, metric, metric->bytes);
}

/* The name goes in first: it can be taken back, an id cannot. */
static int add_metric(pn_metrics *metrics, const char *name, size_t size, pn_metric_type type,
                      const pn_metric_options *options) {
    struct pn__metric *metric = new_metric(metrics, name, size, options, NULL);
    if (metric == NULL) return PN_ENOMEM;
    metric->public.type = type;
    int id = pn_smap_set(&metrics->names, name, size, metric);
    if (id == 0) {
        id = publish(metrics, metric);
        if (id < 0) pn_smap_remove(&metrics->names, name, size, NULL);
    }
    if (id < 0) free_metric(metrics, metric);
    return id;
}

static int refuse(char *message, int code, const char *name, size_t size) {
    if (code == PN_ELIMIT) {
        return pn__metrics_fail(message, code, "metric '%.*s': there are %d metrics already",
                                pn__metrics_text(size), name, PN_METRICS_MAX);
    }
    return pn__metrics_fail(message, code, "metric '%.*s': %s", pn__metrics_text(size), name,
                            pn_err_text(code));
}

static int check_known(const pn_metric *known, pn_metric_type type,
                       const pn_metric_options *options, char *message) {
    if (known->type != type) {
        return pn__metrics_fail(message, PN_EEXISTS, "metric '%s' exists already as a %s, not a %s",
                                known->name, pn_metric_type_name(known->type),
                                pn_metric_type_name(type));
    }
    if (options != NULL && options->contains != known->contains) {
        static const char *const names[] = {"default", "time", "data"};
        return pn__metrics_fail(message, PN_EEXISTS,
                                "metric '%s' exists already and contains %s, not %s", known->name,
                                names[known->contains], names[options->contains]);
    }
    if (options != NULL && options->merge != known->merge) {
        return pn__metrics_fail(message, PN_EEXISTS,
                                "metric '%s' exists already with another merge", known->name);
    }
    return (int)known->id;
}

static int register_locked(pn_metrics *metrics, const char *name, size_t size, pn_metric_type type,
                           const pn_metric_options *options, char *message) {
    const struct pn__metric *known = pn_smap_get(&metrics->names, name, size);
    if (known != NULL) return check_known(&known->public, type, options, message);
    pn_metric_options given = options != NULL ? *options : (pn_metric_options){.unit = NULL};
    if (given.unit == NULL) given.unit = "";
    if (given.help == NULL) given.help = "";
    if (strlen(given.unit) > PN_METRIC_TEXT_MAX_BYTES ||
        strlen(given.help) > PN_METRIC_TEXT_MAX_BYTES) {
        return pn__metrics_fail(message, PN_ETOO_LARGE, "metric '%.*s': unit or help over %d bytes",
                                pn__metrics_text(size), name, PN_METRIC_TEXT_MAX_BYTES);
    }
    int id = add_metric(metrics, name, size, type, &given);
    return id < 0 ? refuse(message, id, name, size) : id;
}

int pn_metrics_register(pn_metrics *metrics, const char *name, size_t size, pn_metric_type type,
                        const pn_metric_options *options, char *message) {
    if (!is_name(name, size)) {
        return pn__metrics_fail(
            message, PN_EBAD_CONFIG,
            "'%.*s' is no name for a metric: a letter or underscore, then letters, digits "
            "and underscores, at most %d in all",
            pn__metrics_text(size), name, PN_METRIC_NAME_MAX_BYTES);
    }
    pthread_mutex_lock(&metrics->lock);
    int id = register_locked(metrics, name, size, type, options, message);
    pthread_mutex_unlock(&metrics->lock);
    return id;
}

struct pn__metric *pn__metric_find_sub(const struct pn__metric *metric,
                                       const pn_selector *selector) {
    struct pn__metric *sub = atomic_load_explicit(&metric->first_sub, memory_order_acquire);
    while (sub != NULL && !pn_selector_is(selector, &sub->public.tags)) sub = sub->next_sub;
    return sub;
}

static int add_sub(pn_metrics *metrics, struct pn__metric *parent, const pn_selector *selector,
                   const char *text, size_t size) {
    pn_metric_options options = {parent->public.contains, parent->public.merge, parent->public.unit,
                                 parent->public.help};
    struct pn__metric *sub = new_metric(metrics, text, size, &options, selector);
    if (sub == NULL) return PN_ENOMEM;
    sub->public.type = parent->public.type;
    sub->public.parent = &parent->public;
    sub->next_sub = atomic_load_explicit(&parent->first_sub, memory_order_relaxed);
    int id = publish(metrics, sub);
    if (id < 0) {
        free_metric(metrics, sub);
        return id;
    }
    atomic_store_explicit(&parent->first_sub, sub, memory_order_release);
    if (id != PN_METRIC_HTTP_REQ_DURATION_EXPECTED) atomic_store(&metrics->tags_wanted, true);
    return id;
}

int pn__metrics_parse(const char *text, size_t size, pn_selector *selector, char *message) {
    size_t at;
    const char *expected;
    int err = pn_selector_parse(text, size, selector, &at, &expected);
    if (err == 0) return 0;
    return pn__metrics_fail(message, err, "'%.*s': column %zu: expected %s", pn__metrics_text(size),
                            text, at + 1, expected);
}

int pn__metrics_unknown(const pn_selector *selector, char *message) {
    return pn__metrics_fail(message, PN_ENOT_FOUND, "no metric '%.*s'",
                            pn__metrics_text(selector->name_size), selector->name);
}

static int select_locked(pn_metrics *metrics, const pn_selector *selector, const char *text,
                         size_t size, char *message) {
    struct pn__metric *metric = pn_smap_get(&metrics->names, selector->name, selector->name_size);
    if (metric == NULL) return pn__metrics_unknown(selector, message);
    if (selector->count == 0) return (int)metric->public.id;
    const struct pn__metric *sub = pn__metric_find_sub(metric, selector);
    if (sub != NULL) return (int)sub->public.id;
    int id = add_sub(metrics, metric, selector, text, size);
    return id < 0 ? refuse(message, id, text, size) : id;
}

int pn_metrics_select(pn_metrics *metrics, const char *text, size_t size, char *message) {
    pn_selector selector;
    int err = pn__metrics_parse(text, size, &selector, message);
    if (err != 0) return err;
    pthread_mutex_lock(&metrics->lock);
    int id = select_locked(metrics, &selector, text, size, message);
    pthread_mutex_unlock(&metrics->lock);
    return id;
}

struct builtin {
    const char *name;
    pn_metric_type type;
    pn_metric_contains contains;
    pn_gauge_merge merge;
};

static const struct builtin builtins[] = {
#define X(id, name, type, contains, merge)                                                         \
    {name, PN_##type, PN_CONTAINS_##contains, PN_GAUGE_##merge},
    PN_METRIC_MAP(X)
#undef X
};

static bool add_builtins(pn_metrics *metrics) {
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++) {
        const struct builtin *b = &builtins[i];
        pn_metric_options options = {.contains = b->contains, .merge = b->merge};
        if (b->contains == PN_CONTAINS_TIME) options.unit = "ms";
        if (b->contains == PN_CONTAINS_DATA) options.unit = "B";
        int id = pn_metrics_register(metrics, b->name, strlen(b->name), b->type, &options, NULL);
        if (id < 0) return false;
        pn_assert(id == (int)i);
    }
    static const char expected[] = "http_req_duration{expected_response:true}";
    int id = pn_metrics_select(metrics, expected, sizeof expected - 1, NULL);
    pn_assert(id < 0 || id == PN_METRIC_HTTP_REQ_DURATION_EXPECTED);
    return id >= 0;
}

pn_metrics *pn_metrics_create(pn_ledger *ledger) {
    pn_metrics *metrics = pn_mem_try_zeroed(ledger, sizeof *metrics);
    if (metrics == NULL) return NULL;
    metrics->ledger = ledger;
    int err = pthread_mutex_init(&metrics->lock, NULL);
    pn_assert(err == 0);
    pn_smap_init(&metrics->names, &ledger->door);
    pn_list_init(&metrics->shards);
    if (!add_builtins(metrics)) {
        pn_metrics_destroy(metrics);
        return NULL;
    }
    return metrics;
}

void pn_metrics_destroy(pn_metrics *metrics) {
    if (metrics == NULL) return;
    pn_assert(pn_list_empty(&metrics->shards));
    uint32_t count = pn_metrics_count(metrics);
    for (uint32_t id = 0; id < count; id++) free_metric(metrics, pn__metric_at(metrics, id));
    for (uint32_t i = 0; i < PN__CHUNKS; i++) {
        struct pn__metric_chunk *chunk = atomic_load(&metrics->chunks[i]);
        pn_mem_free(metrics->ledger, chunk, sizeof *chunk);
    }
    pn_smap_close(&metrics->names);
    pthread_mutex_destroy(&metrics->lock);
    pn_mem_free(metrics->ledger, metrics, sizeof *metrics);
}

void pn_metrics_keep_series(pn_metrics *metrics, void (*warn)(void *context, const char *message),
                            void *context) {
    pn_assert(pn_list_empty(&metrics->shards));
    metrics->keeps_series = true;
    metrics->warn = warn;
    metrics->warn_context = context;
    atomic_store(&metrics->tags_wanted, true);
}

static void reset_level(struct pn__metric *metric) {
    pn__store_double(&metric->level, 0);
    pn__store_double(&metric->level_min, infinity);
    pn__store_double(&metric->level_max, -infinity);
}

void pn_metrics_reset(pn_metrics *metrics) {
    pthread_mutex_lock(&metrics->lock);
    uint32_t count = pn_metrics_count(metrics);
    for (uint32_t id = 0; id < count; id++) reset_level(pn__metric_at(metrics, id));
    atomic_fetch_add(&metrics->epoch, 1);
    pthread_mutex_unlock(&metrics->lock);
}
