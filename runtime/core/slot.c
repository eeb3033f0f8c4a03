#include "core/slot.h"

#include <stdio.h>
#include <string.h>

const char *pn_pid_text(pn_pid pid, char text[PN_PID_TEXT_BYTES]) {
    snprintf(text, PN_PID_TEXT_BYTES, "<pid %u.%u>", pn_pid_slot(pid), pn_pid_generation(pid));
    return text;
}

#define CHUNK_BYTES (PN_SLOT_CHUNK * sizeof(pn_slot) + _Alignof(pn_slot))

int pn_slots_init(pn_slots *slots, pn_ledger *shared) {
    *slots = (pn_slots){.ledger = shared};
    slots->chunks = pn_mem_try_zeroed(shared, PN_SLOT_CHUNKS * sizeof *slots->chunks);
    if (slots->chunks == NULL) return PN_ENOMEM;
    pn_assert(pthread_mutex_init(&slots->lock, NULL) == 0);
    return 0;
}

/* A chunk is aligned by hand inside its block; the block's start lies in front of it. */
static pn_slot *chunk_create(pn_ledger *ledger) {
    char *block = pn_mem_try_zeroed(ledger, CHUNK_BYTES + sizeof(void *));
    if (block == NULL) return NULL;
    uintptr_t at = (uintptr_t)block + sizeof(void *);
    at = (at + _Alignof(pn_slot) - 1) & ~(uintptr_t)(_Alignof(pn_slot) - 1);
    memcpy((char *)at - sizeof(void *), &block, sizeof(void *));
    return (pn_slot *)at;
}

static void chunk_destroy(pn_ledger *ledger, pn_slot *chunk) {
    char *block;
    memcpy(&block, (char *)chunk - sizeof(void *), sizeof(void *));
    pn_mem_free(ledger, block, CHUNK_BYTES + sizeof(void *));
}

void pn_slots_close(pn_slots *slots) {
    for (uint32_t i = 0; i < slots->chunk_count; i++)
        chunk_destroy(slots->ledger, slots->chunks[i]);
    pn_mem_free(slots->ledger, slots->chunks, PN_SLOT_CHUNKS * sizeof *slots->chunks);
    pthread_mutex_destroy(&slots->lock);
}

int pn_slots_grow(pn_slots *slots, uint32_t *first) {
    pthread_mutex_lock(&slots->lock);
    bool is_full = slots->chunk_count >= PN_SLOT_CHUNKS;
    pn_slot *chunk = is_full ? NULL : chunk_create(slots->ledger);
    if (chunk != NULL) {
        uint32_t base = slots->chunk_count << PN_SLOT_CHUNK_BITS;
        for (uint32_t i = 0; i < PN_SLOT_CHUNK; i++) {
            chunk[i].index = base + i;
            chunk[i].next_free = i + 1 < PN_SLOT_CHUNK ? base + i + 2 : 0;
            atomic_init(&chunk[i].word, 1ULL << 32);
        }
        atomic_store_explicit(&slots->chunks[slots->chunk_count++], chunk, memory_order_release);
        *first = base + 1;
    }
    pthread_mutex_unlock(&slots->lock);
    if (chunk != NULL) return 0;
    return is_full ? PN_ELIMIT : PN_ENOMEM;
}

void pn_slot_retire(pn_slot *slot) {
    uint64_t generation = pn_slot_generation(slot);
    if (slot->actor != NULL) slot->actor = NULL; /* of one unborn it is not ours to write */
    atomic_store_explicit(&slot->is_alive, false, memory_order_relaxed);
    atomic_store_explicit(&slot->word, (generation + 1) << 32, memory_order_release);
}
