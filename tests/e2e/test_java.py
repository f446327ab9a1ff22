# SPDX-License-Identifier: Apache-2.0
"""Java's executors carry the context of a request: each call is under its own request, none under
another one's; and what a program sees of its executors is as ever."""
import glob
import os
import re
import socket
import subprocess

from harness import APPS, PATH, PYTHON, Scene, check, equal, free_port, main, on_connections, skip

CONCURRENCY, REQUESTS = 16, 160
FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xverify:all"]
CALLS = {"pool": 2, "own": 2, "submit": 1, "scheduled": 2, "supply": 2, "stages": 2, "forks": 4,
         "handed": 2, "background": 1}
JARS = "/usr/share/java/"
TOMCAT = JARS + "tomcat10-*.jar"
JETTY = [JARS + name for name in ("jetty9-server.jar", "jetty9-io.jar", "jetty9-util.jar", "jetty9-http.jar",
                                  "servlet-api.jar")]
MAVEN = os.path.expanduser("~/.m2/repository/")
UNDERTOW = ["io/undertow/undertow-core/2*", "org/jboss/xnio/xnio-api/3*", "org/jboss/xnio/xnio-nio/3*",
            "org/jboss/logging/jboss-logging/3*", "org/wildfly/common/wildfly-common/*",
            "org/wildfly/client/wildfly-client-config/*"]
MACHINES = [path for path in ["/usr/bin/java", *sorted(glob.glob("/usr/lib/jvm/*-2*/bin/java"))]
            if os.path.exists(path)]


def compiles(java):
    """A JDK, which runs a source file; not a JRE."""
    return subprocess.run([java, "--list-modules"], env={"PATH": PATH}, capture_output=True,
                          text=True).stdout.find("jdk.compiler") >= 0


def name_of(span):
    return (span.attributes.get("url.full") or span.attributes["url.path"]).rpartition("/")[2]


def play(java, ways, app="Tasks.java", classes=(), **more):
    """The calls of each way: (right, without a parent, strangers)."""
    with Scene(**more) as scene:
        back = free_port()
        scene.start([PYTHON, os.path.join(APPS, "aio_backend.py"), str(back)], traced=False, port=back)
        port = free_port()
        process = scene.start([java, *FLAGS, *classes, os.path.join(APPS, app), str(port), str(back)],
                              "front", port=port)
        failed = []

        def ask(way):
            def one(connection, number):
                connection.request("GET", "/%s/%d" % (way, number))
                answer = connection.getresponse()
                if answer.status != 200 or not answer.read():
                    failed.append((way, number))
            return one

        for way in ways:
            on_connections(port, REQUESTS, CONCURRENCY, ask(way))
        equal(failed, [], "every request is answered")
        expected = REQUESTS * sum(ways.values())
        spans = scene.wait_spans(expected, lambda span: span.kind == "CLIENT" and
                                 name_of(span) != "tick", timeout=8)
        said = scene.stderr(process)
        check(b"urdock" not in said and b"warning]" not in said, "nothing is said", said[-2000:])
        return judge(spans)


def judge(spans):
    parents = {span.id: span for span in spans if span.kind == "SERVER"}
    found = {}
    for span in spans:
        if span.kind != "CLIENT" or span.service != "front":
            continue
        name, parent = name_of(span), parents.get(span.parent)
        way = "tick" if name == "tick" else span.attributes["url.full"].split("/")[3]
        right, roots, strange = found.setdefault(way, ([], [], []))
        is_own = parent is not None and parent.attributes["url.path"] == "/%s/%s" % (
            way, name.split(".")[0])
        (right if is_own else strange if span.parent else roots).append(name)
    return found


def check_ways(java, ways, found):
    for way, calls in ways.items():
        right, roots, strange = found.get(way, ([], [], []))
        equal(strange, [], "%s: %s: no call is a stranger's" % (java, way))
        equal((len(right), len(roots)), (REQUESTS * calls, 0), "%s: %s: each is its own request's" % (
            java, way))


