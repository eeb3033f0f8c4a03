/* Tables of names and values (headers, forms, queries, cookies, tags), in a defined order. */
#include "bind/http.h"

#include "lua/args.h"
#include "net/url.h"

static const char *const kinds = "strings, numbers, booleans or lists of them as values";

/* The value on top as text; false when it has none. */
static bool read_value(lua_State *L, pn_http_field *field) {
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: {
        size_t size;
        const char *text = lua_tolstring(L, -1, &size);
        field->value = pn_text_make(text, size);
        return true;
    }
    case LUA_TNUMBER: {
        size_t size = lua_isinteger(L, -1)
                          ? pn_decimal_format_int(lua_tointeger(L, -1), field->digits)
                          : pn_decimal_format(lua_tonumber(L, -1), field->digits);
        field->value = pn_text_make(field->digits, size);
        return true;
    }
    case LUA_TBOOLEAN:
        field->value = lua_toboolean(L, -1) ? PN_TEXT("true") : PN_TEXT("false");
        return true;
    default: return false;
    }
}

static pn_http_field *add_field(lua_State *L, pn_http_fields *fields, const char *option,
                                pn_text name) {
    if (fields->count == PN_HTTP_FIELDS_MAX) {
        luaL_error(L, "option '%s': more than %d values", option, PN_HTTP_FIELDS_MAX);
    }
    pn_http_field *field = &fields->at[fields->count++];
    field->name = name;
    return field;
}

/* The list on top. */
static void read_list(lua_State *L, pn_http_fields *fields, const char *option, pn_text name) {
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= count; i++) {
        pn_http_field *field = add_field(L, fields, option, name);
        lua_rawgeti(L, -1, i);
        if (!read_value(L, field)) pn_field_error(L, option, kinds, -1);
        lua_pop(L, 1);
    }
}

static bool is_before(const pn_http_fields *fields, uint16_t a, uint16_t b) {
    const pn_text x = fields->at[a].name, y = fields->at[b].name;
    size_t common = x.size < y.size ? x.size : y.size;
    int order = memcmp(x.at, y.at, common);
    if (order != 0) return order < 0;
    return x.size != y.size ? x.size < y.size : a < b;
}

/* Shell's sort over the places: no memory, no recursion, and quick for the few there are. */
static void sort_fields(pn_http_fields *fields) {
    static const uint16_t gaps[] = {57, 23, 10, 4, 1}; /* Ciura, 2001 */
    uint16_t count = (uint16_t)fields->count;
    for (uint16_t i = 0; i < count; i++) fields->order[i] = i;
    for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        uint16_t gap = gaps[g];
        for (uint16_t i = gap; i < count; i++) {
            uint16_t moved = fields->order[i], to = i;
            for (; to >= gap && is_before(fields, moved, fields->order[to - gap]); to -= gap) {
                fields->order[to] = fields->order[to - gap];
            }
            fields->order[to] = moved;
        }
    }
}

void pn_http_fields_read(lua_State *L, int index, const char *option, pn_http_fields *fields) {
    fields->count = 0;
    if (lua_type(L, index) != LUA_TTABLE) pn_field_error(L, option, "a table", index);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING) pn_field_error(L, option, "strings as keys", -2);
        size_t size;
        const char *text = lua_tolstring(L, -2, &size);
        pn_text name = pn_text_make(text, size);
        if (lua_type(L, -1) == LUA_TTABLE) {
            read_list(L, fields, option, name);
        } else if (!read_value(L, add_field(L, fields, option, name))) {
            pn_field_error(L, option, kinds, -1);
        }
        lua_pop(L, 1);
    }
    sort_fields(fields);
}

bool pn_http_fields_write_form(const pn_http_fields *fields, pn_buf *out) {
    size_t start = out->size;
    for (size_t i = 0; i < fields->count; i++) {
        const pn_http_field *field = pn_http_fields_get(fields, i);
        pn_form_add(out, start, field->name, field->value);
    }
    return !out->failed;
}
