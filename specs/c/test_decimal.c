/*
 * Doubles to and from text. libc in the C locale is the oracle: strtod for reading, the first
 * precision of printf that reads back for the length of what is written. Random cases come from a
 * fixed seed.
 */
#include "base/decimal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "comma_locale.h"
#include "test.h"

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void check_same(double actual, double expected, const char *what) {
    if (bits_of(actual) == bits_of(expected)) return;
    pn_test_fail(__FILE__, __LINE__, "%s: %.17g, expected %.17g", what, actual, expected);
}

static void check_parse(const char *text) {
    check_same(pn_decimal_parse(text, strlen(text)), strtod(text, NULL), text);
}

static void check_mantissa(uint64_t mantissa, int exponent) {
    char text[64];
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)mantissa, exponent);
    check_same(pn_decimal_to_double(mantissa, exponent), strtod(text, NULL), text);
    check_parse(text);
}

TEST(decimal_to_double_rounds_as_strtod) {
    pn_rand r = {pn_rand_key(1, "decimal", 0), 0};
    for (int i = 0; i < 400000; i++) {
        uint64_t mantissa = pn_rand_draw(&r) >> pn_rand_below(&r, 64);
        int exponent =
            i % 4 == 0 ? (int)pn_rand_below(&r, 800) - 400 : (int)pn_rand_below(&r, 70) - 35;
        check_mantissa(mantissa, exponent);
    }
    for (int exponent = -450; exponent <= 450; exponent++) {
        check_mantissa(0, exponent);
        check_mantissa(1, exponent);
        check_mantissa(UINT64_MAX, exponent);
        check_mantissa((1ULL << 53) + 1, exponent);
    }
    CHECK(isinf(pn_decimal_to_double(1, INT64_MAX)));
    check_same(pn_decimal_to_double(1, INT64_MIN), 0.0, "1e-huge");
}

/* A decimal that lies exactly between two doubles, and its neighbours by one last digit. */
TEST(decimal_ties_go_to_even) {
    pn_rand r = {pn_rand_key(2, "ties", 0), 0};
    for (int i = 0; i < 100000; i++) {
        uint64_t between =
            (pn_rand_draw(&r) >> 10 | 1ULL << 53) | 1; /* 54 bits, the last one set */
        for (int step = -1; step <= 1; step++) check_mantissa(between + (uint64_t)(int64_t)step, 0);
        int k = (int)pn_rand_below(&r, 4); /* m / 2^k = m 5^k / 10^k */
        static const uint64_t pow5[] = {1, 5, 25, 125};
        for (int step = -1; step <= 1; step++) {
            check_mantissa(between * pow5[k] + (uint64_t)(int64_t)step, -k);
        }
    }
    for (int i = 0; i < 100000;
         i++) { /* as little above and below a tie as 64 bits of digits can say */
        uint64_t between = (pn_rand_draw(&r) >> 10 | 1ULL << 53) | 1, pow5 = 1;
        int k = 1 + (int)pn_rand_below(&r, 27), down = 54;
        for (int n = 0; n < k; n++) pow5 *= 5;
        down -= __builtin_clzll(pow5);
        unsigned __int128 product = (unsigned __int128)between * pow5;
        uint64_t below = (uint64_t)(down > 0 ? product >> down : product << -down);
        for (uint64_t step = 0; step <= 1; step++) check_mantissa(below + step, -k);
    }
    check_parse("9007199254740993");
    check_parse(
        "9007199254740993.0000000000000000000000000000000000000000000000000000000000000000001");
    check_parse("2.4703282292062327208e-324"); /* half of the smallest: 0 or 5e-324 */
    check_parse("2.4703282292062328e-324");
    check_parse("1.7976931348623158e308"); /* the largest, and what rounds to infinity */
    check_parse("1.7976931348623159e308");
}

/* Longer than any decision needs: the 767 digits of the tie above the smallest double, and more. */
TEST(decimal_parse_takes_any_length) {
    static char text[4000];
    char tie[1200];
    snprintf(tie, sizeof tie, "%.1100f", 0x1p-1074); /* exact: 1074 places */
    check_parse(tie);
    for (int zeros = 0; zeros < 2000; zeros += 37) {
        snprintf(text, sizeof text, "1%0*d.%0*d1", zeros + 1, 0, zeros + 1, 0);
        check_parse(text);
        snprintf(text, sizeof text, "-0.%0*d1e%d", zeros + 1, 0, zeros);
        check_parse(text);
        snprintf(text, sizeof text, "9007199254740993.%0*d1", zeros + 1, 0);
        check_parse(text);
        snprintf(text, sizeof text, "%s%0*d1", "9007199254740993", zeros + 1, 0);
        check_parse(text);
    }
    check_parse("0.0e99999999999999999999999999");
    check_parse("1e99999999999999999999999999");
    check_parse("-1e-99999999999999999999999999");
    check_parse("0e-5");
}

/* Digits and exponent of a text, without the zeros at the ends. */
static void take_apart(const char *text, size_t size, uint64_t *digits, int *exponent, int *count) {
    bool is_fraction = false;
    *digits = 0, *exponent = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == 'e') {
            *exponent += (int)strtol(text + i + 1, NULL, 10);
            break;
        }
        if (text[i] == '.') is_fraction = true;
        if (text[i] < '0' || text[i] > '9') continue;
        if (*digits > UINT64_MAX / 10 - 1) { /* zeros that only fill up to the point */
            CHECK(text[i] == '0');
            if (!is_fraction) ++*exponent;
            continue;
        }
        *digits = *digits * 10 + (uint64_t)(text[i] - '0');
        if (is_fraction) --*exponent;
    }
    for (; *digits > 0 && *digits % 10 == 0; *digits /= 10) ++*exponent;
    *count = 0;
    for (uint64_t left = *digits; left > 0; left /= 10) ++*count;
}

