# SPDX-License-Identifier: Apache-2.0
"""Messages through RabbitMQ in programs with asyncio: what is done for each is under its own span."""
import os

from cutter import Dribbler
from harness import APPS, PYTHON, Scene, check, equal, main, skip, wait_until
from rabbit import SERVER
from test_amqp import Broker, clear, of_messages, start_redis, strangers, without_ours

WORKER = os.path.join(APPS, "aio_pika_worker.py")
COUNT = 200
ROOTS_MAX = {"none": 1}  # of messages
# How it consumes, messages in hand, acknowledged when.
WAYS = [("callback", 1, "each"), ("callback", 10, "each"), ("callback", 50, "each"), ("callback", 50, "first"),
        ("callback", 50, "none"), ("process", 10, "each"), ("plain", 50, "each"), ("plain", 50, "none"),
        ("iterator", 1, "each"), ("iterator", 50, "each"), ("iterator", 50, "none"),
        ("tasks", 1, "each"), ("tasks", 50, "each"), ("tasks", 50, "first"), ("tasks", 50, "none")]


def numbers_asked(spans):
    return [(span, span.attributes["db.query.text"].split("m:")[1]) for span in spans
            if span.attributes.get("db.system.name") == "redis"]


def numbers_sent(spans):
    return [(span, span.attributes["messaging.message.id"]) for span in of_messages(spans, "publish")
            if span.name == "publish done"]


def consume(scene, rabbit, redis, way, traced, carriers):
    """What was sent, and what came. Of what nobody acknowledges the first comes alone, since what was read
    before the program was known to be aiormq's is over by then."""
    how, prefetch, ack = way
    sent = rabbit.work("publish", 1 if ack == "none" else COUNT, traced=traced)
    total = COUNT + (ack == "none")
    worker = scene.start([PYTHON, WORKER, how, str(rabbit.consumers_port), str(total), str(prefetch), ack,
                          str(redis)], "consume", traced=traced, BURDOCK_CARRIERS=carriers)
    if ack == "none":
        wait_until(lambda: scene.stdout(worker) or worker.poll() is not None)
        sent += rabbit.work("publish", COUNT, traced=traced)
    status = worker.wait(60)
    return sent, (status, sorted(without_ours(scene.stdout(worker).decode().splitlines())),
                  scene.stderr(worker))


def play(scene, rabbit, redis, way, carriers="python"):
    what = "%s, %d in hand, acknowledged %s" % way + ", carriers: " + carriers
    is_settled, count = way[2] != "none", COUNT + (way[2] == "none")
    bare = consume(scene, rabbit, redis, way, False, carriers)[1]
    sent, came = consume(scene, rabbit, redis, way, True, carriers)
    equal(came, bare, what + ": as bare")
    equal(came[1], sorted(without_ours(sent)), what + ": what comes is what was sent")
    spans = scene.wait_spans(count * (5 + is_settled))
    messages = {span.id: span for span in of_messages(spans, "consume")}
    equal(len(messages), count, what + ": each message is told")
    equal(strangers(spans), [], what + ": each under its own message's")
    for kind, calls in ("asks", numbers_asked(spans)), ("sends", numbers_sent(spans)):
        known = [(number, messages.get(span.parent)) for span, number in calls if span.parent]
        wanted = count * (2 if kind == "asks" else 1)
        equal(len(calls), wanted, what + ": it %s" % kind)
        equal([number for number, message in known if message is None or
               message.attributes["messaging.message.id"] != number], [],
              what + ": and %s for no other message" % kind)
        print("# %s: of %d that it %s %d are known" % (what, wanted, kind, len(known)))
        roots = wanted - len(known)
        check(carriers == "none" or roots <= ROOTS_MAX.get(way[2], 0) * wanted // count,
              what + ": the others are known", roots)
    if not is_settled and way[0] in ("callback", "plain") and carriers != "none":
        equal([number for span, number in numbers_asked(spans) if span.parent and
               messages[span.parent].end < span.end], [], what + ": it is over with the function")
    clear(scene)


def test_aio_pika():
    with Scene() as scene:
        if scene.run([PYTHON, "-c", "import aio_pika, pika"], traced=False).returncode:
            return skip("aio-pika", "python3-aio-pika or python3-pika is not installed")
        rabbit, redis = Broker(scene), start_redis(scene)
        rabbit.work("publish", 0)
        for way in WAYS:
            play(scene, rabbit, redis, way)
        for way in WAYS[1], WAYS[9], WAYS[12]:
            play(scene, rabbit, redis, way, "none")
        dribbler = Dribbler(target=rabbit.port)
        rabbit.consumers_port = dribbler.port
        for way in WAYS[1], WAYS[4], WAYS[9], WAYS[13]:
            play(scene, rabbit, redis, way)
        dribbler.close()


scope = {"test_aio_pika": test_aio_pika}
if __name__ == "__main__":
    main(scope, needs=[SERVER])
