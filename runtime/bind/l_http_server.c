/* http.serve: a server of the calling actor. */
#include "bind/http_serve.h"

#include "lua/args.h"
#include "net/url.h"

#define DEFAULT_HOST "127.0.0.1"

enum { VALUE_HANDLERS = 1, VALUE_PLACE, VALUES = VALUE_PLACE };

static pn_server_box *check_server(lua_State *L) { return luaL_checkudata(L, 1, PN_SERVER_CLASS); }

/* ---- the end ---- */

static void free_serving(pn_serving *s) {
    pn_ledger *ledger = &s->worker->ledger;
    pn_http_router_destroy(s->router);
    pn_mem_free(ledger, s, s->block_size);
}

static void wake_acceptor(pn_serving *s) {
    pn_task *task = s->acceptor;
    if (task == NULL) return;
    s->acceptor = NULL;
    pn_task_ready(task, 0);
}

/* The actor has no more to do with it. */
static void let_go(pn_serving *s) {
    if (s->lua == NULL) return;
    pn_handle_forget(&s->handle);
    pn_ledger_charge(&s->lua->actor->ledger, -s->charged_bytes);
    s->lua = NULL;
    if (s->box != NULL) s->box->serving = NULL;
    s->box = NULL;
    wake_acceptor(s); /* which ends */
}

static void on_closed(void *user) {
    pn_serving *s = user;
    let_go(s);
    free_serving(s);
}

/* With the actor, or by who sweeps what a test has left. The end of the last exchange may be the
 * server's, so the requests without a task come last. */
static void close_handle(pn_handle *handle) {
    pn_serving *s = PN_CONTAINER(handle, pn_serving, handle);
    pn_list queued, *link;
    pn_list_init(&queued);
    pn_list_splice(&queued, &s->queue);
    let_go(s);
    pn_http_server_close(s->server, 0);
    while ((link = pn_list_pop(&queued)) != NULL) {
        pn_incoming_destroy(PN_CONTAINER(link, pn_incoming, link));
    }
}

static void begin_close(pn_serving *s, uint64_t grace_ns) {
    if (s == NULL) return;
    s->handle.born = 0; /* nobody has left it open */
    pn_http_server_close(s->server, grace_ns);
}

/* server:close([grace]) */
static int l_close(lua_State *L) {
    pn_server_box *box = check_server(L);
    begin_close(box->serving, pn_opt_duration(L, 2, PN_HTTP_CLOSE_GRACE_NS));
    return 0;
}

static int l_close_variable(lua_State *L) {
    begin_close(check_server(L)->serving, PN_HTTP_CLOSE_GRACE_NS);
    return 0;
}

/* ---- the acceptor ---- */

static void cancel_accept(pn_task *task, void *context) {
    (void)task;
    ((pn_serving *)context)->acceptor = NULL;
}

static int accept_more(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    const pn_server_box *box = lua_touserdata(L, 1);
    for (;;) {
        pn_serving *s = box->serving;
        if (s == NULL) break;
        pn_list *link = pn_list_pop(&s->queue);
        if (link == NULL) {
            pn_task *task = pn_task_current(L);
            s->acceptor = task;
            task->cancel = cancel_accept;
            task->context = s;
            return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, 0, accept_more);
        }
        pn_incoming_begin(L, 1, PN_CONTAINER(link, pn_incoming, link));
    }
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, box);
    return 0;
}

static int accept_requests(lua_State *L) { return accept_more(L, LUA_OK, 0); }

/* Not one of the tasks that a sweeper ends: it goes with its server. */
static void spawn_acceptor(lua_State *L, int box) {
    lua_pushcfunction(L, accept_requests);
    lua_pushvalue(L, box);
    pn_task *task = pn_task_spawn(L, 1);
    task->is_detached = true;
    task->born = 0;
}

/* ---- options ---- */

static const char *const known[] = {
    "host",        "port",       "socket",       "tls",          "routes",       "backlog",
    "body_limit",  "head_limit", "header_limit", "head_timeout", "idle_timeout", "progress_timeout",
    "connections", "name",       NULL,
};

