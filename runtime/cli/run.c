/*
 * run.c - perilune run and perilune inspect: flags in, a load run beside the runtime, its verdict
 * out.
 *
 * What happens when is the controller's (scripts/perilune/load_controller.lua), the first actor.
 * Flags are passed on as they were given; he knows what they mean, except for those about the log
 * and the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bind/load.h"
#include "cli/cli.h"

#define CONTROLLER "perilune.load_controller"
#define FLAGS_MAX  1024

typedef struct run_command {
    pn_host host;
    pn_load_request request;
    pn_load_flag flags[FLAGS_MAX];
    pn_load *load;
    bool has_signal; /* an interrupt has come */
} run_command;

/* ---- flags ---- */

static const char *keep(void *context, const char *name, const char *value) {
    run_command *run = context;
    if (run->request.flag_count == FLAGS_MAX) return "too many flags";
    run->flags[run->request.flag_count++] = (pn_load_flag){name, value != NULL ? value : ""};
    return NULL;
}

#define PASSED_ON(function, name)                                                                  \
    static const char *function(void *context, const char *value) {                                \
        return keep(context, name, value);                                                         \
    }

PASSED_ON(set_vus, "vus")
PASSED_ON(set_duration, "duration")
PASSED_ON(set_iterations, "iterations")
PASSED_ON(set_stage, "stages")
PASSED_ON(set_env, "env")
PASSED_ON(set_tag, "tag")
PASSED_ON(set_out, "out")
PASSED_ON(set_config, "config")
PASSED_ON(set_summary_export, "summary_export")
PASSED_ON(set_summary_trend_stats, "summary_trend_stats")
PASSED_ON(set_summary_mode, "summary_mode")
PASSED_ON(set_summary_time_unit, "summary_time_unit")
PASSED_ON(set_setup_timeout, "setup_timeout")
PASSED_ON(set_teardown_timeout, "teardown_timeout")
PASSED_ON(set_no_thresholds, "no_thresholds")
PASSED_ON(set_no_setup, "no_setup")
PASSED_ON(set_no_teardown, "no_teardown")
PASSED_ON(set_fail_on_check, "fail_on_check")
PASSED_ON(set_quiet, "quiet")
PASSED_ON(set_no_color, "no_color")

static const char *set_log_format(void *context, const char *value) {
    run_command *run = context;
    run->host.log.json = strcmp(value, "json") == 0;
    return run->host.log.json || strcmp(value, "text") == 0 ? NULL : "text or json was expected";
}

static const char *set_log_output(void *context, const char *value) {
    run_command *run = context;
    if (strcmp(value, "stderr") == 0) return NULL;
    run->host.log.fd = strcmp(value, "none") == 0
                           ? -1
                           : open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return run->host.log.fd >= 0 || strcmp(value, "none") == 0 ? NULL : strerror(errno);
}

static const pn_flag flags[] = {
    {"vus", 'u', "N", set_vus},
    {"duration", 'd', "D", set_duration},
    {"iterations", 'i', "N", set_iterations},
    {"stage", 's', "D:N", set_stage},
    {"env", 'e', "NAME=VALUE", set_env},
    {"tag", 0, "NAME=VALUE", set_tag},
    {"out", 'o', "json=FILE", set_out},
    {"config", 'c', "FILE", set_config},
    {"summary-export", 0, "FILE", set_summary_export},
    {"summary-trend-stats", 0, "LIST", set_summary_trend_stats},
    {"summary-mode", 0, "MODE", set_summary_mode},
    {"summary-time-unit", 0, "UNIT", set_summary_time_unit},
    {"setup-timeout", 0, "D", set_setup_timeout},
    {"teardown-timeout", 0, "D", set_teardown_timeout},
    {"no-thresholds", 0, NULL, set_no_thresholds},
    {"no-setup", 0, NULL, set_no_setup},
    {"no-teardown", 0, NULL, set_no_teardown},
    {"fail-on-check", 0, NULL, set_fail_on_check},
    {"quiet", 'q', NULL, set_quiet},
    {"no-color", 0, NULL, set_no_color},
    {"log-format", 0, "text|json", set_log_format},
    {"log-output", 0, "FILE", set_log_output},
    {NULL, 0, NULL, NULL},
};

/* ---- beside the runtime ---- */

static pn_lua_shared *shared_of(const pn_host *host) { return host->runtime->lua; }

static int on_open(pn_host *host) {
    run_command *run = host->context;
    run->load = pn_load_create(host->runtime, &run->request);
    shared_of(host)->load = run->load;
    return run->load != NULL ? 0 : PN_ENOMEM;
}

static void on_close(pn_host *host) {
    run_command *run = host->context;
    shared_of(host)->load = NULL;
    pn_load_destroy(run->load);
    run->load = NULL;
}

