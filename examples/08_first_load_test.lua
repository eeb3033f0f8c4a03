-- A first load test: 20 virtual users ask an HTTP service for ten seconds.
--
--   perilune run examples/08_first_load_test.lua
--   perilune run -e TARGET=http://127.0.0.1:8080/ examples/08_first_load_test.lua
--
-- Without a TARGET it starts the bundled service and asks that, over real sockets.
local check = require "perilune.check"
local http = require "perilune.http"
local run = require "perilune.run"
local service = require "std.service"
local timer = require "perilune.timer"

return {
  options = {
    vus = 20, -- virtual users
    duration = "10s", -- that long each of them repeats `default`
    thresholds = { -- the verdict; when one of them fails the exit code is 99
      http_req_failed = "rate<0.01",
      http_req_duration = { "p(95)<200", "p(99)<500" }, -- milliseconds
      checks = "rate>0.99",
    },
  },

  -- Once, before the users. What it returns is copied to all of them.
  setup = function()
    if run.env.TARGET then return { url = run.env.TARGET } end
    local started = assert(service.start())
    return { url = started.url .. "/items", service = started }
  end,

  -- What a user does again and again. `vu.state` is its own, everything else is shared.
  default = function(vu, data)
    local res = http.get(data.url)
    check("status is 200", res.status == 200)
    vu.state.requests = (vu.state.requests or 0) + 1
    timer.sleep("10ms") -- it thinks
  end,

  -- Once, after the users, whatever became of the run.
  teardown = function(data)
    if data and data.service then service.stop(data.service) end
  end,
}
