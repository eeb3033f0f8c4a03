#include "lua/task.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lua/module.h"
#include "lua/stream.h"

#define INDEX_BITS     24 /* of a wait_ref: tasks of one actor */
#define BOUNDARY_STACK 10 /* what finding and naming a boundary pushes */

static void drop_message(pn_task *task) {
    if (task->msg == NULL) return;
    pn_msg_destroy(pn_lua_worker(task->lua), task->msg, PN_EEXITED);
    task->msg = NULL;
}

/* ---- finding tasks ---- */

static int take_index(pn_lua *lua, pn_task *task) {
    if (lua->table_count == lua->table_capacity) {
        uint32_t capacity = lua->table_capacity == 0 ? 1 : lua->table_capacity * 2;
        if (capacity > 1u << INDEX_BITS) return PN_ELIMIT;
        pn_task **table =
            pn_mem_resize(&lua->actor->ledger, lua->table, lua->table_capacity * sizeof *table,
                          capacity * sizeof *table);
        if (table == NULL) return PN_ENOMEM;
        memset(table + lua->table_capacity, 0, (capacity - lua->table_capacity) * sizeof *table);
        lua->table = table;
        lua->table_capacity = capacity;
    }
    uint32_t i = lua->table_next;
    while (lua->table[i % lua->table_capacity] != NULL) i++;
    i %= lua->table_capacity;
    lua->table_next = i + 1;
    lua->table[i] = task;
    lua->table_count++;
    task->index = i;
    task->has_index = true;
    return 0;
}

static void give_index(pn_task *task) {
    if (!task->has_index) return;
    task->lua->table[task->index] = NULL;
    task->lua->table_count--;
    task->has_index = false;
}

uint64_t pn_task_begin_ref(pn_task *task) {
    drop_message(task);
    if (!task->has_index) {
        int err = take_index(task->lua, task);
        if (err != 0) luaL_error(task->lua->running, "%s", pn_err_text(err));
    }
    task->wait_ref = ++task->lua->wait_count << INDEX_BITS | task->index;
    return task->wait_ref;
}

pn_task *pn_task_find(pn_lua *lua, uint64_t wait_ref) {
    uint64_t index = wait_ref & ((1u << INDEX_BITS) - 1);
    pn_task *task = index < lua->table_capacity ? lua->table[index] : NULL;
    return task != NULL && task->wait_ref == wait_ref ? task : NULL;
}

/* ---- waking ---- */

static void update_waiting(pn_lua *lua) {
    lua->actor->is_waiting = !pn_list_empty(&lua->receivers) || !pn_list_empty(&lua->matchers);
}

/* Takes the task out of whatever it waits in. */
static void unwait(pn_task *task) {
    pn_list_remove(&task->queue);
    if (task->wait == PN_WAIT_RECEIVE || task->wait == PN_WAIT_MATCH) update_waiting(task->lua);
    if (pn_timer_active(&task->timer)) {
        pn_timer_stop(pn_lua_worker(task->lua)->io.wheel, &task->timer);
    }
    /* a call that waited for room waits for its reply next, which may already be on its way */
    if (task->wait != PN_WAIT_SPACE) task->wait_ref = 0;
    task->wait = PN_WAIT_NONE;
    task->cancel = NULL;
}

void pn_task_ready(pn_task *task, int code) {
    if (task->wait == PN_WAIT_NONE || task->is_finished) return;
    unwait(task);
    task->code = code;
    pn_list_push(&task->lua->ready, &task->queue);
    pn_actor_wake(task->lua->actor);
}

/* The engine that would have ended the wait is told that nobody waits for it. */
static void take_back(pn_task *task) {
    if (task->cancel != NULL) task->cancel(task, task->context);
    task->cancel = NULL;
}

/* Ends a wait from our side. */
void pn_task_give_up(pn_task *task, int code) {
    take_back(task);
    pn_task_ready(task, code);
}

static void on_timeout(pn_timer *timer) {
    pn_task *task = PN_CONTAINER(timer, pn_task, timer);
    if (task->wait == PN_WAIT_SPACE && pn_sends_last_try(task)) return;
    pn_task_give_up(task, PN_ETIMEOUT);
}

