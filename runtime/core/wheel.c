/*
 * wheel.c - the slots, and why their order needs no sequence numbers.
 *
 * Seven levels of slots over the 64 bits of a tick: 12, 12, then five times 8 bits. A timer lies at
 * the level of the highest bit in which its tick differs from now (Varghese and Lauck's scheme 7,
 * by the digits of the tick itself, not of the distance). So at any moment all timers of one tick
 * lie in one slot, in the order of their starts: those that came earlier from afar have come down
 * before a later one could be put there directly, because a slot comes down at the very tick at
 * which now enters it, and the levels below are empty then. Two wide levels first: a timer of up to
 * 4.6 hours moves once.
 *
 * What costs with a million timers is the miss at each node of a list. So an upper slot is four
 * lists, by a hash of the tick, that come down side by side; and the lists of the next slots of
 * level 0 are walked side by side before the first of them fires.
 *
 * One bitmap tells which lists are in use and a second one which of its words are not zero: the
 * next slot is three words away whatever the gap. In an upper list the earliest timer stands first:
 * an earlier one is put before it (there is none of its tick to overtake). When the first is taken
 * away and the list does not grow by ticks, the list is `unsure` until somebody asks for its
 * earliest.
 *
 * Lists are not initialised before use, so an idle wheel takes a few pages. Timers for ticks
 * already reached wait in OVERDUE, those about to fire in DUE; both are lists among the others.
 */
#include "core/wheel.h"

#include <string.h>

#define LOW_BITS    12 /* of levels 0 and 1 */
#define HIGH_BITS   8  /* of levels 2 to 6 */
#define HIGH_LEVELS 5
#define SPLIT_BITS  2
#define SPLIT       (1u << SPLIT_BITS) /* lists of a slot above level 0 */

#define LOW_SLOTS  (1u << LOW_BITS)
#define HIGH_SLOTS (1u << HIGH_BITS)
#define UPPER      LOW_SLOTS /* the index of level 1's first list */
#define HIGH       (UPPER + LOW_SLOTS * SPLIT)
#define OVERDUE    (HIGH + HIGH_LEVELS * HIGH_SLOTS * SPLIT)
#define DUE        (OVERDUE + 1)
#define LISTS      (OVERDUE + 64)
#define WORDS      (LISTS / 64)
#define GROUPS     ((WORDS + 63) / 64) /* of 64 words; group 0 is level 0 */
#define SIDE_LISTS 4                   /* walked side by side */

_Static_assert(2 * LOW_BITS + HIGH_LEVELS * HIGH_BITS == 64, "the levels cover a tick");
_Static_assert(LOW_SLOTS == 64 * 64, "group 0 is level 0");

struct pn_wheel {
    uint64_t now_ms;
    uint64_t groups[GROUPS]; /* which words of `used` are not zero */
    size_t count;
    pn_ledger *ledger;
    unsigned walked; /* the lists of level 0 below this one have been walked */
    bool advancing;
    uint64_t used[WORDS];   /* lists that hold timers */
    uint64_t mixed[WORDS];  /* upper lists whose ticks do not only grow */
    uint64_t unsure[WORDS]; /* mixed lists whose first timer may not be the earliest */
    uint64_t min_ms[LISTS]; /* none in an upper list is earlier; its first is this, unless unsure */
    pn_list lists[LISTS];   /* undefined where not used, except DUE */
};

static inline pn_timer *timer_of(pn_list *link) { return PN_CONTAINER(link, pn_timer, link); }

static inline bool get_bit(const uint64_t *words, unsigned i) {
    return (words[i / 64] >> (i % 64)) & 1;
}

static inline void set_bit(uint64_t *words, unsigned i) { words[i / 64] |= 1ULL << (i % 64); }

static inline void clear_bit(uint64_t *words, unsigned i) { words[i / 64] &= ~(1ULL << (i % 64)); }

static inline void mark_used(pn_wheel *wheel, unsigned i) {
    pn_list_init(&wheel->lists[i]);
    set_bit(wheel->used, i);
    set_bit(wheel->groups, i / 64);
    clear_bit(wheel->mixed, i);
    clear_bit(wheel->unsure, i);
}

static inline void mark_empty(pn_wheel *wheel, unsigned i) {
    clear_bit(wheel->used, i);
    if (wheel->used[i / 64] == 0) clear_bit(wheel->groups, i / 64);
}

