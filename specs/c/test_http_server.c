/*
 * The HTTP server against raw sockets, polite and hostile. Goal: each request gets its answer in
 * order, each attack meets its limit, and nothing is left behind when the server is closed.
 */
#include "net/http_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/http_headers.h"
#include "net/url.h"
#include "specs/c/http_peer.h"

#define MS        1000000ULL
#define HOST      "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

typedef struct hall {
    world w;
    pn_http_router *router;
    pn_http_server *server;
    bool is_closed;
    /* What handlers saw and left for the test. */
    pn_http_exchange *held[16];
    int held_count, aborted, writable;
    pn_buf body;
    bool pauses, body_over;
    int64_t charged;
} hall;

static hall *hall_of(pn_http_exchange *x) { return pn_http_exchange_handler(x)->user; }

/* ---- handlers ---- */

static void answer_hello(pn_http_exchange *x) {
    CHECK_EQ(pn_http_exchange_respond(x, 200, NULL, 0, PN_TEXT("hello")), 0);
}

/* Method, path, query, parameters and body in one line each. */
static void answer_echo(pn_http_exchange *x) {
    hall *h = hall_of(x);
    pn_buf text;
    pn_buf_init(&text, &h->w.ledger.door);
    pn_text path = pn_http_exchange_path(x), query = pn_http_exchange_query(x), name, value;
    pn_buf_printf(&text, "%s %.*s ?%.*s", pn_http_method_name(pn_http_exchange_method(x)),
                  (int)path.size, path.at, (int)query.size, query.size > 0 ? query.at : "");
    for (uint32_t i = 0; pn_http_exchange_param_at(x, i, &name, &value); i++) {
        pn_buf_printf(&text, " %.*s=", (int)name.size, name.at);
        CHECK_EQ(pn_http_exchange_param(x, name, &text), 0);
    }
    pn_buf_add_text(&text, " [");
    pn_http_message_gather(pn_http_exchange_request(x), &text);
    pn_buf_add_text(&text, "]");
    const pn_http_header header = {PN_TEXT("X-Echo"), PN_TEXT("yes")};
    CHECK_EQ(pn_http_exchange_respond(x, 200, &header, 1, pn_text_make(text.data, text.size)), 0);
    pn_buf_close(&text);
}

static void hold(pn_http_exchange *x) { hall_of(x)->held[hall_of(x)->held_count++] = x; }

static void count_abort(pn_http_exchange *x) {
    hall_of(x)->aborted++;
    CHECK(pn_http_exchange_is_aborted(x));
}

static void count_writable(pn_http_exchange *x) { hall_of(x)->writable++; }

static void collect_body(pn_http_exchange *x, const char *data, size_t size) {
    CHECK(pn_buf_add(&hall_of(x)->body, data, size));
    if (hall_of(x)->pauses) pn_http_exchange_pause(x);
}

static void note_body_end(pn_http_exchange *x) { hall_of(x)->body_over = true; }

/* ---- the hall ---- */

static bool charge(void *user, int64_t bytes) {
    ((hall *)user)->charged += bytes;
    return true;
}

static void on_closed(void *user) { ((hall *)user)->is_closed = true; }

typedef struct routes {
    pn_http_handler hello, echo, held, stream, small;
} routes;

static void set_routes(hall *h, routes *r) {
    *r = (routes){
        .hello = {.on_request = answer_hello},
        .echo = {.on_request = answer_echo},
        .held = {.on_request = hold, .on_abort = count_abort, .on_writable = count_writable},
        .stream = {.on_request = hold,
                   .on_abort = count_abort,
                   .on_writable = count_writable,
                   .on_body = collect_body,
                   .on_body_end = note_body_end,
                   .streams_body = true},
        .small = {.on_request = answer_echo, .body_limit_bytes = 10},
    };
    const struct {
        const char *pattern;
        pn_http_handler *handler;
    } table[] = {
        {"GET /hello", &r->hello},  {"POST /hello", &r->hello}, {"* /echo/:a/:b", &r->echo},
        {"* /echo/*", &r->echo},    {"GET /held", &r->held},    {"POST /stream", &r->stream},
        {"POST /small", &r->small},
    };
    const char *why;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        table[i].handler->user = h;
        CHECK_EQ(
            pn_http_router_add(h->router, pn_text_of(table[i].pattern), table[i].handler, &why), 0);
    }
}

typedef struct scene {
    hall h;
    routes r;
    raw c;
} scene;

static void open_hall(scene *s, pn_http_server_options options) {
    memset(s, 0, sizeof *s);
    hall *h = &s->h;
    world_open(&h->w);
    pn_buf_init(&h->body, &h->w.ledger.door);
    h->router = pn_http_router_create(&h->w.ledger);
    set_routes(h, &s->r);
    options.router = h->router;
    options.on_closed = on_closed;
    options.charge = charge;
    options.user = h;
    CHECK_EQ(pn_http_server_create(&h->w.io, &options, &h->server), 0);
}

static void open_scene(scene *s, pn_http_server_options options) {
    open_hall(s, options);
    raw_open(&s->c, pn_http_server_port(s->h.server));
}

static void close_hall(scene *s) {
    hall *h = &s->h;
    if (h->server != NULL) pn_http_server_close(h->server, 2000 * MS);
    RUN_UNTIL(&h->w, h->is_closed);
    pn_http_router_destroy(h->router);
    pn_buf_close(&h->body);
    CHECK_EQ(h->charged, 0);
    world_close(&h->w);
}

static void close_scene(scene *s) {
    if (s->c.in != NULL) raw_close(&s->c);
    close_hall(s);
}

static pn_http_server_stats stats_of(const scene *s) {
    pn_http_server_stats stats;
    pn_http_server_stats_get(s->h.server, &stats);
    return stats;
}

static void expect(scene *s, const char *text) { RUN_UNTIL(&s->h.w, raw_has(&s->c, text)); }

static void expect_end(scene *s) { RUN_UNTIL(&s->h.w, raw_has_ended(&s->c)); }

static void ask(scene *s, const char *request, const char *answer) {
    raw_forget(&s->c);
    raw_say(&s->c, request);
    expect(s, answer);
}

/* ---- plain use ---- */

