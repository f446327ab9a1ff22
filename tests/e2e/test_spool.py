# SPDX-License-Identifier: Apache-2.0
"""Collectors in every mood, processes that die: what arrives and what is counted as lost is what was
made. SPOOL_LONG=1: a thousand deaths."""
import collections
import glob
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager

import harness
from harness import (APPS, BURDOCK, PYTHON, Scene, check, equal, free_port, get, load, main, skip,
                     wait_until)

if harness.otlp:
    from otlp import (Collector, accept, hang_up, never, nonsense, partial, refuse, spans_of_request,
                      spans_of_store, up_to)

LONG = os.environ.get("SPOOL_LONG") == "1"
SECRET = "Bearer%20hush-hush-4711"
LOST = ("spans.dropped.ring_full", "spans.dropped.memory", "spans.dropped.export",
        "spans.dropped.invalid", "spans.dropped.spool", "spans.rejected", "spans.abandoned")


def spool_files(scene):
    return glob.glob(scene.path("store/spool/*.otlp"))


def counted(scene, names=LOST):
    """Of all processes that live."""
    return sum(ring.counters.get(name, 0) for ring in scene.rings_left() for name in names)


def each_once(spans):
    """Their paths; complains about none of them twice."""
    twice = [number for number, count in collections.Counter(s.id for s in spans).items() if count > 1]
    return not twice


def exporting(scene, endpoint, name="app", **more):
    settings = dict(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
                    OTEL_METRICS_EXPORTER="none")
    settings.update(more)
    return scene.service(name, **settings)


# --- moods ---------------------------------------------------------------------------------------


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def slow(handler):
    time.sleep(0.3)
    accept(handler)


def received(collector):
    """Spans of what was answered by 2xx, partial successes too."""
    return [span for post in list(collector.posts)
            if post.answer in (accept, slow) or getattr(post.answer, "is_partial", False)
            for span in spans_of_request(post.body)]


def some_refused(rejected):
    answer = partial(rejected)

    def some(handler):
        answer(handler)

    some.is_partial = True
    return some


def cut(handler):
    """Its answer; or was it?"""
    handler.post.status = 200
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    handler.close_connection = True


cut.is_partial = True  # spans are taken

MOODS = (
    # what, answers, what is lost: (counter, how many at least) or None
    ("cut off behind the head", [cut] * 3, None),
    ("resetting", [reset] * 3, None),
    ("hanging up", [hang_up] * 3, None),
    ("slow", [slow] * 6, None),
    ("429", [refuse(429)] * 3, None),
    ("503 with Retry-After", [refuse(503, Retry_After="1")] * 2, None),
    ("502, 504", [refuse(502), refuse(504)], None),
    ("never answering", [never] * 2, None),
    ("partial success", [some_refused(1), accept, some_refused(1)], ("spans.rejected", 2)),
    ("garbage", [nonsense] * 2, ("spans.dropped.export", 1)),
    ("400, then 429", [refuse(400), refuse(429)], ("spans.dropped.export", 1)),
)


def test_moods():
    made = 150
    for what, answers, loss in MOODS:
        with Scene() as scene:
            collector = Collector(scene, answers)
            app = exporting(scene, collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="700")
            equal(load(app.port, made, 4), [], what + ": every request is answered")

            def total():
                return len(received(collector)) - counted(scene, ["spans.rejected"]) + \
                    counted(scene) == made and not spool_files(scene)

            check(wait_until(total, 40), what + ": received and counted is what was made",
                  (len(received(collector)), [ring.counters for ring in scene.rings_left()]))
            check(each_once(received(collector)), what + ": nothing arrives twice")
            if loss:
                check(counted(scene, [loss[0]]) >= loss[1], what + ": the loss is counted")
            else:
                equal(counted(scene), 0, what + ": nothing is lost")


