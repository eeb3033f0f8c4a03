/*
 * perilune.load: for the controller of a run (scripts/perilune/load_*.lua), and for nobody else; so
 * all names begin with _. The controller decides what happens when; here are its hands.
 */
#include "bind/load.h"

#include <errno.h>
#include <stdlib.h>

#include "core/json.h"
#include "load/result.h"
#include "lua/args.h"
#include "lua/codec.h"

#define SCRIPT_MAX_BYTES ((size_t)64 << 20)

static pn_load *load_of(lua_State *L) {
    pn_load *load = pn_load_of(L);
    if (load == NULL) luaL_error(L, "there is no load run here");
    return load;
}

static int push_refusal(lua_State *L, const char *message) {
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

/* ---- what is asked for ---- */

/* The command, the script's path, and the flags as an array of { name, value }. */
static int l_request(lua_State *L) {
    const pn_load_request *r = load_of(L)->request;
    lua_pushstring(L, r->command);
    lua_pushstring(L, r->script);
    lua_createtable(L, (int)r->flag_count, 0);
    for (uint32_t i = 0; i < r->flag_count; i++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, r->flags[i].name);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, r->flags[i].value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushboolean(L, r->is_terminal);
    return 4;
}

static int read_script(FILE *file, pn_buf *out) {
    char chunk[16384];
    size_t n;
    out->limit_bytes = SCRIPT_MAX_BYTES;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) {
        if (!pn_buf_add(out, chunk, n)) return PN_ETOO_LARGE;
    }
    return ferror(file) ? -errno : 0;
}

/* Reads the scenario file, once, for all states. Also returns its text. */
static int l_read(lua_State *L) {
    pn_load *load = load_of(L);
    FILE *file = fopen(load->request->script, "re");
    if (file == NULL) return pn_push_error(L, -errno, NULL);
    int err = read_script(file, &load->script);
    fclose(file);
    if (err != 0) return pn_push_error(L, err, NULL);
    lua_pushlstring(L, load->script.data, load->script.size);
    return 1;
}

static int l_scenario_table(lua_State *L) {
    pn_load_push_scenario(L, load_of(L));
    return 1;
}

/* ---- options ---- */

static pn_value to_value(lua_State *L, int index) {
    pn_value value = {.type = PN_VALUE_OTHER};
    int is_integer;
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        value.type = PN_VALUE_BOOLEAN;
        value.boolean = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        value.number = lua_tonumber(L, index);
        value.integer = lua_tointegerx(L, index, &is_integer);
        value.type = is_integer ? PN_VALUE_INTEGER : PN_VALUE_NUMBER;
        break;
    case LUA_TSTRING:
        value.type = PN_VALUE_TEXT;
        value.text = lua_tolstring(L, index, &value.size);
        break;
    default: value.text = lua_pushfstring(L, "a %s", luaL_typename(L, index));
    }
    return value;
}

