/*
 * repl.c - an interactive prompt inside an actor.
 *
 * A thread of its own reads standard input, because a worker must never block; each line travels to
 * the prompt's actor as a message. Ctrl-C is a message, too: it cancels what is being evaluated.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define PROMPT "perilune.repl"

typedef struct event {
    pn_job job;
    pn_host *host;
    const char *kind;
    char *line; /* malloced, or NULL */
} event;

/* Sends { kind, line } to the prompt. */
static void deliver(pn_worker *worker, void *context) {
    event *e = context;
    pn_buf *out = &worker->scratch;
    pn_buf_clear(out);
    pn_codec_put_array(out, e->line != NULL ? 2 : 1);
    pn_codec_put_string(out, e->kind, strlen(e->kind));
    if (e->line != NULL) pn_codec_put_string(out, e->line, strlen(e->line));
    pn_msg *msg = pn_msg_must_create(worker, PN_MSG_USER);
    int err = out->failed ? PN_ENOMEM : pn_msg_set_payload(worker, msg, out->data, out->size);
    if (err == 0) err = pn_actor_send(worker, NULL, atomic_load(&e->host->main_pid), msg);
    if (err != 0) pn_msg_destroy(worker, msg, err);
    free(e->line);
    free(e);
}

static void post(pn_host *host, const char *kind, char *line) {
    event *e = calloc(1, sizeof *e);
    if (e == NULL) return;
    *e = (event){.job = {.run = deliver, .context = e}, .host = host, .kind = kind, .line = line};
    pn_worker_post(&host->runtime->workers[0], &e->job);
}

static void *read_lines(void *context) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, stdin)) >= 0) {
        if (size > 0 && line[size - 1] == '\n') line[size - 1] = '\0';
        post(context, "line", line);
        line = NULL;
        room = 0;
    }
    free(line);
    post(context, "eof", NULL);
    return NULL;
}

/* Never the process's end: the prompt goes on. */
static void on_interrupt(pn_host *host) {
    atomic_store(&host->signal_count, 0);
    post(host, "interrupt", NULL);
}

static int push_prompt(lua_State *L, pn_program *program) {
    (void)program;
    pn_module_push_chunk(L, pn_embedded_find(PROMPT));
    return 0;
}

static void destroy_prompt(pn_worker *worker, pn_program *program) { (void)worker, (void)program; }

/* Once the prompt's actor is there, so that no line comes too early. */
static void on_ready(pn_host *host) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_lines, host) == 0) pthread_detach(thread);
}

static int run(int argc, char **argv) {
    pn_host host;
    pn_host_init(&host);
    host.keeps_series = true;
    const pn_flag *const tables[] = {pn_host_flags, NULL};
    void *const contexts[] = {&host};
    int first = pn_flags_read(&pn_command_repl, argc, argv, tables, contexts);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    if (first < argc) return pn_usage_error(&pn_command_repl, "takes no arguments");
    host.on_interrupt = on_interrupt;
    host.on_ready = on_ready;
    pn_program program = {.push = push_prompt, .destroy = destroy_prompt, .is_full = true};
    return pn_host_run(&host, &program);
}

const pn_command pn_command_repl = {
    .name = "repl",
    .summary = "an interactive prompt inside an actor",
    .usage =
        "Usage: perilune repl [flags]\n"
        "\n"
        "Reads Lua from standard input and evaluates it inside an actor: blocking calls work,\n"
        "modules are required as in a script. Ctrl-C cancels what runs, Ctrl-D ends.\n"
        "\n"
        "Flags:\n"
        "  --workers N       worker threads (default: one a core)\n"
        "  --seed N          seed of everything random\n"
        "  --virtual-time    one worker; time moves only when nothing can run\n",
    .run = run,
};
