local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

local in_actor = support.in_actor

-- What a script prints in virtual time, tabs as spaces.
local function virtual(script) return (support.virtual(script):gsub("\t", " ")) end

describe("sleep", function()
  it("takes as long as it says, in every way of saying it", function()
    assert.equal("0.25 1.5 90.0 3600.0 2.0 0.0\n", virtual [[
      local list = {}
      for _, duration in ipairs { "250ms", "1.5s", "1m30s", "1h", 2, 0 } do
        local start = timer.now()
        assert(timer.sleep(duration) == true)
        table.insert(list, tostring(timer.now() - start))
      end
      print(table.concat(list, " "))
    ]])
  end)

  it("never wakes early", function()
    for _, duration in ipairs { 0.0001, 0.0015, 0.003 } do
      local start = timer.now()
      timer.sleep(duration)
      assert.is_true(timer.now() - start >= duration)
    end
  end)

  it("refuses what is no duration", function()
    for _, bad in ipairs { -1, "soon", 0 / 0, math.huge, {}, "", "5 parsecs", "1ms2s" } do
      assert.has_error(function() timer.sleep(bad) end)
    end
    assert.has_error(function() timer.sleep() end)
    assert.has_error(function() timer.sleep("soon") end,
      "bad argument #1 to 'sleep' (a duration (seconds, or text like \"250ms\", \"1m30s\") "
        .. "expected, got \"soon\")")
    assert.has_error(function() timer.sleep(1e12) end) -- past a hundred years
  end)

  it("of many tasks ends in the order of their times, then of their starts", function()
    assert.equal("b3 a5 d5 c7\n", virtual [[
      local order = {}
      local function nap(name, ms)
        return actor.task(function() timer.sleep(ms / 1000) table.insert(order, name .. ms) end)
      end
      actor.wait_all { nap("a", 5), nap("b", 3), nap("c", 7), nap("d", 5) }
      print(table.concat(order, " "))
    ]])
  end)
end)

describe("after", function()
  it("calls once, later", function()
    assert.equal("before 5.0\n", virtual [[
      local called
      timer.after("5s", function() called = (called or 0) + timer.now() end)
      io.write("before ")
      timer.sleep("1m")
      print(called)
    ]])
  end)

  it("is taken back by cancel and close, once", function()
    assert.equal("true false true false nil\n", virtual [[
      local called
      local a = timer.after("5s", function() called = true end)
      local b = timer.after("5s", function() called = true end)
      local results = { a:cancel(), a:cancel(), b:close(), b:close() }
      timer.sleep("1m")
      print(results[1], results[2], results[3], results[4], called)
    ]])
  end)

  it("goes with its <close> variable", function()
    assert.equal("nil\n", virtual [[
      local called
      do local _ <close> = timer.after("5s", function() called = true end) end
      timer.sleep("1m")
      print(called)
    ]])
  end)

  it("goes on although nobody holds it", function()
    assert.equal("called\n", virtual [[
      timer.after("5s", function() print "called" end)
      collectgarbage()
      timer.sleep("1m")
    ]])
  end)

  it("may block, and cancel is then too late", function()
    assert.equal("6.0 true\n", virtual [[
      local done
      local t = timer.after("5s", function() timer.sleep("1s") done = timer.now() end)
      timer.sleep("5500ms")
      local cancelled = t:cancel()
      timer.sleep("1m")
      print(done .. " " .. tostring(cancelled))
    ]])
  end)

  it("ends the actor when it raises", function()
    local down = support.end_of(function()
      timer.after("1ms", function() error("in a timer") end)
      timer.sleep("1m")
    end)
    assert.equal("error", down.reason)
    assert.matches("in a timer", down.error)
  end)

  it("refuses what is no function", function()
    assert.has_error(function() timer.after(1, 2) end,
      "bad argument #2 to 'after' (function expected, got number)")
  end)
end)

describe("every", function()
  it("calls on a grid that a slow turn does not shift", function()
    assert.equal("1.0 2.0 3.0 4.0 5.0\n", virtual [[
      local times = {}
      local t
      t = timer.every("1s", function()
        table.insert(times, timer.now())
        timer.sleep("400ms")
        if #times == 5 then t:cancel() end
      end)
      timer.sleep("1m")
      print(table.concat(times, " "))
    ]])
  end)

  it("skips the turns that one overruns", function()
    assert.equal("1.0 4.0 5.0\n", virtual [[
      local times = {}
      local t
      t = timer.every("1s", function()
        table.insert(times, timer.now())
        if #times == 1 then timer.sleep("2500ms") end
        if #times == 3 then t:cancel() end
      end)
      timer.sleep("1m")
      print(table.concat(times, " "))
    ]])
  end)

  it("finishes its turn when it is cancelled in it", function()
    assert.equal("finished 1\n", virtual [[
      local finished, turns = false, 0
      local t = timer.every("1s", function()
        turns = turns + 1
        timer.sleep("500ms")
        finished = true
      end)
      timer.sleep("1200ms")
      t:cancel()
      timer.sleep("1m")
      print(finished and "finished", turns)
    ]])
  end)

  it("refuses an interval of nothing", function()
    assert.has_error(function() timer.every(0, print) end,
      "bad argument #1 to 'every' (an interval must be longer than 0)")
  end)

  it("is not kept alive by its actor's end", function()
    local down = support.end_of(function()
      timer.every("1ms", function() end)
      timer.every("1h", function() end)
      timer.sleep("5ms")
    end)
    assert.equal("normal", down.reason)
  end)
end)

