# SPDX-License-Identifier: Apache-2.0
"""mod_wsgi in Apache: its daemon processes are given requests in a protocol of their own, and Python is
where no thread of Python's accepts."""
import os
import signal

from harness import APPS, Scene, check, equal, free_port, get, main, skip, wait_until
from test_fastcgi import links
from test_uwsgi import GIVEN, ask_all, strangers_of

MODULE = "/usr/lib/apache2/modules/mod_wsgi.so"
EMBEDDED = [("back", "SERVER"), ("apache", "CLIENT"), ("apache", "SERVER")]
DAEMON = EMBEDDED + EMBEDDED[1:]
CONFIG = """ServerName localhost
PidFile %(run)s/pid
ErrorLog %(run)s/error.log
User nobody
Group nogroup
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module %(module)s
WSGISocketPrefix %(run)s/socket
Listen 127.0.0.1:%(port)d
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
%(daemon)s
WSGIScriptAlias / %(app)s application-group=%%{GLOBAL} %(group)s
<Directory />
Require all granted
</Directory>
"""


def start_apache(scene, daemon="", traced=True):
    run, port = scene.path("apache"), free_port()
    os.mkdir(run)
    names = {"run": run, "port": port, "module": MODULE, "app": os.path.join(APPS, "cgi_wsgi.py"),
             "daemon": daemon and "WSGIDaemonProcess d display-name=d " + daemon,
             "group": "process-group=d" if daemon else ""}
    apache = scene.start(["apache2", "-DFOREGROUND", "-f", scene.write("apache.conf", CONFIG % names)],
                         "apache", traced, port)
    apache.port = port
    return apache


def hops_of(spans):
    return [[hop[:2] for hop in line] for line in links(spans)]


def test_daemon():
    """Requests with bodies and contexts, 16 at a time."""
    total = 96
    with Scene() as scene:
        back, apache = scene.service("back"), start_apache(scene, "processes=2 threads=8")
        failures = ask_all(apache.port, "&call=http://127.0.0.1:%d" % back.port, total, 16)
        equal(failures, [], "daemon: all is answered, bodies and all")
        spans = scene.wait_spans(total * 5)
        equal(strangers_of(spans), [], "daemon: each call under the request that made it")
        equal(hops_of(spans), [DAEMON] * total, "daemon: one line of parents for each request")
        given = {span.trace for span in spans if span.trace.startswith("0" * 26)}
        equal(len(given), total // 2, "daemon: the traces that were given are continued")
        equal([ring.pid for ring in scene.rings_left() if ring.counters.get("inject.skipped")], [],
              "daemon: no call went out without a context")
        equal({span.attributes.get("http.response.status_code") for span in spans}, {200},
              "daemon: that the body may come is no answer")
        equal(scene.stop(apache), 0, "daemon: Apache ends as it does")


def dump(traced, headers):
    with Scene() as scene:
        apache = start_apache(scene, "processes=1 threads=2", traced)
        status, _, body = get(apache.port, "/p?dump=1", headers)
        changing = ("REMOTE_PORT", "SERVER_PORT", "HTTP_HOST", "mod_wsgi.", "apache.", "LD_PRELOAD")
        return status, [line for line in body.decode().splitlines() if not line.startswith(changing)]


def test_as_bare():
    for headers in ({"X-One": "1"}, {"traceparent": GIVEN % 7, "tracestate": "a=b"}):
        bare, traced = dump(False, headers), dump(True, headers)
        rest = [[line for line in lines if not line.startswith("HTTP_TRACEPARENT=")]
                for _, lines in (bare, traced)]
        equal((traced[0], rest[1]), (bare[0], rest[0]), "the application sees what it sees bare")
        ours = [line for line in traced[1] if line not in bare[1]]
        check(len(ours) == 1 and ours[0].startswith("HTTP_TRACEPARENT=00-"), "but for the context", ours)


def test_statuses():
    with Scene() as scene:
        apache = start_apache(scene, "processes=1 threads=2")
        equal(get(apache.port, "/?status=404+Gone")[0], 404, "a status arrives")
        scene.wait_spans(3)  # the process is the one that dies
        equal(get(apache.port, "/?die=1")[0], 500, "a daemon that dies")
        wait_until(lambda: get(apache.port, "/")[0] == 200)
        spans = scene.wait_spans(8)
        calls = [span for span in spans if span.kind == "CLIENT"]
        told = {span.attributes.get("http.response.status_code") for span in calls}
        check({404, 200} <= told, "the statuses of answers", told)
        died = [span for span in calls if "http.response.status_code" not in span.attributes]
        equal([span.status for span in died], ["ERROR"], "the call to what died failed")


def in_pool(label, daemon, line):
    """An executor's work: a carrier knows whose, once a thread of Python's has shown itself."""
    with Scene() as scene:
        back, apache = scene.service("back"), start_apache(scene, daemon)
        call = "&call=http://127.0.0.1:%d" % back.port
        equal(ask_all(apache.port, call, 32, 1), [], label + ": all is answered")
        wait_until(lambda: sum(ring.counters.get("carrier.python", 0) for ring in scene.rings_left()))
        before = len(scene.wait_spans(32 * len(line)))
        equal(ask_all(apache.port, call + "&pool=1", 32, 8), [], label + ": all is answered")
        spans = scene.wait_spans(before + 32 * len(line))
        equal(strangers_of(spans), [], label + ": each call under the request that made it")
        equal(hops_of(spans), [line] * 64, label + ": an executor's calls, too")
        equal(scene.stop(apache, signal.SIGTERM), 0, label + ": Apache ends as it does")


def test_pool_daemon():
    in_pool("daemon", "processes=1 threads=16", DAEMON)


def test_pool_embedded():
    in_pool("embedded", "", EMBEDDED)


if __name__ == "__main__":
    if not os.path.exists(MODULE):
        skip("mod_wsgi", "it is not installed")
    else:
        main(globals(), ("apache2",))
