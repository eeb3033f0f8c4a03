/*
 * exit.h - why an actor ended: a counted, immutable record that all who are told share.
 *
 * The plain reasons (normal, shutdown, killed, noproc) are static and cost nothing. Threads: any.
 */
#ifndef PN_CORE_EXIT_H
#define PN_CORE_EXIT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "memory/ledger.h"

typedef struct pn_exit {
    _Atomic uint32_t refs; /* 0: static */
    bool is_normal;        /* linked actors do not mind */
    bool is_kill;          /* as a signal: cannot be trapped */
    const char *reason; /* "normal", "shutdown", "killed", "error", "noproc" or the caller's own */
    const char *error;  /* the error's text, or NULL */
    const char *traceback; /* or NULL */
    size_t block_bytes;
    pn_ledger *ledger;
} pn_exit;

/* Static records. */
pn_exit *pn_exit_normal(void);
pn_exit *pn_exit_shutdown(void);
pn_exit *pn_exit_killed(void);
pn_exit *pn_exit_noproc(void);
pn_exit *pn_exit_no_memory(void); /* reason "error", for when there is no memory to say more */

/* Copies the texts. One of the static records when the reason is one of theirs and there is nothing
 * more to say, or when there is no memory. `ledger` is shared and outlives the record. */
pn_exit *pn_exit_create(pn_ledger *ledger, const char *reason, const char *error,
                        const char *traceback);

pn_exit *pn_exit_grab(pn_exit *exit); /* returns it */
void pn_exit_release(pn_exit *exit);  /* NULL is fine */

#endif
