/*
 * JSON: reading and writing documents of about 1 KB and 100 KB, beside cJSON when its library is
 * installed (it is looked up at run time: the product does not need it).
 *
 * "decode" is what a user pays for the values: ours reads tokens and copies each string out;
 * cJSON's side checks what cJSON does not (UTF-8), parses, walks the tree doing the same with its
 * values, and frees it. "encode" writes the same tree. A ratio above 1 says how many times longer
 * cJSON takes; both sides take turns, so that the machine's moods meet both.
 */
#include <cjson/cJSON.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "bench/c/bench.h"
#include "core/json.h"
#include "memory/ledger.h"

#define TURNS        15
#define BYTES_A_TURN 2000000 /* how much text one turn of one side handles */
#define STRING_MAX   1024

struct peer {
    void *library;
    __typeof__(&cJSON_ParseWithLengthOpts) parse;
    __typeof__(&cJSON_Delete) delete;
    __typeof__(&cJSON_PrintUnformatted) print;
    __typeof__(&cJSON_free) release;
};

struct run {
    pn_buf text; /* the document */
    pn_buf out;  /* what is written */
    cJSON *tree; /* the document, parsed by cJSON; NULL without it */
    struct peer peer;
    uint64_t check; /* keeps the work from being optimised away, and must agree */
    char string[STRING_MAX];
};

static bool peer_open(struct peer *p) {
    p->library = dlopen("libcjson.so.1", RTLD_NOW | RTLD_LOCAL);
    if (p->library == NULL) return false;
    *(void **)&p->parse = dlsym(p->library, "cJSON_ParseWithLengthOpts");
    *(void **)&p->delete = dlsym(p->library, "cJSON_Delete");
    *(void **)&p->print = dlsym(p->library, "cJSON_PrintUnformatted");
    *(void **)&p->release = dlsym(p->library, "cJSON_free");
    return p->parse != NULL && p->delete != NULL && p->print != NULL && p->release != NULL;
}

/* ---- the documents: records as services answer them ---- */

static void write_text(pn_json_writer *w, const char *key, const char *value) {
    pn_json_write_key(w, key, strlen(key));
    pn_json_write_string(w, value, strlen(value));
}

static void write_record(pn_json_writer *w, pn_rand *r, int64_t id) {
    static const char *const names[] = {"Grace Hopper", "Zo\xc3\xab Fern\xc3\xa1ndez",
                                        "Edsger Dijkstra"};
    char text[64];
    pn_json_begin_object(w);
    pn_json_write_key(w, "id", 2);
    pn_json_write_int(w, id);
    write_text(w, "name", names[pn_rand_below(r, 3)]);
    snprintf(text, sizeof text, "user%llu@example.com",
             (unsigned long long)pn_rand_below(r, 100000));
    write_text(w, "email", text);
    write_text(w, "created_at", "2024-03-01T12:34:56.789Z");
    write_text(w, "bio", "Likes \"quotes\", long walks\nand lines that break");
    pn_json_write_key(w, "active", 6);
    pn_json_write_bool(w, pn_rand_below(r, 2) == 0);
    pn_json_write_key(w, "manager", 7);
    pn_json_write_null(w);
    pn_json_write_key(w, "balance", 7);
    pn_json_write_double(w, (double)pn_rand_below(r, 10000000) / 100);
    pn_json_write_key(w, "position", 8);
    pn_json_begin_array(w);
    pn_json_write_double(w, pn_rand_unit(r) * 180 - 90);
    pn_json_write_double(w, pn_rand_unit(r) * 360 - 180);
    pn_json_end_array(w);
    pn_json_write_key(w, "tags", 4);
    pn_json_begin_array(w);
    for (int i = 0; i < 3; i++) pn_json_write_string(w, "customer", 8);
    pn_json_end_array(w);
    pn_json_end_object(w);
}

static void write_document(pn_buf *out, int records) {
    pn_rand r = {pn_rand_key(7, "bench_json", 0), 0};
    pn_json_writer w;
    pn_json_writer_init(&w, out, 0, 0);
    pn_json_begin_object(&w);
    pn_json_write_key(&w, "items", 5);
    pn_json_begin_array(&w);
    for (int i = 0; i < records; i++) write_record(&w, &r, i);
    pn_json_end_array(&w);
    pn_json_end_object(&w);
    pn_assert(pn_json_writer_end(&w) == 0);
}

