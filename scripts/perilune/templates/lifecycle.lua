-- Every stage of a load test, from setup to teardown.
local metrics = require "perilune.metrics"
local run = require "perilune.run"
local timer = require "perilune.timer"

local logins = metrics.counter("logins")
local work = metrics.trend("work", { unit = "ms" })

return {
  options = { vus = 5, iterations = 50 },

  -- Once, before all users. What it returns is copied to them.
  setup = function()
    return { greeting = run.env.GREETING or "hello", started = timer.unix() }
  end,

  -- Once for each virtual user. vu.state is the user's own; everything else is shared.
  init = function(vu, data)
    vu.state.name = ("%s-%d"):format(data.greeting, vu.id)
    logins:add(1)
  end,

  default = function(vu)
    run.group("work", function()
      work:time(timer.sleep, "20ms")
    end)
    vu.state.last = vu.iteration
  end,

  -- Once for each virtual user, when it has ended.
  done = function(vu)
    assert(vu.state.last ~= nil or vu.iteration == 0)
  end,

  -- Once, after all users, also when the run was aborted.
  teardown = function(data)
    print(("%d logins, %.1f s"):format(metrics.get("logins", "count"), timer.unix() - data.started))
  end,
}
