-- An open load test: iterations begin at a rate, whatever the earlier ones do.
local check = require "perilune.check"
local timer = require "perilune.timer"

return {
  options = {
    scenarios = {
      orders = {
        executor = "constant-arrival-rate",
        rate = 50, -- iterations a second
        duration = "10s",
        pre_allocated_vus = 10, -- users made before the run
        max_vus = 100, -- more are made when all are busy; then iterations are dropped
        exec = "order",
      },
    },
    thresholds = {
      -- counted from the moment an iteration should have begun
      iteration_duration = { "p(95)<200", { threshold = "p(99)<1000", abort_on_fail = true } },
      dropped_iterations = "count<1",
    },
  },

  order = function(vu)
    timer.sleep(0.05 + 0.05 * math.random()) -- the work
    check("has a user", vu.id >= 1)
  end,
}
