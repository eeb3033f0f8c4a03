/* perilune.http: requests. */
#include "bind/http_serve.h"

static int answered(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_transfer *t = pn_transfer_woken(L);
    if (PN_UNLIKELY(t == NULL)) {
        pn_task *task = pn_task_woken(L);
        pn_response_push_failed(L, PN_HTTP_SLOT_URL, task->code != 0 ? task->code : PN_ECANCELLED,
                                "");
        return pn_response_return(L);
    }
    pn_response_push(L, t);
    pn_task_woken(L);
    return pn_response_return(L);
}

/* Begins the call and waits. */
static int run(lua_State *L, const pn_http_plan *plan, pn_http_request *request) {
    pn_transfer *t = pn_transfer_create(L, plan, request);
    lua_settop(L, plan->body == PN_HTTP_BODY_IS_TEXT ? PN_HTTP_SLOT_BODY : PN_HTTP_SLOT_URL);
    int err = pn_http_call_start(&t->call, request);
    if (PN_UNLIKELY(err != 0)) {
        pn_http_record(t);
        pn_response_push(L, t);
        return pn_response_return(L);
    }
    return pn_transfer_wait(L, t, 0, answered);
}

static int plan_and_run(lua_State *L, pn_text method) {
    pn_http_plan plan;
    pn_http_request *request;
    const char *why;
    pn_http_plan_read(L, &plan, method);
    if (PN_UNLIKELY(plan.body == PN_HTTP_BODY_IS_PRODUCER)) return pn_upload_run(L, &plan);
    int err = pn_http_plan_request(L, &plan, &request, &why);
    if (PN_LIKELY(err == 0)) return run(L, &plan, request);
    pn_response_push_failed(L, PN_HTTP_SLOT_URL, err, why);
    return pn_response_return(L);
}

static int request_url(lua_State *L, pn_text method) {
    pn_task_check_block(L);
    luaL_checkstring(L, PN_HTTP_SLOT_URL);
    lua_settop(L, PN_HTTP_SLOT_OPTIONS);
    return plan_and_run(L, method);
}

static int l_get(lua_State *L) { return request_url(L, PN_TEXT("GET")); }
static int l_post(lua_State *L) { return request_url(L, PN_TEXT("POST")); }
static int l_put(lua_State *L) { return request_url(L, PN_TEXT("PUT")); }
static int l_patch(lua_State *L) { return request_url(L, PN_TEXT("PATCH")); }
static int l_delete(lua_State *L) { return request_url(L, PN_TEXT("DELETE")); }
static int l_head(lua_State *L) { return request_url(L, PN_TEXT("HEAD")); }
static int l_options(lua_State *L) { return request_url(L, PN_TEXT("OPTIONS")); }

static int l_request(lua_State *L) {
    pn_task_check_block(L);
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 3);
    lua_rotate(L, 1, -1); /* url, options, method */
    lua_pushnil(L);
    lua_insert(L, PN_HTTP_SLOT_BODY);
    size_t size;
    const char *method = lua_tolstring(L, PN_HTTP_SLOT_METHOD, &size);
    return plan_and_run(L, pn_text_make(method, size));
}

const luaL_Reg pn_http_functions[] = {
    {"get", l_get},         {"post", l_post},       {"put", l_put},
    {"patch", l_patch},     {"delete", l_delete},   {"head", l_head},
    {"options", l_options}, {"request", l_request}, {"serve", pn_http_l_serve},
    {NULL, NULL},
};
