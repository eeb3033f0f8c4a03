-- perilune bench: the list, one suite of each kind, the table and the JSON.
local json = require "perilune.json"
local support = require "specs.support"

local run = support.run

describe("perilune bench", function()
  it("lists what there is", function()
    local result = run("bench", "--list")
    assert.same({ 0, "" }, { result.code, result.err })
    for line in result.out:gmatch("[^\n]+") do assert.matches("^%S+ +%S", line) end
    assert.matches("\nwheel +%S", "\n" .. result.out)
    assert.matches("\nactor +%S", "\n" .. result.out)
  end)

  it("prints a table", function()
    local result = run("bench", "-n", "1", "histogram")
    assert.same({ 0, "" }, { result.code, result.err })
    assert.matches("^bench +figure +median +min +max +unit\nhistogram +%S", result.out)
    for line in result.out:gmatch("[^\n]+") do assert.is_true(#line < 120) end
  end)

  it("writes JSON with the machine and every run", function()
    local path = os.tmpname()
    for _, where in ipairs { "-", path } do
      local result = run("bench", "--runs=3", "histogram", "--json", where)
      assert.same({ 0, "" }, { result.code, result.err })
      local text = result.out
      if where ~= "-" then
        assert.matches("^bench ", text)
        local file = assert(io.open(path))
        text = file:read("a")
        file:close()
      end
      local report = assert(json.decode(text))
      assert.is_string(report.machine.cpu)
      assert.is_true(report.machine.cores >= 1)
      assert.is_true(#report.results >= 1)
      for _, figure in ipairs(report.results) do
        assert.equal("histogram", figure.bench)
        assert.equal(3, #figure.runs)
        assert.equal(figure.runs[2], figure.value) -- they are sorted
        assert.is_true(figure.runs[1] <= figure.runs[2] and figure.runs[2] <= figure.runs[3])
      end
    end
    os.remove(path)
  end)

  it("says what is wrong", function()
    for _, case in ipairs {
      { "no benchmark histogarm, did you mean histogram? (--list shows them)", "histogarm" },
      { "no benchmark qqqqqqqq (--list shows them)", "qqqqqqqq" },
      { "--runs 0: a number from 1 to 1000 was expected", "-n", "0" },
      { "--runs 1001: a number from 1 to 1000 was expected", "--runs", "1001" },
      { "unknown flag --jsn, did you mean --json?", "--jsn", "x" },
    } do
      local result = run("bench", table.unpack(case, 2))
      assert.same({ 104, "", ("perilune bench: %s (see perilune help bench)\n"):format(case[1]) },
        { result.code, result.out, result.err })
    end
    local result = run("bench", "-n", "1", "histogram", "--json", "/no/such/file")
    assert.equal(107, result.code)
    assert.equal("perilune bench: cannot write /no/such/file: No such file or directory\n",
      result.err)
  end)
end)
