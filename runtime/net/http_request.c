/* Requests that are made once and sent many times, and the origins that they go to. */
#include <stdio.h>

#include "base/err.h"
#include "net/http_conn.h"
#include "net/http_headers.h"
#include "net/url.h"

#define METHOD_BYTES_MAX 64

/* ---- origins ---- */

static bool write_key(pn_buf *out, const pn__origin_spec *spec) {
    pn_buf_printf(out, "%p %p %u %u ", (void *)spec->tls, (void *)spec->dns, (unsigned)spec->port,
                  (unsigned)spec->proxy_port);
    for (size_t i = 0; i < spec->host.size; i++) {
        pn_buf_add_byte(out, pn_text_lower(spec->host.at[i]));
    }
    const pn_text texts[] = {spec->socket_path, spec->proxy_host, spec->proxy_auth};
    for (size_t i = 0; i < 3; i++) {
        pn_buf_add_byte(out, texts[i].at == NULL ? '-' : '+');
        pn_buf_add(out, texts[i].at, texts[i].size);
        pn_buf_add_byte(out, '\0');
    }
    return !out->failed;
}

static const char *place(char **at, pn_text text) {
    if (text.at == NULL) return NULL;
    char *start = *at;
    memcpy(start, text.at, text.size);
    start[text.size] = '\0';
    *at += text.size + 1;
    return start;
}

static pn__origin *create_origin(pn_http_client *client, const pn__origin_spec *spec, pn_buf *key) {
    size_t texts = spec->host.size + spec->socket_path.size + spec->proxy_host.size +
                   spec->proxy_auth.size + 4;
    size_t size = sizeof(pn__origin) + key->size + texts;
    pn__origin *origin = pn_mem_try_zeroed(client->io->ledger, size);
    if (origin == NULL) return NULL;
    origin->client = client;
    origin->block_size = size;
    origin->key_size = key->size;
    memcpy(origin->text, key->data, key->size);
    char *at = origin->text + key->size;
    origin->host = place(&at, spec->host);
    origin->socket_path = place(&at, spec->socket_path);
    origin->proxy_host = place(&at, spec->proxy_host);
    origin->proxy_auth = spec->proxy_auth.at == NULL ? "" : place(&at, spec->proxy_auth);
    origin->port = spec->port;
    origin->proxy_port = spec->proxy_port;
    origin->tls = spec->tls;
    origin->dns = spec->dns;
    if (origin->tls != NULL) pn_tls_grab(origin->tls);
    if (origin->dns != NULL) pn_dns_grab(origin->dns);
    pn_list_init(&origin->idle);
    pn_list_init(&origin->waiting);
    return origin;
}

static void free_origin(pn__origin *origin) {
    pn_tls_release(origin->tls);
    pn_dns_release(origin->dns);
    pn_mem_free(origin->client->io->ledger, origin, origin->block_size);
}

static int find_origin(pn_http_client *client, const pn__origin_spec *spec, pn_buf *key,
                       pn__origin **origin) {
    if (!write_key(key, spec)) return PN_ENOMEM;
    pn__origin *found = pn_smap_get(&client->origins, key->data, key->size);
    if (found == NULL) {
        found = create_origin(client, spec, key);
        if (found == NULL) return PN_ENOMEM;
        if (pn_smap_set(&client->origins, key->data, key->size, found) != 0) {
            free_origin(found);
            return PN_ENOMEM;
        }
    }
    found->references++;
    *origin = found;
    return 0;
}

int pn__origin_find(pn_http_client *client, const pn__origin_spec *spec, pn__origin **origin) {
    pn_buf key;
    pn_buf_init(&key, &client->io->ledger->door);
    int err = find_origin(client, spec, &key, origin);
    pn_buf_close(&key);
    return err;
}

void pn__origin_release(pn__origin *origin) {
    pn_assert(origin->references > 0);
    if (--origin->references > 0) return;
    pn_smap_remove(&origin->client->origins, origin->text, origin->key_size, NULL);
    free_origin(origin);
}

/* ---- basic authentication ---- */

