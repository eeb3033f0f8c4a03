local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

local spawn = actor.spawn

local function stop(...)
  for _, pid in ipairs { ... } do actor.exit(pid, "kill") end
end

local function echo() actor.serve(function(message) return message end) end

-- Takes requests and answers none; they are kept, so that no one is collected.
local function hoard()
  local kept = {}
  while true do table.insert(kept, { actor.receive() }) end
end

-- Sends the code of a call, made by another actor, back to this one.
local function call_from_elsewhere(to, message, options)
  return spawn(function(parent, ...)
    actor.send(parent, { "called", table.pack(actor.call(...)) })
  end, actor.self(), to, message, options)
end

local function called()
  local message = actor.receive_match(function(m)
    return type(m) == "table" and m[1] == "called"
  end, "10s")
  return table.unpack(message[2], 1, message[2].n)
end

describe("a call", function()
  it("returns what the other side replies", function()
    local server = spawn(function()
      actor.serve {
        one = function(x) return x end,
        failure = function(x) return nil, "no " .. x, "not_found" end,
        nothing = function() end,
        no = function() return false end,
        both = function() return 1, "and a warning" end,
      }
    end)
    assert.same({ 7 }, { actor.call(server, { "one", 7 }) })
    assert.same({ n = 3, nil, "no luck", "not_found" },
      table.pack(actor.call(server, { "failure", "luck" })))
    local value, err = actor.call(server, { "nothing" })
    assert.is_nil(value)
    assert.is_nil(err)
    value, err = actor.call(server, { "no" })
    assert.is_false(value)
    assert.is_nil(err)
    assert.same({ 1, "and a warning" }, { actor.call(server, { "both" }) })
    stop(server)
  end)

  it("of an unknown request is a bad_request", function()
    local server = spawn(function() actor.serve {} end)
    assert.same({ n = 3, nil, "unknown request: fly", "bad_request" },
      table.pack(actor.call(server, { "fly" })))
    assert.same({ n = 3, nil, "not a request: a table { name, ... } was expected", "bad_request" },
      table.pack(actor.call(server, 7)))
    stop(server)
  end)

  it("of nobody is noproc, and the next call is as new", function()
    local server, dead = spawn(echo), spawn(function() end)
    support.down(actor.monitor(dead))
    local _, message, code = actor.call(dead, 1)
    assert.equal("noproc", code)
    assert.equal("no such actor: " .. tostring(dead), message)
    assert.equal("hello", actor.call(server, "hello"))
    assert.same({ n = 3, nil, "no such actor: nobody", "noproc" },
      table.pack(actor.call("nobody", 1)))
    assert.equal("hello", actor.call(server, "hello"))
    stop(server)
  end)

  it("to a full mailbox is mailbox_full, and the next call is as new", function()
    local server = spawn(echo)
    for _, overflow in ipairs { "reject", "drop_new" } do
      local full = actor.spawn({ mailbox = { capacity = 1, overflow = overflow } }, function()
        timer.sleep("1h")
      end)
      actor.send(full, 1)
      local _, message, code = actor.call(full, 2)
      assert.equal("mailbox_full", code)
      assert.equal(("the mailbox of %s is full"):format(full), message)
      assert.equal("hello", actor.call(server, "hello"))
      stop(full)
    end
    stop(server)
  end)

  it("that drop_oldest drops is mailbox_full", function()
    local full = actor.spawn({ mailbox = { capacity = 1, overflow = "drop_oldest" } }, function()
      timer.sleep("1h")
    end)
    call_from_elsewhere(full, 1)
    support.eventually(function() return actor.info(full).mailbox == 1 end)
    actor.send(full, 2)
    local _, _, code = called()
    assert.equal("mailbox_full", code)
    stop(full)
  end)

  it("to a full mailbox that blocks waits for room", function()
    local slow = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function()
      timer.sleep("10ms")
      actor.receive()
      actor.serve(function(message) return message end)
    end)
    actor.send(slow, "plug")
    assert.equal("waited", actor.call(slow, "waited"))
    stop(slow)
  end)

  it("to a full mailbox that blocks times out", function()
    local full = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function()
      timer.sleep("1h")
    end)
    actor.send(full, "plug")
    assert.equal("timeout", select(3, actor.call(full, 2, { timeout = "5ms" })))
    assert.equal(1, actor.info(full).mailbox)
    stop(full)
  end)

  it("waiting for room hears of the end of the other side, and the next call is as new", function()
    local server = spawn(echo)
    local full = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function()
      timer.sleep("1h")
    end)
    actor.send(full, 1)
    timer.after("5ms", function() actor.exit(full, "kill") end)
    local _, _, code = actor.call(full, 2)
    assert.equal("noproc", code)
    assert.equal("hello", actor.call(server, "hello"))
    stop(server)
  end)

  it("waiting for room past the mailbox's own time is mailbox_full, and the next call is as new",
    function()
    local server = spawn(echo)
    local full = actor.spawn({ mailbox = { capacity = 1, overflow = "block", timeout = "5ms" } },
      function()
      timer.sleep("1h")
    end)
    actor.send(full, 1)
    local _, _, code = actor.call(full, 2)
    assert.equal("mailbox_full", code)
    assert.equal("hello", actor.call(server, "hello"))
    stop(server, full)
  end)

  it("times out", function()
    local server = spawn(hoard)
    local _, message, code = actor.call(server, 1, { timeout = "5ms" })
    assert.equal("timeout", code)
    assert.equal(("call to %s timed out"):format(server), message)
    assert.equal("timeout", select(3, actor.call(server, 1, { timeout = 0 })))
    stop(server)
  end)

  it("has 5 s by default", function()
    local result = support.exec([[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local server = actor.spawn(function()
        local _, req = actor.receive() timer.sleep("1h") return req
      end)
      local start = timer.now()
      print(select(3, actor.call(server, 1)), timer.now() - start)
    ]], "--virtual-time")
    assert.equal("timeout\t5.0\n", result.out)
  end)

  it("refuses options it does not know, and times that are none", function()
    local self = actor.self()
    assert.has_error(function() actor.call(self, 1, { timout = 1 }) end,
      "unknown option 'timout' (did you mean 'timeout'?)")
    assert.has_error(function() actor.call(self, 1, { timeout = "soon" }) end,
      "option 'timeout': a duration (seconds, or text like \"250ms\", \"1m30s\") expected, got "
        .. "\"soon\"")
    assert.has_error(function() actor.call(self, 1, { timeout = -1 }) end)
    assert.has_error(function() actor.call(7, 1) end,
      "bad argument #1 to 'call' (pid or registered name expected, got number)")
    assert.has_error(function() actor.call(self) end, "bad argument #2 to 'call' (value expected)")
  end)

  describe("fails with exited when the other side", function()
    local function expect_exited(server)
      local _, message, code = called()
      assert.equal("exited", code)
      assert.equal(("%s exited before it replied"):format(server), message)
    end

    it("is killed with the request in its mailbox", function()
      local server = spawn(function() timer.sleep("1h") end)
      call_from_elsewhere(server, 1)
      support.eventually(function() return actor.info(server).mailbox == 1 end)
      stop(server)
      expect_exited(server)
    end)

    it("is killed with the request in hand", function()
      local server = spawn(hoard)
      call_from_elsewhere(server, 1)
      support.eventually(function() return actor.info(server).received == 1 end)
      stop(server)
      expect_exited(server)
    end)

    it("raises", function()
      local server = actor.spawn({ monitor = true }, function()
        actor.serve(function() error("broken") end)
      end)
      call_from_elsewhere(server, 1)
      expect_exited(server)
      assert.matches("broken", (actor.receive()).error)
    end)

    it("ends by itself with the request in hand", function()
      local server = spawn(function() local _, req = actor.receive() return req end)
      call_from_elsewhere(server, 1)
      expect_exited(server)
    end)

    it("is killed while it waits for a call of its own", function()
      local last = spawn(hoard)
      local server = spawn(function(to)
        actor.serve(function(m) return actor.call(to, m) end)
      end, last)
      call_from_elsewhere(server, 1)
      support.eventually(function() return actor.info(last).received == 1 end)
      stop(server)
      expect_exited(server)
      stop(last)
    end)

    it("is pre-empted for ever and killed", function()
      local server = spawn(function() actor.serve(function() while true do end end) end)
      call_from_elsewhere(server, 1)
      support.eventually(function() return actor.info(server).received == 1 end)
      stop(server)
      expect_exited(server)
    end)
  end)

  describe("fails with no_reply at once when its request", function()
    it("is collected unanswered", function()
      local server = spawn(function()
        actor.receive()
        collectgarbage()
        timer.sleep("1h")
      end)
      local _, message, code = actor.call(server, 1)
      assert.equal("no_reply", code)
      assert.equal(("%s dropped the request without a reply"):format(server), message)
      stop(server)
    end)

    it("is sent on in a message that nobody takes", function()
      local server = spawn(function()
        local dead = actor.spawn(function() timer.sleep("1h") end)
        local _, req = actor.receive()
        actor.send(dead, { req })
        req = nil -- luacheck: ignore
        collectgarbage()
        actor.exit(dead, "kill")
        timer.sleep("1h")
      end)
      assert.equal("no_reply", select(3, actor.call(server, 1)))
      stop(server)
    end)
  end)

  it("has its reply although the other side ends right after", function()
    for _ = 1, 50 do
      local server = spawn(function()
        local _, req = actor.receive()
        req:reply("last words")
      end)
      assert.equal("last words", actor.call(server, 1))
    end
  end)

  it("is answered once: later replies say so", function()
    local server = spawn(function()
      local _, req = actor.receive()
      local first, second = table.pack(req:reply(1)), table.pack(req:reply(2))
      local _, late = actor.receive()
      timer.sleep("20ms")
      local third = table.pack(late:reply(3))
      local _, last = actor.receive()
      last:reply { first, second, third }
    end)
    assert.equal(1, actor.call(server, "twice"))
    assert.equal("timeout", select(3, actor.call(server, "late", { timeout = "5ms" })))
    local results = actor.call(server, "results")
    assert.same({ n = 1, true }, results[1])
    assert.same({ n = 3, nil, "the request was answered before", "bad_request" }, results[2])
    assert.same({ n = 3, nil, "the caller no longer waits", "timeout" }, results[3])
  end)

  it("can be answered by another actor that the request was sent to", function()
    local worker = spawn(function()
      while true do
        local job = actor.receive()
        job.req:reply(job.n * 2, nil, nil)
      end
    end)
    local front = spawn(function(to)
      for n, req in actor.messages() do actor.send(to, { req = req, n = n }) end
    end, worker)
    assert.same({ 2, 4, 6 },
      { (actor.call(front, 1)), (actor.call(front, 2)), (actor.call(front, 3)) })
    stop(worker, front)
  end)

  it("shows who made it", function()
    local server = spawn(function()
      actor.serve(function(_, req) return { req.from, tostring(req) } end)
    end)
    local shown = actor.call(server, 1)
    assert.equal(actor.self(), shown[1])
    assert.equal(("request from %s"):format(actor.self()), shown[2])
    stop(server)
  end)

  it("raises when the reply cannot be copied, and the caller gets exited", function()
    local server = actor.spawn({ monitor = true }, function()
      actor.serve(function() return { inner = { print } } end)
    end)
    assert.equal("exited", select(3, actor.call(server, 1)))
    assert.matches("reply%.inner%[1%]: a function cannot be sent", (actor.receive()).error)
  end)

  it("survives being killed while it waits", function()
    local server = spawn(hoard)
    local caller = call_from_elsewhere(server, 1, { timeout = "1h" })
    support.eventually(function() return actor.info(server).received == 1 end)
    local ref = actor.monitor(caller)
    stop(caller)
    assert.equal("killed", support.down(ref).reason)
    stop(server)
  end)

  it("is taken back when its task is cancelled", function()
    local server = spawn(function()
      local _, req = actor.receive()
      timer.sleep("10ms")
      local result = table.pack(req:reply(1))
      local _, last = actor.receive()
      last:reply(result)
    end)
    local task = actor.task(function() return actor.call(server, 1) end)
    timer.sleep("2ms")
    task:cancel()
    assert.same({ n = 3, nil, "the caller no longer waits", "timeout" },
      actor.call(server, "result"))
  end)
