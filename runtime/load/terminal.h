/*
 * terminal.h - where a run shows itself: a block of lines that is redrawn in place, and lines above
 * it.
 *
 * Off a terminal there is no block, everything is written as it comes. What cannot be written (a
 * closed pipe, a full disk) is lost from the first failure on; who cares asks pn_terminal_error.
 *
 * Threads: any. A lock keeps the lines of several writers and the block apart.
 */
#ifndef PN_LOAD_TERMINAL_H
#define PN_LOAD_TERMINAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

typedef struct pn_terminal {
    pthread_mutex_t lock;
    int fd;
    bool is_live; /* a terminal: blocks can be redrawn */
    pn_buf block; /* as drawn last */
    unsigned block_lines;
    int err;
} pn_terminal;

void pn_terminal_init(pn_terminal *terminal, int fd, bool is_live, pn_alloc *alloc);
void pn_terminal_close(pn_terminal *terminal);

/* Writes text, above the block if there is one. The text should end with a newline. */
void pn_terminal_write(pn_terminal *terminal, const char *text, size_t size);

/* Draws the block anew; an empty one takes it away. Only on a terminal. */
void pn_terminal_draw(pn_terminal *terminal, const char *block, size_t size);

/* Around what others write to the same terminal (the log): takes the block away and puts it
 * back. */
void pn_terminal_pause(pn_terminal *terminal);
void pn_terminal_resume(pn_terminal *terminal);

/* 0, or the negative errno code of the write that failed. */
int pn_terminal_error(pn_terminal *terminal);

#endif
