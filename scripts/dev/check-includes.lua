-- Which file may include what: the table of docs/architecture.md, checked.
--
--   lua5.4 scripts/dev/check-includes.lua FILE…      files under runtime/, as paths from the root
--   lua5.4 scripts/dev/check-includes.lua --self-test
--
-- In runtime/ an include in quotes names a folder and a file ("memory/ledger.h"), so the layer it
-- reaches for is in plain sight; libraries are included in angle brackets. A header of a library is
-- allowed to the places below and to nobody else. Comments do not count, conditional code does.

local ENGINES = {
  "base", "memory", "core", "resilience", "net", "store", "telemetry", "load", "chaos", "sandbox",
}

-- What a layer reaches, besides itself. "core" stands for what core itself reaches as well.
local REACHES = {
  base = {},
  memory = { "base" },
  core = { "base", "memory" },
  resilience = { "base", "memory", "core" },
  net = { "base", "memory", "core" },
  store = { "base", "memory", "core", "net" },
  telemetry = { "base", "memory", "core", "net" },
  load = { "base", "memory", "core", "net" },
  chaos = { "base", "memory", "core", "net" },
  sandbox = { "base", "memory", "core" },
  lua = { "base", "memory", "core" },
  bind = { "lua", table.unpack(ENGINES) },
  cli = { "lua", "bind", table.unpack(ENGINES) },
}

-- Pattern of a header -> the folders or files under runtime/ that may include it.
local LIBRARIES = {
  { "^lua[^/]*%.h$", { "lua", "bind", "cli" } },
  { "^lauxlib%.h$", { "lua", "bind", "cli" } },
  { "luv%.h$", { "lua/luv_bridge.c" } },
  { "cJSON%.h$", {} },
  { "^uv%.h$", { except = { "base", "memory" } } },
  { "^uv/", { except = { "base", "memory" } } },
  { "^llhttp%.h$", { except = { "base", "memory" } } },
  { "^openssl/", { except = { "base", "memory" } } },
  { "^zlib%.h$", { except = { "base", "memory" } } },
}

-- The one header from outside runtime/: the benchmarks' door, for the command that runs them.
local OUTSIDE = { ["bench/c/bench.h"] = "cli" }

local function set(list)
  local members = {}
  for _, name in ipairs(list) do members[name] = true end
  return members
end

local reaches = {}
for layer, list in pairs(REACHES) do
  reaches[layer] = set(list)
  reaches[layer][layer] = true
end

-- Comments become spaces, line by line, so that line numbers stay; strings are left alone.
local function without_comments(text)
  text = text:gsub("/%*.-%*/", function(comment) return (comment:gsub("[^\n]", " ")) end)
  return (text:gsub("//[^\n]*", ""))
end

local function library_allowed(places, layer, file)
  if places.except then return not set(places.except)[layer] end
  for _, place in ipairs(places) do
    if place == layer or place == file then return true end
  end
  return false
end

local function library_problem(header, layer, file)
  for _, library in ipairs(LIBRARIES) do
    local pattern, places = library[1], library[2]
    if header:find(pattern) and not library_allowed(places, layer, file) then
      return ("<%s> does not belong in %s/"):format(header, layer)
    end
  end
end

local function own_problem(header, layer)
  if OUTSIDE[header] then
    if OUTSIDE[header] == layer then return nil end
    return ('"%s" is for %s/ only'):format(header, OUTSIDE[header])
  end
  local target = header:match("^([%w_]+)/[%w_/]+%.h$")
  if not target then return ('"%s" must be written as "folder/file.h"'):format(header) end
  if not reaches[target] then return ('"%s": %s/ is no layer'):format(header, target) end
  if reaches[layer][target] then return nil end
  return ('"%s": %s/ may not include %s/'):format(header, layer, target)
end

