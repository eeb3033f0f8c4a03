/*
 * selector.h - tags, and the selectors of metrics: `http_reqs{status:200,method:GET}`.
 *
 * Everything here is pure: slices of texts that others own, no memory, no state.
 */
#ifndef PN_CORE_SELECTOR_H
#define PN_CORE_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PN_SELECTOR_MAX_BYTES 1024
#define PN_SELECTOR_TAGS_MAX  16

typedef struct pn_tag {
    const char *key, *value; /* slices, no NUL */
    uint32_t key_size, value_size;
} pn_tag;

typedef struct pn_tags {
    const pn_tag *list;
    uint32_t count;
} pn_tags;

typedef struct pn_selector {
    const char *name;
    size_t name_size;
    uint32_t count;
    pn_tag tags[PN_SELECTOR_TAGS_MAX]; /* by key; slices of the text */
} pn_selector;

/* selector = name [ "{" tag { "," tag } "}" ], tag = key ":" value. As in k6: spaces and then
 * quotes around keys and values are dropped, the value begins after the first colon, the last brace
 * closes, of equal keys the last counts. Unlike k6, an empty key and a value of spaces are refused.
 * Pure. PN_EBAD_CONFIG or PN_ETOO_LARGE with the offset of the mistake and what was expected
 * (static). */
int pn_selector_parse(const char *text, size_t size, pn_selector *selector, size_t *at,
                      const char **expected);

/* Whether the selector means exactly these tags, which are in the order of their keys. */
bool pn_selector_is(const pn_selector *selector, const pn_tags *tags);

/* Whether all the wanted ones are among the tags. */
bool pn_tags_have(const pn_tags *tags, const pn_tag *wanted, uint32_t count);

/* The order of keys, as memcmp. */
int pn_tag_compare_keys(const pn_tag *a, const pn_tag *b);

#endif
