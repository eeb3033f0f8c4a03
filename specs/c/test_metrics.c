/* The registry, shards and views: k6's names and aggregates, merging, selectors, limits, threads.
 * */
#include "core/metrics.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "test.h"

struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_metrics *metrics;
    pn_metrics_shard *shards[3];
    pn_metrics_view *view;
    char message[PN_METRICS_MESSAGE_BYTES];
};

static void open_registry(struct fixture *f) {
    memset(f, 0, sizeof *f);
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    f->metrics = pn_metrics_create(&f->ledger);
    CHECK(f->metrics != NULL);
}

static void open_all(struct fixture *f, bool series) {
    open_registry(f);
    if (series) pn_metrics_keep_series(f->metrics, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        f->shards[i] = pn_metrics_shard_create(f->metrics, &f->ledger);
        CHECK(f->shards[i] != NULL);
    }
    f->view = pn_metrics_view_create(f->metrics, &f->ledger);
    CHECK(f->view != NULL);
}

static void close_all(struct fixture *f) {
    pn_metrics_view_destroy(f->view);
    for (int i = 0; i < 3; i++) pn_metrics_shard_destroy(f->shards[i]);
    pn_metrics_destroy(f->metrics);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

static int reg(struct fixture *f, const char *name, pn_metric_type type) {
    return pn_metrics_register(f->metrics, name, strlen(name), type, NULL, f->message);
}

static int sel(struct fixture *f, const char *text) {
    return pn_metrics_select(f->metrics, text, strlen(text), f->message);
}

static double get(struct fixture *f, const char *selector, const char *aggregate) {
    double value = NAN;
    int err = pn_metrics_get(f->metrics, selector, aggregate, 10, &f->ledger, &value, f->message);
    if (err != 0) pn_test_fail(__FILE__, __LINE__, "%s %s: %s", selector, aggregate, f->message);
    return value;
}

/* The same from the view. */
static double seen(struct fixture *f, uint32_t id, const char *aggregate) {
    pn_aggregate a;
    CHECK_EQ(pn_aggregate_parse(aggregate, strlen(aggregate), &a), 0);
    CHECK_EQ(pn_metrics_view_refresh(f->view), 0);
    const pn_metric_data *data = pn_metrics_view_at(f->view, id);
    CHECK(data != NULL);
    return pn_metric_data_get(data, a, 10);
}

static pn_tag tag(const char *key, const char *value) {
    return (pn_tag){key, value, (uint32_t)strlen(key), (uint32_t)strlen(value)};
}

/* ---- names ---- */

TEST(metrics_builtin_ones_are_k6s) {
    struct fixture f;
    open_registry(&f);
    CHECK_EQ(pn_metrics_count(f.metrics), PN_METRIC_BUILTIN_COUNT);
    const pn_metric *m = pn_metrics_at(f.metrics, PN_METRIC_HTTP_REQ_WAITING);
    CHECK_STR(m->name, "http_req_waiting");
    CHECK_STR(m->unit, "ms");
    CHECK(m->type == PN_TREND && m->contains == PN_CONTAINS_TIME && m->parent == NULL);
    m = pn_metrics_at(f.metrics, PN_METRIC_DATA_SENT);
    CHECK_STR(m->name, "data_sent");
    CHECK(m->type == PN_COUNTER && m->contains == PN_CONTAINS_DATA);
    m = pn_metrics_at(f.metrics, PN_METRIC_CHECKS);
    CHECK(m->type == PN_RATE && m->contains == PN_CONTAINS_DEFAULT);
    m = pn_metrics_at(f.metrics, PN_METRIC_VUS);
    CHECK(m->type == PN_GAUGE && m->merge == PN_GAUGE_SUM);
    m = pn_metrics_at(f.metrics, PN_METRIC_HTTP_REQ_DURATION_EXPECTED);
    CHECK_STR(m->name, "http_req_duration{expected_response:true}");
    CHECK(m->parent == pn_metrics_at(f.metrics, PN_METRIC_HTTP_REQ_DURATION));
    CHECK(m->type == PN_TREND && m->contains == PN_CONTAINS_TIME);
    CHECK_EQ(sel(&f, "iteration_errors"), PN_METRIC_ITERATION_ERRORS);
    CHECK_EQ(reg(&f, "http_reqs", PN_COUNTER), PN_METRIC_HTTP_REQS);
    CHECK(pn_metrics_at(f.metrics, PN_METRIC_BUILTIN_COUNT) == NULL);
    CHECK(pn_metrics_at(f.metrics, UINT32_MAX) == NULL);
    close_all(&f);
}

TEST(metrics_names_follow_k6s_rule) {
    struct fixture f;
    open_registry(&f);
    char name[PN_METRIC_NAME_MAX_BYTES + 2];
    memset(name, 'n', sizeof name);
    static const char *const good[] = {"a", "_", "Z9_z", "my_metric", "A1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_EQ(reg(&f, good[i], PN_COUNTER), PN_METRIC_BUILTIN_COUNT + i);
    }
    static const char *const bad[] = {"", "1a", "a-b", "a b", "a.b", "a{b:c}", "\xc3\xa9t\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(reg(&f, bad[i], PN_COUNTER), PN_EBAD_CONFIG);
    }
    CHECK_STR(f.message, "'\xc3\xa9t\xc3\xa9' is no name for a metric: a letter or underscore, "
                         "then letters, digits and underscores, at most 128 in all");
    size_t most = PN_METRIC_NAME_MAX_BYTES;
    CHECK_INT(pn_metrics_register(f.metrics, name, most, PN_RATE, NULL, NULL), >, 0);
    CHECK_EQ(pn_metrics_register(f.metrics, name, most + 1, PN_RATE, NULL, NULL), PN_EBAD_CONFIG);
    CHECK_EQ(pn_metrics_register(f.metrics, "a\0b", 3, PN_RATE, NULL, NULL), PN_EBAD_CONFIG);
    close_all(&f);
}

TEST(metrics_known_name_is_the_same_metric_or_an_error) {
    struct fixture f;
    open_registry(&f);
    pn_metric_options time = {.contains = PN_CONTAINS_TIME, .unit = "ms", .help = "how long"};
    int id = pn_metrics_register(f.metrics, "t", 1, PN_TREND, &time, f.message);
    CHECK_EQ(id, PN_METRIC_BUILTIN_COUNT);
    CHECK_STR(pn_metrics_at(f.metrics, (uint32_t)id)->unit, "ms");
    CHECK_STR(pn_metrics_at(f.metrics, (uint32_t)id)->help, "how long");
    CHECK_EQ(pn_metrics_register(f.metrics, "t", 1, PN_TREND, &time, f.message), id);
    CHECK_EQ(reg(&f, "t", PN_TREND), id);
    CHECK_EQ(reg(&f, "t", PN_RATE), PN_EEXISTS);
    CHECK_STR(f.message, "metric 't' exists already as a trend, not a rate");
    pn_metric_options other = {.contains = PN_CONTAINS_DATA};
    CHECK_EQ(pn_metrics_register(f.metrics, "t", 1, PN_TREND, &other, f.message), PN_EEXISTS);
    CHECK_STR(f.message, "metric 't' exists already and contains time, not data");
    CHECK_EQ(pn_metrics_count(f.metrics), id + 1);
    close_all(&f);
}

TEST(metrics_texts_have_a_limit) {
    struct fixture f;
    open_registry(&f);
    char text[PN_METRIC_TEXT_MAX_BYTES + 2];
    memset(text, 'h', sizeof text);
    text[PN_METRIC_TEXT_MAX_BYTES] = '\0';
    pn_metric_options options = {.help = text};
    CHECK_INT(pn_metrics_register(f.metrics, "a", 1, PN_RATE, &options, f.message), >, 0);
    text[PN_METRIC_TEXT_MAX_BYTES] = 'h';
    text[PN_METRIC_TEXT_MAX_BYTES + 1] = '\0';
    CHECK_EQ(pn_metrics_register(f.metrics, "b", 1, PN_RATE, &options, f.message), PN_ETOO_LARGE);
    CHECK_STR(f.message, "metric 'b': unit or help over 1024 bytes");
    close_all(&f);
}

TEST(metrics_number_has_a_limit) {
    struct fixture f;
    open_registry(&f);
    char name[32];
    for (int i = PN_METRIC_BUILTIN_COUNT; i < PN_METRICS_MAX; i++) {
        snprintf(name, sizeof name, "m%d", i);
        CHECK_EQ(reg(&f, name, PN_COUNTER), i);
    }
    CHECK_EQ(reg(&f, "one_more", PN_COUNTER), PN_ELIMIT);
    CHECK_STR(f.message, "metric 'one_more': there are 4096 metrics already");
    CHECK_EQ(sel(&f, "checks{a:b}"), PN_ELIMIT);
    CHECK_EQ(sel(&f, "one_more"), PN_ENOT_FOUND);
    CHECK_EQ(reg(&f, "m1000", PN_COUNTER), 1000);
    close_all(&f);
}

/* ---- aggregates ---- */

TEST(metrics_each_type_has_its_aggregates) {
    struct fixture f;
    open_all(&f, false);
    int counter = reg(&f, "c", PN_COUNTER), gauge = reg(&f, "g", PN_GAUGE);
    int rate = reg(&f, "r", PN_RATE), trend = reg(&f, "t", PN_TREND);
    for (int i = 1; i <= 4; i++) {
        pn_metrics_shard *shard = f.shards[i % 3];
        pn_metrics_record(shard, (uint32_t)counter, i * 1.5, 1, NULL);
        pn_metrics_record(shard, (uint32_t)gauge, i == 4 ? 2.5 : i, (uint64_t)i, NULL);
        pn_metrics_record(shard, (uint32_t)rate, i == 3 ? 0 : i, 1, NULL);
        pn_metrics_record(shard, (uint32_t)trend, i, 1, NULL);
    }
    CHECK(get(&f, "c", "count") == 15 && seen(&f, (uint32_t)counter, "count") == 15);
    CHECK(get(&f, "c", "rate") == 1.5 && seen(&f, (uint32_t)counter, "rate") == 1.5);
    CHECK(get(&f, "g", "value") == 2.5 && seen(&f, (uint32_t)gauge, "value") == 2.5);
    CHECK(get(&f, "g", "min") == 1 && seen(&f, (uint32_t)gauge, "min") == 1);
    CHECK(get(&f, "g", "max") == 3 && seen(&f, (uint32_t)gauge, "max") == 3);
    CHECK(get(&f, "r", "rate") == 0.75 && seen(&f, (uint32_t)rate, "rate") == 0.75);
    CHECK(get(&f, "r", "passes") == 3 && get(&f, "r", "fails") == 1 && get(&f, "r", "total") == 4);
    CHECK(get(&f, "t", "avg") == 2.5 && seen(&f, (uint32_t)trend, "avg") == 2.5);
    CHECK(get(&f, "t", "min") == 1 && get(&f, "t", "max") == 4 && get(&f, "t", "count") == 4);
    CHECK(get(&f, "t", "med") == 2.5 && seen(&f, (uint32_t)trend, "p(100)") == 4);
    CHECK(fabs(get(&f, "t", "p(90)") - 3.7) < 1e-12);
    close_all(&f);
}

TEST(metrics_without_samples_are_zero) {
    struct fixture f;
    open_all(&f, false);
    CHECK(get(&f, "http_reqs", "count") == 0 && get(&f, "http_reqs", "rate") == 0);
    CHECK(get(&f, "vus", "value") == 0 && get(&f, "vus", "max") == 0);
    CHECK(get(&f, "checks", "rate") == 0 && get(&f, "http_req_duration", "p(95)") == 0);
    CHECK(seen(&f, PN_METRIC_VUS, "min") == 0);
    CHECK_EQ(pn_metrics_view_at(f.view, PN_METRIC_CHECKS)->samples, 0);
    CHECK(pn_metrics_view_at(f.view, PN_METRIC_BUILTIN_COUNT) == NULL);
    close_all(&f);
}

TEST(metrics_counter_rate_without_time_is_zero) {
    struct fixture f;
    open_all(&f, false);
    pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQS, 1, 1, NULL);
    double value = 1;
    CHECK_EQ(pn_metrics_get(f.metrics, "http_reqs", "rate", 0, &f.ledger, &value, NULL), 0);
    CHECK(value == 0);
    close_all(&f);
}

