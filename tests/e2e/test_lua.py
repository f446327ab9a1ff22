# SPDX-License-Identifier: Apache-2.0
"""Lua inside nginx: what its coroutines call is under their own requests, and what none of them made
under none. Every request has a number, which each of its calls carries in its path."""
import os
import ssl

from harness import APPS, BUILD, Scene, check, equal, load, main, skip
from test_logs import ACCESS, TOTAL, Log, ask, lines_of
from test_tasks import backend, judge, way_of
from tls_scene import certify

MODULES = "/usr/lib/nginx/modules"
LOAD = "".join("load_module %s/%s_module.so; " % (MODULES, name) for name in ("ndk_http", "ngx_http_lua"))
REQUESTS, CONCURRENCY = 160, 32
CALLS = {"sequence": 2, "pool": 2, "sleep": 2, "spawn": 2, "spawn_in_timer": 1, "timer": 2, "timers": 2,
         "semaphore": 1, "coroutine": 2, "killed": 1, "capture": 2, "capture_lua": 2, "after": 2,
         "at_once": 1, "exit": 1, "limited": 1, "access": 2, "rewrite": 2, "balancer": 2, "jump": 2,
         "slowed": 2}
# Of a request that nginx itself puts off, and then passes on, nothing is known but by the others' rules.
MISSED = {"slowed": 0.5}
SERVER = """
set $way ""; if ($uri ~ "^/([a-z_]+)/") { set $way $1; }
location / { content_by_lua_block { ways[ngx.var.way](ngx.var.uri) ngx.say("ok") } }
location /limited/ { limit_req zone=slow burst=1000; content_by_lua_block {
  ways.limited(ngx.var.uri) ngx.say("ok") } }
location /nested/ { internal; rewrite ^/nested(.*) $1 break;
  content_by_lua_block { call(ngx.var.uri) ngx.say("ok") } }
location /proxy/ { internal; rewrite ^/proxy(.*) $1 break; proxy_pass http://back; }
location /access/ { access_by_lua_block { call(ngx.var.uri) ngx.sleep(0.003) } proxy_pass http://back; }
location /rewrite/ { rewrite_by_lua_block { ngx.sleep(0.003) call(ngx.var.uri) } proxy_pass http://back;
  header_filter_by_lua_block { ngx.header["X-Way"] = "rewrite" } }
location /slowed/ { rewrite_by_lua_block { call(ngx.var.uri) } limit_req zone=slow burst=1000;
  proxy_pass http://back; }
location /balancer/ { access_by_lua_block { call(ngx.var.uri) } proxy_pass http://chosen; }
location /jump/ { content_by_lua_block { call(ngx.var.uri) ngx.exec("@jumped") } }
location @jumped { proxy_pass http://back; }
location /logged/ { content_by_lua_block { ngx.say("ok") }
  log_by_lua_block { local path = ngx.var.uri ngx.timer.at(0, function() call(path) end) } }
"""


def is_there():
    there = os.path.exists(MODULES + "/ngx_http_lua_module.so")
    if not there:
        skip("Lua inside nginx", "libnginx-mod-http-lua is not installed")
    return there


def front(scene, server=SERVER, **more):
    with open(os.path.join(APPS, "nginx_lua.conf")) as file:
        http = file.read().replace("BACK", str(backend(scene)))
    return scene.nginx(server, "front", http=http, main=LOAD + "env TICKS;", **more)


def log_of(scene, process):
    with open(scene.path("nginx%d/error.log" % (scene.processes.index(process)))) as file:
        return [line for line in file if "[notice]" not in line and "limiting" not in line
                and "delaying" not in line]


def play(text, is_followed=True, tls=None, server=SERVER, ways=CALLS, **environment):
    with Scene(**environment) as scene:
        if tls:
            certify(scene)
            server += tls % (scene.path("cert.pem"), scene.path("key.pem"))
        nginx = front(scene, server, listen=" ssl" if tls else "")
        context = ssl.create_default_context(cafile=scene.path("ca.pem")) if tls else None
        for way in ways:
            failures = load(nginx.port, REQUESTS, CONCURRENCY, "/%s/%%d" % way, tls=context)
            equal(failures[:3], [], "%s, %s: every request is answered" % (text, way))
        spans = scene.wait_spans(REQUESTS * (len(ways) + sum(ways.values())), timeout=60)
        judge(spans, text, ways, REQUESTS, is_followed, MISSED)
        rings = [ring for ring in scene.rings_left() if ring.service == "front"]
        equal(any(ring.counters["carrier.lua"] for ring in rings), is_followed,
              text + ": whether the carrier is active")
        equal(log_of(scene, nginx), [], text + ": Lua and nginx complain of nothing")


def test_followed():
    if is_there():
        play("followed")


def test_not_followed():
    if is_there():
        play("not followed", False, BURDOCK_CARRIERS="none")


def test_tls():
    if is_there():
        play("inside TLS", tls="ssl_certificate %s; ssl_certificate_key %s;")


def test_nobodys():
    """Timers of the worker's own while requests are at work, and those of the last phase, which runs
    in no coroutine."""
    if not is_there():
        return
    with Scene() as scene:
        nginx = front(scene, TICKS="1")
        for way in ("sleep", "sequence", "logged"):
            equal(load(nginx.port, REQUESTS, 16, "/%s/%%d" % way), [], "nobody's: answered")
        scene.stop(nginx)
        spans = scene.wait_spans(REQUESTS * (3 + 3 + 2))
        calls = [span for span in spans if span.service == "front" and span.kind == "CLIENT"]
        for way in ("tick", "logged"):
            mine = [span for span in calls if way_of(span) == way]
            check(len(mine) >= 40 and not any(span.parent for span in mine),
                  "nobody's: what no request has made is under none: " + way,
                  "%d of %d" % (sum(bool(span.parent) for span in mine), len(mine)))
        judge(spans, "beside nobody's", {"sleep": 2, "sequence": 2}, REQUESTS, True, {})


def test_lines():
    """What Lua writes to nginx's log is its request's, also where it has slept; the line of the access log
    is where it has not, the answer being complete before Lua rests or after."""
    if not is_there():
        return
    for before, access in (("", TOTAL), ("ngx.header['Content-Length'] = 3 ", TOTAL), ("ngx.sleep(0.002) ", 0)):
        with Scene() as scene:
            folder = scene.path("logs")
            os.mkdir(folder)
            os.chmod(folder, 0o777)
            nginx = scene.nginx(
                "error_log %s/error.log warn; access_log %s/access.log plain; location / { content_by_lua_block {"
                " %sngx.log(ngx.WARN, ngx.var.uri) ngx.say('ok') } }" % (folder, folder, before),
                "front", http=ACCESS, main=LOAD, BURDOCK_LOGS=folder + "/*")
            equal(ask(nginx.port), [], "logs: answered")
            scene.stop(nginx)
            for name, least in (("access.log", access), ("error.log", TOTAL)):
                log = Log(lines_of(folder + "/" + name))
                check(len(log.right) >= least and not log.wrong, "%s: lines are their request's, %s" % (
                    name, before or "at once"), "%d right, wrong %r" % (len(log.right), log.wrong[:2]))


def test_others():
    """Of any other Lua nothing is known, and nothing is changed."""
    with Scene() as scene:
        done = scene.as_bare([os.path.join(BUILD, "tests/e2e/lua_host")], "another Lua")
        equal(done.stdout, b"resume 7 42, 8 -2; reset 5 6; moved 6\n", "another Lua: as it is called")


if __name__ == "__main__":
    main(globals(), ("nginx",))
