/* The wheel against a naive model: the order of firing, the next tick, stops and starts in
 * callbacks. */
#include "core/wheel.h"

#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "test.h"

#define HUNDRED_YEARS_MS (100ULL * 365 * 24 * 3600 * 1000)

struct fixture {
    pn_heap *heap;
    pn_pool pool;
    pn_ledger ledger;
    pn_wheel *wheel;
};

static void open_at(struct fixture *f, uint64_t now_ms) {
    f->heap = pn_heap_create(false);
    pn_pool_init(&f->pool, f->heap);
    pn_ledger_init(&f->ledger, "test", &f->pool);
    f->wheel = pn_wheel_create(&f->ledger, now_ms);
    CHECK(f->wheel != NULL);
}

static void close_all(struct fixture *f) {
    CHECK_EQ(pn_wheel_count(f->wheel), 0);
    pn_wheel_destroy(f->wheel);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_pool_close(&f->pool);
    pn_heap_destroy(f->heap);
}

/* ---- a log of what fired ---- */

struct logged {
    pn_timer timer;
    int id;
    struct log *log;
};

struct log {
    int ids[64];
    int count;
};

static void note(pn_timer *timer) {
    struct logged *l = PN_CONTAINER(timer, struct logged, timer);
    if (l->log->count < 64) l->log->ids[l->log->count] = l->id;
    l->log->count++;
}

static void init_logged(struct logged *list, int count, struct log *log, pn_timer_fn fn) {
    memset(log, 0, sizeof *log);
    for (int i = 0; i < count; i++) {
        list[i].id = i;
        list[i].log = log;
        pn_timer_init(&list[i].timer, fn);
    }
}

static void check_log(const struct log *log, int count, const int *ids) {
    CHECK_EQ(log->count, count);
    for (int i = 0; i < count; i++) CHECK_EQ(log->ids[i], ids[i]);
}

static uint64_t next_of(const pn_wheel *wheel) {
    uint64_t at_ms;
    CHECK(pn_wheel_next(wheel, &at_ms));
    return at_ms;
}

TEST(wheel_timer_stays_small) { CHECK_INT(sizeof(pn_timer), <=, 48); }

TEST(wheel_creation_without_memory_is_null) {
    struct fixture f;
    open_at(&f, 0);
    int64_t live = pn_ledger_live(&f.ledger);
    f.ledger.limit_bytes = live;
    CHECK(pn_wheel_create(&f.ledger, 0) == NULL);
    CHECK_EQ(pn_ledger_live(&f.ledger), live);
    close_all(&f);
}

TEST(wheel_fires_at_its_tick_and_not_before) {
    struct fixture f;
    struct logged t;
    struct log log;
    static const uint64_t starts[] = {0, 1, 4095, 4096, (1 << 24) - 1, 1ULL << 40, UINT64_MAX / 2};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        for (unsigned bit = 0; bit < 63; bit++) {
            open_at(&f, starts[s]);
            init_logged(&t, 1, &log, note);
            uint64_t at_ms = starts[s] + (1ULL << bit);
            pn_timer_start(f.wheel, &t.timer, at_ms);
            CHECK(next_of(f.wheel) == at_ms);
            CHECK_EQ(pn_wheel_advance(f.wheel, at_ms - 1), 0);
            CHECK(next_of(f.wheel) == at_ms);
            CHECK_EQ(pn_wheel_advance(f.wheel, at_ms), 1);
            CHECK_EQ(log.count, 1);
            CHECK(!pn_timer_active(&t.timer));
            close_all(&f);
        }
    }
}

TEST(wheel_takes_the_last_tick_of_all) {
    struct fixture f;
    struct logged t;
    struct log log;
    open_at(&f, 0);
    init_logged(&t, 1, &log, note);
    pn_timer_start(f.wheel, &t.timer, UINT64_MAX);
    CHECK(next_of(f.wheel) == UINT64_MAX);
    CHECK_EQ(pn_wheel_advance(f.wheel, UINT64_MAX - 1), 0);
    CHECK_EQ(pn_wheel_advance(f.wheel, UINT64_MAX), 1);
    CHECK(pn_wheel_now_ms(f.wheel) == UINT64_MAX);
    close_all(&f);
}

