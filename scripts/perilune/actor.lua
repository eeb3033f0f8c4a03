-- perilune.actor: the Lua half. Loaded when a name is touched that the C half
-- (runtime/bind/l_actor.c) does not have; gets the module's table and adds to it.

local M = ...

local timer = require "perilune.timer"

-- ---- waiting for several tasks ----

--- Waits for all tasks; the results of each in a table, in order: { value, err, code }.
function M.wait_all(tasks)
  local results = {}
  for i, task in ipairs(tasks) do results[i] = { task:wait() } end
  return results
end

-- ---- supervisors ----
--
-- A supervisor is an actor that traps exits, is linked to its children and restarts them.
-- Strategies, restart types and defaults are OTP's: intensity 1 in a period of 5 s, shutdown 5 s,
-- permanent.
--
-- The name of a child is a group's, whether it has a count or not: it stays while the child is
-- restarted, so that sends and calls to it wait, and goes with the last child that is not
-- restarted.

local STRATEGIES = {
  one_for_one = true, one_for_all = true, rest_for_one = true, simple_one_for_one = true,
}
local RESTARTS = { permanent = true, transient = true, temporary = true }
local OPTIONS = { strategy = true, intensity = true, period = true, children = true, name = true }
local CHILD_OPTIONS = {
  id = true, start = true, args = true, name = true, count = true, restart = true, shutdown = true,
  memory_limit = true, mailbox = true, on = true,
}
local SPAWN_OPTIONS = { "memory_limit", "mailbox", "on" }

local function fail(level, format, ...) error(format:format(...), level + 1) end

local function sorted_keys(set)
  local names = {}
  for name in pairs(set) do table.insert(names, name) end
  table.sort(names)
  return names
end

local function check_keys(options, known, what, level)
  for key in pairs(options) do
    if not known[key] then
      local names = sorted_keys(known)
      local near = type(key) == "string" and M._nearest(key, names)
      local hint = near and ("did you mean '%s'?"):format(near)
        or "known: " .. table.concat(names, ", ")
      fail(level + 1, "%s: unknown option '%s' (%s)", what, tostring(key), hint)
    end
  end
end

local function seconds(value, what, level)
  local ok, parsed = pcall(timer._seconds, value)
  if not ok then
    if not tostring(parsed):find("duration", 1, true) then error(parsed, 0) end
    fail(level + 1, '%s: a duration (seconds, or text like "250ms", "1m30s") expected, got %s',
      what,
      tostring(value))
  end
  return parsed
end

local function check_child(child, index, strategy, level)
  local shown = child.id ~= nil and tostring(child.id) or "#" .. index
  local what = "supervisor: child " .. shown
  check_keys(child, CHILD_OPTIONS, what, level + 1)
  if type(child.start) ~= "function" and type(child.start) ~= "string" then
    fail(level + 1, "%s: start must be a function or a module name, got %s", what,
      type(child.start))
  end
  if child.args ~= nil and type(child.args) ~= "table" then
    fail(level + 1, "%s: args must be a table, got %s", what, type(child.args))
  end
  local restart = child.restart or "permanent"
  if not RESTARTS[restart] then
    fail(level + 1, "%s: restart must be permanent, transient or temporary, got %s", what,
      tostring(restart))
  end
  local count = child.count or 1
  if math.type(count) ~= "integer" or count < 1 then
    fail(level + 1, "%s: count must be an integer of at least 1, got %s", what,
      tostring(count))
  end
  if count > 1 and strategy == "simple_one_for_one" then
    fail(level + 1, "%s: count does not go with simple_one_for_one", what)
  end
  local shutdown = child.shutdown == nil and 5 or child.shutdown
  if shutdown ~= "brutal_kill" and shutdown ~= "infinity" then
    shutdown = seconds(shutdown, what .. ": shutdown", level + 1)
  end
  local spawn = { name = child.name }
  for _, key in ipairs(SPAWN_OPTIONS) do spawn[key] = child[key] end
  local ok, message = pcall(M._check_spawn, spawn)
  if not ok then fail(level + 1, "%s: %s", what, message) end
  return {
    id = child.id, start = child.start, args = child.args or {}, name = child.name, count = count,
    restart = restart, shutdown = shutdown, spawn = spawn,
  }
