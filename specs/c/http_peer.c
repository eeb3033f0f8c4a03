#include "specs/c/http_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WORLD_LIMIT_NS (60ULL * 1000000000ULL)

static void open_world(world *w, bool is_virtual) {
    signal(SIGPIPE, SIG_IGN);
    w->heap = pn_heap_create(false);
    pn_pool_init(&w->pool, w->heap);
    pn_ledger_init(&w->ledger, "test", &w->pool);
    pn_clock_init(&w->clock, is_virtual);
    CHECK_EQ(pn_io_init(&w->io, &w->clock, &w->ledger), 0);
}

void world_open(world *w) { open_world(w, false); }

void world_open_still(world *w) {
    open_world(w, true);
    w->io.outstanding++;
}

void world_let_go(world *w) { w->io.outstanding--; }

void world_close(world *w) {
    RUN_UNTIL(w, w->io.outstanding == 0); /* name lookups end by themselves */
    CHECK_EQ(pn_wheel_count(w->io.wheel), 0);
    pn_io_close(&w->io);
    CHECK_EQ(pn_ledger_live(&w->ledger), 0);
    pn_pool_close(&w->pool);
    pn_heap_destroy(w->heap);
}

void world_turn(world *w, uint64_t started_ns) {
    pn_io_turn(&w->io, 10);
    CHECK(pn_clock_real_ns() - started_ns < WORLD_LIMIT_NS);
}

/* ---- peers ---- */

bool peer_send(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

bool peer_say(int fd, const char *text) { return peer_send(fd, text, strlen(text)); }

static void note(peer *p, const char *data, size_t size) {
    pthread_mutex_lock(&p->lock);
    size_t room = PEER_RECEIVED_BYTES - 1 - p->received_size;
    if (size > room) size = room;
    memcpy(p->received + p->received_size, data, size);
    p->received_size += size;
    p->received[p->received_size] = '\0';
    pthread_mutex_unlock(&p->lock);
}

/* One byte at a time: what follows a request must stay in the socket. */
static bool read_byte(peer *p, int fd, char *byte) {
    if (recv(fd, byte, 1, 0) != 1) return false;
    note(p, byte, 1);
    return true;
}

static bool read_line(peer *p, int fd, char *line, size_t room) {
    size_t n = 0;
    char byte;
    while (n + 1 < room && read_byte(p, fd, &byte)) {
        line[n++] = byte;
        line[n] = '\0';
        if (byte == '\n') return true;
    }
    return false;
}

static bool read_bytes(peer *p, int fd, size_t size) {
    char block[4096];
    while (size > 0) {
        ssize_t n = recv(fd, block, size < sizeof block ? size : sizeof block, 0);
        if (n <= 0) return false;
        note(p, block, (size_t)n);
        size -= (size_t)n;
    }
    return true;
}

static bool read_chunks(peer *p, int fd) {
    char line[256];
    size_t size;
    do {
        if (!read_line(p, fd, line, sizeof line)) return false;
        size = strtoul(line, NULL, 16);
        if (!read_bytes(p, fd, size + 2)) return false;
    } while (size > 0);
    return true;
}

bool peer_read_request(peer *p, int fd) {
    char line[8192];
    size_t length = 0;
    bool chunked = false;
    do {
        if (!read_line(p, fd, line, sizeof line)) return false;
        if (strncasecmp(line, "content-length:", 15) == 0) length = strtoul(line + 15, NULL, 10);
        if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) chunked = true;
    } while (strcmp(line, "\r\n") != 0);
    bool ok = chunked ? read_chunks(p, fd) : read_bytes(p, fd, length);
    if (ok) atomic_fetch_add(&p->requests, 1);
    return ok;
}

void peer_wait(peer *p, int ms) {
    for (int i = 0; i < ms && !atomic_load(&p->stopping); i++) usleep(1000);
}

bool peer_wait_end(peer *p, int fd) {
    char block[4096];
    while (!atomic_load(&p->stopping)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 10) == 0) continue;
        ssize_t n = recv(fd, block, sizeof block, 0);
        if (n <= 0) return true;
    }
    return false;
}

static void serve_answers(peer *p, int fd) {
    while (peer_read_request(p, fd)) {
        size_t n = (size_t)atomic_load(&p->requests) - 1;
        const char *answer = p->answers[n < p->answer_count ? n : p->answer_count - 1];
        bool closes = answer[0] == '!';
        if (!peer_say(fd, answer + closes) || closes) return;
    }
}

