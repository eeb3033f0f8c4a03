/*
 * http.h - what the files of perilune.http share.
 *
 * A request goes through three hands. An options table is read into a pn_http_plan, from which the
 * request is found or made (http_options.c): requests are kept by content in a cache of the worker,
 * so that what is sent often is built once, whatever tables it comes from. The exchange runs in a
 * pn_transfer (http_transfer.c), C memory of the actor's ledger that its task owns while it waits.
 * What came becomes a pn_response (l_http_response.c), a userdata that holds head and body when
 * they are small, so that it needs no finalizer; a large body stays where it was read to, behind a
 * holder that has one.
 */
#ifndef PN_BIND_HTTP_H
#define PN_BIND_HTTP_H

#include "base/cache.h"
#include "base/decimal.h"
#include "bind/load.h"
#include "lua/stream.h"
#include "net/http_client.h"

#define PN_RESPONSE_CLASS "perilune.http.response"

/* ---- what a worker has for requests (http_service.c) ---- */

#define PN_HTTP_REQUESTS_MAX  1024  /* built requests that are remembered */
#define PN_HTTP_TLS_MAX       64    /* sets of TLS options, and of resolve tables */
#define PN_HTTP_KEY_BYTES_MAX 65536 /* a request with more of a head is built each time */

typedef struct pn_http_service {
    pn_io *io;
    pn_dns *dns;
    pn_http_client *client;
    pn_cache requests;  /* by content: pn_http_request */
    pn_cache tls;       /* by content: pn_tls */
    pn_cache resolvers; /* by content: pn_dns */
    pn_buf key;         /* scratch: of who uses it, until Lua may run */
    pn_buf text;
} pn_http_service;

/* The calling worker's, made when first needed. Raises. */
pn_http_service *pn_http_service_of(lua_State *L);

/* The TLS context of the options table at `index`; the cache holds it. 0; PN_EBAD_CONFIG, *why says
 * more, or PN_ENOMEM. Raises misuse (http_tls.c). */
int pn_http_tls_find(lua_State *L, pn_http_service *service, int index, bool is_server,
                     pn_tls **tls, const char **why);

/* ---- tables of names and values (http_fields.c) ---- */

#define PN_HTTP_FIELDS_MAX 256 /* of headers, a form, a query */

typedef struct pn_http_field {
    pn_text name, value;
    char digits[PN_DECIMAL_TEXT_BYTES];
} pn_http_field;

typedef struct pn_http_fields {
    size_t count;
    uint16_t order[PN_HTTP_FIELDS_MAX];
    pn_http_field at[PN_HTTP_FIELDS_MAX]; /* as they were found */
} pn_http_fields;

/* The i-th by name. */
static inline const pn_http_field *pn_http_fields_get(const pn_http_fields *fields, size_t i) {
    return &fields->at[fields->order[i]];
}

/* Reads the table at `index`, { name = value | { value, ... } }, sorted by name. No memory is
 * taken, so no finalizer runs; the texts live as long as the table is left alone. Raises what does
 * not fit, naming the option. */
void pn_http_fields_read(lua_State *L, int index, const char *option, pn_http_fields *fields);

/* Appends them as a form or query is written. */
bool pn_http_fields_write_form(const pn_http_fields *fields, pn_buf *out);

/* ---- the header table of responses and requests (http_headers_table.c) ---- */

/* Pushes a table of header lines: keys as "Content-Type", looked up in any case. */
void pn_http_push_headers(lua_State *L, pn_text lines);

/* ---- what a script asks for (http_options.c) ---- */

/* Of a response, unless the option body_limit says more. */
#define PN_HTTP_BODY_LIMIT_BYTES (256ULL << 20)

typedef enum pn_http_body {
    PN_HTTP_BODY_IS_NONE,
    PN_HTTP_BODY_IS_TEXT,     /* a string, at PN_HTTP_SLOT_BODY */
    PN_HTTP_BODY_IS_PRODUCER, /* called for each piece, at PN_HTTP_SLOT_BODY */
} pn_http_body;

/* Where request functions keep what on the stack. The first three stay while the task waits. */
enum {
    PN_HTTP_SLOT_URL = 1,
    PN_HTTP_SLOT_OPTIONS,
    PN_HTTP_SLOT_BODY,
    PN_HTTP_SLOT_METHOD, /* of request(); else nil */
    PN_HTTP_SLOT_JSON,
    PN_HTTP_SLOT_FORM,
    PN_HTTP_SLOT_HEADERS,
    PN_HTTP_SLOT_QUERY,
    PN_HTTP_SLOT_AUTH,
    PN_HTTP_SLOT_COOKIES,
    PN_HTTP_SLOT_TLS,
    PN_HTTP_SLOT_PROXY,
    PN_HTTP_SLOT_SOCKET,
    PN_HTTP_SLOT_RESOLVE,
    PN_HTTP_SLOT_TAGS,
    PN_HTTP_SLOT_NAME,
    PN_HTTP_SLOT_LAST = PN_HTTP_SLOT_NAME,
};

typedef struct pn_http_plan {
    pn_text method;
    uint64_t timeout_ns, connect_timeout_ns, first_byte_timeout_ns; /* 0: none */
    uint64_t body_limit_bytes;
    uint64_t upload_size; /* of a producer's body; UINT64_MAX: not known */
    uint32_t redirects_max;
    pn_http_body body;
    bool has_options, has_json, has_tags, streams;
    bool has_timeout;         /* `timeout` says how long all of it may take */
    const char *content_type; /* of a form or JSON; NULL */
} pn_http_plan;

