-- internal: what `perilune test` runs: busted's own runner, with an eye on what a test leaves.
--
-- A test that, with its before_each and after_each, began actors, timers, tasks or servers and did
-- not end them has them ended after it, and is named on stderr. What is begun outside a test (in
-- setup, at file level) may live until the end of its file. An actor counts as begun by a test if
-- its parents go back to the test and not to an actor that was there before.

local actor = require "perilune.actor"
local leftovers = require "perilune.leftovers"

local self = actor.self()

-- An actor that a test is linked to may die without taking all tests along: the test is told.
actor.trap_exit(true)

local function alive()
  local set = {}
  for _, pid in ipairs(actor.list()) do set[pid] = true end
  return set
end

local function moment() return { mark = leftovers.mark(), actors = alive() } end

-- Is there an older actor, other than the runner, between this one and the runner?
local function belongs_to_older(pid, older)
  local info = actor.info(pid)
  while info and info.parent and info.parent ~= self do
    if older[info.parent] then return true end
    info = actor.info(info.parent)
  end
  return false
end

local function end_actors(older)
  local found = {}
  for _, pid in ipairs(actor.list()) do
    if not older[pid] and not belongs_to_older(pid, older) then table.insert(found, pid) end
  end
  for _, pid in ipairs(found) do
    local ref = actor.monitor(pid)
    actor.exit(pid, "shutdown")
    local down = actor.receive_match(function(message, req)
      return req == actor.SYSTEM and message.ref == ref
    end, "1s")
    if not down then actor.exit(pid, "kill") end
  end
  return #found
end

local function count_text(count, what)
  local plural = what:sub(-1) == "s" and "es" or "s"
  return ("%d %s%s"):format(count, what, count == 1 and "" or plural)
end

local function clean_up(since, name)
  local report = {}
  local tasks, handles = leftovers.sweep(since.mark)
  local actors = end_actors(since.actors)
  if actors > 0 then table.insert(report, count_text(actors, "actor")) end
  if tasks > 0 then table.insert(report, count_text(tasks, "timer or task")) end
  local kinds = {}
  for kind in pairs(handles) do table.insert(kinds, kind) end
  table.sort(kinds)
  for _, kind in ipairs(kinds) do table.insert(report, count_text(handles[kind], kind)) end
  if #report > 0 then
    io.stderr:write(("perilune test: ended what was left running by %s: %s\n")
      :format(name, table.concat(report, ", ")))
  end
end

local function full_name(busted, element)
  local names = {}
  while element and element.name and element.descriptor ~= "suite" do
    table.insert(names, 1, element.name)
    element = busted.context.parent(element)
  end
  return '"' .. table.concat(names, " ") .. '"'
end

-- Messages that a test left in the runner's mailbox are not the next test's.
local function empty_mailbox()
  repeat local _, req, code = actor.receive(0) until code == "timeout" or req == nil and code
end

-- What ends the run from within a test (an error in a task that the test began, os.exit, Ctrl-C)
-- does not come back to busted: the test is named here.
local current -- the name of the test that runs
local farewell <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
  if current then io.stderr:write(("perilune test: the run ended in %s\n"):format(current)) end
end })

local tests = {} -- the moments from which on things are the running test's

-- A test, with its before_each and after_each around it.
local function run_test(busted, executor, element)
  current = full_name(busted, element)
  actor.trap_exit(true)
  table.insert(tests, moment())
  executor(element)
  clean_up(table.remove(tests), current)
  empty_mailbox()
  current = nil
end

local function watch_tests(busted)
  local register, safe = busted.register, busted.safe
  function busted.register(descriptor, executor, ...)
    if descriptor ~= "it" or type(executor) ~= "function" then
      return register(descriptor, executor, ...)
    end
    return register(descriptor, function(element) run_test(busted, executor, element) end, ...)
  end
  -- A lazy setup runs within the first test that needs it: what it begins is not the test's.
  local function passed(descriptor, ...)
    if descriptor == "lazy_setup" and #tests > 0 then tests[#tests] = moment() end
    return ...
  end
  function busted.safe(descriptor, ...) return passed(descriptor, safe(descriptor, ...)) end
end

local function watch_files(busted)
  local files = {}
  busted.subscribe({ "file", "start" }, function(element)
    table.insert(files, moment())
    return nil, true, element
  end, { priority = 1 })
  busted.subscribe({ "file", "end" }, function(element)
    clean_up(table.remove(files), full_name(busted, element))
    empty_mailbox()
    return nil, true
  end)
end

-- busted takes a request for help for an error.
local function help()
  local options = require "busted.options"
  options.output, options.standalone = "plainTerminal", false
  local cli = require "busted.modules.cli"(options)
  cli:set_name("perilune test")
  local _, text = cli:parse { "--help" }
  print((text:gsub("^.-(Usage:)", "%1")))
  os.exit(0)
end

local function load_busted()
  local ok, core = pcall(require, "busted.core")
  if not ok then
    io.stderr:write("perilune test: busted is not installed (Debian: lua-busted)\n", core, "\n")
    os.exit(1)
  end
  package.loaded["busted.core"] = function(...)
    local busted = core(...)
    watch_files(busted)
    watch_tests(busted)
    return busted
  end
end

load_busted()
if arg[1] == "-h" or arg[1] == "--help" then help() end
-- The name by which busted's runner speaks of itself is that of the chunk that calls it.
assert(load("require 'busted.runner'({ standalone = false })", "@perilune test"))()
