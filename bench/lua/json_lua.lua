-- about: JSON to Lua values and back: 0.8 KB and 100 KB
-- workers: 1
local json = require "perilune.json"
local timer = require "perilune.timer"

local SMALL_ROUNDS, LARGE_ROUNDS = 100000, 500

local function item(i)
  return {
    id = i, name = "item " .. i, price = i + 0.25, tags = { "a", "b" }, stock = json.null,
    nested = { deep = { true, false } },
  }
end

local function items(count)
  local list = {}
  for i = 1, count do list[i] = item(i) end
  return { items = list, count = count }
end

local function ns_per_call(rounds, fn, argument)
  collectgarbage()
  local start = timer.now()
  for _ = 1, rounds do fn(argument) end
  return (timer.now() - start) / rounds * 1e9
end

return function(report)
  local small, large = items(8), items(1000)
  local small_text, large_text = json.encode(small), json.encode(large)
  report("decode_small", ns_per_call(SMALL_ROUNDS, json.decode, small_text), "ns")
  report("encode_small", ns_per_call(SMALL_ROUNDS, json.encode, small), "ns")
  report("decode_large", ns_per_call(LARGE_ROUNDS, json.decode, large_text), "ns")
  report("encode_large", ns_per_call(LARGE_ROUNDS, json.encode, large), "ns")
end
