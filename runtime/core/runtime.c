#include "core/runtime.h"

#include <string.h>
#include <unistd.h>

static void default_on_stuck(void *context, const char *description) {
    (void)context;
    pn_assert_failed("watchdog", 0, description, "a turn ends within the hard limit");
}

static void default_on_signal(void *context, int signal) { (void)context, (void)signal; }

static void complete_options(pn_runtime_options *o) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (o->workers == 0) o->workers = cores > 0 ? (unsigned)cores : 1;
    if (o->workers > PN_WORKERS_MAX) o->workers = PN_WORKERS_MAX;
    if (o->is_virtual) o->workers = 1;
    if (o->slice_ms == 0) o->slice_ms = o->is_virtual ? PN_SLICE_MS_VIRTUAL : PN_SLICE_MS_DEFAULT;
    if (o->stuck_ms == 0) o->stuck_ms = PN_STUCK_MS_DEFAULT;
    if (o->close_ms == 0) o->close_ms = PN_CLOSE_MS_DEFAULT;
    if (o->on_stuck == NULL) o->on_stuck = default_on_stuck;
    if (o->on_signal == NULL) o->on_signal = default_on_signal;
}

static void close_workers(pn_runtime *runtime, unsigned count) {
    for (unsigned i = 0; i < count; i++) pn_worker__close(&runtime->workers[i]);
}

static size_t workers_bytes(const pn_runtime *runtime) {
    return runtime->worker_count * sizeof(pn_worker) + _Alignof(pn_worker);
}

static int open_workers(pn_runtime *runtime) {
    runtime->workers_block = pn_mem_try(&runtime->shared, workers_bytes(runtime));
    if (runtime->workers_block == NULL) return PN_ENOMEM;
    uintptr_t at = (uintptr_t)runtime->workers_block + _Alignof(pn_worker) - 1;
    runtime->workers = (pn_worker *)(at & ~(uintptr_t)(_Alignof(pn_worker) - 1));
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        int err = pn_worker__init(&runtime->workers[i], runtime, i);
        if (err == 0) continue;
        close_workers(runtime, i);
        pn_mem_free(&runtime->shared, runtime->workers_block, workers_bytes(runtime));
        return err;
    }
    return 0;
}

static void warn(void *context, const char *message) {
    pn_log_printf(&((pn_runtime *)context)->log, PN_LOG_WARN, "%s", message);
}

/* The runtime lies in memory of its own ledger. */
static pn_runtime *allocate(pn_heap *heap) {
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "runtime", heap);
    pn_runtime *runtime = pn_mem_try_zeroed(&ledger, sizeof *runtime);
    if (runtime == NULL) return NULL;
    runtime->heap = heap;
    runtime->shared = ledger;
    return runtime;
}

static void release(pn_runtime *runtime) {
    pn_heap *heap = runtime->heap;
    pn_ledger ledger = runtime->shared;
    pn_mem_free(&ledger, runtime, sizeof *runtime);
    pn_assert(pn_ledger_live(&ledger) == 0);
    pn_heap_destroy(heap);
}

int pn_runtime_create(pn_runtime **created, const pn_runtime_options *options) {
    pn_heap *heap = pn_heap_create(options->is_seeded);
    if (heap == NULL) return PN_ENOMEM;
    pn_runtime *runtime = allocate(heap);
    if (runtime == NULL) {
        pn_heap_destroy(heap);
        return PN_ENOMEM;
    }
    runtime->options = *options;
    complete_options(&runtime->options);
    runtime->worker_count = runtime->options.workers;
    runtime->log = options->log != NULL ? *options->log : (pn_log){.fd = -1};
    pn_clock_init(&runtime->clock, options->is_virtual);
    runtime->log.clock = &runtime->clock;
    int err = pn_slots_init(&runtime->slots, &runtime->shared);
    if (err != 0) goto no_slots;
    pn_names_init(&runtime->names, &runtime->shared);
    pn_assert(pthread_mutex_init(&runtime->lock, NULL) == 0);
    runtime->metrics = pn_metrics_create(&runtime->shared);
    err = runtime->metrics != NULL ? 0 : PN_ENOMEM;
    if (err != 0) goto no_metrics;
    if (options->keeps_series) pn_metrics_keep_series(runtime->metrics, warn, runtime);
    err = open_workers(runtime);
    if (err != 0) goto no_workers;
    *created = runtime;
    return 0;

no_workers:
    pn_metrics_destroy(runtime->metrics);
no_metrics:
    pthread_mutex_destroy(&runtime->lock);
    pn_names_close(&runtime->names);
    pn_slots_close(&runtime->slots);
no_slots:
    release(runtime);
    return err;
}

