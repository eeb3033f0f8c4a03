/* Three digits over all doubles, k6's percentiles, merging, readers beside a writer, no memory. */
#include "core/histogram.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/rand.h"
#include "test.h"

#define ERROR_MAX (1.0 / 2048)

struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_histogram h;
};

static void open_all(struct fixture *f) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    pn_histogram_init(&f->h, &f->ledger);
}

static void close_all(struct fixture *f) {
    pn_histogram_close(&f->h);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

/* The value that the one bucket in use stands for. */
static double only_value(const pn_histogram *h) {
    pn_histogram_cursor cursor = {0, 0};
    double value = NAN, none;
    uint64_t count;
    CHECK(pn_histogram_next(h, &cursor, &value, &count));
    CHECK_EQ(count, 1);
    CHECK(!pn_histogram_next(h, &cursor, &none, &count));
    return value;
}

static void check_bucket_of(struct fixture *f, double sample) {
    pn_histogram_reset(&f->h);
    pn_histogram_record(&f->h, sample);
    CHECK_EQ(pn_histogram_lost(&f->h), 0);
    double reported = only_value(&f->h);
    if (!(fabs(reported - sample) <= fabs(sample) * ERROR_MAX)) {
        pn_test_fail(__FILE__, __LINE__, "%a is reported as %a", sample, reported);
    }
    CHECK(pn_histogram_min(&f->h) == sample && pn_histogram_max(&f->h) == sample);
    CHECK(pn_histogram_sum(&f->h) == sample);
    CHECK(pn_histogram_percentile(&f->h, 50) == sample);
}

TEST(histogram_reports_three_digits_over_all_doubles) {
    struct fixture f;
    open_all(&f);
    pn_rand rand = {.key = 1};
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = pn_rand_draw(&rand);
        double sample;
        memcpy(&sample, &bits, sizeof sample);
        if (isfinite(sample)) check_bucket_of(&f, sample);
    }
    close_all(&f);
}

TEST(histogram_reports_three_digits_at_the_edges) {
    static const double edges[] = {
        0, DBL_MAX, DBL_MIN, DBL_TRUE_MIN, 1, 2, 0x1.ffep0, 0x1.ffffffffffffep0, DBL_EPSILON};
    struct fixture f;
    open_all(&f);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            check_bucket_of(&f, sign * edges[i]);
            check_bucket_of(&f, sign * nextafter(edges[i], 0));
            if (edges[i] < DBL_MAX) check_bucket_of(&f, sign * nextafter(edges[i], INFINITY));
        }
    }
    for (int power = -1074; power < 1024; power++) {
        check_bucket_of(&f, ldexp(1, power));
        check_bucket_of(&f, -ldexp(1 + ERROR_MAX, power));
        check_bucket_of(&f, nextafter(ldexp(2, power), 0));
    }
    close_all(&f);
}

/* Rounding up leads from the subnormal to the normal doubles: one bucket, not two of equal
 * value. */
TEST(histogram_has_one_bucket_for_a_value) {
    struct fixture f;
    open_all(&f);
    for (int sign = -1; sign <= 1; sign += 2) {
        pn_histogram_record(&f.h, sign * nextafter(DBL_MIN, 0));
        pn_histogram_record(&f.h, sign * DBL_MIN);
    }
    pn_histogram_cursor cursor = {0, 0};
    double value;
    uint64_t count;
    for (int sign = -1; sign <= 1; sign += 2) {
        CHECK(pn_histogram_next(&f.h, &cursor, &value, &count));
        CHECK(value == sign * DBL_MIN);
        CHECK_EQ(count, 2);
    }
    CHECK(!pn_histogram_next(&f.h, &cursor, &value, &count));
    close_all(&f);
}

TEST(histogram_is_exact_for_small_whole_numbers) {
    struct fixture f;
    open_all(&f);
    for (int i = -2048; i <= 2048; i++) pn_histogram_record(&f.h, i);
    pn_histogram_cursor cursor = {0, 0};
    double value;
    uint64_t count;
    for (int i = -2048; i <= 2048; i++) {
        CHECK(pn_histogram_next(&f.h, &cursor, &value, &count));
        CHECK(value == i);
        CHECK_EQ(count, 1);
    }
    CHECK(!pn_histogram_next(&f.h, &cursor, &value, &count));
    CHECK(!pn_histogram_next(&f.h, &cursor, &value, &count));
    close_all(&f);
}

