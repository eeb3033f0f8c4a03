/*
 * http_headers.h - header lines as they came: a block of "name: value\r\n", looked into when asked.
 *
 * Nothing is parsed ahead. A block that the parser has accepted is well formed (every line has a
 * name that is a token, a colon, no control characters, CRLF), so walking it cannot fail.
 */
#ifndef PN_NET_HTTP_HEADERS_H
#define PN_NET_HTTP_HEADERS_H

#include "base/buf.h"
#include "net/text.h"

/* The next line of the block, the value trimmed; false at the end. `block` moves on. */
bool pn_http_headers_next(pn_text *block, pn_text *name, pn_text *value);

/* The value of the first line of that name (in any case); at NULL when there is none. */
pn_text pn_http_headers_find(pn_text block, pn_text name);

/* How many lines have that name. */
size_t pn_http_headers_count(pn_text block, pn_text name);

/* Whether a line may be sent: a token as name, a value without CR, LF, NUL and other control
 * characters but the tab. What fails this would let a script's data write headers of its own. */
bool pn_http_headers_valid(pn_text name, pn_text value);

/* How many bytes at the front make a token (RFC 9110, 5.6.2). */
size_t pn_http_token_size(pn_text text);

bool pn_http_is_token(pn_text text);

/* Appends "name: value\r\n", unchecked. */
bool pn_http_headers_add(pn_buf *out, pn_text name, pn_text value);

#endif
