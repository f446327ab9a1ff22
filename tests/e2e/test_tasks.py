# SPDX-License-Identifier: Apache-2.0
"""Python programs that serve many requests in one thread, or hand them to others: each call under
its own request. Every request has a number, which each of its calls carries in its path."""
import os
import ssl

from harness import APPS, PYTHON, Scene, check, equal, free_port, load, main, skip
from tasks_scene import CONCURRENCY, REQUESTS, backend, has, judge, number_of, play, service, way_of
from tls_scene import certify

CALLS = {"sequence": 2, "gather": 4, "pool": 2, "sleep": 2, "soon": 2, "executor": 2, "thread": 4,
         "background": 3, "streams": 2, "event": 2, "queue": 3, "queue_of_threads": 2,
         "pool_in_queue": 2, "pool_at_condition": 2, "shared": 2}
FASTAPI_CALLS = {"awaits": 2, "told": 4, "blocks": 2, "afterwards": 3}


# A new thread inherits its request until its first wait, and that is mostly for the interpreter's
# lock; now and then a call of an executor's thread is without a parent, too. What waits for a queue
# when the carrier comes is not known as its consumer yet: up to three calls for each.
MISSED = {"thread": 0.5, "executor": 0.01, "event": 0.3, "queue": 0.01, "queue_of_threads": 0.0125}


# anyio's locks are known from the request on that comes after they were imported.
FASTAPI_MISSED = {"awaits": 0.05, "afterwards": 0.02}


# Consumers and pools that a request makes (queue_service.py), from the first request of a process on:
# of a hundred calls so many may have no parent. Until the request that made it is over, a consumer is
# nobody's; what takes several items before it works has none; a queue with an order of its own, and a
# pool that grows without being asked, cannot be told.
ROUNDS, EACH = 1, 96
ALL, FEW = 1.0, 0.25
LAZY = {"task": FEW, "tasks": FEW, "in_time": FEW, "in_time_4": FEW, "deep": FEW, "deep_4": FEW,
        "each": 0.5, "again": FEW, "drain": ALL, "drain_in_time": ALL, "overdue": ALL,
        "lifo": ALL, "own_order": ALL, "least": FEW, "least_in_threads": FEW,
        "thread": FEW, "threads": FEW, "polls": FEW,
        "pool": 0.05, "pool_in_tasks": 0.05, "pool_fifo": 0.05, "pool_asks": 0.05, "pool_counts": ALL,
        "nobodys": 0.05}
TICKS = 50


def test_aiohttp():
    if not has("aiohttp"):
        return skip("aiohttp", "python3-aiohttp is not installed")
    equal(play("aiohttp", service("aio_service.py"), CALLS, missed=MISSED), b"",
          "aiohttp: nothing is printed")


def is_strange(span, servers):
    return span.parent and (span.parent not in servers or
                            number_of(servers[span.parent]) != number_of(span))


def judge_lazy(spans, text):
    mine = [span for span in spans if span.service == "front"]
    servers = {span.id: span for span in mine if span.kind == "SERVER"}
    for way, missed in [*LAZY.items(), ("tick", ALL)]:
        calls = [span for span in mine if span.kind == "CLIENT" and way_of(span) == way]
        strange = sum(bool(is_strange(span, servers)) for span in calls)
        roots = sum(not span.parent for span in calls)
        equal(strange, 0, "%s, %s: none of %d calls is under another's request"
              % (text, way, len(calls)))
        check(roots <= missed * len(calls), "%s, %s: %d of %d calls are under their own"
              % (text, way, len(calls) - roots, len(calls)))


def lazy(server, *modules):
    """Fresh processes, so that the first request is one of 32."""
    if not has("aiohttp", *modules):
        return skip("queues, " + server, "a module is not installed")
    calls = {way: 3 if way not in ("nobodys",) else 2 for way in LAZY}
    for k in range(ROUNDS):
        text = "queues, %s, %d" % (server, k)
        with Scene() as scene:
            front = service("queue_service.py", server)(
                scene, "http://127.0.0.1:%d" % backend(scene))
            for way in LAZY:
                equal(load(front.port, EACH, CONCURRENCY, "/%s/%%d" % way)[:3], [],
                      "%s, %s: every request is answered" % (text, way))
            wanted = EACH * (len(LAZY) + sum(calls.values())) + TICKS
            judge_lazy(scene.wait_spans(wanted, timeout=60), text)
            equal(scene.stderr(front), b"", text + ": nothing is printed")


