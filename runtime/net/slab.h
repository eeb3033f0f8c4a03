/*
 * slab.h - where received bytes lie: slabs of 64 KiB, shared by all connections of one engine.
 *
 * Design. A read goes straight into the free end of the current slab. Whoever wants to keep a part
 * of what came makes a slice of it; what nobody keeps is overwritten by the next read. A slab is
 * reused when its last slice is dropped, so an engine whose users look and let go reads into the
 * same warm bytes for ever, without a copy and without an allocation.
 *
 * A few slices that live long must not pin many slabs. A slab that is no longer current is sparse
 * while less than half of it is alive; past PN_SLABS_SPARSE_MAX sparse slabs the slices of the
 * oldest one are copied out to blocks of their own. So what is held is at most twice what is alive,
 * plus that many slabs. Where that memory is not to be had, the slab stays as it is.
 *
 * A slice's `data` may move at any pn_slabs_reserve: keep offsets, not pointers, over a turn of the
 * loop. Threads: one.
 */
#ifndef PN_NET_SLAB_H
#define PN_NET_SLAB_H

#include "base/list.h"
#include "memory/ledger.h"

#define PN_SLAB_BYTES          65536 /* with its head */
#define PN_SLAB_ROOM_MIN_BYTES 4096  /* a read is never offered less */
#define PN_SLABS_SPARSE_MAX    32
#define PN_SLABS_SPARE_MAX     4 /* unused slabs that are kept for the next need */

typedef struct pn_slab pn_slab;
typedef struct pn_slice pn_slice;

struct pn_slice {
    pn_list link;  /* in its slab */
    pn_slab *slab; /* NULL: `data` is a block of its own, or there is none */
    char *data;
    uint32_t size;
    uint32_t capacity; /* of the block */
    pn_slice *next;    /* the owner's: the next slice of the same message */
};

typedef struct pn_slabs {
    pn_ledger *ledger;
    pn_slab *current; /* NULL before the first read */
    pn_list sparse;   /* oldest first */
    pn_list dense;
    pn_list spare;
    uint32_t sparse_count, spare_count, slab_count;
    uint64_t evacuated_bytes; /* copied out of sparse slabs so far */
} pn_slabs;

void pn_slabs_init(pn_slabs *slabs, pn_ledger *ledger);
void pn_slabs_close(pn_slabs *slabs); /* no slice may be left */

/* Room for a read: at least PN_SLAB_ROOM_MIN_BYTES. NULL without memory. Nothing is taken until a
 * slice is made; the room is the same until then. */
char *pn_slabs_reserve(pn_slabs *slabs, size_t *room);

/* Keeps [data, data + size), size > 0, a part of the room that was reserved last and not given to
 * another slice since. The slice's memory is its owner's and must not move. */
void pn_slice_keep(pn_slabs *slabs, pn_slice *slice, char *data, size_t size);

/* Grows a kept slice up to `end`, which must lie in the room that was reserved last. False if
 * another slice or another slab lies between; then nothing is done. */
bool pn_slice_extend(pn_slabs *slabs, pn_slice *slice, const char *end);

/* Makes a slice of its own block out of a copy. PN_ENOMEM. */
int pn_slice_copy(pn_slabs *slabs, pn_slice *slice, const char *data, size_t size);

/* Moves a slice that may be in a slab to a block of its own. PN_ENOMEM leaves it as it was. */
int pn_slice_copy_out(pn_slabs *slabs, pn_slice *slice);

/* Idempotent; an all-zero slice is a dropped one. */
void pn_slice_drop(pn_slabs *slabs, pn_slice *slice);

#endif
