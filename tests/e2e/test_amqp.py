# SPDX-License-Identifier: Apache-2.0
"""Messages through RabbitMQ: each consumer's span is its own message's producer's child, and the
messages are what was sent."""
import collections
import os
import re
import subprocess

import harness
from cutter import Dribbler
from harness import (APPS, BUILD, PATH, PYTHON, Scene, check, equal, free_port, main, skip, wait_until)
from rabbit import SERVER, Rabbit

if harness.otlp:
    from otlp import Collector

AMQPLIB = os.path.join(BUILD, "node/node_modules/amqplib")
NODE_WORKER = ["node", os.path.join(APPS, "amqp_worker.cjs"), AMQPLIB]
WORKER = [PYTHON, os.path.join(APPS, "amqp_worker.py")]
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADER = re.compile(r"(, )?'traceparent': '00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}'")


class Broker(Rabbit):
    def __init__(self, scene):
        super().__init__(scene)
        self.consumers_port = self.port

    def work(self, role, count, traced=True, carriers="python", **options):
        done = self.scene.run([*WORKER, role, str(self.port), str(count),
                               *("%s=%s" % item for item in options.items())], service=role,
                              traced=traced, BURDOCK_CARRIERS=carriers)
        if done.returncode:
            raise RuntimeError(done.stderr.decode()[-800:])
        return done.stdout.decode().splitlines()


def of_messages(spans, operation=None):
    return [span for span in spans if span.attributes.get("messaging.system") == "rabbitmq" and
            operation in (None, span.attributes["messaging.operation.name"])]


def strangers(spans):
    """Consumers' spans that are not the child of their own message's span, linked to it."""
    sent = {span.id: span for span in of_messages(spans, "publish")}
    return [span for span in of_messages(spans, "consume")
            if span.parent not in sent or span.trace != sent[span.parent].trace or
            span.attributes["messaging.message.id"] !=
            sent[span.parent].attributes["messaging.message.id"] or
            list(map(tuple, span.links)) != [(span.trace, span.parent)]]


def without_ours(lines):
    return [HEADER.sub("", line).replace("{}", "None") for line in lines]


def clear(scene):
    for name in os.listdir(scene.store):
        os.unlink(os.path.join(scene.store, name))


def test_messages(scene, rabbit):
    count = 400
    sent = rabbit.work("publish", count)
    seen = rabbit.work("consume", count)
    equal(without_ours(seen), sent, "what comes is what was sent")
    equal(sum(bool(HEADER.search(line)) for line in seen), count, "with one header more, once")
    spans = scene.wait_spans(3 * count)
    equal(collections.Counter((span.name, span.kind) for span in of_messages(spans)),
          {("publish work", "PRODUCER"): count, ("consume work", "CONSUMER"): count,
           ("ack work", "CLIENT"): count}, "three spans a message")
    equal(strangers(spans), [], "each consumer's under its own message's")
    consumed = {span.id for span in of_messages(spans, "consume")}
    equal({span.parent in consumed for span in of_messages(spans, "ack")}, {True},
          "and its acknowledgement under that")
    one = of_messages(spans, "consume")[0].attributes
    equal({key: one[key] for key in one if key.startswith("messaging.") and "message" not in
           key.split(".", 1)[1]},
          {"messaging.system": "rabbitmq", "messaging.operation.name": "consume",
           "messaging.operation.type": "process", "messaging.destination.name": "work",
           "messaging.rabbitmq.destination.routing_key": "work"}, "as the conventions have it")
    clear(scene)


def start_redis(scene):
    port = free_port()
    scene.start(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
                "redis", False, port)
    return port


def check_calls(spans, count, what, roots_max=0):
    """Each message's call to Redis is under it; where that need not be known, it may be a root."""
    number = {span.id: span.attributes["messaging.message.id"]
              for span in of_messages(spans, "consume")}
    calls = [span for span in spans if span.attributes.get("db.system.name") == "redis"]
    equal(len(calls), count, what + ": its calls are told")
    equal([span for span in calls if span.parent and number.get(span.parent) !=
           span.attributes["db.query.text"].split("m:")[1]], [],
          what + ": no call under another message")
    roots = sum(not span.parent for span in calls)
    print("# %s: %d of %d calls are roots" % (what, roots, count))
    check(roots <= roots_max, what + ": the others are known", roots)