end

local function check_options(options, level)
  if type(options) ~= "table" then
    fail(level + 1, "supervisor: a table expected, got %s", type(options))
  end
  check_keys(options, OPTIONS, "supervisor", level + 1)
  local strategy = options.strategy or "one_for_one"
  if not STRATEGIES[strategy] then
    fail(level + 1, "supervisor: strategy must be one_for_one, one_for_all, rest_for_one or "
      .. "simple_one_for_one, got %s", tostring(strategy))
  end
  local intensity = options.intensity == nil and 1 or options.intensity
  if math.type(intensity) ~= "integer" or intensity < 0 then
    fail(level + 1, "supervisor: intensity must be an integer of at least 0, got %s",
      tostring(intensity))
  end
  if options.children ~= nil and type(options.children) ~= "table" then
    fail(level + 1, "supervisor: children must be a table, got %s", type(options.children))
  end
  local children, ids = {}, {}
  for index, child in ipairs(options.children or {}) do
    if type(child) ~= "table" then
      fail(level + 1, "supervisor: child #%d must be a table, got %s", index, type(child))
    end
    local spec = check_child(child, index, strategy, level + 1)
    if spec.id == nil then spec.id = spec.name or index end
    if ids[spec.id] then
      fail(level + 1, "supervisor: two children have the id %s", tostring(spec.id))
    end
    ids[spec.id] = true
    table.insert(children, spec)
  end
  if strategy == "simple_one_for_one" and #children ~= 1 then
    fail(level + 1, "supervisor: simple_one_for_one needs exactly one child, the template")
  end
  return {
    strategy = strategy, intensity = intensity, children = children, name = options.name,
    period = seconds(options.period == nil and 5 or options.period, "supervisor: period",
      level + 1),
  }
end

-- Its state, `self`: options; slots, in start order: { spec, pid (or nil), number }; restarts:
-- times; groups: the names that are open.

local function slot_of(self, pid)
  for index, slot in ipairs(self.slots) do
    if slot.pid == pid then return slot, index end
  end
  return nil
end

local function open_group(self, name)
  if not name or self.groups[name] then return true end
  local ok, err, code = M._group_open(name)
  if not ok then return nil, err, code end
  self.groups[name] = true
  return true
end

-- The last one that had the name is gone for good.
local function close_group(self, name)
  if not name or not self.groups[name] then return end
  for _, slot in ipairs(self.slots) do
    if slot.spec.name == name and (slot.pid or slot.is_due) then return end
  end
  M._group_close(name)
  self.groups[name] = nil
end

