/*
 * args.h - checking what scripts pass: durations, sizes, option tables. Misuse raises, naming the
 * function, the argument and what was expected.
 */
#ifndef PN_LUA_ARGS_H
#define PN_LUA_ARGS_H

#include "lua/lua_state.h"

/* A number of seconds or a text like "250ms"; in nanoseconds. */
uint64_t pn_check_duration(lua_State *L, int arg);
uint64_t pn_opt_duration(lua_State *L, int arg, uint64_t absent_ns);

/* Raises if the table at `arg` has a key that is not in the NULL-ended list, with the nearest
 * known. A nil argument is an empty table; anything else raises. False when there is no table. */
bool pn_check_options(lua_State *L, int arg, const char *const known[]);

/* Fields of an option table at stack index `table`; raise with the key's name. */
uint64_t pn_field_duration(lua_State *L, int table, const char *key, uint64_t absent_ns);
uint64_t pn_field_size(lua_State *L, int table, const char *key, uint64_t absent_bytes);
lua_Integer pn_field_integer(lua_State *L, int table, const char *key, lua_Integer min,
                             lua_Integer max, lua_Integer absent);
lua_Number pn_field_number(lua_State *L, int table, const char *key, lua_Number min, lua_Number max,
                           lua_Number absent);
bool pn_field_boolean(lua_State *L, int table, const char *key, bool absent);
/* The text stays on the stack (one value is pushed, also when absent) so that it lives. */
const char *pn_field_string(lua_State *L, int table, const char *key, const char *absent);
/* The index of the text in the NULL-ended list; raises listing all. */
int pn_field_choice(lua_State *L, int table, const char *key, const char *const choices[],
                    int absent);

/* The value at `index`, of the option `key`. */
uint64_t pn_option_duration(lua_State *L, int index, const char *key);
uint64_t pn_option_size(lua_State *L, int index, const char *key);
lua_Integer pn_option_integer(lua_State *L, int index, const char *key, lua_Integer min,
                              lua_Integer max);

/* Raises: this key is not in the list, but that one is near. */
_Noreturn void pn_unknown_option(lua_State *L, const char *key, const char *const known[]);

/* The nearest of the NULL-ended list, or NULL when none is near. */
const char *pn_nearest(const char *text, const char *const known[]);

_Noreturn void pn_field_error(lua_State *L, const char *key, const char *expected, int index);

#endif
