/*
 * guardian.h - the process between the runtime and a program that it starts.
 *
 * A program must not outlive the runtime, whatever ends it, kill -9 too, and neither must what the
 * program starts. PR_SET_PDEATHSIG alone reaches only the direct child, and belongs to a thread. So
 * the runtime executes itself again as a guardian: a small process in a session of its own that
 *   - is the subreaper of everything below it, so nothing gets away by a double fork,
 *   - starts the program in a process group of its own (it dies with the guardian: PDEATHSIG),
 *   - holds one end of a socket whose other end only the runtime has: when that is closed, by
 *     whatever end of the runtime, it kills everything below it,
 *   - passes signals on, so that none can reach a stranger who got the number of a dead process.
 * It ends when nothing below it is left.
 *
 * It finds what is below it in /proc. Threads: one. Memory: its stack.
 */
#ifndef PN_CORE_GUARDIAN_H
#define PN_CORE_GUARDIAN_H

#include <stdbool.h>
#include <stdint.h>

/* argv of a guardian: its name, this word, then the program and its arguments. The socket is
 * PN_GUARDIAN_FD; standard streams, environment and working directory are the program's. */
#define PN_GUARDIAN_NAME "pn-guardian"
#define PN_GUARDIAN_WORD "--be-guardian"
#define PN_GUARDIAN_FD   3

/* From the runtime, each one byte: a signal for the program, or one for all that is below. */
#define PN_GUARDIAN_SIGNAL_MAX 64
#define PN_GUARDIAN_TO_ALL     0x80

/* From the guardian. */
typedef enum pn_guardian_news {
    PN_GUARDIAN_STARTED = 1, /* value: the program's pid */
    PN_GUARDIAN_FAILED,      /* value: errno of its start; nothing else follows */
    PN_GUARDIAN_EXITED,      /* value: its wait status */
} pn_guardian_news;

typedef struct pn_guardian_report {
    int32_t news;
    int32_t value;
} pn_guardian_report;

/* For every main(): a process that is to be a guardian does nothing else. */
bool pn_guardian_is(int argc, char **argv);
int pn_guardian_main(int argc, char **argv); /* returns the exit status */

#endif
