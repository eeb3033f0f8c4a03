#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/cli.h"
#include "core/guardian.h"
#include "lua/args.h"

static const pn_command *const commands[] = {
    &pn_command_run,   &pn_command_exec, &pn_command_test,    &pn_command_inspect, &pn_command_new,
    &pn_command_bench, &pn_command_repl, &pn_command_version, &pn_command_help,    NULL,
};

#define COMMANDS_MAX 32

static const pn_command *find_command(const char *name) {
    for (const pn_command *const *c = commands; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0) return *c;
    }
    return NULL;
}

static void print_overview(FILE *out) {
    fputs("Perilune: integration, stress and chaos tests as Lua scripts.\n\n"
          "Usage: perilune COMMAND [flags] [arguments]\n\nCommands:\n",
          out);
    for (const pn_command *const *c = commands; *c != NULL; c++) {
        fprintf(out, "  %-9s %s\n", (*c)->name, (*c)->summary);
    }
    fputs("\n`perilune help COMMAND` says more.\n", out);
}

static int unknown_command(const char *name) {
    const char *names[COMMANDS_MAX + 1];
    int n = 0;
    for (; commands[n] != NULL && n < COMMANDS_MAX; n++) names[n] = commands[n]->name;
    names[n] = NULL;
    const char *near = pn_nearest(name, names);
    if (near != NULL) {
        fprintf(stderr, "perilune: unknown command %s, did you mean %s?\n", name, near);
    } else {
        fprintf(stderr, "perilune: unknown command %s (see perilune help)\n", name);
    }
    return PN_STATUS_USAGE;
}

/* For commands without flags: where their arguments begin, or -1, -2. */
static int read_no_flags(const pn_command *command, int argc, char **argv) {
    const pn_flag *const tables[] = {NULL};
    void *const contexts[] = {NULL};
    return pn_flags_read(command, argc, argv, tables, contexts);
}

static int run_help(int argc, char **argv) {
    int first = read_no_flags(&pn_command_help, argc, argv);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    if (first == argc) {
        print_overview(stdout);
        return PN_STATUS_OK;
    }
    if (first < argc - 1) {
        return pn_usage_error(&pn_command_help, "one command at most was expected");
    }
    const pn_command *command = find_command(argv[first]);
    if (command == NULL) return unknown_command(argv[first]);
    fputs(command->usage, stdout);
    return PN_STATUS_OK;
}

static int run_version(int argc, char **argv) {
    int first = read_no_flags(&pn_command_version, argc, argv);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    if (first < argc) return pn_usage_error(&pn_command_version, "takes no arguments");
    printf("perilune " PN_VERSION " (%s, libuv %s)\n", LUA_RELEASE, uv_version_string());
    return PN_STATUS_OK;
}

const pn_command pn_command_help = {
    .name = "help",
    .summary = "what the commands do",
    .usage = "Usage: perilune help [COMMAND]\n",
    .run = run_help,
};

const pn_command pn_command_version = {
    .name = "version",
    .summary = "print the version",
    .usage = "Usage: perilune version\n",
    .run = run_version,
};

int main(int argc, char **argv) {
    if (pn_guardian_is(argc, argv)) return pn_guardian_main(argc, argv);
    if (argc < 2) {
        print_overview(stderr);
        return PN_STATUS_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
        print_overview(stdout);
        return PN_STATUS_OK;
    }
    if (strcmp(name, "-v") == 0 || strcmp(name, "--version") == 0) name = "version";
    const pn_command *command = find_command(name);
    if (command == NULL) return unknown_command(name);
    return command->run(argc - 1, argv + 1);
}