/* Executors, and the options of one: for messages. */
static int l_executors(lua_State *L) {
    const pn_executor_type *const *types = pn_executor_types();
    lua_newtable(L);
    for (int i = 0; types[i] != NULL; i++) {
        lua_pushstring(L, types[i]->name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int l_options_of(lua_State *L) {
    char message[PN_LOAD_MESSAGE_BYTES];
    const pn_executor_type *type = pn_executor_type_find(luaL_checkstring(L, 1), message);
    if (type == NULL) return push_refusal(L, message);
    const pn_option *option;
    lua_newtable(L);
    for (uint32_t n = 0; (option = pn_scenario_option_at(type, n)) != NULL; n++) {
        lua_pushstring(L, option->key);
        lua_rawseti(L, -2, (lua_Integer)n + 1);
    }
    return 1;
}

static int fill_pairs(lua_State *L, int index, pn_pairs *pairs, pn_texts *texts) {
    int err = 0;
    pairs->count = 0;
    if (lua_isnil(L, index)) return 0;
    lua_pushnil(L);
    while (err == 0 && lua_next(L, index) != 0) {
        size_t key_size, value_size;
        const char *value = luaL_tolstring(L, -1, &value_size);
        lua_pop(L, 1);
        const char *key = lua_tolstring(L, -2, &key_size);
        err = pn_pairs_set(pairs, texts, key, key_size, value, value_size);
        lua_pop(L, 1);
    }
    return err;
}

/* Fills the options from the table at `index`, in the order in which the executor lists them;
 * false: the message says why, and *key which. */
static bool fill_options(lua_State *L, int index, pn_scenario *s, char *message, const char **key) {
    const pn_option *option;
    int top = lua_gettop(L);
    for (uint32_t n = 0; (option = pn_scenario_option_at(s->type, n)) != NULL; n++) {
        *key = option->key;
        if (lua_getfield(L, index, option->key) != LUA_TNIL) {
            pn_value value = to_value(L, -1);
            if (pn_scenario_set(s, *key, &value, message) != 0) return false;
        }
        lua_settop(L, top);
    }
    *key = "executor";
    return pn_scenario_complete(s, message) == 0;
}

/* (name, executor, options[, exec, is_function, env, tags]): checks a scenario; with exec, adds it.
 * true, or nil, a message, the key at fault. The options' keys are known to the executor. */
static int l_scenario(lua_State *L) {
    char message[PN_LOAD_MESSAGE_BYTES] = "";
    size_t size;
    const char *name = luaL_checklstring(L, 1, &size), *key = "executor";
    pn_load *load = pn_load_of(L);
    const pn_executor_type *type = pn_executor_type_find(luaL_checkstring(L, 2), message);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 7);
    pn_scenario *s = lua_newuserdatauv(L, sizeof *s, 0);
    int err = pn_scenario_check_name(name, size, message);
    bool ok = err == 0 && type != NULL;
    if (ok) pn_scenario_init(s, name, type);
    ok = ok && fill_options(L, 3, s, message, &key);
    if (ok && !lua_isnil(L, 4)) {
        s->exec = luaL_checkstring(L, 4);
        s->exec_is_function = lua_toboolean(L, 5);
        err = fill_pairs(L, 6, &s->env, &load->texts);
        if (err == 0) err = fill_pairs(L, 7, &s->tags, &load->texts);
        if (err == 0) err = pn_load_add_scenario(load, s);
        ok = err == 0;
        if (!ok) snprintf(message, sizeof message, "%s", pn_err_text(err));
    }
    lua_pushboolean(L, ok);
    if (ok) return 1;
    push_refusal(L, message);
    lua_pushstring(L, key);
    return 3;
}

/* (text, array): the nearest text of the array, or nil when none is near. */
static int l_nearest(lua_State *L) {
    enum { KNOWN_MAX = 256 };
    const char *known[KNOWN_MAX + 1], *text = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checkstack(L, KNOWN_MAX, NULL);
    int n = 0;
    while (n < KNOWN_MAX && lua_rawgeti(L, 2, n + 1) == LUA_TSTRING)
        known[n++] = lua_tostring(L, -1);
    known[n] = NULL;
    lua_pushstring(L, pn_nearest(text, known));
    return 1;
}

/* (env, tags) of the whole run. */
static int l_set_pairs(lua_State *L) {
    pn_load *load = load_of(L);
    lua_settop(L, 2);
    int err = fill_pairs(L, 1, &load->env, &load->texts);
    if (err == 0) err = fill_pairs(L, 2, &load->tags, &load->texts);
    if (err == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    return push_refusal(L, err == PN_ELIMIT ? "more than 64 variables or tags" : pn_err_text(err));
}

/* (value): nanoseconds as an integer; or nil, what is wrong. For durations outside scenarios. */
static int l_duration(lua_State *L) {
    char message[PN_LOAD_MESSAGE_BYTES];
    static const pn_option option = {"", PN_OPTION_DURATION, 0, 0, 0, PN_DURATION_MAX_NS, false};
    lua_settop(L, 1);
    pn_value value = to_value(L, 1);
    uint64_t ns = 0;
    if (pn_option_set(&option, &ns, &value, message) != 0)
        return push_refusal(L, message + 2); /* ": " */
    lua_pushinteger(L, (lua_Integer)ns);
    return 1;
}

/* (seconds): as people read it, "1m30s". */
static int l_duration_text(lua_State *L) {
    char text[PN_UNITS_TEXT_BYTES];
    uint64_t ns = 0;
    pn_units_seconds_to_ns(luaL_checknumber(L, 1), &ns);
    lua_pushstring(L, pn_units_format_duration(ns, text));
    return 1;
}

/* ---- thresholds ---- */

/* (text): is it an expression? true; or nil, message. */
static int l_check_threshold(lua_State *L) {
    pn_threshold_error error;
    pn_threshold_expression expression;
    pn_threshold_parts parts;
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    int err = 0;
    if (lua_toboolean(L, 2)) { /* with its metric */
        err = pn_threshold_split(text, size, &parts, &error);
        if (err == 0) {
            err = pn_threshold_parse(text + parts.expression_at, size - parts.expression_at,
                                     &expression, &error);
        }
    } else {
        err = pn_threshold_parse(text, size, &expression, &error);
    }
    if (err != 0) return push_refusal(L, error.text);
    lua_pushboolean(L, 1);
    return 1;
}

/* (metric or nil, text, abort_on_fail, delay_ns): adds it. true; or nil, message. */
static int l_threshold(lua_State *L) {
    pn_threshold_error error;
    const char *metric = lua_tostring(L, 1);
    pn_threshold_options options = {.abort_on_fail = lua_toboolean(L, 3),
                                    .delay_abort_ns = (uint64_t)luaL_optinteger(L, 4, 0)};
    int err =
        pn_thresholds_add(load_of(L)->thresholds, metric, luaL_checkstring(L, 2), &options, &error);
    if (err != 0) return push_refusal(L, error.text);
    lua_pushboolean(L, 1);
    return 1;
}

/* Judges all thresholds as of now: how many fail, and the one that says to abort. */
static int l_evaluate(lua_State *L) {
    pn_load *load = load_of(L);
    int err = pn_metrics_view_refresh(load->view);
    if (err != 0) return luaL_error(L, "%s", pn_err_text(err));
    pn_thresholds_verdict v =
        pn_thresholds_evaluate(load->thresholds, load->view, pn_load_elapsed_ns(load));
    lua_pushinteger(L, (lua_Integer)v.failed);
    if (!v.should_abort) return 1;
    lua_pushfstring(L, "%s: %s", v.cause->metric->name, v.cause->text);
    return 2;
}

/* ---- the run ---- */

static int l_prepare(lua_State *L) {
    int err = pn_load_prepare(load_of(L), &pn_load_host);
    if (err == PN_ELIMIT) return push_refusal(L, "more than 64 tags");
    if (err != 0) return push_refusal(L, pn_err_text(err));
    lua_pushboolean(L, 1);
    return 1;
}

static int l_want_details(lua_State *L) {
    return pn_push_result(L, pn_load_want_details(load_of(L)));
}

/* Setup's result, for all users. Raises what cannot be copied. */
static int l_set_data(lua_State *L) {
    pn_load *load = load_of(L);
    pn_parcel parcel;
    lua_settop(L, 1);
    pn_parcel_begin(L, &parcel);
    pn_codec_encode(L, 1, &parcel, "setup's result");
    if (parcel.call_count > 0)
        luaL_error(L, "setup's result: a request cannot be copied to the users");
    if (!pn_buf_add(&load->data, parcel.bytes->data, parcel.bytes->size)) {
        luaL_error(L, "%s", pn_err_text(PN_ENOMEM));
    }
    return 0;
}

static int l_make_users(lua_State *L) {
    pn_load_make_users(load_of(L));
    return 0;
}

static int l_start(lua_State *L) {
    pn_load_start(load_of(L));
    return 0;
}

static int l_stop(lua_State *L) {
    pn_load_stop(load_of(L));
    return 0;
}

/* (code, why): the first one stays; true for it. */
static int l_decide(lua_State *L) {
    lua_pushboolean(L, pn_load_decide(load_of(L), (pn_verdict_code)luaL_checkinteger(L, 1),
                                      lua_tostring(L, 2)));
    return 1;
}

/* code, why; or nil when nothing is decided. */
static int l_verdict(lua_State *L) {
    pn_load *load = load_of(L);
    int code = pn_load_verdict(load);
    if (code < 0) return 0;
    char why[PN_LOAD_MESSAGE_BYTES];
    pthread_mutex_lock(&load->lock);
    memcpy(why, load->why, sizeof why);
    pthread_mutex_unlock(&load->lock);
    lua_pushinteger(L, code);
    lua_pushstring(L, why);
    return 2;
}

/* preparing, parts left, actors alive, stopped, outputs busy. */
static int l_state(lua_State *L) {
    const pn_load *load = load_of(L);
    lua_pushinteger(L, (lua_Integer)atomic_load(&load->preparing));
    lua_pushinteger(L, (lua_Integer)atomic_load(&load->parts_left));
    lua_pushinteger(L, (lua_Integer)atomic_load(&load->actors_alive));
    lua_pushboolean(L, atomic_load(&load->is_stopped));
    lua_pushinteger(L, (lua_Integer)atomic_load(&load->outputs_busy));
    return 5;
}

/* (is_late) */
static int l_sample_vus(lua_State *L) {
    pn_load_sample_vus(load_of(L), pn_shard_of(L), lua_toboolean(L, 1));
    return 0;
}

/* ---- outputs ---- */

/* (path): true; or nil, message, code. Done when _state's fifth result is 0. */
static int l_open_json(lua_State *L) {
    return pn_push_result(L, pn_load_open_json(load_of(L), luaL_checkstring(L, 1)));
}

static int l_detach_json(lua_State *L) {
    pn_load_detach_json(load_of(L));
    return 0;
}

/* Lines that were lost, and, if writing failed, why. */
static int l_close_json(lua_State *L) {
    uint64_t lost;
    int err = pn_load_close_json(load_of(L), &lost);
    lua_pushinteger(L, (lua_Integer)lost);
    if (err == 0) return 1;
    lua_pushstring(L, pn_err_text(err));
    return 2;
}

/* ---- waiting for events ---- */

static void on_event(pn_load *load) {
    if (load->waiting != NULL) pn_task_ready(load->waiting, 0);
}

static void cancel_wait(pn_task *task, void *context) {
    (void)task;
    ((pn_load *)context)->waiting = NULL;
}

static int waited(lua_State *L, int status, lua_KContext context) {
    (void)status;
    pn_load *load = (pn_load *)context;
    load->waiting = NULL;
    pn_task_woken(L);
    lua_pushboolean(L, load->has_event);
    load->has_event = false;
    return 1;
}

/* (duration): true when something has happened, false when the time is over. */
static int l_wait(lua_State *L) {
    uint64_t timeout_ns = pn_check_duration(L, 1);
    pn_load *load = load_of(L);
    pn_task_check_block(L);
    load->on_event = on_event;
    if (load->has_event) {
        lua_pushboolean(L, 1);
        load->has_event = false;
        return 1;
    }
    pn_task *task = pn_task_current(L);
    load->waiting = task;
    task->cancel = cancel_wait;
    task->context = load;
    return pn_task_wait(L, PN_WAIT_IO, timeout_ns, (lua_KContext)load, waited);
}

/* Ends the controller's wait. */
static int l_tell(lua_State *L) {
    pn_load_tell(load_of(L));
    return 0;
}

/* ---- hooks of the controller ---- */

/* ("setup" | "teardown" | nil): what the calling task's samples are labelled with from now on. */
static int l_hook(lua_State *L) {
    pn_load *load = load_of(L);
    pn_task *task = pn_task_current(L);
    const char *hook = lua_tostring(L, 1);
    task->labels = load->base_labels;
    if (hook != NULL)
        task->labels = strcmp(hook, "setup") == 0 ? load->setup_labels : load->teardown_labels;
    return 0;
}

/* ---- what is shown ---- */

/* An array of { name, description } of the scenarios. */
static int l_describe(lua_State *L) {
    pn_load *load = load_of(L);
    pn_buf text;
    pn_buf_init(&text, &load->ledger->door);
    lua_createtable(L, (int)load->scenario_count, 0);
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        pn_buf_clear(&text);
        pn_scenario_describe(&load->scenarios[i], &text);
        char line[1024];
        snprintf(line, sizeof line, "%s", pn_buf_text(&text));
        lua_createtable(L, 2, 0);
        lua_pushstring(L, load->scenarios[i].name);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, line);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    pn_buf_close(&text);
    return 1;
}

static const char *const phases[] = {"waiting", "running", "stopping", "interrupted", "done"};

/* An array of { name, phase, fraction, text } of the scenarios. */
static int l_progress(lua_State *L) {
    pn_load *load = load_of(L);
    uint64_t elapsed_ns = pn_load_elapsed_ns(load);
    pn_buf text;
    pn_buf_init(&text, &load->ledger->door);
    lua_createtable(L, (int)load->scenario_count, 0);
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        const pn_scenario_run *run = &load->runs[i];
        uint64_t start_ns = run->scenario->start_time_ns;
        char line[512];
        pn_buf_clear(&text);
        double fraction = run->scenario->type->progress(
            run, elapsed_ns > start_ns ? elapsed_ns - start_ns : 0, &text);
        snprintf(line, sizeof line, "%s", pn_buf_text(&text));
        lua_createtable(L, 4, 0);
        lua_pushstring(L, run->scenario->name);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, phases[pn_scenario_run_phase(run)]);
        lua_rawseti(L, -2, 2);
        lua_pushnumber(L, fraction < 1 ? fraction : 1);
        lua_rawseti(L, -2, 3);
        lua_pushstring(L, line);
        lua_rawseti(L, -2, 4);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    pn_buf_close(&text);
    return 1;
}

/* elapsed seconds, active users, users made, complete and interrupted iterations, users at most,
 * seconds at most. */
static int l_counts(lua_State *L) {
    const pn_load *load = load_of(L);
    pn_load_counts c = pn_load_counts_get(load);
    lua_pushnumber(L, (lua_Number)pn_load_elapsed_ns(load) * 1e-9);
    lua_pushinteger(L, c.all.active);
    lua_pushinteger(L, (lua_Integer)c.vus_made);
    lua_pushinteger(L, (lua_Integer)c.all.complete);
    lua_pushinteger(L, (lua_Integer)c.all.interrupted);
    lua_pushinteger(L, (lua_Integer)pn_load_vus_max(load));
    lua_pushnumber(L, (lua_Number)pn_load_max_duration_ns(load) * 1e-9);
    return 7;
}

/* ---- the result ---- */

/* Pushes the text of a JSON writer's buffer, or raises. */
static int push_json(lua_State *L, pn_buf *out, int err) {
    if (err == 0) lua_pushlstring(L, out->data, out->size);
    pn_buf_close(out);
    return err == 0 ? 1 : luaL_error(L, "%s", pn_err_text(err));
}

/* (stats, fails_on_check): the result as JSON. */
static int l_result(lua_State *L) {
    pn_load *load = load_of(L);
    pn_result_options options = {.fails_on_check = lua_toboolean(L, 2)};
    pn_result result;
    pn_buf out;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, PN_TREND_STATS_MAX + 4, NULL);
    for (int i = 1; i <= PN_TREND_STATS_MAX && lua_rawgeti(L, 1, i) == LUA_TSTRING; i++) {
        options.stats[options.stat_count++] = lua_tostring(L, -1);
    }
    pn_buf_init(&out, &load->ledger->door);
    int err = pn_result_collect(&result, load, &options);
    if (err == 0) err = pn_result_write(&result, &out, 2);
    pn_result_close(&result);
    return push_json(L, &out, err);
}

