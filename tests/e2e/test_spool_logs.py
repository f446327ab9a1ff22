# SPDX-License-Identifier: Apache-2.0
"""Lines of logs whose collector is away for longer than memory holds, and whose writers die: each
arrives once and in order, or is counted."""
import os
import signal
import subprocess
import time

import harness
from harness import PYTHON, Scene, check, equal, free_port, get, load, main, skip, wait_until

if harness.otlp:
    from otlp import Collector, accept, hang_up, logs_of_request, never, refuse, spans_of_store
    from test_spool import counted, exporting, recover, reset, small_disk, spool_files

LOST = ("logs.dropped.ring_full", "logs.dropped.export", "logs.dropped.invalid", "logs.dropped.spool",
        "logs.rejected", "logs.dropped.unseen")
BATCH = 200  # lines; with 200 bytes each far less than a ring takes

WRITES = """import os, sys
number = 0
for word in sys.stdin:
    for number in range(number, number + int(word)):
        os.write(2, b"%s %d %s\\n" % (sys.argv[1].encode(), number, b"x" * 200))
    number += 1"""


def settings(endpoint, **more):
    return dict(dict(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_METRICS_EXPORTER="none", BURDOCK_LOGS="2",
                     OTEL_LOGS_EXPORTER="otlp", OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="100"), **more)


def writer(scene, endpoint, name="writer", **more):
    """It writes as many lines as it is told to."""
    return scene.start([PYTHON, "-uc", WRITES, name], name, stdin=subprocess.PIPE,
                       **settings(endpoint, **more))


def write(process, lines):
    process.stdin.write(b"%d\n" % lines)
    process.stdin.flush()


def write_many(scene, process, lines, names):
    """Batch by batch, so that the ring has room; each is waited for in these counters."""
    before = counted(scene, names)
    for made in range(BATCH, lines + 1, BATCH):
        write(process, BATCH)
        if not wait_until(lambda: counted(scene, names) == before + made, 40):
            return check(False, "the exporter follows", (made, [r.counters for r in scene.rings_left()]))
    return True


def arrived(collector, name="writer"):
    """The numbers of the lines, in the order in which they came."""
    return [int(log.body.split()[1]) for post in list(collector.logs_posts)
            if post.answer is accept for log in logs_of_request(post.body)
            if log.body.startswith(name + " ")]


def killed(scene, process):
    scene.stop(process, signal.SIGKILL)
    process.stdin.close()


def test_down():
    """For longer than memory holds; killed while it waits; the next process of the service sends it."""
    with Scene() as scene:
        port, made = free_port(), 6000
        endpoint = "http://127.0.0.1:%d" % port
        process = writer(scene, endpoint, OTEL_EXPORTER_OTLP_HEADERS="authorization=hush-4711")
        write_many(scene, process, made, ["logs.spooled"])
        size = sum(os.path.getsize(path) for path in spool_files(scene))
        check(size > 2 * 512 * 1024, "down: more waits than memory would hold", size)
        equal({(os.stat(path).st_mode & 0o777, os.path.basename(path).split("-")[2][0])
               for path in spool_files(scene)}, {(0o600, "l")}, "down: for the user alone, as lines of logs")
        content = b"".join(open(path, "rb").read() for path in spool_files(scene))
        check(b"hush" not in content, "down: no header is written to the disk")
        killed(scene, process)
        collector = Collector(scene, port=port)
        heir = writer(scene, endpoint, OTEL_EXPORTER_OTLP_HEADERS="authorization=hush-4711")
        write(heir, 1)
        check(wait_until(lambda: len(collector.logs()) == made + 1 and not spool_files(scene), 60),
              "killed: all of them come", (len(collector.logs()), spool_files(scene)))
        numbers = arrived(collector)
        equal((numbers[0], numbers.count(0)), (0, 2), "killed: the heir's comes, too, when it is its turn")
        equal([number for number in numbers if number != 0], list(range(1, made)),
              "killed: each once and in order")
        equal({post.headers["authorization"] for post in collector.logs_posts}, {"hush-4711"},
              "killed: with the headers of the configuration")
        equal((counted(scene, LOST), collector.spans()), (0, []), "killed: nothing is lost")
        write(heir, 1)
        check(wait_until(lambda: len(collector.logs()) == made + 2), "and it goes on")


