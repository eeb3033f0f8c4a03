#include "core/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

#define OWN_PROGRAM "/proc/self/exe"

/* What a guardian gets, by number of its file; the other ends are ours. */
enum { FD_IN, FD_OUT, FD_ERR, FD_CONTROL, FD_COUNT };

static void notify(pn_process *p) {
    if (p->on_change != NULL) p->on_change(p, p->context);
}

/* ---- the end of its memory ---- */

static void free_process(pn_process *p) {
    pn_output_close(&p->output);
    pn_mem_free(p->io->ledger, p, sizeof *p);
}

static void on_closed(uv_handle_t *handle) {
    pn_process *p = handle->data;
    if (--p->open_handles == 0 && p->refs == 0) free_process(p);
}

static void close_handle(bool *is_open, void *handle) {
    if (!*is_open) return;
    *is_open = false;
    uv_close(handle, on_closed);
}

static void opened(pn_process *p, bool *is_open, void *handle) {
    ((uv_handle_t *)handle)->data = p;
    *is_open = true;
    p->open_handles++;
}

static void close_all(pn_process *p) {
    close_handle(&p->has_control, &p->control);
    close_handle(&p->has_input, &p->input);
    close_handle(&p->has_out, &p->out);
    close_handle(&p->has_err, &p->err_pipe);
    close_handle(&p->has_timer, &p->timer);
    close_handle(&p->has_guardian, &p->guardian);
}

/* ---- output ---- */

/* What is read is used up at once, so both share the buffer. */
static void on_alloc(uv_handle_t *handle, size_t suggested_size, uv_buf_t *buf) {
    pn_process *p = handle->data;
    (void)suggested_size;
    *buf = uv_buf_init(p->buffer, sizeof p->buffer);
}

static void on_output(pn_process *p, unsigned stream, bool *is_open, uv_stream_t *pipe,
                      ssize_t size) {
    if (size > 0) pn_output_add(&p->output, stream, p->buffer, (size_t)size);
    if (size < 0) close_handle(is_open, pipe);
    if (size > 0) notify(p);
}

static void on_out(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf) {
    pn_process *p = stream->data;
    (void)buf;
    on_output(p, PN_PROCESS_STDOUT, &p->has_out, stream, size);
}

static void on_err(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf) {
    pn_process *p = stream->data;
    (void)buf;
    on_output(p, PN_PROCESS_STDERR, &p->has_err, stream, size);
}

/* What is in the pipe already, without waiting for the loop to come to it. */
static void drain(pn_process *p, unsigned stream, const bool *is_open, const uv_pipe_t *pipe) {
    uv_os_fd_t fd;
    if (!*is_open || uv_fileno((const uv_handle_t *)pipe, &fd) != 0) return;
    ssize_t size;
    while ((size = read(fd, p->buffer, sizeof p->buffer)) > 0 || (size < 0 && errno == EINTR)) {
        if (size > 0) pn_output_add(&p->output, stream, p->buffer, (size_t)size);
    }
}

static void drain_output(pn_process *p) {
    drain(p, PN_PROCESS_STDOUT, &p->has_out, &p->out);
    drain(p, PN_PROCESS_STDERR, &p->has_err, &p->err_pipe);
}

/* ---- the guardian ---- */

static void tell(pn_process *p, unsigned command) {
    char byte = (char)command;
    uv_buf_t buf = uv_buf_init(&byte, 1);
    if (p->has_control) uv_try_write((uv_stream_t *)&p->control, &buf, 1);
}

static void set_exit(pn_process *p, int status) {
    p->state = PN_PROCESS_EXITED;
    p->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    p->exit_code = p->signal != 0 ? 128 + p->signal : WEXITSTATUS(status);
}

static void on_report(pn_process *p, const pn_guardian_report *report) {
    switch (report->news) {
    case PN_GUARDIAN_STARTED:
        p->pid = report->value;
        p->state = PN_PROCESS_RUNNING;
        break;
    case PN_GUARDIAN_FAILED:
        p->err = -report->value;
        p->state = PN_PROCESS_FAILED;
        break;
    case PN_GUARDIAN_EXITED:
        drain_output(p);
        set_exit(p, report->value);
        if (p->is_closing) tell(p, PN_GUARDIAN_TO_ALL | SIGTERM);
        break;
    default: return;
    }
    notify(p);
}

static void take_reports(pn_process *p, const char *bytes, size_t size) {
    while (size > 0) {
        size_t part = sizeof p->report_bytes - p->report_size;
        if (part > size) part = size;
        memcpy(p->report_bytes + p->report_size, bytes, part);
        p->report_size += part;
        bytes += part;
        size -= part;
        if (p->report_size < sizeof p->report_bytes) return;
        pn_guardian_report report;
        memcpy(&report, p->report_bytes, sizeof report);
        p->report_size = 0;
        on_report(p, &report);
    }
}

static void on_control_alloc(uv_handle_t *handle, size_t suggested_size, uv_buf_t *buf) {
    pn_process *p = handle->data;
    (void)suggested_size;
    *buf = uv_buf_init(p->control_buffer, sizeof p->control_buffer);
}

