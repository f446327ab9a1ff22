# SPDX-License-Identifier: Apache-2.0
"""What a call's span says of its parent: the rule that named it, or links to whoever it may be."""
import json
import os
import threading

from harness import APPS, BUILD, PYTHON, VICTIMS, Scene, check, equal, free_port, get, main, wait_until


def by_number(spans, kind):
    key = "url.full" if kind == "CLIENT" else "url.path"
    return {span.attributes[key].rpartition("/")[2]: span for span in spans
            if span.service == "loop" and span.kind == kind}


def program(scene, name):
    back, port = scene.service("back", traced=False), free_port()
    return scene.start(["perl", os.path.join(APPS, name), str(port), str(back.port)], "loop",
                       port=port), port


def at_once(port, *paths):
    threads = [threading.Thread(target=get, args=(port, path)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def selfcheck(scene, right, wrong, text):
    """The loop's counters, which its exporter publishes now and then."""
    def read():
        ring, = scene.rings_left()
        return tuple(ring.counters["attribution.selfcheck." + which] for which in ("right", "wrong"))
    wait_until(lambda: read() == (right, wrong))
    equal(read(), (right, wrong), "the self-check " + text)


def rule(span):
    return span.attributes.get("burdock.attribution")


def in_turn(scene, port, *hows):
    """Asks in each way, numbered from 1, once the one before and its call have ended."""
    for number, how in enumerate(hows, 1):
        get(port, "/%s/%d" % (how, number))
        scene.wait_spans(2 * number)
    return scene.spans()


def test_inline():
    """A loop that asks as soon as it has read: the request is known."""
    with Scene() as scene:
        _, port = program(scene, "loop.pl")
        at_once(port, "/now/1", "/now/2")
        spans = scene.wait_spans(4)
        servers, calls = by_number(spans, "SERVER"), by_number(spans, "CLIENT")
        equal({n: calls[n].parent for n in calls}, {n: servers[n].id for n in ("1", "2")},
              "each call under its request")
        check({rule(call) for call in calls.values()} <= {"owner", "thread"}, "by a rule for a loop",
              [rule(call) for call in calls.values()])  # "thread" until it is seen to be one
        equal([span.links for span in spans], [[]] * 4, "and no links")
        selfcheck(scene, 2, 0, "was right")


def test_after_the_answer():
    """Work after the answer is the request's, until the process has rested: then it is its own."""
    with Scene() as scene:
        _, port = program(scene, "sequential.pl")
        spans = in_turn(scene, port, "before", "after", "rested", "slept")
        servers, calls = by_number(spans, "SERVER"), by_number(spans, "CLIENT")
        for number, how in (("1", "before the answer"), ("2", "after it")):
            equal((calls[number].parent, rule(calls[number])), (servers[number].id, "thread"),
                  how + ": the request's")
        for number, how in (("3", "select"), ("4", "sleep")):
            equal((calls[number].parent, rule(calls[number]), calls[number].links),
                  ("", "none", []), "after %s: nobody's" % how)


def test_programs_started():
    """curl, started for a request through env."""
    for follow in ("1", "0"):
        with Scene(BURDOCK_FOLLOW=follow, OTEL_SERVICE_NAME="all") as scene:
            _, port = program(scene, "sequential.pl")
            hows = ("curl", "bare", "own") if follow == "1" else ("curl", "own")
            spans = in_turn(scene, port, *hows)
            servers = {s.attributes["url.path"][1:-2]: s for s in spans if s.kind == "SERVER"}
            calls = {how: s for s in spans for number, how in enumerate(hows, 1)
                     if s.kind == "CLIENT" and s.attributes["url.full"].endswith("/r/%d" % number)}
            wanted = {how: (servers[how].trace, servers[how].id, "process") for how in hows} \
                if follow == "1" else {"curl": (calls["curl"].trace, "", "none")}
            wanted["own"] = ("4" * 32, "5" * 16, "process")
            equal({how: (s.trace, s.parent, rule(s)) for how, s in calls.items()}, wanted,
                  "BURDOCK_FOLLOW=%s: whose calls they are" % follow)


# Answers what a program that it starts finds in its environment.
ASKS_ENV = """
import http.server, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = subprocess.run(["env", "-0"], stdout=subprocess.PIPE).stdout
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
CARRIED = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
OUTER = dict(zip(CARRIED, ("00-" + "4" * 32 + "-" + "5" * 16 + "-01", "o=1", "of=outer")))


def test_environment_of_programs_started():
    """TRACEPARENT, TRACESTATE and BAGGAGE are the request's, and all of them are."""
    parent, long = "00-" + "6" * 32 + "-" + "7" * 16 + "-01", "long=" + "x" * 1100
    request = {"traceparent": parent, "tracestate": "r=1", "baggage": "of=request"}
    for what, headers, outer, wanted in (
            ("nothing else", {"traceparent": parent}, {}, {}),
            ("all three", request, {}, {"TRACESTATE": "r=1", "BAGGAGE": "of=request"}),
            ("over the process's", request, OUTER, {"TRACESTATE": "r=1", "BAGGAGE": "of=request"}),
            ("none of the process's", {"traceparent": parent}, OUTER, {}),
            ("too long", {**request, "baggage": long}, OUTER, {"TRACESTATE": "r=1"})):
        with Scene(BURDOCK_FOLLOW="1", **outer) as scene:
            port = free_port()
            scene.start([PYTHON, "-c", ASKS_ENV, str(port)], "app", port=port)
            found = dict(line.split("=", 1) for line in get(port, "/", headers)[2].decode().split("\0")
                         if line.partition("=")[0] in CARRIED)
            span, = scene.wait_spans(1)
            equal(found, {"TRACEPARENT": "00-%s-%s-01" % (span.trace, span.id), **wanted},
                  "programs started: " + what)
            equal(span.trace, "6" * 32, "programs started: the request's trace")


# As Apache's mod_cgi: it waits by epoll for what its helper says, and for no other.
READS_HELPERS = """
import http.server, select, socket, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        helper = subprocess.Popen(["sh", "-c", "echo; read go; printenv TRACEPARENT"], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        epoll, body = select.epoll(), b""
        for pipe in (helper.stdout, helper.stderr):
            epoll.register(pipe)
        while helper.stdin or not helper.stdout.closed:
            for fd, _ in epoll.poll():
                pipe = helper.stdout if fd == helper.stdout.fileno() else helper.stderr
                piece = pipe.read(4096)
                if helper.stdin:
                    helper.stdin.write(b"go\\n")
                    helper.stdin = helper.stdin.close()
                elif piece == b"":
                    epoll.unregister(fd)
                    pipe.close()
                body += piece.strip()
                break
        epoll.close()
        helper.wait()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        connection, address = listener.accept()
        with connection:
            Handler(connection, address, None)
"""


def test_helpers_read():
    """Waiting for the helper of a request that it has read makes no event loop of a thread."""
    with Scene(BURDOCK_FOLLOW="1", BURDOCK_CARRIERS="lua") as scene:
        port = free_port()
        scene.start([PYTHON, "-c", READS_HELPERS, str(port)], "app", port=port)
        found = [get(port, "/%d" % number)[2].decode() for number in range(3)]
        spans = {span.attributes["url.path"]: span for span in scene.wait_spans(3)}
        equal(found, ["00-%s-%s-03" % (spans[path].trace, spans[path].id) for path in sorted(spans)],
              "each helper gets its request's context")


def victim(scene, name):
    back, port = scene.service("back", traced=False), free_port()
    return scene.start([os.path.join(VICTIMS, name), str(port), str(back.port)], "loop",
                       port=port), port


def test_hand_over():
    """A request's own thread inherits it. A worker that a request started does so for its first job
    only; then it may work for whoever waits."""
    with Scene() as scene:
        _, port = victim(scene, "hand_over")
        spans = in_turn(scene, port, "thread", "worker", "worker", "thread")
        servers, calls = by_number(spans, "SERVER"), by_number(spans, "CLIENT")
        for number, how in (("1", "its own thread"), ("4", "another of its own")):
            equal((calls[number].parent, rule(calls[number])), (servers[number].id, "owner"),
                  "by %s: the request's" % how)
        check(calls["2"].parent in ("", servers["2"].id), "the worker's first job is no stranger's")
        equal((calls["3"].parent, rule(calls["3"]), calls["3"].links),
              ("", "ambiguous", [(servers["3"].trace, servers["3"].id)]),
              "its second is a root, linked to the request that waits for it")


def test_forked():
    """A process that a request forks is at work for it until it may have been given anything else."""
    with Scene() as scene:
        back, port = scene.service("back", traced=False), free_port()
        scene.start([PYTHON, os.path.join(APPS, "helpers.py"), str(port), str(back.port)], "loop",
                    port=port)
        kept = ("pool", "multi", "pipe", "pair")
        spans = in_turn(scene, port, "child", "slept", *kept, *kept)
        servers, calls = by_number(spans, "SERVER"), by_number(spans, "CLIENT")
        equal((calls["1"].trace, calls["1"].parent, rule(calls["1"])),
              (servers["1"].trace, servers["1"].id, "thread"), "its own process: the request's")
        equal({n: calls[n].parent for n in calls if n != "1"},
              dict.fromkeys(map(str, range(2, 11)), ""), "one that slept, or works for all: nobody's")


def test_queued():
    """The loop works on two requests later, when nobody can tell which is which."""
    with Scene() as scene:
        _, port = program(scene, "loop.pl")
        at_once(port, "/later/1", "/later/2")
        spans = scene.wait_spans(4)
        servers, calls = by_number(spans, "SERVER"), by_number(spans, "CLIENT")
        equal({rule(call) for call in calls.values()}, {"ambiguous"}, "both calls say so")
        equal([call.parent for call in calls.values()], ["", ""], "and begin traces of their own")
        for number, call in calls.items():
            check((servers[number].trace, servers[number].id) in call.links,
                  "call %s is linked to its request" % number, call.links)
            check(set(call.links) <= {(span.trace, span.id) for span in servers.values()},
                  "call %s is linked to requests alone" % number, call.links)
        shown = scene.run([os.path.join(BUILD, "cli/burdock"), "show", "--json", calls["1"].trace],
                          traced=False)
        equal([(link["trace_id"], link["span_id"]) for link in json.loads(shown.stdout)["links"]],
              calls["1"].links, "burdock show tells the links")
        shown = scene.run([os.path.join(BUILD, "cli/burdock"), "show", "-a", calls["1"].trace],
                          traced=False)
        check(b"link = %s %s" % tuple(part.encode() for part in calls["1"].links[0]) in shown.stdout,
              "with its attributes, too", shown.stdout)
        selfcheck(scene, 0, 0, "learns nothing where nothing was believed")
        get(port, "/now/3")
        spans = scene.wait_spans(6)
        server, call = by_number(spans, "SERVER")["3"], by_number(spans, "CLIENT")["3"]
        equal((call.parent, rule(call), call.links), (server.id, "owner", []),
              "the loop is believed when nobody waits")
        equal(max(len(call.links) for call in calls.values()), 2, "both waited for the first call")


main(globals(), ["perl"])
