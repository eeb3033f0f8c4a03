/*
 * TLS: our client against our server over loopback, with certificates made here. Goal: what must
 * verify verifies, what must not is refused with its own error, bytes arrive whole in both
 * directions.
 */
#include "net/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_server.h"
#include "net/stream.h"
#include "specs/c/http_peer.h"

#define MS 1000000ULL

/* ---- certificates ---- */

typedef struct identity {
    X509 *certificate;
    EVP_PKEY *key;
    char pem[4096], key_pem[2048], locked_key_pem[2048];
} identity;

static void write_pem(identity *id) {
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK_EQ(PEM_write_bio_X509(bio, id->certificate), 1);
    CHECK_INT(BIO_read(bio, id->pem, sizeof id->pem - 1), >, 0);
    CHECK_EQ(PEM_write_bio_PrivateKey(bio, id->key, NULL, NULL, 0, NULL, NULL), 1);
    CHECK_INT(BIO_read(bio, id->key_pem, sizeof id->key_pem - 1), >, 0);
    CHECK_EQ(
        PEM_write_bio_PrivateKey(bio, id->key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"secret"),
        1);
    CHECK_INT(BIO_read(bio, id->locked_key_pem, sizeof id->locked_key_pem - 1), >, 0);
    BIO_free(bio);
}

static void add_extension(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    CHECK(extension != NULL);
    CHECK_EQ(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Signed by `issuer`, or by itself. */
static void make_identity(identity *id, const char *name, const char *alt_names,
                          const identity *issuer, long valid_s) {
    memset(id, 0, sizeof *id);
    id->key = EVP_EC_gen("P-256");
    id->certificate = X509_new();
    X509 *c = id->certificate;
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), (long)rand());
    X509_gmtime_adj(X509_getm_notBefore(c), -86400);
    X509_gmtime_adj(X509_getm_notAfter(c), valid_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(issuer != NULL ? issuer->certificate : c));
    X509_set_pubkey(c, id->key);
    if (alt_names == NULL) {
        add_extension(c, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        add_extension(c, NID_subject_alt_name, alt_names);
    }
    CHECK(X509_sign(c, issuer != NULL ? issuer->key : id->key, EVP_sha256()) > 0);
    write_pem(id);
}

static void free_identity(identity *id) {
    X509_free(id->certificate);
    EVP_PKEY_free(id->key);
}

typedef struct certificates {
    identity authority, other_authority, server, expired, wrong_name, self_signed, client, stranger;
} certificates;

static void make_certificates(certificates *c) {
    static const char here[] = "DNS:localhost,IP:127.0.0.1";
    make_identity(&c->authority, "authority", NULL, NULL, 86400);
    make_identity(&c->other_authority, "other", NULL, NULL, 86400);
    make_identity(&c->server, "server", here, &c->authority, 86400);
    make_identity(&c->expired, "expired", here, &c->authority, -3600);
    make_identity(&c->wrong_name, "wrong", "DNS:elsewhere.example,IP:10.0.0.1", &c->authority,
                  86400);
    make_identity(&c->self_signed, "self", here, NULL, 86400);
    make_identity(&c->client, "client", "DNS:client", &c->authority, 86400);
    make_identity(&c->stranger, "stranger", "DNS:stranger", &c->other_authority, 86400);
}

static void free_certificates(certificates *c) {
    identity *const all[] = {&c->authority,  &c->other_authority, &c->server, &c->expired,
                             &c->wrong_name, &c->self_signed,     &c->client, &c->stranger};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free_identity(all[i]);
}

static pn_tls_source pem(const char *text) { return (pn_tls_source){.pem = pn_text_of(text)}; }

/* ---- a server and a client ---- */

typedef struct scene {
    world w;
    certificates certs;
    pn_http_router *router;
    pn_http_server *server;
    pn_tls *server_tls, *client_tls;
    pn_http_handler handler;
    pn_http_client *client;
    pn_http_call call;
    int done;
    bool is_closed;
    char url[128];
} scene;

static void answer_echo(pn_http_exchange *x) {
    pn_buf body;
    pn_buf_init(&body, &((scene *)pn_http_exchange_handler(x)->user)->w.ledger.door);
    pn_http_message_gather(pn_http_exchange_request(x), &body);
    pn_http_exchange_respond(x, 200, NULL, 0, pn_text_make(body.data, body.size));
    pn_buf_close(&body);
}

static void on_done(pn_http_call *call) { ((scene *)call->user)->done++; }

static void on_closed(void *user) { ((scene *)user)->is_closed = true; }

static const pn_http_call_events events = {.on_done = on_done};

static pn_tls *make_tls(scene *s, pn_tls_options options) {
    char why[PN_TLS_WHY_BYTES];
    pn_tls *tls = NULL;
    int err = pn_tls_create(&s->w.ledger, &options, &tls, why);
    if (err != 0) pn_test_fail(__FILE__, __LINE__, "%s: %s", pn_err_name(err), why);
    return tls;
}

static void open_server(scene *s, pn_tls_options tls) {
    tls.is_server = true;
    s->server_tls = make_tls(s, tls);
    s->handler = (pn_http_handler){.on_request = answer_echo, .user = s};
    const char *why;
    s->router = pn_http_router_create(&s->w.ledger);
    CHECK_EQ(pn_http_router_add(s->router, PN_TEXT("* /*"), &s->handler, &why), 0);
    pn_http_server_options options = {
        .tls = s->server_tls, .router = s->router, .on_closed = on_closed, .user = s};
    CHECK_EQ(pn_http_server_create(&s->w.io, &options, &s->server), 0);
    snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u/x",
             (unsigned)pn_http_server_port(s->server));
}

