/*
 * tidy_lua.h - what clang-tidy is told about Lua's API, which lua.h does not say: what raises does
 * not return, and what returns a block never returns NULL. Included before the files that use Lua;
 * never compiled into anything.
 */
#include <lauxlib.h>
#include <lua.h>

__attribute__((noreturn)) int lua_error(lua_State *L);
__attribute__((noreturn)) int luaL_error(lua_State *L, const char *format, ...);
__attribute__((noreturn)) int luaL_argerror(lua_State *L, int arg, const char *message);
__attribute__((noreturn)) int luaL_typeerror(lua_State *L, int arg, const char *name);
__attribute__((returns_nonnull)) void *lua_newuserdatauv(lua_State *L, size_t size, int values);
__attribute__((returns_nonnull)) void *luaL_checkudata(lua_State *L, int arg, const char *name);
__attribute__((returns_nonnull)) const char *luaL_checklstring(lua_State *L, int arg, size_t *size);
