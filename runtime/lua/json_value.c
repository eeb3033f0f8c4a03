#include "lua/json_value.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/codec.h"
#include "lua/module.h"

#define KEYS_ON_STACK 32 /* of an object; more are sorted in memory of their own */

void pn_json_push_null(lua_State *L) {
    pn_codec_set_light_class(L);
    lua_pushlightuserdata(L, NULL);
}

/* ---- decoding ---- */

static void push_string(lua_State *L, const pn_json_string *string) {
    if (!string->is_escaped) {
        lua_pushlstring(L, string->raw, string->raw_size);
        return;
    }
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, string->raw_size);
    luaL_pushresultsize(&b, pn_json_unescape(string, out));
}

static void push_scalar(lua_State *L, const pn_json_reader *r) {
    switch (r->token) {
    case PN_JSON_NULL: pn_json_push_null(L); return;
    case PN_JSON_INT: lua_pushinteger(L, r->integer); return;
    case PN_JSON_DOUBLE: lua_pushnumber(L, r->number); return;
    case PN_JSON_STRING:
    case PN_JSON_KEY: push_string(L, &r->string); return;
    default: lua_pushboolean(L, r->token == PN_JSON_TRUE);
    }
}

/* The open arrays and objects lie on the stack, each object's under its pending key. counts[] is
 * for each the elements so far; of an object, IS_OBJECT. */
#define IS_OBJECT     UINT32_MAX
#define SLOTS_A_LEVEL 2 /* table and key */
#define SLOTS_IN_HAND 6

static void open_table(lua_State *L, bool is_array) {
    luaL_checkstack(L, SLOTS_A_LEVEL + SLOTS_IN_HAND, "JSON text");
    lua_newtable(L);
    if (is_array) pn_module_mark_array(L);
}

/* Puts the finished value on top into the table below it. */
static void settle(lua_State *L, uint32_t *count) {
    if (*count == IS_OBJECT) {
        lua_rawset(L, -3);
    } else {
        lua_rawseti(L, -2, ++*count);
    }
}

int pn_json_push(lua_State *L, pn_json_reader *r) {
    uint32_t counts[PN_JSON_DEPTH_MAX];
    uint32_t depth = 0;
    int top = lua_gettop(L);
    luaL_checkstack(L, SLOTS_IN_HAND, "JSON text");
    do {
        pn_json_token token = pn_json_read(r);
        if (token == PN_JSON_ERROR || token == PN_JSON_END) {
            lua_settop(L, top);
            return r->err;
        }
        if (token == PN_JSON_ARRAY || token == PN_JSON_OBJECT) {
            open_table(L, token == PN_JSON_ARRAY);
            counts[depth++] = token == PN_JSON_ARRAY ? 0 : IS_OBJECT;
            continue;
        }
        if (token == PN_JSON_ARRAY_END || token == PN_JSON_OBJECT_END) {
            pn_assert(depth > 0);
            depth--; /* the table itself is the finished value */
        } else {
            push_scalar(L, r);
        }
        if (token != PN_JSON_KEY && depth > 0) settle(L, &counts[depth - 1]);
    } while (depth > 0);
    return 0;
}

static int push_read_error(lua_State *L, const pn_json_reader *r) {
    char text[PN_JSON_MESSAGE_BYTES];
    return pn_push_error(L, r->err, "%s", pn_json_message(r, text));
}

int pn_json_decode(lua_State *L, const char *text, size_t size, const pn_json_limits *limits) {
    pn_json_reader r;
    pn_json_reader_init(&r, text, size, limits);
    if (pn_json_push(L, &r) != 0) return push_read_error(L, &r);
    if (pn_json_read(&r) == PN_JSON_END) return 1;
    lua_pop(L, 1);
    return push_read_error(L, &r);
}

