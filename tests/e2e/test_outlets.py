# SPDX-License-Identifier: Apache-2.0
"""Spans as JSON: on the program's own output, in a file, and to a collector."""
import json
import os
import signal
import socket
import stat
import subprocess
import time

import harness
from harness import LIBRARY, PYTHON, Scene, check, equal, get, load, main, wait_until

if harness.otlp:
    import otlp
    from otlp import Collector, partial_json, refuse

CONSOLE = {"OTEL_TRACES_EXPORTER": "console"}
ASK = """
import http.client, sys
def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    connection.request("GET", path)
    connection.getresponse().read()
"""


def events_in(text):
    return [json.loads(line) for line in text.decode().splitlines() if line.startswith("{")]


def spans_in(path):
    with open(path, "rb") as file:
        return [span for line in file for span in otlp.spans_of_request(line)]


def test_console():
    with Scene() as scene:
        app = scene.service("app", **CONSOLE)
        for number in range(3):
            get(app.port, "/r/%d" % number)
        wait_until(lambda: len(events_in(scene.stderr(app))) == 3)
        events = events_in(scene.stderr(app))
        equal(sorted(one["attributes"]["url.path"] for one in events), ["/r/0", "/r/1", "/r/2"],
              "each span is a line")
        one = events[0]
        equal((one["v"], one["kind"], one["service"], one["name"], one["status"],
               one["parent_id"], len(one["trace_id"]), len(one["span_id"])),
              (1, "server", "app", "GET", "unset", None, 32, 16), "of what `burdock show` tells")
        check(one["duration_ms"] > 0 and one["start"].endswith("Z"), "with its time", one)
        equal(scene.spans(), [], "and none is stored")
        scene.stop(app)


def test_output_is_the_programs():
    """A program's stdout, and what it writes to stderr, are as they are without."""
    with Scene() as scene:
        app = scene.service("app", traced=False)
        url = "http://127.0.0.1:%d/" % app.port
        bare = scene.curl("-w", "%{stderr}done", url, traced=False)
        done = scene.curl("-w", "%{stderr}done", url, **CONSOLE)
        equal((done.returncode, done.stdout), (bare.returncode, bare.stdout), "stdout as bare")
        start = done.stderr.find(b"{")  # the program may be slow to say its own
        end = done.stderr.rfind(b"\n") + 1
        check(done.stderr[:start] + done.stderr[end:] == bare.stderr and
              len(events_in(done.stderr[start:end])) == 1,
              "stderr has the line beside its own words", done.stderr)
        done = scene.curl("-o", "/dev/null", url, BURDOCK_CONSOLE="stdout", **CONSOLE)
        equal((len(events_in(done.stdout)), done.stderr), (1, b""), "or stdout, where it is asked")
        done = scene.curl("-o", "/dev/null", url, OTEL_TRACES_EXPORTER="otlp/stdout")
        equal([span.name for span in otlp.spans_of_request(done.stdout)], ["GET"],
              "otlp/stdout is OTLP there")


def test_several():
    """Each of several exporters gets everything once, whatever becomes of it at another."""
    with Scene() as scene:
        collector = Collector(scene)
        collector.script += [refuse(413), refuse(503)]
        path = scene.path("spans.jsonl")
        app = scene.service("app", OTEL_TRACES_EXPORTER="console,otlp,otlp_file",
                            BURDOCK_OTLP_FILE=path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                            OTEL_BSP_SCHEDULE_DELAY="300")
        equal(load(app.port, 120, 4, "/r/%d"), [], "requests are answered")
        told = [lambda: [span.id for span in collector.spans()],
                lambda: [span.id for span in spans_in(path)],
                lambda: [event["span_id"] for event in events_in(scene.stderr(app))]]
        wait_until(lambda: all(len(ids()) == 120 for ids in told))
        equal([len(ids()) for ids in told], [120] * 3, "a collector, a file and the console")
        equal(len({tuple(sorted(ids())) for ids in told}), 1, "of the same spans")
        scene.stop(app)
    with Scene() as scene:
        app = scene.service("app", OTEL_TRACES_EXPORTER="otlp,console")
        get(app.port, "/")
        wait_until(lambda: scene.spans() and events_in(scene.stderr(app)))
        equal([span.id for span in scene.spans()],
              [event["span_id"] for event in events_in(scene.stderr(app))], "the store and the console")


