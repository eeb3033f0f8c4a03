/*
 * cache.h - a bounded map from bytes to objects: the one used least recently makes room.
 *
 * For what is dear to make and follows from its key alone. The cache owns what it holds and lets it
 * go through `drop`; an object that others may use longer is counted, and whoever takes one out of
 * the cache grabs it.
 */
#ifndef PN_BASE_CACHE_H
#define PN_BASE_CACHE_H

#include "base/list.h"
#include "base/map.h"

typedef struct pn_cache {
    pn_alloc *alloc;
    pn_smap places; /* key -> place */
    pn_list recent; /* places, the last used first */
    uint32_t limit; /* objects */
    void (*drop)(void *object);
} pn_cache;

void pn_cache_init(pn_cache *cache, pn_alloc *alloc, uint32_t limit, void (*drop)(void *object));
void pn_cache_close(pn_cache *cache); /* drops all; idempotent */

/* NULL when absent. */
void *pn_cache_get(pn_cache *cache, const char *key, size_t size);

/* Takes over the object; the key must be absent. PN_ENOMEM leaves cache and object as they were. */
int pn_cache_put(pn_cache *cache, const char *key, size_t size, void *object);

#endif