static void open_client(scene *s, pn_tls_options tls, bool no_reuse) {
    s->client_tls = make_tls(s, tls);
    pn_http_client_options options = {.tls = s->client_tls, .no_reuse = no_reuse};
    CHECK_EQ(pn_http_client_create(&s->w.io, &options, &s->client, NULL), 0);
    pn_http_call_init(&s->call, &events);
    s->call.user = s;
}

static void open_scene(scene *s) {
    memset(s, 0, sizeof *s);
    world_open(&s->w);
    make_certificates(&s->certs);
}

static void close_client(scene *s) {
    pn_http_call_close(&s->call);
    if (s->client != NULL) pn_http_client_destroy(s->client);
    pn_tls_release(s->client_tls);
    s->client = NULL;
    s->client_tls = NULL;
}

static void close_server(scene *s) {
    if (s->server == NULL) return;
    pn_http_server_close(s->server, 1000 * MS);
    RUN_UNTIL(&s->w, s->is_closed);
    pn_http_router_destroy(s->router);
    pn_tls_release(s->server_tls);
    s->server = NULL;
    s->is_closed = false;
}

static void close_scene(scene *s) {
    close_client(s);
    close_server(s);
    free_certificates(&s->certs);
    world_close(&s->w);
}

static void run(scene *s, pn_text body) {
    pn_http_call_close(&s->call);
    pn_http_request *request;
    pn_http_request_options options = {.method = body.size > 0 ? PN_TEXT("POST") : PN_TEXT("GET"),
                                       .url = pn_text_of(s->url)};
    CHECK_EQ(pn_http_request_create(s->client, &options, &request, NULL), 0);
    s->call.body = body;
    s->done = 0;
    CHECK_EQ(pn_http_call_start(&s->call, request), 0);
    pn_http_request_release(request);
    RUN_UNTIL(&s->w, s->done > 0);
}

/* One exchange between a client and a server of these options. */
static void meet(scene *s, pn_tls_options server, pn_tls_options client) {
    open_server(s, server);
    open_client(s, client, false);
    run(s, PN_TEXT("body"));
}

static pn_tls_options serving(scene *s, const identity *id) {
    (void)s;
    return (pn_tls_options){.certificate = pem(id->pem), .key = pem(id->key_pem)};
}

static pn_tls_options trusting(const identity *authority) {
    return (pn_tls_options){.authorities = pem(authority->pem), .no_system_authorities = true};
}

