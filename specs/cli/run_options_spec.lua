-- perilune run: what it refuses, with one line, exit code 104, before anything has run; and which
-- of several sources of an option counts.
local scenario = require "specs.cli.scenario"
local support = require "specs.support"

local NEXT = "comes with the next version (now there are: shared-iterations, per-vu-iterations, "
  .. "constant-vus, constant-arrival-rate)"
local COUNT = "a whole number of at least 1 expected, got "
local DURATION = 'a duration expected (seconds, or text like "250ms", "1m30s"), got '

-- Nothing is printed but the line.
local function refused(line, result)
  assert.equal("perilune: " .. line .. "\n", result.err)
  assert.equal("", result.out)
  assert.equal(104, result.code)
end

-- The options of a scenario table, on line 2 of the file.
local function with_options(options, ...)
  return scenario.run(("return {\noptions = { %s },\nsetup = function() print('SETUP') end,\n"
    .. "default = function() print('RUN') end }\n"):format(options), ...)
end

-- One scenario of that kind, its options on line 2.
local function with_executor(name, options)
  return with_options(("scenarios = { s = { executor = %q, %s } }"):format(name, options))
end

local function cases(list, try)
  for _, case in ipairs(list) do
    it(case[1], function() refused(case[2], try(case[1])) end)
  end
end

describe("an option of the script that is wrong:", function()
  cases({
    { "vuss = 3", "script.lua:2: options: unknown option 'vuss' (did you mean 'vus'?)" },
    { "vus = 'many'", "script.lua:2: options: vus: " .. COUNT .. '"many"' },
    { "vus = 0", "script.lua:2: options: vus: " .. COUNT .. "0" },
    { "vus = 1.5", "script.lua:2: options: vus: " .. COUNT .. "1.5" },
    { "vus = 2, iterations = 1",
      "script.lua:2: options: iterations: at least as many as vus (2) expected, got 1" },
    { "duration = true", "script.lua:2: options: duration: " .. DURATION .. "true" },
    { "duration = '5parsecs'", "script.lua:2: options: duration: " .. DURATION .. '"5parsecs"' },
    { "duration = '-1s'", "script.lua:2: options: duration: " .. DURATION .. '"-1s"' },
    { "iterations = {}", "script.lua:2: options: iterations: " .. COUNT .. "a table" },
    { "stages = {}", "script.lua:2: options: stages: ramping-vus " .. NEXT },
    { "scenarios = {}", "script.lua:2: options: scenarios: at least one is needed" },
    { "scenarios = 5", "script.lua:2: options: scenarios: a table of scenarios expected, got 5" },
    { "vus = 1, scenarios = {}",
      "script.lua:2: options: vus and scenarios cannot be used together" },
    { "setup_timeout = 'soon'", "script.lua:2: options: setup_timeout: " .. DURATION .. '"soon"' },
    { "no_setup = 1", "script.lua:2: options: no_setup: a boolean expected, got 1" },
    { "summary_mode = 'loud'",
      'script.lua:2: options: summary_mode: one of compact, full, disabled expected, got "loud"' },
    { "summary_time_unit = 'h'",
      'script.lua:2: options: summary_time_unit: one of s, ms, us expected, got "h"' },
    { "summary_trend_stats = { 'p(101)' }", "script.lua:2: options: summary_trend_stats: "
      .. 'avg, min, med, max, count or p(N) expected, got "p(101)"' },
    { "tags = { a = {} }",
      "script.lua:2: options: tags.a: a text, number or boolean expected, got a table" },
  }, with_options)
end)

