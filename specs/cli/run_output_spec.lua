-- perilune run: header, progress and summary, --summary-export and --out; and disks that are full.
local json = require "perilune.json"
local scenario = require "specs.cli.scenario"
local support = require "specs.support"

local metric = scenario.metric

local EMPTY = [[return { options = { iterations = 3 }, default = function() end }]]

local function says(text, result)
  assert.is_truthy(result.out:find(text, 1, true), ("%q is not in\n%s"):format(text, result.out))
end

describe("what run shows", function()
  local TEXT = [[
    local check, metrics = require "perilune.check", require "perilune.metrics"
    local run, timer = require "perilune.run", require "perilune.timer"
    local orders = metrics.counter("orders")
    local size = metrics.trend("size", { unit = "bytes" })
    local queue, hits = metrics.gauge("queue"), metrics.rate("hits")
    return {
      options = { scenarios = {
        browse = { executor = "constant-vus", vus = 2, duration = "4s" },
        once = { executor = "per-vu-iterations", vus = 1, iterations = 1, start_time = "1s" },
      } },
      default = function(vu)
        orders:add(2, { kind = "big" })
        size:add(1500)
        queue:add(vu.iteration)
        hits:add(vu.id == 1)
        run.group("pay", function() check("is paid", vu.id ~= 2) end)
        check("is there", true, { where = "here" })
        timer.sleep(2)
      end,
    }
  ]]

  it("is k6's header, a line of progress a second, and its summary", function()
    local result = scenario.command("run", TEXT, "--virtual-time")
    assert.equal(table.concat({
      "",
      "     execution: local",
      "        script: script.lua",
      "        output: -",
      "",
      "     scenarios: (100.00%) 2 scenarios, 3 max VUs, 10m31s max duration "
        .. "(incl. graceful stop):",
      "              * browse: 2 looping VUs for 4s (graceful_stop: 30s)",
      "              * once: 1 iterations for each of 1 VUs (max_duration: 10m, "
        .. "start_time: 1s, graceful_stop: 30s)",
      "",
      "running (01.0s), 3/3 VUs, 0 complete and 0 interrupted iterations",
      "running (02.0s), 3/3 VUs, 2 complete and 0 interrupted iterations",
      "running (03.0s), 2/3 VUs, 3 complete and 0 interrupted iterations",
      "",
      "  █ TOTAL RESULTS",
      "",
      "    checks_total.......: 10     2.5/s",
      "    checks_succeeded...: 80.00% 8 out of 10",
      "    checks_failed......: 20.00% 2 out of 10",
      "",
      "    ✓ is there",
      "",
      "    ↳ pay",
      "      ✗ is paid",
      "       ↳  60% — ✓ 3 / ✗ 2",
      "",
      "    CUSTOM",
      "    hits.................: 40.00% 2 out of 5",
      "    orders...............: 10     2.5/s",
      "    queue................: 1      min=0      max=1",
      "    size.................: avg=1.5 kB min=1.5 kB med=1.5 kB max=1.5 kB p(90)=1.5 kB "
        .. "p(95)=1.5 kB",
      "",
      "",
    }, "\n"), result.out:sub(1, result.out:find("\n    EXECUTION", 1, true)))
    says("    iteration_duration...: avg=2s     min=2s     med=2s     max=2s     p(90)=2s     "
      .. "p(95)=2s\n    iterations...........: 5      1.25/s\n", result)
    says("browse ✓ [========================================] 2 VUs  4s\n", result)
    says("once   ✓ [========================================] 1 VUs  ", result)
    assert.equal("", result.err)
    assert.equal(0, result.code)
  end)

  it("can have other columns, another unit, all details, or no summary", function()
    local result = scenario.virtual(TEXT, "--summary-trend-stats", "med,p(99.9),count",
      "--summary-time-unit", "ms")
    says("iteration_duration...: med=2000.00ms p(99.9)=2000.00ms count=5\n", result)
    result = scenario.virtual(TEXT, "--summary-mode", "full")
    for _, title in ipairs { "SCENARIO: browse", "SCENARIO: once", "GROUP: pay" } do
      says("█ " .. title .. "\n", result)
    end
    says("group_duration...", result)
    assert.equal("", scenario.virtual(TEXT, "--summary-mode", "disabled").out)
  end)

  it("is a block that is redrawn on a terminal, in colour but with --no-color", function()
    local function on_terminal(flags)
      local command = ("PERILUNE run -d 1s -u 2 %s FILE"):format(flags)
      return scenario.shell([[
        local timer = require "perilune.timer"
        return { default = function(vu)
          timer.sleep("150ms")
          if vu.iteration == 2 then print("said", vu.id) end
        end }
      ]], ("script -qec %s /dev/null"):format(support.quote(command)))
    end
    local result = on_terminal("")
    says("\27[2A", result) -- up to the block's first line
    says("\27[K", result)
    says("\27[36m", result)
    for line in result.out:gmatch("[^\r\n]*said[^\r\n]*") do -- in a line of its own
      assert.matches("said\t[12]$", line)
    end
    assert.equal(2, select(2, result.out:gsub("said\t", "")))
    assert.equal(0, result.code)
    result = on_terminal("--no-color")
    says("\27[2A", result)
    assert.is_nil(result.out:find("\27[36m", 1, true))
  end)

  it("is nothing but the summary with --quiet, and what the script prints", function()
    local result = scenario.command("run", [[return { default = function() print("said") end }]],
      "--quiet", "--summary-mode", "disabled")
    assert.same({ "said\n", "", 0 }, { result.out, result.err, result.code })
  end)

  it("goes through the script's summary hook", function()
    local path = os.tmpname()
    local result = scenario.virtual(([[
      local json = require "perilune.json"
      return {
        default = function() end,
        summary = function(result)
          local own = { stdout = "to stdout\n", stderr = "to stderr\n" }
          own[%q] = json.encode(result)
          return own
        end,
      }
    ]]):format(path))
    local saved = json.decode(scenario.take(path))
    assert.same({ "to stdout\n", "to stderr\n", 0 }, { result.out, result.err, result.code })
    assert.equal(1, metric(saved, "iterations").count)
  end)

  it("has its log in lines of JSON, or in a file, when it is told so", function()
    local path = os.tmpname()
    local result = scenario.virtual([[return { default = function() error("no") end }]],
      "--log-format", "json", "--log-output", path)
    local entry = assert(json.decode(scenario.take(path):match("[^\n]+")))
    assert.equal("error", entry.level)
    assert.matches("^default: script.lua:1: no", (entry.msg:gsub("[^ ]+:1:", "script.lua:1:")))
    assert.equal("perilune: 1 iteration ended with an error\n", result.err)
  end)
end)

