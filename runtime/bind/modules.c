/* modules.c - the table of modules and classes: where a new binding is entered. */
#include "bind/bind.h"

#include "lua/luv_bridge.h"

extern const luaL_Reg pn_actor_functions[];
extern const luaL_Reg pn_json_functions[];
extern const luaL_Reg pn_log_functions[];
extern const luaL_Reg pn_process_functions[];
extern const luaL_Reg pn_timer_functions[];
extern const luaL_Reg pn_leftovers_functions[];

const pn_module pn_modules[] = {
    {"luv", NULL, pn_luv_push},
    {"perilune.actor", pn_actor_functions, pn_open_actor},
    {"perilune.json", pn_json_functions, pn_open_json},
    {"perilune.log", pn_log_functions, NULL},
    {"perilune.process", pn_process_functions, NULL},
    {"perilune.timer", pn_timer_functions, NULL},
    {"perilune.leftovers", pn_leftovers_functions, NULL},
    {NULL, NULL, NULL},
};

extern const pn_class pn_class_logger, pn_class_log_scope, pn_class_task, pn_class_timer;

static const pn_class *const classes[] = {
    &pn_class_logger, &pn_class_log_scope, &pn_class_task, &pn_class_timer, NULL,
};

static void create_class(lua_State *L, const pn_class *class) {
    if (class->metamethods != NULL) luaL_setfuncs(L, class->metamethods, 0);
    lua_newtable(L);
    luaL_setfuncs(L, class->methods, 0);
    lua_setfield(L, -2, "__index");
}

void pn_push_class(lua_State *L, const char *name) {
    if (!luaL_newmetatable(L, name)) return;
    for (const pn_class *const *c = classes; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0) create_class(L, *c);
    }
}
