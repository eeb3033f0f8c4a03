/* Slabs: what is kept stays as it was, what is let go is used again, a few long-lived slices do not
 * pin many slabs. */
#include "net/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "specs/c/test.h"

typedef struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_slabs slabs;
} fixture;

static void open_fixture(fixture *f) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    pn_slabs_init(&f->slabs, &f->ledger);
}

static void close_fixture(fixture *f) {
    pn_slabs_close(&f->slabs);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

/* As a read would: fills `size` bytes of the room and keeps them. */
static char *read_and_keep(fixture *f, pn_slice *slice, size_t size, char fill) {
    size_t room;
    char *data = pn_slabs_reserve(&f->slabs, &room);
    CHECK(data != NULL && room >= PN_SLAB_ROOM_MIN_BYTES && size <= room);
    memset(data, fill, size);
    *slice = (pn_slice){0};
    pn_slice_keep(&f->slabs, slice, data, size);
    return data;
}

static void check_fill(const pn_slice *slice, size_t size, char fill) {
    CHECK_EQ(slice->size, size);
    for (size_t i = 0; i < size; i++) CHECK_EQ(slice->data[i], fill);
}

TEST(slab_room_is_the_same_until_kept) {
    fixture f;
    open_fixture(&f);
    size_t room;
    char *first = pn_slabs_reserve(&f.slabs, &room);
    CHECK(pn_slabs_reserve(&f.slabs, &room) == first);
    pn_slice slice;
    read_and_keep(&f, &slice, 100, 'a');
    CHECK(pn_slabs_reserve(&f.slabs, &room) == first + 100);
    pn_slice_drop(&f.slabs, &slice);
    pn_slice_drop(&f.slabs, &slice);
    CHECK(pn_slabs_reserve(&f.slabs, &room) == first); /* all let go: the same warm bytes */
    CHECK_EQ(f.slabs.slab_count, 1);
    close_fixture(&f);
}

TEST(slab_slices_grow_in_place) {
    fixture f;
    open_fixture(&f);
    pn_slice a, b;
    char *data = read_and_keep(&f, &a, 10, 'a');
    memset(data + 10, 'a', 20);
    CHECK(pn_slice_extend(&f.slabs, &a, data + 30));
    check_fill(&a, 30, 'a');
    read_and_keep(&f, &b, 5, 'b');
    CHECK(!pn_slice_extend(&f.slabs, &a, data + 40)); /* another slice lies behind */
    CHECK(!pn_slice_extend(&f.slabs, &b, data + PN_SLAB_BYTES));
    pn_slice_drop(&f.slabs, &a);
    pn_slice_drop(&f.slabs, &b);
    close_fixture(&f);
}

TEST(slab_copies_out) {
    fixture f;
    open_fixture(&f);
    pn_slice slice;
    char *data = read_and_keep(&f, &slice, 1000, 'c');
    CHECK_EQ(pn_slice_copy_out(&f.slabs, &slice), 0);
    CHECK(slice.data != data && slice.slab == NULL);
    check_fill(&slice, 1000, 'c');
    CHECK_EQ(pn_slice_copy_out(&f.slabs, &slice), 0);
    pn_slice_drop(&f.slabs, &slice);
    close_fixture(&f);
}

/* One small slice of each of many slabs lives on: the slabs are emptied, the bytes stay. */
TEST(slab_few_survivors_pin_few_slabs) {
    enum { ROUNDS = 500, SURVIVOR = 200 };
    static pn_slice survivors[ROUNDS];
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < ROUNDS; i++) {
        read_and_keep(&f, &survivors[i], SURVIVOR, (char)i);
        uint32_t before = f.slabs.slab_count;
        pn_slice filler[16];
        for (int n = 0; n < 16; n++) read_and_keep(&f, &filler[n], 4000, 'f');
        for (int n = 0; n < 16; n++) pn_slice_drop(&f.slabs, &filler[n]);
        CHECK_INT(f.slabs.slab_count, <=, PN_SLABS_SPARSE_MAX + PN_SLABS_SPARE_MAX + 2);
        CHECK_INT(f.slabs.slab_count, <=, before + 1);
    }
    CHECK_INT(f.slabs.evacuated_bytes, >, (ROUNDS - 2 * PN_SLABS_SPARSE_MAX) * SURVIVOR);
    for (int i = 0; i < ROUNDS; i++) {
        check_fill(&survivors[i], SURVIVOR, (char)i);
        pn_slice_drop(&f.slabs, &survivors[i]);
    }
    CHECK_INT(f.slabs.slab_count, <=, PN_SLABS_SPARE_MAX + 1);
    close_fixture(&f);
}

