-- internal: the load engine's Lua half, not for scripts.
-- What people see of a load run: header, progress, summary. Text only, from tables; nothing is
-- asked of the run here. The layout is k6's, so whoever reads one reads the other.

local M = ...

-- ---- numbers ----

-- As "%.Nf", whatever the locale.
local function fixed(value, decimals)
  return (("%." .. decimals .. "f"):format(value):gsub(",", "."))
end

-- Without trailing zeros.
local function short(value, decimals)
  local text = fixed(value, decimals)
  if text:find(".", 1, true) then text = text:gsub("0+$", ""):gsub("%.$", "") end
  return text == "-0" and "0" or text
end

local function trunc(value) return value < 0 and math.ceil(value) or math.floor(value) end

-- Cut off, not rounded, as k6 shows durations.
local function short_cut(value, decimals)
  local scale = 10.0 ^ decimals
  if math.abs(value) * scale < 2.0 ^ 53 then
    value = trunc(value * scale + (value < 0 and -1e-9 or 1e-9)) / scale
  end
  return short(value, decimals)
end

local UNITS = { s = { 1e-3, "s" }, ms = { 1, "ms" }, us = { 1e3, "µs" } }

--- Milliseconds as people read them; in a fixed unit if one is given.
function M.duration(ms, unit)
  if unit then return fixed(ms * UNITS[unit][1], 2) .. UNITS[unit][2] end
  if ms == 0 then return "0s" end
  if ms < 0 then return "-" .. M.duration(-ms) end
  if ms < 0.001 then return ("%dns"):format(trunc(ms * 1e6)) end
  if ms < 1 then return short_cut(ms * 1e3, 2) .. "µs" end
  if ms < 1000 then return short_cut(ms, 2) .. "ms" end
  local text = short_cut((ms % 60000) / 1000, ms > 60000 and 0 or 2) .. "s"
  local minutes = trunc(ms / 60000)
  if minutes < 1 then return text end
  text = ("%dm%s"):format(minutes % 60, text)
  return minutes < 60 and text or ("%dh%s"):format(minutes // 60, text)
end

local SIZES = { "B", "kB", "MB", "GB", "TB", "PB", "EB" }

--- Bytes, in powers of 1000.
function M.size(bytes)
  if bytes < 10 then return short(bytes, 0) .. " B" end
  local power = 1
  while power < #SIZES and bytes >= 1000.0 ^ power do power = power + 1 end
  local value = math.floor(bytes / 1000.0 ^ (power - 1) * 10 + 0.5) / 10
  return fixed(value, value < 10 and 1 or 0) .. " " .. SIZES[power]
end

--- A share, cut to two decimals.
function M.percent(rate) return fixed(math.floor(rate * 10000 + 1e-9) / 100, 2) .. "%" end

function M.value(metric, value, unit)
  if metric.type == "rate" then return M.percent(value) end
  if metric.contains == "data" then return M.size(value) end
  if metric.contains == "time" then return M.duration(value, unit) end
  return short(value, 6)
end

-- ---- colour ----

local COLOURS = { green = "32", red = "31", cyan = "36", faint = "2", bold = "1" }

local function painter(has_colour)
  return function(colour, text)
    if not has_colour then return text end
    return ("\27[%sm%s\27[0m"):format(COLOURS[colour], text)
  end
end

-- ---- width ----

local function width(text) return utf8.len(text) or #text end

local function pad(text, to) return text .. (" "):rep(to - width(text)) end

-- ---- header ----

local SCENARIOS_LINE = "     scenarios: (100.00%%) %d scenario%s, %d max VUs, %s max duration "
  .. "(incl. graceful stop):"

--- What is going to run. `run`: script, outputs, vus_max, duration_max (text), and scenarios, each
-- { name, text }.
function M.header(run)
  local lines = {
    "",
    "     execution: local",
    "        script: " .. run.script,
    "        output: " .. (#run.outputs > 0 and table.concat(run.outputs, ", ") or "-"),
    "",
    SCENARIOS_LINE:format(#run.scenarios, #run.scenarios == 1 and "" or "s", run.vus_max,
      run.duration_max),
  }
  for _, scenario in ipairs(run.scenarios) do
    table.insert(lines, ("              * %s: %s"):format(scenario[1], scenario[2]))
  end
  table.insert(lines, "\n")
  return table.concat(lines, "\n")
end

-- ---- progress ----

local BAR_WIDTH = 40
local GLYPHS = { waiting = "•", running = " ", stopping = "↓", interrupted = "✗", done = "✓" }

function M.bar(fraction)
  local filled = math.floor(BAR_WIDTH * fraction)
  if filled >= BAR_WIDTH then return ("="):rep(BAR_WIDTH) end
  local head = filled > 0 and ">" or ""
  return ("="):rep(filled - #head) .. head .. ("-"):rep(BAR_WIDTH - filled)
end

-- "13.0s", "01m05.0s", "1h01m05.0s"
local function clock(seconds)
  local tenths = math.floor(seconds * 10)
  local hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600
  local text = ("%02d.%ds"):format(rest // 10, rest % 10)
  if hours > 0 then return ("%dh%02dm%s"):format(hours, minutes, text) end
  return minutes > 0 and ("%02dm%s"):format(minutes, text) or text
end

--- "running (13.0s), 020/020 VUs, 349 complete and 0 interrupted iterations"
function M.status_line(state, counts)
  local digits = #tostring(counts.vus_made)
  return ("%s (%s), %0" .. digits .. "d/%d VUs, %d complete and %d interrupted iterations"):format(
    state, clock(counts.elapsed), counts.active, counts.vus_made, counts.complete,
    counts.interrupted)
end

--- A scenario's line: name, how it stands, a bar, what its executor says.
function M.scenario_line(scenario, name_width)
  local name, phase, fraction, text = table.unpack(scenario)
  return ("%s %s [%s] %s"):format(pad(name, name_width), GLYPHS[phase], M.bar(fraction), text)
end

function M.progress_block(state, counts, scenarios)
  local lines, name_width = { M.status_line(state, counts) }, 0
  for _, scenario in ipairs(scenarios) do name_width = math.max(name_width, width(scenario[1])) end
  for _, scenario in ipairs(scenarios) do
    table.insert(lines, M.scenario_line(scenario, name_width))
  end
  return lines
end

-- ---- summary ----

-- Sections, in order, and the metrics of each; what is in none is the script's own.
local HTTP = {
  "http_req_blocked", "http_req_connecting", "http_req_duration", "http_req_failed",
  "http_req_receiving", "http_req_sending", "http_req_tls_handshaking", "http_req_waiting",
  "http_reqs",
}
local EXECUTION = {
  "dropped_iterations", "group_duration", "iteration_duration", "iteration_errors", "iterations",
  "vus", "vus_max",
}
local NETWORK = { "data_received", "data_sent" }
local SECTIONS = {
  { "CUSTOM" }, { "HTTP", HTTP }, { "EXECUTION", EXECUTION }, { "NETWORK", NETWORK },
}

-- In full mode only.
local DETAILS = {
  http_req_blocked = true, http_req_connecting = true, http_req_receiving = true,
  http_req_sending = true, http_req_tls_handshaking = true, http_req_waiting = true,
  group_duration = true,
}

-- Shown beneath the corrected metric, as "{ uncorrected }".
local UNCORRECTED = {
  iteration_duration_uncorrected = "iteration_duration",
  http_req_duration_uncorrected = "http_req_duration",
}

local BUILT_IN = { checks = true }
for _, list in ipairs { HTTP, EXECUTION, NETWORK } do
  for _, name in ipairs(list) do BUILT_IN[name] = true end
end
for name in pairs(UNCORRECTED) do BUILT_IN[name] = true end

local function selector_of(metric) return metric.name:match("{(.*)}$") end

-- The metrics of one scenario or group, under the names of their metrics; the rest. In full mode
-- each scenario and group has a block of its own.
local function split_details(metrics)
  local rest, blocks, by_title = {}, {}, {}
  for _, metric in ipairs(metrics) do
    local kind, value = (selector_of(metric) or ""):match("^(%a+):([^,]*)$")
    if kind == "scenario" or kind == "group" then
      local title = "SCENARIO: " .. value
      if kind == "group" then title = "GROUP: " .. value:gsub("^::", ""):gsub("::", " › ") end
      if not by_title[title] then
        by_title[title] = { title = title, metrics = {} }
        table.insert(blocks, by_title[title])
      end
      local own = setmetatable({ name = metric.parent }, { __index = metric })
      rawset(own, "parent", false)
      table.insert(by_title[title].metrics, own)
    else
      table.insert(rest, metric)
    end
  end
  table.sort(blocks, function(a, b)
    if a.title:sub(1, 1) ~= b.title:sub(1, 1) then return a.title > b.title end -- scenarios first
    return a.title < b.title
  end)
  return rest, blocks
end

-- { { title, { row ... } } ... }; a row is { label =, metric = }.
local function sections_of(metrics, is_full)
  local by_name, subs = {}, {}
  for _, metric in ipairs(metrics) do
    by_name[metric.name] = metric
    if metric.parent then
      subs[metric.parent] = subs[metric.parent] or {}
      table.insert(subs[metric.parent], metric)
    end
  end
  local custom = {}
  for _, metric in ipairs(metrics) do
    if not metric.parent and not BUILT_IN[metric.name] then table.insert(custom, metric.name) end
  end
  local function add(rows, name)
    local metric = by_name[name]
    if not metric or DETAILS[name] and not is_full then return end
    table.insert(rows, { label = name, metric = metric })
    for from, to in pairs(UNCORRECTED) do
      local plain = by_name[from]
      if to == name and plain then
        table.insert(rows, { label = "  { uncorrected }", metric = plain })
      end
    end
    for _, sub in ipairs(subs[name] or {}) do
      table.insert(rows, { label = ("  { %s }"):format(selector_of(sub)), metric = sub })
    end
  end
  local sections = {}
  for _, section in ipairs(SECTIONS) do
    local rows = {}
    for _, name in ipairs(section[2] or custom) do add(rows, name) end
    if #rows > 0 then table.insert(sections, { section[1], rows }) end
  end
  return sections
end

-- The columns of a row: for trends each "avg=1ms", for the rest up to three.
local function columns_of(metric, options)
  local v, unit = metric.values, options.time_unit
  if metric.type == "counter" then
    return { M.value(metric, v.count, unit), M.value(metric, v.rate, unit) .. "/s" }
  elseif metric.type == "gauge" then
    return { M.value(metric, v.value, unit), "min=" .. M.value(metric, v.min, unit),
      "max=" .. M.value(metric, v.max, unit) }
  elseif metric.type == "rate" then
    return { M.percent(v.rate), ("%d out of %d"):format(v.passes, v.passes + v.fails) }
  end
  local columns = {}
  for _, stat in ipairs(options.stats) do
    local value = v[stat] or 0
    local shown = stat == "count" and short(value, 0) or M.value(metric, value, unit)
    table.insert(columns, stat .. "=" .. shown)
  end
  return columns
end

local function measure(rows, options)
  local label_width, widths = 0, { trend = {}, plain = {} }
  for _, row in ipairs(rows) do
    row.columns = columns_of(row.metric, options)
    row.widths = row.metric.type == "trend" and widths.trend or widths.plain
    label_width = math.max(label_width, width(row.label))
    for i, column in ipairs(row.columns) do
      row.widths[i] = math.max(row.widths[i] or 0, width(column))
    end
  end
  return label_width
end

local function row_text(row, label_width, paint)
  local dots = ("."):rep(label_width - width(row.label) + 3)
  local columns = {}
  for i, column in ipairs(row.columns) do
    table.insert(columns, paint("cyan", i < #row.columns and pad(column, row.widths[i]) or column))
  end
  return ("    %s%s: %s"):format(row.label, paint("faint", dots), table.concat(columns, " "))
end

local function add_rows(lines, sections, options, paint)
  local all = {}
  for _, section in ipairs(sections) do table.move(section[2], 1, #section[2], #all + 1, all) end
  local label_width = measure(all, options)
  for _, section in ipairs(sections) do
    table.insert(lines, "    " .. paint("bold", section[1]))
    for _, row in ipairs(section[2]) do table.insert(lines, row_text(row, label_width, paint)) end
    table.insert(lines, "")
  end
end

local function mark(ok, paint) return ok and paint("green", "✓") or paint("red", "✗") end

local function threshold_value(threshold, metric, options)
  local stat = threshold.expression:match("^%s*([%w_]+%b())")
    or threshold.expression:match("^%s*([%w_]+)")
  if not threshold.has_samples then return stat .. "=0 (no samples)" end
  local shown = metric and metric.type == "counter" and stat == "count"
    and metric.contains == "default"
    and short(threshold.observed, 6) or M.value(metric or {}, threshold.observed, options.time_unit)
  return stat .. "=" .. shown
end

-- A metric without samples is in no list, but a threshold may name it.
local function find_metric(metrics, name)
  for _, metric in ipairs(metrics) do
    if metric.name == name then return metric end
  end
end

local function add_thresholds(lines, results, options, paint)
  if #results.thresholds == 0 then return end
  table.insert(lines, "  █ " .. paint("bold", "THRESHOLDS"))
  local last
  for _, threshold in ipairs(results.thresholds) do
    if threshold.metric ~= last then
      table.insert(lines, "")
      table.insert(lines, "    " .. threshold.metric)
      last = threshold.metric
    end
    local metric = find_metric(results.metrics, threshold.metric)
    table.insert(lines, ("    %s '%s' %s"):format(mark(threshold.ok, paint), threshold.expression,
      threshold_value(threshold, metric, options)))
  end
  table.insert(lines, "\n")
end

local function add_check(lines, check, paint, indent)
  table.insert(lines, ("%s%s %s"):format(indent, mark(check.fails == 0, paint), check.name))
  if check.fails == 0 then return end
  local percent = math.floor(100 * check.passes / (check.passes + check.fails))
  local counts = ("%s ↳  %d%% — ✓ %d / ✗ %d"):format(indent, percent, check.passes, check.fails)
  table.insert(lines, paint("red", counts))
end

local function add_checks(lines, results, duration, paint)
  local metric = find_metric(results.metrics, "checks")
  if not metric then return end
  local passes, fails = metric.values.passes, metric.values.fails
  local total = passes + fails
  local per_second = duration > 0 and total / duration or 0
  local rows = {
    { "checks_total", { short(total, 0), short(per_second, 6) .. "/s" } },
    { "checks_succeeded", { M.percent(passes / total), ("%d out of %d"):format(passes, total) } },
    { "checks_failed", { M.percent(fails / total), ("%d out of %d"):format(fails, total) } },
  }
  local first = 0
  for _, row in ipairs(rows) do first = math.max(first, width(row[2][1])) end
  for _, row in ipairs(rows) do
    local dots = paint("faint", ("."):rep(#"checks_succeeded" - #row[1] + 3))
    local share = paint("cyan", pad(row[2][1], first))
    table.insert(lines, ("    %s%s: %s %s"):format(row[1], dots, share,
      paint("cyan", row[2][2])))
  end
  table.insert(lines, "")
  local group = ""
  for _, check in ipairs(results.checks) do
    if check.group ~= group then
      group = check.group
      table.insert(lines, "")
      table.insert(lines, "    ↳ " .. group:gsub("^::", ""):gsub("::", " › "))
    end
    add_check(lines, check, paint, group == "" and "    " or "      ")
  end
  if #results.checks > 0 then table.insert(lines, "") end
end

local function add_errors(lines, results, paint)
  if #results.errors == 0 then return end
  table.insert(lines, "    " .. paint("bold", "ERRORS"))
  for _, problem in ipairs(results.errors) do
    local where = problem.hook
    if problem.scenario ~= "" and problem.scenario ~= where then
      where = problem.scenario .. " " .. where
    end
    table.insert(lines, ("    %s %d × %s: %s"):format(paint("red", "✗"), problem.count, where,
      (problem.message:gsub("\n.*", ""))))
  end
  if results.errors_overflow > 0 then
    table.insert(lines, ("      and %d more, from other places"):format(results.errors_overflow))
  end
  table.insert(lines, "")
end

-- Where the generator and not the target may have set the figures.
local CPU_FULL, LAG_HIGH_MS, LATE_HIGH_MS = 0.9, 50, 5
local SPAN_MIN_S = 1 -- the system counts a thread's time in ticks

local function add_health(lines, results, paint)
  local notes, health = {}, results.health
  for i, worker in ipairs(health.workers) do
    if worker.span_s >= SPAN_MIN_S and worker.cpu > CPU_FULL then
      table.insert(notes,
        ("worker %d used %d%% of a core: the generator may have been the limit"):format(i - 1,
        math.floor(worker.cpu * 100)))
    end
    if worker.loop_lag_ms["p(99)"] > LAG_HIGH_MS then
      table.insert(notes, ("worker %d was late for its own timers: p(99) %s"):format(i - 1,
        M.duration(worker.loop_lag_ms["p(99)"])))
    end
  end
  local late = health.start_lateness_ms
  if late and late["p(99)"] > LATE_HIGH_MS then
    table.insert(notes,
      ("iterations began late: p(99) %s, max %s (counted in the corrected durations)"):format(
      M.duration(late["p(99)"]), M.duration(late.max)))
  end
  if health.lost_samples > 0 then
    table.insert(notes, ("%d samples were lost"):format(health.lost_samples))
  end
  for _, note in ipairs(notes) do table.insert(lines, "    " .. paint("red", "! ") .. note) end
  if #notes > 0 then table.insert(lines, "") end
end

--- The summary of a result. options: mode ("compact" | "full"), stats, time_unit, colour.
function M.summary(result, options)
  local paint, results, lines = painter(options.colour), result.results, { "" }
  local is_full = options.mode == "full"
  add_thresholds(lines, results, options, paint)
  if #results.metrics > 0 or #results.errors > 0 then
    table.insert(lines, "  █ " .. paint("bold", "TOTAL RESULTS"))
    table.insert(lines, "")
  end
  add_checks(lines, results, results.duration_s, paint)
  local metrics, blocks = results.metrics, {}
  if is_full then metrics, blocks = split_details(metrics) end
  add_rows(lines, sections_of(metrics, is_full), options, paint)
  add_errors(lines, results, paint)
  add_health(lines, results, paint)
  for _, block in ipairs(blocks) do
    table.insert(lines, "")
    table.insert(lines, "  █ " .. paint("bold", block.title))
    table.insert(lines, "")
    add_rows(lines, sections_of(block.metrics, true), options, paint)
  end
  return table.concat(lines, "\n") .. "\n"
end
