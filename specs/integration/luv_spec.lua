local actor = require "perilune.actor"
local process = require "perilune.process"
local timer = require "perilune.timer"
local support = require "specs.support"
local uv = require "luv"

local PERILUNE, eventually = support.perilune, support.eventually

local function count_fds()
  local count, request = 0, assert(uv.fs_scandir("/proc/self/fd"))
  while uv.fs_scandir_next(request) do count = count + 1 end
  return count
end

-- What a callback gets: wait(...) returns the arguments of the call of `callback`.
local function promise()
  local self, results = actor.self(), nil
  local mark = {}
  local function callback(...)
    results = table.pack(...)
    actor.send(self, tostring(mark))
  end
  return callback, function()
    assert(actor.receive_match(function(message) return message == tostring(mark) end, "30s"))
    return table.unpack(results, 1, results.n)
  end
end

local function is_open(message) return message == "open" end

-- Runs `fn(...)` in an actor; returns its `down` message.
local function end_of(options, fn, ...)
  options.monitor = true
  local _, _, _, ref = assert(actor.spawn(options, fn, ...))
  return assert(actor.receive_match(function(message, req)
    return req == actor.SYSTEM and message.ref == ref
  end, "60s"))
end

-- Runs `fn(...)` in an actor of its own and returns what it returns.
local function in_actor(fn, ...)
  local pid = assert(actor.spawn(function(body, ...)
    local results = table.pack(body(...))
    local _, req = actor.receive()
    req:reply(results)
  end, fn, ...))
  local results, err = actor.call(pid, "results", { timeout = "60s" })
  assert(results, err)
  return table.unpack(results, 1, results.n)
end

local function exec(script, ...)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(script)
  file:close()
  local words = { PERILUNE, "exec", ... }
  table.insert(words, path)
  local proc <close> = assert(process.spawn(words))
  local code, err = proc:wait("60s")
  os.remove(path)
  return { code = code, err_wait = err, out = proc:output("stdout"), err = proc:output("stderr") }
end

describe("a luv timer", function()
  it("fires, not before its time", function()
    local start = uv.hrtime()
    local callback, wait = promise()
    local t = uv.new_timer()
    t:start(5, 0, callback)
    wait()
    assert.is_true(uv.hrtime() - start >= 4e6) -- libuv counts whole milliseconds
    t:close()
  end)

  it("fires not before its time when the loop had been idle for long", function()
    timer.sleep("40ms")
    local start = uv.hrtime()
    local callback, wait = promise()
    local t = uv.new_timer()
    t:start(30, 0, callback)
    wait()
    assert.is_true(uv.hrtime() - start >= 29e6)
    t:close()
  end)

  it("fires not before its time when the task has worked for long since it last waited", function()
    uv.hrtime()
    local start = uv.hrtime()
    while uv.hrtime() - start < 20e6 do end
    start = uv.hrtime()
    local callback, wait = promise()
    local t = uv.new_timer()
    t:start(10, 0, callback)
    wait()
    assert.is_true(uv.hrtime() - start >= 9e6)
    t:close()
  end)

  it("repeats until it is stopped", function()
    local callback, wait = promise()
    local count, t = 0, uv.new_timer()
    t:start(0, 1, function()
      count = count + 1
      if count == 5 then
        t:stop()
        callback()
      end
    end)
    wait()
    timer.sleep("5ms")
    assert.equal(5, count)
    t:close()
  end)

  it("fires while it is not referenced", function()
    local callback, wait = promise()
    local t = uv.new_timer()
    t:start(1, 0, callback)
    t:unref()
    eventually(function() return not uv.loop_alive() end, "a loop that is not alive")
    wait()
    t:close()
  end)

  it("that is closed by one before it does not fire", function()
    local callback, wait = promise()
    local fired, a, b = false, uv.new_timer(), uv.new_timer()
    a:start(2, 0, function()
      a:close()
      b:close(callback)
    end)
    b:start(2, 0, function() fired = true end)
    wait()
    assert.is_false(fired)
  end)
end)