def test_nobody_reads():
    """A pipe that is full costs the program nothing but its bounded end."""
    with Scene() as scene:
        app = scene.service("app", traced=False)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        begun = time.monotonic()
        done = subprocess.run(
            [PYTHON, "-c", ASK + "for i in range(200): ask('/%d' % i)\nprint('end')",
             str(app.port)],
            env=scene.env(BURDOCK_EXIT_TIMEOUT="300", **CONSOLE), stderr=writer,
            stdout=subprocess.PIPE, timeout=60)
        took = time.monotonic() - begun
        equal((done.returncode, done.stdout), (0, b"end\n"), "it ends as ever")
        check(took < 20, "and soon", took)
        os.close(reader)
        os.close(writer)
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([PYTHON, "-c", ASK + "ask('/')\nprint('end')", str(app.port)],
                              env=scene.env(**CONSOLE), stderr=writer, stdout=subprocess.PIPE,
                              timeout=60)
        equal((done.returncode, done.stdout), (0, b"end\n"), "nor does a reader that has gone")
        os.close(writer)


MOVED = ASK + """
import os
kind = sys.argv[2]
if kind == "data":
    os.close(2)
    assert os.open("data", os.O_RDWR | os.O_CREAT) == 2
elif kind == "closed":
    os.close(2)
elif kind == "log":
    os.dup2(os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
elif kind == "later":
    ask("/first")
    shared = True
    while shared:  # until its thread has left our descriptors
        own = os.dup(2)
        shared = all(os.path.exists("/proc/self/task/%s/fd/%d" % (task, own))
                     for task in os.listdir("/proc/self/task"))
        os.close(own)
    os.close(2)
    assert os.open("data2", os.O_RDWR | os.O_CREAT) == 2
ask("/second")
print(sorted(os.listdir("/proc/self/fd")) if kind == "descriptors" else "end", flush=True)
"""


def test_descriptor():
    """Only what was, or can only be, the program's stderr is written to."""
    with Scene() as scene:
        app = scene.service("app", traced=False)

        def run(kind, **more):
            return scene.run([PYTHON, "-c", MOVED, str(app.port), kind], "moved", **CONSOLE, **more)

        def size(name):
            return os.path.getsize(scene.path(name))

        done = run("data")
        equal((done.returncode, size("data"), done.stderr), (0, 0, b""),
              "a file of the program's under the number is left alone")
        equal(run("closed").returncode, 0, "no descriptor, no line")
        run("log")
        with open(scene.path("log"), "rb") as file:
            equal(len(events_in(file.read())), 1, "a log in its place gets the lines")
        done = run("later")
        equal((len(events_in(done.stderr)), size("data2")), (2, 0),
              "what was there at first is kept apart from what comes later")
        equal(run("descriptors").stdout, run("descriptors", LD_PRELOAD="").stdout,
              "the program's descriptors are as bare")


