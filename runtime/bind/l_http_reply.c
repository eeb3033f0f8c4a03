/* The answer of a handler: all at once, in pieces, or as server-sent events. */
#include "bind/http_serve.h"

#include "lua/args.h"
#include "lua/json_value.h"
#include "net/http_headers.h"

enum { VALUE_STREAM = 1, VALUES = VALUE_STREAM }; /* the flow lives as long as its reply */

struct pn_answer {
    pn_incoming *in; /* first; NULL: over */
};

void pn_answer_push(lua_State *L, pn_incoming *in) {
    pn_answer *reply = lua_newuserdatauv(L, sizeof *reply, VALUES);
    reply->in = NULL;
    pn_push_class(L, PN_REPLY_CLASS);
    lua_setmetatable(L, -2);
    reply->in = in;
    in->reply = reply;
}

void pn_answer_detach(pn_answer *reply) {
    reply->in->reply = NULL;
    reply->in = NULL;
}

/* The one that can still be answered. */
static pn_incoming *check_reply(lua_State *L) {
    pn_answer *reply = luaL_checkudata(L, 1, PN_REPLY_CLASS);
    if (reply->in == NULL || reply->in->has_begun)
        luaL_error(L, "the request has been answered already");
    return reply->in;
}

/* ---- heads ---- */

typedef struct head {
    unsigned status;
    size_t count;
    pn_http_header headers[PN_HTTP_FIELDS_MAX + 1]; /* and the type */
} head;

static void add_header(lua_State *L, head *h, const pn_http_field *field, bool *has_type) {
    if (!pn_http_headers_valid(field->name, field->value)) {
        luaL_error(L, "headers: '%s' has a name or a value that cannot be sent", field->name.at);
    }
    *has_type |= pn_text_equal_nocase(field->name, PN_TEXT("content-type"));
    h->headers[h->count++] = (pn_http_header){field->name, field->value};
}

/* `fields` holds the texts. */
static void read_head(lua_State *L, int status, int headers, const char *type, head *h,
                      pn_http_fields *fields) {
    int is_integer;
    lua_Integer n = lua_tointegerx(L, status, &is_integer);
    if (!is_integer || n < 200 || n > 999) {
        luaL_error(L, "a status from 200 to 999 expected, got %s", luaL_tolstring(L, status, NULL));
    }
    h->status = (unsigned)n;
    h->count = 0;
    bool has_type = false;
    if (!lua_isnoneornil(L, headers)) {
        pn_http_fields_read(L, headers, "headers", fields);
        for (size_t i = 0; i < fields->count; i++) {
            add_header(L, h, pn_http_fields_get(fields, i), &has_type);
        }
    }
    if (type != NULL && !has_type) {
        h->headers[h->count++] = (pn_http_header){PN_TEXT("Content-Type"), pn_text_of(type)};
    }
}

static _Noreturn void refuse_head(lua_State *L, const head *h) {
    if (h->status == 204 || h->status == 304)
        luaL_error(L, "an answer with status %d has no body", (int)h->status);
    luaL_error(L,
               "headers: Content-Length, Transfer-Encoding and Connection are the server's to say");
    pn_unreachable();
}

/* ---- whole answers ---- */

/* The body at `index` as text, which it replaces; its type. */
static const char *make_body(lua_State *L, int index) {
    switch (lua_type(L, index)) {
    case LUA_TNONE:
    case LUA_TNIL: return NULL;
    case LUA_TSTRING:
    case LUA_TNUMBER: return "text/plain; charset=utf-8";
    case LUA_TTABLE: break;
    default: luaL_error(L, "body: a string or a table expected, got %s", luaL_typename(L, index));
    }
    if (pn_json_encode(L, index, &(pn_json_style){0}) != 1) {
        luaL_error(L, "body: %s", lua_tostring(L, -2));
    }
    lua_replace(L, index);
    return "application/json";
}