static void check_ok(scene *s) {
    if (s->call.err != 0) {
        pn_test_fail(__FILE__, __LINE__, "%s: %s", pn_err_name(s->call.err), s->call.why);
    }
    pn_text view;
    CHECK(pn_http_message_view(&s->call.response, &view));
    CHECK(pn_text_equal(view, PN_TEXT("body")));
}

static void check_fails(scene *s, int err, int code) {
    CHECK_EQ(s->call.err, err);
    CHECK_EQ(s->call.phase, PN_HTTP_PHASE_TLS);
    CHECK_EQ(pn_http_error_code(s->call.err, s->call.phase, 0), code);
    CHECK(s->call.why[0] != '\0');
}

/* ---- trust ---- */

TEST(tls_exchange) {
    scene s;
    open_scene(&s);
    meet(&s, serving(&s, &s.certs.server), trusting(&s.certs.authority));
    check_ok(&s);
    CHECK_STR(s.call.tls_version, "tls1.3");
    CHECK(s.call.timings.tls_handshaking_ns > 0);
    const pn_http_timings *t = &s.call.timings;
    uint64_t sum =
        t->blocked_ns + t->connecting_ns + t->tls_handshaking_ns + pn_http_duration_ns(t);
    CHECK_EQ(sum, s.call.ended_ns - s.call.started_ns);
    run(&s, PN_TEXT("body"));
    check_ok(&s);
    CHECK(s.call.is_reused);
    CHECK_STR(s.call.tls_version, "tls1.3");
    CHECK_EQ(s.call.timings.tls_handshaking_ns, 0);
    close_scene(&s);
}

TEST(tls_by_name) {
    scene s;
    open_scene(&s);
    open_server(&s, serving(&s, &s.certs.server));
    open_client(&s, trusting(&s.certs.authority), false);
    snprintf(s.url, sizeof s.url, "https://localhost:%u/", (unsigned)pn_http_server_port(s.server));
    run(&s, PN_TEXT("body"));
    check_ok(&s);
    close_scene(&s);
}

TEST(tls_unknown_authority) {
    scene s;
    open_scene(&s);
    meet(&s, serving(&s, &s.certs.server), trusting(&s.certs.other_authority));
    check_fails(&s, PN_ETLS_UNKNOWN_AUTHORITY, 1310);
    close_client(&s);
    open_client(&s, (pn_tls_options){0}, false); /* the system's do not know it either */
    run(&s, PN_TEXT("body"));
    check_fails(&s, PN_ETLS_UNKNOWN_AUTHORITY, 1310);
    close_scene(&s);
    open_scene(&s);
    meet(&s, serving(&s, &s.certs.self_signed), trusting(&s.certs.authority));
    check_fails(&s, PN_ETLS_UNKNOWN_AUTHORITY, 1310);
    close_scene(&s);
}

TEST(tls_wrong_name) {
    scene s;
    open_scene(&s);
    meet(&s, serving(&s, &s.certs.wrong_name), trusting(&s.certs.authority));
    check_fails(&s, PN_ETLS_HOSTNAME, 1311); /* by address */
    snprintf(s.url, sizeof s.url, "https://localhost:%u/", (unsigned)pn_http_server_port(s.server));
    run(&s, PN_TEXT("body"));
    check_fails(&s, PN_ETLS_HOSTNAME, 1311); /* by name */
    close_scene(&s);
}

TEST(tls_expired) {
    scene s;
    open_scene(&s);
    meet(&s, serving(&s, &s.certs.expired), trusting(&s.certs.authority));
    check_fails(&s, PN_ETLS, 1300);
    CHECK(strstr(s.call.why, "expired") != NULL);
    close_scene(&s);
}

TEST(tls_insecure_takes_anything) {
    scene s;
    open_scene(&s);
    const identity *const ids[] = {&s.certs.expired, &s.certs.wrong_name, &s.certs.self_signed};
    for (int i = 0; i < 3; i++) {
        meet(&s, serving(&s, ids[i]), (pn_tls_options){.insecure_skip_verify = true});
        check_ok(&s);
        close_client(&s);
        close_server(&s);
    }
    close_scene(&s);
}

