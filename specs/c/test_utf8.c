/* UTF-8: what is accepted is exactly what a decoder written from RFC 3629's definition accepts. */
#include "base/utf8.h"

#include <string.h>

#include "test.h"

/* The definition, slowly: decode by the bit patterns, then ask whether this is the one right
 * form. */
static size_t reference_length(const uint8_t *u, size_t left) {
    size_t n = u[0] < 0x80 ? 1 : u[0] >> 5 == 6 ? 2 : u[0] >> 4 == 14 ? 3 : u[0] >> 3 == 30 ? 4 : 0;
    static const uint32_t first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0 || n > left) return 0;
    uint32_t code = u[0] & first_bits[n];
    for (size_t i = 1; i < n; i++) {
        if (u[i] >> 6 != 2) return 0;
        code = code << 6 | (u[i] & 0x3f);
    }
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < smallest[n] || code > 0x10ffff || is_surrogate ? 0 : n;
}

static void compare(const uint8_t *u, size_t size) {
    if (pn_utf8_length((const char *)u, size) == reference_length(u, size)) return;
    pn_test_fail(__FILE__, __LINE__, "%02x %02x %02x %02x (%zu bytes): %zu, expected %zu", u[0],
                 u[1], u[2], u[3], size, pn_utf8_length((const char *)u, size),
                 reference_length(u, size));
}

TEST(utf8_length_agrees_with_the_definition_everywhere) {
    for (uint32_t bytes = 0; bytes < 1u << 24; bytes++) {
        uint8_t u[4] = {(uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes, 0x80};
        compare(u, 3);
        compare(u, 4);
    }
    static const uint8_t last[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (uint32_t bytes = 0; bytes < 1u << 19;
         bytes++) { /* what can begin four bytes, and around */
        for (size_t i = 0; i < sizeof last; i++) {
            uint8_t u[4] = {(uint8_t)(0xf0 | bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes,
                            last[i]};
            compare(u, 4);
        }
    }
}

TEST(utf8_length_reads_no_further_than_left) {
    static const char euro[] = "\xe2\x82\xac", face[] = "\xf0\x9f\x98\x80";
    for (size_t left = 1; left < 3; left++) CHECK_EQ(pn_utf8_length(euro, left), 0);
    for (size_t left = 1; left < 4; left++) CHECK_EQ(pn_utf8_length(face, left), 0);
    CHECK_EQ(pn_utf8_length(euro, 3), 3);
    CHECK_EQ(pn_utf8_length(face, 4), 4);
}

TEST(utf8_encode_writes_what_length_accepts) {
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code == 0xd800) code = 0xe000;
        char out[PN_UTF8_MAX_BYTES];
        size_t n = pn_utf8_encode(code, out);
        CHECK_EQ(n, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        CHECK_EQ(pn_utf8_length(out, n), n);
        uint32_t back = (uint8_t)out[0];
        if (n > 1) back &= 0xffu >> (n + 1);
        for (size_t i = 1; i < n; i++) back = back << 6 | ((uint8_t)out[i] & 0x3f);
        CHECK_EQ(back, code);
    }
}

/* A bad byte at every place of texts around the word size is found at its place. */
TEST(utf8_valid_bytes_stops_at_the_first_bad_byte) {
    char text[40];
    for (size_t size = 0; size <= sizeof text; size++) {
        memset(text, 'a', sizeof text);
        CHECK_EQ(pn_utf8_valid_bytes(text, size), size);
        for (size_t at = 0; at < size; at++) {
            text[at] = '\xff';
            CHECK_EQ(pn_utf8_valid_bytes(text, size), at);
            text[at] = 'a';
        }
    }
    static const char mixed[] = "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80 plain text behind";
    CHECK_EQ(pn_utf8_valid_bytes(mixed, sizeof mixed - 1), sizeof mixed - 1);
    CHECK_EQ(pn_utf8_valid_bytes(mixed, 3), 2); /* cut within a character */
}
