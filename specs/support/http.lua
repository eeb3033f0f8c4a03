-- What the HTTP specs share: servers in actors of their own, nginx, curl, certificates.

local actor = require "perilune.actor"
local http = require "perilune.http"
local process = require "perilune.process"

local M = {}

--- Runs a server, that which `start()` returns, in an actor of its own: its URL, its port, a
--- function
--- that returns its stats, and one that ends it.
function M.serve(start)
  local pid = assert(actor.spawn(function(parent, begin)
    local server = begin()
    actor.send(parent, { "serving", actor.self(), server.url, server.port })
    actor.serve { stats = function() return server:stats() end }
  end, actor.self(), start))
  local message = assert(actor.receive_match(function(message)
    return type(message) == "table" and message[1] == "serving" and message[2] == pid
  end, "10s"))
  local function stats() return assert(actor.call(pid, { "stats" })) end
  return message[3], message[4], stats, function() actor.exit(pid, "shutdown") end
end

--- A TCP port that nobody uses just now.
function M.free_port()
  local server = assert(http.serve { routes = {} })
  server:close(0)
  return server.port
end

--- Runs a program to its end: its standard output, its exit code and its standard error.
function M.run(...)
  local proc <close> = assert(process.spawn { output_limit = "16MB", ... })
  local code = assert(proc:wait("30s"))
  return proc:output("stdout"), code, proc:output("stderr")
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end
M.write = write

--- A new folder; `M.remove` it.
function M.folder()
  local path = os.tmpname()
  os.remove(path)
  M.run("mkdir", "-m", "755", path)
  return path
end

function M.remove(folder) M.run("rm", "-rf", folder) end

--- curl's answer to a URL, and its exit code; more of its arguments go before the URL.
function M.curl(url, ...)
  local words = { ... }
  table.insert(words, url)
  return M.run("curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20",
    table.unpack(words))
end

--- Sends the bytes to a port of this machine and returns all that comes back until the peer ends.
function M.raw(port, bytes)
  local script = ("exec 3<>/dev/tcp/127.0.0.1/%d; cat >&3; timeout 20 cat <&3"):format(port)
  local proc <close> = assert(process.spawn { "bash", "-c", script, stdin = bytes })
  assert(proc:wait("30s"))
  return proc:output("stdout")
end

--- nginx with these lines in its `http` block; `$DIR` and `$PORT` are replaced. A process with
--- `url`
--- and `folder`; `M.stop` it.
function M.nginx(lines)
  local folder, port = M.folder(), M.free_port()
  local temporary = {}
  for _, name in ipairs { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" } do
    table.insert(temporary, ("%s_temp_path %s/%s;"):format(name, folder, name))
  end
  write(folder .. "/nginx.conf", ([[
daemon off; master_process off; pid $DIR/pid; error_log $DIR/error.log;
events { worker_connections 512; }
http {
  access_log off; default_type text/plain; %s
  %s
}
]]):format(table.concat(temporary, " "), lines):gsub("%$DIR", folder):gsub("%$PORT", port))
  local proc, err = process.spawn {
    "nginx", "-p", folder, "-c", folder .. "/nginx.conf", "-e", folder .. "/error.log",
    name = "nginx", env = { PATH = os.getenv("PATH") .. ":/usr/sbin:/sbin" },
    ready = { port = port, timeout = "10s" },
  }
  local url = "http://127.0.0.1:" .. port
  return assert(proc and { proc = proc, folder = folder, port = port, url = url },
    err)
end

function M.stop(nginx)
  nginx.proc:close()
  M.remove(nginx.folder)
end

local function openssl(...)
  local _, code, err = M.run("openssl", ...)
  assert(code == 0, err)
end

--- An authority and two certificates that it signed, for a server at 127.0.0.1 and localhost and
--- for a
--- client: files in the folder.
function M.certificates(folder)
  local function path(name) return folder .. "/" .. name end
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-days",
    "2", "-subj", "/CN=authority", "-keyout", path "ca.key", "-out", path "ca.pem")
  for name, extension in pairs {
    server = "subjectAltName=IP:127.0.0.1,DNS:localhost", client = "extendedKeyUsage=clientAuth",
  } do
    write(path(name .. ".ext"), extension .. "\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
      "/CN=" .. name, "-keyout", path(name .. ".key"), "-out", path(name .. ".csr"))
    openssl("x509", "-req", "-days", "2", "-in", path(name .. ".csr"), "-CA", path "ca.pem",
      "-CAkey",
      path "ca.key", "-CAcreateserial", "-extfile", path(name .. ".ext"), "-out",
      path(name .. ".pem"))
  end
  return {
    ca = path "ca.pem", server = path "server.pem", server_key = path "server.key",
    client = path "client.pem", client_key = path "client.key",
  }
end

return M
