/*
 * ledger.h - the allocation door: every byte has an owner.
 *
 * A ledger counts, to the byte, what its owner holds (live), the most it held (peak) and how often it
 * asked (count), and enforces a limit. It begins with a pn_alloc, so base containers take it as it is.
 *
 * Two policies, two names: pn_mem_try may fail and returns NULL, as does growing; pn_mem_must may not
 * and ends the process with the owner's name when the system has no memory at all.
 *
 * Threads: a ledger over a pool belongs to the pool's thread. A shared ledger (pn_ledger_init_shared)
 * counts with atomics and may be used by all.
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
    /* Signed: blocks that travel (messages) may be freed on another ledger than they came from; then
     * only the sum over the workers means something. */
    _Atomic int64_t live_bytes;
    _Atomic int64_t peak_bytes;
    _Atomic uint64_t alloc_count;
    int64_t limit_bytes; /* INT64_MAX: none */
} pn_ledger;

void pn_ledger_init(pn_ledger *ledger, const char *owner, pn_pool *pool);
void pn_ledger_init_shared(pn_ledger *ledger, const char *owner, pn_heap *heap);

/* May fail: NULL past the limit or without memory. Sizes may be 0 only where that frees. */
void *pn_mem_resize(pn_ledger *ledger, void *block, size_t old_size, size_t new_size);

static inline void *pn_mem_try(pn_ledger *ledger, size_t size) {
    return pn_mem_resize(ledger, NULL, 0, size);
}

/* May fail; zeroed. */
void *pn_mem_try_zeroed(pn_ledger *ledger, size_t size);

/* Must not fail: ignores the limit, is never a fault-injection target. */
void *pn_mem_must(pn_ledger *ledger, size_t size);

/* NULL is fine. `size` is the size it was asked for with. */
static inline void pn_mem_free(pn_ledger *ledger, void *block, size_t size) {
    if (block != NULL) pn_mem_resize(ledger, block, size, 0);
}

static inline int64_t pn_ledger_live(const pn_ledger *ledger) {
    return atomic_load_explicit(&ledger->live_bytes, memory_order_relaxed);
}

#endif
