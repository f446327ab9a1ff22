# SPDX-License-Identifier: Apache-2.0
"""Streams and channels of Redis: what is sent, asked for, worked on and acknowledged; the context in
an entry where that is asked for, and nothing in it where it is not."""
import os
import subprocess

from harness import APPS, RawServer, Scene, check, equal, free_port, main, skip, wait_until

PYTHON = "/usr/bin/python3"
APP = os.path.join(APPS, "redis_streams.py")
COUNT = int(os.environ.get("STREAM_ENTRIES", "300"))
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def has_client():
    return subprocess.run([PYTHON, "-c", "import redis"], capture_output=True).returncode == 0


class Server:
    def __init__(self, scene, traced=False):
        self.scene, self.port = scene, free_port()
        self.process = scene.start(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                                    "--save", "", "--dir", scene.directory], "redis", traced,
                                   self.port)

    def app(self, mode, *arguments):
        return [PYTHON, APP, mode, str(self.port), *map(str, arguments)]

    def start(self, mode, *arguments, service=None, traced=True):
        process = self.scene.start(self.app(mode, *arguments), service or mode, traced)
        wait_until(lambda: b"ready\n" in self.scene.stdout(process) or process.poll() is not None)
        return process

    def run(self, mode, *arguments, **more):
        done = self.scene.run(self.app(mode, *arguments), mode, timeout=120, **more)
        check(done.returncode == 0, mode + " runs", done.stderr[-2000:])
        return done


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def entry(span):
    return span.attributes.get("messaging.message.id")


def lines_of(output):
    return [line.split() for line in output.decode().splitlines() if "-" in line or "." in line]


def ends(scene, process, what):
    check(wait_until(lambda: process.poll() is not None, 60) is not None and
          process.returncode == 0, what + " ends well", scene.stderr(process)[-2000:])


def called(span):
    return span.attributes["url.full"].rsplit("/")[-1]


def check_calls(spans, service, what, known=None):
    """Each call is under its own entry's span, or, where nobody knows, a root."""
    own = {span.id: entry(span) for span in by(spans, "process") if span.service == service}
    calls = [span for span in spans if span.service == service and "url.full" in span.attributes]
    wrong = [span.name for span in calls if span.parent and own.get(span.parent) != called(span)]
    equal(wrong, [], what + ": no call is under another's")
    if known is not None:
        equal(sum(bool(span.parent) for span in calls), known, what + ": calls that are known")


def test_group():
    """As it is without being asked for more: no entry is changed, each begins a trace."""
    if not has_client():
        return skip("group", "redis-py is not there")
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        worker = server.start("group", COUNT, 1, back.port)
        sent = lines_of(server.run("add", COUNT).stdout)
        ends(scene, worker, "the worker")
        check(lines_of(scene.stdout(worker)) == sent and len(sent) == COUNT,
              "bit for bit what was sent, in its order")
        spans = scene.wait_spans(5 * COUNT, timeout=60)
        numbers = sorted(line[0] for line in sent)
        for what in ("XADD", "process"):
            equal(sorted(map(entry, by(spans, what))), numbers, what + ": each entry once")
        equal({(span.name, span.kind) for span in spans if "messaging.system" in span.attributes},
              {("XADD orders", "PRODUCER"), ("XREADGROUP orders", "CLIENT"),
               ("process orders", "CONSUMER"), ("XACK orders", "CLIENT")}, "names and kinds")
        equal({span.attributes.get("messaging.consumer.group.name")
               for span in spans if span.service == "group" and "messaging.system" in span.attributes},
              {"workers"}, "the group")
        equal({span.parent for what in ("XADD", "XREADGROUP", "process") for span in by(spans, what)},
              {""}, "each begins a trace")
        own = {span.id for span in by(spans, "process")}
        equal(len({span.parent for span in by(spans, "XACK")} & own), COUNT,
              "each is acknowledged under its own")
        check_calls(spans, "group", "one at once", COUNT)


def test_carried():
    """Asked for, each entry carries the context of its sending, behind what it had."""
    if not has_client():
        return skip("carried", "redis-py is not there")
    with Scene(BURDOCK_REDIS_STREAMS="1") as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        worker = server.start("group", COUNT, 1, back.port)
        reader = server.start("read", COUNT, back.port, service="reader")
        sent = lines_of(server.run("add", COUNT).stdout)
        for process in (worker, reader):
            ends(scene, process, "who reads")
        for process in (worker, reader):
            got = lines_of(scene.stdout(process))
            check([line[:2] for line in got] == sent, "bit for bit what was sent, but for ours")
            equal({tuple(line[2:]) for line in got}, {("traceparent",)}, "and a field in each")
        spans = scene.wait_spans(8 * COUNT, timeout=60)
        added = {entry(span): span for span in by(spans, "XADD")}
        for service in ("group", "reader"):
            worked = [span for span in by(spans, "process") if span.service == service]
            equal((len(added), len(worked)), (COUNT, COUNT), service + ": each entry once")
            equal([entry(span) for span in worked if (span.trace, span.parent) !=
                   (added[entry(span)].trace, added[entry(span)].id)], [],
                  service + ": each is under its own sending")
            check_calls(spans, service, service, COUNT)


