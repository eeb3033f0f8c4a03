-- about: messages, rings and births of actors, one worker
-- workers: 1
local actor = require "perilune.actor"
local timer = require "perilune.timer"

local now = timer.now
local ROUNDS, RING, HOPS, BIRTHS = 1000000, 1000, 3000000, 100000
local FLOOD, BATCH = 3000000, 1000

local function echo()
  local receive, send = actor.receive, actor.send
  local peer = receive()
  while true do send(peer, receive()) end
end

-- Messages a second, both directions counted; each is handled by Lua code on both sides.
local function ping_pong(on, rounds, ping)
  local peer = actor.spawn({ on = on }, echo)
  actor.send(peer, actor.self())
  local start = now()
  ping(peer, rounds)
  local elapsed = now() - start
  actor.exit(peer, "kill")
  return 2 * rounds / elapsed
end

local function ping_integers(peer, rounds)
  local send, receive = actor.send, actor.receive
  for i = 1, rounds do
    send(peer, i)
    receive()
  end
end

local function ping_strings(peer, rounds)
  local send, receive = actor.send, actor.receive
  for _ = 1, rounds do
    send(peer, "hello, world")
    receive()
  end
end

local function ping_tables(peer, rounds)
  local send, receive = actor.send, actor.receive
  for i = 1, rounds do
    send(peer, { "m", i })
    receive()
  end
end

-- One way. The sender waits for an acknowledgement after each BATCH, so that the mailbox stays
-- bounded as it does in the peers' programs (bench/peers).
local function flood(count, pour)
  local sink = actor.spawn(function(parent, batches, batch)
    local receive, send = actor.receive, actor.send
    for _ = 1, batches do
      for _ = 1, batch do receive() end
      send(parent, true)
    end
  end, actor.self(), count // BATCH, BATCH)
  local receive = actor.receive
  local start = now()
  for first = 1, count, BATCH do
    pour(sink, first, first + BATCH - 1)
    receive()
  end
  return count / (now() - start)
end

local function pour_integers(sink, first, last)
  local send = actor.send
  for i = first, last do send(sink, i) end
end

local function pour_strings(sink, first, last)
  local send = actor.send
  for _ = first, last do send(sink, "hello, world") end
end

local function pour_tables(sink, first, last)
  local send = actor.send
  for i = first, last do send(sink, { "m", i }) end
end

local function ring(size, hops)
  local following = actor.self()
  for _ = 1, size - 1 do
    following = actor.spawn(function(target)
      local receive, send = actor.receive, actor.send
      while true do send(target, receive()) end
    end, following)
  end
  local send, receive = actor.send, actor.receive
  local start = now()
  for round = 1, hops // size do
    send(following, round)
    receive()
  end
  return hops / (now() - start)
end

local function births(count)
  local start = now()
  for _ = 1, count do
    actor.spawn({ monitor = true }, function() end)
    actor.receive()
  end
  return count / (now() - start)
end

return function(report)
  report("pingpong_int", ping_pong(nil, ROUNDS, ping_integers), "/s")
  report("pingpong_str", ping_pong(nil, ROUNDS, ping_strings), "/s")
  report("pingpong_table", ping_pong(nil, ROUNDS, ping_tables), "/s")
  report("flood_int", flood(FLOOD, pour_integers), "/s")
  report("flood_str", flood(FLOOD, pour_strings), "/s")
  report("flood_table", flood(FLOOD, pour_tables), "/s")
  report("spawn_exit", births(BIRTHS), "/s")
  report("ring_1000", ring(RING, HOPS), "/s")
end
