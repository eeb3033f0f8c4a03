/*
 * The HTTP client against raw peers that say exactly what the test wants. Goal: every way in which
 * an exchange can go gives the right result once, and nothing is left behind.
 */
#include "net/http_client.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_headers.h"
#include "specs/c/http_peer.h"

#define OK(body_size, body) "HTTP/1.1 200 OK\r\nContent-Length: " body_size "\r\n\r\n" body
#define MS                  1000000ULL

typedef struct exchange {
    pn_http_call call;
    int done, hops, writable;
    unsigned hop_status;
    pn_buf body; /* of streamed ones */
    bool pauses;
} exchange;

static exchange *exchange_of(pn_http_call *call) { return call->user; }

static void on_done(pn_http_call *call) { exchange_of(call)->done++; }

static void on_hop(pn_http_call *call) {
    exchange_of(call)->hops++;
    exchange_of(call)->hop_status = call->response.head.status;
}

static void on_body(pn_http_call *call, const char *data, size_t size) {
    CHECK(pn_buf_add(&exchange_of(call)->body, data, size));
    if (exchange_of(call)->pauses) pn_http_call_pause(call);
}

static void on_writable(pn_http_call *call) { exchange_of(call)->writable++; }

static const pn_http_call_events events = {
    .on_done = on_done, .on_hop = on_hop, .on_writable = on_writable};
static const pn_http_call_events streaming = {.on_done = on_done, .on_body = on_body};

typedef struct bench {
    world w;
    pn_http_client *client;
} bench;

static void open_bench(bench *b, const pn_http_client_options *options) {
    world_open(&b->w);
    CHECK_EQ(pn_http_client_create(&b->w.io, options, &b->client, NULL), 0);
}

static void close_bench(bench *b) {
    pn_http_client_destroy(b->client);
    world_close(&b->w);
}

static void open_exchange(bench *b, exchange *x, const pn_http_call_events *table) {
    memset(x, 0, sizeof *x);
    pn_http_call_init(&x->call, table);
    x->call.user = x;
    pn_buf_init(&x->body, &b->w.ledger.door);
}

static void close_exchange(exchange *x) {
    pn_http_call_close(&x->call);
    pn_buf_close(&x->body);
}

static int start_with(bench *b, exchange *x, const pn_http_request_options *options) {
    pn_http_request *request;
    CHECK_EQ(pn_http_request_create(b->client, options, &request, NULL), 0);
    int err = pn_http_call_start(&x->call, request);
    pn_http_request_release(request);
    return err;
}

static void start(bench *b, exchange *x, const char *method, const char *url) {
    pn_http_request_options options = {.method = pn_text_of(method), .url = pn_text_of(url)};
    CHECK_EQ(start_with(b, x, &options), 0);
}

static void finish(bench *b, exchange *x) {
    RUN_UNTIL(&b->w, x->done > 0);
    CHECK_EQ(x->done, 1);
}

/* Sends and waits for the end. */
static void run(bench *b, exchange *x, const char *method, const char *url) {
    open_exchange(b, x, &events);
    start(b, x, method, url);
    finish(b, x);
}

static void check_body(const exchange *x, const char *body) {
    pn_buf whole = {.alloc = x->body.alloc, .limit_bytes = SIZE_MAX};
    CHECK(pn_http_message_gather(&x->call.response, &whole));
    CHECK_STR(pn_buf_text(&whole), body);
    CHECK_EQ(x->call.response.body_bytes, strlen(body));
    pn_buf_close(&whole);
}

static void check_ok(exchange *x, unsigned status, const char *body) {
    if (x->call.err != 0)
        pn_test_fail(__FILE__, __LINE__, "%s: %s", pn_err_name(x->call.err), x->call.why);
    CHECK_EQ(x->call.response.head.status, status);
    check_body(x, body);
}

typedef struct scene {
    bench b;
    exchange x;
    peer p;
    char url[128];
} scene;

static void open_scene(scene *s, const pn_http_client_options *options) {
    open_bench(&s->b, options);
    peer_start(&s->p);
    peer_url(&s->p, "/x?y=z", s->url);
}

static void close_scene(scene *s) {
    close_exchange(&s->x);
    peer_stop(&s->p);
    close_bench(&s->b);
}

/* One exchange with a peer that gives one answer. */
static void ask(scene *s, const char *const *answer, const char *method) {
    *s = (scene){.p = {.answers = answer, .answer_count = 1}};
    open_scene(s, NULL);
    run(&s->b, &s->x, method, s->url);
}

#define ASK(s, method, answer)                                                                     \
    static const char *const answers_[] = {answer};                                                \
    ask(s, answers_, method)

TEST(client_get) {
    scene s;
    ASK(&s, "GET", "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-Thing: a b \r\n\r\nhello");
    check_ok(&s.x, 200, "hello");
    pn_http_message *r = &s.x.call.response;
    CHECK(pn_text_equal(pn_http_message_header(r, PN_TEXT("x-thing")), PN_TEXT("a b")));
    CHECK(pn_http_message_header(r, PN_TEXT("x-other")).at == NULL);
    CHECK(pn_text_equal(pn_http_message_reason(r), PN_TEXT("Fine")));
    pn_text view;
    CHECK(pn_http_message_view(r, &view));
    CHECK(pn_text_equal(view, PN_TEXT("hello")));
    char expected[256];
    snprintf(expected, sizeof expected, "GET /x?y=z HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
             (unsigned)s.p.port);
    CHECK(peer_received(&s.p, expected));
    CHECK_EQ(s.x.call.bytes_sent, strlen(expected));
    CHECK_EQ(s.x.call.bytes_received, 60);
    close_scene(&s);
}

/* The phases lie one behind the other within the call's time. */
TEST(client_timings) {
    scene s = {0};
    static const char *const answers[] = {OK("0", "")};
    s.p = (peer){.answers = answers, .answer_count = 1};
    open_scene(&s, NULL);
    for (int i = 0; i < 2; i++) {
        run(&s.b, &s.x, "GET", s.url);
        const pn_http_timings *t = &s.x.call.timings;
        uint64_t sum =
            t->blocked_ns + t->connecting_ns + t->tls_handshaking_ns + pn_http_duration_ns(t);
        CHECK_EQ(sum, s.x.call.ended_ns - s.x.call.started_ns);
        CHECK_EQ(s.x.call.is_reused, i == 1);
        CHECK_EQ(t->connecting_ns > 0, i == 0);
        CHECK_EQ(t->tls_handshaking_ns, 0);
        CHECK(t->waiting_ns > 0);
        if (i == 0) close_exchange(&s.x);
    }
    CHECK_EQ(atomic_load(&s.p.connections), 1);
    close_scene(&s);
}

