-- about: a load run: what an iteration costs beside the work that it does
-- workers: 1
local json = require "perilune.json"
local process = require "perilune.process"

local HEAD = [[
local check = require "perilune.check"
local metrics = require "perilune.metrics"
local orders = metrics.counter("orders")
]]

local CASES = {
  { "empty", 'vus = 1, duration = "1s"', "" },
  { "empty_500_users", 'vus = 500, duration = "1s"', "" },
  { "check", 'vus = 1, duration = "1s"', 'check("is true", true)' },
  { "counter", 'vus = 1, duration = "1s"', "orders:add(1)" },
  { "check_tagged", [[vus = 1, duration = "1s",
    thresholds = { ["checks{page:front}"] = "rate>0.5" }]],
    'check("is true", true, { page = "front" })' },
}

local function take(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  os.remove(path)
  return text
end

-- Iterations a second, in a process of its own with one worker.
local function rate_of(options, body)
  local script, export = os.tmpname(), os.tmpname()
  local file = assert(io.open(script, "w"))
  file:write(HEAD, "return { options = { ", options, " }, default = function() ", body, " end }")
  file:close()
  local proc <close> = assert(process.spawn {
    "/proc/self/exe", "run", "--quiet", "--workers", "1", "--summary-mode", "disabled",
    "--summary-export", export, script,
  })
  local code = assert(proc:wait("30s"))
  os.remove(script)
  local result = take(export)
  if code ~= 0 then error(proc:output("stderr")) end
  for _, metric in ipairs(assert(json.decode(result)).results.metrics) do
    if metric.name == "iterations" then return metric.values.rate end
  end
end

return function(report)
  local empty_ns
  for _, case in ipairs(CASES) do
    local name, options, body = table.unpack(case)
    local rate = rate_of(options, body)
    report("iterations_" .. name, rate, "/s")
    empty_ns = empty_ns or 1e9 / rate
    if body ~= "" then report("cost_of_" .. name, 1e9 / rate - empty_ns, "ns/op") end
  end
end