TEST(metrics_aggregates_are_read_exactly) {
    static const struct {
        const char *text;
        int kind; /* -1: refused */
        double percent;
    } cases[] = {
        {"count", PN_AGGREGATE_COUNT, 0},
        {"rate", PN_AGGREGATE_RATE, 0},
        {"value", PN_AGGREGATE_VALUE, 0},
        {"min", PN_AGGREGATE_MIN, 0},
        {"max", PN_AGGREGATE_MAX, 0},
        {"avg", PN_AGGREGATE_AVG, 0},
        {"med", PN_AGGREGATE_MED, 0},
        {"passes", PN_AGGREGATE_PASSES, 0},
        {"fails", PN_AGGREGATE_FAILS, 0},
        {"total", PN_AGGREGATE_TOTAL, 0},
        {"p(0)", PN_AGGREGATE_PERCENTILE, 0},
        {"p(100)", PN_AGGREGATE_PERCENTILE, 100},
        {"p(99.99)", PN_AGGREGATE_PERCENTILE, 99.99},
        {"", -1, 0},
        {"p", -1, 0},
        {"p(", -1, 0},
        {"p()", -1, 0},
        {"p(95", -1, 0},
        {"p95", -1, 0},
        {"p(100.1)", -1, 0},
        {"p(-1)", -1, 0},
        {"p(x)", -1, 0},
        {"p(nan)", -1, 0},
        {"p( 5)", -1, 0},
        {"P(95)", -1, 0},
        {"Avg", -1, 0},
        {"avgs", -1, 0},
        {"p(0x10)", -1, 0},
        {"p(inf)", -1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pn_aggregate a = {PN_AGGREGATE_COUNT, -1};
        int err = pn_aggregate_parse(cases[i].text, strlen(cases[i].text), &a);
        CHECK_EQ(err, cases[i].kind < 0 ? PN_EBAD_CONFIG : 0);
        if (err != 0) continue;
        CHECK_EQ(a.kind, cases[i].kind);
        CHECK(a.percent == cases[i].percent);
    }
}

TEST(metrics_numbers_are_decimal_and_finite) {
    double value;
    static const char *const bad[] = {"",    "+",   ".",     "e5",    "1e",  "1 ",  " 1",
                                      "0x1", "inf", "1e999", "1.2.3", "1e+", "--1", "nan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!pn__metric_number(bad[i], strlen(bad[i]), &value));
    }
    CHECK(pn__metric_number("0.1", 3, &value) && value == 0.1);
    CHECK(pn__metric_number("-2.5e-3", 7, &value) && value == -2.5e-3);
    CHECK(pn__metric_number("1234567", 4, &value) && value == 1234);
    CHECK(!pn__metric_number("1\0002", 3, &value));
    char longest[80];
    memset(longest, '1', sizeof longest);
    CHECK(pn__metric_number(longest, 63, &value));
    CHECK(!pn__metric_number(longest, 64, &value));
}

/* ---- gauges over shards ---- */

TEST(metrics_gauge_is_the_latest_of_all_shards) {
    struct fixture f;
    open_all(&f, false);
    uint32_t id = (uint32_t)reg(&f, "g", PN_GAUGE);
    pn_metrics_record(f.shards[2], id, 7, 50, NULL);
    pn_metrics_record(f.shards[0], id, 8, 70, NULL);
    pn_metrics_record(f.shards[1], id, -9, 60, NULL);
    CHECK(seen(&f, id, "value") == 8 && seen(&f, id, "min") == -9 && seen(&f, id, "max") == 8);
    CHECK_EQ(pn_metrics_view_at(f.view, id)->time_ns, 70);
    pn_metrics_record(f.shards[1], id, 1, 80, NULL);
    CHECK(seen(&f, id, "value") == 1);
    close_all(&f);
}

/* 4 on one worker, then 6 on another, then none on the first: never more than 10 at a time. */
TEST(metrics_level_is_the_sum_with_true_extremes) {
    struct fixture f;
    open_all(&f, false);
    pn_metrics_record(f.shards[0], PN_METRIC_VUS, 4, 1, NULL);
    pn_metrics_record(f.shards[1], PN_METRIC_VUS, 6, 2, NULL);
    CHECK(seen(&f, PN_METRIC_VUS, "value") == 10);
    pn_metrics_record(f.shards[0], PN_METRIC_VUS, 0, 3, NULL);
    pn_metrics_record(f.shards[2], PN_METRIC_VUS, 3, 4, NULL);
    CHECK(seen(&f, PN_METRIC_VUS, "value") == 9);
    CHECK(seen(&f, PN_METRIC_VUS, "min") == 4 && seen(&f, PN_METRIC_VUS, "max") == 10);
    CHECK(get(&f, "vus", "value") == 9 && get(&f, "vus", "max") == 10);
    CHECK_EQ(pn_metrics_view_at(f.view, PN_METRIC_VUS)->samples, 4);
    close_all(&f);
}

TEST(metrics_level_is_not_counted_twice_by_series) {
    struct fixture f;
    open_all(&f, true);
    pn_tag tags[] = {tag("scenario", "a")};
    pn_metrics_record(f.shards[0], PN_METRIC_VUS, 4, 1, &(pn_tags){tags, 1});
    CHECK(get(&f, "vus", "value") == 4 && get(&f, "vus", "max") == 4);
    CHECK(get(&f, "vus{scenario:a}", "value") == 4);
    close_all(&f);
}

/* ---- sub-metrics ---- */

TEST(metrics_sub_metric_sees_samples_with_its_tags) {
    struct fixture f;
    open_all(&f, false);
    uint32_t ok = (uint32_t)sel(&f, "http_reqs{status:200}");
    uint32_t both = (uint32_t)sel(&f, "http_reqs{status:200,method:GET}");
    CHECK_INT(ok, >=, PN_METRIC_BUILTIN_COUNT);
    CHECK_EQ(sel(&f, "http_reqs{ method:\"GET\" , status:200}"), both);
    CHECK_EQ(sel(&f, "http_reqs{status:200}"), ok);
    pn_tag tags[] = {tag("method", "GET"), tag("status", "200"), tag("url", "/")};
    pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){tags, 3});
    pn_metrics_record(f.shards[1], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){tags + 1, 2});
    pn_metrics_record(f.shards[1], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){tags, 1});
    pn_metrics_record(f.shards[1], PN_METRIC_HTTP_REQS, 1, 1, NULL);
    tags[1] = tag("status", "2000");
    pn_metrics_record(f.shards[2], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){tags, 3});
    CHECK(seen(&f, PN_METRIC_HTTP_REQS, "count") == 5);
    CHECK(seen(&f, ok, "count") == 2 && seen(&f, both, "count") == 1);
    CHECK(get(&f, "http_reqs{method:GET,status:200}", "count") == 1);
    close_all(&f);
}