TEST(server_get) {
    scene s;
    open_scene(&s, (pn_http_server_options){.server_name = PN_TEXT("perilune")});
    ask(&s, GET("/hello"), "\r\n\r\nhello");
    CHECK(strncmp(s.c.in, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0);
    CHECK(raw_has(&s.c, " GMT\r\n"));
    CHECK(raw_has(&s.c, "\r\nServer: perilune\r\n"));
    CHECK(raw_has(&s.c, "\r\nContent-Length: 5\r\n"));
    CHECK(!raw_has(&s.c, "Connection"));
    ask(&s, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\n");
    CHECK(raw_has(&s.c, "Content-Length: 5\r\n"));
    CHECK(!raw_has(&s.c, "hello"));
    ask(&s, GET("/echo/x%20y/b%2Fc?q=1&r"), "GET /echo/x%20y/b%2Fc ?q=1&r a=x y b=b/c []");
    CHECK(raw_has(&s.c, "X-Echo: yes\r\n"));
    ask(&s, "GET http://other/echo/1/2?z HTTP/1.1\r\n" HOST "\r\n", "GET /echo/1/2 ?z a=1 b=2 []");
    CHECK_EQ(stats_of(&s).accepted, 1);
    CHECK_EQ(stats_of(&s).requests, 4);
    close_scene(&s);
}

TEST(server_bodies) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    ask(&s, "POST /echo/1/2 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "[hello]");
    ask(&s,
        "PUT /echo/1/2 HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n"
        "0\r\nT: u\r\n\r\n",
        "[abcde]");
    ask(&s, "POST /echo/1/2 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "[]");
    close_scene(&s);
}

TEST(server_request_in_scraps) {
    static const char request[] =
        "POST /echo/1/2 HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\nhello world";
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    for (int round = 0; round < 2; round++) {
        raw_forget(&s.c);
        for (size_t i = 0; i < sizeof request - 1; i++) {
            raw_send(&s.c, request + i, 1);
            pn_io_turn(&s.h.w.io, 0);
        }
        expect(&s, "[hello world]");
    }
    close_scene(&s);
}

TEST(server_not_found_and_not_allowed) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    ask(&s, GET("/nothing"), "404 Not Found\n");
    ask(&s, "DELETE /hello HTTP/1.1\r\n" HOST "\r\n", "405 Method Not Allowed\n");
    CHECK(raw_has(&s.c, "Allow: GET, HEAD, POST\r\n"));
    ask(&s, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "404 Not Found\n");
    ask(&s, "HEAD /nothing HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\n");
    CHECK(!raw_has(&s.c, "Not Found\n"));
    ask(&s, GET("/hello"), "hello"); /* the connection is as good as before */
    CHECK_EQ(stats_of(&s).refused, 4);
    close_scene(&s);
}

TEST(server_keep_alive_rules) {
    static const struct {
        const char *request, *header;
        bool stays;
    } cases[] = {
        {GET("/hello"), "Content-Length: 5\r\n", true},
        {"GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "Connection: close\r\n",
         false},
        {"GET /hello HTTP/1.0\r\n\r\n", "Connection: close\r\n", false},
        {"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive\r\n",
         true},
    };
    for (size_t i = 0; i < 4; i++) {
        scene s;
        open_scene(&s, (pn_http_server_options){0});
        ask(&s, cases[i].request, "\r\n\r\nhello");
        CHECK(raw_has(&s.c, cases[i].header));
        if (cases[i].stays) {
            ask(&s, GET("/hello"), "hello");
        } else {
            expect_end(&s);
            CHECK(!s.c.broken);
        }
        close_scene(&s);
    }
}

TEST(server_pipelining) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/echo/1/x") GET("/hello") "POST /echo/2/x HTTP/1.1\r\n" HOST
                                                 "Content-Length: 3\r\n\r\nabc" GET("/nothing")
                                                     GET("/echo/3/x"));
    expect(&s, "GET /echo/3/x");
    const char *at = s.c.in;
    static const char *const order[] = {"/echo/1/x", "hello", "[abc]", "404 Not Found\n",
                                        "/echo/3/x"};
    for (int i = 0; i < 5; i++) {
        at = strstr(at, order[i]);
        CHECK(at != NULL);
    }
    close_scene(&s);
}

/* Answers that come later still come in order, and what was sent ahead waits for them. */
TEST(server_pipelining_waits_for_handlers) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/held") GET("/hello") GET("/held"));
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    for (int i = 0; i < 5; i++) pn_io_turn(&s.h.w.io, 1);
    CHECK_EQ(s.h.held_count, 1);
    CHECK(!raw_has(&s.c, "HTTP"));
    CHECK_EQ(pn_http_exchange_respond(s.h.held[0], 201, NULL, 0, PN_TEXT("first")), 0);
    expect(&s, "hello");
    RUN_UNTIL(&s.h.w, s.h.held_count == 2);
    CHECK_EQ(pn_http_exchange_respond(s.h.held[1], 200, NULL, 0, PN_TEXT("third")), 0);
    expect(&s, "third");
    CHECK(strstr(s.c.in, "first") < strstr(s.c.in, "hello"));
    close_scene(&s);
}

/* What is sent ahead is bounded: the server stops reading, and goes on later. */
TEST(server_pipelining_bound) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    int64_t before = pn_ledger_live(&s.h.w.ledger);
    raw_say(&s.c, GET("/held"));
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    int sent = 0, stuck = 0;
    size_t size = strlen(GET("/hello"));
    while (stuck < 20 && sent < 2000000) {
        ssize_t n = send(s.c.fd, GET("/hello"), size, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n == (ssize_t)size;
        if (n > 0 && n < (ssize_t)size) break;
        stuck = n < 0 ? stuck + 1 : 0;
        pn_io_turn(&s.h.w.io, 0);
    }
    CHECK_INT(pn_ledger_live(&s.h.w.ledger) - before, <, 8 * PN_HTTP_AHEAD_BYTES);
    CHECK_EQ(stats_of(&s).requests, 1);
    pn_http_exchange_abort(s.h.held[0]);
    close_scene(&s);
}

