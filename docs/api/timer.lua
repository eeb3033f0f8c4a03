---@meta perilune.timer
---Time: sleeping, calling later or again and again, time limits, clocks.
---
---Durations are seconds as a number, or text like `"250ms"`, `"1.5s"`, `"2m"`, `"1m30s"`; other
---values raise. Timers tick once a millisecond: nothing happens early, and on an idle worker a
---tick late at most. Waits that are due together end in the order in which they began. With
---`--virtual-time` the clock stands still while anything can run, and jumps to the next timer when
---nothing can.
---
---The guide is docs/actors.md.
local timer = {}

---Waits. `sleep(0)` lets the others run first.
---@param duration number|string
---@return boolean ok
function timer.sleep(duration) end

---Calls a function once, later, as a task of the calling actor: it may wait, and an error in it
---ends the actor. It goes on although nobody holds the timer, and outlives the request whose
---handler began it.
---@param duration number|string
---@param fn function
---@return perilune.timer.Timer timer
function timer.after(duration, fn) end

---Calls a function again and again, first after one interval, at times that a slow turn does not
---shift. A turn begins when the one before has ended; those that it overran are skipped.
---@param interval number|string more than 0
---@param fn function
---@return perilune.timer.Timer timer
function timer.every(interval, fn) end

---A timer of `after` or `every`. It can be a `<close>` variable.
---@class perilune.timer.Timer
local Timer = {}

---Takes it back. A turn that runs already goes on to its end, and is the last.
---@return boolean was_active
function Timer:cancel() end

---The same.
---@return boolean was_active
function Timer:close() end

---Calls a function with a time limit and returns what it returns. When the time is over, it is
---stopped at its next blocking call or pre-emption: by an error that `pcall` may catch, but that
---comes again at each further wait, and even then the result is the time-out. Its `<close>`
---variables run. Scopes nest.
---
---Errors: `timeout`.
---@param duration number|string
---@param fn function
---@param ... any its arguments
---@return any value
---@return any err
---@return any code
function timer.with_timeout(duration, fn, ...) end

---The time since the runtime began: it never goes back, whatever happens to the date.
---@return number seconds
function timer.now() end

---The date, in UTC. Virtual time begins at 2000-01-01 00:00:00.
---@return number seconds since 1970
function timer.unix() end

return timer
