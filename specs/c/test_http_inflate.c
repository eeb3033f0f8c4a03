/* gzip and deflate bodies: every cut, both kinds of deflate, bombs, damage; through the client
 * too. */
#include "net/inflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "net/http_client.h"
#include "specs/c/http_peer.h"

enum { ZLIB = 15, RAW = -15, GZIP = 31 };

static size_t deflate_to(int window, const char *data, size_t size, char *out, size_t room) {
    z_stream z = {0};
    CHECK_EQ(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)data;
    z.avail_in = (unsigned)size;
    z.next_out = (uint8_t *)out;
    z.avail_out = (unsigned)room;
    CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

typedef struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_buf out;
} fixture;

static void open_fixture(fixture *f) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    pn_buf_init(&f->out, &f->ledger.door);
}

static void close_fixture(fixture *f) {
    pn_buf_close(&f->out);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

/* In two parts, the second in steps. */
static int decode(fixture *f, pn_encoding encoding, const char *data, size_t size, size_t cut,
                  size_t step) {
    pn_buf_clear(&f->out);
    pn_inflate *decoder = pn_inflate_create(&f->ledger, encoding);
    int err = pn_inflate_feed(decoder, data, cut, &f->out);
    while (err == 0 && cut < size) {
        size_t n = step < size - cut ? step : size - cut;
        err = pn_inflate_feed(decoder, data + cut, n, &f->out);
        cut += n;
    }
    if (err == 0) err = pn_inflate_finish(decoder);
    pn_inflate_destroy(decoder);
    return err;
}

static const char plain[] = "hello hello hello, a body that can be compressed, hello hello hello";

static pn_encoding encoding_of(int window) {
    return window == GZIP ? PN_ENCODING_GZIP : PN_ENCODING_DEFLATE;
}

TEST(inflate_every_cut) {
    static const int windows[] = {ZLIB, RAW, GZIP};
    fixture f;
    open_fixture(&f);
    for (int w = 0; w < 3; w++) {
        char data[512];
        size_t size = deflate_to(windows[w], plain, sizeof plain - 1, data, sizeof data);
        for (size_t cut = 0; cut <= size; cut++) {
            CHECK_EQ(decode(&f, encoding_of(windows[w]), data, size, cut, cut == 0 ? 1 : size), 0);
            CHECK_EQ(f.out.size, sizeof plain - 1);
            CHECK_MEM(f.out.data, plain, f.out.size);
        }
        for (size_t cut = 1; cut < size; cut++) { /* cut off there */
            CHECK_EQ(decode(&f, encoding_of(windows[w]), data, cut, cut, 1), PN_EBAD_ENCODING);
        }
        CHECK_EQ(decode(&f, encoding_of(windows[w]), data, 0, 0, 1), 0); /* an empty body */
    }
    close_fixture(&f);
}

TEST(inflate_damage) {
    fixture f;
    open_fixture(&f);
    char data[512];
    size_t size = deflate_to(GZIP, plain, sizeof plain - 1, data, sizeof data);
    for (size_t at = size - 8; at < size; at++) { /* the checksum and the length */
        data[at] ^= 1;
        CHECK_EQ(decode(&f, PN_ENCODING_GZIP, data, size, size, 1), PN_EBAD_ENCODING);
        data[at] ^= 1;
    }
    CHECK_EQ(decode(&f, PN_ENCODING_GZIP, "not gzip at all", 15, 15, 1), PN_EBAD_ENCODING);
    data[size] = 'x';
    CHECK_EQ(decode(&f, PN_ENCODING_GZIP, data, size + 1, size + 1, 1), PN_EBAD_ENCODING);
    size = deflate_to(ZLIB, plain, sizeof plain - 1, data, sizeof data);
    data[size] = 'x';
    CHECK_EQ(decode(&f, PN_ENCODING_DEFLATE, data, size + 1, size + 1, 1), PN_EBAD_ENCODING);
    close_fixture(&f);
}

TEST(inflate_several_members) {
    fixture f;
    open_fixture(&f);
    char data[512];
    size_t size = deflate_to(GZIP, "one ", 4, data, sizeof data);
    size += deflate_to(GZIP, "two", 3, data + size, sizeof data - size);
    for (size_t cut = 0; cut <= size; cut++) {
        CHECK_EQ(decode(&f, PN_ENCODING_GZIP, data, size, cut, size), 0);
        CHECK_STR(pn_buf_text(&f.out), "one two");
    }
    close_fixture(&f);
}

/* A megabyte of zeros in a kilobyte: the limit holds at its edge, and memory stays near it. */
TEST(inflate_limit) {
    enum { SIZE = 1 << 20 };
    fixture f;
    open_fixture(&f);
    char *zeros = calloc(1, SIZE), data[4096];
    size_t size = deflate_to(GZIP, zeros, SIZE, data, sizeof data);
    f.out.limit_bytes = SIZE;
    CHECK_EQ(decode(&f, PN_ENCODING_GZIP, data, size, size, 1), 0);
    CHECK_EQ(f.out.size, SIZE);
    pn_buf_close(&f.out);
    f.out.limit_bytes = SIZE - 1;
    CHECK_EQ(decode(&f, PN_ENCODING_GZIP, data, size, size, 1), PN_ETOO_LARGE);
    pn_buf_close(&f.out);
    f.out.limit_bytes = 1000;
    CHECK_EQ(decode(&f, PN_ENCODING_GZIP, data, size, 3, 7), PN_ETOO_LARGE);
    CHECK_INT(f.out.capacity, <=, 65536);
    free(zeros);
    close_fixture(&f);
}

TEST(inflate_names) {
    CHECK_EQ(pn_encoding_parse(PN_TEXT_NONE), PN_ENCODING_IDENTITY);
    CHECK_EQ(pn_encoding_parse(PN_TEXT("")), PN_ENCODING_IDENTITY);
    CHECK_EQ(pn_encoding_parse(PN_TEXT("Identity")), PN_ENCODING_IDENTITY);
    CHECK_EQ(pn_encoding_parse(PN_TEXT(" GZip ")), PN_ENCODING_GZIP);
    CHECK_EQ(pn_encoding_parse(PN_TEXT("x-gzip")), PN_ENCODING_GZIP);
    CHECK_EQ(pn_encoding_parse(PN_TEXT("deflate")), PN_ENCODING_DEFLATE);
    CHECK_EQ(pn_encoding_parse(PN_TEXT("br")), PN_ENCODING_UNKNOWN);
    CHECK_EQ(pn_encoding_parse(PN_TEXT("gzip, gzip")), PN_ENCODING_UNKNOWN);
}

/* ---- through the client ---- */

typedef struct scene {
    world w;
    pn_http_client *client;
    pn_http_call call;
    pn_buf body;
    int done;
    peer p;
} scene;

static void on_done(pn_http_call *call) { ((scene *)call->user)->done++; }

static void on_body(pn_http_call *call, const char *data, size_t size) {
    CHECK(pn_buf_add(&((scene *)call->user)->body, data, size));
}

static const pn_http_call_events keeping = {.on_done = on_done};
static const pn_http_call_events streaming = {.on_done = on_done, .on_body = on_body};

static void serve_block(peer *p, int fd, int connection) {
    (void)connection;
    const pn_text *answer = p->arg;
    while (peer_read_request(p, fd) && peer_send(fd, answer->at, answer->size)) {}
}

static void ask(scene *s, pn_text answer, bool streams) {
    memset(s, 0, sizeof *s);
    world_open(&s->w);
    pn_buf_init(&s->body, &s->w.ledger.door);
    s->p = (peer){.serve = serve_block, .arg = &answer};
    peer_start(&s->p);
    char url[128];
    peer_url(&s->p, "/", url);
    CHECK_EQ(pn_http_client_create(&s->w.io, NULL, &s->client, NULL), 0);
    pn_http_call_init(&s->call, streams ? &streaming : &keeping);
    s->call.user = s;
    s->call.decodes = true;
    pn_http_request *request;
    pn_http_request_options options = {.url = pn_text_of(url)};
    CHECK_EQ(pn_http_request_create(s->client, &options, &request, NULL), 0);
    CHECK_EQ(pn_http_call_start(&s->call, request), 0);
    pn_http_request_release(request);
    RUN_UNTIL(&s->w, s->done > 0);
    peer_stop(&s->p);
}

static void close_scene(scene *s) {
    pn_http_call_close(&s->call);
    pn_buf_close(&s->body);
    pn_http_client_destroy(s->client);
    world_close(&s->w);
}

static pn_text answer_of(char *out, const char *encoding, const char *body, size_t size) {
    int n = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                    encoding, size);
    memcpy(out + n, body, size);
    return pn_text_make(out, (size_t)n + size);
}