/* Slabs that are full of living bytes are not copied: that would save nothing. */
TEST(slab_full_ones_stay) {
    enum { SLABS = 3 * PN_SLABS_SPARSE_MAX, EACH = 15 };
    static pn_slice slices[SLABS][EACH];
    fixture f;
    open_fixture(&f);
    for (int i = 0; i < SLABS; i++) {
        for (int n = 0; n < EACH; n++) read_and_keep(&f, &slices[i][n], 4000, (char)(i + n));
    }
    CHECK_EQ(f.slabs.evacuated_bytes, 0);
    for (int i = 0; i < SLABS; i++) { /* two thirds go: now most are sparse */
        for (int n = 0; n < 10; n++) pn_slice_drop(&f.slabs, &slices[i][n]);
    }
    pn_slice more[200];
    for (int n = 0; n < 200; n++) read_and_keep(&f, &more[n], 4000, 'm');
    CHECK_INT(f.slabs.evacuated_bytes, >, 0);
    for (int i = 0; i < SLABS; i++) {
        for (int n = 10; n < EACH; n++) {
            check_fill(&slices[i][n], 4000, (char)(i + n));
            pn_slice_drop(&f.slabs, &slices[i][n]);
        }
    }
    for (int n = 0; n < 200; n++) pn_slice_drop(&f.slabs, &more[n]);
    close_fixture(&f);
}

/* Random keeps, drops and growth against a plain copy of what should be there. */
TEST(slab_random) {
    enum { COUNT = 300, STEPS = 60000 };
    static pn_slice slices[COUNT];
    static size_t sizes[COUNT];
    static char fills[COUNT];
    fixture f;
    open_fixture(&f);
    pn_rand chance = {.key = pn_rand_key(11, "slab", 0)};
    for (int step = 0; step < STEPS; step++) {
        size_t i = pn_rand_below(&chance, COUNT);
        if (sizes[i] == 0) {
            sizes[i] = 1 + pn_rand_below(&chance, 4000);
            fills[i] = (char)step;
            read_and_keep(&f, &slices[i], sizes[i], fills[i]);
        } else {
            if (pn_rand_below(&chance, 8) != 0) continue; /* long lives */
            CHECK_EQ(slices[i].size, sizes[i]);
            CHECK_EQ(slices[i].data[0], fills[i]);
            CHECK_EQ(slices[i].data[sizes[i] - 1], fills[i]);
            pn_slice_drop(&f.slabs, &slices[i]);
            sizes[i] = 0;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        if (sizes[i] > 0) check_fill(&slices[i], sizes[i], fills[i]);
        if (sizes[i] > 0) pn_slice_drop(&f.slabs, &slices[i]);
    }
    close_fixture(&f);
}

TEST(slab_without_memory) {
    fixture f;
    open_fixture(&f);
    f.ledger.limit_bytes = PN_SLAB_BYTES + 100;
    pn_slice slices[20];
    int kept = 0;
    size_t room;
    while (pn_slabs_reserve(&f.slabs, &room) != NULL) read_and_keep(&f, &slices[kept++], 4000, 'x');
    CHECK_INT(kept, >, 10);
    CHECK_EQ(pn_slice_copy_out(&f.slabs, &slices[0]), PN_ENOMEM);
    check_fill(&slices[0], 4000, 'x');
    for (int i = 0; i < kept; i++) pn_slice_drop(&f.slabs, &slices[i]);
    CHECK(pn_slabs_reserve(&f.slabs, &room) != NULL);
    close_fixture(&f);
}