TEST(client_bodies) {
    static const char *const cases[][3] = {
        {"GET", OK("0", ""), ""},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         "hello"},
        {"GET",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n3;x\r\ndef\r\n"
         "0\r\n\r\n",
         "abcdef"},
        {"GET", "!HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"},
        {"GET", "!HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
        {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK("1", "a"),
         "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scene s;
        ask(&s, &cases[i][1], cases[i][0]);
        check_ok(&s.x, 200, cases[i][2]);
        close_scene(&s);
    }
}

TEST(client_statuses_without_body) {
    scene s;
    ASK(&s, "GET", "HTTP/1.1 204 No Content\r\n\r\n");
    check_ok(&s.x, 204, "");
    close_scene(&s);
    static const char *const not_modified[] = {
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"};
    ask(&s, not_modified, "GET");
    check_ok(&s.x, 304, "");
    close_scene(&s);
}

TEST(client_trailers) {
    scene s;
    ASK(&s, "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nDigest: x\r\nY: "
        "z\r\n\r\n");
    check_ok(&s.x, 200, "hi");
    pn_text trailers = pn_http_message_trailers(&s.x.call.response);
    CHECK(pn_text_equal(pn_http_headers_find(trailers, PN_TEXT("digest")), PN_TEXT("x")));
    close_scene(&s);
}

/* Byte by byte: the slow path for heads and bodies gives the same. */
static void serve_dribble(peer *p, int fd, int connection) {
    (void)connection;
    const char *answer = p->arg;
    while (peer_read_request(p, fd)) {
        for (const char *at = answer; *at != '\0'; at++) {
            if (!peer_send(fd, at, 1)) return;
            usleep(200);
        }
    }
}

TEST(client_answers_in_scraps) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nT: "
        "u\r\n\r\n",
    };
    for (int i = 0; i < 2; i++) {
        scene s = {.p = {.serve = serve_dribble, .arg = (void *)(uintptr_t)answers[i]}};
        open_scene(&s, NULL);
        run(&s.b, &s.x, "GET", s.url);
        check_ok(&s.x, 200, "hello world");
        CHECK(pn_http_message_trailers(&s.x.call.response).size == (i == 0 ? 0 : 6));
        close_exchange(&s.x);
        run(&s.b, &s.x, "GET", s.url); /* the connection is as good as new */
        check_ok(&s.x, 200, "hello world");
        CHECK(s.x.call.is_reused);
        close_scene(&s);
    }
}

/* ---- the pool ---- */

static pn_http_client_stats stats_of(const bench *b) {
    pn_http_client_stats stats;
    pn_http_client_stats_get(b->client, &stats);
    return stats;
}

static void open_answering(scene *s, const char *const *answers, size_t count,
                           const pn_http_client_options *options) {
    *s = (scene){.p = {.answers = answers, .answer_count = count}};
    open_scene(s, options);
}

static const char *const ok_only[] = {OK("2", "ok")};

TEST(client_connection_limit_queues) {
    scene s;
    exchange more[5];
    open_answering(&s, ok_only, 1, &(pn_http_client_options){.connections_per_host = 1});
    for (int i = 0; i < 5; i++) {
        open_exchange(&s.b, &more[i], &events);
        start(&s.b, &more[i], "GET", s.url);
    }
    CHECK_EQ(stats_of(&s.b).connections, 1);
    CHECK_EQ(stats_of(&s.b).waiting_calls, 4);
    uint64_t last_ns = 0; /* when the one before was over */
    for (int i = 0; i < 5; i++) {
        finish(&s.b, &more[i]);
        check_ok(&more[i], 200, "ok");
        CHECK(more[i].call.started_ns + more[i].call.timings.blocked_ns >= last_ns);
        last_ns = more[i].call.ended_ns;
        close_exchange(&more[i]);
    }
    CHECK_EQ(atomic_load(&s.p.connections), 1);
    CHECK_EQ(stats_of(&s.b).idle_connections, 1);
    open_exchange(&s.b, &s.x, &events);
    close_scene(&s);
}

/* A call that arrives while others wait goes behind them, even when it is started by one that
 * ends. */
TEST(client_waiting_calls_time_out_and_cancel) {
    scene s = {.p = {.serve = serve_dribble, .arg = (void *)(uintptr_t)OK("2", "ok")}};
    exchange slow, late, cancelled;
    open_scene(&s, &(pn_http_client_options){.connections_per_host = 1});
    open_exchange(&s.b, &slow, &events);
    open_exchange(&s.b, &late, &events);
    open_exchange(&s.b, &cancelled, &events);
    open_exchange(&s.b, &s.x, &events);
    start(&s.b, &slow, "GET", s.url);
    late.call.timeout_ns = MS;
    start(&s.b, &late, "GET", s.url);
    start(&s.b, &cancelled, "GET", s.url);
    start(&s.b, &s.x, "GET", s.url);
    CHECK_EQ(stats_of(&s.b).waiting_calls, 3);
    pn_http_call_cancel(&cancelled.call);
    CHECK_EQ(stats_of(&s.b).waiting_calls, 2);
    finish(&s.b, &late);
    CHECK_EQ(late.call.err, PN_ETIMEOUT);
    CHECK_EQ(late.call.phase, PN_HTTP_PHASE_BLOCKED);
    CHECK(late.call.timings.blocked_ns >= MS);
    finish(&s.b, &slow);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    CHECK_EQ(cancelled.done, 0);
    CHECK_EQ(cancelled.call.err, PN_ECANCELLED);
    close_exchange(&slow);
    close_exchange(&late);
    close_exchange(&cancelled);
    close_scene(&s);
}

TEST(client_idle_timeout) {
    scene s;
    open_answering(&s, ok_only, 1, &(pn_http_client_options){.idle_timeout_ns = 5 * MS});
    run(&s.b, &s.x, "GET", s.url);
    CHECK_EQ(stats_of(&s.b).idle_connections, 1);
    RUN_UNTIL(&s.b.w, stats_of(&s.b).connections == 0);
    CHECK_EQ(stats_of(&s.b).idle_connections, 0);
    close_scene(&s);
}

TEST(client_without_reuse) {
    scene s;
    open_answering(&s, ok_only, 1, &(pn_http_client_options){.no_reuse = true});
    for (int i = 0; i < 3; i++) {
        run(&s.b, &s.x, "GET", s.url);
        check_ok(&s.x, 200, "ok");
        if (i < 2) close_exchange(&s.x);
    }
    CHECK_EQ(stats_of(&s.b).idle_connections, 0);
    CHECK(peer_received(&s.p, "Connection: close\r\n"));
    RUN_UNTIL(&s.b.w, stats_of(&s.b).connections == 0);
    CHECK_EQ(stats_of(&s.b).connections_made, 3);
    close_scene(&s);
}

TEST(client_close_headers_are_obeyed) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    };
    for (int i = 0; i < 3; i++) {
        scene s;
        open_answering(&s, &answers[i], 1, NULL);
        run(&s.b, &s.x, "GET", s.url);
        check_ok(&s.x, 200, "ok");
        CHECK_EQ(stats_of(&s.b).idle_connections, i == 2);
        close_scene(&s);
    }
}

/* Bytes that nobody asked for spoil a connection: the next request must not take them for its
 * answer. */
TEST(client_unasked_bytes_close_the_connection) {
    scene s;
    static const char *const answers[] = {OK("2", "ok") "HTTP/1.1 200 OK\r\n\r\n"};
    open_answering(&s, answers, 1, NULL);
    run(&s.b, &s.x, "GET", s.url);
    check_ok(&s.x, 200, "ok");
    RUN_UNTIL(&s.b.w, stats_of(&s.b).connections == 0);
    close_scene(&s);
}

/* ---- kept connections that died ---- */

