/* Keyed randomness: splitmix64's published numbers, uniform draws, independence of what is left
 * out. */
#include "base/rand.h"

#include <string.h>

#include "base/map.h"
#include "memory/ledger.h"
#include "test.h"

/* A key of 0 is splitmix64 seeded with 0; these are its first outputs, as published with it. */
TEST(rand_is_splitmix64) {
    static const uint64_t expected[] = {0xe220a8397b1dcdafULL, 0x6e789e6aa1b965f4ULL,
                                        0x06c45d188009454fULL, 0xf88bb8a8724c81ecULL,
                                        0x1b39896a51a8749bULL};
    pn_rand r = {0, 0};
    for (size_t i = 0; i < 5; i++) CHECK(pn_rand_draw(&r) == expected[i]);
    CHECK_EQ(r.counter, 5);
}

/* A draw depends on its key and number alone: others may come and go. */
TEST(rand_draws_do_not_depend_on_others) {
    pn_rand a = {pn_rand_key(7, "backoff", 1), 0}, b = {pn_rand_key(7, "backoff", 2), 0};
    uint64_t first = pn_rand_draw(&b);
    for (int i = 0; i < 100; i++) pn_rand_draw(&a);
    pn_rand again = {pn_rand_key(7, "backoff", 2), 0};
    CHECK(pn_rand_draw(&again) == first);
    pn_rand tenth = {a.key, 9};
    pn_rand walk = {a.key, 0};
    for (int i = 0; i < 9; i++) pn_rand_draw(&walk);
    CHECK(pn_rand_draw(&tenth) == pn_rand_draw(&walk));
}

/* No two of a million keys and ids are equal, near or far in seed, stream and entity. */
TEST(rand_keys_and_children_are_distinct) {
    pn_heap *heap = pn_heap_create(false);
    pn_ledger ledger;
    pn_map seen;
    pn_ledger_init_shared(&ledger, "test", heap);
    pn_map_init(&seen, &ledger.door);
    static const char *const streams[] = {"",   "a",       "b",      "ab",
                                          "ba", "backoff", "jitter", "math.random"};
    uint32_t count = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        for (size_t s = 0; s < sizeof streams / sizeof *streams; s++) {
            for (uint64_t entity = 0; entity < 1000; entity++) {
                CHECK_EQ(pn_map_set(&seen, pn_rand_key(seed, streams[s], entity), 1), 0);
                count++;
            }
        }
    }
    for (uint64_t parent = 0; parent < 600; parent++) {
        for (uint64_t n = 0; n < 1000; n++) {
            CHECK_EQ(pn_map_set(&seen, pn_rand_child(pn_rand_child(1, parent), n), 1), 0);
            count++;
        }
    }
    CHECK_EQ(seen.count, count);
    pn_map_close(&seen);
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    pn_heap_destroy(heap);
}

TEST(rand_unit_is_below_one) {
    pn_rand r = {pn_rand_key(1, "unit", 0), 0};
    double sum = 0, low = 1, high = 0;
    enum { DRAWS = 1000000 };
    for (int i = 0; i < DRAWS; i++) {
        double x = pn_rand_unit(&r);
        CHECK(x >= 0 && x < 1);
        sum += x;
        if (x < low) low = x;
        if (x > high) high = x;
    }
    CHECK(sum / DRAWS > 0.499 && sum / DRAWS < 0.501); /* the seed is fixed: so is the answer */
    CHECK(low < 1e-5 && high > 1 - 1e-5);
    CHECK((double)(UINT64_MAX >> 11) * 0x1p-53 < 1);
}

TEST(rand_below_is_uniform) {
    pn_rand r = {pn_rand_key(2, "below", 0), 0};
    enum { DRAWS = 600000, SIDES = 6 };
    int count[SIDES] = {0};
    for (int i = 0; i < DRAWS; i++) count[pn_rand_below(&r, SIDES)]++;
    for (int i = 0; i < SIDES; i++) {
        CHECK_INT(count[i], >, DRAWS / SIDES * 99 / 100);
        CHECK_INT(count[i], <, DRAWS / SIDES * 101 / 100);
    }
    /* Two thirds of the range: with a bias of the modulo, the lower half would be twice as
     * likely. */
    uint64_t n = UINT64_MAX / 3 * 2;
    int lower = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t x = pn_rand_below(&r, n);
        CHECK(x < n);
        lower += x < n / 2;
    }
    CHECK_INT(lower, >, 49000);
    CHECK_INT(lower, <, 51000);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(pn_rand_below(&r, 1), 0);
        CHECK(pn_rand_below(&r, UINT64_MAX) < UINT64_MAX);
    }
}

TEST(rand_seeds_differ) {
    uint64_t a = pn_rand_seed(), b = pn_rand_seed(), c = pn_rand_seed();
    CHECK(a != b || b != c);
}
