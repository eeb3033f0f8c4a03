/*
 * json_scan.h - what reader and writer of json.h share: the end of a plain run within a string.
 */
#ifndef PN_CORE_JSON_SCAN_H
#define PN_CORE_JSON_SCAN_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PN__JSON_EACH(byte) (0x0101010101010101ULL * (byte))

/* One test instead of four for the bytes at the end of a text, where most strings are all end. */
static const bool pn__json_is_special[256] = {
    [0x00 ... 0x1f] = true, ['"'] = true, ['\\'] = true, [0x80 ... 0xff] = true,
};

/* The high bit of each byte that is zero; above the first such byte also of some others. */
static inline uint64_t pn__json_zero_bytes(uint64_t word) {
    return (word - PN__JSON_EACH(0x01)) & ~word & PN__JSON_EACH(0x80);
}

/* The first byte from p that is a quote, a backslash, a control character or not ASCII; else
 * `end`. */
static inline const char *pn__json_plain_end(const char *p, const char *end) {
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        word = le64toh(word);
        uint64_t special = pn__json_zero_bytes(word ^ PN__JSON_EACH('"')) |
                           pn__json_zero_bytes(word ^ PN__JSON_EACH('\\')) |
                           ((word - PN__JSON_EACH(0x20)) & ~word & PN__JSON_EACH(0x80)) |
                           (word & PN__JSON_EACH(0x80));
        if (special != 0) return p + (__builtin_ctzll(special) >> 3);
        p += 8;
    }
    while (p < end && !pn__json_is_special[(unsigned char)*p]) p++;
    return p;
}

#endif
