/*
 * lua_state.h - one actor's Lua: its state, its tasks, and what the rest of lua/ and bind/ share.
 *
 * A pn_lua is the state behind an actor whose behaviour is written in Lua. Every coroutine of the
 * state finds it through the extra space (new coroutines inherit the main one's). The low bits of
 * that pointer are marks of the single coroutine: PN_LUA_PARKED says that the runtime, not the
 * user, suspended it.
 *
 * A bare state is small: standard libraries and our modules open when they are touched (globals.c,
 * module.c), the main coroutine is itself the first task, the mailbox owns nothing before the first
 * message.
 *
 * Threads: the actor's worker, and `interrupt`, which runs in a signal handler on that same thread.
 */
#ifndef PN_LUA_LUA_STATE_H
#define PN_LUA_LUA_STATE_H

#include <lauxlib.h>
#include <lua.h>

#include "base/units.h"
#include "core/runtime.h"

typedef struct pn_lua pn_lua;
typedef struct pn_task pn_task;
typedef struct pn_scope pn_scope;
typedef struct pn_frame pn_frame;
typedef struct pn_team pn_team;

#define PN_LUA_PARKED       ((uintptr_t)1)
#define PN_LUA_MARKS        ((uintptr_t)7)
#define PN_TURN_RESUMES_MAX 64 /* tasks resumed in one turn of the actor */

/* What suspends a task: by this, resume wrappers tell a runtime's yield from a user's. */
typedef enum pn_yield { PN_YIELD_NONE, PN_YIELD_BLOCK, PN_YIELD_PREEMPT } pn_yield;

typedef enum pn_wait {
    PN_WAIT_NONE,    /* running, or ready */
    PN_WAIT_RECEIVE, /* in lua->receivers */
    PN_WAIT_MATCH,   /* for a message that is not in the mailbox yet; in lua->matchers */
    PN_WAIT_REPLY,   /* for the message with wait_ref */
    PN_WAIT_SPACE,   /* for room in a mailbox */
    PN_WAIT_LIST,    /* in a list: another task's joiners, those who wait for an engine's object */
    PN_WAIT_TIMER,
    PN_WAIT_IO, /* for an engine's callback, which calls pn_task_ready */
} pn_wait;

struct pn_task {
    pn_list all;   /* in lua->tasks */
    pn_list queue; /* in ready, receivers or another task's joiners */
    pn_lua *lua;
    lua_State *co;
    uint8_t wait; /* pn_wait */
    bool is_finished;
    bool is_entered; /* it is on the C stack: runs, or runs what cancels another task */
    bool has_failed;
    bool is_cancelled;
    bool has_index;
    bool has_own_body;  /* the function at its bottom is ours and can be suspended */
    bool is_detached;   /* no Lua value refers to it: goes when it has finished */
    bool is_dormant;    /* of the runtime, with nothing to do: no answer can be hoped for from it */
    bool is_supervised; /* an error ends the task only (iterations, handlers), told to on_end */
    int code;           /* what woke it: 0 or a negative code */
    int argument_count; /* before its first resume: values on the coroutine's stack */
    int result_count;   /* when finished: values on the coroutine's stack */
    uint64_t born;      /* lua->birth_count then */
    uint32_t index;     /* in lua->table, for wait_ref */
    uint64_t wait_ref;  /* of the present wait; 0: none */
    pn_timer timer;     /* of the present wait */
    pn_msg *msg;        /* what woke it; owned */
    pn_call *calling;   /* the request whose reply it waits for; counted */
    pn_call *serving;   /* the request it serves: deadline and chain; counted */
    pn_request_id *request_id; /* its own, before that of the request it serves; counted, or NULL */
    pn_scope *scopes;          /* innermost first */
    pn_list joiners;
    void (*cancel)(pn_task *task, void *context); /* PN_WAIT_IO: takes the wait back */
    void *context;                                /* of cancel, and of the waiter */
    void (*on_end)(pn_task *task, void *context); /* is_supervised */
    void *on_end_context;
    pn_team *team;
    bool is_member;  /* of the team, not its leader */
    bool is_endless; /* a repeating timer: its team does not wait for it */
    /* Of load/labels.h: what its samples are tagged with; inherited by its tasks. */
    const void *labels;
};

/* Tasks that belong to one undertaking, a user's iteration: those that its leader begins, and
 * theirs. An error of a member is the team's affair, not the actor's. The leader sets task->team;
 * members join when they are spawned. */
struct pn_team {
    uint32_t count; /* members */
    void *context;
    /* A moment of the clock after which code that cannot be suspended is made to raise; NULL:
     * none. */
    const _Atomic uint64_t *deadline_ns;
    /* In the member's coroutine as it was raised; the member is finished afterwards. */
    void (*on_fail)(pn_team *team, pn_task *member);
    void (*on_empty)(pn_team *team); /* the last member has left */
};

/* A scope of with_timeout. It holds for its coroutine and what that resumes, not for the rest of
 * the task while the coroutine is suspended by its user. */
struct pn_scope {
    pn_scope *outer;
    pn_task *task; /* NULL: closed */
    lua_State *co;
    pn_timer timer;
    uint64_t deadline_ns;
    bool has_fired;
};

/* A coroutine that is being resumed, on the C stack of the resume. */
struct pn_frame {
    lua_State *from;
    pn_frame *outer;
};

