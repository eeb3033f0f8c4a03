-- internal: the load engine's Lua half, not for scripts.
-- What `perilune run` and `perilune inspect` run: loads the scenario, decides what happens when,
-- and shows it.
--
-- Order: load and validate (nothing runs before all of it is good); setup; users and their init;
-- the run; done of each user; teardown; the verdict, the summary. The exit code is the first thing
-- that went wrong (docs/load.md, "Exit codes").

local actor = require "perilune.actor"
local load = require "perilune.load"
local options_of = require "perilune.load_options"
local report = require "perilune.load_report"
local timer = require "perilune.timer"

local PASSED, SETUP_TIMEOUT, TEARDOWN_TIMEOUT = 0, 100, 101
local TIMEOUT, CONFIG, SCRIPT, THRESHOLD = 102, 104, 107, 99

local EVALUATE_EVERY, SAMPLE_EVERY = 2, 1 -- seconds; k6's
local SETTLE = 0.05 -- until all workers have begun, before users are counted
local DRAW_EVERY = { terminal = 0.1, plain = 1 }
local LOAD_TIMEOUT, SUMMARY_TIMEOUT = 60, 120 -- seconds

local command, script, flags, is_terminal = load._request()

local function is_stopped()
  local _, _, _, stopped = load._state()
  return stopped
end

-- ---- saying things ----

local function complain(message) io.stderr:write("perilune: ", message, "\n") end

-- stdout may go away (a closed pipe, a full disk); the run's verdict stands.
local stdout_is_gone = false

local function note_stdout(why)
  if not why or stdout_is_gone then return end
  stdout_is_gone = true
  complain("cannot write to stdout: " .. why)
end

local function say(text) note_stdout(load._write(text)) end

-- ---- flags and environment ----

local settings = { env = {}, outputs = {} } -- what is no option of a scenario

local function split_pair(text, what)
  local key, value = text:match("^([^=]+)=(.*)$")
  if not key then return nil, ("%s: NAME=VALUE expected, got %q"):format(what, text) end
  return key, value
end

local FLAGS = {}

function FLAGS.env(_, value)
  local key, text = split_pair(value, "--env")
  if not key then return text end
  settings.env[key] = text
end

function FLAGS.tag(options, value)
  local key, text = split_pair(value, "--tag")
  if not key then return text end
  options.tags = options.tags or {}
  options.tags[key] = text
end

function FLAGS.out(_, value)
  local kind, target = value:match("^(%w+)=(.+)$")
  if kind ~= "json" then
    local message = "--out: json=FILE expected, got %q (the other kinds come with the next version)"
    return message:format(value)
  end
  if #settings.outputs > 0 then return "--out json can be given once" end
  local text = ("%s (%s)"):format(kind, target)
  table.insert(settings.outputs, { kind = kind, target = target, text = text })
end

for _, name in ipairs { "quiet", "no_color", "summary_export", "config" } do
  FLAGS[name] = function(_, value) settings[name] = value == "" and true or value end
end

-- One flag or variable into a layer's options; or what is wrong.
local function take(options, name, value)
  if FLAGS[name] then return FLAGS[name](options, value) end
  local typed, why = options_of.from_text(name, value)
  if typed == nil then return why end
  options[name] = typed
end