def test_many():
    """Several entries at once: what is done for them is a root, or under its own."""
    if not has_client():
        return skip("many", "redis-py is not there")
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        server.run("add", 100)
        worker = server.start("group", 100, 10, back.port)
        ends(scene, worker, "the worker")
        spans = scene.wait_spans(100 * 4 + 10, timeout=60)
        equal(len(set(map(entry, by(spans, "process")))), 100, "each entry once")
        check_calls(spans, "group", "ten at once")


def test_adopted():
    if not has_client():
        return skip("adopted", "redis-py is not there")
    for asked in ("0", "1"):
        with Scene(BURDOCK_REDIS_STREAMS=asked) as scene:
            server = Server(scene)
            worker = server.start("group", 1, 1, 0)
            server.run("adopt", OWN)
            ends(scene, worker, "the worker")
            equal([line[2:] for line in lines_of(scene.stdout(worker))], [["traceparent"]],
                  "the program's own context is the only one")
            spans = scene.wait_spans(4)
            sent, = by(spans, "XADD")
            worked, = by(spans, "process")
            equal((worked.trace, worked.parent), (OWN[3:35], OWN[36:52]), "and is who reads' parent")
            equal((sent.kind, sent.trace), ("CLIENT", OWN[3:35]), "and that of the sending")


def test_mixed():
    """Pipelines, transactions and errors are answered as they are without us."""
    if not has_client():
        return skip("mixed", "redis-py is not there")
    outputs = []
    for environment in ({"LD_PRELOAD": ""}, {}, {"BURDOCK_REDIS_STREAMS": "1"}):
        with Scene() as scene:
            server = Server(scene)
            done = scene.run(server.app("mixed"), "mixed", **environment)
            outputs.append([line for line in done.stdout.decode().splitlines()])
            check(done.returncode == 0, "runs", done.stderr[-1000:])
            spans = scene.wait_spans(100, timeout=20) if environment.get("LD_PRELOAD") is None else []
    check(len(outputs[0]) > 60 and outputs[0] == outputs[1], "mixed: as bare", outputs[:2])
    check([line.replace(" traceparent", "") for line in outputs[2]] == outputs[0],
          "mixed, carried: as bare but for our fields")
    carried = [line.split()[0] for line in outputs[2] if line.endswith(" traceparent")]
    equal(len(carried), 61, "all entries but the large one carry a context")
    check("101-1" not in carried, "which does not", carried)
    equal(len({span.id for span in by(spans, "XADD")}), 62 + 5, "each is told")


def test_channels():
    """Messages of channels: published, and worked on by who has subscribed."""
    if not has_client():
        return skip("channels", "redis-py is not there")
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        subscriber = server.start("subscribe", 100, back.port)
        server.run("publish", 100)
        ends(scene, subscriber, "the subscriber")
        spans = scene.wait_spans(450)
        names = ["c.%d" % number for number in range(100)]
        for what, kind in (("PUBLISH", "PRODUCER"), ("process", "CONSUMER")):
            equal(sorted((span.name, span.kind) for span in by(spans, what)),
                  sorted((what + " " + name, kind) for name in names), what + ": each once")
        own = {span.id: span.attributes["messaging.destination.name"]
               for span in by(spans, "process")}
        calls = [span for span in spans if "url.full" in span.attributes]
        equal(len(calls), 100, "a call for each")
        equal([span.name for span in calls if span.parent and own[span.parent] != called(span)], [],
              "none under another message")
        check(sum(bool(span.parent) for span in calls) >= 50, "those that came alone under their own")


def test_cut():
    """The connection ends in the middle of an entry."""
    if not has_client():
        return skip("cut", "redis-py is not there")
    with Scene() as scene:
        def half(connection):
            connection.recv(4096)
            connection.sendall(b"*1\r\n*2\r\n$6\r\norders\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$9\r\nhalf")
        server = RawServer(scene, half)
        scene.as_bare([PYTHON, APP, "cut", str(server.port)], "cut")
        equal({span.attributes.get("messaging.operation.name") for span in scene.spans()}, {"XREAD"},
              "what is not whole is no message")


if __name__ == "__main__":
    main(globals(), ["redis-server"])
