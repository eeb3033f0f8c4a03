/* Buffers: limits to the byte, failures that leave the bytes as they were, and text with its
 * NUL. */
#include "base/buf.h"

#include "memory/ledger.h"
#include "test.h"

typedef struct owner {
    pn_heap *heap;
    pn_ledger ledger;
    pn_buf buf;
} owner;

static pn_buf *owner_open(owner *o) {
    o->heap = pn_heap_create(false);
    pn_ledger_init_shared(&o->ledger, "test", o->heap);
    pn_buf_init(&o->buf, &o->ledger.door);
    return &o->buf;
}

static void owner_close(owner *o) {
    pn_buf_close(&o->buf);
    pn_buf_close(&o->buf); /* idempotent */
    CHECK_EQ(pn_ledger_live(&o->ledger), 0);
    pn_heap_destroy(o->heap);
}

TEST(buf_empty_owns_no_memory) {
    owner o;
    pn_buf *buf = owner_open(&o);
    CHECK(pn_buf_add(buf, NULL, 0));
    CHECK(pn_buf_reserve(buf, 0));
    CHECK_EQ(o.ledger.alloc_count, 0);
    CHECK_STR(pn_buf_text(buf), "");
    CHECK_EQ(buf->size, 0);
    owner_close(&o);
}

TEST(buf_keeps_what_was_added_in_any_pieces) {
    enum { BYTES = 100000 };
    owner o;
    pn_buf *buf = owner_open(&o);
    static char expected[BYTES];
    for (size_t i = 0; i < BYTES; i++) expected[i] = (char)(i * 31 % 251);
    for (size_t at = 0, piece = 0; at < BYTES; at += piece, piece = piece * 7 % 1009 + 1) {
        if (piece > BYTES - at) piece = BYTES - at;
        CHECK(pn_buf_add(buf, expected + at, piece));
    }
    CHECK_EQ(buf->size, BYTES);
    CHECK_MEM(buf->data, expected, BYTES);
    pn_buf_consume(buf, 12345);
    CHECK_EQ(buf->size, BYTES - 12345);
    CHECK_MEM(buf->data, expected + 12345, BYTES - 12345);
    pn_buf_consume(buf, buf->size);
    CHECK_EQ(buf->size, 0);
    owner_close(&o);
}

/* However the bytes come, exactly limit_bytes of them fit. */
TEST(buf_limit_holds_to_the_byte) {
    for (size_t limit = 0; limit < 300; limit++) {
        for (size_t piece = 1; piece < 40; piece += 3) {
            owner o;
            pn_buf *buf = owner_open(&o);
            buf->limit_bytes = limit;
            char bytes[40] = {0};
            while (pn_buf_add(buf, bytes, piece)) CHECK_INT(buf->size, <=, limit);
            CHECK(buf->failed);
            CHECK_EQ(buf->size, limit / piece * piece);
            while (pn_buf_add_byte(buf, 'x')) {}
            CHECK_EQ(buf->size, limit);
            CHECK_INT(buf->capacity, <=, limit + 1); /* no more than it can use */
            if (limit > 0) CHECK_EQ(pn_buf_text(buf)[limit - 1], limit % piece == 0 ? 0 : 'x');
            CHECK_EQ(pn_buf_text(buf)[limit], '\0'); /* the NUL has a place beyond the limit */
            CHECK(!pn_buf_add_byte(buf, 'x'));       /* which is for nothing else */
            CHECK_EQ(buf->size, limit);
            owner_close(&o);
        }
    }
}

TEST(buf_limit_may_be_set_later) {
    owner o;
    pn_buf *buf = owner_open(&o);
    CHECK(pn_buf_add(buf, "0123456789", 10));
    buf->limit_bytes = 12;
    CHECK(pn_buf_add(buf, "ab", 2));
    CHECK(!pn_buf_add(buf, "c", 1)); /* though the capacity is larger */
    buf->limit_bytes = 5;
    CHECK(!pn_buf_add(buf, "c", 1));
    CHECK_STR(pn_buf_text(buf), "0123456789ab");
    owner_close(&o);
}

TEST(buf_printf_fits_exactly_or_not_at_all) {
    for (int length = 1; length < 200; length++) {
        owner o;
        pn_buf *buf = owner_open(&o);
        CHECK(pn_buf_add_text(buf, "<"));
        buf->limit_bytes = (size_t)length;
        CHECK(!pn_buf_printf(buf, "%0*d", length, 7));
        CHECK(buf->failed);
        CHECK_STR(pn_buf_text(buf), "<");
        buf->limit_bytes++;
        CHECK(pn_buf_printf(buf, "%0*d", length, 7));
        CHECK_EQ(buf->size, (size_t)length + 1);
        CHECK_EQ(buf->data[length], '7');
        CHECK(!pn_buf_printf(buf, "%s", "x"));
        CHECK_EQ(strlen(pn_buf_text(buf)), (size_t)length + 1);
        owner_close(&o);
    }
}

TEST(buf_without_memory_stays_as_it_was) {
    owner o;
    pn_buf *buf = owner_open(&o);
    CHECK(pn_buf_add(buf, "abc", 3));
    o.ledger.limit_bytes = pn_ledger_live(&o.ledger);
    static char large[1000];
    CHECK(!pn_buf_add(buf, large, sizeof large));
    CHECK(buf->failed);
    CHECK_STR(pn_buf_text(buf), "abc");
    CHECK(!pn_buf_printf(buf, "%999d", 1));
    CHECK(!pn_buf_reserve(buf, SIZE_MAX));
    CHECK(!pn_buf_reserve(buf, SIZE_MAX - 3));
    CHECK_EQ(buf->size, 3);
    pn_buf_clear(buf);
    CHECK(!buf->failed);
    CHECK_EQ(buf->size, 0);
    while (buf->size < buf->capacity) CHECK(pn_buf_add_byte(buf, 'x'));
    CHECK_STR(pn_buf_text(buf), ""); /* no byte for the NUL, and none to be had */
    CHECK(buf->failed);
    owner_close(&o);
}

TEST(buf_take_hands_over_the_block) {
    owner o;
    pn_buf *buf = owner_open(&o);
    size_t size, capacity;
    CHECK(pn_buf_take(buf, &size, &capacity) == NULL);
    CHECK_EQ(capacity, 0);
    buf->limit_bytes = 5;
    CHECK(pn_buf_add_text(buf, "hello"));
    CHECK(!pn_buf_add_byte(buf, '!'));
    char *block = pn_buf_take(buf, &size, &capacity);
    CHECK_EQ(size, 5);
    CHECK_MEM(block, "hello", 5);
    CHECK_EQ(pn_ledger_live(&o.ledger), capacity);
    CHECK(!buf->failed); /* usable again, from the start */
    CHECK(pn_buf_add_text(buf, "again"));
    CHECK_MEM(block, "hello", 5);
    pn_alloc_put(&o.ledger.door, block, capacity);
    owner_close(&o);
}