void pn_tasks_accept(pn_lua *lua, pn_msg *msg) {
    if (msg->kind == PN_MSG_STREAM ||
        (msg->kind == PN_MSG_REPLY && (msg->ref & PN_STREAM_REF) != 0)) {
        pn_streams_accept(lua, msg);
        return;
    }
    if (msg->kind == PN_MSG_SPACE) {
        pn_sends_accept(lua, msg);
        return;
    }
    pn_task *task = pn_task_find(lua, msg->ref);
    if (task == NULL || task->msg != NULL) {
        pn_count(&pn_lua_worker(lua)->counts.late_replies);
        pn_msg_destroy(pn_lua_worker(lua), msg, 0);
        return;
    }
    task->msg = msg; /* it may come before the task has begun to wait */
    if (task->wait == PN_WAIT_REPLY) pn_task_ready(task, 0);
}

/* ---- where Lua cannot yield ---- */

static bool is_transparent(lua_State *L, lua_CFunction f) {
    pn_lua_shared *shared = pn_lua_shared_of(L);
    return f == NULL || pn_globals_is_yieldable(shared, f);
}

static bool is_own_body(lua_State *L, int level) {
    const pn_task *task = pn_lua_of(L)->current;
    lua_Debug ar;
    return task != NULL && task->has_own_body && task->co == L && !lua_getstack(L, level + 1, &ar);
}

/* The function on top, popped: as "table.sort", or as it was called. */
static void name_function(lua_State *L, const lua_Debug *ar, char *text, size_t room) {
    if (pn_module_name_function(L, text, room)) return;
    snprintf(text, room, ar->name != NULL ? "'%s'" : "a C function", ar->name);
}

/* The innermost C function of this coroutine that cannot be suspended; false when it is in none. A
 * message handler runs on top of what failed, which may be a Lua function: only xpcall shows. */
static bool find_boundary(lua_State *L, int level, char *text, size_t room) {
    pn_lua_shared *shared = pn_lua_shared_of(L);
    lua_Debug ar;
    bool is_handler = false;
    for (; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "nSf", &ar);
        lua_CFunction f = lua_tocfunction(L, -1);
        bool is_finalizer = ar.name != NULL && strcmp(ar.name, "__gc") == 0;
        if (is_finalizer || strcmp(ar.namewhat, "hook") == 0) {
            lua_pop(L, 1);
            snprintf(text, room, "%s", is_finalizer ? "__gc" : "a debug hook");
            return true;
        }
        is_handler = is_handler || f == pn_globals_base(shared, "xpcall");
        if (f == pn_globals_base(shared, "error")) {
            lua_pop(L, 1);
            snprintf(text, room, "a message handler");
            return true;
        }
        if (!is_transparent(L, f) && !is_own_body(L, level)) {
            name_function(L, &ar, text, room);
            return true;
        }
        lua_pop(L, 1);
    }
    if (is_handler) snprintf(text, room, "a message handler");
    return is_handler;
}

/* `at` is a coroutine of the chain that cannot yield, `resumed_by` the resume that it runs in. What
 * holds it is its own, or the function that runs it (coroutine.close runs close variables so). */
static _Noreturn void refuse_to_block(lua_State *L, lua_State *at, const pn_frame *resumed_by) {
    char boundary[128];
    luaL_checkstack(at, BOUNDARY_STACK, NULL);
    bool found = find_boundary(at, 1, boundary, sizeof boundary);
    if (!found && resumed_by != NULL) {
        luaL_checkstack(resumed_by->from, BOUNDARY_STACK, NULL);
        found = find_boundary(resumed_by->from, 0, boundary, sizeof boundary);
    }
    if (!found) snprintf(boundary, sizeof boundary, "a C function");
    char name[128] = "a blocking call";
    lua_Debug ar;
    luaL_checkstack(L, BOUNDARY_STACK, NULL);
    if (lua_getstack(L, 0, &ar) && lua_getinfo(L, "nf", &ar)) {
        if (ar.name != NULL) {
            snprintf(name, sizeof name, "%s", ar.name);
        } else {
            name_function(L, &ar, name, sizeof name);
        }
    }
    const char *no_blocking = pn_lua_of(L)->no_blocking;
    if (no_blocking != NULL) luaL_error(L, "%s: %s", name, no_blocking);
    luaL_error(L, "%s: cannot wait inside %s, which Lua cannot suspend", name, boundary);
    pn_unreachable();
}

