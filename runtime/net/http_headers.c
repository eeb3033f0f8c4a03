#include "net/http_headers.h"

bool pn_http_headers_next(pn_text *block, pn_text *name, pn_text *value) {
    if (block->size == 0) return false;
    const char *end = memchr(block->at, '\n', block->size);
    size_t size = end == NULL ? block->size : (size_t)(end - block->at) + 1;
    pn_text line = pn_text_make(block->at, size);
    block->at += size;
    block->size -= size;
    while (line.size > 0 && (line.at[line.size - 1] == '\n' || line.at[line.size - 1] == '\r')) {
        line.size--;
    }
    const char *colon = memchr(line.at, ':', line.size);
    size_t name_size = colon == NULL ? line.size : (size_t)(colon - line.at);
    *name = pn_text_make(line.at, name_size);
    size_t skip = colon == NULL ? name_size : name_size + 1;
    *value = pn_text_trim(pn_text_make(line.at + skip, line.size - skip));
    return true;
}

pn_text pn_http_headers_find(pn_text block, pn_text name) {
    pn_text line_name, value;
    while (pn_http_headers_next(&block, &line_name, &value)) {
        if (pn_text_equal_nocase(line_name, name)) return value;
    }
    return PN_TEXT_NONE;
}

size_t pn_http_headers_count(pn_text block, pn_text name) {
    pn_text line_name, value;
    size_t count = 0;
    while (pn_http_headers_next(&block, &line_name, &value)) {
        count += pn_text_equal_nocase(line_name, name);
    }
    return count;
}

/* RFC 9110, 5.6.2, a bit for each byte. */
static const uint64_t token_chars[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe, 0, 0};

size_t pn_http_token_size(pn_text text) {
    size_t n = 0;
    while (n < text.size) {
        unsigned char c = (unsigned char)text.at[n];
        if ((token_chars[c >> 6] >> (c & 63) & 1) == 0) break;
        n++;
    }
    return n;
}

bool pn_http_is_token(pn_text text) { return text.size > 0 && pn_http_token_size(text) == text.size; }

bool pn_http_headers_valid(pn_text name, pn_text value) {
    if (!pn_http_is_token(name)) return false;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

bool pn_http_headers_add(pn_buf *out, pn_text name, pn_text value) {
    pn_buf_reserve(out, name.size + value.size + 4);
    pn_buf_add(out, name.at, name.size);
    pn_buf_add(out, ": ", 2);
    pn_buf_add(out, value.at, value.size);
    pn_buf_add(out, "\r\n", 2);
    return !out->failed;
}
