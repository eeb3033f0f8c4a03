/*
 * buf.h - a growing run of bytes, and a printf into it.
 *
 * A failed append leaves the buffer as it was and sets `failed`, so a writer of many small pieces
 * checks once at the end. The bytes belong to the buffer; pn_buf_take hands them over with their
 * capacity, which the new owner needs to give them back to the same door. What is appended must not
 * lie in the buffer itself.
 */
#ifndef PN_BASE_BUF_H
#define PN_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

typedef struct pn_buf {
    pn_alloc *alloc;
    char *data; /* not NUL-terminated, see pn_buf_text */
    size_t size, capacity;
    size_t limit_bytes; /* appends that would pass it fail; SIZE_MAX by default */
    bool failed;
} pn_buf;

void pn_buf_init(pn_buf *buf, pn_alloc *alloc);
void pn_buf_close(pn_buf *buf); /* idempotent */

/* Room for `more` bytes behind the size. False (and `failed`) without memory or past the limit. */
bool pn_buf__grow(pn_buf *buf, size_t more);

static inline bool pn_buf_reserve(pn_buf *buf, size_t more) {
    bool fits = buf->capacity - buf->size >= more && buf->size + more <= buf->limit_bytes;
    return PN_LIKELY(fits) || pn_buf__grow(buf, more);
}

static inline bool pn_buf_add(pn_buf *buf, const void *bytes, size_t size) {
    if (!pn_buf_reserve(buf, size)) return false;
    if (size > 0) memcpy(buf->data + buf->size, bytes, size);
    buf->size += size;
    return true;
}

static inline bool pn_buf_add_byte(pn_buf *buf, char byte) {
    if (!pn_buf_reserve(buf, 1)) return false;
    buf->data[buf->size++] = byte;
    return true;
}

static inline bool pn_buf_add_text(pn_buf *buf, const char *text) {
    return pn_buf_add(buf, text, strlen(text));
}

bool pn_buf_printf(pn_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool pn_buf_vprintf(pn_buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* The bytes with a NUL behind them, which counts neither in size nor for the limit; "" (and
 * `failed`) without memory for it. */
const char *pn_buf_text(pn_buf *buf);

/* Forgets the first `size` bytes. */
void pn_buf_consume(pn_buf *buf, size_t size);

static inline void pn_buf_clear(pn_buf *buf) {
    buf->size = 0;
    buf->failed = false;
}

/* Hands over the block (look at `failed` before); the buffer is empty and usable afterwards. */
char *pn_buf_take(pn_buf *buf, size_t *size, size_t *capacity);

#endif
