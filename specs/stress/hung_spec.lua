-- A worker that is stuck where nothing can be interrupted: the watchdog names it, Ctrl-C still ends
-- the program, and past the hard limit the program ends by itself.

local process = require "perilune.process"
local support = require "specs.support"

-- What hangs, and how it is named.
local hangs = {
  ["a C function that computes"] = {
    [[
      local pattern = (".-"):rep(30) .. "b"
      print "it begins"
      string.find(("a"):rep(200), pattern)
    ]],
    "C function 'find', called at FILE:6",
  },
  ["a C function that waits"] = {
    [[
      print "it begins"
      io.popen("sleep 100"):read("a")
    ]],
    "C function 'read', called at FILE:5",
  },
  ["a finalizer"] = {
    [[
      setmetatable({}, { __gc = function()
        print "it begins"
        while true do end
      end })
      collectgarbage()
    ]],
    "function '__gc' at FILE:6",
  },
}

-- On the worker of the script itself, or on another one.
local placed = {
  ["its only worker"] = { "1", "hang()" },
  ["another worker"] = {
    "2", "require('perilune.actor').spawn({ name = 'hung', on = 1 }, hang) "
      .. "require('perilune.timer').sleep('1h')",
  },
}

-- The hung program; it is ended with the variable.
local function start(hang, place, limit)
  local script = "io.stdout:setvbuf('line')\n\nlocal function hang()\n%s\nend\n%s"
  local file = support.file(script:format(hang[1], place[2]))
  local proc = assert(process.spawn {
    support.perilune, "exec", "--workers", place[1], file,
    env = { PERILUNE_STUCK_LIMIT = limit or "10m" },
    ready = { log = "^it begins", timeout = "30s" },
    shutdown = 0.1,
  })
  os.remove(file)
  return proc, (hang[2]:gsub("FILE", file))
end

local function find(proc, text)
  return support.eventually(function() return proc:output():find(text, 1, true) end, text)
end

describe("a worker that hangs", function()
  for place_name, place in pairs(placed) do
    for name, hang in pairs(hangs) do
      it(("in %s on %s is named, and Ctrl-C ends it"):format(name, place_name), function()
        local proc <close>, named = start(hang, place)
        find(proc, named)
        find(proc, "has been stuck for")
        proc:kill("INT") -- in order, which the hung one does not know
        support.eventually(function()
          proc:kill("INT")
          return proc:wait("20ms")
        end, "the end")
        assert.equal(105, proc.exit_code)
      end)
    end
  end

  it("past the limit ends the program with its name", function()
    local proc <close>, named = start(hangs["a finalizer"], placed["another worker"], "1500ms")
    assert.equal(109, proc:wait("30s"))
    local last = proc:output():match("([^\n]*)\n$")
    local head = "^perilune: stuck past the limit in actor <pid [%d.]+> hung: "
    assert.is_truthy(last:match(head), last)
    assert.is_truthy(last:find(named, 1, true), last)
  end)

  it("does not hinder the others", function()
    local file = support.file([[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local hung = actor.spawn({ on = 1 }, function()
        setmetatable({}, { __gc = function() while true do end end })
        collectgarbage()
      end)
      local echo = actor.spawn({ on = 0 }, function() actor.serve(function(m) return m end) end)
      timer.sleep("50ms")
      for i = 1, 1000 do assert(actor.call(echo, i) == i) end
      assert(select(3, actor.call(hung, 1, { timeout = "50ms" })) == "timeout")
      print "they go on"
    ]])
    local proc <close> = assert(process.spawn {
      support.perilune, "exec", "--workers", "2", "--log-level", "none", file, shutdown = 0.1,
    })
    find(proc, "they go on")
    os.remove(file)
  end)
end)
