/*
 * The HTTP parser front end. Goal: what RFC 9112 forbids is refused, what it allows gives exactly
 * the same result however the bytes are cut. Method: each message is fed whole, byte by byte, and
 * at every single cut in two; results must agree.
 */
#include "net/http_parser.h"

#include <string.h>

#include "base/err.h"
#include "net/http_headers.h"
#include "specs/c/test.h"

#define INPUT_MAX_BYTES 8192

static const pn_http_limits limits = {PN_HTTP_HEAD_BYTES_MAX, PN_HTTP_HEADER_COUNT_MAX, 1 << 20};

typedef struct result {
    int err; /* 0: the message ended */
    pn_http_head head;
    char body[INPUT_MAX_BYTES];
    size_t body_size;
    char trailers[INPUT_MAX_BYTES];
    size_t trailers_size;
    size_t used; /* up to the end of the message */
    uint16_t refuse_status;
    const char *why;
} result;

typedef struct feed {
    pn_http_parser parser;
    char pending[INPUT_MAX_BYTES]; /* what was given and not used */
    size_t pending_size;
    result *result;
    bool over;
} feed;

static void append(char *to, size_t *to_size, const pn_http_piece *piece) {
    if (piece->body_size == 0) return;
    memcpy(to + *to_size, piece->body, piece->body_size);
    *to_size += piece->body_size;
}

static void take_event(feed *f, int event, const pn_http_piece *piece) {
    result *r = f->result;
    if (event < 0) {
        r->err = event;
        r->refuse_status = f->parser.refuse_status;
        r->why = f->parser.why;
        f->over = true;
    } else if (event == PN_HTTP_HEAD) {
        r->head = f->parser.head;
    } else if (event == PN_HTTP_BODY) {
        append(r->body, &r->body_size, piece);
    } else if (event == PN_HTTP_END) {
        r->err = 0;
        append(r->trailers, &r->trailers_size, piece);
        f->over = true;
    }
}

static void feed_more(feed *f, const char *data, size_t size) {
    memcpy(f->pending + f->pending_size, data, size);
    f->pending_size += size;
    int event = PN_HTTP_BODY;
    while (!f->over && event != PN_HTTP_MORE) {
        pn_http_piece piece;
        event = pn_http_parser_next(&f->parser, f->pending, f->pending_size, &piece);
        CHECK_INT(piece.used, <=, f->pending_size);
        take_event(f, event, &piece);
        f->result->used += piece.used;
        f->pending_size -= piece.used;
        memmove(f->pending, f->pending + piece.used, f->pending_size);
    }
}

static void feed_end(feed *f) {
    if (f->over) return;
    int event = pn_http_parser_finish(&f->parser);
    take_event(f, event, &(pn_http_piece){0});
}

/* Fed in two parts, the second in steps of `step` bytes (0: at once). */
static void run(result *r, bool is_request, bool no_body, const char *data, size_t size, size_t cut,
                size_t step) {
    static feed f;
    f = (feed){.result = r};
    *r = (result){.err = 1};
    pn_http_parser_init(&f.parser, is_request, &limits);
    pn_http_parser_start(&f.parser, no_body);
    feed_more(&f, data, cut);
    size_t at = cut;
    while (at < size && !f.over) {
        size_t n = step == 0 || step > size - at ? size - at : step;
        feed_more(&f, data + at, n);
        at += n;
    }
    feed_end(&f);
}

static void check_same(const result *a, const result *b, const char *data) {
    if (a->err != b->err)
        pn_test_fail(__FILE__, __LINE__, "cut matters (%d, %d): %s", a->err, b->err, data);
    if (a->err != 0) return;
    CHECK_EQ(a->used, b->used);
    CHECK_EQ(a->body_size, b->body_size);
    CHECK_MEM(a->body, b->body, a->body_size);
    CHECK_EQ(a->trailers_size, b->trailers_size);
    CHECK_MEM(a->trailers, b->trailers, a->trailers_size);
    CHECK_MEM(&a->head, &b->head, sizeof a->head);
}

static result parse_sized(bool is_request, bool no_body, const char *data, size_t size) {
    static result whole, other;
    run(&whole, is_request, no_body, data, size, size, 0);
    run(&other, is_request, no_body, data, size, 0, 1);
    check_same(&whole, &other, data);
    for (size_t cut = 1; cut < size; cut++) {
        run(&other, is_request, no_body, data, size, cut, 0);
        check_same(&whole, &other, data);
    }
    return whole;
}

