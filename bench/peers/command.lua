-- Runs other programs for the comparison: everything through the shell, quoted, with a time limit.

local command = {}

command.LIMIT_S = 300 -- one run of one program; the slowest takes seconds

function command.quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

-- What a command line prints, or nil, message with the end of it. Both streams are read, unless
-- `errors` is "apart": then the second one goes where ours goes.
function command.output(line, errors)
  local limited = ("timeout %d %s%s"):format(command.LIMIT_S, line, errors and "" or " 2>&1")
  local pipe = assert(io.popen(limited))
  local text = pipe:read("a")
  local ok, _, code = pipe:close()
  if ok then return text end
  return nil, ("exit code %s: %s\n%s"):format(tostring(code), line, text:sub(-2000))
end

function command.must(line, errors)
  local text, message = command.output(line, errors)
  if text then return text end
  error(message, 0)
end

function command.exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- The first line of a file or of a command's output, for the description of the machine.
function command.first_line(text) return (text or ""):match("^%s*([^\n]*)") end

function command.read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

return command