def test_work_in_c(scene, rabbit):
    client = os.path.join(BUILD, "tests/e2e/amqp_client")
    if not os.path.exists(client):
        return skip("a consumer in C", "librabbitmq-dev was not there when it was built")
    count, redis = 300, start_redis(scene)
    for prefetch in (1, 50, 0):
        rabbit.work("publish", count)
        done = scene.run([client, str(rabbit.port), str(count), str(prefetch), str(redis)], "work")
        equal((done.returncode, done.stdout.split()), (0, [b"%d" % i for i in range(count)]),
              "in C: %d messages" % count)
        spans = scene.wait_spans(count * 4)
        equal(strangers(spans), [], "in C: each under its own message's")
        check_calls(spans, count, "in C, %d in hand" % prefetch)
        clear(scene)


def work_under_messages(scene, rabbit, redis, prefetch, ack, carriers, role="consume"):
    count = 200
    what = "%s, %d in hand, acknowledged %s, carriers: %s" % (role, prefetch, ack, carriers)
    sent, port = rabbit.work("publish", count), rabbit.port
    rabbit.port = rabbit.consumers_port
    seen = rabbit.work(role, count, carriers=carriers, prefetch=prefetch, ack=ack, redis=redis)
    rabbit.port = port
    equal(without_ours(seen), sent, what + ": what comes is what was sent")
    spans = scene.wait_spans(count * 3)  # published, consumed, asked for: at least
    equal(strangers(spans), [], what + ": each under its own message's")
    is_known = carriers == "python" or (prefetch, ack) == (1, "each")
    check_calls(spans, count, what, 0 if is_known else count)
    clear(scene)


def test_work_under_messages(scene, rabbit):
    """What a consumer does is its message's: with many in hand its carrier tells which."""
    redis = start_redis(scene)
    for carriers in "python", "none":
        for prefetch, ack in (1, "each"), (50, "each"), (50, "first"), (0, "last"), (50, "none"):
            work_under_messages(scene, rabbit, redis, prefetch, ack, carriers)
    work_under_messages(scene, rabbit, redis, 50, "each", "python", "loop")


def test_in_pieces(scene, rabbit):
    """Messages come while one is worked on that was acknowledged before, or need not be: the next one
    may be all that is in hand, and is not what is worked on."""
    redis, dribbler = start_redis(scene), Dribbler(target=rabbit.port)
    rabbit.consumers_port = dribbler.port
    for carriers in "python", "none":
        for prefetch, ack in (1, "each"), (3, "each"), (3, "first"), (50, "none"):
            work_under_messages(scene, rabbit, redis, prefetch, ack, carriers)
    dribbler.close()
    rabbit.consumers_port = rabbit.port


def test_work_in_threads(scene, rabbit):
    """Messages that came in one read go into a queue one after the other: whose each is tells the
    carrier that hands it over. Without that nobody knows, though the thread is at the first."""
    count, redis = 200, start_redis(scene)
    for carriers in "python", "none":
        for prefetch in 1, 8:
            rabbit.work("publish", count)
            rabbit.work("consume", count, carriers=carriers, prefetch=prefetch, ack="thread", redis=redis,
                        threads=4)
            spans = scene.wait_spans(count * 3)
            what = "in threads, %d in hand, carriers: %s" % (prefetch, carriers)
            # Each thread's first, which it waited for before it was looked at.
            check_calls(spans, count, what, 4 if carriers == "python" else count)
            clear(scene)


NODE_WAYS = [(1, "each", "promise"), (3, "each", "callback"), (3, "each", "promise"), (50, "each", "promise"),
             (0, "each", "promise"), (50, "first", "promise"), (0, "last", "promise"), (50, "none", "promise"),
             (50, "each", "queue"), (50, "none", "queue")]


