/*
 * codec.h - values that travel between states: a binary copy.
 *
 * Travels: nil, booleans, integers (exact), floats, strings, trees of tables, pids, json.null,
 * requests, and objects that go by name (their metatable says how, see PN_CODEC_NAMED). In a spawn
 * also Lua functions with their upvalues (shared ones stay shared, `_ENV` becomes the new state's
 * globals) and modules, which are required again on the other side. Everything else raises and
 * names the path: "msg.user.conn: a userdata cannot be copied to another actor".
 *
 * Limits: PN_CODEC_DEPTH_MAX levels, PN_MSG_MAX_BYTES bytes, PN_MSG_CARRIED_MAX requests. Decoding
 * checks every bound, so bytes of any origin are refused rather than misread; function bytes are
 * only ever read from a spawn of the same process.
 */
#ifndef PN_LUA_CODEC_H
#define PN_LUA_CODEC_H

#include "lua/lua_state.h"

#define PN_CODEC_DEPTH_MAX 100

/* In a metatable: a function object -> text, and the module whose field `named` makes the object
 * again from that text. */
#define PN_CODEC_NAME   "__perilune_name"
#define PN_CODEC_MODULE "__perilune_module"

typedef struct pn_parcel {
    pn_buf *bytes;
    pn_call *calls[PN_MSG_CARRIED_MAX];
    unsigned call_count;
} pn_parcel;

/* Appends the value at `index`; raises what cannot travel, naming the path from `root`. */
void pn_codec_encode(lua_State *L, int index, pn_parcel *parcel, const char *root);

/* As above, for a spawn: functions and modules may travel. */
void pn_codec_encode_program(lua_State *L, int index, pn_parcel *parcel, const char *root);

/* Pushes the next value and moves *at. Raises on bad bytes and without memory. `msg` is where
 * requests are taken from, NULL if there can be none. */
void pn_codec_decode(lua_State *L, const uint8_t **at, const uint8_t *end, const pn_msg *msg);

/* As above, for what pn_codec_encode_program wrote. */
void pn_codec_decode_program(lua_State *L, const uint8_t **at, const uint8_t *end);

/* The worker's scratch buffer, cleared, and an empty parcel over it. Valid until the next call. */
void pn_parcel_begin(lua_State *L, pn_parcel *parcel);

/* Copies a parcel into a message. Raises without memory or when too large; the message is then
 * freed. */
void pn_parcel_post(lua_State *L, const pn_parcel *parcel, pn_msg *msg);

/* Sets the payload of a message to one value: the fast path of send. Raises; `msg` is made inside
 * and only returned whole. */
pn_msg *pn_codec_message(lua_State *L, int index, pn_msg_kind kind, const char *root);

/* For C that speaks to Lua actors without a state of its own: appends the head of an array of count
 * <= 15 values, which follow; a string. False without memory. */
bool pn_codec_put_array(pn_buf *out, unsigned count);
bool pn_codec_put_string(pn_buf *out, const char *text, size_t size);

/* Pushes the value of a message that is one: the fast path of receive. */
void pn_codec_push(lua_State *L, const pn_msg *msg);

/* Pushes a pid, a light userdata. All light userdata of a state (pids, json.null, actor.SYSTEM)
 * share one metatable, set when the first is pushed. */
void pn_push_pid(lua_State *L, pn_pid pid);
void pn_codec_set_light_class(lua_State *L);

/* The pid at `index`, or 0. */
static inline pn_pid pn_to_pid(lua_State *L, int index) {
    pn_pid pid =
        (pn_pid)(uintptr_t)lua_touserdata(L, index); /* a block's address has no such tag */
    return pn_pid_valid(pid) ? pid : 0;
}

#endif