end)

describe("the deadline of a call", function()
  -- The third of three servers never answers; each call gives itself an hour.
  local script = [[
    local actor, timer = require "perilune.actor", require "perilune.timer"
    local last = actor.spawn(function()
      local kept = {}
      while true do table.insert(kept, { actor.receive() }) end
    end)
    local function pass_on(to)
      return actor.spawn(function(next)
        actor.serve(function(message) return actor.call(next, message, { timeout = "1h" }) end)
      end, to)
    end
    local first = pass_on(pass_on(last))
    local start = timer.now()
    local caller = actor.task(function() return actor.call(first, "x", { timeout = "2s" }) end)
    print(select(3, caller:wait()), timer.now() - start)
    timer.sleep("1ms") -- the servers have given up as well: they answer again
    actor.exit(last, "kill")
    print(select(3, actor.call(first, "y", { timeout = "2s" })), timer.now() - start)
  ]]

  it("goes with it over three hops", function()
    local result = support.exec(script, "--virtual-time")
    assert.equal("", result.err)
    assert.equal("timeout\t2.0\nnoproc\t2.001\n", result.out)
  end)

  it("binds the tasks of who serves it, until the reply", function()
    local result = support.exec([[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local silent = actor.spawn(function()
        local kept = {}
        while true do table.insert(kept, { actor.receive() }) end
      end)
      local server = actor.spawn(function(silent)
        local bound, free
        local function ask()
          local start = timer.now()
          local code = select(3, actor.call(silent, 1, { timeout = "10s" }))
          return { code, timer.now() - start }
        end
        local _, req = actor.receive()
        local task = actor.task(ask)
        bound = task:wait()
        req:reply(nil, "too late")
        req = select(2, actor.receive())
        local after = actor.task(function() timer.sleep("1s") return ask() end)
        req:reply("accepted")
        free = after:wait()
        req = select(2, actor.receive())
        req:reply { bound, free }
      end, silent)
      print(select(3, actor.call(server, 1, { timeout = "2s" })))
      print(actor.call(server, 2, { timeout = "3s" }))
      local results = actor.call(server, 3, { timeout = "1h" })
      print(results[1][1], results[1][2], results[2][1], results[2][2])
    ]], "--virtual-time")
    assert.equal("", result.err)
    assert.equal("timeout\naccepted\ntimeout\t2.0\ttimeout\t10.0\n", result.out)
  end)

  it("does not bind timers that a handler starts", function()
    local result = support.exec([[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local slow = actor.spawn(function()
        actor.serve(function() timer.sleep("4s") return "slow" end)
      end)
      local server = actor.spawn(function(slow)
        actor.serve {
          start = function(parent)
            timer.after("1s", function() actor.send(parent, (actor.call(slow, 1))) end)
            timer.sleep("3s") -- the request is still being served when the timer calls
          end,
        }
      end, slow)
      actor.call(server, { "start", actor.self() }, { timeout = "4s" })
      print(actor.receive("1h"))
    ]], "--virtual-time")
    assert.equal("", result.err)
    assert.equal("slow\tnil\n", result.out)
  end)

  it("does not go with plain sends", function()
    local result = support.exec([[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local slow = actor.spawn(function()
        actor.serve(function() timer.sleep("4s") return "slow" end)
      end)
      local worker = actor.spawn(function(slow)
        while true do
          local to = actor.receive()
          actor.send(to, (actor.call(slow, 1)))
        end
      end, slow)
      local server = actor.spawn(function(worker)
        actor.serve(function(to) actor.send(worker, to) return "sent" end)
      end, worker)
      print(actor.call(server, actor.self(), { timeout = "1s" }))
      print(actor.receive("1h"))
    ]], "--virtual-time")
    assert.equal("", result.err)
    assert.equal("sent\nslow\tnil\n", result.out)
  end)
end)

