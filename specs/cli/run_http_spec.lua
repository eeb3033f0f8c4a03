-- perilune run over real sockets: what it counts is what the servers count.
local json = require "perilune.json"
local scenario = require "specs.cli.scenario"
local servers = require "specs.support.http"
local support = require "specs.support"

local measure, metric = scenario.measure, scenario.metric

local PHASES = {
  "blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving", "duration",
}

-- Two figures from histograms of three significant digits.
local function near(expected, got, what)
  local slack = math.abs(expected) * 0.002 + 0.001
  assert(math.abs(expected - got) <= slack, ("%s: %s, not %s"):format(what, got, expected))
end

describe("run and the bundled service", function()
  it("agree about every request", function()
    local exported, result = measure [[
      local check, http = require "perilune.check", require "perilune.http"
      local json, service = require "perilune.json", require "std.service"
      local paths = { "/items", "/items/7", "/nowhere", "/status/503" }
      return {
        options = { vus = 5, iterations = 400 },
        setup = function() return assert(service.start()) end,
        default = function(vu, data)
          local res = http.get(data.url .. paths[vu.iteration % 4 + 1])
          check("is 200", res.status == 200)
          if vu.iteration % 4 == 0 then
            res = http.post(data.url .. "/items", { json = { name = "new" } })
            check("is 201", res.status == 201)
          end
        end,
        teardown = function(data)
          print("COUNTED " .. http.get(data.url .. "/stats").body)
          service.stop(data)
          local res = http.get(data.url, { timeout = "5s" })
          print("STOPPED", res.status, res.error_code)
        end,
      }
    ]]
    local counted = assert(json.decode(result.out:match("COUNTED ([^\n]+)")))
    local bad = counted.statuses["404"] + counted.statuses["503"]
    local requests = counted.requests + 2 -- for its count, and to a service that has gone
    assert.matches("STOPPED\t0\t1212\n", result.out)
    assert.equal(requests, metric(exported, "http_reqs").count)
    local failed = metric(exported, "http_req_failed")
    assert.same({ bad + 1, requests - bad - 1 }, { failed.passes, failed.fails })
    for _, phase in ipairs(PHASES) do
      assert.equal(requests, metric(exported, "http_req_" .. phase).count, phase)
    end
    local checks = metric(exported, "checks")
    assert.same({ counted.statuses["200"] + counted.statuses["201"], bad },
      { checks.passes, checks.fails })
    assert.equal(400, metric(exported, "iterations").count)
    assert.equal(400, metric(exported, "iteration_duration").count)
    assert.equal(5, metric(exported, "vus_max").value)
    assert.equal(0, result.code)
  end)

  it("wait together", function()
    local exported = measure [[
      local http, service = require "perilune.http", require "std.service"
      return {
        options = { vus = 3, iterations = 9 },
        setup = function() return assert(service.start()) end,
        default = function(_, data) http.get(data.url .. "/wait?ms=60") end,
        teardown = function(data) service.stop(data) end,
      }
    ]]
    for _, name in ipairs { "http_req_waiting", "http_req_duration", "iteration_duration" } do
      assert.is_true(metric(exported, name).min >= 59, name)
    end
    assert.is_true(metric(exported, "http_req_sending").max < 59)
  end)
end)

