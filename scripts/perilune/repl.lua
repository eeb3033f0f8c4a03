-- internal: what `perilune repl` runs: reads lines that arrive as messages, evaluates each as a
-- task, so that Ctrl-C can cancel it, and prints what comes of it.

local actor = require "perilune.actor"

local MORE, READY = ">> ", "> "

local function prompt(text)
  io.write(text)
  io.flush()
end

-- An expression is tried first, so that its value is shown. nil, true: the text is not complete
-- yet.
local function compile(text)
  local chunk = load("return " .. text, "=stdin", "t")
  if chunk then return chunk end
  local err
  chunk, err = load(text, "=stdin", "t")
  if not chunk and err:find("<eof>$") then return nil, true end
  return chunk, err
end

local function show(ok, ...)
  if not ok then
    io.write(tostring((...)), "\n")
  elseif select("#", ...) > 0 then
    print(...)
  end
end

local function evaluate(chunk)
  local task = actor.task(function() show(xpcall(chunk, debug.traceback)) end)
  local done = actor.task(function()
    task:wait()
    actor.send(actor.self(), { "done" })
  end)
  local message = actor.receive_match(function(message)
    return type(message) == "table" and (message[1] == "done" or message[1] == "interrupt")
  end)
  if message[1] == "interrupt" then
    task:cancel()
    io.write("\ninterrupted\n")
  end
  done:cancel()
end

local KINDS = { line = true, interrupt = true, eof = true }

local function is_line(message) return type(message) == "table" and KINDS[message[1]] end

actor.trap_exit(true)
print(_VERSION .. " in an actor of Perilune. Ctrl-C cancels, Ctrl-D ends.")
local text = ""
while true do
  prompt(text == "" and READY or MORE)
  local message = actor.receive_match(is_line)
  if message[1] == "eof" then break end
  if message[1] == "interrupt" then
    text = ""
    io.write("\n")
  else
    text = text == "" and message[2] or text .. "\n" .. message[2]
    local chunk, err = compile(text)
    if chunk then evaluate(chunk) elseif err ~= true then io.write(err, "\n") end
    if err ~= true then text = "" end
  end
end
io.write("\n")
