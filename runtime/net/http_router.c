#include "net/http_router.h"

#include <llhttp.h>

#include "base/err.h"
#include "net/http_headers.h"

#define ANY_METHOD 0xff

typedef struct node node;

/* One pattern's end. */
typedef struct pn__route {
    struct pn__route *next; /* of the same node */
    void *handler;
    uint8_t method; /* llhttp's, or ANY_METHOD */
    uint32_t param_count;
    pn_text names[PN_HTTP_PARAMS_MAX]; /* into text */
    size_t text_size;
    char text[];
} pn__route;

/* What may stand at one segment. */
struct node {
    node *next;     /* the parent's next literal */
    node *literals; /* children, in the order of adding */
    node *param;
    node *rest;
    pn__route *routes;
    size_t text_size;
    char text[]; /* of a literal, decoded */
};

struct pn_http_router {
    pn_ledger *ledger;
    node *root;
};

/* ---- memory ---- */

static node *create_node(pn_ledger *ledger, pn_text text) {
    node *n = pn_mem_try_zeroed(ledger, sizeof *n + text.size);
    if (n == NULL) return NULL;
    n->text_size = text.size;
    if (text.size > 0) memcpy(n->text, text.at, text.size);
    return n;
}

static void free_routes(pn_ledger *ledger, node *n) {
    while (n->routes != NULL) {
        pn__route *route = n->routes;
        n->routes = route->next;
        pn_mem_free(ledger, route, sizeof *route + route->text_size);
    }
}

/* As deep as patterns have segments, which is limited. */
static void free_node(pn_ledger *ledger, node *n) {
    if (n == NULL) return;
    while (n->literals != NULL) {
        node *child = n->literals;
        n->literals = child->next;
        free_node(ledger, child);
    }
    free_node(ledger, n->param);
    free_node(ledger, n->rest);
    free_routes(ledger, n);
    pn_mem_free(ledger, n, sizeof *n + n->text_size);
}

pn_http_router *pn_http_router_create(pn_ledger *ledger) {
    pn_http_router *router = pn_mem_try_zeroed(ledger, sizeof *router);
    if (router == NULL) return NULL;
    router->ledger = ledger;
    router->root = create_node(ledger, PN_TEXT_NONE);
    if (router->root != NULL) return router;
    pn_mem_free(ledger, router, sizeof *router);
    return NULL;
}

void pn_http_router_destroy(pn_http_router *router) {
    if (router == NULL) return;
    free_node(router->ledger, router->root);
    pn_mem_free(router->ledger, router, sizeof *router);
}

/* ---- adding ---- */

/* Takes "/segment" off the front of a path that begins with '/'. */
static pn_text take_segment(pn_text *path) {
    pn_text segment = pn_text_make(path->at + 1, path->size - 1);
    const char *slash = memchr(segment.at, '/', segment.size);
    if (slash != NULL) segment.size = (size_t)(slash - segment.at);
    path->at += segment.size + 1;
    path->size -= segment.size + 1;
    return segment;
}

static bool is_rest(pn_text segment) { return segment.size == 1 && segment.at[0] == '*'; }

static bool is_param(pn_text segment) { return segment.size > 1 && segment.at[0] == ':'; }

static int parse_method(pn_text name, uint8_t *method) {
    if (pn_text_equal(name, PN_TEXT("*"))) {
        *method = ANY_METHOD;
        return 0;
    }
    for (int i = 0; i <= HTTP_SOURCE; i++) {
        if (!pn_text_equal(name, pn_text_of(llhttp_method_name((llhttp_method_t)i)))) continue;
        *method = (uint8_t)i;
        return 0;
    }
    return PN_EBAD_VALUE;
}

static const char *check_path(pn_text path) {
    size_t segments = 0, params = 0;
    if (path.size == 0 || path.at[0] != '/') return "the path does not begin with '/'";
    while (path.size > 0) {
        pn_text segment = take_segment(&path);
        segments++;
        params += is_param(segment) || is_rest(segment);
        if (is_rest(segment) && path.size > 0) return "'*' is not the last segment";
        if (segment.size == 1 && segment.at[0] == ':') return "a parameter has no name";
        if (!is_rest(segment) && memchr(segment.at, '*', segment.size) != NULL) {
            return "'*' stands within a segment";
        }
    }
    if (segments > PN_HTTP_SEGMENTS_MAX) return "more than 64 segments";
    return params > PN_HTTP_PARAMS_MAX ? "more than 16 parameters" : NULL;
}

static node *add_literal(pn_ledger *ledger, node *parent, pn_text segment) {
    node **at = &parent->literals;
    for (; *at != NULL; at = &(*at)->next) {
        if (pn_text_equal(pn_text_make((*at)->text, (*at)->text_size), segment)) return *at;
    }
    *at = create_node(ledger, segment);
    return *at;
}

static node *add_child(pn_ledger *ledger, node *parent, pn_text segment) {
    if (!is_rest(segment) && !is_param(segment)) return add_literal(ledger, parent, segment);
    node **at = is_rest(segment) ? &parent->rest : &parent->param;
    if (*at == NULL) *at = create_node(ledger, PN_TEXT_NONE);
    return *at;
}

static node *add_path(pn_http_router *router, pn_text path) {
    node *n = router->root;
    while (path.size > 0 && n != NULL) n = add_child(router->ledger, n, take_segment(&path));
    return n;
}

