/* perilune.http: requests. */
#include "bind/http.h"

#include "lua/args.h"

#define CACHED_REQUESTS_MAX 1024

/* ---- the worker's client ---- */

static void close_client(void *object) { pn_http_client_destroy(object); }

pn_http_client *pn_http_client_of(lua_State *L) {
    pn_worker *worker = pn_lua_worker(pn_lua_of(L));
    pn_service *service = &worker->services[PN_SERVICE_HTTP];
    if (PN_LIKELY(service->object != NULL)) return service->object;
    pn_http_client *client;
    const char *why = "";
    int err = pn_http_client_create(&worker->io, NULL, &client, &why);
    if (err != 0) pn_raise(L, "cannot make an HTTP client: %s %s", pn_err_text(err), why);
    *service = (pn_service){client, close_client};
    return client;
}

/* ---- requests that are made once ---- */

#define REQUEST_CLASS "perilune.http.request"

static int l_request_gc(lua_State *L) {
    pn_http_request **box = lua_touserdata(L, 1);
    pn_http_request_release(*box);
    *box = NULL;
    return 0;
}

static const luaL_Reg request_metamethods[] = {{"__gc", l_request_gc}, {NULL, NULL}};

const pn_class pn_class_http_request = {REQUEST_CLASS, NULL, request_metamethods};

static const char cache_key = 0; /* registry: method -> url -> request */

/* Pushes the table of cached requests of a method. */
static void push_cache(lua_State *L, const char *method) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_key);
    }
    if (lua_getfield(L, -1, method) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, method);
    }
    lua_remove(L, -2);
}

/* The request for a URL without options, from the cache; pushes its holder. NULL: *err and *why. */
static pn_http_request *cached_request(lua_State *L, const char *method, int url, int *err,
                                       const char **why) {
    push_cache(L, method);
    lua_pushvalue(L, url);
    if (PN_LIKELY(lua_rawget(L, -2) == LUA_TUSERDATA)) {
        lua_remove(L, -2);
        return *(pn_http_request **)lua_touserdata(L, -1);
    }
    lua_pop(L, 1);
    pn_http_request **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    pn_push_class(L, REQUEST_CLASS);
    lua_setmetatable(L, -2);
    size_t size;
    const char *text = lua_tolstring(L, url, &size);
    pn_http_request_options options = {.method = pn_text_of(method), .url = pn_text_make(text, size)};
    *err = pn_http_request_create(pn_http_client_of(L), &options, box, why);
    if (*err != 0) return NULL;
    lua_pushvalue(L, url);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    lua_remove(L, -2);
    return *box;
}

static void cancel_call(pn_task *task, void *context) {
    pn_response *r = context;
    pn_http_call_cancel(&r->call);
    r->task = NULL;
    task->cancel = NULL;
    r->err = PN_ECANCELLED;
    r->is_done = true;
}

static int finish(lua_State *L, int response) {
    pn_response *r = lua_touserdata(L, response);
    lua_pushvalue(L, response);
    if (PN_LIKELY(r->err == 0)) return 1;
    lua_pushstring(L, r->why != NULL && *r->why != '\0' ? r->why : pn_err_text(r->err));
    lua_pushstring(L, pn_err_name(r->err));
    return 3;
}

static int responded(lua_State *L, int status, lua_KContext response) {
    (void)status;
    pn_task *task = pn_task_woken(L);
    pn_response *r = lua_touserdata(L, (int)response);
    if (task->code != 0 && r->err == 0) r->err = task->code;
    return finish(L, (int)response);
}

static int send_request(lua_State *L, pn_http_request *request, int err, const char *why) {
    pn_response *r = pn_response_push(L);
    int response = lua_gettop(L);
    pn_task *task = pn_task_current(L);
    pn_task_check_block(L);
    if (err == 0) {
        r->task = task;
        err = pn_http_call_start(&r->call, request);
        why = r->call.why;
    }
    if (err != 0) {
        r->err = err;
        r->why = why;
        r->is_done = true;
        return finish(L, response);
    }
    task->cancel = cancel_call;
    task->context = r;
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, response, responded);
}

static int l_get(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    int err = 0;
    const char *why = "";
    pn_http_request *request = cached_request(L, "GET", 1, &err, &why);
    return send_request(L, request, err, why);
}

const luaL_Reg pn_http_functions[] = {{"get", l_get}, {NULL, NULL}};
