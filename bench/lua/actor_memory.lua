-- about: resident memory of an idle actor that has answered one message
-- workers: 1
local actor = require "perilune.actor"

local ACTORS = 100000

local function resident_bytes()
  local file = assert(io.open("/proc/self/statm"))
  local _, pages = file:read("n", "n")
  file:close()
  return pages * 4096
end

local function answer()
  while true do
    local message = actor.receive()
    actor.send(message, 1)
  end
end

return function(report)
  local pids = {}
  for i = 1, ACTORS do pids[i] = 0 end
  local before = resident_bytes()
  local self = actor.self()
  for i = 1, ACTORS do
    local pid = actor.spawn(answer)
    pids[i] = pid
    actor.send(pid, self)
    actor.receive()
  end
  report("idle_actor_bytes", (resident_bytes() - before) / ACTORS, "bytes")
  report("idle_actor_lua_bytes", actor.info(pids[1]).memory_bytes, "bytes")
end
