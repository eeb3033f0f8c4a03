/*
 * bench.c - perilune bench: the C and Lua suites, medians of several runs.
 *
 * Every run is a process of its own, so that no run inherits another's memory; it sends its figures
 * through a pipe. A Lua suite is bench/lua/NAME.lua, built in: it returns a function that is called
 * with report(figure, value, unit); comments at its head say what it is and on how many workers it
 * runs:
 *   -- about: messages between two actors
 *   -- workers: 1
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/c/bench.h"
#include "cli/cli.h"
#include "core/json.h"
#include "lua/args.h"

#define FIGURES_MAX   64
#define RUNS_MAX      1000
#define RUNS_DEFAULT  5
#define NAME_BYTES    64
#define SUITES_MAX    64
#define MODULE_PREFIX "bench."

typedef struct suite {
    const char *name;
    char about[128];
    unsigned workers;
    const pn_bench *c;
    const pn_embedded_file *lua;
} suite;

typedef struct figure {
    char name[NAME_BYTES], unit[NAME_BYTES];
    double *runs;
    int count;
} figure;

typedef struct results {
    figure figures[FIGURES_MAX];
    int count;
} results;

typedef struct options {
    int runs;
    bool list;
    const char *json; /* file, "-" for stdout; NULL */
} options;

/* ---- one run, in the child ---- */

struct pn_bench_sink {
    FILE *pipe;
};

void pn_bench_report(pn_bench_sink *sink, const char *name, double value, const char *unit) {
    fprintf(sink->pipe, "%s\t%.17g\t%s\n", name, value, unit);
}

static int l_report(lua_State *L) {
    pn_bench_sink *sink = lua_touserdata(L, lua_upvalueindex(1));
    pn_bench_report(sink, luaL_checkstring(L, 1), luaL_checknumber(L, 2), luaL_checkstring(L, 3));
    return 0;
}

typedef struct suite_program {
    pn_program base;
    const pn_embedded_file *file;
    pn_bench_sink *sink;
} suite_program;

static int push_suite(lua_State *L, pn_program *program) {
    suite_program *p = (suite_program *)program;
    pn_module_push_chunk(L, p->file);
    lua_call(L, 0, 1);
    if (!lua_isfunction(L, -1)) luaL_error(L, "%s returns no function", p->file->file);
    lua_pushlightuserdata(L, p->sink);
    lua_pushcclosure(L, l_report, 1);
    return 1;
}

static void destroy_suite(pn_worker *worker, pn_program *program) { (void)worker, (void)program; }

static int run_lua(const suite *s, pn_bench_sink *sink) {
    pn_host host;
    pn_host_init(&host);
    host.workers = s->workers;
    suite_program program = {{push_suite, destroy_suite, true, NULL}, s->lua, sink};
    return pn_host_run(&host, &program.base);
}

static int run_here(const suite *s, int fd) {
    pn_bench_sink sink = {fdopen(fd, "w")};
    if (sink.pipe == NULL) return 1;
    int status = 0;
    if (s->c != NULL) {
        s->c->run(&sink);
    } else {
        status = run_lua(s, &sink);
    }
    fclose(sink.pipe);
    return status;
}

/* ---- the driver ---- */

static figure *find_figure(results *r, const char *name, const char *unit, int runs) {
    for (int i = 0; i < r->count; i++) {
        if (strcmp(r->figures[i].name, name) == 0) return &r->figures[i];
    }
    if (r->count == FIGURES_MAX) return NULL;
    figure *f = &r->figures[r->count++];
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->unit, sizeof f->unit, "%s", unit);
    f->runs = calloc((size_t)runs, sizeof *f->runs);
    f->count = 0;
    return f->runs != NULL ? f : NULL;
}

static void read_figures(FILE *pipe, results *r, int runs) {
    char line[256];
    while (fgets(line, sizeof line, pipe) != NULL) {
        char *name = strtok(line, "\t"), *value = strtok(NULL, "\t"), *unit = strtok(NULL, "\n");
        if (unit == NULL) continue;
        figure *f = find_figure(r, name, unit, runs);
        if (f != NULL && f->count < runs) f->runs[f->count++] = strtod(value, NULL);
    }
}

