#include "load/problems.h"

#include <stdio.h>
#include <string.h>

void pn_problems_init(pn_problems *problems, pn_ledger *ledger) {
    memset(problems, 0, sizeof *problems);
    problems->ledger = ledger;
    pn_texts_init(&problems->texts, ledger);
    pn_smap_init(&problems->by_place, &ledger->door);
    pn_queue_init(&problems->list);
    pn_assert(pthread_mutex_init(&problems->lock, NULL) == 0);
}

void pn_problems_close(pn_problems *problems) {
    pn_link *link;
    while ((link = pn_queue_pop(&problems->list)) != NULL) {
        pn_problem *p = PN_CONTAINER(link, pn_problem, link);
        pn_mem_free(problems->ledger, p, sizeof *p);
    }
    pn_smap_close(&problems->by_place);
    pn_texts_close(&problems->texts);
    pthread_mutex_destroy(&problems->lock);
}

static const char *copy(pn_problems *problems, const char *text) {
    size_t size = strlen(text);
    if (size > PN_PROBLEM_TEXT_MAX_BYTES) size = PN_PROBLEM_TEXT_MAX_BYTES;
    const char *kept = pn_texts_add(&problems->texts, text, size);
    return kept != NULL ? kept : "";
}

static pn_problem *create(pn_problems *problems, const pn_problem *from, const char *key) {
    pn_problem *p = pn_mem_try(problems->ledger, sizeof *p);
    if (p == NULL) return NULL;
    if (pn_smap_set(&problems->by_place, key, strlen(key), p) != 0) {
        pn_mem_free(problems->ledger, p, sizeof *p);
        return NULL;
    }
    *p = (pn_problem){
        .place = copy(problems, from->place),
        .scenario = copy(problems, from->scenario),
        .hook = copy(problems, from->hook),
        .message = copy(problems, from->message),
        .traceback = copy(problems, from->traceback),
    };
    pn_queue_push(&problems->list, &p->link);
    return p;
}

/* Under the lock. */
static bool add(pn_problems *problems, const pn_problem *from) {
    char key[1024];
    snprintf(key, sizeof key, "%.200s %.800s", from->hook,
             from->place[0] != '\0' ? from->place : from->message);
    pn_problem *p = pn_smap_get(&problems->by_place, key, strlen(key));
    bool is_new = p == NULL;
    if (is_new && problems->by_place.count < PN_PROBLEMS_MAX) p = create(problems, from, key);
    if (p == NULL) {
        problems->overflow++;
        return false;
    }
    p->count++;
    return is_new;
}

bool pn_problems_add(pn_problems *problems, const pn_problem *problem) {
    pthread_mutex_lock(&problems->lock);
    bool is_new = add(problems, problem);
    pthread_mutex_unlock(&problems->lock);
    return is_new;
}

void pn_problems_each(pn_problems *problems, void (*fn)(void *context, const pn_problem *problem),
                      void *context) {
    pthread_mutex_lock(&problems->lock);
    for (const pn_link *l = problems->list.head; l != NULL; l = l->next) {
        fn(context, PN_CONTAINER(l, pn_problem, link));
    }
    pthread_mutex_unlock(&problems->lock);
}
