#include "base/cache.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"

typedef struct place {
    pn_list link;
    void *object;
    size_t key_size;
    char key[];
} place;

void pn_cache_init(pn_cache *cache, pn_alloc *alloc, uint32_t limit, void (*drop)(void *object)) {
    pn_assert(limit > 0);
    *cache = (pn_cache){.alloc = alloc, .limit = limit, .drop = drop};
    pn_smap_init(&cache->places, alloc);
    pn_list_init(&cache->recent);
}

static void forget(pn_cache *cache, place *p) {
    pn_smap_remove(&cache->places, p->key, p->key_size, NULL);
    pn_list_remove(&p->link);
    cache->drop(p->object);
    pn_alloc_put(cache->alloc, p, sizeof *p + p->key_size);
}

void pn_cache_close(pn_cache *cache) {
    while (!pn_list_empty(&cache->recent)) {
        forget(cache, PN_CONTAINER(cache->recent.next, place, link));
    }
    pn_smap_close(&cache->places);
}

void *pn_cache_get(pn_cache *cache, const char *key, size_t size) {
    place *p = pn_smap_get(&cache->places, key, size);
    if (p == NULL) return NULL;
    if (cache->recent.next != &p->link) {
        pn_list_remove(&p->link);
        pn_list_push_front(&cache->recent, &p->link);
    }
    return p->object;
}

int pn_cache_put(pn_cache *cache, const char *key, size_t size, void *object) {
    place *p = pn_alloc_get(cache->alloc, sizeof *p + size);
    if (p == NULL) return PN_ENOMEM;
    p->object = object;
    p->key_size = size;
    memcpy(p->key, key, size);
    if (pn_smap_set(&cache->places, key, size, p) != 0) {
        pn_alloc_put(cache->alloc, p, sizeof *p + size);
        return PN_ENOMEM;
    }
    pn_list_push_front(&cache->recent, &p->link);
    if (cache->places.count > cache->limit) {
        forget(cache, PN_CONTAINER(cache->recent.prev, place, link));
    }
    return 0;
}
