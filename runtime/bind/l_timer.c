/* perilune.timer: sleep, after, every, with_timeout, now, unix. */
#include "bind/bind.h"

#include "base/units.h"
#include "lua/args.h"

static pn_clock *clock_of(lua_State *L) { return &pn_lua_worker(pn_lua_of(L))->runtime->clock; }

static uint64_t now_ns(lua_State *L) { return pn_clock_now_ns(clock_of(L)); }

/* ---- sleep ---- */

static int slept(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_task_woken(L);
    if (task->code != PN_ETIMEOUT) return pn_push_error(L, task->code, NULL);
    lua_pushboolean(L, 1);
    return 1;
}

static int l_sleep(lua_State *L) {
    return pn_task_wait(L, PN_WAIT_TIMER, pn_check_duration(L, 1), 0, slept);
}

/* ---- after, every: a task that sleeps and calls ---- */

#define TIMER_CLASS "perilune.timer"

typedef struct ticker {
    pn_task *task;
    uint64_t interval_ns; /* 0: once */
    uint64_t next_ns;
    bool is_stopped, is_in_turn;
} ticker;

enum { TICKER = 1, TICKER_FN = 2 };

static int ticker_slept(lua_State *L, int status, lua_KContext context);
static int ticker_called(lua_State *L, int status, lua_KContext context);

/* To the next point of the grid that is still to come: turns that overran are skipped. */
static bool advance(lua_State *L, ticker *t) {
    if (t->interval_ns == 0 || t->is_stopped) return false;
    uint64_t now = now_ns(L);
    t->next_ns += t->interval_ns;
    uint64_t late_ns = now > t->next_ns ? now - t->next_ns : 0;
    t->next_ns += (late_ns + t->interval_ns - 1) / t->interval_ns * t->interval_ns;
    return true;
}

static int ticker_sleep(lua_State *L, const ticker *t) {
    uint64_t now = now_ns(L);
    uint64_t left_ns = t->next_ns > now ? t->next_ns - now : 0;
    return pn_task_wait(L, PN_WAIT_TIMER, left_ns, 0, ticker_slept);
}

static int ticker_slept(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    ticker *t = lua_touserdata(L, TICKER);
    if (pn_task_woken(L)->code != PN_ETIMEOUT || t->is_stopped) return 0;
    t->is_in_turn = true;
    lua_pushvalue(L, TICKER_FN);
    lua_callk(L, 0, 0, 0, ticker_called);
    return ticker_called(L, LUA_OK, 0);
}

static int ticker_called(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    ticker *t = lua_touserdata(L, TICKER);
    t->is_in_turn = false;
    return advance(L, t) ? ticker_sleep(L, t) : 0;
}

static int ticker_body(lua_State *L) {
    lua_settop(L, 2);
    return ticker_sleep(L, lua_touserdata(L, TICKER));
}

static int start_ticker(lua_State *L, bool repeats) {
    uint64_t delay_ns = pn_check_duration(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (repeats) luaL_argcheck(L, delay_ns > 0, 1, "an interval must be longer than 0");
    lua_settop(L, 2);
    ticker *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (ticker){.interval_ns = repeats ? delay_ns : 0, .next_ns = now_ns(L) + delay_ns};
    pn_push_class(L, TIMER_CLASS);
    lua_setmetatable(L, -2);
    lua_pushcfunction(L, ticker_body);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    t->task = pn_task_spawn(L, 2);
    t->task->has_own_body = true;
    pn_task_serve(t->task, NULL); /* a timer outlives the request whose handler started it */
    t->task->is_endless = repeats;
    return 1;
}

static int l_after(lua_State *L) { return start_ticker(L, false); }

static int l_every(lua_State *L) { return start_ticker(L, true); }

/* A turn that is running goes on to its end; there will be no other. */
static int l_timer_cancel(lua_State *L) {
    ticker *t = luaL_checkudata(L, 1, TIMER_CLASS);
    bool was_active = t->task != NULL && !t->task->is_finished && !t->is_stopped;
    t->is_stopped = true;
    if (was_active && !t->is_in_turn) pn_task_cancel(t->task);
    lua_pushboolean(L, was_active);
    return 1;
}

static int l_timer_gc(lua_State *L) {
    ticker *t = lua_touserdata(L, 1);
    if (t->task != NULL) pn_task_release(t->task);
    t->task = NULL;
    return 0;
}

static const luaL_Reg timer_methods[] = {
    {"cancel", l_timer_cancel},
    {"close", l_timer_cancel},
    {NULL, NULL},
};

static const luaL_Reg timer_metamethods[] = {
    {"__gc", l_timer_gc},
    {"__close", l_timer_cancel},
    {NULL, NULL},
};

const pn_class pn_class_timer = {TIMER_CLASS, timer_methods, timer_metamethods};

/* ---- with_timeout ---- */

/* The scope is a userdata at index 2, its own closing variable: it ends whichever way the function
 * is left, and when its coroutine is collected. */
#define SCOPE_CLASS "perilune.scope"

static int scope_close(lua_State *L) {
    pn_scope_close(lua_touserdata(L, 1));
    return 0;
}

static const luaL_Reg scope_internals[] = {
    {"__close", scope_close}, {"__gc", scope_close}, {NULL, NULL}};

const pn_class pn_class_scope = {SCOPE_CLASS, NULL, scope_internals};

static int with_timeout_done(lua_State *L, int status, lua_KContext duration_ns) {
    pn_scope *scope = lua_touserdata(L, 2);
    bool is_killed = pn_lua_of(L)->is_killed; /* not to be swallowed */
    bool has_fired = scope->has_fired || pn_clock_now_ns(clock_of(L)) >= scope->deadline_ns;
    char text[PN_UNITS_TEXT_BYTES];
    lua_closeslot(L, 2);
    if (has_fired && !is_killed) {
        return pn_push_error(L, PN_ETIMEOUT, "not done within %s",
                             pn_units_format_duration((uint64_t)duration_ns, text));
    }
    if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
    return lua_gettop(L) - 2;
}

static int l_with_timeout(lua_State *L) {
    uint64_t timeout_ns = pn_check_duration(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    pn_scope *scope = lua_newuserdatauv(L, sizeof *scope, 0);
    scope->task = NULL;
    pn_push_class(L, SCOPE_CLASS);
    lua_setmetatable(L, -2);
    lua_insert(L, 2);
    lua_toclose(L, 2);
    pn_scope_open(L, scope, timeout_ns);
    int arguments = lua_gettop(L) - 3;
    int status =
        lua_pcallk(L, arguments, LUA_MULTRET, 0, (lua_KContext)timeout_ns, with_timeout_done);
    return with_timeout_done(L, status, (lua_KContext)timeout_ns);
}

/* ---- clocks ---- */

static int l_now(lua_State *L) {
    lua_pushnumber(L, (lua_Number)now_ns(L) * 1e-9);
    return 1;
}

static int l_unix(lua_State *L) {
    lua_pushnumber(L, (lua_Number)pn_clock_unix_ns(clock_of(L)) * 1e-9);
    return 1;
}

/* For the Lua halves: a duration in seconds. */
static int l_seconds(lua_State *L) {
    lua_pushnumber(L, (lua_Number)pn_check_duration(L, 1) * 1e-9);
    return 1;
}

const luaL_Reg pn_timer_functions[] = {
    {"_seconds", l_seconds},          {"sleep", l_sleep}, {"after", l_after}, {"every", l_every},
    {"with_timeout", l_with_timeout}, {"now", l_now},     {"unix", l_unix},   {NULL, NULL},
};