#define REQUEST(text)  parse_sized(true, false, text, sizeof(text) - 1)
#define RESPONSE(text) parse_sized(false, false, text, sizeof(text) - 1)

#define CHECK_BODY(r, text)                                                                        \
    do {                                                                                           \
        CHECK_EQ((r).body_size, sizeof(text) - 1);                                                 \
        CHECK_MEM((r).body, text, sizeof(text) - 1);                                               \
    } while (0)

TEST(parser_request) {
    static const char text[] =
        "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET";
    result r = REQUEST(text);
    CHECK_EQ(r.err, 0);
    CHECK_EQ(r.head.method, HTTP_POST);
    CHECK_EQ(r.head.minor, 1);
    CHECK_MEM(text + r.head.target_at, "/a?b=c", r.head.target_size);
    CHECK_EQ(r.head.target_size, 6);
    CHECK_EQ(r.head.header_count, 2);
    CHECK_EQ(r.head.body_kind, PN_HTTP_BODY_LENGTH);
    CHECK_EQ(r.head.content_length, 5);
    CHECK(r.head.keep_alive);
    CHECK_BODY(r, "hello");
    CHECK_EQ(r.used, sizeof text - 1 - 3);
    pn_text headers = pn_text_make(text + r.head.headers_at, r.head.headers_size);
    CHECK(pn_text_equal(pn_http_headers_find(headers, PN_TEXT("CONTENT-length")), PN_TEXT("5")));
    CHECK(pn_http_headers_find(headers, PN_TEXT("content")).at == NULL);
}

TEST(parser_response) {
    static const char text[] =
        "HTTP/1.1 404 Not Found\r\nServer: s\r\nContent-Length: 2\r\nX:\r\n\r\nno";
    result r = RESPONSE(text);
    CHECK_EQ(r.err, 0);
    CHECK_EQ(r.head.status, 404);
    CHECK_EQ(r.head.header_count, 3);
    CHECK_BODY(r, "no");
    pn_text headers = pn_text_make(text + r.head.headers_at, r.head.headers_size);
    pn_text empty = pn_http_headers_find(headers, PN_TEXT("x"));
    CHECK(empty.at != NULL);
    CHECK_EQ(empty.size, 0);
}