TEST(wheel_never_goes_backwards) {
    struct fixture f;
    struct logged t;
    struct log log;
    open_at(&f, 1000);
    init_logged(&t, 1, &log, note);
    pn_timer_start(f.wheel, &t.timer, 1001);
    CHECK_EQ(pn_wheel_advance(f.wheel, 5), 0);
    CHECK_EQ(pn_wheel_now_ms(f.wheel), 1000);
    CHECK_EQ(pn_wheel_advance(f.wheel, 1001), 1);
    close_all(&f);
}

/* One tick, started from ever nearer: each start puts its timer at another level or brings others
 * down. */
TEST(wheel_equal_ticks_fire_in_start_order_across_levels) {
    struct fixture f;
    struct logged t[64];
    struct log log;
    static const uint64_t left[] = {HUNDRED_YEARS_MS,
                                    1ULL << 33,
                                    1ULL << 25,
                                    1ULL << 24,
                                    1ULL << 13,
                                    5000,
                                    4096,
                                    4095,
                                    100,
                                    2,
                                    1};
    enum { N = sizeof left / sizeof *left };
    int ids[N];
    for (uint64_t odd = 0; odd < 5000; odd += 617) {
        open_at(&f, 7);
        init_logged(t, N, &log, note);
        uint64_t at_ms = HUNDRED_YEARS_MS + 7 + odd;
        for (int i = 0; i < N; i++) {
            ids[i] = i;
            if (at_ms - left[i] > 7) CHECK_EQ(pn_wheel_advance(f.wheel, at_ms - left[i]), 0);
            pn_timer_start(f.wheel, &t[i].timer, at_ms);
        }
        CHECK_EQ(pn_wheel_advance(f.wheel, at_ms + 100000), N);
        check_log(&log, N, ids);
        close_all(&f);
    }
}

TEST(wheel_restart_moves_to_the_end_of_its_tick) {
    struct fixture f;
    struct logged t[3];
    struct log log;
    open_at(&f, 0);
    init_logged(t, 3, &log, note);
    for (int i = 0; i < 3; i++) pn_timer_start(f.wheel, &t[i].timer, 10);
    pn_timer_start(f.wheel, &t[0].timer, 10);
    CHECK_EQ(pn_wheel_count(f.wheel), 3);
    CHECK_EQ(pn_wheel_advance(f.wheel, 10), 3);
    check_log(&log, 3, (int[]){1, 2, 0});
    close_all(&f);
}

TEST(wheel_overdue_fire_first_and_sorted) {
    struct fixture f;
    struct logged t[6];
    struct log log;
    open_at(&f, 100);
    init_logged(t, 6, &log, note);
    static const uint64_t at_ms[] = {101, 90, 100, 30, 90, 0};
    for (int i = 0; i < 6; i++) pn_timer_start(f.wheel, &t[i].timer, at_ms[i]);
    CHECK_EQ(next_of(f.wheel), 0);
    CHECK(pn_timer_stop(f.wheel, &t[5].timer));
    CHECK_EQ(next_of(f.wheel), 30);
    CHECK_EQ(pn_wheel_advance(f.wheel, 100), 4);
    check_log(&log, 4, (int[]){3, 1, 4, 2});
    CHECK_EQ(pn_wheel_advance(f.wheel, 101), 1);
    close_all(&f);
}

TEST(wheel_stop_is_idempotent_and_says_what_it_did) {
    struct fixture f;
    struct logged t;
    struct log log;
    open_at(&f, 0);
    init_logged(&t, 1, &log, note);
    CHECK(!pn_timer_stop(f.wheel, &t.timer));
    pn_timer_start(f.wheel, &t.timer, 5000);
    CHECK(pn_timer_active(&t.timer));
    CHECK(pn_timer_stop(f.wheel, &t.timer));
    CHECK(!pn_timer_stop(f.wheel, &t.timer));
    uint64_t at_ms;
    CHECK(!pn_wheel_next(f.wheel, &at_ms));
    CHECK_EQ(pn_wheel_advance(f.wheel, 10000), 0);
    close_all(&f);
}

