/*
 * What a script asks for: its options read, the body made, the request found by content or built.
 *
 * Reading is one walk over the table; values that are tables or texts are kept in fixed places of
 * the stack. Bodies are made first and become Lua strings. From then on no Lua memory is taken
 * until the request is there, so no finalizer can run and use the worker's scratch buffers in
 * between.
 */
#include "bind/http.h"

#include "base/version.h"
#include "lua/args.h"
#include "lua/json_value.h"
#include "net/http_headers.h"
#include "net/url.h"

#define REDIRECTS_MAX 100
#define USER_AGENT    "perilune/" PN_VERSION

/* ---- reading ---- */

typedef struct known_option {
    const char *name;
    int slot;                                       /* where its value goes; 0: */
    void (*read)(lua_State *L, pn_http_plan *plan); /* the value is on top */
} known_option;

static void read_timeouts(lua_State *L, pn_http_plan *plan) {
    static const char *const known[] = {"connect", "first_byte", "total", NULL};
    if (lua_type(L, -1) != LUA_TTABLE) {
        plan->timeout_ns = pn_option_duration(L, -1, "timeout");
        plan->has_timeout = true;
        return;
    }
    int table = lua_gettop(L);
    pn_check_options(L, table, known);
    plan->connect_timeout_ns = pn_field_duration(L, table, "connect", plan->connect_timeout_ns);
    plan->first_byte_timeout_ns =
        pn_field_duration(L, table, "first_byte", plan->first_byte_timeout_ns);
    plan->has_timeout = lua_getfield(L, table, "total") != LUA_TNIL;
    if (plan->has_timeout) plan->timeout_ns = pn_option_duration(L, -1, "total");
    lua_pop(L, 1);
}

static void read_redirects(lua_State *L, pn_http_plan *plan) {
    plan->redirects_max = (uint32_t)pn_option_integer(L, -1, "redirects", 0, REDIRECTS_MAX);
}

static void read_body_limit(lua_State *L, pn_http_plan *plan) {
    plan->body_limit_bytes = pn_option_size(L, -1, "body_limit");
}

static void read_stream(lua_State *L, pn_http_plan *plan) {
    if (lua_type(L, -1) != LUA_TBOOLEAN) pn_field_error(L, "stream", "a boolean", -1);
    plan->streams = lua_toboolean(L, -1);
}

static void note_json(lua_State *L, pn_http_plan *plan) {
    (void)L;
    plan->has_json = true;
}

static const known_option options[] = {
    {"auth", PN_HTTP_SLOT_AUTH, NULL},      {"body", PN_HTTP_SLOT_BODY, NULL},
    {"body_limit", 0, read_body_limit},     {"cookies", PN_HTTP_SLOT_COOKIES, NULL},
    {"form", PN_HTTP_SLOT_FORM, NULL},      {"headers", PN_HTTP_SLOT_HEADERS, NULL},
    {"json", PN_HTTP_SLOT_JSON, note_json}, {"name", PN_HTTP_SLOT_NAME, NULL},
    {"proxy", PN_HTTP_SLOT_PROXY, NULL},    {"query", PN_HTTP_SLOT_QUERY, NULL},
    {"redirects", 0, read_redirects},       {"resolve", PN_HTTP_SLOT_RESOLVE, NULL},
    {"socket", PN_HTTP_SLOT_SOCKET, NULL},  {"stream", 0, read_stream},
    {"tags", PN_HTTP_SLOT_TAGS, NULL},      {"timeout", 0, read_timeouts},
    {"tls", PN_HTTP_SLOT_TLS, NULL},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

static _Noreturn void refuse_option(lua_State *L, const char *key) {
    const char *names[OPTION_COUNT + 1] = {NULL};
    for (size_t i = 0; i < OPTION_COUNT; i++) names[i] = options[i].name;
    pn_unknown_option(L, key, names);
}

static const known_option *find_option(lua_State *L) {
    if (lua_type(L, -2) != LUA_TSTRING) {
        luaL_error(L, "bad option: a %s as key (options are named)", luaL_typename(L, -2));
    }
    const char *key = lua_tostring(L, -2);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(options[i].name, key) == 0) return &options[i];
    }
    refuse_option(L, key);
}

static void read_options(lua_State *L, pn_http_plan *plan) {
    luaL_checktype(L, PN_HTTP_SLOT_OPTIONS, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, PN_HTTP_SLOT_OPTIONS) != 0) {
        const known_option *o = find_option(L);
        if (o->slot != 0) lua_copy(L, -1, o->slot);
        if (o->read != NULL) o->read(L, plan);
        lua_pop(L, 1);
    }
}

