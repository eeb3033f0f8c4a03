/*
 * The executors held to their definitions, in virtual time: a host of this file's runs the users,
 * with random durations of init, iterations and done, over random definitions and one to four
 * parts. Checked are the iterations that begin, when they should and when they do, how many users
 * take part at any time, what is dropped, forfeited and interrupted, and that everything ends.
 */
#include "load/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "test.h"

#define PARTS_MAX  4
#define USERS_MAX  256
#define EVENTS_MAX 4096

enum event_kind { READY, BEGIN, END, INTERRUPT, REMOVE, TAKE_OVER };

typedef struct sim sim;

typedef struct user {
    pn_vu vu;
    sim *sim;
    bool is_gone, is_begun; /* is_begun: between pn_vu_begin and pn_vu_end */
    uint64_t begun_count;
} user;

typedef struct event {
    uint64_t at_ns, order;
    enum event_kind kind;
    user *who;
    pn_executor *part; /* TAKE_OVER */
    uint64_t number, intended_ns;
} event;

struct sim {
    pn_heap *heap;
    pn_ledger ledger;
    pn_metrics *metrics;
    pn_metrics_shard *shard;
    pn_labels labels;
    pn_scenario scenario;
    pn_scenario_run run;
    pn_executor *parts;
    uint32_t part_count;
    uint64_t wake_ns[PARTS_MAX];
    user *users[USERS_MAX];
    uint32_t user_count;
    event events[EVENTS_MAX];
    uint32_t event_count;
    uint64_t event_order;
    uint64_t now_ns, start_ns;
    pn_rand rand;
    /* the world: durations from 1 to these */
    uint64_t init_max_ns, iteration_max_ns, done_max_ns, lag_max_ns;
    /* what was seen */
    uint8_t *was_begun; /* by number */
    uint64_t number_max, begun, done_parts, max_active, hand_overs;
    uint64_t last_begin_ns, last_intended_ns;
};

static event *push(sim *s, enum event_kind kind, user *who, uint64_t delay_ns) {
    CHECK_INT(s->event_count, <, EVENTS_MAX);
    event *e = &s->events[s->event_count++];
    *e =
        (event){.at_ns = s->now_ns + delay_ns, .order = ++s->event_order, .kind = kind, .who = who};
    return e;
}

static uint64_t some(sim *s, uint64_t max_ns) { return 1 + pn_rand_below(&s->rand, max_ns); }

static uint64_t lag(sim *s) {
    return s->lag_max_ns > 0 ? pn_rand_below(&s->rand, s->lag_max_ns) : 0;
}

static void forget_events(sim *s, const user *who) {
    for (uint32_t i = 0; i < s->event_count;) {
        if (s->events[i].who == who) {
            s->events[i] = s->events[--s->event_count];
        } else {
            i++;
        }
    }
}

/* ---- the host ---- */

static user *user_of(pn_vu *vu) { return PN_CONTAINER(vu, user, vu); }

static void host_run(pn_vu *vu) {
    user *u = user_of(vu);
    push(u->sim, BEGIN, u, lag(u->sim));
}

static void host_interrupt(pn_vu *vu) {
    user *u = user_of(vu);
    push(u->sim, INTERRUPT, u, 0);
}

static void host_retire(pn_vu *vu) {
    user *u = user_of(vu);
    push(u->sim, REMOVE, u, some(u->sim, u->sim->done_max_ns));
}

static user *make_user(sim *s, pn_executor *x) {
    CHECK_INT(s->user_count, <, USERS_MAX);
    user *u = calloc(1, sizeof *u);
    u->sim = s;
    s->users[s->user_count++] = u;
    u->vu.id = s->user_count;
    pn_executor_add(x, &u->vu);
    return u;
}

static bool is_any_idle(const sim *s) {
    for (uint32_t p = 0; p < s->part_count; p++) {
        if (atomic_load(&s->parts[p].free_count) > 0) return true;
    }
    return false;
}

static pn_vu *host_grow(pn_executor *x) {
    sim *s = x->context;
    CHECK(!is_any_idle(s)); /* a user is made only when none is free */
    user *u = make_user(s, x);
    push(s, READY, u, some(s, s->init_max_ns));
    return &u->vu;
}

