#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define RUNNER "perilune.test_runner"

typedef struct test_program {
    pn_program base;
    int argc;
    char **argv;
} test_program;

/* `arg` is what busted reads. */
static int push_runner(lua_State *L, pn_program *program) {
    test_program *p = (test_program *)program;
    lua_createtable(L, p->argc, 1);
    lua_pushliteral(L, "perilune test");
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < p->argc; i++) {
        lua_pushstring(L, p->argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
    pn_module_push_chunk(L, pn_embedded_find(RUNNER));
    return 0;
}

static void destroy_runner(pn_worker *worker, pn_program *program) { (void)worker, (void)program; }

/* A flag of ours at argv[i], "--name value" or "--name=value": its value, and how many arguments it
 * is. Everything else is busted's. */
static const char *own_flag(int argc, char **argv, int i, const pn_flag *flag, int *taken) {
    size_t size = strlen(flag->name);
    const char *text = argv[i];
    *taken = 0;
    if (strncmp(text, "--", 2) != 0 || strncmp(text + 2, flag->name, size) != 0) return NULL;
    const char *rest = text + 2 + size;
    if (*rest == '=' && flag->argument != NULL) {
        *taken = 1;
        return rest + 1;
    }
    if (*rest != '\0') return NULL;
    *taken = flag->argument != NULL ? 2 : 1;
    if (flag->argument == NULL) return "";
    return i + 1 < argc ? argv[i + 1] : NULL;
}

/* Takes our flags out of the arguments; what is left is for busted. The seed is for both. */
static int sort_arguments(pn_host *host, int argc, char **argv, char **rest) {
    int count = 0;
    for (int i = 1; i < argc;) {
        const pn_flag *flag = pn_host_flags;
        int taken = 0;
        const char *value = NULL;
        for (; flag->name != NULL && taken == 0; flag++)
            value = own_flag(argc, argv, i, flag, &taken);
        if (taken == 0) {
            rest[count++] = argv[i++];
            continue;
        }
        flag--;
        const char *wrong = value == NULL ? "needs a value" : flag->set(host, value);
        if (wrong != NULL) return -pn_usage_error(&pn_command_test, "--%s: %s", flag->name, wrong);
        bool is_seed = strcmp(flag->name, "seed") == 0;
        for (int k = 0; is_seed && k < taken; k++) rest[count++] = argv[i + k];
        i += taken;
    }
    return count;
}

static int run(int argc, char **argv) {
    pn_host host;
    pn_host_init(&host);
    host.interrupt_kills = true; /* the runner traps exits */
    host.keeps_series = true;
    host.checks_stdout = true;
    if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(pn_command_test.usage, stdout);
        fflush(stdout);
    }
    char **rest = calloc((size_t)argc + 1, sizeof *rest);
    if (rest == NULL) return PN_STATUS_SCRIPT;
    int count = sort_arguments(&host, argc, argv, rest);
    test_program program = {{push_runner, destroy_runner, true, NULL}, count, rest};
    int status = count < 0 ? -count : pn_host_run(&host, &program.base);
    free(rest);
    return status;
}

const pn_command pn_command_test = {
    .name = "test",
    .summary = "run busted specs inside the runtime",
    .usage =
        "Usage: perilune test [flags] [PATH...]\n"
        "\n"
        "Runs busted specs inside the runtime: blocking calls work in `it` and in hooks. The\n"
        "flags, helpers, output handlers and exit codes are busted's (--help lists them). What a\n"
        "test leaves running is ended after it and reported on stderr.\n"
        "\n"
        "Flags of our own:\n"
        "  --workers N       worker threads (default: one a core)\n"
        "  --seed N          seed of everything random, and of busted's shuffling\n"
        "  --virtual-time    one worker; time moves only when nothing can run\n"
        "  --log-format F    text (default) or json, a line an entry\n"
        "  --log-level L     debug, info (default), warn, error or none\n"
        "  --log-output F    a file to append to; stderr (default) or stdout\n"
        "\n",
    .run = run,
};