/* ---- callbacks that change the wheel ---- */

struct again {
    pn_timer timer;
    pn_wheel *wheel;
    int count;
    uint64_t delay_ms;
};

static void start_again(pn_timer *timer) {
    struct again *a = PN_CONTAINER(timer, struct again, timer);
    a->count++;
    pn_timer_start(a->wheel, timer, pn_wheel_now_ms(a->wheel) + a->delay_ms);
}

/* With the time it has already reached, and with one the same advance would have passed. */
TEST(wheel_callback_cannot_loop_within_an_advance) {
    struct fixture f;
    open_at(&f, 0);
    struct again a = {.wheel = f.wheel};
    pn_timer_init(&a.timer, start_again);
    pn_timer_start(f.wheel, &a.timer, 1);
    CHECK_EQ(pn_wheel_advance(f.wheel, 50), 1);
    CHECK_EQ(next_of(f.wheel), 50);
    CHECK_EQ(pn_wheel_advance(f.wheel, 50), 1);
    a.delay_ms = 3;
    CHECK_EQ(pn_wheel_advance(f.wheel, 50), 1);
    CHECK_EQ(pn_wheel_advance(f.wheel, 52), 0);
    CHECK_EQ(pn_wheel_advance(f.wheel, 53), 1);
    CHECK(pn_timer_stop(f.wheel, &a.timer));
    CHECK_EQ(a.count, 4);
    close_all(&f);
}

struct killer {
    pn_timer timer;
    pn_wheel *wheel;
    pn_timer *victim;
    bool stopped;
};

static void kill_victim(pn_timer *timer) {
    struct killer *k = PN_CONTAINER(timer, struct killer, timer);
    k->stopped = pn_timer_stop(k->wheel, k->victim);
    memset(k->victim, 0xff, sizeof *k->victim); /* its memory is somebody else's now */
}

TEST(wheel_callback_may_stop_one_that_is_due_too) {
    struct fixture f;
    struct log log;
    open_at(&f, 0);
    for (uint64_t gap = 0; gap < 2; gap++) {
        uint64_t at_ms = pn_wheel_now_ms(f.wheel) + 10;
        struct logged t[2];
        init_logged(t, 2, &log, note);
        struct killer k = {.wheel = f.wheel, .victim = &t[0].timer};
        pn_timer_init(&k.timer, kill_victim);
        pn_timer_start(f.wheel, &k.timer, at_ms);
        pn_timer_start(f.wheel, &t[0].timer, at_ms + gap);
        pn_timer_start(f.wheel, &t[1].timer, at_ms + gap);
        CHECK_EQ(pn_wheel_advance(f.wheel, at_ms + gap), 2);
        CHECK(k.stopped);
        check_log(&log, 1, (int[]){1});
    }
    close_all(&f);
}

static void free_itself(pn_timer *timer) { free(PN_CONTAINER(timer, struct again, timer)); }

TEST(wheel_callback_may_free_its_timer) {
    struct fixture f;
    open_at(&f, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        struct again *a = calloc(1, sizeof *a);
        pn_timer_init(&a->timer, free_itself);
        pn_timer_start(f.wheel, &a->timer, 1 + i * i % 7000);
    }
    CHECK_EQ(pn_wheel_advance(f.wheel, 7000), 1000);
    close_all(&f);
}

/* Time-outs all of one length, the oldest stopped first, as a client's are: the next tick follows.
 * */
TEST(wheel_next_follows_a_flow_of_timeouts) {
    enum { N = 5000 };
    struct fixture f;
    open_at(&f, 1);
    struct logged *t = calloc(N, sizeof *t);
    struct log log;
    init_logged(t, N, &log, note);
    for (unsigned i = 0; i < N; i++) pn_timer_start(f.wheel, &t[i].timer, 30000 + i / 10);
    for (unsigned i = 0; i < N; i++) {
        CHECK_EQ(next_of(f.wheel), 30000 + i / 10);
        CHECK(pn_timer_stop(f.wheel, &t[i].timer));
    }
    CHECK_EQ(log.count, 0);
    free(t);
    close_all(&f);
}