local function read_environment()
  local options = {}
  local names = { "out", "no_color", "summary_export", "config" }
  table.move(options_of.names, 1, #options_of.names, #names + 1, names)
  for _, name in ipairs(names) do
    local value = os.getenv("PERILUNE_" .. name:upper())
    if value and name ~= "scenarios" and name ~= "thresholds" and name ~= "tags" then
      local why = take(options, name, value)
      if why then return nil, "PERILUNE_" .. name:upper() .. ": " .. why end
    end
  end
  return options
end

local function read_flags()
  local options = {}
  for _, flag in ipairs(flags) do
    local why = take(options, flag[1], flag[2])
    if why then return nil, why end
  end
  return options
end

local function read_config(path)
  if not path then return {} end
  local file, why = io.open(path, "rb")
  if not file then return nil, "config: " .. why end
  local text = file:read("a")
  file:close()
  local options
  options, why = load._from_json(text or "")
  if options == nil then
    return nil, ("config: %s: %s"):format(path, why or "an object expected")
  end
  if type(options) ~= "table" then return nil, ("config: %s: an object expected"):format(path) end
  return options
end

-- In the order of their weight; or nil and what is wrong.
local function read_layers()
  local environment, why = read_environment()
  local flag_options, config
  if environment then flag_options, why = read_flags() end
  if flag_options then config, why = read_config(settings.config) end
  if not config then return nil, why end
  return {
    { name = "config " .. tostring(settings.config), options = config },
    { name = "script" },
    { name = "environment", options = environment, is_above_script = true },
    { name = "flags", options = flag_options, is_above_script = true },
  }
end

-- ---- loading ----

local text -- of the script

-- Where in the script a problem is, as far as that can be said.
local function place_of(problem)
  if problem.layer then return nil end
  local line = options_of.find_line(text, problem.key)
  return line and ("%s:%d"):format(script, line) or script
end

-- The message with its place; in flags and variables, these are the place.
local function located(problem)
  local place, message = place_of(problem), problem.message
  if place then return place .. ": " .. message end
  local name, rest = message:match("^([%w_]+)(: .*)$")
  if problem.layer == "flags" and name then return "--" .. name:gsub("_", "-") .. rest end
  if problem.layer == "environment" and name then return "PERILUNE_" .. name:upper() .. rest end
  return problem.layer .. ": " .. message
end

local function load_scenario()
  local why
  text, why = load._read()
  if not text then return nil, ("cannot read %s: %s"):format(script, why), CONFIG end
  local message
  local function on_error(failure)
    local is_text = type(failure) == "string"
    message = is_text and failure or ("%s: error(%s)"):format(script, tostring(failure))
    return message
  end
  local ok, result = timer.with_timeout(LOAD_TIMEOUT, xpcall, load._scenario_table, on_error)
  if ok == nil then
    local place = message and message:match("^(.-): cancelled") or script
    return nil, ("%s: the file is not loaded after %gs"):format(place, LOAD_TIMEOUT), TIMEOUT
  end
  if not ok then return nil, message, message:find(":%d+: scenario: ") and CONFIG or SCRIPT end
  return result
end

-- Gives the checked plan to the engine. nil, or what is wrong.
local function configure(plan)
  local tags = {}
  for name, value in pairs(plan.tags or {}) do tags[name] = tostring(value) end
  local ok, why = load._set_pairs(settings.env, tags)
  if not ok then return why end
  for _, s in ipairs(plan.scenarios) do
    ok, why = load._scenario(s.name, s.executor, s.options, s.exec, s.exec_is_function, s.env,
      s.tags)
    if not ok then return ("scenario %s: %s"):format(s.name, why) end
  end
  ok, why = load._prepare()
  if ok and plan.mode == "full" then ok, why = load._want_details() end
  if not ok then return why end
  for _, t in ipairs(not plan.no_thresholds and plan.thresholds or {}) do
    ok, why = load._threshold(t.metric, t.text, t.abort, t.delay_ns)
    if not ok then
      local where = t.metric and "thresholds." .. t.metric or "thresholds"
      return ("%s: %s: %q: %s"):format(script, where, t.text, why)
    end
  end
end

-- The scenario and its plan; or nil, message, exit code.
local function open()
  local layers, why = read_layers()
  if not layers then return nil, why, CONFIG end
  local env = require "perilune.run".env -- loaded before -e was read
  for name, value in pairs(settings.env) do env[name] = value end
  local scenario, message, code = load_scenario()
  if not scenario then return nil, message, code end
  local plan, problem = options_of.plan(scenario, layers)
  if not plan then return nil, located(problem), CONFIG end
  why = configure(plan)
  if why then return nil, why, CONFIG end
  return scenario, plan
end

-- ---- hooks ----

local CANCELLED = "cancelled: the time of with_timeout is over"

-- Calls the hook with a time limit and keeps what comes of it in `outcome`.
local function guard(outcome, name, timeout, fn, ...)
  local failure
  local function on_error(message)
    failure = tostring(message)
    if not failure:find(CANCELLED, 1, true) then load._report(message, name) end
    return message
  end
  local ok, result, code = timer.with_timeout(timeout, xpcall, fn, on_error, ...)
  if ok == nil and code == "timeout" then
    local place = failure and failure:match("^(.-: )cancelled") or ""
    outcome.state = "timeout"
    outcome.why = ("%s%s is not done after %gs"):format(place, name, timeout)
  else
    outcome.state, outcome.result = ok and "done" or "error", result
  end
  load._tell()
end

-- "done" and the result; "error"; "timeout" and a sentence; "stopped". In a task of its own, so
-- that a stop of the run can end it.
local function call_hook(name, timeout, may_stop, fn, ...)
  local outcome = {}
  load._hook(name)
  local task = actor.task(guard, outcome, name, timeout, fn, ...)
  load._hook(nil)
  while not outcome.state do
    load._wait("1h")
    if not outcome.state and may_stop and is_stopped() then
      task:cancel()
      return "stopped"
    end
  end
  return outcome.state, outcome.state == "done" and outcome.result or outcome.why
end

local function run_setup(scenario, plan)
  if not scenario.setup or plan.no_setup then return true end
  local state, result = call_hook("setup", plan.setup_timeout, true, scenario.setup)
  if state == "error" then load._decide(SCRIPT, "setup ended with an error") end
  if state == "timeout" then load._decide(SETUP_TIMEOUT, result) end
  if state ~= "done" then return false end
  if result == nil then return true end
  local ok, why = pcall(load._set_data, result)
  if ok then return true, result end
  load._decide(SCRIPT, why)
  return false
end

local function run_teardown(scenario, plan, data)
  if not scenario.teardown or plan.no_teardown then return end
  local state, why = call_hook("teardown", plan.teardown_timeout, false, scenario.teardown, data)
  if state == "error" then load._decide(SCRIPT, "teardown ended with an error") end
  if state == "timeout" then load._decide(TEARDOWN_TIMEOUT, why) end
end

-- ---- progress ----

local function counts_now()
  local elapsed, active, vus_made, complete, interrupted = load._counts()
  return {
    elapsed = elapsed, active = active, vus_made = vus_made, complete = complete,
    interrupted = interrupted,
  }
end

local function erase() note_stdout(load._draw("")) end

local function draw(state)
  if settings.quiet or stdout_is_gone then return end
  local lines = report.progress_block(state, counts_now(), load._progress())
  if is_terminal then
    note_stdout(load._draw(table.concat(lines, "\n") .. "\n"))
  else
    say(lines[1] .. "\n")
  end
end

local function show_header()
  if settings.quiet then return end
  local _, _, _, _, _, vus_max, seconds_max = load._counts()
  local outputs = {}
  for _, output in ipairs(settings.outputs) do table.insert(outputs, output.text) end
  say(report.header {
    script = script, outputs = outputs, vus_max = vus_max, scenarios = load._describe(),
    duration_max = load._duration_text(seconds_max),
  })
end

-- ---- the run ----

-- Draws while it waits, and calls `watch`, which says when it wants to be called again.
local function wait_until(is_done, state, watch)
  local every = is_terminal and DRAW_EVERY.terminal or DRAW_EVERY.plain
  local next_draw = timer.now() + every
  while not is_done() do
    local now = timer.now()
    if now >= next_draw then
      draw(state)
      next_draw = math.max(next_draw + every, now)
    end
    local wake = math.min(next_draw, watch and watch(now) or next_draw)
    load._wait(math.max(0, wake - now))
  end
end

-- Thresholds and the users' gauges, each in its own time.
local function new_watch(plan)
  local now = timer.now()
  local next_sample, next_evaluation = now + SETTLE, now + EVALUATE_EVERY
  return function(present)
    if present >= next_sample then
      load._sample_vus()
      settings.has_sampled = true
      next_sample = next_sample + SAMPLE_EVERY
    end
    if present >= next_evaluation then
      next_evaluation = next_evaluation + EVALUATE_EVERY
      local _, cause = load._evaluate()
      if cause and not settings.is_cut then
        settings.is_cut = true
        load._log("error", ("threshold %s has failed and says to abort"):format(cause))
        load._stop()
      end
    end
    return math.min(next_sample, #plan.thresholds > 0 and next_evaluation or next_sample)
  end
end

local function run_users(plan)
  load._make_users()
  wait_until(function()
    local preparing = load._state()
    return preparing == 0 or is_stopped()
  end, "initialising")
  if is_stopped() then
    load._stop() -- once more, for users made meanwhile
  else
    load._start()
  end
  wait_until(function()
    local _, parts, actors = load._state()
    return parts == 0 and actors == 0
  end, "running", new_watch(plan))
  if not settings.has_sampled then load._sample_vus(true) end
end

-- ---- results ----

local function save(path, content)
  local file, why = io.open(path, "wb")
  local ok = file
  if file then
    ok, why = file:write(content)
    local closed, close_why = file:close()
    if ok and not closed then ok, why = nil, close_why end
  end
  if not ok then complain(("cannot write %s: %s"):format(path, why)) end
end

local function show_summary(scenario, plan, result)
  local wants_colour = is_terminal and not settings.no_color and not os.getenv("NO_COLOR")
  local shown = report.summary(result, {
    mode = plan.mode, stats = plan.stats, time_unit = plan.time_unit, colour = wants_colour,
  })
  if scenario.summary then
    local state, custom = call_hook("summary", SUMMARY_TIMEOUT, false, scenario.summary, result)
    if state == "error" then load._decide(SCRIPT, "summary ended with an error") end
    if state == "timeout" then load._decide(TIMEOUT, custom) end
    if type(custom) == "string" and state == "done" then custom = { stdout = custom } end
    if type(custom) == "table" then
      for target, content in pairs(custom) do
        if target == "stdout" then
          say(tostring(content))
        elseif target == "stderr" then
          io.stderr:write(tostring(content))
        else
          save(target, tostring(content))
        end
      end
      return
    end
  end
  if plan.mode ~= "disabled" then say(shown .. "\n\n") end
end

local function finish(scenario, plan)
  erase()
  local json = load._result(plan.stats, plan.fail_on_check == true)
  local result = load._from_json(json)
  if settings.summary_export then save(settings.summary_export, json .. "\n") end
  show_summary(scenario, plan, result)
  local code, why = load._verdict()
  if result.verdict.code ~= PASSED then code, why = result.verdict.code, result.verdict.why end
  if not settings.quiet then
    local was_cut = code and code ~= PASSED and code ~= THRESHOLD
    local state = was_cut and "ended" or "running"
    local block = report.progress_block(state, counts_now(), load._progress())
    for _, line in ipairs(block) do
      say(line .. "\n")
    end
  end
  code = code or PASSED
  if code ~= PASSED and why and why ~= "" then complain(why) end
  return code
end

local function wait_for_outputs()
  repeat
    local _, _, _, _, busy = load._state()
    if busy > 0 then load._wait("1h") end
  until busy == 0
end

local function close_outputs()
  if #settings.outputs == 0 then return end
  local target = settings.outputs[1].target
  load._detach_json()
  wait_for_outputs()
  local lost, why = load._close_json()
  if why then complain(("cannot write %s: %s"):format(target, why)) end
  if lost > 0 then
    complain(("%s: the disk was too slow for %d lines, they are missing"):format(target, lost))
  end
end

local function open_outputs()
  if #settings.outputs == 0 then return true end
  local ok, why = load._open_json(settings.outputs[1].target)
  if not ok then return nil, ("cannot write %s: %s"):format(settings.outputs[1].target, why) end
  wait_for_outputs()
  return true
end

local function run_all(scenario, plan)
  local ok, why = open_outputs()
  if not ok then
    complain(why)
    return CONFIG
  end
  show_header()
  if plan.warning then load._log("warn", plan.warning) end
  local is_set_up, data = run_setup(scenario, plan)
  if is_set_up and not is_stopped() then run_users(plan) end
  if is_set_up then run_teardown(scenario, plan, data) end
  close_outputs()
  return finish(scenario, plan)
end

-- ---- inspect ----

local function inspect(scenario, plan)
  local thresholds, hooks = {}, {}
  for _, t in ipairs(plan.thresholds) do
    local metric = t.metric and load._to_json(t.metric) or "null"
    table.insert(thresholds,
      ('{"metric":%s,"threshold":%s,"abort_on_fail":%s,"delay_abort_eval":%g}'):format(metric,
        load._to_json(t.text), t.abort, t.delay_ns * 1e-9))
  end
  for _, hook in ipairs { "setup", "init", "done", "teardown", "summary" } do
    if scenario[hook] then table.insert(hooks, load._to_json(hook)) end
  end
  local _, _, _, _, _, vus_max, seconds_max = load._counts()
  local layout = '{"script":%s,"max_vus":%d,"max_duration":%s,"hooks":[%s],"scenarios":%s,'
    .. '"thresholds":[%s]}\n'
  say(layout:format(
    load._to_json(script), vus_max, load._to_json(load._duration_text(seconds_max)),
    table.concat(hooks, ","), load._scenarios_json(), table.concat(thresholds, ",")))
  return PASSED
end

local scenario, plan, code = open()
if not scenario then
  complain(plan)
  return code
end
if command == "inspect" then return inspect(scenario, plan) end
return run_all(scenario, plan)