/* ---- the body ---- */

static void encode_json(lua_State *L) {
    if (pn_json_encode(L, PN_HTTP_SLOT_JSON, &(pn_json_style){0}) != 1) {
        luaL_error(L, "option 'json': %s", lua_tostring(L, -2));
    }
    lua_replace(L, PN_HTTP_SLOT_BODY);
    lua_settop(L, PN_HTTP_SLOT_LAST);
}

static void encode_form(lua_State *L) {
    pn_http_service *s = pn_http_service_of(L);
    pn_http_fields fields;
    pn_http_fields_read(L, PN_HTTP_SLOT_FORM, "form", &fields);
    pn_buf_clear(&s->text);
    if (!pn_http_fields_write_form(&fields, &s->text)) pn_raise_code(L, PN_ENOMEM);
    lua_pushlstring(L, s->text.data, s->text.size);
    lua_replace(L, PN_HTTP_SLOT_BODY);
}

static bool is_callable(lua_State *L, int index) {
    if (lua_isfunction(L, index)) return true;
    if (luaL_getmetafield(L, index, "__call") == LUA_TNIL) return false;
    lua_pop(L, 1);
    return true;
}

static void make_body(lua_State *L, pn_http_plan *plan) {
    bool has_body = !lua_isnil(L, PN_HTTP_SLOT_BODY), has_form = !lua_isnil(L, PN_HTTP_SLOT_FORM);
    if (has_body + has_form + plan->has_json > 1) {
        luaL_error(L, "options 'body', 'json' and 'form' exclude each other");
    }
    plan->body = PN_HTTP_BODY_IS_TEXT;
    if (plan->has_json) {
        encode_json(L);
        plan->content_type = "application/json";
    } else if (has_form) {
        encode_form(L);
        plan->content_type = "application/x-www-form-urlencoded";
    } else if (!has_body) {
        plan->body = PN_HTTP_BODY_IS_NONE;
    } else if (lua_type(L, PN_HTTP_SLOT_BODY) != LUA_TSTRING) {
        plan->body = PN_HTTP_BODY_IS_PRODUCER;
        if (is_callable(L, PN_HTTP_SLOT_BODY)) return;
        pn_field_error(L, "body", "a string, or a function or stream that gives pieces",
                       PN_HTTP_SLOT_BODY);
    }
}

void pn_http_plan_read(lua_State *L, pn_http_plan *plan, pn_text method) {
    *plan = (pn_http_plan){
        .method = method,
        .timeout_ns = PN_HTTP_TIMEOUT_NS,
        .connect_timeout_ns = PN_HTTP_CONNECT_TIMEOUT_NS,
        .body_limit_bytes = PN_HTTP_BODY_LIMIT_BYTES,
        .redirects_max = PN_HTTP_REDIRECTS_MAX,
        .upload_size = UINT64_MAX,
    };
    plan->has_options = !lua_isnil(L, PN_HTTP_SLOT_OPTIONS);
    if (!plan->has_options) return;
    luaL_checkstack(L, PN_HTTP_SLOT_LAST + 12, NULL);
    lua_settop(L, PN_HTTP_SLOT_LAST);
    read_options(L, plan);
    if (plan->streams && !plan->has_timeout) {
        /* How long a stream lasts is its reader's business, but not how long its head takes. */
        if (plan->first_byte_timeout_ns == 0) plan->first_byte_timeout_ns = plan->timeout_ns;
        plan->timeout_ns = 0;
    }
    plan->has_tags = pn_http_tags_check(L);
    make_body(L, plan);
}

/* ---- the content of a request, in one text ---- */

/* The text begins with this. What the pointers lead to lives as long as a request refers to it, so
 * two equal ones are the same while it is in the cache. */
typedef struct key_head {
    const pn_tls *tls;
    const pn_dns *dns;
    uint32_t method_size, url_size, lines_size, socket_size;
    int64_t proxy_size; /* -1: the client's */
} key_head;

typedef struct draft {
    pn_http_service *service;
    pn_buf *key;
    key_head head;
    pn_tls *tls;
    pn_dns *dns;
} draft;

static pn_text text_at(lua_State *L, int slot, const char *option) {
    if (lua_isnil(L, slot)) return PN_TEXT_NONE;
    if (lua_type(L, slot) != LUA_TSTRING) pn_field_error(L, option, "a string", slot);
    size_t size;
    const char *text = lua_tolstring(L, slot, &size);
    return pn_text_make(text, size);
}

