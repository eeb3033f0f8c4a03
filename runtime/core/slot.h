/*
 * slot.h - the table of actor slots: who is where, alive, and how full.
 *
 * Slots are type-stable: once there, they stay until the runtime goes, so any thread may look at
 * one whatever became of its actor. Generation and mailbox depth are one atomic word: a sender
 * reserves a place with one compare-and-swap that also proves that the actor is the one it meant.
 * Everything behind `actor` belongs to the actor's worker.
 *
 * Limits: 2^28 slots; a slot whose 2^28 generations are used up is retired for good.
 */
#ifndef PN_CORE_SLOT_H
#define PN_CORE_SLOT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/err.h"
#include "core/pid.h"
#include "memory/ledger.h"

typedef struct pn_actor pn_actor;

#define PN_SLOT_CHUNK_BITS 12
#define PN_SLOT_CHUNK      (1u << PN_SLOT_CHUNK_BITS)
#define PN_SLOT_CHUNKS     (1u << (PN_PID_SLOT_BITS - PN_SLOT_CHUNK_BITS))

typedef enum pn_overflow {
    PN_OVERFLOW_REJECT, /* the sender gets mailbox_full */
    PN_OVERFLOW_BLOCK,  /* the sending task waits */
    PN_OVERFLOW_DROP_NEW,
    PN_OVERFLOW_DROP_OLDEST,
} pn_overflow;

typedef struct pn_slot {
    _Alignas(64) _Atomic uint64_t word; /* generation << 32 | depth */
    _Atomic uint32_t capacity;
    _Atomic uint16_t worker;
    _Atomic uint8_t overflow;
    _Atomic bool is_alive;             /* for who looks around: the word is what counts */
    _Atomic uint32_t block_timeout_ms; /* of senders, overflow block */
    uint32_t index;
    uint32_t next_free; /* index + 1 of the next free slot, 0: none */
    pn_actor *actor;    /* the home worker's; NULL while the birth is on its way there */
} pn_slot;

typedef struct pn_slots {
    pthread_mutex_t lock; /* guards growth */
    uint32_t chunk_count;
    pn_ledger *ledger; /* shared */
    _Atomic(pn_slot *) *chunks;
} pn_slots;

int pn_slots_init(pn_slots *slots, pn_ledger *shared);
void pn_slots_close(pn_slots *slots);

/* Adds a chunk: a list linked by next_free, from *first (index + 1). PN_ENOMEM, PN_ELIMIT. */
int pn_slots_grow(pn_slots *slots, uint32_t *first);

static inline pn_slot *pn_slots_at(const pn_slots *slots, uint32_t index) {
    pn_slot *chunk =
        atomic_load_explicit(&slots->chunks[index >> PN_SLOT_CHUNK_BITS], memory_order_acquire);
    return chunk != NULL ? &chunk[index & (PN_SLOT_CHUNK - 1)] : NULL;
}

/* The slot of a pid, or NULL for a pid that was never given out. The actor may be dead. */
static inline pn_slot *pn_slots_of(const pn_slots *slots, pn_pid pid) {
    return pn_pid_valid(pid) ? pn_slots_at(slots, pn_pid_slot(pid)) : NULL;
}

static inline uint32_t pn_slot_generation(const pn_slot *slot) {
    return (uint32_t)(atomic_load_explicit(&slot->word, memory_order_acquire) >> 32);
}

static inline bool pn_slot_is(const pn_slot *slot, pn_pid pid) {
    return pn_slot_generation(slot) == pn_pid_generation(pid);
}

static inline uint32_t pn_slot_depth(const pn_slot *slot) {
    return (uint32_t)atomic_load_explicit(&slot->word, memory_order_relaxed);
}

/* Takes one of `limit` places in the mailbox of this generation: 0, PN_ENOPROC or
 * PN_EMAILBOX_FULL. */
static inline int pn_slot_reserve(pn_slot *slot, uint32_t generation, uint32_t limit) {
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    do {
        if (PN_UNLIKELY((uint32_t)(word >> 32) != generation)) return PN_ENOPROC;
        if (PN_UNLIKELY((uint32_t)word >= limit)) return PN_EMAILBOX_FULL;
    } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, word + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    return 0;
}

/* Gives `count` places back. By the owner, while the actor lives. */
static inline void pn_slot_release(pn_slot *slot, uint32_t count) {
    atomic_fetch_sub_explicit(&slot->word, count, memory_order_acq_rel);
}

/* Ends the generation. By the owner. */
void pn_slot_retire(pn_slot *slot);

#endif
