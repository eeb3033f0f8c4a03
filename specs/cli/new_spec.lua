-- perilune new: starter scenarios, each of which runs as it is.
local support = require "specs.support"

local PERILUNE = support.quote(support.perilune)

-- Runs `perilune new ARGS`, then more shell code, in a folder of its own.
local function new(args, more)
  return support.shell(([[
    PERILUNE=%s
    case $PERILUNE in /*) ;; *) PERILUNE=$PWD/$PERILUNE ;; esac
    folder=$(mktemp -d)
    cd "$folder"
    "$PERILUNE" new %s; code=$?
    %s
    cd / && rm -r "$folder"
    exit $code]]):format(PERILUNE, args, more or ""))
end

describe("perilune new", function()
  for _, template in ipairs { "minimal", "arrival", "lifecycle" } do
    it("writes a scenario that runs: " .. template, function()
      local result = new("x --template " .. template,
        '[ $code -eq 0 ] && { "$PERILUNE" run -q --virtual-time x.lua >/dev/null; code=$?; }')
      assert.equal("x.lua is written, try: perilune run x.lua\n", result.out)
      assert.equal(0, result.code, result.err)
    end)
  end

  it("writes a scenario that runs: http", function()
    local result = new("x -t http", '"$PERILUNE" run -q -d 1s x.lua >/dev/null; code=$?')
    assert.equal(0, result.code, result.err)
  end)

  it("takes a name with or without .lua, and a path", function()
    assert.equal("x.lua is written, try: perilune run x.lua\n", new("x.lua").out)
    assert.equal("./a.b.lua is written, try: perilune run ./a.b.lua\n", new("./a.b").out)
  end)

  it("replaces nothing unless forced", function()
    local result = new("x", '"$PERILUNE" new x; code=$?')
    assert.same({ 104, "perilune new: x.lua is there already, --force replaces it "
      .. "(see perilune help new)\n" }, { result.code, result.err })
    result = new("x", 'echo broken >x.lua; "$PERILUNE" new -f x; code=$?; '
      .. 'grep -q broken x.lua && code=1')
    assert.equal(0, result.code, result.err)
  end)

  it("says what is wrong, exit 104", function()
    for args, message in pairs {
      [""] = "one name was expected: perilune new NAME",
      ["a b"] = "one name was expected: perilune new NAME",
      ["x --template minimla"] = "no template minimla, did you mean minimal? "
        .. "(there are: arrival, http, lifecycle, minimal)",
      ["x -t qqqqqq"] = "no template qqqqqq (there are: arrival, http, lifecycle, minimal)",
      ["x --tmplate y"] = "unknown flag --tmplate, did you mean --template?",
      ["x --template"] = "--template needs a value: --template NAME",
      ["$(head -c 5000 /dev/zero | tr '\\0' x)"] = "the name is too long",
    } do
      local result = new(args)
      assert.same({ 104, ("perilune new: %s (see perilune help new)\n"):format(message) },
        { result.code, result.err })
    end
    local result = new("no/such/folder/x")
    assert.same({ 104, "perilune new: cannot write no/such/folder/x.lua: "
      .. "No such file or directory\n" }, { result.code, result.err })
  end)
end)
