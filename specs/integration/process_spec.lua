local actor = require "perilune.actor"
local process = require "perilune.process"
local timer = require "perilune.timer"
local support = require "specs.support"

local PERILUNE, eventually = support.perilune, support.eventually

local function sh(script, options)
  local all = { "sh", "-c", script }
  for key, value in pairs(options or {}) do all[key] = value end
  return process.spawn(all)
end

-- A zombie whose parent does not look is not alive.
local function is_alive(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return false end
  local state = (file:read("a") or ""):match(".*%) (%a)") -- nil: gone since it was opened
  file:close()
  return state ~= nil and state ~= "Z" and state ~= "X"
end

local function await_output(proc, pattern)
  eventually(function() return proc:output():find(pattern) end, "output " .. pattern)
  return proc:output():match(pattern)
end

local function with_file(text, ending)
  local name = os.tmpname()
  local path = name .. (ending or "")
  if ending then os.remove(name) end
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return setmetatable({ path = path }, { __close = function() os.remove(path) end })
end

-- A port that was free a moment ago.
local function free_port()
  local uv = require "luv"
  local socket = uv.new_tcp()
  socket:bind("127.0.0.1", 0)
  local port = socket:getsockname().port
  socket:close()
  return port
end

describe("process.spawn", function()
  it("runs a program and keeps its output", function()
    local proc <close> = assert(sh("echo out; echo err >&2; exit 7"))
    assert.equal(7, proc:wait())
    assert.equal("out\nerr\n", proc:output())
    assert.equal("out\n", proc:output("stdout"))
    assert.equal("err\n", proc:output("stderr"))
    assert.equal(7, proc.exit_code)
    assert.is_nil(proc.signal)
    assert.equal("sh", proc.name)
    assert.is_true(proc.pid > 0)
    assert.equal(("process sh (pid %d)"):format(proc.pid), tostring(proc))
  end)

  it("says why a program cannot be started", function()
    assert.same({ nil, "cannot start /no/such/program: No such file or directory", "ENOENT" },
      { process.spawn { "/no/such/program" } })
    assert.same(
      { nil, "cannot start no-such-program-in-path: No such file or directory", "ENOENT" },
      { process.spawn { "no-such-program-in-path", name = "target" } })
    assert.same({ nil, "cannot start /etc: Permission denied", "EACCES" },
      { process.spawn { "/etc" } })
    assert.same({ nil, "cannot enter /no/such/folder: No such file or directory", "ENOENT" },
      { process.spawn { "true", cwd = "/no/such/folder" } })
  end)

  it("refuses what is no program with a message", function()
    local cases = {
      { {}, 'process.spawn: which program? { "./target", "8080" }' },
      { { "a", cdw = "/" }, "unknown option 'cdw' (did you mean 'cwd'?)" },
      { { "a", {} }, "process.spawn: argument 2: a text expected, got a table" },
      { { "a", "b\0c" }, "process.spawn: argument 2: a text with a byte 0 in it" },
      { { "a", env = 1 }, "option 'env': a table of names and values expected, got 1" },
      { { "a", env = { "x" } }, "option 'env': a number as the name of a variable" },
      { { "a", env = { ["A=B"] = "x" } }, 'option \'env\': "A=B" is no name of a variable' },
      { { "a", env = { A = {} } }, "option 'env': a text expected, got a table" },
      { { "a", env = { A = true } }, "option 'env': a text expected, got a boolean" },
      { { "a", stdin = 1 },
        "option 'stdin': a text, or true for a pipe to write to expected, got 1" },
      { { "a", output_limit = 0 }, "option 'output_limit': 1 byte to 512MB expected" },
      { { "a", output_limit = "513MB" }, "option 'output_limit': 1 byte to 512MB expected" },
      { { "a", ready = {} }, "option 'ready': a port or a log pattern expected" },
      { { "a", ready = { prot = 1 } }, "unknown option 'prot' (did you mean 'port'?)" },
      { { "a", ready = { port = 65536 } },
        "option 'port': an integer from 1 to 65535 expected, got 65536" },
    }
    for _, case in ipairs(cases) do
      local ok, err = pcall(function() process.spawn(case[1]) end)
      assert.is_false(ok)
      assert.equal(case[2], (err:gsub("^[^ ]+:%d+: ", "")))
    end
    assert.has_error(function() process.spawn("ls") end)
  end)

  it("names the line of the script that misuses it", function()
    local _, err = pcall(function() process.spawn { "a", nmae = "x" } end)
    assert.matches("process_spec%.lua:%d+: unknown option 'nmae'", err)
  end)

  it("adds to the environment, unsets, or replaces it", function()
    local script = 'echo "$A-${HOME+home}-${PATH+path}"'
    local function output_with(options)
      local proc <close> = assert(sh(script, options))
      proc:wait()
      return proc:output()
    end
    assert.equal("1-home-path\n", output_with { env = { A = 1, HOME = "/" } })
    assert.equal("--path\n", output_with { env = { HOME = false } })
    assert.equal("x--path\n", output_with { inherit_env = false, env = { A = "x", PATH = "/bin" } })
  end)

  it("starts in a folder", function()
    local proc <close> = assert(process.spawn { "pwd", cwd = "/usr/bin" })
    proc:wait()
    assert.equal("/usr/bin\n", proc:output())
  end)

  it("leaves the runtime's files and signal actions behind", function()
    local here = assert(io.open("/dev/null"))
    local proc <close> = assert(sh("ls /proc/self/fd | wc -l; grep Sig[BI] /proc/self/status"))
    proc:wait()
    here:close()
    local files, blocked, ignored = proc:output():match("^(%d+)\nSigBlk:\t(%x+)\nSigIgn:\t(%x+)\n$")
    assert.same({ "4", 0 }, { files, tonumber(blocked, 16) })
    -- 32 and 33 are libc's own: whoever was started by posix_spawn, as by make, cannot change them
    assert.equal(0, tonumber(ignored, 16) & ~(3 << 31))
  end)

  -- As happens to a task that is pre-empted between the steps of spawn.
  it("sees what became of the program while it did not look", function()
    local proc <close> = assert(process._create { "true" })
    eventually(function() return proc.exit_code end, "the exit")
    assert.is_true(proc:_await_start())
    local none <close> = assert(process._create { "/no/such/program" })
    timer.sleep("20ms")
    assert.same({ nil, "cannot start /no/such/program: No such file or directory", "ENOENT" },
      { none:_await_start() })
    local other <close> = assert(sh("read x; echo ready; read x", { stdin = true }))
    other:_watch("30s")
    local state, _, count = other:_view()
    assert.equal("running", state)
    other:write("go on\n")
    await_output(other, "ready")
    assert.equal("running", (other:_await_change(count)))
  end)

  it("works from many tasks at once", function()
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = actor.task(function()
        local proc <close> = assert(sh("exit " .. i))
        return proc:wait()
      end)
    end
    for i, task in ipairs(tasks) do assert.equal(i, (task:wait())) end
  end)
end)

describe("a process's output", function()
  it("is kept up to a limit, the latest", function()
    local proc <close> = assert(sh("head -c 100000 /dev/zero | tr '\\0' x; echo end",
      { output_limit = "1KB" }))
    proc:wait()
    assert.equal(("x"):rep(1020) .. "end\n", proc:output())
    assert.equal(100004, proc.output_bytes)
    assert.is_true(proc.truncated)
  end)

  it("is all there when the exit is", function()
    for _ = 1, 10 do
      local proc <close> = assert(sh(
        "i=0; while [ $i -lt 200 ]; do echo 123456789; i=$((i+1)); done"))
      proc:wait()
      assert.equal(2000, #proc:output())
      assert.is_false(proc.truncated)
    end
  end)
end)

describe("proc:wait", function()
  it("returns at the exit, to all who wait", function()
    local proc <close> = assert(sh("read x; exit 3", { stdin = true }))
    local tasks = {}
    for i = 1, 3 do tasks[i] = actor.task(function() return proc:wait() end) end
    timer.sleep(0)
    proc:end_input()
    for _, task in ipairs(tasks) do assert.equal(3, (task:wait())) end
    assert.equal(3, proc:wait(0))
  end)

  it("has a time-out", function()
    local proc <close> = assert(process.spawn { "sleep", "1000" })
    assert.same({ nil, "sleep still runs", "timeout" }, { proc:wait("5ms") })
    assert.same({ nil, "sleep still runs", "timeout" }, { proc:wait(0) })
  end)

  it("names the signal that ended it", function()
    local proc <close> = assert(process.spawn { "sleep", "1000" })
    assert.is_true(proc:kill("KILL"))
    assert.same({ 137, nil, nil, "SIGKILL" }, { proc:wait() })
    assert.equal(137, proc.exit_code)
    assert.equal("SIGKILL", proc.signal)
  end)

  it("ends with with_timeout", function()
    local proc <close> = assert(process.spawn { "sleep", "1000" })
    local _, _, code = timer.with_timeout("5ms", function() return proc:wait() end)
    assert.equal("timeout", code)
    assert.is_true(is_alive(proc.pid))
  end)
end)

describe("proc:kill", function()
  it("takes names and numbers, TERM by default", function()
    local script = "trap 'echo got USR1' USR1; trap 'echo got HUP' HUP; echo ready;"
      .. "while :; do sleep 0.01; done"
    local proc <close> = assert(sh(script, { ready = { log = "ready" } }))
    proc:kill("SIGUSR1")
    await_output(proc, "got USR1")
    proc:kill(1)
    await_output(proc, "got HUP")
    proc:kill()
    assert.same({ 143, nil, nil, "SIGTERM" }, { proc:wait() })
  end)

  it("tells of one that does not run, and refuses what is no signal", function()
    local proc <close> = assert(process.spawn { "true" })
    proc:wait()
    assert.same({ nil, "true does not run", "ESRCH" }, { proc:kill() })
    assert.has_error(function() proc:kill("SIGNO") end)
    assert.has_error(function() proc:kill(0) end)
    assert.has_error(function() proc:kill(65) end)
    assert.has_error(function() proc:kill({}) end)
  end)
end)

describe("a process's input", function()
  it("is a text, or nothing", function()
    local proc <close> = assert(process.spawn { "cat", stdin = "all of it" })
    assert.equal(0, proc:wait())
    assert.equal("all of it", proc:output())
    local none <close> = assert(process.spawn { "wc", "-c" })
    none:wait()
    assert.equal("0\n", none:output())
    local _, _, code = none:write("x")
    assert.equal("closed", code)
  end)

  it("is written to piece by piece", function()
    local proc <close> = assert(process.spawn { "wc", "-c", stdin = true })
    for _ = 1, 10 do assert.is_true(proc:write(("x"):rep(50000))) end
    proc:end_input()
    proc:wait()
    assert.equal("500000\n", proc:output())
  end)

  it("suspends who writes more than is read", function()
    local proc <close> = assert(process.spawn { "sleep", "1000", stdin = true })
    local _, _, code = timer.with_timeout("10ms", function()
      return proc:write(("x"):rep(1000000))
    end)
    assert.equal("timeout", code)
  end)

  it("fails when nobody reads it", function()
    local proc <close> = assert(sh("exec <&-; echo closed; sleep 1000",
      { stdin = true, ready = { log = "closed" } }))
    local ok, err, code = proc:write("x")
    assert.same({ nil, "cannot write to sh: Broken pipe", "EPIPE" }, { ok, err, code })
  end)
end)

describe("readiness", function()
  it("waits for a line of the log", function()
    local proc <close> = assert(sh(
      "echo starting; sleep 0.01; echo 'listening on 8080' >&2; sleep 1000",
      { ready = { log = "^listening on %d+$" } }))
    assert.equal("listening on 8080\n", proc:output("stderr"))
  end)

  it("takes a line without its end for a line", function()
    local proc <close> = assert(sh("printf 'ready> '; sleep 1000", { ready = { log = "ready>" } }))
    assert.is_true(is_alive(proc.pid))
  end)

  it("is an error when the program ends before, with what it printed", function()
    assert.same(
      { nil, "server exited with code 4 before it was ready; its last output:\n  one\n  two",
        "exited" },
      { sh("echo one; echo two; exit 4", { name = "server", ready = { log = "never" } }) })
    assert.same(
      { nil, "sh was ended by SIGKILL before it was ready; it printed nothing", "exited" },
      { sh("kill -9 $$", { ready = { log = "never" } }) })
  end)

  it("shows only the end of much output", function()
    local _, err = sh("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done; exit 1",
      { ready = { log = "never" } })
    assert.matches("its last output:\n  line 990\n.*  line 999$", err)
  end)

  it("has a time-out, which ends the program", function()
    local before = timer.now()
    local proc, err, code = sh("echo $$; exec sleep 1000",
      { ready = { log = "never", timeout = "20ms" } })
    assert.is_nil(proc)
    assert.equal("timeout", code)
    local pid = err:match("^sh was not ready within 20ms; its last output:\n  (%d+)$")
    assert.is_false(is_alive(pid))
    assert.is_true(timer.now() - before >= 0.02)
  end)

  it("ends the program when the task is cancelled", function()
    local pid
    local path <close> = with_file("")
    local task = actor.task(function()
      sh(("echo $$ >%s; exec sleep 1000"):format(path.path), { ready = { log = "never" } })
    end)
    eventually(function()
      pid = tonumber(io.open(path.path):read("a"))
      return pid
    end, "the pid")
    assert.is_true(is_alive(pid))
    task:cancel()
    eventually(function() return not is_alive(pid) end, "the end of the program")
  end)

  it("waits for nginx's port", function()
    local port = free_port()
    local folder = os.tmpname()
    os.remove(folder)
    local mkdir <close> = assert(process.spawn { "mkdir", "-p", folder })
    assert.equal(0, mkdir:wait())
    local config <close> = with_file(([[
      daemon off; worker_processes 2; pid %s/pid; error_log stderr;
      events {}
      http { access_log /dev/stdout; client_body_temp_path %s; proxy_temp_path %s;
        fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
        server { listen 127.0.0.1:%d; location / { return 200 "hello\n"; } } }
    ]]):format(folder, folder, folder, folder, folder, folder, port))
    local nginx = assert(process.spawn { "nginx", "-c", config.path, "-p", folder,
      ready = { port = port } })
    local url = ("http://127.0.0.1:%d/"):format(port)
    local curl <close> = assert(process.spawn { "curl", "-s", url })
    assert.equal(0, curl:wait())
    assert.equal("hello\n", curl:output("stdout"))
    await_output(nginx, 'GET / HTTP/1.1" 200')
    local taken = ("port %d is taken: somebody listens there already"):format(port)
    assert.same({ nil, taken, "EADDRINUSE" },
      { process.spawn { "true", ready = { port = port } } })
    assert.is_true(nginx:close())
    assert.equal(0, nginx.exit_code)
    local rm <close> = process.spawn { "rm", "-r", folder }
    rm:wait()
  end)

  it("does not take a free port for an open one", function()
    local _, err, code = sh("exit 0", { ready = { port = free_port() } })
    assert.equal("exited", code)
    assert.matches("before it was ready", err)
  end)
end)

describe("proc:close", function()
  it("asks, and waits until all is gone", function()
    local proc = assert(sh(
      "trap 'echo asked; exit 4' TERM; echo ready; while :; do sleep 0.01; done",
      { ready = { log = "ready" } }))
    assert.is_true(proc:close())
    assert.is_true(proc:close())
    assert.equal(4, proc:wait())
    assert.equal("ready\nasked\n", proc:output())
    assert.is_false(is_alive(proc.pid))
  end)

  it("kills who does not listen, after a while", function()
    local proc = assert(sh("trap '' TERM; echo ready; while :; do sleep 0.01; done",
      { ready = { log = "ready" }, shutdown = "10ms" }))
    proc:close()
    assert.equal("SIGKILL", proc.signal)
  end)

  it("ends what the program started as well", function()
    local proc = assert(sh("setsid sleep 1000 & echo $! here; wait", { ready = { log = "here" } }))
    local child = proc:output():match("(%d+) here")
    assert.is_true(is_alive(child))
    proc:close()
    assert.is_false(is_alive(child))
  end)

  it("leaves the children of a program that has exited until then", function()
    local proc = assert(sh("sleep 1000 & echo $!"))
    assert.equal(0, proc:wait())
    local child = proc:output():match("%d+")
    assert.is_true(is_alive(child))
    proc:close()
    assert.is_false(is_alive(child))
  end)

  it("comes with the end of the block", function()
    local pid
    do
      local proc <close> = assert(process.spawn { "sleep", "1000" })
      pid = proc.pid
      assert.is_true(is_alive(pid))
    end
    assert.is_false(is_alive(pid))
  end)

  it("comes with the end of the actor, and with its kill", function()
    for _, reason in ipairs { "shutdown", "kill" } do
      local self = actor.self()
      local owner = actor.spawn(function()
        local proc = assert(process.spawn { "sleep", "1000" })
        actor.send(self, proc.pid)
        proc:wait()
      end)
      local pid = actor.receive("30s")
      assert.is_true(is_alive(pid))
      actor.exit(owner, reason)
      eventually(function() return not is_alive(pid) end, "the end of the program")
    end
  end)

  it("comes with the collection of what nobody refers to", function()
    local pid = assert(process.spawn { "sleep", "1000" }).pid
    eventually(function()
      collectgarbage()
      return not is_alive(pid)
    end, "the end of the program")
  end)
end)

describe("the end of the runtime", function()
  local FAMILY = [[sleep 1000 & a=$!; setsid sleep 1000 & b=$!;]]
    .. [[ setsid sh -c "sleep 1000 & echo \$!"; echo $a; echo $b; echo $$; echo all; wait]]
  local SCRIPT = ([[
    local process = require "perilune.process"
    local proc = assert(process.spawn { "sh", "-c", %q, ready = { log = "all" } })
    print(proc:output())
    io.stdout:flush()
    io.read()
    %%s
  ]]):format(FAMILY)

  local function start_family(rest)
    local script <close> = with_file(SCRIPT:format(rest))
    local runtime = assert(process.spawn { PERILUNE, "exec", script.path, stdin = true,
      ready = { log = "^all$" } })
    local pids = {}
    for pid in runtime:output("stdout"):gmatch("%d+") do pids[#pids + 1] = tonumber(pid) end
    assert.equal(4, #pids)
    for _, pid in ipairs(pids) do assert.is_true(is_alive(pid)) end
    runtime:write("go on\n")
    return runtime, pids
  end

  local function all_dead(pids)
    for _, pid in ipairs(pids) do
      if is_alive(pid) then return false end
    end
    return true
  end

  it("by kill -9 leaves no child and no grandchild", function()
    local runtime, pids = start_family("proc:wait()")
    local _ <close> = runtime
    runtime:kill("KILL")
    runtime:wait()
    eventually(function() return all_dead(pids) end, "the end of the family")
  end)

  it("by an error leaves none", function()
    local runtime, pids = start_family("error('over')")
    local _ <close> = runtime
    assert.equal(107, runtime:wait())
    assert.is_true(all_dead(pids))
  end)

  it("by os.exit leaves none", function()
    local runtime, pids = start_family("os.exit(3)")
    local _ <close> = runtime
    assert.equal(3, runtime:wait())
    assert.is_true(all_dead(pids))
  end)

  it("by Ctrl-C, also twice, leaves none", function()
    local runtime, pids = start_family("while true do end")
    local _ <close> = runtime
    runtime:kill("INT")
    timer.sleep("20ms")
    runtime:kill("INT")
    assert.equal(105, runtime:wait())
    eventually(function() return all_dead(pids) end, "the end of the family")
  end)
end)

describe("virtual time", function()
  local function virtual(script)
    local file <close> = with_file(script)
    local proc <close> = assert(process.spawn { PERILUNE, "exec", "--virtual-time", file.path })
    assert.equal(0, proc:wait("60s"), proc:output())
    return proc:output()
  end

  it("stands still while somebody waits for a program", function()
    assert.equal("0.0\t0\n", virtual [[
      local process, timer = require "perilune.process", require "perilune.timer"
      local proc = process.spawn { "sleep", "0.05" }
      local code = proc:wait("1ms")
      print(timer.now(), code)
    ]])
  end)

  it("goes on while nobody does", function()
    assert.equal("3600.0\n", virtual [[
      local process, timer = require "perilune.process", require "perilune.timer"
      local proc <close> = process.spawn { "sleep", "1000" }
      timer.sleep("1h")
      print(timer.now())
    ]])
  end)

  it("goes on after a wait that was cancelled", function()
    assert.equal("60.0\n", virtual [[
      local process, timer = require "perilune.process", require "perilune.timer"
      local actor = require "perilune.actor"
      local proc <close> = process.spawn { "sleep", "1000" }
      local task = actor.task(function() proc:wait() end)
      actor.send(actor.self(), 1)
      actor.receive()
      task:cancel()
      timer.sleep("1m")
      print(timer.now())
    ]])
  end)
end)

describe("a test's leftovers", function()
  it("include processes, which are ended and named", function()
    local spec <close> = with_file([[
      it("forgets", function()
        kept = require("perilune.process").spawn { "sleep", "1000" }
      end)
    ]], "_spec.lua")
    local proc <close> = assert(process.spawn { PERILUNE, "test", spec.path })
    assert.equal(0, proc:wait())
    assert.matches('ended what was left running by ".*forgets": 1 process\n', proc:output("stderr"))
  end)
end)
