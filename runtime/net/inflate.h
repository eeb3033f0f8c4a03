/*
 * inflate.h - gzip and deflate bodies, by zlib, piece by piece.
 *
 * "deflate" is what RFC 9110 says (zlib's format) and also what many servers send instead (bare
 * deflate): the first two bytes tell. gzip may have several members; anything else behind the end
 * is an error, as is a missing end. The output's limit is its buffer's (limit_bytes): a bomb ends
 * there.
 *
 * zlib's memory is on the ledger. Threads: one.
 */
#ifndef PN_NET_INFLATE_H
#define PN_NET_INFLATE_H

#include "base/buf.h"
#include "memory/ledger.h"
#include "net/http_message.h"

typedef enum pn_encoding {
    PN_ENCODING_IDENTITY,
    PN_ENCODING_GZIP,
    PN_ENCODING_DEFLATE,
    PN_ENCODING_UNKNOWN, /* br, zstd, or several */
} pn_encoding;

typedef struct pn_inflate pn_inflate;

/* Of a Content-Encoding header's value; none is PN_ENCODING_IDENTITY. */
pn_encoding pn_encoding_parse(pn_text value);

/* GZIP or DEFLATE. NULL without memory. */
pn_inflate *pn_inflate_create(pn_ledger *ledger, pn_encoding encoding);
void pn_inflate_destroy(pn_inflate *decoder); /* NULL is fine */

/* Appends what the piece decodes to. PN_EBAD_ENCODING, PN_ETOO_LARGE (the output's limit),
 * PN_ENOMEM. */
int pn_inflate_feed(pn_inflate *decoder, const char *data, size_t size, pn_buf *out);

/* The body is over: PN_EBAD_ENCODING when its end is missing. An empty body is complete. */
int pn_inflate_finish(pn_inflate *decoder);

/* Appends the kept body of the message, decoded as its Content-Encoding says. As above; what cannot
 * be decoded is PN_EBAD_ENCODING. */
int pn_http_message_decode(const pn_http_message *message, pn_buf *out);

#endif
