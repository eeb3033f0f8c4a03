/* result_json.c - a run's result as JSON: what --summary-export writes and the summary hook
 * gets. */
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "core/json.h"
#include "load/result.h"

#define VERSION "1.0.0" /* of this layout */

/* What every trend has, beside what was asked for. */
static const char *const trend_stats[] = {"avg",   "min",   "med",     "max",   "p(90)",
                                          "p(95)", "p(99)", "p(99.9)", "count", NULL};
static const char *const counter_stats[] = {"count", "rate", NULL};
static const char *const gauge_stats[] = {"value", "min", "max", NULL};
static const char *const rate_stats[] = {"rate", "passes", "fails", NULL};

static const char *const *stats_of(pn_metric_type type) {
    switch (type) {
    case PN_COUNTER: return counter_stats;
    case PN_GAUGE: return gauge_stats;
    case PN_RATE: return rate_stats;
    default: return trend_stats;
    }
}

/* ---- pieces ---- */

static void key(pn_json_writer *w, const char *name) { pn_json_write_key(w, name, strlen(name)); }

/* Bytes of a script that are no UTF-8 are shown as U+FFFD. */
static void mend(pn_json_writer *w, const char *value, size_t size) {
    pn_buf mended;
    pn_buf_init(&mended, w->out->alloc);
    for (size_t i = 0; i < size;) {
        size_t n = pn_utf8_length(value + i, size - i);
        if (n == 0) {
            pn_buf_add(&mended, "\xef\xbf\xbd", 3);
        } else {
            pn_buf_add(&mended, value + i, n);
        }
        i += n > 0 ? n : 1;
    }
    pn_json_write_string(w, mended.data, mended.size);
    pn_buf_close(&mended);
}

static bool is_utf8(const char *value, size_t size) {
    for (size_t i = 0, n; i < size; i += n) {
        n = pn_utf8_length(value + i, size - i);
        if (n == 0) return false;
    }
    return true;
}

static void text(pn_json_writer *w, const char *name, const char *value) {
    size_t size = strlen(value);
    key(w, name);
    if (is_utf8(value, size)) {
        pn_json_write_string(w, value, size);
    } else {
        mend(w, value, size);
    }
}

static void integer(pn_json_writer *w, const char *name, uint64_t value) {
    key(w, name);
    pn_json_write_int(w, value <= INT64_MAX ? (int64_t)value : INT64_MAX);
}

static void number(pn_json_writer *w, const char *name, double value) {
    key(w, name);
    if (isfinite(value)) {
        pn_json_write_double(w, value);
    } else {
        pn_json_write_null(w);
    }
}

static void boolean(pn_json_writer *w, const char *name, bool value) {
    key(w, name);
    pn_json_write_bool(w, value);
}

static void seconds(pn_json_writer *w, const char *name, uint64_t ns) {
    number(w, name, (double)ns * 1e-9);
}

static void begin_object(pn_json_writer *w, const char *name) {
    key(w, name);
    pn_json_begin_object(w);
}

static void begin_array(pn_json_writer *w, const char *name) {
    key(w, name);
    pn_json_begin_array(w);
}

static void pairs(pn_json_writer *w, const char *name, const pn_pairs *list) {
    begin_object(w, name);
    for (uint32_t i = 0; i < list->count; i++) text(w, list->list[i].key, list->list[i].value);
    pn_json_end_object(w);
}

/* ---- configuration ---- */

static void write_option(pn_json_writer *w, const pn_scenario *s, const pn_option *option) {
    const uint64_t *value = (const uint64_t *)(const void *)((const char *)s + option->offset);
    char duration[PN_UNITS_TEXT_BYTES];
    if (option->kind == PN_OPTION_COUNT) {
        integer(w, option->key, *value);
    } else {
        text(w, option->key, pn_units_format_duration(*value, duration));
    }
}

void pn_scenario_write(pn_json_writer *w, const pn_scenario *s) {
    const pn_option *option;
    text(w, "executor", s->type->name);
    text(w, "exec", s->exec);
    for (uint32_t n = 0; (option = pn_scenario_option_at(s->type, n)) != NULL; n++) {
        write_option(w, s, option);
    }
    pairs(w, "env", &s->env);
    pairs(w, "tags", &s->tags);
}

