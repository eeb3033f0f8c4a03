#include "base/decimal.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

typedef unsigned __int128 u128;

#define EXACT_EXPONENT_MAX 27  /* 5^27 < 2^63 */
#define DIGITS_MAX         770 /* 767 digits decide any double; then whether more follow */
#define EXPONENT_MAX       400 /* past every double, whatever a 64-bit mantissa is */
#define MANTISSA_BITS      52

static const uint64_t pow5[EXACT_EXPONENT_MAX + 1] = {
    1ULL,
    5ULL,
    25ULL,
    125ULL,
    625ULL,
    3125ULL,
    15625ULL,
    78125ULL,
    390625ULL,
    1953125ULL,
    9765625ULL,
    48828125ULL,
    244140625ULL,
    1220703125ULL,
    6103515625ULL,
    30517578125ULL,
    152587890625ULL,
    762939453125ULL,
    3814697265625ULL,
    19073486328125ULL,
    95367431640625ULL,
    476837158203125ULL,
    2384185791015625ULL,
    11920928955078125ULL,
    59604644775390625ULL,
    298023223876953125ULL,
    1490116119384765625ULL,
    7450580596923828125ULL,
};

static const double pow10_exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* ---- reading ---- */

/* x * 2^e, e within the normal exponents. */
static inline double times_pow2(double x, int e) {
    uint64_t bits = (uint64_t)(e + 1023) << MANTISSA_BITS;
    double factor;
    memcpy(&factor, &bits, sizeof factor);
    return x * factor;
}

/* m / 10^k: m and the quotient are scaled so that the quotient keeps at least 64 bits; what the
 * division leaves over can then only decide ties, which the last bit does as well. */
static double divide(uint64_t m, int k) {
    int shift = __builtin_clzll(m);
    u128 numerator = (u128)(m << shift) << 64;
    u128 quotient = numerator / pow5[k];
    if (quotient * pow5[k] != numerator) quotient |= 1;
    return times_pow2((double)quotient, -k - shift - 64);
}

static double by_libc(const char *digits, size_t count, int64_t exponent) {
    char text[DIGITS_MAX + 32];
    if (exponent > EXPONENT_MAX) exponent = EXPONENT_MAX;
    if (exponent < -EXPONENT_MAX - DIGITS_MAX) exponent = -EXPONENT_MAX - DIGITS_MAX;
    snprintf(text, sizeof text, "%.*se%d", (int)count, digits, (int)exponent);
    return strtod(text, NULL); /* no decimal point in it: the locale has no say */
}

double pn_decimal_to_double(uint64_t mantissa, int64_t exponent) {
    if (mantissa == 0) return 0.0;
    /* Both operands exact, one rounding (Clinger 1990). */
    if (FLT_EVAL_METHOD == 0 && mantissa <= 1ULL << (MANTISSA_BITS + 1)) {
        if (exponent >= 0 && exponent <= 22) return (double)mantissa * pow10_exact[exponent];
        if (exponent < 0 && exponent >= -22) return (double)mantissa / pow10_exact[-exponent];
    }
    if (exponent >= 0 && exponent <= EXACT_EXPONENT_MAX) {
        return times_pow2((double)((u128)mantissa * pow5[exponent]), (int)exponent);
    }
    if (exponent < 0 && exponent >= -EXACT_EXPONENT_MAX) return divide(mantissa, (int)-exponent);
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)mantissa);
    return by_libc(digits, (size_t)count, exponent);
}

/* A number's digits without leading zeros and point, and the power of ten they are to be taken
 * by. */
struct digits {
    char text[DIGITS_MAX];
    size_t count;
    int64_t exponent;
};

static void take_digit(struct digits *d, char digit, bool is_fraction) {
    if (is_fraction) d->exponent--;
    if (d->count == 0 && digit == '0') return;
    if (d->count < DIGITS_MAX) {
        d->text[d->count++] = digit;
        return;
    }
    d->exponent++;
    if (digit != '0') d->text[DIGITS_MAX - 1] = '1'; /* only whether more follows matters there */
}

