local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

local in_actor = support.in_actor

describe("a coroutine", function()
  it("made while the actor's main task waits can be resumed, yield and block", function()
    local results = in_actor(function()
      local task = actor.task(function()
        timer.sleep("2ms") -- the main task waits in wait() now
        local co = coroutine.create(function(a)
          timer.sleep("1ms")
          local b = coroutine.yield(a + 1)
          timer.sleep("1ms")
          return b + 1
        end)
        local list = { coroutine.status(co), coroutine.resume(co, 1) }
        table.insert(list, coroutine.status(co))
        table.insert(list, select(2, coroutine.resume(co, 10)))
        table.insert(list, coroutine.status(co))
        return list
      end)
      return task:wait()
    end)
    assert.same({ "suspended", true, 2, "suspended", 11, "dead" }, results)
  end)

  it("that is running cannot be resumed", function()
    local function try() return { coroutine.resume(coroutine.running()) } end
    local expected = { false, "cannot resume non-suspended coroutine" }
    assert.same(expected, in_actor(try))
    assert.same(expected, in_actor(function() return coroutine.wrap(try)() end))
    assert.same(expected, in_actor(function()
      local outer = coroutine.running()
      return coroutine.wrap(function() return { coroutine.resume(outer) } end)()
    end))
  end)

  it("that wraps itself says so", function()
    local message = in_actor(function()
      local wrapped
      wrapped = coroutine.wrap(function() wrapped() end)
      return select(2, pcall(wrapped))
    end)
    assert.matches("cannot resume non%-suspended coroutine", message)
  end)
end)
