/* The listener, the server's life, its limits. */
#include "net/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "net/http_headers.h"
#include "net/http_session.h"

/* ---- sockets ---- */

static bool is_unix(const pn_http_server *server) { return server->options.socket_path.at != NULL; }

static void open_socket(pn_http_server *server, pn__socket *at) {
    if (is_unix(server)) {
        uv_pipe_init(&server->io->loop, &at->pipe, 0);
    } else {
        uv_tcp_init(&server->io->loop, &at->tcp);
    }
    at->handle.data = server;
    server->handles_open++;
}

static void on_socket_closed(uv_handle_t *handle) {
    pn_http_server *server = handle->data;
    server->handles_open--;
    pn__server_release(server);
}

/* ---- accepting ---- */

static void on_refused(uv_handle_t *handle) {
    pn_http_server *server = handle->data;
    server->refused_open = false;
    on_socket_closed(handle);
}

/* A connection that is not taken would stop the listener for good: it is taken and dropped. */
static void refuse_one(pn_http_server *server) {
    server->stats.accept_errors++;
    server->accept_waits = server->refused_open;
    if (server->refused_open) return;
    open_socket(server, &server->refused);
    server->refused_open = true;
    uv_accept(&server->listener.stream, &server->refused.stream);
    uv_close(&server->refused.handle, on_refused);
}

/* While it is full the listener keeps what it has: libuv polls it no more before that is taken. */
static void accept_one(pn_http_server *server) {
    server->accept_waits = server->session_count >= server->options.connections_max;
    if (!server->accept_waits && !pn__session_accept(server)) refuse_one(server);
}

static void close_listener(pn_http_server *server);

/* The process or the system lacks something, and will when it is asked again at once. */
static bool is_shortage(int status) {
    return status == UV_EMFILE || status == UV_ENFILE || status == UV_ENOMEM ||
           status == UV_ENOBUFS;
}

static void on_connection(uv_stream_t *listener, int status) {
    pn_http_server *server = listener->data;
    if (status != 0) {
        server->stats.accept_errors++;
        if (is_shortage(status)) close_listener(server); /* libuv would ask for ever */
        return;
    }
    pn_io_read_clock(server->io);
    if (!server->is_closing) accept_one(server);
}

/* ---- the listener and its rests ---- */

static int duplicate(const pn__socket *of) {
    uv_os_fd_t fd;
    int err = uv_fileno(&of->handle, &fd);
    if (err != 0) return err;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return copy >= 0 ? copy : -errno;
}

static int open_listener(pn_http_server *server) {
    int fd = duplicate(&server->bound);
    if (fd < 0) return fd;
    pn__socket *listener = &server->listener;
    open_socket(server, listener);
    server->listener_open = true;
    int err = is_unix(server) ? uv_pipe_open(&listener->pipe, fd) : uv_tcp_open(&listener->tcp, fd);
    if (err == 0) return uv_listen(&listener->stream, server->options.backlog, on_connection);
    close(fd);
    return err;
}

static void on_rested(uv_timer_t *rest);

static void begin_rest(pn_http_server *server) {
    if (!server->is_closing) uv_timer_start(&server->rest, on_rested, PN_HTTP_SERVER_REST_MS, 0);
}

static void on_rested(uv_timer_t *rest) {
    pn_http_server *server = rest->data;
    if (open_listener(server) == 0) return;
    server->stats.accept_errors++;
    if (server->listener_open) {
        close_listener(server);
    } else {
        begin_rest(server);
    }
}

static void on_listener_closed(uv_handle_t *handle) {
    pn_http_server *server = handle->data;
    server->listener_open = false;
    begin_rest(server);
    on_socket_closed(handle);
}

static void close_listener(pn_http_server *server) {
    if (!server->listener_open || uv_is_closing(&server->listener.handle)) return;
    uv_close(&server->listener.handle, on_listener_closed);
}

/* ---- the end ---- */

static void free_server(pn_http_server *server) {
    pn_ledger *ledger = server->io->ledger;
    pn_io_stop_timer(server->io, &server->grace);
    pn_slabs_close(&server->slabs);
    pn_tls_release(server->options.tls);
    pn_buf_close(&server->out);
    pn_mem_free(ledger, server->text, server->text_size);
    void (*on_closed)(void *user) = server->options.on_closed;
    void *user = server->options.user;
    pn_mem_free(ledger, server, sizeof *server);
    if (on_closed != NULL) on_closed(user);
}

void pn__server_release(pn_http_server *server) {
    if (server->is_closing) {
        if (server->session_count == 0 && server->handles_open == 0) free_server(server);
    } else if (server->accept_waits) {
        accept_one(server);
    }
}

static void close_sockets(pn_http_server *server) {
    close_listener(server);
    uv_close(&server->bound.handle, on_socket_closed);
    uv_close((uv_handle_t *)&server->rest, on_socket_closed);
}

static void on_grace(pn_timer *timer) {
    pn_http_server *server = PN_CONTAINER(timer, pn_http_server, grace);
    pn_list *next;
    for (pn_list *at = server->sessions.next; at != &server->sessions; at = next) {
        next = at->next; /* one that is cut stays until its stream has closed */
        pn__session_cut(PN_CONTAINER(at, pn__session, link));
    }
}

