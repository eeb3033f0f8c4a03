/* The writer of json.h. */
#include "core/json.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "base/utf8.h"
#include "core/json_scan.h"

void pn_json_writer_init(pn_json_writer *w, pn_buf *out, uint32_t indent, uint32_t depth_max) {
    pn_assert(indent <= PN_JSON_INDENT_MAX && depth_max <= PN_JSON_DEPTH_MAX);
    *w = (pn_json_writer){.out = out,
                          .indent = (uint8_t)indent,
                          .depth_max = depth_max > 0 ? depth_max : PN_JSON_DEPTH_DEFAULT};
}

static int fail(pn_json_writer *w, int err) {
    if (w->err == 0) w->err = err;
    return w->err;
}

/* Which of its two reasons the buffer had is told by its limit. */
static __attribute__((noinline, cold)) bool no_room(pn_json_writer *w, size_t more) {
    fail(w, more > w->out->limit_bytes - w->out->size ? PN_ETOO_LARGE : PN_ENOMEM);
    return false;
}

/* Room for `more` bytes. */
static inline bool reserve(pn_json_writer *w, size_t more) {
    return PN_LIKELY(pn_buf_reserve(w->out, more)) || no_room(w, more);
}

/* Appends to room that was reserved. */
static void put(pn_json_writer *w, const char *bytes, size_t size) {
    memcpy(w->out->data + w->out->size, bytes, size);
    w->out->size += size;
}

static void put_byte(pn_json_writer *w, char byte) { w->out->data[w->out->size++] = byte; }

static bool in_object(const pn_json_writer *w) {
    if (w->depth == 0) return false;
    uint32_t level = w->depth - 1;
    return (w->objects[level / 64] >> (level % 64) & 1) != 0;
}

static void put_line_break(pn_json_writer *w) {
    size_t spaces = (size_t)w->depth * w->indent;
    if (w->indent == 0 || !reserve(w, spaces + 1)) return;
    put_byte(w, '\n');
    memset(w->out->data + w->out->size, ' ', spaces);
    w->out->size += spaces;
}

/* What stands before a key, or a value without key: the comma and the line break. */
static void separate(pn_json_writer *w) {
    if (w->depth == 0) return;
    if (w->has_before && reserve(w, 1)) put_byte(w, ',');
    put_line_break(w);
}

/* Before each value; true when it may be written. Afterwards the value counts as there. */
static bool begin_value(pn_json_writer *w) {
    if (w->err != 0) return false;
    pn_assert(w->is_after_key || !in_object(w));
    pn_assert(w->depth > 0 || !w->has_before); /* one value a writer */
    if (!w->is_after_key) separate(w);
    w->is_after_key = false;
    w->has_before = true;
    return w->err == 0;
}

static int write_word(pn_json_writer *w, const char *word, size_t size) {
    if (begin_value(w) && reserve(w, size)) put(w, word, size);
    return w->err;
}

int pn_json_write_null(pn_json_writer *w) { return write_word(w, "null", 4); }

int pn_json_write_bool(pn_json_writer *w, bool value) {
    return value ? write_word(w, "true", 4) : write_word(w, "false", 5);
}

int pn_json_write_int(pn_json_writer *w, int64_t value) {
    if (!begin_value(w)) return w->err;
    char text[PN_DECIMAL_INT_BYTES];
    size_t size = pn_decimal_format_int(value, text);
    if (reserve(w, size)) put(w, text, size);
    return w->err;
}

int pn_json_write_double(pn_json_writer *w, double value) {
    if (!begin_value(w)) return w->err;
    if (!isfinite(value)) return fail(w, PN_EBAD_VALUE);
    char text[PN_DECIMAL_TEXT_BYTES];
    size_t size = pn_decimal_format(value, text);
    if (reserve(w, size)) put(w, text, size);
    return w->err;
}

/* A quote, a backslash or a control character. */
static void put_escape(pn_json_writer *w, char c) {
    static const char hex[] = "0123456789abcdef";
    static const char letters[128] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                      ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
    char letter = letters[(unsigned char)c];
    if (!reserve(w, letter != '\0' ? 2 : 6)) return;
    put_byte(w, '\\');
    if (letter != '\0') {
        put_byte(w, letter);
    } else {
        put(w, "u00", 3);
        put_byte(w, hex[c >> 4]);
        put_byte(w, hex[c & 15]);
    }
}

/* The end of what can be copied as it is; NULL at bad UTF-8. */
static const char *copyable_end(const char *p, const char *end) {
    for (;;) {
        p = pn__json_plain_end(p, end);
        if (p == end || (unsigned char)*p < 0x80) return p;
        do {
            size_t n = pn_utf8_length(p, (size_t)(end - p));
            if (n == 0) return NULL;
            p += n;
        } while (p < end && (unsigned char)*p >= 0x80);
    }
}

static void put_string(pn_json_writer *w, const char *text, size_t size) {
    const char *p = size > 0 ? text : "", *end = p + size;
    if (!reserve(w, size + 2)) return; /* of most strings it is all */
    put_byte(w, '"');
    while (w->err == 0) {
        const char *run = p;
        p = copyable_end(p, end);
        if (p == NULL) {
            fail(w, PN_EBAD_VALUE);
            return;
        }
        if (!reserve(w, (size_t)(p - run) + 1)) return;
        if (p > run) put(w, run, (size_t)(p - run));
        if (p == end) break;
        while (p < end && pn__json_is_special[(unsigned char)*p] && (unsigned char)*p < 0x80) {
            put_escape(w, *p++);
        }
    }
    if (w->err == 0 && reserve(w, 1)) put_byte(w, '"');
}

int pn_json_write_string(pn_json_writer *w, const char *text, size_t size) {
    if (begin_value(w)) put_string(w, text, size);
    return w->err;
}

int pn_json_write_key(pn_json_writer *w, const char *text, size_t size) {
    if (w->err != 0) return w->err;
    pn_assert(in_object(w) && !w->is_after_key);
    separate(w);
    if (w->err == 0) put_string(w, text, size);
    if (w->err == 0 && reserve(w, w->indent > 0 ? 2 : 1)) {
        put_byte(w, ':');
        if (w->indent > 0) put_byte(w, ' ');
    }
    w->is_after_key = true;
    return w->err;
}

static int open(pn_json_writer *w, bool is_object) {
    if (!begin_value(w)) return w->err;
    if (w->depth == w->depth_max) return fail(w, PN_ETOO_DEEP);
    uint64_t bit = 1ULL << (w->depth % 64), *word = &w->objects[w->depth / 64];
    *word = is_object ? *word | bit : *word & ~bit;
    w->depth++;
    w->has_before = false;
    if (reserve(w, 1)) put_byte(w, is_object ? '{' : '[');
    return w->err;
}

static int close(pn_json_writer *w, bool is_object) {
    if (w->err != 0) return w->err;
    pn_assert(w->depth > 0 && in_object(w) == is_object && !w->is_after_key);
    w->depth--;
    if (w->has_before) put_line_break(w);
    w->has_before = true;
    if (w->err == 0 && reserve(w, 1)) put_byte(w, is_object ? '}' : ']');
    return w->err;
}

int pn_json_begin_array(pn_json_writer *w) { return open(w, false); }

int pn_json_end_array(pn_json_writer *w) { return close(w, false); }

int pn_json_begin_object(pn_json_writer *w) { return open(w, true); }

int pn_json_end_object(pn_json_writer *w) { return close(w, true); }

int pn_json_writer_end(pn_json_writer *w) {
    pn_assert(w->err != 0 || (w->depth == 0 && w->has_before));
    return w->err;
}
