/*
 * json_value.h - JSON text to Lua values and back, without a tree in between.
 *
 * null is the light userdata NULL (json.null). Decoded arrays carry the array mark, a metatable
 * without methods, so that an empty array stays one; json.array marks a table of the script's own.
 * Integers and floats keep what they are. Keys are written in the order of their bytes.
 *
 * What JSON cannot say is refused and its place named, "value.items[3].id: a function has no JSON
 * form": functions, userdata, coroutines, tables with another metatable, holes, keys of both kinds,
 * a table within itself, NaN and infinities, text that is not UTF-8.
 *
 * Everything is in the actor's own memory and owned by its stack, so an error may be raised
 * anywhere (Lua does, without memory) and leaves nothing behind. No Lua code runs in here but
 * finalizers.
 */
#ifndef PN_LUA_JSON_VALUE_H
#define PN_LUA_JSON_VALUE_H

#include "core/json.h"
#include "lua/lua_state.h"

typedef struct pn_json_style {
    uint32_t indent;       /* 0: one line; at most PN_JSON_INDENT_MAX */
    uint32_t depth_max;    /* 0: PN_JSON_DEPTH_DEFAULT */
    size_t size_max_bytes; /* 0: PN_JSON_SIZE_DEFAULT_BYTES */
} pn_json_style;

/* Pushes the next value of the reader. 0, or the reader's err, and then nothing is pushed. */
int pn_json_push(lua_State *L, pn_json_reader *reader);

/* These push their result, or nil, message, code; and return how many values that is. */
int pn_json_decode(lua_State *L, const char *text, size_t size, const pn_json_limits *limits);
int pn_json_decode_at(lua_State *L, const char *text, size_t size, const char *path,
                      size_t path_size, const pn_json_limits *limits);
int pn_json_encode(lua_State *L, int index, const pn_json_style *style);

/* Pushes a table with the text keys of the table at `index`, in the order of their bytes; returns
 * how many. */
int pn_json_push_keys(lua_State *L, int index);

/* Pushes json.null. */
void pn_json_push_null(lua_State *L);

#endif
