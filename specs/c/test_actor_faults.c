/*
 * Every allocation of Lua actors' lives fails once, and once together with the one after it, which
 * Lua does not recover from. Goal: an error each time, or the right result; never a crash or a
 * hang, nothing left behind (destroy asserts it). Method: a runtime of one worker runs a script as
 * its actor; the n-th allocation fails, n going up until nothing fails any more.
 *
 * Needs a build with PN_FAULTS.
 */
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "bind/bind.h"
#include "core/runtime.h"
#include "lua/spawn.h"
#include "test.h"

typedef struct attempt {
    pn_runtime *runtime;
    const char *script;
    bool stops_early; /* the runtime is stopped while the script waits */
    sem_t settled;    /* posted when it has ended, or has sent word that it waits for ever */
    int spawn_err;
    char reason[32], error[512];
} attempt;

/* ---- the actor that watches ---- */

static int watch_start(pn_actor *self, void *argument) {
    attempt *a = argument;
    self->state = a;
    self->is_waiting = true;
    pn_program *program =
        pn_program_source(self->worker, a->script, strlen(a->script), "=script", true);
    pn_spawn spawn = {
        .behaviour = &pn_lua_behaviour, .argument = program, .monitor = true, .on = -1};
    pn_pid pid;
    uint64_t ref;
    a->spawn_err =
        program == NULL ? PN_ENOMEM : pn_actor_spawn(self->worker, self, &spawn, &pid, &ref);
    if (a->spawn_err != 0) sem_post(&a->settled);
    return 0;
}

static void watch_run(pn_actor *self) {
    attempt *a = self->state;
    pn_msg *msg;
    while ((msg = pn_actor_receive(self)) != NULL) {
        if (msg->kind == PN_MSG_DOWN) {
            const char *error = msg->exit->error;
            snprintf(a->reason, sizeof a->reason, "%s", msg->exit->reason);
            snprintf(a->error, sizeof a->error, "%s", error != NULL ? error : "");
        }
        sem_post(&a->settled);
        pn_msg_destroy(self->worker, msg, PN_EBAD_REQUEST);
    }
}

static void watch_accept(pn_actor *self, pn_msg *msg) { pn_msg_destroy(self->worker, msg, 0); }

static void watch_nothing(pn_actor *self) { (void)self; }

static bool watch_can_receive(const pn_actor *self, const pn_call *chain) {
    (void)self, (void)chain;
    return true;
}

static const pn_behaviour watching = {
    .name = "watch",
    .start = watch_start,
    .run = watch_run,
    .accept = watch_accept,
    .interrupt = watch_nothing,
    .can_receive = watch_can_receive,
    .stop = watch_nothing,
};

static void begin_watch(pn_worker *worker, void *context) {
    attempt *a = context;
    pn_spawn spawn = {.behaviour = &watching, .argument = a, .on = -1};
    pn_pid pid;
    int err = pn_actor_spawn(worker, NULL, &spawn, &pid, NULL); /* it may have started already */
    if (err == 0) return;
    a->spawn_err = err;
    sem_post(&a->settled);
}

/* ---- one attempt ---- */

static int run_script(attempt *a) {
    ((pn_lua_shared *)a->runtime->lua)->open_request = pn_open_request;
    int err = pn_runtime_start(a->runtime);
    if (err != 0) return err;
    pn_job job = {.run = begin_watch, .context = a};
    pn_worker_post(&a->runtime->workers[0], &job);
    while (sem_wait(&a->settled) != 0) {}
    pn_runtime_stop(a->runtime);
    return a->spawn_err;
}

static int fail_nth(attempt *a, uint64_t n, uint64_t length, bool *has_failed) {
    pn_runtime_options options = {.workers = 1, .seed = 7, .is_seeded = true, .is_virtual = true};
    CHECK_EQ(pn_runtime_create(&a->runtime, &options), 0);
    sem_init(&a->settled, 0, 0);
    pn_heap_fail_run(a->runtime->heap, n, length);
    int err = pn_lua_open(a->runtime, pn_modules);
    if (err == 0) err = run_script(a);
    *has_failed = pn_heap_has_failed(a->runtime->heap);
    pn_heap_fail_at(a->runtime->heap, 0);
    pn_lua_close(a->runtime);
    pn_runtime_destroy(a->runtime);
    sem_destroy(&a->settled);
    return err;
}

