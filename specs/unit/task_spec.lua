local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

local in_actor, end_of = support.in_actor, support.end_of

describe("a task", function()
  it("runs beside its maker and returns what its function returns, more than once", function()
    local order = {}
    local task = actor.task(function(a, b)
      table.insert(order, "task")
      timer.sleep("1ms")
      return a, nil, b
    end, 1, 2)
    table.insert(order, "maker")
    assert.same({ n = 3, 1, nil, 2 }, table.pack(task:wait()))
    assert.same({ n = 3, 1, nil, 2 }, table.pack(task:wait("1s")))
    assert.same({ "maker", "task" }, order)
    assert.equal("done", task:status())
  end)

  it("that returns nothing waits to nothing", function()
    assert.equal(0, select("#", actor.task(function() end):wait()))
  end)

  it("is waited for within a time", function()
    local task = actor.task(function() timer.sleep("1h") end)
    assert.same({ n = 3, nil, "the task is not done", "timeout" }, table.pack(task:wait("1ms")))
    assert.same({ n = 3, nil, "the task is not done", "timeout" }, table.pack(task:wait(0)))
    assert.equal("running", task:status())
    task:cancel()
  end)

  it("may be waited for by many", function()
    local task = actor.task(function() timer.sleep("2ms") return "x" end)
    local waiters = {}
    for i = 1, 10 do waiters[i] = actor.task(function() return task:wait() end) end
    for _, result in ipairs(actor.wait_all(waiters)) do assert.same({ "x" }, result) end
  end)

  it("shares the actor's variables and mailbox", function()
    local seen
    local task = actor.task(function() seen = actor.receive() end)
    actor.send(actor.self(), "mail")
    task:wait()
    assert.equal("mail", seen)
  end)

  it("cannot wait for itself or cancel itself", function()
    local task
    local errors = {}
    task = actor.task(function()
      errors[1] = select(2, pcall(task.wait, task))
      errors[2] = select(2, pcall(task.cancel, task))
    end)
    task:wait()
    assert.matches("a task cannot wait for itself", errors[1])
    assert.matches("a task cannot cancel itself", errors[2])
  end)

  it("ends its actor when it raises, with a traceback", function()
    local down = end_of(function()
      actor.task(function()
        local function deep() error("in a task") end
        deep()
      end)
      timer.sleep("1h")
    end)
    assert.equal("error", down.reason)
    assert.matches("task_spec.lua:%d+: in a task$", down.error)
    assert.matches("^stack traceback:", down.traceback)
    assert.matches("in local 'deep'", down.traceback)
  end)

  it("that nobody holds any more ends its actor just so", function()
    local down = end_of(function()
      actor.task(function()
        collectgarbage()
        error("in a task")
      end)
      timer.sleep("1h")
    end)
    assert.matches("in a task$", down.error)
  end)

  it("ends when its actor's main function returns", function()
    local down = end_of(function(parent)
      actor.task(function()
        local _ <close> = support.closer(function() actor.send(parent, "closed") end)
        timer.sleep("1h")
      end)
      timer.sleep("1ms")
    end, actor.self())
    assert.equal("normal", down.reason)
    assert.equal("closed", actor.receive("5s"))
  end)

  it("need not be held", function()
    local count = in_actor(function()
      local ended = 0
      for _ = 1, 1000 do
        actor.task(function() timer.sleep("1ms") ended = ended + 1 end)
        collectgarbage("step")
      end
      while ended < 1000 do timer.sleep("1ms") end
      collectgarbage()
      return actor.info().tasks
    end)
    assert.equal(1, count)
  end)

  it("gives its memory back", function()
    local grown = in_actor(function()
      local function burst()
        local tasks = {}
        for i = 1, 1000 do tasks[i] = actor.task(function() return i end) end
        actor.wait_all(tasks)
      end
      local function used()
        collectgarbage()
        collectgarbage()
        return actor.info().memory_bytes
      end
      for _ = 1, 20 do burst() end
      local before = used()
      for _ = 1, 10 do burst() end
      return used() - before
    end)
    assert.is_true(grown < 20000, tostring(grown)) -- of 10,000 tasks
  end)

  it("refuses what is no function", function()
    assert.has_error(function() actor.task(7) end,
      "bad argument #1 to 'task' (function expected, got number)")
  end)

  describe("that is cancelled", function()
    it("stops where it waits, closes its variables, and waits to cancelled", function()
      local log = {}
      local task = actor.task(function()
        local _ <close> = support.closer(function() table.insert(log, "outer") end)
        pcall(function()
          local _ <close> = support.closer(function() table.insert(log, "inner") end)
          timer.sleep("1h")
        end)
        table.insert(log, "went on")
      end)
      timer.sleep("1ms")
      assert.is_true(task:cancel())
      assert.is_false(task:cancel())
      assert.same({ "inner", "outer" }, log)
      assert.same({ n = 3, nil, "the task was cancelled", "cancelled" }, table.pack(task:wait()))
      assert.equal("cancelled", task:status())
    end)

    it("before it began does not begin", function()
      local began
      local task = actor.task(function() began = true end)
      task:cancel()
      timer.sleep("1ms")
      assert.is_nil(began)
      assert.equal("cancelled", select(3, task:wait()))
    end)

    it("wakes who waits for it", function()
      local task = actor.task(function() timer.sleep("1h") end)
      local waiter = actor.task(function() return task:wait() end)
      timer.sleep("1ms")
      task:cancel()
      assert.same({ n = 3, nil, "the task was cancelled", "cancelled" }, table.pack(waiter:wait()))
    end)

    it("after its end keeps its results", function()
      local task = actor.task(function() return 5 end)
      task:wait()
      assert.is_false(task:cancel())
      assert.equal(5, task:wait())
    end)

    it("closes the variables of the coroutines it waits in, the innermost first", function()
      local log = {}
      local task = actor.task(function()
        local _ <close> = support.closer(function() table.insert(log, "task") end)
        coroutine.wrap(function()
          local _ <close> = support.closer(function() table.insert(log, "wrapped") end)
          local co = coroutine.create(function()
            local _ <close> = support.closer(function() table.insert(log, "created") end)
            timer.sleep("1h")
          end)
          coroutine.resume(co)
        end)()
      end)
      timer.sleep("1ms")
      task:cancel()
      assert.same({ "created", "wrapped", "task" }, log)
    end)

    it("leaves its coroutines dead", function()
      local co
      local task = actor.task(function()
        co = coroutine.create(function() timer.sleep("1h") end)
        coroutine.resume(co)
      end)
      timer.sleep("1ms")
      task:cancel()
      assert.equal("dead", coroutine.status(co))
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    end)

    it("runs close variables that cannot wait", function()
      local inside
      local task = actor.task(function()
        local _ <close> = support.closer(function() inside = table.pack(timer.sleep("1h")) end)
        timer.sleep("1h")
      end)
      timer.sleep("1ms")
      task:cancel()
      assert.is_nil(inside[1])
      assert.equal("exited", inside[3])
    end)

    it("by its own close variables is refused", function()
      local errors = {}
      local outer
      outer = actor.task(function()
        local inner = actor.task(function()
          local _ <close> = support.closer(function()
            errors[1] = select(2, pcall(outer.cancel, outer))
          end)
          timer.sleep("1h")
        end)
        timer.sleep("1ms")
        inner:cancel()
        timer.sleep("1ms")
        return "went on"
      end)
      assert.equal("went on", outer:wait())
      assert.matches("cancel: the task is cancelling this one", errors[1])
    end)

    it("may cancel others while it closes", function()
      local log = {}
      local first = actor.task(function()
        local _ <close> = support.closer(function() table.insert(log, "first") end)
        timer.sleep("1h")
      end)
      local second = actor.task(function()
        local _ <close> = support.closer(function()
          first:cancel()
          table.insert(log, "second")
        end)
        timer.sleep("1h")
      end)
      timer.sleep("1ms")
      second:cancel()
      assert.same({ "first", "second" }, log)
    end)

    it("while it computes is stopped at its next pre-emption", function()
      local turns = 0
      local task = actor.task(function() while true do turns = turns + 1 end end)
      timer.sleep("15ms")
      task:cancel()
      local after = turns
      assert.is_true(after > 0)
      timer.sleep("5ms")
      assert.equal(after, turns)
    end)

    it("in every kind of wait leaves nothing behind", function()
      local tasks = in_actor(function()
        local silent = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function()
          timer.sleep("1h")
        end)
        local stream = actor.stream(silent, 1, { timeout = "1h" })
        local sleeper = actor.task(function() timer.sleep("1h") end)
        local waits = {
          function() actor.receive() end,
          function() actor.receive_match(function() return false end) end,
          function() actor.serve {} end,
          function() actor.call(silent, 1) end,
          function() actor.send(silent, 2) end,
          function() sleeper:wait() end,
          function() stream:read() end,
          function() stream:write(1) end,
          function() timer.with_timeout("1h", timer.sleep, "1h") end,
          function() while true do timer.sleep(0) end end,
          function() coroutine.wrap(function() timer.sleep("1h") end)() end,
          function() while true do actor.info(silent) end end,
        }
        for _ = 1, 20 do
          local running = {}
          for i, wait in ipairs(waits) do running[i] = actor.task(wait) end
          timer.sleep("1ms")
          for _, task in ipairs(running) do task:cancel() end
        end
        sleeper:cancel()
        actor.exit(silent, "kill")
        return actor.info().tasks
      end)
      assert.equal(1, tasks)
    end)
  end)
end)

describe("wait_all", function()
  it("returns the results of each, in order", function()
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = actor.task(function()
        timer.sleep((4 - i) / 1000)
        if i == 2 then return nil, "no", "code" end
        return i
      end)
    end
    assert.same({ { 1 }, { [2] = "no", [3] = "code" }, { 3 } }, actor.wait_all(tasks))
    assert.same({}, actor.wait_all {})
  end)
end)
