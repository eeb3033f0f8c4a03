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

/* RFC 9110, 5.6.2. */
static const bool token_chars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

size_t pn_http_token_size(pn_text text) {
    size_t n = 0;
    while (n < text.size && token_chars[(unsigned char)text.at[n]]) n++;
    return n;
}

bool pn_http_is_token(pn_text text) {
    return text.size > 0 && pn_http_token_size(text) == text.size;
}

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
