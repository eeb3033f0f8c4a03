-- Endless loops: the others go on, and a kill ends them, wherever they are. Each case is a process
-- of its own, so that the number of workers is the case's.

local support = require "specs.support"

local head = [[
local actor, timer = require "perilune.actor", require "perilune.timer"

local function spin() while true do end end

-- Notes its name when it is closed; waiting is over then.
local closed = {}
local function closer(name, parent)
  return setmetatable({}, { __close = function()
    local sum = 0
    for i = 1, 1000 do sum = sum + i end
    actor.send(parent, { name, sum, (select(3, timer.sleep("1h"))) })
  end })
end

local function sorting(f)
  local t = {}
  for i = 1, 100 do t[i] = i % 17 end
  table.sort(t, function(a, b)
    f()
    return a < b
  end)
end
]]

-- name -> body of a function(parent) that never ends, and what is closed when it is killed
local runaways = {
  ["a loop"] = { "local a <close> = closer('a', parent); spin()", "a" },
  ["a loop around pcall"] = {
    "local a <close> = closer('a', parent); while true do pcall(function() local b <close> = "
      .. "closer('b', parent); spin() end) end",
    "b a",
  },
  ["a coroutine in a task"] = {
    "local a <close> = closer('a', parent); actor.task(function() local b <close> = closer('b', "
      .. "parent); "
      .. "coroutine.wrap(function() local c <close> = closer('c', parent); spin() end)() end) "
      .. "timer.sleep('1h')",
    "c b a",
  },
  ["a metamethod"] = {
    "local a <close> = closer('a', parent); return setmetatable({}, { __index = spin }).x", "a",
  },
  ["an iterator"] = { "local a <close> = closer('a', parent); for _ in spin do end", "a" },
  ["a close variable"] = {
    "local a <close> = closer('a', parent); do local b <close> = setmetatable({}, { __close = "
      .. "spin }) end", "a", never_closes = true,
  },
  ["a timer"] = { "local a <close> = closer('a', parent); timer.every('1ms', spin) "
    .. "timer.sleep('1h')", "a" },
  ["a handler of serve"] = {
    "local a <close> = closer('a', parent); actor.send(actor.self(), 1) actor.serve(spin)", "a",
  },
  ["a function of receive_match"] = {
    "local a <close> = closer('a', parent); actor.send(actor.self(), 1) "
      .. "actor.receive_match(spin)", "a",
  },
  ["with_timeout"] = { "local a <close> = closer('a', parent); timer.with_timeout('1h', spin)",
    "a" },
  ["waits that never wait"] = { "local a <close> = closer('a', parent); while true do "
    .. "timer.sleep(0) end", "a" },
}

-- The same where Lua cannot suspend: only a signal from another worker gets through.
local stuck = {
  ["a sort comparator"] = { "local a <close> = closer('a', parent); sorting(spin)", "a" },
  ["pcall around a sort comparator"] = {
    "local a <close> = closer('a', parent); while true do pcall(function() local b <close> = "
      .. "closer('b', parent) "
      .. "sorting(spin) end) end", "b a",
  },
  ["pcall in a sort comparator"] = {
    "local a <close> = closer('a', parent); sorting(function() local c <close> = closer('c', "
      .. "parent) "
      .. "while true do pcall(function() local b <close> = closer('b', parent) spin() end) end "
      .. "end)",
    "b c a",
  },
  ["xpcall in a sort comparator"] = {
    "local a <close> = closer('a', parent); sorting(function() while true do xpcall(function() "
      .. "local b <close> = closer('b', parent) spin() end, function(e) return e end) end "
      .. "end)", "b a",
  },
  ["with_timeout in a sort comparator"] = {
    "local a <close> = closer('a', parent); sorting(function() while true do "
      .. "timer.with_timeout('1h', function() "
      .. "local b <close> = closer('b', parent) spin() end) end end)", "b a",
  },
  ["a wrapped coroutine in a sort comparator"] = {
    "local a <close> = closer('a', parent); sorting(function() while true do "
      .. "pcall(coroutine.wrap(function() "
      .. "local b <close> = closer('b', parent) spin() end)) end end)", "b a",
  },
  ["a resumed coroutine in a sort comparator"] = {
    "local a <close> = closer('a', parent); sorting(function() while true do "
      .. "coroutine.resume(coroutine.create("
      .. "function() local b <close> = closer('b', parent) spin() end)) end end)", "b a",
  },
  ["a close variable in a sort comparator"] = {
    "local a <close> = closer('a', parent); sorting(function() "
      .. "local b <close> = setmetatable({}, { __close = spin }) end)", "a", never_closes = true,
  },
  ["a gsub callback"] = { "local a <close> = closer('a', parent); ('abc'):gsub('.', spin)", "a" },
  ["__tostring"] = { "local a <close> = closer('a', parent); tostring(setmetatable({}, { "
    .. "__tostring = spin }))", "a" },
  ["a reader of load"] = { "local a <close> = closer('a', parent); while true do load(spin) end",
    "a" },
  ["a message handler"] = { "local a <close> = closer('a', parent); xpcall(error, spin)", "a" },
  ["finalizers, again and again"] = {
    "local a <close> = closer('a', parent); while true do setmetatable({}, { __gc = function() "
      .. "local stop = os.clock() + 0.001 while os.clock() < stop do end end }) collectgarbage() "
      .. "end", "a",
  },
}

