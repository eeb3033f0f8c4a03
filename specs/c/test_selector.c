/* Selectors of metrics: k6's rules, and what is said of a bad one. */
#include "core/selector.h"

#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "test.h"

struct good {
    const char *text, *name;
    const char *tags; /* as "key=value;" by key */
};

static const struct good good[] = {
    {"http_reqs", "http_reqs", ""},
    {"", "", ""},
    {"http_reqs{status:200}", "http_reqs", "status=200;"},
    {"m{b:2,a:1}", "m", "a=1;b=2;"},
    {"m{ a : 1 ,\tb:2 }", "m", "a=1;b=2;"},
    {"m{\"a\":\"1\"}", "m", "a=1;"},
    {"m{'a':'x y'}", "m", "a=x y;"},
    {"m{a:\"'1'\"}", "m", "a=1;"},
    {"m{url:http://h:80/{id}}", "m", "url=http://h:80/{id};"},
    {"m{a:1,a:2}", "m", "a=2;"},
    {"m{group:::outer::inner}", "m", "group=::outer::inner;"},
};

static void print_tags(const pn_selector *s, char *out) {
    *out = '\0';
    for (uint32_t i = 0; i < s->count; i++) {
        const pn_tag *tag = &s->tags[i];
        strncat(out, tag->key, tag->key_size);
        strcat(out, "=");
        strncat(out, tag->value, tag->value_size);
        strcat(out, ";");
    }
}

TEST(selector_takes_what_k6_takes) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        pn_selector s;
        size_t at;
        const char *expected;
        char tags[256];
        CHECK_EQ(pn_selector_parse(good[i].text, strlen(good[i].text), &s, &at, &expected), 0);
        CHECK_EQ(s.name_size, strlen(good[i].name));
        CHECK_MEM(s.name, good[i].name, s.name_size);
        print_tags(&s, tags);
        CHECK_STR(tags, good[i].tags);
    }
}

struct bad {
    const char *text;
    size_t at;
    const char *expected;
};

static const struct bad bad[] = {
    {"m{a:1", 5, "a closing brace"},
    {"m{", 2, "a closing brace"},
    {"m}", 1, "an opening brace before the closing one"},
    {"m}a:1{", 1, "an opening brace before the closing one"},
    {"m{a:1}x", 6, "nothing after the closing brace"},
    {"m{a:1} ", 6, "nothing after the closing brace"},
    {"m{}", 2, "a tag as key:value"},
    {"m{a}", 2, "a tag as key:value"},
    {"m{a:1,}", 6, "a tag as key:value"},
    {"m{a:1,,b:2}", 6, "a tag as key:value"},
    {"m{a:1,b}", 6, "a tag as key:value"},
    {"m{a:}", 2, "a value after the colon"},
    {"m{a: }", 2, "a value after the colon"},
    {"m{a:''}", 2, "a value after the colon"},
    {"m{:1}", 2, "a key before the colon"},
    {"m{a:1, :2}", 6, "a key before the colon"},
};

TEST(selector_says_where_and_what_was_expected) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pn_selector s;
        size_t at = 999;
        const char *expected = "";
        int err = pn_selector_parse(bad[i].text, strlen(bad[i].text), &s, &at, &expected);
        CHECK_EQ(err, PN_EBAD_CONFIG);
        CHECK_STR(expected, bad[i].expected);
        CHECK_EQ(at, bad[i].at);
    }
}

TEST(selector_limits) {
    pn_selector s;
    size_t at;
    const char *expected;
    char text[PN_SELECTOR_MAX_BYTES + 1];
    memset(text, 'x', sizeof text);
    CHECK_EQ(pn_selector_parse(text, PN_SELECTOR_MAX_BYTES, &s, &at, &expected), 0);
    CHECK_EQ(pn_selector_parse(text, PN_SELECTOR_MAX_BYTES + 1, &s, &at, &expected), PN_ETOO_LARGE);
    CHECK_EQ(at, PN_SELECTOR_MAX_BYTES);
    char many[16 + PN_SELECTOR_TAGS_MAX * 8] = "m{";
    for (int i = 0; i < PN_SELECTOR_TAGS_MAX; i++) {
        strcat(many, (char[]){(char)('a' + i), ':', '1', ',', '\0'});
    }
    many[strlen(many) - 1] = '}';
    CHECK_EQ(pn_selector_parse(many, strlen(many), &s, &at, &expected), 0);
    CHECK_EQ(s.count, PN_SELECTOR_TAGS_MAX);
    strcpy(many + strlen(many) - 1, ",z:1}");
    CHECK_EQ(pn_selector_parse(many, strlen(many), &s, &at, &expected), PN_ETOO_LARGE);
    CHECK_STR(expected, "fewer tags");
}

TEST(selector_is_one_with_the_same_tags_in_any_order) {
    pn_selector a, b, c;
    size_t at;
    const char *expected;
    CHECK_EQ(pn_selector_parse("m{a:1,b:2}", 10, &a, &at, &expected), 0);
    CHECK_EQ(pn_selector_parse("m{b:2,a:1}", 10, &b, &at, &expected), 0);
    CHECK_EQ(pn_selector_parse("m{b:2,a:2}", 10, &c, &at, &expected), 0);
    CHECK(pn_selector_is(&a, &(pn_tags){b.tags, b.count}));
    CHECK(!pn_selector_is(&a, &(pn_tags){c.tags, c.count}));
    CHECK(!pn_selector_is(&a, &(pn_tags){b.tags, 1}));
    CHECK(pn_tags_have(&(pn_tags){b.tags, b.count}, a.tags, 1));
    CHECK(!pn_tags_have(&(pn_tags){b.tags, 1}, c.tags, 1));
    CHECK(pn_tags_have(&(pn_tags){NULL, 0}, a.tags, 0));
}

/* Whatever the bytes: no crash, and every slice lies in the text. */
TEST(selector_survives_random_bytes) {
    static const char alphabet[] = "m{}:,'\" \tab1";
    pn_rand rand = {.key = 4};
    for (int i = 0; i < 200000; i++) {
        char text[24];
        size_t size = pn_rand_below(&rand, sizeof text + 1);
        for (size_t k = 0; k < size; k++) {
            text[k] = alphabet[pn_rand_below(&rand, sizeof alphabet)]; /* its NUL as well */
        }
        pn_selector s;
        size_t at = 0;
        const char *expected = NULL;
        int err = pn_selector_parse(text, size, &s, &at, &expected);
        CHECK_INT(at, <=, size + 1);
        if (err != 0) CHECK(expected != NULL);
        for (uint32_t k = 0; err == 0 && k < s.count; k++) {
            CHECK(s.tags[k].key > text && s.tags[k].value > s.tags[k].key);
            CHECK(s.tags[k].value + s.tags[k].value_size < text + size);
            CHECK(s.tags[k].key_size > 0 && s.tags[k].value_size > 0);
        }
    }
}