/* Whether some decimal of so many digits reads back as x: the nearest one or one beside it. */
static bool would_do(double x, int count) {
    char text[40];
    uint64_t digits;
    int exponent, unused;
    snprintf(text, sizeof text, "%.*e", count - 1, x);
    take_apart(text, strlen(text), &digits, &exponent, &unused);
    for (int have = unused; have < count; have++) digits *= 10, exponent--;
    for (int step = -1; step <= 1; step++) {
        unsigned long long beside = digits + (uint64_t)(int64_t)step;
        snprintf(text, sizeof text, "%llue%d", beside, exponent);
        if (strtod(text, NULL) == x) return true;
    }
    return false;
}

/* What is written reads back, no fewer digits would, and none of as many are nearer. */
static void check_format(double x) {
    char text[PN_DECIMAL_TEXT_BYTES + 1], nearest[40];
    size_t size = pn_decimal_format(x, text);
    CHECK_INT(size, <=, PN_DECIMAL_TEXT_BYTES);
    text[size] = '\0';
    check_same(strtod(text, NULL), x, text);
    check_same(pn_decimal_parse(text, size), x, text);
    CHECK(strpbrk(text, ".e") != NULL);
    uint64_t digits;
    int exponent, count;
    take_apart(text, size, &digits, &exponent, &count);
    if (count > 1 && would_do(x, count - 1)) {
        pn_test_fail(__FILE__, __LINE__, "%s: fewer than %d digits would do", text, count);
    }
    snprintf(nearest, sizeof nearest, "%.*e", count - 1, x);
    if (strtod(nearest, NULL) != x) return;
    long double off = fabsl(strtold(text, NULL) - (long double)x);
    long double off_nearest = fabsl(strtold(nearest, NULL) - (long double)x);
    if (off > off_nearest)
        pn_test_fail(__FILE__, __LINE__, "%s is not as near as %s", text, nearest);
}

TEST(decimal_format_is_shortest_and_nearest) {
    pn_rand r = {pn_rand_key(3, "format", 0), 0};
    for (int i = 0; i < 100000; i++) {
        double any = of_bits(pn_rand_draw(&r));
        if (isfinite(any)) check_format(any);
        uint64_t near_one =
            pn_rand_below(&r, 220) + 1023 - 100; /* the exponents of everyday numbers */
        check_format(of_bits(near_one << 52 | pn_rand_draw(&r) >> 12));
        double few_digits = (double)pn_rand_below(&r, 1000000) / 1000;
        if (few_digits > 0) check_format(few_digits);
    }
    for (int e = 1; e < 2046; e++) { /* powers of two: the gap below is half of the gap above */
        double x = of_bits((uint64_t)e << 52);
        check_format(x);
        check_format(nextafter(x, 0));
        check_format(nextafter(x, INFINITY));
    }
    for (int e = -323; e <= 308; e++) {
        double x = pn_decimal_to_double(1, e);
        check_format(x);
        check_format(nextafter(x, 0));
        check_format(nextafter(x, INFINITY));
    }
    for (uint64_t bits = 1; bits < 5000; bits++) check_format(of_bits(bits)); /* subnormals */
    check_format(DBL_MAX);
    check_format(DBL_MIN);
}

static void check_text(double x, const char *expected) {
    char text[PN_DECIMAL_TEXT_BYTES + 1];
    text[pn_decimal_format(x, text)] = '\0';
    CHECK_STR(text, expected);
}

TEST(decimal_format_layout) {
    check_text(0.0, "0.0");
    check_text(-0.0, "-0.0");
    check_text(5.0, "5.0");
    check_text(-1.5, "-1.5");
    check_text(0.3, "0.3");
    check_text(0.1 + 0.2, "0.30000000000000004");
    check_text(1073741824.00390625, "1073741824.0039062"); /* as near as ...63: the even one */
    check_text(1073741824.01171875, "1073741824.0117188");
    check_text(100.0, "100.0");
    check_text(1e15, "1000000000000000.0");
    check_text(9007199254740991.0, "9007199254740991.0");
    check_text(1e20, "100000000000000000000.0");
    check_text(1.5e20, "150000000000000000000.0");
    check_text(1e21, "1e21"); /* from here with an exponent */
    check_text(1.25e21, "1.25e21");
    check_text(0.000001, "0.000001");
    check_text(0.00000123, "0.00000123");
    check_text(0.0000001, "1e-7");
    check_text(-1.25e-7, "-1.25e-7");
    check_text(5e-324, "5e-324");
    check_text(DBL_MAX, "1.7976931348623157e308");
    check_text(-2.2250738585072014e-308, "-2.2250738585072014e-308"); /* the longest */
}

TEST(decimal_format_int_at_the_edges) {
    static const int64_t values[] = {0,         1,         -1,           9,     10,
                                     99,        100,       -100,         12345, 1234567890123456789,
                                     INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[PN_DECIMAL_INT_BYTES + 1], expected[32];
        text[pn_decimal_format_int(values[i], text)] = '\0';
        snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
        CHECK_STR(text, expected);
    }
}

static void check_in_comma_locale(void) {
    check_text(1.5, "1.5");
    check_text(1.5e300, "1.5e300");
    check_text(0.1 + 0.2, "0.30000000000000004");
    check_same(pn_decimal_parse("1.5e-300", 8), 1.5e-300, "1.5e-300");
    check_same(pn_decimal_parse("123456789012345678901.5", 23), 123456789012345678901.5, "long");
}

TEST(decimal_knows_no_locale) { with_comma_locale(check_in_comma_locale); }
