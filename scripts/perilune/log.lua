-- perilune.log: the Lua half: operation. The C half is runtime/bind/l_log.c.

local M = ...

local timer = require "perilune.timer"

local function merged(fields, more)
  local all = {}
  for key, value in pairs(fields or {}) do all[key] = value end
  for key, value in pairs(more) do all[key] = value end
  return all
end

local function emit(logger, level, ...)
  if logger then logger[level](logger, ...) else M[level](...) end
end

local function since(start) return math.floor((timer.now() - start) * 1e6 + 0.5) / 1e3 end

-- What the message handler made of the error; without memory it is not called.
local function explained(err)
  if type(err) == "table" and err.traceback then return err end
  return { value = err, error = tostring(err) }
end

local function finish(logger, name, fields, start, ok, ...)
  local duration_ms = since(start)
  if not ok then
    local why = explained((...))
    emit(logger, "error", name, merged(fields, {
      event = "error", duration_ms = duration_ms, error = why.error, traceback = why.traceback,
    }))
    error(why.value, 0)
  end
  local _, err, code = ...
  if err ~= nil then
    emit(logger, "error", name, merged(fields, {
      event = "error", duration_ms = duration_ms, error = err, code = code,
    }))
  else
    emit(logger, "info", name, merged(fields, { event = "complete", duration_ms = duration_ms }))
  end
  return ...
end

--- operation(name, fields, fn, ...), with a logger or nil in front.
function M._run(logger, name, fields, fn, ...)
  if type(name) ~= "string" then
    error(("operation: a name expected, got %s"):format(type(name)), 2)
  end
  if fields ~= nil and type(fields) ~= "table" then
    error(("operation: a table of fields or nil expected, got %s"):format(type(fields)), 2)
  end
  if type(fn) ~= "function" then
    error(("operation: a function expected, got %s"):format(type(fn)), 2)
  end
  local scope <close> = M._scope(fields and fields.request_id) -- luacheck: ignore 211
  emit(logger, "info", name, merged(fields, { event = "start" }))
  return finish(logger, name, fields, timer.now(), xpcall(fn, M._explain, ...))
end
