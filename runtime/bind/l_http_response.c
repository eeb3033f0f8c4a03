/*
 * The response of perilune.http: what came, in one block; everything is looked up when it is asked
 * for.
 *
 * Behind the struct lie the URL, what went wrong, the head, and the body when it is small. So most
 * responses need no finalizer, which would keep each of them for a second collection. A large body
 * stays in the client's slabs, with its transfer, behind a holder (a user value) that has a
 * finalizer.
 */
#include "bind/http.h"

#include "lua/json_value.h"
#include "net/http_headers.h"
#include "net/inflate.h"

#define INLINE_BYTES_MAX 4096 /* of a body */

enum { VALUE_BODY = 1, VALUE_HEADERS, VALUES = VALUE_HEADERS };

typedef struct pn_response {
    pn_http_timings timings;
    uint64_t body_bytes;       /* received */
    uint64_t body_limit_bytes; /* of what it decodes to */
    const char *tls_version;
    int err;        /* 0: there is an answer */
    int body_err;   /* the body was read, but cannot be decoded */
    int error_code; /* k6's */
    uint32_t url_size, error_size, head_size, body_size; /* the parts of `text` */
    uint32_t headers_at, headers_size;                   /* within the head */
    uint16_t status;
    uint8_t minor;
    bool is_inline; /* the body lies here; else VALUE_BODY has it, or its holder */
    char text[];
} pn_response;

/* ---- the holder of a large body ---- */

#define BODY_CLASS "perilune.http.body"

static int l_body_gc(lua_State *L) {
    pn_transfer **box = lua_touserdata(L, 1);
    pn_transfer_destroy(*box);
    *box = NULL;
    return 0;
}

static const luaL_Reg body_internals[] = {{"__gc", l_body_gc}, {NULL, NULL}};

const pn_class pn_class_http_body = {BODY_CLASS, NULL, body_internals};

static pn_transfer **push_holder(lua_State *L) {
    pn_transfer **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    pn_push_class(L, BODY_CLASS);
    lua_setmetatable(L, -2);
    return box;
}

/* ---- making one ---- */

/* The sizes of what lies behind the struct. */
typedef struct parts {
    size_t url, error, head, body;
} parts;

static pn_response *new_response(lua_State *L, const parts *p) {
    pn_response *r =
        lua_newuserdatauv(L, sizeof *r + p->url + p->error + p->head + p->body, VALUES);
    *r = (pn_response){.tls_version = "", .minor = 1, .is_inline = true};
    r->url_size = (uint32_t)p->url;
    r->error_size = (uint32_t)p->error;
    r->head_size = (uint32_t)p->head;
    r->body_size = (uint32_t)p->body;
    pn_push_class(L, PN_RESPONSE_CLASS);
    lua_setmetatable(L, -2);
    return r;
}

static char *error_of(pn_response *r) { return r->text + r->url_size; }

static char *head_of(pn_response *r) { return error_of(r) + r->error_size; }

static char *body_of(pn_response *r) { return head_of(r) + r->head_size; }

static void copy_body(const pn_http_message *message, char *to) {
    const pn_slice *cursor = NULL;
    pn_text piece;
    while (pn_http_message_next_piece(message, &cursor, &piece)) {
        memcpy(to, piece.at, piece.size);
        to += piece.size;
    }
}

static void take_head(pn_response *r, const pn_transfer *t) {
    const pn_http_message *message = &t->call.response;
    const pn_http_head *head = &message->head;
    r->status = head->status;
    r->minor = head->minor;
    r->headers_at = head->headers_at;
    r->headers_size = head->headers_size;
    r->body_bytes = message->body_bytes;
    r->body_limit_bytes = t->call.body_limit_bytes;
    memcpy(head_of(r), message->first.data, head->size);
}

static pn_text url_of(const pn_transfer *t) {
    return pn_http_request_url(t->call.request != NULL ? t->call.request : t->request);
}

typedef struct pushing {
    pn_transfer *transfer;
    bool is_taken; /* a Lua object owns it */
} pushing;

/* The body of a response that is read as it comes. The response is on top. */
static void attach_stream(lua_State *L, pushing *p) {
    p->is_taken = true; /* pn_flow_push frees it if it cannot be */
    pn_flow_push(L, &p->transfer->download->in.flow);
    lua_setiuservalue(L, -2, VALUE_BODY);
}

static void attach_holder(lua_State *L, pushing *p) {
    pn_transfer **box = push_holder(L);
    lua_setiuservalue(L, -2, VALUE_BODY);
    *box = p->transfer;
    p->is_taken = true;
}

