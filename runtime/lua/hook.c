/*
 * hook.c - the one owner of the debug hook: pre-emption, kills, and the user's debug.sethook.
 *
 * A turn that outlives its slice is interrupted by a signal; its handler arms a count hook on the
 * running coroutine, the hook yields. Where Lua cannot yield, the hook at least lets kills and
 * time-outs through: it takes the worker's inbox and raises if the actor has ended or a
 * with_timeout is over. A kill raises at every instruction, so pcall cannot swallow it, except in
 * the close variables of what it unwinds.
 *
 * The user's hook lives in a table of the registry (coroutine -> function, mask, count) and is set
 * again after each of ours. Its count starts anew then: a pre-emption may delay a count hook by one
 * period.
 */
#include <signal.h>
#include <string.h>

#include "lua/module.h"
#include "lua/task.h"

static const char hooks_key = 0; /* registry: weak table coroutine -> { function, mask, count } */

#define ANY_EVENT (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT)

static void on_hook(lua_State *L, lua_Debug *ar);

void pn_hook_interrupt(pn_lua *lua) {
    lua_State *L = lua->running;
    if (L == NULL) return;
    /* Arming walks the whole call stack. In a recursion that is deep enough it takes longer than a
     * tick: done again at every tick, nothing else would ever run. */
    if (lua->wants_preempt && lua_gethook(L) == on_hook && lua_gethookcount(L) == 1) return;
    lua->wants_preempt = true;
    lua_sethook(L, on_hook, LUA_MASKCOUNT | lua_gethookmask(L), 1);
}

void pn_hook_kill(pn_lua *lua) {
    if (!lua->is_killed) pn_lua_limit_close(lua);
    lua->is_killed = true;
    if (lua->running != NULL) lua_sethook(lua->running, on_hook, ANY_EVENT, 1);
}

/* Pushes the user's hook of this coroutine; or nothing, and false. */
static bool push_user_hook(lua_State *L, lua_State *of, int *mask, int *count) {
    if (!pn_lua_of(L)->has_user_hooks || !lua_checkstack(L, 6)) return false;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &hooks_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushthread(of);
    if (of != L) lua_xmove(of, L, 1);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_pop(L, 2);
        return false;
    }
    lua_rawgeti(L, -1, 2);
    *mask = (int)lua_tointeger(L, -1);
    lua_rawgeti(L, -2, 3);
    *count = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    lua_rawgeti(L, -1, 1);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return true;
}

/* Puts back what the user had, or nothing. */
static void restore(lua_State *L) {
    int mask = 0, count = 0;
    if (push_user_hook(L, L, &mask, &count)) lua_pop(L, 1);
    lua_sethook(L, mask != 0 ? on_hook : NULL, mask, count);
}

/* The undertaking has no time left at all: for code that cannot be suspended and so not be
 * cancelled. */
static bool is_team_over(const pn_task *task) {
    if (task == NULL || task->team == NULL || task->team->deadline_ns == NULL) return false;
    uint64_t deadline_ns = atomic_load_explicit(task->team->deadline_ns, memory_order_relaxed);
    return pn_clock_now_ns(&pn_lua_worker(task->lua)->runtime->clock) >= deadline_ns;
}

/* In a hook the running function is the one at level 0, where luaL_error would name its caller. */
static int raise_here(lua_State *L, const char *message) {
    luaL_where(L, 0);
    lua_pushstring(L, message);
    lua_concat(L, 2);
    return lua_error(L);
}

static int preempt(lua_State *L, pn_lua *lua) {
    static const char over[] = "cancelled: the time of with_timeout is over";
    lua->wants_preempt = false;
    restore(L);
    pn_task *task = lua->current;
    if (task == NULL) return 0;
    if (pn_lua_can_yield(L)) {
        if (pn_scope_is_over(L)) return raise_here(L, over);
        if (lua->frames != NULL && !pn_coroutine_park_chain(L, task)) {
            return luaL_error(L, "%s", pn_err_text(PN_ENOMEM));
        }
        pn_lua_park(L);
        lua->yield = PN_YIELD_PREEMPT;
        return lua_yield(L, 0);
    }
    pn_worker_drain(pn_lua_worker(lua));
    if (lua->actor->exit != NULL) {
        pn_hook_kill(lua);
        return 0;
    }
    if (pn_scope_is_over(L)) return raise_here(L, over);
    if (is_team_over(task)) return raise_here(L, "interrupted");
    return 0;
}

/* Close variables and finalizers of the dead: within their budget, or not at all. */
static int preempt_closing(lua_State *L, pn_lua *lua) {
    if (pn_clock_real_ns() < lua->close_deadline_ns) {
        lua->wants_preempt = false;
        restore(L);
        return 0;
    }
    lua_sethook(L, on_hook, ANY_EVENT, 1);
    pn_lua_throw(L);
    return 0;
}

