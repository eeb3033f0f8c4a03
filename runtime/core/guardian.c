#include "core/guardian.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_ROUNDS_MAX 10000 /* of a millisecond: then what is left cannot be killed by anybody */
#define ANCESTORS_MAX   1000  /* looked at for one process */

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_NOT_EXECUTED = 127 };

typedef struct guardian {
    pid_t self;
    pid_t program; /* 0: it has ended */
    int signals;   /* signalfd */
} guardian;

bool pn_guardian_is(int argc, char **argv) {
    return argc >= 3 && strcmp(argv[1], PN_GUARDIAN_WORD) == 0;
}

static void report(pn_guardian_news news, int value) {
    pn_guardian_report r = {(int32_t)news, value};
    while (send(PN_GUARDIAN_FD, &r, sizeof r, MSG_NOSIGNAL) < 0 && errno == EINTR) {}
}

/* ---- what is below ---- */

/* The parent of a process; 0 if there is no such process. */
static pid_t parent_of(pid_t pid) {
    char path[32], stat[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t size = read(fd, stat, sizeof stat - 1);
    close(fd);
    stat[size > 0 ? size : 0] = '\0';
    const char *name_end = strrchr(stat, ')');                /* the name may hold anything */
    bool is_whole = name_end != NULL && strlen(name_end) > 4; /* ") S 1234 ..." */
    return is_whole ? (pid_t)strtol(name_end + 4, NULL, 10) : 0;
}

static bool is_below(const guardian *g, pid_t pid) {
    for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
        pid = parent_of(pid);
        if (pid == g->self) return true;
    }
    return false;
}

static void signal_all(const guardian *g, int signal) {
    DIR *processes = opendir("/proc");
    if (processes == NULL) { /* without /proc: at least the program and its group */
        if (g->program != 0) kill(-g->program, signal);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(processes)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 1 && is_below(g, pid)) kill(pid, signal);
    }
    closedir(processes);
}

/* True while anything is below. */
static bool reap(guardian *g) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != g->program) continue;
        g->program = 0;
        report(PN_GUARDIAN_EXITED, status);
    }
    return pid == 0;
}

/* The orphans of each one that is killed come to us: until there are none. */
static void kill_all(guardian *g) {
    for (int i = 0; i < KILL_ROUNDS_MAX; i++) {
        signal_all(g, SIGKILL);
        if (!reap(g)) return;
        poll(NULL, 0, 1);
    }
}

/* ---- the program ---- */

/* In the program's process; returns only if it cannot be executed. */
static int become(const guardian *g, char **argv, int failure) {
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != g->self) return STATUS_NOT_EXECUTED; /* it died before the line above */
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    execvp(argv[0], argv);
    int why = errno;
    ssize_t written = write(failure, &why, sizeof why);
    return written == (ssize_t)sizeof why ? STATUS_NOT_EXECUTED : STATUS_FAILED;
}

/* The pipe closes itself when the program is executed. Returns errno, or 0. */
static int await_exec(int failure) {
    int why = 0;
    ssize_t size;
    do {
        size = read(failure, &why, sizeof why);
    } while (size < 0 && errno == EINTR);
    return size == (ssize_t)sizeof why ? why : 0;
}

/* The streams are the program's: while we hold them, nobody would see their end. */
static void let_go_of_streams(void) {
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && nowhere >= 0; fd++) dup2(nowhere, fd);
}

/* Returns -1 in the guardian; in the program's process, the status to end with. */
static int start_program(guardian *g, char **argv, int *err) {
    int pipe_fds[2];
    *err = 0;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        *err = errno;
        return -1;
    }
    g->program = fork();
    if (g->program == 0) return become(g, argv, pipe_fds[1]);
    close(pipe_fds[1]);
    if (g->program < 0) {
        *err = errno;
        g->program = 0;
    } else {
        setpgid(g->program, g->program); /* whoever comes first */
        *err = await_exec(pipe_fds[0]);
    }
    close(pipe_fds[0]);
    return -1;
}

/* ---- the guardian's life ---- */

static void obey(const guardian *g, unsigned command) {
    int signal = (int)(command & ~(unsigned)PN_GUARDIAN_TO_ALL);
    if (signal < 1 || signal > PN_GUARDIAN_SIGNAL_MAX) return;
    if ((command & PN_GUARDIAN_TO_ALL) != 0) {
        signal_all(g, signal);
    } else if (g->program != 0) {
        kill(g->program, signal);
    }
}

/* False when the runtime is gone, or has let go. */
static bool listen_to_runtime(const guardian *g) {
    unsigned char commands[64];
    ssize_t size = recv(PN_GUARDIAN_FD, commands, sizeof commands, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    for (ssize_t i = 0; i < size; i++) obey(g, commands[i]);
    return size > 0;
}

/* False when somebody wants the guardian itself to end. */
static bool take_signal(const guardian *g) {
    struct signalfd_siginfo info;
    ssize_t size = read(g->signals, &info, sizeof info);
    return size != (ssize_t)sizeof info || info.ssi_signo == SIGCHLD;
}

static void watch(guardian *g) {
    struct pollfd fds[] = {{.fd = PN_GUARDIAN_FD, .events = POLLIN},
                           {.fd = g->signals, .events = POLLIN}};
    bool stays = true;
    while (reap(g)) {
        if (!stays) {
            kill_all(g);
            return;
        }
        if (poll(fds, 2, -1) < 0) continue;
        if (fds[1].revents != 0) stays = take_signal(g);
        if (fds[0].revents != 0) stays = listen_to_runtime(g) && stays;
    }
}

static int open_signals(void) {
    sigset_t set;
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    sigemptyset(&set);
    int wanted[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) sigaddset(&set, wanted[i]);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int pn_guardian_main(int argc, char **argv) {
    (void)argc;
    int type;
    socklen_t size = sizeof type;
    if (getsockopt(PN_GUARDIAN_FD, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
        fprintf(stderr, "%s: only the runtime starts a guardian\n", argv[0]);
        return STATUS_FAILED;
    }
    fcntl(PN_GUARDIAN_FD, F_SETFD, FD_CLOEXEC);
    close_range(PN_GUARDIAN_FD + 1, ~0U, 0); /* files that scripts have open */
    prctl(PR_SET_NAME, PN_GUARDIAN_NAME);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    guardian g = {.self = getpid(), .signals = open_signals()};
    int err = g.signals < 0 ? errno : 0;
    int status = err == 0 ? start_program(&g, argv + 2, &err) : -1;
    if (status >= 0) return status;
    let_go_of_streams();
    if (err != 0) {
        report(PN_GUARDIAN_FAILED, err);
        return STATUS_FAILED;
    }
    report(PN_GUARDIAN_STARTED, g.program);
    watch(&g);
    return STATUS_OK;
}
