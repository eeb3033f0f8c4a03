/* The reader of json.h. The text before `at` has been checked; the state says what may come
 * there. */
#include "core/json.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/utf8.h"
#include "core/json_scan.h"

enum {
    STATE_VALUE,       /* a value must come */
    STATE_FIRST_VALUE, /* behind [: a value or ] */
    STATE_FIRST_KEY,   /* behind {: a key or } */
    STATE_AFTER,       /* behind a value in an array or object */
    STATE_OVER,        /* behind the outermost value */
};

#define EXACT_DIGITS 19 /* of a decimal number always fit a uint64_t */

void pn_json_reader_init(pn_json_reader *r, const char *text, size_t size,
                         const pn_json_limits *limits) {
    size_t size_max = limits != NULL && limits->size_max_bytes > 0 ? limits->size_max_bytes
                                                                   : PN_JSON_SIZE_DEFAULT_BYTES;
    uint32_t depth_max =
        limits != NULL && limits->depth_max > 0 ? limits->depth_max : PN_JSON_DEPTH_DEFAULT;
    pn_assert(depth_max <= PN_JSON_DEPTH_MAX);
    *r = (pn_json_reader){.where = text,
                          .start = text,
                          .at = text,
                          .end = size > 0 ? text + size : text,
                          .depth_max = depth_max,
                          .size_max_bytes = size_max,
                          .state = STATE_VALUE};
    if (size > size_max) r->err = PN_ETOO_LARGE;
}

/* ---- errors ---- */

static pn_json_token fail(pn_json_reader *r, const char *at, int err) {
    r->at = r->where = at;
    r->err = err;
    return r->token = PN_JSON_ERROR;
}

static pn_json_token fail_expected(pn_json_reader *r, const char *at, const char *expected) {
    r->expected = expected;
    return fail(r, at, PN_EBAD_JSON);
}

static pn_json_token fail_because(pn_json_reader *r, const char *at, const char *problem) {
    r->problem = problem;
    return fail(r, at, PN_EBAD_JSON);
}

