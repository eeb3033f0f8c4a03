/* The cache: what stays, what goes, what a failed put leaves. */
#include "base/cache.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "memory/ledger.h"
#include "test.h"

typedef struct counted {
    int drops;
} counted;

static void drop(void *object) { ((counted *)object)->drops++; }

typedef struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_cache cache;
} fixture;

static void begin(fixture *f, uint32_t limit) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    pn_cache_init(&f->cache, &f->ledger.door, limit, drop);
}

static void finish(fixture *f) {
    pn_cache_close(&f->cache);
    pn_cache_close(&f->cache);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

TEST(cache_gives_back_what_was_put) {
    fixture f;
    counted a = {0}, b = {0};
    begin(&f, 2);
    CHECK(pn_cache_get(&f.cache, "a", 1) == NULL);
    CHECK_EQ(pn_cache_put(&f.cache, "a", 1, &a), 0);
    CHECK_EQ(pn_cache_put(&f.cache, "a\0b", 3, &b), 0);
    CHECK(pn_cache_get(&f.cache, "a", 1) == &a);
    CHECK(pn_cache_get(&f.cache, "a\0b", 3) == &b);
    CHECK(pn_cache_get(&f.cache, "a\0c", 3) == NULL);
    CHECK_EQ(a.drops + b.drops, 0);
    finish(&f);
    CHECK_EQ(a.drops, 1);
    CHECK_EQ(b.drops, 1);
}

TEST(cache_lets_the_least_recently_used_go) {
    fixture f;
    counted objects[4] = {{0}};
    char key[16];
    begin(&f, 3);
    for (int i = 0; i < 3; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_EQ(pn_cache_put(&f.cache, key, 2, &objects[i]), 0);
    }
    CHECK(pn_cache_get(&f.cache, "k0", 2) == &objects[0]);
    CHECK_EQ(pn_cache_put(&f.cache, "k3", 2, &objects[3]), 0);
    CHECK_EQ(objects[1].drops, 1);
    CHECK(pn_cache_get(&f.cache, "k1", 2) == NULL);
    CHECK(pn_cache_get(&f.cache, "k0", 2) == &objects[0]);
    CHECK(pn_cache_get(&f.cache, "k2", 2) == &objects[2]);
    CHECK(pn_cache_get(&f.cache, "k3", 2) == &objects[3]);
    finish(&f);
    for (int i = 0; i < 4; i++) CHECK_EQ(objects[i].drops, 1);
}

TEST(cache_of_one) {
    fixture f;
    counted a = {0}, b = {0};
    begin(&f, 1);
    CHECK_EQ(pn_cache_put(&f.cache, "a", 1, &a), 0);
    CHECK_EQ(pn_cache_put(&f.cache, "b", 1, &b), 0);
    CHECK_EQ(a.drops, 1);
    CHECK(pn_cache_get(&f.cache, "a", 1) == NULL);
    CHECK(pn_cache_get(&f.cache, "b", 1) == &b);
    finish(&f);
}

TEST(cache_put_without_memory_takes_nothing) {
    fixture f;
    counted a = {0}, b = {0};
    begin(&f, 4);
    CHECK_EQ(pn_cache_put(&f.cache, "a", 1, &a), 0);
    int64_t before = pn_ledger_live(&f.ledger);
    int refusals = 0;
    for (f.ledger.limit_bytes = before; pn_cache_put(&f.cache, "b", 1, &b) != 0; refusals++) {
        CHECK_EQ(pn_ledger_live(&f.ledger), before);
        CHECK(pn_cache_get(&f.cache, "b", 1) == NULL);
        CHECK(pn_cache_get(&f.cache, "a", 1) == &a);
        f.ledger.limit_bytes++;
    }
    CHECK_INT(refusals, >, 1); /* the place, then its key in the map */
    CHECK_EQ(b.drops, 0);
    CHECK(pn_cache_get(&f.cache, "b", 1) == &b);
    finish(&f);
    CHECK_EQ(b.drops, 1);
}
