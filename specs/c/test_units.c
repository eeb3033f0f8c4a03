/* Durations and sizes: every form of the grammar, its edges, and what is refused. */
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "comma_locale.h"
#include "test.h"

#define UNTOUCHED 4242 /* a refused text leaves the result alone */

static void check_duration(const char *text, int err, uint64_t expected) {
    uint64_t ns = UNTOUCHED;
    int got = pn_units_parse_duration(text, strlen(text), &ns);
    if (got == err && ns == (err == 0 ? expected : UNTOUCHED)) return;
    pn_test_fail(__FILE__, __LINE__, "\"%s\": %s, %llu ns; expected %s, %llu", text,
                 pn_err_name(got), (unsigned long long)ns, pn_err_name(err),
                 (unsigned long long)expected);
}

static void check_size(const char *text, int err, uint64_t expected) {
    uint64_t bytes = UNTOUCHED;
    int got = pn_units_parse_size(text, strlen(text), &bytes);
    if (got == err && bytes == (err == 0 ? expected : UNTOUCHED)) return;
    pn_test_fail(__FILE__, __LINE__, "\"%s\": %s, %llu bytes; expected %s, %llu", text,
                 pn_err_name(got), (unsigned long long)bytes, pn_err_name(err),
                 (unsigned long long)expected);
}

TEST(units_durations) {
    static const struct {
        const char *text;
        uint64_t ns;
    } table[] = {
        {"0", 0},
        {"0s", 0},
        {"0h0m0s", 0},
        {"90", 90 * PN_NS_PER_S},
        {"1.5", 1500 * PN_NS_PER_MS},
        {"250ms", 250 * PN_NS_PER_MS},
        {"1.5s", 1500 * PN_NS_PER_MS},
        {"2m", 120 * PN_NS_PER_S},
        {"1h", 3600 * PN_NS_PER_S},
        {"1m30s", 90 * PN_NS_PER_S},
        {"1.5h", 5400 * PN_NS_PER_S},
        {"1h2m3s4ms5us6ns", 3723004005006},
        {"1h1ns", 3600000000001},
        {"007s", 7 * PN_NS_PER_S},
        {"0.5m0.5s", 30500 * PN_NS_PER_MS},
        {"100s1ms", 100001 * PN_NS_PER_MS},
        {"3us", 3000},
        {"9ns", 9},
        {"0.1s", 100 * PN_NS_PER_MS},
        {"0.000000001s", 1},
        {"0.0000000001h", 360},
        {"0.3333333333h", 1199999999880},
        {"0.3us", 300},
        {"1.9ns", 1},
        {"0.9ns", 0},
        {"0.0000000019", 1},
        {"0.000000000000277778h", 1},
        {"0.1111111111111111111111111111111111h", 399999999999},
        {"876000h", PN_DURATION_MAX_NS},
        {"3153600000", PN_DURATION_MAX_NS},
        {"3153599999s1000ms", PN_DURATION_MAX_NS},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        check_duration(table[i].text, 0, table[i].ns);
    }
}

