-- What the specs share: running code in a fresh actor, running the command, waiting for a
-- condition.

local actor = require "perilune.actor"
local timer = require "perilune.timer"

local M = {}

--- The binary under test; scripts/dev/test.sh says which.
M.perilune = os.getenv("PERILUNE") or "./perilune"

--- Runs `fn(...)` in an actor of its own, whose state is a lazy one, and returns what it returns.
--- An error there is raised here, with its message.
function M.in_actor(fn, ...)
  return M.in_actor_with({}, fn, ...)
end

--- The same with spawn's options.
function M.in_actor_with(options, fn, ...)
  local spawn = { monitor = true }
  for key, value in pairs(options) do spawn[key] = value end
  local pid, _, _, ref = assert(actor.spawn(spawn, function(parent, body, ...)
    actor.send(parent, { "result of", actor.self(), table.pack(body(...)) })
  end, actor.self(), fn, ...))
  local results
  while true do
    local message = actor.receive_match(function(message, req)
      if req == actor.SYSTEM then return message.ref == ref end
      return type(message) == "table" and message[1] == "result of" and message[2] == pid
    end)
    if message.type ~= "down" then
      results = message[3]
    elseif message.reason == "normal" and results then
      return table.unpack(results, 1, results.n)
    else
      error(("%s: %s"):format(message.reason, message.error), 2)
    end
  end
end

--- How an actor ends that runs `fn(...)`: its `down` message.
function M.end_of(fn, ...)
  return M.end_of_with({}, fn, ...)
end

function M.end_of_with(options, fn, ...)
  local spawn = { monitor = true }
  for key, value in pairs(options) do spawn[key] = value end
  local _, _, _, ref = assert(actor.spawn(spawn, fn, ...))
  return M.down(ref)
end

--- The `down` message of a monitor.
function M.down(ref, timeout)
  return (assert(actor.receive_match(function(message, req)
    return req == actor.SYSTEM and message.ref == ref
  end, timeout or "30s")))
end

--- Tries until `fn` returns something true, which it returns; fails after a long time.
function M.eventually(fn, what)
  local deadline = timer.now() + 30
  while true do
    local value = fn()
    if value then return value end
    if timer.now() > deadline then error((what or "the condition") .. ": not within 30 s", 2) end
    timer.sleep("1ms")
  end
end

--- A value whose close calls `fn`.
function M.closer(fn) return setmetatable({}, { __close = fn }) end

--- `it` with a wait at the end of each test until the actors that it spawned have ended, so that
--- what is on its way out is not reported as left running.
function M.tidy(it)
  return function(name, fn)
    it(name, function()
      local before = #actor.list()
      fn()
      local deadline = timer.now() + 5
      while #actor.list() > before and timer.now() < deadline do timer.sleep("1ms") end
    end)
  end
end

local function read_all(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function is_sanitized() return read_all(M.perilune):find("__asan_init", 1, true) ~= nil end

--- How many of `count` a stress spec takes: all, a tenth of them under a sanitizer, or what
--- PERILUNE_STRESS says, a factor.
function M.stress(count)
  local factor = tonumber(os.getenv("PERILUNE_STRESS")) or is_sanitized() and 0.1 or 1
  return math.max(1, math.floor(count * factor))
end

local function quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end
M.quote = quote

--- A new temporary file with this text; `remove` it.
function M.file(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

--- Starts a shell command; returns a function that waits for its end: { code, out, err }. The code
--- of one that a signal ended is 128 and the signal, as the shell has it.
function M.start(command)
  local out, err, done = os.tmpname(), os.tmpname(), os.tmpname()
  -- In a shell of its own, which may `exit`.
  assert(os.execute(("{ ( %s\n) >%s 2>%s </dev/null; echo $? >%s; } &"):format(
    command, quote(out), quote(err), quote(done))))
  return function()
    local code
    local deadline = timer.now() + 300
    repeat
      timer.sleep("2ms")
      code = read_all(done):match("^(%d+)\n$")
      if timer.now() > deadline then error("not over within 300 s: " .. command, 2) end
    until code
    local result = { code = tonumber(code), out = read_all(out), err = read_all(err) }
    for _, path in ipairs { out, err, done } do os.remove(path) end
    return result
  end
end

--- Runs a shell command and waits for its end.
function M.shell(command) return M.start(command)() end

--- Runs `perilune COMMAND ARGS...` and waits for its end.
function M.run(...)
  local words = { quote(M.perilune) }
  for _, word in ipairs { ... } do table.insert(words, quote(word)) end
  return M.shell(table.concat(words, " "))
end

--- Runs `perilune exec FLAGS... FILE` over a text: { code, out, err }.
function M.exec(script, ...)
  local path = M.file(script)
  local words = { "exec", ... }
  table.insert(words, path)
  local result = M.run(table.unpack(words))
  os.remove(path)
  result.path = path
  return result
end

--- Runs a script in virtual time, with `actor` and `timer` at hand; what it printed. It must not
--- fail.
function M.virtual(script, ...)
  local head = 'local actor, timer = require "perilune.actor", require "perilune.timer" '
  local result = M.exec(head .. script, "--virtual-time", ...)
  if result.code ~= 0 or result.err ~= "" then
    error(("exit code %s\n%s%s"):format(result.code, result.out, result.err), 2)
  end
  return result.out
end

return M