def test_executors():
    for java in MACHINES:
        if not compiles(java):
            skip("executors of " + java, "no JDK")
            continue
        check_ways(java, CALLS, play(java, CALLS, BURDOCK_CARRIERS="java"))


def test_queues_ends():
    """What works for many, or again and again, is nobody's."""
    java = MACHINES[0] if MACHINES else None
    if java is None or not compiles(java):
        return skip("queues' ends", "no JDK")
    found = play(java, {"mailbox": 2, "ticks": 2}, BURDOCK_CARRIERS="java")
    check_ways(java, {"ticks": 2}, found)
    right, roots, strange = found["mailbox"]
    check(len(strange) <= CONCURRENCY, "a mailbox: only the first turn is believed", len(strange))
    right, roots, strange = found["tick"]
    check(roots and not strange and not right, "what runs again and again is nobody's", strange)


def test_virtual():
    """What is not followed is not told wrongly."""
    for java in MACHINES[1:]:
        right, roots, strange = play(java, {"virtual": 2}, BURDOCK_CARRIERS="java")["virtual"]
        equal(strange, [], java + ": no stranger")


def test_tomcat():
    """It has an executor of its own. A thread that waits for its first task when that is changed has one
    more that is nobody's."""
    spare, java, jars = 10, MACHINES[0] if MACHINES else None, glob.glob(TOMCAT)
    if java is None or not compiles(java) or not jars:
        return skip("Tomcat", "it or a JDK is not installed")
    ways = {"start": 2, "pool": 2}
    found = play(java, ways, "TomcatTasks.java", ["-cp", ":".join(jars)], BURDOCK_CARRIERS="java")
    for way, calls in ways.items():
        right, roots, strange = found[way]
        equal(strange, [], "Tomcat: %s: no call is a stranger's" % way)
        check(len(roots) <= spare * calls and len(right) + len(roots) == REQUESTS * calls,
              "Tomcat: %s: each is its own request's" % way, (len(right), roots))


def server(label, app, jars, ways, unknown=None, lost=0):
    """Each call is its own request's, but for so many of a hundred of a way's; those of unknown are nobody's."""
    java = MACHINES[0] if MACHINES else None
    if java is None or not compiles(java) or not all(map(os.path.exists, jars)):
        return skip(label, "it or a JDK is not installed")
    found = play(java, {**ways, **(unknown or {})}, app, ["-cp", ":".join(jars)], BURDOCK_CARRIERS="java")
    for way in unknown or {}:
        right, roots, strange = found[way]
        equal(strange, [], "%s: %s: no call is a stranger's" % (label, way))
        check(roots, "%s: %s: calls are nobody's" % (label, way))
    for way, calls in ways.items():
        right, roots, strange = found[way]
        equal(strange, [], "%s: %s: no call is a stranger's" % (label, way))
        check(len(roots) * 100 <= lost * REQUESTS * calls and len(right) + len(roots) == REQUESTS * calls,
              "%s: %s: each is its own request's" % (label, way), (len(right), roots))


def test_jetty():
    """Its threads take turns at its selectors, and at what these give them. client: java.net.http, which
    sends by threads of its own."""
    ways = dict.fromkeys(("within", "after", "start", "pool", "own", "dispatch", "client"), 2)
    server("Jetty", "JettyTasks.java", JETTY, ways, lost=5)


def test_consumers():
    """What requests start, by an executor or a thread, and others feed by a queue, is nobody's."""
    server("consumers", "JettyTasks.java", JETTY, {"within": 2}, {"consumer": 2}, lost=2)