TEST(inflate_kept_and_streamed_answers) {
    static const struct {
        int window;
        const char *name;
    } cases[] = {{GZIP, "gzip"}, {ZLIB, "deflate"}, {RAW, "deflate"}};
    for (int i = 0; i < 6; i++) {
        char data[512], answer[1024];
        size_t size = deflate_to(cases[i % 3].window, plain, sizeof plain - 1, data, sizeof data);
        scene s;
        ask(&s, answer_of(answer, cases[i % 3].name, data, size), i >= 3);
        CHECK_EQ(s.call.err, 0);
        CHECK_EQ(s.call.response.body_bytes, size); /* what was received */
        if (i < 3) CHECK_EQ(pn_http_message_decode(&s.call.response, &s.body), 0);
        CHECK_STR(pn_buf_text(&s.body), plain);
        close_scene(&s);
    }
}

TEST(inflate_answers_that_lie) {
    char data[512], answer[1024];
    size_t size = deflate_to(GZIP, plain, sizeof plain - 1, data, sizeof data);
    for (int i = 0; i < 4; i++) {
        scene s;
        bool streams = i >= 2, is_cut = i % 2 == 0;
        pn_text text = is_cut ? answer_of(answer, "gzip", data, size - 3)
                              : answer_of(answer, "br", data, size);
        ask(&s, text, streams);
        int err = streams ? s.call.err : pn_http_message_decode(&s.call.response, &s.body);
        CHECK_EQ(err, PN_EBAD_ENCODING);
        CHECK_EQ(pn_http_error_code(err, PN_HTTP_PHASE_RECEIVING, 0), 1701);
        close_scene(&s);
    }
}