TEST(units_durations_refused) {
    static const char *const bad[] = {
        "",
        "s",
        "h",
        "-1",
        "-1s",
        "+1s",
        " 5s",
        "5s ",
        "5 s",
        "1s1s",
        "1ms1s",
        "1s1m",
        "1m1h",
        "1ns1us",
        "1m30",
        "5.",
        "5.s",
        ".5s",
        ".",
        "1..5s",
        "1.5.5s",
        "1e3",
        "1e3s",
        "0x10",
        "1S",
        "1M",
        "1sec",
        "1d",
        "1mss",
        "1m s",
        "infinity",
        "nan",
        "1,5s",
        "1s,",
        "s1",
        "1h-1m",
        "1ss",
        "ms",
        "\xc2\xb5s",
        "1\xc2\xb5s",
        "99999999999999999999999999x",
        "99999999999999999999999999h1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_duration(bad[i], PN_EBAD_UNIT, 0);
    uint64_t ns = UNTOUCHED;
    CHECK_EQ(pn_units_parse_duration("1s\0", 3, &ns), PN_EBAD_UNIT); /* the NUL counts */
    CHECK_EQ(pn_units_parse_duration("1sx", 2, &ns), 0);             /* the size decides */
    CHECK_EQ(ns, PN_NS_PER_S);

    static const char *const large[] = {
        "876000h1ns",
        "3153600000.000000001",
        "3153600001",
        "876001h",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551616ns",
        "18446744073709551615h",
        "5124095577h",
        "99999999999999999999999999999999999999999999999h",
        "876000h0.000000001s",
    };
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check_duration(large[i], PN_ETOO_LARGE, 0);
}

TEST(units_seconds) {
    uint64_t ns = UNTOUCHED;
    static const double bad[] = {-1, -1e-300, -INFINITY, INFINITY, NAN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(pn_units_seconds_to_ns(bad[i], &ns), PN_EBAD_UNIT);
    }
    CHECK_EQ(pn_units_seconds_to_ns(3153600000.0000005, &ns), PN_ETOO_LARGE);
    CHECK_EQ(pn_units_seconds_to_ns(1e300, &ns), PN_ETOO_LARGE);
    CHECK_EQ(ns, UNTOUCHED);
    static const struct {
        double seconds;
        uint64_t ns;
    } table[] = {{0, 0},
                 {-0.0, 0},
                 {1.1, 1100000000},
                 {0.25, 250000000},
                 {1e-9, 1},
                 {0.4e-9, 0},
                 {0.6e-9, 1},
                 {0.1 + 0.2, 300000000},
                 {3153600000.0, PN_DURATION_MAX_NS},
                 {5e-324, 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        CHECK_EQ(pn_units_seconds_to_ns(table[i].seconds, &ns), 0);
        CHECK_EQ(ns, table[i].ns);
    }
}

TEST(units_sizes) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } table[] = {
        {"0", 0},
        {"1", 1},
        {"64KB", 65536},
        {"8MB", 8388608},
        {"1B", 1},
        {"1GB", 1ULL << 30},
        {"2TB", 2ULL << 40},
        {"1.5KB", 1536},
        {"0.5MB", 524288},
        {"1.9B", 1},
        {"1.9", 1},
        {"0.0000000005TB", 549},
        {"8388607TB", 8388607ULL << 40},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775807B", INT64_MAX},
        {"007KB", 7168},
    };
    static const char *const bad[] = {
        "",      "B",    "KB",  "-1",    "+1",   " 1",     "1 ",
        "1 KB",  "64kb", "64K", "64KiB", "1kB",  "1.KB",   ".5KB",
        "1KB1B", "1PB",  "1e3", "0x10",  "1KBx", "1bytes", "99999999999999999999999x",
    };
    static const char *const large[] = {
        "9223372036854775808",          "9223372036854775807.5KB", "8388608TB",
        "18446744073709551615",         "18446744073709551616",    "99999999999999999999",
        "99999999999999999999999999TB", "9007199254740992KB",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        check_size(table[i].text, 0, table[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_size(bad[i], PN_EBAD_UNIT, 0);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check_size(large[i], PN_ETOO_LARGE, 0);
}

static void check_formats(void) {
    static const struct {
        uint64_t value;
        const char *text;
    } durations[] =
        {
            {0, "0s"},
            {1, "1ns"},
            {999, "999ns"},
            {1000, "1us"},
            {1500, "1.5us"},
            {1001, "1.001us"},
            {999999, "999.999us"},
            {1000000, "1ms"},
            {250000000, "250ms"},
            {1234567, "1.235ms"},
            {999999499, "999.999ms"},
            {999999500, "1s"},
            {999999999, "1s"},
            {1000000000, "1s"},
            {1500000000, "1.5s"},
            {1050000000, "1.05s"},
            {1005000000, "1.005s"},
            {1000499999, "1s"},
            {1000500000, "1.001s"},
            {59999499999, "59.999s"},
            {59999500000, "1m"},
            {60000000000, "1m"},
            {90000000000, "1m30s"},
            {640000000000, "10m40s"},
            {3599999500000, "1h"},
            {3600000000000, "1h"},
            {3660500000000, "1h1m0.5s"},
            {3605000000000, "1h5s"},
            {PN_DURATION_MAX_NS, "876000h"},
            {UINT64_MAX, "5124095h34m33.71s"},
        },
      sizes[] = {
          {0, "0B"},
          {1, "1B"},
          {1023, "1023B"},
          {1024, "1KB"},
          {1536, "1.5KB"},
          {1025, "1.001KB"},
          {1048575, "1023.999KB"},
          {1048576, "1MB"},
          {(1ULL << 30) - 1, "1GB"},
          {1572864, "1.5MB"},
          {(1ULL << 40) - 1, "1TB"},
          {1ULL << 40, "1TB"},
          {1ULL << 50, "1024TB"},
          {UINT64_MAX, "16777216TB"},
          {INT64_MAX, "8388608TB"},
      };
    char text[PN_UNITS_TEXT_BYTES];
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        CHECK_STR(pn_units_format_duration(durations[i].value, text), durations[i].text);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_STR(pn_units_format_size(sizes[i].value, text), sizes[i].text);
    }
}

TEST(units_format) { check_formats(); }

TEST(units_format_knows_no_locale) { with_comma_locale(check_formats); }

/* What is formatted is parsed back, to half of the last decimal. */
TEST(units_formatted_values_are_parsed) {
    pn_rand r = {pn_rand_key(5, "units", 0), 0};
    char text[PN_UNITS_TEXT_BYTES];
    for (int i = 0; i < 200000; i++) {
        uint64_t ns = pn_rand_below(&r, PN_DURATION_MAX_NS) >> pn_rand_below(&r, 62), back;
        pn_units_format_duration(ns, text);
        CHECK_EQ(pn_units_parse_duration(text, strlen(text), &back), 0);
        uint64_t slack = ns < PN_NS_PER_MS ? 0 : ns < PN_NS_PER_S ? 500 : 500000;
        CHECK_INT(back > ns ? back - ns : ns - back, <=, slack);
        uint64_t bytes = pn_rand_draw(&r) >> (1 + pn_rand_below(&r, 62));
        pn_units_format_size(bytes, text);
        int err = pn_units_parse_size(text, strlen(text), &back);
        if (err == PN_ETOO_LARGE)
            CHECK(strcmp(text, "8388608TB") == 0); /* rounded up past the maximum */
        if (err != 0) continue;
        CHECK_INT(back > bytes ? back - bytes : bytes - back, <=, bytes / 2000 + 1);
    }
}
