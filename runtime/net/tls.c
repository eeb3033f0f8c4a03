#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/map.h"

#define SCRATCH_BYTES   32768
#define PROTOCOLS_BYTES 128

struct pn_tls {
    pn_ledger *ledger;
    SSL_CTX *context;
    BIO_METHOD *method;
    pn_smap tickets; /* server name -> SSL_SESSION */
    uint32_t references;
    bool is_server, skips_verify;
    uint8_t protocols[PROTOCOLS_BYTES]; /* in ALPN's form: length, name, length, name ... */
    uint8_t protocols_size;
    char protocol[32]; /* room for the name that pn_tls_session_protocol gives */
    char scratch[SCRATCH_BYTES];
};

struct pn_tls_session {
    pn_tls *tls;
    SSL *ssl;
    const char *in;
    size_t in_left;
    pn_buf held; /* records that were left over */
    pn_buf out, unsent;
    const char *why;
    bool is_ready, is_out_of_memory;
    size_t name_size;
    char name[]; /* of the server; empty for a server's session */
};

/* ---- options ---- */

static int bad_config(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int bad_config(char *why, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, PN_TLS_WHY_BYTES, format, args);
    va_end(args);
    ERR_clear_error();
    return PN_EBAD_CONFIG;
}

static const char *openssl_says(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason != NULL ? reason : "unknown error";
}

int pn_tls_version_parse(pn_text text, pn_tls_version *version) {
    if (text.size >= 3 && pn_text_equal_nocase(pn_text_make(text.at, 3), PN_TEXT("tls"))) {
        text = pn_text_trim(pn_text_make(text.at + 3, text.size - 3));
    }
    if (text.size != 3 || text.at[0] != '1' || text.at[1] != '.') return PN_EBAD_CONFIG;
    if (text.at[2] < '0' || text.at[2] > '3') return PN_EBAD_CONFIG;
    *version = (pn_tls_version)(PN_TLS_VERSION_1_0 + (text.at[2] - '0'));
    return 0;
}

static int openssl_version(pn_tls_version version) {
    switch (version) {
    case PN_TLS_VERSION_ANY: return 0;
    case PN_TLS_VERSION_1_0: return TLS1_VERSION;
    case PN_TLS_VERSION_1_1: return TLS1_1_VERSION;
    case PN_TLS_VERSION_1_2: return TLS1_2_VERSION;
    case PN_TLS_VERSION_1_3: return TLS1_3_VERSION;
    }
    pn_unreachable();
}

static int set_versions(SSL_CTX *context, const pn_tls_options *options, char *why) {
    pn_tls_version min = options->min_version, max = options->max_version;
    if (min != PN_TLS_VERSION_ANY && max != PN_TLS_VERSION_ANY && min > max) {
        return bad_config(why, "the lowest TLS version is above the highest");
    }
    if (min == PN_TLS_VERSION_ANY) {
        min = max != PN_TLS_VERSION_ANY && max < PN_TLS_VERSION_1_2 ? max : PN_TLS_VERSION_1_2;
    }
    /* What is older than 1.2 needs SHA-1 signatures, which OpenSSL 3 allows at level 0 only. */
    if (min < PN_TLS_VERSION_1_2) SSL_CTX_set_security_level(context, 0);
    if (SSL_CTX_set_min_proto_version(context, openssl_version(min)) != 1 ||
        SSL_CTX_set_max_proto_version(context, openssl_version(max)) != 1) {
        return bad_config(why, "the TLS version is not supported: %s", openssl_says());
    }
    return 0;
}

static int set_ciphers(SSL_CTX *context, const pn_tls_options *options, char *why) {
    if (options->ciphers != NULL && SSL_CTX_set_cipher_list(context, options->ciphers) != 1) {
        return bad_config(why, "no known cipher in \"%.100s\"", options->ciphers);
    }
    if (options->cipher_suites != NULL &&
        SSL_CTX_set_ciphersuites(context, options->cipher_suites) != 1) {
        return bad_config(why, "no known cipher suite in \"%.100s\"", options->cipher_suites);
    }
    return 0;
}

static bool is_set(const pn_tls_source *source) {
    return source->file != NULL || source->pem.at != NULL;
}

