#include "lua/args.h"

#include <string.h>

#include "base/units.h"

#define DURATION_EXPECTED "a duration (seconds, or text like \"250ms\", \"1m30s\")"
#define SIZE_EXPECTED     "a size (bytes, or text like \"64KB\")"
#define NEAREST_MAX       64 /* longest key compared */

/* 0, or a negative code for what is no duration. */
static int to_duration(lua_State *L, int index, uint64_t *ns) {
    if (lua_type(L, index) == LUA_TNUMBER)
        return pn_units_seconds_to_ns(lua_tonumber(L, index), ns);
    if (lua_type(L, index) != LUA_TSTRING) return PN_EBAD_UNIT;
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    return pn_units_parse_duration(text, size, ns);
}

static int to_size(lua_State *L, int index, uint64_t *bytes) {
    if (lua_type(L, index) == LUA_TSTRING) {
        size_t size;
        const char *text = lua_tolstring(L, index, &size);
        return pn_units_parse_size(text, size, bytes);
    }
    int is_integer;
    lua_Integer n = lua_tointegerx(L, index, &is_integer);
    if (lua_type(L, index) != LUA_TNUMBER || !is_integer || n < 0) return PN_EBAD_UNIT;
    *bytes = (uint64_t)n;
    return 0;
}

/* "got" part of a message: the value itself where that is short. */
static const char *push_got(lua_State *L, int index) {
    int type = lua_type(L, index);
    if (type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN) {
        luaL_tolstring(L, index, NULL);
        return lua_pushfstring(L, type == LUA_TSTRING ? "\"%s\"" : "%s", lua_tostring(L, -1));
    }
    return lua_pushstring(L, luaL_typename(L, index));
}

uint64_t pn_check_duration(lua_State *L, int arg) {
    uint64_t ns;
    if (PN_LIKELY(to_duration(L, arg, &ns) == 0)) return ns;
    luaL_argerror(L, arg,
                  lua_pushfstring(L, DURATION_EXPECTED " expected, got %s", push_got(L, arg)));
    return 0;
}

uint64_t pn_opt_duration(lua_State *L, int arg, uint64_t absent_ns) {
    return lua_isnoneornil(L, arg) ? absent_ns : pn_check_duration(L, arg);
}

/* Levenshtein's distance, two rows. */
static int distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    int row[NEAREST_MAX + 1];
    if (n > NEAREST_MAX || m > NEAREST_MAX) return NEAREST_MAX;
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            int best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[m];
}

const char *pn_nearest(const char *text, const char *const known[]) {
    const char *best = NULL;
    int best_distance = (int)strlen(text) / 2 + 2;
    for (size_t i = 0; known[i] != NULL; i++) {
        int d = distance(text, known[i]);
        if (d >= best_distance) continue;
        best_distance = d;
        best = known[i];
    }
    return best;
}

static bool is_known(const char *key, const char *const known[]) {
    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(key, known[i]) == 0) return true;
    }
    return false;
}

static void push_list(lua_State *L, const char *const known[]) {
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; known[i] != NULL; i++) {
        if (i > 0) luaL_addstring(&b, ", ");
        luaL_addstring(&b, known[i]);
    }
    luaL_pushresult(&b);
}

_Noreturn void pn_unknown_option(lua_State *L, const char *key, const char *const known[]) {
    const char *near = pn_nearest(key, known);
    if (near != NULL) luaL_error(L, "unknown option '%s' (did you mean '%s'?)", key, near);
    push_list(L, known);
    luaL_error(L, "unknown option '%s' (known: %s)", key, lua_tostring(L, -1));
    pn_unreachable();
}

bool pn_check_options(lua_State *L, int arg, const char *const known[]) {
    if (lua_isnoneornil(L, arg)) return false;
    luaL_checktype(L, arg, LUA_TTABLE);
    arg = lua_absindex(L, arg);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            luaL_error(L, "bad option: a %s as key (options are named)", luaL_typename(L, -1));
        }
        const char *key = lua_tostring(L, -1);
        if (!is_known(key, known)) pn_unknown_option(L, key, known);
    }
    return true;
}

