/*
 * Real programs under a guardian: what they print, how they end, and that nothing of them is left,
 * whatever ends us.
 */
#include "core/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "test.h"

#define PATIENCE_MS 30000

typedef struct fixture {
    pn_heap *heap;
    pn_pool pool;
    pn_ledger ledger;
    pn_clock clock;
    pn_io io;
    pn_process *process;
    int changes;
    bool is_cwd;
} fixture;

static void begin(fixture *f) {
    signal(SIGPIPE, SIG_IGN);
    *f = (fixture){.heap = pn_heap_create(false)};
    pn_pool_init(&f->pool, f->heap);
    pn_ledger_init(&f->ledger, "test", &f->pool);
    pn_clock_init(&f->clock, false);
    CHECK_EQ(pn_io_init(&f->io, &f->clock, &f->ledger), 0);
}

/* pn_io_close runs the loop until the last handle is closed. */
static void end(fixture *f) {
    if (f->process != NULL) pn_process_release(f->process);
    pn_io_close(&f->io);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_pool_close(&f->pool);
    pn_heap_destroy(f->heap);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* no zombie either */
}

static void count_change(pn_process *process, void *context) {
    fixture *f = context;
    CHECK(f->process == NULL || f->process == process);
    f->changes++;
}

static int spawn_with(fixture *f, pn_process_options *options) {
    int err = pn_process_spawn(&f->io, options, &f->process, &f->is_cwd);
    if (err != 0) return err;
    f->process->on_change = count_change;
    f->process->context = f;
    return 0;
}

static const char *const *shell(const char *script) {
    static const char *argv[] = {"sh", "-c", NULL, NULL};
    argv[2] = script;
    return argv;
}

static void spawn_shell(fixture *f, const char *script) {
    CHECK_EQ(spawn_with(f, &(pn_process_options){.argv = shell(script)}), 0);
}

typedef bool (*condition)(const pn_process *p);

static bool has_started(const pn_process *p) { return p->state != PN_PROCESS_STARTING; }

static bool has_ended(const pn_process *p) { return p->state >= PN_PROCESS_EXITED; }

static bool is_gone(const pn_process *p) { return p->is_gone; }

static bool has_line(const pn_process *p) {
    char text[4096];
    size_t size = pn_output_size(&p->output, PN_OUTPUT_ALL);
    if (size > sizeof text) return true;
    pn_output_copy(&p->output, PN_OUTPUT_ALL, text);
    return memchr(text, '\n', size) != NULL;
}

static bool has_written(const pn_process *p) { return p->writes_done == p->writes_begun; }

static void await(fixture *f, condition is_met) {
    uint64_t deadline_ns = pn_clock_real_ns() + PATIENCE_MS * 1000000ULL;
    while (!is_met(f->process)) {
        CHECK(pn_clock_real_ns() < deadline_ns);
        pn_io_turn(&f->io, 100);
    }
}

static const char *output(const fixture *f, int stream) {
    static char text[1 << 16];
    size_t size = pn_output_size(&f->process->output, stream);
    CHECK(size < sizeof text);
    pn_output_copy(&f->process->output, stream, text);
    text[size] = '\0';
    return text;
}

