/*
 * coroutine.c - the coroutine library, with the runtime's own suspensions passing through.
 *
 * When a coroutine that the user made blocks (or is pre-empted), every resume on the way to the
 * task yields too and goes on with the same coroutine afterwards; the user's code sees nothing of
 * it. A coroutine suspended so is parked: marked in its extra space, and known in lua->parked with
 * its task. Nobody but the runtime may resume it; closing it cancels the wait.
 */
#include <string.h>

#include "lua/module.h"
#include "lua/task.h"

static lua_State *check_thread(lua_State *L, int index) {
    lua_State *co = lua_tothread(L, index);
    luaL_argexpected(L, co != NULL, index, "coroutine");
    return co;
}

static void unpark(pn_lua *lua, lua_State *co) {
    *pn_lua_marks(co) &= ~PN_LUA_PARKED;
    pn_map_remove(&lua->parked, (uintptr_t)co, NULL);
}

static bool park(pn_lua *lua, lua_State *co, pn_task *task) {
    if (lua->parked.alloc == NULL) pn_map_init(&lua->parked, &lua->actor->ledger.door);
    return pn_map_set(&lua->parked, (uintptr_t)co, (uintptr_t)task) == 0;
}

bool pn_coroutine_park_chain(lua_State *L, pn_task *task) {
    pn_lua *lua = pn_lua_of(L);
    bool all = L == task->co || park(lua, L, task);
    for (pn_frame *f = lua->frames; all && f != NULL && f->from != task->co; f = f->outer) {
        all = park(lua, f->from, task);
    }
    if (!all) pn_coroutine_forget_chain(task);
    return all;
}

void pn_coroutine_forget_chain(pn_task *task) {
    pn_map *parked = &task->lua->parked;
    uint32_t cursor = 0;
    pn_map_entry *e;
    while (parked->count > 0 && (e = pn_map_next(parked, &cursor)) != NULL) {
        if (e->value != (uintptr_t)task) continue;
        pn_map_remove(parked, e->key, NULL);
        cursor = 0;
    }
}

static int l_resume(lua_State *L);
static int call_wrapped(lua_State *L);

/* The parked coroutine that the suspended L has resumed, or NULL. */
static lua_State *inner_of(lua_State *L) {
    lua_Debug ar;
    if (lua_status(L) != LUA_YIELD || !lua_getstack(L, 0, &ar) || !lua_getinfo(L, "S", &ar))
        return NULL;
    if (*ar.what != 'C' || !lua_checkstack(L, 1)) return NULL;
    lua_getinfo(L, "f", &ar);
    lua_CFunction f = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    lua_State *co = f == l_resume       ? lua_tothread(L, 1)
                    : f == call_wrapped ? lua_tothread(L, lua_upvalueindex(1))
                                        : NULL;
    return co != NULL && pn_lua_is_parked(co) ? co : NULL;
}

lua_State *pn_coroutine_take_innermost(pn_task *task) {
    lua_State *innermost = NULL;
    for (lua_State *co = inner_of(task->co); co != NULL; co = inner_of(co)) innermost = co;
    if (innermost != NULL) unpark(task->lua, innermost);
    return innermost;
}

/* ---- resume ---- */

enum { PLAIN, WRAPPED };

static int resumed(lua_State *L, int status, lua_KContext kind);

/* Results of the coroutine on L: as coroutine.resume returns them, or as wrap does. */
static int return_results(lua_State *L, lua_State *co, int count, lua_KContext kind) {
    if (!lua_checkstack(L, count + 1)) {
        lua_pop(co, count);
        if (kind == WRAPPED) return luaL_error(L, "too many results to resume");
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "too many results to resume");
        return 2;
    }
    if (kind == PLAIN) lua_pushboolean(L, 1);
    lua_xmove(co, L, count);
    return count + (kind == PLAIN);
}

/* Closes what is pending in a coroutine that will not run again; its close variables run as a part
 * of L, so that they can be pre-empted and know that they cannot wait. */
static int reset(lua_State *L, lua_State *co) {
    pn_lua *lua = pn_lua_of(L);
    pn_frame frame = {L, lua->frames};
    bool outer = lua->is_resetting;
    lua->frames = &frame;
    lua->running = co;
    lua->is_resetting = true;
    int status = lua_resetthread(co);
    lua->is_resetting = outer;
    lua->running = L;
    lua->frames = frame.outer;
    return status;
}

static int return_error(lua_State *L, lua_State *co, lua_KContext kind) {
    if (kind == PLAIN) {
        lua_xmove(co, L, 1); /* first, because co may be L itself */
        lua_pushboolean(L, 0);
        lua_insert(L, -2);
        return 2;
    }
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) status = reset(L, co);
    lua_xmove(co, L, 1);
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int go_on(lua_State *L, lua_State *co, int arguments, lua_KContext kind) {
    pn_lua *lua = pn_lua_of(L);
    pn_frame frame = {L, lua->frames};
    int results;
    lua->yield = PN_YIELD_NONE;
    lua->frames = &frame;
    lua->running = co;
    int status = lua_resume(co, L, arguments, &results);
    lua->running = L;
    lua->frames = frame.outer;
    if (status == LUA_YIELD && lua->yield != PN_YIELD_NONE) {
        pn_lua_park(L);
        return lua_yieldk(L, 0, kind, resumed);
    }
    if (lua->is_killed) {
        if (status > LUA_YIELD) status = reset(L, co);
        pn_hook_kill(lua);
    }
    if (status == LUA_OK || status == LUA_YIELD) return return_results(L, co, results, kind);
    return return_error(L, co, kind);
}

