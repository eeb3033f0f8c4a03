/*
 * The timer wheel with a million active timers and random expiries within a second, a minute, an
 * hour: start, cancel in random order, and fire as an event loop does (ask for the next tick,
 * advance to it). Beside it the same work on libuv's heap of timers, as libuv's time over ours.
 */
#include <stdlib.h>
#include <uv.h>

#include "base/clock.h"
#include "base/rand.h"
#include "bench/c/bench.h"
#include "core/wheel.h"

#define TIMERS 1000000u

extern const pn_bench pn_bench_wheel;

struct costs {
    double start, cancel, fire; /* ns for each timer */
};

static double per_timer(uint64_t since_ns) {
    return (double)(pn_clock_real_ns() - since_ns) / TIMERS;
}

static void *get(size_t count, size_t size) {
    void *block = calloc(count, size);
    pn_assert(block != NULL);
    return block;
}

/* A random permutation. */
static uint32_t *shuffled(pn_rand *rand) {
    uint32_t *order = get(TIMERS, sizeof *order);
    for (uint32_t i = 0; i < TIMERS; i++) {
        uint32_t j = (uint32_t)pn_rand_below(rand, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

static uint32_t *random_delays(pn_rand *rand, uint32_t range_ms) {
    uint32_t *delays = get(TIMERS, sizeof *delays);
    for (uint32_t i = 0; i < TIMERS; i++) delays[i] = 1 + (uint32_t)pn_rand_below(rand, range_ms);
    return delays;
}

/* ---- ours ---- */

struct item {
    pn_timer timer;
    uint64_t *fired;
};

static void on_fire(pn_timer *timer) { ++*PN_CONTAINER(timer, struct item, timer)->fired; }

static void start_all(pn_wheel *wheel, struct item *items, const uint32_t *delays) {
    uint64_t now_ms = pn_wheel_now_ms(wheel);
    for (uint32_t i = 0; i < TIMERS; i++) {
        pn_timer_start(wheel, &items[i].timer, now_ms + delays[i]);
    }
}

static void fire_all(pn_wheel *wheel) {
    uint64_t at_ms;
    while (pn_wheel_next(wheel, &at_ms)) pn_wheel_advance(wheel, at_ms);
}

static struct costs measure_wheel(pn_wheel *wheel, const uint32_t *delays, const uint32_t *order) {
    struct item *items = get(TIMERS, sizeof *items);
    struct costs costs;
    uint64_t fired = 0;
    for (uint32_t i = 0; i < TIMERS; i++) {
        pn_timer_init(&items[i].timer, on_fire);
        items[i].fired = &fired;
    }
    uint64_t since_ns = pn_clock_real_ns();
    start_all(wheel, items, delays);
    costs.start = per_timer(since_ns);
    since_ns = pn_clock_real_ns();
    for (uint32_t i = 0; i < TIMERS; i++) pn_timer_stop(wheel, &items[order[i]].timer);
    costs.cancel = per_timer(since_ns);
    start_all(wheel, items, delays);
    since_ns = pn_clock_real_ns();
    fire_all(wheel);
    costs.fire = per_timer(since_ns);
    pn_assert(fired == TIMERS && pn_wheel_count(wheel) == 0);
    free(items);
    return costs;
}

/* ---- libuv's ---- */

static void on_uv_fire(uv_timer_t *timer) { ++*(uint64_t *)timer->data; }

static void start_all_uv(uv_timer_t *timers, const uint32_t *delays) {
    for (uint32_t i = 0; i < TIMERS; i++) uv_timer_start(&timers[i], on_uv_fire, delays[i], 0);
}

/* The loop stands in the past while the timers are started, so that one turn fires them all. */
static struct costs measure_uv(const uint32_t *delays, uint32_t range_ms, const uint32_t *order) {
    uv_timer_t *timers = get(TIMERS, sizeof *timers);
    struct costs costs;
    uint64_t fired = 0;
    uv_loop_t loop;
    pn_assert(uv_loop_init(&loop) == 0);
    loop.time -= range_ms + 1;
    for (uint32_t i = 0; i < TIMERS; i++) {
        uv_timer_init(&loop, &timers[i]);
        timers[i].data = &fired;
    }
    uint64_t since_ns = pn_clock_real_ns();
    start_all_uv(timers, delays);
    costs.start = per_timer(since_ns);
    since_ns = pn_clock_real_ns();
    for (uint32_t i = 0; i < TIMERS; i++) uv_timer_stop(&timers[order[i]]);
    costs.cancel = per_timer(since_ns);
    start_all_uv(timers, delays);
    since_ns = pn_clock_real_ns();
    uv_run(&loop, UV_RUN_NOWAIT);
    costs.fire = per_timer(since_ns);
    pn_assert(fired == TIMERS);
    for (uint32_t i = 0; i < TIMERS; i++) uv_close((uv_handle_t *)&timers[i], NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    pn_assert(uv_loop_close(&loop) == 0);
    free(timers);
    return costs;
}

/* ---- the figures ---- */

struct range {
    uint32_t ms;
    const char *start, *cancel, *fire;
    const char *uv_start, *uv_cancel, *uv_fire;
};

static const struct range ranges[] = {
    {1000, "start, 1 s", "cancel, 1 s", "fire, 1 s", "libuv start, 1 s", "libuv cancel, 1 s",
     "libuv fire, 1 s"},
    {60000, "start, 1 min", "cancel, 1 min", "fire, 1 min", "libuv start, 1 min",
     "libuv cancel, 1 min", "libuv fire, 1 min"},
    {3600000, "start, 1 h", "cancel, 1 h", "fire, 1 h", "libuv start, 1 h", "libuv cancel, 1 h",
     "libuv fire, 1 h"},
};

static void report(pn_bench_sink *sink, const struct range *range, struct costs our,
                   struct costs uv) {
    pn_bench_report(sink, range->start, our.start, "ns/op");
    pn_bench_report(sink, range->cancel, our.cancel, "ns/op");
    pn_bench_report(sink, range->fire, our.fire, "ns/op");
    pn_bench_report(sink, range->uv_start, uv.start / our.start, "ratio");
    pn_bench_report(sink, range->uv_cancel, uv.cancel / our.cancel, "ratio");
    pn_bench_report(sink, range->uv_fire, uv.fire / our.fire, "ratio");
}

static struct costs measure_range(pn_wheel *wheel, pn_rand *rand, uint32_t range_ms, bool is_uv) {
    uint32_t *order = shuffled(rand), *delays = random_delays(rand, range_ms);
    struct costs costs =
        is_uv ? measure_uv(delays, range_ms, order) : measure_wheel(wheel, delays, order);
    free(delays);
    free(order);
    return costs;
}

static void run(pn_bench_sink *sink) {
    pn_heap *heap = pn_heap_create(false);
    pn_assert(heap != NULL);
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "bench", heap);
    pn_wheel *wheel = pn_wheel_create(&ledger, 1);
    pn_assert(wheel != NULL);
    pn_rand rand = {.key = pn_rand_key(1, "bench wheel", 0)};
    struct costs uv = measure_range(NULL, &rand, 1000, true); /* a heap knows no ranges */
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        report(sink, &ranges[i], measure_range(wheel, &rand, ranges[i].ms, false), uv);
    }
    pn_wheel_destroy(wheel);
    pn_heap_destroy(heap);
}

const pn_bench pn_bench_wheel = {
    "wheel",
    "a million timers: start, cancel, fire; libuv's heap beside it",
    run,
};
