-- An HTTP client: requests, answers, errors, time-outs, bodies as they come, many at once.
--
--   perilune exec examples/07_http_client.lua
--
-- It starts a small server of its own on 127.0.0.1 and asks that.
local http = require "perilune.http"
local timer = require "perilune.timer"

local server <close> = assert(http.serve { routes = {
  ["GET /hello"] = function(req) return 200, "hello, " .. (req.query.name or "you") end,
  ["POST /echo"] = function(req)
    return 200, { got = req.body, type = req.headers["content-type"] }
  end,
  ["GET /old"] = function() return 302, nil, { Location = "/hello" } end,
  ["GET /slow"] = function() timer.sleep("10s") return 200 end,
  ["GET /numbers"] = function(_, res)
    local out = res:stream()
    for i = 1, 3 do out:write("number " .. i .. "\n") end
  end,
} })
local url = server.url

-- A request waits without holding up anybody else, and gives back a response. What is not asked
-- for is not made: a body that nobody reads is counted, not copied.
local res = http.get(url .. "/hello")
print(res.status .. ": " .. res.body) --> 200: hello, you
print(res.headers["content-length"]) --> 10
print(res.timings.waiting > 0 and res.timings.duration >= res.timings.waiting) --> true

-- Options. `query` is encoded; `json` and `form` make the body and its type.
print(http.get(url .. "/hello", { query = { name = "A & B" } }).body) --> hello, A & B
print(http.post(url .. "/echo", { json = { id = 7 } }):json("got")) --> {"id":7}
print(http.post(url .. "/echo", { form = { a = 1, b = "x y" } }):json("got")) --> a=1&b=x+y
local typed = { body = "hi", headers = { ["Content-Type"] = "text/x" } }
print(http.post(url .. "/echo", typed):json("type")) --> text/x

-- Redirects are followed, ten at most; with `redirects = 0` they are answers like others.
print(http.get(url .. "/old").url == url .. "/hello") --> true
print(http.get(url .. "/old", { redirects = 0 }).status) --> 302

-- Whatever status an answer has, it is an answer. When there is none, `err` says why, `code` is its
-- short name, and the response is there all the same: its status is 0, its `error_code` k6's.
local missing, none = http.get(url .. "/missing")
print(none == nil and missing.status == 404 and missing.error_code == 1404) --> true

local refused, err, code = http.get("http://127.0.0.1:1/")
print(err) --> cannot connect to 127.0.0.1:1: Connection refused
print(code .. ", " .. refused.status .. ", " .. refused.error_code) --> ECONNREFUSED, 0, 1212

-- Time-outs: one for all of it (60s unless told), or each part of its own.
print(select(3, http.get(url .. "/slow", { timeout = "50ms" }))) --> timeout
print(select(3, http.get(url .. "/slow", { timeout = { connect = "1s", first_byte = "50ms" } })))
--> timeout

-- `stream` returns when the head is there; the body is then read as it comes.
local text = ""
for piece in http.get(url .. "/numbers", { stream = true }).body do text = text .. piece end
print((text:gsub("\n", ";"))) --> number 1;number 2;number 3;

-- A body may be produced while it is sent: a function, called until it gives nil.
local left = 3
local function countdown()
  left = left - 1
  if left >= 0 then return tostring(left) end
end
print(http.post(url .. "/echo", { body = countdown }):json("got")) --> 210

-- Many at once, at most 20 at a time and 6 to one host; the answers have the requests' keys.
local answers = http.batch {
  first = url .. "/hello?name=one",
  second = { "GET", url .. "/hello", { query = { name = "two" } } },
}
print(answers.first.body .. "; " .. answers.second.body) --> hello, one; hello, two