/* A light userdata is at index 1. */
static int push_response(lua_State *L) {
    pushing *owner = lua_touserdata(L, 1);
    pn_transfer *t = owner->transfer;
    const pn_http_call *call = &t->call;
    const pn_http_message *message = &call->response;
    bool streams = t->download != NULL && t->has_head; /* what goes wrong then, reading tells */
    int err = streams ? 0 : call->err;
    bool has_head = err == 0 && pn_http_message_is_open(message);
    bool has_body = has_head && message->body_kept;
    bool is_inline = !has_body || message->body_bytes <= INLINE_BYTES_MAX;
    char error[PN_HTTP_ERROR_BYTES] = "";
    if (PN_UNLIKELY(err != 0)) pn_transfer_describe(t, error);
    pn_text url = url_of(t);
    parts p = {.url = url.size, .error = strlen(error), .head = has_head ? message->head.size : 0};
    if (has_body && is_inline) p.body = message->body_bytes;
    pn_response *r = new_response(L, &p);
    memcpy(r->text, url.at, url.size);
    memcpy(error_of(r), error, p.error);
    r->err = err;
    r->timings = call->timings;
    r->tls_version = call->tls_version;
    r->is_inline = is_inline && !streams;
    if (has_head) take_head(r, t);
    if (p.body > 0) copy_body(message, body_of(r));
    r->error_code = pn_http_error_code(err, call->phase, r->status);
    if (streams) {
        attach_stream(L, owner);
    } else if (!is_inline) {
        attach_holder(L, owner);
    }
    return 1;
}

void pn_response_push(lua_State *L, pn_transfer *t) {
    pushing p = {t, false};
    lua_pushcfunction(L, push_response);
    lua_pushlightuserdata(L, &p);
    int status = lua_pcall(L, 1, 1, 0);
    if (!p.is_taken) pn_transfer_destroy(t);
    if (PN_UNLIKELY(status != LUA_OK)) lua_error(L);
}

void pn_response_push_failed(lua_State *L, int url, int err, const char *why) {
    char error[PN_HTTP_ERROR_BYTES];
    size_t size;
    const char *text = lua_tolstring(L, url, &size);
    snprintf(error, sizeof error, "%.200s: %s", text, why[0] != '\0' ? why : pn_err_text(err));
    parts p = {.url = size, .error = strlen(error)};
    pn_response *r = new_response(L, &p);
    memcpy(r->text, text, size);
    memcpy(error_of(r), error, p.error);
    r->err = err;
    r->error_code = pn_http_error_code(err, PN_HTTP_PHASE_BLOCKED, 0);
}

int pn_response_return(lua_State *L) {
    pn_response *r = lua_touserdata(L, -1);
    if (PN_LIKELY(r->err == 0)) return 1;
    lua_pushlstring(L, error_of(r), r->error_size);
    lua_pushstring(L, pn_err_name(r->err));
    return 3;
}

/* ---- the body ---- */

/* A body over this is decoded to a buffer that does not stay. */
#define SCRATCH_BYTES_MAX (256 << 10)

static pn_encoding encoding_of(pn_response *r) {
    pn_text lines = pn_text_make(head_of(r) + r->headers_at, r->headers_size);
    return pn_encoding_parse(pn_http_headers_find(lines, PN_TEXT("content-encoding")));
}

static int inflate_inline(pn_response *r, pn_ledger *ledger, pn_encoding encoding, pn_buf *out) {
    pn_inflate *decoder = pn_inflate_create(ledger, encoding);
    if (decoder == NULL) return PN_ENOMEM;
    int err = pn_inflate_feed(decoder, body_of(r), r->body_size, out);
    if (err == 0) err = pn_inflate_finish(decoder);
    pn_inflate_destroy(decoder);
    return err;
}

/* Pushes the decoded body; or notes why it cannot be and pushes nil. `t` is NULL for one that is
 * inline. */
static void push_inflated(lua_State *L, pn_response *r, pn_encoding encoding,
                          const pn_transfer *t) {
    pn_http_service *s = pn_http_service_of(L);
    pn_buf *out = &s->text;
    pn_buf_clear(out);
    out->limit_bytes = r->body_limit_bytes < SIZE_MAX ? (size_t)r->body_limit_bytes : SIZE_MAX;
    int err = t == NULL ? inflate_inline(r, s->io->ledger, encoding, out)
                        : pn_http_message_decode(&t->call.response, out);
    out->limit_bytes = SIZE_MAX;
    if (err == PN_ENOMEM) pn_raise_code(L, err);
    r->body_err = err;
    if (err != 0) {
        lua_pushnil(L);
    } else {
        lua_pushlstring(L, out->data, out->size);
    }
    if (out->capacity > SCRATCH_BYTES_MAX) pn_buf_close(out);
}

