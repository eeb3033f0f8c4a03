#include "core/actor.h"

#include <string.h>

#include "base/rand.h"
#include "core/runtime.h"

/* What a birth needs to know; on the stack for one at home, in a message for one elsewhere. */
typedef struct birth {
    pn_spawn spawn;
    pn_pid pid, parent;
    pn_slot *slot;
    char *name; /* owned */
    uint64_t entity;
    uint64_t monitor_ref; /* 0: none */
} birth;

/* ---- birth ---- */

/* The spawner's worker, unless another is clearly less loaded. */
static unsigned choose_worker(pn_worker *worker, int on) {
    pn_runtime *runtime = worker->runtime;
    if (on >= 0) return (unsigned)on;
    uint32_t here = worker->run_count;
    unsigned best = worker->index;
    if (here < 64) return best;
    uint32_t least = here / 2;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        uint32_t load = atomic_load_explicit(&runtime->workers[i].load, memory_order_relaxed);
        if (i == worker->index || load >= least) continue;
        least = load;
        best = i;
    }
    return best;
}

static char *copy_name(pn_ledger *ledger, const char *name) {
    size_t size = strlen(name) + 1;
    char *copy = pn_mem_try(ledger, size);
    return copy != NULL ? memcpy(copy, name, size) : NULL;
}

static void free_name(pn_ledger *ledger, char *name) {
    if (name != NULL) pn_mem_free(ledger, name, strlen(name) + 1);
}

static void init_actor(pn_actor *actor, pn_worker *worker, const birth *b) {
    memset(actor, 0, sizeof *actor);
    pn_list_init(&actor->run_link);
    pn_list_init(&actor->sibling);
    pn_queue_init(&actor->mailbox);
    pn_queue_init(&actor->space_waiters);
    actor->pid = b->pid;
    actor->worker = worker;
    actor->slot = b->slot;
    actor->behaviour = b->spawn.behaviour;
    actor->name = b->name;
    actor->is_member = b->spawn.is_member;
    actor->overflow = (uint8_t)b->spawn.overflow;
    actor->capacity = atomic_load_explicit(&b->slot->capacity, memory_order_relaxed);
    actor->entity = b->entity;
    actor->parent = b->parent;
    pn_ledger_init(&actor->ledger, "actor", &worker->pool);
    if (b->spawn.memory_limit_bytes > 0) {
        actor->ledger.limit_bytes = (int64_t)b->spawn.memory_limit_bytes;
    }
    pn_map_init(&actor->links, &worker->actors.door);
    pn_map_init(&actor->watchers, &worker->actors.door);
    pn_map_init(&actor->watched, &worker->actors.door);
}

/* The child's side of link and monitor. */
static int tie_child(pn_actor *child, const birth *b) {
    int err = b->spawn.link ? pn_map_set(&child->links, b->parent, 1) : 0;
    if (err == 0 && b->monitor_ref != 0)
        err = pn_map_set(&child->watchers, b->monitor_ref, b->parent);
    return err;
}

/* On the child's worker. The actor exists from here on, even if its start fails: it then ends. */
static void give_birth(pn_worker *worker, pn_actor *actor, const birth *b) {
    b->slot->actor = actor;
    pn_list_push(&worker->all, &actor->sibling);
    worker->actor_count++;
    pn_count(&worker->counts.spawned);
    int err = b->spawn.behaviour->start(actor, b->spawn.argument);
    if (err != 0) {
        pn_actor_end(actor,
                     pn_exit_create(&worker->runtime->shared, "error", pn_err_text(err), NULL));
        return;
    }
    actor->is_started = true;
    if (atomic_load_explicit(&worker->is_stopping, memory_order_relaxed)) {
        pn_actor_end(actor, pn_exit_shutdown());
    } else {
        pn_actor_wake(actor);
    }
}

