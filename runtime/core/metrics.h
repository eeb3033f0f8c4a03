/*
 * metrics.h - the metrics of a runtime: names, types and selectors in one registry, samples in one
 * shard for each worker, merged when somebody asks.
 *
 * Types and meanings are k6's: a counter adds up, a gauge keeps its last value with minimum and
 * maximum, a rate is the share of samples that are not zero, a trend is a histogram. A sub-metric
 * `name{key:value,...}` sees the samples of its metric that carry all those tags; it counts only
 * what is recorded after it was registered.
 *
 * Recording needs no lock and no locked instruction. Tags are a small array of slices that live
 * for the call; build them only where pn_metrics_wants_tags says so, otherwise pass what costs
 * nothing (a constant array, or NULL).
 *
 * Series mode, for tests: a shard also keeps every distinct set of tags, so that any selector can
 * be asked for afterwards. At most PN_METRIC_SERIES_MAX sets a shard; what comes after is counted
 * in its metric but in no series, and the warning callback is called once.
 *
 * Threads: registration, find, views, get and reset from any thread (a mutex). A shard is recorded
 * into by its own thread only and read by others meanwhile; they see whole samples, some late.
 * Ownership: the registry must outlive its shards and views; a shard's samples go with it.
 */
#ifndef PN_CORE_METRICS_H
#define PN_CORE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/histogram.h"
#include "core/selector.h"
#include "memory/ledger.h"

#define PN_METRICS_MAX            4096 /* metrics and sub-metrics of a runtime */
#define PN_METRIC_NAME_MAX_BYTES  128
#define PN_METRIC_TEXT_MAX_BYTES  1024 /* of a unit, of a help text */
#define PN_METRIC_SERIES_MAX      100000
#define PN_METRIC_SERIES_TAGS_MAX 64  /* a sample with more is in no series */
#define PN_METRICS_MESSAGE_BYTES  256 /* of every `message` below, which may be NULL */

typedef struct pn_metrics pn_metrics;
typedef struct pn_metrics_shard pn_metrics_shard;
typedef struct pn_metrics_view pn_metrics_view;

typedef enum pn_metric_type { PN_COUNTER, PN_GAUGE, PN_RATE, PN_TREND } pn_metric_type;
typedef enum pn_metric_contains {
    PN_CONTAINS_DEFAULT,
    PN_CONTAINS_TIME,
    PN_CONTAINS_DATA,
} pn_metric_contains;

/* What the values of a gauge in several shards are together: the one with the latest time, or, for
 * levels of which every worker has a part (vus, vus_max), their sum. Minimum and maximum of a sum
 * are those of the sum, not sums of minima. */
typedef enum pn_gauge_merge { PN_GAUGE_LAST, PN_GAUGE_SUM } pn_gauge_merge;

/* k6's built-in metrics: id, name, type, contains, merge; and iteration_errors, which is ours. */
#define PN_METRIC_MAP(X)                                                                           \
    X(VUS, "vus", GAUGE, DEFAULT, SUM)                                                             \
    X(VUS_MAX, "vus_max", GAUGE, DEFAULT, SUM)                                                     \
    X(ITERATIONS, "iterations", COUNTER, DEFAULT, LAST)                                            \
    X(ITERATION_DURATION, "iteration_duration", TREND, TIME, LAST)                                 \
    X(DROPPED_ITERATIONS, "dropped_iterations", COUNTER, DEFAULT, LAST)                            \
    X(ITERATION_ERRORS, "iteration_errors", COUNTER, DEFAULT, LAST)                                \
    X(CHECKS, "checks", RATE, DEFAULT, LAST)                                                       \
    X(GROUP_DURATION, "group_duration", TREND, TIME, LAST)                                         \
    X(DATA_SENT, "data_sent", COUNTER, DATA, LAST)                                                 \
    X(DATA_RECEIVED, "data_received", COUNTER, DATA, LAST)                                         \
    X(HTTP_REQS, "http_reqs", COUNTER, DEFAULT, LAST)                                              \
    X(HTTP_REQ_FAILED, "http_req_failed", RATE, DEFAULT, LAST)                                     \
    X(HTTP_REQ_DURATION, "http_req_duration", TREND, TIME, LAST)                                   \
    X(HTTP_REQ_BLOCKED, "http_req_blocked", TREND, TIME, LAST)                                     \
    X(HTTP_REQ_CONNECTING, "http_req_connecting", TREND, TIME, LAST)                               \
    X(HTTP_REQ_TLS_HANDSHAKING, "http_req_tls_handshaking", TREND, TIME, LAST)                     \
    X(HTTP_REQ_SENDING, "http_req_sending", TREND, TIME, LAST)                                     \
    X(HTTP_REQ_WAITING, "http_req_waiting", TREND, TIME, LAST)                                     \
    X(HTTP_REQ_RECEIVING, "http_req_receiving", TREND, TIME, LAST)