static void call_user_hook(lua_State *L, const lua_Debug *ar) {
    static const char *const names[] = {"call", "return", "line", "count", "tail call"};
    int mask, count;
    if (!push_user_hook(L, L, &mask, &count)) return;
    lua_pushstring(L, names[ar->event]);
    if (ar->currentline >= 0 && ar->event == LUA_HOOKLINE) {
        lua_pushinteger(L, ar->currentline);
    } else {
        lua_pushnil(L);
    }
    lua_call(L, 2, 0);
}

/* Is an error being unwound here, so that what runs is a close variable? Lua calls those on top of
 * the frame of pcall that has caught the error, above what is left of the function that it had
 * called: the frame then has more temporaries than at the call. */
static bool is_unwinding(lua_State *L) {
    pn_lua_shared *shared = pn_lua_shared_of(L);
    lua_Debug ar;
    if (!lua_checkstack(L, 2)) return false;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "f", &ar);
        int at_call = pn_globals_catcher(shared, lua_tocfunction(L, -1));
        lua_pop(L, 1);
        if (at_call == 0 || lua_getlocal(L, &ar, at_call + 1) == NULL) continue;
        lua_pop(L, 1);
        return true;
    }
    return false;
}

/* A killed one may only close what it had to close. */
static void raise_killed(lua_State *L, pn_lua *lua) {
    bool is_late = pn_clock_real_ns() >= lua->close_deadline_ns;
    bool is_closing = !is_late && (lua->is_resetting || is_unwinding(L));
    for (const pn_frame *f = lua->frames; !is_late && !is_closing && f != NULL; f = f->outer) {
        is_closing = is_unwinding(f->from);
    }
    if (!is_closing) pn_lua_throw(L);
}

static void on_hook(lua_State *L, lua_Debug *ar) {
    pn_lua *lua = pn_lua_of(L);
    if (lua->is_killed) {
        raise_killed(L, lua);
        return;
    }
    if (lua->is_closing && (lua->wants_preempt || ar->event == LUA_HOOKCOUNT)) {
        preempt_closing(L, lua);
        return;
    }
    if (ar->event == LUA_HOOKCOUNT && lua->wants_preempt) {
        preempt(L, lua);
        return;
    }
    if (lua->has_user_hooks) {
        call_user_hook(L, ar);
    } else if (!lua->wants_preempt) {
        restore(L); /* armed on a coroutine that had just stopped running */
    }
}

/* ---- debug.sethook, debug.gethook ---- */

static lua_State *thread_argument(lua_State *L, int *shift) {
    *shift = lua_isthread(L, 1) ? 1 : 0;
    return *shift == 1 ? lua_tothread(L, 1) : L;
}

static int parse_mask(const char *text, int count) {
    int mask = 0;
    if (strchr(text, 'c') != NULL) mask |= LUA_MASKCALL;
    if (strchr(text, 'r') != NULL) mask |= LUA_MASKRET;
    if (strchr(text, 'l') != NULL) mask |= LUA_MASKLINE;
    if (count > 0) mask |= LUA_MASKCOUNT;
    return mask;
}

static void push_hooks_table(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &hooks_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &hooks_key);
}

static void push_thread_of(lua_State *L, lua_State *of) {
    luaL_checkstack(of, 1, NULL);
    lua_pushthread(of);
    if (of != L) lua_xmove(of, L, 1);
}

static int l_sethook(lua_State *L) {
    int shift;
    lua_State *of = thread_argument(L, &shift);
    lua_settop(L, shift + 3);
    push_hooks_table(L);
    push_thread_of(L, of);
    if (lua_isnil(L, shift + 1)) {
        lua_pushnil(L);
        lua_rawset(L, -3);
        lua_sethook(of, NULL, 0, 0);
        return 0;
    }
    luaL_checktype(L, shift + 1, LUA_TFUNCTION);
    const char *text = luaL_checkstring(L, shift + 2);
    int count = (int)luaL_optinteger(L, shift + 3, 0);
    int mask = parse_mask(text, count);
    lua_createtable(L, 3, 0);
    lua_pushvalue(L, shift + 1);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, mask);
    lua_rawseti(L, -2, 2);
    lua_pushinteger(L, count);
    lua_rawseti(L, -2, 3);
    lua_rawset(L, -3);
    pn_lua_of(L)->has_user_hooks = true;
    lua_sethook(of, on_hook, mask, count);
    return 0;
}

static int l_gethook(lua_State *L) {
    int shift, mask, count;
    lua_State *of = thread_argument(L, &shift);
    if (!push_user_hook(L, of, &mask, &count)) {
        lua_pushnil(L);
        return 1;
    }
    char text[4], *end = text;
    if ((mask & LUA_MASKCALL) != 0) *end++ = 'c';
    if ((mask & LUA_MASKRET) != 0) *end++ = 'r';
    if ((mask & LUA_MASKLINE) != 0) *end++ = 'l';
    *end = '\0';
    lua_pushstring(L, text);
    lua_pushinteger(L, count);
    return 3;
}

void pn_hook_open_debug(lua_State *L, int debug_table) {
    lua_pushcfunction(L, l_sethook);
    lua_setfield(L, debug_table, "sethook");
    lua_pushcfunction(L, l_gethook);
    lua_setfield(L, debug_table, "gethook");
}
