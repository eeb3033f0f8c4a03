#include "net/http_parser.h"

#include "base/assert.h"
#include "base/err.h"
#include "net/http_headers.h"

typedef enum parser_state {
    STATE_HEAD,
    STATE_BODY_LENGTH,
    STATE_BODY_CHUNKED,
    STATE_BODY_UNTIL_EOF,
    STATE_TRAILERS,
    STATE_DONE,
    STATE_FAILED,
} parser_state;

/* Within a chunked body. */
typedef enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
} chunk_state;

#define CHUNK_DIGITS_MAX 16 /* hexadecimal: 64 bits */

#define STATUS_BAD_REQUEST     400
#define STATUS_TOO_LARGE       413
#define STATUS_HEAD_TOO_LARGE  431
#define STATUS_NOT_IMPLEMENTED 501
#define STATUS_BAD_VERSION     505

static pn_http_parser *parser_of(llhttp_t *machine) { return machine->data; }

static int fail(pn_http_parser *parser, int err, uint16_t status, const char *why) {
    parser->state = STATE_FAILED;
    parser->refuse_status = status;
    parser->why = why;
    return err;
}

static int bad(pn_http_parser *parser, const char *why) {
    return fail(parser, PN_EBAD_HTTP, STATUS_BAD_REQUEST, why);
}

/* ---- llhttp's side: the head's facts ---- */

/* The flags are gone once the message is over, so they are read here. */
static int on_headers_complete(llhttp_t *machine) {
    pn_http_head *head = &parser_of(machine)->head;
    unsigned flags = machine->flags;
    head->minor = machine->http_minor;
    head->method = machine->method;
    head->status = machine->status_code;
    bool says_close = (flags & F_CONNECTION_CLOSE) != 0;
    bool says_keep = (flags & F_CONNECTION_KEEP_ALIVE) != 0;
    head->keep_alive = !says_close && (head->minor == 1 || says_keep);
    head->is_upgrade = (flags & F_CONNECTION_UPGRADE) != 0 && (flags & F_UPGRADE) != 0;
    if ((flags & F_CHUNKED) != 0) {
        head->body_kind = PN_HTTP_BODY_CHUNKED;
    } else if ((flags & F_CONTENT_LENGTH) != 0) {
        head->body_kind = PN_HTTP_BODY_LENGTH;
        head->content_length = machine->content_length;
    }
    return 0;
}

static const llhttp_settings_t settings = {
    .on_headers_complete = on_headers_complete,
};

void pn_http_parser_init(pn_http_parser *parser, bool is_request, const pn_http_limits *limits) {
    *parser = (pn_http_parser){.limits = limits, .is_request = is_request};
    pn_http_parser_start(parser, false);
}

void pn_http_parser_start(pn_http_parser *parser, bool no_body) {
    parser->state = STATE_HEAD;
    parser->no_body = no_body;
    parser->body_left = parser->body_bytes = parser->framing_bytes = 0;
    parser->scanned = parser->searched = parser->line_count = 0;
    parser->has_host = parser->has_coding = parser->has_length = parser->skipped_line = false;
    parser->head = (pn_http_head){0};
}

/* ---- the start lines ---- */

static bool is_version(pn_text text, uint8_t *minor) {
    if (text.size != 8 || memcmp(text.at, "HTTP/1.", 7) != 0) return false;
    if (text.at[7] != '0' && text.at[7] != '1') return false;
    *minor = (uint8_t)(text.at[7] - '0');
    return true;
}

static bool is_other_version(pn_text text) {
    return text.size == 8 && memcmp(text.at, "HTTP/", 5) == 0 && pn_text_is_digit(text.at[5]) &&
           text.at[6] == '.' && pn_text_is_digit(text.at[7]);
}

/* METHOD SP target SP HTTP/1.x; llhttp checks the method. */
static int check_request_line(pn_http_parser *parser, pn_text line) {
    const char *space = memchr(line.at, ' ', line.size);
    if (space == NULL) return bad(parser, "the request line has no target");
    size_t at = (size_t)(space - line.at) + 1;
    pn_text rest = pn_text_make(line.at + at, line.size - at);
    space = memchr(rest.at, ' ', rest.size);
    if (space == NULL) return bad(parser, "the request line has no version");
    size_t size = (size_t)(space - rest.at);
    if (size == 0) return bad(parser, "the request line has two spaces");
    for (size_t i = 0; i < size; i++) {
        if (rest.at[i] <= 0x20 || rest.at[i] >= 0x7f) {
            return bad(parser, "the target has a byte that is not visible ASCII");
        }
    }
    pn_text version = pn_text_make(space + 1, rest.size - size - 1);
    if (!is_version(version, &parser->head.minor)) {
        if (!is_other_version(version)) return bad(parser, "the version is not valid");
        return fail(parser, PN_EBAD_HTTP, STATUS_BAD_VERSION, "the version is not HTTP/1.0 or 1.1");
    }
    parser->head.target_at = (uint32_t)at;
    parser->head.target_size = (uint32_t)size;
    return 0;
}

