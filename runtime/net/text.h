/*
 * text.h - a view of bytes that somebody else owns, and what protocols ask of such views.
 *
 * Everything here is ASCII: HTTP's names, hosts and tokens are compared without locale. A view may
 * be empty; `at` NULL says that there is no text at all.
 */
#ifndef PN_NET_TEXT_H
#define PN_NET_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct pn_text {
    const char *at;
    size_t size;
} pn_text;

/* Of a string literal. */
#define PN_TEXT(literal) ((pn_text){"" literal, sizeof(literal) - 1})
#define PN_TEXT_NONE     ((pn_text){NULL, 0})

static inline pn_text pn_text_make(const char *at, size_t size) { return (pn_text){at, size}; }

static inline pn_text pn_text_of(const char *string) {
    return string == NULL ? PN_TEXT_NONE : (pn_text){string, strlen(string)};
}

static inline char pn_text_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static inline bool pn_text_is_digit(char c) { return c >= '0' && c <= '9'; }

static inline bool pn_text_equal(pn_text a, pn_text b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static inline bool pn_text_starts(pn_text text, pn_text start) {
    return text.size >= start.size && memcmp(text.at, start.at, start.size) == 0;
}

bool pn_text_equal_nocase(pn_text a, pn_text b);

/* Without spaces and tabs at both ends (HTTP's optional white space). */
pn_text pn_text_trim(pn_text text);

/* The value of a hexadecimal digit, or -1. */
int pn_text_hex(char c);

/* Digits only, no sign, no space: false when it is anything else or does not fit. */
bool pn_text_to_u64(pn_text text, uint64_t *value);

/* The next member of a comma-separated list, trimmed; empty members are skipped. False at the end.
 * `list` moves on. */
bool pn_text_next_member(pn_text *list, pn_text *member);

/* Whether the list has this token, in any case. Parameters (";q=0") do not count as part of it. */
bool pn_text_has_token(pn_text list, pn_text token);

#endif
