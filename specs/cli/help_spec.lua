-- The command itself: help, version, what it does not know.
local support = require "specs.support"

local function same(expected, ...)
  local result = support.run(...)
  assert.same(expected, { result.code, result.out, result.err })
end

local COMMANDS = { "run", "exec", "test", "inspect", "new", "bench", "repl", "version", "help" }

describe("perilune", function()
  it("alone shows what there is, exit 104", function()
    local result = support.run()
    assert.same({ 104, "" }, { result.code, result.out })
    for _, name in ipairs(COMMANDS) do assert.matches("\n  " .. name .. " +%l", result.err) end
  end)

  it("help, -h and --help show it, exit 0", function()
    local shown = support.run("help")
    assert.same({ 0, support.run().err, "" }, { shown.code, shown.out, shown.err })
    same({ 0, shown.out, "" }, "-h")
    same({ 0, shown.out, "" }, "--help")
  end)

  it("help COMMAND and COMMAND --help show the same, exit 0", function()
    for _, name in ipairs(COMMANDS) do
      local result = support.run("help", name)
      assert.same({ 0, "" }, { result.code, result.err }, name)
      assert.matches("^Usage: perilune " .. name, result.out)
      if name ~= "test" then -- which shows busted's flags as well
        same({ 0, result.out, "" }, name, "--help")
        same({ 0, result.out, "" }, name, "-h")
      end
    end
  end)

  it("version names its parts", function()
    local result = support.run("version")
    assert.same({ 0, "" }, { result.code, result.err })
    assert.matches("^perilune %d+%.%d+%.%d+%S* %(Lua 5%.4%.%d+, libuv %d+%.%d+%.%d+%)\n$",
      result.out)
    same({ 0, result.out, "" }, "--version")
    same({ 0, result.out, "" }, "-v")
  end)

  it("names the nearest command, exit 104", function()
    same({ 104, "", "perilune: unknown command exce, did you mean exec?\n" }, "exce", "x.lua")
    same({ 104, "", "perilune: unknown command tset, did you mean test?\n" }, "help", "tset")
    assert.matches("^perilune: unknown command 1%.5", support.run("1.5").err)
  end)

  it("refuses what help and version do not take", function()
    same({ 104, "", "perilune help: one command at most was expected (see perilune help help)\n" },
      "help", "run", "test")
    same({ 104, "", "perilune version: takes no arguments (see perilune help version)\n" },
      "version", "x")
    same({ 104, "", "perilune version: unknown flag --x (see perilune help version)\n" },
      "version", "--x")
  end)

  it("names the nearest flag of each command, exit 104", function()
    for _, name in ipairs { "exec", "run", "inspect", "repl" } do
      same({ 104, "", ("perilune %s: unknown flag --wrokers, did you mean --workers? "
        .. "(see perilune help %s)\n"):format(name, name) }, name, "--wrokers", "2")
    end
  end)
end)
