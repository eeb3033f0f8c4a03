/* Answers: their bytes, whole or in pieces, and server-sent events. */
#include <stdio.h>

#include "base/err.h"
#include "net/http_headers.h"
#include "net/http_session.h"
#include "net/url.h"

typedef struct status_text {
    uint16_t status;
    const char *text;
} status_text;

static const status_text status_texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *pn_http_status_text(unsigned status) {
    for (size_t i = 0; i < sizeof status_texts / sizeof status_texts[0]; i++) {
        if (status_texts[i].status == status) return status_texts[i].text;
    }
    return "";
}

/* ---- the parts of a head ---- */

static void add_number(pn_buf *out, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    pn_buf_add(out, digits + at, sizeof digits - at);
}

static void add_status_line(pn_buf *out, unsigned status) {
    pn_buf_add_text(out, "HTTP/1.1 ");
    add_number(out, status);
    pn_buf_add_byte(out, ' ');
    pn_buf_add_text(out, pn_http_status_text(status));
    pn_buf_add(out, "\r\n", 2);
}

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7), made once a second. */
static void refresh_date(pn_http_server *server) {
    static const char days[][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t unix_ns = pn_clock_unix_ns(server->io->clock);
    time_t seconds = (time_t)(unix_ns / 1000000000ULL);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    int size =
        snprintf(server->date, sizeof server->date, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                 days[seconds / 86400 % 7], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
                 tm.tm_hour, tm.tm_min, tm.tm_sec);
    server->date_size = (uint32_t)size;
    server->date_until_ns = server->io->now_ns + 1000000000ULL - unix_ns % 1000000000ULL;
}

static void add_date(pn_buf *out, pn_http_server *server) {
    if (server->io->now_ns >= server->date_until_ns) refresh_date(server);
    pn_buf_add(out, server->date, server->date_size);
}

/* Content-Length, the coding and Connection are ours; what a handler says of them would be a lie or
 * the same again. A wish to close is taken. */
static bool are_valid(pn__session *session, const pn_http_header *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        pn_text name = headers[i].name;
        if (!pn_http_headers_valid(name, headers[i].value)) return false;
        if (pn_text_equal_nocase(name, PN_TEXT("content-length")) ||
            pn_text_equal_nocase(name, PN_TEXT("transfer-encoding"))) {
            return false;
        }
        if (pn_text_equal_nocase(name, PN_TEXT("connection"))) {
            if (!pn_text_equal_nocase(headers[i].value, PN_TEXT("close"))) return false;
            session->keeps_alive = false;
        }
    }
    return true;
}

static bool add_headers(pn_buf *out, const pn_http_header *headers, size_t count) {
    bool has_date = false;
    for (size_t i = 0; i < count; i++) {
        if (pn_text_equal_nocase(headers[i].name, PN_TEXT("connection"))) continue;
        has_date |= pn_text_equal_nocase(headers[i].name, PN_TEXT("date"));
        pn_http_headers_add(out, headers[i].name, headers[i].value);
    }
    return has_date;
}

static void add_connection(pn_buf *out, const pn__session *session) {
    if (!session->keeps_alive || session->server->is_closing) {
        pn_buf_add_text(out, "Connection: close\r\n");
    } else if (session->exchange.request.head.minor == 0) {
        pn_buf_add_text(out, "Connection: keep-alive\r\n");
    }
}

static bool forbids_body(unsigned status) { return status == 204 || status == 304; }

/* All of the head. The size is not said for UINT64_MAX and where there is none to say. */
static void add_head(pn_http_exchange *x, const pn_http_header *headers, size_t count,
                     uint64_t size) {
    pn__session *session = x->session;
    pn_http_server *server = session->server;
    pn_buf *out = &server->out;
    add_status_line(out, x->status);
    bool has_date = add_headers(out, headers, count);
    if (!has_date) add_date(out, server);
    pn_buf_add(out, server->name, server->name_size);
    if (x->is_chunked) {
        pn_buf_add_text(out, "Transfer-Encoding: chunked\r\n");
    } else if (size != UINT64_MAX && !forbids_body(x->status)) {
        pn_buf_add_text(out, "Content-Length: ");
        add_number(out, size);
        pn_buf_add(out, "\r\n", 2);
    }
    add_connection(out, session);
    pn_buf_add(out, "\r\n", 2);
}