static void host_hand_over(pn_executor *x, pn_executor *to, uint64_t number, uint64_t intended_ns) {
    sim *s = x->context;
    event *e = push(s, TAKE_OVER, NULL, some(s, 1000));
    e->part = to;
    e->number = number;
    e->intended_ns = intended_ns;
    s->hand_overs++;
}

static void host_done(pn_executor *x) { ((sim *)x->context)->done_parts++; }

static const pn_vu_host host = {host_run,  host_interrupt, host_retire,
                                host_grow, host_hand_over, host_done};

/* ---- the world ---- */

static void note_begin(sim *s, user *u) {
    pn_vu *vu = &u->vu;
    CHECK(!u->is_begun);
    CHECK(!u->is_gone);
    u->is_begun = true;
    u->begun_count++;
    s->begun++;
    if (vu->number <= s->number_max) {
        CHECK(!s->was_begun[vu->number]); /* a number belongs to one iteration */
        s->was_begun[vu->number] = 1;
    } else {
        CHECK(s->scenario.type->leftover == NULL && !s->run.is_open);
    }
    CHECK_INT(vu->intended_ns, <=, s->now_ns);
    CHECK_EQ(vu->late_ns, s->now_ns - vu->intended_ns);
    if (s->run.is_open) {
        unsigned __int128 at = (unsigned __int128)vu->number * s->scenario.time_unit_ns;
        CHECK_EQ(vu->intended_ns, s->run.start_ns + (uint64_t)(at / s->scenario.rate));
        CHECK_INT(vu->intended_ns, <, s->run.start_ns + s->scenario.duration_ns);
    } else {
        CHECK_EQ(vu->late_ns, 0);
    }
    s->last_begin_ns = s->now_ns;
    if (vu->intended_ns > s->last_intended_ns) s->last_intended_ns = vu->intended_ns;
}

static void on_end(sim *s, user *u, pn_ending ending) {
    if (u->is_begun || ending == PN_ENDING_INTERRUPTED) u->is_begun = false;
    pn_vu_order order = pn_vu_end(&u->vu, ending, s->now_ns);
    if (order == PN_VU_RUN) push(s, BEGIN, u, 0);
    if (order == PN_VU_LEAVE) push(s, REMOVE, u, some(s, s->done_max_ns));
    if (ending == PN_ENDING_INTERRUPTED) CHECK_EQ(order, PN_VU_LEAVE);
}

static void on_interrupt(sim *s, user *u) {
    if (u->is_gone || !u->vu.is_interrupted) return;
    if (u->vu.state == PN_VU_RUNNING) {
        forget_events(s, u);
        on_end(s, u, PN_ENDING_INTERRUPTED);
    } else if (u->vu.state == PN_VU_PREPARING) {
        forget_events(s, u);
        push(s, REMOVE, u, 0);
    }
}

static void run_event(sim *s, event e) {
    switch (e.kind) {
    case READY: pn_vu_ready(&e.who->vu, s->now_ns); break;
    case BEGIN:
        pn_vu_begin(&e.who->vu, s->now_ns);
        note_begin(s, e.who);
        push(s, END, e.who, some(s, s->iteration_max_ns));
        break;
    case END:
        on_end(s, e.who, pn_rand_below(&s->rand, 10) == 0 ? PN_ENDING_FAILED : PN_ENDING_COMPLETE);
        break;
    case INTERRUPT: on_interrupt(s, e.who); break;
    case REMOVE:
        CHECK(!e.who->is_gone);
        e.who->is_gone = true;
        pn_executor_remove(e.who->vu.executor, &e.who->vu, s->now_ns);
        break;
    case TAKE_OVER: pn_executor_take_over(e.part, e.number, e.intended_ns, s->now_ns); break;
    }
}

static uint32_t earliest_event(const sim *s) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < s->event_count; i++) {
        const event *a = &s->events[i], *b = &s->events[best];
        if (a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order)) best = i;
    }
    return best;
}

static void check_active(sim *s) {
    pn_scenario_counts c = pn_scenario_run_counts(&s->run);
    uint64_t max = pn_scenario_vus_max(&s->scenario);
    CHECK_INT(c.active, <=, max);
    CHECK_INT(c.running, <=, c.active);
    if (c.active > s->max_active) s->max_active = c.active;
    bool is_between =
        s->now_ns > s->run.start_ns && s->now_ns < atomic_load(&s->run.regular_end_ns);
    if (is_between && strcmp(s->scenario.type->name, "constant-vus") == 0) {
        CHECK_EQ(c.active, s->scenario.vus); /* all of them, all of the time */
        CHECK_EQ(c.running, s->scenario.vus);
    }
}

