/*
 * The HTTP parser's front end, requests and responses. However the bytes are cut, the result is the
 * same; and what is accepted is read the same way by a second, plain reading of RFC 9112 that knows
 * nothing of llhttp: the same head, the same body, the same end. A message that two readers cut
 * differently is what smuggling is made of.
 *
 * The first byte says what it is: bit 0 a request, bit 1 a response without a body, the others
 * where to cut.
 */
#include <stdbool.h>

#include "base/err.h"
#include "net/http_headers.h"
#include "net/http_parser.h"
#include "specs/fuzz/fuzz.h"

#define INPUT_MAX 8192

static const pn_http_limits limits = {4096, 32, 65536};

typedef struct reading {
    int err; /* 0: complete; 1: wants more */
    pn_http_head head;
    bool has_head;
    char body[INPUT_MAX];
    size_t body_size, used, trailers_size;
} reading;

/* ---- the parser, fed in pieces ---- */

static void note(reading *r, const pn_http_parser *parser, int event, const pn_http_piece *piece) {
    if (event == PN_HTTP_HEAD) {
        r->head = parser->head;
        r->has_head = true;
    } else if (event == PN_HTTP_BODY && piece->body_size > 0) {
        memcpy(r->body + r->body_size, piece->body, piece->body_size);
        r->body_size += piece->body_size;
    } else if (event == PN_HTTP_END) {
        r->trailers_size = piece->body_size;
    }
}

/* `size` bytes in parts of `step`; what is not used is given again, as an engine does. */
static void read_in_parts(reading *r, bool is_request, bool no_body, const char *data, size_t size,
                          size_t step) {
    pn_http_parser parser;
    char *pending = fuzz_copy(NULL, 0);
    size_t pending_size = 0;
    *r = (reading){.err = 1};
    pn_http_parser_init(&parser, is_request, &limits);
    pn_http_parser_start(&parser, no_body);
    for (size_t at = 0; at < size && r->err == 1; at += step) {
        size_t part = size - at < step ? size - at : step;
        char *joined = malloc(pending_size + part);
        if (joined == NULL) abort();
        memcpy(joined, pending, pending_size);
        memcpy(joined + pending_size, data + at, part);
        free(pending);
        pending = joined;
        pending_size += part;
        int event = PN_HTTP_BODY;
        while (event > 0 && event != PN_HTTP_END) {
            pn_http_piece piece;
            event = pn_http_parser_next(&parser, pending, pending_size, &piece);
            PROPERTY(piece.used <= pending_size);
            note(r, &parser, event, &piece);
            r->used += piece.used;
            pending_size -= piece.used;
#if PN_PLANT_BUG == 1
            if (event == PN_HTTP_MORE && piece.used == 0 && pending_size > 300)
                pending_size = 300; /* forgets */
#endif
            memmove(pending, pending + piece.used, pending_size);
        }
        if (event == PN_HTTP_END) r->err = 0;
        if (event < 0) r->err = event;
        if (event < 0) PROPERTY(parser.why != NULL && parser.refuse_status >= 400);
    }
    if (r->err == 1) {
        int event = pn_http_parser_finish(&parser);
        PROPERTY(event == PN_HTTP_END || event == PN_EEOF || event == PN_EBAD_HTTP);
        if (event == PN_HTTP_END) r->err = 0;
    }
    free(pending);
}

/* ---- the second reading ---- */

