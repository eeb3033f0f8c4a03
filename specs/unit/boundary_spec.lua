-- Where Lua cannot suspend (docs/boundaries.md): every blocking call raises there and names the
-- boundary.

local actor = require "perilune.actor"
local timer = require "perilune.timer"
local support = require "specs.support"

local in_actor = support.in_actor

-- Each runs `call` inside the boundary; what `call` raised comes out as an error or as a result.
local boundaries = {
  ["table.sort"] = function(call)
    table.sort({ 3, 2, 1 }, function(a, b) call() return a < b end)
  end,
  ["string.gsub"] = function(call) string.gsub("abc", ".", call) end,
  ["tostring"] = function(call) tostring(setmetatable({}, { __tostring = call })) end,
  ["print"] = function(call) print(setmetatable({}, { __tostring = call })) end,
  ["string.format"] = function(call)
    string.format("%s", setmetatable({}, { __tostring = call }))
  end,
  ["ipairs"] = function(call) for _ in ipairs(setmetatable({}, { __index = call })) do end end,
  ["load"] = function(call) return select(2, load(call)) end,
  ["table.concat"] = function(call)
    table.concat(setmetatable({}, { __index = call, __len = function() return 2 end }))
  end,
  ["table.insert"] = function(call) table.insert(setmetatable({}, { __newindex = call }), 1) end,
  ["table.remove"] = function(call)
    table.remove(setmetatable({}, { __index = call, __len = function() return 2 end }))
  end,
  ["table.unpack"] = function(call) table.unpack(setmetatable({}, { __index = call }), 1, 1) end,
  ["table.move"] = function(call) table.move(setmetatable({}, { __index = call }), 1, 1, 2) end,
  ["__gc"] = function(call)
    local raised
    do setmetatable({}, { __gc = function() raised = select(2, pcall(call)) end }) end
    collectgarbage()
    collectgarbage()
    return raised
  end,
  ["a message handler"] = function(call)
    return select(2, xpcall(error, function() return select(2, pcall(call)) end))
  end,
  ["a debug hook"] = function(call)
    local raised
    debug.sethook(function()
      debug.sethook()
      raised = select(2, pcall(call))
    end, "", 1)
    for _ = 1, 10 do end
    return raised
  end,
  ["coroutine.close"] = function(call)
    local co = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function() call() end })
      coroutine.yield()
    end)
    coroutine.resume(co)
    return select(2, coroutine.close(co))
  end,
  ["coroutine.wrap"] = function(call)
    coroutine.wrap(function()
      local _ <close> = setmetatable({}, { __close = function() call() end })
      error("the coroutine fails")
    end)()
  end,
}

-- A handler of a runtime error runs on top of a Lua function, not of `error`.
local also = {
  ["a message handler"] = function(call)
    local function broken(x) return x.y.z end
    return select(2, xpcall(broken, function() return select(2, pcall(call)) end, {}))
  end,
  -- the boundary is found through coroutines within it
  ["table.sort"] = function(call)
    table.sort({ 3, 2, 1 }, function(a, b)
      coroutine.wrap(function() coroutine.wrap(call)() end)()
      return a < b
    end)
  end,
}

local calls = {
  sleep = function() timer.sleep(0.001) end,
  receive = function() actor.receive("1ms") end,
  receive_match = function() actor.receive_match(function() return false end, "1ms") end,
  serve = function() actor.serve({}) end,
  call = function() actor.call(actor.spawn(function() end), 1, { timeout = "1ms" }) end,
  info = function() actor.info(actor.spawn(function() end)) end,
  wait = function() actor.task(function() actor.receive() end):wait("1ms") end,
  read = function() actor.stream("specs.sink", "x"):read("1ms") end,
  write = function() actor.stream("specs.sink", "x"):write(1) end,
}

local function message_of(boundary, call)
  return in_actor(function(run, blocking)
    local ok, result = pcall(run, blocking)
    return (ok and "" or "raised ") .. tostring(result)
  end, boundary, call)
end

local function expect(name, boundary, call_name)
  it(("stops %s inside %s"):format(call_name, name), function()
    local message = message_of(boundary, calls[call_name])
    local expected = ("%s: cannot wait inside %s, which Lua cannot suspend"):format(call_name, name)
    assert(message:find(expected, 1, true), message)
  end)
end

describe("a boundary", function()
  local sink
  setup(function()
    sink = actor.spawn({ name = "specs.sink", mailbox = { overflow = "drop_oldest" } }, function()
      timer.sleep("1h")
    end)
  end)
  teardown(function() actor.exit(sink, "kill") end)

  for name, boundary in pairs(boundaries) do
    for call_name in pairs(calls) do expect(name, boundary, call_name) end
  end
  for name, boundary in pairs(also) do expect(name, boundary, "sleep") end

  it("is not where Lua can suspend", function()
    local done = in_actor(function()
      local list = {}
      local function wait(value)
        timer.sleep("1ms")
        table.insert(list, value)
        return value
      end
      local function object(metatable) return setmetatable({}, metatable) end
      pcall(wait, "pcall")
      xpcall(wait, print, "xpcall")
      local _ = object { __index = function() return wait("index") end }.x
      object { __newindex = function() wait("newindex") end }.x = 1
      _ = object { __add = function() return wait("add") end } + 1
      _ = object { __concat = function() return wait("concat") end } .. "x"
      _ = object { __eq = function() return wait("eq") end } == object {}
      _ = object { __lt = function() return wait("lt") end } < object {}
      _ = #object { __len = function() return wait("len") end }
      object { __call = function() wait("call") end }()
      for _ in function(_, last) return not last and wait("iterator") or nil end do end
      for _ in pairs(object { __pairs = function() wait("pairs") return next, {} end }) do end
      do
        local _ <close> = object { __close = function() wait("close") end }
      end
      pcall(function()
        local _ <close> = object { __close = function() wait("close of an error") end }
        error("x")
      end)
      coroutine.wrap(function() coroutine.wrap(function() wait("coroutine") end)() end)()
      load(function() end)
      load("local wait = ... wait('load')")(wait)
      return list
    end)
    assert.same({
      "pcall", "xpcall", "index", "newindex", "add", "concat", "eq", "lt", "len", "call",
      "iterator",
      "pairs", "close", "close of an error", "coroutine", "load",
    }, done)
  end)

  it("lets through what does not have to wait", function()
    local received = in_actor(function()
      local list = {}
      for i = 1, 3 do actor.send(actor.self(), i) end
      ;("abc"):gsub(".", function() table.insert(list, (actor.receive())) end)
      return list
    end)
    assert.same({ 1, 2, 3 }, received)
  end)

  it("makes a send to a full mailbox that blocks answer at once", function()
    local result = in_actor(function()
      local full = actor.spawn({ mailbox = { capacity = 1, overflow = "block" } }, function()
        timer.sleep("1h")
      end)
      actor.send(full, 1)
      local answer
      ;("a"):gsub(".", function() answer = table.pack(actor.send(full, 2)) end)
      actor.exit(full, "kill")
      return answer
    end)
    assert.is_nil(result[1])
    assert.equal("mailbox_full", result[3])
  end)
end)
