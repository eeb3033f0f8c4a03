/*
 * wheel.c - the slots, and why their order needs no sequence numbers.
 *
 * Seven levels of slots over the 64 bits of a tick: 12, 12, then five times 8 bits. A timer lies at the
 * level of the highest bit in which its tick differs from now (Varghese and Lauck's scheme 7 with the
 * digits of the tick itself, not of the distance). So at any moment all timers of one tick lie in one
 * slot, in the order of their starts: those that came earlier from afar have come down before a later
 * one could be put there directly, because a slot comes down at the very tick at which now enters it,
 * and the levels below are empty then. Two wide levels first: a timer of up to 4.6 hours moves once.
 *
 * A bitmap tells which slots are in use and a second one which of its words are not zero, so finding the
 * next slot takes three words whatever the gap. Slots are not initialised before use: an idle wheel
 * takes a few pages. Timers for ticks already reached wait in `overdue`, those about to fire in `due`;
 * both are slots too, so that removal need not know where a timer is.
 *
 * The earliest timer of an upper slot: its first one while the slot's ticks only grew (time-outs of one
 * length), else it is searched and remembered until it is stopped.
 */
#include "core/wheel.h"

#include <string.h>

#define LOW_BITS   12 /* of levels 0 and 1 */
#define HIGH_BITS  8  /* of levels 2 to 6 */
#define LEVELS     7
#define LOW_SLOTS  (1u << LOW_BITS)
#define HIGH_SLOTS (1u << HIGH_BITS)
#define HIGH_BASE  (2 * LOW_SLOTS) /* the index of level 2's first slot */
#define TICK_SLOTS (HIGH_BASE + (LEVELS - 2) * HIGH_SLOTS)
#define OVERDUE    TICK_SLOTS
#define DUE        (TICK_SLOTS + 1)
#define SLOTS      (TICK_SLOTS + 64) /* in whole words */
#define WORDS      (SLOTS / 64)
#define GROUPS     3 /* of 64 words: level 0, level 1, the others */

_Static_assert(2 * LOW_BITS + (LEVELS - 2) * HIGH_BITS == 64, "the levels cover a tick");
_Static_assert(LOW_SLOTS == 64 * 64, "a group is a low level");
_Static_assert(WORDS <= GROUPS * 64, "every word has its group");

#define HIGH_WORDS_MASK ((1ULL << ((TICK_SLOTS - HIGH_BASE) / 64)) - 1) /* without overdue and due */

struct pn_wheel {
    uint64_t now_ms;
    uint64_t groups[GROUPS]; /* which words of `used` are not zero */
    size_t count;
    pn_timer *first; /* the earliest of the levels above 0; NULL: not known */
    pn_ledger *ledger;
    bool advancing;
    uint64_t used[WORDS];  /* which slots hold timers */
    uint64_t mixed[WORDS]; /* in which slots a later start has an earlier tick */
    pn_list slots[SLOTS];  /* undefined where not used */
};

static inline pn_timer *timer_of(pn_list *link) { return PN_CONTAINER(link, pn_timer, link); }

static inline bool is_used(const pn_wheel *wheel, unsigned i) {
    return (wheel->used[i / 64] >> (i % 64)) & 1;
}

static inline bool is_mixed(const pn_wheel *wheel, unsigned i) {
    return (wheel->mixed[i / 64] >> (i % 64)) & 1;
}

static inline void mark_used(pn_wheel *wheel, unsigned i) {
    wheel->used[i / 64] |= 1ULL << (i % 64);
    wheel->groups[i / 4096] |= 1ULL << (i / 64 % 64);
}

static inline void mark_empty(pn_wheel *wheel, unsigned i) {
    wheel->used[i / 64] &= ~(1ULL << (i % 64));
    wheel->mixed[i / 64] &= ~(1ULL << (i % 64));
    if (wheel->used[i / 64] == 0) wheel->groups[i / 4096] &= ~(1ULL << (i / 64 % 64));
}

/* The slot of a tick that is not before now. */
static inline unsigned slot_of(const pn_wheel *wheel, uint64_t at_ms) {
    uint64_t differing = at_ms ^ wheel->now_ms;
    if (differing < LOW_SLOTS) return (unsigned)at_ms % LOW_SLOTS;
    if (differing < (uint64_t)LOW_SLOTS * LOW_SLOTS) {
        return LOW_SLOTS + (unsigned)(at_ms >> LOW_BITS) % LOW_SLOTS;
    }
    unsigned top = 63 - (unsigned)__builtin_clzll(differing);
    unsigned level = (top - 2 * LOW_BITS) / HIGH_BITS; /* counted from level 2 */
    unsigned shift = 2 * LOW_BITS + level * HIGH_BITS;
    return HIGH_BASE + level * HIGH_SLOTS + (unsigned)(at_ms >> shift) % HIGH_SLOTS;
}

