/* Log lines: their form, their limits, and that they stay whole whoever writes beside. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "specs/fuzz/json_reference.h"
#include "test.h"

/* ---- a sink into a file in memory ---- */

typedef struct sink {
    pn_clock clock;
    pn_log log;
    char text[8 * PN_LOG_LINE_MAX_BYTES];
    size_t size;
} sink;

static void sink_open(sink *s, bool json) {
    memset(s, 0, sizeof *s);
    pn_clock_init(&s->clock, true);
    s->log = (pn_log){memfd_create("log", MFD_CLOEXEC), PN_LOG_DEBUG, json, &s->clock};
    CHECK_INT(s->log.fd, >=, 0);
}

/* What was written since the last call, NUL-terminated. */
static const char *sink_take(sink *s) {
    ssize_t n = pread(s->log.fd, s->text, sizeof s->text - 1, 0);
    CHECK_INT(n, >=, 0);
    s->size = (size_t)n;
    s->text[n] = '\0';
    CHECK_EQ(ftruncate(s->log.fd, 0), 0);
    CHECK_EQ(lseek(s->log.fd, 0, SEEK_SET), 0);
    return s->text;
}

static void sink_close(sink *s) { close(s->log.fd); }

TEST(log_text_and_json) {
    static sink s;
    sink_open(&s, false);
    pn_log_printf(&s.log, PN_LOG_INFO, "%d of %s", 3, "them");
    CHECK_STR(sink_take(&s), "info  3 of them\n");
    pn_log_printf(&s.log, PN_LOG_ERROR, "%s", "");
    CHECK_STR(sink_take(&s), "error \n");
    s.log.json = true;
    pn_clock_advance(&s.clock, 1234567890);
    pn_log_printf(&s.log, PN_LOG_WARN, "a \"quote\"\n%c\xff", 7);
    CHECK_STR(sink_take(&s), "{\"time\":\"2000-01-01T00:00:01.234Z\",\"level\":\"warn\","
                             "\"msg\":\"a \\\"quote\\\"\\n\\u0007\xef\xbf\xbd\"}\n");
    sink_close(&s);
}

TEST(log_levels_filter) {
    static sink s;
    sink_open(&s, false);
    for (int set = PN_LOG_DEBUG; set <= PN_LOG_NONE; set++) {
        for (int level = PN_LOG_DEBUG; level < PN_LOG_NONE; level++) {
            s.log.level = (pn_log_level)set;
            pn_log_printf(&s.log, (pn_log_level)level, "x");
            CHECK_EQ(strlen(sink_take(&s)) > 0, level >= set);
        }
    }
    CHECK_STR(pn_log_level_name(PN_LOG_DEBUG), "debug");
    CHECK_STR(pn_log_level_name(PN_LOG_NONE), "none");
    pn_log nowhere = {-1, PN_LOG_DEBUG, false, &s.clock};
    pn_log_printf(&nowhere, PN_LOG_ERROR, "x");
    pn_log_write(&nowhere, "x\n", 2);
    sink_close(&s);
}

/* Around the limit a line is whole, or cut to exactly the limit with its newline; JSON stays
 * JSON. */
TEST(log_lines_are_cut_to_the_limit) {
    static sink s;
    static char message[3 * PN_LOG_LINE_MAX_BYTES];
    sink_open(&s, false);
    for (size_t size = PN_LOG_LINE_MAX_BYTES - 20; size < PN_LOG_LINE_MAX_BYTES + 20; size++) {
        memset(message, 'm', size);
        message[size] = '\0';
        pn_log_printf(&s.log, PN_LOG_INFO, "%s", message);
        sink_take(&s);
        size_t whole = strlen("info  ") + size + 1;
        CHECK_EQ(s.size, whole < PN_LOG_LINE_MAX_BYTES ? whole : PN_LOG_LINE_MAX_BYTES);
        CHECK_EQ(s.text[s.size - 1], '\n');
        CHECK_EQ(strcspn(s.text, "\n"), s.size - 1);
    }
    s.log.json = true;
    static const char *const pieces[] = {"m",   "\x01", "\"", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                         "\xff"};
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        for (size_t size = 600; size < sizeof message / 2; size += 11) {
            message[0] = '\0';
            char *end = message;
            for (size_t i = 0; i < size % 7; i++) *end++ = '-';
            while ((size_t)(end - message) < size) end = stpcpy(end, pieces[p]);
            pn_log_printf(&s.log, PN_LOG_INFO, "%s", message);
            sink_take(&s);
            CHECK_INT(s.size, <=, PN_LOG_LINE_MAX_BYTES);
            CHECK_EQ(s.text[s.size - 1], '\n');
            CHECK(reference_accepts(s.text, s.size - 1, 8));
            CHECK_EQ(memchr(s.text, '\n', s.size) == s.text + s.size - 1, true);
        }
    }
    sink_close(&s);
}

