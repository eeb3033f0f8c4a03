-- std.service: the bundled HTTP service.
local actor = require "perilune.actor"
local http = require "perilune.http"
local service = require "std.service"

describe("std.service", function()
  local s

  setup(function() s = assert(service.start()) end)
  teardown(function() service.stop(s) end)

  local function get(path) return http.get(s.url .. path) end

  it("answers", function()
    local res = get("/")
    assert.same({ 200, "hello\n" }, { res.status, res.body })
  end)

  it("lists items, gives each, and says which it does not have", function()
    local list = get("/items"):json()
    assert.same({ 20, { id = 1, name = "item 1" } }, { #list.items, list.items[1] })
    assert.same({ id = 20, name = "item 20" }, get("/items/20"):json())
    for _, id in ipairs { "0", "-1", "1.5", "x", "9007199254740993" } do
      local res = get("/items/" .. id)
      assert.same({ 404, "no such item: " .. id }, { res.status, res:json("error") })
    end
  end)

  it("takes items, and refuses what is none", function()
    local res = http.post(s.url .. "/items", { json = { name = "new" } })
    assert.equal(201, res.status)
    assert.same(res:json(), http.get(s.url .. res.headers.location):json())
    for _, body in ipairs { "", "{", "[]", "{}", '{"name":1}' } do
      res = http.post(s.url .. "/items", { body = body })
      assert.equal(400, res.status, body)
      assert.matches("^a JSON object with a text \"name\" is expected", res:json("error"))
    end
  end)

  it("keeps the youngest thousand items", function()
    local own <close> = setmetatable(assert(service.start()), { __close = service.stop })
    for _ = 1, 981 do
      assert.equal(201, http.post(own.url .. "/items", { json = { name = "new" } }).status)
    end
    local list = http.get(own.url .. "/items"):json()
    assert.same({ 1000, 2 }, { list.count, list.items[1].id })
    assert.equal(404, http.get(own.url .. "/items/1").status)
  end)

  it("waits as long as it is told", function()
    local res = get("/wait?ms=30")
    assert.same({ 200, 30 }, { res.status, res:json("waited_ms") })
    assert.is_true(res.timings.waiting >= 29)
    for _, ms in ipairs { "", "-1", "60001", "1.5", "x" } do
      assert.equal(400, get("/wait?ms=" .. ms).status, ms)
    end
    assert.equal(400, get("/wait").status)
  end)

  it("answers with the status and the bytes that are asked for", function()
    for _, code in ipairs { 200, 204, 304, 404, 503, 999 } do
      assert.equal(code, get("/status/" .. code).status)
    end
    assert.equal(400, get("/status/199").status)
    assert.equal(400, get("/status/1000").status)
    assert.equal(("x"):rep(100000), get("/bytes/100000").body)
    assert.equal("", get("/bytes/0").body)
    assert.equal(16777216, #get("/bytes/16777216").body)
    assert.equal(400, get("/bytes/16777217").status)
  end)

  it("counts its requests, but for those of its count", function()
    local own <close> = setmetatable(assert(service.start()), { __close = service.stop })
    for _ = 1, 3 do http.get(own.url .. "/items") end
    http.get(own.url .. "/nowhere")
    for _ = 1, 2 do
      assert.same({ requests = 4, statuses = { ["200"] = 3, ["404"] = 1 } },
        http.get(own.url .. "/stats"):json())
    end
  end)

  it("says when it cannot listen", function()
    local port = math.tointeger(s.url:match(":(%d+)$"))
    local before = #actor.list()
    local none, message, code = service.start { port = port }
    assert.same({ nil, "EADDRINUSE" }, { none, code })
    assert.matches("address already in use", message:lower())
    repeat require "perilune.timer".sleep("1ms") until #actor.list() <= before
  end)

  it("ends, more than once", function()
    local own = assert(service.start())
    service.stop(own)
    service.stop(own)
    assert.equal(1212, http.get(own.url).error_code)
  end)
end)
