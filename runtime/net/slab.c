#include "net/slab.h"

#include <string.h>

#include "base/err.h"

typedef enum slab_state { SLAB_CURRENT, SLAB_SPARSE, SLAB_DENSE, SLAB_SPARE } slab_state;

struct pn_slab {
    pn_list link; /* in the list of its state */
    pn_list slices;
    slab_state state;
    uint32_t used; /* bytes given to slices, from the start */
    uint32_t live_bytes;
    char data[];
};

#define DATA_BYTES (PN_SLAB_BYTES - sizeof(pn_slab))

_Static_assert(PN_SLAB_ROOM_MIN_BYTES <= DATA_BYTES, "an empty slab has room for a read");

void pn_slabs_init(pn_slabs *slabs, pn_ledger *ledger) {
    *slabs = (pn_slabs){.ledger = ledger};
    pn_list_init(&slabs->sparse);
    pn_list_init(&slabs->dense);
    pn_list_init(&slabs->spare);
}

static void free_slab(pn_slabs *slabs, pn_slab *slab) {
    slabs->slab_count--;
    pn_mem_free(slabs->ledger, slab, PN_SLAB_BYTES);
}

void pn_slabs_close(pn_slabs *slabs) {
    pn_assert(pn_list_empty(&slabs->sparse) && pn_list_empty(&slabs->dense));
    if (slabs->current != NULL) {
        pn_assert(pn_list_empty(&slabs->current->slices));
        free_slab(slabs, slabs->current);
        slabs->current = NULL;
    }
    pn_list *node;
    while ((node = pn_list_pop(&slabs->spare)) != NULL) {
        free_slab(slabs, PN_CONTAINER(node, pn_slab, link));
    }
    slabs->spare_count = 0;
}

static pn_slab *new_slab(pn_slabs *slabs) {
    pn_list *node = pn_list_pop(&slabs->spare);
    pn_slab *slab;
    if (node != NULL) {
        slabs->spare_count--;
        slab = PN_CONTAINER(node, pn_slab, link);
    } else {
        slab = pn_mem_try(slabs->ledger, PN_SLAB_BYTES);
        if (slab == NULL) return NULL;
        slabs->slab_count++;
        pn_list_init(&slab->link);
        pn_list_init(&slab->slices);
    }
    slab->state = SLAB_CURRENT;
    slab->used = slab->live_bytes = 0;
    return slab;
}

static void set_state(pn_slabs *slabs, pn_slab *slab, slab_state state) {
    if (slab->state == SLAB_SPARSE) slabs->sparse_count--;
    if (state == SLAB_SPARSE) slabs->sparse_count++;
    pn_list_remove(&slab->link);
    slab->state = state;
    pn_list_push(state == SLAB_SPARSE ? &slabs->sparse : &slabs->dense, &slab->link);
}

/* Nothing of it is alive. */
static void recycle(pn_slabs *slabs, pn_slab *slab) {
    if (slab->state == SLAB_SPARSE) slabs->sparse_count--;
    pn_list_remove(&slab->link);
    if (slabs->spare_count == PN_SLABS_SPARE_MAX) {
        free_slab(slabs, slab);
        return;
    }
    slab->state = SLAB_SPARE;
    slabs->spare_count++;
    pn_list_push_front(&slabs->spare, &slab->link);
}

static bool is_sparse(const pn_slab *slab) { return slab->live_bytes < DATA_BYTES / 2; }

/* Copies the oldest sparse slab's slices out; the last one recycles it. */
static void evacuate_oldest(pn_slabs *slabs) {
    pn_slab *slab = PN_CONTAINER(slabs->sparse.next, pn_slab, link);
    while (true) {
        pn_slice *slice = PN_CONTAINER(slab->slices.next, pn_slice, link);
        bool is_last = slice->link.next == &slab->slices;
        size_t size = slice->size;
        if (pn_slice_copy_out(slabs, slice) != 0) {
            set_state(slabs, slab, SLAB_DENSE); /* no memory: not tried again before a slice goes */
            return;
        }
        slabs->evacuated_bytes += size;
        if (is_last) return;
    }
}

