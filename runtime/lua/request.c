#include "lua/request.h"

#include "lua/module.h"

static const char class_key = 0; /* its address keys the metatable */

typedef struct request {
    pn_call *call;
} request;

static int collect(lua_State *L) {
    request *r = lua_touserdata(L, 1);
    pn_call *call = r->call;
    r->call = NULL;
    pn_lua *lua = pn_lua_of(L);
    int code = lua->is_closing ? PN_EEXITED : PN_ENO_REPLY;
    if (call != NULL) pn_call_let_go(pn_lua_worker(lua), call, code);
    return 0;
}

void pn_request_set_class(lua_State *L, const luaL_Reg *metamethods) {
    lua_createtable(L, 0, 4);
    luaL_setfuncs(L, metamethods, 0);
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &class_key);
}

void pn_request_push(lua_State *L, pn_call *call) {
    request *r = lua_newuserdatauv(L, sizeof *r, 0);
    r->call = NULL;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushcfunction(L, pn_lua_shared_of(L)->open_request);
        lua_call(L, 0, 0);
        lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    }
    lua_setmetatable(L, -2);
    pn_call_hold(call);
    r->call = call;
}

pn_call *pn_request_call(lua_State *L, int index) {
    request *r = lua_touserdata(L, index);
    if (r == NULL || !lua_getmetatable(L, index)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key);
    bool is_request = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_request ? r->call : NULL;
}
