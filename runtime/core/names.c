#include "core/names.h"

#include <string.h>

#include "base/err.h"

void pn_names_init(pn_names *names, pn_ledger *shared) {
    names->ledger = shared;
    pn_smap_init(&names->map, &shared->door);
    pn_assert(pthread_mutex_init(&names->lock, NULL) == 0);
}

static void name_destroy(pn_names *names, pn_name *name) {
    pn_mem_free(names->ledger, name->members, name->capacity * sizeof *name->members);
    pn_mem_free(names->ledger, name, sizeof *name);
}

void pn_names_close(pn_names *names) {
    uint32_t cursor = 0;
    pn_smap_entry *e;
    while ((e = pn_smap_next(&names->map, &cursor)) != NULL) name_destroy(names, e->value);
    pn_smap_close(&names->map);
    pthread_mutex_destroy(&names->lock);
}

static pn_name *find(pn_names *names, const char *text) {
    return pn_smap_get(&names->map, text, strlen(text));
}

static int add(pn_names *names, const char *text, bool is_group, pn_pid pid) {
    int err = PN_ENAME_TAKEN;
    pthread_mutex_lock(&names->lock);
    if (find(names, text) == NULL) {
        pn_name *name = pn_mem_try_zeroed(names->ledger, sizeof *name);
        err = name == NULL ? PN_ENOMEM : pn_smap_set(&names->map, text, strlen(text), name);
        if (err == 0) {
            name->is_group = is_group;
            name->pid = pid;
        } else if (name != NULL) {
            name_destroy(names, name);
        }
    }
    pthread_mutex_unlock(&names->lock);
    return err;
}

static void drop(pn_names *names, const char *text, bool is_group, pn_pid pid) {
    pthread_mutex_lock(&names->lock);
    pn_name *name = find(names, text);
    if (name != NULL && name->is_group == is_group && name->pid == pid) {
        pn_smap_remove(&names->map, text, strlen(text), NULL);
        name_destroy(names, name);
    }
    pthread_mutex_unlock(&names->lock);
}

int pn_names_set(pn_names *names, const char *text, pn_pid pid) {
    return add(names, text, false, pid);
}

void pn_names_remove(pn_names *names, const char *text, pn_pid pid) {
    drop(names, text, false, pid);
}

int pn_names_open_group(pn_names *names, const char *text) { return add(names, text, true, 0); }

void pn_names_close_group(pn_names *names, const char *text) { drop(names, text, true, 0); }

int pn_names_find(pn_names *names, const char *text, size_t size, pn_pid *pid) {
    int err = 0;
    pthread_mutex_lock(&names->lock);
    pn_name *name = pn_smap_get(&names->map, text, size);
    if (name == NULL) {
        err = PN_ENOPROC;
    } else if (!name->is_group) {
        *pid = name->pid;
    } else if (name->count == 0) {
        err = PN_EMAILBOX_FULL;
    } else {
        *pid = name->members[name->next++ % name->count];
    }
    pthread_mutex_unlock(&names->lock);
    return err;
}

static int join(pn_names *names, pn_name *name, pn_pid pid) {
    if (name->count == name->capacity) {
        uint32_t capacity = name->capacity == 0 ? 4 : name->capacity * 2;
        pn_pid *members =
            pn_mem_resize(names->ledger, name->members, name->capacity * sizeof *members,
                          capacity * sizeof *members);
        if (members == NULL) return PN_ENOMEM;
        name->members = members;
        name->capacity = capacity;
    }
    name->members[name->count++] = pid;
    return 0;
}

int pn_names_join(pn_names *names, const char *text, pn_pid pid) {
    pthread_mutex_lock(&names->lock);
    pn_name *name = find(names, text);
    int err = name != NULL && name->is_group ? join(names, name, pid) : PN_ENOPROC;
    pthread_mutex_unlock(&names->lock);
    return err;
}

void pn_names_leave(pn_names *names, const char *text, pn_pid pid) {
    pthread_mutex_lock(&names->lock);
    pn_name *name = find(names, text);
    for (uint32_t i = 0; name != NULL && i < name->count; i++) {
        if (name->members[i] != pid) continue;
        memmove(&name->members[i], &name->members[i + 1], (name->count - i - 1) * sizeof pid);
        name->count--;
        break;
    }
    pthread_mutex_unlock(&names->lock);
}
