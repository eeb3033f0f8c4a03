#include "net/text.h"

bool pn_text_equal_nocase(pn_text a, pn_text b) {
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++) {
        if (pn_text_lower(a.at[i]) != pn_text_lower(b.at[i])) return false;
    }
    return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

pn_text pn_text_trim(pn_text text) {
    while (text.size > 0 && is_blank(text.at[0])) {
        text.at++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.at[text.size - 1])) text.size--;
    return text;
}

int pn_text_hex(char c) {
    if (pn_text_is_digit(c)) return c - '0';
    char low = pn_text_lower(c);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool pn_text_to_u64(pn_text text, uint64_t *value) {
    uint64_t n = 0;
    if (text.size == 0) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (!pn_text_is_digit(text.at[i])) return false;
        uint64_t digit = (uint64_t)(text.at[i] - '0');
        if (n > (UINT64_MAX - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *value = n;
    return true;
}

bool pn_text_next_member(pn_text *list, pn_text *member) {
    while (list->size > 0) {
        const char *comma = memchr(list->at, ',', list->size);
        size_t size = comma == NULL ? list->size : (size_t)(comma - list->at);
        *member = pn_text_trim(pn_text_make(list->at, size));
        size_t step = comma == NULL ? size : size + 1;
        list->at += step;
        list->size -= step;
        if (member->size > 0) return true;
    }
    return false;
}

static pn_text without_parameters(pn_text member) {
    const char *semicolon = memchr(member.at, ';', member.size);
    if (semicolon == NULL) return member;
    return pn_text_trim(pn_text_make(member.at, (size_t)(semicolon - member.at)));
}

bool pn_text_has_token(pn_text list, pn_text token) {
    pn_text member;
    while (pn_text_next_member(&list, &member)) {
        if (pn_text_equal_nocase(without_parameters(member), token)) return true;
    }
    return false;
}