/* The scenarios' options as JSON: what `inspect` prints of them. */
static int l_scenarios_json(lua_State *L) {
    pn_load *load = load_of(L);
    pn_json_writer w;
    pn_buf out;
    pn_buf_init(&out, &load->ledger->door);
    pn_json_writer_init(&w, &out, 0, 0);
    pn_json_begin_object(&w);
    for (uint32_t i = 0; i < load->scenario_count; i++) {
        pn_json_write_key(&w, load->scenarios[i].name, strlen(load->scenarios[i].name));
        pn_json_begin_object(&w);
        pn_scenario_write(&w, &load->scenarios[i]);
        pn_json_end_object(&w);
    }
    pn_json_end_object(&w);
    return push_json(L, &out, pn_json_writer_end(&w));
}

/* ("p(95)", "trend"): is it an aggregation of that type? */
static int l_is_stat(lua_State *L) {
    pn_aggregate aggregate;
    size_t size;
    const char *stat = luaL_checklstring(L, 1, &size);
    int err = pn_aggregate_parse(stat, size, &aggregate);
    lua_pushboolean(L, err == 0 && pn_aggregate_fits(aggregate, PN_TREND));
    return 1;
}

/* ---- JSON to tables ---- */

static void push_read(lua_State *L, pn_json_reader *r);