TEST(server_pipelined_answers_meet_back_pressure) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_buf many;
    pn_buf_init(&many, &s.h.w.ledger.door);
    for (int i = 0; i < 3000; i++)
        pn_buf_add_text(&many, GET("/echo/0123456789012345678901234567890/x"));
    size_t sent = 0;
    size_t answers = 0;
    uint64_t started = pn_clock_real_ns();
    while (answers < 3000) { /* both directions fill up and drain again */
        if (sent < many.size) {
            ssize_t n =
                send(s.c.fd, many.data + sent, many.size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) sent += (size_t)n;
        }
        world_turn(&s.h.w, started);
        if (s.c.size > RAW_BYTES / 2) {
            answers += raw_count(&s.c, "X-Echo");
            const char *tail = strrchr(s.c.in, 'X');
            size_t keep = tail != NULL && strncmp(tail, "X-Echo", 6) != 0 ? strlen(tail) : 0;
            memmove(s.c.in, s.c.in + s.c.size - keep, keep + 1);
            s.c.size = keep;
        } else {
            size_t now = raw_count(&s.c, "X-Echo");
            if (answers + now >= 3000) answers += now;
        }
    }
    CHECK_EQ(answers, 3000);
    pn_buf_close(&many);
    close_scene(&s);
}

/* ---- limits and hostile clients ---- */

#define REFUSED(request, status)                                                                   \
    do {                                                                                           \
        scene s_;                                                                                  \
        open_scene(&s_, (pn_http_server_options){0});                                              \
        raw_send(&s_.c, request, sizeof(request) - 1);                                             \
        expect_end(&s_);                                                                           \
        if (!raw_has(&s_.c, "HTTP/1.1 " status)) {                                                 \
            pn_test_fail(__FILE__, __LINE__, "%s\n=> %s", request, s_.c.in);                       \
        }                                                                                          \
        CHECK_EQ(raw_count(&s_.c, "HTTP/1.1 "), 1);                                                \
        CHECK(raw_has(&s_.c, "Connection: close\r\n"));                                            \
        CHECK(!s_.c.broken);                                                                       \
        CHECK_EQ(stats_of(&s_).requests, 0);                                                       \
        close_scene(&s_);                                                                          \
    } while (0)

#define POST     "POST /hello HTTP/1.1\r\n" HOST
#define SMUGGLED GET("/hello")

