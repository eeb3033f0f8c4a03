local NAME = require "perilune.NAME"

describe("perilune.NAME", function()
  it("counts", function()
    local object <close> = NAME.new()
    assert.is_true(object:add(2))
    assert.equal(2, object:value())
  end)

  it("says when its limit is reached, and keeps what it had", function()
    local object <close> = NAME.new{ limit = 3 }
    assert.is_true(object:add(3))
    local ok, message, code = object:add(1)
    assert.same({ nil, "limit" }, { ok, code })
    assert.is_string(message)
    assert.equal(3, object:value())
  end)

  it("closes more than once, and says that it is closed", function()
    local object = NAME.new()
    object:close()
    object:close()
    assert.is_false(pcall(object.value, object))
  end)

  it("refuses options it does not know", function()
    local ok, message = pcall(NAME.new, { limt = 3 })
    assert.is_false(ok)
    assert.matches("did you mean 'limit'", message, 1, true)
  end)
end)