/* Reads the options at PN_HTTP_SLOT_OPTIONS (may be nil) and makes the body. Raises. */
void pn_http_plan_read(lua_State *L, pn_http_plan *plan, pn_text method);

/* The request, with a reference for the caller. 0, or what the world refuses: *why says more, a
 * text that lives until the next call. Raises what is misuse. */
int pn_http_plan_request(lua_State *L, pn_http_plan *plan, pn_http_request **request,
                         const char **why);

/* ---- metrics (http_record.c) ---- */

#define PN_HTTP_TAGS_MAX 32 /* of one request; with the system's they fit a series of metrics.h */

typedef struct pn_http_tags pn_http_tags;

/* Raises what is misuse of the options `tags` and `name`; whether there are any. */
bool pn_http_tags_check(lua_State *L);

/* The request's own tags, from its options, which were checked: a copy. PN_ENOMEM. */
int pn_http_tags_read(lua_State *L, pn_http_tags **tags);
void pn_http_tags_free(pn_lua *lua, pn_http_tags *tags); /* NULL is fine */

/* Records what the transfer's last hop was. */
struct pn_transfer;
void pn_http_record(struct pn_transfer *transfer);

/* ---- a request under way (http_transfer.c) ---- */

typedef struct pn_transfer {
    pn_http_call call;
    pn_lua *lua;
    pn_task *task;                /* that waits for it; NULL */
    pn_http_request *request;     /* the first one */
    pn_http_tags *tags;           /* its own; NULL */
    const pn_labels *labels;      /* of the task that began it */
    const pn_scenario_run *run;   /* of the user that it is for; NULL */
    uint64_t late_ns;             /* of its iteration, which its first hop takes over */
    struct pn_download *download; /* the body is read as it comes; NULL */
    bool is_done, has_head;
    bool is_held; /* a Lua object owns it: a cancelled wait only ends it */
} pn_transfer;

/* Takes over the reference to the request. Raises without memory (and releases). */
pn_transfer *pn_transfer_create(lua_State *L, const pn_http_plan *plan, pn_http_request *request);
void pn_transfer_destroy(pn_transfer *transfer); /* ends it, wherever it is; NULL is fine */

/* The calling task waits for what comes next: done, head, room to write. `k` begins with
 * pn_transfer_woken. */
int pn_transfer_wait(lua_State *L, pn_transfer *transfer, lua_KContext context, lua_KFunction k);

/* The transfer that the continuation's task waited for, which the continuation owns from here on;
 * NULL: the wait was cancelled and the transfer is gone. */
pn_transfer *pn_transfer_woken(lua_State *L);

void pn_transfer_wake(pn_transfer *transfer); /* from the engine's callbacks */

#define PN_HTTP_ERROR_BYTES 512
#define PN_HTTP_URL_BYTES   1024

/* The URL without user and password, for people and metrics; one that had them is cut to `out`. */
pn_text pn_http_shown_url(pn_text url, char out[PN_HTTP_URL_BYTES]);

/* What went wrong, for people; "" if nothing did. */
void pn_transfer_describe(const pn_transfer *transfer, char out[PN_HTTP_ERROR_BYTES]);

/* ---- bodies that flow (http_inflow.c, http_download.c, http_upload.c) ---- */

/* Of a body that came and was not read: past that its sender waits. */
#define PN_HTTP_AHEAD_BYTES_MAX 65536

typedef struct pn_inflow pn_inflow;

typedef struct pn_inflow_source {
    void (*pause)(pn_inflow *in, bool is_on);
    int (*push_end)(lua_State *L, pn_inflow *in); /* nil, or the triple; 0: it goes on */
    void (*close)(pn_inflow *in);                 /* nobody reads any more */
    void (*free)(pn_inflow *in);                  /* the Lua object goes */
} pn_inflow_source;

struct pn_inflow {
    pn_flow flow;
    const pn_inflow_source *source;
    pn_buf buffer;   /* read, not taken */
    pn_task *reader; /* that waits; NULL */
    bool is_paused, is_closed;
};

extern const pn_flow_class pn_inflow_class;

void pn_inflow_init(pn_inflow *in, const pn_inflow_source *source, pn_lua *lua);
void pn_inflow_end(pn_inflow *in); /* closes it without telling the source; idempotent */
bool pn_inflow_add(pn_inflow *in, const char *data, size_t size); /* false: no memory */
void pn_inflow_wake(pn_inflow *in);
pn_inflow *pn_inflow_of(pn_flow *flow);

typedef struct pn_download {
    pn_inflow in;
    pn_transfer *transfer;
    pn_handle handle;
} pn_download;

int pn_download_create(pn_transfer *transfer);   /* PN_ENOMEM */
void pn_download_destroy(pn_download *download); /* NULL is fine */
void pn_download_on_body(pn_transfer *transfer, const char *data, size_t size);
void pn_download_on_done(pn_transfer *transfer);

/* The transfer behind a response's body stream at `index`; NULL when it is none. */
pn_transfer *pn_download_test(lua_State *L, int index);

/* Runs a request whose body is produced; returns as a request function. */
int pn_upload_run(lua_State *L, const pn_http_plan *plan);

/* ---- responses (l_http_response.c) ---- */

/* Pushes the response of a transfer that is over, or whose head is there; owns the transfer, also
 * when it raises. */
void pn_response_push(lua_State *L, pn_transfer *transfer);

/* Pushes a response for a request that was not begun. `url` is a stack index. */
void pn_response_push_failed(lua_State *L, int url, int err, const char *why);

/* The results of a request function: the response on top, and what is wrong. */
int pn_response_return(lua_State *L);

extern const pn_class pn_class_response, pn_class_http_body, pn_class_http_upload;

#endif
