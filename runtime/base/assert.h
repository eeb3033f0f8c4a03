/*
 * assert.h - the second kind of failure: a mistake of the programmer.
 *
 * Asserts stay on in release builds: a broken invariant in a tool that people trust for its numbers
 * must stop the program with its place and values, not give wrong figures. What the world can
 * refuse is never an assert: it is a negative code from err.h.
 */
#ifndef PN_BASE_ASSERT_H
#define PN_BASE_ASSERT_H

#include <stddef.h>

/* Prints "file:line: function: what" to stderr and aborts. Never returns. */
_Noreturn void pn_assert_failed(const char *file, int line, const char *function, const char *what);

#define pn_assert(condition)                                                                       \
    ((condition) ? (void)0 : pn_assert_failed(__FILE__, __LINE__, __func__, #condition))

#define pn_unreachable() pn_assert_failed(__FILE__, __LINE__, __func__, "unreachable")

#define PN_LIKELY(x)   __builtin_expect(!!(x), 1)
#define PN_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The struct that holds `member` at `pointer`. */
#define PN_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
