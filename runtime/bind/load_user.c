/*
 * load_user.c - a virtual user as a task: init, iterations, done.
 *
 * The task's body is one C function with continuations. It never returns between iterations, it
 * rests: waiting for the executor's order, or, where the next iteration is to begin at once, behind
 * the other ready tasks. An empty iteration allocates nothing.
 *
 * An iteration that is interrupted, or one of whose tasks fails, is abandoned with its coroutine;
 * the user goes on in a new one.
 */
#include "bind/load.h"

/* The slots of a user's task. */
enum { EXEC = 1, VU, DATA, ON_ERROR, KEY, INIT, DONE, USER, ENTRY, TOP = ENTRY };

static uint64_t now_of(const pn_user *user) { return pn_load_now_ns(user->home->state.load); }

static pn_user *user_at(lua_KContext context) { return (pn_user *)context; }

static bool is_past_hard_end(const pn_user *user) {
    return now_of(user) >=
           atomic_load_explicit(&user->home->x->run->hard_end_ns, memory_order_relaxed);
}

/* The message handler of all hooks. What is raised because time is up is no error of the script. */
static int on_error(lua_State *L) {
    pn_user *user = (pn_user *)pn_vu_of(L);
    bool is_dying = pn_lua_of(L)->actor->exit != NULL;
    if (user == NULL || is_dying || is_past_hard_end(user) || user->scope.has_fired) return 1;
    pn_load_report(L, 1, user->home->state.load, user, user->hook);
    return 1;
}

/* What the handler was not asked about. */
static void report_rest(lua_State *L, const pn_user *user, int status) {
    if (status == LUA_ERRRUN) return;
    pn_load_report(L, -1, user->home->state.load, user, user->hook);
}

static bool is_error(int status) { return status != LUA_OK && status != LUA_YIELD; }

static int rest(lua_State *L, pn_user *user);
static int leave(lua_State *L, pn_user *user);

/* ---- init and done ---- */

static void open_hook(lua_State *L, pn_user *user, const char *hook) {
    user->hook = hook;
    pn_task *task = pn_task_current(L);
    task->team = &user->life;
    pn_scope_open(L, &user->scope, PN_LOAD_HOOK_TIMEOUT_NS);
}

/* A hook that failed ends the run with what it deserves. */
static void close_hook(lua_State *L, pn_user *user, int status) {
    pn_load *load = user->home->state.load;
    bool is_late = user->scope.has_fired || now_of(user) >= user->scope.deadline_ns;
    pn_scope_close(&user->scope);
    if (!is_error(status)) return;
    if (is_late) {
        char why[PN_LOAD_MESSAGE_BYTES];
        const char *where = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        const char *cut = strstr(where, ": cancelled");
        snprintf(why, sizeof why, "%.*s%s%s of a user is not done after %llus",
                 cut != NULL ? (int)(cut - where) : 0, where, cut != NULL ? ": " : "", user->hook,
                 PN_LOAD_HOOK_TIMEOUT_NS / PN_NS_PER_S);
        pn_load_decide(load, PN_VERDICT_TIMEOUT, why);
    } else {
        char why[64];
        report_rest(L, user, status);
        snprintf(why, sizeof why, "%s of a user ended with an error", user->hook);
        pn_load_decide(load, PN_VERDICT_SCRIPT, why);
    }
}

static void prepared(pn_user *user) {
    if (!user->is_awaited) return;
    user->is_awaited = false;
    pn_load_prepared(user->home->state.load);
}

static int initialised(lua_State *L, pn_user *user) {
    lua_settop(L, TOP);
    user->step = PN_USER_REST;
    pn_vu_ready(&user->vu, now_of(user));
    prepared(user);
    return rest(L, user);
}

static int init_done(lua_State *L, int status, lua_KContext context) {
    pn_user *user = user_at(context);
    close_hook(L, user, status);
    if (!is_error(status)) return initialised(L, user);
    pn_load_stop(user->home->state.load);
    return 0;
}

static int init(lua_State *L, pn_user *user) {
    if (lua_isnil(L, INIT)) return initialised(L, user);
    open_hook(L, user, "init");
    lua_pushvalue(L, INIT);
    lua_pushvalue(L, VU);
    lua_pushvalue(L, DATA);
    int status = lua_pcallk(L, 2, 0, ON_ERROR, (lua_KContext)user, init_done);
    return init_done(L, status, (lua_KContext)user);
}

static int done_done(lua_State *L, int status, lua_KContext context) {
    close_hook(L, user_at(context), status);
    return 0;
}

