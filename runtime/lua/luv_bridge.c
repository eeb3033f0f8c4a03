#include "lua/luv_bridge.h"

#include <luv/lhandle.h>
#include <luv/luv.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "lua/module.h"
#include "lua/task.h"

#define ROUNDS_MAX       4  /* of the loop in one go of the pump */
#define DRAIN_ROUNDS_MAX 16 /* close callbacks may close others */
#define STACK_ROOM       40 /* for what luv pushes before it calls back */

typedef struct luv {
    uv_loop_t loop;
    uv_async_t keeper; /* keeps it alive, so that it tells the time-outs of unreferenced timers */
    pn_lua *lua;       /* NULL: gone */
    pn_worker *worker;
    pn_task *pump;      /* NULL: not yet, or no more */
    uint32_t under_way; /* callbacks that have begun and not ended */
    bool is_touched;    /* something may have been started since the loop ran */
    bool is_running;    /* in uv_run */
    bool is_paused;     /* too many callbacks are under way */
    bool is_held;       /* io: real I/O is outstanding */
    bool is_closing, is_closed;
    bool has_lost; /* there was no memory for a callback */
    bool drops_callbacks;
    pn_handle leftover; /* see pn_luv_note */
    /* In the worker's loop; this struct is freed when they are closed and `lua` is NULL. */
    uv_poll_t poll;
    uv_timer_t alarm;
    unsigned open_handles;
    bool is_polling;
} luv;

static const char module_key = 0; /* registry: the module's table */

static luv *luv_of(lua_State *L) { return pn_lua_of(L)->luv; }

/* Between these two no allocation of Lua fails, so that nothing is raised. */
static void forbid_errors(luv *u) { u->lua->must_allocate = true; }

static void allow_errors(luv *u) { u->lua->must_allocate = false; }

/* ---- callbacks ---- */

static void on_callback_end(pn_task *task, void *context) {
    luv *u = context;
    (void)task;
    u->under_way--;
    bool goes_on = u->is_paused && u->under_way < PN_LUV_CALLBACKS_MAX;
    if (!goes_on || u->lua->actor->exit != NULL) return;
    u->is_paused = false;
    pn_task_ready(u->pump, 0);
}

static int spawn_callback(lua_State *L) {
    lua_pushlightuserdata(L, pn_task_spawn(L, lua_gettop(L) - 1));
    return 1;
}

/* Makes a task of the function and arguments on top, which it takes. NULL without memory. */
static pn_task *create_callback(lua_State *L, int arguments) {
    lua_pushcfunction(L, spawn_callback);
    lua_insert(L, -arguments - 2);
    bool ok = lua_pcall(L, arguments + 1, 1, 0) == LUA_OK;
    pn_task *task = ok ? lua_touserdata(L, -1) : NULL;
    lua_pop(L, 1);
    return task;
}

/* What luv calls instead of lua_pcall: from within uv_run, on the pump's stack. */
static int call_back(lua_State *L, int arguments, int results, int flags) {
    luv *u = luv_of(L);
    (void)results, (void)flags; /* luv asks for none */
    bool drops = u->drops_callbacks || u->is_closing || u->has_lost;
    if (drops || u->lua->actor->exit != NULL) {
        lua_pop(L, arguments + 1);
        return 0;
    }
    allow_errors(u);
    pn_task *task = create_callback(L, arguments);
    if (task == NULL) {
        u->has_lost = true;
    } else {
        task->is_detached = true;
        task->on_end = on_callback_end;
        task->on_end_context = u;
        u->under_way++;
        pn_task_run(task);
    }
    forbid_errors(u);
    return 0;
}

/* The stack on which luv prepares its calls. */
static void call_back_on(luv *u, lua_State *L) {
    luv_set_loop(L, &u->loop);
    luv_context(L)->mode = UV_RUN_DEFAULT; /* the loop is being run, whenever anybody asks */
}

/* ---- the pump ---- */

static bool is_alive(luv *u) { /* but for the keeper */
    uv_unref((uv_handle_t *)&u->keeper);
    bool alive = uv_loop_alive(&u->loop) != 0;
    uv_ref((uv_handle_t *)&u->keeper);
    return alive;
}

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_alarm(uv_timer_t *alarm);

