---@meta perilune.metrics
---A script's own metrics, and reading any. The built-in ones are in docs/load.md.
---
---Names are shared by all actors and workers: whoever makes `orders` gets the same metric, and the
---same name with another type or other options raises. A metric travels to other actors as a
---value. In `perilune run` they are in the summary and in all outputs, and thresholds can name
---them; make them at file level, so that they are known before the run. Under `perilune test` they
---start at zero in each `it`.
local metrics = {}

---@class perilune.metrics.Options
---@field unit? string `"ms"`, `"time"`: shown as durations; `"bytes"`, `"data"`: as sizes
---@field help? string one line of text

---A sum. Its aggregations: `count`, `rate` (a second of the run).
---@param name string a letter or `_`, then letters, digits and `_`; at most 128
---@param options? perilune.metrics.Options
---@return perilune.metrics.Metric
function metrics.counter(name, options) end

---The last value. Its aggregation: `value`; the summary also has `min` and `max`.
---@param name string as for counters
---@param options? perilune.metrics.Options
---@return perilune.metrics.Metric
function metrics.gauge(name, options) end

---The share of samples that are true, or not zero. Its aggregation: `rate`, 0 to 1.
---@param name string as for counters
---@param options? perilune.metrics.Options
---@return perilune.metrics.Metric
function metrics.rate(name, options) end

---A distribution: a histogram of three significant digits in constant memory. Its aggregations:
---`avg`, `min`, `max`, `med`, `p(N)`.
---@param name string as for counters
---@param options? perilune.metrics.Options
---@return perilune.metrics.Metric
function metrics.trend(name, options) end

---What a metric is by now, over all workers and since the run began: `get("http_req_failed",
---"rate")`. Without samples it is 0. A selector is known when a threshold of the run names it;
---under `perilune test` all are. Raises for an aggregation that its type does not have. The rate
---of a counter is 0 outside a run.
---
---Errors: `not_found` (no such metric, or a selector that is not recorded).
---@param selector string the name, or `name{tag:value,tag:value}`
---@param aggregation string `count`, `rate`, `value`, `avg`, `min`, `max`, `med` or `p(N)`
---@return number? value milliseconds for durations, bytes for sizes
---@return string? err
---@return string? code
function metrics.get(selector, aggregation) end

---Makes the metric again that another actor sent. For the runtime.
---@param name string
---@return perilune.metrics.Metric
function metrics.named(name) end

---@class perilune.metrics.Metric
local Metric = {}

---Records a sample.
---@param value number|boolean booleans for rates only; a counter takes none below 0; finite
---@param tags? table<string, string|number|boolean> at most 128 with those of the scenario
function Metric:add(value, tags) end

---Runs a function and records how long it took, in milliseconds, also when it raises. For trends.
---May wait.
---@param fn function
---@param ... any its arguments
---@return any ... its results
function Metric:time(fn, ...) end

return metrics
