#include "load/scenario.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "load/executor.h"

static const pn_executor_type *const types[] = {
    &pn_executor_shared_iterations,
    &pn_executor_per_vu_iterations,
    &pn_executor_constant_vus,
    &pn_executor_constant_arrival_rate,
    NULL,
};

/* k6's, not here yet. */
static const char *const later[] = {"ramping-vus", "ramping-arrival-rate", "externally-controlled",
                                    NULL};

static const pn_option common[] = {
    {"start_time", PN_OPTION_DURATION, offsetof(pn_scenario, start_time_ns), 0, 0,
     PN_DURATION_MAX_NS, false},
    {"graceful_stop", PN_OPTION_DURATION, offsetof(pn_scenario, graceful_stop_ns),
     PN_GRACEFUL_STOP_DEFAULT_NS, 0, PN_DURATION_MAX_NS, false},
};

#define COMMON_COUNT (sizeof common / sizeof common[0])

const pn_executor_type *const *pn_executor_types(void) { return types; }

static void list_types(char *out, size_t room) {
    size_t used = 0;
    for (int i = 0; types[i] != NULL && used < room; i++) {
        used +=
            (size_t)snprintf(out + used, room - used, "%s%s", i > 0 ? ", " : "", types[i]->name);
    }
}

const pn_executor_type *pn_executor_type_find(const char *name,
                                              char message[PN_LOAD_MESSAGE_BYTES]) {
    char known[256];
    for (int i = 0; types[i] != NULL; i++) {
        if (strcmp(types[i]->name, name) == 0) return types[i];
    }
    list_types(known, sizeof known);
    for (int i = 0; later[i] != NULL; i++) {
        if (strcmp(later[i], name) != 0) continue;
        pn_load_refuse(message, "executor: %s comes with the next version (now there are: %s)",
                       name, known);
        return NULL;
    }
    pn_load_refuse(message, "executor: there is no \"%.64s\" (there are: %s)", name, known);
    return NULL;
}

void pn_scenario_init(pn_scenario *scenario, const char *name, const pn_executor_type *type) {
    char message[PN_LOAD_MESSAGE_BYTES];
    memset(scenario, 0, sizeof *scenario);
    scenario->name = name;
    scenario->exec = "default";
    scenario->type = type;
    const pn_option *option;
    for (uint32_t n = 0; (option = pn_scenario_option_at(type, n)) != NULL; n++) {
        if (!option->is_required) pn_option_set_absent(option, scenario, message);
    }
}

static bool is_name_byte(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
}

int pn_scenario_check_name(const char *name, size_t size, char message[PN_LOAD_MESSAGE_BYTES]) {
    bool fits = size > 0 && size <= PN_SCENARIO_NAME_MAX_BYTES;
    for (size_t i = 0; i < size && fits; i++) fits = is_name_byte(name[i]);
    if (fits) return 0;
    return pn_load_refuse(
        message, "the name of a scenario has 1 to %d letters, digits, - and _, got \"%.*s\"",
        PN_SCENARIO_NAME_MAX_BYTES, size > 64 ? 64 : (int)size, name);
}

const pn_option *pn_scenario_option_at(const pn_executor_type *type, uint32_t n) {
    uint32_t own = 0;
    while (type->options[own].key != NULL) own++;
    if (n < own) return &type->options[n];
    return n - own < COMMON_COUNT ? &common[n - own] : NULL;
}

int pn_scenario_set(pn_scenario *scenario, const char *key, const pn_value *value,
                    char message[PN_LOAD_MESSAGE_BYTES]) {
    const pn_option *option;
    for (uint32_t n = 0; (option = pn_scenario_option_at(scenario->type, n)) != NULL; n++) {
        if (strcmp(option->key, key) != 0) continue;
        int err = pn_option_set(option, scenario, value, message);
        if (err == 0) scenario->was_set |= 1ULL << n;
        return err;
    }
    return PN_ENOT_FOUND;
}

int pn_scenario_complete(pn_scenario *scenario, char message[PN_LOAD_MESSAGE_BYTES]) {
    const pn_option *option;
    for (uint32_t n = 0; (option = pn_scenario_option_at(scenario->type, n)) != NULL; n++) {
        bool is_missing = option->is_required && (scenario->was_set >> n & 1) == 0;
        if (is_missing) return pn_option_set_absent(option, scenario, message);
    }
    return scenario->type->complete != NULL ? scenario->type->complete(scenario, message) : 0;
}

uint64_t pn_scenario_vus_planned(const pn_scenario *s) { return s->type->vus_planned(s); }

uint64_t pn_scenario_vus_max(const pn_scenario *s) { return s->type->vus_max(s); }

uint64_t pn_scenario_regular_end_ns(const pn_scenario *s) {
    return s->start_time_ns + s->type->regular_ns(s);
}

uint64_t pn_scenario_hard_end_ns(const pn_scenario *s) {
    return pn_scenario_regular_end_ns(s) + s->graceful_stop_ns;
}

void pn_scenario_describe(const pn_scenario *s, pn_buf *out) {
    char text[PN_UNITS_TEXT_BYTES];
    pn_buf notes;
    pn_buf_init(&notes, out->alloc);
    s->type->describe(s, out, &notes);
    if (strcmp(s->exec, "default") != 0) pn_buf_printf(&notes, "exec: %s, ", s->exec);
    if (s->start_time_ns > 0) {
        pn_buf_printf(&notes, "start_time: %s, ", pn_units_format_duration(s->start_time_ns, text));
    }
    pn_buf_printf(out, " (%sgraceful_stop: %s)", pn_buf_text(&notes),
                  pn_units_format_duration(s->graceful_stop_ns, text));
    pn_buf_close(&notes);
}
