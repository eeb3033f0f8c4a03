#include "base/utf8.h"

#include <string.h>

#include "base/assert.h"

#define HIGH_BITS 0x8080808080808080ULL

size_t pn_utf8_valid_bytes(const char *text, size_t size) {
    size_t i = 0;
    while (i < size) {
        uint64_t word;
        if (size - i >= sizeof word) { /* most text is mostly ASCII */
            memcpy(&word, text + i, sizeof word);
            if ((word & HIGH_BITS) == 0) {
                i += sizeof word;
                continue;
            }
        }
        size_t n = pn_utf8_length(text + i, size - i);
        if (n == 0) break;
        i += n;
    }
    return i;
}

size_t pn_utf8_encode(uint32_t code, char out[PN_UTF8_MAX_BYTES]) {
    pn_assert(code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(leads[n] | code);
    return n;
}
