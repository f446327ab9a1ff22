# SPDX-License-Identifier: Apache-2.0
"""One trace from web servers through uwsgi and SCGI into applications, and on by Python's urllib."""
import os
import shutil
import subprocess
import threading

from harness import APPS, PATH, Scene, check, equal, free_port, get, main, skip, wait_until
from test_fastcgi import links

LINE = [("back", "SERVER"), ("app", "CLIENT"), ("app", "SERVER"), ("nginx", "CLIENT"),
        ("nginx", "SERVER")]
APACHE = """ServerRoot %(run)s
ServerName localhost
PidFile %(run)s/pid
Listen 127.0.0.1:%(port)d
ErrorLog %(run)s/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_%(protocol)s_module /usr/lib/apache2/modules/mod_proxy_%(protocol)s.so
User nobody
Group nogroup
ProxyPass / %(protocol)s://127.0.0.1:%(back)d/
"""
LIGHTTPD = """server.document-root = "%(run)s"
server.errorlog = "%(run)s/error.log"
server.bind = "127.0.0.1"
server.port = %(port)d
server.modules = ("mod_scgi")
scgi.protocol = "%(protocol)s"
scgi.server = ("/" => (("host" => "127.0.0.1", "port" => %(back)d, "check-local" => "disable",
    "fix-root-scriptname" => "enable")))
"""
GIVEN = "00-%032x-00f067aa0ba902b7-01"


def start_uwsgi(scene, protocol, is_unix=False, traced=True, more=()):
    """uWSGI with threads behind a socket of this protocol."""
    port = None if is_unix else free_port()
    address = scene.path("socket") if is_unix else "127.0.0.1:%d" % port
    app = scene.start(["uwsgi", "--plugin", "python3", "--%s-socket" % protocol, address,
                       "--chmod-socket=666", "--wsgi-file", os.path.join(APPS, "cgi_wsgi.py"),
                       "--master", "--processes", "4", "--threads", "4", "--need-app",
                       "--die-on-term", *more], "app", traced, port)
    if is_unix:
        wait_until(lambda: os.path.exists(address))
    app.address = "unix:" + address if is_unix else address
    return app


def start_nginx(scene, protocol, address, traced=True, more=""):
    return scene.nginx("location / { include /etc/nginx/%s_params; %s_pass %s; %s }" %
                       (protocol, protocol, address, more), traced=traced)


def start_front(scene, command, config, protocol, back):
    """Another web server than nginx, before an application at this port."""
    run, port = scene.path("front"), free_port()
    os.mkdir(run)
    names = {"run": run, "port": port, "protocol": protocol, "back": back}
    front = scene.start(command + [scene.write("front.conf", config % names)], "nginx", True, port)
    front.port = port
    return front


def stage(scene, protocol, is_unix=False, traced=True):
    app = start_uwsgi(scene, protocol, is_unix, traced)
    return start_nginx(scene, protocol, app.address, traced), app


def ask_all(port, call, total, concurrency):
    """Requests with and without bodies and contexts; answers what went wrong."""
    numbers, lock, failures = iter(range(total)), threading.Lock(), []

    def work():
        while True:
            with lock:
                n = next(numbers, None)
            if n is None:
                return
            headers = {"X-Big": "b" * 1500}
            if n % 2:
                headers.update(traceparent=GIVEN % (0xabc000 + n), tracestate="a=b", baggage="c=d")
            body = b"x" * 70000 if n % 3 == 0 else None
            answer = get(port, "/p?n=%d%s" % (n, call), headers, "POST" if body else "GET", body)
            if answer[0] != 200 or not answer[2].startswith(b"%d\n" % len(body or b"")):
                failures.append((n, answer[0], answer[2][:200]))
    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def strangers_of(spans):
    """Calls of the last hop that are under another request than their own."""
    by_id = {span.id: span for span in spans}
    found = []
    for span in spans:
        n, up = span.attributes.get("url.query"), span
        while (span.service, span.kind) == ("back", "SERVER") and up.parent in by_id:
            up = by_id[up.parent]
            query = up.attributes.get("url.query") or up.attributes["url.full"].split("?")[1]
            if query != n and not query.startswith(n + "&"):
                found.append((n, query))
    return found


def follow(protocol, is_unix):
    """Calls of nginx are ambiguous where its threads are late: of six goes one has to be calm, and
    none may have a stranger."""
    any(follow_once(protocol, is_unix, is_last) for is_last in (False,) * 5 + (True,))