static void add_query(lua_State *L, draft *d, bool has_query) {
    pn_buf_add_byte(d->key, has_query ? '&' : '?');
    if (lua_type(L, PN_HTTP_SLOT_QUERY) == LUA_TTABLE) {
        pn_http_fields fields;
        pn_http_fields_read(L, PN_HTTP_SLOT_QUERY, "query", &fields);
        pn_http_fields_write_form(&fields, d->key);
    } else {
        if (lua_type(L, PN_HTTP_SLOT_QUERY) != LUA_TSTRING) {
            pn_field_error(L, "query", "a table or a string", PN_HTTP_SLOT_QUERY);
        }
        pn_text text = text_at(L, PN_HTTP_SLOT_QUERY, "query");
        pn_buf_add(d->key, text.at, text.size);
    }
}

static void add_url(lua_State *L, const pn_http_plan *plan, draft *d) {
    size_t size, start = d->key->size;
    const char *url = lua_tolstring(L, PN_HTTP_SLOT_URL, &size);
    if (plan->has_options && !lua_isnil(L, PN_HTTP_SLOT_QUERY)) {
        const char *fragment = memchr(url, '#', size);
        if (fragment != NULL) size = (size_t)(fragment - url);
        pn_buf_add(d->key, url, size);
        add_query(L, d, memchr(url, '?', size) != NULL);
    } else {
        pn_buf_add(d->key, url, size);
    }
    d->head.url_size = (uint32_t)(d->key->size - start);
}

/* ---- header lines ---- */

typedef struct seen {
    bool agent, type, auth, cookie;
} seen;

static void note_length(lua_State *L, pn_http_plan *plan, pn_text value) {
    if (plan->body != PN_HTTP_BODY_IS_PRODUCER) {
        luaL_error(L, "option 'headers': Content-Length follows from the body");
    }
    if (!pn_text_to_u64(value, &plan->upload_size) || plan->upload_size == UINT64_MAX) {
        luaL_error(L, "option 'headers': Content-Length must be a number");
    }
}

static void add_header(lua_State *L, pn_http_plan *plan, draft *d, const pn_http_field *field,
                       seen *has) {
    pn_text name = field->name;
    if (!pn_http_headers_valid(name, field->value)) {
        luaL_error(L, "option 'headers': '%s' has a name or a value that cannot be sent", name.at);
    }
    if (pn_text_equal_nocase(name, PN_TEXT("content-length"))) {
        note_length(L, plan, field->value);
        return;
    }
    has->agent |= pn_text_equal_nocase(name, PN_TEXT("user-agent"));
    has->type |= pn_text_equal_nocase(name, PN_TEXT("content-type"));
    has->auth |= pn_text_equal_nocase(name, PN_TEXT("authorization"));
    has->cookie |= pn_text_equal_nocase(name, PN_TEXT("cookie"));
    pn_http_headers_add(d->key, name, field->value);
}

static void add_headers(lua_State *L, pn_http_plan *plan, draft *d, seen *has) {
    pn_http_fields fields;
    pn_http_fields_read(L, PN_HTTP_SLOT_HEADERS, "headers", &fields);
    for (size_t i = 0; i < fields.count; i++) {
        add_header(L, plan, d, pn_http_fields_get(&fields, i), has);
    }
}

static void split_auth(lua_State *L, pn_text *user, pn_text *password) {
    pn_text text;
    text.at = lua_tolstring(L, PN_HTTP_SLOT_AUTH, &text.size);
    const char *colon = memchr(text.at, ':', text.size);
    if (colon == NULL) luaL_error(L, "option 'auth': \"user:password\" has no colon");
    *user = pn_text_make(text.at, (size_t)(colon - text.at));
    *password = pn_text_make(colon + 1, text.size - user->size - 1);
}

static void add_auth(lua_State *L, draft *d) {
    static const char *const expected = "\"user:password\" or { user, password }";
    pn_text user, password;
    if (lua_type(L, PN_HTTP_SLOT_AUTH) == LUA_TTABLE) {
        lua_rawgeti(L, PN_HTTP_SLOT_AUTH, 1);
        lua_rawgeti(L, PN_HTTP_SLOT_AUTH, 2);
        if (lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING) {
            pn_field_error(L, "auth", expected, PN_HTTP_SLOT_AUTH);
        }
        user.at = lua_tolstring(L, -2, &user.size);
        password.at = lua_tolstring(L, -1, &password.size);
        lua_pop(L, 2); /* the table holds them */
    } else if (lua_type(L, PN_HTTP_SLOT_AUTH) == LUA_TSTRING) {
        split_auth(L, &user, &password);
    } else {
        pn_field_error(L, "auth", expected, PN_HTTP_SLOT_AUTH);
    }
    if (memchr(user.at, ':', user.size) != NULL)
        luaL_error(L, "option 'auth': a colon in the user");
    pn_buf_add_text(d->key, "Authorization: ");
    pn_http_add_basic_auth(d->key, user, password);
    pn_buf_add_text(d->key, "\r\n");
}