/* Answers the first request of each connection and closes when the second has come. */
static void serve_one_each(peer *p, int fd, int connection) {
    (void)connection;
    if (peer_read_request(p, fd)) peer_say(fd, OK("2", "ok"));
    peer_read_request(p, fd);
}

static int second_over_stale(scene *s, const char *method, pn_text body) {
    *s = (scene){.p = {.serve = serve_one_each}};
    open_scene(s, NULL);
    run(&s->b, &s->x, "GET", s->url);
    check_ok(&s->x, 200, "ok");
    close_exchange(&s->x);
    open_exchange(&s->b, &s->x, &events);
    s->x.call.body = body;
    start(&s->b, &s->x, method, s->url);
    finish(&s->b, &s->x);
    return s->x.call.err;
}

TEST(client_repeats_on_a_fresh_connection) {
    scene s;
    CHECK_EQ(second_over_stale(&s, "GET", PN_TEXT_NONE), 0);
    check_ok(&s.x, 200, "ok");
    CHECK(!s.x.call.is_reused);
    CHECK_EQ(atomic_load(&s.p.connections), 2);
    CHECK_EQ(s.x.done, 1);
    close_scene(&s);
    CHECK_EQ(second_over_stale(&s, "OPTIONS", PN_TEXT("x")), 0);
    close_scene(&s);
}

TEST(client_does_not_repeat_what_may_have_been_done) {
    scene s;
    CHECK_EQ(second_over_stale(&s, "POST", PN_TEXT("x")), PN_EEOF);
    CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_WAITING);
    CHECK_EQ(atomic_load(&s.p.connections), 1);
    close_scene(&s);
}

static void serve_one_and_a_half(peer *p, int fd, int connection) {
    (void)connection;
    if (peer_read_request(p, fd)) peer_say(fd, OK("2", "ok"));
    if (peer_read_request(p, fd)) peer_say(fd, OK("20", "half"));
}

/* An answer that has begun is not asked for again, whatever the time is: virtual time begins at
 * 0. */
TEST(client_does_not_repeat_what_is_cut_off) {
    scene s = {.p = {.serve = serve_one_and_a_half}};
    world_open_still(&s.b.w);
    CHECK_EQ(pn_http_client_create(&s.b.w.io, NULL, &s.b.client, NULL), 0);
    peer_start(&s.p);
    peer_url(&s.p, "/", s.url);
    run(&s.b, &s.x, "GET", s.url);
    check_ok(&s.x, 200, "ok");
    close_exchange(&s.x);
    run(&s.b, &s.x, "GET", s.url);
    CHECK(s.x.call.is_reused);
    CHECK_EQ(s.x.call.err, PN_EBAD_HTTP);
    CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_RECEIVING);
    CHECK_EQ(atomic_load(&s.p.connections), 1);
    close_exchange(&s.x);
    peer_stop(&s.p);
    world_let_go(&s.b.w);
    close_bench(&s.b);
}

/* Every connection dies without an answer: one try on a fresh one, not more. */
static void serve_first_only(peer *p, int fd, int connection) {
    if (peer_read_request(p, fd) && connection == 0) peer_say(fd, OK("2", "ok"));
    if (connection == 0) peer_read_request(p, fd);
}

TEST(client_repeats_once) {
    scene s = {.p = {.serve = serve_first_only}};
    open_scene(&s, NULL);
    run(&s.b, &s.x, "GET", s.url);
    close_exchange(&s.x);
    run(&s.b, &s.x, "GET", s.url);
    CHECK_EQ(s.x.call.err, PN_EEOF);
    CHECK_EQ(atomic_load(&s.p.connections), 2);
    CHECK_EQ(atomic_load(&s.p.requests), 3);
    close_scene(&s);
}

/* ---- redirects ---- */

static void check_redirect(const char *status_line, const char *method, const char *method_then,
                           bool body_then) {
    char answer[256];
    snprintf(answer, sizeof answer, "%s\r\nLocation: ../next?q#f\r\nContent-Length: 4\r\n\r\ngone",
             status_line);
    const char *const answers[] = {answer, OK("2", "ok")};
    scene s;
    open_answering(&s, answers, 2, NULL);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.body = PN_TEXT("data");
    pn_http_header header = {PN_TEXT("Content-Type"), PN_TEXT("text/plain")};
    char from[256];
    peer_url(&s.p, "/a/b/c", from);
    pn_http_request_options options = {.method = pn_text_of(method),
                                       .url = pn_text_of(from),
                                       .headers = &header,
                                       .header_count = 1};
    CHECK_EQ(start_with(&s.b, &s.x, &options), 0);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, strcmp(method, "HEAD") == 0 ? "" : "ok");
    CHECK_EQ(s.x.hops, 1);
    CHECK_EQ(s.x.call.redirect_count, 1);
    char expected[256];
    snprintf(expected, sizeof expected, "%s /a/next?q HTTP/1.1\r\n", method_then);
    CHECK(peer_received(&s.p, expected));
    pthread_mutex_lock(&s.p.lock);
    const char *second = strstr(s.p.received, expected);
    CHECK_EQ(strstr(second, "data") != NULL, body_then);
    CHECK_EQ(strstr(second, "Content-Type") != NULL, body_then);
    CHECK_EQ(strstr(second, "Content-Length: 4") != NULL, body_then);
    pthread_mutex_unlock(&s.p.lock);
    peer_url(&s.p, "/a/next?q", from);
    CHECK(pn_text_equal(pn_http_request_url(s.x.call.request), pn_text_of(from)));
    close_scene(&s);
}

TEST(client_redirects) {
    check_redirect("HTTP/1.1 301 Moved", "POST", "GET", false);
    check_redirect("HTTP/1.1 302 Found", "PUT", "GET", false);
    check_redirect("HTTP/1.1 303 See", "DELETE", "GET", false);
    check_redirect("HTTP/1.1 307 Temporary", "POST", "POST", true);
    check_redirect("HTTP/1.1 308 Permanent", "PATCH", "PATCH", true);
}

static int follow_many(scene *s, uint32_t redirects_max, int redirects) {
    static const char *answers[16];
    for (int i = 0; i < 16; i++) {
        answers[i] = i < redirects
                         ? "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
                         : OK("2", "ok");
    }
    open_answering(s, answers, 16, NULL);
    open_exchange(&s->b, &s->x, &events);
    s->x.call.redirects_max = redirects_max;
    start(&s->b, &s->x, "GET", s->url);
    finish(&s->b, &s->x);
    return s->x.call.err;
}

TEST(client_redirect_limit) {
    scene s;
    CHECK_EQ(follow_many(&s, PN_HTTP_REDIRECTS_MAX, PN_HTTP_REDIRECTS_MAX), 0);
    check_ok(&s.x, 200, "ok");
    close_scene(&s);
    CHECK_EQ(follow_many(&s, PN_HTTP_REDIRECTS_MAX, PN_HTTP_REDIRECTS_MAX + 1),
             PN_ETOO_MANY_REDIRECTS);
    CHECK_EQ(s.x.call.response.head.status, 302); /* the last answer is there */
    CHECK_EQ(s.x.hops, PN_HTTP_REDIRECTS_MAX);
    close_scene(&s);
    CHECK_EQ(follow_many(&s, 0, 1), 0);
    CHECK_EQ(s.x.call.response.head.status, 302);
    CHECK_EQ(s.x.hops, 0);
    close_scene(&s);
}