static void advance_parts(sim *s) {
    for (uint32_t p = 0; p < s->part_count; p++) {
        if (s->wake_ns[p] > s->now_ns) continue;
        s->wake_ns[p] = pn_executor_advance(&s->parts[p], s->now_ns);
        CHECK(s->wake_ns[p] > s->now_ns);
    }
}

static uint64_t earliest_wake(const sim *s) {
    uint64_t at_ns = UINT64_MAX;
    for (uint32_t p = 0; p < s->part_count; p++) {
        if (s->wake_ns[p] < at_ns) at_ns = s->wake_ns[p];
    }
    return at_ns;
}

/* Until nothing is left to happen, or `until_ns`. */
static void play(sim *s, uint64_t until_ns) {
    for (;;) {
        uint64_t wake_ns = earliest_wake(s), event_ns = UINT64_MAX;
        uint32_t i = s->event_count > 0 ? earliest_event(s) : 0;
        if (s->event_count > 0) event_ns = s->events[i].at_ns;
        uint64_t next_ns = wake_ns < event_ns ? wake_ns : event_ns;
        if (next_ns == UINT64_MAX || next_ns > until_ns) return;
        s->now_ns = next_ns;
        if (wake_ns <= event_ns) {
            advance_parts(s);
        } else {
            event e = s->events[i];
            s->events[i] = s->events[--s->event_count];
            run_event(s, e);
        }
        check_active(s);
    }
}

/* ---- opening and closing ---- */

static void make_parts(sim *s) {
    size_t bytes = s->part_count * sizeof *s->parts;
    s->parts = aligned_alloc(64, bytes);
    pn_scenario_run_init(&s->run, &s->scenario, s->parts, s->part_count);
    for (uint32_t p = 0; p < s->part_count; p++) {
        pn_executor_init(&s->parts[p], &s->run, p, &host, s->shard, &s->labels, &s->ledger);
        s->parts[p].context = s;
        s->wake_ns[p] = UINT64_MAX;
    }
}

static void open_sim(sim *s, uint64_t seed, const pn_executor_type *type) {
    memset(s, 0, sizeof *s);
    s->rand.key = pn_rand_key(seed, "sim", 0);
    s->heap = pn_heap_create(false);
    pn_ledger_init_shared(&s->ledger, "test", s->heap);
    s->metrics = pn_metrics_create(&s->ledger);
    s->shard = pn_metrics_shard_create(s->metrics, &s->ledger);
    s->labels.group = "";
    pn_scenario_init(&s->scenario, "sim", type);
    s->part_count = 1;
    s->init_max_ns = s->done_max_ns = 1;
    s->iteration_max_ns = 50 * PN_NS_PER_MS;
}

static void set(sim *s, const char *key, const char *value) {
    char message[PN_LOAD_MESSAGE_BYTES] = "";
    pn_value v = pn_value_of_text(value);
    int err = pn_scenario_set(&s->scenario, key, &v, message);
    CHECK_STR(message, "");
    CHECK_EQ(err, 0);
}

static void set_number(sim *s, const char *key, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    set(s, key, text);
}

static void set_ms(sim *s, const char *key, uint64_t ms) {
    char text[32];
    snprintf(text, sizeof text, "%llums", (unsigned long long)ms);
    set(s, key, text);
}

/* Makes the users, lets them prepare, and starts the run at 1 s. */
static void start(sim *s) {
    char message[PN_LOAD_MESSAGE_BYTES] = "";
    pn_scenario_complete(&s->scenario, message);
    CHECK_STR(message, "");
    make_parts(s);
    s->number_max = s->run.is_open ? 100000 : s->scenario.iterations * s->scenario.vus + 1;
    s->was_begun = calloc(s->number_max + 1, 1);
    for (uint64_t i = 0; i < pn_scenario_vus_planned(&s->scenario); i++) {
        user *u = make_user(s, &s->parts[i % s->part_count]);
        push(s, READY, u, some(s, s->init_max_ns));
    }
    atomic_store(&s->run.vu_count, s->user_count);
    play(s, PN_NS_PER_S);
    s->now_ns = s->start_ns = PN_NS_PER_S;
    pn_scenario_run_start(&s->run, s->start_ns);
    for (uint32_t p = 0; p < s->part_count; p++) s->wake_ns[p] = s->now_ns;
}

