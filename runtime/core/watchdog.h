/*
 * watchdog.h - the monitor thread: pre-emption, stuck turns, signals.
 *
 * It ticks while any worker runs. A turn that outlives its slice gets its thread signalled
 * (SIGURG); the handler runs the behaviour's `interrupt`. A turn that does not end even so is named
 * in the log after a second, and past the hard limit the embedder's on_stuck is told, which ends
 * the process. In virtual time a slice is long, so that what is to repeat itself is not cut at
 * other places on a busy machine. SIGINT and SIGTERM are taken here, so they work with every
 * worker stuck. When all workers sleep it sleeps too.
 */
#ifndef PN_CORE_WATCHDOG_H
#define PN_CORE_WATCHDOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pn_runtime pn_runtime;
typedef struct pn_watch pn_watch;

typedef struct pn_watchdog {
    pn_runtime *runtime;
    pthread_t thread;
    pn_watch *watches; /* one a worker */
    _Atomic bool is_parked;
    _Atomic bool is_stopping;
    bool is_started;
} pn_watchdog;

int pn_watchdog_start(pn_watchdog *watchdog, pn_runtime *runtime);
void pn_watchdog_stop(pn_watchdog *watchdog);

/* From a worker that begins to work after a sleep: ends the watchdog's sleep. */
void pn_watchdog_rouse(pn_watchdog *watchdog);

#endif
