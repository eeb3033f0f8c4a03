#include "core/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "core/runtime.h"

#define NAMED_AFTER_NS  1000000000ULL /* a turn that ignores its interrupts for so long is logged */
#define ANSWER_NS       500000000ULL  /* for its thread to say what it is in, on a busy machine */
#define PARKED_AFTER_NS 500000000ULL  /* of all workers asleep */
#define ROUSE_SIGNAL    (SIGRTMIN + 3)

struct pn_watch {
    uint64_t turn, since_ns, asked_ns;
    bool is_named, is_reported;
};

/* Runs on the worker whose turn is too long. */
static void on_interrupt(int signal) {
    (void)signal;
    int saved = errno;
    pn_worker *worker = pn_worker_self();
    pn_actor *actor = worker != NULL ? worker->current : NULL;
    if (actor != NULL && actor->is_started) {
        atomic_store_explicit(&worker->was_interrupted, true, memory_order_relaxed);
        actor->behaviour->interrupt(actor);
        if (atomic_exchange(&worker->wants_description, false) &&
            actor->behaviour->describe != NULL) {
            actor->behaviour->describe(actor, worker->description, sizeof worker->description);
            atomic_store(&worker->has_description, true);
        }
    }
    errno = saved;
}

static void install_handler(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGURG, &action, NULL);
}

static void interrupt(pn_worker *worker) { pthread_kill(worker->thread, SIGURG); }

/* The turn did not end for a long time: say what it is in. */
static void name_it(pn_watchdog *watchdog, pn_worker *worker, pn_watch *watch, uint64_t now) {
    if (!watch->is_named) {
        watch->is_named = true;
        watch->asked_ns = now;
        atomic_store(&worker->has_description, false);
        atomic_store(&worker->wants_description, true);
        return;
    }
    bool known = atomic_load(&worker->has_description);
    if (!known && now - watch->asked_ns < ANSWER_NS) return;
    const char *what = known ? worker->description : "something outside any actor";
    double seconds = (double)(now - watch->since_ns) * 1e-9;
    if (!watch->is_reported) {
        watch->is_reported = true;
        pn_log_printf(&watchdog->runtime->log, PN_LOG_WARN,
                      "worker %u has been stuck for %.1f s in %s", worker->index, seconds, what);
    }
    const pn_runtime_options *options = &watchdog->runtime->options;
    if (seconds * 1000 < options->stuck_ms) return;
    watch->since_ns = now; /* told once each limit, should the embedder go on */
    options->on_stuck(options->context, what);
}

static bool watch_worker(pn_watchdog *watchdog, unsigned index, uint64_t now) {
    pn_worker *worker = &watchdog->runtime->workers[index];
    pn_watch *watch = &watchdog->watches[index];
    uint64_t turn = atomic_load_explicit(&worker->turn, memory_order_acquire);
    bool asleep = atomic_load_explicit(&worker->is_asleep, memory_order_relaxed);
    if (turn != watch->turn || asleep || (turn & 1) == 0) {
        *watch = (pn_watch){.turn = turn, .since_ns = now};
        return !asleep;
    }
    uint64_t length_ns = now - watch->since_ns;
    if (length_ns + 1000000 >= watchdog->runtime->options.slice_ms * 1000000ULL) interrupt(worker);
    if (length_ns >= NAMED_AFTER_NS) name_it(watchdog, worker, watch, now);
    return true;
}

static bool watch_all(pn_watchdog *watchdog, uint64_t now) {
    bool busy = false, ticks = !watchdog->runtime->options.is_virtual;
    for (unsigned i = 0; i < watchdog->runtime->worker_count; i++) {
        bool awake = watch_worker(watchdog, i, now);
        busy = busy || awake;
        if (awake && ticks)
            atomic_store_explicit(&watchdog->runtime->workers[i].tick, true, memory_order_relaxed);
    }
    return busy;
}

/* Waits for a tick or a signal. A parked watchdog waits for a signal only. */
static int wait_for(const sigset_t *set, const struct timespec *tick) {
    return tick != NULL ? sigtimedwait(set, NULL, tick) : sigwaitinfo(set, NULL);
}

static void *thread_main(void *argument) {
    pn_watchdog *watchdog = argument;
    pn_runtime_options *options = &watchdog->runtime->options;
    pthread_setname_np(pthread_self(), "pn-watchdog");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, ROUSE_SIGNAL);
    if (options->takes_signals) {
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
    }
    long tick_ms = (long)options->slice_ms / 2, tick_us = (long)options->slice_ms % 2 * 500;
    struct timespec tick = {tick_ms / 1000, (tick_ms % 1000 * 1000 + tick_us) * 1000};
    uint64_t busy_ns = pn_clock_real_ns();
    while (!atomic_load(&watchdog->is_stopping)) {
        bool parked = atomic_load(&watchdog->is_parked);
        int signal = wait_for(&set, parked ? NULL : &tick);
        atomic_store(&watchdog->is_parked, false);
        uint64_t now = pn_clock_real_ns();
        if (signal == SIGINT || signal == SIGTERM) options->on_signal(options->context, signal);
        if (watch_all(watchdog, now) || signal > 0) busy_ns = now;
        if (now - busy_ns < PARKED_AFTER_NS) continue;
        atomic_store(&watchdog->is_parked, true);
        if (watch_all(watchdog, now))
            atomic_store(&watchdog->is_parked, false); /* woke meanwhile */
    }
    return NULL;
}

int pn_watchdog_start(pn_watchdog *watchdog, pn_runtime *runtime) {
    *watchdog = (pn_watchdog){.runtime = runtime};
    size_t bytes = runtime->worker_count * sizeof(pn_watch);
    watchdog->watches = pn_mem_try_zeroed(&runtime->shared, bytes);
    if (watchdog->watches == NULL) return PN_ENOMEM;
    install_handler();
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = -pthread_create(&watchdog->thread, NULL, thread_main, watchdog);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err != 0) {
        pn_mem_free(&runtime->shared, watchdog->watches, bytes);
        return err;
    }
    watchdog->is_started = true;
    return 0;
}

void pn_watchdog_stop(pn_watchdog *watchdog) {
    if (!watchdog->is_started) return;
    atomic_store(&watchdog->is_stopping, true);
    pthread_kill(watchdog->thread, ROUSE_SIGNAL);
    pthread_join(watchdog->thread, NULL);
    pn_mem_free(&watchdog->runtime->shared, watchdog->watches,
                watchdog->runtime->worker_count * sizeof(pn_watch));
    watchdog->is_started = false;
}

void pn_watchdog_rouse(pn_watchdog *watchdog) {
    if (!atomic_load_explicit(&watchdog->is_parked, memory_order_seq_cst)) return;
    if (atomic_exchange(&watchdog->is_parked, false)) pthread_kill(watchdog->thread, ROUSE_SIGNAL);
}
