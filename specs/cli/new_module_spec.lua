-- make new-module: what it writes builds, passes its tests and the checks, in a copy of the tree.
local support = require "specs.support"

local shell, quote = support.shell, support.quote

-- The build under test: its objects are taken along, so that only what is new is compiled.
local CONFIG = support.perilune:match("build/([%w-]+)/perilune$") or "release"
local SANITIZER = CONFIG ~= "release" and CONFIG:match("^%a+$") and "SANITIZER=" .. CONFIG or ""
local FLAGS = SANITIZER .. " --no-print-directory WERROR=" .. (os.getenv("WERROR") or "0")

-- A folder with a copy of the tree; stamps and objects keep their times. Returns its path.
local function copy_tree(with_objects)
  local result = shell(([[
    folder=$(mktemp -d)
    mkdir -p $folder/build
    tar -c --exclude=./build --exclude=./.git . | tar -x -C $folder || exit 1
    for stamp in build/.deps-*; do [ -e $stamp ] && cp -p $stamp $folder/build/; done
    [ -n "%s" ] && [ -d build/%s ] && cp -Rp build/%s $folder/build/
    touch $folder/build/.deps-build $folder/build/.deps-test $folder/build/.deps-lint
    echo $folder]]):format(with_objects and "yes" or "", CONFIG, CONFIG))
  return assert(result.out:match("^(/[^\n]+)\n$"), result.err)
end

local function in_folder(folder, command)
  return shell(("unset MAKEFLAGS MAKELEVEL MFLAGS; cd %s && { %s\n}"):format(quote(folder),
    command))
end

local function passes(folder, command)
  local result = in_folder(folder, command)
  assert.equal(0, result.code, ("%s\n%s%s"):format(command, result.out, result.err))
  return result
end

local WRITTEN = {
  "runtime/core/gauge_x.h", "runtime/core/gauge_x.c", "runtime/bind/l_gauge_x.c",
  "docs/api/gauge_x.lua", "specs/c/test_gauge_x.c", "specs/unit/gauge_x_spec.lua",
  "docs/gauge_x.md",
}

describe("make new-module", function()
  local folder
  after_each(function()
    if folder then shell("rm -r " .. quote(folder)) end
    folder = nil
  end)

  it("writes a module that builds, passes its tests and every check", function()
    folder = copy_tree(true)
    local result = passes(folder, "make --no-print-directory new-module NAME=gauge_x")
    for _, path in ipairs(WRITTEN) do
      assert.is_truthy(result.out:find("  wrote " .. path .. "\n", 1, true), result.out)
    end
    passes(folder, ("make %s build/%s/perilune"):format(FLAGS, CONFIG))
    passes(folder, ("build/%s/perilune test specs/unit/gauge_x_spec.lua"):format(CONFIG))
    local page = in_folder(folder, ("sed -n '/^```lua/,/^```/p' docs/gauge_x.md | grep -v '^```' |"
      .. " build/%s/perilune exec -"):format(CONFIG))
    assert.matches("^true\nnil\t[^\n]+\tlimit\n$", page.out, page.err)
    local all = in_folder(folder, "lua5.4 scripts/dev/check-api.lua runtime/base/err.h "
      .. "runtime/bind/*.c runtime/lua/*.c scripts/perilune/*.lua docs/api/*.lua")
    assert.equal(0, all.code, all.out .. all.err)
    passes(folder, "lua5.4 scripts/dev/docs.lua --check docs/api/*.lua")
    passes(folder, "lua5.4 scripts/dev/check-includes.lua runtime/core/gauge_x.[ch] "
      .. "runtime/bind/l_gauge_x.c runtime/bind/modules.c")
    local objects = "build/lint/gcc/runtime/core/gauge_x.o build/lint/gcc/runtime/bind/l_gauge_x.o"
    passes(folder, "make --no-print-directory " .. objects
      .. " build/lint/gcc/specs/c/test_gauge_x.o && lua5.4 scripts/dev/check-symbols.lua "
      .. "build/lint/gcc " .. objects)
    assert.equal("", passes(folder, "grep -nE '.{101}' " .. table.concat(WRITTEN, " ", 1, 6)
      .. " || true").out) -- the page may be wider
    if os.execute("command -v luacheck >/dev/null") then
      passes(folder, "luacheck -q docs/api/gauge_x.lua specs/unit/gauge_x_spec.lua")
    end
  end)

  it("has a test of the engine that passes", function()
    folder = copy_tree(false)
    passes(folder, "make --no-print-directory new-module NAME=gauge_x")
    passes(folder, "gcc -std=gnu11 -D_GNU_SOURCE -Iruntime -Ispecs/c -Wall -Wextra -Werror -O1 "
      .. "specs/c/test_gauge_x.c specs/c/test_main.c runtime/core/gauge_x.c "
      .. "runtime/core/guardian.c "
      .. "runtime/memory/*.c runtime/base/*.c -o gauge-test -pthread -lm && ./gauge-test")
  end)

  it("is walked through by docs/extending.md as it is written", function()
    local file = assert(io.open("docs/extending.md"))
    local page = file:read("a")
    file:close()
    for _, path in ipairs(WRITTEN) do
      local name = path:gsub("gauge_x", "gauge")
      local is_named = page:find(name, 1, true) or (name:match("%.c$")
        and page:find(name:gsub("%.c$", ".h") .. "` and `.c`", 1, true))
      assert.is_truthy(is_named, name)
    end
  end)

  it("refuses names that are none, and writes nothing then", function()
    folder = copy_tree(false)
    local before = passes(folder, "find . -type f | sort | xargs md5sum").out
    local bad = "new-module: a name is 1 to 32 of a-z, 0-9 and _, beginning with a letter; got "
    for _, name in ipairs { "Gauge", "1x", "a-b", "../x", ("x"):rep(33), "a b" } do
      local result = in_folder(folder, ("lua5.4 scripts/dev/new-module.lua %s"):format(quote(name)))
      assert.same({ 1, bad .. name .. "\n" }, { result.code, result.err })
    end
    local result = in_folder(folder, "make --no-print-directory new-module")
    assert.not_equal(0, result.code)
    assert.matches("say which: make new%-module NAME=x", result.err)
    result = in_folder(folder, "make --no-print-directory new-module NAME=process")
    assert.not_equal(0, result.code)
    assert.matches("new%-module: there is a module perilune%.process already", result.err)
    for name, message in pairs {
      load_options = "there is a module perilune.load_options already",
      worker = "runtime/core/worker.h exists already",
      ["end"] = "end is a word of Lua",
    } do
      result = in_folder(folder, "lua5.4 scripts/dev/new-module.lua " .. name)
      assert.same({ 1, ("new-module: %s\n"):format(message) }, { result.code, result.err })
    end
    assert.equal(before, passes(folder, "find . -type f | sort | xargs md5sum").out)
  end)
end)
