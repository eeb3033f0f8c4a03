/*
 * load.h - a load run: its scenarios, their parts on the workers, and everything that is known of
 * it.
 *
 * Life: created beside a runtime; configured (scenarios, thresholds, tags) and prepared on one
 * thread; the host makes the users and reports each as prepared; started, which opens an alarm on
 * every worker that advances the parts there; over when the last part is done; destroyed when the
 * runtime has stopped. The controller, on the first worker, is told of what happens through
 * `on_event`.
 *
 * A run is stopped from outside (an interrupt, run.abort, a threshold) by pn_load_stop: nothing is
 * begun any more and what runs is interrupted at once. What it ends with is its verdict: the first
 * that is set stays.
 *
 * Threads: pn_load_stop, verdicts, problems and counters: any. A pn_load_worker: its worker. The
 * rest: the controller's. Ownership: memory is the runtime's shared ledger's.
 */
#ifndef PN_LOAD_LOAD_H
#define PN_LOAD_LOAD_H

#include "core/runtime.h"
#include "load/alarm.h"
#include "load/checks.h"
#include "load/executor.h"
#include "load/json_lines.h"
#include "load/problems.h"
#include "load/terminal.h"
#include "load/threshold.h"

#define PN_LOAD_NOT_YET UINT64_MAX
/* Users in one Lua state; more make the collector stall a worker. */
#define PN_LOAD_ACTOR_VUS_MAX 500

/* Exit codes, k6's. */
typedef enum pn_verdict_code {
    PN_VERDICT_PASSED = 0,
    PN_VERDICT_THRESHOLD = 99,
    PN_VERDICT_SETUP_TIMEOUT = 100,
    PN_VERDICT_TEARDOWN_TIMEOUT = 101,
    PN_VERDICT_TIMEOUT = 102,
    PN_VERDICT_CONFIG = 104,
    PN_VERDICT_INTERRUPTED = 105,
    PN_VERDICT_SCRIPT = 107,
    PN_VERDICT_ABORTED = 108,
    PN_VERDICT_FAILED = 110,
} pn_verdict_code;

typedef struct pn_load pn_load;

/* Something to look at: users prepared, parts done, a stop. On the controller's worker. */
typedef void (*pn_load_event_fn)(pn_load *load);

/* A flag of the command line, in the order given. */
typedef struct pn_load_flag {
    const char *name, *value; /* value: "" for a flag without one */
} pn_load_flag;

/* What the command line asks for; the command's memory. */
typedef struct pn_load_request {
    const char *script;  /* path as given */
    const char *command; /* "run", "inspect" */
    const pn_load_flag *flags;
    uint32_t flag_count;
    bool is_terminal; /* stdout is one */
} pn_load_request;

/* What a worker has of a run. */
typedef struct pn_load_worker {
    _Alignas(64) pn_load *load;
    pn_worker *worker;
    struct pn__gear *gear; /* the alarm; from start on */
    pn_job advance_job;
    _Atomic bool is_posted;
    pn_checks checks;
    uint32_t parts_left;
    uint64_t cpu_begin_ns, begin_ns;  /* of the worker's thread, and when */
    _Atomic uint64_t cpu_ns, span_ns; /* until its last part was done */
    pn_histogram lag;                 /* of the event loop, ms */
} pn_load_worker;

struct pn_load {
    pn_runtime *runtime;
    pn_ledger *ledger;
    const pn_load_request *request;
    pn_texts texts;
    pn_pairs env, tags;
    pn_scenario *scenarios; /* by start_time, then name, once prepared */
    uint32_t scenario_count;
    pn_scenario_run *runs;
    pn_executor *parts; /* of scenario s on worker w: at s * worker_count + w */
    void *parts_block;
    pn_labels **labels; /* of each scenario */
    pn_labels *base_labels, *setup_labels, *teardown_labels;
    pn_thresholds *thresholds;
    pn_metrics_view *view;
    pn_load_worker *workers;
    void *workers_block;
    pn_problems problems;
    pn_terminal terminal; /* stdout */
    _Atomic bool is_prepared;
    _Atomic bool wants_details; /* sub-metrics for each scenario and group */
    bool is_open;               /* some executor is: latency is corrected */
    uint32_t uncorrected_iteration_id, uncorrected_request_id;
    const pn_vu_host *host;
    /* Set by the controller, used on its worker only (the first). */
    pn_load_event_fn on_event;
    void *waiting;
    bool has_event;
    pn_job event_job;
    _Atomic bool is_event_posted;
    pn_json_lines *json;           /* --out json; NULL */
    _Atomic uint32_t outputs_busy; /* workers that are being attached or detached */
    pn_buf data;                 /* setup's result, encoded; read by all after the users are made */
    pn_buf script;               /* the scenario file */
    _Atomic uint64_t vu_id;      /* the last one given */
    _Atomic uint64_t preparing;  /* users whose init has not run */
    _Atomic uint32_t parts_left; /* of all scenarios and workers */
    _Atomic uint32_t actors_alive;
    _Atomic uint64_t start_ns; /* or PN_LOAD_NOT_YET */
    _Atomic uint64_t end_ns;   /* of what has ended so far */
    _Atomic bool is_stopped;
    _Atomic int verdict;  /* -1: none yet */
    pthread_mutex_t lock; /* guards why */
    char why[PN_LOAD_MESSAGE_BYTES];
};

