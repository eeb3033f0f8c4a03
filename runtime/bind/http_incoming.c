/* A request as it came: from the engine's callback to the task that runs its handler, and its
 * end. */
#include "bind/http_serve.h"

/* ---- the engine's side ---- */

static void wake_acceptor(pn_serving *s) {
    pn_task *task = s->acceptor;
    if (task == NULL) return;
    s->acceptor = NULL;
    pn_task_ready(task, 0);
}

static void refuse(pn_http_exchange *x) {
    pn_http_header header = {PN_TEXT("Content-Type"), PN_TEXT("text/plain; charset=utf-8")};
    pn_http_exchange_respond(x, 503, &header, 1, PN_TEXT("503 Service Unavailable\n"));
}

static pn_incoming *create(pn_serving *s, pn_http_exchange *x) {
    if (s->lua == NULL) return NULL;
    pn_incoming *in = pn_mem_try_zeroed(&s->lua->actor->ledger, sizeof *in);
    if (in == NULL) return NULL;
    in->lua = s->lua;
    in->x = x;
    in->route = (size_t)(pn_http_exchange_handler(x) - s->routes);
    pn_list_init(&in->link);
    bool streams = pn_http_exchange_handler(x)->streams_body;
    if (streams && pn_intake_create(in) != 0) {
        pn_mem_free(&s->lua->actor->ledger, in, sizeof *in);
        return NULL;
    }
    return in;
}

static void on_request(pn_http_exchange *x) {
    pn_serving *s = pn_http_exchange_handler(x)->user;
    pn_incoming *in = create(s, x);
    if (in == NULL) {
        refuse(x);
        return;
    }
    pn_http_exchange_set_user(x, in);
    pn_list_push(&s->queue, &in->link);
    wake_acceptor(s);
}

static void on_body(pn_http_exchange *x, const char *data, size_t size) {
    pn_intake_on_body(pn_http_exchange_user(x), data, size);
}

static void on_body_end(pn_http_exchange *x) { pn_intake_on_end(pn_http_exchange_user(x)); }

static void on_writable(pn_http_exchange *x) { pn_outflow_on_writable(pn_http_exchange_user(x)); }

static void on_abort(pn_http_exchange *x) {
    pn_incoming *in = pn_http_exchange_user(x);
    in->is_gone = true;
    if (in->intake != NULL) pn_intake_on_gone(in);
    if (in->outflow != NULL) pn_outflow_on_writable(in);
}

void pn_incoming_events(pn_http_handler *handler, bool streams_body) {
    handler->on_request = on_request;
    handler->on_body = streams_body ? on_body : NULL;
    handler->on_body_end = streams_body ? on_body_end : NULL;
    handler->on_writable = on_writable;
    handler->on_abort = on_abort;
    handler->streams_body = streams_body;
}

/* ---- the end ---- */

void pn_incoming_answered(pn_incoming *in) {
    in->x = NULL;
    if (in->intake != NULL) pn_intake_detach(in);
    if (in->outflow != NULL) pn_outflow_detach(in);
}

/* A handler that ended without an answer. */
static void end_exchange(pn_incoming *in) {
    pn_http_exchange *x = in->x;
    if (x == NULL) return;
    pn_incoming_answered(in);
    if (in->has_begun) {
        pn_http_exchange_abort(x); /* nothing else tells the client that something is missing */
    } else {
        refuse(x);
    }
}

void pn_incoming_destroy(pn_incoming *in) {
    end_exchange(in);
    if (in->request != NULL) pn_served_detach(in->request);
    if (in->reply != NULL) pn_answer_detach(in->reply);
    pn_list_remove(&in->link);
    pn_mem_free(&in->lua->actor->ledger, in, sizeof *in);
}

/* ---- the handler's task ---- */

enum { HANDLER = 1, REQUEST, REPLY };

static void respond_500(pn_incoming *in) {
    pn_http_header header = {PN_TEXT("Content-Type"), PN_TEXT("text/plain; charset=utf-8")};
    pn_http_exchange *x = in->x;
    pn_incoming_answered(in);
    pn_http_exchange_respond(x, 500, &header, 1, PN_TEXT("500 Internal Server Error\n"));
}

