/*
 * tags.h - tags that a script gives to one sample, added to the labels of the task.
 */
#ifndef PN_BIND_TAGS_H
#define PN_BIND_TAGS_H

#include "bind/bind.h"
#include "load/labels.h"

#define PN_SAMPLE_TAGS_MAX 128 /* all of one sample's */

/* Fills `list` (PN_SAMPLE_TAGS_MAX) with `labels`, then the table at index `tags` (0, nil or none:
 * nothing), then `own` (may be NULL), by key, each key once, the last one counting. Values are
 * texts, numbers or booleans; the texts live as long as the table is on the stack, and what this
 * leaves there. Raises for anything else. */
pn_tags pn_tags_collect(lua_State *L, pn_tag *list, const pn_tags *labels, int tags,
                        const pn_tag *own);

/* Raises for what cannot be tags; for when nobody looks at them. */
void pn_tags_check(lua_State *L, int tags);

#endif
