/*
 * URLs. What is accepted consists of parts that lie in order within the text; its target and
 * authority are visible ASCII that parses again to the same place; a reference resolves to a URL
 * without dot segments of its own that resolves to itself; percent-encoding and forms give back
 * what went in.
 *
 * The input is a base, a newline, and a reference.
 */
#include <stdbool.h>

#include "base/err.h"
#include "memory/ledger.h"
#include "net/url.h"
#include "specs/fuzz/fuzz.h"

static bool is_within(pn_text part, pn_text all) {
    if (part.at == NULL) return true;
    return part.at >= all.at && part.at + part.size <= all.at + all.size;
}

static void check_parts(const pn_url *url, pn_text text) {
    const pn_text parts[] = {url->userinfo, url->host, url->path, url->query, url->fragment};
    const char *last = text.at;
    for (size_t i = 0; i < 5; i++) {
        PROPERTY(is_within(parts[i], text));
        if (parts[i].at == NULL) continue;
        PROPERTY(parts[i].at >= last);
        last = parts[i].at + parts[i].size;
    }
    PROPERTY(url->scheme == PN_URL_UNIX ? url->port == 0 : url->port > 0);
    PROPERTY(url->host.size > 0);
    PROPERTY(url->path.size == 0 || url->path.at[0] == '/');
}

static bool is_visible(const pn_buf *buf) {
    for (size_t i = 0; i < buf->size; i++) {
        if (buf->data[i] <= ' ' || buf->data[i] >= 0x7f) return false;
    }
    return true;
}

/* "http://" + authority + target says the same as the URL did. */
static void check_written(const pn_url *url, pn_alloc *alloc) {
    static const char *const schemes[] = {"http://", "https://"};
    pn_buf text, again;
    pn_url back;
    pn_buf_init(&text, alloc);
    pn_buf_init(&again, alloc);
    if (url->scheme == PN_URL_UNIX) return;
    pn_buf_add_text(&text, schemes[url->scheme]);
    PROPERTY(pn_url_write_authority(&text, url) && pn_url_write_target(&text, url));
    PROPERTY(is_visible(&text));
    PROPERTY(pn_url_parse(&back, pn_text_make(text.data, text.size), NULL) == 0);
    PROPERTY(back.port == url->port && back.is_ipv6 == url->is_ipv6);
    PROPERTY(back.userinfo.at == NULL && back.fragment.at == NULL);
    PROPERTY((back.query.at == NULL) == (url->query.at == NULL));
#if PN_PLANT_BUG == 1
    if (back.query.size > 14) back.query.size--;
#endif
    pn_url_write_target(&again, &back);
    PROPERTY(text.size >= again.size);
    PROPERTY(memcmp(text.data + text.size - again.size, again.data, again.size) == 0);
    pn_buf_close(&text);
    pn_buf_close(&again);
}

static bool has_dot_segment(pn_text path) {
    for (size_t i = 0; i < path.size; i++) {
        if (path.at[i] != '/') continue;
        size_t n = i + 1;
        while (n < path.size && path.at[n] != '/') n++;
        size_t size = n - i - 1;
        if (size == 1 && path.at[i + 1] == '.') return true;
        if (size == 2 && path.at[i + 1] == '.' && path.at[i + 2] == '.') return true;
    }
    return false;
}

static void check_resolved(const pn_url *base, pn_text reference, pn_alloc *alloc) {
    pn_buf first, second;
    pn_url url;
    pn_buf_init(&first, alloc);
    pn_buf_init(&second, alloc);
    if (pn_url_resolve(&first, base, reference, NULL) == 0) {
        pn_text text = pn_text_make(first.data, first.size);
        PROPERTY(pn_url_parse(&url, text, NULL) == 0);
        PROPERTY(url.fragment.at == NULL);
        bool takes_base_path =
            reference.size == 0 || reference.at[0] == '?' || reference.at[0] == '#';
#if PN_PLANT_BUG == 2
        takes_base_path = false;
#endif
        PROPERTY(takes_base_path || !has_dot_segment(url.path));
        if (!has_dot_segment(url.path)) {
            PROPERTY(pn_url_resolve(&second, base, text, NULL) == 0);
            PROPERTY(second.size == first.size && memcmp(second.data, first.data, first.size) == 0);
        }
    } else {
        PROPERTY(first.size == 0);
    }
    pn_buf_close(&first);
    pn_buf_close(&second);
}

static void check_encoding(pn_text text, pn_alloc *alloc) {
    pn_buf encoded, decoded;
    pn_buf_init(&encoded, alloc);
    pn_buf_init(&decoded, alloc);
    PROPERTY(pn_percent_encode(&encoded, text));
    PROPERTY(pn_percent_decode(&decoded, pn_text_make(encoded.data, encoded.size), false));
    PROPERTY(decoded.size == text.size &&
             (text.size == 0 || memcmp(decoded.data, text.at, text.size) == 0));
    pn_buf_clear(&encoded);
    pn_buf_clear(&decoded);
    PROPERTY(pn_form_add(&encoded, 0, text, text) && pn_form_add(&encoded, 0, PN_TEXT("n"), text));
    pn_text form = pn_text_make(encoded.data, encoded.size), name, value;
    size_t fields = 0;
    while (pn_form_next(&form, &name, &value)) {
        pn_buf_clear(&decoded);
        PROPERTY(pn_percent_decode(&decoded, value, true));
        PROPERTY(decoded.size == text.size);
        PROPERTY(text.size == 0 || memcmp(decoded.data, text.at, text.size) == 0);
        fields++;
    }
    PROPERTY(fields == 2);
    pn_buf_clear(&decoded);
    if (!pn_percent_decode(&decoded, text, true)) PROPERTY(decoded.size == 0);
    pn_buf_close(&encoded);
    pn_buf_close(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pn_heap *heap = pn_heap_create(false);
    pn_ledger ledger;
    pn_ledger_init_shared(&ledger, "fuzz", heap);
    char *copy = fuzz_copy(data, size);
    const char *newline = memchr(copy, '\n', size);
    size_t base_size = newline != NULL ? (size_t)(newline - copy) : size;
    char *base_text = fuzz_copy(copy, base_size);
    pn_text text = pn_text_make(base_text, base_size);
    pn_text reference =
        newline != NULL ? pn_text_make(newline + 1, size - base_size - 1) : PN_TEXT("../x");
    pn_url url;
    if (pn_url_parse(&url, text, NULL) == 0) {
        check_parts(&url, text);
        check_written(&url, &ledger.door);
        check_resolved(&url, reference, &ledger.door);
    }
    check_encoding(reference, &ledger.door);
    free(base_text);
    free(copy);
    PROPERTY(pn_ledger_live(&ledger) == 0);
    pn_heap_destroy(heap);
    return 0;
}