static void set_current(peer *p, int fd) {
    pthread_mutex_lock(&p->lock);
    p->current = fd;
    pthread_mutex_unlock(&p->lock);
}

static void *run(void *arg) {
    peer *p = arg;
    while (!atomic_load(&p->stopping)) {
        int fd = accept(p->fd, NULL, NULL);
        if (fd < 0) break;
        struct timeval limit = {.tv_sec = 20};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        set_current(p, fd);
        int n = atomic_fetch_add(&p->connections, 1);
        if (p->serve != NULL) {
            p->serve(p, fd, n);
        } else {
            serve_answers(p, fd);
        }
        set_current(p, -1);
        close(fd);
    }
    return NULL;
}

static void start(peer *p) {
    p->received = calloc(1, PEER_RECEIVED_BYTES);
    CHECK(p->received != NULL);
    p->current = -1;
    CHECK_EQ(pthread_mutex_init(&p->lock, NULL), 0);
    CHECK_EQ(listen(p->fd, 128), 0);
    CHECK_EQ(pthread_create(&p->thread, NULL, run, p), 0);
}

void peer_start(peer *p) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(p->fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(getsockname(p->fd, (struct sockaddr *)&address, &size), 0);
    p->port = ntohs(address.sin_port);
    start(p);
}

void peer_start_unix(peer *p) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(p->path, sizeof p->path, P_tmpdir "/pn-peer-%d-%d.sock", (int)getpid(), rand());
    memcpy(address.sun_path, p->path, strlen(p->path) + 1);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(p->fd, (struct sockaddr *)&address, sizeof address), 0);
    start(p);
}

void peer_stop(peer *p) {
    atomic_store(&p->stopping, true);
    shutdown(p->fd, SHUT_RDWR);
    pthread_mutex_lock(&p->lock);
    if (p->current >= 0) shutdown(p->current, SHUT_RDWR);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    close(p->fd);
    if (p->path[0] != '\0') unlink(p->path);
    pthread_mutex_destroy(&p->lock);
    free(p->received);
}

void peer_url(const peer *p, const char *path, char out[128]) {
    snprintf(out, 128, "http://127.0.0.1:%u%s", (unsigned)p->port, path);
}

bool peer_received(peer *p, const char *text) {
    pthread_mutex_lock(&p->lock);
    bool found = strstr(p->received, text) != NULL;
    pthread_mutex_unlock(&p->lock);
    return found;
}

void peer_forget(peer *p) {
    pthread_mutex_lock(&p->lock);
    p->received_size = 0;
    p->received[0] = '\0';
    pthread_mutex_unlock(&p->lock);
}

/* ---- raw clients ---- */

static int limited(int fd) {
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

int raw_connect(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        pn_test_fail(__FILE__, __LINE__, "connect: %s", strerror(errno));
    }
    return limited(fd);
}

int raw_connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return limited(fd);
}

static void begin(raw *r) {
    r->in = calloc(1, RAW_BYTES);
    CHECK(r->in != NULL);
    r->size = 0;
    r->ended = r->broken = false;
}

void raw_open(raw *r, uint16_t port) {
    r->fd = raw_connect(port);
    begin(r);
}

void raw_open_unix(raw *r, const char *path) {
    r->fd = raw_connect_unix(path);
    begin(r);
}

void raw_close(raw *r) {
    close(r->fd);
    free(r->in);
    r->in = NULL;
}

void raw_reset(raw *r) {
    struct linger linger = {1, 0};
    setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    raw_close(r);
}

void raw_send(raw *r, const char *data, size_t size) {
    ssize_t n = send(r->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        r->broken = true;
        return;
    }
    CHECK_EQ(n, size);
}

void raw_say(raw *r, const char *text) { raw_send(r, text, strlen(text)); }

static void take_in(raw *r) {
    while (!r->ended && r->size < RAW_BYTES - 1) {
        ssize_t n = recv(r->fd, r->in + r->size, RAW_BYTES - 1 - r->size, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            r->ended = true;
            r->broken |= n < 0;
            return;
        }
        r->size += (size_t)n;
        r->in[r->size] = '\0';
    }
}

size_t raw_count(raw *r, const char *text) {
    take_in(r);
    size_t count = 0;
    for (const char *at = r->in; (at = strstr(at, text)) != NULL; at += strlen(text)) count++;
    return count;
}

bool raw_has(raw *r, const char *text) { return raw_count(r, text) > 0; }

bool raw_has_ended(raw *r) {
    take_in(r);
    return r->ended;
}

void raw_forget(raw *r) {
    take_in(r);
    r->size = 0;
    r->in[0] = '\0';
}