describe("with_timeout", function()
  it("returns what the function returns in time", function()
    assert.same({ n = 3, 1, nil, "c" }, table.pack(timer.with_timeout(1, function(...)
      timer.sleep("1ms")
      return ...
    end, 1, nil, "c")))
  end)

  it("cancels what waits too long", function()
    local start = timer.now()
    assert.same({ n = 3, nil, "not done within 5ms", "timeout" },
      table.pack(timer.with_timeout("5ms", timer.sleep, "1h")))
    assert.is_true(timer.now() - start < 3000)
  end)

  it("cancels what computes too long", function()
    local value, _, code = timer.with_timeout("5ms", function() while true do end end)
    assert.is_nil(value)
    assert.equal("timeout", code)
  end)

  it("passes errors on", function()
    assert.has_error(function() timer.with_timeout(1, error, "broken") end, "broken")
    local object = {}
    local ok, err = pcall(timer.with_timeout, 1, error, object)
    assert.is_false(ok)
    assert.equal(object, err)
  end)

  it("is never a success after its time, even if the cancellation was caught", function()
    assert.equal("nil timeout 2\n", virtual [[
      local caught = 0
      local value, _, code = timer.with_timeout("1s", function()
        for _ = 1, 2 do
          -- Sticky: the second one, too.
          if not pcall(timer.sleep, "10s") then caught = caught + 1 end
        end
        return "a success?"
      end)
      print(value, code, caught)
    ]])
  end)

  it("runs close variables of what it cancels, and they may wait no more", function()
    assert.equal("cancelled: the time of with_timeout is over timeout 1.0\n", virtual [[
      local inside
      local _, _, code = timer.with_timeout("1s", function()
        local _ <close> = setmetatable({}, { __close = function()
          inside = select(2, pcall(timer.sleep, "1h"))
        end })
        timer.sleep("1h")
      end)
      print(inside:match("cancelled.*") .. " " .. code .. " " .. timer.now())
    ]])
  end)

  it("nests: the shorter one ends first, the outer one goes on", function()
    assert.equal("timeout 1.0\n2.0 done\n", virtual [[
      print(timer.with_timeout("5s", function()
        print(select(3, timer.with_timeout("1s", timer.sleep, "1h")), timer.now())
        timer.sleep("1s")
        return timer.now(), "done"
      end))
    ]])
  end)

  it("nests: the outer one cuts the inner one", function()
    assert.equal("1.0 timeout\n", virtual [[
      local _, _, code = timer.with_timeout("1s", function()
        return timer.with_timeout("1h", timer.sleep, "1h")
      end)
      print(timer.now(), code)
    ]])
  end)

  it("reaches into calls, joins, reads and coroutines", function()
    assert.equal("timeout timeout timeout timeout timeout\n", virtual [[
      local silent = actor.spawn(function()
        local kept = {}
        while true do table.insert(kept, { actor.receive() }) end
      end)
      local task = actor.task(function() timer.sleep("1h") end)
      local stream = actor.stream(silent, 1, { timeout = "1h" })
      local codes = {}
      for i, f in ipairs {
        function() return actor.call(silent, 1, { timeout = "1h" }) end,
        function() return task:wait() end,
        function() return stream:read() end,
        function() return actor.receive() end,
        function() return coroutine.wrap(function() return timer.sleep("1h") end)() end,
      } do
        codes[i] = select(3, timer.with_timeout("1s", f))
      end
      print(table.concat(codes, " "))
      os.exit(0)
    ]])
  end)

  it("leaves a reader free that it cancelled", function()
    assert.equal("timeout 7\n", virtual [[
      local server = actor.spawn(function()
        local _, req = actor.receive()
        local stream = req:stream()
        timer.sleep("5s")
        stream:write(7)
        timer.sleep("1h")
      end)
      local stream = actor.stream(server, 1)
      local code = select(3, timer.with_timeout("1s", function()
        pcall(stream.read, stream)
        pcall(stream.read, stream) -- this wait is refused before it begins
      end))
      print(code .. " " .. stream:read())
      os.exit(0)
    ]])
  end)

  it("leaves the order of sends alone that it cancelled", function()
    assert.equal("1 3\n", virtual [[
      local sink = actor.spawn({ mailbox = { capacity = 1, overflow = "block", timeout = "1h" } },
        function(parent)
        timer.sleep("10s")
        local list = {}
        for i = 1, 2 do list[i] = actor.receive() end
        actor.send(parent, table.concat(list, " "))
      end, actor.self())
      actor.send(sink, 1)
      timer.with_timeout("1s", function()
        pcall(actor.send, sink, 2)
        pcall(actor.send, sink, 2) -- refused before it begins to wait
      end)
      actor.send(sink, 3)
      print((actor.receive()))
    ]])
  end)

  it("holds for its coroutine, not for the rest of the task while that is suspended", function()
    assert.equal("true 10 timeout\n", virtual [[
      local co = coroutine.wrap(function()
        return select(3, timer.with_timeout("1s", function()
          coroutine.yield()
          timer.sleep("1h")
        end))
      end)
      co()
      io.write(tostring(timer.sleep("10s")), " ", timer.now(), " ")
      print(co())
    ]])
  end)

  it("may be left for ever in a coroutine that is collected", function()
    assert.equal("true\n", virtual [[
      for i = 1, 100 do
        local co = coroutine.wrap(function() timer.with_timeout(i / 100, coroutine.yield) end)
        co()
        timer.with_timeout("5s", function() -- opened after, closed before
          co = nil
          collectgarbage()
          timer.sleep("1ms")
        end)
      end
      print(timer.sleep("10s"))
    ]])
  end)

  it("ends with its coroutine's close", function()
    assert.equal("true\n", virtual [[
      local co = coroutine.create(function() timer.with_timeout("1s", coroutine.yield) end)
      coroutine.resume(co)
      timer.with_timeout("2s", function() coroutine.close(co) end)
      print(timer.sleep("10s"))
    ]])
  end)

  it("survives the task whose coroutine another task goes on with", function()
    assert.equal("over timeout\n", virtual [[
      local co = coroutine.create(function()
        return select(3, timer.with_timeout("1s", function()
          coroutine.yield()
          timer.sleep("5s")
        end))
      end)
      actor.task(function() coroutine.resume(co) end):wait()
      collectgarbage()
      timer.sleep("2s")
      print("over", select(2, coroutine.resume(co)))
    ]])
  end)

  it("of zero runs the function up to its first wait", function()
    local ran
    local _, _, code = timer.with_timeout(0, function()
      ran = true
      timer.sleep(0)
      ran = "too far"
    end)
    assert.is_true(ran)
    assert.equal("timeout", code)
  end)
end)

