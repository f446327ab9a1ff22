# SPDX-License-Identifier: Apache-2.0
"""How spans leave: to a collector in every mood, and what a process that ends leaves behind."""
import glob
import gzip
import os
import shutil
import signal
import socket
import subprocess
import time

import harness
from harness import (BURDOCK, LIBRARY, PYTHON, SERVICE, VICTIMS, Scene, check, equal, free_port, get,
                     main, open_requests, wait_until)

if harness.otlp:
    from otlp import (Collector, accept, hang_up, never, nonsense, partial, refuse, spans_of_request,
                      spans_of_store, up_to)

NEVER_BY_ITSELF = "600000"  # a schedule delay that no test lives to see


def exporting(scene, collector, **more):
    """A traced service that exports to the collector."""
    return scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **more)


def paths(spans):
    return sorted(span.attributes["url.path"] for span in spans)


def counters(scene, service="app"):
    return next((ring.counters for ring in scene.rings_left() if ring.service == service), {})


def test_post():
    with Scene() as scene:
        collector = Collector(scene)
        app = exporting(scene, collector, OTEL_EXPORTER_OTLP_HEADERS="api-key=a%20b%2Cc,x-tenant=7",
                        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,k=%3D")
        get(app.port, "/one")
        wait_until(lambda: collector.posts)
        post = collector.posts[0]
        equal((post.path, post.headers["Content-Type"], post.headers["Content-Encoding"]),
              ("/v1/traces", "application/x-protobuf", None), "a POST as OTLP/HTTP wants it")
        equal((post.headers["api-key"], post.headers["x-tenant"]), ("a b,c", "7"),
              "OTEL_EXPORTER_OTLP_HEADERS are sent, decoded")
        check("OTel-OTLP-Exporter" in post.headers["User-Agent"], "it names itself",
              post.headers["User-Agent"])
        span, = spans_of_request(post.body)
        equal((span.resource["deployment.environment.name"], span.resource["k"]), ("test", "="),
              "the resource has OTEL_RESOURCE_ATTRIBUTES, decoded")
        for name in ("traceparent", "tracestate", "baggage"):
            check(name not in post.headers, "the exporter's own request carries no " + name)
        get(app.port, "/two")
        wait_until(lambda: len(collector.spans()) == 2)
        scene.stop(app)
        equal(paths(collector.spans()), ["/one", "/two"], "the exporter's own traffic is not traced")
        equal(os.listdir(scene.store), [], "with an endpoint nothing goes to the local store")


def test_endpoints():
    with Scene() as scene:
        collector = Collector(scene)
        for number, (name, suffix, path) in enumerate((
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "/base/", "/base/v1/traces"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/just/this", "/just/this"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "/"))):
            app = scene.service("app", **{name: collector.endpoint + suffix})
            get(app.port)
            wait_until(lambda: len(collector.posts) > number)
            equal(collector.posts[-1].path, path, "%s=...%s posts to %s" % (name, suffix, path))


def test_gzip():
    with Scene() as scene:
        collector = Collector(scene)
        app = exporting(scene, collector, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
        for number in range(20):
            get(app.port, "/%d" % number)
        wait_until(lambda: len(collector.spans()) == 20)
        equal({post.headers["Content-Encoding"] for post in collector.posts}, {"gzip"},
              "every post is gzip")
        post = collector.posts[-1]
        check(gzip.compress(post.body) and len(collector.spans()) == 20, "and unpacks")


def test_batches():
    with Scene() as scene:
        collector = Collector(scene)
        app = exporting(scene, collector, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
                        OTEL_BSP_SCHEDULE_DELAY="2000")
        harness.load(app.port, 100, 4)
        wait_until(lambda: len(collector.spans()) == 100)
        sizes = [len(spans_of_request(post.body)) for post in collector.posts]
        check(sum(sizes) == 100 and max(sizes) <= 10, "no batch is larger than permitted", sizes)


# 7,200 statements of six threads.
STATEMENTS = """
import sqlite3, threading
def ask():
    database = sqlite3.connect(":memory:")
    for _ in range(1200):
        database.execute("SELECT 1").fetchall()
threads = [threading.Thread(target=ask) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def late(handler):
    """Meanwhile all is in the rings."""
    time.sleep(1.5)
    accept(handler)


def batch_sizes(default=accept, **more):
    """Of those that were taken, and of those that were not."""
    with Scene() as scene:
        collector = Collector(scene, [late], default)
        done = scene.run([PYTHON, "-c", STATEMENTS], "app", BURDOCK_EXIT_TIMEOUT="20000",
                         OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **more)
        ids, taken, refused = set(), [], []
        for post in collector.posts:
            spans = spans_of_request(post.body)
            (taken if post.status == 200 else refused).append(len(spans))
            if post.status == 200:
                ids.update(span.id for span in spans)
        equal((done.returncode, sum(taken), len(ids)), (0, 7200, 7200), "each span arrives, once")
        return taken, refused


def test_grown_batches():
    taken, _ = batch_sizes()
    check(taken[0] <= 512 and max(taken) > 1500 and len(taken) < 8,
          "what waits behind a full batch goes in large ones, whatever rings it is in", taken)
    taken, _ = batch_sizes(OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1000")
    check(max(taken) == 1000 and len(taken) < 11, "a size that is set holds", taken)


def test_too_large_batches():
    taken, refused = batch_sizes(up_to(300000))
    check(len([size for size in refused if size > 512]) in (1, 2) and
          max(taken) > 512, "what is too large is sent in parts, and batches grow no more",
          (taken, refused))
    for limit in (60000, 20000):
        taken, refused = batch_sizes(up_to(limit))
        check(refused and max(taken[1:]) < 300, "so are usual ones, at %d bytes" % limit, (taken, refused))


# A statement, one while the first batch is gone, and five while the second one is on its way; then a
# filter of system calls, which allows them all.
FILTERED = """
import ctypes, sqlite3, struct, time
database = sqlite3.connect(":memory:")
for count in (1, 1, 5):
    for _ in range(count):
        database.execute("SELECT 1").fetchall()
    time.sleep(0.5)
instruction = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
program = struct.pack("HP", 1, ctypes.addressof(instruction))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
"""


def test_stepping_aside():
    """Our thread ends before a filter comes, and what was recorded has left by then."""
    with Scene() as scene:
        collector = Collector(scene, [accept, late])
        done = scene.run([PYTHON, "-c", FILTERED], "app", BURDOCK_EXIT_TIMEOUT="20000",
                         OTEL_BSP_SCHEDULE_DELAY="100", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        equal((done.returncode, done.stderr), (0, b""), "stepping aside: the program ends well")
        sizes = [len(spans_of_request(post.body)) for post in collector.posts]
        equal(sizes, [1, 1, 5], "stepping aside: what came while a batch was on its way is sent, too")


def test_down_then_up():
    with Scene() as scene:
        port = free_port()
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:%d" % port)
        get(app.port, "/early")
        time.sleep(1)  # two attempts, at least, meet a closed port
        collector = Collector(scene, port=port)
        wait_until(lambda: collector.spans())
        get(app.port, "/late")
        wait_until(lambda: len(collector.spans()) == 2)
        equal(paths(collector.spans()), ["/early", "/late"], "down, then up: each span arrives once")
        equal(counters(scene).get("spans.dropped.export"), 0, "down, then up: nothing is dropped")


def arrives_after(label, answers, least_seconds=0.0):
    """The batch is refused by these answers, tried again, and arrives once."""
    with Scene() as scene:
        times = []

        def at(answer):
            return lambda handler: (times.append(time.monotonic()), answer(handler))

        collector = Collector(scene, [at(answer) for answer in answers])
        app = exporting(scene, collector)
        get(app.port, "/x")
        wait_until(collector.spans)
        times.append(time.monotonic())
        equal((paths(collector.spans()), len(collector.posts)), (["/x"], len(answers) + 1),
              label + ": tried again, and arrived once")
        gaps = [after - before for before, after in zip(times, times[1:])]
        check(all(gap >= least_seconds for gap in gaps), label + ": not at once", gaps)


def test_retries():
    for status in (429, 502, 503, 504):
        arrives_after("%d" % status, [refuse(status)], 0.2)
    arrives_after("503 with Retry-After", [refuse(503, Retry_After="1")], 0.95)
    arrives_after("429 twice", [refuse(429), refuse(429)], 0.2)
    arrives_after("closed without an answer", [hang_up], 0.2)


def test_refused():
    for status in (400, 401, 404, 413, 500):
        with Scene() as scene:
            collector = Collector(scene, [refuse(status)])
            app = exporting(scene, collector)
            get(app.port, "/refused")
            wait_until(lambda: counters(scene).get("spans.dropped.export"))
            get(app.port, "/accepted")
            wait_until(collector.spans)
            equal((paths(collector.spans()), len(collector.posts)), (["/accepted"], 2),
                  "%d: not tried again, the next batch is" % status)
            equal(counters(scene)["spans.dropped.export"], 1, "%d: counted" % status)


def test_wrong_answer():
    with Scene() as scene:
        collector = Collector(scene, [nonsense])
        app = exporting(scene, collector)
        get(app.port, "/first")
        wait_until(lambda: collector.posts)
        get(app.port, "/second")
        wait_until(lambda: "/second" in paths(collector.spans()))
        check("/second" in paths(collector.spans()), "after an answer that is no HTTP it goes on")


def test_partial_success():
    with Scene() as scene:
        collector = Collector(scene, [partial(1)])
        app = exporting(scene, collector, OTEL_BSP_SCHEDULE_DELAY="500")
        for number in range(3):
            get(app.port, "/%d" % number)
        wait_until(lambda: counters(scene).get("spans.exported") == 2)
        values = counters(scene)
        sent = [span.id for post in collector.posts for span in spans_of_request(post.body)]
        equal((values["spans.rejected"], values["spans.exported"], len(sent), len(set(sent))),
              (1, 2, 3, 3), "partial success: counted, not tried again")


def test_never_answers():
    """A collector that never answers delays the end of a process only within the bound."""
    with Scene() as scene:
        collector = Collector(scene, default=never)
        back = scene.service("back", traced=False)
        for bound in (300, 1000):
            start = time.monotonic()
            answer = scene.curl("http://127.0.0.1:%d/" % back.port, BURDOCK_EXIT_TIMEOUT=str(bound),
                                OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
            took = time.monotonic() - start
            equal((answer.returncode, answer.stderr), (0, b""), "never answers: curl ends well")
            check(took < bound / 1000 + 1, "never answers: within %d ms" % bound, took)
        app = exporting(scene, collector)
        get(app.port)
        wait_until(lambda: len(collector.posts) >= 3)
        for number in range(20):
            equal_or_fail = get(app.port, "/%d" % number)[0]
            if equal_or_fail != 200:
                check(False, "never answers: the service works on")
        start = time.monotonic()
        scene.stop(app, signal.SIGTERM)
        check(time.monotonic() - start < 1, "never answers: SIGTERM ends at once, as it does bare")


def test_never_answers_anywhere():
    """Wherever a process may wait for its last batch, it waits within the bound, and works on."""
    with Scene() as scene:
        collector = Collector(scene, default=never)
        for victim, case in (("processes", "vforks"), ("processes", "daemons"),
                             ("processes", "connection_into_exec"), ("processes", "forks_in_threads"),
                             ("sandboxes", "seccomp_prctl"), ("sandboxes", "seccomp_strict"),
                             ("endings", "main_thread_leaves"), ("endings", "quick_exits"),
                             ("endings", "fails_to_execute"), ("every_hook", "quietly")):
            start = time.monotonic()
            scene.as_bare([os.path.join(VICTIMS, victim), case], "never answers: " + case,
                          BURDOCK_EXIT_TIMEOUT="100",
                          OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
            took = time.monotonic() - start
            check(took < 15, "never answers: %s ends in time" % case, took)


EARLY = "/status/200"  # may end before the ring file is made; then it is exported at once


def stored(scene):
    return [path for path in paths(scene.spans()) if path != EARLY]


def in_ring_files(scene, text):
    for path in glob.glob(os.path.join(scene.rings, "*.ring")):
        with open(path, "rb") as file:
            if text in file.read():
                return True
    return False


def service_with_unsent(scene, how, wrapper=()):
    """A service with a span in its ring that is not exported yet, then ended by a signal."""
    port = free_port()
    app = scene.start([*wrapper, *SERVICE, str(port)], "app", port=port, traced=not wrapper,
                      OTEL_BSP_SCHEDULE_DELAY=NEVER_BY_ITSELF)
    get(port, EARLY)
    ring = wait_until(lambda: [ring for ring in scene.rings_left() if ring.rings])[0]
    # Its thread holds the one durable ring until it has ended.
    wait_until(lambda: len(os.listdir("/proc/%d/task" % ring.pid)) == 2)
    # What was recorded before the file was there is stored when the thread begins: the next one must
    # not be there by then.
    wait_until(lambda: EARLY in paths(scene.spans()), 2)
    check(wait_until(lambda: EARLY in paths(scene.spans()) or
                     [ring for ring in scene.rings_left() if not ring.is_empty]),
          "the first span is safe, in the file or in the store")
    get(port, "/unsent")
    check(wait_until(lambda: in_ring_files(scene, b"/unsent"), 5), "its span lies in the ring file")
    return scene.stop(app, how)


def test_killed():
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT):
        with Scene() as scene:
            name = how.name
            equal(service_with_unsent(scene, how), -how, name + ": ends by it")
            equal(stored(scene), [], name + ": it could not be exported")
            other = scene.service("other")
            get(other.port, "/other")
            scene.wait_spans(1, lambda span: span.service == "other", timeout=5)
            equal(stored(scene), ["/other"], name + ": another service leaves it alone")
            app = scene.service("app")
            get(app.port, "/next")
            wait_until(lambda: len(stored(scene)) == 3)
            equal(stored(scene), ["/next", "/other", "/unsent"],
                  name + ": the next process of the service recovers it, once")
            equal(paths(scene.spans()).count(EARLY), 1, name + ": nor is the first span lost")
            check(wait_until(lambda: all(ring.is_empty for ring in scene.rings_left())),
                  name + ": and its ring is gone")


def test_left_by_others():
    """A process reads little of what other services' dead ones have left: its end waits for that."""
    for path in ("/unsent", "/slow?s=60"):
        with Scene() as scene:
            if path == "/unsent":
                service_with_unsent(scene, signal.SIGKILL)
            else:
                app = scene.service("app")
                connection = socket.create_connection(("127.0.0.1", app.port))
                connection.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())
                wait_until(lambda: open_requests(scene))
                scene.stop(app, signal.SIGKILL)
            (ring,) = os.listdir(scene.rings)
            for number in range(63):
                shutil.copy(os.path.join(scene.rings, ring),
                            os.path.join(scene.rings, "%s%d.ring" % (ring[:-5], number)))
            other = scene.service("other")
            get(other.port, "/other")
            scene.wait_spans(1, lambda span: span.service == "other", timeout=5)
            with open("/proc/%d/io" % other.pid) as file:
                count = int(file.readline().split()[1])
            check(count < 32 << 20, path + ": 64 rings of others are not read through", count)
            equal(len(os.listdir(scene.rings)), 65, path + ": they stay")


def test_killed_under_run():
    for how in (signal.SIGTERM, signal.SIGINT):
        with Scene() as scene:
            service_with_unsent(scene, how, [BURDOCK, "run", "-q", "--"])
            equal(stored(scene), ["/unsent"],
                  "burdock run, %s: the span is stored when the command has ended" % how.name)
            equal(os.listdir(scene.rings), [], "burdock run, %s: no ring is left" % how.name)


def losses_told(how):
    """Two services under one `burdock run`, a span of each refused; (what is told, what is left)."""
    with Scene() as scene:
        collector = Collector(scene, [refuse(404)] * 2)
        ports = [free_port(), free_port()]
        both = " ".join(SERVICE) + " $1 & " + " ".join(SERVICE) + " $2; wait"
        run = scene.start([BURDOCK, "run", "--summary=always", "--", "sh", "-c", both, "sh",
                           *map(str, ports)], "app", traced=False, port=ports[1],
                          OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_METRICS_EXPORTER="none")
        wait_until(lambda: harness.is_listening(ports[0]))
        for number, port in enumerate(ports):
            get(port, "/refused")
            wait_until(lambda: sum(ring.counters["spans.dropped.export"]
                                   for ring in scene.rings_left()) == number + 1)
        if how is None:
            for port in ports:
                get(port, "/exit/0")
        else:
            for ring in scene.rings_left():
                os.kill(ring.pid, how)
        run.wait(20)
        told = [line for line in scene.stderr(run).splitlines() if b"lost" in line]
        return told, os.listdir(scene.rings)


def test_losses_told():
    for how in None, signal.SIGKILL, signal.SIGTERM:
        name = how.name if how else "exit"
        told, left = losses_told(how)
        check(len(told) == 1 and told[0].startswith(b"burdock: lost: spans.dropped.export 2: "),
              name + ": burdock run tells what was lost", told)
        equal(left, [], name + ": and leaves nothing")


def test_losses_of_killed_run():
    """The file of a command that was killed goes with the next one."""
    with Scene() as scene:
        run = scene.start([BURDOCK, "run", "-q", "--", "sh", "-c", "kill -KILL $PPID"], traced=False)
        equal(run.wait(20), -signal.SIGKILL, "killed: by its own command")
        check(os.listdir(scene.rings), "killed: its file is there")
        scene.run([BURDOCK, "run", "-q", "--", "true"], traced=False)
        equal(os.listdir(scene.rings), [], "killed: the next command removes it")
        done = scene.run([BURDOCK, "run", "-q", "--", "nosuch"], traced=False)
        equal((done.returncode, os.listdir(scene.rings)), (127, []), "nor does one that runs nothing leave one")


def test_killed_while_fast():
    """A worker whose first requests end before the exporter has made the ring file."""
    with Scene(OTEL_BSP_SCHEDULE_DELAY=NEVER_BY_ITSELF) as scene:
        front = scene.nginx("location / { return 200 $pid; }", "app", workers=1)
        worker = int(get(front.port, "/first")[2])
        check(wait_until(scene.rings_left), "fast: the ring file is made")
        wait_until(lambda: get(front.port, "/again")[0] == 200 and
                   not all(ring.is_empty for ring in scene.rings_left()), 5)
        for number in range(50):
            get(front.port, "/unsent/%d" % number)
        get(front.port, "/last") # a span is written after its answer: those before are there now
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: int(get(front.port, "/")[2]) != worker)
        scene.stop(front, signal.SIGQUIT)
        found = [path for path in paths(scene.spans()) if path.startswith("/unsent")]
        equal(len(found), 50, "fast: what the worker had not sent is recovered by its successor")


def test_killed_at_any_moment():
    """In the midst of anything: what is left is whole, and the next process takes it over."""
    with Scene(OTEL_BSP_SCHEDULE_DELAY="1") as scene:
        for number in range(25):
            busy = scene.start([os.path.join(VICTIMS, "threads"), "full_duplex"], "busy",
                               HOST_TRACED="1")
            wait_until(lambda: os.listdir(scene.rings) or busy.poll() is not None)
            time.sleep(number * 0.002)
            scene.stop(busy, signal.SIGKILL)
        heir = [os.path.join(VICTIMS, "hazards"), "exchanges"]
        wait_until(lambda: scene.run(heir, "busy", HOST_TRACED="1") and not os.listdir(scene.rings))
        spans = spans_of_store(scene.store, verify=True)
        check(len(spans) > 100 and {span.service for span in spans} == {"busy"},
              "killed at any moment: what is stored is whole", len(spans))
        equal(os.listdir(scene.rings), [], "killed at any moment: no ring is left")


def test_killed_before_it_was_whole():
    """A ring file whose maker died in the midst of making it goes, once that is beyond doubt."""
    with Scene() as scene:
        dead = subprocess.Popen(["true"])
        dead.wait()
        os.makedirs(scene.rings, exist_ok=True)
        def leave(name, pid, size, age, begins=b""):
            path = os.path.join(scene.rings, "burdock-%d-%s.ring" % (pid, name))
            with open(path, "wb") as file:
                file.write(begins)
                file.truncate(size)
            os.utime(path, (time.time() - age,) * 2)
        for name, size in (("a", 0), ("b", 1 << 20)):
            leave(name, dead.pid, size, 60)
        kept = (("young", dead.pid, 0, -60), ("alive", os.getpid(), 0, 60),
                ("other", dead.pid, 4096, 60, b"something"))
        for what in kept:
            leave(*what)
        scene.run([os.path.join(VICTIMS, "hazards"), "exchanges"], "busy", HOST_TRACED="1")
        equal(sorted(name.split("-")[2] for name in os.listdir(scene.rings)),
              sorted(name + ".ring" for name, *_ in kept),
              "killed before its ring file was whole: the file goes, others stay")


def test_underscore_exit():
    with Scene(OTEL_BSP_SCHEDULE_DELAY=NEVER_BY_ITSELF) as scene:
        app = scene.service("app")
        get(app.port, "/exit/3")
        equal(app.wait(20), 3, "_exit: the status is the program's")
        equal(paths(scene.spans()), ["/exit/3"], "_exit: the span is stored")
        equal(os.listdir(scene.rings), [], "_exit: no ring is left")


def test_exec():
    with Scene(OTEL_BSP_SCHEDULE_DELAY=NEVER_BY_ITSELF) as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d" % back.port
        script = scene.write("script.sh", "#!/bin/sh\ncurl -sS -o /dev/null %s/one\n"
                             "exec curl -sS %s/two\n" % (url, url))
        answer = scene.run(["/bin/sh", script])
        equal((answer.returncode, answer.stderr), (0, b""), "a script that becomes curl: ends well")
        equal(sorted(span.attributes["url.full"] for span in scene.spans()),
              [url + "/one", url + "/two"], "a script that becomes curl: both calls are stored")
        code = "import os, urllib.request as u; u.urlopen('%s/three').read(); " \
            "os.execv('/usr/bin/curl', ['curl', '-sS', '%s/four'])" % (url, url)
        answer = scene.run([PYTHON, "-c", code])
        equal((answer.returncode, answer.stderr), (0, b""), "Python that becomes curl: ends well")
        equal(sorted(span.attributes["url.full"] for span in scene.spans()),
              [url + "/four", url + "/one", url + "/three", url + "/two"],
              "Python that becomes curl: nothing is lost by exec")
        equal(os.listdir(scene.rings), [], "exec: no ring is left")


def test_fork():
    """A child neither repeats what its parent had not yet sent, nor loses its own."""
    code = """
import os, urllib.request as u
u.urlopen('%(url)s/parent').read()
for number in range(4):
    if os.fork() == 0:
        u.urlopen('%(url)s/child%%d' %% number).read()
        os._exit(0)
for number in range(4): os.wait()
os.fork() or os._exit(0)
os.wait()
"""
    with Scene(OTEL_BSP_SCHEDULE_DELAY=NEVER_BY_ITSELF) as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d" % back.port
        answer = scene.run([PYTHON, "-c", code % {"url": url}])
        equal((answer.returncode, answer.stderr), (0, b""), "fork: ends well")
        spans = scene.spans()
        equal(sorted(span.attributes["url.full"].rpartition("/")[2] for span in spans),
              ["child0", "child1", "child2", "child3", "parent"], "fork: each span once")
        equal(len({span.resource["service.instance.id"] for span in spans}), 5,
              "fork: each process is its own instance")


def test_many_processes():
    with Scene() as scene:
        back = scene.service("back", traced=False)
        curls = [scene.start(["curl", "-sS", "http://127.0.0.1:%d/%d" % (back.port, number)],
                             "curl") for number in range(24)]
        statuses = [curl.wait(30) for curl in curls]
        equal(statuses, [0] * 24, "24 processes, one store: all end well")
        spans = spans_of_store(scene.store, verify=True)
        equal(len({span.id for span in spans}), 24, "24 processes, one store: every span, intact")
        equal(len(glob.glob(scene.path("store/*.otlp"))), 24, "24 processes, one store: a file each")


def test_no_place():
    """Nowhere to store: the program works, ends well and prints nothing."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d/" % back.port
        places = {"missing parent": "/proc/none/of/this", "a file": scene.write("file", "x"),
                  "empty": "", "no permission": "/proc/1"}
        for label, place in places.items():
            # An empty store is the machine's own, where a test leaves nothing.
            for name in ("BURDOCK_STORE", "BURDOCK_DIR") if place else ("BURDOCK_DIR",):
                answer = scene.curl(url, **{name: place, "HOME": "/nonexistent"})
                equal((answer.returncode, answer.stdout[:5], answer.stderr), (0, b"hello", b""),
                      "%s: %s: works, silently" % (name, label))
        equal(scene.curl(url, BURDOCK_STORE="/proc/none", OTEL_EXPORTER_OTLP_ENDPOINT="nonsense://",
                         OTEL_TRACES_SAMPLER="?").stderr, b"", "wrong settings: silently")


if __name__ == "__main__":
    main(globals(), ("curl",))