static void add_base64(pn_buf *out, const unsigned char *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (i + 1 < size) group |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < size) group |= bytes[i + 2];
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        i + 1 < size ? digits[group >> 6 & 63] : '=',
                        i + 2 < size ? digits[group & 63] : '='};
        pn_buf_add(out, four, sizeof four);
    }
}

bool pn_http_add_basic_auth(pn_buf *out, pn_text user, pn_text password) {
    pn_buf plain;
    pn_buf_init(&plain, out->alloc);
    pn_buf_add(&plain, user.at, user.size);
    pn_buf_add_byte(&plain, ':');
    pn_buf_add(&plain, password.at, password.size);
    if (plain.failed) {
        out->failed = true;
    } else {
        pn_buf_add_text(out, "Basic ");
        add_base64(out, (const unsigned char *)plain.data, plain.size);
    }
    pn_buf_close(&plain);
    return !out->failed;
}

/* "user:password", percent-encoded, as a URL has it. */
static bool add_auth_of_url(pn_buf *out, pn_text userinfo) {
    pn_buf plain;
    pn_buf_init(&plain, out->alloc);
    const char *colon = memchr(userinfo.at, ':', userinfo.size);
    size_t user_size = colon == NULL ? userinfo.size : (size_t)(colon - userinfo.at);
    pn_percent_decode(&plain, pn_text_make(userinfo.at, user_size), false);
    size_t split = plain.size;
    if (colon != NULL) {
        pn_percent_decode(&plain, pn_text_make(colon + 1, userinfo.size - user_size - 1), false);
    }
    if (plain.failed) {
        out->failed = true;
    } else {
        pn_http_add_basic_auth(out, pn_text_make(plain.data, split),
                               pn_text_make(plain.data + split, plain.size - split));
    }
    pn_buf_close(&plain);
    return !out->failed;
}

/* ---- building ---- */

/* While a request is made: what it will consist of, each text in a buffer. */
typedef struct draft {
    pn_http_client *client;
    const pn_http_request_options *options;
    const char **why;
    pn_url url;
    pn_url proxy;
    bool has_proxy;
    bool has_host, has_auth, closes, expects_continue;
    pn_text method;
    pn_tls *tls;
    pn_buf lines, head, socket_path, proxy_auth;
} draft;

static int refuse(draft *d, int err, const char *why) {
    if (d->why != NULL) *d->why = why;
    return err;
}

static int note_header(draft *d, const pn_http_header *header) {
    pn_text name = header->name;
    if (!pn_http_headers_valid(name, header->value)) {
        return refuse(d, PN_EBAD_VALUE, "a header's name or value cannot be sent");
    }
    if (pn_text_equal_nocase(name, PN_TEXT("content-length")) ||
        pn_text_equal_nocase(name, PN_TEXT("transfer-encoding"))) {
        return refuse(d, PN_EBAD_VALUE,
                      "Content-Length and Transfer-Encoding follow from the body");
    }
    if (pn_text_equal_nocase(name, PN_TEXT("host"))) {
        if (d->has_host) return refuse(d, PN_EBAD_VALUE, "there are two Host headers");
        d->has_host = true;
    }
    if (pn_text_equal_nocase(name, PN_TEXT("authorization"))) d->has_auth = true;
    if (pn_text_equal_nocase(name, PN_TEXT("connection"))) {
        d->closes |= pn_text_has_token(header->value, PN_TEXT("close"));
    }
    return 0;
}

static int add_lines(draft *d) {
    const pn_http_request_options *o = d->options;
    d->expects_continue = o->expect_continue;
    for (size_t i = 0; i < o->header_count; i++) {
        int err = note_header(d, &o->headers[i]);
        if (err != 0) return err;
        if (pn_text_equal_nocase(o->headers[i].name, PN_TEXT("expect"))) {
            d->expects_continue = true; /* written by the sender, only with a body */
            continue;
        }
        pn_http_headers_add(&d->lines, o->headers[i].name, o->headers[i].value);
    }
    if (!d->has_auth && (o->user.at != NULL || d->url.userinfo.at != NULL)) {
        pn_buf_add_text(&d->lines, "Authorization: ");
        if (o->user.at != NULL) {
            pn_http_add_basic_auth(&d->lines, o->user, o->password);
        } else {
            add_auth_of_url(&d->lines, d->url.userinfo);
        }
        pn_buf_add_text(&d->lines, "\r\n");
    }
    return d->lines.failed ? PN_ENOMEM : 0;
}