static int begin_answer(pn_http_exchange *x, unsigned status, const pn_http_header *headers,
                        size_t count, bool has_body) {
    pn_assert(x->is_live && x->answer == PN__ANSWER_NONE);
    if (status < 200 || status > 999 || (has_body && forbids_body(status))) return PN_EBAD_VALUE;
    if (!are_valid(x->session, headers, count)) return PN_EBAD_VALUE;
    x->status = (uint16_t)status;
    x->has_no_body = x->request.head.method == HTTP_HEAD || forbids_body(status);
    x->answer = PN__ANSWER_STARTED;
    return 0;
}

/* ---- whole answers ---- */

/* What happens to the client while the exchange ends is not told to its handler any more. */
static void end_exchange(pn_http_exchange *x) {
    x->is_told = true;
    x->answer = PN__ANSWER_FINISHED;
    pn__session_finish(x->session);
}

int pn_http_exchange_respond(pn_http_exchange *x, unsigned status, const pn_http_header *headers,
                             size_t header_count, pn_text body) {
    int err = begin_answer(x, status, headers, header_count, body.size > 0);
    if (err != 0) return err;
    x->is_told = true;
    pn__session *session = x->session;
    if (!x->body_is_over) session->keeps_alive = false;
    size_t start = pn__session_begin_output(session);
    add_head(x, headers, header_count, body.size);
    pn__session_submit(session, start, x->has_no_body ? PN_TEXT_NONE : body);
    end_exchange(x);
    return 0;
}

void pn__answer_error(pn__session *session, unsigned status, bool keep, pn_text allow) {
    pn_http_exchange *x = &session->exchange;
    pn_http_server *server = session->server;
    if (!pn_http_message_is_open(&x->request)) *x = (pn_http_exchange){.session = session};
    session->keeps_alive = keep && !server->is_closing;
    server->stats.refused++;
    x->status = (uint16_t)status;
    pn_http_header headers[] = {{PN_TEXT("Content-Type"), PN_TEXT("text/plain; charset=utf-8")},
                                {PN_TEXT("Allow"), allow}};
    char body[64];
    int size = snprintf(body, sizeof body, "%u %s\n", status, pn_http_status_text(status));
    bool is_head = pn_http_message_is_open(&x->request) && x->request.head.method == HTTP_HEAD;
    if (!pn_http_message_is_open(&x->request)) x->request.head.minor = 1;
    size_t start = pn__session_begin_output(session);
    add_head(x, headers, allow.size > 0 ? 2 : 1, (uint64_t)size);
    pn__session_submit(session, start, is_head ? PN_TEXT_NONE : pn_text_make(body, (size_t)size));
    end_exchange(x);
}

/* ---- answers in pieces ---- */

int pn_http_exchange_start(pn_http_exchange *x, unsigned status, const pn_http_header *headers,
                           size_t header_count, uint64_t size) {
    bool has_body = size > 0 && size != UINT64_MAX;
    int err = begin_answer(x, status, headers, header_count, has_body);
    if (err != 0) return err;
    pn__session *session = x->session;
    bool unknown = size == UINT64_MAX && !forbids_body(status);
    x->is_chunked = unknown && x->request.head.minor == 1;
    if (unknown && !x->is_chunked) session->keeps_alive = false; /* its end is the connection's */
    x->left = size;
    if (x->is_aborted) return 0;
    bool was_told = x->is_told;
    x->is_told = true;
    size_t start = pn__session_begin_output(session);
    add_head(x, headers, header_count, size);
    pn__session_submit(session, start, PN_TEXT_NONE);
    x->is_aborted = session->state == PN__SESSION_CLOSED;
    x->is_told = was_told; /* on_abort tells what happened just now when the handler asks next */
    return 0;
}

bool pn_http_exchange_is_writable(const pn_http_exchange *x) {
    return x->answer == PN__ANSWER_STARTED && !x->is_aborted && !pn__session_is_sending(x->session);
}

