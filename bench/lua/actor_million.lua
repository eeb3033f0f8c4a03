-- about: a million actors alive in one process, each having answered a message
-- workers: 1
local actor = require "perilune.actor"

local ACTORS = 1000000

local function answer()
  while true do
    local message = actor.receive()
    actor.send(message, 1)
  end
end

local function resident_bytes()
  local file = assert(io.open("/proc/self/statm"))
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096
end

return function(report)
  local self = actor.self()
  local answered = 0
  for _ = 1, ACTORS do
    actor.send(actor.spawn(answer), self)
    answered = answered + actor.receive()
  end
  report("million_actors", #actor.list() - 2 == answered and answered or 0, "actors")
  report("million_actors_bytes", resident_bytes(), "bytes")
end
