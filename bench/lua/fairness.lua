-- about: delay of a 1 ms sleep beside an actor in an endless loop, on the same worker
-- workers: 1
local actor = require "perilune.actor"
local timer = require "perilune.timer"

local SLEEPS = 200

local function spin() while true do end end

-- The same, and pcall around it.
local function spin_in_pcall() while true do pcall(spin) end end

local function at(sorted, share) return sorted[math.max(1, math.ceil(#sorted * share))] end

local function measure(report, name, fn, count)
  local pids = {}
  for i = 1, count do pids[i] = actor.spawn(fn) end
  timer.sleep("20ms")
  local delays = {}
  for i = 1, SLEEPS do
    local before = timer.now()
    timer.sleep("1ms")
    delays[i] = (timer.now() - before) * 1000 - 1
  end
  for _, pid in ipairs(pids) do actor.exit(pid, "kill") end
  table.sort(delays)
  report(name .. "_p50", at(delays, 0.5), "ms")
  report(name .. "_p99", at(delays, 0.99), "ms")
  report(name .. "_max", delays[#delays], "ms")
end

return function(report)
  measure(report, "idle", spin, 0)
  measure(report, "loop", spin, 1)
  measure(report, "loop_in_pcall", spin_in_pcall, 1)
  measure(report, "four_loops", spin, 4)
end
