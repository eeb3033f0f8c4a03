/*
 * perilune.process: the C half. The Lua half (spawn, readiness) is scripts/perilune/process.lua.
 *
 * While a task waits for a program, virtual time stands still: what it waits for is real.
 */
#include "bind/bind.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "core/probe.h"
#include "core/process.h"
#include "lua/args.h"
#include "lua/json_value.h"

#define PROCESS_CLASS "perilune.process"
#define PROBE_CLASS   "perilune.process.probe"

/* The Lua object. Its user values are its name and the program. */
typedef struct box {
    pn_process *process; /* NULL: taken away with the actor, or by a test runner */
    pn_probe *probe;
    pn_lua *lua;
    pn_handle handle; /* while anything may be left of it */
    pn_list waiters;  /* for the state */
    pn_list watchers; /* for any change */
    pn_process_state seen_state;
    bool seen_gone;
    uint64_t seen_writes;
    uint32_t change_count;
} box;

static pn_io *io_of(lua_State *L) { return &pn_lua_worker(pn_lua_of(L))->io; }

static box *check_box(lua_State *L) { return luaL_checkudata(L, 1, PROCESS_CLASS); }

static const char *push_name(lua_State *L) {
    lua_getiuservalue(L, 1, 1);
    return lua_tostring(L, -1);
}

/* ---- waiting ---- */

static void cancel_wait(pn_task *task, void *context) {
    (void)context;
    pn_io_drop(&pn_lua_worker(task->lua)->io);
    task->cancel = NULL;
}

static void wake(pn_list *list, int code) {
    while (!pn_list_empty(list)) {
        pn_task *task = PN_CONTAINER(list->next, pn_task, queue);
        cancel_wait(task, NULL);
        pn_task_ready(task, code);
    }
}

static int wait_in(lua_State *L, pn_list *list, uint64_t timeout_ns, lua_KContext context,
                   lua_KFunction k) {
    pn_task_check_block(L);
    pn_task *task = pn_task_woken(L);
    pn_io_hold(io_of(L));
    task->cancel = cancel_wait;
    return pn_task_wait_in(L, list, timeout_ns, context, k);
}

/* A deadline is what continuations carry; 0 stands for none. */
static lua_KContext deadline_of(lua_State *L, uint64_t timeout_ns) {
    if (timeout_ns == PN_NO_TIMEOUT) return 0;
    return (lua_KContext)(pn_clock_now_ns(io_of(L)->clock) + timeout_ns);
}

static uint64_t left_until(lua_State *L, lua_KContext deadline) {
    if (deadline == 0) return PN_NO_TIMEOUT;
    uint64_t now_ns = pn_clock_now_ns(io_of(L)->clock);
    return (uint64_t)deadline > now_ns ? (uint64_t)deadline - now_ns : 0;
}

/* ---- the process changes ---- */

static void forget_handle(box *b) {
    if (pn_list_linked(&b->handle.link)) pn_handle_forget(&b->handle);
}

static void on_change(pn_process *p, void *context) {
    box *b = context;
    b->change_count++;
    bool is_news =
        p->state != b->seen_state || p->is_gone != b->seen_gone || p->writes_done != b->seen_writes;
    b->seen_state = p->state;
    b->seen_gone = p->is_gone;
    b->seen_writes = p->writes_done;
    if (p->is_gone) forget_handle(b);
    if (is_news) wake(&b->waiters, 0);
    wake(&b->watchers, 0);
}

static void stop_probe(box *b) {
    if (b->probe != NULL) pn_probe_stop(b->probe);
    b->probe = NULL;
}

static void let_go(box *b) {
    stop_probe(b);
    forget_handle(b);
    if (b->process == NULL) return;
    b->process->on_change = NULL;
    pn_process_release(b->process);
    b->process = NULL;
    wake(&b->waiters, 0);
    wake(&b->watchers, 0);
}

