/*
 * The JSON writer: the input is a program for it. What it writes must be JSON by the grammar, and
 * reading it must give back the very values of the program; it may refuse only what JSON cannot
 * say.
 */
#include <math.h>

#include "core/json.h"
#include "memory/ledger.h"
#include "specs/fuzz/fuzz.h"
#include "specs/fuzz/json_reference.h"

/* The program: one byte says what to do, its operands follow. What is missing at the end is
 * zero. */
typedef struct program {
    const uint8_t *p, *end;
    bool is_unsayable; /* an operand was no UTF-8, no finite number, or nested too deep */
} program;

static uint8_t next_byte(program *g) { return g->p < g->end ? *g->p++ : 0; }

static uint64_t next_word(program *g) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word = word << 8 | next_byte(g);
    return word;
}

static double next_double(program *g) {
    uint64_t bits = next_word(g);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) g->is_unsayable = true;
    return value;
}

/* Up to 63 bytes, mostly text. */
static const char *next_string(program *g, size_t *size) {
    *size = next_byte(g) % 64;
    if (*size > (size_t)(g->end - g->p)) *size = (size_t)(g->end - g->p);
    const char *string = (const char *)g->p;
    g->p += *size;
    return string;
}

static bool is_utf8(const char *string, size_t size) {
    reference r = {(const unsigned char *)string, (const unsigned char *)string + size, 0, 0};
    while (r.p < r.end) {
        if (*r.p >= 0x80 ? !reference_utf8(&r) : (r.p++, false)) return false;
    }
    return true;
}

/* What is done with a program's steps: written, or compared with what is read. */
typedef struct visitor {
    pn_json_writer *w;
    pn_json_reader *r; /* NULL while writing */
} visitor;

static void expect(const visitor *v, pn_json_token token) {
    if (v->r != NULL) PROPERTY(pn_json_read(v->r) == token);
}

static void visit_string(visitor *v, program *g, bool is_key) {
    size_t size;
    const char *string = next_string(g, &size);
    expect(v, is_key ? PN_JSON_KEY : PN_JSON_STRING);
    if (v->r != NULL) {
        PROPERTY(pn_json_is(&v->r->string, string, size));
        return;
    }
    if (!is_utf8(string, size)) g->is_unsayable = true;
    char *copy = fuzz_copy(string, size);
#if PN_PLANT_BUG == 1
    if (size > 0 && string[size - 1] == '\\') size++;
#endif
    if (is_key) {
        pn_json_write_key(v->w, copy, size);
    } else {
        pn_json_write_string(v->w, copy, size);
    }
    free(copy);
}

static void visit_double(visitor *v, program *g) {
    double value = next_double(g);
    expect(v, PN_JSON_DOUBLE);
    if (v->r != NULL) PROPERTY(fuzz_bits(v->r->number) == fuzz_bits(value));
#if PN_PLANT_BUG == 2
    char text[40];
    snprintf(text, sizeof text, "%.16g", value); /* a digit less than some doubles need */
    value = strtod(text, NULL);
#endif
    if (v->r == NULL) pn_json_write_double(v->w, value);
}

static void visit_int(visitor *v, program *g, int64_t value) {
    (void)g;
    expect(v, PN_JSON_INT);
    if (v->r != NULL) PROPERTY(v->r->integer == value);
    if (v->r == NULL) pn_json_write_int(v->w, value);
}

static void visit_value(visitor *v, program *g, unsigned depth);

static void visit_container(visitor *v, program *g, unsigned depth, bool is_object) {
    if (depth == PN_JSON_DEPTH_DEFAULT) g->is_unsayable = true;
    expect(v, is_object ? PN_JSON_OBJECT : PN_JSON_ARRAY);
    if (v->r == NULL) (is_object ? pn_json_begin_object : pn_json_begin_array)(v->w);
    while (g->p < g->end && next_byte(g) % 8 != 0) {
        if (is_object) visit_string(v, g, true);
        visit_value(v, g, depth + 1);
    }
    expect(v, is_object ? PN_JSON_OBJECT_END : PN_JSON_ARRAY_END);
    if (v->r == NULL) (is_object ? pn_json_end_object : pn_json_end_array)(v->w);
}

static void visit_value(visitor *v, program *g, unsigned depth) {
    switch (next_byte(g) % 8) {
    case 0:
        expect(v, PN_JSON_NULL);
        if (v->r == NULL) pn_json_write_null(v->w);
        return;
    case 1: {
        bool value = next_byte(g) % 2;
        expect(v, value ? PN_JSON_TRUE : PN_JSON_FALSE);
        if (v->r == NULL) pn_json_write_bool(v->w, value);
        return;
    }
    case 2: visit_int(v, g, (int64_t)next_word(g)); return;
    case 3: visit_int(v, g, (int8_t)next_byte(g)); return;
    case 4: visit_double(v, g); return;
    case 5: visit_string(v, g, false); return;
    case 6: visit_container(v, g, depth, false); return;
    default: visit_container(v, g, depth, true); return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pn_heap *heap = pn_heap_create(false);
    pn_ledger ledger;
    pn_buf out;
    pn_json_writer w;
    program g = {data, data + size, false};
    pn_ledger_init_shared(&ledger, "fuzz_json_write", heap);
    pn_buf_init(&out, &ledger.door);
    uint8_t options = next_byte(&g);
    if (options & 0x80) out.limit_bytes = options & 0x7f;
    const uint8_t *first = g.p;
    pn_json_writer_init(&w, &out, options % 4, 0);
    visit_value(&(visitor){&w, NULL}, &g, 0);
    int err = pn_json_writer_end(&w);
    PROPERTY(out.size <= out.limit_bytes);
    if (err == PN_ETOO_LARGE) {
        PROPERTY((options & 0x80) != 0);
    } else {
        PROPERTY((err != 0) == g.is_unsayable);
        PROPERTY(err == 0 || err == PN_EBAD_VALUE || err == PN_ETOO_DEEP);
    }
    if (err == 0) {
        pn_json_reader r;
        char *text = fuzz_copy(out.data, out.size);
        PROPERTY(reference_accepts(text, out.size, PN_JSON_DEPTH_DEFAULT));
        pn_json_reader_init(&r, text, out.size, NULL);
        g.p = first;
        visit_value(&(visitor){NULL, &r}, &g, 0);
        PROPERTY(pn_json_read(&r) == PN_JSON_END);
        free(text);
    }
    pn_buf_close(&out);
    PROPERTY(pn_ledger_live(&ledger) == 0);
    pn_heap_destroy(heap);
    return 0;
}
