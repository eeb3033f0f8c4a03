/*
 * json_lines.h - every sample as a line of JSON, in k6's layout: {"type":"Metric"...} once for each
 * metric, before its first {"type":"Point"...}.
 *
 * Workers format their samples into buffers of their own and hand full ones to a thread that writes
 * them, so a slow disk does not slow the load. What the disk does not take in time
 * (PN_JSON_LINES_BACKLOG_BYTES wait already) is dropped in whole lines and counted; after a failed
 * write nothing more is written.
 *
 * Threads: open, error and close are the controller's; attach and detach run on the worker whose
 * shard it is. Nothing may be attached any more when it is closed.
 */
#ifndef PN_LOAD_JSON_LINES_H
#define PN_LOAD_JSON_LINES_H

#include "core/worker.h"

#define PN_JSON_LINES_BUFFER_BYTES  ((size_t)64 << 10)
#define PN_JSON_LINES_BACKLOG_BYTES ((size_t)64 << 20)

typedef struct pn_json_lines pn_json_lines;

/* Creates or empties the file. A negative errno code, PN_ENOMEM. `thresholds` (may be NULL) appends
 * the quoted, comma-separated expressions of a metric. */
typedef void (*pn_json_lines_thresholds_fn)(void *context, const pn_metric *metric, pn_buf *out);

int pn_json_lines_open(pn_json_lines **lines, pn_runtime *runtime, const char *path,
                       pn_json_lines_thresholds_fn thresholds, void *context);

/* On worker's thread. PN_ENOMEM. */
int pn_json_lines_attach(pn_json_lines *lines, pn_worker *worker);
void pn_json_lines_detach(pn_json_lines *lines, pn_worker *worker);

/* Writes what is left and ends. 0; a negative errno code of a write that failed. *lost: lines that
 * were not written because the disk was too slow. */
int pn_json_lines_close(pn_json_lines *lines, uint64_t *lost);

#endif
