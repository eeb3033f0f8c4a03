/* modules.c - the table of modules and classes: where a new binding is entered. */
#include "bind/bind.h"

extern const luaL_Reg pn_actor_functions[];
extern const luaL_Reg pn_json_functions[];
extern const luaL_Reg pn_timer_functions[];
extern const luaL_Reg pn_leftovers_functions[];
extern const luaL_Reg pn_http_functions[];

const pn_module pn_modules[] = {
    {"perilune.actor", pn_actor_functions, pn_open_actor},
    {"perilune.json", pn_json_functions, pn_open_json},
    {"perilune.timer", pn_timer_functions, NULL},
    {"perilune.http", pn_http_functions, NULL},
    {"perilune.leftovers", pn_leftovers_functions, NULL},
    {NULL, NULL, NULL},
};

extern const pn_class pn_class_task, pn_class_timer, pn_class_response, pn_class_http_body,
    pn_class_http_upload;

static const pn_class *const classes[] = {
    &pn_class_task, &pn_class_timer, &pn_class_response, &pn_class_http_body, &pn_class_http_upload,
    NULL,
};

static void create_class(lua_State *L, const pn_class *class) {
    if (class->metamethods != NULL) luaL_setfuncs(L, class->metamethods, 0);
    if (class->methods == NULL) return;
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