static int add_head(draft *d) {
    pn_buf *head = &d->head;
    pn_buf_add(head, d->method.at, d->method.size);
    pn_buf_add_byte(head, ' ');
    if (d->has_proxy && d->tls == NULL) {
        pn_buf_add_text(head, "http://");
        pn_url_write_authority(head, &d->url);
    }
    pn_url_write_target(head, &d->url);
    pn_buf_add_text(head, " HTTP/1.1\r\n");
    if (!d->has_host) {
        pn_buf_add_text(head, "Host: ");
        pn_url_write_authority(head, &d->url);
        pn_buf_add_text(head, "\r\n");
    }
    pn_buf_add(head, d->lines.data, d->lines.size);
    if (d->has_proxy && d->tls == NULL && d->proxy_auth.size > 0) {
        pn_http_headers_add(head, PN_TEXT("Proxy-Authorization"),
                            pn_text_make(d->proxy_auth.data, d->proxy_auth.size));
    }
    if (d->client->options.no_reuse && !d->closes) pn_buf_add_text(head, "Connection: close\r\n");
    pn_buf_add_text(head, "\r\n");
    return head->failed ? PN_ENOMEM : 0;
}

static int find_socket(draft *d) {
    pn_text path = d->options->socket_path;
    if (path.at != NULL) {
        pn_buf_add(&d->socket_path, path.at, path.size);
    } else if (d->url.scheme == PN_URL_UNIX) {
        pn_percent_decode(&d->socket_path, d->url.host, false);
    } else {
        return 0;
    }
    if (d->socket_path.failed) return PN_ENOMEM;
    const char *data = d->socket_path.data;
    if (d->socket_path.size == 0 || memchr(data, '\0', d->socket_path.size) != NULL) {
        return refuse(d, PN_EBAD_URL, "the path of the socket is empty or has a NUL");
    }
    return 0;
}

static int find_proxy(draft *d) {
    pn_text text = d->options->proxy;
    if (text.at == NULL) text = d->client->options.proxy;
    if (text.size == 0 || d->socket_path.size > 0) return 0;
    int err = pn_url_parse(&d->proxy, text, d->why);
    if (err != 0 || d->proxy.scheme != PN_URL_HTTP) {
        return refuse(d, PN_EBAD_CONFIG, "the proxy is not a valid http:// URL");
    }
    d->has_proxy = true;
    if (d->proxy.userinfo.at == NULL) return 0;
    return add_auth_of_url(&d->proxy_auth, d->proxy.userinfo) ? 0 : PN_ENOMEM;
}

/* The default trust is loaded when it is first needed: reading the system's authorities takes
 * long. */
static int find_tls(draft *d) {
    if (d->url.scheme != PN_URL_HTTPS) return 0;
    pn_http_client *client = d->client;
    d->tls = d->options->tls != NULL ? d->options->tls : client->tls;
    if (d->tls != NULL) return 0;
    char why[PN_TLS_WHY_BYTES];
    int err = pn_tls_create(client->io->ledger, &(pn_tls_options){0}, &client->tls, why);
    if (err != 0) return refuse(d, err, "the default TLS options do not work");
    d->tls = client->tls;
    return 0;
}

static int check_method(draft *d) {
    d->method = d->options->method.at == NULL ? PN_TEXT("GET") : d->options->method;
    if (!pn_http_is_token(d->method) || d->method.size > METHOD_BYTES_MAX) {
        return refuse(d, PN_EBAD_VALUE, "the method is not a token of at most 64 bytes");
    }
    if (pn_text_equal(d->method, PN_TEXT("CONNECT"))) {
        return refuse(d, PN_EBAD_VALUE, "CONNECT is for proxies: use the proxy option");
    }
    return 0;
}

