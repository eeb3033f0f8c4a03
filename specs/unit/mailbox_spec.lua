local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

local in_actor, virtual = support.in_actor, support.virtual

local function results(...) return table.pack(...) end

-- An actor that takes nothing until it is told to go (by an exit signal, which needs no place in
-- its mailbox), and then sends all it has to the test.
local function trapping(mailbox)
  local pid = actor.spawn({ mailbox = mailbox }, function(parent)
    actor.trap_exit(true)
    actor.send(parent, "ready")
    actor.receive_match(function(_, req) return req == actor.SYSTEM end)
    local list = {}
    while true do
      local message, _, code = actor.receive(0)
      if code == "timeout" then break end
      table.insert(list, message)
    end
    actor.send(parent, list)
  end, actor.self())
  assert.equal("ready", actor.receive("5s"))
  return pid
end

local function collect(pid)
  actor.exit(pid, "go")
  return (actor.receive("10s"))
end

describe("a mailbox", function()
  local it = support.tidy(it)

  it("keeps the order of one sender", function()
    local pid = trapping()
    for i = 1, 500 do actor.send(pid, i) end
    local list = collect(pid)
    assert.equal(500, #list)
    for i, value in ipairs(list) do assert.equal(i, value) end
  end)

  it("holds 1024 messages and rejects the next", function()
    local pid = trapping()
    for i = 1, 1024 do assert.is_true(actor.send(pid, i)) end
    assert.same(results(nil, ("the mailbox of %s is full"):format(pid), "mailbox_full"),
      results(actor.send(pid, 0)))
    local list = collect(pid)
    assert.equal(1024, #list)
    assert.equal(1024, list[1024])
  end)

  it("has room again for each message taken", function()
    local pid = actor.spawn({ mailbox = { capacity = 2 } }, function(parent)
      for _ = 1, 4 do
        actor.receive()
        actor.send(parent, "taken")
        actor.receive_match(function(m) return m == "next" end)
      end
    end, actor.self())
    actor.send(pid, 1)
    assert.equal("taken", actor.receive("5s"))
    assert.is_true(actor.send(pid, 2))
    assert.is_true(actor.send(pid, 3))
    assert.equal("mailbox_full", select(3, actor.send(pid, 4)))
    actor.exit(pid, "kill")
  end)

  it("takes a capacity from 1 to 2^24", function()
    local pid = trapping { capacity = 1 }
    assert.is_true(actor.send(pid, 1))
    assert.equal("mailbox_full", select(3, actor.send(pid, 2)))
    assert.same({ 1 }, collect(pid))
    for _, capacity in ipairs { 0, -1, 2 ^ 24 + 1, 1.5, "many" } do
      assert.has_error(function()
        actor.spawn({ mailbox = { capacity = capacity } }, function() end)
      end)
    end
    assert.has_error(function() actor.spawn({ mailbox = { capacity = 0 } }, function() end) end,
      "option 'capacity': an integer from 1 to 16777216 expected, got 0")
    assert.has_error(function() actor.spawn({ mailbox = { size = 1 } }, function() end) end)
    assert.has_error(function()
      actor.spawn({ mailbox = { overflow = "drop" } }, function() end)
    end,
      "option 'overflow': one of reject, block, drop_new, drop_oldest expected, got \"drop\"")
    assert.has_error(function() actor.spawn({ mailbox = 5 }, function() end) end)
    assert.equal(16777216, in_actor(function()
      local big = actor.spawn({ mailbox = { capacity = 1 << 24 } }, function() actor.receive() end)
      local capacity = actor.info(big).capacity
      actor.send(big, 1)
      return capacity
    end))
  end)

  it("that drops new messages keeps the old ones, and the sender does not mind", function()
    local pid = trapping { capacity = 3, overflow = "drop_new" }
    local before = actor.dead_letters().total
    for i = 1, 10 do assert.is_true(actor.send(pid, i)) end
    assert.same({ 1, 2, 3 }, collect(pid))
    assert.equal(7, actor.dead_letters().total - before)
  end)

  it("that drops the oldest keeps the new ones", function()
    local pid = trapping { capacity = 3, overflow = "drop_oldest" }
    local before = actor.dead_letters().total
    for i = 1, 10 do assert.is_true(actor.send(pid, i)) end
    assert.same({ 8, 9, 10 }, collect(pid))
    assert.equal(7, actor.dead_letters().total - before)
  end)

  it("never drops system messages, and they need no room", function()
    for _, overflow in ipairs { "reject", "drop_new", "drop_oldest", "block" } do
      local counted = in_actor(function(policy)
        local watched = {}
        local watcher = actor.spawn({ mailbox = { capacity = 2, overflow = policy } },
          function(parent)
          local others = actor.receive()
          for _, pid in ipairs(others) do actor.monitor(pid) end
          actor.send(parent, "watching")
          timer.sleep("20ms")
          local downs, mail = 0, 0
          while true do
            local _, req, code = actor.receive("20ms")
            if code == "timeout" then break end
            if req == actor.SYSTEM then downs = downs + 1 else mail = mail + 1 end
          end
          actor.send(parent, { downs, mail })
        end, actor.self())
        for i = 1, 50 do watched[i] = actor.spawn(function() actor.receive() end) end
        actor.send(watcher, watched)
        actor.receive()
        for _, pid in ipairs(watched) do actor.exit(pid, "kill") end
        for i = 1, 2 do actor.send(watcher, i) end
        return actor.receive()
      end, overflow)
      assert.same({ 50, 2 }, counted)
    end
  end)

  it("does not hold up a kill", function()
    local pid = trapping()
    for i = 1, 1024 do actor.send(pid, i) end
    local ref = actor.monitor(pid)
    actor.exit(pid, "kill")
    assert.equal("killed", support.down(ref).reason)
  end)

  it("of the dead goes to the dead letters, and so does what comes later", function()
    local pid = trapping()
    local before = actor.dead_letters().total
    for i = 1, 10 do actor.send(pid, i) end
    local ref = actor.monitor(pid)
    actor.exit(pid, "kill")
    support.down(ref)
    assert.same(results(nil, "no such actor: " .. tostring(pid), "noproc"),
      results(actor.send(pid, 11)))
    local letters = actor.dead_letters()
    assert.equal(10, letters.total - before)
    local last = letters[#letters]
    assert.equal(pid, last.to)
    assert.equal(actor.self(), last.from)
    assert.equal("message", last.type)
    assert.equal("exited", last.reason)
    assert.is_true(math.abs(last.time - timer.unix()) < 3600)
  end)

  it("dead letters are the last 128", function()
    local pid = trapping { capacity = 1, overflow = "drop_new" }
    for i = 1, 200 do actor.send(pid, i) end
    assert.equal(128, #actor.dead_letters())
    collect(pid)
  end)
end)

describe("a mailbox that blocks", function()
  local it = support.tidy(it)

  it("makes its senders wait for room", function()
    local pid = trapping { capacity = 2, overflow = "block" }
    actor.send(pid, 1)
    actor.send(pid, 2)
    local sent
    local task = actor.task(function() sent = actor.send(pid, 3) return sent end)
    timer.sleep("2ms")
    assert.is_nil(sent)
    actor.exit(pid, "go")
    assert.is_true(task:wait("5s"))
    local list = actor.receive("5s")
    assert(#list == 2 or #list == 3)
  end)

  it("for at most 5 s", function()
    assert.equal("mailbox_full 5.0 mailbox_full 2.0\n", virtual [[
      local function full(mailbox)
        local pid = actor.spawn({ mailbox = mailbox }, function() timer.sleep("1h") end)
        actor.send(pid, 1)
        local start = timer.now()
        local code = select(3, actor.send(pid, 2))
        return code .. " " .. timer.now() - start
      end
      print(full { capacity = 1, overflow = "block" } .. " "
        .. full { capacity = 1, overflow = "block", timeout = "2s" })
      os.exit(0)
    ]])
  end)

  it("refuses the mailbox's owner at once", function()
    local code = support.in_actor_with({ mailbox = { capacity = 1, overflow = "block" } },
      function()
      actor.send(actor.self(), 1)
      return select(3, actor.send(actor.self(), 2))
    end)
    assert.equal("mailbox_full", code)
  end)

  it("keeps the order of the tasks of one sender", function()
    for _ = 1, 5 do
      local pid = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function(parent)
        timer.sleep("2ms")
        local list = {}
        for i = 1, 30 do list[i] = actor.receive() end
        actor.send(parent, list)
      end, actor.self())
      local tasks = {}
      for i = 1, 30 do tasks[i] = actor.task(function() return actor.send(pid, i) end) end
      for _, result in ipairs(actor.wait_all(tasks)) do assert.same({ true }, result) end
      local list = actor.receive("5s")
      for i = 1, 30 do assert.equal(i, list[i]) end
    end
  end)

  it("gives a last chance when there is room that it did not call for", function()
    assert.equal("true\n", virtual [[
      local pid = actor.spawn({ mailbox = { capacity = 100, overflow = "block", timeout = "2s" } },
        function()
        timer.sleep("1s")
        for _ = 1, 10 do actor.receive() end -- 90 are left: more than half
        timer.sleep("1h")
      end)
      for i = 1, 100 do actor.send(pid, i) end
      print(actor.send(pid, 101))
      os.exit(0)
    ]])
  end)

  it("tells its waiting senders when its owner ends", function()
    local pid = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function()
      timer.sleep("1h")
    end)
    actor.send(pid, 1)
    local tasks = {}
    for i = 1, 5 do tasks[i] = actor.task(function() return actor.send(pid, i) end) end
    timer.sleep("2ms")
    actor.exit(pid, "kill")
    for _, result in ipairs(actor.wait_all(tasks)) do assert.equal("noproc", result[3]) end
  end)

  it("lets the others through when one of its waiting senders ends", function()
    local pid = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function(parent)
      actor.receive_match(function(m) return m == "never" end, "20ms")
      local list = {}
      for i = 1, 2 do list[i] = actor.receive() end
      actor.send(parent, list)
    end, actor.self())
    actor.send(pid, "plug")
    local loser = actor.spawn(function(to) actor.send(to, "lost") end, pid)
    timer.sleep("2ms")
    local task = actor.task(function() return actor.send(pid, "kept") end)
    timer.sleep("2ms")
    actor.exit(loser, "kill")
    assert.is_true(task:wait("5s"))
    assert.same({ "plug", "kept" }, (actor.receive("5s")))
  end)

  it("with many senders loses nothing", function()
    local count, senders = 200, 20
    local pid = actor.spawn({ mailbox = { capacity = 3, overflow = "block" } },
      function(parent, expected)
      local last, sum = {}, 0
      for _ = 1, expected do
        local message = actor.receive()
        assert((last[message[1]] or 0) + 1 == message[2])
        last[message[1]] = message[2]
        sum = sum + 1
      end
      actor.send(parent, sum)
    end, actor.self(), count * senders)
    for s = 1, senders do
      actor.spawn(function(to, name, n)
        for i = 1, n do assert(actor.send(to, { name, i })) end
      end, pid, s, count)
    end
    assert.equal(count * senders, (actor.receive("60s")))
  end)
end)

describe("receive", function()
  local it = support.tidy(it)

  it("returns a message and nothing for a plain send", function()
    actor.send(actor.self(), "x")
    assert.same(results("x", nil), results(actor.receive()))
  end)

  it("times out", function()
    assert.same(results(nil, "no message in time", "timeout"), results(actor.receive("1ms")))
    assert.same(results(nil, "no message in time", "timeout"), results(actor.receive(0)))
  end)

  it("of nothing waits for ever", function()
    assert.equal("waiting 3600.0\n", virtual [[
      local pid = actor.spawn(function(parent)
        actor.receive() actor.send(parent, timer.now())
      end, actor.self())
      timer.sleep("1h")
      actor.send(pid, 1)
      print("waiting " .. actor.receive())
    ]])
  end)

  it("serves tasks in the order in which they asked", function()
    local order = {}
    local tasks = {}
    for i = 1, 5 do tasks[i] = actor.task(function() order[i] = actor.receive() end) end
    timer.sleep("1ms")
    for i = 1, 5 do actor.send(actor.self(), i) end
    actor.wait_all(tasks)
    assert.same({ 1, 2, 3, 4, 5 }, order)
  end)

  it("gives each message to one task", function()
    local got = {}
    local tasks = {}
    for i = 1, 10 do
      tasks[i] = actor.task(function() while true do table.insert(got, (actor.receive())) end end)
    end
    for i = 1, 100 do actor.send(actor.self(), i) end
    support.eventually(function() return #got == 100 end)
    table.sort(got)
    for i = 1, 100 do assert.equal(i, got[i]) end
    for _, task in ipairs(tasks) do task:cancel() end
  end)

  it("iterates with messages()", function()
    for i = 1, 3 do actor.send(actor.self(), i) end
    local list = {}
    for message in actor.messages() do
      table.insert(list, message)
      if message == 3 then break end
    end
    assert.same({ 1, 2, 3 }, list)
  end)

  it("iterates over false as well, and ends at nil", function()
    actor.send(actor.self(), false)
    actor.send(actor.self(), "x")
    actor.send(actor.self(), nil)
    local list = {}
    for message in actor.messages() do table.insert(list, message) end
    assert.same({ false, "x" }, list)
  end)
end)

describe("receive_match", function()
  local it = support.tidy(it)

  it("takes the first that fits and leaves the others in order", function()
    for i = 1, 6 do actor.send(actor.self(), i) end
    assert.equal(4, (actor.receive_match(function(m) return m > 3 end)))
    assert.equal(2, (actor.receive_match(function(m) return m == 2 end)))
    local rest = {}
    for i = 1, 4 do rest[i] = actor.receive() end
    assert.same({ 1, 3, 5, 6 }, rest)
  end)

  it("waits for what is not there yet, looking at each message once", function()
    local looked = {}
    for i = 1, 3 do actor.send(actor.self(), i) end
    timer.after("2ms", function() for i = 4, 6 do actor.send(actor.self(), i) end end)
    assert.equal(5, (actor.receive_match(function(m)
      table.insert(looked, m)
      return m == 5
    end)))
    assert.same({ 1, 2, 3, 4, 5 }, looked)
    for _ = 1, 5 do actor.receive() end
  end)

  it("times out", function()
    actor.send(actor.self(), 1)
    assert.same(results(nil, "no such message in time", "timeout"),
      results(actor.receive_match(function() return false end, "2ms")))
    assert.equal(1, (actor.receive()))
  end)

  it("passes on what its function raises, and takes nothing", function()
    actor.send(actor.self(), 1)
    assert.has_error(function() actor.receive_match(function() error("no", 0) end) end, "no")
    assert.equal(1, (actor.receive()))
  end)

  it("lets its function receive and wait", function()
    for i = 1, 5 do actor.send(actor.self(), i) end
    local inside = {}
    local found = actor.receive_match(function(m)
      timer.sleep(0)
      if m == 2 then table.insert(inside, (actor.receive())) end
      return m == 4
    end)
    assert.equal(4, found)
    -- seen 1, then 2, which received 1; then again from the front: 2, which received itself; 3; 4
    assert.same({ 1, 2 }, inside)
    assert.equal(3, (actor.receive()))
    assert.equal(5, (actor.receive()))
  end)

  it("shows requests and system messages with what they are", function()
    local kinds = in_actor(function()
      local self = actor.self()
      actor.trap_exit(true)
      actor.send(self, "plain")
      actor.spawn(function(to) actor.call(to, "call", { timeout = "10ms" }) end, self)
      actor.spawn({ link = true }, function() end)
      timer.sleep("5ms")
      local seen = {}
      actor.receive_match(function(m, req)
        local kind = req == actor.SYSTEM and "system" or type(req)
        seen[type(m) == "table" and m.type or m] = kind
      end, 0)
      return seen
    end)
    assert.same({ plain = "nil", call = "userdata", exit = "system" }, kinds)
  end)

  it("takes the message that it was asked about, although older ones are dropped meanwhile",
    function()
    local found = support.in_actor_with({ mailbox = { capacity = 4, overflow = "drop_oldest" } },
      function()
      local self = actor.self()
      for i = 1, 4 do actor.send(self, i) end
      local asked = {}
      local first = actor.receive_match(function(m)
        table.insert(asked, m)
        if #asked == 3 then actor.send(self, 5) end -- drops 1
        return m == 3
      end)
      local rest = {}
      while true do
        local m, _, code = actor.receive(0)
        if code then break end
        table.insert(rest, m)
      end
      return { first, rest, asked }
    end)
    -- from the front again after the drop
    assert.same({ 3, { 2, 4, 5 }, { 1, 2, 3, 2, 3 } }, found)
  end)

  it("does not skip what moved forward because older ones were dropped", function()
    local found = support.in_actor_with({ mailbox = { capacity = 4, overflow = "drop_oldest" } },
      function()
      local self = actor.self()
      for i = 1, 4 do actor.send(self, i) end
      timer.after("2ms", function() for i = 5, 7 do actor.send(self, i) end end)
      return (actor.receive_match(function(m) return m == 5 end, "5s"))
    end)
    assert.equal(5, found)
  end)

  it("is fast in a long mailbox", function()
    local n = in_actor(function()
      local watcher = actor.self()
      local count = 3000
      actor.trap_exit(true)
      local pids = {}
      for i = 1, count do pids[i] = actor.spawn({ link = true }, function() actor.receive() end) end
      for i = 1, count do actor.exit(pids[i], "kill") end
      timer.sleep("20ms")
      actor.send(watcher, "last")
      return actor.receive_match(function(m) return m == "last" end) == "last" and count
    end)
    assert.equal(3000, n)
  end)

  it("shares the mailbox with tasks that receive", function()
    local receiver, matcher = {}, {}
    local a = actor.task(function() while true do table.insert(receiver, (actor.receive())) end end)
    local b = actor.task(function()
      for _ = 1, 5 do table.insert(matcher, (actor.receive_match(function(m)
        return m % 10 == 0
      end))) end
    end)
    for i = 1, 50 do
      actor.send(actor.self(), i)
      if i % 7 == 0 then timer.sleep(0) end
    end
    b:wait("5s")
    support.eventually(function() return #receiver == 45 end)
    a:cancel()
    assert.same({ 10, 20, 30, 40, 50 }, matcher)
  end)
end)
