-- What the HTTP specs share: servers in actors of their own, nginx, certificates.

local actor = require "perilune.actor"

local M = {}

--- Runs a server, that which `start()` returns, in an actor of its own: its URL, its port, a function
--- that returns its stats, and one that ends it.
function M.serve(start)
  local pid = assert(actor.spawn(function(parent, begin)
    local server = begin()
    actor.send(parent, { "serving", actor.self(), server.url, server.port })
    actor.serve { stats = function() return server:stats() end }
  end, actor.self(), start))
  local message = assert(actor.receive_match(function(message)
    return type(message) == "table" and message[1] == "serving" and message[2] == pid
  end, "10s"))
  local function stats() return assert(actor.call(pid, { "stats" })) end
  return message[3], message[4], stats, function() actor.exit(pid, "shutdown") end
end

return M