static inline unsigned split_of(uint64_t at_ms) {
    return (unsigned)(at_ms * 0x9e3779b97f4a7c15ULL >> (64 - SPLIT_BITS));
}

/* The list of a tick that is not before now. */
static inline unsigned list_of(const pn_wheel *wheel, uint64_t at_ms) {
    uint64_t differing = at_ms ^ wheel->now_ms;
    if (differing < LOW_SLOTS) return (unsigned)at_ms % LOW_SLOTS;
    if (differing < (uint64_t)LOW_SLOTS * LOW_SLOTS) {
        unsigned digit = (unsigned)(at_ms >> LOW_BITS) % LOW_SLOTS;
        return UPPER + digit * SPLIT + split_of(at_ms);
    }
    unsigned top = 63 - (unsigned)__builtin_clzll(differing);
    unsigned level = (top - 2 * LOW_BITS) / HIGH_BITS; /* counted from level 2 */
    unsigned digit = (unsigned)(at_ms >> (2 * LOW_BITS + level * HIGH_BITS)) % HIGH_SLOTS;
    return HIGH + (level * HIGH_SLOTS + digit) * SPLIT + split_of(at_ms);
}

/* The first tick of the upper slot whose first list is i. */
static uint64_t slot_start_ms(const pn_wheel *wheel, unsigned i) {
    unsigned shift = LOW_BITS, bits = LOW_BITS, digit = (i - UPPER) / SPLIT;
    if (i >= HIGH) {
        bits = HIGH_BITS;
        shift = 2 * LOW_BITS + (i - HIGH) / SPLIT / HIGH_SLOTS * HIGH_BITS;
        digit = (i - HIGH) / SPLIT % HIGH_SLOTS;
    }
    uint64_t above = shift + bits < 64 ? wheel->now_ms >> (shift + bits) << (shift + bits) : 0;
    return above | (uint64_t)digit << shift;
}

/* The slots in use of each level lie after now's own, so the earliest is the lowest bit. */
static inline unsigned lowest_in_group(const pn_wheel *wheel, unsigned group) {
    unsigned word = group * 64 + (unsigned)__builtin_ctzll(wheel->groups[group]);
    return word * 64 + (unsigned)__builtin_ctzll(wheel->used[word]);
}

/* The first list of the earliest upper slot; OVERDUE when there is none. */
static unsigned lowest_upper(const pn_wheel *wheel) {
    for (unsigned group = 1; group < GROUPS; group++) {
        if (wheel->groups[group] == 0) continue;
        unsigned i = lowest_in_group(wheel, group);
        return i < OVERDUE ? i / SPLIT * SPLIT : OVERDUE;
    }
    return OVERDUE;
}

/* Keeps the earliest first and equal ticks in order. */
static inline void add_upper(pn_wheel *wheel, unsigned i, pn_timer *timer) {
    pn_list *list = &wheel->lists[i];
    if (!get_bit(wheel->used, i)) {
        mark_used(wheel, i);
        wheel->min_ms[i] = timer->at_ms;
    } else if (timer->at_ms < wheel->min_ms[i]) {
        wheel->min_ms[i] = timer->at_ms;
        clear_bit(wheel->unsure, i);
        pn_list_push_front(list, &timer->link);
        return;
    } else if (timer->at_ms < timer_of(list->prev)->at_ms) {
        set_bit(wheel->mixed, i);
    }
    pn_list_push(list, &timer->link);
}

static inline void add(pn_wheel *wheel, unsigned i, pn_timer *timer) {
    if (i >= UPPER) {
        add_upper(wheel, i, timer);
        return;
    }
    if (!get_bit(wheel->used, i)) mark_used(wheel, i);
    pn_list_push(&wheel->lists[i], &timer->link);
}

static inline bool is_list(const pn_wheel *wheel, const pn_list *node) {
    return (size_t)((const char *)node - (const char *)wheel->lists) < sizeof wheel->lists;
}

/* The first timer of a list was taken away; `next` is the one after it, or the list itself. */
static void first_removed(pn_wheel *wheel, pn_list *list, pn_list *next) {
    unsigned i = (unsigned)(list - wheel->lists);
    if (next == list) {
        mark_empty(wheel, i);
    } else if (!get_bit(wheel->mixed, i)) {
        wheel->min_ms[i] = timer_of(next)->at_ms;
    } else if (wheel->min_ms[i] != timer_of(next)->at_ms) {
        set_bit(wheel->unsure, i);
    }
}