/* A zombie that waits for a parent that does not look is not alive. */
static bool is_alive(pid_t pid) {
    char path[32], stat[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    char *line = fgets(stat, sizeof stat, file);
    fclose(file);
    const char *name_end = line != NULL ? strrchr(line, ')') : NULL;
    return name_end != NULL && name_end[2] != 'Z' && name_end[2] != 'X';
}

static void await_death(pid_t pid) {
    uint64_t deadline_ns = pn_clock_real_ns() + PATIENCE_MS * 1000000ULL;
    while (is_alive(pid)) {
        CHECK(pn_clock_real_ns() < deadline_ns);
        usleep(1000);
    }
}

TEST(process_runs_and_exits) {
    fixture f;
    begin(&f);
    spawn_shell(&f, "echo out; echo err >&2; exit 7");
    CHECK_EQ(f.process->state, PN_PROCESS_STARTING);
    await(&f, has_started);
    CHECK(f.process->pid > 0);
    await(&f, has_ended);
    CHECK_EQ(f.process->state, PN_PROCESS_EXITED);
    CHECK_EQ(f.process->exit_code, 7);
    CHECK_EQ(f.process->signal, 0);
    CHECK_STR(output(&f, PN_PROCESS_STDOUT), "out\n");
    CHECK_STR(output(&f, PN_PROCESS_STDERR), "err\n");
    await(&f, is_gone);
    CHECK_INT(f.changes, >=, 3);
    end(&f);
}

/* All that was written before the exit is there when the exit is. */
TEST(process_output_is_whole_at_the_exit) {
    for (int i = 0; i < 20; i++) {
        fixture f;
        begin(&f);
        spawn_shell(&f, "for i in 0 1 2 3 4 5 6 7 8 9; do echo 0123456789; done; echo end >&2");
        await(&f, has_ended);
        CHECK_EQ(pn_output_size(&f.process->output, PN_PROCESS_STDOUT), 110);
        CHECK_STR(output(&f, PN_PROCESS_STDERR), "end\n");
        end(&f);
    }
}

TEST(process_output_is_bounded) {
    fixture f;
    begin(&f);
    pn_process_options options = {.argv = shell("head -c 300000 /dev/zero | tr '\\0' x; echo end"),
                                  .output_max_bytes = 1000};
    CHECK_EQ(spawn_with(&f, &options), 0);
    await(&f, has_ended);
    CHECK_EQ(f.process->output.total_bytes, 300004);
    CHECK_EQ(pn_output_size(&f.process->output, PN_OUTPUT_ALL), 1000);
    CHECK_STR(output(&f, PN_OUTPUT_ALL) + 1000 - 5, "xend\n");
    end(&f);
}

TEST(process_that_cannot_be_executed_says_why) {
    static const char *const missing[] = {"/no/such/program", NULL};
    static const char *const folder[] = {"/etc", NULL};
    const struct {
        const char *const *argv;
        int err;
    } cases[] = {{missing, -ENOENT}, {folder, -EACCES}};
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        begin(&f);
        CHECK_EQ(spawn_with(&f, &(pn_process_options){.argv = cases[i].argv}), 0);
        await(&f, has_started);
        CHECK_EQ(f.process->state, PN_PROCESS_FAILED);
        CHECK_EQ(f.process->err, cases[i].err);
        CHECK_EQ(pn_process_kill(f.process, SIGTERM), -ESRCH);
        await(&f, is_gone);
        CHECK_EQ(f.process->state, PN_PROCESS_FAILED);
        end(&f);
    }
}

TEST(process_in_a_missing_folder_is_refused) {
    fixture f;
    begin(&f);
    pn_process_options options = {.argv = shell("true"), .cwd = "/no/such/folder"};
    CHECK_EQ(spawn_with(&f, &options), -ENOENT);
    CHECK(f.is_cwd);
    CHECK(f.process == NULL);
    end(&f);
}

TEST(process_has_its_folder_environment_and_signals) {
    static const char *const env[] = {"PATH=/usr/bin:/bin", "COLOUR=green", NULL};
    fixture f;
    begin(&f);
    pn_process_options options = {
        /* 32 and 33 are libc's own: posix_spawn leaves them ignored, as under make, and nobody may
         * change that. */
        .argv = shell("pwd; echo $COLOUR$HOME; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 |"
                      " sed -E 's/^0000000[01][08]0000000$/0000000000000000/';"
                      " ls /proc/self/fd | wc -l"),
        .env = env,
        .cwd = "/usr",
    };
    FILE *open_here = fopen("/dev/null", "r"); /* is not inherited, though nobody said so */
    CHECK(open_here != NULL);
    CHECK_EQ(spawn_with(&f, &options), 0);
    await(&f, has_ended);
    CHECK_STR(output(&f, PN_OUTPUT_ALL), "/usr\ngreen\n0000000000000000\n0000000000000000\n4\n");
    fclose(open_here);
    end(&f);
}

