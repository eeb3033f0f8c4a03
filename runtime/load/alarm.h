/*
 * alarm.h - one moment to be woken at, to the microsecond where the system can.
 *
 * The wheel and libuv's timers tick in milliseconds, which is too coarse for the starts of an open
 * executor: half a millisecond of our own would stand in every corrected latency. In real time an
 * alarm is therefore a timerfd in the worker's loop; in virtual time it is a timer of the wheel.
 *
 * Ownership: the caller's memory until on_closed. Threads: the io's.
 */
#ifndef PN_LOAD_ALARM_H
#define PN_LOAD_ALARM_H

#include "core/io.h"

/* Moments nearer than this to now are taken as now + this: 20,000 starts a second are each woken
 * for, more than that in bunches. */
#define PN_ALARM_QUANTUM_NS 50000ULL

typedef struct pn_alarm pn_alarm;
typedef void (*pn_alarm_fn)(pn_alarm *alarm);

struct pn_alarm {
    pn_io *io;
    pn_alarm_fn on_ring, on_closed;
    pn_timer timer; /* virtual time */
    uv_poll_t poll; /* real time */
    int fd;         /* -1: virtual time */
};

/* A negative code if the system has no timerfd left; then there is nothing to close. */
int pn_alarm_init(pn_alarm *alarm, pn_io *io, pn_alarm_fn on_ring);

/* Rings once, not before at_ns of the io's clock; UINT64_MAX: not at all. Replaces the earlier
 * moment. */
void pn_alarm_set(pn_alarm *alarm, uint64_t at_ns);

/* on_closed comes at once or with the loop's next turn. */
void pn_alarm_close(pn_alarm *alarm, pn_alarm_fn on_closed);

#endif
