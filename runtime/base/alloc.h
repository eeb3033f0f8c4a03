/*
 * alloc.h - the one interface through which base containers get memory.
 *
 * base/ knows no owner and no pool; memory/ implements this door (pn_ledger begins with one), so
 * every container's bytes are counted for whoever gave it the door.
 */
#ifndef PN_BASE_ALLOC_H
#define PN_BASE_ALLOC_H

#include <stddef.h>

typedef struct pn_alloc pn_alloc;

struct pn_alloc {
    /* Like realloc, with the old size: NULL + 0 allocates, new size 0 frees and returns NULL.
     * Returns NULL when the memory is not to be had; the old block is then untouched. Shrinking
     * never fails. */
    void *(*resize)(pn_alloc *self, void *block, size_t old_size, size_t new_size);
};

static inline void *pn_alloc_get(pn_alloc *self, size_t size) {
    return self->resize(self, NULL, 0, size);
}

static inline void pn_alloc_put(pn_alloc *self, void *block, size_t size) {
    if (block != NULL) self->resize(self, block, size, 0);
}

#endif