def test_down():
    """Nobody listens for longer than OTLP's time for a batch: nothing is lost, it comes in order."""
    with Scene() as scene:
        port = free_port()
        app = exporting(scene, "http://127.0.0.1:%d" % port, OTEL_EXPORTER_OTLP_TIMEOUT="500",
                        OTEL_EXPORTER_OTLP_HEADERS="authorization=" + SECRET)
        for number in range(60):
            get(app.port, "/%d" % number)
        check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 60), "down: all is spooled",
              counted(scene, ["spans.spooled"]))
        equal({(os.stat(path).st_mode & 0o777) for path in spool_files(scene)}, {0o600},
              "down: for the user alone")
        content = b"".join(open(path, "rb").read() for path in sorted(spool_files(scene)))
        check(b"hush" not in content and b"url.path" in content and
              not any("hush" in path for path in spool_files(scene)),
              "down: spans are written to the disk, headers are not")
        collector = Collector(scene, port=port)
        check(wait_until(lambda: len(collector.spans()) == 60, 40), "back: all arrive",
              len(collector.spans()))
        order = [int(span.attributes["url.path"][1:]) for span in collector.spans()]
        spooled = re.findall(rb"url\.path\x12.\n./(\d+)", content, re.S)
        equal(order, [int(number) for number in spooled], "back: in their order")
        equal({post.headers["authorization"] for post in collector.posts}, {"Bearer hush-hush-4711"},
              "back: with the headers of the configuration")
        check(each_once(collector.spans()) and counted(scene) == 0, "back: each once, none lost")
        check(wait_until(lambda: not spool_files(scene)), "back: the spool is empty")
        get(app.port, "/live")
        check(wait_until(lambda: len(collector.spans()) == 61), "back: and it goes on")


def test_too_large():
    """What was spooled in a request larger than the collector takes is sent in parts."""
    for limit, least in ((12000, 100), (2500, 100), (100, 0)):
        with Scene() as scene:
            port, made = free_port(), 100
            app = exporting(scene, "http://127.0.0.1:%d" % port, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="100",
                            OTEL_BSP_SCHEDULE_DELAY="1000", OTEL_EXPORTER_OTLP_TIMEOUT="500")
            equal(load(app.port, made, 4), [], "too large: requests are answered")
            check(wait_until(lambda: counted(scene, ["spans.spooled"]) == made), "too large: spooled",
                  [ring.counters for ring in scene.rings_left()])
            collector = Collector(scene, default=up_to(limit), port=port)

            def taken():
                return [span for post in list(collector.posts) if post.status == 200
                        for span in spans_of_request(post.body)]

            check(wait_until(lambda: len(taken()) + counted(scene) == made and not spool_files(scene),
                             40), "too large, %d bytes: all is accounted for" % limit,
                  (len(taken()), [ring.counters for ring in scene.rings_left()]))
            check([post for post in collector.posts if post.status == 413], "too large: it was")
            check(len(taken()) >= least and each_once(taken()),
                  "too large, %d bytes: it arrives in parts, once" % limit, len(taken()))
            equal(counted(scene, ["spans.dropped.spool"]), made - least,
                  "too large, %d bytes: what cannot be is counted" % limit)
            equal(counted(scene, ["spans.spooled"]), made, "too large: and nothing twice")


def test_off():
    with Scene() as scene:
        app = exporting(scene, "http://127.0.0.1:%d" % free_port(), BURDOCK_SPOOL="off",
                        OTEL_EXPORTER_OTLP_TIMEOUT="600")
        get(app.port, "/lost")
        check(wait_until(lambda: counted(scene, ["spans.dropped.export"]) == 1),
              "off: dropped after the time, and counted")
        equal(os.listdir(scene.store), [], "off: no spool is made")


def test_metrics():
    """What a process measured and could not send at its end waits for the next one."""
    for what, answers in (("down", None), ("503", refuse(503, Retry_After="3600"))):
        with Scene() as scene:
            back = scene.service("back", traced=False)
            port = free_port()
            collector = Collector(scene, default=answers, port=port) if answers else None
            if collector:
                collector.metrics_script[:] = [answers] * 2
            settings = dict(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:%d" % port,
                            BURDOCK_EXIT_TIMEOUT="60000")
            for _ in range(2):  # their end waits for no collector that is known to be away
                scene.curl("http://127.0.0.1:%d/" % back.port, **settings, timeout=40)
            equal(sum("-m" in os.path.basename(path) for path in spool_files(scene)), 2, what + ": metrics are spooled")
            collector = collector or Collector(scene, port=port)
            collector.default = accept
            last = scene.service("last", **settings)
            get(last.port, "/")
            check(wait_until(lambda: not spool_files(scene)), what + ": and sent by the next process")
            points = collector.points("http.client.request.duration")
            equal(([point.count for point in points], len({p.process for p in points})),
                  ([1, 1], 2), what + ": each once")


