/* The response of perilune.http: everything is looked up when it is asked for. */
#include "bind/http.h"

#include "core/json.h"
#include "net/http_headers.h"

static pn_response *check_response(lua_State *L) { return luaL_checkudata(L, 1, PN_RESPONSE_CLASS); }

/* ---- charging ---- */

#define COLLECT_BYTES (64 << 10)

/* The collector is told of bytes that it does not see, so that responses nobody holds go in time. */
static bool charge(void *owner, int64_t bytes) {
    pn_lua *lua = owner;
    if (!pn_ledger_charge(&lua->actor->ledger, bytes)) return false;
    if (bytes > 0) lua->uncollected_bytes += bytes;
    return true;
}

static void collect_outside(lua_State *L, pn_lua *lua) {
    if (lua->uncollected_bytes < COLLECT_BYTES) return;
    int kb = (int)(lua->uncollected_bytes >> 10);
    lua->uncollected_bytes = 0;
    lua_gc(L, LUA_GCSTEP, kb);
}

/* ---- life ---- */

static void on_done(pn_http_call *call) {
    pn_response *r = (pn_response *)call;
    r->err = call->err;
    r->phase = call->phase;
    r->why = call->why;
    r->is_done = true;
    pn_task *task = r->task;
    r->task = NULL;
    task->cancel = NULL;
    pn_task_ready(task, 0);
}

static const pn_http_call_events events = {.on_done = on_done};

pn_response *pn_response_push(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    collect_outside(L, lua);
    pn_response *r = lua_newuserdatauv(L, sizeof *r, PN_RESPONSE_VALUES);
    pn_http_call_init(&r->call, &events);
    r->call.charge = charge;
    r->call.charge_owner = lua;
    r->lua = lua;
    r->task = NULL;
    r->err = 0;
    r->why = "";
    r->phase = PN_HTTP_PHASE_BLOCKED;
    r->is_done = false;
    pn_push_class(L, PN_RESPONSE_CLASS);
    lua_setmetatable(L, -2);
    return r;
}

static int l_response_gc(lua_State *L) {
    pn_response *r = lua_touserdata(L, 1);
    pn_http_call_close(&r->call);
    return 0;
}

/* ---- fields ---- */

static void push_text(lua_State *L, pn_text text) { lua_pushlstring(L, text.at, text.size); }

static int push_status(lua_State *L, pn_response *r) {
    lua_pushinteger(L, r->err == 0 ? (lua_Integer)r->call.response.head.status : 0);
    return 1;
}

static int push_body(lua_State *L, pn_response *r) {
    if (lua_getiuservalue(L, 1, PN_RESPONSE_BODY) != LUA_TNIL) return 1;
    pn_text view;
    if (r->err != 0 || !pn_http_message_is_open(&r->call.response)) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (pn_http_message_view(&r->call.response, &view)) {
        push_text(L, view);
    } else {
        pn_buf *scratch = &pn_lua_worker(r->lua)->scratch;
        pn_buf_clear(scratch);
        if (!pn_http_message_gather(&r->call.response, scratch)) pn_raise_code(L, PN_ENOMEM);
        lua_pushlstring(L, scratch->data, scratch->size);
    }
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, PN_RESPONSE_BODY);
    return 1;
}


typedef struct field {
    const char *name;
    int (*push)(lua_State *L, pn_response *r);
} field;

static const field fields[] = {
    {"status", push_status},
    {"body", push_body},
    {NULL, NULL},
};

static int response_index(lua_State *L) {
    pn_response *r = check_response(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (const field *f = fields; f->name != NULL; f++) {
        if (strcmp(f->name, key) == 0) return f->push(L, r);
    }
    return 0;
}

static const luaL_Reg response_metamethods[] = {
    {"__index", response_index}, {"__gc", l_response_gc}, {NULL, NULL},
};

const pn_class pn_class_response = {PN_RESPONSE_CLASS, NULL, response_metamethods};