static double counted(sim *s, const char *name) {
    double value;
    CHECK_EQ(pn_metrics_get(s->metrics, name, "count", 1, &s->ledger, &value, NULL), 0);
    return value;
}

static void check_ended(sim *s) {
    pn_scenario_counts c = pn_scenario_run_counts(&s->run);
    CHECK_EQ(s->done_parts, s->part_count);
    CHECK_EQ(pn_scenario_run_phase(&s->run), PN_PHASE_DONE);
    CHECK_EQ(atomic_load(&s->run.parts_left), 0);
    CHECK_EQ(c.active, 0);
    CHECK_EQ(c.running, 0);
    for (uint32_t i = 0; i < s->user_count; i++) CHECK(s->users[i]->is_gone);
    CHECK_EQ(c.complete, counted(s, "iterations"));
    CHECK_EQ(c.failed, counted(s, "iteration_errors"));
    CHECK_EQ(c.dropped, counted(s, "dropped_iterations"));
    CHECK_EQ(c.started, c.complete + c.interrupted);
}

static void close_sim(sim *s) {
    for (uint32_t p = 0; p < s->part_count; p++) pn_executor_close(&s->parts[p]);
    for (uint32_t i = 0; i < s->user_count; i++) free(s->users[i]);
    free(s->parts);
    free(s->was_begun);
    pn_metrics_shard_destroy(s->shard);
    pn_metrics_destroy(s->metrics);
    CHECK_EQ(pn_ledger_live(&s->ledger), 0);
    pn_heap_destroy(s->heap);
    free(s);
}

static sim *new_sim(uint64_t seed, const pn_executor_type *type) {
    sim *s = malloc(sizeof *s);
    open_sim(s, seed, type);
    return s;
}

/* ---- random definitions ---- */

static void random_world(sim *s) {
    s->part_count = 1 + (uint32_t)pn_rand_below(&s->rand, PARTS_MAX);
    s->init_max_ns = some(s, 300 * PN_NS_PER_MS);
    s->iteration_max_ns = some(s, 2000 * PN_NS_PER_MS) + 10 * PN_NS_PER_MS;
    s->done_max_ns = some(s, 100 * PN_NS_PER_MS);
    if (pn_rand_below(&s->rand, 2) == 0) set_ms(s, "start_time", pn_rand_below(&s->rand, 3000));
    set_ms(s, "graceful_stop", pn_rand_below(&s->rand, 2) * pn_rand_below(&s->rand, 3000));
}

static uint64_t hard_end(const sim *s) {
    return s->start_ns + pn_scenario_hard_end_ns(&s->scenario);
}

static uint64_t regular_end(const sim *s) {
    return s->start_ns + pn_scenario_regular_end_ns(&s->scenario);
}

TEST(constant_vus_keeps_all_users_at_work_from_start_to_end) {
    for (uint64_t seed = 0; seed < 150; seed++) {
        sim *s = new_sim(seed, &pn_executor_constant_vus);
        set_number(s, "vus", some(s, 20));
        set_ms(s, "duration", 1000 + pn_rand_below(&s->rand, 4000));
        random_world(s);
        start(s);
        play(s, UINT64_MAX - 1);
        check_ended(s);
        CHECK_EQ(s->max_active, s->scenario.vus);
        CHECK_INT(s->last_begin_ns, <, regular_end(s));
        CHECK_INT(s->now_ns, <=, hard_end(s) + s->done_max_ns);
        CHECK_EQ(counted(s, "dropped_iterations"), 0);
        CHECK_EQ(s->user_count, s->scenario.vus);
        close_sim(s);
    }
}

