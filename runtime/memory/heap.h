/*
 * heap.h - where all of a runtime's memory comes from, and goes back to.
 *
 * Design. A heap hands out chunks of 1 MiB from the operating system; each worker has a pool
 * (pool.h) that cuts them into size-class blocks. What one worker's pool has too much of (because
 * its actors free what others sent) goes through the heap's depot, a lock-protected shelf of whole
 * batches, so one-way message flows between workers do not grow without bound. Chunks return to the
 * system when the heap is destroyed, not before.
 *
 * Seeded runs ask for a fixed arena: chunks then lie at the same addresses in every process, which
 * is one of the things that make stock Lua repeat itself (docs/architecture.md).
 *
 * Threads: everything here may be called from any thread.
 */
#ifndef PN_MEMORY_HEAP_H
#define PN_MEMORY_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pn_heap pn_heap;

#define PN_HEAP_CHUNK_BYTES ((size_t)1 << 20)

/* NULL when the system has no memory. */
pn_heap *pn_heap_create(bool fixed_arena);

/* All pools of the heap must be closed. */
void pn_heap_destroy(pn_heap *heap);

/* Bytes taken from the system, chunks and large blocks. */
size_t pn_heap_system_bytes(const pn_heap *heap);

/* Fault injection, for builds with PN_FAULTS (elsewhere these do nothing and return 0): the n-th
 * allocation that may fail, counted from now over all threads, fails; 0 turns it off. Of a run, so
 * many fail one after the other: a second refusal is what Lua does not recover from by collecting
 * garbage. pn_heap_fault_count counts the attempts since then. */
void pn_heap_fail_at(pn_heap *heap, uint64_t n);
void pn_heap_fail_run(pn_heap *heap, uint64_t n, uint64_t length);
uint64_t pn_heap_fault_count(const pn_heap *heap);
bool pn_heap_has_failed(const pn_heap *heap);
bool pn_heap__should_fail(pn_heap *heap);

/* For pools. A chunk, or NULL; batches of equal blocks linked through their first word. */
void *pn_heap__chunk(pn_heap *heap);
void pn_heap__shelve(pn_heap *heap, unsigned size_class, void *batch);
void *pn_heap__unshelve(pn_heap *heap, unsigned size_class);
void *pn_heap__large(pn_heap *heap, void *block, size_t old_size, size_t new_size);

#endif