def work_in_node(scene, rabbit, back, prefetch, ack, how):
    """Two calls a message. With several in hand contexts are believed once so many were right."""
    count = 200
    what = "amqplib, %d in hand, acknowledged %s, by a %s" % (prefetch, ack, how)
    came = []
    for traced in False, True:
        rabbit.work("publish", count, traced=traced)
        came.append(scene.run([*NODE_WORKER, str(rabbit.consumers_port), *map(str, (
            count, prefetch, ack, how, back.port))], "consume", traced=traced, BURDOCK_CARRIERS="node"))
    equal([(done.returncode, done.stdout, done.stderr) for done in came[1:]],
          [(0, came[0].stdout, b"")], what + ": as bare")
    spans = scene.wait_spans(count * 4 + count * (ack != "none"))
    equal(strangers(spans), [], what + ": each under its own message's")
    number = {span.id: span.attributes["messaging.message.id"] for span in of_messages(spans, "consume")}
    calls = [span for span in spans if span.attributes.get("url.full")]
    equal(len(calls), 2 * count, what + ": its calls are told")
    equal([span for span in calls if span.parent and number.get(span.parent) !=
           span.attributes["url.full"].split("?")[1]], [], what + ": no call under another message")
    known = sum(bool(span.parent) for span in calls)
    print("# %s: %d of %d calls are known" % (what, known, 2 * count))
    if how != "queue":  # in the contexts of those that were first
        check(known >= count * (2 if prefetch == 1 else 1), what + ": the others are known", known)
    clear(scene)


def test_work_in_node(scene, rabbit):
    """What amqplib calls its program's function with is what that works on, and what it awaits."""
    if scene.run(["node", "-e", "require(%r)" % AMQPLIB], traced=False).returncode:
        return skip("messages in Node", "amqplib is not installed")
    back, dribbler = scene.service("back", traced=False), Dribbler(target=rabbit.port)
    for way in NODE_WAYS:
        work_in_node(scene, rabbit, back, *way)
    rabbit.consumers_port = dribbler.port
    for way in NODE_WAYS[1:9:2]:
        work_in_node(scene, rabbit, back, *way)
    dribbler.close()
    rabbit.consumers_port = rabbit.port


