/*
 * json_reference.h - a second opinion on what is JSON: RFC 8259's grammar, rule by rule, byte by
 * byte, written for comparison with core/json and for nothing else. Slow, recursive, without
 * positions.
 */
#ifndef PN_FUZZ_JSON_REFERENCE_H
#define PN_FUZZ_JSON_REFERENCE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct reference {
    const unsigned char *p, *end;
    unsigned depth, depth_max;
} reference;

static bool reference_value(reference *r);

/* The byte at hand, -1 at the end. */
static int reference_peek(const reference *r) { return r->p < r->end ? *r->p : -1; }

static bool reference_take(reference *r, int byte) {
    if (reference_peek(r) != byte) return false;
    r->p++;
    return true;
}

static void reference_space(reference *r) {
    while (reference_take(r, ' ') || reference_take(r, '\t') || reference_take(r, '\n') ||
           reference_take(r, '\r')) {}
}

static bool reference_digit(reference *r) {
    if (reference_peek(r) < '0' || reference_peek(r) > '9') return false;
    r->p++;
    return true;
}

static bool reference_digits(reference *r) {
    if (!reference_digit(r)) return false;
    while (reference_digit(r)) {}
    return true;
}

static bool reference_number(reference *r) {
    const unsigned char *start = r->p;
    reference_take(r, '-');
    if (!reference_take(r, '0') && !reference_digits(r)) return false;
    if (reference_take(r, '.') && !reference_digits(r)) return false;
    if (reference_take(r, 'e') || reference_take(r, 'E')) {
        if (!reference_take(r, '-')) reference_take(r, '+');
        if (!reference_digits(r)) return false;
    }
    size_t size = (size_t)(r->p - start);
    char *text = malloc(size + 1);
    if (text == NULL) abort();
    memcpy(text, start, size);
    text[size] = '\0';
    bool is_finite = isfinite(strtod(text, NULL));
    free(text);
    return is_finite;
}

/* One character outside ASCII, by the table of RFC 3629, section 4. */
static bool reference_tail(reference *r, int from, int to) {
    if (reference_peek(r) < from || reference_peek(r) > to) return false;
    r->p++;
    return true;
}

static bool reference_utf8(reference *r) {
    int first = *r->p++;
    if (first >= 0xc2 && first <= 0xdf) return reference_tail(r, 0x80, 0xbf);
    if (first >= 0xe0 && first <= 0xef) {
        return reference_tail(r, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) &&
               reference_tail(r, 0x80, 0xbf);
    }
    if (first >= 0xf0 && first <= 0xf4) {
        return reference_tail(r, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) &&
               reference_tail(r, 0x80, 0xbf) && reference_tail(r, 0x80, 0xbf);
    }
    return false;
}

/* The value of four hexadecimal digits, or -1. */
static int reference_hex4(reference *r) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = reference_peek(r);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
        r->p++;
    }
    return value;
}

static bool reference_escape(reference *r) {
    int c = reference_peek(r);
    if (c < 0) return false;
    r->p++;
    if (c != 'u') return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
    int code = reference_hex4(r);
    if (code < 0 || (code >= 0xdc00 && code <= 0xdfff)) return false;
    if (code < 0xd800 || code > 0xdbff) return true;
    if (!reference_take(r, '\\') || !reference_take(r, 'u')) return false;
    int low = reference_hex4(r);
    return low >= 0xdc00 && low <= 0xdfff;
}

static bool reference_string(reference *r) {
    if (!reference_take(r, '"')) return false;
    for (;;) {
        int c = reference_peek(r);
        if (c < 0x20) return false;
        if (reference_take(r, '"')) return true;
        if (reference_take(r, '\\')) {
            if (!reference_escape(r)) return false;
        } else if (c >= 0x80) {
            if (!reference_utf8(r)) return false;
        } else {
            r->p++;
        }
    }
}

static bool reference_word(reference *r, const char *word) {
    for (; *word != '\0'; word++) {
        if (!reference_take(r, *word)) return false;
    }
    return true;
}

static bool reference_member(reference *r, bool is_object) {
    reference_space(r);
    if (is_object) {
        if (!reference_string(r)) return false;
        reference_space(r);
        if (!reference_take(r, ':')) return false;
    }
    return reference_value(r);
}

static bool reference_container(reference *r, bool is_object) {
    if (r->depth++ == r->depth_max) return false;
    r->p++;
    int last = is_object ? '}' : ']';
    reference_space(r);
    if (!reference_take(r, last)) {
        do {
            if (!reference_member(r, is_object)) return false;
        } while (reference_take(r, ','));
        if (!reference_take(r, last)) return false;
    }
    r->depth--;
    return true;
}

/* With the space around it. */
static bool reference_value(reference *r) {
    reference_space(r);
    bool ok;
    switch (reference_peek(r)) {
    case '{': ok = reference_container(r, true); break;
    case '[': ok = reference_container(r, false); break;
    case '"': ok = reference_string(r); break;
    case 't': ok = reference_word(r, "true"); break;
    case 'f': ok = reference_word(r, "false"); break;
    case 'n': ok = reference_word(r, "null"); break;
    default: ok = reference_number(r); break;
    }
    reference_space(r);
    return ok;
}

static bool reference_accepts(const void *text, size_t size, unsigned depth_max) {
    reference r = {text, (const unsigned char *)text + size, 0, depth_max};
    return reference_value(&r) && r.p == r.end;
}

#endif
