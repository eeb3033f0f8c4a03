/* per-vu-iterations: so many iterations for each user. */
#include "load/executor.h"

static const pn_option options[] = {
    {"vus", PN_OPTION_COUNT, offsetof(pn_scenario, vus), 1, 1, PN_VUS_MAX, false},
    {"iterations", PN_OPTION_COUNT, offsetof(pn_scenario, iterations), 1, 1, PN_ITERATIONS_MAX,
     false},
    {"max_duration", PN_OPTION_DURATION, offsetof(pn_scenario, max_duration_ns),
     PN_MAX_DURATION_DEFAULT_NS, PN_DURATION_MIN_NS, PN_DURATION_MAX_NS, false},
    {NULL, PN_OPTION_COUNT, 0, 0, 0, 0, false},
};

static int complete(pn_scenario *s, char message[PN_LOAD_MESSAGE_BYTES]) {
    if (s->iterations <= PN_ITERATIONS_MAX / s->vus) return 0;
    return pn_load_refuse(message, "iterations: %llu for each of %llu vus are too many",
                          (unsigned long long)s->iterations, (unsigned long long)s->vus);
}

static uint64_t vus(const pn_scenario *s) { return s->vus; }

static uint64_t regular_ns(const pn_scenario *s) { return s->max_duration_ns; }

static void describe(const pn_scenario *s, pn_buf *out, pn_buf *notes) {
    char text[PN_UNITS_TEXT_BYTES];
    pn_buf_printf(out, "%llu iterations for each of %llu VUs", (unsigned long long)s->iterations,
                  (unsigned long long)s->vus);
    pn_buf_printf(notes, "max_duration: %s, ", pn_units_format_duration(s->max_duration_ns, text));
}

static pn_vu_order next(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    (void)now_ns;
    if (vu->iteration_count >= x->run->scenario->iterations) return PN_VU_LEAVE;
    vu->number = pn_executor_number(x);
    return PN_VU_RUN;
}

static uint64_t forfeit(const pn_executor *x, const pn_vu *vu) {
    return x->run->scenario->iterations - vu->iteration_count;
}

static double progress(const pn_scenario_run *run, uint64_t elapsed_ns, pn_buf *text) {
    const pn_scenario *s = run->scenario;
    uint64_t complete = pn_scenario_run_counts(run).complete, all = s->iterations * s->vus;
    pn_buf_printf(text, "%llu VUs  ", (unsigned long long)s->vus);
    pn_progress_time(text, elapsed_ns, s->max_duration_ns);
    pn_buf_printf(text, "  %llu/%llu iters, %llu per VU", (unsigned long long)complete,
                  (unsigned long long)all, (unsigned long long)s->iterations);
    return (double)complete / (double)all;
}

const pn_executor_type pn_executor_per_vu_iterations = {
    .name = "per-vu-iterations",
    .options = options,
    .complete = complete,
    .vus_planned = vus,
    .vus_max = vus,
    .regular_ns = regular_ns,
    .describe = describe,
    .next = next,
    .forfeit = forfeit,
    .progress = progress,
};
