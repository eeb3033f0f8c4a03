/*
 * The JSON reader: what is accepted is what RFC 8259's grammar accepts; what was read, written and
 * read again is the same; cJSON, where it is exact, sees the same values; a path leads where
 * indexing cJSON's tree leads.
 *
 * Input: a path, a line feed, the text. Without a line feed all of it is text.
 */
#include <cjson/cJSON.h>

#include "core/json.h"
#include "memory/ledger.h"
#include "specs/fuzz/fuzz.h"
#include "specs/fuzz/json_reference.h"

typedef struct text {
    const char *bytes;
    size_t size;
} text;

/* A string as a user gets it. */
static char *unescape(const pn_json_string *string, size_t *size) {
    size_t room = string->raw_size;
#if PN_PLANT_BUG == 1
    if (room > 100) room = 100;
#endif
    char *out = malloc(room + 1);
    if (out == NULL) abort();
    *size = pn_json_unescape(string, out);
    PROPERTY(*size <= room);
    PROPERTY(pn_json_is(string, out, *size));
    return out;
}

static int write_string(pn_json_writer *w, const pn_json_reader *r) {
    size_t size;
    char *string = unescape(&r->string, &size);
    int err = r->token == PN_JSON_KEY ? pn_json_write_key(w, string, size)
                                      : pn_json_write_string(w, string, size);
    free(string);
    return err;
}

static int64_t integer_of(const pn_json_reader *r) {
#if PN_PLANT_BUG == 2
    if (r->integer > 1LL << 53 && r->integer < 1LL << 60) return (int64_t)(double)r->integer;
#endif
    return r->integer;
}

static int write_token(pn_json_writer *w, const pn_json_reader *r) {
    switch (r->token) {
    case PN_JSON_NULL: return pn_json_write_null(w);
    case PN_JSON_FALSE: return pn_json_write_bool(w, false);
    case PN_JSON_TRUE: return pn_json_write_bool(w, true);
    case PN_JSON_INT: return pn_json_write_int(w, integer_of(r));
    case PN_JSON_DOUBLE: return pn_json_write_double(w, r->number);
    case PN_JSON_STRING:
    case PN_JSON_KEY: return write_string(w, r);
    case PN_JSON_ARRAY: return pn_json_begin_array(w);
    case PN_JSON_ARRAY_END: return pn_json_end_array(w);
    case PN_JSON_OBJECT: return pn_json_begin_object(w);
    case PN_JSON_OBJECT_END: return pn_json_end_object(w);
    case PN_JSON_END: return pn_json_writer_end(w);
    case PN_JSON_ERROR: break;
    }
    abort();
}

static void check_error(const pn_json_reader *r, size_t size) {
    char message[PN_JSON_MESSAGE_BYTES];
    pn_json_place place = pn_json_locate(r);
    PROPERTY(place.offset <= size && place.line <= place.offset + 1 &&
             place.column <= place.offset + 1);
    PROPERTY(strlen(pn_json_message(r, message)) < sizeof message);
    PROPERTY(r->err == PN_EBAD_JSON || r->err == PN_ETOO_DEEP);
}

static bool accepts(text t) {
    pn_json_reader r;
    pn_json_reader_init(&r, t.bytes, t.size, NULL);
    while (pn_json_read(&r) > PN_JSON_END) PROPERTY(r.where >= t.bytes && r.at <= t.bytes + t.size);
    if (r.err != 0) check_error(&r, t.size);
#if PN_PLANT_BUG == 3
    if (r.problem != NULL && strstr(r.problem, "surrogate") != NULL) return true;
#endif
    pn_json_reader skipped;
    pn_json_reader_init(&skipped, t.bytes, t.size, NULL);
    pn_json_read(&skipped);
    pn_json_skip(&skipped);
    pn_json_read(&skipped);
    PROPERTY(skipped.err == r.err && skipped.where == r.where);
    return r.err == 0;
}

