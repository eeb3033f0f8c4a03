#include "core/worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/runtime.h"

#define BATCH            64     /* actors between two looks at the inbox and the clock */
#define POLL_INTERVAL_NS 500000 /* libuv and the wheel are polled at least this often */
#define POLL_BATCHES     16     /* ... and in virtual time, which real time must not tell on */
#define OUTBOX_BATCH     64     /* messages that wait for a worker at most */
#define SPIN_NS          50000  /* the longest spin before a sleep */
#define SPIN_WORTH_MAX   64
#define STACK_BYTES      ((size_t)8 << 20)
#define STACK_BASE       ((char *)0x7ea000000000) /* seeded runs: stacks at fixed addresses */

/* The only thread-local of the runtime: who am I, for signal handlers and allocation doors. */
static _Thread_local pn_worker *this_worker;

pn_worker *pn_worker_self(void) { return this_worker; }

uint64_t pn_worker_next_ref(pn_worker *worker) {
    return ++worker->ref_count * PN_WORKERS_MAX + worker->index;
}

/* ---- slots ---- */

int pn_worker_take_slot(pn_worker *worker, unsigned home, pn_slot **taken) {
    pn_slots *slots = &worker->runtime->slots;
    int err = worker->free_slots == 0 ? pn_slots_grow(slots, &worker->free_slots) : 0;
    if (err != 0) return err;
    pn_slot *slot = pn_slots_at(slots, worker->free_slots - 1);
    worker->free_slots = slot->next_free;
    atomic_store_explicit(&slot->worker, (uint16_t)home, memory_order_relaxed);
    *taken = slot;
    return 0;
}

void pn_worker_return_slot(pn_worker *worker, pn_slot *slot) {
    if (pn_slot_generation(slot) >> PN_PID_GENERATION_BITS != 0) return; /* used up */
    slot->next_free = worker->free_slots;
    worker->free_slots = slot->index + 1;
}

/* ---- messages between workers ---- */

/* Once for each sleep, by whoever comes first. */
static void rouse(pn_worker *worker) {
    if (atomic_load(&worker->is_asleep) && atomic_exchange(&worker->is_asleep, false)) {
        uv_async_send(&worker->wake);
    }
}

/* Pushes a chain (newest first) to a worker's inbox and wakes it if it sleeps. */
static void push_chain(pn_worker *to, pn_msg *newest, pn_msg *oldest) {
    pn_msg *head = atomic_load_explicit(&to->inbox, memory_order_relaxed);
    do {
        oldest->link.next = (pn_link *)head;
    } while (!atomic_compare_exchange_weak_explicit(&to->inbox, &head, newest, memory_order_seq_cst,
                                                    memory_order_relaxed));
    rouse(to);
}

static void flush_outbox(pn_worker *worker, unsigned index) {
    pn_outbox *box = &worker->outboxes[index];
    worker->outbox_mask &= ~(1ULL << index);
    push_chain(&worker->runtime->workers[index], box->newest, box->oldest);
    *box = (pn_outbox){NULL, NULL, 0};
}

void pn_worker_flush(pn_worker *worker) {
    while (worker->outbox_mask != 0) {
        flush_outbox(worker, (unsigned)__builtin_ctzll(worker->outbox_mask));
    }
}

static void post_to(pn_worker *worker, unsigned index, pn_msg *msg) {
    pn_outbox *box = &worker->outboxes[index];
    msg->link.next = (pn_link *)box->newest;
    box->newest = msg;
    if (box->oldest == NULL) box->oldest = msg;
    worker->outbox_mask |= 1ULL << index;
    if (++box->count >= OUTBOX_BATCH) flush_outbox(worker, index);
}

void pn_worker_route(pn_worker *worker, pn_msg *msg) {
    pn_slot *slot = pn_slots_of(&worker->runtime->slots, msg->to);
    unsigned home =
        slot != NULL ? atomic_load_explicit(&slot->worker, memory_order_relaxed) : worker->index;
    if (home == worker->index) {
        pn_actor__deliver(worker, msg);
    } else {
        post_to(worker, home, msg);
    }
}

