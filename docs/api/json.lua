---@meta perilune.json
---JSON (RFC 8259), strict in both directions: what cannot be represented exactly is refused, never
---bent. Integers stay integers and floats stay floats, text may hold any character (also U+0000),
---and any text that was decoded and encoded again means the same.
---
---`null` is `json.null`, which prints as `null` and is true in a condition, as every value but
---`nil` and `false` is. Arrays that were decoded are marked, so that an empty one is `[]` and not
---`{}` when it is encoded again; `json.array` marks a table of your own. The mark is a metatable
---without methods.
local json = {}

---Stands for JSON's `null` in tables, where `nil` cannot. Equal to itself in every actor.
json.null = nil

---@class perilune.json.EncodeOptions
---@field indent? integer spaces for each level, 0 to 8; 0, the default, writes one line
---@field max_depth? integer arrays and objects within each other, 1 to 1024; default 128
---@field max_size? integer|string of the text, as `"64KB"`; default 64MB

---@class perilune.json.DecodeOptions
---@field max_depth? integer arrays and objects within each other, 1 to 1024; default 128
---@field max_size? integer|string of the text, as `"64KB"`; default 64MB

---The JSON text of a value. Keys are written in the order of their bytes, so equal values give
---equal texts. A table whose keys are 1 to n is an array, one whose keys are texts an object; an
---empty one is an object unless it is marked as an array.
---
---Refused, with the place (`value.items[3].id: a function has no JSON form`): functions, userdata,
---coroutines, tables with a metatable, arrays with holes, keys that are neither all texts nor 1 to
---n, a table within itself, NaN and infinities, text that is not UTF-8.
---
---Errors: `bad_value`, `too_deep`, `too_large`.
---@param value any
---@param options? perilune.json.EncodeOptions
---@return string? text
---@return string? err
---@return string? code
function json.encode(value, options) end

---The value of a JSON text, which must be one whole value. Of equal keys in an object the last one
---counts. A number without fraction and exponent that fits into 64 bits is an integer; one beyond
---the range of a float is an error.
---
---Errors: `bad_json` with line and column (`line 2, column 5: expected a value, found '}'`),
---`too_deep`, `too_large`.
---@param text string
---@param options? perilune.json.DecodeOptions
---@return any value
---@return string? err
---@return string? code
function json.decode(text, options) end

---Marks a table as an array and returns it; without a table, a new one. An error if it has a
---metatable.
---@param table? table
---@return table
function json.array(table) end

---Whether a table is marked as an array, because it was decoded from one or by `json.array`.
---@param value any
---@return boolean
function json.is_array(value) end

return json
