/* Routes: which pattern wins, what is refused, parameters, other methods. */
#include "net/http_router.h"

#include <llhttp.h>
#include <stdio.h>

#include "base/err.h"
#include "specs/c/test.h"

typedef struct fixture {
    pn_heap *heap;
    pn_ledger ledger;
    pn_http_router *router;
    pn_http_match match;
} fixture;

static void open_fixture(fixture *f, const char *const *patterns, size_t count) {
    const char *why;
    f->heap = pn_heap_create(false);
    pn_ledger_init_shared(&f->ledger, "test", f->heap);
    f->router = pn_http_router_create(&f->ledger);
    for (size_t i = 0; i < count; i++) {
        void *handler = (void *)(uintptr_t)patterns[i];
        CHECK_EQ(pn_http_router_add(f->router, pn_text_of(patterns[i]), handler, &why), 0);
    }
}

static void close_fixture(fixture *f) {
    pn_http_router_destroy(f->router);
    CHECK_EQ(pn_ledger_live(&f->ledger), 0);
    pn_heap_destroy(f->heap);
}

static const char *find(fixture *f, uint8_t method, const char *path) {
    int err = pn_http_router_find(f->router, method, pn_text_of(path), &f->match);
    return err == 0 ? f->match.handler : "none";
}

static void check_param(fixture *f, uint32_t i, const char *path, const char *name,
                        const char *value) {
    pn_text n, v;
    CHECK(pn_http_match_param(&f->match, i, pn_text_of(path), &n, &v));
    CHECK(pn_text_equal(n, pn_text_of(name)));
    CHECK(pn_text_equal(v, pn_text_of(value)));
}

TEST(router_precedence_and_way_back) {
    static const char *const patterns[] = {
        "GET /", "GET /a/b", "GET /a/:x", "GET /a/*", "GET /a/:x/c", "GET /a/b/d/e", "GET /:y/z",
    };
    fixture f;
    open_fixture(&f, patterns, 7);
    CHECK_STR(find(&f, HTTP_GET, "/"), "GET /");
    CHECK_STR(find(&f, HTTP_GET, "/a/b"), "GET /a/b");
    CHECK_STR(find(&f, HTTP_GET, "/a/q"), "GET /a/:x");
    check_param(&f, 0, "/a/q", "x", "q");
    CHECK_STR(find(&f, HTTP_GET, "/a/b/c"), "GET /a/:x/c");
    check_param(&f, 0, "/a/b/c", "x", "b");
    CHECK_STR(find(&f, HTTP_GET, "/a/b/d"), "GET /a/*");
    check_param(&f, 0, "/a/b/d", "*", "b/d");
    CHECK_EQ(f.match.param_count, 1);
    CHECK_STR(find(&f, HTTP_GET, "/a/"), "GET /a/*");
    check_param(&f, 0, "/a/", "*", "");
    CHECK_STR(find(&f, HTTP_GET, "/a/z"), "GET /a/:x");
    CHECK_STR(find(&f, HTTP_GET, "/b/z"), "GET /:y/z");
    CHECK_STR(find(&f, HTTP_GET, "/a"), "none");
    CHECK_STR(find(&f, HTTP_GET, "//z"), "none"); /* a parameter is not empty */
    CHECK_STR(find(&f, HTTP_GET, "x"), "none");
    CHECK_STR(find(&f, HTTP_GET, ""), "none");
    close_fixture(&f);
}

TEST(router_methods) {
    static const char *const patterns[] = {"GET /x", "POST /x", "* /any", "HEAD /own", "GET /own"};
    fixture f;
    open_fixture(&f, patterns, 5);
    CHECK_STR(find(&f, HTTP_HEAD, "/x"), "GET /x");
    CHECK_STR(find(&f, HTTP_HEAD, "/own"), "HEAD /own");
    CHECK_STR(find(&f, HTTP_DELETE, "/any"), "* /any");
    CHECK_STR(find(&f, HTTP_PUT, "/x"), "none");
    pn_buf out;
    pn_buf_init(&out, &f.ledger.door);
    CHECK(pn_http_write_allowed(&out, f.match.allowed));
    CHECK_STR(pn_buf_text(&out), "GET, HEAD, POST");
    pn_buf_close(&out);
    CHECK_STR(find(&f, HTTP_PUT, "/nothing"), "none");
    CHECK_EQ(f.match.allowed, 0);
    close_fixture(&f);
}

TEST(router_percent_encoding) {
    static const char *const patterns[] = {"GET /caf\xc3\xa9/:x", "GET /a b"};
    fixture f;
    open_fixture(&f, patterns, 2);
    CHECK_STR(find(&f, HTTP_GET, "/caf%C3%a9/a%2Fb"), "GET /caf\xc3\xa9/:x");
    check_param(&f, 0, "/caf%C3%a9/a%2Fb", "x", "a%2Fb");
    CHECK_STR(find(&f, HTTP_GET, "/a%20b"), "GET /a b");
    CHECK_STR(find(&f, HTTP_GET, "/a%20b%"), "none");
    CHECK_STR(find(&f, HTTP_GET, "/a%2"), "none");
    CHECK_STR(find(&f, HTTP_GET, "/a%20bc"), "none");
    close_fixture(&f);
}

TEST(router_refuses) {
    static const char *const bad[] = {"",         "GET",     "/x",       "GET x", "FETCH /x",
                                      "GET /*/x", "GET /a*", "GET /:/x", "get /x"};
    fixture f;
    const char *why;
    open_fixture(&f, NULL, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (pn_http_router_add(f.router, pn_text_of(bad[i]), &f, &why) != PN_EBAD_VALUE) {
            pn_test_fail(__FILE__, __LINE__, "passed: %s", bad[i]);
        }
        CHECK(why != NULL && why[0] != '\0');
    }
    CHECK_EQ(pn_http_router_add(f.router, PN_TEXT("GET /x/:a"), &f, &why), 0);
    CHECK_EQ(pn_http_router_add(f.router, PN_TEXT("GET /x/:b"), &f, &why), PN_EEXISTS);
    close_fixture(&f);
}

static size_t write_segments(char *text, const char *segment, size_t count) {
    size_t size = (size_t)sprintf(text, "GET ");
    for (size_t i = 0; i < count; i++) size += (size_t)sprintf(text + size, "/%s", segment);
    return size;
}

TEST(router_limits) {
    fixture f;
    const char *why;
    char text[2048];
    open_fixture(&f, NULL, 0);
    for (size_t over = 0; over <= 1; over++) {
        int expected = over ? PN_EBAD_VALUE : 0;
        size_t size = write_segments(text, ":p", PN_HTTP_PARAMS_MAX + over);
        CHECK_EQ(pn_http_router_add(f.router, pn_text_make(text, size), &f, &why), expected);
        size = write_segments(text, "s", PN_HTTP_SEGMENTS_MAX + over);
        CHECK_EQ(pn_http_router_add(f.router, pn_text_make(text, size), &f, &why), expected);
        memset(text, 'l', sizeof text);
        memcpy(text, "GET /", 5);
        pn_text pattern = pn_text_make(text, PN_HTTP_PATTERN_BYTES_MAX + over);
        CHECK_EQ(pn_http_router_add(f.router, pattern, &f, &why), expected);
    }
    close_fixture(&f);
}