static void set_polling(luv *u, bool on) {
    if (on == u->is_polling) return;
    u->is_polling = on;
    if (on) {
        uv_poll_start(&u->poll, UV_READABLE, on_poll);
    } else {
        uv_poll_stop(&u->poll);
    }
}

static void hold_time(luv *u, bool on) {
    if (on == u->is_held) return;
    u->is_held = on;
    if (on) {
        pn_io_hold(&u->worker->io);
    } else {
        pn_io_drop(&u->worker->io);
    }
}

/* The worker's loop is to wake the pump for what comes next. */
static void arm(luv *u) {
    int timeout_ms = u->is_paused ? -1 : uv_backend_timeout(&u->loop);
    bool alive = is_alive(u);
    hold_time(u, alive);
    set_polling(u, !u->is_paused);
    if (u->pump != NULL) u->pump->is_dormant = !alive;
    if (timeout_ms >= 0) {
        uv_update_time(&u->worker->io.loop);
        uv_timer_start(&u->alarm, on_alarm, (uint64_t)timeout_ms, 0);
    } else {
        uv_timer_stop(&u->alarm);
    }
}

static void on_event(luv *u) {
    if (u->lua == NULL) return;
    if (u->pump != NULL) {
        pn_task_ready(u->pump, 0);
    } else if (u->is_closing) {
        pn_actor_reap_again(u->lua->actor);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    on_event(poll->data);
}

static void on_alarm(uv_timer_t *alarm) { on_event(alarm->data); }

static bool has_more(luv *u) {
    if (u->under_way >= PN_LUV_CALLBACKS_MAX) {
        u->is_paused = true;
        return false;
    }
    return u->is_touched || uv_backend_timeout(&u->loop) == 0;
}

static int pump_again(lua_State *L, int status, lua_KContext context);

/* The loop, a few times if there is more to do; then the other tasks, and again, or a wait. */
static int pump(lua_State *L) {
    luv *u = luv_of(L);
    bool more = true;
    luaL_checkstack(L, STACK_ROOM, "luv");
    for (int i = 0; i < ROUNDS_MAX && more && u->lua->yield != PN_YIELD_PREEMPT; i++) {
        u->is_touched = false;
        u->is_running = true;
        forbid_errors(u);
        uv_run(&u->loop, UV_RUN_NOWAIT);
        allow_errors(u);
        u->is_running = false;
        if (u->has_lost) pn_raise(L, "not enough memory for a luv callback");
        if (u->lua->actor->exit != NULL) return 0;
        more = has_more(u);
    }
    if (more) return pn_task_yield(L, 0, pump_again);
    arm(u);
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, 0, pump_again);
}

static int pump_again(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    return pn_task_current(L)->code == 0 ? pump(L) : 0;
}

/* ---- what scripts see: every function wrapped, some replaced ---- */

