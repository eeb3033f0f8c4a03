-- The pages for newcomers do what they say: each block of Lua that begins with `-- FILE` is
-- written to a folder, and each block `console` is run there. A line "..." in it stands for any
-- number of lines, "..." within a line for anything.
local process = require "perilune.process"
local support = require "specs.support"

local PERILUNE = support.perilune

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- The fenced blocks of a page: { language, text, line }.
local function blocks_of(page)
  local blocks, block, number = {}, nil, 0
  for line in (read(page) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local fence = line:match("^```(%w*)$")
    if fence and not block then
      block = { language = fence, lines = {}, line = number }
    elseif fence then
      block.text = table.concat(block.lines, "\n") .. "\n"
      blocks[#blocks + 1], block = block, nil
    elseif block then
      table.insert(block.lines, line)
    end
  end
  return blocks
end

local function pattern_of(line)
  return "^" .. line:gsub("%.%.%.", "\0"):gsub("%p", "%%%0"):gsub("%z", ".*") .. "$"
end

-- Does lines[i...] match expected[j...]?
local function matches(lines, i, expected, j)
  if j > #expected then return i > #lines end
  if expected[j] == "..." then
    for k = i, #lines + 1 do
      if matches(lines, k, expected, j + 1) then return true end
    end
    return false
  end
  if i > #lines or not lines[i]:find(pattern_of(expected[j])) then return false end
  return matches(lines, i + 1, expected, j + 1)
end

-- "$ command" and what it prints.
local function commands_of(block)
  local commands = {}
  for _, line in ipairs(block.lines) do
    local command = line:match("^%$ (.*)$")
    if command then
      table.insert(commands, { command = command, expected = {} })
    else
      table.insert(commands[#commands].expected, line)
    end
  end
  return commands
end

local function run(folder, command)
  local shell <close> = assert(process.spawn {
    "/bin/sh", "-c", "perilune() { \"$PERILUNE\" \"$@\"; }\n{ " .. command .. "\n} 2>&1",
    cwd = folder, env = { PERILUNE = PERILUNE, PATH = os.getenv("PATH") },
  })
  assert(shell:wait("120s"))
  return (shell:output())
end

local function check_page(page)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local count = 0
  for _, block in ipairs(blocks_of(page)) do
    local file = block.language == "lua" and block.lines[1]:match("^%-%- ([%w_]+%.lua)$")
    if file then write(folder .. "/" .. file, block.text) end
    if block.language == "console" then
      for _, c in ipairs(commands_of(block)) do
        count = count + 1
        local output = run(folder, c.command)
        local lines = {}
        for line in output:gmatch("([^\n]*)\n") do table.insert(lines, line) end
        local message = ("%s:%d: $ %s\nprinted:\n%s\nexpected:\n%s"):format(page, block.line,
          c.command, output, table.concat(c.expected, "\n"))
        assert(matches(lines, 1, c.expected, 1), message)
      end
    end
  end
  assert(os.execute("rm -r " .. folder))
  return count
end

describe("the pages for newcomers", function()
  if PERILUNE:sub(1, 1) ~= "/" then
    local pwd = assert(io.popen("pwd")):read("l")
    PERILUNE = pwd .. "/" .. PERILUNE
  end

  it("README.md", function() assert.equal(2, check_page("README.md")) end)
  it("docs/start-here.md", function() assert.equal(7, check_page("docs/start-here.md")) end)
  it("docs/actors.md", function() assert.equal(3, check_page("docs/actors.md")) end)

  -- How many commands each page shows.
  local pages = { process = 2, luv = 1, json = 1, log = 1, testing = 1, cli = 4 }
  for _, page in ipairs { "process", "luv", "json", "log", "testing", "cli" } do
    it(("docs/%s.md"):format(page), function()
      assert.equal(pages[page], check_page(("docs/%s.md"):format(page)))
    end)
  end

  it("docs/load.md", function() assert.equal(2, check_page("docs/load.md")) end)

  it("would show what differs", function()
    assert.is_false(matches({ "a", "b" }, 1, { "a" }, 1))
    assert.is_false(matches({ "a" }, 1, { "a", "b" }, 1))
    assert.is_false(matches({ "abc" }, 1, { "a...d" }, 1))
    assert.is_true(matches({ "x", "abc", "z" }, 1, { "...", "a...c", "..." }, 1))
  end)
end)
