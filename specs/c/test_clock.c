/* The switchable clock. */
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

TEST(clock_virtual_moves_only_when_it_is_told) {
    pn_clock clock;
    pn_clock_init(&clock, true);
    CHECK_EQ(pn_clock_now_ns(&clock), 0);
    CHECK_EQ(pn_clock_cpu_ns(&clock), 0);
    CHECK(pn_clock_unix_ns(&clock) == 946684800ULL * 1000000000ULL);
    pn_clock_advance(&clock, 1500);
    CHECK_EQ(pn_clock_now_ns(&clock), 1500);
    CHECK_EQ(pn_clock_cpu_ns(&clock), 1500);
    CHECK(pn_clock_unix_ns(&clock) == 946684800ULL * 1000000000ULL + 1500);
    pn_clock_advance(&clock, 1499); /* never backwards */
    CHECK_EQ(pn_clock_now_ns(&clock), 1500);
    pn_clock_advance(&clock, 1500);
    CHECK_EQ(pn_clock_now_ns(&clock), 1500);
}

TEST(clock_real_goes_on) {
    pn_clock clock;
    pn_clock_init(&clock, false);
    uint64_t now = pn_clock_now_ns(&clock), cpu = pn_clock_cpu_ns(&clock),
             real = pn_clock_real_ns();
    CHECK_INT(pn_clock_unix_ns(&clock), >, PN_CLOCK_VIRTUAL_EPOCH_S * 1000000000ULL);
    while (pn_clock_cpu_ns(&clock) == cpu) {} /* work makes CPU time, CPU time takes time */
    CHECK_INT(pn_clock_now_ns(&clock), >, now);
    CHECK_INT(pn_clock_real_ns(), >, real);
    CHECK_INT(pn_clock_real_ns(), >=, now);
}

TEST(clock_real_is_not_moved) {
    pid_t pid = fork();
    if (pid == 0) {
        pn_clock clock;
        CHECK(freopen("/dev/null", "w", stderr) != NULL);
        pn_clock_init(&clock, false);
        pn_clock_advance(&clock, 1);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

enum { STEPS = 100000 };

static void *watch(void *arg) {
    const pn_clock *clock = arg;
    uint64_t last = 0;
    while (last < STEPS) {
        uint64_t now = pn_clock_now_ns(clock);
        CHECK_INT(now, >=, last);
        last = now;
    }
    return NULL;
}

/* The monitor reads the time of a virtual clock that its worker moves. */
TEST(clock_virtual_may_be_read_by_all) {
    pn_clock clock;
    pthread_t reader;
    pn_clock_init(&clock, true);
    CHECK_EQ(pthread_create(&reader, NULL, watch, &clock), 0);
    for (uint64_t ns = 1; ns <= STEPS; ns++) pn_clock_advance(&clock, ns);
    CHECK_EQ(pthread_join(reader, NULL), 0);
}