/* Beside a runtime that has not started. NULL without memory. */
pn_load *pn_load_create(pn_runtime *runtime, const pn_load_request *request);
void pn_load_destroy(pn_load *load); /* the runtime has stopped */

/* Copies the scenario, its texts included. PN_ELIMIT, PN_ENOMEM, PN_EEXISTS. */
int pn_load_add_scenario(pn_load *load, const pn_scenario *scenario);

/* Makes parts and labels. From here on the configuration stands. PN_ENOMEM, PN_ELIMIT (too many
 * tags). */
int pn_load_prepare(pn_load *load, const pn_vu_host *host);

/* From here on the built-in metrics have a sub-metric for each scenario, and for each group from
 * its first use on: the full summary. Before the users are made. A negative code. */
int pn_load_want_details(pn_load *load);

/* Those of one tag. PN_ELIMIT: too many, PN_EBAD_CONFIG: not a value that a selector can have. */
int pn_load_add_details(pn_load *load, const char *tag, const char *value);

/* Every sample goes to the file as a line of JSON. A negative code. Attaching and detaching take
 * the workers a moment: outputs_busy falls to 0, and the controller is told. Close after
 * detaching. */
int pn_load_open_json(pn_load *load, const char *path);
void pn_load_detach_json(pn_load *load);
int pn_load_close_json(pn_load *load, uint64_t *lost);

/* Something has happened: wakes the controller. Any thread. */
void pn_load_tell(pn_load *load);

/* A user of the run: its id. */
uint64_t pn_load_next_vu_id(pn_load *load);

/* A user's init has run (or never will). */
void pn_load_prepared(pn_load *load);

/* Begins: start_ns is now. On a worker's thread. */
void pn_load_start(pn_load *load);

void pn_load_stop(pn_load *load);

/* The first one stays; true for it. `why` may be NULL. */
bool pn_load_decide(pn_load *load, pn_verdict_code code, const char *why);

static inline int pn_load_verdict(const pn_load *load) { return atomic_load(&load->verdict); }

/* ---- looking at it ---- */

static inline bool pn_load_is_over(const pn_load *load) {
    return atomic_load(&load->parts_left) == 0;
}

static inline uint64_t pn_load_now_ns(const pn_load *load) {
    return pn_clock_now_ns(&load->runtime->clock);
}

/* Of the run: up to now, or to its end. 0 before the start. */
uint64_t pn_load_elapsed_ns(const pn_load *load);

/* From the start to the last hard end. */
uint64_t pn_load_max_duration_ns(const pn_load *load);
uint64_t pn_load_vus_max(const pn_load *load); /* of all scenarios */

typedef struct pn_load_counts {
    pn_scenario_counts all;
    uint64_t vus_made;
} pn_load_counts;

pn_load_counts pn_load_counts_get(const pn_load *load);

/* Records vus and vus_max as they are now; on `shard`'s thread. `is_late`: the run was over before
 * anybody looked; then all users that were made have taken part. */
void pn_load_sample_vus(pn_load *load, pn_metrics_shard *shard, bool is_late);

/* ---- for the host ---- */

static inline pn_executor *pn_load_part(const pn_load *load, uint32_t scenario, uint32_t worker) {
    return &load->parts[scenario * load->runtime->worker_count + worker];
}

static inline uint32_t pn_load_scenario_index(const pn_load *load, const pn_executor *x) {
    return (uint32_t)(x->run - load->runs);
}

/* pn_vu_host.hand_over and the core of pn_vu_host.done, for workers of a runtime. */
void pn_load_hand_over(pn_executor *x, pn_executor *to, uint64_t number, uint64_t intended_ns);
void pn_load_part_done(pn_load *load, pn_executor *x);

/* Makes the parts of a worker advance soon. Any thread. */
void pn_load_nudge(pn_load_worker *w);

#endif