def test_forks():
    with Scene() as scene:
        app = scene.service("app", traced=False)
        program = ASK + """
import os
ask("/parent")
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        for i in range(20):
            ask("/%d" % i)
        sys.exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
        done = scene.run([PYTHON, "-c", program, str(app.port)], "forks", **CONSOLE)
        lines = [line for line in done.stderr.splitlines() if line]
        equal((len(lines), len({json.loads(line)["span_id"] for line in lines})), (81, 81),
              "lines of several processes stay whole")
        path = scene.path("spans.jsonl")
        scene.run([PYTHON, "-c", program, str(app.port)], "forks", OTEL_TRACES_EXPORTER="otlp_file",
                  BURDOCK_OTLP_FILE=path)
        spans = spans_in(path)
        equal((len(spans), len({span.id for span in spans})), (81, 81), "in a file, too")
        equal(len({span.resource["service.instance.id"] for span in spans}), 5, "of five processes")


def test_file():
    with Scene() as scene:
        path = scene.path("spans.jsonl")
        app = scene.service("app", OTEL_TRACES_EXPORTER="otlp_file", BURDOCK_OTLP_FILE=path)
        load(app.port, 300, 8)
        wait_until(lambda: os.path.exists(path) and len(spans_in(path)) == 300)
        os.rename(path, path + ".1")
        get(app.port, "/after")
        wait_until(lambda: os.path.exists(path) and len(spans_in(path)) == 1)
        spans = spans_in(path + ".1") + spans_in(path)
        equal((len(spans), len({span.id for span in spans}), {span.service for span in spans}),
              (301, 301, {"app"}), "every span once, also after the file was moved away")
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "for its owner only")
        equal(scene.spans(), [], "and none in the store")
        scene.stop(app)

        app = scene.service("app", OTEL_TRACES_EXPORTER="otlp_file",
                            BURDOCK_OTLP_FILE="/nosuch/spans.jsonl")
        get(app.port, "/")
        wait_until(lambda: any(ring.counters.get("spans.dropped.export")
                               for ring in scene.rings_left()))
        equal(sum(ring.counters["spans.dropped.export"] for ring in scene.rings_left()), 1,
              "a file that cannot be is told by a counter")
        scene.stop(app)


SERVED = "http.server.request.duration"
AT_ONCE = {"OTEL_METRIC_EXPORT_INTERVAL": "100"}


def test_metrics_console():
    """The same numbers on the console, in a file, and at a collector."""
    with Scene() as scene:
        app = scene.service("app", OTEL_METRICS_EXPORTER="console")
        for number in range(3):
            get(app.port, "/%d" % number)
        get(app.port, "/exit/0")
        app.wait(20)
        events = {one["metric"]["name"]: one for one in events_in(scene.stderr(app))}
        one = events[SERVED]
        points = one["metric"]["histogram"]["dataPoints"]
        equal((one["v"], one["service"], one["metric"]["unit"], sum(int(p["count"]) for p in points)),
              (1, "app", "s", 4), "console: each metric is a line, its last interval told at the end")
        equal(events["burdock.spans.recorded"]["metric"]["sum"]["dataPoints"][0]["asInt"], "4",
              "console: and so is each counter")
        equal(len(scene.spans()), 4, "console: spans are in the store as ever")

    with Scene() as scene:
        collector, path = Collector(scene), scene.path("metrics.jsonl")
        app = scene.service("app", OTEL_METRICS_EXPORTER="otlp,otlp_file",
                            BURDOCK_OTLP_METRICS_FILE=path, OTEL_TRACES_EXPORTER="none",
                            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **AT_ONCE)
        load(app.port, 50, 4)
        get(app.port, "/exit/0")
        app.wait(20)
        with open(path, "rb") as file:
            written = [point for line in file for point in otlp.points_of_request(line)]
        last = [max((p for p in points if p.name == SERVED), key=lambda p: p.time).count
                for points in (written, collector.points())]
        equal(last, [51, 51], "file: what the collector got")
        equal([(p.name, p.time) for p in written], [(p.name, p.time) for p in collector.points()],
              "file: all of it, once")

    with Scene() as scene:
        done = scene.service("app", OTEL_METRICS_EXPORTER="otlp_file",
                             BURDOCK_OTLP_METRICS_FILE="/nosuch/metrics.jsonl", **AT_ONCE)
        get(done.port, "/")
        wait_until(lambda: any(ring.counters["metrics.failed"] for ring in scene.rings_left()))
        check(any(ring.counters["metrics.failed"] for ring in scene.rings_left()),
              "a file that cannot be is told by a counter")


def test_http_json():
    with Scene() as scene:
        collector = Collector(scene)
        collector.script += [refuse(503, Retry_After="0"), partial_json(1)]
        asked = dict(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                     OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
        app = scene.service("app", **asked)
        get(app.port, "/one")
        wait_until(lambda: len(collector.posts) == 2)
        load(app.port, 200, 8)
        get(app.port, "/exit/0")
        app.wait(20)
        spans = collector.spans()
        equal((len(spans), len({span.id for span in spans})), (201, 201),
              "every span, as JSON that protobuf's own reader takes")
        equal({post.headers["Content-Type"] for post in collector.posts}, {"application/json"},
              "by its type")
        points = collector.points("http.server.request.duration")
        equal(max(point.count for point in points), 202, "metrics, too")
        equal([point.value for point in collector.points("burdock.spans.rejected")][-1:], [1],
              "a partial success in JSON is understood")

        packed = Collector(scene)
        app = scene.service("app", traced=False)
        scene.curl("http://127.0.0.1:%d/" % app.port,
                   OTEL_EXPORTER_OTLP_ENDPOINT=packed.endpoint,
                   OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/json",
                   OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        equal((len(packed.spans()), packed.posts[0].headers["Content-Encoding"],
               {post.headers["Content-Type"] for post in packed.metrics_posts}),
              (1, "gzip", {"application/x-protobuf"}), "packed, and each signal in its own form")


main(globals(), needs=["curl"])
