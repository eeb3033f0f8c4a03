---@meta perilune.log
---Structured logging: one line an entry, on stderr or where `--log-output` says, readable text or,
---with `--log-format json`, JSON lines: `{ "time", "level", "msg", "actor", "request_id", ... }`.
---`actor` is the registered name of the actor that logs, else its pid. Entries below `--log-level`
---(`info`) cost next to nothing.
---
---Every entry bears a request id. `log.operation` gives one to what it runs; tasks begun within and
---calls made from there inherit it, in other actors too, until the call is answered. A field
---`request_id` has precedence; without any of these an entry bears the id of its actor.
---
---Logging does not fail for what it is given: a field's value may be anything; what JSON cannot say
---is shown as `tostring` shows it. An entry is at most 4096 bytes, so that concurrent writers, in
---this process or others, never damage each other's lines; of what does not fit, long texts are cut
---first and fields left out at last, and the entry has `"cut": true`.
local log = {}

---Logs for who debugs: shown with `--log-level debug` only.
---@param message string
---@param fields? table name -> value; `time`, `level`, `msg`, `actor` and `cut` are the entry's own
function log.debug(message, fields) end

---Logs the ordinary course of things.
---@param message string
---@param fields? table name -> value; `time`, `level`, `msg`, `actor` and `cut` are the entry's own
function log.info(message, fields) end

---Logs what may need attention.
---@param message string
---@param fields? table name -> value; `time`, `level`, `msg`, `actor` and `cut` are the entry's own
function log.warn(message, fields) end

---Logs what went wrong.
---@param message string
---@param fields? table name -> value; `time`, `level`, `msg`, `actor` and `cut` are the entry's own
function log.error(message, fields) end

---A logger whose entries all have these fields. It keeps copies and never changes, and it travels
---to other actors, in messages and in spawns, as a value.
---@param fields table name -> value
---@return perilune.log.Logger
function log.with(fields) end

---Runs a function and logs its course: an entry with `event = "start"` before, then one with `event
---= "complete"` and `duration_ms`, or one at level error with `event = "error"`, `duration_ms`,
---`error`, and `code` (it returned `nil, message, code`) or `traceback` (it raised). Returns what
---the function returned; raises what it raised.
---
---Within, the request id is that of the fields, or the one in force already, or a new one.
---@param name string the entries' message
---@param fields? table
---@param fn function may block
---@param ... any its arguments
---@return any ... its results
function log.operation(name, fields, fn, ...) end

---Makes the logger again that another actor sent as this text. For the runtime.
---@param text string
---@return perilune.log.Logger
function log.named(text) end

---A logger with fields of its own. A field that an entry has as well is the entry's.
---@class perilune.log.Logger
local Logger = {}

---Logs for who debugs, as `log.debug`.
---@param message string
---@param fields? table
function Logger:debug(message, fields) end

---Logs the ordinary course of things, as `log.info`.
---@param message string
---@param fields? table
function Logger:info(message, fields) end

---Logs what may need attention, as `log.warn`.
---@param message string
---@param fields? table
function Logger:warn(message, fields) end

---Logs what went wrong, as `log.error`.
---@param message string
---@param fields? table
function Logger:error(message, fields) end

---A logger with these fields besides, and instead where both have one.
---@param fields table
---@return perilune.log.Logger
function Logger:with(fields) end

---Runs a function and logs its course, as `log.operation`.
---@param name string
---@param fields? table
---@param fn function may block
---@param ... any its arguments
---@return any ... its results
function Logger:operation(name, fields, fn, ...) end

return log
