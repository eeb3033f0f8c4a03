/*
 * stream.h - everything that flows is one thing: read, write, close, and `for x in stream`.
 *
 * A pn_flow is the Lua object; what it flows over is behind a table of functions: two actors'
 * streams here, HTTP bodies and server-sent events in bind/. Reads and writes may block the task.
 *
 * Actor streams carry values both ways with credit: a writer may be PN_STREAM_CREDIT values ahead
 * of the reader, or what the reader said when it opened the stream. Closing an end tells the other;
 * a reader's close (or its collection) cancels the writer at once; the death of either actor ends
 * the stream with code "exited".
 */
#ifndef PN_LUA_STREAM_H
#define PN_LUA_STREAM_H

#include "lua/codec.h"
#include "lua/task.h"

#define PN_STREAM_CREDIT     16
#define PN_STREAM_CREDIT_MAX 65536
#define PN_STREAM_REF        (1ULL << 63) /* marks the refs of streams among those of waits */

typedef struct pn_flow pn_flow;

typedef struct pn_flow_class {
    const char *name; /* "stream" */
    /* Push what read returns: a value; nil at the end; or nil, message, code. */
    int (*read)(lua_State *L, pn_flow *flow, uint64_t timeout_ns);
    /* The value is at index 2. Push true, or the triple. */
    int (*write)(lua_State *L, pn_flow *flow);
    /* Idempotent. message and code are NULL and 0 for a good end. */
    void (*close)(pn_flow *flow, const char *message, int code);
    /* The Lua object goes. */
    void (*free)(pn_flow *flow);
} pn_flow_class;

struct pn_flow {
    const pn_flow_class *class;
    pn_lua *lua;
    /* During close: the code as the script gave it, where it is none of ours. */
    const char *close_name;
};

/* Pushes a flow object over `flow`, which it owns from here on; raises without memory, `flow`
 * freed. */
void pn_flow_push(lua_State *L, pn_flow *flow);

/* The flow of the object at `index`; NULL when it is none. */
pn_flow *pn_flow_test(lua_State *L, int index);

/* stream(to, msg, credit): opens one by a request. Pushes the stream; or the triple. */
int pn_stream_open(lua_State *L, uint64_t timeout_ns, uint32_t credit);

/* req:stream(): answers a request with a stream. */
int pn_stream_answer(lua_State *L, pn_call *call);

void pn_streams_close(pn_lua *lua);

#endif
