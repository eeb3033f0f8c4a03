/*
 * err.h - the first kind of failure: what the world refuses.
 *
 * Every fallible C function returns 0 (or a count) on success and a negative code on failure. Codes
 * down to -4095 are negated errno values, exactly as libuv reports them; below that is our own
 * list, kept once in PN_ERR_MAP so that number, name and text cannot drift. The name is what Lua
 * gets as the third result (`nil, message, code`).
 */
#ifndef PN_BASE_ERR_H
#define PN_BASE_ERR_H

#include <stddef.h>

/* name in C, name in Lua, text */
#define PN_ERR_MAP(X)                                                                              \
    X(NOMEM, "no_memory", "out of memory")                                                         \
    X(TIMEOUT, "timeout", "timed out")                                                             \
    X(NOPROC, "noproc", "no such actor")                                                           \
    X(MAILBOX_FULL, "mailbox_full", "the mailbox is full")                                         \
    X(CALL_CYCLE, "call_cycle", "the call would wait for itself")                                  \
    X(EXITED, "exited", "the actor exited before it replied")                                      \
    X(BAD_REQUEST, "bad_request", "the request is not understood")                                 \
    X(TOO_LARGE, "too_large", "the value is over the size limit")                                  \
    X(TOO_DEEP, "too_deep", "the value is nested over the depth limit")                            \
    X(CANCELLED, "cancelled", "cancelled")                                                         \
    X(NAME_TAKEN, "name_taken", "the name is taken")                                               \
    X(NO_REPLY, "no_reply", "the request was dropped without a reply")                             \
    X(CLOSED, "closed", "closed")                                                                  \
    X(EOF, "eof", "end of file")                                                                   \
    X(BAD_JSON, "bad_json", "not valid JSON")                                                      \
    X(BAD_VALUE, "bad_value", "the value cannot be represented")                                   \
    X(BAD_UNIT, "bad_unit", "not a valid quantity")                                                \
    X(DNS, "dns", "the host name cannot be resolved")                                              \
    X(TLS, "tls", "TLS failed")                                                                    \
    X(TLS_UNKNOWN_AUTHORITY, "tls_unknown_authority", "the certificate is not trusted")            \
    X(TLS_HOSTNAME, "tls_hostname", "the certificate is for another host")                         \
    X(BAD_URL, "bad_url", "not a valid URL")                                                       \
    X(BAD_HTTP, "bad_http", "not a valid HTTP message")                                            \
    X(BAD_ENCODING, "bad_encoding", "the body cannot be decompressed")                             \
    X(TOO_MANY_REDIRECTS, "too_many_redirects", "too many redirects")                              \
    X(LIMIT, "limit", "a limit was reached")                                                       \
    X(BAD_CONFIG, "bad_config", "the configuration is not valid")                                  \
    X(EXISTS, "exists", "it exists already")                                                       \
    X(NOT_FOUND, "not_found", "it was not found")                                                  \
    X(STOPPED, "stopped", "the runtime is stopping")                                               \
    X(UNKNOWN, "unknown", "unknown error")

enum pn_err_index {
#define X(name, lua, text) PN__ERR_##name,
    PN_ERR_MAP(X)
#undef X
        PN__ERR_COUNT
};

#define PN_ERR_BASE (-5000) /* the first of our own codes; the others follow downwards */

enum pn_err {
    PN_OK = 0,
#define X(name, lua, text) PN_E##name = PN_ERR_BASE - (int)PN__ERR_##name,
    PN_ERR_MAP(X)
#undef X
};

/* The code's name: ours as in the list, libuv's and errno's in their own spelling ("ECONNREFUSED").
 * Static storage; "unknown" for a number that is in no list. */
const char *pn_err_name(int code);

/* The code's text, static or thread-local storage, never NULL. */
const char *pn_err_text(int code);

/* The code of one of our own names, or PN_EUNKNOWN. */
int pn_err_from_name(const char *name);

#endif