TEST(parser_keep_alive_rules) {
    CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\n\r\n").head.keep_alive);
    CHECK(!REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").head.keep_alive);
    CHECK(!REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").head.keep_alive);
    CHECK(!REQUEST("GET / HTTP/1.0\r\n\r\n").head.keep_alive);
    CHECK(REQUEST("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").head.keep_alive);
    CHECK(!REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n")
               .head.keep_alive);
    CHECK(!RESPONSE("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").head.keep_alive);
    CHECK(!RESPONSE("HTTP/1.1 200 OK\r\n\r\nuntil the end").head.keep_alive);
}

TEST(parser_chunks) {
    result r = REQUEST("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                       "5\r\nhello\r\n6;name=\"v\"\r\n world\r\n000\r\n\r\nX");
    CHECK_EQ(r.err, 0);
    CHECK_BODY(r, "hello world");
    CHECK_EQ(r.trailers_size, 0);
    CHECK_EQ(r.head.body_kind, PN_HTTP_BODY_CHUNKED);
    r = RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "A\r\n0123456789\r\n1\r\nx\r\n0\r\nDigest: y\r\nT2: \xc3\xa9\r\n\r\n");
    CHECK_EQ(r.err, 0);
    CHECK_BODY(r, "0123456789x");
    CHECK_EQ(r.trailers_size, sizeof "Digest: y\r\nT2: \xc3\xa9\r\n" - 1);
    CHECK_EQ(r.head.header_count, 1);
}

TEST(parser_bodies_of_responses) {
    CHECK_BODY(RESPONSE("HTTP/1.1 200 OK\r\n\r\nall of it"), "all of it");
    result r = RESPONSE("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc");
    CHECK_EQ(r.err, 0);
    CHECK_EQ(r.body_size, 0);
    r = RESPONSE("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n");
    CHECK_EQ(r.err, 0);
    CHECK_EQ(r.body_size, 0);
    r = RESPONSE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    CHECK_EQ(r.err, 0);
    CHECK_EQ(r.used, 25);
    static const char head_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
    r = parse_sized(false, true, head_answer, sizeof head_answer - 1);
    CHECK_EQ(r.err, 0);
    CHECK_EQ(r.body_size, 0);
    CHECK(r.head.keep_alive);
}

TEST(parser_empty_line_before_a_request) {
    CHECK_EQ(REQUEST("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err, 0);
    CHECK_EQ(REQUEST("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").err, PN_EBAD_HTTP);
    CHECK_EQ(RESPONSE("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").err, PN_EBAD_HTTP);
}

/* Forms that RFC 9112 forbids or that smuggling is made of. */
#define REFUSED(text, code)                                                                        \
    do {                                                                                           \
        result r_ = REQUEST(text);                                                                 \
        if (r_.err != PN_EBAD_HTTP) pn_test_fail(__FILE__, __LINE__, "passed: %s", text);          \
        CHECK_EQ(r_.refuse_status, code);                                                          \
        CHECK(r_.why != NULL);                                                                     \
    } while (0)
#define P "POST / HTTP/1.1\r\nHost: a\r\n"
#define C P "Transfer-Encoding: chunked\r\n\r\n"

TEST(parser_refuses_two_lengths) {
    REFUSED(P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400);
    REFUSED(P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400);
    REFUSED(P "Content-Length: 3, 3\r\n\r\nabc", 400);
    REFUSED(P "Content-Length: +3\r\n\r\nabc", 400);
    REFUSED(P "Content-Length: -3\r\n\r\nabc", 400);
    REFUSED(P "Content-Length: 0x3\r\n\r\nabc", 400);
    REFUSED(P "Content-Length: 3 4\r\n\r\nabc", 400);
    REFUSED(P "Content-Length: \r\n\r\nabc", 400);
    REFUSED(P "Content-Length: 99999999999999999999\r\n\r\nabc", 400);
    REFUSED(P "Content-Length : 3\r\n\r\nabc", 400);
    REFUSED(P "Content-Length\t: 3\r\n\r\nabc", 400);
}

TEST(parser_refuses_codings) {
    REFUSED(P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501);
    REFUSED(P "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: identity\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 501);
    REFUSED(P "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400);
    REFUSED(P "Transfer-Encoding: chunked\r\n foo: bar\r\n\r\n0\r\n\r\n", 400);
}

TEST(parser_refuses_lines) {
    REFUSED(P "X: a\r\n b\r\n\r\n", 400);
    REFUSED(P "X: a\r\n\tb\r\n\r\n", 400);
    REFUSED(P " X: b\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n", 400);
    REFUSED(P "X: a\nY: b\r\n\r\n", 400);
    REFUSED(P "X: a\rY: b\r\n\r\n", 400);
    REFUSED(P "X: \rY: b\r\n\r\n", 400); /* llhttp 8.1 lets it pass: CVE-2023-30589 */
    REFUSED(P "X:\r\rY: b\r\n\r\n", 400);
    REFUSED(P "X: a\r\n\n", 400);
    REFUSED(P "X: a\r\r\n\r\n", 400);
    REFUSED(P "X: a\0b\r\n\r\n", 400);
    REFUSED(P "X: a\1b\r\n\r\n", 400);
    REFUSED(P "X: a\x7f\r\n\r\n", 400);
    REFUSED(P "X\0: b\r\n\r\n", 400);
    REFUSED(P "X Y: b\r\n\r\n", 400);
    REFUSED(P "X(Y): b\r\n\r\n", 400);
    REFUSED(P "X\x80: b\r\n\r\n", 400);
    REFUSED(P ": b\r\n\r\n", 400);
    REFUSED(P "X\r\n\r\n", 400);
    REFUSED(P "X : b\r\n\r\n", 400);
    REFUSED("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\nHost: a\n\n", 400);
}

TEST(parser_refuses_request_lines) {
    REFUSED("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400);
    REFUSED(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET /a\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET /\r\n\r\n", 400);
    REFUSED("GET\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505);
    REFUSED("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    REFUSED("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505);
    REFUSED("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET / http/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("GET / ICE/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    REFUSED("GETX / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
    REFUSED("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    REFUSED("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    REFUSED("\x16\x03\x01\x02", 400);
    REFUSED("GET / HTTP/1.1\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400);
}

TEST(parser_refuses_chunk_forms) {
    REFUSED(C "3\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "3\r\nabc\n0\r\n\r\n", 400);
    REFUSED(C "3\r\nabcd\r\n0\r\n\r\n", 400);
    REFUSED(C "3\r\nab\r\n0\r\n\r\n", 400);
    REFUSED(C " 3\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "3 \r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "0x3\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "-3\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C ";a=b\r\n\r\n", 400);
    REFUSED(C "3;\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "3;a\rX\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "3;a=b\rXabc\r\n0\r\n\r\n", 400); /* llhttp 8.1 takes any byte for the LF */
    REFUSED(C "00000000000000003\r\nabc\r\n0\r\n\r\n", 400); /* 17 digits */
    REFUSED(C "3;a\0b\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "10000000000000003\r\nabc\r\n0\r\n\r\n", 400);
    REFUSED(C "3\r\nabc\r\n0\n\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\n\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\nT: x\n\r\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\nT : x\r\n\r\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\n T: x\r\n\r\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\nT\r\n\r\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\nT: \1\r\n\r\n", 400);
    REFUSED(C "3\r\nabc\r\n", 400);
    REFUSED(C "3\r\nabc\r\n0\r\n", 400);
}

TEST(parser_refuses_responses) {
    static const char *const bad[] = {
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 099 X\r\n\r\n",
        "HTTP/1.1 2x0 X\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "garbage",
        "<html>",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 O\1K\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        result r = parse_sized(false, false, bad[i], strlen(bad[i]));
        if (r.err != PN_EBAD_HTTP) pn_test_fail(__FILE__, __LINE__, "passed: %s", bad[i]);
    }
    CHECK_EQ(RESPONSE("").err, PN_EEOF);
    CHECK_EQ(RESPONSE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").err, 0);
    CHECK_EQ(RESPONSE("HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n").head.status, 999);
}

/* ---- limits at their edges ---- */

static int first_error(const pn_http_limits *l, bool is_request, char *data, size_t size,
                       uint16_t *status) {
    pn_http_parser parser;
    pn_http_parser_init(&parser, is_request, l);
    int event = PN_HTTP_BODY;
    while (event > 0 && event != PN_HTTP_END) {
        pn_http_piece piece;
        event = pn_http_parser_next(&parser, data, size, &piece);
        data += piece.used;
        size -= piece.used;
    }
    *status = parser.refuse_status;
    return event;
}

TEST(parser_head_size_limit) {
    char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789\r\n\r\n";
    size_t size = sizeof text - 1;
    uint16_t status;
    pn_http_limits l = limits;
    l.head_bytes = (uint32_t)size;
    CHECK_EQ(first_error(&l, true, text, size, &status), PN_HTTP_END);
    l.head_bytes = (uint32_t)size - 1;
    CHECK_EQ(first_error(&l, true, text, size, &status), PN_ELIMIT);
    CHECK_EQ(status, 431);
    l.head_bytes = 20; /* an endless line is noticed before it ends */
    CHECK_EQ(first_error(&l, true, text, 20, &status), PN_ELIMIT);
    CHECK_EQ(first_error(&l, true, text, 19, &status), PN_HTTP_MORE);
}

TEST(parser_header_count_limit) {
    char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n";
    uint16_t status;
    pn_http_limits l = limits;
    l.header_count = 3;
    CHECK_EQ(first_error(&l, true, text, sizeof text - 1, &status), PN_HTTP_END);
    l.header_count = 2;
    CHECK_EQ(first_error(&l, true, text, sizeof text - 1, &status), PN_ELIMIT);
    CHECK_EQ(status, 431);
}

TEST(parser_body_limit) {
    char sized[] = P "Content-Length: 5\r\n\r\nhello";
    char chunked[] = C "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    char endless[] = "HTTP/1.1 200 OK\r\n\r\nhello";
    uint16_t status;
    for (uint64_t limit = 4; limit <= 5; limit++) {
        pn_http_limits l = limits;
        l.body_bytes = limit;
        bool fits = limit == 5;
        int expected = fits ? PN_HTTP_END : PN_ETOO_LARGE;
        CHECK_EQ(first_error(&l, true, sized, sizeof sized - 1, &status), expected);
        CHECK(fits || status == 413);
        char copy[sizeof chunked];
        memcpy(copy, chunked, sizeof chunked);
        CHECK_EQ(first_error(&l, true, copy, sizeof chunked - 1, &status), expected);
        expected = fits ? PN_HTTP_MORE : PN_ETOO_LARGE;
        CHECK_EQ(first_error(&l, false, endless, sizeof endless - 1, &status), expected);
    }
}

/* Extensions without end are refused although no body limit is near. */
TEST(parser_chunk_framing_limit) {
    static char text[PN_HTTP_FRAMING_FREE_BYTES + 512];
    uint16_t status;
    for (int over = 0; over <= 1; over++) {
        size_t at = sizeof C - 1;
        memcpy(text, C, at);
        text[at++] = '1';
        text[at++] = ';';
        size_t fill = PN_HTTP_FRAMING_FREE_BYTES + 12 + (over ? 16 : 0);
        memset(text + at, 'e', fill);
        at += fill;
        memcpy(text + at, "\r\nx", 3);
        int expected = over ? PN_EBAD_HTTP : PN_HTTP_MORE;
        CHECK_EQ(first_error(&limits, true, text, at + 3, &status), expected);
    }
}

/* Trailers are a head's size and count at most. */
TEST(parser_trailer_limits) {
    char text[] = C "0\r\nA: 1\r\nB: 2\r\n\r\n";
    uint16_t status;
    pn_http_limits l = limits;
    l.header_count = 2;
    CHECK_EQ(first_error(&l, true, text, sizeof text - 1, &status), PN_HTTP_END);
    char more[] = C "0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    CHECK_EQ(first_error(&l, true, more, sizeof more - 1, &status), PN_ELIMIT);
}

/* Blanks around a value are no part of it, tabs included, wherever llhttp stands. */
TEST(parser_blanks_around_lengths) {
    result r =
        RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: \tchunked\t \r\n\r\n1\r\na\r\n0\r\n\r\n");
    CHECK_EQ(r.err, 0);
    CHECK_BODY(r, "a");
    r = RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: \t 1  \r\n\r\nab");
    CHECK_EQ(r.err, 0);
    CHECK_BODY(r, "a");
}

TEST(parser_pipelined_messages) {
    char text[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n"
                  "Content-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    pn_http_parser parser;
    pn_http_parser_init(&parser, true, &limits);
    char *at = text;
    size_t left = sizeof text - 1;
    for (int i = 1; i <= 3; i++) {
        pn_http_piece piece;
        CHECK_EQ(pn_http_parser_next(&parser, at, left, &piece), PN_HTTP_HEAD);
        CHECK_EQ(at[parser.head.target_at + 1], '0' + i);
        int event = PN_HTTP_HEAD;
        while (event != PN_HTTP_END) {
            at += piece.used;
            left -= piece.used;
            event = pn_http_parser_next(&parser, at, left, &piece);
            CHECK_INT(event, >, 0);
        }
        pn_http_parser_start(&parser, false);
    }
    CHECK_EQ(left, 0);
}

TEST(parser_expect_and_upgrade) {
    result r =
        REQUEST("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n\r\n");
    CHECK(r.head.expects_continue);
    r = REQUEST("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nxx");
    CHECK_EQ(r.err, 0);
    CHECK(r.head.is_upgrade);
    CHECK_EQ(r.used, 68);
    r = REQUEST("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n\x16\x03");
    CHECK_EQ(r.err, 0);
    CHECK(!r.head.keep_alive);
}

/* The table against the grammar's text. */
TEST(headers_token_chars) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool expected = is_alnum || (c != 0 && strchr(others, c) != NULL);
        if (pn_http_is_token(pn_text_make(&byte, 1)) != expected) {
            pn_test_fail(__FILE__, __LINE__, "byte %d", c);
        }
    }
    CHECK(!pn_http_is_token(PN_TEXT("")));
}

TEST(headers_valid) {
    CHECK(pn_http_headers_valid(PN_TEXT("X-Y"), PN_TEXT("a\tb \xc3\xa9")));
    CHECK(!pn_http_headers_valid(PN_TEXT(""), PN_TEXT("a")));
    CHECK(!pn_http_headers_valid(PN_TEXT("X Y"), PN_TEXT("a")));
    CHECK(!pn_http_headers_valid(PN_TEXT("X:"), PN_TEXT("a")));
    CHECK(!pn_http_headers_valid(PN_TEXT("X"), PN_TEXT("a\r\nY: b")));
    CHECK(!pn_http_headers_valid(PN_TEXT("X"), PN_TEXT("a\0b")));
    CHECK(!pn_http_headers_valid(PN_TEXT("X"), PN_TEXT("a\x7f")));
}
