/* perilune.run: what a script asks of its run, and tells it. */
#include "bind/load.h"

#include <unistd.h> /* environ */

/* ---- abort, fail ---- */

static const char *check_why(lua_State *L, const char *absent) {
    return lua_isnoneornil(L, 1) ? absent : luaL_tolstring(L, 1, NULL);
}

static pn_load *check_run(lua_State *L, const char *function) {
    pn_load *load = pn_load_of(L);
    if (load == NULL) luaL_error(L, "%s: there is no load run here (perilune run FILE)", function);
    return load;
}

static int never(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task_woken(L);
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, 0, never);
}

/* A task that does not go on cannot catch it. Where Lua cannot wait, an error has to do: the
 * iteration is over all the same as soon as it could wait. */
static int l_abort(lua_State *L) {
    pn_load *load = check_run(L, "abort");
    const char *why = check_why(L, "the script aborted the run");
    pn_load_decide(load, PN_VERDICT_ABORTED, why);
    pn_load_stop(load);
    if (!pn_lua_can_yield(L)) return luaL_error(L, "aborted: %s", why);
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, 0, never);
}

static int l_fail(lua_State *L) {
    pn_load_decide(check_run(L, "fail"), PN_VERDICT_FAILED,
                   check_why(L, "the script marked the run as failed"));
    return 0;
}

/* ---- where am I ---- */

static int l_elapsed(lua_State *L) {
    const pn_load *load = pn_load_of(L);
    lua_pushnumber(L, load != NULL ? (lua_Number)pn_load_elapsed_ns(load) * 1e-9 : 0);
    return 1;
}

static void set_text(lua_State *L, const char *key, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static double progress_of(const pn_load *load, const pn_scenario_run *run) {
    uint64_t now_ns = pn_load_now_ns(load);
    pn_buf text;
    pn_buf_init(&text, &load->ledger->door);
    uint64_t elapsed_ns = now_ns > run->start_ns ? now_ns - run->start_ns : 0;
    double progress = run->scenario->type->progress(run, elapsed_ns, &text);
    pn_buf_close(&text);
    return progress < 1 ? progress : 1;
}

/* Of the calling user; nil where there is none. */
static int l_scenario(lua_State *L) {
    const pn_vu *vu = pn_vu_of(L);
    if (vu == NULL) return 0;
    const pn_load *load = pn_load_of(L);
    const pn_scenario_run *run = vu->executor->run;
    lua_createtable(L, 0, 5);
    set_text(L, "name", run->scenario->name);
    set_text(L, "executor", run->scenario->type->name);
    lua_pushnumber(L, (lua_Number)run->scenario->start_time_ns * 1e-9);
    lua_setfield(L, -2, "start_time");
    lua_pushnumber(L, progress_of(load, run));
    lua_setfield(L, -2, "progress");
    lua_pushinteger(L, (lua_Integer)vu->number);
    lua_setfield(L, -2, "iteration");
    return 1;
}

/* ---- group ---- */

/* The value that is closed when a group is left, whichever way. */
static const char leaver_key = 0;

static int leave_group(lua_State *L) {
    pn_task *task = pn_task_current(L);
    const pn_labels *labels = task->labels;
    if (labels != NULL) task->labels = labels->outer;
    return 0;
}

static void push_leaver(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &leaver_key) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, leave_group);
    lua_setfield(L, -2, "__close");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &leaver_key);
}

static uint64_t now_ns(lua_State *L) {
    return pn_clock_now_ns(&pn_lua_worker(pn_lua_of(L))->runtime->clock);
}

enum { GROUP_NAME = 1, GROUP_LEAVER };

static int left(lua_State *L, int status, lua_KContext begun_ns) {
    (void)status;
    uint64_t now = now_ns(L);
    double ms = (double)(now - (uint64_t)begun_ns) * 1e-6;
    pn_metrics_record(pn_shard_of(L), PN_METRIC_GROUP_DURATION, ms, now, &pn_labels_of(L)->tags);
    lua_closeslot(L, GROUP_LEAVER);
    return lua_gettop(L) - GROUP_LEAVER;
}

static int l_group(lua_State *L) {
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_argcheck(L, size > 0, 1, "a group needs a name");
    if (strstr(name, "::") != NULL)
        return luaL_argerror(L, 1, "the name of a group cannot have :: in it");
    const pn_labels *labels = pn_labels_enter(L, name, size);
    push_leaver(L);
    lua_insert(L, GROUP_LEAVER);
    lua_toclose(L, GROUP_LEAVER);
    pn_task_current(L)->labels = labels;
    uint64_t begun_ns = now_ns(L);
    lua_callk(L, lua_gettop(L) - GROUP_LEAVER - 1, LUA_MULTRET, (lua_KContext)begun_ns, left);
    return left(L, LUA_OK, (lua_KContext)begun_ns);
}

/* ---- env ---- */

static void add_environment(lua_State *L) {
    for (char **e = environ; *e != NULL; e++) {
        const char *equals = strchr(*e, '=');
        if (equals == NULL || equals == *e) continue;
        lua_pushlstring(L, *e, (size_t)(equals - *e));
        lua_pushstring(L, equals + 1);
        lua_rawset(L, -3);
    }
}

static void add_pairs(lua_State *L, const pn_pairs *pairs) {
    for (uint32_t i = 0; i < pairs->count; i++)
        set_text(L, pairs->list[i].key, pairs->list[i].value);
}

/* The system's, then -e's, then the scenario's; the later ones win. */
static void push_env(lua_State *L) {
    const pn_load_state *state = pn_lua_of(L)->load;
    const pn_load *load = pn_load_of(L);
    lua_newtable(L);
    add_environment(L);
    if (load != NULL) add_pairs(L, &load->env);
    if (state != NULL && state->home != NULL) add_pairs(L, &state->home->x->run->scenario->env);
}

void pn_open_run(lua_State *L) {
    push_env(L);
    lua_setfield(L, -2, "env");
}

const luaL_Reg pn_run_functions[] = {
    {"abort", l_abort},       {"fail", l_fail},   {"elapsed", l_elapsed},
    {"scenario", l_scenario}, {"group", l_group}, {NULL, NULL},
};
