#include "load/labels.h"

#include <string.h>

#include "base/assert.h"

/* One block: the struct, the list, the texts with their NULs. */
static pn_labels *create(pn_ledger *ledger, const pn_tag *list, uint32_t count, const char *group,
                         size_t group_size) {
    size_t bytes = sizeof(pn_labels) + count * sizeof(pn_tag) + group_size + 1;
    for (uint32_t i = 0; i < count; i++) bytes += list[i].key_size + list[i].value_size + 2U;
    pn_labels *labels = pn_mem_try_zeroed(ledger, bytes);
    if (labels == NULL) return NULL;
    pn_tag *tags = (pn_tag *)(labels + 1);
    char *at = (char *)(tags + count);
    for (uint32_t i = 0; i < count; i++) {
        tags[i] = list[i];
        tags[i].key = memcpy(at, list[i].key, list[i].key_size);
        at += list[i].key_size + 1;
        tags[i].value = memcpy(at, list[i].value, list[i].value_size);
        at += list[i].value_size + 1;
    }
    labels->group = memcpy(at, group, group_size);
    labels->tags = (pn_tags){tags, count};
    labels->bytes = bytes;
    return labels;
}

pn_labels *pn_labels_create(pn_ledger *ledger, const pn_pairs *pairs) {
    pn_tag list[PN_PAIRS_MAX];
    for (uint32_t i = 0; i < pairs->count; i++) {
        const pn_pair *p = &pairs->list[i];
        list[i] = (pn_tag){p->key, p->value, (uint32_t)strlen(p->key), (uint32_t)strlen(p->value)};
    }
    return create(ledger, list, pairs->count, "", 0);
}

/* Replaces the tag `group`, or puts it where it belongs. */
static uint32_t put_group(pn_tag *list, uint32_t count, const char *path, size_t size) {
    pn_tag tag = {"group", path, 5, (uint32_t)size};
    uint32_t i = 0;
    while (i < count && pn_tag_compare_keys(&list[i], &tag) < 0) i++;
    bool is_there = i < count && pn_tag_compare_keys(&list[i], &tag) == 0;
    if (!is_there) memmove(&list[i + 1], &list[i], (count - i) * sizeof *list);
    list[i] = tag;
    return is_there ? count : count + 1;
}

pn_labels *pn_labels_create_group(pn_ledger *ledger, const pn_labels *outer, const char *name,
                                  size_t size) {
    char path[PN_GROUP_PATH_MAX_BYTES];
    size_t outer_size = strlen(outer->group), room = sizeof path - outer_size;
    memcpy(path, outer->group, outer_size);
    if (room >= 2) memcpy(path + outer_size, "::", 2);
    size_t used = room >= 2 ? outer_size + 2 : outer_size;
    if (size > sizeof path - used) size = sizeof path - used;
    memcpy(path + used, name, size);
    pn_tag list[PN_LABELS_MAX + 1];
    pn_assert(outer->tags.count <= PN_LABELS_MAX);
    memcpy(list, outer->tags.list, outer->tags.count * sizeof *list);
    uint32_t count = put_group(list, outer->tags.count, path, used + size);
    pn_labels *labels = create(ledger, list, count, path, used + size);
    if (labels != NULL) labels->outer = outer;
    return labels;
}

void pn_labels_destroy(pn_ledger *ledger, pn_labels *labels) {
    if (labels != NULL) pn_mem_free(ledger, labels, labels->bytes);
}