static void close_with_actor(pn_handle *handle) { let_go(PN_CONTAINER(handle, box, handle)); }

static int push_closed(lua_State *L) {
    return pn_push_error(L, PN_ECLOSED, "%s is closed", push_name(L));
}

/* ---- signals by name ---- */

/* 0: there is no such signal. */
static int find_signal(const char *name) {
    if (strncasecmp(name, "SIG", 3) == 0) name += 3;
    for (int i = 1; i <= PN_GUARDIAN_SIGNAL_MAX; i++) {
        const char *known = sigabbrev_np(i);
        if (known != NULL && strcasecmp(known, name) == 0) return i;
    }
    return 0;
}

static void push_signal(lua_State *L, int signal) {
    const char *name = sigabbrev_np(signal);
    if (name != NULL) {
        lua_pushfstring(L, "SIG%s", name);
    } else {
        lua_pushfstring(L, "%d", signal);
    }
}

static int check_signal(lua_State *L, int arg) {
    if (lua_isnoneornil(L, arg)) return SIGTERM;
    int is_number, signal = (int)lua_tointegerx(L, arg, &is_number);
    if (lua_type(L, arg) == LUA_TSTRING) {
        signal = find_signal(lua_tostring(L, arg));
    } else if (lua_type(L, arg) != LUA_TNUMBER || !is_number) {
        luaL_typeerror(L, arg, "signal's name or number");
    }
    if (signal < 1 || signal > PN_GUARDIAN_SIGNAL_MAX) luaL_argerror(L, arg, "no such signal");
    return signal;
}

/* ---- options ---- */

/* Checks that C can have the text at `index`, and returns it. */
static const char *check_text(lua_State *L, int index, const char *what) {
    size_t size;
    if (lua_type(L, index) != LUA_TSTRING && lua_type(L, index) != LUA_TNUMBER) {
        pn_raise(L, "%s: a text expected, got a %s", what, luaL_typename(L, index));
    }
    const char *text = lua_tolstring(L, index, &size);
    if (strlen(text) != size) pn_raise(L, "%s: a text with a byte 0 in it", what);
    return text;
}

enum { OPTIONS = 1, NAMED, BOX }; /* the stack while a process is made */

/* Splits the options: NAMED are those with names, checked. Returns how many arguments are left. */
static int split_options(lua_State *L) {
    static const char *const known[] = {
        "name", "env", "inherit_env", "cwd", "stdin", "ready", "output_limit", "shutdown", NULL,
    };
    luaL_checktype(L, OPTIONS, LUA_TTABLE);
    lua_Integer count = (lua_Integer)lua_rawlen(L, OPTIONS);
    if (count > PN_PROCESS_ARGS_MAX) pn_raise(L, "process.spawn: too many arguments");
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, OPTIONS) != 0) {
        lua_Integer place = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (place < 1 || place > count) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, NAMED);
        } else {
            lua_pop(L, 1);
        }
    }
    pn_check_options(L, NAMED, known);
    if (count == 0) pn_raise(L, "process.spawn: which program? { \"./target\", \"8080\" }");
    return (int)count;
}

/* Pushes a NULL-ended array of the texts in the list at `list`, which keeps them. */
static const char *const *push_texts(lua_State *L, int list, int count, const char *what) {
    const char **texts = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *texts, 0);
    char place[64];
    for (int i = 0; i < count; i++) {
        snprintf(place, sizeof place, "%s %d", what, i + 1);
        lua_rawgeti(L, list, i + 1);
        texts[i] = check_text(L, -1, place);
        lua_pushvalue(L, -1); /* numbers have become texts */
        lua_rawseti(L, list, i + 1);
        lua_pop(L, 1);
    }
    texts[count] = NULL;
    return texts;
}

static const char *const *push_argv(lua_State *L, int count) {
    lua_createtable(L, count, 0);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, OPTIONS, i);
        lua_rawseti(L, -2, i);
    }
    return push_texts(L, lua_gettop(L), count, "process.spawn: argument");
}