/* The first tick of a used slot of the levels above 0. */
static uint64_t slot_start(const pn_wheel *wheel, unsigned i) {
    unsigned shift = LOW_BITS, bits = LOW_BITS, digit = i - LOW_SLOTS;
    if (i >= HIGH_BASE) {
        bits = HIGH_BITS;
        shift = 2 * LOW_BITS + (i - HIGH_BASE) / HIGH_SLOTS * HIGH_BITS;
        digit = (i - HIGH_BASE) % HIGH_SLOTS;
    }
    uint64_t above = shift + bits < 64 ? wheel->now_ms >> (shift + bits) << (shift + bits) : 0;
    return above | (uint64_t)digit << shift;
}

/* The used slots of a level all lie after now's own, so the earliest is the lowest bit. */
static inline unsigned lowest_in(const pn_wheel *wheel, unsigned group, uint64_t words) {
    unsigned word = group * 64 + (unsigned)__builtin_ctzll(words);
    return word * 64 + (unsigned)__builtin_ctzll(wheel->used[word]);
}

/* The slot of the earliest timers above level 0; 0 when there are none. */
static unsigned lowest_upper(const pn_wheel *wheel) {
    if (wheel->groups[1] != 0) return lowest_in(wheel, 1, wheel->groups[1]);
    uint64_t words = wheel->groups[2] & HIGH_WORDS_MASK;
    return words != 0 ? lowest_in(wheel, 2, words) : 0;
}

static inline void append(pn_wheel *wheel, unsigned i, pn_timer *timer) {
    pn_list *slot = &wheel->slots[i];
    if (!is_used(wheel, i)) {
        pn_list_init(slot);
        mark_used(wheel, i);
    } else if (i >= LOW_SLOTS && timer->at_ms < timer_of(slot->prev)->at_ms) {
        wheel->mixed[i / 64] |= 1ULL << (i % 64);
    }
    pn_list_push(slot, &timer->link);
}

/* A node whose neighbours are the same one was alone with its slot. */
static inline void detach(pn_wheel *wheel, pn_timer *timer) {
    pn_list *next = timer->link.next, *prev = timer->link.prev;
    next->prev = prev;
    prev->next = next;
    timer->link.next = NULL; /* one store: a second one would cost a cancel 10 ns */
    if (next == prev) mark_empty(wheel, (unsigned)(next - wheel->slots));
    if (timer == wheel->first) wheel->first = NULL;
}

pn_wheel *pn_wheel_create(pn_ledger *ledger, uint64_t now_ms) {
    pn_wheel *wheel = pn_mem_try(ledger, sizeof *wheel);
    if (wheel == NULL) return NULL;
    memset(wheel, 0, offsetof(pn_wheel, slots));
    wheel->now_ms = now_ms;
    wheel->ledger = ledger;
    return wheel;
}

void pn_wheel_destroy(pn_wheel *wheel) {
    if (wheel == NULL) return;
    pn_assert(wheel->count == 0 && !wheel->advancing);
    pn_mem_free(wheel->ledger, wheel, sizeof *wheel);
}

void pn_timer_init(pn_timer *timer, pn_timer_fn fn) {
    *timer = (pn_timer){.fn = fn};
}

void pn_timer_start(pn_wheel *wheel, pn_timer *timer, uint64_t at_ms) {
    if (pn_timer_active(timer)) {
        detach(wheel, timer);
    } else {
        wheel->count++;
    }
    timer->at_ms = at_ms;
    unsigned i = at_ms > wheel->now_ms ? slot_of(wheel, at_ms) : OVERDUE;
    append(wheel, i, timer);
    if (i >= LOW_SLOTS && wheel->first != NULL && at_ms < wheel->first->at_ms && i != OVERDUE) {
        wheel->first = timer;
    }
}

bool pn_timer_stop(pn_wheel *wheel, pn_timer *timer) {
    if (!pn_timer_active(timer)) return false;
    detach(wheel, timer);
    wheel->count--;
    return true;
}

/* The whole slot joins what is due. */
static void make_due(pn_wheel *wheel, unsigned i) {
    if (!is_used(wheel, DUE)) {
        pn_list_init(&wheel->slots[DUE]);
        mark_used(wheel, DUE);
    }
    pn_list_splice(&wheel->slots[DUE], &wheel->slots[i]);
    mark_empty(wheel, i);
}

/* Now stands at the slot's first tick: its timers move to the levels below, which are empty. */
static void bring_down(pn_wheel *wheel, unsigned i) {
    pn_list *slot = &wheel->slots[i], *node = slot->next;
    wheel->first = NULL;
    while (node != slot) {
        pn_list *next = node->next;
        __builtin_prefetch(next->next);
        append(wheel, slot_of(wheel, timer_of(node)->at_ms), timer_of(node));
        node = next;
    }
    mark_empty(wheel, i);
}