/* A written exponent, stopped where it can no longer matter: no text is 2^62 digits long. */
static int64_t read_exponent(const char *p, const char *end) {
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    int64_t value = 0;
    for (; p < end; p++) {
        if (value < INT64_MAX / 32) value = value * 10 + (*p - '0');
    }
    return negative ? -value : value;
}

double pn_decimal_parse(const char *text, size_t size) {
    const char *p = text, *end = text + size;
    bool negative = p < end && *p == '-', is_fraction = false;
    struct digits d;
    d.count = 0;
    d.exponent = 0;
    for (p += negative; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            is_fraction = true;
        } else {
            take_digit(&d, *p, is_fraction);
        }
    }
    if (p < end) d.exponent += read_exponent(p + 1, end);
    double value = d.count == 0 ? 0.0 : by_libc(d.text, d.count, d.exponent);
    return negative ? -value : value;
}

/* ---- writing ---- */

static size_t write_digits(uint64_t value, char out[PN_DECIMAL_INT_BYTES]) {
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    char scratch[PN_DECIMAL_INT_BYTES];
    size_t at = sizeof scratch;
    for (; value >= 100; value /= 100) memcpy(scratch + (at -= 2), pairs + value % 100 * 2, 2);
    if (value >= 10) {
        memcpy(scratch + (at -= 2), pairs + value * 2, 2);
    } else {
        scratch[--at] = (char)('0' + value);
    }
    memcpy(out, scratch + at, sizeof scratch - at);
    return sizeof scratch - at;
}

size_t pn_decimal_format_int(int64_t x, char out[PN_DECIMAL_INT_BYTES]) {
    if (x >= 0) return write_digits((uint64_t)x, out);
    char scratch[PN_DECIMAL_INT_BYTES];
    size_t n = write_digits(0 - (uint64_t)x, scratch); /* at most 19 digits: 2^63 */
    out[0] = '-';
    memcpy(out + 1, scratch, n);
    return n + 1;
}

/* A decimal: digits * 10^exponent. */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* n * 10^k * 2^e as a whole part and whether something is left over. */
static uint64_t scale(uint64_t n, int k, int e, bool *has_rest) {
    int shift = e + k;
    u128 whole;
    *has_rest = false;
    if (k < 0) { /* then shift >= 0, see shortest_exact */
        u128 numerator = (u128)n << shift;
        whole = numerator / pow5[-k];
        *has_rest = whole * pow5[-k] != numerator;
    } else {
        u128 product = (u128)n * pow5[k];
        whole = shift >= 0 ? product << shift : product >> -shift;
        if (shift < 0) *has_rest = whole << -shift != product;
    }
    return (uint64_t)whole;
}

/* The decimal with the fewest digits between low and high, and of those the nearest to half of
 * `twice` (with has_rest: to a little more). */
static struct decimal fewest_digits(uint64_t low, uint64_t twice, bool has_rest, uint64_t high) {
    int dropped = 0;
    uint64_t unit = 1, first = low, last = high;     /* of the multiples of unit that are within */
    while ((first + 9999) / 10000 <= last / 10000) { /* most written numbers have few digits */
        first = (first + 9999) / 10000;
        last /= 10000;
        unit *= 10000;
        dropped += 4;
    }
    while ((first + 9) / 10 <= last / 10) {
        first = (first + 9) / 10;
        last /= 10;
        unit *= 10;
        dropped++;
    }
    uint64_t below = twice / (2 * unit), rest = twice % (2 * unit);
    bool up = rest > unit || (rest == unit && (has_rest || below % 2 == 1));
    if (below < first) up = true; /* the interval never reaches further down than up */
    return (struct decimal){below + up, dropped};
}

/* Shortest digits for m * 2^e, all in exact integers: the value and the ends of the interval that
 * rounds to it are scaled to 17 or 18 digits (the idea of Steele and White 1990). False where 10^k
 * is not within the table. */
