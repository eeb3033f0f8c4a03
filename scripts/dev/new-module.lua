-- make new-module NAME=x: a module of your own that compiles, passes its tests and is documented,
-- to be filled with what it is for. Writes
--
--   runtime/core/NAME.h, .c    the engine: knows no Lua
--   runtime/bind/l_NAME.c      the binding: check, call, push
--   docs/api/NAME.lua          the annotation: the source of the module reference
--   specs/c/test_NAME.c        a test of the engine
--   specs/unit/NAME_spec.lua   a spec of the module
--   docs/NAME.md               its page
--
-- enters the module and its class in runtime/bind/modules.c, and makes the reference in
-- docs/modules again. Nothing that exists is overwritten. docs/extending.md walks through what it
-- wrote.

local TEMPLATES = "scripts/dev/new-module/"
local MODULES = "runtime/bind/modules.c"

local FILES = {
  { "engine.h", "runtime/core/NAME.h" },
  { "engine.c", "runtime/core/NAME.c" },
  { "binding.c", "runtime/bind/l_NAME.c" },
  { "api.lua", "docs/api/NAME.lua" },
  { "test.c", "specs/c/test_NAME.c" },
  { "spec.lua", "specs/unit/NAME_spec.lua" },
  { "page.md", "docs/NAME.md" },
}

local function fail(format, ...)
  io.stderr:write("new-module: ", format:format(...), "\n")
  os.exit(1)
end

local function read(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  os.execute("mkdir -p " .. path:match("^(.*)/"))
  local file, err = io.open(path, "w")
  if not file then fail("cannot write: %s", err) end
  file:write(text)
  file:close()
  print("  wrote " .. path)
end

-- The scaffold has a local variable of that name.
local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do KEYWORDS[word] = true end

local function check_name(name)
  if not name or not name:match("^[a-z][a-z0-9_]*$") or #name > 32 then
    fail("a name is 1 to 32 of a-z, 0-9 and _, beginning with a letter; got %s", tostring(name))
  end
  if KEYWORDS[name] then fail("%s is a word of Lua", name) end
  if read(MODULES):find(('"perilune.%s"'):format(name), 1, true) then
    fail("there is a module perilune.%s already", name)
  end
  for _, file in ipairs(FILES) do
    local path = file[2]:gsub("NAME", name)
    if read(path) then fail("%s exists already", path) end
  end
end

local function fill(text, name)
  return (text:gsub("GUARD", name:upper()):gsub("NAME", name))
end

-- Enters one line in front of the end of a table that begins with `head`.
local function enter(text, head, stop, line)
  local start = text:find(head, 1, true) or fail("%s has no `%s`", MODULES, head)
  local at = text:find(stop, start, true) or fail("%s: `%s` does not end", MODULES, head)
  return text:sub(1, at - 1) .. line .. text:sub(at)
end

local function enter_module(name)
  local text = read(MODULES)
  text = enter(text, "const pn_module pn_modules[]", "    {NULL, NULL, NULL, NULL},",
    ('    {"perilune.%s", pn_%s_functions, NULL, NULL},\n'):format(name, name))
  text = enter(text, "static const pn_class *const classes[]", "    NULL,",
    ("    &pn_class_%s,\n"):format(name))
  local at = text:find("const pn_module pn_modules[]", 1, true)
  local declared = "extern const luaL_Reg pn_NAME_functions[];\n"
    .. "extern const pn_class pn_class_NAME;\n\n"
  declared = fill(declared, name)
  write(MODULES, text:sub(1, at - 1) .. declared .. text:sub(at))
end

local name = arg[1]
check_name(name)
for _, file in ipairs(FILES) do
  write((file[2]:gsub("NAME", name)), fill(read(TEMPLATES .. file[1]), name))
end
enter_module(name)
if not os.execute("lua5.4 scripts/dev/docs.lua docs/api/*.lua") then fail("`make docs` failed") end
print(("`make` builds it; `make c-test TESTS=test_%s` and `./perilune test specs/unit/%s_spec.lua` "
  .. "test it;\ndocs/extending.md says what each file is for."):format(name, name))
