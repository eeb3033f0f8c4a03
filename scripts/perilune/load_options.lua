-- internal: the load engine's Lua half, not for scripts.
-- The options of a load run: what they may be, and what several sources of them come to.
--
-- A scenario table and its options are checked without being changed. What is wrong is a problem:
-- { message =, key = }, one sentence and the key it is about, by which the line in the script is
-- found. Sources are layers, each over the one before it: config file, script, environment, flags.

local M = ...
local load = require "perilune.load"

local HOOKS = { "setup", "init", "default", "done", "teardown", "summary" }

local OPTIONS = {
  "vus", "duration", "iterations", "stages", "scenarios", "thresholds", "tags", "setup_timeout",
  "teardown_timeout", "no_setup", "no_teardown", "no_thresholds", "summary_trend_stats",
  "summary_mode", "summary_time_unit", "fail_on_check",
}

local SHORTCUTS = { "duration", "iterations", "stages", "scenarios" }
local STAGES_LATER = "stages: ramping-vus comes with the next version (now there are: %s)"
local MODES = { "compact", "full", "disabled" }
local TIME_UNITS = { "s", "ms", "us" }

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do set[item] = true end
  return set
end

local is_hook, is_option = set_of(HOOKS), set_of(OPTIONS)

local function problem(key, format, ...) return { key = key, message = format:format(...) } end

-- In front of what is wrong inside it.
local function within(where, found)
  found.message = where .. ": " .. found.message
  return found
end