TEST(histogram_without_samples_is_zero) {
    struct fixture f;
    open_all(&f);
    pn_histogram_cursor cursor = {0, 0};
    double value;
    uint64_t count;
    CHECK(!pn_histogram_next(&f.h, &cursor, &value, &count));
    CHECK_EQ(pn_histogram_count(&f.h), 0);
    CHECK(pn_histogram_min(&f.h) == 0 && pn_histogram_max(&f.h) == 0);
    CHECK(pn_histogram_sum(&f.h) == 0 && pn_histogram_average(&f.h) == 0);
    CHECK(pn_histogram_percentile(&f.h, 95) == 0);
    close_all(&f);
}

TEST(histogram_refuses_what_is_not_finite) {
    struct fixture f;
    open_all(&f);
    pn_histogram_record(&f.h, NAN);
    pn_histogram_record(&f.h, INFINITY);
    pn_histogram_record(&f.h, -INFINITY);
    pn_histogram_record(&f.h, 7);
    CHECK_EQ(pn_histogram_lost(&f.h), 3);
    CHECK_EQ(pn_histogram_count(&f.h), 1);
    CHECK(pn_histogram_sum(&f.h) == 7 && pn_histogram_max(&f.h) == 7);
    close_all(&f);
}

/* 1e16 swallows each 1 when they are added one by one. */
TEST(histogram_sum_is_exact) {
    struct fixture f;
    open_all(&f);
    pn_histogram_record(&f.h, 1e16);
    for (int i = 0; i < 1000; i++) pn_histogram_record(&f.h, 1);
    pn_histogram_record(&f.h, -1e16);
    CHECK(pn_histogram_sum(&f.h) == 1000);
    pn_histogram_reset(&f.h);
    for (int i = 0; i < 10000000; i++) pn_histogram_record(&f.h, 0.1);
    CHECK(pn_histogram_sum(&f.h) == 1000000.0);
    pn_histogram_reset(&f.h);
    pn_histogram_record(&f.h, DBL_MAX);
    pn_histogram_record(&f.h, DBL_MAX);
    CHECK(isinf(pn_histogram_sum(&f.h)));
    close_all(&f);
}

/* ---- percentiles ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double exact_percentile(const double *sorted, size_t count, double percent) {
    double rank = percent / 100 * (double)(count - 1), below = floor(rank);
    double low = sorted[(size_t)below], high = sorted[(size_t)ceil(rank)];
    return low + (high - low) * (rank - below);
}

typedef double (*sampler)(pn_rand *);

static double uniform(pn_rand *r) { return 1 + 999 * pn_rand_unit(r); }

static double exponential(pn_rand *r) { return -20 * log1p(-pn_rand_unit(r)); }

static double normal(pn_rand *r) {
    return sqrt(-2 * log1p(-pn_rand_unit(r))) * cos(6.283185307179586 * pn_rand_unit(r));
}

static double log_normal(pn_rand *r) { return exp(1 + 2 * normal(r)); }

static double two_humps(pn_rand *r) {
    return pn_rand_unit(r) < 0.9 ? 1.5 + 0.1 * normal(r) : 250 + 30 * pn_rand_unit(r);
}

static double pareto(pn_rand *r) { return 0.3 / pow(1 - pn_rand_unit(r), 1 / 1.1); }

static double below_zero(pn_rand *r) { return -exponential(r); }

static double whole(pn_rand *r) { return (double)pn_rand_below(r, 50); }

static double with_zeros(pn_rand *r) { return pn_rand_unit(r) < 0.4 ? 0 : exponential(r); }

static const sampler samplers[] = {uniform, exponential, log_normal, two_humps,
                                   pareto,  below_zero,  whole,      with_zeros};
#define SAMPLERS (sizeof samplers / sizeof *samplers)

static void check_percentiles(const pn_histogram *h, const double *sorted, size_t count) {
    static const double percents[] = {0, 0.01, 1, 5, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        double exact = exact_percentile(sorted, count, percents[i]);
        double got = pn_histogram_percentile(h, percents[i]);
        if (!(fabs(got - exact) <= 0.001 * fabs(exact))) {
            pn_test_fail(__FILE__, __LINE__, "p(%g) is %.17g, not %.17g", percents[i], got, exact);
        }
    }
    CHECK(pn_histogram_percentile(h, 0) == sorted[0]);
    CHECK(pn_histogram_percentile(h, 100) == sorted[count - 1]);
}

TEST(histogram_percentiles_are_within_a_thousandth) {
    static const size_t counts[] = {1, 2, 3, 10, 101, 100000};
    struct fixture f;
    open_all(&f);
    for (size_t i = 0; i < SAMPLERS * 6; i++) {
        size_t count = counts[i % 6];
        double *samples = calloc(count, sizeof *samples), sum = 0;
        pn_rand rand = {.key = pn_rand_key(1, "histogram", i)};
        pn_histogram_reset(&f.h);
        for (size_t k = 0; k < count; k++) {
            sum += samples[k] = samplers[i / 6](&rand);
            pn_histogram_record(&f.h, samples[k]);
        }
        qsort(samples, count, sizeof *samples, by_value);
        CHECK_EQ(pn_histogram_count(&f.h), count);
        CHECK(fabs(pn_histogram_sum(&f.h) - sum) <= 1e-9 * fabs(sum));
        CHECK(pn_histogram_average(&f.h) == pn_histogram_sum(&f.h) / (double)count);
        check_percentiles(&f.h, samples, count);
        free(samples);
    }
    close_all(&f);
}

/* By hand: 1 2 3 4, rank = 0.9 * 3 = 2.7. */
TEST(histogram_percentile_is_k6s) {
    struct fixture f;
    open_all(&f);
    for (int i = 4; i >= 1; i--) pn_histogram_record(&f.h, i);
    CHECK(fabs(pn_histogram_percentile(&f.h, 90) - 3.7) < 1e-12);
    CHECK(pn_histogram_percentile(&f.h, 50) == 2.5);
    close_all(&f);
}

