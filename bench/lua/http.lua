-- about: HTTP from Lua: rate, CPU, memory of a waiting user (PERILUNE_BENCH_URL, or our server)
-- workers: 1
local actor = require "perilune.actor"
local http = require "perilune.http"
local process = require "perilune.process"
local timer = require "perilune.timer"

local SECONDS, WARM_UP, WAITING = 3, 0.3, 1000
local CONNECTIONS = { 50, 1000 }

local SERVER = [[
local http = require "perilune.http"
local timer = require "perilune.timer"
local server = assert(http.serve { backlog = 4096, routes = {
  ["GET /"] = function() return 200, "hello, world\n" end,
  ["GET /never"] = function() timer.sleep("1h") return 200 end,
} })
io.stdout:write(server.url, "/\n")
io.stdout:flush()
require("perilune.actor").receive()
]]

local function resident_bytes()
  local file = assert(io.open("/proc/self/statm"))
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096
end

-- A server of ours, in a process of its own so that its CPU is not counted here.
local function start_server()
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(SERVER)
  file:close()
  local server = assert(process.spawn {
    "/proc/self/exe", "exec", "--workers", "1", path, name = "server", ready = { log = "^http://" },
  })
  os.remove(path)
  return server, server:output("stdout"):match("[^\n]+")
end

-- Requests a second, and microseconds of this process's CPU for each.
local function load(url, connections)
  local get, count, is_over, tasks = http.get, 0, false, {}
  for i = 1, connections do
    tasks[i] = actor.task(function()
      while not is_over do
        local res = get(url)
        if res.status ~= 200 then error(res.error or "status " .. res.status) end
        count = count + 1
      end
    end)
  end
  timer.sleep(WARM_UP)
  local before, start, cpu = count, timer.now(), os.clock()
  timer.sleep(SECONDS)
  local done, elapsed, used = count - before, timer.now() - start, os.clock() - cpu
  is_over = true
  actor.wait_all(tasks)
  return done / elapsed, used * 1e6 / done
end

-- What one user takes while it waits for an answer: in its actor's ledger, and with its connection.
local function waiting_user(url)
  local tasks = {}
  local function wait_for_ever() http.get(url, { timeout = "1h" }) end
  actor.task(wait_for_ever):cancel()
  collectgarbage()
  local memory, resident = actor.info(actor.self()).memory_bytes, resident_bytes()
  for i = 1, WAITING do tasks[i] = actor.task(wait_for_ever) end
  timer.sleep(1)
  collectgarbage()
  local more = actor.info(actor.self()).memory_bytes - memory
  local resident_more = resident_bytes() - resident
  for _, task in ipairs(tasks) do task:cancel() end
  return more / WAITING, resident_more / WAITING
end

return function(report)
  local server, own_url = start_server()
  local url = os.getenv("PERILUNE_BENCH_URL") or own_url
  local bytes, resident = waiting_user(own_url .. "never")
  for _, connections in ipairs(CONNECTIONS) do
    local rate, cpu_us = load(url, connections)
    report("rps_" .. connections, rate, "/s")
    report("cpu_us_per_req_" .. connections, cpu_us, "us")
  end
  report("idle_vu_bytes", bytes, "bytes")
  report("idle_vu_and_connection_bytes", resident, "bytes")
  server:close()
end