TEST(client_redirects_that_lead_nowhere) {
    static const char *const answers[] = {
        "HTTP/1.1 302 F\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 F\r\nLocation: http://\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 F\r\nLocation: http+unix://%2Ftmp%2Fx/\r\nContent-Length: 0\r\n\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        scene s;
        ask(&s, &answers[i], "GET");
        CHECK_EQ(s.x.call.err, PN_EBAD_URL);
        CHECK(s.x.call.why[0] != '\0');
        CHECK_EQ(s.x.call.response.head.status, 302);
        close_scene(&s);
    }
    scene s;
    ASK(&s, "GET", "HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nno");
    check_ok(&s.x, 302, "no"); /* without Location it is an answer */
    close_scene(&s);
}

/* Authorization and Cookie do not follow to another host. */
static void check_secrets(bool same_host) {
    scene s;
    peer other = {.answers = ok_only, .answer_count = 1};
    peer_start(&other);
    char answer[256];
    snprintf(
        answer, sizeof answer,
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/next\r\nContent-Length: 0\r\n\r\n",
        (unsigned)other.port);
    const char *const answers[] = {same_host ? "HTTP/1.1 302 Found\r\nLocation: /next\r\n"
                                               "Content-Length: 0\r\n\r\n"
                                             : answer,
                                   OK("2", "ok")};
    open_answering(&s, answers, 2, NULL);
    open_exchange(&s.b, &s.x, &events);
    const pn_http_header headers[] = {{PN_TEXT("Cookie"), PN_TEXT("secret=1")},
                                      {PN_TEXT("X-Open"), PN_TEXT("yes")}};
    pn_http_request_options options = {.url = pn_text_of(s.url),
                                       .headers = headers,
                                       .header_count = 2,
                                       .user = PN_TEXT("bob"),
                                       .password = PN_TEXT("p:w")};
    CHECK_EQ(start_with(&s.b, &s.x, &options), 0);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(&s.p, "Authorization: Basic Ym9iOnA6dw==\r\n"));
    if (same_host) {
        pthread_mutex_lock(&s.p.lock);
        const char *second = strstr(s.p.received, "GET /next");
        CHECK(second != NULL && strstr(second, "Authorization: Basic") != NULL);
        CHECK(strstr(second, "Cookie: secret=1") != NULL);
        pthread_mutex_unlock(&s.p.lock);
    } else {
        CHECK(peer_received(&other, "X-Open: yes"));
        CHECK(!peer_received(&other, "Cookie"));
        CHECK(!peer_received(&other, "Authorization"));
    }
    peer_stop(&other);
    close_scene(&s);
}

TEST(client_secrets_stay_with_their_host) {
    check_secrets(false);
    check_secrets(true);
}

TEST(client_auth_of_the_url) {
    scene s;
    open_answering(&s, ok_only, 1, NULL);
    char url[128];
    snprintf(url, sizeof url, "http://us%%20er:p%%3Aw@127.0.0.1:%u/", (unsigned)s.p.port);
    run(&s.b, &s.x, "GET", url);
    CHECK(peer_received(&s.p, "Authorization: Basic dXMgZXI6cDp3\r\n"));
    CHECK(!peer_received(&s.p, "us%20er"));
    close_scene(&s);
}

/* ---- time-outs and cancelling ---- */

static void serve_silence(peer *p, int fd, int connection) {
    (void)connection;
    peer_read_request(p, fd);
    if (p->arg != NULL) peer_say(fd, p->arg);
    peer_wait_end(p, fd);
}

static int with_silence(scene *s, const char *beginning, uint64_t whole_ns,
                        uint64_t first_byte_ns) {
    *s = (scene){.p = {.serve = serve_silence, .arg = (void *)(uintptr_t)beginning}};
    open_scene(s, NULL);
    open_exchange(&s->b, &s->x, &events);
    s->x.call.timeout_ns = whole_ns;
    s->x.call.first_byte_timeout_ns = first_byte_ns;
    start(&s->b, &s->x, "GET", s->url);
    finish(&s->b, &s->x);
    return s->x.call.err;
}

TEST(client_timeout_whole) {
    scene s;
    CHECK_EQ(with_silence(&s, NULL, 20 * MS, 0), PN_ETIMEOUT);
    CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_WAITING);
    CHECK(s.x.call.ended_ns - s.x.call.started_ns >= 20 * MS);
    CHECK_EQ(pn_http_error_code(s.x.call.err, s.x.call.phase, 0), 1050);
    CHECK_EQ(stats_of(&s.b).idle_connections, 0);
    close_scene(&s);
    CHECK_EQ(with_silence(&s, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx", 20 * MS, 0),
             PN_ETIMEOUT);
    CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_RECEIVING);
    close_scene(&s);
}

TEST(client_timeout_first_byte) {
    scene s;
    CHECK_EQ(with_silence(&s, NULL, 60000 * MS, 20 * MS), PN_ETIMEOUT);
    CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_WAITING);
    CHECK(s.x.call.timings.waiting_ns >= 20 * MS);
    close_scene(&s);
    /* It is over when the first byte is there, however late the rest. */
    CHECK_EQ(with_silence(&s, "HTTP/1.1 200", 60 * MS, 20 * MS), PN_ETIMEOUT);
    CHECK(s.x.call.ended_ns - s.x.call.started_ns >= 60 * MS);
    close_scene(&s);
}

/* A listener whose queue is full lets further connections hang. */
TEST(client_timeout_connect) {
    bench b;
    exchange x;
    open_bench(&b, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), fill[4];
    CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(fd, 0), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&address, sizeof address);
    }
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    open_exchange(&b, &x, &events);
    x.call.connect_timeout_ns = 30 * MS;
    start(&b, &x, "GET", url);
    finish(&b, &x);
    CHECK_EQ(x.call.err, PN_ETIMEOUT);
    CHECK_EQ(x.call.phase, PN_HTTP_PHASE_CONNECTING);
    CHECK_EQ(pn_http_error_code(x.call.err, x.call.phase, 0), 1211);
    close_exchange(&x);
    for (int i = 0; i < 4; i++) close(fill[i]);
    close(fd);
    close_bench(&b);
}

TEST(client_refused) {
    bench b;
    exchange x;
    open_bench(&b, NULL);
    peer p = {0};
    char url[128];
    peer_start(&p);
    peer_url(&p, "/", url);
    peer_stop(&p); /* nobody is there any more */
    run(&b, &x, "GET", url);
    CHECK_EQ(x.call.err, -ECONNREFUSED);
    CHECK_EQ(x.call.phase, PN_HTTP_PHASE_CONNECTING);
    CHECK_EQ(pn_http_error_code(x.call.err, x.call.phase, 0), 1212);
    CHECK_EQ(x.call.response.head.status, 0);
    close_exchange(&x);
    close_bench(&b);
}

/* Cancelled after each number of turns, so at every stage: resolving, connecting, waiting,
 * receiving. */
