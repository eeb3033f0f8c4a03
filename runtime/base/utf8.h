/*
 * utf8.h - UTF-8 as RFC 3629 defines it: no overlong form, no surrogate, nothing past U+10FFFF.
 *
 * Pure functions over bytes; texts need no NUL and may hold some.
 */
#ifndef PN_BASE_UTF8_H
#define PN_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define PN_UTF8_MAX_BYTES 4 /* of one character */

/* The length of the well-formed character at p, or 0. `left` > 0 bytes may be read. */
static inline size_t pn_utf8_length(const char *p, size_t left) {
    const uint8_t *u = (const uint8_t *)p;
    if (u[0] < 0x80) return 1;
    if (u[0] < 0xc2 || u[0] > 0xf4) return 0;
    size_t n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (n > left || (u[1] & 0xc0) != 0x80) return 0;
    if (n == 2) return 2;
    /* What is overlong, a surrogate or too large shows in the second byte. */
    uint8_t low = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
    if (u[1] < low || u[1] > high || (u[2] & 0xc0) != 0x80) return 0;
    return n == 3 || (u[3] & 0xc0) == 0x80 ? n : 0;
}

/* How many bytes from the start are well-formed: `size` when all are. */
size_t pn_utf8_valid_bytes(const char *text, size_t size);

/* Writes the character for a code point that is no surrogate and at most 0x10ffff; returns its
 * bytes. */
size_t pn_utf8_encode(uint32_t code, char out[PN_UTF8_MAX_BYTES]);

#endif
