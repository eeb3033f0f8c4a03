/*
 * Actors of a C behaviour: births, messages, links and monitors, names, mailboxes at their limits,
 * order, and that a runtime leaves nothing behind (destroy asserts it).
 */
#include <dirent.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "core/runtime.h"
#include "test.h"

/* A behaviour that calls a function for each message, and one at its start. */
typedef struct script {
    void (*on_start)(pn_actor *self, void *context);
    void (*on_message)(pn_actor *self, pn_msg *msg, void *context); /* owns msg */
    void *context;
    sem_t *done; /* posted when the actor has ended */
} script;

static int script_start(pn_actor *self, void *argument) {
    script *s = argument;
    self->state = s;
    self->is_waiting = true;
    if (s->on_start != NULL) s->on_start(self, s->context);
    return 0;
}

static void script_run(pn_actor *self) {
    script *s = self->state;
    pn_msg *msg;
    int budget = 1000;
    while (self->exit == NULL && budget-- > 0 && (msg = pn_actor_receive(self)) != NULL) {
        if (s->on_message != NULL) {
            s->on_message(self, msg, s->context);
        } else {
            pn_msg_destroy(self->worker, msg, PN_ENO_REPLY);
        }
    }
    if (budget <= 0) pn_actor_wake(self);
}

static void script_accept(pn_actor *self, pn_msg *msg) { pn_msg_destroy(self->worker, msg, 0); }

static void script_interrupt(pn_actor *self) { (void)self; }

static bool script_can_receive(const pn_actor *self, const pn_call *chain) {
    (void)self, (void)chain;
    return true;
}

static void script_stop(pn_actor *self) {
    script *s = self->state;
    if (s->done != NULL) sem_post(s->done);
}

static const pn_behaviour scripted = {
    .name = "script",
    .start = script_start,
    .run = script_run,
    .accept = script_accept,
    .interrupt = script_interrupt,
    .can_receive = script_can_receive,
    .stop = script_stop,
};

static pn_runtime *begin(unsigned workers) {
    pn_runtime *runtime;
    CHECK_EQ(pn_runtime_create(&runtime, &(pn_runtime_options){.workers = workers, .seed = 7}), 0);
    CHECK_EQ(pn_runtime_start(runtime), 0);
    return runtime;
}

static void finish(pn_runtime *runtime) {
    pn_runtime_stop(runtime);
    uint64_t spawned = pn_runtime_count(runtime, offsetof(pn_counts, spawned));
    uint64_t exited = pn_runtime_count(runtime, offsetof(pn_counts, exited));
    CHECK_EQ(spawned, exited);
    pn_runtime_destroy(runtime);
}

static pn_pid spawn_on(pn_actor *parent, pn_worker *worker, script *s, int on) {
    pn_pid pid = 0;
    pn_spawn spawn = {.behaviour = &scripted, .argument = s, .on = on};
    CHECK_EQ(pn_actor_spawn(worker, parent, &spawn, &pid, NULL), 0);
    return pid;
}

static void root_job(pn_worker *worker, void *context) { spawn_on(NULL, worker, context, -1); }

/* Spawns the root actor on worker 0 and waits until it has ended. */
static void run_root(pn_runtime *runtime, script *root) {
    sem_t done;
    sem_init(&done, 0, 0);
    root->done = &done;
    pn_job job = {.run = root_job, .context = root};
    pn_worker_post(&runtime->workers[0], &job);
    while (sem_wait(&done) != 0) {}
    sem_destroy(&done);
}

static void end_self(pn_actor *self) { pn_actor_end(self, pn_exit_normal()); }

static int send_int(pn_actor *self, pn_pid to, int64_t value) {
    pn_msg *msg = pn_msg_create(self->worker, PN_MSG_USER);
    CHECK_EQ(pn_msg_set_payload(self->worker, msg, &value, sizeof value), 0);
    int err = pn_actor_send(self->worker, self, to, msg);
    if (err != 0) pn_msg_destroy(self->worker, msg, err);
    return err;
}

static int64_t take_int(pn_actor *self, pn_msg *msg) {
    int64_t value;
    CHECK_EQ(msg->size, sizeof value);
    memcpy(&value, pn_msg_payload(msg), sizeof value);
    pn_msg_free(self->worker, msg);
    return value;
}

TEST(runtime_starts_and_stops) {
    for (int i = 0; i < 5; i++) finish(begin(3));
}

TEST(two_runtimes_in_one_process) {
    pn_runtime *a = begin(2), *b = begin(2);
    finish(a);
    finish(b);
}

/* ---- ping-pong ---- */

enum { ROUNDS = 100000 };

static void echo(pn_actor *self, pn_msg *msg, void *context) {
    (void)context;
    pn_pid from = msg->from;
    send_int(self, from, take_int(self, msg));
}

static script echo_script = {.on_message = echo};

typedef struct pinger {
    int on;
    pn_pid peer;
    int64_t next;
} pinger;

static void ping_start(pn_actor *self, void *context) {
    pinger *p = context;
    p->peer = spawn_on(self, self->worker, &echo_script, p->on);
    CHECK_EQ(send_int(self, p->peer, 0), 0);
}

static void ping_message(pn_actor *self, pn_msg *msg, void *context) {
    pinger *p = context;
    CHECK(msg->from == p->peer);
    CHECK_EQ(take_int(self, msg), p->next);
    if (++p->next == ROUNDS) {
        end_self(self);
    } else {
        CHECK_EQ(send_int(self, p->peer, p->next), 0);
    }
}