TEST(metrics_expected_responses_are_there_from_the_start) {
    struct fixture f;
    open_all(&f, false);
    CHECK_EQ(sel(&f, "http_req_duration{expected_response:true}"),
             PN_METRIC_HTTP_REQ_DURATION_EXPECTED);
    CHECK(!pn_metrics_wants_tags(f.shards[0]));
    pn_tag yes = tag("expected_response", "true"), no = tag("expected_response", "false");
    pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQ_DURATION, 3, 1, &(pn_tags){&yes, 1});
    pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQ_DURATION, 9, 1, &(pn_tags){&no, 1});
    CHECK(get(&f, "http_req_duration{expected_response:true}", "max") == 3);
    CHECK(get(&f, "http_req_duration", "max") == 9);
    close_all(&f);
}

TEST(metrics_select_refuses) {
    struct fixture f;
    open_registry(&f);
    CHECK_EQ(sel(&f, "nothing"), PN_ENOT_FOUND);
    CHECK_STR(f.message, "no metric 'nothing'");
    CHECK_EQ(sel(&f, "nothing{a:b}"), PN_ENOT_FOUND);
    CHECK_EQ(sel(&f, "http_reqs{a}"), PN_EBAD_CONFIG);
    CHECK_STR(f.message, "'http_reqs{a}': column 11: expected a tag as key:value");
    CHECK_EQ(pn_metrics_count(f.metrics), PN_METRIC_BUILTIN_COUNT);
    close_all(&f);
}