TEST(server_refuses_smuggling) {
    REFUSED(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
            "400");
    REFUSED(POST "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" SMUGGLED,
            "400");
    REFUSED(POST "Content-Length: 0\r\nContent-Length: 30\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "Content-Length: 30\r\nContent-Length: 0\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "Content-Length: 0, 30\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "Content-Length : 30\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" SMUGGLED,
            "400");
    REFUSED(POST "X: y\r\n Content-Length: 30\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "X: y\nContent-Length: 30\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "\0Content-Length: 30\r\n\r\n" SMUGGLED, "400");
    REFUSED(POST "Transfer-Encoding: chunked\r\n\r\n0\n\n" SMUGGLED, "400");
    REFUSED(POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n" SMUGGLED, "400");
    REFUSED("GET /hello HTTP/1.1\r\n\r\n" SMUGGLED, "400");
    REFUSED("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" SMUGGLED, "400");
    REFUSED("GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED, "400");
    REFUSED("GET /hello HTTP/3.0\r\nHost: a\r\n\r\n" SMUGGLED, "505");
    REFUSED("BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED, "501");
    REFUSED(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED, "501");
    REFUSED("\x16\x03\x01\x02\x05\x01", "400");
}

TEST(server_header_limits) {
    for (int over = 0; over <= 1; over++) {
        scene s;
        static const char request[] = "GET /hello HTTP/1.1\r\nHost: a\r\nX: 12345\r\n\r\n";
        open_scene(&s, (pn_http_server_options){.head_bytes_max =
                                                    (uint32_t)sizeof request - 1 - (over ? 1 : 0)});
        ask(&s, request, over ? "HTTP/1.1 431 " : "hello");
        close_scene(&s);
        open_scene(&s, (pn_http_server_options){.header_count_max = over ? 1 : 2});
        ask(&s, request, over ? "HTTP/1.1 431 " : "hello");
        close_scene(&s);
    }
}

TEST(server_endless_headers) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    int64_t before = pn_ledger_live(&s.h.w.ledger);
    raw_say(&s.c, "GET /hello HTTP/1.1\r\n" HOST);
    char line[1024];
    memset(line, 'x', sizeof line);
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    for (int i = 0; i < 100 && !raw_has(&s.c, "431"); i++) {
        send(s.c.fd, line, sizeof line, MSG_NOSIGNAL | MSG_DONTWAIT);
        pn_io_turn(&s.h.w.io, 0);
        CHECK_INT(pn_ledger_live(&s.h.w.ledger) - before, <, 512 * 1024);
    }
    expect(&s, "HTTP/1.1 431 ");
    expect_end(&s);
    close_scene(&s);
}

TEST(server_body_limits) {
    for (int over = 0; over <= 1; over++) {
        scene s;
        open_scene(&s, (pn_http_server_options){0});
        ask(&s,
            over ? "POST /small HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n01234567890"
                 : "POST /small HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789",
            over ? "HTTP/1.1 413 " : "[0123456789]");
        if (over) expect_end(&s);
        close_scene(&s);
        open_scene(&s, (pn_http_server_options){0});
        ask(&s,
            over ? "POST /small HTTP/1.1\r\n" HOST
                   "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n"
                 : "POST /small HTTP/1.1\r\n" HOST
                   "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
            over ? "HTTP/1.1 413 " : "[0123456789]");
        close_scene(&s);
        open_scene(&s, (pn_http_server_options){.body_bytes_max = over ? 2 : 3});
        ask(&s, "POST /echo/1/2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
            over ? "HTTP/1.1 413 " : "[abc]");
        close_scene(&s);
    }
    REFUSED(POST "Content-Length: 16777217\r\n\r\n", "413");
}

TEST(server_slow_head) {
    scene s;
    open_scene(&s, (pn_http_server_options){.head_timeout_ns = 30 * MS});
    raw_say(&s.c, "GET /hello HTTP/1.1\r\n");
    uint64_t started = pn_clock_real_ns();
    while (!raw_has_ended(&s.c)) { /* a byte now and then does not help */
        if (!s.c.broken) send(s.c.fd, "X", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        world_turn(&s.h.w, started);
    }
    CHECK(raw_has(&s.c, "HTTP/1.1 408 "));
    CHECK_EQ(stats_of(&s).timed_out, 1);
    raw_close(&s.c);
    raw_open(&s.c, pn_http_server_port(s.h.server));
    expect_end(&s); /* one that says nothing at all is just closed */
    CHECK_EQ(s.c.size, 0);
    close_scene(&s);
}

TEST(server_idle_timeout) {
    scene s;
    open_scene(&s, (pn_http_server_options){.idle_timeout_ns = 20 * MS});
    ask(&s, GET("/hello"), "hello");
    expect_end(&s);
    CHECK(!s.c.broken);
    RUN_UNTIL(&s.h.w, stats_of(&s).connections == 0);
    close_scene(&s);
}

TEST(server_slow_body) {
    scene s;
    open_scene(&s, (pn_http_server_options){.progress_timeout_ns = 30 * MS});
    raw_say(&s.c, "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    uint64_t started = pn_clock_real_ns();
    while (!raw_has_ended(&s.c)) {
        send(s.c.fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        world_turn(&s.h.w, started);
        usleep(2000); /* far below 1024 bytes in 30 ms */
    }
    CHECK_EQ(stats_of(&s).timed_out, 1);
    CHECK_EQ(stats_of(&s).requests, 0);
    close_scene(&s);
}

/* From here on time passes only in `pass`: a machine that is busy elsewhere is no slow client. */
static void hold_time(world *w) {
    uint64_t now_ns = pn_clock_now_ns(&w->clock);
    pn_clock_init(&w->clock, true);
    pn_clock_advance(&w->clock, now_ns);
    w->io.outstanding++; /* nor does it jump to the next timer */
}

static void pass(world *w, uint64_t ns) {
    pn_clock_advance(&w->clock, pn_clock_now_ns(&w->clock) + ns);
    pn_io_turn(&w->io, 0);
}

static void let_time_jump(world *w) { w->io.outstanding--; }

/* A body that takes many times the time-out but keeps coming is fine. */
TEST(server_steady_body) {
    scene s;
    open_scene(&s, (pn_http_server_options){.progress_timeout_ns = 40 * MS});
    hold_time(&s.h.w);
    char block[PN_HTTP_PROGRESS_BYTES];
    memset(block, 'b', sizeof block);
    char head[128];
    snprintf(head, sizeof head, "POST /hello HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
             20 * sizeof block);
    raw_say(&s.c, head);
    for (int i = 0; i < 20; i++) {
        raw_send(&s.c, block, sizeof block);
        pn_io_turn(&s.h.w.io, 0);
        pass(&s.h.w, 15 * MS);
    }
    expect(&s, "hello");
    let_time_jump(&s.h.w);
    close_scene(&s);
}

/* A client that does not read its answer is cut; one that reads slowly is not. */
static void answer_large(scene *s, pn_text body) {
    raw_say(&s->c, GET("/held"));
    RUN_UNTIL(&s->h.w, s->h.held_count == 1);
    CHECK_EQ(pn_http_exchange_respond(s->h.held[0], 200, NULL, 0, body), 0);
}

/* The server's socket of a client's connection: in this process too. */
static int other_end(int client) {
    struct sockaddr_in own, far;
    socklen_t size = sizeof own;
    CHECK_EQ(getsockname(client, (struct sockaddr *)&own, &size), 0);
    for (int fd = 0; fd < 1024; fd++) {
        size = sizeof far;
        if (getpeername(fd, (struct sockaddr *)&far, &size) != 0) continue;
        if (far.sin_family == AF_INET && far.sin_port == own.sin_port) return fd;
    }
    pn_test_fail(__FILE__, __LINE__, "no socket of this process has the other end");
}

/* How much of what was sent on it the other side's kernel has taken. */
static uint64_t acked_bytes(int fd) {
    enum { BYTES_ACKED_AT = 120 }; /* in the kernel's tcp_info, which is longer than libc's */
    char info[512];
    socklen_t size = sizeof info;
    uint64_t bytes;
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size), 0);
    if (size < BYTES_ACKED_AT + sizeof bytes) pn_test_skip("needs tcpi_bytes_acked (Linux 4.1)");
    memcpy(&bytes, info + BYTES_ACKED_AT, sizeof bytes);
    return bytes;
}

TEST(server_reader_that_does_not_read) {
    size_t size = 16 << 20;
    char *body = calloc(1, size);
    scene s;
    open_scene(&s, (pn_http_server_options){.progress_timeout_ns = 30 * MS});
    answer_large(&s, pn_text_make(body, size));
    RUN_UNTIL(&s.h.w, stats_of(&s).connections == 0);
    CHECK_EQ(stats_of(&s).timed_out, 1);
    close_scene(&s);
    free(body);
}

/* Time passes only when the client's side has taken just enough, however long that takes. */
TEST(server_slow_reader) {
    size_t size = 16 << 20, got = 0;
    char *body = calloc(1, size), *block = malloc(1 << 17);
    scene s;
    open_scene(&s, (pn_http_server_options){.progress_timeout_ns = 30 * MS});
    int room = 1 << 17; /* or the client's kernel may take most of it at once */
    CHECK_EQ(setsockopt(s.c.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    hold_time(&s.h.w);
    answer_large(&s, pn_text_make(body, size));
    int passes = 0, server_fd = other_end(s.c.fd);
    uint64_t taken = acked_bytes(server_fd), started = pn_clock_real_ns();
    while (got < size) {
        ssize_t n = recv(s.c.fd, block, 1 << 17, MSG_DONTWAIT);
        if (n == 0) break;
        if (n > 0) got += (size_t)n;
        pn_io_turn(&s.h.w.io, 0);
        CHECK_EQ(stats_of(&s).timed_out, 0);
        if (acked_bytes(server_fd) - taken >= PN_HTTP_PROGRESS_BYTES) {
            taken = acked_bytes(server_fd);
            pass(&s.h.w, 10 * MS);
            passes++;
        }
        CHECK_INT(pn_clock_real_ns() - started, <, 50000 * MS);
    }
    let_time_jump(&s.h.w);
    CHECK_INT(got, >=, size);
    CHECK_INT(passes, >, 15); /* five times what it may take without progress */
    free(block);
    close_scene(&s);
    free(body);
}

TEST(server_connection_limit) {
    scene s;
    raw more[3];
    open_hall(&s, (pn_http_server_options){.connections_max = 2});
    for (int i = 0; i < 3; i++) {
        raw_open(&more[i], pn_http_server_port(s.h.server));
        raw_say(&more[i], GET("/hello"));
    }
    RUN_UNTIL(&s.h.w, raw_has(&more[0], "hello") && raw_has(&more[1], "hello"));
    for (int i = 0; i < 5; i++) pn_io_turn(&s.h.w.io, 1);
    CHECK(!raw_has(&more[2], "hello")); /* it waits in the backlog */
    CHECK_EQ(stats_of(&s).connections, 2);
    raw_close(&more[0]);
    RUN_UNTIL(&s.h.w, raw_has(&more[2], "hello"));
    raw_close(&more[1]);
    raw_close(&more[2]);
    close_hall(&s);
}

/* 5,000 idle connections: what each costs here is small and said by the server itself. */
TEST(server_five_thousand_idle_connections) {
    enum { COUNT = 5000 };
    static int fds[COUNT];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * COUNT + 100) pn_test_skip("needs 10,100 file descriptors (ulimit -n)");
    scene s;
    open_hall(&s, (pn_http_server_options){0});
    int64_t before = pn_ledger_live(&s.h.w.ledger);
    static const char request[] = GET("/hello");
    char answer[512];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = raw_connect(pn_http_server_port(s.h.server));
        CHECK_EQ(send(fds[i], request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
        uint64_t want = (uint64_t)i + 1;
        RUN_UNTIL(&s.h.w, stats_of(&s).requests == want);
        CHECK(recv(fds[i], answer, sizeof answer, 0) > 0);
    }
    CHECK_EQ(stats_of(&s).connections, COUNT);
    int64_t each = (pn_ledger_live(&s.h.w.ledger) - before) / COUNT;
    fprintf(stderr, "  %lld bytes for an idle connection\n", (long long)each);
    CHECK_INT(each, <=, 2048);
    CHECK_INT(stats_of(&s).slabs, <=, 2);
    for (int i = 0; i < COUNT; i++) close(fds[i]);
    RUN_UNTIL(&s.h.w, stats_of(&s).connections == 0);
    close_hall(&s);
}

/* ---- out of descriptors ---- */

enum { SHORTAGE_CLIENTS = 8, SHORTAGE_FDS = 64 };

typedef struct shortage {
    scene s;
    char path[64]; /* of a unix socket, or "" */
    raw clients[SHORTAGE_CLIENTS];
    struct rlimit before;
    int hoard[SHORTAGE_FDS], hoarded;
    pn_timer timer;
    int fired;
} shortage;

/* Takes each descriptor that is left, and the one that libuv keeps for such moments: another
 * thread that needs one just then gets it when libuv lets go of it. */
static void hoard_descriptors(shortage *t) {
    uv_loop_t *loop = &t->s.h.w.io.loop;
    if (loop->emfile_fd != -1) close(loop->emfile_fd);
    loop->emfile_fd = -1;
    int fd;
    while ((fd = dup(STDERR_FILENO)) >= 0) t->hoard[t->hoarded++] = fd;
    CHECK_EQ(errno, EMFILE);
}

static void free_descriptors(shortage *t) {
    while (t->hoarded > 0) close(t->hoard[--t->hoarded]);
}

static void connect_client(shortage *t, raw *client) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr *address = (struct sockaddr *)&in;
    socklen_t size = sizeof in;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(pn_http_server_port(t->s.h.server));
    if (t->path[0] != '\0') {
        memcpy(un.sun_path, t->path, sizeof t->path);
        address = (struct sockaddr *)&un;
        size = sizeof un;
    }
    CHECK_EQ(connect(client->fd, address, size), 0);
    raw_say(client, GET("/hello"));
}

static void on_shortage_timer(pn_timer *timer) {
    shortage *t = PN_CONTAINER(timer, shortage, timer);
    t->fired++;
}

/* Clients wait in the backlog of a server that cannot take them. */
static void open_shortage(shortage *t, bool is_unix) {
    memset(t, 0, sizeof *t);
    pn_http_server_options options = {0};
    if (is_unix) {
        snprintf(t->path, sizeof t->path, P_tmpdir "/pn-shortage-%d.sock", (int)getpid());
        options.socket_path = pn_text_of(t->path);
    }
    open_hall(&t->s, options);
    for (int i = 0; i < SHORTAGE_CLIENTS; i++) {
        raw *client = &t->clients[i];
        client->in = calloc(1, RAW_BYTES);
        client->fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
        CHECK(client->fd >= 0);
    }
    getrlimit(RLIMIT_NOFILE, &t->before);
    struct rlimit low = {SHORTAGE_FDS, t->before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    hoard_descriptors(t);
    for (int i = 0; i < SHORTAGE_CLIENTS; i++) connect_client(t, &t->clients[i]);
    pn_timer_init(&t->timer, on_shortage_timer);
}

static void close_shortage(shortage *t) {
    free_descriptors(t);
    setrlimit(RLIMIT_NOFILE, &t->before);
    for (int i = 0; i < SHORTAGE_CLIENTS; i++) raw_close(&t->clients[i]);
    close_hall(&t->s);
    if (t->path[0] != '\0') CHECK(access(t->path, F_OK) != 0);
}

static void expect_hello(shortage *t, int count) {
    for (int i = 0; i < count; i++) RUN_UNTIL(&t->s.h.w, raw_has(&t->clients[i], "hello"));
}

/* The loop goes on turning, the server tries again and again, and all are served in the end. */
static void live_through_shortage(bool is_unix) {
    shortage t;
    open_shortage(&t, is_unix);
    world *w = &t.s.h.w;
    pn_io_start_timer(&w->io, &t.timer, 20 * MS);
    RUN_UNTIL(w, t.fired == 1 && stats_of(&t.s).accept_errors == 3); /* it rests in between */
    CHECK_EQ(stats_of(&t.s).accepted, 0);
    hoard_descriptors(&t); /* also that of the listener, which is closed now */
    RUN_UNTIL(w, stats_of(&t.s).accept_errors == 5);
    CHECK_EQ(stats_of(&t.s).accepted, 0);
    free_descriptors(&t);
    expect_hello(&t, SHORTAGE_CLIENTS);
    CHECK_EQ(stats_of(&t.s).accepted, SHORTAGE_CLIENTS);
    CHECK_EQ(stats_of(&t.s).accept_errors, 5);
    close_shortage(&t);
}

TEST(server_out_of_descriptors) { live_through_shortage(false); }

TEST(server_out_of_descriptors_on_a_unix_socket) { live_through_shortage(true); }

/* Requests under way keep virtual time where it is: the rest must end all the same. */
TEST(server_out_of_descriptors_while_time_stands) {
    shortage t;
    open_shortage(&t, false);
    hold_time(&t.s.h.w);
    RUN_UNTIL(&t.s.h.w, stats_of(&t.s).accept_errors == 2);
    free_descriptors(&t);
    expect_hello(&t, SHORTAGE_CLIENTS);
    let_time_jump(&t.s.h.w);
    close_shortage(&t);
}

/* In the very turn in which the rest begins, in its middle, and when nothing can be opened. */
TEST(server_closed_while_it_rests) {
    for (int moment = 0; moment < 3; moment++) {
        shortage t;
        open_shortage(&t, false);
        world *w = &t.s.h.w;
        RUN_UNTIL(w, stats_of(&t.s).accept_errors == 1);
        if (moment > 0) pn_io_turn(&w->io, 0);
        if (moment > 1) {
            hoard_descriptors(&t);
            RUN_UNTIL(w, stats_of(&t.s).accept_errors == 2);
        }
        pn_http_server_close(t.s.h.server, 0);
        RUN_UNTIL(w, t.s.h.is_closed);
        t.s.h.server = NULL;
        for (int i = 0; i < SHORTAGE_CLIENTS; i++) CHECK(raw_has_ended(&t.clients[i]));
        close_shortage(&t);
    }
}

/* ---- going away ---- */

TEST(server_half_close) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/held"));
    shutdown(s.c.fd, SHUT_WR);
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    for (int i = 0; i < 5; i++) pn_io_turn(&s.h.w.io, 1);
    CHECK_EQ(s.h.aborted, 0); /* it still listens */
    CHECK_EQ(pn_http_exchange_respond(s.h.held[0], 200, NULL, 0, PN_TEXT("late")), 0);
    expect(&s, "late");
    expect_end(&s);
    close_scene(&s);
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/hello") GET("/echo/1/2"));
    shutdown(s.c.fd, SHUT_WR);
    expect_end(&s);
    CHECK(raw_has(&s.c, "hello") && raw_has(&s.c, "/echo/1/2"));
    close_scene(&s);
}

TEST(server_half_close_within_a_request) {
    static const char *const parts[] = {
        "GET /hel", "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc",
        "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc"};
    for (int i = 0; i < 3; i++) {
        scene s;
        open_scene(&s, (pn_http_server_options){0});
        raw_say(&s.c, parts[i]);
        shutdown(s.c.fd, SHUT_WR);
        expect_end(&s);
        CHECK_EQ(s.h.aborted, i == 2);
        if (i == 2) pn_http_exchange_abort(s.h.held[0]);
        close_scene(&s);
    }
}

TEST(server_client_goes_away) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/held"));
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    raw_reset(&s.c);
    RUN_UNTIL(&s.h.w, s.h.aborted == 1);
    CHECK_EQ(stats_of(&s).aborted, 1);
    for (int i = 0; i < 3; i++) pn_io_turn(&s.h.w.io, 1);
    CHECK_EQ(s.h.aborted, 1);
    pn_text target = pn_http_exchange_target(s.h.held[0]); /* the request is still there */
    CHECK(pn_text_equal(target, PN_TEXT("/held")));
    CHECK_EQ(pn_http_exchange_respond(s.h.held[0], 200, NULL, 0, PN_TEXT("to nobody")), 0);
    RUN_UNTIL(&s.h.w, stats_of(&s).connections == 0);
    close_scene(&s);
}

TEST(server_handler_aborts) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/held"));
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    pn_http_exchange_abort(s.h.held[0]);
    expect_end(&s);
    CHECK(s.c.broken);
    CHECK_EQ(s.h.aborted, 0);
    close_scene(&s);
}

TEST(server_graceful_close) {
    scene s;
    raw busy;
    open_scene(&s, (pn_http_server_options){0});
    ask(&s, GET("/hello"), "hello");
    raw_open(&busy, pn_http_server_port(s.h.server));
    raw_say(&busy, GET("/held"));
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    pn_http_server_close(s.h.server, 60000 * MS);
    expect_end(&s); /* the idle one goes at once */
    CHECK(!s.h.is_closed);
    CHECK(!raw_has_ended(&busy));
    CHECK_EQ(pn_http_exchange_respond(s.h.held[0], 200, NULL, 0, PN_TEXT("done")), 0);
    RUN_UNTIL(&s.h.w, raw_has(&busy, "Connection: close\r\n") && raw_has(&busy, "done"));
    RUN_UNTIL(&s.h.w, s.h.is_closed);
    s.h.server = NULL;
    raw_close(&busy);
    close_scene(&s);
}

TEST(server_close_cuts_after_the_grace) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    raw_say(&s.c, GET("/held"));
    RUN_UNTIL(&s.h.w, s.h.held_count == 1);
    pn_http_server_close(s.h.server, 20 * MS);
    RUN_UNTIL(&s.h.w, s.h.aborted == 1);
    expect_end(&s);
    CHECK(!s.h.is_closed); /* the handler still has its exchange */
    pn_http_exchange_abort(s.h.held[0]);
    RUN_UNTIL(&s.h.w, s.h.is_closed);
    s.h.server = NULL;
    close_scene(&s);
}

/* ---- Expect ---- */

TEST(server_expect_continue) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    ask(&s, "POST /echo/1/2 HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n");
    ask(&s, "abc", "[abc]");
    ask(&s, "POST /nothing HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        "404");
    CHECK(!raw_has(&s.c, "100 Continue")); /* refused without the body */
    expect_end(&s);
    close_scene(&s);
}

/* ---- streamed answers ---- */

static pn_http_exchange *begin_held(scene *s, const char *request) {
    raw_forget(&s->c);
    int before = s->h.held_count;
    raw_say(&s->c, request);
    RUN_UNTIL(&s->h.w, s->h.held_count == before + 1);
    return s->h.held[before];
}

TEST(server_chunked_answer) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_write(x, "a", 1), PN_EBAD_VALUE); /* not started */
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX), 0);
    CHECK_EQ(pn_http_exchange_write(x, "hello ", 6), 0);
    expect(&s, "6\r\nhello \r\n");
    CHECK_EQ(pn_http_exchange_write(x, "", 0), 0);
    CHECK_EQ(pn_http_exchange_write(x, "0123456789abcdef", 16), 0);
    pn_http_exchange_finish(x);
    expect(&s,
           "Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    CHECK(!raw_has(&s.c, "Content-Length"));
    ask(&s, GET("/hello"), "hello");
    close_scene(&s);
}

