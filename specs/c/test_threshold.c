/* Thresholds: k6's grammar with good and bad texts, judgement, aborting, what cannot be added. */
#include "load/threshold.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/rand.h"
#include "test.h"

#define S 1000000000ULL

/* ---- the grammar ---- */

struct good {
    const char *text;
    pn_aggregate_kind kind;
    double percent;
    pn_threshold_operator operator;
    double value;
};

static const struct good good[] = {
    {"count>100", PN_AGGREGATE_COUNT, 0, PN_THRESHOLD_GREATER, 100},
    {"rate<0.01", PN_AGGREGATE_RATE, 0, PN_THRESHOLD_LESS, 0.01},
    {"value >= 3", PN_AGGREGATE_VALUE, 0, PN_THRESHOLD_GREATER_EQUAL, 3},
    {"avg<=200.5", PN_AGGREGATE_AVG, 0, PN_THRESHOLD_LESS_EQUAL, 200.5},
    {"min==1", PN_AGGREGATE_MIN, 0, PN_THRESHOLD_EQUAL, 1},
    {"max===1", PN_AGGREGATE_MAX, 0, PN_THRESHOLD_EQUAL, 1},
    {"med!=0", PN_AGGREGATE_MED, 0, PN_THRESHOLD_NOT_EQUAL, 0},
    {"p(95)<200", PN_AGGREGATE_PERCENTILE, 95, PN_THRESHOLD_LESS, 200},
    {"p(99.99)<1000", PN_AGGREGATE_PERCENTILE, 99.99, PN_THRESHOLD_LESS, 1000},
    {"p(0)>0", PN_AGGREGATE_PERCENTILE, 0, PN_THRESHOLD_GREATER, 0},
    {"p(100)<1", PN_AGGREGATE_PERCENTILE, 100, PN_THRESHOLD_LESS, 1},
    {"  p(95)\t <  200 \n", PN_AGGREGATE_PERCENTILE, 95, PN_THRESHOLD_LESS, 200},
    {"value>-5", PN_AGGREGATE_VALUE, 0, PN_THRESHOLD_GREATER, -5},
    {"count<1e6", PN_AGGREGATE_COUNT, 0, PN_THRESHOLD_LESS, 1e6},
};

TEST(threshold_takes_the_grammar) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        pn_threshold_expression e;
        pn_threshold_error error = {0, ""};
        int err = pn_threshold_parse(good[i].text, strlen(good[i].text), &e, &error);
        if (err != 0) pn_test_fail(__FILE__, __LINE__, "'%s': %s", good[i].text, error.text);
        CHECK_EQ(e.aggregate.kind, good[i].kind);
        CHECK(e.aggregate.percent == good[i].percent);
        CHECK_EQ(e.operator, good[i].operator);
        CHECK(e.value == good[i].value);
    }
}

struct bad {
    const char *text;
    size_t at;
    const char *error;
};

#define AGGREGATIONS "an aggregation (count, rate, value, avg, min, max, med or p(N))"
#define OPERATORS    "an operator (<, <=, >, >=, ==, === or !=)"

static const struct bad bad[] = {
    {"", 0, "column 1: expected " AGGREGATIONS ", found the end"},
    {"   ", 3, "column 4: expected " AGGREGATIONS ", found the end"},
    {"p95<200", 0, "column 1: expected " AGGREGATIONS ", found 'p95<200'"},
    {" mean<1", 1, "column 2: expected " AGGREGATIONS ", found 'mean<1'"},
    {"passes>1", 0, "column 1: expected " AGGREGATIONS ", found 'passes>1'"},
    {"AVG<1", 0, "column 1: expected " AGGREGATIONS ", found 'AVG<1'"},
    {"<200", 0, "column 1: expected " AGGREGATIONS ", found '<200'"},
    {"p()<1", 2, "column 3: expected a number from 0 to 100, found ')<1'"},
    {"p(101)<1", 2, "column 3: expected a number from 0 to 100, found '101)<1'"},
    {"p(-1)<1", 2, "column 3: expected a number from 0 to 100, found '-1)<1'"},
    {"p( 95)<1", 2, "column 3: expected a number from 0 to 100, found ' 95)<1'"},
    {"p(95<1", 4, "column 5: expected a closing parenthesis, found '<1'"},
    {"p(95", 4, "column 5: expected a closing parenthesis, found the end"},
    {"avg", 3, "column 4: expected " OPERATORS ", found the end"},
    {"avg 200", 4, "column 5: expected " OPERATORS ", found '200'"},
    {"avg=200", 3, "column 4: expected " OPERATORS ", found '=200'"},
    {"avg!200", 3, "column 4: expected " OPERATORS ", found '!200'"},
    {"avg<", 4, "column 5: expected a number, found the end"},
    {"avg<abc", 4, "column 5: expected a number, found 'abc'"},
    {"avg<>2", 4, "column 5: expected a number, found '>2'"},
    {"avg!==2", 5, "column 6: expected a number, found '=2'"},
    {"avg====2", 6, "column 7: expected a number, found '=2'"},
    {"avg<1.2.3", 4, "column 5: expected a number, found '1.2.3'"},
    {"avg<1e999", 4, "column 5: expected a number, found '1e999'"},
    {"avg<inf", 4, "column 5: expected a number, found 'inf'"},
    {"avg<200ms", 7, "column 8: expected the end (values have no unit), found 'ms'"},
    {"avg<200 && max<3", 8, "column 9: expected the end (values have no unit), found '&& max<3'"},
    {"avg<0x10", 5, "column 6: expected the end (values have no unit), found 'x10'"},
};