TEST(histogram_percentile_between_the_largest_doubles) {
    struct fixture f;
    open_all(&f);
    pn_histogram_record(&f.h, -DBL_MAX);
    pn_histogram_record(&f.h, DBL_MAX);
    CHECK(pn_histogram_percentile(&f.h, 50) == 0);
    close_all(&f);
}

/* ---- merging ---- */

static void check_equal(const pn_histogram *a, const pn_histogram *b) {
    pn_histogram_cursor at_a = {0, 0}, at_b = {0, 0};
    double value_a, value_b, last = -INFINITY;
    uint64_t count_a, count_b;
    while (pn_histogram_next(a, &at_a, &value_a, &count_a)) {
        CHECK(pn_histogram_next(b, &at_b, &value_b, &count_b));
        CHECK(value_a == value_b && value_a > last);
        CHECK_EQ(count_a, count_b);
        last = value_a;
    }
    CHECK(!pn_histogram_next(b, &at_b, &value_b, &count_b));
    CHECK_EQ(pn_histogram_count(a), pn_histogram_count(b));
    CHECK_EQ(pn_histogram_lost(a), pn_histogram_lost(b));
    CHECK(pn_histogram_sum(a) == pn_histogram_sum(b));
    CHECK(pn_histogram_min(a) == pn_histogram_min(b));
    CHECK(pn_histogram_max(a) == pn_histogram_max(b));
}

TEST(histogram_parts_merge_to_the_whole) {
    struct fixture f;
    open_all(&f);
    pn_histogram parts[3], merged;
    pn_histogram_init(&merged, &f.ledger);
    for (int i = 0; i < 3; i++) pn_histogram_init(&parts[i], &f.ledger);
    pn_rand rand = {.key = 5};
    for (int i = 0; i < 200000; i++) {
        double sample = i % 1000 == 0 ? NAN : samplers[(size_t)i % SAMPLERS](&rand);
        pn_histogram_record(&f.h, sample);
        pn_histogram_record(&parts[pn_rand_below(&rand, 3)], sample);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pn_histogram_merge(&merged, &parts[i]), 0);
        pn_histogram_close(&parts[i]);
    }
    check_equal(&merged, &f.h);
    CHECK_EQ(pn_histogram_lost(&merged), 200);
    pn_histogram_close(&merged);
    close_all(&f);
}

TEST(histogram_reset_keeps_pages_and_forgets_samples) {
    struct fixture f;
    open_all(&f);
    for (int i = -5; i < 6; i++) pn_histogram_record(&f.h, i);
    pn_histogram_record(&f.h, NAN);
    int64_t live = pn_ledger_live(&f.ledger);
    pn_histogram_reset(&f.h);
    CHECK_EQ(pn_histogram_count(&f.h) + pn_histogram_lost(&f.h), 0);
    CHECK(pn_histogram_sum(&f.h) == 0 && pn_histogram_max(&f.h) == 0);
    for (int i = -5; i < 6; i++) pn_histogram_record(&f.h, i);
    CHECK_EQ(pn_ledger_live(&f.ledger), live);
    CHECK_EQ(pn_histogram_count(&f.h), 11);
    close_all(&f);
}

/* ---- memory ---- */