/* Upvalue 1 is luv's function. */
static int guarded(lua_State *L) {
    luv *u = luv_of(L);
    if (u == NULL || u->is_closing) pn_raise(L, "luv: the actor has ended, its loop is closed");
    if (!u->is_running) uv_update_time(&u->loop); /* it may not have run for long */
    if (!u->is_touched) {
        u->is_touched = true;
        pn_task_ready(u->pump, 0);
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int l_run(lua_State *L) {
    pn_raise(L, "luv.run: the runtime runs the loop; callbacks come while the actor waits, "
                "actor.receive() for example");
}

static int l_stop(lua_State *L) {
    pn_raise(L, "luv.stop: the runtime runs the loop; close the handles instead");
}

static int l_loop_close(lua_State *L) {
    pn_raise(L, "luv.loop_close: the runtime closes the loop when the actor ends");
}

static int l_thread(lua_State *L) {
    pn_raise(L, "luv: threads and work run Lua outside of every actor, its memory limit and its "
                "error handling; spawn an actor instead (actor.spawn{ on = n })");
}

static int l_setenv(lua_State *L) {
    pn_raise(L, "luv: the environment belongs to all threads of the process and cannot be changed "
                "safely; pass `env` to what is started");
}

static int l_loop_alive(lua_State *L) {
    lua_pushboolean(L, is_alive(luv_of(L)));
    return 1;
}

/* SIGINT and SIGTERM end the script in order, SIGURG pre-empts, SIGPIPE is a failed write. */
static void check_signal(lua_State *L, int arg) {
    static const int ours[] = {SIGINT, SIGTERM, SIGURG, SIGPIPE};
    const char *name = lua_type(L, arg) == LUA_TSTRING ? lua_tostring(L, arg) : "";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        bool is_name =
            strncasecmp(name, "sig", 3) == 0 && strcasecmp(name + 3, sigabbrev_np(ours[i])) == 0;
        if (!is_name && lua_tointeger(L, arg) != ours[i]) continue;
        pn_raise(L, "luv: SIG%s belongs to the runtime", sigabbrev_np(ours[i]));
    }
}

/* Upvalue 1 is luv's function. */
static int l_signal_start(lua_State *L) {
    check_signal(L, 2);
    return guarded(L);
}

/* ---- walk: with the loop's handles collected first, so that the function may do anything ---- */

typedef struct collection {
    const luv *u;
    lua_State *L;
    lua_Integer count;
} collection;

static bool is_own(const luv *u, const uv_handle_t *handle) {
    return handle == (const uv_handle_t *)&u->keeper || handle->data == NULL;
}

static void collect(uv_handle_t *handle, void *context) {
    collection *c = context;
    if (is_own(c->u, handle)) return;
    lua_rawgeti(c->L, LUA_REGISTRYINDEX, ((const luv_handle_t *)handle->data)->ref);
    lua_rawseti(c->L, -2, ++c->count);
}

/* Pushes a list of all handles. */
static lua_Integer push_handles(lua_State *L, luv *u) {
    luaL_checkstack(L, 4, "handles");
    lua_newtable(L);
    collection c = {u, L, 0};
    forbid_errors(u);
    uv_walk(&u->loop, collect, &c);
    allow_errors(u);
    return c.count;
}

enum { WALK_FN = 1, WALK_LIST };

static int walked(lua_State *L, int status, lua_KContext next) {
    (void)status;
    lua_Integer count = (lua_Integer)lua_rawlen(L, WALK_LIST);
    for (lua_KContext i = next; i <= count; i++) {
        lua_settop(L, WALK_LIST);
        lua_pushvalue(L, WALK_FN);
        lua_rawgeti(L, WALK_LIST, i);
        lua_callk(L, 1, 0, i + 1, walked);
    }
    return 0;
}

static int l_walk(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    push_handles(L, luv_of(L));
    return walked(L, LUA_OK, 1);
}

/* ---- putting the module together ---- */

static const luaL_Reg replaced[] = {
    {"run", l_run},
    {"stop", l_stop},
    {"loop_close", l_loop_close},
    {"loop_alive", l_loop_alive},
    {"walk", l_walk},
    {"new_thread", l_thread},
    {"thread_join", l_thread},
    {"new_work", l_thread},
    {"queue_work", l_thread},
    {"os_setenv", l_setenv},
    {"os_unsetenv", l_setenv},
    {NULL, NULL},
};

static lua_CFunction replacement(const char *name) {
    for (const luaL_Reg *r = replaced; r->name != NULL; r++) {
        if (strcmp(r->name, name) == 0) return r->func;
    }
    return NULL;
}

/* Pushes the wrapped function. What is in several tables stays one: `cache` is a table. */
static void push_wrapped(lua_State *L, lua_CFunction f, lua_CFunction wrapper, int cache) {
    lua_pushcfunction(L, f);
    if (lua_rawget(L, cache) != LUA_TNIL) return;
    lua_pop(L, 1);
    lua_pushcfunction(L, f);
    lua_pushcclosure(L, wrapper, 1);
    lua_pushcfunction(L, f);
    lua_pushvalue(L, -2);
    lua_rawset(L, cache);
}

/* Wraps the functions of the table on top. */
static void wrap_all(lua_State *L, const char *starts_signals, bool is_module, int cache) {
    int table = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        lua_CFunction f = lua_tocfunction(L, -1);
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        bool is_wrapped = f == guarded || f == l_signal_start;
        lua_pop(L, 1);
        if (f == NULL || is_wrapped) continue;
        lua_CFunction own = is_module ? replacement(name) : NULL;
        bool is_start = strncmp(name, starts_signals, strlen(starts_signals)) == 0;
        lua_pushvalue(L, -1);
        push_wrapped(L, own != NULL ? own : f, is_start ? l_signal_start : guarded, cache);
        lua_rawset(L, table);
    }
}