static int born_here(pn_worker *worker, const birth *b) {
    pn_actor *actor = pn_mem_try(&worker->actors, sizeof *actor);
    if (actor == NULL) return PN_ENOMEM;
    init_actor(actor, worker, b);
    int err = tie_child(actor, b);
    if (err != 0) {
        pn_map_close(&actor->links);
        pn_map_close(&actor->watchers);
        pn_mem_free(&worker->actors, actor, sizeof *actor);
        return err;
    }
    give_birth(worker, actor, b);
    return 0;
}

static int born_elsewhere(pn_worker *worker, const birth *b) {
    pn_msg *msg = pn_msg_create(worker, PN_MSG_BIRTH);
    if (msg == NULL) return PN_ENOMEM;
    birth *travelling = pn_mem_try(&worker->messages, sizeof *travelling);
    if (travelling == NULL) {
        pn_msg_free(worker, msg);
        return PN_ENOMEM;
    }
    *travelling = *b;
    msg->pointer = travelling;
    msg->to = b->pid;
    pn_worker_route(worker, msg);
    pn_worker_flush(worker); /* so that no message to the newborn can overtake it */
    return 0;
}

static void on_birth(pn_worker *worker, pn_msg *msg) {
    birth b = *(birth *)msg->pointer;
    pn_mem_free(&worker->messages, msg->pointer, sizeof b);
    pn_msg_free(worker, msg);
    pn_actor *actor = pn_mem_must(&worker->actors, sizeof *actor);
    init_actor(actor, worker, &b);
    int err = tie_child(actor, &b);
    give_birth(worker, actor, &b);
    if (err != 0) pn_actor_end(actor, pn_exit_no_memory());
    if (!pn_queue_empty(&worker->unborn)) pn_actor__deliver_unborn(worker);
}

void pn_actor__discard_birth(pn_worker *worker, pn_msg *msg) {
    birth *b = msg->pointer;
    if (b->spawn.behaviour->discard != NULL) b->spawn.behaviour->discard(worker, b->spawn.argument);
    free_name(&worker->runtime->shared, b->name);
    atomic_fetch_sub(&worker->runtime->actors_alive, 1);
    pn_mem_free(&worker->messages, b, sizeof *b);
}

/* The parent's side of link and monitor. */
static int tie_parent(pn_worker *worker, pn_actor *parent, birth *b) {
    int err = 0;
    if (b->spawn.link) err = pn_map_set(&parent->links, b->pid, 1);
    if (err != 0 || !b->spawn.monitor) return err;
    b->monitor_ref = pn_worker_next_ref(worker);
    err = pn_map_set(&parent->watched, b->monitor_ref, b->pid);
    if (err != 0) pn_map_remove(&parent->links, b->pid, NULL);
    return err;
}

static void untie_parent(pn_actor *parent, const birth *b) {
    if (parent == NULL) return;
    pn_map_remove(&parent->links, b->pid, NULL);
    pn_map_remove(&parent->watched, b->monitor_ref, NULL);
}

static int claim_name(pn_worker *worker, birth *b) {
    if (b->spawn.name == NULL) return 0;
    pn_runtime *runtime = worker->runtime;
    b->name = copy_name(&runtime->shared, b->spawn.name);
    if (b->name == NULL) return PN_ENOMEM;
    int err = b->spawn.is_member ? pn_names_join(&runtime->names, b->name, b->pid)
                                 : pn_names_set(&runtime->names, b->name, b->pid);
    if (err == 0) return 0;
    free_name(&runtime->shared, b->name);
    b->name = NULL;
    return err;
}

static void give_name_up(pn_names *names, const char *name, bool is_member, pn_pid pid) {
    if (is_member) {
        pn_names_leave(names, name, pid);
    } else {
        pn_names_remove(names, name, pid);
    }
}

static void unclaim_name(pn_worker *worker, birth *b) {
    if (b->name == NULL) return;
    give_name_up(&worker->runtime->names, b->name, b->spawn.is_member, b->pid);
    free_name(&worker->runtime->shared, b->name);
}

