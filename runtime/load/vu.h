/*
 * vu.h - a virtual user, as the engines know it, and what its work is labelled with.
 *
 * This is where whoever does work for a user (an HTTP request, a check, a metric of the script)
 * finds the user, its scenario's tags and the lateness of its iteration. bind/load.h finds the
 * pn_vu and the pn_labels of the calling task; a task that is nobody's user has neither.
 *
 * How an open executor's latency is corrected. An iteration has an intended start, from the plan of
 * arrivals, and an actual one. Their difference is its lateness. iteration_duration counts from the
 * intended start; the first request of the iteration that is begun takes the lateness over
 * (pn_vu_take_lateness) and adds it to its duration, the others add nothing, because waiting that
 * the generator caused is one wait. In a run with an open executor the same figures without
 * lateness go to iteration_duration_uncorrected and http_req_duration_uncorrected.
 *
 * Threads: the user's worker.
 */
#ifndef PN_LOAD_VU_H
#define PN_LOAD_VU_H

#include "base/list.h"
#include "core/metrics.h"
#include "load/labels.h"

typedef struct pn_executor pn_executor;
typedef struct pn_scenario_run pn_scenario_run;

typedef enum pn_vu_state {
    PN_VU_PREPARING, /* init has not run yet */
    PN_VU_IDLE,      /* waits for an arrival, or for the scenario's start */
    PN_VU_RUNNING,   /* an iteration */
    PN_VU_LEAVING,   /* stops; done runs */
} pn_vu_state;

typedef struct pn_vu {
    pn_list all;  /* of the executor */
    pn_list idle; /* while IDLE, or PREPARING without an iteration to begin */
    pn_executor *executor;
    uint64_t id;              /* from 1, across workers and scenarios */
    uint64_t iteration_count; /* begun so far */
    uint64_t number;          /* of the present iteration among all of the scenario */
    uint64_t intended_ns;     /* when the present iteration should begin */
    uint64_t started_ns;      /* when it did */
    uint64_t late_ns;         /* what the first request of the iteration is to add; then 0 */
    uint8_t state;
    bool has_order;      /* PREPARING: an iteration is waiting for init */
    bool is_interrupted; /* its iteration was told to end */
} pn_vu;

/* For a request that is begun: what is to be added to its duration. `vu` may be NULL. */
static inline uint64_t pn_vu_take_lateness(pn_vu *vu) {
    if (vu == NULL) return 0;
    uint64_t late_ns = vu->late_ns;
    vu->late_ns = 0;
    return late_ns;
}

/* Records http_req_duration, corrected by the lateness that was taken when the request began, and
 * the uncorrected one beside it where there is one. `run` is that of the user, who may be gone when
 * the request is over; NULL for nobody's. */
void pn_scenario_record_request(const pn_scenario_run *run, pn_metrics_shard *shard,
                                uint64_t duration_ns, uint64_t late_ns, uint64_t now_ns,
                                const pn_tags *tags);

#endif