static void check_same_token(const pn_json_reader *a, const pn_json_reader *b) {
    PROPERTY(a->token == b->token);
    if (a->token == PN_JSON_INT) PROPERTY(a->integer == b->integer);
    if (a->token == PN_JSON_DOUBLE) PROPERTY(fuzz_bits(a->number) == fuzz_bits(b->number));
    if (a->token == PN_JSON_STRING || a->token == PN_JSON_KEY) {
        PROPERTY(pn_json_same(&a->string, &b->string));
    }
}

/* Written again, compact or indented, it says the same, token by token. */
static void check_written_again(text t, uint32_t indent, pn_ledger *ledger) {
    pn_buf out;
    pn_json_reader a, b;
    pn_json_writer w;
    pn_buf_init(&out, &ledger->door);
    pn_json_reader_init(&a, t.bytes, t.size, NULL);
    pn_json_writer_init(&w, &out, indent, 0);
    do {
        pn_json_read(&a);
        PROPERTY(write_token(&w, &a) == 0);
    } while (a.token != PN_JSON_END);
    PROPERTY(reference_accepts(out.data, out.size, PN_JSON_DEPTH_DEFAULT));
    pn_json_reader_init(&a, t.bytes, t.size, NULL);
    pn_json_reader_init(&b, out.data, out.size, NULL);
    do {
        pn_json_read(&a);
        pn_json_read(&b);
        check_same_token(&a, &b);
    } while (a.token != PN_JSON_END);
    pn_buf_close(&out);
}

/* ---- beside cJSON ---- */

/* cJSON reads no more than 63 bytes of a number. */
static bool has_long_number(text t) {
    size_t run = 0;
    for (size_t i = 0; i < t.size; i++) {
        run = strchr("0123456789+-.eE", t.bytes[i]) != NULL && t.bytes[i] != '\0' ? run + 1 : 0;
        if (run > 60) return true;
    }
    return false;
}

/* cJSON's strings end at the first NUL; the part before it must agree. */
static void check_string(const pn_json_string *string, const char *expected) {
    size_t size, known = strlen(expected);
    char *out = unescape(string, &size);
    PROPERTY(size >= known && memcmp(out, expected, known) == 0);
    PROPERTY(size == known || out[known] == '\0');
    free(out);
}

static void check_tree(pn_json_reader *r, const cJSON *item) {
    switch (item->type & 0xff) {
    case cJSON_NULL: PROPERTY(r->token == PN_JSON_NULL); return;
    case cJSON_False: PROPERTY(r->token == PN_JSON_FALSE); return;
    case cJSON_True: PROPERTY(r->token == PN_JSON_TRUE); return;
    case cJSON_String:
        PROPERTY(r->token == PN_JSON_STRING);
        check_string(&r->string, item->valuestring);
        return;
    case cJSON_Number:
        PROPERTY(r->token == PN_JSON_INT || r->token == PN_JSON_DOUBLE);
        PROPERTY((r->token == PN_JSON_INT ? (double)r->integer : r->number) == item->valuedouble);
        return;
    default: break;
    }
    bool is_object = (item->type & 0xff) == cJSON_Object;
    PROPERTY(r->token == (is_object ? PN_JSON_OBJECT : PN_JSON_ARRAY));
    for (const cJSON *c = item->child; c != NULL; c = c->next) {
        pn_json_read(r);
        if (is_object) {
            PROPERTY(r->token == PN_JSON_KEY);
            check_string(&r->string, c->string);
            pn_json_read(r);
        }
        check_tree(r, c);
    }
    PROPERTY(pn_json_read(r) == (is_object ? PN_JSON_OBJECT_END : PN_JSON_ARRAY_END));
}

/* The last member of that name, the index-th element, or NULL. */
static const cJSON *child_of(const cJSON *item, const char *name, size_t size, long index) {
    const cJSON *found = NULL;
    if (item == NULL || (item->type & 0xff) != (name != NULL ? cJSON_Object : cJSON_Array))
        return NULL;
    for (const cJSON *c = item->child; c != NULL; c = c->next) {
        if (name == NULL) {
            if (--index == 0) return c;
        } else if (strlen(c->string) == size && memcmp(c->string, name, size) == 0) {
            found = c;
        }
    }
    return found;
}

