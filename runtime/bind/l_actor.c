/* perilune.actor: the C half. The Lua half (supervisor, wait_all) is scripts/perilune/actor.lua. */
#include "bind/bind.h"

#include "base/units.h"
#include "lua/args.h"
#include "lua/request.h"
#include "lua/send.h"
#include "lua/spawn.h"
#include "lua/stream.h"

static const char *const overflow_names[] = {"reject", "block", "drop_new", "drop_oldest", NULL};

static pn_actor *self_of(lua_State *L) { return pn_lua_of(L)->actor; }

static pn_worker *worker_of(lua_State *L) { return pn_lua_worker(pn_lua_of(L)); }

/* ---- spawn ---- */

static void read_mailbox(lua_State *L, int options, pn_spawn *spawn) {
    static const char *const known[] = {"capacity", "overflow", "timeout", NULL};
    if (lua_getfield(L, options, "mailbox") != LUA_TNIL) {
        int mailbox = lua_gettop(L);
        if (!lua_istable(L, mailbox)) pn_field_error(L, "mailbox", "a table", mailbox);
        pn_check_options(L, mailbox, known);
        spawn->capacity = (uint32_t)pn_field_integer(
            L, mailbox, "capacity", 1, PN_MAILBOX_CAPACITY_MAX, PN_MAILBOX_CAPACITY_DEFAULT);
        spawn->overflow = (pn_overflow)pn_field_choice(L, mailbox, "overflow", overflow_names, 0);
        uint64_t timeout_ns = pn_field_duration(L, mailbox, "timeout", 0);
        uint64_t timeout_ms = (timeout_ns + PN_NS_PER_MS - 1) / PN_NS_PER_MS;
        spawn->block_timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
    }
    lua_pop(L, 1);
}

static void check_name(lua_State *L, const char *name, size_t size) {
    if (size == 0 || size > PN_NAME_MAX_BYTES) {
        luaL_error(L, "a name has 1 to %d bytes", PN_NAME_MAX_BYTES);
    }
    if (strlen(name) != size) luaL_error(L, "a name has no NUL in it");
}

static const char *check_name_argument(lua_State *L, int arg) {
    size_t size;
    const char *name = luaL_checklstring(L, arg, &size);
    check_name(L, name, size);
    return name;
}

/* The name stays on the stack. */
static void read_options(lua_State *L, int options, pn_spawn *spawn) {
    static const char *const known[] = {"name",         "link",    "monitor", "on",
                                        "memory_limit", "mailbox", NULL};
    pn_check_options(L, options, known);
    int workers = (int)worker_of(L)->runtime->worker_count;
    spawn->link = pn_field_boolean(L, options, "link", false);
    spawn->monitor = pn_field_boolean(L, options, "monitor", false);
    spawn->on = (int)pn_field_integer(L, options, "on", 0, workers - 1, -1);
    spawn->memory_limit_bytes = pn_field_size(L, options, "memory_limit", 0);
    read_mailbox(L, options, spawn);
    spawn->name = pn_field_string(L, options, "name", NULL);
    if (spawn->name != NULL) check_name(L, spawn->name, lua_rawlen(L, -1));
}

static int spawn_actor(lua_State *L, bool is_member) {
    pn_spawn spawn = {.behaviour = &pn_lua_behaviour, .on = -1, .is_member = is_member};
    int first = lua_istable(L, 1) ? 2 : 1;
    int type = lua_type(L, first);
    if (type != LUA_TFUNCTION && type != LUA_TSTRING) {
        return luaL_typeerror(L, first, "function or module name");
    }
    int top = lua_gettop(L);
    if (first == 2) read_options(L, 1, &spawn);
    lua_settop(L, top); /* the name lives on in the options */
    spawn.argument = pn_program_copy(L, first);
    pn_pid pid;
    uint64_t ref = 0;
    int err = pn_actor_spawn(worker_of(L), self_of(L), &spawn, &pid, &ref);
    if (err == PN_ENAME_TAKEN) return pn_push_error(L, err, "the name '%s' is taken", spawn.name);
    if (err != 0) return pn_push_error(L, err, NULL);
    pn_push_pid(L, pid);
    if (ref == 0) return 1;
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)ref); /* after value, err, code: spawn's own extra */
    return 4;
}

