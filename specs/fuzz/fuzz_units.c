/*
 * Durations and sizes: accepted is what a regular expression for the grammar accepts, the value is
 * the sum of strtold's, and what is formatted can be parsed again.
 */
#include <math.h>
#include <regex.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/units.h"
#include "specs/fuzz/fuzz.h"

#define NUMBER     "[0-9]+(\\.[0-9]+)?"
#define PART(unit) "(" NUMBER unit ")?"

static const char duration_grammar[] =
    "^(" NUMBER "|" PART("h") PART("m") PART("s") PART("ms") PART("us") PART("ns") ")$";
static const char size_grammar[] = "^" NUMBER "(B|KB|MB|GB|TB)?$";

/* Whether the grammar has the text; each is compiled once. */
static bool matches(regex_t *compiled, const char *grammar, const char *text, size_t size) {
    if (compiled->re_nsub == 0) PROPERTY(regcomp(compiled, grammar, REG_EXTENDED) == 0);
    return size > 0 && strlen(text) == size && regexec(compiled, text, 0, NULL, 0) == 0;
}

static long double factor_of(const char *unit, size_t size, long double bare) {
    static const struct {
        const char *name;
        long double factor;
    } units[] = {{"h", 3600e9L},  {"m", 60e9L},    {"s", 1e9L},    {"ms", 1e6L},
                 {"us", 1e3L},    {"ns", 1},       {"B", 1},       {"KB", 0x1p10L},
                 {"MB", 0x1p20L}, {"GB", 0x1p30L}, {"TB", 0x1p40L}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        bool is_it = strlen(units[i].name) == size && memcmp(units[i].name, unit, size) == 0;
        if (is_it) return units[i].factor;
    }
    PROPERTY(size == 0);
    return bare;
}

/* The value of a text that the grammar has. */
static long double value_of(const char *text, long double bare) {
    long double sum = 0;
    while (*text != '\0') {
        size_t number = strspn(text, "0123456789."), unit = strcspn(text + number, "0123456789.");
        sum += strtold(text, NULL) * factor_of(text + number, unit, bare);
        text += number + unit;
    }
    return sum;
}

static void check_value(int err, uint64_t value, long double expected, long double max) {
    long double slack = expected * 1e-17L + 7; /* up to six parts are cut to whole ones */
#if PN_PLANT_BUG == 1
    if (err == 0) value = (uint64_t)(double)value; /* 53 bits of it */
#endif
    if (err == PN_ETOO_LARGE) {
        PROPERTY(expected > max - 1);
    } else {
        PROPERTY(err == 0 && (long double)value <= max);
        PROPERTY(fabsl((long double)value - expected) <= slack);
    }
}

static void check_duration(const char *text, size_t size) {
    static regex_t grammar;
    uint64_t ns, again;
    char written[PN_UNITS_TEXT_BYTES];
    int err = pn_units_parse_duration(text, size, &ns);
    PROPERTY((err != PN_EBAD_UNIT) == matches(&grammar, duration_grammar, text, size));
    if (err == PN_EBAD_UNIT) return;
    check_value(err, ns, value_of(text, 1e9L), (long double)PN_DURATION_MAX_NS);
    if (err != 0) return;
    pn_units_format_duration(ns, written);
#if PN_PLANT_BUG == 2
    char *point = strchr(written, '.'); /* two decimals at most */
    bool has_three = point != NULL && strspn(point + 1, "0123456789") == 3;
    if (has_three) memmove(point + 3, point + 4, strlen(point + 3));
#endif
    PROPERTY(pn_units_parse_duration(written, strlen(written), &again) == 0);
    uint64_t slack = ns < PN_NS_PER_MS ? 0 : ns < PN_NS_PER_S ? 500 : 500000;
    PROPERTY((again > ns ? again - ns : ns - again) <= slack);
}

static void check_size(const char *text, size_t size) {
    static regex_t grammar;
    uint64_t bytes, again;
    char written[PN_UNITS_TEXT_BYTES];
    int err = pn_units_parse_size(text, size, &bytes);
    PROPERTY((err != PN_EBAD_UNIT) == matches(&grammar, size_grammar, text, size));
    if (err == PN_EBAD_UNIT) return;
    check_value(err, bytes, value_of(text, 1), (long double)PN_SIZE_MAX_BYTES);
    if (err != 0) return;
    pn_units_format_size(bytes, written);
    err = pn_units_parse_size(written, strlen(written), &again);
    PROPERTY(err == 0 || (err == PN_ETOO_LARGE && bytes > PN_SIZE_MAX_BYTES - (1ULL << 30)));
    if (err == 0) PROPERTY((again > bytes ? again - bytes : bytes - again) <= bytes / 2000 + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *exact = fuzz_copy(data, size), *text = malloc(size + 1);
    if (text == NULL) abort();
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    uint64_t unused;
    pn_units_parse_duration(exact, size, &unused); /* for what lies behind its end */
    pn_units_parse_size(exact, size, &unused);
    check_duration(text, size);
    check_size(text, size);
    free(exact);
    free(text);
    return 0;
}
