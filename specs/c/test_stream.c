/* Streams against raw peers: each way to open, both directions, back-pressure, each way to end. */
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dns.h"
#include "specs/c/http_peer.h"

typedef struct line {
    pn_stream stream;
    int opened, drained, closed, err;
    ptrdiff_t end; /* the negative size of the last read, or 0 */
    size_t got;
    bool closes_on_open, closes_on_read, stops_on_read;
    char room[65536];
} line;

static line *line_of(pn_stream *stream) { return (line *)stream; }

static void on_open(pn_stream *stream, int err) {
    line *l = line_of(stream);
    l->opened++;
    l->err = err;
    if (l->closes_on_open) pn_stream_close(stream);
    if (err == 0) CHECK_EQ(pn_stream_start_reading(stream), 0);
}

static char *on_room(pn_stream *stream, size_t *room) {
    *room = sizeof line_of(stream)->room;
    return line_of(stream)->room;
}

static void on_read(pn_stream *stream, char *data, ptrdiff_t size) {
    line *l = line_of(stream);
    (void)data;
    if (size < 0) {
        l->end = size;
        return;
    }
    l->got += (size_t)size;
    if (l->stops_on_read) pn_stream_stop_reading(stream);
    if (l->closes_on_read) pn_stream_close(stream);
}

static void on_drain(pn_stream *stream, int err) {
    line_of(stream)->drained++;
    line_of(stream)->err = err;
}

static void on_close(pn_stream *stream) { line_of(stream)->closed++; }

static const pn_stream_events events = {.on_open = on_open,
                                        .on_room = on_room,
                                        .on_read = on_read,
                                        .on_drain = on_drain,
                                        .on_close = on_close};

typedef struct scene {
    world w;
    peer p;
    line l;
} scene;

static int connect_to(scene *s, uint16_t port) {
    pn_address address;
    CHECK(pn_address_parse(&address, PN_TEXT("127.0.0.1"), port));
    return pn_stream_connect(&s->l.stream, &s->w.io, &events, &address.any, NULL, NULL);
}

static void open_scene(scene *s) {
    world_open(&s->w);
    peer_start(&s->p);
    CHECK_EQ(connect_to(s, s->p.port), 0);
}

static void close_scene(scene *s) {
    pn_stream_close(&s->l.stream);
    pn_stream_close(&s->l.stream);
    RUN_UNTIL(&s->w, s->l.closed > 0);
    CHECK_EQ(s->l.closed, 1);
    peer_stop(&s->p);
    world_close(&s->w);
}

static int write_text(scene *s, const char *text) {
    uv_buf_t buf = {(char *)(uintptr_t)text, strlen(text)};
    return pn_stream_write(&s->l.stream, &buf, 1);
}

static void serve_echo_once(peer *p, int fd, int connection) {
    (void)p, (void)connection;
    char block[64];
    ssize_t n = recv(fd, block, sizeof block, 0);
    if (n > 0) peer_send(fd, block, (size_t)n);
}

TEST(stream_echo) {
    static scene s;
    s = (scene){.p = {.serve = serve_echo_once}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.opened > 0);
    CHECK_EQ(s.l.err, 0);
    CHECK(s.l.stream.connected_ns > 0 && s.l.stream.opened_ns == s.l.stream.connected_ns);
    uv_buf_t bufs[3] = {{(char *)"one ", 4}, {(char *)"two ", 4}, {(char *)"three", 5}};
    CHECK_EQ(pn_stream_write(&s.l.stream, bufs, 3), 0);
    RUN_UNTIL(&s.w, s.l.end != 0);
    CHECK_EQ(s.l.end, PN_EEOF);
    CHECK(s.l.stream.is_clean_end);
    CHECK_EQ(s.l.got, 13);
    CHECK_EQ(s.l.stream.bytes_in, 13);
    CHECK_EQ(s.l.stream.bytes_out, 13);
    close_scene(&s);
}

TEST(stream_refused) {
    static scene s;
    s = (scene){0};
    world_open(&s.w);
    peer_start(&s.p);
    uint16_t port = s.p.port;
    peer_stop(&s.p);
    CHECK_EQ(connect_to(&s, port), 0);
    RUN_UNTIL(&s.w, s.l.opened > 0);
    CHECK_EQ(s.l.err, -ECONNREFUSED);
    s.p = (peer){0};
    peer_start(&s.p);
    close_scene(&s);
}

static void serve_count(peer *p, int fd, int connection) {
    (void)connection;
    size_t total = 0;
    char *block = malloc(1 << 16);
    peer_wait(p, 20); /* the writer fills the sockets first */
    ssize_t n;
    while ((n = recv(fd, block, 1 << 16, 0)) > 0) total += (size_t)n;
    char text[32];
    snprintf(text, sizeof text, "%zu", total);
    peer_say(fd, text);
    free(block);
}