static BIO *open_source(const pn_tls_source *source) {
    if (source->file != NULL) return BIO_new_file(source->file, "r");
    if (source->pem.size > INT32_MAX) return NULL;
    return BIO_new_mem_buf(source->pem.at, (int)source->pem.size);
}

static const char *name_of(const pn_tls_source *source) {
    return source->file != NULL ? source->file : "(text)";
}

/* Never asks on the terminal, as OpenSSL's own does. */
static int give_password(char *out, int size, int is_writing, void *password) {
    (void)is_writing;
    if (password == NULL) return -1;
    int length = (int)strlen(password);
    if (length > size) return -1;
    memcpy(out, password, (size_t)length);
    return length;
}

static int add_chain(SSL_CTX *context, BIO *bio) {
    X509 *next;
    while ((next = PEM_read_bio_X509(bio, NULL, give_password, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            return PN_EBAD_CONFIG;
        }
    }
    /* The end of the file shows as "no start line". */
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return at_end ? 0 : PN_EBAD_CONFIG;
}

static int use_certificate(SSL_CTX *context, const pn_tls_options *options, char *why) {
    const char *name = name_of(&options->certificate);
    BIO *bio = open_source(&options->certificate);
    if (bio == NULL) return bad_config(why, "cannot open the certificate %.100s", name);
    X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, give_password, NULL);
    bool ok = leaf != NULL && SSL_CTX_use_certificate(context, leaf) == 1;
    X509_free(leaf);
    if (ok) ok = add_chain(context, bio) == 0;
    BIO_free(bio);
    if (ok) return 0;
    return bad_config(why, "cannot read the certificate %.100s: %s", name, openssl_says());
}

static int use_key(SSL_CTX *context, const pn_tls_options *options, char *why) {
    const char *name = name_of(&options->key);
    BIO *bio = open_source(&options->key);
    if (bio == NULL) return bad_config(why, "cannot open the key %.100s", name);
    void *password = (void *)(uintptr_t)options->key_password;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, give_password, password);
    BIO_free(bio);
    if (key == NULL) {
        const char *hint = options->key_password == NULL ? " (does it need a password?)" : "";
        return bad_config(why, "cannot read the key %.100s%s: %s", name, hint, openssl_says());
    }
    bool ok = SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    if (ok && SSL_CTX_check_private_key(context) == 1) return 0;
    return bad_config(why, "the key %.100s does not belong to the certificate", name);
}

static int set_identity(SSL_CTX *context, const pn_tls_options *options, char *why) {
    bool has_certificate = is_set(&options->certificate), has_key = is_set(&options->key);
    if (has_certificate != has_key) {
        return bad_config(why, "a certificate and its key must be given together");
    }
    if (!has_certificate) {
        return options->is_server ? bad_config(why, "a TLS server needs a certificate") : 0;
    }
    int err = use_certificate(context, options, why);
    return err != 0 ? err : use_key(context, options, why);
}

static int add_authorities(SSL_CTX *context, const pn_tls_options *options, char *why) {
    const char *name = name_of(&options->authorities);
    BIO *bio = open_source(&options->authorities);
    if (bio == NULL) return bad_config(why, "cannot open the authorities %.100s", name);
    int count = 0;
    X509 *authority;
    while ((authority = PEM_read_bio_X509_AUX(bio, NULL, give_password, NULL)) != NULL) {
        bool ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) == 1;
        if (ok && options->is_server) ok = SSL_CTX_add_client_CA(context, authority) == 1;
        X509_free(authority);
        if (!ok) break;
        count++;
    }
    bool at_end = authority == NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (at_end && count > 0) return 0;
    return bad_config(why, "no certificate can be read from the authorities %.100s", name);
}

