/* load_home.c - load actors: their main task, and the executors' orders to it. */
#include "bind/load.h"

#include "lua/codec.h"

/* ---- orders ---- */

static void wake(pn_load_home *home) {
    if (home->state.lua != NULL && home->has_loaded) pn_task_ready(&home->state.lua->main, 0);
}

void pn_home_order(pn_user *user, pn_user_order order) {
    user->wanted = (uint8_t)order;
    if (!pn_list_linked(&user->order)) pn_list_push(&user->home->orders, &user->order);
    wake(user->home);
}

static void host_run(pn_vu *vu) {
    pn_user *user = (pn_user *)vu;
    user->step = PN_USER_RUN;
    if (user->task != NULL) pn_task_ready(user->task, 0);
}

static void host_retire(pn_vu *vu) {
    pn_user *user = (pn_user *)vu;
    user->step = PN_USER_RETIRE;
    if (user->task != NULL) pn_task_ready(user->task, 0);
}

static void host_interrupt(pn_vu *vu) { pn_home_order((pn_user *)vu, PN_USER_INTERRUPT); }

/* ---- the main task ---- */

static void obey(lua_State *L, pn_user *user) {
    bool is_made = user->wanted == PN_USER_MAKE;
    if (is_made && !user->vu.is_interrupted) {
        pn_user_make(L, user);
    } else if (user->wanted == PN_USER_FAIL && !user->vu.is_interrupted) {
        pn_user_cut(L, user, PN_ENDING_FAILED);
    } else {
        pn_user_cut(L, user, PN_ENDING_INTERRUPTED);
    }
}

static int serve(lua_State *L, int status, lua_KContext context) {
    (void)status, (void)context;
    pn_load_home *home = ((pn_load_state *)pn_lua_of(L)->load)->home;
    pn_task_woken(L);
    pn_list *link;
    while ((link = pn_list_pop(&home->orders)) != NULL) {
        lua_settop(L, PN_HOME_SLOTS);
        obey(L, PN_CONTAINER(link, pn_user, order));
    }
    if (home->is_over && home->user_count == 0) return 0;
    return pn_task_wait(L, PN_WAIT_IO, PN_NO_TIMEOUT, 0, serve);
}

static int home_body(lua_State *L) { return serve(L, LUA_OK, 0); }

/* `exec` is a field of the scenario table, or the function that options.scenarios.NAME.exec is. */
static void push_exec(lua_State *L, const pn_scenario *s) {
    if (!s->exec_is_function) {
        lua_getfield(L, 1, s->exec);
    } else {
        lua_getfield(L, 1, "options");
        lua_getfield(L, -1, "scenarios");
        lua_getfield(L, -1, s->name);
        lua_getfield(L, -1, "exec");
    }
    if (!lua_isfunction(L, -1)) {
        luaL_error(L, "scenario %s: there is no function '%s' when the file is loaded again",
                   s->name, s->exec);
    }
}

static void push_data(lua_State *L, const pn_load *load) {
    const uint8_t *at = (const uint8_t *)load->data.data, *end = at + load->data.size;
    if (load->data.size == 0) {
        lua_pushnil(L);
    } else {
        pn_codec_decode(L, &at, end, NULL);
    }
}

typedef struct home_program {
    pn_program base;
    pn_load_home *home;
} home_program;

static int push_home(lua_State *L, pn_program *program) {
    pn_load_home *home = ((home_program *)program)->home;
    pn_load *load = home->state.load;
    lua_settop(L, 0);
    pn_load_push_scenario(L, load);
    pn_load_lock_globals(L);
    push_exec(L, home->x->run->scenario);
    lua_copy(L, -1, PN_HOME_EXEC);
    lua_settop(L, PN_HOME_EXEC);
    lua_getfield(L, PN_HOME_SCENARIO, "init");
    lua_getfield(L, PN_HOME_SCENARIO, "done");
    push_data(L, load);
    lua_pushcfunction(L, home_body);
    lua_insert(L, 1);
    home->has_loaded = true;
    return PN_HOME_SLOTS;
}

/* ---- life ---- */

/* All that is left of its users is gone with it. */
static void lose_users(pn_load_home *home) {
    for (pn_list *l = home->users.next; l != &home->users; l = l->next) {
        pn_user *user = PN_CONTAINER(l, pn_user, link);
        user->task = NULL;
        pn_user_gone(user);
    }
}

static void end_home(pn_load_home *home, const char *why) {
    pn_load *load = home->state.load;
    if (home->has_ended) return;
    home->has_ended = true;
    pn_list_remove(&home->link);
    if (why != NULL) {
        pn_load_decide(load, PN_VERDICT_SCRIPT, why);
        pn_load_stop(load);
    }
    lose_users(home);
    if (atomic_fetch_sub(&load->actors_alive, 1) == 1) pn_load_tell(load);
}

static void on_main_end(pn_task *task, void *context) {
    pn_load_home *home = context;
    const pn_exit *exit = task->lua->actor->exit;
    if (task->has_failed) {
        lua_State *co = task->co;
        pn_load_report(co, -1, home->state.load, NULL, "loading");
        end_home(home, "");
    } else if (exit != NULL) {
        end_home(home, exit->error != NULL ? exit->error : exit->reason);
    } else {
        end_home(home, NULL);
    }
}

static void free_home(pn_load_home *home) {
    while (!pn_list_empty(&home->users)) {
        pn_user *user = PN_CONTAINER(pn_list_pop(&home->users), pn_user, link);
        pn_mem_free(&home->worker->ledger, user, sizeof *user);
    }
    pn_mem_free(&home->worker->ledger, home, sizeof *home);
}

