/*
 * names.h - registered names. A name stands for one actor, or for a group of actors that take
 * turns.
 *
 * Groups are made by supervisors: sends to one go round its live members. While a group has no live
 * member (a restart is under way) a lookup says so (PN_EMAILBOX_FULL: try again within the
 * deadline), unlike an unknown name (PN_ENOPROC).
 *
 * Threads: any; one lock, held for a lookup in a hash map.
 */
#ifndef PN_CORE_NAMES_H
#define PN_CORE_NAMES_H

#include <pthread.h>

#include "base/map.h"
#include "core/pid.h"
#include "memory/ledger.h"

typedef struct pn_name {
    bool is_group;
    pn_pid pid;     /* of a single name */
    uint32_t next;  /* of a group: whose turn */
    uint32_t count; /* members, in order of joining */
    uint32_t capacity;
    pn_pid *members;
} pn_name;

typedef struct pn_names {
    pthread_mutex_t lock;
    pn_smap map; /* text -> pn_name * */
    pn_ledger *ledger;
} pn_names;

void pn_names_init(pn_names *names, pn_ledger *shared);
void pn_names_close(pn_names *names);

int pn_names_set(pn_names *names, const char *text, pn_pid pid); /* PN_ENAME_TAKEN, PN_ENOMEM */
void pn_names_remove(pn_names *names, const char *text, pn_pid pid);

/* PN_ENOPROC; PN_EMAILBOX_FULL for a group without a live member. */
int pn_names_find(pn_names *names, const char *text, size_t size, pn_pid *pid);

int pn_names_open_group(pn_names *names, const char *text); /* PN_ENAME_TAKEN, PN_ENOMEM */
void pn_names_close_group(pn_names *names, const char *text);
int pn_names_join(pn_names *names, const char *text, pn_pid pid); /* PN_ENOPROC, PN_ENOMEM */
void pn_names_leave(pn_names *names, const char *text, pn_pid pid);

#endif