describe("the clock", function()
  it("now goes forward and unix is a date", function()
    local a, b = timer.now(), timer.now()
    assert.is_true(b >= a)
    assert.equal("float", math.type(timer.unix()))
    assert.is_true(math.abs(timer.unix() - os.time()) < 3600)
  end)

  it("begins at zero in virtual time, at the start of 2000, for os.time, os.date and os.clock as "
    .. "well", function()
    assert.equal("0 946684800 946684800 2000-01-01 0 3600.0 946688400 01:00 3600.0\n", virtual [[
      io.write(timer.now(), " ", timer.unix(), " ", os.time(), " ", os.date("!%Y-%m-%d"), " ",
        os.clock(), " ")
      timer.sleep("1h")
      print(timer.now() .. " " .. os.time() .. " " .. os.date("!%H:%M") .. " " .. os.clock())
    ]])
  end)

  it("stands still while something can run", function()
    assert.equal("0.0\n", virtual [[
      local peer = actor.spawn(function()
        for _ = 1, 10000 do actor.send((actor.receive()), 1) end
      end)
      timer.after("1ms", function() end)
      for _ = 1, 10000 do actor.send(peer, actor.self()) actor.receive() end
      print(timer.now())
    ]])
  end)
end)

describe("timers by the thousand", function()
  it("fire, none of them early, and leave nothing", function()
    local early, count = in_actor(function()
      local wrong, fired = 0, 0
      for i = 1, 20000 do
        local delay = (i * 7919) % 50 / 1000
        local begun = timer.now()
        timer.after(delay, function()
          if timer.now() < begun + delay then wrong = wrong + 1 end
          fired = fired + 1
        end)
      end
      local cancelled = {}
      for i = 1, 20000 do cancelled[i] = timer.after("1h", error) end
      for i = 1, 20000 do cancelled[i]:cancel() end
      while fired < 20000 do timer.sleep("5ms") end
      return wrong, fired
    end)
    assert.equal(0, early)
    assert.equal(20000, count)
  end)

  it("go with an actor that is killed", function()
    local pid = actor.spawn(function()
      for i = 1, 1000 do timer.every(1 + i / 1000, function() end) end
      actor.receive()
    end)
    support.eventually(function() return actor.info(pid).tasks == 1001 end)
    local ref = actor.monitor(pid)
    actor.exit(pid, "kill")
    assert.equal("killed", support.down(ref).reason)
  end)
end)
