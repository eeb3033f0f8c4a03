/*
 * url.h - the URLs of HTTP: parsing, resolving, percent-encoding, queries and forms.
 *
 * The practical part of RFC 3986: http and https with user info, host (name, IPv4, [IPv6]), port,
 * path, query and fragment, and http+unix, whose "host" is the percent-encoded path of a socket
 * ("http+unix://%2Frun%2Fx.sock/items"). Nothing is guessed: control characters, a bad port, a
 * broken escape or a host name that is not ASCII are errors that say why. What browsers and Go
 * accept in paths (spaces, quotes, UTF-8) is accepted and percent-encoded on its way out.
 *
 * A pn_url is a set of views into the text it was parsed from, which must outlive it.
 */
#ifndef PN_NET_URL_H
#define PN_NET_URL_H

#include "base/buf.h"
#include "net/text.h"

#define PN_URL_MAX_BYTES  65536 /* the longest text that is parsed */
#define PN_URL_HOST_BYTES 253   /* the longest host name: DNS has no longer ones */

typedef enum pn_url_scheme { PN_URL_HTTP, PN_URL_HTTPS, PN_URL_UNIX } pn_url_scheme;

typedef struct pn_url {
    pn_url_scheme scheme;
    pn_text userinfo; /* "user:password" as written; none: at NULL */
    pn_text host;     /* without brackets, as written */
    bool is_ipv6;
    bool has_port;
    uint16_t port; /* the scheme's when none is written; 0 for http+unix */
    pn_text path;  /* may be empty, which means "/" */
    pn_text query; /* without the '?'; none: at NULL */
    pn_text fragment;
} pn_url;

/* 0 or PN_EBAD_URL; *why (may be NULL) then says what is wrong with it, a static text. */
int pn_url_parse(pn_url *url, pn_text text, const char **why);

/* Appends the absolute URL that `reference` means as seen from `base` (RFC 3986, 5.2), without a
 * fragment. PN_EBAD_URL or PN_ENOMEM. */
int pn_url_resolve(pn_buf *out, const pn_url *base, pn_text reference, const char **why);

/* Appends path and query as a request target, encoding what may not stand in one. */
bool pn_url_write_target(pn_buf *out, const pn_url *url);

/* Appends "host", "host:port" or "[v6]:port": the value of a Host header; the port only when it is
 * not the scheme's. "localhost" for http+unix. */
bool pn_url_write_authority(pn_buf *out, const pn_url *url);

/* Appends the bytes with every byte but unreserved ones (A-Z a-z 0-9 - . _ ~) as %XX. */
bool pn_percent_encode(pn_buf *out, pn_text text);

/* Appends the bytes meant by percent-encoded ones; `plus_is_space` for forms and queries. False
 * when an escape is broken or memory is out (out->failed tells which); `out` then keeps its
 * size. */
bool pn_percent_decode(pn_buf *out, pn_text text, bool plus_is_space);

/* Appends one "name=value" of a query or form, with '&' before it unless `out` is at `start`;
 * encoded as HTML forms are, a space as '+'. */
bool pn_form_add(pn_buf *out, size_t start, pn_text name, pn_text value);

/* The next field of a query or form, still encoded; false at the end. `form` moves on. A field
 * without '=' has an empty value; empty fields are skipped. */
bool pn_form_next(pn_text *form, pn_text *name, pn_text *value);

#endif