def test_confirmed_and_asked_for(scene, rabbit):
    count = 60
    sent = rabbit.work("publish", count, confirm=1)
    seen = rabbit.work("get", count)
    equal(without_ours(seen), sent, "asked for: what comes is what was sent")
    spans = scene.wait_spans(4 * count + 1)
    equal(collections.Counter(span.name for span in of_messages(spans)),
          {"publish work": count, "get work": count + 1, "consume work": count,
           "ack work": count}, "asked for, with and without an answer")
    equal(strangers(spans), [], "asked for: each under its own message's")
    took = sorted(span.end - span.start for span in of_messages(spans, "publish"))
    equal({span.attributes.get("error.type") for span in of_messages(spans)}, {None}, "no errors")
    check(took[count // 2] > 20_000, "a send ends when the broker has confirmed it", took)
    clear(scene)


def test_untraced_neighbours(scene, rabbit):
    sent = rabbit.work("publish", 5)
    seen = rabbit.work("consume", 5, traced=False)
    equal(without_ours(seen), sent, "who is not traced gets a header and nothing else")
    sent = rabbit.work("publish", 5, context=OWN)
    seen = rabbit.work("consume", 5)
    equal(seen, sent, "the application's own context stays")
    spans = of_messages(scene.wait_spans(5 + 5 + 10))
    own = [span for span in spans if span.trace == OWN.split("-")[1]]
    equal(collections.Counter((span.name, span.kind) for span in own),
          {("publish work", "CLIENT"): 5, ("consume work", "CONSUMER"): 5, ("ack work", "CLIENT"): 5},
          "and is continued by both sides")
    equal({span.parent for span in own if span.kind == "CONSUMER"}, {OWN.split("-")[2]},
          "the consumer's from the application's span")
    clear(scene)


def test_rabbitmq_c(scene, rabbit):
    """librabbitmq's own tools: they set no headers, and end with what they got."""
    def amqp(*words, **more):
        return scene.run([words[0], "--url=amqp://127.0.0.1:%d" % rabbit.port, *words[1:]],
                         words[0], timeout=30, **more)

    done = amqp("amqp-publish", "-r", "work", "-b", "by hand", "-e", "")
    if done.returncode:
        return skip("librabbitmq's tools", repr(done.stderr))
    amqp("amqp-publish", "-r", "work", "-C", "text/plain", "-p", "-b", "again")
    got = amqp("amqp-consume", "-q", "work", "-c", "1", "cat").stdout
    got += amqp("amqp-get", "-q", "work").stdout
    equal(got, b"by handagain", "librabbitmq: consumed, and asked for")
    spans = of_messages(scene.wait_spans(5))
    equal(collections.Counter(span.name for span in spans)["publish work"], 2,
          "librabbitmq: both were sent")
    sent = {span.id for span in spans if span.name == "publish work"}
    equal({span.parent in sent for span in spans if span.kind == "CONSUMER"}, {True},
          "librabbitmq: and each is continued")
    clear(scene)


def test_measured(scene, rabbit):
    collector = Collector(scene)
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_TRACES_SAMPLER": "always_off"}
    for role in "publish", "consume":
        done = scene.run([*WORKER, role, str(rabbit.port), "7"], role, **more)
        equal(done.returncode, 0, "measured: %s ends well" % role)
    counts = collections.Counter()
    for name in "messaging.client.operation.duration", "messaging.process.duration":
        for point in collector.points(name):
            counts[name, point.attributes["messaging.operation.name"],
                   point.attributes["messaging.destination.name"]] += point.count
    equal(counts, {("messaging.client.operation.duration", "publish", "work"): 7,
                   ("messaging.client.operation.duration", "ack", "work"): 7,
                   ("messaging.process.duration", "consume", "work"): 7},
          "measured, though none is sampled")


def test_broken_off(scene, rabbit):
    """A consumer that is killed with messages in hand, and a broker that is: as bare."""
    sent = rabbit.work("publish", 40)
    consumer = scene.start([*WORKER, "consume", str(rabbit.port), "41", "ack=last"], "consume")
    wait_until(lambda: len(scene.stdout(consumer).splitlines()) == 40)
    consumer.kill()
    consumer.wait()
    seen = rabbit.work("consume", 40)
    equal(without_ours(seen), sent, "a consumer is killed: all of it comes again")
    clear(scene)
    consumer = scene.start([*WORKER, "consume", str(rabbit.port), "1"], "consume")
    wait_until(lambda: subprocess.run(["ss", "-tn", "state", "established", "sport = :%d" %
                                       rabbit.port], capture_output=True,
                                      env={"PATH": PATH}).stdout.count(b"\n") > 1)
    os.killpg(rabbit.process.pid, 9)
    status = consumer.wait(30)
    check(b"pika.exceptions" in scene.stderr(consumer) and status == 1,
          "a broker is killed: the program hears of it", scene.stderr(consumer)[-300:])


def test_rabbitmq():
    with Scene() as scene:
        if scene.run([PYTHON, "-c", "import pika"], traced=False).returncode:
            return skip("messages through RabbitMQ", "python3-pika is not installed")
        rabbit = Broker(scene)
        for part in (test_messages, test_work_in_c, test_work_under_messages, test_in_pieces,
                     test_work_in_threads, test_work_in_node, test_confirmed_and_asked_for, test_untraced_neighbours,
                     test_rabbitmq_c, test_measured, test_broken_off):
            part(scene, rabbit)


scope = {"test_rabbitmq": test_rabbitmq}
if __name__ == "__main__":
    main(scope, needs=[SERVER])
