#include "core/io.h"

#include "base/err.h"

/* Ends the wait, also the one that has not begun: uv_run looks at its timers first, and when the
 * thread was held up until the alarm was due, it would then poll for ever. */
static void on_alarm(uv_timer_t *alarm) { uv_stop(alarm->loop); }

int pn_io_init(pn_io *io, pn_clock *clock, pn_ledger *ledger) {
    *io = (pn_io){.clock = clock, .ledger = ledger};
    pn_io_read_clock(io);
    io->wheel = pn_wheel_create(ledger, io->now_ns / PN_IO_TICK_NS);
    if (io->wheel == NULL) return PN_ENOMEM;
    int err = uv_loop_init(&io->loop);
    if (err != 0) {
        pn_wheel_destroy(io->wheel);
        return err;
    }
    uv_timer_init(&io->loop, &io->alarm);
    uv_unref((uv_handle_t *)&io->alarm);
    return 0;
}

void pn_io_close(pn_io *io) {
    uv_close((uv_handle_t *)&io->alarm, NULL);
    uv_run(&io->loop, UV_RUN_DEFAULT);
    int err = uv_loop_close(&io->loop);
    pn_assert(err == 0);
    pn_wheel_destroy(io->wheel);
}

static size_t fire(pn_io *io) { return pn_wheel_advance(io->wheel, io->now_ns / PN_IO_TICK_NS); }

/* Milliseconds until the next timer, at most wait_ms. */
static uint64_t clamp_to_timer(pn_io *io, uint64_t wait_ms) {
    uint64_t at_ms;
    if (wait_ms == 0 || !pn_wheel_next(io->wheel, &at_ms)) return wait_ms;
    uint64_t at_ns = at_ms * PN_IO_TICK_NS;
    if (at_ns <= io->now_ns) return 0;
    uint64_t left_ms = (at_ns - io->now_ns + PN_IO_TICK_NS - 1) / PN_IO_TICK_NS;
    return left_ms < wait_ms ? left_ms : wait_ms;
}

static void poll_for(pn_io *io, uint64_t wait_ms) {
    io->may_wait = wait_ms != 0;
    if (wait_ms == 0) {
        uv_run(&io->loop, UV_RUN_NOWAIT);
        return;
    }
    if (wait_ms != UINT64_MAX) {
        uv_update_time(&io->loop);
        uv_timer_start(&io->alarm, on_alarm, wait_ms, 0);
        uv_ref((uv_handle_t *)&io->alarm); /* the wait must happen even when nothing else is open */
    }
    uv_run(&io->loop, UV_RUN_ONCE);
    if (wait_ms != UINT64_MAX) {
        uv_timer_stop(&io->alarm);
        uv_unref((uv_handle_t *)&io->alarm);
    }
}

/* In virtual time: nothing real is under way, so the next timer's time is now. */
static bool jump(pn_io *io, uint64_t wait_ms) {
    uint64_t at_ms;
    if (!io->clock->is_virtual || io->outstanding > 0 || wait_ms == 0) return false;
    if (!pn_wheel_next(io->wheel, &at_ms)) return false;
    pn_clock_advance(io->clock, at_ms * PN_IO_TICK_NS);
    return true;
}

size_t pn_io_turn(pn_io *io, uint64_t wait_ms) {
    pn_io_read_clock(io);
    if (jump(io, wait_ms)) {
        wait_ms = 0;
    } else if (!io->clock->is_virtual) {
        wait_ms = clamp_to_timer(io, wait_ms);
    }
    poll_for(io, wait_ms);
    pn_io_read_clock(io);
    return fire(io);
}

int pn_io_err(int uv_code) {
    if (uv_code == UV_EOF) return PN_EEOF;
    if (uv_code <= UV_EAI_ADDRFAMILY && uv_code >= UV_EAI_SOCKTYPE) return PN_EDNS;
    if (uv_code == UV_EAI_PROTOCOL || uv_code == UV_EAI_BADHINTS) return PN_EDNS;
    if (uv_code == UV_ENOMEM) return PN_ENOMEM;
    return uv_code;
}