-- The problems of one file as "path:line: what".
local function check(path, text)
  local problems = {}
  local file = path:match("^runtime/(.+)$")
  local layer = file and file:match("^([%w_]+)/")
  if not reaches[layer] then return { path .. ":1: in no layer of the table" } end
  local number = 0
  for line in (without_comments(text) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local quoted = line:match('^%s*#%s*include%s*"([^"]*)"')
    local angled = line:match("^%s*#%s*include%s*<([^>]*)>")
    local problem
    if quoted then problem = library_problem(quoted, layer, file) or own_problem(quoted, layer) end
    if angled then problem = library_problem(angled, layer, file) end
    if angled and reaches[angled:match("^([%w_]+)/") or ""] then
      problem = ("<%s>: our own headers go in quotes"):format(angled)
    end
    if line:match("^%s*#%s*include") and not quoted and not angled then
      problem = "an include whose name is computed cannot be checked"
    end
    if problem then problems[#problems + 1] = ("%s:%d: %s"):format(path, number, problem) end
  end
  return problems
end

-- Each violation that is planted must be found, and what is allowed must pass.
local function self_test()
  local bad = {
    { "runtime/base/a.c", '#include "memory/heap.h"' },
    { "runtime/base/a.c", "#include <uv.h>" },
    { "runtime/base/a.c", "#include <openssl/ssl.h>" },
    { "runtime/memory/a.c", '#include "core/io.h"' },
    { "runtime/memory/a.h", "#  include <uv.h>" },
    { "runtime/core/a.c", '#include "net/http.h"' },
    { "runtime/core/a.c", '#include "lua/codec.h"' },
    { "runtime/core/a.c", "#include <lua.h>" },
    { "runtime/core/json.c", "#include <cjson/cJSON.h>" },
    { "runtime/core/a.c", '#include "wheel.h"' },
    { "runtime/core/a.c", '#include "../net/http.h"' },
    { "runtime/core/a.c", "#include <base/err.h>" },
    { "runtime/core/a.c", '#include "bench/c/bench.h"' },
    { "runtime/core/a.c", '#include "core/wheel.c"' },
    { "runtime/core/a.c", "#include HEADER" },
    { "runtime/resilience/a.c", '#include "net/http.h"' },
    { "runtime/net/a.c", '#include "load/pacer.h"' },
    { "runtime/net/a.c", '#include "store/queue.h"' },
    { "runtime/net/a.c", "#include <lauxlib.h>" },
    { "runtime/load/a.c", '#include "resilience/retry.h"' },
    { "runtime/lua/a.c", '#include "net/http.h"' },
    { "runtime/lua/a.c", '#include "bind/actor.h"' },
    { "runtime/lua/a.c", "#include <luv/luv.h>" },
    { "runtime/bind/a.c", "#include <luv.h>" },
    { "runtime/bind/a.c", '#include "cli/args.h"' },
    { "runtime/cli/a.c", "#include <cJSON.h>" },
    { "runtime/misc/a.c", "" },
  }
  local good = {
    { "runtime/base/a.c", '#include "base/a.h"\n#include <stdio.h>\n/* #include "net/x.h" */' },
    { "runtime/core/a.c", '#include "memory/ledger.h"\n#include <uv.h>\n// #include <lua.h>' },
    { "runtime/store/a.c", '#include "net/http.h"\n#include "base/buf.h"' },
    { "runtime/lua/luv_bridge.c", "#include <luv/luv.h>\n#include <lua.h>" },
    { "runtime/bind/a.c", '#include "lua/call.h"\n#include "load/pacer.h"\n#include <lualib.h>' },
    { "runtime/cli/a.c", '#include "bind/actor.h"\n#include "bench/c/bench.h"' },
  }
  for _, case in ipairs(bad) do
    assert(#check(case[1], case[2]) == 1, "not found: " .. case[1] .. ": " .. case[2])
  end
  for _, case in ipairs(good) do
    local problems = check(case[1], case[2])
    assert(#problems == 0, "found by mistake: " .. tostring(problems[1]))
  end
  local where = check("runtime/base/a.c", '/* two\nlines */\n#include "core/io.h"\n')[1]
  assert(where:find("^runtime/base/a%.c:3: "), "wrong place: " .. where)
end

if arg[1] == "--self-test" then
  self_test()
  os.exit(0)
end

local found = 0
for _, path in ipairs(arg) do
  local file = assert(io.open(path))
  for _, problem in ipairs(check(path, file:read("a"))) do
    io.stderr:write(problem, "\n")
    found = found + 1
  end
  file:close()
end
os.exit(found == 0)
