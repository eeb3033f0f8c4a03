-- A storm of sends from all workers into bounded mailboxes, under each overflow policy: every
-- message is accounted for, and each pair keeps its order. Receivers stop reading, pause and die
-- meanwhile.
--
-- Each case is a process of its own: its runtime asserts at the end that no message is left.

local support = require "specs.support"

local MESSAGES = support.stress(10000) -- of each sender, to all receivers

local script = [[
local policy, messages, workers = ..., tonumber((select(2, ...))), tonumber((select(3, ...)))
local actor, timer = require "perilune.actor", require "perilune.timer"
local SENDERS, RECEIVERS = 8, 4

-- Checks the order and counts, until there has been nothing for a while.
local function receive_all(main, pause)
  local last, count, gaps = {}, 0, 0
  while true do
    local message = actor.receive("300ms")
    if not message then break end
    local from, number = message[1], message[2]
    local before = last[from] or 0
    assert(number > before, "the order is lost")
    gaps = gaps + number - before - 1
    last[from] = number
    count = count + 1
    if pause and count % 500 == 0 then timer.sleep("2ms") end
  end
  actor.send(main, { "received", count, gaps })
end

local function send_all(main, index, receivers)
  local sent, refused, gone = 0, 0, 0
  local numbers = {}
  for i = 1, messages do
    local which = i % #receivers + 1
    numbers[which] = (numbers[which] or 0) + 1
    local ok, _, code = actor.send(receivers[which], { index, numbers[which] })
    if ok then
      sent = sent + 1
    elseif code == "mailbox_full" then
      refused = refused + 1
    else
      assert(code == "noproc", code)
      gone = gone + 1
    end
    if i % 50 == 0 then timer.sleep(0) end
  end
  actor.send(main, { "sent", sent, refused, gone })
end

local before = actor.dead_letters().total
local receivers = {}
for i = 1, RECEIVERS do
  local mailbox = { capacity = 32, overflow = policy, timeout = "1m" }
  local options = { mailbox = mailbox, on = i % workers }
  receivers[i] = actor.spawn(options, receive_all, actor.self(), i == 1)
end
-- One dies in the middle of it, with messages in its mailbox.
local short = { mailbox = { capacity = 32, overflow = policy }, on = 0 }
local doomed = actor.spawn(short, function(main)
  for _ = 1, 100 do actor.receive() end
  actor.send(main, { "received", 100, 0 })
  timer.sleep("10ms")
end, actor.self())
table.insert(receivers, doomed)
for i = 1, SENDERS do actor.spawn({ on = i % workers }, send_all, actor.self(), i, receivers) end

local sent, refused, gone, received, gaps = 0, 0, 0, 0, 0
for _ = 1, SENDERS + RECEIVERS + 1 do
  local result = assert(actor.receive("60s"))
  if result[1] == "sent" then
    sent, refused, gone = sent + result[2], refused + result[3], gone + result[4]
  else
    received, gaps = received + result[2], gaps + result[3]
  end
end
-- The last letters of the doomed one may still be on their way.
local deadline = timer.now() + 10
local letters
repeat
  timer.sleep("1ms")
  letters = actor.dead_letters().total - before
until sent == received + letters or timer.now() > deadline
print(sent + refused + gone == SENDERS * messages, sent - received - letters, gone > 0,
  refused > 0, letters > 0, gaps > 0)
]]

-- What a policy makes of a flood: are sends refused, are messages of the living dropped?
local policies = {
  reject = { refuses = true, drops = false },
  block = { refuses = false, drops = false },
  drop_new = { refuses = false, drops = true },
  drop_oldest = { refuses = false, drops = true },
}

local function expect_account(policy, workers)
  local expected = policies[policy]
  it(("that %s accounts for every message, %d workers"):format(policy, workers), function()
    local file = support.file(script)
    local result = support.run("exec", "--workers", workers, file, policy, MESSAGES, workers)
    os.remove(file)
    assert.equal("", result.err)
    assert.equal(0, result.code)
    local all, missing, gone, refused = result.out:match("^(%S+)\t(%S+)\t(%S+)\t(%S+)\t")
    assert.same({ "true", "0", "true", tostring(expected.refuses) },
      { all, missing, gone, refused }, result.out)
    local _, gaps = result.out:match("(%S+)\t(%S+)\n$")
    local has_gaps = expected.refuses or expected.drops
    assert.equal(tostring(has_gaps), gaps, result.out)
  end)
end

describe("a storm into mailboxes", function()
  for policy in pairs(policies) do
    for _, workers in ipairs { 1, 2, 8 } do expect_account(policy, workers) end
  end
end)