static int leave(lua_State *L, pn_user *user) {
    lua_settop(L, TOP);
    if (lua_isnil(L, DONE)) return 0;
    open_hook(L, user, "done");
    lua_pushvalue(L, DONE);
    lua_pushvalue(L, VU);
    lua_pushvalue(L, DATA);
    int status = lua_pcallk(L, 2, 0, ON_ERROR, (lua_KContext)user, done_done);
    return done_done(L, status, (lua_KContext)user);
}

/* ---- iterations ---- */

static int passed(lua_State *L, int status, lua_KContext context);

static int iteration_over(lua_State *L, pn_user *user, pn_ending ending) {
    pn_task_current(L)->team = &user->life;
    switch (pn_vu_end(&user->vu, ending, now_of(user))) {
    case PN_VU_RUN: return pn_task_pass(L, (lua_KContext)user, passed);
    case PN_VU_WAIT: return rest(L, user);
    default: return leave(L, user);
    }
}

static pn_ending ending_of(const pn_user *user) {
    if (!user->has_failed) return PN_ENDING_COMPLETE;
    bool is_dying = user->home->state.lua->actor->exit != NULL;
    return is_dying || is_past_hard_end(user) ? PN_ENDING_INTERRUPTED : PN_ENDING_FAILED;
}

static int joined(lua_State *L, int status, lua_KContext context) {
    (void)status;
    pn_user *user = user_at(context);
    user->is_joining = false;
    pn_task_woken(L);
    user->is_joining = user->iteration.count > 0;
    if (user->is_joining) return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, context, joined);
    return iteration_over(L, user, ending_of(user));
}

/* The function has returned; what it began is waited for, or, after an error, ended. */
static int iterated(lua_State *L, int status, lua_KContext context) {
    pn_user *user = user_at(context);
    if (PN_UNLIKELY(is_error(status))) {
        if (!is_past_hard_end(user)) report_rest(L, user, status);
        user->has_failed = true;
    }
    if (PN_UNLIKELY(user->iteration.count > 0)) {
        pn_team_cancel(pn_lua_of(L), &user->iteration, !user->has_failed);
        return joined(L, LUA_OK, context);
    }
    return iteration_over(L, user, ending_of(user));
}

static int iterate(lua_State *L, pn_user *user) {
    pn_task *task = pn_task_current(L);
    lua_settop(L, TOP);
    user->step = PN_USER_REST;
    user->has_failed = false;
    user->hook = user->home->x->run->scenario->exec;
    task->team = &user->iteration;
    task->labels = user->home->x->labels;
    pn_vu_begin(&user->vu, now_of(user));
    lua_pushvalue(L, KEY);
    lua_pushinteger(L, (lua_Integer)user->vu.iteration_count - 1);
    lua_rawset(L, VU);
    lua_pushvalue(L, EXEC);
    lua_pushvalue(L, VU);
    lua_pushvalue(L, DATA);
    int status = lua_pcallk(L, 2, 0, ON_ERROR, (lua_KContext)user, iterated);
    return iterated(L, status, (lua_KContext)user);
}

static int passed(lua_State *L, int status, lua_KContext context) {
    (void)status;
    return iterate(L, user_at(context));
}

static int woken(lua_State *L, int status, lua_KContext context) {
    (void)status;
    pn_task_woken(L);
    return rest(L, user_at(context));
}

static int rest(lua_State *L, pn_user *user) {
    if (user->step == PN_USER_RUN) return iterate(L, user);
    if (user->step == PN_USER_RETIRE) return leave(L, user);
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, (lua_KContext)user, woken);
}

/* ---- tasks ---- */

static int user_body(lua_State *L) {
    pn_user *user = lua_touserdata(L, USER);
    switch ((pn_user_entry)lua_tointeger(L, ENTRY)) {
    case PN_ENTER_INIT: return init(L, user);
    case PN_ENTER_RUN: return iterate(L, user);
    case PN_ENTER_REST: return rest(L, user);
    case PN_ENTER_DONE: return leave(L, user);
    }
    return 0;
}

static void on_task_end(pn_task *task, void *context) {
    pn_user *user = context;
    if (user->task != task) return; /* abandoned, the user goes on */
    user->task = NULL;
    bool is_dying = task->lua->actor->exit != NULL;
    if (task->has_failed && !is_dying) { /* outside any hook: no memory for the body itself */
        pn_load *load = user->home->state.load;
        pn_load_report(task->co, -1, load, user, user->hook);
        pn_load_decide(load, PN_VERDICT_SCRIPT, "");
        pn_load_stop(load);
    }
    pn_user_gone(user);
}

