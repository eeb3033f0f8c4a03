/*
 * What a request leaves in the metrics: k6's names, meanings and system tags.
 *
 * Each hop of a redirected request is a request of its own. Tags are texts only where somebody
 * looks at them; otherwise a sample costs a constant. Precedence of equal keys: the request's own
 * tags, the system's, those of the scenario and the run.
 */
#include "bind/http.h"

#include <stdio.h>

#include "core/metrics.h"
#include "lua/args.h"

#define TAGS_MAX 128 /* its own, the system's, the labels */

struct pn_http_tags {
    size_t block_size;
    uint32_t count;
    pn_tag list[]; /* then their texts */
};

/* ---- a request's own tags ---- */

static size_t text_size(const pn_http_fields *fields) {
    size_t size = 0;
    for (size_t i = 0; i < fields->count; i++) {
        size += fields->at[i].name.size + fields->at[i].value.size;
    }
    return size;
}

static const char *keep(char **at, pn_text text) {
    char *start = *at;
    memcpy(start, text.at, text.size);
    *at += text.size;
    return start;
}

static void add_name(lua_State *L, pn_http_fields *fields) {
    if (lua_isnil(L, PN_HTTP_SLOT_NAME)) return;
    if (lua_type(L, PN_HTTP_SLOT_NAME) != LUA_TSTRING) {
        pn_field_error(L, "name", "a string", PN_HTTP_SLOT_NAME);
    }
    pn_http_field *field = &fields->at[fields->count++];
    field->name = PN_TEXT("name");
    field->value.at = lua_tolstring(L, PN_HTTP_SLOT_NAME, &field->value.size);
}

static void read_fields(lua_State *L, pn_http_fields *fields) {
    fields->count = 0;
    if (!lua_isnil(L, PN_HTTP_SLOT_TAGS)) pn_http_fields_read(L, PN_HTTP_SLOT_TAGS, "tags", fields);
    if (fields->count > PN_HTTP_TAGS_MAX)
        luaL_error(L, "option 'tags': more than %d", PN_HTTP_TAGS_MAX);
    add_name(L, fields);
}

bool pn_http_tags_check(lua_State *L) {
    pn_http_fields fields;
    read_fields(L, &fields);
    return fields.count > 0;
}

int pn_http_tags_read(lua_State *L, pn_http_tags **tags) {
    pn_http_fields fields;
    read_fields(L, &fields);
    size_t size = sizeof **tags + fields.count * sizeof(pn_tag) + text_size(&fields);
    pn_http_tags *made = pn_mem_try(&pn_lua_of(L)->actor->ledger, size);
    if (made == NULL) return PN_ENOMEM;
    made->block_size = size;
    made->count = (uint32_t)fields.count;
    char *at = (char *)(made->list + fields.count);
    for (size_t i = 0; i < fields.count; i++) {
        const pn_http_field *field = &fields.at[i];
        made->list[i] = (pn_tag){.key = keep(&at, field->name),
                                 .value = keep(&at, field->value),
                                 .key_size = (uint32_t)field->name.size,
                                 .value_size = (uint32_t)field->value.size};
    }
    *tags = made;
    return 0;
}

void pn_http_tags_free(pn_lua *lua, pn_http_tags *tags) {
    if (tags != NULL) pn_mem_free(&lua->actor->ledger, tags, tags->block_size);
}

/* ---- all tags of a sample ---- */

typedef struct tag_list {
    uint32_t count;
    pn_tag at[TAGS_MAX];
} tag_list;

static bool has_key(const tag_list *list, const pn_tag *tag) {
    for (uint32_t i = 0; i < list->count; i++) {
        const pn_tag *t = &list->at[i];
        if (t->key_size == tag->key_size && memcmp(t->key, tag->key, tag->key_size) == 0)
            return true;
    }
    return false;
}

static void add_tag(tag_list *list, const pn_tag *tag) {
    if (list->count < TAGS_MAX && !has_key(list, tag)) list->at[list->count++] = *tag;
}

static void add(tag_list *list, const char *key, pn_text value) {
    pn_tag tag = {key, value.at, (uint32_t)strlen(key), (uint32_t)value.size};
    add_tag(list, &tag);
}

typedef struct tag_texts {
    char status[8], error_code[12], error[PN_HTTP_ERROR_BYTES], url[PN_HTTP_URL_BYTES];
} tag_texts;

static void add_error(tag_list *list, const pn_transfer *t, unsigned status, tag_texts *texts) {
    int code = pn_http_error_code(t->call.err, t->call.phase, status);
    if (code == 0) return;
    snprintf(texts->error_code, sizeof texts->error_code, "%d", code);
    add(list, "error_code", pn_text_of(texts->error_code));
    pn_transfer_describe(t, texts->error);
    if (texts->error[0] != '\0') add(list, "error", pn_text_of(texts->error));
}