/* ---- the work ---- */

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void decode_ours(struct run *run) {
    pn_json_reader r;
    pn_json_reader_init(&r, run->text.data, run->text.size, NULL);
    for (;;) {
        switch (pn_json_read(&r)) {
        case PN_JSON_INT: run->check += bits_of((double)r.integer); break;
        case PN_JSON_DOUBLE: run->check += bits_of(r.number); break;
        case PN_JSON_KEY:
        case PN_JSON_STRING:
            pn_assert(r.string.raw_size <= sizeof run->string);
            run->check += pn_json_unescape(&r.string, run->string);
            break;
        case PN_JSON_END: return;
        case PN_JSON_ERROR: pn_unreachable();
        default: break;
        }
    }
}

static void count_text(struct run *run, const char *text) {
    size_t size = strlen(text);
    pn_assert(size <= sizeof run->string);
    memcpy(run->string, text, size);
    run->check += size;
}

static void walk(struct run *run, const cJSON *item) {
    for (; item != NULL; item = item->next) {
        if (item->string != NULL) count_text(run, item->string);
        switch (item->type & 0xff) {
        case cJSON_Number: run->check += bits_of(item->valuedouble); break;
        case cJSON_String: count_text(run, item->valuestring); break;
        default: walk(run, item->child); break;
        }
    }
}

static void decode_cjson(struct run *run) {
    pn_assert(pn_utf8_valid_bytes(run->text.data, run->text.size) == run->text.size);
    cJSON *tree = run->peer.parse(run->text.data, run->text.size, NULL, false);
    pn_assert(tree != NULL);
    walk(run, tree);
    run->peer.delete(tree);
}

static void write_tree(pn_json_writer *w, const cJSON *item) {
    switch (item->type & 0xff) {
    case cJSON_Number:
        if (item->valuedouble == item->valueint) {
            pn_json_write_int(w, item->valueint);
        } else {
            pn_json_write_double(w, item->valuedouble);
        }
        break;
    case cJSON_String: pn_json_write_string(w, item->valuestring, strlen(item->valuestring)); break;
    case cJSON_True: pn_json_write_bool(w, true); break;
    case cJSON_False: pn_json_write_bool(w, false); break;
    case cJSON_NULL: pn_json_write_null(w); break;
    case cJSON_Array:
        pn_json_begin_array(w);
        for (const cJSON *c = item->child; c != NULL; c = c->next) write_tree(w, c);
        pn_json_end_array(w);
        break;
    default:
        pn_json_begin_object(w);
        for (const cJSON *c = item->child; c != NULL; c = c->next) {
            pn_json_write_key(w, c->string, strlen(c->string));
            write_tree(w, c);
        }
        pn_json_end_object(w);
    }
}

static void encode_ours(struct run *run) {
    pn_json_writer w;
    pn_buf_clear(&run->out);
    pn_json_writer_init(&w, &run->out, 0, 0);
    write_tree(&w, run->tree);
    pn_assert(pn_json_writer_end(&w) == 0);
    run->check += run->out.size;
}

static void encode_cjson(struct run *run) {
    char *text = run->peer.print(run->tree);
    run->check += strlen(text);
    run->peer.release(text);
}

/* Token by token from the reader into the writer: needs no tree, so it is measured without cJSON
 * too. */
static void transcode_ours(struct run *run) {
    pn_json_reader r;
    pn_json_writer w;
    pn_buf_clear(&run->out);
    pn_json_reader_init(&r, run->text.data, run->text.size, NULL);
    pn_json_writer_init(&w, &run->out, 0, 0);
    for (;;) {
        switch (pn_json_read(&r)) {
        case PN_JSON_NULL: pn_json_write_null(&w); break;
        case PN_JSON_FALSE: pn_json_write_bool(&w, false); break;
        case PN_JSON_TRUE: pn_json_write_bool(&w, true); break;
        case PN_JSON_INT: pn_json_write_int(&w, r.integer); break;
        case PN_JSON_DOUBLE: pn_json_write_double(&w, r.number); break;
        case PN_JSON_STRING:
            pn_json_write_string(&w, run->string, pn_json_unescape(&r.string, run->string));
            break;
        case PN_JSON_KEY:
            pn_json_write_key(&w, run->string, pn_json_unescape(&r.string, run->string));
            break;
        case PN_JSON_ARRAY: pn_json_begin_array(&w); break;
        case PN_JSON_ARRAY_END: pn_json_end_array(&w); break;
        case PN_JSON_OBJECT: pn_json_begin_object(&w); break;
        case PN_JSON_OBJECT_END: pn_json_end_object(&w); break;
        case PN_JSON_END: pn_assert(run->out.size == run->text.size); return;
        case PN_JSON_ERROR: pn_unreachable();
        }
    }
}