void pn_http_server_close(pn_http_server *server, uint64_t grace_ns) {
    pn_io *io = server->io;
    pn_io_read_clock(io);
    uint64_t at_ms = (io->now_ns + grace_ns) / PN_IO_TICK_NS + 1;
    if (!pn_timer_active(&server->grace) || server->grace.at_ms > at_ms) {
        pn_timer_start(io->wheel, &server->grace, at_ms);
    }
    if (server->is_closing) return;
    server->is_closing = true;
    close_sockets(server);
    pn_list *next;
    for (pn_list *at = server->sessions.next; at != &server->sessions; at = next) {
        next = at->next;
        pn__session_close_idle(PN_CONTAINER(at, pn__session, link));
    }
}

/* ---- the beginning ---- */

static void set_defaults(pn_http_server *server) {
    pn_http_server_options *o = &server->options;
    if (o->backlog == 0) o->backlog = PN_HTTP_SERVER_BACKLOG;
    if (o->head_bytes_max == 0) o->head_bytes_max = PN_HTTP_HEAD_BYTES_MAX;
    if (o->header_count_max == 0) o->header_count_max = PN_HTTP_HEADER_COUNT_MAX;
    if (o->body_bytes_max == 0) o->body_bytes_max = PN_HTTP_SERVER_BODY_BYTES_MAX;
    if (o->head_timeout_ns == 0) o->head_timeout_ns = PN_HTTP_SERVER_HEAD_TIMEOUT_NS;
    if (o->idle_timeout_ns == 0) o->idle_timeout_ns = PN_HTTP_SERVER_IDLE_TIMEOUT_NS;
    if (o->progress_timeout_ns == 0) o->progress_timeout_ns = PN_HTTP_SERVER_PROGRESS_TIMEOUT_NS;
    if (o->connections_max == 0) o->connections_max = PN_HTTP_SERVER_CONNECTIONS_MAX;
    server->limits = (pn_http_limits){o->head_bytes_max, o->header_count_max, UINT64_MAX};
}

static int set_name(pn_http_server *server) {
    pn_text name = server->options.server_name;
    if (name.at == NULL) return 0;
    if (name.size + 12 > sizeof server->name) return PN_EBAD_CONFIG;
    if (!pn_http_headers_valid(PN_TEXT("Server"), name)) return PN_EBAD_CONFIG;
    server->name_size = (uint32_t)snprintf(server->name, sizeof server->name, "Server: %.*s\r\n",
                                           (int)name.size, name.at);
    return 0;
}

static int bind_tcp(pn_http_server *server) {
    pn_address address, bound;
    int size = sizeof bound;
    pn_text host = server->options.host;
    if (host.at == NULL) host = PN_TEXT("127.0.0.1");
    if (!pn_address_parse(&address, host, server->options.port)) return PN_EBAD_CONFIG;
    if (pn_address_port(&address) != server->options.port)
        return PN_EBAD_CONFIG; /* one in the host */
    int err = uv_tcp_bind(&server->bound.tcp, &address.any, 0);
    if (err == 0) err = uv_tcp_getsockname(&server->bound.tcp, &bound.any, &size);
    if (err == 0) server->port = pn_address_port(&bound);
    return err;
}

static int bind_unix(pn_http_server *server) {
    pn_text path = server->options.socket_path;
    if (path.size == 0 || memchr(path.at, '\0', path.size) != NULL) return PN_EBAD_CONFIG;
    if (path.size >= sizeof((struct sockaddr_un *)NULL)->sun_path) return -ENAMETOOLONG;
    server->text_size = path.size + 1;
    server->text = pn_mem_try_zeroed(server->io->ledger, server->text_size);
    if (server->text == NULL) return PN_ENOMEM;
    memcpy(server->text, path.at, path.size);
    return uv_pipe_bind(&server->bound.pipe, server->text);
}

static int begin_listening(pn_http_server *server) {
    open_socket(server, &server->bound);
    uv_timer_init(&server->io->loop, &server->rest);
    server->rest.data = server;
    server->handles_open++;
    int err = is_unix(server) ? bind_unix(server) : bind_tcp(server);
    if (err == 0) err = open_listener(server);
    return pn_io_err(err);
}

int pn_http_server_create(pn_io *io, const pn_http_server_options *options,
                          pn_http_server **result) {
    pn_http_server *server = pn_mem_try_zeroed(io->ledger, sizeof *server);
    if (server == NULL) return PN_ENOMEM;
    server->io = io;
    server->options = *options;
    if (options->tls != NULL) pn_tls_grab(options->tls);
    pn_slabs_init(&server->slabs, io->ledger);
    pn_list_init(&server->sessions);
    pn_timer_init(&server->grace, on_grace);
    pn_buf_init(&server->out, &io->ledger->door);
    pn_io_read_clock(io);
    set_defaults(server);
    int err = set_name(server);
    if (err == 0) err = begin_listening(server);
    if (err == 0) {
        *result = server;
        return 0;
    }
    server->options.on_closed = NULL;
    server->is_closing = true;
    if (server->handles_open > 0) {
        close_sockets(server); /* its memory goes when libuv has let go of the handles */
    } else {
        free_server(server);
    }
    return err;
}

uint16_t pn_http_server_port(const pn_http_server *server) { return server->port; }

void pn_http_server_stats_get(const pn_http_server *server, pn_http_server_stats *stats) {
    *stats = server->stats;
    stats->connections = server->session_count;
    stats->slabs = server->slabs.slab_count;
    stats->connection_bytes = pn_pool_block_bytes(sizeof(pn__session));
    for (pn_list *at = server->sessions.next; at != &server->sessions; at = at->next) {
        stats->exchanges += PN_CONTAINER(at, pn__session, link)->exchange.is_live;
    }
}
