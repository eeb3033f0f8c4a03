/*
 * A request as its handler sees it. The target and the headers are copied into the object, and the
 * body when it is small, so they stay when the request has been answered; a large body can be read
 * until then.
 */
#include "bind/http_serve.h"

#include "lua/json_value.h"
#include "net/http_headers.h"
#include "net/url.h"

#define INLINE_BYTES_MAX 4096 /* of a body */

enum { VALUE_BODY = 1, VALUE_HEADERS, VALUE_PARAMS, VALUE_QUERY, VALUES = VALUE_QUERY };

struct pn_served {
    pn_incoming *in; /* NULL: over */
    uint64_t body_bytes;
    uint32_t target_size, path_at, path_size, headers_size; /* the parts of `text`, then the body */
    uint8_t method, minor;
    bool is_inline; /* the body lies here */
    char text[];
};

static pn_served *check_request(lua_State *L) { return luaL_checkudata(L, 1, PN_REQUEST_CLASS); }

static char *headers_of(pn_served *r) { return r->text + r->target_size; }

static char *body_of(pn_served *r) { return headers_of(r) + r->headers_size; }

static void copy_body(const pn_http_message *message, char *to) {
    const pn_slice *cursor = NULL;
    pn_text piece;
    while (pn_http_message_next_piece(message, &cursor, &piece)) {
        memcpy(to, piece.at, piece.size);
        to += piece.size;
    }
}

/* Pushes what the encoded text means; what is no encoding stays as it came. */
static void push_decoded(lua_State *L, pn_text text, bool plus_is_space) {
    pn_buf *scratch = &pn_http_service_of(L)->text;
    pn_buf_clear(scratch);
    if (pn_percent_decode(scratch, text, plus_is_space)) {
        lua_pushlstring(L, scratch->data, scratch->size);
    } else {
        if (scratch->failed) pn_raise_code(L, PN_ENOMEM);
        lua_pushlstring(L, text.at, text.size);
    }
}

/* Made with the object, which is on top: the route's match goes with the exchange. */
static void keep_params(lua_State *L, pn_incoming *in) {
    pn_text name, value;
    if (!pn_http_exchange_param_at(in->x, 0, &name, &value)) return;
    lua_newtable(L);
    for (uint32_t i = 0; pn_http_exchange_param_at(in->x, i, &name, &value); i++) {
        lua_pushlstring(L, name.at, name.size);
        push_decoded(L, value, false);
        lua_rawset(L, -3);
    }
    lua_setiuservalue(L, -2, VALUE_PARAMS);
}

void pn_served_push(lua_State *L, pn_incoming *in) {
    const pn_http_message *message = pn_http_exchange_request(in->x);
    pn_text target = pn_http_exchange_target(in->x), path = pn_http_exchange_path(in->x);
    pn_text headers = pn_http_message_headers(message);
    bool is_inline = in->intake == NULL && message->body_bytes <= INLINE_BYTES_MAX;
    size_t body_size = is_inline ? message->body_bytes : 0;
    size_t size = target.size + headers.size + body_size;
    pn_served *r = lua_newuserdatauv(L, sizeof *r + size, VALUES);
    *r = (pn_served){
        .in = in,
        .body_bytes = message->body_bytes,
        .target_size = (uint32_t)target.size,
        .path_at = (uint32_t)(path.at - target.at),
        .path_size = (uint32_t)path.size,
        .headers_size = (uint32_t)headers.size,
        .method = message->head.method,
        .minor = message->head.minor,
        .is_inline = is_inline,
    };
    memcpy(r->text, target.at, target.size);
    if (headers.size > 0) memcpy(headers_of(r), headers.at, headers.size);
    if (is_inline) copy_body(message, body_of(r));
    pn_push_class(L, PN_REQUEST_CLASS);
    lua_setmetatable(L, -2);
    keep_params(L, in);
    in->request = r;
}

void pn_served_detach(pn_served *r) {
    r->in->request = NULL;
    r->in = NULL;
}

/* ---- the body ---- */

static pn_incoming *live_of(lua_State *L, const pn_served *r) {
    if (r->in == NULL || r->in->x == NULL) luaL_error(L, "body: the request has been answered");
    return r->in;
}

static void gather(lua_State *L, const pn_http_message *message) {
    pn_text view;
    if (pn_http_message_view(message, &view)) {
        lua_pushlstring(L, view.at, view.size);
        return;
    }
    luaL_Buffer text;
    copy_body(message, luaL_buffinitsize(L, &text, message->body_bytes));
    luaL_pushresultsize(&text, message->body_bytes);
}

static int push_body(lua_State *L, pn_served *r) {
    if (lua_getiuservalue(L, 1, VALUE_BODY) != LUA_TNIL) return 1;
    if (r->is_inline) {
        lua_pushlstring(L, body_of(r), r->body_bytes);
    } else if (live_of(L, r)->intake != NULL) {
        pn_intake_push(L, r->in);
    } else {
        gather(L, pn_http_exchange_request(r->in->x));
    }
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_BODY);
    return 1;
}

