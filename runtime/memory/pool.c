#include "memory/pool.h"

#include <string.h>

#include "base/assert.h"

#define SMALL_CLASSES (PN_POOL_SMALL_BYTES / 8)
#define BATCH_BYTES   32768
#define BATCH_MAX     128
#define BATCH_MIN     4

static inline bool is_large(size_t size) {
    return PN_POOL_PASSES_THROUGH || size > PN_POOL_LARGE_BYTES;
}

#define SMALL_TOP 10 /* log2 of the largest small class */
#define STEP_BITS 3  /* eight classes to a doubling */

static inline unsigned class_of(size_t size) {
    if (PN_LIKELY(size <= PN_POOL_SMALL_BYTES)) return pn_pool_small_class(size);
    unsigned top = 63u - (unsigned)__builtin_clzl(size - 1); /* 1024 < size: 10 to 14 */
    unsigned step = (unsigned)((size - 1) >> (top - STEP_BITS)) & ((1u << STEP_BITS) - 1);
    return SMALL_CLASSES + ((top - SMALL_TOP) << STEP_BITS) + step;
}

static inline size_t class_bytes(unsigned c) {
    if (PN_LIKELY(c < SMALL_CLASSES)) return ((size_t)c + 1) << 3;
    unsigned large = c - SMALL_CLASSES;
    unsigned top = (large >> STEP_BITS) + SMALL_TOP, step = large & ((1u << STEP_BITS) - 1);
    return ((size_t)1 << top) + ((size_t)(step + 1) << (top - STEP_BITS));
}

_Static_assert(PN_POOL_CLASSES == SMALL_CLASSES + 5 * 8, "1024 to 32768 is five doublings");

static inline void *next_of(void *block) { return *(void **)block; }

static inline void set_next(void *block, void *next) { *(void **)block = next; }

void pn_pool_init(pn_pool *pool, pn_heap *heap) {
    *pool = (pn_pool){.heap = heap};
    for (unsigned c = 0; c < PN_POOL_CLASSES; c++) {
        size_t n = BATCH_BYTES / class_bytes(c);
        pool->classes[c].batch = (uint32_t)(n > BATCH_MAX   ? BATCH_MAX
                                            : n < BATCH_MIN ? BATCH_MIN
                                                            : n);
    }
}

void pn_pool_close(pn_pool *pool) { *pool = (pn_pool){.heap = pool->heap}; }

/* A block off the current chunk, or of a new one. What is left of a chunk is small beside it. */
static void *carve(pn_pool *pool, size_t bytes) {
    if ((size_t)(pool->end - pool->at) < bytes) {
        char *chunk = pn_heap__chunk(pool->heap);
        if (chunk == NULL) return NULL;
        pool->at = chunk;
        pool->end = chunk + PN_HEAP_CHUNK_BYTES;
    }
    void *block = pool->at;
    pool->at += bytes;
    return block;
}

static __attribute__((noinline)) void *refill(pn_pool *pool, unsigned c) {
    pn_pool_class *class = &pool->classes[c];
    void *batch = class->spare;
    class->spare = NULL;
    if (batch == NULL) batch = pn_heap__unshelve(pool->heap, c);
    if (batch == NULL) return carve(pool, class_bytes(c));
    class->free = next_of(batch);
    class->free_count = class->batch - 1;
    return batch;
}

/* The list has a whole batch: it becomes the spare, and the former spare goes to the depot. */
static __attribute__((noinline)) void spill(pn_pool *pool, unsigned c) {
    pn_pool_class *class = &pool->classes[c];
    if (class->spare != NULL) pn_heap__shelve(pool->heap, c, class->spare);
    class->spare = class->free;
    class->free = NULL;
    class->free_count = 0;
}

void *pn_pool__get(pn_pool *pool, size_t size) {
    if (is_large(size)) return pn_heap__large(pool->heap, NULL, 0, size);
    unsigned c = class_of(size);
    pn_pool_class *class = &pool->classes[c];
    void *block = class->free;
    if (block == NULL) return refill(pool, c);
    class->free = next_of(block);
    class->free_count--;
    return block;
}

void pn_pool__put(pn_pool *pool, void *block, size_t size) {
    if (is_large(size)) {
        pn_heap__large(pool->heap, block, size, 0);
        return;
    }
    unsigned c = class_of(size);
    pn_pool_class *class = &pool->classes[c];
    set_next(block, class->free);
    class->free = block;
    if (++class->free_count == class->batch) spill(pool, c);
}

void *pn_pool_resize(pn_pool *pool, void *block, size_t old_size, size_t new_size) {
    if (is_large(old_size) && is_large(new_size)) {
        return pn_heap__large(pool->heap, block, old_size, new_size);
    }
    if (!is_large(old_size) && !is_large(new_size) && class_of(old_size) == class_of(new_size)) {
        return block;
    }
    void *moved = pn_pool_get(pool, new_size);
    if (moved == NULL) return new_size < old_size ? block : NULL;
    memcpy(moved, block, old_size < new_size ? old_size : new_size);
    pn_pool_put(pool, block, old_size);
    return moved;
}

size_t pn_pool_block_bytes(size_t size) {
    return is_large(size) ? size : class_bytes(class_of(size));
}