static void write_config(pn_json_writer *w, const pn_load *load) {
    begin_object(w, "config");
    text(w, "script", load->request->script);
    integer(w, "workers", load->runtime->worker_count);
    pairs(w, "tags", &load->tags);
    begin_object(w, "scenarios");
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        begin_object(w, load->scenarios[i].name);
        pn_scenario_write(w, &load->scenarios[i]);
        pn_json_end_object(w);
    }
    pn_json_end_object(w);
    pn_json_end_object(w);
}

/* ---- results ---- */

static void write_threshold(pn_json_writer *w, const pn_threshold *t) {
    pn_json_begin_object(w);
    text(w, "metric", t->metric->name);
    text(w, "expression", t->text);
    boolean(w, "ok", t->ok);
    boolean(w, "has_samples", t->has_samples);
    number(w, "observed", t->observed);
    boolean(w, "abort_on_fail", t->options.abort_on_fail);
    seconds(w, "delay_abort_eval_s", t->options.delay_abort_ns);
    pn_json_end_object(w);
}

static void write_thresholds(pn_json_writer *w, const pn_load *load) {
    begin_array(w, "thresholds");
    size_t count = pn_thresholds_count(load->thresholds);
    for (size_t i = 0; i < count; i++) write_threshold(w, pn_thresholds_at(load->thresholds, i));
    pn_json_end_array(w);
}

static void write_stat(pn_json_writer *w, const pn_metric_data *data, const char *stat,
                       double elapsed_s) {
    pn_aggregate aggregate;
    if (pn_aggregate_parse(stat, strlen(stat), &aggregate) != 0) return;
    if (!pn_aggregate_fits(aggregate, data->type)) return;
    double value = pn_metric_data_get(data, aggregate, elapsed_s);
    bool is_count = aggregate.kind == PN_AGGREGATE_COUNT || aggregate.kind == PN_AGGREGATE_PASSES ||
                    aggregate.kind == PN_AGGREGATE_FAILS;
    if (is_count && value == floor(value) && fabs(value) < 0x1p53) {
        key(w, stat);
        pn_json_write_int(w, (int64_t)value);
    } else {
        number(w, stat, value);
    }
}

static bool is_among(const char *stat, const char *const *list) {
    while (*list != NULL && strcmp(*list, stat) != 0) list++;
    return *list != NULL;
}

static void write_metric(pn_json_writer *w, const pn_result *r, const pn_metric *m) {
    const pn_metric_data *data = pn_metrics_view_at(r->load->view, m->id);
    static const char *const contains[] = {"default", "time", "data"};
    double elapsed_s = (double)r->elapsed_ns * 1e-9;
    pn_json_begin_object(w);
    text(w, "name", m->name);
    text(w, "type", pn_metric_type_name(m->type));
    text(w, "contains", contains[m->contains]);
    if (m->parent != NULL) text(w, "parent", m->parent->name);
    begin_object(w, "values");
    const char *const *stats = stats_of(m->type);
    for (int i = 0; stats[i] != NULL; i++) write_stat(w, data, stats[i], elapsed_s);
    for (uint32_t i = 0; m->type == PN_TREND && i < r->options->stat_count; i++) {
        if (!is_among(r->options->stats[i], stats))
            write_stat(w, data, r->options->stats[i], elapsed_s);
    }
    pn_json_end_object(w);
    pn_json_end_object(w);
}

static void write_metrics(pn_json_writer *w, const pn_result *r) {
    begin_array(w, "metrics");
    for (uint32_t i = 0; i < r->metric_count; i++) write_metric(w, r, r->metrics[i]);
    pn_json_end_array(w);
}

static void write_checks(pn_json_writer *w, const pn_result *r) {
    begin_array(w, "checks");
    for (uint32_t i = 0; i < r->check_count; i++) {
        const pn_result_check *c = &r->checks[i];
        pn_json_begin_object(w);
        text(w, "name", c->name);
        text(w, "group", c->group);
        integer(w, "passes", c->passes);
        integer(w, "fails", c->fails);
        pn_json_end_object(w);
    }
    pn_json_end_array(w);
}