/* ---- sink ---- */

struct heard {
    int count;
    uint32_t id;
    double value;
    uint64_t time_ns;
    uint32_t tags;
    char first[64];
};

static void hear(void *context, const pn_sample *sample) {
    struct heard *h = context;
    h->count++;
    h->id = sample->metric->id;
    h->value = sample->value;
    h->time_ns = sample->time_ns;
    h->tags = sample->tags.count;
    if (h->tags > 0) {
        snprintf(h->first, sizeof h->first, "%.*s", (int)sample->tags.list[0].value_size,
                 sample->tags.list[0].value);
    }
}

TEST(metrics_sink_hears_every_sample_once) {
    struct fixture f;
    open_all(&f, false);
    struct heard heard = {0};
    CHECK(!pn_metrics_wants_tags(f.shards[0]));
    pn_metrics_shard_set_sink(f.shards[0], hear, &heard);
    CHECK(pn_metrics_wants_tags(f.shards[0]) && !pn_metrics_wants_tags(f.shards[1]));
    CHECK_INT(sel(&f, "checks{check:a}"), >, 0);
    CHECK(pn_metrics_wants_tags(f.shards[1]));
    pn_tag a = tag("check", "a");
    pn_metrics_record(f.shards[0], PN_METRIC_CHECKS, 1, 77, &(pn_tags){&a, 1});
    CHECK_EQ(heard.count, 1);
    CHECK_EQ(heard.id, PN_METRIC_CHECKS);
    CHECK(heard.value == 1);
    CHECK_EQ(heard.time_ns, 77);
    CHECK_STR(heard.first, "a");
    pn_metrics_record(f.shards[0], PN_METRIC_ITERATIONS, 2, 78, NULL);
    CHECK_EQ(heard.count, 2);
    CHECK_EQ(heard.tags, 0);
    pn_metrics_record(f.shards[1], PN_METRIC_ITERATIONS, 2, 78, NULL);
    pn_metrics_shard_set_sink(f.shards[0], NULL, NULL);
    pn_metrics_record(f.shards[0], PN_METRIC_ITERATIONS, 2, 78, NULL);
    CHECK_EQ(heard.count, 2);
    CHECK(get(&f, "checks{check:a}", "total") == 1);
    close_all(&f);
}