static void ping_pong(unsigned workers, int on) {
    pn_runtime *runtime = begin(workers);
    pinger p = {.on = on};
    script root = {ping_start, ping_message, &p, NULL};
    run_root(runtime, &root);
    CHECK_EQ(p.next, ROUNDS);
    finish(runtime);
}

TEST(ping_pong_on_one_worker) { ping_pong(1, -1); }

TEST(ping_pong_across_workers) { ping_pong(2, 1); }

/* ---- two runtimes side by side, one stopped while both are busy ---- */

static void storm_start(pn_actor *self, void *context) {
    pn_pid *peer = context;
    *peer = spawn_on(self, self->worker, &echo_script, 1);
    for (int64_t i = 0; i < 100; i++) send_int(self, *peer, i);
}

/* For ever, until the other end or this one has gone. */
static void storm_message(pn_actor *self, pn_msg *msg, void *context) {
    const pn_pid *peer = context;
    send_int(self, *peer, take_int(self, msg));
}

static int count_entries(const char *path) {
    DIR *folder = opendir(path);
    CHECK(folder != NULL);
    int count = 0;
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

TEST(two_runtimes_are_busy_and_one_is_stopped) {
    finish(begin(1)); /* libuv opens a pipe for all loops, once */
    int threads = count_entries("/proc/self/task"), files = count_entries("/proc/self/fd");
    pn_runtime *stormy = begin(2);
    pn_pid peer;
    script storm = {storm_start, storm_message, &peer, NULL};
    pn_job job = {.run = root_job, .context = &storm};
    pn_worker_post(&stormy->workers[0], &job);
    ping_pong(2, 1);
    pn_runtime *other = begin(2);
    pinger p = {.on = 1};
    script root = {ping_start, ping_message, &p, NULL};
    pn_runtime_stop(stormy);
    CHECK_INT(pn_runtime_count(stormy, offsetof(pn_counts, sent)), >, 1000);
    pn_runtime_destroy(stormy);
    run_root(other, &root); /* and goes on as if nothing had been */
    CHECK_EQ(p.next, ROUNDS);
    finish(other);
    CHECK_EQ(count_entries("/proc/self/task"), threads);
    CHECK_EQ(count_entries("/proc/self/fd"), files);
}

/* ---- a tree of links dies from the root, all reasons arrive, nothing is left ---- */

enum { TREE_DEPTH = 16, FANOUT = 2 };

typedef struct tree {
    _Atomic int64_t alive, downs;
    int64_t total;
    pn_pid top;
} tree;

static void tree_spawn(pn_actor *self, tree *t, int64_t depth);

typedef struct branch {
    script s;
    tree *tree;
    int64_t depth;
} branch;

static void branch_start(pn_actor *self, void *context) {
    branch *b = context;
    atomic_fetch_add(&b->tree->alive, 1);
    if (b->depth > 0) {
        for (int i = 0; i < FANOUT; i++) tree_spawn(self, b->tree, b->depth - 1);
    }
}

static void branch_stop(pn_actor *self) {
    branch *b = self->state;
    CHECK_STR(self->exit->reason, "killed");
    atomic_fetch_sub(&b->tree->alive, 1);
    free(b);
}

static const pn_behaviour branching = {
    .name = "branch",
    .start = script_start,
    .run = script_run,
    .accept = script_accept,
    .interrupt = script_interrupt,
    .can_receive = script_can_receive,
    .stop = branch_stop,
};

static void tree_spawn(pn_actor *self, tree *t, int64_t depth) {
    branch *b = calloc(1, sizeof *b);
    *b = (branch){{branch_start, NULL, b, NULL}, t, depth};
    pn_spawn spawn = {
        .behaviour = &branching, .argument = b, .link = depth < TREE_DEPTH, .on = (int)(depth & 1)};
    pn_pid pid;
    if (depth == TREE_DEPTH) spawn.monitor = true;
    CHECK_EQ(pn_actor_spawn(self->worker, self, &spawn, &pid, NULL), 0);
    if (depth == TREE_DEPTH) t->top = pid;
}

static void tree_watch(pn_actor *self, void *context) {
    tree *t = context;
    tree_spawn(self, t, TREE_DEPTH);
    CHECK_EQ(send_int(self, self->pid, 0), 0);
}

static void tree_message(pn_actor *self, pn_msg *msg, void *context) {
    tree *t = context;
    if (msg->kind == PN_MSG_DOWN) {
        CHECK_STR(msg->exit->reason, "killed");
        atomic_fetch_add(&t->downs, 1);
    }
    pn_msg_destroy(self->worker, msg, 0);
    int64_t alive = atomic_load(&t->alive);
    if (t->downs == 0 && alive == t->total) {
        t->total = -1;
        pn_actor_exit_signal(self->worker, self, t->top, pn_exit_killed());
    }
    if (t->downs == 1 && alive == 0) {
        end_self(self);
    } else {
        send_int(self, self->pid, 0);
    }
}

TEST(tree_of_links_dies_from_the_root) {
    pn_runtime *runtime = begin(2);
    tree t = {.total = (1 << (TREE_DEPTH + 1)) - 1};
    script root = {tree_watch, tree_message, &t, NULL};
    run_root(runtime, &root);
    CHECK_EQ(t.downs, 1);
    CHECK_EQ(t.alive, 0);
    finish(runtime);
}