local function show(value)
  if type(value) == "string" then
    return ("%q"):format(#value > 64 and value:sub(1, 64) .. "..." or value)
  end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return "a " .. type(value)
end

local function expected(key, what, value)
  return problem(key, "%s: %s expected, got %s", key, what, show(value))
end

local function one_of(list) return "one of " .. table.concat(list, ", ") end

local function unknown(what, key, known)
  if type(key) ~= "string" then
    return problem(nil, "%s are named, got %s as a name", what .. "s", show(key))
  end
  local near = load._nearest(key, known)
  if near then return problem(key, "unknown %s '%s' (did you mean '%s'?)", what, key, near) end
  return problem(key, "unknown %s '%s' (known: %s)", what, key, table.concat(known, ", "))
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do table.insert(keys, key) end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  return keys
end

-- Tags, variables: names and plain values.
local function check_pairs(key, value)
  if value == nil then return nil end
  if type(value) ~= "table" then return expected(key, "a table of names and values", value) end
  for _, name in ipairs(sorted_keys(value)) do
    local item = value[name]
    if type(name) ~= "string" or name == "" then
      return problem(key, "%s: names are texts, got %s", key, show(name))
    end
    if type(item) ~= "string" and type(item) ~= "number" and type(item) ~= "boolean" then
      return problem(name, "%s.%s: a text, number or boolean expected, got %s", key, name,
        show(item))
    end
  end
end

-- ---- scenarios ----

local COMMON = { "executor", "exec", "env", "tags" }

local function split_scenario(scenario)
  local options = {}
  for key, value in pairs(scenario) do options[key] = value end
  for _, key in ipairs(COMMON) do options[key] = nil end
  return options
end

local function check_scenario(name, scenario)
  if type(name) ~= "string" then
    return problem(nil, "scenarios are named, got %s as a name", show(name))
  end
  if type(scenario) ~= "table" then return expected(name, "a table", scenario) end
  local executor = scenario.executor
  if executor == nil then
    local known = table.concat(load._executors(), ", ")
    return problem(name, "executor is missing (there are: %s)", known)
  end
  if type(executor) ~= "string" then return expected("executor", "a text", executor) end
  local known, why = load._options_of(executor)
  if not known then return problem("executor", "%s", why) end
  table.move(COMMON, 1, #COMMON, #known + 1, known)
  local is_known = set_of(known)
  for _, key in ipairs(sorted_keys(scenario)) do
    if not is_known[key] then return unknown("option of " .. executor, key, known) end
  end
  local exec = scenario.exec
  if exec ~= nil and type(exec) ~= "string" and type(exec) ~= "function" then
    return expected("exec", "the name of a function, or a function", exec)
  end
  local found = check_pairs("env", scenario.env) or check_pairs("tags", scenario.tags)
  if found then return found end
  local ok, message, key = load._scenario(name, executor, split_scenario(scenario))
  if not ok then return { key = message:match("^([%w_]+): ") or key, message = message } end
end

local function check_scenarios(scenarios)
  if type(scenarios) ~= "table" then
    return expected("scenarios", "a table of scenarios", scenarios)
  end
  if next(scenarios) == nil then
    return problem("scenarios", "scenarios: at least one is needed")
  end
  for _, name in ipairs(sorted_keys(scenarios)) do
    local found = check_scenario(name, scenarios[name])
    if found then return within("scenarios." .. tostring(name), found) end
  end
end

-- ---- thresholds ----

local THRESHOLD_KEYS = { "threshold", "abort_on_fail", "delay_abort_eval" }

-- One threshold, as { metric =, text =, abort =, delay_ns = }; or nil and a problem. Without a
-- metric the text carries it.
local function read_threshold(metric, value)
  local one = { metric = metric, text = value, abort = false, delay_ns = 0 }
  if type(value) == "table" then
    for _, key in ipairs(sorted_keys(value)) do
      if not set_of(THRESHOLD_KEYS)[key] then
        return nil, unknown("option of a threshold", key, THRESHOLD_KEYS)
      end
    end
    one.text = value.threshold
    if value.abort_on_fail ~= nil and type(value.abort_on_fail) ~= "boolean" then
      return nil, expected("abort_on_fail", "a boolean", value.abort_on_fail)
    end
    one.abort = value.abort_on_fail == true
    if value.delay_abort_eval ~= nil then
      local delay_ns, why = load._duration(value.delay_abort_eval)
      if not delay_ns then return nil, problem("delay_abort_eval", "delay_abort_eval: %s", why) end
      one.delay_ns = delay_ns
    end
  end
  if type(one.text) ~= "string" then
    local key = type(value) == "table" and "threshold" or metric
    return nil, problem(key, 'an expression like "p(95)<200" expected, got %s',
      show(one.text))
  end
  local ok, why = load._check_threshold(one.text, metric == nil)
  if not ok then return nil, problem(metric, "%s: %s", show(one.text), why) end
  return one
end

local function is_list(value)
  return type(value) == "table" and value.threshold == nil and value[1] ~= nil
end

-- All of them, in a fixed order; or nil and a problem.
local function read_thresholds(thresholds)
  local all = {}
  if thresholds == nil then return all end
  if type(thresholds) ~= "table" then
    return nil, expected("thresholds", "a table of thresholds", thresholds)
  end
  for _, metric in ipairs(sorted_keys(thresholds)) do
    local value = thresholds[metric]
    local name = type(metric) == "string" and metric or nil
    local entries = name and is_list(value) and value or { value }
    for index in pairs(entries) do
      if math.type(index) ~= "integer" or index < 1 or index > #entries then
        local found = problem(metric, "a list has no entry %s", show(index))
        return nil, within("thresholds." .. metric, found)
      end
    end
    for _, entry in ipairs(entries) do
      local one, found = read_threshold(name, entry)
      if not one then return nil, within("thresholds" .. (name and "." .. name or ""), found) end
      table.insert(all, one)
    end
  end
  return all
end

-- ---- the other options ----

local function check_duration(key, value)
  if value == nil then return nil end
  local _, why = load._duration(value)
  if why then return problem(key, "%s: %s", key, why) end
end

local function check_boolean(key, value)
  if value ~= nil and type(value) ~= "boolean" then return expected(key, "a boolean", value) end
end

local function check_choice(key, value, list)
  if value ~= nil and not set_of(list)[value] then return expected(key, one_of(list), value) end
end

local function check_stats(value)
  if value == nil then return nil end
  local key = "summary_trend_stats"
  if type(value) ~= "table" or #value == 0 then
    return expected(key, "a list like { \"avg\", \"p(95)\" }", value)
  end
  for _, stat in ipairs(value) do
    if type(stat) ~= "string" or not load._is_stat(stat) then
      return expected(key, "avg, min, med, max, count or p(N)", stat)
    end
  end
end

-- Shortcuts that stand in one table and contradict each other, as in k6.
local function check_shortcuts(options)
  local conflicts = {
    { "iterations", "stages" }, { "iterations", "scenarios" }, { "duration", "stages" },
    { "duration", "scenarios" }, { "stages", "scenarios" }, { "vus", "scenarios" },
  }
  for _, pair in ipairs(conflicts) do
    if options[pair[1]] ~= nil and options[pair[2]] ~= nil then
      return problem(pair[1], "%s and %s cannot be used together", pair[1], pair[2])
    end
  end
  if options.stages ~= nil then
    return problem("stages", STAGES_LATER, table.concat(load._executors(), ", "))
  end
end

-- vus, duration and iterations are those of an executor, and are checked as such.
local function check_shortcut_values(options)
  local executor = options.iterations == nil and options.duration ~= nil and "constant-vus"
    or "shared-iterations"
  local values = { vus = options.vus, iterations = options.iterations or options.vus }
  if executor == "constant-vus" then
    values = { vus = options.vus, duration = options.duration }
  elseif options.duration ~= nil then
    values.max_duration = options.duration
  end
  if options.vus == nil and options.duration == nil and options.iterations == nil then
    return nil
  end
  local ok, message, key = load._scenario("default", executor, values)
  if ok then return nil end
  message = message:gsub("^max_duration", "duration")
  return { key = message:match("^([%w_]+): ") or key, message = message }
end

local function check_options(options)
  if options == nil then return nil end
  if type(options) ~= "table" then return expected("options", "a table", options) end
  for _, key in ipairs(sorted_keys(options)) do
    if not is_option[key] then return unknown("option", key, OPTIONS) end
  end
  local _, found = read_thresholds(options.thresholds)
  return check_shortcuts(options) or check_shortcut_values(options)
    or options.scenarios ~= nil and check_scenarios(options.scenarios) or found
    or check_pairs("tags", options.tags)
    or check_duration("setup_timeout", options.setup_timeout)
    or check_duration("teardown_timeout", options.teardown_timeout)
    or check_boolean("no_setup", options.no_setup)
    or check_boolean("no_teardown", options.no_teardown)
    or check_boolean("no_thresholds", options.no_thresholds)
    or check_boolean("fail_on_check", options.fail_on_check)
    or check_stats(options.summary_trend_stats)
    or check_choice("summary_mode", options.summary_mode, MODES)
    or check_choice("summary_time_unit", options.summary_time_unit, TIME_UNITS)
    or nil
end

-- ---- the scenario table ----

local function function_names(scenario)
  local names = {}
  for _, name in ipairs(sorted_keys(scenario)) do
    if type(scenario[name]) == "function" then table.insert(names, name) end
  end
  return names
end

local function name_of(scenario, fn)
  for _, name in ipairs(function_names(scenario)) do
    if rawequal(scenario[name], fn) then return name end
  end
end

-- The functions that the scenarios of a table of options run, as a set of names.
local function named_by(scenario, scenarios, names)
  for _, one in pairs(type(scenarios) == "table" and scenarios or {}) do
    local exec = type(one) == "table" and one.exec
    if type(exec) == "function" then exec = name_of(scenario, exec) end
    if exec then names[exec] = true end
  end
  return names
end

local function check_exec(scenario, scenarios)
  for _, name in ipairs(sorted_keys(scenarios)) do
    local exec = scenarios[name].exec
    if exec == nil and type(scenario.default) ~= "function" then
      return problem(name,
        "there is no function 'default', which scenario %s runs (it has no exec)", name)
    end
    if type(exec) == "string" and type(scenario[exec]) ~= "function" then
      local near = load._nearest(exec, function_names(scenario))
      return problem("exec", "scenarios.%s: exec: there is no function '%s'%s", name, exec,
        near and (" (did you mean '%s'?)"):format(near) or "")
    end
  end
end

local function check_fields(scenario, named)
  local known = table.move(HOOKS, 1, #HOOKS, 2, { "options" })
  for name in pairs(named) do table.insert(known, name) end
  for _, key in ipairs(sorted_keys(scenario)) do
    local value = scenario[key]
    if is_hook[key] and type(value) ~= "function" then return expected(key, "a function", value) end
    if not is_hook[key] and key ~= "options" and not named[key] then
      if type(value) ~= "function" then return unknown("field", key, known) end
      local near = load._nearest(tostring(key), known)
      return problem(key, "function '%s' is no hook, and no scenario's exec names it%s",
        tostring(key), near and (" (did you mean '%s'?)"):format(near) or "")
    end
  end
end

-- All that can be said of a scenario table by itself.
local function check_table(scenario)
  local options = scenario.options
  if options ~= nil and type(options) ~= "table" then
    return expected("options", "a table", options)
  end
  local scenarios = options and options.scenarios
  local found = check_options(options) or scenarios and check_exec(scenario, scenarios)
  if found then return within("options", found) end
  return check_fields(scenario, named_by(scenario, scenarios, {}))
end

--- For perilune.scenario: nil, or what is wrong.
function M.check(scenario)
  local found = check_table(scenario)
  return found and "scenario: " .. found.message
end

-- ---- layers ----

-- What the layers come to. Execution options of a later layer replace all of those before it.
local function merge(layers)
  local merged, came_from = {}, {}
  for _, layer in ipairs(layers) do
    local options = layer.options
    local replaces = false
    for _, key in ipairs(SHORTCUTS) do replaces = replaces or options[key] ~= nil end
    for _, key in ipairs(replaces and SHORTCUTS or {}) do merged[key] = nil end
    for key, value in pairs(options) do
      if key == "tags" and merged.tags then
        local tags = {}
        for name, tag in pairs(merged.tags) do tags[name] = tag end
        for name, tag in pairs(value) do tags[name] = tag end
        value = tags
      end
      merged[key], came_from[key] = value, layer
    end
  end
  return merged, came_from
end

-- The scenarios that shortcuts stand for; and a warning, if there is one.
local function scenarios_of(options, came_from)
  local vus = options.vus
  if options.iterations then
    return { default = { executor = "shared-iterations", vus = vus, iterations = options.iterations,
      max_duration = options.duration } }
  elseif options.duration then
    return { default = { executor = "constant-vus", vus = vus, duration = options.duration } }
  elseif vus and (not options.scenarios or came_from.vus.is_above_script) then
    local warning = options.scenarios
      and "vus alone replaces the script's scenarios: as many iterations, shared"
    return { default = { executor = "shared-iterations", vus = vus, iterations = vus } }, warning
  elseif options.scenarios then
    return options.scenarios
  end
  return { default = { executor = "per-vu-iterations", vus = 1, iterations = 1 } }
end

local function plan_scenarios(scenario, scenarios)
  local list = {}
  for _, name in ipairs(sorted_keys(scenarios)) do
    local one = scenarios[name]
    local exec, is_function = one.exec or "default", false
    if type(exec) == "function" then
      exec = name_of(scenario, exec)
      is_function = exec == nil
    end
    table.insert(list, {
      name = name, executor = one.executor, options = split_scenario(one),
      exec = exec or "function", exec_is_function = is_function, env = one.env, tags = one.tags,
    })
  end
  return list
end

local function seconds_of(value, absent)
  local ns = load._duration(value == nil and absent or value)
  return ns * 1e-9
end

--- What a run is to do, from the scenario table and the layers, each { name =, options =,
-- is_above_script = }. The layer named "script" is filled in. nil and a problem, with `layer` where
-- it is one's.
function M.plan(scenario, layers)
  local found = check_table(scenario)
  if found then return nil, found end
  for _, layer in ipairs(layers) do
    if layer.name == "script" then layer.options = scenario.options or {} end
    found = layer.name ~= "script" and check_options(layer.options)
    if found then
      found.layer = layer.name
      return nil, found
    end
  end
  local options, came_from = merge(layers)
  local scenarios, warning = scenarios_of(options, came_from)
  found = check_scenarios(scenarios) or check_exec(scenario, scenarios)
  if found then return nil, found end
  local thresholds
  thresholds, found = read_thresholds(options.thresholds)
  if found then return nil, found end
  return {
    scenarios = plan_scenarios(scenario, scenarios), thresholds = thresholds, warning = warning,
    tags = options.tags, setup_timeout = seconds_of(options.setup_timeout, "60s"),
    teardown_timeout = seconds_of(options.teardown_timeout, "60s"),
    no_setup = options.no_setup, no_teardown = options.no_teardown,
    no_thresholds = options.no_thresholds,
    stats = options.summary_trend_stats or { "avg", "min", "med", "max", "p(90)", "p(95)" },
    mode = options.summary_mode or "compact", time_unit = options.summary_time_unit,
    fail_on_check = options.fail_on_check,
  }
end

--- The one line of a text in which a key is given a value; nil when there are several, or none.
function M.find_line(text, key)
  if type(key) ~= "string" then return nil end
  local pattern = "%f[%w_]" .. key:gsub("%p", "%%%0") .. '%f[^%w_]"?%]?%s*=%f[^=]'
  local number, found = 0, nil
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if line:gsub("%-%-.*$", ""):find(pattern) then
      if found then return nil end
      found = number
    end
  end
  return found
end

-- A text of the environment or of a flag, as the option's type.
local BOOLEANS = set_of { "no_setup", "no_teardown", "no_thresholds", "fail_on_check" }
local COUNTS = set_of { "vus", "iterations" }

--- As above: nil and a message for what cannot be.
function M.from_text(key, text)
  if COUNTS[key] and text:find("^%-?%d+$") then return math.tointeger(text) or text end
  if BOOLEANS[key] then
    if text == "" or text == "true" or text == "1" then return true end
    if text == "false" or text == "0" then return false end
    return nil, ("%s: true or false expected, got %s"):format(key, show(text))
  end
  if key == "summary_trend_stats" then
    local stats = {}
    for stat in text:gmatch("[^,%s]+") do table.insert(stats, stat) end
    return stats
  end
  return text
end

M.names = OPTIONS