TEST(server_answer_until_the_end_for_old_clients) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, "GET /held HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX), 0);
    CHECK_EQ(pn_http_exchange_write(x, "old", 3), 0);
    pn_http_exchange_finish(x);
    expect_end(&s);
    CHECK(raw_has(&s.c, "Connection: close\r\n\r\nold"));
    CHECK(!raw_has(&s.c, "chunked"));
    close_scene(&s);
}

TEST(server_sized_answer) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, 5), 0);
    CHECK_EQ(pn_http_exchange_write(x, "abc", 3), 0);
    CHECK_EQ(pn_http_exchange_write(x, "def", 3), PN_EBAD_VALUE);
    CHECK_EQ(pn_http_exchange_write(x, "de", 2), 0);
    pn_http_exchange_finish(x);
    expect(&s, "Content-Length: 5\r\n\r\nabcde");
    x = begin_held(&s, "HEAD /held HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, 5), 0);
    CHECK_EQ(pn_http_exchange_write(x, "abcde", 5), 0);
    pn_http_exchange_finish(x);
    expect(&s, "Content-Length: 5\r\n\r\n");
    CHECK(!raw_has(&s.c, "abcde"));
    x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, 5), 0);
    CHECK_EQ(pn_http_exchange_write(x, "abc", 3), 0);
    pn_http_exchange_finish(x); /* short: the client must see that */
    expect_end(&s);
    close_scene(&s);
}

