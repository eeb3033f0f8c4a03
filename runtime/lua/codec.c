/*
 * Bytes: one tag, then what the tag says. Small integers, short strings and small arrays are in the
 * tag itself, so {"m", 7} is four bytes. Integers and floats are eight bytes in the machine's
 * order: the bytes never leave the process.
 */
#include "lua/codec.h"

#include <stdio.h>
#include <string.h>

#include "lua/module.h"
#include "lua/request.h"

enum tag {
    TAG_NIL,
    TAG_FALSE,
    TAG_TRUE,
    TAG_INTEGER,       /* 8 bytes */
    TAG_FLOAT,         /* 8 bytes */
    TAG_STRING,        /* 4 bytes size */
    TAG_TABLE,         /* 4 bytes array size, 4 bytes pairs */
    TAG_MARKED_TABLE,  /* the same, with the mark of a JSON array */
    TAG_LIGHT,         /* 8 bytes: a pid, json.null */
    TAG_REQUEST,       /* 1 byte: which of the carried */
    TAG_NAMED,         /* two strings: module, name */
    TAG_FUNCTION,      /* a string of code, 1 byte of upvalue count, upvalues */
    TAG_FUNCTION_SEEN, /* 4 bytes: the n-th function of this parcel */
    TAG_MODULE,        /* a string */
    TAG_MEMBER,        /* two strings: module, field */
    TAG_ENV,
    TAG_UPVALUE,              /* 4 bytes id, value: met for the first time */
    TAG_UPVALUE_SEEN,         /* 4 bytes id */
    TAG_SHORT_STRING = 0x40,  /* to 0x7f: size */
    TAG_SMALL_ARRAY = 0x80,   /* to 0x8f: size, no pairs */
    TAG_SMALL_INTEGER = 0xc0, /* to 0xff: 0 to 63 */
};

#define FREE_LEVELS       3 /* of tables: a C function has stack for these without asking */
#define SHORT_STRING_MAX  63
#define SMALL_ARRAY_MAX   15
#define SMALL_INTEGER_MAX 63

/* ---- pids ---- */

/* All light userdata of a state share one metatable. */
static int light_tostring(lua_State *L) {
    void *p = lua_touserdata(L, 1);
    pn_pid pid = (pn_pid)(uintptr_t)p;
    char text[PN_PID_TEXT_BYTES];
    if (pn_pid_valid(pid)) {
        lua_pushstring(L, pn_pid_text(pid, text));
    } else if (p == NULL) {
        lua_pushliteral(L, "null");
    } else if (pn_module_is_system_mark(p)) {
        lua_pushliteral(L, "actor.SYSTEM");
    } else {
        lua_pushfstring(L, "userdata: %p", p);
    }
    return 1;
}

void pn_codec_set_light_class(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    if (lua->has_light_class) return;
    luaL_checkstack(L, 4, NULL);
    lua_pushlightuserdata(L, NULL);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, light_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua->has_light_class = true;
}

void pn_push_pid(lua_State *L, pn_pid pid) {
    if (PN_UNLIKELY(!pn_lua_of(L)->has_light_class)) pn_codec_set_light_class(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)pid);
}

/* ---- encoding ---- */

/* The table being encoded and the key under way; the frames make the path. */
struct level {
    const struct level *outer;
    const void *table;
    int key; /* stack index of the key, 0: the value is an upvalue named `name` */
    const char *name;
};

struct encoder {
    lua_State *L;
    pn_parcel *parcel;
    const char *root;
    bool takes_functions;
    int memo; /* stack index of a table: function -> number, upvalue id -> number */
    uint32_t function_count, upvalue_count;
    bool has_shared; /* something was met twice: the decoder must remember, too */
};

static void encode(struct encoder *e, int index, const struct level *level, int depth);

static void append_key(lua_State *L, luaL_Buffer *b, int key) {
    if (lua_type(L, key) == LUA_TSTRING) {
        luaL_addchar(b, '.');
        lua_pushvalue(L, key);
    } else if (lua_isinteger(L, key)) {
        lua_pushfstring(L, "[%I]", lua_tointeger(L, key));
    } else {
        lua_pushfstring(L, "[%s]", luaL_typename(L, key));
    }
    luaL_addvalue(b);
}

