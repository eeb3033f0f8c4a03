#include "load/threshold.h"

#include <stdio.h>

#include "base/err.h"
#include "base/units.h"

struct pn_thresholds {
    pn_metrics *metrics;
    pn_ledger *ledger;
    pn_threshold **list;
    size_t count, capacity;
};

/* ---- the parser: a cursor over the text, one function for each part ---- */

struct cursor {
    const char *text;
    size_t at, size;
    pn_threshold_error *error;
};

static int expected(struct cursor *c, const char *what) {
    size_t left = c->size - c->at;
    int shown = left < 40 ? (int)left : 40;
    c->error->at = c->at;
    snprintf(c->error->text, sizeof c->error->text, "column %zu: expected %s, found %s%.*s%s",
             c->at + 1, what, left > 0 ? "'" : "the end", shown, c->text + c->at,
             left > 0 ? "'" : "");
    return PN_EBAD_CONFIG;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_spaces(struct cursor *c) {
    while (c->at < c->size && is_space(c->text[c->at])) c->at++;
}

static bool take(struct cursor *c, const char *token) {
    size_t size = strlen(token);
    if (c->size - c->at < size || memcmp(c->text + c->at, token, size) != 0) return false;
    c->at += size;
    return true;
}

/* How many of the bytes from here on are in the set. */
static size_t span(const struct cursor *c, const char *set) {
    size_t n = 0;
    while (c->at + n < c->size && c->text[c->at + n] != '\0' &&
           strchr(set, c->text[c->at + n]) != NULL) {
        n++;
    }
    return n;
}

static bool take_number(struct cursor *c, double *value) {
    size_t size = span(c, "0123456789+-.eE");
    if (!pn__metric_number(c->text + c->at, size, value)) return false;
    c->at += size;
    return true;
}

static int parse_percentile(struct cursor *c, pn_aggregate *aggregate) {
    aggregate->kind = PN_AGGREGATE_PERCENTILE;
    size_t begin = c->at;
    if (!take_number(c, &aggregate->percent) || aggregate->percent < 0 ||
        aggregate->percent > 100) {
        c->at = begin;
        return expected(c, "a number from 0 to 100");
    }
    return take(c, ")") ? 0 : expected(c, "a closing parenthesis");
}

#define AGGREGATIONS "an aggregation (count, rate, value, avg, min, max, med or p(N))"

static int parse_aggregation(struct cursor *c, pn_aggregate *aggregate) {
    if (take(c, "p(")) return parse_percentile(c, aggregate);
    size_t size = span(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (pn_aggregate_parse(c->text + c->at, size, aggregate) != 0 ||
        aggregate->kind > PN_AGGREGATE_PERCENTILE) {
        return expected(c, AGGREGATIONS);
    }
    c->at += size;
    return 0;
}

static int parse_operator(struct cursor *c, pn_threshold_operator *operator) {
    static const struct {
        const char *text;
        pn_threshold_operator operator;
    } operators[] = {
        /* what begins with another one comes before it */
        {"<=", PN_THRESHOLD_LESS_EQUAL},    {"<", PN_THRESHOLD_LESS},
        {">=", PN_THRESHOLD_GREATER_EQUAL}, {">", PN_THRESHOLD_GREATER},
        {"===", PN_THRESHOLD_EQUAL},        {"==", PN_THRESHOLD_EQUAL},
        {"!=", PN_THRESHOLD_NOT_EQUAL},
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!take(c, operators[i].text)) continue;
        *operator= operators[i].operator;
        return 0;
    }
    return expected(c, "an operator (<, <=, >, >=, ==, === or !=)");
}

static int parse_expression(struct cursor *c, pn_threshold_expression *expression) {
    skip_spaces(c);
    int err = parse_aggregation(c, &expression->aggregate);
    if (err != 0) return err;
    skip_spaces(c);
    err = parse_operator(c, &expression->operator);
    if (err != 0) return err;
    skip_spaces(c);
    if (!take_number(c, &expression->value)) return expected(c, "a number");
    skip_spaces(c);
    return c->at == c->size ? 0 : expected(c, "the end (values have no unit)");
}

static int check_size(size_t size, pn_threshold_error *error) {
    if (size <= PN_THRESHOLD_TEXT_MAX_BYTES) return 0;
    error->at = PN_THRESHOLD_TEXT_MAX_BYTES;
    snprintf(error->text, sizeof error->text, "over %d bytes", PN_THRESHOLD_TEXT_MAX_BYTES);
    return PN_ETOO_LARGE;
}

/* The expression from `at` on; columns count from the beginning of the text. */
static int parse_from(const char *text, size_t at, size_t size, pn_threshold_expression *expression,
                      pn_threshold_error *error) {
    struct cursor c = {text, at, size, error};
    *expression = (pn_threshold_expression){.value = 0};
    int err = check_size(size, error);
    return err != 0 ? err : parse_expression(&c, expression);
}

int pn_threshold_parse(const char *text, size_t size, pn_threshold_expression *expression,
                       pn_threshold_error *error) {
    return parse_from(text, 0, size, expression, error);
}

/* To behind the last brace, which closes a selector whatever stands in it. */
static int skip_selector(struct cursor *c) {
    const char *close = memrchr(c->text, '}', c->size);
    c->at = close != NULL ? (size_t)(close - c->text) + 1 : c->size;
    return close != NULL ? 0 : expected(c, "a closing brace");
}

int pn_threshold_split(const char *text, size_t size, pn_threshold_parts *parts,
                       pn_threshold_error *error) {
    struct cursor c = {text, 0, size, error};
    int err = check_size(size, error);
    if (err != 0) return err;
    skip_spaces(&c);
    parts->metric_at = c.at;
    while (c.at < size && text[c.at] != ':' && text[c.at] != '{') c.at++;
    if (c.at < size && text[c.at] == '{') err = skip_selector(&c);
    if (err != 0) return err;
    size_t end = c.at;
    while (end > parts->metric_at && is_space(text[end - 1])) end--;
    parts->metric_size = end - parts->metric_at;
    skip_spaces(&c);
    if (!take(&c, ":")) return expected(&c, "a colon between metric and expression");
    parts->expression_at = c.at;
    return 0;
}

bool pn_threshold_holds(const pn_threshold_expression *expression, double observed) {
    switch (expression->operator) {
    case PN_THRESHOLD_LESS: return observed < expression->value;
    case PN_THRESHOLD_LESS_EQUAL: return observed <= expression->value;
    case PN_THRESHOLD_GREATER: return observed > expression->value;
    case PN_THRESHOLD_GREATER_EQUAL: return observed >= expression->value;
    case PN_THRESHOLD_EQUAL: return observed == expression->value;
    case PN_THRESHOLD_NOT_EQUAL: return observed != expression->value;
    }
    pn_unreachable();
}

/* ---- the set ---- */

pn_thresholds *pn_thresholds_create(pn_metrics *metrics, pn_ledger *ledger) {
    pn_thresholds *set = pn_mem_try_zeroed(ledger, sizeof *set);
    if (set == NULL) return NULL;
    set->metrics = metrics;
    set->ledger = ledger;
    return set;
}

/* One block: the text lies behind the threshold. */
static size_t threshold_bytes(size_t text_size) { return sizeof(pn_threshold) + text_size + 1; }

void pn_thresholds_destroy(pn_thresholds *set) {
    if (set == NULL) return;
    for (size_t i = 0; i < set->count; i++) {
        pn_mem_free(set->ledger, set->list[i], threshold_bytes(strlen(set->list[i]->text)));
    }
    pn_mem_free(set->ledger, set->list, set->capacity * sizeof *set->list);
    pn_mem_free(set->ledger, set, sizeof *set);
}

/* What is added, taken apart. */
struct entry {
    const char *metric;
    size_t metric_size, metric_at; /* at: in the text, if it is there */
    const char *text;              /* as given */
    size_t at, size;               /* the expression in it */
    pn_threshold_expression expression;
};

static int fail(pn_threshold_error *error, int code) {
    error->at = 0;
    snprintf(error->text, sizeof error->text, "%s", pn_err_text(code));
    return code;
}

static int take_apart(struct entry *e, const char *metric, const char *text,
                      pn_threshold_error *error) {
    *e = (struct entry){.metric = metric, .text = text, .size = strlen(text)};
    if (metric != NULL) {
        e->metric_size = strlen(metric);
    } else {
        pn_threshold_parts parts;
        int err = pn_threshold_split(text, e->size, &parts, error);
        if (err != 0) return err;
        e->metric = text + parts.metric_at;
        e->metric_size = parts.metric_size;
        e->metric_at = parts.metric_at;
        e->at = parts.expression_at;
    }
    return parse_from(e->text, e->at, e->size, &e->expression, error);
}

/* The grammar's aggregations are fewer than what a summary may ask for. */
static int check_type(const struct entry *e, const pn_metric *metric, pn_threshold_error *error) {
    static const char *const fitting[] = {
        [PN_COUNTER] = "count or rate",
        [PN_GAUGE] = "value",
        [PN_RATE] = "rate",
        [PN_TREND] = "avg, min, max, med or p(N)",
    };
    pn_aggregate_kind kind = e->expression.aggregate.kind;
    bool fits = pn_aggregate_fits(e->expression.aggregate, metric->type);
    if (metric->type == PN_GAUGE) fits = kind == PN_AGGREGATE_VALUE;
    if (metric->type == PN_TREND && kind == PN_AGGREGATE_COUNT) fits = false;
    if (fits) return 0;
    struct cursor c = {e->text, e->at, e->size, error};
    skip_spaces(&c);
    error->at = c.at;
    snprintf(error->text, sizeof error->text, "column %zu: expected %s, because %.100s is a %s",
             c.at + 1, fitting[metric->type], metric->name, pn_metric_type_name(metric->type));
    return PN_EBAD_CONFIG;
}

static bool reserve(pn_thresholds *set) {
    if (set->count < set->capacity) return true;
    size_t capacity = set->capacity == 0 ? 8 : set->capacity * 2;
    pn_threshold **list = pn_mem_resize(set->ledger, set->list, set->capacity * sizeof *list,
                                        capacity * sizeof *list);
    if (list == NULL) return false;
    set->list = list;
    set->capacity = capacity;
    return true;
}

static int append(pn_thresholds *set, const struct entry *e, const pn_metric *metric,
                  const pn_threshold_options *options, pn_threshold_error *error) {
    const char *text = e->text + e->at;
    size_t size = e->size - e->at;
    while (size > 0 && is_space(*text)) text++, size--;
    while (size > 0 && is_space(text[size - 1])) size--;
    if (!reserve(set)) return fail(error, PN_ENOMEM);
    pn_threshold *threshold = pn_mem_try(set->ledger, threshold_bytes(size));
    if (threshold == NULL) return fail(error, PN_ENOMEM);
    char *copy = memcpy(threshold + 1, text, size);
    copy[size] = '\0';
    *threshold =
        (pn_threshold){.metric = metric, .text = copy, .expression = e->expression, .ok = true};
    if (options != NULL) threshold->options = *options;
    set->list[set->count++] = threshold;
    return 0;
}

/* The metric without its tags: a sub-metric is registered only when all else is right. */
static int find_base(pn_metrics *metrics, const struct entry *e, const pn_metric **metric,
                     pn_threshold_error *error) {
    pn_selector selector;
    const char *what;
    size_t at;
    int err = pn_selector_parse(e->metric, e->metric_size, &selector, &at, &what);
    error->at = e->metric_at + at;
    if (err != 0) {
        snprintf(error->text, sizeof error->text, "column %zu: expected %s", error->at + 1, what);
        return err;
    }
    error->at = e->metric_at;
    int id = pn_metrics_select(metrics, selector.name, selector.name_size, error->text);
    if (id < 0) return id == PN_ENOT_FOUND ? PN_EBAD_CONFIG : id;
    *metric = pn_metrics_at(metrics, (uint32_t)id);
    return 0;
}

int pn_thresholds_add(pn_thresholds *set, const char *metric, const char *text,
                      const pn_threshold_options *options, pn_threshold_error *error) {
    struct entry e;
    const pn_metric *base;
    error->at = 0;
    if (set->count == PN_THRESHOLDS_MAX) {
        snprintf(error->text, sizeof error->text, "more than %d thresholds", PN_THRESHOLDS_MAX);
        return PN_ELIMIT;
    }
    int err = take_apart(&e, metric, text, error);
    if (err == 0) err = find_base(set->metrics, &e, &base, error);
    if (err == 0) err = check_type(&e, base, error);
    if (err != 0) return err;
    int id = pn_metrics_select(set->metrics, e.metric, e.metric_size, error->text);
    if (id < 0) return id;
    return append(set, &e, pn_metrics_at(set->metrics, (uint32_t)id), options, error);
}

size_t pn_thresholds_count(const pn_thresholds *set) { return set->count; }

const pn_threshold *pn_thresholds_at(const pn_thresholds *set, size_t i) {
    pn_assert(i < set->count);
    return set->list[i];
}

bool pn_thresholds_name(const pn_thresholds *set, uint32_t metric_id) {
    for (size_t i = 0; i < set->count; i++) {
        const pn_metric *metric = set->list[i]->metric;
        if (metric->id == metric_id) return true;
        if (metric->parent != NULL && metric->parent->id == metric_id) return true;
    }
    return false;
}

static void judge(pn_threshold *threshold, const pn_metrics_view *view, double elapsed_s) {
    const pn_metric_data *data = pn_metrics_view_at(view, threshold->metric->id);
    threshold->has_samples = data != NULL && data->samples > 0;
    threshold->observed = 0;
    threshold->ok = true;
    if (!threshold->has_samples) return;
    threshold->observed = pn_metric_data_get(data, threshold->expression.aggregate, elapsed_s);
    threshold->ok = pn_threshold_holds(&threshold->expression, threshold->observed);
}

static bool is_past_delay(const pn_threshold *threshold, uint64_t elapsed_ns) {
    uint64_t delay_ns = threshold->options.delay_abort_ns;
    return delay_ns == 0 || delay_ns < elapsed_ns;
}

pn_thresholds_verdict pn_thresholds_evaluate(pn_thresholds *set, const pn_metrics_view *view,
                                             uint64_t elapsed_ns) {
    pn_thresholds_verdict verdict = {0};
    double elapsed_s = (double)elapsed_ns / (double)PN_NS_PER_S;
    for (size_t i = 0; i < set->count; i++) {
        pn_threshold *threshold = set->list[i];
        judge(threshold, view, elapsed_s);
        if (threshold->ok) continue;
        verdict.failed++;
        if (verdict.should_abort || !threshold->options.abort_on_fail) continue;
        if (!is_past_delay(threshold, elapsed_ns)) continue;
        verdict.should_abort = true;
        verdict.cause = threshold;
    }
    return verdict;
}
