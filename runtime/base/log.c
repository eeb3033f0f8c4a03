#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/utf8.h"

static const char *const level_names[] = {"debug", "info", "warn", "error", "none"};

const char *pn_log_level_name(pn_log_level level) { return level_names[level]; }

/* A descriptor that is shared may have been made non-blocking by its other users (libuv does so
 * with pipes); a line is then not lost but waits, as it would otherwise. */
static bool wait_until_writable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (poll(&p, 1, -1) < 0) {
        if (errno != EINTR) return false;
    }
    return true;
}

void pn_log_write(const pn_log *log, const char *line, size_t size) {
    while (log->fd >= 0 && size > 0) {
        ssize_t n = write(log->fd, line, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && wait_until_writable(log->fd)) continue;
        if (n <= 0) return; /* nobody is left to tell */
        line += n;
        size -= (size_t)n;
    }
}

void pn_log_time(char out[32], uint64_t unix_ns) {
    time_t seconds = (time_t)(unix_ns / 1000000000ULL);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(unix_ns / 1000000ULL % 1000));
}

/* One character as it stands in a JSON string; returns bytes of `text` used, sets *piece. */
static size_t quote_one(const char *p, size_t left, char scratch[8], size_t *piece) {
    static const char *const shorts = "\b"
                                      "b"
                                      "\f"
                                      "f"
                                      "\n"
                                      "n"
                                      "\r"
                                      "r"
                                      "\t"
                                      "t"
                                      "\"\"\\\\";
    for (const char *s = shorts; *s != '\0'; s += 2) {
        if (*p != s[0]) continue;
        scratch[0] = '\\';
        scratch[1] = s[1];
        *piece = 2;
        return 1;
    }
    if ((uint8_t)*p < 0x20) {
        *piece = (size_t)snprintf(scratch, 8, "\\u%04x", (unsigned)*p);
        return 1;
    }
    size_t n = pn_utf8_length(p, left);
    if (n == 0) {
        memcpy(scratch, "\xef\xbf\xbd", 3);
        *piece = 3;
        return 1;
    }
    memcpy(scratch, p, n);
    *piece = n;
    return n;
}

size_t pn_log_quote(char *out, size_t room, const char *text, size_t size) {
    pn_assert(room >= 2);
    size_t used = 0;
    out[used++] = '"';
    for (size_t i = 0; i < size;) {
        char scratch[8];
        size_t piece;
        size_t taken = quote_one(text + i, size - i, scratch, &piece);
        if (used + piece + 1 > room) break;
        memcpy(out + used, scratch, piece);
        used += piece;
        i += taken;
    }
    out[used++] = '"';
    return used;
}

void pn_log_vprintf(const pn_log *log, pn_log_level level, const char *format, va_list args) {
    if (log->fd < 0 || level < log->level) return;
    char message[PN_LOG_LINE_MAX_BYTES];
    int n = vsnprintf(message, sizeof message, format, args);
    if (n < 0) return;
    size_t size = (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    char line[PN_LOG_LINE_MAX_BYTES];
    size_t used;
    if (log->json) {
        char when[32];
        pn_log_time(when, pn_clock_unix_ns(log->clock));
        used =
            (size_t)snprintf(line, sizeof line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", when,
                             level_names[level]);
        used += pn_log_quote(line + used, sizeof line - used - 2, message, size);
        line[used++] = '}';
    } else {
        used = (size_t)snprintf(line, sizeof line, "%-5s ", level_names[level]);
        if (size > sizeof line - used - 1) size = sizeof line - used - 1;
        memcpy(line + used, message, size);
        used += size;
    }
    line[used++] = '\n';
    pn_log_write(log, line, used);
}

void pn_log_printf(const pn_log *log, pn_log_level level, const char *format, ...) {
    va_list args;
    va_start(args, format);
    pn_log_vprintf(log, level, format, args);
    va_end(args);
}
