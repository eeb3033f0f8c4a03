/*
 * http_peer.h - what the tests of net/ share: an io to run engines on, and raw peers on threads of
 * their own that say exactly the bytes that a test wants said.
 *
 * A peer listens on a free port of 127.0.0.1 and serves its connections one after the other. What
 * it received lies in `received` once the test has stopped it (or under peer_copy at any time).
 */
#ifndef PN_SPECS_HTTP_PEER_H
#define PN_SPECS_HTTP_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "core/io.h"
#include "specs/c/test.h"

/* ---- an io ---- */

typedef struct world {
    pn_heap *heap;
    pn_pool pool;
    pn_ledger ledger;
    pn_clock clock;
    pn_io io;
} world;

void world_open(world *w);
void world_open_still(world *w); /* virtual time, which stands at 0 until it is let go */
void world_let_go(world *w);
void world_close(world *w); /* proves that nothing is left */

/* One turn that waits for 10 ms at most; fails the test after 60 s of them. */
void world_turn(world *w, uint64_t started_ns);

#define RUN_UNTIL(w, condition)                                                                    \
    do {                                                                                           \
        uint64_t started_ = pn_clock_real_ns();                                                    \
        while (!(condition)) world_turn((w), started_);                                            \
    } while (0)

/* ---- peers ---- */

#define PEER_RECEIVED_BYTES (1 << 20)

typedef struct peer peer;

struct peer {
    int fd;
    uint16_t port;
    char path[64]; /* of a unix socket, or "" */
    pthread_t thread;
    pthread_mutex_t lock;
    atomic_int connections, requests;
    int current; /* the connection that is served, or -1; under the lock */
    atomic_bool stopping;
    void (*serve)(peer *p, int fd, int connection); /* NULL: answers */
    void *arg;
    /* The n-th request gets the n-th answer, the last one again and again. One that begins with '!'
     * is followed by the end of the connection. */
    const char *const *answers;
    size_t answer_count;
    char *received;
    size_t received_size;
};

/* Set serve or answers first (all else zero). */
void peer_start(peer *p);
void peer_start_unix(peer *p);
void peer_stop(peer *p); /* cuts the connection that it serves */

void peer_url(const peer *p, const char *path, char out[128]);
bool peer_received(peer *p, const char *text); /* whether that text came so far */
void peer_forget(peer *p);                     /* what came so far */

/* For serve functions, blocking. */
bool peer_send(int fd, const char *data, size_t size);
bool peer_say(int fd, const char *text);
/* Reads a request with its body (by Content-Length or chunks) into `received`; false at the end. */
bool peer_read_request(peer *p, int fd);
void peer_wait(peer *p, int ms);     /* or until the peer is stopped */
bool peer_wait_end(peer *p, int fd); /* reads and forgets until the other side has ended */

/* ---- raw clients ---- */

int raw_connect(uint16_t port); /* blocking, 20 s */
int raw_connect_unix(const char *path);

/* A client on the test's own thread: what came is taken in between turns of the world. */
#define RAW_BYTES (1 << 18)

typedef struct raw {
    int fd;
    char *in; /* NUL-terminated */
    size_t size;
    bool ended;  /* the other side's end was seen */
    bool broken; /* a reset */
} raw;

void raw_open(raw *r, uint16_t port);
void raw_open_unix(raw *r, const char *path);
void raw_close(raw *r);
void raw_reset(raw *r); /* closes with RST */
void raw_say(raw *r, const char *text);
void raw_send(raw *r, const char *data, size_t size); /* what does not fit fails the test */
size_t raw_count(raw *r, const char *text);           /* takes in; how often it came */
bool raw_has(raw *r, const char *text);
bool raw_has_ended(raw *r);
void raw_forget(raw *r);

#endif
