-- perilune inspect: what a scenario would do, as JSON; nothing is run.
local json = require "perilune.json"
local scenario = require "specs.cli.scenario"

local function inspect(text, ...)
  local result = scenario.command("inspect", text, ...)
  return result.code == 0 and assert(json.decode(result.out)) or nil, result
end

describe("inspect", function()
  it("shows all options of all scenarios, defaults as well", function()
    local shown, result = inspect [[
      return {
        options = {
          scenarios = {
            browse = { executor = "constant-vus", vus = 20, duration = "90s", tags = { a = 1 } },
            orders = { executor = "constant-arrival-rate", rate = 200, duration = "30s",
              pre_allocated_vus = 50, exec = "order", start_time = "5s", env = { B = "c" } },
          },
        },
        default = function() end,
        order = function() end,
      }
    ]]
    assert.equal("", result.err)
    assert.same({
      executor = "constant-vus", exec = "default", vus = 20, duration = "1m30s",
      start_time = "0s", graceful_stop = "30s", tags = { a = "1" }, env = {},
    }, shown.scenarios.browse)
    assert.same({
      executor = "constant-arrival-rate", exec = "order", rate = 200, time_unit = "1s",
      duration = "30s", pre_allocated_vus = 50, max_vus = 50, start_time = "5s",
      graceful_stop = "30s", tags = {}, env = { B = "c" },
    }, shown.scenarios.orders)
    assert.equal(70, shown.max_vus)
    assert.equal("2m", shown.max_duration)
  end)

  it("names the hooks and the thresholds, and runs none of them", function()
    local shown, result = inspect [[
      local function never() print("NEVER") error("NEVER") end
      return {
        options = { thresholds = {
          checks = { "rate>0.9", { threshold = "rate>0.5", abort_on_fail = true,
            delay_abort_eval = "1500ms" } },
          "http_reqs{scenario:default}: count>1",
        } },
        setup = never, init = never, default = never, done = never, teardown = never,
        summary = never,
      }
    ]]
    assert.equal("", result.err)
    assert.same({ "setup", "init", "done", "teardown", "summary" }, shown.hooks)
    local function threshold(metric, text, abort, delay)
      return { metric = metric, threshold = text, abort_on_fail = abort, delay_abort_eval = delay }
    end
    assert.same({
      threshold(json.null, "http_reqs{scenario:default}: count>1", false, 0),
      threshold("checks", "rate>0.9", false, 0),
      threshold("checks", "rate>0.5", true, 1.5),
    }, shown.thresholds)
  end)

  it("shows what shortcuts and flags come to", function()
    local text = "return { default = function() end }"
    local shown = inspect(text)
    assert.same({ "per-vu-iterations", 1, 1 }, { shown.scenarios.default.executor,
      shown.scenarios.default.vus, shown.scenarios.default.iterations })
    shown = inspect(text, "-u", "5", "-d", "1m")
    assert.same({ "constant-vus", 5, "1m" }, { shown.scenarios.default.executor,
      shown.scenarios.default.vus, shown.scenarios.default.duration })
    shown = inspect(text, "-u", "5", "-i", "7", "-d", "1m")
    assert.same({ "shared-iterations", 7, "1m" }, { shown.scenarios.default.executor,
      shown.scenarios.default.iterations, shown.scenarios.default.max_duration })
  end)

  it("lets the script see its variables, and takes what it prints along", function()
    local result = scenario.command("inspect", [[
      print("target", require "perilune.run".env.TARGET)
      return { default = function() end }
    ]], "-e", "TARGET=here")
    assert.equal("target\there\n", result.out:match("^[^\n]*\n"))
  end)

  it("ends as a run would that cannot begin", function()
    local function ends(code, line, text)
      local _, result = inspect(text)
      assert.equal("perilune: " .. line .. "\n", result.err)
      assert.equal("", result.out)
      assert.equal(code, result.code)
    end
    ends(104, "script.lua:1: options: unknown option 'vuss' (did you mean 'vus'?)",
      "return { options = { vuss = 1 }, default = function() end }")
    ends(104, [[script.lua: thresholds.nope: "rate<1": no metric 'nope']],
      "return { options = { thresholds = { nope = 'rate<1' } }, default = function() end }")
    ends(107, "script.lua:2: <eof> expected near '}'", "return {\n}}")
    ends(107, "script.lua:1: no", "error('no')")
    ends(107, "script.lua: error(nil)", "error()")
  end)
end)
