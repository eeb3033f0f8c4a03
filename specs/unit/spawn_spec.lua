local actor = require "perilune.actor"
local support = require "specs.support"

local end_of = support.end_of

describe("spawn", function()
  it("of a module runs its function start, and the body may wait", function()
    assert.equal("normal", end_of("specs.fixtures.waiting_start", actor.self(), 1, "x").reason)
    assert.same({ 1, "x" }, (actor.receive("5s")))
  end)

  it("of a module that is a function runs it", function()
    assert.equal("normal",
      end_of("specs.fixtures.waiting_function", actor.self(), 1, nil, 3).reason)
    assert.same({ [1] = 1, [3] = 3 }, (actor.receive("5s")))
  end)

  it("of a module that is neither ends the actor with the reason", function()
    local down = end_of("specs.fixtures.number")
    assert.equal("error", down.reason)
    assert.equal(
      "spawn: module 'specs.fixtures.number' is neither a function nor a table with a function "
        .. "'start'",
      down.error)
  end)

  it("of a module that is not there ends the actor with what was searched", function()
    local down = end_of("specs.fixtures.nowhere")
    assert.equal("error", down.reason)
    local lines = {}
    for line in down.error:gmatch("[^\n]+") do table.insert(lines, line) end
    assert.equal("module 'specs.fixtures.nowhere' not found:", lines[1])
    assert.equal("\tno built-in module of that name", lines[2])
    assert.equal("\tno field package.preload['specs.fixtures.nowhere']", lines[3])
    assert.matches("^\tno file '", lines[#lines])
  end)
end)
