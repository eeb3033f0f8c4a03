#include "load/json_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/err.h"
#include "base/log.h"
#include "core/runtime.h"

#define ROOM_BYTES 256 /* of a line, beside its texts */

/* A full buffer on its way to the file. */
typedef struct batch {
    pn_link link;
    size_t size, capacity;
    char *data;
    uint64_t lines;
} batch;

/* What a worker formats into. */
typedef struct writer {
    pn_json_lines *out;
    pn_buf buf;
    uint64_t lines;
    uint64_t second, sent_second; /* of `date`; of the last hand-in */
    char date[32];                /* "2026-01-31T10:00:00" */
    bool is_attached;
} writer;

struct pn_json_lines {
    pn_runtime *runtime;
    pn_ledger *ledger;
    int fd;
    int64_t unix_offset_ns; /* from the runtime's clock to dates */
    pn_json_lines_thresholds_fn thresholds;
    void *context;
    writer *writers; /* one a worker */
    _Atomic bool is_announced[PN_METRICS_MAX];
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    pn_queue queue;
    size_t queued_bytes;
    uint64_t lost;
    int err;
    bool is_closing;
};

/* ---- the thread that writes ---- */

static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static void free_batch(pn_json_lines *out, batch *b) {
    pn_mem_free(out->ledger, b->data, b->capacity);
    pn_mem_free(out->ledger, b, sizeof *b);
}

static void *thread_main(void *argument) {
    pn_json_lines *out = argument;
    pthread_setname_np(pthread_self(), "pn-json-lines");
    pthread_mutex_lock(&out->lock);
    while (!out->is_closing || !pn_queue_empty(&out->queue)) {
        pn_link *link = pn_queue_pop(&out->queue);
        if (link == NULL) {
            pthread_cond_wait(&out->changed, &out->lock);
            continue;
        }
        batch *b = PN_CONTAINER(link, batch, link);
        int err = out->err;
        pthread_mutex_unlock(&out->lock);
        if (err == 0) err = write_all(out->fd, b->data, b->size);
        pthread_mutex_lock(&out->lock);
        out->err = err;
        out->queued_bytes -= b->size;
        free_batch(out, b);
    }
    pthread_mutex_unlock(&out->lock);
    return NULL;
}

/* Takes over what the buffer holds. */
static void hand_in(pn_json_lines *out, pn_buf *buf, uint64_t lines) {
    if (buf->size == 0) return;
    batch *b = pn_mem_try(out->ledger, sizeof *b);
    if (b != NULL) {
        b->lines = lines;
        b->data = pn_buf_take(buf, &b->size, &b->capacity);
    }
    pthread_mutex_lock(&out->lock);
    bool fits = b != NULL && out->queued_bytes + b->size <= PN_JSON_LINES_BACKLOG_BYTES;
    if (fits) {
        pn_queue_push(&out->queue, &b->link);
        out->queued_bytes += b->size;
        pthread_cond_signal(&out->changed);
    } else if (out->err == 0) {
        out->lost += lines;
    }
    pthread_mutex_unlock(&out->lock);
    if (b != NULL && !fits) free_batch(out, b);
    pn_buf_clear(buf);
}

/* ---- formatting ---- */

static void put_quoted(pn_buf *buf, const char *text, size_t size) {
    size_t room = size * 6 + 2;
    if (!pn_buf_reserve(buf, room)) return;
    buf->size += pn_log_quote(buf->data + buf->size, room, text, size);
}

static void put_number(pn_buf *buf, double value) {
    char digits[PN_DECIMAL_TEXT_BYTES];
    bool is_whole = value == floor(value) && fabs(value) < 0x1p53;
    size_t size =
        is_whole ? pn_decimal_format_int((int64_t)value, digits) : pn_decimal_format(value, digits);
    pn_buf_add(buf, digits, size);
}

static void put_time(writer *w, uint64_t time_ns) {
    uint64_t unix_ns = (uint64_t)((int64_t)time_ns + w->out->unix_offset_ns);
    uint64_t second = unix_ns / 1000000000ULL;
    if (second != w->second) {
        char when[32];
        pn_log_time(when, unix_ns);
        snprintf(w->date, sizeof w->date, "%.19s", when);
        w->second = second;
    }
    pn_buf_printf(&w->buf, "\"%s.%06uZ\"", w->date, (unsigned)(unix_ns / 1000 % 1000000));
}

static const char *const contains[] = {"default", "time", "data"};

/* Goes ahead of the metric's samples, whichever worker has the first. */
static void announce(pn_json_lines *out, const pn_metric *metric) {
    pn_buf line;
    pn_buf_init(&line, &out->ledger->door);
    pn_buf_add_text(&line, "{\"type\":\"Metric\",\"data\":{\"name\":");
    put_quoted(&line, metric->name, strlen(metric->name));
    pn_buf_printf(&line, ",\"type\":\"%s\",\"contains\":\"%s\",\"thresholds\":[",
                  pn_metric_type_name(metric->type), contains[metric->contains]);
    if (out->thresholds != NULL) out->thresholds(out->context, metric, &line);
    pn_buf_add_text(&line, "],\"submetrics\":null},\"metric\":");
    put_quoted(&line, metric->name, strlen(metric->name));
    pn_buf_add_text(&line, "}\n");
    hand_in(out, &line, 1);
    pn_buf_close(&line);
}

