/*
 * A request body that is produced while it is sent: a function or a stream, asked for piece after
 * piece.
 *
 * One task does both: it calls the producer, which may block, writes what that gives, waits for
 * room, and in the end for the answer. Because the task may be anywhere meanwhile, the transfer is
 * owned by a holder on the stack that closes it whichever way the function is left. An answer that
 * comes early ends the production.
 */
#include "bind/http.h"

#define UPLOAD_CLASS "perilune.http.upload"

enum { HOLDER = PN_HTTP_SLOT_BODY + 1, PIECE };

typedef struct upload {
    pn_transfer *transfer;
    bool is_ended; /* the producer has nothing more */
} upload;

static int l_upload_gc(lua_State *L) {
    upload *u = lua_touserdata(L, 1);
    pn_transfer_destroy(u->transfer);
    u->transfer = NULL;
    return 0;
}

static const luaL_Reg upload_internals[] = {
    {"__gc", l_upload_gc},
    {"__close", l_upload_gc},
    {NULL, NULL},
};

const pn_class pn_class_http_upload = {UPLOAD_CLASS, NULL, upload_internals};

/* ---- the end ---- */

static int deliver(lua_State *L) {
    upload *u = lua_touserdata(L, HOLDER);
    pn_transfer *t = u->transfer;
    u->transfer = NULL;
    t->is_held = false;
    pn_response_push(L, t);
    return pn_response_return(L);
}

/* The request is given up for an error of ours. */
static int give_up(lua_State *L, int err, const char *why) {
    upload *u = lua_touserdata(L, HOLDER);
    pn_response_push_failed(L, PN_HTTP_SLOT_URL, err, why);
    pn_transfer_destroy(u->transfer);
    u->transfer = NULL;
    return pn_response_return(L);
}

/* ---- pieces ---- */

static const char *text_at(lua_State *L, int index) {
    return lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
}

/* The producer said nil: that was all, or it failed. */
static int end_upload(lua_State *L, upload *u) {
    if (!lua_isnil(L, PIECE + 1)) {
        int err = pn_err_from_name(text_at(L, PIECE + 2));
        return give_up(L, err, lua_pushfstring(L, "the body: %s", text_at(L, PIECE + 1)));
    }
    u->is_ended = true;
    if (!pn_http_call_is_writable(&u->transfer->call)) return -1; /* an answer came meanwhile */
    if (pn_http_call_finish(&u->transfer->call) == 0) return -1;
    return give_up(L, PN_EBAD_VALUE, "the body is shorter than its Content-Length");
}

/* What the producer gave: piece, message, code. The results for the caller, or -1: go on. */
static int take_piece(lua_State *L) {
    upload *u = lua_touserdata(L, HOLDER);
    size_t size;
    if (lua_isnil(L, PIECE)) return end_upload(L, u);
    if (lua_type(L, PIECE) != LUA_TSTRING) {
        return luaL_error(L, "option 'body': strings expected from it, got %s",
                          luaL_typename(L, PIECE));
    }
    const char *data = lua_tolstring(L, PIECE, &size);
    if (!pn_http_call_is_writable(&u->transfer->call)) return -1;
    if (pn_http_call_write(&u->transfer->call, data, size) >= 0) return -1;
    return give_up(L, PN_EBAD_VALUE, "the body is longer than its Content-Length");
}

static int pump(lua_State *L);

static int produced(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    int results = take_piece(L);
    return results >= 0 ? results : pump(L);
}

static int woken(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    bool is_gone = pn_transfer_woken(L) == NULL;
    pn_task *task = pn_task_woken(L);
    if (!is_gone) return pump(L);
    return give_up(L, task->code != 0 ? task->code : PN_ECANCELLED, "");
}

static void push_producer(lua_State *L) {
    if (pn_flow_test(L, PN_HTTP_SLOT_BODY) == NULL) {
        lua_pushvalue(L, PN_HTTP_SLOT_BODY);
        lua_pushnil(L);
        return;
    }
    lua_getfield(L, PN_HTTP_SLOT_BODY, "read"); /* which does not raise what goes wrong */
    lua_pushvalue(L, PN_HTTP_SLOT_BODY);
}

static int pump(lua_State *L) {
    for (;;) {
        upload *u = lua_touserdata(L, HOLDER);
        pn_transfer *t = u->transfer;
        if (t->is_done || (t->has_head && u->is_ended)) return deliver(L);
        if (!pn_http_call_is_writable(&t->call)) return pn_transfer_wait(L, t, 0, woken);
        lua_settop(L, HOLDER);
        push_producer(L);
        lua_callk(L, 1, 3, 0, produced);
        int results = take_piece(L);
        if (results >= 0) return results;
    }
}

/* ---- the beginning ---- */

int pn_upload_run(lua_State *L, const pn_http_plan *plan) {
    pn_http_request *request;
    const char *why;
    upload *u = lua_newuserdatauv(L, sizeof *u, 0);
    *u = (upload){NULL, false};
    pn_push_class(L, UPLOAD_CLASS);
    lua_setmetatable(L, -2);
    pn_http_plan changed = *plan;
    int err = pn_http_plan_request(L, &changed, &request, &why);
    if (err == 0) u->transfer = pn_transfer_create(L, &changed, request);
    lua_replace(L, HOLDER);
    lua_settop(L, HOLDER);
    lua_toclose(L, HOLDER);
    if (err != 0) return give_up(L, err, why);
    u->transfer->is_held = true;
    err = pn_http_call_start(&u->transfer->call, request);
    if (err != 0) {
        pn_http_record(u->transfer);
        u->transfer->is_done = true;
    }
    return pump(L);
}
