-- perilune repl, driven through a pipe.
local support = require "specs.support"

local PERILUNE = support.quote(support.perilune)

-- What it answers to these lines, without banner and prompts.
local function repl(lines, flags)
  local path = support.file(lines)
  local result = support.shell(("%s repl %s <%s"):format(PERILUNE, flags or "", path))
  os.remove(path)
  assert.equal(0, result.code, result.err)
  local banner, out = result.out:match("^([^\n]*)\n(.*)$")
  assert.equal("Lua 5.4 in an actor of Perilune. Ctrl-C cancels, Ctrl-D ends.", banner)
  out = "\n" .. out
  local count
  repeat out, count = out:gsub("\n>?> ", "\n") until count == 0
  return out:sub(2)
end

describe("perilune repl", function()
  it("shows values of expressions, and keeps globals", function()
    assert.equal("2\n42\tx\n\n", repl("1 + 1\nx = 42\nx, 'x'\n"))
    assert.equal("nil\n\n", repl("nil\n"))
  end)

  it("takes what spans lines", function()
    assert.equal("1\n2\n\n", repl("for i = 1, 2 do\nprint(i)\nend\n"))
  end)

  it("waits where scripts wait, and has the modules", function()
    assert.equal("true\ntrue\n\n", repl([[
timer = require "perilune.timer"
start = timer.now()
timer.sleep("5ms")
timer.now() - start >= 0.005
]]))
    assert.equal("true\n86400.0\n\n", repl([[
timer = require "perilune.timer"
start = timer.now()
timer.sleep("24h")
timer.now() - start
]], "--virtual-time"))
  end)

  it("goes on after errors", function()
    local out = repl("error('mine')\nlocal = 1\n1 + 1\n")
    local expected = "^stdin:1: mine\nstack traceback:\n.*\nstdin:1: <name> expected near '='\n2\n"
    assert.matches(expected, out)
  end)

  it("exits as os.exit says", function()
    local path = support.file("os.exit(3)\nprint('NEVER')\n")
    local result = support.shell(("%s repl <%s"):format(PERILUNE, path))
    os.remove(path)
    assert.equal(3, result.code)
    assert.is_nil(result.out:find("NEVER", 1, true))
  end)

  it("cancels what runs at Ctrl-C", function()
    local result = support.shell(([[
      in=$(mktemp -u); out=$(mktemp)
      mkfifo $in
      %s repl <$in >$out & pid=$!
      exec 3>$in
      echo 'print("ready") require("perilune.timer").sleep("1h")' >&3
      for i in $(seq 3000); do grep -q ready $out && break; sleep 0.01; done
      kill -INT $pid
      for i in $(seq 3000); do grep -q interrupted $out && break; sleep 0.01; done
      echo 'print(6 * 7)' >&3
      exec 3>&-
      wait $pid; code=$?
      cat $out; rm $in $out
      exit $code]]):format(PERILUNE))
    assert.equal(0, result.code, result.err)
    assert.matches("ready\n\ninterrupted\n> 42\n", result.out)
  end)

  it("takes no arguments", function()
    local result = support.run("repl", "x")
    assert.same({ 104, "", "perilune repl: takes no arguments (see perilune help repl)\n" },
      { result.code, result.out, result.err })
  end)
end)