static int l_spawn(lua_State *L) { return spawn_actor(L, false); }

/* The name in the options is a group's, which the actor joins. */
static int l_spawn_member(lua_State *L) { return spawn_actor(L, true); }

/* Raises what spawn would not take as options. */
static int l_check_spawn(lua_State *L) {
    pn_spawn spawn = {.on = -1};
    luaL_checktype(L, 1, LUA_TTABLE);
    read_options(L, 1, &spawn);
    return 0;
}

/* ---- messages ---- */

static int l_self(lua_State *L) {
    pn_push_pid(L, self_of(L)->pid);
    return 1;
}

static int l_send(lua_State *L) {
    if (PN_UNLIKELY(lua_gettop(L) != 2)) {
        luaL_checkany(L, 2);
        lua_settop(L, 2);
    }
    return pn_send(L);
}

static int l_call(lua_State *L) {
    static const char *const known[] = {"timeout", NULL};
    luaL_checkany(L, 2);
    uint64_t timeout_ns = PN_CALL_TIMEOUT_NS;
    if (pn_check_options(L, 3, known)) timeout_ns = pn_field_duration(L, 3, "timeout", timeout_ns);
    return pn_call_value(L, timeout_ns);
}

static int l_receive(lua_State *L) {
    if (PN_LIKELY(lua_gettop(L) == 0)) return pn_receive(L, PN_NO_TIMEOUT);
    return pn_receive(L, pn_opt_duration(L, 1, PN_NO_TIMEOUT));
}

static int l_receive_match(lua_State *L) {
    return pn_receive_match(L, pn_opt_duration(L, 2, PN_NO_TIMEOUT));
}

static int next_message(lua_State *L) { return pn_receive(L, PN_NO_TIMEOUT); }

static int l_messages(lua_State *L) {
    lua_pushcfunction(L, next_message);
    return 1;
}

static int l_serve(lua_State *L) {
    lua_settop(L, 1);
    return pn_serve(L);
}

static int l_stream(lua_State *L) {
    static const char *const known[] = {"timeout", "credit", NULL};
    luaL_checkany(L, 2);
    uint64_t timeout_ns = PN_CALL_TIMEOUT_NS;
    lua_Integer credit = PN_STREAM_CREDIT;
    if (pn_check_options(L, 3, known)) {
        timeout_ns = pn_field_duration(L, 3, "timeout", timeout_ns);
        credit = pn_field_integer(L, 3, "credit", 1, PN_STREAM_CREDIT_MAX, credit);
    }
    lua_settop(L, 2);
    return pn_stream_open(L, timeout_ns, (uint32_t)credit);
}

/* ---- links, monitors, exits ---- */

static pn_pid check_pid(lua_State *L, int arg) {
    pn_pid pid;
    int err = pn_check_target(L, arg, &pid);
    return err == 0 ? pid : 0;
}

static int push_unknown(lua_State *L, int arg) {
    luaL_tolstring(L, arg, NULL);
    return pn_push_error(L, PN_ENOPROC, "no such actor: %s", lua_tostring(L, -1));
}

static int l_link(lua_State *L) {
    pn_pid pid = check_pid(L, 1);
    if (pid == 0) return push_unknown(L, 1);
    pn_actor_link(self_of(L), pid);
    lua_pushboolean(L, 1);
    return pn_task_leave(L, 1);
}

static int l_unlink(lua_State *L) {
    pn_pid pid = check_pid(L, 1);
    if (pid == 0) return push_unknown(L, 1);
    pn_actor_unlink(self_of(L), pid);
    lua_pushboolean(L, 1);
    return 1;
}

static int l_monitor(lua_State *L) {
    pn_pid pid = check_pid(L, 1);
    uint64_t ref;
    if (pid == 0) return push_unknown(L, 1);
    int err = pn_actor_monitor(self_of(L), pid, &ref);
    if (err != 0) return pn_push_error(L, err, NULL);
    lua_pushinteger(L, (lua_Integer)ref);
    return 1;
}

static int l_demonitor(lua_State *L) {
    lua_Integer ref = luaL_checkinteger(L, 1);
    lua_pushboolean(L, pn_actor_demonitor(self_of(L), (uint64_t)ref));
    return 1;
}

