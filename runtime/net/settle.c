#include "net/settle.h"

#include <sys/prctl.h>
#include <time.h>

#define TIMER_SLACK_NS 1000UL

uint64_t pn_settle_pause_ns(uint64_t under_way, uint64_t events, uint64_t window_ns,
                            uint64_t *batch) {
    *batch = 0;
    if (events == 0) return 0;
    uint64_t latency_ns = under_way * window_ns / events;
    uint64_t pause_ns = latency_ns / PN_SETTLE_SHARE;
    if (pause_ns > PN_SETTLE_MAX_NS) pause_ns = PN_SETTLE_MAX_NS;
    if (pause_ns < PN_SETTLE_MIN_NS) return 0;
    uint64_t expected = events * pause_ns / window_ns;
    if (expected < PN_SETTLE_BATCH) return 0;
    *batch = 2 * expected;
    return pause_ns;
}

static void roll_window(pn_settle *settle) {
    uint64_t now_ns = settle->io->now_ns, window_ns = now_ns - settle->window_ns;
    if (window_ns < PN_SETTLE_WINDOW_NS) return;
    settle->pause_ns = pn_settle_pause_ns(*settle->under_way, settle->count - settle->window_count,
                                          window_ns, &settle->pause_batch);
    settle->window_ns = now_ns;
    settle->window_count = settle->count;
}

static void on_prepare(uv_prepare_t *prepare) {
    pn_settle *settle = prepare->data;
    uint64_t events = settle->count - settle->turn_count;
    settle->turn_count = settle->count;
    roll_window(settle);
    if (settle->pause_ns == 0 || !settle->io->may_wait || events >= settle->pause_batch) return;
    if (*settle->under_way == 0 || settle->io->clock->is_virtual) return;
    struct timespec pause = {.tv_nsec = (long)settle->pause_ns};
    settle->pauses++;
    nanosleep(&pause, NULL);
}

void pn_settle_open(pn_settle *settle, pn_io *io, const uint32_t *under_way) {
    *settle = (pn_settle){.io = io, .under_way = under_way, .window_ns = io->now_ns};
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    uv_prepare_init(&io->loop, &settle->prepare);
    settle->prepare.data = settle;
    uv_prepare_start(&settle->prepare, on_prepare);
    uv_unref((uv_handle_t *)&settle->prepare);
}

static void on_closed(uv_handle_t *handle) {
    pn_settle *settle = handle->data;
    settle->on_close(settle);
}

void pn_settle_close(pn_settle *settle, void (*on_close)(pn_settle *settle)) {
    settle->on_close = on_close;
    uv_close((uv_handle_t *)&settle->prepare, on_closed);
}
