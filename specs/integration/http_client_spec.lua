local actor = require "perilune.actor"
local http = require "perilune.http"
local json = require "perilune.json"
local timer = require "perilune.timer"
local support = require "specs.support"
local support_http = require "specs.support.http"

-- A server that shows what it was sent.
local function show(req)
  local headers = {}
  for name, value in pairs(req.headers) do headers[name] = value end
  return 200, {
    method = req.method, path = req.path, target = req.target, headers = headers, body = req.body,
    proto = req.proto, peer = req.peer,
  }
end

local function redirect(to, status)
  return function() return status or 302, nil, { Location = to } end
end

local function serve()
  local flaky = 0
  return assert(http.serve { routes = {
    ["* /show"] = show,
    ["* /show/*"] = show,
    ["GET /text"] = function() return 200, "hello" end,
    ["GET /json"] = function()
      return 200, { items = { { id = 7, name = "seven" } }, none = json.null }
    end,
    ["GET /status/:code"] = function(req)
      return tonumber(req.params.code), nil, { ["X-Is"] = req.params.code }
    end,
    ["GET /size/:n"] = function(req) return 200, ("x"):rep(tonumber(req.params.n)) end,
    ["GET /headers"] = function()
      return 200, "", {
        ["X-Many"] = { "one", "two" }, ["Set-Cookie"] = { "a=1; Path=/", "b=2" },
        ["x-lower"] = "low",
      }
    end,
    ["GET /chunks/:n"] = function(req, res)
      local stream = res:stream(200, { ["Content-Type"] = "text/plain" })
      for i = 1, tonumber(req.params.n) do assert(stream:write("chunk " .. i .. "\n")) end
    end,
    ["GET /endless"] = function(_, res)
      local stream, piece = res:stream(), ("x"):rep(10000)
      while stream:write(piece) do end
    end,
    ["GET /cut"] = function(_, res)
      local stream = res:stream()
      stream:write("the beginning")
      stream:close("no more", "cancelled")
    end,
    ["GET /slow"] = function() timer.sleep("30s") return 200, "late" end,
    ["GET /slow_body"] = function(_, res)
      res:stream():write("first")
      timer.sleep("30s")
      return nil
    end,
    ["GET /to/text"] = redirect("/text"),
    ["GET /to/self"] = redirect("/to/self"),
    ["* /to/show"] = redirect("/show"),
    ["* /to/show/:status"] = function(req)
      return tonumber(req.params.status), nil, { Location = "/show" }
    end,
    ["GET /to/nowhere"] = redirect("http://127.0.0.1:1/"),
    ["GET /to/bad"] = redirect("gopher://x/"),
    ["GET /flaky"] = function()
      flaky = flaky + 1
      return 200, tostring(flaky), { Connection = "close" }
    end,
    ["POST /upload"] = { stream = true, body_limit = "64MB", handler = function(req)
      local size = 0
      local piece, err = req.body:read()
      while piece do
        size = size + #piece
        piece, err = req.body:read()
      end
      if err then return 400 end
      return 200, { size = size, length = req.headers["Content-Length"] or false }
    end },
    ["POST /refuse"] = { stream = true, handler = function() return 413, "too much" end },
  } })
end