static void append_path(lua_State *L, luaL_Buffer *b, const struct level *level) {
    if (level == NULL) return;
    append_path(L, b, level->outer);
    if (level->key != 0) {
        append_key(L, b, level->key);
    } else if (level->name != NULL) {
        luaL_addstring(b, ": upvalue ");
        luaL_addstring(b, level->name);
    }
}

static _Noreturn void refuse(struct encoder *e, const struct level *level, const char *why) {
    lua_State *L = e->L;
    luaL_Buffer b;
    luaL_checkstack(L, 8, NULL);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, e->root);
    append_path(L, &b, level);
    luaL_addstring(&b, ": ");
    luaL_addstring(&b, why);
    luaL_pushresult(&b);
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
    lua_error(L);
    pn_unreachable();
}

/* Why so many bytes more could not be appended. */
static const char *why_full(const struct encoder *e, size_t size) {
    bool too_large = e->parcel->bytes->size + size > PN_MSG_MAX_BYTES;
    return too_large ? "too large to copy" : "not enough memory";
}

static void put(struct encoder *e, const void *bytes, size_t size) {
    if (PN_LIKELY(pn_buf_add(e->parcel->bytes, bytes, size))) return;
    refuse(e, NULL, why_full(e, size));
}

static void put_tag(struct encoder *e, unsigned tag) {
    pn_buf *bytes = e->parcel->bytes;
    if (PN_LIKELY(bytes->size < bytes->capacity)) {
        bytes->data[bytes->size++] = (char)tag;
    } else {
        uint8_t byte = (uint8_t)tag;
        put(e, &byte, 1);
    }
}

static void put_u32(struct encoder *e, size_t value) {
    uint32_t v = (uint32_t)value;
    put(e, &v, sizeof v);
}

static void put_string(struct encoder *e, const char *s, size_t size) {
    if (size <= SHORT_STRING_MAX) {
        put_tag(e, TAG_SHORT_STRING + (unsigned)size);
    } else {
        if (size > PN_MSG_MAX_BYTES) refuse(e, NULL, "too large to copy");
        put_tag(e, TAG_STRING);
        put_u32(e, size);
    }
    put(e, s, size);
}

static void encode_number(struct encoder *e, int index) {
    if (!lua_isinteger(e->L, index)) {
        lua_Number n = lua_tonumber(e->L, index);
        put_tag(e, TAG_FLOAT);
        put(e, &n, sizeof n);
        return;
    }
    lua_Integer i = lua_tointeger(e->L, index);
    if (i >= 0 && i <= SMALL_INTEGER_MAX) {
        put_tag(e, TAG_SMALL_INTEGER + (unsigned)i);
    } else {
        put_tag(e, TAG_INTEGER);
        put(e, &i, sizeof i);
    }
}

static void check_ancestors(struct encoder *e, const void *table, const struct level *level) {
    for (const struct level *l = level; l != NULL; l = l->outer) {
        if (l->table == table) refuse(e, level, "a table that contains itself cannot be copied");
    }
}

/* The header's numbers are known only at the end: it is written small, widened when it must be, and
 * patched. One pass over the table, because nothing but the pass tells what is in it. */
struct table_out {
    size_t start;
    uint32_t array, pairs;
    unsigned tag;
};

#define WIDE_HEADER_BYTES (1 + 2 * sizeof(uint32_t))

static void widen(struct encoder *e, struct table_out *t, unsigned tag) {
    pn_buf *bytes = e->parcel->bytes;
    if (t->tag != TAG_SMALL_ARRAY) return;
    t->tag = tag;
    uint8_t zeros[WIDE_HEADER_BYTES - 1] = {0};
    put(e, zeros, sizeof zeros);
    char *after = bytes->data + t->start + 1;
    memmove(after + sizeof zeros, after, bytes->size - t->start - WIDE_HEADER_BYTES);
}

static void patch(struct encoder *e, const struct table_out *t) {
    char *header = e->parcel->bytes->data + t->start;
    bool small = t->tag == TAG_SMALL_ARRAY;
    header[0] = (char)(small ? TAG_SMALL_ARRAY + t->array : t->tag);
    if (small) return;
    memcpy(header + 1, &t->array, sizeof t->array);
    memcpy(header + 1 + sizeof t->array, &t->pairs, sizeof t->pairs);
}