static int prepare_birth(pn_worker *worker, pn_actor *parent, birth *b) {
    unsigned home = choose_worker(worker, b->spawn.on);
    int err = pn_worker_take_slot(worker, home, &b->slot);
    if (err != 0) return err;
    uint32_t capacity = b->spawn.capacity > 0 ? b->spawn.capacity : PN_MAILBOX_CAPACITY_DEFAULT;
    atomic_store_explicit(&b->slot->capacity, capacity, memory_order_relaxed);
    atomic_store_explicit(&b->slot->overflow, (uint8_t)b->spawn.overflow, memory_order_relaxed);
    uint32_t timeout_ms =
        b->spawn.block_timeout_ms > 0 ? b->spawn.block_timeout_ms : PN_BLOCK_TIMEOUT_MS_DEFAULT;
    atomic_store_explicit(&b->slot->block_timeout_ms, timeout_ms, memory_order_relaxed);
    b->pid = pn_pid_make(b->slot->index, pn_slot_generation(b->slot));
    b->parent = parent != NULL ? parent->pid : 0;
    b->entity = parent != NULL ? pn_rand_child(parent->entity, parent->child_count++)
                               : pn_rand_key(worker->runtime->options.seed, "root", worker->index);
    err = claim_name(worker, b);
    if (err == 0) {
        err = parent != NULL ? tie_parent(worker, parent, b) : 0;
        if (err != 0) unclaim_name(worker, b);
    }
    if (err != 0) {
        pn_worker_return_slot(worker, b->slot);
    } else {
        atomic_store_explicit(&b->slot->is_alive, true, memory_order_release);
    }
    return err;
}

int pn_actor_spawn(pn_worker *worker, pn_actor *parent, const pn_spawn *spawn, pn_pid *pid,
                   uint64_t *monitor_ref) {
    birth b = {.spawn = *spawn};
    int err = PN_ESTOPPED;
    if (!atomic_load_explicit(&worker->is_stopping, memory_order_relaxed)) {
        err = prepare_birth(worker, parent, &b);
    }
    if (err == 0) {
        *pid = b.pid;
        if (monitor_ref != NULL) *monitor_ref = b.monitor_ref;
        atomic_fetch_add(&worker->runtime->actors_alive, 1);
        unsigned home = atomic_load_explicit(&b.slot->worker, memory_order_relaxed);
        err = home == worker->index ? born_here(worker, &b) : born_elsewhere(worker, &b);
        if (err == 0) return 0;
        atomic_fetch_sub(&worker->runtime->actors_alive, 1);
        untie_parent(parent, &b);
        unclaim_name(worker, &b);
        pn_slot_retire(b.slot);
        pn_worker_return_slot(worker, b.slot);
    }
    if (spawn->behaviour->discard != NULL) spawn->behaviour->discard(worker, spawn->argument);
    return err;
}

/* ---- running and ending ---- */

void pn_actor_wake(pn_actor *actor) {
    if (pn_list_linked(&actor->run_link) || actor->exit != NULL) return;
    pn_worker *worker = actor->worker;
    pn_list_push(&worker->run_queue, &actor->run_link);
    worker->run_count++;
}

void pn_actor_end(pn_actor *actor, pn_exit *exit) {
    if (actor->exit != NULL) {
        pn_exit_release(exit);
        return;
    }
    pn_worker *worker = actor->worker;
    actor->exit = exit;
    pn_slot_retire(actor->slot);
    if (actor->name != NULL) {
        give_name_up(&worker->runtime->names, actor->name, actor->is_member, actor->pid);
    }
    if (pn_list_linked(&actor->run_link)) {
        pn_list_remove(&actor->run_link);
        worker->run_count--;
    }
    pn_list_push(&worker->ended, &actor->run_link);
}