bool pn_lua_can_yield(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    if (L != lua->running || !lua_isyieldable(L)) return false;
    for (pn_frame *f = lua->frames; f != NULL; f = f->outer) {
        if (!lua_isyieldable(f->from)) return false;
    }
    return true;
}

void pn_task_check_block(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    if (PN_LIKELY(lua->frames == NULL && L == lua->running && lua_isyieldable(L))) return;
    if (pn_lua_is_ending(lua)) return;
    if (L != lua->running) luaL_error(L, "cannot wait inside a coroutine that C code resumed");
    if (!lua_isyieldable(L)) refuse_to_block(L, L, lua->frames);
    for (pn_frame *f = lua->frames; f != NULL; f = f->outer) {
        if (!lua_isyieldable(f->from)) refuse_to_block(L, f->from, f->outer);
    }
}

/* ---- waiting ---- */

static bool is_running(lua_State *L, lua_State *co) {
    bool is = co == L;
    for (const pn_frame *f = pn_lua_of(L)->frames; !is && f != NULL; f = f->outer)
        is = co == f->from;
    return is;
}

static bool is_cancelled(lua_State *L, const pn_task *task) {
    for (const pn_scope *s = task->scopes; s != NULL; s = s->outer) {
        if (s->has_fired && is_running(L, s->co)) return true;
    }
    return false;
}

bool pn_scope_is_over(lua_State *L) {
    const pn_task *task = pn_task_current(L);
    if (task == NULL || task->scopes == NULL) return false;
    uint64_t now = pn_clock_now_ns(&pn_lua_worker(task->lua)->runtime->clock);
    for (const pn_scope *s = task->scopes; s != NULL; s = s->outer) {
        if ((s->has_fired || now >= s->deadline_ns) && is_running(L, s->co)) return true;
    }
    return false;
}

static void raise_if_cancelled(lua_State *L, const pn_task *task) {
    if (is_cancelled(L, task)) luaL_error(L, "cancelled: the time of with_timeout is over");
}

/* Can the wait begin that was prepared? Otherwise it is taken back, and this raises the reason. */
static void begin_wait(lua_State *L, pn_task *task) {
    pn_lua *lua = task->lua;
    if (PN_LIKELY(lua->frames == NULL && task->scopes == NULL && L == lua->running &&
                  lua_isyieldable(L))) {
        return;
    }
    if (pn_lua_can_yield(L) && !is_cancelled(L, task) &&
        (lua->frames == NULL || pn_coroutine_park_chain(L, task))) {
        return;
    }
    take_back(task);
    pn_task_check_block(L);
    raise_if_cancelled(L, task);
    luaL_error(L, "%s", pn_err_text(PN_ENOMEM));
}

static void begin_timer(pn_task *task, uint64_t timeout_ns) {
    pn_io_start_timer(&pn_lua_worker(task->lua)->io, &task->timer, timeout_ns);
}

int pn_task_wait(lua_State *L, pn_wait kind, uint64_t timeout_ns, lua_KContext context,
                 lua_KFunction k) {
    pn_lua *lua = pn_lua_of(L);
    pn_task *task = lua->current;
    if (PN_UNLIKELY(pn_lua_is_ending(lua))) {
        take_back(task);
        task->wait = PN_WAIT_NONE;
        task->code = PN_EEXITED;
        return k(L, LUA_YIELD, context);
    }
    begin_wait(L, task);
    task->wait = (uint8_t)kind;
    task->code = 0;
    if (kind == PN_WAIT_RECEIVE || kind == PN_WAIT_MATCH) {
        pn_list_push(kind == PN_WAIT_RECEIVE ? &lua->receivers : &lua->matchers, &task->queue);
        if (kind == PN_WAIT_MATCH) lua->matched_count = lua->actor->arrived_count;
        lua->actor->is_waiting = true;
        if (PN_UNLIKELY(!pn_queue_empty(&lua->actor->space_waiters)))
            pn_actor_call_senders(lua->actor);
    }
    if (kind == PN_WAIT_LIST) pn_list_push(task->context, &task->queue);
    if (timeout_ns != PN_NO_TIMEOUT) begin_timer(task, timeout_ns);
    lua->yield = PN_YIELD_BLOCK;
    pn_lua_park(L);
    return lua_yieldk(L, 0, context, k);
}