static void encode_entries(struct encoder *e, int index, struct table_out *t, struct level *here,
                           int depth) {
    lua_State *L = e->L;
    lua_pushnil(L);
    here->key = lua_gettop(L);
    while (lua_next(L, index) != 0) {
        bool in_order = t->pairs == 0 && lua_isinteger(L, -2) &&
                        lua_tointeger(L, -2) == (lua_Integer)t->array + 1;
        if (in_order) {
            if (t->array == SMALL_ARRAY_MAX) widen(e, t, TAG_TABLE);
            t->array++;
        } else {
            widen(e, t, TAG_TABLE);
            t->pairs++;
            encode(e, here->key, here, depth);
        }
        encode(e, here->key + 1, here, depth);
        lua_pop(L, 1);
    }
}

static void encode_table(struct encoder *e, int index, const struct level *level, int depth) {
    lua_State *L = e->L;
    struct level here = {level, lua_topointer(L, index), 0, NULL};
    unsigned tag = TAG_TABLE;
    if (lua_getmetatable(L, index)) {
        bool marked = pn_module_is_array_mark(L, -1);
        lua_pop(L, 1);
        if (!marked) refuse(e, level, "a table with a metatable cannot be copied to another actor");
        tag = TAG_MARKED_TABLE;
    }
    if (depth >= PN_CODEC_DEPTH_MAX) refuse(e, level, "nested too deep to copy");
    check_ancestors(e, here.table, level);
    luaL_checkstack(L, 6, "value to copy");
    struct table_out t = {e->parcel->bytes->size, 0, 0, TAG_SMALL_ARRAY};
    put_tag(e, TAG_SMALL_ARRAY);
    if (tag != TAG_TABLE) widen(e, &t, tag);
    encode_entries(e, index, &t, &here, depth + 1);
    patch(e, &t);
}

static void encode_request(struct encoder *e, pn_call *call, const struct level *level) {
    pn_parcel *parcel = e->parcel;
    if (parcel->call_count == PN_MSG_CARRIED_MAX)
        refuse(e, level, "too many requests in one message");
    put_tag(e, TAG_REQUEST);
    put_tag(e, parcel->call_count);
    parcel->calls[parcel->call_count++] = call;
}

/* A userdata whose metatable says how to name it. */
static bool encode_named(struct encoder *e, int index) {
    lua_State *L = e->L;
    if (luaL_getmetafield(L, index, PN_CODEC_MODULE) == LUA_TNIL) return false;
    size_t size;
    const char *s = lua_tolstring(L, -1, &size);
    put_tag(e, TAG_NAMED);
    put_string(e, s, size);
    lua_pop(L, 1);
    luaL_getmetafield(L, index, PN_CODEC_NAME);
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    s = luaL_checklstring(L, -1, &size);
    put_string(e, s, size);
    lua_pop(L, 1);
    return true;
}

static void encode_userdata(struct encoder *e, int index, const struct level *level) {
    pn_call *call = pn_request_call(e->L, index);
    if (call != NULL) {
        encode_request(e, call, level);
    } else if (!encode_named(e, index)) {
        bool has_name = luaL_getmetafield(e->L, index, "__name") == LUA_TSTRING;
        char why[96];
        snprintf(why, sizeof why, "a %.40s cannot be copied to another actor",
                 has_name ? lua_tostring(e->L, -1) : "userdata");
        refuse(e, level, why);
    }
}

/* ---- functions ---- */

struct code_writer {
    pn_buf *bytes;
    size_t refused; /* the size of the piece that was */
};

static int write_code(lua_State *L, const void *bytes, size_t size, void *context) {
    (void)L;
    struct code_writer *writer = context;
    if (pn_buf_add(writer->bytes, bytes, size)) return 0;
    writer->refused = size;
    return 1;
}

static void put_code(struct encoder *e, int index, const struct level *level) {
    struct code_writer writer = {.bytes = e->parcel->bytes};
    pn_buf *bytes = e->parcel->bytes;
    put_tag(e, TAG_STRING);
    put_u32(e, 0);
    size_t start = bytes->size;
    lua_pushvalue(e->L, index);
    if (lua_dump(e->L, write_code, &writer, 0) != 0) {
        refuse(e, level, why_full(e, writer.refused));
    }
    lua_pop(e->L, 1);
    uint32_t size = (uint32_t)(bytes->size - start);
    memcpy(bytes->data + start - sizeof size, &size, sizeof size);
}