/* ---- client certificates ---- */

static void meet_as(scene *s, pn_tls_client_auth auth, const identity *client) {
    pn_tls_options server = serving(s, &s->certs.server);
    server.client_auth = auth;
    server.authorities = pem(s->certs.authority.pem);
    pn_tls_options options = trusting(&s->certs.authority);
    if (client != NULL) {
        options.certificate = pem(client->pem);
        options.key = pem(client->key_pem);
    }
    meet(s, server, options);
}

TEST(tls_client_certificates) {
    const struct {
        pn_tls_client_auth auth;
        int client; /* 0 none, 1 good, 2 of another authority */
        bool ok;
    } cases[] = {
        {PN_TLS_CLIENT_REQUIRED, 1, true},  {PN_TLS_CLIENT_REQUIRED, 0, false},
        {PN_TLS_CLIENT_REQUIRED, 2, false}, {PN_TLS_CLIENT_OPTIONAL, 0, true},
        {PN_TLS_CLIENT_OPTIONAL, 1, true},  {PN_TLS_CLIENT_OPTIONAL, 2, false},
        {PN_TLS_CLIENT_NONE, 1, true},
    };
    scene s;
    open_scene(&s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const identity *const clients[] = {NULL, &s.certs.client, &s.certs.stranger};
        meet_as(&s, cases[i].auth, clients[cases[i].client]);
        if (cases[i].ok) {
            check_ok(&s);
        } else {
            CHECK_EQ(s.call.err, PN_ETLS); /* the server's alert */
            CHECK(s.call.why[0] != '\0');
        }
        close_client(&s);
        close_server(&s);
    }
    close_scene(&s);
}

/* ---- options ---- */

TEST(tls_versions) {
    scene s;
    open_scene(&s);
    pn_tls_options server = serving(&s, &s.certs.server), client = trusting(&s.certs.authority);
    client.max_version = PN_TLS_VERSION_1_2;
    meet(&s, server, client);
    check_ok(&s);
    CHECK_STR(s.call.tls_version, "tls1.2");
    close_client(&s);
    close_server(&s);
    server.min_version = PN_TLS_VERSION_1_3;
    meet(&s, server, client);
    check_fails(&s, PN_ETLS, 1300);
    close_scene(&s);
}

TEST(tls_version_names) {
    pn_tls_version version;
    CHECK_EQ(pn_tls_version_parse(PN_TEXT("1.2"), &version), 0);
    CHECK_EQ(version, PN_TLS_VERSION_1_2);
    CHECK_EQ(pn_tls_version_parse(PN_TEXT("tls1.3"), &version), 0);
    CHECK_EQ(version, PN_TLS_VERSION_1_3);
    CHECK_EQ(pn_tls_version_parse(PN_TEXT("TLS 1.0"), &version), 0);
    CHECK_EQ(version, PN_TLS_VERSION_1_0);
    CHECK_EQ(pn_tls_version_parse(PN_TEXT("1.4"), &version), PN_EBAD_CONFIG);
    CHECK_EQ(pn_tls_version_parse(PN_TEXT("tls"), &version), PN_EBAD_CONFIG);
    CHECK_EQ(pn_tls_version_parse(PN_TEXT(""), &version), PN_EBAD_CONFIG);
}

TEST(tls_ciphers) {
    scene s;
    open_scene(&s);
    pn_tls_options server = serving(&s, &s.certs.server), client = trusting(&s.certs.authority);
    client.max_version = PN_TLS_VERSION_1_2;
    client.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    server.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
    meet(&s, server, client);
    check_fails(&s, PN_ETLS, 1300);
    close_client(&s);
    client.ciphers = server.ciphers;
    open_client(&s, client, false);
    run(&s, PN_TEXT("body"));
    check_ok(&s);
    close_scene(&s);
}

static void check_refused(scene *s, pn_tls_options options) {
    char why[PN_TLS_WHY_BYTES] = "";
    pn_tls *tls = NULL;
    CHECK_EQ(pn_tls_create(&s->w.ledger, &options, &tls, why), PN_EBAD_CONFIG);
    CHECK(why[0] != '\0');
    CHECK(tls == NULL);
}

