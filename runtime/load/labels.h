/*
 * labels.h - the tags of all that a task does: those of the run and the scenario, and the group it
 * is in.
 *
 * Made once for each scenario and group, shared by all users there, and not changed any more:
 * labelling a sample costs a pointer. A group's path is k6's: "::outer::inner".
 */
#ifndef PN_LOAD_LABELS_H
#define PN_LOAD_LABELS_H

#include "core/selector.h"
#include "load/texts.h"
#include "memory/ledger.h"

#define PN_GROUP_PATH_MAX_BYTES 1024               /* a longer path is cut */
#define PN_LABELS_MAX           (PN_PAIRS_MAX + 2) /* and the scenario, and the group */

typedef struct pn_labels {
    const struct pn_labels *outer; /* of the enclosing group; NULL outside any */
    const char *group;             /* "" outside any */
    pn_tags tags;                  /* by key; the texts live as long as the labels */
    size_t bytes;
} pn_labels;

/* Labels with these tags, outside any group; the texts are copied. NULL without memory. */
pn_labels *pn_labels_create(pn_ledger *ledger, const pn_pairs *tags);

/* Those of a group within `outer`, which must live as long. NULL without memory. */
pn_labels *pn_labels_create_group(pn_ledger *ledger, const pn_labels *outer, const char *name,
                                  size_t size);

void pn_labels_destroy(pn_ledger *ledger, pn_labels *labels); /* NULL is fine */

#endif
