/*
 * actor.h - an actor: a mailbox, a behaviour, links and monitors, and a ledger.
 *
 * The core knows a behaviour as a table of functions: lua/ implements one, the C tests another. An
 * actor lives on one worker and everything here but pn_actor_spawn and the senders' side runs on
 * that worker's thread.
 *
 * Life: born (its slot is taken, `start` is called on its worker), run (whenever a message waits
 * for a receiver or a task is ready), ended (pn_actor_end: from here on sends fail with noproc),
 * reaped (by the worker's loop, never inside another actor's turn, so a tree of any depth dies
 * without recursion: `stop` is called, links and monitors are told, what is left in the mailbox
 * becomes dead letters).
 *
 * Order: what one actor sends to another arrives in order, signals included. A kill and an
 * untrapped exit act when they arrive, past what waits in the mailbox; `down` and trapped exits go
 * through the mailbox but do not count against it.
 */
#ifndef PN_CORE_ACTOR_H
#define PN_CORE_ACTOR_H

#include "base/list.h"
#include "base/map.h"
#include "core/call.h"
#include "core/exit.h"
#include "core/msg.h"
#include "core/slot.h"

#define PN_MAILBOX_CAPACITY_DEFAULT 1024
#define PN_MAILBOX_CAPACITY_MAX     (1u << 24)
#define PN_BLOCK_TIMEOUT_MS_DEFAULT 5000
/* Times the capacity may be under way to a drop_oldest mailbox. */
#define PN_DROP_OLDEST_IN_FLIGHT 4
#define PN_NAME_MAX_BYTES        255

typedef struct pn_runtime pn_runtime;

typedef struct pn_behaviour {
    const char *name;
    /* On the actor's worker, once, before the first run. Owns `argument`. A negative code ends the
     * actor with reason error; `stop` is then not called. */
    int (*start)(pn_actor *actor, void *argument);
    /* The argument of an actor that is never started. */
    void (*discard)(pn_worker *worker, void *argument);
    /* A turn: run ready tasks and take messages, a bounded amount; call pn_actor_wake for more. */
    void (*run)(pn_actor *actor);
    /* A message for a waiting task (REPLY, STREAM, SPACE). Owns it. Not a turn: no task runs in
     * here. */
    void (*accept)(pn_actor *actor, pn_msg *msg);
    /* The turn has outlived its slice. Called in a signal handler on the worker's own thread. */
    void (*interrupt)(pn_actor *actor);
    /* What is running, for the watchdog: as `interrupt`, at most `room` bytes with the NUL. */
    void (*describe)(pn_actor *actor, char *text, size_t room);
    /* Could any task of the actor, other than those that wait in this chain of calls, receive? */
    bool (*can_receive)(const pn_actor *actor, const pn_call *chain);
    /* The actor has ended: give back everything. actor->exit says why. What is still in the hands
     * of others may make it linger: everybody is told of its end, but it is asked again to stop,
     * after pn_actor_reap_again. */
    void (*stop)(pn_actor *actor);
} pn_behaviour;

struct pn_actor {
    pn_list run_link; /* in the run queue, or in the list of the ended */
    bool is_waiting;  /* a receiver waits: a message wakes the actor */
    bool traps_exit;
    bool is_started;
    bool lingers;   /* set by stop: something of it is still in use */
    bool is_told;   /* everybody has been told of its end */
    bool is_member; /* of the group of its name */
    uint8_t overflow;
    uint32_t capacity;
    pn_pid pid;
    pn_worker *worker;
    pn_slot *slot;
    const pn_behaviour *behaviour;
    void *state;   /* the behaviour's */
    pn_exit *exit; /* set once it has ended */
    char *name;    /* registered name, owned; NULL */
    pn_queue mailbox;
    uint32_t user_count; /* messages in the mailbox that count */
    uint32_t system_count;
    pn_list sibling; /* in the worker's list of all */
    uint64_t entity; /* key of its random streams */
    uint64_t child_count;
    pn_pid parent;
    pn_map links;            /* pid -> 1 */
    pn_map watchers;         /* ref -> pid that monitors us */
    pn_map watched;          /* ref -> pid that we monitor */
    pn_queue space_waiters;  /* AWAIT_SPACE messages of senders that wait for room */
    uint64_t arrived_count;  /* messages put into the mailbox */
    uint64_t received_count; /* messages taken out of it */
    uint64_t dropped_count;  /* ... and dropped as the oldest */
    uint64_t sent_count, turn_count;
    pn_ledger ledger;
};

