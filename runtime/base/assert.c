#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void pn_assert_failed(const char *file, int line, const char *function,
                                const char *what) {
    fprintf(stderr, "perilune: %s:%d: %s: assertion failed: %s\n", file, line, function, what);
    abort();
}
