#include "base/map.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/rand.h"

#define CAPACITY_MIN 4
#define CAPACITY_MAX (1u << 31)

/* Grows at three quarters full. */
static bool is_full(uint32_t count, uint32_t capacity) {
    return count + 1 > capacity - capacity / 4;
}

static uint8_t *used_of(const pn_map *map) { return (uint8_t *)(map->entries + map->capacity); }

static size_t bytes_of(uint32_t capacity) { return (size_t)capacity * (sizeof(pn_map_entry) + 1); }

static uint32_t home(uint64_t hash, uint32_t capacity) { return (uint32_t)hash & (capacity - 1); }

void pn_map_init(pn_map *map, pn_alloc *alloc) { *map = (pn_map){.alloc = alloc}; }

void pn_map_close(pn_map *map) {
    pn_alloc_put(map->alloc, map->entries, bytes_of(map->capacity));
    map->entries = NULL;
    map->count = map->capacity = 0;
}

/* The place of the key, or the free place where it would go. The map has at least one free
 * place. */
static uint32_t place_of(const pn_map *map, uint64_t key) {
    const uint8_t *used = used_of(map);
    uint32_t i = home(pn_rand_mix(key), map->capacity);
    while (used[i] && map->entries[i].key != key) i = (i + 1) & (map->capacity - 1);
    return i;
}

static int resize(pn_map *map, uint32_t capacity) {
    pn_map old = *map;
    map->entries = pn_alloc_get(map->alloc, bytes_of(capacity));
    if (map->entries == NULL) {
        map->entries = old.entries;
        return PN_ENOMEM;
    }
    map->capacity = capacity;
    memset(used_of(map), 0, capacity);
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (!used_of(&old)[i]) continue;
        uint32_t at = place_of(map, old.entries[i].key);
        map->entries[at] = old.entries[i];
        used_of(map)[at] = 1;
    }
    pn_alloc_put(map->alloc, old.entries, bytes_of(old.capacity));
    return 0;
}

int pn_map_set(pn_map *map, uint64_t key, uint64_t value) {
    uint32_t i = 0;
    if (map->capacity > 0) {
        i = place_of(map, key);
        if (used_of(map)[i]) {
            map->entries[i].value = value;
            return 0;
        }
    }
    if (map->capacity == 0 || is_full(map->count, map->capacity)) {
        if (map->capacity >= CAPACITY_MAX) return PN_ENOMEM;
        int err = resize(map, map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2);
        if (err != 0) return err;
        i = place_of(map, key);
    }
    map->entries[i] = (pn_map_entry){key, value};
    used_of(map)[i] = 1;
    map->count++;
    return 0;
}

uint64_t *pn_map_get(const pn_map *map, uint64_t key) {
    if (map->count == 0) return NULL;
    uint32_t i = place_of(map, key);
    return used_of(map)[i] ? &map->entries[i].value : NULL;
}

/* Empties place i and moves back what was pushed past it. */
static void vacate(pn_map *map, uint32_t i) {
    uint8_t *used = used_of(map);
    uint32_t mask = map->capacity - 1, hole = i;
    for (uint32_t j = (i + 1) & mask; used[j]; j = (j + 1) & mask) {
        uint32_t want = home(pn_rand_mix(map->entries[j].key), map->capacity);
        if (((j - want) & mask) < ((j - hole) & mask)) continue;
        map->entries[hole] = map->entries[j];
        hole = j;
    }
    used[hole] = 0;
    map->count--;
}

bool pn_map_remove(pn_map *map, uint64_t key, uint64_t *value) {
    if (map->count == 0) return false;
    uint32_t i = place_of(map, key);
    if (!used_of(map)[i]) return false;
    if (value != NULL) *value = map->entries[i].value;
    vacate(map, i);
    if (map->count == 0) pn_map_close(map);
    return true;
}

pn_map_entry *pn_map_next(const pn_map *map, uint32_t *cursor) {
    for (; *cursor < map->capacity; (*cursor)++) {
        if (used_of(map)[*cursor]) return &map->entries[(*cursor)++];
    }
    return NULL;
}

uint64_t pn_hash_bytes(const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    uint64_t h = 0xcbf29ce484222325ULL ^ size;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = pn_rand_mix(h ^ word);
    }
    for (; size > 0; size--) h = (h ^ *p++) * 0x100000001b3ULL;
    return pn_rand_mix(h);
}

