/* URLs: what is accepted, what is refused and why, RFC 3986's resolution examples, encoding round
 * trips. */
#include "net/url.h"

#include <string.h>

#include "base/err.h"
#include "memory/ledger.h"
#include "specs/c/test.h"

typedef struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_buf out;
} fixture;

static void open_fixture(fixture *f) {
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    pn_buf_init(&f->out, &f->ledger.door);
}

static void close_fixture(fixture *f) {
    pn_buf_close(&f->out);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

static bool is(pn_text text, const char *expected) {
    return pn_text_equal(text, pn_text_of(expected));
}

static int parse(pn_url *url, const char *text) {
    const char *why = NULL;
    int err = pn_url_parse(url, pn_text_of(text), &why);
    CHECK((err != 0) == (why != NULL));
    return err;
}

TEST(url_parts) {
    pn_url url;
    CHECK_EQ(parse(&url, "https://bob:p%40ss@Example.COM:8443/a/b?x=1&y#frag"), 0);
    CHECK_EQ(url.scheme, PN_URL_HTTPS);
    CHECK(is(url.userinfo, "bob:p%40ss"));
    CHECK(is(url.host, "Example.COM"));
    CHECK(url.has_port);
    CHECK_EQ(url.port, 8443);
    CHECK(is(url.path, "/a/b"));
    CHECK(is(url.query, "x=1&y"));
    CHECK(is(url.fragment, "frag"));
}

TEST(url_defaults) {
    pn_url url;
    CHECK_EQ(parse(&url, "http://h"), 0);
    CHECK_EQ(url.port, 80);
    CHECK(!url.has_port);
    CHECK(url.userinfo.at == NULL && url.query.at == NULL && url.path.size == 0);
    CHECK_EQ(parse(&url, "HTTPS://h:"), 0);
    CHECK_EQ(url.port, 443);
    CHECK_EQ(parse(&url, "http://h?"), 0);
    CHECK(url.query.at != NULL && url.query.size == 0);
}

TEST(url_ipv6) {
    pn_url url;
    CHECK_EQ(parse(&url, "http://[::1]:8080/x"), 0);
    CHECK(url.is_ipv6);
    CHECK(is(url.host, "::1"));
    CHECK_EQ(url.port, 8080);
    CHECK_EQ(parse(&url, "http://[fe80::1%25eth0]/"), 0);
    CHECK(is(url.host, "fe80::1%25eth0"));
}

TEST(url_unix) {
    pn_url url;
    CHECK_EQ(parse(&url, "http+unix://%2Frun%2Fx.sock/items?a"), 0);
    CHECK_EQ(url.scheme, PN_URL_UNIX);
    CHECK(is(url.host, "%2Frun%2Fx.sock"));
    CHECK(is(url.path, "/items"));
    CHECK_EQ(url.port, 0);
}

TEST(url_refused) {
    static const char *const bad[] = {
        "",
        "h",
        "/path",
        "//h/x",
        "ftp://h/",
        "http:/h",
        "http:h",
        "http://",
        "http:///x",
        "http://:80/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:8x/",
        "http://h:-1/",
        "http://h:80:80/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[zz]/",
        "http://[]/",
        "http://[1.2.3.4]/",
        "http://h/%",
        "http://h/%2",
        "http://h/%zz",
        "http://h/?%g0",
        "http://u%zz@h/",
        "http://a b/",
        "http://a\"b/",
        "http://a%41/",
        "http://h\xc3\xa9/",
        "http://h/a\nb",
        "http://h/a\x7f",
        "http://h/\ta",
        "http+unix:///x",
        "mailto:a@b",
        "http://h\\x/",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pn_url url;
        if (parse(&url, bad[i]) != PN_EBAD_URL)
            pn_test_fail(__FILE__, __LINE__, "passed: %s", bad[i]);
    }
}

TEST(url_with_nul_is_refused) {
    pn_url url;
    CHECK_EQ(pn_url_parse(&url, PN_TEXT("http://h/a\0b"), NULL), PN_EBAD_URL);
}

/* The limits at their edges: the whole text, and a host name. */
TEST(url_limits) {
    static char text[PN_URL_MAX_BYTES + 2];
    pn_url url;
    memset(text, 'a', sizeof text);
    memcpy(text, "http://h/", 9);
    CHECK_EQ(pn_url_parse(&url, pn_text_make(text, PN_URL_MAX_BYTES), NULL), 0);
    CHECK_EQ(pn_url_parse(&url, pn_text_make(text, PN_URL_MAX_BYTES + 1), NULL), PN_EBAD_URL);
    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    CHECK_EQ(pn_url_parse(&url, pn_text_make(text, 7 + PN_URL_HOST_BYTES), NULL), 0);
    CHECK_EQ(pn_url_parse(&url, pn_text_make(text, 8 + PN_URL_HOST_BYTES), NULL), PN_EBAD_URL);
}

TEST(url_every_port_edge) {
    pn_url url;
    CHECK_EQ(parse(&url, "http://h:1/"), 0);
    CHECK_EQ(parse(&url, "http://h:65535/"), 0);
    CHECK_EQ(url.port, 65535);
    CHECK_EQ(parse(&url, "http://h:00080/"), 0);
    CHECK_EQ(url.port, 80);
}

static void check_target(fixture *f, const char *text, const char *target) {
    pn_url url;
    CHECK_EQ(parse(&url, text), 0);
    pn_buf_clear(&f->out);
    CHECK(pn_url_write_target(&f->out, &url));
    CHECK_STR(pn_buf_text(&f->out), target);
}

TEST(url_target_encodes_what_may_not_stand) {
    fixture f;
    open_fixture(&f);
    check_target(&f, "http://h", "/");
    check_target(&f, "http://h?q=1", "/?q=1");
    check_target(&f, "http://h/a b/\"c\"?x=<y>", "/a%20b/%22c%22?x=%3Cy%3E");
    check_target(&f, "http://h/\xc3\xa9", "/%C3%A9");
    check_target(&f, "http://h/a%2Fb;v=1,2!$&'()*+=:@~-._", "/a%2Fb;v=1,2!$&'()*+=:@~-._");
    check_target(&f, "http://h/[x]|{y}", "/%5Bx%5D%7C%7By%7D");
    close_fixture(&f);
}

static void check_authority(fixture *f, const char *text, const char *authority) {
    pn_url url;
    CHECK_EQ(parse(&url, text), 0);
    pn_buf_clear(&f->out);
    CHECK(pn_url_write_authority(&f->out, &url));
    CHECK_STR(pn_buf_text(&f->out), authority);
}

TEST(url_authority) {
    fixture f;
    open_fixture(&f);
    check_authority(&f, "http://EXAMPLE.com:80/", "example.com");
    check_authority(&f, "http://example.com:443/", "example.com:443");
    check_authority(&f, "https://u:p@example.com:443/", "example.com");
    check_authority(&f, "http://[fe80::1%25eth0]:81/", "[fe80::1]:81");
    check_authority(&f, "http+unix://%2Fx/", "localhost");
    close_fixture(&f);
}

static void check_resolve(fixture *f, const char *base, const char *reference,
                          const char *expected) {
    pn_url url;
    CHECK_EQ(parse(&url, base), 0);
    pn_buf_clear(&f->out);
    int err = pn_url_resolve(&f->out, &url, pn_text_of(reference), NULL);
    if (err != 0) pn_test_fail(__FILE__, __LINE__, "%s: %s", reference, pn_err_text(err));
    CHECK_STR(pn_buf_text(&f->out), expected);
}

/* RFC 3986, 5.4.1 and 5.4.2. */
TEST(url_resolve_rfc_examples) {
    static const char *const cases[][2] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g#s/../x", "http://a/b/c/g"},
    };
    fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_resolve(&f, "http://a/b/c/d;p?q", cases[i][0], cases[i][1]);
    }
    close_fixture(&f);
}