static void put_sample(writer *w, const pn_sample *s) {
    pn_buf *buf = &w->buf;
    pn_buf_add_text(buf, "{\"metric\":");
    put_quoted(buf, s->metric->name, strlen(s->metric->name));
    pn_buf_add_text(buf, ",\"type\":\"Point\",\"data\":{\"time\":");
    put_time(w, s->time_ns);
    pn_buf_add_text(buf, ",\"value\":");
    put_number(buf, s->value);
    pn_buf_add_text(buf, ",\"tags\":{");
    for (uint32_t i = 0; i < s->tags.count; i++) {
        const pn_tag *tag = &s->tags.list[i];
        if (i > 0) pn_buf_add_byte(buf, ',');
        put_quoted(buf, tag->key, tag->key_size);
        pn_buf_add_byte(buf, ':');
        put_quoted(buf, tag->value, tag->value_size);
    }
    pn_buf_add_text(buf, "}}}\n");
}

static void on_sample(void *context, const pn_sample *sample) {
    writer *w = context;
    pn_json_lines *out = w->out;
    _Atomic bool *is_announced = &out->is_announced[sample->metric->id];
    bool is_known = atomic_load_explicit(is_announced, memory_order_relaxed);
    if (!is_known && !atomic_exchange(is_announced, true)) announce(out, sample->metric);
    size_t before = w->buf.size;
    put_sample(w, sample);
    if (w->buf.failed) {
        w->buf.size = before; /* no half lines */
        w->buf.failed = false;
        pthread_mutex_lock(&out->lock);
        out->lost++;
        pthread_mutex_unlock(&out->lock);
        return;
    }
    w->lines++;
    if (w->buf.size < PN_JSON_LINES_BUFFER_BYTES && w->second == w->sent_second) return;
    hand_in(out, &w->buf, w->lines);
    w->lines = 0;
    w->sent_second = w->second;
    pn_buf_reserve(&w->buf, PN_JSON_LINES_BUFFER_BYTES + ROOM_BYTES);
    w->buf.failed = false;
}

/* ---- life ---- */

int pn_json_lines_attach(pn_json_lines *out, pn_worker *worker) {
    writer *w = &out->writers[worker->index];
    if (!pn_buf_reserve(&w->buf, PN_JSON_LINES_BUFFER_BYTES + ROOM_BYTES)) return PN_ENOMEM;
    w->is_attached = true;
    pn_metrics_shard_set_sink(worker->metrics, on_sample, w);
    return 0;
}

void pn_json_lines_detach(pn_json_lines *out, pn_worker *worker) {
    writer *w = &out->writers[worker->index];
    if (!w->is_attached) return;
    w->is_attached = false;
    pn_metrics_shard_set_sink(worker->metrics, NULL, NULL);
    hand_in(out, &w->buf, w->lines);
    w->lines = 0;
}

static int start_thread(pn_json_lines *out) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = -pthread_create(&out->thread, NULL, thread_main, out);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static size_t writers_bytes(const pn_json_lines *out) {
    return out->runtime->worker_count * sizeof *out->writers;
}

static pn_json_lines *create(pn_runtime *runtime) {
    pn_json_lines *out = pn_mem_try_zeroed(&runtime->shared, sizeof *out);
    if (out == NULL) return NULL;
    out->runtime = runtime;
    out->ledger = &runtime->shared;
    out->unix_offset_ns =
        (int64_t)(pn_clock_unix_ns(&runtime->clock) - pn_clock_now_ns(&runtime->clock));
    out->writers = pn_mem_try_zeroed(out->ledger, writers_bytes(out));
    if (out->writers == NULL) {
        pn_mem_free(out->ledger, out, sizeof *out);
        return NULL;
    }
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        out->writers[i].out = out;
        pn_buf_init(&out->writers[i].buf, &out->ledger->door);
    }
    pn_queue_init(&out->queue);
    pn_assert(pthread_mutex_init(&out->lock, NULL) == 0);
    pn_assert(pthread_cond_init(&out->changed, NULL) == 0);
    return out;
}

static void destroy(pn_json_lines *out) {
    for (unsigned i = 0; i < out->runtime->worker_count; i++) pn_buf_close(&out->writers[i].buf);
    pthread_cond_destroy(&out->changed);
    pthread_mutex_destroy(&out->lock);
    pn_mem_free(out->ledger, out->writers, writers_bytes(out));
    pn_mem_free(out->ledger, out, sizeof *out);
}

int pn_json_lines_open(pn_json_lines **lines, pn_runtime *runtime, const char *path,
                       pn_json_lines_thresholds_fn thresholds, void *context) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return -errno;
    pn_json_lines *out = create(runtime);
    int err = out == NULL ? PN_ENOMEM : 0;
    if (err == 0) {
        out->fd = fd;
        out->thresholds = thresholds;
        out->context = context;
        err = start_thread(out);
        if (err != 0) destroy(out);
    }
    if (err != 0) {
        close(fd);
        return err;
    }
    *lines = out;
    return 0;
}

int pn_json_lines_close(pn_json_lines *out, uint64_t *lost) {
    pthread_mutex_lock(&out->lock);
    out->is_closing = true;
    pthread_cond_signal(&out->changed);
    pthread_mutex_unlock(&out->lock);
    pthread_join(out->thread, NULL);
    int err = out->err;
    if (close(out->fd) != 0 && err == 0) err = -errno; /* a full disk may say so only now */
    *lost = out->lost;
    destroy(out);
    return err;
}
