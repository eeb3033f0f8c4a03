-- What the compiled objects of runtime/ hold and call: the rules that includes cannot show.
--
--   lua5.4 scripts/dev/check-symbols.lua PREFIX OBJECT…    PREFIX/runtime/core/io.o is core/io.c
--   lua5.4 scripts/dev/check-symbols.lua --self-test CC
--
-- No mutable state at file level (statics in functions count): nothing in .data or .bss, and one
-- thread-local in the whole of runtime/, the current coroutine's. No exit outside cli/. Clocks are
-- read in base/clock, randomness in base/rand, memory comes from memory/. The symbol table has no
-- comments, macros or strings to be fooled by.

-- Names that an object may call only in the given places: a folder or a file without its ending.
local CALLS = {
  {
    why = "ends the process; only cli/ may",
    names = { "exit", "_exit", "_Exit", "quick_exit" },
    places = { "cli" },
  },
  {
    why = "reads a clock; only base/clock may",
    names = {
      "time", "clock", "times", "ftime", "gettimeofday", "clock_gettime", "timespec_get",
      "uv_hrtime", "uv_now", "uv_gettimeofday", "uv_clock_gettime",
    },
    places = { "base/clock" },
  },
  {
    why = "makes randomness; only base/rand may",
    names = {
      "rand", "rand_r", "srand", "random", "srandom", "drand48", "erand48", "lrand48", "mrand48",
      "srand48", "arc4random", "getrandom", "getentropy", "uv_random", "RAND_bytes",
    },
    places = { "base/rand" },
  },
  {
    -- cli/ has memory of its own before there is a runtime and after
    why = "allocates behind the ledgers; only memory/ and cli/ may",
    names = {
      "malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "memalign",
      "valloc", "free", "strdup", "strndup", "asprintf", "vasprintf", "getline", "getdelim",
      "open_memstream", "luaL_newstate",
    },
    places = { "memory", "cli" },
  },
}

-- Exceptions that were argued for: ["folder/file name"] = why. One that is not needed is an error.
local ALLOWED = {}

local THREAD_LOCALS_MAX = 1

local rules = {}
for _, rule in ipairs(CALLS) do
  for _, name in ipairs(rule.names) do rules[name] = rule end
end

