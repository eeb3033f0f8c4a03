/*
 * lua_state.c - the life of a Lua actor: allocator, boot, end; and the error triple.
 *
 * Boot happens inside the main task's first resume, so everything that can fail for lack of memory
 * does so protected. A state ends in this order: tasks (their close variables), C handles, the
 * state itself (finalizers); all three share one budget, after which whatever still runs is made to
 * raise.
 */
#include "lua/lua_state.h"

#include <stdio.h>
#include <string.h>

#include "lua/luv_bridge.h"
#include "lua/module.h"
#include "lua/stream.h"
#include "lua/task.h"

/* ---- memory ---- */

#define FINALIZER_BYTES (64 << 10) /* what finalizers may take past the memory limit */

static void count_type(pn_lua *lua, size_t type) {
    unsigned place = (unsigned)type - LUA_TSTRING; /* string, table, function, userdata, thread */
    lua->allocs_by_type[place < 5 ? place : 5]++;
}

/* Two refusals in a row are one raise: Lua collects garbage after the first and asks again. The
 * first raise is an ordinary error; a second one ends the actor, whatever pcall says. */
static void *refused(pn_lua *lua) {
    if (lua->to_refuse > 0) {
        if (--lua->to_refuse == 0) lua->actor->ledger.limit_bytes = lua->limit_bytes;
        return NULL;
    }
    if (++lua->refusals < 2) return NULL;
    lua->refusals = 0;
    if (++lua->breaches >= 2 && lua->running != NULL) {
        lua->is_over_limit = true;
        pn_hook_kill(lua);
    }
    return NULL;
}

/* Not to be refused; the system may only end the process. */
static void *allocate_surely(pn_ledger *ledger, void *block, size_t old_size, size_t new_size) {
    void *result = pn_mem_must(ledger, new_size);
    if (block == NULL) return result;
    memcpy(result, block, old_size < new_size ? old_size : new_size);
    pn_mem_free(ledger, block, old_size);
    return result;
}

/* A finalizer that cannot be called, for want of a little stack, is never called again, and what
 * its object holds outside is lost: so finalizers may pass the limit by a little. The collector
 * takes no orders while it calls one. */
static bool may_overdraw(const pn_lua *lua, size_t old_size, size_t new_size) {
    if (new_size > FINALIZER_BYTES || lua->to_refuse > 0 || lua->L == NULL) return false;
    if (lua_gc(lua->L, LUA_GCCOUNT) >= 0) return false;
    const pn_ledger *ledger = &lua->actor->ledger;
    int64_t more = (int64_t)new_size - (int64_t)old_size;
    return ledger->limit_bytes == INT64_MAX ||
           pn_ledger_live(ledger) + more <= ledger->limit_bytes + FINALIZER_BYTES;
}

static void *allocate(void *context, void *block, size_t old_size, size_t new_size) {
    pn_lua *lua = context;
    pn_ledger *ledger = &lua->actor->ledger;
    void *result;
    if (block == NULL) {
        if (new_size == 0) return NULL;
        count_type(lua, old_size); /* for new objects Lua says the type here */
        result = pn_mem_try(ledger, new_size);
    } else if (new_size == 0) {
        pn_mem_free(ledger, block, old_size);
        return NULL;
    } else {
        result = pn_mem_resize(ledger, block, old_size, new_size);
    }
    if (PN_UNLIKELY(result == NULL)) {
        bool surely =
            lua->must_allocate || may_overdraw(lua, block != NULL ? old_size : 0, new_size);
        return surely ? allocate_surely(ledger, block, old_size, new_size) : refused(lua);
    }
    lua->refusals = 0;
    return result;
}

void pn_lua_throw(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    lua->limit_bytes = lua->actor->ledger.limit_bytes;
    lua->actor->ledger.limit_bytes = INT64_MIN;
    lua->to_refuse = 2; /* Lua collects garbage after the first refusal and asks again */
    lua_newuserdatauv(L, 0, 0);
}

static int panic(lua_State *L) {
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    fprintf(stderr, "perilune: error outside any protected call: %s\n", message);
    return 0; /* Lua aborts */
}

/* Lua's own warnings, about errors in finalizers, come in pieces. Without memory for all, the last
 * is shown. */
static bool gather_warning(pn_lua *lua, const char *piece) {
    pn_ledger *ledger = &lua->actor->ledger;
    if (lua->warning == NULL) {
        lua->warning = pn_mem_try(ledger, sizeof *lua->warning);
        if (lua->warning == NULL) return false;
        pn_buf_init(lua->warning, &ledger->door);
    }
    return pn_buf_add_text(lua->warning, piece);
}

static void drop_warning(pn_lua *lua) {
    if (lua->warning == NULL) return;
    pn_buf_close(lua->warning);
    pn_mem_free(&lua->actor->ledger, lua->warning, sizeof *lua->warning);
    lua->warning = NULL;
}

