/*
 * test.h - C unit tests: TEST(name) { ... } in any specs/c/test_NOUN.c, run by test_main.c.
 *
 * Each test runs in a process of its own with a time limit, so a crash or a hang is one failure and
 * the others still run. Asserts print both values and end the test. A test ends by proving that it
 * left nothing behind (ledgers at zero, loops closed): that is each test's own last lines.
 */
#ifndef PN_SPECS_TEST_H
#define PN_SPECS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pn_test {
    const char *file, *name;
    void (*run)(void);
    struct pn_test *next;
} pn_test;

void pn_test_add(pn_test *test);
_Noreturn void pn_test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the test as skipped, with the reason. */
_Noreturn void pn_test_skip(const char *reason);

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void add_##name(void) {                                    \
        static pn_test test = {__FILE__, #name, test_##name, NULL};                                \
        pn_test_add(&test);                                                                        \
    }                                                                                              \
    static void test_##name(void)

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : pn_test_fail(__FILE__, __LINE__, "%s", #condition))

#define CHECK_INT(actual, op, expected)                                                            \
    do {                                                                                           \
        long long a_ = (long long)(actual), e_ = (long long)(expected);                            \
        if (!(a_ op e_)) {                                                                         \
            pn_test_fail(__FILE__, __LINE__, "%s %s %s: %lld, %lld", #actual, #op, #expected, a_,  \
                         e_);                                                                      \
        }                                                                                          \
    } while (0)

#define CHECK_EQ(actual, expected) CHECK_INT(actual, ==, expected)

#define CHECK_STR(actual, expected)                                                                \
    do {                                                                                           \
        const char *a_ = (actual), *e_ = (expected);                                               \
        if (strcmp(a_, e_) != 0) {                                                                 \
            pn_test_fail(__FILE__, __LINE__, "%s: \"%s\", expected \"%s\"", #actual, a_, e_);      \
        }                                                                                          \
    } while (0)

#define CHECK_MEM(actual, expected, size)                                                          \
    (memcmp((actual), (expected), (size)) == 0                                                     \
         ? (void)0                                                                                 \
         : pn_test_fail(__FILE__, __LINE__, "%s differs from %s", #actual, #expected))

#endif