static inline void detach(pn_wheel *wheel, pn_timer *timer) {
    pn_list *next = timer->link.next, *prev = timer->link.prev;
    next->prev = prev;
    prev->next = next;
    timer->link.next = NULL; /* one store: a second one would cost a cancel 10 ns */
    if (is_list(wheel, prev)) first_removed(wheel, prev, next);
}

pn_wheel *pn_wheel_create(pn_ledger *ledger, uint64_t now_ms) {
    pn_wheel *wheel = pn_mem_try(ledger, sizeof *wheel);
    if (wheel == NULL) return NULL;
    memset(wheel, 0, offsetof(pn_wheel, min_ms));
    wheel->now_ms = now_ms;
    wheel->ledger = ledger;
    pn_list_init(&wheel->lists[DUE]);
    return wheel;
}

void pn_wheel_destroy(pn_wheel *wheel) {
    if (wheel == NULL) return;
    pn_assert(wheel->count == 0 && !wheel->advancing);
    pn_mem_free(wheel->ledger, wheel, sizeof *wheel);
}

void pn_timer_init(pn_timer *timer, pn_timer_fn fn) { *timer = (pn_timer){.fn = fn}; }

void pn_timer_start(pn_wheel *wheel, pn_timer *timer, uint64_t at_ms) {
    if (pn_timer_active(timer)) {
        detach(wheel, timer);
    } else {
        wheel->count++;
    }
    timer->at_ms = at_ms;
    add(wheel, at_ms > wheel->now_ms ? list_of(wheel, at_ms) : OVERDUE, timer);
}

bool pn_timer_stop(pn_wheel *wheel, pn_timer *timer) {
    if (!pn_timer_active(timer)) return false;
    detach(wheel, timer);
    wheel->count--;
    return true;
}

/* Now stands at the slot's first tick: its timers move to the levels below, which are empty. */
static void bring_down(pn_wheel *wheel, unsigned first) {
    pn_list *node[SPLIT];
    unsigned list[SPLIT], n = 0;
    for (unsigned i = first; i < first + SPLIT; i++) {
        if (!get_bit(wheel->used, i)) continue;
        node[n] = wheel->lists[i].next;
        list[n++] = i;
    }
    for (unsigned k = 0; n > 0; k = k + 1 < n ? k + 1 : 0) {
        pn_timer *timer = timer_of(node[k]);
        node[k] = node[k]->next;
        __builtin_prefetch(node[k]);
        add(wheel, list_of(wheel, timer->at_ms), timer);
        if (node[k] != &wheel->lists[list[k]]) continue;
        mark_empty(wheel, list[k]);
        n--;
        node[k] = node[n];
        list[k] = list[n];
    }
}

/* Walks the next lists of level 0 side by side, so that their timers are in the cache when they
 * fire. */