static bool is_method(const draft *d, const char *name) {
    return pn_text_equal(d->method, pn_text_of(name));
}

static pn_text text_of(const pn_buf *buf) { return pn_text_make(buf->data, buf->size); }

static int spec_origin(draft *d, pn__origin **origin) {
    pn__origin_spec spec = {
        .tls = d->tls, .dns = d->options->dns, .host = d->url.host, .port = d->url.port};
    if (d->socket_path.size > 0) {
        spec.socket_path = text_of(&d->socket_path);
        if (d->url.scheme == PN_URL_UNIX) spec.host = PN_TEXT("localhost");
    }
    if (d->has_proxy) {
        spec.proxy_host = d->proxy.host;
        spec.proxy_port = d->proxy.port;
        if (d->proxy_auth.size > 0) spec.proxy_auth = text_of(&d->proxy_auth);
    }
    return pn__origin_find(d->client, &spec, origin);
}

static pn_text store(char **at, pn_text text) {
    if (text.at == NULL) return PN_TEXT_NONE;
    char *start = *at;
    if (text.size > 0) memcpy(start, text.at, text.size);
    *at += text.size;
    return pn_text_make(start, text.size);
}

static int make(draft *d, pn_http_request **result) {
    const pn_http_request_options *o = d->options;
    size_t size = sizeof(pn_http_request) + d->method.size + o->url.size + d->lines.size +
                  d->head.size + o->socket_path.size + o->proxy.size;
    pn_http_request *request = pn_mem_try_zeroed(d->client->io->ledger, size);
    if (request == NULL) return PN_ENOMEM;
    int err = spec_origin(d, &request->origin);
    if (err != 0) {
        pn_mem_free(d->client->io->ledger, request, size);
        return err;
    }
    request->references = 1;
    request->block_size = size;
    request->is_head = is_method(d, "HEAD");
    request->may_repeat =
        request->is_head || is_method(d, "GET") || is_method(d, "OPTIONS") || is_method(d, "TRACE");
    request->wants_length = is_method(d, "POST") || is_method(d, "PUT") || is_method(d, "PATCH");
    request->closes = d->closes || d->client->options.no_reuse;
    request->expects_continue = d->expects_continue;
    char *at = (char *)(request + 1);
    request->method = store(&at, d->method);
    request->url = store(&at, o->url);
    request->lines = store(&at, text_of(&d->lines));
    request->head = store(&at, text_of(&d->head));
    request->socket_path = store(&at, o->socket_path);
    request->proxy = store(&at, o->proxy);
    request->tls = o->tls;
    request->dns = o->dns;
    if (request->tls != NULL) pn_tls_grab(request->tls);
    if (request->dns != NULL) pn_dns_grab(request->dns);
    *result = request;
    return 0;
}

static int build(draft *d, pn_http_request **request) {
    int err = check_method(d);
    if (err == 0) err = pn_url_parse(&d->url, d->options->url, d->why);
    if (err == 0) err = find_socket(d);
    if (err == 0) err = find_proxy(d);
    if (err == 0) err = find_tls(d);
    if (err == 0) err = add_lines(d);
    if (err == 0) err = add_head(d);
    return err == 0 ? make(d, request) : err;
}

int pn_http_request_create(pn_http_client *client, const pn_http_request_options *options,
                           pn_http_request **request, const char **why) {
    if (why != NULL) *why = "";
    draft d = {.client = client, .options = options, .why = why};
    pn_buf *const bufs[] = {&d.lines, &d.head, &d.socket_path, &d.proxy_auth};
    for (size_t i = 0; i < 4; i++) pn_buf_init(bufs[i], &client->io->ledger->door);
    int err = build(&d, request);
    for (size_t i = 0; i < 4; i++) pn_buf_close(bufs[i]);
    return err;
}

void pn_http_request_grab(pn_http_request *request) { request->references++; }