int pn_task_pass(lua_State *L, lua_KContext context, lua_KFunction k) {
    pn_lua *lua = pn_lua_of(L);
    pn_task *task = lua->current;
    pn_task_check_block(L);
    pn_list_push(&lua->ready, &task->queue);
    lua->yield = PN_YIELD_BLOCK;
    pn_lua_park(L);
    return lua_yieldk(L, 0, context, k);
}

int pn_task_wait_in(lua_State *L, pn_list *list, uint64_t timeout_ns, lua_KContext context,
                    lua_KFunction k) {
    pn_lua_of(L)->current->context = list;
    return pn_task_wait(L, PN_WAIT_LIST, timeout_ns, context, k);
}

void pn_tasks_wake(pn_list *list, int code) {
    while (!pn_list_empty(list)) {
        pn_task_ready(PN_CONTAINER(list->next, pn_task, queue), code);
    }
}

int pn_task_join(lua_State *L, pn_task *other, uint64_t timeout_ns, lua_KFunction k) {
    return pn_task_wait_in(L, &other->joiners, timeout_ns, 0, k);
}

int pn_task_yield(lua_State *L, lua_KContext context, lua_KFunction k) {
    pn_lua *lua = pn_lua_of(L);
    begin_wait(L, lua->current);
    lua->yield = PN_YIELD_PREEMPT;
    pn_lua_park(L);
    return lua_yieldk(L, 0, context, k);
}

bool pn_task_may_wait(lua_State *L) {
    const pn_lua *lua = pn_lua_of(L);
    return !pn_lua_is_ending(lua) && pn_lua_can_yield(L) && !is_cancelled(L, lua->current);
}

pn_task *pn_task_woken(lua_State *L) {
    pn_task *task = pn_lua_of(L)->current;
    if (PN_UNLIKELY(task->scopes != NULL)) raise_if_cancelled(L, task);
    return task;
}

/* ---- scopes ---- */

static void on_scope_end(pn_timer *timer) {
    pn_scope *scope = PN_CONTAINER(timer, pn_scope, timer);
    scope->has_fired = true;
    bool is_waiting = scope->co == scope->task->co || pn_lua_is_parked(scope->co);
    if (is_waiting) pn_task_give_up(scope->task, PN_ECANCELLED);
}

void pn_scope_open(lua_State *L, pn_scope *scope, uint64_t timeout_ns) {
    pn_task *task = pn_task_current(L);
    pn_io *io = &pn_lua_worker(task->lua)->io;
    *scope = (pn_scope){.outer = task->scopes, .task = task, .co = L};
    scope->deadline_ns = pn_clock_now_ns(io->clock) + timeout_ns;
    pn_timer_init(&scope->timer, on_scope_end);
    pn_io_start_timer(io, &scope->timer, timeout_ns);
    task->scopes = scope;
}

void pn_scope_close(pn_scope *scope) {
    pn_task *task = scope->task;
    if (task == NULL) return;
    scope->task = NULL;
    pn_timer_stop(pn_lua_worker(task->lua)->io.wheel, &scope->timer);
    pn_scope **at = &task->scopes;
    while (*at != scope) at = &(*at)->outer;
    *at = scope->outer;
}

static void close_scopes(pn_task *task) {
    while (task->scopes != NULL) pn_scope_close(task->scopes);
}

/* ---- requests ---- */

void pn_task_calls(pn_task *task, pn_call *call) {
    pn_call *earlier = task->calling;
    task->calling = call;
    if (earlier == NULL) return;
    pn_call_claim(earlier, PN_CALL_WITHDRAWN);
    pn_call_release(pn_lua_worker(task->lua), earlier);
}

void pn_task_serve(pn_task *task, pn_call *call) {
    if (call != NULL) pn_call_grab(call);
    pn_call_release(pn_lua_worker(task->lua), task->serving);
    task->serving = call;
}

pn_call *pn_task_serving(pn_task *task) {
    bool is_over = task->serving != NULL && atomic_load(&task->serving->state) == PN_CALL_ANSWERED;
    if (is_over) pn_task_serve(task, NULL);
    return task->serving;
}