static int set_trust(SSL_CTX *context, const pn_tls_options *options, char *why) {
    bool needs_system = !options->is_server && !options->no_system_authorities;
    if (needs_system)
        SSL_CTX_set_default_verify_paths(context); /* none there is no error: none trusted */
    if (is_set(&options->authorities)) {
        int err = add_authorities(context, options, why);
        if (err != 0) return err;
    }
    int mode = SSL_VERIFY_NONE;
    if (!options->is_server) {
        mode = options->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    } else if (options->client_auth != PN_TLS_CLIENT_NONE) {
        if (!is_set(&options->authorities)) {
            return bad_config(why, "client certificates need authorities to be verified by");
        }
        mode = SSL_VERIFY_PEER;
        if (options->client_auth == PN_TLS_CLIENT_REQUIRED) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(context, mode, NULL);
    return 0;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *arg) {
    (void)ssl;
    const pn_tls *tls = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_size, tls->protocols, tls->protocols_size, in,
                              in_size) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int set_protocols(pn_tls *tls, const pn_tls_options *options, char *why) {
    static const char *const offered[] = {"http/1.1", NULL};
    static const char *const taken[] = {"http/1.1", "http/1.0", NULL};
    const char *const *names = options->protocols;
    if (names == NULL) names = tls->is_server ? taken : offered;
    size_t size = 0;
    for (; *names != NULL; names++) {
        size_t length = strlen(*names);
        if (length == 0 || length >= sizeof tls->protocol || size + 1 + length > PROTOCOLS_BYTES) {
            return bad_config(why, "the list of protocols is not valid");
        }
        tls->protocols[size] = (uint8_t)length;
        memcpy(tls->protocols + size + 1, *names, length);
        size += 1 + length;
    }
    tls->protocols_size = (uint8_t)size;
    if (tls->is_server) {
        SSL_CTX_set_alpn_select_cb(tls->context, choose_protocol, tls);
    } else if (SSL_CTX_set_alpn_protos(tls->context, tls->protocols, (unsigned)size) != 0) {
        return PN_ENOMEM;
    }
    return 0;
}

/* ---- tickets: the last session of each server name ---- */

static void forget_tickets(pn_tls *tls) {
    uint32_t cursor = 0;
    pn_smap_entry *entry;
    while ((entry = pn_smap_next(&tls->tickets, &cursor)) != NULL) SSL_SESSION_free(entry->value);
    pn_smap_close(&tls->tickets);
}

/* 1 keeps the reference that OpenSSL gives. */
static int on_ticket(SSL *ssl, SSL_SESSION *ticket) {
    pn_tls_session *session = SSL_get_app_data(ssl);
    pn_tls *tls = session->tls;
    if (tls->tickets.count >= PN_TLS_TICKETS_MAX) forget_tickets(tls);
    void *old = pn_smap_get(&tls->tickets, session->name, session->name_size);
    if (pn_smap_set(&tls->tickets, session->name, session->name_size, ticket) != 0) return 0;
    SSL_SESSION_free(old);
    return 1;
}

static void resume(pn_tls_session *session) {
    SSL_SESSION *ticket = pn_smap_get(&session->tls->tickets, session->name, session->name_size);
    if (ticket != NULL) SSL_set_session(session->ssl, ticket);
}

/* ---- the bytes' way in and out of OpenSSL ---- */

static int bio_read(BIO *bio, char *to, int room) {
    pn_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in_left == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t size = session->in_left < (size_t)room ? session->in_left : (size_t)room;
    memcpy(to, session->in, size);
    session->in += size;
    session->in_left -= size;
    return (int)size;
}

static int bio_write(BIO *bio, const char *data, int size) {
    pn_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (pn_buf_add(&session->out, data, (size_t)size)) return size;
    session->is_out_of_memory = true;
    return -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *create_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "perilune");
    if (method == NULL) return NULL;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

/* ---- contexts ---- */

static int set_all(pn_tls *tls, const pn_tls_options *options, char *why) {
    SSL_CTX *context = tls->context;
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    int err = set_versions(context, options, why);
    if (err == 0) err = set_ciphers(context, options, why);
    if (err == 0) err = set_identity(context, options, why);
    if (err == 0) err = set_trust(context, options, why);
    if (err == 0) err = set_protocols(tls, options, why);
    if (err != 0) return err;
    if (tls->is_server) {
        static const unsigned char scope[] = "perilune";
        SSL_CTX_set_session_id_context(context, scope, sizeof scope - 1);
    } else {
        SSL_CTX_set_session_cache_mode(context,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(context, on_ticket);
    }
    return 0;
}

int pn_tls_create(pn_ledger *ledger, const pn_tls_options *options, pn_tls **result,
                  char why[PN_TLS_WHY_BYTES]) {
    snprintf(why, PN_TLS_WHY_BYTES, "%s", "out of memory");
    pn_tls *tls = pn_mem_try_zeroed(ledger, sizeof *tls);
    if (tls == NULL) return PN_ENOMEM;
    tls->ledger = ledger;
    tls->references = 1;
    tls->is_server = options->is_server;
    tls->skips_verify = options->insecure_skip_verify;
    pn_smap_init(&tls->tickets, &ledger->door);
    ERR_clear_error();
    tls->context = SSL_CTX_new(options->is_server ? TLS_server_method() : TLS_client_method());
    tls->method = create_method();
    int err = PN_ENOMEM;
    if (tls->context != NULL && tls->method != NULL) err = set_all(tls, options, why);
    if (err != 0) {
        pn_tls_release(tls);
        return err;
    }
    *result = tls;
    return 0;
}

void pn_tls_grab(pn_tls *tls) { tls->references++; }

void pn_tls_release(pn_tls *tls) {
    if (tls == NULL || --tls->references > 0) return;
    forget_tickets(tls);
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    pn_mem_free(tls->ledger, tls, sizeof *tls);
}

char *pn_tls_scratch(pn_tls *tls, size_t *size) {
    *size = sizeof tls->scratch;
    return tls->scratch;
}

/* ---- sessions ---- */

static bool is_address(const char *name) {
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* SNI is for names only (RFC 6066, 3); the certificate must be for what was asked for. */
static bool set_server_name(pn_tls_session *session) {
    SSL *ssl = session->ssl;
    bool by_address = is_address(session->name);
    if (!by_address && SSL_set_tlsext_host_name(ssl, session->name) != 1) return false;
    if (session->tls->skips_verify) return true;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (by_address) return X509_VERIFY_PARAM_set1_ip_asc(param, session->name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, session->name, 0) == 1;
}

static bool open_ssl(pn_tls_session *session) {
    pn_tls *tls = session->tls;
    session->ssl = SSL_new(tls->context);
    BIO *bio = BIO_new(tls->method);
    if (session->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_app_data(session->ssl, session);
    if (tls->is_server) {
        SSL_set_accept_state(session->ssl);
        return true;
    }
    SSL_set_connect_state(session->ssl);
    resume(session);
    return set_server_name(session);
}

pn_tls_session *pn_tls_session_create(pn_tls *tls, const char *server_name) {
    size_t name_size = server_name != NULL ? strlen(server_name) : 0;
    pn_tls_session *session = pn_mem_try_zeroed(tls->ledger, sizeof *session + name_size + 1);
    if (session == NULL) return NULL;
    session->tls = tls;
    session->why = "";
    session->name_size = name_size;
    if (name_size > 0) memcpy(session->name, server_name, name_size);
    pn_buf_init(&session->held, &tls->ledger->door);
    pn_buf_init(&session->out, &tls->ledger->door);
    pn_buf_init(&session->unsent, &tls->ledger->door);
    pn_tls_grab(tls);
    ERR_clear_error();
    if (open_ssl(session)) return session;
    pn_tls_session_destroy(session);
    return NULL;
}

void pn_tls_session_destroy(pn_tls_session *session) {
    if (session == NULL) return;
    pn_tls *tls = session->tls;
    if (session->ssl != NULL) {
        /* Without this OpenSSL takes a session whose connection just ended for a broken one. */
        SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(session->ssl);
    }
    pn_buf_close(&session->held);
    pn_buf_close(&session->out);
    pn_buf_close(&session->unsent);
    pn_mem_free(tls->ledger, session, sizeof *session + session->name_size + 1);
    pn_tls_release(tls);
}

int pn_tls_session_feed(pn_tls_session *session, const char *records, size_t size) {
    session->in = records;
    session->in_left = size;
    if (session->held.size == 0) return 0;
    if (!pn_buf_add(&session->held, records, size)) return PN_ENOMEM;
    session->in = session->held.data;
    session->in_left = session->held.size;
    return 0;
}

int pn_tls_session_hold(pn_tls_session *session) {
    pn_buf *held = &session->held;
    bool ok = true;
    if (held->size > 0) {
        pn_buf_consume(held, held->size - session->in_left);
    } else if (session->in_left > 0) {
        ok = pn_buf_add(held, session->in, session->in_left);
    }
    if (held->size == 0) pn_buf_close(held);
    session->in = held->data;
    session->in_left = held->size;
    return ok ? 0 : PN_ENOMEM;
}

bool pn_tls_session_has_pending(const pn_tls_session *session) {
    return session->in_left > 0 || SSL_has_pending(session->ssl) == 1;
}

static int verify_error(pn_tls_session *session, long result) {
    session->why = X509_verify_cert_error_string(result);
    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return PN_ETLS_HOSTNAME;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED: return PN_ETLS_UNKNOWN_AUTHORITY;
    default: return PN_ETLS;
    }
}

static int failure(pn_tls_session *session) {
    if (session->is_out_of_memory) return PN_ENOMEM;
    unsigned long error = ERR_peek_error();
    long verified = SSL_get_verify_result(session->ssl);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        ERR_clear_error();
        return verify_error(session, verified);
    }
    bool no_memory = ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
    session->why = openssl_says();
    ERR_clear_error();
    return no_memory ? PN_ENOMEM : PN_ETLS;
}

int pn_tls_session_handshake(pn_tls_session *session) {
    ERR_clear_error();
    int done = SSL_do_handshake(session->ssl);
    if (done == 1) {
        session->is_ready = true;
        return 0;
    }
    int why = SSL_get_error(session->ssl, done);
    if (why == SSL_ERROR_WANT_READ && !session->is_out_of_memory) return 1;
    return failure(session);
}

ptrdiff_t pn_tls_session_read(pn_tls_session *session, char *to, size_t room) {
    size_t size;
    ERR_clear_error();
    if (SSL_read_ex(session->ssl, to, room, &size) == 1) return (ptrdiff_t)size;
    int why = SSL_get_error(session->ssl, 0);
    if (why == SSL_ERROR_WANT_READ && !session->is_out_of_memory) return 0;
    if (why == SSL_ERROR_ZERO_RETURN) return PN_EEOF;
    return failure(session);
}

int pn_tls_session_write(pn_tls_session *session, const char *data, size_t size) {
    while (size > 0) {
        size_t written;
        ERR_clear_error();
        if (SSL_write_ex(session->ssl, data, size, &written) != 1) return failure(session);
        data += written;
        size -= written;
    }
    return 0;
}

void pn_tls_session_shut(pn_tls_session *session) {
    if (!session->is_ready) return;
    ERR_clear_error();
    SSL_shutdown(session->ssl);
    ERR_clear_error();
}

pn_buf *pn_tls_session_out(pn_tls_session *session) { return &session->out; }

pn_buf *pn_tls_session_unsent(pn_tls_session *session) { return &session->unsent; }

pn_tls *pn_tls_session_context(pn_tls_session *session) { return session->tls; }

bool pn_tls_session_is_ready(const pn_tls_session *session) { return session->is_ready; }

bool pn_tls_session_is_resumed(const pn_tls_session *session) {
    return SSL_session_reused(session->ssl) == 1;
}

bool pn_tls_session_has_peer_certificate(const pn_tls_session *session) {
    return SSL_get0_peer_certificate(session->ssl) != NULL;
}

const char *pn_tls_session_version(const pn_tls_session *session) {
    switch (SSL_version(session->ssl)) {
    case TLS1_VERSION: return "tls1.0";
    case TLS1_1_VERSION: return "tls1.1";
    case TLS1_2_VERSION: return "tls1.2";
    case TLS1_3_VERSION: return "tls1.3";
    default: return "";
    }
}

const char *pn_tls_session_protocol(const pn_tls_session *session) {
    const unsigned char *name;
    unsigned size;
    SSL_get0_alpn_selected(session->ssl, &name, &size);
    char *out = session->tls->protocol;
    if (size >= sizeof session->tls->protocol) size = 0;
    if (size > 0) memcpy(out, name, size);
    out[size] = '\0';
    return out;
}

const char *pn_tls_session_why(const pn_tls_session *session) { return session->why; }
