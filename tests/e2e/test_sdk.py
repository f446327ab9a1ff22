# SPDX-License-Identifier: Apache-2.0
"""Messages between programs under the library and programs that OpenTelemetry's SDK instruments: a
producer of the one is continued by a consumer of the other, a program may be both, and who is neither
sees a valid header and nothing else. Each message's identifiers are compared, one by one.

With KAFKA_LONG Kafka is Apache's, as in test_kafka.py."""
import ast
import glob
import os
import re
import shutil

from harness import APPS, BUILD, PATH, Scene, check, equal, main, skip
from rabbit import SERVER, Rabbit
from test_kafka import CLIENT as MOCK, IS_LONG, JARS, Kafka

PYTHON = os.path.join(BUILD, ".venv/bin/python")
APP = os.path.join(APPS, "sdk_messages")
COUNT = int(os.environ.get("SDK_MESSAGES", 100))
VALID = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-0[0-9a-f]")
PLAIN, OURS, SDK, BOTH = ("bare", False), ("bare", True), ("sdk", False), ("sdk", True)
MODULES = {"pika": "pika", "kafka": "kafka", "aiokafka": "aiokafka", "confluent": "confluent_kafka"}
NODE_MODULES = os.path.join(BUILD, "node/node_modules")
OF_NODE = ("amqplib", "kafkajs")
OF_RABBIT = ("pika", "amqplib")


class WithRabbit(Scene):
    """A broker, untraced."""

    def __enter__(self):
        self.rabbit = Rabbit(self)
        self.bootstrap, self.topics = str(self.rabbit.port), 0
        return self

    topic = Kafka.topic


def trying(client):
    """A command that ends well if the client and its instrumentation are."""
    if client in OF_NODE:
        names = (client, "@opentelemetry/sdk-trace-node", "@opentelemetry/instrumentation-" + client)
        return ["node", "-e", ";".join("require('%s')" % name for name in names)]
    return [PYTHON, "-c", "import %s, opentelemetry.sdk, opentelemetry.instrumentation.%s" % (
        MODULES[client], MODULES[client])]


def has(client):
    with Scene(NODE_PATH=NODE_MODULES) as scene:
        broker = SERVER if client in OF_RABBIT else JARS + "/kafka_*.jar" if IS_LONG else MOCK
        command = trying(client)
        found = shutil.which(command[0], path=PATH) and glob.glob(broker) and \
            scene.run(command, traced=False).returncode == 0
    if not found:
        skip(client, "it, its broker or its instrumentation is not installed")
    return found


def play(scene, client, role, program, topic):
    """What it told: messages, spans."""
    how, traced = program
    program = ["node", APP + ".cjs"] if client in OF_NODE else [PYTHON, APP + ".py"]
    done = scene.run([*program, client, role, how, scene.bootstrap, topic, str(COUNT)], role, traced,
                     120)
    what = "%s: %s, %s%s" % (client, role, how, ", traced" if traced else "")
    check(done.returncode == 0, what + ": runs", done.stderr.decode()[-1500:])
    told = [ast.literal_eval(line) for line in done.stdout.decode().splitlines()]
    return [[line[1:] for line in told if line[0] == kind] for kind in ("message", "span")]


def exchange(scene, client, producer, consumer):
    """(messages, the producer's spans by its SDK, the consumer's, the topic)."""
    topic = scene.topic()
    _, sent = play(scene, client, "send", producer, topic)
    came, taken = play(scene, client, "take", consumer, topic)
    return came, sent, taken, topic


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def without_context(came):
    return [(number, body, [(name, value) for name, value in headers if name != "traceparent"])
            for number, body, headers in came]


def contexts_of(came, what):
    """{number: (trace, span)}: each has one, and it is valid."""
    found = {}
    for number, _, headers in came:
        values = [VALID.fullmatch(text(value)) for name, value in headers if name == "traceparent"]
        found[number] = values[0].groups() if len(values) == 1 and values[0] else None
    check(list(found) == list(range(COUNT)) and None not in found.values() and
          len(set(found.values())) == COUNT, what + ": each has a valid context, its own", found)
    return found


