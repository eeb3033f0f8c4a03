#include "load/executor.h"

#include <string.h>

#include "base/err.h"

static uint64_t load64(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static uint32_t load32(const _Atomic uint32_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* For counters with one writer. */
static void add64(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, load64(counter) + more, memory_order_relaxed);
}

static void add32(_Atomic uint32_t *counter, uint32_t more) {
    atomic_store_explicit(counter, load32(counter) + more, memory_order_relaxed);
}

static pn_phase phase_of(const pn_executor *x) {
    return (pn_phase)atomic_load_explicit(&x->phase, memory_order_relaxed);
}

static void set_phase(pn_executor *x, pn_phase phase) {
    atomic_store_explicit(&x->phase, (uint8_t)phase, memory_order_relaxed);
}

/* ---- the run ---- */

void pn_scenario_run_init(pn_scenario_run *run, const pn_scenario *scenario, pn_executor *parts,
                          uint32_t part_count) {
    memset(run, 0, sizeof *run);
    run->scenario = scenario;
    run->is_open = scenario->type->is_open;
    run->start_ns = UINT64_MAX;
    atomic_store(&run->regular_end_ns, UINT64_MAX);
    atomic_store(&run->hard_end_ns, UINT64_MAX);
    atomic_store(&run->parts_left, part_count);
    run->part_count = part_count;
    run->parts = parts;
}

/* An end that a stop has set already stays. */
static void set_end(_Atomic uint64_t *end_ns, uint64_t at_ns) {
    uint64_t old = load64(end_ns);
    while (old > at_ns && !atomic_compare_exchange_weak(end_ns, &old, at_ns)) {}
}

void pn_scenario_run_start(pn_scenario_run *run, uint64_t start_ns) {
    const pn_scenario *s = run->scenario;
    run->start_ns = start_ns + s->start_time_ns;
    set_end(&run->regular_end_ns, start_ns + pn_scenario_regular_end_ns(s));
    set_end(&run->hard_end_ns, start_ns + pn_scenario_hard_end_ns(s));
}

void pn_scenario_run_stop(pn_scenario_run *run, uint64_t now_ns, bool at_once) {
    if (at_once) set_end(&run->hard_end_ns, now_ns);
    set_end(&run->regular_end_ns, now_ns);
}

pn_scenario_counts pn_scenario_run_counts(const pn_scenario_run *run) {
    pn_scenario_counts sum = {0};
    for (uint32_t i = 0; i < run->part_count; i++) {
        const pn_part_counts *c = &run->parts[i].counts;
        sum.started += load64(&c->started);
        sum.complete += load64(&c->complete);
        sum.interrupted += load64(&c->interrupted);
        sum.dropped += load64(&c->dropped);
        sum.failed += load64(&c->failed);
        sum.active += load32(&c->active);
        sum.running += load32(&c->running);
    }
    return sum;
}

pn_phase pn_scenario_run_phase(const pn_scenario_run *run) {
    pn_phase earliest = PN_PHASE_DONE;
    for (uint32_t i = 0; i < run->part_count; i++) {
        pn_phase phase = phase_of(&run->parts[i]);
        if (phase < earliest) earliest = phase;
    }
    return earliest;
}

/* ---- a part ---- */

void pn_executor_init(pn_executor *x, pn_scenario_run *run, uint32_t index, const pn_vu_host *host,
                      pn_metrics_shard *shard, const pn_labels *labels, pn_ledger *ledger) {
    memset(x, 0, sizeof *x);
    x->run = run;
    x->index = index;
    x->host = host;
    x->shard = shard;
    x->labels = labels;
    pn_list_init(&x->vus);
    pn_list_init(&x->idle);
    pn_list_init(&x->homes);
    pn_histogram_init(&x->lateness, ledger);
}

void pn_executor_close(pn_executor *x) {
    pn_assert(x->vu_count == 0);
    pn_histogram_close(&x->lateness);
}

static void drop(pn_executor *x, uint64_t count, uint64_t now_ns) {
    if (count == 0) return;
    add64(&x->counts.dropped, count);
    pn_metrics_record(x->shard, PN_METRIC_DROPPED_ITERATIONS, (double)count, now_ns,
                      &x->labels->tags);
}

static bool may_begin(const pn_executor *x, uint64_t now_ns) {
    return phase_of(x) == PN_PHASE_RUNNING && now_ns < load64(&x->run->regular_end_ns);
}

static void order_iteration(pn_executor *x, pn_vu *vu, uint64_t number, uint64_t intended_ns) {
    vu->state = PN_VU_RUNNING;
    vu->has_order = false;
    vu->is_interrupted = false;
    vu->number = number;
    vu->intended_ns = intended_ns;
    vu->iteration_count++;
    add64(&x->counts.started, 1);
    add32(&x->counts.running, 1);
}

static void become_idle(pn_executor *x, pn_vu *vu) {
    vu->state = PN_VU_IDLE;
    pn_list_push(&x->idle, &vu->idle);
    if (x->run->is_open) atomic_fetch_add(&x->free_count, 1);
}

static void begin_leaving(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    vu->state = PN_VU_LEAVING;
    if (!x->has_begun) return;
    add32(&x->counts.active, (uint32_t)-1);
    if (x->run->scenario->type->forfeit != NULL) {
        drop(x, x->run->scenario->type->forfeit(x, vu), now_ns);
    }
}

/* What a user does that has nothing to do. */
static pn_vu_order decide(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    const pn_executor_type *type = x->run->scenario->type;
    pn_vu_order order = PN_VU_LEAVE;
    if (phase_of(x) == PN_PHASE_WAITING) {
        order = PN_VU_WAIT;
    } else if (may_begin(x, now_ns)) {
        order = type->next(x, vu, now_ns);
    }
    if (order == PN_VU_RUN) order_iteration(x, vu, vu->number, now_ns);
    if (order == PN_VU_WAIT) become_idle(x, vu);
    if (order == PN_VU_LEAVE) begin_leaving(x, vu, now_ns);
    return order;
}

static void employ(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    pn_vu_order order = decide(x, vu, now_ns);
    if (order == PN_VU_RUN) x->host->run(vu);
    if (order == PN_VU_LEAVE) x->host->retire(vu);
}

/* One of the part's free users is the claimant's from here on. Any thread. */
static bool claim(pn_executor *x) {
    int32_t free = atomic_load_explicit(&x->free_count, memory_order_relaxed);
    while (free > 0) {
        if (atomic_compare_exchange_weak(&x->free_count, &free, free - 1)) return true;
    }
    return false;
}

static pn_vu *pop_idle(pn_executor *x) {
    pn_list *link = pn_list_pop(&x->idle);
    return link != NULL ? PN_CONTAINER(link, pn_vu, idle) : NULL;
}

static void retire(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    begin_leaving(x, vu, now_ns);
    x->host->retire(vu);
}

/* ---- phases ---- */

static void check_done(pn_executor *x, uint64_t now_ns) {
    pn_phase phase = phase_of(x);
    bool may_end = phase >= PN_PHASE_STOPPING || (phase == PN_PHASE_RUNNING && !x->run->is_open);
    if (x->vu_count > 0 || !may_end || phase == PN_PHASE_DONE) return;
    set_phase(x, PN_PHASE_DONE);
    pn_scenario_run *run = x->run;
    bool is_last = atomic_fetch_sub(&run->parts_left, 1) == 1;
    bool counts = is_last && run->scenario->type->leftover != NULL && run->start_ns != UINT64_MAX;
    if (counts) drop(x, run->scenario->type->leftover(run), now_ns);
    x->host->done(x);
}

static void begin(pn_executor *x, uint64_t now_ns) {
    const pn_scenario *s = x->run->scenario;
    uint64_t rate = s->rate > 0 ? s->rate : 1, unit_ns = s->time_unit_ns > 0 ? s->time_unit_ns : 1;
    set_phase(x, PN_PHASE_RUNNING);
    x->has_begun = true;
    pn_pacer_init(&x->pacer, rate, unit_ns, s->duration_ns, x->index, x->run->part_count);
    atomic_store_explicit(&x->counts.active, x->vu_count, memory_order_relaxed);
    if (s->type->begin != NULL) s->type->begin(x);
    if (x->run->is_open) return;
    pn_list waiting;
    pn_list_init(&waiting);
    pn_list_splice(&waiting, &x->idle);
    pn_list *link;
    while ((link = pn_list_pop(&waiting)) != NULL)
        employ(x, PN_CONTAINER(link, pn_vu, idle), now_ns);
}

static void take_arrivals(pn_executor *x, uint64_t now_ns) {
    uint64_t start_ns = x->run->start_ns, end_ns = load64(&x->run->regular_end_ns), number, at_ns;
    if (end_ns <= start_ns) return;
    uint64_t until_ns = now_ns < end_ns ? now_ns : end_ns - 1;
    while (pn_pacer_take(&x->pacer, until_ns - start_ns, &number, &at_ns)) {
        pn_executor_arrive(x, number, start_ns + at_ns, now_ns);
    }
}

/* Users that were claimed for an arrival on its way here stay. */
static void end_regularly(pn_executor *x, uint64_t now_ns) {
    set_phase(x, PN_PHASE_STOPPING);
    if (now_ns > x->ended_ns) x->ended_ns = now_ns;
    if (!x->run->is_open) {
        pn_vu *vu;
        while ((vu = pop_idle(x)) != NULL) retire(x, vu, now_ns);
        return;
    }
    int32_t free = atomic_exchange(&x->free_count, 0);
    for (; free > 0; free--) retire(x, pop_idle(x), now_ns);
}

static void interrupt_all(pn_executor *x) {
    set_phase(x, PN_PHASE_INTERRUPTING);
    for (pn_list *l = x->vus.next, *next = l->next; l != &x->vus; l = next, next = l->next) {
        pn_vu *vu = PN_CONTAINER(l, pn_vu, all);
        if (vu->state != PN_VU_RUNNING && vu->state != PN_VU_PREPARING) continue;
        vu->is_interrupted = true;
        x->host->interrupt(vu);
    }
}

static uint64_t next_wake_ns(const pn_executor *x) {
    const pn_scenario_run *run = x->run;
    uint64_t regular_ns = load64(&run->regular_end_ns), wake_ns;
    switch (phase_of(x)) {
    case PN_PHASE_WAITING: return run->start_ns < regular_ns ? run->start_ns : regular_ns;
    case PN_PHASE_RUNNING:
        wake_ns = run->is_open ? pn_pacer_next_ns(&x->pacer) : UINT64_MAX;
        if (wake_ns != UINT64_MAX) wake_ns += run->start_ns;
        return wake_ns < regular_ns ? wake_ns : regular_ns;
    case PN_PHASE_STOPPING: return load64(&run->hard_end_ns);
    default: return UINT64_MAX;
    }
}

uint64_t pn_executor_advance(pn_executor *x, uint64_t now_ns) {
    pn_scenario_run *run = x->run;
    if (phase_of(x) == PN_PHASE_WAITING && now_ns >= run->start_ns) begin(x, now_ns);
    if (phase_of(x) == PN_PHASE_RUNNING && run->is_open) take_arrivals(x, now_ns);
    if (phase_of(x) <= PN_PHASE_RUNNING && now_ns >= load64(&run->regular_end_ns)) {
        end_regularly(x, now_ns);
    }
    if (phase_of(x) == PN_PHASE_STOPPING && now_ns >= load64(&run->hard_end_ns)) interrupt_all(x);
    check_done(x, now_ns);
    return next_wake_ns(x);
}

/* ---- users ---- */

void pn_executor_add(pn_executor *x, pn_vu *vu) {
    uint64_t id = vu->id;
    memset(vu, 0, sizeof *vu);
    vu->id = id;
    vu->executor = x;
    vu->state = PN_VU_PREPARING;
    pn_list_init(&vu->idle);
    pn_list_push(&x->vus, &vu->all);
    x->vu_count++;
    if (x->has_begun) add32(&x->counts.active, 1);
}

void pn_vu_ready(pn_vu *vu, uint64_t now_ns) {
    pn_executor *x = vu->executor;
    pn_assert(vu->state == PN_VU_PREPARING);
    bool may_still = phase_of(x) < PN_PHASE_INTERRUPTING;
    if (vu->has_order && may_still) {
        order_iteration(x, vu, vu->number, vu->intended_ns);
        x->host->run(vu);
        return;
    }
    if (vu->has_order) drop(x, 1, now_ns);
    vu->has_order = false;
    employ(x, vu, now_ns);
}

void pn_executor_remove(pn_executor *x, pn_vu *vu, uint64_t now_ns) {
    if (vu->state != PN_VU_LEAVING && x->has_begun) add32(&x->counts.active, (uint32_t)-1);
    if (vu->has_order) drop(x, 1, now_ns);
    if (vu->state == PN_VU_IDLE && x->run->is_open)
        claim(x); /* or an arrival on its way finds nobody */
    pn_list_remove(&vu->idle);
    if (vu->state == PN_VU_RUNNING) add32(&x->counts.running, (uint32_t)-1);
    pn_list_remove(&vu->all);
    x->vu_count--;
    vu->state = PN_VU_LEAVING;
    check_done(x, now_ns);
}

/* Milliseconds from a start that the clock has passed. */
static double ms_between(uint64_t from_ns, uint64_t to_ns) {
    return (double)(to_ns - from_ns) * 1e-6;
}

static void record_iteration(pn_executor *x, const pn_vu *vu, bool has_failed, uint64_t now_ns) {
    const pn_tags *tags = &x->labels->tags;
    pn_metrics_record(x->shard, PN_METRIC_ITERATIONS, 1, now_ns, tags);
    pn_metrics_record(x->shard, PN_METRIC_ITERATION_DURATION, ms_between(vu->intended_ns, now_ns),
                      now_ns, tags);
    if (x->run->has_uncorrected) {
        pn_metrics_record(x->shard, x->run->uncorrected_iteration_id,
                          ms_between(vu->started_ns, now_ns), now_ns, tags);
    }
    add64(&x->counts.complete, 1);
    if (!has_failed) return;
    add64(&x->counts.failed, 1);
    pn_metrics_record(x->shard, PN_METRIC_ITERATION_ERRORS, 1, now_ns, tags);
}

pn_vu_order pn_vu_end(pn_vu *vu, pn_ending ending, uint64_t now_ns) {
    pn_executor *x = vu->executor;
    pn_assert(vu->state == PN_VU_RUNNING);
    add32(&x->counts.running, (uint32_t)-1);
    x->ended_ns = now_ns;
    vu->late_ns = 0;
    if (ending == PN_ENDING_INTERRUPTED) {
        add64(&x->counts.interrupted, 1);
    } else {
        record_iteration(x, vu, ending == PN_ENDING_FAILED, now_ns);
    }
    return decide(x, vu, now_ns);
}

void pn_scenario_record_request(const pn_scenario_run *run, pn_metrics_shard *shard,
                                uint64_t duration_ns, uint64_t late_ns, uint64_t now_ns,
                                const pn_tags *tags) {
    double ms = (double)(duration_ns + late_ns) * 1e-6;
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_DURATION, ms, now_ns, tags);
    if (run == NULL || !run->has_uncorrected) return;
    pn_metrics_record(shard, run->uncorrected_request_id, (double)duration_ns * 1e-6, now_ns, tags);
}