enum pn_metric_builtin {
#define X(id, name, type, contains, merge) PN_METRIC_##id,
    PN_METRIC_MAP(X)
#undef X
        PN_METRIC_HTTP_REQ_DURATION_EXPECTED, /* http_req_duration{expected_response:true} */
    PN_METRIC_BUILTIN_COUNT
};

/* A metric as registered; does not change, lives as long as the registry. */
typedef struct pn_metric {
    uint32_t id;
    pn_metric_type type;
    pn_metric_contains contains;
    pn_gauge_merge merge;
    const char *name, *unit, *help; /* never NULL; a sub-metric's name is "name{key:value}" */
    const struct pn_metric *parent; /* of a sub-metric */
    pn_tags tags;                   /* its selector, by key */
} pn_metric;

const char *pn_metric_type_name(pn_metric_type type); /* "counter" ... */

/* ---- the registry ---- */

/* Holds the built-in metrics. The ledger must be a shared one. NULL without memory. */
pn_metrics *pn_metrics_create(pn_ledger *ledger);
void pn_metrics_destroy(pn_metrics *metrics); /* no shard may be left */

/* Series mode, before the first shard is created. `warn` may be NULL; it is called on the thread of
 * the shard that passed the limit. */
void pn_metrics_keep_series(pn_metrics *metrics, void (*warn)(void *context, const char *message),
                            void *context);

typedef struct pn_metric_options {
    pn_metric_contains contains;
    pn_gauge_merge merge;
    const char *unit, *help; /* NULL: "" */
} pn_metric_options;

/* The id of the metric, new or known; `options` may be NULL: all default for a new metric, whatever
 * it is for a known one. PN_EEXISTS: known with another type (or contains or merge, if given);
 * PN_EBAD_CONFIG: not a metric's name; PN_ETOO_LARGE, PN_ELIMIT, PN_ENOMEM. The message is then a
 * sentence. */
int pn_metrics_register(pn_metrics *metrics, const char *name, size_t size, pn_metric_type type,
                        const pn_metric_options *options, char *message);

/* The id of `name` or `name{...}`; a sub-metric is registered if it is new. PN_ENOT_FOUND: no such
 * metric; PN_EBAD_CONFIG: not a selector; PN_ETOO_LARGE, PN_ELIMIT, PN_ENOMEM. */
int pn_metrics_select(pn_metrics *metrics, const char *text, size_t size, char *message);

/* The number of metrics so far; their ids are the numbers below it. */
uint32_t pn_metrics_count(const pn_metrics *metrics);

/* NULL for an id not given yet. */
const pn_metric *pn_metrics_at(const pn_metrics *metrics, uint32_t id);

/* All samples so far are forgotten: by each shard itself, before its next sample. */
void pn_metrics_reset(pn_metrics *metrics);

/* ---- recording ---- */

/* The ledger is the worker's own. NULL without memory. */
pn_metrics_shard *pn_metrics_shard_create(pn_metrics *metrics, pn_ledger *ledger);
void pn_metrics_shard_destroy(pn_metrics_shard *shard); /* on the shard's thread */

typedef struct pn_sample {
    const pn_metric *metric;
    double value;
    uint64_t time_ns; /* as recorded */
    pn_tags tags;
} pn_sample;