# --- ends ----------------------------------------------------------------------------------------


def test_exit():
    """What cannot be sent at the end of a process waits for the next one."""
    for what, answers in (("down", None), ("never answering", never)):
        with Scene() as scene:
            back = scene.service("back", traced=False)
            port = free_port()
            collector = Collector(scene, default=answers, port=port) if answers else None
            settings = dict(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:%d" % port,
                            BURDOCK_EXIT_TIMEOUT="1000", OTEL_METRICS_EXPORTER="none")
            start = time.monotonic()
            answer = scene.curl("http://127.0.0.1:%d/" % back.port, **settings)
            took = time.monotonic() - start
            equal((answer.returncode, answer.stderr), (0, b""), "exit, %s: ends well" % what)
            check(took < 2, "exit, %s: within the bound" % what, took)
            equal(len(spans_of_store(scene.path("store/spool"), verify=True)), 1,
                  "exit, %s: its span is spooled, whole" % what)
            equal(os.listdir(scene.rings), [], "exit, %s: no ring is left" % what)
            if collector:
                collector.close()
                collector.server.socket.close()
            heir = Collector(scene, port=port)
            other = exporting(scene, "http://127.0.0.1:%d/other" % port, "other")
            get(other.port, "/other")
            wait_until(lambda: len(heir.posts) == 1)
            app = exporting(scene, "http://127.0.0.1:%d" % port)
            get(app.port, "/next")
            check(wait_until(lambda: len(heir.spans()) == 3), "exit, %s: the next process sends it" %
                  what)
            equal([post.path for post in heir.posts if any(
                span.service == "curl" for span in spans_of_request(post.body))], ["/v1/traces"],
                  "exit, %s: to where it was meant to go, once" % what)


# --- several -------------------------------------------------------------------------------------


def test_shared():
    """Three processes, one spool; one of them is killed before the collector is back."""
    with Scene() as scene:
        port = free_port()
        apps = [exporting(scene, "http://127.0.0.1:%d" % port, "app%d" % number)
                for number in range(3)]
        threads = [threading.Thread(target=load, args=(app.port, 200, 4)) for app in apps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 600), "shared: all spool")
        scene.stop(apps[0], signal.SIGKILL)
        collector = Collector(scene, port=port)
        for app in apps[1:]:
            get(app.port, "/live")
        check(wait_until(lambda: len(collector.spans()) >= 602 and not spool_files(scene), 60),
              "shared: all arrive, what the killed one had spooled too",
              (len(collector.spans()), spool_files(scene)))
        equal(collections.Counter(span.service for span in collector.spans()),
              {"app0": 200, "app1": 201, "app2": 201}, "shared: of each its own")
        check(each_once(collector.spans()), "shared: each once")


def spans_of_log(path):
    found = []
    if os.path.exists(path):
        with open(path, "rb") as file:
            data = file.read()
        at = 0
        while at + 4 <= len(data):
            length, = struct.unpack_from("<I", data, at)
            if at + 4 + length > len(data):
                break
            found += spans_of_request(data[at + 4:at + 4 + length])
            at += 4 + length
    return found


def test_killed_collector():
    """A collector that is killed and started again, under load."""
    with Scene() as scene:
        port, log = free_port(), scene.path("received")
        command = [PYTHON, os.path.join(APPS, "collector.py"), str(port), log]
        collector = scene.start(command, traced=False, port=port)
        app = exporting(scene, "http://127.0.0.1:%d" % port)
        deaths = 3
        for death in range(deaths):
            thread = threading.Thread(target=load, args=(app.port, 300, 4, "/" + str(death) + "/%d"))
            thread.start()
            before = len(spans_of_log(log))
            wait_until(lambda: len(spans_of_log(log)) > before, 10)
            scene.stop(collector, signal.SIGKILL)
            thread.join()
            collector = scene.start(command, traced=False, port=port)
        made = 300 * deaths
        check(wait_until(lambda: len({span.id for span in spans_of_log(log)}) == made and
                         not spool_files(scene), 60),
              "killed collector: all arrive", len({span.id for span in spans_of_log(log)}))
        again = len(spans_of_log(log)) - made
        check(again <= 10 * deaths, "killed collector: at most the batch that it had not answered "
              "arrives twice", again)
        equal(counted(scene), 0, "killed collector: nothing is lost")