describe("run and nginx", function()
  local nginx

  setup(function()
    local folder = servers.folder()
    local certificates = servers.certificates(folder)
    local tls_port = servers.free_port()
    nginx = servers.nginx(([[
      log_format counts "$status $request_length $bytes_sent $connection $http_x_vu";
      server {
        listen 127.0.0.1:$PORT; listen 127.0.0.1:TLS ssl;
        ssl_certificate SERVER; ssl_certificate_key KEY;
        access_log $DIR/access.log counts; keepalive_requests 1000000;
        location / { return 200 "hello, world\n"; }
        location = /gone { return 410 "gone"; }
      }
    ]]):gsub("TLS", tls_port):gsub("SERVER", certificates.server)
      :gsub("KEY", certificates.server_key))
    nginx.tls_url = ("https://127.0.0.1:%d"):format(tls_port)
    nginx.certificates = folder
  end)

  teardown(function()
    servers.stop(nginx)
    servers.remove(nginx.certificates)
  end)

  -- What the access log says since the last time.
  local read_bytes = 0
  local function logged()
    local file = assert(io.open(nginx.folder .. "/access.log", "rb"))
    file:seek("set", read_bytes)
    local text = file:read("a")
    file:close()
    read_bytes = read_bytes + #text
    local sum = { requests = 0, failed = 0, sent = 0, received = 0, connections = 0 }
    local seen = {}
    for status, sent, received, connection in text:gmatch("(%d+) (%d+) (%d+) (%d+) [^\n]*\n") do
      sum.requests = sum.requests + 1
      if status ~= "200" then sum.failed = sum.failed + 1 end
      sum.sent, sum.received = sum.sent + sent, sum.received + received
      if not seen[connection] then sum.connections = sum.connections + 1 end
      seen[connection] = true
    end
    return sum
  end

  -- nginx logs a request after its answer has been sent.
  local function logged_all(requests)
    local sum = { requests = 0 }
    support.eventually(function()
      for name, value in pairs(logged()) do sum[name] = (sum[name] or 0) + value end
      return sum.requests >= requests
    end, "the access log")
    return sum
  end

  local SCENARIO = [[
    local http, run = require "perilune.http", require "perilune.run"
    return {
      options = { vus = 4, duration = "1s" },
      default = function(vu)
        http.get(run.env.TARGET .. "/", { tls = { insecure_skip_verify = true } })
        if vu.iteration % 10 == 0 then
          http.get(run.env.TARGET .. "/gone?" .. ("x"):rep(vu.iteration % 100),
            { tls = { insecure_skip_verify = true } })
        end
      end,
    }
  ]]

  it("agree about every request, its status and its bytes", function()
    local exported, result = measure(SCENARIO, "-e", "TARGET=" .. nginx.url)
    assert.equal(0, result.code)
    local reqs, failed = metric(exported, "http_reqs").count, metric(exported, "http_req_failed")
    local log = logged_all(reqs)
    assert.is_true(reqs > 100)
    assert.same({ reqs, failed.passes }, { log.requests, log.failed })
    assert.equal(log.sent, metric(exported, "data_sent").count)
    assert.equal(log.received, metric(exported, "data_received").count)
    local connecting = metric(exported, "http_req_connecting")
    assert.is_true(connecting.max > 0)
    assert.equal(0, metric(exported, "http_req_tls_handshaking").max)
  end)

  it("keep their connections, and each phase adds up to the whole", function()
    local exported = measure(SCENARIO, "-e", "TARGET=" .. nginx.tls_url)
    local reqs = metric(exported, "http_reqs").count
    local log = logged_all(reqs)
    assert.equal(reqs, log.requests)
    assert.is_true(log.connections <= 4, log.connections .. " connections")
    local handshakes = metric(exported, "http_req_tls_handshaking")
    assert.is_true(handshakes.max > 0 and handshakes.med == 0)
    local parts = 0
    for _, phase in ipairs { "sending", "waiting", "receiving" } do
      parts = parts + metric(exported, "http_req_" .. phase).avg
    end
    near(metric(exported, "http_req_duration").avg, parts, "sending, waiting and receiving")
  end)

  it("tell scenarios, groups and tags apart", function()
    local exported, result = measure([[
      local http, run = require "perilune.http", require "perilune.run"
      local once = { executor = "per-vu-iterations", vus = 2, iterations = 5 }
      local function copy(more)
        local scenario = {}
        for _, from in ipairs { once, more } do
          for key, value in pairs(from) do scenario[key] = value end
        end
        return scenario
      end
      return {
        options = {
          tags = { suite = "smoke" },
          scenarios = {
            reads = copy { tags = { kind = "read" }, exec = "read" },
            writes = copy { tags = { kind = "write" }, exec = "write" },
          },
          thresholds = {
            "http_reqs{scenario:reads}: count==20", "http_reqs{kind:write}: count==10",
            "http_reqs{suite:smoke}: count==30", "http_reqs{group:::outer::inner}: count==10",
            "http_reqs{status:410}: count==10", "http_reqs{method:POST}: count==10",
            "http_reqs{name:front}: count==10", "http_req_failed{scenario:writes}: rate==1",
            "http_req_duration{expected_response:true}: max<10000", "http_reqs{vu:1}: count==5",
          },
        },
        read = function()
          run.group("outer", function()
            http.get(run.env.TARGET .. "/", { name = "front" })
            run.group("inner", function() http.get(run.env.TARGET .. "/") end)
          end)
        end,
        write = function(vu)
          http.post(run.env.TARGET .. "/gone", { body = "x", tags = { vu = vu.id % 2 } })
        end,
      }
    ]], "-e", "TARGET=" .. nginx.url)
    assert.equal("", result.err)
    assert.equal(0, result.code)
    assert.equal(30, metric(exported, "http_reqs").count)
    logged_all(30)
  end)

  it("are the target of the first load test of the examples", function()
    local path = os.tmpname()
    local result = support.run("run", "--quiet", "-e", "TARGET=" .. nginx.url .. "/", "-d", "1s",
      "--summary-export", path, "examples/08_first_load_test.lua")
    local exported = assert(json.decode(scenario.take(path)))
    assert.equal("", result.err)
    assert.equal(0, result.code)
    local reqs = metric(exported, "http_reqs").count
    assert.equal(reqs, logged_all(reqs).requests)
    assert.equal(reqs, metric(exported, "checks").passes)
    assert.same({ 20, 20 }, { metric(exported, "vus").max, metric(exported, "vus_max").max })
  end)
end)