static void write_scenarios(pn_json_writer *w, const pn_load *load) {
    begin_object(w, "scenarios");
    for (uint32_t i = 0; load->is_prepared && i < load->scenario_count; i++) {
        pn_scenario_counts c = pn_scenario_run_counts(&load->runs[i]);
        begin_object(w, load->scenarios[i].name);
        integer(w, "started", c.started);
        integer(w, "complete", c.complete);
        integer(w, "interrupted", c.interrupted);
        integer(w, "dropped", c.dropped);
        integer(w, "failed", c.failed);
        integer(w, "vus", atomic_load(&load->runs[i].vu_count));
        pn_json_end_object(w);
    }
    pn_json_end_object(w);
}

static void write_problem(void *context, const pn_problem *p) {
    pn_json_writer *w = context;
    pn_json_begin_object(w);
    text(w, "scenario", p->scenario);
    text(w, "hook", p->hook);
    text(w, "place", p->place);
    text(w, "message", p->message);
    integer(w, "count", p->count);
    pn_json_end_object(w);
}

static void write_errors(pn_json_writer *w, const pn_load *load) {
    begin_array(w, "errors");
    pn_problems_each((pn_problems *)&load->problems, write_problem, w);
    pn_json_end_array(w);
    integer(w, "errors_overflow", load->problems.overflow);
}

/* ---- the generator's own health ---- */

static void write_spread(pn_json_writer *w, const char *name, const pn_histogram *h) {
    begin_object(w, name);
    integer(w, "count", pn_histogram_count(h));
    number(w, "avg", pn_histogram_average(h));
    number(w, "p(99)", pn_histogram_percentile(h, 99));
    number(w, "max", pn_histogram_max(h));
    pn_json_end_object(w);
}

static void write_worker(pn_json_writer *w, const pn_load_worker *worker) {
    uint64_t span_ns = atomic_load(&worker->span_ns), cpu_ns = atomic_load(&worker->cpu_ns);
    pn_json_begin_object(w);
    seconds(w, "span_s", span_ns);
    number(w, "cpu", span_ns > 0 ? (double)cpu_ns / (double)span_ns : 0);
    write_spread(w, "loop_lag_ms", &worker->lag);
    pn_json_end_object(w);
}

/* How late the starts of open executors were, of all workers together. */
static int write_lateness(pn_json_writer *w, const pn_load *load) {
    pn_histogram all;
    int err = 0;
    pn_histogram_init(&all, load->ledger);
    uint32_t parts = load->is_prepared ? load->scenario_count * load->runtime->worker_count : 0;
    for (uint32_t i = 0; i < parts && err == 0; i++) {
        err = pn_histogram_merge(&all, &load->parts[i].lateness);
    }
    if (pn_histogram_count(&all) > 0) write_spread(w, "start_lateness_ms", &all);
    pn_histogram_close(&all);
    return err;
}

static int write_health(pn_json_writer *w, const pn_result *r) {
    const pn_load *load = r->load;
    begin_object(w, "health");
    begin_array(w, "workers");
    for (unsigned i = 0; i < load->runtime->worker_count; i++) write_worker(w, &load->workers[i]);
    pn_json_end_array(w);
    int err = write_lateness(w, load);
    integer(w, "lost_samples", pn_metrics_view_lost(load->view));
    integer(w, "checks_overflow", r->checks_overflow);
    pn_json_end_object(w);
    return err;
}

int pn_result_write(const pn_result *r, pn_buf *out, uint32_t indent) {
    pn_json_writer writer, *w = &writer;
    char when[32];
    const pn_load *load = r->load;
    pn_json_writer_init(w, out, indent, 0);
    pn_log_time(when, pn_clock_unix_ns(&load->runtime->clock));
    pn_json_begin_object(w);
    text(w, "version", VERSION);
    text(w, "generated_at", when);
    write_config(w, load);
    begin_object(w, "verdict");
    integer(w, "code", (uint64_t)r->code);
    text(w, "name", pn_verdict_name(r->code));
    text(w, "why", r->why);
    pn_json_end_object(w);
    begin_object(w, "results");
    seconds(w, "duration_s", r->elapsed_ns);
    write_thresholds(w, load);
    write_checks(w, r);
    write_metrics(w, r);
    write_scenarios(w, load);
    write_errors(w, load);
    int err = write_health(w, r);
    pn_json_end_object(w);
    pn_json_end_object(w);
    int json_err = pn_json_writer_end(w);
    return json_err != 0 ? json_err : err;
}
