#include "base/buf.h"

#include <stdio.h>

#define CAPACITY_MIN_BYTES 64

void pn_buf_init(pn_buf *buf, pn_alloc *alloc) {
    *buf = (pn_buf){.alloc = alloc, .limit_bytes = SIZE_MAX};
}

void pn_buf_close(pn_buf *buf) {
    pn_alloc_put(buf->alloc, buf->data, buf->capacity);
    buf->data = NULL;
    buf->size = buf->capacity = 0;
    buf->failed = false;
}

/* At least `needed` bytes, by doubling; no more than the limit and a NUL can ever use. */
static bool resize(pn_buf *buf, size_t needed) {
    size_t useful = buf->limit_bytes < SIZE_MAX ? buf->limit_bytes + 1 : SIZE_MAX;
    size_t capacity = buf->capacity < CAPACITY_MIN_BYTES ? CAPACITY_MIN_BYTES : buf->capacity;
    while (capacity < needed) capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    if (capacity > useful) capacity = useful > needed ? useful : needed;
    char *data = buf->alloc->resize(buf->alloc, buf->data, buf->capacity, capacity);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool pn_buf__grow(pn_buf *buf, size_t more) {
    size_t needed = buf->size + more;
    if (needed < more || needed > buf->limit_bytes) {
        buf->failed = true;
        return false;
    }
    return needed <= buf->capacity || resize(buf, needed);
}

bool pn_buf_vprintf(pn_buf *buf, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    size_t room = buf->capacity - buf->size;
    int n = vsnprintf(room > 0 ? buf->data + buf->size : NULL, room, format, args);
    bool ok = n >= 0 && pn_buf_reserve(buf, (size_t)n);
    if (ok && (size_t)n >= room) { /* the NUL needs a place too */
        ok = buf->capacity - buf->size > (size_t)n || resize(buf, buf->size + (size_t)n + 1);
        if (ok) vsnprintf(buf->data + buf->size, (size_t)n + 1, format, again);
    }
    va_end(again);
    if (ok) buf->size += (size_t)n;
    if (!ok) buf->failed = true;
    return ok;
}

bool pn_buf_printf(pn_buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    bool ok = pn_buf_vprintf(buf, format, args);
    va_end(args);
    return ok;
}

const char *pn_buf_text(pn_buf *buf) {
    if (buf->size == buf->capacity && !resize(buf, buf->size + 1)) return "";
    buf->data[buf->size] = '\0';
    return buf->data;
}

void pn_buf_consume(pn_buf *buf, size_t size) {
    pn_assert(size <= buf->size);
    buf->size -= size;
    if (buf->size > 0) memmove(buf->data, buf->data + size, buf->size);
}

char *pn_buf_take(pn_buf *buf, size_t *size, size_t *capacity) {
    char *data = buf->data;
    *size = buf->size;
    *capacity = buf->capacity;
    buf->data = NULL;
    buf->size = buf->capacity = 0;
    buf->failed = false;
    return data;
}
