-- A tree of linked actors dies from its root: every exit reason arrives, nothing is left.
--
-- Each case is a process of its own. When it ends the runtime asserts that no actor, message,
-- timer, handle or byte is left, so exit code 0 says that as well.

local support = require "specs.support"

local ACTORS = support.stress(200000)

-- Every 10th node has a timer, every 100th a name and a task that waits, every 2000th a stream that
-- is open, a timer of luv and a file.
local script = [[
local COUNT, FANOUT = tonumber((...)), tonumber((select(2, ...)))
local actor = require "perilune.actor"

local function open_things(watcher)
  local alarm = require("luv").new_timer()
  alarm:start(3600000, 0, print)
  return alarm, assert(io.open("/dev/null")), assert(actor.stream(watcher, 0, { timeout = "1m" }))
end

local function equip(number, watcher)
  local timer = require "perilune.timer"
  timer.every("1h", print)
  if number % 100 ~= 0 then return end
  assert(actor.register("node " .. number))
  actor.task(timer.sleep, "1h")
  if number % 2000 == 0 then return open_things(watcher) end
end

-- Lean, so that so many fit: what it does not touch is not there.
local function node(number, watcher)
  local first = (number - 1) * FANOUT + 2
  for child = first, first + FANOUT - 1 do
    if child <= COUNT then actor.spawn({ link = true }, node, child, watcher) end
  end
  local things = number % 10 == 0 and { equip(number, watcher) }
  actor.send(watcher, { number, actor.self() })
  actor.receive()
  return things
end

-- Monitors all of them, and their streams.
local function meet()
  local refs, streams, root = {}, {}, nil
  for _ = 1, COUNT + COUNT // 2000 do
    local message, req = assert(actor.receive("60s"))
    if req then
      table.insert(streams, (assert(req:stream())))
    else
      refs[assert(actor.monitor(message[2]))] = message[2]
      if message[1] == 1 then root = message[2] end
    end
  end
  return refs, streams, root
end

local function count_reasons(refs)
  local reasons = {}
  for _ = 1, COUNT do
    local down, mark = assert(actor.receive("60s"))
    assert(mark == actor.SYSTEM and refs[down.ref] == down.pid)
    refs[down.ref] = nil
    reasons[down.reason] = (reasons[down.reason] or 0) + 1
  end
  assert(next(refs) == nil)
  return reasons
end

local function watch(main)
  actor.spawn(node, 1, actor.self())
  local refs, streams, root = meet()
  local alive = #actor.list()
  actor.exit(root, "kill")
  local reasons = count_reasons(refs)
  local codes = {}
  for _, stream in ipairs(streams) do
    local code = select(3, stream:read("60s"))
    codes[code] = (codes[code] or 0) + 1
  end
  actor.send(main, { alive = alive, reasons = reasons, codes = codes, left = #actor.list() })
end

actor.spawn({ link = true, mailbox = { capacity = 1 << 20 } }, watch, actor.self())
local result = actor.receive()
print(result.alive, result.reasons.killed, result.codes.exited, result.left)
for i = 100, COUNT, 100 do assert(not actor.whereis("node " .. i)) end
]]

local function expect_death(actors, fanout, workers)
  it(("dies from its root, %d children a node, %d workers"):format(fanout, workers), function()
    local file = support.file(script)
    local result = support.run("exec", "--workers", workers, file, actors, fanout)
    os.remove(file)
    assert.equal("", result.err)
    assert.equal(0, result.code)
    -- beside them: the script, its watcher, the host
    assert.equal(("%d\t%d\t%d\t3\n"):format(actors + 3, actors, actors // 2000), result.out)
  end)
end

describe("a tree of linked actors", function()
  expect_death(ACTORS, 8, 2)
  expect_death(ACTORS // 10, 1, 8) -- a chain
end)
