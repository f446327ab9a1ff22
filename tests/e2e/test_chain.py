# SPDX-License-Identifier: Apache-2.0
"""One trace per request through four unmodified programs: curl, nginx, Python, Python."""
import os
import socket
from urllib.parse import quote

from harness import LIBRARY, Scene, check, equal, main

FLAGS_LOCAL, FLAGS_REMOTE = 0x103, 0x303  # sampled, random; is-remote known, and set


def chain(scene):
    """The chain's services, and the URL that goes through all of them for a number."""
    last = scene.service("second")
    first = scene.service("first")
    front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % first.port)
    url = "http://127.0.0.1:%d/fetch?url=%s" % (
        front.port, quote("http://127.0.0.1:%d/leaf?n=" % last.port, safe=""))
    return front, first, last, url


def expected(front, first, last):
    """(service, kind, server.port): the line of spans of one request, root first."""
    return [("curl", "CLIENT", front.port), ("nginx", "SERVER", front.port),
            ("nginx", "CLIENT", first.port), ("first", "SERVER", first.port),
            ("first", "CLIENT", last.port), ("second", "SERVER", last.port)]


def line_of(trace):
    """A trace's spans from the root down if each has one child at most, else None."""
    children = {span.parent: span for span in trace}
    if len(children) != len(trace):
        return None
    line, parent = [], ""
    while parent in children:
        line.append(children[parent])
        parent = line[-1].id
    return line if len(line) == len(trace) else None


def check_attributes(span, wanted, absent=()):
    label = "%s %s" % (span.service, span.kind.lower())
    got = {key: span.attributes.get(key) for key in wanted}
    equal(got, wanted, label + ": attributes are as the conventions say")
    check(not set(absent) & set(span.attributes), label + ": nothing that does not belong there",
          span.attributes)


def check_details(line, front, first, last, url):
    for span in line:
        label = "%s %s" % (span.service, span.kind.lower())
        equal((span.name, span.status, span.message), ("GET", "UNSET", ""), label + ": name, status")
        equal(span.schema_url, "https://opentelemetry.io/schemas/1.44.0", label + ": schema")
        check(0 < span.start < span.end, label + ": ends after it starts", (span.start, span.end))
        check("error.type" not in span.attributes, label + ": no error.type", span.attributes)
        remote = span.kind == "SERVER"
        equal(hex(span.flags), hex(FLAGS_REMOTE if remote else FLAGS_LOCAL), label + ": flags")
    for outer, inner in zip(line, line[1:]):
        check(outer.start <= inner.start and inner.end <= outer.end + 50_000_000,
              "%s lies within %s" % (inner.service, outer.service), (outer, inner))
    target = url.split("127.0.0.1:%d" % front.port)[1]
    path, query = target.split("?")
    no_client_things = ("url.path", "url.query", "client.address", "http.route")
    check_attributes(line[0], {
        "http.request.method": "GET", "url.full": url, "server.address": "127.0.0.1",
        "server.port": front.port, "http.response.status_code": 200,
        "network.peer.address": "127.0.0.1", "network.peer.port": front.port,
        "network.protocol.version": "1.1"}, no_client_things)
    check_attributes(line[1], {
        "http.request.method": "GET", "url.path": path, "url.query": query, "url.scheme": "http",
        "server.address": "127.0.0.1", "server.port": front.port, "client.address": "127.0.0.1",
        "http.response.status_code": 200, "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1", "user_agent.original": "probe/1"},
        ("url.full", "http.route"))
    check_attributes(line[2], {
        "http.request.method": "GET", "url.full": "http://127.0.0.1:%d%s" % (first.port, target),
        "server.address": "127.0.0.1", "server.port": first.port,
        "network.peer.port": first.port, "network.protocol.version": "1.0"}, no_client_things)
    check_attributes(line[4], {
        "url.full": "http://127.0.0.1:%d/leaf?n=0" % last.port, "server.port": last.port},
        no_client_things)
    check_attributes(line[5], {
        "url.path": "/leaf", "url.query": "n=0", "server.port": last.port,
        "client.address": "127.0.0.1"}, ("url.full", "http.route"))


def check_resources(spans):
    for service in ("curl", "nginx", "first", "second"):
        resources = [span.resource for span in spans if span.service == service]
        one = resources[0]
        equal((one.get("telemetry.sdk.name"), one.get("host.name"), one.get("os.type")),
              ("burdock", socket.gethostname(), "linux"), service + ": resource")
        check(one.get("process.pid", 0) > 1 and len(one.get("service.instance.id", "")) == 36 and
              one.get("process.executable.path", "").startswith("/"),
              service + ": resource names its process", one)
        for resource in resources:
            if resource["process.pid"] == one["process.pid"]:
                one_id = resource["service.instance.id"] == one["service.instance.id"]
            else:
                one_id = resource["service.instance.id"] != one["service.instance.id"]
            if not one_id:
                check(False, service + ": one instance id per process", resource)
    masters = {s.resource["process.pid"] for s in spans if s.service == "nginx"}
    check(1 <= len(masters) <= 2, "nginx's spans come from its workers", masters)


def test_chain():
    requests = 20
    with Scene() as scene:
        front, first, last, url = chain(scene)
        for number in range(requests):
            answer = scene.curl("-A", "probe/1", url + str(number))
            if answer.returncode != 0 or not answer.stdout.startswith(b"hello from"):
                check(False, "curl gets the last service's answer", answer)
        spans = scene.wait_spans(requests * 6)
        for process in (front, first, last):
            scene.stop(process)
        spans = scene.spans()
        equal(len(spans), requests * 6, "six spans for each request, no others")
        traces = {}
        for span in spans:
            traces.setdefault(span.trace, []).append(span)
        equal(len(traces), requests, "one trace for each request")
        equal(len({span.id for span in spans}), len(spans), "every span has its own id")
        lines = [line_of(trace) for trace in traces.values()]
        wanted = expected(front, first, last)
        wrong = [line for line in lines if line is None or wanted != [
            (s.service, s.kind, s.attributes.get("server.port")) for s in line]]
        if not check(not wrong, "each trace is the line curl, nginx, first, second", wrong[:1]):
            return
        line = next(line for line in lines if line[0].attributes["url.full"] == url + "0")
        check_details(line, front, first, last, url + "0")
        check_resources(spans)
        for process in (front, first, last):
            equal(scene.stderr(process), b"", "nothing is printed on stderr")
        scene_files = [name for name in os.listdir(scene.directory) if "core" in name]
        equal(scene_files, [], "nothing crashed")


def test_bytes_as_bare():
    """The same answers, byte for byte, with and without the library."""
    def answers(library):
        with Scene() as scene:
            app = scene.service("app", traced=library)
            front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % app.port,
                                traced=library)
            got = []
            for path in ("/status/200", "/status/404", "/status/500", "/nocontent", "/chunked"):
                answer = scene.curl("-i", "http://127.0.0.1:%d%s" % (front.port, path),
                                    traced=library)
                lines = [line for line in answer.stdout.split(b"\r\n")
                         if not line.startswith(b"Date:")]
                got.append((answer.returncode, lines, answer.stderr))
            return got
    equal(answers(True), answers(False), "curl prints the same with the library as without")
    check(os.path.exists(LIBRARY), "the library is where it should be")


if __name__ == "__main__":
    main(globals(), ("nginx", "curl"))