-- On worker 1, so that worker 0 can watch, listen and kill.
local kill = [[
local pid, _, _, ref = actor.spawn({ monitor = true, on = 1 }, runaway, actor.self())
timer.sleep("30ms") -- some slices
actor.exit(pid, "kill")
local down = actor.receive_match(function(m) return m.type == "down" end, "20s")
local order = {}
for i, message in ipairs { (actor.receive(0)), (actor.receive(0)), (actor.receive(0)),
  (actor.receive(0)) } do
  assert(message[2] == 500500 and message[3] == "exited")
  order[i] = message[1]
end
print(down and down.reason or "it hangs", table.concat(order, " "))
]]

local function script_of(body, rest)
  return head .. "local function runaway(parent) " .. body .. " end " .. rest
end

-- Where a close variable never ends, what is left of its time is waited for: half a second is as
-- good as the usual five.
local function impatient(script, workers)
  local path = support.file(script)
  local result = support.shell(("PERILUNE_CLOSE_LIMIT=500ms %s exec --workers %d %s %s"):format(
    support.quote(support.perilune), workers, "--log-level none", path))
  os.remove(path)
  return result
end

local function expect_killed(name, case)
  it(("kills %s and closes its variables"):format(name), function()
    local script = script_of(case[1], kill)
    local result = case.never_closes and impatient(script, 2)
      or support.exec(script, "--workers", "2", "--log-level", "none")
    assert.equal("", result.err)
    assert.equal("killed\t" .. case[2] .. "\n", result.out)
  end)
end

describe("pre-emption", function()
  for name, case in pairs(runaways) do
    it(("lets the others go on beside %s"):format(name), function()
      local result = support.exec(script_of(case[1], [[
        actor.spawn({ link = true }, runaway, actor.self())
        local echo = actor.spawn({ link = true }, function()
          actor.serve(function(m) return m end)
        end)
        for i = 1, 5 do
          timer.sleep("1ms")
          assert(actor.call(echo, i, { timeout = "1m" }) == i)
        end
        print "others go on"
      ]]), "--workers", "1", "--log-level", "none")
      assert.equal("", result.err)
      assert.equal("others go on\n", result.out)
    end)
    expect_killed(name, case)
  end
  for name, case in pairs(stuck) do expect_killed(name, case) end

  it("is fair between actors, however many tasks one of them has", function()
    local result = support.exec(head .. [[
      local function time_beside(tasks)
        local pid = actor.spawn(function(n)
          for _ = 2, n do actor.task(spin) end
          spin()
        end, tasks)
        timer.sleep("20ms")
        local start = timer.now()
        for _ = 1, 10 do timer.sleep("1ms") end
        local elapsed = timer.now() - start
        actor.exit(pid, "kill")
        return elapsed
      end
      local one, many = time_beside(1), time_beside(100)
      print(many < one * 20 and "fair" or many / one) -- a turn of all tasks would be 64 slices
    ]], "--workers", "1")
    assert.equal("fair\n", result.out)
  end)

  it("ends an actor whose close variables never end, after their time", function()
    local result = impatient(head .. [[
      local _, _, _, ref = actor.spawn({ monitor = true }, function()
        local a <close> = setmetatable({}, { __close = spin })
        local b <close> = setmetatable({}, { __close = function()
          while true do pcall(spin) end
        end })
        actor.exit(actor.self(), "shutdown")
      end)
      print((actor.receive("1m")).reason)
    ]], 1)
    assert.equal("shutdown\n", result.out)
  end)

  it("ends an actor on another worker whose close variables never end", function()
    local result = impatient(head .. [[
      local pid = actor.spawn({ monitor = true, on = 1 }, function()
        local a <close> = setmetatable({}, { __close = spin })
        timer.sleep("1h")
      end)
      timer.sleep("10ms")
      actor.exit(pid, "kill")
      print((actor.receive("1m")).reason)
    ]], 2)
    assert.equal("killed\n", result.out)
  end)

  it("ends an actor whose error object never becomes text", function()
    local result = impatient(head .. [[
      actor.spawn({ monitor = true }, function() error(setmetatable({}, { __tostring = spin })) end)
      local down = actor.receive("1m")
      print(down.reason, down.error)
    ]], 1)
    assert.equal("error\terror object that cannot be shown\n", result.out)
  end)

  it("does not disturb what is computed", function()
    local result = support.exec(head .. [[
      local function compute()
        local list, sum = {}, 0
        for i = 1, 300000 do
          list[#list + 1] = tostring(i)
          if #list == 100 then
            sum = sum + #table.concat(list, ",")
            list = {}
          end
        end
        return sum
      end
      local tasks = {}
      for i = 1, 4 do tasks[i] = actor.task(function() return coroutine.wrap(compute)() end) end
      local expected = compute()
      for _, result in ipairs(actor.wait_all(tasks)) do assert(result[1] == expected) end
      print "the same"
    ]], "--workers", "1")
    assert.equal("the same\n", result.out)
  end)

  it("is a tick away from a call of exit, also where Lua cannot suspend", function()
    local down = support.end_of(function()
      local exit, self = require "perilune.actor".exit, require "perilune.actor".self()
      table.sort({ 3, 2, 1 }, function()
        exit(self, "out of a comparator")
        local rounds = 0
        while true do rounds = rounds + 1 end
      end)
    end)
    assert.equal("out of a comparator", down.reason)
  end)
end)
