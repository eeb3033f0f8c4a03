#include "core/exit.h"

#include <string.h>

/* Read-only in effect: refs 0 marks them static and is never changed. */
#define RECORD(name, normal, kill, reason, error)                                                  \
    pn_exit *pn_exit_##name(void) {                                                                \
        static const pn_exit record = {0, normal, kill, reason, error, NULL, 0, NULL};             \
        return (pn_exit *)(uintptr_t)&record;                                                      \
    }

RECORD(normal, true, false, "normal", NULL)
RECORD(shutdown, false, false, "shutdown", NULL)
RECORD(killed, false, true, "killed", NULL)
RECORD(noproc, false, false, "noproc", NULL)
RECORD(no_memory, false, false, "error", "not enough memory")

static pn_exit *plain(const char *reason) {
    pn_exit *const records[] = {pn_exit_normal(), pn_exit_shutdown(), pn_exit_killed(),
                                pn_exit_noproc()};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        if (strcmp(records[i]->reason, reason) == 0) return records[i];
    }
    return NULL;
}

static const char *place(char **at, const char *text) {
    if (text == NULL) return NULL;
    size_t size = strlen(text) + 1;
    char *start = memcpy(*at, text, size);
    *at += size;
    return start;
}

static size_t room_for(const char *text) { return text != NULL ? strlen(text) + 1 : 0; }

pn_exit *pn_exit_create(pn_ledger *ledger, const char *reason, const char *error,
                        const char *traceback) {
    pn_exit *known = plain(reason);
    if (known != NULL && error == NULL) return known;
    size_t bytes = sizeof(pn_exit) + room_for(reason) + room_for(error) + room_for(traceback);
    pn_exit *exit = pn_mem_try(ledger, bytes);
    if (exit == NULL) return pn_exit_no_memory();
    char *at = (char *)(exit + 1);
    *exit = (pn_exit){.refs = 1, .block_bytes = bytes, .ledger = ledger};
    exit->is_normal = strcmp(reason, "normal") == 0;
    exit->reason = place(&at, reason);
    exit->error = place(&at, error);
    exit->traceback = place(&at, traceback);
    return exit;
}

pn_exit *pn_exit_grab(pn_exit *exit) {
    if (exit->block_bytes > 0) atomic_fetch_add_explicit(&exit->refs, 1, memory_order_relaxed);
    return exit;
}

void pn_exit_release(pn_exit *exit) {
    if (exit == NULL || exit->block_bytes == 0) return;
    if (atomic_fetch_sub_explicit(&exit->refs, 1, memory_order_acq_rel) > 1) return;
    pn_mem_free(exit->ledger, exit, exit->block_bytes);
}
