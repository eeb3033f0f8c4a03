#include "load/load.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"

#define LAG_INTERVAL_NS (100 * PN_NS_PER_MS) /* how often the event loop's lag is measured */

/* What a worker has while the run is on. The worker's memory, because the alarm's handle outlives
 * the run: it is closed with the worker. */
typedef struct pn__gear {
    pn_alarm alarm;
    pn_timer lag_timer;
    uint64_t lag_due_ns;
    pn_load_worker *w;
    pn_worker *worker;
} gear;

static uint64_t load64(const _Atomic uint64_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* ---- life ---- */

static size_t workers_bytes(const pn_load *load) {
    return load->runtime->worker_count * sizeof(pn_load_worker) + _Alignof(pn_load_worker);
}

static void *align(void *block, size_t alignment) {
    return (void *)(((uintptr_t)block + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

static void run_advance(pn_worker *worker, void *context);
static void run_event(pn_worker *worker, void *context);

static bool open_workers(pn_load *load) {
    load->workers_block = pn_mem_try_zeroed(load->ledger, workers_bytes(load));
    if (load->workers_block == NULL) return false;
    load->workers = align(load->workers_block, _Alignof(pn_load_worker));
    for (unsigned i = 0; i < load->runtime->worker_count; i++) {
        pn_load_worker *w = &load->workers[i];
        w->load = load;
        w->worker = &load->runtime->workers[i];
        w->advance_job = (pn_job){.run = run_advance, .context = w};
        pn_checks_init(&w->checks, &w->worker->ledger);
        pn_histogram_init(&w->lag, &w->worker->ledger);
    }
    return true;
}

pn_load *pn_load_create(pn_runtime *runtime, const pn_load_request *request) {
    pn_ledger *ledger = &runtime->shared;
    pn_load *load = pn_mem_try_zeroed(ledger, sizeof *load);
    if (load == NULL) return NULL;
    load->runtime = runtime;
    load->ledger = ledger;
    load->request = request;
    pn_texts_init(&load->texts, ledger);
    pn_problems_init(&load->problems, ledger);
    pn_terminal_init(&load->terminal, STDOUT_FILENO, request->is_terminal, &ledger->door);
    pn_buf_init(&load->data, &ledger->door);
    pn_buf_init(&load->script, &ledger->door);
    load->event_job = (pn_job){.run = run_event, .context = load};
    atomic_store(&load->verdict, -1);
    atomic_store(&load->start_ns, PN_LOAD_NOT_YET);
    pn_assert(pthread_mutex_init(&load->lock, NULL) == 0);
    load->thresholds = pn_thresholds_create(runtime->metrics, ledger);
    load->view = pn_metrics_view_create(runtime->metrics, ledger);
    if (load->thresholds != NULL && load->view != NULL && open_workers(load)) return load;
    pn_load_destroy(load);
    return NULL;
}

static uint32_t part_count(const pn_load *load) {
    return load->scenario_count * load->runtime->worker_count;
}

static size_t parts_bytes(const pn_load *load) {
    return part_count(load) * sizeof(pn_executor) + _Alignof(pn_executor);
}

static void close_parts(pn_load *load) {
    for (uint32_t i = 0; load->is_prepared && i < part_count(load); i++)
        pn_executor_close(&load->parts[i]);
    for (uint32_t i = 0; load->labels != NULL && i < load->scenario_count; i++) {
        pn_labels_destroy(load->ledger, load->labels[i]);
    }
    pn_mem_free(load->ledger, load->labels, load->scenario_count * sizeof *load->labels);
    pn_mem_free(load->ledger, load->parts_block, parts_bytes(load));
    pn_mem_free(load->ledger, load->runs, load->scenario_count * sizeof *load->runs);
    pn_mem_free(load->ledger, load->scenarios, load->scenario_count * sizeof *load->scenarios);
    pn_labels_destroy(load->ledger, load->base_labels);
    pn_labels_destroy(load->ledger, load->setup_labels);
    pn_labels_destroy(load->ledger, load->teardown_labels);
}

void pn_load_destroy(pn_load *load) {
    uint64_t lost;
    if (load->json != NULL) pn_load_close_json(load, &lost); /* the controller has died */
    close_parts(load);
    for (unsigned i = 0; load->workers != NULL && i < load->runtime->worker_count; i++) {
        pn_checks_close(&load->workers[i].checks);
        pn_histogram_close(&load->workers[i].lag);
    }
    pn_mem_free(load->ledger, load->workers_block, workers_bytes(load));
    if (load->view != NULL) pn_metrics_view_destroy(load->view);
    if (load->thresholds != NULL) pn_thresholds_destroy(load->thresholds);
    pthread_mutex_destroy(&load->lock);
    pn_buf_close(&load->data);
    pn_buf_close(&load->script);
    pn_problems_close(&load->problems);
    pn_terminal_close(&load->terminal);
    pn_texts_close(&load->texts);
    pn_mem_free(load->ledger, load, sizeof *load);
}

/* ---- configuring ---- */

static int copy_pairs(pn_load *load, pn_pairs *into, const pn_pairs *from) {
    int err = 0;
    into->count = 0;
    for (uint32_t i = 0; i < from->count && err == 0; i++) {
        const pn_pair *p = &from->list[i];
        err = pn_pairs_set(into, &load->texts, p->key, strlen(p->key), p->value, strlen(p->value));
    }
    return err;
}

static bool has_scenario(const pn_load *load, const char *name) {
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        if (strcmp(load->scenarios[i].name, name) == 0) return true;
    }
    return false;
}

int pn_load_add_scenario(pn_load *load, const pn_scenario *scenario) {
    pn_assert(!load->is_prepared);
    if (load->scenario_count == PN_SCENARIOS_MAX) return PN_ELIMIT;
    if (has_scenario(load, scenario->name)) return PN_EEXISTS;
    size_t size = sizeof *scenario;
    pn_scenario *list = pn_mem_resize(load->ledger, load->scenarios, load->scenario_count * size,
                                      (load->scenario_count + 1) * size);
    if (list == NULL) return PN_ENOMEM;
    load->scenarios = list;
    pn_scenario *s = &list[load->scenario_count++];
    *s = *scenario;
    s->name = pn_texts_add(&load->texts, scenario->name, strlen(scenario->name));
    s->exec = pn_texts_add(&load->texts, scenario->exec, strlen(scenario->exec));
    int err = s->name == NULL || s->exec == NULL ? PN_ENOMEM : 0;
    if (err == 0) err = copy_pairs(load, &s->env, &scenario->env);
    return err == 0 ? copy_pairs(load, &s->tags, &scenario->tags) : err;
}

/* k6's order. */
static bool is_before(const pn_scenario *a, const pn_scenario *b) {
    if (a->start_time_ns != b->start_time_ns) return a->start_time_ns < b->start_time_ns;
    return strcmp(a->name, b->name) < 0;
}

static void sort_scenarios(pn_load *load) {
    for (uint32_t i = 1; i < load->scenario_count; i++) {
        pn_scenario moved = load->scenarios[i];
        uint32_t at = i;
        for (; at > 0 && is_before(&moved, &load->scenarios[at - 1]); at--) {
            load->scenarios[at] = load->scenarios[at - 1];
        }
        load->scenarios[at] = moved;
    }
}

/* The tags of the run, those of the scenario, and its name. */
static int make_labels(pn_load *load, uint32_t i) {
    pn_pairs all = load->tags;
    const pn_scenario *s = &load->scenarios[i];
    pn_pairs name = {.list = {{"scenario", s->name}}, .count = 1};
    int err = pn_pairs_merge(&all, &s->tags);
    if (err == 0) err = pn_pairs_merge(&all, &name);
    if (err != 0) return err;
    load->labels[i] = pn_labels_create(load->ledger, &all);
    return load->labels[i] != NULL ? 0 : PN_ENOMEM;
}

static int make_hook_labels(pn_load *load) {
    load->base_labels = pn_labels_create(load->ledger, &load->tags);
    if (load->base_labels == NULL) return PN_ENOMEM;
    load->setup_labels = pn_labels_create_group(load->ledger, load->base_labels, "setup", 5);
    load->teardown_labels = pn_labels_create_group(load->ledger, load->base_labels, "teardown", 8);
    return load->setup_labels != NULL && load->teardown_labels != NULL ? 0 : PN_ENOMEM;
}

static int take_memory(pn_load *load) {
    uint32_t n = load->scenario_count;
    load->runs = pn_mem_try_zeroed(load->ledger, n * sizeof *load->runs);
    load->labels = pn_mem_try_zeroed(load->ledger, n * sizeof *load->labels);
    load->parts_block = pn_mem_try_zeroed(load->ledger, parts_bytes(load));
    if (load->runs == NULL || load->labels == NULL || load->parts_block == NULL) return PN_ENOMEM;
    load->parts = align(load->parts_block, _Alignof(pn_executor));
    return make_hook_labels(load);
}

/* Where an executor is open, its latency is corrected; the plain one is recorded beside it. */
static int register_uncorrected(pn_load *load) {
    static const pn_metric_options options = {.contains = PN_CONTAINS_TIME,
                                              .help = "not corrected"};
    static const char *const names[] = {"iteration_duration_uncorrected",
                                        "http_req_duration_uncorrected"};
    uint32_t *const ids[] = {&load->uncorrected_iteration_id, &load->uncorrected_request_id};
    for (int i = 0; i < 2; i++) {
        int id = pn_metrics_register(load->runtime->metrics, names[i], strlen(names[i]), PN_TREND,
                                     &options, NULL);
        if (id < 0) return id;
        *ids[i] = (uint32_t)id;
    }
    return 0;
}

static void make_run(pn_load *load, uint32_t i) {
    unsigned workers = load->runtime->worker_count;
    pn_scenario_run *run = &load->runs[i];
    pn_scenario_run_init(run, &load->scenarios[i], &load->parts[(size_t)i * workers], workers);
    run->has_uncorrected = load->is_open;
    run->uncorrected_iteration_id = load->uncorrected_iteration_id;
    run->uncorrected_request_id = load->uncorrected_request_id;
    atomic_store(&run->vu_count, pn_scenario_vus_planned(&load->scenarios[i]));
    for (unsigned w = 0; w < workers; w++) {
        pn_worker *worker = &load->runtime->workers[w];
        pn_executor *x = &load->parts[i * workers + w];
        pn_executor_init(x, run, w, load->host, worker->metrics, load->labels[i], &worker->ledger);
        x->context = load;
    }
}

int pn_load_prepare(pn_load *load, const pn_vu_host *host) {
    load->host = host;
    sort_scenarios(load);
    int err = take_memory(load);
    for (uint32_t i = 0; i < load->scenario_count && err == 0; i++) {
        err = make_labels(load, i);
        load->is_open = load->is_open || load->scenarios[i].type->is_open;
    }
    if (err == 0 && load->is_open) err = register_uncorrected(load);
    if (err != 0) return err;
    uint64_t planned = 0;
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        make_run(load, i);
        planned += pn_scenario_vus_planned(&load->scenarios[i]);
    }
    atomic_store(&load->preparing, planned);
    atomic_store(&load->parts_left, part_count(load));
    for (unsigned w = 0; w < load->runtime->worker_count; w++) {
        load->workers[w].parts_left = load->scenario_count;
    }
    load->is_prepared = true;
    return 0;
}

/* ---- events ---- */

static void run_event(pn_worker *worker, void *context) {
    pn_load *load = context;
    (void)worker;
    atomic_store(&load->is_event_posted, false);
    load->has_event = true;
    if (load->on_event != NULL) load->on_event(load);
}

void pn_load_tell(pn_load *load) {
    if (atomic_exchange(&load->is_event_posted, true)) return;
    pn_worker_post(&load->runtime->workers[0], &load->event_job);
}

uint64_t pn_load_next_vu_id(pn_load *load) { return atomic_fetch_add(&load->vu_id, 1) + 1; }

void pn_load_prepared(pn_load *load) {
    if (atomic_fetch_sub(&load->preparing, 1) == 1) pn_load_tell(load);
}

bool pn_load_decide(pn_load *load, pn_verdict_code code, const char *why) {
    pthread_mutex_lock(&load->lock);
    bool is_first = atomic_load(&load->verdict) < 0;
    if (is_first) {
        snprintf(load->why, sizeof load->why, "%s", why != NULL ? why : "");
        atomic_store(&load->verdict, (int)code);
    }
    pthread_mutex_unlock(&load->lock);
    return is_first;
}

void pn_load_stop(pn_load *load) {
    uint64_t now_ns = pn_load_now_ns(load);
    atomic_store(&load->is_stopped, true);
    for (uint32_t i = 0; load->is_prepared && i < load->scenario_count; i++) {
        pn_scenario_run_stop(&load->runs[i], now_ns, true);
    }
    for (unsigned w = 0; w < load->runtime->worker_count; w++) pn_load_nudge(&load->workers[w]);
    pn_load_tell(load);
}

/* ---- on the workers ---- */

static uint64_t thread_cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    const struct timeval *times[] = {&usage.ru_utime, &usage.ru_stime};
    uint64_t ns = 0;
    for (int i = 0; i < 2; i++) {
        ns += (uint64_t)times[i]->tv_sec * PN_NS_PER_S + (uint64_t)times[i]->tv_usec * PN_NS_PER_US;
    }
    return ns;
}

static void advance_parts(pn_load_worker *w) {
    pn_load *load = w->load;
    uint64_t wake_ns = UINT64_MAX, now_ns = pn_load_now_ns(load);
    for (uint32_t s = 0; load->is_prepared && s < load->scenario_count; s++) {
        uint64_t at_ns = pn_executor_advance(pn_load_part(load, s, w->worker->index), now_ns);
        if (at_ns < wake_ns) wake_ns = at_ns;
    }
    if (w->gear != NULL) pn_alarm_set(&w->gear->alarm, wake_ns);
}

static void run_advance(pn_worker *worker, void *context) {
    pn_load_worker *w = context;
    (void)worker;
    atomic_store(&w->is_posted, false);
    advance_parts(w);
}

void pn_load_nudge(pn_load_worker *w) {
    if (!atomic_exchange(&w->is_posted, true)) pn_worker_post(w->worker, &w->advance_job);
}

static void on_ring(pn_alarm *alarm) { advance_parts(PN_CONTAINER(alarm, gear, alarm)->w); }

static void start_lag_timer(gear *g) {
    g->lag_due_ns = pn_clock_now_ns(g->worker->io.clock) + LAG_INTERVAL_NS;
    pn_io_start_timer(&g->worker->io, &g->lag_timer, LAG_INTERVAL_NS);
}

/* How much later than asked for a timer fires: the loop was busy, or the machine. */
static void on_lag_timer(pn_timer *timer) {
    gear *g = PN_CONTAINER(timer, gear, lag_timer);
    uint64_t now_ns = pn_clock_now_ns(g->worker->io.clock);
    uint64_t late_ns = now_ns > g->lag_due_ns ? now_ns - g->lag_due_ns : 0;
    if (g->w->parts_left == 0) return;
    pn_histogram_record(&g->w->lag, (double)late_ns * 1e-6);
    start_lag_timer(g);
}

static void on_gear_closed(pn_alarm *alarm) {
    gear *g = PN_CONTAINER(alarm, gear, alarm);
    pn_mem_free(&g->worker->ledger, g, sizeof *g);
}

/* With the worker; the run is gone by then. */
static void close_gear(void *object) {
    gear *g = object;
    pn_io_stop_timer(&g->worker->io, &g->lag_timer);
    pn_alarm_close(&g->alarm, on_gear_closed);
}

static int open_gear(pn_load_worker *w) {
    pn_worker *worker = w->worker;
    gear *g = pn_mem_try_zeroed(&worker->ledger, sizeof *g);
    if (g == NULL) return PN_ENOMEM;
    g->w = w;
    g->worker = worker;
    pn_timer_init(&g->lag_timer, on_lag_timer);
    int err = pn_alarm_init(&g->alarm, &worker->io, on_ring);
    if (err != 0) {
        pn_mem_free(&worker->ledger, g, sizeof *g);
        return err;
    }
    w->gear = g;
    worker->services[PN_SERVICE_LOAD] = (pn_service){g, close_gear};
    return 0;
}

typedef struct start_job {
    pn_job job;
    pn_load_worker *w;
} start_job;

static void run_start(pn_worker *worker, void *context) {
    start_job *start = context;
    pn_load_worker *w = start->w;
    pn_mem_free(w->load->ledger, start, sizeof *start);
    int err = open_gear(w);
    w->cpu_begin_ns = thread_cpu_ns();
    w->begin_ns = pn_clock_real_ns();
    if (err != 0) {
        char why[PN_LOAD_MESSAGE_BYTES];
        snprintf(why, sizeof why, "worker %u cannot start: %s", worker->index, pn_err_text(err));
        pn_load_decide(w->load, PN_VERDICT_SCRIPT, why);
        pn_load_stop(w->load);
        return;
    }
    start_lag_timer(w->gear);
    advance_parts(w);
}

void pn_load_start(pn_load *load) {
    uint64_t now_ns = pn_load_now_ns(load);
    atomic_store(&load->start_ns, now_ns);
    atomic_store(&load->runtime->is_measuring, true);
    for (uint32_t i = 0; i < load->scenario_count; i++)
        pn_scenario_run_start(&load->runs[i], now_ns);
    for (unsigned w = 0; w < load->runtime->worker_count; w++) {
        start_job *start = pn_mem_must(load->ledger, sizeof *start);
        *start = (start_job){{.run = run_start, .context = start}, &load->workers[w]};
        pn_worker_post(load->workers[w].worker, &start->job);
    }
}

/* ---- ends ---- */

void pn_load_part_done(pn_load *load, pn_executor *x) {
    pn_load_worker *w = &load->workers[x->index];
    if (--w->parts_left == 0 && w->gear != NULL) {
        atomic_store(&w->cpu_ns, thread_cpu_ns() - w->cpu_begin_ns);
        atomic_store(&w->span_ns, pn_clock_real_ns() - w->begin_ns);
    }
    uint64_t end_ns = load64(&load->end_ns);
    while (end_ns < x->ended_ns &&
           !atomic_compare_exchange_weak(&load->end_ns, &end_ns, x->ended_ns)) {}
    if (atomic_fetch_sub(&load->parts_left, 1) != 1) return;
    atomic_store(&load->runtime->is_measuring, false);
    pn_load_tell(load);
}

typedef struct arrival {
    pn_job job;
    pn_executor *to;
    uint64_t number, intended_ns;
} arrival;

static void run_arrival(pn_worker *worker, void *context) {
    arrival *a = context;
    pn_load *load = a->to->context;
    (void)worker;
    pn_executor_take_over(a->to, a->number, a->intended_ns, pn_load_now_ns(load));
    pn_mem_free(load->ledger, a, sizeof *a);
}

void pn_load_hand_over(pn_executor *x, pn_executor *to, uint64_t number, uint64_t intended_ns) {
    pn_load *load = x->context;
    arrival *a = pn_mem_must(load->ledger, sizeof *a);
    *a = (arrival){{.run = run_arrival, .context = a}, to, number, intended_ns};
    pn_worker_post(load->workers[to->index].worker, &a->job);
}

/* ---- details ---- */

int pn_load_add_details(pn_load *load, const char *tag, const char *value) {
    char selector[PN_SELECTOR_MAX_BYTES];
    for (uint32_t id = 0; id < PN_METRIC_BUILTIN_COUNT; id++) {
        const pn_metric *metric = pn_metrics_at(load->runtime->metrics, id);
        bool is_gauge = metric->type == PN_GAUGE; /* of users, which have no such tags */
        if (metric->parent != NULL || is_gauge) continue;
        int n = snprintf(selector, sizeof selector, "%s{%s:%s}", metric->name, tag, value);
        if (n < 0 || (size_t)n >= sizeof selector) return PN_ETOO_LARGE;
        int err = pn_metrics_select(load->runtime->metrics, selector, (size_t)n, NULL);
        if (err < 0) return err;
    }
    return 0;
}

int pn_load_want_details(pn_load *load) {
    int err = 0;
    atomic_store(&load->wants_details, true);
    for (uint32_t i = 0; i < load->scenario_count && err == 0; i++) {
        err = pn_load_add_details(load, "scenario", load->scenarios[i].name);
    }
    return err;
}

/* ---- outputs ---- */

typedef struct output_job {
    pn_job job;
    pn_load *load;
    bool attaches;
} output_job;

static void run_output(pn_worker *worker, void *context) {
    output_job *o = context;
    pn_load *load = o->load;
    int err = 0;
    if (o->attaches) {
        err = pn_json_lines_attach(load->json, worker);
    } else {
        pn_json_lines_detach(load->json, worker);
    }
    pn_mem_free(load->ledger, o, sizeof *o);
    if (err != 0) pn_load_decide(load, PN_VERDICT_SCRIPT, "there is no memory for --out json");
    if (err != 0) pn_load_stop(load);
    if (atomic_fetch_sub(&load->outputs_busy, 1) == 1) pn_load_tell(load);
}

static void on_workers(pn_load *load, bool attaches) {
    unsigned count = load->runtime->worker_count;
    atomic_store(&load->outputs_busy, count);
    for (unsigned i = 0; i < count; i++) {
        output_job *o = pn_mem_must(load->ledger, sizeof *o);
        *o = (output_job){{.run = run_output, .context = o}, load, attaches};
        pn_worker_post(load->workers[i].worker, &o->job);
    }
}

static void list_thresholds(void *context, const pn_metric *metric, pn_buf *out) {
    const pn_load *load = context;
    bool is_first = true;
    for (size_t i = 0; i < pn_thresholds_count(load->thresholds); i++) {
        const pn_threshold *t = pn_thresholds_at(load->thresholds, i);
        char quoted[PN_THRESHOLD_TEXT_MAX_BYTES * 2];
        if (t->metric != metric) continue;
        if (!is_first) pn_buf_add_byte(out, ',');
        is_first = false;
        pn_buf_add(out, quoted, pn_log_quote(quoted, sizeof quoted, t->text, strlen(t->text)));
    }
}

int pn_load_open_json(pn_load *load, const char *path) {
    pn_assert(load->json == NULL);
    int err = pn_json_lines_open(&load->json, load->runtime, path, list_thresholds, load);
    if (err == 0) on_workers(load, true);
    return err;
}

void pn_load_detach_json(pn_load *load) { on_workers(load, false); }

int pn_load_close_json(pn_load *load, uint64_t *lost) {
    pn_json_lines *json = load->json;
    load->json = NULL;
    return pn_json_lines_close(json, lost);
}

/* ---- looking at it ---- */

uint64_t pn_load_elapsed_ns(const pn_load *load) {
    uint64_t start_ns = load64(&load->start_ns), end_ns = load64(&load->end_ns);
    if (start_ns == PN_LOAD_NOT_YET) return 0;
    if (!pn_load_is_over(load)) end_ns = pn_load_now_ns(load);
    return end_ns > start_ns ? end_ns - start_ns : 0;
}

uint64_t pn_load_max_duration_ns(const pn_load *load) {
    uint64_t max_ns = 0;
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        uint64_t ns = pn_scenario_hard_end_ns(&load->scenarios[i]);
        if (ns > max_ns) max_ns = ns;
    }
    return max_ns;
}