/* Takes a body that came as it is out of its holder: where it was read to, it is not needed
 * twice. */
static void push_gathered(lua_State *L, pn_transfer **box) {
    pn_transfer *t = *box;
    size_t size = t->call.response.body_bytes;
    luaL_Buffer text;
    copy_body(&t->call.response, luaL_buffinitsize(L, &text, size));
    *box = NULL;
    pn_transfer_destroy(t);
    luaL_pushresultsize(&text, size);
}

static void push_held(lua_State *L, pn_response *r, pn_transfer **box) {
    pn_transfer *t = *box;
    pn_text view;
    if (t == NULL) luaL_error(L, "body: there was no memory for it before, and it is gone");
    pn_encoding encoding = encoding_of(r);
    if (encoding == PN_ENCODING_GZIP || encoding == PN_ENCODING_DEFLATE) {
        push_inflated(L, r, encoding, t);
    } else if (pn_http_message_view(&t->call.response, &view)) {
        lua_pushlstring(L, view.at, view.size);
    } else {
        push_gathered(L, box);
        return;
    }
    *box = NULL;
    pn_transfer_destroy(t);
}

static void push_inline(lua_State *L, pn_response *r) {
    pn_encoding encoding = r->body_size == 0 ? PN_ENCODING_IDENTITY : encoding_of(r);
    if (encoding == PN_ENCODING_GZIP || encoding == PN_ENCODING_DEFLATE) {
        push_inflated(L, r, encoding, NULL);
    } else {
        lua_pushlstring(L, body_of(r), r->body_size); /* what we cannot decode stays as it came */
    }
}

/* The response is at index 1. */
static int push_body(lua_State *L, pn_response *r) {
    if (lua_getiuservalue(L, 1, VALUE_BODY) == LUA_TSTRING) return 1;
    if (r->body_err != 0) return 0;
    if (r->is_inline) {
        push_inline(L, r);
    } else {
        pn_transfer **box = luaL_testudata(L, -1, BODY_CLASS);
        if (box == NULL) return 1; /* a stream */
        push_held(L, r, box);
    }
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_BODY);
    return 1;
}

/* ---- the other fields ---- */

static int push_status(lua_State *L, pn_response *r) {
    lua_pushinteger(L, r->status);
    return 1;
}

/* Behind "HTTP/1.x NNN " up to the line's end. */
static int push_status_text(lua_State *L, pn_response *r) {
    bool has_one = r->head_size > 0 && r->headers_at >= 15;
    lua_pushlstring(L, has_one ? head_of(r) + 13 : "", has_one ? r->headers_at - 15 : 0);
    return 1;
}

static int push_headers(lua_State *L, pn_response *r) {
    if (lua_getiuservalue(L, 1, VALUE_HEADERS) != LUA_TNIL) return 1;
    pn_http_push_headers(L, pn_text_make(head_of(r) + r->headers_at, r->headers_size));
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_HEADERS);
    return 1;
}

static int push_url(lua_State *L, pn_response *r) {
    lua_pushlstring(L, r->text, r->url_size);
    return 1;
}

static int push_proto(lua_State *L, pn_response *r) {
    if (r->head_size == 0) return 0;
    lua_pushstring(L, r->minor == 0 ? "HTTP/1.0" : "HTTP/1.1");
    return 1;
}

static int push_tls_version(lua_State *L, pn_response *r) {
    if (r->tls_version[0] == '\0') return 0;
    lua_pushstring(L, r->tls_version);
    return 1;
}

static int push_error(lua_State *L, pn_response *r) {
    if (r->body_err != 0) {
        lua_pushfstring(L, "body: %s", pn_err_text(r->body_err));
        return 1;
    }
    if (r->err == 0) return 0;
    lua_pushlstring(L, error_of(r), r->error_size);
    return 1;
}

static int push_error_code(lua_State *L, pn_response *r) {
    int code = r->error_code;
    if (r->body_err != 0)
        code = pn_http_error_code(r->body_err, PN_HTTP_PHASE_RECEIVING, r->status);
    lua_pushinteger(L, code);
    return 1;
}

static void set_ms(lua_State *L, const char *name, uint64_t ns) {
    lua_pushnumber(L, (lua_Number)ns * 1e-6);
    lua_setfield(L, -2, name);
}

