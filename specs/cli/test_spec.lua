-- perilune test: busted's flags, counts and exit codes; waiting in tests and hooks; what a test
-- leaves.
local support = require "specs.support"

local PERILUNE = support.quote(support.perilune)

local MIXED = [[
  describe("mixed", function()
    it("passes", function() assert.is_true(true) end)
    it("fails", function() assert.equal(1, 2) end)
    it("raises", function() error("boom") end)
    pending("later")
    it("is tagged #slow", function() end)
  end)
]]

-- Runs `COMMAND FLAGS... x_spec.lua` over a text in a folder of its own. What differs between two
-- runs of the same (times, addresses) is taken out.
local function run_in_folder(command, text, flags)
  local result = support.shell(([[
    folder=$(mktemp -d)
    cat >"$folder/x_spec.lua" <<'END-OF-SPEC'
%s
END-OF-SPEC
    PERILUNE=%s
    case $PERILUNE in /*) ;; *) PERILUNE=$PWD/$PERILUNE ;; esac
    cd "$folder"
    %s %s; code=$?
    rm -r "$folder"
    exit $code]]):format(text, PERILUNE, command, flags))
  for _, key in ipairs { "out", "err" } do
    result[key] = result[key]:gsub(" : [%d.e-]+ seconds", ""):gsub("0x%x+", "0x")
      :gsub("[%d.]+ ms", "ms"):gsub('"duration":[%d.e-]+', '"duration":0')
  end
  return result
end

local function perilune(text, flags)
  return run_in_folder('"$PERILUNE" test', text, flags or "x_spec.lua")
end

-- The same specs under Debian's busted, with the same Lua.
local function busted(text, flags) return run_in_folder("lua5.4 /usr/bin/busted", text, flags) end

describe("perilune test", function()
  -- busted chooses an interpreter of its own where it can; its runner in ours is the reference.
  local has_busted = os.execute("lua5.4 -e 'require \"busted.runner\"' >/dev/null 2>&1")

  local function like_busted(text, flags)
    local theirs, ours = busted(text, flags), perilune(text, flags)
    assert.equal(theirs.out, ours.out)
    assert.equal(theirs.code, ours.code)
    return ours
  end

  for _, flags in ipairs {
    ".", "x_spec.lua", "-o TAP .", "-o json .", "-o gtest .", "-o plainTerminal -v .",
    "-o utfTerminal .", "-t slow .", "--exclude-tags slow .", "--filter passes .",
    "--filter-out raises .", "--list .", "--no-keep-going .", "--suppress-pending .",
    "--defer-print .", "-p nothing .", "--repeat 3 .", "--sort-tests --shuffle-files .",
    "--no-auto-insulate .", "--lazy .", "-e 'print(1)' .", "--loaders lua .", "no/such_spec.lua",
    "--version",
  } do
    it("does what busted does with: " .. flags, function()
      if not has_busted then return pending("busted for Lua 5.4 is not installed") end
      like_busted(MIXED, flags)
    end)
  end

  it("counts and exits as busted does", function()
    local result = perilune(MIXED, "x_spec.lua")
    assert.matches("\n2 successes / 1 failure / 1 error / 1 pending\n", "\n" .. result.out)
    assert.equal(1, result.code)
    result = perilune([[it("passes", function() end)]], "x_spec.lua")
    assert.matches("1 success / 0 failures / 0 errors / 0 pending\n", result.out)
    assert.equal(0, result.code)
  end)

  it("says where a file is wrong, and goes on with the others", function()
    local result = perilune("describe('x', function(", "x_spec.lua")
    assert.matches("x_spec.lua:2: <name> or '...' expected near <eof>", result.out, 1, true)
    assert.equal(1, result.code)
  end)

  it("loads helpers and output handlers, which may wait", function()
    local helper = support.file [[
      local timer = require "perilune.timer"
      timer.sleep("1ms")
      print("helper")
      return true
    ]]
    os.rename(helper, helper .. ".lua")
    local result = perilune("it('passes', function() end)",
      ("--helper=%s.lua -o TAP ."):format(helper))
    os.remove(helper .. ".lua")
    assert.matches("^helper\n", result.out)
    assert.matches("ok 1 %- passes\n1%.%.1\n", result.out)
    assert.equal(0, result.code)
  end)

  it("writes JUnit's XML", function()
    local result = perilune(MIXED, "-o junit .")
    assert.matches("<testsuites .-</testsuites>", result.out)
    assert.matches("tests='5'", result.out)
    assert.equal(1, result.code)
  end)

  it("has a help of its own with busted's flags", function()
    local result = support.run("test", "--help")
    assert.equal(0, result.code)
    assert.equal("", result.err)
    for _, text in ipairs { "--workers N", "--virtual-time", "--exclude-tags", "--helper" } do
      assert.is_truthy(result.out:find(text, 1, true), text)
    end
  end)

  it("refuses flags that are none", function()
    local result = perilune(MIXED, "--no-such-flag .")
    assert.matches("unknown/bad flag: %-%-no%-such%-flag", result.err)
    assert.equal(1, result.code)
    for _, case in ipairs {
      { "--workers 0", "--workers: a number from 1 to 64 was expected" },
      { "--workers", "--workers: needs a value" },
      { "--seed=x", "--seed: a whole number from 0 to 18446744073709551615 was expected" },
      { "--log-level=loud", "--log-level: debug, info, warn, error or none was expected" },
    } do
      result = perilune(MIXED, case[1])
      assert.equal(("perilune test: %s (see perilune help test)\n"):format(case[2]), result.err)
      assert.equal(104, result.code)
    end
  end)
end)

describe("perilune test's flags of its own", function()
  it("are --virtual-time, in which time passes at once", function()
    local result = perilune([[
      local timer = require "perilune.timer"
      it("sleeps a day", function()
        local start = timer.now()
        timer.sleep("24h")
        assert.equal(86400, timer.now() - start)
      end)
    ]], "--virtual-time .")
    assert.equal(0, result.code, result.out)
  end)

  it("are --seed, for busted's order and for math.random", function()
    local text = {}
    for i = 1, 20 do
      text[i] = ("it('t%d', function() print(math.random(1000000)) end)"):format(i)
    end
    text = table.concat(text, "\n")
    local function output(seed)
      return perilune(text, "--virtual-time --shuffle -o TAP --seed " .. seed .. " .").out
    end
    assert.equal(output(7), output(7))
    assert.not_equal(output(7), output(8))
  end)

  it("are --workers and --log-level", function()
    local text = [[
      it("has them", function()
        require("perilune.log").info("seen")
        local actor = require "perilune.actor"
        local self = actor.self()
        actor.spawn({ on = 2 }, function() actor.send(self, "there") end)
        assert.equal("there", actor.receive("30s"))
      end)
    ]]
    local result = perilune(text, "--workers=3 --log-level=warn .")
    assert.equal(0, result.code, result.out)
    assert.equal("", result.err)
    assert.matches("seen", perilune(text, "--workers 3 .").err)
  end)
end)

describe("waiting", function()
  it("works in tests and in all hooks", function()
    local result = perilune [[
      local timer = require "perilune.timer"
      local order = {}
      local function step(name)
        return function() timer.sleep("1ms") table.insert(order, name) end
      end
      describe("outer", function()
        setup(step "setup")
        lazy_setup(step "lazy_setup")
        before_each(step "before")
        after_each(step "after")
        teardown(function()
          timer.sleep("1ms")
          print(table.concat(order, " "))
        end)
        it("one", function() finally(step "finally") step "one" () end)
        it("two", step "two")
      end)
    ]]
    assert.equal(0, result.code, result.out)
    assert.matches("setup lazy_setup before one finally after before two after\n", result.out)
  end)

  it("works within assert.has_error, pcall, spies and coroutines", function()
    local result = perilune [[
      local timer = require "perilune.timer"
      it("waits", function()
        assert.has_error(function() timer.sleep("1ms") error("late", 0) end, "late")
        local s = spy.new(function() timer.sleep("1ms") end)
        s()
        assert.spy(s).was_called(1)
        coroutine.wrap(function() timer.sleep("1ms") end)()
      end)
    ]]
    assert.equal(0, result.code, result.out)
  end)
end)

describe("what a test leaves", function()
  local LEAVES = [[
    local actor, timer = require "perilune.actor", require "perilune.timer"
    describe("a", function()
      it("forgets", function()
        actor.spawn(function() actor.receive() end)
        actor.spawn({ name = "proud" }, function() actor.spawn(actor.receive) actor.receive() end)
        timer.after("1h", print)
        timer.every("1h", print)
        actor.task(timer.sleep, "1h")
        require("perilune.http").serve { routes = { ["GET /"] = function() return 200 end } }
        kept = require("perilune.process").spawn { "sleep", "1000" }
        require("luv").new_timer():start(1000, 1000, function() end)
        actor.send(actor.self(), "a message")
      end)
      it("finds nothing of it", function()
        assert.equal(2, #actor.list())
        assert.is_nil(actor.whereis("proud"))
        assert.same({ nil, "timeout" }, { actor.receive(0), select(3, actor.receive(0)) })
        assert.is_nil(kept)
      end)
    end)
  ]]

  it("is ended after it and named", function()
    local result = perilune(LEAVES)
    assert.equal('perilune test: ended what was left running by "x_spec.lua a forgets": '
      .. "3 actors, 3 timer or tasks, 1 http server, 1 luv loop, 1 process\n", result.err)
    assert.matches("2 successes / 0 failures", result.out)
    assert.equal(0, result.code)
  end)

  it("is not what was there before: a file's things live until its end", function()
    local result = perilune [[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      local echo
      setup(function()
        echo = actor.spawn(function()
          actor.serve { make = function()
            local child = actor.spawn(function() actor.receive() end)
            return child
          end }
        end)
      end)
      it("one", function() assert(actor.call(echo, { "make" })) end)
      it("two", function()
        assert.is_table(actor.info(echo))
        assert.equal(4, #actor.list())
      end)
    ]]
    assert.matches("2 successes / 0 failures", result.out)
    assert.equal('perilune test: ended what was left running by "x_spec.lua": 2 actors\n',
      result.err)
  end)

  it("counts from before_each to after_each, and not what a lazy setup began", function()
    local result = perilune [[
      local actor = require "perilune.actor"
      local function wait() actor.receive() end
      lazy_setup(function() actor.spawn({ name = "lazy" }, wait) end)
      before_each(function()
        before = actor.spawn(wait)
        closed = actor.spawn(wait)
      end)
      after_each(function()
        local ref = actor.monitor(closed)
        actor.exit(closed, "kill")
        actor.receive_match(function(m, req) return req == actor.SYSTEM and m.ref == ref end)
      end)
      it("one", function() assert.is_truthy(actor.whereis("lazy")) end)
      it("two", function()
        assert.is_truthy(actor.whereis("lazy"))
        assert.equal(5, #actor.list())
      end)
    ]]
    assert.matches("2 successes / 0 failures", result.out)
    local line = 'perilune test: ended what was left running by "x_spec.lua%s": 1 actor\n'
    assert.equal(line:format(" one") .. line:format(" two") .. line:format(""), result.err)
  end)

  it("is nothing when it is closed", function()
    local result = perilune [[
      local actor, timer = require "perilune.actor", require "perilune.timer"
      it("closes", function()
        local server <close> = require("perilune.http").serve { routes = {} }
        local t <close> = timer.after("1h", print)
        local task = actor.task(timer.sleep, "1h")
        task:cancel()
        local pid, _, _, ref = actor.spawn({ monitor = true }, function() actor.receive() end)
        actor.exit(pid, "shutdown")
        actor.receive_match(function(m, req) return req == actor.SYSTEM and m.ref == ref end)
      end)
    ]]
    assert.same({ 0, "" }, { result.code, result.err })
  end)

  it("may be a linked actor that dies: the test is told", function()
    local result = perilune [[
      local actor = require "perilune.actor"
      it("hears of it", function()
        local pid = actor.spawn({ link = true }, function() error("over") end)
        local message, req = actor.receive("30s")
        assert.equal(actor.SYSTEM, req)
        assert.same({ "exit", pid, "error" }, { message.type, message.pid, message.reason })
      end)
    ]]
    assert.equal(0, result.code, result.out)
  end)
end)

describe("what ends a run of tests early", function()
  it("is an error in a task that nobody waits for; the test is named", function()
    local result = perilune [[
      it("begins one", function()
        require("perilune.actor").task(function() error("in a task") end)
        require("perilune.timer").sleep("60s")
      end)
    ]]
    assert.equal(107, result.code)
    assert.matches('^perilune test: the run ended in "x_spec.lua begins one"\n'
      .. "perilune: [^\n]*x_spec.lua:2: in a task\n", result.err)
  end)

  it("is os.exit", function()
    local result = perilune [[it("exits", function() os.exit(3) end)]]
    assert.same({ 3, 'perilune test: the run ended in "x_spec.lua exits"\n' },
      { result.code, result.err })
  end)

  it("is Ctrl-C, also in a test that never waits or within a sort", function()
    for _, body in ipairs {
      'require("perilune.timer").sleep("1h")', "while true do end",
      "table.sort({ 3, 2, 1 }, function() while true do end end)",
      'while true do pcall(require("perilune.timer").sleep, "1h") end',
    } do
      local result = run_in_folder([[
        "$PERILUNE" test x_spec.lua >out & pid=$!
        for i in $(seq 3000); do grep -q ready out && break; sleep 0.01; done
        kill -INT $pid
        wait $pid]],
        ('it("lasts", function() io.write("ready") io.flush() %s end)'):format(body), "")
      assert.equal(105, result.code, body)
      assert.matches('perilune test: the run ended in "[^"]* lasts"\n', result.err)
    end
  end)

  it("is a stdout that cannot be written", function()
    local result = perilune([[it("passes", function() end)]], ". >/dev/full")
    assert.equal(107, result.code)
    assert.matches("perilune: cannot write to stdout: ", result.err)
  end)
end)