static void read_limits(lua_State *L, pn_http_server_options *o) {
    o->backlog = (int)pn_field_integer(L, 1, "backlog", 1, 65535, 0);
    o->body_bytes_max = pn_field_size(L, 1, "body_limit", 0);
    o->head_bytes_max = (uint32_t)pn_field_size(L, 1, "head_limit", 0);
    o->header_count_max = (uint32_t)pn_field_integer(L, 1, "header_limit", 1, 65535, 0);
    o->head_timeout_ns = pn_field_duration(L, 1, "head_timeout", 0);
    o->idle_timeout_ns = pn_field_duration(L, 1, "idle_timeout", 0);
    o->progress_timeout_ns = pn_field_duration(L, 1, "progress_timeout", 0);
    o->connections_max = (uint32_t)pn_field_integer(L, 1, "connections", 1, UINT32_MAX, 0);
}

static pn_text field_text(lua_State *L, const char *key) {
    return pn_text_of(pn_field_string(L, 1, key, NULL));
}

/* Texts stay on the stack. */
static void read_place(lua_State *L, pn_http_server_options *o) {
    o->host = field_text(L, "host");
    o->socket_path = field_text(L, "socket");
    o->server_name = field_text(L, "name");
    o->port = (uint16_t)pn_field_integer(L, 1, "port", 0, UINT16_MAX, 0);
    if (o->socket_path.at != NULL && o->host.at != NULL) {
        luaL_error(L, "options 'host' and 'socket' exclude each other");
    }
    if (pn_text_equal(o->host, PN_TEXT("localhost"))) o->host = PN_TEXT(DEFAULT_HOST);
}

/* ---- routes ---- */

static size_t count_routes(lua_State *L) {
    size_t count = 0;
    if (lua_getfield(L, 1, "routes") != LUA_TTABLE) pn_field_error(L, "routes", "a table", -1);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "option 'routes': \"METHOD /path\" expected as key");
        count++;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    if (count > PN_HTTP_ROUTES_MAX)
        luaL_error(L, "option 'routes': more than %d", PN_HTTP_ROUTES_MAX);
    return count;
}

/* The value on top, { handler = fn, stream =, body_limit = } or fn: leaves the function instead. */
static void read_route(lua_State *L, const char *pattern, pn_http_handler *handler) {
    static const char *const keys[] = {"handler", "stream", "body_limit", NULL};
    bool streams = false;
    if (lua_type(L, -1) == LUA_TTABLE) {
        int table = lua_gettop(L);
        pn_check_options(L, table, keys);
        streams = pn_field_boolean(L, table, "stream", false);
        handler->body_limit_bytes = pn_field_size(L, table, "body_limit", 0);
        lua_getfield(L, table, "handler");
        lua_remove(L, table);
    }
    if (lua_type(L, -1) != LUA_TFUNCTION) {
        luaL_error(L, "route '%s': a function expected, got %s", pattern, luaL_typename(L, -1));
    }
    pn_incoming_events(handler, streams);
}

static void check_pattern(lua_State *L, const char *pattern) {
    if (strncmp(pattern, "WS ", 3) != 0) return;
    luaL_error(L, "route '%s': WebSockets come with the next version", pattern);
}

/* The functions go to the list at `list`. */
static void add_routes(lua_State *L, pn_serving *s, int list) {
    size_t i = 0;
    lua_getfield(L, 1, "routes");
    int routes = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, routes) != 0) {
        size_t size;
        const char *pattern = lua_tolstring(L, -2, &size), *why;
        check_pattern(L, pattern);
        pn_http_handler *handler = &s->routes[i++];
        handler->user = s;
        read_route(L, pattern, handler);
        lua_rawseti(L, list, (lua_Integer)i);
        int err = pn_http_router_add(s->router, pn_text_make(pattern, size), handler, &why);
        if (err == PN_ENOMEM) pn_raise_code(L, err);
        if (err == PN_EEXISTS) luaL_error(L, "route '%s': another one has the same form", pattern);
        if (err != 0) luaL_error(L, "route '%s': %s", pattern, why);
    }
    lua_pop(L, 1);
}