/* ---- series ---- */

TEST(metrics_series_answer_any_selector) {
    struct fixture f;
    open_all(&f, true);
    CHECK(pn_metrics_wants_tags(f.shards[0]));
    for (int i = 0; i < 30; i++) {
        pn_tag tags[] = {tag("status", i % 3 ? "200" : "404"),
                         tag("method", i % 2 ? "GET" : "PUT")};
        if (i % 5 == 0) {
            pn_tag swap = tags[0];
            tags[0] = tags[1];
            tags[1] = swap;
        }
        pn_metrics_record(f.shards[i % 3], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){tags, 2});
        pn_metrics_record(f.shards[i % 3], PN_METRIC_HTTP_REQ_WAITING, i, 1, &(pn_tags){tags, 2});
    }
    CHECK(get(&f, "http_reqs", "count") == 30);
    CHECK(get(&f, "http_reqs{status:404}", "count") == 10);
    CHECK(get(&f, "http_reqs{method:GET,status:200}", "count") == 10);
    CHECK(get(&f, "http_reqs{method:POST}", "count") == 0);
    CHECK(get(&f, "http_req_waiting{method:GET}", "max") == 29);
    CHECK(get(&f, "http_req_waiting{method:PUT}", "max") == 28);
    CHECK(get(&f, "http_req_waiting{status:404}", "count") == 10);
    int id = sel(&f, "http_reqs{status:200}"); /* late: but the series know */
    CHECK_INT(id, >, 0);
    CHECK(get(&f, "http_reqs{status:200}", "count") == 20);
    close_all(&f);
}

