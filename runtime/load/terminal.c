#include "load/terminal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"

void pn_terminal_init(pn_terminal *terminal, int fd, bool is_live, pn_alloc *alloc) {
    memset(terminal, 0, sizeof *terminal);
    terminal->fd = fd;
    terminal->is_live = is_live;
    pn_buf_init(&terminal->block, alloc);
    pn_assert(pthread_mutex_init(&terminal->lock, NULL) == 0);
}

void pn_terminal_close(pn_terminal *terminal) {
    pn_buf_close(&terminal->block);
    pthread_mutex_destroy(&terminal->lock);
}

/* The descriptor may have been made non-blocking by others who share it. */
static void put(pn_terminal *t, const char *text, size_t size) {
    while (size > 0 && t->err == 0) {
        ssize_t n = write(t->fd, text, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = t->fd, .events = POLLOUT};
            poll(&p, 1, -1);
            continue;
        }
        if (n < 0) {
            t->err = -errno;
            return;
        }
        text += n;
        size -= (size_t)n;
    }
}

static void erase(pn_terminal *t) {
    char code[32];
    if (t->block_lines == 0) return;
    put(t, code, (size_t)snprintf(code, sizeof code, "\033[%uA\033[J", t->block_lines));
}

void pn_terminal_write(pn_terminal *terminal, const char *text, size_t size) {
    pthread_mutex_lock(&terminal->lock);
    erase(terminal);
    put(terminal, text, size);
    put(terminal, terminal->block.data, terminal->block.size);
    pthread_mutex_unlock(&terminal->lock);
}

static unsigned count_lines(const char *text, size_t size) {
    unsigned lines = 0;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    return lines;
}

/* Columns of the terminal now; many when nobody can say. */
static unsigned columns(const pn_terminal *t) {
    struct winsize size;
    bool is_known = ioctl(t->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return is_known ? size.ws_col : UINT_MAX;
}

/* The bytes of a line that fit: a line that wrapped would spoil the counting. */
static size_t clip(const char *line, size_t size, unsigned width) {
    unsigned used = 0;
    for (size_t i = 0; i < size; i++) {
        bool begins = ((unsigned char)line[i] & 0xc0) != 0x80;
        if (begins && used++ == width) return i;
    }
    return size;
}

/* Line by line, so that nothing flickers: each is overwritten and its rest cleared. */
static void redraw(pn_terminal *t, const char *block, size_t size) {
    char code[32];
    unsigned width = columns(t);
    pn_buf_clear(&t->block);
    if (t->block_lines > 0)
        put(t, code, (size_t)snprintf(code, sizeof code, "\033[%uA", t->block_lines));
    for (size_t at = 0; at < size;) {
        const char *end = memchr(block + at, '\n', size - at);
        size_t line = end != NULL ? (size_t)(end - block) - at : size - at;
        size_t shown = clip(block + at, line, width);
        put(t, block + at, shown);
        put(t, "\033[K\n", 4);
        pn_buf_add(&t->block, block + at, shown);
        pn_buf_add_byte(&t->block, '\n');
        at += line + 1;
    }
    put(t, "\033[J", 3);
    if (t->block.failed) pn_buf_clear(&t->block);
}

void pn_terminal_draw(pn_terminal *terminal, const char *block, size_t size) {
    if (!terminal->is_live) return;
    pthread_mutex_lock(&terminal->lock);
    redraw(terminal, block, size);
    terminal->block_lines = count_lines(terminal->block.data, terminal->block.size);
    pthread_mutex_unlock(&terminal->lock);
}

void pn_terminal_pause(pn_terminal *terminal) {
    pthread_mutex_lock(&terminal->lock);
    erase(terminal);
}

void pn_terminal_resume(pn_terminal *terminal) {
    put(terminal, terminal->block.data, terminal->block.size);
    pthread_mutex_unlock(&terminal->lock);
}

int pn_terminal_error(pn_terminal *terminal) {
    pthread_mutex_lock(&terminal->lock);
    int err = terminal->err;
    pthread_mutex_unlock(&terminal->lock);
    return err;
}