static void walk_ahead(pn_wheel *wheel) {
    pn_list *node[SIDE_LISTS], *end[SIDE_LISTS];
    unsigned n = 0;
    for (uint64_t words = wheel->groups[0]; words != 0 && n < SIDE_LISTS; words &= words - 1) {
        unsigned word = (unsigned)__builtin_ctzll(words);
        for (uint64_t b = wheel->used[word]; b != 0 && n < SIDE_LISTS; b &= b - 1) {
            unsigned i = word * 64 + (unsigned)__builtin_ctzll(b);
            node[n] = end[n] = &wheel->lists[i];
            n++;
            wheel->walked = i + 1;
        }
    }
    for (unsigned k = 0; n > 0; k = k + 1 < n ? k + 1 : 0) {
        node[k] = node[k]->next;
        if (node[k] != end[k]) continue;
        n--;
        node[k] = node[n];
        end[k] = end[n];
    }
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

static void make_due(pn_wheel *wheel, unsigned i) {
    pn_list_splice(&wheel->lists[DUE], &wheel->lists[i]);
    mark_empty(wheel, i);
}

/* Level 0 up to `to_ms`, which may lie past it. */
static void collect_level_0(pn_wheel *wheel, uint64_t base_ms, uint64_t to_ms) {
    while (wheel->groups[0] != 0) {
        unsigned i = lowest_in_group(wheel, 0);
        if (base_ms + i > to_ms) break;
        if (i >= wheel->walked) walk_ahead(wheel);
        make_due(wheel, i);
    }
}

/* Moves now to `to_ms`; whatever is due lies in DUE afterwards, in order. */
static void collect(pn_wheel *wheel, uint64_t to_ms) {
    if (get_bit(wheel->used, OVERDUE)) {
        if (get_bit(wheel->mixed, OVERDUE)) sort(&wheel->lists[OVERDUE]);
        make_due(wheel, OVERDUE);
    }
    for (;;) {
        uint64_t base_ms = wheel->now_ms / LOW_SLOTS * LOW_SLOTS;
        collect_level_0(wheel, base_ms, to_ms);
        if (to_ms - base_ms < LOW_SLOTS) break;
        wheel->walked = 0;
        unsigned i = lowest_upper(wheel);
        if (i == OVERDUE) break;
        uint64_t start_ms = slot_start_ms(wheel, i);
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
    for (pn_list *due = &wheel->lists[DUE]; !pn_list_empty(due); fired++) {
        pn_timer *timer = timer_of(due->next);
        due->next = timer->link.next;
        due->next->prev = due;
        timer->link.next = NULL;
        wheel->count--;
        timer->fn(timer); /* the timer may be gone afterwards */
    }
    wheel->advancing = false;
    return fired;
}

/* Puts the earliest timers of an unsure list first, all of one tick, so that the next search is not
 * needed before that tick is done with. */
static void settle(pn_wheel *wheel, unsigned i) {
    pn_list *list = &wheel->lists[i], earliest;
    uint64_t min_ms = UINT64_MAX;
    for (pn_list *node = list->next; node != list; node = node->next) {
        if (timer_of(node)->at_ms < min_ms) min_ms = timer_of(node)->at_ms;
    }
    pn_list_init(&earliest);
    for (pn_list *node = list->next; node != list;) {
        pn_list *next = node->next;
        if (timer_of(node)->at_ms == min_ms) {
            pn_list_remove(node);
            pn_list_push(&earliest, node);
        }
        node = next;
    }
    pn_list_splice(&earliest, list);
    pn_list_splice(list, &earliest);
    wheel->min_ms[i] = min_ms;
    clear_bit(wheel->unsure, i);
}

static uint64_t earliest_ms(pn_wheel *wheel, unsigned i) {
    if (get_bit(wheel->unsure, i)) settle(wheel, i);
    return wheel->min_ms[i];
}

static uint64_t earliest_upper_ms(pn_wheel *wheel) {
    uint64_t min_ms = UINT64_MAX;
    unsigned first = lowest_upper(wheel);
    for (unsigned i = first; i < first + SPLIT; i++) {
        if (!get_bit(wheel->used, i)) continue;
        uint64_t at_ms = earliest_ms(wheel, i);
        if (at_ms < min_ms) min_ms = at_ms;
    }
    return min_ms;
}

/* While callbacks run, some timers may be due still, and others be overdue already. */
static uint64_t earliest_reached_ms(pn_wheel *wheel) {
    uint64_t due_ms = UINT64_MAX, overdue_ms = UINT64_MAX;
    pn_list *due = &wheel->lists[DUE];
    if (!pn_list_empty(due)) due_ms = timer_of(due->next)->at_ms;
    if (get_bit(wheel->used, OVERDUE)) overdue_ms = earliest_ms(wheel, OVERDUE);
    return due_ms < overdue_ms ? due_ms : overdue_ms;
}

bool pn_wheel_next(const pn_wheel *wheel, uint64_t *at_ms) {
    pn_wheel *w = (pn_wheel *)wheel; /* what changes is the order of a list, never what it means */
    if (wheel->count == 0) return false;
    if (!pn_list_empty(&wheel->lists[DUE]) || get_bit(wheel->used, OVERDUE)) {
        *at_ms = earliest_reached_ms(w);
    } else if (wheel->groups[0] != 0) {
        *at_ms = wheel->now_ms / LOW_SLOTS * LOW_SLOTS + lowest_in_group(wheel, 0);
    } else {
        *at_ms = earliest_upper_ms(w);
    }
    return true;
}

size_t pn_wheel_count(const pn_wheel *wheel) { return wheel->count; }

uint64_t pn_wheel_now_ms(const pn_wheel *wheel) { return wheel->now_ms; }