/* Time-outs of many lengths, the earliest stopped first: the next tick follows all the same. */
TEST(wheel_next_follows_mixed_timeouts) {
    enum { N = 2000 };
    struct fixture f;
    open_at(&f, 1);
    struct logged *t = calloc(N, sizeof *t);
    struct log log;
    init_logged(t, N, &log, note);
    for (unsigned i = 0; i < N; i++) { /* 401 is prime to N */
        pn_timer_start(f.wheel, &t[i].timer, 30000 + i * 401 % N / 2);
    }
    for (unsigned tick = 0; tick < N / 2; tick++) {
        for (unsigned i = 0; i < N; i++) {
            if (i * 401 % N / 2 != tick) continue;
            CHECK_EQ(next_of(f.wheel), 30000 + tick);
            CHECK(pn_timer_stop(f.wheel, &t[i].timer));
        }
    }
    CHECK_EQ(log.count, 0);
    free(t);
    close_all(&f);
}

/* A thousand jumps of a year with a timer at the end of each take no time worth measuring; were
 * ticks walked one by one, the 3e13 of them would never end. */
TEST(wheel_long_gaps_are_skipped) {
    struct fixture f;
    struct logged t;
    struct log log;
    open_at(&f, 0);
    init_logged(&t, 1, &log, note);
    for (uint64_t year = 1; year <= 1000; year++) {
        pn_timer_start(f.wheel, &t.timer, year * (HUNDRED_YEARS_MS / 100));
        CHECK_EQ(pn_wheel_advance(f.wheel, year * (HUNDRED_YEARS_MS / 100)), 1);
    }
    close_all(&f);
}

/* ---- the model: an array, searched ---- */

#define MODEL_TIMERS 300

struct model;

struct modelled {
    pn_timer timer; /* on the heap and freed when it ends, so that a sanitizer sees a late touch */
    struct model *model;
    int index;
};

struct model {
    struct fixture f;
    pn_rand rand;
    uint64_t now_ms, order;
    struct modelled *timers[MODEL_TIMERS];
    bool active[MODEL_TIMERS];
    bool due[MODEL_TIMERS]; /* of the advance that is running */
    uint64_t at_ms[MODEL_TIMERS], started[MODEL_TIMERS];
    size_t fired;
    int depth;
};

static void on_model(pn_timer *timer);

static uint64_t draw(struct model *m, uint64_t n) { return pn_rand_below(&m->rand, n); }

static uint64_t draw_distance(struct model *m) {
    switch (draw(m, 8)) {
    case 0: return 0;
    case 1: return draw(m, 3);
    case 2: return draw(m, 50);
    case 3: return draw(m, 10000);
    case 4: return 4096 * (1 + draw(m, 3));
    case 5: return draw(m, 1ULL << (1 + draw(m, 45)));
    case 6: return 60000;
    default: return draw(m, HUNDRED_YEARS_MS);
    }
}

static void model_start(struct model *m, int i) {
    uint64_t at_ms = m->now_ms + draw_distance(m);
    if (draw(m, 10) == 0) at_ms = m->now_ms - draw(m, m->now_ms < 20 ? m->now_ms + 1 : 20);
    int like = (int)draw(m, MODEL_TIMERS); /* often another's tick: order matters there */
    if (m->active[like] && draw(m, 2) == 0) at_ms = m->at_ms[like];
    if (m->timers[i] == NULL) {
        m->timers[i] = calloc(1, sizeof *m->timers[i]);
        m->timers[i]->model = m;
        m->timers[i]->index = i;
        pn_timer_init(&m->timers[i]->timer, on_model);
    }
    m->active[i] = true;
    m->due[i] = false;
    m->at_ms[i] = at_ms;
    m->started[i] = m->order++;
    pn_timer_start(m->f.wheel, &m->timers[i]->timer, at_ms);
}