TEST(shared_iterations_begin_exactly_once_each_or_are_dropped) {
    uint64_t complete_runs = 0, cut_runs = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        sim *s = new_sim(seed, &pn_executor_shared_iterations);
        set_number(s, "vus", some(s, 20));
        set_number(s, "iterations", 20 + pn_rand_below(&s->rand, 200));
        set_ms(s, "max_duration", 1000 + pn_rand_below(&s->rand, 8000));
        random_world(s);
        start(s);
        play(s, UINT64_MAX - 1);
        check_ended(s);
        pn_scenario_counts c = pn_scenario_run_counts(&s->run);
        CHECK_EQ(c.started + c.dropped, s->scenario.iterations);
        for (uint64_t n = 0; n < c.started; n++) CHECK(s->was_begun[n]);
        CHECK_INT(s->last_begin_ns, <, regular_end(s));
        *(c.dropped > 0 ? &cut_runs : &complete_runs) += 1;
        if (c.dropped == 0) CHECK_EQ(c.complete + c.interrupted, s->scenario.iterations);
        close_sim(s);
    }
    CHECK_INT(complete_runs, >, 10); /* both kinds came up */
    CHECK_INT(cut_runs, >, 10);
}

TEST(per_vu_iterations_are_as_many_for_each_user) {
    uint64_t complete_runs = 0, cut_runs = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        sim *s = new_sim(seed, &pn_executor_per_vu_iterations);
        set_number(s, "vus", some(s, 12));
        set_number(s, "iterations", some(s, 12));
        set_ms(s, "max_duration", 1000 + pn_rand_below(&s->rand, 8000));
        random_world(s);
        start(s);
        play(s, UINT64_MAX - 1);
        check_ended(s);
        pn_scenario_counts c = pn_scenario_run_counts(&s->run);
        CHECK_EQ(c.started + c.dropped, s->scenario.iterations * s->scenario.vus);
        for (uint32_t i = 0; i < s->user_count; i++) {
            CHECK_INT(s->users[i]->begun_count, <=, s->scenario.iterations);
            if (c.dropped == 0) CHECK_EQ(s->users[i]->begun_count, s->scenario.iterations);
        }
        *(c.dropped > 0 ? &cut_runs : &complete_runs) += 1;
        close_sim(s);
    }
    CHECK_INT(complete_runs, >, 10);
    CHECK_INT(cut_runs, >, 10);
}

TEST(constant_arrival_rate_begins_every_arrival_on_time_or_drops_it) {
    uint64_t dropped = 0, grown = 0, handed_over = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        sim *s = new_sim(seed, &pn_executor_constant_arrival_rate);
        set_number(s, "rate", some(s, 60));
        set_ms(s, "time_unit", 500 + pn_rand_below(&s->rand, 1000));
        set_ms(s, "duration", 1000 + pn_rand_below(&s->rand, 3000));
        uint64_t planned = pn_rand_below(&s->rand, 20);
        set_number(s, "pre_allocated_vus", planned);
        set_number(s, "max_vus", planned + 1 + pn_rand_below(&s->rand, 20));
        random_world(s);
        start(s);
        play(s, UINT64_MAX - 1);
        check_ended(s);
        pn_scenario_counts c = pn_scenario_run_counts(&s->run);
        CHECK_EQ(c.started + c.dropped, pn_pacer_count(&s->parts[0].pacer));
        CHECK_INT(s->user_count, <=, s->scenario.max_vus);
        CHECK_INT(s->now_ns, <=, hard_end(s) + s->done_max_ns);
        dropped += c.dropped;
        grown += s->user_count - planned;
        handed_over += s->hand_overs;
        close_sim(s);
    }
    CHECK_INT(dropped, >, 100); /* all of it came up */
    CHECK_INT(grown, >, 100);
    CHECK_INT(handed_over, >, 100);
}

TEST(an_arrival_finds_the_only_user_on_whichever_part_it_is) {
    sim *s = new_sim(1, &pn_executor_constant_arrival_rate);
    set_number(s, "rate", 10);
    set(s, "duration", "10s");
    set_number(s, "pre_allocated_vus", 1);
    s->part_count = 4;
    s->iteration_max_ns = 50 * PN_NS_PER_MS; /* half the distance of two arrivals */
    start(s);
    play(s, UINT64_MAX - 1);
    check_ended(s);
    CHECK_EQ(counted(s, "iterations"), 100);
    CHECK_EQ(counted(s, "dropped_iterations"), 0);
    CHECK_EQ(s->user_count, 1);
    CHECK_EQ(s->hand_overs, 75);
    close_sim(s);
}

