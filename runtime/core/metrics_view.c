/* metrics_view.c - the shards merged: aggregates, views, single figures. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "core/metrics_inner.h"

#define NUMBER_BYTES 64 /* the longest text of a number */

/* ---- aggregates ---- */

bool pn__metric_number(const char *text, size_t size, double *value) {
    char copy[NUMBER_BYTES];
    if (size == 0 || size >= sizeof copy) return false;
    for (size_t i = 0; i < size; i++) { /* no "inf", no hexadecimal, no spaces */
        if (strchr("0123456789+-.eE", text[i]) == NULL || text[i] == '\0') return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* static in glibc: nothing to free */
    char *end;
    *value = strtod_l(copy, &end, c);
    freelocale(c);
    return end == copy + size && isfinite(*value);
}

static const char *const aggregate_names[] = {"count", "rate", "value",  "min",   "max",  "avg",
                                              "med",   NULL,   "passes", "fails", "total"};

int pn_aggregate_parse(const char *text, size_t size, pn_aggregate *aggregate) {
    for (size_t i = 0; i < sizeof aggregate_names / sizeof *aggregate_names; i++) {
        const char *name = aggregate_names[i];
        if (name == NULL || strlen(name) != size || memcmp(name, text, size) != 0) continue;
        *aggregate = (pn_aggregate){(pn_aggregate_kind)i, 0};
        return 0;
    }
    if (size < 3 || memcmp(text, "p(", 2) != 0 || text[size - 1] != ')') return PN_EBAD_CONFIG;
    double percent;
    if (!pn__metric_number(text + 2, size - 3, &percent)) return PN_EBAD_CONFIG;
    if (!(percent >= 0 && percent <= 100)) return PN_EBAD_CONFIG;
    *aggregate = (pn_aggregate){PN_AGGREGATE_PERCENTILE, percent};
    return 0;
}

#define BIT(kind) (1u << PN_AGGREGATE_##kind)

bool pn_aggregate_fits(pn_aggregate aggregate, pn_metric_type type) {
    static const unsigned fitting[] = {
        [PN_COUNTER] = BIT(COUNT) | BIT(RATE),
        [PN_GAUGE] = BIT(VALUE) | BIT(MIN) | BIT(MAX),
        [PN_RATE] = BIT(RATE) | BIT(PASSES) | BIT(FAILS) | BIT(TOTAL),
        [PN_TREND] = BIT(AVG) | BIT(MIN) | BIT(MAX) | BIT(MED) | BIT(PERCENTILE) | BIT(COUNT),
    };
    return (fitting[type] >> aggregate.kind) & 1;
}

static double trend_get(const pn_histogram *trend, pn_aggregate aggregate) {
    switch (aggregate.kind) {
    case PN_AGGREGATE_AVG: return pn_histogram_average(trend);
    case PN_AGGREGATE_MIN: return pn_histogram_min(trend);
    case PN_AGGREGATE_MAX: return pn_histogram_max(trend);
    case PN_AGGREGATE_MED: return pn_histogram_percentile(trend, 50);
    case PN_AGGREGATE_COUNT: return (double)pn_histogram_count(trend);
    default: return pn_histogram_percentile(trend, aggregate.percent);
    }
}

static double rate_get(const pn_metric_data *data, pn_aggregate aggregate) {
    double passes = (double)data->passes, total = (double)data->samples;
    switch (aggregate.kind) {
    case PN_AGGREGATE_PASSES: return passes;
    case PN_AGGREGATE_FAILS: return total - passes;
    case PN_AGGREGATE_TOTAL: return total;
    default: return total > 0 ? passes / total : 0;
    }
}

double pn_metric_data_get(const pn_metric_data *data, pn_aggregate aggregate, double elapsed_s) {
    pn_assert(pn_aggregate_fits(aggregate, data->type));
    switch (data->type) {
    case PN_COUNTER:
        if (aggregate.kind == PN_AGGREGATE_COUNT) return data->value;
        return elapsed_s > 0 ? data->value / elapsed_s : 0;
    case PN_GAUGE:
        if (aggregate.kind == PN_AGGREGATE_MIN) return data->min;
        return aggregate.kind == PN_AGGREGATE_MAX ? data->max : data->value;
    case PN_RATE: return rate_get(data, aggregate);
    case PN_TREND: return trend_get(&data->trend, aggregate);
    }
    pn_unreachable();
}

/* ---- merging ---- */

static void data_init(pn_metric_data *data, pn_metric_type type, pn_ledger *ledger) {
    memset(data, 0, offsetof(pn_metric_data, trend));
    data->type = type;
    pn_histogram_init(&data->trend, ledger);
}

static void data_clear(pn_metric_data *data) {
    pn_metric_type type = data->type;
    memset(data, 0, offsetof(pn_metric_data, trend));
    data->type = type;
    pn_histogram_reset(&data->trend);
}

static void merge_gauge(pn_metric_data *data, const struct pn__gauge *gauge, bool is_sum) {
    uint64_t samples = atomic_load_explicit(&gauge->samples, memory_order_acquire);
    if (samples == 0) return;
    uint64_t time_ns = atomic_load_explicit(&gauge->time_ns, memory_order_acquire);
    double value = pn__load_double(&gauge->value);
    double min = pn__load_double(&gauge->min), max = pn__load_double(&gauge->max);
    bool is_first = data->samples == 0;
    if (is_sum) {
        data->value += value;
    } else if (is_first || time_ns >= data->time_ns) {
        data->value = value;
    }
    if (is_first || time_ns > data->time_ns) data->time_ns = time_ns;
    if (is_first || min < data->min) data->min = min;
    if (is_first || max > data->max) data->max = max;
    data->samples += samples;
}

static int merge_slot(pn_metric_data *data, const struct pn__slot *slot) {
    switch (data->type) {
    case PN_COUNTER:
        data->value += pn__load_double(&slot->counter.total);
        data->samples += pn__load(&slot->counter.samples);
        return 0;
    case PN_GAUGE:
        merge_gauge(data, &slot->gauge, slot->metric->public.merge == PN_GAUGE_SUM);
        return 0;
    case PN_RATE: { /* passes first: never more of them than samples */
        uint64_t passes = atomic_load_explicit(&slot->rate.passes, memory_order_acquire);
        uint64_t samples = pn__load(&slot->rate.samples);
        data->passes += passes;
        data->samples += samples > passes ? samples : passes;
        return 0;
    }
    case PN_TREND: return pn_histogram_merge(&data->trend, &slot->trend);
    }
    pn_unreachable();
}

static bool is_current(const pn_metrics_shard *shard) {
    return atomic_load_explicit(&shard->epoch, memory_order_acquire) ==
           atomic_load_explicit(&shard->metrics->epoch, memory_order_relaxed);
}

/* What the parts cannot know. */
static void finish(pn_metric_data *data, const struct pn__metric *metric) {
    if (data->type == PN_TREND) data->samples = pn_histogram_count(&data->trend);
    if (metric->public.merge != PN_GAUGE_SUM || data->samples == 0) return;
    data->min = pn__load_double(&metric->level_min);
    data->max = pn__load_double(&metric->level_max);
}

/* With the registry locked. */
static int merge_metric(pn_metrics *metrics, const struct pn__metric *metric,
                        pn_metric_data *data) {
    int err = 0;
    for (pn_list *l = metrics->shards.next; l != &metrics->shards; l = l->next) {
        const pn_metrics_shard *shard = PN_CONTAINER(l, pn_metrics_shard, link);
        if (!is_current(shard)) continue;
        const struct pn__slot *slot = pn__slot_at(shard, metric->public.id);
        if (slot != NULL && merge_slot(data, slot) != 0) err = PN_ENOMEM;
    }
    finish(data, metric);
    return err;
}

static int merge_series_of(pn_metrics_shard *shard, const struct pn__metric *metric,
                           const pn_selector *selector, pn_metric_data *data) {
    int err = 0;
    uint32_t cursor = 0;
    for (pn_smap_entry *e; (e = pn_smap_next(&shard->series, &cursor)) != NULL;) {
        pn_tag list[PN_METRIC_SERIES_TAGS_MAX];
        pn_tags tags;
        uint32_t id = pn__series_tags(e, list, &tags);
        if (id != metric->public.id) continue;
        if (!pn_tags_have(&tags, selector->tags, selector->count)) continue;
        if (merge_slot(data, e->value) != 0) err = PN_ENOMEM;
    }
    return err;
}

/* With the registry locked. A sum's minimum and maximum are those of the series, which is as much
 * as can be known of tags nobody asked for beforehand. */
static int merge_series(pn_metrics *metrics, const struct pn__metric *metric,
                        const pn_selector *selector, pn_metric_data *data) {
    int err = 0;
    for (pn_list *l = metrics->shards.next; l != &metrics->shards; l = l->next) {
        pn_metrics_shard *shard = PN_CONTAINER(l, pn_metrics_shard, link);
        if (!is_current(shard)) continue;
        pthread_mutex_lock(&shard->series_lock);
        if (merge_series_of(shard, metric, selector, data) != 0) err = PN_ENOMEM;
        pthread_mutex_unlock(&shard->series_lock);
    }
    if (data->type == PN_TREND) data->samples = pn_histogram_count(&data->trend);
    return err;
}

/* ---- views ---- */

pn_metrics_view *pn_metrics_view_create(pn_metrics *metrics, pn_ledger *ledger) {
    pn_metrics_view *view = pn_mem_try_zeroed(ledger, sizeof *view);
    if (view == NULL) return NULL;
    view->metrics = metrics;
    view->ledger = ledger;
    return view;
}

void pn_metrics_view_destroy(pn_metrics_view *view) {
    if (view == NULL) return;
    for (uint32_t i = 0; i < view->count; i++) {
        pn_histogram_close(&view->list[i]->trend);
        pn_mem_free(view->ledger, view->list[i], sizeof(pn_metric_data));
    }
    pn_mem_free(view->ledger, view->list, view->capacity * sizeof *view->list);
    pn_mem_free(view->ledger, view, sizeof *view);
}

static bool reserve(pn_metrics_view *view, uint32_t count) {
    if (count <= view->capacity) return true;
    size_t old = view->capacity * sizeof *view->list, new = count * sizeof *view->list;
    pn_metric_data **list = pn_mem_resize(view->ledger, view->list, old, new);
    if (list == NULL) return false;
    view->list = list;
    view->capacity = count;
    return true;
}

/* Room for every metric there is. */
static int grow_view(pn_metrics_view *view) {
    uint32_t count = pn_metrics_count(view->metrics);
    if (!reserve(view, count)) return PN_ENOMEM;
    while (view->count < count) {
        pn_metric_data *data = pn_mem_try(view->ledger, sizeof *data);
        if (data == NULL) return PN_ENOMEM;
        data_init(data, pn_metrics_at(view->metrics, view->count)->type, view->ledger);
        view->list[view->count++] = data;
    }
    return 0;
}

static void count_losses(pn_metrics_view *view) {
    pn_metrics *metrics = view->metrics;
    view->lost = view->overflow = 0;
    for (pn_list *l = metrics->shards.next; l != &metrics->shards; l = l->next) {
        const pn_metrics_shard *shard = PN_CONTAINER(l, pn_metrics_shard, link);
        if (!is_current(shard)) continue;
        view->lost += pn__load(&shard->lost);
        view->overflow += pn__load(&shard->overflow);
    }
    for (uint32_t i = 0; i < view->count; i++) {
        view->lost += pn_histogram_lost(&view->list[i]->trend);
    }
}

int pn_metrics_view_refresh(pn_metrics_view *view) {
    pn_metrics *metrics = view->metrics;
    pthread_mutex_lock(&metrics->lock);
    int err = grow_view(view);
    for (uint32_t id = 0; id < view->count; id++) {
        data_clear(view->list[id]);
        if (merge_metric(metrics, pn__metric_at(metrics, id), view->list[id]) != 0) err = PN_ENOMEM;
    }
    count_losses(view);
    pthread_mutex_unlock(&metrics->lock);
    return err;
}

uint32_t pn_metrics_view_count(const pn_metrics_view *view) { return view->count; }

const pn_metric_data *pn_metrics_view_at(const pn_metrics_view *view, uint32_t id) {
    return id < view->count ? view->list[id] : NULL;
}

uint64_t pn_metrics_view_lost(const pn_metrics_view *view) { return view->lost; }

uint64_t pn_metrics_view_overflow(const pn_metrics_view *view) { return view->overflow; }

/* ---- one figure ---- */

struct question {
    const char *text; /* the selector */
    pn_selector selector;
    pn_aggregate aggregate;
    double elapsed_s;
};

static int merge_selected(pn_metrics *metrics, const struct pn__metric *metric,
                          const struct question *q, pn_metric_data *data, char *message) {
    if (q->selector.count == 0) return merge_metric(metrics, metric, data);
    const struct pn__metric *sub = pn__metric_find_sub(metric, &q->selector);
    /* A sub-metric that was registered late has not seen all that the series have. */
    if (metrics->keeps_series) return merge_series(metrics, metric, &q->selector, data);
    if (sub != NULL) return merge_metric(metrics, sub, data);
    return pn__metrics_fail(
        message, PN_ENOT_FOUND,
        "'%.*s' is not recorded: name it in a threshold (only tests keep every tag)",
        pn__metrics_text(strlen(q->text)), q->text);
}

static int answer(pn_metrics *metrics, const struct question *q, pn_ledger *ledger, double *value,
                  char *message) {
    const pn_selector *selector = &q->selector;
    const struct pn__metric *metric =
        pn_smap_get(&metrics->names, selector->name, selector->name_size);
    if (metric == NULL) return pn__metrics_unknown(selector, message);
    if (!pn_aggregate_fits(q->aggregate, metric->public.type)) {
        return pn__metrics_fail(message, PN_EBAD_CONFIG,
                                "'%s' is a %s, which does not have that aggregate",
                                metric->public.name, pn_metric_type_name(metric->public.type));
    }
    pn_metric_data data;
    data_init(&data, metric->public.type, ledger);
    int err = merge_selected(metrics, metric, q, &data, message);
    if (err == 0) *value = pn_metric_data_get(&data, q->aggregate, q->elapsed_s);
    pn_histogram_close(&data.trend);
    return err == PN_ENOMEM ? pn__metrics_fail(message, err, "%s", pn_err_text(err)) : err;
}

int pn_metrics_get(pn_metrics *metrics, const char *selector, const char *aggregate,
                   double elapsed_s, pn_ledger *ledger, double *value, char *message) {
    struct question q = {.text = selector, .elapsed_s = elapsed_s};
    *value = 0;
    int err = pn__metrics_parse(selector, strlen(selector), &q.selector, message);
    if (err != 0) return err;
    if (pn_aggregate_parse(aggregate, strlen(aggregate), &q.aggregate) != 0) {
        return pn__metrics_fail(
            message, PN_EBAD_CONFIG,
            "'%.*s' is no aggregate: count, rate, value, min, max, avg, med, p(0..100), "
            "passes, fails, total",
            pn__metrics_text(strlen(aggregate)), aggregate);
    }
    pthread_mutex_lock(&metrics->lock);
    err = answer(metrics, &q, ledger, value, message);
    pthread_mutex_unlock(&metrics->lock);
    return err;
}