static void push_text(lua_State *L, const pn_json_string *s) {
    if (!s->is_escaped) {
        lua_pushlstring(L, s->raw, s->raw_size);
        return;
    }
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, s->raw_size);
    luaL_pushresultsize(&b, pn_json_unescape(s, out));
}

static void push_members(lua_State *L, pn_json_reader *r, pn_json_token end) {
    lua_newtable(L);
    for (lua_Integer i = 1; pn_json_read(r) != end && r->token != PN_JSON_ERROR; i++) {
        if (end == PN_JSON_OBJECT_END) {
            push_text(L, &r->string);
            pn_json_read(r);
        } else {
            lua_pushinteger(L, i);
        }
        push_read(L, r);
        lua_rawset(L, -3);
    }
}

/* The value that the last token began. */
static void push_read(lua_State *L, pn_json_reader *r) {
    luaL_checkstack(L, 6, "JSON too deep");
    switch (r->token) {
    case PN_JSON_FALSE:
    case PN_JSON_TRUE: lua_pushboolean(L, r->token == PN_JSON_TRUE); break;
    case PN_JSON_INT: lua_pushinteger(L, r->integer); break;
    case PN_JSON_DOUBLE: lua_pushnumber(L, r->number); break;
    case PN_JSON_STRING: push_text(L, &r->string); break;
    case PN_JSON_ARRAY: push_members(L, r, PN_JSON_ARRAY_END); break;
    case PN_JSON_OBJECT: push_members(L, r, PN_JSON_OBJECT_END); break;
    default: lua_pushnil(L);
    }
}