/* Called for each sample that is recorded, on the shard's thread, sub-metrics not counted. The
 * sample and its tags live for the call. NULL: nobody. To be set by the shard's thread. */
typedef void (*pn_sample_fn)(void *context, const pn_sample *sample);
void pn_metrics_shard_set_sink(pn_metrics_shard *shard, pn_sample_fn fn, void *context);

/* True if somebody looks at tags: a sub-metric other than the built-in one, a series, or a sink. */
bool pn_metrics_wants_tags(const pn_metrics_shard *shard);

/* One sample of a metric, not of a sub-metric. `time_ns` is the worker's clock (it orders gauges
 * and goes to the sink); `tags` may be NULL. NaN, infinities, and samples for which there is no
 * memory count as lost. */
void pn_metrics_record(pn_metrics_shard *shard, uint32_t id, double value, uint64_t time_ns,
                       const pn_tags *tags);

/* ---- reading ---- */

typedef enum pn_aggregate_kind {
    PN_AGGREGATE_COUNT,
    PN_AGGREGATE_RATE,
    PN_AGGREGATE_VALUE,
    PN_AGGREGATE_MIN,
    PN_AGGREGATE_MAX,
    PN_AGGREGATE_AVG,
    PN_AGGREGATE_MED,
    PN_AGGREGATE_PERCENTILE,
    PN_AGGREGATE_PASSES,
    PN_AGGREGATE_FAILS,
    PN_AGGREGATE_TOTAL,
} pn_aggregate_kind;

typedef struct pn_aggregate {
    pn_aggregate_kind kind;
    double percent; /* of a percentile: 0 to 100 */
} pn_aggregate;

/* "count", "rate", ... "p(99.9)". PN_EBAD_CONFIG. Pure. */
int pn_aggregate_parse(const char *text, size_t size, pn_aggregate *aggregate);

/* Counter: count, rate. Gauge: value, min, max. Rate: rate, passes, fails, total.
 * Trend: avg, min, max, med, p(N), count. */
bool pn_aggregate_fits(pn_aggregate aggregate, pn_metric_type type);

/* [+-] digits with a point anywhere [e [+-] digits], all of the text, finite; no locale. For
 * parsers here and above. */
bool pn__metric_number(const char *text, size_t size, double *value);

/* What all shards hold of one metric. */
typedef struct pn_metric_data {
    pn_metric_type type;
    uint64_t samples;
    uint64_t passes;        /* rate */
    double value, min, max; /* counter: value; gauge: all three */
    uint64_t time_ns;       /* gauge: of the value */
    pn_histogram trend;
} pn_metric_data;

/* The aggregate must fit. A counter's rate is for each second of `elapsed_s`. 0 without samples. */
double pn_metric_data_get(const pn_metric_data *data, pn_aggregate aggregate, double elapsed_s);

/* A merged copy of all shards, empty until the first refresh; belongs to one thread. */
pn_metrics_view *pn_metrics_view_create(pn_metrics *metrics, pn_ledger *ledger);
void pn_metrics_view_destroy(pn_metrics_view *view);

/* Reads all shards anew. PN_ENOMEM: the view holds what could be read. */
int pn_metrics_view_refresh(pn_metrics_view *view);

uint32_t pn_metrics_view_count(const pn_metrics_view *view);
const pn_metric_data *pn_metrics_view_at(const pn_metrics_view *view, uint32_t id); /* or NULL */
uint64_t pn_metrics_view_lost(const pn_metrics_view *view); /* samples refused or without memory */
uint64_t pn_metrics_view_overflow(const pn_metrics_view *view); /* samples in no series */

/* One figure, read at once: selector and aggregate as text. In series mode any selector will do,
 * else only registered ones. PN_ENOT_FOUND, PN_EBAD_CONFIG (also an aggregate that does not fit),
 * PN_ENOMEM. Without samples *value is 0. `ledger` is for the work in between. */
int pn_metrics_get(pn_metrics *metrics, const char *selector, const char *aggregate,
                   double elapsed_s, pn_ledger *ledger, double *value, char *message);

#endif