static void on_control(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf) {
    if (size < 0) uv_read_stop(stream); /* its end comes as the guardian's exit */
    if (size > 0) take_reports(stream->data, buf->base, (size_t)size);
}

/* Reports that are there already: the guardian's exit may be seen before them. */
static void drain_control(pn_process *p) {
    char bytes[sizeof(pn_guardian_report) * 8];
    uv_os_fd_t fd;
    if (!p->has_control || uv_fileno((uv_handle_t *)&p->control, &fd) != 0) return;
    ssize_t size;
    while ((size = read(fd, bytes, sizeof bytes)) > 0 || (size < 0 && errno == EINTR)) {
        if (size > 0) take_reports(p, bytes, (size_t)size);
    }
}

/* Nothing is left below it. If it was killed, it took the program along. */
static void on_guardian_exit(uv_process_t *guardian, int64_t status, int signal) {
    pn_process *p = guardian->data;
    (void)status;
    drain_control(p);
    drain_output(p);
    if (p->state == PN_PROCESS_RUNNING) set_exit(p, signal != 0 ? signal : SIGKILL);
    if (p->state == PN_PROCESS_STARTING) {
        p->state = PN_PROCESS_FAILED;
        p->err = -ECHILD;
    }
    p->is_gone = true;
    p->writes_done = p->writes_begun;
    close_all(p);
    notify(p);
}

/* ---- starting ---- */

static void close_fds(const int fds[FD_COUNT]) {
    for (int i = 0; i < FD_COUNT; i++) {
        if (fds[i] >= 0) close(fds[i]);
    }
}

static int open_end(pn_process *p, uv_pipe_t *pipe, bool *is_open, int fd) {
    int err = uv_pipe_init(&p->io->loop, pipe, 0);
    if (err == 0) {
        opened(p, is_open, pipe);
        err = uv_pipe_open(pipe, fd);
    }
    if (err != 0) close(fd);
    return err;
}

/* A pipe whose other end is the program's. */
static int open_pipe(pn_process *p, uv_pipe_t *pipe, bool *is_open, bool we_write, int *theirs) {
    int fds[2];
    int err = uv_pipe(fds, we_write ? 0 : UV_NONBLOCK_PIPE, we_write ? UV_NONBLOCK_PIPE : 0);
    if (err != 0) return err;
    *theirs = fds[we_write ? 0 : 1];
    return open_end(p, pipe, is_open, fds[we_write ? 1 : 0]);
}

static int open_control(pn_process *p, int *theirs) {
    uv_os_sock_t fds[2];
    int err = uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, 0);
    if (err != 0) return err;
    *theirs = fds[1];
    return open_end(p, &p->control, &p->has_control, fds[0]);
}

static int open_streams(pn_process *p, const pn_process_options *options, int fds[FD_COUNT]) {
    int err = open_control(p, &fds[FD_CONTROL]);
    if (err == 0) err = open_pipe(p, &p->out, &p->has_out, false, &fds[FD_OUT]);
    if (err == 0) err = open_pipe(p, &p->err_pipe, &p->has_err, false, &fds[FD_ERR]);
    if (err == 0 && options->has_input) {
        err = open_pipe(p, &p->input, &p->has_input, true, &fds[FD_IN]);
    }
    return err;
}

static int spawn_guardian(pn_process *p, const pn_process_options *options, char **args,
                          const int fds[FD_COUNT]) {
    uv_stdio_container_t stdio[FD_COUNT];
    for (int i = 0; i < FD_COUNT; i++) {
        stdio[i].flags = fds[i] >= 0 ? UV_INHERIT_FD : UV_IGNORE;
        stdio[i].data.fd = fds[i];
    }
    uv_process_options_t o = {
        .exit_cb = on_guardian_exit,
        .file = OWN_PROGRAM,
        .args = args,
        .env = (char **)(uintptr_t)options->env,
        .cwd = options->cwd,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = FD_COUNT,
        .stdio = stdio,
    };
    int err = uv_spawn(&p->io->loop, &p->guardian, &o);
    opened(p, &p->has_guardian, &p->guardian); /* after a failure, too, it must be closed */
    return err;
}

/* The guardian's own words, then the program's. */
static int with_args(pn_process *p, const pn_process_options *options, const int fds[FD_COUNT]) {
    static const char *const own[] = {PN_GUARDIAN_NAME, PN_GUARDIAN_WORD};
    const size_t own_count = sizeof own / sizeof own[0];
    size_t count = 0;
    while (options->argv[count] != NULL) count++;
    if (count == 0 || count > PN_PROCESS_ARGS_MAX) return -E2BIG;
    size_t bytes = (own_count + count + 1) * sizeof(char *);
    char **args = pn_mem_try_zeroed(p->io->ledger, bytes);
    if (args == NULL) return PN_ENOMEM;
    memcpy(args, own, sizeof own);
    memcpy(args + own_count, options->argv, count * sizeof *args);
    int err = spawn_guardian(p, options, args, fds);
    pn_mem_free(p->io->ledger, args, bytes);
    return err;
}