static void respond(lua_State *L, pn_incoming *in, int status, int body, int headers,
                    const char *type) {
    head h;
    pn_http_fields fields;
    size_t size = 0;
    const char *text = "";
    if (!lua_isnoneornil(L, body)) text = lua_tolstring(L, body, &size);
    read_head(L, status, headers, type, &h, &fields);
    pn_http_exchange *x = in->x;
    int err = pn_http_exchange_respond(x, h.status, h.headers, h.count, pn_text_make(text, size));
    if (err != 0) refuse_head(L, &h);
    in->has_begun = true;
    pn_incoming_answered(in);
}

void pn_answer_send(lua_State *L, pn_incoming *in, int status, int body, int headers) {
    const char *type = make_body(L, body);
    respond(L, in, status, body, headers, type);
}

/* res:send(status[, body[, headers]]) */
static int l_send(lua_State *L) {
    pn_incoming *in = check_reply(L);
    lua_settop(L, 4);
    pn_answer_send(L, in, 2, 3, 4);
    return 0;
}

/* res:json([status,] value[, headers]) */
static int l_json(lua_State *L) {
    pn_incoming *in = check_reply(L);
    luaL_checkany(L, 2);
    if (lua_gettop(L) == 2) {
        lua_pushinteger(L, 200);
        lua_insert(L, 2);
    }
    lua_settop(L, 4);
    if (pn_json_encode(L, 3, &(pn_json_style){0}) != 1)
        luaL_error(L, "json: %s", lua_tostring(L, -2));
    lua_replace(L, 3);
    respond(L, in, 2, 3, 4, "application/json");
    return 0;
}

/* ---- answers in pieces ---- */

/* Pushes the flow, which the reply keeps. */
static int begin(lua_State *L, pn_incoming *in, const head *h, bool is_events) {
    in->has_begun = true; /* should there be no memory for the flow, the end cuts the connection */
    pn_outflow_push(L, in, is_events);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_STREAM);
    int err = pn_http_exchange_start(in->x, h->status, h->headers, h->count, UINT64_MAX);
    if (err != 0) {
        in->has_begun = false;
        pn_outflow_detach(in);
        refuse_head(L, h);
    }
    return 1;
}

/* res:stream([status[, headers]]) */
static int l_stream(lua_State *L) {
    pn_incoming *in = check_reply(L);
    head h;
    pn_http_fields fields;
    lua_settop(L, 3);
    if (lua_isnil(L, 2)) {
        lua_pushinteger(L, 200);
        lua_replace(L, 2);
    }
    read_head(L, 2, 3, "application/octet-stream", &h, &fields);
    return begin(L, in, &h, false);
}

/* res:sse([headers]) */
static int l_sse(lua_State *L) {
    pn_incoming *in = check_reply(L);
    head h;
    pn_http_fields fields;
    lua_settop(L, 2);
    lua_pushinteger(L, 200);
    read_head(L, 3, 2, "text/event-stream", &h, &fields);
    bool has_cache = false;
    for (size_t i = 0; i < h.count; i++) {
        has_cache |= pn_text_equal_nocase(h.headers[i].name, PN_TEXT("cache-control"));
    }
    if (!has_cache && h.count < PN_HTTP_FIELDS_MAX + 1) {
        h.headers[h.count++] = (pn_http_header){PN_TEXT("Cache-Control"), PN_TEXT("no-store")};
    }
    return begin(L, in, &h, true);
}

/* The end of the handler: as its closing variable. */
static int l_reply_close(lua_State *L) {
    pn_answer *reply = luaL_checkudata(L, 1, PN_REPLY_CLASS);
    if (reply->in == NULL) return 0;
    if (reply->in->request != NULL) pn_served_detach(reply->in->request);
    pn_answer_detach(reply);
    return 0;
}

/* api: http */
static const luaL_Reg reply_methods[] = {
    {"send", l_send}, {"json", l_json}, {"stream", l_stream}, {"sse", l_sse}, {NULL, NULL},
};

/* api: http */
static const luaL_Reg reply_metamethods[] = {{"__close", l_reply_close}, {NULL, NULL}};

const pn_class pn_class_http_reply = {PN_REPLY_CLASS, reply_methods, reply_metamethods};
