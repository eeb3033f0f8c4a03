#include "load/option.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/err.h"

int pn_load_refuse(char message[PN_LOAD_MESSAGE_BYTES], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, PN_LOAD_MESSAGE_BYTES, format, args);
    va_end(args);
    return PN_EBAD_CONFIG;
}

static bool is_whole(const char *text, size_t size) {
    size_t i = size > 0 && text[0] == '-' ? 1 : 0;
    if (i == size || size - i > 18) return false; /* fits int64 whatever the digits */
    for (; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
    }
    return true;
}

pn_value pn_value_of_text(const char *text) {
    pn_value value = {.type = PN_VALUE_TEXT, .text = text, .size = strlen(text)};
    if (!is_whole(text, value.size)) return value;
    bool is_negative = text[0] == '-';
    for (size_t i = is_negative ? 1 : 0; i < value.size; i++) {
        value.integer = value.integer * 10 + (text[i] - '0');
    }
    if (is_negative) value.integer = -value.integer;
    value.type = PN_VALUE_INTEGER;
    return value;
}

static void show_number(double number, char out[PN_VALUE_SHOWN_BYTES]) {
    char digits[PN_DECIMAL_TEXT_BYTES];
    if (number != number || number - number != 0) { /* NaN, an infinity */
        snprintf(out, PN_VALUE_SHOWN_BYTES, "%s",
                 number != number ? "nan"
                 : number > 0     ? "inf"
                                  : "-inf");
        return;
    }
    size_t size = pn_decimal_format(number, digits);
    snprintf(out, PN_VALUE_SHOWN_BYTES, "%.*s", (int)size, digits);
}

const char *pn_value_show(const pn_value *value, char out[PN_VALUE_SHOWN_BYTES]) {
    switch (value->type) {
    case PN_VALUE_BOOLEAN:
        snprintf(out, PN_VALUE_SHOWN_BYTES, "%s", value->boolean ? "true" : "false");
        break;
    case PN_VALUE_INTEGER:
        snprintf(out, PN_VALUE_SHOWN_BYTES, "%lld", (long long)value->integer);
        break;
    case PN_VALUE_NUMBER: show_number(value->number, out); break;
    case PN_VALUE_TEXT:
        snprintf(out, PN_VALUE_SHOWN_BYTES, "\"%.*s%s\"", value->size > 64 ? 64 : (int)value->size,
                 value->text, value->size > 64 ? "..." : "");
        break;
    case PN_VALUE_OTHER: snprintf(out, PN_VALUE_SHOWN_BYTES, "%.80s", value->text); break;
    }
    return out;
}

static uint64_t *target_of(const pn_option *option, void *target) {
    return (uint64_t *)(void *)((char *)target + option->offset);
}

static int set_count(const pn_option *o, uint64_t *target, const pn_value *value, char *message) {
    char shown[PN_VALUE_SHOWN_BYTES];
    bool fits = value->type == PN_VALUE_INTEGER && value->integer >= 0 &&
                (uint64_t)value->integer >= o->min && (uint64_t)value->integer <= o->max;
    if (fits) {
        *target = (uint64_t)value->integer;
        return 0;
    }
    pn_value_show(value, shown);
    bool is_over =
        value->type == PN_VALUE_INTEGER && value->integer > 0 && (uint64_t)value->integer > o->max;
    if (is_over) {
        return pn_load_refuse(message, "%s: a whole number of at most %llu expected, got %s",
                              o->key, (unsigned long long)o->max, shown);
    }
    return pn_load_refuse(message, "%s: a whole number of at least %llu expected, got %s", o->key,
                          (unsigned long long)o->min, shown);
}

/* 0, or a code of units.h. */
static int read_duration(const pn_value *value, uint64_t *ns) {
    switch (value->type) {
    case PN_VALUE_TEXT: return pn_units_parse_duration(value->text, value->size, ns);
    case PN_VALUE_INTEGER: return pn_units_seconds_to_ns((double)value->integer, ns);
    case PN_VALUE_NUMBER: return pn_units_seconds_to_ns(value->number, ns);
    default: return PN_EBAD_UNIT;
    }
}

static int set_duration(const pn_option *o, uint64_t *target, const pn_value *value,
                        char *message) {
    char shown[PN_VALUE_SHOWN_BYTES], bound[PN_UNITS_TEXT_BYTES];
    uint64_t ns = 0;
    int err = read_duration(value, &ns);
    pn_value_show(value, shown);
    if (err == PN_ETOO_LARGE || (err == 0 && ns > o->max)) {
        return pn_load_refuse(message, "%s: a duration of at most %s expected, got %s", o->key,
                              pn_units_format_duration(o->max, bound), shown);
    }
    if (err != 0) {
        return pn_load_refuse(
            message, "%s: a duration expected (seconds, or text like \"250ms\", \"1m30s\"), got %s",
            o->key, shown);
    }
    if (ns < o->min) {
        return pn_load_refuse(message, "%s: a duration of at least %s expected, got %s", o->key,
                              pn_units_format_duration(o->min, bound), shown);
    }
    *target = ns;
    return 0;
}

int pn_option_set(const pn_option *option, void *target, const pn_value *value,
                  char message[PN_LOAD_MESSAGE_BYTES]) {
    uint64_t *place = target_of(option, target);
    if (option->kind == PN_OPTION_COUNT) return set_count(option, place, value, message);
    return set_duration(option, place, value, message);
}

int pn_option_set_absent(const pn_option *option, void *target,
                         char message[PN_LOAD_MESSAGE_BYTES]) {
    if (option->is_required) return pn_load_refuse(message, "%s is missing", option->key);
    *target_of(option, target) = option->absent;
    return 0;
}