def by_sdk(spans, kind):
    """{number: span} of what comes in order: the innermost, since a call may have several."""
    parents = {span[4] for span in spans}
    return dict(enumerate(span for span in spans if span[1] == kind and span[3] not in parents))


def number_of(span):
    return int(span.attributes.get("messaging.message.id",
                                   span.attributes.get("messaging.kafka.message.key", -1)))


def ours(scene, topic, kinds, count=COUNT):
    def is_meant(span):
        return span.kind in kinds and span.name.endswith(" " + topic) and not span.name.startswith("ack")
    return [span for span in scene.wait_spans(count, is_meant) if is_meant(span)]


def check_continued(spans, contexts, client, what):
    """The SDK's spans of what came."""
    if client == "confluent":  # it links, and has a span of its own above
        got = {number: span[5] for number, span in by_sdk(spans, "CONSUMER").items()}
        return equal(got, {number: [ids] for number, ids in contexts.items()},
                     what + ": the SDK's are linked to them")
    got = {number: (span[2], span[4]) for number, span in by_sdk(spans, "CONSUMER").items()}
    return equal(got, contexts, what + ": the SDK's are under them")


def check_ours_continue(scene, client, topic, contexts, what):
    """Our spans of what came."""
    if client in ("kafka", "aiokafka", "kafkajs"):
        def fetched(span):
            return span.name == "fetch " + topic
        spans = [span for span in scene.wait_spans(COUNT, fetched) if fetched(span)]
        return equal(sorted(link for span in spans for link in span.links), sorted(contexts.values()),
                     what + ": our fetches are linked to them")
    spans = ours(scene, topic, ("CONSUMER",))
    got = {number_of(span): (span.trace, span.parent) for span in spans}
    check(len(spans) == COUNT and all(span.links == [(span.trace, span.parent)] for span in spans),
          what + ": ours, a span each, linked to what they continue", len(spans))
    return equal(got, contexts, what + ": ours are under them")


def check_sent(scene, topic, contexts, what):
    """They carry our spans."""
    spans = ours(scene, topic, ("PRODUCER",))
    equal({number_of(span): (span.trace, span.id) for span in spans}, contexts,
          what + ": each carries our span that sent it")
    equal(len(spans), COUNT, what + ": there are no others")


def check_adopted(scene, topic, contexts, what):
    """They carry the SDK's, and ours are under those."""
    spans = ours(scene, topic, ("PRODUCER", "CLIENT"))
    spans = [span for span in spans if span.attributes["messaging.operation.type"] == "send"]
    equal({number_of(span): (span.trace, span.parent, span.kind) for span in spans},
          {number: (*ids, "CLIENT") for number, ids in contexts.items()},
          what + ": our spans of sending are under the SDK's, and say that they are not the first")
    equal(len(spans), COUNT, what + ": there are no others")


def check_sdk_sent(sent, contexts, what):
    equal({number: (span[2], span[3]) for number, span in by_sdk(sent, "PRODUCER").items()}, contexts,
          what + ": each carries the SDK's span that sent it")


def all_ways(client):
    if not has(client):
        return
    broker = WithRabbit if client in OF_RABBIT else Kafka
    with broker(NODE_PATH=NODE_MODULES) as scene:
        bare = exchange(scene, client, PLAIN, PLAIN)[0]
        equal([number for number, *_ in bare], list(range(COUNT)), client + ": all come, in order")

        what = client + ", from ours to nobody's"
        came, _, _, topic = exchange(scene, client, OURS, PLAIN)
        equal(without_context(came), bare, what + ": as bare but for a header")
        check_sent(scene, topic, contexts_of(came, what), what)

        what = client + ", from ours to the SDK's"
        came, _, taken, topic = exchange(scene, client, OURS, SDK)
        equal(without_context(came), bare, what + ": as bare but for a header")
        contexts = contexts_of(came, what)
        check_sent(scene, topic, contexts, what)
        check_continued(taken, contexts, client, what)

        what = client + ", from the SDK's to ours"
        came, sent, _, topic = exchange(scene, client, SDK, OURS)
        contexts = contexts_of(came, what)
        check_sdk_sent(sent, contexts, what)
        check_ours_continue(scene, client, topic, contexts, what)

        what = client + ", from both to both"
        came, sent, taken, topic = exchange(scene, client, BOTH, BOTH)
        equal(without_context(came), bare, what + ": as bare but for a header")
        contexts = contexts_of(came, what)
        check_sdk_sent(sent, contexts, what)
        check_adopted(scene, topic, contexts, what)
        check_continued(taken, contexts, client, what)
        check_ours_continue(scene, client, topic, contexts, what)