void pn_http_request_release(pn_http_request *request) {
    if (request == NULL || --request->references > 0) return;
    pn_ledger *ledger = request->origin->client->io->ledger;
    pn__origin_release(request->origin);
    pn_tls_release(request->tls);
    pn_dns_release(request->dns);
    pn_mem_free(ledger, request, request->block_size);
}

pn_text pn_http_request_url(const pn_http_request *request) { return request->url; }

pn_text pn_http_request_method(const pn_http_request *request) { return request->method; }

/* ---- redirects ---- */

/* Secrets go nowhere but where they were meant for: the same scheme or better, host and port. */
static bool is_same_place(const pn_url *from, const pn_url *to) {
    if (from->scheme == PN_URL_HTTPS && to->scheme != PN_URL_HTTPS) return false;
    bool is_upgrade = from->scheme == PN_URL_HTTP && to->scheme == PN_URL_HTTPS &&
                      !from->has_port && !to->has_port;
    return pn_text_equal_nocase(from->host, to->host) && (from->port == to->port || is_upgrade);
}

static bool is_secret(pn_text name) {
    return pn_text_equal_nocase(name, PN_TEXT("authorization")) ||
           pn_text_equal_nocase(name, PN_TEXT("cookie")) ||
           pn_text_equal_nocase(name, PN_TEXT("proxy-authorization")) ||
           pn_text_equal_nocase(name, PN_TEXT("host"));
}

static bool is_about_body(pn_text name) {
    return name.size > 8 && pn_text_equal_nocase(pn_text_make(name.at, 8), PN_TEXT("content-"));
}

static size_t select_headers(pn_text lines, bool same_place, bool keeps_body, pn_http_header *out) {
    size_t count = 0;
    pn_text name, value;
    while (pn_http_headers_next(&lines, &name, &value)) {
        if (!same_place && is_secret(name)) continue;
        if (!keeps_body && is_about_body(name)) continue;
        out[count++] = (pn_http_header){name, value};
    }
    return count;
}

static size_t count_lines(pn_text lines) {
    size_t count = 0;
    pn_text name, value;
    while (pn_http_headers_next(&lines, &name, &value)) count++;
    return count;
}

static int follow_to(pn_http_request *from, pn_text url, bool keeps_body, pn_http_request **next,
                     const char **why) {
    pn_http_client *client = from->origin->client;
    pn_url old, new;
    pn_url_parse(&old, from->url, NULL);
    int err = pn_url_parse(&new, url, why);
    if (err != 0) return err;
    if (new.scheme == PN_URL_UNIX && old.scheme != PN_URL_UNIX) {
        *why = "a redirect to a local socket"; /* a server must not choose what we open here */
        return PN_EBAD_URL;
    }
    bool same_place = is_same_place(&old, &new);
    size_t room = (count_lines(from->lines) + 1) * sizeof(pn_http_header);
    pn_http_header *headers = pn_mem_try(client->io->ledger, room);
    if (headers == NULL) return PN_ENOMEM;
    pn_http_request_options options = {
        .method = keeps_body || from->is_head ? from->method : PN_TEXT("GET"),
        .url = url,
        .headers = headers,
        .header_count = select_headers(from->lines, same_place, keeps_body, headers),
        .socket_path = same_place ? from->socket_path : PN_TEXT_NONE,
        .proxy = from->proxy,
        .tls = from->tls,
        .dns = from->dns,
        .expect_continue = keeps_body && from->expects_continue,
    };
    err = pn_http_request_create(client, &options, next, why);
    pn_mem_free(client->io->ledger, headers, room);
    return err;
}

int pn__request_follow(pn_http_request *from, pn_text location, bool keeps_body,
                       pn_http_request **next, const char **why) {
    pn_url base;
    pn_buf url;
    pn_buf_init(&url, &from->origin->client->io->ledger->door);
    pn_url_parse(&base, from->url, NULL);
    int err = pn_url_resolve(&url, &base, location, why);
    if (err == 0) err = follow_to(from, text_of(&url), keeps_body, next, why);
    pn_buf_close(&url);
    return err;
}
