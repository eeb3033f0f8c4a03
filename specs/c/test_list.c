/* Lists against a model: an array that is edited by the same random operations. */
#include "base/list.h"

#include <string.h>

#include "base/rand.h"
#include "test.h"

enum { NODES = 40, STEPS = 200000, LISTS = 3 };

/* The lists' contents as indexes, in order. */
typedef struct model {
    int item[LISTS][NODES], count[LISTS];
} model;

static void model_insert(model *m, int list, int at, int node) {
    memmove(&m->item[list][at + 1], &m->item[list][at],
            (size_t)(m->count[list] - at) * sizeof(int));
    m->item[list][at] = node;
    m->count[list]++;
}

static void model_remove(model *m, int node) {
    for (int l = 0; l < LISTS; l++) {
        for (int i = 0; i < m->count[l]; i++) {
            if (m->item[l][i] != node) continue;
            m->count[l]--;
            memmove(&m->item[l][i], &m->item[l][i + 1], (size_t)(m->count[l] - i) * sizeof(int));
            return;
        }
    }
}

static void model_splice(model *m, int to, int from) {
    for (int i = 0; i < m->count[from]; i++) m->item[to][m->count[to]++] = m->item[from][i];
    m->count[from] = 0;
}

static void compare(const model *m, const pn_list *heads, const pn_list *nodes) {
    for (int l = 0; l < LISTS; l++) {
        CHECK_EQ(pn_list_empty(&heads[l]), m->count[l] == 0);
        const pn_list *at = &heads[l];
        for (int i = 0; i < m->count[l]; i++) {
            CHECK(at->next->prev == at);
            at = at->next;
            CHECK_EQ(at - nodes, m->item[l][i]);
        }
        CHECK(at->next == &heads[l] && heads[l].prev == at);
    }
}

TEST(list_agrees_with_its_model) {
    pn_rand r = {pn_rand_key(1, "list", 0), 0};
    static pn_list nodes[NODES], heads[LISTS];
    static model m;
    for (int i = 0; i < NODES; i++) pn_list_init(&nodes[i]);
    for (int l = 0; l < LISTS; l++) pn_list_init(&heads[l]);
    for (int step = 0; step < STEPS; step++) {
        int node = (int)pn_rand_below(&r, NODES), list = (int)pn_rand_below(&r, LISTS);
        int other = (list + 1) % LISTS;
        bool linked = pn_list_linked(&nodes[node]);
        switch (pn_rand_below(&r, 8)) {
        case 0:
        case 1:
        case 2:
            if (linked) break;
            pn_list_push(&heads[list], &nodes[node]);
            model_insert(&m, list, m.count[list], node);
            break;
        case 3:
            if (linked) break;
            pn_list_push_front(&heads[list], &nodes[node]);
            model_insert(&m, list, 0, node);
            break;
        case 4:
        case 5:
            pn_list_remove(&nodes[node]); /* harmless when it is in none */
            pn_list_remove(&nodes[node]);
            model_remove(&m, node);
            CHECK(!pn_list_linked(&nodes[node]));
            break;
        case 6: {
            pn_list *popped = pn_list_pop(&heads[list]);
            CHECK_EQ(popped == NULL, m.count[list] == 0);
            if (popped == NULL) break;
            CHECK_EQ(popped - nodes, m.item[list][0]);
            CHECK(!pn_list_linked(popped));
            model_remove(&m, m.item[list][0]);
            break;
        }
        default: pn_list_splice(&heads[list], &heads[other]); model_splice(&m, list, other);
        }
        compare(&m, heads, nodes);
    }
}

TEST(queue_is_first_in_first_out) {
    pn_rand r = {pn_rand_key(2, "queue", 0), 0};
    pn_queue q;
    static pn_link nodes[NODES];
    static model m; /* its first list only */
    pn_queue_init(&q);
    for (int step = 0; step < STEPS; step++) {
        int free_node = 0;
        for (int i = 0; i < m.count[0]; i++) {
            if (m.item[0][i] == free_node) free_node++, i = -1;
        }
        uint64_t what = pn_rand_below(&r, 5);
        if (what < 3 && free_node < NODES) {
            if (what == 0) {
                pn_queue_push_front(&q, &nodes[free_node]);
                model_insert(&m, 0, 0, free_node);
            } else {
                pn_queue_push(&q, &nodes[free_node]);
                model_insert(&m, 0, m.count[0], free_node);
            }
        } else {
            pn_link *popped = pn_queue_pop(&q);
            CHECK_EQ(popped == NULL, m.count[0] == 0);
            if (popped != NULL) {
                CHECK_EQ(popped - nodes, m.item[0][0]);
                model_remove(&m, m.item[0][0]);
            }
        }
        CHECK_EQ(pn_queue_empty(&q), m.count[0] == 0);
        const pn_link *at = q.head;
        for (int i = 0; i < m.count[0]; i++, at = at->next) {
            CHECK_EQ(at - nodes, m.item[0][i]);
            if (i == m.count[0] - 1) CHECK(at == q.tail && at->next == NULL);
        }
    }
}