static __attribute__((noinline)) pn_slab *rotate(pn_slabs *slabs) {
    pn_slab *slab = new_slab(slabs);
    if (slab == NULL) return NULL;
    pn_slab *old = slabs->current;
    slabs->current = slab;
    if (old != NULL) set_state(slabs, old, is_sparse(old) ? SLAB_SPARSE : SLAB_DENSE);
    if (slabs->sparse_count > PN_SLABS_SPARSE_MAX) evacuate_oldest(slabs);
    return slab;
}

char *pn_slabs_reserve(pn_slabs *slabs, size_t *room) {
    pn_slab *slab = slabs->current;
    if (PN_UNLIKELY(slab == NULL || DATA_BYTES - slab->used < PN_SLAB_ROOM_MIN_BYTES)) {
        slab = rotate(slabs);
        if (slab == NULL) return NULL;
    }
    *room = DATA_BYTES - slab->used;
    return slab->data + slab->used;
}

void pn_slice_keep(pn_slabs *slabs, pn_slice *slice, char *data, size_t size) {
    pn_slab *slab = slabs->current;
    pn_assert(size > 0 && data >= slab->data + slab->used &&
              data + size <= slab->data + DATA_BYTES);
    slice->slab = slab;
    slice->data = data;
    slice->size = (uint32_t)size;
    slice->next = NULL;
    pn_list_push(&slab->slices, &slice->link);
    slab->used = (uint32_t)(data + size - slab->data);
    slab->live_bytes += (uint32_t)size;
}

bool pn_slice_extend(pn_slabs *slabs, pn_slice *slice, const char *end) {
    pn_slab *slab = slabs->current;
    if (slab == NULL || slice->slab != slab) return false;
    if (slice->data + slice->size != slab->data + slab->used) return false;
    if (end < slab->data + slab->used || end > slab->data + DATA_BYTES) return false;
    uint32_t more = (uint32_t)(end - (slab->data + slab->used));
    slice->size += more;
    slab->used += more;
    slab->live_bytes += more;
    return true;
}

int pn_slice_copy(pn_slabs *slabs, pn_slice *slice, const char *data, size_t size) {
    char *block = pn_mem_try(slabs->ledger, size);
    if (block == NULL) return PN_ENOMEM;
    memcpy(block, data, size);
    *slice = (pn_slice){.data = block, .size = (uint32_t)size, .capacity = (uint32_t)size};
    return 0;
}

/* The slice has gone from its slab. */
static void leave(pn_slabs *slabs, pn_slab *slab, pn_slice *slice) {
    pn_list_remove(&slice->link);
    slab->live_bytes -= slice->size;
    if (pn_list_empty(&slab->slices)) {
        if (slab->state == SLAB_CURRENT) {
            slab->used = 0;
        } else {
            recycle(slabs, slab);
        }
    } else if (slab->state == SLAB_DENSE && is_sparse(slab)) {
        set_state(slabs, slab, SLAB_SPARSE);
    }
}

int pn_slice_copy_out(pn_slabs *slabs, pn_slice *slice) {
    pn_slab *slab = slice->slab;
    if (slab == NULL) return 0;
    char *block = pn_mem_try(slabs->ledger, slice->size);
    if (block == NULL) return PN_ENOMEM;
    memcpy(block, slice->data, slice->size);
    leave(slabs, slab, slice);
    slice->slab = NULL;
    slice->data = block;
    slice->capacity = slice->size;
    return 0;
}

void pn_slice_drop(pn_slabs *slabs, pn_slice *slice) {
    if (slice->slab != NULL) {
        leave(slabs, slice->slab, slice);
        slice->slab = NULL;
    } else if (slice->data != NULL) {
        pn_mem_free(slabs->ledger, slice->data, slice->capacity);
    }
    slice->data = NULL;
    slice->size = 0;
}