describe("a scenario that is wrong:", function()
  local at = "script.lua:2: options: scenarios.s: "

  it("an executor that there is not", function()
    refused(at .. [[executor: there is no "constant-vu" (there are: shared-iterations, ]]
      .. "per-vu-iterations, constant-vus, constant-arrival-rate)",
      with_executor("constant-vu", ""))
    for _, name in ipairs { "ramping-vus", "ramping-arrival-rate", "externally-controlled" } do
      refused(at .. "executor: " .. name .. " " .. NEXT, with_executor(name, ""))
    end
  end)

  it("no executor", function()
    refused(at .. "executor is missing (there are: shared-iterations, per-vu-iterations, "
      .. "constant-vus, constant-arrival-rate)", with_options "scenarios = { s = { vus = 1 } }")
  end)

  it("an option that the executor does not have", function()
    refused(at .. "unknown option of constant-vus 'duraton' (did you mean 'duration'?)",
      with_executor("constant-vus", "duraton = '1s'"))
  end)

  it("an option that is missing", function()
    refused(at .. "duration is missing", with_executor("constant-vus", ""))
    refused(at .. "rate is missing",
      with_executor("constant-arrival-rate", "duration = '1s', pre_allocated_vus = 1"))
    refused(at .. "pre_allocated_vus is missing",
      with_executor("constant-arrival-rate", "duration = '1s', rate = 1"))
  end)

  it("a duration below a second", function()
    local result = with_executor("constant-vus", "duration = '999ms'")
    assert.matches("^perilune: script.lua:2: options: scenarios.s: duration: ", result.err)
    assert.equal(104, result.code)
    assert.equal(0, with_executor("constant-vus", "duration = '1s', exec = function() "
      .. "require 'perilune.timer'.sleep(1) end").code)
  end)

  it("a name with something else than letters, digits, - and _", function()
    refused([[script.lua:1: options: scenarios.a b: the name of a scenario has 1 to 128 letters, ]]
      .. [[digits, - and _, got "a b"]],
      scenario.run [[return { options = { scenarios = { ["a b"] = { executor =
        "per-vu-iterations" } } }, default = function() end }]])
  end)

  it("an exec that there is not", function()
    refused("script.lua:2: options: scenarios.s: exec: there is no function 'ordr' "
      .. "(did you mean 'order'?)", scenario.run [[return { options = { scenarios = { s = {
        exec = "ordr", executor = "per-vu-iterations" } } }, order = function() end }]])
  end)
end)

describe("a threshold that is wrong:", function()
  local at = "script.lua:2: options: thresholds."

  cases({
    { "thresholds = { checks = 'p95<200' }", at .. [[checks: "p95<200": column 1: expected an ]]
      .. "aggregation (count, rate, value, avg, min, max, med or p(N)), found 'p95<200'" },
    { "thresholds = { checks = 5 }",
      at .. [[checks: an expression like "p(95)<200" expected, got 5]] },
    { "thresholds = { vus = { threshold = 'value<9', abort = true } }",
      at .. "vus: unknown option of a threshold 'abort' (known: threshold, abort_on_fail, "
        .. "delay_abort_eval)" },
    { "thresholds = { vus = { threshold = 'value<9', abort_on_fail = 1 } }",
      at .. "vus: abort_on_fail: a boolean expected, got 1" },
    { "thresholds = { vus = { threshold = 'value<9', delay_abort_eval = 'x' } }",
      at .. "vus: delay_abort_eval: " .. DURATION .. '"x"' },
  }, with_options)

  it("an aggregation that its metric does not have, and a metric that there is not", function()
    refused([[script.lua: thresholds.http_req_duration: "rate<1": column 1: expected avg, min, ]]
      .. "max, med or p(N), because http_req_duration is a trend",
      with_options "thresholds = { http_req_duration = 'rate<1' }")
    refused([[script.lua: thresholds.nope: "rate<1": no metric 'nope']],
      with_options "thresholds = { nope = 'rate<1' }")
  end)
end)

describe("a scenario table that is wrong:", function()
  cases({
    { "return { options = { vus = 2 } }", "script.lua: there is no function 'default', which "
      .. "scenario default runs (it has no exec)" },
    { "return { defaul = function() end }", "script.lua:1: function 'defaul' is no hook, and no "
      .. "scenario's exec names it (did you mean 'default'?)" },
    { "return { default = 1 }", "script.lua:1: default: a function expected, got 1" },
    { "return { default = function() end, setup = {} }",
      "script.lua:1: setup: a function expected, got a table" },
    { "return { default = function() end, hosts = {} }", "script.lua:1: unknown field 'hosts' "
      .. "(known: options, setup, init, default, done, teardown, summary)" },
    { "return { default = function() end, options = 3 }",
      "script.lua:1: options: a table expected, got 3" },
  }, scenario.run)

  it("is one where scenario{} stands, too", function()
    refused("script.lua:2: scenario: options: unknown option 'vuss' (did you mean 'vus'?)",
      scenario.run [[local scenario = require "perilune.scenario"
return scenario { options = { vuss = 1 },
default = function() end }]])
  end)
end)

describe("a flag that is wrong:", function()
  local text = "return { default = function() print('RUN') end }"
  local help = " (see perilune help run)"

  local function with_flags(line, ...)
    local result = scenario.run(text, ...)
    assert.equal(line .. "\n", result.err)
    assert.equal("", result.out)
    assert.equal(104, result.code)
  end

  it("its value", function()
    with_flags('perilune: --vus: ' .. COUNT .. '"x"', "--vus", "x")
    with_flags("perilune: --vus: " .. COUNT .. "-3", "--vus=-3")
    with_flags("perilune: --duration: " .. DURATION .. '"5x"', "-d", "5x")
    with_flags("perilune: --stages: ramping-vus " .. NEXT, "-s", "1s:5")
    with_flags('perilune: --env: NAME=VALUE expected, got "FOO"', "-e", "FOO")
    with_flags('perilune: --tag: NAME=VALUE expected, got "FOO"', "--tag", "FOO")
    with_flags('perilune: --summary-mode: one of compact, full, disabled expected, got "x"',
      "--summary-mode", "x")
    with_flags('perilune: --out: json=FILE expected, got "csv=x" (the other kinds come with the '
      .. "next version)", "--out", "csv=x")
    with_flags("perilune: --out json can be given once", "-o", "json=a", "-o", "json=b")
    with_flags("perilune: cannot write /nowhere/a: No such file or directory",
      "-o", "json=/nowhere/a")
    with_flags("perilune run: --log-format xml: text or json was expected" .. help,
      "--log-format", "xml")
  end)

  it("its name, or the number of files", function()
    with_flags("perilune run: unknown flag --duraton, did you mean --duration?" .. help,
      "--duraton", "1s")
    with_flags("perilune run: one file was expected: perilune run FILE" .. help, "other.lua")
    local result = support.run("run")
    assert.equal("perilune run: which file? perilune run FILE" .. help .. "\n", result.err)
    assert.equal(104, result.code)
  end)

  it("a file that is not there", function()
    local result = support.run("run", "/nowhere/script.lua")
    refused("cannot read /nowhere/script.lua: No such file or directory", result)
    result = support.run("run", "--config", "/nowhere/config.json", "/nowhere/script.lua")
    refused("config: /nowhere/config.json: No such file or directory", result)
  end)
end)

describe("of several sources of an option", function()
  local text = [[
    return {
      options = { vus = 2, iterations = 4, tags = { a = "script", b = "script" } },
      default = function() end,
    }
  ]]

  local function with_config(config, command)
    local path = support.file(config)
    local exported = os.tmpname()
    local result = scenario.shell(text, (command:gsub("CONFIG", path):gsub("EXPORTED", exported)))
    os.remove(path)
    local all = scenario.take(exported)
    return all ~= "" and require "perilune.json".decode(all) or nil, result
  end

  local FLAGS = " run --quiet --virtual-time --config CONFIG --summary-export EXPORTED "

  it("the script goes before the config file, the environment before both, flags first",
    function()
    local function vus_of(config, environment, flags)
      local command = environment .. " PERILUNE" .. FLAGS .. flags .. " FILE"
      local all, result = with_config(config, command)
      assert.equal("", result.err)
      return all.results.scenarios.default.vus
    end
    assert.equal(2, vus_of('{ "vus": 1 }', "", ""))
    assert.equal(3, vus_of('{ "vus": 1 }', "PERILUNE_VUS=3", "-i 9"))
    assert.equal(4, vus_of('{ "vus": 1 }', "PERILUNE_VUS=3", "-u 4 -i 9"))
  end)

  it("all tags count, each from the last that has it", function()
    local all, result = with_config('{ "tags": { "a": "config", "c": "config" } }',
      "PERILUNE" .. FLAGS .. "--tag b=flag FILE")
    assert.equal("", result.err)
    assert.same({ a = "script", b = "flag", c = "config" }, all.config.tags)
  end)

  it("the one at fault is named", function()
    local _, result = with_config('{ "vus": 0 }', "PERILUNE" .. FLAGS .. "FILE")
    assert.matches("^perilune: config [^ ]+: vus: a whole number of at least 1 expected, got 0\n$",
      result.err)
    _, result = with_config('{ "vus": 1', "PERILUNE" .. FLAGS .. "FILE")
    assert.matches("^perilune: config: [^ ]+: .*line 1.*\n$", result.err)
    _, result = with_config("{}", "PERILUNE_DURATION=x PERILUNE" .. FLAGS .. "FILE")
    assert.equal("perilune: PERILUNE_DURATION: " .. DURATION .. '"x"\n', result.err)
    assert.equal(104, result.code)
  end)

  it("vus alone on the command line replaces scenarios, with a warning", function()
    local result = scenario.virtual([[return { options = { scenarios = { s = { executor =
      "constant-vus", vus = 1, duration = "1s" } } }, default = function(vu)
        print(vu.scenario) end }]], "-u", "3")
    assert.equal(3, select(2, result.out:gsub("default\n", "")))
    assert.matches("vus alone replaces the script's scenarios", result.err)
    assert.equal(0, result.code)
  end)
end)