TEST(tls_refuses_options) {
    scene s;
    open_scene(&s);
    const certificates *c = &s.certs;
    check_refused(&s, (pn_tls_options){.is_server = true});
    check_refused(&s, (pn_tls_options){.certificate = pem(c->server.pem)});
    check_refused(
        &s, (pn_tls_options){.certificate = pem(c->server.pem), .key = pem(c->client.key_pem)});
    check_refused(&s,
                  (pn_tls_options){.certificate = pem("garbage"), .key = pem(c->client.key_pem)});
    check_refused(&s, (pn_tls_options){.certificate = pem(c->server.pem), .key = pem("garbage")});
    check_refused(&s, (pn_tls_options){.certificate = {.file = "/nowhere.pem"},
                                       .key = pem(c->server.key_pem)});
    check_refused(&s, (pn_tls_options){.authorities = {.file = "/nowhere.pem"}});
    check_refused(&s, (pn_tls_options){.authorities = pem("garbage")});
    check_refused(&s, (pn_tls_options){.ciphers = "NO-SUCH"});
    check_refused(&s, (pn_tls_options){.cipher_suites = "NO-SUCH"});
    check_refused(
        &s, (pn_tls_options){.min_version = PN_TLS_VERSION_1_3, .max_version = PN_TLS_VERSION_1_2});
    pn_tls_options server = serving(&s, &c->server);
    server.is_server = true;
    server.client_auth = PN_TLS_CLIENT_REQUIRED; /* verified by whom? */
    check_refused(&s, server);
    close_scene(&s);
}

TEST(tls_locked_keys) {
    scene s;
    open_scene(&s);
    pn_tls_options options = {.certificate = pem(s.certs.server.pem),
                              .key = pem(s.certs.server.locked_key_pem)};
    check_refused(&s, options);
    options.key_password = "wrong";
    check_refused(&s, options);
    options.key_password = "secret";
    pn_tls_release(make_tls(&s, options));
    close_scene(&s);
}

TEST(tls_files) {
    scene s;
    open_scene(&s);
    char paths[2][64];
    const char *const texts[] = {s.certs.server.pem, s.certs.server.key_pem};
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], P_tmpdir "/pn-tls-%d-%d.pem", (int)getpid(), i);
        FILE *file = fopen(paths[i], "w");
        fputs(texts[i], file);
        fclose(file);
    }
    meet(&s, (pn_tls_options){.certificate = {.file = paths[0]}, .key = {.file = paths[1]}},
         trusting(&s.certs.authority));
    check_ok(&s);
    for (int i = 0; i < 2; i++) unlink(paths[i]);
    close_scene(&s);
}

/* ---- bytes ---- */

TEST(tls_large_bodies) {
    scene s;
    open_scene(&s);
    size_t size = 12 << 20;
    char *body = malloc(size);
    for (size_t i = 0; i < size; i++) body[i] = (char)(i * 7 + i / 4096);
    open_server(&s, serving(&s, &s.certs.server));
    open_client(&s, trusting(&s.certs.authority), false);
    run(&s, pn_text_make(body, size));
    CHECK_EQ(s.call.err, 0);
    pn_buf back;
    pn_buf_init(&back, &s.w.ledger.door);
    CHECK(pn_http_message_gather(&s.call.response, &back));
    CHECK_EQ(back.size, size);
    CHECK_MEM(back.data, body, size);
    CHECK_INT(s.call.bytes_received, >, size);
    pn_buf_close(&back);
    free(body);
    close_scene(&s);
}

static pn_http_call *paused_call;
static size_t paused_bytes;

static void on_body_pause(pn_http_call *call, const char *data, size_t size) {
    (void)data;
    paused_bytes += size;
    paused_call = call;
    pn_http_call_pause(call);
}

