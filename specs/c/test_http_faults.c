/*
 * Every allocation of an exchange fails once. Goal: an error each time, never a crash or a hang,
 * nothing left behind. Method: our client against our server in one process over one heap; the n-th
 * allocation fails, n going up until nothing fails any more. Where something else can be done (a
 * ticket that is not kept, a scrap that is stored elsewhere) the exchange may succeed, and then its
 * answer must be right.
 *
 * Needs a build with PN_FAULTS.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "net/http_server.h"
#include "net/inflate.h"
#include "specs/c/http_peer.h"

#define MS 1000000ULL

typedef struct certificate {
    char pem[4096], key[2048];
} certificate;

/* What kind of exchange. */
typedef struct kind {
    const char *name;
    const char *path;
    bool posts, streams_answer, decodes, gathers, tls, uploads, expects;
} kind;

typedef struct attempt {
    world w;
    const kind *kind;
    const certificate *certificate;
    pn_http_router *router;
    pn_http_handler handlers[5];
    pn_http_server *server;
    pn_tls *server_tls, *client_tls;
    pn_http_client *client;
    pn_http_request *request;
    pn_http_call call;
    pn_buf body;
    int done;
    bool is_closed, finished_upload;
    const char *zipped;
    size_t zipped_size;
} attempt;

static char large[300000];

/* ---- handlers ---- */

static attempt *attempt_of(pn_http_exchange *x) { return pn_http_exchange_handler(x)->user; }

static void answer_or_abort(pn_http_exchange *x, int err) {
    if (err != 0) pn_http_exchange_abort(x);
}

static void answer_echo(pn_http_exchange *x) {
    pn_buf body;
    pn_buf_init(&body, &attempt_of(x)->w.ledger.door);
    if (pn_http_message_gather(pn_http_exchange_request(x), &body)) {
        answer_or_abort(
            x, pn_http_exchange_respond(x, 200, NULL, 0, pn_text_make(body.data, body.size)));
    } else {
        pn_http_exchange_abort(x);
    }
    pn_buf_close(&body);
}

static void answer_large(pn_http_exchange *x) {
    answer_or_abort(x,
                    pn_http_exchange_respond(x, 200, NULL, 0, pn_text_make(large, sizeof large)));
}

static void answer_chunks(pn_http_exchange *x) {
    int state = pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX);
    for (int i = 0; i < 5 && state == 0; i++) state = pn_http_exchange_write(x, "0123456789", 10);
    if (state < 0) {
        pn_http_exchange_abort(x);
    } else {
        pn_http_exchange_finish(x);
    }
}

static void answer_zipped(pn_http_exchange *x) {
    const pn_http_header header = {PN_TEXT("Content-Encoding"), PN_TEXT("gzip")};
    attempt *a = attempt_of(x);
    answer_or_abort(
        x, pn_http_exchange_respond(x, 200, &header, 1, pn_text_make(a->zipped, a->zipped_size)));
}

static void answer_moved(pn_http_exchange *x) {
    const pn_http_header header = {PN_TEXT("Location"), PN_TEXT("../echo")};
    answer_or_abort(x, pn_http_exchange_respond(x, 307, &header, 1, PN_TEXT("gone")));
}

/* ---- both sides ---- */

static void on_closed(void *user) { ((attempt *)user)->is_closed = true; }

static int open_server(attempt *a) {
    static const char *const patterns[] = {"* /echo", "GET /large", "GET /chunks", "GET /zipped",
                                           "* /a/moved"};
    void (*const functions[])(pn_http_exchange *) = {answer_echo, answer_large, answer_chunks,
                                                     answer_zipped, answer_moved};
    char why_tls[PN_TLS_WHY_BYTES];
    const char *why;
    if (a->kind->tls) {
        pn_tls_options options = {.is_server = true,
                                  .certificate = {.pem = pn_text_of(a->certificate->pem)},
                                  .key = {.pem = pn_text_of(a->certificate->key)}};
        int err = pn_tls_create(&a->w.ledger, &options, &a->server_tls, why_tls);
        if (err != 0) return err;
    }
    a->router = pn_http_router_create(&a->w.ledger);
    if (a->router == NULL) return PN_ENOMEM;
    for (int i = 0; i < 5; i++) {
        a->handlers[i] = (pn_http_handler){.on_request = functions[i], .user = a};
        int err = pn_http_router_add(a->router, pn_text_of(patterns[i]), &a->handlers[i], &why);
        if (err != 0) return err;
    }
    pn_http_server_options options = {
        .router = a->router, .tls = a->server_tls, .on_closed = on_closed, .user = a};
    return pn_http_server_create(&a->w.io, &options, &a->server);
}