describe("http client:", function()
  local url, port, stats, stop

  setup(function() url, port, stats, stop = support_http.serve(serve) end)

  teardown(function() stop() end)

  local function shown(method, path, options)
    local res, err = http.request(method, url .. path, options)
    assert.is_nil(err)
    return assert(res:json())
  end

  describe("methods", function()
    it("are sent as they are called", function()
      for _, name in ipairs { "get", "post", "put", "patch", "delete", "options" } do
        assert.equal(name:upper(), http[name](url .. "/show"):json("method"))
      end
      local res = http.head(url .. "/show")
      assert.equal(200, res.status)
      assert.equal("", res.body)
      assert.is_true(tonumber(res.headers["Content-Length"]) > 0)
    end)

    it("may be any token", function()
      assert.equal("PROPFIND", http.request("PROPFIND", url .. "/show"):json("method"))
    end)

    it("that cannot be sent raise", function()
      for _, bad in ipairs { "", "GE T", "G\r\nX: y", ("M"):rep(65) } do
        assert.has_error(function() http.request(bad, url) end)
      end
      assert.has_error(function() http.request("CONNECT", url) end)
    end)
  end)

  describe("a response", function()
    it("has a status, its text, headers, a body, a URL and a protocol", function()
      local res, err, code = http.get(url .. "/text")
      assert.is_nil(err)
      assert.is_nil(code)
      assert.same({ 200, "OK", "hello", 5, url .. "/text", "HTTP/1.1", 0 }, {
        res.status, res.status_text, res.body, res.body_size, res.url, res.proto, res.error_code,
      })
      assert.is_nil(res.error)
      assert.is_nil(res.tls_version)
      assert.equal("text/plain; charset=utf-8", res.headers["Content-Type"])
      assert.equal("response: 200", tostring(res))
      assert.is_nil(res.no_such_field)
    end)

    it("has k6's timings, in milliseconds", function()
      local timings = http.get(url .. "/text").timings
      local names = {}
      for name, value in pairs(timings) do
        assert.is_true(value >= 0, name)
        table.insert(names, name)
      end
      table.sort(names)
      assert.same({ "blocked", "connecting", "duration", "receiving", "sending", "tls_handshaking",
        "waiting" }, names)
      local sum = timings.sending + timings.waiting + timings.receiving
      assert.is_true(math.abs(timings.duration - sum) < 1e-6)
    end)

    it("finds headers in any case, joins those that may be joined", function()
      local headers = http.get(url .. "/headers").headers
      assert.equal("one, two", headers["x-many"])
      assert.equal("one, two", headers["X-MANY"])
      assert.equal("a=1; Path=/\nb=2", headers["set-cookie"])
      assert.equal("low", headers["X-Lower"])
      assert.is_nil(headers["x-none"])
      local seen = {}
      for name, value in pairs(headers) do seen[name] = value end
      assert.equal("low", seen["X-Lower"])
      headers["x-mine"] = "1"
      assert.equal("1", headers["X-Mine"])
    end)

    it("decodes JSON, all of it or by a path", function()
      local res = http.get(url .. "/json")
      assert.same({ items = { { id = 7, name = "seven" } }, none = json.null }, (res:json()))
      assert.equal(7, res:json("items[1].id"))
      assert.equal(json.null, (res:json("none")))
      local value, err, code = res:json("items[2].id")
      assert.is_nil(value)
      assert.is_string(err)
      assert.equal("not_found", code)
      local text, why, bad = http.get(url .. "/text"):json()
      assert.is_nil(text)
      assert.matches("line 1", why)
      assert.equal("bad_json", bad)
    end)

    it("holds bodies of every size", function()
      for _, size in ipairs { 0, 1, 4095, 4096, 4097, 65535, 65536, 200000, 5000000 } do
        local res = http.get(url .. "/size/" .. size)
        assert.equal(size, res.body_size)
        assert.is_true(res.body == ("x"):rep(size))
        assert.is_true(res.body == ("x"):rep(size)) -- again
      end
    end)

    it("counts a body that nobody reads, and lets it go", function()
      local res = http.get(url .. "/size/300000")
      assert.equal(300000, res.body_size)
      res:close()
      res:close()
      assert.equal("", res.body)
      do
        local other <close> = http.get(url .. "/size/300000")
        assert.equal(200, other.status)
      end
    end)

    it("is an answer whatever its status", function()
      for _, status in ipairs { 201, 204, 304, 400, 404, 418, 500, 503 } do
        local res, err = http.get(url .. "/status/" .. status)
        assert.is_nil(err)
        assert.equal(status, res.status)
        assert.equal(status >= 400 and 1000 + status or 0, res.error_code)
      end
    end)

    it("comes in chunks as well", function()
      local res = http.get(url .. "/chunks/500")
      assert.equal(200, res.status)
      assert.equal("chunked", res.headers["Transfer-Encoding"])
      local count = select(2, res.body:gsub("chunk %d+\n", ""))
      assert.equal(500, count)
    end)
  end)

  describe("options", function()
    it("headers are sent in the order of their names, lists as lines", function()
      local sent = shown("GET", "/show", { headers = {
        ["X-Text"] = "text", ["X-Number"] = 5, ["X-Float"] = 2.5, ["X-List"] = { "a", "b" },
      } }).headers
      assert.equal("text", sent["X-Text"])
      assert.equal("5", sent["X-Number"])
      assert.equal("2.5", sent["X-Float"])
      assert.equal("a, b", sent["X-List"])
      assert.matches("^perilune/", sent["User-Agent"])
      sent = shown("GET", "/show", { headers = { ["user-agent"] = "mine" } }).headers
      assert.equal("mine", sent["User-Agent"])
    end)

    it("headers that would break the request raise", function()
      local bad = {
        { ["X-A"] = "b\r\nX-Evil: 1" }, { ["X-A\r\nX-Evil"] = "b" }, { ["X A"] = "b" },
        { [""] = "b" },
        { ["X-A"] = "b\0c" }, { ["Content-Length"] = 5 }, { ["Transfer-Encoding"] = "chunked" },
        { ["X-A"] = {} , ["X-B"] = { {} } }, { "list" }, { ["X-A"] = print },
      }
      for _, headers in ipairs(bad) do
        assert.has_error(function() http.get(url .. "/show", { headers = headers }) end)
      end
    end)

    it("query goes behind what the URL has, in the order of its names", function()
      local query = { b = "x y&z=ü", a = { 1, 2.5, true }, c = "" }
      local target = shown("GET", "/show?first=1#part", { query = query }).target
      assert.equal("/show?first=1&a=1&a=2.5&a=true&b=x+y%26z%3D%C3%BC&c=", target)
      assert.equal("/show?q=1", shown("GET", "/show", { query = "q=1" }).target)
    end)

    it("body, json and form are sent with their type and length", function()
      local sent = shown("POST", "/show", { body = "raw" })
      assert.same({ "raw", "3" }, { sent.body, sent.headers["Content-Length"] })
      assert.is_nil(sent.headers["Content-Type"])
      sent = shown("POST", "/show", { json = { b = { 1, 2 }, a = "x" } })
      assert.same({ '{"a":"x","b":[1,2]}', "application/json" },
        { sent.body, sent.headers["Content-Type"] })
      sent = shown("PUT", "/show", { form = { name = "Ada L", list = { "a", "b" } } })
      assert.same({ "list=a&list=b&name=Ada+L", "application/x-www-form-urlencoded" },
        { sent.body, sent.headers["Content-Type"] })
      sent = shown("POST", "/show", { json = 5, headers = { ["content-type"] = "text/mine" } })
      assert.same({ "5", "text/mine" }, { sent.body, sent.headers["Content-Type"] })
      sent = shown("POST", "/show", { json = false })
      assert.equal("false", sent.body)
      assert.equal("0", shown("POST", "/show").headers["Content-Length"])
      local large = ("0123456789"):rep(100000)
      assert.is_true(http.post(url .. "/show", { body = large }):json("body") == large)
    end)

    it("body, json and form exclude each other", function()
      assert.has_error(function() http.post(url, { body = "a", json = {} }) end,
        "options 'body', 'json' and 'form' exclude each other")
      assert.has_error(function() http.post(url, { form = {}, json = {} }) end)
      assert.has_error(function() http.post(url, { json = { print } }) end)
    end)

    it("auth is basic", function()
      local function sent(auth)
        return shown("GET", "/show", { auth = auth }).headers.Authorization
      end
      assert.equal("Basic dXNlcjpwYTpzcw==", sent("user:pa:ss"))
      assert.equal("Basic dXNlcjpwYTpzcw==", sent({ "user", "pa:ss" }))
      local with_user = url:gsub("://", "://u:p@") .. "/show"
      assert.equal("Basic dTpw", http.get(with_user):json("headers.Authorization"))
      for _, bad in ipairs { "nocolon", 5, {}, { "a" }, { "a:b", "c" } } do
        assert.has_error(function() http.get(url, { auth = bad }) end)
      end
      assert.has_error(function()
        http.get(url, { auth = "a:b", headers = { authorization = "x" } })
      end)
    end)

    it("cookies are one line", function()
      local sent = shown("GET", "/show", { cookies = { b = "two", a = 1 } }).headers
      assert.equal("a=1; b=two", sent.Cookie)
      assert.has_error(function() http.get(url, { cookies = { a = "1; b=2" } }) end)
      assert.has_error(function() http.get(url, { cookies = { ["a b"] = "1" } }) end)
      assert.has_error(function()
        http.get(url, { cookies = { a = "1" }, headers = { cookie = "b=2" } })
      end)
    end)

    it("may change from call to call in the same table", function()
      local options = { headers = { ["X-N"] = 0 } }
      for i = 1, 5 do
        options.headers["X-N"] = i
        assert.equal(tostring(i), shown("GET", "/show", options).headers["X-N"])
      end
    end)

    it("that nobody knows raise with the nearest", function()
      assert.has_error(function() http.get(url, { headrs = {} }) end,
        "unknown option 'headrs' (did you mean 'headers'?)")
      assert.has_error(function() http.get(url, { timeout = { conect = 1 } }) end,
        "unknown option 'conect' (did you mean 'connect'?)")
      assert.has_error(function() http.get(url, { tls = { insecure = true } }) end)
      assert.has_error(function() http.get(url, { [1] = true }) end)
      assert.has_error(function() http.get(url, "text") end)
    end)

    it("of the wrong kind raise, naming the option", function()
      local bad = {
        headers = 5, query = 5, form = "a=b", timeout = "soon", redirects = -1, tags = "a",
        name = 5, tls = true, proxy = 5, cookies = "a=b", stream = 1, socket = 5, resolve = "a",
        body_limit = "x",
        auth = true, body = 5,
      }
      for name, value in pairs(bad) do
        local ok, message = pcall(http.get, url, { [name] = value })
        assert.is_false(ok, name)
        assert.matches("option '" .. name .. "'", message)
      end
      assert.has_error(function() http.get(url, { redirects = 101 }) end)
      assert.has_error(function() http.get() end)
      assert.has_error(function() http.request("GET") end)
    end)

    it("resolve leads a name elsewhere, also on another port", function()
      local at = ("http://example.com:%d/text"):format(port)
      local resolve = { [("example.com:%d"):format(port)] = "127.0.0.1" }
      assert.equal("hello", http.get(at, { resolve = resolve }).body)
      local elsewhere = { resolve = { ["*.example.com"] = ("127.0.0.1:%d"):format(port) } }
      assert.equal("hello", http.get("http://a.example.com/text", elsewhere).body)
      local shown_at = http.get("http://a.example.com/show", elsewhere)
      assert.equal("a.example.com", shown_at:json("headers.Host"))
      assert.has_error(function()
        http.get(at, { resolve = { ["example.com"] = "no address" } })
      end)
    end)

    it("tags and a name of any number are taken up to the limit", function()
      local tags = {}
      for i = 1, 32 do tags["t" .. i] = i end
      assert.equal(200, http.get(url .. "/text", { tags = tags, name = "n" }).status)
      tags.more = 1
      assert.has_error(function() http.get(url .. "/text", { tags = tags }) end)
    end)
  end)

  describe("redirects", function()
    it("are followed, ten at most", function()
      local res = http.get(url .. "/to/text")
      assert.same({ 200, "hello", url .. "/text" }, { res.status, res.body, res.url })
      local looped, err, code = http.get(url .. "/to/self")
      assert.equal(0, looped.status)
      assert.equal("too_many_redirects", code)
      assert.is_string(err)
    end)

    it("are answers with redirects = 0", function()
      local res = http.get(url .. "/to/text", { redirects = 0 })
      assert.same({ 302, "/text" }, { res.status, res.headers.Location })
    end)

    it("keep method and body where the status says so", function()
      assert.same({ "GET", "" }, { http.post(url .. "/to/show", { body = "b" }):json("method"),
        http.post(url .. "/to/show", { body = "b" }):json("body") })
      for _, status in ipairs { 307, 308 } do
        local sent = shown("POST", "/to/show/" .. status, { body = "kept" })
        assert.same({ "POST", "kept" }, { sent.method, sent.body })
      end
      assert.equal("GET", shown("POST", "/to/show/303", { body = "b" }).method)
    end)

    it("to nowhere are errors of the place they lead to", function()
      local res, _, code = http.get(url .. "/to/nowhere")
      assert.same({ 0, "ECONNREFUSED", 1212 }, { res.status, code, res.error_code })
      local bad, _, why = http.get(url .. "/to/bad")
      assert.same({ 0, "bad_url", 1020 }, { bad.status, why, bad.error_code })
    end)
  end)

  describe("errors", function()
    it("keep the response as the first result", function()
      local res, err, code = http.get("http://127.0.0.1:1/")
      assert.same({ 0, "ECONNREFUSED", 1212 }, { res.status, code, res.error_code })
      assert.equal("cannot connect to 127.0.0.1:1: Connection refused", err)
      assert.equal(err, res.error)
      assert.same({ "", 0, "http://127.0.0.1:1/" }, { res.body, res.body_size, res.url })
      assert.is_nil(res.proto)
      assert.is_nil(next(res.headers))
      local value, why, name = res:json()
      assert.is_nil(value)
      assert.same({ err, code }, { why, name })
    end)

    it("name what is wrong with a URL", function()
      local urls = { "", "127.0.0.1", "ftp://a/", "http://", "http://a:99999/", "http://a b/" }
      for _, bad in ipairs(urls) do
        local res, err, code = http.get(bad)
        assert.same({ 0, "bad_url", 1020 }, { res.status, code, res.error_code }, bad)
        assert.is_true(#err > #bad)
      end
    end)

    it("do not show passwords", function()
      local _, err = http.get("http://user:secret@127.0.0.1:" .. port .. "/cut")
      assert.is_nil(err:find("secret", 1, true))
    end)

    it("tell a name that does not exist", function()
      local res, _, code = http.get("http://no-such-host.invalid/")
      assert.same({ 0, "dns", 1101 }, { res.status, code, res.error_code })
    end)

    it("tell an answer that breaks off", function()
      local res, _, code = http.get(url .. "/cut")
      assert.equal(0, res.status)
      assert.is_true(code == "bad_http" or code == "ECONNRESET", code)
    end)

    it("tell a body over the limit", function()
      local res, _, code = http.get(url .. "/endless", { body_limit = "100KB" })
      assert.same({ 0, "too_large" }, { res.status, code })
      assert.equal(200, http.get(url .. "/size/1000", { body_limit = 1000 }).status)
      assert.equal(0, http.get(url .. "/size/1001", { body_limit = 1000 }).status)
    end)

    it("tell a limit of the actor's memory", function()
      local message = support.end_of_with({ memory_limit = "2MB" }, function(at)
        local client = require "perilune.http"
        local res, _, code = client.get(at .. "/size/10000000")
        assert(res.status == 0 and code == "no_memory", code)
      end, url)
      assert.same({ "normal" }, { message.reason }, message.error)
    end)
  end)

  describe("time-outs", function()
    it("are of the whole, of connecting and of the first byte", function()
      local res, err, code = http.get(url .. "/slow", { timeout = "50ms" })
      assert.same({ 0, "timeout", 1050 }, { res.status, code, res.error_code })
      assert.matches("waiting for the answer", err)
      local function code_of(path, timeout)
        return select(3, http.get(url .. path, { timeout = timeout }))
      end
      assert.equal("timeout", code_of("/slow", { first_byte = "50ms" }))
      assert.equal("timeout", code_of("/slow_body", { total = "50ms" }))
    end)

    it("of the first byte lets a slow body be slow", function()
      local res = http.get(url .. "/slow_body", { timeout = { first_byte = "20s" }, stream = true })
      assert.equal("first", res.body:read())
      assert.equal("timeout", select(3, res.body:read("20ms")))
      res:close()
    end)

    it("are cut by with_timeout, which cancels the request", function()
      local value, _, code = timer.with_timeout("50ms", http.get, url .. "/slow")
      assert.is_nil(value)
      assert.equal("timeout", code)
    end)

    it("do not hold who is cancelled", function()
      local task = actor.task(function() return http.get(url .. "/slow") end)
      timer.sleep("20ms")
      task:cancel()
      assert.equal("cancelled", select(3, task:wait()))
    end)
  end)

  describe("streams", function()
    it("give the status before the body, and the body as it comes", function()
      local res = http.get(url .. "/chunks/1000", { stream = true })
      assert.equal(200, res.status)
      local parts = {}
      for part in res.body do table.insert(parts, part) end
      local text = table.concat(parts)
      assert.equal(1000, select(2, text:gsub("chunk %d+\n", "")))
      assert.equal(#text, res.body_size)
      assert.is_nil(res.body:read())
      assert.is_true(res.timings.duration >= 0)
      assert.has_error(function() res:json() end)
    end)

    it("hold the server back when nobody reads", function()
      local res = http.get(url .. "/endless", { stream = true })
      timer.sleep("50ms")
      local held = actor.info(actor.self()).memory_bytes
      timer.sleep("50ms")
      assert.is_true(actor.info(actor.self()).memory_bytes < held + 1000000)
      local size = 0
      while size < 3000000 do size = size + #res.body:read() end
      res:close()
      assert.equal("closed", select(3, res.body:read()))
    end)

    it("tell how they ended", function()
      local res = http.get(url .. "/cut", { stream = true })
      assert.equal("the beginning", (res.body:read()))
      local part, _, code = res.body:read()
      assert.is_nil(part)
      assert.is_true(code == "bad_http" or code == "ECONNRESET", code)
      assert.has_error(function()
        for _ in http.get(url .. "/cut", { stream = true }).body do end -- luacheck: ignore
      end)
    end)

    it("end with their response, and with who opened them", function()
      local before = stats().aborted
      do
        local res <close> = http.get(url .. "/endless", { stream = true })
        assert.is_string(res.body:read())
      end
      support.eventually(function() return stats().aborted > before end, "closed")
      before = stats().aborted
      support.in_actor(function(at)
        local client = require "perilune.http"
        assert(client.get(at .. "/endless", { stream = true }).body:read())
      end, url)
      support.eventually(function() return stats().aborted > before end, "ended with its actor")
    end)

    it("can only be read, and by one task", function()
      local res <close> = http.get(url .. "/slow_body", { stream = true })
      assert.has_error(function() res.body:write("x") end)
      assert.equal("first", res.body:read())
      local reader = actor.task(function() return res.body:read() end)
      timer.sleep("5ms")
      assert.has_error(function() res.body:read() end)
      reader:cancel()
    end)
  end)

  describe("bodies that are produced", function()
    it("by a function go out in chunks", function()
      local n = 0
      local res = http.post(url .. "/upload", { body = function()
        n = n + 1
        if n == 50 then timer.sleep("5ms") end
        if n <= 100 then return ("x"):rep(n) end
      end })
      assert.same({ size = 5050, length = false }, (res:json()))
    end)

    it("go out with a length that is told", function()
      local left = 3
      local function produce()
        left = left - 1
        if left >= 0 then return "abc" end
      end
      local res = http.post(url .. "/upload",
        { body = produce, headers = { ["Content-Length"] = 9 } })
      assert.same({ 9, "9" }, { res:json("size"), res:json("length") })
    end)

    it("are refused when they are not as long as told", function()
      for _, length in ipairs { 2, 4 } do
        local once = true
        local function produce()
          if not once then return nil end
          once = false
          return "abc"
        end
        local res, _, code = http.post(url .. "/upload",
          { body = produce, headers = { ["Content-Length"] = length } })
        assert.same({ 0, "bad_value" }, { res.status, code })
      end
    end)

    it("may be a stream: what comes from one server goes to another", function()
      local source = http.get(url .. "/size/3000000", { stream = true })
      assert.equal(3000000, http.post(url .. "/upload", { body = source.body }):json("size"))
    end)

    it("that fail fail the request", function()
      local function upload(producer) return http.post(url .. "/upload", { body = producer }) end
      local res, err, code = upload(function() return nil, "no file", "eof" end)
      assert.same({ 0, "eof" }, { res.status, code })
      assert.matches("no file", err)
      assert.has_error(function() upload(function() error("oops", 0) end) end, "oops")
      assert.has_error(function() upload(function() return 5 end) end)
      local cut = http.get(url .. "/cut", { stream = true })
      assert.equal(0, http.post(url .. "/upload", { body = cut.body }).status)
    end)

    it("end early when the answer does", function()
      local n = 0
      local res = http.post(url .. "/refuse", { body = function()
        n = n + 1
        timer.sleep("1ms")
        if n < 100000 then return ("x"):rep(1000) end
      end })
      assert.same({ 413, "too much" }, { res.status, res.body })
      assert.is_true(n < 100000)
    end)

    it("are left when their task is cancelled", function()
      local closed = false
      local task = actor.task(function()
        http.post(url .. "/upload", { body = function()
          local guard <close> = support.closer(function() closed = true end)
          timer.sleep("30s")
          return tostring(guard)
        end })
      end)
      timer.sleep("10ms")
      task:cancel()
      assert.is_true(closed)
    end)
  end)

  describe("many requests", function()
    it("share connections that are kept", function()
      local before = stats().accepted
      for _ = 1, 50 do assert.equal(200, http.get(url .. "/text").status) end
      assert.is_true(stats().accepted - before <= 1)
    end)

    it("get a new connection when the server closes them", function()
      for i = 1, 5 do assert.equal(tostring(i), http.get(url .. "/flaky").body) end
    end)

    it("run side by side", function()
      local tasks = {}
      for i = 1, 200 do
        tasks[i] = actor.task(function() return http.get(url .. "/show/" .. i):json("path") end)
      end
      for i, result in ipairs(actor.wait_all(tasks)) do assert.equal("/show/" .. i, result[1]) end
    end)

    it("of different URLs leave no more behind than of one", function()
      local function memory()
        collectgarbage()
        collectgarbage()
        return actor.info(actor.self()).memory_bytes
      end
      for i = 1, 50 do http.get(url .. "/show/" .. i) end
      local before = memory()
      for i = 1, 2000 do http.get(url .. "/show/" .. i) end
      assert.is_true(memory() - before < 100000)
    end)

    it("wait in coroutines of the script's own, too", function()
      local routine = coroutine.wrap(function()
        coroutine.yield(http.get(url .. "/text").body)
        return http.get(url .. "/status/201").status
      end)
      assert.same({ "hello", 201 }, { routine(), routine() })
    end)

    it("cannot be made where nothing can wait", function()
      local ok, message = pcall(table.sort, { 1, 2, 3 }, function() http.get(url) end)
      assert.is_false(ok)
      assert.matches("cannot wait inside", message)
    end)
  end)

  describe("batch", function()
    it("answers under the keys of the requests", function()
      local results = http.batch {
        url .. "/text",
        { "POST", url .. "/show", { body = "b" } },
        { method = "PUT", url = url .. "/show", json = { 1 } },
        named = { url = url .. "/status/404" },
        bad = "http://127.0.0.1:1/",
      }
      assert.equal("hello", results[1].body)
      assert.equal("b", results[2]:json("body"))
      assert.same({ "PUT", "[1]" }, { results[3]:json("method"), results[3]:json("body") })
      assert.equal(404, results.named.status)
      assert.equal(1212, results.bad.error_code)
    end)

    it("keeps k6's limits, or others", function()
      local running, most = 0, 0
      local busy <close> = http.serve { routes = { ["GET /"] = function()
        running = running + 1
        most = math.max(most, running)
        timer.sleep("2ms")
        running = running - 1
        return 200
      end } }
      local requests = {}
      for i = 1, 40 do requests[i] = busy.url .. "/" end
      http.batch(requests)
      assert.equal(6, most)
      most = 0
      http.batch(requests, { batch_per_host = 30, batch = 9 })
      assert.equal(9, most)
      for i = 1, 40 do requests[i] = ("http://host%d.test/"):format(i) end
      for i = 1, 40 do
        local options = { resolve = { ["*.test"] = "127.0.0.1:" .. busy.port } }
        requests[i] = { "GET", requests[i], options }
      end
      most = 0
      http.batch(requests)
      assert.equal(20, most)
    end)

    it("refuses what it does not understand, and runs nothing then", function()
      assert.has_error(function() http.batch(5) end, "batch: a table expected, got number")
      assert.has_error(function() http.batch { url, 5 } end,
        "batch: entry 2: a URL or a table expected, got number")
      assert.has_error(function() http.batch { { "GET" } } end)
      assert.has_error(function() http.batch({ url }, { bach = 1 }) end)
      assert.has_error(function() http.batch({ url }, { batch = 0 }) end)
      assert.has_error(function() http.batch { { "GET", url, { headrs = 1 } } } end)
      assert.same({}, http.batch {})
    end)

    it("is cancelled as a whole", function()
      local both = { url .. "/slow", url .. "/slow" }
      local value, _, code = timer.with_timeout("20ms", http.batch, both)
      assert.is_nil(value)
      assert.equal("timeout", code)
    end)
  end)
end)
