/* perilune.scenario: the module is the function. The checks are in
 * scripts/perilune/load_options.lua. */
#include "bind/bind.h"

/* scenario{...}: the table itself, if it is a good one; else an error where the call stands. */
int pn_l_scenario(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    pn_module_require(L, "perilune.load_options");
    lua_getfield(L, -1, "check");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_settop(L, 1);
        return 1;
    }
    return luaL_error(L, "%s", lua_tostring(L, -1));
}
