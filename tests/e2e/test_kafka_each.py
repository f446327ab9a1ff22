# SPDX-License-Identifier: Apache-2.0
"""Clients of Kafka that speak its protocol themselves, and what their programs do with each message: the
carriers tell which one they are at. Each message's span is under what sent it, and each call under its own
message's span or under none."""
import ast
import collections
import glob
import os

from harness import APPS, BUILD, RawServer, check, equal, read_head, skip, wait_until
from test_kafka import COUNT, IS_LONG, JARS, Kafka, run
from test_kafka_wire import KAFKAJS, client, has, named, without_ours

PYTHON = os.environ.get("KAFKA_PYTHON") or os.path.join(BUILD, ".venv/bin/python")
# What programs do, and which of their calls are known: else they are linked to what may be at work, or roots.
HOWS = {
    "py": dict.fromkeys("each next commit one poll pool open sqlite pair".split(), "known") |
          {"some": "linked", "gather": "linked"},
    "aio": dict.fromkeys("each one wait many task pair".split(), "known") | {"some": "linked", "gather": "linked"},
    "js": dict.fromkeys("each batch some fail".split(), "known") | {"async": None, "pair": None},
    "java": dict.fromkeys("each forEach stream topic lists one break commit pool wait bytes pair".split(), "known") |
            {"some": "linked", "gather": "linked", "ahead": None, "mix": None}}
APART = {"py": [PYTHON, os.path.join(APPS, "kafka_each_py.py")],
         "aio": [PYTHON, os.path.join(APPS, "kafka_each_aio.py")],
         "js": ["node", os.path.join(APPS, "kafka_each_js.cjs"), KAFKAJS],
         "java": ["java", "-Xmx256m", "-cp", JARS + "/*", os.path.join(APPS, "KafkaEach.java")]}
SENDERS = {"java": "aio"} # where it is another one


class Stock(RawServer):
    """Answers by HTTP; {path: (trace, span) that the request carried}."""

    def __init__(self, scene):
        self.asked = {}
        super().__init__(scene, self.answer)

    def answer(self, connection):
        while True:
            head = read_head(connection).decode()
            if not head:
                return
            lines = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            self.asked[head.split()[1][1:]] = tuple(lines.get("traceparent", "--").split("-")[1:3])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def consume(scene, command, how, topic, count, traced=True):
    """What came, and what was asked for it."""
    stock = Stock(scene)
    done = scene.run([*command, how, scene.bootstrap, topic, str(count), str(stock.port)], "till", traced, 300)
    check(done.returncode == 0, how + ": runs", done.stderr[-2000:])
    return [ast.literal_eval(line) for line in done.stdout.decode().splitlines()], stock.asked


def counted(spans):
    return sum(span.attributes.get("messaging.batch.message_count", 1) for span in spans)


def check_spans(spans, came, what):
    """Each under what sent its message, or linked to all it stands for."""
    sent = {message[1].decode(): without_ours(message)[1] for message in came}
    alone = [span for span in spans if "messaging.kafka.message.key" in span.attributes]
    wrong = [span for span in alone for ids in [sent.get(span.attributes.get("messaging.kafka.message.key"))]
             if (span.trace, span.parent) != ids or span.links != [ids] or span.kind != "CONSUMER"]
    check(not wrong, "%s: %d spans of one, each under what sent it" % (what, len(alone)), wrong[:2])
    many = [span for span in spans if span not in alone]
    linked = collections.Counter(link for span in many for link in span.links)
    check(all(not span.parent and span.links and "messaging.kafka.offset" not in span.attributes
              for span in many if counted([span]) > 1) and set(linked) <= set(sent.values()) and
          set(linked.values()) <= {1}, "%s: %d of many, linked to each once" % (what, len(many)), many[:2])
    return sent


def check_calls(scene, spans, asked, sent, what):
    """Each under its own message's span, or a root that is linked to one in hand. Answers how many are known."""
    by_id = {(span.trace, span.id): span for span in spans}
    calls = {(span.trace, span.id): span for span in scene.spans() if span.kind == "CLIENT"}
    found = collections.Counter()
    for key, ids in asked.items():
        call = calls.get(ids)
        message = call and by_id.get((call.trace, call.parent))
        if message is None:
            found["lost" if call is None else "others'" if call.parent else
                  "linked" if any(link in by_id for link in call.links) else "roots"] += 1
        else:
            is_its = message.attributes.get("messaging.kafka.message.key", key) == key and sent[key] in message.links
            is_its |= message.links_dropped > 0
            found["known" if is_its else "strangers"] += 1
    print("# %s: calls %s" % (what, dict(found)))
    check(set(found) <= {"known", "linked", "roots"}, what + ": no strangers", found)
    return found


def worked_on(scene, module, how, wanted):
    topic = scene.topic()
    client(scene, SENDERS.get(module, module), "send", topic, COUNT, "pair" if how == "pair" else "one")
    bare, asked = consume(scene, APART[module], how, topic, COUNT, False)
    came, asked = consume(scene, APART[module], how, topic, COUNT)
    if how in ("pair", "pool"): # in any order
        came, bare = (sorted(messages, key=lambda message: int(message[1])) for messages in (came, bare))
    equal(came, bare, how + ": what comes is what comes bare")
    count = COUNT + (len(range(3, COUNT, 10)) if how == "fail" else 0)  # those come again
    wait_until(lambda: counted(named(scene.spans(), "process " + topic)) >= count)
    spans = named(scene.spans(), "process " + topic)
    equal(counted(spans), count, how + ": each message is told")
    sent = check_spans(spans, came, how)
    found = check_calls(scene, spans, asked, sent, how)
    check(wanted is None or found[wanted] >= len(asked) - 1, "%s: %d of %d calls are %s" % (how, found[wanted], len(asked), wanted),
          found)


def each_way(module):
    with Kafka() as scene:
        if has(scene, module):
            for how, wanted in HOWS[module].items():
                if how in os.environ.get("KAFKA_HOWS", how).split():
                    worked_on(scene, module, how, wanted)


def test_kafka_python():
    """It does not get on with the mock."""
    if IS_LONG:
        each_way("py")


def test_aiokafka():
    each_way("aio")


def test_kafkajs():
    each_way("js")


def test_java():
    """It does not get on with the mock either."""
    if not IS_LONG:
        return
    with Kafka() as scene:
        if not (has(scene, "java") and has(scene, "aio")):
            return
        if not glob.glob(JARS + "/kafka-clients-*.jar"):
            return skip("java", "its client is not there")
        scene.environment.update(BURDOCK_CARRIERS="java")
        for how, wanted in HOWS["java"].items():
            if how in os.environ.get("KAFKA_HOWS", how).split():
                worked_on(scene, "java", how, wanted)


if __name__ == "__main__":
    run(globals())
