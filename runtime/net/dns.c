#include "net/dns.h"

#include <arpa/inet.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "net/url.h"

typedef struct lookup lookup;

/* A name that is remembered, or asked for. */
typedef struct entry {
    uint64_t expires_ns;
    lookup *running; /* NULL: addresses are there */
    pn_list waiting; /* queries */
    uint32_t turn;   /* of PN_DNS_ROUND_ROBIN */
    uint8_t count;
    pn_address addresses[PN_DNS_ADDRESSES_MAX];
} entry;

/* Outlives its resolver when it must. */
struct lookup {
    uv_getaddrinfo_t request;
    pn_io *io;
    pn_dns *dns; /* NULL: nobody waits any more */
    entry *entry;
    size_t name_size;
    char name[PN_URL_HOST_BYTES + 1];
};

typedef struct override {
    pn_address to;
    bool has_port;
} override;

struct pn_dns {
    pn_io *io;
    uint32_t references;
    pn_dns_options options;
    pn_smap overrides; /* "host", "host:port", "*.domain" -> override */
    pn_smap names;     /* -> entry */
    pn_rand chance;
};

/* ---- addresses ---- */

static bool parse_v6(pn_address *address, pn_text text, uint16_t port) {
    char host[INET6_ADDRSTRLEN + 32]; /* with a zone */
    if (text.size >= sizeof host) return false;
    memcpy(host, text.at, text.size);
    host[text.size] = '\0';
    return uv_ip6_addr(host, port, &address->v6) == 0;
}

static bool parse_v4(pn_address *address, pn_text text, uint16_t port) {
    char host[INET_ADDRSTRLEN];
    if (text.size >= sizeof host) return false;
    memcpy(host, text.at, text.size);
    host[text.size] = '\0';
    return uv_ip4_addr(host, port, &address->v4) == 0;
}

static bool parse_port(pn_text text, uint16_t *port) {
    uint64_t number;
    if (!pn_text_to_u64(text, &number) || number == 0 || number > UINT16_MAX) return false;
    *port = (uint16_t)number;
    return true;
}

bool pn_address_parse(pn_address *address, pn_text text, uint16_t port) {
    *address = (pn_address){0};
    if (text.size == 0) return false;
    if (text.at[0] == '[') {
        const char *close = memchr(text.at, ']', text.size);
        if (close == NULL) return false;
        pn_text host = pn_text_make(text.at + 1, (size_t)(close - text.at) - 1);
        pn_text rest = pn_text_make(close + 1, text.size - host.size - 2);
        if (rest.size > 0 && rest.at[0] != ':') return false;
        if (rest.size > 0 && !parse_port(pn_text_make(rest.at + 1, rest.size - 1), &port))
            return false;
        return parse_v6(address, host, port);
    }
    const char *colon = memchr(text.at, ':', text.size);
    if (colon == NULL) return parse_v4(address, text, port);
    size_t size = (size_t)(colon - text.at);
    pn_text rest = pn_text_make(colon + 1, text.size - size - 1);
    if (memchr(rest.at, ':', rest.size) != NULL) return parse_v6(address, text, port);
    return parse_port(rest, &port) && parse_v4(address, pn_text_make(text.at, size), port);
}

