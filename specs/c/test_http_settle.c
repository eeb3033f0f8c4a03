/* When the loop settles before it waits: the rule at its edges, and that it does not where it must
 * not. */
#include "net/settle.h"

#include "specs/c/http_peer.h"

/* `rate` a second with `under_way` at a time, over a window of 10 ms. */
static uint64_t pause_for(uint64_t under_way, uint64_t rate, uint64_t *batch) {
    return pn_settle_pause_ns(under_way, rate / 100, 10000000, batch);
}

TEST(settle_rule) {
    uint64_t batch;
    CHECK_EQ(pn_settle_pause_ns(50, 0, 10000000, &batch), 0); /* nothing came */
    uint64_t pause_ns = pause_for(50, 65000, &batch);         /* 769 us each on average */
    CHECK_EQ(pause_ns, 50 * 10000000ULL / 650 / PN_SETTLE_SHARE);
    CHECK_EQ(batch, 2 * (650 * pause_ns / 10000000));
    CHECK_EQ(pause_for(1000, 65000, &batch), PN_SETTLE_MAX_NS);
    CHECK_EQ(pause_for(4, 65000, &batch), 0); /* few users: it would be seen in their latency */
    CHECK_EQ(pause_for(50, 1000, &batch), 0); /* a slow target: there would be nothing to gain */
    CHECK_EQ(pause_for(0, 65000, &batch), 0);
}

/* Never more than the share of the mean latency, whatever the load. */
TEST(settle_is_a_small_share_of_the_latency) {
    for (uint64_t under_way = 1; under_way < 20000; under_way = under_way * 3 / 2 + 1) {
        for (uint64_t rate = 100; rate < 1000000; rate = rate * 3 / 2) {
            uint64_t batch, latency_ns = under_way * 1000000000ULL / rate;
            uint64_t pause_ns = pause_for(under_way, rate, &batch);
            CHECK_INT(pause_ns, <=, PN_SETTLE_MAX_NS);
            CHECK_INT(pause_ns * PN_SETTLE_SHARE, <=, latency_ns + latency_ns / 8 + 100);
            if (pause_ns > 0) CHECK_INT(batch, >=, 2 * PN_SETTLE_BATCH);
        }
    }
}

static int closed;

static void on_closed(pn_settle *settle) {
    (void)settle;
    closed++;
}

/* Two events each 30 us, as a busy client sees them, in turns that may not wait; then in one that
 * may. */
TEST(settle_pauses_only_when_the_loop_may_wait) {
    world w;
    pn_settle settle;
    uint32_t under_way = 50;
    world_open(&w);
    pn_settle_open(&settle, &w.io, &under_way);
    uv_async_t open; /* as sockets do, it keeps the loop turning */
    CHECK_EQ(uv_async_init(&w.io.loop, &open, NULL), 0);
    uint64_t started_ns = pn_io_read_clock(&w.io);
    while (settle.pause_ns ==
           0) { /* until a window has seen the rate: others may have the processor */
        CHECK_INT(w.io.now_ns - started_ns, <, 60000000000ULL);
        uint64_t turn_ns = w.io.now_ns;
        settle.count += 2;
        pn_io_turn(&w.io, 0);
        while (pn_io_read_clock(&w.io) - turn_ns < 30000) {}
    }
    CHECK_EQ(settle.pauses, 0);
    settle.count += 2;
    pn_io_turn(&w.io, 1);
    CHECK_EQ(settle.pauses, 1);
    under_way = 0; /* nobody waits for anything */
    settle.count += 2;
    pn_io_turn(&w.io, 1);
    CHECK_EQ(settle.pauses, 1);
    uv_close((uv_handle_t *)&open, NULL);
    pn_settle_close(&settle, on_closed);
    RUN_UNTIL(&w, closed == 1);
    world_close(&w);
}
