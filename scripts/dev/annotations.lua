-- Reads a file of LuaLS annotations (docs/api/NAME.lua): the source of the module reference and of
-- the check that nothing registered goes without one.
--
--   ---@meta perilune.NAME          the module; the text below it says what it is for
--   local NAME = {}                 its table, returned at the end
--   ---@class perilune.NAME.Thing   a type; `local Thing = {}` below it when it has methods
--   ---text, ---@param, ---@return, ---@overload
--   function NAME.verb(a, b) end    a function; `function Thing:verb(a) end` a method
--   ---text
--   NAME.CONSTANT = nil             a value
--
-- Text is Markdown. A paragraph that begins with "Errors:" lists codes in backticks. The parser
-- takes what is written above and refuses the rest with its line: a slip is no gap in the docs.

local annotations = {}

local OPEN = { ["("] = true, ["{"] = true, ["["] = true, ["<"] = true }
local CLOSE = { [")"] = true, ["}"] = true, ["]"] = true, [">"] = true }

-- Whether the type goes on behind a blank at `at`: unions and `fun(): T` have blanks in them.
local function goes_on(text, at)
  local before = text:sub(1, at - 1):match("(%S)%s*$")
  local after = text:sub(at):match("^%s*(%S)")
  return before == "|" or before == ":" or before == "," or after == "|"
end

-- Splits "TYPE the rest" where the type ends: at the first blank outside brackets and quotes.
function annotations.split_type(text)
  local depth, quote = 0, nil
  for at = 1, #text do
    local c = text:sub(at, at)
    if quote then
      if c == quote then quote = nil end
    elseif c == '"' or c == "'" then
      quote = c
    elseif OPEN[c] then
      depth = depth + 1
    elseif CLOSE[c] then
      depth = depth - 1
    elseif c:find("%s") and depth == 0 and not goes_on(text, at) then
      return text:sub(1, at - 1), text:sub(at + 1):gsub("^%s+", "")
    end
  end
  return text, ""
end

local split_type = annotations.split_type

local function clean(text) return (text:gsub("^#%s*", "")) end

-- One function for each tag: (block, rest of the line).
local TAGS = {}

function TAGS.meta(block, rest) block.meta = rest end

function TAGS.class(block, rest)
  local name, parent = rest:match("^([%w_.]+)%s*:%s*([%w_.]+)$")
  name = name or rest:match("^([%w_.]+)$")
  if not name then return "not a class name: " .. rest end
  block.class = { name = name, parent = parent, fields = {}, operators = {} }
end

function TAGS.field(block, rest)
  if not block.class then return "@field without @class" end
  local name, tail = rest:match("^([%w_]+%??)%s+(.+)$")
  if not name then name, tail = rest:match("^(%b[])%s+(.+)$") end
  if not name then return "@field needs a name and a type" end
  local kind, text = split_type(tail)
  table.insert(block.class.fields, { name = name, type = kind, text = clean(text) })
end

function TAGS.operator(block, rest)
  if not block.class then return "@operator without @class" end
  local name = rest:match("^(%a+)")
  table.insert(block.class.operators, { name = name, text = rest })
end

function TAGS.alias(block, rest)
  local name, tail = rest:match("^([%w_.]+)%s*(.*)$")
  if not name then return "@alias needs a name" end
  block.alias = { name = name, type = tail ~= "" and tail or nil, values = {} }
end

function TAGS.param(block, rest)
  local name, tail = rest:match("^([%w_.]+%??)%s+(.+)$")
  if not name then return "@param needs a name and a type" end
  local kind, text = split_type(tail)
  local optional = name:sub(-1) == "?" or nil
  table.insert(block.params,
    { name = name:gsub("%?$", ""), optional = optional, type = kind, text = clean(text) })
end

TAGS["return"] = function(block, rest)
  local kind, tail = split_type(rest)
  if kind == "" or kind:sub(-1) == "," then return "@return takes one type a line" end
  local name, text = tail:match("^([%a_][%w_]*)%s*(.*)$")
  if tail:sub(1, 1) == "#" or not name then name, text = nil, tail end
  table.insert(block.returns, { type = kind, name = name, text = clean(text) })
end

function TAGS.overload(block, rest) table.insert(block.overloads, rest) end

function TAGS.type(block, rest) block.type = rest end

function TAGS.deprecated(block, rest) block.deprecated = rest end

