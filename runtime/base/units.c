#include "base/units.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* From large to small; "ms" must be tried before "m", so matching takes the longest name. */
static const struct unit duration_units[] = {
    {"h", 3600 * PN_NS_PER_S}, {"m", 60 * PN_NS_PER_S}, {"s", PN_NS_PER_S},
    {"ms", PN_NS_PER_MS},      {"us", PN_NS_PER_US},    {"ns", 1},
};

enum { SECONDS = 2 }; /* the place of "s" */

static const struct unit size_units[] = {
    {"TB", 1ULL << 40}, {"GB", 1ULL << 30}, {"MB", 1ULL << 20}, {"KB", 1ULL << 10}, {"B", 1},
};

#define ATTO         1000000000000000000ULL
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct cursor {
    const char *at, *end;
    bool is_too_large; /* met a value over the range; the rest is still checked */
};

/* A number in exact parts, so that no double is involved. */
struct number {
    uint64_t whole;
    uint64_t atto; /* 10^-18 */
};

static bool is_digit(const struct cursor *c) {
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

static bool read_number(struct cursor *c, struct number *number) {
    *number = (struct number){0, 0};
    if (!is_digit(c)) return false;
    for (; is_digit(c); c->at++) {
        uint64_t digit = (uint64_t)(*c->at - '0');
        if (number->whole > (UINT64_MAX - digit) / 10) c->is_too_large = true;
        number->whole = number->whole * 10 + digit;
    }
    if (c->at == c->end || *c->at != '.') return true;
    c->at++;
    if (!is_digit(c)) return false;
    for (uint64_t scale = ATTO / 10; is_digit(c); c->at++, scale /= 10) {
        number->atto += (uint64_t)(*c->at - '0') * scale;
    }
    return true;
}

static int read_unit(struct cursor *c, const struct unit *units, size_t count) {
    int best = -1;
    size_t best_size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(units[i].name);
        if (size <= (size_t)(c->end - c->at) && size > best_size &&
            memcmp(c->at, units[i].name, size) == 0) {
            best = (int)i;
            best_size = size;
        }
    }
    c->at += best_size;
    return best;
}

/* *total += number * factor, up to `max`. */
static void accumulate(struct cursor *c, uint64_t *total, struct number number, uint64_t factor,
                       uint64_t max) {
    unsigned __int128 sum = (unsigned __int128)number.whole * factor;
    sum += (unsigned __int128)number.atto * factor / ATTO + *total;
    if (sum > max) c->is_too_large = true;
    *total = (uint64_t)sum;
}

int pn_units_parse_duration(const char *text, size_t size, uint64_t *ns) {
    struct cursor c = {.at = text, .end = text + size};
    uint64_t total = 0;
    int last = -1;
    if (size == 0) return PN_EBAD_UNIT;
    while (c.at < c.end) {
        struct number number;
        if (!read_number(&c, &number)) return PN_EBAD_UNIT;
        bool is_bare = c.at == c.end && last == -1;
        int unit = is_bare ? SECONDS : read_unit(&c, duration_units, COUNT(duration_units));
        if (unit <= last) return PN_EBAD_UNIT;
        last = unit;
        accumulate(&c, &total, number, duration_units[unit].factor, PN_DURATION_MAX_NS);
    }
    if (c.is_too_large) return PN_ETOO_LARGE;
    *ns = total;
    return 0;
}

int pn_units_seconds_to_ns(double seconds, uint64_t *ns) {
    if (!(seconds >= 0) || isinf(seconds)) return PN_EBAD_UNIT;
    const uint64_t max_s = PN_DURATION_MAX_NS / PN_NS_PER_S;
    if (seconds > (double)max_s) return PN_ETOO_LARGE;
    *ns = (uint64_t)llround(seconds * 1e9);
    return 0;
}

int pn_units_parse_size(const char *text, size_t size, uint64_t *bytes) {
    struct cursor c = {.at = text, .end = text + size};
    struct number number;
    uint64_t total = 0;
    if (!read_number(&c, &number)) return PN_EBAD_UNIT;
    int unit = (int)COUNT(size_units) - 1;
    if (c.at < c.end) unit = read_unit(&c, size_units, COUNT(size_units));
    if (unit < 0 || c.at < c.end) return PN_EBAD_UNIT;
    accumulate(&c, &total, number, size_units[unit].factor, PN_SIZE_MAX_BYTES);
    if (c.is_too_large) return PN_ETOO_LARGE;
    *bytes = total;
    return 0;
}

/* value / unit in thousandths, rounded; UINT64_MAX for all that is more. */
static uint64_t thousandths(uint64_t value, uint64_t unit) {
    unsigned __int128 result = ((unsigned __int128)value * 1000 + unit / 2) / unit;
    return result < UINT64_MAX ? (uint64_t)result : UINT64_MAX;
}

/* "12.5ms" from 12500 thousandths; integers only, because printf's %f follows the locale. */
static size_t put_thousandths(char *out, size_t room, uint64_t value, const char *unit) {
    unsigned long long whole = value / 1000;
    unsigned rest = (unsigned)(value % 1000);
    int decimals = rest == 0 ? 0 : rest % 100 == 0 ? 1 : rest % 10 == 0 ? 2 : 3;
    for (int i = decimals; i > 0 && i < 3; i++) rest /= 10;
    int n = decimals == 0 ? snprintf(out, room, "%llu%s", whole, unit)
                          : snprintf(out, room, "%llu.%0*u%s", whole, decimals, rest, unit);
    return (size_t)n;
}

const char *pn_units_format_duration(uint64_t ns, char text[PN_UNITS_TEXT_BYTES]) {
    size_t room = PN_UNITS_TEXT_BYTES, used = 0;
    if (ns == 0) return memcpy(text, "0s", 3);
    for (size_t i = COUNT(duration_units) - 1; i > SECONDS;
         i--) { /* the first that does not round up */
        uint64_t value = thousandths(ns, duration_units[i].factor);
        if (value >= 1000000) continue;
        put_thousandths(text, room, value, duration_units[i].name);
        return text;
    }
    uint64_t ms = thousandths(ns, PN_NS_PER_S);
    for (size_t i = 0; i < SECONDS; i++) {
        uint64_t unit_ms = duration_units[i].factor / PN_NS_PER_MS;
        if (ms < unit_ms) continue;
        used += (size_t)snprintf(text + used, room - used, "%llu%s",
                                 (unsigned long long)(ms / unit_ms), duration_units[i].name);
        ms %= unit_ms;
    }
    if (ms > 0) put_thousandths(text + used, room - used, ms, "s");
    return text;
}

const char *pn_units_format_size(uint64_t bytes, char text[PN_UNITS_TEXT_BYTES]) {
    size_t i = COUNT(size_units) - 1;
    while (i > 0 && thousandths(bytes, size_units[i].factor) >= 1024000) i--;
    put_thousandths(text, PN_UNITS_TEXT_BYTES, thousandths(bytes, size_units[i].factor),
                    size_units[i].name);
    return text;
}
