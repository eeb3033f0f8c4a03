/*
 * json.h - JSON text (RFC 8259) read and written without a tree between it and its user.
 *
 * The reader is a pull parser: each pn_json_read gives the next token. It is strict: well-formed
 * UTF-8, no lone surrogate, no control character in strings, no trailing comma or byte, no NaN.
 * Numbers without fraction and exponent that fit int64 are integers, all others (and -0) doubles,
 * correctly rounded; one past the range of a double is an error, one too small for it is zero.
 * Strings may hold \u0000. Of equal keys in an object the last one counts: pn_json_find does so,
 * whoever builds values must.
 *
 * The writer appends to a pn_buf. Integers are exact; doubles are the shortest text that reads
 * back, with a point or an exponent, so a value comes back as what it was. Bad UTF-8, NaN and
 * infinities are refused.
 *
 * Ownership: reader and writer are plain structs of the caller and own nothing; the text must
 * outlive the reader. So the caller may leave at any moment, by longjmp too (Lua raises so), with
 * nothing to close but what is its own. Nothing here allocates, but for the writer's buffer.
 *
 * Threads: no state beyond the structs. Limits: depth, size; both named below.
 */
#ifndef PN_CORE_JSON_H
#define PN_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define PN_JSON_DEPTH_DEFAULT      128  /* arrays and objects within each other */
#define PN_JSON_DEPTH_MAX          1024 /* what a caller may ask for */
#define PN_JSON_SIZE_DEFAULT_BYTES ((size_t)64 << 20)
#define PN_JSON_INDENT_MAX         8
#define PN_JSON_MESSAGE_BYTES      160

/* Zero stands for the default. */
typedef struct pn_json_limits {
    uint32_t depth_max;
    size_t size_max_bytes;
} pn_json_limits;

/* ---- reading ---- */

typedef enum pn_json_token {
    PN_JSON_ERROR, /* see `err`; every further read says so again */
    PN_JSON_END,   /* the text is over, and was one whole value; every further read says so again */
    PN_JSON_NULL,
    PN_JSON_FALSE,
    PN_JSON_TRUE,
    PN_JSON_INT,    /* `integer` */
    PN_JSON_DOUBLE, /* `number` */
    PN_JSON_STRING, /* `string` */
    PN_JSON_KEY,    /* as a string; its value is the next token */
    PN_JSON_ARRAY,
    PN_JSON_ARRAY_END,
    PN_JSON_OBJECT,
    PN_JSON_OBJECT_END,
} pn_json_token;

/* A string as it stands in the text, without its quotes; valid as long as the text is. */
typedef struct pn_json_string {
    const char *raw;
    size_t raw_size;
    bool is_escaped; /* false: raw is the string itself */
} pn_json_string;

typedef struct pn_json_reader {
    /* What was read. */
    pn_json_token token;
    int64_t integer;
    double number;
    pn_json_string string;
    const char *where; /* where the token begins */
    uint32_t depth;    /* arrays and objects that are open */
    int err;           /* 0, PN_EBAD_JSON, PN_ETOO_DEEP, PN_ETOO_LARGE */
    /* The reader's own. */
    const char *start, *at, *end;
    const char *expected, *problem; /* static, for the message; one of them */
    size_t size_max_bytes;
    uint32_t depth_max;
    uint8_t state;
    /* Which of the open ones are objects, a bit for each. */
    uint64_t objects[PN_JSON_DEPTH_MAX / 64];
} pn_json_reader;

/* Cannot fail: a text over the limit is reported by the first read. `limits` may be NULL. */
void pn_json_reader_init(pn_json_reader *reader, const char *text, size_t size,
                         const pn_json_limits *limits);

pn_json_token pn_json_read(pn_json_reader *reader);

/* Reads over the rest of the value that the last token began (of a key: its value), checking it.
 * Returns 0 or the reader's err. */
int pn_json_skip(pn_json_reader *reader);

/* Writes what the string means to `out`, which has room for raw_size bytes; returns its size. */
size_t pn_json_unescape(const pn_json_string *string, char *out);

/* Whether two strings mean the same. */
bool pn_json_same(const pn_json_string *a, const pn_json_string *b);

static inline bool pn_json_is(const pn_json_string *string, const char *text, size_t size) {
    return pn_json_same(string, &(pn_json_string){text, size, false});
}

/* Where the error is, or where the last token begins. Lines and columns count from 1, columns in
 * characters; a line ends with \n. Takes time in proportion to the text before it. */
typedef struct pn_json_place {
    size_t offset; /* bytes, from 0 */
    size_t line, column;
} pn_json_place;

pn_json_place pn_json_locate(const pn_json_reader *reader);

/* "line 3, column 7: expected ',' or ']', found '}'". Returns `text`. */
const char *pn_json_message(const pn_json_reader *reader, char text[PN_JSON_MESSAGE_BYTES]);

/*
 * Looks a value up by path and checks the whole text all the same: the answer is what decoding
 * everything and then indexing would give, also for equal keys and for errors behind the value.
 *
 *   path = [ name | step ] { "." name | step }        step = "[" index "]" | "[" string "]"
 *
 * An index counts from 1. A name is any text without . [ and ]; other keys are written as a JSON
 * string: items[1].id ["a.b"].c matrix[2][3] The empty path is the whole value.
 *
 * 0: `value` is a reader of the value alone, its next token begins it. PN_ENOT_FOUND, PN_EBAD_JSON,
 * PN_ETOO_DEEP, PN_ETOO_LARGE, PN_EBAD_VALUE for a malformed path: pn_json_message(value) says
 * more.
 */
int pn_json_find(const char *text, size_t size, const char *path, size_t path_size,
                 const pn_json_limits *limits, pn_json_reader *value);

/* ---- writing ---- */

typedef struct pn_json_writer {
    pn_buf *out;
    int err; /* the first error; nothing is written after it */
    uint32_t depth, depth_max;
    uint8_t indent;  /* spaces for each level; 0: one line without spaces */
    bool has_before; /* the open array or object has something in it */
    bool is_after_key;
    uint64_t objects[PN_JSON_DEPTH_MAX / 64];
} pn_json_writer;

/* The size is limited by the buffer's own limit_bytes. Several values may be written to one buffer,
 * each with a writer of its own. indent <= PN_JSON_INDENT_MAX, depth_max 0 for the default. */
void pn_json_writer_init(pn_json_writer *writer, pn_buf *out, uint32_t indent, uint32_t depth_max);

/* Each returns 0 or the writer's err: PN_EBAD_VALUE, PN_ETOO_DEEP, PN_ETOO_LARGE (the buffer's
 * limit), PN_ENOMEM. A key within an array, a value without key within an object, or an end without
 * its begin are mistakes of the programmer. After an error what the buffer holds is no JSON. */
int pn_json_write_null(pn_json_writer *writer);
int pn_json_write_bool(pn_json_writer *writer, bool value);
int pn_json_write_int(pn_json_writer *writer, int64_t value);
int pn_json_write_double(pn_json_writer *writer, double value);
int pn_json_write_string(pn_json_writer *writer, const char *text, size_t size);
int pn_json_write_key(pn_json_writer *writer, const char *text, size_t size);
int pn_json_begin_array(pn_json_writer *writer);
int pn_json_end_array(pn_json_writer *writer);
int pn_json_begin_object(pn_json_writer *writer);
int pn_json_end_object(pn_json_writer *writer);

/* The value is complete (asserted): returns the writer's err. */
int pn_json_writer_end(pn_json_writer *writer);

#endif
