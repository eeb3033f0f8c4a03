-- Same seed, same run: a program of many actors that uses all that could differ prints the same
-- bytes.

local support = require "specs.support"

local RUNS = support.stress(100)

local script = [[
local actor, timer = require "perilune.actor", require "perilune.timer"

local function names(count)
  local set = {}
  for i = 1, count do set["key " .. math.random(1, 1 << 40) .. "/" .. i] = i end
  set[{}], set[print], set[1.5] = "a table", "a function", "a float"
  return set
end

-- In the order of `pairs`, which depends on hashes and addresses.
local function walk(set)
  local parts = {}
  for key, value in pairs(set) do
    table.insert(parts, (type(key) == "string" and key or type(key)) .. "=" .. tostring(value))
  end
  return table.concat(parts, " ")
end

local function player(number, main)
  local peers = actor.receive()
  timer.every(math.random(1, 50) / 1000, function()
    actor.send(main, ("%d ticks at %.6f, %s"):format(number, timer.now(), os.date()))
  end)
  local deadline = timer.now() + 0.1
  local count = 0
  while timer.now() < deadline do
    local message = actor.receive(math.random() / 100)
    if message then
      count = count + 1
      local _, err, code = actor.call(main, { "echo", message }, { timeout = math.random() / 100 })
      local heard = walk { [message] = 1 }
      actor.send(main, ("%d heard %s, then %s %s"):format(number, heard, err, code))
    end
    actor.send(peers[math.random(#peers)], ("%d of %d"):format(count, number))
  end
  actor.send(main, ("%d: %s %s %s"):format(number, walk(names(20)), tostring({}), actor.self()))
  if math.random() < 0.3 then error("it fails") end
end

local pids, alive = {}, 50
for i = 1, 50 do
  local options = { monitor = true, mailbox = { capacity = 8, overflow = "drop_oldest" } }
  pids[i] = actor.spawn(options, player, i, actor.self())
end
for _, pid in ipairs(pids) do actor.send(pid, pids) end
while alive > 0 do
  local message, req = actor.receive()
  if req == actor.SYSTEM then
    alive = alive - 1
    print(message.pid, message.reason, message.error, #(message.traceback or ""))
  elseif req then
    if math.random() < 0.5 then timer.sleep("2ms") end
    req:reply(message)
  else
    print(message)
  end
end
print(walk(names(100)), actor.dead_letters().total, timer.now(), os.clock(), os.time())
print(#actor.list(), collectgarbage("count"), actor.info().turns, actor.info().memory_peak_bytes)
]]

describe("same seed, same run", function()
  local file
  setup(function() file = support.file(script) end)
  teardown(function() os.remove(file) end)

  local function run(seed)
    local result = support.run("exec", "--seed", seed, "--virtual-time",
      "--log-level", "none", file)
    assert.equal("", result.err)
    assert.equal(0, result.code)
    return result.out
  end

  it(("prints the same bytes %d times in a row"):format(RUNS), function()
    local first = run(7)
    assert.is_true(#first > 20000, #first)
    for i = 2, RUNS do
      if run(7) ~= first then error(("run %d differs from the first"):format(i)) end
    end
  end)

  it("prints others with another seed", function()
    assert.is_true(run(8) ~= run(7))
  end)
end)