TEST(threshold_says_where_and_what_was_expected) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pn_threshold_expression e;
        pn_threshold_error error = {999, ""};
        CHECK_EQ(pn_threshold_parse(bad[i].text, strlen(bad[i].text), &e, &error), PN_EBAD_CONFIG);
        CHECK_STR(error.text, bad[i].error);
        CHECK_EQ(error.at, bad[i].at);
    }
}

TEST(threshold_text_has_a_limit) {
    char text[PN_THRESHOLD_TEXT_MAX_BYTES + 2];
    memset(text, ' ', sizeof text);
    memcpy(text, "avg<1", 5);
    pn_threshold_expression e;
    pn_threshold_error error;
    CHECK_EQ(pn_threshold_parse(text, PN_THRESHOLD_TEXT_MAX_BYTES, &e, &error), 0);
    CHECK_EQ(pn_threshold_parse(text, PN_THRESHOLD_TEXT_MAX_BYTES + 1, &e, &error), PN_ETOO_LARGE);
    CHECK_STR(error.text, "over 1024 bytes");
    pn_threshold_parts parts;
    memcpy(text, "checks: rate>1", 14);
    CHECK_EQ(pn_threshold_split(text, PN_THRESHOLD_TEXT_MAX_BYTES, &parts, &error), 0);
    CHECK_EQ(pn_threshold_split(text, PN_THRESHOLD_TEXT_MAX_BYTES + 1, &parts, &error),
             PN_ETOO_LARGE);
}

