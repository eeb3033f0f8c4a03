/*
 * host.c - a runtime around one Lua program: the first actor, signals, the exit status.
 *
 * The main thread waits; a watcher actor of C behaviour spawns the program's actor, monitors it and
 * ends the wait when it is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"
#include "cli/cli.h"
#include "lua/spawn.h"

/* ---- flags ---- */

const char *pn_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    bool is_digit = text[0] >= '0' && text[0] <= '9'; /* strtoull takes blanks and signs, too */
    bool ok = errno == 0 && is_digit && *end == '\0' && n >= min && n <= max;
    if (!ok) return "a whole number in range was expected";
    *value = n;
    return NULL;
}

static const char *set_workers(void *context, const char *value) {
    uint64_t n;
    if (pn_parse_count(value, 1, PN_WORKERS_MAX, &n) != NULL)
        return "a number from 1 to 64 was expected";
    ((pn_host *)context)->workers = (unsigned)n;
    return NULL;
}

static const char *set_seed(void *context, const char *value) {
    pn_host *host = context;
    host->has_seed = true;
    if (pn_parse_count(value, 0, UINT64_MAX, &host->seed) == NULL) return NULL;
    return "a whole number from 0 to 18446744073709551615 was expected";
}

static const char *set_virtual(void *context, const char *value) {
    (void)value;
    ((pn_host *)context)->is_virtual = true;
    return NULL;
}

static const char *set_log_format(void *context, const char *value) {
    pn_host *host = context;
    host->log.json = strcmp(value, "json") == 0;
    return host->log.json || strcmp(value, "text") == 0 ? NULL : "text or json was expected";
}

static const char *set_log_level(void *context, const char *value) {
    for (pn_log_level level = PN_LOG_DEBUG; level <= PN_LOG_NONE; level++) {
        if (strcmp(value, pn_log_level_name(level)) != 0) continue;
        ((pn_host *)context)->log.level = level;
        return NULL;
    }
    return "debug, info, warn, error or none was expected";
}

static const char *set_log_output(void *context, const char *value) {
    pn_host *host = context;
    if (strcmp(value, "stderr") == 0 || strcmp(value, "stdout") == 0) {
        host->log.fd = strcmp(value, "stderr") == 0 ? STDERR_FILENO : STDOUT_FILENO;
        return NULL;
    }
    host->log.fd = open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return host->log.fd >= 0 ? NULL : strerrordesc_np(errno);
}

const pn_flag pn_host_flags[] = {
    {"workers", 0, "N", set_workers},
    {"seed", 0, "N", set_seed},
    {"virtual-time", 0, NULL, set_virtual},
    {"log-format", 0, "text|json", set_log_format},
    {"log-level", 0, "LEVEL", set_log_level},
    {"log-output", 0, "FILE", set_log_output},
    {NULL, 0, NULL, NULL},
};

/* ---- the program from a file ---- */

typedef struct file_program {
    pn_program base;
    const char *path;
    pn_source text;
    int argc;
    char **argv;
} file_program;