/* Records that came while reading was stopped are not lost. */
TEST(tls_back_pressure) {
    static const pn_http_call_events pausing = {.on_done = on_done, .on_body = on_body_pause};
    scene s;
    open_scene(&s);
    size_t size = 2 << 20;
    char *body = calloc(1, size);
    open_server(&s, serving(&s, &s.certs.server));
    open_client(&s, trusting(&s.certs.authority), false);
    s.call.events = &pausing;
    s.call.body = pn_text_make(body, size);
    pn_http_request *request;
    pn_http_request_options options = {.method = PN_TEXT("POST"), .url = pn_text_of(s.url)};
    CHECK_EQ(pn_http_request_create(s.client, &options, &request, NULL), 0);
    CHECK_EQ(pn_http_call_start(&s.call, request), 0);
    pn_http_request_release(request);
    int pauses = 0;
    while (s.done == 0) {
        RUN_UNTIL(&s.w, paused_call != NULL || s.done > 0);
        size_t before = paused_bytes;
        if (pauses < 5) {
            for (int i = 0; i < 3; i++) pn_io_turn(&s.w.io, 1);
            CHECK(paused_bytes == before || s.done > 0);
        }
        paused_call = NULL;
        pn_http_call_resume(&s.call);
        pauses++;
    }
    CHECK_EQ(s.call.err, 0);
    CHECK_EQ(paused_bytes, size);
    CHECK_INT(pauses, >, 10);
    free(body);
    close_scene(&s);
}

/* ---- resumption ---- */

typedef struct probe {
    pn_stream stream;
    int opened, err;
    bool is_closed, got_bytes;
    char room[4096];
} probe;

static void probe_open(pn_stream *stream, int err) {
    probe *p = (probe *)stream;
    p->opened++;
    p->err = err;
    if (err == 0) pn_stream_start_reading(stream);
}

static char *probe_room(pn_stream *stream, size_t *room) {
    *room = sizeof((probe *)stream)->room;
    return ((probe *)stream)->room;
}

static void probe_read(pn_stream *stream, char *data, ptrdiff_t size) {
    (void)data;
    ((probe *)stream)->got_bytes |= size > 0;
}

static void probe_close(pn_stream *stream) { ((probe *)stream)->is_closed = true; }

static const pn_stream_events probe_events = {
    .on_open = probe_open, .on_room = probe_room, .on_read = probe_read, .on_close = probe_close};

static bool connect_resumed(scene *s) {
    probe p = {0};
    pn_address address;
    CHECK(pn_address_parse(&address, PN_TEXT("127.0.0.1"), pn_http_server_port(s->server)));
    CHECK_EQ(pn_stream_connect(&p.stream, &s->w.io, &probe_events, &address.any, s->client_tls,
                               "127.0.0.1"),
             0);
    RUN_UNTIL(&s->w, p.opened > 0);
    CHECK_EQ(p.err, 0);
    bool resumed = pn_tls_session_is_resumed(p.stream.tls);
    CHECK_STR(pn_tls_session_protocol(p.stream.tls), "http/1.1");
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    uv_buf_t buf = {(char *)(uintptr_t)request, sizeof request - 1};
    CHECK_EQ(pn_stream_write(&p.stream, &buf, 1), 0);
    RUN_UNTIL(&s->w, p.got_bytes); /* the ticket has come before */
    pn_stream_close(&p.stream);
    pn_stream_close(&p.stream);
    RUN_UNTIL(&s->w, p.is_closed);
    return resumed;
}

TEST(tls_resumes_sessions) {
    for (int version = PN_TLS_VERSION_1_2; version <= PN_TLS_VERSION_1_3; version++) {
        scene s;
        open_scene(&s);
        open_server(&s, serving(&s, &s.certs.server));
        pn_tls_options options = trusting(&s.certs.authority);
        options.max_version = (pn_tls_version)version;
        open_client(&s, options, false);
        CHECK(!connect_resumed(&s));
        CHECK(connect_resumed(&s));
        CHECK(connect_resumed(&s));
        close_scene(&s);
    }
}

/* ---- peers that do not speak it ---- */

static void serve_plain_error(peer *p, int fd, int connection) {
    (void)connection;
    char block[512];
    if (recv(fd, block, sizeof block, 0) > 0) peer_say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    peer_wait(p, 20);
}