int pn_json_decode_at(lua_State *L, const char *text, size_t size, const char *path,
                      size_t path_size, const pn_json_limits *limits) {
    pn_json_reader r;
    if (pn_json_find(text, size, path, path_size, limits, &r) != 0 || pn_json_push(L, &r) != 0) {
        return push_read_error(L, &r);
    }
    return 1;
}

/* ---- encoding ---- */

/* A pn_buf's memory as a userdata in a fixed slot of the stack: an error that is raised leaves
 * nothing that anybody would have to free. */
typedef struct stack_door {
    pn_alloc door;
    lua_State *L;
    int slot;
} stack_door;

static void *resize(pn_alloc *self, void *block, size_t old_size, size_t new_size) {
    stack_door *d = PN_CONTAINER(self, stack_door, door);
    if (new_size == 0) return NULL;
    void *bigger = lua_newuserdatauv(d->L, new_size, 0);
    if (old_size > 0) memcpy(bigger, block, old_size < new_size ? old_size : new_size);
    lua_replace(d->L, d->slot);
    return bigger;
}

/* The table under way; the levels make the path. Its present key is on the stack at `key`, or is
 * `position`. */
typedef struct level {
    const struct level *outer;
    const void *table;
    int key;
    lua_Integer position;
} level;

typedef struct encoder {
    lua_State *L;
    pn_json_writer writer;
    int err; /* 0, or why it was refused; then the message is on top of the stack */
} encoder;

static void encode(encoder *e, int index, const level *at);

static void add_path(lua_State *L, luaL_Buffer *b, const level *at) {
    if (at == NULL) return;
    add_path(L, b, at->outer);
    if (at->key != 0) {
        luaL_addchar(b, '.');
        lua_pushvalue(L, at->key);
    } else {
        lua_pushfstring(L, "[%I]", at->position);
    }
    luaL_addvalue(b);
}

static void refuse(encoder *e, const level *at, int err, const char *why) {
    lua_State *L = e->L;
    luaL_Buffer b;
    if (e->err != 0) return;
    e->err = err;
    luaL_checkstack(L, 8, "path of a value");
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "value");
    add_path(L, &b, at);
    luaL_addstring(&b, ": ");
    luaL_addstring(&b, why);
    luaL_pushresult(&b);
}

/* What the writer says, in words. */
static void check_writer(encoder *e, const level *at) {
    int err = e->writer.err;
    if (err == 0) return;
    refuse(e, at, err, err == PN_EBAD_VALUE ? "text that is not UTF-8" : pn_err_text(err));
}

static void encode_number(encoder *e, int index, const level *at) {
    if (lua_isinteger(e->L, index)) {
        pn_json_write_int(&e->writer, lua_tointeger(e->L, index));
        return;
    }
    lua_Number n = lua_tonumber(e->L, index);
    if (!isfinite(n)) {
        refuse(e, at, PN_EBAD_VALUE,
               isnan(n) ? "NaN has no JSON form" : "an infinity has no JSON form");
        return;
    }
    pn_json_write_double(&e->writer, n);
}

/* What the keys of a table are. */
typedef struct shape {
    uint64_t texts, integers;
    lua_Integer largest;
    int other; /* type of a key that is neither, or LUA_TNIL */
} shape;

static shape shape_of(lua_State *L, int index) {
    shape s = {0, 0, 0, LUA_TNIL};
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            s.texts++;
        } else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1) {
            s.integers++;
            if (lua_tointeger(L, -1) > s.largest) s.largest = lua_tointeger(L, -1);
        } else {
            s.other = lua_type(L, -1);
        }
    }
    return s;
}

static void encode_array(encoder *e, int index, const shape *s, level *here) {
    lua_State *L = e->L;
    pn_json_begin_array(&e->writer);
    for (here->position = 1; here->position <= s->largest && e->err == 0; here->position++) {
        if (lua_rawgeti(L, index, here->position) == LUA_TNIL) {
            refuse(e, here, PN_EBAD_VALUE, "a hole in an array (json.null stands for nothing)");
            return;
        }
        encode(e, lua_gettop(L), here);
        if (e->err == 0) lua_pop(L, 1);
    }
    if (e->err == 0) pn_json_end_array(&e->writer);
}