static void close_home(pn_handle *handle) {
    pn_load_home *home = (pn_load_home *)PN_CONTAINER(handle, pn_load_state, handle);
    end_home(home, "a load actor ended");
    pn_load_state_close(&home->state);
    free_home(home);
}

static void on_start(pn_lua *lua, pn_program *program) {
    pn_load_home *home = ((home_program *)program)->home;
    pn_load_state_init(&home->state, lua, close_home);
    home->state.home = home;
    lua->main.is_supervised = true;
    lua->main.on_end = on_main_end;
    lua->main.on_end_context = home;
}

/* The program of an actor that never began takes its home along. */
static void destroy_program(pn_worker *worker, pn_program *program) {
    home_program *p = (home_program *)program;
    if (p->home->state.lua == NULL) {
        end_home(p->home, "a load actor cannot be started: out of memory");
        free_home(p->home);
    }
    pn_mem_free(&worker->ledger, p, sizeof *p);
}

static pn_load_home *create_home(pn_load *load, pn_executor *x) {
    pn_worker *worker = load->workers[x->index].worker;
    pn_load_home *home = pn_mem_try_zeroed(&worker->ledger, sizeof *home);
    if (home == NULL) return NULL;
    home->state.load = load;
    home->x = x;
    home->worker = worker;
    pn_list_init(&home->users);
    pn_list_init(&home->orders);
    pn_list_push(&x->homes, &home->link);
    return home;
}

static pn_load_home *spawn_home(pn_load *load, pn_executor *x) {
    pn_worker *worker = load->workers[x->index].worker;
    home_program *p = pn_mem_try(&worker->ledger, sizeof *p);
    pn_load_home *home = p != NULL ? create_home(load, x) : NULL;
    if (home == NULL) {
        pn_mem_free(&worker->ledger, p, sizeof *p);
        return NULL;
    }
    *p = (home_program){
        {.push = push_home, .destroy = destroy_program, .is_full = true, .on_start = on_start},
        home};
    pn_spawn spawn = {.behaviour = &pn_lua_behaviour, .argument = p, .on = (int)worker->index};
    pn_pid pid;
    atomic_fetch_add(&load->actors_alive, 1);
    return pn_actor_spawn(worker, NULL, &spawn, &pid, NULL) == 0 ? home : NULL;
}

/* ---- users ---- */

static pn_load_home *home_with_room(pn_load *load, pn_executor *x) {
    for (pn_list *l = x->homes.next; l != &x->homes; l = l->next) {
        pn_load_home *home = PN_CONTAINER(l, pn_load_home, link);
        if (home->user_count < PN_LOAD_ACTOR_VUS_MAX && !home->is_over) return home;
    }
    return spawn_home(load, x);
}

static pn_user *add_user(pn_load *load, pn_executor *x, uint64_t id, bool is_awaited) {
    pn_load_home *home = home_with_room(load, x);
    if (home == NULL) return NULL;
    pn_user *user = pn_mem_try_zeroed(&home->worker->ledger, sizeof *user);
    if (user == NULL) return NULL;
    user->vu.id = id;
    user->home = home;
    user->is_awaited = is_awaited;
    user->hook = "init";
    pn_list_init(&user->order);
    pn_list_push(&home->users, &user->link);
    home->user_count++;
    pn_executor_add(x, &user->vu);
    pn_home_order(user, PN_USER_MAKE);
    return user;
}

static pn_vu *host_grow(pn_executor *x) {
    pn_load *load = x->context;
    pn_user *user = add_user(load, x, pn_load_next_vu_id(load), false);
    return user != NULL ? &user->vu : NULL;
}

static void host_done(pn_executor *x) {
    for (pn_list *l = x->homes.next; l != &x->homes; l = l->next) {
        pn_load_home *home = PN_CONTAINER(l, pn_load_home, link);
        home->is_over = true;
        wake(home);
    }
    pn_load_part_done(x->context, x);
}

const pn_vu_host pn_load_host = {host_run,  host_interrupt,    host_retire,
                                 host_grow, pn_load_hand_over, host_done};

/* ---- the planned users ---- */

/* Users are dealt out to the workers in turn; ids are those of the scenarios in order. */
static void make_part_users(pn_load *load, pn_executor *x, uint64_t first_id) {
    uint64_t count = pn_scenario_vus_planned(x->run->scenario);
    for (uint64_t i = x->index; i < count; i += x->run->part_count) {
        if (add_user(load, x, first_id + i, true) != NULL) continue;
        pn_load_prepared(load);
        pn_load_decide(load, PN_VERDICT_SCRIPT, "there is no memory for so many users");
        pn_load_stop(load);
    }
}

typedef struct make_job {
    pn_job job;
    pn_load_worker *w;
} make_job;

static void run_make(pn_worker *worker, void *context) {
    make_job *make = context;
    pn_load *load = make->w->load;
    uint64_t first_id = 1;
    pn_mem_free(load->ledger, make, sizeof *make);
    for (uint32_t s = 0; s < load->scenario_count; s++) {
        make_part_users(load, pn_load_part(load, s, worker->index), first_id);
        first_id += pn_scenario_vus_planned(&load->scenarios[s]);
    }
}

void pn_load_make_users(pn_load *load) {
    uint64_t planned = 0;
    for (uint32_t s = 0; s < load->scenario_count; s++) {
        planned += pn_scenario_vus_planned(&load->scenarios[s]);
    }
    atomic_store(&load->vu_id, planned);
    for (unsigned w = 0; w < load->runtime->worker_count; w++) {
        make_job *make = pn_mem_must(load->ledger, sizeof *make);
        *make = (make_job){{.run = run_make, .context = make}, &load->workers[w]};
        pn_worker_post(load->workers[w].worker, &make->job);
    }
}