TEST(server_refuses_bad_answers) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, GET("/held"));
    static const pn_http_header bad[] = {{{"X", 1}, {"a\r\nY: b", 7}},
                                         {{"X Y", 3}, {"a", 1}},
                                         {{"Content-Length", 14}, {"9", 1}},
                                         {{"Transfer-Encoding", 17}, {"chunked", 7}},
                                         {{"Connection", 10}, {"upgrade", 7}}};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(pn_http_exchange_respond(x, 200, &bad[i], 1, PN_TEXT("x")), PN_EBAD_VALUE);
    }
    CHECK_EQ(pn_http_exchange_respond(x, 199, NULL, 0, PN_TEXT("")), PN_EBAD_VALUE);
    CHECK_EQ(pn_http_exchange_respond(x, 1000, NULL, 0, PN_TEXT("")), PN_EBAD_VALUE);
    CHECK_EQ(pn_http_exchange_respond(x, 204, NULL, 0, PN_TEXT("x")), PN_EBAD_VALUE);
    CHECK_EQ(pn_http_exchange_respond(x, 204, NULL, 0, PN_TEXT("")), 0);
    expect(&s, "HTTP/1.1 204 No Content\r\n");
    CHECK(!raw_has(&s.c, "Content-Length"));
    const pn_http_header close_it = {PN_TEXT("Connection"), PN_TEXT("close")};
    x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_respond(x, 299, &close_it, 1, PN_TEXT("x")), 0);
    expect_end(&s);
    CHECK_EQ(raw_count(&s.c, "Connection: close\r\n"), 1);
    close_scene(&s);
}

