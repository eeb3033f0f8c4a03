/*
 * histogram.c - the pages, and their order by value.
 *
 * A normal double's bits, from the top: sign and five bits choose the table, six bits the page, ten
 * bits the bucket. Subnormals have no exponent in their bits; their leading bit (0 to 51) takes its
 * place in two tables of their own, so that they keep their three digits as well.
 *
 * A reader finds a table or page through an acquire load, and the writer publishes it, zeroed, by a
 * release store; pages go away only when the histogram is closed.
 */
#include "core/histogram.h"

#include <math.h>

#include "base/err.h"

#define TABLES        66
#define TINY_POSITIVE 64 /* tables of subnormals */
#define TINY_NEGATIVE 65
#define LAST_EXPONENT 0x7fe
#define SHIFT         (52 - PN_HISTOGRAM_BITS)

/* Where a sample is counted. */
struct place {
    unsigned table, page, bucket;
};

static const double infinity = (double)INFINITY;

static uint64_t load(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static double load_double(const _Atomic double *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static pn__histogram_table *table_at(const pn_histogram *h, unsigned table) {
    return atomic_load_explicit(&h->tables[table], memory_order_acquire);
}

static pn__histogram_page *page_at(const pn__histogram_table *table, unsigned page) {
    return atomic_load_explicit(&table->pages[page], memory_order_acquire);
}

void pn_histogram_init(pn_histogram *h, pn_ledger *ledger) {
    memset(h, 0, sizeof *h);
    h->ledger = ledger;
    atomic_init(&h->min, infinity);
    atomic_init(&h->max, -infinity);
}

static void free_table(pn_ledger *ledger, pn__histogram_table *table) {
    if (table == NULL) return;
    for (unsigned i = 0; i < 64; i++) {
        pn_mem_free(ledger, page_at(table, i), sizeof(pn__histogram_page));
    }
    pn_mem_free(ledger, table, sizeof *table);
}

void pn_histogram_close(pn_histogram *h) {
    for (unsigned i = 0; i < TABLES; i++) free_table(h->ledger, table_at(h, i));
    pn_histogram_init(h, h->ledger);
}

/* Of a subnormal: m units of 2^-1074, not 0. */
static struct place tiny_place(uint64_t m, bool negative) {
    unsigned top = 63 - (unsigned)__builtin_clzll(m);
    uint64_t mantissa = m << (52 - top); /* the leading bit at 52 */
    mantissa += 1ULL << (SHIFT - 1);
    if (mantissa >> 53) top++;
    unsigned bucket = (unsigned)(mantissa >> SHIFT) % PN_HISTOGRAM_BUCKETS;
    if (top == 52) return (struct place){negative ? 32 : 0, 1, 0}; /* rounded up to a normal one */
    return (struct place){negative ? TINY_NEGATIVE : TINY_POSITIVE, top, bucket};
}

/* Of a finite value that is not 0. */
static struct place place_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t mantissa = bits & ((1ULL << 52) - 1);
    if (((bits >> 52) & 0x7ff) == 0) return tiny_place(mantissa, signbit(value));
    uint64_t rounded = bits + (1ULL << (SHIFT - 1));
    if (((rounded >> 52) & 0x7ff) <= LAST_EXPONENT) bits = rounded; /* else it would be infinite */
    return (struct place){(unsigned)(bits >> 58), (unsigned)(bits >> 52) & 63,
                          (unsigned)(bits >> SHIFT) % PN_HISTOGRAM_BUCKETS};
}

/* The value that a bucket stands for. Ascending with the place, for each sign. */
static double value_of(struct place place) {
    if (place.table >= TINY_POSITIVE) {
        double units = PN_HISTOGRAM_BUCKETS + place.bucket;
        double value = ldexp(units, (int)place.page - PN_HISTOGRAM_BITS - 1074);
        return place.table == TINY_NEGATIVE ? -value : value;
    }
    uint64_t bits = (uint64_t)place.table << 58 | (uint64_t)place.page << 52;
    bits |= (uint64_t)place.bucket << SHIFT;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static pn__histogram_table *touch_table(pn_histogram *h, unsigned i) {
    pn__histogram_table *table = table_at(h, i);
    if (table != NULL) return table;
    table = pn_mem_try_zeroed(h->ledger, sizeof *table);
    atomic_store_explicit(&h->tables[i], table, memory_order_release);
    return table;
}

static pn__histogram_page *touch_page(pn_histogram *h, pn__histogram_table *table, unsigned i) {
    pn__histogram_page *page = page_at(table, i);
    if (page != NULL) return page;
    page = pn_mem_try_zeroed(h->ledger, sizeof *page);
    atomic_store_explicit(&table->pages[i], page, memory_order_release);
    return page;
}

/* False without memory. */
static bool count_at(pn_histogram *h, struct place place) {
    pn__histogram_table *table = touch_table(h, place.table);
    if (table == NULL) return false;
    pn__histogram_page *page = touch_page(h, table, place.page);
    if (page == NULL) return false;
    pn__histogram_count(&page->counts[place.bucket], 1);
    pn__histogram_count(&table->counts[place.page], 1);
    return true;
}

void pn__histogram_record_slow(pn_histogram *h, double value) {
    if (value == 0) {
        value = 0; /* not -0 */
        pn__histogram_count(&h->zeros, 1);
    } else if (!isfinite(value) || !count_at(h, place_of(value))) {
        pn__histogram_count(&h->lost, 1);
        return;
    }
    pn__histogram_sum(h, value);
    pn__histogram_bound(h, value, value);
}

/* Returns how many samples were counted. */
static uint64_t merge_page(pn__histogram_page *into, const pn__histogram_page *from) {
    uint64_t total = 0;
    for (unsigned i = 0; i < PN_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = load(&from->counts[i]);
        if (n == 0) continue;
        pn__histogram_count(&into->counts[i], n);
        total += n;
    }
    return total;
}

/* Returns how many samples found no page. */
static uint64_t merge_table(pn_histogram *into, unsigned i, const pn__histogram_table *from) {
    pn__histogram_table *table = touch_table(into, i);
    uint64_t lost = 0;
    for (unsigned k = 0; k < 64; k++) {
        uint64_t count = load(&from->counts[k]);
        const pn__histogram_page *source = page_at(from, k);
        if (count == 0 || source == NULL) continue; /* a count may be seen before its page is */
        pn__histogram_page *page = table != NULL ? touch_page(into, table, k) : NULL;
        if (page == NULL) {
            lost += count;
        } else {
            pn__histogram_count(&table->counts[k], merge_page(page, source));
        }
    }
    return lost;
}

int pn_histogram_merge(pn_histogram *into, const pn_histogram *from) {
    uint64_t lost = 0;
    for (unsigned i = 0; i < TABLES; i++) {
        const pn__histogram_table *table = table_at(from, i);
        if (table != NULL) lost += merge_table(into, i, table);
    }
    pn__histogram_count(&into->zeros, load(&from->zeros));
    pn__histogram_count(&into->lost, load(&from->lost) + lost);
    pn__histogram_sum(into, load_double(&from->sum));
    pn__histogram_sum(into, load_double(&from->carry));
    pn__histogram_bound(into, load_double(&from->min), load_double(&from->max));
    return lost > 0 ? PN_ENOMEM : 0;
}

static void reset_table(pn__histogram_table *table) {
    for (unsigned i = 0; i < 64; i++) {
        pn__histogram_page *page = page_at(table, i);
        if (page == NULL || load(&table->counts[i]) == 0) continue;
        atomic_store_explicit(&table->counts[i], 0, memory_order_relaxed);
        for (unsigned k = 0; k < PN_HISTOGRAM_BUCKETS; k++) {
            atomic_store_explicit(&page->counts[k], 0, memory_order_relaxed);
        }
    }
}

void pn_histogram_reset(pn_histogram *h) {
    for (unsigned i = 0; i < TABLES; i++) {
        pn__histogram_table *table = table_at(h, i);
        if (table != NULL) reset_table(table);
    }
    atomic_store_explicit(&h->zeros, 0, memory_order_relaxed);
    atomic_store_explicit(&h->lost, 0, memory_order_relaxed);
    atomic_store_explicit(&h->sum, 0, memory_order_relaxed);
    atomic_store_explicit(&h->carry, 0, memory_order_relaxed);
    atomic_store_explicit(&h->min, infinity, memory_order_relaxed);
    atomic_store_explicit(&h->max, -infinity, memory_order_relaxed);
}

/* ---- reading ---- */

/* The pages by growing value: 33 tables of negative ones backwards, the zeros as a page of their
 * own, 33 tables of positive ones. */
#define ZERO_PAGE (33 * 64)
#define PAGES_END (ZERO_PAGE + 1 + 33 * 64)

struct page_ref {
    const pn__histogram_table *table; /* NULL: the zeros */
    struct place place;               /* its table and page */
    bool backwards;
};

/* The table of a page by its number in that order. */
static unsigned table_of(uint32_t number) {
    if (number < ZERO_PAGE) return number / 64 < 32 ? 63 - number / 64 : TINY_NEGATIVE;
    unsigned i = (number - ZERO_PAGE - 1) / 64;
    return i == 0 ? TINY_POSITIVE : i - 1;
}

/* The next page that is not empty, from *number on, which moves to it. */
static bool find_page(const pn_histogram *h, uint32_t *number, struct page_ref *ref) {
    while (*number < PAGES_END) {
        if (*number == ZERO_PAGE) {
            *ref = (struct page_ref){.table = NULL};
            return true;
        }
        bool negative = *number < ZERO_PAGE;
        unsigned page = negative ? 63 - *number % 64 : (*number - ZERO_PAGE - 1) % 64;
        const pn__histogram_table *table = table_at(h, table_of(*number));
        if (table == NULL) {
            *number += 64; /* a table that is there stays, so this is its first page */
        } else if (load(&table->counts[page]) == 0 || page_at(table, page) == NULL) {
            ++*number; /* a count may be seen before its page is */
        } else {
            *ref = (struct page_ref){table, {table_of(*number), page, 0}, negative};
            return true;
        }
    }
    return false;
}

static uint64_t page_count(const pn_histogram *h, const struct page_ref *ref) {
    return ref->table != NULL ? load(&ref->table->counts[ref->place.page]) : load(&h->zeros);
}

/* The i-th bucket of the page by growing value: how many, and its value. */
static uint64_t bucket_count(const struct page_ref *ref, uint32_t i, double *value) {
    struct place place = ref->place;
    place.bucket = ref->backwards ? PN_HISTOGRAM_BUCKETS - 1 - i : i;
    uint64_t count = load(&page_at(ref->table, place.page)->counts[place.bucket]);
    if (count > 0) *value = value_of(place);
    return count;
}

bool pn_histogram_next(const pn_histogram *h, pn_histogram_cursor *cursor, double *value,
                       uint64_t *count) {
    struct page_ref ref;
    for (; find_page(h, &cursor->page, &ref); cursor->page++, cursor->bucket = 0) {
        if (ref.table == NULL) {
            *value = 0;
            *count = load(&h->zeros);
            if (*count == 0 || cursor->bucket > 0) continue;
            cursor->bucket = 1;
            return true;
        }
        while (cursor->bucket < PN_HISTOGRAM_BUCKETS) {
            *count = bucket_count(&ref, cursor->bucket++, value);
            if (*count > 0) return true;
        }
    }
    return false;
}

uint64_t pn_histogram_count(const pn_histogram *h) {
    uint64_t count = 0;
    struct page_ref ref;
    for (uint32_t number = 0; find_page(h, &number, &ref); number++) count += page_count(h, &ref);
    return count;
}

uint64_t pn_histogram_lost(const pn_histogram *h) { return load(&h->lost); }

double pn_histogram_sum(const pn_histogram *h) {
    double sum = load_double(&h->sum), total = sum + load_double(&h->carry);
    return isfinite(total) ? total : sum; /* past the largest double the carry is not a number */
}

double pn_histogram_min(const pn_histogram *h) {
    double min = load_double(&h->min);
    return min < infinity ? min : 0;
}

double pn_histogram_max(const pn_histogram *h) {
    double max = load_double(&h->max);
    return max > -infinity ? max : 0;
}

double pn_histogram_average(const pn_histogram *h) {
    uint64_t count = pn_histogram_count(h);
    return count > 0 ? pn_histogram_sum(h) / (double)count : 0;
}

/* The value of a rank (from 0) below the count. */
static double value_at(const pn_histogram *h, uint64_t rank) {
    struct page_ref ref;
    double value = 0;
    for (uint32_t number = 0; find_page(h, &number, &ref); number++) {
        uint64_t count = page_count(h, &ref);
        if (rank >= count) {
            rank -= count;
            continue;
        }
        if (ref.table == NULL) return 0;
        for (uint32_t i = 0; i < PN_HISTOGRAM_BUCKETS; i++) {
            uint64_t n = bucket_count(&ref, i, &value);
            if (rank < n) return value;
            rank -= n;
        }
    }
    return value; /* the writer was at work: the last value seen */
}

/* The ends are known exactly, and nothing lies outside them. */
static double bounded_value_at(const pn_histogram *h, uint64_t rank, uint64_t count) {
    double min = pn_histogram_min(h), max = pn_histogram_max(h);
    if (rank == 0) return min;
    if (rank >= count - 1) return max;
    double value = value_at(h, rank);
    return value < min ? min : value > max ? max : value;
}

double pn_histogram_percentile(const pn_histogram *h, double percent) {
    pn_assert(percent >= 0 && percent <= 100);
    uint64_t count = pn_histogram_count(h);
    if (count == 0) return 0;
    double rank = percent / 100 * (double)(count - 1);
    double below = floor(rank), part = rank - below;
    double low = bounded_value_at(h, (uint64_t)below, count);
    if (part <= 0) return low;
    double high = bounded_value_at(h, (uint64_t)below + 1, count);
    double step = high - low;
    return isfinite(step) ? low + step * part : low * (1 - part) + high * part;
}
