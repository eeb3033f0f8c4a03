/*
 * worker.h - one thread with a libuv loop, a timer wheel, a run queue and a shard of every metric.
 *
 * Workers share nothing; they talk through an inbox: a lock-free list to which senders push whole
 * batches and which the owner takes with one exchange. A worker that sleeps is woken by
 * uv_async_send; because that costs 20 us, an idle worker first spins for a moment, but only while
 * spinning has lately paid (and never while a load run measures).
 *
 * A turn of the loop: take the inbox, reap the ended, run a batch of actors, send the outboxes, and
 * poll libuv and the wheel when a millisecond or the watchdog's tick has passed, or when nothing is
 * runnable.
 *
 * Threads: all functions run on the worker's thread, except where the comment says otherwise.
 */
#ifndef PN_CORE_WORKER_H
#define PN_CORE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "core/actor.h"
#include "core/io.h"
#include "core/metrics.h"

#define PN_WORKERS_MAX 64

typedef struct pn_job {
    struct pn_job *next;
    void (*run)(pn_worker *worker, void *context);
    void *context;
} pn_job;

typedef struct pn_outbox {
    pn_msg *newest, *oldest;
    uint32_t count;
} pn_outbox;

typedef struct pn_counts {
    _Atomic uint64_t sent, received, dropped, dead_letters, late_replies, spawned, exited;
} pn_counts;

/* Engines that a worker has one of, made by who first needs them and closed with the worker. */
typedef enum pn_service_id { PN_SERVICE_HTTP, PN_SERVICE_LOAD, PN_SERVICES } pn_service_id;

typedef struct pn_service {
    void *object; /* NULL: nobody has needed it yet */
    void (*close)(void *object);
} pn_service;

struct pn_worker {
    pn_io io;
    uv_async_t wake;
    uv_prepare_t before_poll;
    pn_runtime *runtime;
    unsigned index;
    pthread_t thread;
    void *stack; /* seeded runs: ours to unmap */
    pn_pool pool;
    pn_ledger ledger;   /* the worker's own things */
    pn_ledger messages; /* messages and calls: they travel, so only the sum over workers is exact */
    pn_ledger actors;   /* the actors' C side */
    pn_list run_queue;
    pn_list ended; /* actors to reap */
    uint32_t run_count;
    pn_list all; /* actors that live here */
    uint32_t actor_count;
    pn_queue unborn;     /* messages that have overtaken the birth of the actor they are for */
    uint32_t free_slots; /* index + 1 of the first, linked by next_free */
    uint64_t ref_count;
    pn_actor *current; /* whose turn it is */
    pn_outbox *outboxes;
    uint64_t outbox_mask; /* bit n: outbox n is not empty */
    pn_buf scratch;       /* for encoding a message; cleared by each user */
    pn_metrics_shard *metrics;
    uint32_t idle_count;
    uint32_t spin_worth; /* 0 to 64: how much spinning has paid lately */
    pn_counts counts;
    pn_service services[PN_SERVICES];

    /* Shared with other threads. */
    _Alignas(64) _Atomic(pn_msg *) inbox;
    _Atomic(pn_job *) jobs;
    _Atomic(pn_job *) urgent_jobs;
    _Atomic bool is_asleep;
    _Atomic bool is_stopping;
    _Atomic uint32_t load; /* length of the run queue, for placement */
    /* For the watchdog: odd while a turn runs; changes with each. */
    _Alignas(64) _Atomic uint64_t turn;
    _Atomic bool tick; /* poll soon */
    _Atomic bool was_interrupted;
    _Atomic bool wants_description;
    _Atomic bool has_description;
    char description[256];
};

/* The worker of the calling thread, or NULL. */
pn_worker *pn_worker_self(void);

int pn_worker__init(pn_worker *worker, pn_runtime *runtime, unsigned index);
int pn_worker__start(pn_worker *worker);
void pn_worker__close(pn_worker *worker);

/* Sends a message on its way: to an actor here at once, to another worker with the next batch. */
void pn_worker_route(pn_worker *worker, pn_msg *msg);

/* Sends the outboxes now. */
void pn_worker_flush(pn_worker *worker);

/* Takes what other workers sent, and urgent jobs. Also from inside a long turn, so that a kill gets
 * through. */
void pn_worker_drain(pn_worker *worker);

/* Runs `run` on the worker's thread. From any thread. The job is the caller's memory until it
 * runs. */
void pn_worker_post(pn_worker *worker, pn_job *job);

/* The same as soon as the worker takes its messages, which may be in the middle of an actor's turn:
 * `run` may do no more than send messages. */
void pn_worker_post_urgent(pn_worker *worker, pn_job *job);

uint64_t pn_worker_next_ref(pn_worker *worker);

/* A slot for a new actor of worker `home`. PN_ENOMEM; PN_ELIMIT when there are no more. */
int pn_worker_take_slot(pn_worker *worker, unsigned home, pn_slot **taken);
void pn_worker_return_slot(pn_worker *worker, pn_slot *slot);

static inline void pn_count(_Atomic uint64_t *counter) { /* single writer */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif
