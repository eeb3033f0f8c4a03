-- libuv as it is: `require "luv"` in any actor. Callbacks are tasks, so they may wait.
--
--   perilune exec examples/05_luv.lua
--
-- Use it for what the modules of Perilune do not have: raw sockets, files, watches. It prints:
--
--> the timer fired, and waited within its callback
--> echo: hello over TCP
--> the file has 14 bytes: written by luv
--> an error in a callback ends its actor: over here
--> luv.run: the runtime runs the loop
local actor = require "perilune.actor"
local timer = require "perilune.timer"
local uv = require "luv"

-- A callback runs as a task of the actor that made it: blocking calls work, a slow one does not
-- hold up the next, and the actor goes on when something sends it a message.
local self = actor.self()
local t = uv.new_timer()
t:start(5, 0, function()
  timer.sleep("1ms")
  t:close()
  actor.send(self, "the timer fired, and waited within its callback")
end)
print((actor.receive("5s")))

-- A TCP server and its client, both on this actor's loop.
local server = uv.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(16, function(err)
  assert(not err, err)
  local peer = uv.new_tcp()
  server:accept(peer)
  peer:read_start(function(read_err, data)
    assert(not read_err, read_err)
    if data then peer:write("echo: " .. data) else peer:close() end
  end)
end)
local client = uv.new_tcp()
client:connect("127.0.0.1", server:getsockname().port, function(err)
  assert(not err, err)
  client:read_start(function(_, data)
    if data then actor.send(self, data) end
  end)
  client:write("hello over TCP")
end)
print((actor.receive("5s")))
client:close()
server:close()

-- Files: without a callback luv answers at once, with one a thread of libuv's pool does the work
-- and the actor goes on meanwhile.
local path = os.tmpname()
local file = assert(uv.fs_open(path, "r+", 384))
uv.fs_write(file, "written by luv", nil, function(err, count)
  assert(not err, err)
  actor.send(self, ("the file has %d bytes: %s"):format(count, uv.fs_read(file, 100, 0)))
end)
print((actor.receive("5s")))
uv.fs_close(file)
os.remove(path)

-- What a callback raises ends its actor, as in any task, and nothing else.
local _, _, _, ref = actor.spawn({ monitor = true }, function()
  require("luv").new_timer():start(0, 0, function() error("over here", 0) end)
  actor.receive()
end)
local down = actor.receive_match(function(message) return message.ref == ref end, "5s")
print("an error in a callback ends its actor: " .. down.error)

-- The runtime runs the loop, and closes it with all its handles when the actor ends.
local _, message = pcall(uv.run)
print((message:gsub("^.-(luv.run[^;]*).*", "%1")))
