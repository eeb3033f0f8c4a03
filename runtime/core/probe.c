#include "core/probe.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void on_timer(uv_timer_t *timer);

static void on_timer_closed(uv_handle_t *handle) {
    pn_probe *p = handle->data;
    pn_mem_free(p->io->ledger, p, sizeof *p);
}

static void pause_then_try(pn_probe *p) {
    uv_update_time(&p->io->loop);
    uv_timer_start(&p->timer, on_timer, p->pause_ms, 0);
    p->pause_ms = p->pause_ms * 2 < PN_PROBE_PAUSE_MAX_MS ? p->pause_ms * 2 : PN_PROBE_PAUSE_MAX_MS;
}

/* The socket is closed last of all that an attempt opens. */
static void on_socket_closed(uv_handle_t *handle) {
    pn_probe *p = handle->data;
    p->has_socket = false;
    if (p->is_stopped) {
        uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    } else if (!p->is_open) {
        pause_then_try(p);
    }
}

static bool is_to_itself(const uv_tcp_t *socket) {
    struct sockaddr_storage here, there;
    int here_size = sizeof here, there_size = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return uv_tcp_getsockname(socket, (struct sockaddr *)&here, &here_size) == 0 &&
           uv_tcp_getpeername(socket, (struct sockaddr *)&there, &there_size) == 0 &&
           here_size == there_size && memcmp(&here, &there, (size_t)here_size) == 0;
}

static void finish(pn_probe *p, bool is_open) {
    p->attempts++;
    p->is_open = is_open;
    if (p->has_socket) {
        uv_close((uv_handle_t *)&p->socket, on_socket_closed);
    } else if (!is_open) {
        pause_then_try(p);
    }
    if (p->on_attempt != NULL && !p->is_stopped) p->on_attempt(p, p->context);
}

static void on_connected(uv_connect_t *request, int status) {
    pn_probe *p = request->data;
    if (p->is_stopped) return; /* its socket is being closed already */
    p->met_itself = status == 0 && is_to_itself(&p->socket);
    finish(p, status == 0 && !p->met_itself);
}

static void on_timer(uv_timer_t *timer) {
    pn_probe *p = timer->data;
    int err = uv_tcp_init(&p->io->loop, &p->socket);
    if (err == 0) {
        p->has_socket = true;
        p->socket.data = p;
        p->request.data = p;
        err = uv_tcp_connect(&p->request, &p->socket, (struct sockaddr *)&p->address, on_connected);
    }
    if (err != 0) finish(p, false);
}

static int parse(pn_probe *p, const char *host, uint16_t port) {
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)&p->address) == 0) return 0;
    return uv_ip6_addr(host, port, (struct sockaddr_in6 *)&p->address);
}

int pn_probe_start(pn_io *io, const char *host, uint16_t port, pn_probe **probe) {
    pn_probe *p = pn_mem_try_zeroed(io->ledger, sizeof *p);
    if (p == NULL) return PN_ENOMEM;
    p->io = io;
    p->pause_ms = 1;
    if (parse(p, host, port) != 0) {
        pn_mem_free(io->ledger, p, sizeof *p);
        return -EINVAL;
    }
    uv_timer_init(&io->loop, &p->timer);
    p->timer.data = p;
    uv_timer_start(&p->timer, on_timer, 0, 0);
    *probe = p;
    return 0;
}

void pn_probe_stop(pn_probe *p) {
    if (p->is_stopped) return;
    p->is_stopped = true;
    if (!p->has_socket) {
        uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    } else if (!uv_is_closing((uv_handle_t *)&p->socket)) {
        uv_close((uv_handle_t *)&p->socket, on_socket_closed);
    }
}