TEST(histogram_memory_is_bounded) {
    struct fixture f;
    open_all(&f);
    pn_rand rand = {.key = 9};
    for (int i = 0; i < 200000; i++) pn_histogram_record(&f.h, 0.01 + 9999.9 * pn_rand_unit(&rand));
    CHECK_INT(pn_ledger_live(&f.ledger), <=, 25 * 8192);
    for (int power = -1080; power < 1024; power++) {
        for (int i = 0; i < 4; i++) pn_histogram_record(&f.h, (i % 2 ? 1 : -1.9) * ldexp(1, power));
    }
    int64_t pages = (int64_t)PN_HISTOGRAM_PAGES_MAX * (int64_t)sizeof(pn__histogram_page);
    CHECK_INT(pn_ledger_live(&f.ledger), <=, pages + 66 * (int64_t)sizeof(pn__histogram_table));
    CHECK_INT(pn_ledger_live(&f.ledger), >=, pages * 9 / 10);
    close_all(&f);
}

TEST(histogram_without_memory_counts_the_sample_as_lost) {
    struct fixture f;
    open_all(&f);
    f.ledger.limit_bytes = sizeof(pn__histogram_table) + sizeof(pn__histogram_page);
    pn_histogram_record(&f.h, 1);
    pn_histogram_record(&f.h, 2);   /* another table */
    pn_histogram_record(&f.h, 0.5); /* another page */
    pn_histogram_record(&f.h, 1.5);
    CHECK_EQ(pn_histogram_count(&f.h), 2);
    CHECK_EQ(pn_histogram_lost(&f.h), 2);
    CHECK(pn_histogram_sum(&f.h) == 2.5);
    CHECK(pn_histogram_percentile(&f.h, 100) == 1.5);
    f.ledger.limit_bytes = INT64_MAX;
    pn_histogram_record(&f.h, 2);
    CHECK_EQ(pn_histogram_count(&f.h), 3);
    close_all(&f);
}

TEST(histogram_merge_without_memory_says_so) {
    struct fixture f;
    open_all(&f);
    pn_histogram small;
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "small", f.heap);
    ledger.limit_bytes = sizeof(pn__histogram_table) + sizeof(pn__histogram_page);
    pn_histogram_init(&small, &ledger);
    pn_histogram_record(&f.h, 1);
    for (int i = 0; i < 10; i++) pn_histogram_record(&f.h, 0.25);
    pn_histogram_record(&f.h, 4);
    CHECK_EQ(pn_histogram_merge(&small, &f.h), PN_ENOMEM);
    CHECK_EQ(pn_histogram_count(&small), 10);
    CHECK_EQ(pn_histogram_lost(&small), 2);
    pn_histogram_close(&small);
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    close_all(&f);
}

TEST(histogram_close_is_idempotent) {
    struct fixture f;
    open_all(&f);
    pn_histogram_record(&f.h, 3);
    pn_histogram_close(&f.h);
    CHECK_EQ(pn_histogram_count(&f.h), 0);
    close_all(&f);
}

/* ---- one writer, two readers ---- */

struct shared {
    struct fixture f;
    _Atomic bool done;
};

#define WRITTEN 400000

static void *write_samples(void *arg) {
    struct shared *s = arg;
    pn_rand rand = {.key = 3};
    for (int i = 0; i < WRITTEN; i++) {
        pn_histogram_record(&s->f.h, samplers[(size_t)i % SAMPLERS](&rand));
    }
    atomic_store(&s->done, true);
    return NULL;
}

static void *read_samples(void *arg) {
    struct shared *s = arg;
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "reader", s->f.heap);
    uint64_t last = 0;
    for (bool done = false; !done;) {
        done = atomic_load(&s->done);
        pn_histogram copy;
        pn_histogram_init(&copy, &ledger);
        CHECK_EQ(pn_histogram_merge(&copy, &s->f.h), 0);
        uint64_t count = pn_histogram_count(&copy);
        CHECK_INT(count, >=, last);
        CHECK_INT(count, <=, WRITTEN);
        if (done) CHECK_EQ(count, WRITTEN);
        double p95 = pn_histogram_percentile(&s->f.h, 95);
        bool has_bounds = last > 1; /* the first may have been counted and be no bound yet */
        CHECK(!has_bounds ||
              (p95 >= pn_histogram_min(&s->f.h) && p95 <= pn_histogram_max(&s->f.h)));
        last = count;
        pn_histogram_close(&copy);
    }
    CHECK_EQ(pn_ledger_live(&ledger), 0);
    return NULL;
}

TEST(histogram_is_read_while_it_is_written) {
    static struct shared s;
    open_all(&s.f);
    pthread_t writer, readers[2];
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&readers[i], NULL, read_samples, &s), 0);
    CHECK_EQ(pthread_create(&writer, NULL, write_samples, &s), 0);
    pthread_join(writer, NULL);
    for (int i = 0; i < 2; i++) pthread_join(readers[i], NULL);
    close_all(&s.f);
}