static void wrap_class(lua_State *L, const char *class, int cache) {
    const char *starts_signals = strcmp(class, "uv_signal") == 0 ? "start" : "-";
    int top = lua_gettop(L);
    if (luaL_getmetatable(L, class) == LUA_TTABLE && lua_getfield(L, -1, "__index") == LUA_TTABLE) {
        wrap_all(L, starts_signals, false, cache);
    }
    lua_settop(L, top);
}

static void wrap_classes(lua_State *L, int cache) {
    static const char *const classes[] = {
#define NAME(upper, lower) "uv_" #lower,
        UV_HANDLE_TYPE_MAP(NAME)
#undef NAME
            "uv_req",
        "uv_fs",
        "uv_dir",
        NULL,
    };
    for (const char *const *c = classes; *c != NULL; c++) wrap_class(L, *c, cache);
}

/* ---- birth ---- */

static void on_closed(uv_handle_t *handle) {
    luv *u = handle->data;
    if (--u->open_handles == 0 && u->lua == NULL) {
        pn_mem_free(&u->worker->actors, u, sizeof *u);
    }
}

static void close_outer(luv *u) {
    if (uv_is_closing((uv_handle_t *)&u->alarm)) return;
    uv_close((uv_handle_t *)&u->alarm, on_closed);
    uv_close((uv_handle_t *)&u->poll, on_closed);
}

static int open_outer(luv *u) {
    uv_loop_t *outer = &u->worker->io.loop;
    int err = uv_poll_init(outer, &u->poll, uv_backend_fd(&u->loop));
    if (err != 0) return err;
    uv_timer_init(outer, &u->alarm);
    u->poll.data = u->alarm.data = u;
    u->open_handles = 2;
    return 0;
}

static int open_loops(luv *u) {
    int err = uv_loop_init(&u->loop);
    if (err != 0) return err;
    err = uv_async_init(&u->loop, &u->keeper, NULL);
    if (err == 0) {
        err = open_outer(u);
        if (err == 0) return 0;
        uv_close((uv_handle_t *)&u->keeper, NULL);
        uv_run(&u->loop, UV_RUN_NOWAIT);
    }
    uv_loop_close(&u->loop);
    return err;
}

static luv *create(lua_State *L, pn_lua *lua) {
    pn_worker *worker = pn_lua_worker(lua);
    luv *u = pn_mem_try_zeroed(&worker->actors, sizeof *u);
    if (u == NULL) pn_raise_code(L, PN_ENOMEM);
    u->worker = worker;
    u->lua = lua;
    pn_list_init(&u->leftover.link);
    int err = open_loops(u);
    if (err != 0) {
        pn_mem_free(&worker->actors, u, sizeof *u);
        pn_raise(L, "luv: cannot make a loop: %s", pn_err_text(err));
    }
    lua->luv = u;
    return u;
}

static void create_pump(lua_State *L, luv *u) {
    lua_pushcfunction(L, pump);
    u->pump = pn_task_spawn(L, 0);
    u->pump->is_detached = true;
    u->pump->is_dormant = true;
    u->pump->born = 0; /* older than anything that a test runner would end */
    pn_task_serve(u->pump, NULL);
    pn_task_set_request_id(u->pump, NULL);
    call_back_on(u, u->pump->co);
    luv_set_callback(L, call_back);
}

/* Each step may be interrupted by an error; the next call goes on from there. */
void pn_luv_push(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    luaL_checkstack(L, 8, "luv");
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key) != LUA_TNIL) return;
    lua_pop(L, 1);
    if (lua->is_closing) pn_raise(L, "luv: the actor has ended");
    luv *u = lua->luv != NULL ? lua->luv : create(L, lua);
    if (u->pump == NULL) create_pump(L, u);
    lua_newtable(L);
    int cache = lua_gettop(L);
    lua_pushcfunction(L, luaopen_luv);
    lua_call(L, 0, 1);
    wrap_all(L, "signal_start", true, cache);
    wrap_classes(L, cache);
    lua_remove(L, cache);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &module_key);
}

