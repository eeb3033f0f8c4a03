-- Each example runs as its head says, ends well, and prints the lines that its head promises (-->).

local support = require "specs.support"

local function head_of(path)
  local usage, promised = nil, {}
  for line in io.lines(path) do
    if not line:find("^%-%-") then break end
    usage = usage or line:match("^%-%-   perilune (.+)$")
    table.insert(promised, line:match("^%-%-> (.*)$"))
  end
  return usage, promised
end

-- A load test is shortened; its own spec looks at its results.
local function arguments_of(usage)
  local words = {}
  for word in usage:gmatch("%S+") do table.insert(words, word) end
  if words[1] == "run" then
    table.insert(words, 2, "--duration")
    table.insert(words, 3, "1s")
  end
  return words
end

local paths = {}
for name in io.popen("ls examples"):lines() do
  if name:find("^%d%d_[%w_]+%.lua$") then table.insert(paths, "examples/" .. name) end
end

describe("the examples", function()
  it("begin with the first steps", function()
    assert.is_true(#paths >= 7)
    assert.equal("examples/01_hello_actor.lua", paths[1])
  end)

  for _, path in ipairs(paths) do
    it(path .. " does what its head says", function()
      local usage, promised = head_of(path)
      assert.is_truthy(usage, "no line `--   perilune …` says how it is run")
      assert.is_truthy(usage:find(path, 1, true), usage)
      local result = support.run(table.unpack(arguments_of(usage)))
      assert.equal(0, result.code, result.err)
      local at = 1
      for _, line in ipairs(promised) do
        local first, last = result.out:find(line .. "\n", at, true)
        assert.is_truthy(first, ("%q is not in the rest of\n%s"):format(line, result.out))
        at = last + 1
      end
    end)

    it(path .. " is short", function()
      local count = 0
      for _ in io.lines(path) do count = count + 1 end
      assert.is_true(count < 90, count)
    end)
  end
end)