/* Appends "NAME=value" for what the runtime has and `env` (0: none) does not mention. */
static int add_inherited(lua_State *L, int list, int env, int count) {
    for (char **e = environ; *e != NULL; e++) {
        const char *equals = strchr(*e, '=');
        if (equals == NULL) continue;
        if (env != 0) {
            lua_pushlstring(L, *e, (size_t)(equals - *e));
            bool is_mentioned = lua_rawget(L, env) != LUA_TNIL;
            lua_pop(L, 1);
            if (is_mentioned) continue;
        }
        lua_pushstring(L, *e);
        lua_rawseti(L, list, ++count);
    }
    return count;
}

static int add_own(lua_State *L, int list, int env, int count) {
    int keys_count = pn_json_push_keys(L, env), keys = lua_gettop(L);
    for (int i = 1; i <= keys_count; i++) {
        lua_rawgeti(L, keys, i);
        const char *name = check_text(L, -1, "option 'env'");
        if (*name == '\0' || strchr(name, '=') != NULL) {
            pn_raise(L, "option 'env': \"%s\" is no name of a variable", name);
        }
        lua_pushvalue(L, -1);
        lua_rawget(L, env);
        bool is_unset = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
        if (!is_unset) {
            lua_pushfstring(L, "%s=%s", name, check_text(L, -1, "option 'env'"));
            lua_rawseti(L, list, ++count);
        }
        lua_settop(L, keys);
    }
    lua_pop(L, 1);
    return count;
}

static void check_env(lua_State *L, int env) {
    if (!lua_istable(L, env)) pn_field_error(L, "env", "a table of names and values", env);
    lua_pushnil(L);
    while (lua_next(L, env) != 0) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            pn_raise(L, "option 'env': a %s as the name of a variable", luaL_typename(L, -1));
        }
    }
}

/* Pushes the environment; NULL: the runtime's as it is. */
static const char *const *push_env(lua_State *L) {
    bool inherits = pn_field_boolean(L, NAMED, "inherit_env", true);
    bool has_env = lua_getfield(L, NAMED, "env") != LUA_TNIL;
    int env = lua_gettop(L), count = 0;
    if (!has_env && inherits) return NULL;
    if (has_env) check_env(L, env);
    lua_newtable(L);
    int list = lua_gettop(L);
    if (inherits) count = add_inherited(L, list, env, count);
    if (has_env) count = add_own(L, list, env, count);
    return push_texts(L, list, count, "option 'env'");
}

static void check_ready(lua_State *L) {
    static const char *const known[] = {"port", "host", "log", "timeout", NULL};
    if (lua_getfield(L, NAMED, "ready") != LUA_TNIL) {
        int ready = lua_gettop(L);
        if (!lua_istable(L, ready)) pn_field_error(L, "ready", "a table", ready);
        pn_check_options(L, ready, known);
        bool has_port = pn_field_integer(L, ready, "port", 1, 65535, 0) != 0;
        bool has_log = pn_field_string(L, ready, "log", NULL) != NULL;
        pn_field_string(L, ready, "host", NULL);
        pn_field_duration(L, ready, "timeout", 0);
        if (!has_port && !has_log) pn_raise(L, "option 'ready': a port or a log pattern expected");
        lua_settop(L, ready);
    }
    lua_pop(L, 1);
}

static void read_limits(lua_State *L, pn_process_options *o) {
    uint64_t limit = pn_field_size(L, NAMED, "output_limit", PN_PROCESS_OUTPUT_DEFAULT_BYTES);
    if (limit < 1 || limit > PN_OUTPUT_LIMIT_MAX) {
        pn_raise(L, "option 'output_limit': 1 byte to 512MB expected");
    }
    o->output_max_bytes = (size_t)limit;
    uint64_t absent_ns = PN_PROCESS_GRACE_DEFAULT_MS * PN_NS_PER_MS;
    uint64_t grace_ns = pn_field_duration(L, NAMED, "shutdown", absent_ns);
    uint64_t grace_ms = (grace_ns + PN_NS_PER_MS - 1) / PN_NS_PER_MS;
    o->grace_ms = grace_ms > UINT32_MAX ? UINT32_MAX : grace_ms < 1 ? 1 : (uint32_t)grace_ms;
}

