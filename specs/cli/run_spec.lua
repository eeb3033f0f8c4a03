-- perilune run: the life of a scenario, its exit codes, and what is said about them.
local scenario = require "specs.cli.scenario"

local run, virtual = scenario.run, scenario.virtual

-- Asserts the exit code and the last line on stderr.
local function fails_with(code, line, result)
  assert.equal(line, result.err:match("([^\n]*)\n$"), result.err)
  assert.equal(code, result.code)
end

local function says(text, result)
  assert.is_truthy(result.out:find(text, 1, true), ("%q is not in\n%s"):format(text, result.out))
end

local function says_not(text, result) assert.is_nil(result.out:find(text, 1, true), result.out) end

describe("run", function()
  it("goes through all hooks in order, each as often as it should", function()
    local result = virtual [[
      local timer = require "perilune.timer"
      return {
        options = { vus = 2, iterations = 4 },
        setup = function() print("setup") return { word = "data", list = { 1, 2.5, true } } end,
        init = function(vu, data)
          vu.state.count = 0
          print("init", vu.id, data.word, data.list[2], vu.iteration)
        end,
        default = function(vu, data)
          timer.sleep(vu.id == 1 and 1 or 2.5)
          vu.state.count = vu.state.count + 1
          print("iteration", vu.id, vu.iteration, data.word, vu.scenario)
        end,
        done = function(vu, data) print("done", vu.id, vu.state.count, data.word) end,
        teardown = function(data) print("teardown", data.word) end,
        summary = function(result) return "summary " .. result.verdict.name .. "\n" end,
      }
    ]]
    assert.equal(table.concat({
      "setup",
      "init 1 data 2.5 0", "init 2 data 2.5 0",
      "iteration 1 0 data default", "iteration 1 1 data default", "iteration 2 0 data default",
      "done 2 1 data", "iteration 1 2 data default", "done 1 3 data",
      "teardown data", "summary passed", "",
    }, "\n"), (result.out:gsub("\t", " ")))
    assert.equal("", result.err)
    assert.equal(0, result.code)
  end)

  it("runs one iteration of one user when nothing is asked for", function()
    local exported, result = scenario.measure [[
      return { default = function(vu) print("once", vu.id) end }]]
    says("once\t1\n", result)
    assert.same({ value = 1, min = 1, max = 1 }, scenario.metric(exported, "vus"))
    assert.equal(0, result.code)
  end)

  it("keeps the numbers of users apart across scenarios and workers", function()
    local result = run([[
      local seen = function(vu) print("user " .. vu.id .. " of " .. vu.scenario) end
      return {
        options = { scenarios = {
          a = { executor = "per-vu-iterations", vus = 3 },
          b = { executor = "per-vu-iterations", vus = 2, exec = "other" },
        } },
        default = seen, other = seen,
      }
    ]], "--workers", "3")
    for id = 1, 5 do says(("user %d of %s\n"):format(id, id <= 3 and "a" or "b"), result) end
    assert.equal(0, result.code)
  end)

  it("gives each load actor its own copy of the file, and users of one scenario share it",
    function()
    local result = virtual [[
      local loads = 0
      loads = loads + 1
      local shared = {}
      return {
        options = { vus = 2, iterations = 2 },
        default = function(vu)
          table.insert(shared, vu.id)
          require "perilune.timer".sleep(1)
          print(#shared, loads)
        end,
      }
    ]]
    says("2\t1\n2\t1\n", result)
  end)

  it("takes a function as exec, named or not", function()
    local result = virtual [[
      local function order() print("order") end
      return {
        options = { scenarios = {
          named = { executor = "per-vu-iterations", exec = order },
          unnamed = { executor = "per-vu-iterations", exec = function() print("unnamed") end },
        } },
        order = order,
      }
    ]]
    assert.equal("", result.err)
    says("order\n", result)
    says("unnamed\n", result)
  end)

  it("begins a scenario at its start_time", function()
    local result = virtual [[
      local run = require "perilune.run"
      return {
        options = { scenarios = { late = { executor = "per-vu-iterations", start_time = "90s" } } },
        default = function() print(("%.3f"):format(run.elapsed())) end,
      }
    ]]
    says("90.000\n", result)
  end)
end)

describe("errors", function()
  it("of syntax name file and line, exit 107", function()
    fails_with(107, "perilune: script.lua:2: <name> or '...' expected near 'end'", run [[
return { default =
  function( end }
]])
  end)

  it("at file level are the script's, exit 107", function()
    fails_with(107, "perilune: script.lua:1: no config", run [[error("no config")]])
  end)

  it("in an iteration end that iteration only, are told once for their place, exit 107", function()
    local result = virtual [[
      return {
        options = { vus = 2, iterations = 10 },
        default = function(vu)
          if vu.iteration % 2 == 1 then
            error("odd iteration")
          end
        end,
        teardown = function() print("teardown") end,
      }
    ]]
    fails_with(107, "perilune: 4 iterations ended with an error", result)
    assert.equal(1, select(2, result.err:gsub("error default: script.lua:5: odd iteration\n", "")))
    says("✗ 4 × default: script.lua:5: odd iteration", result)
    says("teardown\n", result)
    says("iterations...........: 10", result)
  end)

  it("in iterations do not count as the script's when a threshold names the metric", function()
    local text = [[
      return {
        options = { iterations = 3, thresholds = { iteration_errors = "count<%d" } },
        default = function() error("x") end,
      }
    ]]
    assert.equal(0, virtual(text:format(4)).code)
    fails_with(99, "perilune: failed: iteration_errors: count<3", virtual(text:format(3)))
  end)

  it("that are no text, or that come from an endless recursion, are errors as well", function()
    local result = run [[
      return {
        options = { iterations = 4 },
        default = function(vu)
          local function endless() return 1 + endless() end
          if vu.iteration == 0 then error() end
          if vu.iteration == 1 then error({ code = 5 }) end
          if vu.iteration == 2 then endless() end
          error(setmetatable({}, { __tostring = function() return "spoken" end }))
        end,
      }
    ]]
    fails_with(107, "perilune: 4 iterations ended with an error", result)
    for _, line in ipairs { "error default: nil\n", "error default: table: ", "stack overflow",
      "error default: spoken\n" } do
      assert.is_truthy(result.err:find(line, 1, true), result.err)
    end
  end)

  it("in setup end the run before it begins, exit 107", function()
    local result = virtual [[
      return {
        setup = function()
          error("no database")
        end,
        default = function() print("NEVER") end,
        teardown = function() print("NEVER") end,
      }
    ]]
    fails_with(107, "perilune: setup ended with an error", result)
    assert.is_truthy(result.err:find("error setup: script.lua:3: no database\n", 1, true),
      result.err)
    says_not("NEVER", result)
  end)

  it("in init end the run; teardown runs, exit 107", function()
    local result = virtual [[
      return {
        options = { vus = 3, iterations = 3 },
        init = function(vu) if vu.id == 2 then error("no login") end end,
        default = function() print("NEVER") end,
        teardown = function() print("teardown") end,
      }
    ]]
    fails_with(107, "perilune: init of a user ended with an error", result)
    says("teardown\n", result)
    says_not("NEVER", result)
  end)

  it("in done are the script's; the other users' done and teardown run, exit 107", function()
    local result = virtual [[
      return {
        options = { vus = 3, iterations = 3 },
        default = function() end,
        done = function(vu) if vu.id == 2 then error("no logout") end print("done", vu.id) end,
        teardown = function() print("teardown") end,
      }
    ]]
    fails_with(107, "perilune: done of a user ended with an error", result)
    for _, line in ipairs { "done\t1\n", "done\t3\n", "teardown\n" } do says(line, result) end
  end)

  it("in teardown and summary are the script's, exit 107", function()
    fails_with(107, "perilune: teardown ended with an error",
      virtual [[return { default = function() end, teardown = function() error("x") end }]])
    fails_with(107, "perilune: summary ended with an error",
      virtual [[return { default = function() end, summary = function() error("x") end }]])
  end)

  it("of what setup returns name the value that cannot be copied, exit 107", function()
    fails_with(107,
      "perilune: setup's result.hooks.call: a function cannot be sent (functions travel in spawn)",
      virtual [[return {
        setup = function() return { hooks = { call = print } } end,
        default = function() end,
      }]])
  end)

  it("that end a load actor end the run, exit 107", function()
    local result = run [[
      local actor = require "perilune.actor"
      return {
        options = { vus = 4, duration = "60s" },
        default = function(vu)
          if vu.id == 1 then actor.exit(actor.self(), "gone") end
          require "perilune.timer".sleep(60)
        end,
        teardown = function() print("teardown") end,
      }
    ]]
    fails_with(107, "perilune: gone", result)
    says("teardown\n", result)
  end)
end)

describe("globals", function()
  it("cannot be written in an iteration, also if they are there already", function()
    local result = virtual [[
      counter = 0
      return {
        options = { iterations = 2 },
        default = function(vu)
          if vu.iteration == 0 then fresh = 1 end
          counter = counter + 1
        end,
      }
    ]]
    assert.equal(107, result.code)
    for _, name in ipairs { "fresh", "counter" } do
      local line = ("global '%s' is written in an iteration: many users share the globals, keep a "
        .. "user's own values in vu.state"):format(name)
      assert.is_truthy(result.err:find(line, 1, true), result.err)
    end
  end)

  it("can be read, listed, and have the metatable that the script gave them", function()
    local result = virtual [[
      answer = 42
      setmetatable(_G, { __index = function(_, key) return key == "magic" and "found" or nil end })
      return { default = function()
        local names = {}
        for name in pairs(_G) do names[name] = true end
        print(answer, _G.answer, magic, names.answer, names.print, rawequal(_G, _ENV))
      end }
    ]]
    says("42\t42\tfound\ttrue\ttrue\ttrue\n", result)
    assert.equal(0, result.code)
  end)
end)

describe("file level", function()
  it("cannot wait", function()
    fails_with(107, "perilune: script.lua:2: sleep: blocking calls are not allowed at file level "
      .. "(setup and init may wait)", run [[
local timer = require "perilune.timer"
timer.sleep(1)
return { default = function() end }]])
  end)

  it("must return a table", function()
    fails_with(107, "perilune: script.lua: a scenario file returns a table (return { default = "
      .. "function(vu, data) ... end }), this one returns nil", run [[local x = 1]])
  end)
end)

describe("time-outs", function()
  it("of setup, exit 100, and of teardown, exit 101, name the line", function()
    local text = [[
      local timer = require "perilune.timer"
      return {
        options = { setup_timeout = "5s", teardown_timeout = "7s" },
        %s = function()
          timer.sleep("1h")
        end,
        default = function() end,
      }
    ]]
    fails_with(100, "perilune: script.lua:5: setup is not done after 5s",
      virtual(text:format("setup")))
    fails_with(101, "perilune: script.lua:5: teardown is not done after 7s",
      virtual(text:format("teardown")))
  end)

  it("of a user's init and done, exit 102, name the line; teardown runs", function()
    local text = [[
      local timer = require "perilune.timer"
      return {
        %s = function()
          timer.sleep("1h")
        end,
        default = function() end,
        teardown = function() print("teardown") end,
      }
    ]]
    for _, hook in ipairs { "init", "done" } do
      local result = virtual(text:format(hook))
      fails_with(102, ("perilune: script.lua:4: %s of a user is not done after 60s"):format(hook),
        result)
      says("teardown\n", result)
    end
  end)

  it("end hooks that never wait, and name the line, too", function()
    for _, body in ipairs {
      "while true do end", "while true do pcall(error) end",
      "table.sort({ 3, 2, 1 }, function() while true do end end)",
    } do
      for hook, code in pairs { setup = 100, teardown = 101 } do
        local result = run(([[
          return {
            options = { setup_timeout = "100ms", teardown_timeout = "100ms" },
            default = function() end,
            %s = function()
              %s
            end,
          }]]):format(hook, body))
        assert.equal(("perilune: script.lua:5: %s is not done after 0.1s\n"):format(hook),
          result.err)
        assert.equal(code, result.code)
      end
    end
  end)

  it("are not escaped from by catching them", function()
    local result = run([[
      local timer = require "perilune.timer"
      return {
        options = { setup_timeout = "200ms" },
        setup = function()
          for _ = 1, 3 do pcall(timer.sleep, 60) end
        end,
        default = function() end,
      }
    ]])
    assert.equal(100, result.code)
  end)
end)

describe("the end of a scenario", function()
  it("lets iterations finish for graceful_stop, then interrupts them; done runs", function()
    local result = virtual [[
      local timer = require "perilune.timer"
      return {
        options = { scenarios = { s = { executor = "constant-vus", vus = 2, duration = "10s",
          graceful_stop = "5s" } } },
        default = function(vu)
          local function close() print("closed", vu.id) end
          local closed <close> = setmetatable({}, { __close = close })
          timer.sleep(vu.id == 1 and 12 or 60)
          print("finished", vu.id)
        end,
        done = function(vu) print("done", vu.id) end,
      }
    ]]
    says("finished\t1\nclosed\t1\ndone\t1\n", result)
    says("closed\t2\ndone\t2\n", result)
    says_not("finished\t2", result)
    says("iterations...........: 1", result)
    assert.equal(0, result.code)
  end)

  it("reaches iterations that never wait, and those that Lua cannot suspend", function()
    for _, body in ipairs {
      "while true do end",
      "table.sort({ 3, 2, 1 }, function() while true do end end)",
    } do
      local result = run(([[
        return {
          options = { scenarios = { s = { executor = "constant-vus", vus = 1, duration = "1s",
            graceful_stop = "0s" } } },
          default = function() %s end,
          done = function() print("done") end,
        }
      ]]):format(body))
      says("done\n", result)
      assert.equal(0, result.code)
    end
  end)
end)

describe("tasks of an iteration", function()
  it("are waited for before it ends", function()
    local exported = scenario.export [[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      return {
        options = { iterations = 2 },
        default = function()
          actor.task(function() timer.sleep(3) end)
          timer.after(2, function() end)
        end,
      }
    ]]
    assert.equal(3000.0, scenario.metric(exported, "iteration_duration").min)
  end)

  it("do not wake the iteration when they end before it", function()
    local exported = scenario.export [[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      return { default = function() actor.task(timer.sleep, 1) timer.sleep(10) end }
    ]]
    assert.equal(10000.0, scenario.metric(exported, "iteration_duration").min)
  end)

  it("that repeat for ever end with it", function()
    local exported = scenario.export [[
      local timer = require "perilune.timer"
      return { default = function() timer.every(1, function() end) timer.sleep(2.5) end }
    ]]
    assert.equal(2500.0, scenario.metric(exported, "iteration_duration").min)
  end)

  it("end it with their errors, and the other tasks with it", function()
    local result = virtual [[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      return {
        options = { iterations = 2 },
        default = function(vu)
          if vu.iteration == 1 then print("second") return end
          actor.task(function() timer.sleep(5) print("NEVER") end)
          actor.task(function() timer.sleep(1)
            error("in a task") end)
          timer.sleep(10)
          print("NEVER")
        end,
      }
    ]]
    fails_with(107, "perilune: 1 iteration ended with an error", result)
    assert.is_truthy(result.err:find("error default: script.lua:8: in a task\n", 1, true),
      result.err)
    says("second\n", result)
    says_not("NEVER", result)
  end)
end)

describe("run.abort", function()
  it("cannot be caught; done and teardown run, exit 108", function()
    local result = virtual [[
      local run, timer = require "perilune.run", require "perilune.timer"
      return {
        options = { vus = 3, duration = "1h" },
        default = function(vu)
          timer.sleep(5)
          if vu.id == 2 then pcall(run.abort, "enough") print("NEVER") end
        end,
        done = function(vu) print("done", vu.id) end,
        teardown = function() print("teardown") end,
      }
    ]]
    fails_with(108, "perilune: enough", result)
    for _, line in ipairs { "done\t1\n", "done\t2\n", "done\t3\n", "teardown\n" } do
      says(line, result)
    end
    says_not("NEVER", result)
  end)

  it("in setup ends the run before it begins", function()
    local result = virtual [[
      local run = require "perilune.run"
      return {
        setup = function() run.abort("no target") end,
        default = function() print("NEVER") end,
        teardown = function() print("NEVER") end,
      }
    ]]
    fails_with(108, "perilune: no target", result)
    says_not("NEVER", result)
  end)

  it("ends the run also where Lua cannot wait", function()
    local result = run [[
      local run = require "perilune.run"
      return {
        options = { vus = 2, duration = "60s" },
        default = function()
          table.sort({ 3, 2, 1 }, function() pcall(run.abort, "sorted") return true end)
        end,
      }
    ]]
    fails_with(108, "perilune: sorted", result)
  end)
end)

describe("run.fail", function()
  it("marks the run and goes on, exit 110", function()
    local result = virtual [[
      local run = require "perilune.run"
      return {
        options = { iterations = 3 },
        default = function(vu)
          if vu.iteration == 0 then run.fail("slow start") end
          print("went on")
        end,
      }
    ]]
    fails_with(110, "perilune: slow start", result)
    assert.equal(3, select(2, result.out:gsub("went on", "")))
  end)
end)

describe("thresholds", function()
  it("that hold or fail are shown with what was seen, exit 99", function()
    local result = virtual [[
      local timer = require "perilune.timer"
      return {
        options = { iterations = 4, thresholds = {
          iteration_duration = { "avg<=2000", "p(95)<1500", "max==2000" },
          "iterations: count>3",
          "iterations: count<4",
          ["iterations{scenario:default}"] = "count==4",
          checks = "rate>0.5",
        } },
        default = function() timer.sleep(2) end,
      }
    ]]
    for _, line in ipairs {
      "✓ 'avg<=2000' avg=2s", "✗ 'p(95)<1500' p(95)=2s", "✓ 'max==2000' max=2s",
      "✓ 'count>3' count=4",
      "✗ 'count<4' count=4", "✓ 'count==4' count=4", "✓ 'rate>0.5' rate=0 (no samples)",
    } do says(line .. "\n", result) end
    fails_with(99, "perilune: failed: iterations: count<4, iteration_duration: p(95)<1500", result)
  end)

  it("that say so abort the run once their delay is over; teardown runs", function()
    local exported, result = scenario.export [[
      local timer = require "perilune.timer"
      return {
        options = { vus = 1, duration = "1h", thresholds = { iteration_duration = {
          { threshold = "p(95)<1", abort_on_fail = true, delay_abort_eval = "30s" } } } },
        default = function() timer.sleep(1) end,
        teardown = function() print("teardown") end,
      }
    ]]
    assert.equal(99, result.code)
    says("teardown\n", result)
    assert.is_true(exported.results.duration_s >= 30 and exported.results.duration_s <= 33)
  end)

  it("lose to an earlier error", function()
    local result = virtual [[
      local run = require "perilune.run"
      return {
        options = { thresholds = { iterations = "count>5" } },
        default = function() run.fail("first") end,
      }
    ]]
    fails_with(110, "perilune: first", result)
    says("✗ 'count>5' count=1", result)
  end)

  it("can be left out", function()
    local result = virtual([[
      return { options = { thresholds = { iterations = "count>5" } }, default = function() end }
    ]], "--no-thresholds")
    assert.equal(0, result.code)
    says_not("THRESHOLDS", result)
  end)

  it("see a metric of the script, and refuse one that nobody made", function()
    local text = [[
      local metrics = require "perilune.metrics"
      local orders = metrics.counter("orders")
      return {
        options = { thresholds = { ["%s"] = "count==2" } },
        default = function() orders:add(2, { kind = "big" }) end,
      }
    ]]
    assert.equal(0, virtual(text:format("orders")).code)
    assert.equal(0, virtual(text:format("orders{kind:big}")).code)
    fails_with(104, [[perilune: script.lua: thresholds.ordrs: "count==2": no metric 'ordrs']],
      virtual(text:format("ordrs")))
  end)
end)

describe("checks", function()
  local text = [[
    local check = require "perilune.check"
    return {
      options = { iterations = 4 },
      default = function(vu)
        check("always", true)
        check(vu.iteration, { ["is even"] = function(n) return n % 2 == 0 end,
          ["is a number"] = true })
      end,
    }
  ]]

  it("are counted and listed, and do not fail the run", function()
    local result = virtual(text)
    for _, line in ipairs {
      "checks_succeeded...: 83.33% 10 out of 12", "checks_failed......: 16.66% 2 out of 12",
      "✓ always", "✓ is a number", "✗ is even", "↳  50% — ✓ 2 / ✗ 2",
    } do says(line, result) end
    assert.equal(0, result.code)
  end)

  it("fail the run under --fail-on-check, exit 110", function()
    fails_with(110, "perilune: 2 checks have failed", virtual(text, "--fail-on-check"))
  end)
end)

describe("open executors", function()
  it("count latency from the intended start and show the other beside it", function()
    local exported, result = scenario.export [[
      local timer = require "perilune.timer"
      return {
        options = { scenarios = { s = { executor = "constant-arrival-rate", rate = 1,
          time_unit = "1s", duration = "3s", pre_allocated_vus = 0, max_vus = 3 } } },
        init = function() timer.sleep(5) end, -- what the generator takes to make a user
        default = function() timer.sleep(0.5) end,
      }
    ]]
    assert.equal(5500.0, scenario.metric(exported, "iteration_duration").min)
    assert.equal(500.0, scenario.metric(exported, "iteration_duration_uncorrected").max)
    says("{ uncorrected }", result)
  end)

  it("drop iterations when all users are busy", function()
    local exported = scenario.export [[
      local timer = require "perilune.timer"
      return {
        options = { scenarios = { s = { executor = "constant-arrival-rate", rate = 10,
          duration = "2s", pre_allocated_vus = 1, max_vus = 3 } } },
        default = function() timer.sleep(1.05) end,
      }
    ]]
    assert.equal(14, scenario.metric(exported, "dropped_iterations").count)
    assert.equal(6, scenario.metric(exported, "iterations").count)
    assert.equal(3, exported.results.scenarios.s.vus)
  end)
end)

describe("signals", function()
  local text = [[
    local timer = require "perilune.timer"
    return {
      options = { vus = 2, duration = "60s" },
      default = function() print("begun") timer.sleep(60) end,
      done = function(vu) print("done", vu.id) end,
      teardown = function() %s print("teardown") end,
    }
  ]]

  -- Runs it, sends the signals when the users have begun, and shows stdout, stderr and the exit
  -- code.
  local function with_signals(script, signals)
    return scenario.shell(script, ([[
      out=$(mktemp)
      PERILUNE run --quiet FILE >$out & pid=$!
      until [ "$(grep -c begun $out)" -ge 1 ]; do sleep 0.02; done
      %s
      wait $pid; code=$?
      cat $out; rm $out
      exit $code]]):format(signals))
  end

  it("the first ends the run with done, teardown and summary, exit 105", function()
    for _, signal in ipairs { "INT", "TERM" } do
      local result = with_signals(text:format(""), "kill -" .. signal .. " $pid")
      fails_with(105, "perilune: interrupted", result)
      for _, line in ipairs { "done\t1\n", "done\t2\n", "teardown\n", "TOTAL RESULTS" } do
        says(line, result)
      end
    end
  end)

  it("the second ends the process at once, exit 105", function()
    local result = with_signals(text:format("timer.sleep(60)"), [[
      kill -INT $pid
      until [ "$(grep -c done $out)" -ge 2 ]; do sleep 0.02; done
      kill -INT $pid]])
    assert.equal(105, result.code)
    says_not("teardown", result)
  end)

  it("are obeyed while every worker is stuck in what Lua cannot suspend", function()
    local result = with_signals([[
      return {
        options = { vus = 8, duration = "60s" },
        default = function()
          print("begun")
          table.sort({ 3, 2, 1 }, function() while true do end end)
        end,
        teardown = function() print("teardown") end,
      }
    ]], "kill -INT $pid")
    fails_with(105, "perilune: interrupted", result)
    says("teardown\n", result)
  end)

  it("end a setup that waits", function()
    local result = with_signals([[
      return {
        setup = function() print("begun") require "perilune.timer".sleep(60) end,
        default = function() end,
      }
    ]], "kill -INT $pid")
    fails_with(105, "perilune: interrupted", result)
  end)
end)

describe("a stdout that cannot be written", function()
  local text = [[return { options = { thresholds = { iterations = "count>5" } },
    default = function() end }]]

  it("is an error line; the verdict stands", function()
    local result = scenario.shell(text, "PERILUNE run FILE >/dev/full")
    assert.equal("perilune: cannot write to stdout: No space left on device\n"
      .. "perilune: failed: iterations: count>5\n", result.err)
    assert.equal(99, result.code)
  end)

  it("may be a pipe that nobody reads", function()
    local result = scenario.shell(text, [[
      { PERILUNE run FILE; echo $? >FILE.code; } | true
      sleep 0.2; cat FILE.code; rm FILE.code]])
    assert.equal("99\n", result.out)
  end)
end)
