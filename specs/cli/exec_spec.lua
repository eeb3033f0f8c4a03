-- perilune exec: plain Lua programs: arguments, exit codes, errors, flags, signals.
local support = require "specs.support"

local exec, shell, quote = support.exec, support.shell, support.quote
local PERILUNE = quote(support.perilune)

-- Asserts all of a result; the script's path is shown as "script.lua".
local function same(expected, result)
  local pattern = (result.path or ""):gsub("%p", "%%%0")
  if pattern ~= "" then
    result.out, result.err = result.out:gsub(pattern, "script.lua"), result.err:gsub(pattern,
      "script.lua")
  end
  assert.same(expected, { result.code, result.out, result.err })
end

describe("exec's arguments", function()
  it("are ... and arg, whatever they look like", function()
    local path = support.file [[print(#arg, arg[0] ~= nil, ...) print(arg[1], arg[2], arg[3])]]
    local result = support.run("exec", path, "one", "two three", "--workers")
    os.remove(path)
    same({ 0, "3\ttrue\tone\ttwo three\t--workers\none\ttwo three\t--workers\n", "" }, result)
  end)

  it("may follow --", function()
    local path = support.file [[print(...)]]
    local result = support.run("exec", "--workers", "1", "--", path, "--", "-x")
    os.remove(path)
    same({ 0, "--\t-x\n", "" }, result)
  end)
end)

describe("exec's program", function()
  it("comes from standard input as -", function()
    same({ 5, "-\ta\tb\n", "" }, shell(
      [[printf '#! line\nprint(arg[0], ...)\nreturn 5' | ]] .. PERILUNE .. " exec - a b"))
    same({ 0, "", "" }, shell(PERILUNE .. " exec - </dev/null"))
    same({ 107, "", "perilune: stdin:2: here\nstack traceback:\n\t[C]: in global 'error'\n"
      .. "\tstdin:2: in main chunk\n" },
      shell([[printf '# x\nerror("here")' | ]] .. PERILUNE .. " exec -"))
    same({ 104, "", "perilune exec: cannot read standard input: File too large\n" },
      shell("head -c 67108865 /dev/zero | " .. PERILUNE .. " exec -"))
  end)

  it("finds modules beside it, and has the standard library", function()
    local path = support.file [[return { name = ... }]]
    os.rename(path, path .. "_beside.lua")
    local name = path:match("[^/]+$") .. "_beside"
    same({ 0, name .. "\ttable\tLua 5.4\n", "" }, exec(
      ('print(require("%s").name, type(debug), _VERSION)'):format(name)))
    os.remove(path .. "_beside.lua")
  end)

  it("is over when it returns: its actors and timers go", function()
    same({ 0, "begun\n", "" }, exec [[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local parent = actor.self()
      actor.spawn(function() actor.send(parent, "begun") timer.sleep("1h") end)
      timer.after("1h", print)
      actor.task(function() timer.sleep("1h") end)
      print((actor.receive("30s")))
    ]])
  end)
end)

describe("exec's exit code", function()
  local cases = {
    { "", 0 }, { "return 0", 0 }, { "return 3", 3 }, { "return 255", 255 },
    { "return 7.0", 7 }, { "return true", 0 }, { "return false", 1 }, { "return 'text'", 0 },
    { "return nil", 0 }, { "return 256", 255 }, { "return -1", 255 }, { "return 1 << 32", 255 },
    { "os.exit()", 0 }, { "os.exit(true)", 0 }, { "os.exit(false)", 1 }, { "os.exit(3)", 3 },
    { "os.exit(256)", 255 }, { "os.exit(-1)", 255 }, { "os.exit(1 << 32)", 255 },
    { "pcall(os.exit, 4) return 5", 4 },
    { "require 'perilune.actor'.task(os.exit, 6) require 'perilune.timer'.sleep(60)", 6 },
    { [[local actor = require "perilune.actor"
        actor.spawn(function() os.exit(8) end) actor.receive("60s")]], 8 },
  }
  for _, case in ipairs(cases) do
    it(("of `%s` is %d"):format(case[1]:gsub("%s+", " "), case[2]), function()
      same({ case[2], "", "" }, exec(case[1]))
    end)
  end
end)

describe("exec's errors", function()
  it("of syntax are one line with file and line, exit 107", function()
    same({ 107, "", "perilune: script.lua:2: unexpected symbol near '='\n" },
      exec "local a = 1\nlocal b = = 2")
  end)

  it("that nobody catches have their traceback, exit 107", function()
    same({ 107, "before\n", "perilune: script.lua:3: over here\nstack traceback:\n"
      .. "\t[C]: in global 'error'\n\tscript.lua:3: in local 'deep'\n"
      .. "\tscript.lua:5: in main chunk\n" },
      exec 'print("before")\nlocal function deep()\n  error("over here")\nend\ndeep()')
  end)

  it("may be any value", function()
    local first = function(result) return result.err:match("^[^\n]*"), result.code end
    assert.same({ "perilune: mine", 107 }, { first(exec
      'error(setmetatable({}, { __tostring = function() return "mine" end }))') })
    assert.same({ "perilune: nil", 107 }, { first(exec "error()") })
  end)

  it("in a task end the program, in an actor that actor", function()
    local result = exec [[
      require "perilune.actor".task(function() error("in a task") end)
      require "perilune.timer".sleep("60s")
    ]]
    assert.equal(107, result.code)
    assert.matches("^perilune: [^\n]*:1: in a task\n", result.err)
    result = exec [[
      local actor = require "perilune.actor"
      actor.spawn({ monitor = true, name = "frail" }, function() error("in an actor") end)
      print(actor.receive("30s").reason)
      actor.spawn({ name = "lonely" }, function() error("unseen") end)
      while actor.whereis("lonely") do require "perilune.timer".sleep("1ms") end
    ]]
    assert.same({ 0, "error\n" }, { result.code, result.out })
    assert.matches("lonely ended: [^\n]*:4: unseen\n", result.err)
    assert.is_nil(result.err:find("in an actor", 1, true))
  end)

  it("of files that cannot be read are one line, exit 104", function()
    same({ 104, "", "perilune exec: cannot read no/such.lua: No such file or directory\n" },
      support.run("exec", "no/such.lua"))
    same({ 104, "", "perilune exec: cannot read /tmp: Is a directory\n" },
      support.run("exec", "/tmp"))
  end)

  it("of require name the places that were searched", function()
    local result = exec "require 'no.such'"
    assert.equal(107, result.code)
    assert.matches("^perilune: [^\n]*:1: module 'no.such' not found:\n", result.err)
  end)

  it("of a program without memory end it, exit 107", function()
    local result = exec [[
      local actor = require "perilune.actor"
      local _, _, _, ref = actor.spawn({ memory_limit = "1MB", monitor = true }, function()
        local t = {}
        for i = 1, math.huge do t[i] = ("x"):rep(1000) .. i end
      end)
      print(actor.receive("30s").error)
    ]]
    assert.equal("not enough memory\n", result.out)
  end)

  it("of a stdout that cannot be written are told, exit 107", function()
    local script = support.file "for i = 1, 10000 do print(i) end"
    local result = shell(("%s exec %s >/dev/full"):format(PERILUNE, script))
    assert.equal(107, result.code)
    assert.matches("^perilune: cannot write to stdout: [^\n]+\n$", result.err)
    result = shell(("{ %s exec %s; echo $? >&2; } | head -n 1"):format(PERILUNE, script))
    assert.matches("^perilune: cannot write to stdout: [^\n]+\n107\n$", result.err)
    os.remove(script)
  end)
end)

describe("exec's flags", function()
  local function usage(message, ...)
    same({ 104, "", ("perilune exec: %s (see perilune help exec)\n"):format(message) },
      support.run("exec", ...))
  end

  it("are refused when wrong, with what was expected", function()
    usage("which file?")
    usage("unknown flag --wrkers, did you mean --workers?", "--wrkers", "2", "x.lua")
    usage("unknown flag -x", "-x", "x.lua")
    for _, bad in ipairs { "0", "65", "-1", "two", "1.5", " 1", "" } do
      usage(("--workers %s: a number from 1 to 64 was expected"):format(bad), "--workers", bad,
        "x.lua")
    end
    usage("--workers needs a value: --workers N", "--workers")
    for _, bad in ipairs { "-1", "18446744073709551616", "x" } do
      usage(("--seed %s: a whole number from 0 to 18446744073709551615 was expected"):format(bad),
        "--seed=" .. bad, "x.lua")
    end
    usage("--virtual-time takes no value", "--virtual-time=1", "x.lua")
    usage("--log-level loud: debug, info, warn, error or none was expected", "--log-level",
      "loud", "x.lua")
    usage("--log-format xml: text or json was expected", "--log-format", "xml", "x.lua")
    usage("--log-output /no/such/file: No such file or directory", "--log-output",
      "/no/such/file", "x.lua")
  end)

  it("set the number of workers", function()
    local script = [[
      local actor = require "perilune.actor"
      local n = tonumber(...)
      for i = 0, n - 1 do assert(actor.spawn({ on = i }, function() end)) end
      print(pcall(actor.spawn, { on = n }, function() end))
    ]]
    for _, n in ipairs { "1", "2", "64" } do
      local path = support.file(script)
      local result = support.run("exec", "--workers", n, path, n)
      os.remove(path)
      assert.same({ 0, "" }, { result.code, result.err })
      assert.matches("^false\t", result.out)
    end
  end)

  it("fix what is random", function()
    local script = [[
      for i = 1, 5 do io.write(math.random(1000000), " ") end
      local t = {}
      for i = 1, 50 do t["key" .. i] = i end
      for key in pairs(t) do io.write(key, " ") end
    ]]
    local one = exec(script, "--seed", "7", "--virtual-time")
    assert.equal(0, one.code, one.err)
    assert.equal(one.out, exec(script, "--seed=7", "--virtual-time").out)
    assert.not_equal(one.out, exec(script, "--seed", "8", "--virtual-time").out)
    assert.not_equal(exec(script).out, exec(script).out)
  end)

  it("make time virtual", function()
    same({ 0, "86400.0\n", "" }, exec([[
      local timer = require "perilune.timer"
      local start = timer.now()
      timer.sleep("24h")
      print(timer.now() - start)
    ]], "--virtual-time"))
  end)

  it("say what is logged, how, and where", function()
    local script = [[
      local log = require "perilune.log"
      log.debug("d") log.info("i") log.warn("w") log.error("e")
    ]]
    local function messages(...)
      local found = {}
      for level in exec(script, "--log-format=json", ...).err:gmatch('"msg":"(%w)"') do
        found[#found + 1] = level
      end
      return table.concat(found)
    end
    assert.equal("iwe", messages())
    assert.equal("diwe", messages("--log-level", "debug"))
    assert.equal("we", messages("--log-level", "warn"))
    assert.equal("e", messages("--log-level", "error"))
    assert.equal("", messages("--log-level", "none"))
    assert.matches("warn", exec(script, "--log-output", "stdout").out)
    local path = os.tmpname()
    same({ 0, "", "" }, exec(script, "--log-output", path))
    local file = assert(io.open(path))
    assert.equal(3, select(2, file:read("a"):gsub("\n", "")))
    file:close()
    os.remove(path)
  end)
end)

describe("exec's signals", function()
  -- Runs a script that prints "ready", then shell code with $pid; the exit code is the script's.
  local function signalled(script, signals)
    local path = support.file(script)
    local result = shell(([[
      out=$(mktemp)
      %s exec %s >$out & pid=$!
      for i in $(seq 3000); do grep -q ready $out && break; sleep 0.01; done
      %s
      wait $pid; code=$?
      cat $out; rm $out
      exit $code]]):format(PERILUNE, quote(path), signals))
    os.remove(path)
    return result
  end

  local READY = [[
    local timer = require "perilune.timer"
    io.stdout:setvbuf("line")
    print("ready")
  ]]

  it("INT and TERM end it in order, exit 105", function()
    for _, signal in ipairs { "INT", "TERM" } do
      same({ 105, "ready\nclosed\n", "" }, signalled(READY .. [[
        local guard <close> = setmetatable({}, { __close = function() print("closed") end })
        timer.sleep("1h")
      ]], "kill -" .. signal .. " $pid"))
    end
  end)

  it("reach a program that never waits, and one within what Lua cannot suspend", function()
    same({ 105, "ready\n", "" }, signalled(READY .. "while true do end", "kill -INT $pid"))
    same({ 105, "ready\n", "" }, signalled(READY .. [[
      pcall(table.sort, { 3, 2, 1 }, function() while true do end end)
      print("NEVER")
    ]], "kill -INT $pid"))
  end)

  it("cannot be caught", function()
    same({ 105, "ready\n", "" }, signalled(READY .. [[
      while true do pcall(timer.sleep, "1h") end
    ]], "kill -INT $pid"))
  end)

  it("twice end it at once", function()
    same({ 105, "ready\nin close\n", "" }, signalled(READY .. [[
      local guard <close> = setmetatable({}, { __close = function()
        print("in close")
        while true do end
      end })
      timer.sleep("1h")
    ]], [[kill -INT $pid
      for i in $(seq 3000); do grep -q close $out && break; sleep 0.01; done
      kill -INT $pid]]))
  end)
end)