static void find_ours(struct run *run) {
    pn_json_reader value;
    pn_assert(pn_json_find(run->text.data, run->text.size, "items[1].id", 11, NULL, &value) == 0);
    pn_assert(pn_json_read(&value) == PN_JSON_INT);
    run->check += (uint64_t)value.integer;
}

/* ---- measuring ---- */

static double turn_ns(struct run *run, void (*work)(struct run *)) {
    size_t rounds = BYTES_A_TURN / run->text.size;
    uint64_t from = pn_clock_real_ns();
    for (size_t i = 0; i < rounds; i++) work(run);
    return (double)(pn_clock_real_ns() - from) / (double)rounds;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values) {
    qsort(values, TURNS, sizeof *values, by_value);
    return values[TURNS / 2];
}

static void report(pn_bench_sink *sink, const char *what, const char *name, double value,
                   const char *unit) {
    char figure[64];
    snprintf(figure, sizeof figure, "%s_%s", what, name);
    pn_bench_report(sink, figure, value, unit);
}

/* Ours, and cJSON's in turn with it when there is one. */
static void compare(struct run *run, pn_bench_sink *sink, const char *what,
                    void (*ours)(struct run *), void (*theirs)(struct run *)) {
    double mine[TURNS], other[TURNS], ratio[TURNS];
    for (int i = 0; i < TURNS; i++) {
        mine[i] = turn_ns(run, ours);
        if (theirs == NULL) continue;
        other[i] = turn_ns(run, theirs);
        ratio[i] = other[i] / mine[i];
    }
    report(sink, what, "ns", median(mine), "ns/op");
    if (theirs == NULL) return;
    report(sink, what, "cjson_ns", median(other), "ns/op");
    report(sink, what, "cjson_ratio", median(ratio), "ratio");
}

/* Both sides see the same values, or their times could not be compared. */
static void check_agreement(struct run *run) {
    run->check = 0;
    decode_ours(run);
    uint64_t ours = run->check;
    run->check = 0;
    decode_cjson(run);
    pn_assert(run->check == ours);
}

static void run_size(struct run *run, pn_bench_sink *sink, const char *size, int records) {
    char what[32];
    pn_buf_clear(&run->text);
    write_document(&run->text, records);
    bool has_peer = run->peer.library != NULL;
    if (has_peer) {
        run->tree = run->peer.parse(run->text.data, run->text.size, NULL, false);
        pn_assert(run->tree != NULL);
        check_agreement(run);
    }
    report(sink, size, "document", (double)run->text.size, "bytes");
    snprintf(what, sizeof what, "decode_%s", size);
    compare(run, sink, what, decode_ours, has_peer ? decode_cjson : NULL);
    if (has_peer) {
        snprintf(what, sizeof what, "encode_%s", size);
        compare(run, sink, what, encode_ours, encode_cjson);
        run->peer.delete(run->tree);
    }
    snprintf(what, sizeof what, "transcode_%s", size);
    compare(run, sink, what, transcode_ours, NULL);
    snprintf(what, sizeof what, "find_%s", size);
    compare(run, sink, what, find_ours, NULL);
}

static void run_json(pn_bench_sink *sink) {
    pn_heap *heap = pn_heap_create(false);
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "bench_json", heap);
    struct run *run = pn_mem_must(&ledger, sizeof *run);
    *run = (struct run){.check = 0};
    pn_buf_init(&run->text, &ledger.door);
    pn_buf_init(&run->out, &ledger.door);
    if (!peer_open(&run->peer)) run->peer.library = NULL;
    run_size(run, sink, "1k", 3);
    run_size(run, sink, "100k", 330);
    if (run->peer.library != NULL) dlclose(run->peer.library);
    pn_buf_close(&run->text);
    pn_buf_close(&run->out);
    pn_mem_free(&ledger, run, sizeof *run);
    pn_assert(pn_ledger_live(&ledger) == 0);
    pn_heap_destroy(heap);
}

extern const pn_bench pn_bench_json;
const pn_bench pn_bench_json = {
    "json", "decode, encode and look-up of documents of 1 KB and 100 KB, beside cJSON", run_json};
