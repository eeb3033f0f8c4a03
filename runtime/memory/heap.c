#include "memory/heap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "memory/pool.h"

/* Where the kernel puts nothing by itself, and ThreadSanitizer lets programs be. */
#define ARENA_BASE ((char *)0x7e9000000000)

struct chunk {
    struct chunk *next;
    void *base;
};

struct pn_heap {
    pthread_mutex_t lock; /* guards chunks, arena_next and shelves */
    struct chunk *chunks;
    char *arena_next; /* NULL: wherever the kernel likes */
    void *shelves[PN_POOL_CLASSES];
    _Atomic size_t system_bytes;
    _Atomic uint64_t fail_at, fail_length, fault_count;
    _Atomic bool has_failed;
};

pn_heap *pn_heap_create(bool fixed_arena) {
    pn_heap *heap = calloc(1, sizeof *heap);
    if (heap == NULL) return NULL;
    pn_assert(pthread_mutex_init(&heap->lock, NULL) == 0);
    if (fixed_arena) heap->arena_next = ARENA_BASE;
    return heap;
}

void pn_heap_destroy(pn_heap *heap) {
    while (heap->chunks != NULL) {
        struct chunk *chunk = heap->chunks;
        heap->chunks = chunk->next;
        munmap(chunk->base, PN_HEAP_CHUNK_BYTES);
        free(chunk);
    }
    pthread_mutex_destroy(&heap->lock);
    free(heap);
}

size_t pn_heap_system_bytes(const pn_heap *heap) {
    return atomic_load_explicit(&heap->system_bytes, memory_order_relaxed);
}

/* At the next place of the arena, or where the kernel likes; a second runtime of the process finds
 * the arena taken and moves on to the next free place. */
static void *map_chunk(pn_heap *heap) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (heap->arena_next == NULL) {
        void *p = mmap(NULL, PN_HEAP_CHUNK_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
        return p == MAP_FAILED ? NULL : p;
    }
    for (int tries = 0; tries < 65536; tries++) {
        void *p = mmap(heap->arena_next, PN_HEAP_CHUNK_BYTES, PROT_READ | PROT_WRITE,
                       flags | MAP_FIXED_NOREPLACE, -1, 0);
        heap->arena_next += PN_HEAP_CHUNK_BYTES;
        if (p != MAP_FAILED) return p;
    }
    return NULL;
}

void *pn_heap__chunk(pn_heap *heap) {
    struct chunk *chunk = malloc(sizeof *chunk);
    if (chunk == NULL) return NULL;
    pthread_mutex_lock(&heap->lock);
    void *base = map_chunk(heap);
    if (base != NULL) {
        *chunk = (struct chunk){heap->chunks, base};
        heap->chunks = chunk;
        chunk = NULL;
        atomic_fetch_add(&heap->system_bytes, PN_HEAP_CHUNK_BYTES);
    }
    pthread_mutex_unlock(&heap->lock);
    free(chunk);
    return base;
}

/* Batches on a shelf are linked through the second word of their first block. */
void pn_heap__shelve(pn_heap *heap, unsigned size_class, void *batch) {
    pthread_mutex_lock(&heap->lock);
    ((void **)batch)[1] = heap->shelves[size_class];
    heap->shelves[size_class] = batch;
    pthread_mutex_unlock(&heap->lock);
}

void *pn_heap__unshelve(pn_heap *heap, unsigned size_class) {
    pthread_mutex_lock(&heap->lock);
    void *batch = heap->shelves[size_class];
    if (batch != NULL) heap->shelves[size_class] = ((void **)batch)[1];
    pthread_mutex_unlock(&heap->lock);
    return batch;
}

void *pn_heap__large(pn_heap *heap, void *block, size_t old_size, size_t new_size) {
    void *moved = NULL;
    if (new_size == 0) {
        free(block);
    } else {
        moved = realloc(block, new_size);
        if (moved == NULL) return NULL;
    }
    atomic_fetch_add(&heap->system_bytes, new_size - old_size);
    return moved;
}

#ifdef PN_FAULTS
void pn_heap_fail_run(pn_heap *heap, uint64_t n, uint64_t length) {
    atomic_store(&heap->fail_at, 0);
    atomic_store(&heap->fault_count, 0);
    atomic_store(&heap->has_failed, false);
    atomic_store(&heap->fail_length, length);
    atomic_store(&heap->fail_at, n);
}

uint64_t pn_heap_fault_count(const pn_heap *heap) { return atomic_load(&heap->fault_count); }

bool pn_heap_has_failed(const pn_heap *heap) { return atomic_load(&heap->has_failed); }

bool pn_heap__should_fail(pn_heap *heap) {
    uint64_t n = atomic_fetch_add(&heap->fault_count, 1) + 1;
    uint64_t first = atomic_load(&heap->fail_at);
    if (first == 0 || n < first || n - first >= atomic_load(&heap->fail_length)) return false;
    atomic_store(&heap->has_failed, true);
    return true;
}
#else
void pn_heap_fail_run(pn_heap *heap, uint64_t n, uint64_t length) {
    (void)heap, (void)n, (void)length;
}

uint64_t pn_heap_fault_count(const pn_heap *heap) {
    (void)heap;
    return 0;
}

bool pn_heap_has_failed(const pn_heap *heap) {
    (void)heap;
    return false;
}

bool pn_heap__should_fail(pn_heap *heap) {
    (void)heap;
    return false;
}
#endif

void pn_heap_fail_at(pn_heap *heap, uint64_t n) { pn_heap_fail_run(heap, n, 1); }
