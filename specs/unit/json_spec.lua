local actor = require "perilune.actor"
local json = require "perilune.json"

-- What decode and encode make of a text.
local function round_trip(text) return assert(json.encode(assert(json.decode(text)))) end

-- An actor with these handlers that ends with the variable.
local function server(options, handlers)
  local pid = assert(actor.spawn(options, function(given) actor.serve(given()) end, handlers))
  return setmetatable({ ask = function(...) return actor.call(pid, { ... }) end },
    { __close = function() actor.exit(pid, "shutdown") end })
end

local function nested(levels) return ("["):rep(levels) .. ("]"):rep(levels) end

describe("json.encode", function()
  it("writes scalars", function()
    assert.equal("true", json.encode(true))
    assert.equal("false", json.encode(false))
    assert.equal("12", json.encode(12))
    assert.equal('"a\\"b\\u0000\\n"', json.encode("a\"b\0\n"))
    assert.equal("null", json.encode(json.null))
  end)

  it("keeps integers exact and floats floats", function()
    for _, n in ipairs { 2 ^ 53 - 1, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1 / 3 } do
      assert.equal(n, (json.decode(json.encode(n))))
    end
    assert.equal("9007199254740991", json.encode(9007199254740991))
    assert.equal("9007199254740993", json.encode(9007199254740993))
    assert.equal("-9223372036854775808", json.encode(math.mininteger))
    assert.equal("1.0", json.encode(1.0))
    assert.equal("-0.0", json.encode(-0.0))
    assert.equal("0.30000000000000004", json.encode(0.1 + 0.2))
  end)

  it("writes keys in the order of their bytes", function()
    local many, expected = {}, {}
    for i = 99, 10, -1 do many["k" .. i] = i end
    for i = 10, 99 do expected[#expected + 1] = ('"k%d":%d'):format(i, i) end
    assert.equal("{" .. table.concat(expected, ",") .. "}", json.encode(many))
    assert.equal('{"":1,"B":2,"a":3,"aa":4}', json.encode { a = 3, aa = 4, B = 2, [""] = 1 })
  end)

  it("tells arrays from objects by their keys, and empty ones by the mark", function()
    assert.equal("[1,2]", json.encode { 1, 2 })
    assert.equal("{}", json.encode {})
    assert.equal("[]", json.encode(json.array()))
    assert.equal("[[],{}]", json.encode { json.array {}, {} })
  end)

  it("indents", function()
    local expected = '{\n  "a": [\n    1\n  ],\n  "b": {}\n}'
    assert.equal(expected, json.encode({ a = { 1 }, b = {} }, { indent = 2 }))
    assert.equal("[1]", json.encode({ 1 }, { indent = 0 }))
  end)

  local hole = "a hole in an array (json.null stands for nothing)"
  local refused = {
    { "a function", { a = { { id = print } } }, "value.a[1].id: a function has no JSON form" },
    { "a coroutine", { coroutine.create(print) }, "value[1]: a thread has no JSON form" },
    { "a pid", { pid = actor.self() }, "value.pid: a userdata has no JSON form" },
    { "a userdata", io.stdout, "value: a userdata has no JSON form" },
    { "nil", nil, "value: nil has no JSON form" },
    { "NaN", { x = 0 / 0 }, "value.x: NaN has no JSON form" },
    { "an infinity", { -math.huge }, "value[1]: an infinity has no JSON form" },
    { "a hole", { list = { 1, nil, 3 } }, "value.list[2]: " .. hole },
    { "a far hole", { [1000000000000] = 1 }, "value[1]: " .. hole },
    { "both kinds of keys", { a = { 1, x = 2 } },
      "value.a: a table with both texts and integers as keys" },
    { "a key in a marked array", json.array { x = 1 }, "value: an array with a text as key" },
    { "a boolean key", { [true] = 1 }, "value: a boolean as key" },
    { "a float key", { [1.5] = 1 }, "value: a number that is no positive integer as key" },
    { "a zero key", { [0] = 1 }, "value: a number that is no positive integer as key" },
    { "a metatable", { setmetatable({}, {}) },
      "value[1]: a table with a metatable has no JSON form" },
    { "text that is not UTF-8", { s = "\xff" }, "value.s: text that is not UTF-8" },
    { "a key that is not UTF-8", { ["\xff"] = 1 }, "value.\xff: text that is not UTF-8" },
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1] .. " and names its place", function()
      assert.same({ nil, case[3], "bad_value" }, { json.encode(case[2]) })
    end)
  end

  it("refuses a table within itself, not one that is there twice", function()
    local shared = { 1 }
    assert.equal('{"a":[1],"b":[1]}', json.encode { a = shared, b = shared })
    local loop = { list = {} }
    loop.list[1] = loop
    assert.same({ nil, "value.list[1]: a table that contains itself", "bad_value" },
      { json.encode(loop) })
  end)

  it("has a depth limit, 128 unless told", function()
    assert.equal(nested(128), json.encode(json.decode(nested(128))))
    local deep = json.decode(nested(1024), { max_depth = 1024 })
    local _, _, code = json.encode(deep)
    assert.equal("too_deep", code)
    assert.equal(nested(1024), json.encode(deep, { max_depth = 1024 }))
    local _, err, code_here = json.encode({ { 1 } }, { max_depth = 1 })
    assert.same({ "value[1]: nested over the depth limit", "too_deep" }, { err, code_here })
  end)

  it("has a size limit", function()
    assert.equal('"12345678"', json.encode("12345678", { max_size = 10 }))
    assert.same({ nil, "value: the value is over the size limit", "too_large" },
      { json.encode("123456789", { max_size = 10 }) })
  end)

  it("raises for misuse and names the nearest option", function()
    assert.has_error(function() json.encode(1, { ident = 2 }) end,
      "unknown option 'ident' (did you mean 'indent'?)")
    assert.has_error(function() json.encode(1, { indent = 9 }) end)
    assert.has_error(function() json.encode(1, { max_depth = 1025 }) end)
    assert.has_error(function() json.encode() end)
  end)

  it("leaves nothing of a large value behind", function()
    local function encode_and_measure()
      local big = {}
      for i = 1, 20000 do big["key" .. i] = { i, tostring(i) } end
      assert(#json.encode(big) > 400000)
      big[1] = print
      assert(not json.encode(big))
      big = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    local before = encode_and_measure()
    assert.is_true(encode_and_measure() <= before + 16)
  end)
end)

describe("json.decode", function()
  it("reads scalars", function()
    assert.is_true(json.decode("true"))
    assert.is_false(json.decode("false"))
    assert.equal(1, json.decode("1"))
    assert.equal("x", json.decode('"x"'))
    assert.equal(json.null, (json.decode("null")))
  end)

  it("keeps the subtype of numbers", function()
    assert.equal("integer", math.type(json.decode("9223372036854775807")))
    assert.equal("float", math.type(json.decode("9223372036854775808")))
    assert.equal("float", math.type(json.decode("1.0")))
    assert.equal("float", math.type(json.decode("1e2")))
    assert.equal(9007199254740993, json.decode("9007199254740993"))
  end)

  it("reads escapes, also of NUL and of pairs of surrogates", function()
    assert.equal("a\0é\u{1F600}\n/", json.decode('"a\\u0000\\u00e9\\ud83d\\ude00\\n\\/"'))
  end)

  it("takes the last of equal keys", function()
    assert.same({ a = 2 }, json.decode('{"a":1,"\\u0061":2}'))
  end)

  it("marks arrays, also empty ones and those that are emptied", function()
    local value = json.decode('{"full":[1],"empty":[],"object":{}}')
    assert.is_true(json.is_array(value.full))
    assert.is_true(json.is_array(value.empty))
    assert.is_false(json.is_array(value.object))
    value.full[1] = nil
    assert.equal('{"empty":[],"full":[],"object":{}}', json.encode(value))
  end)

  it("gives back every text as it was", function()
    for _, text in ipairs {
      "[]", "{}", "[[],[{}],{\"a\":[]}]", "null", "[null]", '{"a":null}', "0", "-0.0",
      "1.5", "1e21",
      "-9223372036854775808", '"\\u0000"', '"\u{10FFFF}"', '{"":{"":[1,2.0,true,false,null,"x"]}}',
    } do
      assert.equal(text, round_trip(text))
    end
  end)

  local bad = {
    { '{"a":\n [1,}', "line 2, column 5: expected a value, found '}'" },
    { "", "line 1, column 1: expected a value, found the end" },
    { "[1] x", "line 1, column 5: expected nothing behind the value, found 'x'" },
    { "[01]", "line 1, column 3: expected ',' or ']', found '1'" },
    { "é", "line 1, column 1: expected a value, found 'é'" },
    { '["é", x]', "line 1, column 7: expected a value, found 'x'" },
    { '"\xff"', "line 1, column 2: expected UTF-8, found byte 0xff" },
    { '"\\ud800"', "line 1, column 2: a surrogate without its other half" },
    { "1e999", "line 1, column 1: a number over the range of a double" },
  }
  for _, case in ipairs(bad) do
    local shown = ("%q"):format(case[1]):gsub("[^\32-\126]", "?")
    it("refuses " .. shown .. " with line and column", function()
      assert.same({ nil, case[2], "bad_json" }, { json.decode(case[1]) })
    end)
  end

  it("has limits of depth and size", function()
    assert.is_table(json.decode(nested(128)))
    assert.same({ nil, "line 1, column 129: nested over the limit of 128 levels", "too_deep" },
      { json.decode(nested(129)) })
    assert.is_table(json.decode(nested(1024), { max_depth = 1024 }))
    assert.is_table(json.decode("[ ]", { max_size = 3 }))
    assert.same({ nil, "4 bytes, over the limit of 3", "too_large" },
      { json.decode("[  ]", { max_size = 3 }) })
  end)

  it("raises for what is no text", function()
    assert.has_error(function() json.decode(1) end)
    assert.has_error(function() json.decode("1", { max_dept = 1 }) end,
      "unknown option 'max_dept' (did you mean 'max_depth'?)")
  end)

  it("refuses what would pass the actor's memory limit, and the actor goes on", function()
    local text = "[" .. ("[1,2,3],"):rep(20000) .. "1]"
    local small <close> = server({ memory_limit = "1MB" }, function()
      return { decode = function(large)
        local ok, err = pcall(json.decode, large)
        return { ok, tostring(err):find("not enough memory", 1, true) ~= nil }
      end }
    end)
    assert.same({ false, true }, small.ask("decode", text))
    assert.same({ true, false }, small.ask("decode", "[1]"))
  end)
end)

describe("json.null", function()
  it("prints as null, travels, and is itself everywhere", function()
    assert.equal("null", tostring(json.null))
    local other <close> = server({}, function()
      return {
        is_null = function(value) return value == require("perilune.json").null end,
        same = function(value) return value end,
      }
    end)
    assert.is_true(other.ask("is_null", json.null))
    assert.equal(json.null, (other.ask("same", json.null)))
  end)

  it("leaves an array an array on its way to another actor", function()
    local other <close> = server({}, function() return { encode = json.encode } end)
    assert.equal('{"a":[],"b":{}}', other.ask("encode", { a = json.array(), b = {} }))
  end)
end)

describe("json.array", function()
  it("marks the table itself", function()
    local list = {}
    assert.equal(list, json.array(list))
    assert.equal(list, json.array(list))
    assert.is_true(json.is_array(list))
    assert.is_false(json.is_array({}))
    assert.is_false(json.is_array(1))
  end)

  it("refuses a table with a metatable of its own", function()
    assert.has_error(function() json.array(setmetatable({}, {})) end)
  end)
end)