/* On the watchdog's thread. */
static void on_interrupt(pn_host *host) {
    run_command *run = host->context;
    pn_load_decide(run->load, PN_VERDICT_INTERRUPTED, "interrupted");
    pn_load_stop(run->load);
}

static int push_controller(lua_State *L, pn_program *program) {
    (void)program;
    pn_module_push_chunk(L, pn_embedded_find(CONTROLLER));
    return 0;
}

static void destroy_nothing(pn_worker *worker, pn_program *program) { (void)worker, (void)program; }

static int run_script(run_command *run) {
    pn_program program = {.push = push_controller, .destroy = destroy_nothing, .is_full = true};
    return pn_host_run(&run->host, &program);
}

static int run_with(const pn_command *command, int argc, char **argv) {
    run_command *run = calloc(1, sizeof *run);
    if (run == NULL) return PN_STATUS_SCRIPT;
    pn_host_init(&run->host);
    run->host.keeps_series = false;
    run->request = (pn_load_request){
        .command = command->name, .flags = run->flags, .is_terminal = isatty(STDOUT_FILENO) == 1};
    run->host.context = run;
    run->host.on_open = on_open;
    run->host.on_close = on_close;
    run->host.on_interrupt = on_interrupt;
    const pn_flag *const tables[] = {flags, pn_host_flags, NULL};
    void *const contexts[] = {run, &run->host};
    int first = pn_flags_read_all(command, argc, argv, tables, contexts), status;
    if (first < 0) {
        status = first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    } else if (first != argc - 1) {
        status = pn_usage_error(command,
                                first == argc ? "which file? perilune %s FILE"
                                              : "one file was expected: perilune %s FILE",
                                command->name);
    } else {
        run->request.script = run->host.script_path = argv[first];
        status = run_script(run);
    }
    if (run->host.log.fd > STDERR_FILENO) close(run->host.log.fd);
    free(run);
    return status;
}

static int run_run(int argc, char **argv) { return run_with(&pn_command_run, argc, argv); }

static int run_inspect(int argc, char **argv) { return run_with(&pn_command_inspect, argc, argv); }

#define FLAGS_TEXT                                                                                 \
    "  -u, --vus N                  virtual users\n"                                               \
    "  -d, --duration D             how long they loop (\"30s\", \"1m30s\")\n"                     \
    "  -i, --iterations N           iterations in all, shared among the users\n"                   \
    "  -e, --env NAME=VALUE         a variable for the script, run.env.NAME (repeatable)\n"        \
    "      --tag NAME=VALUE         a tag of all samples (repeatable)\n"                           \
    "  -c, --config FILE            options as JSON, beneath the script's\n"                       \
    "  -o, --out json=FILE          every sample as a line of JSON\n"                              \
    "      --summary-export FILE    the whole result as JSON\n"                                    \
    "      --summary-trend-stats L  what trends show: avg,min,med,max,p(90),p(95)\n"               \
    "      --summary-mode MODE      compact, full or disabled\n"                                   \
    "      --summary-time-unit U    s, ms or us; else what fits\n"                                 \
    "      --setup-timeout D        60s if not given; and --teardown-timeout D\n"                  \
    "      --no-thresholds          do not judge\n"                                                \
    "      --no-setup               and --no-teardown: leave the hook out\n"                       \
    "      --fail-on-check          a failed check fails the run\n"                                \
    "  -q, --quiet                  no header, no progress\n"                                      \
    "      --no-color               plain text also on a terminal\n"                               \
    "      --log-format text|json   of the log\n"                                                  \
    "      --log-output FILE        a file, stderr or none\n"                                      \
    "      --workers N              worker threads (default: one a core)\n"                        \
    "      --seed N                 seed of everything random\n"                                   \
    "      --virtual-time           one worker; time moves only when nothing can run\n"

const pn_command pn_command_run = {
    .name = "run",
    .summary = "run a load test: a scenario of virtual users",
    .usage =
        "Usage: perilune run [flags] FILE\n"
        "\n"
        "Runs the scenario that FILE returns (docs/load.md): setup, virtual users, teardown;\n"
        "shows progress and a summary. Flags win over PERILUNE_* variables, those over the\n"
        "script, the script over --config.\n"
        "\n"
        "Flags:\n" FLAGS_TEXT "\n"
        "Exit codes: 0 passed; 99 a threshold failed; 100, 101, 102 setup, teardown, something\n"
        "else took too long; 104 bad options; 105 interrupted; 107 an error in the script;\n"
        "108 run.abort; 110 run.fail, or a failed check under --fail-on-check.\n",
    .run = run_run,
};

const pn_command pn_command_inspect = {
    .name = "inspect",
    .summary = "load and validate a scenario, print what it would do",
    .usage =
        "Usage: perilune inspect [flags of run] FILE\n"
        "\n"
        "Loads the scenario, checks it as `run` would, and prints its scenarios with all their\n"
        "options as JSON. Nothing is run. Exits with 104 or 107 if it is not good.\n",
    .run = run_inspect,
};
