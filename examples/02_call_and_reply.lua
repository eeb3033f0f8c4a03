-- Calls and replies: serving requests, time-outs, streams.
--
--   perilune exec examples/02_call_and_reply.lua
--
-- A call sends a request and waits for the reply. `serve` is the loop that answers requests.
--
--> apples: 3
--> pears: nil, no such key: pears (not_found)
--> slow: nil, timeout
--> 7 squared is 49
--> 1 2 3 4 5
--> the answer came from somebody else: 42

local actor = require "perilune.actor"
local timer = require "perilune.timer"

local store = actor.spawn({ name = "store" }, function()
  local items = {}
  -- A message { "put", key, value } calls put(key, value); what that returns is the reply.
  actor.serve {
    put = function(key, value) items[key] = value end,
    get = function(key)
      if items[key] == nil then return nil, "no such key: " .. key, "not_found" end
      return items[key]
    end,
    slow = function() timer.sleep("1m") end,
  }
end)

-- To a pid or to a registered name.
actor.call(store, { "put", "apples", 3 })
print("apples: " .. actor.call("store", { "get", "apples" }))

-- value, err, code: as the other side returned them.
local value, err, code = actor.call("store", { "get", "pears" })
print(("pears: %s, %s (%s)"):format(value, err, code))

-- A call waits for 5 s at most, or as long as it says. It never hangs.
value, err, code = actor.call("store", { "slow" }, { timeout = "20ms" })
print(("slow: %s, %s"):format(value, code))
assert(err)

-- Requests can be taken by hand: `receive` gives the message and the request, to be answered now,
-- later, or by somebody else.
local squarer = actor.spawn(function()
  for number, request in actor.messages() do
    if request then request:reply(number * number) end
  end
end)
print("7 squared is " .. actor.call(squarer, 7))

-- An answer of many values is a stream. The writer is at most 16 values ahead of the reader.
local counter = actor.spawn(function()
  local limit, request = actor.receive()
  local stream <close> = request:stream()
  for i = 1, limit do stream:write(i) end
end)
local numbers = {}
for number in actor.stream(counter, 5) do table.insert(numbers, number) end
print(table.concat(numbers, " "))

-- A request can be sent on like a value.
local expert = actor.spawn(function()
  local request = actor.receive()
  request:reply(42)
end)
local desk = actor.spawn(function()
  local _, request = actor.receive()
  actor.send(expert, request)
end)
print("the answer came from somebody else: " .. actor.call(desk, "what is the answer?"))
