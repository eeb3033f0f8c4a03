/* The error list: number, name and text belong together, and any int may be asked about. */
#include "base/err.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "test.h"

TEST(err_names_and_numbers_belong_together) {
    int count = 0;
#define X(name, lua, text)                                                                         \
    CHECK_STR(pn_err_name(PN_E##name), lua);                                                       \
    CHECK_STR(pn_err_text(PN_E##name), text);                                                      \
    CHECK_EQ(pn_err_from_name(lua), PN_E##name);                                                   \
    CHECK_EQ(PN_E##name, PN_ERR_BASE - count);                                                     \
    count++;
    PN_ERR_MAP(X)
#undef X
    CHECK_EQ(count, PN__ERR_COUNT);
    CHECK_INT(PN_ERR_BASE, <, -4095); /* errno and libuv end there */
}

TEST(err_errno_codes_keep_their_names) {
    CHECK_STR(pn_err_name(-ECONNREFUSED), "ECONNREFUSED");
    CHECK_STR(pn_err_text(-ECONNREFUSED), "Connection refused");
    CHECK_EQ(pn_err_from_name("ECONNREFUSED"), PN_EUNKNOWN); /* only ours */
}

TEST(err_knows_what_it_does_not_know) {
    static const int codes[] = {
        0,    1,       ECONNREFUSED,   -4095,   -4096,       PN_ERR_BASE + 1, PN_EUNKNOWN - 1,
        5000, INT_MAX, INT_MAX - 5000, INT_MIN, INT_MIN + 1, -INT_MAX + 5000};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK_STR(pn_err_name(codes[i]), "unknown");
        CHECK_STR(pn_err_text(codes[i]), "unknown error");
    }
    CHECK_EQ(pn_err_from_name(""), PN_EUNKNOWN);
    CHECK_EQ(pn_err_from_name("timeoutx"), PN_EUNKNOWN);
    CHECK_EQ(pn_err_from_name("unknown"), PN_EUNKNOWN);
}

TEST(err_names_are_unique) {
#define X(name, lua, text) lua,
    static const char *const names[] = {PN_ERR_MAP(X)};
#undef X
    for (size_t i = 0; i < PN__ERR_COUNT; i++) {
        for (size_t j = 0; j < i; j++) CHECK(strcmp(names[i], names[j]) != 0);
    }
}