static void serve_nothing(peer *p, int fd, int connection) {
    (void)connection;
    peer_wait_end(p, fd);
}

static void serve_hang_up(peer *p, int fd, int connection) {
    (void)p, (void)connection;
    char block[512];
    recv(fd, block, sizeof block, 0);
}

static void meet_peer(scene *s, peer *p) {
    open_scene(s);
    open_client(s, trusting(&s->certs.authority), false);
    s->call.connect_timeout_ns = 50 * MS;
    peer_start(p);
    snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u/", (unsigned)p->port);
    run(s, PN_TEXT("body"));
    peer_stop(p);
}

TEST(tls_peer_without_tls) {
    scene s;
    peer plain = {.serve = serve_plain_error};
    meet_peer(&s, &plain);
    check_fails(&s, PN_ETLS, 1300);
    close_scene(&s);
}

TEST(tls_handshake_timeout) {
    scene s;
    peer silent = {.serve = serve_nothing};
    meet_peer(&s, &silent);
    CHECK_EQ(s.call.err, PN_ETIMEOUT);
    CHECK_EQ(s.call.phase, PN_HTTP_PHASE_TLS);
    close_scene(&s);
}

TEST(tls_peer_hangs_up) {
    scene s;
    peer p = {.serve = serve_hang_up};
    meet_peer(&s, &p);
    CHECK(s.call.err == PN_EEOF || s.call.err == -ECONNRESET);
    CHECK_EQ(s.call.phase, PN_HTTP_PHASE_TLS);
    close_scene(&s);
}

TEST(tls_server_meets_garbage) {
    static const char *const hellos[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                         "\x16\x03\x01\x02garbage", "\0"};
    scene s;
    open_scene(&s);
    open_server(&s, serving(&s, &s.certs.server));
    for (int i = 0; i < 3; i++) {
        raw c;
        raw_open(&c, pn_http_server_port(s.server));
        raw_send(&c, hellos[i], i == 2 ? 1 : strlen(hellos[i]));
        if (i == 2) {
            raw_close(&c); /* in the middle of its hello */
            pn_http_server_stats stats = {.connections = 1};
            RUN_UNTIL(&s.w, (pn_http_server_stats_get(s.server, &stats), stats.connections == 0));
        } else {
            RUN_UNTIL(&s.w, raw_has_ended(&c) || i == 1);
            raw_close(&c);
        }
    }
    open_client(&s, trusting(&s.certs.authority), false);
    run(&s, PN_TEXT("body"));
    check_ok(&s); /* the server is as good as before */
    close_scene(&s);
}

/* A body that ends with the connection, cut without TLS's own end: refused, it may be half. */
static void relay(int from, int to, size_t limit) {
    struct pollfd fds[2] = {{.fd = from, .events = POLLIN}, {.fd = to, .events = POLLIN}};
    size_t back = 0;
    char block[16384];
    while (poll(fds, 2, 5000) > 0) {
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents == 0) continue;
            size_t room = sizeof block;
            if (i == 1 && limit - back < room) room = limit - back;
            ssize_t n = room == 0 ? 0 : recv(fds[i].fd, block, room, 0);
            if (n <= 0 || !peer_send(fds[1 - i].fd, block, (size_t)n)) return;
            if (i == 1) back += (size_t)n;
        }
    }
}

static void serve_tunnel(peer *p, int fd, int connection) {
    (void)connection;
    const uint16_t *port = p->arg;
    if (!peer_read_request(p, fd) || !peer_say(fd, "HTTP/1.1 200 Connected\r\n\r\n")) return;
    int to = raw_connect(*port);
    relay(fd, to, SIZE_MAX);
    close(to);
}