static lua_State *resumed_thread(lua_State *L, lua_KContext kind) {
    return lua_tothread(L, kind == WRAPPED ? lua_upvalueindex(1) : 1);
}

/* The runtime goes on with what it had suspended inside this resume. */
static int resumed(lua_State *L, int status, lua_KContext kind) {
    (void)status;
    lua_State *co = resumed_thread(L, kind);
    pn_lua *lua = pn_lua_of(L);
    if (!pn_lua_is_parked(co)) { /* somebody closed it meanwhile */
        if (kind == WRAPPED) return luaL_error(L, "coroutine closed while it waited");
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "coroutine closed while it waited");
        return 2;
    }
    unpark(lua, co);
    return go_on(L, co, 0, kind);
}

static int refuse(lua_State *L, const char *why, lua_KContext kind) {
    if (kind == WRAPPED) return luaL_error(L, "%s", why);
    lua_pushboolean(L, 0);
    lua_pushstring(L, why);
    return 2;
}

static int begin(lua_State *L, lua_State *co, int arguments, lua_KContext kind) {
    if (pn_lua_is_parked(co)) {
        return refuse(L, "cannot resume a coroutine that waits in a blocking call", kind);
    }
    lua_Debug ar;
    if (lua_status(co) == LUA_OK && lua_gettop(co) == 0 && !lua_getstack(co, 0, &ar)) {
        return refuse(L, "cannot resume dead coroutine", kind);
    }
    if (!lua_checkstack(co, arguments)) return refuse(L, "too many arguments to resume", kind);
    if (lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD) {
        return refuse(L, "cannot resume dead coroutine", kind);
    }
    lua_xmove(L, co, arguments);
    return go_on(L, co, arguments, kind);
}

static int l_resume(lua_State *L) {
    lua_State *co = check_thread(L, 1);
    return begin(L, co, lua_gettop(L) - 1, PLAIN);
}

static int call_wrapped(lua_State *L) {
    return begin(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), WRAPPED);
}

bool pn_coroutine_is_wrapped(lua_CFunction f) { return f == call_wrapped; }

static int l_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_sethook(co, NULL, 0, 0); /* new coroutines start disarmed */
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int l_wrap(lua_State *L) {
    l_create(L);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

/* ---- the others ---- */

static bool is_task(lua_State *L) {
    const pn_task *task = pn_lua_of(L)->current;
    return task == NULL || task->co == L;
}

static int l_yield(lua_State *L) {
    if (is_task(L)) return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int l_running(lua_State *L) {
    lua_pushthread(L);
    lua_pushboolean(L, is_task(L));
    return 2;
}

static int l_isyieldable(lua_State *L) {
    lua_State *co = lua_isnone(L, 1) ? L : check_thread(L, 1);
    lua_pushboolean(L, !is_task(co) && lua_isyieldable(co));
    return 1;
}

static const char *status_of(lua_State *L, lua_State *co) {
    if (L == co) return "running";
    if (pn_lua_is_parked(co)) return "normal"; /* to its own code it is running */
    lua_Debug ar;
    switch (lua_status(co)) {
    case LUA_YIELD: return "suspended";
    case LUA_OK:
        if (lua_getstack(co, 0, &ar)) return "normal";
        return lua_gettop(co) == 0 ? "dead" : "suspended";
    default: return "dead";
    }
}

static int l_status(lua_State *L) {
    lua_pushstring(L, status_of(L, check_thread(L, 1)));
    return 1;
}

/* Closing a parked coroutine takes its wait back: its task goes on where it resumed it. */
static void cancel_wait(lua_State *L, pn_lua *lua, lua_State *co) {
    uint64_t *found = pn_map_get(&lua->parked, (uintptr_t)co);
    if (found == NULL) pn_raise(L, "cannot close the coroutine of a task (use task:cancel())");
    pn_task *task = (pn_task *)(uintptr_t)*found;
    unpark(lua, co);
    pn_task_give_up(task, PN_ECANCELLED);
}

static int l_close(lua_State *L) {
    lua_State *co = check_thread(L, 1);
    pn_lua *lua = pn_lua_of(L);
    const char *status = status_of(L, co);
    if (pn_lua_is_parked(co)) {
        cancel_wait(L, lua, co);
    } else if (strcmp(status, "suspended") != 0 && strcmp(status, "dead") != 0) {
        return luaL_error(L, "cannot close a %s coroutine", status);
    }
    if (reset(L, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

static const luaL_Reg functions[] = {
    {"create", l_create},           {"resume", l_resume}, {"running", l_running},
    {"status", l_status},           {"wrap", l_wrap},     {"yield", l_yield},
    {"isyieldable", l_isyieldable}, {"close", l_close},   {NULL, NULL},
};

int pn_coroutine_open(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
