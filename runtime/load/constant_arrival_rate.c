/* constant-arrival-rate: iterations begin at even distances, whatever the earlier ones do. */
#include "load/executor.h"

static const pn_option options[] = {
    {"rate", PN_OPTION_COUNT, offsetof(pn_scenario, rate), 0, 1, PN_RATE_MAX, true},
    {"time_unit", PN_OPTION_DURATION, offsetof(pn_scenario, time_unit_ns), PN_NS_PER_S, 1,
     PN_DURATION_MAX_NS, false},
    {"duration", PN_OPTION_DURATION, offsetof(pn_scenario, duration_ns), 0, PN_DURATION_MIN_NS,
     PN_DURATION_MAX_NS, true},
    {"pre_allocated_vus", PN_OPTION_COUNT, offsetof(pn_scenario, pre_allocated_vus), 0, 0,
     PN_VUS_MAX, true},
    {"max_vus", PN_OPTION_COUNT, offsetof(pn_scenario, max_vus), 0, 1, PN_VUS_MAX, false},
    {NULL, PN_OPTION_COUNT, 0, 0, 0, 0, false},
};

static int complete(pn_scenario *s, char message[PN_LOAD_MESSAGE_BYTES]) {
    if (s->max_vus == 0) s->max_vus = s->pre_allocated_vus;
    if (s->max_vus == 0) return pn_load_refuse(message, "max_vus: at least 1 user is needed");
    bool is_sane = (unsigned __int128)s->rate * PN_NS_PER_S <=
                   (unsigned __int128)s->time_unit_ns * PN_RATE_MAX;
    if (!is_sane) {
        return pn_load_refuse(message, "rate: at most %llu iterations a second can be asked for",
                              PN_RATE_MAX);
    }
    if (s->max_vus >= s->pre_allocated_vus) return 0;
    return pn_load_refuse(message, "max_vus: at least pre_allocated_vus (%llu) expected, got %llu",
                          (unsigned long long)s->pre_allocated_vus, (unsigned long long)s->max_vus);
}

static uint64_t vus_planned(const pn_scenario *s) { return s->pre_allocated_vus; }

static uint64_t vus_max(const pn_scenario *s) { return s->max_vus; }

static uint64_t regular_ns(const pn_scenario *s) { return s->duration_ns; }

/* "%.2f" of the starts in a second, without the locale's point. */
static void put_rate(pn_buf *out, const pn_scenario *s) {
    unsigned __int128 hundredths = (unsigned __int128)s->rate * 100 * PN_NS_PER_S;
    uint64_t n = (uint64_t)((hundredths + s->time_unit_ns / 2) / s->time_unit_ns);
    pn_buf_printf(out, "%llu.%02llu iterations/s", (unsigned long long)(n / 100),
                  (unsigned long long)(n % 100));
}

static void describe(const pn_scenario *s, pn_buf *out, pn_buf *notes) {
    char text[PN_UNITS_TEXT_BYTES];
    put_rate(out, s);
    pn_buf_printf(out, " for %s", pn_units_format_duration(s->duration_ns, text));
    if (s->max_vus > s->pre_allocated_vus) {
        pn_buf_printf(notes, "max_vus: %llu-%llu, ", (unsigned long long)s->pre_allocated_vus,
                      (unsigned long long)s->max_vus);
    } else {
        pn_buf_printf(notes, "max_vus: %llu, ", (unsigned long long)s->max_vus);
    }
}

static pn_vu_order next(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    (void)x, (void)vu, (void)now_ns;
    return PN_VU_WAIT;
}

static double progress(const pn_scenario_run *run, uint64_t elapsed_ns, pn_buf *text) {
    const pn_scenario *s = run->scenario;
    pn_scenario_counts counts = pn_scenario_run_counts(run);
    uint64_t made = atomic_load_explicit(&run->vu_count, memory_order_relaxed);
    pn_buf_printf(text, "%03u/%03llu VUs  ", counts.running, (unsigned long long)made);
    pn_progress_time(text, elapsed_ns, s->duration_ns);
    pn_buf_add_text(text, "  ");
    put_rate(text, s);
    return (double)elapsed_ns / (double)s->duration_ns;
}

const pn_executor_type pn_executor_constant_arrival_rate = {
    .name = "constant-arrival-rate",
    .is_open = true,
    .options = options,
    .complete = complete,
    .vus_planned = vus_planned,
    .vus_max = vus_max,
    .regular_ns = regular_ns,
    .describe = describe,
    .next = next,
    .progress = progress,
};