def test_state():
    """Flags, tracestate and baggage go with a message."""
    if not has("pika"):
        return
    trace, state, baggage = "0af7651916cd43dd8448eb211c80319c", "a=1,b=2", "user=alice"
    for sampled in (True, False):
        outer = "00-%s-b7ad6b7169203331-0%d|%s|%s" % (trace, sampled, state, baggage)
        with WithRabbit(OUTER=outer) as scene:
            came = exchange(scene, "pika", SDK, OURS)[0]
            what = "pika, the SDK's, %ssampled" % ("" if sampled else "un")
            carried = {(text(dict(headers)["traceparent"])[:35], text(dict(headers)["traceparent"])[-2:],
                        text(dict(headers).get("tracestate")), text(dict(headers).get("baggage")))
                       for _, _, headers in came}
            equal(carried, {("00-" + trace, "0%d" % sampled, state, baggage)}, what + ": in each message")
            spans = scene.wait_spans(COUNT) if sampled else scene.spans()
            got = {(span.trace, span.state, span.flags & 3) for span in spans if span.kind == "CONSUMER"}
            equal(got, {(trace, state, 1)} if sampled else set(), what + ": our spans continue that")


def test_state_of_ours():
    """Tracestate and baggage of our process are in its messages."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    for client in ("pika", "aiokafka", "confluent"):
        broker = WithRabbit if client in OF_RABBIT else Kafka
        if has(client):
            with broker(TRACEPARENT="00-%s-b7ad6b7169203331-01" % trace, TRACESTATE="a=1,b=2",
                        BAGGAGE="user=alice") as scene:
                came, _, taken, topic = exchange(scene, client, OURS, SDK)
                what = client + ", ours with a state"
                contexts = contexts_of(came, what)
                equal({(ids[0], text(dict(headers).get("tracestate")), text(dict(headers).get("baggage")))
                       for ids, (_, _, headers) in zip(contexts.values(), came)},
                      {(trace, "a=1,b=2", "user=alice")}, what + ": in each message")
                check_sent(scene, topic, contexts, what)
                check_continued(taken, contexts, client, what)


def test_unsampled():
    """Ours say so, and the SDK obeys."""
    for client in ("pika", "aiokafka") + (("kafka",) if IS_LONG else ()):
        broker = WithRabbit if client in OF_RABBIT else Kafka
        if has(client):
            with broker(OTEL_TRACES_SAMPLER="always_off") as scene:
                came, _, taken, _ = exchange(scene, client, OURS, SDK)
                what = client + ", ours, unsampled: "
                contexts_of(came, what + "to the SDK's")
                equal({text(dict(headers)["traceparent"])[-2:] for _, _, headers in came} <= {"00", "02"},
                      True, what + "says so")
                equal((taken, scene.spans()), ([], []), what + "nor is the SDK's")


def test_pika():
    all_ways("pika")


def test_aiokafka():
    all_ways("aiokafka")


def test_confluent_kafka():
    all_ways("confluent")


def test_amqplib():
    all_ways("amqplib")


def test_kafkajs():
    all_ways("kafkajs")


if IS_LONG:  # it cannot talk to the mock cluster
    def test_kafka_python():
        all_ways("kafka")


scope = {name: function for name, function in globals().items()
         if getattr(function, "__module__", None) == __name__}
main(scope)