/* Takes the run of growing ticks at the front of `from`. */
static void take_run(pn_list *from, pn_list *run) {
    pn_list_init(run);
    do {
        pn_list_push(run, pn_list_pop(from));
    } while (!pn_list_empty(from) && timer_of(from->next)->at_ms >= timer_of(run->prev)->at_ms);
}

/* Equal ticks: those of `a` first. */
static void merge(pn_list *a, pn_list *b, pn_list *out) {
    while (!pn_list_empty(a) && !pn_list_empty(b)) {
        pn_list *from = timer_of(b->next)->at_ms < timer_of(a->next)->at_ms ? b : a;
        pn_list_push(out, pn_list_pop(from));
    }
    pn_list_splice(out, a);
    pn_list_splice(out, b);
}

/* Natural merge sort, stable. */
static void sort(pn_list *list) {
    for (size_t runs = 2; runs > 1;) {
        pn_list out, a, b;
        pn_list_init(&out);
        for (runs = 0; !pn_list_empty(list); runs++) {
            take_run(list, &a);
            pn_list_init(&b);
            if (!pn_list_empty(list)) take_run(list, &b);
            merge(&a, &b, &out);
        }
        pn_list_splice(list, &out);
    }
}

/* Moves now to `to_ms`; whatever is due lies in DUE afterwards, in order. */
static void collect(pn_wheel *wheel, uint64_t to_ms) {
    if (is_used(wheel, OVERDUE)) {
        if (is_mixed(wheel, OVERDUE)) sort(&wheel->slots[OVERDUE]);
        make_due(wheel, OVERDUE);
    }
    for (;;) {
        uint64_t block = wheel->now_ms / LOW_SLOTS * LOW_SLOTS;
        while (wheel->groups[0] != 0) {
            unsigned i = lowest_in(wheel, 0, wheel->groups[0]);
            if (block + i > to_ms) break;
            make_due(wheel, i);
        }
        if (to_ms - block < LOW_SLOTS) break;
        unsigned i = lowest_upper(wheel);
        if (i == 0) break;
        uint64_t start_ms = slot_start(wheel, i);
        if (start_ms > to_ms) break;
        wheel->now_ms = start_ms;
        bring_down(wheel, i);
    }
    wheel->now_ms = to_ms;
}

size_t pn_wheel_advance(pn_wheel *wheel, uint64_t now_ms) {
    pn_assert(!wheel->advancing);
    wheel->advancing = true;
    collect(wheel, now_ms > wheel->now_ms ? now_ms : wheel->now_ms);
    size_t fired = 0;
    for (; is_used(wheel, DUE); fired++) {
        pn_timer *timer = timer_of(wheel->slots[DUE].next);
        detach(wheel, timer);
        wheel->count--;
        timer->fn(timer); /* the timer may be gone afterwards */
    }
    wheel->advancing = false;
    return fired;
}

/* Of equal ticks the last: in a flow of time-outs it is the one that is stopped last. */
static pn_timer *earliest_in(pn_wheel *wheel, unsigned i) {
    pn_list *slot = &wheel->slots[i];
    pn_timer *earliest = timer_of(slot->next);
    if (!is_mixed(wheel, i)) return earliest;
    for (pn_list *node = slot->next; node != slot; node = node->next) {
        if (timer_of(node)->at_ms <= earliest->at_ms) earliest = timer_of(node);
    }
    return earliest;
}

static uint64_t earliest_upper_ms(pn_wheel *wheel) {
    if (wheel->first == NULL) wheel->first = earliest_in(wheel, lowest_upper(wheel));
    return wheel->first->at_ms;
}

bool pn_wheel_next(const pn_wheel *wheel, uint64_t *at_ms) {
    pn_wheel *w = (pn_wheel *)wheel; /* only `first` changes, which is a cache */
    if (wheel->count == 0) return false;
    uint64_t due_ms = UINT64_MAX, overdue_ms = UINT64_MAX;
    if (is_used(wheel, DUE)) due_ms = timer_of(w->slots[DUE].next)->at_ms;
    if (is_used(wheel, OVERDUE)) overdue_ms = earliest_in(w, OVERDUE)->at_ms;
    if (is_used(wheel, DUE) || is_used(wheel, OVERDUE)) {
        *at_ms = due_ms < overdue_ms ? due_ms : overdue_ms;
    } else if (wheel->groups[0] != 0) {
        *at_ms = wheel->now_ms / LOW_SLOTS * LOW_SLOTS + lowest_in(wheel, 0, wheel->groups[0]);
    } else {
        *at_ms = earliest_upper_ms(w);
    }
    return true;
}

size_t pn_wheel_count(const pn_wheel *wheel) { return wheel->count; }

uint64_t pn_wheel_now_ms(const pn_wheel *wheel) { return wheel->now_ms; }
