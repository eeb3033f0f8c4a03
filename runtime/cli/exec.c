#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

#define STDIN_NAME      "-"
#define STDIN_MAX_BYTES ((size_t)64 << 20)

/* All of standard input, before anything runs: no worker must wait for it. 0 or errno. */
static int read_stdin(pn_source *text) {
    size_t room = 0;
    while (true) {
        if (text->size == room) {
            room = room > 0 ? room * 2 : (size_t)64 << 10;
            char *grown = room <= STDIN_MAX_BYTES ? realloc(text->bytes, room) : NULL;
            if (grown == NULL) return room <= STDIN_MAX_BYTES ? ENOMEM : EFBIG;
            text->bytes = grown;
        }
        ssize_t size = read(STDIN_FILENO, text->bytes + text->size, room - text->size);
        if (size == 0) return 0;
        if (size < 0 && errno != EINTR) return errno;
        if (size > 0) text->size += (size_t)size;
    }
}

/* 0, or why a file cannot be read. A folder can be opened, and not read. */
static int check_file(const char *path) {
    struct stat info;
    if (access(path, R_OK) != 0 || stat(path, &info) != 0) return errno;
    return S_ISDIR(info.st_mode) ? EISDIR : 0;
}

static int run(int argc, char **argv) {
    pn_host host;
    pn_host_init(&host);
    const pn_flag *const tables[] = {pn_host_flags, NULL};
    void *const contexts[] = {&host};
    int first = pn_flags_read(&pn_command_exec, argc, argv, tables, contexts);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    if (first == argc) return pn_usage_error(&pn_command_exec, "which file?");
    const char *path = argv[first];
    bool is_stdin = strcmp(path, STDIN_NAME) == 0;
    pn_source text = {NULL, 0};
    int err = is_stdin ? read_stdin(&text) : check_file(path);
    if (err != 0) {
        fprintf(stderr, "perilune exec: cannot read %s: %s\n", is_stdin ? "standard input" : path,
                strerror(err));
        free(text.bytes);
        return PN_STATUS_USAGE;
    }
    host.script_path = argv[first];
    host.checks_stdout = true;
    return pn_host_run(&host, pn_program_file(path, text, argc - first - 1, argv + first + 1));
}

const pn_command pn_command_exec = {
    .name = "exec",
    .summary = "run a Lua program as the first actor",
    .usage =
        "Usage: perilune exec [flags] FILE [ARGS...]\n"
        "\n"
        "Runs a plain Lua program as the first actor; `...` and `arg` are the arguments; a FILE\n"
        "of - is standard input. It ends when the file returns: `return N` or os.exit(N) is the\n"
        "exit code (0 to 255; others are 255). An uncaught error prints its traceback and exits\n"
        "with 107, Ctrl-C with 105 (twice: at once).\n"
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