TEST(threshold_entry_carries_its_metric) {
    static const struct {
        const char *text, *metric, *expression;
    } cases[] = {
        {"checks: rate>0.99", "checks", " rate>0.99"},
        {"checks:rate>0.99", "checks", "rate>0.99"},
        {"  checks  :rate>0.99", "checks", "rate>0.99"},
        {"http_req_failed{scenario:orders}: rate<0.01", "http_req_failed{scenario:orders}",
         " rate<0.01"},
        {"m{url:http://h:1/{id}} : avg<1", "m{url:http://h:1/{id}}", " avg<1"},
        {": avg<1", "", " avg<1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pn_threshold_parts parts;
        pn_threshold_error error;
        const char *text = cases[i].text;
        CHECK_EQ(pn_threshold_split(text, strlen(text), &parts, &error), 0);
        CHECK_EQ(parts.metric_size, strlen(cases[i].metric));
        CHECK_MEM(text + parts.metric_at, cases[i].metric, parts.metric_size);
        CHECK_STR(text + parts.expression_at, cases[i].expression);
    }
    static const struct bad refused[] = {
        {"", 0, "column 1: expected a colon between metric and expression, found the end"},
        {"avg<1", 5, "column 6: expected a colon between metric and expression, found the end"},
        {"m{a:1}", 6, "column 7: expected a colon between metric and expression, found the end"},
        {"m{a:1} avg<1", 7,
         "column 8: expected a colon between metric and expression, found 'avg<1'"},
        {"m{a:1: avg<1", 12, "column 13: expected a closing brace, found the end"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        pn_threshold_parts parts;
        pn_threshold_error error;
        const char *text = refused[i].text;
        CHECK_EQ(pn_threshold_split(text, strlen(text), &parts, &error), PN_EBAD_CONFIG);
        CHECK_STR(error.text, refused[i].error);
        CHECK_EQ(error.at, refused[i].at);
    }
}

/* Whatever the bytes: no crash, and an error lies in the text. */
TEST(threshold_survives_random_bytes) {
    static const char alphabet[] = "pavgmedcountrelinx()<>=!.0159e+-{}: \t";
    pn_rand rand = {.key = 6};
    int parsed = 0;
    for (int i = 0; i < 300000; i++) {
        char text[24];
        size_t size = pn_rand_below(&rand, sizeof text + 1);
        size_t at = i % 2 ? 0 : (size_t)snprintf(text, sizeof text, "p(95)<");
        for (; at < size; at++) text[at] = alphabet[pn_rand_below(&rand, sizeof alphabet)];
        pn_threshold_expression e;
        pn_threshold_parts parts;
        pn_threshold_error error = {0, ""};
        int err = pn_threshold_parse(text, size, &e, &error);
        CHECK_INT(error.at, <=, size);
        CHECK((err == 0) == (error.text[0] == '\0'));
        parsed += err == 0;
        if (pn_threshold_split(text, size, &parts, &error) != 0) continue;
        CHECK_INT(parts.metric_at + parts.metric_size, <, parts.expression_at);
        CHECK_INT(parts.expression_at, <=, size);
    }
    CHECK_INT(parsed, >, 100);
}

TEST(threshold_operators_compare) {
    static const struct {
        const char *text;
        bool below, at, above; /* holds for 1, 2, 3 */
    } cases[] = {
        {"avg<2", true, false, false},  {"avg<=2", true, true, false},
        {"avg>2", false, false, true},  {"avg>=2", false, true, true},
        {"avg==2", false, true, false}, {"avg===2", false, true, false},
        {"avg!=2", true, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pn_threshold_expression e;
        pn_threshold_error error;
        CHECK_EQ(pn_threshold_parse(cases[i].text, strlen(cases[i].text), &e, &error), 0);
        CHECK_EQ(pn_threshold_holds(&e, 1), cases[i].below);
        CHECK_EQ(pn_threshold_holds(&e, 2), cases[i].at);
        CHECK_EQ(pn_threshold_holds(&e, 3), cases[i].above);
    }
}

/* ---- the set ---- */

struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_metrics *metrics;
    pn_metrics_shard *shard;
    pn_metrics_view *view;
    pn_thresholds *set;
    pn_threshold_error error;
};

static void open_all(struct fixture *f) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    f->metrics = pn_metrics_create(&f->ledger);
    f->shard = pn_metrics_shard_create(f->metrics, &f->ledger);
    f->view = pn_metrics_view_create(f->metrics, &f->ledger);
    f->set = pn_thresholds_create(f->metrics, &f->ledger);
    CHECK(f->set != NULL);
}

static void close_all(struct fixture *f) {
    pn_thresholds_destroy(f->set);
    pn_metrics_view_destroy(f->view);
    pn_metrics_shard_destroy(f->shard);
    pn_metrics_destroy(f->metrics);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

static int add(struct fixture *f, const char *metric, const char *text) {
    return pn_thresholds_add(f->set, metric, text, NULL, &f->error);
}

static pn_thresholds_verdict judge(struct fixture *f, uint64_t elapsed_ns) {
    CHECK_EQ(pn_metrics_view_refresh(f->view), 0);
    return pn_thresholds_evaluate(f->set, f->view, elapsed_ns);
}

TEST(thresholds_judge_each_type) {
    struct fixture f;
    open_all(&f);
    CHECK_EQ(add(&f, "http_reqs", "count>=3"), 0);
    CHECK_EQ(add(&f, "http_reqs", "rate<1"), 0);
    CHECK_EQ(add(&f, "vus", "value===4"), 0);
    CHECK_EQ(add(&f, "checks", "rate>0.9"), 0);
    CHECK_EQ(add(&f, NULL, "http_req_duration: p(95)<200"), 0);
    CHECK_EQ(add(&f, NULL, " http_req_failed{scenario:orders} : rate < 0.01 "), 0);
    pn_tag tag = {"scenario", "orders", 8, 6};
    for (int i = 0; i < 3; i++) {
        pn_metrics_record(f.shard, PN_METRIC_HTTP_REQS, 1, 1, NULL);
        pn_metrics_record(f.shard, PN_METRIC_CHECKS, i > 0, 1, NULL);
        pn_metrics_record(f.shard, PN_METRIC_HTTP_REQ_DURATION, 100 * i, 1, NULL);
        pn_metrics_record(f.shard, PN_METRIC_HTTP_REQ_FAILED, i == 1, 1,
                          i == 2 ? &(pn_tags){&tag, 1} : NULL);
    }
    pn_metrics_record(f.shard, PN_METRIC_VUS, 4, 1, NULL);
    pn_thresholds_verdict verdict = judge(&f, 2 * S);
    static const struct {
        const char *metric, *text;
        bool ok;
        double observed;
    } wanted[] = {
        {"http_reqs", "count>=3", true, 3},
        {"http_reqs", "rate<1", false, 1.5},
        {"vus", "value===4", true, 4},
        {"checks", "rate>0.9", false, 2.0 / 3},
        {"http_req_duration", "p(95)<200", true, 190},
        {"http_req_failed{scenario:orders}", "rate < 0.01", true, 0},
    };
    CHECK_EQ(pn_thresholds_count(f.set), sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < pn_thresholds_count(f.set); i++) {
        const pn_threshold *t = pn_thresholds_at(f.set, i);
        CHECK_STR(t->metric->name, wanted[i].metric);
        CHECK_STR(t->text, wanted[i].text);
        CHECK_EQ(t->ok, wanted[i].ok);
        CHECK(t->has_samples);
        CHECK(t->observed > wanted[i].observed - 1e-9 && t->observed < wanted[i].observed + 1e-9);
    }
    CHECK_EQ(verdict.failed, 2);
    CHECK(!verdict.should_abort && verdict.cause == NULL);
    close_all(&f);
}

TEST(thresholds_without_samples_pass) {
    struct fixture f;
    open_all(&f);
    CHECK_EQ(add(&f, "http_reqs", "count>0"), 0);
    CHECK_EQ(add(&f, "checks{check:x}", "rate>0.5"), 0);
    CHECK(pn_thresholds_at(f.set, 0)->ok);
    CHECK_EQ(pn_thresholds_evaluate(f.set, f.view, 0).failed, 0); /* the view knows no metric yet */
    CHECK_EQ(judge(&f, S).failed, 0);
    CHECK(!pn_thresholds_at(f.set, 0)->has_samples && pn_thresholds_at(f.set, 0)->observed == 0);
    pn_metrics_record(f.shard, PN_METRIC_HTTP_REQS, 0, 1, NULL);
    CHECK_EQ(judge(&f, S).failed, 1);
    close_all(&f);
}

TEST(thresholds_abort_after_their_delay) {
    struct fixture f;
    open_all(&f);
    pn_threshold_options late = {true, 10 * S}, never = {false, 0}, now = {true, 0};
    pn_threshold_error *error = &f.error;
    CHECK_EQ(pn_thresholds_add(f.set, "checks", "rate>0.9", &never, error), 0);
    CHECK_EQ(pn_thresholds_add(f.set, "checks", "rate>0.8", &late, error), 0);
    CHECK_EQ(pn_thresholds_add(f.set, "http_reqs", "count<1", &now, error), 0);
    pn_metrics_record(f.shard, PN_METRIC_CHECKS, 0, 1, NULL);
    pn_thresholds_verdict verdict = judge(&f, 10 * S); /* not past it yet, as in k6 */
    CHECK_EQ(verdict.failed, 2);
    CHECK(!verdict.should_abort);
    verdict = judge(&f, 10 * S + 1);
    CHECK(verdict.should_abort && verdict.cause == pn_thresholds_at(f.set, 1));
    pn_metrics_record(f.shard, PN_METRIC_HTTP_REQS, 1, 1, NULL);
    verdict = judge(&f, 0);
    CHECK_EQ(verdict.failed, 3);
    CHECK(verdict.should_abort && verdict.cause == pn_thresholds_at(f.set, 2));
    CHECK(judge(&f, 11 * S).cause == pn_thresholds_at(f.set, 1)); /* the first of two */
    for (int i = 0; i < 9; i++) pn_metrics_record(f.shard, PN_METRIC_CHECKS, 1, 1, NULL);
    CHECK_EQ(judge(&f, 11 * S).failed, 2); /* 0.9 is not above 0.9; above 0.8 it is */
    CHECK(pn_thresholds_at(f.set, 1)->ok);
    close_all(&f);
}

TEST(thresholds_know_what_a_type_can_be_asked) {
    static const char *const aggregations[] = {"count", "rate", "value", "avg",
                                               "min",   "max",  "med",   "p(95)"};
    static const struct {
        const char *metric;
        unsigned fits; /* bit i: aggregations[i] */
        const char *expected;
    } types[] = {
        {"http_reqs", 0x03, "count or rate, because http_reqs is a counter"},
        {"vus", 0x04, "value, because vus is a gauge"},
        {"checks", 0x02, "rate, because checks is a rate"},
        {"http_req_waiting", 0xf8,
         "avg, min, max, med or p(N), because http_req_waiting is a trend"},
    };
    struct fixture f;
    open_all(&f);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (unsigned i = 0; i < 8; i++) {
            char text[64], wanted[PN_METRICS_MESSAGE_BYTES];
            snprintf(text, sizeof text, " %s>0", aggregations[i]);
            bool fits = (types[t].fits >> i) & 1;
            CHECK_EQ(add(&f, types[t].metric, text), fits ? 0 : PN_EBAD_CONFIG);
            if (fits) continue;
            snprintf(wanted, sizeof wanted, "column 2: expected %s", types[t].expected);
            CHECK_STR(f.error.text, wanted);
            CHECK_EQ(f.error.at, 1);
        }
    }
    close_all(&f);
}

TEST(thresholds_refuse_without_a_trace) {
    static const struct {
        const char *metric, *text;
        size_t at;
        const char *error;
    } cases[] = {
        {"nothing", "rate>0", 0, "no metric 'nothing'"},
        {"nothing{a:b}", "rate>0", 0, "no metric 'nothing'"},
        {NULL, "  nothing: rate>0", 2, "no metric 'nothing'"},
        {NULL, ": rate>0", 0, "no metric ''"},
        {"checks{a}", "rate>0", 7, "column 8: expected a tag as key:value"},
        {NULL, " checks{a}: rate>0", 8, "column 9: expected a tag as key:value"},
        {"checks{a:b", "rate>0", 10, "column 11: expected a closing brace"},
        {NULL, "checks{a:b}: rate>", 18, "column 19: expected a number, found the end"},
        {"checks{a:b}", "avg>0", 0, "column 1: expected rate, because checks is a rate"},
        {NULL, "checks{a:b}: avg>0", 13, "column 14: expected rate, because checks is a rate"},
    };
    struct fixture f;
    open_all(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ(add(&f, cases[i].metric, cases[i].text), PN_EBAD_CONFIG);
        CHECK_STR(f.error.text, cases[i].error);
        CHECK_EQ(f.error.at, cases[i].at);
    }
    CHECK_EQ(pn_thresholds_count(f.set), 0);
    CHECK_EQ(pn_metrics_count(f.metrics), PN_METRIC_BUILTIN_COUNT);
    close_all(&f);
}

TEST(thresholds_name_metrics_and_sub_metrics) {
    struct fixture f;
    open_all(&f);
    CHECK_EQ(add(&f, "iteration_errors{scenario:a}", "count<5"), 0);
    CHECK_EQ(add(&f, "checks", "rate>0.5"), 0);
    CHECK(pn_thresholds_name(f.set, PN_METRIC_ITERATION_ERRORS));
    CHECK(pn_thresholds_name(f.set, PN_METRIC_CHECKS));
    CHECK(pn_thresholds_name(f.set, PN_METRIC_BUILTIN_COUNT)); /* the sub-metric itself */
    CHECK(!pn_thresholds_name(f.set, PN_METRIC_ITERATIONS));
    close_all(&f);
}

TEST(thresholds_have_a_limit) {
    struct fixture f;
    open_all(&f);
    for (int i = 0; i < PN_THRESHOLDS_MAX; i++) CHECK_EQ(add(&f, "checks", "rate>0"), 0);
    CHECK_EQ(add(&f, "checks", "rate>0"), PN_ELIMIT);
    CHECK_STR(f.error.text, "more than 1000 thresholds");
    CHECK_EQ(pn_thresholds_count(f.set), PN_THRESHOLDS_MAX);
    close_all(&f);
}

TEST(thresholds_survive_every_lack_of_memory) {
    struct fixture f;
    open_all(&f);
    int64_t before = pn_ledger_live(&f.ledger);
    bool done = false;
    for (int64_t room = 0; !done; room += 16) {
        CHECK_INT(room, <, 100000);
        f.ledger.limit_bytes = before + room;
        pn_thresholds *set = pn_thresholds_create(f.metrics, &f.ledger);
        if (set == NULL) continue;
        int err = 0;
        for (int i = 0; i < 20 && err == 0; i++) {
            err = pn_thresholds_add(set, "checks", "rate>0.5", NULL, &f.error);
            CHECK_EQ(pn_thresholds_count(set), err == 0 ? i + 1 : i);
        }
        if (err != 0) CHECK_EQ(err, PN_ENOMEM);
        if (err != 0) CHECK_STR(f.error.text, "out of memory");
        done = err == 0;
        pn_thresholds_destroy(set);
        CHECK_EQ(pn_ledger_live(&f.ledger), before);
    }
    close_all(&f);
}
