#include "bind/tags.h"

static uint32_t put(lua_State *L, pn_tag *list, uint32_t count, const pn_tag *tag) {
    uint32_t i = count;
    while (i > 0 && pn_tag_compare_keys(&list[i - 1], tag) > 0) i--;
    if (i > 0 && pn_tag_compare_keys(&list[i - 1], tag) == 0) {
        list[i - 1] = *tag;
        return count;
    }
    if (count == PN_SAMPLE_TAGS_MAX) luaL_error(L, "more than %d tags", PN_SAMPLE_TAGS_MAX);
    memmove(&list[i + 1], &list[i], (count - i) * sizeof *list);
    list[i] = *tag;
    return count + 1;
}

static void refuse(lua_State *L, int tags) {
    luaL_argerror(L, tags, "tags are a table of names and texts, numbers or booleans");
}

/* Of the value on top, the key below it. A number's text is put beneath both, where it lives on. */
static const char *text_of(lua_State *L, int tags, size_t *size) {
    const char *text;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: return lua_tolstring(L, -1, size);
    case LUA_TBOOLEAN: *size = lua_toboolean(L, -1) ? 4 : 5; return *size == 4 ? "true" : "false";
    case LUA_TNUMBER:
        luaL_checkstack(L, 6, "too many tags");
        text = luaL_tolstring(L, -1, size);
        lua_insert(L, -3);
        return text;
    default: refuse(L, tags); return NULL;
    }
}

pn_tags pn_tags_collect(lua_State *L, pn_tag *list, const pn_tags *labels, int tags,
                        const pn_tag *own) {
    uint32_t count = labels->count;
    memcpy(list, labels->list, count * sizeof *list);
    if (tags != 0 && !lua_isnoneornil(L, tags)) {
        if (!lua_istable(L, tags)) refuse(L, tags);
        luaL_checkstack(L, 6, NULL);
        lua_pushnil(L);
        while (lua_next(L, tags) != 0) {
            size_t key_size, value_size;
            if (lua_type(L, -2) != LUA_TSTRING) refuse(L, tags);
            const char *value = text_of(L, tags, &value_size);
            const char *key = lua_tolstring(L, -2, &key_size);
            pn_tag tag = {key, value, (uint32_t)key_size, (uint32_t)value_size};
            count = put(L, list, count, &tag);
            lua_pop(L, 1);
        }
    }
    if (own != NULL) count = put(L, list, count, own);
    return (pn_tags){list, count};
}

void pn_tags_check(lua_State *L, int tags) {
    if (tags == 0 || lua_isnoneornil(L, tags)) return;
    if (!lua_istable(L, tags)) refuse(L, tags);
}
