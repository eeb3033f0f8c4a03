/*
 * map.h - a hash map from 64-bit keys to 64-bit values, open addressing, backward-shift deletion.
 *
 * The order of iteration depends only on the keys and the history of the map, never on addresses,
 * so a seeded run repeats. An empty map owns no memory. Text keys go through pn_smap, which copies
 * them.
 */
#ifndef PN_BASE_MAP_H
#define PN_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

typedef struct pn_map_entry {
    uint64_t key, value;
} pn_map_entry;

typedef struct pn_map {
    pn_alloc *alloc;
    pn_map_entry *entries; /* capacity of them, then capacity bytes of "used" */
    uint32_t count, capacity;
} pn_map;

void pn_map_init(pn_map *map, pn_alloc *alloc);
void pn_map_close(pn_map *map); /* idempotent */

/* Inserts or replaces. PN_ENOMEM leaves the map as it was. */
int pn_map_set(pn_map *map, uint64_t key, uint64_t value);

/* NULL when absent; valid until the map changes. */
uint64_t *pn_map_get(const pn_map *map, uint64_t key);

/* True if it was there; its value goes to *value when value is not NULL. */
bool pn_map_remove(pn_map *map, uint64_t key, uint64_t *value);

/* for (uint32_t i = 0; (e = pn_map_next(map, &i)) != NULL; ): no change of the map meanwhile. */
pn_map_entry *pn_map_next(const pn_map *map, uint32_t *cursor);

typedef struct pn_smap_entry {
    char *key; /* NUL-terminated, owned by the map; NULL marks an empty place */
    size_t size;
    uint64_t hash;
    void *value;
} pn_smap_entry;

typedef struct pn_smap {
    pn_alloc *alloc;
    pn_smap_entry *entries;
    uint32_t count, capacity;
} pn_smap;

void pn_smap_init(pn_smap *map, pn_alloc *alloc);
void pn_smap_close(pn_smap *map); /* idempotent; what the values point to is the user's */

/* As pn_map_set; replacing a value never needs memory. */
int pn_smap_set(pn_smap *map, const char *key, size_t size, void *value);
void *pn_smap_get(const pn_smap *map, const char *key, size_t size); /* NULL when absent */
bool pn_smap_remove(pn_smap *map, const char *key, size_t size, void **value);
pn_smap_entry *pn_smap_next(const pn_smap *map, uint32_t *cursor);

uint64_t pn_hash_bytes(const void *bytes, size_t size);

#endif