/* Pushes the whole input, if it is given as a text, or nil. */
static const char *push_input(lua_State *L, bool *has_input, size_t *size) {
    int type = lua_getfield(L, NAMED, "stdin");
    if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TSTRING) {
        pn_field_error(L, "stdin", "a text, or true for a pipe to write to", -1);
    }
    *has_input = lua_toboolean(L, -1);
    return type == LUA_TSTRING ? lua_tolstring(L, -1, size) : NULL;
}

/* Its name, or the program's: "./bin/target" is called target. */
static void set_name(lua_State *L, const char *program) {
    if (pn_field_string(L, NAMED, "name", NULL) == NULL) {
        const char *slash = strrchr(program, '/');
        lua_pushstring(L, slash != NULL && slash[1] != '\0' ? slash + 1 : program);
    }
    lua_setiuservalue(L, BOX, 1);
    lua_pushstring(L, program);
    lua_setiuservalue(L, BOX, 2);
}

/* ---- starting ---- */

static void push_class(lua_State *L);

static box *push_box(lua_State *L) {
    box *b = lua_newuserdatauv(L, sizeof *b, 2);
    memset(b, 0, sizeof *b);
    b->lua = pn_lua_of(L);
    pn_list_init(&b->waiters);
    pn_list_init(&b->watchers);
    pn_list_init(&b->handle.link);
    push_class(L);
    lua_setmetatable(L, -2);
    return b;
}

static int push_start_error(lua_State *L, int box_index, int err) {
    lua_getiuservalue(L, box_index, 2);
    return pn_push_error(L, err, "cannot start %s: %s", lua_tostring(L, -1), pn_err_text(err));
}

static void adopt(box *b, pn_process *process) {
    b->process = process;
    process->on_change = on_change;
    process->context = b;
    pn_handle_open(b->lua, &b->handle, "process", close_with_actor);
}

/* An input that is given whole. */
static int write_input(pn_process *p, const char *text, size_t size) {
    int err = size > 0 ? pn_process_write(p, text, size) : 0;
    pn_process_end_input(p);
    return err;
}

/* A process that is about to start. */
static int l_create(lua_State *L) {
    lua_settop(L, 1);
    int count = split_options(L);
    box *b = push_box(L);
    pn_process_options o = {.argv = push_argv(L, count)};
    size_t input_size = 0;
    check_ready(L);
    read_limits(L, &o);
    o.env = push_env(L);
    o.cwd = pn_field_string(L, NAMED, "cwd", NULL);
    if (o.cwd != NULL) check_text(L, -1, "option 'cwd'");
    const char *input = push_input(L, &o.has_input, &input_size);
    set_name(L, o.argv[0]);
    bool is_cwd;
    pn_process *process;
    int err = pn_process_spawn(io_of(L), &o, &process, &is_cwd);
    if (is_cwd) return pn_push_error(L, err, "cannot enter %s: %s", o.cwd, pn_err_text(err));
    if (err == 0) {
        adopt(b, process);
        if (input != NULL) err = write_input(process, input, input_size);
    }
    if (err != 0) {
        let_go(b);
        return push_start_error(L, BOX, err);
    }
    lua_settop(L, BOX);
    return 1;
}

static int started(lua_State *L, int status, lua_KContext context);

/* Waits until it runs: true; or it cannot. It may have come so far, or have ended, since _create:
 * the task may have been pre-empted in between. */
