/*
 * threshold.h - what a run has to keep to: "p(95)<200" of http_req_duration.
 *
 * The grammar is k6's:
 *
 *   expression  = aggregation operator value                spaces between them as you like
 *   aggregation = count | rate                              of a counter
 *               | value                                     of a gauge
 *               | rate                                      of a rate
 *               | avg | min | max | med | p(N)              of a trend, N from 0 to 100
 *   operator    = > | >= | < | <= | == | === | !=           == and === are the same
 *   value       = a decimal number; no unit: trends of time are in milliseconds, data in bytes,
 *                 rates from 0 to 1 (signs and exponents are taken as well, as k6 does)
 *
 * A threshold always looks at the whole run so far; without samples it passes. Those of a selector
 * (`http_reqs{status:200}`) register its sub-metric, so they must be added before the run.
 *
 * Threads: a set belongs to one thread. It owns copies of the texts it is given.
 */
#ifndef PN_LOAD_THRESHOLD_H
#define PN_LOAD_THRESHOLD_H

#include "core/metrics.h"

#define PN_THRESHOLDS_MAX           1000 /* in a set */
#define PN_THRESHOLD_TEXT_MAX_BYTES 1024 /* of an expression, or of an entry with its metric */

typedef enum pn_threshold_operator {
    PN_THRESHOLD_LESS,
    PN_THRESHOLD_LESS_EQUAL,
    PN_THRESHOLD_GREATER,
    PN_THRESHOLD_GREATER_EQUAL,
    PN_THRESHOLD_EQUAL,
    PN_THRESHOLD_NOT_EQUAL,
} pn_threshold_operator;

typedef struct pn_threshold_expression {
    pn_aggregate aggregate;
    pn_threshold_operator operator;
    double value;
} pn_threshold_expression;

/* What is wrong: the offset in the text as it was given, and a sentence that says the column (from
 * 1) and what was expected there. */
typedef struct pn_threshold_error {
    size_t at;
    char text[PN_METRICS_MESSAGE_BYTES];
} pn_threshold_error;

/* Pure. 0, PN_EBAD_CONFIG or PN_ETOO_LARGE; `error` must not be NULL. */
int pn_threshold_parse(const char *text, size_t size, pn_threshold_expression *expression,
                       pn_threshold_error *error);

/* Splits a list entry `metric: expression` or `metric{key:value}: expression`; spaces around the
 * metric are dropped. Pure; codes as above. */
typedef struct pn_threshold_parts {
    size_t metric_at, metric_size; /* in the text */
    size_t expression_at;          /* to the end of the text */
} pn_threshold_parts;

int pn_threshold_split(const char *text, size_t size, pn_threshold_parts *parts,
                       pn_threshold_error *error);

bool pn_threshold_holds(const pn_threshold_expression *expression, double observed);

typedef struct pn_threshold_options {
    bool abort_on_fail;
    uint64_t delay_abort_ns; /* 0: none. A failure aborts only after so much of the run */
} pn_threshold_options;

typedef struct pn_threshold {
    const pn_metric *metric; /* or sub-metric; of the registry */
    const char *text;        /* the expression as written */
    pn_threshold_expression expression;
    pn_threshold_options options;
    /* as of the last evaluation */
    bool ok;          /* true before the first one */
    bool has_samples; /* else `observed` is 0 and it passes */
    double observed;
} pn_threshold;

typedef struct pn_thresholds pn_thresholds;

pn_thresholds *pn_thresholds_create(pn_metrics *metrics, pn_ledger *ledger); /* or NULL */
void pn_thresholds_destroy(pn_thresholds *set);

/* Adds one. `metric` is a name or selector; NULL: `text` is a list entry that carries its own.
 * `options` may be NULL. PN_EBAD_CONFIG: not an expression or selector, no such metric, or an
 * aggregation that the metric's type does not have; PN_ETOO_LARGE, PN_ELIMIT, PN_ENOMEM.
 * `error->at` and the column are of `text`, or of `metric` when that is at fault; the sentence
 * names neither. */
int pn_thresholds_add(pn_thresholds *set, const char *metric, const char *text,
                      const pn_threshold_options *options, pn_threshold_error *error);

size_t pn_thresholds_count(const pn_thresholds *set);
const pn_threshold *pn_thresholds_at(const pn_thresholds *set, size_t i); /* in order of adding */

/* True if a threshold names the metric or a sub-metric of it. */
bool pn_thresholds_name(const pn_thresholds *set, uint32_t metric_id);

typedef struct pn_thresholds_verdict {
    size_t failed;
    bool should_abort;         /* a failed one says abort_on_fail and its delay is over */
    const pn_threshold *cause; /* of the abort; NULL without */
} pn_thresholds_verdict;

/* Judges all against the view, `elapsed_ns` into the run. */
pn_thresholds_verdict pn_thresholds_evaluate(pn_thresholds *set, const pn_metrics_view *view,
                                             uint64_t elapsed_ns);

#endif
