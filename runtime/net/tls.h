/*
 * tls.h - TLS by OpenSSL, without a socket: bytes in, bytes out.
 *
 * A pn_tls is one set of options (trust, certificate, versions) compiled once and shared by all
 * connections that use it; a pn_tls_session is one connection. Clients verify by default: the chain
 * against the system's authorities and those given, the name or address against the certificate.
 * Clients resume sessions: the last ticket of each server name is kept with the pn_tls.
 *
 * OpenSSL's own memory is not in our ledgers. Private keys are read once and not kept as text.
 * Threads: a pn_tls and its sessions belong to one thread.
 */
#ifndef PN_NET_TLS_H
#define PN_NET_TLS_H

#include "base/buf.h"
#include "memory/ledger.h"
#include "net/text.h"

#define PN_TLS_WHY_BYTES         256
#define PN_TLS_RECORDS_MAX_BYTES 262144 /* what is encrypted ahead of the kernel */
#define PN_TLS_TICKETS_MAX       1024   /* server names whose session is remembered */

typedef struct pn_tls pn_tls;
typedef struct pn_tls_session pn_tls_session;

typedef enum pn_tls_version {
    PN_TLS_VERSION_ANY,
    PN_TLS_VERSION_1_0,
    PN_TLS_VERSION_1_1,
    PN_TLS_VERSION_1_2,
    PN_TLS_VERSION_1_3,
} pn_tls_version;

typedef enum pn_tls_client_auth {
    PN_TLS_CLIENT_NONE,     /* clients are not asked for a certificate */
    PN_TLS_CLIENT_OPTIONAL, /* asked; what they send must verify */
    PN_TLS_CLIENT_REQUIRED,
} pn_tls_client_auth;

/* PEM from a file or from memory: at most one of both. */
typedef struct pn_tls_source {
    const char *file;
    pn_text pem;
} pn_tls_source;

typedef struct pn_tls_options {
    bool is_server;
    pn_tls_source certificate; /* with its chain; a server needs it */
    pn_tls_source key;
    const char *key_password;  /* NULL: none */
    pn_tls_source authorities; /* trusted in addition; a server's only ones for clients */
    bool no_system_authorities;
    bool insecure_skip_verify; /* clients: take any certificate for any name */
    pn_tls_client_auth client_auth;
    pn_tls_version min_version, max_version; /* ANY: 1.2 and the newest */
    const char *ciphers;                     /* up to TLS 1.2, OpenSSL's list; NULL: its default */
    const char *cipher_suites;               /* TLS 1.3 */
    const char *const *protocols; /* for ALPN, best first, NULL at the end; NULL: HTTP/1 */
} pn_tls_options;

/* 0, PN_ENOMEM or PN_EBAD_CONFIG with what is wrong in `why`. The caller has the first
 * reference. */
int pn_tls_create(pn_ledger *ledger, const pn_tls_options *options, pn_tls **tls,
                  char why[PN_TLS_WHY_BYTES]);
void pn_tls_grab(pn_tls *tls);
void pn_tls_release(pn_tls *tls); /* NULL is fine */

/* "1.2", "tls1.2", "TLS 1.2" ... PN_EBAD_CONFIG. */
int pn_tls_version_parse(pn_text text, pn_tls_version *version);

/* Where a stream reads records to before they are decrypted. */
char *pn_tls_scratch(pn_tls *tls, size_t *size);

/* ---- sessions ---- */

/* A client's session is for `server_name` (a name or an address), a server's for NULL. NULL: no
 * memory. */
pn_tls_session *pn_tls_session_create(pn_tls *tls, const char *server_name);
void pn_tls_session_destroy(pn_tls_session *session); /* NULL is fine */

/* Gives records that came. Handshake and read use them up; what they leave is kept by hold, which
 * must be called before the records' memory goes. PN_ENOMEM. */
int pn_tls_session_feed(pn_tls_session *session, const char *records, size_t size);
int pn_tls_session_hold(pn_tls_session *session);

/* Whether a read may give something without a new feed. */
bool pn_tls_session_has_pending(const pn_tls_session *session);

/* 0: done; 1: wants more records; or PN_ETLS..., PN_ENOMEM. */
int pn_tls_session_handshake(pn_tls_session *session);

/* Decrypts to `to`: the number of bytes; 0: wants more records; PN_EEOF: the peer ended it
 * properly; or an error. */
ptrdiff_t pn_tls_session_read(pn_tls_session *session, char *to, size_t room);

/* Encrypts all of it behind what is in `out`. */
int pn_tls_session_write(pn_tls_session *session, const char *data, size_t size);

/* Says to the peer that no more follows. */
void pn_tls_session_shut(pn_tls_session *session);

/* Records to be sent, for the caller to take out; and a place for those that the kernel has not
 * taken. */
pn_buf *pn_tls_session_out(pn_tls_session *session);
pn_buf *pn_tls_session_unsent(pn_tls_session *session);

pn_tls *pn_tls_session_context(pn_tls_session *session);
bool pn_tls_session_is_ready(const pn_tls_session *session); /* the handshake is done */
bool pn_tls_session_is_resumed(const pn_tls_session *session);
bool pn_tls_session_has_peer_certificate(const pn_tls_session *session);
const char *pn_tls_session_version(const pn_tls_session *session);  /* "tls1.3", as k6 tags it */
const char *pn_tls_session_protocol(const pn_tls_session *session); /* ALPN's choice or "" */
const char *pn_tls_session_why(const pn_tls_session *session);      /* of the last error; static */

#endif