static void name_params(pn__route *route) {
    pn_text path = pn_text_make(route->text, route->text_size);
    while (path.size > 0) {
        pn_text segment = take_segment(&path);
        if (is_param(segment)) segment = pn_text_make(segment.at + 1, segment.size - 1);
        else if (!is_rest(segment)) continue;
        route->names[route->param_count++] = segment;
    }
}

int pn_http_router_add(pn_http_router *router, pn_text pattern, void *handler, const char **why) {
    uint8_t method;
    *why = "";
    const char *space = memchr(pattern.at, ' ', pattern.size);
    *why = "the pattern is not \"METHOD /path\"";
    if (space == NULL || pattern.size > PN_HTTP_PATTERN_BYTES_MAX) return PN_EBAD_VALUE;
    size_t method_size = (size_t)(space - pattern.at);
    pn_text path = pn_text_trim(pn_text_make(space + 1, pattern.size - method_size - 1));
    *why = "the method is not known";
    if (parse_method(pn_text_make(pattern.at, method_size), &method) != 0) return PN_EBAD_VALUE;
    *why = check_path(path);
    if (*why != NULL) return PN_EBAD_VALUE;
    *why = "";
    node *n = add_path(router, path);
    if (n == NULL) return PN_ENOMEM;
    pn__route **at = &n->routes;
    for (; *at != NULL; at = &(*at)->next) {
        if ((*at)->method == method) return PN_EEXISTS;
    }
    pn__route *route = pn_mem_try_zeroed(router->ledger, sizeof *route + path.size);
    if (route == NULL) return PN_ENOMEM;
    route->handler = handler;
    route->method = method;
    route->text_size = path.size;
    memcpy(route->text, path.at, path.size);
    name_params(route);
    *at = route;
    return 0;
}

/* ---- finding ---- */

typedef struct search {
    uint8_t method;
    const char *start; /* of the path */
    pn_http_match *match;
} search;

/* Whether the raw segment, percent-decoded, is the literal. */
static bool is_literal(const node *n, pn_text raw) {
    size_t j = 0;
    if (raw.size < n->text_size) return false;
    for (size_t i = 0; i < raw.size; i++, j++) {
        if (j == n->text_size) return false;
        char c = raw.at[i];
        if (c == '%' && raw.size - i > 2) {
            int high = pn_text_hex(raw.at[i + 1]), low = pn_text_hex(raw.at[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            }
        }
        if (c != n->text[j]) return false;
    }
    return j == n->text_size;
}

static void push_param(search *s, pn_text value) {
    uint32_t i = s->match->param_count++;
    s->match->params[i].at = (uint32_t)(value.at - s->start);
    s->match->params[i].size = (uint32_t)value.size;
}

/* The path ends here: has the node the method? */
static bool accept(search *s, const node *n) {
    const pn__route *for_get = NULL, *for_any = NULL;
    for (const pn__route *route = n->routes; route != NULL; route = route->next) {
        if (route->method == s->method) {
            s->match->route = route;
            return true;
        }
        if (route->method == HTTP_GET) for_get = route;
        if (route->method == ANY_METHOD) for_any = route;
        if (route->method != ANY_METHOD) s->match->allowed |= 1ULL << route->method;
    }
    if (for_get != NULL) s->match->allowed |= 1ULL << HTTP_HEAD;
    s->match->route = s->method == HTTP_HEAD && for_get != NULL ? for_get : for_any;
    return s->match->route != NULL;
}

static bool walk(search *s, const node *n, pn_text path) {
    if (path.size == 0) return accept(s, n);
    pn_text whole = path, segment = take_segment(&path);
    for (const node *child = n->literals; child != NULL; child = child->next) {
        if (is_literal(child, segment) && walk(s, child, path)) return true;
    }
    uint32_t params = s->match->param_count;
    if (n->param != NULL && segment.size > 0) {
        push_param(s, segment);
        if (walk(s, n->param, path)) return true;
        s->match->param_count = params;
    }
    if (n->rest == NULL) return false;
    push_param(s, pn_text_make(whole.at + 1, whole.size - 1));
    if (accept(s, n->rest)) return true;
    s->match->param_count = params;
    return false;
}

int pn_http_router_find(const pn_http_router *router, uint8_t method, pn_text path,
                        pn_http_match *match) {
    match->route = NULL;
    match->handler = NULL;
    match->param_count = 0;
    match->allowed = 0;
    search s = {.method = method, .start = path.at, .match = match};
    if (path.size == 0 || path.at[0] != '/' || !walk(&s, router->root, path)) return PN_ENOT_FOUND;
    match->handler = match->route->handler;
    return 0;
}

bool pn_http_match_param(const pn_http_match *match, uint32_t i, pn_text path, pn_text *name,
                         pn_text *value) {
    if (match->route == NULL || i >= match->param_count) return false;
    *name = match->route->names[i];
    *value = pn_text_make(path.at + match->params[i].at, match->params[i].size);
    return true;
}

bool pn_http_write_allowed(pn_buf *out, uint64_t allowed) {
    const char *separator = "";
    for (int i = 0; i <= HTTP_SOURCE; i++) {
        if ((allowed >> i & 1) == 0) continue;
        pn_buf_add_text(out, separator);
        pn_buf_add_text(out, llhttp_method_name((llhttp_method_t)i));
        separator = ", ";
    }
    return !out->failed;
}