/* HTTP/1.x SP 3DIGIT [SP reason] */
static int check_status_line(pn_http_parser *parser, pn_text line) {
    if (!is_version(pn_text_make(line.at, line.size < 8 ? line.size : 8), &parser->head.minor)) {
        return bad(parser, "the status line does not begin with HTTP/1.0 or HTTP/1.1");
    }
    if (line.size < 12 || line.at[8] != ' ') return bad(parser, "the status line has no status");
    const char *digit = line.at + 9;
    if (digit[0] < '1' || digit[0] > '9' || !pn_text_is_digit(digit[1]) ||
        !pn_text_is_digit(digit[2])) {
        return bad(parser, "the status is not a number from 100 to 999");
    }
    if (line.size > 12 && line.at[12] != ' ')
        return bad(parser, "the status has more than 3 digits");
    for (size_t i = 12; i < line.size; i++) {
        unsigned char c = (unsigned char)line.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return bad(parser, "the reason has a control character");
        }
    }
    return 0;
}

/* Before the first line is complete: is this HTTP at all? A TLS hello on a plain port should not
 * wait for a time-out. */
static int check_beginning(pn_http_parser *parser, const char *data, size_t size) {
    if (parser->is_request) {
        if (data[0] < 'A' || data[0] > 'Z') return bad(parser, "the request has no method");
        return 0;
    }
    size_t n = size < 7 ? size : 7;
    if (memcmp(data, "HTTP/1.", n) != 0) {
        return bad(parser, "the status line does not begin with HTTP/1.0 or HTTP/1.1");
    }
    return 0;
}

/* ---- the scan: lines of a head or of trailers ---- */

static int too_large(pn_http_parser *parser, const char *why) {
    return fail(parser, PN_ELIMIT, STATUS_HEAD_TOO_LARGE, why);
}

static int note_host(pn_http_parser *parser) {
    if (parser->has_host) return bad(parser, "there are two Host headers");
    parser->has_host = true;
    return 0;
}

static int note_length(pn_http_parser *parser, pn_text value) {
    if (parser->has_length) return bad(parser, "there are two Content-Length headers");
    parser->has_length = true;
    if (pn_text_to_u64(pn_text_trim(value), &parser->body_left)) return 0;
    return bad(parser, "the Content-Length is not a number");
}

/* The headers that framing and a server need from every head. What else a line says is llhttp's. */
static int note_header(pn_http_parser *parser, pn_text name, pn_text value) {
    switch (name.at[0] | 0x20) {
    case 'h':
        if (parser->is_request && pn_text_equal_nocase(name, PN_TEXT("host")))
            return note_host(parser);
        break;
    case 't':
        if (pn_text_equal_nocase(name, PN_TEXT("transfer-encoding"))) parser->has_coding = true;
        break;
    case 'c':
        if (pn_text_equal_nocase(name, PN_TEXT("content-length")))
            return note_length(parser, value);
        break;
    case 'e':
        if (parser->is_request && pn_text_equal_nocase(name, PN_TEXT("expect"))) {
            value = pn_text_trim(value);
            parser->head.expects_continue = pn_text_equal_nocase(value, PN_TEXT("100-continue"));
        }
        break;
    default: break;
    }
    return 0;
}

/* A header line, without its CRLF. */
static int check_header_line(pn_http_parser *parser, const char *line, size_t size) {
    if (line[0] == ' ' || line[0] == '\t') return bad(parser, "a header line is folded");
    size_t name_size = pn_http_token_size(pn_text_make(line, size));
    if (name_size == 0 || name_size == size || line[name_size] != ':') {
        return bad(parser, "a header's name is not a token with a colon behind it");
    }
    if (++parser->line_count > parser->limits->header_count) {
        return too_large(parser, "there are too many headers");
    }
    if (parser->state != STATE_HEAD) return 0;
    return note_header(parser, pn_text_make(line, name_size),
                       pn_text_make(line + name_size + 1, size - name_size - 1));
}

static int check_start_line(pn_http_parser *parser, pn_text line) {
    int err = check_beginning(parser, line.at, line.size);
    if (err != 0) return err;
    if (parser->is_request) return check_request_line(parser, line);
    return check_status_line(parser, line);
}

