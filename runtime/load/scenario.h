/*
 * scenario.h - what a scenario is asked to do: its executor, its options, and what follows from
 * them.
 *
 * Names, meanings and defaults are k6's, in snake_case. A scenario is filled option by option
 * (pn_scenario_option finds them), then completed, which checks what depends on more than one of
 * them. From then on it does not change; executors read it from any thread.
 *
 * A new executor is a file of its own with a pn_executor_type (executor.h), entered in the table of
 * scenario.c.
 */
#ifndef PN_LOAD_SCENARIO_H
#define PN_LOAD_SCENARIO_H

#include "base/buf.h"
#include "load/option.h"
#include "load/texts.h"

#define PN_SCENARIOS_MAX            256
#define PN_SCENARIO_NAME_MAX_BYTES  128
#define PN_VUS_MAX                  100000000ULL /* k6's */
#define PN_ITERATIONS_MAX           1000000000000000ULL
#define PN_RATE_MAX                 1000000000ULL     /* starts in a time unit */
#define PN_DURATION_MIN_NS          (1 * PN_NS_PER_S) /* k6's */
#define PN_GRACEFUL_STOP_DEFAULT_NS (30 * PN_NS_PER_S)
#define PN_MAX_DURATION_DEFAULT_NS  (600 * PN_NS_PER_S)

typedef struct pn_executor_type pn_executor_type;

typedef struct pn_scenario {
    const char *name;
    const char *exec;      /* the function's name in the scenario table */
    bool exec_is_function; /* exec was given as the function itself; `exec` says "function" */
    const pn_executor_type *type;
    pn_pairs env, tags;
    /* Options; 0 where the executor has none of that name. */
    uint64_t start_time_ns, graceful_stop_ns;
    uint64_t duration_ns, max_duration_ns, time_unit_ns;
    uint64_t vus, iterations, rate, pre_allocated_vus, max_vus;
    uint64_t was_set; /* a bit for each option, by its place in the executor's tables */
} pn_scenario;

/* NULL: no such executor, and a message, which says so when it is one of k6's that is not here
 * yet. */
const pn_executor_type *pn_executor_type_find(const char *name,
                                              char message[PN_LOAD_MESSAGE_BYTES]);
const pn_executor_type *const *pn_executor_types(void); /* ended by NULL */

/* Sets all options to their defaults; the type must be set. */
void pn_scenario_init(pn_scenario *scenario, const char *name, const pn_executor_type *type);

/* Letters, digits, - and _, as in k6. PN_EBAD_CONFIG and a message. */
int pn_scenario_check_name(const char *name, size_t size, char message[PN_LOAD_MESSAGE_BYTES]);

/* The n-th option of the executor, NULL behind the last. */
const pn_option *pn_scenario_option_at(const pn_executor_type *type, uint32_t n);

/* PN_ENOT_FOUND: the executor has no such option. PN_EBAD_CONFIG and a message. */
int pn_scenario_set(pn_scenario *scenario, const char *key, const pn_value *value,
                    char message[PN_LOAD_MESSAGE_BYTES]);

/* What is required is there; what depends on other options is filled in and checked.
 * PN_EBAD_CONFIG. */
int pn_scenario_complete(pn_scenario *scenario, char message[PN_LOAD_MESSAGE_BYTES]);

/* ---- what follows from it ---- */

uint64_t pn_scenario_vus_planned(const pn_scenario *scenario); /* made before the run begins */
uint64_t pn_scenario_vus_max(const pn_scenario *scenario);

/* From the start of the run: when no iteration is begun any more, and when none may run any
 * more. */
uint64_t pn_scenario_regular_end_ns(const pn_scenario *scenario);
uint64_t pn_scenario_hard_end_ns(const pn_scenario *scenario);

/* "10 looping VUs for 30s (graceful_stop: 30s)" */
void pn_scenario_describe(const pn_scenario *scenario, pn_buf *out);

#endif
