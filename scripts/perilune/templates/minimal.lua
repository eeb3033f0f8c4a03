-- A load test. Run it with `perilune run FILE`; `perilune help run` lists the flags.
local check = require "perilune.check"
local timer = require "perilune.timer"

return {
  options = {
    vus = 10,
    duration = "10s",
    thresholds = {
      iteration_duration = "p(95)<200",
      checks = "rate>0.99",
    },
  },

  -- One iteration of a virtual user; it begins again when it returns.
  default = function(vu)
    timer.sleep("100ms") -- the work
    check("is a number", type(vu.iteration) == "number")
  end,
}
