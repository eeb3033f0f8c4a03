#include <stddef.h>

#include "bench/c/bench.h"

extern const pn_bench pn_bench_wheel, pn_bench_histogram, pn_bench_metrics, pn_bench_json;

const pn_bench *const pn_benches[] = {
    &pn_bench_wheel, &pn_bench_histogram, &pn_bench_metrics, &pn_bench_json, NULL,
};
