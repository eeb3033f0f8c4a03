/* constant-vus: so many users loop for so long. */
#include "load/executor.h"

static const pn_option options[] = {
    {"vus", PN_OPTION_COUNT, offsetof(pn_scenario, vus), 1, 1, PN_VUS_MAX, false},
    {"duration", PN_OPTION_DURATION, offsetof(pn_scenario, duration_ns), 0, PN_DURATION_MIN_NS,
     PN_DURATION_MAX_NS, true},
    {NULL, PN_OPTION_COUNT, 0, 0, 0, 0, false},
};

static uint64_t vus(const pn_scenario *s) { return s->vus; }

static uint64_t regular_ns(const pn_scenario *s) { return s->duration_ns; }

static void describe(const pn_scenario *s, pn_buf *out, pn_buf *notes) {
    char text[PN_UNITS_TEXT_BYTES];
    (void)notes;
    pn_buf_printf(out, "%llu looping VUs for %s", (unsigned long long)s->vus,
                  pn_units_format_duration(s->duration_ns, text));
}

static pn_vu_order next(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    (void)now_ns;
    vu->number = pn_executor_number(x);
    return PN_VU_RUN;
}

static double progress(const pn_scenario_run *run, uint64_t elapsed_ns, pn_buf *text) {
    const pn_scenario *s = run->scenario;
    pn_buf_printf(text, "%llu VUs  ", (unsigned long long)s->vus);
    pn_progress_time(text, elapsed_ns, s->duration_ns);
    return (double)elapsed_ns / (double)s->duration_ns;
}

const pn_executor_type pn_executor_constant_vus = {
    .name = "constant-vus",
    .options = options,
    .vus_planned = vus,
    .vus_max = vus,
    .regular_ns = regular_ns,
    .describe = describe,
    .next = next,
    .progress = progress,
};