static void model_stop(struct model *m, int i) {
    if (m->timers[i] == NULL) return;
    CHECK_EQ(pn_timer_active(&m->timers[i]->timer), m->active[i]);
    CHECK_EQ(pn_timer_stop(m->f.wheel, &m->timers[i]->timer), m->active[i]);
    m->active[i] = m->due[i] = false;
    if (draw(m, 2) == 0) return;
    free(m->timers[i]);
    m->timers[i] = NULL;
}

/* The earliest of all active timers, or of those that are due; -1: none. */
static int model_first(const struct model *m, bool only_due) {
    int first = -1;
    for (int i = 0; i < MODEL_TIMERS; i++) {
        if (!m->active[i] || (only_due && !m->due[i])) continue;
        if (first < 0 || m->at_ms[i] < m->at_ms[first] ||
            (m->at_ms[i] == m->at_ms[first] && m->started[i] < m->started[first])) {
            first = i;
        }
    }
    return first;
}

static void model_check_next(const struct model *m) {
    uint64_t at_ms = 0;
    int first = model_first(m, false);
    CHECK_EQ(pn_wheel_next(m->f.wheel, &at_ms), first >= 0);
    if (first >= 0) CHECK(at_ms == m->at_ms[first]);
}

static void model_meddle(struct model *m) {
    for (uint64_t n = draw(m, 4); n > 0; n--) {
        int i = (int)draw(m, MODEL_TIMERS);
        if (draw(m, 2) == 0) {
            model_start(m, i);
        } else {
            model_stop(m, i);
        }
    }
}

static void on_model(pn_timer *timer) {
    struct modelled *t = PN_CONTAINER(timer, struct modelled, timer);
    struct model *m = t->model;
    CHECK_EQ(t->index, model_first(m, true));
    CHECK(pn_wheel_now_ms(m->f.wheel) == m->now_ms);
    CHECK(!pn_timer_active(timer));
    m->active[t->index] = m->due[t->index] = false;
    m->fired++;
    uint64_t what = draw(m, 4);
    if (what == 0) {
        model_start(m, t->index);
    } else if (what == 1) {
        m->timers[t->index] = NULL;
        free(t);
    }
    model_meddle(m);
    model_check_next(m);
}

static void model_advance(struct model *m, uint64_t to_ms) {
    for (int i = 0; i < MODEL_TIMERS; i++) m->due[i] = m->active[i] && m->at_ms[i] <= to_ms;
    m->now_ms = to_ms;
    m->fired = 0;
    CHECK_EQ(pn_wheel_advance(m->f.wheel, to_ms), m->fired);
    CHECK_EQ(model_first(m, true), -1);
}

static void model_step(struct model *m) {
    int first = model_first(m, false);
    switch (draw(m, 8)) {
    case 0: model_advance(m, m->now_ms + draw_distance(m) % (1ULL << 36)); break;
    case 1:
        if (first >= 0 && m->at_ms[first] > m->now_ms) model_advance(m, m->at_ms[first]);
        break;
    case 2: model_advance(m, m->now_ms + draw(m, 20)); break;
    case 3:
    case 4: model_stop(m, (int)draw(m, MODEL_TIMERS)); break;
    default: model_start(m, (int)draw(m, MODEL_TIMERS)); break;
    }
    size_t count = 0;
    for (int i = 0; i < MODEL_TIMERS; i++) count += m->active[i];
    CHECK_EQ(pn_wheel_count(m->f.wheel), count);
    model_check_next(m);
}

static void run_model(uint64_t seed, int steps) {
    static struct model model;
    struct model *m = &model;
    *m = (struct model){.rand = {.key = pn_rand_key(seed, "wheel", 0)}};
    m->now_ms = draw(m, 1ULL << (1 + draw(m, 50)));
    open_at(&m->f, m->now_ms);
    for (int i = 0; i < steps; i++) model_step(m);
    for (int i = 0; i < MODEL_TIMERS; i++) {
        if (m->active[i]) CHECK(pn_timer_stop(m->f.wheel, &m->timers[i]->timer));
        free(m->timers[i]);
    }
    close_all(&m->f);
}

TEST(wheel_agrees_with_a_naive_model) {
    for (uint64_t seed = 1; seed <= 200; seed++) run_model(seed, 2000);
}