static bool shortest_exact(uint64_t m, int e, bool is_lower_closer, struct decimal *out) {
    int magnitude = (e + MANTISSA_BITS) * 1262611 >> 22; /* floor(log10(2^(e + 52))) */
    int k = 16 - magnitude;
    if (k < -EXACT_EXPONENT_MAX || k > EXACT_EXPONENT_MAX) return false;
    bool low_rest, rest, high_rest, is_even = m % 2 == 0;
    uint64_t low = scale(4 * m - (is_lower_closer ? 1 : 2), k, e - 2, &low_rest);
    uint64_t twice = scale(8 * m, k, e - 2, &rest);
    uint64_t high = scale(4 * m + 2, k, e - 2, &high_rest);
    if (low_rest || !is_even) low++; /* the ends belong to the interval when m is even */
    if (!high_rest && !is_even) high--;
    *out = fewest_digits(low, twice, rest, high);
    out->exponent -= k;
    return true;
}

/* The same by trial: 15 digits, where they suffice, are the shortest once their zeros are gone;
 * below the normal range even fewer may do. */
static struct decimal shortest_by_libc(double x) {
    struct decimal d = {0, 0};
    for (int digits = x < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", digits - 1, x);
        const char *p = text;
        for (d.digits = 0; *p != 'e'; p++) { /* whatever the locale's point is, it is no digit */
            if (*p >= '0' && *p <= '9') d.digits = d.digits * 10 + (uint64_t)(*p - '0');
        }
        d.exponent = (int)strtol(p + 1, NULL, 10) - (digits - 1);
        if (pn_decimal_to_double(d.digits, d.exponent) == x) break;
        d.digits++; /* above a power of two the interval is wider than below */
        if (pn_decimal_to_double(d.digits, d.exponent) == x) break;
    }
    for (; d.digits % 10 == 0; d.digits /= 10) d.exponent++;
    return d;
}

static struct decimal shortest(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t fraction = bits & ((1ULL << MANTISSA_BITS) - 1);
    int biased = (int)(bits >> MANTISSA_BITS);
    struct decimal d;
    if (biased > 0 && shortest_exact(fraction | 1ULL << MANTISSA_BITS, biased - 1075,
                                     fraction == 0 && biased > 1, &d)) {
        return d;
    }
    return shortest_by_libc(x);
}

static size_t put_zeros(char *out, int count) {
    if (count <= 0) return 0;
    memset(out, '0', (size_t)count);
    return (size_t)count;
}

/* The digits with the decimal point behind the first `point` of them, which may lie outside. */
static size_t lay_out_plain(const char *digits, size_t count, int point, char *out) {
    size_t n = 0;
    if (point <= 0) {
        out[n++] = '0';
        out[n++] = '.';
        n += put_zeros(out + n, -point);
        memcpy(out + n, digits, count);
        return n + count;
    }
    size_t whole = (size_t)point < count ? (size_t)point : count;
    memcpy(out, digits, whole);
    n = whole + put_zeros(out + whole, point - (int)whole);
    out[n++] = '.';
    if (whole == count) out[n++] = '0';
    memcpy(out + n, digits + whole, count - whole);
    return n + count - whole;
}

static size_t lay_out_exponent(const char *digits, size_t count, int exponent, char *out) {
    size_t n = 0;
    out[n++] = digits[0];
    if (count > 1) {
        out[n++] = '.';
        memcpy(out + n, digits + 1, count - 1);
        n += count - 1;
    }
    out[n++] = 'e';
    return n + pn_decimal_format_int(exponent, out + n);
}

size_t pn_decimal_format(double x, char out[PN_DECIMAL_TEXT_BYTES]) {
    pn_assert(isfinite(x));
    size_t n = 0;
    if (signbit(x)) out[n++] = '-';
    x = fabs(x);
    if (x == 0) {
        memcpy(out + n, "0.0", 3);
        return n + 3;
    }
    struct decimal d = shortest(x);
    char digits[PN_DECIMAL_INT_BYTES];
    size_t count = write_digits(d.digits, digits);
    int point = (int)count + d.exponent;
    if (point > -6 && point <= 21) return n + lay_out_plain(digits, count, point, out + n);
    return n + lay_out_exponent(digits, count, point - 1, out + n);
}