struct pn_lua {
    pn_actor *actor;
    lua_State *L;
    lua_State *volatile running; /* the innermost coroutine; what the interrupt hooks */
    pn_task *current;
    pn_frame *frames;
    uint8_t yield;      /* pn_yield of the yield under way */
    bool is_closing;    /* the actor is dead: close variables and finalizers run */
    bool is_killed;     /* raise at every instruction */
    bool is_resetting;  /* close variables of a coroutine that is closed run */
    bool is_over_limit; /* ... because it passed its memory limit again */
    bool is_full;       /* all libraries opened */
    bool is_lazy;       /* the globals' lazy metatable is in place */
    volatile bool wants_preempt;
    uint8_t refusals;    /* of memory over the limit, in a row */
    uint8_t breaches;    /* raises that this made */
    uint8_t to_refuse;   /* memory is refused so many times, to raise without a message handler */
    int64_t limit_bytes; /* ... and this is the limit afterwards */
    uint64_t close_deadline_ns;
    pn_list tasks, ready, receivers, matchers;
    uint64_t matched_count; /* of the actor's arrivals, when the matchers last looked */
    pn_task main;
    pn_task **table; /* tasks by index; NULL entries are free */
    uint32_t table_capacity, table_count, table_next;
    pn_map parked; /* coroutine -> its task: suspended by the runtime inside another coroutine */
    uint64_t wait_count;
    uint64_t birth_count;       /* of tasks and handles: what is younger than a moment */
    uint64_t request_count;     /* request ids made here */
    void *program;              /* what to run; until it has started */
    pn_buf *warning;            /* pieces of one that is not complete; NULL */
    pn_list handles;            /* pn_handle of C resources that must go before the state */
    pn_list sends;              /* waiting for room in a mailbox (send.c) */
    void *streams, *luv, *load; /* of lua/stream.c, lua/luv_bridge.c, load actors */
    int64_t uncollected_bytes;  /* held outside, since the collector was last told */
    uint32_t allocs_by_type[6]; /* string, table, function, userdata, thread, other: since birth */
    bool must_allocate;         /* no error may be raised now: the limit does not hold */
    uint32_t loaded_count; /* modules that have been loaded, or got their functions (module.c) */
    bool has_user_hooks;
    bool has_light_class;    /* light userdata have their metatable */
    const char *no_blocking; /* why blocking calls are refused now ("... at file level"); NULL */
};

static inline pn_lua *pn_lua_of(lua_State *L) {
    return (pn_lua *)(*(uintptr_t *)lua_getextraspace(L) & ~PN_LUA_MARKS);
}

static inline uintptr_t *pn_lua_marks(lua_State *L) { return (uintptr_t *)lua_getextraspace(L); }

/* The main coroutine is never marked: new ones begin with a copy of its extra space. It is a
 * task's, so where it is suspended the runtime has done it. */
static inline void pn_lua_park(lua_State *L) {
    if (L != pn_lua_of(L)->L) *pn_lua_marks(L) |= PN_LUA_PARKED;
}

static inline bool pn_lua_is_parked(lua_State *L) {
    if (L == pn_lua_of(L)->L) return lua_status(L) == LUA_YIELD;
    return (*pn_lua_marks(L) & PN_LUA_PARKED) != 0;
}

/* Nothing waits any more: only close variables and finalizers of the dead run. */
static inline bool pn_lua_is_ending(const pn_lua *lua) { return lua->is_closing || lua->is_killed; }

static inline pn_worker *pn_lua_worker(const pn_lua *lua) { return lua->actor->worker; }

/* Close variables and finalizers of the dead have so long from now. */
static inline void pn_lua_limit_close(pn_lua *lua) {
    uint64_t budget_ns = pn_lua_worker(lua)->runtime->options.close_ms * PN_NS_PER_MS;
    lua->close_deadline_ns = pn_clock_real_ns() + budget_ns;
}

/* The behaviour whose spawn argument is a pn_program. */
extern const pn_behaviour pn_lua_behaviour;

/* What a new Lua actor runs. Owned by the spawn. */
typedef struct pn_program {
    /* Pushes the function and its arguments; returns how many arguments. Runs in the new state,
     * first thing, protected; may raise. */
    int (*push)(lua_State *L, struct pn_program *program);
    void (*destroy)(pn_worker *worker, struct pn_program *program);
    bool is_full;                                              /* open all libraries at once */
    void (*on_start)(pn_lua *lua, struct pn_program *program); /* or NULL */
} pn_program;

/* A C resource of an actor: closed when the actor ends, before its state. */
typedef struct pn_handle {
    pn_list link;
    const char *kind; /* "server", for who reports what was left open */
    uint64_t born;
    void (*close)(struct pn_handle *handle); /* takes it out of the list */
} pn_handle;

static inline void pn_handle_open(pn_lua *lua, pn_handle *handle, const char *kind,
                                  void (*close)(pn_handle *handle)) {
    handle->kind = kind;
    handle->born = ++lua->birth_count;
    handle->close = close;
    pn_list_push(&lua->handles, &handle->link);
}

static inline void pn_handle_forget(pn_handle *handle) { pn_list_remove(&handle->link); }

/* Makes the triple nil, message, code: the only place that does. Returns 3. A NULL format is the
 * code's own text. */
int pn_push_error(lua_State *L, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* luaL_error, and the compiler knows that it does not return. */
_Noreturn void pn_raise(lua_State *L, const char *format, ...);
_Noreturn void pn_raise_code(lua_State *L, int code); /* with the code's own text */

/* As above when code < 0; otherwise pushes true and returns 1. */
int pn_push_result(lua_State *L, int code);

/* Raises without calling message handlers, which a killed one might stay in for ever: Lua does so
 * only for want of memory, so memory is refused. Does not return. */
void pn_lua_throw(lua_State *L);

/* A traceback without allocating Lua memory, which an errored or full state may not have. */
void pn_lua_traceback(lua_State *L, const char *message, pn_buf *out);

#endif
