/*
 * The histogram under latencies (log-normal around 8 ms, 0.1 ms to 1 s): recording one, merging a
 * shard of them, asking for a percentile; and recording values from 40 powers of two, whose
 * counters do not fit the first cache.
 */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rand.h"
#include "bench/c/bench.h"
#include "core/histogram.h"

#define SAMPLES  (1u << 20)
#define ROUNDS   4
#define READINGS 2000

extern const pn_bench pn_bench_histogram;

static double latency_ms(pn_rand *rand) {
    double u = 1 - pn_rand_unit(rand), angle = 6.283185307179586 * pn_rand_unit(rand);
    return exp(2.1 + 0.8 * sqrt(-2 * log(u)) * cos(angle));
}

static double any_power(pn_rand *rand) { return exp2(40 * pn_rand_unit(rand) - 20); }

static double *samples_of(double (*draw)(pn_rand *)) {
    pn_rand rand = {.key = pn_rand_key(1, "bench histogram", 0)};
    double *samples = malloc(SAMPLES * sizeof *samples);
    pn_assert(samples != NULL);
    for (unsigned i = 0; i < SAMPLES; i++) samples[i] = draw(&rand);
    return samples;
}

static double record_ns(pn_histogram *h, const double *samples) {
    for (unsigned i = 0; i < SAMPLES; i++) pn_histogram_record(h, samples[i]); /* gets the pages */
    uint64_t since_ns = pn_clock_real_ns();
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < SAMPLES; i++) pn_histogram_record(h, samples[i]);
    }
    return (double)(pn_clock_real_ns() - since_ns) / (ROUNDS * (double)SAMPLES);
}

static double merge_ns(pn_histogram *into, const pn_histogram *from) {
    pn_assert(pn_histogram_merge(into, from) == 0);
    uint64_t since_ns = pn_clock_real_ns();
    for (int i = 0; i < READINGS; i++) pn_assert(pn_histogram_merge(into, from) == 0);
    return (double)(pn_clock_real_ns() - since_ns) / READINGS;
}

static double percentile_ns(const pn_histogram *h) {
    double last = 0;
    uint64_t since_ns = pn_clock_real_ns();
    for (int i = 0; i < READINGS; i++) {
        double value = pn_histogram_percentile(h, 100.0 * i / READINGS);
        pn_assert(value >= last);
        last = value;
    }
    return (double)(pn_clock_real_ns() - since_ns) / READINGS;
}

static void run(pn_bench_sink *sink) {
    pn_heap *heap = pn_heap_create(false);
    pn_assert(heap != NULL);
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "bench", heap);
    pn_histogram latencies, wide, merged;
    pn_histogram_init(&latencies, &ledger);
    pn_histogram_init(&wide, &ledger);
    pn_histogram_init(&merged, &ledger);
    double *samples = samples_of(latency_ms), *wide_samples = samples_of(any_power);
    pn_bench_report(sink, "record a latency", record_ns(&latencies, samples), "ns/op");
    pn_bench_report(sink, "record, 40 powers of two", record_ns(&wide, wide_samples), "ns/op");
    pn_bench_report(sink, "merge latencies", merge_ns(&merged, &latencies), "ns/op");
    pn_bench_report(sink, "percentile", percentile_ns(&latencies), "ns/op");
    pn_histogram_close(&merged);
    pn_bench_report(sink, "memory, 40 powers of two and latencies", (double)pn_ledger_live(&ledger),
                    "bytes");
    pn_histogram_close(&latencies);
    pn_histogram_close(&wide);
    free(samples);
    free(wide_samples);
    pn_heap_destroy(heap);
}

const pn_bench pn_bench_histogram = {
    "histogram",
    "record, merge and percentile of the latency histogram",
    run,
};
