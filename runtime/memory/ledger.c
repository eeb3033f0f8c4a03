#include "memory/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void *door_resize(pn_alloc *door, void *block, size_t old_size, size_t new_size) {
    return pn_mem_resize((pn_ledger *)door, block, old_size, new_size);
}

void pn_ledger_init(pn_ledger *ledger, const char *owner, pn_pool *pool) {
    *ledger = (pn_ledger){.door = {door_resize},
                          .owner = owner,
                          .pool = pool,
                          .heap = pool->heap,
                          .limit_bytes = INT64_MAX};
}

void pn_ledger_init_shared(pn_ledger *ledger, const char *owner, pn_heap *heap) {
    *ledger =
        (pn_ledger){.door = {door_resize}, .owner = owner, .heap = heap, .limit_bytes = INT64_MAX};
}

static void count(pn_ledger *ledger, int64_t change, bool is_allocation) {
    if (ledger->pool != NULL) {
        pn_ledger__count(ledger, pn_ledger_live(ledger) + change);
        if (!is_allocation) return;
        uint64_t n = atomic_load_explicit(&ledger->alloc_count, memory_order_relaxed);
        atomic_store_explicit(&ledger->alloc_count, n + 1, memory_order_relaxed);
        return;
    }
    int64_t live = atomic_fetch_add(&ledger->live_bytes, change) + change;
    if (is_allocation) atomic_fetch_add(&ledger->alloc_count, 1);
    int64_t peak = atomic_load(&ledger->peak_bytes);
    while (live > peak && !atomic_compare_exchange_weak(&ledger->peak_bytes, &peak, live)) {}
}

static void *raw_resize(pn_ledger *ledger, void *block, size_t old_size, size_t new_size) {
    if (ledger->pool == NULL) return pn_heap__large(ledger->heap, block, old_size, new_size);
    if (block == NULL) return pn_pool_get(ledger->pool, new_size);
    if (new_size > 0) return pn_pool_resize(ledger->pool, block, old_size, new_size);
    pn_pool_put(ledger->pool, block, old_size);
    return NULL;
}

void *pn_mem_resize(pn_ledger *ledger, void *block, size_t old_size, size_t new_size) {
    if (PN_UNLIKELY(new_size > PTRDIFF_MAX))
        return NULL; /* as a change it would look like shrinking */
    int64_t change = (int64_t)new_size - (int64_t)old_size;
    if (change > 0) {
#ifdef PN_FAULTS
        if (pn_heap__should_fail(ledger->heap)) return NULL;
#endif
        if (PN_UNLIKELY(pn_ledger_live(ledger) + change > ledger->limit_bytes)) return NULL;
    }
    if (block == NULL && new_size == 0) return NULL;
    void *result = raw_resize(ledger, block, old_size, new_size);
    if (result == NULL && new_size > 0) return NULL;
    count(ledger, change, block == NULL);
    return result;
}

bool pn_ledger_charge(pn_ledger *ledger, int64_t bytes) {
    if (bytes > 0 && pn_ledger_live(ledger) + bytes > ledger->limit_bytes) return false;
    count(ledger, bytes, false);
    return true;
}

void *pn_mem_try_zeroed(pn_ledger *ledger, size_t size) {
    void *block = pn_mem_try(ledger, size);
    if (block != NULL) memset(block, 0, size);
    return block;
}

void *pn_mem_must(pn_ledger *ledger, size_t size) {
    void *block = raw_resize(ledger, NULL, 0, size);
    if (block == NULL) {
        fprintf(stderr, "perilune: out of memory: %zu bytes for %s\n", size, ledger->owner);
        abort();
    }
    count(ledger, (int64_t)size, true);
    return block;
}