/* req:json([path]) */
static int l_json(lua_State *L) {
    pn_served *r = check_request(L);
    size_t path_size, size;
    const char *path = luaL_optlstring(L, 2, "", &path_size);
    push_body(L, r);
    if (lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "json: the body is a stream");
    const char *text = lua_tolstring(L, -1, &size);
    return pn_json_decode_at(L, text, size, path, path_size, NULL);
}

/* ---- the other fields ---- */

static int push_method(lua_State *L, pn_served *r) {
    lua_pushstring(L, pn_http_method_name(r->method));
    return 1;
}

static int push_path(lua_State *L, pn_served *r) {
    lua_pushlstring(L, r->text + r->path_at, r->path_size);
    return 1;
}

static int push_target(lua_State *L, pn_served *r) {
    lua_pushlstring(L, r->text, r->target_size);
    return 1;
}

static int push_headers(lua_State *L, pn_served *r) {
    if (lua_getiuservalue(L, 1, VALUE_HEADERS) != LUA_TNIL) return 1;
    pn_http_push_headers(L, pn_text_make(headers_of(r), r->headers_size));
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_HEADERS);
    return 1;
}

static int push_params(lua_State *L, pn_served *r) {
    (void)r;
    if (lua_getiuservalue(L, 1, VALUE_PARAMS) != LUA_TNIL) return 1;
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_PARAMS);
    return 1;
}

/* Stack: table, name, value. A name that comes again makes a list. */
static void add_field(lua_State *L) {
    lua_pushvalue(L, -2);
    int type = lua_rawget(L, -4);
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        lua_rawset(L, -3);
        return;
    }
    if (type == LUA_TTABLE) { /* table, name, value, list */
        lua_insert(L, -2);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        lua_pop(L, 2);
        return;
    }
    lua_createtable(L, 2, 0); /* table, name, value, first, list */
    lua_insert(L, -3);
    lua_rawseti(L, -3, 1);
    lua_rawseti(L, -2, 2);
    lua_rawset(L, -3);
}

static int push_query(lua_State *L, pn_served *r) {
    if (lua_getiuservalue(L, 1, VALUE_QUERY) != LUA_TNIL) return 1;
    lua_newtable(L);
    const char *end = r->text + r->target_size, *at = r->text + r->path_at + r->path_size;
    pn_text query = pn_text_make(at, (size_t)(end - at)), name, value;
    const char *fragment = memchr(query.at, '#', query.size);
    if (fragment != NULL) query.size = (size_t)(fragment - query.at);
    if (query.size > 0) { /* '?' */
        query.at++;
        query.size--;
    }
    while (pn_form_next(&query, &name, &value)) {
        push_decoded(L, name, true);
        push_decoded(L, value, true);
        add_field(L);
    }
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, VALUE_QUERY);
    return 1;
}

static int push_proto(lua_State *L, pn_served *r) {
    lua_pushstring(L, r->minor == 0 ? "HTTP/1.0" : "HTTP/1.1");
    return 1;
}

static int push_peer(lua_State *L, pn_served *r) {
    char peer[64];
    if (r->in == NULL || r->in->x == NULL) return 0;
    lua_pushstring(L, pn_http_exchange_peer(r->in->x, peer));
    return 1;
}

typedef struct field {
    const char *name;
    int (*push)(lua_State *L, pn_served *r);
} field;

static const field fields[] = {
    {"method", push_method}, {"path", push_path},
    {"params", push_params}, {"query", push_query},
    {"body", push_body},     {"headers", push_headers},
    {"target", push_target}, {"proto", push_proto},
    {"peer", push_peer},     {NULL, NULL},
};

/* api: http */
static const luaL_Reg request_methods[] = {{"json", l_json}, {NULL, NULL}};

static int request_index(lua_State *L) {
    pn_served *r = check_request(L);
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *key = lua_tostring(L, 2);
    for (const field *f = fields; f->name != NULL; f++) {
        if (strcmp(f->name, key) == 0) return f->push(L, r);
    }
    if (strcmp(key, "json") != 0) return 0;
    lua_pushcfunction(L, l_json);
    return 1;
}

static int request_tostring(lua_State *L) {
    pn_served *r = check_request(L);
    lua_pushfstring(L, "request: %s ", pn_http_method_name(r->method));
    push_path(L, r);
    lua_concat(L, 2);
    return 1;
}

/* api: http */
static const luaL_Reg request_metamethods[] = {
    {"__index", request_index},
    {"__tostring", request_tostring},
    {NULL, NULL},
};

const pn_class pn_class_http_request = {PN_REQUEST_CLASS, request_methods, request_metamethods};