def test_moods():
    """A line is taken or counted, whatever the collector does; nothing comes twice."""
    made = 1000
    for what, answers in (("resetting", [reset] * 2), ("hanging up", [hang_up]),
                          ("never answering", [never]), ("503", [refuse(503, Retry_After="1")]),
                          ("400, then 429", [refuse(400), refuse(429)])):
        with Scene() as scene:
            collector = Collector(scene)
            collector.logs_script[:] = answers
            process = writer(scene, collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="700")
            for _ in range(made // 100):
                write(process, 100)
            check(wait_until(lambda: len(collector.logs()) + counted(scene, LOST) == made and
                             not spool_files(scene), 60), what + ": received and counted is what was made",
                  (len(collector.logs()), [ring.counters for ring in scene.rings_left()]))
            equal(len(set(arrived(collector))), len(collector.logs()), what + ": nothing comes twice")
            refused = [post for post in collector.logs_posts if post.answer is answers[0]] \
                if what.startswith("400") else []
            equal(counted(scene, LOST), sum(len(logs_of_request(post.body)) for post in refused),
                  what + ": lost is what was refused for good")


def leave_behind(scene, port):
    """A killed process with lines in the spool, and one that has them in its ring."""
    endpoint = "http://127.0.0.1:%d" % port
    first = writer(scene, endpoint, "spooled")
    write_many(scene, first, 1000, ["logs.spooled"])
    killed(scene, first)
    for ring in os.listdir(scene.rings):
        os.unlink(os.path.join(scene.rings, ring))  # nothing is in it, but may not say so yet
    second = writer(scene, endpoint, "ring", OTEL_BSP_SCHEDULE_DELAY="600000")
    write(second, 1)  # is spooled, or stands in the ring: as the ring's file is late or not
    wait_until(lambda: [ring for ring in scene.rings_left()
                        if not ring.is_empty or ring.counters["logs.spooled"]])
    write(second, 99)
    wait_until(lambda: os.path.getsize(second.err_path) >= 100 * 208)
    killed(scene, second)


def test_recover():
    with Scene() as scene:
        port = free_port()
        endpoint = "http://127.0.0.1:%d" % port
        leave_behind(scene, port)
        status, out, err = recover(scene, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                                   OTEL_EXPORTER_OTLP_TIMEOUT="100")
        check(status == 1 and "takes nothing now" in err and spool_files(scene),
              "recover, down: all stays", (status, out, err))
        collector = Collector(scene, port=port)
        status, out, err = recover(scene, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint + "/else")
        check(status == 0 and "wait in" in out and not collector.logs(),
              "recover: what is meant for another endpoint is not sent", (status, out, err))
        status, out, err = recover(scene, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        check(status == 0 and "lines of logs of dead processes and 1" in out and
              not spool_files(scene) and not scene.rings_left(), "recover: all is sent", (status, out, err))
        equal((arrived(collector, "spooled"), arrived(collector, "ring")),
              (list(range(1000)), list(range(100))), "recover: each once and in order")
    with Scene() as scene:
        port = free_port()
        leave_behind(scene, port)
        status, out, err = recover(scene, "--store")
        check("lines of logs, which are not stored" in out and spool_files(scene) and
              not spans_of_store(scene.store), "recover --store leaves lines where they are",
              (status, out, err))


def test_shared():
    """Spans and lines of several processes in one spool; one is killed; each goes its own way."""
    with Scene() as scene:
        port, made = free_port(), 1000
        endpoint = "http://127.0.0.1:%d" % port
        app = exporting(scene, endpoint)
        writers = {name: writer(scene, endpoint, name) for name in ("one", "two")}
        equal(load(app.port, 100, 4), [], "shared: requests are answered")
        for process in writers.values():
            write_many(scene, process, made, ["logs.spooled"])
        wait_until(lambda: counted(scene, ["spans.spooled"]) == 100)
        killed(scene, writers["one"])
        collector = Collector(scene, port=port)
        write(writers["two"], 1)
        get(app.port, "/live")
        check(wait_until(lambda: len(collector.logs()) == 2 * made + 1 and
                         len(collector.spans()) == 101 and not spool_files(scene), 60),
              "shared: all arrive", (len(collector.logs()), len(collector.spans()), spool_files(scene)))
        equal(arrived(collector, "one"), list(range(made)), "shared: the killed one's, each once, in order")
        two = [number for number in arrived(collector, "two") if number != made]
        equal(two, list(range(made)), "shared: the other one's, too")
        equal({(log.service, log.body.split()[0]) for log in collector.logs()},
              {("one", "one"), ("two", "two")}, "shared: of each its own")


def test_exit():
    """What cannot be sent at the end of a process waits for the next one."""
    with Scene() as scene:
        process = writer(scene, "http://127.0.0.1:%d" % free_port(), BURDOCK_EXIT_TIMEOUT="1000")
        write(process, 50)
        process.stdin.close()
        equal(process.wait(20), 0, "exit: ends well")
        check(spool_files(scene) and not os.listdir(scene.rings), "exit: its lines are spooled")


def test_cap():
    """The room is for spans and lines; the oldest go, and are counted as what they are."""
    with Scene() as scene:
        port, spans, lines = free_port(), 60, 3000
        endpoint, cap = "http://127.0.0.1:%d" % port, "256K"
        app = exporting(scene, endpoint, BURDOCK_SPOOL_MAX=cap)
        equal(load(app.port, spans, 4), [], "cap: requests are answered")
        wait_until(lambda: counted(scene, ["spans.spooled"]) == spans)
        process = writer(scene, endpoint, BURDOCK_SPOOL_MAX=cap)
        write_many(scene, process, lines, ["logs.spooled"])
        size = sum(os.path.getsize(path) for path in spool_files(scene))
        check(128 * 1024 < size <= 256 * 1024, "cap: it holds, and is used", size)
        collector = Collector(scene, port=port)
        check(wait_until(lambda: len(collector.logs()) + counted(scene, LOST) == lines and
                         len(collector.spans()) + counted(scene, ["spans.dropped.spool"]) == spans and
                         not spool_files(scene), 60), "cap: received and counted is what was made",
              (len(collector.logs()), len(collector.spans()), [r.counters for r in scene.rings_left()]))
        dropped = counted(scene, ["logs.dropped.spool"])
        equal(arrived(collector), list(range(dropped, lines)), "cap: the oldest were removed, %d" % dropped)


def test_full_disk():
    """Then lines wait in memory, as they do without a spool; more than that is counted."""
    with Scene() as scene, small_disk(scene, "96k") as disk:
        if disk is None:
            return skip("a full disk", "nothing can be mounted here")
        port, made = free_port(), 6000
        process = writer(scene, "http://127.0.0.1:%d" % port, BURDOCK_SPOOL=disk,
                         OTEL_EXPORTER_OTLP_TIMEOUT="100")
        for _ in range(made // BATCH):
            write(process, BATCH)
            wait_until(lambda: all(ring.is_empty for ring in scene.rings_left()))
        wait_until(lambda: counted(scene, ["logs.recorded", "logs.dropped.ring_full"]) == made)
        check(0 < counted(scene, ["logs.spooled"]) < made, "full disk: some are kept",
              [ring.counters for ring in scene.rings_left()])
        collector = Collector(scene, port=port)
        check(wait_until(lambda: len(collector.logs()) + counted(scene, LOST) == made, 60),
              "full disk: received and counted is what was made",
              (len(collector.logs()), [ring.counters for ring in scene.rings_left()]))
        check(counted(scene, ["logs.dropped.export"]) > 0, "full disk: some were lost")
        equal(len(set(arrived(collector))), len(collector.logs()), "full disk: nothing comes twice")
        equal(process.poll(), None, "full disk: the program lives")
        killed(scene, process)
    return None


def test_off():
    """Half a megabyte waits in memory."""
    with Scene() as scene:
        port = free_port()
        process = writer(scene, "http://127.0.0.1:%d" % port, BURDOCK_SPOOL="off")
        write(process, 100)
        wait_until(lambda: counted(scene, ["export.failed"]) > 0)
        write(process, 100)
        collector = Collector(scene, port=port)
        check(wait_until(lambda: len(collector.logs()) == 200, 60), "off: what waited has come",
              [ring.counters for ring in scene.rings_left()])
        equal((os.listdir(scene.store), counted(scene, LOST)), ([], 0), "off: no spool is made")


def test_told():
    """`burdock status` and the doctor tell of what waits."""
    burdock = os.path.join(harness.BUILD, "cli/burdock")
    with Scene() as scene:
        process = writer(scene, "http://127.0.0.1:%d" % free_port())
        write(process, 30)
        wait_until(lambda: counted(scene, ["logs.spooled"]) == 30)
        said = scene.run([burdock, "status", str(process.pid)], traced=False).stdout.decode()
        check("30 lines of logs recorded, 0 exported, 30 spooled, 0 dropped" in said, "status", said)
        said = scene.run([burdock, "doctor", str(process.pid)], traced=False).stdout.decode()
        check("logs.spooled 30" in said, "doctor", said)


if __name__ == "__main__":
    main(globals(), ("curl",))