void pn_task_set_request_id(pn_task *task, pn_request_id *id) {
    pn_request_id_grab(id);
    pn_request_id_release(task->request_id);
    task->request_id = id;
}

pn_call *pn_task_create_call(pn_task *task, uint64_t ref, uint64_t deadline_ns) {
    pn_actor *actor = task->lua->actor;
    pn_call *call =
        pn_call_create(actor->worker, actor->pid, ref, deadline_ns, pn_task_serving(task));
    if (call != NULL) call->request_id = pn_request_id_grab(pn_task_request_id(task));
    return call;
}

uint64_t pn_task_deadline_ns(const pn_task *task, uint64_t timeout_ns) {
    if (timeout_ns == PN_NO_TIMEOUT) return PN_CALL_NO_DEADLINE;
    return pn_clock_now_ns(&pn_lua_worker(task->lua)->runtime->clock) + timeout_ns;
}

static bool is_in_chain(const pn_task *task, const pn_call *chain) {
    for (const pn_call *c = chain; c != NULL; c = c->parent) {
        if (c->caller == task->lua->actor->pid && c->ref == task->wait_ref) return true;
    }
    return false;
}

bool pn_tasks_can_receive(const pn_lua *lua, const pn_call *chain) {
    for (const pn_list *l = lua->tasks.next; l != &lua->tasks; l = l->next) {
        const pn_task *task = PN_CONTAINER(l, pn_task, all);
        if (!task->is_dormant && !is_in_chain(task, chain)) return true;
    }
    return false;
}

/* ---- birth and end of tasks ---- */

static void init_task(pn_task *task, pn_lua *lua, lua_State *co) {
    memset(task, 0, sizeof *task);
    task->lua = lua;
    task->co = co;
    task->born = ++lua->birth_count;
    pn_list_init(&task->queue);
    pn_list_init(&task->joiners);
    pn_timer_init(&task->timer, on_timeout);
    pn_list_push(&lua->tasks, &task->all);
}

void pn_tasks_init(pn_lua *lua) {
    pn_list_init(&lua->tasks);
    pn_list_init(&lua->ready);
    pn_list_init(&lua->receivers);
    pn_list_init(&lua->matchers);
    init_task(&lua->main, lua, lua->L);
    lua->main.has_own_body = true;
    pn_list_push(&lua->ready, &lua->main.queue);
}

static void join_team(pn_task *task, const pn_task *starter) {
    if (starter == NULL) return;
    task->labels = starter->labels;
    task->team = starter->team;
    if (task->team == NULL) return;
    task->is_member = true;
    task->team->count++;
}

static void leave_team(pn_task *task) {
    pn_team *team = task->team;
    bool is_member = task->is_member;
    task->team = NULL;
    task->is_member = false;
    if (team == NULL || !is_member) return;
    if (--team->count == 0 && team->on_empty != NULL) team->on_empty(team);
}

static pn_task *find_member(const pn_lua *lua, const pn_team *team, bool only_endless) {
    for (const pn_list *l = lua->tasks.next; l != &lua->tasks; l = l->next) {
        pn_task *task = PN_CONTAINER(l, pn_task, all);
        bool is_meant = task->team == team && task->is_member && !task->is_entered;
        if (is_meant && (task->is_endless || !only_endless)) return task;
    }
    return NULL;
}

void pn_team_cancel(pn_lua *lua, pn_team *team, bool only_endless) {
    pn_task *member;
    while ((member = find_member(lua, team, only_endless)) != NULL) pn_task_cancel(member);
}

