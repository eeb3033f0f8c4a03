/*
 * dns.h - host names to addresses: overrides, numeric names, a cache, the system's resolver.
 *
 * An override comes first ("host[:port]" or "*.domain" to "address[:port]"), then a name that is an
 * address already, then the cache, then getaddrinfo on libuv's pool. Queries for one name share one
 * lookup. Answers live for the time to live (k6's default: 5 minutes); failures are not remembered.
 *
 * Ownership: a query is its caller's memory until it is answered or cancelled. Destroying the
 * resolver leaves lookups that run to themselves: they free what they hold when they come back, so
 * the io must be closed after it. Threads: the io's.
 */
#ifndef PN_NET_DNS_H
#define PN_NET_DNS_H

#include <netinet/in.h>

#include "base/rand.h"
#include "core/io.h"
#include "net/text.h"

#define PN_DNS_TTL_NS        (300ULL * 1000000000ULL)
#define PN_DNS_NAMES_MAX     4096 /* remembered; past it those not in use are forgotten */
#define PN_DNS_ADDRESSES_MAX 16   /* of one name */

typedef enum pn_dns_policy {
    PN_DNS_PREFER_IPV4,
    PN_DNS_PREFER_IPV6,
    PN_DNS_ONLY_IPV4,
    PN_DNS_ONLY_IPV6,
    PN_DNS_ANY,
} pn_dns_policy;

typedef enum pn_dns_select { PN_DNS_RANDOM, PN_DNS_ROUND_ROBIN, PN_DNS_FIRST } pn_dns_select;

typedef struct pn_dns_options {
    bool has_ttl;
    uint64_t ttl_ns; /* 0: nothing is remembered; UINT64_MAX: for ever */
    pn_dns_policy policy;
    pn_dns_select select;
    uint64_t seed; /* for PN_DNS_RANDOM */
} pn_dns_options;

typedef union pn_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} pn_address;

typedef struct pn_dns pn_dns;
typedef struct pn_dns_query pn_dns_query;

struct pn_dns_query {
    /* Set by the caller. `err` is 0, PN_EDNS or PN_ENOMEM. */
    void (*on_answer)(pn_dns_query *query, int err);
    /* The answer: in the order in which they should be tried. */
    uint8_t count;
    pn_address addresses[PN_DNS_ADDRESSES_MAX];
    /* The resolver's. */
    pn_list link;
    uint16_t port;
};

/* NULL without memory; options NULL: the defaults. The caller has the first reference. */
pn_dns *pn_dns_create(pn_io *io, const pn_dns_options *options);
void pn_dns_grab(pn_dns *dns);
void pn_dns_release(pn_dns *dns); /* NULL is fine; the last one destroys it */
void pn_dns_destroy(pn_dns *dns); /* nobody else has a reference, no query may be waiting */

/* `from`: "host", "host:port", "*.domain" or "*.domain:port"; `to`: an address with or without
 * port. The later one of two equal ones wins. PN_EBAD_CONFIG, PN_ENOMEM. */
int pn_dns_add_override(pn_dns *dns, pn_text from, pn_text to);

/* 0: the answer is in the query; 1: on_answer will tell; or PN_EDNS, PN_ENOMEM. */
int pn_dns_resolve(pn_dns *dns, pn_dns_query *query, pn_text host, uint16_t port);

/* on_answer will not come. Idempotent. */
void pn_dns_cancel(pn_dns_query *query);

/* An address in text, with "[v6]", with or without ":port" (the port is left alone without). False
 * when it is none. */
bool pn_address_parse(pn_address *address, pn_text text, uint16_t port);

socklen_t pn_address_size(const pn_address *address);
uint16_t pn_address_port(const pn_address *address);

#endif
