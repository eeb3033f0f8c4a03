-- Supervision: what fails is started again, and its callers are told.
--
--   perilune exec --log-level none examples/03_supervisor.lua
--
-- Things fail. A supervisor starts children and starts them again when they end; meanwhile, calls
-- to their names wait.
--
--> 10 / 4 = 2.5
--> the caller of a bad request is told: exited
--> and the next one is served: 2.0
--> 3 workers took 2 jobs each
--> a child that cannot live takes its supervisor along: shutdown

local actor = require "perilune.actor"

local function divider()
  actor.serve {
    divide = function(a, b)
      if b == 0 then error("division by zero") end
      return a / b
    end,
  }
end

-- Answers with who did the job.
local function worker()
  actor.serve { job = function() return tostring(actor.self()) end }
end

local supervisor = assert(actor.supervisor {
  strategy = "one_for_one", -- only the one that ended is started again
  intensity = 3, period = "5s", -- more than 3 restarts in 5 s: the supervisor gives up
  children = {
    { id = "divider", name = "divider", start = divider },
    -- Three of the same under one name, which take turns.
    { id = "workers", name = "workers", start = worker, count = 3 },
  },
})

print("10 / 4 = " .. actor.call("divider", { "divide", 10, 4 }))

-- The error ends the divider. Its caller is told at once, and a new divider takes the name over.
local _, _, code = actor.call("divider", { "divide", 1, 0 })
print("the caller of a bad request is told: " .. code)
print("and the next one is served: " .. actor.call("divider", { "divide", 4, 2 }))

local jobs, workers = {}, 0
for _ = 1, 6 do
  local who = actor.call("workers", { "job" })
  if not jobs[who] then workers = workers + 1 end
  jobs[who] = (jobs[who] or 0) + 1
end
for _, count in pairs(jobs) do assert(count == 2) end
print(workers .. " workers took 2 jobs each")
assert(#actor.children(supervisor) == 4)

-- Too many failures are not hidden: the supervisor ends, with all that it had started. It is linked
-- to who made it, who would end with it, but for trap_exit: exits come as messages then.
actor.trap_exit(true)
local hopeless = assert(actor.supervisor {
  children = { { start = function() error("not today") end, restart = "permanent" } },
})
local exit = actor.receive_match(function(message, request)
  return request == actor.SYSTEM and message.pid == hopeless
end, "5s")
print("a child that cannot live takes its supervisor along: " .. exit.reason)