/* An error must say that memory was short, or that somebody else has ended for it. */
static bool is_harmed(const attempt *a, int err) {
    if (err != 0) {
        CHECK_EQ(err, PN_ENOMEM);
        return true;
    }
    if (strcmp(a->reason, "normal") == 0) return false;
    bool is_stopped = a->reason[0] == '\0' || strcmp(a->reason, "shutdown") == 0;
    if (a->stops_early && is_stopped) return false; /* before its end was told, or after */
    static const char *const expected[] = {"memory", "exited before it replied", "no such actor",
                                           "stack overflow"}; /* how luaL_checkstack says it */
    bool is_told = false;
    for (int i = 0; i < 4; i++) is_told = is_told || strstr(a->error, expected[i]) != NULL;
    if (strcmp(a->reason, "error") != 0 || !is_told) {
        fprintf(stderr, "  %s: %s\n", a->reason, a->error);
    }
    CHECK_STR(a->reason, "error");
    CHECK(is_told);
    return true;
}

static void fail_all(const char *name, const char *script, bool stops_early) {
    for (uint64_t length = 1; length <= 2; length++) {
        unsigned long long harmed = 0, survived = 0;
        bool has_failed = true;
        for (uint64_t n = 1; has_failed; n++) {
            attempt a = {.script = script, .stops_early = stops_early};
            int err = fail_nth(&a, n, length, &has_failed);
            bool harm = is_harmed(&a, err);
            CHECK(has_failed || !harm);
            harmed += harm;
            survived += has_failed && !harm;
        }
        fprintf(stderr, "  %s: %llu allocations failed%s, %llu of them without harm\n", name,
                harmed + survived, length == 2 ? " with the next" : "", survived);
        CHECK_INT(harmed + survived, >, 0);
    }
}

static void need_faults(void) {
#ifndef PN_FAULTS
    pn_test_skip("needs a build with FAULTS=1");
#endif
}

/* ---- the scripts: each checks its own results ---- */

TEST(faults_spawn) {
    need_faults();
    fail_all("spawn",
             "local actor = require 'perilune.actor'\n"
             "local shared = { 1, { 2.5, 'text' }, [true] = actor.self() }\n"
             "local function child(parent, ...)\n"
             "  assert(select('#', ...) == 3 and shared[2][2] == 'text')\n"
             "  actor.send(parent, 'born')\n"
             "end\n"
             "local opts = { link = true, monitor = true, name = 'child', memory_limit = '8MB' }\n"
             "local pid, err, code, ref = actor.spawn(opts, child, actor.self(), 1, nil, 'x')\n"
             "assert(pid, err)\n"
             "assert(actor.receive('10s') == 'born')\n"
             "local down = assert(actor.receive('10s'))\n"
             "assert(down.ref == ref, down.error)\n"
             "assert(down.reason == 'normal', down.error)\n",
             false);
}

TEST(faults_send) {
    need_faults();
    fail_all("send",
             "local actor = require 'perilune.actor'\n"
             "local self = actor.self()\n"
             "local echo = assert(actor.spawn({ link = true }, function()\n"
             "  for message in actor.messages() do assert(actor.send(self, message)) end\n"
             "end))\n"
             "local values = { 1, 'text', 2.5, false, { a = { 'b', ('x'):rep(2000) } }, echo }\n"
             "for _, value in ipairs(values) do\n"
             "  assert(actor.send(echo, value))\n"
             "  local back = actor.receive('10s')\n"
             "  assert(type(back) == type(value))\n"
             "  assert(type(value) == 'table' or back == value)\n"
             "  assert(type(value) ~= 'table' or #back.a[2] == 2000)\n"
             "end\n"
             "assert(actor.register('self'))\n"
             "assert(actor.send('self', 1))\n"
             "assert(actor.receive_match(function(m) return m == 1 end, '10s') == 1)\n"
             "local full = assert(actor.spawn({ link = true, mailbox = { capacity = 1,\n"
             "  overflow = 'block' } }, function()\n"
             "    local sum = 0\n"
             "    for _ = 1, 5 do sum = sum + actor.receive() end\n"
             "    assert(actor.send(self, sum))\n"
             "  end))\n"
             "for i = 1, 5 do assert(actor.send(full, i)) end\n"
             "assert(actor.receive('10s') == 15)\n",
             false);
}