uint64_t pn_load_vus_max(const pn_load *load) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < load->scenario_count; i++)
        sum += pn_scenario_vus_max(&load->scenarios[i]);
    return sum;
}

pn_load_counts pn_load_counts_get(const pn_load *load) {
    pn_load_counts sum = {0};
    for (uint32_t i = 0; load->is_prepared && i < load->scenario_count; i++) {
        pn_scenario_counts c = pn_scenario_run_counts(&load->runs[i]);
        sum.all.started += c.started;
        sum.all.complete += c.complete;
        sum.all.interrupted += c.interrupted;
        sum.all.dropped += c.dropped;
        sum.all.failed += c.failed;
        sum.all.active += c.active;
        sum.all.running += c.running;
        sum.vus_made += load64(&load->runs[i].vu_count);
    }
    return sum;
}

void pn_load_sample_vus(pn_load *load, pn_metrics_shard *shard, bool is_late) {
    pn_load_counts counts = pn_load_counts_get(load);
    bool has_begun = atomic_load(&load->start_ns) != PN_LOAD_NOT_YET;
    uint64_t active = is_late && has_begun ? counts.vus_made : counts.all.active;
    const pn_tags *tags = &load->base_labels->tags;
    uint64_t now_ns = pn_load_now_ns(load);
    pn_metrics_record(shard, PN_METRIC_VUS, (double)active, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_VUS_MAX, (double)counts.vus_made, now_ns, tags);
}
