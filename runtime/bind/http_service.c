/* What a worker has for requests: the client, and what was made from scripts' options. */
#include "bind/http.h"

#include "base/rand.h"

static void release_request(void *object) { pn_http_request_release(object); }

static void release_tls(void *object) { pn_tls_release(object); }

static void release_dns(void *object) { pn_dns_release(object); }

static void close_service(void *object) {
    pn_http_service *s = object;
    pn_ledger *ledger = s->io->ledger;
    pn_cache_close(&s->requests);
    if (s->client != NULL) pn_http_client_destroy(s->client);
    pn_cache_close(&s->tls);
    pn_cache_close(&s->resolvers);
    pn_dns_release(s->dns);
    pn_buf_close(&s->key);
    pn_buf_close(&s->text);
    pn_mem_free(ledger, s, sizeof *s);
}

static int open_service(pn_http_service *s, uint64_t seed) {
    s->dns = pn_dns_create(s->io, &(pn_dns_options){.seed = seed});
    if (s->dns == NULL) return PN_ENOMEM;
    pn_http_client_options options = {.dns = s->dns};
    return pn_http_client_create(s->io, &options, &s->client, NULL);
}

/* NULL without memory: nothing else can go wrong with these options. */
static pn_http_service *create_service(pn_io *io, uint64_t seed) {
    pn_alloc *door = &io->ledger->door;
    pn_http_service *s = pn_mem_try_zeroed(io->ledger, sizeof *s);
    if (s == NULL) return NULL;
    s->io = io;
    pn_cache_init(&s->requests, door, PN_HTTP_REQUESTS_MAX, release_request);
    pn_cache_init(&s->tls, door, PN_HTTP_TLS_MAX, release_tls);
    pn_cache_init(&s->resolvers, door, PN_HTTP_TLS_MAX, release_dns);
    pn_buf_init(&s->key, door);
    pn_buf_init(&s->text, door);
    if (open_service(s, seed) == 0) return s;
    close_service(s);
    return NULL;
}

pn_http_service *pn_http_service_of(lua_State *L) {
    pn_worker *worker = pn_lua_worker(pn_lua_of(L));
    pn_service *service = &worker->services[PN_SERVICE_HTTP];
    if (PN_LIKELY(service->object != NULL)) return service->object;
    uint64_t seed = pn_rand_key(worker->runtime->options.seed, "http", worker->index);
    pn_http_service *made = create_service(&worker->io, seed);
    if (made == NULL) pn_raise_code(L, PN_ENOMEM);
    *service = (pn_service){made, close_service};
    return made;
}
