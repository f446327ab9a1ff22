# SPDX-License-Identifier: Apache-2.0
"""Web servers and proxies of the distribution, and PHP behind them."""
import os

from cell import harness
from workloads import app, workload


def nginx_on(stage, paths, http="", main="", port=None, **more):
    """nginx with two workers that serves these locations."""
    run = stage.path("nginx")
    os.mkdir(run)
    temporary = "".join("%s_temp_path %s/%s; " % (what, run, what) for what in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = stage.write("nginx.conf", NGINX % dict(
        run=run, main=main, temporary=temporary, paths=paths % vars(stage.back),
        http=http % vars(stage.back), port=port or stage.port,
        user="user www-data;" if os.geteuid() == 0 else ""))
    return stage.serve(["nginx", "-p", run, "-e", run + "/error.log", "-c", config], **more)


NGINX = """
%(main)s %(user)s worker_processes 2; daemon off; pid %(run)s/pid; error_log %(run)s/error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000; %(temporary)s %(http)s
       server { listen 127.0.0.1:%(port)d backlog=1024; %(paths)s } }
"""
UPSTREAMS = """
upstream fresh { server 127.0.0.1:%(http)d; }
upstream kept { server 127.0.0.1:%(http)d; keepalive 8; }
upstream retry { server 127.0.0.1:%(nobody)d max_fails=0; server 127.0.0.1:%(http)d max_fails=0; }
upstream late { server 127.0.0.1:%(slow)d max_fails=0; server 127.0.0.1:%(http)d max_fails=0; }
"""
PROXY = """
location /fresh/ { proxy_pass http://fresh; }
location /kept/ { proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ""; }
location /retry/ { proxy_pass http://retry; }
location /late/ { proxy_pass http://late; proxy_read_timeout 60ms; }
location /auth/ { auth_request /asked; proxy_pass http://fresh; }
location = /asked { internal; proxy_pass http://fresh/asked$request_uri.1; }
location /mirror/ { mirror /seen; proxy_pass http://fresh; }
location = /seen { internal; proxy_pass http://fresh/seen$request_uri.1; }
"""
workload("W6", "nginx proxy", "fresh:1 kept:1 retry:1 late:1 auth:2 mirror:2",
         lambda stage: nginx_on(stage, PROXY, UPSTREAMS), ["nginx"])

LUA = """
init_by_lua_block {
  function call(token, k, options)
    local socket = ngx.socket.tcp()
    socket:settimeout(30000)
    assert(socket:connect("127.0.0.1", %(http)d, options))
    assert(socket:send("GET /" .. token .. "." .. k .. " HTTP/1.1\\r\\nHost: back\\r\\n\\r\\n"))
    local length
    repeat
      local line = assert(socket:receive("*l"))
      length = length or line:match("^Content%%-Length: (%%d+)")
    until line == ""
    assert(socket:receive(tonumber(length)))
    if options then socket:setkeepalive(60000) else socket:setkeepalive(60000, 64) end
  end
  local few = { pool = "few", pool_size = 4, backlog = 1000 }
  cells = {
    seq = function(token) call(token, 0) call(token, 1) end,
    pool = function(token) call(token, 0, few) call(token, 1, few) end,
    sleep = function(token)
      local function late(k) ngx.sleep(0.003) call(token, k) end
      local one, other = ngx.thread.spawn(late, 0), ngx.thread.spawn(late, 1)
      ngx.thread.wait(one) ngx.thread.wait(other)
    end,
    timer = function(token)
      ngx.timer.at(0.001, function() call(token, 0) end)
      call(token, 1)
    end,
  }
  cells.cron = cells.seq
}
init_worker_by_lua_block {
  local count = 0
  if os.getenv("APP_CELL") == "cron" then
    ngx.timer.every(0.005, function() count = count + 1 call("b" .. count .. "q", 0) end)
  end
}
"""
LUA_PATH = """
location / { content_by_lua_block {
  local cell, token = ngx.var.uri:match("^/([^/]+)/([^/]+)$")
  cells[cell](token)
  ngx.header["Content-Length"] = #token
  ngx.print(token)
} }
"""
LUA_MODULES = "/usr/lib/nginx/modules/ngx_http_lua_module.so"
LOAD = "env APP_CELL; load_module /usr/lib/nginx/modules/ndk_http_module.so; load_module %s;" % LUA_MODULES
workload("W9", "nginx Lua", "seq:2 pool:2 sleep:2 timer:2 cron:2",
         lambda stage: nginx_on(stage, LUA_PATH, LUA, LOAD), ["nginx", LUA_MODULES])

APACHE = """
ServerName localhost
PidFile {run}/pid
ErrorLog {run}/error.log
User www-data
Group www-data
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
Listen 127.0.0.1:{port}
ServerLimit 3
ThreadsPerChild 64
MaxRequestWorkers 192
MaxKeepAliveRequests 0
ProxyPass /kept/ http://127.0.0.1:{back}/kept/
ProxyPass /fresh/ http://127.0.0.1:{back}/fresh/ disablereuse=On
"""


def apache(stage):
    run = stage.path("apache")
    os.mkdir(run)
    config = stage.write("apache.conf", APACHE.format(
        run=run, port=stage.port, back=stage.back.http, modules="/usr/lib/apache2/modules"))
    return stage.serve(["apache2", "-DFOREGROUND", "-f", config])


workload("W5", "Apache event, mod_proxy", "kept:1 fresh:1", apache, ["apache2"])

LIGHTTPD = """
server.modules = ("mod_proxy")
server.document-root = "{run}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{run}/error.log"
server.max-keep-alive-requests = 1000000
server.listen-backlog = 1024
proxy.server = ("" => (("host" => "127.0.0.1", "port" => {back})))
"""


def lighttpd(stage):
    run = stage.path("lighttpd")
    os.mkdir(run)
    config = stage.write("lighttpd.conf", LIGHTTPD.format(run=run, port=stage.port,
                                                          back=stage.back.http))
    return stage.serve(["lighttpd", "-D", "-f", config])


workload("W7", "lighttpd mod_proxy", "proxy:1", lighttpd, ["lighttpd"])

HAPROXY = """
global
    nbthread 2
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
frontend front
    bind 127.0.0.1:{port}
    use_backend queue if {{ path_beg /queue/ }}
    default_backend plain
backend plain
    server one 127.0.0.1:{back}
backend queue
    server one 127.0.0.1:{back} maxconn 4
"""


def haproxy(stage):
    config = stage.write("haproxy.cfg", HAPROXY.format(port=stage.port, back=stage.back.http))
    return stage.serve(["haproxy", "-db", "-f", config])


workload("W8", "HAProxy", "plain:1 queue:1", haproxy, ["haproxy"])

FPM = """
[global]
error_log = {run}/error.log
[www]
user = www-data
group = www-data
listen = {run}/socket
listen.mode = 0666
listen.backlog = 1024
pm = static
pm.max_children = 16
env[BACK_HTTP] = {back.http}
env[BACK_PG] = {back.pg}
"""
FASTCGI = """
location / { fastcgi_pass unix:%s; fastcgi_param SCRIPT_FILENAME %s;
             fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;
             fastcgi_param SERVER_PROTOCOL $server_protocol; }
"""


def php_fpm(stage):
    """nginx in front is a service of its own, and not the one that is asked about."""
    run = stage.path("fpm")
    os.mkdir(run)
    config = stage.write("fpm.conf", FPM.format(run=run, back=stage.back))
    nginx_on(stage, FASTCGI % (run + "/socket", app("calls.php")), service="front")
    fpm = stage.start(["php-fpm8.2", "-F", "-y", config])
    harness.wait_until(lambda: os.path.exists(run + "/socket"))
    return fpm


def php_builtin(stage):
    return stage.serve(["php", "-S", "127.0.0.1:%d" % stage.port, app("calls.php")],
                       PHP_CLI_SERVER_WORKERS="16")


PHP_CURL = "/usr/lib/php/*/curl.so"
workload("W3", "nginx, php-fpm", "curl:2 pdo:2:pg:/usr/lib/php/*/pdo_pgsql.so", php_fpm,
         ["nginx", "php-fpm8.2", PHP_CURL])
workload("W3", "php -S, 16 processes", "builtin:2 builtin-pdo:2:pg:/usr/lib/php/*/pdo_pgsql.so",
         php_builtin,
         ["php", PHP_CURL])
