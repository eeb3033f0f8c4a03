/* Messages: what is kept of them, however it came; what it costs; who is charged. */
#include "net/http_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "specs/c/test.h"

typedef struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_slabs slabs;
    pn_buf out;
} fixture;

static void open_fixture(fixture *f) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    pn_slabs_init(&f->slabs, &f->ledger);
    pn_buf_init(&f->out, &f->ledger.door);
}

static void close_fixture(fixture *f) {
    pn_buf_close(&f->out);
    pn_slabs_close(&f->slabs);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

static const char head_text[] = "HTTP/1.1 200 All Right\r\nA: 1\r\nContent-Length: 9\r\n\r\n";
static const pn_http_head head = {.size = sizeof head_text - 1,
                                  .headers_at = 24,
                                  .headers_size = sizeof head_text - 1 - 26,
                                  .status = 200};

static char *read_in(fixture *f, const char *data, size_t size) {
    size_t room;
    char *to = pn_slabs_reserve(&f->slabs, &room);
    CHECK(to != NULL && size <= room);
    memcpy(to, data, size);
    return to;
}

static void keep_head(fixture *f, pn_http_message *m) {
    char *data = read_in(f, head_text, sizeof head_text - 1);
    CHECK_EQ(pn_http_message_keep_head(m, &f->slabs, &head, data, true), 0);
}

static void check_gathered(fixture *f, const pn_http_message *m, const char *expected,
                           size_t size) {
    pn_buf_clear(&f->out);
    CHECK(pn_http_message_gather(m, &f->out));
    CHECK_EQ(f->out.size, size);
    CHECK_MEM(f->out.data, expected, size);
}

TEST(message_head_and_body_in_one_read) {
    fixture f;
    open_fixture(&f);
    pn_http_message m;
    pn_http_message_init(&m, NULL, NULL);
    CHECK(!pn_http_message_is_open(&m));
    CHECK(pn_http_message_header(&m, PN_TEXT("a")).at == NULL);
    char whole[128];
    size_t size = (size_t)snprintf(whole, sizeof whole, "%sbody here", head_text);
    char *data = read_in(&f, whole, size);
    CHECK_EQ(pn_http_message_keep_head(&m, &f.slabs, &head, data, true), 0);
    CHECK_EQ(pn_http_message_keep_body(&m, data + head.size, 9, true), 0);
    CHECK(pn_text_equal(pn_http_message_header(&m, PN_TEXT("content-LENGTH")), PN_TEXT("9")));
    CHECK(pn_text_equal(pn_http_message_reason(&m), PN_TEXT("All Right")));
    pn_text view;
    CHECK(pn_http_message_view(&m, &view));
    CHECK(pn_text_equal(view, PN_TEXT("body here")));
    CHECK_EQ(m.held_bytes, size);
    CHECK(m.first.next == NULL); /* one slice is all */
    pn_http_message_close(&m);
    pn_http_message_close(&m);
    close_fixture(&f);
}

/* Pieces of every size, of other messages between them, in slabs and not: together they are the
 * body. */
TEST(message_random_pieces) {
    enum { BODY = 400000 };
    fixture f;
    open_fixture(&f);
    char *body = malloc(BODY);
    for (size_t i = 0; i < BODY; i++) body[i] = (char)(i * 13 + i / 1000);
    for (unsigned seed = 1; seed <= 20; seed++) {
        srand(seed);
        pn_http_message m, other;
        pn_http_message_init(&m, NULL, NULL);
        pn_http_message_init(&other, NULL, NULL);
        keep_head(&f, &m);
        size_t at = 0;
        while (at < BODY) {
            size_t size = (size_t)(rand() % (rand() % 4 == 0 ? 4000 : 300)) + 1;
            if (size > BODY - at) size = BODY - at;
            bool in_slab = rand() % 3 != 0;
            char *data = in_slab ? read_in(&f, body + at, size) : body + at;
            CHECK_EQ(pn_http_message_keep_body(&m, data, size, in_slab), 0);
            at += size;
            if (rand() % 5 == 0) {
                pn_http_message_close(&other);
                keep_head(&f, &other);
            }
        }
        check_gathered(&f, &m, body, BODY);
        CHECK_EQ(m.body_bytes, BODY);
        pn_http_message_close(&m);
        pn_http_message_close(&other);
    }
    free(body);
    close_fixture(&f);
}

/* A peer that sends byte by byte, between the bytes of others, costs a small multiple of what it
 * sends. */
TEST(message_scraps_cost_little) {
    enum { BODY = 100000 };
    fixture f;
    open_fixture(&f);
    pn_http_message m, other;
    pn_http_message_init(&m, NULL, NULL);
    pn_http_message_init(&other, NULL, NULL);
    keep_head(&f, &m);
    for (int i = 0; i < BODY; i++) {
        keep_head(&f, &other);
        char *data = read_in(&f, "x", 1);
        CHECK_EQ(pn_http_message_keep_body(&m, data, 1, true), 0);
        pn_http_message_close(&other);
    }
    CHECK_INT(pn_ledger_live(&f.ledger), <, 3 * BODY + 5 * PN_SLAB_BYTES);
    pn_buf_clear(&f.out);
    CHECK(pn_http_message_gather(&m, &f.out));
    CHECK_EQ(f.out.size, BODY);
    pn_http_message_close(&m);
    close_fixture(&f);
}

typedef struct account {
    int64_t held, limit;
} account;

static bool charge(void *owner, int64_t bytes) {
    account *a = owner;
    if (bytes > 0 && a->held + bytes > a->limit) return false;
    a->held += bytes;
    return true;
}

TEST(message_charges) {
    fixture f;
    open_fixture(&f);
    account a = {.limit = (int64_t)head.size + 10};
    pn_http_message m;
    pn_http_message_init(&m, charge, &a);
    keep_head(&f, &m);
    CHECK_EQ(a.held, head.size);
    CHECK_EQ(pn_http_message_keep_body(&m, read_in(&f, "0123456789", 10), 10, true), 0);
    CHECK_EQ(pn_http_message_keep_body(&m, read_in(&f, "x", 1), 1, true), PN_ENOMEM);
    CHECK_EQ(a.held, a.limit);
    check_gathered(&f, &m, "0123456789", 10);
    pn_http_message_close(&m);
    CHECK_EQ(a.held, 0);
    a.limit = 3;
    pn_http_message_init(&m, charge, &a);
    char *data = read_in(&f, head_text, sizeof head_text - 1);
    CHECK_EQ(pn_http_message_keep_head(&m, &f.slabs, &head, data, true), PN_ENOMEM);
    CHECK(!pn_http_message_is_open(&m));
    CHECK_EQ(a.held, 0);
    close_fixture(&f);
}
