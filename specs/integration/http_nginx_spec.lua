local actor = require "perilune.actor"
local http = require "perilune.http"
local support = require "specs.support.http"

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

describe("http client and nginx:", function()
  local folder, certificates, nginx, tls_port

  setup(function()
    folder = support.folder()
    certificates = support.certificates(folder)
    tls_port = support.free_port()
    local lines = {}
    for i = 1, 3000 do lines[i] = ("line %d of a text that is worth compressing"):format(i) end
    support.write(folder .. "/text", table.concat(lines, "\n"))
    nginx = support.nginx(([[
      gzip on; gzip_min_length 1; gzip_types text/plain;
      server {
        listen 127.0.0.1:$PORT; listen unix:$DIR/socket;
        location / { return 200 "hello, world\n"; }
        location = /nothing { return 204; }
        location = /gone { return 410 "gone"; }
        location = /moved { return 301 /; }
        location = /close { keepalive_timeout 0; return 200 "bye"; }
        location = /echo { client_max_body_size 1m; proxy_pass http://127.0.0.1:$PORT/echoed; }
        location = /echoed { return 200 "$request_method $content_length"; }
        location = /who { auth_basic "here"; auth_basic_user_file FOLDER/users; alias FOLDER/text; }
        location = /text { root FOLDER; }
      }
      server {
        listen 127.0.0.1:TLS ssl; ssl_certificate SERVER; ssl_certificate_key SERVERKEY;
        ssl_client_certificate CA; ssl_verify_client optional; ssl_protocols TLSv1.2 TLSv1.3;
        location / { return 200 "$ssl_protocol $ssl_client_verify"; }
        location = /text { root FOLDER; }
      }
    ]]):gsub("FOLDER", folder):gsub("TLS", tls_port, 1):gsub("SERVERKEY", certificates.server_key)
      :gsub("SERVER", certificates.server):gsub("CA;", certificates.ca .. ";"))
    support.write(folder .. "/users", "ada:{PLAIN}secret\n")
  end)

  teardown(function()
    support.stop(nginx)
    support.remove(folder)
  end)

  local function tls_url(path) return ("https://127.0.0.1:%d%s"):format(tls_port, path or "/") end

  it("plain answers, with and without a body", function()
    local res = http.get(nginx.url)
    assert.same({ 200, "hello, world\n", "text/plain" },
      { res.status, res.body, res.headers["Content-Type"] })
    assert.matches("^nginx", res.headers.server)
    local nothing = http.get(nginx.url .. "/nothing")
    assert.same({ 204, "" }, { nothing.status, nothing.body })
    assert.same({ 200, "" }, { http.head(nginx.url).status, http.head(nginx.url).body })
    local gone = http.get(nginx.url .. "/gone")
    assert.same({ 410, 1410, "gone" }, { gone.status, gone.error_code, gone.body })
  end)

  it("a thousand on one connection, and after it was closed", function()
    for _ = 1, 1000 do assert.equal(200, http.get(nginx.url).status) end
    for _ = 1, 5 do assert.equal("bye", http.get(nginx.url .. "/close").body) end
    assert.equal(200, http.get(nginx.url).status)
  end)

  it("many at once", function()
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = actor.task(function()
        local bytes = 0
        for _ = 1, 20 do bytes = bytes + #http.get(nginx.url .. "/text").body end
        return bytes
      end)
    end
    local size = #read_file(folder .. "/text")
    for _, result in ipairs(actor.wait_all(tasks)) do assert.equal(20 * size, result[1]) end
  end)

  it("a compressed body is decoded when it is read, and as it streams", function()
    local text = read_file(folder .. "/text")
    local options = { headers = { ["Accept-Encoding"] = "gzip" } }
    local res = http.get(nginx.url .. "/text", options)
    assert.equal("gzip", res.headers["Content-Encoding"])
    assert.is_true(res.body_size < #text / 3)
    assert.is_true(res.body == text)
    assert.equal("hello, world\n", http.get(nginx.url, options).body)
    options.stream = true
    local parts = {}
    for part in http.get(nginx.url .. "/text", options).body do table.insert(parts, part) end
    assert.is_true(table.concat(parts) == text)
    options.stream = nil
    assert.equal("", http.head(nginx.url .. "/text", options).body)
  end)

  it("what it decodes to is limited as well", function()
    local res = http.get(nginx.url .. "/text",
      { headers = { ["Accept-Encoding"] = "gzip" }, body_limit = "100KB" })
    assert.equal(200, res.status)
    assert.is_nil(res.body)
    assert.is_string(res.error)
    assert.equal("too_large", select(3, res:json()))
  end)

  it("a body that is not what it says cannot be read", function()
    local liar <close> = http.serve { routes = {
      ["GET /"] = function() return 200, "no gzip at all", { ["Content-Encoding"] = "gzip" } end,
      ["GET /br"] = function() return 200, "who knows", { ["Content-Encoding"] = "br" } end,
    } }
    local res = http.get(liar.url)
    assert.same({ 200, 0 }, { res.status, res.error_code })
    assert.is_nil(res.body)
    assert.equal(1701, res.error_code)
    assert.equal("bad_encoding", select(3, res:json()))
    assert.equal("bad_encoding", select(3, http.get(liar.url, { stream = true }).body:read()))
    assert.equal("who knows", http.get(liar.url .. "/br").body)
  end)

  it("redirects, authentication, bodies", function()
    assert.equal("hello, world\n", http.get(nginx.url .. "/moved").body)
    assert.equal(401, http.get(nginx.url .. "/who").status)
    assert.equal(401, http.get(nginx.url .. "/who", { auth = "ada:wrong" }).status)
    assert.equal(200, http.get(nginx.url .. "/who", { auth = "ada:secret" }).status)
    assert.equal("POST 5", http.post(nginx.url .. "/echo", { body = "12345" }).body)
    assert.equal("PUT 300000", http.put(nginx.url .. "/echo", { body = ("x"):rep(300000) }).body)
    assert.equal(413, http.post(nginx.url .. "/echo", { body = ("x"):rep(2000000) }).status)
    local n = 0
    assert.equal("POST 300000", http.post(nginx.url .. "/echo", { body = function()
      n = n + 1
      if n <= 300 then return ("y"):rep(1000) end
    end }).body)
  end)

  it("over a unix socket", function()
    local socket = nginx.folder .. "/socket"
    assert.equal("hello, world\n", http.get("http://any.name/", { socket = socket }).body)
    assert.equal("hello, world\n", http.get("http+unix://" .. socket:gsub("/", "%%2F") .. "/").body)
    local res, _, code = http.get("http://any.name/", { socket = folder .. "/none" })
    assert.same({ 0, "ENOENT" }, { res.status, code })
  end)

  it("through a proxy", function()
    local proxy = support.nginx [[
      server {
        listen 127.0.0.1:$PORT;
        location / { resolver 127.0.0.1; proxy_pass http://$http_host$request_uri; }
      }
    ]]
    finally(function() support.stop(proxy) end)
    local res = http.get(nginx.url .. "/gone", { proxy = proxy.url })
    assert.same({ 410, "gone" }, { res.status, res.body })
    local _, _, code = http.get(nginx.url, { proxy = "gopher://x" })
    assert.equal("bad_config", code)
    assert.equal(200, http.get(nginx.url, { proxy = false }).status)
  end)

  describe("TLS:", function()
    it("a certificate that nobody vouches for is refused", function()
      local res, err, code = http.get(tls_url())
      assert.same({ 0, "tls_unknown_authority", 1310 }, { res.status, code, res.error_code })
      assert.matches("no TLS with 127.0.0.1", err)
    end)

    it("the given authority is believed, for the names of the certificate", function()
      local ca = { ca_file = certificates.ca }
      local res = http.get(tls_url(), { tls = ca })
      assert.same({ 200, "TLSv1.3 NONE", "tls1.3" }, { res.status, res.body, res.tls_version })
      local named = ("https://localhost:%d/"):format(tls_port)
      assert.equal(200, http.get(named, { tls = ca, resolve = { localhost = "127.0.0.1" } }).status)
      local wrong, _, code = http.get(("https://other.test:%d/"):format(tls_port),
        { tls = ca, resolve = { ["other.test"] = "127.0.0.1" } })
      assert.same({ 0, "tls_hostname", 1311 }, { wrong.status, code, wrong.error_code })
      assert.equal(200, http.get(tls_url(), { tls = { ca = read_file(certificates.ca) } }).status)
    end)

    it("anything is believed when the script says so", function()
      local res = http.get(tls_url(), { tls = { insecure_skip_verify = true } })
      assert.equal(200, res.status)
      assert.is_true(res.timings.tls_handshaking >= 0)
    end)

    it("client certificates are shown", function()
      local res = http.get(tls_url(), { tls = {
        ca_file = certificates.ca, cert_file = certificates.client,
        key_file = certificates.client_key,
      } })
      assert.equal("TLSv1.3 SUCCESS", res.body)
    end)

    it("versions are kept to", function()
      local tls = { ca_file = certificates.ca, max_version = "1.2" }
      assert.same({ "TLSv1.2 NONE", "tls1.2" },
        { http.get(tls_url(), { tls = tls }).body, http.get(tls_url(), { tls = tls }).tls_version })
      local _, _, code = http.get(tls_url(), { tls = { min_version = "1.3", max_version = "1.2" } })
      assert.equal("bad_config", code)
      assert.has_error(function() http.get(tls_url(), { tls = { min_version = "9" } }) end)
    end)

    it("files that are not there are errors of the world, wrong combinations mistakes", function()
      local res, err, code = http.get(tls_url(), { tls = { ca_file = folder .. "/none.pem" } })
      assert.same({ 0, "bad_config" }, { res.status, code })
      assert.matches("none.pem", err)
      assert.has_error(function() http.get(tls_url(), { tls = { ca = "x", ca_file = "y" } }) end)
      assert.has_error(function() http.get(tls_url(), { tls = { client_auth = "required" } }) end)
      local half = { cert_file = certificates.client }
      assert.equal("bad_config", select(3, http.get(tls_url(), { tls = half })))
    end)

    it("large bodies pass, both ways of reading them", function()
      local tls = { ca_file = certificates.ca }
      local text = read_file(folder .. "/text")
      assert.is_true(http.get(tls_url("/text"), { tls = tls }).body == text)
      local parts = {}
      local streamed = http.get(tls_url("/text"), { tls = tls, stream = true })
      for part in streamed.body do table.insert(parts, part) end
      assert.is_true(table.concat(parts) == text)
    end)

    it("many at once", function()
      local tls, tasks = { ca_file = certificates.ca }, {}
      for i = 1, 50 do
        tasks[i] = actor.task(function() return http.get(tls_url(), { tls = tls }).status end)
      end
      for _, result in ipairs(actor.wait_all(tasks)) do assert.equal(200, result[1]) end
    end)
  end)

  it("a server that dies and comes back", function()
    local dying = support.nginx
      [[ server { listen 127.0.0.1:$PORT; location / { return 200 "here"; } } ]]
    assert.equal("here", http.get(dying.url).body)
    support.stop(dying)
    local res, _, code = http.get(dying.url)
    assert.same({ 0, "ECONNREFUSED", 1212 }, { res.status, code, res.error_code })
  end)
end)