/* The number that stands for a key in the memo, or 0 after adding it as `next`. */
static uint32_t memo_number(struct encoder *e, const void *key, uint32_t next) {
    lua_State *L = e->L;
    if (lua_rawgetp(L, e->memo, key) == LUA_TNUMBER) {
        uint32_t known = (uint32_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
        e->has_shared = true;
        return known;
    }
    lua_pop(L, 1);
    lua_pushinteger(L, next);
    lua_rawsetp(L, e->memo, key);
    return 0;
}

static void encode_upvalue(struct encoder *e, int function, int n, const struct level *level,
                           int depth) {
    lua_State *L = e->L;
    const char *name = lua_getupvalue(L, function, n);
    if (strcmp(name, "_ENV") == 0) {
        lua_pop(L, 1);
        put_tag(e, TAG_ENV);
        return;
    }
    uint32_t seen = memo_number(e, lua_upvalueid(L, function, n), e->upvalue_count + 1);
    if (seen != 0) {
        lua_pop(L, 1);
        put_tag(e, TAG_UPVALUE_SEEN);
        put_u32(e, seen);
        return;
    }
    put_tag(e, TAG_UPVALUE);
    put_u32(e, ++e->upvalue_count);
    struct level here = {level, NULL, 0, name};
    encode(e, lua_gettop(L), &here, depth + 1);
    lua_pop(L, 1);
}

static bool encode_module(struct encoder *e, int index);

static void encode_function(struct encoder *e, int index, const struct level *level, int depth) {
    lua_State *L = e->L;
    if (!e->takes_functions)
        refuse(e, level, "a function cannot be sent (functions travel in spawn)");
    if (depth >= PN_CODEC_DEPTH_MAX) refuse(e, level, "nested too deep to copy");
    luaL_checkstack(L, 8, "function to copy");
    if (pn_module_find_function(L, index)) { /* pushes module, field */
        put_tag(e, TAG_MEMBER);
        for (int i = -2; i <= -1; i++) {
            size_t size;
            const char *s = lua_tolstring(L, i, &size);
            put_string(e, s, size);
        }
        lua_pop(L, 2);
        return;
    }
    if (lua_iscfunction(L, index) && encode_module(e, index))
        return; /* a module that is a function */
    if (lua_iscfunction(L, index))
        refuse(e, level, "a C function cannot be copied to another actor");
    uint32_t seen = memo_number(e, lua_topointer(L, index), e->function_count + 1);
    if (seen != 0) {
        put_tag(e, TAG_FUNCTION_SEEN);
        put_u32(e, seen);
        return;
    }
    e->function_count++;
    put_tag(e, TAG_FUNCTION);
    put_code(e, index, level);
    lua_Debug ar;
    lua_pushvalue(L, index);
    lua_getinfo(L, ">u", &ar);
    put_tag(e, ar.nups);
    for (int n = 1; n <= ar.nups; n++) encode_upvalue(e, index, n, level, depth);
}

static bool encode_module(struct encoder *e, int index) {
    if (!e->takes_functions || !pn_module_find(e->L, index)) return false; /* pushes its name */
    size_t size;
    const char *name = lua_tolstring(e->L, -1, &size);
    put_tag(e, TAG_MODULE);
    put_string(e, name, size);
    lua_pop(e->L, 1);
    return true;
}

static void encode_light(struct encoder *e, int index, const struct level *level) {
    void *p = lua_touserdata(e->L, index);
    if (p != NULL && !pn_pid_valid((pn_pid)(uintptr_t)p) && !pn_module_is_system_mark(p)) {
        refuse(e, level, "a light userdata cannot be copied to another actor");
    }
    put_tag(e, TAG_LIGHT);
    put(e, &p, sizeof p);
}

static void encode(struct encoder *e, int index, const struct level *level, int depth) {
    lua_State *L = e->L;
    switch (lua_type(L, index)) {
    case LUA_TNIL: put_tag(e, TAG_NIL); break;
    case LUA_TBOOLEAN: put_tag(e, lua_toboolean(L, index) ? TAG_TRUE : TAG_FALSE); break;
    case LUA_TNUMBER: encode_number(e, index); break;
    case LUA_TSTRING: {
        size_t size;
        const char *s = lua_tolstring(L, index, &size);
        put_string(e, s, size);
        break;
    }
    case LUA_TTABLE:
        if (!encode_module(e, index)) encode_table(e, index, level, depth);
        break;
    case LUA_TLIGHTUSERDATA: encode_light(e, index, level); break;
    case LUA_TUSERDATA: encode_userdata(e, index, level); break;
    case LUA_TFUNCTION: encode_function(e, index, level, depth); break;
    default: refuse(e, level, "a coroutine cannot be copied to another actor");
    }
}

void pn_codec_encode(lua_State *L, int index, pn_parcel *parcel, const char *root) {
    struct encoder e = {.L = L, .parcel = parcel, .root = root};
    encode(&e, lua_absindex(L, index), NULL, 0);
}

void pn_codec_encode_program(lua_State *L, int index, pn_parcel *parcel, const char *root) {
    struct encoder e = {.L = L, .parcel = parcel, .root = root, .takes_functions = true};
    index = lua_absindex(L, index);
    luaL_checkstack(L, 4, NULL);
    lua_newtable(L);
    e.memo = lua_gettop(L);
    size_t flag_at = parcel->bytes->size;
    put_tag(&e, 0);
    encode(&e, index, NULL, 0);
    parcel->bytes->data[flag_at] = e.has_shared;
    lua_pop(L, 1);
}

bool pn_codec_put_array(pn_buf *out, unsigned count) {
    pn_assert(count <= SMALL_ARRAY_MAX);
    return pn_buf_add_byte(out, (char)(TAG_SMALL_ARRAY + count));
}

bool pn_codec_put_string(pn_buf *out, const char *text, size_t size) {
    uint32_t wide = (uint32_t)size;
    if (size <= SHORT_STRING_MAX) {
        pn_buf_add_byte(out, (char)(TAG_SHORT_STRING + size));
    } else {
        pn_buf_add_byte(out, TAG_STRING);
        pn_buf_add(out, &wide, sizeof wide);
    }
    return pn_buf_add(out, text, size);
}

/* ---- decoding ---- */

struct decoder {
    lua_State *L;
    const uint8_t *at, *end;
    const pn_msg *msg;
    int memo; /* stack index of a table: n -> n-th function, -2n and -2n-1 -> owner of upvalue n; 0:
               * nothing is shared, nothing is remembered */
    lua_Integer function_count;
    bool takes_functions;
};

static void decode(struct decoder *d, int depth);

static _Noreturn void damaged(struct decoder *d) {
    luaL_error(d->L, "damaged message");
    pn_unreachable();
}

static const uint8_t *take(struct decoder *d, size_t size) {
    if (PN_UNLIKELY((size_t)(d->end - d->at) < size)) damaged(d);
    const uint8_t *p = d->at;
    d->at += size;
    return p;
}

static uint32_t take_u32(struct decoder *d) {
    uint32_t v;
    memcpy(&v, take(d, sizeof v), sizeof v);
    return v;
}

static const char *take_string(struct decoder *d, size_t *size) {
    unsigned tag = *take(d, 1);
    if (tag >= TAG_SHORT_STRING && tag <= TAG_SHORT_STRING + SHORT_STRING_MAX) {
        *size = tag - TAG_SHORT_STRING;
    } else if (tag == TAG_STRING) {
        *size = take_u32(d);
    } else {
        damaged(d);
    }
    return (const char *)take(d, *size);
}

static void push_string(struct decoder *d) {
    size_t size;
    const char *s = take_string(d, &size);
    lua_pushlstring(d->L, s, size);
}

/* Sizes come from the bytes: what could not be there is not allocated for. */
static int hint(const struct decoder *d, uint32_t count) {
    size_t left = (size_t)(d->end - d->at);
    return (int)(count <= left ? count : left);
}

static void decode_table(struct decoder *d, uint32_t array, uint32_t pairs, int depth) {
    lua_State *L = d->L;
    if (PN_UNLIKELY(depth >= FREE_LEVELS)) {
        if (depth >= PN_CODEC_DEPTH_MAX) damaged(d);
        luaL_checkstack(L, 4, "copied value");
    }
    lua_createtable(L, hint(d, array), hint(d, pairs));
    for (uint32_t i = 1; i <= array; i++) {
        decode(d, depth + 1);
        lua_rawseti(L, -2, i);
    }
    for (uint32_t i = 0; i < pairs; i++) {
        decode(d, depth + 1);
        if (lua_isnil(L, -1) ||
            (lua_isnumber(L, -1) && lua_tonumber(L, -1) != lua_tonumber(L, -1))) {
            damaged(d);
        }
        decode(d, depth + 1);
        lua_rawset(L, -3);
    }
}

static void decode_named(struct decoder *d) {
    lua_State *L = d->L;
    luaL_checkstack(L, 4, "copied value");
    push_string(d);
    pn_module_require(L, lua_tostring(L, -1));
    lua_getfield(L, -1, "named");
    push_string(d);
    lua_call(L, 1, 1);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static void decode_member(struct decoder *d) {
    lua_State *L = d->L;
    luaL_checkstack(L, 4, "copied value");
    push_string(d);
    pn_module_require(L, lua_tostring(L, -1));
    lua_remove(L, -2);
    push_string(d);
    lua_gettable(L, -2);
    lua_remove(L, -2);
}

static void decode_upvalue(struct decoder *d, int function, int n, int depth) {
    lua_State *L = d->L;
    unsigned tag = *take(d, 1);
    if (tag == TAG_ENV) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
        if (lua_setupvalue(L, function, n) == NULL) damaged(d);
        return;
    }
    lua_Integer id = take_u32(d);
    if (tag == TAG_UPVALUE) {
        if (d->memo != 0) {
            lua_pushvalue(L, function);
            lua_rawseti(L, d->memo, -2 * id);
            lua_pushinteger(L, n);
            lua_rawseti(L, d->memo, -2 * id - 1);
        }
        decode(d, depth + 1);
        if (lua_setupvalue(L, function, n) == NULL) damaged(d);
        return;
    }
    if (d->memo == 0) damaged(d);
    lua_rawgeti(L, d->memo, -2 * id);
    lua_rawgeti(L, d->memo, -2 * id - 1);
    if (tag != TAG_UPVALUE_SEEN || !lua_isfunction(L, -2)) damaged(d);
    int owner_n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_upvaluejoin(L, function, n, -1, owner_n);
    lua_pop(L, 1);
}

static void decode_function(struct decoder *d, int depth) {
    lua_State *L = d->L;
    if (depth >= PN_CODEC_DEPTH_MAX || !d->takes_functions) damaged(d);
    luaL_checkstack(L, 6, "copied function");
    size_t size;
    const char *code = take_string(d, &size);
    if (luaL_loadbufferx(L, code, size, "=copied", "b") != LUA_OK) lua_error(L);
    int function = lua_gettop(L);
    if (d->memo != 0) {
        lua_pushvalue(L, function);
        lua_rawseti(L, d->memo, ++d->function_count);
    }
    int count = *take(d, 1);
    for (int n = 1; n <= count; n++) decode_upvalue(d, function, n, depth);
}

static void decode_light(struct decoder *d) {
    void *p;
    memcpy(&p, take(d, sizeof p), sizeof p);
    pn_pid pid = (pn_pid)(uintptr_t)p;
    if (pn_pid_valid(pid)) {
        pn_push_pid(d->L, pid);
    } else if (p == NULL || pn_module_is_system_mark(p)) {
        lua_pushlightuserdata(d->L, p);
    } else {
        damaged(d);
    }
}

static void decode_request(struct decoder *d) {
    unsigned i = *take(d, 1);
    if (d->msg == NULL || i >= d->msg->carried) damaged(d);
    pn_request_push(d->L, pn_msg_carried(d->msg, i));
}

/* What is not in the tag itself. */
static void decode_long(struct decoder *d, unsigned tag, int depth) {
    lua_State *L = d->L;
    switch (tag) {
    case TAG_NIL: lua_pushnil(L); return;
    case TAG_FALSE:
    case TAG_TRUE: lua_pushboolean(L, tag == TAG_TRUE); return;
    case TAG_STRING:
        d->at--;
        push_string(d);
        return;
    case TAG_FLOAT: {
        lua_Number n;
        memcpy(&n, take(d, sizeof n), sizeof n);
        lua_pushnumber(L, n);
        return;
    }
    case TAG_TABLE:
    case TAG_MARKED_TABLE: {
        uint32_t array = take_u32(d), pairs = take_u32(d);
        decode_table(d, array, pairs, depth);
        if (tag == TAG_MARKED_TABLE) pn_module_mark_array(L);
        return;
    }
    case TAG_LIGHT: decode_light(d); return;
    case TAG_REQUEST: decode_request(d); return;
    case TAG_NAMED: decode_named(d); return;
    case TAG_FUNCTION: decode_function(d, depth); return;
    case TAG_FUNCTION_SEEN:
        if (d->memo == 0 || lua_rawgeti(L, d->memo, take_u32(d)) != LUA_TFUNCTION) damaged(d);
        return;
    case TAG_MODULE:
        push_string(d);
        pn_module_require(L, lua_tostring(L, -1));
        lua_remove(L, -2);
        return;
    case TAG_MEMBER: decode_member(d); return;
    default: damaged(d);
    }
}

static void decode(struct decoder *d, int depth) {
    lua_State *L = d->L;
    unsigned tag = *take(d, 1);
    if (tag >= TAG_SMALL_INTEGER) {
        lua_pushinteger(L, tag - TAG_SMALL_INTEGER);
    } else if (tag >= TAG_SMALL_ARRAY) {
        if (tag > TAG_SMALL_ARRAY + SMALL_ARRAY_MAX) damaged(d);
        decode_table(d, tag - TAG_SMALL_ARRAY, 0, depth);
    } else if (tag >= TAG_SHORT_STRING) {
        size_t size = tag - TAG_SHORT_STRING;
        lua_pushlstring(L, (const char *)take(d, size), size);
    } else if (tag == TAG_INTEGER) {
        lua_Integer i;
        memcpy(&i, take(d, sizeof i), sizeof i);
        lua_pushinteger(L, i);
    } else {
        decode_long(d, tag, depth);
    }
}

void pn_codec_decode(lua_State *L, const uint8_t **at, const uint8_t *end, const pn_msg *msg) {
    struct decoder d = {.L = L, .at = *at, .end = end, .msg = msg};
    decode(&d, 0);
    *at = d.at;
}

void pn_codec_push(lua_State *L, const pn_msg *msg) {
    const uint8_t *at = pn_msg_payload(msg);
    const uint8_t *end = at + msg->size - msg->carried * sizeof(pn_call *);
    size_t size = (size_t)(end - at);
    if (size == 1 + sizeof(lua_Integer) && *at == TAG_INTEGER) {
        lua_Integer i;
        memcpy(&i, at + 1, sizeof i);
        lua_pushinteger(L, i);
    } else if (size > 0 && *at - TAG_SHORT_STRING == (int)size - 1 && size <= SHORT_STRING_MAX) {
        lua_pushlstring(L, (const char *)at + 1, size - 1);
    } else {
        pn_codec_decode(L, &at, end, msg);
    }
}

void pn_codec_decode_program(lua_State *L, const uint8_t **at, const uint8_t *end) {
    struct decoder d = {.L = L, .at = *at, .end = end, .takes_functions = true};
    bool has_shared = *take(&d, 1) != 0;
    if (has_shared) {
        lua_newtable(L);
        d.memo = lua_gettop(L);
    }
    decode(&d, 0);
    if (has_shared) lua_remove(L, d.memo);
    *at = d.at;
}

/* ---- parcels and messages ---- */

void pn_parcel_begin(lua_State *L, pn_parcel *parcel) {
    pn_buf *scratch = &pn_lua_worker(pn_lua_of(L))->scratch;
    pn_buf_clear(scratch);
    parcel->bytes = scratch;
    parcel->call_count = 0;
}

void pn_parcel_post(lua_State *L, const pn_parcel *parcel, pn_msg *msg) {
    pn_worker *worker = pn_lua_worker(pn_lua_of(L));
    int err = pn_msg_set_parcel(worker, msg, parcel->bytes->data, parcel->bytes->size,
                                parcel->calls, parcel->call_count);
    if (err == 0) return;
    pn_msg_free(worker, msg);
    luaL_error(L, "%s", pn_err_text(err));
}

static pn_msg *create_message(lua_State *L, pn_msg_kind kind) {
    pn_msg *msg = pn_msg_create(pn_lua_worker(pn_lua_of(L)), kind);
    if (PN_UNLIKELY(msg == NULL)) luaL_error(L, "%s", pn_err_text(PN_ENOMEM));
    return msg;
}

static size_t write_word(uint8_t *out, unsigned tag, const void *word) {
    out[0] = (uint8_t)tag;
    memcpy(out + 1, word, 8);
    return 9;
}

static size_t write_integer(uint8_t *out, lua_Integer i) {
    if (i < 0 || i > SMALL_INTEGER_MAX) return write_word(out, TAG_INTEGER, &i);
    out[0] = (uint8_t)(TAG_SMALL_INTEGER + i);
    return 1;
}

/* The bytes of a scalar that fits into `room` (at least 9), or 0. */
static size_t write_scalar(lua_State *L, int index, uint8_t *out, size_t room) {
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            return write_integer(out, lua_tointegerx(L, index, NULL));
        } else {
            lua_Number n = lua_tonumber(L, index);
            return write_word(out, TAG_FLOAT, &n);
        }
    case LUA_TSTRING: {
        size_t size;
        const char *s = lua_tolstring(L, index, &size);
        if (size + 1 > room || size > SHORT_STRING_MAX) return 0;
        out[0] = (uint8_t)(TAG_SHORT_STRING + size);
        memcpy(out + 1, s, size);
        return size + 1;
    }
    case LUA_TBOOLEAN: out[0] = lua_toboolean(L, index) ? TAG_TRUE : TAG_FALSE; return 1;
    case LUA_TNIL: out[0] = TAG_NIL; return 1;
    default: return 0;
    }
}

