local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

-- A child that tells `log` when it starts and stops, and serves until it is told to end in some
-- way.
local function child(log, name)
  actor.trap_exit(true)
  actor.send(log, { "start", name, actor.self() })
  local function stop(reason)
    actor.send(log, { "stop", name, reason })
    actor.trap_exit(false)
    actor.exit(actor.self(), reason)
  end
  actor.serve {
    name = function() return name end,
    crash = function() stop("crash") end,
    done = function() stop("normal") end,
    shut = function() stop("shutdown") end,
    exit = function(message) stop(message.reason) end,
  }
end

local function spec(name, more)
  local list = { id = name, name = "specs." .. name, start = child, args = { actor.self(), name } }
  for key, value in pairs(more or {}) do list[key] = value end
  return list
end

local function next_event()
  local event = actor.receive_match(function(m, req)
    return req == nil and type(m) == "table" and m[2]
  end, "10s")
  return event and event[1] .. " " .. event[2]
end

local function events(count)
  local list = {}
  for i = 1, count do list[i] = next_event() end
  return table.concat(list, ", ")
end

local function no_more_events()
  return actor.receive_match(function(_, req) return req == nil end, "5ms") == nil
end

local function stop(supervisor)
  local ref = actor.monitor(supervisor)
  actor.exit(supervisor, "shutdown")
  return support.down(ref).reason
end

local function tell(name, what) actor.send("specs." .. name, { what }) end

