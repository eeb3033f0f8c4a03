#include "load/texts.h"

#include <string.h>

#include "base/err.h"

struct pn__text {
    struct pn__text *older;
    size_t size; /* of the text, NUL included */
    char bytes[];
};

void pn_texts_init(pn_texts *texts, pn_ledger *ledger) { *texts = (pn_texts){ledger, NULL}; }

void pn_texts_close(pn_texts *texts) {
    while (texts->newest != NULL) {
        struct pn__text *t = texts->newest;
        texts->newest = t->older;
        pn_mem_free(texts->ledger, t, sizeof *t + t->size);
    }
}

const char *pn_texts_add(pn_texts *texts, const char *text, size_t size) {
    struct pn__text *t = pn_mem_try(texts->ledger, sizeof *t + size + 1);
    if (t == NULL) return NULL;
    t->older = texts->newest;
    t->size = size + 1;
    if (size > 0) memcpy(t->bytes, text, size);
    t->bytes[size] = '\0';
    texts->newest = t;
    return t->bytes;
}

/* Where the key is, or should be. */
static uint32_t place_of(const pn_pairs *pairs, const char *key) {
    uint32_t i = 0;
    while (i < pairs->count && strcmp(pairs->list[i].key, key) < 0) i++;
    return i;
}

static int put(pn_pairs *pairs, const char *key, const char *value) {
    uint32_t i = place_of(pairs, key);
    if (i < pairs->count && strcmp(pairs->list[i].key, key) == 0) {
        pairs->list[i].value = value;
        return 0;
    }
    if (pairs->count == PN_PAIRS_MAX) return PN_ELIMIT;
    memmove(&pairs->list[i + 1], &pairs->list[i], (pairs->count - i) * sizeof pairs->list[0]);
    pairs->list[i] = (pn_pair){key, value};
    pairs->count++;
    return 0;
}

int pn_pairs_set(pn_pairs *pairs, pn_texts *texts, const char *key, size_t key_size,
                 const char *value, size_t value_size) {
    const char *k = pn_texts_add(texts, key, key_size);
    const char *v = pn_texts_add(texts, value, value_size);
    return k == NULL || v == NULL ? PN_ENOMEM : put(pairs, k, v);
}

const char *pn_pairs_get(const pn_pairs *pairs, const char *key) {
    uint32_t i = place_of(pairs, key);
    return i < pairs->count && strcmp(pairs->list[i].key, key) == 0 ? pairs->list[i].value : NULL;
}

int pn_pairs_merge(pn_pairs *into, const pn_pairs *from) {
    int err = 0;
    for (uint32_t i = 0; i < from->count && err == 0; i++) {
        err = put(into, from->list[i].key, from->list[i].value);
    }
    return err;
}