/* More than the sockets hold: the handler is told to wait, woken when there is room, and the last
 * chunk comes behind all of it. */
TEST(server_streaming_back_pressure) {
    enum { PIECE = 1 << 18, PIECES = 64 };
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    char *piece = malloc(PIECE);
    memset(piece, 'p', PIECE);
    pn_http_exchange *x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX), 0);
    int written = 0, waits = 0;
    size_t got = 0;
    char *block = malloc(PIECE);
    uint64_t started = pn_clock_real_ns();
    bool ended = false, finished = false;
    while (!ended) {
        while (written < PIECES && pn_http_exchange_is_writable(x)) {
            int state = pn_http_exchange_write(x, piece, PIECE);
            CHECK_INT(state, >=, 0);
            written++;
            waits += state;
            if (state == 1) CHECK_EQ(pn_http_exchange_write(x, piece, 1), PN_EBAD_VALUE);
        }
        if (written == PIECES && !finished) {
            pn_http_exchange_finish(x); /* perhaps while the last piece is under way */
            finished = true;
        }
        ssize_t n = recv(s.c.fd, block, PIECE, MSG_DONTWAIT);
        if (n > 0) got += (size_t)n;
        ended = n >= 5 && memcmp(block + n - 5, "0\r\n\r\n", 5) == 0;
        world_turn(&s.h.w, started);
    }
    CHECK(waits > 0);
    CHECK(s.h.writable > 0);
    CHECK_INT(got, >, PIECE * PIECES);
    CHECK_INT(got, <, PIECE * PIECES + 20 * PIECES + 300);
    free(block);
    free(piece);
    ask(&s, GET("/hello"), "hello");
    close_scene(&s);
}

TEST(server_streaming_to_one_who_left) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX), 0);
    raw_reset(&s.c);
    int state = 0;
    uint64_t started = pn_clock_real_ns();
    while (state >= 0) {
        state = pn_http_exchange_is_aborted(x) ? PN_ECLOSED : pn_http_exchange_write(x, "x", 1);
        world_turn(&s.h.w, started);
    }
    CHECK_EQ(state, PN_ECLOSED);
    CHECK_EQ(pn_http_exchange_write(x, "x", 1), PN_ECLOSED);
    pn_http_exchange_finish(x);
    close_scene(&s);
}

/* ---- streamed requests ---- */

