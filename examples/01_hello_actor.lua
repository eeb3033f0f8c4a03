-- Hello, actor: spawning, sending, receiving, hearing of an end.
--
--   perilune exec examples/01_hello_actor.lua
--
-- An actor is a piece of program with a Lua state of its own. Actors share nothing: they send each
-- other messages, which are copied.
--
--> greeter got: hello
--> greeter got: 42
--> greeter got: a table with 3 fruits, first apple
--> the counter here is still 0
--> there is no such actor any more: noproc

local actor = require "perilune.actor"

-- This variable goes with the function as a copy: what the actor does to it is not seen here.
local counter = 0

-- A spawn gives a pid: who to send to. The arguments behind the function are copied, too.
local greeter = actor.spawn(function(main)
  for message in actor.messages() do
    if message == "stop" then break end
    counter = counter + 1
    if type(message) == "table" then
      message = ("a table with %d fruits, first %s"):format(#message, message[1])
    end
    print("greeter got: " .. message)
  end
  actor.send(main, counter)
end, actor.self())

-- Messages arrive in the order in which they were sent.
actor.send(greeter, "hello")
actor.send(greeter, 42)
actor.send(greeter, { "apple", "pear", "plum" })
actor.send(greeter, "stop")

-- `receive` waits for a message, here for at most two seconds. Waiting costs no thread.
local count = assert(actor.receive("2s"))
assert(count == 3)
print("the counter here is still " .. counter)

-- Who monitors an actor gets a message when it has ended; for one that has ended before, at once.
actor.monitor(greeter)
local down, request = actor.receive("2s")
assert(request == actor.SYSTEM and down.type == "down" and down.pid == greeter)

-- Nothing is raised when the world refuses: it is said in the results.
local ok, _, code = actor.send(greeter, "too late")
assert(not ok)
print("there is no such actor any more: " .. code)