static int l_exit(lua_State *L) {
    pn_pid pid = check_pid(L, 1);
    const char *reason = luaL_checkstring(L, 2);
    if (pid == 0) return push_unknown(L, 1);
    if (strcmp(reason, "kill") == 0) reason = "killed"; /* OTP's word for the same */
    pn_exit *exit = pn_exit_create(&worker_of(L)->runtime->shared, reason, NULL, NULL);
    if (pid == self_of(L)->pid && !self_of(L)->traps_exit) return pn_task_end_actor(L, exit);
    pn_actor_exit_signal(worker_of(L), self_of(L), pid, exit);
    lua_pushboolean(L, 1);
    return pn_task_leave(L, 1);
}

static int l_trap_exit(lua_State *L) {
    luaL_checktype(L, 1, LUA_TBOOLEAN);
    pn_actor *self = self_of(L);
    lua_pushboolean(L, self->traps_exit);
    self->traps_exit = lua_toboolean(L, 1);
    return 1;
}

static int l_register(lua_State *L) {
    const char *name = check_name_argument(L, 1);
    int err = pn_actor_register(self_of(L), name);
    if (err == PN_ENAME_TAKEN) return pn_push_error(L, err, "the name '%s' is taken", name);
    if (err == PN_EEXISTS)
        return pn_push_error(L, err, "already registered as '%s'", self_of(L)->name);
    return pn_push_result(L, err);
}

static int l_unregister(lua_State *L) {
    lua_pushboolean(L, pn_actor_unregister(self_of(L)));
    return 1;
}

static int l_whereis(lua_State *L) {
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    pn_pid pid;
    if (pn_names_find(&worker_of(L)->runtime->names, name, size, &pid) == 0) {
        pn_push_pid(L, pid);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* ---- groups, for supervisors ---- */

static int l_group_open(lua_State *L) {
    const char *name = check_name_argument(L, 1);
    int err = pn_names_open_group(&worker_of(L)->runtime->names, name);
    if (err == PN_ENAME_TAKEN) return pn_push_error(L, err, "the name '%s' is taken", name);
    return pn_push_result(L, err);
}

static int l_group_close(lua_State *L) {
    pn_names_close_group(&worker_of(L)->runtime->names, check_name_argument(L, 1));
    return 0;
}

static int l_group_leave(lua_State *L) {
    const char *name = check_name_argument(L, 1);
    pn_names_leave(&worker_of(L)->runtime->names, name, pn_to_pid(L, 2));
    return 0;
}

/* ---- for the Lua half ---- */

#define NAMES_MAX 32

/* The nearest of a list of names, or nil. */
static int l_nearest(lua_State *L) {
    const char *text = luaL_checkstring(L, 1);
    const char *names[NAMES_MAX + 1];
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checkstack(L, NAMES_MAX + 1, NULL);
    int n = 0;
    while (n < NAMES_MAX && lua_rawgeti(L, 2, n + 1) == LUA_TSTRING)
        names[n++] = lua_tostring(L, -1);
    names[n] = NULL;
    lua_pushstring(L, pn_nearest(text, names));
    return 1;
}

/* Raises where the caller cannot block. */
static int l_check_block(lua_State *L) {
    pn_task_check_block(L);
    return 0;
}

static int l_unique(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)pn_worker_next_ref(worker_of(L)));
    return 1;
}

