#include "core/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "test.h"

typedef struct fixture {
    pn_heap *heap;
    pn_pool pool;
    pn_ledger ledger;
    pn_clock clock;
    pn_io io;
    pn_probe *probe;
    uint32_t calls;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.heap = pn_heap_create(false)};
    pn_pool_init(&f->pool, f->heap);
    pn_ledger_init(&f->ledger, "test", &f->pool);
    pn_clock_init(&f->clock, true); /* its time does not move, and need not */
    CHECK_EQ(pn_io_init(&f->io, &f->clock, &f->ledger), 0);
}

static void end(fixture *f) {
    if (f->probe != NULL) pn_probe_stop(f->probe);
    pn_io_close(&f->io);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_pool_close(&f->pool);
    pn_heap_destroy(f->heap);
}

static void count(pn_probe *probe, void *context) {
    fixture *f = context;
    f->calls++;
    CHECK_EQ(f->calls, probe->attempts);
}

/* A socket bound to a free port; returns the port. */
static uint16_t bind_free(int *fd) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(*fd, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(getsockname(*fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static void start(fixture *f, uint16_t port) {
    CHECK_EQ(pn_probe_start(&f->io, "127.0.0.1", port, &f->probe), 0);
    f->probe->on_attempt = count;
    f->probe->context = f;
}

static void await_attempts(fixture *f, uint32_t attempts) {
    while (f->calls < attempts) pn_io_turn(&f->io, UINT64_MAX);
}

TEST(probe_finds_who_listens) {
    fixture f;
    int fd;
    begin(&f);
    uint16_t port = bind_free(&fd);
    CHECK_EQ(listen(fd, 8), 0);
    start(&f, port);
    await_attempts(&f, 1);
    CHECK(f.probe->is_open);
    for (int i = 0; i < 10; i++) pn_io_turn(&f.io, 0);
    CHECK_EQ(f.calls, 1);
    close(fd);
    end(&f);
}

TEST(probe_tries_until_somebody_listens) {
    fixture f;
    int fd;
    begin(&f);
    uint16_t port = bind_free(&fd);
    start(&f, port);
    await_attempts(&f, 4);
    CHECK(!f.probe->is_open);
    CHECK_EQ(listen(fd, 8), 0);
    while (!f.probe->is_open) pn_io_turn(&f.io, UINT64_MAX);
    CHECK_INT(f.calls, >, 4);
    close(fd);
    end(&f);
}

/* Linux prefers even ports for connecting, odd ones for binding. */
static uint16_t free_even_port(void) {
    for (uint16_t port = 40000; port < 60000; port = (uint16_t)(port + 2)) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int err = bind(fd, (struct sockaddr *)&address, sizeof address);
        close(fd);
        if (err == 0) return port;
    }
    return 0;
}

/* A free port of the ephemeral range may be connected with itself: once in about 15000 attempts. */
TEST(probe_does_not_take_itself_for_a_server) {
    fixture f;
    bool has_met = false;
    begin(&f);
    uint16_t port = free_even_port();
    for (int i = 0; i < 100000 && !has_met; i++) {
        f.calls = 0;
        start(&f, port);
        await_attempts(&f, 1);
        CHECK(!f.probe->is_open);
        has_met = f.probe->met_itself;
        pn_probe_stop(f.probe);
    }
    f.probe = NULL;
    end(&f);
    if (!has_met) pn_test_skip("no socket was connected with itself");
}

TEST(probe_can_be_stopped_at_any_time) {
    fixture f;
    int fd;
    begin(&f);
    uint16_t port = bind_free(&fd);
    start(&f, port);
    pn_probe_stop(f.probe);
    for (uint32_t turns = 0; turns < 20; turns++) {
        f.calls = 0;
        start(&f, port);
        for (uint32_t i = 0; i < turns; i++) pn_io_turn(&f.io, 0);
        pn_probe_stop(f.probe);
        uint32_t calls = f.calls;
        for (uint32_t i = 0; i < 5; i++) pn_io_turn(&f.io, 0);
        CHECK_EQ(f.calls, calls);
    }
    f.probe = NULL;
    close(fd);
    end(&f);
}

TEST(probe_wants_an_address) {
    fixture f;
    begin(&f);
    CHECK_EQ(pn_probe_start(&f.io, "localhost", 80, &f.probe), -EINVAL);
    CHECK_EQ(pn_probe_start(&f.io, "", 80, &f.probe), -EINVAL);
    CHECK_EQ(pn_probe_start(&f.io, "::1", 1, &f.probe), 0);
    f.ledger.limit_bytes = 0;
    pn_probe *none;
    CHECK_EQ(pn_probe_start(&f.io, "::1", 1, &none), PN_ENOMEM);
    f.ledger.limit_bytes = INT64_MAX;
    end(&f);
}