static void signal_to(pn_actor *from, pn_pid to, pn_msg_kind kind, uint64_t ref) {
    pn_msg *msg = pn_msg_must_create(from->worker, kind);
    msg->to = to;
    msg->from = from->pid;
    msg->ref = ref;
    pn_worker_route(from->worker, msg);
}

static void tell_exit(pn_actor *from, pn_pid to, pn_msg_kind kind, uint64_t ref) {
    pn_msg *msg = pn_msg_must_create(from->worker, kind);
    msg->to = to;
    msg->from = from->pid;
    msg->exit = pn_exit_grab(from->exit);
    msg->extra = ref;
    pn_worker_route(from->worker, msg);
}

static void tell_everybody(pn_actor *actor) {
    uint32_t cursor = 0;
    pn_map_entry *e;
    while ((e = pn_map_next(&actor->links, &cursor)) != NULL) {
        tell_exit(actor, e->key, PN_MSG_SIGNAL_EXIT, 0);
    }
    for (cursor = 0; (e = pn_map_next(&actor->watchers, &cursor)) != NULL;) {
        tell_exit(actor, e->value, PN_MSG_DOWN, e->key);
    }
    for (cursor = 0; (e = pn_map_next(&actor->watched, &cursor)) != NULL;) {
        signal_to(actor, e->value, PN_MSG_DEMONITOR, e->key);
    }
    pn_map_close(&actor->links);
    pn_map_close(&actor->watchers);
    pn_map_close(&actor->watched);
}

static void bury_mailbox(pn_actor *actor) {
    pn_worker *worker = actor->worker;
    pn_link *link;
    while ((link = pn_queue_pop(&actor->mailbox)) != NULL) {
        pn_msg *msg = (pn_msg *)link;
        if (msg->kind <= PN_MSG_REQUEST) pn_runtime_dead_letter(worker, msg, PN_EEXITED);
        pn_msg_destroy(worker, msg, PN_EEXITED);
    }
}

/* Calls at most `count` of the senders that wait for room. One that finds none again may be back in
 * the queue before this returns, so the queue is taken away meanwhile. */
static void notify_space(pn_actor *actor, uint32_t count) {
    pn_queue waiting = actor->space_waiters;
    pn_link *link;
    pn_queue_init(&actor->space_waiters);
    for (; count > 0 && (link = pn_queue_pop(&waiting)) != NULL; count--) {
        pn_msg *msg = (pn_msg *)link;
        pn_pid waiter = msg->from;
        msg->kind = PN_MSG_SPACE;
        msg->from = msg->to;
        msg->to = waiter;
        pn_worker_route(actor->worker, msg);
    }
    pn_queue_splice_front(&actor->space_waiters, &waiting);
}

/* Free places, those taken by messages on their way not among them. */
static uint32_t room_of(const pn_actor *actor) {
    uint32_t depth = pn_slot_depth(actor->slot);
    return depth < actor->capacity ? actor->capacity - depth : 0;
}

void pn_actor_reap_again(pn_actor *actor) {
    pn_assert(actor->exit != NULL);
    if (!pn_list_linked(&actor->run_link)) pn_list_push(&actor->worker->ended, &actor->run_link);
}

void pn_actor__reap(pn_actor *actor) {
    pn_worker *worker = actor->worker;
    pn_runtime *runtime = worker->runtime;
    if (actor->is_started) actor->behaviour->stop(actor);
    worker->current = NULL; /* an interrupt finds it no more */
    if (!actor->is_told) {
        actor->is_told = true;
        tell_everybody(actor);
        bury_mailbox(actor);
        notify_space(actor, UINT32_MAX);
    }
    if (actor->lingers) return;
    free_name(&runtime->shared, actor->name);
    pn_exit_release(actor->exit);
    pn_assert(pn_ledger_live(&actor->ledger) == 0);
    pn_list_remove(&actor->sibling);
    pn_worker_return_slot(worker, actor->slot);
    pn_mem_free(&worker->actors, actor, sizeof *actor);
    worker->actor_count--;
    pn_count(&worker->counts.exited);
    if (atomic_fetch_sub(&runtime->actors_alive, 1) == 1) pn_runtime__all_ended(runtime);
}

