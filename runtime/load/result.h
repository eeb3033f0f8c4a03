/*
 * result.h - what came of a run, as one thing that the summary, the export and the exit code read.
 *
 * Collected when the run is over and its users have gone. It points into the run, which must
 * outlive it; what it made itself is freed by pn_result_close. Everything in it has a defined
 * order: thresholds as added, checks by group and first appearance, metrics by name, errors by
 * first appearance.
 *
 * The verdict. What ended the run stands first (an interrupt, run.abort, a time-out, an error in a
 * hook, run.fail). Then come, of the whole run: errors in iterations, unless a threshold is about
 * iteration_errors; failed checks, if they are to fail the run; failed thresholds.
 *
 * Threads: the controller's.
 */
#ifndef PN_LOAD_RESULT_H
#define PN_LOAD_RESULT_H

#include "core/json.h"
#include "load/load.h"

#define PN_TREND_STATS_MAX 32

typedef struct pn_result_check {
    const char *group, *name;
    uint64_t passes, fails, order;
} pn_result_check;

typedef struct pn_result_options {
    /* Of trends: "avg", "p(95)" ...; those that always are besides. */
    const char *stats[PN_TREND_STATS_MAX];
    uint32_t stat_count;
    bool fails_on_check;
} pn_result_options;

typedef struct pn_result {
    const pn_load *load;
    const pn_result_options *options;
    pn_verdict_code code;
    char why[PN_LOAD_MESSAGE_BYTES];
    uint64_t elapsed_ns;
    pn_load_counts counts;
    pn_result_check *checks;
    uint32_t check_count, check_capacity;
    uint64_t checks_overflow;
    size_t thresholds_failed;
    const pn_metric **metrics; /* those with samples, by name; sub-metrics behind their metric */
    uint32_t metric_count, metric_capacity;
} pn_result;

/* Judges the thresholds a last time. PN_ENOMEM. */
int pn_result_collect(pn_result *result, pn_load *load, const pn_result_options *options);
void pn_result_close(pn_result *result);

/* "passed", "threshold", "interrupted" ... */
const char *pn_verdict_name(pn_verdict_code code);

/* The options of a scenario as fields of the open object. */
void pn_scenario_write(pn_json_writer *writer, const pn_scenario *scenario);

/* The whole of it as JSON (docs/load.md, "The result"). 0, or a code of core/json.h. */
int pn_result_write(const pn_result *result, pn_buf *out, uint32_t indent);

#endif