function TAGS.generic(block, rest) block.generic = rest end

function TAGS.vararg() return "write @param ... TYPE" end

TAGS.see = function(block, rest) table.insert(block.text, "See " .. rest .. ".") end
TAGS.nodiscard = function() end
TAGS.async = function() end

local function new_block(line)
  return { line = line, text = {}, params = {}, returns = {}, overloads = {} }
end

-- One line of a comment block; returns an error or nil.
local function take_comment(block, line)
  local tag, rest = line:match("^%-%-%-@(%a+)%s*(.*)$")
  if tag then
    if not TAGS[tag] then return "unknown tag @" .. tag end
    return TAGS[tag](block, rest)
  end
  local value = line:match("^%-%-%-%s?|%s*(.+)$")
  if value then
    if not block.alias then return "a value without @alias" end
    local kind, text = value:match("^(%S+)%s*(.*)$")
    table.insert(block.alias.values, { type = kind, text = clean(text) })
    return nil
  end
  table.insert(block.text, (line:gsub("^%-%-%-%s?", "")))
end

local function names_of(list)
  local names = {}
  for name in list:gmatch("[^,%s]+") do names[#names + 1] = name end
  return names
end

-- A class block's or the module's `local NAME = {}`.
local function take_local(api, block, name)
  if block and block.class then
    block.class.var = name
    return nil
  end
  if api.var then return ("`local %s` is neither the module nor a @class"):format(name) end
  api.var = name
end

local function take_function(api, block, owner, separator, name, parameters, line)
  local item = block or new_block(line)
  item.line, item.owner, item.method, item.name = line, owner, separator == ":", name
  item.parameters = names_of(parameters)
  table.insert(api.functions, item)
end

-- Code: a local, a function, a value or the final return. Returns an error or nil.
local function take_code(api, block, line, number)
  local owner, separator, name, parameters =
    line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%) end$")
  if owner then return take_function(api, block, owner, separator, name, parameters, number) end
  local var = line:match("^local ([%w_]+) = {}$")
  if var then return take_local(api, block, var) end
  owner, name = line:match("^([%w_]+)%.([%w_]+) = .+$")
  if owner then
    local value = block or new_block(number)
    value.owner, value.name, value.line = owner, name, number
    table.insert(api.values, value)
    return nil
  end
  var = line:match("^return ([%w_]+)$")
  if not var then return "not an annotation: " .. line end
  api.returns = var
end

-- A block that ended. What is not a function belongs to the file as a whole.
local function close_block(api, block)
  if block.meta then api.meta, api.text = block.meta, block.text end
  if block.class then
    block.class.text, block.class.line = block.text, block.line
    table.insert(api.classes, block.class)
  end
  if block.alias then
    block.alias.text = block.text
    table.insert(api.aliases, block.alias)
  end
end

local function resolve(api)
  api.class_of = {}
  for _, class in ipairs(api.classes) do
    if class.var then api.class_of[class.var] = class end
  end
  for _, item in ipairs(api.functions) do
    item.class = api.class_of[item.owner]
    if not item.class and item.owner ~= api.var then
      return nil, ("%d: `%s` is neither the module nor a @class"):format(item.line, item.owner)
    end
  end
  if not api.meta then return nil, "1: no ---@meta" end
  if not api.var then return nil, "1: no module table: `local NAME = {}`" end
  if api.returns ~= api.var then return nil, "1: must end with `return " .. api.var .. "`" end
  return api
end

-- The parsed file: meta, text, var, classes, aliases, functions, values; or nil and "LINE: what".
function annotations.parse(text)
  local api = { classes = {}, aliases = {}, functions = {}, values = {} }
  local block, number = nil, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local err
    if line:find("^%-%-%-") then
      block = block or new_block(number)
      err = take_comment(block, line)
    elseif not line:find("^%s*$") and not line:find("^%-%-") then
      if block then close_block(api, block) end
      err = take_code(api, block, line, number)
      block = nil
    elseif block then
      close_block(api, block)
      block = nil
    end
    if err then return nil, ("%d: %s"):format(number, err) end
  end
  return resolve(api)
end

-- "perilune.actor.Request" and `Request` are one class, and so is the table request_methods.
function annotations.class_key(name)
  return (name:match("([%w_]+)$"):gsub("_", ""):lower())
end

return annotations