/* (text): the value; or nil, message with line and column. null is nil. */
static int l_from_json(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    char message[PN_JSON_MESSAGE_BYTES];
    pn_json_reader r;
    pn_json_reader_init(&r, text, size, NULL);
    pn_json_read(&r);
    push_read(L, &r);
    if (r.token != PN_JSON_ERROR) pn_json_read(&r);
    if (r.token != PN_JSON_ERROR) return 1;
    return push_refusal(L, pn_json_message(&r, message));
}

/* (text): as a JSON string. */
static int l_to_json(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    size_t room = size * 6 + 2;
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, room);
    luaL_pushresultsize(&b, pn_log_quote(out, room, text, size));
    return 1;
}

/* ---- output ---- */

/* Pushes nothing, or, when stdout could not be written for the first time, why. */
static int push_terminal_error(lua_State *L, pn_load *load) {
    int err = pn_terminal_error(&load->terminal);
    if (err == 0) return 0;
    lua_pushstring(L, pn_err_text(err));
    return 1;
}

/* (text): to stdout, above the block. Nothing; or what is wrong with stdout. */
static int l_write(lua_State *L) {
    pn_load *load = load_of(L);
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    fflush(stdout);
    pn_terminal_write(&load->terminal, text, size);
    return push_terminal_error(L, load);
}