/* Returns the child's status, or -1. */
static int run_once(const suite *s, results *r, int runs) {
    int ends[2], status = -1;
    if (pipe(ends) != 0) return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        _exit(run_here(s, ends[1]));
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    if (in != NULL && pid > 0) read_figures(in, r, runs);
    if (in != NULL) fclose(in);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (pid < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const figure *f) { /* runs are sorted */
    int middle = f->count / 2;
    return f->count % 2 == 1 ? f->runs[middle] : (f->runs[middle - 1] + f->runs[middle]) / 2;
}

static const char *short_number(double v, char text[32]) {
    double a = v < 0 ? -v : v;
    if (a >= 1e9) {
        snprintf(text, 32, "%.3f G", v / 1e9);
    } else if (a >= 1e6) {
        snprintf(text, 32, "%.3f M", v / 1e6);
    } else if (a >= 1e4) {
        snprintf(text, 32, "%.2f k", v / 1e3);
    } else {
        snprintf(text, 32, "%.4g", v);
    }
    return text;
}

static void print_table(const suite *s, results *r) {
    char a[32], b[32], c[32];
    for (int i = 0; i < r->count; i++) {
        figure *f = &r->figures[i];
        printf("%-14s %-26s %12s %12s %12s  %s\n", s->name, f->name, short_number(median(f), a),
               short_number(f->runs[0], b), short_number(f->runs[f->count - 1], c), f->unit);
    }
}

static void write_result(pn_json_writer *w, const suite *s, const figure *f) {
    pn_json_begin_object(w);
    pn_json_write_key(w, "bench", 5);
    pn_json_write_string(w, s->name, strlen(s->name));
    pn_json_write_key(w, "figure", 6);
    pn_json_write_string(w, f->name, strlen(f->name));
    pn_json_write_key(w, "value", 5);
    pn_json_write_double(w, median(f));
    pn_json_write_key(w, "unit", 4);
    pn_json_write_string(w, f->unit, strlen(f->unit));
    pn_json_write_key(w, "runs", 4);
    pn_json_begin_array(w);
    for (int i = 0; i < f->count; i++) pn_json_write_double(w, f->runs[i]);
    pn_json_end_array(w);
    pn_json_end_object(w);
}

static void write_text(pn_json_writer *w, const char *key, const char *text) {
    pn_json_write_key(w, key, strlen(key));
    pn_json_write_string(w, text, strlen(text));
}

static void cpu_model(char model[128]) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(model, 128, "unknown");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "model name", 10) != 0) continue;
        char *colon = strchr(line, ':');
        if (colon != NULL) snprintf(model, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f != NULL) fclose(f);
}

static void write_machine(pn_json_writer *w) {
    struct utsname u;
    char model[128];
    uname(&u);
    cpu_model(model);
    pn_json_write_key(w, "machine", 7);
    pn_json_begin_object(w);
    write_text(w, "cpu", model);
    write_text(w, "system", u.sysname);
    write_text(w, "release", u.release);
    pn_json_write_key(w, "cores", 5);
    pn_json_write_int(w, sysconf(_SC_NPROCESSORS_ONLN));
    pn_json_end_object(w);
}

static int save_json(const char *path, const pn_buf *json) {
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    bool ok = out != NULL && fwrite(json->data, 1, json->size, out) == json->size;
    ok = ok && fputc('\n', out) != EOF && fflush(out) == 0;
    if (out != NULL && out != stdout) ok = fclose(out) == 0 && ok;
    if (!ok) fprintf(stderr, "perilune bench: cannot write %s: %s\n", path, strerror(errno));
    return ok ? PN_STATUS_OK : PN_STATUS_SCRIPT;
}

/* ---- which suites ---- */

/* "-- about: ..." and "-- workers: N" at the head of a file. */
static void read_head(suite *s) {
    const char *at = s->lua->start;
    s->workers = 1;
    while (at < s->lua->end && strncmp(at, "--", 2) == 0) {
        const char *line_end = memchr(at, '\n', (size_t)(s->lua->end - at));
        if (line_end == NULL) break;
        if (strncmp(at, "-- about: ", 10) == 0) {
            snprintf(s->about, sizeof s->about, "%.*s", (int)(line_end - at) - 10, at + 10);
        }
        if (strncmp(at, "-- workers: ", 12) == 0) s->workers = (unsigned)strtoul(at + 12, NULL, 10);
        at = line_end + 1;
    }
}

static int collect_suites(suite suites[SUITES_MAX]) {
    int n = 0;
    for (const pn_bench *const *b = pn_benches; *b != NULL && n < SUITES_MAX; b++) {
        suites[n] = (suite){.name = (*b)->name, .c = *b};
        snprintf(suites[n++].about, sizeof suites[0].about, "%s", (*b)->about);
    }
    for (const pn_embedded_file *f = pn_embedded_list(); f->name != NULL && n < SUITES_MAX; f++) {
        if (strncmp(f->name, MODULE_PREFIX, strlen(MODULE_PREFIX)) != 0) continue;
        suites[n] = (suite){.name = f->name + strlen(MODULE_PREFIX), .lua = f};
        read_head(&suites[n++]);
    }
    return n;
}

static bool is_wanted(const suite *s, int argc, char **argv, int first) {
    for (int i = first; i < argc; i++) {
        if (strcmp(argv[i], s->name) == 0) return true;
    }
    return first == argc;
}

static bool is_known(const char *name, const suite *suites, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(suites[i].name, name) == 0) return true;
    }
    return false;
}