/* Follows a path of plain names and small indexes in the tree; false if it has other steps. */
static bool walk_tree(const cJSON *item, text path, const cJSON **found) {
    const char *p = path.bytes, *end = p + path.size;
    while (p < end) {
        const char *start = p;
        if (*p == '[') {
            long index = 0;
            p++;
            while (p < end && *p >= '0' && *p <= '9' && index < 100000)
                index = index * 10 + *p++ - '0';
            if (p == end || *p++ != ']' || index == 0 || start[1] == '0') return false;
            item = child_of(item, NULL, 0, index);
        } else {
            if (p > path.bytes) {
                if (*p++ != '.') return false;
                start++;
            }
            while (p < end && *p != '.' && *p != '[' && *p != ']' && *p != '\0') p++;
            if (p == start) return false;
            item = child_of(item, start, (size_t)(p - start), 0);
        }
    }
    *found = item;
    return true;
}

static void check_cjson(text t, text path) {
    if (has_long_number(t)) return;
    cJSON *tree = cJSON_ParseWithLength(t.bytes, t.size);
    PROPERTY(tree != NULL);
    pn_json_reader r;
    pn_json_reader_init(&r, t.bytes, t.size, NULL);
    pn_json_read(&r);
    check_tree(&r, tree);
    const cJSON *expected;
    bool has_nul =
        memmem(t.bytes, t.size, "\\u0000", 6) != NULL; /* in a key it would be another key */
    if (!has_nul && walk_tree(tree, path, &expected)) {
        int err = pn_json_find(t.bytes, t.size, path.bytes, path.size, NULL, &r);
        PROPERTY(err == (expected != NULL ? 0 : PN_ENOT_FOUND));
        if (err == 0) {
            pn_json_read(&r);
            check_tree(&r, expected);
            PROPERTY(pn_json_read(&r) == PN_JSON_END);
        }
    }
    cJSON_Delete(tree);
}

/* Whatever path and text are, the answer is a value or an error with a message. */
static void check_find(text t, text path, bool accepted) {
    pn_json_reader r;
    char message[PN_JSON_MESSAGE_BYTES];
    int err = pn_json_find(t.bytes, t.size, path.bytes, path.size, NULL, &r);
    PROPERTY(strlen(pn_json_message(&r, message)) < sizeof message);
    if (err == 0) {
        PROPERTY(accepted);
        pn_json_read(&r);
        PROPERTY(pn_json_skip(&r) == 0 && pn_json_read(&r) == PN_JSON_END);
    } else {
        PROPERTY(r.err == err && pn_json_read(&r) == PN_JSON_ERROR);
        PROPERTY(err == PN_EBAD_VALUE || accepted == (err == PN_ENOT_FOUND));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *line = memchr(data, '\n', size);
    size_t path_size = line != NULL ? (size_t)(line - data) : 0,
           skip = line != NULL ? path_size + 1 : 0;
    char *path_bytes = fuzz_copy(data, path_size), *bytes = fuzz_copy(data + skip, size - skip);
    text path = {path_bytes, path_size}, t = {bytes, size - skip};
    bool accepted = accepts(t);
    PROPERTY(accepted == reference_accepts(t.bytes, t.size, PN_JSON_DEPTH_DEFAULT));
    check_find(t, path, accepted);
    if (accepted) {
        pn_heap *heap = pn_heap_create(false);
        pn_ledger ledger;
        pn_ledger_init_shared(&ledger, "fuzz_json", heap);
        check_written_again(t, 0, &ledger);
        check_written_again(t, 2, &ledger);
        PROPERTY(pn_ledger_live(&ledger) == 0);
        pn_heap_destroy(heap);
        check_cjson(t, path);
    }
    free(path_bytes);
    free(bytes);
    return 0;
}
