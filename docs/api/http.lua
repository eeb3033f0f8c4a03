---@meta perilune.http
---HTTP/1.1: a client that keeps its connections, and servers.
---
---A request waits its turn without blocking the thread and gives back `res, err, code`: the
---response is there also when there was no answer (`res.status` is 0 then), and `err` is nil when
---there was one, whatever its status. Misuse raises: an unknown option, a header that cannot be
---sent.
---
---The guide is docs/http.md: every option with its unit and default, the error codes, streaming.
local http = {}

---What all requests take. The table is read when the request is made and may change afterwards; its
---metatable does not count. A `body` that is a function is called for each piece until it gives
---nil; `nil, message, code` from it fails the request.
---@class perilune.http.Options
---@field headers? table<string, any> sent in the order of their names; a list makes several lines
---@field body? string|perilune.actor.Stream|function the bytes, or what gives them piece by piece
---@field json? any sent as JSON, with its Content-Type
---@field form? table<string, any> sent as `application/x-www-form-urlencoded`
---@field query? table<string, any>|string put behind the URL's own query
---@field timeout? number|string|perilune.http.Timeout of the whole, redirects included; default 60s
---@field redirects? integer how many are followed; 0: they are answers like others; default 10
---@field auth? string|table basic authentication: `"user:password"` or `{ user, password }`
---@field cookies? table<string, string|number> sent as one Cookie header
---@field tls? perilune.http.ClientTls
---@field proxy? string|false `"http://[user:password@]host:port"`; false: none
---@field socket? string the path of a unix socket to connect to, whatever the URL's host
---@field resolve? table<string, string> `host`, `host:port`, `*.domain` to `address[:port]`
---@field stream? boolean return when the head is there; `res.body` is then a stream; default false
---@field body_limit? integer|string bytes of a response's body, also decoded; default 256MB
---@field tags? table<string, string|number|boolean> of the request's samples; at most 32
---@field name? string the `name` tag of its samples; default: the URL

---@class perilune.http.Timeout
---@field connect? number|string for the name, the connection and TLS; default 30s
---@field first_byte? number|string from the last byte sent to the first received; default: none
---@field total? number|string of the whole request; default 60s; with `stream`, none

---@class perilune.http.ClientTls
---@field ca_file? string PEM file of authorities to trust besides the system's
---@field ca? string the same as text
---@field cert_file? string PEM file of the client's certificate
---@field cert? string the same as text
---@field key_file? string PEM file of its private key
---@field key? string the same as text
---@field password? string of the key
---@field insecure_skip_verify? boolean take any certificate for any name; default false
---@field min_version? "1.0"|"1.1"|"1.2"|"1.3" default 1.2
---@field max_version? "1.0"|"1.1"|"1.2"|"1.3" default: the newest
---@field ciphers? string OpenSSL's list, up to TLS 1.2

---Requests a URL with GET. Waits.
---@param url string `http`, `https`, or `http+unix://` and a socket's path, percent-encoded
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.get(url, options) end

---The same with POST.
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.post(url, options) end

---The same with PUT.
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.put(url, options) end

---The same with PATCH.
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.patch(url, options) end

---The same with DELETE.
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.delete(url, options) end

---The same with HEAD.
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.head(url, options) end

---The same with OPTIONS.
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.options(url, options) end

---The same with any method but CONNECT. It is sent as it is written.
---@param method string
---@param url string
---@param options? perilune.http.Options
---@return perilune.http.Response res
---@return string? err
---@return string? code
function http.request(method, url, options) end

---Runs requests side by side, at most `batch` of them and `batch_per_host` to one host, and waits
---for all. An entry is a URL, `{ "METHOD", "url", options }`, or `{ method =, url =, ...options }`.
---What cannot be sent raises, and nothing more is begun; what fails is a response with an `error`.
---@param requests table a list, or names as keys
---@param limits? perilune.http.BatchLimits
---@return table<any, perilune.http.Response> responses under the keys of the requests
function http.batch(requests, limits) end

---@class perilune.http.BatchLimits
---@field batch? integer requests at a time; default 20
---@field batch_per_host? integer of these, to one host; default 6

---What came back. Everything is looked up when it is asked for: a body that nobody reads is
---counted, not copied. Header lines of one name are joined with `", "`, those of Set-Cookie with a
---line feed.
---@class perilune.http.Response
---@field status integer 0 when there was no answer
---@field status_text string as the server put it
---@field headers table<string, string> names are written `Content-Type` and found in any case
---@field body string|perilune.actor.Stream|nil decoded; nil when that fails: `error` says why
---@field body_size integer bytes received, before decoding
---@field timings perilune.http.Timings
---@field url string where the answer came from, after redirects
---@field proto? string `"HTTP/1.1"`
---@field tls_version? string `"tls1.3"`
---@field error? string what went wrong
---@field error_code integer k6's; 0 for an answer below 400
local Response = {}

---The body decoded as JSON, or the part of it that a path like `items[1].id` leads to.
---
---Errors: `bad_json`, `not_found`, and those of the request.
---@param path? string
---@return any value
---@return string? err
---@return string? code
function Response:json(path) end

---Lets a body go that nobody reads; of a stream, ends the request. Happens by itself when the
---response is collected, and with `<close>`.
function Response:close() end