void pn_user_spawn(lua_State *L, pn_user *user, pn_user_entry entry) {
    luaL_checkstack(L, TOP + 4, NULL);
    lua_pushcfunction(L, user_body);
    lua_pushvalue(L, PN_HOME_EXEC);
    lua_rawgetp(L, LUA_REGISTRYINDEX, user);
    lua_pushvalue(L, PN_HOME_DATA);
    lua_pushcfunction(L, on_error);
    lua_pushliteral(L, "iteration");
    lua_pushvalue(L, PN_HOME_INIT);
    lua_pushvalue(L, PN_HOME_DONE);
    lua_pushlightuserdata(L, user);
    lua_pushinteger(L, entry);
    pn_task *task = pn_task_spawn(L, TOP);
    task->is_supervised = true;
    task->is_detached = true;
    task->on_end = on_task_end;
    task->on_end_context = user;
    task->team = &user->life;
    task->labels = user->home->x->labels;
    user->task = task;
}

/* ---- teams ---- */

/* A task that the iteration has begun: its error is the iteration's. */
static void on_member_failed(pn_team *team, pn_task *member) {
    pn_user *user = team->context;
    if (is_past_hard_end(user)) return;
    pn_load_report(member->co, -1, user->home->state.load, user, user->hook);
    if (user->has_failed) return;
    user->has_failed = true;
    pn_home_order(user, PN_USER_FAIL);
}

/* A task that init or done has begun. It is nobody's iteration: the run has failed. */
static void on_companion_failed(pn_team *team, pn_task *member) {
    pn_user *user = team->context;
    pn_load *load = user->home->state.load;
    pn_load_report(member->co, -1, load, user, user->hook);
    pn_load_decide(load, PN_VERDICT_SCRIPT, "");
}

static void on_members_left(pn_team *team) {
    pn_user *user = team->context;
    if (user->is_joining && user->task != NULL) pn_task_ready(user->task, 0);
}

static void init_teams(pn_user *user) {
    const _Atomic uint64_t *deadline_ns = &user->home->x->run->hard_end_ns;
    user->iteration = (pn_team){0, user, deadline_ns, on_member_failed, on_members_left};
    user->life = (pn_team){0, user, NULL, on_companion_failed, NULL};
}

/* ---- from the home's main task ---- */

static void push_vu(lua_State *L, const pn_user *user) {
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)user->vu.id);
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, 0);
    lua_setfield(L, -2, "iteration");
    lua_pushstring(L, user->home->x->run->scenario->name);
    lua_setfield(L, -2, "scenario");
    lua_newtable(L);
    lua_setfield(L, -2, "state");
}

void pn_user_make(lua_State *L, pn_user *user) {
    init_teams(user);
    push_vu(L, user);
    lua_rawsetp(L, LUA_REGISTRYINDEX, user);
    pn_user_spawn(L, user, PN_ENTER_INIT);
}

static void abandon(lua_State *L, pn_user *user) {
    pn_task *task = user->task;
    user->task = NULL;
    user->is_joining = false;
    if (task != NULL) pn_task_cancel(task);
    pn_team_cancel(pn_lua_of(L), &user->iteration, false);
}

void pn_user_cut(lua_State *L, pn_user *user, pn_ending ending) {
    if (user->vu.state == PN_VU_PREPARING) {
        abandon(L, user);
        pn_user_gone(user);
        return;
    }
    if (user->vu.state != PN_VU_RUNNING) return; /* it came to its end meanwhile */
    abandon(L, user);
    user->step = PN_USER_REST;
    switch (pn_vu_end(&user->vu, ending, now_of(user))) {
    case PN_VU_RUN: pn_user_spawn(L, user, PN_ENTER_RUN); break;
    case PN_VU_WAIT: pn_user_spawn(L, user, PN_ENTER_REST); break;
    case PN_VU_LEAVE: pn_user_spawn(L, user, PN_ENTER_DONE); break;
    }
}

static void forget_vu(lua_State *L, const pn_user *user) {
    if (!lua_checkstack(L, 2)) return;
    lua_pushnil(L); /* needs no memory: the field is there */
    lua_rawsetp(L, LUA_REGISTRYINDEX, user);
}

/* In a dying actor tasks may still know it: then its memory goes with the home. */
void pn_user_gone(pn_user *user) {
    pn_load_home *home = user->home;
    pn_lua *lua = home->state.lua;
    if (user->is_gone) return;
    user->is_gone = true;
    bool is_dying = home->has_ended || lua == NULL || lua->is_closing;
    prepared(user);
    if (!is_dying) {
        pn_team_cancel(lua, &user->life, false);
        forget_vu(lua->L, user);
    }
    pn_list_remove(&user->order);
    home->user_count--;
    pn_executor_remove(home->x, &user->vu, now_of(user));
    if (is_dying) return;
    pn_list_remove(&user->link);
    pn_mem_free(&home->worker->ledger, user, sizeof *user);
}
