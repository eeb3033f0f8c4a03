/*
 * probe.h - is somebody listening on a port? Tries to connect, again and again with growing pauses,
 * until somebody accepts.
 *
 * Pauses grow from 1 ms, doubling up to PN_PROBE_PAUSE_MAX_MS, in real time also when the clock is
 * virtual: what is waited for is outside. A connection of a socket to itself, which loopback makes
 * when a port of the ephemeral range is free, counts as refused.
 *
 * Threads: the io's. Memory: the io's ledger, given back some time after the stop.
 */
#ifndef PN_CORE_PROBE_H
#define PN_CORE_PROBE_H

#include "core/io.h"

#define PN_PROBE_PAUSE_MAX_MS 100

typedef struct pn_probe pn_probe;

struct pn_probe {
    /* For reading. */
    uint32_t attempts; /* that have an answer */
    bool is_open;      /* the last one was accepted: there will be no other */
    bool met_itself;   /* the last one was */
    /* After each attempt. May stop the probe. */
    void (*on_attempt)(pn_probe *probe, void *context);
    void *context;
    /* Its own. */
    pn_io *io;
    struct sockaddr_storage address;
    uint64_t pause_ms;
    bool is_stopped, has_socket;
    uv_timer_t timer;
    uv_tcp_t socket;
    uv_connect_t request;
};

/* Begins. `host` is a numeric address. -EINVAL if it is none, PN_ENOMEM. */
int pn_probe_start(pn_io *io, const char *host, uint16_t port, pn_probe **probe);
void pn_probe_stop(pn_probe *probe); /* frees it */

#endif
