/* Maps against a model (a plain array searched from end to end), without memory, and in their
 * order. */
#include "base/map.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "memory/ledger.h"
#include "test.h"

typedef struct owner {
    pn_heap *heap;
    pn_ledger ledger;
} owner;

static void owner_open(owner *o) {
    o->heap = pn_heap_create(false);
    pn_ledger_init_shared(&o->ledger, "test", o->heap);
}

static void owner_close(owner *o) {
    CHECK_EQ(pn_ledger_live(&o->ledger), 0);
    pn_heap_destroy(o->heap);
}

enum { KEYS = 300 };

/* What the map should hold: for each key whether, and what. */
typedef struct model {
    bool has[KEYS];
    uint64_t value[KEYS];
    uint32_t count;
} model;

static void model_set(model *m, size_t i, uint64_t value) {
    m->count += !m->has[i];
    m->has[i] = true;
    m->value[i] = value;
}

static void model_remove(model *m, size_t i) {
    m->count -= m->has[i];
    m->has[i] = false;
}

/* Keys that make long runs: their hashes end in the same bits, at the end of the table. */
static uint64_t crowded_key(pn_rand *r) {
    for (;;) {
        uint64_t key = pn_rand_draw(r);
        if ((pn_rand_mix(key) & 0xff) >= 0xfc) return key;
    }
}

static void compare(const pn_map *map, const model *m, const uint64_t *keys) {
    uint32_t seen = 0;
    const pn_map_entry *e;
    CHECK_EQ(map->count, m->count);
    for (uint32_t i = 0; (e = pn_map_next(map, &i)) != NULL;) {
        size_t k = 0;
        while (k < KEYS && keys[k] != e->key) k++;
        CHECK_INT(k, <, KEYS);
        CHECK(m->has[k]);
        CHECK_EQ(e->value, m->value[k]);
        seen++;
    }
    CHECK_EQ(seen, m->count);
    for (size_t k = 0; k < KEYS; k++) {
        const uint64_t *value = pn_map_get(map, keys[k]);
        CHECK_EQ(value != NULL, m->has[k]);
        if (value != NULL) CHECK_EQ(*value, m->value[k]);
    }
}

static void run_map(uint64_t (*new_key)(pn_rand *), uint64_t seed) {
    owner o;
    pn_map map;
    pn_rand r = {pn_rand_key(seed, "map", 0), 0};
    static model m;
    static uint64_t keys[KEYS];
    memset(&m, 0, sizeof m);
    owner_open(&o);
    pn_map_init(&map, &o.ledger.door);
    for (size_t k = 0; k < KEYS; k++) keys[k] = new_key(&r);
    keys[0] = 0;
    keys[1] = UINT64_MAX;
    for (int step = 0; step < 60000; step++) {
        size_t k = pn_rand_below(&r, KEYS);
        bool grows = step / 5000 % 2 == 0; /* fills up and empties again, many times */
        if (pn_rand_below(&r, 3) < (grows ? 2u : 1u)) {
            uint64_t value = pn_rand_draw(&r);
            CHECK_EQ(pn_map_set(&map, keys[k], value), 0);
            model_set(&m, k, value);
        } else {
            uint64_t value = 0;
            CHECK_EQ(pn_map_remove(&map, keys[k], step % 2 == 0 ? &value : NULL), m.has[k]);
            if (m.has[k] && step % 2 == 0) CHECK_EQ(value, m.value[k]);
            model_remove(&m, k);
        }
        if (step % 97 == 0) compare(&map, &m, keys);
        if (m.count == 0) CHECK_EQ(pn_ledger_live(&o.ledger), 0); /* empty: no memory */
    }
    for (size_t k = 0; k < KEYS; k++) pn_map_remove(&map, keys[k], NULL);
    CHECK_EQ(pn_ledger_live(&o.ledger), 0);
    CHECK_EQ(pn_map_set(&map, 7, 8), 0);
    pn_map_close(&map);
    pn_map_close(&map);
    owner_close(&o);
}

TEST(map_agrees_with_its_model) { run_map(pn_rand_draw, 1); }

TEST(map_agrees_with_its_model_where_keys_crowd) { run_map(crowded_key, 2); }

/* Whatever allocation fails, the map stays as it was; a key that is known needs none. */
TEST(map_without_memory_stays_as_it_was) {
    owner o;
    pn_map map;
    owner_open(&o);
    pn_map_init(&map, &o.ledger.door);
    o.ledger.limit_bytes = 0;
    CHECK_EQ(pn_map_set(&map, 1, 1), PN_ENOMEM);
    CHECK_EQ(map.count, 0);
    CHECK(pn_map_get(&map, 1) == NULL);
    CHECK(!pn_map_remove(&map, 1, NULL));
    uint64_t refused = 0;
    for (uint64_t key = 0; key < 1000; key++) {
        o.ledger.limit_bytes = pn_ledger_live(&o.ledger);
        for (uint64_t known = 0; known < key; known += 37) {
            CHECK_EQ(pn_map_set(&map, known, known + 1), 0);
        }
        int err = pn_map_set(&map, key, key + 1);
        refused += err == PN_ENOMEM;
        CHECK_EQ(map.count, key + (err == 0));
        o.ledger.limit_bytes = INT64_MAX;
        CHECK_EQ(pn_map_set(&map, key, key + 1), 0);
    }
    CHECK_EQ(refused, 10); /* once a doubling from 4 to 2048 */
    for (uint64_t key = 0; key < 1000; key++) CHECK_EQ(*pn_map_get(&map, key), key + 1);
    pn_map_close(&map);
    owner_close(&o);
}