typedef struct key {
    const char *text;
    size_t size;
    int place; /* in the list of keys, from 0 */
} key;

static int compare_keys(const void *a, const void *b) {
    const key *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* The keys of an object, kept alive whatever a finalizer does to the table: a few in the slots of
 * the stack from `base`, more in a table there. */
typedef struct key_list {
    int base;
    int capacity;
    bool is_table;
} key_list;

static void open_keys(lua_State *L, key_list *list, size_t count) {
    pn_assert(count <= INT_MAX); /* of 2^31 keys there is no memory for */
    list->base = lua_gettop(L) + 1;
    list->capacity = (int)count;
    list->is_table = count > KEYS_ON_STACK;
    if (list->is_table) {
        lua_createtable(L, list->capacity, 0);
    } else {
        lua_settop(L, list->base - 1 + list->capacity);
    }
}

static int collect_keys(lua_State *L, int index, const key_list *list, key *keys) {
    int n = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        if (n == list->capacity || lua_type(L, -1) != LUA_TSTRING) continue;
        keys[n] = (key){.place = n};
        keys[n].text = lua_tolstring(L, -1, &keys[n].size);
        lua_pushvalue(L, -1);
        if (list->is_table) {
            lua_rawseti(L, list->base, n + 1);
        } else {
            lua_replace(L, list->base + n);
        }
        n++;
    }
    return n;
}

static void push_key(lua_State *L, const key_list *list, int place) {
    if (list->is_table) {
        lua_rawgeti(L, list->base, place + 1);
    } else {
        lua_pushvalue(L, list->base + place);
    }
}

int pn_json_push_keys(lua_State *L, int index) {
    luaL_checkstack(L, 6, "keys");
    index = lua_absindex(L, index);
    key_list list = {lua_gettop(L) + 1, (int)shape_of(L, index).texts, true};
    lua_createtable(L, list.capacity, 0);
    key *keys = lua_newuserdatauv(L, (size_t)list.capacity * sizeof *keys + 1, 0);
    int count = collect_keys(L, index, &list, keys);
    qsort(keys, (size_t)count, sizeof *keys, compare_keys);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        push_key(L, &list, keys[i].place);
        lua_rawseti(L, -2, i + 1);
    }
    lua_replace(L, list.base);
    lua_settop(L, list.base);
    return count;
}

static void encode_members(encoder *e, int index, const key_list *list, const key *keys, int count,
                           level *here) {
    lua_State *L = e->L;
    for (int i = 0; i < count && e->err == 0; i++) {
        push_key(L, list, keys[i].place);
        here->key = lua_gettop(L);
        lua_pushvalue(L, -1);
        lua_rawget(L, index);
        pn_json_write_key(&e->writer, keys[i].text, keys[i].size);
        check_writer(e, here);
        if (e->err == 0) encode(e, here->key + 1, here);
        if (e->err == 0) lua_pop(L, 2);
    }
}

static void encode_object(encoder *e, int index, const shape *s, level *here) {
    lua_State *L = e->L;
    key_list list;
    key few[KEYS_ON_STACK], *keys = few;
    open_keys(L, &list, (size_t)s->texts);
    if (list.is_table) keys = lua_newuserdatauv(L, (size_t)list.capacity * sizeof *keys, 0);
    int count = collect_keys(L, index, &list, keys);
    qsort(keys, (size_t)count, sizeof *keys, compare_keys);
    pn_json_begin_object(&e->writer);
    encode_members(e, index, &list, keys, count, here);
    if (e->err != 0) return;
    pn_json_end_object(&e->writer);
    lua_settop(L, list.base - 1);
}

static bool is_within(const level *outer, const void *table) {
    for (; outer != NULL; outer = outer->outer) {
        if (outer->table == table) return true;
    }
    return false;
}