/* Of a stream they change until it ends. */
static int push_timings(lua_State *L, pn_response *r) {
    const pn_http_timings *t = &r->timings;
    if (!r->is_inline) {
        lua_getiuservalue(L, 1, VALUE_BODY);
        const pn_transfer *transfer = pn_download_test(L, -1);
        if (transfer != NULL) t = &transfer->call.timings;
    }
    lua_createtable(L, 0, 7);
    set_ms(L, "blocked", t->blocked_ns);
    set_ms(L, "connecting", t->connecting_ns);
    set_ms(L, "tls_handshaking", t->tls_handshaking_ns);
    set_ms(L, "sending", t->sending_ns);
    set_ms(L, "waiting", t->waiting_ns);
    set_ms(L, "receiving", t->receiving_ns);
    set_ms(L, "duration", pn_http_duration_ns(t));
    return 1;
}

static int push_body_size(lua_State *L, pn_response *r) {
    uint64_t bytes = r->body_bytes;
    if (!r->is_inline) {
        lua_getiuservalue(L, 1, VALUE_BODY);
        const pn_transfer *transfer = pn_download_test(L, -1);
        if (transfer != NULL) bytes = transfer->call.response.body_bytes;
    }
    lua_pushinteger(L, (lua_Integer)bytes);
    return 1;
}

typedef struct field {
    const char *name;
    int (*push)(lua_State *L, pn_response *r);
} field;

static const field fields[] = {
    {"status", push_status},
    {"body", push_body},
    {"headers", push_headers},
    {"timings", push_timings},
    {"error", push_error},
    {"error_code", push_error_code},
    {"url", push_url},
    {"proto", push_proto},
    {"tls_version", push_tls_version},
    {"status_text", push_status_text},
    {"body_size", push_body_size},
    {NULL, NULL},
};

static pn_response *check_response(lua_State *L) {
    return luaL_checkudata(L, 1, PN_RESPONSE_CLASS);
}

/* res:json([path]) */
static int l_json(lua_State *L) {
    pn_response *r = check_response(L);
    size_t path_size, size;
    const char *path = luaL_optlstring(L, 2, "", &path_size);
    if (r->err != 0) return pn_push_error(L, r->err, "%.*s", (int)r->error_size, error_of(r));
    int count = push_body(L, r);
    if (r->body_err != 0) return pn_push_error(L, r->body_err, NULL);
    if (count == 0 || lua_type(L, -1) != LUA_TSTRING)
        return luaL_error(L, "json: the body is a stream");
    const char *text = lua_tolstring(L, -1, &size);
    return pn_json_decode_at(L, text, size, path, path_size, NULL);
}

/* Lets a large body go that nobody wants; a stream's connection with it. */
static int l_close(lua_State *L) {
    check_response(L);
    if (lua_getiuservalue(L, 1, VALUE_BODY) != LUA_TUSERDATA) return 0;
    pn_flow *flow = pn_flow_test(L, -1);
    if (flow != NULL) {
        flow->class->close(flow, NULL, 0);
        return 0;
    }
    pn_transfer **box = luaL_checkudata(L, -1, BODY_CLASS);
    lua_pushliteral(L, "");
    lua_setiuservalue(L, 1, VALUE_BODY);
    pn_transfer_destroy(*box);
    *box = NULL;
    return 0;
}

/* api: http */
static const luaL_Reg response_methods[] = {{"json", l_json}, {"close", l_close}, {NULL, NULL}};

static int response_index(lua_State *L) {
    pn_response *r = check_response(L);
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *key = lua_tostring(L, 2);
    for (const field *f = fields; f->name != NULL; f++) {
        if (strcmp(f->name, key) == 0) return f->push(L, r);
    }
    for (const luaL_Reg *m = response_methods; m->name != NULL; m++) {
        if (strcmp(m->name, key) != 0) continue;
        lua_pushcfunction(L, m->func);
        return 1;
    }
    return 0;
}

static int response_tostring(lua_State *L) {
    pn_response *r = check_response(L);
    if (r->err == 0) {
        lua_pushfstring(L, "response: %d", r->status);
    } else {
        lua_pushliteral(L, "response: ");
        lua_pushlstring(L, error_of(r), r->error_size);
        lua_concat(L, 2);
    }
    return 1;
}

/* api: http */
static const luaL_Reg response_metamethods[] = {
    {"__index", response_index},
    {"__close", l_close},
    {"__tostring", response_tostring},
    {NULL, NULL},
};

const pn_class pn_class_response = {PN_RESPONSE_CLASS, response_methods, response_metamethods};