static int unknown_bench(const char *name, const suite *suites, int count) {
    const char *names[SUITES_MAX + 1];
    for (int i = 0; i < count; i++) names[i] = suites[i].name;
    names[count] = NULL;
    const char *near = pn_nearest(name, names);
    if (near == NULL) {
        return pn_usage_error(&pn_command_bench, "no benchmark %s (--list shows them)", name);
    }
    return pn_usage_error(&pn_command_bench,
                          "no benchmark %s, did you mean %s? (--list shows them)", name, near);
}

static const char *set_runs(void *context, const char *value) {
    uint64_t n;
    if (pn_parse_count(value, 1, RUNS_MAX, &n) != NULL)
        return "a number from 1 to 1000 was expected";
    ((options *)context)->runs = (int)n;
    return NULL;
}

static const char *set_json(void *context, const char *value) {
    ((options *)context)->json = value;
    return NULL;
}

static const char *set_list(void *context, const char *value) {
    (void)value;
    ((options *)context)->list = true;
    return NULL;
}

static const pn_flag flags[] = {
    {"runs", 'n', "N", set_runs},
    {"json", 0, "FILE", set_json},
    {"list", 0, NULL, set_list},
    {NULL, 0, NULL, NULL},
};

static int run_suite(const suite *s, const options *o, pn_json_writer *w) {
    results *r = calloc(1, sizeof *r);
    int status = r == NULL ? -1 : 0;
    for (int run = 0; status == 0 && run < o->runs; run++) {
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r\033[K%s: run %d of %d", s->name, run + 1, o->runs);
        status = run_once(s, r, o->runs);
    }
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (status != 0) fprintf(stderr, "perilune bench: %s failed with status %d\n", s->name, status);
    for (int i = 0; r != NULL && i < r->count; i++) {
        figure *f = &r->figures[i];
        qsort(f->runs, (size_t)f->count, sizeof *f->runs, compare_doubles);
        if (status == 0) write_result(w, s, f);
    }
    bool to_stdout = o->json != NULL && strcmp(o->json, "-") == 0;
    if (status == 0 && !to_stdout) print_table(s, r);
    for (int i = 0; r != NULL && i < r->count; i++) free(r->figures[i].runs);
    free(r);
    fflush(stdout);
    return status;
}

static int run_all(const options *o, const suite *suites, int count, int argc, char **argv,
                   int first) {
    pn_heap *heap = pn_heap_create(false);
    pn_ledger ledger;
    pn_buf json;
    pn_json_writer w;
    if (heap == NULL) return PN_STATUS_SCRIPT;
    pn_ledger_init_shared(&ledger, "bench", heap);
    pn_buf_init(&json, &ledger.door);
    pn_json_writer_init(&w, &json, 2, 0);
    pn_json_begin_object(&w);
    write_machine(&w);
    pn_json_write_key(&w, "results", 7);
    pn_json_begin_array(&w);
    if (o->json == NULL || strcmp(o->json, "-") != 0) {
        printf("%-14s %-26s %12s %12s %12s  %s\n", "bench", "figure", "median", "min", "max",
               "unit");
    }
    int status = PN_STATUS_OK;
    for (int i = 0; i < count; i++) {
        if (!is_wanted(&suites[i], argc, argv, first)) continue;
        if (run_suite(&suites[i], o, &w) != 0) status = PN_STATUS_SCRIPT;
    }
    pn_json_end_array(&w);
    pn_json_end_object(&w);
    if (o->json != NULL && status == PN_STATUS_OK) status = save_json(o->json, &json);
    pn_buf_close(&json);
    pn_heap_destroy(heap);
    return status;
}

static int run(int argc, char **argv) {
    options o = {.runs = RUNS_DEFAULT};
    suite suites[SUITES_MAX];
    int count = collect_suites(suites);
    const pn_flag *const tables[] = {flags, NULL};
    void *const contexts[] = {&o};
    int first = pn_flags_read_all(&pn_command_bench, argc, argv, tables, contexts);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    for (int i = first; i < argc; i++) {
        if (is_known(argv[i], suites, count)) continue;
        return unknown_bench(argv[i], suites, count);
    }
    for (int i = 0; o.list && i < count; i++) printf("%-14s %s\n", suites[i].name, suites[i].about);
    if (o.list) return PN_STATUS_OK;
    return run_all(&o, suites, count, argc, argv, first);
}

const pn_command pn_command_bench = {
    .name = "bench",
    .summary = "the built-in benchmarks",
    .usage =
        "Usage: perilune bench [flags] [NAME...]\n"
        "\n"
        "Runs the built-in benchmarks (all, or those named), each in a process of its own, and\n"
        "prints median, minimum and maximum of every figure.\n"
        "\n"
        "Flags:\n"
        "  -n, --runs N      repetitions (5)\n"
        "      --json FILE   the figures as JSON, with the machine; - is stdout\n"
        "      --list        what there is\n",
    .run = run,
};
