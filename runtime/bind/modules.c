/* modules.c - the table of modules and classes: where a new binding is entered. */
#include "bind/bind.h"

#include "lua/luv_bridge.h"

extern const luaL_Reg pn_actor_functions[];
extern const luaL_Reg pn_json_functions[];
extern const luaL_Reg pn_log_functions[];
extern const luaL_Reg pn_process_functions[];
extern const luaL_Reg pn_timer_functions[];
extern const luaL_Reg pn_leftovers_internals[];
extern const luaL_Reg pn_http_functions[];
extern const luaL_Reg pn_run_functions[];
extern const luaL_Reg pn_metrics_functions[];
extern const luaL_Reg pn_load_functions[];

const pn_module pn_modules[] = {
    {"luv", NULL, pn_luv_push, NULL},
    {"perilune.actor", pn_actor_functions, pn_open_actor, NULL},
    {"perilune.http", pn_http_functions, NULL, NULL},
    {"perilune.json", pn_json_functions, pn_open_json, NULL},
    {"perilune.log", pn_log_functions, NULL, NULL},
    {"perilune.process", pn_process_functions, NULL, NULL},
    {"perilune.timer", pn_timer_functions, NULL, NULL},
    {"perilune.leftovers", pn_leftovers_internals, NULL, NULL},
    {"perilune.run", pn_run_functions, pn_open_run, NULL},
    {"perilune.check", NULL, NULL, pn_l_check},
    {"perilune.metrics", pn_metrics_functions, NULL, NULL},
    {"perilune.scenario", NULL, NULL, pn_l_scenario},
    {"perilune.load", pn_load_functions, NULL, NULL},
    {"perilune.load_options", NULL, NULL, NULL},
    {"perilune.load_report", NULL, NULL, NULL},
    {"std.service", NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

extern const pn_class pn_class_http_body;
extern const pn_class pn_class_http_reply;
extern const pn_class pn_class_http_request;
extern const pn_class pn_class_http_server;
extern const pn_class pn_class_http_upload;
extern const pn_class pn_class_logger;
extern const pn_class pn_class_log_scope;
extern const pn_class pn_class_metric;
extern const pn_class pn_class_response;
extern const pn_class pn_class_scope;
extern const pn_class pn_class_task;
extern const pn_class pn_class_timer;

static const pn_class *const classes[] = {
    &pn_class_http_body,
    &pn_class_http_reply,
    &pn_class_http_request,
    &pn_class_http_server,
    &pn_class_http_upload,
    &pn_class_logger,
    &pn_class_log_scope,
    &pn_class_metric,
    &pn_class_response,
    &pn_class_scope,
    &pn_class_task,
    &pn_class_timer,
    NULL,
};

/* Known to the state only when it is whole: what is made without its __gc would never be freed. */
static void create_class(lua_State *L, const pn_class *class) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, class->name);
    lua_setfield(L, -2, "__name");
    if (class->metamethods != NULL) luaL_setfuncs(L, class->metamethods, 0);
    bool looks_up = lua_getfield(L, -1, "__index") != LUA_TNIL; /* its methods, too */
    lua_pop(L, 1);
    if (class->methods != NULL && !looks_up) {
        lua_newtable(L);
        luaL_setfuncs(L, class->methods, 0);
        lua_setfield(L, -2, "__index");
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, class->name);
}

void pn_push_class(lua_State *L, const char *name) {
    luaL_checkstack(L, 4, NULL);
    if (luaL_getmetatable(L, name) != LUA_TNIL) return;
    lua_pop(L, 1);
    for (const pn_class *const *c = classes; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0) create_class(L, *c);
    }
}