TEST(faults_call) {
    need_faults();
    fail_all("call",
             "local actor = require 'perilune.actor'\n"
             "local timer = require 'perilune.timer'\n"
             "local server = assert(actor.spawn({ link = true }, function()\n"
             "  actor.serve {\n"
             "    add = function(a, b) return a + b end,\n"
             "    fail = function() return nil, 'it fails', 'a_code' end,\n"
             "    wait = function() timer.sleep('1ms') return ('x'):rep(1000) end,\n"
             "  }\n"
             "end))\n"
             "local sum, err = actor.call(server, { 'add', 1, 2 })\n"
             "assert(sum == 3, err)\n"
             "local _, message, code = actor.call(server, { 'fail' })\n"
             "assert(code == 'a_code', message)\n"
             "local text, why = actor.call(server, { 'wait' }, { timeout = '1s' })\n"
             "assert(text, why)\n"
             "assert(#text == 1000)\n"
             "_, message, code = actor.call(server, { 'wait' }, { timeout = 0.0001 })\n"
             "assert(code == 'timeout', message)\n"
             "_, message, code = actor.call(server, { 'nothing' })\n"
             "assert(code == 'bad_request', message)\n",
             false);
}

TEST(faults_streams) {
    need_faults();
    fail_all("streams",
             "local actor = require 'perilune.actor'\n"
             "local writer = assert(actor.spawn({ link = true }, function()\n"
             "  local message, req = actor.receive()\n"
             "  local s = assert(req:stream())\n"
             "  for i = 1, message do assert(s:write { i }) end\n"
             "  s:close('the end', 'over')\n"
             "end))\n"
             "local s = assert(actor.stream(writer, 5, { credit = 2 }))\n"
             "for i = 1, 5 do\n"
             "  local value, err = s:read('10s')\n"
             "  assert(value, err)\n"
             "  assert(value[1] == i)\n"
             "end\n"
             "local _, message, code = s:read('10s')\n"
             "assert(code == 'over', message)\n",
             false);
}

TEST(faults_tasks) {
    need_faults();
    fail_all("tasks",
             "local actor = require 'perilune.actor'\n"
             "local timer = require 'perilune.timer'\n"
             "local tasks = {}\n"
             "for i = 1, 5 do\n"
             "  tasks[i] = actor.task(function(n) timer.sleep(n / 1000) return n end, i)\n"
             "end\n"
             "for i, result in ipairs(actor.wait_all(tasks)) do assert(result[1] == i) end\n"
             "local ticks = 0\n"
             "local t <close> = timer.every('1ms', function() ticks = ticks + 1 end)\n"
             "local co = coroutine.wrap(function() timer.sleep('5ms') return 'done' end)\n"
             "assert(co() == 'done')\n"
             "assert(ticks >= 4)\n"
             "local _, err, code = timer.with_timeout('1ms', timer.sleep, '1s')\n"
             "assert(code == 'timeout', err)\n",
             false);
}

TEST(faults_supervisor) {
    need_faults();
    fail_all("supervisor",
             "local actor = require 'perilune.actor'\n"
             "local sup, err = actor.supervisor { children = {\n"
             "  { id = 'a', name = 'echo', start = function()\n"
             "      actor.serve { echo = function(x) return x end }\n"
             "    end },\n"
             "} }\n"
             "assert(sup, err)\n"
             "local value, why = actor.call('echo', { 'echo', 7 })\n"
             "assert(value == 7, why)\n"
             "local list, why_not = actor.children(sup)\n"
             "assert(list, why_not)\n"
             "assert(#list == 1)\n",
             false);
}

/* Everything is stopped while it is under way, with things of every kind open. None of luv, which
 * itself loses a handle when there is no memory for its userdata. */
TEST(faults_shutdown) {
    need_faults();
    fail_all("shutdown",
             "local actor = require 'perilune.actor'\n"
             "local timer = require 'perilune.timer'\n"
             "local function child()\n"
             "  local function close() timer.sleep('1s') end\n"
             "  local closer = setmetatable({}, { __close = close })\n"
             "  local c <close> = closer\n"
             "  timer.every('1h', print)\n"
             "  actor.task(function() local d <close> = closer timer.sleep('1h') end)\n"
             "  actor.serve {}\n"
             "end\n"
             "for i = 1, 3 do\n"
             "  local pid = assert(actor.spawn({ link = true, name = 'child' .. i }, child))\n"
             "  actor.send(pid, i)\n"
             "  actor.task(actor.call, pid, { 'x' })\n"
             "  actor.stream(pid, { 'x' })\n"
             "end\n"
             "actor.send(actor.info().parent, 'waiting')\n"
             "actor.receive()\n",
             true);
}

