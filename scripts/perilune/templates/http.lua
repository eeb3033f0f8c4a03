-- A load test of an HTTP service: perilune run -e TARGET=http://127.0.0.1:8080 FILE
-- Without a TARGET it starts a small service of its own.
local check = require "perilune.check"
local http = require "perilune.http"
local run = require "perilune.run"

local function start_service()
  local server = http.serve {
    routes = {
      ["GET /items"] = function() return 200, { { id = 1, name = "first" }, { id = 2, name = "second" } } end,
    },
  }
  return server.url
end

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

  setup = function() return { base = run.env.TARGET or start_service() } end,

  default = function(_, data)
    local res = http.get(data.base .. "/items")
    check("status is 200", res.status == 200)
    check("has items", res:json("[1].id") == 1)
  end,
}
