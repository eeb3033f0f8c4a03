/*
 * problems.h - errors of the script, each kept once for the place it comes from, and counted.
 *
 * A broken line in an iteration raises as often as iterations run; people want to read it once.
 *
 * Threads: any (a mutex). Limits: PN_PROBLEMS_MAX places; what comes after counts as overflow.
 */
#ifndef PN_LOAD_PROBLEMS_H
#define PN_LOAD_PROBLEMS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/map.h"
#include "load/texts.h"

#define PN_PROBLEMS_MAX           500
#define PN_PROBLEM_TEXT_MAX_BYTES 8192 /* of a message, of a traceback */

typedef struct pn_problem {
    pn_link link;
    const char *place;               /* "script.lua:12", or "" */
    const char *scenario;            /* or "" */
    const char *hook;                /* "default", "init" ... what was running */
    const char *message, *traceback; /* of the first time */
    uint64_t count;
} pn_problem;

typedef struct pn_problems {
    pthread_mutex_t lock;
    pn_texts texts;
    pn_ledger *ledger;
    pn_smap by_place;
    pn_queue list; /* in the order of their first time */
    uint64_t overflow;
} pn_problems;

void pn_problems_init(pn_problems *problems, pn_ledger *ledger); /* a shared one */
void pn_problems_close(pn_problems *problems);

/* True for the first of its place (and hook): who adds it tells people of it. The texts are copied;
 * `message` and `traceback` may be "". */
bool pn_problems_add(pn_problems *problems, const pn_problem *problem);

/* Calls for each, in order. */
void pn_problems_each(pn_problems *problems, void (*fn)(void *context, const pn_problem *problem),
                      void *context);

#endif