/* ---- the beginning ---- */

static bool charge(void *owner, int64_t bytes) {
    pn_serving *s = owner;
    if (s->lua == NULL) return true;
    if (!pn_ledger_charge(&s->lua->actor->ledger, bytes)) return false;
    s->charged_bytes += bytes;
    return true;
}

/* Until there is a server, the box frees it; see l_gc. */
static pn_serving *create_serving(lua_State *L, pn_server_box *box, size_t route_count) {
    pn_lua *lua = pn_lua_of(L);
    pn_worker *worker = pn_lua_worker(lua);
    size_t size = sizeof(pn_serving) + route_count * sizeof(pn_http_handler);
    pn_serving *s = pn_mem_try_zeroed(&worker->ledger, size);
    if (s == NULL) pn_raise_code(L, PN_ENOMEM);
    s->worker = worker;
    s->box = box;
    s->route_count = route_count;
    s->block_size = size;
    pn_list_init(&s->queue);
    box->serving = s;
    s->router = pn_http_router_create(&worker->ledger);
    if (s->router == NULL) pn_raise_code(L, PN_ENOMEM);
    return s;
}

static int l_gc(lua_State *L) {
    pn_server_box *box = lua_touserdata(L, 1);
    pn_serving *s = box->serving;
    box->serving = NULL;
    if (s != NULL && s->lua == NULL) free_serving(s); /* it was not opened */
    return 0;
}

static int open_server(lua_State *L, pn_serving *s, pn_http_server_options *o) {
    o->router = s->router;
    o->on_closed = on_closed;
    o->charge = charge;
    o->user = s;
    int err = pn_http_server_create(&s->worker->io, o, &s->server);
    if (err != 0) return err;
    s->lua = pn_lua_of(L);
    pn_handle_open(s->lua, &s->handle, "http server", close_handle);
    s->box->port = pn_http_server_port(s->server);
    return 0;
}

static int push_failure(lua_State *L, int err, const pn_http_server_options *o, const char *why) {
    if (why[0] != '\0') return pn_push_error(L, err, "tls: %s", why);
    if (err == PN_EBAD_CONFIG) {
        return pn_push_error(L, err, "'host' must be an address and 'name' a header's value");
    }
    if (o->socket_path.at != NULL) {
        return pn_push_error(L, err, "cannot listen on %s: %s", o->socket_path.at,
                             pn_err_text(err));
    }
    return pn_push_error(L, err, "cannot listen on %s, port %u: %s",
                         o->host.at != NULL ? o->host.at : DEFAULT_HOST, (unsigned)o->port,
                         pn_err_text(err));
}

/* The new object: closed, with its routes and what its URL is made of. The options are at index
 * 1. */
static pn_serving *push_closed(lua_State *L, const pn_http_server_options *o) {
    size_t route_count = count_routes(L);
    pn_server_box *box = lua_newuserdatauv(L, sizeof *box, VALUES);
    int at = lua_gettop(L);
    *box = (pn_server_box){.is_tls = o->tls != NULL, .is_unix = o->socket_path.at != NULL};
    pn_push_class(L, PN_SERVER_CLASS);
    lua_setmetatable(L, at);
    pn_serving *s = create_serving(L, box, route_count);
    lua_createtable(L, (int)route_count, 0);
    add_routes(L, s, at + 1);
    lua_setiuservalue(L, at, VALUE_HANDLERS);
    lua_pushstring(L, box->is_unix         ? o->socket_path.at
                      : o->host.at != NULL ? o->host.at
                                           : DEFAULT_HOST);
    lua_setiuservalue(L, at, VALUE_PLACE);
    return s;
}