def test_jetty_pipelined():
    """Of requests that come in one read, the first is known; none is taken for another one."""
    java = MACHINES[0] if MACHINES else None
    if java is None or not compiles(java) or not all(map(os.path.exists, JETTY)):
        return skip("Jetty, pipelined", "it or a JDK is not installed")
    together, ways = 4, ("within", "dispatch")
    with Scene(BURDOCK_CARRIERS="java") as scene:
        back, port = free_port(), free_port()
        scene.start([PYTHON, os.path.join(APPS, "aio_backend.py"), str(back)], traced=False, port=back)
        scene.start([java, *FLAGS, "-cp", ":".join(JETTY), os.path.join(APPS, "JettyTasks.java"), str(port),
                     str(back)], "front", port=port)
        for first in range(0, REQUESTS, together):
            for way in ways:
                with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                    client.sendall(b"".join(
                        b"GET /%s/%d HTTP/1.1\r\nHost: x\r\n%s\r\n" % (
                            way.encode(), number, b"Connection: close\r\n" * (number % together == 3))
                        for number in range(first, first + together)))
                    answers = b"".join(iter(lambda: client.recv(65536), b""))
                equal(answers.count(b"HTTP/1.1 200"), together, "Jetty, pipelined: all are answered")
        found = judge(scene.wait_spans(2 * 2 * REQUESTS, lambda span: span.kind == "CLIENT", timeout=8))
    for way in ways:
        right, roots, strange = found[way]
        equal(strange, [], "Jetty, pipelined: %s: no call is a stranger's" % way)
        equal(len(right) + len(roots), 2 * REQUESTS, "Jetty, pipelined: %s: each is told" % way)


def test_undertow():
    """Its workers are JBoss's, of two kinds: tasks are given as they are, or each inside one of theirs. Its loops
    give away what they have read, for certain only while nobody else waits."""
    common = [jar for name in UNDERTOW for jar in sorted(glob.glob(MAVEN + name + "/*.jar"))[-1:]]
    for version in ("3.1", "3.5"):
        threads = glob.glob(MAVEN + "org/jboss/threads/jboss-threads/%s*/*.jar" % version)
        jars = common + threads if threads and len(common) >= len(UNDERTOW) else ["none"]
        server("Undertow, workers of " + version, "UndertowTasks.java", jars,
               dict.fromkeys(("worker", "blocking", "pool"), 2), lost=20)


def test_hidden_tomcat():
    """A loader that hides the natives' class from Tomcat's: nothing is changed there."""
    java, jars = MACHINES[0] if MACHINES else None, glob.glob(TOMCAT)
    if java is None or not compiles(java) or not jars:
        return skip("a loader that hides", "no Tomcat or no JDK")
    with Scene(BURDOCK_CARRIERS="java") as scene:
        done = scene.run([java, *FLAGS, os.path.join(APPS, "HiddenTomcat.java"), ":".join(jars)], "hidden")
        equal((done.returncode, done.stdout), (0, b"before\n" + b"after\n" * 4 + b"true\n"),
              "a loader that hides: as bare")


def test_without():
    """The rules over libc alone do not know whose a pool's calls are."""
    if not MACHINES or not compiles(MACHINES[0]):
        return skip("no carrier", "no JDK")
    right, roots, strange = play(MACHINES[0], {"pool": 2}, BURDOCK_CARRIERS="python")["pool"]
    equal(strange, [], "no carrier: no stranger")
    check(len(right) < REQUESTS, "no carrier: calls of a pool are roots", len(right))


def test_behaves():
    for java in MACHINES:
        if not compiles(java):
            skip("behaviour of " + java, "no JDK")
            continue
        command = [java, *FLAGS, os.path.join(APPS, "Behaves.java")]
        with Scene(BURDOCK_CARRIERS="java") as scene:
            bare, traced = scene.run(command, traced=False), scene.run(command, "behaves")
            equal(traced.returncode, 0, java + ": ends well")
            for of in ("stdout", "stderr"):
                got, wanted = (re.sub(r"(Lambda|0x)[$0-9a-fx/]+", r"\1", getattr(each, of).decode())
                               for each in (traced, bare))
                equal(got.splitlines(), wanted.splitlines(), "%s: %s is as ever" % (java, of))
            check(b"collected: true" in bare.stdout, java + ": it came to its end", bare.stdout[-500:])


if __name__ == "__main__":
    main(globals())
