-- Running scenarios from specs: `perilune run` over a text.

local json = require "perilune.json"
local support = require "specs.support"

local M = {}

-- Nothing that a spec starts may outlive this; a run that hangs ends with exit code 124 or 137.
local BOUND = "timeout -k 5 60 "

--- Runs `perilune COMMAND FLAGS... FILE`: { code, out, err }, the file's path shown as
--- "script.lua".
function M.command(command, text, ...)
  local path = support.file(text)
  local words = { BOUND .. support.quote(support.perilune), command }
  for _, flag in ipairs { ... } do table.insert(words, support.quote(flag)) end
  table.insert(words, support.quote(path))
  local result = support.shell(table.concat(words, " "))
  os.remove(path)
  local pattern = path:gsub("%p", "%%%0")
  result.out = result.out:gsub(pattern, "script.lua")
  result.err = result.err:gsub(pattern, "script.lua")
  return result
end

--- In real time, without header and progress.
function M.run(text, ...) return M.command("run", text, "--quiet", ...) end

--- The same in virtual time.
function M.virtual(text, ...) return M.run(text, "--virtual-time", ...) end

--- Runs it in a shell of its own: FILE stands for the file, PERILUNE for the binary.
function M.shell(text, command)
  local path = support.file(text)
  local binary = support.quote(support.perilune):gsub("%%", "%%%%")
  command = command:gsub("%f[%w_]PERILUNE%f[^%w_]", binary)
  local result = support.shell(BOUND .. "sh -c " .. support.quote((command:gsub("FILE", path))))
  os.remove(path)
  return result
end

--- The text of a file, which is removed.
function M.take(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  os.remove(path)
  return text
end

--- The whole result of a run in real time, as --summary-export has it; and what was printed.
function M.measure(text, ...)
  local path = os.tmpname()
  local result = M.run(text, "--summary-export", path, ...)
  local exported, why = json.decode(M.take(path))
  assert(exported, ("%s\n%s%s"):format(why, result.out, result.err))
  return exported, result
end

--- The same in virtual time.
function M.export(text, ...) return M.measure(text, "--virtual-time", ...) end

--- The metric of an exported result, or nil.
function M.metric(exported, name)
  for _, metric in ipairs(exported.results.metrics) do
    if metric.name == name then return metric.values end
  end
end

return M