TEST(server_streamed_request) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, "POST /stream HTTP/1.1\r\n" HOST
                                         "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    RUN_UNTIL(&s.h.w, s.h.body.size == 3);
    CHECK(!s.h.body_over);
    raw_say(&s.c, "2\r\nde\r\n0\r\n\r\n");
    RUN_UNTIL(&s.h.w, s.h.body_over);
    CHECK_STR(pn_buf_text(&s.h.body), "abcde");
    CHECK_EQ(pn_http_exchange_respond(x, 200, NULL, 0, PN_TEXT("got it")), 0);
    expect(&s, "got it");
    ask(&s, GET("/hello"), "hello");
    close_scene(&s);
}

TEST(server_streamed_request_with_back_pressure) {
    enum { SIZE = 4 << 20 };
    scene s;
    open_scene(&s, (pn_http_server_options){.progress_timeout_ns = 50 * MS});
    s.h.pauses = true;
    char *data = malloc(SIZE);
    memset(data, 'd', SIZE);
    char head[128];
    snprintf(head, sizeof head, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
             SIZE);
    pn_http_exchange *x = begin_held(&s, head);
    size_t sent = 0, resumes = 0;
    uint64_t started = pn_clock_real_ns();
    while (!s.h.body_over) {
        if (sent < SIZE) {
            ssize_t n = send(s.c.fd, data + sent, SIZE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) sent += (size_t)n;
        }
        size_t before = s.h.body.size;
        world_turn(&s.h.w, started);
        if (resumes == 3) { /* paused for longer than the client would be given */
            for (int i = 0; i < 10; i++) pn_io_turn(&s.h.w.io, 10);
            CHECK_INT(s.h.body.size - before, <=, PN_SLAB_BYTES);
        }
        pn_http_exchange_resume(x);
        resumes++;
    }
    CHECK_EQ(s.h.body.size, SIZE);
    CHECK_EQ(pn_http_exchange_respond(x, 200, NULL, 0, PN_TEXT("ok")), 0);
    expect(&s, "\r\n\r\nok");
    free(data);
    close_scene(&s);
}

/* Answered before the body is over: the answer arrives although the client still sends. */
TEST(server_early_answer) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x =
        begin_held(&s, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    CHECK_EQ(pn_http_exchange_respond(x, 403, NULL, 0, PN_TEXT("no")), 0);
    for (int i = 0; i < 10; i++) {
        char block[1000] = {0};
        send(s.c.fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
        pn_io_turn(&s.h.w.io, 1);
    }
    expect_end(&s);
    CHECK(!s.c.broken);
    CHECK(raw_has(&s.c, "Connection: close\r\n\r\nno"));
    close_scene(&s);
}

/* ---- events ---- */

TEST(server_sent_events) {
    scene s;
    open_scene(&s, (pn_http_server_options){0});
    pn_http_exchange *x = begin_held(&s, GET("/held"));
    CHECK_EQ(pn_http_exchange_start_sse(x), 0);
    pn_http_sse event = {.event = PN_TEXT("tick"),
                         .id = PN_TEXT("7"),
                         .retry_ms = 1500,
                         .data = PN_TEXT("one\ntwo\r\nthree\r")};
    CHECK_EQ(pn_http_exchange_send_event(x, &event), 0);
    expect(&s, "event: tick\nid: 7\nretry: 1500\ndata: one\ndata: two\ndata: three\ndata: \n\n");
    CHECK(raw_has(&s.c, "Content-Type: text/event-stream\r\n"));
    event = (pn_http_sse){.comment = PN_TEXT("still here")};
    CHECK_EQ(pn_http_exchange_send_event(x, &event), 0);
    expect(&s, ": still here\n\n");
    event = (pn_http_sse){.data = PN_TEXT("")};
    CHECK_EQ(pn_http_exchange_send_event(x, &event), 0);
    expect(&s, "data: \n\n");
    event = (pn_http_sse){.event = PN_TEXT("a\nb"), .data = PN_TEXT("x")};
    CHECK_EQ(pn_http_exchange_send_event(x, &event), PN_EBAD_VALUE);
    event = (pn_http_sse){.id = PN_TEXT("a\0b")};
    CHECK_EQ(pn_http_exchange_send_event(x, &event), PN_EBAD_VALUE);
    pn_http_exchange_finish(x);
    expect(&s, "0\r\n\r\n");
    close_scene(&s);
}

/* ---- where it listens ---- */

TEST(server_on_a_unix_socket) {
    char path[64];
    snprintf(path, sizeof path, P_tmpdir "/pn-server-%d.sock", (int)getpid());
    scene s;
    open_hall(&s, (pn_http_server_options){.socket_path = pn_text_of(path)});
    raw_open_unix(&s.c, path);
    ask(&s, GET("/hello"), "hello");
    pn_http_server *second;
    pn_http_server_options options = {.socket_path = pn_text_of(path)};
    CHECK_EQ(pn_http_server_create(&s.h.w.io, &options, &second), -EADDRINUSE);
    close_scene(&s);
    CHECK(access(path, F_OK) != 0); /* libuv takes it away */
}

TEST(server_that_cannot_listen) {
    scene s;
    open_hall(&s, (pn_http_server_options){0});
    pn_http_server *second;
    pn_http_server_options options = {.port = pn_http_server_port(s.h.server)};
    CHECK_EQ(pn_http_server_create(&s.h.w.io, &options, &second), -EADDRINUSE);
    options = (pn_http_server_options){.host = PN_TEXT("example.com")};
    CHECK_EQ(pn_http_server_create(&s.h.w.io, &options, &second), PN_EBAD_CONFIG);
    options = (pn_http_server_options){.host = PN_TEXT("127.0.0.1:80")};
    CHECK_EQ(pn_http_server_create(&s.h.w.io, &options, &second), PN_EBAD_CONFIG);
    options = (pn_http_server_options){.host = PN_TEXT("203.0.113.1")};
    CHECK_EQ(pn_http_server_create(&s.h.w.io, &options, &second), -EADDRNOTAVAIL);
    options = (pn_http_server_options){.server_name = PN_TEXT("a\r\nb")};
    CHECK_EQ(pn_http_server_create(&s.h.w.io, &options, &second), PN_EBAD_CONFIG);
    close_hall(&s);
}