/* RFC 6265, 4.1.1, but for spaces, commas, quotes and backslashes, which servers are sent
 * anyway. */
static bool is_cookie(const pn_http_field *field) {
    if (!pn_http_headers_valid(field->name, field->value)) return false;
    return memchr(field->value.at, ';', field->value.size) == NULL;
}

static void add_cookies(lua_State *L, draft *d) {
    pn_http_fields fields;
    pn_http_fields_read(L, PN_HTTP_SLOT_COOKIES, "cookies", &fields);
    for (size_t i = 0; i < fields.count; i++) {
        const pn_http_field *field = pn_http_fields_get(&fields, i);
        if (!is_cookie(field)) {
            luaL_error(L, "option 'cookies': '%s' has a name or a value that cannot be sent",
                       field->name.at);
        }
        pn_buf_add_text(d->key, i == 0 ? "Cookie: " : "; ");
        pn_buf_add(d->key, field->name.at, field->name.size);
        pn_buf_add_byte(d->key, '=');
        pn_buf_add(d->key, field->value.at, field->value.size);
    }
    if (fields.count > 0) pn_buf_add_text(d->key, "\r\n");
}

static void refuse_two(lua_State *L, bool has, const char *option, const char *header) {
    if (has) luaL_error(L, "option '%s' and the header %s exclude each other", option, header);
}

static void add_option_lines(lua_State *L, pn_http_plan *plan, draft *d, seen *has) {
    if (!lua_isnil(L, PN_HTTP_SLOT_HEADERS)) add_headers(L, plan, d, has);
    if (!lua_isnil(L, PN_HTTP_SLOT_AUTH)) {
        refuse_two(L, has->auth, "auth", "Authorization");
        add_auth(L, d);
    }
    if (!lua_isnil(L, PN_HTTP_SLOT_COOKIES)) {
        refuse_two(L, has->cookie, "cookies", "Cookie");
        add_cookies(L, d);
    }
    if (plan->content_type != NULL && !has->type) {
        pn_http_headers_add(d->key, PN_TEXT("Content-Type"), pn_text_of(plan->content_type));
    }
}

static void add_lines(lua_State *L, pn_http_plan *plan, draft *d) {
    seen has = {false, false, false, false};
    size_t start = d->key->size;
    if (plan->has_options) add_option_lines(L, plan, d, &has);
    if (!has.agent) pn_buf_add_text(d->key, "User-Agent: " USER_AGENT "\r\n");
    d->head.lines_size = (uint32_t)(d->key->size - start);
}

static void add_route(lua_State *L, draft *d) {
    pn_text socket = text_at(L, PN_HTTP_SLOT_SOCKET, "socket");
    pn_buf_add(d->key, socket.at, socket.size);
    d->head.socket_size = (uint32_t)socket.size;
    if (lua_type(L, PN_HTTP_SLOT_PROXY) == LUA_TBOOLEAN && !lua_toboolean(L, PN_HTTP_SLOT_PROXY)) {
        d->head.proxy_size = 0;
        return;
    }
    pn_text proxy = text_at(L, PN_HTTP_SLOT_PROXY, "proxy");
    if (proxy.at == NULL) return;
    pn_buf_add(d->key, proxy.at, proxy.size);
    d->head.proxy_size = (int64_t)proxy.size;
}

static int write_key(lua_State *L, pn_http_plan *plan, draft *d) {
    pn_buf_clear(d->key);
    d->head.proxy_size = -1;
    d->head.tls = d->tls;
    d->head.dns = d->dns;
    pn_buf_add(d->key, &d->head, sizeof d->head);
    pn_buf_add(d->key, plan->method.at, plan->method.size);
    d->head.method_size = (uint32_t)plan->method.size;
    add_url(L, plan, d);
    add_lines(L, plan, d);
    if (plan->has_options) add_route(L, d);
    if (d->key->failed) return PN_ENOMEM;
    memcpy(d->key->data, &d->head, sizeof d->head);
    return 0;
}

/* ---- what the content refers to ---- */

