/*
 * output.h - the latest output of a process: a bounded memory of several streams in order of
 * arrival.
 *
 * A ring of bytes, and beside it a ring of runs (which stream, how many bytes). It grows by
 * doubling up to its limit; from then on, or when there is no memory to grow, the oldest bytes make
 * room. So adding never fails. Streams that take turns byte by byte are held to PN_OUTPUT_RUNS_MAX
 * runs.
 *
 * Threads: one. Memory: the ledger's.
 */
#ifndef PN_CORE_OUTPUT_H
#define PN_CORE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/ledger.h"

#define PN_OUTPUT_RUNS_MAX  65536
#define PN_OUTPUT_LIMIT_MAX ((size_t)1 << 29)
#define PN_OUTPUT_ALL       (-1)

typedef struct pn_output {
    pn_ledger *ledger;
    char *bytes;
    uint32_t *runs; /* stream << 30 | bytes */
    size_t capacity, limit, first, size;
    size_t run_capacity, run_first, run_count;
    uint64_t total_bytes; /* added since birth */
} pn_output;

/* limit_bytes from 1 to PN_OUTPUT_LIMIT_MAX. */
void pn_output_init(pn_output *output, pn_ledger *ledger, size_t limit_bytes);
void pn_output_close(pn_output *output); /* idempotent */

/* `stream` is 0 to 3. */
void pn_output_add(pn_output *output, unsigned stream, const char *bytes, size_t size);

/* Bytes kept of a stream, or PN_OUTPUT_ALL; copying writes as many. */
size_t pn_output_size(const pn_output *output, int stream);
void pn_output_copy(const pn_output *output, int stream, char *out);

#endif