TEST(latency_is_counted_from_the_intended_start) {
    sim *s = new_sim(1, &pn_executor_constant_arrival_rate);
    set_number(s, "rate", 100);
    set(s, "duration", "2s");
    set_number(s, "pre_allocated_vus", 50);
    s->iteration_max_ns = 1;
    start(s);
    s->run.has_uncorrected = true;
    char message[PN_METRICS_MESSAGE_BYTES];
    int id = pn_metrics_register(s->metrics, "uncorrected", 11, PN_TREND, NULL, message);
    s->run.uncorrected_iteration_id = (uint32_t)id;
    play(s, s->start_ns + PN_NS_PER_S - 1);
    s->now_ns =
        s->start_ns + PN_NS_PER_S + 500 * PN_NS_PER_MS; /* the generator stalls for half a second */
    s->wake_ns[0] = s->now_ns;
    play(s, UINT64_MAX - 1);
    check_ended(s);
    double corrected, plain;
    pn_metrics_get(s->metrics, "iteration_duration", "max", 1, &s->ledger, &corrected, NULL);
    pn_metrics_get(s->metrics, "uncorrected", "max", 1, &s->ledger, &plain, NULL);
    CHECK_EQ((uint64_t)corrected, 500);
    CHECK(plain < 0.001);
    CHECK_EQ((uint64_t)pn_histogram_max(&s->parts[0].lateness), 500);
    close_sim(s);
}

TEST(a_stop_at_once_interrupts_and_a_gentle_one_waits) {
    for (int at_once = 0; at_once < 2; at_once++) {
        for (uint64_t seed = 0; seed < 60; seed++) {
            const pn_executor_type *type = pn_executor_types()[seed % 4];
            sim *s = new_sim(seed, type);
            if (type->is_open) {
                set_number(s, "rate", 50);
                set_number(s, "pre_allocated_vus", 5);
                set_number(s, "max_vus", 20);
            } else {
                set_number(s, "vus", 10);
            }
            if (type == &pn_executor_constant_vus || type->is_open) set(s, "duration", "20s");
            if (type == &pn_executor_shared_iterations) set_number(s, "iterations", 1000);
            if (type == &pn_executor_per_vu_iterations) set_number(s, "iterations", 100);
            random_world(s);
            set(s, "graceful_stop", "60s");
            start(s);
            uint64_t stop_ns = s->start_ns + pn_rand_below(&s->rand, 5 * PN_NS_PER_S);
            play(s, stop_ns);
            s->now_ns = stop_ns;
            pn_scenario_run_stop(&s->run, stop_ns, at_once == 1);
            for (uint32_t p = 0; p < s->part_count; p++) s->wake_ns[p] = stop_ns;
            play(s, UINT64_MAX - 1);
            check_ended(s);
            pn_scenario_counts c = pn_scenario_run_counts(&s->run);
            CHECK_INT(s->last_intended_ns, <=,
                      stop_ns); /* one may still wait for its user's init */
            if (at_once == 1) CHECK_INT(s->last_begin_ns, <=, stop_ns);
            if (at_once == 1) CHECK_INT(s->now_ns, <=, stop_ns + s->done_max_ns + 1000);
            if (at_once == 0) CHECK_EQ(c.interrupted, 0);
            close_sim(s);
        }
    }
}

TEST(a_run_that_never_starts_ends_all_the_same) {
    sim *s = new_sim(3, &pn_executor_constant_vus);
    set_number(s, "vus", 5);
    set(s, "duration", "5s");
    s->part_count = 2;
    pn_scenario_complete(&s->scenario, (char[PN_LOAD_MESSAGE_BYTES]){0});
    make_parts(s);
    s->was_begun = calloc(1, 1);
    for (int i = 0; i < 5; i++) push(s, READY, make_user(s, &s->parts[i % 2]), 1 + (uint64_t)i);
    play(s, 3); /* two are still preparing */
    pn_scenario_run_stop(&s->run, s->now_ns, true);
    for (uint32_t p = 0; p < s->part_count; p++) s->wake_ns[p] = s->now_ns;
    play(s, UINT64_MAX - 1);
    CHECK_EQ(s->begun, 0);
    check_ended(s);
    close_sim(s);
}