local function start_slot(self, slot)
  local spec = slot.spec
  local ok, err, code = open_group(self, spec.name)
  if not ok then return nil, err, code end
  local options = { link = true }
  for key, value in pairs(spec.spawn) do options[key] = value end
  local spawn = spec.name and M._spawn_member or M.spawn
  local args = spec.args
  slot.pid, err, code = spawn(options, spec.start, table.unpack(args, 1, args.n or #args))
  slot.is_due = not slot.pid
  return slot.pid, err, code
end

-- Takes it out of its group at once: who ends gets no more calls.
local function forget(slot)
  if slot.spec.name then M._group_leave(slot.spec.name, slot.pid) end
  slot.pid = nil
end

local function wait_for_exit(pid, timeout)
  return M.receive_match(function(message, req)
    return req == M.SYSTEM and message.type == "exit" and message.pid == pid
  end, timeout)
end

local function stop_slot(slot)
  local pid, shutdown = slot.pid, slot.spec.shutdown
  if not pid then return end
  forget(slot)
  if shutdown == "brutal_kill" then
    M.exit(pid, "kill")
    wait_for_exit(pid)
    return
  end
  M.exit(pid, "shutdown")
  local gone = wait_for_exit(pid, shutdown ~= "infinity" and shutdown or nil)
  if not gone then
    M.exit(pid, "kill")
    wait_for_exit(pid)
  end
end

-- In reverse order of their start. Temporary ones are not started again.
local function stop_from(self, first)
  for index = #self.slots, first, -1 do
    local slot = self.slots[index]
    stop_slot(slot)
    slot.is_due = slot.spec.restart ~= "temporary"
    if not slot.is_due then table.remove(self.slots, index) end
    close_group(self, slot.spec.name)
  end
end

-- Ends the supervisor itself: children in reverse order of their start, then the groups.
local function give_up(self, reason)
  stop_from(self, 1)
  for _, name in ipairs(sorted_keys(self.groups)) do M._group_close(name) end
  M.trap_exit(false)
  M.exit(M.self(), reason)
end

-- Counts a restart; false when there were too many in the period.
local function may_restart(self)
  local now = timer.now()
  local kept = {}
  for _, time in ipairs(self.restarts) do
    if now - time < self.options.period then table.insert(kept, time) end
  end
  table.insert(kept, now)
  self.restarts = kept
  return #kept <= self.options.intensity
end

-- Until it has started, or was tried too often.
local function restart(self, slot)
  while not start_slot(self, slot) do
    if not may_restart(self) then give_up(self, "shutdown") end
  end
end

local function restart_from(self, first)
  for index = first, #self.slots do
    if not self.slots[index].pid then restart(self, self.slots[index]) end
  end
end

local function wants_restart(spec, reason)
  if spec.restart == "permanent" then return true end
  if spec.restart == "temporary" then return false end
  return reason ~= "normal" and reason ~= "shutdown"
end

local function on_child_exit(self, slot, index, message)
  forget(slot)
  if message.reason == "error" then
    M._log_child(tostring(slot.spec.id), message.error or "", message.traceback or "")
  end
  slot.is_due = wants_restart(slot.spec, message.reason)
  if not slot.is_due then
    if slot.spec.restart == "temporary" or self.is_simple then table.remove(self.slots, index) end
    return close_group(self, slot.spec.name)
  end
  if not may_restart(self) then return give_up(self, "shutdown") end
  local strategy = self.options.strategy
  if strategy == "one_for_all" then
    stop_from(self, 1)
    restart_from(self, 1)
  elseif strategy == "rest_for_one" then
    stop_from(self, index + 1)
    restart_from(self, index)
  else
    restart(self, slot)
  end
end

local function on_exit(self, message)
  local slot, index = slot_of(self, message.pid)
  if slot then return on_child_exit(self, slot, index, message) end
  if message.pid == self.parent or message.reason ~= "normal" then give_up(self, message.reason) end
end

local function add_slots(self, spec)
  local added = {}
  for number = 1, spec.count do
    local slot = { spec = spec, number = number }
    table.insert(self.slots, slot)
    table.insert(added, slot)
    local pid, err, code = start_slot(self, slot)
    if not pid then return nil, err, code, added end
  end
  return added
end

local function remove_slot(self, slot)
  for index, other in ipairs(self.slots) do
    if other == slot then
      table.remove(self.slots, index)
      return
    end
  end
end

local requests = {}

-- simple_one_for_one: one more child, with these arguments behind the template's.
local function start_simple(self, args)
  local template = self.options.children[1]
  args = args == nil and {} or args
  local fixed, more = template.args.n or #template.args, args.n or #args
  local all = table.move(template.args, 1, fixed, 1, { n = fixed + more })
  table.move(args, 1, more, fixed + 1, all)
  self.started = (self.started or 0) + 1
  local slot = { spec = setmetatable({ args = all }, { __index = template }),
    number = self.started }
  local pid, err, code = start_slot(self, slot)
  if not pid then return nil, err, code end
  table.insert(self.slots, slot)
  return pid
end

function requests.start_child(self, spec, is_spec)
  if self.is_simple then
    if is_spec then
      return nil, "a simple_one_for_one supervisor takes arguments, not a child", "bad_request"
    end
    if spec ~= nil and type(spec) ~= "table" then
      return nil, "the arguments must be a table", "bad_request"
    end
    return start_simple(self, spec)
  end
  if not is_spec then return nil, "a child has a start: { start = ... }", "bad_request" end
  for _, slot in ipairs(self.slots) do
    if slot.spec.id == spec.id then
      return nil, ("a child has the id %s"):format(tostring(spec.id)), "exists"
    end
  end
  local added, why, reason, partly = add_slots(self, spec)
  if added then return added[1].pid end
  for _, slot in ipairs(partly) do
    stop_slot(slot)
    remove_slot(self, slot)
  end
  close_group(self, spec.name)
  return nil, why, reason
end

function requests.stop_child(self, which)
  local stopped = 0
  for index = #self.slots, 1, -1 do
    local slot = self.slots[index]
    if slot.pid == which or slot.spec.id == which and not self.is_simple then
      stop_slot(slot)
      table.remove(self.slots, index)
      close_group(self, slot.spec.name)
      stopped = stopped + 1
    end
  end
  if stopped == 0 then return nil, ("no such child: %s"):format(tostring(which)), "not_found" end
  return true
end

function requests.children(self)
  local list = {}
  for index, slot in ipairs(self.slots) do
    list[index] = {
      id = slot.spec.id, pid = slot.pid, restart = slot.spec.restart, number = slot.number,
    }
  end
  return list
end

--- The body of a supervisor.
function M._supervise(parent, options)
  M.trap_exit(true)
  local self = {
    options = options, slots = {}, restarts = {}, groups = {}, parent = parent,
    is_simple = options.strategy == "simple_one_for_one",
  }
  local _, begin = M.receive_match(function(message, req)
    return req and req ~= M.SYSTEM and type(message) == "table" and message[1] == "begin"
  end)
  for _, spec in ipairs(self.is_simple and {} or options.children) do
    local ok, err, code = add_slots(self, spec)
    if not ok then
      M.unlink(parent) -- who asked for it is told, not ended
      begin:reply(nil, err, code)
      return give_up(self, "shutdown")
    end
  end
  begin:reply(true)
  for message, req in M.messages() do
    if req == M.SYSTEM then
      if message.type == "exit" then on_exit(self, message) end
    elseif req then
      local handler = type(message) == "table" and requests[message[1]]
      if handler then
        local argument, is_packed = message[2], message[3]
        if is_packed then argument = M._unpack(argument) end
        req:reply(handler(self, argument, is_packed))
      else
        req:reply(nil, "a supervisor takes start_child, stop_child and children", "bad_request")
      end
    end
  end
end

--- Starts a supervisor, linked to the caller, and its children; returns when all have started.
function M.supervisor(options)
  local checked = check_options(options, 2)
  M._check_block()
  local spawn = { link = true, name = checked.name }
  checked.name = nil
  local pid, err, code = M.spawn(spawn, M._supervise, M.self(), checked)
  if not pid then return nil, err, code end
  local ok
  ok, err, code = M.call(pid, { "begin" }, { timeout = "60s" })
  if ok then return pid end
  return nil, err, code
end

--- Adds a child (simple_one_for_one: one more, with these arguments) and starts it.
function M.start_child(supervisor, child)
  if type(child) == "table" and child.start ~= nil then
    child = check_child(child, 1, nil, 2)
    if child.id == nil then child.id = child.name or M._unique() end
    -- functions do not travel in messages; packed they do, as in a spawn
    return M.call(supervisor, { "start_child", M._pack(child), true }, { timeout = "60s" })
  end
  return M.call(supervisor, { "start_child", child }, { timeout = "60s" })
end

--- Stops a child by id or pid and forgets it.
function M.stop_child(supervisor, which)
  return M.call(supervisor, { "stop_child", which }, { timeout = "60s" })
end

--- Lists the children: { id, pid, restart, number }.
function M.children(supervisor) return M.call(supervisor, { "children" }) end
