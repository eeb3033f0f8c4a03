-- The figures that are compared: who measures each, and what must be reached.
--
-- peer   the figure's name in the peer's output (default: the same); `false`: there is none
-- own    { bench, figure }: where `perilune bench` reports it (default: actor, the same name)
-- must, aim   { ratio = N } of the peer's median, or { value = N } in the figure's unit
-- less   true where less is better: must and aim are then upper bounds

local KB, GB = 1024, 1024 ^ 3

local function ratio(must, aim) return { ratio = must }, { ratio = aim } end

local function figure(name, group, unit, must, aim, more)
  local entry = { name = name, group = group, unit = unit, must = must, aim = aim }
  for key, value in pairs(more or {}) do entry[key] = value end
  if entry.peer == nil then entry.peer = name end
  entry.own = entry.own or { group, name }
  return entry
end

local function rate(name, must, aim, more)
  local lower, upper = ratio(must, aim)
  return figure(name, "actor", "/s", lower, upper, more)
end

local function timer(name, own, must)
  local target = must and { value = must }
  return figure(name, "timer", "ns", target, target,
    { own = own, less = true, peer = name:gsub("^lua_", "") })
end

return {
  rate("pingpong_int", 1.0, 1.5),
  rate("pingpong_str", 1.0, 1.5),
  rate("pingpong_table", 0.6, 0.8),
  rate("flood_int", 0.7, 1.0),
  rate("flood_str", 0.7, 1.0),
  rate("flood_table", 0.35, 0.45),
  rate("ring_1000", 0.8, 1.2),
  figure("spawn_exit", "actor", "/s", { value = 100e3 }, { value = 200e3 }),
  figure("pingpong_2workers", "actor_pair", "/s", { ratio = 1.0 }, { value = 0.8e6 }),
  figure("idle_actor_bytes", "actor_memory", "bytes", { value = 9 * KB }, { value = 7 * KB },
    { less = true }),
  figure("million_actors", "actor_million", "actors", { value = 1e6 }, { value = 1e6 }),
  figure("million_actors_bytes", "actor_million", "bytes", { value = 10 * GB }, { value = 10 * GB },
    { less = true }),
  timer("timer_start", { "wheel", "start, 1 h" }, 50),
  timer("timer_cancel", { "wheel", "cancel, 1 h" }, 50),
  timer("timer_fire", { "wheel", "fire, 1 s" }, 150),
  timer("lua_timer_start", { "timer", "timer_start" }),
  timer("lua_timer_cancel", { "timer", "timer_cancel" }),
  timer("lua_timer_fire", { "timer", "timer_fire" }),
  figure("rps_50", "http", "/s", ratio(0.9, 1.0)),
  figure("rps_1000", "http", "/s", ratio(0.9, 1.0)),
  figure("cpu_us_per_req_50", "http", "us", { ratio = 1.15 }, { ratio = 1.0 }, { less = true }),
  figure("cpu_us_per_req_1000", "http", "us", { ratio = 1.15 }, { ratio = 1.0 }, { less = true }),
}
