/*
 * texts.h - texts that are kept together and go together: names, tags, what was configured.
 *
 * pn_pairs is a small list of key and value, in the order of the keys; a key that is set again gets
 * the later value. The texts live in the pn_texts they were copied to.
 *
 * Threads: one.
 */
#ifndef PN_LOAD_TEXTS_H
#define PN_LOAD_TEXTS_H

#include <stddef.h>
#include <stdint.h>

#include "core/selector.h"
#include "memory/ledger.h"

#define PN_PAIRS_MAX 64 /* tags of a scenario, variables given to a run */

typedef struct pn_texts {
    pn_ledger *ledger;
    struct pn__text *newest;
} pn_texts;

void pn_texts_init(pn_texts *texts, pn_ledger *ledger);
void pn_texts_close(pn_texts *texts); /* idempotent */

/* A copy with a NUL behind it; NULL without memory. */
const char *pn_texts_add(pn_texts *texts, const char *text, size_t size);

typedef struct pn_pair {
    const char *key, *value;
} pn_pair;

typedef struct pn_pairs {
    pn_pair list[PN_PAIRS_MAX];
    uint32_t count;
} pn_pairs;

/* Copies both. PN_ENOMEM; PN_ELIMIT: too many. */
int pn_pairs_set(pn_pairs *pairs, pn_texts *texts, const char *key, size_t key_size,
                 const char *value, size_t value_size);

const char *pn_pairs_get(const pn_pairs *pairs, const char *key); /* NULL: not there */

/* Adds to `into` what `from` has, which wins. The texts are not copied. PN_ELIMIT. */
int pn_pairs_merge(pn_pairs *into, const pn_pairs *from);

#endif
