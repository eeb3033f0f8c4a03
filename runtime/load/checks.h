/*
 * checks.h - how often each check passed and failed, by group and name, in a table for each worker.
 *
 * The metric `checks` has their sum; this is what the summary lists. A table takes PN_CHECKS_MAX
 * different checks; what comes after is in the metric only.
 *
 * Threads: one records, any one reads (pn_checks_each); a mutex guards the table's growth.
 */
#ifndef PN_LOAD_CHECKS_H
#define PN_LOAD_CHECKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/map.h"
#include "memory/ledger.h"

#define PN_CHECKS_MAX           10000
#define PN_CHECK_NAME_MAX_BYTES 1024 /* of a group's path and a name each; what is longer is cut */

typedef struct pn_check {
    const char *group, *name; /* group: "::outer::inner", or "" */
    _Atomic uint64_t passes, fails;
    uint64_t order; /* of its first appearance in this table */
    size_t bytes;
} pn_check;

typedef struct pn_checks {
    pn_ledger *ledger;
    pthread_mutex_t lock;
    pn_smap map;
    uint64_t overflow; /* recorded in no check */
} pn_checks;

void pn_checks_init(pn_checks *checks, pn_ledger *ledger);
void pn_checks_close(pn_checks *checks);

/* 0; PN_ENOMEM and PN_ELIMIT: counted as overflow. */
int pn_checks_record(pn_checks *checks, const char *group, const char *name, size_t size,
                     bool passed);

/* Calls for each check, in no order. */
void pn_checks_each(pn_checks *checks, void (*fn)(void *context, const pn_check *check),
                    void *context);

#endif