static int l_log_child(lua_State *L) {
    pn_log_printf(&worker_of(L)->runtime->log, PN_LOG_ERROR, "supervised child %s ended: %s\n%s",
                  luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    return 0;
}

/* A value, functions and all, as a string; and back, in any state of the process. */
static int l_pack(lua_State *L) {
    pn_parcel parcel;
    luaL_checkany(L, 1);
    pn_parcel_begin(L, &parcel);
    pn_codec_encode_program(L, 1, &parcel, "child");
    lua_pushlstring(L, parcel.bytes->data, parcel.bytes->size);
    return 1;
}

static int l_unpack(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    const uint8_t *at = (const uint8_t *)text;
    pn_codec_decode_program(L, &at, at + size);
    return 1;
}

/* ---- looking around ---- */

/* What an ask finds out; its bytes are the reply for which the asking task waits. */
typedef struct actor_info {
    bool traps_exit;
    char name[PN_NAME_MAX_BYTES + 1];
    unsigned worker;
    uint32_t depth, capacity;
    uint8_t overflow;
    uint32_t links, watchers;
    uint64_t received, sent, turns;
    int64_t memory_live, memory_peak, memory_limit;
    uint64_t memory_allocs;
    pn_pid parent;
    uint32_t tasks;
} actor_info;

static uint32_t count_tasks(const pn_actor *actor) {
    if (actor->behaviour != &pn_lua_behaviour || actor->state == NULL) return 0;
    const pn_lua *lua = actor->state;
    uint32_t n = 0;
    for (const pn_list *l = lua->tasks.next; l != &lua->tasks; l = l->next) {
        n += PN_CONTAINER(l, const pn_task, all)->born > 0; /* not those of the runtime */
    }
    return n;
}

static void collect_info(actor_info *info, const pn_actor *actor) {
    memset(info, 0, sizeof *info);
    info->traps_exit = actor->traps_exit;
    snprintf(info->name, sizeof info->name, "%s", actor->name != NULL ? actor->name : "");
    info->worker = actor->worker->index;
    info->depth = actor->user_count;
    info->capacity = actor->capacity;
    info->overflow = actor->overflow;
    info->links = actor->links.count;
    info->watchers = actor->watchers.count;
    info->received = actor->received_count;
    info->sent = actor->sent_count;
    info->turns = actor->turn_count;
    info->memory_live = actor->ledger.live_bytes;
    info->memory_peak = actor->ledger.peak_bytes;
    info->memory_allocs = actor->ledger.alloc_count;
    info->memory_limit = actor->ledger.limit_bytes;
    info->parent = actor->parent;
    info->tasks = count_tasks(actor);
}

static int answer_info(pn_worker *worker, const pn_actor *actor, pn_msg *reply) {
    actor_info info;
    collect_info(&info, actor);
    return pn_msg_set_payload(worker, reply, &info, sizeof info);
}

static void set_integer(lua_State *L, const char *key, int64_t value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

static void push_info(lua_State *L, const actor_info *info) {
    lua_createtable(L, 0, 16);
    if (info->name[0] != '\0') {
        lua_pushstring(L, info->name);
        lua_setfield(L, -2, "name");
    }
    if (info->parent != 0) {
        pn_push_pid(L, info->parent);
        lua_setfield(L, -2, "parent");
    }
    lua_pushboolean(L, info->traps_exit);
    lua_setfield(L, -2, "trap_exit");
    lua_pushstring(L, overflow_names[info->overflow]);
    lua_setfield(L, -2, "overflow");
    set_integer(L, "worker", info->worker);
    set_integer(L, "mailbox", info->depth);
    set_integer(L, "capacity", info->capacity);
    set_integer(L, "links", info->links);
    set_integer(L, "monitors", info->watchers);
    set_integer(L, "received", (int64_t)info->received);
    set_integer(L, "sent", (int64_t)info->sent);
    set_integer(L, "turns", (int64_t)info->turns);
    set_integer(L, "tasks", info->tasks);
    set_integer(L, "memory_bytes", info->memory_live);
    set_integer(L, "memory_peak_bytes", info->memory_peak);
    set_integer(L, "memory_allocations", (int64_t)info->memory_allocs);
    if (info->memory_limit != INT64_MAX) set_integer(L, "memory_limit_bytes", info->memory_limit);
}

/* The reply always comes: the target's worker answers for the dead as well. */
static int informed(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    actor_info info;
    pn_task *task = pn_task_current(L);
    pn_msg *reply = task->msg;
    int code = task->code;
    task->msg = NULL;
    task->wait_ref = 0;
    if (reply != NULL) {
        code = (int)(int64_t)reply->extra;
        if (code == 0) memcpy(&info, pn_msg_payload(reply), sizeof info);
        pn_msg_destroy(worker_of(L), reply, 0);
    } else {
        pn_assert(code != 0);
    }
    pn_task_woken(L);
    if (code == PN_ENOPROC) return push_unknown(L, 1);
    if (code != 0) return pn_push_error(L, code, NULL);
    push_info(L, &info);
    return 1;
}

static int l_info(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        pn_push_pid(L, self_of(L)->pid);
    }
    lua_settop(L, 1);
    pn_pid pid = check_pid(L, 1);
    if (pid == 0) return push_unknown(L, 1);
    if (pid == self_of(L)->pid) {
        actor_info info;
        collect_info(&info, self_of(L));
        push_info(L, &info);
        return 1;
    }
    pn_task_check_block(L);
    pn_task *task = pn_task_current(L);
    pn_actor_ask(self_of(L), pid, answer_info, pn_task_begin_ref(task));
    if (task->msg != NULL) return informed(L, LUA_OK, 0);
    return pn_task_wait(L, PN_WAIT_REPLY, PN_NO_TIMEOUT, 0, informed);
}

static int l_list(lua_State *L) {
    pn_slots *slots = &worker_of(L)->runtime->slots;
    lua_newtable(L);
    lua_Integer n = 0;
    for (uint32_t i = 0; i < PN_SLOT_CHUNKS * PN_SLOT_CHUNK; i++) {
        const pn_slot *slot = pn_slots_at(slots, i);
        if (slot == NULL) break;
        if (!atomic_load_explicit(&slot->is_alive, memory_order_acquire)) continue;
        pn_push_pid(L, pn_pid_make(i, pn_slot_generation(slot)));
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void push_letter(lua_State *L, const pn_dead_letter *letter) {
    lua_createtable(L, 0, 4);
    pn_push_pid(L, letter->to);
    lua_setfield(L, -2, "to");
    if (letter->from != 0) {
        pn_push_pid(L, letter->from);
        lua_setfield(L, -2, "from");
    }
    lua_pushstring(L, letter->kind == PN_MSG_REQUEST ? "request" : "message");
    lua_setfield(L, -2, "type");
    lua_pushstring(L, pn_err_name(letter->code));
    lua_setfield(L, -2, "reason");
    lua_pushnumber(L, (lua_Number)letter->unix_ns * 1e-9);
    lua_setfield(L, -2, "time");
}

/* The latest letters, oldest first; in `total`, how many there were in all. */
static int l_dead_letters(lua_State *L) {
    pn_runtime *runtime = worker_of(L)->runtime;
    pn_dead_letter *copy = lua_newuserdatauv(L, sizeof runtime->dead_letters, 0);
    pthread_mutex_lock(&runtime->lock);
    uint64_t count = runtime->dead_letter_count;
    memcpy(copy, runtime->dead_letters, sizeof runtime->dead_letters);
    pthread_mutex_unlock(&runtime->lock);
    uint64_t kept = count < PN_DEAD_LETTERS_KEPT ? count : PN_DEAD_LETTERS_KEPT;
    lua_createtable(L, (int)kept, 0);
    for (uint64_t i = 0; i < kept; i++) {
        push_letter(L, &copy[(count - kept + i) % PN_DEAD_LETTERS_KEPT]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    set_integer(L, "total", (int64_t)count);
    return 1;
}

/* ---- tasks ---- */

#define TASK_CLASS "perilune.task"

static pn_task *check_task(lua_State *L, int arg) {
    return *(pn_task **)luaL_checkudata(L, arg, TASK_CLASS);
}

static int l_task(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    int arguments = lua_gettop(L) - 1;
    pn_task **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    pn_push_class(L, TASK_CLASS);
    lua_setmetatable(L, -2);
    lua_insert(L, 1);
    *box = pn_task_spawn(L, arguments);
    return 1;
}

/* What the task's function returned; or why it did not. */
static int push_task_results(lua_State *L, pn_task *task) {
    if (task->is_cancelled) return pn_push_error(L, PN_ECANCELLED, "the task was cancelled");
    int count = task->result_count;
    luaL_checkstack(L, count, "too many results");
    luaL_checkstack(task->co, count, "too many results");
    for (int i = 0; i < count; i++) lua_pushvalue(task->co, -count);
    lua_xmove(task->co, L, count);
    return count;
}

static int joined(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_task *self = pn_task_woken(L);
    if (self->code == PN_ETIMEOUT) return pn_push_error(L, PN_ETIMEOUT, "the task is not done");
    if (self->code != 0) return pn_push_error(L, self->code, NULL);
    return push_task_results(L, check_task(L, 1));
}

static int l_task_wait(lua_State *L) {
    pn_task *task = check_task(L, 1);
    uint64_t timeout_ns = pn_opt_duration(L, 2, PN_NO_TIMEOUT);
    if (task->is_finished) return push_task_results(L, task);
    pn_task_check_block(L);
    pn_task *self = pn_task_current(L);
    if (self == task) return luaL_error(L, "wait: a task cannot wait for itself");
    return pn_task_join(L, task, timeout_ns, joined);
}

static int l_task_cancel(lua_State *L) {
    pn_task *task = check_task(L, 1);
    if (task == pn_task_current(L)) return luaL_error(L, "cancel: a task cannot cancel itself");
    bool was_running = !task->is_finished;
    if (!pn_task_cancel(task)) return luaL_error(L, "cancel: the task is cancelling this one");
    lua_pushboolean(L, was_running);
    return 1;
}

static int l_task_gc(lua_State *L) {
    pn_task **box = lua_touserdata(L, 1);
    if (*box != NULL) pn_task_release(*box);
    *box = NULL;
    return 0;
}

static int l_task_status(lua_State *L) {
    const pn_task *task = check_task(L, 1);
    lua_pushstring(L, task->is_cancelled ? "cancelled" : task->is_finished ? "done" : "running");
    return 1;
}

static const luaL_Reg task_methods[] = {
    {"wait", l_task_wait},
    {"cancel", l_task_cancel},
    {"status", l_task_status},
    {NULL, NULL},
};

static const luaL_Reg task_metamethods[] = {{"__gc", l_task_gc}, {NULL, NULL}};

const pn_class pn_class_task = {TASK_CLASS, task_methods, task_metamethods};

/* ---- requests ---- */

static pn_call *check_request(lua_State *L, int arg) {
    pn_call *call = pn_request_call(L, arg);
    if (call == NULL) luaL_typeerror(L, arg, "request");
    return call;
}

static int l_request_reply(lua_State *L) {
    pn_call *call = check_request(L, 1);
    lua_settop(L, 4);
    return pn_reply(L, call, 2);
}

static int l_request_stream(lua_State *L) {
    pn_call *call = check_request(L, 1);
    return pn_stream_answer(L, call);
}

static const luaL_Reg request_methods[] = {
    {"reply", l_request_reply},
    {"stream", l_request_stream},
    {NULL, NULL},
};

static int request_index(lua_State *L) {
    pn_call *call = check_request(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (const luaL_Reg *m = request_methods; m->name != NULL; m++) {
        if (strcmp(m->name, key) != 0) continue;
        lua_pushcfunction(L, m->func);
        return 1;
    }
    if (strcmp(key, "from") != 0) return 0;
    pn_push_pid(L, call->caller);
    return 1;
}

static int request_tostring(lua_State *L) {
    char text[PN_PID_TEXT_BYTES];
    lua_pushfstring(L, "request from %s", pn_pid_text(check_request(L, 1)->caller, text));
    return 1;
}

static const luaL_Reg request_metamethods[] = {
    {"__index", request_index},
    {"__tostring", request_tostring},
    {NULL, NULL},
};

int pn_open_request(lua_State *L) {
    pn_request_set_class(L, request_metamethods);
    return 0;
}

/* ---- the module ---- */

const luaL_Reg pn_actor_functions[] = {
    {"spawn", l_spawn},
    {"self", l_self},
    {"send", l_send},
    {"call", l_call},
    {"receive", l_receive},
    {"receive_match", l_receive_match},
    {"messages", l_messages},
    {"serve", l_serve},
    {"stream", l_stream},
    {"link", l_link},
    {"unlink", l_unlink},
    {"monitor", l_monitor},
    {"demonitor", l_demonitor},
    {"exit", l_exit},
    {"trap_exit", l_trap_exit},
    {"register", l_register},
    {"unregister", l_unregister},
    {"whereis", l_whereis},
    {"_spawn_member", l_spawn_member},
    {"_check_spawn", l_check_spawn},
    {"_check_block", l_check_block},
    {"_nearest", l_nearest},
    {"_group_open", l_group_open},
    {"_group_close", l_group_close},
    {"_group_leave", l_group_leave},
    {"_unique", l_unique},
    {"_log_child", l_log_child},
    {"_pack", l_pack},
    {"_unpack", l_unpack},
    {"task", l_task},
    {"info", l_info},
    {"list", l_list},
    {"dead_letters", l_dead_letters},
    {NULL, NULL},
};

void pn_open_actor(lua_State *L) {
    lua_pushlightuserdata(L, pn_module_system_mark());
    lua_setfield(L, -2, "SYSTEM");
}
