-- about: what timers cost from Lua: start, cancel, fire, a sleep
-- workers: 1
local actor = require "perilune.actor"
local timer = require "perilune.timer"

local TIMERS = 100000

local function nothing() end

local function timed(report, name, count, fn)
  collectgarbage()
  local before = timer.now()
  fn()
  report(name, (timer.now() - before) / count * 1e9, "ns")
end

-- Cancelled in an order that is not that of their start.
local function start_and_cancel(report)
  local timers, order = {}, {}
  for i = 1, TIMERS do timers[i], order[i] = false, i end
  for i = TIMERS, 2, -1 do
    local j = math.random(i)
    order[i], order[j] = order[j], order[i]
  end
  timed(report, "start", TIMERS, function()
    for i = 1, TIMERS do timers[i] = timer.after(3600 + i % 1000, nothing) end
  end)
  timed(report, "cancel", TIMERS, function()
    for i = 1, TIMERS do timers[order[i]]:cancel() end
  end)
end

-- All are due at one time, well after the last was started; from there to the end of the last turn.
local function fire(report)
  local due, fired, last = timer.now() + 3, 0, nil
  local function turn()
    fired = fired + 1
    if fired == TIMERS then last = timer.now() end
  end
  for _ = 1, TIMERS do timer.after(due - timer.now(), turn) end
  assert(timer.now() < due, "the machine is too slow for this")
  while not last do timer.sleep("10ms") end
  report("fire", (last - due) / TIMERS * 1e9, "ns")
end

-- Many tasks that sleep at the same time: a sleep and its wake.
local function sleep(report)
  local tasks, rounds = {}, 20
  timed(report, "sleep", TIMERS, function()
    for i = 1, TIMERS // rounds do
      tasks[i] = actor.task(function() for _ = 1, rounds do timer.sleep("1ms") end end)
    end
    actor.wait_all(tasks)
  end)
end

return function(report)
  start_and_cancel(report)
  fire(report)
  sleep(report)
end
