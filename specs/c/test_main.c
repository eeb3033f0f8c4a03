/*
 * test_main.c - runs the C tests: c-tests [-l] [-1] [-s SEED] [NAME...]
 * -l lists, -1 runs in this process (for a debugger), -s shuffles. A NAME matches file or test.
 * Last line: "N passed, N failed[, N skipped]"; exit 1 if any failed.
 */
#include "test.h"

#include "core/guardian.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_LIMIT_S 300 /* the slowest, under a sanitizer on a busy machine */
#define EXIT_SKIPPED 7

static pn_test *tests; /* the registry is filled before main by constructors */

void pn_test_add(pn_test *test) {
    pn_test **at = &tests;
    while (*at != NULL) at = &(*at)->next;
    *at = test;
}

_Noreturn void pn_test_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(NULL);
    _exit(1);
}

_Noreturn void pn_test_skip(const char *reason) {
    fprintf(stderr, "  skipped: %s\n", reason);
    fflush(NULL);
    _exit(EXIT_SKIPPED);
}

static bool wanted(const pn_test *test, char **names, int count) {
    if (count == 0) return true;
    for (int i = 0; i < count; i++) {
        if (strstr(test->file, names[i]) != NULL || strstr(test->name, names[i]) != NULL)
            return true;
    }
    return false;
}

/* The child's exit: through exit, so that leak checkers run. */
static int run_forked(const pn_test *test) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(TIME_LIMIT_S);
        test->run();
        exit(0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    fprintf(stderr, "  ended by signal %d (%s)\n", WTERMSIG(status),
            WTERMSIG(status) == SIGALRM ? "time limit" : strsignal(WTERMSIG(status)));
    return 1;
}

static pn_test **collect(char **names, int count, int *total) {
    int n = 0;
    for (pn_test *t = tests; t != NULL; t = t->next) n += wanted(t, names, count);
    pn_test **list = calloc((size_t)n + 1, sizeof *list);
    if (list == NULL) abort();
    *total = n;
    n = 0;
    for (pn_test *t = tests; t != NULL; t = t->next) {
        if (wanted(t, names, count)) list[n++] = t;
    }
    return list;
}

static void shuffle(pn_test **list, int total, unsigned seed) {
    srand(seed);
    for (int i = total - 1; i > 0; i--) {
        int j = rand() % (i + 1);
        pn_test *swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
}

int main(int argc, char **argv) {
    if (pn_guardian_is(argc, argv)) return pn_guardian_main(argc, argv);
    bool list_only = false, in_process = false;
    const char *seed = NULL;
    int option;
    while ((option = getopt(argc, argv, "l1s:")) != -1) {
        if (option == 'l') list_only = true;
        if (option == '1') in_process = true;
        if (option == 's') seed = optarg;
        if (option == '?') return 2;
    }
    int total, passed = 0, failed = 0, skipped = 0;
    pn_test **list = collect(argv + optind, argc - optind, &total);
    if (seed != NULL) shuffle(list, total, (unsigned)strtoul(seed, NULL, 10));
    for (int i = 0; i < total; i++) {
        if (list_only) {
            printf("%s: %s\n", list[i]->file, list[i]->name);
            continue;
        }
        int code = 0;
        if (in_process) {
            list[i]->run();
        } else {
            code = run_forked(list[i]);
        }
        passed += code == 0;
        skipped += code == EXIT_SKIPPED;
        if (code != 0 && code != EXIT_SKIPPED) {
            failed++;
            printf("FAILED %s: %s\n", list[i]->file, list[i]->name);
        }
    }
    free(list);
    if (!list_only) printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0 ? 1 : 0;
}
