-- perilune.http: the Lua half. Loaded when a name is touched that the C half
-- (runtime/bind/l_http.c) does not have; gets the module's table and adds to it.

local M = ...

local actor = require "perilune.actor"

-- ---- batch: several requests at once, as many at a time as k6 allows ----

local LIMITS = { batch = 20, batch_per_host = 6 } -- k6's

local function fail(level, format, ...) error(format:format(...), level + 1) end

local function check_limits(limits)
  local checked = {}
  for name, default in pairs(LIMITS) do checked[name] = default end
  for name, value in pairs(limits or {}) do
    if not LIMITS[name] then
      fail(3, "batch: unknown option '%s' (known: batch, batch_per_host)", tostring(name))
    end
    if math.type(value) ~= "integer" or value < 1 then
      fail(3, "batch: option '%s': an integer of at least 1 expected, got %s", name,
        tostring(value))
    end
    checked[name] = value
  end
  return checked
end

-- What one entry asks for: "url", { "METHOD", "url", options }, or { method =, url =, ...options }.
local function plan_of(entry, key)
  if type(entry) == "string" then return { method = "GET", url = entry, key = key } end
  if type(entry) ~= "table" then
    fail(4, "batch: entry %s: a URL or a table expected, got %s", tostring(key), type(entry))
  end
  local plan = { method = entry[1], url = entry[2], options = entry[3], key = key }
  if entry[1] == nil then
    plan.options = {}
    for name, value in pairs(entry) do plan.options[name] = value end
    plan.method, plan.url = entry.method or "GET", entry.url
    plan.options.method, plan.options.url = nil, nil
  end
  if type(plan.method) ~= "string" or type(plan.url) ~= "string" then
    fail(4, "batch: entry %s: a method and a URL expected, got %s and %s", tostring(key),
      type(plan.method), type(plan.url))
  end
  return plan
end

-- Lists in their order, then named entries by name.
local function plans_of(requests)
  if type(requests) ~= "table" then fail(3, "batch: a table expected, got %s", type(requests)) end
  local plans, names = {}, {}
  for index, entry in ipairs(requests) do plans[index] = plan_of(entry, index) end
  for key in pairs(requests) do
    if not (math.type(key) == "integer" and key >= 1 and key <= #plans) then
      if type(key) ~= "string" then
        fail(3, "batch: a list without holes, or names expected as keys, got %s", tostring(key))
      end
      table.insert(names, key)
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do table.insert(plans, plan_of(requests[name], name)) end
  return plans
end

local function host_of(url) return (url:match("^%a[%w+.-]*://([^/?#]*)") or ""):lower() end

-- Takes the first plan whose host has room. None: whoever makes room will come back for more.
local function take(plans, running, per_host)
  for index, plan in ipairs(plans) do
    local host = host_of(plan.url)
    if (running[host] or 0) < per_host then
      running[host] = (running[host] or 0) + 1
      return table.remove(plans, index), host
    end
  end
  return nil
end

local function cancel_all(tasks)
  for _, task in ipairs(tasks) do task:cancel() end
end

--- Runs the requests at the same time, at most `batch` (20) of them and `batch_per_host` (6) to one
--- host; the responses are under the keys of the requests.
function M.batch(requests, limits)
  limits = check_limits(limits)
  local plans, running, results, failure = plans_of(requests), {}, {}, nil
  local tasks <close> = setmetatable({}, { __close = cancel_all })
  local function work()
    while not failure do
      local plan, host = take(plans, running, limits.batch_per_host)
      if not plan then return end
      local ok, res = pcall(M.request, plan.method, plan.url, plan.options)
      running[host] = running[host] - 1
      if ok then
        results[plan.key] = res
      else
        failure = ("batch: entry %s: %s"):format(tostring(plan.key), tostring(res))
      end
    end
  end
  for _ = 1, math.min(#plans, limits.batch) do table.insert(tasks, actor.task(work)) end
  for _, task in ipairs(tasks) do task:wait() end
  if failure then fail(2, "%s", failure) end
  return results
end