static void on_done(pn_http_call *call) { ((attempt *)call->user)->done++; }

static void on_body(pn_http_call *call, const char *data, size_t size) {
    pn_buf_add(&((attempt *)call->user)->body, data, size);
}

static const pn_http_call_events keeping = {.on_done = on_done};
static const pn_http_call_events streaming = {.on_done = on_done, .on_body = on_body};

static int open_client(attempt *a) {
    char why_tls[PN_TLS_WHY_BYTES];
    if (a->kind->tls) {
        pn_tls_options options = {.authorities = {.pem = pn_text_of(a->certificate->pem)},
                                  .no_system_authorities = true};
        int err = pn_tls_create(&a->w.ledger, &options, &a->client_tls, why_tls);
        if (err != 0) return err;
    }
    pn_http_client_options options = {.tls = a->client_tls};
    return pn_http_client_create(&a->w.io, &options, &a->client, NULL);
}

static int begin_call(attempt *a) {
    char url[128];
    snprintf(url, sizeof url, "http%s://localhost:%u%s", a->kind->tls ? "s" : "",
             (unsigned)pn_http_server_port(a->server), a->kind->path);
    const pn_http_header header = {PN_TEXT("X"), PN_TEXT("y")};
    pn_http_request_options options = {.method = a->kind->posts ? PN_TEXT("POST") : PN_TEXT("GET"),
                                       .url = pn_text_of(url),
                                       .headers = &header,
                                       .header_count = 1,
                                       .user = PN_TEXT("u"),
                                       .password = PN_TEXT("p"),
                                       .expect_continue = a->kind->expects};
    int err = pn_http_request_create(a->client, &options, &a->request, NULL);
    if (err != 0) return err;
    pn_http_call_init(&a->call, a->kind->streams_answer ? &streaming : &keeping);
    a->call.user = a;
    a->call.decodes = a->kind->decodes;
    a->call.timeout_ns = 5000 * MS;
    if (a->kind->posts) a->call.body = pn_text_make(large, 100000);
    if (a->kind->uploads) a->call.upload = PN_HTTP_UPLOAD_CHUNKED;
    return pn_http_call_start(&a->call, a->request);
}

static void upload(attempt *a) {
    if (!a->kind->uploads || a->finished_upload || !pn_http_call_is_writable(&a->call)) return;
    if (pn_http_call_write(&a->call, large, 100000) == 0) {
        a->finished_upload = pn_http_call_finish(&a->call) == 0;
    } else {
        RUN_UNTIL(&a->w, pn_http_call_is_writable(&a->call) || a->done > 0);
        if (a->done == 0) a->finished_upload = pn_http_call_finish(&a->call) == 0;
    }
}

static void run_call(attempt *a) {
    uint64_t started = pn_clock_real_ns();
    while (a->done == 0) {
        upload(a);
        world_turn(&a->w, started);
    }
}

/* The exchange succeeded: then it must be right. */
static int judge(attempt *a) {
    if (a->call.err != 0) return a->call.err;
    if (a->call.response.head.status == 503) return PN_ENOMEM; /* the server says so */
    CHECK_EQ(a->call.response.head.status, 200);
    if (a->kind->gathers) {
        int err = pn_http_message_decode(&a->call.response, &a->body);
        if (err != 0) return err;
    }
    if (a->body.failed) return PN_ENOMEM;
    if (!a->kind->gathers && !a->kind->streams_answer) return 0;
    size_t expected = a->kind->posts                          ? 100000
                      : strcmp(a->kind->path, "/chunks") == 0 ? 50
                                                              : sizeof large;
    CHECK_EQ(a->body.size, expected);
    CHECK(expected == 50 || memcmp(a->body.data, large, expected) == 0);
    return 0;
}