#define WORD_BYTES          9
#define SMALL_MESSAGE_BYTES 64

/* A small array of scalars, the commonest message: its bytes, or 0 for anything else. */
static size_t write_array(lua_State *L, int index, uint8_t *out, size_t room) {
    if (lua_type(L, index) != LUA_TTABLE) return 0;
    if (lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        return 0;
    }
    size_t size = 1;
    lua_Integer count = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        bool in_order = lua_isinteger(L, -2) && lua_tointegerx(L, -2, NULL) == count + 1;
        size_t more = in_order && size + WORD_BYTES <= room && count < SMALL_ARRAY_MAX
                          ? write_scalar(L, -1, out + size, room - size)
                          : 0;
        if (more == 0) {
            lua_pop(L, 2);
            return 0;
        }
        size += more;
        count++;
        lua_pop(L, 1);
    }
    out[0] = (uint8_t)(TAG_SMALL_ARRAY + count);
    return size;
}

pn_msg *pn_codec_message(lua_State *L, int index, pn_msg_kind kind, const char *root) {
    uint8_t small[SMALL_MESSAGE_BYTES];
    size_t size = write_scalar(L, index, small, sizeof small);
    if (size == 0) size = write_array(L, index, small, sizeof small);
    if (PN_LIKELY(size > 0)) {
        pn_msg *msg = create_message(L, kind);
        if (PN_LIKELY(size <= PN_MSG_INLINE_BYTES && kind <= PN_MSG_REQUEST)) {
            memcpy(msg->bytes, small, PN_MSG_INLINE_BYTES); /* of a constant size: three words */
            msg->size = (uint32_t)size;
            return msg;
        }
        int err = pn_msg_set_payload(pn_lua_worker(pn_lua_of(L)), msg, small, size);
        if (PN_LIKELY(err == 0)) return msg;
        pn_msg_free(pn_lua_worker(pn_lua_of(L)), msg);
        luaL_error(L, "%s", pn_err_text(err));
    }
    pn_parcel parcel;
    pn_parcel_begin(L, &parcel);
    pn_codec_encode(L, index, &parcel, root);
    pn_msg *msg = create_message(L, kind);
    pn_parcel_post(L, &parcel, msg);
    return msg;
}
