/* modules.c - the table of modules and classes: where a new binding is entered. */
#include "bind/bind.h"

extern const luaL_Reg pn_actor_functions[];
extern const luaL_Reg pn_timer_functions[];
extern const luaL_Reg pn_leftovers_functions[];
extern const luaL_Reg pn_run_functions[];
extern const luaL_Reg pn_metrics_functions[];
extern const luaL_Reg pn_load_functions[];

const pn_module pn_modules[] = {
    {"perilune.actor", pn_actor_functions, pn_open_actor, NULL},
    {"perilune.timer", pn_timer_functions, NULL, NULL},
    {"perilune.leftovers", pn_leftovers_functions, NULL, NULL},
    {"perilune.run", pn_run_functions, pn_open_run, NULL},
    {"perilune.check", NULL, NULL, pn_l_check},
    {"perilune.metrics", pn_metrics_functions, NULL, NULL},
    {"perilune.scenario", NULL, NULL, pn_l_scenario},
    {"perilune.load", pn_load_functions, NULL, NULL},
    {"perilune.load_options", NULL, NULL, NULL},
    {"perilune.load_report", NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

extern const pn_class pn_class_task, pn_class_timer, pn_class_metric;

static const pn_class *const classes[] = {&pn_class_task, &pn_class_timer, &pn_class_metric, NULL};

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
