/* The allocation door: counts are exact, limits hold, blocks survive the trip between pools. */
#include "memory/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

TEST(ledger_counts_to_the_byte) {
    pn_heap *heap = pn_heap_create(false);
    pn_pool pool;
    pn_ledger ledger;
    pn_pool_init(&pool, heap);
    pn_ledger_init(&ledger, "test", &pool);
    void *a = pn_mem_try(&ledger, 100);
    void *b = pn_mem_try(&ledger, 100000);
    CHECK_EQ(pn_ledger_live(&ledger), 100100);
    a = pn_mem_resize(&ledger, a, 100, 7);
    b = pn_mem_resize(&ledger, b, 100000, 200000);
    CHECK_EQ(pn_ledger_live(&ledger), 200007);
    CHECK_EQ(ledger.peak_bytes, 200007);
    CHECK_EQ(ledger.alloc_count, 2);
    pn_mem_free(&ledger, a, 7);
    pn_mem_free(&ledger, b, 200000);
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    pn_pool_close(&pool);
    pn_heap_destroy(heap);
}

TEST(ledger_limit_refuses_and_keeps_the_block) {
    pn_heap *heap = pn_heap_create(false);
    pn_pool pool;
    pn_ledger ledger;
    pn_pool_init(&pool, heap);
    pn_ledger_init(&ledger, "test", &pool);
    ledger.limit_bytes = 1000;
    char *a = pn_mem_try(&ledger, 1000);
    CHECK(a != NULL);
    memset(a, 'x', 1000);
    CHECK(pn_mem_try(&ledger, 1) == NULL);
    CHECK(pn_mem_resize(&ledger, a, 1000, 1001) == NULL);
    CHECK(a[999] == 'x');
    CHECK_EQ(pn_ledger_live(&ledger), 1000);
    pn_mem_free(&ledger, a, 1000);
    pn_pool_close(&pool);
    pn_heap_destroy(heap);
}

/* Every size keeps its bytes through random growth and shrinkage, and no two blocks overlap. */
TEST(pool_blocks_keep_their_bytes) {
    enum { BLOCKS = 500, STEPS = 200000 };
    pn_heap *heap = pn_heap_create(false);
    pn_pool pool;
    pn_ledger ledger;
    pn_pool_init(&pool, heap);
    pn_ledger_init(&ledger, "test", &pool);
    static unsigned char *block[BLOCKS];
    static size_t size[BLOCKS];
    srand(7);
    for (int step = 0; step < STEPS; step++) {
        int i = rand() % BLOCKS;
        size_t to = rand() % 4 == 0 ? 0 : (size_t)(1 + rand() % (rand() % 8 == 0 ? 70000 : 600));
        size_t kept = size[i] < to ? size[i] : to;
        block[i] = pn_mem_resize(&ledger, block[i], size[i], to);
        for (size_t k = 0; k < kept; k += 61) CHECK_EQ(block[i][k], i % 251);
        if (to > 0) memset(block[i], i % 251, to);
        size[i] = to;
    }
    for (int i = 0; i < BLOCKS; i++) pn_mem_free(&ledger, block[i], size[i]);
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    pn_pool_close(&pool);
    pn_heap_destroy(heap);
}

/* One-way flow: blocks got from one pool and put into another must not make the heap grow. */
TEST(pool_depot_carries_one_way_flows) {
    pn_heap *heap = pn_heap_create(false);
    pn_pool from, to;
    pn_pool_init(&from, heap);
    pn_pool_init(&to, heap);
    for (int i = 0; i < 2000000; i++) pn_pool_put(&to, pn_pool_get(&from, 64), 64);
    CHECK_INT(pn_heap_system_bytes(heap), <=, PN_HEAP_CHUNK_BYTES);
    pn_pool_close(&from);
    pn_pool_close(&to);
    pn_heap_destroy(heap);
}
