#include "core/selector.h"

#include <string.h>

#include "base/err.h"

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_quote(char c) { return c == '"' || c == '\''; }

/* Drops what `is` says from both ends. */
static void trim(const char **text, size_t *size, bool (*is)(char)) {
    while (*size > 0 && is(**text)) ++*text, --*size;
    while (*size > 0 && is((*text)[*size - 1])) --*size;
}

static void trim_word(const char **text, uint32_t *word_size, size_t size) {
    trim(text, &size, is_space);
    trim(text, &size, is_quote);
    *word_size = (uint32_t)size;
}

static int compare(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

int pn_tag_compare_keys(const pn_tag *a, const pn_tag *b) {
    return compare(a->key, a->key_size, b->key, b->key_size);
}

/* Keeps the tags in order of their keys; an equal key is replaced. */
static bool insert_tag(pn_selector *selector, const pn_tag *tag) {
    uint32_t i = 0;
    while (i < selector->count && pn_tag_compare_keys(&selector->tags[i], tag) < 0) i++;
    if (i < selector->count && pn_tag_compare_keys(&selector->tags[i], tag) == 0) {
        selector->tags[i] = *tag;
        return true;
    }
    if (selector->count == PN_SELECTOR_TAGS_MAX) return false;
    memmove(&selector->tags[i + 1], &selector->tags[i], (selector->count - i) * sizeof *tag);
    selector->tags[i] = *tag;
    selector->count++;
    return true;
}

/* One key:value. NULL, or what was expected. */
static const char *parse_tag(const char *text, size_t size, pn_tag *tag) {
    const char *colon = memchr(text, ':', size);
    if (colon == NULL) return "a tag as key:value";
    tag->key = text;
    tag->value = colon + 1;
    trim_word(&tag->key, &tag->key_size, (size_t)(colon - text));
    trim_word(&tag->value, &tag->value_size, size - (size_t)(colon - text) - 1);
    if (tag->key_size == 0) return "a key before the colon";
    return tag->value_size == 0 ? "a value after the colon" : NULL;
}

static int parse_tags(const char *text, size_t begin, size_t end, pn_selector *selector, size_t *at,
                      const char **expected) {
    for (*at = begin; *at <= end;) {
        const char *part = text + *at, *comma = memchr(part, ',', end - *at);
        size_t size = comma != NULL ? (size_t)(comma - part) : end - *at;
        pn_tag tag;
        *expected = parse_tag(part, size, &tag);
        if (*expected != NULL) return PN_EBAD_CONFIG;
        if (!insert_tag(selector, &tag)) {
            *expected = "fewer tags";
            return PN_ETOO_LARGE;
        }
        *at += size + 1;
    }
    return 0;
}

/* Checks the braces: NULL, or what was expected. */
static const char *check_braces(const char *text, size_t size, const char *open, const char *close,
                                size_t *at) {
    *at = close == NULL ? size : (size_t)(close - text);
    if (close == NULL) return "a closing brace";
    if (open == NULL || close < open) return "an opening brace before the closing one";
    *at += 1;
    return *at == size ? NULL : "nothing after the closing brace";
}

int pn_selector_parse(const char *text, size_t size, pn_selector *selector, size_t *at,
                      const char **expected) {
    selector->count = 0;
    *at = 0;
    if (size > PN_SELECTOR_MAX_BYTES) {
        *at = PN_SELECTOR_MAX_BYTES;
        *expected = "a shorter selector";
        return PN_ETOO_LARGE;
    }
    const char *open = size > 0 ? memchr(text, '{', size) : NULL;
    const char *close = size > 0 ? memrchr(text, '}', size) : NULL;
    selector->name = text;
    selector->name_size = open != NULL ? (size_t)(open - text) : size;
    if (open == NULL && close == NULL) return 0;
    *expected = check_braces(text, size, open, close, at);
    if (*expected != NULL) return PN_EBAD_CONFIG;
    return parse_tags(text, selector->name_size + 1, size - 1, selector, at, expected);
}

bool pn_selector_is(const pn_selector *selector, const pn_tags *tags) {
    if (tags->count != selector->count) return false;
    for (uint32_t i = 0; i < tags->count; i++) {
        const pn_tag *a = &tags->list[i], *b = &selector->tags[i];
        if (pn_tag_compare_keys(a, b) != 0) return false;
        if (compare(a->value, a->value_size, b->value, b->value_size) != 0) return false;
    }
    return true;
}

static bool has_tag(const pn_tags *tags, const pn_tag *wanted) {
    for (uint32_t i = 0; i < tags->count; i++) {
        const pn_tag *tag = &tags->list[i];
        if (tag->key_size == wanted->key_size && tag->value_size == wanted->value_size &&
            memcmp(tag->key, wanted->key, wanted->key_size) == 0 &&
            memcmp(tag->value, wanted->value, wanted->value_size) == 0) {
            return true;
        }
    }
    return false;
}

bool pn_tags_have(const pn_tags *tags, const pn_tag *wanted, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!has_tag(tags, &wanted[i])) return false;
    }
    return true;
}
