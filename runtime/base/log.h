/*
 * log.h - where lines for people go.
 *
 * One line is one write(2) of at most PIPE_BUF bytes, which the kernel does not mix with others
 * into a file, a terminal or a pipe: concurrent writers, also of other processes, never mix their
 * lines. A sink is a level, a format and a file descriptor; it owns none of them. Text: "LEVEL
 * message". JSON: {"time","level","msg"}, the fields that perilune.log extends.
 */
#ifndef PN_BASE_LOG_H
#define PN_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

typedef enum pn_log_level {
    PN_LOG_DEBUG,
    PN_LOG_INFO,
    PN_LOG_WARN,
    PN_LOG_ERROR,
    PN_LOG_NONE,
} pn_log_level;

typedef struct pn_log {
    int fd; /* -1: nowhere */
    pn_log_level level;
    bool json;
    const pn_clock *clock; /* for the time of JSON lines */
} pn_log;

#define PN_LOG_LINE_MAX_BYTES 4096 /* PIPE_BUF: what a line is cut to, its newline included */

const char *pn_log_level_name(pn_log_level level); /* "debug" ... */

void pn_log_printf(const pn_log *log, pn_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void pn_log_vprintf(const pn_log *log, pn_log_level level, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* A whole line that somebody else formatted, newline included. Short writes are finished; a line
 * over PN_LOG_LINE_MAX_BYTES may be mixed with others in a pipe. Waits while the reader does not
 * read. */
void pn_log_write(const pn_log *log, const char *line, size_t size);

/* Writes the JSON string for `text` (quotes included) to `out`, at most `room` bytes; returns the
 * bytes written. Invalid UTF-8 is replaced by U+FFFD, so a log line is always valid JSON. */
size_t pn_log_quote(char *out, size_t room, const char *text, size_t size);

/* RFC 3339 in UTC with milliseconds: "2026-01-31T10:00:00.123Z". Needs 32 bytes. */
void pn_log_time(char out[32], uint64_t unix_ns);

#endif