/* `arg`, as the stand-alone interpreter sets it. */
static void set_arg(lua_State *L, const file_program *f) {
    lua_createtable(L, f->argc, 1);
    lua_pushstring(L, f->path);
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < f->argc; i++) {
        lua_pushstring(L, f->argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
}

/* As from a file: a first line that begins with # is the system's. */
static int load_text(lua_State *L, const pn_source *text) {
    const char *start = text->bytes, *end = start + text->size;
    while (start < end && *text->bytes == '#' && *start != '\n') start++;
    return luaL_loadbufferx(L, start, (size_t)(end - start), "=stdin", "t");
}

static int push_file(lua_State *L, pn_program *program) {
    const file_program *f = (file_program *)program;
    set_arg(L, f);
    int err = f->text.bytes != NULL ? load_text(L, &f->text) : luaL_loadfilex(L, f->path, "t");
    if (err != LUA_OK) lua_error(L);
    luaL_checkstack(L, f->argc, "too many arguments");
    for (int i = 0; i < f->argc; i++) lua_pushstring(L, f->argv[i]);
    return f->argc;
}

static void destroy_file(pn_worker *worker, pn_program *program) {
    (void)worker;
    free(((file_program *)program)->text.bytes);
    free(program);
}

pn_program *pn_program_file(const char *path, pn_source text, int argc, char **argv) {
    file_program *f = calloc(1, sizeof *f);
    if (f == NULL) {
        free(text.bytes);
        return NULL;
    }
    *f = (file_program){.base = {.push = push_file, .destroy = destroy_file, .is_full = true},
                        .path = path,
                        .text = text,
                        .argc = argc,
                        .argv = argv};
    return &f->base;
}

/* ---- the watcher ---- */

typedef struct watch {
    pn_host *host;
    pn_program *program;
} watch;

static pn_host *host_of(lua_State *L) { return pn_lua_shared_of(L)->context; }

/* 0 to 255; what is out of range is a failure, too, and must not be cut to 0. */
static int exit_status_of(lua_Integer n) { return n < 0 || n > 255 ? 255 : (int)n; }

/* The program's function has returned: a whole number is the exit status, false is 1. */
static void on_main_end(pn_task *task, void *context) {
    pn_host *host = context;
    if (task->has_failed || task->is_cancelled || task->result_count == 0) return;
    lua_State *co = task->co;
    int first = lua_gettop(co) - task->result_count + 1;
    int is_whole;
    lua_Integer n = lua_tointegerx(co, first, &is_whole);
    if (is_whole && lua_type(co, first) == LUA_TNUMBER) {
        pn_host_set_status(host, exit_status_of(n));
    } else if (lua_isboolean(co, first)) {
        pn_host_set_status(host, lua_toboolean(co, first) ? 0 : 1);
    }
}

static void on_main_start(pn_lua *lua, pn_program *program) {
    (void)program;
    lua->main.on_end = on_main_end;
    lua->main.on_end_context = host_of(lua->L);
}

static char *copy_text(const char *text) { return text != NULL ? strdup(text) : NULL; }

static void main_ended(pn_host *host, const pn_exit *exit) {
    if (strcmp(exit->reason, "normal") != 0) {
        bool interrupted = atomic_load(&host->signal_count) > 0;
        host->error = copy_text(exit->error != NULL ? exit->error : exit->reason);
        host->traceback = copy_text(exit->traceback);
        pn_host_set_status(host, interrupted ? PN_STATUS_INTERRUPTED : PN_STATUS_SCRIPT);
    }
    sem_post(&host->done);
}

static void interrupt_main(pn_worker *worker, void *context) {
    pn_host *host = context;
    pn_exit *exit = host->interrupt_kills ? pn_exit_killed() : pn_exit_shutdown();
    pn_actor_exit_signal(worker, NULL, atomic_load(&host->main_pid), exit);
}

static int watch_start(pn_actor *self, void *argument) {
    watch *w = argument;
    pn_host *host = w->host;
    pn_spawn spawn = {
        .behaviour = &pn_lua_behaviour, .argument = w->program, .monitor = true, .on = -1};
    pn_pid pid = 0;
    uint64_t ref;
    self->state = host;
    self->is_waiting = true;
    int err = pn_actor_spawn(self->worker, self, &spawn, &pid, &ref);
    if (err == 0) {
        atomic_store(&host->main_pid, pid);
        if (host->on_ready != NULL) host->on_ready(host);
        bool was_interrupted = atomic_load(&host->signal_count) > 0 && host->on_interrupt == NULL;
        if (was_interrupted) interrupt_main(self->worker, host); /* the signal found nobody */
        return 0;
    }
    host->error = copy_text(pn_err_text(err));
    pn_host_set_status(host, PN_STATUS_SCRIPT);
    sem_post(&host->done);
    return 0;
}

static void watch_run(pn_actor *self) {
    pn_msg *msg;
    while ((msg = pn_actor_receive(self)) != NULL) {
        if (msg->kind == PN_MSG_DOWN) main_ended(self->state, msg->exit);
        pn_msg_destroy(self->worker, msg, PN_EBAD_REQUEST);
    }
}

static void watch_accept(pn_actor *self, pn_msg *msg) { pn_msg_destroy(self->worker, msg, 0); }

static void watch_nothing(pn_actor *self) { (void)self; }

static bool watch_can_receive(const pn_actor *self, const pn_call *chain) {
    (void)self, (void)chain;
    return true;
}

static const pn_behaviour watcher = {
    .name = "host",
    .start = watch_start,
    .run = watch_run,
    .accept = watch_accept,
    .interrupt = watch_nothing,
    .can_receive = watch_can_receive,
    .stop = watch_nothing,
};

static void begin(pn_worker *worker, void *context) {
    pn_spawn spawn = {.behaviour = &watcher, .argument = context, .on = -1};
    pn_pid pid;
    if (pn_actor_spawn(worker, NULL, &spawn, &pid, NULL) == 0) return;
    watch *w = context;
    w->host->error = copy_text(pn_err_text(PN_ENOMEM));
    pn_host_set_status(w->host, PN_STATUS_SCRIPT);
    sem_post(&w->host->done);
}

/* ---- signals and stuck turns ---- */

static void on_signal(void *context, int signal) {
    (void)signal;
    pn_host *host = context;
    if (atomic_fetch_add(&host->signal_count, 1) > 0) _exit(PN_STATUS_INTERRUPTED);
    if (host->on_interrupt != NULL) {
        host->on_interrupt(host);
        return;
    }
    pn_host_set_status(host, PN_STATUS_INTERRUPTED);
    pn_worker_post_urgent(&host->runtime->workers[0], &host->interrupt_job);
}

static void on_stuck(void *context, const char *description) {
    (void)context;
    fprintf(stderr, "perilune: stuck past the limit in %s\n", description);
    fflush(NULL);
    _exit(PN_STATUS_STUCK);
}

/* os.exit, from any actor: the program ends in order. */
static void on_exit_call(void *context, int status) {
    pn_host *host = context;
    pn_host_set_status(host, exit_status_of(status));
    sem_post(&host->done);
}

/* ---- running ---- */

void pn_host_init(pn_host *host) {
    memset(host, 0, sizeof *host);
    host->log = (pn_log){.fd = STDERR_FILENO, .level = PN_LOG_INFO};
}

void pn_host_set_status(pn_host *host, int status) {
    int unset = -1;
    atomic_compare_exchange_strong(&host->exit_status, &unset, status);
}

/* Modules beside the script are found. */
static void set_search_path(pn_host *host) {
    if (host->script_path == NULL) return;
    const char *slash = strrchr(host->script_path, '/');
    int size = slash != NULL ? (int)(slash - host->script_path) : 1;
    const char *folder = slash != NULL ? host->script_path : ".";
    if (asprintf(&host->search_path, "%.*s/?.lua;%.*s/?/init.lua", size, folder, size, folder) <
        0) {
        host->search_path = NULL;
    }
}

/* A duration in the environment; 0 where there is none. False for a value that is none. */
static bool read_limit(const char *name, uint32_t *ms) {
    const char *text = getenv(name);
    uint64_t ns = 0;
    if (text != NULL && (pn_units_parse_duration(text, strlen(text), &ns) != 0 ||
                         ns < PN_NS_PER_MS || ns / PN_NS_PER_MS > UINT32_MAX)) {
        fprintf(stderr, "perilune: %s: a duration of 1ms to 49 days was expected, got \"%s\"\n",
                name, text);
        return false;
    }
    *ms = (uint32_t)(ns / PN_NS_PER_MS);
    return true;
}

/* For tests and the impatient: how long a turn may be stuck, and how long what ends may take; and a
 * collector that works at every chance. False, after saying what is wrong. */
static bool read_environment(pn_host *host) {
    const char *gc = getenv("PERILUNE_GC");
    if (!read_limit("PERILUNE_STUCK_LIMIT", &host->stuck_ms)) return false;
    if (!read_limit("PERILUNE_CLOSE_LIMIT", &host->close_ms)) return false;
    if (gc != NULL && strcmp(gc, "stress") != 0) {
        fprintf(stderr, "perilune: PERILUNE_GC: only \"stress\" is known, got \"%s\"\n", gc);
        return false;
    }
    host->gc_stress = gc != NULL;
    return true;
}

static int open_runtime(pn_host *host) {
    if (!host->has_seed) host->seed = pn_rand_seed();
    pn_runtime_options options = {
        .workers = host->workers,
        .is_virtual = host->is_virtual,
        .is_seeded = host->has_seed,
        .keeps_series = host->keeps_series,
        .seed = host->seed,
        .stuck_ms = host->stuck_ms,
        .close_ms = host->close_ms,
        .takes_signals = true,
        .log = &host->log,
        .context = host,
        .on_stuck = on_stuck,
        .on_signal = on_signal,
    };
    int err = pn_runtime_create(&host->runtime, &options);
    if (err != 0) return err;
    err = pn_lua_open(host->runtime, pn_modules);
    if (err != 0) {
        pn_runtime_destroy(host->runtime);
        return err;
    }
    set_search_path(host);
    pn_lua_shared *shared = host->runtime->lua;
    shared->open_request = pn_open_request;
    shared->context = host;
    shared->on_exit = on_exit_call;
    shared->path = host->search_path;
    shared->gc_stress = host->gc_stress;
    err = host->on_open != NULL ? host->on_open(host) : 0;
    if (err == 0) return 0;
    pn_lua_close(host->runtime);
    pn_runtime_destroy(host->runtime);
    return err;
}

static void close_runtime(pn_host *host) {
    pn_runtime_stop(host->runtime);
    if (host->on_close != NULL) host->on_close(host);
    pn_lua_close(host->runtime);
    pn_runtime_destroy(host->runtime);
    free(host->search_path);
}

/* What says only that C code raised it, as for an error of syntax, says nothing. */
static bool is_telling(const char *traceback) {
    static const char nothing[] = "stack traceback:\n\t[C]: in ?";
    return traceback != NULL && traceback[0] != '\0' && strcmp(traceback, nothing) != 0;
}

static void report(const pn_host *host) {
    if (host->error == NULL || host->exit_status != PN_STATUS_SCRIPT) return;
    fprintf(stderr, "perilune: %s\n", host->error);
    if (is_telling(host->traceback)) fprintf(stderr, "%s\n", host->traceback);
}

static void flush_stdout(pn_host *host) {
    errno = 0;
    bool ok = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (ok || !host->checks_stdout) return;
    fprintf(stderr, "perilune: cannot write to stdout: %s\n",
            errno != 0 ? strerror(errno) : "some of the output was lost");
    if (atomic_load(&host->exit_status) <= 0) atomic_store(&host->exit_status, PN_STATUS_SCRIPT);
}

/* SIGINT and SIGTERM go to the watchdog; a broken pipe is a failed write, not a death. */
static void prepare_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    /* A shell's script that starts us with & ignores them: they could not be waited for. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
}

int pn_host_run(pn_host *host, pn_program *program) {
    if (program == NULL) return PN_STATUS_SCRIPT;
    if (!read_environment(host)) return PN_STATUS_USAGE;
    prepare_signals();
    atomic_store(&host->exit_status, -1);
    sem_init(&host->done, 0, 0);
    host->interrupt_job = (pn_job){.run = interrupt_main, .context = host};
    int err = open_runtime(host);
    if (err != 0) {
        fprintf(stderr, "perilune: cannot start: %s\n", pn_err_text(err));
        return PN_STATUS_SCRIPT;
    }
    watch w = {host, program};
    program->on_start = on_main_start;
    pn_job job = {.run = begin, .context = &w};
    err = pn_runtime_start(host->runtime);
    if (err == 0) {
        pn_worker_post(&host->runtime->workers[0], &job);
        while (sem_wait(&host->done) != 0) {}
    } else {
        fprintf(stderr, "perilune: cannot start: %s\n", pn_err_text(err));
        pn_host_set_status(host, PN_STATUS_SCRIPT);
    }
    close_runtime(host);
    report(host);
    flush_stdout(host);
    free(host->error);
    free(host->traceback);
    sem_destroy(&host->done);
    int status = atomic_load(&host->exit_status);
    return status < 0 ? PN_STATUS_OK : status;
}
