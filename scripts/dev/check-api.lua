-- Every Lua function that is registered has an annotation, and every annotation a function.
--
--   lua5.4 scripts/dev/check-api.lua FILE…     runtime/{bind,lua}/*.c, scripts/perilune/*.lua,
--                                              docs/api/*.lua, runtime/base/err.h (the error codes)
--   lua5.4 scripts/dev/check-api.lua --self-test
--
-- In C, functions are registered through tables whose names say what they hold:
--   const luaL_Reg pn_NAME_functions[]   of the module perilune.NAME
--   const luaL_Reg CLASS_methods[]       CLASS is the annotated class, in snake_case
--   const luaL_Reg CLASS_metamethods[]   the class is annotated; arithmetic, `..`, `#` and calls
--                                        need an ---@operator, the rest does not
--   const luaL_Reg NAME_internals[]      for the Lua half of a module; not for users
-- The module of a file is that of its functions table, or of its `pn_open_NAME`; a comment right
-- above a table says otherwise: /* api: NAME */, or /* api: NAME.Class */ for a class that is not
-- in the table's name. Of runtime/lua/ only tables with such a comment count.
--
-- In scripts/perilune/NAME.lua they are what is put into the module, `local M = ...` (or what
-- `return M` gives): `function M.name`, `M.name =`, and the methods `function Class:name` of tables
-- with a capital. Names with a leading underscore are private; so is a file with `-- internal` in
-- its first lines. Deeper folders are no modules.

local here = arg[0]:match("^(.*)/") or "."
package.path = here .. "/?.lua;" .. package.path
local annotations = require "annotations"

local OPERATORS = {}
local OPERATOR_NAMES = "add sub mul div mod pow unm idiv band bor bxor shl shr bnot concat len call"
for name in OPERATOR_NAMES:gmatch("%a+") do OPERATORS[name] = true end

local key_of = annotations.class_key

local function line_of(text, at) return select(2, text:sub(1, at):gsub("\n", "")) + 1 end

-- `known`: what exists. Keys: "actor" -> { ["spawn"] = where, ["pid:kill"] = where, ... }.
local function add(known, module, key, where)
  known[module] = known[module] or {}
  known[module][key] = known[module][key] or where
end

