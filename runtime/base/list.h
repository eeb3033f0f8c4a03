/*
 * list.h - intrusive lists. No memory, no failure; a node is in at most one list at a time.
 *
 * pn_list is circular and doubly linked: removal in O(1) knowing only the node. An unlinked node
 * points to itself, so removing it twice is harmless. pn_queue is singly linked, first in first
 * out: eight bytes a node, for what is only ever taken from the front.
 */
#ifndef PN_BASE_LIST_H
#define PN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

typedef struct pn_list pn_list;

struct pn_list {
    pn_list *next, *prev;
};

static inline void pn_list_init(pn_list *node) { node->next = node->prev = node; }

static inline bool pn_list_empty(const pn_list *head) { return head->next == head; }

static inline bool pn_list_linked(const pn_list *node) { return node->next != node; }

static inline void pn_list_push(pn_list *head, pn_list *node) { /* at the end */
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void pn_list_push_front(pn_list *head, pn_list *node) {
    pn_list_push(head->next, node);
}

static inline void pn_list_remove(pn_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = node;
}

static inline pn_list *pn_list_pop(pn_list *head) { /* from the front; NULL when empty */
    pn_list *node = head->next;
    if (node == head) return NULL;
    pn_list_remove(node);
    return node;
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void pn_list_splice(pn_list *to, pn_list *from) {
    if (pn_list_empty(from)) return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    pn_list_init(from);
}

typedef struct pn_link pn_link;

struct pn_link {
    pn_link *next;
};

typedef struct pn_queue {
    pn_link *head, *tail;
} pn_queue;

static inline void pn_queue_init(pn_queue *q) { q->head = q->tail = NULL; }

static inline bool pn_queue_empty(const pn_queue *q) { return q->head == NULL; }

static inline void pn_queue_push(pn_queue *q, pn_link *node) {
    node->next = NULL;
    if (q->tail != NULL) {
        q->tail->next = node;
    } else {
        q->head = node;
    }
    q->tail = node;
}

static inline void pn_queue_push_front(pn_queue *q, pn_link *node) {
    node->next = q->head;
    q->head = node;
    if (q->tail == NULL) q->tail = node;
}

/* Moves all nodes of `from` to the front of `to`. */
static inline void pn_queue_splice_front(pn_queue *to, pn_queue *from) {
    if (from->head == NULL) return;
    from->tail->next = to->head;
    if (to->tail == NULL) to->tail = from->tail;
    to->head = from->head;
    pn_queue_init(from);
}

static inline pn_link *pn_queue_pop(pn_queue *q) {
    pn_link *node = q->head;
    if (node == NULL) return NULL;
    q->head = node->next;
    if (q->head == NULL) q->tail = NULL;
    return node;
}

#endif
