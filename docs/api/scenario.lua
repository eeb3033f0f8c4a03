---@meta perilune.scenario
---Checks a scenario table where it stands. The module is a function that gives back the table it
---is given, or raises with what is wrong with it; editors complete it:
---
---    local scenario = require "perilune.scenario"
---    return scenario {
---      options = { vus = 20, duration = "10s" },
---      default = function(vu, data) end,
---    }
---
---`perilune run` checks a plain table just the same. The guide is docs/load.md.
---@overload fun(scenario: perilune.scenario.Scenario): perilune.scenario.Scenario
local scenario = {}

---A scenario file returns it. Further functions are those that an `exec` names.
---@class perilune.scenario.Scenario
---@field options? perilune.scenario.Options
---@field setup? fun(): any once, before the users; its result is copied to all of them
---@field init? fun(vu: perilune.scenario.User, data: any) once for each user, before its iterations
---@field default? fun(vu: perilune.scenario.User, data: any) an iteration
---@field done? fun(vu: perilune.scenario.User, data: any) once for each user, when it leaves
---@field teardown? fun(data: any) once, after the users, also after an abort
---@field summary? fun(result: table): any what is shown instead of the summary

---@class perilune.scenario.User
---@field id integer from 1, across workers and scenarios
---@field iteration integer of this user, from 0
---@field scenario string its name
---@field state table the user's own

---@class perilune.scenario.Options
---@field vus? integer users; default 1
---@field duration? number|string users loop so long: constant-vus; with `iterations`: their limit
---@field iterations? integer shared among the users: shared-iterations
---@field scenarios? table<string, perilune.scenario.Executor> instead of the three above
---@field thresholds? table metric to expression, or a list of expressions with their metric
---@field tags? table<string, string|number|boolean> of every sample
---@field setup_timeout? number|string default 60s
---@field teardown_timeout? number|string default 60s
---@field no_setup? boolean default false
---@field no_teardown? boolean default false
---@field no_thresholds? boolean default false
---@field fail_on_check? boolean default false
---@field summary_trend_stats? string[] default `{ "avg", "min", "med", "max", "p(90)", "p(95)" }`
---@field summary_mode? "compact"|"full"|"disabled" default compact
---@field summary_time_unit? "s"|"ms"|"us" default: what fits each value

---@class perilune.scenario.Executor
---@field executor "shared-iterations"|"per-vu-iterations"|"constant-vus"|"constant-arrival-rate"
---@field exec? string|function a function of the scenario table, or one itself; default `default`
---@field env? table<string, string|number|boolean> for its users, over `-e`
---@field tags? table<string, string|number|boolean> of its samples
---@field start_time? number|string into the run; default 0
---@field graceful_stop? number|string for iterations that run when it ends; default 30s
---@field vus? integer default 1; not for constant-arrival-rate
---@field iterations? integer default 1; shared-iterations: in all; per-vu-iterations: of each user
---@field max_duration? number|string of the two iteration executors; default 10m
---@field duration? number|string of constant-vus and constant-arrival-rate; needed; at least 1s
---@field rate? integer constant-arrival-rate: starts in a time_unit; needed
---@field time_unit? number|string constant-arrival-rate; default 1s
---@field pre_allocated_vus? integer constant-arrival-rate: users made before the run; needed
---@field max_vus? integer constant-arrival-rate: made at most; default: pre_allocated_vus

return scenario