/* (block): draws it in place of the last one. As above. */
static int l_draw(lua_State *L) {
    pn_load *load = load_of(L);
    size_t size;
    const char *block = luaL_checklstring(L, 1, &size);
    pn_terminal_draw(&load->terminal, block, size);
    return push_terminal_error(L, load);
}

/* ("error" | "warn" | "info", message): a line of the log. */
static int l_log(lua_State *L) {
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    int level = luaL_checkoption(L, 1, NULL, levels);
    const char *message = luaL_checkstring(L, 2);
    pn_load *load = load_of(L);
    pn_terminal_pause(&load->terminal);
    pn_log_printf(&load->runtime->log, (pn_log_level)level, "%s", message);
    pn_terminal_resume(&load->terminal);
    return 0;
}

/* (error, hook): keeps an error of a hook of the controller. */
static int l_report(lua_State *L) {
    pn_load_report(L, 1, load_of(L), NULL, luaL_checkstring(L, 2));
    return 0;
}

const luaL_Reg pn_load_functions[] = {
    {"_request", l_request},
    {"_read", l_read},
    {"_scenario_table", l_scenario_table},
    {"_executors", l_executors},
    {"_options_of", l_options_of},
    {"_scenario", l_scenario},
    {"_set_pairs", l_set_pairs},
    {"_nearest", l_nearest},
    {"_duration", l_duration},
    {"_duration_text", l_duration_text},
    {"_check_threshold", l_check_threshold},
    {"_threshold", l_threshold},
    {"_evaluate", l_evaluate},
    {"_prepare", l_prepare},
    {"_want_details", l_want_details},
    {"_set_data", l_set_data},
    {"_make_users", l_make_users},
    {"_start", l_start},
    {"_stop", l_stop},
    {"_decide", l_decide},
    {"_verdict", l_verdict},
    {"_state", l_state},
    {"_sample_vus", l_sample_vus},
    {"_open_json", l_open_json},
    {"_detach_json", l_detach_json},
    {"_close_json", l_close_json},
    {"_wait", l_wait},
    {"_tell", l_tell},
    {"_hook", l_hook},
    {"_describe", l_describe},
    {"_progress", l_progress},
    {"_counts", l_counts},
    {"_result", l_result},
    {"_scenarios_json", l_scenarios_json},
    {"_is_stat", l_is_stat},
    {"_from_json", l_from_json},
    {"_to_json", l_to_json},
    {"_write", l_write},
    {"_draw", l_draw},
    {"_log", l_log},
    {"_report", l_report},
    {NULL, NULL},
};
