/*
 * Threshold expressions: accepted is what a regular expression for k6's grammar accepts, with p(N)
 * and the value as strtod reads them; an error lies within the text; an entry is split where its
 * metric ends.
 */
#include <math.h>
#include <regex.h>
#include <stdbool.h>

#include "base/err.h"
#include "load/threshold.h"
#include "specs/fuzz/fuzz.h"

#define SPACE  "[ \t\n\r]*"
#define NUMBER "[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?"

#define NUMBER_LONG 60 /* what is longer may be refused */

static const char grammar[] = "^" SPACE "(count|rate|value|avg|min|max|med|p\\((" NUMBER
                              ")\\))" SPACE "(>=|<=|===|==|!=|>|<)" SPACE "(" NUMBER ")" SPACE "$";

enum { PERCENT = 2, OPERATOR = 5, VALUE = 6, GROUPS = 9 };

/* False when the text is no expression; the groups otherwise. */
static bool matches(const char *text, size_t size, regmatch_t groups[GROUPS]) {
    static regex_t compiled;
    if (compiled.re_nsub == 0) PROPERTY(regcomp(&compiled, grammar, REG_EXTENDED) == 0);
    return strlen(text) == size && regexec(&compiled, text, GROUPS, groups, 0) == 0;
}

static bool is_long(regmatch_t group) { return group.rm_eo - group.rm_so > NUMBER_LONG; }

static double number(const char *text, regmatch_t group) {
    return group.rm_so < 0 ? 0 : strtod(text + group.rm_so, NULL);
}

static void check_expression(const char *text, size_t size) {
    pn_threshold_expression e;
    pn_threshold_error error = {0};
    regmatch_t groups[GROUPS];
    int err = pn_threshold_parse(text, size, &e, &error);
    bool expected = size <= PN_THRESHOLD_TEXT_MAX_BYTES && matches(text, size, groups);
    if (expected && (is_long(groups[PERCENT]) || is_long(groups[VALUE]))) return;
    if (expected) {
        double percent = number(text, groups[PERCENT]), value = number(text, groups[VALUE]);
        expected = percent >= 0 && percent <= 100 && isfinite(value);
        if (expected && err == 0) {
#if PN_PLANT_BUG == 1
            if (value > 1e6) value = (float)value;
#endif
            PROPERTY(fuzz_bits(e.value) == fuzz_bits(value));
            PROPERTY(e.aggregate.kind != PN_AGGREGATE_PERCENTILE || e.aggregate.percent == percent);
        }
    }
    if (err != 0) {
        PROPERTY(error.at <= size && error.text[0] != '\0');
        PROPERTY(strlen(error.text) < sizeof error.text);
    }
    PROPERTY((err == 0) == expected);
}

static void check_entry(const char *text, size_t size) {
    pn_threshold_parts parts;
    pn_threshold_error error = {0};
    if (pn_threshold_split(text, size, &parts, &error) != 0) {
        PROPERTY(error.at <= size && error.text[0] != '\0');
        return;
    }
    size_t metric_end = parts.metric_at + parts.metric_size;
    PROPERTY(metric_end < parts.expression_at && parts.expression_at <= size);
    PROPERTY(text[parts.expression_at - 1] == ':');
    if (parts.metric_size == 0)
        return; /* no metric has such a name: refused when it is looked up */
    PROPERTY(text[parts.metric_at] != ' ' && text[metric_end - 1] != ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *exact = fuzz_copy(data, size);
    pn_threshold_expression e;
    pn_threshold_error error;
    pn_threshold_parse(exact, size, &e, &error); /* no byte past the text is read */
    free(exact);
    char *text = malloc(size + 1);
    if (text == NULL) abort();
    memcpy(text, data, size);
    text[size] = '\0';
    check_expression(text, size);
    check_entry(text, size);
    free(text);
    return 0;
}
