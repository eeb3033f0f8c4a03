#include "load/checks.h"

#include <string.h>

#include "base/err.h"

#define KEY_BYTES (2 * PN_CHECK_NAME_MAX_BYTES + 1)

void pn_checks_init(pn_checks *checks, pn_ledger *ledger) {
    memset(checks, 0, sizeof *checks);
    checks->ledger = ledger;
    pn_smap_init(&checks->map, &ledger->door);
    pn_assert(pthread_mutex_init(&checks->lock, NULL) == 0);
}

void pn_checks_close(pn_checks *checks) {
    uint32_t cursor = 0;
    pn_smap_entry *e;
    while ((e = pn_smap_next(&checks->map, &cursor)) != NULL) {
        pn_check *check = e->value;
        pn_mem_free(checks->ledger, check, check->bytes);
    }
    pn_smap_close(&checks->map);
    pthread_mutex_destroy(&checks->lock);
}

/* group NUL name */
static size_t write_key(char key[KEY_BYTES], const char *group, const char *name, size_t size) {
    size_t group_size = strnlen(group, PN_CHECK_NAME_MAX_BYTES);
    if (size > PN_CHECK_NAME_MAX_BYTES) size = PN_CHECK_NAME_MAX_BYTES;
    memcpy(key, group, group_size);
    key[group_size] = '\0';
    memcpy(key + group_size + 1, name, size);
    return group_size + 1 + size;
}

/* The texts lie behind the struct: the key, and a NUL. */
static pn_check *create(pn_checks *checks, const char *key, size_t key_size) {
    pn_check *check = pn_mem_try(checks->ledger, sizeof *check + key_size + 1);
    if (check == NULL) return NULL;
    memset(check, 0, sizeof *check);
    char *texts = (char *)(check + 1);
    memcpy(texts, key, key_size);
    texts[key_size] = '\0';
    check->group = texts;
    check->name = texts + strlen(texts) + 1;
    check->order = checks->map.count;
    check->bytes = sizeof *check + key_size + 1;
    return check;
}

static int add(pn_checks *checks, const char *key, size_t key_size, pn_check **check) {
    if (checks->map.count >= PN_CHECKS_MAX) return PN_ELIMIT;
    *check = create(checks, key, key_size);
    if (*check == NULL) return PN_ENOMEM;
    pthread_mutex_lock(&checks->lock);
    int err = pn_smap_set(&checks->map, key, key_size, *check);
    pthread_mutex_unlock(&checks->lock);
    if (err != 0) pn_mem_free(checks->ledger, *check, (*check)->bytes);
    return err;
}

int pn_checks_record(pn_checks *checks, const char *group, const char *name, size_t size,
                     bool passed) {
    char key[KEY_BYTES];
    size_t key_size = write_key(key, group, name, size);
    pn_check *check = pn_smap_get(&checks->map, key, key_size);
    int err = check == NULL ? add(checks, key, key_size, &check) : 0;
    if (err != 0) {
        checks->overflow++;
        return err;
    }
    _Atomic uint64_t *counter = passed ? &check->passes : &check->fails;
    uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, n + 1, memory_order_relaxed);
    return 0;
}

void pn_checks_each(pn_checks *checks, void (*fn)(void *context, const pn_check *check),
                    void *context) {
    pthread_mutex_lock(&checks->lock);
    uint32_t cursor = 0;
    pn_smap_entry *e;
    while ((e = pn_smap_next(&checks->map, &cursor)) != NULL) fn(context, e->value);
    pthread_mutex_unlock(&checks->lock);
}