/* ---- mailbox ---- */

static void release_places(pn_actor *actor, uint32_t count) {
    actor->user_count -= count;
    if (actor->exit == NULL) pn_slot_release(actor->slot, count);
    if (PN_UNLIKELY(!pn_queue_empty(&actor->space_waiters)) &&
        actor->user_count <= actor->capacity / 2) {
        notify_space(actor, room_of(actor));
    }
}

void pn_actor_call_senders(pn_actor *self) { notify_space(self, room_of(self)); }

/* Unlinks the message after `previous` (NULL: the first). */
static pn_msg *unlink_after(pn_queue *q, pn_link *previous) {
    pn_link *link = previous != NULL ? previous->next : q->head;
    pn_assert(link != NULL);
    if (previous == NULL) {
        pn_queue_pop(q);
    } else {
        previous->next = link->next;
        if (q->tail == link) q->tail = previous;
    }
    return (pn_msg *)link;
}

static void drop_oldest(pn_actor *actor) {
    pn_link *previous = NULL, *link = actor->mailbox.head;
    while (link != NULL && ((pn_msg *)link)->kind > PN_MSG_REQUEST) {
        previous = link;
        link = link->next;
    }
    pn_msg *msg = unlink_after(&actor->mailbox, previous);
    actor->dropped_count++;
    release_places(actor, 1);
    pn_count(&actor->worker->counts.dropped);
    pn_runtime_dead_letter(actor->worker, msg, PN_EMAILBOX_FULL);
    pn_msg_destroy(actor->worker, msg, PN_EMAILBOX_FULL);
}

static inline void post_user(pn_actor *actor, pn_msg *msg) {
    pn_queue_push(&actor->mailbox, &msg->link);
    actor->arrived_count++;
    actor->user_count++;
    if (PN_UNLIKELY(actor->user_count > actor->capacity)) drop_oldest(actor);
    if (actor->is_waiting) pn_actor_wake(actor);
}

static void post_system(pn_actor *actor, pn_msg *msg) {
    pn_queue_push(&actor->mailbox, &msg->link);
    actor->arrived_count++;
    actor->system_count++;
    if (actor->is_waiting) pn_actor_wake(actor);
}

static int refuse(pn_worker *worker, pn_actor *from, pn_overflow overflow, pn_msg *msg, int err) {
    if (err == PN_ENOPROC || overflow == PN_OVERFLOW_REJECT || overflow == PN_OVERFLOW_BLOCK) {
        return err;
    }
    if (from != NULL) from->sent_count++;
    pn_count(&worker->counts.sent);
    pn_count(&worker->counts.dropped);
    pn_runtime_dead_letter(worker, msg, PN_EMAILBOX_FULL);
    pn_msg_destroy(worker, msg, PN_EMAILBOX_FULL);
    return 0;
}

/* A request that comes back to an actor none of whose tasks could ever take it is a cycle. */
static bool is_cycle(const pn_actor *actor, const pn_msg *msg) {
    if (PN_LIKELY(msg->kind != PN_MSG_REQUEST)) return false;
    for (const pn_call *call = msg->call; call != NULL; call = call->parent) {
        if (call->caller == actor->pid) return !actor->behaviour->can_receive(actor, msg->call);
    }
    return false;
}

static void deliver_user(pn_actor *actor, pn_msg *msg) {
    if (PN_UNLIKELY(is_cycle(actor, msg))) {
        pn_slot_release(actor->slot, 1);
        pn_count(&actor->worker->counts.received);
        pn_msg_destroy(actor->worker, msg, PN_ECALL_CYCLE);
        return;
    }
    post_user(actor, msg);
}