def test_queues_of_tasks():
    lazy("aiohttp")


def test_queues_of_requests():
    lazy("uvicorn", "uvicorn")


def test_seen_by_the_program():
    """Queues of many kinds look and do as bare, copied and pickled, and what has an own order."""
    command = [PYTHON, os.path.join(APPS, "look_queues.py")]
    with Scene() as scene:
        bare = scene.run(command, traced=False)
        traced = scene.run(command, "front")
        equal(traced.stdout.decode().split("\n"), bare.stdout.decode().split("\n"), "queues look as bare")
        equal((traced.returncode, traced.stderr), (bare.returncode, bare.stderr),
              "and nothing is printed")
        check("True" in bare.stdout.decode(), "it has looked")


def test_fastapi():
    if not has("fastapi", "uvicorn", "httpx"):
        return skip("FastAPI", "python3-fastapi, python3-uvicorn or python3-httpx is not installed")
    equal(play("FastAPI", service("fast_service.py", "asyncio"), FASTAPI_CALLS,
               missed=FASTAPI_MISSED), b"",
          "FastAPI: nothing is printed")


def test_uvloop():
    if not has("aiohttp", "uvloop"):
        return skip("uvloop", "python3-aiohttp or python3-uvloop is not installed")
    equal(play("uvloop", service("aio_service.py", "uvloop"), CALLS, missed=MISSED), b"",
          "uvloop: nothing is printed")


def test_uvloop_tls():
    """A request may be read before the task of its connection is back: roots, but no strangers."""
    if not has("aiohttp", "uvloop"):
        return skip("uvloop inside TLS", "python3-aiohttp or python3-uvloop is not installed")
    with Scene() as scene:
        certify(scene)
        start = service("aio_service.py", "uvloop", CERTIFICATE=scene.path("cert.pem"),
                        KEY=scene.path("key.pem"))
        front = start(scene, "http://127.0.0.1:%d" % backend(scene))
        tls = ssl.create_default_context(cafile=scene.path("ca.pem"))
        equal(load(front.port, REQUESTS, CONCURRENCY, "/sequence/%d", tls=tls)[:3], [],
              "uvloop inside TLS: every request is answered")
        calls = {"sequence": CALLS["sequence"]}
        judge(scene.wait_spans(REQUESTS * 3, timeout=60), "uvloop inside TLS", calls, REQUESTS, True,
              {"sequence": 0.9})


def test_uvloop_fastapi():
    if not has("fastapi", "uvicorn", "httpx", "uvloop"):
        return skip("FastAPI on uvloop", "one of its packages for Python is not installed")
    equal(play("FastAPI on uvloop", service("fast_service.py", "uvloop"), FASTAPI_CALLS,
               missed=FASTAPI_MISSED), b"",
          "FastAPI on uvloop: nothing is printed")


GREENLETS = dict.fromkeys(("sequence", "pool", "sleep", "connections", "spawn", "grouped", "thread",
                           "offloaded", "background"), 2)


POOLED = {"connections": 0.05}  # until the queue is known to be a pool


def test_gevent():
    if not has("gevent"):
        return skip("gevent", "python3-gevent is not installed")
    equal(play("gevent", service("gevent_service.py"), GREENLETS, missed=POOLED), b"",
          "gevent: nothing is printed")


def gunicorn(scene, target):
    port = free_port()
    front = scene.start(
        [PYTHON, "-m", "gunicorn", "--chdir", APPS, "--worker-tmp-dir", scene.directory, "-k", "gevent",
         "--log-level", "error", "--bind", "127.0.0.1:%d" % port, "gevent_service:application"],
        "front", port=port, TARGET=target)
    front.port = port
    return front


def test_gunicorn_gevent():
    if not has("gevent", "gunicorn"):
        return skip("gunicorn, gevent", "python3-gevent or gunicorn is not installed")
    play("gunicorn, gevent", gunicorn, GREENLETS, missed=POOLED)


def test_switched_off():
    if not has("aiohttp"):
        return skip("switched off", "python3-aiohttp is not installed")
    with Scene(BURDOCK_CARRIERS="none") as scene:
        front = service("aio_service.py")(scene, "http://127.0.0.1:%d" % backend(scene))
        equal(load(front.port, 10, 2, "/sequence/%d"), [], "switched off: every request is answered")
        scene.wait_spans(30)
        equal([ring.counters["carrier.python"] for ring in scene.rings_left()
               if ring.service == "front"], [0], "switched off: no carrier")


if __name__ == "__main__":
    main(globals())