/* Client and server share the memory that runs out: what the server then cannot do, the client is
 * told by a status or by the end of the connection. */
static const char http_script[] =
    "local http = require 'perilune.http'\n"
    "local timer = require 'perilune.timer'\n"
    "local server, why = http.serve { routes = {\n"
    "  ['GET /hello'] = function() return 200, 'hello' end,\n"
    "  ['GET /moved'] = function() return 302, nil, { Location = '/hello' } end,\n"
    "  ['POST /items/:id'] = function(req)\n"
    "    return 201, { id = req.params.id, got = req:json('a'), q = req.query.q }, { ['X-A'] = 1 "
    "}\n"
    "  end,\n"
    "  ['GET /large'] = function() return 200, ('x'):rep(100000) end,\n"
    "  ['GET /pieces'] = function(_, res)\n"
    "    local out = res:stream()\n"
    "    for i = 1, 5 do assert(out:write(('y'):rep(1000))) end\n"
    "  end,\n"
    "  ['GET /events'] = function(_, res) assert(res:sse():write { data = 'tick', id = '1' }) "
    "end,\n"
    "  ['PUT /upload'] = { stream = true, handler = function(req)\n"
    "    local size = 0\n"
    "    for piece in req.body do size = size + #piece end\n"
    "    return 200, tostring(size)\n"
    "  end },\n"
    "} }\n"
    "assert(server, why)\n"
    "local url = server.url\n"
    "local gave_up = { eof = true, bad_http = true, ECONNRESET = true, [500] = true, [503] = true "
    "}\n"
    "local function ask(status, method, path, options)\n"
    "  local res, err, code = http.request(method, url .. path, options)\n"
    "  if gave_up[code] or gave_up[res.status] then error('no memory at the server') end\n"
    "  if err then error(err) end\n"
    "  if res.status ~= status then error(path .. res.status) end\n"
    "  return res\n"
    "end\n"
    "assert(ask(200, 'GET', '/hello').body == 'hello')\n"
    "assert(ask(200, 'GET', '/moved').url == url .. '/hello')\n"
    "local made = ask(201, 'POST', '/items/7', { json = { a = 1 }, query = { q = 'a b' },\n"
    "  headers = { ['X-B'] = { 1, 2 } }, cookies = { c = 1 }, tags = { t = 'x' }, name = 'post' "
    "})\n"
    "assert(made:json('got') == 1 and made:json('q') == 'a b' and made.headers['x-a'] == '1')\n"
    "assert(#ask(200, 'GET', '/large').body == 100000)\n"
    "local res = ask(200, 'GET', '/pieces', { stream = true })\n"
    "local size = 0\n"
    "repeat\n"
    "  local piece, err, code = res.body:read()\n"
    "  if gave_up[code] then error('no memory at the server') end\n"
    "  if err then error(err) end\n"
    "  size = size + #(piece or '')\n"
    "until not piece\n"
    "assert(size == 5000)\n"
    "assert(ask(200, 'GET', '/events').body == 'id: 1\\ndata: tick\\n\\n')\n"
    "local left = 3\n"
    "assert(ask(200, 'PUT', '/upload', { body = function()\n"
    "  left = left - 1\n"
    "  if left >= 0 then return ('z'):rep(1000) end\n"
    "end }).body == '3000')\n"
    "local answers = http.batch { a = url .. '/hello', b = url .. '/hello' }\n"
    "for _, answer in pairs(answers) do\n"
    "  if gave_up[answer.status] or (answer.error or ''):find('server closed') then\n"
    "    error('no memory at the server')\n"
    "  end\n"
    "  if answer.error then error(answer.error) end\n"
    "  assert(answer.body == 'hello')\n"
    "end\n"
    "server:close()\n";

TEST(faults_http) {
    need_faults();
    fail_all("http", http_script, false);
}
