---@meta perilune.check
---Checks: what should be true of an answer. A failed one is counted and shown, and ends nothing;
---with `--fail-on-check` it fails the run (exit code 110). The module is the function:
---
---    local check = require "perilune.check"
---    check("status is 200", res.status == 200)              --> what it was given
---    check("status is 200", res.status == 200, { page = "front" })
---    check(res, {                                           --> true if all of them passed
---      ["is 200"] = function(r) return r.status == 200 end,
---      ["has a body"] = res.body_size > 0,
---    })
---
---The second form is k6's. The checks are made in the order of their names; a function gets the
---value and may wait, and its result counts as Lua counts it (nil and false have failed). An error
---in it fails the check and is raised. Each check is a sample of the rate `checks`, tagged `check`
---with its name, with the tags given (texts, numbers, booleans) and with the scenario and group it
---is in. More than 10,000 different checks a worker are counted in `checks` alone.
---@overload fun(name: string, passed: boolean, tags?: table): boolean
---@overload fun(value: any, checks: table<string, boolean|function>, tags?: table): boolean
local check = {}

return check