static void on_warning(void *context, const char *message, int to_be_continued) {
    pn_lua *lua = context;
    bool is_gathered = (to_be_continued || lua->warning != NULL) && gather_warning(lua, message);
    if (to_be_continued) return;
    pn_log_printf(&pn_lua_worker(lua)->runtime->log, PN_LOG_WARN, "%s",
                  is_gathered ? pn_buf_text(lua->warning) : message);
    drop_warning(lua);
}

/* ---- boot ---- */

static int booted(lua_State *L, int status, lua_KContext base) {
    (void)status;
    return lua_gettop(L) - (int)base;
}

/* The bottom of the main task: opens the globals, gets the program, calls it. */
static int boot(lua_State *L) {
    pn_lua *lua = pn_lua_of(L);
    pn_program *program = lua->program;
    if (program->is_full) {
        pn_globals_open_all(L);
    } else {
        pn_globals_open(L);
    }
    lua_settop(L, 0);
    int arguments = program->push(L, program);
    lua->program = NULL;
    program->destroy(pn_lua_worker(lua), program);
    lua_callk(L, arguments, LUA_MULTRET, 0, booted);
    return booted(L, LUA_OK, 0);
}

/* A cycle begins as soon as one has ended. In small states every allocation is a whole cycle; in
 * full ones, which may hold megabytes, a small step. */
static void stress_collector(lua_State *L, const pn_program *program) {
    lua_gc(L, LUA_GCSETPAUSE, 0);
    lua_gc(L, LUA_GCINC, 0, 1000, program->is_full ? 6 : 63);
}

static int start(pn_actor *actor, void *argument) {
    pn_program *program = argument;
    pn_lua *lua = pn_mem_try_zeroed(&actor->ledger, sizeof *lua);
    if (lua == NULL) goto no_memory;
    lua->actor = actor;
    lua->program = program;
    lua->L = lua_newstate(allocate, lua);
    if (lua->L == NULL) {
        pn_mem_free(&actor->ledger, lua, sizeof *lua);
        goto no_memory;
    }
    *(pn_lua **)lua_getextraspace(lua->L) = lua;
    if (((const pn_lua_shared *)actor->worker->runtime->lua)->gc_stress)
        stress_collector(lua->L, program);
    lua_atpanic(lua->L, panic);
    lua_setwarnf(lua->L, on_warning, lua);
    pn_list_init(&lua->handles);
    pn_list_init(&lua->sends);
    actor->state = lua;
    pn_tasks_init(lua);
    lua_pushcfunction(lua->L, boot);
    if (program->on_start != NULL) program->on_start(lua, program);
    return 0;

no_memory:
    program->destroy(actor->worker, program);
    return PN_ENOMEM;
}

static void discard(pn_worker *worker, void *argument) {
    pn_program *program = argument;
    program->destroy(worker, program);
}

/* ---- end ---- */

static void close_handles(pn_lua *lua) {
    while (!pn_list_empty(&lua->handles)) {
        pn_handle *handle =
            PN_CONTAINER(lua->handles.prev, pn_handle, link); /* the youngest first */
        pn_list_remove(&handle->link);
        handle->close(handle); /* its memory may go with it */
    }
}

static void begin_closing(pn_lua *lua) {
    pn_actor *actor = lua->actor;
    lua->is_closing = true;
    lua->is_killed = false;
    actor->ledger.limit_bytes = INT64_MAX; /* the way out needs a little */
    pn_lua_limit_close(lua);
    pn_streams_close(lua);
    pn_tasks_close(lua);
    close_handles(lua);
    if (lua->program != NULL) discard(actor->worker, lua->program);
}

/* Called again when luv had to let a thread finish first. */
static void stop(pn_actor *actor) {
    pn_lua *lua = actor->state;
    if (!lua->is_closing) begin_closing(lua);
    actor->lingers = !pn_luv_drain(lua);
    if (actor->lingers) return;
    lua->current = &lua->main;
    lua->running = lua->L;
    lua_close(lua->L);
    lua->running = NULL;
    pn_luv_free(lua);
    drop_warning(lua);
    pn_mem_free(&actor->ledger, lua->table, lua->table_capacity * sizeof(pn_task *));
    actor->state = NULL;
    pn_mem_free(&actor->ledger, lua, sizeof *lua);
}

/* ---- the rest of the behaviour ---- */

static void run(pn_actor *actor) { pn_tasks_run(actor->state); }

static void interrupt(pn_actor *actor) {
    pn_lua *lua = actor->state;
    if (lua != NULL) pn_hook_interrupt(lua);
}

static bool can_receive(const pn_actor *actor, const pn_call *chain) {
    return pn_tasks_can_receive(actor->state, chain);
}