TEST(process_ended_by_a_signal) {
    fixture f;
    begin(&f);
    spawn_shell(&f, "exec sleep 1000");
    await(&f, has_started);
    CHECK_EQ(pn_process_kill(f.process, 0), -EINVAL);
    CHECK_EQ(pn_process_kill(f.process, 65), -EINVAL);
    CHECK_EQ(pn_process_kill(f.process, SIGINT), 0);
    await(&f, has_ended);
    CHECK_EQ(f.process->signal, SIGINT);
    CHECK_EQ(f.process->exit_code, 128 + SIGINT);
    CHECK_EQ(pn_process_kill(f.process, SIGINT), -ESRCH);
    end(&f);
}

TEST(process_reads_its_input_to_the_end) {
    static char block[200000];
    fixture f;
    begin(&f);
    pn_process_options options = {.argv = shell("wc -c; echo bye"), .has_input = true};
    CHECK_EQ(spawn_with(&f, &options), 0);
    memset(block, 'x', sizeof block);
    CHECK_EQ(pn_process_write(f.process, block, sizeof block), 0);
    CHECK_EQ(pn_process_write(f.process, block, 5), 0);
    pn_process_end_input(f.process);
    pn_process_end_input(f.process);
    CHECK_EQ(pn_process_write(f.process, block, 1), PN_ECLOSED);
    CHECK_EQ(f.process->writes_begun, 2);
    await(&f, has_written);
    CHECK_EQ(f.process->write_err, 0);
    await(&f, has_ended);
    CHECK_STR(output(&f, PN_OUTPUT_ALL), "200005\nbye\n");
    end(&f);
}

TEST(process_that_does_not_read_fails_the_write) {
    static char block[200000];
    fixture f;
    begin(&f);
    pn_process_options options = {.argv = shell("exec <&-; exit 3"), .has_input = true};
    CHECK_EQ(spawn_with(&f, &options), 0);
    CHECK_EQ(pn_process_write(f.process, block, sizeof block), 0);
    await(&f, has_written);
    CHECK(f.process->write_err != 0);
    await(&f, has_ended);
    CHECK_EQ(f.process->exit_code, 3);
    end(&f);
}

TEST(process_close_asks_first) {
    fixture f;
    begin(&f);
    spawn_shell(&f, "trap 'echo asked; exit 4' TERM; echo ready; while :; do sleep 0.01; done");
    await(&f, has_line);
    pn_process_close(f.process);
    pn_process_close(f.process);
    await(&f, is_gone);
    CHECK_EQ(f.process->exit_code, 4);
    CHECK_STR(output(&f, PN_OUTPUT_ALL), "ready\nasked\n");
    end(&f);
}

