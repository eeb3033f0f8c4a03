/*
 * cli.h - what the commands share: the table of commands, flags, exit codes, and a runtime to host
 * a Lua program.
 *
 * Only here may the process end. Every error is one clear line on stderr: "perilune: what is
 * wrong".
 */
#ifndef PN_CLI_CLI_H
#define PN_CLI_CLI_H

#include <semaphore.h>

#include "bind/bind.h"

/* k6's, and ours for a crash of the runtime itself. */
enum {
    PN_STATUS_OK = 0,
    PN_STATUS_THRESHOLD = 99,
    PN_STATUS_SETUP_TIMEOUT = 100,
    PN_STATUS_TEARDOWN_TIMEOUT = 101,
    PN_STATUS_TIMEOUT = 102,
    PN_STATUS_USAGE = 104,
    PN_STATUS_INTERRUPTED = 105,
    PN_STATUS_SCRIPT = 107,
    PN_STATUS_ABORTED = 108,
    PN_STATUS_STUCK = 109,
    PN_STATUS_FAILED = 110,
};

typedef struct pn_command {
    const char *name;
    const char *summary;               /* one line, for `help` */
    const char *usage;                 /* the whole help text of the command */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
} pn_command;

extern const pn_command pn_command_exec, pn_command_test, pn_command_bench, pn_command_repl,
    pn_command_run, pn_command_inspect, pn_command_new, pn_command_version, pn_command_help;

/* ---- flags ---- */

typedef struct pn_flag {
    const char *name;     /* "workers": --workers N or --workers=N */
    char letter;          /* 'u': -u N; 0: none */
    const char *argument; /* "N"; NULL: takes none */
    /* Stores the value; returns NULL, or what is wrong ("a number from 1 to 64 was expected"). */
    const char *(*set)(void *context, const char *value);
} pn_flag;

/* Reads flags up to the first argument that is none (or "--"). Unknown flags and bad values are
 * reported. Returns the index of the first argument, or -1. `-h` and `--help` print the command's
 * usage and return -2. `tables` is ended by NULL; each table by a NULL name. */
int pn_flags_read(const pn_command *command, int argc, char **argv, const pn_flag *const *tables,
                  void *const *contexts);

/* As above, but flags may stand behind arguments, too: those are moved to the end of argv. */
int pn_flags_read_all(const pn_command *command, int argc, char **argv,
                      const pn_flag *const *tables, void *const *contexts);

/* Prints "perilune COMMAND: message" and how to get help; returns PN_STATUS_USAGE. */
int pn_usage_error(const pn_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- a runtime to host a program ---- */

typedef struct pn_host {
    /* set before pn_host_run */
    unsigned workers; /* 0: one a core */
    uint64_t seed;
    bool has_seed, is_virtual, gc_stress;
    bool keeps_series;           /* metrics take any selector: in tests, where it may cost time */
    uint32_t stuck_ms, close_ms; /* 0: the defaults */
    pn_log log;
    char *script_path; /* for package.path and arg[0]; NULL */
    /* the host's own */
    pn_runtime *runtime;
    sem_t done;
    _Atomic int exit_status; /* -1: nobody has said yet */
    _Atomic int signal_count;
    _Atomic uint64_t main_pid;
    char *error, *traceback; /* of the main actor, malloced; NULL */
    char *search_path;
    pn_job interrupt_job;
    bool interrupt_kills; /* the main actor is killed rather than asked to end */
    bool checks_stdout;   /* what could not be written to it is told, and is no success */
    /* The first SIGINT or SIGTERM; on the watchdog's thread. NULL: the main actor ends (shutdown).
     * The second ends the process at once with PN_STATUS_INTERRUPTED. */
    void (*on_interrupt)(struct pn_host *host);
    /* The main actor is there; on a worker. NULL: nothing to do. */
    void (*on_ready)(struct pn_host *host);
    /* The runtime is there and has not started (0, or a negative code); it has stopped and is still
     * there. NULL: nothing to do. */
    int (*on_open)(struct pn_host *host);
    void (*on_close)(struct pn_host *host);
    void *context;
} pn_host;

void pn_host_init(pn_host *host);

/* --workers, --seed, --virtual-time, --log-*: for every command that runs Lua. */
extern const pn_flag pn_host_flags[];

/* Runs the program as the first actor and waits for its end. Returns the exit status: what the
 * program returned or passed to os.exit, PN_STATUS_SCRIPT after an error (printed),
 * PN_STATUS_INTERRUPTED. */
int pn_host_run(pn_host *host, pn_program *program);

/* Says the exit status, if nobody has yet. Any thread. */
void pn_host_set_status(pn_host *host, int status);

/* A whole number within bounds; returns NULL, or what is wrong. */
const char *pn_parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* The program's text, when it comes from standard input ("-"). */
typedef struct pn_source {
    char *bytes; /* malloced; NULL: it is in the file */
    size_t size;
} pn_source;

/* A program that loads a file, or a text, and passes it arguments; `argv` must outlive the run.
 * Takes over the text. NULL without memory. */
pn_program *pn_program_file(const char *path, pn_source text, int argc, char **argv);

#endif
