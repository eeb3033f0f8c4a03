---@meta perilune.process
---Programs that a script starts: the services under test, or tools. Their output is kept, up to a
---limit; they and all that they start end with the script, whatever ends it, also `kill -9`.
---
---Between the runtime and each program stands a small guardian process, which kills everything
---below it when the runtime is gone. Programs begin in a process group of their own, with default
---signal actions, and with none of the runtime's files open. Ctrl-C in the terminal reaches the
---script alone.
---
---While a task waits for a program, virtual time stands still.
local process = {}

---@class perilune.process.Options
---@field [1] string the program: a path, or a name to be found in `PATH`
---@field [integer] string|number its arguments
---@field name? string for messages; the program's own by default
---@field env? table<string, string|number|false> variables to set, or to unset (`false`)
---@field inherit_env? boolean false: `env` is the whole environment; default true
---@field cwd? string the folder to start in; a relative path to the program counts from there
---@field stdin? string|true all of its input; or true, for `proc:write`; default: none
---@field ready? perilune.process.Ready what to wait for; default: until it runs
---@field output_limit? integer|string bytes of output that are kept, the latest; default 1MB
---@field shutdown? number|string how long `close` waits between TERM and KILL; default 5s

---@class perilune.process.Ready
---@field port? integer until somebody listens on this TCP port; an error if one does already
---@field host? string the port's address; default `127.0.0.1`
---@field log? string until a line of either output matches this Lua pattern
---@field timeout? number|string in real time; default 5s

---Starts a program. Waits until it runs and, with `ready`, until it is ready: with both `port` and
---`log`, until both are. A program that ends before, or is late, is an error that shows the end of
---what it printed; it is closed then.
---
---Errors: `ENOENT`, `EACCES` and the like, `exited`, `timeout`, `EADDRINUSE`.
---@param options perilune.process.Options
---@return perilune.process.Process? proc
---@return string? err
---@return string? code
function process.spawn(options) end

---A program that was started. Closed with the variable (`<close>`), with its actor, or when it is
---collected.
---@class perilune.process.Process
---@field name string
---@field pid integer
---@field exit_code? integer once it has ended: 0 to 255, or 128 + n when signal n ended it
---@field signal? string the signal that ended it: `"SIGKILL"`
---@field output_bytes integer that it has written so far
---@field truncated boolean whether some of that is no longer kept
local Process = {}

---Waits until the program has ended. All that it had written by then is in its output. When a
---signal ended it, the exit code is 128 + its number, as shells have it, and the signal's name is
---the fourth result.
---
---Errors: `timeout`, `closed`.
---@param timeout? number|string default: for ever
---@return integer? exit_code
---@return string? err
---@return string? code
---@return string? signal
function Process:wait(timeout) end

---Sends a signal to the program (not to what it started).
---
---Errors: `ESRCH` when it does not run.
---@param signal? string|integer `"TERM"` by default; `"SIGHUP"`, `"hup"` and 1 are the same
---@return boolean? ok
---@return string? err
---@return string? code
function Process:kill(signal) end

---What it has written so far, of which the latest `output_limit` bytes are kept: of both streams in
---the order of arrival, or of one.
---@param stream? "stdout"|"stderr"|"both"
---@return string? text
---@return string? err
---@return string? code
function Process:output(stream) end

---Writes to its input; waits until it is written. For a program started with `stdin = true`.
---
---Errors: `closed`, `EPIPE` when the program does not read any more.
---@param text string
---@return boolean? ok
---@return string? err
---@return string? code
function Process:write(text) end

---Ends its input, behind what was written.
---@return boolean ok
function Process:end_input() end

---Ends it: TERM to the program and, once that has ended, to what it started; after `shutdown` KILL
---to all that is left. Waits until nothing is left. Its output can still be read.
---@return boolean ok
function Process:close() end

return process