static void add_piece(pn_http_exchange *x, const char *data, size_t size) {
    pn_buf *out = &x->session->server->out;
    if (x->is_chunked) pn_buf_printf(out, "%zx\r\n", size);
    pn_buf_add(out, data, size);
    if (x->is_chunked) pn_buf_add(out, "\r\n", 2);
}

int pn_http_exchange_write(pn_http_exchange *x, const char *data, size_t size) {
    if (x->answer != PN__ANSWER_STARTED) return PN_EBAD_VALUE;
    if (x->is_aborted) return PN_ECLOSED;
    if (pn__session_is_sending(x->session)) return PN_EBAD_VALUE;
    if (x->left != UINT64_MAX) {
        if (size > x->left) return PN_EBAD_VALUE;
        x->left -= size;
    }
    if (size == 0 || x->has_no_body) return 0; /* an empty chunk would end the answer */
    x->is_told = true;                         /* by our result */
    size_t start = pn__session_begin_output(x->session);
    add_piece(x, data, size);
    pn__session_submit(x->session, start, PN_TEXT_NONE);
    x->is_aborted = x->session->state == PN__SESSION_CLOSED;
    x->is_told = x->is_aborted;
    if (x->is_aborted) return PN_ECLOSED;
    x->wants_writable = pn__session_is_sending(x->session);
    return x->wants_writable ? 1 : 0;
}

void pn__answer_last_chunk(pn__session *session) {
    size_t start = pn__session_begin_output(session);
    pn_buf_add_text(&session->server->out, "0\r\n\r\n");
    pn__session_submit(session, start, PN_TEXT_NONE);
}

void pn_http_exchange_finish(pn_http_exchange *x) {
    pn_assert(x->is_live && x->answer == PN__ANSWER_STARTED);
    pn__session *session = x->session;
    x->is_told = true;
    bool is_short = x->left != UINT64_MAX && x->left > 0 && !x->has_no_body;
    if (is_short) {
        pn__session_cut(session); /* nothing else tells the client that something is missing */
    } else if (x->is_chunked && !x->has_no_body && session->state != PN__SESSION_CLOSED) {
        session->owes_end = pn__session_is_sending(session);
        if (!session->owes_end) pn__answer_last_chunk(session);
    }
    end_exchange(x);
}

void pn_http_exchange_abort(pn_http_exchange *x) {
    pn_assert(x->is_live);
    x->is_told = true;
    pn__session_cut(x->session);
    end_exchange(x);
}

bool pn_http_exchange_is_aborted(const pn_http_exchange *x) { return x->is_aborted; }

/* ---- the request, for handlers ---- */

uint8_t pn_http_exchange_method(const pn_http_exchange *x) { return x->request.head.method; }

pn_text pn_http_exchange_target(const pn_http_exchange *x) {
    return pn_http_message_target(&x->request);
}

pn_text pn_http_exchange_path(const pn_http_exchange *x) {
    return pn_text_make(pn_http_exchange_target(x).at + x->path_at, x->path_size);
}

pn_text pn_http_exchange_query(const pn_http_exchange *x) {
    pn_text target = pn_http_exchange_target(x);
    size_t at = x->path_at + x->path_size;
    if (at >= target.size || target.at[at] != '?') return PN_TEXT_NONE;
    pn_text query = pn_text_make(target.at + at + 1, target.size - at - 1);
    const char *fragment = memchr(query.at, '#', query.size);
    if (fragment != NULL) query.size = (size_t)(fragment - query.at);
    return query;
}

pn_http_message *pn_http_exchange_request(pn_http_exchange *x) { return &x->request; }

bool pn_http_exchange_param_at(const pn_http_exchange *x, uint32_t i, pn_text *name,
                               pn_text *value) {
    return pn_http_match_param(&x->match, i, pn_http_exchange_path(x), name, value);
}

int pn_http_exchange_param(const pn_http_exchange *x, pn_text name, pn_buf *out) {
    pn_text found, value;
    for (uint32_t i = 0; pn_http_exchange_param_at(x, i, &found, &value); i++) {
        if (!pn_text_equal(found, name)) continue;
        if (pn_percent_decode(out, value, false)) return 0;
        return out->failed ? PN_ENOMEM : PN_EBAD_VALUE;
    }
    return PN_ENOT_FOUND;
}