static int begin_reading(pn_process *p) {
    int err = uv_read_start((uv_stream_t *)&p->control, on_control_alloc, on_control);
    if (err == 0) err = uv_read_start((uv_stream_t *)&p->out, on_alloc, on_out);
    if (err == 0) err = uv_read_start((uv_stream_t *)&p->err_pipe, on_alloc, on_err);
    return err;
}

static bool is_missing(const char *cwd) { return cwd != NULL && access(cwd, X_OK) != 0; }

int pn_process_spawn(pn_io *io, const pn_process_options *options, pn_process **process,
                     bool *is_cwd) {
    *is_cwd = false;
    pn_process *p = pn_mem_try_zeroed(io->ledger, sizeof *p);
    if (p == NULL) return PN_ENOMEM;
    size_t limit = options->output_max_bytes;
    pn_output_init(&p->output, io->ledger, limit > 0 ? limit : PN_PROCESS_OUTPUT_DEFAULT_BYTES);
    p->io = io;
    p->refs = 1;
    p->grace_ms = options->grace_ms > 0 ? options->grace_ms : PN_PROCESS_GRACE_DEFAULT_MS;
    uv_timer_init(&io->loop, &p->timer);
    opened(p, &p->has_timer, &p->timer);
    int fds[FD_COUNT] = {-1, -1, -1, -1};
    int err = open_streams(p, options, fds);
    if (err == 0) err = with_args(p, options, fds);
    close_fds(fds);
    if (err == 0) err = begin_reading(p);
    if (err == 0) {
        *process = p;
        return 0;
    }
    *is_cwd = is_missing(options->cwd);
    p->refs = 0;
    close_all(p);
    return pn_io_err(err);
}

/* ---- signals and the end ---- */

int pn_process_kill(pn_process *p, int signal) {
    if (signal < 1 || signal > PN_GUARDIAN_SIGNAL_MAX) return -EINVAL;
    if (p->state != PN_PROCESS_RUNNING) return -ESRCH;
    tell(p, (unsigned)signal);
    return 0;
}

/* The guardian kills all when it hears no more of us; we go on to hear of it. */
static void on_grace_over(uv_timer_t *timer) {
    pn_process *p = timer->data;
    uv_os_fd_t fd;
    if (p->has_control && uv_fileno((uv_handle_t *)&p->control, &fd) == 0) shutdown(fd, SHUT_WR);
}

void pn_process_close(pn_process *p) {
    if (p->is_closing) return;
    p->is_closing = true;
    if (!p->has_guardian) return;
    tell(p, p->state == PN_PROCESS_EXITED ? PN_GUARDIAN_TO_ALL | SIGTERM : SIGTERM);
    uv_update_time(&p->io->loop);
    uv_timer_start(&p->timer, on_grace_over, p->grace_ms, 0);
}

static void on_alarm(uv_timer_t *timer) {
    pn_process *p = timer->data;
    p->has_rung = true;
    notify(p);
}

void pn_process_set_alarm(pn_process *p, uint64_t delay_ms) {
    if (p->is_closing || !p->has_timer) return;
    p->has_rung = false;
    uv_update_time(&p->io->loop);
    uv_timer_start(&p->timer, on_alarm, delay_ms, 0);
}

void pn_process_stop_alarm(pn_process *p) {
    if (!p->is_closing && p->has_timer) uv_timer_stop(&p->timer);
}

pn_process *pn_process_grab(pn_process *p) {
    p->refs++;
    return p;
}

void pn_process_release(pn_process *p) {
    pn_assert(p->refs > 0);
    if (--p->refs > 0) return;
    p->on_change = NULL;
    pn_process_close(p);
    if (p->open_handles == 0) free_process(p);
}

/* ---- input ---- */

typedef struct write_request {
    uv_write_t req;
    pn_process *process;
    size_t size;
    char bytes[];
} write_request;

static void on_written(uv_write_t *req, int status) {
    write_request *w = PN_CONTAINER(req, write_request, req);
    pn_process *p = w->process;
    pn_mem_free(p->io->ledger, w, sizeof *w + w->size);
    if (status != 0 && p->write_err == 0) p->write_err = pn_io_err(status);
    if (p->writes_done < p->writes_begun) p->writes_done++;
    bool is_over = p->ends_input && p->writes_done == p->writes_begun;
    if (is_over) close_handle(&p->has_input, &p->input);
    notify(p);
}

int pn_process_write(pn_process *p, const char *bytes, size_t size) {
    if (!p->has_input || p->ends_input) return PN_ECLOSED;
    write_request *w = pn_mem_try(p->io->ledger, sizeof *w + size);
    if (w == NULL) return PN_ENOMEM;
    w->process = p;
    w->size = size;
    memcpy(w->bytes, bytes, size);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)size);
    int err = uv_write(&w->req, (uv_stream_t *)&p->input, &buf, 1, on_written);
    if (err != 0) {
        pn_mem_free(p->io->ledger, w, sizeof *w + size);
        return pn_io_err(err);
    }
    p->writes_begun++;
    return 0;
}

void pn_process_end_input(pn_process *p) {
    p->ends_input = true;
    if (p->writes_done == p->writes_begun) close_handle(&p->has_input, &p->input);
}