/* ---- arrivals ---- */

static pn_executor *claim_elsewhere(pn_executor *x) {
    pn_scenario_run *run = x->run;
    for (uint32_t i = 1; i < run->part_count; i++) {
        pn_executor *other = &run->parts[(x->index + i) % run->part_count];
        if (claim(other)) return other;
    }
    return NULL;
}

/* A place among the users that there may be. */
static bool take_place(pn_scenario_run *run) {
    uint64_t count = load64(&run->vu_count), max = pn_scenario_vus_max(run->scenario);
    while (count < max) {
        if (atomic_compare_exchange_weak(&run->vu_count, &count, count + 1)) return true;
    }
    return false;
}

static bool grow(pn_executor *x, uint64_t number, uint64_t intended_ns) {
    if (!take_place(x->run)) return false;
    pn_vu *vu = x->host->grow(x);
    if (vu == NULL) {
        atomic_fetch_sub(&x->run->vu_count, 1);
        return false;
    }
    vu->has_order = true;
    vu->number = number;
    vu->intended_ns = intended_ns;
    return true;
}

static bool hand_over(pn_executor *x, uint64_t number, uint64_t intended_ns) {
    pn_executor *other = claim_elsewhere(x);
    if (other != NULL) x->host->hand_over(x, other, number, intended_ns);
    return other != NULL;
}

/* A claimed user; it may have died since it was claimed. */
static void set_to_work(pn_executor *x, uint64_t number, uint64_t intended_ns, uint64_t now_ns) {
    pn_vu *vu = pop_idle(x);
    if (vu == NULL) {
        drop(x, 1, now_ns);
        return;
    }
    order_iteration(x, vu, number, intended_ns);
    x->host->run(vu);
}

void pn_executor_arrive(pn_executor *x, uint64_t number, uint64_t intended_ns, uint64_t now_ns) {
    if (claim(x)) {
        set_to_work(x, number, intended_ns, now_ns);
    } else if (!hand_over(x, number, intended_ns) && !grow(x, number, intended_ns)) {
        drop(x, 1, now_ns);
    }
}

void pn_executor_take_over(pn_executor *x, uint64_t number, uint64_t intended_ns, uint64_t now_ns) {
    if (phase_of(x) < PN_PHASE_INTERRUPTING) {
        set_to_work(x, number, intended_ns, now_ns);
        return;
    }
    drop(x, 1, now_ns);
    pn_vu *vu = pop_idle(x);
    if (vu != NULL) retire(x, vu, now_ns);
}
