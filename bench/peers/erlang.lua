-- The Erlang side: compiles perilune_peer.erl once and runs it, a virtual machine for each figure.
--
-- One scheduler, pinned to core 0 with all of the virtual machine's threads; two, bound to a core
-- each, for the figure that has its ends on two workers. Busy waiting stays at OTP's default except
-- for timers, whose cost is processor time.

local command = require "command"

local erlang = {}

local ONE = "taskset -c 0 erl +S 1:1 +SDcpu 1:1 +SDio 1"
local TWO = "taskset -c 0,1 erl +S 2:2 +sbt db"
local NO_BUSY_WAIT = "+sbwt none +sbwtdcpu none +sbwtdio none"

-- group -> list of { how to start the machine, the figure it is asked for }
local RUNS = {
  actor = {
    { ONE, "pingpong_int" }, { ONE, "pingpong_str" }, { ONE, "pingpong_table" },
    { ONE, "flood_int" }, { ONE, "flood_str" }, { ONE, "flood_table" },
    { ONE, "ring_1000" }, { ONE, "spawn_exit" },
  },
  actor_pair = { { TWO, "pingpong_2workers" } },
  actor_memory = { { ONE, "idle_actor" } },
  actor_million = { { ONE .. " +P 2000000", "million_actors" } },
  timer = { { ONE .. " " .. NO_BUSY_WAIT, "timer" } },
}

local folder = "build/peers"

function erlang.prepare()
  command.must("mkdir -p " .. folder)
  command.must("erlc -o " .. folder .. " bench/peers/perilune_peer.erl")
end

-- "Erlang/OTP 25 (erts 13.1.5, jit)"
function erlang.version()
  local code = 'io:format("Erlang/OTP ~s (erts ~s, ~s)", [erlang:system_info(otp_release), '
    .. "erlang:system_info(version), erlang:system_info(emu_flavor)]), halt()."
  return command.first_line(command.must("erl -noshell -eval " .. command.quote(code)))
end

function erlang.has(group) return RUNS[group] ~= nil end

-- One run of a group: figure -> value.
function erlang.measure(group)
  local values = {}
  for _, run in ipairs(RUNS[group]) do
    local line = ("env ERL_CRASH_DUMP=/dev/null %s -noshell -noinput -pa %s -run %s main %s")
      :format(run[1], folder, "perilune_peer", run[2])
    for name, value in command.must(line):gmatch("([%w_]+) ([%d.]+) %S+\n") do
      values[name] = tonumber(value)
    end
  end
  return values
end

return erlang