const pn_http_handler *pn_http_exchange_handler(const pn_http_exchange *x) { return x->handler; }

pn_http_server *pn_http_exchange_server(const pn_http_exchange *x) { return x->session->server; }

void *pn_http_exchange_user(const pn_http_exchange *x) { return x->user; }

void pn_http_exchange_set_user(pn_http_exchange *x, void *user) { x->user = user; }

const char *pn_http_exchange_peer(const pn_http_exchange *x, char out[64]) {
    pn_stream *stream = &x->session->stream;
    pn_address address;
    int size = sizeof address;
    char host[INET6_ADDRSTRLEN];
    memcpy(out, "unix", 5);
    if (stream->uv.handle.type != UV_TCP || x->is_aborted) return out;
    if (uv_tcp_getpeername(&stream->uv.tcp, &address.any, &size) != 0) return out;
    bool is_v6 = address.any.sa_family == AF_INET6;
    if (is_v6) {
        uv_ip6_name(&address.v6, host, sizeof host);
    } else {
        uv_ip4_name(&address.v4, host, sizeof host);
    }
    snprintf(out, 64, is_v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)pn_address_port(&address));
    return out;
}

void pn_http_exchange_pause(pn_http_exchange *x) {
    if (!x->is_aborted) pn_stream_stop_reading(&x->session->stream);
}

void pn_http_exchange_resume(pn_http_exchange *x) {
    if (!x->is_aborted && !x->session->is_ended) pn_stream_start_reading(&x->session->stream);
}

/* ---- server-sent events ---- */

static bool is_line(pn_text text) {
    return memchr(text.at, '\n', text.size) == NULL && memchr(text.at, '\r', text.size) == NULL &&
           memchr(text.at, '\0', text.size) == NULL;
}

static void add_field(pn_buf *out, const char *name, pn_text value) {
    pn_buf_add_text(out, name);
    pn_buf_add(out, value.at, value.size);
    pn_buf_add_byte(out, '\n');
}

/* A field for each line; CRLF, CR and LF end one. */
static void add_lines(pn_buf *out, const char *name, pn_text text) {
    while (true) {
        size_t n = 0;
        while (n < text.size && text.at[n] != '\n' && text.at[n] != '\r') n++;
        add_field(out, name, pn_text_make(text.at, n));
        if (n == text.size) return;
        bool is_pair = text.at[n] == '\r' && n + 1 < text.size && text.at[n + 1] == '\n';
        size_t step = n + (is_pair ? 2 : 1);
        text = pn_text_make(text.at + step, text.size - step);
    }
}

int pn_http_sse_write(pn_buf *out, const pn_http_sse *event) {
    bool bad = (event->event.at != NULL && !is_line(event->event)) ||
               (event->id.at != NULL && !is_line(event->id));
    if (bad) return PN_EBAD_VALUE;
    if (event->comment.at != NULL) add_lines(out, ": ", event->comment);
    if (event->event.at != NULL) add_field(out, "event: ", event->event);
    if (event->id.at != NULL) add_field(out, "id: ", event->id);
    if (event->retry_ms != 0) {
        pn_buf_add_text(out, "retry: ");
        add_number(out, event->retry_ms);
        pn_buf_add_byte(out, '\n');
    }
    if (event->data.at != NULL) add_lines(out, "data: ", event->data);
    pn_buf_add_byte(out, '\n');
    return out->failed ? PN_ENOMEM : 0;
}

int pn_http_exchange_start_sse(pn_http_exchange *x) {
    static const pn_http_header headers[] = {
        {{"Content-Type", 12}, {"text/event-stream", 17}},
        {{"Cache-Control", 13}, {"no-store", 8}},
    };
    return pn_http_exchange_start(x, 200, headers, 2, UINT64_MAX);
}

int pn_http_exchange_send_event(pn_http_exchange *x, const pn_http_sse *event) {
    pn_buf text;
    pn_buf_init(&text, &x->session->server->io->ledger->door);
    int state = pn_http_sse_write(&text, event);
    if (state == 0) state = pn_http_exchange_write(x, text.data, text.size);
    pn_buf_close(&text);
    return state;
}
