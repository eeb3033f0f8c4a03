/*
 * pool.h - a worker's size-class allocator.
 *
 * glibc's consolidation was measured to stall a worker for 100 ms over 50,000 users; lists of equal
 * blocks do not. Classes: every 16 bytes up to 512, then four to each doubling up to 32 KiB; larger
 * blocks go to malloc. Frees are sized, so blocks carry no header. A block may be freed into another
 * pool of the same heap than the one it came from.
 *
 * Under AddressSanitizer every block is a malloc of its own, so that it can see overruns.
 *
 * Threads: a pool belongs to one thread.
 */
#ifndef PN_MEMORY_POOL_H
#define PN_MEMORY_POOL_H

#include "memory/heap.h"

#define PN_POOL_SMALL_BYTES 512
#define PN_POOL_LARGE_BYTES 32768
#define PN_POOL_CLASSES     56

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

/* NULL without memory. size > 0. */
void *pn_pool_get(pn_pool *pool, size_t size);
void pn_pool_put(pn_pool *pool, void *block, size_t size);

/* As realloc; stays in place within a size class. */
void *pn_pool_resize(pn_pool *pool, void *block, size_t old_size, size_t new_size);

/* The bytes a block of this size really takes. */
size_t pn_pool_block_bytes(size_t size);

#endif
