/*
 * executor.h - how the executors work: users, iterations, and the ends of a scenario.
 *
 * Design. A scenario runs as one pn_executor (a part) for each worker, and a pn_scenario_run that
 * they share. A part owns its users and its share of the work and needs no lock; what parts have in
 * common are a few atomic counters. Everything is told the time: a part says when it wants to be
 * advanced next, so the whole runs in virtual time without a runtime, and the tests do so.
 *
 * Who runs the users is behind pn_vu_host: Lua tasks in bind/, a simulation in the tests. He makes
 * users, begins their iterations, and reports what became of them.
 *
 * Phases of a part: it waits for the scenario's start; runs; at the regular end begins nothing more
 * and lets iterations finish; at the hard end (graceful_stop later) interrupts them; is done when
 * its last user has left. A stop from outside makes both ends now.
 *
 * An executor is a pn_executor_type: its options, what follows from them, and two decisions: what a
 * user does next, and which arrivals are due. The types differ in nothing else.
 *
 * Open executors deal their arrivals out to the parts in turn. A part without a free user hands the
 * arrival over to a part that has one; if none has, it makes one more, while there are fewer than
 * max_vus in all; otherwise the iteration is dropped. So a drop means that all users were busy.
 *
 * Ownership: users are the host's memory, from `grow` or pn_executor_add to pn_executor_remove.
 * Threads: a part belongs to its worker; pn_executor_claim and the counters are for all.
 */
#ifndef PN_LOAD_EXECUTOR_H
#define PN_LOAD_EXECUTOR_H

#include <stdatomic.h>

#include "load/pacer.h"
#include "load/scenario.h"
#include "load/vu.h"

typedef enum pn_vu_order { PN_VU_RUN, PN_VU_WAIT, PN_VU_LEAVE } pn_vu_order;

typedef enum pn_ending {
    PN_ENDING_COMPLETE,
    PN_ENDING_FAILED, /* by an error: complete, and an error */
    PN_ENDING_INTERRUPTED,
} pn_ending;

typedef struct pn_vu_host {
    /* Begins the iteration that was ordered, soon, not within this call: pn_vu_begin, pn_vu_end. */
    void (*run)(pn_vu *vu);
    /* Ends its iteration (or its init) where it is; pn_vu_end with INTERRUPTED follows. */
    void (*interrupt)(pn_vu *vu);
    /* The user is to leave: pn_executor_remove follows when it has. */
    void (*retire)(pn_vu *vu);
    /* Makes one more user, pn_vu_ready follows; NULL if that cannot be. Also adds it to the
     * part. */
    pn_vu *(*grow)(pn_executor *x);
    /* Passes an arrival on: pn_executor_take_over on the other part's worker. Must not fail. */
    void (*hand_over)(pn_executor *x, pn_executor *to, uint64_t number, uint64_t intended_ns);
    /* The part is done: it has no user and will have none. */
    void (*done)(pn_executor *x);
} pn_vu_host;

typedef enum pn_phase {
    PN_PHASE_WAITING,
    PN_PHASE_RUNNING,
    PN_PHASE_STOPPING,     /* past the regular end */
    PN_PHASE_INTERRUPTING, /* past the hard end */
    PN_PHASE_DONE,
} pn_phase;

/* Counters with one writer, the part's worker; read by all. */
typedef struct pn_part_counts {
    _Atomic uint64_t started, complete, interrupted, dropped, failed;
    _Atomic uint32_t active;  /* users that take part */
    _Atomic uint32_t running; /* users in an iteration */
} pn_part_counts;

struct pn_executor {
    _Alignas(64) pn_part_counts counts;
    _Atomic int32_t free_count; /* idle users that may be claimed */
    /* The rest is the worker's own. */
    pn_scenario_run *run;
    uint32_t index;
    _Atomic uint8_t phase;
    const pn_vu_host *host;
    void *context; /* the host's */
    pn_metrics_shard *shard;
    const pn_labels *labels;
    pn_list vus, idle;
    pn_list homes; /* the host's own: where it keeps the users */
    uint32_t vu_count;
    bool has_begun;    /* the scenario's start was reached */
    uint64_t ended_ns; /* of the last iteration, or the regular end */
    pn_pacer pacer;
    pn_histogram lateness; /* of starts, ms; open executors */
};

/* What the parts of a scenario share. */
struct pn_scenario_run {
    const pn_scenario *scenario;
    bool is_open;
    bool has_uncorrected; /* of the whole run: some executor is open */
    uint32_t uncorrected_iteration_id, uncorrected_request_id; /* metrics, if so */
    uint64_t start_ns; /* the scenario's; set before the parts begin */
    _Atomic uint64_t regular_end_ns, hard_end_ns;
    _Atomic uint64_t next_iteration; /* shared-iterations */
    _Atomic uint64_t vu_count;       /* made so far; never falls */
    _Atomic uint32_t parts_left;
    uint32_t part_count;
    pn_executor *parts;
};