int pn_actor_send(pn_worker *worker, pn_actor *from, pn_pid to, pn_msg *msg) {
    pn_slot *slot = pn_slots_of(&worker->runtime->slots, to);
    if (PN_UNLIKELY(slot == NULL)) return PN_ENOPROC;
    msg->to = to;
    msg->from = from != NULL ? from->pid : 0;
    pn_overflow overflow = atomic_load_explicit(&slot->overflow, memory_order_relaxed);
    uint32_t limit = atomic_load_explicit(&slot->capacity, memory_order_relaxed);
    if (overflow == PN_OVERFLOW_DROP_OLDEST) limit *= PN_DROP_OLDEST_IN_FLIGHT;
    int err = pn_slot_reserve(slot, pn_pid_generation(to), limit);
    if (PN_UNLIKELY(err != 0)) return refuse(worker, from, overflow, msg, err);
    if (from != NULL) from->sent_count++;
    pn_count(&worker->counts.sent);
    if (atomic_load_explicit(&slot->worker, memory_order_relaxed) == worker->index &&
        slot->actor != NULL) {
        deliver_user(slot->actor, msg);
    } else {
        pn_worker_route(worker, msg);
    }
    return 0;
}

bool pn_actor_may_block(pn_worker *worker, pn_pid to, uint32_t *timeout_ms) {
    pn_slot *slot = pn_slots_of(&worker->runtime->slots, to);
    if (slot == NULL) return false;
    pn_overflow overflow = atomic_load_explicit(&slot->overflow, memory_order_relaxed);
    *timeout_ms = atomic_load_explicit(&slot->block_timeout_ms, memory_order_relaxed);
    return pn_slot_is(slot, to) && overflow == PN_OVERFLOW_BLOCK;
}

void pn_actor_await_space(pn_actor *self, pn_pid to) { signal_to(self, to, PN_MSG_AWAIT_SPACE, 0); }

pn_msg *pn_actor_take_after(pn_actor *self, pn_msg *previous) {
    pn_msg *msg = unlink_after(&self->mailbox, previous != NULL ? &previous->link : NULL);
    self->received_count++;
    if (PN_LIKELY(msg->kind <= PN_MSG_REQUEST)) {
        release_places(self, 1);
        pn_count(&self->worker->counts.received);
    } else {
        self->system_count--;
    }
    return msg;
}

pn_msg *pn_actor_receive(pn_actor *self) {
    return pn_queue_empty(&self->mailbox) ? NULL : pn_actor_take_after(self, NULL);
}

/* ---- links, monitors, exits ---- */

void pn_actor_link(pn_actor *self, pn_pid to) {
    if (to == self->pid || pn_map_get(&self->links, to) != NULL) return;
    if (pn_map_set(&self->links, to, 1) != 0) {
        /* A link that is not there would be a silent lie. */
        pn_actor_end(self, pn_exit_no_memory());
        return;
    }
    signal_to(self, to, PN_MSG_LINK, 0);
}

void pn_actor_unlink(pn_actor *self, pn_pid to) {
    if (pn_map_remove(&self->links, to, NULL)) signal_to(self, to, PN_MSG_UNLINK, 0);
}

int pn_actor_monitor(pn_actor *self, pn_pid to, uint64_t *ref) {
    *ref = pn_worker_next_ref(self->worker);
    int err = pn_map_set(&self->watched, *ref, to);
    if (err == 0) signal_to(self, to, PN_MSG_MONITOR, *ref);
    return err;
}

/* Also takes back a `down` that has arrived and was not received yet. */
bool pn_actor_demonitor(pn_actor *self, uint64_t ref) {
    uint64_t to;
    if (pn_map_remove(&self->watched, ref, &to)) {
        signal_to(self, to, PN_MSG_DEMONITOR, ref);
        return true;
    }
    pn_msg *previous = NULL;
    for (pn_link *l = self->mailbox.head; l != NULL; previous = (pn_msg *)l, l = l->next) {
        pn_msg *msg = (pn_msg *)l;
        if (msg->kind != PN_MSG_DOWN || msg->extra != ref) continue;
        pn_msg_destroy(self->worker, pn_actor_take_after(self, previous), 0);
        return true;
    }
    return false;
}

