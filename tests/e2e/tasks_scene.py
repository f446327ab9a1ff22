# SPDX-License-Identifier: Apache-2.0
"""Servers in Python that serve many requests in one thread, or hand them to others. Every request has
a number, which each of its calls carries in its path: each must be under its own request."""
import os
import subprocess

from harness import APPS, PATH, PYTHON, Scene, check, equal, free_port, load

REQUESTS, CONCURRENCY = 320, 32


def has(*modules):
    """Asked of the interpreter under test, which may not be the one that asks."""
    code = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
    return subprocess.run([PYTHON, "-c", code, *modules], env={"PATH": PATH}).returncode == 0


def backend(scene):
    port = free_port()
    scene.start([PYTHON, os.path.join(APPS, "aio_backend.py"), str(port)], traced=False, port=port)
    return port


def number_of(span):
    return (span.attributes.get("url.full") or span.attributes["url.path"]).rpartition("/")[2]


def way_of(span):
    path = span.attributes.get("url.path") or span.attributes["url.full"].split("/", 3)[3]
    return path.strip("/").split("/")[0]


def judge(spans, text, calls_of, total, is_followed, missed):
    """Every call is there once, and under its own request: no stranger, none without a parent."""
    mine = [span for span in spans if span.service == "front"]
    servers = {span.id: span for span in mine if span.kind == "SERVER"}
    for way, wanted in calls_of.items():
        calls = [span for span in mine if span.kind == "CLIENT" and way_of(span) == way]
        strange = [span for span in calls if span.parent and (
            span.parent not in servers or number_of(servers[span.parent]) != number_of(span))]
        roots = [span for span in calls if not span.parent]
        equal(len(calls), total * wanted, "%s, %s: every call is seen" % (text, way))
        check(not strange, "%s, %s: no call is under another's request" % (text, way),
              "%d of %d" % (len(strange), len(calls)))
        if not is_followed:
            continue
        check(len(roots) <= missed.get(way, 0) * total * wanted,
              "%s, %s: no call is without a parent but what is known to be" % (text, way),
              "%d of %d" % (len(roots), len(calls)))


def play(text, start, calls_of, total=REQUESTS, is_followed=True, missed={}, **environment):
    """Each way on its own, 32 requests at a time."""
    with Scene(**environment) as scene:
        front = start(scene, "http://127.0.0.1:%d" % backend(scene))
        for way in calls_of:
            failures = load(front.port, total, CONCURRENCY, "/%s/%%d" % way)
            equal(failures[:3], [], "%s, %s: every request is answered" % (text, way))
        wanted = total * (len(calls_of) + sum(calls_of.values()))
        spans = scene.wait_spans(wanted, timeout=60)
        judge(spans, text, calls_of, total, is_followed, missed)
        rings = [ring for ring in scene.rings_left() if ring.service == "front"]
        check(any(ring.counters["carrier.python"] for ring in rings), text + ": the carrier is active")
        return scene.stderr(front)


def service(file, *more, **environment):
    def start(scene, target):
        port = free_port()
        front = scene.start([PYTHON, os.path.join(APPS, file), str(port), target, *more], "front",
                            port=port, **environment)
        front.port = port
        return front
    return start
