#include "core/output.h"

#include <string.h>

#include "test.h"

typedef struct fixture {
    pn_heap *heap;
    pn_pool pool;
    pn_ledger ledger;
    pn_output output;
} fixture;

static void begin(fixture *f, size_t limit_bytes) {
    f->heap = pn_heap_create(false);
    pn_pool_init(&f->pool, f->heap);
    pn_ledger_init(&f->ledger, "test", &f->pool);
    pn_output_init(&f->output, &f->ledger, limit_bytes);
}

static void end(fixture *f) {
    pn_output_close(&f->output);
    pn_output_close(&f->output);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_pool_close(&f->pool);
    pn_heap_destroy(f->heap);
}

static void add(fixture *f, unsigned stream, const char *text) {
    pn_output_add(&f->output, stream, text, strlen(text));
}

static void check(const fixture *f, int stream, const char *expected) {
    char text[65536];
    size_t size = pn_output_size(&f->output, stream);
    CHECK(size < sizeof text);
    pn_output_copy(&f->output, stream, text);
    text[size] = '\0';
    CHECK_STR(text, expected);
}

TEST(output_keeps_streams_in_order_of_arrival) {
    fixture f;
    begin(&f, 100);
    check(&f, PN_OUTPUT_ALL, "");
    add(&f, 0, "one ");
    add(&f, 1, "two ");
    add(&f, 0, "three ");
    add(&f, 0, "four");
    add(&f, 1, "");
    check(&f, PN_OUTPUT_ALL, "one two three four");
    check(&f, 0, "one three four");
    check(&f, 1, "two ");
    check(&f, 2, "");
    CHECK_EQ(f.output.total_bytes, 18);
    end(&f);
}

TEST(output_drops_the_oldest_at_its_limit) {
    fixture f;
    begin(&f, 8);
    add(&f, 0, "12345678");
    check(&f, PN_OUTPUT_ALL, "12345678");
    add(&f, 1, "9");
    check(&f, PN_OUTPUT_ALL, "23456789");
    check(&f, 0, "2345678");
    add(&f, 1, "abcdefg");
    check(&f, PN_OUTPUT_ALL, "9abcdefg");
    check(&f, 0, "");
    add(&f, 0, "a text that is longer than all of it");
    check(&f, PN_OUTPUT_ALL, "ll of it");
    CHECK_EQ(f.output.total_bytes, 16 + 36);
    end(&f);
}

/* Against a plain model: the last `limit` bytes of all that was added. */
TEST(output_agrees_with_a_model) {
    static char model[1 << 20], model_streams[1 << 20], text[65536], expected[65536];
    fixture f;
    size_t limit = 5000, total = 0;
    begin(&f, limit);
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = (size_t)(round * 7919) % 401;
        unsigned stream = round % 3;
        memset(model + total, 'a' + (int)(round % 26), size);
        memset(model_streams + total, (int)stream, size);
        pn_output_add(&f.output, stream, model + total, size);
        total += size;
        size_t kept = total < limit ? total : limit, of_one = 0;
        CHECK_EQ(pn_output_size(&f.output, PN_OUTPUT_ALL), kept);
        pn_output_copy(&f.output, PN_OUTPUT_ALL, text);
        CHECK_MEM(text, model + total - kept, kept);
        for (size_t i = total - kept; i < total; i++) {
            if (model_streams[i] == 1) expected[of_one++] = model[i];
        }
        CHECK_EQ(pn_output_size(&f.output, 1), of_one);
        pn_output_copy(&f.output, 1, text);
        CHECK_MEM(text, expected, of_one);
    }
    end(&f);
}

TEST(output_of_streams_that_take_turns_is_bounded) {
    fixture f;
    begin(&f, 1 << 20);
    for (unsigned i = 0; i < PN_OUTPUT_RUNS_MAX; i++) add(&f, i % 2, i % 2 == 0 ? "." : "!");
    CHECK_EQ(pn_output_size(&f.output, PN_OUTPUT_ALL), PN_OUTPUT_RUNS_MAX);
    add(&f, 0, "+");
    CHECK_EQ(pn_output_size(&f.output, PN_OUTPUT_ALL), PN_OUTPUT_RUNS_MAX);
    CHECK_EQ(pn_output_size(&f.output, 1), PN_OUTPUT_RUNS_MAX / 2);
    CHECK(pn_ledger_live(&f.ledger) < (1 << 20));
    end(&f);
}

TEST(output_without_memory_keeps_what_it_can) {
    fixture f;
    begin(&f, 1 << 20);
    add(&f, 0, "first ");
    f.ledger.limit_bytes = pn_ledger_live(&f.ledger);
    char block[4096];
    memset(block, 'x', sizeof block);
    pn_output_add(&f.output, 0, block, sizeof block);
    CHECK_EQ(pn_output_size(&f.output, PN_OUTPUT_ALL), 4096);
    CHECK_EQ(f.output.total_bytes, 4096 + 6);
    pn_output_close(&f.output);
    f.ledger.limit_bytes = 0;
    add(&f, 0, "lost");
    check(&f, PN_OUTPUT_ALL, "");
    CHECK_EQ(f.output.total_bytes, 4);
    end(&f);
}
