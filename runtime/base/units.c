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

static const struct unit size_units[] = {
    {"TB", 1ULL << 40}, {"GB", 1ULL << 30}, {"MB", 1ULL << 20}, {"KB", 1ULL << 10}, {"B", 1},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct cursor {
    const char *at, *end;
};

/* A number as a fraction of 10^9: whole part and nanoparts, so that no double is involved. */
static bool read_number(struct cursor *c, uint64_t *whole, uint64_t *nano) {
    const char *start = c->at;
    *whole = *nano = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        if (*whole > (UINT64_MAX - 9) / 10) return false;
        *whole = *whole * 10 + (uint64_t)(*c->at++ - '0');
    }
    if (c->at == start) return false;
    if (c->at == c->end || *c->at != '.') return true;
    const char *fraction = ++c->at;
    uint64_t scale = 100000000;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        *nano += (uint64_t)(*c->at++ - '0') * scale;
        scale /= 10;
    }
    return c->at > fraction;
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

/* total += (whole + nano/1e9) * factor, checked. */
static bool accumulate(uint64_t *total, uint64_t whole, uint64_t nano, uint64_t factor) {
    unsigned __int128 sum = (unsigned __int128)whole * factor;
    sum += (unsigned __int128)nano * factor / 1000000000ULL + *total;
    if (sum > UINT64_MAX) return false;
    *total = (uint64_t)sum;
    return true;
}

int pn_units_parse_duration(const char *text, size_t size, uint64_t *ns) {
    struct cursor c = {text, text + size};
    uint64_t total = 0;
    int last = -1;
    if (size == 0) return PN_EBAD_UNIT;
    while (c.at < c.end) {
        uint64_t whole, nano;
        if (!read_number(&c, &whole, &nano)) return PN_EBAD_UNIT;
        bool bare = c.at == c.end && last == -1;
        int unit = bare ? 2 : read_unit(&c, duration_units, COUNT(duration_units));
        if (unit <= last) return PN_EBAD_UNIT;
        last = unit;
        if (!accumulate(&total, whole, nano, duration_units[unit].factor)) return PN_ETOO_LARGE;
    }
    if (total > PN_DURATION_MAX_NS) return PN_ETOO_LARGE;
    *ns = total;
    return 0;
}

int pn_units_seconds_to_ns(double seconds, uint64_t *ns) {
    if (!(seconds >= 0) || isinf(seconds)) return PN_EBAD_UNIT;
    if (seconds > (double)(PN_DURATION_MAX_NS / PN_NS_PER_S)) return PN_ETOO_LARGE;
    *ns = (uint64_t)llround(seconds * 1e9);
    return 0;
}

int pn_units_parse_size(const char *text, size_t size, uint64_t *bytes) {
    struct cursor c = {text, text + size};
    uint64_t whole, nano, total = 0;
    if (!read_number(&c, &whole, &nano)) return PN_EBAD_UNIT;
    int unit = (int)COUNT(size_units) - 1;
    if (c.at < c.end) unit = read_unit(&c, size_units, COUNT(size_units));
    if (unit < 0 || c.at < c.end) return PN_EBAD_UNIT;
    if (!accumulate(&total, whole, nano, size_units[unit].factor)) return PN_ETOO_LARGE;
    *bytes = total;
    return 0;
}

/* Appends "N.FFFu" without trailing zeros. */
static int format_fraction(char *out, size_t room, uint64_t value, uint64_t unit, const char *name) {
    char number[32];
    snprintf(number, sizeof number, "%.3f", (double)value / (double)unit);
    size_t n = strlen(number);
    while (n > 0 && number[n - 1] == '0') n--;
    if (n > 0 && number[n - 1] == '.') n--;
    return snprintf(out, room, "%.*s%s", (int)n, number, name);
}

const char *pn_units_format_duration(uint64_t ns, char text[PN_UNITS_TEXT_BYTES]) {
    size_t room = PN_UNITS_TEXT_BYTES, used = 0;
    if (ns == 0) return memcpy(text, "0s", 3);
    if (ns < PN_NS_PER_S) {
        size_t i = ns >= PN_NS_PER_MS ? 3 : ns >= PN_NS_PER_US ? 4 : 5;
        format_fraction(text, room, ns, duration_units[i].factor, duration_units[i].name);
        return text;
    }
    for (size_t i = 0; i < 2; i++) {
        uint64_t n = ns / duration_units[i].factor;
        if (n == 0) continue;
        used += (size_t)snprintf(text + used, room - used, "%llu%s", (unsigned long long)n,
                                 duration_units[i].name);
        ns %= duration_units[i].factor;
    }
    if (ns > 0 || used == 0) format_fraction(text + used, room - used, ns, PN_NS_PER_S, "s");
    return text;
}

const char *pn_units_format_size(uint64_t bytes, char text[PN_UNITS_TEXT_BYTES]) {
    size_t i = 0;
    while (i + 1 < COUNT(size_units) && bytes < size_units[i].factor) i++;
    format_fraction(text, PN_UNITS_TEXT_BYTES, bytes, size_units[i].factor, size_units[i].name);
    return text;
}