static void remember(void *context, const char *message) {
    char *last = context;
    snprintf(last, PN_METRICS_MESSAGE_BYTES, "%s%s", *last ? "twice: " : "", message);
}

TEST(metrics_series_have_a_limit_and_warn_once) {
    struct fixture f;
    open_registry(&f);
    char warning[PN_METRICS_MESSAGE_BYTES] = "", value[16];
    pn_metrics_keep_series(f.metrics, remember, warning);
    f.shards[0] = pn_metrics_shard_create(f.metrics, &f.ledger);
    f.view = pn_metrics_view_create(f.metrics, &f.ledger);
    for (int i = 0; i < PN_METRIC_SERIES_MAX; i++) {
        snprintf(value, sizeof value, "%d", i);
        pn_tag t = tag("url", value);
        pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){&t, 1});
    }
    CHECK_STR(warning, "");
    for (int i = 0; i < 5; i++) {
        snprintf(value, sizeof value, "x%d", i);
        pn_tag t = tag("url", value);
        pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){&t, 1});
    }
    CHECK_STR(warning, "too many sets of tags (100000 are kept, of at most 64 tags): from "
                       "'http_reqs' on, further ones are counted in their metric only");
    pn_tag known = tag("url", "7");
    pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQS, 1, 1, &(pn_tags){&known, 1});
    CHECK(get(&f, "http_reqs{url:7}", "count") == 2);
    CHECK(get(&f, "http_reqs{url:x1}", "count") == 0);
    CHECK(seen(&f, PN_METRIC_HTTP_REQS, "count") == PN_METRIC_SERIES_MAX + 6);
    CHECK_EQ(pn_metrics_view_overflow(f.view), 5);
    CHECK_EQ(pn_metrics_view_lost(f.view), 0);
    close_all(&f);
}

TEST(metrics_series_take_so_many_tags) {
    struct fixture f;
    open_all(&f, true);
    pn_tag tags[PN_METRIC_SERIES_TAGS_MAX + 1];
    char keys[PN_METRIC_SERIES_TAGS_MAX + 1][16];
    for (int i = 0; i <= PN_METRIC_SERIES_TAGS_MAX; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        tags[i] = tag(keys[i], "v");
    }
    pn_tags most = {tags, PN_METRIC_SERIES_TAGS_MAX}, more = {tags, PN_METRIC_SERIES_TAGS_MAX + 1};
    pn_metrics_record(f.shards[0], PN_METRIC_CHECKS, 1, 1, &most);
    pn_metrics_record(f.shards[0], PN_METRIC_CHECKS, 1, 1, &more);
    CHECK(get(&f, "checks{k63:v}", "total") == 1 && get(&f, "checks", "total") == 2);
    CHECK(seen(&f, PN_METRIC_CHECKS, "total") == 2);
    CHECK_EQ(pn_metrics_view_overflow(f.view), 1);
    close_all(&f);
}

/* ---- questions that have no answer ---- */