typedef struct text {
    const char *at;
    size_t size;
} text;

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_tchar(char c) {
    return is_alnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* The line that begins at `at`, without its CRLF; false when there is none or it has a stray CR or
 * LF. */
static bool line_at(text all, size_t at, text *line) {
    for (size_t i = at; i + 1 < all.size; i++) {
        if (all.at[i] == '\n') return false;
        if (all.at[i] != '\r') continue;
        if (all.at[i + 1] != '\n') return false;
        *line = (text){all.at + at, i - at};
        return true;
    }
    return false;
}

static bool is_named(text line, const char *name, text *value) {
    size_t size = strlen(name);
    if (line.size <= size || line.at[size] != ':' || strncasecmp(line.at, name, size) != 0)
        return false;
    *value = (text){line.at + size + 1, line.size - size - 1};
    while (value->size > 0 && (value->at[0] == ' ' || value->at[0] == '\t'))
        value->at++, value->size--;
    while (value->size > 0 &&
           (value->at[value->size - 1] == ' ' || value->at[value->size - 1] == '\t')) {
        value->size--;
    }
    return true;
}

static bool is_field(text line) {
    size_t n = 0;
    while (n < line.size && is_tchar(line.at[n])) n++;
    if (n == 0 || n == line.size || line.at[n] != ':') return false;
    for (size_t i = n + 1; i < line.size; i++) {
        unsigned char c = (unsigned char)line.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

typedef struct fields {
    size_t end; /* behind the empty line */
    int hosts, lengths, codings;
    uint64_t length;
    bool is_bad;
} fields;

static void note_length(fields *f, text value) {
    f->lengths++;
    f->length = 0;
    if (value.size == 0) f->is_bad = true;
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9' || f->length > UINT64_MAX / 10 - 1) {
            f->is_bad = true;
            return;
        }
        f->length = f->length * 10 + (uint64_t)(value.at[i] - '0');
    }
}

/* Field lines up to the empty one. False: not all there, or not field lines. */
static bool read_fields(text all, size_t at, fields *f) {
    text line, value;
    *f = (fields){0};
    while (line_at(all, at, &line)) {
        at += line.size + 2;
        if (line.size == 0) {
            f->end = at;
            return !f->is_bad;
        }
        if (!is_field(line)) return false;
        if (is_named(line, "host", &value)) f->hosts++;
        if (is_named(line, "content-length", &value)) note_length(f, value);
        if (is_named(line, "transfer-encoding", &value)) {
            f->codings++;
            bool is_chunked = value.size == 7 && strncasecmp(value.at, "chunked", 7) == 0;
            f->is_bad |= !is_chunked;
        }
    }
    return false;
}

static bool is_request_line(text line, int *minor) {
    size_t n = 0;
    while (n < line.size && is_tchar(line.at[n])) n++;
    if (n == 0 || line.size < n + 11 || line.at[n] != ' ' || line.at[line.size - 9] != ' ')
        return false;
    for (size_t i = n + 1; i < line.size - 9; i++) {
        if (line.at[i] <= ' ' || line.at[i] >= 0x7f) return false;
    }
    *minor = line.at[line.size - 1] - '0';
    return memcmp(line.at + line.size - 8, "HTTP/1.", 7) == 0 && (*minor == 0 || *minor == 1);
}

static bool is_status_line(text line, int *minor, int *status) {
    if (line.size < 12 || memcmp(line.at, "HTTP/1.", 7) != 0 || line.at[8] != ' ') return false;
    *minor = line.at[7] - '0';
    *status = (line.at[9] - '0') * 100 + (line.at[10] - '0') * 10 + line.at[11] - '0';
    return (*minor == 0 || *minor == 1) && *status >= 100 && *status <= 999 &&
           (line.size == 12 || line.at[12] == ' ');
}

/* Chunks and trailers from `at`. False: not all there, or not chunks. */
static bool read_chunks(text all, size_t at, reading *r) {
    text line;
    while (line_at(all, at, &line)) {
        char *end;
        char digits[20] = {0};
        size_t n = 0;
        while (n < line.size && n < 17 && strchr("0123456789abcdefABCDEF", line.at[n]) != NULL) n++;
        if (n == 0 || n > 16 || (n < line.size && line.at[n] != ';')) return false;
        memcpy(digits, line.at, n);
        uint64_t size = strtoull(digits, &end, 16);
        at += line.size + 2;
        if (size == 0) {
            fields trailers;
            if (!read_fields(all, at, &trailers) && !trailers.is_bad) return false;
            r->trailers_size = trailers.end - at - 2;
            r->used = trailers.end;
            return true;
        }
        if (size > all.size - at || all.size - at - size < 2) return false;
        memcpy(r->body + r->body_size, all.at + at, size);
        r->body_size += size;
        at += size;
        if (all.at[at] != '\r' || all.at[at + 1] != '\n') return false;
        at += 2;
    }
    return false;
}

static bool read_body(text all, const fields *f, bool is_request, bool no_body, int status,
                      reading *r) {
    r->used = f->end;
    if (no_body || (!is_request && (status < 200 || status == 204 || status == 304))) return true;
    if (f->codings > 0) return read_chunks(all, f->end, r);
    uint64_t size = f->lengths > 0 ? f->length : is_request ? 0 : all.size - f->end;
    if (size > all.size - f->end) return false;
    r->body_size = size;
    memcpy(r->body, all.at + f->end, size);
    r->used += size;
    return true;
}

/* What the bytes say, or false: no complete message. */
static bool read_plainly(text all, bool is_request, bool no_body, reading *r) {
    text line;
    fields f;
    int minor = 0, status = 0;
    *r = (reading){0};
    size_t at = is_request && all.size >= 2 && memcmp(all.at, "\r\n", 2) == 0 ? 2 : 0;
    if (!line_at(all, at, &line)) return false;
    if (is_request ? !is_request_line(line, &minor) : !is_status_line(line, &minor, &status))
        return false;
    if (!read_fields(all, at + line.size + 2, &f)) return false;
    if (f.lengths > 1 || f.codings > 1 || (f.lengths > 0 && f.codings > 0)) return false;
    if (f.codings > 0 && minor == 0) return false;
    if (is_request && (f.hosts > 1 || (minor == 1 && f.hosts == 0))) return false;
    bool is_connect = is_request && line.size > 8 && memcmp(line.at, "CONNECT ", 8) == 0;
    r->head.minor = (uint8_t)minor;
    r->head.status = (uint16_t)status;
    return read_body(all, &f, is_request, no_body || is_connect, status, r);
}

/* ---- properties ---- */

static void check_same(const reading *a, const reading *b) {
    PROPERTY(a->err == b->err);
    if (a->err != 0) return;
    PROPERTY(a->used == b->used && a->body_size == b->body_size);
    PROPERTY(memcmp(a->body, b->body, a->body_size) == 0);
    PROPERTY(a->trailers_size == b->trailers_size);
    PROPERTY(memcmp(&a->head, &b->head, sizeof a->head) == 0);
}

static void check_plain(const reading *got, text all, bool is_request, bool no_body) {
    static reading plain;
    if (got->err != 0) return;
    PROPERTY(read_plainly(all, is_request, no_body, &plain));
#if PN_PLANT_BUG == 2
    if (plain.trailers_size > 24) plain.used -= 1;
#endif
    PROPERTY(plain.used == got->used);
    PROPERTY(plain.body_size == got->body_size);
    PROPERTY(memcmp(plain.body, got->body, got->body_size) == 0);
    PROPERTY(plain.trailers_size == got->trailers_size);
    PROPERTY(plain.head.minor == got->head.minor);
    PROPERTY(is_request || plain.head.status == got->head.status);
}

static void check_lookups(const reading *got, text all) {
    size_t at = all.size >= 2 && memcmp(all.at, "\r\n", 2) == 0 ? 2 : 0;
    pn_text block = pn_text_make(all.at + at + got->head.headers_at, got->head.headers_size), name,
            value;
    size_t count = 0;
    for (pn_text rest = block; pn_http_headers_next(&rest, &name, &value); count++) {
        PROPERTY(pn_http_headers_valid(name, value));
        PROPERTY(pn_http_headers_find(block, name).at != NULL);
    }
    PROPERTY(count == got->head.header_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static reading whole, parts;
    if (size < 1 || size > INPUT_MAX) return 0;
    bool is_request = data[0] & 1, no_body = !is_request && (data[0] & 2);
    text all = {(const char *)data + 1, size - 1};
    read_in_parts(&whole, is_request, no_body, all.at, all.size, all.size > 0 ? all.size : 1);
    read_in_parts(&parts, is_request, no_body, all.at, all.size, 1 + data[0] / 4);
    check_same(&whole, &parts);
    check_plain(&whole, all, is_request, no_body);
    if (whole.err == 0 && whole.has_head) check_lookups(&whole, all);
    return 0;
}