describe("--summary-export", function()
  it("has configuration, verdict, thresholds, checks, metrics and what was wrong", function()
    local exported, result = scenario.export([[
      local check = require "perilune.check"
      return {
        options = { vus = 2, iterations = 4, thresholds = {
          ["checks{kind:a}"] = { { threshold = "rate>0.9", abort_on_fail = true } },
        } },
        default = function(vu)
          check("even", vu.id % 2 == 0, { kind = "a" })
          if vu.id == 1 then error("odd") end
        end,
      }
    ]], "--tag", "suite=smoke")
    assert.equal(107, result.code)
    assert.same({ code = 107, name = "script", why = "2 iterations ended with an error" },
      exported.verdict)
    assert.same({ suite = "smoke" }, exported.config.tags)
    assert.equal("shared-iterations", exported.config.scenarios.default.executor)
    local results = exported.results
    assert.equal(1, #results.thresholds)
    local threshold = results.thresholds[1]
    assert.same({ "checks{kind:a}", "rate>0.9", false, 0.5 },
      { threshold.metric, threshold.expression, threshold.ok, threshold.observed })
    assert.same({ { name = "even", group = "", passes = 2, fails = 2 } }, results.checks)
    assert.same({ rate = 0.5, passes = 2, fails = 2 }, metric(exported, "checks{kind:a}"))
    assert.equal(1, #results.errors)
    assert.same({ 2, "default" }, { results.errors[1].count, results.errors[1].hook })
    assert.same({ started = 4, complete = 4, interrupted = 0, dropped = 0, failed = 2, vus = 2 },
      results.scenarios.default)
  end)

  it("on a full disk, or where there is none, is an error; the verdict stands", function()
    for _, case in ipairs {
      { "/dev/full", "No space left on device" }, { "/nowhere/a", "No such file or directory" },
    } do
      local result = scenario.virtual(EMPTY, "--summary-export", case[1])
      assert.matches("^perilune: cannot write " .. case[1] .. ": .*" .. case[2] .. "\n$",
        result.err)
      says("iterations...........: 3", result)
      assert.equal(0, result.code)
    end
    local result = scenario.virtual([[return {
      options = { thresholds = { iterations = "count>5" } }, default = function() end,
    }]], "--summary-export", "/dev/full")
    assert.equal(99, result.code)
    assert.matches("perilune: failed: iterations: count>5\n$", result.err)
  end)
end)

describe("--out json", function()
  local function samples(text, ...)
    local path = os.tmpname()
    local result = scenario.virtual(text, "--out", "json=" .. path, ...)
    local list = {}
    for line in scenario.take(path):gmatch("[^\n]+") do
      local sample = assert(json.decode(line))
      table.insert(list, sample)
    end
    return list, result
  end

  it("has each metric once, before its samples, and every sample", function()
    local list, result = samples([[
      local check, metrics = require "perilune.check", require "perilune.metrics"
      local run, timer = require "perilune.run", require "perilune.timer"
      local orders = metrics.counter("orders")
      return {
        options = { vus = 2, iterations = 6, thresholds = { orders = "count>1" } },
        default = function(vu)
          timer.sleep(1)
          run.group("pay", function() orders:add(vu.id, { kind = "big" }) end)
          check("is there", true, { where = "here" })
        end,
      }
    ]], "--tag", "suite=smoke")
    assert.same({ "", 0 }, { result.err, result.code })
    local declared, counts, sum = {}, {}, 0
    for _, line in ipairs(list) do
      if line.type == "Metric" then
        assert.is_nil(declared[line.metric])
        declared[line.metric] = line.data
      else
        assert.is_truthy(declared[line.metric], line.metric)
        counts[line.metric] = (counts[line.metric] or 0) + 1
        assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d.%d+Z$", line.data.time)
        assert.equal("smoke", line.data.tags.suite)
        if line.metric == "orders" then
          sum = sum + line.data.value
          assert.same({ suite = "smoke", scenario = "default", group = "::pay", kind = "big" },
            line.data.tags)
        elseif line.metric == "checks" then
          assert.same({ suite = "smoke", scenario = "default", check = "is there", where = "here" },
            line.data.tags)
        elseif line.metric == "iteration_duration" then
          assert.equal(1000, line.data.value)
        end
      end
    end
    assert.same({ name = "orders", type = "counter", contains = "default",
      thresholds = { "count>1" }, submetrics = json.null }, declared.orders)
    for _, name in ipairs { "orders", "checks", "iterations", "iteration_duration",
      "group_duration" } do
      assert.equal(6, counts[name], name)
    end
    assert.equal(9, sum)
  end)

  it("on a full disk is an error; the verdict stands", function()
    local result = scenario.virtual(EMPTY, "--out", "json=/dev/full")
    assert.equal("perilune: cannot write /dev/full: No space left on device\n", result.err)
    says("iterations...........: 3", result)
    assert.equal(0, result.code)
    result = scenario.virtual([[return {
      options = { iterations = 50000, thresholds = { iterations = "count>50000" } },
      default = function() end,
    }]], "--out", "json=/dev/full", "--summary-export", "/dev/full")
    assert.equal(99, result.code)
    assert.matches("perilune: failed: iterations: count>50000\n$", result.err)
  end)

  it("to a pipe that nobody reads any more is an error; the verdict stands", function()
    local result = scenario.shell(EMPTY, [[
      fifo=FILE.fifo; mkfifo $fifo
      head -c 1 $fifo >/dev/null & reader=$!
      PERILUNE run --quiet --virtual-time -i 100000 --out json=$fifo FILE; code=$?
      wait $reader; rm $fifo; (exit $code)]])
    assert.matches("^perilune: cannot write [^ ]+: Broken pipe\n$", result.err)
    assert.equal(0, result.code)
  end)
end)

describe("the same seed", function()
  it("in virtual time makes the same run, byte for byte", function()
    local first
    for _ = 1, 3 do
      local result = scenario.virtual([[
        local timer = require "perilune.timer"
        return {
          options = { vus = 5, duration = "20s" },
          default = function(vu)
            local words = { one = 1, two = 2, three = 3, four = 4 }
            timer.sleep(math.random())
            for key in pairs(words) do io.write(vu.id, " ", key, "\n") end
          end,
        }
      ]], "--seed", "7")
      assert.equal(0, result.code)
      first = first or result.out
      assert.equal(first, result.out)
    end
    assert.is_true(#first > 1000)
  end)
end)
