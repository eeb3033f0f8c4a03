-- A load test of an HTTP service: perilune run -e TARGET=http://127.0.0.1:8080 FILE
-- Without a TARGET it starts the bundled service and asks that.
local check = require "perilune.check"
local http = require "perilune.http"
local run = require "perilune.run"
local service = require "std.service"

return {
  options = {
    vus = 20,
    duration = "10s",
    thresholds = {
      http_req_duration = { "p(95)<200" },
      http_req_failed = "rate<0.01",
      checks = "rate>0.99",
    },
  },

  setup = function()
    if run.env.TARGET then return { url = run.env.TARGET } end
    return assert(service.start())
  end,

  default = function(_, data)
    local res = http.get(data.url .. "/items")
    check("status is 200", res.status == 200)
    check("has items", res:json("items[1].id") == 1)
  end,

  teardown = function(data)
    if data and data.pid then service.stop(data) end
  end,
}
