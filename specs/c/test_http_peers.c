/*
 * The client against nginx, curl against the server: programs that everybody trusts, on loopback,
 * on free ports, in a folder of the test's own, ended by their pid.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/http_server.h"
#include "net/inflate.h"
#include "specs/c/http_peer.h"

#define MS 1000000ULL

/* ---- children ---- */

static pid_t spawn(const char *const *argv, const char *output) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid;
    int err = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (err == ENOENT) pn_test_skip("not installed");
    CHECK_EQ(err, 0);
    return pid;
}

static bool has_ended(pid_t pid, int *status) { return waitpid(pid, status, WNOHANG) == pid; }

static char *read_file(const char *path) {
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

static void write_file(const char *path, const char *data, size_t size) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK_EQ(fwrite(data, 1, size, file), size);
    fclose(file);
}

typedef struct folder {
    char path[64];
} folder;

static void make_folder(folder *f) {
    snprintf(f->path, sizeof f->path, P_tmpdir "/pn-peers-XXXXXX");
    CHECK(mkdtemp(f->path) != NULL);
    CHECK_EQ(chmod(f->path, 0755), 0);
}

static const char *in_folder(const folder *f, const char *name) {
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", f->path, name);
    return path;
}

static void remove_folder(folder *f) {
    const char *const argv[] = {"rm", "-rf", f->path, NULL};
    int status;
    pid_t pid = spawn(argv, "/dev/null");
    CHECK_EQ(waitpid(pid, &status, 0), pid);
}

static uint16_t free_port(void) {
    peer p = {0};
    peer_start(&p);
    peer_stop(&p);
    return p.port;
}

/* ---- a certificate for 127.0.0.1 ---- */

