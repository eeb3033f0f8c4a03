#include "core/output.h"

#include <string.h>

#define CAPACITY_MIN_BYTES 4096
#define RUNS_MIN           16
#define STREAM_SHIFT       30
#define RUN_MAX_BYTES      ((1u << STREAM_SHIFT) - 1)

void pn_output_init(pn_output *o, pn_ledger *ledger, size_t limit_bytes) {
    pn_assert(limit_bytes > 0 && limit_bytes <= PN_OUTPUT_LIMIT_MAX);
    *o = (pn_output){.ledger = ledger, .limit = limit_bytes};
}

void pn_output_close(pn_output *o) {
    pn_mem_free(o->ledger, o->bytes, o->capacity);
    pn_mem_free(o->ledger, o->runs, o->run_capacity * sizeof *o->runs);
    pn_output_init(o, o->ledger, o->limit);
}

/* ---- the rings ---- */

static uint32_t *run_at(const pn_output *o, size_t i) {
    return &o->runs[(o->run_first + i) % o->run_capacity];
}

static void copy_out(const pn_output *o, size_t from, size_t size, char *out) {
    size_t at = (o->first + from) % o->capacity;
    size_t head = size < o->capacity - at ? size : o->capacity - at;
    memcpy(out, o->bytes + at, head);
    memcpy(out + head, o->bytes, size - head);
}

static void copy_in(pn_output *o, const char *bytes, size_t size) {
    size_t at = (o->first + o->size) % o->capacity;
    size_t head = size < o->capacity - at ? size : o->capacity - at;
    memcpy(o->bytes + at, bytes, head);
    memcpy(o->bytes, bytes + head, size - head);
    o->size += size;
}

/* Room for `wanted` bytes, or for as many as the limit and the memory allow. */
static void grow(pn_output *o, size_t wanted) {
    size_t capacity = o->capacity < CAPACITY_MIN_BYTES ? CAPACITY_MIN_BYTES : o->capacity;
    while (capacity < wanted && capacity < o->limit) capacity *= 2;
    if (capacity > o->limit) capacity = o->limit;
    if (capacity <= o->capacity) return;
    char *bytes = pn_mem_try(o->ledger, capacity);
    if (bytes == NULL) return;
    if (o->size > 0) copy_out(o, 0, o->size, bytes);
    pn_mem_free(o->ledger, o->bytes, o->capacity);
    o->bytes = bytes;
    o->capacity = capacity;
    o->first = 0;
}

static void grow_runs(pn_output *o) {
    size_t capacity = o->run_capacity == 0 ? RUNS_MIN : o->run_capacity * 2;
    if (capacity > PN_OUTPUT_RUNS_MAX) return;
    uint32_t *runs = pn_mem_try(o->ledger, capacity * sizeof *runs);
    if (runs == NULL) return;
    for (size_t i = 0; i < o->run_count; i++) runs[i] = *run_at(o, i);
    pn_mem_free(o->ledger, o->runs, o->run_capacity * sizeof *o->runs);
    o->runs = runs;
    o->run_capacity = capacity;
    o->run_first = 0;
}

static void drop_oldest(pn_output *o, size_t size) {
    o->first = (o->first + size) % o->capacity;
    o->size -= size;
    while (size > 0) {
        uint32_t *run = run_at(o, 0);
        uint32_t length = *run & RUN_MAX_BYTES;
        if (length > size) {
            *run -= (uint32_t)size;
            return;
        }
        size -= length;
        o->run_first = (o->run_first + 1) % o->run_capacity;
        o->run_count--;
    }
}

/* Counts the bytes to the last run if it is of the same stream, else to a new one. */
static bool add_run(pn_output *o, unsigned stream, size_t size) {
    uint32_t *last = o->run_count > 0 ? run_at(o, o->run_count - 1) : NULL;
    if (last != NULL && *last >> STREAM_SHIFT == stream) {
        *last += (uint32_t)size; /* within the limit, so within a run */
        return true;
    }
    if (o->run_count == o->run_capacity) grow_runs(o);
    if (o->run_count == o->run_capacity) {
        if (o->run_capacity == 0) return false;
        drop_oldest(o, *run_at(o, 0) & RUN_MAX_BYTES);
    }
    o->run_count++;
    *run_at(o, o->run_count - 1) = (uint32_t)stream << STREAM_SHIFT | (uint32_t)size;
    return true;
}

void pn_output_add(pn_output *o, unsigned stream, const char *bytes, size_t size) {
    pn_assert(stream < 4);
    o->total_bytes += size;
    if (o->size + size > o->capacity) grow(o, o->size + size);
    if (size > o->capacity) { /* all that is older goes, and some of this */
        bytes += size - o->capacity;
        size = o->capacity;
    }
    if (size == 0) return;
    if (o->size + size > o->capacity) drop_oldest(o, o->size + size - o->capacity);
    if (add_run(o, stream, size)) copy_in(o, bytes, size);
}

/* ---- reading ---- */

size_t pn_output_size(const pn_output *o, int stream) {
    if (stream == PN_OUTPUT_ALL) return o->size;
    size_t size = 0;
    for (size_t i = 0; i < o->run_count; i++) {
        uint32_t run = *run_at(o, i);
        if (run >> STREAM_SHIFT == (uint32_t)stream) size += run & RUN_MAX_BYTES;
    }
    return size;
}

void pn_output_copy(const pn_output *o, int stream, char *out) {
    size_t from = 0;
    for (size_t i = 0; i < o->run_count; i++) {
        uint32_t run = *run_at(o, i);
        size_t length = run & RUN_MAX_BYTES;
        if (stream == PN_OUTPUT_ALL || run >> STREAM_SHIFT == (uint32_t)stream) {
            copy_out(o, from, length, out);
            out += length;
        }
        from += length;
    }
}
