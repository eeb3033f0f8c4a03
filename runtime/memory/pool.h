/*
 * pool.h - a worker's size-class allocator.
 *
 * glibc's consolidation was measured to stall a worker for 100 ms over 50,000 users; lists of equal
 * blocks do not. Classes: every 8 bytes up to 1024, then eight to each doubling up to 32 KiB;
 * larger blocks go to malloc. Frees are sized, so blocks carry no header. A block may be freed into
 * another pool of the same heap than the one it came from.
 *
 * Under AddressSanitizer every block is a malloc of its own, so that it can see overruns.
 *
 * Threads: a pool belongs to one thread.
 */
#ifndef PN_MEMORY_POOL_H
#define PN_MEMORY_POOL_H

#include "base/assert.h"
#include "memory/heap.h"

#define PN_POOL_SMALL_BYTES 1024
#define PN_POOL_LARGE_BYTES 32768
#define PN_POOL_CLASSES     168

typedef struct pn_pool_class {
    void *free;          /* blocks linked through their first word */
    void *spare;         /* a full batch, kept back before it goes to the depot */
    uint32_t free_count; /* in `free` */
    uint32_t batch;      /* blocks in a batch */
} pn_pool_class;

typedef struct pn_pool {
    pn_heap *heap;
    char *at, *end; /* what is left of the current chunk */
    pn_pool_class classes[PN_POOL_CLASSES];
} pn_pool;

void pn_pool_init(pn_pool *pool, pn_heap *heap);
void pn_pool_close(pn_pool *pool); /* blocks still out stay valid until the heap is destroyed */

#if defined(__SANITIZE_ADDRESS__)
#define PN_POOL_PASSES_THROUGH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PN_POOL_PASSES_THROUGH 1
#endif
#endif
#ifndef PN_POOL_PASSES_THROUGH
#define PN_POOL_PASSES_THROUGH 0
#endif

/* The slow ways: an empty list, a full list, a class above the small ones, a large block. */
void *pn_pool__get(pn_pool *pool, size_t size);
void pn_pool__put(pn_pool *pool, void *block, size_t size);

static inline bool pn_pool_is_small(size_t size) {
    return !PN_POOL_PASSES_THROUGH && size <= PN_POOL_SMALL_BYTES;
}

/* A block has room for two words, for the lists. */
static inline unsigned pn_pool_small_class(size_t size) {
    return size <= 16 ? 1 : (unsigned)((size - 1) >> 3);
}

/* NULL without memory. size > 0. Blocks are aligned to 8 bytes, not more. */
static inline void *pn_pool_get(pn_pool *pool, size_t size) {
    if (pn_pool_is_small(size)) {
        pn_pool_class *class = &pool->classes[pn_pool_small_class(size)];
        void *block = class->free;
        if (PN_LIKELY(block != NULL)) {
            class->free = *(void **)block;
            class->free_count--;
            return block;
        }
    }
    return pn_pool__get(pool, size);
}

static inline void pn_pool_put(pn_pool *pool, void *block, size_t size) {
    if (pn_pool_is_small(size)) {
        pn_pool_class *class = &pool->classes[pn_pool_small_class(size)];
        if (PN_LIKELY(class->free_count + 1 < class->batch)) {
            *(void **)block = class->free;
            class->free = block;
            class->free_count++;
            return;
        }
    }
    pn_pool__put(pool, block, size);
}

/* As realloc; stays in place within a size class. */
void *pn_pool_resize(pn_pool *pool, void *block, size_t old_size, size_t new_size);

/* The bytes a block of this size really takes. */
size_t pn_pool_block_bytes(size_t size);

#endif