void pn_smap_init(pn_smap *map, pn_alloc *alloc) { *map = (pn_smap){.alloc = alloc}; }

void pn_smap_close(pn_smap *map) {
    for (uint32_t i = 0; i < map->capacity; i++) {
        pn_smap_entry *e = &map->entries[i];
        if (e->key != NULL) pn_alloc_put(map->alloc, e->key, e->size + 1);
    }
    pn_alloc_put(map->alloc, map->entries, map->capacity * sizeof(pn_smap_entry));
    map->entries = NULL;
    map->count = map->capacity = 0;
}

static uint32_t text_place(const pn_smap *map, const char *key, size_t size, uint64_t hash) {
    uint32_t i = home(hash, map->capacity);
    for (;; i = (i + 1) & (map->capacity - 1)) {
        const pn_smap_entry *e = &map->entries[i];
        if (e->key == NULL) return i;
        if (e->hash != hash || e->size != size) continue;
        if (size == 0 || memcmp(e->key, key, size) == 0) return i;
    }
}

static int text_resize(pn_smap *map, uint32_t capacity) {
    pn_smap_entry *entries = pn_alloc_get(map->alloc, capacity * sizeof *entries);
    if (entries == NULL) return PN_ENOMEM;
    memset(entries, 0, capacity * sizeof *entries);
    pn_smap old = *map;
    map->entries = entries;
    map->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++) {
        pn_smap_entry *e = &old.entries[i];
        if (e->key != NULL) entries[text_place(map, e->key, e->size, e->hash)] = *e;
    }
    pn_alloc_put(map->alloc, old.entries, old.capacity * sizeof *entries);
    return 0;
}

/* Room for one more entry. */
static int text_reserve(pn_smap *map) {
    if (map->capacity > 0 && !is_full(map->count, map->capacity)) return 0;
    if (map->capacity >= CAPACITY_MAX) return PN_ENOMEM;
    return text_resize(map, map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2);
}

int pn_smap_set(pn_smap *map, const char *key, size_t size, void *value) {
    uint64_t hash = pn_hash_bytes(key, size);
    if (map->count > 0) {
        pn_smap_entry *known = &map->entries[text_place(map, key, size, hash)];
        if (known->key != NULL) {
            known->value = value;
            return 0;
        }
    }
    char *copy = pn_alloc_get(map->alloc, size + 1);
    if (copy == NULL) return PN_ENOMEM;
    if (text_reserve(map) != 0) {
        pn_alloc_put(map->alloc, copy, size + 1);
        return PN_ENOMEM;
    }
    if (size > 0) memcpy(copy, key, size);
    copy[size] = '\0';
    map->entries[text_place(map, key, size, hash)] =
        (pn_smap_entry){.key = copy, .size = size, .hash = hash, .value = value};
    map->count++;
    return 0;
}

void *pn_smap_get(const pn_smap *map, const char *key, size_t size) {
    if (map->count == 0) return NULL;
    const pn_smap_entry *e = &map->entries[text_place(map, key, size, pn_hash_bytes(key, size))];
    return e->key != NULL ? e->value : NULL;
}

bool pn_smap_remove(pn_smap *map, const char *key, size_t size, void **value) {
    if (map->count == 0) return false;
    uint32_t mask = map->capacity - 1;
    uint32_t hole = text_place(map, key, size, pn_hash_bytes(key, size));
    pn_smap_entry *e = &map->entries[hole];
    if (e->key == NULL) return false;
    if (value != NULL) *value = e->value;
    pn_alloc_put(map->alloc, e->key, e->size + 1);
    for (uint32_t j = (hole + 1) & mask; map->entries[j].key != NULL; j = (j + 1) & mask) {
        uint32_t want = home(map->entries[j].hash, map->capacity);
        if (((j - want) & mask) < ((j - hole) & mask)) continue;
        map->entries[hole] = map->entries[j];
        hole = j;
    }
    map->entries[hole].key = NULL;
    if (--map->count == 0) pn_smap_close(map);
    return true;
}

pn_smap_entry *pn_smap_next(const pn_smap *map, uint32_t *cursor) {
    for (; *cursor < map->capacity; (*cursor)++) {
        if (map->entries[*cursor].key != NULL) return &map->entries[(*cursor)++];
    }
    return NULL;
}