TEST(tls_through_a_proxy) {
    scene s;
    open_scene(&s);
    open_server(&s, serving(&s, &s.certs.server));
    uint16_t port = pn_http_server_port(s.server);
    peer proxy = {.serve = serve_tunnel, .arg = &port};
    peer_start(&proxy);
    s.client_tls = make_tls(&s, trusting(&s.certs.authority));
    char proxy_url[128];
    snprintf(proxy_url, sizeof proxy_url, "http://u:p@127.0.0.1:%u", (unsigned)proxy.port);
    pn_http_client_options options = {.tls = s.client_tls, .proxy = pn_text_of(proxy_url)};
    CHECK_EQ(pn_http_client_create(&s.w.io, &options, &s.client, NULL), 0);
    pn_http_call_init(&s.call, &events);
    s.call.user = &s;
    for (int i = 0; i < 2; i++) {
        run(&s, PN_TEXT("body"));
        check_ok(&s);
        CHECK_EQ(s.call.is_reused, i == 1);
        CHECK_EQ(s.call.timings.tls_handshaking_ns > 0, i == 0);
    }
    char expected[128];
    snprintf(expected, sizeof expected, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n", (unsigned)port);
    CHECK(peer_received(&proxy, expected));
    CHECK(peer_received(&proxy, "Proxy-Authorization: Basic dTpw\r\n"));
    CHECK(!peer_received(&proxy, "POST"));
    close_client(&s);
    pn_io_turn(&s.w.io, 10);
    peer_stop(&proxy);
    close_scene(&s);
}

static void answer_until_end(pn_http_exchange *x) {
    static char block[60000];
    memset(block, 'x', sizeof block);
    pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX);
    pn_http_exchange_write(x, block, sizeof block);
    pn_http_exchange_finish(x);
}

static void serve_cut(peer *p, int fd, int connection) {
    (void)connection;
    const uint16_t *port = p->arg;
    int to = raw_connect(*port);
    relay(fd, to, 30000); /* then both ends are closed, in the middle of the body */
    close(to);
}

TEST(tls_cut_off_body_is_noticed) {
    scene s;
    open_scene(&s);
    open_server(&s, serving(&s, &s.certs.server));
    s.handler.on_request = answer_until_end;
    open_client(&s, trusting(&s.certs.authority), false);
    uint16_t port = pn_http_server_port(s.server);
    peer middle = {.serve = serve_cut, .arg = &port};
    peer_start(&middle);
    snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u/", (unsigned)middle.port);
    run(&s, PN_TEXT_NONE);
    CHECK(s.call.err == PN_EBAD_HTTP || s.call.err == -ECONNRESET);
    CHECK_EQ(s.call.phase, PN_HTTP_PHASE_RECEIVING);
    peer_stop(&middle);
    close_scene(&s);
}

/* An answer that has no end but the connection's: complete only when TLS says so. */
typedef struct openssl_peer {
    SSL_CTX *context;
    bool says_goodbye;
} openssl_peer;

static void serve_until_end(peer *p, int fd, int connection) {
    (void)connection;
    const openssl_peer *o = p->arg;
    SSL *ssl = SSL_new(o->context);
    SSL_set_fd(ssl, fd);
    char block[512];
    static const char answer[] = "HTTP/1.1 200 OK\r\n\r\nbody";
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, block, sizeof block) > 0) {
        SSL_write(ssl, answer, sizeof answer - 1);
        if (o->says_goodbye) SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

TEST(tls_end_of_a_body_without_length) {
    for (int clean = 0; clean <= 1; clean++) {
        scene s;
        open_scene(&s);
        openssl_peer o = {.context = SSL_CTX_new(TLS_server_method()), .says_goodbye = clean};
        SSL_CTX_use_certificate(o.context, s.certs.server.certificate);
        SSL_CTX_use_PrivateKey(o.context, s.certs.server.key);
        peer p = {.serve = serve_until_end, .arg = &o};
        peer_start(&p);
        open_client(&s, trusting(&s.certs.authority), false);
        snprintf(s.url, sizeof s.url, "https://127.0.0.1:%u/", (unsigned)p.port);
        run(&s, PN_TEXT_NONE);
        if (clean) {
            check_ok(&s);
        } else {
            CHECK_EQ(s.call.err, PN_EBAD_HTTP);
            CHECK(strstr(s.call.why, "cut") != NULL);
        }
        peer_stop(&p);
        SSL_CTX_free(o.context);
        close_scene(&s);
    }
}
