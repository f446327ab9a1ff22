# SPDX-License-Identifier: Apache-2.0
"""Lists and channels of Redis as queues, where BURDOCK_REDIS_ENVELOPE asks for it: JSON objects carry the
context among their members, whatever else is pushed stays as it is; redis-py, Celery, Sidekiq."""
import collections
import json
import os
import re
import shutil
import subprocess
import sys

import celery_shop
from harness import APPS, PATH, PYTHON, Scene, check, equal, main, skip, wait_until
from test_redis_streams import OWN, Server, by, called, ends, has_client

sys.path.append(APPS)
import redis_lists # noqa: E402

APP = os.path.join(APPS, "redis_lists.py")
SIDEKIQ = os.path.join(APPS, "sidekiq_app.rb")
COUNT = int(os.environ.get("LIST_VALUES", "200"))
MEMBER = re.compile(rb'"traceparent":"00-([0-9a-f]{32})-([0-9a-f]{16})-0[13]"(,(?=.)|(?=}))')


class Lists(Server):
    def app(self, mode, *arguments):
        return [PYTHON, APP, mode, str(self.port), *map(str, arguments)]


def values_of(output):
    """What came, and what is ours of it: by number, the trace and the span, or None."""
    got, ours = {}, {}
    for line in output.decode().split():
        if line == "ready":
            continue
        value = bytes.fromhex(line)
        number = json.loads(value)["id"]
        found = MEMBER.findall(value)
        ours[number] = [(trace.decode(), span.decode()) for trace, span, _ in found] or [None]
        equal(len(ours[number]), 1, "one context at most")
        check(number not in got, "each comes once", number)
        got[number] = MEMBER.sub(b"", value, 1)
    return got, ours


