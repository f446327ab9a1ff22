# SPDX-License-Identifier: Apache-2.0
"""Jobs through gearmand: what is submitted and worked on is told, and is what it is without us."""
import collections
import os
import subprocess

from harness import APPS, RawServer, Scene, check, equal, free_port, main, skip, wait_until

APP = os.path.join(APPS, "gearman.php")
COUNT = int(os.environ.get("GEARMAN_JOBS", "200"))


def has_client():
    return subprocess.run(["php", "-r", "exit(class_exists('GearmanClient') ? 0 : 1);"],
                          capture_output=True).returncode == 0


class Server:
    def __init__(self, scene, traced=False):
        self.scene, self.port = scene, free_port()
        self.process = scene.start(["gearmand", "--listen=127.0.0.1", "--port=%d" % self.port,
                                    "--log-file=" + scene.path("log")], "gearmand", traced, self.port)

    def app(self, mode, *arguments):
        return ["php", APP, mode, str(self.port), *map(str, arguments)]

    def tool(self, *arguments):
        return ["gearman", "-h", "127.0.0.1", "-p", str(self.port), *arguments]


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def handle(span):
    return span.attributes["messaging.message.id"]


def lines_of(output):
    return [line.split() for line in output.decode().splitlines() if ":" in line]


def run(scene, server, how, count, traced=True):
    """What who submits and who works print."""
    back = scene.service("back", traced=False)
    worker = scene.start(server.app("work", back.port), "work", traced)
    wait_until(lambda: b"ready" in scene.stdout(worker) or worker.poll() is not None)
    done = scene.run(server.app("submit", count, how), "submit", traced, timeout=120)
    check(done.returncode == 0, how + ": all are submitted", done.stdout[-300:] + done.stderr[-600:])
    wait_until(lambda: len(lines_of(scene.stdout(worker))) >= count, 120)
    scene.run(server.tool("-b", "-f", "end"), traced=False)
    check(wait_until(lambda: worker.poll() is not None, 60) is not None, how + ": the worker ends",
          scene.stderr(worker)[-600:])
    return done.stdout, scene.stdout(worker)


def test_background():
    """Each job is told on both sides, by its handle, and the call for it is under it."""
    if not has_client():
        return skip("background", "PHP's gearman is not there")
    with Scene() as scene:
        sent, got = map(lines_of, run(scene, Server(scene), "background", COUNT))
        check(sorted(sent) == sorted(got) and len(sent) == COUNT, "bit for bit what was sent")
        spans = scene.wait_spans(4 * COUNT + 2, timeout=60)
        jobs = sorted(line[0] for line in sent)
        submitted = by(spans, "submit")
        worked = [span for span in by(spans, "process") if span.name == "process work"]
        equal((sorted(map(handle, submitted)), sorted(map(handle, worked))), (jobs, jobs),
              "each once, on both sides")
        equal({(span.name, span.kind, span.parent) for span in submitted + worked},
              {("submit work", "PRODUCER", ""), ("process work", "CONSUMER", "")}, "names and kinds")
        own = {span.id: handle(span) for span in worked}
        calls = [span for span in spans if "url.full" in span.attributes]
        equal([span.name for span in calls
               if own.get(span.parent) != span.attributes["url.full"].rsplit("/")[-1]], [],
              "each call is under its own job")
        equal(len(calls), COUNT, "a call for each")
        failed = sum(number % 10 == 7 for number in range(COUNT))
        for what, count in (("complete", COUNT - failed), ("fail", failed)):
            ended = [span for span in by(spans, what) if span.name == what + " work"]
            equal((len(ended), {own.get(span.parent) == handle(span) for span in ended}),
                  (count, {True}), what + ": each under its own job")
        equal(sum(span.attributes.get("error.type") == "WORK_FAIL" for span in worked), failed,
              "a job that failed is an error")


def test_foreground():
    """Who waits for a result has a span of as long as that, and its error."""
    if not has_client():
        return skip("foreground", "PHP's gearman is not there")
    outputs = []
    for traced in (False, True):
        with Scene() as scene:
            sent, got = run(scene, Server(scene), "normal", 40, traced)
            outputs.append((sent, sorted(line[1] for line in lines_of(got))))
            spans = scene.wait_spans(162) if traced else []
    check(outputs[0] == outputs[1] and outputs[0][0].count(b"\n") == 40, "as bare", outputs)
    worked = {handle(span): span for span in by(spans, "process") if span.name == "process work"}
    submitted = by(spans, "submit")
    equal((len(submitted), len(worked)), (40, 40), "each on both sides")
    # The worker's write may return later than the client has read what it wrote.
    equal([span.name for span in submitted if span.end + 50e6 < worked[handle(span)].end or
           span.end < min(call.end for call in spans if call.parent == worked[handle(span)].id)], [],
          "as long as the job")
    equal(collections.Counter(span.attributes.get("error.type") for span in submitted),
          {None: 36, "WORK_FAIL": 4}, "with its error")


def test_tool():
    """The command of the distribution, which is libgearman's own."""
    with Scene() as scene:
        server = Server(scene)
        done = scene.run(server.tool("-b", "-f", "cat", "some data"), "client")
        check(done.returncode == 0, "submits", done.stderr)
        done = scene.run(server.tool("-w", "-c", "1", "-f", "cat", "--", "cat"), "worker")
        equal(collections.Counter(span.name for span in scene.wait_spans(3)),
              {"submit cat": 1, "process cat": 1, "complete cat": 1}, "a job, and who did it")


def test_cut():
    """The connection ends in the middle of a job."""
    if not has_client():
        return skip("cut", "PHP's gearman is not there")
    with Scene() as scene:
        def half(connection):
            got = connection.recv(4096)
            if b"exceptions" in got:
                connection.sendall(b"\0RES\0\0\0\x1b\0\0\0\x0aexceptions")
            while b"REQ\0\0\0\x09" not in got and b"REQ\0\0\0\x1e" not in got \
                    and b"REQ\0\0\0\x27" not in got:
                more = connection.recv(4096)
                if not more:
                    return
                got += more
            kind = got[got.rindex(b"REQ\0\0\0") + 6]
            handed = {9: b"\x0bH:1\0work\0half", 30: b"\x1fH:1\0work\0u\0half",
                      39: b"\x28H:1\0work\0u\0\0half"}[kind]
            connection.sendall(b"\0RES\0\0\0" + handed[:1] + b"\0\0\0\x64" + handed[1:])
        server = RawServer(scene, half)
        script = """$w = new GearmanWorker(); $w->setTimeout(1500); $w->addServer("127.0.0.1", (int)$argv[1]);
$w->addFunction("work", function () { echo "worked\\n"; }); @$w->work(); echo $w->returnCode(), "\\n";"""
        scene.as_bare(["php", "-r", script, str(server.port)], "cut")
        check({span.name for span in scene.spans()} == {"process work"}, "what came of it is told",
              scene.spans())


def test_server():
    """The server itself under the library: what it reads and sends is none of its spans."""
    with Scene() as scene:
        server = Server(scene, traced=True)
        for number in range(10):
            scene.run(server.tool("-b", "-f", "none", "%d" % number), "client")
        equal({span.service for span in scene.wait_spans(10)}, {"client"}, "only the client's")


main(globals(), ["gearmand", "gearman"])