TEST(client_cancel_at_any_moment) {
    for (int turns = 0; turns < 12; turns++) {
        scene s = {.p = {.serve = serve_dribble, .arg = (void *)(uintptr_t)OK("2", "ok")}};
        open_scene(&s, NULL);
        open_exchange(&s.b, &s.x, &events);
        char url[128];
        snprintf(url, sizeof url, "http://localhost:%u/", (unsigned)s.p.port);
        start(&s.b, &s.x, "GET", url);
        for (int i = 0; i < turns; i++) pn_io_turn(&s.b.w.io, 1);
        pn_http_call_cancel(&s.x.call);
        pn_http_call_cancel(&s.x.call);
        CHECK(!pn_http_call_is_running(&s.x.call));
        CHECK(s.x.done > 0 || s.x.call.err == PN_ECANCELLED);
        close_scene(&s);
    }
}

TEST(client_destroyed_while_busy) {
    scene s = {.p = {.serve = serve_silence}};
    open_scene(&s, NULL);
    exchange more[3];
    for (int i = 0; i < 3; i++) {
        open_exchange(&s.b, &more[i], &events);
        start(&s.b, &more[i], "GET", s.url);
    }
    RUN_UNTIL(&s.b.w, atomic_load(&s.p.requests) > 0);
    for (int i = 0; i < 3; i++) pn_http_call_cancel(&more[i].call);
    for (int i = 0; i < 3; i++) close_exchange(&more[i]);
    open_exchange(&s.b, &s.x, &events);
    close_scene(&s);
}

/* ---- uploads ---- */

static void serve_sum(peer *p, int fd, int connection) {
    (void)connection;
    peer_wait(p, 30); /* the client's writes fill up */
    if (!peer_read_request(p, fd)) return;
    peer_say(fd, OK("2", "ok"));
    peer_wait_end(p, fd);
}

TEST(client_large_body) {
    scene s = {.p = {.serve = serve_sum}};
    open_scene(&s, NULL);
    size_t size = 32 << 20;
    char *body = malloc(size);
    memset(body, 'b', size);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.body = pn_text_make(body, size);
    start(&s.b, &s.x, "POST", s.url);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    CHECK(s.x.call.bytes_sent > size && s.x.call.bytes_sent < size + 200);
    CHECK(s.x.call.timings.sending_ns >= 20 * MS);
    free(body);
    close_scene(&s);
}

static void stream_upload(exchange *x, bench *b, const char *const *pieces, int count) {
    for (int i = 0; i < count; i++) {
        RUN_UNTIL(&b->w, pn_http_call_is_writable(&x->call));
        CHECK_INT(pn_http_call_write(&x->call, pieces[i], strlen(pieces[i])), >=, 0);
    }
    RUN_UNTIL(&b->w, pn_http_call_is_writable(&x->call));
}

TEST(client_upload_chunked) {
    scene s;
    open_answering(&s, ok_only, 1, NULL);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.upload = PN_HTTP_UPLOAD_CHUNKED;
    start(&s.b, &s.x, "POST", s.url);
    CHECK_EQ(pn_http_call_write(&s.x.call, "x", 1), PN_EBAD_VALUE); /* not connected yet */
    RUN_UNTIL(&s.b.w, s.x.writable == 1);
    stream_upload(&s.x, &s.b, (const char *const[]){"hello ", "", "0123456789abcdef!"}, 3);
    CHECK_EQ(pn_http_call_finish(&s.x.call), 0);
    CHECK_EQ(pn_http_call_finish(&s.x.call), PN_EBAD_VALUE);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(&s.p, "Transfer-Encoding: chunked\r\n"));
    CHECK(peer_received(&s.p, "\r\n\r\n6\r\nhello \r\n11\r\n0123456789abcdef!\r\n0\r\n\r\n"));
    CHECK(!peer_received(&s.p, "Content-Length"));
    CHECK_EQ(stats_of(&s.b).idle_connections, 1);
    close_scene(&s);
}

TEST(client_upload_sized) {
    scene s;
    open_answering(&s, ok_only, 1, NULL);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.upload = PN_HTTP_UPLOAD_SIZED;
    s.x.call.upload_size = 8;
    start(&s.b, &s.x, "PUT", s.url);
    stream_upload(&s.x, &s.b, (const char *const[]){"hello"}, 1);
    CHECK_EQ(pn_http_call_finish(&s.x.call), PN_EBAD_VALUE);
    CHECK_EQ(pn_http_call_write(&s.x.call, "1234", 4), PN_EBAD_VALUE);
    stream_upload(&s.x, &s.b, (const char *const[]){"123"}, 1);
    CHECK_EQ(pn_http_call_finish(&s.x.call), 0);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(&s.p, "Content-Length: 8\r\n\r\nhello123"));
    close_scene(&s);
}

/* Much more than the sockets hold: the writer is told to wait and woken again. */
TEST(client_upload_back_pressure) {
    scene s = {.p = {.serve = serve_sum}};
    open_scene(&s, NULL);
    size_t piece = 1 << 20, pieces = 24;
    char *data = malloc(piece);
    memset(data, 'p', piece);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.upload = PN_HTTP_UPLOAD_SIZED;
    s.x.call.upload_size = piece * pieces;
    start(&s.b, &s.x, "PUT", s.url);
    int waits = 0;
    for (size_t i = 0; i < pieces; i++) {
        RUN_UNTIL(&s.b.w, pn_http_call_is_writable(&s.x.call));
        int before = s.x.writable;
        if (pn_http_call_write(&s.x.call, data, piece) == 0) continue;
        waits++;
        CHECK(!pn_http_call_is_writable(&s.x.call));
        RUN_UNTIL(&s.b.w, s.x.writable == before + 1);
    }
    CHECK(waits > 0);
    CHECK_EQ(pn_http_call_finish(&s.x.call), 0);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    free(data);
    close_scene(&s);
}

/* ---- Expect: 100-continue ---- */

static void serve_expecting(peer *p, int fd, int connection) {
    (void)connection;
    char line[512];
    size_t n = 0;
    while (recv(fd, line + n, 1, 0) == 1 && ++n < sizeof line - 1) {
        line[n] = '\0';
        if (n > 4 && strcmp(line + n - 4, "\r\n\r\n") == 0) break;
    }
    if (strstr(line, "Expect: 100-continue\r\n") == NULL) return;
    const char *answer = p->arg;
    bool asks = strncmp(answer, "HTTP/1.1 100", 12) == 0;
    if (asks || answer[0] == '\0') {
        peer_say(fd, answer);
        char body[5];
        if (recv(fd, body, 4, MSG_WAITALL) != 4 || memcmp(body, "data", 4) != 0) return;
        peer_say(fd, OK("2", "ok"));
    } else {
        peer_say(fd, answer);
    }
    peer_wait_end(p, fd);
}

static void expect_continue(scene *s, const char *answer) {
    *s = (scene){.p = {.serve = serve_expecting, .arg = (void *)(uintptr_t)answer}};
    open_scene(s, NULL);
    open_exchange(&s->b, &s->x, &events);
    s->x.call.body = PN_TEXT("data");
    pn_http_request_options options = {
        .method = PN_TEXT("POST"), .url = pn_text_of(s->url), .expect_continue = true};
    CHECK_EQ(start_with(&s->b, &s->x, &options), 0);
    finish(&s->b, &s->x);
}

