/* load_state.c - a Lua state's part in load runs: labels and groups, the scenario file, locked
 * globals. */
#include "bind/load.h"

#include <string.h>

static void close_plain(pn_handle *handle) {
    pn_load_state *state = PN_CONTAINER(handle, pn_load_state, handle);
    pn_lua *lua = state->lua;
    pn_load_state_close(state);
    pn_mem_free(&lua->actor->ledger, state, sizeof *state);
}

void pn_load_state_init(pn_load_state *state, pn_lua *lua, void (*close)(pn_handle *handle)) {
    pn_lua_shared *shared = pn_lua_worker(lua)->runtime->lua;
    memset(state, 0, sizeof *state);
    state->lua = lua;
    state->load = shared->load;
    pn_smap_init(&state->groups, &lua->actor->ledger.door);
    pn_handle_open(lua, &state->handle, "load", close);
    state->handle.born = 0; /* nothing that a test could leave behind */
    lua->load = state;
}

void pn_load_state_close(pn_load_state *state) {
    pn_ledger *ledger = &state->lua->actor->ledger;
    uint32_t cursor = 0;
    pn_smap_entry *e;
    while ((e = pn_smap_next(&state->groups, &cursor)) != NULL) pn_labels_destroy(ledger, e->value);
    pn_smap_close(&state->groups);
    pn_labels_destroy(ledger, state->base);
    pn_handle_forget(&state->handle);
    state->lua->load = NULL;
}

static void no_memory(lua_State *L) { luaL_error(L, "%s", pn_err_text(PN_ENOMEM)); }

pn_load_state *pn_load_state_of(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    pn_ledger *ledger = &lua->actor->ledger;
    pn_load_state *state = lua->load;
    if (state == NULL) {
        state = pn_mem_try(ledger, sizeof *state);
        if (state == NULL) no_memory(L);
        pn_load_state_init(state, lua, close_plain);
    }
    if (state->base == NULL) {
        pn_pairs none = {.count = 0};
        state->base = pn_labels_create(ledger, state->load != NULL ? &state->load->tags : &none);
        if (state->base == NULL) no_memory(L);
    }
    return state;
}

/* ---- groups ---- */

/* A group whose name cannot stand in a selector, or one too many, is not shown by itself. */
static void add_group_details(pn_load *load, const char *group) {
    int err = pn_load_add_details(load, "group", group);
    if (err == 0) return;
    pn_log_printf(&load->runtime->log, PN_LOG_WARN, "group %s is not shown by itself: %s", group,
                  pn_err_text(err));
}

#define KEY_BYTES (sizeof(void *) + PN_GROUP_PATH_MAX_BYTES)

const pn_labels *pn_labels_enter(lua_State *L, const char *name, size_t size) {
    char key[KEY_BYTES];
    const pn_labels *outer = pn_labels_of(L);
    pn_load_state *state = pn_load_state_of(L);
    if (size > PN_GROUP_PATH_MAX_BYTES) size = PN_GROUP_PATH_MAX_BYTES;
    memcpy(key, &outer, sizeof outer);
    memcpy(key + sizeof outer, name, size);
    pn_labels *labels = pn_smap_get(&state->groups, key, sizeof outer + size);
    if (labels != NULL) return labels;
    if (state->groups.count >= PN_LOAD_GROUPS_MAX) return outer;
    pn_ledger *ledger = &state->lua->actor->ledger;
    labels = pn_labels_create_group(ledger, outer, name, size);
    if (labels != NULL && pn_smap_set(&state->groups, key, sizeof outer + size, labels) == 0) {
        bool has_details = state->load != NULL && atomic_load(&state->load->wants_details);
        if (has_details) add_group_details(state->load, labels->group);
        return labels;
    }
    pn_labels_destroy(ledger, labels);
    no_memory(L);
    return NULL;
}

/* ---- print ---- */

/* As the stock function, but its line keeps clear of the progress that is drawn. */
static int print(lua_State *L) {
    luaL_Buffer b;
    pn_load *load = pn_load_of(L);
    int count = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= count; i++) {
        if (i > 1) luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    size_t size;
    const char *line = lua_tolstring(L, -1, &size);
    pn_terminal_write(&load->terminal, line, size);
    return 0;
}

/* ---- the scenario file ---- */

void pn_load_push_scenario(lua_State *L, pn_load *load) {
    pn_lua *lua = pn_lua_of(L);
    const char *path = load->request->script;
    lua_pushcfunction(L, print);
    lua_setglobal(L, "print");
    lua_pushfstring(L, "@%s", path);
    int status =
        luaL_loadbufferx(L, load->script.data, load->script.size, lua_tostring(L, -1), "t");
    lua_remove(L, -2);
    if (status == LUA_OK) {
        lua->no_blocking = "blocking calls are not allowed at file level (setup and init may wait)";
        status = lua_pcall(L, 0, 1, 0);
        lua->no_blocking = NULL;
    }
    if (status != LUA_OK) lua_error(L);
    if (lua_istable(L, -1)) return;
    luaL_error(
        L,
        "%s: a scenario file returns a table (return { default = function(vu, data) ... end }), "
        "this one returns %s",
        path, luaL_typename(L, -1));
}

