local timer = require "perilune.timer"
local support = require "specs.support"

local in_actor = support.in_actor

describe("debug.sethook", function()
  it("takes a hook without a count", function()
    local lines = in_actor(function()
      local seen = {}
      debug.sethook(function(event, line) table.insert(seen, event .. tostring(line > 0)) end, "l")
      local _ = 1
      _ = 2
      debug.sethook()
      return seen
    end)
    assert.same({ "linetrue", "linetrue", "linetrue" }, lines)
  end)

  it("shows the hook again, and none when there is none", function()
    local shown = in_actor(function()
      local function hook() end
      local before = table.pack(debug.gethook())
      debug.sethook(hook, "clr", 1000000)
      local f, mask, count = debug.gethook()
      debug.sethook()
      return { before[1] == nil, f == hook, mask, count, debug.gethook() == nil }
    end)
    assert.same({ true, true, "crl", 1000000, true }, shown)
  end)

  it("keeps the user's hook through a pre-emption", function()
    local counted = in_actor(function()
      local n = 0
      debug.sethook(function() n = n + 1 end, "", 1000)
      local stop = timer.now() + 0.05 -- several slices
      while timer.now() < stop do end
      local before = n
      for _ = 1, 100000 do end
      debug.sethook()
      return before > 0 and n > before
    end)
    assert.is_true(counted)
  end)
end)
