/* Names: overrides and their precedence, addresses as they are, the cache, failures, ends at any
 * moment. */
#include "net/dns.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "net/url.h"
#include "specs/c/http_peer.h"

typedef struct ask {
    pn_dns_query query;
    int answers, err;
} ask;

static void on_answer(pn_dns_query *query, int err) {
    ask *a = (ask *)query;
    a->answers++;
    a->err = err;
}

static int resolve(pn_dns *dns, ask *a, const char *host, uint16_t port) {
    *a = (ask){.query = {.on_answer = on_answer}};
    return pn_dns_resolve(dns, &a->query, pn_text_of(host), port);
}

static const char *text_of(const ask *a, int i) {
    static char text[80];
    char host[INET6_ADDRSTRLEN];
    const pn_address *address = &a->query.addresses[i];
    if (address->any.sa_family == AF_INET6) {
        uv_ip6_name(&address->v6, host, sizeof host);
    } else {
        uv_ip4_name(&address->v4, host, sizeof host);
    }
    snprintf(text, sizeof text, "%s %u", host, (unsigned)pn_address_port(address));
    return text;
}

static void check(pn_dns *dns, const char *host, uint16_t port, const char *expected) {
    ask a;
    CHECK_EQ(resolve(dns, &a, host, port), 0);
    CHECK_EQ(a.query.count, 1);
    CHECK_STR(text_of(&a, 0), expected);
}

TEST(dns_addresses) {
    world w;
    world_open(&w);
    pn_dns *dns = pn_dns_create(&w.io, NULL);
    check(dns, "127.0.0.1", 80, "127.0.0.1 80");
    check(dns, "::1", 8080, "::1 8080");
    check(dns, "fe80::1%lo", 1, "fe80::1 1");
    ask a;
    CHECK_EQ(resolve(dns, &a, "", 80), PN_EDNS);
    pn_dns_destroy(dns);
    world_close(&w);
}

TEST(dns_address_text) {
    pn_address address;
    static const struct {
        const char *text;
        bool ok;
        uint16_t port;
    } cases[] = {
        {"1.2.3.4", true, 7},        {"1.2.3.4:80", true, 80},   {"::1", true, 7},
        {"[::1]", true, 7},          {"[::1]:99", true, 99},     {"", false, 0},
        {"1.2.3", false, 0},         {"1.2.3.4:", false, 0},     {"1.2.3.4:0", false, 0},
        {"1.2.3.4:65536", false, 0}, {"1.2.3.4:x", false, 0},    {"[::1", false, 0},
        {"[::1]x", false, 0},        {"[::1]:", false, 0},       {"host", false, 0},
        {"1.2.3.256", false, 0},     {"[1.2.3.4]:80", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool ok = pn_address_parse(&address, pn_text_of(cases[i].text), 7);
        if (ok != cases[i].ok) pn_test_fail(__FILE__, __LINE__, "%s", cases[i].text);
        if (ok) CHECK_EQ(pn_address_port(&address), cases[i].port);
    }
}

TEST(dns_overrides) {
    world w;
    world_open(&w);
    pn_dns *dns = pn_dns_create(&w.io, NULL);
    static const char *const overrides[][2] = {
        {"Host.example", "10.0.0.1"},   {"host.example:443", "10.0.0.2:8443"},
        {"*.example", "10.0.0.3"},      {"*.deep.example", "10.0.0.4"},
        {"*.example:99", "10.0.0.5:9"}, {"1.1.1.1", "10.0.0.6"},
        {"six.test", "[::2]:66"},
    };
    for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; i++) {
        CHECK_EQ(pn_dns_add_override(dns, pn_text_of(overrides[i][0]), pn_text_of(overrides[i][1])),
                 0);
    }
    check(dns, "host.EXAMPLE", 80, "10.0.0.1 80");
    check(dns, "host.example", 443, "10.0.0.2 8443");
    check(dns, "other.example", 80, "10.0.0.3 80");
    check(dns, "a.b.example", 80, "10.0.0.3 80");
    check(dns, "x.deep.example", 80, "10.0.0.4 80");
    check(dns, "other.example", 99, "10.0.0.5 9");
    check(dns, "1.1.1.1", 80, "10.0.0.6 80");
    check(dns, "six.test", 80, "::2 66");
    CHECK_EQ(pn_dns_add_override(dns, PN_TEXT("host.example"), PN_TEXT("10.0.0.9")), 0);
    check(dns, "host.example", 80, "10.0.0.9 80");
    CHECK_EQ(pn_dns_add_override(dns, PN_TEXT("x"), PN_TEXT("not-an-address")), PN_EBAD_CONFIG);
    CHECK_EQ(pn_dns_add_override(dns, PN_TEXT(""), PN_TEXT("10.0.0.1")), PN_EBAD_CONFIG);
    char longest[PN_URL_HOST_BYTES + 20];
    memset(longest, 'h', sizeof longest);
    CHECK_EQ(pn_dns_add_override(dns, pn_text_make(longest, sizeof longest), PN_TEXT("10.0.0.1")),
             PN_EBAD_CONFIG);
    pn_dns_destroy(dns);
    world_close(&w);
}

static void wait_for(world *w, ask *a) { RUN_UNTIL(w, a->answers > 0); }