struct pn_executor_type {
    const char *name;
    bool is_open;
    const pn_option *options; /* besides those that all have */
    int (*complete)(pn_scenario *s, char message[PN_LOAD_MESSAGE_BYTES]);
    uint64_t (*vus_planned)(const pn_scenario *s);
    uint64_t (*vus_max)(const pn_scenario *s);
    uint64_t (*regular_ns)(const pn_scenario *s); /* from its start to its regular end */
    /* Appends "10 looping VUs for 30s", and to `notes` "max_vus: 5-10, ". */
    void (*describe)(const pn_scenario *s, pn_buf *out, pn_buf *notes);
    /* Before the part's first user is asked. */
    void (*begin)(pn_executor *x);
    /* What a user does that has nothing to do; for PN_VU_RUN vu->number is set. */
    pn_vu_order (*next)(pn_executor *x, pn_vu *vu, uint64_t now_ns);
    /* A user leaves for good: how many of its iterations will never begin. Or NULL. */
    uint64_t (*forfeit)(const pn_executor *x, const pn_vu *vu);
    /* The last part is done: how many iterations were never begun. Or NULL. */
    uint64_t (*leftover)(const pn_scenario_run *run);
    /* How far it is, 0 to 1, and what a progress line says: "10 VUs  05.0s/30s". */
    double (*progress)(const pn_scenario_run *run, uint64_t elapsed_ns, pn_buf *text);
};

/* ---- a part's life ---- */

/* start_ns: when the run begins, of the same clock as all `now_ns`. Once, before the parts
 * begin. */
void pn_scenario_run_init(pn_scenario_run *run, const pn_scenario *scenario, pn_executor *parts,
                          uint32_t part_count);
void pn_scenario_run_start(pn_scenario_run *run, uint64_t start_ns);

void pn_executor_init(pn_executor *x, pn_scenario_run *run, uint32_t index, const pn_vu_host *host,
                      pn_metrics_shard *shard, const pn_labels *labels, pn_ledger *ledger);
void pn_executor_close(pn_executor *x); /* no user may be left */

/* Does what is due; returns when to be called again, UINT64_MAX: not needed. */
uint64_t pn_executor_advance(pn_executor *x, uint64_t now_ns);

/* Begins nothing more; running iterations are interrupted, now or at the hard end that stays. From
 * any thread; the part acts at its next advance, which the caller sees to. */
void pn_scenario_run_stop(pn_scenario_run *run, uint64_t now_ns, bool at_once);

/* ---- users ---- */

/* A user is there; its init is still to run. Sets all but id, which is the host's to give. */
void pn_executor_add(pn_executor *x, pn_vu *vu);

/* Its init has run; before the scenario's start, or later for one that was made by `grow`. */
void pn_vu_ready(pn_vu *vu, uint64_t now_ns);

/* It has left, whatever the reason: forgotten from here on. */
void pn_executor_remove(pn_executor *x, pn_vu *vu, uint64_t now_ns);

/* The ordered iteration begins. */
static inline void pn_vu_begin(pn_vu *vu, uint64_t now_ns) {
    pn_executor *x = vu->executor;
    vu->started_ns = now_ns;
    if (!x->run->is_open || vu->intended_ns > now_ns) vu->intended_ns = now_ns;
    vu->late_ns = now_ns - vu->intended_ns;
    if (x->run->is_open) pn_histogram_record(&x->lateness, (double)vu->late_ns * 1e-6);
}

/* It is over. RUN: the next one is ordered. WAIT: `run` or `retire` will be called. LEAVE: the user
 * leaves, `retire` is not called. */
pn_vu_order pn_vu_end(pn_vu *vu, pn_ending ending, uint64_t now_ns);

/* ---- arrivals, for open executors ---- */

/* An arrival: a user begins it, or it is dropped. */
void pn_executor_arrive(pn_executor *x, uint64_t number, uint64_t intended_ns, uint64_t now_ns);

/* As above, handed over: a user of this part was claimed for it. */
void pn_executor_take_over(pn_executor *x, uint64_t number, uint64_t intended_ns, uint64_t now_ns);

/* ---- for the types ---- */

static inline const pn_scenario *pn_executor_scenario(const pn_executor *x) {
    return x->run->scenario;
}

/* A number no other iteration of the scenario has; dense for each part. */
static inline uint64_t pn_executor_number(pn_executor *x) {
    uint64_t n = atomic_load_explicit(&x->counts.started, memory_order_relaxed);
    return n * x->run->part_count + x->index;
}

/* Sums over the parts. */
typedef struct pn_scenario_counts {
    uint64_t started, complete, interrupted, dropped, failed;
    uint32_t active, running;
} pn_scenario_counts;

pn_scenario_counts pn_scenario_run_counts(const pn_scenario_run *run);
pn_phase pn_scenario_run_phase(const pn_scenario_run *run); /* the earliest of its parts */

/* "05.0s/30s", and "30s" when all of it has passed. */
void pn_progress_time(pn_buf *out, uint64_t spent_ns, uint64_t total_ns);

extern const pn_executor_type pn_executor_constant_vus;
extern const pn_executor_type pn_executor_shared_iterations;
extern const pn_executor_type pn_executor_per_vu_iterations;
extern const pn_executor_type pn_executor_constant_arrival_rate;

#endif
