local actor = require "perilune.actor"
local http = require "perilune.http"
local timer = require "perilune.timer"
local support = require "specs.support"
local support_http = require "specs.support.http"

local curl, raw = support_http.curl, support_http.raw

-- A server of the test's own; what its handlers log is not shown.
local function serve(routes, options)
  local all = { routes = routes }
  for name, value in pairs(options or {}) do all[name] = value end
  return assert(http.serve(all))
end


local function with_handler(route, handler)
  route.handler = handler
  return route
end

describe("http.serve:", function()
  describe("routes", function()
    it("lead to handlers by method and path, with parameters", function()
      local server <close> = serve {
        ["GET /"] = function() return 200, "root" end,
        ["GET /items/:id"] = function(req) return 200, "item " .. req.params.id end,
        ["GET /items/new"] = function() return 200, "new" end,
        ["DELETE /items/:id"] = function(req) return 200, "deleted " .. req.params.id end,
        ["GET /files/*"] = function(req) return 200, req.params["*"] end,
        ["* /any"] = function(req) return 200, req.method end,
      }
      local function get(path) return http.get(server.url .. path).body end
      assert.same({ "root", "item 5", "new", "item a b/c", "x/y.txt", "" }, {
        get "/", get "/items/5", get "/items/new", get "/items/a%20b%2Fc", get "/files/x/y.txt",
        get "/files/",
      })
      assert.equal("deleted 5", http.delete(server.url .. "/items/5").body)
      assert.equal("PURGE", http.request("PURGE", server.url .. "/any").body)
      assert.equal("4", http.head(server.url .. "/").headers["Content-Length"])
      assert.equal(404, http.get(server.url .. "/none").status)
      local refused = http.put(server.url .. "/items/5")
      assert.same({ 405, "DELETE, GET, HEAD" }, { refused.status, refused.headers.Allow })
    end)

    it("that are none raise", function()
      local bad = {
        ["/items"] = print, ["GET items"] = print, ["GET /a/:"] = print, ["get /"] = print,
        ["GET /*/x"] = print, [5] = print, ["GET /"] = 5, ["POST /"] = { stream = true },
        ["PUT /"] = { handler = print, streams = true },
      }
      for pattern, handler in pairs(bad) do
        assert.has_error(function() http.serve { routes = { [pattern] = handler } } end)
      end
      assert.has_error(function()
        http.serve { routes = { ["GET /:a"] = print, ["GET /:b"] = print } }
      end)
      local ok, message = pcall(http.serve, { routes = { ["WS /chat"] = print } })
      assert.is_false(ok)
      assert.matches("'WS /chat': WebSockets come with the next version", message)
    end)
  end)

  describe("a request", function()
    it("shows what came", function()
      local server <close> = serve { ["POST /a/:b"] = function(req)
        return 200, {
          method = req.method, path = req.path, target = req.target, proto = req.proto,
          query = req.query, b = req.params.b, type = req.headers["content-type"], body = req.body,
          peer = req.peer:match("^[%d.]+:"), shown = tostring(req),
        }
      end }
      local res = http.post(server.url .. "/a/x%2Fy?n=1&m=a+b%21&n=2&flag&n=3",
        { body = "text", headers = { ["Content-Type"] = "text/x" } })
      assert.same({
        method = "POST", path = "/a/x%2Fy", target = "/a/x%2Fy?n=1&m=a+b%21&n=2&flag&n=3",
        proto = "HTTP/1.1", query = { n = { "1", "2", "3" }, m = "a b!", flag = "" }, b = "x/y",
        type = "text/x", body = "text",
        peer = "127.0.0.1:", shown = "request: POST /a/x%2Fy",
      }, (res:json()))
    end)

    it("has bodies of every size, and JSON", function()
      local server <close> = serve {
        ["POST /size"] = function(req)
          return 200, tostring(#req.body) .. " " .. tostring(#req.body)
        end,
        ["POST /json"] = function(req)
          local value, err, code = req:json()
          if err then return 400, { error = err, code = code } end
          return 200, { value = value, id = req:json("id") }
        end,
      }
      for _, size in ipairs { 0, 1, 4096, 4097, 70000, 1000000 } do
        local res = http.post(server.url .. "/size", { body = ("x"):rep(size) })
        assert.equal(size .. " " .. size, res.body)
      end
      assert.equal(7, http.post(server.url .. "/json", { json = { id = 7 } }):json("id"))
      local bad = http.post(server.url .. "/json", { body = "{" })
      assert.same({ 400, "bad_json" }, { bad.status, bad:json("code") })
    end)

    it("keeps what it is when it has been answered, but for a large body", function()
      local seen
      local server <close> = serve { ["POST /"] = function(req, res)
        res:send(200)
        seen = { req.path, req.headers.Host ~= nil, pcall(function() return #req.body end) }
      end }
      http.post(server.url, { body = "small" })
      support.eventually(function() return seen end)
      assert.same({ "/", true, true, 5 }, seen)
      seen = nil
      http.post(server.url, { body = ("x"):rep(10000) })
      support.eventually(function() return seen end)
      assert.is_false(seen[3])
      assert.matches("has been answered", seen[4])
    end)

    it("may be taken as it comes", function()
      local route = { stream = true, body_limit = "100MB" }
      local server <close> = serve { ["POST /"] = with_handler(route, function(req)
        local size = 0
        for piece in req.body do size = size + #piece end
        return 200, tostring(size)
      end) }
      assert.equal("20000000", http.post(server.url, { body = ("x"):rep(20000000) }).body)
      assert.equal("0", http.post(server.url).body)
      local n = 0
      assert.equal("300", http.post(server.url, { body = function()
        n = n + 1
        if n <= 3 then return ("y"):rep(100) end
      end }).body)
    end)

    it("that comes too fast waits in the client", function()
      local read, sent = false, 0
      local route = { stream = true, body_limit = "1GB" }
      local server <close> = serve { ["POST /"] = with_handler(route, function(req)
        support.eventually(function() return read end)
        repeat local piece = req.body:read() until not piece
        return 200
      end) }
      local upload = actor.task(function()
        return http.post(server.url, { body = function()
          sent = sent + 1
          if sent <= 1000 then return ("x"):rep(65536) end
        end }).status
      end)
      local before
      support.eventually(function() -- until no more goes
        local now = sent
        timer.sleep("30ms")
        before = now
        return now > 0 and now == sent
      end)
      assert.is_true(before < 900, before)
      read = true
      assert.equal(200, upload:wait("20s"))
      assert.equal(1001, sent)
    end)
  end)

  describe("an answer", function()
    it("is a status, a body and headers", function()
      local server <close> = serve {
        ["GET /status"] = function() return 202 end,
        ["GET /text"] = function() return 200, "text" end,
        ["GET /number"] = function() return 200, 42 end,
        ["GET /table"] = function() return 201, { a = 1 }, { ["X-A"] = { "1", "2" } } end,
        ["GET /type"] = function() return 200, "<p>", { ["content-type"] = "text/html" } end,
        ["GET /204"] = function() return 204 end,
        ["GET /close"] = function() return 200, "last", { Connection = "close" } end,
      }
      local function get(path)
        local res = http.get(server.url .. path)
        return { res.status, res.body, res.headers["Content-Type"] }
      end
      assert.same({ 202, "" }, get "/status")
      assert.same({ 200, "text", "text/plain; charset=utf-8" }, get "/text")
      assert.same({ 200, "42", "text/plain; charset=utf-8" }, get "/number")
      assert.same({ 201, '{"a":1}', "application/json" }, get "/table")
      assert.equal("1, 2", http.get(server.url .. "/table").headers["X-A"])
      assert.same({ 200, "<p>", "text/html" }, get "/type")
      assert.same({ 204, "" }, get "/204")
      assert.equal("close", http.get(server.url .. "/close").headers.Connection)
      assert.is_string(http.get(server.url .. "/text").headers.Date)
    end)

    it("may be sent by res, once", function()
      local again
      local server <close> = serve {
        ["GET /send"] = function(_, res)
          res:send(203, "sent", { ["X-A"] = "1" })
          again = { pcall(res.send, res, 200) }
        end,
        ["GET /json"] = function(_, res) res:json { 1, 2 } end,
        ["GET /json3"] = function(_, res) res:json(418, { a = 1 }, { ["X-A"] = "1" }) end,
        ["GET /later"] = function(_, res)
          actor.task(function()
            timer.sleep("5ms")
            res:send(200, "later")
          end):wait()
        end,
      }
      local res = http.get(server.url .. "/send")
      assert.same({ 203, "sent", "1" }, { res.status, res.body, res.headers["X-A"] })
      support.eventually(function() return again end)
      assert.is_false(again[1])
      assert.matches("answered already", again[2])
      assert.equal("[1,2]", http.get(server.url .. "/json").body)
      res = http.get(server.url .. "/json3")
      assert.same({ 418, 1 }, { res.status, res:json("a") })
      assert.equal("later", http.get(server.url .. "/later").body)
    end)

    it("may come in pieces, as fast as the client reads", function()
      local written = 0
      local server <close> = serve {
        ["GET /"] = function(_, res)
          local stream = res:stream(200, { ["Content-Type"] = "text/x" })
          for i = 1, 3 do assert.is_true(stream:write("piece " .. i .. "\n")) end
          stream:close()
          assert.equal("closed", select(3, stream:write("more")))
        end,
        ["GET /open"] = function(_, res) res:stream(201):write("left open") end,
        ["GET /fast"] = function(_, res)
          local stream = res:stream()
          while written < 1000 and stream:write(("x"):rep(65536)) do written = written + 1 end
        end,
      }
      local res = http.get(server.url)
      assert.same({ "piece 1\npiece 2\npiece 3\n", "text/x", "chunked" },
        { res.body, res.headers["Content-Type"], res.headers["Transfer-Encoding"] })
      res = http.get(server.url .. "/open")
      assert.same({ 201, "left open" }, { res.status, res.body })
      local slow = http.get(server.url .. "/fast", { stream = true })
      support.eventually(function()
        local now = written
        timer.sleep("30ms")
        return now > 0 and now == written
      end)
      assert.is_true(written < 900, written)
      local size = 0
      for piece in slow.body do size = size + #piece end
      assert.equal(1000 * 65536, size)
    end)

    it("may be a stream of events", function()
      local server <close> = serve {
        ["GET /"] = function(_, res)
          local events = res:sse { ["X-A"] = "1" }
          events:write("plain")
          events:write { event = "tick", data = "two\nlines", id = "7", retry = "2s" }
          events:write { comment = "still here" }
        end,
        ["GET /bad"] = function(_, res)
          local events = res:sse()
          assert.has_error(function() events:write { event = "two\nlines" } end)
          assert.has_error(function() events:write { dta = "x" } end)
          assert.has_error(function() events:write(5.5 == 5) end)
          events:write("fine")
        end,
      }
      local res = http.get(server.url)
      assert.same({ "text/event-stream", "no-store", "1" },
        { res.headers["Content-Type"], res.headers["Cache-Control"], res.headers["X-A"] })
      assert.equal("data: plain\n\nevent: tick\nid: 7\nretry: 2000\ndata: two\ndata: lines\n\n"
        .. ": still here\n\n", res.body)
      assert.equal("data: fine\n\n", http.get(server.url .. "/bad").body)
    end)

    it("goes on without a client that has gone, whose handler is told", function()
      local result
      local server <close> = serve { ["GET /"] = function(_, res)
        local stream = res:stream()
        local ok, err, code
        repeat
          ok, err, code = stream:write(("x"):rep(65536))
        until not ok
        result = { err, code }
      end }
      http.get(server.url, { stream = true }):close()
      support.eventually(function() return result end)
      assert.same({ "the client is gone", "closed" }, result)
    end)
  end)

  describe("a handler that fails", function()
    -- What it does to a client, and what it logs: run as a program of its own.
    local function fail(handler)
      local result = support.exec(([[
        local http = require "perilune.http"
        local server <close> = http.serve { routes = {
          ["GET /bad"] = %s,
          ["GET /good"] = function() return 200, "good" end,
        } }
        local res, err, code = http.get(server.url .. "/bad")
        print(res.status, res.body, code)
        print(http.get(server.url .. "/good").body)
      ]]):format(handler))
      assert.equal(0, result.code, result.err)
      return result.out, result.err
    end

    it("answers 500, is logged with its traceback, and ends nothing else", function()
      local out, err = fail [[function() local function inner() error("oh no") end inner() end]]
      assert.equal("500\t500 Internal Server Error\n\tnil\ngood\n", out)
      assert.matches("the handler of GET /bad failed: .*oh no", err)
      assert.matches("in upvalue 'inner'", (err:gsub("local 'inner'", "upvalue 'inner'")))
    end)

    it("closes its variables", function()
      local out = fail [[function()
        local guard <close> = setmetatable({}, { __close = function() io.write("closed ") end })
        error({ not_a = "string" })
      end]]
      assert.equal("closed 500\t500 Internal Server Error\n\tnil\ngood\n", out)
    end)

    it("is one that answers wrongly, too", function()
      local wrong = {
        ["returned no status"] = "function() end",
        ["status from 200 to 999"] = "function() return 'text' end",
        ["status from 200 to 999 expected, got 100"] = "function() return 100 end",
        ["string or a table expected"] = "function() return 200, true end",
        ["a function has no JSON form"] = "function() return 200, { print } end",
        ["has no body"] = "function() return 204, 'body' end",
        ["cannot be sent"] = "function() return 200, '', { ['X-A'] = 'a\\r\\nb' } end",
        ["are the server's"] = "function() return 200, '', { ['content-length'] = 5 } end",
      }
      for message, handler in pairs(wrong) do
        local out, err = fail(handler)
        assert.equal("500\t500 Internal Server Error\n\tnil\ngood\n", out, message)
        assert.matches(message, err, 1, true)
      end
    end)

    it("in the middle of an answer cuts the connection", function()
      local out = fail [[function(req, res) res:stream():write("some") error("then not") end]]
      assert.matches("^0\t\t.-\ngood\n$", out)
    end)

    it("that answered and returns a status is told so", function()
      local out, err = fail [[function(req, res) res:send(200, "sent") return 200 end]]
      assert.equal("200\tsent\tnil\ngood\n", out)
      assert.matches("answered with res and returned a status", err)
    end)
  end)

  describe("limits", function()
    it("of a body, for all and for a route", function()
      local server <close> = serve({
        ["POST /"] = function(req) return 200, tostring(#req.body) end,
        ["POST /more"] = { body_limit = 2000, handler = function(req)
          return 200, tostring(#req.body)
        end },
      }, { body_limit = 1000 })
      assert.equal("1000", http.post(server.url, { body = ("x"):rep(1000) }).body)
      assert.equal(413, http.post(server.url, { body = ("x"):rep(1001) }).status)
      assert.equal("2000", http.post(server.url .. "/more", { body = ("x"):rep(2000) }).body)
      assert.equal(413, http.post(server.url .. "/more", { body = ("x"):rep(2001) }).status)
    end)

    it("of a head", function()
      local server <close> = serve({ ["GET /"] = function() return 200 end },
        { head_limit = 1000, header_limit = 10 })
      assert.equal(200, http.get(server.url).status)
      assert.equal(431, http.get(server.url, { headers = { ["X-A"] = ("x"):rep(1000) } }).status)
      local many = {}
      for i = 1, 10 do many["X-" .. i] = "1" end
      assert.equal(431, http.get(server.url, { headers = many }).status)
    end)

    it("of connections: those over it wait", function()
      local server <close> = serve({ ["GET /"] = function()
        timer.sleep("5ms")
        return 200, nil, { Connection = "close" }
      end }, { connections = 3 })
      local tasks = {}
      for i = 1, 12 do tasks[i] = actor.task(function() return http.get(server.url).status end) end
      for _ = 1, 3 do
        timer.sleep("2ms")
        assert.is_true(server:stats().connections <= 3)
      end
      for _, result in ipairs(actor.wait_all(tasks)) do assert.equal(200, result[1]) end
    end)

    it("of time for a head and between requests", function()
      local server <close> = serve({ ["GET /"] = function() return 200, "in time" end },
        { head_timeout = "50ms", idle_timeout = "50ms" })
      assert.matches("^HTTP/1.1 408 ", raw(server.port, "GET / HTTP/1.1\r\nHost: a\r\n"))
      local text = raw(server.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") -- then it is idle
      assert.matches("in time$", text)
      support.eventually(function() return server:stats().connections == 0 end)
      assert.equal(1, server:stats().timed_out)
    end)
  end)

  describe("clients", function()
    it("curl, with and without keeping the connection", function()
      local server <close> = serve {
        ["GET /"] = function() return 200, "hello curl" end,
        ["POST /"] = function(req) return 200, req.body end,
        ["POST /form"] = function(req) return 200, req.headers["Content-Type"] end,
      }
      assert.equal("hello curl", (curl(server.url)))
      assert.equal("hello curlhello curl", (curl(server.url, server.url)))
      assert.equal("hello curl", (curl(server.url, "--http1.0")))
      assert.matches("^HTTP/1.1 200 OK", (curl(server.url, "--head")))
      assert.equal("posted", (curl(server.url, "--data", "posted")))
      local large = ("0123456789"):rep(200000)
      local file = support.file(large)
      finally(function() os.remove(file) end)
      assert.is_true(curl(server.url, "--data-binary", "@" .. file) == large)
      local function posted(header)
        return (curl(server.url, "-H", header, "--data-binary", "@" .. file))
      end
      assert.is_true(posted "Transfer-Encoding: chunked" == large)
      assert.is_true(posted "Expect: 100-continue" == large)
      assert.matches("^multipart/form%-data; boundary=", (curl(server.url .. "/form", "-F", "a=b")))
    end)

    it("of a unix socket", function()
      local path = os.tmpname()
      os.remove(path)
      local server = assert(http.serve { socket = path, routes = {
        ["GET /"] = function(req) return 200, req.peer end,
      } })
      assert.equal("unix", (curl("http://any/", "--unix-socket", path)))
      assert.equal("unix", http.get(server.url).body)
      assert.matches("^http%+unix://%%2F", server.url)
      server:close()
      support.eventually(function() return io.open(path) == nil end)
    end)

    it("of IPv6", function()
      local routes = { ["GET /"] = function() return 200, "six" end }
      local server, err = http.serve { host = "::1", routes = routes }
      if not server then return pending("no IPv6 here: " .. err) end
      assert.equal("six", http.get(server.url).body)
      server:close()
    end)

    it("that send several requests at once get the answers in their order", function()
      local server <close> = serve { ["GET /:n"] = function(req)
        timer.sleep(0.003 * (4 - tonumber(req.params.n)))
        return 200, "answer " .. req.params.n
      end }
      local requests = {}
      for i = 1, 3 do
        requests[i] = ("GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n")
          :format(i, i == 3 and "Connection: close\r\n" or "")
      end
      local order = {}
      local answers = raw(server.port, table.concat(requests))
      for n in answers:gmatch("answer (%d)") do table.insert(order, n) end
      assert.same({ "1", "2", "3" }, order)
    end)

    it("that do not speak HTTP, or try to smuggle, are refused", function()
      local handled = 0
      local server <close> = serve { ["* /*"] = function()
        handled = handled + 1
        return 200
      end }
      local bad = {
        [400] = {
          "hello\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            .. "0\r\n\r\n",
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n folded\r\n\r\n",
          "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        },
        [505] = { "GET / HTTP/3.0\r\nHost: a\r\n\r\n" },
      }
      for status, list in pairs(bad) do
        for _, text in ipairs(list) do
          assert.matches(("^HTTP/1.1 %d "):format(status), raw(server.port, text), text)
        end
      end
      assert.equal(0, handled)
      assert.equal(200, http.get(server.url .. "/x").status)
    end)

    it("many of them, all served by one actor", function()
      local server <close> = serve { ["GET /:n"] = function(req)
        timer.sleep("2ms")
        return 200, req.params.n
      end }
      local tasks = {}
      for i = 1, 300 do
        tasks[i] = actor.task(function()
          for _ = 1, 3 do
            if http.get(server.url .. "/" .. i).body ~= tostring(i) then return "wrong" end
          end
          return "right"
        end)
      end
      for _, result in ipairs(actor.wait_all(tasks)) do assert.equal("right", result[1]) end
    end)

    it("do not wait for a handler that only computes", function()
      local is_enough = false
      local server <close> = serve {
        ["GET /busy"] = function()
          local n = 0
          while not is_enough do n = n + 1 end
          return 200, "busy"
        end,
        ["GET /quick"] = function() return 200 end,
      }
      local busy = actor.task(function() return http.get(server.url .. "/busy").body end)
      timer.sleep("1ms")
      for _ = 1, 3 do assert.equal(200, http.get(server.url .. "/quick").status) end
      is_enough = true
      assert.equal("busy", busy:wait())
    end)
  end)

  describe("TLS", function()
    local folder, files

    setup(function()
      folder = support_http.folder()
      files = support_http.certificates(folder)
    end)

    teardown(function() support_http.remove(folder) end)

    it("for curl and for ourselves", function()
      local server <close> = serve({ ["GET /"] = function() return 200, "secret" end },
        { tls = { cert_file = files.server, key_file = files.server_key } })
      assert.matches("^https://127.0.0.1:%d+$", server.url)
      assert.equal("secret", (curl(server.url, "--cacert", files.ca)))
      assert.equal("secret", http.get(server.url, { tls = { ca_file = files.ca } }).body)
      local _, code = curl(server.url)
      assert.equal(60, code) -- curl's: the peer cannot be authenticated
      assert.equal(0, http.get((server.url:gsub("https", "http"))).status)
    end)

    it("with clients that must show who they are", function()
      local server <close> = serve({ ["GET /"] = function() return 200, "known" end }, { tls = {
        cert_file = files.server, key_file = files.server_key, ca_file = files.ca,
        client_auth = "required",
      } })
      assert.equal("known", (curl(server.url, "--cacert", files.ca, "--cert", files.client,
        "--key", files.client_key)))
      local _, code = curl(server.url, "--cacert", files.ca)
      assert.is_true(code ~= 0)
      assert.equal(200, http.get(server.url, { tls = {
        ca_file = files.ca, cert_file = files.client, key_file = files.client_key,
      } }).status)
      assert.equal(0, http.get(server.url, { tls = { ca_file = files.ca } }).status)
    end)

    it("that cannot be set up is an error of the world", function()
      local server, err, code = http.serve
        { routes = {}, tls = { cert_file = folder .. "/none", key_file = "x" } }
      assert.is_nil(server)
      assert.same({ "bad_config" }, { code })
      assert.matches("none", err)
      assert.equal("bad_config", select(3, http.serve { routes = {}, tls = {} }))
    end)
  end)

  describe("its life:", function()
    it("a free port, and its URL", function()
      local server = serve { ["GET /"] = function() return 200 end }
      assert.is_true(server.port > 0)
      assert.equal("http://127.0.0.1:" .. server.port, server.url)
      assert.equal("server: " .. server.url, tostring(server))
      server:close()
      support.eventually(function() return tostring(server) == "closed server: " .. server.url end)
      server:close()
      assert.equal("closed", select(3, server:stats()))
    end)

    it("a port that is taken, a host that is none", function()
      local server <close> = serve {}
      local second, err, code = http.serve { port = server.port, routes = {} }
      assert.is_nil(second)
      assert.equal("EADDRINUSE", code)
      assert.matches(tostring(server.port), err)
      assert.equal("bad_config", select(3, http.serve { host = "no address", routes = {} }))
      local again <close> = assert(http.serve { host = "localhost", routes = {} })
      assert.matches("^http://127.0.0.1:", again.url)
    end)

    it("options that nobody knows, or of the wrong kind, raise", function()
      assert.has_error(function() http.serve { rutes = {} } end,
        "unknown option 'rutes' (did you mean 'routes'?)")
      local wrong = {
        port = 70000, host = 5, routes = 5, tls = 5, backlog = 0, body_limit = "x", connections = 0,
      }
      for name, value in pairs(wrong) do
        assert.has_error(function() http.serve { routes = {}, [name] = value } end)
      end
      assert.has_error(function() http.serve() end)
      assert.has_error(function() http.serve {} end)
      assert.has_error(function()
        http.serve { routes = {}, host = "127.0.0.1", socket = "x.sock" }
      end)
    end)

    it("closing it lets requests end, within the grace", function()
      local released = false
      local server = serve {
        ["GET /short"] = function()
          timer.sleep("50ms")
          return 200, "ended"
        end,
        ["GET /long"] = function()
          repeat timer.sleep("5ms") until released
          return 200
        end,
      }
      local short = actor.task(function() return http.get(server.url .. "/short") end)
      local long = actor.task(function() return http.get(server.url .. "/long") end)
      support.eventually(function() return server:stats().exchanges == 2 end)
      server:close("200ms")
      assert.equal("ECONNREFUSED", select(3, http.get(server.url .. "/short")))
      assert.equal("ended", short:wait().body)
      assert.equal(0, long:wait("10s").status)
      released = true
      support.eventually(function() return select(3, server:stats()) == "closed" end)
    end)

    it("it goes with its actor", function()
      local url, _, _, stop = support_http.serve(function()
        local function wait()
          timer.sleep("20s")
          return 200
        end
        local function answer() return 200 end
        return http.serve { routes = { ["GET /"] = answer, ["GET /wait"] = wait } }
      end)
      assert.equal(200, http.get(url).status)
      local waiting = actor.task(function() return http.get(url .. "/wait") end)
      timer.sleep("10ms")
      stop()
      assert.equal(503, waiting:wait("10s").status)
      support.eventually(function() return select(3, http.get(url)) == "ECONNREFUSED" end)
    end)

    it("nothing is left of thousands of requests", function()
      local server <close> = serve {
        ["GET /:n"] = function(req) return 200, { n = req.params.n, q = req.query } end,
      }
      local function memory()
        collectgarbage()
        collectgarbage()
        return actor.info(actor.self()).memory_bytes
      end
      for _ = 1, 100 do http.get(server.url .. "/1?a=1") end
      local before, tasks = memory(), actor.info(actor.self()).tasks
      for _ = 1, 3000 do http.get(server.url .. "/1?a=1") end
      assert.is_true(memory() - before < 50000)
      assert.equal(tasks, actor.info(actor.self()).tasks)
    end)
  end)
end)
