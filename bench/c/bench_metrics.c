/*
 * What the metrics add to one HTTP request: http_reqs, http_req_failed, the seven trends,
 * data_sent, data_received and one check. Without anybody looking at tags; with two sub-metrics,
 * the eight tags of a request built each time; in series mode. And reading: a view of two such
 * shards.
 */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rand.h"
#include "bench/c/bench.h"
#include "core/metrics.h"

#define REQUESTS  400000u
#define DURATIONS 4096u
#define READINGS  200

extern const pn_bench pn_bench_metrics;

struct setting {
    pn_heap *heap;
    pn_ledger shared, ledger;
    pn_pool pool;
    pn_metrics *metrics;
    pn_metrics_shard *shard;
    double durations_ms[DURATIONS];
};

static void open_setting(struct setting *s, bool series) {
    s->heap = pn_heap_create(false);
    pn_assert(s->heap != NULL);
    pn_pool_init(&s->pool, s->heap);
    pn_ledger_init_shared(&s->shared, "bench", s->heap);
    pn_ledger_init(&s->ledger, "bench worker", &s->pool);
    s->metrics = pn_metrics_create(&s->shared);
    pn_assert(s->metrics != NULL);
    if (series) pn_metrics_keep_series(s->metrics, NULL, NULL);
    s->shard = pn_metrics_shard_create(s->metrics, &s->ledger);
    pn_assert(s->shard != NULL);
    pn_rand rand = {.key = pn_rand_key(1, "bench metrics", 0)};
    for (unsigned i = 0; i < DURATIONS; i++) {
        s->durations_ms[i] = -8 * log(1 - pn_rand_unit(&rand)) + 0.05;
    }
}

static void close_setting(struct setting *s) {
    pn_metrics_shard_destroy(s->shard);
    pn_metrics_destroy(s->metrics);
    pn_assert(pn_ledger_live(&s->ledger) == 0 && pn_ledger_live(&s->shared) == 0);
    pn_pool_close(&s->pool);
    pn_heap_destroy(s->heap);
}

/* clang-format off */
#define TAG(key, value) {(key), (value), sizeof(key) - 1, sizeof(value) - 1}
/* clang-format on */

static void record_request(pn_metrics_shard *shard, const double *ms, uint64_t now_ns,
                           const pn_tags *tags) {
    pn_metrics_record(shard, PN_METRIC_HTTP_REQS, 1, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_FAILED, 0, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_DURATION, ms[0], now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_BLOCKED, ms[1] * 0.001, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_CONNECTING, 0, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_TLS_HANDSHAKING, 0, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_SENDING, ms[2] * 0.01, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_WAITING, ms[0] * 0.9, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_RECEIVING, ms[3] * 0.1, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_DATA_SENT, 120, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_DATA_RECEIVED, 512, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_CHECKS, 1, now_ns, tags);
}

/* As an HTTP engine does it. */
static void do_request(struct setting *s, unsigned i) {
    static const pn_tag expected[] = {TAG("expected_response", "true")};
    static const pn_tags cheap = {expected, 1};
    const double *ms = &s->durations_ms[i % (DURATIONS - 4)];
    if (!pn_metrics_wants_tags(s->shard)) {
        record_request(s->shard, ms, i, &cheap);
        return;
    }
    const pn_tag list[] = {
        TAG("proto", "HTTP/1.1"),
        TAG("status", "200"),
        TAG("method", "GET"),
        TAG("url", "http://127.0.0.1:8080/items/17"),
        TAG("name", "http://127.0.0.1:8080/items/17"),
        TAG("group", ""),
        TAG("scenario", "orders"),
        TAG("expected_response", "true"),
    };
    record_request(s->shard, ms, i, &(pn_tags){list, sizeof list / sizeof *list});
}

static double request_ns(struct setting *s) {
    for (unsigned i = 0; i < DURATIONS; i++) do_request(s, i);
    uint64_t since_ns = pn_clock_real_ns();
    for (unsigned i = 0; i < REQUESTS; i++) do_request(s, i);
    return (double)(pn_clock_real_ns() - since_ns) / REQUESTS;
}

static double refresh_ns(struct setting *s) {
    pn_metrics_shard *second = pn_metrics_shard_create(s->metrics, &s->ledger);
    pn_metrics_view *view = pn_metrics_view_create(s->metrics, &s->ledger);
    pn_assert(second != NULL && view != NULL);
    pn_metrics_shard *first = s->shard;
    s->shard = second;
    for (unsigned i = 0; i < DURATIONS; i++) do_request(s, i);
    s->shard = first;
    pn_assert(pn_metrics_view_refresh(view) == 0);
    uint64_t since_ns = pn_clock_real_ns();
    for (int i = 0; i < READINGS; i++) pn_assert(pn_metrics_view_refresh(view) == 0);
    double ns = (double)(pn_clock_real_ns() - since_ns) / READINGS;
    pn_metrics_view_destroy(view);
    pn_metrics_shard_destroy(second);
    return ns;
}

static void select_scenario(struct setting *s, const char *text) {
    pn_assert(pn_metrics_select(s->metrics, text, strlen(text), NULL) > 0);
}

static void run(pn_bench_sink *sink) {
    struct setting *s = malloc(sizeof *s);
    pn_assert(s != NULL);
    open_setting(s, false);
    pn_bench_report(sink, "a request, tags not wanted", request_ns(s), "ns/op");
    pn_bench_report(sink, "memory of a shard", (double)pn_ledger_live(&s->ledger), "bytes");
    pn_bench_report(sink, "view of two shards", refresh_ns(s), "ns/op");
    select_scenario(s, "http_req_duration{scenario:orders}");
    select_scenario(s, "http_req_failed{scenario:orders}");
    pn_bench_report(sink, "a request, two sub-metrics", request_ns(s), "ns/op");
    close_setting(s);
    open_setting(s, true);
    pn_bench_report(sink, "a request, series", request_ns(s), "ns/op");
    close_setting(s);
    free(s);
}

const pn_bench pn_bench_metrics = {
    "metrics",
    "what the metrics of one HTTP request cost",
    run,
};
