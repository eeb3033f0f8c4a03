-- Timers, tasks and time limits.
--
--   perilune exec --virtual-time examples/04_timers.lua
--
-- Sleeping, calling later, again and again, and time limits. With --virtual-time nobody waits: the
-- clock jumps to the next timer as soon as nothing can run. The same program runs in real time,
-- too.
--
--> 0.0 s: begin
--> 1.5 s: after a sleep
--> 2.0 s: after
--> 4.0 s: every, turn 1
--> 5.0 s: every, turn 2
--> 6.0 s: every, turn 3
--> 7.5 s: three tasks side by side took 1.0 s
--> 8.0 s: not done within 500ms (timeout)
--> 8.0 s: in time: done

local actor = require "perilune.actor"
local timer = require "perilune.timer"

local start = timer.now()

local function say(text) print(("%.1f s: %s"):format(timer.now() - start, text)) end

say "begin"
timer.sleep(1.5) -- seconds, or text: "1.5s", "1500ms"
say "after a sleep"

-- A timer's function is a task of its own: it may sleep, call and receive.
timer.after("500ms", function() say "after" end)
timer.sleep("1s")
assert(timer.now() - start >= 2.5)

timer.sleep("500ms")
local turns = 0
local ticker = timer.every("1s", function()
  turns = turns + 1
  say("every, turn " .. turns)
end)
timer.sleep("3500ms")
ticker:cancel()
assert(turns == 3)

-- Tasks run side by side within one actor; while one waits, the others go on.
local before = timer.now()
local tasks = {}
for i = 1, 3 do tasks[i] = actor.task(timer.sleep, "1s") end
actor.wait_all(tasks)
say(("three tasks side by side took %.1f s"):format(timer.now() - before))

-- A time limit on anything that waits or computes.
local _, err, code = timer.with_timeout("500ms", function()
  timer.sleep("1h")
  return "never"
end)
say(("%s (%s)"):format(err, code))
say("in time: " .. timer.with_timeout("1s", function() return "done" end))
