/*
 * ledger.h - the allocation door: every byte has an owner.
 *
 * A ledger counts, to the byte, what its owner holds (live), the most it held (peak) and how often
 * it asked (count), and enforces a limit. It begins with a pn_alloc, so base containers take it as
 * it is.
 *
 * Two policies, two names: pn_mem_try may fail and returns NULL, as does growing; pn_mem_must may
 * not and ends the process with the owner's name when the system has no memory at all.
 *
 * Threads: a ledger over a pool belongs to the pool's thread. A shared ledger
 * (pn_ledger_init_shared) counts with atomics and may be used by all.
 */
#ifndef PN_MEMORY_LEDGER_H
#define PN_MEMORY_LEDGER_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "memory/pool.h"

typedef struct pn_ledger {
    pn_alloc door;     /* first, so that a ledger is an allocator */
    const char *owner; /* static, for messages */
    pn_pool *pool;     /* NULL: shared */
    pn_heap *heap;
    /* Signed: blocks that travel (messages) may be freed on another ledger than they came from;
     * then only the sum over the workers means something. */
    _Atomic int64_t live_bytes;
    _Atomic int64_t peak_bytes;
    _Atomic uint64_t alloc_count;
    int64_t limit_bytes; /* INT64_MAX: none */
} pn_ledger;

void pn_ledger_init(pn_ledger *ledger, const char *owner, pn_pool *pool);
void pn_ledger_init_shared(pn_ledger *ledger, const char *owner, pn_heap *heap);

/* May fail: NULL past the limit or without memory. Sizes may be 0 only where that frees. */
void *pn_mem_resize(pn_ledger *ledger, void *block, size_t old_size, size_t new_size);

static inline int64_t pn_ledger_live(const pn_ledger *ledger) {
    return atomic_load_explicit(&ledger->live_bytes, memory_order_relaxed);
}

/* One thread writes a ledger over a pool, others at most read it: no locked instruction is
 * needed. */
static inline void pn_ledger__count(pn_ledger *ledger, int64_t live) {
    atomic_store_explicit(&ledger->live_bytes, live, memory_order_relaxed);
    if (live > atomic_load_explicit(&ledger->peak_bytes, memory_order_relaxed)) {
        atomic_store_explicit(&ledger->peak_bytes, live, memory_order_relaxed);
    }
}

#ifdef PN_FAULTS
#define PN_MEM_HAS_FAST_PATH false
#else
#define PN_MEM_HAS_FAST_PATH true
#endif

/* The same as the general functions, without a call for a small block of a pool's ledger. */
static inline void *pn_mem_try(pn_ledger *ledger, size_t size) {
    int64_t live = pn_ledger_live(ledger) + (int64_t)size;
    bool is_fast = PN_MEM_HAS_FAST_PATH && pn_pool_is_small(size) && size > 0 &&
                   ledger->pool != NULL && live <= ledger->limit_bytes;
    if (!PN_LIKELY(is_fast)) return pn_mem_resize(ledger, NULL, 0, size);
    void *block = pn_pool_get(ledger->pool, size);
    if (PN_UNLIKELY(block == NULL)) return NULL;
    pn_ledger__count(ledger, live);
    uint64_t n = atomic_load_explicit(&ledger->alloc_count, memory_order_relaxed);
    atomic_store_explicit(&ledger->alloc_count, n + 1, memory_order_relaxed);
    return block;
}

/* Memory that an owner is answerable for although it lies elsewhere (a response's bytes in a
 * client's slabs): false when it would pass the limit. Negative gives back, and never fails. */
bool pn_ledger_charge(pn_ledger *ledger, int64_t bytes);

/* May fail; zeroed. */
void *pn_mem_try_zeroed(pn_ledger *ledger, size_t size);

/* Must not fail: ignores the limit, is never a fault-injection target. */
void *pn_mem_must(pn_ledger *ledger, size_t size);

/* NULL is fine. `size` is the size it was asked for with. */
static inline void pn_mem_free(pn_ledger *ledger, void *block, size_t size) {
    if (block == NULL) return;
    if (!PN_LIKELY(pn_pool_is_small(size) && size > 0 && ledger->pool != NULL)) {
        pn_mem_resize(ledger, block, size, 0);
        return;
    }
    pn_pool_put(ledger->pool, block, size);
    atomic_store_explicit(&ledger->live_bytes, pn_ledger_live(ledger) - (int64_t)size,
                          memory_order_relaxed);
}

#endif