pn_task *pn_task_spawn(lua_State *L, int argument_count) {
    pn_lua *lua = pn_lua_of(L);
    luaL_checkstack(L, 4, NULL);
    lua_State *co = lua_newthread(L);
    lua_sethook(co, NULL, 0, 0);
    if (!lua_checkstack(co, argument_count + 2)) luaL_error(L, "too many arguments");
    pn_task *task = pn_mem_try(&lua->actor->ledger, sizeof *task);
    if (task == NULL) pn_raise_code(L, PN_ENOMEM);
    init_task(task, lua, co);
    if (lua->current != NULL) {
        pn_task_serve(task, pn_task_serving(lua->current));
        pn_task_set_request_id(task, lua->current->request_id);
    }
    /* The anchor may raise without memory; from here on the task cleans up after itself, see
     * below. */
    lua_pushcfunction(L, pn_task__anchor);
    lua_pushlightuserdata(L, task);
    lua_pushvalue(L, -3);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        pn_list_remove(&task->all);
        pn_task_serve(task, NULL);
        pn_task_set_request_id(task, NULL);
        pn_mem_free(&lua->actor->ledger, task, sizeof *task);
        lua_error(L);
    }
    lua_insert(L, -(argument_count + 2));
    lua_xmove(L, co, argument_count + 1);
    lua_pop(L, 1);
    task->argument_count = argument_count;
    join_team(task, lua->current);
    pn_list_push(&lua->ready, &task->queue);
    pn_actor_wake(lua->actor);
    return task;
}

int pn_task__anchor(lua_State *L) { /* task, thread */
    lua_rawsetp(L, LUA_REGISTRYINDEX, lua_touserdata(L, 1));
    return 0;
}

/* Setting a field that exists to nil needs no memory. */
static void drop_anchor(pn_task *task) {
    lua_State *L = task->lua->L;
    if (task == &task->lua->main || !lua_checkstack(L, 3)) return;
    if (task->lua->is_closing) return; /* the whole state goes */
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, task);
}

static void settle(pn_task *task) { /* nothing of it waits or is owned any more */
    if (task->wait != PN_WAIT_NONE) unwait(task);
    pn_list_remove(&task->queue);
    pn_task_calls(task, NULL);
    drop_message(task);
    close_scopes(task);
    pn_task_serve(task, NULL);
    pn_task_set_request_id(task, NULL);
    give_index(task);
    task->is_finished = true;
    pn_list_remove(&task->all);
    leave_team(task);
}

void pn_task_release(pn_task *task) {
    if (!task->is_finished) {
        task->is_detached = true;
        return;
    }
    if (task == &task->lua->main) return;
    drop_anchor(task);
    pn_mem_free(&task->lua->actor->ledger, task, sizeof *task);
}

static void finish(pn_task *task) {
    bool is_main = task == &task->lua->main;
    settle(task);
    pn_tasks_wake(&task->joiners, 0);
    if (task->on_end != NULL) task->on_end(task, task->on_end_context);
    if (is_main) {
        pn_actor_end(task->lua->actor, pn_exit_normal());
    } else if (task->is_detached) {
        pn_task_release(task);
    }
}

static void reset(pn_lua *lua, lua_State *co) {
    lua->running = co;
    lua_resetthread(co);
}

/* What runs for a task that will not run again has a time of its own, in which nothing waits. */
typedef struct closing {
    lua_State *running;
    pn_frame *frames;
    pn_task *current;
    bool is_closing, was_entered;
} closing;

static void begin_closing(pn_task *task, closing *outer) {
    pn_lua *lua = task->lua;
    *outer = (closing){lua->running, lua->frames, lua->current, lua->is_closing, task->is_entered};
    lua->is_killed = false; /* raising at every instruction has done its work */
    if (!lua->is_closing) pn_lua_limit_close(lua);
    lua->is_closing = true;
    lua->current = task;
    lua->frames = NULL;
    task->is_entered = true;
}

static void end_closing(pn_task *task, const closing *outer) {
    pn_lua *lua = task->lua;
    lua->running = outer->running;
    lua->frames = outer->frames;
    lua->current = outer->current;
    lua->is_closing = outer->is_closing;
    task->is_entered = outer->was_entered;
}

/* Runs its close variables: those of the coroutines that it waits in, the innermost first, then its
 * own. */
static void unwind(pn_task *task) {
    pn_lua *lua = task->lua;
    closing outer;
    begin_closing(task, &outer);
    for (lua_State *co; (co = pn_coroutine_take_innermost(task)) != NULL;) reset(lua, co);
    *pn_lua_marks(task->co) &= ~PN_LUA_PARKED;
    reset(lua, task->co);
    end_closing(task, &outer);
}

