/*
 * process.h - programs run by the runtime, with their output kept, that never outlive it.
 *
 * Between the runtime and a program stands a guardian (guardian.h), which the runtime talks to
 * over a socket: it hears when the program has started or ended and sends signals. Standard output
 * and error are pipes read into one bounded memory (output.h); standard input is a pipe or nothing.
 * It begins with default signal actions and no file of the runtime's open but these.
 *
 * States, each with an on_change: STARTING; RUNNING or FAILED (it could not be executed); EXITED,
 * when all it had written by then is in `output`. At last `is_gone`: nothing that it started is
 * left either.
 *
 * Threads: the io's. Memory: the io's ledger; a process is counted, and lives on after its last
 * release until all is gone.
 */
#ifndef PN_CORE_PROCESS_H
#define PN_CORE_PROCESS_H

#include "core/guardian.h"
#include "core/io.h"
#include "core/output.h"

#define PN_PROCESS_OUTPUT_DEFAULT_BYTES ((size_t)1 << 20)
#define PN_PROCESS_GRACE_DEFAULT_MS     5000
#define PN_PROCESS_ARGS_MAX             4096
#define PN_PROCESS_READ_BYTES           8192

enum { PN_PROCESS_STDOUT, PN_PROCESS_STDERR }; /* the streams of `output` */

typedef enum pn_process_state {
    PN_PROCESS_STARTING,
    PN_PROCESS_RUNNING,
    PN_PROCESS_EXITED,
    PN_PROCESS_FAILED, /* it never ran */
} pn_process_state;

typedef struct pn_process pn_process;

typedef struct pn_process_options {
    const char *const *argv; /* NULL-ended; the program is a path, or a name to be found in PATH */
    const char *const *env;  /* NULL-ended "NAME=value"; NULL: the runtime's own */
    const char *cwd;         /* NULL: the runtime's own */
    bool has_input;          /* a pipe to write to */
    size_t output_max_bytes; /* 0: the default */
    uint32_t grace_ms;       /* between TERM and KILL of a close; 0: the default */
} pn_process_options;

struct pn_process {
    /* For reading. */
    pn_process_state state;
    bool is_gone;
    bool has_rung; /* the alarm has */
    int pid;       /* the program's, once it is RUNNING */
    int exit_code; /* once it has EXITED: 0 to 255, or as shells have it: 128 + the signal */
    int signal;    /* that ended it, or 0 */
    int err;       /* why it FAILED */
    pn_output output;
    uint64_t writes_begun, writes_done; /* of its input, in order */
    int write_err;                      /* of the first write that failed */
    /* For the owner. Not called after the last release, which must not come from within. */
    void (*on_change)(pn_process *process, void *context); /* of any of the above */
    void *context;
    /* Its own. */
    pn_io *io;
    uint32_t refs;
    uint32_t open_handles;
    uint32_t grace_ms;
    bool has_input, has_out, has_err, has_control, has_timer, has_guardian; /* open handles */
    bool is_closing, ends_input;
    uv_process_t guardian;
    uv_pipe_t control, input, out, err_pipe;
    uv_timer_t timer; /* the alarm; once it is being closed, the grace */
    size_t report_size;
    char report_bytes[sizeof(pn_guardian_report)];
    char control_buffer[sizeof(pn_guardian_report) * 4];
    char buffer[PN_PROCESS_READ_BYTES];
};

/* Begins to start a program. 0, or a negative code: of the system (PN_ENOMEM, EMFILE ...), or of
 * the working directory, when it cannot be entered (*is_cwd). What else may go wrong shows as
 * FAILED. */
int pn_process_spawn(pn_io *io, const pn_process_options *options, pn_process **process,
                     bool *is_cwd);

pn_process *pn_process_grab(pn_process *process); /* returns it */

/* The last one also closes. */
void pn_process_release(pn_process *process);

/* A signal for the program alone. ESRCH (negated) when it does not run. */
int pn_process_kill(pn_process *process, int signal);

/* Ends the program and all that it started. TERM goes to the program; once that has exited, to what
 * it left; after the grace KILL to all. Idempotent. */
void pn_process_close(pn_process *process);

/* Rings once, in real time: has_rung, and an on_change. Not while it is being closed. */
void pn_process_set_alarm(pn_process *process, uint64_t delay_ms);
void pn_process_stop_alarm(pn_process *process);

/* Copies the bytes and writes them to the input; done when writes_done has reached writes_begun as
 * it is after this call. PN_ECLOSED without an open input, PN_ENOMEM. */
int pn_process_write(pn_process *process, const char *bytes, size_t size);
void pn_process_end_input(pn_process *process); /* after what was written; idempotent */

#endif
