/*
 * http_parser.h - HTTP/1.x messages out of bytes, both directions: llhttp with a strict front end.
 *
 * Design. A head is looked at line by line as it arrives, each byte once, and handed to llhttp when
 * it is complete and contiguous. llhttp lets some forms pass that RFC 9112 forbids and that
 * smuggling is made of; the front end refuses them: folded lines, a bare CR or LF, names that are
 * no tokens, both lengths, any transfer coding but a single "chunked", a coding in HTTP/1.0,
 * versions other than 1.0 and 1.1, request lines with more than one space or with bytes that are
 * not visible ASCII, no Host or two. What decides where a message ends is read twice, by llhttp and
 * here; two readings are a refusal. Bodies, chunk framing and trailers are ours: behind a chunk
 * extension llhttp 8.1 takes any byte for the LF (found by fuzzing). Framing out of proportion to
 * what it frames is refused too. When in doubt a message is refused, not repaired.
 *
 * The parser pulls: pn_http_parser_next says what the bytes begin with. It owns no memory, keeps no
 * pointer between calls, and reads no clock. Heads and trailers must come contiguous, so bytes that
 * were not used are given again with more behind them. Threads: one.
 */
#ifndef PN_NET_HTTP_PARSER_H
#define PN_NET_HTTP_PARSER_H

#include <llhttp.h>

#include "net/text.h"

typedef struct pn_http_limits {
    uint32_t head_bytes;   /* start line and header lines; trailers too */
    uint32_t header_count; /* lines; trailers too */
    uint64_t body_bytes;   /* UINT64_MAX: none */
} pn_http_limits;

#define PN_HTTP_HEAD_BYTES_MAX   65536
#define PN_HTTP_HEADER_COUNT_MAX 256
/* Chunk framing may take this much, and 16 bytes for each byte of body: more is an attack. */
#define PN_HTTP_FRAMING_FREE_BYTES 16384

typedef enum pn_http_body_kind {
    PN_HTTP_BODY_NONE,
    PN_HTTP_BODY_LENGTH,
    PN_HTTP_BODY_CHUNKED,
    PN_HTTP_BODY_UNTIL_EOF, /* responses only */
} pn_http_body_kind;

/* A head's facts. Places are offsets from its first byte. */
typedef struct pn_http_head {
    uint64_t content_length; /* with PN_HTTP_BODY_LENGTH */
    uint32_t size;           /* of the whole head */
    uint32_t target_at, target_size;
    uint32_t headers_at, headers_size; /* the lines, without the empty one */
    uint16_t header_count;
    uint16_t status;   /* of a response */
    uint8_t method;    /* of a request: llhttp_method_t */
    uint8_t minor;     /* HTTP/1.minor */
    uint8_t body_kind; /* pn_http_body_kind */
    bool keep_alive;   /* the connection may be used again after this message */
    bool expects_continue;
    bool is_upgrade; /* 101, CONNECT, or a request to upgrade */
} pn_http_head;

typedef enum pn_http_event {
    PN_HTTP_MORE, /* call again with what was not used and more behind it */
    PN_HTTP_HEAD, /* parser->head is filled; `used` covers it */
    PN_HTTP_BODY, /* a piece of the body; an empty one means only that bytes were used */
    PN_HTTP_END,  /* the message is complete; the piece holds its trailer lines, if there are any */
} pn_http_event;

typedef struct pn_http_piece {
    size_t used; /* bytes to take off the front of the input */
    char *body;
    size_t body_size;
} pn_http_piece;

typedef struct pn_http_parser {
    const pn_http_limits *limits;
    pn_http_head head;
    const char *why;        /* after an error: what was wrong; static */
    uint64_t body_left;     /* of the body or chunk; of a head that is scanned: its length */
    uint64_t body_bytes;    /* of the body so far */
    uint64_t framing_bytes; /* chunk sizes, extensions and line ends so far */
    uint32_t scanned;       /* bytes of an incomplete head that were looked at: whole lines */
    uint32_t searched;      /* bytes in which there is no further line end */
    uint32_t line_count;    /* header lines of the head, or of the trailers */
    uint16_t refuse_status; /* after an error: what a server should answer */
    uint8_t state;
    uint8_t chunk_state, chunk_digits;
    bool is_request;
    bool no_body; /* the answer to HEAD, or a 2xx to CONNECT */
    bool has_host, has_length, has_coding, skipped_line; /* of the head that is being read */
} pn_http_parser;

/* `limits` must outlive the parser. */
void pn_http_parser_init(pn_http_parser *parser, bool is_request, const pn_http_limits *limits);

/* Begins the next message. `no_body`: whatever a response's head says, none follows. */
void pn_http_parser_start(pn_http_parser *parser, bool no_body);

/* What `data` begins with. Returns an event, or PN_EBAD_HTTP, PN_ELIMIT (the head) or PN_ETOO_LARGE
 * (the body), after which the parser is of no use before the next start.
 *
 * The pieces of a chunked body are moved together within `data`, so that one call gives one
 * piece. */
int pn_http_parser_next(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece);

/* The peer will send no more: PN_HTTP_END when that completes the message, PN_EEOF when nothing of
 * it had come, PN_EBAD_HTTP when it is cut off. */
int pn_http_parser_finish(pn_http_parser *parser);

static inline const char *pn_http_method_name(uint8_t method) {
    return llhttp_method_name((llhttp_method_t)method);
}

#endif
