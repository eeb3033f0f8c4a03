/*
 * load.h - what the bindings of a load run share: the calling task's user and labels, and homes.
 *
 * A home is a load actor: an actor that runs users of one scenario, at most PN_LOAD_ACTOR_VUS_MAX,
 * as tasks. Its main task loads the scenario file and then does what must be done inside a task: it
 * makes users and ends iterations that are interrupted. Orders for it come from C code of its
 * worker, which may not touch Lua: they are put in a list and the task is woken.
 *
 * A user's own task goes through init, iterations and done (load_user.c). All that an iteration
 * starts with actor.task, timer.after and the like is in the user's team and ends with it.
 *
 * Ownership: homes and users are the worker's memory; both go with the actor at the latest.
 * Threads: the worker's.
 */
#ifndef PN_BIND_LOAD_H
#define PN_BIND_LOAD_H

#include "bind/bind.h"
#include "load/load.h"

#define PN_LOAD_HOOK_TIMEOUT_NS (60 * PN_NS_PER_S) /* of init and done, for each user */
/* Different groups in one state; more share the last one's labels. */
#define PN_LOAD_GROUPS_MAX 10000

typedef struct pn_load_home pn_load_home;

/* What a Lua state has to do with load runs: made when first needed, closed with the actor. */
typedef struct pn_load_state {
    pn_handle handle;
    pn_lua *lua;
    pn_load *load;      /* the runtime's run; NULL: none */
    pn_load_home *home; /* NULL: not a load actor */
    pn_labels *base;    /* for tasks without labels */
    pn_smap groups;     /* labels of groups, by the outer labels and the name */
} pn_load_state;

/* The calling state's. Raises without memory. */
pn_load_state *pn_load_state_of(lua_State *L);
void pn_load_state_init(pn_load_state *state, pn_lua *lua, void (*close)(pn_handle *handle));
void pn_load_state_close(pn_load_state *state);

/* The run of the calling state's runtime, or NULL. */
static inline pn_load *pn_load_of(lua_State *L) { return pn_lua_shared_of(L)->load; }

/* The user that the calling task works for, or NULL. */
static inline pn_vu *pn_vu_of(lua_State *L) {
    const pn_task *task = pn_task_current(L);
    return task != NULL && task->team != NULL ? task->team->context : NULL;
}

/* What samples of the calling task are labelled with; never NULL. Raises without memory. */
static inline const pn_labels *pn_labels_of(lua_State *L) {
    const pn_task *task = pn_task_current(L);
    if (PN_LIKELY(task != NULL && task->labels != NULL)) return task->labels;
    return pn_load_state_of(L)->base;
}

/* The same where nothing may be raised or made; NULL: none. */
static inline const pn_labels *pn_labels_find(lua_State *L) {
    const pn_task *task = pn_task_current(L);
    if (PN_LIKELY(task != NULL && task->labels != NULL)) return task->labels;
    const pn_load *load = pn_load_of(L);
    return load != NULL ? load->base_labels : NULL;
}

static inline pn_metrics_shard *pn_shard_of(lua_State *L) {
    return pn_lua_worker(pn_lua_of(L))->metrics;
}

/* The labels of a group within the calling task's; the same for the same. Raises without memory. */
const pn_labels *pn_labels_enter(lua_State *L, const char *name, size_t size);

/* ---- the scenario file ---- */

/* Pushes what the file returns, checked to be a table. Raises; blocking calls in it raise, too. */
void pn_load_push_scenario(lua_State *L, pn_load *load);

/* From here on, writing a global raises and points to vu.state. */
void pn_load_lock_globals(lua_State *L);

/* ---- homes and users ---- */

typedef enum pn_user_step { PN_USER_REST, PN_USER_RUN, PN_USER_RETIRE } pn_user_step;

typedef enum pn_user_order {
    PN_USER_MAKE,
    PN_USER_INTERRUPT,
    PN_USER_FAIL, /* a task of the iteration has failed */
} pn_user_order;

typedef struct pn_user {
    pn_vu vu;        /* first: a team's context is one */
    pn_list link;    /* in home->users */
    pn_list order;   /* in home->orders */
    uint8_t wanted;  /* pn_user_order */
    uint8_t step;    /* what the executor wants next */
    bool is_awaited; /* the run's start waits for its init */
    bool has_failed; /* its iteration */
    bool is_joining; /* it waits for the tasks of its iteration */
    bool is_gone;    /* forgotten by its executor; the memory goes with the home */
    pn_load_home *home;
    pn_task *task;           /* that runs its hooks; NULL: none yet, or none any more */
    const char *hook;        /* "init", "default" ..., for messages */
    pn_team iteration, life; /* tasks begun in an iteration; in init and done */
    pn_scope scope;          /* of init and done */
} pn_user;

struct pn_load_home {
    pn_load_state state; /* first */
    pn_list link;        /* in x->homes */
    pn_executor *x;
    pn_worker *worker;
    pn_list users, orders;
    uint32_t user_count;
    bool has_loaded;
    bool is_over; /* the part is done: ends when its last user has gone */
    bool has_ended;
};

extern const pn_vu_host pn_load_host;

/* Makes the planned users of all scenarios, on their workers. */
void pn_load_make_users(pn_load *load);

/* From the home's main task: a new task for the user, from the given place on. Raises without
 * memory. */
typedef enum pn_user_entry {
    PN_ENTER_INIT,
    PN_ENTER_REST,
    PN_ENTER_RUN,
    PN_ENTER_DONE
} pn_user_entry;

void pn_user_make(lua_State *L, pn_user *user);
void pn_user_spawn(lua_State *L, pn_user *user, pn_user_entry entry);

/* Ends its iteration, or its init, where it is. */
void pn_user_cut(lua_State *L, pn_user *user, pn_ending ending);

/* It has left, or died: forgotten here and by its executor. */
void pn_user_gone(pn_user *user);

void pn_home_order(pn_user *user, pn_user_order order);

/* The slots of a home's main task. */
enum {
    PN_HOME_SCENARIO = 1,
    PN_HOME_EXEC,
    PN_HOME_INIT,
    PN_HOME_DONE,
    PN_HOME_DATA,
    PN_HOME_SLOTS = 5
};

/* Keeps an error of the script, and logs it if it is the first of its place. The error is at
 * `index`; L is the coroutine that raised it, its stack as it was. `user` may be NULL. */
void pn_load_report(lua_State *L, int index, pn_load *load, const pn_user *user, const char *hook);

/* Keeps a request that had no answer, and logs the first of its error code. No error of the script:
 * the run's verdict is its thresholds' business. Touches no Lua. */
void pn_load_report_request(pn_load *load, const pn_scenario_run *run, int error_code,
                            const char *message);

#endif