static int add_overrides(lua_State *L, pn_dns *dns, const pn_http_fields *fields) {
    for (size_t i = 0; i < fields->count; i++) {
        const pn_http_field *field = pn_http_fields_get(fields, i);
        int err = pn_dns_add_override(dns, field->name, field->value);
        if (err == PN_ENOMEM) return err;
        if (err != 0) {
            pn_dns_release(dns);
            luaL_error(L, "option 'resolve': cannot understand '%s' = '%s'", field->name.at,
                       field->value.at);
        }
    }
    return 0;
}

/* A resolver with the overrides of the table. */
static int find_resolver(lua_State *L, draft *d) {
    pn_http_service *s = d->service;
    pn_http_fields fields;
    pn_http_fields_read(L, PN_HTTP_SLOT_RESOLVE, "resolve", &fields);
    pn_buf_clear(d->key);
    for (size_t i = 0; i < fields.count; i++) {
        const pn_http_field *field = pn_http_fields_get(&fields, i);
        pn_http_headers_add(d->key, field->name, field->value);
    }
    if (d->key->failed) return PN_ENOMEM;
    d->dns = pn_cache_get(&s->resolvers, d->key->data, d->key->size);
    if (d->dns != NULL) return 0;
    d->dns = pn_dns_create(s->io, NULL);
    if (d->dns == NULL) return PN_ENOMEM;
    int err = add_overrides(L, d->dns, &fields);
    if (err == 0) err = pn_cache_put(&s->resolvers, d->key->data, d->key->size, d->dns);
    if (err != 0) pn_dns_release(d->dns);
    return err;
}

static int find_references(lua_State *L, draft *d, const char **why) {
    if (!lua_isnil(L, PN_HTTP_SLOT_RESOLVE)) {
        int err = find_resolver(L, d);
        if (err != 0) return err;
    }
    if (lua_isnil(L, PN_HTTP_SLOT_TLS)) return 0;
    if (!lua_istable(L, PN_HTTP_SLOT_TLS)) pn_field_error(L, "tls", "a table", PN_HTTP_SLOT_TLS);
    return pn_http_tls_find(L, d->service, PN_HTTP_SLOT_TLS, false, &d->tls, why);
}

/* ---- building ---- */

static pn_text take(const char **at, size_t size) {
    pn_text text = pn_text_make(*at, size);
    *at += size;
    return text;
}

/* From the content. */
static int build(draft *d, pn_http_request **request, const char **why) {
    pn_http_header headers[PN_HTTP_FIELDS_MAX + 4]; /* and Authorization, Cookie, type, agent */
    const key_head *head = &d->head;
    const char *at = d->key->data + sizeof *head;
    pn_http_request_options o = {.headers = headers, .tls = d->tls, .dns = d->dns};
    o.method = take(&at, head->method_size);
    o.url = take(&at, head->url_size);
    pn_text lines = take(&at, head->lines_size);
    if (head->socket_size > 0) o.socket_path = take(&at, head->socket_size);
    if (head->proxy_size >= 0) o.proxy = take(&at, (size_t)head->proxy_size);
    while (pn_http_headers_next(&lines, &headers[o.header_count].name,
                                &headers[o.header_count].value)) {
        o.header_count++;
    }
    return pn_http_request_create(d->service->client, &o, request, why);
}

static int find_request(draft *d, pn_http_request **request, const char **why) {
    pn_cache *cache = &d->service->requests;
    *request = pn_cache_get(cache, d->key->data, d->key->size);
    if (PN_LIKELY(*request != NULL)) {
        pn_http_request_grab(*request);
        return 0;
    }
    int err = build(d, request, why);
    if (err != 0 || d->key->size > PN_HTTP_KEY_BYTES_MAX) return err;
    pn_http_request_grab(*request);
    if (pn_cache_put(cache, d->key->data, d->key->size, *request) != 0) {
        pn_http_request_release(*request); /* it is not remembered, but it is there */
    }
    return 0;
}

int pn_http_plan_request(lua_State *L, pn_http_plan *plan, pn_http_request **request,
                         const char **why) {
    pn_http_service *s = pn_http_service_of(L);
    draft d = {.service = s, .key = &s->key};
    int err = 0;
    *why = "";
    if (plan->has_options) err = find_references(L, &d, why);
    if (err == 0) err = write_key(L, plan, &d);
    if (err == 0) err = find_request(&d, request, why);
    if (err == PN_ENOMEM) pn_raise_code(L, err);
    if (err == PN_EBAD_VALUE) luaL_error(L, "%s", *why);
    return err;
}