TEST(client_expect_continue) {
    scene s;
    expect_continue(&s, "HTTP/1.1 100 Continue\r\n\r\n");
    check_ok(&s.x, 200, "ok");
    CHECK_EQ(stats_of(&s.b).idle_connections, 1);
    close_scene(&s);
    expect_continue(&s, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    check_ok(&s.x, 417, "");
    CHECK_EQ(stats_of(&s.b).idle_connections, 0); /* the server may still wait for the body */
    CHECK(s.x.call.bytes_sent < 150);
    close_scene(&s);
    expect_continue(&s, ""); /* one that does not know the word gets the body after a second */
    check_ok(&s.x, 200, "ok");
    CHECK(s.x.call.ended_ns - s.x.call.started_ns >= PN_HTTP_CONTINUE_TIMEOUT_NS);
    close_scene(&s);
}

/* An answer before the request is all sent: taken, and the connection not used again. */
static void serve_too_large(peer *p, int fd, int connection) {
    (void)connection;
    char block[1000];
    if (recv(fd, block, sizeof block, 0) > 0)
        peer_say(fd, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    peer_wait(p, 50);
}

TEST(client_answer_before_the_upload_ends) {
    scene s = {.p = {.serve = serve_too_large}};
    open_scene(&s, NULL);
    size_t size = 32 << 20;
    char *body = calloc(1, size);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.body = pn_text_make(body, size);
    start(&s.b, &s.x, "POST", s.url);
    finish(&s.b, &s.x);
    check_ok(&s.x, 413, "no");
    CHECK_EQ(pn_http_error_code(0, s.x.call.phase, 413), 1413);
    CHECK_EQ(stats_of(&s.b).idle_connections, 0);
    free(body);
    close_scene(&s);
}

/* ---- what is kept of a body ---- */

TEST(client_discard) {
    scene s;
    open_answering(&s, ok_only, 1, NULL);
    open_exchange(&s.b, &s.x, &events);
    s.x.call.discard_body = true;
    start(&s.b, &s.x, "GET", s.url);
    finish(&s.b, &s.x);
    CHECK_EQ(s.x.call.err, 0);
    CHECK_EQ(s.x.call.response.body_bytes, 2);
    pn_text view;
    CHECK(pn_http_message_view(&s.x.call.response, &view));
    CHECK_EQ(view.size, 0);
    CHECK_EQ(s.x.call.response.held_bytes, s.x.call.response.head.size);
    close_scene(&s);
}

static void serve_endless(peer *p, int fd, int connection) {
    (void)connection;
    char block[65536];
    memset(block, 'e', sizeof block);
    if (!peer_read_request(p, fd) || !peer_say(fd, p->arg)) return;
    while (!atomic_load(&p->stopping) && peer_send(fd, block, sizeof block)) {}
}

TEST(client_endless_body_meets_its_limit) {
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n"};
    for (int i = 0; i < 6; i++) {
        scene s = {.p = {.serve = serve_endless, .arg = (void *)(uintptr_t)heads[i % 3]}};
        open_scene(&s, NULL);
        open_exchange(&s.b, &s.x, &events);
        s.x.call.body_limit_bytes = 1 << 20;
        s.x.call.discard_body = i >= 3;
        start(&s.b, &s.x, "GET", s.url);
        finish(&s.b, &s.x);
        CHECK_EQ(s.x.call.err, PN_ETOO_LARGE);
        CHECK_INT(s.x.call.response.body_bytes, <=, 1 << 20);
        CHECK_INT(pn_ledger_live(&s.b.w.ledger), <, 4 << 20);
        close_scene(&s);
    }
}

TEST(client_body_limit_edge) {
    for (uint64_t limit = 4; limit <= 5; limit++) {
        static const char *const answers[] = {OK("5", "hello")};
        scene s;
        open_answering(&s, answers, 1, NULL);
        open_exchange(&s.b, &s.x, &events);
        s.x.call.body_limit_bytes = limit;
        start(&s.b, &s.x, "GET", s.url);
        finish(&s.b, &s.x);
        CHECK_EQ(s.x.call.err, limit == 5 ? 0 : PN_ETOO_LARGE);
        close_scene(&s);
    }
}

static void serve_megabytes(peer *p, int fd, int connection) {
    (void)connection;
    char block[65536];
    while (peer_read_request(p, fd)) {
        peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n");
        for (int i = 0; i < 128; i++) {
            memset(block, 'a' + i % 26, sizeof block);
            if (!peer_send(fd, block, sizeof block)) return;
        }
    }
}

static void check_megabytes(const char *data, size_t size) {
    CHECK_EQ(size, 8 << 20);
    for (size_t i = 0; i < size; i += 4096) CHECK_EQ(data[i], 'a' + (char)(i / 65536 % 26));
}

TEST(client_large_answer_is_kept_whole) {
    scene s = {.p = {.serve = serve_megabytes}};
    open_scene(&s, NULL);
    run(&s.b, &s.x, "GET", s.url);
    CHECK_EQ(s.x.call.err, 0);
    CHECK_EQ(s.x.call.response.held_bytes, s.x.call.response.head.size + (8 << 20));
    CHECK(pn_http_message_gather(&s.x.call.response, &s.x.body));
    check_megabytes(s.x.body.data, s.x.body.size);
    close_scene(&s);
}

/* Paused after each piece, resumed from outside: nothing is lost, nothing comes while it is
 * paused. */
TEST(client_streamed_answer_with_back_pressure) {
    scene s = {.p = {.serve = serve_megabytes}};
    open_scene(&s, NULL);
    open_exchange(&s.b, &s.x, &streaming);
    s.x.pauses = true;
    start(&s.b, &s.x, "GET", s.url);
    int resumes = 0;
    while (s.x.done == 0) {
        size_t before = s.x.body.size;
        RUN_UNTIL(&s.b.w, s.x.body.size > before || s.x.done > 0);
        size_t after = s.x.body.size;
        if (resumes < 3) {
            for (int i = 0; i < 3; i++) pn_io_turn(&s.b.w.io, 1);
            CHECK(s.x.body.size == after || s.x.done > 0);
        }
        pn_http_call_resume(&s.x.call);
        resumes++;
    }
    CHECK_EQ(s.x.call.err, 0);
    CHECK(resumes > 8);
    check_megabytes(s.x.body.data, s.x.body.size);
    CHECK_EQ(s.x.call.response.body_bytes, 8 << 20);
    close_exchange(&s.x);
    run(&s.b, &s.x, "GET", s.url); /* a paused connection reads again for the next call */
    CHECK_EQ(s.x.call.err, 0);
    CHECK(s.x.call.is_reused);
    close_scene(&s);
}

static void cancel_on_body(pn_http_call *call, const char *data, size_t size) {
    (void)data, (void)size;
    exchange_of(call)->hops++;
    pn_http_call_cancel(call);
}

TEST(client_cancelled_by_its_own_event) {
    static const pn_http_call_events table = {.on_done = on_done, .on_body = cancel_on_body};
    scene s = {.p = {.serve = serve_megabytes}};
    open_scene(&s, NULL);
    open_exchange(&s.b, &s.x, &table);
    start(&s.b, &s.x, "GET", s.url);
    RUN_UNTIL(&s.b.w, s.x.hops > 0);
    CHECK_EQ(s.x.hops, 1);
    CHECK_EQ(s.x.done, 0);
    CHECK_EQ(s.x.call.err, PN_ECANCELLED);
    close_scene(&s);
}

/* ---- who pays ---- */

typedef struct account {
    int64_t held, most, limit;
} account;

static bool charge(void *owner, int64_t bytes) {
    account *a = owner;
    if (bytes > 0 && a->held + bytes > a->limit) return false;
    a->held += bytes;
    if (a->held > a->most) a->most = a->held;
    return true;
}

TEST(client_charges_the_owner) {
    for (int fits = 0; fits <= 1; fits++) {
        account a = {.limit = fits ? 9 << 20 : 1 << 20};
        scene s = {.p = {.serve = serve_megabytes}};
        open_scene(&s, NULL);
        open_exchange(&s.b, &s.x, &events);
        s.x.call.charge = charge;
        s.x.call.charge_owner = &a;
        start(&s.b, &s.x, "GET", s.url);
        finish(&s.b, &s.x);
        CHECK_EQ(s.x.call.err, fits ? 0 : PN_ENOMEM);
        CHECK(a.held > 0 && a.held <= a.limit);
        CHECK_EQ(a.held, s.x.call.response.held_bytes);
        close_exchange(&s.x);
        CHECK_EQ(a.held, 0);
        open_exchange(&s.b, &s.x, &events);
        close_scene(&s);
    }
}

/* ---- hostile servers ---- */

static int prefix_size;

static void serve_prefix(peer *p, int fd, int connection) {
    (void)connection;
    const char *answer = p->arg;
    if (peer_read_request(p, fd)) peer_send(fd, answer, (size_t)prefix_size);
}

/* The connection ends after each byte of an answer: always an error, until the last byte is
 * there. */
TEST(client_early_close_at_every_byte) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    };
    for (int a = 0; a < 2; a++) {
        int size = (int)strlen(answers[a]);
        for (prefix_size = 0; prefix_size <= size; prefix_size++) {
            scene s = {.p = {.serve = serve_prefix, .arg = (void *)(uintptr_t)answers[a]}};
            open_scene(&s, NULL);
            run(&s.b, &s.x, "GET", s.url);
            int expected = prefix_size == 0 ? PN_EEOF : prefix_size < size ? PN_EBAD_HTTP : 0;
            CHECK_EQ(s.x.call.err, expected);
            CHECK(expected == 0 || s.x.call.why[0] != '\0');
            close_scene(&s);
        }
    }
}