/* A large write is told when it is done; what was shut behind it comes behind it. */
TEST(stream_large_write_then_shut) {
    static scene s;
    s = (scene){.p = {.serve = serve_count}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.opened > 0);
    size_t size = 24 << 20;
    char *data = calloc(1, size);
    uv_buf_t bufs[2] = {{data, size / 2}, {data + size / 2, size / 2}};
    CHECK_EQ(pn_stream_write(&s.l.stream, bufs, 2), 1);
    pn_stream_shut(&s.l.stream);
    RUN_UNTIL(&s.w, s.l.drained > 0);
    CHECK_EQ(s.l.err, 0);
    RUN_UNTIL(&s.w, s.l.end != 0);
    CHECK_EQ(s.l.got, 8);
    CHECK_MEM(s.l.room, "25165824", 8);
    CHECK_EQ(s.l.drained, 1);
    CHECK_EQ(s.l.stream.bytes_out, size);
    free(data);
    close_scene(&s);
}

static void serve_flood(peer *p, int fd, int connection) {
    (void)connection;
    char block[8192] = {0};
    for (int i = 0; i < 256 && !atomic_load(&p->stopping); i++) {
        if (!peer_send(fd, block, sizeof block)) return;
    }
}

TEST(stream_reading_stops_and_starts) {
    static scene s;
    s = (scene){.p = {.serve = serve_flood}, .l = {.stops_on_read = true}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.got > 0);
    int pauses = 0;
    while (s.l.end == 0) {
        size_t before = s.l.got;
        if (pauses++ < 3) {
            for (int i = 0; i < 3; i++) pn_io_turn(&s.w.io, 1);
            CHECK_EQ(s.l.got, before);
        }
        CHECK_EQ(pn_stream_start_reading(&s.l.stream), 0);
        CHECK_EQ(pn_stream_start_reading(&s.l.stream), 0);
        RUN_UNTIL(&s.w, s.l.got > before || s.l.end != 0);
    }
    CHECK_EQ(s.l.got, 256 * 8192);
    close_scene(&s);
}

TEST(stream_closed_by_its_own_events) {
    static scene s;
    s = (scene){.p = {.serve = serve_flood}, .l = {.closes_on_open = true}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.closed > 0);
    CHECK_EQ(s.l.got, 0);
    close_scene(&s);
    s = (scene){.p = {.serve = serve_flood}, .l = {.closes_on_read = true}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.closed > 0);
    CHECK_INT(s.l.got, <=, sizeof s.l.room);
    close_scene(&s);
}

TEST(stream_closed_while_connecting_and_writing) {
    static scene s;
    s = (scene){.p = {.serve = serve_flood}};
    open_scene(&s);
    close_scene(&s); /* before it was open */
    CHECK_EQ(s.l.opened, 0);
    s = (scene){.p = {.serve = serve_flood}}; /* one that does not read */
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.opened > 0);
    size_t size = 24 << 20;
    char *data = calloc(1, size);
    uv_buf_t buf = {data, size};
    CHECK_EQ(pn_stream_write(&s.l.stream, &buf, 1), 1);
    pn_stream_close(&s.l.stream);
    free(data); /* libuv does not look at it any more */
    RUN_UNTIL(&s.w, s.l.closed > 0);
    CHECK_EQ(s.l.drained, 0);
    close_scene(&s);
}

static void serve_watch_end(peer *p, int fd, int connection) {
    (void)connection;
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    *(int *)p->arg = n < 0 ? errno : (int)n;
}

TEST(stream_abort_is_a_reset) {
    static scene s;
    int seen = -1;
    s = (scene){.p = {.serve = serve_watch_end, .arg = &seen}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.opened > 0 && atomic_load(&s.p.connections) == 1);
    pn_stream_abort(&s.l.stream);
    RUN_UNTIL(&s.w, s.l.closed > 0);
    close_scene(&s); /* joins the peer */
    CHECK_EQ(seen, ECONNRESET);
}

TEST(stream_write_to_one_who_left) {
    static scene s;
    s = (scene){.p = {.serve = serve_echo_once}};
    open_scene(&s);
    RUN_UNTIL(&s.w, s.l.opened > 0);
    CHECK_EQ(write_text(&s, "x"), 0);
    RUN_UNTIL(&s.w, s.l.end != 0);
    int state = 0;
    uint64_t started = pn_clock_real_ns();
    while (state == 0) { /* the first answer to it is a reset */
        state = write_text(&s, "y");
        world_turn(&s.w, started);
    }
    CHECK(state == -EPIPE || state == -ECONNRESET);
    close_scene(&s);
}

TEST(stream_unix) {
    static scene s;
    s = (scene){.p = {.serve = serve_echo_once}};
    world_open(&s.w);
    peer_start_unix(&s.p);
    CHECK_EQ(pn_stream_connect_unix(&s.l.stream, &s.w.io, &events, s.p.path, NULL, NULL), 0);
    RUN_UNTIL(&s.w, s.l.opened > 0);
    CHECK_EQ(s.l.err, 0);
    CHECK_EQ(write_text(&s, "hello"), 0);
    RUN_UNTIL(&s.w, s.l.end != 0);
    CHECK_EQ(s.l.got, 5);
    close_scene(&s);
    s = (scene){0};
    world_open(&s.w);
    peer_start(&s.p);
    CHECK_EQ(pn_stream_connect_unix(&s.l.stream, &s.w.io, &events, "", NULL, NULL), -ENOENT);
    close_scene(&s);
}