def check_work(spans, output, count, service, what, kind="LPUSH", shapes=7, each=1):
    """Every value as it was sent, and each under its own sending; calls under their own, but for those of
    values that came with others. redis-py sends large ones in pieces: those carry none."""
    got, ours = values_of(output)
    equal([n for n in range(count) if got.get(n) != redis_lists.value_of(n, shapes)], [], what + ": bit for bit but for ours")
    large = {number for number in range(count) if number % shapes == 5}
    apart = large | {n // 10 * 10 + k for n in large if n % 10 > 6 for k in (7, 8, 9)}
    equal({number for number in ours if ours[number] == [None]}, apart,
          what + ": in all but what is not sent in one piece")
    ours = {number: one for number, (one,) in ours.items() if one is not None}
    worked = [span for span in by(spans, "process") if span.service == service]
    sent = {(span.trace, span.id) for span in by(spans, kind)}
    equal(collections.Counter((span.trace, span.parent) for span in worked),
          collections.Counter(ours.values()), what + ": each once, under what it says")
    equal(set(ours.values()) - sent, set(), what + ": which has sent it")
    by_id = {span.id: span for span in worked}
    calls = [span for span in spans if span.service == service and "url.full" in span.attributes]
    equal([span.name for span in calls if span.parent and (span.trace, by_id[span.parent].parent) !=
           ours.get(int(called(span)))], [], what + ": no call is under another's")
    equal(sum(bool(span.parent) for span in calls), len(ours) if each == 1 else 0, what + ": its calls are known")
    if each > 1:
        together = [[(link[0], by_id[link[1]].parent) for link in span.links] for span in calls]
        equal([span.name for span, near in zip(calls, together) if ours.get(int(called(span))) not in near + [None]],
              [], what + ": or linked to those that came together, its own among them")
        check(max(map(len, together)) <= each, what + ": and to no others", together)


def test_lists():
    if not has_client():
        return skip("lists", "redis-py is not there")
    for how, threads in (("brpop", 1), ("rpop", 1), ("move", 1), ("brpop", 8), ("count", 1), ("lmpop", 1),
                         ("blmpop", 1)):
        with Scene(BURDOCK_REDIS_ENVELOPE="1") as scene:
            server, what = Lists(scene), "%s by %d" % (how, threads)
            back = scene.service("back", traced=False)
            each = 3 if how in ("count", "lmpop") else 1
            if each > 1:
                server.run("push", COUNT)
            worker = server.start("work", COUNT, back.port, how, threads, service="work")
            if each == 1:
                server.run("push", COUNT)
            ends(scene, worker, what)
            spans = scene.wait_spans(3 * COUNT + COUNT * 8 // 10 - (COUNT * 2 // 3 if each > 1 else 0), timeout=60)
            check_work(spans, scene.stdout(worker), COUNT, "work", what, each=each)
            equal({(span.name, span.kind) for span in spans if span.attributes.get("messaging.system")},
                  {("LPUSH jobs", "PRODUCER"), ("process jobs", "CONSUMER"),
                   ({"brpop": "BRPOP jobs", "rpop": "RPOP jobs", "move": "BRPOPLPUSH jobs", "count": "RPOP jobs",
                     "lmpop": "LMPOP jobs", "blmpop": "BLMPOP 127.0.0.1"}[how], "CLIENT")},
                  what + ": names and kinds")


def test_others():
    """What is no object, and what a server refuses, is as it was, and so is all that is not asked for."""
    if not has_client():
        return skip("others", "redis-py is not there")
    outputs = []
    for environment in ({"LD_PRELOAD": ""}, {}, {"BURDOCK_REDIS_STREAMS": "1"}, {"BURDOCK_REDIS_ENVELOPE": "1"}):
        with Scene() as scene:
            server = Lists(scene)
            outputs.append([server.run("others", **environment).stdout])
            server.run("push", 10, **environment)
            pushed = server.run("work", 10, 0, "rpop", **environment).stdout
            outputs[-1].append(MEMBER.sub(b"", bytes.fromhex(pushed.decode().replace("ready", ""))))
            equal(b"00-" in bytes.fromhex(pushed.decode().replace("ready", "")),
                  "BURDOCK_REDIS_ENVELOPE" in environment, "what is asked for is there, and nothing else")
    check(all(output == outputs[0] for output in outputs), "as bare", outputs)


def test_adopted():
    if not has_client():
        return skip("adopted", "redis-py is not there")
    with Scene(BURDOCK_REDIS_ENVELOPE="1") as scene:
        server = Lists(scene)
        server.run("adopt", OWN)
        got, ours = values_of(server.run("work", 1, 0, "brpop").stdout)
        equal(ours, {0: [None]}, "the program's own context is the only one")
        check(OWN.encode() in got[0], "and as it was", got)
        spans = scene.wait_spans(3)
        sent, = by(spans, "LPUSH")
        worked, = by(spans, "process")
        equal((worked.trace, worked.parent), (OWN[3:35], OWN[36:52]), "and is who takes it's parent")
        equal((sent.kind, sent.trace), ("CLIENT", OWN[3:35]), "and that of the sending")


def test_channels():
    if not has_client():
        return skip("channels", "redis-py is not there")
    with Scene(BURDOCK_REDIS_ENVELOPE="1") as scene:
        server = Lists(scene)
        back = scene.service("back", traced=False)
        subscriber = server.start("subscribe", 50, back.port)
        server.run("publish", 50)
        ends(scene, subscriber, "the subscriber")
        check_work(scene.wait_spans(4 * 50, timeout=40), scene.stdout(subscriber), 50, "subscribe",
                   "a channel", "PUBLISH", redis_lists.SMALL)


def test_formats():
    """Other formats of context, several at once, whose names and values are members as well."""
    if not has_client():
        return skip("formats", "redis-py is not there")
    for name, members in (("b3multi", {"X-B3-TraceId", "X-B3-SpanId", "X-B3-Sampled"}), ("b3", {"b3"}),
                          ("tracecontext,xray", {"traceparent", "X-Amzn-Trace-Id"})):
        with Scene(OTEL_PROPAGATORS=name, BURDOCK_REDIS_ENVELOPE="1") as scene:
            server = Lists(scene)
            server.run("push", 10)
            output = server.run("work", 10, 0, "rpop").stdout.decode().replace("ready", "").split()
            for value in (json.loads(bytes.fromhex(line)) for line in output):
                if "large" in value:
                    continue
                where = value["headers"] if isinstance(value.get("headers"), dict) else value
                equal({member.lower() for member in where} - {"id", "a", "body", "x", "\u00e9"},
                      {member.lower() for member in members} |
                      ({"headers"} if isinstance(value.get("headers"), list) else set()), name + ": members")
            spans = scene.wait_spans(8 + 2 * 10)
            sent = {(span.trace, span.id) for span in by(spans, "LPUSH")}
            parents = {(span.trace, span.parent) for span in by(spans, "process")}
            check(parents < sent and len(sent) == len(parents) + 1, name + ": each under its sending", parents)


def test_celery():
    """What a task does is under its message, or, in a process of its pool, beside that."""
    if subprocess.run([PYTHON, "-c", "import celery, redis"], capture_output=True).returncode:
        return skip("Celery", "python3-celery is not installed")
    message, beside = "process celery", "LPUSH celery"  # which it is, where another reads on, time tells
    for pool, kind, parents in (("prefork", "once", {beside}), ("solo", "once", {message}),
                                ("threads", "once", {message, beside}), ("threads", "later", {beside}),
                                ("gevent", "once", {message, beside})):
        if pool == "gevent" and subprocess.run([PYTHON, "-c", "import gevent"], capture_output=True).returncode:
            skip("Celery's pool of greenlets", "python3-gevent is not installed")
            continue
        with Scene(BURDOCK_REDIS_ENVELOPE="1") as scene:
            redis, count = Server(scene), 40
            shop = celery_shop.Shop(scene, "redis://127.0.0.1:%d/0" % redis.port, redis.port, pool)
            equal(shop.ask(kind, count), {200}, pool + ": every request is answered")
            wait_until(lambda: len(shop.told()) >= count, 60)
            equal(sorted(shop.told()), sorted("%d ['traceparent']" % number for number in range(count)),
                  pool + ": each task has been worked on once, and has our context")
            shop.end(pool)
            spans = scene.wait_spans(4 * count)
            calls, by_id = celery_shop.calls_of(spans), {span.id: span for span in spans}
            ways = [(celery_shop.number_of_call(span), *celery_shop.way_of(span, by_id)) for span in calls
                    if span.parent]
            equal([way for way in ways if way[2] != way[0]], [], pool + ": none is under another's request")
            equal(len(ways), count, pool + ": its calls are known")
            equal({way[1][0] for way in ways} - parents, set(), pool + ": under its message, or beside it")


def test_sidekiq():
    """A job at a time in each of its threads, which share connections."""
    if shutil.which("sidekiq", path=PATH) is None:
        return skip("Sidekiq", "not installed")
    with Scene(BURDOCK_REDIS_ENVELOPE="1") as scene:
        server, count = Server(scene), 60
        back = scene.service("back", traced=False)
        scene.write("told", "")
        environment = {"REDIS_URL": "redis://127.0.0.1:%d/0" % server.port, "BACK": str(back.port),
                       "TOLD": scene.path("told")}
        done = scene.run(["ruby", SIDEKIQ, str(count)], "front", **environment)
        check(done.returncode == 0, "jobs are sent", done.stderr[-600:])
        worker = scene.start(["sidekiq", "-r", SIDEKIQ, "-c", "5"], "worker", **environment)

        def told():
            with open(scene.path("told")) as file:
                return file.read().split()
        wait_until(lambda: len(told()) >= count + 10 or worker.poll() is not None, 60)
        equal(sorted(told()), sorted([str(n) for n in range(count)] + ["bulk%d" % n for n in range(10)]),
              "each job is done once")
        equal(scene.stop(worker, timeout=60), 0, "the worker ends well")
        spans = scene.wait_spans(2 * (count + 10))
        worked = {span.id: span for span in by(spans, "process") if span.name == "process queue:default"}
        equal(len(worked), count + 10, "each job is told once")
        sent = {(span.trace, span.id): span for span in by(spans, "LPUSH")}
        parents = collections.Counter((span.trace, span.parent) for span in worked.values())
        equal(set(parents) - set(sent), set(), "each under its sending")
        equal(sorted(parents.values()), [1] * count + [10], "ten of them under one")
        calls = [span for span in spans if span.service == "worker" and "url.full" in span.attributes]
        known = [span for span in calls if span.parent in worked]
        print("# Sidekiq: %d of %d calls are known" % (len(known), len(calls)))
        equal([span.name for span in calls if span.parent and span.parent not in worked], [],
              "no call is under anything else")
        equal(len({span.parent for span in known}), len(known), "no two under one job")
        equal(len(known), count + 10, "each call is under a job")


if __name__ == "__main__":
    main(globals(), ["redis-server"])