TEST(dns_lookup_and_cache) {
    world w;
    world_open(&w);
    pn_dns *dns = pn_dns_create(&w.io, NULL);
    ask a, b, c;
    CHECK_EQ(resolve(dns, &a, "localhost", 80), 1);
    CHECK_EQ(resolve(dns, &b, "LOCALHOST", 81), 1); /* shares the lookup */
    wait_for(&w, &a);
    CHECK_EQ(b.answers, 1);
    CHECK_EQ(a.err, 0);
    CHECK_INT(a.query.count, >=, 1);
    CHECK_STR(text_of(&a, 0), "127.0.0.1 80"); /* IPv4 is preferred */
    CHECK_STR(text_of(&b, 0), "127.0.0.1 81");
    CHECK_EQ(resolve(dns, &c, "localhost", 82), 0); /* remembered */
    CHECK_STR(text_of(&c, 0), "127.0.0.1 82");
    pn_dns_destroy(dns);
    world_close(&w);
}

TEST(dns_time_to_live) {
    for (int i = 0; i < 2; i++) {
        world w;
        world_open(&w);
        pn_dns_options options = {.has_ttl = true, .ttl_ns = i == 0 ? 0 : 5000000};
        pn_dns *dns = pn_dns_create(&w.io, &options);
        ask a;
        CHECK_EQ(resolve(dns, &a, "localhost", 80), 1);
        wait_for(&w, &a);
        uint64_t got_ns = w.io.now_ns;
        if (i == 1) RUN_UNTIL(&w, w.io.now_ns > got_ns + 5000000);
        CHECK_EQ(resolve(dns, &a, "localhost", 80), 1); /* asked again */
        wait_for(&w, &a);
        CHECK_EQ(a.err, 0);
        pn_dns_destroy(dns);
        world_close(&w);
    }
}

TEST(dns_policies) {
    static const struct {
        pn_dns_policy policy;
        int family; /* of all answers; 0: any */
    } cases[] = {{PN_DNS_ONLY_IPV4, AF_INET}, {PN_DNS_ANY, 0}, {PN_DNS_PREFER_IPV6, 0}};
    for (size_t i = 0; i < 3; i++) {
        world w;
        world_open(&w);
        pn_dns_options options = {.policy = cases[i].policy, .select = (pn_dns_select)i};
        pn_dns *dns = pn_dns_create(&w.io, &options);
        ask a;
        CHECK_EQ(resolve(dns, &a, "localhost", 80), 1);
        wait_for(&w, &a);
        CHECK_EQ(a.err, 0);
        for (int n = 0; n < a.query.count; n++) {
            CHECK(cases[i].family == 0 || a.query.addresses[n].any.sa_family == cases[i].family);
        }
        pn_dns_destroy(dns);
        world_close(&w);
    }
}

TEST(dns_no_such_host) {
    world w;
    world_open(&w);
    pn_dns *dns = pn_dns_create(&w.io, NULL);
    for (int i = 0; i < 2; i++) { /* failures are not remembered */
        ask a;
        CHECK_EQ(resolve(dns, &a, "no-such-host.invalid", 80), 1);
        wait_for(&w, &a);
        CHECK_EQ(a.err, PN_EDNS);
        CHECK_EQ(a.query.count, 0);
    }
    char longest[PN_URL_HOST_BYTES + 2];
    memset(longest, 'h', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    ask a;
    CHECK_EQ(resolve(dns, &a, longest, 80), PN_EDNS);
    pn_dns_destroy(dns);
    world_close(&w);
}

TEST(dns_cancel_and_destroy_while_asking) {
    world w;
    world_open(&w);
    pn_dns *dns = pn_dns_create(&w.io, NULL);
    ask a, b;
    CHECK_EQ(resolve(dns, &a, "localhost", 80), 1);
    CHECK_EQ(resolve(dns, &b, "localhost", 80), 1);
    pn_dns_cancel(&a.query);
    pn_dns_cancel(&a.query);
    wait_for(&w, &b);
    CHECK_EQ(a.answers, 0);
    CHECK_EQ(resolve(dns, &a, "other-name.invalid", 80), 1);
    pn_dns_cancel(&a.query);
    pn_dns_destroy(dns); /* the lookup comes back to nobody */
    world_close(&w);
    CHECK_EQ(a.answers, 0);
}

/* The names remembered are bounded: past the limit those not in use are forgotten. */
TEST(dns_names_limit) {
    world w;
    world_open(&w);
    pn_dns *dns = pn_dns_create(&w.io, NULL);
    static ask asks[PN_DNS_NAMES_MAX + 1];
    char name[64];
    int pending = 0;
    for (int i = 0; i <= PN_DNS_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "n%d.invalid", i);
        int state = resolve(dns, &asks[i], name, 80);
        CHECK_EQ(state, i < PN_DNS_NAMES_MAX ? 1 : PN_ENOMEM); /* all are in use */
        pending += state == 1;
    }
    for (int i = 0; i < PN_DNS_NAMES_MAX; i++) pn_dns_cancel(&asks[i].query);
    CHECK_EQ(pending, PN_DNS_NAMES_MAX);
    pn_dns_destroy(dns);
    world_close(&w);
}