void pn_actor_exit_signal(pn_worker *worker, pn_actor *from, pn_pid to, pn_exit *exit) {
    pn_msg *msg = pn_msg_must_create(worker, PN_MSG_SIGNAL_EXIT);
    msg->to = to;
    msg->from = from != NULL ? from->pid : 0;
    msg->exit = exit;
    msg->extra = 1;
    pn_worker_route(worker, msg);
}

void pn_actor_ask(pn_actor *self, pn_pid to, pn_ask_fn ask, uint64_t ref) {
    pn_msg *msg = pn_msg_must_create(self->worker, PN_MSG_ASK);
    msg->to = to;
    msg->from = self->pid;
    msg->ask = ask;
    msg->extra = ref;
    pn_worker_route(self->worker, msg);
}

/* `actor` is NULL when it is gone. */
static void answer_ask(pn_worker *worker, const pn_actor *actor, pn_msg *msg) {
    pn_msg *reply = pn_msg_must_create(worker, PN_MSG_REPLY);
    reply->to = msg->from;
    reply->from = msg->to;
    reply->ref = msg->extra;
    int code = actor != NULL ? msg->ask(worker, actor, reply) : PN_ENOPROC;
    reply->extra = (uint64_t)(int64_t)code;
    pn_msg_free(worker, msg);
    pn_worker_route(worker, reply);
}

static void on_exit_signal(pn_actor *actor, pn_msg *msg) {
    bool by_hand = msg->extra != 0;
    bool ignored = !by_hand && !pn_map_remove(&actor->links, msg->from, NULL);
    bool kills = by_hand && msg->exit->is_kill;
    if (!ignored && !kills && actor->traps_exit) {
        msg->kind = PN_MSG_EXIT;
        post_system(actor, msg);
        return;
    }
    if (!ignored && !msg->exit->is_normal) pn_actor_end(actor, pn_exit_grab(msg->exit));
    pn_msg_destroy(actor->worker, msg, 0);
}

static void on_down(pn_actor *actor, pn_msg *msg) {
    if (pn_map_remove(&actor->watched, msg->extra, NULL)) {
        post_system(actor, msg);
    } else {
        pn_msg_destroy(actor->worker, msg, 0);
    }
}

static void on_tie(pn_actor *actor, pn_msg *msg) {
    bool is_link = msg->kind == PN_MSG_LINK;
    int err = is_link ? pn_map_set(&actor->links, msg->from, 1)
                      : pn_map_set(&actor->watchers, msg->ref, msg->from);
    if (err != 0) pn_actor_end(actor, pn_exit_no_memory());
    pn_msg_free(actor->worker, msg);
}

static void on_await_space(pn_actor *actor, pn_msg *msg) {
    pn_queue_push(&actor->space_waiters, &msg->link);
    notify_space(actor, room_of(actor));
}

static void deliver_alive(pn_actor *actor, pn_msg *msg) {
    switch ((pn_msg_kind)msg->kind) {
    case PN_MSG_USER:
    case PN_MSG_REQUEST: deliver_user(actor, msg); return;
    case PN_MSG_REPLY:
    case PN_MSG_STREAM:
    case PN_MSG_SPACE: actor->behaviour->accept(actor, msg); return;
    case PN_MSG_DOWN: on_down(actor, msg); return;
    case PN_MSG_SIGNAL_EXIT: on_exit_signal(actor, msg); return;
    case PN_MSG_LINK:
    case PN_MSG_MONITOR: on_tie(actor, msg); return;
    case PN_MSG_UNLINK: pn_map_remove(&actor->links, msg->from, NULL); break;
    case PN_MSG_DEMONITOR: pn_map_remove(&actor->watchers, msg->ref, NULL); break;
    case PN_MSG_AWAIT_SPACE: on_await_space(actor, msg); return;
    case PN_MSG_ASK: answer_ask(actor->worker, actor, msg); return;
    case PN_MSG_EXIT:
    case PN_MSG_BIRTH: pn_unreachable();
    }
    pn_msg_free(actor->worker, msg);
}