describe("luv callbacks", function()
  it("begin in order, and one that blocks does not hold up the next", function()
    local log, callback, wait = {}, promise()
    local handles = {}
    for i = 1, 3 do
      handles[i] = uv.new_timer()
      handles[i]:start(1, 0, function()
        log[#log + 1] = "begin " .. i
        if i == 1 then timer.sleep("5ms") end
        log[#log + 1] = "end " .. i
        handles[i]:close()
        if i == 1 then callback() end
      end)
    end
    wait()
    assert.same({ "begin 1", "begin 2", "end 2", "begin 3", "end 3", "end 1" }, log)
  end)

  it("may call other actors, and receive", function()
    local pid = actor.spawn(function() actor.serve { double = function(n) return 2 * n end } end)
    local callback, wait = promise()
    local t = uv.new_timer()
    t:start(0, 0, function() callback(actor.call(pid, { "double", 21 })) end)
    assert.equal(42, (wait()))
    t:close()
    actor.exit(pid, "shutdown")
  end)

  it("may resume coroutines that wait for them", function()
    local result
    local callback, wait = promise()
    coroutine.wrap(function()
      local co = coroutine.running()
      uv.fs_stat("/", function(err, stat) coroutine.resume(co, err, stat) end)
      local err, stat = coroutine.yield()
      result = err or stat.type
      callback()
    end)()
    wait()
    assert.equal("directory", result)
  end)

  it("that raise end the actor, with their traceback", function()
    local down = end_of({}, function()
      local function in_callback() error("boom") end
      local t = require("luv").new_timer()
      t:start(0, 0, function() in_callback() end)
      actor.receive()
    end)
    assert.equal("error", down.reason)
    assert.matches("luv_spec%.lua:%d+: boom$", down.error)
    assert.matches("in_callback", down.traceback)
  end)

  it("that do not end are pre-empted", function()
    local self = actor.self()
    local options = { on = actor.info().worker }
    local pid = actor.spawn(options, function()
      local t = require("luv").new_timer()
      t:start(0, 0, function()
        actor.send(self, "runs")
        while true do end
      end)
      actor.receive()
    end)
    assert.equal("runs", actor.receive("30s"))
    for _ = 1, 5 do timer.sleep("1ms") end
    actor.exit(pid, "kill")
  end)

  it("are bounded in number: then the loop pauses", function()
    local begun, waiting = in_actor(function()
      local uv_here = require "luv"
      local count, idle = 0, uv_here.new_idle()
      idle:start(function()
        count = count + 1
        actor.receive_match(function(message) return message == "go" end)
      end)
      local seen
      repeat
        seen = count
        timer.sleep("2ms")
      until count == seen and count > 0
      local before = count
      for _ = 1, 10 do actor.send(actor.self(), "go") end
      repeat
        seen = count
        timer.sleep("2ms")
      until count == seen and count > before
      idle:close()
      return before, count
    end)
    assert.equal(1024, begun)
    assert.equal(1034, waiting)
  end)

  it("count for the actor's memory limit", function()
    local down = end_of({ memory_limit = "1MB" }, function()
      local uv_here, kept = require "luv", {}
      local t = uv_here.new_timer()
      t:start(0, 1, function()
        for _ = 1, 100 do kept[#kept + 1] = ("x"):rep(10000) .. #kept end
      end)
      actor.receive()
    end)
    assert.equal("error", down.reason)
    assert.matches("not enough memory", down.error)
  end)

  it("get data beyond the memory limit once, and no more", function()
    local server, is_gone = uv.new_tcp(), false
    server:bind("127.0.0.1", 0)
    server:listen(1, function()
      local peer = uv.new_tcp()
      server:accept(peer)
      peer:write(("x"):rep(4000000), function() peer:close(function() is_gone = true end) end)
    end)
    local down = end_of({ memory_limit = "512KB" }, function(port)
      local kept, client = {}, require("luv").new_tcp()
      client:connect("127.0.0.1", port, function(err)
        assert(not err, err)
        client:read_start(function(_, data) kept[#kept + 1] = data end)
      end)
      actor.receive()
    end, server:getsockname().port)
    assert.equal("error", down.reason)
    eventually(function() return is_gone end, "the end of the connection")
    server:close()
  end)

  it("serve no request, so they do not inherit its deadline", function()
    local pid = actor.spawn(function()
      local uv_here = require "luv"
      local t = uv_here.new_timer()
      actor.serve { start = function()
        t:start(1, 0, function() timer.sleep("20ms") actor.send("luv spec", "late, but there") end)
        return true
      end }
    end)
    actor.register("luv spec")
    assert.is_true(actor.call(pid, { "start" }, { timeout = "10s" }))
    assert.equal("late, but there", actor.receive("30s"))
    actor.unregister()
    actor.exit(pid, "shutdown")
  end)
end)

describe("luv's I/O", function()
  it("makes 20000 round trips between two actors", function()
    local server = actor.spawn(function(parent)
      local uv_here = require "luv"
      local listener = uv_here.new_tcp()
      listener:bind("127.0.0.1", 0)
      listener:listen(8, function(err)
        assert(not err, err)
        local peer = uv_here.new_tcp()
        listener:accept(peer)
        peer:read_start(function(read_err, data)
          assert(not read_err, read_err)
          if data then peer:write(data) else peer:close() end
        end)
      end)
      actor.send(parent, listener:getsockname().port)
      actor.receive()
    end, actor.self())
    local port = actor.receive("30s")
    local count = in_actor(function(to)
      local uv_here, self = require "luv", actor.self()
      local client, trips = uv_here.new_tcp(), 0
      client:connect("127.0.0.1", to, function(err)
        assert(not err, err)
        client:read_start(function(read_err, data)
          assert(not read_err, read_err)
          assert(data == "x")
          trips = trips + 1
          if trips < 20000 then
            client:write("x")
          else
            client:close(function() actor.send(self, "done") end)
          end
        end)
        client:write("x")
      end)
      assert(actor.receive_match(function(message) return message == "done" end, "60s"))
      return trips
    end, port)
    assert.equal(20000, count)
    actor.exit(server, "shutdown")
  end)

  it("sends datagrams", function()
    local callback, wait = promise()
    local a, b = uv.new_udp(), uv.new_udp()
    a:bind("127.0.0.1", 0)
    a:recv_start(function(err, data, from) if data then callback(err, data, from.ip) end end)
    b:send("hello", "127.0.0.1", a:getsockname().port)
    assert.same({ n = 3, nil, "hello", "127.0.0.1" }, table.pack(wait()))
    a:close()
    b:close()
  end)

  it("talks over named pipes", function()
    local path = os.tmpname()
    os.remove(path)
    local callback, wait = promise()
    local server, client = uv.new_pipe(false), uv.new_pipe(false)
    assert(server:bind(path))
    server:listen(1, function()
      local peer = uv.new_pipe(false)
      server:accept(peer)
      peer:read_start(function(_, data)
        if data then callback(data) else peer:close() end
      end)
    end)
    client:connect(path, function() client:write("over a pipe", function() client:close() end) end)
    assert.equal("over a pipe", (wait()))
    server:close()
  end)

  it("works with files, asynchronously", function()
    local path = os.tmpname()
    local callback, wait = promise()
    uv.fs_open(path, "w", 420, function(_, fd)
      uv.fs_write(fd, "one\ntwo\n", 0, function()
        uv.fs_fsync(fd, function()
          uv.fs_close(fd, function() uv.fs_stat(path, callback) end)
        end)
      end)
    end)
    local err, stat = wait()
    assert.is_nil(err)
    assert.equal(8, stat.size)
    local callback_of_missing, wait_for_missing = promise()
    uv.fs_stat(path .. "/no", callback_of_missing)
    assert.matches("^ENOTDIR", (wait_for_missing()))
    os.remove(path)
  end)

  it("starts processes and hears of their ends", function()
    local exited, wait_for_exit = promise()
    local read, wait_for_data = promise()
    local out = uv.new_pipe(false)
    local handle, pid = uv.spawn("sh", { args = { "-c", "echo from sh; exit 5" },
      stdio = { nil, out } }, exited)
    assert.is_true(pid > 0)
    out:read_start(function(_, data) if data then read(data) else out:close() end end)
    assert.equal("from sh\n", (wait_for_data()))
    assert.same({ 5, 0 }, { wait_for_exit() })
    handle:close()
    local killed, wait_for_kill = promise()
    local sleeper = uv.spawn("sleep", { args = { "1000" } }, killed)
    sleeper:kill("sigterm")
    assert.same({ 0, 15 }, { wait_for_kill() })
    sleeper:close()
    assert.has_error(function() assert(uv.spawn("no-such-program", {})) end)
  end)

  it("looks up names, sends itself signals and asyncs", function()
    local callback, wait = promise()
    uv.getaddrinfo("127.0.0.1", nil, { family = "inet", socktype = "stream" }, callback)
    local err, list = wait()
    assert.is_nil(err)
    assert.equal("127.0.0.1", list[1].addr)
    local got, wait_for_signal = promise()
    local signal = uv.new_signal()
    signal:start("sigusr2", got)
    uv.kill(uv.os_getpid(), "sigusr2")
    assert.equal("sigusr2", (wait_for_signal()))
    signal:close()
    local called, wait_for_async = promise()
    local async = uv.new_async(called)
    async:send(1, "two", true)
    assert.same({ 1, "two", true }, { wait_for_async() })
    async:close()
  end)

  it("polls descriptors and watches files", function()
    local reader, writer = uv.new_pipe(false), uv.new_pipe(false)
    local fds = assert(uv.pipe({ nonblock = true }, { nonblock = true }))
    writer:open(fds.write)
    local poll, callback, wait = uv.new_poll(fds.read), promise()
    poll:start("r", function(err, events)
      poll:stop()
      callback(err, events)
    end)
    writer:write("x")
    assert.same({ n = 2, nil, "r" }, table.pack(wait()))
    poll:close()
    writer:close()
    reader:close()
    uv.fs_close(fds.read)
    local path = os.tmpname()
    local changed, wait_for_change = promise()
    local watcher = uv.new_fs_event()
    watcher:start(path, {}, function(err)
      watcher:stop()
      changed(err)
    end)
    local file = assert(io.open(path, "w"))
    file:write("x")
    file:close()
    assert.is_nil((wait_for_change()))
    watcher:close()
    os.remove(path)
  end)

  it("runs prepare, check and idle handles", function()
    local seen, callback, wait = {}, promise()
    local prepare, check, idle = uv.new_prepare(), uv.new_check(), uv.new_idle()
    prepare:start(function() seen[#seen + 1] = "prepare" prepare:close() end)
    check:start(function() seen[#seen + 1] = "check" check:close() callback() end)
    idle:start(function() seen[#seen + 1] = "idle" idle:close() end)
    wait()
    assert.same({ "idle", "prepare", "check" }, seen)
  end)
end)

describe("luv's loop", function()
  it("is the actor's own", function()
    local t = uv.new_timer()
    local own, others = {}, in_actor(function()
      local count = 0
      require("luv").walk(function() count = count + 1 end)
      return count
    end)
    uv.walk(function(handle) if not handle:is_closing() then own[#own + 1] = handle end end)
    assert.equal(0, others)
    assert.same({ t }, own)
    assert.is_false(uv.loop_alive())
    t:start(1000, 0, function() end)
    assert.is_true(uv.loop_alive())
    assert.equal("default", uv.loop_mode())
    t:close()
  end)

  it("is walked by functions that block, close and raise", function()
    for _ = 1, 3 do uv.new_timer() end
    local seen = 0
    uv.walk(function(handle)
      timer.sleep(0)
      if handle:is_closing() then return end -- of the test before
      seen = seen + 1
      handle:close()
    end)
    assert.equal(3, seen)
    local t = uv.new_timer()
    assert.has_error(function() uv.walk(function() error("stop", 0) end) end, "stop")
    t:close()
  end)

  local refused = {
    { "run", "luv.run: the runtime runs the loop; callbacks come while the actor waits" },
    { "stop", "luv.stop: the runtime runs the loop" },
    { "loop_close", "luv.loop_close: the runtime closes the loop when the actor ends" },
    { "new_thread", "luv: threads and work run Lua outside of every actor" },
    { "thread_join", "luv: threads and work run Lua outside of every actor" },
    { "new_work", "luv: threads and work run Lua outside of every actor" },
    { "queue_work", "luv: threads and work run Lua outside of every actor" },
    { "os_setenv", "luv: the environment belongs to all threads of the process" },
    { "os_unsetenv", "luv: the environment belongs to all threads of the process" },
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1] .. ", and says why", function()
      local ok, err = pcall(uv[case[1]], print)
      assert.is_false(ok)
      assert.equal(case[2], err:sub(1, #case[2]))
    end)
  end

  it("refuses the runtime's own signals", function()
    local signal = uv.new_signal()
    for _, name in ipairs { "sigint", "SIGTERM", "sigurg", "sigpipe", 2, 15 } do
      local ok, err = pcall(signal.start, signal, name, print)
      assert.is_false(ok)
      assert.matches("^luv: SIG%u+ belongs to the runtime$", err)
      assert.is_false(pcall(uv.signal_start_oneshot, signal, name, print))
    end
    signal:close()
  end)

  it("comes with the module, once", function()
    local same = in_actor(function()
      local first = require "luv"
      package.loaded.luv = nil
      return first == require "luv"
    end)
    assert.is_true(same)
  end)

  it("travels as a module in a spawn", function()
    assert.equal("userdata", in_actor(function() return type(uv.new_timer()) end))
  end)

  it("does not hide a cycle of calls", function()
    local pid = actor.spawn(function(parent)
      actor.serve { ask = function()
        local _, _, code = actor.call(parent, { "back" })
        return code
      end }
    end, actor.self())
    assert.equal("call_cycle", (actor.call(pid, { "ask" })))
    actor.exit(pid, "shutdown")
  end)
end)

describe("an actor's end", function()
  -- One handle of every kind, all of them busy.
  local function be_busy(parent, folder)
    local here = require "luv"
    local t = here.new_timer()
    t:start(0, 1, function() end)
    local server = here.new_tcp()
    server:bind("127.0.0.1", 0)
    server:listen(8, function() server:accept(here.new_tcp()) end)
    local client = here.new_tcp()
    client:connect("127.0.0.1", server:getsockname().port, function()
      client:read_start(function() end)
      client:write(("x"):rep(10000000))
    end)
    local udp = here.new_udp()
    udp:bind("127.0.0.1", 0)
    udp:recv_start(function() end)
    here.new_idle():start(function() end)
    here.new_prepare():start(function() end)
    here.new_check():start(function() end)
    here.new_async(function() end):send()
    local pipe = here.new_pipe()
    pipe:bind(folder .. "." .. tostring(actor.self()):match("%d+%.%d+"))
    pipe:listen(8, function() end)
    local fds = here.socketpair("stream", nil, { nonblock = true }, { nonblock = true })
    local inner = here.new_pipe()
    inner:open(fds[1])
    inner:read_start(function() end)
    local out = here.new_pipe()
    out:open(fds[2])
    out:write(("x"):rep(1000000), function() end)
    local plain = here.new_tcp()
    plain:bind("127.0.0.1", 0)
    here.new_poll(here.fileno(plain)):start("r", function() end)
    here.new_signal():start("sigusr1", function() end)
    here.new_fs_event():start(folder, {}, function() end)
    here.new_fs_poll():start(folder, 1000, function() end)
    here.spawn("sleep", { args = { "0.01" } }, function() end)
    for _ = 1, 10 do here.fs_stat(folder, function() end) end
    here.getaddrinfo("localhost", nil, nil, function() end)
    here.new_timer():close()
    local blocked = here.new_timer()
    blocked:start(0, 0, function() actor.receive() end)
    actor.send(parent, "busy")
    actor.receive_match(function() return false end)
  end

  it("closes what is on its loop, whatever ends it", function()
    local folder = os.tmpname()
    local function run(reason)
      local pid, _, _, ref = assert(actor.spawn({ monitor = true }, be_busy, actor.self(), folder))
      assert.equal("busy", actor.receive("30s"))
      timer.sleep("2ms")
      actor.exit(pid, reason)
      assert(actor.receive_match(function(message, req)
        return req == actor.SYSTEM and message.ref == ref
      end, "30s"))
    end
    run("kill") -- what libuv opens once a process
    eventually(function() return #actor.list() <= 2 end, "the end of the actor")
    local before = count_fds()
    for i = 1, 10 do run(i % 2 == 0 and "kill" or "shutdown") end
    eventually(function() return count_fds() <= before end, "the close of all descriptors")
    os.remove(folder)
  end)

  it("is that of 100 actors with a loop each", function()
    local function with_loop(parent)
      local here = require "luv"
      local t = here.new_timer()
      t:start(1, 0, function() actor.send(parent, "fired") end)
      actor.receive()
    end
    local before, pids = count_fds(), {}
    for i = 1, 100 do pids[i] = assert(actor.spawn(with_loop, actor.self())) end
    for _ = 1, 100 do assert.equal("fired", actor.receive("30s")) end
    assert.is_true(count_fds() >= before + 200)
    for _, pid in ipairs(pids) do actor.exit(pid, "kill") end
    eventually(function() return count_fds() <= before end, "the close of all descriptors")
  end)

  it("leaves no descriptor, a thousand times over", function()
    local function with_handles(parent)
      local here = require "luv"
      local server, client, t = here.new_tcp(), here.new_tcp(), here.new_timer()
      server:bind("127.0.0.1", 0)
      server:listen(1, function() server:accept(here.new_tcp()) end)
      client:connect("127.0.0.1", server:getsockname().port, function(err)
        assert(not err, err)
        t:start(0, 1, function() end)
        actor.send(parent, "open")
      end)
      actor.receive()
    end
    local before = count_fds()
    for round = 1, 50 do
      local refs = {}
      for i = 1, 20 do
        local pid, _, _, ref = assert(actor.spawn({ monitor = true }, with_handles, actor.self()))
        refs[i] = { pid, ref }
      end
      for _ = 1, 20 do assert.equal("open", (actor.receive_match(is_open, "30s"))) end
      for _, r in ipairs(refs) do actor.exit(r[1], round % 2 == 0 and "kill" or "shutdown") end
      for _, r in ipairs(refs) do
        assert(actor.receive_match(function(message, req)
          return req == actor.SYSTEM and message.ref == r[2]
        end, "30s"))
      end
    end
    eventually(function() return count_fds() <= before end, "the close of all descriptors")
  end)

  it("does not wait for a thread of the pool, its memory does", function()
    local path = os.tmpname()
    os.remove(path)
    local mkfifo <close> = assert(process.spawn { "mkfifo", path })
    assert.equal(0, mkfifo:wait())
    local pid, _, _, ref = actor.spawn({ monitor = true, name = "reader" }, function(parent, fifo)
      require("luv").fs_open(fifo, "r", 420, function() error("not in a dead actor") end)
      actor.send(parent, "waits")
      actor.receive()
    end, actor.self(), path)
    assert.equal("waits", actor.receive("30s"))
    timer.sleep("2ms") -- the thread is in open(2)
    actor.exit(pid, "kill")
    local down = actor.receive_match(function(message, req)
      return req == actor.SYSTEM and message.ref == ref
    end, "30s")
    assert.equal("killed", down.reason)
    assert.is_nil(actor.whereis("reader"))
    local writer <close> = assert(process.spawn { "sh", "-c", "echo >" .. path })
    assert.equal(0, writer:wait())
    os.remove(path)
  end)

  it("leaves finalizers no loop to use", function()
    local result = exec [[
      local actor = require "perilune.actor"
      local pid, _, _, ref = actor.spawn({ monitor = true }, function()
        local early = setmetatable({}, { __gc = function(self) self.uv.new_timer() end })
        early.uv = require "luv"
        early.timer = early.uv.new_timer()
        kept = early
      end)
      print(actor.receive().reason)
    ]]
    assert.equal(0, result.code)
    assert.equal("normal\n", result.out)
    assert.matches("luv: the actor has ended, its loop is closed", result.err)
  end)
end)

describe("luv and virtual time", function()
  it("stand still together: what is on the loop is real", function()
    local result = exec([[
      local actor, timer, uv = require "perilune.actor", require "perilune.timer", require "luv"
      local t = uv.new_timer()
      local self = actor.self()
      t:start(20, 0, function() actor.send(self, "fired") end)
      local message = actor.receive("1ms")
      print(message, timer.now())
      t:close()
      timer.sleep("1h")
      print(timer.now())
    ]], "--virtual-time")
    assert.equal("fired\t0.0\n3600.0\n", result.out)
  end)

  it("part where a handle is not referenced", function()
    local result = exec([[
      local timer, uv = require "perilune.timer", require "luv"
      local server = uv.new_tcp()
      server:bind("127.0.0.1", 0)
      server:listen(1, function() end)
      server:unref()
      timer.sleep("1h")
      print(timer.now())
    ]], "--virtual-time")
    assert.equal("3600.0\n", result.out)
  end)
end)

describe("require 'luv'", function()
  it("says so when there are no descriptors left", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write [[
      local held = {}
      repeat held[#held + 1] = io.open("/dev/null") until not io.open("/dev/null")
      print(pcall(require, "luv"))
      held = nil
      collectgarbage()
      collectgarbage()
      print(type(require("luv").new_timer()))
    ]]
    file:close()
    local proc <close> = assert(process.spawn { "sh", "-c",
      ("ulimit -n 40; exec %s exec %s"):format(PERILUNE, path) })
    assert.equal(0, proc:wait("60s"))
    os.remove(path)
    assert.equal("false\tluv: cannot make a loop: Too many open files\nuserdata\n", proc:output())
  end)

  it("says so when there is no memory for it", function()
    local down = end_of({ memory_limit = "20KB" }, function() require "luv" end)
    assert.matches("not enough memory", down.error)
  end)
end)

describe("what a test leaves on the loop", function()
  it("is closed and named", function()
    local path = os.tmpname() .. "_spec.lua"
    local file = assert(io.open(path, "w"))
    file:write [[
      local uv = require "luv"
      local before
      it("forgets", function()
        before = uv.new_timer()
        before:start(1000, 1000, function() end)
      end)
      it("finds it closed", function()
        assert.is_true(before:is_closing())
        local t = uv.new_timer()
        t:close()
      end)
    ]]
    file:close()
    local proc <close> = assert(process.spawn { PERILUNE, "test", path })
    assert.equal(0, proc:wait("60s"), proc:output())
    os.remove(path)
    local err = proc:output("stderr")
    assert.matches('ended what was left running by "[^"]*forgets": 1 luv loop\n', err)
    assert.is_nil(err:find("finds it closed", 1, true))
  end)
end)
