/*
 * seed.c - what makes stock Lua repeat itself under --seed.
 *
 * Lua seeds its string hashes from time(), the address of a local, of the state and of
 * lua_newstate. The addresses are fixed elsewhere: code is not position independent, a seeded
 * runtime's heap and stacks lie at fixed addresses (memory/heap.c, core/worker.c). The time is
 * fixed here: the link wraps time().
 */
#include <time.h>

#include "core/runtime.h"

/* The name is the linker's (--wrap=time). */
time_t __wrap_time(time_t *out); /* NOLINT(bugprone-reserved-identifier) */

time_t __wrap_time(time_t *out) { /* NOLINT(bugprone-reserved-identifier) */
    const pn_worker *worker = pn_worker_self();
    bool is_seeded = worker != NULL && worker->runtime->options.is_seeded;
    pn_clock real;
    pn_clock_init(&real, false);
    time_t now = is_seeded ? (time_t)PN_CLOCK_VIRTUAL_EPOCH_S
                           : (time_t)(pn_clock_unix_ns(&real) / 1000000000ULL);
    if (out != NULL) *out = now;
    return now;
}
