-- perilune.process: the Lua half: spawn, and waiting until a program is ready. The C half is
-- runtime/bind/l_process.c.

local M = ...

local LOOPBACK = "127.0.0.1"
local READY_TIMEOUT = "5s"
local TAIL_BYTES, TAIL_LINES = 2000, 10 -- of the output, in messages

-- The last lines of what it printed, for an error message.
local function tail(proc)
  local text = proc:output() or ""
  local lines = {}
  for line in text:sub(-TAIL_BYTES):gmatch("[^\n]+") do lines[#lines + 1] = "  " .. line end
  if #lines == 0 then return "; it printed nothing" end
  return "; its last output:\n" .. table.concat(lines, "\n", math.max(1, #lines - TAIL_LINES + 1))
end

local function has_line(text, pattern)
  for line in text:gmatch("[^\n]+") do
    if line:find(pattern) then return true end
  end
  return false
end

local function has_logged(proc, pattern)
  return has_line(proc:output("stdout") or "", pattern)
    or has_line(proc:output("stderr") or "", pattern)
end

local function ending(proc)
  if proc.signal then return "was ended by " .. proc.signal end
  return "exited with code " .. tostring(proc.exit_code)
end

-- True, or why not.
local function await_ready(proc, ready)
  local timeout = ready.timeout or READY_TIMEOUT
  local shown = type(timeout) == "number" and timeout .. "s" or timeout
  proc:_watch(timeout, ready.port and (ready.host or LOOPBACK), ready.port)
  local state, is_open, count = proc:_view()
  local seen, has_log = -1, ready.log == nil
  while state do
    if not has_log and proc.output_bytes ~= seen then
      seen = proc.output_bytes
      has_log = has_logged(proc, ready.log)
    end
    if state == "exited" then
      local why = ("%s %s before it was ready%s"):format(proc.name, ending(proc), tail(proc))
      return nil, why, "exited"
    end
    if has_log and (is_open or not ready.port) then return true end
    if state == "late" then
      return nil, ("%s was not ready within %s%s"):format(proc.name, shown, tail(proc)), "timeout"
    end
    state, is_open, count = proc:_await_change(count)
  end
  return nil, is_open, "closed" -- _await_change has failed
end

-- Somebody else on the port would pass for the program.
local function is_port_taken(options)
  local ready = type(options) == "table" and options.ready
  local port = type(ready) == "table" and math.type(ready.port) == "integer" and ready.port
  if not port or port < 1 or port > 65535 then return false end -- _create says so
  return M._is_listening(ready.host or LOOPBACK, port)
end

--- Starts a program and waits until it runs, or is ready.
function M.spawn(options)
  if is_port_taken(options) then
    return nil, ("port %d is taken: somebody listens there already"):format(options.ready.port),
      "EADDRINUSE"
  end
  local made, proc, err, code = pcall(M._create, options)
  if not made then error(proc, 2) end
  if not proc then return nil, err, code end
  local is_done = false
  local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
    if not is_done then proc:_abandon() end
  end })
  local ok
  ok, err, code = proc:_await_start()
  if ok and options.ready then
    ok, err, code = await_ready(proc, options.ready)
    proc:_unwatch()
    if not ok then proc:close() end
  end
  if not ok then return nil, err, code end
  is_done = true
  return proc
end
