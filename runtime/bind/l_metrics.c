/* perilune.metrics: a script's own metrics, and reading any. */
#include "bind/load.h"

#include "bind/tags.h"
#include "lua/args.h"

#define METRIC_CLASS "perilune.metric"

typedef struct metric {
    const pn_metric *metric;
} metric;

static pn_runtime *runtime_of(lua_State *L) { return pn_lua_worker(pn_lua_of(L))->runtime; }

static const pn_metric *check_metric(lua_State *L, int arg) {
    return ((metric *)luaL_checkudata(L, arg, METRIC_CLASS))->metric;
}

static void push_metric(lua_State *L, uint32_t id) {
    metric *m = lua_newuserdatauv(L, sizeof *m, 0);
    m->metric = pn_metrics_at(runtime_of(L)->metrics, id);
    pn_push_class(L, METRIC_CLASS);
    lua_pushliteral(L, "perilune.metrics");
    lua_setfield(L, -2, PN_CODEC_MODULE);
    lua_setmetatable(L, -2);
}

/* ---- counter, gauge, rate, trend ---- */

/* What the summary shows as durations, as sizes. */
static pn_metric_contains contains_of(const char *unit) {
    if (unit == NULL) return PN_CONTAINS_DEFAULT;
    if (strcmp(unit, "ms") == 0 || strcmp(unit, "time") == 0) return PN_CONTAINS_TIME;
    bool is_data = strcmp(unit, "bytes") == 0 || strcmp(unit, "data") == 0;
    return is_data ? PN_CONTAINS_DATA : PN_CONTAINS_DEFAULT;
}

static int register_metric(lua_State *L, pn_metric_type type) {
    static const char *const known[] = {"unit", "help", NULL};
    char message[PN_METRICS_MESSAGE_BYTES];
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    pn_metric_options options = {.contains = PN_CONTAINS_DEFAULT};
    if (pn_check_options(L, 2, known)) {
        options.unit = pn_field_string(L, 2, "unit", NULL);
        options.help = pn_field_string(L, 2, "help", NULL);
        options.contains = contains_of(options.unit);
    }
    int id = pn_metrics_register(runtime_of(L)->metrics, name, size, type,
                                 lua_istable(L, 2) ? &options : NULL, message);
    if (id < 0) return luaL_error(L, "%s: %s", pn_metric_type_name(type), message);
    push_metric(L, (uint32_t)id);
    return 1;
}

static int l_counter(lua_State *L) { return register_metric(L, PN_COUNTER); }

static int l_gauge(lua_State *L) { return register_metric(L, PN_GAUGE); }

static int l_rate(lua_State *L) { return register_metric(L, PN_RATE); }

static int l_trend(lua_State *L) { return register_metric(L, PN_TREND); }

/* ---- objects ---- */

/* A rate takes booleans as well. */
static double check_value(lua_State *L, const pn_metric *m, int arg) {
    if (m->type == PN_RATE && lua_isboolean(L, arg)) return lua_toboolean(L, arg) ? 1 : 0;
    double value = luaL_checknumber(L, arg);
    luaL_argcheck(L, m->type != PN_COUNTER || value >= 0, arg, "a counter only counts up");
    luaL_argcheck(L, value - value == 0, arg, "a finite number expected");
    return value;
}

static void record(lua_State *L, const pn_metric *m, double value, int tags) {
    pn_worker *worker = pn_lua_worker(pn_lua_of(L));
    const pn_labels *labels = pn_labels_of(L);
    pn_tags all = labels->tags;
    pn_tag list[PN_SAMPLE_TAGS_MAX];
    if (pn_metrics_wants_tags(worker->metrics)) {
        all = pn_tags_collect(L, list, &labels->tags, tags, NULL);
    } else {
        pn_tags_check(L, tags);
    }
    pn_metrics_record(worker->metrics, m->id, value, pn_clock_now_ns(&worker->runtime->clock),
                      &all);
}

static int l_add(lua_State *L) {
    const pn_metric *m = check_metric(L, 1);
    record(L, m, check_value(L, m, 2), 3);
    return 0;
}

static int timed(lua_State *L, int status, lua_KContext begun_ns) {
    bool is_error = status != LUA_OK && status != LUA_YIELD;
    uint64_t now_ns = pn_clock_now_ns(&runtime_of(L)->clock);
    record(L, check_metric(L, 1), (double)(now_ns - (uint64_t)begun_ns) * 1e-6, 0);
    if (is_error) return lua_error(L);
    return lua_gettop(L) - 1;
}

/* trend:time(fn, ...): what fn returns; its duration is recorded also when it raises. */
static int l_time(lua_State *L) {
    const pn_metric *m = check_metric(L, 1);
    luaL_argcheck(L, m->type == PN_TREND, 1, "only trends can time");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_KContext begun_ns = (lua_KContext)pn_clock_now_ns(&runtime_of(L)->clock);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, begun_ns, timed);
    return timed(L, status, begun_ns);
}

static int l_metric_tostring(lua_State *L) {
    const pn_metric *m = check_metric(L, 1);
    lua_pushfstring(L, "%s %s", pn_metric_type_name(m->type), m->name);
    return 1;
}

/* For the codec: what `named` makes the object from again. */
static int l_metric_name(lua_State *L) {
    lua_pushstring(L, check_metric(L, 1)->name);
    return 1;
}

static int l_named(lua_State *L) {
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size);
    char message[PN_METRICS_MESSAGE_BYTES];
    int id = pn_metrics_select(runtime_of(L)->metrics, name, size, message);
    if (id < 0) return luaL_error(L, "%s", message);
    push_metric(L, (uint32_t)id);
    return 1;
}

static const luaL_Reg metric_methods[] = {{"add", l_add}, {"time", l_time}, {NULL, NULL}};

static const luaL_Reg metric_internals[] = {
    {"__tostring", l_metric_tostring}, {PN_CODEC_NAME, l_metric_name}, {NULL, NULL}};

const pn_class pn_class_metric = {METRIC_CLASS, metric_methods, metric_internals};

/* ---- reading ---- */

/* The run's; 0 where there is none, and so then is a counter's rate. */
static double elapsed_s(lua_State *L) {
    const pn_load *load = pn_load_of(L);
    return load != NULL ? (double)pn_load_elapsed_ns(load) * 1e-9 : 0;
}

static int l_get(lua_State *L) {
    char message[PN_METRICS_MESSAGE_BYTES];
    const char *selector = luaL_checkstring(L, 1), *aggregate = luaL_checkstring(L, 2);
    double value;
    int err = pn_metrics_get(runtime_of(L)->metrics, selector, aggregate, elapsed_s(L),
                             &pn_lua_worker(pn_lua_of(L))->ledger, &value, message);
    if (err == PN_EBAD_CONFIG || err == PN_ETOO_LARGE) return luaL_error(L, "get: %s", message);
    if (err != 0) return pn_push_error(L, err, "%s", message);
    lua_pushnumber(L, value);
    return 1;
}

/* For the test runner: all samples so far are forgotten. */
static int l_reset(lua_State *L) {
    pn_metrics_reset(runtime_of(L)->metrics);
    return 0;
}

const luaL_Reg pn_metrics_functions[] = {
    {"counter", l_counter}, {"gauge", l_gauge}, {"rate", l_rate},    {"trend", l_trend},
    {"get", l_get},         {"named", l_named}, {"_reset", l_reset}, {NULL, NULL},
};
