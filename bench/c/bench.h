/*
 * bench.h - benchmarks of the C engines, linked into `perilune bench`.
 *
 * A benchmark measures one thing and reports one or more figures. The driver runs it several times
 * and prints the median of each figure, so a benchmark does its own work once and reports once.
 * Real time comes from pn_clock_real_ns.
 */
#ifndef PN_BENCH_BENCH_H
#define PN_BENCH_BENCH_H

#include <stdint.h>

typedef struct pn_bench_sink pn_bench_sink;

/* `unit` is "ns", "ns/op", "/s", "bytes", "ms" or "ratio"; the driver knows whether more is
 * better. */
void pn_bench_report(pn_bench_sink *sink, const char *name, double value, const char *unit);

typedef struct pn_bench {
    const char *name;  /* "wheel": what `perilune bench wheel` runs */
    const char *about; /* one line */
    void (*run)(pn_bench_sink *sink);
} pn_bench;

/* Ended by NULL; bench/c/list.c. */
extern const pn_bench *const pn_benches[];

#endif
