/*
 * request_id.h - the name of the request that something is done for: a counted, immutable
 * text.
 *
 * It goes where deadlines go: with a task, the tasks that it makes, and the calls that it sends, on
 * any worker. Threads: any; NULL stands for none.
 */
#ifndef PN_CORE_REQUEST_ID_H
#define PN_CORE_REQUEST_ID_H

#include <stdatomic.h>
#include <stdint.h>

#include "memory/ledger.h"

#define PN_REQUEST_ID_MAX_BYTES 128

typedef struct pn_request_id {
    _Atomic uint32_t refs;
    uint32_t size;
    pn_ledger *ledger;
    char text[]; /* NUL-terminated */
} pn_request_id;

/* Copies the text, at most PN_REQUEST_ID_MAX_BYTES. NULL without memory. `ledger` is shared and
 * outlives the id. */
pn_request_id *pn_request_id_create(pn_ledger *ledger, const char *text, size_t size);
pn_request_id *pn_request_id_grab(pn_request_id *id); /* returns it; NULL is fine */
void pn_request_id_release(pn_request_id *id);        /* NULL is fine */

#endif