static void add_system_tags(tag_list *list, const pn_transfer *t, unsigned status,
                            tag_texts *texts) {
    const pn_http_call *call = &t->call;
    const pn_http_request *request = call->request != NULL ? call->request : t->request;
    pn_text url = pn_http_shown_url(pn_http_request_url(request), texts->url);
    snprintf(texts->status, sizeof texts->status, "%u", status);
    add(list, "method", pn_http_request_method(request));
    add(list, "url", url);
    add(list, "name", url);
    add(list, "status", pn_text_of(texts->status));
    if (status != 0) {
        add(list, "proto",
            call->response.head.minor == 0 ? PN_TEXT("HTTP/1.0") : PN_TEXT("HTTP/1.1"));
    }
    if (call->tls_version[0] != '\0') add(list, "tls_version", pn_text_of(call->tls_version));
    add_error(list, t, status, texts);
}

/* ---- recording ---- */

static bool is_expected(unsigned status) { return status >= 200 && status < 400; }

static const pn_tags *expected_tags(bool is_good) {
    static const pn_tag good = {"expected_response", "true", 17, 4};
    static const pn_tag bad = {"expected_response", "false", 17, 5};
    static const pn_tags tags[] = {{&bad, 1}, {&good, 1}};
    return &tags[is_good];
}

static void record_ms(pn_metrics_shard *shard, uint32_t id, uint64_t ns, uint64_t now_ns,
                      const pn_tags *tags) {
    pn_metrics_record(shard, id, (double)ns * 1e-6, now_ns, tags);
}

static void record_all(pn_metrics_shard *shard, pn_transfer *t, bool is_good, const pn_tags *tags) {
    const pn_http_call *call = &t->call;
    const pn_http_timings *p = &call->timings;
    uint64_t now_ns = call->ended_ns != 0 ? call->ended_ns : pn_lua_worker(t->lua)->io.now_ns;
    pn_metrics_record(shard, PN_METRIC_HTTP_REQS, 1, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_HTTP_REQ_FAILED, !is_good, now_ns, tags);
    pn_scenario_record_request(t->run, shard, pn_http_duration_ns(p), t->late_ns, now_ns, tags);
    t->late_ns = 0;
    record_ms(shard, PN_METRIC_HTTP_REQ_BLOCKED, p->blocked_ns, now_ns, tags);
    record_ms(shard, PN_METRIC_HTTP_REQ_CONNECTING, p->connecting_ns, now_ns, tags);
    record_ms(shard, PN_METRIC_HTTP_REQ_TLS_HANDSHAKING, p->tls_handshaking_ns, now_ns, tags);
    record_ms(shard, PN_METRIC_HTTP_REQ_SENDING, p->sending_ns, now_ns, tags);
    record_ms(shard, PN_METRIC_HTTP_REQ_WAITING, p->waiting_ns, now_ns, tags);
    record_ms(shard, PN_METRIC_HTTP_REQ_RECEIVING, p->receiving_ns, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_DATA_SENT, (double)call->bytes_sent, now_ns, tags);
    pn_metrics_record(shard, PN_METRIC_DATA_RECEIVED, (double)call->bytes_received, now_ns, tags);
}

static void __attribute__((noinline))
record_tagged(pn_metrics_shard *shard, pn_transfer *t, unsigned status, bool is_good) {
    tag_list list = {.count = 0};
    tag_texts texts = {.error = ""};
    for (uint32_t i = 0; t->tags != NULL && i < t->tags->count; i++)
        add_tag(&list, &t->tags->list[i]);
    add_system_tags(&list, t, status, &texts);
    add_tag(&list, expected_tags(is_good)->list);
    for (uint32_t i = 0; t->labels != NULL && i < t->labels->tags.count; i++)
        add_tag(&list, &t->labels->tags.list[i]);
    pn_tags tags = {list.at, list.count};
    record_all(shard, t, is_good, &tags);
}

/* In a load run people are told once why requests have no answer. */
static void __attribute__((noinline)) report(const pn_transfer *t) {
    char text[PN_HTTP_ERROR_BYTES];
    pn_lua_shared *shared = pn_lua_worker(t->lua)->runtime->lua;
    pn_transfer_describe(t, text);
    int code = pn_http_error_code(t->call.err, t->call.phase, 0);
    pn_load_report_request(shared->load, t->run, code, text);
}

void pn_http_record(pn_transfer *t) {
    pn_metrics_shard *shard = pn_lua_worker(t->lua)->metrics;
    const pn_http_call *call = &t->call;
    unsigned status = call->err == 0 ? call->response.head.status : 0;
    bool is_good = is_expected(status);
    if (PN_UNLIKELY(status == 0) && t->run != NULL) report(t);
    if (PN_UNLIKELY(pn_metrics_wants_tags(shard))) {
        record_tagged(shard, t, status, is_good);
    } else {
        record_all(shard, t, is_good, expected_tags(is_good));
    }
}
