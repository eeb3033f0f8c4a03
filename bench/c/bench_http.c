/*
 * The HTTP engines without a network between them and without a peer's cost: heads parsed, and
 * whole exchanges of our client with our server over loopback in one thread, so both sides' work
 * counts. What another server or client makes of it is bench/peers' to say.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "bench/c/bench.h"
#include "net/http_server.h"

#define HEADS       200000u
#define EXCHANGES   60000u
#define CONNECTIONS 50u

extern const pn_bench pn_bench_http;

/* ---- heads ---- */

static char response_head[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 15:37:19 GMT\r\n"
    "Content-Type: text/html\r\nContent-Length: 0\r\n"
    "Last-Modified: Tue, 24 Nov 2026 15:37:19 GMT\r\nConnection: keep-alive\r\n"
    "ETag: \"6b05af2f-264\"\r\nAccept-Ranges: bytes\r\n\r\n";
static char request_head[] =
    "GET /items/1234?sort=name HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\n"
    "Accept: */*\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n";

static double head_ns(bool is_request, char *head, size_t size) {
    static const pn_http_limits limits = {PN_HTTP_HEAD_BYTES_MAX, PN_HTTP_HEADER_COUNT_MAX,
                                          UINT64_MAX};
    pn_http_parser parser;
    pn_http_piece piece;
    pn_http_parser_init(&parser, is_request, &limits);
    uint64_t started_ns = pn_clock_real_ns();
    for (unsigned i = 0; i < HEADS; i++) {
        pn_http_parser_start(&parser, false);
        int event = pn_http_parser_next(&parser, head, size, &piece);
        pn_assert(event == PN_HTTP_HEAD);
    }
    return (double)(pn_clock_real_ns() - started_ns) / HEADS;
}

/* ---- exchanges ---- */

typedef struct course {
    pn_heap *heap;
    pn_pool pool;
    pn_ledger ledger;
    pn_clock clock;
    pn_io io;
    pn_http_router *router;
    pn_http_handler handler;
    pn_http_server *server;
    pn_http_client *client;
    pn_http_request *request;
    pn_http_call calls[CONNECTIONS];
    unsigned started, done;
    bool is_closed;
} course;

static void answer(pn_http_exchange *x) {
    static const pn_http_header type = {{"Content-Type", 12}, {"text/plain", 10}};
    int err = pn_http_exchange_respond(x, 200, &type, 1, PN_TEXT("hello, world"));
    pn_assert(err == 0);
}

static void start_next(course *c, pn_http_call *call) {
    if (c->started == EXCHANGES) return;
    c->started++;
    int err = pn_http_call_start(call, c->request);
    pn_assert(err == 0);
}

static void on_done(pn_http_call *call) {
    course *c = call->user;
    pn_assert(call->err == 0 && call->response.head.status == 200);
    c->done++;
    pn_http_call_close(call);
    start_next(c, call);
}

static const pn_http_call_events events = {.on_done = on_done};

static void on_closed(void *user) { ((course *)user)->is_closed = true; }

static void open_course(course *c) {
    const char *why;
    signal(SIGPIPE, SIG_IGN);
    memset(c, 0, sizeof *c);
    c->heap = pn_heap_create(false);
    pn_pool_init(&c->pool, c->heap);
    pn_ledger_init(&c->ledger, "bench", &c->pool);
    pn_clock_init(&c->clock, false);
    int err = pn_io_init(&c->io, &c->clock, &c->ledger);
    pn_assert(err == 0);
    c->router = pn_http_router_create(&c->ledger);
    c->handler = (pn_http_handler){.on_request = answer};
    err = pn_http_router_add(c->router, PN_TEXT("GET /hello"), &c->handler, &why);
    pn_assert(err == 0);
    pn_http_server_options options = {.router = c->router, .on_closed = on_closed, .user = c};
    err = pn_http_server_create(&c->io, &options, &c->server);
    pn_assert(err == 0);
    err = pn_http_client_create(&c->io, NULL, &c->client, &why);
    pn_assert(err == 0);
}

static void make_request(course *c) {
    char url[64];
    const char *why;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/hello",
             (unsigned)pn_http_server_port(c->server));
    pn_http_request_options options = {.url = pn_text_of(url)};
    int err = pn_http_request_create(c->client, &options, &c->request, &why);
    pn_assert(err == 0);
}

static void close_course(course *c) {
    pn_http_request_release(c->request);
    pn_http_client_destroy(c->client);
    pn_http_server_close(c->server, 0);
    while (!c->is_closed) pn_io_turn(&c->io, 10);
    pn_http_router_destroy(c->router);
    pn_io_close(&c->io);
    pn_assert(pn_ledger_live(&c->ledger) == 0);
    pn_pool_close(&c->pool);
    pn_heap_destroy(c->heap);
}

static void run(pn_bench_sink *sink) {
    static course c;
    pn_bench_report(sink, "head of a response, parsed",
                    head_ns(false, response_head, sizeof response_head - 1), "ns/op");
    pn_bench_report(sink, "head of a request, parsed",
                    head_ns(true, request_head, sizeof request_head - 1), "ns/op");
    open_course(&c);
    make_request(&c);
    uint64_t started_ns = pn_clock_real_ns();
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        pn_http_call_init(&c.calls[i], &events);
        c.calls[i].user = &c;
        start_next(&c, &c.calls[i]);
    }
    while (c.done < EXCHANGES) pn_io_turn(&c.io, 1000);
    double seconds = (double)(pn_clock_real_ns() - started_ns) / 1e9;
    pn_bench_report(sink, "exchanges, client and server in one thread", EXCHANGES / seconds, "/s");
    pn_http_server_stats stats;
    pn_http_server_stats_get(c.server, &stats);
    pn_bench_report(sink, "an idle connection of the server", (double)stats.connection_bytes,
                    "bytes");
    close_course(&c);
}

const pn_bench pn_bench_http = {
    .name = "http",
    .about = "HTTP/1.1: heads parsed, exchanges between our client and our server",
    .run = run,
};