local function reads(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  assert(pipe:close(), "failed: " .. command)
  return text
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- "data", "tls" or nil for a section. Constants with addresses in them (.data.rel.ro) are no state.
local function kind_of(section)
  if section:find("^%.tdata") or section:find("^%.tbss") then return "tls" end
  if section:find("^%.data%.rel%.ro") then return nil end
  if section:find("^%.data") or section:find("^%.bss") or section == "*COM*" then return "data" end
end

-- The symbols of one object: { name, kind }, where kind is "data", "tls" or "call".
local function symbols_of(object)
  local list = {}
  for line in reads("objdump -t " .. quote(object)):gmatch("[^\n]+") do
    local flags, section, name = line:match("^%x+ (.......) (%S+)\t%x+ (.+)$")
    name = name and name:gsub("^%.hidden ", "")
    if section == "*UND*" then
      list[#list + 1] = { name = name, kind = "call" }
    elseif section and not flags:find("d") and kind_of(section) then
      list[#list + 1] = { name = name, kind = kind_of(section) }
    end
  end
  return list
end

local function in_place(unit, places)
  for _, place in ipairs(places) do
    if unit == place or unit:match("^[^/]+") == place then return true end
  end
  return false
end

local function problem_of(unit, symbol, thread_locals)
  if symbol.kind == "tls" then
    thread_locals[#thread_locals + 1] = unit .. ".c: " .. symbol.name
    return nil
  end
  if symbol.kind == "data" then return "`" .. symbol.name .. "` is mutable state at file level" end
  local rule = rules[symbol.name]
  if not rule or in_place(unit, rule.places) then return nil end
  return ("`%s` %s"):format(symbol.name, rule.why)
end

local function unused(allowed, used)
  local list = {}
  for key in pairs(allowed) do
    if not used[key] then list[#list + 1] = "no longer needed in ALLOWED: " .. key end
  end
  return list
end

-- Checks objects whose paths begin with prefix .. "/runtime/"; returns the problems.
local function check(prefix, objects, allowed)
  local problems, thread_locals, used = {}, {}, {}
  for _, object in ipairs(objects) do
    local unit = object:sub(#prefix + 1):match("^/runtime/(.+)%.o$")
    assert(unit, "not an object of runtime/: " .. object)
    for _, symbol in ipairs(symbols_of(object)) do
      local key = unit .. " " .. symbol.name
      used[key] = true
      local problem = not allowed[key] and problem_of(unit, symbol, thread_locals)
      if problem then problems[#problems + 1] = ("runtime/%s.c: %s"):format(unit, problem) end
    end
  end
  if #thread_locals > THREAD_LOCALS_MAX then
    problems[#problems + 1] = ("%d thread-locals, %d may be: %s"):format(
      #thread_locals, THREAD_LOCALS_MAX, table.concat(thread_locals, ", "))
  end
  local stale = unused(allowed, used)
  table.move(stale, 1, #stale, #problems + 1, problems)
  return problems
end

-- Compiles `sources` (unit -> C) below a folder of its own and checks them.
local function check_sources(cc, folder, sources, allowed)
  local objects = {}
  for unit, source in pairs(sources) do
    local path = ("%s/runtime/%s"):format(folder, unit)
    reads("mkdir -p " .. quote(path:match("^(.*)/")))
    local file = assert(io.open(path .. ".c", "w"))
    file:write(source)
    file:close()
    local flags = "-std=gnu11 -D_GNU_SOURCE -O1 -w"
    reads(("%s %s -c %s.c -o %s.o"):format(cc, flags, quote(path), quote(path)))
    objects[#objects + 1] = path .. ".o"
  end
  return check(folder, objects, allowed or {})
end

local function self_test(cc)
  local folder = reads("mktemp -d"):gsub("%s+$", "")
  local function expect(count, sources, allowed)
    local problems = check_sources(cc, folder, sources, allowed)
    local text = table.concat(problems, "\n")
    local planted = select(2, next(sources))
    assert(#problems == count, ("%s: expected %d, found: %s"):format(planted, count, text))
  end
  local ok, err = pcall(function()
    expect(1, { ["core/a"] = "static int n; int f(void) { return n++; }" })
    expect(1, { ["core/a"] = "int n = 3;" })
    expect(1, { ["core/a"] = "const char *names[] = { \"a\" };" })
    expect(1, { ["core/a"] = "int f(void) { static int calls; return calls++; }" })
    expect(1, { ["core/a"] = "_Thread_local int n; _Thread_local int m = 2;" })
    expect(1, { ["core/a"] = "_Thread_local int n;", ["lua/b"] = "_Thread_local int m;" })
    expect(1, { ["core/a"] = "#include <stdlib.h>\n#define OUT exit\nvoid f(void) { OUT(1); }" })
    expect(1, { ["core/a"] = "#include <time.h>\nlong f(void) { return time(0); }" })
    expect(1, { ["core/a"] = "#include <stdlib.h>\nint f(void) { return rand(); }" })
    expect(2, { ["core/a"] = "#include <stdlib.h>\nvoid *p(void) { return malloc(9); }"
      .. "\nvoid q(void *x) { free(x); }" })
    expect(1, { ["core/a"] = "" }, { ["core/a exit"] = "there was one" })
    expect(0, { ["core/a"] = "int n;" }, { ["core/a n"] = "argued for" })
    expect(0, { ["lua/a"] = "_Thread_local int n;" })
    expect(0, { ["cli/main"] = "#include <stdlib.h>\nvoid f(void) { exit(1); }" })
    expect(0, { ["base/clock"] = "#include <time.h>\nlong f(void) { return time(0); }" })
    expect(0, { ["memory/heap"] = "#include <stdlib.h>\nvoid *p(void) { return malloc(9); }" })
    expect(0, { ["core/a"] = "static const char *const names[] = { \"a\" };"
      .. "\nconst char *f(int i) { return names[i]; }"
      .. "\nint f2(void); int (*const fs[])(void) = { f2 };" })
  end)
  reads("rm -rf " .. quote(folder))
  assert(ok, err)
end

if arg[1] == "--self-test" then
  self_test(arg[2] or "gcc")
  os.exit(0)
end

local problems = check(arg[1], table.move(arg, 2, #arg, 1, {}), ALLOWED)
for _, problem in ipairs(problems) do io.stderr:write(problem, "\n") end
os.exit(#problems == 0)
