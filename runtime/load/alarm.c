#include "load/alarm.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

static void set_fd(const pn_alarm *alarm, uint64_t at_ns) {
    struct itimerspec when;
    memset(&when, 0, sizeof when); /* all zero: off */
    if (at_ns != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(at_ns / PN_NS_PER_S);
        when.it_value.tv_nsec = (long)(at_ns % PN_NS_PER_S);
    }
    pn_assert(timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    pn_alarm *alarm = PN_CONTAINER(poll, pn_alarm, poll);
    (void)status, (void)events;
    set_fd(alarm, UINT64_MAX); /* takes its readiness back */
    alarm->on_ring(alarm);
}

static void on_timer(pn_timer *timer) {
    pn_alarm *alarm = PN_CONTAINER(timer, pn_alarm, timer);
    alarm->on_ring(alarm);
}

int pn_alarm_init(pn_alarm *alarm, pn_io *io, pn_alarm_fn on_ring) {
    memset(alarm, 0, sizeof *alarm);
    alarm->io = io;
    alarm->on_ring = on_ring;
    alarm->fd = -1;
    pn_timer_init(&alarm->timer, on_timer);
    if (io->clock->is_virtual) return 0;
    alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (alarm->fd < 0) return -errno;
    int err = uv_poll_init(&io->loop, &alarm->poll, alarm->fd);
    if (err == 0) err = uv_poll_start(&alarm->poll, UV_READABLE, on_readable);
    pn_assert(err == 0); /* a timerfd can be polled */
    return 0;
}

void pn_alarm_set(pn_alarm *alarm, uint64_t at_ns) {
    uint64_t now_ns = pn_clock_now_ns(alarm->io->clock);
    if (alarm->fd < 0) {
        pn_io_stop_timer(alarm->io, &alarm->timer);
        if (at_ns == UINT64_MAX) return;
        pn_io_start_timer(alarm->io, &alarm->timer, at_ns > now_ns ? at_ns - now_ns : 0);
        return;
    }
    uint64_t nearest_ns = now_ns + PN_ALARM_QUANTUM_NS;
    set_fd(alarm, at_ns < nearest_ns ? nearest_ns : at_ns);
}

static void on_poll_closed(uv_handle_t *handle) {
    pn_alarm *alarm = PN_CONTAINER(handle, pn_alarm, poll);
    close(alarm->fd);
    alarm->fd = -1;
    alarm->on_closed(alarm);
}

void pn_alarm_close(pn_alarm *alarm, pn_alarm_fn on_closed) {
    alarm->on_closed = on_closed;
    pn_io_stop_timer(alarm->io, &alarm->timer);
    if (alarm->fd < 0) {
        on_closed(alarm);
    } else {
        uv_close((uv_handle_t *)&alarm->poll, on_poll_closed);
    }
}