/* The actor it was meant for is gone. */
static void deliver_dead(pn_worker *worker, pn_msg *msg) {
    pn_msg_kind answer;
    switch ((pn_msg_kind)msg->kind) {
    case PN_MSG_USER:
    case PN_MSG_REQUEST:
        pn_runtime_dead_letter(worker, msg, PN_EEXITED);
        pn_msg_destroy(worker, msg, PN_EEXITED);
        return;
    case PN_MSG_LINK: answer = PN_MSG_SIGNAL_EXIT; break;
    case PN_MSG_MONITOR: answer = PN_MSG_DOWN; break;
    case PN_MSG_AWAIT_SPACE: answer = PN_MSG_SPACE; break;
    case PN_MSG_ASK: answer_ask(worker, NULL, msg); return;
    case PN_MSG_STREAM:
        if (msg->aux == PN_STREAM_OP_OPEN) {
            pn_msg_refuse_stream(worker, msg, PN_EEXITED);
        } else {
            pn_msg_destroy(worker, msg, PN_EEXITED); /* the other end has been told */
        }
        return;
    default: pn_msg_destroy(worker, msg, 0); return;
    }
    pn_pid asker = msg->from;
    uint64_t ref = msg->ref;
    msg->kind = (uint8_t)answer;
    msg->from = msg->to;
    msg->to = asker;
    msg->extra = answer == PN_MSG_DOWN ? ref : 0;
    if (answer != PN_MSG_SPACE) msg->exit = pn_exit_noproc();
    pn_worker_route(worker, msg);
}

void pn_actor__deliver(pn_worker *worker, pn_msg *msg) {
    if (PN_UNLIKELY(msg->kind == PN_MSG_BIRTH)) {
        on_birth(worker, msg);
        return;
    }
    pn_slot *slot = pn_slots_of(&worker->runtime->slots, msg->to);
    if (slot == NULL || !pn_slot_is(slot, msg->to)) {
        deliver_dead(worker, msg);
    } else if (PN_UNLIKELY(slot->actor == NULL)) {
        pn_queue_push(&worker->unborn, &msg->link);
    } else {
        deliver_alive(slot->actor, msg);
    }
}

/* Again, in order: those whose actor has been born, or will not be. */
void pn_actor__deliver_unborn(pn_worker *worker) {
    pn_queue waiting = worker->unborn;
    pn_link *link;
    pn_queue_init(&worker->unborn);
    while ((link = pn_queue_pop(&waiting)) != NULL) pn_actor__deliver(worker, (pn_msg *)link);
}

/* ---- names ---- */

int pn_actor_register(pn_actor *self, const char *name) {
    pn_runtime *runtime = self->worker->runtime;
    size_t size = strlen(name);
    if (size == 0 || size > PN_NAME_MAX_BYTES) return PN_EBAD_VALUE;
    if (self->name != NULL) return strcmp(self->name, name) == 0 ? 0 : PN_EEXISTS;
    char *copy = copy_name(&runtime->shared, name);
    if (copy == NULL) return PN_ENOMEM;
    int err = pn_names_set(&runtime->names, copy, self->pid);
    if (err != 0) {
        free_name(&runtime->shared, copy);
        return err;
    }
    self->name = copy;
    return 0;
}

bool pn_actor_unregister(pn_actor *self) {
    if (self->name == NULL) return false;
    give_name_up(&self->worker->runtime->names, self->name, self->is_member, self->pid);
    self->is_member = false;
    free_name(&self->worker->runtime->shared, self->name);
    self->name = NULL;
    return true;
}
