/*
 * The headers of a message as a Lua table: keys are written as "Content-Type", and looked up in any
 * case.
 *
 * Lines of one name are joined with ", " (RFC 9110, 5.3); those of Set-Cookie, which may not be,
 * with a line feed.
 */
#include "bind/http.h"

#include "net/http_headers.h"

#define NAME_BYTES_MAX 256 /* a longer name stays as it came */

static const char class_key = 0;

/* "content-TYPE" as "Content-Type", on the stack. */
static void push_name(lua_State *L, pn_text name) {
    char text[NAME_BYTES_MAX];
    if (name.size > sizeof text) {
        lua_pushlstring(L, name.at, name.size);
        return;
    }
    bool at_start = true;
    for (size_t i = 0; i < name.size; i++) {
        char low = pn_text_lower(name.at[i]);
        text[i] = at_start && low >= 'a' && low <= 'z' ? (char)(low & ~0x20) : low;
        at_start = low == '-';
    }
    lua_pushlstring(L, text, name.size);
}

/* Stack: table, key, ... */
static int headers_index(lua_State *L) {
    size_t size;
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *text = lua_tolstring(L, 2, &size);
    push_name(L, pn_text_make(text, size));
    lua_rawget(L, 1);
    return 1;
}

static int headers_newindex(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    push_name(L, pn_text_make(text, size));
    lua_pushvalue(L, 3);
    lua_rawset(L, 1);
    return 0;
}

static void push_class(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &class_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, headers_index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, headers_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, "headers");
    lua_setfield(L, -2, "__name");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &class_key);
}

/* Stack: table, name. Sets the value, behind what is there. */
static void add_line(lua_State *L, pn_text name, pn_text value) {
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushlstring(L, value.at, value.size);
    } else {
        bool may_join = !pn_text_equal_nocase(name, PN_TEXT("set-cookie"));
        lua_pushstring(L, may_join ? ", " : "\n");
        lua_pushlstring(L, value.at, value.size);
        lua_concat(L, 3);
    }
    lua_rawset(L, -3);
}

void pn_http_push_headers(lua_State *L, pn_text lines) {
    luaL_checkstack(L, 6, NULL);
    lua_newtable(L);
    pn_text name, value;
    while (pn_http_headers_next(&lines, &name, &value)) {
        push_name(L, name);
        add_line(L, name, value);
    }
    push_class(L);
    lua_setmetatable(L, -2);
}