TEST(url_resolve_other_bases) {
    fixture f;
    open_fixture(&f);
    check_resolve(&f, "https://a:8443", "x", "https://a:8443/x");
    check_resolve(&f, "https://a", "//b/c", "https://b/c");
    check_resolve(&f, "http://[::1]:80/a", "/b", "http://[::1]:80/b");
    check_resolve(&f, "http+unix://%2Fx.sock/a/b", "c", "http+unix://%2Fx.sock/a/c");
    check_resolve(&f, "http://a/b", "https://c:1/d/../e?f", "https://c:1/e?f");
    check_resolve(&f, "http://u:p@a/b", "/c", "http://a/c");
    close_fixture(&f);
}

TEST(url_resolve_refuses) {
    fixture f;
    open_fixture(&f);
    pn_url base;
    const char *why = NULL;
    CHECK_EQ(parse(&base, "http://a/b"), 0);
    CHECK_EQ(pn_url_resolve(&f.out, &base, PN_TEXT("javascript:alert(1)"), &why), PN_EBAD_URL);
    CHECK_EQ(pn_url_resolve(&f.out, &base, PN_TEXT("ftp://x/"), &why), PN_EBAD_URL);
    CHECK_EQ(pn_url_resolve(&f.out, &base, PN_TEXT("//"), &why), PN_EBAD_URL);
    CHECK_EQ(pn_url_resolve(&f.out, &base, PN_TEXT("/a\r\nX: y"), &why), PN_EBAD_URL);
    CHECK_EQ(f.out.size, 0);
    close_fixture(&f);
}

TEST(url_percent_round_trip) {
    fixture f;
    open_fixture(&f);
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    CHECK(pn_percent_encode(&f.out, pn_text_make(all, 256)));
    pn_buf back;
    pn_buf_init(&back, &f.ledger.door);
    CHECK(pn_percent_decode(&back, pn_text_make(f.out.data, f.out.size), false));
    CHECK_EQ(back.size, 256);
    CHECK_MEM(back.data, all, 256);
    CHECK(!pn_percent_decode(&back, PN_TEXT("a%4"), false));
    CHECK_EQ(back.size, 256);
    pn_buf_close(&back);
    close_fixture(&f);
}

TEST(url_forms) {
    fixture f;
    open_fixture(&f);
    CHECK(pn_buf_add_text(&f.out, "/x?"));
    size_t start = f.out.size;
    CHECK(pn_form_add(&f.out, start, PN_TEXT("a b"), PN_TEXT("1+1=2&")));
    CHECK(pn_form_add(&f.out, start, PN_TEXT("e"), PN_TEXT("")));
    CHECK_STR(pn_buf_text(&f.out), "/x?a+b=1%2B1%3D2%26&e=");
    pn_text form = PN_TEXT("&a=1&&b&c=d=e&"), name, value;
    CHECK(pn_form_next(&form, &name, &value) && is(name, "a") && is(value, "1"));
    CHECK(pn_form_next(&form, &name, &value) && is(name, "b") && value.size == 0);
    CHECK(pn_form_next(&form, &name, &value) && is(name, "c") && is(value, "d=e"));
    CHECK(!pn_form_next(&form, &name, &value));
    pn_buf_clear(&f.out);
    CHECK(pn_percent_decode(&f.out, PN_TEXT("a+b%2B"), true));
    CHECK_STR(pn_buf_text(&f.out), "a b+");
    close_fixture(&f);
}