describe("a cycle of calls", function()
  it("of an actor to itself is told at once", function()
    local _, message, code = actor.call(actor.self(), 1)
    assert.equal("call_cycle", code)
    assert.equal(("call to %s would wait for itself"):format(actor.self()), message)
  end)

  it("over two and three actors is told at once", function()
    local function ring(size)
      local pids = {}
      for i = 1, size do
        pids[i] = spawn(function()
          local next = actor.receive()
          actor.serve(function(message)
            local value, _, code = actor.call(next, message)
            return value or code
          end)
        end)
      end
      for i = 1, size do actor.send(pids[i], pids[i % size + 1]) end
      local answer = actor.call(pids[1], "round")
      stop(table.unpack(pids))
      return answer
    end
    assert.equal("call_cycle", ring(2))
    assert.equal("call_cycle", ring(3))
  end)

  it("is none when another task of the first actor receives", function()
    local first = spawn(function()
      local second = actor.receive()
      actor.task(function() actor.serve(function(m) return "the free task got " .. m end) end)
      local _, req = actor.receive() -- the main task is first in line
      req:reply((actor.call(second, "ball")))
      timer.sleep("1h")
    end)
    local second = spawn(function(to)
      actor.serve(function(m) return (actor.call(to, m)) end)
    end, first)
    actor.send(first, second)
    assert.equal("the free task got ball", actor.call(first, "start"))
    stop(first, second)
  end)

  it("to itself is none when another task receives", function()
    local task = actor.task(function()
      local message, req = actor.receive()
      req:reply(message + 1)
    end)
    timer.sleep("1ms")
    assert.equal(8, actor.call(actor.self(), 7))
    task:wait()
  end)

  it("is found through tasks that serve", function()
    local server = spawn(function()
      actor.serve(function(parent)
        local task = actor.task(function()
          return select(3, actor.call(parent, 1, { timeout = "1s" }))
        end)
        return task:wait()
      end)
    end)
    -- the caller's only task waits in this call
    assert.equal("call_cycle", support.in_actor(function(to)
      return actor.call(to, actor.self())
    end, server))
    stop(server)
  end)
end)