/* The next line end at or behind parser->searched. 1: found, *cr is its CR; 0: not yet; or an
 * error. */
static int find_line_end(pn_http_parser *parser, const char *data, size_t size, const char **cr) {
    const char *from = data + parser->searched;
    size_t left = size - parser->searched;
    *cr = memchr(from, '\r', left);
    if (PN_LIKELY(*cr != NULL && *cr + 1 < data + size)) {
        return (*cr)[1] == '\n' ? 1 : bad(parser, "a CR without LF");
    }
    if (memchr(from, '\n', left) != NULL) return bad(parser, "a line ends without CR");
    parser->searched = (uint32_t)(*cr != NULL ? *cr - data : (ptrdiff_t)size);
    return 0;
}

/* Looks at the lines that are complete. 1: the empty line was among them, parser->scanned is behind
 * it; 0: not yet; or an error. */
static int scan_lines(pn_http_parser *parser, const char *data, size_t size) {
    const char *cr;
    int found;
    while ((found = find_line_end(parser, data, size, &cr)) == 1) {
        const char *line = data + parser->scanned;
        size_t line_size = (size_t)(cr - line);
        if (memchr(line, '\n', line_size) != NULL) return bad(parser, "a line ends without CR");
        bool is_start = parser->scanned == 0 && parser->state == STATE_HEAD;
        parser->scanned = parser->searched = (uint32_t)(cr + 2 - data);
        int err = 0;
        if (is_start) {
            err = line_size == 0 ? bad(parser, "the start line is empty")
                                 : check_start_line(parser, pn_text_make(line, line_size));
            parser->head.headers_at = parser->scanned;
        } else if (line_size == 0) {
            return 1;
        } else {
            err = check_header_line(parser, line, line_size);
        }
        if (err != 0) return err;
    }
    return found;
}

/* As scan_lines, within the limit for heads. */
static int scan(pn_http_parser *parser, const char *data, size_t size) {
    size_t limit = parser->limits->head_bytes;
    int found = scan_lines(parser, data, size < limit ? size : limit);
    if (found == 0 && size >= limit) return too_large(parser, "the head is too large");
    return found;
}

/* ---- heads ---- */