static lua_State *acquire_none(void) { return NULL; }

static void release_none(lua_State *L) { (void)L; }

/* luv keeps these in statics that it would set at its first opening, on any thread. Nobody gets to
 * call them: see l_thread. */
void pn_luv_prepare(void) { luv_set_thread_cb(acquire_none, release_none); }

/* ---- the end ---- */

static void close_inner(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void begin_closing(luv *u) {
    pn_lua *lua = u->lua;
    u->is_closing = true;
    u->pump = NULL; /* it went with the tasks */
    lua->must_allocate = true;
    lua_gc(lua->L, LUA_GCSTOP); /* no finalizer runs in what follows; lua_close does not ask */
    lua_checkstack(lua->L, STACK_ROOM);
    call_back_on(u, lua->L);
    uv_walk(&u->loop, close_inner, NULL);
}

static bool run_until_empty(luv *u) {
    pn_lua *lua = u->lua;
    lua->current = &lua->main;
    lua->running = lua->L;
    for (int i = 0; i < DRAIN_ROUNDS_MAX && uv_loop_alive(&u->loop); i++) {
        uv_run(&u->loop, UV_RUN_NOWAIT);
    }
    lua->running = NULL;
    lua->current = NULL;
    return !uv_loop_alive(&u->loop);
}

bool pn_luv_drain(pn_lua *lua) {
    luv *u = lua->luv;
    if (u == NULL || u->is_closed) return true;
    if (!u->is_closing) begin_closing(u);
    if (!run_until_empty(u)) { /* a request is in the hands of a thread */
        u->is_paused = false;
        arm(u);
        return false;
    }
    hold_time(u, false);
    close_outer(u);
    int err = uv_loop_close(&u->loop);
    pn_assert(err == 0);
    u->is_closed = true;
    lua->must_allocate = false;
    return true;
}

void pn_luv_free(pn_lua *lua) {
    luv *u = lua->luv;
    lua->luv = NULL;
    if (u == NULL) return;
    u->lua = NULL;
    if (u->open_handles == 0) pn_mem_free(&u->worker->actors, u, sizeof *u);
}

/* ---- what a test leaves on the loop ---- */

static void count_open(uv_handle_t *handle, void *context) {
    collection *c = context;
    if (!is_own(c->u, handle) && !uv_is_closing(handle)) c->count++;
}

/* Closes it as scripts do, so that luv forgets it. */
static void close_as_script(lua_State *L) { /* a handle's userdata on top, which is popped */
    const uv_handle_t *const *box = lua_touserdata(L, -1);
    if (box != NULL && *box != NULL && !uv_is_closing(*box)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key);
        lua_getfield(L, -1, "close");
        lua_pushvalue(L, -3);
        lua_call(L, 1, 0);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* All handles, at once, and nobody is called back. Within a task that is not the pump. */
static void close_leftovers(pn_handle *handle) {
    luv *u = PN_CONTAINER(handle, luv, leftover);
    lua_State *L = u->lua->running;
    pn_handle_forget(handle);
    if (u->lua->is_closing || u->is_running) return; /* pn_luv_drain closes all */
    lua_Integer count = push_handles(L, u);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        close_as_script(L);
    }
    lua_pop(L, 1);
    u->drops_callbacks = true;
    luaL_checkstack(L, STACK_ROOM, "luv");
    call_back_on(u, L);
    forbid_errors(u);
    for (int i = 0; i < DRAIN_ROUNDS_MAX && is_alive(u); i++) uv_run(&u->loop, UV_RUN_NOWAIT);
    allow_errors(u);
    call_back_on(u, u->pump->co);
    u->drops_callbacks = false;
}

void pn_luv_note(pn_lua *lua) {
    luv *u = lua->luv;
    if (u == NULL || u->is_closing) return;
    collection c = {u, NULL, 0};
    uv_walk(&u->loop, count_open, &c);
    bool is_noted = pn_list_linked(&u->leftover.link);
    if (c.count > 0 && !is_noted) pn_handle_open(lua, &u->leftover, "luv loop", close_leftovers);
    if (c.count == 0 && is_noted) pn_handle_forget(&u->leftover);
}