# --- by hand -------------------------------------------------------------------------------------


def leave_behind(scene, port):
    """A killed process with spans in the spool and others in its ring: how many of each."""
    app = exporting(scene, "http://127.0.0.1:%d" % port)
    equal(load(app.port, 40, 4, "/spooled/%d"), [], "left behind: requests are answered")
    wait_until(lambda: counted(scene, ["spans.spooled"]) == 40)
    scene.stop(app, signal.SIGKILL)
    for ring in glob.glob(os.path.join(scene.rings, "*.ring")):
        os.unlink(ring)  # nothing is in it, but a load may be late by a moment
    late = exporting(scene, "http://127.0.0.1:%d" % port, "late", OTEL_BSP_SCHEDULE_DELAY="600000")
    get(late.port, "/first")  # may end before the ring file is made
    wait_until(lambda: counted(scene, ["spans.spooled"]) == 1 or
               [ring for ring in scene.rings_left() if not ring.is_empty])
    for number in range(30):
        get(late.port, "/ring/%d" % number)
    get(late.port, "/ring/30")
    scene.stop(late, signal.SIGKILL)


def recover(scene, *arguments, **more):
    done = scene.run([BURDOCK, "recover", *arguments], traced=False, OTEL_METRICS_EXPORTER="none",
                     **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def kinds(spans):
    return collections.Counter(span.attributes["url.path"].split("/")[1] for span in spans)


def test_recover():
    with Scene() as scene:
        port = free_port()
        endpoint = "http://127.0.0.1:%d" % port
        leave_behind(scene, port)
        status, out, err = recover(scene, "--endpoint", endpoint, BURDOCK_SPOOL="off",
                                   OTEL_EXPORTER_OTLP_TIMEOUT="100")
        check(status == 1 and "takes nothing now" in err, "recover, down: fails, and says so",
              (status, out, err))
        check(scene.rings_left() and spool_files(scene), "recover, down: all stays")
        other = Collector(scene)
        status, out, err = recover(scene, "--endpoint", other.endpoint, BURDOCK_SPOOL="off")
        check(status == 0 and kinds(other.spans())["ring"] > 0 and not scene.rings_left(),
              "recover: rings go to the endpoint given", (status, out, err, kinds(other.spans())))
        status, out, err = recover(scene, "--endpoint", other.endpoint)
        check(status == 0 and "wait in" in out and spool_files(scene) and
              not kinds(other.spans())["spooled"],
              "recover: what waits for another endpoint is not sent there", (status, out, err))
        collector = Collector(scene, port=port)
        status, out, err = recover(scene, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        check(status == 0 and kinds(collector.spans())["spooled"] == 40 and not spool_files(scene),
              "recover: the spool is sent", (status, out, err))
        everything = collector.spans() + other.spans()  # who had no ring of the file spooled at once
        check(each_once(everything) and kinds(everything)["ring"] >= 30, "recover: each once",
              kinds(everything))
        equal(recover(scene, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)[:2],
              (0, "burdock: 0 spans of dead processes and 0 of the spool sent\n"),
              "recover: nothing is left")
    with Scene() as scene:
        port = free_port()
        leave_behind(scene, port)
        status, out, err = recover(scene, "--store")
        check(status == 0 and kinds(scene.spans())["spooled"] == 40 and
              kinds(scene.spans())["ring"] >= 30 and not spool_files(scene) and
              not scene.rings_left(), "recover --store: all is in the store", (status, out, err))
        check(each_once(scene.spans()), "recover --store: each once")
        equal([recover(scene, *words)[0] for words in (("x",), ("--nonsense",),
              ("--store", "--endpoint", "http://127.0.0.1:1"), ("--endpoint", "nonsense"))],
              [2] * 4, "recover: wrong usage is refused")


# --- deaths --------------------------------------------------------------------------------------


def unfinished(spans):
    return [span for span in spans if "burdock.unfinished" in span.attributes]


def ask_in_vain(port, path):
    """A request whose answer never comes."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())
    return connection


def test_unfinished():
    """What a process was at when it died: the request, and the call that it was waiting for."""
    for how in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
        with Scene() as scene:
            silent = harness.RawServer(scene, lambda connection: harness.read_head(connection) and
                                       connection.recv(1))
            app = scene.service("app")
            get(app.port, "/done")
            wait_until(lambda: [ring for ring in scene.rings_left() if ring.rings])
            get(app.port, "/done/2")
            waiting = ask_in_vain(app.port, "/fetch?url=http://127.0.0.1:%d/never" % silent.port)
            check(wait_until(lambda: harness.open_requests(scene) == 2), how.name +
                  ": two requests are noted", harness.open_requests(scene))
            slow = [ask_in_vain(app.port, "/slow?s=60") for _ in range(5)]
            wait_until(lambda: harness.open_requests(scene) == 7)
            scene.stop(app, how)
            for connection in [waiting, *slow]:
                connection.close()
            status, out, err = recover(scene)
            spans = unfinished(scene.spans())
            equal((status, len(spans), len(scene.spans())), (0, 7, 9),
                  how.name + ": what was open is told, beside what was done")
            served, = [s for s in spans if s.kind == "SERVER" and "fetch" in s.attributes["url.path"]]
            called, = [s for s in spans if s.kind == "CLIENT"]
            equal((called.trace, called.parent), (served.trace, served.id),
                  how.name + ": the call under its request")
            equal({(s.status, s.attributes["error.type"], s.attributes["burdock.unfinished"])
                   for s in spans}, {("ERROR", "process_died", "requested")},
                  how.name + ": as errors, with the last thing they did")
            check(all(0 <= s.end - s.start <= (s.attributes["burdock.unfinished.age_max_ms"] + 1) * 1e6
                      for s in spans), how.name + ": with their age")
            equal({(s.name, s.attributes["http.request.method"]) for s in spans if s.kind == "SERVER"},
                  {("GET", "GET")}, how.name + ": with their method")
            equal(scene.rings_left(), [], how.name + ": no ring is left")


def test_deaths():
    """kill -9 at any moment under load: each request that was answered has its span, finished or
    not; each span is there once; and no more are unfinished than were under way."""
    deaths = 1000 if LONG else 20
    clients = 4
    with Scene(OTEL_BSP_SCHEDULE_DELAY="20") as scene:
        app = scene.nginx("location / { return 200 $pid; }", "app", workers=1)
        answered, lock, over, made = set(), threading.Lock(), threading.Event(), [0]

        def ask(client):
            number = 0
            while not over.is_set():
                number += 1
                path = "/r/%d/%d" % (client, number)
                try:
                    if get(app.port, path, timeout=5)[0] == 200:
                        with lock:
                            answered.add(path)
                except OSError:
                    pass
                except harness.http.client.HTTPException:
                    pass

        def worker():
            """As soon as it is there."""
            with open("/proc/%d/task/%d/children" % (app.pid, app.pid), encoding="utf-8") as file:
                found = [int(pid) for pid in file.read().split()]
            return found[0] if found else None

        threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
        for thread in threads:
            thread.start()
        killed = 0
        for _ in range(deaths):
            pid = wait_until(worker)
            time.sleep(random.random() * 0.05)  # any moment
            os.kill(pid, signal.SIGKILL)
            killed += 1
            wait_until(lambda: not os.path.exists("/proc/%d" % pid))
        over.set()
        for thread in threads:
            thread.join()
        scene.stop(app, signal.SIGQUIT)
        recover(scene)
        spans = scene.spans()
        told = collections.Counter(span.attributes.get("url.path") for span in spans)
        missing = [path for path in answered if path not in told]
        equal(killed, deaths, "deaths: the worker died %d times" % deaths)
        check(len(answered) > deaths * 3, "deaths: under load", len(answered))
        check(not missing, "deaths: each request that was answered has its span (%d)" % len(answered),
              missing[:10])
        times = collections.Counter(span.id for span in spans)
        of_whom = {span.resource["process.pid"] for span in spans if times[span.id] > 1}
        twice = len(spans) - len(times)
        check(len(of_whom) <= max(2, deaths // 20) and max(times.values()) <= 3,
              "deaths: none is told twice but for a batch now and then, stored by who died before "
              "giving its room back", (twice, of_whom))
        open_ones = unfinished(spans)
        check(len(open_ones) <= deaths * clients, "deaths: no more are unfinished than were under way",
              len(open_ones))
        ids = {span.id for span in open_ones}
        paths = {span.attributes["url.path"] for span in open_ones}
        ended = {span.attributes["url.path"] for span in spans if span.id not in ids}
        equal((len(ids) - len(paths), paths & ended), (0, set()),
              "deaths: each of those is one request, and none is told as finished, too")
        print("# %d spans, %d answered, %d unfinished, %d twice" %
              (len(spans), len(answered), len(open_ones), twice))


# --- room ----------------------------------------------------------------------------------------


def test_cap():
    with Scene() as scene:
        port = free_port()
        made = 1500
        app = exporting(scene, "http://127.0.0.1:%d" % port, BURDOCK_SPOOL_MAX="256K")
        equal(load(app.port, made, 4), [], "cap: every request is answered")
        check(wait_until(lambda: counted(scene, ["spans.spooled"]) == made), "cap: all are spooled",
              [ring.counters for ring in scene.rings_left()])
        size = sum(os.path.getsize(path) for path in spool_files(scene))
        check(128 * 1024 < size <= 256 * 1024, "cap: it holds, and is used", size)
        collector = Collector(scene, port=port)
        check(wait_until(lambda: len(collector.spans()) + counted(scene) == made and
                         not spool_files(scene), 60), "cap: received and counted is what was made",
              (len(collector.spans()), counted(scene)))
        check(counted(scene, ["spans.dropped.spool"]) > 0, "cap: what was removed is counted")
        numbers = [int(span.attributes["url.path"].rpartition("/")[2]) for span in collector.spans()]
        check(min(numbers) > 100 and max(numbers) >= made - 5, "cap: the oldest were removed",
              (min(numbers), max(numbers)))


@contextmanager
def small_disk(scene, size):
    place = scene.path("disk")
    os.mkdir(place)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=1777" % size, "none", place],
                             capture_output=True).returncode == 0
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)


def test_full_disk():
    with Scene() as scene, small_disk(scene, "96k") as disk:
        if disk is None:
            return skip("a full disk", "nothing can be mounted here")
        port = free_port()
        made = 1000
        app = exporting(scene, "http://127.0.0.1:%d" % port, BURDOCK_SPOOL=disk,
                        OTEL_EXPORTER_OTLP_TIMEOUT="100", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="100")
        equal(load(app.port, made, 4), [], "full disk: every request is answered")
        check(wait_until(lambda: counted(scene) + counted(scene, ["spans.spooled"]) == made, 60),
              "full disk: what finds no room is counted", [r.counters for r in scene.rings_left()])
        lost = counted(scene)
        check(0 < lost < made, "full disk: some is kept, some is lost", lost)
        collector = Collector(scene, port=port)
        check(wait_until(lambda: len(collector.spans()) + lost == made, 60),
              "full disk: what was kept arrives whole", (len(collector.spans()), lost))
        equal(app.poll(), None, "full disk: the program lives")
        scene.stop(app)
    return None


def test_read_only():
    with Scene() as scene, small_disk(scene, "1m") as disk:
        if disk is None:
            return skip("a read-only disk", "nothing can be mounted here")
        port = free_port()
        app = exporting(scene, "http://127.0.0.1:%d" % port, BURDOCK_SPOOL=disk,
                        OTEL_EXPORTER_OTLP_TIMEOUT="100")
        get(app.port, "/kept")
        wait_until(lambda: counted(scene, ["spans.spooled"]) == 1)
        held = subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True).returncode
        if held != 0:  # the file that is written to is open; a disk that breaks does not ask
            scene.stop(app, signal.SIGKILL)
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            app = exporting(scene, "http://127.0.0.1:%d" % port, BURDOCK_SPOOL=disk,
                            OTEL_EXPORTER_OTLP_TIMEOUT="100")
        get(app.port, "/lost")
        check(wait_until(lambda: counted(scene, ["spans.dropped.export"]) == 1),
              "read-only disk: what cannot be spooled is counted")
        collector = Collector(scene, port=port)
        get(app.port, "/live")
        wait_until(lambda: collector.spans())
        time.sleep(0.5)  # time to send what must not be sent
        equal([span.attributes["url.path"] for span in collector.spans()], ["/live"],
              "read-only disk: what could be sent again and again, since it cannot be marked, is not")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        scene.stop(app, signal.SIGKILL)
    return None


if __name__ == "__main__":
    main(globals(), ("curl",))
