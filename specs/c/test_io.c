/* The turn of a worker's loop: how long it waits. */
#include "core/io.h"

#include <signal.h>
#include <time.h>

#include "test.h"

/* ---- a wait is over when its time is, however the thread was held up ---- */

#define HELD_UP_NS       2000000 /* longer than the waits */
#define HOLD_UP_AFTER_NS 5000
#define TURNS            600
#define SWEEP_NS         8000 /* from long before the signal to behind it */
#define RESCUE_MS        2000

/* NOLINTBEGIN(bugprone-signal-handler): reading a clock is safe in one */
static void spin(uint64_t ns) {
    uint64_t until_ns = pn_clock_real_ns() + ns;
    while (pn_clock_real_ns() < until_ns) {}
}
/* NOLINTEND(bugprone-signal-handler) */

static void hold_up(int signal) {
    (void)signal;
    spin(HELD_UP_NS);
}

static void count(uv_timer_t *timer) { ++*(int *)timer->data; }

static void arm(timer_t timer, long delay_ns) {
    struct itimerspec at = {.it_value = {.tv_nsec = delay_ns}};
    CHECK(timer_settime(timer, 0, &at, NULL) == 0);
}

/* Nothing happens on the loop, so only the wait's own end can end it, or else the rescue. The turn
 * begins ever later before the signal, so that this comes also between the moment when the wait is
 * reckoned and the one when the loop looks at its timers. */
TEST(io_wait_ends_though_the_thread_was_held_up) {
    pn_heap *heap = pn_heap_create(false);
    pn_pool pool;
    pn_ledger ledger;
    pn_clock clock;
    pn_io io;
    int rescues = 0;
    uv_timer_t rescue;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    pn_pool_init(&pool, heap);
    pn_ledger_init(&ledger, "test", &pool);
    pn_clock_init(&clock, false);
    CHECK(pn_io_init(&io, &clock, &ledger) == 0);
    signal(SIGUSR1, hold_up);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    rescue.data = &rescues;
    uv_timer_init(&io.loop, &rescue);
    for (uint64_t i = 0; i < TURNS && rescues == 0; i++) {
        uv_update_time(&io.loop);
        uv_timer_start(&rescue, count, RESCUE_MS, 0);
        arm(timer, HOLD_UP_AFTER_NS);
        spin(i * SWEEP_NS / TURNS);
        pn_io_turn(&io, 1);
    }
    CHECK(rescues == 0);
    timer_delete(timer);
    signal(SIGUSR1, SIG_DFL);
    uv_close((uv_handle_t *)&rescue, NULL);
    pn_io_close(&io);
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    pn_pool_close(&pool);
    pn_heap_destroy(heap);
}
