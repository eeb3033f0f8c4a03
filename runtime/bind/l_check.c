/* perilune.check: the module is the function. */
#include "bind/load.h"

#include <stdlib.h>

#include "bind/tags.h"

enum { VALUE = 1, CHECKS, TAGS, NAMES, INDEX_SLOTS = NAMES };

static void record(lua_State *L, const char *name, size_t size, bool passed, int tags) {
    pn_worker *worker = pn_lua_worker(pn_lua_of(L));
    const pn_labels *labels = pn_labels_of(L);
    pn_load *load = pn_load_of(L);
    pn_tags all = labels->tags;
    pn_tag list[PN_SAMPLE_TAGS_MAX];
    if (pn_metrics_wants_tags(worker->metrics)) {
        pn_tag own = {"check", name, 5, (uint32_t)size};
        all = pn_tags_collect(L, list, &labels->tags, tags, &own);
    }
    pn_metrics_record(worker->metrics, PN_METRIC_CHECKS, passed ? 1 : 0,
                      pn_clock_now_ns(&worker->runtime->clock), &all);
    if (load == NULL) return;
    pn_checks *checks = &load->workers[worker->index].checks;
    if (pn_checks_record(checks, labels->group, name, size, passed) == PN_ELIMIT &&
        checks->overflow == 1) {
        pn_log_printf(&worker->runtime->log, PN_LOG_WARN,
                      "more than %d different checks: the others are only in the metric `checks`",
                      PN_CHECKS_MAX);
    }
}

/* ---- check(value, { name = boolean | function }, tags) ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Pushes an array of the names, sorted. */
static void push_names(lua_State *L) {
    lua_Integer count = 0;
    lua_pushnil(L);
    while (lua_next(L, CHECKS) != 0) {
        int type = lua_type(L, -1);
        if (lua_type(L, -2) != LUA_TSTRING) {
            luaL_argerror(
                L, CHECKS,
                lua_pushfstring(L, "names of checks are text, got a %s", luaL_typename(L, -2)));
        }
        if (type != LUA_TBOOLEAN && type != LUA_TFUNCTION) {
            luaL_argerror(L, CHECKS,
                          lua_pushfstring(L, "check '%s': a boolean or a function expected, got %s",
                                          lua_tostring(L, -2), luaL_typename(L, -1)));
        }
        lua_pop(L, 1);
        count++;
    }
    const char **names = lua_newuserdatauv(L, (size_t)count * sizeof *names + 1, 0);
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, CHECKS) != 0) {
        names[n++] = lua_tostring(L, -2);
        lua_pop(L, 1);
    }
    qsort(names, n, sizeof *names, compare_names);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_remove(L, -2);
}

static int run_from(lua_State *L, lua_Integer i, bool all_passed);

/* The result of a check's function, or its error, on top; i in the upper bits of the context. */
static int judged(lua_State *L, int status, lua_KContext context) {
    lua_Integer i = context >> 1;
    bool is_error = status != LUA_OK && status != LUA_YIELD;
    bool passed = !is_error && lua_toboolean(L, -1);
    lua_rawgeti(L, NAMES, i);
    size_t size;
    const char *name = lua_tolstring(L, -1, &size);
    record(L, name, size, passed, TAGS);
    if (is_error) {
        lua_pop(L, 1);
        return lua_error(L);
    }
    lua_settop(L, INDEX_SLOTS);
    return run_from(L, i + 1, (context & 1) != 0 && passed);
}

static int run_from(lua_State *L, lua_Integer i, bool all_passed) {
    for (; lua_rawgeti(L, NAMES, i) != LUA_TNIL; i++) {
        lua_gettable(L, CHECKS);
        lua_KContext context = (lua_KContext)(i << 1 | all_passed);
        if (lua_isfunction(L, -1)) {
            lua_pushvalue(L, VALUE);
            return judged(L, lua_pcallk(L, 1, 1, 0, context, judged), context);
        }
        bool passed = lua_toboolean(L, -1);
        lua_rawgeti(L, NAMES, i);
        size_t size;
        const char *name = lua_tolstring(L, -1, &size);
        record(L, name, size, passed, TAGS);
        all_passed = all_passed && passed;
        lua_settop(L, INDEX_SLOTS);
    }
    lua_pushboolean(L, all_passed);
    return 1;
}

int pn_l_check(lua_State *L) {
    if (PN_LIKELY(lua_type(L, 1) == LUA_TSTRING && lua_type(L, 2) == LUA_TBOOLEAN)) {
        size_t size;
        const char *name = lua_tolstring(L, 1, &size);
        record(L, name, size, lua_toboolean(L, 2), 3);
        lua_pushvalue(L, 2);
        return 1;
    }
    if (lua_type(L, 2) != LUA_TTABLE) {
        return luaL_error(L,
                          "check: (\"name\", boolean) or (value, { name = boolean or function }) "
                          "expected, got (%s, %s)",
                          luaL_typename(L, 1), luaL_typename(L, 2));
    }
    lua_settop(L, TAGS);
    push_names(L);
    return run_from(L, 1, true);
}
