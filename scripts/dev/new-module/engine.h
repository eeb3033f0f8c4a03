/*
 * NAME.h - say in one line what this is.
 *
 * Say how it works and why so, who owns what, which threads may call it, and its limits. What is
 * here is a counter with a limit: replace it.
 *
 * Threads: one.
 */
#ifndef PN_CORE_GUARD_H
#define PN_CORE_GUARD_H

#include <stdint.h>

#include "memory/ledger.h"

#define PN_GUARD_LIMIT_DEFAULT 1000

typedef struct pn_NAME pn_NAME;

/* NULL without memory. `limit` 0 is the default. */
pn_NAME *pn_NAME_create(pn_ledger *ledger, uint64_t limit);
void pn_NAME_destroy(pn_NAME *self);

/* 0, or PN_ELIMIT when it would pass the limit; the value is then as it was. */
int pn_NAME_add(pn_NAME *self, uint64_t amount);

uint64_t pn_NAME_value(const pn_NAME *self);

#endif