int pn_http_l_serve(lua_State *L) {
    pn_http_server_options o = {0};
    const char *why = "";
    int err = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    pn_check_options(L, 1, known);
    read_limits(L, &o);
    read_place(L, &o);
    if (lua_getfield(L, 1, "tls") != LUA_TNIL) {
        if (!lua_istable(L, -1)) pn_field_error(L, "tls", "a table", -1);
        err = pn_http_tls_find(L, pn_http_service_of(L), lua_gettop(L), true, &o.tls, &why);
        if (err != 0) return push_failure(L, err, &o, why);
    }
    pn_serving *s = push_closed(L, &o);
    int at = lua_gettop(L);
    lua_pushvalue(L, at);
    lua_rawsetp(L, LUA_REGISTRYINDEX, s->box);
    spawn_acceptor(L, at);
    err = open_server(L, s, &o);
    if (err == 0) return 1;
    s->box->serving = NULL; /* the acceptor ends when it first runs */
    free_serving(s);
    return push_failure(L, err, &o, why);
}

/* ---- the object ---- */

static int push_url(lua_State *L, const pn_server_box *box) {
    lua_getiuservalue(L, 1, VALUE_PLACE);
    const char *place = lua_tostring(L, -1);
    if (box->is_unix) {
        pn_buf *text = &pn_http_service_of(L)->text;
        pn_buf_clear(text);
        pn_percent_encode(text, pn_text_of(place));
        if (text->failed) pn_raise_code(L, PN_ENOMEM);
        lua_pushliteral(L, "http+unix://");
        lua_pushlstring(L, text->data, text->size);
        lua_concat(L, 2);
        return 1;
    }
    if (strcmp(place, "0.0.0.0") == 0)
        place = "127.0.0.1"; /* listening anywhere, it is there, too */
    if (strcmp(place, "::") == 0) place = "::1";
    bool is_v6 = strchr(place, ':') != NULL && place[0] != '[';
    lua_pushfstring(L, is_v6 ? "%s://[%s]:%d" : "%s://%s:%d", box->is_tls ? "https" : "http", place,
                    box->port);
    return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
    lua_pushinteger(L, (lua_Integer)count);
    lua_setfield(L, -2, name);
}

/* server:stats() */
static int l_stats(lua_State *L) {
    const pn_server_box *box = check_server(L);
    pn_http_server_stats stats = {0};
    if (box->serving == NULL) return pn_push_error(L, PN_ECLOSED, "the server is closed");
    pn_http_server_stats_get(box->serving->server, &stats);
    lua_createtable(L, 0, 9);
    set_count(L, "connections", stats.connections);
    set_count(L, "exchanges", stats.exchanges);
    set_count(L, "accepted", stats.accepted);
    set_count(L, "requests", stats.requests);
    set_count(L, "refused", stats.refused);
    set_count(L, "timed_out", stats.timed_out);
    set_count(L, "aborted", stats.aborted);
    set_count(L, "accept_errors", stats.accept_errors);
    set_count(L, "connection_bytes", stats.connection_bytes);
    return 1;
}

/* api: http */
static const luaL_Reg server_methods[] = {{"close", l_close}, {"stats", l_stats}, {NULL, NULL}};

static int server_index(lua_State *L) {
    const pn_server_box *box = check_server(L);
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *key = lua_tostring(L, 2);
    if (strcmp(key, "url") == 0) return push_url(L, box);
    if (strcmp(key, "port") == 0) {
        lua_pushinteger(L, box->port);
        return 1;
    }
    for (const luaL_Reg *m = server_methods; m->name != NULL; m++) {
        if (strcmp(m->name, key) != 0) continue;
        lua_pushcfunction(L, m->func);
        return 1;
    }
    return 0;
}

static int server_tostring(lua_State *L) {
    const pn_server_box *box = check_server(L);
    lua_pushstring(L, box->serving != NULL ? "server: " : "closed server: ");
    push_url(L, box);
    lua_remove(L, -2);
    lua_concat(L, 2);
    return 1;
}

/* api: http */
static const luaL_Reg server_metamethods[] = {
    {"__index", server_index},
    {"__close", l_close_variable},
    {"__gc", l_gc},
    {"__tostring", server_tostring},
    {NULL, NULL},
};

const pn_class pn_class_http_server = {PN_SERVER_CLASS, server_methods, server_metamethods};