static int await_start(lua_State *L, box *b) {
    if (b->process == NULL) return push_closed(L);
    if (b->process->state == PN_PROCESS_FAILED) return push_start_error(L, 1, b->process->err);
    if (b->process->state == PN_PROCESS_STARTING) {
        return wait_in(L, &b->waiters, PN_NO_TIMEOUT, 0, started);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int started(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return await_start(L, lua_touserdata(L, 1));
}

static int l_process_await_start(lua_State *L) {
    box *b = check_box(L);
    lua_settop(L, 1);
    return await_start(L, b);
}

/* ---- its end ---- */

static int push_exit(lua_State *L, const pn_process *p) {
    lua_pushinteger(L, p->exit_code);
    if (p->signal == 0) return 1;
    lua_pushnil(L);
    lua_pushnil(L);
    push_signal(L, p->signal); /* after value, err, code: an extra */
    return 4;
}

static int waited(lua_State *L, int status, lua_KContext deadline);

static int wait_for_exit(lua_State *L, box *b, lua_KContext deadline) {
    if (b->process == NULL) return push_closed(L);
    if (b->process->state == PN_PROCESS_FAILED) return push_start_error(L, 1, b->process->err);
    if (b->process->state == PN_PROCESS_EXITED) return push_exit(L, b->process);
    return wait_in(L, &b->waiters, left_until(L, deadline), deadline, waited);
}

static int waited(lua_State *L, int status, lua_KContext deadline) {
    (void)status;
    box *b = lua_touserdata(L, 1);
    pn_task *task = pn_task_woken(L);
    if (task->code == PN_ETIMEOUT) {
        return pn_push_error(L, task->code, "%s still runs", push_name(L));
    }
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return wait_for_exit(L, b, deadline);
}

static int l_process_wait(lua_State *L) {
    box *b = check_box(L);
    uint64_t timeout_ns = pn_opt_duration(L, 2, PN_NO_TIMEOUT);
    lua_settop(L, 1);
    return wait_for_exit(L, b, deadline_of(L, timeout_ns));
}

static int l_process_kill(lua_State *L) {
    box *b = check_box(L);
    int signal = check_signal(L, 2);
    if (b->process == NULL) return push_closed(L);
    int err = pn_process_kill(b->process, signal);
    if (err == -ESRCH) return pn_push_error(L, err, "%s does not run", push_name(L));
    return pn_push_result(L, err);
}

static int closed(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    box *b = lua_touserdata(L, 1);
    pn_task_woken(L);
    if (b->process != NULL && !b->process->is_gone && pn_task_may_wait(L)) {
        return wait_in(L, &b->waiters, PN_NO_TIMEOUT, 0, closed);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Waits until all is gone, where it can; it goes in any case. */
static int l_process_close(lua_State *L) {
    box *b = check_box(L);
    lua_settop(L, 1);
    stop_probe(b);
    if (b->process != NULL) pn_process_close(b->process);
    if (b->process != NULL && !b->process->is_gone && pn_task_may_wait(L)) {
        return wait_in(L, &b->waiters, PN_NO_TIMEOUT, 0, closed);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int l_process_abandon(lua_State *L) {
    let_go(check_box(L));
    return 0;
}

static int l_process_gc(lua_State *L) {
    let_go(lua_touserdata(L, 1));
    return 0;
}

/* ---- output and input ---- */

static int l_process_output(lua_State *L) {
    static const char *const streams[] = {"stdout", "stderr", "both", NULL};
    const box *b = check_box(L);
    int stream = luaL_checkoption(L, 2, "both", streams);
    if (stream == 2) stream = PN_OUTPUT_ALL;
    if (b->process == NULL) return push_closed(L);
    luaL_Buffer buffer;
    size_t size = pn_output_size(&b->process->output, stream);
    char *room = luaL_buffinitsize(L, &buffer, size);
    pn_output_copy(&b->process->output, stream, room);
    luaL_pushresultsize(&buffer, size);
    return 1;
}

static int push_write_error(lua_State *L, int err) {
    return pn_push_error(L, err, "cannot write to %s: %s", push_name(L), pn_err_text(err));
}

static int written(lua_State *L, int status, lua_KContext until) {
    (void)status;
    box *b = lua_touserdata(L, 1);
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    if (b->process == NULL) return push_closed(L);
    if (b->process->write_err != 0) return push_write_error(L, b->process->write_err);
    if (b->process->writes_done < (uint64_t)until) {
        return wait_in(L, &b->waiters, PN_NO_TIMEOUT, until, written);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int l_process_write(lua_State *L) {
    box *b = check_box(L);
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    pn_task_check_block(L);
    pn_task_woken(L);
    if (b->process == NULL) return push_closed(L);
    int err = b->process->write_err;
    if (err == 0) err = pn_process_write(b->process, text, size);
    if (err != 0) return push_write_error(L, err);
    lua_settop(L, 1);
    return wait_in(L, &b->waiters, PN_NO_TIMEOUT, (lua_KContext)b->process->writes_begun, written);
}

static int l_process_end_input(lua_State *L) {
    box *b = check_box(L);
    if (b->process != NULL) pn_process_end_input(b->process);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- readiness, for the Lua half ---- */

static uint16_t check_port(lua_State *L, int arg) {
    lua_Integer port = luaL_checkinteger(L, arg);
    luaL_argcheck(L, port >= 1 && port <= 65535, arg, "a port from 1 to 65535 expected");
    return (uint16_t)port;
}

static pn_probe *start_probe(lua_State *L, int host) {
    pn_probe *probe;
    int err = pn_probe_start(io_of(L), luaL_checkstring(L, host), check_port(L, host + 1), &probe);
    if (err == -EINVAL) luaL_argerror(L, host, "a numeric address expected");
    if (err != 0) pn_raise_code(L, err);
    return probe;
}

static void on_attempt(pn_probe *probe, void *context) {
    box *b = context;
    if (!probe->is_open) return;
    b->change_count++;
    wake(&b->watchers, 0);
}

/* _watch(timeout[, host, port]): an alarm, and a probe. */
static int l_process_watch(lua_State *L) {
    box *b = check_box(L);
    uint64_t timeout_ns = pn_check_duration(L, 2);
    if (b->process == NULL) return push_closed(L);
    stop_probe(b);
    if (!lua_isnoneornil(L, 3)) {
        b->probe = start_probe(L, 3);
        b->probe->on_attempt = on_attempt;
        b->probe->context = b;
    }
    pn_process_set_alarm(b->process, timeout_ns / PN_NS_PER_MS);
    lua_pushboolean(L, 1);
    return 1;
}

static int l_process_unwatch(lua_State *L) {
    box *b = check_box(L);
    stop_probe(b);
    if (b->process != NULL) pn_process_stop_alarm(b->process);
    return 0;
}

/* "exited", "late" or "running"; whether the probe has found the port open; the number of changes
 * so far, for _await_change. */
static int push_view(lua_State *L, const box *b) {
    const pn_process *p = b->process;
    bool runs = p != NULL && p->state == PN_PROCESS_RUNNING;
    lua_pushstring(L, !runs ? "exited" : p->has_rung ? "late" : "running");
    lua_pushboolean(L, b->probe != NULL && b->probe->is_open);
    lua_pushinteger(L, b->change_count);
    return 3;
}

static int changed(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *task = pn_task_woken(L);
    if (task->code != 0) return pn_push_error(L, task->code, NULL);
    return push_view(L, lua_touserdata(L, 1));
}

static int l_process_view(lua_State *L) { return push_view(L, check_box(L)); }

/* _await_change(count): waits until there have been more changes than those. */
static int l_process_await_change(lua_State *L) {
    box *b = check_box(L);
    lua_Integer seen_count = luaL_checkinteger(L, 2);
    lua_settop(L, 1);
    if (b->process == NULL) return push_closed(L);
    if (seen_count != (lua_Integer)b->change_count) return push_view(L, b);
    return wait_in(L, &b->watchers, PN_NO_TIMEOUT, 0, changed);
}

/* A probe that makes one attempt. */
typedef struct probe_box {
    pn_probe *probe;
    pn_list waiters;
} probe_box;

static int l_probe_gc(lua_State *L) {
    probe_box *b = lua_touserdata(L, 1);
    if (b->probe != NULL) pn_probe_stop(b->probe);
    b->probe = NULL;
    return 0;
}

static void on_first_attempt(pn_probe *probe, void *context) {
    (void)probe;
    wake(&((probe_box *)context)->waiters, 0);
}

static int probed(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    probe_box *b = lua_touserdata(L, 3);
    lua_pushboolean(L, b->probe->is_open);
    pn_probe_stop(b->probe);
    b->probe = NULL;
    pn_task *task = pn_task_woken(L);
    return task->code != 0 ? pn_push_error(L, task->code, NULL) : 1;
}

static int l_is_listening(lua_State *L) {
    lua_settop(L, 2);
    probe_box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->probe = NULL;
    pn_list_init(&b->waiters);
    if (luaL_newmetatable(L, PROBE_CLASS)) {
        lua_pushcfunction(L, l_probe_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    b->probe = start_probe(L, 1);
    b->probe->on_attempt = on_first_attempt;
    b->probe->context = b;
    return wait_in(L, &b->waiters, PN_NO_TIMEOUT, 0, probed);
}

/* ---- the object ---- */

static bool push_property(lua_State *L, const pn_process *p, const char *key) {
    if (strcmp(key, "pid") == 0 && p->pid > 0) {
        lua_pushinteger(L, p->pid);
    } else if (strcmp(key, "exit_code") == 0 && p->state == PN_PROCESS_EXITED) {
        lua_pushinteger(L, p->exit_code);
    } else if (strcmp(key, "signal") == 0 && p->signal != 0) {
        push_signal(L, p->signal);
    } else if (strcmp(key, "output_bytes") == 0) {
        lua_pushinteger(L, (lua_Integer)p->output.total_bytes);
    } else if (strcmp(key, "truncated") == 0) {
        lua_pushboolean(L, p->output.total_bytes > p->output.size);
    } else {
        return false;
    }
    return true;
}

/* Upvalue 1 is the table of methods. */
static int index_process(lua_State *L) {
    const box *b = check_box(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "name") == 0) {
        push_name(L);
        return 1;
    }
    if (b->process != NULL && push_property(L, b->process, key)) return 1;
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static int l_process_tostring(lua_State *L) {
    const box *b = check_box(L);
    int pid = b->process != NULL ? b->process->pid : 0;
    lua_pushfstring(L, "process %s (pid %d)", push_name(L), pid);
    return 1;
}

static const luaL_Reg process_methods[] = {
    {"wait", l_process_wait},
    {"kill", l_process_kill},
    {"output", l_process_output},
    {"write", l_process_write},
    {"end_input", l_process_end_input},
    {"close", l_process_close},
    {"_await_start", l_process_await_start},
    {"_watch", l_process_watch},
    {"_unwatch", l_process_unwatch},
    {"_view", l_process_view},
    {"_await_change", l_process_await_change},
    {"_abandon", l_process_abandon},
    {NULL, NULL},
};

static const luaL_Reg process_metamethods[] = {
    {"__gc", l_process_gc},
    {"__close", l_process_close},
    {"__tostring", l_process_tostring},
    {NULL, NULL},
};

static void push_class(lua_State *L) {
    if (!luaL_newmetatable(L, PROCESS_CLASS)) return;
    luaL_setfuncs(L, process_metamethods, 0);
    luaL_newlib(L, process_methods);
    lua_pushcclosure(L, index_process, 1);
    lua_setfield(L, -2, "__index");
}

const luaL_Reg pn_process_functions[] = {
    {"_create", l_create},
    {"_is_listening", l_is_listening},
    {NULL, NULL},
};