---Milliseconds, of the last hop. `duration` is sending, waiting and receiving.
---@class perilune.http.Timings
---@field blocked number until there was a connection, or one was begun
---@field connecting number
---@field tls_handshaking number
---@field sending number
---@field waiting number until the first byte of the answer
---@field receiving number
---@field duration number

---Starts a server in the calling actor: it ends with it. Every request runs its handler in a task
---of its own; an error there answers 500, is logged, and ends nothing else. The segments of a
---route's path are literal, `:name`, or `*` as the last one, which is all the rest; its method may
---be `*`.
---
---Errors: `EADDRINUSE`, `EACCES` and the like, `bad_config` (the host is no address, the TLS
---options do not work).
---@param options perilune.http.ServerOptions
---@return perilune.http.Server? server
---@return string? err
---@return string? code
function http.serve(options) end

---@class perilune.http.ServerOptions
---@field routes table<string, perilune.http.Handler|perilune.http.Route> by `"METHOD /path"`
---@field host? string an address; default 127.0.0.1
---@field port? integer default 0: any free one
---@field socket? string the path of a unix socket instead
---@field tls? perilune.http.ServerTls
---@field backlog? integer connections that may wait to be accepted; default 1024
---@field connections? integer at most at a time, further ones wait; default 10000
---@field body_limit? integer|string of a request, over it 413; default 16MB
---@field head_limit? integer|string bytes of a request's head, over it 431; default 64KB
---@field header_limit? integer headers, over it 431; default 256
---@field head_timeout? number|string for a head to be complete, over it 408; default 10s
---@field idle_timeout? number|string between requests; default 60s
---@field progress_timeout? number|string for each 1 KB that a client brings or takes; default 10s
---@field name? string of a Server header; default: none is sent

---@class perilune.http.Route
---@field handler perilune.http.Handler
---@field stream? boolean begin when the head is there; `req.body` is then a stream; default false
---@field body_limit? integer|string default: the server's

---@class perilune.http.ServerTls
---@field cert_file? string PEM file of the certificate and its chain; this or `cert` is needed
---@field cert? string the same as text
---@field key_file? string PEM file of its private key
---@field key? string the same as text
---@field password? string of the key
---@field ca_file? string PEM file of authorities for client certificates
---@field ca? string the same as text
---@field client_auth? "none"|"optional"|"required" default none
---@field min_version? "1.0"|"1.1"|"1.2"|"1.3" default 1.2
---@field max_version? "1.0"|"1.1"|"1.2"|"1.3" default: the newest
---@field ciphers? string OpenSSL's list, up to TLS 1.2

---Answers a request: with what it returns (a table as body is sent as JSON), or through `res`.
---@alias perilune.http.Handler
---| fun(req: perilune.http.Request, res: perilune.http.Reply): integer?, any, table?

---@class perilune.http.Server
---@field url string `"http://127.0.0.1:8080"`
---@field port integer
local Server = {}

---Listens no more and ends: idle connections at once, requests that are being answered when they
---are, or after the grace. Does not wait. Idempotent; also by `<close>`.
---@param grace? number|string default 5s
function Server:close(grace) end

---What happened so far: `connections`, `exchanges` (now), `accepted`, `requests`, `refused`,
---`timed_out`, `aborted`, `accept_errors` (connections dropped for want of memory, and tries to
---accept that found no file descriptor, at most one in 100 ms), and `connection_bytes`, what an
---idle connection takes.
---
---Errors: `closed`.
---@return table<string, integer>? stats
---@return string? err
---@return string? code
function Server:stats() end

---A request, for its handler. What it is stays when it has been answered, but for a body over 4 KB.
---@class perilune.http.Request
---@field method string
---@field path string without the query, percent-encoded as it came
---@field target string path and query as they came
---@field params table<string, string> of the route, decoded; `*` is the rest
---@field query table<string, string|string[]> decoded; a name that came more than once has a list
---@field headers table<string, string> as those of a response
---@field body string|perilune.actor.Stream a stream where the route says so
---@field proto string `"HTTP/1.1"`
---@field peer? string the client's address, until the request is answered; `"unix"`
local Request = {}

---The body decoded as JSON, or a part of it.
---
---Errors: `bad_json`, `not_found`.
---@param path? string
---@return any value
---@return string? err
---@return string? code
function Request:json(path) end

---The answer to a request, for its handler. Raises when there is one already, and when it cannot be
---sent.
---@class perilune.http.Reply
local Reply = {}

---Answers at once.
---@param status integer 200 to 999
---@param body? string|number|table a table is sent as JSON
---@param headers? table<string, string|number|table>
function Reply:send(status, body, headers) end

---Answers with JSON: `res:json(value)` with status 200, or `res:json(status, value, headers)`.
---@param status integer|any
---@param value? any
---@param headers? table<string, string|number|table>
function Reply:json(status, value, headers) end

---Begins an answer in pieces: a stream to write strings to. A write waits while the client reads
---too slowly; its errors: `closed` when the client has gone. The answer ends with the stream or the
---handler; closed with an error, or left by one, it cuts the connection.
---@param status? integer default 200
---@param headers? table<string, string|number|table> default type `application/octet-stream`
---@return perilune.actor.Stream
function Reply:stream(status, headers) end

---The same for server-sent events: a write takes the data as a string, or a table with `event`,
---`data`, `id`, `retry` (a duration) and `comment`.
---@param headers? table<string, string|number|table>
---@return perilune.actor.Stream
function Reply:sse(headers) end

return http