bool pn_task_cancel(pn_task *task) {
    if (task->is_finished) return true;
    if (task->is_entered) return false;
    take_back(task);
    if (task->wait != PN_WAIT_NONE) unwait(task);
    pn_list_remove(&task->queue);
    unwind(task);
    pn_coroutine_forget_chain(task);
    lua_settop(task->co, 0);
    task->code = PN_ECANCELLED;
    task->is_cancelled = true;
    finish(task);
    return true;
}

/* ---- errors ---- */

static int stringify(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* The error object on top of the reset coroutine, as text that lives until the coroutine runs
 * again. Its __tostring is the script's, and runs as close variables do. */
static const char *error_text(pn_task *task) {
    lua_State *co = task->co;
    if (lua_type(co, -1) == LUA_TSTRING) return lua_tostring(co, -1);
    if (!lua_checkstack(co, 4)) return "error object that cannot be shown";
    lua_pushcfunction(co, stringify);
    lua_pushvalue(co, -2);
    closing outer;
    begin_closing(task, &outer);
    task->lua->running = co;
    int status = lua_pcall(co, 1, 1, 0);
    end_closing(task, &outer);
    bool is_text = status == LUA_OK && lua_type(co, -1) == LUA_TSTRING;
    return is_text ? lua_tostring(co, -1) : "error object that cannot be shown";
}

static void log_lonely_end(pn_actor *actor, const char *error, const char *traceback) {
    if (actor->links.count > 0 || actor->watchers.count > 0) return; /* somebody is told */
    char pid[PN_PID_TEXT_BYTES];
    pn_log_printf(&actor->worker->runtime->log, PN_LOG_ERROR, "actor %s%s%s ended: %s\n%s",
                  pn_pid_text(actor->pid, pid), actor->name != NULL ? " " : "",
                  actor->name != NULL ? actor->name : "", error, traceback);
}

void pn_task_fail_actor(pn_task *task, int status) {
    pn_actor *actor = task->lua->actor;
    (void)status;
    pn_buf trace;
    pn_buf_init(&trace, &actor->worker->ledger.door);
    pn_lua_traceback(task->co, NULL, &trace);
    actor->ledger.limit_bytes = INT64_MAX; /* the way out needs a little */
    unwind(task);
    const char *error = task->lua->is_over_limit ? "memory limit exceeded twice" : error_text(task);
    if (actor->exit == NULL) {
        bool is_lonely = actor->parent != 0;
        if (is_lonely) log_lonely_end(actor, error, pn_buf_text(&trace));
        pn_actor_end(actor, pn_exit_create(&actor->worker->runtime->shared, "error", error,
                                           pn_buf_text(&trace)));
    }
    pn_buf_close(&trace);
}

int pn_task_leave(lua_State *L, int results) {
    pn_lua *lua = pn_lua_of(L);
    if (PN_LIKELY(lua->actor->exit == NULL) || pn_lua_is_ending(lua)) return results;
    if (!pn_lua_can_yield(L) || !pn_coroutine_park_chain(L, lua->current)) {
        pn_hook_kill(lua);
        return results;
    }
    lua->yield = PN_YIELD_PREEMPT; /* there is no next turn */
    pn_lua_park(L);
    return lua_yield(L, 0);
}

int pn_task_end_actor(lua_State *L, pn_exit *exit) {
    pn_actor_end(pn_lua_of(L)->actor, exit);
    return pn_task_leave(L, 0);
}

static void end_failed(pn_task *task, int status) {
    task->has_failed = true;
    task->code = status;
    if (task->is_member && task->team->on_fail != NULL && !task->lua->is_killed) {
        task->team->on_fail(task->team, task);
        finish(task);
        return;
    }
    if (task->is_supervised && !task->lua->is_killed) {
        finish(task); /* its on_end sees the coroutine as it was raised */
        return;
    }
    pn_task_fail_actor(task, status);
    settle(task);
    if (task->on_end != NULL) task->on_end(task, task->on_end_context);
    if (task->is_detached) pn_task_release(task);
}

/* ---- running ---- */

/* Pre-empted: to the end of the queue. A yield of somebody else's C code has nowhere to go. */
static void yielded(pn_task *task) {
    if (task->lua->yield == PN_YIELD_PREEMPT) {
        pn_list_push(&task->lua->ready, &task->queue);
        return;
    }
    lua_settop(task->co, 0);
    lua_pushnil(task->co);
    end_failed(task, LUA_ERRRUN);
}

static void resume(pn_task *task) {
    pn_lua *lua = task->lua;
    int results, arguments = task->argument_count;
    task->argument_count = 0;
    lua->current = task;
    lua->frames = NULL;
    lua->yield = PN_YIELD_NONE;
    *pn_lua_marks(task->co) &= ~PN_LUA_PARKED;
    lua->running = task->co;
    task->is_entered = true;
    int status = lua_resume(task->co, NULL, arguments, &results);
    task->is_entered = false;
    lua->running = NULL;
    lua->current = NULL;
    if (PN_LIKELY(status == LUA_YIELD)) {
        if (PN_UNLIKELY(lua->yield != PN_YIELD_BLOCK)) yielded(task);
    } else if (status == LUA_OK) {
        task->result_count = results;
        finish(task);
    } else {
        end_failed(task, status);
    }
}

void pn_task_run(pn_task *task) {
    pn_lua *lua = task->lua;
    pn_task *outer_task = lua->current;
    lua_State *outer_running = lua->running;
    pn_frame *outer_frames = lua->frames;
    pn_list_remove(&task->queue);
    resume(task);
    lua->current = outer_task;
    lua->running = outer_running;
    lua->frames = outer_frames;
}

static bool may_receive(const pn_lua *lua) {
    return !pn_list_empty(&lua->receivers) && !pn_queue_empty(&lua->actor->mailbox);
}

static bool may_match(const pn_lua *lua) {
    return !pn_list_empty(&lua->matchers) && lua->matched_count != lua->actor->arrived_count;
}

static pn_task *take_waiting(pn_list *waiting) {
    pn_task *task = PN_CONTAINER(waiting->next, pn_task, queue);
    unwait(task);
    task->code = 0;
    return task;
}

/* The ready ones first; then who waits for a message, if there is one for it. */
static pn_task *next_task(pn_lua *lua) {
    pn_list *link = pn_list_pop(&lua->ready);
    if (PN_LIKELY(link != NULL)) return PN_CONTAINER(link, pn_task, queue);
    if (PN_UNLIKELY(may_match(lua))) {
        lua->matched_count = lua->actor->arrived_count;
        while (!pn_list_empty(&lua->matchers)) {
            pn_task *task = take_waiting(&lua->matchers);
            pn_list_push(&lua->ready, &task->queue);
        }
        return next_task(lua);
    }
    return may_receive(lua) ? take_waiting(&lua->receivers) : NULL;
}

/* A turn is at most a slice: it ends with a task that had to be pre-empted, and with the worker's
 * tick, lest many tasks of one actor use a slice each. */
void pn_tasks_run(pn_lua *lua) {
    pn_actor *actor = lua->actor;
    const _Atomic bool *tick = &pn_lua_worker(lua)->tick;
    for (int i = 0; i < PN_TURN_RESUMES_MAX && actor->exit == NULL; i++) {
        pn_task *task = next_task(lua);
        if (task == NULL) return;
        resume(task);
        if (PN_UNLIKELY(lua->yield == PN_YIELD_PREEMPT)) break;
        if (PN_UNLIKELY(atomic_load_explicit(tick, memory_order_relaxed))) break;
    }
    bool has_more = !pn_list_empty(&lua->ready) || may_receive(lua) || may_match(lua);
    if (actor->exit == NULL && has_more) pn_actor_wake(actor);
}

/* The actor is dead: every task is abandoned where it is, the main one last. */
void pn_tasks_close(pn_lua *lua) {
    while (!pn_list_empty(&lua->tasks)) {
        pn_task *task = PN_CONTAINER(lua->tasks.prev, pn_task, all);
        take_back(task);
        if (task->wait != PN_WAIT_NONE) unwait(task);
        pn_list_remove(&task->queue);
        if (lua_status(task->co) == LUA_YIELD) unwind(task);
        bool is_main = task == &lua->main;
        bool is_detached = task->is_detached;
        settle(task);
        if (task->on_end != NULL) task->on_end(task, task->on_end_context);
        if (!is_main && is_detached) pn_mem_free(&lua->actor->ledger, task, sizeof *task);
    }
    pn_map_close(&lua->parked);
}