TEST(client_garbage) {
    static const char *const answers[] = {
        "garbage\r\n\r\n",
        "\x15\x03\x01\x02\x02",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nx",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        scene s;
        ask(&s, &answers[i], "GET");
        if (s.x.call.err != PN_EBAD_HTTP)
            pn_test_fail(__FILE__, __LINE__, "passed: %s", answers[i]);
        CHECK(s.x.call.why[0] != '\0');
        CHECK_EQ(pn_http_error_code(s.x.call.err, s.x.call.phase, 0), 1000);
        CHECK_EQ(stats_of(&s.b).idle_connections, 0);
        close_scene(&s);
    }
}

static void serve_header_flood(peer *p, int fd, int connection) {
    (void)connection;
    if (!peer_read_request(p, fd) || !peer_say(fd, "HTTP/1.1 200 OK\r\n")) return;
    while (!atomic_load(&p->stopping) && peer_say(fd, p->arg)) {}
}

TEST(client_endless_headers) {
    static const char *const lines[] = {"X: y\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
    for (int i = 0; i < 2; i++) {
        scene s = {.p = {.serve = serve_header_flood, .arg = (void *)(uintptr_t)lines[i]}};
        open_scene(&s, NULL);
        run(&s.b, &s.x, "GET", s.url);
        CHECK_EQ(s.x.call.err, PN_ELIMIT);
        close_scene(&s);
    }
}

/* One more 1xx answer than is taken, and as many as are. */
TEST(client_endless_informations) {
    scene s;
    static const char *const many[] = {
        "HTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\n"
        "HTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\n"
        "HTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\n"
        "HTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\nHTTP/1.1 102 W\r\n\r\n"
        "HTTP/1.1 102 W\r\n\r\n" OK("2", "ok")};
    ask(&s, many, "GET");
    CHECK_EQ(s.x.call.err, PN_EBAD_HTTP);
    close_scene(&s);
    const char *const fewer[] = {many[0] + strlen("HTTP/1.1 102 W\r\n\r\n")};
    ask(&s, fewer, "GET");
    check_ok(&s.x, 200, "ok");
    close_scene(&s);
}

static void serve_reset(peer *p, int fd, int connection) {
    (void)connection;
    if (!peer_read_request(p, fd)) return;
    if (p->arg != NULL) peer_say(fd, p->arg);
    peer_wait(p, 20);
    struct linger linger = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

TEST(client_reset) {
    static const char *const beginnings[] = {NULL,
                                             "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"};
    for (int i = 0; i < 2; i++) {
        scene s = {.p = {.serve = serve_reset, .arg = (void *)(uintptr_t)beginnings[i]}};
        open_scene(&s, NULL);
        run(&s.b, &s.x, "POST", s.url);
        CHECK_EQ(s.x.call.err, -ECONNRESET);
        CHECK_EQ(s.x.call.phase, i == 0 ? PN_HTTP_PHASE_WAITING : PN_HTTP_PHASE_RECEIVING);
        CHECK_EQ(pn_http_error_code(s.x.call.err, s.x.call.phase, 0), 1220);
        close_scene(&s);
    }
}

/* ---- where it goes ---- */

TEST(client_unix_sockets) {
    scene s = {.p = {.answers = ok_only, .answer_count = 1}};
    open_bench(&s.b, NULL);
    peer_start_unix(&s.p);
    pn_buf url = {.alloc = &s.b.w.ledger.door, .limit_bytes = SIZE_MAX};
    pn_buf_add_text(&url, "http+unix://");
    for (const char *at = s.p.path; *at != '\0'; at++) {
        if (*at == '/') {
            pn_buf_add_text(&url, "%2F");
        } else {
            pn_buf_add_byte(&url, *at);
        }
    }
    pn_buf_add_text(&url, "/x");
    run(&s.b, &s.x, "GET", pn_buf_text(&url));
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(&s.p, "GET /x HTTP/1.1\r\nHost: localhost\r\n"));
    pn_buf_close(&url);
    close_exchange(&s.x);
    pn_http_client_destroy(s.b.client);
    CHECK_EQ(pn_http_client_create(&s.b.w.io, NULL, &s.b.client, NULL), 0);
    open_exchange(&s.b, &s.x, &events);
    pn_http_request_options options = {.url = PN_TEXT("http://any.example/y"),
                                       .socket_path = pn_text_of(s.p.path)};
    CHECK_EQ(start_with(&s.b, &s.x, &options), 0);
    finish(&s.b, &s.x);
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(&s.p, "GET /y HTTP/1.1\r\nHost: any.example\r\n"));
    close_exchange(&s.x);
    options.socket_path = PN_TEXT("/nowhere/x.sock");
    open_exchange(&s.b, &s.x, &events);
    CHECK_EQ(start_with(&s.b, &s.x, &options), 0);
    finish(&s.b, &s.x);
    CHECK_EQ(s.x.call.err, -ENOENT);
    close_exchange(&s.x);
    static char long_path[300];
    memset(long_path, 'x', sizeof long_path - 1);
    options.socket_path = pn_text_of(long_path);
    open_exchange(&s.b, &s.x, &events);
    CHECK_EQ(start_with(&s.b, &s.x, &options), -ENAMETOOLONG);
    close_scene(&s);
}