_Noreturn void pn_field_error(lua_State *L, const char *key, const char *expected, int index) {
    luaL_error(L, "option '%s': %s expected, got %s", key, expected, push_got(L, index));
    pn_unreachable();
}

uint64_t pn_option_duration(lua_State *L, int index, const char *key) {
    uint64_t ns;
    if (to_duration(L, index, &ns) != 0) pn_field_error(L, key, DURATION_EXPECTED, index);
    return ns;
}

uint64_t pn_field_duration(lua_State *L, int table, const char *key, uint64_t absent_ns) {
    uint64_t ns = absent_ns;
    if (lua_getfield(L, table, key) != LUA_TNIL) ns = pn_option_duration(L, -1, key);
    lua_pop(L, 1);
    return ns;
}

uint64_t pn_option_size(lua_State *L, int index, const char *key) {
    uint64_t bytes;
    if (to_size(L, index, &bytes) != 0) pn_field_error(L, key, SIZE_EXPECTED, index);
    return bytes;
}

uint64_t pn_field_size(lua_State *L, int table, const char *key, uint64_t absent_bytes) {
    uint64_t bytes = absent_bytes;
    if (lua_getfield(L, table, key) != LUA_TNIL) bytes = pn_option_size(L, -1, key);
    lua_pop(L, 1);
    return bytes;
}

lua_Integer pn_option_integer(lua_State *L, int index, const char *key, lua_Integer min,
                              lua_Integer max) {
    int is_integer;
    lua_Integer n = lua_tointegerx(L, index, &is_integer);
    if (lua_type(L, index) == LUA_TNUMBER && is_integer && n >= min && n <= max) return n;
    index = lua_absindex(L, index);
    const char *range = max == LUA_MAXINTEGER
                            ? lua_pushfstring(L, "an integer of at least %I", min)
                            : lua_pushfstring(L, "an integer from %I to %I", min, max);
    pn_field_error(L, key, range, index);
}

lua_Integer pn_field_integer(lua_State *L, int table, const char *key, lua_Integer min,
                             lua_Integer max, lua_Integer absent) {
    lua_Integer n = absent;
    if (lua_getfield(L, table, key) != LUA_TNIL) n = pn_option_integer(L, -1, key, min, max);
    lua_pop(L, 1);
    return n;
}

lua_Number pn_field_number(lua_State *L, int table, const char *key, lua_Number min, lua_Number max,
                           lua_Number absent) {
    lua_Number n = absent;
    if (lua_getfield(L, table, key) != LUA_TNIL) {
        n = lua_tonumber(L, -1);
        if (lua_type(L, -1) != LUA_TNUMBER || !(n >= min) || !(n <= max)) {
            pn_field_error(L, key, lua_pushfstring(L, "a number from %f to %f", min, max), -2);
        }
    }
    lua_pop(L, 1);
    return n;
}

bool pn_field_boolean(lua_State *L, int table, const char *key, bool absent) {
    bool value = absent;
    if (lua_getfield(L, table, key) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TBOOLEAN) pn_field_error(L, key, "a boolean", -1);
        value = lua_toboolean(L, -1);
    }
    lua_pop(L, 1);
    return value;
}

const char *pn_field_string(lua_State *L, int table, const char *key, const char *absent) {
    if (lua_getfield(L, table, key) == LUA_TNIL) return absent;
    if (lua_type(L, -1) != LUA_TSTRING) pn_field_error(L, key, "a string", -1);
    return lua_tostring(L, -1);
}

int pn_field_choice(lua_State *L, int table, const char *key, const char *const choices[],
                    int absent) {
    int choice = absent;
    if (lua_getfield(L, table, key) != LUA_TNIL) {
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        for (choice = 0; choices[choice] != NULL && strcmp(choices[choice], text) != 0;) choice++;
        if (choices[choice] == NULL) {
            push_list(L, choices);
            pn_field_error(L, key, lua_pushfstring(L, "one of %s", lua_tostring(L, -1)), -3);
        }
    }
    lua_pop(L, 1);
    return choice;
}
