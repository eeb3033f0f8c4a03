-- The bundled HTTP service: something real to send load at. It listens on a socket, keeps items,
-- and counts what it is asked, so that a load test's figures can be held against its own.
--
--   local service = require "std.service"
--   local s = assert(service.start())      -- s.url, s.pid
--   service.stop(s)
--
-- It runs in an actor of its own, so that a scenario's setup can start it and teardown end it. The
-- table that `start` returns may travel: in messages, and as setup's result.

local M = ...

local actor = require "perilune.actor"
local http = require "perilune.http"
local timer = require "perilune.timer"

local ITEMS_FIRST, ITEMS_MAX = 20, 1000 -- at its start; beyond the most, the oldest goes
local WAIT_MAX_MS = 60000
local BYTES_MAX = 16 * 1024 * 1024

-- ---- items ----

local function new_store()
  local store = { items = {}, first = 1, last = 0 }
  for _ = 1, ITEMS_FIRST do M._put(store, ("item %d"):format(store.last + 1)) end
  return store
end

function M._put(store, name)
  store.last = store.last + 1
  local item = { id = store.last, name = name }
  store.items[item.id] = item
  if store.last - store.first >= ITEMS_MAX then
    store.items[store.first] = nil
    store.first = store.first + 1
  end
  return item
end

local function list_items(store)
  local list = {}
  for id = store.first, math.min(store.last, store.first + ITEMS_FIRST - 1) do
    list[#list + 1] = store.items[id]
  end
  return 200, { items = list, count = store.last - store.first + 1 }
end

local function get_item(store, req)
  local item = store.items[math.tointeger(req.params.id)]
  if not item then return 404, { error = "no such item: " .. req.params.id } end
  return 200, item
end

local function add_item(store, req)
  local name, why = req:json("name")
  if type(name) ~= "string" then
    local expected = 'a JSON object with a text "name" is expected'
    return 400, { error = why and expected .. ": " .. why or expected }
  end
  local item = M._put(store, name)
  return 201, item, { Location = "/items/" .. item.id }
end

-- ---- the other routes ----

local function whole(text, most)
  local number = math.tointeger(tonumber(text))
  return number and number >= 0 and number <= most and number or nil
end

local function wait(_, req)
  local ms = whole(req.query.ms, WAIT_MAX_MS)
  if not ms then return 400, { error = ("ms: 0 to %d is expected"):format(WAIT_MAX_MS) } end
  timer.sleep(ms / 1000)
  return 200, { waited_ms = ms }
end

local function status(_, req)
  local code = whole(req.params.code, 999)
  if not code or code < 200 then return 400, { error = "a status of 200 to 999 is expected" } end
  return code, code ~= 204 and code ~= 304 and "status " .. code .. "\n" or nil
end

local function bytes(_, req)
  local size = whole(req.params.size, BYTES_MAX)
  if not size then return 400, { error = ("0 to %d bytes are expected"):format(BYTES_MAX) } end
  return 200, ("x"):rep(size), { ["Content-Type"] = "application/octet-stream" }
end

local ROUTES = {
  ["GET /"] = function() return 200, "hello\n" end,
  ["GET /items"] = list_items,
  ["GET /items/:id"] = get_item,
  ["POST /items"] = add_item,
  ["GET /wait"] = wait,
  ["GET /status/:code"] = status,
  ["GET /bytes/:size"] = bytes,
  ["* /*"] = function(_, req) return 404, { error = "nothing is here: " .. req.path } end,
}

-- Each route as a handler that counts: when the request is there, so that also those whose client
-- does not wait for the answer are seen.
local function handlers()
  local store, stats, routes = new_store(), { requests = 0, statuses = {} }, {}
  for route, handle in pairs(ROUTES) do
    routes[route] = function(req)
      stats.requests = stats.requests + 1
      local code, body, headers = handle(store, req)
      local name = tostring(code)
      stats.statuses[name] = (stats.statuses[name] or 0) + 1
      return code, body, headers
    end
  end
  routes["GET /stats"] = function() return 200, stats end
  return routes
end

-- ---- its actor ----

function M._run(options)
  local server, why, code = http.serve {
    host = options.host, port = options.port, backlog = 4096, routes = handlers(),
  }
  actor.serve {
    url = function()
      if not server then return nil, why, code end
      return server.url
    end,
    close = function() server:close(0) end,
  }
end

--- Starts it. options: host (127.0.0.1), port (any free one). What comes back has `url` and `pid`;
-- or nil, message, code.
function M.start(options)
  local pid, message, code = actor.spawn(function(given) require "std.service"._run(given) end, {
    host = options and options.host, port = options and options.port,
  })
  if not pid then return nil, message, code end
  local url
  url, message, code = actor.call(pid, { "url" })
  if url then return { url = url, pid = pid } end
  actor.exit(pid, "shutdown")
  return nil, message, code
end

--- Ends it, whatever it is answering. Idempotent.
function M.stop(service)
  actor.call(service.pid, { "close" })
  actor.exit(service.pid, "shutdown")
end