describe("run and a server that stalls", function()
  -- The server of this scenario stops the thread that the users are on as well, once and for 600
  -- ms.
  local STALL = [[
    local actor, http = require "perilune.actor", require "perilune.http"
    return {
      options = { scenarios = { s = { executor = "constant-arrival-rate", rate = 200,
        duration = "2s", pre_allocated_vus = 10, max_vus = %d } } },
      setup = function()
        local pid = actor.spawn(function()
          local requests = 0
          local server = http.serve { routes = { ["GET /"] = function()
            requests = requests + 1
            if requests == 100 then os.execute("sleep 0.6") end
            return 200, "ok"
          end } }
          actor.serve { url = function() return server.url end }
        end)
        return actor.call(pid, { "url" })
      end,
      default = function(_, url) http.get(url) end,
    }
  ]]

  it("shows the stall in the corrected latency, which the uncorrected one hides", function()
    local exported, result = measure(STALL:format(1000), "--workers", "1")
    assert.equal(400, metric(exported, "http_reqs").count)
    for _, name in ipairs { "iteration_duration", "http_req_duration" } do
      local corrected = metric(exported, name)
      local uncorrected = metric(exported, name .. "_uncorrected")
      assert.is_true(corrected["p(95)"] > 450, name .. " corrected")
      assert.is_true(uncorrected["p(95)"] < 300, name .. " uncorrected")
      assert.same({ 400, 400 }, { corrected.count, uncorrected.count })
    end
    assert.equal(2, select(2, result.out:gsub("{ uncorrected }", "")))
    assert.matches("iterations began late", result.out)
  end)

  it("drops and counts the iterations that find all users busy", function()
    local exported = measure([[
      local http, service = require "perilune.http", require "std.service"
      return {
        options = { scenarios = { s = { executor = "constant-arrival-rate", rate = 100,
          duration = "1s", pre_allocated_vus = 2, max_vus = 5 } } },
        setup = function() return assert(service.start()) end,
        default = function(_, data) http.get(data.url .. "/wait?ms=200") end,
        teardown = function(data) service.stop(data) end,
      }
    ]])
    local done = metric(exported, "iterations").count
    local dropped = metric(exported, "dropped_iterations").count
    assert.equal(100, done + dropped)
    assert.is_true(done >= 10 and done <= 30, done .. " iterations")
    assert.equal(5, exported.results.scenarios.s.vus)
  end)
end)

describe("run and a target that is not there", function()
  it("fails its requests and its thresholds, exit 99", function()
    local port = servers.free_port()
    local exported, result = measure([[
      local check, http = require "perilune.check", require "perilune.http"
      local run = require "perilune.run"
      return {
        options = { vus = 2, iterations = 10, thresholds = { http_req_failed = "rate<0.5",
          ["http_reqs{error_code:1212}"] = "count==10" } },
        default = function()
          local res = http.get(run.env.TARGET)
          check("has an answer", res.status ~= 0)
        end,
      }
    ]], "-e", ("TARGET=http://127.0.0.1:%d/"):format(port))
    assert.equal(99, result.code)
    local why = ("cannot connect to 127.0.0.1:%d: Connection refused"):format(port)
    assert.equal("warn  default request: " .. why
      .. "\nperilune: failed: http_req_failed: rate<0.5\n",
      result.err)
    assert.is_truthy(result.out:find("✗ 10 × default request: " .. why, 1, true), result.out)
    local problem = exported.results.errors[1]
    assert.same({ 10, "request", "error_code 1212" }, { problem.count, problem.hook,
      problem.place })
    assert.equal(1, #exported.results.errors)
    assert.same({ 10, 0 }, {
      metric(exported, "http_req_failed").passes, metric(exported, "checks").passes,
    })
    assert.equal(0, metric(exported, "data_received").count)
  end)
end)
