/*
 * runtime.h - a whole Perilune: workers, actors, names, dead letters, the watchdog.
 *
 * Everything hangs on a pn_runtime; several may live in one process. Order of use: create, start,
 * any number of posts and spawns, stop (actors end in order, workers finish), destroy (which
 * asserts that nothing is left: no actor, message, handle, thread or byte).
 *
 * Threads: create, start, stop and destroy belong to one thread that is no worker.
 */
#ifndef PN_CORE_RUNTIME_H
#define PN_CORE_RUNTIME_H

#include "base/log.h"
#include "core/metrics.h"
#include "core/names.h"
#include "core/watchdog.h"
#include "core/worker.h"

#define PN_DEAD_LETTERS_KEPT 128
#define PN_SLICE_MS_DEFAULT  10
#define PN_SLICE_MS_VIRTUAL  1000 /* real time must not tell on a run that is to repeat itself */
#define PN_STUCK_MS_DEFAULT  30000
#define PN_CLOSE_MS_DEFAULT  5000

typedef struct pn_runtime_options {
    unsigned workers; /* 0: one a core */
    bool is_virtual;  /* virtual time; one worker */
    bool is_seeded;   /* memory and stacks at fixed addresses */
    uint64_t seed;
    uint32_t slice_ms; /* 0: the defaults */
    uint32_t stuck_ms;
    uint32_t close_ms; /* for what an actor that ends still has to run */
    bool no_spin;
    bool keeps_series;  /* any selector of any metric can be asked for: for tests, not for load */
    bool takes_signals; /* SIGINT and SIGTERM go to on_signal */
    const pn_log *log;  /* NULL: nowhere */
    void *context;
    /* On the watchdog's thread. `description` names what runs. Default: logs and aborts. */
    void (*on_stuck)(void *context, const char *description);
    void (*on_signal)(void *context, int signal);
} pn_runtime_options;

typedef struct pn_dead_letter {
    pn_pid to, from;
    uint8_t kind;
    int code; /* why */
    uint64_t unix_ns;
} pn_dead_letter;

struct pn_runtime {
    pn_runtime_options options;
    pn_clock clock;
    pn_heap *heap;
    pn_ledger shared;
    pn_slots slots;
    pn_names names;
    pn_metrics *metrics;
    pn_worker *workers;
    void *workers_block; /* what they are aligned in */
    unsigned worker_count;
    pn_watchdog watchdog;
    pn_log log;
    pthread_mutex_t lock; /* guards dead letters */
    pn_dead_letter dead_letters[PN_DEAD_LETTERS_KEPT];
    uint64_t dead_letter_count;
    _Atomic int64_t actors_alive; /* to know when a stop is done */
    _Atomic bool is_measuring;    /* a load run is on: no spinning */
    bool is_started;
    void *lua;     /* of lua/: what all states of the runtime share */
    void *context; /* the embedder's (cli) */
};

int pn_runtime_create(pn_runtime **created, const pn_runtime_options *options);
int pn_runtime_start(pn_runtime *runtime);

/* Ends every actor (reason shutdown) and joins the workers. */
void pn_runtime_stop(pn_runtime *runtime);

/* After stop, or instead of start. */
void pn_runtime_destroy(pn_runtime *runtime);

/* Sum over the workers; exact when they are stopped. */
uint64_t pn_runtime_count(const pn_runtime *runtime, size_t offset_in_counts);

/* The last actor has been reaped: lets a stop go on. Any worker. */
void pn_runtime__all_ended(pn_runtime *runtime);

void pn_runtime_dead_letter(pn_worker *worker, const pn_msg *msg, int code);

#endif
