/*
 * The message codec: any bytes are decoded or refused, never misread; what was decoded is encoded
 * to bytes that decode to an equal value.
 */
#include <lauxlib.h>
#include <lua.h>

#include "bind/bind.h"
#include "lua/codec.h"
#include "lua/spawn.h"
#include "specs/fuzz/fuzz.h"

#define DEPTH_MAX 200

/* One actor that never runs: only its state is used. Made once, kept for the process's life. */
static lua_State *state(void) {
    static pn_actor actor;
    if (actor.state != NULL) return ((pn_lua *)actor.state)->L;
    static pn_runtime *runtime;
    PROPERTY(pn_runtime_create(&runtime, &(pn_runtime_options){.workers = 1}) == 0);
    PROPERTY(pn_lua_open(runtime, pn_modules) == 0);
    actor.worker = &runtime->workers[0];
    actor.pid = pn_pid_make(1, 1);
    pn_list_init(&actor.run_link);
    pn_ledger_init(&actor.ledger, "actor", &actor.worker->pool);
    pn_program *program = pn_program_source(actor.worker, "", 0, "=none", true);
    PROPERTY(program != NULL && pn_lua_behaviour.start(&actor, program) == 0);
    return ((pn_lua *)actor.state)->L;
}

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

/* Equal in kind and value, all the way down. */
static bool same(lua_State *L, int a, int b, int depth) {
    if (depth > DEPTH_MAX || lua_type(L, a) != lua_type(L, b)) return false;
    if (lua_type(L, a) == LUA_TNUMBER) {
        bool both = lua_isinteger(L, a) == lua_isinteger(L, b);
        double x = lua_tonumber(L, a), y = lua_tonumber(L, b);
        return both && (fuzz_bits(x) == fuzz_bits(y));
    }
    if (lua_type(L, a) != LUA_TTABLE) return lua_rawequal(L, a, b);
    luaL_checkstack(L, 8, NULL);
    size_t in_a = 0, in_b = 0;
    for (lua_pushnil(L); lua_next(L, a) != 0; lua_pop(L, 1), in_a++) {
        int value = lua_gettop(L);
        lua_pushvalue(L, -2);
        lua_rawget(L, b);
        /* a table as key is another one on the other side: such pairs are only counted */
        bool comparable = lua_type(L, value - 1) != LUA_TTABLE;
        if (comparable && !same(L, value, value + 1, depth + 1)) return false;
        lua_pop(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, b) != 0; lua_pop(L, 1)) in_b++;
    return in_a == in_b;
}

static int decode_and_back(lua_State *L) {
    input *in = lua_touserdata(L, 1);
    const uint8_t *at = in->data, *end = at + in->size;
    lua_settop(L, 0);
    pn_codec_decode(L, &at, end, NULL);
    PROPERTY(at <= end && lua_gettop(L) == 1);
    pn_parcel parcel;
    pn_parcel_begin(L, &parcel);
    pn_codec_encode(L, 1, &parcel, "value");
    size_t size = parcel.bytes->size;
#if PN_PLANT_BUG == 1
    if (size > 40) parcel.bytes->data[size - 1] ^= 1;
#endif
    uint8_t *copy = fuzz_copy(parcel.bytes->data, size);
    const uint8_t *again = copy;
    pn_codec_decode(L, &again, copy + size, NULL);
    PROPERTY(again == copy + size && lua_gettop(L) == 2);
    free(copy);
    PROPERTY(same(L, 1, 2, 0));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lua_State *L = state();
    uint8_t *copy = fuzz_copy(data, size);
    input in = {copy, size};
    lua_pushcfunction(L, decode_and_back);
    lua_pushlightuserdata(L, &in);
    lua_pcall(L, 1, 0, 0); /* refused is fine */
    lua_settop(L, 1);      /* boot */
    free(copy);
    return 0;
}
