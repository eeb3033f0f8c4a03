local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

-- A server that answers one request for a stream with `fn(stream, message)`.
local function serve(fn, ...)
  return actor.spawn(function(body, ...)
    local message, req = actor.receive()
    local stream = req:stream() -- nothing when the reader has closed it already
    if stream then body(stream, message, ...) end
  end, fn, ...)
end

local function results(...) return table.pack(...) end

describe("a stream of an actor", function()
  local it = support.tidy(it)

  it("carries values in order, then ends", function()
    local server = serve(function(stream, count)
      for i = 1, count do stream:write { i } end
      stream:close()
    end)
    local stream = actor.stream(server, 100)
    for i = 1, 100 do assert.same({ i }, stream:read()) end
    assert.same(results(nil), results(stream:read()))
    assert.same(results(nil), results(stream:read()))
  end)

  it("is read by a for loop, that ends with it", function()
    local sum = 0
    for x in actor.stream(serve(function(stream)
      for i = 1, 50 do stream:write(i) end stream:close()
    end), 1) do
      sum = sum + x
    end
    assert.equal(1275, sum)
  end)

  it("carries false, empty strings and tables, but no nil", function()
    local server = serve(function(stream)
      stream:write(false)
      stream:write("")
      stream:write {}
      stream:write { ok = pcall(stream.write, stream, nil),
        why = select(2, pcall(stream.write, stream, nil)) }
      stream:close()
    end)
    local stream = actor.stream(server, 1)
    assert.is_false(stream:read())
    assert.equal("", stream:read())
    assert.same({}, stream:read())
    local refused = stream:read()
    assert.is_false(refused.ok)
    assert.matches("nil is the end of a stream: use close", refused.why)
  end)

  it("goes both ways", function()
    local server = serve(function(stream)
      for x in stream do stream:write(x * 2) end
      stream:close()
    end)
    local stream = actor.stream(server, 1)
    for i = 1, 100 do
      assert.is_true(stream:write(i))
      assert.equal(2 * i, stream:read())
    end
    stream:close()
  end)

  it("lets the writer be as far ahead as the credit", function()
    for _, credit in ipairs { 1, 2, 16, 100 } do
      local server = serve(function(stream, _, parent)
        for i = 1, 300 do
          stream:write(i)
          actor.send(parent, i)
        end
      end, actor.self())
      local stream = actor.stream(server, 1, { credit = credit })
      local function written()
        local last
        repeat
          local n = actor.receive("20ms")
          last = n or last
        until not n
        return last
      end
      assert.equal(credit, written())
      for i = 1, credit do assert.equal(i, stream:read()) end
      assert.equal(2 * credit, written())
      stream:close()
      while actor.receive(0) do end
    end
  end)

  it("has a credit of 16 if nobody says otherwise", function()
    local server = serve(function(stream, _, parent)
      for i = 1, 100 do
        stream:write(i)
        actor.send(parent, i)
      end
    end, actor.self())
    local stream = actor.stream(server, 1)
    local last
    repeat
      local n = actor.receive("20ms")
      last = n or last
    until not n
    assert.equal(16, last)
    stream:close()
    while actor.receive(0) do end
  end)

  it("checks its options", function()
    assert.has_error(function() actor.stream(actor.self(), 1, { credits = 1 }) end,
      "unknown option 'credits' (did you mean 'credit'?)")
    for _, credit in ipairs { 0, 65537, 1.5, "x" } do
      assert.has_error(function() actor.stream(actor.self(), 1, { credit = credit }) end)
    end
    assert.has_error(function()
      actor.stream(actor.self())
    end, "bad argument #2 to 'stream' (value expected)")
  end)

  it("tells the writer at once that its reader has closed", function()
    local server = serve(function(stream, _, parent)
      stream:write(1)
      local result
      repeat result = table.pack(stream:write(2)) until not result[1]
      actor.send(parent, result)
    end, actor.self())
    local stream = actor.stream(server, 1)
    assert.equal(1, stream:read())
    assert.is_true(stream:close())
    assert.is_true(stream:close())
    assert.same(results(nil, "the reader has gone", "cancelled"), (actor.receive("5s")))
    assert.same(results(nil, "the stream is closed", "closed"), results(stream:read()))
    assert.same(results(nil, "the stream is closed", "closed"), results(stream:write(1)))
  end)

  it("is closed by a break out of its loop, and by an error in it", function()
    for _, leave in ipairs { function() return "break" end, function() error("out") end } do
      local server = serve(function(stream, _, parent)
        repeat local ok, _, code = stream:write(1) until not ok and actor.send(parent, code)
      end, actor.self())
      pcall(function()
        for _ in actor.stream(server, 1) do
          if leave() == "break" then break end
        end
      end)
      assert.equal("cancelled", actor.receive("5s"))
    end
  end)

  it("is closed by its <close> variable and by its collection", function()
    for _, hold in ipairs {
      function(server) local stream <close> = actor.stream(server, 1) stream:read() end,
      function(server) actor.stream(server, 1):read() collectgarbage() end,
    } do
      local server = serve(function(stream, _, parent)
        repeat local ok, _, code = stream:write(1) until not ok and actor.send(parent, code)
      end, actor.self())
      hold(server)
      collectgarbage()
      assert.equal("cancelled", actor.receive("5s"))
    end
  end)

  it("ends with the writer's error, after what was written before", function()
    local server = serve(function(stream)
      stream:write(1)
      stream:close("out of stock", "not_found")
    end)
    local stream = actor.stream(server, 1)
    assert.equal(1, stream:read())
    assert.same(results(nil, "out of stock", "not_found"), results(stream:read()))
    assert.same(results(nil, "out of stock", "not_found"), results(stream:read()))
    assert.same(results(nil, "out of stock", "not_found"), results(stream:write(2)))
  end)

  it("keeps codes that are not ours, and has one where none is given", function()
    for _, case in ipairs {
      { { "why", "my_code" }, { "why", "my_code" } },
      { { "why" }, { "why", "error" } },
      { { nil, "timeout" }, { "timed out", "timeout" } },
    } do
      local server = serve(function(stream, close) stream:close(close[1], close[2]) end)
      local stream = actor.stream(server, case[1])
      assert.same(results(nil, case[2][1], case[2][2]), results(stream:read()))
    end
  end)

  it("raises its error in a for loop", function()
    local server = serve(function(stream)
      stream:write(1)
      stream:close("out of stock", "not_found")
    end)
    local seen = {}
    local ok, message = pcall(function()
      for x in actor.stream(server, 1) do table.insert(seen, x) end
    end)
    assert.is_false(ok)
    assert.matches("out of stock %(not_found%)$", message)
    assert.same({ 1 }, seen)
  end)

  it("ends with exited when the writer dies, after what was written before", function()
    local server = actor.spawn({ monitor = true }, function()
      local _, req = actor.receive()
      local stream = req:stream()
      stream:write(1)
      error("the writer breaks")
    end)
    local stream = actor.stream(server, 1)
    assert.equal(1, stream:read())
    assert.same(results(nil, "the actor exited before it replied", "exited"),
      results(stream:read()))
    assert.matches("the writer breaks", (actor.receive("5s")).error)
  end)

  it("tells the writer that the reader has died", function()
    local server = serve(function(stream, _, parent)
      repeat local ok, _, code = stream:write(1) until not ok and actor.send(parent, code)
    end, actor.self())
    local reader = actor.spawn(function(to)
      local stream = actor.stream(to, 1)
      stream:read()
      timer.sleep("1h")
    end, server)
    timer.sleep("2ms")
    actor.exit(reader, "kill")
    assert.equal("exited", actor.receive("5s"))
  end)

  it("to a reader that died before the answer came is told so", function()
    for _ = 1, 50 do
      local server = actor.spawn(function(parent)
        local _, req = actor.receive()
        actor.send(parent, "asked")
        actor.receive() -- "now": the reader's end is under way
        local stream, _, code = req:stream()
        while stream do
          local ok
          ok, _, code = stream:write(1)
          if not ok then break end
        end
        actor.send(parent, code)
      end, actor.self())
      local reader = actor.spawn(function(to)
        local stream = actor.stream(to, 1)
        stream:read()
      end, server)
      assert.equal("asked", actor.receive("5s"))
      actor.send(server, "now")
      actor.exit(reader, "kill")
      local code = actor.receive("5s")
      assert(code == "exited" or code == "timeout" or code == "cancelled", tostring(code))
    end
  end)

  it("is a value and an end when the answer is a plain reply", function()
    local server = actor.spawn(function() actor.serve(function(x) return x end) end)
    local stream = actor.stream(server, "just this")
    assert.same(results("just this"), results(stream:read()))
    assert.same(results(nil), results(stream:read()))
    actor.exit(server, "kill")
  end)

  it("fails when the answer is an error", function()
    local server = actor.spawn(function() actor.serve {} end)
    local stream = actor.stream(server, { "unknown" })
    assert.same(results(nil, "unknown request: unknown", "bad_request"), results(stream:read()))
    actor.exit(server, "kill")
  end)

  it("cannot be the answer to a call", function()
    local server = actor.spawn(function()
      local _, req = actor.receive()
      req:reply { req:stream() }
    end)
    assert.same({ [2] = "the caller made a call, not a stream", [3] = "bad_request" },
      actor.call(server, 1))
  end)

  it("answers a request once", function()
    local server = actor.spawn(function()
      local _, req = actor.receive()
      local stream = req:stream()
      stream:write { req:stream() }
      stream:write { req:reply(1) }
    end)
    local stream = actor.stream(server, 1)
    local expected = { [2] = "the request was answered before", [3] = "bad_request" }
    assert.same(expected, stream:read())
    assert.same(expected, stream:read())
  end)

  it("to nobody is noproc", function()
    local dead = actor.spawn(function() end)
    support.down(actor.monitor(dead))
    assert.same(results(nil, "no such actor: " .. tostring(dead), "noproc"),
      results(actor.stream(dead, 1)))
    assert.same(results(nil, "no such actor: nobody", "noproc"), results(actor.stream("nobody", 1)))
  end)

  it("to a full mailbox is mailbox_full", function()
    local full = actor.spawn({ mailbox = { capacity = 1 } }, function() timer.sleep("1h") end)
    actor.send(full, 1)
    assert.equal("mailbox_full", select(3, actor.stream(full, 1)))
    actor.exit(full, "kill")
  end)

  it("that nobody answers in time fails with timeout", function()
    assert.equal("2.0 timeout 5.0 timeout\n", support.virtual [[
      local silent = actor.spawn(function()
        local kept = {}
        while true do table.insert(kept, { actor.receive() }) end
      end)
      local start = timer.now()
      local _, _, code = actor.stream(silent, 1, { timeout = "2s" }):read()
      io.write(tostring(timer.now() - start), " ", code, " ")
      start = timer.now()
      _, _, code = actor.stream(silent, 1):read()
      print(timer.now() - start .. " " .. code)
    ]])
  end)

  it("has the deadline of the request that is being served", function()
    assert.equal("timeout 1.0\n", support.virtual [[
      local silent = actor.spawn(function()
        local kept = {}
        while true do table.insert(kept, { actor.receive() }) end
      end)
      local server = actor.spawn(function(to, parent)
        actor.serve(function()
          local code = select(3, actor.stream(to, 1, { timeout = "1h" }):read())
          actor.send(parent, code .. " " .. timer.now())
        end)
      end, silent, actor.self())
      actor.call(server, 1, { timeout = "1s" })
      print((actor.receive()))
    ]])
  end)

  it("is read within a time", function()
    local server = serve(function(stream)
      timer.sleep("20ms")
      stream:write("late")
      timer.sleep("1h")
    end)
    local stream = actor.stream(server, 1)
    assert.same(results(nil, "nothing to read in time", "timeout"), results(stream:read("1ms")))
    assert.same(results(nil, "nothing to read in time", "timeout"), results(stream:read(0)))
    assert.equal("late", stream:read("10s"))
    actor.exit(server, "kill")
  end)

  it("is read by one task at a time", function()
    local server = serve(function() timer.sleep("1h") end)
    local stream = actor.stream(server, 1)
    local task = actor.task(function() return stream:read() end)
    timer.sleep("1ms")
    assert.has_error(function() stream:read() end, "read: another task is reading this stream")
    stream:close()
    assert.equal("closed", select(3, task:wait()))
    actor.exit(server, "kill")
  end)

  it("raises what cannot be written, and goes on", function()
    local server = serve(function(stream)
      local ok, message = pcall(stream.write, stream, { a = { print } })
      stream:write { ok, message }
    end)
    local stream = actor.stream(server, 1)
    local result = stream:read()
    assert.is_false(result[1])
    assert.matches("value%.a%[1%]: a function cannot be sent", result[2])
  end)

  it("may wait in close variables of the dead no more", function()
    local server = serve(function() timer.sleep("1h") end)
    local down = support.end_of(function(to, parent)
      local stream = actor.stream(to, 1)
      local _ <close> = support.closer(function()
        actor.send(parent, { select(3, stream:read()), select(3, actor.stream(to, 2)) })
      end)
      actor.exit(actor.self(), "shutdown")
    end, server, actor.self())
    assert.equal("shutdown", down.reason)
    assert.same({ "closed", "exited" }, (actor.receive("5s")))
    actor.exit(server, "kill")
  end)

  it("carries requests, which can be answered", function()
    local caller = actor.spawn(function(to, parent)
      actor.send(parent, { actor.call(to, "question") })
    end,
      actor.self(), actor.self())
    local _, question = actor.receive("5s")
    local server = serve(function(stream)
      local req = stream:read()
      req:reply("answered over a stream")
    end)
    local stream = actor.stream(server, 1)
    stream:write(question)
    question = nil -- luacheck: ignore
    assert.same({ "answered over a stream" }, (actor.receive("5s")))
    assert.is_nil(actor.whereis(tostring(caller)))
  end)

  it("that is collected with a request unread drops it", function()
    local caller = actor.task(function() return select(3, actor.call(actor.self(), "question")) end)
    local _, question = actor.receive("5s")
    local server = serve(function() timer.sleep("1h") end)
    local stream = actor.stream(server, 1)
    stream:write(question)
    question = nil -- luacheck: ignore
    collectgarbage()
    actor.exit(server, "kill")
    local code = caller:wait("5s")
    assert(code == "no_reply" or code == "exited", tostring(code))
  end)

  it("is refused as an argument that is none", function()
    local stream = actor.stream(serve(function(s) s:read() s:close() end), 1)
    assert.has_error(function() stream.read({}) end,
      "bad argument #1 to 'read' (stream expected, got table)")
    assert.has_error(function() stream.write() end)
    assert.matches("^stream: ", tostring(stream))
    stream:close()
  end)
end)