TEST(metrics_get_refuses) {
    struct fixture f;
    open_all(&f, false);
    static const struct {
        const char *selector, *aggregate;
        int code;
        const char *message;
    } cases[] = {
        {"nothing", "count", PN_ENOT_FOUND, "no metric 'nothing'"},
        {"http_reqs{a:b}", "count", PN_ENOT_FOUND,
         "'http_reqs{a:b}' is not recorded: name it in a threshold (only tests keep every tag)"},
        {"http_reqs{a", "count", PN_EBAD_CONFIG,
         "'http_reqs{a': column 12: expected a closing brace"},
        {"http_reqs", "avg", PN_EBAD_CONFIG,
         "'http_reqs' is a counter, which does not have that aggregate"},
        {"http_reqs", "p(101)", PN_EBAD_CONFIG,
         "'p(101)' is no aggregate: count, rate, value, min, max, avg, med, p(0..100), passes, "
         "fails, total"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double value = 5;
        int err = pn_metrics_get(f.metrics, cases[i].selector, cases[i].aggregate, 1, &f.ledger,
                                 &value, f.message);
        CHECK_EQ(err, cases[i].code);
        CHECK_STR(f.message, cases[i].message);
        CHECK(value == 0);
    }
    close_all(&f);
}

/* ---- reset ---- */

TEST(metrics_reset_starts_at_zero_in_every_shard) {
    struct fixture f;
    open_all(&f, true);
    pn_tag t = tag("a", "b");
    pn_tags tags = {&t, 1};
    for (int i = 0; i < 3; i++) {
        pn_metrics_record(f.shards[i], PN_METRIC_HTTP_REQS, 1, 1, &tags);
        pn_metrics_record(f.shards[i], PN_METRIC_HTTP_REQ_WAITING, 5, 1, &tags);
        pn_metrics_record(f.shards[i], PN_METRIC_CHECKS, 1, 1, &tags);
        pn_metrics_record(f.shards[i], PN_METRIC_VUS, 5, 1, &tags);
        pn_metrics_record(f.shards[i], PN_METRIC_CHECKS, NAN, 1, &tags);
    }
    pn_metrics_reset(f.metrics);
    CHECK(get(&f, "http_reqs", "count") == 0 && get(&f, "vus", "value") == 0);
    pn_metrics_record(f.shards[1], PN_METRIC_HTTP_REQS, 1, 1, &tags); /* the others are stale */
    pn_metrics_record(f.shards[1], PN_METRIC_VUS, 2, 1, &tags);
    CHECK(seen(&f, PN_METRIC_HTTP_REQS, "count") == 1);
    CHECK(get(&f, "http_reqs{a:b}", "count") == 1);
    CHECK(get(&f, "http_req_waiting", "count") == 0 && get(&f, "checks{a:b}", "total") == 0);
    CHECK(get(&f, "vus", "value") == 2 && get(&f, "vus", "max") == 2);
    CHECK_EQ(pn_metrics_view_lost(f.view), 0);
    close_all(&f);
}

/* ---- lost samples and memory ---- */

TEST(metrics_count_what_they_cannot_take) {
    struct fixture f;
    open_all(&f, false);
    pn_metrics_record(f.shards[0], PN_METRIC_HTTP_REQS, INFINITY, 1, NULL);
    pn_metrics_record(f.shards[1], PN_METRIC_HTTP_REQ_WAITING, NAN, 1, NULL);
    f.ledger.limit_bytes = pn_ledger_live(&f.ledger);
    pn_metrics_record(f.shards[2], PN_METRIC_HTTP_REQS, 1, 1, NULL);
    f.ledger.limit_bytes = INT64_MAX;
    CHECK(seen(&f, PN_METRIC_HTTP_REQS, "count") == 0);
    CHECK_EQ(pn_metrics_view_lost(f.view), 3);
    pn_metrics_record(f.shards[2], PN_METRIC_HTTP_REQS, 1, 1, NULL);
    CHECK(seen(&f, PN_METRIC_HTTP_REQS, "count") == 1);
    close_all(&f);
}

/* Everything once, with `room` bytes. True if all of it worked. */
static bool try_all(struct fixture *f, int64_t room) {
    f->ledger.limit_bytes = room;
    f->metrics = pn_metrics_create(&f->ledger);
    if (f->metrics == NULL) return false;
    pn_metrics_keep_series(f->metrics, NULL, NULL);
    int custom = reg(f, "custom", PN_TREND), sub = sel(f, "custom{a:b}");
    bool ok = custom >= 0 && sub >= 0;
    if (custom < 0) CHECK_STR(f->message, "metric 'custom': out of memory");
    pn_metrics_shard *shard = pn_metrics_shard_create(f->metrics, &f->ledger);
    pn_metrics_view *view = pn_metrics_view_create(f->metrics, &f->ledger);
    pn_tag t = tag("a", "b");
    for (uint32_t id = 0; shard != NULL && id < pn_metrics_count(f->metrics); id++) {
        if (pn_metrics_at(f->metrics, id)->parent != NULL) continue;
        pn_metrics_record(shard, id, 1, 1, &(pn_tags){&t, 1});
    }
    ok = ok && shard != NULL && view != NULL && pn_metrics_view_refresh(view) == 0;
    ok = ok && pn_metrics_view_lost(view) == 0 && pn_metrics_view_overflow(view) == 0;
    double value;
    ok = ok && pn_metrics_get(f->metrics, "custom{a:b}", "count", 1, &f->ledger, &value, NULL) == 0;
    if (ok) CHECK(value == 1);
    pn_metrics_view_destroy(view);
    pn_metrics_shard_destroy(shard);
    pn_metrics_destroy(f->metrics);
    return ok;
}

TEST(metrics_survive_every_lack_of_memory) {
    struct fixture f = {.heap = pn_heap_create(false)};
    pn_ledger_init_shared(&f.ledger, "test", f.heap);
    int64_t room = 0;
    while (!try_all(&f, room)) {
        CHECK_EQ(pn_ledger_live(&f.ledger), 0);
        room += 509;
        CHECK_INT(room, <, 10000000);
    }
    CHECK_EQ(pn_ledger_live(&f.ledger), 0);
    pn_heap_destroy(f.heap);
}

/* ---- threads ---- */

#define RECORDS 60000

struct worker {
    struct fixture *f;
    pn_metrics_shard *shard;
    _Atomic uint32_t *latest; /* the newest id */
    uint64_t to_newest;
};

static void *work(void *arg) {
    struct worker *w = arg;
    pn_tag t = tag("k", "v");
    for (int i = 0; i < RECORDS; i++) {
        uint32_t newest = atomic_load(w->latest);
        w->to_newest += newest >= PN_METRIC_BUILTIN_COUNT;
        pn_metrics_record(w->shard, PN_METRIC_HTTP_REQS, 1, 1, NULL);
        pn_metrics_record(w->shard, PN_METRIC_HTTP_REQ_WAITING, i % 100, 1, &(pn_tags){&t, 1});
        pn_metrics_record(w->shard, PN_METRIC_VUS, i % 7, (uint64_t)i, NULL);
        pn_metrics_record(w->shard, newest, 1, 1, &(pn_tags){&t, 1});
    }
    return NULL;
}

static void *grow(void *arg) {
    struct worker *w = arg;
    char name[32], message[PN_METRICS_MESSAGE_BYTES];
    for (int i = 0; i < 300; i++) {
        int size = snprintf(name, sizeof name, "grown_%d", i);
        int id = pn_metrics_register(w->f->metrics, name, (size_t)size, PN_COUNTER, NULL, message);
        CHECK_INT(id, >, 0);
        atomic_store(w->latest, (uint32_t)id);
        size = snprintf(name, sizeof name, "grown_%d{k:v}", i);
        CHECK_INT(pn_metrics_select(w->f->metrics, name, (size_t)size, message), >, 0);
        CHECK_EQ(pn_metrics_view_refresh(w->f->view), 0);
        const pn_metric_data *reqs = pn_metrics_view_at(w->f->view, PN_METRIC_HTTP_REQS);
        CHECK_INT(reqs->value, <=, 2 * RECORDS);
    }
    return NULL;
}

TEST(metrics_ids_grow_while_others_record) {
    struct fixture f;
    open_all(&f, false);
    _Atomic uint32_t latest = PN_METRIC_ITERATIONS;
    struct worker w[3] = {
        {&f, f.shards[0], &latest, 0}, {&f, f.shards[1], &latest, 0}, {&f, NULL, &latest, 0}};
    pthread_t threads[3];
    CHECK_EQ(pthread_create(&threads[0], NULL, work, &w[0]), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, work, &w[1]), 0);
    CHECK_EQ(pthread_create(&threads[2], NULL, grow, &w[2]), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    CHECK(seen(&f, PN_METRIC_HTTP_REQS, "count") == 2 * RECORDS);
    CHECK(seen(&f, PN_METRIC_HTTP_REQ_WAITING, "count") == 2 * RECORDS);
    CHECK(seen(&f, PN_METRIC_VUS, "value") == 2 * ((RECORDS - 1) % 7));
    CHECK(seen(&f, PN_METRIC_VUS, "max") <= 12);
    double grown = 0;
    for (uint32_t id = PN_METRIC_BUILTIN_COUNT; id < pn_metrics_count(f.metrics); id++) {
        if (pn_metrics_at(f.metrics, id)->parent == NULL) grown += seen(&f, id, "count");
    }
    CHECK(grown == (double)(w[0].to_newest + w[1].to_newest));
    CHECK_EQ(pn_metrics_view_lost(f.view), 0);
    close_all(&f);
}