static void write_certificate(const char *certificate_path, const char *key_path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *c = X509_new();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 7);
    X509_gmtime_adj(X509_getm_notBefore(c), -3600);
    X509_gmtime_adj(X509_getm_notAfter(c), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                               (const unsigned char *)"here", -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    X509_set_pubkey(c, key);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(c, names, -1);
    X509_EXTENSION_free(names);
    CHECK(X509_sign(c, key, EVP_sha256()) > 0);
    FILE *file = fopen(certificate_path, "w");
    PEM_write_X509(file, c);
    fclose(file);
    file = fopen(key_path, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(c);
    EVP_PKEY_free(key);
}

/* ---- nginx ---- */

typedef struct nginx {
    folder f;
    pid_t pid;
    uint16_t port, tls_port;
} nginx;

static void wait_for_port(uint16_t port) {
    for (int i = 0; i < 500; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int err = connect(fd, (struct sockaddr *)&address, sizeof address);
        close(fd);
        if (err == 0) return;
        usleep(10000);
    }
    pn_test_fail(__FILE__, __LINE__, "nginx does not listen");
}

static void start_nginx(nginx *n) {
    make_folder(&n->f);
    n->port = free_port();
    n->tls_port = free_port();
    write_certificate(in_folder(&n->f, "cert.pem"), in_folder(&n->f, "key.pem"));
    const char *p = n->f.path;
    char config[4096];
    int size = snprintf(config, sizeof config,
                        "daemon off; master_process off; pid %s/pid; error_log %s/error.log;\n"
                        "events { worker_connections 64; }\n"
                        "http { access_log off; client_body_temp_path %s/t1; proxy_temp_path "
                        "%s/t2; fastcgi_temp_path %s/t3;\n"
                        " uwsgi_temp_path %s/t4; scgi_temp_path %s/t5; keepalive_requests 3; gzip "
                        "on; gzip_min_length 1;\n"
                        " gzip_types *; types { text/plain txt; } client_max_body_size 1k;\n"
                        " server { listen 127.0.0.1:%u; listen 127.0.0.1:%u ssl; root %s;\n"
                        "  ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;\n"
                        "  location /moved { return 301 /small.txt; } location /echo { return 200 "
                        "\"$request_method $http_x\"; }\n"
                        "  location /empty { return 204; } } }\n",
                        p, p, p, p, p, p, p, (unsigned)n->port, (unsigned)n->tls_port, p, p, p);
    write_file(in_folder(&n->f, "nginx.conf"), config, (size_t)size);
    write_file(in_folder(&n->f, "small.txt"), "small file\n", 11);
    char *large = malloc(3 << 20);
    for (int i = 0; i < 3 << 20; i++) large[i] = (char)('a' + i / 1000 % 26);
    write_file(in_folder(&n->f, "large.bin"), large, 3 << 20);
    free(large);
    const char *const argv[] = {"nginx", "-p", p, "-c", in_folder(&n->f, "nginx.conf"), NULL};
    n->pid = spawn(argv, in_folder(&n->f, "output"));
    wait_for_port(n->port);
}

static void stop_nginx(nginx *n) {
    int status;
    kill(n->pid, SIGTERM);
    CHECK_EQ(waitpid(n->pid, &status, 0), n->pid);
    remove_folder(&n->f);
}

typedef struct scene {
    world w;
    nginx n;
    pn_tls *tls;
    pn_http_client *client;
    pn_http_call call;
    pn_buf body;
    int done;
} scene;

static void on_done(pn_http_call *call) { ((scene *)call->user)->done++; }

static const pn_http_call_events events = {.on_done = on_done};

static void open_scene(scene *s) {
    memset(s, 0, sizeof *s);
    start_nginx(&s->n);
    world_open(&s->w);
    char why[PN_TLS_WHY_BYTES];
    pn_tls_options tls = {.authorities = {.file = in_folder(&s->n.f, "cert.pem")}};
    CHECK_EQ(pn_tls_create(&s->w.ledger, &tls, &s->tls, why), 0);
    pn_http_client_options options = {.tls = s->tls};
    CHECK_EQ(pn_http_client_create(&s->w.io, &options, &s->client, NULL), 0);
    pn_buf_init(&s->body, &s->w.ledger.door);
    pn_http_call_init(&s->call, &events);
    s->call.user = s;
}

static void close_scene(scene *s) {
    pn_http_call_close(&s->call);
    pn_buf_close(&s->body);
    pn_http_client_destroy(s->client);
    pn_tls_release(s->tls);
    world_close(&s->w);
    stop_nginx(&s->n);
}

static void fetch(scene *s, bool tls, pn_http_request_options options, const char *path) {
    char url[128];
    snprintf(url, sizeof url, "http%s://127.0.0.1:%u%s", tls ? "s" : "",
             (unsigned)(tls ? s->n.tls_port : s->n.port), path);
    options.url = pn_text_of(url);
    pn_http_call_close(&s->call);
    pn_http_request *request;
    CHECK_EQ(pn_http_request_create(s->client, &options, &request, NULL), 0);
    s->done = 0;
    CHECK_EQ(pn_http_call_start(&s->call, request), 0);
    pn_http_request_release(request);
    RUN_UNTIL(&s->w, s->done > 0);
    if (s->call.err != 0)
        pn_test_fail(__FILE__, __LINE__, "%s: %s", pn_err_name(s->call.err), s->call.why);
    pn_buf_clear(&s->body);
    CHECK_EQ(pn_http_message_decode(&s->call.response, &s->body), 0);
}

TEST(peers_nginx) {
    scene s;
    open_scene(&s);
    for (int tls = 0; tls <= 1; tls++) {
        fetch(&s, tls, (pn_http_request_options){0}, "/small.txt");
        CHECK_EQ(s.call.response.head.status, 200);
        CHECK_STR(pn_buf_text(&s.body), "small file\n");
        fetch(&s, tls, (pn_http_request_options){0}, "/large.bin");
        CHECK(s.call.is_reused);
        CHECK_EQ(s.body.size, 3 << 20);
        CHECK_EQ(s.body.data[(3 << 20) - 1], 'a' + ((3 << 20) - 1) / 1000 % 26);
        fetch(&s, tls, (pn_http_request_options){0}, "/missing");
        CHECK_EQ(s.call.response.head.status, 404);
        fetch(&s, tls, (pn_http_request_options){0},
              "/moved"); /* a fresh one: nginx closes after three */
        CHECK_EQ(s.call.redirect_count, 1);
        CHECK_STR(pn_buf_text(&s.body), "small file\n");
        fetch(&s, tls, (pn_http_request_options){.method = PN_TEXT("HEAD")}, "/large.bin");
        CHECK_EQ(s.call.response.body_bytes, 0);
        CHECK(pn_text_equal(pn_http_message_header(&s.call.response, PN_TEXT("content-length")),
                            PN_TEXT("3145728")));
        fetch(&s, tls, (pn_http_request_options){0}, "/empty");
        CHECK_EQ(s.call.response.head.status, 204);
        const pn_http_header header = {PN_TEXT("X"), PN_TEXT("y z")};
        fetch(&s, tls, (pn_http_request_options){.headers = &header, .header_count = 1}, "/echo");
        CHECK_STR(pn_buf_text(&s.body), "GET y z");
    }
    close_scene(&s);
}

TEST(peers_nginx_gzip_is_chunked) {
    scene s;
    open_scene(&s);
    const pn_http_header header = {PN_TEXT("Accept-Encoding"), PN_TEXT("gzip")};
    const pn_http_request_options options = {.headers = &header, .header_count = 1};
    fetch(&s, false, options, "/large.bin");
    CHECK(pn_text_equal(pn_http_message_header(&s.call.response, PN_TEXT("content-encoding")),
                        PN_TEXT("gzip")));
    CHECK_EQ(s.call.response.head.body_kind, PN_HTTP_BODY_CHUNKED);
    CHECK_EQ(s.body.size, 3 << 20);
    CHECK_INT(s.call.response.body_bytes, <, 1 << 20);
    close_scene(&s);
}

TEST(peers_nginx_refuses_a_large_body) {
    scene s;
    open_scene(&s);
    char *body = calloc(1, 4 << 20);
    s.call.body = pn_text_make(body, 4 << 20);
    fetch(&s, false, (pn_http_request_options){.method = PN_TEXT("POST")}, "/echo");
    CHECK_EQ(s.call.response.head.status, 413); /* read although the rest could not be sent */
    free(body);
    close_scene(&s);
}

/* nginx closes after three requests: many calls one after the other all succeed. */
TEST(peers_nginx_many_in_a_row) {
    scene s;
    open_scene(&s);
    for (int i = 0; i < 50; i++) {
        fetch(&s, false, (pn_http_request_options){0}, "/small.txt");
        CHECK_EQ(s.body.size, 11);
    }
    pn_http_client_stats stats;
    pn_http_client_stats_get(s.client, &stats);
    CHECK_INT(stats.connections_made, >=, 17);
    close_scene(&s);
}

/* ---- curl ---- */

typedef struct hall {
    world w;
    folder f;
    pn_http_router *router;
    pn_http_server *server;
    pn_tls *tls;
    pn_http_handler echo, size, chunked, events_;
    bool is_closed;
} hall;

static void answer_echo(pn_http_exchange *x) {
    hall *h = pn_http_exchange_handler(x)->user;
    pn_buf text;
    pn_buf_init(&text, &h->w.ledger.door);
    pn_text query = pn_http_exchange_query(x);
    pn_buf_printf(&text, "%s ?%.*s [", pn_http_method_name(pn_http_exchange_method(x)),
                  (int)query.size, query.size > 0 ? query.at : "");
    pn_http_message_gather(pn_http_exchange_request(x), &text);
    pn_buf_add_text(&text, "]");
    pn_http_exchange_respond(x, 200, NULL, 0, pn_text_make(text.data, text.size));
    pn_buf_close(&text);
}

static void answer_size(pn_http_exchange *x) {
    char text[64];
    int n = snprintf(text, sizeof text, "%llu bytes",
                     (unsigned long long)pn_http_exchange_request(x)->body_bytes);
    pn_http_exchange_respond(x, 200, NULL, 0, pn_text_make(text, (size_t)n));
}

static void answer_chunked(pn_http_exchange *x) {
    pn_http_exchange_start(x, 200, NULL, 0, UINT64_MAX);
    for (int i = 0; i < 100; i++) CHECK_EQ(pn_http_exchange_write(x, "0123456789", 10), 0);
    pn_http_exchange_finish(x);
}

static void answer_events(pn_http_exchange *x) {
    pn_http_exchange_start_sse(x);
    pn_http_exchange_send_event(x, &(pn_http_sse){.event = PN_TEXT("a"), .data = PN_TEXT("1\n2")});
    pn_http_exchange_finish(x);
}

static void on_closed(void *user) { ((hall *)user)->is_closed = true; }

static void open_hall(hall *h, bool tls) {
    memset(h, 0, sizeof *h);
    world_open(&h->w);
    make_folder(&h->f);
    h->router = pn_http_router_create(&h->w.ledger);
    h->echo = (pn_http_handler){.on_request = answer_echo, .user = h};
    h->size = (pn_http_handler){.on_request = answer_size, .user = h};
    h->chunked = (pn_http_handler){.on_request = answer_chunked, .user = h};
    h->events_ = (pn_http_handler){.on_request = answer_events, .user = h};
    const char *why;
    pn_http_router_add(h->router, PN_TEXT("* /echo"), &h->echo, &why);
    pn_http_router_add(h->router, PN_TEXT("* /size"), &h->size, &why);
    pn_http_router_add(h->router, PN_TEXT("GET /chunked"), &h->chunked, &why);
    pn_http_router_add(h->router, PN_TEXT("GET /events"), &h->events_, &why);
    if (tls) {
        char text[PN_TLS_WHY_BYTES];
        write_certificate(in_folder(&h->f, "cert.pem"), in_folder(&h->f, "key.pem"));
        pn_tls_options options = {.is_server = true,
                                  .certificate = {.file = in_folder(&h->f, "cert.pem")},
                                  .key = {.file = in_folder(&h->f, "key.pem")}};
        CHECK_EQ(pn_tls_create(&h->w.ledger, &options, &h->tls, text), 0);
    }
    pn_http_server_options options = {
        .router = h->router, .tls = h->tls, .on_closed = on_closed, .user = h};
    CHECK_EQ(pn_http_server_create(&h->w.io, &options, &h->server), 0);
}

static void close_hall(hall *h) {
    pn_http_server_close(h->server, 1000 * MS);
    RUN_UNTIL(&h->w, h->is_closed);
    pn_http_router_destroy(h->router);
    pn_tls_release(h->tls);
    remove_folder(&h->f);
    world_close(&h->w);
}

/* Runs curl with these arguments and "URL/path" at the end; its output. */
static const char *curl(hall *h, const char *path, const char *const *arguments) {
    const char *argv[32] = {"curl", "-sS", "--max-time", "20", "--noproxy", "*"};
    int n = 6;
    while (*arguments != NULL) argv[n++] = *arguments++;
    char url[128];
    snprintf(url, sizeof url, "http%s://127.0.0.1:%u%s", h->tls != NULL ? "s" : "",
             (unsigned)pn_http_server_port(h->server), path);
    argv[n++] = url;
    const char *output = in_folder(&h->f, "output");
    pid_t pid = spawn(argv, output);
    int status = -1;
    RUN_UNTIL(&h->w, has_ended(pid, &status));
    if (status != 0) pn_test_fail(__FILE__, __LINE__, "curl: %d %s", status, read_file(output));
    return read_file(output);
}

#define CURL(h, path, ...) curl(h, path, (const char *const[]){__VA_ARGS__, NULL})

static void check_curl(hall *h, const char *const *tls) {
    CHECK_STR(CURL(h, "/echo?a=b", "-4", tls[0], tls[1]), "GET ?a=b []");
    CHECK_STR(CURL(h, "/echo", "-d", "x=1&y=2", tls[0], tls[1]), "POST ? [x=1&y=2]");
    CHECK_STR(CURL(h, "/echo", "-X", "DELETE", tls[0], tls[1]), "DELETE ? []");
    CHECK_STR(CURL(h, "/echo", "--http1.0", tls[0], tls[1]), "GET ? []");
    CHECK_STR(
        CURL(h, "/echo", "-H", "Transfer-Encoding: chunked", "-d", "chunked body", tls[0], tls[1]),
        "POST ? [chunked body]");
    CHECK_EQ(strlen(CURL(h, "/chunked", "-4", tls[0], tls[1])), 1000);
    CHECK_STR(CURL(h, "/events", "-N", tls[0], tls[1]), "event: a\ndata: 1\ndata: 2\n\n");
    CHECK(strstr(CURL(h, "/echo", "-I", tls[0], tls[1]), "HTTP/1.1 200 OK") != NULL);
    CHECK_STR(CURL(h, "/none", "-4", tls[0], tls[1]), "404 Not Found\n");
}

TEST(peers_curl) {
    hall h;
    open_hall(&h, false);
    check_curl(&h, (const char *const[]){"-4", "-4"});
    close_hall(&h);
}

TEST(peers_curl_tls) {
    hall h;
    open_hall(&h, true);
    const char *tls[] = {"--cacert", in_folder(&h.f, "cert.pem")};
    char path[128];
    snprintf(path, sizeof path, "%s", tls[1]);
    tls[1] = path;
    check_curl(&h, tls);
    CHECK_STR(CURL(&h, "/echo", "--tls-max", "1.2", "--cacert", path), "GET ? []");
    close_hall(&h);
}

/* Large enough for curl to ask "Expect: 100-continue"; and one over the limit, refused before it is
 * sent. */
TEST(peers_curl_large_bodies) {
    hall h;
    open_hall(&h, false);
    size_t size = 10 << 20;
    char *data = malloc(17 << 20);
    memset(data, 'd', 17 << 20);
    const char *path = in_folder(&h.f, "data");
    char at_path[128];
    snprintf(at_path, sizeof at_path, "@%s", path);
    write_file(path, data, size);
    CHECK_STR(CURL(&h, "/size", "--data-binary", at_path), "10485760 bytes");
    CHECK_STR(CURL(&h, "/size", "-H", "Transfer-Encoding: chunked", "--data-binary", at_path),
              "10485760 bytes");
    CHECK_STR(CURL(&h, "/size", "-T", at_path + 1), "10485760 bytes");
    write_file(at_path + 1, data, 17 << 20);
    CHECK_STR(CURL(&h, "/size", "--data-binary", at_path), "413 Content Too Large\n");
    free(data);
    close_hall(&h);
}

TEST(peers_curl_keeps_the_connection) {
    hall h;
    open_hall(&h, false);
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/echo?2",
             (unsigned)pn_http_server_port(h.server));
    CHECK_STR(CURL(&h, "/echo?1", url), "GET ?2 []GET ?1 []");
    pn_http_server_stats stats;
    pn_http_server_stats_get(h.server, &stats);
    CHECK_EQ(stats.accepted, 1);
    CHECK_EQ(stats.requests, 2);
    close_hall(&h);
}