TEST(log_quote_is_json_and_fits) {
    static const char text[] = "a\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
                               "\xff\xe2\x82z\0end";
    char out[128];
    size_t n = pn_log_quote(out, sizeof out, text, sizeof text - 1);
    static const char expected[] = "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f"
                                   "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
                                   "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\\u0000end\"";
    CHECK_EQ(n, sizeof expected - 1);
    CHECK_MEM(out, expected, n);
    for (size_t room = 2; room <= n;
         room++) {                  /* cut anywhere it is still a string, and a beginning */
        char *exact = malloc(room); /* of just that room, for the sanitizer */
        CHECK(exact != NULL);
        size_t used = pn_log_quote(exact, room, text, sizeof text - 1);
        CHECK_INT(used, <=, room);
        CHECK(reference_accepts(exact, used, 1));
        CHECK_MEM(exact, expected, used - 1);
        CHECK_INT(room - used, <, 6); /* not cut shorter than it must be */
        free(exact);
    }
}

TEST(log_time_is_rfc_3339) {
    char text[32];
    pn_log_time(text, 0);
    CHECK_STR(text, "1970-01-01T00:00:00.000Z");
    pn_log_time(text, 951782399999999999ULL);
    CHECK_STR(text, "2000-02-28T23:59:59.999Z");
    pn_log_time(text, 951782400000000000ULL);
    CHECK_STR(text, "2000-02-29T00:00:00.000Z");
    pn_log_time(text, UINT64_MAX);
    CHECK_STR(text, "2554-07-21T23:34:33.709Z");
}

/* ---- many writers ---- */

enum { WRITERS = 4, LINES = 1000 };

typedef struct writer {
    pn_log log;
    char name;
} writer;

/* Lines of one letter, of all lengths up to the limit, the longest most often. */
static void *write_lines(void *arg) {
    const writer *w = arg;
    static _Thread_local char message[PN_LOG_LINE_MAX_BYTES];
    for (int i = 0; i < LINES; i++) {
        size_t size = i % 3 == 0 ? (size_t)(i * 37 % 4000 + 1) : PN_LOG_LINE_MAX_BYTES - 10;
        memset(message, w->name, size);
        message[size] = '\0';
        pn_log_printf(&w->log, PN_LOG_INFO, "%s", message);
    }
    return NULL;
}

/* Reads all of the pipe; every line must be of one writer. */
static void *read_lines(void *arg) {
    FILE *f = fdopen(*(int *)arg, "r");
    static char line[2 * PN_LOG_LINE_MAX_BYTES]; /* this test's only reader */
    CHECK(f != NULL);
    intptr_t count = 0;
    while (fgets(line, sizeof line, f) != NULL) {
        size_t size = strlen(line);
        CHECK_EQ(strncmp(line, "info  ", 6), 0);
        CHECK_INT(size, >, 7);
        CHECK_EQ(line[size - 1], '\n');
        CHECK_EQ(strspn(line + 6, (char[]){line[6], '\0'}), size - 7);
        count++;
    }
    fclose(f);
    return (void *)count;
}

static void run_writers(bool nonblocking) {
    int ends[2];
    pn_clock clock;
    pthread_t reader, threads[WRITERS];
    writer writers[WRITERS];
    void *count;
    pn_clock_init(&clock, false);
    CHECK_EQ(pipe(ends), 0);
    if (nonblocking) CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(pthread_create(&reader, NULL, read_lines, &ends[0]), 0);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){{ends[1], PN_LOG_DEBUG, false, &clock}, (char)('a' + i)};
        CHECK_EQ(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
    close(ends[1]);
    CHECK_EQ(pthread_join(reader, &count), 0);
    CHECK_EQ((intptr_t)count, WRITERS * LINES); /* none lost */
}

TEST(log_lines_of_many_threads_stay_whole) { run_writers(false); }

/* A pipe that libuv or another process made non-blocking: lines wait instead of getting lost. */
TEST(log_lines_wait_for_a_full_nonblocking_pipe) { run_writers(true); }

TEST(log_survives_a_reader_that_left) {
    int ends[2];
    pn_clock clock;
    signal(SIGPIPE, SIG_IGN);
    pn_clock_init(&clock, false);
    CHECK_EQ(pipe(ends), 0);
    close(ends[0]);
    pn_log log = {ends[1], PN_LOG_DEBUG, false, &clock};
    pn_log_printf(&log, PN_LOG_ERROR, "into the void");
    close(ends[1]);
    pn_log_printf(&log, PN_LOG_ERROR, "not even open");
}
