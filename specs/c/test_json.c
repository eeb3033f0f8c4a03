/*
 * JSON. Oracles: tables written from RFC 8259; a second, slow implementation of its grammar
 * (specs/fuzz/json_reference.h); cJSON, for what cJSON can represent. Texts that are read lie
 * against a page that may not be touched, so a read past their end ends the test.
 */
#include "core/json.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/utf8.h"
#include "memory/ledger.h"
#include "specs/fuzz/json_reference.h"
#include "test.h"

/* ---- help ---- */

typedef struct owner {
    pn_heap *heap;
    pn_ledger ledger;
} owner;

static void owner_open(owner *p) {
    p->heap = pn_heap_create(false);
    pn_ledger_init_shared(&p->ledger, "test", p->heap);
}

static void owner_close(owner *p) {
    CHECK_EQ(pn_ledger_live(&p->ledger), 0);
    pn_heap_destroy(p->heap);
}

#define GUARDED_BYTES ((size_t)1 << 20)

/* A copy of the text that ends where readable memory ends. */
static const char *guarded(const char *text, size_t size) {
    static char *page_after; /* in this test's process */
    CHECK_INT(size, <=, GUARDED_BYTES);
    if (page_after == NULL) {
        char *all = mmap(NULL, GUARDED_BYTES + 4096, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(all != MAP_FAILED);
        page_after = all + GUARDED_BYTES;
        CHECK_EQ(mprotect(page_after, 4096, PROT_NONE), 0);
    }
    return memcpy(page_after - size, text, size);
}

/* Writes what the reader says on to the writer: 0, or the error of either. */
static int copy(pn_json_reader *r, pn_json_writer *w) {
    static char string[GUARDED_BYTES];
    for (;;) {
        switch (pn_json_read(r)) {
        case PN_JSON_ERROR: return r->err;
        case PN_JSON_END: return pn_json_writer_end(w);
        case PN_JSON_NULL: pn_json_write_null(w); break;
        case PN_JSON_FALSE: pn_json_write_bool(w, false); break;
        case PN_JSON_TRUE: pn_json_write_bool(w, true); break;
        case PN_JSON_INT: pn_json_write_int(w, r->integer); break;
        case PN_JSON_DOUBLE: pn_json_write_double(w, r->number); break;
        case PN_JSON_STRING:
            pn_json_write_string(w, string, pn_json_unescape(&r->string, string));
            break;
        case PN_JSON_KEY: pn_json_write_key(w, string, pn_json_unescape(&r->string, string)); break;
        case PN_JSON_ARRAY: pn_json_begin_array(w); break;
        case PN_JSON_ARRAY_END: pn_json_end_array(w); break;
        case PN_JSON_OBJECT: pn_json_begin_object(w); break;
        case PN_JSON_OBJECT_END: pn_json_end_object(w); break;
        }
    }
}

/* Reads the text and compares what is written again. */
static void check_copy(const char *text, size_t size, const char *expected) {
    owner p;
    pn_buf out;
    pn_json_reader r;
    pn_json_writer w;
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    pn_json_reader_init(&r, guarded(text, size), size, NULL);
    pn_json_writer_init(&w, &out, 0, 0);
    char message[PN_JSON_MESSAGE_BYTES];
    if (copy(&r, &w) != 0) {
        pn_test_fail(__FILE__, __LINE__, "%s: %s", text, pn_json_message(&r, message));
    }
    CHECK_STR(pn_buf_text(&out), expected);
    pn_buf_close(&out);
    owner_close(&p);
}

/* Reads to the end or the error. */
static int check_only(const char *text, size_t size, const pn_json_limits *limits) {
    pn_json_reader r;
    pn_json_reader_init(&r, text, size, limits);
    while (pn_json_read(&r) > PN_JSON_END) {}
    pn_json_token last = r.token;
    CHECK_EQ(pn_json_read(&r), last); /* said again */
    CHECK_EQ(last == PN_JSON_ERROR, r.err != 0);
    return r.err;
}

/* ---- reading ---- */

TEST(json_reads_what_is_json) {
    static const char *const same[] = {
        "null",
        "true",
        "false",
        "0",
        "-1",
        "[]",
        "{}",
        "\"\"",
        "[[],{}]",
        "[1,2.5,\"x\",null]",
        "{\"a\":{\"b\":[1,{\"c\":[]}]},\"d\":true}",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "\"\xc3\xa9\"",
        "\"\xe2\x82\xac\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\x7f\"",
    };
    static const char *const other[][2] = {
        {" \t\r\n[ 1 , 2 ]\n", "[1,2]"},
        {"{ \"a\" : [ ] , \"b\" : { } }", "{\"a\":[],\"b\":{}}"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\"a\\u0000b\"", "\"a\\u0000b\""},
        {"\"\\u001f\\u007f\\u2028\"", "\"\\u001f\x7f\xe2\x80\xa8\""},
        {"\"\\uffff\\udbff\\udfff\"", "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\""},
        {"{\"\\u0061\\n\":1}", "{\"a\\n\":1}"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        check_copy(same[i], strlen(same[i]), same[i]);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        check_copy(other[i][0], strlen(other[i][0]), other[i][1]);
    }
}

TEST(json_numbers_keep_value_and_kind) {
    static const char *const table[][2] = {
        {"0", "0"},
        {"-0", "-0.0"},
        {"-0.0", "-0.0"},
        {"0.0", "0.0"},
        {"0e5", "0.0"},
        {"9007199254740991", "9007199254740991"},
        {"9007199254740993", "9007199254740993"},
        {"999999999999999999", "999999999999999999"},
        {"-999999999999999999", "-999999999999999999"},
        {"1000000000000000000", "1000000000000000000"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808", "9223372036854776000.0"},
        {"-9223372036854775809", "-9223372036854776000.0"},
        {"18446744073709551615", "18446744073709552000.0"},
        {"18446744073709551616", "18446744073709552000.0"},
        {"100000000000000000000000", "1e23"},
        {"123456789012345678901234567890", "1.2345678901234568e29"},
        {"5.0", "5.0"},
        {"1e2", "100.0"},
        {"1E+2", "100.0"},
        {"1e-2", "0.01"},
        {"-1.5e0", "-1.5"},
        {"0.1", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"1e15", "1000000000000000.0"},
        {"0.000000000000000000000000000012345", "1.2345e-29"},
        {"3.141592653589793238462643383279", "3.141592653589793"},
        {"1e-400", "0.0"},
        {"-1e-400", "-0.0"},
        {"5e-324", "5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e308"},
        {"1e00000000000000000000000000000005", "100000.0"},
        {"0e99999999999999999999", "0.0"},
        {"1e-99999999999999999999", "0.0"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        check_copy(table[i][0], strlen(table[i][0]), table[i][1]);
    }
}

/* What is refused, and how that is said. */
TEST(json_errors_say_where_and_what) {
    static const char *const table[][2] = {
        {"", "line 1, column 1: expected a value, found the end"},
        {"  \n ", "line 2, column 2: expected a value, found the end"},
        {"[1,]", "line 1, column 4: expected a value, found ']'"},
        {"[", "line 1, column 2: expected a value or ']', found the end"},
        {"[,", "line 1, column 2: expected a value or ']', found ','"},
        {"[1 2", "line 1, column 4: expected ',' or ']', found '2'"},
        {"[1}", "line 1, column 3: expected ',' or ']', found '}'"},
        {"{", "line 1, column 2: expected a key or '}', found the end"},
        {"{1:2}", "line 1, column 2: expected a key or '}', found '1'"},
        {"{\"a\"}", "line 1, column 5: expected ':', found '}'"},
        {"{\"a\":}", "line 1, column 6: expected a value, found '}'"},
        {"{\"a\":1,}", "line 1, column 8: expected a key, found '}'"},
        {"{\"a\":1]", "line 1, column 7: expected ',' or '}', found ']'"},
        {"]", "line 1, column 1: expected a value, found ']'"},
        {"1 2", "line 1, column 3: expected nothing behind the value, found '2'"},
        {"{}x", "line 1, column 3: expected nothing behind the value, found 'x'"},
        {"\f1", "line 1, column 1: expected a value, found byte 0x0c"},
        {"[\v]", "line 1, column 2: expected a value or ']', found byte 0x0b"},
        {"1\xc2\xa0", "line 1, column 2: expected nothing behind the value, found '\xc2\xa0'"},
        {"tru", "line 1, column 4: expected true, found the end"},
        {"nulL", "line 1, column 4: expected null, found 'L'"},
        {"fals3", "line 1, column 5: expected false, found '3'"},
        {"NaN", "line 1, column 1: expected a value, found 'N'"},
        {"Infinity", "line 1, column 1: expected a value, found 'I'"},
        {"'a'", "line 1, column 1: expected a value, found '''"},
        {"01", "line 1, column 2: expected nothing behind the value, found '1'"},
        {"+1", "line 1, column 1: expected a value, found '+'"},
        {".5", "line 1, column 1: expected a value, found '.'"},
        {"-", "line 1, column 2: expected a digit, found the end"},
        {"-a", "line 1, column 2: expected a digit, found 'a'"},
        {"1.", "line 1, column 3: expected a digit, found the end"},
        {"1.e5", "line 1, column 3: expected a digit, found 'e'"},
        {"1e", "line 1, column 3: expected a digit, found the end"},
        {"1e+", "line 1, column 4: expected a digit, found the end"},
        {"[1e309]", "line 1, column 2: a number over the range of a double"},
        {"-1e999999999999999999999", "line 1, column 1: a number over the range of a double"},
        {"\"a", "line 1, column 3: expected a closing quote, found the end"},
        {"\"a\nb\"",
         "line 1, column 3: expected control characters to be escaped, found byte 0x0a"},
        {"\"a\tb\"",
         "line 1, column 3: expected control characters to be escaped, found byte 0x09"},
        {"\"\\x\"", "line 1, column 3: expected one of \" \\ / b f n r t u behind \\, found 'x'"},
        {"\"\\", "line 1, column 3: expected one of \" \\ / b f n r t u behind \\, found the end"},
        {"\"\\u12", "line 1, column 6: expected four hexadecimal digits, found the end"},
        {"\"\\u12g4\"", "line 1, column 6: expected four hexadecimal digits, found 'g'"},
        {"\"a\\ud800\"", "line 1, column 3: a surrogate without its other half"},
        {"\"\xff\"", "line 1, column 2: expected UTF-8, found byte 0xff"},
        {"\xef\xbb\xbf{}", "line 1, column 1: expected a value, found a byte order mark"},
        {"[1,\n  2,\r\n  \xf0\x9f\x98\x80]",
         "line 3, column 3: expected a value, found '\xf0\x9f\x98\x80'"},
        {"{\"n\xc3\xa4me\": \"\xe2\x82\xac\", x}", "line 1, column 15: expected a key, found 'x'"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *text = table[i][0];
        pn_json_reader r;
        char message[PN_JSON_MESSAGE_BYTES];
        pn_json_reader_init(&r, guarded(text, strlen(text)), strlen(text), NULL);
        while (pn_json_read(&r) > PN_JSON_END) {}
        CHECK_STR(pn_json_message(&r, message), table[i][1]);
        CHECK_EQ(r.err, PN_EBAD_JSON);
    }
}

TEST(json_locates_in_bytes_lines_and_characters) {
    static const char text[] = "{\n \"\xc3\xa9\": \"\xf0\x9f\x98\x80\", \"b\":\n\n ?}";
    pn_json_reader r;
    pn_json_reader_init(&r, text, sizeof text - 1, NULL);
    while (pn_json_read(&r) != PN_JSON_STRING) {}
    pn_json_place place = pn_json_locate(&r);
    CHECK_EQ(place.offset, 9);
    CHECK_EQ(place.line, 2);
    CHECK_EQ(place.column, 7);
    while (pn_json_read(&r) != PN_JSON_ERROR) {}
    place = pn_json_locate(&r);
    CHECK_EQ(place.offset, sizeof text - 3);
    CHECK_EQ(place.line, 4);
    CHECK_EQ(place.column, 2);
}

/* Surrogates in every combination: a pair is one character, everything else is an error. */
TEST(json_surrogates_only_in_pairs) {
    static const char *const unit[] = {"",        "\\ud7ff", "\\ud800", "\\udbff",
                                       "\\udc00", "\\udfff", "\\ue000", "x"};
    enum { UNITS = sizeof unit / sizeof *unit };
    for (int a = 0; a < UNITS; a++) {
        for (int b = 0; b < UNITS; b++) {
            char text[32];
            int n = snprintf(text, sizeof text, "\"%s%s\"", unit[a], unit[b]);
            bool high = a == 2 || a == 3, pair = high && (b == 4 || b == 5);
            bool alone = high || a == 4 || a == 5 || (!pair && b >= 2 && b <= 5);
            CHECK_EQ(check_only(guarded(text, (size_t)n), (size_t)n, NULL),
                     alone && !pair ? PN_EBAD_JSON : 0);
        }
    }
    check_copy("\"\\ud800\\udc00\"", 14, "\"\xf0\x90\x80\x80\"");
}

/* A string of every length with every byte at every place of it, by the same rule. */
TEST(json_strings_of_all_lengths) {
    enum { LENGTH_MAX = 35 };
    for (size_t length = 1; length <= LENGTH_MAX; length++) {
        for (size_t at = 0; at < length; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[LENGTH_MAX + 2];
                memset(text, 'a', sizeof text);
                text[0] = text[length + 1] = '"';
                text[1 + at] = (char)byte;
                bool ok = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                int err = check_only(guarded(text, length + 2), length + 2, NULL);
                CHECK_EQ(err == 0, ok);
            }
        }
    }
}

/* Every beginning of a document is refused, none is read past its end. */
TEST(json_cut_anywhere_is_an_error) {
    static const char text[] = " {\"a\" : [1, -2.5e+10, true, false, null, "
                               "\"\\u00e9\\ud83d\\ude00\xe2\x82\xac\"],\"b\":{\"c\":{}}} ";
    for (size_t size = 0; size < sizeof text - 2; size++) {
        CHECK_EQ(check_only(guarded(text, size), size, NULL), PN_EBAD_JSON);
    }
    CHECK_EQ(check_only(guarded(text, sizeof text - 2), sizeof text - 2, NULL), 0);
}

static int nest(size_t depth, uint32_t depth_max, const char *open, const char *close) {
    static char text[20000];
    size_t n = 0;
    for (size_t i = 0; i < depth; i++) n = (size_t)(stpcpy(text + n, open) - text);
    n = (size_t)(stpcpy(text + n, "0") - text);
    for (size_t i = 0; i < depth; i++) n = (size_t)(stpcpy(text + n, close) - text);
    return check_only(guarded(text, n), n, &(pn_json_limits){.depth_max = depth_max});
}

TEST(json_depth_is_limited) {
    CHECK_EQ(nest(PN_JSON_DEPTH_DEFAULT, 0, "[", "]"), 0);
    CHECK_EQ(nest(PN_JSON_DEPTH_DEFAULT + 1, 0, "[", "]"), PN_ETOO_DEEP);
    CHECK_EQ(nest(PN_JSON_DEPTH_DEFAULT, 0, "{\"a\":", "}"), 0);
    CHECK_EQ(nest(PN_JSON_DEPTH_DEFAULT + 1, 0, "{\"a\":", "}"), PN_ETOO_DEEP);
    CHECK_EQ(nest(1, 1, "[", "]"), 0);
    CHECK_EQ(nest(2, 1, "[", "]"), PN_ETOO_DEEP);
    CHECK_EQ(nest(PN_JSON_DEPTH_MAX, PN_JSON_DEPTH_MAX, "[{\"a\":", "}]"), PN_ETOO_DEEP);
    CHECK_EQ(nest(PN_JSON_DEPTH_MAX / 2, PN_JSON_DEPTH_MAX, "[{\"a\":", "}]"), 0);
    CHECK_EQ(nest(PN_JSON_DEPTH_MAX, PN_JSON_DEPTH_MAX, "[", "]"), 0);
    CHECK_EQ(nest(PN_JSON_DEPTH_MAX + 1, PN_JSON_DEPTH_MAX, "[", "]"), PN_ETOO_DEEP);

    pn_json_reader r;
    char message[PN_JSON_MESSAGE_BYTES];
    pn_json_reader_init(&r, "[\n[[", 4, &(pn_json_limits){.depth_max = 2});
    while (pn_json_read(&r) > PN_JSON_END) {}
    CHECK_STR(pn_json_message(&r, message), "line 2, column 2: nested over the limit of 2 levels");
}

TEST(json_size_is_limited) {
    CHECK_EQ(check_only("[1, 2]", 6, &(pn_json_limits){.size_max_bytes = 6}), 0);
    CHECK_EQ(check_only("[1, 2]", 6, &(pn_json_limits){.size_max_bytes = 5}), PN_ETOO_LARGE);
    size_t size = PN_JSON_SIZE_DEFAULT_BYTES + 1;
    char *spaces = malloc(size);
    CHECK(spaces != NULL);
    memset(spaces, ' ', size);
    spaces[0] = '1';
    CHECK_EQ(check_only(spaces, size - 1, NULL), 0);
    CHECK_EQ(check_only(spaces, size, NULL), PN_ETOO_LARGE);
    free(spaces);

    pn_json_reader r;
    char message[PN_JSON_MESSAGE_BYTES];
    pn_json_reader_init(&r, "[1, 2]", 6, &(pn_json_limits){.size_max_bytes = 5});
    CHECK_STR(pn_json_message(&r, message), "6 bytes, over the limit of 5");
}

TEST(json_compares_strings_without_copying) {
    static const struct {
        const char *text, *same;
        size_t size;
    } table[] = {
        {"\"name\"", "name", 4},
        {"\"n\\u0061m\\u0065\"", "name", 4},
        {"\"\"", "", 0},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4},
        {"\"\\\\\"", "\\", 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        pn_json_reader r;
        pn_json_reader_init(&r, table[i].text, strlen(table[i].text), NULL);
        CHECK_EQ(pn_json_read(&r), PN_JSON_STRING);
        CHECK(pn_json_is(&r.string, table[i].same, table[i].size));
        CHECK(!pn_json_is(&r.string, "name!", 5));
        CHECK(!pn_json_is(&r.string, "nam", 3));
        CHECK(!pn_json_is(&r.string, table[i].text, strlen(table[i].text)));
        char out[32];
        CHECK_EQ(pn_json_unescape(&r.string, out), table[i].size);
        CHECK_MEM(out, table[i].same, table[i].size);
    }
}

/* The caller leaves by longjmp at every token in turn, as Lua does; there is nothing to release. */
TEST(json_reader_may_be_left_at_any_moment) {
    static const char text[] = "{\"a\":[1,2.5,\"\\u00e9\",{\"b\":null}],\"c\":true}";
    owner p;
    owner_open(&p);
    volatile int left = 0;
    for (volatile int at = 1;; at++) {
        static jmp_buf out; /* in this test's process */
        if (setjmp(out) != 0) {
            left++;
            continue;
        }
        pn_json_reader r;
        pn_json_reader_init(&r, text, sizeof text - 1, NULL);
        int seen = 0;
        while (pn_json_read(&r) != PN_JSON_END) {
            if (++seen == at) longjmp(out, 1);
        }
        break;
    }
    CHECK_EQ(left, 14);
    CHECK_EQ(p.ledger.alloc_count, 0);
    owner_close(&p);
}

/* ---- skipping and looking up ---- */

TEST(json_skip_passes_one_value) {
    static const char text[] = "[{\"a\":[1,[2]],\"b\":{}},\"x\",[[]],7,{\"k\":[1]}]";
    pn_json_reader r;
    pn_json_reader_init(&r, text, sizeof text - 1, NULL);
    CHECK_EQ(pn_json_read(&r), PN_JSON_ARRAY);
    CHECK_EQ(pn_json_read(&r), PN_JSON_OBJECT);
    CHECK_EQ(pn_json_skip(&r), 0);
    CHECK_EQ(pn_json_read(&r), PN_JSON_STRING);
    CHECK_EQ(pn_json_skip(&r), 0); /* it is over already */
    CHECK_EQ(pn_json_read(&r), PN_JSON_ARRAY);
    CHECK_EQ(pn_json_skip(&r), 0);
    CHECK_EQ(pn_json_read(&r), PN_JSON_INT);
    CHECK_EQ(pn_json_read(&r), PN_JSON_OBJECT);
    CHECK_EQ(pn_json_read(&r), PN_JSON_KEY);
    CHECK_EQ(pn_json_skip(&r), 0); /* a key: its value */
    CHECK_EQ(pn_json_read(&r), PN_JSON_OBJECT_END);
    CHECK_EQ(pn_json_read(&r), PN_JSON_ARRAY_END);
    CHECK_EQ(pn_json_read(&r), PN_JSON_END);
    pn_json_reader_init(&r, "[[1,}]", 6, NULL);
    pn_json_read(&r);
    CHECK_EQ(pn_json_skip(&r), PN_EBAD_JSON);
}

static void check_find(const char *text, const char *path, const char *expected) {
    owner p;
    pn_buf out;
    pn_json_reader r;
    pn_json_writer w;
    char message[PN_JSON_MESSAGE_BYTES];
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    int err = pn_json_find(guarded(text, strlen(text)), strlen(text), path, strlen(path), NULL, &r);
    if (err != 0) {
        CHECK_EQ(r.err, err);
        CHECK_EQ(pn_json_read(&r), PN_JSON_ERROR);
        pn_buf_printf(&out, "%s: %s", pn_err_name(err), pn_json_message(&r, message));
    } else {
        pn_json_writer_init(&w, &out, 0, 0);
        CHECK_EQ(copy(&r, &w), 0);
    }
    if (strcmp(pn_buf_text(&out), expected) != 0) {
        pn_test_fail(__FILE__, __LINE__, "%s of %s: %s, expected %s", path, text, pn_buf_text(&out),
                     expected);
    }
    pn_buf_close(&out);
    owner_close(&p);
}

#define DOCUMENT                                                                                   \
    " {\"items\" : [ {\"id\": 7, \"tags\": [[\"x\"], []]}, {\"id\": 8} ], \"a.b\": {\"c\": 1},"    \
    "\"\\u0065\xc3\xa9\": \"e\", \"\": {\"\": 5}, \"n\": null, \"1\": \"one\", \"q\\\"\": 2}\n"

TEST(json_find_walks_to_a_path) {
    static const char *const table[][2] = {
        {"items[1].id", "7"},
        {"items[2].id", "8"},
        {"items[2]", "{\"id\":8}"},
        {"items[1].tags[1][1]", "\"x\""},
        {"items[1].tags[2]", "[]"},
        {"items", "[{\"id\":7,\"tags\":[[\"x\"],[]]},{\"id\":8}]"},
        {"[\"a.b\"].c", "1"},
        {"[\"a.b\"][\"c\"]", "1"},
        {"[\"\\u0061.b\"].c", "1"},
        {"e\xc3\xa9", "\"e\""},
        {"[\"e\\u00e9\"]", "\"e\""},
        {"[\"\"][\"\"]", "5"},
        {"n", "null"},
        {"1", "\"one\""},
        {"[\"q\\\"\"]", "2"},
        {"q\"", "2"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        check_find(DOCUMENT, table[i][0], table[i][1]);
    }
    check_find(" [ 1, [2, 3] ] ", "", "[1,[2,3]]");
    check_find(" 5 ", "", "5");
    check_find("[[1,2],[3,4]]", "[2][1]", "3");
}

TEST(json_find_says_what_is_not_there) {
    static const char *const absent[] = {
        "item",
        "items[3]",
        "items[1].id.x",
        "items[1].id[1]",
        "items.id",
        "n.x",
        "[1]",
        "items[\"1\"]",
        "items[18446744073709551616]",
        "items[18446744073709551617]",
        "[\"1\"].x",
        "a",
        "item\\u0073",
    };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        check_find(DOCUMENT, absent[i], "not_found: there is no value at the path");
    }
}

TEST(json_find_refuses_a_malformed_path) {
    static const char *const table[][2] = {
        {".a", "column 2: expected a name"}, /* a first name has no point: see below for column 1 */
        {"a.", "column 3: expected a name, found the end"},
        {"a..b", "column 3: expected a name, found '.'"},
        {"a]", "column 2: expected '.' or '[', found ']'"},
        {"a[", "column 3: expected an index or a JSON string, found the end"},
        {"a[]", "column 3: expected an index or a JSON string, found ']'"},
        {"a[0]", "column 3: expected an index from 1, found '0'"},
        {"a[01]", "column 3: expected an index from 1, found '0'"},
        {"a[-1]", "column 3: expected an index or a JSON string, found '-'"},
        {"a[1", "column 4: expected ']', found the end"},
        {"a[1x]", "column 4: expected ']', found 'x'"},
        {"a[b]", "column 3: expected an index or a JSON string, found 'b'"},
        {"a[\"b]", "column 6: expected a JSON string, found the end"},
        {"a[\"b\"", "column 6: expected ']', found the end"},
        {"a[\"\xff\"]", "column 4: expected a JSON string, found byte 0xff"},
        {"a[1]b", "column 5: expected '.' or '[', found 'b'"},
        {"]", "column 1: expected a name, found ']'"},
    };
    check_find(DOCUMENT, ".a", "bad_value: in the path, column 1: expected a name, found '.'");
    for (size_t i = 1; i < sizeof table / sizeof *table; i++) {
        char expected[200];
        snprintf(expected, sizeof expected, "bad_value: in the path, %s", table[i][1]);
        check_find(DOCUMENT, table[i][0], expected);
        check_find("not JSON", table[i][0], expected); /* whatever the text is */
    }
}

/* The answer is that of decoding all and indexing then. */
TEST(json_find_agrees_with_decoding) {
    check_find("{\"a\":1,\"a\":2}", "a", "2");
    check_find("{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "a.b",
               "not_found: there is no value at the path");
    check_find("{\"a\":{\"b\":1},\"a\":5}", "a.b", "not_found: there is no value at the path");
    check_find("{\"a\":5,\"a\":{\"b\":1,\"b\":2},\"c\":0}", "a.b", "2");
    check_find("{\"a\":[1,2],\"\\u0061\":[3]}", "a[2]", "not_found: there is no value at the path");
    check_find("{\"a\":1} x", "a",
               "bad_json: line 1, column 9: expected nothing behind the value, found 'x'");
    check_find("[1,[2,}]", "[1]", "bad_json: line 1, column 7: expected a value, found '}'");
    check_find("[1,\n1e999]", "[1]",
               "bad_json: line 2, column 1: a number over the range of a double");
    check_find("", "a", "bad_json: line 1, column 1: expected a value, found the end");
    check_find("5", "a", "not_found: there is no value at the path");
    check_find("5 5", "a",
               "bad_json: line 1, column 3: expected nothing behind the value, found '5'");
}

TEST(json_find_keeps_the_limits) {
    pn_json_reader r;
    pn_json_limits limits = {.depth_max = 2, .size_max_bytes = 9};
    CHECK_EQ(pn_json_find("{\"a\":[1]}", 9, "a[1]", 4, &limits, &r), 0);
    CHECK_EQ(pn_json_find("{\"a\":[1]} ", 10, "a[1]", 4, &limits, &r), PN_ETOO_LARGE);
    CHECK_EQ(pn_json_find("[[[]],1]", 8, "[2]", 3, &limits, &r), PN_ETOO_DEEP);

    static char text[2 * PN_JSON_DEPTH_MAX + 1], path[3 * PN_JSON_DEPTH_MAX + 1];
    for (size_t i = 0; i < PN_JSON_DEPTH_MAX; i++) {
        text[i] = '[';
        text[PN_JSON_DEPTH_MAX + 1 + i] = ']';
        memcpy(&path[3 * i], "[1]", 3);
    }
    text[PN_JSON_DEPTH_MAX] = '7';
    limits = (pn_json_limits){.depth_max = PN_JSON_DEPTH_MAX};
    /* As deep as it goes. */
    CHECK_EQ(pn_json_find(text, sizeof text, path, sizeof path - 1, &limits, &r), 0);
    CHECK_EQ(pn_json_read(&r), PN_JSON_INT);
    CHECK_EQ(r.integer, 7);
    CHECK_EQ(pn_json_read(&r), PN_JSON_END);
}

/* ---- writing ---- */

static void write_sample(pn_json_writer *w) {
    pn_json_begin_object(w);
    pn_json_write_key(w, "a\n", 2);
    pn_json_begin_array(w);
    pn_json_write_int(w, INT64_MIN);
    pn_json_write_double(w, 0.1 + 0.2);
    pn_json_write_string(w, "\x01\"\xe2\x82\xac", 5);
    pn_json_begin_array(w);
    pn_json_end_array(w);
    pn_json_begin_object(w);
    pn_json_end_object(w);
    pn_json_end_array(w);
    pn_json_write_key(w, "", 0);
    pn_json_write_null(w);
    pn_json_write_key(w, "t", 1);
    pn_json_write_bool(w, true);
    pn_json_end_object(w);
}

#define SAMPLE                                                                                     \
    "{\"a\\n\":[-9223372036854775808,0.30000000000000004,\"\\u0001\\\"\xe2\x82\xac\",[],{}],"      \
    "\"\":null,\"t\":true}"

static const char sample_indented[] = "{\n"
                                      "  \"a\\n\": [\n"
                                      "    -9223372036854775808,\n"
                                      "    0.30000000000000004,\n"
                                      "    \"\\u0001\\\"\xe2\x82\xac\",\n"
                                      "    [],\n"
                                      "    {}\n"
                                      "  ],\n"
                                      "  \"\": null,\n"
                                      "  \"t\": true\n"
                                      "}";

TEST(json_writes_compact_and_indented) {
    owner p;
    pn_buf out;
    pn_json_writer w;
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    pn_json_writer_init(&w, &out, 0, 0);
    write_sample(&w);
    CHECK_EQ(pn_json_writer_end(&w), 0);
    CHECK_STR(pn_buf_text(&out), SAMPLE);
    pn_buf_clear(&out);
    pn_json_writer_init(&w, &out, 2, 0);
    write_sample(&w);
    CHECK_EQ(pn_json_writer_end(&w), 0);
    CHECK_STR(pn_buf_text(&out), sample_indented);
    pn_buf_close(&out);
    owner_close(&p);
    check_copy(sample_indented, strlen(sample_indented), SAMPLE);
}

/* The limit of the buffer is met to the byte, and every allocation may fail. */
TEST(json_writer_reports_a_full_buffer_and_no_memory) {
    owner p;
    pn_buf out;
    pn_json_writer w;
    owner_open(&p);
    for (uint32_t indent = 0; indent <= 2; indent += 2) {
        size_t size = indent == 0 ? strlen(SAMPLE) : strlen(sample_indented);
        for (size_t limit = 0; limit <= size; limit++) {
            pn_buf_init(&out, &p.ledger.door);
            out.limit_bytes = limit;
            pn_json_writer_init(&w, &out, indent, 0);
            write_sample(&w);
            CHECK_EQ(pn_json_writer_end(&w), limit < size ? PN_ETOO_LARGE : 0);
            CHECK_INT(out.size, <=, limit);
            pn_buf_close(&out);
            p.ledger.limit_bytes = (int64_t)limit;
            pn_buf_init(&out, &p.ledger.door);
            pn_json_writer_init(&w, &out, indent, 0);
            write_sample(&w);
            CHECK(pn_json_writer_end(&w) == PN_ENOMEM || limit >= size);
            pn_buf_close(&out);
            p.ledger.limit_bytes = INT64_MAX;
        }
    }
    owner_close(&p);
}

/* Whatever a text ends with, it fits exactly; and without memory that is what is said. */
TEST(json_writer_needs_no_more_than_it_writes) {
    static const char *const texts[] = {
        "\"\\\"\"", "\"\\u0001\"", "\"\xc3\xa9\"", "\"abc\"", "-5",        "0.5",           "null",
        "true",     "false",       "[]",           "{}",      "{\"a\":1}", "[[1],\"\\n\"]",
    };
    owner p;
    pn_buf out;
    pn_json_reader r;
    pn_json_writer w;
    owner_open(&p);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t size = strlen(texts[i]);
        for (size_t limit = 0; limit <= size; limit++) {
            pn_buf_init(&out, &p.ledger.door);
            out.limit_bytes = limit;
            pn_json_reader_init(&r, texts[i], size, NULL);
            pn_json_writer_init(&w, &out, 0, 0);
            CHECK_EQ(copy(&r, &w), limit < size ? PN_ETOO_LARGE : 0);
            pn_buf_close(&out);
        }
    }
    pn_buf_init(&out, &p.ledger.door);
    out.limit_bytes = 4;
    p.ledger.limit_bytes = 0;
    pn_json_writer_init(&w, &out, 0, 0);
    CHECK_EQ(pn_json_write_null(&w), PN_ENOMEM);
    pn_buf_close(&out);
    owner_close(&p);
}

static int write_one_double(double value) {
    owner p;
    pn_buf out;
    pn_json_writer w;
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    pn_json_writer_init(&w, &out, 0, 0);
    int err = pn_json_write_double(&w, value);
    CHECK_EQ(pn_json_write_null(&w), err == 0 ? 0 : err); /* only the first error counts */
    pn_buf_close(&out);
    owner_close(&p);
    return err;
}

static int write_one_string(const char *text, size_t size, bool as_key) {
    owner p;
    pn_buf out;
    pn_json_writer w;
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    pn_json_writer_init(&w, &out, 0, 0);
    pn_json_begin_object(&w);
    pn_json_write_key(&w, as_key ? text : "k", as_key ? size : 1);
    pn_json_write_string(&w, as_key ? "v" : text, as_key ? 1 : size);
    pn_json_end_object(&w);
    int err = pn_json_writer_end(&w);
    if (err == 0) CHECK_EQ(check_only(out.data, out.size, NULL), 0);
    pn_buf_close(&out);
    owner_close(&p);
    return err;
}

TEST(json_writer_refuses_what_json_cannot_say) {
    CHECK_EQ(write_one_string("\xff", 1, false), PN_EBAD_VALUE);
    CHECK_EQ(write_one_string("abcdefghijkl\xed\xa0\x80", 15, false), PN_EBAD_VALUE);
    CHECK_EQ(write_one_string("cut \xe2\x82", 6, false), PN_EBAD_VALUE);
    CHECK_EQ(write_one_string("\xc0\x80", 2, true), PN_EBAD_VALUE);
    CHECK_EQ(write_one_string("\xf0\x9f\x98\x80", 4, true), 0);
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        CHECK_EQ(write_one_string(&text, 1, false), byte < 0x80 ? 0 : PN_EBAD_VALUE);
    }
    static const double refused[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) CHECK_EQ(write_one_double(refused[i]), PN_EBAD_VALUE);
}

TEST(json_writer_depth_is_limited) {
    owner p;
    pn_buf out;
    pn_json_writer w;
    owner_open(&p);
    static const uint32_t limits[] = {1, PN_JSON_DEPTH_DEFAULT, PN_JSON_DEPTH_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (uint32_t depth = limits[i]; depth <= limits[i] + 1; depth++) {
            pn_buf_init(&out, &p.ledger.door);
            pn_json_writer_init(&w, &out, 1, limits[i] == PN_JSON_DEPTH_DEFAULT ? 0 : limits[i]);
            for (uint32_t d = 0; d < depth; d++) pn_json_begin_array(&w);
            for (uint32_t d = 0; d < depth; d++) pn_json_end_array(&w);
            CHECK_EQ(pn_json_writer_end(&w), depth > limits[i] ? PN_ETOO_DEEP : 0);
            pn_buf_close(&out);
        }
    }
    owner_close(&p);
}

static void value_without_key(pn_json_writer *w) {
    pn_json_begin_object(w);
    pn_json_write_null(w);
}

static void key_in_array(pn_json_writer *w) {
    pn_json_begin_array(w);
    pn_json_write_key(w, "a", 1);
}

static void key_after_key(pn_json_writer *w) {
    pn_json_begin_object(w);
    pn_json_write_key(w, "a", 1);
    pn_json_write_key(w, "b", 1);
}

static void end_after_key(pn_json_writer *w) {
    pn_json_begin_object(w);
    pn_json_write_key(w, "a", 1);
    pn_json_end_object(w);
}

static void wrong_end(pn_json_writer *w) {
    pn_json_begin_object(w);
    pn_json_end_array(w);
}

static void end_of_nothing(pn_json_writer *w) { pn_json_end_array(w); }

static void two_values(pn_json_writer *w) {
    pn_json_write_null(w);
    pn_json_write_null(w);
}

static void incomplete(pn_json_writer *w) {
    pn_json_begin_array(w);
    pn_json_writer_end(w);
}

static void nothing(pn_json_writer *w) { pn_json_writer_end(w); }

TEST(json_writer_asserts_the_programmers_part) {
    void (*const misuse[])(pn_json_writer *) = {value_without_key, key_in_array, key_after_key,
                                                end_after_key,     wrong_end,    end_of_nothing,
                                                two_values,        incomplete,   nothing};
    for (size_t i = 0; i < sizeof misuse / sizeof *misuse; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            owner p;
            pn_buf out;
            pn_json_writer w;
            CHECK(freopen("/dev/null", "w", stderr) != NULL);
            owner_open(&p);
            pn_buf_init(&out, &p.ledger.door);
            pn_json_writer_init(&w, &out, 0, 0);
            misuse[i](&w);
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

/* An empty buffer has no memory; an empty text then is NULL. */
TEST(json_takes_null_for_nothing) {
    pn_json_reader r;
    CHECK_EQ(check_only(NULL, 0, NULL), PN_EBAD_JSON);
    CHECK_EQ(pn_json_find(NULL, 0, "a", 1, NULL, &r), PN_EBAD_JSON);
    CHECK_EQ(pn_json_find("7", 1, NULL, 0, NULL, &r), 0);
    CHECK_EQ(pn_json_read(&r), PN_JSON_INT);
    CHECK_EQ(write_one_string(NULL, 0, false), 0);
    CHECK_EQ(write_one_string(NULL, 0, true), 0);
}

/* ---- random documents ---- */

static void write_random_string(pn_json_writer *w, pn_rand *r, bool as_key) {
    char text[64];
    size_t size = 0, count = pn_rand_below(r, 12);
    for (size_t i = 0; i < count; i++) {
        static const uint32_t ranges[] = {0x80, 0x80, 0x80, 0x800, 0x10000, 0x110000};
        uint32_t code = (uint32_t)pn_rand_below(r, ranges[pn_rand_below(r, 6)]);
        if (code >= 0xd800 && code <= 0xdfff) code = '"';
        if (code == 0) code = 'x'; /* cJSON's strings end there */
        size += pn_utf8_encode(code, text + size);
    }
    if (as_key) {
        pn_json_write_key(w, text, size);
    } else {
        pn_json_write_string(w, text, size);
    }
}

static void write_random(pn_json_writer *w, pn_rand *r, unsigned depth) {
    uint64_t bits = pn_rand_draw(r);
    double number;
    memcpy(&number, &bits, sizeof number);
    switch (pn_rand_below(r, depth < 6 ? 10 : 6)) {
    case 0: pn_json_write_null(w); return;
    case 1: pn_json_write_bool(w, bits & 1); return;
    case 2: pn_json_write_int(w, (int64_t)(bits >> pn_rand_below(r, 64))); return;
    case 3: pn_json_write_double(w, isfinite(number) ? number : 0.5); return;
    case 4: pn_json_write_double(w, (double)(bits % 100000) / 100); return;
    case 5: write_random_string(w, r, false); return;
    case 6:
    case 7: {
        pn_json_begin_array(w);
        for (uint64_t n = pn_rand_below(r, 6); n > 0; n--) write_random(w, r, depth + 1);
        pn_json_end_array(w);
        return;
    }
    default:
        pn_json_begin_object(w);
        for (uint64_t n = pn_rand_below(r, 6); n > 0; n--) {
            write_random_string(w, r, true);
            write_random(w, r, depth + 1);
        }
        pn_json_end_object(w);
    }
}

static void check_text_is(const pn_json_string *string, const char *expected) {
    static char text[GUARDED_BYTES];
    size_t size = pn_json_unescape(string, text);
    CHECK_EQ(size, strlen(expected));
    CHECK_MEM(text, expected, size);
    CHECK(pn_json_is(string, expected, size));
}

/* cJSON's tree says the same as our tokens, integers beyond 2^53 as far as a double can. */
static void compare_with_tree(pn_json_reader *r, const cJSON *item) {
    switch (item->type & 0xff) {
    case cJSON_NULL: CHECK_EQ(r->token, PN_JSON_NULL); break;
    case cJSON_False: CHECK_EQ(r->token, PN_JSON_FALSE); break;
    case cJSON_True: CHECK_EQ(r->token, PN_JSON_TRUE); break;
    case cJSON_Number:
        CHECK(r->token == PN_JSON_INT || r->token == PN_JSON_DOUBLE);
        CHECK((r->token == PN_JSON_INT ? (double)r->integer : r->number) == item->valuedouble);
        break;
    case cJSON_String:
        CHECK_EQ(r->token, PN_JSON_STRING);
        check_text_is(&r->string, item->valuestring);
        break;
    default: {
        bool is_object = (item->type & 0xff) == cJSON_Object;
        CHECK_EQ(r->token, is_object ? PN_JSON_OBJECT : PN_JSON_ARRAY);
        for (const cJSON *c = item->child; c != NULL; c = c->next) {
            pn_json_token token = pn_json_read(r);
            if (is_object) {
                CHECK_EQ(token, PN_JSON_KEY);
                check_text_is(&r->string, c->string);
                pn_json_read(r);
            }
            compare_with_tree(r, c);
        }
        CHECK_EQ(pn_json_read(r), is_object ? PN_JSON_OBJECT_END : PN_JSON_ARRAY_END);
    }
    }
}

TEST(json_agrees_with_cjson_where_cjson_is_exact) {
    owner p;
    pn_buf out, again;
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    pn_buf_init(&again, &p.ledger.door);
    pn_rand rand = {pn_rand_key(11, "documents", 0), 0};
    for (int i = 0; i < 20000; i++) {
        pn_json_writer w;
        pn_json_reader r;
        uint32_t indent = i % 2 == 0 ? 0 : 3;
        pn_buf_clear(&out);
        pn_json_writer_init(&w, &out, indent, 0);
        write_random(&w, &rand, 0);
        CHECK_EQ(pn_json_writer_end(&w), 0);
        CHECK(reference_accepts(out.data, out.size, PN_JSON_DEPTH_DEFAULT));
        const char *text = guarded(out.data, out.size);
        pn_buf_clear(&again);
        pn_json_reader_init(&r, text, out.size, NULL);
        pn_json_writer_init(&w, &again, indent, 0);
        CHECK_EQ(copy(&r, &w), 0);
        CHECK_EQ(again.size,
                 out.size); /* decode(encode(x)) is x, so encoding it again changes nothing */
        CHECK_MEM(again.data, out.data, out.size);
        cJSON *tree = cJSON_ParseWithLength(text, out.size);
        CHECK(tree != NULL);
        pn_json_reader_init(&r, text, out.size, NULL);
        pn_json_read(&r);
        compare_with_tree(&r, tree);
        CHECK_EQ(pn_json_read(&r), PN_JSON_END);
        cJSON_Delete(tree);
    }
    pn_buf_close(&out);
    pn_buf_close(&again);
    owner_close(&p);
}

/* Documents with some bytes changed, cut or doubled are accepted exactly when the grammar does. */
TEST(json_accepts_exactly_what_the_grammar_does) {
    owner p;
    pn_buf out;
    owner_open(&p);
    pn_buf_init(&out, &p.ledger.door);
    pn_rand rand = {pn_rand_key(12, "mutants", 0), 0};
    int accepted = 0, refused = 0;
    for (int i = 0; i < 200000; i++) {
        if (i % 20 == 0) {
            pn_json_writer w;
            pn_buf_clear(&out);
            pn_json_writer_init(&w, &out, (uint32_t)pn_rand_below(&rand, 2), 0);
            write_random(&w, &rand, 3);
            CHECK_EQ(pn_json_writer_end(&w), 0);
        }
        static char text[GUARDED_BYTES];
        static const char likely[] = "\"\"\\\\{}[],:0123456789.eE+-ntfu \n\xc3\xa9\x80\xed";
        size_t size = out.size;
        memcpy(text, out.data, size);
        for (uint64_t n = 1 + pn_rand_below(&rand, 3); n > 0; n--) {
            text[pn_rand_below(&rand, size)] = likely[pn_rand_below(&rand, sizeof likely - 1)];
        }
        size -= pn_rand_below(&rand, 4) == 0 ? pn_rand_below(&rand, size) : 0;
        bool ok = check_only(guarded(text, size), size, NULL) == 0;
        CHECK_EQ(ok, reference_accepts(text, size, PN_JSON_DEPTH_DEFAULT));
        accepted += ok;
        refused += !ok;
    }
    CHECK_INT(accepted, >, 10000); /* both answers were tried */
    CHECK_INT(refused, >, 10000);
    pn_buf_close(&out);
    owner_close(&p);
}