static pn_msg *reverse(pn_msg *newest) {
    pn_msg *oldest = NULL;
    while (newest != NULL) {
        pn_msg *next = (pn_msg *)newest->link.next;
        newest->link.next = (pn_link *)oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void run_jobs(pn_worker *worker, _Atomic(pn_job *) *jobs) {
    if (atomic_load_explicit(jobs, memory_order_relaxed) == NULL) return;
    pn_job *job = atomic_exchange(jobs, NULL), *first = NULL;
    while (job != NULL) { /* into the order of posting */
        pn_job *next = job->next;
        job->next = first;
        first = job;
        job = next;
    }
    while (first != NULL) {
        pn_job *next = first->next; /* the job's memory may go with its run */
        first->run(worker, first->context);
        first = next;
    }
}

void pn_worker_drain(pn_worker *worker) {
    run_jobs(worker, &worker->urgent_jobs);
    if (PN_UNLIKELY(!pn_queue_empty(&worker->unborn))) pn_actor__deliver_unborn(worker);
    if (atomic_load_explicit(&worker->inbox, memory_order_relaxed) == NULL) return;
    pn_msg *msg = reverse(atomic_exchange_explicit(&worker->inbox, NULL, memory_order_acquire));
    while (msg != NULL) {
        pn_msg *next = (pn_msg *)msg->link.next;
        pn_actor__deliver(worker, msg);
        msg = next;
    }
}

static void post_job(pn_worker *worker, _Atomic(pn_job *) *jobs, pn_job *job) {
    pn_job *head = atomic_load(jobs);
    do {
        job->next = head;
    } while (!atomic_compare_exchange_weak(jobs, &head, job));
    rouse(worker);
}

void pn_worker_post(pn_worker *worker, pn_job *job) { post_job(worker, &worker->jobs, job); }

void pn_worker_post_urgent(pn_worker *worker, pn_job *job) {
    post_job(worker, &worker->urgent_jobs, job);
}

/* ---- the loop ---- */

static void begin_turn(pn_worker *worker) {
    atomic_store_explicit(&worker->turn,
                          atomic_load_explicit(&worker->turn, memory_order_relaxed) + 1,
                          memory_order_release);
}

static inline void end_turn(pn_worker *worker) { begin_turn(worker); }

/* Each end is a turn of its own: scripts still run in it (close variables, finalizers). */
static void reap_ended(pn_worker *worker) {
    pn_list *link;
    while ((link = pn_list_pop(&worker->ended)) != NULL) {
        pn_actor *actor = PN_CONTAINER(link, pn_actor, run_link);
        worker->current = actor;
        begin_turn(worker);
        pn_actor__reap(actor);
        end_turn(worker);
    }
}

static void run_one(pn_worker *worker, pn_actor *actor) {
    worker->current = actor;
    actor->turn_count++;
    begin_turn(worker);
    actor->behaviour->run(actor);
    end_turn(worker);
    worker->current = NULL;
    if (PN_UNLIKELY(!pn_list_empty(&worker->ended))) reap_ended(worker);
    if (worker->outbox_mask != 0) pn_worker_flush(worker);
}

static bool is_tick(pn_worker *worker) {
    return PN_UNLIKELY(atomic_load_explicit(&worker->tick, memory_order_relaxed));
}

/* Returns the actor whose turn was ended by a tick, where it has more to do: it is the last of the
 * run queue. */
static pn_actor *run_batch(pn_worker *worker) {
    pn_list *link = NULL;
    for (int i = 0; i < BATCH && !is_tick(worker); i++) {
        link = pn_list_pop(&worker->run_queue);
        if (link == NULL) break;
        worker->run_count--;
        run_one(worker, PN_CONTAINER(link, pn_actor, run_link));
    }
    atomic_store_explicit(&worker->load, worker->run_count, memory_order_relaxed);
    bool is_cut = is_tick(worker) && link != NULL && worker->run_queue.prev == link;
    return is_cut ? PN_CONTAINER(link, pn_actor, run_link) : NULL;
}

static void poll_now(pn_worker *worker) {
    atomic_store_explicit(&worker->tick, false, memory_order_relaxed);
    begin_turn(worker); /* callbacks are watched, too; a wait that blocks is no turn, see idle */
    pn_io_turn(&worker->io, 0);
    end_turn(worker);
}

/* Whom the poll and the inbox find ready comes before the actor whose turn was cut short: behind
 * it, in the run queue, it would wait for another slice. */
static void poll_after(pn_worker *worker, pn_actor *cut_short) {
    if (cut_short != NULL) {
        pn_list_remove(&cut_short->run_link);
        worker->run_count--;
    }
    poll_now(worker);
    if (cut_short != NULL) pn_worker_drain(worker);
    if (cut_short != NULL && cut_short->exit == NULL) pn_actor_wake(cut_short);
}

static bool has_mail(pn_worker *worker) {
    return atomic_load(&worker->inbox) != NULL || atomic_load(&worker->jobs) != NULL ||
           atomic_load(&worker->urgent_jobs) != NULL;
}

static bool is_runnable(const pn_worker *worker) {
    return !pn_list_empty(&worker->run_queue) || !pn_list_empty(&worker->ended);
}

/* True when work came. Spinning is kept up only while it pays. */
static bool spin(pn_worker *worker) {
    pn_runtime *runtime = worker->runtime;
    bool has_io = worker->io.loop.active_handles > 1; /* more than our own async */
    if (runtime->worker_count == 1 || runtime->options.no_spin || has_io ||
        atomic_load_explicit(&runtime->is_measuring, memory_order_relaxed)) {
        return false;
    }
    if (worker->spin_worth == 0 && (++worker->idle_count & 63) != 0) return false;
    uint64_t start = pn_clock_real_ns(), now = start;
    bool found = false;
    while (!found && now - start < SPIN_NS) {
        for (int i = 0; i < 32 && !found; i++) {
            __builtin_ia32_pause();
            found = has_mail(worker);
        }
        now = pn_clock_real_ns();
    }
    if (found) {
        worker->spin_worth =
            worker->spin_worth + 8 > SPIN_WORTH_MAX ? SPIN_WORTH_MAX : worker->spin_worth + 8;
    } else if (worker->spin_worth > 0) {
        worker->spin_worth--;
    }
    return found;
}

/* Nothing to run: spin a little, then wait in libuv for I/O, a timer or a message. */
static void idle(pn_worker *worker) {
    if (spin(worker)) return;
    atomic_store(&worker->is_asleep, true);
    uint64_t wait_ms = has_mail(worker) ? 0 : UINT64_MAX;
    pn_io_turn(&worker->io, wait_ms);
    atomic_store(&worker->is_asleep, false);
    pn_watchdog_rouse(&worker->runtime->watchdog);
}

static void end_all(pn_worker *worker) {
    for (pn_list *l = worker->all.next; l != &worker->all; l = l->next) {
        pn_actor_end(PN_CONTAINER(l, pn_actor, sibling), pn_exit_shutdown());
    }
}

static bool may_leave(pn_worker *worker) {
    return atomic_load(&worker->is_stopping) && worker->actor_count == 0 &&
           atomic_load(&worker->runtime->actors_alive) == 0 && !has_mail(worker);
}

/* Is it time to poll, while there is something to run? */
static bool wants_poll(pn_worker *worker, uint64_t now, uint64_t polled_ns, unsigned *batches) {
    if (worker->runtime->options.is_virtual) return ++*batches % POLL_BATCHES == 0;
    return now - polled_ns >= POLL_INTERVAL_NS || is_tick(worker);
}

static void loop(pn_worker *worker) {
    uint64_t polled_ns = pn_clock_real_ns();
    unsigned batches = 0;
    bool is_ending = false;
    while (!may_leave(worker)) {
        pn_worker_drain(worker);
        run_jobs(worker, &worker->jobs);
        if (PN_UNLIKELY(atomic_load_explicit(&worker->is_stopping, memory_order_relaxed)) &&
            !is_ending) {
            is_ending = true;
            end_all(worker);
        }
        reap_ended(worker);
        pn_actor *cut_short = run_batch(worker);
        if (worker->outbox_mask != 0) pn_worker_flush(worker);
        if (!is_runnable(worker)) {
            if (has_mail(worker) || may_leave(worker)) continue;
            idle(worker);
            polled_ns = pn_clock_real_ns();
            continue;
        }
        uint64_t now = pn_clock_real_ns();
        if (!wants_poll(worker, now, polled_ns, &batches)) continue;
        poll_after(worker, cut_short);
        polled_ns = now;
    }
}

static void *thread_main(void *argument) {
    pn_worker *worker = argument;
    this_worker = worker;
    char name[16];
    snprintf(name, sizeof name, "pn-worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    loop(worker);
    this_worker = NULL;
    return NULL;
}

static void on_wake(uv_async_t *async) { (void)async; /* it only ends the wait */ }

/* libuv runs its due timers before it polls: if that made work, the poll must not wait. */
static void on_before_poll(uv_prepare_t *prepare) {
    const pn_worker *worker = PN_CONTAINER(prepare, pn_worker, before_poll);
    if (is_runnable(worker)) uv_stop(prepare->loop);
}

static void open_before_poll(pn_worker *worker) {
    uv_prepare_init(&worker->io.loop, &worker->before_poll); /* cannot fail, as starting it */
    uv_prepare_start(&worker->before_poll, on_before_poll);
    uv_unref((uv_handle_t *)&worker->before_poll);
}

/* ---- life ---- */

int pn_worker__init(pn_worker *worker, pn_runtime *runtime, unsigned index) {
    memset(worker, 0, sizeof *worker);
    worker->runtime = runtime;
    worker->index = index;
    worker->spin_worth = SPIN_WORTH_MAX / 2;
    pn_list_init(&worker->run_queue);
    pn_list_init(&worker->ended);
    pn_list_init(&worker->all);
    pn_queue_init(&worker->unborn);
    pn_pool_init(&worker->pool, runtime->heap);
    pn_ledger_init(&worker->ledger, "worker", &worker->pool);
    pn_ledger_init(&worker->messages, "messages", &worker->pool);
    pn_ledger_init(&worker->actors, "actors", &worker->pool);
    pn_buf_init(&worker->scratch, &worker->ledger.door);
    worker->scratch.limit_bytes = PN_MSG_MAX_BYTES;
    worker->outboxes =
        pn_mem_try_zeroed(&worker->ledger, runtime->worker_count * sizeof *worker->outboxes);
    if (worker->outboxes == NULL) return PN_ENOMEM;
    worker->metrics = pn_metrics_shard_create(runtime->metrics, &worker->ledger);
    int err = worker->metrics != NULL ? 0 : PN_ENOMEM;
    if (err == 0) err = pn_io_init(&worker->io, &runtime->clock, &worker->ledger);
    if (err == 0) {
        err = uv_async_init(&worker->io.loop, &worker->wake, on_wake);
        if (err == 0) {
            open_before_poll(worker);
            return 0;
        }
        pn_io_close(&worker->io);
    }
    if (worker->metrics != NULL) pn_metrics_shard_destroy(worker->metrics);
    pn_mem_free(&worker->ledger, worker->outboxes,
                runtime->worker_count * sizeof *worker->outboxes);
    return err;
}

/* Seeded runs want the worker's stack at the same place in every process. */
static void *fixed_stack(pn_worker *worker, pthread_attr_t *attributes) {
    char *at = STACK_BASE + worker->index * (STACK_BYTES * 2);
    for (int tries = 0; tries < 1024; tries++, at += STACK_BYTES * 2 * PN_WORKERS_MAX) {
        void *stack =
            mmap(at, STACK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) continue;
        pthread_attr_setstack(attributes, stack, STACK_BYTES);
        return stack;
    }
    return NULL;
}

int pn_worker__start(pn_worker *worker) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (worker->runtime->options.is_seeded) worker->stack = fixed_stack(worker, &attributes);
    sigset_t all, old; /* workers take no signal but the watchdog's */
    sigfillset(&all);
    sigdelset(&all, SIGURG);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = -pthread_create(&worker->thread, &attributes, thread_main, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return err;
}

/* After the thread has ended (or never began), on the embedder's thread. */
void pn_worker__close(pn_worker *worker) {
    pn_runtime *runtime = worker->runtime;
    pn_worker_drain(worker); /* what arrived too late for anybody */
    pn_worker_flush(worker);
    pn_assert(pn_list_empty(&worker->all));
    for (int i = 0; i < PN_SERVICES; i++) {
        pn_service *service = &worker->services[i];
        if (service->object != NULL) service->close(service->object);
    }
    uv_close((uv_handle_t *)&worker->wake, NULL);
    uv_close((uv_handle_t *)&worker->before_poll, NULL);
    pn_io_close(&worker->io);
    pn_metrics_shard_destroy(worker->metrics);
    pn_buf_close(&worker->scratch);
    pn_mem_free(&worker->ledger, worker->outboxes,
                runtime->worker_count * sizeof *worker->outboxes);
    if (worker->stack != NULL) munmap(worker->stack, STACK_BYTES);
    pn_assert(pn_ledger_live(&worker->ledger) == 0);
    pn_assert(pn_ledger_live(&worker->actors) == 0);
}