static int run_machine(pn_http_parser *parser, const char *data, size_t size) {
    llhttp_t machine;
    llhttp_init(&machine, parser->is_request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    machine.data = parser;
    llhttp_errno_t err = llhttp_execute(&machine, data, size);
    if (err == HPE_OK || err == HPE_PAUSED_UPGRADE) return 0;
    if (err == HPE_INVALID_METHOD) {
        return fail(parser, PN_EBAD_HTTP, STATUS_NOT_IMPLEMENTED, "the method is not known");
    }
    bool has_reason = machine.reason != NULL && machine.reason[0] != '\0';
    return bad(parser, has_reason ? machine.reason : "the head is not valid");
}

/* A transfer coding that is there must be "chunked", once, alone and in HTTP/1.1. */
static int check_coding(pn_http_parser *parser, pn_text headers) {
    pn_text name = PN_TEXT("transfer-encoding");
    pn_text value = pn_http_headers_find(headers, name);
    if (value.at == NULL) return 0;
    if (parser->head.minor == 0) return bad(parser, "a transfer coding in HTTP/1.0");
    if (pn_http_headers_count(headers, name) > 1) return bad(parser, "two transfer codings");
    if (!pn_text_equal_nocase(value, PN_TEXT("chunked"))) {
        return fail(parser, PN_EBAD_HTTP, STATUS_NOT_IMPLEMENTED,
                    "the transfer coding is not chunked");
    }
    parser->head.body_kind = PN_HTTP_BODY_CHUNKED; /* llhttp misses it with a tab behind */
    return 0;
}

/* Two readers of one length must read the same. */
static int check_length(pn_http_parser *parser) {
    const pn_http_head *head = &parser->head;
    bool has_length = head->body_kind == PN_HTTP_BODY_LENGTH;
    if (parser->has_length && parser->has_coding) return bad(parser, "there are two lengths");
    if (parser->has_length == has_length &&
        (!has_length || head->content_length == parser->body_left)) {
        return 0;
    }
    return bad(parser, "the Content-Length can be read in two ways");
}

static bool has_no_body(const pn_http_parser *parser) {
    uint16_t status = parser->head.status;
    return parser->no_body || status < 200 || status == 204 || status == 304;
}

/* How the body is delimited: RFC 9112, 6.3. */
static int choose_body(pn_http_parser *parser) {
    pn_http_head *head = &parser->head;
    if (!parser->is_request) {
        if (has_no_body(parser)) {
            head->body_kind = PN_HTTP_BODY_NONE;
        } else if (head->body_kind == PN_HTTP_BODY_NONE) {
            head->body_kind = PN_HTTP_BODY_UNTIL_EOF;
            head->keep_alive = false;
        }
    }
    switch ((pn_http_body_kind)head->body_kind) {
    case PN_HTTP_BODY_NONE: parser->state = STATE_DONE; break;
    case PN_HTTP_BODY_LENGTH:
        if (head->content_length > parser->limits->body_bytes) {
            return fail(parser, PN_ETOO_LARGE, STATUS_TOO_LARGE, "the body is too large");
        }
        parser->body_left = head->content_length;
        parser->state = parser->body_left == 0 ? STATE_DONE : STATE_BODY_LENGTH;
        break;
    case PN_HTTP_BODY_CHUNKED:
        parser->state = STATE_BODY_CHUNKED;
        parser->chunk_state = CHUNK_SIZE;
        parser->chunk_digits = 0;
        break;
    case PN_HTTP_BODY_UNTIL_EOF: parser->state = STATE_BODY_UNTIL_EOF; break;
    }
    return 0;
}

static int check_head(pn_http_parser *parser, const char *data) {
    pn_http_head *head = &parser->head;
    pn_text headers = pn_text_make(data + head->headers_at, head->headers_size);
    int err = check_length(parser);
    if (err == 0 && parser->has_coding) err = check_coding(parser, headers);
    if (err != 0) return err;
    if (parser->is_request && head->minor == 1 && !parser->has_host) {
        return bad(parser, "there is no Host header");
    }
    if (parser->is_request && head->method == HTTP_CONNECT) {
        head->body_kind = PN_HTTP_BODY_NONE;
        head->keep_alive = false; /* refused or not, what follows is no HTTP */
    }
    return choose_body(parser);
}

/* One empty line before a request is ignored (RFC 9112, 2.2). */
static bool skips_line(pn_http_parser *parser, const char *data, size_t size) {
    if (!parser->is_request || parser->skipped_line || data[0] != '\r') return false;
    if (size >= 2 && data[1] != '\n') return false;
    parser->skipped_line = size >= 2;
    return true;
}

static int next_head(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    if (size == 0) return PN_HTTP_MORE;
    if (PN_UNLIKELY(data[0] == '\r') && skips_line(parser, data, size)) {
        if (size < 2) return PN_HTTP_MORE;
        piece->used = 2;
        return PN_HTTP_BODY;
    }
    int found = scan(parser, data, size);
    if (found == 0 && parser->scanned == 0) {
        int err = check_beginning(parser, data, size);
        if (err != 0) return err;
    }
    if (found <= 0) return found;
    pn_http_head *head = &parser->head;
    head->size = parser->scanned;
    head->header_count = (uint16_t)parser->line_count;
    head->headers_size = parser->scanned - 2 - head->headers_at;
    int err = run_machine(parser, data, head->size);
    if (err == 0) err = check_head(parser, data);
    if (err != 0) return err;
    parser->scanned = parser->searched = 0;
    piece->used = head->size;
    return PN_HTTP_HEAD;
}

/* ---- bodies ---- */

static int over_limit(pn_http_parser *parser) {
    return fail(parser, PN_ETOO_LARGE, STATUS_TOO_LARGE, "the body is too large");
}

static int give(pn_http_parser *parser, char *body, size_t size, pn_http_piece *piece) {
    if (size > parser->limits->body_bytes - parser->body_bytes) return over_limit(parser);
    parser->body_bytes += size;
    piece->body = body;
    piece->body_size = size;
    return PN_HTTP_BODY;
}

static int next_of_length(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    if (size == 0) return PN_HTTP_MORE;
    if (size > parser->body_left) size = (size_t)parser->body_left;
    parser->body_left -= size;
    if (parser->body_left == 0) parser->state = STATE_DONE;
    piece->used = size;
    return give(parser, data, size, piece);
}

static int count_framing(pn_http_parser *parser, size_t framing, size_t body) {
    parser->framing_bytes += framing;
    uint64_t bytes = parser->body_bytes + body;
    if (parser->framing_bytes / 16 > bytes + PN_HTTP_FRAMING_FREE_BYTES / 16) {
        return bad(parser, "the chunk framing is out of proportion");
    }
    return 0;
}

static bool takes_digit(pn_http_parser *parser, char c) {
    int digit = pn_text_hex(c);
    if (digit < 0 || parser->chunk_digits == CHUNK_DIGITS_MAX) return false;
    parser->chunk_digits++;
    parser->body_left = parser->body_left << 4 | (uint64_t)digit;
    return true;
}

/* One byte that is not data. False: it may not stand there. */
static bool take_framing(pn_http_parser *parser, char c) {
    switch ((chunk_state)parser->chunk_state) {
    case CHUNK_SIZE:
        if (takes_digit(parser, c)) return true;
        parser->chunk_state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return parser->chunk_digits > 0 && (c == '\r' || c == ';');
    case CHUNK_EXTENSION:
        if (c == '\r') parser->chunk_state = CHUNK_SIZE_LF;
        return c == '\r' || c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
    case CHUNK_SIZE_LF:
        parser->chunk_state = CHUNK_DATA;
        if (parser->body_left == 0) {
            parser->state = STATE_TRAILERS;
            parser->line_count = 0;
        }
        return c == '\n';
    case CHUNK_DATA_CR: parser->chunk_state = CHUNK_DATA_LF; return c == '\r';
    case CHUNK_DATA_LF:
        parser->chunk_state = CHUNK_SIZE;
        parser->chunk_digits = 0;
        return c == '\n';
    case CHUNK_DATA: break;
    }
    pn_unreachable();
}

/* Takes what is there of a chunk's data; what comes behind another chunk is moved over the
 * framing. */
static size_t take_data(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    if (size > parser->body_left) size = (size_t)parser->body_left;
    if (piece->body == NULL) piece->body = data;
    char *end = piece->body + piece->body_size;
    if (end != data) memmove(end, data, size);
    piece->body_size += size;
    parser->body_left -= size;
    if (parser->body_left == 0) parser->chunk_state = CHUNK_DATA_CR;
    return size;
}

static int next_of_chunks(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    size_t at = 0;
    while (at < size && parser->state == STATE_BODY_CHUNKED) {
        if (parser->chunk_state == CHUNK_DATA) {
            at += take_data(parser, data + at, size - at, piece);
        } else if (!take_framing(parser, data[at++])) {
            return bad(parser, "the chunk framing is not valid");
        }
    }
    piece->used = at;
    int refused = count_framing(parser, at - piece->body_size, piece->body_size);
    if (refused != 0) return refused;
    if (piece->body_size > 0) return give(parser, piece->body, piece->body_size, piece);
    return parser->state == STATE_TRAILERS ? PN_HTTP_BODY : PN_HTTP_MORE;
}

static int next_of_stream(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    if (size == 0) return PN_HTTP_MORE;
    piece->used = size;
    return give(parser, data, size, piece);
}

/* The names were checked with the lines. Trailers are left alone: nothing in them may change what
 * the head said (RFC 9110, 6.5.1). */
static int check_trailers(pn_http_parser *parser, const char *data) {
    pn_text lines = pn_text_make(data, parser->scanned - 2), name, value;
    while (pn_http_headers_next(&lines, &name, &value)) {
        if (!pn_http_headers_valid(name, value)) return bad(parser, "a trailer is not valid");
    }
    return 0;
}

static int next_trailers(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    if (size == 0) return PN_HTTP_MORE;
    int found = scan(parser, data, size);
    if (found <= 0) return found;
    int err = check_trailers(parser, data);
    if (err != 0) return err;
    piece->used = parser->scanned;
    piece->body = data;
    piece->body_size = parser->scanned - 2;
    parser->state = STATE_DONE;
    return PN_HTTP_END;
}

int pn_http_parser_next(pn_http_parser *parser, char *data, size_t size, pn_http_piece *piece) {
    *piece = (pn_http_piece){0};
    switch ((parser_state)parser->state) {
    case STATE_HEAD: return next_head(parser, data, size, piece);
    case STATE_BODY_LENGTH: return next_of_length(parser, data, size, piece);
    case STATE_BODY_CHUNKED: return next_of_chunks(parser, data, size, piece);
    case STATE_BODY_UNTIL_EOF: return next_of_stream(parser, data, size, piece);
    case STATE_TRAILERS: return next_trailers(parser, data, size, piece);
    case STATE_DONE: return PN_HTTP_END;
    case STATE_FAILED: return PN_EBAD_HTTP;
    }
    pn_unreachable();
}

int pn_http_parser_finish(pn_http_parser *parser) {
    switch ((parser_state)parser->state) {
    case STATE_DONE: return PN_HTTP_END;
    case STATE_BODY_UNTIL_EOF: parser->state = STATE_DONE; return PN_HTTP_END;
    case STATE_HEAD:
        if (parser->searched == 0) return PN_EEOF;
        return bad(parser, "the connection ended within the head");
    case STATE_FAILED: return PN_EBAD_HTTP;
    default: return bad(parser, "the connection ended within the body");
    }
}
