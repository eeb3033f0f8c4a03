-- about: HTTP in a load run: rate, CPU, a waiting user's memory (PERILUNE_BENCH_URL, or our server)
-- workers: 1
--
-- Each figure is a `perilune run` of its own, so what is measured is what a tester gets: an
-- iteration that asks and reads the status, all default metrics, one worker. CPU is all of that
-- process, its start included. The memory of a waiting user is the difference between two numbers
-- of users, so that what the process takes itself is not in it.
local actor = require "perilune.actor"
local http = require "perilune.http"
local process = require "perilune.process"
local timer = require "perilune.timer"

local SECONDS = 3
local CONNECTIONS = { 50, 1000 }
local WAITING_FEW, WAITING_MANY = 1000, 5000
local TIMEOUT = 60 -- of anything that is waited for

local SERVER = [[
local http = require "perilune.http"
local timer = require "perilune.timer"
local server
server = assert(http.serve { backlog = 4096, connections = 20000, routes = {
  ["GET /"] = function() return 200, "hello, world\n" end,
  ["GET /waiting"] = function() return 200, tostring(server:stats().exchanges) end,
  ["GET /never"] = function() timer.sleep("1h") return 200 end,
} })
io.stdout:write(server.url, "/\n")
io.stdout:flush()
require("perilune.actor").receive()
]]

local LOAD = [[
local http = require "perilune.http"
local env = require("perilune.run").env
return {
  options = { vus = tonumber(env.USERS), duration = env.SECONDS .. "s" },
  default = function()
    local res = http.get(env.URL)
    if res.status ~= 200 then error("status " .. res.status) end
  end,
  summary = function(result)
    for _, metric in ipairs(result.results.metrics) do
      if metric.name == "http_reqs" then
        print("figures", metric.values.count, metric.values.rate, os.clock())
      end
    end
  end,
}
]]

local WAIT = [[
local http = require "perilune.http"
local env = require("perilune.run").env
return {
  options = { vus = tonumber(env.USERS), iterations = tonumber(env.USERS) },
  default = function() http.get(env.URL, { timeout = "1h" }) end,
}
]]

local function with_file(text, use)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local result, err = use(path)
  os.remove(path)
  return assert(result, err)
end

local function resident_bytes(pid)
  local file = assert(io.open(("/proc/%d/statm"):format(pid)))
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096
end

-- A server of ours, in a process of its own so that its CPU is not counted here.
local function start_server()
  local server = with_file(SERVER, function(path)
    return process.spawn { "/proc/self/exe", "exec", "--workers", "1", path,
      name = "server", ready = { log = "^http://", timeout = TIMEOUT } }
  end)
  return server, server:output("stdout"):match("[^\n]+")
end

local function run(script, variables, finish)
  return with_file(script, function(path)
    local arguments = { "/proc/self/exe", "run", "--quiet", "--workers", "1", name = "load" }
    for name, value in pairs(variables) do
      table.insert(arguments, "-e")
      table.insert(arguments, ("%s=%s"):format(name, value))
    end
    table.insert(arguments, path)
    local load <close> = assert(process.spawn(arguments))
    return finish(load)
  end)
end

-- Requests a second, and microseconds of CPU for each.
local function load(url, users)
  return table.unpack(run(LOAD, { URL = url, USERS = users, SECONDS = SECONDS }, function(child)
    local code, err = child:wait(TIMEOUT)
    local output = child:output("stdout")
    local count, rate, cpu = output:match("figures%s+(%S+)%s+(%S+)%s+(%S+)")
    if code ~= 0 or not count then
      error(("run: %s\n%s%s"):format(err or code, output, child:output("stderr")))
    end
    return { tonumber(rate), tonumber(cpu) * 1e6 / tonumber(count) }
  end))
end

-- What a run takes when so many of its users wait for an answer.
local function resident_with(url, users)
  return run(WAIT, { URL = url .. "never", USERS = users }, function(child)
    local deadline = timer.now() + TIMEOUT
    repeat
      timer.sleep("50ms")
      assert(timer.now() < deadline, "the users do not come to wait")
    until tonumber(http.get(url .. "waiting").body) > users -- and the request that asks
    local bytes = resident_bytes(child.pid)
    child:kill("KILL")
    return bytes
  end)
end

-- The same without its connection: a task's request, as its actor's ledger has it.
local function waiting_task_bytes(url)
  local tasks = {}
  local function wait_for_ever() http.get(url .. "never", { timeout = "1h" }) end
  actor.task(wait_for_ever):cancel()
  collectgarbage()
  local before = actor.info(actor.self()).memory_bytes
  for i = 1, WAITING_FEW do tasks[i] = actor.task(wait_for_ever) end
  timer.sleep("100ms")
  collectgarbage()
  local more = actor.info(actor.self()).memory_bytes - before
  for _, task in ipairs(tasks) do task:cancel() end
  return more / WAITING_FEW
end

return function(report)
  local server, own_url = start_server()
  local url = os.getenv("PERILUNE_BENCH_URL") or own_url
  for _, users in ipairs(CONNECTIONS) do
    local rate, cpu_us = load(url, users)
    report("rps_" .. users, rate, "/s")
    report("cpu_us_per_req_" .. users, cpu_us, "us")
  end
  report("waiting_task_bytes", waiting_task_bytes(own_url), "bytes")
  local more = resident_with(own_url, WAITING_MANY) - resident_with(own_url, WAITING_FEW)
  report("waiting_vu_and_connection_bytes", more / (WAITING_MANY - WAITING_FEW), "bytes")
  server:close()
end