typedef struct pn_spawn {
    const pn_behaviour *behaviour;
    void *argument; /* owned by the spawn, whatever its result */
    const char *name;
    bool is_member; /* the name is a group's (core/names.h), which it joins */
    bool link, monitor;
    int on; /* worker, or -1: where the spawner is unless that is clearly more loaded */
    uint64_t memory_limit_bytes; /* 0: none */
    uint32_t capacity;           /* 0: the default */
    pn_overflow overflow;
    uint32_t block_timeout_ms; /* 0: the default */
} pn_spawn;

/* On `worker`'s thread; `parent` may be NULL. 0, PN_ENAME_TAKEN, PN_ENOPROC (no such group),
 * PN_ENOMEM, PN_ELIMIT (no slot), PN_ESTOPPED. */
int pn_actor_spawn(pn_worker *worker, pn_actor *parent, const pn_spawn *spawn, pn_pid *pid,
                   uint64_t *monitor_ref);

/* Puts it into the run queue, once. */
void pn_actor_wake(pn_actor *actor);

/* Ends it. The first reason stands. Takes over the reference. */
void pn_actor_end(pn_actor *actor, pn_exit *exit);

/* What an ended actor lingered for may be over. */
void pn_actor_reap_again(pn_actor *actor);

/* Sends a USER or REQUEST message. 0: consumed. PN_ENOPROC, PN_EMAILBOX_FULL (policies reject and
 * block): the message is still the caller's. `from` may be NULL. */
int pn_actor_send(pn_worker *worker, pn_actor *from, pn_pid to, pn_msg *msg);

/* May a sender wait for room in this mailbox, and how long? False when not, or when the actor is
 * gone. */
bool pn_actor_may_block(pn_worker *worker, pn_pid to, uint32_t *timeout_ms);

/* Asks for one SPACE message when `to` has room again or is gone. */
void pn_actor_await_space(pn_actor *self, pn_pid to);

/* Takes the first message out of the mailbox; NULL when empty. pn_actor_take takes a given one
 * after `previous` (NULL: the first). The caller owns it. */
pn_msg *pn_actor_receive(pn_actor *self);

/* To be called when a receiver begins to wait and the mailbox is empty: calls the senders that wait
 * for room, should those have gone that were called before. */
void pn_actor_call_senders(pn_actor *self);

/* How many have ever left the mailbox: who keeps a place in it compares. */
static inline uint64_t pn_actor_taken(const pn_actor *self) {
    return self->received_count + self->dropped_count;
}

pn_msg *pn_actor_take_after(pn_actor *self, pn_msg *previous);

/* Signals. `to` may be anybody, dead or alive. */
void pn_actor_link(pn_actor *self, pn_pid to);
void pn_actor_unlink(pn_actor *self, pn_pid to);
int pn_actor_monitor(pn_actor *self, pn_pid to, uint64_t *ref); /* PN_ENOMEM */
bool pn_actor_demonitor(pn_actor *self, uint64_t ref);          /* false: unknown */
void pn_actor_exit_signal(pn_worker *worker, pn_actor *from, pn_pid to, pn_exit *exit);

/* Names. PN_ENAME_TAKEN, PN_EBAD_VALUE (empty, too long), PN_EEXISTS (it has another name). */
int pn_actor_register(pn_actor *self, const char *name);
bool pn_actor_unregister(pn_actor *self);

/* Looks at another actor: a function is run on its worker, in order with what the asker sent it,
 * and puts what it finds into the reply (pn_msg_set_payload), which comes back to the asker as a
 * REPLY with `ref`. Its negative code is the reply's, PN_ENOPROC when the actor is gone. There is
 * always a reply. */
void pn_actor_ask(pn_actor *self, pn_pid to, pn_ask_fn ask, uint64_t ref);

/* For the worker. */
void pn_actor__deliver(pn_worker *worker, pn_msg *msg); /* `to` is one of ours, or dead */
void pn_actor__deliver_unborn(pn_worker *worker);
void pn_actor__reap(pn_actor *actor);
void pn_actor__discard_birth(pn_worker *worker, pn_msg *msg);

#endif
