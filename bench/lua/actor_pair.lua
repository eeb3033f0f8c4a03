-- about: messages between two workers
-- workers: 2
local actor = require "perilune.actor"
local timer = require "perilune.timer"

local ROUNDS = 300000

return function(report)
  local peer = actor.spawn({ on = 1 }, function()
    local receive, send = actor.receive, actor.send
    local other = receive()
    while true do send(other, receive()) end
  end)
  actor.send(peer, actor.self())
  local send, receive = actor.send, actor.receive
  local start = timer.now()
  for i = 1, ROUNDS do
    send(peer, i)
    receive()
  end
  report("pingpong_2workers", 2 * ROUNDS / (timer.now() - start), "/s")
end
