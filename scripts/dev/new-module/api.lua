---@meta perilune.NAME
---Say in one line what it is. (What is here counts up to a limit: replace it.)

local NAME = {}

---@class perilune.NAME.options
---@field limit? integer The highest value, at least 1; default 1000.

---@class perilune.NAME.object
local object = {}

--- Makes a counter that begins at 0.
---@param options? perilune.NAME.options
---@return perilune.NAME.object? object nil without memory
---@return string? message
---@return string? code `"no_memory"`
function NAME.new(options) end

--- Adds to the value.
---@param amount integer Not negative.
---@return true? ok
---@return string? message
---@return string? code `"limit"`: it would pass the limit; the value is as it was
function object:add(amount) end

--- The value.
---@return integer
function object:value() end

--- Lets the object go. Harmless when it is closed already; `<close>` does it, too.
function object:close() end

return NAME