pn_json_place pn_json_locate(const pn_json_reader *r) {
    pn_json_place place = {(size_t)(r->where - r->start), 1, 1};
    for (const char *p = r->start; p < r->where; p++) {
        if (*p == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

static void describe(char *out, size_t room, const char *p, size_t left) {
    size_t n = left > 0 ? pn_utf8_length(p, left) : 0;
    if (left == 0) {
        snprintf(out, room, "the end");
    } else if (n == 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) { /* it cannot be seen */
        snprintf(out, room, "a byte order mark");
    } else if (n == 0 || (unsigned char)*p < 0x20 || *p == 0x7f) {
        snprintf(out, room, "byte 0x%02x", (unsigned char)*p);
    } else {
        snprintf(out, room, "'%.*s'", (int)n, p);
    }
}

const char *pn_json_message(const pn_json_reader *r, char text[PN_JSON_MESSAGE_BYTES]) {
    if (r->err == 0 || r->err == PN_ENOT_FOUND) {
        snprintf(text, PN_JSON_MESSAGE_BYTES, "%s",
                 r->err == 0 ? "no error" : "there is no value at the path");
        return text;
    }
    if (r->err == PN_ETOO_LARGE) {
        snprintf(text, PN_JSON_MESSAGE_BYTES, "%zu bytes, over the limit of %zu",
                 (size_t)(r->end - r->start), r->size_max_bytes);
        return text;
    }
    pn_json_place place = pn_json_locate(r);
    int n = r->err == PN_EBAD_VALUE
                ? snprintf(text, PN_JSON_MESSAGE_BYTES, "in the path, column %zu: ", place.column)
                : snprintf(text, PN_JSON_MESSAGE_BYTES, "line %zu, column %zu: ", place.line,
                           place.column);
    char *rest = text + n, found[24];
    size_t room = PN_JSON_MESSAGE_BYTES - (size_t)n;
    describe(found, sizeof found, r->where, (size_t)(r->end - r->where));
    if (r->err == PN_ETOO_DEEP) {
        snprintf(rest, room, "nested over the limit of %u levels", (unsigned)r->depth_max);
    } else if (r->problem != NULL) {
        snprintf(rest, room, "%s", r->problem);
    } else {
        snprintf(rest, room, "expected %s, found %s", r->expected, found);
    }
    return text;
}

/* ---- strings ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits at p, or -1 with *bad at what is none. */
static int32_t hex4(const char *p, const char *end, const char **bad) {
    int32_t code = 0;
    for (*bad = p; *bad < p + 4; ++*bad) {
        int digit = *bad < end ? hex_digit(**bad) : -1;
        if (digit < 0) return -1;
        code = code << 4 | digit;
    }
    return code;
}

/* Checks the \u escape at p; returns its end or NULL. */
static const char *check_unicode(pn_json_reader *r, const char *p) {
    const char *bad;
    int32_t code = hex4(p + 2, r->end, &bad);
    if (code < 0) {
        fail_expected(r, bad, "four hexadecimal digits");
        return NULL;
    }
    if (code < 0xd800 || code > 0xdfff) return p + 6;
    const char *second = p + 6;
    int32_t low = r->end - second >= 6 && second[0] == '\\' && second[1] == 'u'
                      ? hex4(second + 2, r->end, &bad)
                      : -1;
    if (code < 0xdc00 && low >= 0xdc00 && low <= 0xdfff) return p + 12;
    fail_because(r, p, "a surrogate without its other half");
    return NULL;
}

/* What the letter behind a backslash stands for; 0 for none of them. */
static char unescape_letter(char c) {
    static const char meaning[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                      ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    return (unsigned char)c < 128 ? meaning[(unsigned char)c] : '\0';
}

/* Checks the escape at p; returns its end or NULL. */
static const char *check_escape(pn_json_reader *r, const char *p) {
    if (r->end - p >= 2) {
        if (unescape_letter(p[1]) != '\0') return p + 2;
        if (p[1] == 'u') return check_unicode(r, p);
    }
    fail_expected(r, p + 1, "one of \" \\ / b f n r t u behind \\");
    return NULL;
}

/* Passes the escape, or the character outside ASCII, at p; NULL for what may be neither. */
static const char *scan_special(pn_json_reader *r, const char *p) {
    if (*p == '\\') {
        r->string.is_escaped = true;
        return check_escape(r, p);
    }
    bool is_control = (unsigned char)*p < 0x20;
    size_t n = is_control ? 0 : pn_utf8_length(p, (size_t)(r->end - p));
    if (n > 0) return p + n;
    fail_expected(r, p, is_control ? "control characters to be escaped" : "UTF-8");
    return NULL;
}

/* Checks the string whose first byte behind the quote is at p; returns the byte behind it, or
 * NULL. */
static const char *scan_string(pn_json_reader *r, const char *p) {
    r->string.raw = p;
    r->string.is_escaped = false;
    for (;;) {
        p = pn__json_plain_end(p, r->end);
        while (p < r->end && pn__json_is_special[(unsigned char)*p]) { /* seldom one alone */
            if (*p == '"') {
                r->string.raw_size = (size_t)(p - r->string.raw);
                return p + 1;
            }
            p = scan_special(r, p);
            if (p == NULL) return NULL;
        }
        if (p == r->end) {
            fail_expected(r, p, "a closing quote");
            return NULL;
        }
    }
}

/* The escape at p, which has been checked: its bytes to `out`; returns how many, *end behind it. */
static size_t unescape_one(const char *p, const char **end, char out[PN_UTF8_MAX_BYTES]) {
    *end = p + 2;
    if (p[1] != 'u') {
        out[0] = unescape_letter(p[1]);
        return 1;
    }
    const char *bad;
    uint32_t code = (uint32_t)hex4(p + 2, p + 6, &bad);
    *end = p + 6;
    if (code >= 0xd800 && code <= 0xdbff) {
        uint32_t low = (uint32_t)hex4(p + 8, p + 12, &bad);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *end = p + 12;
    }
    return pn_utf8_encode(code, out);
}

static bool has_backslash(const uint64_t *bytes) {
    return pn__json_zero_bytes(*bytes ^ PN__JSON_EACH('\\')) != 0;
}

size_t pn_json_unescape(const pn_json_string *string, char *out) {
    const char *p = string->raw, *end = p + string->raw_size;
    char *to = out;
    if (!string->is_escaped) {
        if (p < end) memcpy(out, p, string->raw_size);
        return string->raw_size;
    }
    while (p < end) { /* what is written is never longer than what was read: there is always room */
        uint64_t word = 0;
        if (*p == '\\') {
            to += unescape_one(p, &p, to);
        } else if (end - p >= 8 && !has_backslash(memcpy(&word, p, 8))) {
            memcpy(to, &word, 8);
            to += 8;
            p += 8;
        } else {
            *to++ = *p++;
        }
    }
    return (size_t)(to - out);
}

/* The bytes of a string, one after the other. */
struct bytes {
    const char *p, *end;
    bool is_escaped;
    char piece[PN_UTF8_MAX_BYTES];
    size_t count, next; /* of piece */
};

static struct bytes bytes_of(const pn_json_string *s) {
    return (struct bytes){.p = s->raw, .end = s->raw + s->raw_size, .is_escaped = s->is_escaped};
}

/* -1 at the end. */
static int next_byte(struct bytes *b) {
    if (b->next < b->count) return (unsigned char)b->piece[b->next++];
    if (b->p == b->end) return -1;
    if (!b->is_escaped || *b->p != '\\') return (unsigned char)*b->p++;
    b->count = unescape_one(b->p, &b->p, b->piece);
    b->next = 1;
    return (unsigned char)b->piece[0];
}

bool pn_json_same(const pn_json_string *a, const pn_json_string *b) {
    if (!a->is_escaped && !b->is_escaped) {
        return a->raw_size == b->raw_size &&
               (a->raw_size == 0 || memcmp(a->raw, b->raw, a->raw_size) == 0);
    }
    struct bytes left = bytes_of(a), right = bytes_of(b);
    int byte;
    do {
        byte = next_byte(&left);
        if (byte != next_byte(&right)) return false;
    } while (byte >= 0);
    return true;
}

/* ---- numbers ---- */

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

/* Reads on in *value, which is right as long as no more than EXACT_DIGITS digits went into it. */
static const char *take_digits(const char *p, const char *end, uint64_t *value) {
    for (; is_digit(p, end); p++) *value = *value * 10 + (uint64_t)(*p - '0');
    return p;
}

static pn_json_token finish_value(pn_json_reader *r, const char *at, pn_json_token token) {
    r->at = at;
    r->state = r->depth > 0 ? STATE_AFTER : STATE_OVER;
    return r->token = token;
}

static pn_json_token finish_double(pn_json_reader *r, const char *at, double value) {
    if (value > DBL_MAX) return fail_because(r, r->where, "a number over the range of a double");
    r->number = *r->where == '-' ? -value : value;
    return finish_value(r, at, PN_JSON_DOUBLE);
}

/* A number whose digits up to p, `value`, are followed by a fraction or an exponent. */
static pn_json_token read_fraction(pn_json_reader *r, const char *p, size_t digits,
                                   uint64_t value) {
    int64_t exponent = 0;
    if (*p == '.') {
        const char *fraction = ++p;
        if (!is_digit(p, r->end)) return fail_expected(r, p, "a digit");
        p = take_digits(p, r->end, &value);
        exponent = fraction - p;
        digits += (size_t)(p - fraction);
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        bool negative = p < r->end && *p == '-';
        if (p < r->end && (*p == '-' || *p == '+')) p++;
        if (!is_digit(p, r->end)) return fail_expected(r, p, "a digit");
        int64_t written = 0;
        for (; is_digit(p, r->end); p++) {
            if (written < 1000000)
                written = written * 10 + (*p - '0'); /* far out of range by then */
        }
        exponent += negative ? -written : written;
    }
    if (digits <= EXACT_DIGITS) return finish_double(r, p, pn_decimal_to_double(value, exponent));
    const char *first = r->where + (*r->where == '-');
    return finish_double(r, p, pn_decimal_parse(first, (size_t)(p - first)));
}

/* Whole digits from `first` to p that are no int64. */
static pn_json_token read_large(pn_json_reader *r, const char *first, const char *p,
                                uint64_t value) {
    size_t digits = (size_t)(p - first);
    return finish_double(r, p,
                         digits <= EXACT_DIGITS ? (double)value : pn_decimal_parse(first, digits));
}

static pn_json_token read_number(pn_json_reader *r, const char *p) {
    bool negative = *p == '-';
    const char *first = p + negative;
    uint64_t value = 0;
    if (!is_digit(first, r->end)) return fail_expected(r, first, "a digit");
    p = *first == '0' ? first + 1 : take_digits(first, r->end, &value);
    size_t digits = (size_t)(p - first);
    if (p < r->end && (*p == '.' || *p == 'e' || *p == 'E'))
        return read_fraction(r, p, digits, value);
    bool fits = digits < EXACT_DIGITS ||
                (digits == EXACT_DIGITS && value <= (uint64_t)INT64_MAX + negative);
    if (!fits || (negative && value == 0)) return read_large(r, first, p, value);
    r->integer = (int64_t)(negative ? 0 - value : value);
    return finish_value(r, p, PN_JSON_INT);
}

/* ---- structure ---- */

static const char *skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

static bool in_object(const pn_json_reader *r) {
    uint32_t level = r->depth - 1;
    return (r->objects[level / 64] >> (level % 64) & 1) != 0;
}

static pn_json_token open(pn_json_reader *r, const char *p, bool is_object) {
    if (r->depth == r->depth_max) return fail(r, p, PN_ETOO_DEEP);
    uint64_t bit = 1ULL << (r->depth % 64), *word = &r->objects[r->depth / 64];
    *word = is_object ? *word | bit : *word & ~bit;
    r->depth++;
    r->at = p + 1;
    r->state = is_object ? STATE_FIRST_KEY : STATE_FIRST_VALUE;
    return r->token = is_object ? PN_JSON_OBJECT : PN_JSON_ARRAY;
}

static pn_json_token close(pn_json_reader *r, const char *p) {
    pn_json_token token = in_object(r) ? PN_JSON_OBJECT_END : PN_JSON_ARRAY_END;
    r->where = p;
    r->depth--;
    return finish_value(r, p + 1, token);
}

static pn_json_token read_word(pn_json_reader *r, const char *p, const char *word,
                               pn_json_token token) {
    size_t size = strlen(word), left = (size_t)(r->end - p);
    for (size_t i = 0; i < size; i++) {
        if (i == left || p[i] != word[i]) return fail_expected(r, p + i, word);
    }
    return finish_value(r, p + size, token);
}

static pn_json_token read_string(pn_json_reader *r, const char *p) {
    p = scan_string(r, p + 1);
    return p != NULL ? finish_value(r, p, PN_JSON_STRING) : PN_JSON_ERROR;
}

static pn_json_token read_value(pn_json_reader *r, const char *p, const char *expected) {
    r->where = p;
    if (p == r->end) return fail_expected(r, p, expected);
    switch (*p) {
    case '"': return read_string(r, p);
    case '{': return open(r, p, true);
    case '[': return open(r, p, false);
    case 't': return read_word(r, p, "true", PN_JSON_TRUE);
    case 'f': return read_word(r, p, "false", PN_JSON_FALSE);
    case 'n': return read_word(r, p, "null", PN_JSON_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return read_number(r, p);
    default: return fail_expected(r, p, expected);
    }
}

/* A key and its colon. */
static pn_json_token read_key(pn_json_reader *r, const char *p, const char *expected) {
    r->where = p;
    if (p == r->end || *p != '"') return fail_expected(r, p, expected);
    p = scan_string(r, p + 1);
    if (p == NULL) return PN_JSON_ERROR;
    p = skip_space(p, r->end);
    if (p == r->end || *p != ':') return fail_expected(r, p, "':'");
    r->at = p + 1;
    r->state = STATE_VALUE;
    return r->token = PN_JSON_KEY;
}

static pn_json_token read_after(pn_json_reader *r, const char *p) {
    bool is_object = in_object(r);
    char c = p < r->end ? *p : '\0';
    if (c == ',') {
        p = skip_space(p + 1, r->end);
        return is_object ? read_key(r, p, "a key") : read_value(r, p, "a value");
    }
    if (c == (is_object ? '}' : ']')) return close(r, p);
    return fail_expected(r, p, is_object ? "',' or '}'" : "',' or ']'");
}

pn_json_token pn_json_read(pn_json_reader *r) {
    if (PN_UNLIKELY(r->err != 0)) return r->token = PN_JSON_ERROR;
    const char *p = skip_space(r->at, r->end);
    switch (r->state) {
    case STATE_AFTER: return read_after(r, p);
    case STATE_VALUE: return read_value(r, p, "a value");
    case STATE_FIRST_VALUE:
        if (p < r->end && *p == ']') return close(r, p);
        return read_value(r, p, "a value or ']'");
    case STATE_FIRST_KEY:
        if (p < r->end && *p == '}') return close(r, p);
        return read_key(r, p, "a key or '}'");
    default: /* STATE_OVER */
        r->where = p;
        if (p < r->end) return fail_expected(r, p, "nothing behind the value");
        return r->token = PN_JSON_END;
    }
}

int pn_json_skip(pn_json_reader *r) {
    if (r->token == PN_JSON_KEY) pn_json_read(r);
    if (r->token == PN_JSON_ARRAY || r->token == PN_JSON_OBJECT) {
        uint32_t outside = r->depth - 1;
        while (r->depth > outside && pn_json_read(r) != PN_JSON_ERROR) {}
    }
    return r->err;
}
