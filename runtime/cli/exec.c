#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"

static int run(int argc, char **argv) {
    pn_host host;
    pn_host_init(&host);
    const pn_flag *const tables[] = {pn_host_flags, NULL};
    void *const contexts[] = {&host};
    int first = pn_flags_read(&pn_command_exec, argc, argv, tables, contexts);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    if (first == argc) return pn_usage_error(&pn_command_exec, "which file?");
    const char *path = argv[first];
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "perilune exec: cannot read %s: %s\n", path, strerror(errno));
        return PN_STATUS_USAGE;
    }
    host.script_path = argv[first];
    return pn_host_run(&host, pn_program_file(path, argc - first - 1, argv + first + 1));
}

const pn_command pn_command_exec = {
    .name = "exec",
    .summary = "run a Lua program as the first actor",
    .usage =
        "Usage: perilune exec [flags] FILE [ARGS...]\n"
        "\n"
        "Runs a plain Lua program as the first actor; `...` and `arg` are the arguments. It ends\n"
        "when the file returns: `return N` or os.exit(N) is the exit code. An uncaught error\n"
        "prints its traceback and exits with 107, Ctrl-C with 105 (twice: at once).\n"
        "\n"
        "Flags:\n"
        "  --workers N       worker threads (default: one a core)\n"
        "  --seed N          seed of everything random; with --virtual-time a run repeats exactly\n"
        "  --virtual-time    one worker; time moves only when nothing can run\n"
        "  --log-format F    text (default) or json, a line an entry\n"
        "  --log-level L     debug, info (default), warn, error or none\n"
        "  --log-output F    a file to append to; stderr (default) or stdout\n",
    .run = run,
};