def follow_once(protocol, is_unix, is_last, total=96):
    label = "%s, %s" % (protocol, "unix" if is_unix else "tcp")
    with Scene() as scene:
        back = scene.service("back")
        front, _ = stage(scene, protocol, is_unix)
        failures = ask_all(front.port, "&call=http://127.0.0.1:%d" % back.port, total, 16)
        equal(failures, [], label + ": all is answered")
        spans = scene.wait_spans(total * 5)
        unsure = [span for span in spans if
                  span.attributes.get("burdock.attribution") == "ambiguous"]
        equal([ring.pid for ring in scene.rings_left() if ring.counters.get("inject.skipped")], [],
              label + ": no call went out without a context")
        equal(strangers_of(spans), [], label + ": each call under the request that made it")
        if len(unsure) > 3 and not is_last:
            return False
        equal(len(spans), total * 5, label + ": five spans for each request")
        check(len(unsure) <= 3, label + ": hardly a call is ambiguous", unsure)
        lines = links(spans)
        whole = [line for line in lines if [hop[:2] for hop in line] == LINE]
        check(all(len({hop[2] for hop in line}) == 1 for line in lines) and
              len(whole) == total - len(unsure), label + ": each its own line of parents", lines[:2])
        given = {span.trace for span in spans if span.trace.startswith("0" * 26)}
        equal(len(given), total // 2, label + ": the traces that were given are continued")
        served = next(s for s in spans if (s.service, s.kind) == ("app", "SERVER"))
        wanted = {"http.request.method": served.name, "http.response.status_code": 200,
                  "url.path": "/p", "url.scheme": "http", "client.address": "127.0.0.1",
                  "server.address": "127.0.0.1"}
        equal({key: served.attributes.get(key) for key in wanted}, wanted, label + ": attributes")
    return True


def test_uwsgi_tcp():
    follow("uwsgi", False)


def test_uwsgi_unix():
    follow("uwsgi", True)


def test_scgi_tcp():
    follow("scgi", False)


def test_scgi_unix():
    follow("scgi", True)


def in_front(name, command, config):
    """Another web server in nginx's place, its requests one after the other."""
    for protocol in ("uwsgi", "scgi"):
        label = "%s, %s" % (name, protocol)
        if shutil.which(command[0], path=PATH) is None:
            skip(label, command[0] + " is not installed")
            continue
        with Scene() as scene:
            back = scene.service("back")
            app = start_uwsgi(scene, protocol)
            port = int(app.address.split(":")[1])
            front = start_front(scene, command, config, protocol, port)
            call = "&call=http://127.0.0.1:%d" % back.port
            equal(ask_all(front.port, call, 12, 1), [], label + ": all is answered")
            spans = scene.wait_spans(60)
            equal([[hop[:2] for hop in line] for line in links(spans)], [LINE] * 12,
                  label + ": one line of parents for each request")
            equal(strangers_of(spans), [], label + ": of its own")


def test_apache():
    in_front("Apache", ["apache2", "-DFOREGROUND", "-f"], APACHE)


def test_lighttpd():
    in_front("lighttpd", ["lighttpd", "-D", "-f"], LIGHTTPD)


def test_perl():
    if subprocess.run(["perl", "-MSCGI", "-e", "1"], capture_output=True).returncode != 0:
        skip("Perl's SCGI", "libscgi-perl is not installed")
        return
    with Scene() as scene:
        port = free_port()
        scene.start(["perl", os.path.join(APPS, "scgi.pl"), str(port)], "app", True, port)
        front = start_nginx(scene, "scgi", "127.0.0.1:%d" % port)
        for n in range(4):
            equal(get(front.port, "/p?n=%d" % n, method="POST", body=b"x" * 5000 * n)[::2],
                  (201, b"%d\n" % (5000 * n)), "Perl's SCGI: answered, body and all")
        spans = scene.wait_spans(12)
        equal([[hop[:2] for hop in line] for line in links(spans)], [LINE[2:]] * 4,
              "Perl's SCGI: one line of parents for each request")
        equal({span.attributes["http.response.status_code"] for span in spans}, {201},
              "Perl's SCGI: its status")


def test_router():
    """uWSGI's own web server speaks uwsgi with its workers. It writes an answer when there is room for
    it, in nobody's context, so some of its calls are ambiguous; none may have a stranger."""
    if not os.path.exists("/usr/lib/uwsgi/plugins/http_plugin.so"):
        skip("uWSGI's router", "its plugin is not there")
        return
    with Scene() as scene:
        back, port = scene.service("back"), free_port()
        app = ["uwsgi", "--plugin", "http,python3", "--http", "127.0.0.1:%d" % port, "--wsgi-file",
               os.path.join(APPS, "cgi_wsgi.py"), "--master", "--processes", "4", "--threads", "4",
               "--need-app", "--die-on-term"]
        scene.start(app, "app", True, port)
        failures = ask_all(port, "&call=http://127.0.0.1:%d" % back.port, 48, 16)
        equal(failures, [], "router: all is answered")
        spans = scene.wait_spans(240)
        equal(len(spans), 240, "router: five spans for each request")
        equal(strangers_of(spans), [], "router: each call under the request that made it")
        given = [[hop[:2] for hop in line[-3:]] for line in links(spans)
                 if line[0][2].startswith("0" * 26)]
        equal(given, [[("app", "SERVER"), ("app", "CLIENT"), ("app", "SERVER")]] * 24,
              "router: contexts that are passed on")


def statuses(protocol):
    with Scene() as scene:
        front, _ = stage(scene, protocol)
        equal(get(front.port, "/?status=503+Gone")[0], 503, protocol + ": a status arrives")
        scene.wait_spans(3)  # the worker that has it may be the one that dies
        equal(get(front.port, "/?die=1")[0], 502, protocol + ": an application that dies")
        equal(get(front.port, "/", method="HEAD")[0], 200, protocol + ": and the next is served")
        spans = scene.wait_spans(8)
        told = [s.attributes.get("http.response.status_code") for s in spans
                if (s.service, s.kind) == ("app", "SERVER")]
        check({503, 200} <= set(told), protocol + ": the statuses of answers", told)
        died = [s for s in spans if (s.service, s.kind) == ("nginx", "CLIENT") and
                "http.response.status_code" not in s.attributes]
        equal([s.status for s in died], ["ERROR"], protocol + ": the call to what died failed")


def test_uwsgi_statuses():
    statuses("uwsgi")


def test_scgi_statuses():
    statuses("scgi")


def dump(protocol, traced, headers):
    """What the application sees of a request, but for what differs from run to run."""
    with Scene() as scene:
        front, _ = stage(scene, protocol, traced=traced)
        status, _, body = get(front.port, "/p?dump=1", headers)
        changing = ("REMOTE_PORT", "SERVER_PORT", "HTTP_HOST", "DOCUMENT_ROOT")
        return status, [line for line in body.decode().splitlines()
                        if not line.startswith(changing)]


def as_bare(protocol):
    bare, traced = dump(protocol, False, {"X-One": "1"}), dump(protocol, True, {"X-One": "1"})
    more = [line for line in traced[1] if line not in bare[1]]
    check(len(more) == 1 and more[0].startswith("HTTP_TRACEPARENT=00-"),
          protocol + ": one variable more", more)
    equal((traced[0], [line for line in traced[1] if line not in more]), bare,
          protocol + ": else as bare")
    given = {"traceparent": GIVEN % 7, "tracestate": "a=b", "baggage": "c=d"}
    bare, traced = dump(protocol, False, given), dump(protocol, True, given)
    rest = [[line for line in lines if not line.startswith("HTTP_TRACEPARENT=")]
            for _, lines in (bare, traced)]
    equal(rest[1], rest[0], protocol + ": a context that is passed on: else as bare")
    ours = [line for line in traced[1] if line not in bare[1]]
    check(len(ours) == 1 and ours[0].startswith("HTTP_TRACEPARENT=00-%032x-" % 7),
          protocol + ": our identifiers are in its place", ours)


def test_uwsgi_as_bare():
    as_bare("uwsgi")


def test_scgi_as_bare():
    as_bare("scgi")


def limit(protocol):
    """uWSGI refuses what is larger than its buffer: whatever bare nginx gets through goes through, and
    small requests have the variable."""
    with Scene() as scene:
        app = start_uwsgi(scene, protocol)
        bare = start_nginx(scene, protocol, app.address, traced=False)
        traced = start_nginx(scene, protocol, app.address)
        results, counted, seen = [], [], []
        for length in [*range(2800, 4000, 16), 4800, 6000]:
            headers = {"X-Pad": "p" * length}
            answers = [get(server.port, "/p?dump=1", headers) for server in (bare, traced)]
            results.append(tuple(answer[0] for answer in answers))
            seen.append(b"HTTP_TRACEPARENT" in answers[1][2])
        for count in range(96, 126):
            headers = {"X-%d" % n: "" for n in range(count)}
            counted.append(tuple(get(server.port, "/p", headers)[0] for server in (bare, traced)))
        equal({pair for pair in results + counted if pair[0] != pair[1]}, set(),
              protocol + ": as bare")
        check({pair[0] for pair in counted} > {200}, protocol + ": both sides of the limit of "
              "variables", counted)
        equal({pair[0] for pair in results}, {200, 502}, protocol + ": both sides of the limit")
        check(seen[0] and not seen[results.index((502, 502)) - 1],
              protocol + ": near the limit nothing is added", seen)


def test_uwsgi_limit():
    limit("uwsgi")


def test_scgi_limit():
    limit("scgi")


if __name__ == "__main__":
    main(globals(), ("nginx", "uwsgi"))
