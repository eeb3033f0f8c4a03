-- An HTTP server: routes, parameters, JSON, answers in pieces, events, errors.
--
--   perilune exec examples/06_http_server.lua
--
-- It serves on a free port of 127.0.0.1, asks itself what it shows here, and ends. To keep a server
-- running, wait behind it: `require("perilune.actor").receive()`.
local http = require "perilune.http"
local timer = require "perilune.timer"

local items = { { id = 1, name = "lamp" }, { id = 2, name = "chair" } }

-- A server belongs to the actor that starts it and ends with it; with <close>, with this file.
-- Each request runs its handler in a task of its own, so a handler may wait.
local server <close> = assert(http.serve {
  port = 0, -- any free one; the default
  body_limit = "1MB", -- of a request; over it the client gets 413
  routes = {
    -- A handler returns a status and a body. A table is sent as JSON.
    ["GET /items"] = function() return 200, items end,

    -- `:id` is a parameter; all of them are strings.
    ["GET /items/:id"] = function(req)
      local item = items[tonumber(req.params.id)]
      if not item then return 404, { error = "no item " .. req.params.id } end
      return 200, item
    end,

    -- What the client sent: `req.body`, or decoded. Headers are the third result.
    ["POST /items"] = function(req)
      local item, err = req:json()
      if err then return 400, { error = err } end
      item.id = #items + 1
      items[item.id] = item
      return 201, item, { Location = "/items/" .. item.id }
    end,

    -- `res:stream()` answers piece by piece; a write waits while the client reads too slowly.
    ["GET /count"] = function(req, res)
      local out = res:stream(200, { ["Content-Type"] = "text/plain" })
      for i = 1, tonumber(req.query.to) do out:write("#" .. i) end
    end,

    -- `res:sse()` sends events, which browsers and other clients understand.
    ["GET /clock"] = function(_, res)
      local events = res:sse()
      for tick = 1, 2 do
        events:write { event = "tick", id = tostring(tick), data = "tock" }
        timer.sleep("10ms")
      end
    end,

    -- An error answers 500, is logged, and ends nothing else.
    ["GET /broken"] = function() error("this one is for the log") end,
  },
})

local function show(method, path, options)
  local res = http.request(method, server.url .. path, options)
  print(method .. " " .. path .. ": " .. res.status .. " " .. res.body)
  return res
end

show("GET", "/items/2") --> GET /items/2: 200 {"id":2,"name":"chair"}
show("GET", "/items/9") --> GET /items/9: 404 {"error":"no item 9"}

local made = show("POST", "/items", { json = { name = "desk" } })
--> POST /items: 201 {"id":3,"name":"desk"}
print("it is at " .. made.headers.location) --> it is at /items/3

show("GET", "/count?to=5") --> GET /count?to=5: 200 #1#2#3#4#5
print((http.get(server.url .. "/clock").body:gsub("\n", "|")))
--> event: tick|id: 1|data: tock||event: tick|id: 2|data: tock||

-- What the server answers by itself.
print(http.get(server.url .. "/nowhere").status) --> 404
print(http.put(server.url .. "/items").headers.allow) --> GET, HEAD, POST
print(http.get(server.url .. "/broken").status) --> 500

-- Closing lets requests that are being answered end: 5 seconds, or what it is told.
server:close("1s")
print(select(3, http.get(server.url .. "/items"))) --> ECONNREFUSED