TEST(client_proxy_for_http) {
    scene s = {.p = {.answers = ok_only, .answer_count = 1}};
    peer_start(&s.p);
    char proxy[128];
    snprintf(proxy, sizeof proxy, "http://joe:pw@127.0.0.1:%u", (unsigned)s.p.port);
    open_bench(&s.b, &(pn_http_client_options){.proxy = pn_text_of(proxy)});
    run(&s.b, &s.x, "GET", "http://target.example:81/a?b");
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(
        &s.p, "GET http://target.example:81/a?b HTTP/1.1\r\nHost: target.example:81\r\n"));
    CHECK(peer_received(&s.p, "Proxy-Authorization: Basic am9lOnB3\r\n"));
    close_scene(&s);
}

TEST(client_proxy_refuses_the_tunnel) {
    static const char *const answers[] = {"HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n",
                                          "HTTP/1.1 502 Bad\r\n\r\n", "!garbage\r\n\r\n", "!"};
    static const int errors[] = {-ECONNREFUSED, -ECONNREFUSED, PN_EBAD_HTTP, PN_EEOF};
    for (int i = 0; i < 4; i++) {
        scene s = {.p = {.answers = &answers[i], .answer_count = 1}};
        peer_start(&s.p);
        char proxy[128];
        peer_url(&s.p, "", proxy);
        open_bench(&s.b, &(pn_http_client_options){.proxy = pn_text_of(proxy)});
        run(&s.b, &s.x, "GET", "https://target.example/");
        CHECK_EQ(s.x.call.err, errors[i]);
        CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_CONNECTING);
        CHECK(s.x.call.why[0] != '\0');
        CHECK(peer_received(&s.p,
                            "CONNECT target.example:443 HTTP/1.1\r\nHost: target.example:443\r\n"));
        close_scene(&s);
    }
}

TEST(client_names) {
    scene s = {.p = {.answers = ok_only, .answer_count = 1}};
    world_open(&s.b.w);
    peer_start(&s.p);
    pn_dns *dns = pn_dns_create(&s.b.w.io, NULL);
    char to[64];
    snprintf(to, sizeof to, "127.0.0.1:%u", (unsigned)s.p.port);
    CHECK_EQ(pn_dns_add_override(dns, PN_TEXT("*.example"), pn_text_of(to)), 0);
    CHECK_EQ(
        pn_http_client_create(&s.b.w.io, &(pn_http_client_options){.dns = dns}, &s.b.client, NULL),
        0);
    run(&s.b, &s.x, "GET", "http://a.example/");
    check_ok(&s.x, 200, "ok");
    CHECK(peer_received(&s.p, "Host: a.example\r\n"));
    close_exchange(&s.x);
    run(&s.b, &s.x, "GET", "http://no-such-host.invalid/");
    CHECK_EQ(s.x.call.err, PN_EDNS);
    CHECK_EQ(s.x.call.phase, PN_HTTP_PHASE_BLOCKED);
    CHECK_EQ(pn_http_error_code(s.x.call.err, s.x.call.phase, 0), 1101);
    close_exchange(&s.x);
    peer_stop(&s.p);
    pn_http_client_destroy(s.b.client);
    pn_io_turn(&s.b.w.io, 0);
    pn_io_turn(&s.b.w.io, 0);
    pn_dns_destroy(dns);
    world_close(&s.b.w);
}

/* ---- requests that cannot be made ---- */

TEST(client_refuses_requests) {
    bench b;
    open_bench(&b, NULL);
    pn_http_request *request = NULL;
    const char *why;
    const pn_http_header bad[] = {{PN_TEXT("X"), PN_TEXT("a\r\nY: b")},
                                  {PN_TEXT("X Y"), PN_TEXT("a")},
                                  {PN_TEXT("Content-Length"), PN_TEXT("3")},
                                  {PN_TEXT("transfer-encoding"), PN_TEXT("chunked")}};
    for (int i = 0; i < 4; i++) {
        pn_http_request_options options = {
            .url = PN_TEXT("http://h/"), .headers = &bad[i], .header_count = 1};
        CHECK_EQ(pn_http_request_create(b.client, &options, &request, &why), PN_EBAD_VALUE);
        CHECK(why[0] != '\0');
    }
    pn_http_request_options options = {.url = PN_TEXT("http://h/"), .method = PN_TEXT("GE T")};
    CHECK_EQ(pn_http_request_create(b.client, &options, &request, &why), PN_EBAD_VALUE);
    options.method = PN_TEXT("CONNECT");
    CHECK_EQ(pn_http_request_create(b.client, &options, &request, &why), PN_EBAD_VALUE);
    options = (pn_http_request_options){.url = PN_TEXT("ftp://h/")};
    CHECK_EQ(pn_http_request_create(b.client, &options, &request, &why), PN_EBAD_URL);
    options =
        (pn_http_request_options){.url = PN_TEXT("http://h/"), .proxy = PN_TEXT("socks5://x")};
    CHECK_EQ(pn_http_request_create(b.client, &options, &request, &why), PN_EBAD_CONFIG);
    close_bench(&b);
}

TEST(client_error_codes) {
    CHECK_EQ(pn_http_error_code(0, 0, 200), 0);
    CHECK_EQ(pn_http_error_code(0, 0, 399), 0);
    CHECK_EQ(pn_http_error_code(0, 0, 400), 1400);
    CHECK_EQ(pn_http_error_code(0, 0, 404), 1404);
    CHECK_EQ(pn_http_error_code(0, 0, 599), 1599);
    CHECK_EQ(pn_http_error_code(PN_EBAD_URL, 0, 0), 1020);
    CHECK_EQ(pn_http_error_code(-EPIPE, PN_HTTP_PHASE_SENDING, 0), 1201);
    CHECK_EQ(pn_http_error_code(-ENETUNREACH, PN_HTTP_PHASE_CONNECTING, 0), 1213);
    CHECK_EQ(pn_http_error_code(PN_ENOMEM, PN_HTTP_PHASE_CONNECTING, 0), 1210);
    CHECK_EQ(pn_http_error_code(PN_ETLS, PN_HTTP_PHASE_TLS, 0), 1300);
    CHECK_EQ(pn_http_error_code(PN_ETLS_UNKNOWN_AUTHORITY, PN_HTTP_PHASE_TLS, 0), 1310);
    CHECK_EQ(pn_http_error_code(PN_ETLS_HOSTNAME, PN_HTTP_PHASE_TLS, 0), 1311);
    CHECK_EQ(pn_http_error_code(PN_EBAD_ENCODING, PN_HTTP_PHASE_RECEIVING, 0), 1701);
    CHECK_EQ(pn_http_error_code(-EIO, PN_HTTP_PHASE_RECEIVING, 0), 1202);
    CHECK_EQ(pn_http_error_code(PN_EBAD_HTTP, PN_HTTP_PHASE_RECEIVING, 0), 1000);
}
