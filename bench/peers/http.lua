-- The HTTP side: nginx with a configuration of our own on a free port of 127.0.0.1, one worker
-- pinned to core 0, and wrk on core 1. Files live in a temporary folder; nginx ends when this
-- process does, however it ends, because a shell at the other end of a pipe waits for that.

local command = require "command"

local http = {}

http.CONNECTIONS = { 50, 1000 }

local PORT_FIRST, PORT_LAST = 20000, 30000 -- below the ports that the kernel gives to clients
local READY_TRIES = 100                    -- of 50 ms

local CONFIG = [[
daemon off;
worker_processes 1;
worker_cpu_affinity 01;
worker_rlimit_nofile 8192;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  server {
    listen 127.0.0.1:PORT backlog=4096;
    default_type text/plain;
    location / { return 200 "hello, world\n"; }
  }
}
]]

local function ports_in_use()
  local used = {}
  for port in command.read("/proc/net/tcp"):gmatch("%d+: %x+:(%x%x%x%x) ") do
    used[tonumber(port, 16)] = true
  end
  return used
end

local function free_port()
  local used = ports_in_use()
  for _ = 1, PORT_LAST - PORT_FIRST do
    local port = math.random(PORT_FIRST, PORT_LAST)
    if not used[port] then return port end
  end
  error("no free port between " .. PORT_FIRST .. " and " .. PORT_LAST, 0)
end

local function wait_until_ready(server)
  local probe = ("bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d'"):format(server.port)
  for _ = 1, READY_TRIES do
    if command.output(probe) then return end
    command.must("sleep 0.05")
  end
  error("nginx does not answer: " .. command.read(server.folder .. "/error.log"), 0)
end

function http.start()
  local server = { folder = command.first_line(command.must("mktemp -d")), port = free_port() }
  local path = server.folder .. "/nginx.conf"
  local file = assert(io.open(path, "w"))
  local words = { FOLDER = server.folder, PORT = server.port }
  file:write((CONFIG:gsub("%u%u%u%u+", words)))
  file:close()
  local line = ("nginx -p %s -c %s & pid=$!; cat >/dev/null; kill $pid; wait $pid; rm -rf %s")
    :format(server.folder, path, server.folder)
  server.pipe = assert(io.popen("sh -c " .. command.quote(line), "w"))
  server.url = ("http://127.0.0.1:%d/"):format(server.port)
  wait_until_ready(server)
  return server
end

function http.stop(server) server.pipe:close() end

local function wrk(server, connections, seconds)
  local line = ("taskset -c 1 wrk -t1 -c%d -d%ds --timeout 10s %s")
    :format(connections, seconds, server.url)
  local timed = "TIMEFORMAT='cpu %U %S'; time " .. line
  local text = command.must("bash -c " .. command.quote(timed))
  if text:find("Socket errors") or text:find("Non%-2xx") then
    error("wrk saw errors:\n" .. text, 0)
  end
  local user, system = text:match("cpu ([%d.]+) ([%d.]+)")
  local requests = tonumber(text:match("(%d+) requests in"))
  return tonumber(text:match("Requests/sec:%s*([%d.]+)")), (user + system) * 1e6 / requests
end

-- One run: figure -> value.
function http.measure(server, seconds)
  local values = {}
  for _, connections in ipairs(http.CONNECTIONS) do
    local rate, cpu_us = wrk(server, connections, seconds)
    values["rps_" .. connections] = rate
    values["cpu_us_per_req_" .. connections] = cpu_us
  end
  return values
end

return http