/* The order depends on keys and history only: two maps with the same history list the same. */
TEST(map_order_repeats) {
    owner o;
    pn_map a, b;
    owner_open(&o);
    pn_map_init(&a, &o.ledger.door);
    pn_map_init(&b, &o.ledger.door);
    pn_rand r = {pn_rand_key(3, "order", 0), 0};
    for (int step = 0; step < 2000; step++) {
        uint64_t key = pn_rand_below(&r, 300);
        if (pn_rand_below(&r, 3) > 0) {
            CHECK_EQ(pn_map_set(&a, key, key), 0);
            CHECK_EQ(pn_map_set(&b, key, key), 0);
        } else {
            CHECK_EQ(pn_map_remove(&a, key, NULL), pn_map_remove(&b, key, NULL));
        }
    }
    CHECK(a.entries != b.entries && a.count > 100);
    pn_map_entry *x, *y;
    uint32_t i = 0, j = 0;
    do {
        x = pn_map_next(&a, &i);
        y = pn_map_next(&b, &j);
        CHECK_EQ(x == NULL, y == NULL);
        if (x != NULL) CHECK_EQ(x->key, y->key);
    } while (x != NULL);
    pn_map_close(&a);
    pn_map_close(&b);
    owner_close(&o);
}

/* The k-th text key: the empty one, some that are prefixes of each other, some with NULs within. */
static size_t text_key(size_t k, char text[40]) {
    if (k < 20) {
        memset(text, 0, 20);
        return k;
    }
    if (k < 40) {
        memset(text, 'a', 40);
        return k - 19;
    }
    return (size_t)snprintf(text, 40, "key number %zu", k * k);
}

static void compare_texts(const pn_smap *map, const model *m) {
    uint32_t seen = 0;
    const pn_smap_entry *e;
    char text[40];
    CHECK_EQ(map->count, m->count);
    for (uint32_t i = 0; (e = pn_smap_next(map, &i)) != NULL; seen++) {
        CHECK_EQ(e->key[e->size], '\0');
        CHECK(pn_smap_get(map, e->key, e->size) == e->value);
    }
    CHECK_EQ(seen, m->count);
    for (size_t k = 0; k < KEYS; k++) {
        size_t size = text_key(k, text);
        void *value = pn_smap_get(map, text, size);
        CHECK_EQ((uintptr_t)value, m->has[k] ? m->value[k] : 0);
    }
}

TEST(smap_agrees_with_its_model) {
    owner o;
    pn_smap map;
    pn_rand r = {pn_rand_key(4, "smap", 0), 0};
    static model m;
    char text[40];
    owner_open(&o);
    pn_smap_init(&map, &o.ledger.door);
    for (int step = 0; step < 60000; step++) {
        size_t k = pn_rand_below(&r, KEYS), size = text_key(k, text);
        bool grows = step / 5000 % 2 == 0;
        if (pn_rand_below(&r, 3) < (grows ? 2u : 1u)) {
            uint64_t value = 1 + (pn_rand_draw(&r) >> 1);
            CHECK_EQ(pn_smap_set(&map, text, size, (void *)(uintptr_t)value), 0);
            memset(text, 'x', sizeof text); /* the map has its own copy */
            model_set(&m, k, value);
        } else {
            void *value = NULL;
            CHECK_EQ(pn_smap_remove(&map, text, size, step % 2 == 0 ? &value : NULL), m.has[k]);
            if (m.has[k] && step % 2 == 0) CHECK_EQ((uintptr_t)value, m.value[k]);
            model_remove(&m, k);
        }
        if (step % 97 == 0) compare_texts(&map, &m);
        if (m.count == 0) CHECK_EQ(pn_ledger_live(&o.ledger), 0);
    }
    pn_smap_close(&map);
    pn_smap_close(&map);
    owner_close(&o);
}

/* At every size, with every amount of memory short of enough: refused, and as it was. */
TEST(smap_without_memory_stays_as_it_was) {
    owner o;
    pn_smap map;
    char text[40];
    owner_open(&o);
    pn_smap_init(&map, &o.ledger.door);
    uint64_t refused = 0;
    for (size_t k = 0; k < 100; k++) {
        int64_t live = pn_ledger_live(&o.ledger);
        for (int64_t more = 0;; more += 7) {
            o.ledger.limit_bytes = live + more;
            for (size_t known = 0; known < k;
                 known++) { /* replacing needs nothing, also when full */
                size_t size = text_key(known, text);
                CHECK_EQ(pn_smap_set(&map, text, size, (void *)(known + 1)), 0);
            }
            size_t size = text_key(k, text);
            int err = pn_smap_set(&map, text, size, (void *)(k + 1));
            CHECK_EQ(map.count, k + (err == 0));
            if (err == 0) break;
            CHECK_EQ(err, PN_ENOMEM);
            CHECK(pn_smap_get(&map, text, size) == NULL);
            CHECK_EQ(pn_ledger_live(&o.ledger), live);
            refused++;
        }
    }
    CHECK_INT(refused, >, 200);
    for (size_t k = 0; k < 100; k++) {
        size_t size = text_key(k, text);
        CHECK_EQ((uintptr_t)pn_smap_get(&map, text, size), k + 1);
    }
    pn_smap_close(&map);
    owner_close(&o);
}

TEST(hash_bytes_depends_on_every_byte_and_the_length) {
    char text[64] = {0};
    for (size_t size = 0; size < sizeof text; size++) {
        uint64_t hash = pn_hash_bytes(text, size);
        CHECK_EQ(hash == pn_hash_bytes(text, size + 1), false);
        for (size_t at = 0; at < size; at++) {
            text[at] = 1;
            CHECK_EQ(hash == pn_hash_bytes(text, size), false);
            text[at] = 0;
        }
    }
    CHECK_EQ(pn_hash_bytes("unaligned", 9), pn_hash_bytes(&"xunaligned"[1], 9));
}
