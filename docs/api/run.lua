---@meta perilune.run
---What a scenario asks of its run, and tells it. The guide is docs/load.md.
---
---Outside of `perilune run` there is no run: `abort` and `fail` raise, `elapsed` is 0, `scenario`
---gives nothing, and `group` calls its function.
local run = {}

---Ends the run now: it does not return, and `pcall` cannot catch it. Iterations are interrupted,
---`done` of each user and `teardown` still run, the exit code is 108. In `setup`, no user is made
---and `teardown` does not run. Where Lua cannot suspend (a comparator of `table.sort`), it raises
---and the run ends all the same.
---@param why? any shown as the reason; default "the script aborted the run"
function run.abort(why) end

---Marks the run as failed and goes on: the exit code is 110, unless something else was wrong
---before.
---@param why? any shown as the reason; default "the script marked the run as failed"
function run.fail(why) end

---Seconds since the run began: since the first scenario could start, behind `setup` and all
---`init`s.
---@return number seconds 0 before that
function run.elapsed() end

---The scenario of the calling user, and its iteration. Nothing where no user is at work.
---@return perilune.run.Scenario? scenario
function run.scenario() end

---@class perilune.run.Scenario
---@field name string
---@field executor string `"constant-vus"` and the like
---@field start_time number seconds into the run at which it starts
---@field progress number how much of it is over, 0 to 1
---@field iteration integer its number; no other one of the scenario has it; from 0

---Runs a function as part of a group: samples and checks within are tagged `group` with its path
---(`::outer::inner`), and its duration goes to `group_duration`, also when it raises. May wait.
---@param name string not empty, without `::`
---@param fn function
---@param ... any its arguments
---@return any ... its results
function run.group(name, fn, ...) end

---Variables: the system's, over them those of `-e NAME=VALUE`, over them those of the scenario's
---`env`. All are text; what is not set is nil. It is the state's own copy: what is written to it,
---nobody else sees.
---@type table<string, string>
run.env = nil

return run