local function entry_names(body)
  local names, entries = {}, 0
  for entry in body:sub(2, -2):gmatch("%b{}") do
    entries = entries + (entry:find("^{%s*NULL") and 0 or 1)
    names[#names + 1] = entry:match('^{%s*"([^"]+)"')
  end
  return names, entries == #names
end

local KEYS = {
  functions = function(_, name) return name end,
  methods = function(class, name) return class .. ":" .. name end,
  metamethods = function(class, name)
    local operator = name:match("^__(%a+)$")
    return OPERATORS[operator] and class .. "@" .. operator or class
  end,
}

local function scan_table(context, name, body, at)
  local where = ("%s:%d"):format(context.path, line_of(context.text, at))
  local prefix, kind = name:match("^(.-)_?(%a+)$")
  local comment = context.text:sub(1, at - 1):match("/%*%s*api:%s*([%w_.]+)%s*%*/%s*$")
  if kind == "internals" or (context.is_marked_only and not comment) then return end
  if not KEYS[kind] then
    local endings = "must end in _functions, _methods, _metamethods or _internals"
    return context.problem(where, ("`%s` %s"):format(name, endings))
  end
  local module, marked_class = (comment or context.module or ""):match("^([%w_]+)%.?([%w_]*)$")
  if not module then
    return context.problem(where, "no pn_NAME_functions and no /* api: NAME */ tells the module")
  end
  local names, all_plain = entry_names(body)
  if not all_plain then
    context.problem(where, ("`%s` has an entry without a plain name"):format(name))
  end
  local class = marked_class ~= "" and key_of(marked_class) or key_of(prefix)
  for _, function_name in ipairs(names) do
    if function_name:find("^__") or not function_name:find("^_") then
      add(context.known, module, KEYS[kind](class, function_name), where)
    end
  end
end

local function scan_c(path, text, known, problem)
  local context = { path = path, text = text, known = known, problem = problem }
  context.is_marked_only = path:find("^runtime/lua/") ~= nil
  context.module = text:match("const luaL_Reg pn_([%w_]+)_functions%[%]%s*=")
    or text:match("pn_open_([%w_]+)%s*%(%s*lua_State")
  text = text:gsub("\nstatic const luaL_Reg", "\n       const luaL_Reg")
  for at, name, body in text:gmatch("\n() *const luaL_Reg ([%w_]+)%[%]%s*=%s*(%b{})") do
    scan_table(context, name, body, at)
  end
end

local function is_internal(text)
  local head = text:match("^" .. ("[^\n]*\n?"):rep(10))
  return head:find("^%-%- internal") ~= nil or head:find("\n%-%- internal") ~= nil
end

-- One line of a module in Lua: the key that it defines, if any.
local function lua_key(line, module_var)
  local owner, separator, name = line:match("^function ([%w_]+)([.:])([%w_]+)%s*%(")
  if not owner then owner, name = line:match("^([%w_]+)%.([%w_]+)%s*=[^=]") end
  if not owner or name:find("^_") then return nil end
  if owner == module_var then return name end
  if separator == ":" and owner:find("^%u") then return key_of(owner) .. ":" .. name end
end

local function scan_lua(path, text, known, problem)
  local module = path:match("^scripts/perilune/([%w_]+)%.lua$")
  if not module or is_internal(text) then return end
  local module_var = ("\n" .. text):match("\nlocal ([%a_][%w_]*) = %.%.%.\n")
    or text:match("\nreturn ([%a_][%w_]*)%s*$")
  if not module_var then
    local ways = "must have `local NAME = ...` or `return NAME`, or be marked `-- internal`"
    return problem(path .. ":1", ways)
  end
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local key = lua_key(line, module_var)
    if key then add(known, module, key, ("%s:%d"):format(path, number)) end
  end
  add(known, module, "", path .. ":1")
end

-- The annotation of a function says what it does and describes its parameters, all and no others.
local function check_text(item, where, problem)
  if #item.text == 0 or item.text[1] == "" then problem(where, "says nothing of what it does") end
  local described = {}
  for _, param in ipairs(item.params) do described[param.name] = true end
  for _, name in ipairs(item.parameters) do
    if not described[name] then problem(where, "no @param for `" .. name .. "`") end
    described[name] = nil
  end
  for name in pairs(described) do
    problem(where, "@param `" .. name .. "` is not in the signature")
  end
end

local function check_codes(text, where, codes, problem)
  local joined = table.concat(text, "\n") .. "\n\n"
  for paragraph in joined:gmatch("(.-)\n\n") do
    local list = paragraph:match("^%s*Errors:(.*)$") or paragraph:match("\nErrors:(.*)$")
    for code in (list or ""):gmatch("`([%a_][%w_]*)`") do
      if not codes[code] and not code:find("^%u+[%u%d]*$") then
        problem(where, "`" .. code .. "` is in no list of error codes")
      end
    end
  end
end

local function annotated_keys(api, path, codes, problem)
  local keys = {}
  for _, item in ipairs(api.functions) do
    local where = ("%s:%d"):format(path, item.line)
    local key = item.class and key_of(item.class.name) .. ":" .. item.name or item.name
    if keys[key] then problem(where, "annotated twice: " .. key) end
    keys[key] = where
    check_text(item, where, problem)
    if next(codes) then check_codes(item.text, where, codes, problem) end
  end
  return keys
end

-- Values may be set from C, where no table shows them, so they are not looked for in the sources.
local function value_names(api)
  local names = {}
  for _, value in ipairs(api.values) do names[value.name] = true end
  return names
end

-- Classes may be there without a metamethod; an operator must exist.
local function class_keys(api, path)
  local classes, operators = {}, {}
  for _, class in ipairs(api.classes) do
    local key = key_of(class.name)
    classes[key] = true
    for _, operator in ipairs(class.operators) do
      operators[key .. "@" .. operator.name] = ("%s:%d"):format(path, class.line)
    end
  end
  return classes, operators
end

local function compare(module, api, path, known, codes, problem)
  local keys = annotated_keys(api, path, codes, problem)
  local classes, operators = class_keys(api, path)
  local values = value_names(api)
  for key, where in pairs(operators) do keys[key] = where end
  for key, where in pairs(known) do
    if key ~= "" and not (keys[key] or classes[key] or values[key]) then
      problem(where, ("`%s` has no annotation in docs/api/%s.lua"):format(key, module))
    end
  end
  for key, where in pairs(keys) do
    if not known[key] then
      problem(where, ("`%s` does not exist in perilune.%s"):format(key, module))
    end
  end
end

local function error_codes(text)
  local codes = {}
  for name in text:gmatch('X%([%u_]+, "([%w_]+)"') do codes[name] = true end
  return codes
end

-- files: path -> text. Returns the problems, sorted by place.
local function check(files)
  local problems, known, apis, codes = {}, {}, {}, {}
  local function problem(where, what) problems[#problems + 1] = where .. ": " .. what end
  for path, text in pairs(files) do
    local module = path:match("^docs/api/([%w_]+)%.lua$")
    if module then
      local api, err = annotations.parse(text)
      if not api then problems[#problems + 1] = ("%s:%s"):format(path, err) end
      apis[module] = { api = api, path = path }
      if api and api.meta ~= "perilune." .. module then
        problem(path .. ":1", "---@meta must name perilune." .. module)
      end
    elseif path:find("%.c$") then
      scan_c(path, text, known, problem)
    elseif path:find("^scripts/") then
      scan_lua(path, text, known, problem)
    else
      codes = error_codes(text)
    end
  end
  for module, entry in pairs(apis) do
    local keys = known[module] or {}
    if entry.api then compare(module, entry.api, entry.path, keys, codes, problem) end
  end
  for module, keys in pairs(known) do
    local places = {}
    for _, where in pairs(keys) do places[#places + 1] = where end
    table.sort(places)
    if not apis[module] then problem(places[1], ("there is no docs/api/%s.lua"):format(module)) end
  end
  table.sort(problems)
  return problems
end

-- ---- the check's own test: a sound module, then one violation planted at a time ----

local SOUND = {
  ["runtime/base/err.h"] = 'X(TIMEOUT, "timeout", "timed out")',
  ["runtime/bind/l_box.c"] = [[
/* Boxes. */
const luaL_Reg pn_box_functions[] = {
    {"open", box_open},
    {"_probe", box_probe},
    {NULL, NULL},
};
static const luaL_Reg big_box_methods[] = {
    {"put", big_box_put},
    {NULL, NULL},
};
static const luaL_Reg big_box_metamethods[] = {
    {"__gc", big_box_gc},
    {"__len", big_box_len},
    {NULL, NULL},
};
static const luaL_Reg box_internals[] = {{"raw", raw}, {NULL, NULL}};
extern const luaL_Reg pn_crate_functions[];
int pn_open_lid(lua_State *L) {]],
  ["runtime/lua/handle.c"] = [[

static const luaL_Reg methods[] = {{"hidden", hidden}, {NULL, NULL}};

/* api: box.Handle */
static const luaL_Reg methods[] = {{"turn", turn}, {NULL, NULL}};
]],
  ["scripts/perilune/box.lua"] = [[
local M = ...
local Lid = {}
local helper = {}
function helper.hidden() end
function M.with(size) return size end
function M._private() end
M.ANY = {}
function Lid:shut() end
]],
  ["scripts/perilune/start.lua"] = "-- internal: begins an actor\nreturn function() end\n",
  ["docs/api/box.lua"] = [[
---@meta perilune.box
---Boxes.
local box = {}

---@class perilune.box.BigBox
---@operator len: integer
local BigBox = {}

---@class perilune.box.Lid
local Lid = {}

---@class perilune.box.Handle
local Handle = {}

---Opens one.
---
---Errors: `timeout`, `ECONNREFUSED`.
---@param size integer in bytes
---@return perilune.box.BigBox? box
function box.open(size) end

---Runs with one.
---@param size? integer
---@param ... any
function box.with(size, ...) end

---Stands for every box.
box.ANY = nil

---Puts a thing in.
---@param thing { name: string, weight: number } | string
function BigBox:put(thing) end

---Shuts it.
function Lid:shut() end

---Turns it.
function Handle:turn() end

return box
]],
}

local PLANTED = {
  { "runtime/bind/l_box.c", '{"open", box_open},', '{"open", box_open}, {"shake", shake},',
    "`shake` has no" },
  { "runtime/bind/l_box.c", '{"open", box_open},', "{OPEN, box_open},", "without a plain name" },
  { "runtime/bind/l_box.c", '{"put", ', '{"take", ', "`bigbox:take` has no" },
  { "runtime/bind/l_box.c", '"__len"', '"__call"', "`bigbox@call` has no" },
  { "runtime/bind/l_box.c", "big_box_methods", "big_box_table", "must end in" },
  { "runtime/bind/l_box.c", "pn_box_functions", "box_functions", "no docs/api/lid.lua" },
  { "runtime/bind/l_box.c", "pn_box_functions", "box_functions", "tells the module",
    "int pn_open_lid" },
  { "runtime/bind/l_box.c", "/* Boxes. */", "/* api: crate */", "no docs/api/crate.lua" },
  { "runtime/lua/handle.c", "turn", "twist", "`handle:twist` has no" },
  { "runtime/lua/handle.c", "api: box.Handle", "api: box.Knob", "`knob:turn` has no" },
  { "scripts/perilune/box.lua", "function M.with", "function M.more() end\nfunction M.with",
    "`more` has no" },
  { "scripts/perilune/box.lua", "M.ANY", "M.NONE", "`NONE` has no" },
  { "scripts/perilune/box.lua", "Lid:shut", "Lid:open", "`lid:open` has no" },
  { "scripts/perilune/box.lua", "local M = ...\n", "local M = {}\n", "must have" },
  { "scripts/perilune/start.lua", "-- internal", "-- public", "must have" },
  { "docs/api/box.lua", "---Opens one.\n---\n", "", "says nothing",
    "---Errors: `timeout`, `ECONNREFUSED`.\n" },
  { "docs/api/box.lua", "---@param size integer in bytes\n", "", "no @param for `size`" },
  { "docs/api/box.lua", "open(size)", "open(bytes)", "is not in the signature" },
  { "docs/api/box.lua", "`timeout`", "`tiemout`", "`tiemout` is in no list" },
  { "docs/api/box.lua", "function box.with", "function box.without", "`without` does not exist" },
  { "docs/api/box.lua", "BigBox:put", "BigBox:push", "`bigbox:push` does not exist" },
  { "docs/api/box.lua", "box.ANY", "box.EVERY", "`ANY` has no" },
  { "docs/api/box.lua", "@operator len", "@operator add", "`bigbox@add` does not exist" },
  { "docs/api/box.lua", "---@meta perilune.box", "---@meta perilune.bocks",
    "must name perilune.box" },
  { "docs/api/box.lua", "---@param size integer", "---@parm size integer", "unknown tag @parm" },
  { "docs/api/box.lua", "return box\n", "\n", "must end with `return box`" },
}

local function replaced(text, from, to)
  local at, last = text:find(from, 1, true)
  assert(at, "the sample lacks: " .. from)
  return text:sub(1, at - 1) .. to .. text:sub(last + 1)
end

local function self_test()
  local problems = check(SOUND)
  assert(#problems == 0, "found by mistake: " .. table.concat(problems, "\n"))
  for _, plant in ipairs(PLANTED) do
    local path, from, to, expected, also_gone = table.unpack(plant)
    local files = {}
    for name, text in pairs(SOUND) do files[name] = text end
    files[path] = replaced(files[path], from, to)
    if also_gone then files[path] = replaced(files[path], also_gone, "") end
    local found = table.concat(check(files), "\n")
    assert(found:find(expected, 1, true), ("not found: %s in: %s"):format(expected, found))
  end
end

if arg[1] == "--self-test" then
  self_test()
  os.exit(0)
end

local files = {}
for _, path in ipairs(arg) do
  local file = assert(io.open(path))
  files[path] = file:read("a")
  file:close()
end
local problems = check(files)
for _, problem in ipairs(problems) do io.stderr:write(problem, "\n") end
os.exit(#problems == 0)