/* Lets the workers that run already go home. */
static void join_workers(pn_runtime *runtime, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        atomic_store(&runtime->workers[i].is_stopping, true);
        uv_async_send(&runtime->workers[i].wake);
    }
    for (unsigned i = 0; i < count; i++) pthread_join(runtime->workers[i].thread, NULL);
}

int pn_runtime_start(pn_runtime *runtime) {
    int err = pn_watchdog_start(&runtime->watchdog, runtime);
    for (unsigned i = 0; err == 0 && i < runtime->worker_count; i++) {
        err = pn_worker__start(&runtime->workers[i]);
        if (err != 0) join_workers(runtime, i);
    }
    if (err != 0) {
        pn_watchdog_stop(&runtime->watchdog);
        return err;
    }
    runtime->is_started = true;
    return 0;
}

void pn_runtime_stop(pn_runtime *runtime) {
    if (!runtime->is_started) return;
    join_workers(runtime, runtime->worker_count);
    pn_watchdog_stop(&runtime->watchdog);
    runtime->is_started = false;
}

void pn_runtime__all_ended(pn_runtime *runtime) {
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        if (atomic_load(&runtime->workers[i].is_stopping)) uv_async_send(&runtime->workers[i].wake);
    }
}

/* Messages travel, so only their sum over the workers says whether all were freed. */
static int64_t messages_live(const pn_runtime *runtime) {
    int64_t sum = 0;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        sum += pn_ledger_live(&runtime->workers[i].messages);
    }
    return sum;
}

static void drain_all(pn_runtime *runtime) {
    bool more = true;
    while (more) { /* an answer to a late message is late mail itself */
        more = false;
        for (unsigned i = 0; i < runtime->worker_count; i++) {
            pn_worker *worker = &runtime->workers[i];
            more = more || atomic_load(&worker->inbox) != NULL || worker->outbox_mask != 0;
            pn_worker_drain(worker);
            pn_worker_flush(worker);
        }
    }
}

void pn_runtime_destroy(pn_runtime *runtime) {
    pn_assert(!runtime->is_started);
    drain_all(runtime);
    close_workers(runtime, runtime->worker_count);
    pn_assert(messages_live(runtime) == 0);
    pn_mem_free(&runtime->shared, runtime->workers_block, workers_bytes(runtime));
    pn_metrics_destroy(runtime->metrics);
    pthread_mutex_destroy(&runtime->lock);
    pn_names_close(&runtime->names);
    pn_slots_close(&runtime->slots);
    release(runtime);
}

uint64_t pn_runtime_count(const pn_runtime *runtime, size_t offset_in_counts) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        const char *counts = (const char *)&runtime->workers[i].counts;
        sum += atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)(counts + offset_in_counts),
            memory_order_relaxed);
    }
    return sum;
}

void pn_runtime_dead_letter(pn_worker *worker, const pn_msg *msg, int code) {
    pn_runtime *runtime = worker->runtime;
    if (code != PN_EMAILBOX_FULL) pn_count(&worker->counts.dead_letters);
    pthread_mutex_lock(&runtime->lock);
    runtime->dead_letters[runtime->dead_letter_count++ % PN_DEAD_LETTERS_KEPT] = (pn_dead_letter){
        .to = msg->to,
        .from = msg->from,
        .kind = msg->kind,
        .code = code,
        .unix_ns = pn_clock_unix_ns(&runtime->clock),
    };
    pthread_mutex_unlock(&runtime->lock);
}