/* Where a C function was called from; NULL, 0 where nobody knows. */
static int caller_of(lua_State *L, lua_Debug *caller) {
    bool is_known = lua_getstack(L, 1, caller) && lua_getinfo(L, "Sl", caller);
    return is_known && caller->currentline > 0 ? caller->currentline : 0;
}

/* In a signal handler, the Lua state standing still: which function it is in. */
static void describe(pn_actor *actor, char *text, size_t room) {
    pn_lua *lua = actor->state;
    lua_State *L = lua != NULL ? lua->running : NULL;
    char pid[PN_PID_TEXT_BYTES];
    pn_pid_text(actor->pid, pid);
    const char *name = actor->name != NULL ? actor->name : "", *gap = *name != '\0' ? " " : "";
    lua_Debug ar, caller;
    if (L == NULL || !lua_getstack(L, 0, &ar) || !lua_getinfo(L, "Sln", &ar)) {
        snprintf(text, room, "actor %s%s%s", pid, gap, name);
        return;
    }
    bool is_c = ar.what[0] == 'C';
    int line = is_c ? caller_of(L, &caller) : ar.currentline;
    int n = snprintf(text, room, "actor %s%s%s: %s '%s'", pid, gap, name,
                     is_c ? "C function" : "function", ar.name != NULL ? ar.name : "?");
    if (line == 0 || n < 0 || (size_t)n >= room) return;
    snprintf(text + n, room - (size_t)n, "%s %.60s:%d", is_c ? ", called at" : " at",
             is_c ? caller.short_src : ar.short_src, line);
}

static void take(pn_actor *actor, pn_msg *msg) { pn_tasks_accept(actor->state, msg); }

const pn_behaviour pn_lua_behaviour = {
    .name = "lua",
    .start = start,
    .discard = discard,
    .run = run,
    .accept = take,
    .interrupt = interrupt,
    .describe = describe,
    .can_receive = can_receive,
    .stop = stop,
};

/* ---- errors ---- */

int pn_push_error(lua_State *L, int code, const char *format, ...) {
    lua_pushnil(L);
    if (format == NULL) {
        lua_pushstring(L, pn_err_text(code));
    } else {
        char message[1024];
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        lua_pushstring(L, message);
    }
    lua_pushstring(L, pn_err_name(code));
    return 3;
}

_Noreturn void pn_raise(lua_State *L, const char *format, ...) {
    va_list args;
    va_start(args, format);
    luaL_where(L, 1);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    lua_error(L);
    pn_unreachable();
}

_Noreturn void pn_raise_code(lua_State *L, int code) { pn_raise(L, "%s", pn_err_text(code)); }

int pn_push_result(lua_State *L, int code) {
    if (code < 0) return pn_push_error(L, code, NULL);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- traceback ---- */

#define LEVELS_HEAD 12
#define LEVELS_TAIL 11

static void add_level(lua_State *L, lua_Debug *ar, pn_buf *out) {
    lua_getinfo(L, "Slnt", ar);
    if (ar->currentline > 0) {
        pn_buf_printf(out, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
    } else {
        pn_buf_printf(out, "\n\t%s: in ", ar->short_src);
    }
    if (*ar->namewhat != '\0') {
        pn_buf_printf(out, "%s '%s'", ar->namewhat, ar->name);
    } else if (*ar->what == 'm') {
        pn_buf_add_text(out, "main chunk");
    } else if (*ar->what == 'C') {
        pn_buf_add_text(out, "?");
    } else {
        pn_buf_printf(out, "function <%s:%d>", ar->short_src, ar->linedefined);
    }
    if (ar->istailcall) pn_buf_add_text(out, "\n\t(...tail calls...)");
}

static int count_levels(lua_State *L) {
    lua_Debug ar;
    int low = 0, high = 1;
    while (lua_getstack(L, high, &ar)) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (lua_getstack(L, middle, &ar)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

void pn_lua_traceback(lua_State *L, const char *message, pn_buf *out) {
    if (message != NULL) pn_buf_printf(out, "%s\n", message);
    pn_buf_add_text(out, "stack traceback:");
    lua_Debug ar;
    int count = count_levels(L);
    bool is_main = L == pn_lua_of(L)->L;
    if (is_main && count > 1) count--; /* boot */
    for (int level = 0; level < count && lua_getstack(L, level, &ar); level++) {
        if (level == LEVELS_HEAD && count > LEVELS_HEAD + LEVELS_TAIL) {
            int skipped = count - LEVELS_HEAD - LEVELS_TAIL;
            pn_buf_printf(out, "\n\t...\t(skipping %d levels)", skipped);
            level += skipped;
            if (!lua_getstack(L, level, &ar)) break;
        }
        add_level(L, &ar, out);
    }
}