TEST(process_close_kills_who_does_not_listen) {
    fixture f;
    begin(&f);
    pn_process_options options = {
        .argv = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done"), .grace_ms = 20};
    CHECK_EQ(spawn_with(&f, &options), 0);
    await(&f, has_line);
    pn_process_close(f.process);
    await(&f, is_gone);
    CHECK_EQ(f.process->signal, SIGKILL);
    CHECK(!is_alive(f.process->pid));
    end(&f);
}

/* One child in the group, one in a session of its own, and one whose parent has gone. */
#define FAMILY                                                                                     \
    "sleep 1000 & a=$!; setsid sleep 1000 & b=$!; setsid sh -c 'sleep 1000 & echo $!'; "           \
    "echo $a; echo $b; echo $$; echo all"

static bool has_family(const pn_process *p) {
    char text[256];
    size_t size = pn_output_size(&p->output, PN_OUTPUT_ALL);
    if (size >= sizeof text) return true;
    pn_output_copy(&p->output, PN_OUTPUT_ALL, text);
    return size >= 4 && memcmp(text + size - 4, "all\n", 4) == 0;
}

static void read_family(const char *text, pid_t pids[4]) {
    for (int i = 0; i < 4; i++) {
        char *end_of_number;
        pids[i] = (pid_t)strtol(text, &end_of_number, 10);
        CHECK_INT(pids[i], >, 1);
        text = end_of_number;
    }
}

TEST(process_takes_all_that_it_started_along) {
    fixture f;
    pid_t pids[4];
    begin(&f);
    pn_process_options options = {.argv = shell(FAMILY "; trap '' TERM; wait; wait; wait"),
                                  .grace_ms = 50};
    CHECK_EQ(spawn_with(&f, &options), 0);
    await(&f, has_family);
    read_family(output(&f, PN_OUTPUT_ALL), pids);
    for (int i = 0; i < 4; i++) CHECK(is_alive(pids[i]));
    pn_process_close(f.process);
    await(&f, is_gone);
    for (int i = 0; i < 4; i++) CHECK(!is_alive(pids[i]));
    end(&f);
}

TEST(process_that_has_exited_leaves_its_children_until_closed) {
    fixture f;
    pid_t pids[4];
    begin(&f);
    spawn_shell(&f, FAMILY "; exit 5");
    await(&f, has_ended);
    CHECK_EQ(f.process->exit_code, 5);
    read_family(output(&f, PN_OUTPUT_ALL), pids);
    CHECK(!f.process->is_gone);
    for (int i = 0; i < 3; i++) CHECK(is_alive(pids[i]));
    pn_process_close(f.process);
    await(&f, is_gone);
    for (int i = 0; i < 4; i++) CHECK(!is_alive(pids[i]));
    end(&f);
}

TEST(process_released_early_ends_all_the_same) {
    fixture f;
    begin(&f);
    spawn_shell(&f, "exec sleep 1000");
    await(&f, has_started);
    pid_t pid = f.process->pid;
    CHECK(is_alive(pid));
    end(&f);
    CHECK(!is_alive(pid));
}

TEST(process_ends_with_its_guardian) {
    fixture f;
    begin(&f);
    spawn_shell(&f, "exec sleep 1000");
    await(&f, has_started);
    pid_t pid = f.process->pid;
    CHECK_EQ(uv_process_kill(&f.process->guardian, SIGKILL), 0);
    await(&f, is_gone);
    CHECK_EQ(f.process->state, PN_PROCESS_EXITED);
    CHECK_EQ(f.process->signal, SIGKILL);
    await_death(pid);
    end(&f);
}

/* A runtime in a process of its own, which is killed without warning. */
static _Noreturn void be_runtime(int report_to) {
    fixture f;
    begin(&f);
    spawn_shell(&f, FAMILY "; wait");
    await(&f, has_family);
    const char *text = output(&f, PN_OUTPUT_ALL);
    ssize_t size = write(report_to, text, strlen(text) + 1);
    CHECK_EQ(size, strlen(text) + 1);
    for (;;) pn_io_turn(&f.io, 1000);
}

TEST(process_does_not_outlive_a_runtime_that_is_killed) {
    int fds[2];
    char text[256];
    pid_t pids[4];
    CHECK_EQ(pipe(fds), 0);
    pid_t runtime = fork();
    if (runtime == 0) be_runtime(fds[1]);
    ssize_t size = read(fds[0], text, sizeof text - 1);
    CHECK_INT(size, >, 0);
    read_family(text, pids);
    for (int i = 0; i < 4; i++) CHECK(is_alive(pids[i]));
    CHECK_EQ(kill(runtime, SIGKILL), 0);
    CHECK_EQ(waitpid(runtime, NULL, 0), runtime);
    for (int i = 0; i < 4; i++) await_death(pids[i]);
    close(fds[0]);
    close(fds[1]);
}

/* The n-th allocation fails: an error, and nothing is left. */
TEST(process_without_memory_is_an_error) {
    fixture f;
    begin(&f);
    int64_t before = pn_ledger_live(&f.ledger);
    int failures = 0;
    for (int64_t room = 0;; room += 64) {
        f.ledger.limit_bytes = before + room;
        int err = spawn_with(&f, &(pn_process_options){.argv = shell("exit 0")});
        f.ledger.limit_bytes = INT64_MAX;
        if (err == 0) break;
        CHECK_EQ(err, PN_ENOMEM);
        failures++;
        while (pn_ledger_live(&f.ledger) > before) pn_io_turn(&f.io, 10);
    }
    CHECK_INT(failures, >, 2);
    await(&f, has_ended);
    CHECK_EQ(f.process->exit_code, 0);
    end(&f);
}