static void log_failure(lua_State *L, const pn_incoming *in, const char *message) {
    pn_text path = pn_text_make("", 0);
    const char *method = "?";
    if (in->x != NULL) {
        path = pn_http_exchange_path(in->x);
        method = pn_http_method_name(pn_http_exchange_method(in->x));
    }
    pn_log_printf(&pn_lua_worker(pn_lua_of(L))->runtime->log, PN_LOG_ERROR,
                  "http: the handler of %s %.*s failed: %s", method, (int)path.size, path.at,
                  message);
}

static pn_incoming *incoming_of(lua_State *L) {
    return *(pn_incoming **)lua_touserdata(L, REPLY); /* the first member of a reply */
}

/* As a message handler: the error as text, with a traceback. */
static int describe(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, lua_tostring(L, -1), 1);
    return 1;
}

/* What the handler returned: status, body, headers. Stack: handler, request, reply, results. */
static int returned(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_incoming *in = incoming_of(L);
    bool has_results = lua_gettop(L) > REPLY && !lua_isnil(L, REPLY + 1);
    if (in->has_begun) {
        if (has_results) luaL_error(L, "the handler answered with res and returned a status, too");
        return 0;
    }
    if (!has_results) luaL_error(L, "the handler returned no status and did not answer with res");
    lua_settop(L, REPLY + 3);
    pn_answer_send(L, in, REPLY + 1, REPLY + 2, REPLY + 3);
    return 0;
}

static int call_handler(lua_State *L) {
    lua_pushvalue(L, HANDLER);
    lua_pushvalue(L, REQUEST);
    lua_pushvalue(L, REPLY);
    lua_callk(L, 2, LUA_MULTRET, 0, returned);
    return returned(L, LUA_OK, 0);
}

static int handled(lua_State *L, int status, lua_KContext context) {
    (void)context;
    pn_incoming *in = incoming_of(L);
    if (status == LUA_OK || status == LUA_YIELD) {
        pn_http_exchange *x = in->x;
        if (x == NULL) return 0;
        pn_incoming_answered(in); /* a stream that was left open */
        pn_http_exchange_finish(x);
        return 0;
    }
    log_failure(L, in, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
    if (in->x != NULL && !in->has_begun) respond_500(in);
    return 0;
}

/* Arguments: the handler, the request, the reply. */
static int run_handler(lua_State *L) {
    /* Whichever way the task ends, the objects are told while they are there. */
    lua_toclose(L, REPLY);
    lua_pushcfunction(L, describe);
    lua_pushcfunction(L, call_handler);
    for (int i = HANDLER; i <= REPLY; i++) lua_pushvalue(L, i);
    int status = lua_pcallk(L, 3, 0, REPLY + 1, 0, handled);
    return handled(L, status, 0);
}

static void on_task_end(pn_task *task, void *context) {
    (void)task;
    pn_incoming_destroy(context);
}

/* Light userdata: the incoming; the box. */
static int begin_task(lua_State *L) {
    pn_incoming *in = lua_touserdata(L, 1);
    lua_pushcfunction(L, run_handler);
    lua_getiuservalue(L, 2, 1);
    lua_rawgeti(L, -1, (lua_Integer)in->route + 1);
    lua_remove(L, -2);
    pn_served_push(L, in);
    pn_answer_push(L, in);
    pn_task *task = pn_task_spawn(L, 3);
    task->is_detached = true;
    task->on_end = on_task_end;
    task->on_end_context = in;
    return 0;
}

void pn_incoming_begin(lua_State *L, int box, pn_incoming *in) {
    lua_pushcfunction(L, begin_task);
    lua_pushlightuserdata(L, in);
    lua_pushvalue(L, box);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) return;
    log_failure(L, in, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
    lua_pop(L, 1);
    in->request = NULL; /* what was pushed of them is garbage that nobody refers to */
    in->reply = NULL;
    pn_incoming_destroy(in);
}
