#include "load/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* ---- checks of all workers ---- */

/* Grows a list by half, for one more. */
static void *grow(const pn_load *load, void *list, uint32_t count, uint32_t *capacity,
                  size_t size) {
    if (count < *capacity) return list;
    uint32_t more = *capacity + *capacity / 2 + 16;
    void *bigger = pn_mem_resize(load->ledger, list, *capacity * size, more * size);
    if (bigger != NULL) *capacity = more;
    return bigger;
}

static void add_check(void *context, const pn_check *check) {
    pn_result *r = context;
    uint64_t passes = atomic_load_explicit(&check->passes, memory_order_relaxed);
    uint64_t fails = atomic_load_explicit(&check->fails, memory_order_relaxed);
    void *list = grow(r->load, r->checks, r->check_count, &r->check_capacity, sizeof *r->checks);
    if (list == NULL) {
        r->checks_overflow += passes + fails;
        return;
    }
    r->checks = list;
    r->checks[r->check_count++] =
        (pn_result_check){check->group, check->name, passes, fails, check->order};
}

static int compare_names(const void *x, const void *y) {
    const pn_result_check *a = x, *b = y;
    int by_group = strcmp(a->group, b->group);
    return by_group != 0 ? by_group : strcmp(a->name, b->name);
}

static int compare_order(const void *x, const void *y) {
    const pn_result_check *a = x, *b = y;
    int by_group = strcmp(a->group, b->group);
    if (by_group != 0) return by_group;
    if (a->order != b->order) return a->order < b->order ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* The same check of several workers is one. */
static void unite_checks(pn_result *r) {
    uint32_t n = 0;
    qsort(r->checks, r->check_count, sizeof *r->checks, compare_names);
    for (uint32_t i = 0; i < r->check_count; i++) {
        const pn_result_check c = r->checks[i];
        pn_result_check *last = n > 0 ? &r->checks[n - 1] : NULL;
        if (last == NULL || compare_names(last, &c) != 0) {
            r->checks[n++] = c;
            continue;
        }
        last->passes += c.passes;
        last->fails += c.fails;
        if (c.order < last->order) last->order = c.order;
    }
    r->check_count = n;
    qsort(r->checks, n, sizeof *r->checks, compare_order);
}

static void collect_checks(pn_result *r) {
    for (unsigned w = 0; w < r->load->runtime->worker_count; w++) {
        pn_checks *checks = &r->load->workers[w].checks;
        pn_checks_each(checks, add_check, r);
        r->checks_overflow += checks->overflow;
    }
    if (r->check_count > 0) unite_checks(r);
}

/* ---- metrics ---- */

static int compare_metrics(const void *x, const void *y) {
    const pn_metric *a = *(const pn_metric *const *)x, *b = *(const pn_metric *const *)y;
    const pn_metric *parent_a = a->parent != NULL ? a->parent : a;
    const pn_metric *parent_b = b->parent != NULL ? b->parent : b;
    int by_parent = strcmp(parent_a->name, parent_b->name);
    return by_parent != 0 ? by_parent : strcmp(a->name, b->name);
}

/* The sub-metric of the registry that nobody asked for is shown where it has samples. */
static int collect_metrics(pn_result *r) {
    const pn_load *load = r->load;
    uint32_t count = pn_metrics_view_count(load->view);
    for (uint32_t id = 0; id < count; id++) {
        const pn_metric_data *data = pn_metrics_view_at(load->view, id);
        const pn_metric *metric = pn_metrics_at(load->runtime->metrics, id);
        if (data == NULL || metric == NULL || data->samples == 0) continue;
        void *list =
            grow(load, r->metrics, r->metric_count, &r->metric_capacity, sizeof *r->metrics);
        if (list == NULL) return PN_ENOMEM;
        r->metrics = list;
        r->metrics[r->metric_count++] = metric;
    }
    if (r->metric_count > 0) {
        qsort(r->metrics, r->metric_count, sizeof(const pn_metric *), compare_metrics);
    }
    return 0;
}

/* ---- the verdict ---- */

static void decide(pn_result *r, pn_verdict_code code, const char *why) {
    if (r->code != PN_VERDICT_PASSED) return;
    r->code = code;
    snprintf(r->why, sizeof r->why, "%s", why);
}

static uint64_t failed_checks(const pn_result *r) {
    const pn_metric_data *data = pn_metrics_view_at(r->load->view, PN_METRIC_CHECKS);
    return data != NULL ? data->samples - data->passes : 0;
}

static void name_thresholds(const pn_result *r, char why[PN_LOAD_MESSAGE_BYTES]) {
    size_t used = (size_t)snprintf(why, PN_LOAD_MESSAGE_BYTES, "failed:");
    const char *comma = "";
    for (size_t i = 0; i < pn_thresholds_count(r->load->thresholds); i++) {
        const pn_threshold *t = pn_thresholds_at(r->load->thresholds, i);
        if (t->ok || used >= PN_LOAD_MESSAGE_BYTES) continue;
        used += (size_t)snprintf(why + used, PN_LOAD_MESSAGE_BYTES - used, "%s %s: %s", comma,
                                 t->metric->name, t->text);
        comma = ",";
    }
}

static void judge(pn_result *r) {
    pn_load *load = (pn_load *)r->load;
    char why[PN_LOAD_MESSAGE_BYTES];
    int code = pn_load_verdict(load);
    if (code > 0) {
        pthread_mutex_lock(&load->lock);
        decide(r, (pn_verdict_code)code, load->why);
        pthread_mutex_unlock(&load->lock);
    }
    bool is_named = pn_thresholds_name(load->thresholds, PN_METRIC_ITERATION_ERRORS);
    if (r->counts.all.failed > 0 && !is_named) {
        snprintf(why, sizeof why, "%llu iteration%s ended with an error",
                 (unsigned long long)r->counts.all.failed, r->counts.all.failed == 1 ? "" : "s");
        decide(r, PN_VERDICT_SCRIPT, why);
    }
    uint64_t fails = r->options->fails_on_check ? failed_checks(r) : 0;
    if (fails > 0) {
        snprintf(why, sizeof why, "%llu check%s failed", (unsigned long long)fails,
                 fails == 1 ? " has" : "s have");
        decide(r, PN_VERDICT_FAILED, why);
    }
    if (r->thresholds_failed > 0) {
        name_thresholds(r, why);
        decide(r, PN_VERDICT_THRESHOLD, why);
    }
}

int pn_result_collect(pn_result *result, pn_load *load, const pn_result_options *options) {
    memset(result, 0, sizeof *result);
    result->load = load;
    result->options = options;
    result->elapsed_ns = pn_load_elapsed_ns(load);
    result->counts = pn_load_counts_get(load);
    int err = pn_metrics_view_refresh(load->view);
    result->thresholds_failed =
        pn_thresholds_evaluate(load->thresholds, load->view, result->elapsed_ns).failed;
    collect_checks(result);
    if (err == 0) err = collect_metrics(result);
    judge(result);
    return err;
}

void pn_result_close(pn_result *r) {
    pn_mem_free(r->load->ledger, r->checks, r->check_capacity * sizeof *r->checks);
    pn_mem_free(r->load->ledger, r->metrics, r->metric_capacity * sizeof *r->metrics);
    r->checks = NULL;
    r->metrics = NULL;
}

const char *pn_verdict_name(pn_verdict_code code) {
    switch (code) {
    case PN_VERDICT_PASSED: return "passed";
    case PN_VERDICT_THRESHOLD: return "threshold";
    case PN_VERDICT_SETUP_TIMEOUT: return "setup_timeout";
    case PN_VERDICT_TEARDOWN_TIMEOUT: return "teardown_timeout";
    case PN_VERDICT_TIMEOUT: return "timeout";
    case PN_VERDICT_CONFIG: return "config";
    case PN_VERDICT_INTERRUPTED: return "interrupted";
    case PN_VERDICT_SCRIPT: return "script";
    case PN_VERDICT_ABORTED: return "aborted";
    case PN_VERDICT_FAILED: return "failed";
    }
    return "unknown";
}
