-- Lua 5.4 and no globals of our own; busted's for the specs.
std = "lua54"
max_line_length = 100
cache = "build/luacheck.cache"
exclude_files = { "build", "**/broken/**", "scripts/dev/new-module/*.lua" }

files["specs"] = { std = "+busted" }
-- Annotations: functions without a body, classes nobody reads, `@meta` files that are never run.
files["docs/api"] = { ignore = { "212", "241" }, max_line_length = false }