/* ---- globals ---- */

static int refuse_global(lua_State *L) {
    const char *name = luaL_tolstring(L, 2, NULL);
    return luaL_error(L,
                      "global '%s' is written in an iteration: many users share the globals, "
                      "keep a user's own values in vu.state",
                      name);
}

static int pairs_of_globals(lua_State *L) {
    lua_getglobal(L, "next");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushnil(L);
    return 3;
}

/* Moves all globals to a table of their own; the old one stays what functions know as _G, empty, so
 * that every write to it is seen. What the script had for a metatable there now serves the moved
 * ones. */
void pn_load_lock_globals(lua_State *L) {
    luaL_checkstack(L, 8, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    int globals = lua_gettop(L), moved = globals + 1;
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, globals) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, moved);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, globals);
    }
    if (lua_getmetatable(L, globals)) lua_setmetatable(L, moved);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, moved);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_pushvalue(L, moved);
    lua_pushcclosure(L, pairs_of_globals, 1);
    lua_setfield(L, -2, "__pairs");
    lua_setmetatable(L, globals);
    lua_settop(L, globals - 1);
}

/* ---- errors ---- */

/* "script.lua:12" of "script.lua:12: message"; the size, 0 when there is none. */
static size_t place_size(const char *message) {
    const char *colon = message;
    while ((colon = strchr(colon, ':')) != NULL) {
        const char *at = colon + 1;
        while (*at >= '0' && *at <= '9') at++;
        if (at > colon + 1 && *at == ':') return (size_t)(at - message);
        colon++;
    }
    return 0;
}

/* The innermost Lua function that runs. */
static void find_place(lua_State *L, char *place, size_t room) {
    lua_Debug ar;
    place[0] = '\0';
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline <= 0) continue;
        snprintf(place, room, "%s:%d", ar.short_src, ar.currentline);
        return;
    }
}

/* A coroutine that has died of its error can run nothing more, no __tostring either. */
static const char *error_text(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TSTRING) return lua_tostring(L, index);
    if (lua_status(L) > LUA_YIELD) return "an error object that is no text";
    return luaL_tolstring(L, index, NULL);
}

static void log_problem(pn_load *load, const pn_problem *p) {
    bool has_scenario = p->scenario[0] != '\0' && strcmp(p->scenario, p->hook) != 0;
    pn_terminal_pause(&load->terminal);
    pn_log_printf(&load->runtime->log, PN_LOG_ERROR, "%s%s%s: %s\n%s",
                  has_scenario ? p->scenario : "", has_scenario ? " " : "", p->hook, p->message,
                  p->traceback);
    pn_terminal_resume(&load->terminal);
}

/* Leaves out of a traceback what is ours: the machinery around the script's functions. */
static void trim_traceback(pn_buf *trace) {
    static const char *const ours[] = {"scripts/perilune/load_", "[C]: in ?",
                                       "[C]: in field '_report'", "[C]: in field 'with_timeout'"};
    size_t kept = 0;
    for (size_t at = 0; at < trace->size;) {
        const char *line = trace->data + at, *end = memchr(line, '\n', trace->size - at);
        size_t size = end != NULL ? (size_t)(end - line) + 1 : trace->size - at;
        bool is_ours = false;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
            is_ours = is_ours || memmem(line, size, ours[i], strlen(ours[i])) != NULL;
        }
        if (!is_ours) memmove(trace->data + kept, line, size);
        if (!is_ours) kept += size;
        at += size;
    }
    while (kept > 0 && trace->data[kept - 1] == '\n') kept--;
    trace->size = kept;
}

void pn_load_report(lua_State *L, int index, pn_load *load, const pn_user *user, const char *hook) {
    char place[300];
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 4)) return;
    const char *message = error_text(L, index);
    size_t size = place_size(message);
    if (size > 0 && size < sizeof place) {
        snprintf(place, sizeof place, "%.*s", (int)size, message);
    } else {
        find_place(L, place, sizeof place);
    }
    pn_buf trace;
    pn_buf_init(&trace, &pn_lua_worker(pn_lua_of(L))->ledger.door);
    pn_lua_traceback(L, NULL, &trace);
    trim_traceback(&trace);
    pn_problem problem = {
        .place = place,
        .scenario = user != NULL ? user->home->x->run->scenario->name : "",
        .hook = hook,
        .message = message,
        .traceback = pn_buf_text(&trace),
    };
    if (pn_problems_add(&load->problems, &problem)) log_problem(load, &problem);
    pn_buf_close(&trace);
    lua_settop(L, top);
}

void pn_load_report_request(pn_load *load, const pn_scenario_run *run, int error_code,
                            const char *message) {
    char place[32];
    snprintf(place, sizeof place, "error_code %d", error_code);
    pn_problem problem = {
        .place = place,
        .scenario = run->scenario->name,
        .hook = "request",
        .message = message,
        .traceback = "",
    };
    if (!pn_problems_add(&load->problems, &problem)) return;
    pn_terminal_pause(&load->terminal);
    pn_log_printf(&load->runtime->log, PN_LOG_WARN, "%s request: %s", problem.scenario, message);
    pn_terminal_resume(&load->terminal);
}