/* Only the mark of arrays may be there: a proxy or an object with behaviour is not what its fields
 * say. */
static bool check_metatable(encoder *e, int index, const level *at, bool *is_array) {
    *is_array = false;
    if (!lua_getmetatable(e->L, index)) return true;
    *is_array = pn_module_is_array_mark(e->L, -1);
    lua_pop(e->L, 1);
    if (!*is_array) refuse(e, at, PN_EBAD_VALUE, "a table with a metatable has no JSON form");
    return *is_array;
}

static bool check_shape(encoder *e, const shape *s, bool is_array, const level *at) {
    char why[96];
    if (s->other != LUA_TNIL) {
        snprintf(why, sizeof why, "a %s as key",
                 s->other == LUA_TNUMBER ? "number that is no positive integer"
                                         : lua_typename(e->L, s->other));
    } else if (s->texts > 0 && (s->integers > 0 || is_array)) {
        snprintf(why, sizeof why, "%s",
                 is_array ? "an array with a text as key"
                          : "a table with both texts and integers as keys");
    } else {
        return true;
    }
    refuse(e, at, PN_EBAD_VALUE, why);
    return false;
}

static void encode_table(encoder *e, int index, const level *outer) {
    lua_State *L = e->L;
    bool is_array;
    level here = {outer, lua_topointer(L, index), 0, 0};
    luaL_checkstack(L, KEYS_ON_STACK + 8, "value for JSON");
    if (!check_metatable(e, index, outer, &is_array)) return;
    if (is_within(outer, here.table)) {
        refuse(e, outer, PN_EBAD_VALUE, "a table that contains itself");
        return;
    }
    if (e->writer.depth == e->writer.depth_max) {
        refuse(e, outer, PN_ETOO_DEEP, "nested over the depth limit");
        return;
    }
    shape s = shape_of(L, index);
    if (!check_shape(e, &s, is_array, outer)) return;
    if (is_array || s.integers > 0) {
        encode_array(e, index, &s, &here);
    } else {
        encode_object(e, index, &s, &here);
    }
}

static void encode_string(encoder *e, int index) {
    size_t size;
    const char *text = lua_tolstring(e->L, index, &size);
    pn_json_write_string(&e->writer, text, size);
}

/* The value stays where it is; after an error the message is on top of the stack. */
static void encode(encoder *e, int index, const level *at) {
    lua_State *L = e->L;
    char why[96];
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: pn_json_write_bool(&e->writer, lua_toboolean(L, index)); break;
    case LUA_TNUMBER: encode_number(e, index, at); break;
    case LUA_TSTRING: encode_string(e, index); break;
    case LUA_TTABLE: encode_table(e, index, at); break;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index) == NULL) {
            pn_json_write_null(&e->writer);
            break;
        } /* fall through */
    default:
        snprintf(why, sizeof why, "%s%s has no JSON form", lua_isnil(L, index) ? "" : "a ",
                 luaL_typename(L, index));
        refuse(e, at, PN_EBAD_VALUE, why);
    }
    check_writer(e, at);
}

int pn_json_encode(lua_State *L, int index, const pn_json_style *style) {
    luaL_checkstack(L, 8, "value for JSON");
    index = lua_absindex(L, index);
    lua_pushnil(L);
    stack_door door = {{resize}, L, lua_gettop(L)};
    pn_buf out;
    pn_buf_init(&out, &door.door);
    out.limit_bytes =
        style->size_max_bytes > 0 ? style->size_max_bytes : PN_JSON_SIZE_DEFAULT_BYTES;
    encoder e = {.L = L};
    pn_json_writer_init(&e.writer, &out, style->indent, style->depth_max);
    encode(&e, index, NULL);
    if (e.err != 0) return pn_push_error(L, e.err, "%s", lua_tostring(L, -1));
    lua_pushlstring(L, out.data, out.size);
    return 1;
}