static void close_attempt(attempt *a) {
    if (a->client != NULL) pn_http_call_close(&a->call);
    pn_http_request_release(a->request);
    if (a->client != NULL) pn_http_client_destroy(a->client);
    pn_tls_release(a->client_tls);
    if (a->server != NULL) {
        pn_http_server_close(a->server, 100 * MS);
        RUN_UNTIL(&a->w, a->is_closed);
    }
    pn_http_router_destroy(a->router);
    pn_tls_release(a->server_tls);
    pn_buf_close(&a->body);
}

static int fail_nth(attempt *a, uint64_t n, bool *has_failed) {
    world_open(&a->w);
    pn_buf_init(&a->body, &a->w.ledger.door);
    pn_http_call_init(&a->call, &keeping);
    pn_heap_fail_at(a->w.heap, n);
    int err = open_server(a);
    if (err == 0) err = open_client(a);
    if (err == 0) {
        err = begin_call(a);
        if (err == 0) {
            run_call(a);
            err = judge(a);
        }
    }
    *has_failed = pn_heap_has_failed(a->w.heap);
    pn_heap_fail_at(a->w.heap, 0);
    close_attempt(a);
    world_close(&a->w);
    return err;
}

static void fail_all(const kind *k, const certificate *c, const char *zipped, size_t zipped_size) {
    uint64_t errors = 0, survived = 0;
    bool has_failed = true;
    for (uint64_t n = 1; has_failed; n++) {
        attempt a = {.kind = k, .certificate = c, .zipped = zipped, .zipped_size = zipped_size};
        int err = fail_nth(&a, n, &has_failed);
        if (!has_failed) {
            CHECK_EQ(err, 0);
        } else if (err != 0) {
            errors++;
        } else {
            survived++;
        }
    }
    fprintf(stderr, "  %s: %llu allocations failed, %llu of them without harm\n", k->name,
            (unsigned long long)errors + survived, (unsigned long long)survived);
    CHECK_INT(errors, >, 0);
}

static void need_faults(void) {
#ifndef PN_FAULTS
    pn_test_skip("needs a build with FAULTS=1");
#endif
    for (size_t i = 0; i < sizeof large; i++) large[i] = (char)('a' + i * 31 % 26);
}

static void make_certificate(certificate *c) {
    memset(c, 0, sizeof *c);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"here", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(x, names, -1);
    X509_EXTENSION_free(names);
    CHECK(X509_sign(x, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x);
    CHECK_INT(BIO_read(bio, c->pem, sizeof c->pem - 1), >, 0);
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    CHECK_INT(BIO_read(bio, c->key, sizeof c->key - 1), >, 0);
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
}

static const kind plain_kinds[] = {
    {.name = "get, gathered", .path = "/large", .gathers = true},
    {.name = "post", .path = "/echo", .posts = true, .gathers = true},
    {.name = "post, 100-continue",
     .path = "/echo",
     .posts = true,
     .gathers = true,
     .expects = true},
    {.name = "chunks, streamed", .path = "/chunks", .streams_answer = true},
    {.name = "upload in chunks", .path = "/echo", .posts = true, .uploads = true, .gathers = true},
    {.name = "redirect with a body", .path = "/a/moved", .posts = true, .gathers = true},
};

TEST(faults_plain) {
    need_faults();
    for (size_t i = 0; i < sizeof plain_kinds / sizeof plain_kinds[0]; i++) {
        fail_all(&plain_kinds[i], NULL, NULL, 0);
    }
}

TEST(faults_gzip) {
    need_faults();
    static char zipped[sizeof large];
    z_stream z = {0};
    CHECK_EQ(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)large;
    z.avail_in = sizeof large;
    z.next_out = (uint8_t *)zipped;
    z.avail_out = sizeof zipped;
    CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t size = sizeof zipped - z.avail_out;
    deflateEnd(&z);
    fail_all(&(kind){.name = "gzip, gathered", .path = "/zipped", .gathers = true}, NULL, zipped,
             size);
    fail_all(
        &(kind){
            .name = "gzip, streamed", .path = "/zipped", .streams_answer = true, .decodes = true},
        NULL, zipped, size);
}

TEST(faults_tls) {
    need_faults();
    static certificate c;
    make_certificate(&c);
    fail_all(&(kind){.name = "tls, get", .path = "/large", .gathers = true, .tls = true}, &c, NULL,
             0);
    fail_all(
        &(kind){.name = "tls, post", .path = "/echo", .posts = true, .gathers = true, .tls = true},
        &c, NULL, 0);
}