describe("a supervisor", function()
  local it = support.tidy(it)
  before_each(function() actor.trap_exit(true) end)

  it("starts its children in order and stops them in reverse", function()
    local supervisor = actor.supervisor { children = { spec "a", spec "b", spec "c" } }
    assert.equal("start a, start b, start c", events(3))
    assert.equal("shutdown", stop(supervisor))
    assert.equal("stop c, stop b, stop a", events(3))
  end)

  it("returns when all have started", function()
    local supervisor = actor.supervisor { children = { spec "a", spec "b" } }
    assert.equal("a", actor.call("specs.a", { "name" }))
    assert.equal("b", actor.call("specs.b", { "name" }))
    stop(supervisor)
    events(4)
  end)

  it("may have no children and a name", function()
    local supervisor = actor.supervisor { name = "specs.supervisor" }
    assert.equal(supervisor, actor.whereis("specs.supervisor"))
    assert.same({}, actor.children("specs.supervisor"))
    stop(supervisor)
    assert.is_nil(actor.whereis("specs.supervisor"))
  end)

  for strategy, case in pairs {
    one_for_one = { "the one that ended", "stop b, start b", 2 },
    one_for_all = { "all, in order", "stop b, stop c, stop a, start a, start b, start c", 6 },
    rest_for_one = { "it and those started after it", "stop b, stop c, start b, start c", 4 },
  } do
    local what, expected, count = table.unpack(case)
    it(("%s restarts %s"):format(strategy, what), function()
      local supervisor = actor.supervisor { strategy = strategy,
        children = { spec "a", spec "b", spec "c" } }
      events(3)
      tell("b", "crash")
      assert.equal(expected, events(count))
      assert.is_true(no_more_events())
      stop(supervisor)
      events(3)
    end)
  end

  it("one_for_one is the default", function()
    local supervisor = actor.supervisor { children = { spec "a", spec "b" } }
    events(2)
    tell("a", "crash")
    assert.equal("stop a, start a", events(2))
    assert.is_true(no_more_events())
    stop(supervisor)
    events(2)
  end)

  it("simple_one_for_one starts children as they are asked for", function()
    local supervisor = actor.supervisor {
      strategy = "simple_one_for_one",
      children = { { start = child, args = { actor.self() }, restart = "transient" } },
    }
    assert.is_true(no_more_events())
    local a, b = actor.start_child(supervisor, { "a" }), actor.start_child(supervisor, { "b" })
    assert.equal("start a, start b", events(2))
    assert.equal("b", actor.call(b, { "name" }))
    local list = actor.children(supervisor)
    assert.same({ a, b }, { list[1].pid, list[2].pid })
    actor.send(a, { "crash" })
    assert.equal("stop a, start a", events(2))
    actor.send(b, { "done" })
    assert.equal("stop b", events(1))
    support.eventually(function() return #actor.children(supervisor) == 1 end)
    local again = actor.children(supervisor)[1].pid
    assert.is_true(actor.stop_child(supervisor, again))
    assert.equal("stop a", events(1))
    assert.same({}, actor.children(supervisor))
    stop(supervisor)
  end)

  describe("restarts", function()

    local function after(restart, how)
      local supervisor = actor.supervisor { children = { spec("a", { restart = restart }) } }
      events(1)
      tell("a", how)
      events(1)
      local started = next_event and actor.receive_match(function(_, req)
        return req == nil
      end, "10ms") ~= nil
      local known = #actor.children(supervisor)
      stop(supervisor)
      if started then events(1) end
      return started, known
    end

    it("a permanent child always", function()
      assert.same({ true, 1 }, { after("permanent", "crash") })
      assert.same({ true, 1 }, { after("permanent", "done") })
      assert.same({ true, 1 }, { after("permanent", "shut") })
      assert.same({ true, 1 }, { after(nil, "done") })
    end)

    it("a transient child after a failure", function()
      assert.same({ true, 1 }, { after("transient", "crash") })
      assert.same({ false, 1 }, { after("transient", "done") })
      assert.same({ false, 1 }, { after("transient", "shut") })
    end)

    it("a temporary child never, and forgets it", function()
      assert.same({ false, 0 }, { after("temporary", "crash") })
      assert.same({ false, 0 }, { after("temporary", "done") })
    end)

    it("all but the temporary ones that it had to stop", function()
      local supervisor = actor.supervisor {
        strategy = "one_for_all",
        children = { spec("a", { restart = "temporary" }), spec "b",
          spec("c", { restart = "transient" }) },
      }
      events(3)
      tell("b", "crash")
      assert.equal("stop b, stop c, stop a, start b, start c", events(5))
      assert.is_true(no_more_events())
      stop(supervisor)
      events(2)
    end)
  end)

  it("gives up after one restart in 5 s by default", function()
    local supervisor = actor.supervisor { children = { spec "a", spec "b" } }
    local ref = actor.monitor(supervisor)
    events(2)
    tell("a", "crash")
    assert.equal("stop a, start a", events(2))
    tell("a", "crash")
    assert.equal("stop a, stop b", events(2))
    assert.equal("shutdown", support.down(ref).reason)
    assert.is_true(no_more_events())
  end)

  it("counts restarts within its period", function()
    assert.equal("3 restarts, then alive true; 4 in a period: alive false\n", support.virtual [[
      actor.trap_exit(true)
      local count = 0
      local function crasher(parent)
        actor.send(parent, "up")
        actor.receive()
        actor.exit(actor.self(), "crash")
      end
      local supervisor = actor.supervisor {
        intensity = 1, period = "10s", children = { { name = "c", start = crasher,
          args = { actor.self() } } },
      }
      actor.receive()
      for _ = 1, 3 do
        timer.sleep("10s") -- the last restart is a whole period ago
        actor.send("c", "end")
        actor.receive()
      end
      io.write("3 restarts, then alive ", tostring(actor.info(supervisor) ~= nil))
      timer.sleep("9999ms")
      actor.send("c", "end")
      timer.sleep("1ms")
      print("; 4 in a period: alive " .. tostring(actor.info(supervisor) ~= nil))
    ]])
  end)

  it("of intensity 0 gives up at the first failure", function()
    local supervisor = actor.supervisor { intensity = 0, children = { spec "a" } }
    local ref = actor.monitor(supervisor)
    events(1)
    tell("a", "crash")
    assert.equal("shutdown", support.down(ref).reason)
    assert.equal("stop a", events(1))
  end)

  it("gives up when a child never comes up", function()
    local supervisor = actor.supervisor { intensity = 5, children = {
      { start = function() actor.exit(actor.self(), "no") end },
    } }
    local ref = actor.monitor(supervisor)
    assert.equal("shutdown", support.down(ref).reason)
  end)

  it("kills a child that does not stop within its time, or at once if so told", function()
    local function stubborn() -- ignores shutdown
      actor.trap_exit(true)
      while true do actor.receive() end
    end
    for _, shutdown in ipairs { "5ms", "brutal_kill" } do
      local supervisor = actor.supervisor { children = { { id = "s", start = stubborn,
        shutdown = shutdown } } }
      local ref = actor.monitor(actor.children(supervisor)[1].pid)
      timer.sleep("1ms")
      stop(supervisor)
      assert.equal("killed", support.down(ref).reason)
    end
  end)

  it("waits for ever for a child whose shutdown is infinity", function()
    local supervisor = actor.supervisor { children = {
      { start = function()
        actor.trap_exit(true)
        actor.receive_match(function(m, req) return req == actor.SYSTEM and m.type == "exit" end)
        timer.sleep("30ms")
        actor.trap_exit(false)
        actor.exit(actor.self(), "in its own time")
      end, shutdown = "infinity" },
    } }
    local ref = actor.monitor(actor.children(supervisor)[1].pid)
    timer.sleep("1ms")
    stop(supervisor)
    assert.equal("in its own time", support.down(ref).reason)
  end)

  it("starts, stops and lists children", function()
    local supervisor = actor.supervisor { children = { spec "a" } }
    local b = actor.start_child(supervisor, spec "b")
    assert.equal("start a, start b", events(2))
    local list = actor.children(supervisor)
    assert.equal(2, #list)
    assert.same({ id = "b", pid = b, restart = "permanent", number = 1 }, list[2])
    assert.same({ n = 3, nil, "a child has the id b", "exists" },
      table.pack(actor.start_child(supervisor, spec "b")))
    assert.is_true(actor.stop_child(supervisor, "a"))
    assert.equal("stop a", events(1))
    assert.same({ n = 3, nil, "no such child: a", "not_found" },
      table.pack(actor.stop_child(supervisor, "a")))
    assert.is_true(actor.stop_child(supervisor, b))
    assert.equal("stop b", events(1))
    assert.same({}, actor.children(supervisor))
    stop(supervisor)
  end)

  it("starts functions with their upvalues, also later ones", function()
    local word, self = "upvalue", actor.self()
    local function start(n) actor.send(self, { "started", word .. n }) actor.receive() end
    local supervisor = actor.supervisor { children = { { start = start, args = { 1 } } } }
    actor.start_child(supervisor, { start = start, args = { 2 } })
    assert.equal("started upvalue1, started upvalue2", events(2))
    stop(supervisor)
  end)

  it("starts modules", function()
    local supervisor = actor.supervisor { children = {
      { start = "specs.fixtures.waiting_start", args = { actor.self(), "started", "module" },
        restart = "temporary" },
    } }
    assert.equal("started module", next_event())
    stop(supervisor)
  end)

  it("passes arguments with holes", function()
    local supervisor = actor.supervisor { children = { {
      start = function(parent, ...)
        actor.send(parent, { select("#", ...), ... }) actor.receive()
      end,
      args = table.pack(actor.self(), nil, 2, nil),
    } } }
    assert.same({ [1] = 3, [3] = 2 }, (actor.receive("5s")))
    stop(supervisor)
  end)

  it("takes its children along when it is killed, and when its parent ends", function()
    for _, how in ipairs { "kill", "parent" } do
      local parent = actor.spawn(function(log, body)
        local supervisor = actor.supervisor { children = {
          { start = body, args = { log, "a" } }, { start = body, args = { log, "b" } },
        } }
        actor.send(log, { "super", "visor", supervisor })
        actor.receive()
      end, actor.self(), function(log, name)
        actor.send(log, { "start", name, actor.self() })
        actor.receive()
      end)
      local pids = {}
      for i = 1, 3 do
        local event = actor.receive("5s")
        pids[i] = event[3]
      end
      local refs = {}
      for i, pid in ipairs(pids) do refs[i] = actor.monitor(pid) end
      if how == "kill" then actor.exit(pids[3], "kill") else actor.send(parent, "end") end
      local reasons = {}
      for i, ref in ipairs(refs) do reasons[i] = support.down(ref).reason end
      local expected = how == "kill"
        and { "killed", "killed", "killed" } or { "shutdown", "shutdown", "normal" }
      assert.same(expected, reasons)
      if how == "kill" then actor.exit(parent, "kill") end
    end
  end)

  it("does not mind messages that are not for it", function()
    local supervisor = actor.supervisor { children = { spec "a" } }
    events(1)
    actor.send(supervisor, "hello")
    actor.send(supervisor, { "begin" })
    for _, message in ipairs { 1, { "fly" }, {}, "x", { "begin" } } do
      assert.equal("bad_request", select(3, actor.call(supervisor, message)))
    end
    assert.equal(1, #actor.children(supervisor))
    stop(supervisor)
    events(1)
  end)

  it("nests", function()
    local supervisor = actor.supervisor { children = { {
      id = "inner", shutdown = "infinity",
      start = function(log, body)
        local inner = actor.supervisor { children = { { start = body, args = { log, "leaf" } } } }
        actor.trap_exit(true)
        actor.receive_match(function(m, req) return req == actor.SYSTEM and m.type == "exit" end)
        local ref = actor.monitor(inner)
        actor.exit(inner, "shutdown")
        actor.receive_match(function(m) return m.ref == ref end)
      end,
      args = { actor.self(), child },
    } } }
    assert.equal("start leaf", events(1))
    stop(supervisor)
    assert.equal("stop leaf", events(1))
  end)

  it("logs what a child raises", function()
    local result = support.exec([[
      local actor = require "perilune.actor"
      actor.trap_exit(true)
      local supervisor = actor.supervisor { intensity = 0, children = {
        { id = "worker", start = function() error("the child's error", 0) end },
      } }
      local ref = actor.monitor(supervisor)
      actor.receive_match(function(m) return m.ref == ref end)
    ]])
    assert.matches("^error supervised child worker ended: the child's error\nstack traceback:\n",
      result.err)
    assert.equal(0, result.code)
    result = support.exec([[
      local actor = require "perilune.actor"
      actor.trap_exit(true)
      local supervisor = actor.supervisor { intensity = 0, children = {
        { id = "worker", start = function() error("the child's error", 0) end },
      } }
      local ref = actor.monitor(supervisor)
      actor.receive_match(function(m) return m.ref == ref end)
    ]], "--log-level", "none")
    assert.equal("", result.err)
  end)

  describe("that cannot start", function()

    it("says why, stops what it had started, and does not take its caller along", function()
      actor.trap_exit(false)
      local taken = actor.spawn({ name = "specs.b" }, function() actor.receive() end)
      local supervisor, message, code = actor.supervisor { children = { spec "a", spec "b",
        spec "c" } }
      assert.is_nil(supervisor)
      assert.equal("the name 'specs.b' is taken", message)
      assert.equal("name_taken", code)
      assert.is_nil(actor.whereis("specs.a"))
      while not no_more_events() do end -- a child may have begun before it was stopped
      actor.exit(taken, "kill")
    end)

    it("because its own name is taken, says so", function()
      local taken = actor.spawn({ name = "specs.taken" }, function() actor.receive() end)
      assert.equal("name_taken", select(3, actor.supervisor { name = "specs.taken" }))
      actor.exit(taken, "kill")
    end)

    it("or whose later child cannot, goes on without it", function()
      local taken = actor.spawn({ name = "specs.b" }, function() actor.receive() end)
      local supervisor = actor.supervisor { children = { spec "a" } }
      assert.equal("name_taken", select(3, actor.start_child(supervisor, spec "b")))
      assert.equal(1, #actor.children(supervisor))
      events(1)
      stop(supervisor)
      events(1)
      actor.exit(taken, "kill")
    end)
  end)

  describe("refuses", function()
    local function refused(options)
      return select(2, pcall(function() return (actor.supervisor(options)) end))
    end

    it("what it does not know, where it is written", function()
      local function start() end
      for expected, options in pairs {
        ["supervisor: a table expected, got nil"] = false,
        ["supervisor: unknown option 'strtegy' (did you mean "
          .. "'strategy'?)"] = { strtegy = "one_for_one" },
        ["supervisor: unknown option 'zzzzzzzzzz' (known: children, intensity, name, period, "
          .. "strategy)"] =
          { zzzzzzzzzz = 1 },
        ["supervisor: strategy must be one_for_one, one_for_all, rest_for_one or "
          .. "simple_one_for_one, got all"] =
          { strategy = "all" },
        ["supervisor: intensity must be an integer of at least 0, got -1"] = { intensity = -1 },
        ["supervisor: period: a duration (seconds, or text like \"250ms\", \"1m30s\") expected, "
          .. "got soon"] =
          { period = "soon" },
        ["supervisor: children must be a table, got number"] = { children = 5 },
        ["supervisor: child #1 must be a table, got function"] = { children = { start } },
        ["supervisor: child #1: start must be a function or a module name, got "
          .. "nil"] = { children = { {} } },
        ["supervisor: child x: unknown option 'strat' (did you mean 'start'?)"] =
          { children = { { id = "x", strat = start } } },
        ["supervisor: child x: args must be a table, got number"] =
          { children = { { id = "x", start = start, args = 1 } } },
        ["supervisor: child x: restart must be permanent, transient or temporary, got always"] =
          { children = { { id = "x", start = start, restart = "always" } } },
        ["supervisor: child x: count must be an integer of at least 1, got 0"] =
          { children = { { id = "x", start = start, count = 0 } } },
        ["supervisor: child x: shutdown: a duration (seconds, or text like \"250ms\", \"1m30s\") "
          .. "expected, got -1"] =
          { children = { { id = "x", start = start, shutdown = -1 } } },
        ["supervisor: child x: option 'on': an integer from 0 to"] =
          { children = { { id = "x", start = start, on = 1000 } } },
        ["supervisor: child x: option 'name': a string expected, got 7"] =
          { children = { { id = "x", start = start, name = 7 } } },
        ["supervisor: child x: a name has 1 to 255 bytes"] = { children = { { id = "x",
          start = start, name = "" } } },
        ["supervisor: two children have the id x"] =
          { children = { { id = "x", start = start }, { id = "x", start = start } } },
        ["supervisor: simple_one_for_one needs exactly one child, the template"] =
          { strategy = "simple_one_for_one" },
        ["supervisor: child x: count does not go with simple_one_for_one"] =
          { strategy = "simple_one_for_one",
            children = { { id = "x", start = start, count = 2 } } },
      } do
        local message = refused(options or nil)
        assert(message:find(expected, 1, true), message .. "\nexpected: " .. expected)
        assert.matches("^specs/unit/supervisor_spec.lua:%d+: ", message)
      end
    end)

    it("what cannot be copied, naming it", function()
      local file = io.stdout
      assert.matches("argument 2.children%[1%].start: upvalue file: a FILE%* cannot be copied",
        refused { children = { { start = function() return file end } } })
    end)

    it("bad children later on as well", function()
      local supervisor = actor.supervisor {}
      local ok, message = pcall(function()
        actor.start_child(supervisor, { start = print, restart = "often" })
      end)
      assert.is_false(ok)
      assert.matches("^specs/unit/supervisor_spec.lua:%d+: .* restart must be permanent", message)
      assert.equal("bad_request", select(3, actor.start_child(supervisor, { 1, 2 })))
      stop(supervisor)
      local simple = actor.supervisor {
        strategy = "simple_one_for_one", children = { { start = function() actor.receive() end } },
      }
      assert.equal("bad_request", select(3, actor.start_child(simple, { start = function() end })))
      assert.equal("bad_request", select(3, actor.start_child(simple, 5)))
      assert.is_not_nil(actor.start_child(simple))
      stop(simple)
    end)

    it("to start where Lua cannot suspend, and leaves nothing", function()
      local before = #actor.list()
      local ok, message = pcall(table.sort, { 2, 1 }, function() actor.supervisor {} end)
      assert.is_false(ok)
      assert.matches("cannot wait inside table.sort", message)
      assert.equal(before, #actor.list())
    end)
  end)
end)

describe("the name of a supervised child", function()
  local it = support.tidy(it)
  before_each(function() actor.trap_exit(true) end)

  it("waits during a restart, within the deadline of the call", function()
    for _, count in ipairs { false, 1 } do
      local function slow(name)
        if name then timer.sleep("30ms") end
        actor.serve(function(m)
          if m == "end" then actor.exit(actor.self(), "crash") end
          return m
        end)
      end
      local supervisor = actor.supervisor { intensity = 100, children = {
        { name = "specs.slow", count = count or nil, start = slow },
      } }
      for i = 1, 20 do
        actor.exit(actor.whereis("specs.slow"), "kill")
        assert.equal(i, actor.call("specs.slow", i))
        assert.equal("exited", select(3, actor.call("specs.slow", "end")))
        assert.is_true(actor.send("specs.slow", i))
      end
      stop(supervisor)
      assert.equal("noproc", select(3, actor.call("specs.slow", 1)))
    end
  end)

  it("is noproc when the call's deadline is over, as long as nobody is there", function()
    assert.equal("noproc 2.0 noproc 5.0\n", support.virtual [[
      actor.trap_exit(true)
      local supervisor = actor.supervisor { strategy = "rest_for_one", children = {
        { name = "gone", start = function() actor.receive() end },
        { name = "stubborn", shutdown = "1h", start = function()
          actor.trap_exit(true)
          while true do actor.receive() end
        end },
      } }
      actor.exit(actor.whereis("gone"), "crash")
      timer.sleep("1ms") -- the supervisor waits for the stubborn one, for an hour
      local start = timer.now()
      local code = select(3, actor.call("gone", 1, { timeout = "2s" }))
      io.write(code, " ", ("%.1f"):format(timer.now() - start), " ")
      start = timer.now()
      print(select(3, actor.send("gone", 1)) .. (" %.1f"):format(timer.now() - start))
      os.exit(0)
    ]])
  end)

  it("with a count is a group that takes turns", function()
    local function member()
      actor.serve(function(m)
        if m == "end" then actor.exit(actor.self(), "crash") end
        return actor.self()
      end)
    end
    local supervisor = actor.supervisor { intensity = 10, children = {
      { name = "specs.group", count = 3, start = member },
    } }
    local seen, order = {}, {}
    for i = 1, 9 do
      local pid = actor.call("specs.group", "who")
      seen[pid] = (seen[pid] or 0) + 1
      order[i] = pid
    end
    for pid, n in pairs(seen) do
      assert.equal(3, n)
      assert.equal("specs.group", actor.info(pid).name)
    end
    for i = 4, 9 do assert.equal(order[i - 3], order[i]) end
    assert.equal("exited", select(3, actor.call("specs.group", "end")))
    for _ = 1, 9 do assert.is_not_nil(actor.call("specs.group", "who")) end
    assert.equal(3, #actor.children(supervisor))
    stop(supervisor)
  end)

  it("never sends to a member that has ended", function()
    local function member() actor.serve(function(m) return m end) end
    local supervisor = actor.supervisor { intensity = 1000, children = {
      { name = "specs.mortal", count = 4, start = member },
    } }
    for i = 1, 200 do
      actor.exit(actor.whereis("specs.mortal"), "kill")
      assert.is_true(actor.send("specs.mortal", i))
      assert.equal(i, actor.call("specs.mortal", i))
    end
    stop(supervisor)
  end)

  it("is free when the last one is not restarted", function()
    local supervisor = actor.supervisor { children = {
      { name = "specs.once", count = 2, restart = "transient", start = function()
        actor.receive()
      end },
    } }
    actor.send("specs.once", "end")
    timer.sleep("2ms")
    assert.is_not_nil(actor.whereis("specs.once"))
    actor.send("specs.once", "end")
    support.eventually(function()
      local _, _, code = actor.send("specs.once", 1)
      return code == "noproc"
    end)
    local other = actor.spawn({ name = "specs.once" }, function() actor.receive() end)
    assert.is_not_nil(other)
    actor.exit(other, "kill")
    stop(supervisor)
  end)

  it("is free when the child is stopped for good", function()
    local supervisor = actor.supervisor { children = {
      { id = "x", name = "specs.stopped", start = function() actor.receive() end },
    } }
    actor.stop_child(supervisor, "x")
    assert.equal("noproc", select(3, actor.send("specs.stopped", 1)))
    assert.is_not_nil(actor.start_child(supervisor, { name = "specs.stopped", start = function()
      actor.receive()
    end }))
    stop(supervisor)
    assert.equal("noproc", select(3, actor.send("specs.stopped", 1)))
  end)

  it("is one of the supervisor's names with which nobody else can register", function()
    local supervisor = actor.supervisor { children = { { name = "specs.own", start = function()
      actor.receive()
    end } } }
    assert.equal("name_taken", select(3, actor.register("specs.own")))
    assert.equal("name_taken", select(3, actor.spawn({ name = "specs.own" }, function() end)))
    stop(supervisor)
  end)
end)