socklen_t pn_address_size(const pn_address *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

uint16_t pn_address_port(const pn_address *address) {
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static void set_port(pn_address *address, uint16_t port) {
    if (address->any.sa_family == AF_INET6) {
        address->v6.sin6_port = htons(port);
    } else {
        address->v4.sin_port = htons(port);
    }
}

/* ---- overrides ---- */

/* Names are compared in lower case. False when it cannot be one. */
static bool fold(pn_text text, char *out, size_t room, size_t *size) {
    if (text.size == 0 || text.size >= room) return false;
    for (size_t i = 0; i < text.size; i++) out[i] = pn_text_lower(text.at[i]);
    out[text.size] = '\0';
    *size = text.size;
    return true;
}

#define KEY_BYTES (PN_URL_HOST_BYTES + sizeof "*.:65535")

int pn_dns_add_override(pn_dns *dns, pn_text from, pn_text to) {
    char key[KEY_BYTES];
    size_t size;
    override made = {0};
    if (!fold(from, key, sizeof key, &size)) return PN_EBAD_CONFIG;
    if (!pn_address_parse(&made.to, to, 0)) return PN_EBAD_CONFIG;
    made.has_port = pn_address_port(&made.to) != 0;
    override *kept = pn_smap_get(&dns->overrides, key, size);
    if (kept == NULL) {
        kept = pn_mem_try(dns->io->ledger, sizeof *kept);
        if (kept == NULL) return PN_ENOMEM;
        if (pn_smap_set(&dns->overrides, key, size, kept) != 0) {
            pn_mem_free(dns->io->ledger, kept, sizeof *kept);
            return PN_ENOMEM;
        }
    }
    *kept = made;
    return 0;
}

static const override *find_key(const pn_dns *dns, const char *prefix, pn_text host,
                                uint16_t port) {
    char key[KEY_BYTES];
    int size = port == 0 ? snprintf(key, sizeof key, "%s%.*s", prefix, (int)host.size, host.at)
                         : snprintf(key, sizeof key, "%s%.*s:%u", prefix, (int)host.size, host.at,
                                    (unsigned)port);
    if (size <= 0 || (size_t)size >= sizeof key) return NULL;
    return pn_smap_get(&dns->overrides, key, (size_t)size);
}

static const override *find_either(const pn_dns *dns, const char *prefix, pn_text host,
                                   uint16_t port) {
    const override *found = find_key(dns, prefix, host, port);
    return found != NULL ? found : find_key(dns, prefix, host, 0);
}

/* The name itself, then the closest domain above it. */
static const override *find_override(const pn_dns *dns, pn_text host, uint16_t port) {
    if (dns->overrides.count == 0) return NULL;
    const override *found = find_either(dns, "", host, port);
    while (found == NULL) {
        const char *dot = memchr(host.at, '.', host.size);
        if (dot == NULL) return NULL;
        host = pn_text_make(dot + 1, host.size - (size_t)(dot + 1 - host.at));
        found = find_either(dns, "*.", host, port);
    }
    return found;
}

/* ---- answers ---- */

static bool is_preferred(pn_dns_policy policy, const pn_address *address) {
    bool is_v6 = address->any.sa_family == AF_INET6;
    if (policy == PN_DNS_PREFER_IPV4 || policy == PN_DNS_ONLY_IPV4) return !is_v6;
    if (policy == PN_DNS_PREFER_IPV6 || policy == PN_DNS_ONLY_IPV6) return is_v6;
    return true;
}

static bool is_strict(pn_dns_policy policy) {
    return policy == PN_DNS_ONLY_IPV4 || policy == PN_DNS_ONLY_IPV6;
}

static void append(pn_dns_query *query, const pn_address *address) {
    query->addresses[query->count] = *address;
    set_port(&query->addresses[query->count++], query->port);
}

/* The preferred family first, each from the place that the selection says. */
static void give(pn_dns *dns, entry *e, pn_dns_query *query) {
    uint32_t start = 0;
    if (dns->options.select == PN_DNS_ROUND_ROBIN) start = e->turn++;
    if (dns->options.select == PN_DNS_RANDOM && e->count > 1) {
        start = (uint32_t)pn_rand_below(&dns->chance, e->count);
    }
    query->count = 0;
    for (int wanted = 1; wanted >= 0; wanted--) {
        if (wanted == 0 && is_strict(dns->options.policy)) break;
        for (uint32_t i = 0; i < e->count; i++) {
            const pn_address *address = &e->addresses[(start + i) % e->count];
            if (is_preferred(dns->options.policy, address) == (wanted == 1)) append(query, address);
        }
    }
}

static void free_entry(pn_dns *dns, entry *e) {
    pn_assert(pn_list_empty(&e->waiting));
    if (e->running != NULL) {
        e->running->dns = NULL;
        uv_cancel((uv_req_t *)&e->running->request);
    }
    pn_mem_free(dns->io->ledger, e, sizeof *e);
}

static void forget(pn_dns *dns, const char *name, size_t size) {
    void *found;
    if (pn_smap_remove(&dns->names, name, size, &found)) free_entry(dns, found);
}

/* ---- lookups ---- */

static void store(entry *e, const struct addrinfo *list) {
    e->count = 0;
    for (; list != NULL && e->count < PN_DNS_ADDRESSES_MAX; list = list->ai_next) {
        bool fits = list->ai_family == AF_INET || list->ai_family == AF_INET6;
        if (!fits || list->ai_addrlen > sizeof(pn_address)) continue;
        memcpy(&e->addresses[e->count++], list->ai_addr, list->ai_addrlen);
    }
}

static uint64_t expiry(const pn_dns *dns) {
    uint64_t ttl_ns = dns->options.ttl_ns, now_ns = dns->io->now_ns;
    return ttl_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + ttl_ns;
}

/* Takes the waiting queries off first: an answer may ask again. */
static void answer_all(pn_dns *dns, entry *e, int err) {
    pn_list waiting;
    pn_list_init(&waiting);
    pn_list_splice(&waiting, &e->waiting);
    for (pn_list *at = waiting.next; at != &waiting; at = at->next) {
        pn_dns_query *query = PN_CONTAINER(at, pn_dns_query, link);
        if (err == 0) give(dns, e, query);
    }
    if (err != 0) err = PN_EDNS;
    pn_list *node;
    while ((node = pn_list_pop(&waiting)) != NULL) {
        pn_dns_query *query = PN_CONTAINER(node, pn_dns_query, link);
        query->on_answer(query, err == 0 && query->count == 0 ? PN_EDNS : err);
    }
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    lookup *l = request->data;
    pn_dns *dns = l->dns;
    pn_io *io = l->io;
    pn_io_read_clock(io);
    pn_io_drop(io);
    if (dns != NULL) {
        entry *e = l->entry;
        e->running = NULL;
        if (status == 0) store(e, list);
        e->expires_ns = expiry(dns);
        bool keep = status == 0 && dns->options.ttl_ns > 0;
        if (!keep) pn_smap_remove(&dns->names, l->name, l->name_size, NULL);
        answer_all(dns, e, status);
        if (!keep) free_entry(dns, e);
    }
    uv_freeaddrinfo(list);
    pn_mem_free(io->ledger, l, sizeof *l);
}

static int start_lookup(pn_dns *dns, entry *e, const char *name, size_t size) {
    lookup *l = pn_mem_try_zeroed(dns->io->ledger, sizeof *l);
    if (l == NULL) return PN_ENOMEM;
    l->request.data = l;
    l->io = dns->io;
    l->dns = dns;
    l->entry = e;
    l->name_size = size;
    memcpy(l->name, name, size);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int err = uv_getaddrinfo(&dns->io->loop, &l->request, on_found, l->name, NULL, &hints);
    if (err != 0) {
        pn_mem_free(dns->io->ledger, l, sizeof *l);
        return pn_io_err(err);
    }
    e->running = l;
    pn_io_hold(dns->io);
    return 0;
}

/* ---- the cache ---- */

static bool is_in_use(const entry *e) { return e->running != NULL || !pn_list_empty(&e->waiting); }

static void make_room(pn_dns *dns) {
    if (dns->names.count < PN_DNS_NAMES_MAX) return;
    uint32_t cursor = 0;
    pn_smap_entry *at;
    while ((at = pn_smap_next(&dns->names, &cursor)) != NULL) {
        if (is_in_use(at->value)) continue;
        forget(dns, at->key, at->size);
        cursor = 0; /* a removal moves others */
    }
}

static entry *add_entry(pn_dns *dns, const char *name, size_t size) {
    make_room(dns);
    if (dns->names.count >= PN_DNS_NAMES_MAX) return NULL;
    entry *e = pn_mem_try_zeroed(dns->io->ledger, sizeof *e);
    if (e == NULL) return NULL;
    pn_list_init(&e->waiting);
    if (pn_smap_set(&dns->names, name, size, e) != 0) {
        pn_mem_free(dns->io->ledger, e, sizeof *e);
        return NULL;
    }
    return e;
}

static int ask(pn_dns *dns, pn_dns_query *query, const char *name, size_t size) {
    entry *e = pn_smap_get(&dns->names, name, size);
    if (e != NULL && e->running == NULL && dns->io->now_ns >= e->expires_ns) {
        forget(dns, name, size);
        e = NULL;
    }
    if (e != NULL && e->running == NULL) {
        give(dns, e, query);
        return query->count == 0 ? PN_EDNS : 0;
    }
    if (e == NULL) {
        e = add_entry(dns, name, size);
        if (e == NULL) return PN_ENOMEM;
        int err = start_lookup(dns, e, name, size);
        if (err != 0) {
            forget(dns, name, size);
            return err;
        }
    }
    pn_list_push(&e->waiting, &query->link);
    return 1;
}

static bool give_numeric(pn_dns_query *query, pn_text host) {
    pn_address address;
    bool is_v6 = memchr(host.at, ':', host.size) != NULL;
    if (!(is_v6 ? parse_v6(&address, host, query->port) : parse_v4(&address, host, query->port))) {
        return false;
    }
    query->addresses[0] = address;
    query->count = 1;
    return true;
}

int pn_dns_resolve(pn_dns *dns, pn_dns_query *query, pn_text host, uint16_t port) {
    char name[PN_URL_HOST_BYTES + 1];
    size_t size;
    pn_list_init(&query->link);
    query->port = port;
    query->count = 0;
    if (!fold(host, name, sizeof name, &size)) return PN_EDNS;
    host = pn_text_make(name, size);
    const override *found = find_override(dns, host, port);
    if (found != NULL) {
        if (found->has_port) query->port = pn_address_port(&found->to);
        append(query, &found->to);
        return 0;
    }
    if (give_numeric(query, host)) return 0;
    return ask(dns, query, name, size);
}

void pn_dns_cancel(pn_dns_query *query) { pn_list_remove(&query->link); }

/* ---- the resolver ---- */

pn_dns *pn_dns_create(pn_io *io, const pn_dns_options *options) {
    pn_dns *dns = pn_mem_try_zeroed(io->ledger, sizeof *dns);
    if (dns == NULL) return NULL;
    dns->io = io;
    dns->references = 1;
    if (options != NULL) dns->options = *options;
    if (!dns->options.has_ttl) dns->options.ttl_ns = PN_DNS_TTL_NS;
    dns->chance.key = pn_rand_key(dns->options.seed, "dns", 0);
    pn_smap_init(&dns->overrides, &io->ledger->door);
    pn_smap_init(&dns->names, &io->ledger->door);
    return dns;
}

void pn_dns_grab(pn_dns *dns) { dns->references++; }

void pn_dns_release(pn_dns *dns) {
    if (dns == NULL) return;
    if (dns->references == 1) {
        pn_dns_destroy(dns);
    } else {
        dns->references--;
    }
}

void pn_dns_destroy(pn_dns *dns) {
    if (dns == NULL) return;
    pn_assert(dns->references == 1);
    uint32_t cursor = 0;
    pn_smap_entry *at;
    while ((at = pn_smap_next(&dns->names, &cursor)) != NULL) free_entry(dns, at->value);
    cursor = 0;
    while ((at = pn_smap_next(&dns->overrides, &cursor)) != NULL) {
        pn_mem_free(dns->io->ledger, at->value, sizeof(override));
    }
    pn_smap_close(&dns->names);
    pn_smap_close(&dns->overrides);
    pn_mem_free(dns->io->ledger, dns, sizeof *dns);
}
