# SPDX-License-Identifier: Apache-2.0
"""Messages of Kafka through librdkafka: each consumer's span is its own message's producer's child, the
messages are what was sent, and what the calls answer is what they answer bare.

The broker is librdkafka's own mock cluster in a process of its own; with KAFKA_LONG an Apache Kafka,
whose jars ./check --long fetches."""
import collections
import glob
import os
import re
import sqlite3

from harness import (BUILD, PYTHON, SOURCE, RawServer, Scene, check, equal, free_port, is_listening, main,
                     read_head, skip, wait_until)

CLIENT = os.path.join(BUILD, "tests/e2e/kafka_client")
JARS = os.path.join(BUILD, "kafka")
IS_LONG = os.environ.get("KAFKA_LONG")
MEMCHECK = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
            "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
            "--suppressions=" + os.path.join(SOURCE, "tests/e2e/memcheck.supp")]
OURS = re.compile(r" traceparent=00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-9a-f]$")
OWN = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
COUNT = int(os.environ.get("KAFKA_COUNT", 1000 if IS_LONG else 40))
SETTINGS = """process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:%(port)d,CONTROLLER://127.0.0.1:%(inner)d
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:%(inner)d
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=%(home)s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.partitions=2
"""


def kafka_command(scene, port, more="", formatting=()):
    """How Apache Kafka is started; its folder is made."""
    settings = scene.write("kafka.properties", (SETTINGS + more) % {
        "port": port, "inner": free_port(), "home": scene.path("kafka")})
    java = ["java", "-Xmx512m", "-cp", JARS + "/*"]
    done = scene.run([*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk",
                      "-c", settings, *formatting], traced=False)
    assert done.returncode == 0, done.stderr
    return [*java, "kafka.Kafka", settings]


class Kafka(Scene):
    """A broker, untraced, and clients of it."""

    def __enter__(self):
        self.topics = 0
        if IS_LONG:
            self.start_kafka()
        else:
            read, self.write_end = os.pipe()
            process = self.start([CLIENT, "mock"], traced=False, stdin=read)
            os.close(read)
            wait_until(lambda: self.stdout(process).endswith(b"\n"))
            self.bootstrap = self.stdout(process).decode().strip()
        return self

    def __exit__(self, *how):
        if not IS_LONG:
            os.close(self.write_end)
        super().__exit__(*how)

    def start_kafka(self, more="", formatting=()):
        self.port = free_port()
        self.command = kafka_command(self, self.port, more, formatting)
        self.bootstrap = "127.0.0.1:%d" % self.port
        self.start_broker()

    def start_broker(self):
        self.broker = self.start(self.command, traced=False)
        wait_until(lambda: is_listening(self.port) or self.broker.poll() is not None, 120)
        assert self.broker.poll() is None, self.stderr(self.broker)

    def topic(self):
        self.topics += 1
        return "topic%d" % self.topics

    def client(self, what, topic, *more, traced=True, **environment):
        done = self.run([CLIENT, what, self.bootstrap, topic, *map(str, more)], what, traced, 120,
                        **environment)
        check(done.returncode == 0, "%s %s %s: runs" % (what, topic, more), done.stdout + done.stderr)
        return done.stdout.decode()

    def send_many(self, count=COUNT):
        """A topic, and {key: (trace, span) of the span that sent it}."""
        topic = self.topic()
        before = len(self.spans())
        self.client("many", topic, count)
        spans = self.wait_spans(before + count)
        sent = {span.attributes["messaging.kafka.message.key"]: (span.trace, span.id) for span in spans
                if span.name == "send " + topic}
        equal(len(sent), count, "a span for each message that was sent")
        return topic, sent


class Stock(RawServer):
    """Answers by HTTP; {path: (trace, span) that the request carried}."""

    def __init__(self, scene):
        self.asked = {}
        super().__init__(scene, self.answer)

    def answer(self, connection):
        head = read_head(connection).decode()
        path = head.split()[1]
        found = re.search(r"traceparent: 00-(\w+)-(\w+)-", head)
        self.asked[path[1:]] = found.groups() if found else None
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def processed(scene, topic, count):
    spans = scene.wait_spans(count, lambda span: span.name == "process " + topic)
    return [span for span in spans if span.name == "process " + topic]


def check_processed(spans, sent, what):
    """Each under the one that sent it."""
    wrong = [span for span in spans
             if (span.trace, span.parent) != sent[span.attributes["messaging.kafka.message.key"]] or
             span.links != [(span.trace, span.parent)] or span.kind != "CONSUMER"]
    check(len(spans) == len(sent) and not wrong, "%s: each under what sent its message (%d)" %
          (what, len(spans)), "%d of %d: %s" % (len(wrong), len(sent), wrong[:3]))


def test_produce():
    with Kafka() as scene:
        topics = [scene.topic(), scene.topic()]
        out = [scene.client("produce", topic, traced=traced)
               for topic, traced in zip(topics, (False, True))]
        equal(out[1], out[0], "what calls answer is what they answer bare")
        came = [scene.client("consume", topic, 15, "one", traced=False).splitlines()
                for topic in topics]
        equal([OURS.sub("", line) for line in came[1]],
              [line if "adopted" not in line else OURS.sub("", line) for line in came[0]],
              "messages are what they are bare, and ours behind")
        adopted = [[line for line in lines if "adopted" in line] for lines in came]
        equal(adopted[1], adopted[0], "a message with a context goes out as it is")
        spans = scene.wait_spans(13)
        by_id = {(span.trace, span.id): span for span in spans}
        carried = [OURS.search(line) for line in came[1]]
        own = [found.groups() for found, line in zip(carried, came[1]) if "adopted" not in line]
        check(all(ids in by_id for ids in own), "each message carries the span that sent it")
        equal([count for _, count in collections.Counter(own).items() if count > 1], [3, 2],
              "those of a batch carry one")
        span = by_id[own[0]]
        equal((span.name, span.kind, span.status, span.attributes), (
            "send " + topics[1], "PRODUCER", "UNSET", {
                "messaging.system": "kafka", "messaging.operation.name": "send",
                "messaging.operation.type": "send", "messaging.destination.name": topics[1],
                "messaging.destination.partition.id": "0", "messaging.kafka.message.key": "key",
                "messaging.client.id": "shop", "burdock.attribution": "none"}), "what a span says")
        equal(sorted(span.attributes.get("messaging.batch.message_count", 0) for span in spans)[-3:],
              [0, 3, 3], "how many a batch has")
        adopted = [span for span in spans if (span.trace, span.parent) == OWN]
        equal([span.kind for span in adopted], ["CLIENT"], "the adopted one is under its own context")


def test_settings():
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with Kafka() as scene:
        for settings, wanted in (
                ({"OTEL_TRACES_EXPORTER": "none"}, r"traceparent=00-\w+-\w+-03"),
                ({"OTEL_TRACES_SAMPLER": "always_off"}, r"traceparent=00-\w+-\w+-02"),
                ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
                 r"traceparent=00-\w+-\w+(-03 tracestate=ot=th:8|-02.*)"),
                ({"OTEL_PROPAGATORS": "none"}, ""),
                ({"OTEL_SDK_DISABLED": "true", "TRACEPARENT": parent}, "traceparent=" + parent),
                ({"TRACEPARENT": parent, "TRACESTATE": "a=b"},
                 r"traceparent=00-%s-\w+-0\w tracestate=a=b" % parent[3:35])):
            topic = scene.topic()
            scene.client("many", topic, 2, **settings)
            came = scene.client("consume", topic, 2, "one", traced=False).splitlines()
            check(re.fullmatch(r'0 0 "message 0" key 0 ?' + wanted, came[0]),
                  "settings: %s" % settings, came)


def test_errors():
    with Kafka() as scene:
        topics = [scene.topic(), scene.topic()]
        out = [scene.client("errors", topic, traced=traced)
               for topic, traced in zip(topics, (False, True))]
        equal(out[1], out[0], "calls that fail answer as bare")
        told = collections.Counter(span.attributes.get("error.type") for span in scene.wait_spans(15))
        equal(dict(told), {None: 5, "_UNKNOWN_PARTITION": 3,
                           "_CONFLICT": 1, "_INVALID_ARG": 3, "MSG_SIZE_TOO_LARGE": 1, "_QUEUE_FULL": 2},
              "errors are told by their names")
        came = scene.client("consume", topics[1], 3, "one", traced=False)
        check("traceparent" not in came.splitlines()[1], "one that nothing can be added to has nothing")


def test_consume():
    with Kafka() as scene:
        stock = Stock(scene)
        topic, sent = scene.send_many()
        bare = scene.client("consume", topic, COUNT, "one", traced=False)
        for how in ("one", "queue", "callback", "callback queue", "poll"):
            before = len(processed(scene, topic, 0))
            stock.asked.clear()
            out = scene.client("consume", topic, COUNT, how, stock.port)
            equal(out, bare, how + ": messages as bare")
            spans = processed(scene, topic, before + COUNT)[before:]
            check_processed(spans, sent, how)
            calls = {(span.trace, span.id): span.parent for span in scene.spans()
                     if span.attributes.get("url.full")}
            right = [span for span in spans if calls.get(stock.asked["%s/%d" % (
                span.attributes["messaging.destination.partition.id"],
                span.attributes["messaging.kafka.offset"])]) == span.id]
            equal(len(right), COUNT, how + ": a call by HTTP hangs under its message")
            if how == "poll":
                span = spans[0]
                equal((span.status, span.attributes), ("UNSET", {
                    "messaging.system": "kafka", "messaging.operation.name": "process",
                    "messaging.operation.type": "process", "messaging.destination.name": topic,
                    "messaging.destination.partition.id": "0",
                    "messaging.kafka.offset": span.attributes["messaging.kafka.offset"],
                    "messaging.kafka.message.key": span.attributes["messaging.kafka.message.key"],
                    "messaging.consumer.group.name": "keepers", "messaging.client.id": "stock"}),
                    "what a span says")


def test_batch():
    with Kafka() as scene:
        stock = Stock(scene)
        topic, sent = scene.send_many()
        for how in ("batch", "batch queue"):
            before = len(processed(scene, topic, 0))
            stock.asked.clear()
            scene.client("consume", topic, COUNT, how, stock.port)
            spans = processed(scene, topic, before + COUNT)[before:]
            check_processed(spans, sent, how)
            ids = {"0/%d" % span.attributes["messaging.kafka.offset"]: span for span in spans}
            calls = {(span.trace, span.id): span for span in scene.spans()
                     if span.attributes.get("url.full")}
            wrong = [path for path, asked in stock.asked.items()
                     if calls[asked].parent not in (None, "", ids[path].id)]
            equal((len(stock.asked), wrong), (COUNT, []), how + ": no call under another message")


SENDER = """
import sys
from confluent_kafka import Producer
producer = Producer({'bootstrap.servers': sys.argv[1], 'client.id': 'python'})
for i in range(int(sys.argv[3])):
    producer.produce(sys.argv[2], key=str(i), value='v%d' % i, partition=0,
                     headers={'n': str(i)} if i % 2 else None)
    producer.poll(0)
print(producer.flush())
"""
TAKER = """
import sqlite3, sys
from confluent_kafka import Consumer
consumer = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'snakes',
                     'auto.offset.reset': 'earliest'})
consumer.subscribe([sys.argv[2]])
base = sqlite3.connect('snakes.db', isolation_level=None)
base.execute('CREATE TABLE IF NOT EXISTS seen (key, value, headers)')
left = int(sys.argv[3])
while left:
    message = consumer.poll(1)
    if message is None or message.error():
        continue
    base.execute('INSERT INTO seen VALUES (?, ?, ?)', (message.key(), message.value(),
                                                       repr(message.headers())))
    left -= 1
if len(sys.argv) == 4:
    consumer.close()
"""


def has_confluent(scene, python=PYTHON):
    return os.path.exists(python) and \
        scene.run([python, "-c", "import confluent_kafka"], traced=False).returncode == 0


def test_python():
    python_with(PYTHON, "Python")


def test_wheel():
    """The package of the language's own registry brings a librdkafka of its own."""
    python_with(os.path.join(BUILD, "wheels/bin/python"), "wheel")


def python_with(python, what):
    with Kafka() as scene:
        if not has_confluent(scene, python):
            skip(what, "confluent_kafka is not installed")
            return
        topic = scene.topic()
        arguments = [scene.bootstrap, topic, str(COUNT)]
        done = scene.run([python, scene.write("sender.py", SENDER), *arguments], "sender")
        equal((done.returncode, done.stdout), (0, b"0\n"), what + ": sends")
        spans = scene.wait_spans(COUNT)
        sent = {span.attributes["messaging.kafka.message.key"]: (span.trace, span.id) for span in spans}
        done = scene.run([python, scene.write("taker.py", TAKER), *arguments], "taker")
        equal(done.returncode, 0, what + ": takes")
        spans = processed(scene, topic, COUNT)
        check_processed(spans, sent, what)
        messages = {span.id for span in spans}
        under = [span.parent for span in scene.wait_spans(2 * COUNT) if span.name == "INSERT seen"]
        check(len(set(under)) == COUNT and set(under) == messages,
              what + ": a statement under each message (%d)" % len(under))
        base = sqlite3.connect(scene.path("snakes.db"))
        rows = base.execute("SELECT * FROM seen").fetchall()
        base.close()
        wanted = [("%d" % i, "v%d" % i) for i in range(COUNT)]
        equal([(key.decode(), value.decode()) for key, value, _ in rows], wanted,
              what + ": messages are what was sent")
        wrong = [row for i, row in enumerate(rows) if not re.fullmatch(
            r"\[%s\('traceparent', b'00-\w+-\w+-0\w'\)\]" % (r"\('n', b'%d'\), " % i if i % 2 else ""),
            row[2])]
        equal(wrong[:2], [], what + ": headers are the program's and ours")


RELAY = """
import sys
from confluent_kafka import Consumer, Producer
consumer = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'relay',
                     'auto.offset.reset': 'earliest'})
producer = Producer({'bootstrap.servers': sys.argv[1]})
consumer.subscribe([sys.argv[2]])
for _ in range(int(sys.argv[4])):
    message = None
    while message is None or message.error():
        message = consumer.poll(1)
    headers = message.headers() if sys.argv[5] == 'headers' else None
    producer.produce(sys.argv[3], key=message.key(), value=message.value(), headers=headers)
    producer.poll(0)
consumer.close()
print(producer.flush())
"""


def test_relay():
    """What is sent while a message is worked on hangs under it, and takes the trace further. Who hands
    the headers of the message on has the one before named as the parent."""
    with Kafka() as scene:
        if not has_confluent(scene):
            skip("relay", "confluent_kafka is not installed")
            return
        script = scene.write("relay.py", RELAY)
        for how, kind in (("plain", "PRODUCER"), ("headers", "CLIENT")):
            topic, sent = scene.send_many()
            further = scene.topic()
            done = scene.run([PYTHON, script, scene.bootstrap, topic, further, str(COUNT), how], how)
            equal((done.returncode, done.stdout), (0, b"0\n"), how + ": relayed")
            spans = scene.wait_spans(COUNT, lambda span: span.name == "send " + further)
            spans = [span for span in spans if span.name == "send " + further]
            under = {span.attributes["messaging.kafka.message.key"]: (span.trace, span.id)
                     for span in processed(scene, topic, COUNT)}
            wanted = under if how == "plain" else sent
            wrong = [span for span in spans if span.kind != kind or
                     (span.trace, span.parent) != wanted[span.attributes["messaging.kafka.message.key"]]]
            check(len(spans) == COUNT and not wrong, how + ": what is sent is under what came (%d)" %
                  len(spans), wrong[:2])


TRANSACTIONS = """
import sys
from confluent_kafka import Producer
producer = Producer({'bootstrap.servers': sys.argv[1], 'transactional.id': 'till'})
producer.init_transactions()
for i in range(4):
    producer.begin_transaction()
    for j in range(5):
        producer.produce(sys.argv[2], key='%d%d' % (i, j), value='v', partition=0)
    producer.flush()
    (producer.abort_transaction if i % 2 else producer.commit_transaction)()
"""


def test_transactions():
    """The mock keeps what was aborted; Kafka does not."""
    with Kafka() as scene:
        if not has_confluent(scene):
            skip("transactions", "confluent_kafka is not installed")
            return
        topic, count = scene.topic(), 10 if IS_LONG else 20
        script = scene.write("transactions.py", TRANSACTIONS)
        done = scene.run([PYTHON, script, scene.bootstrap, topic], "till")
        equal(done.returncode, 0, "transactions: run")
        spans = scene.wait_spans(20)
        sent = {span.attributes["messaging.kafka.message.key"]: (span.trace, span.id) for span in spans}
        equal(len(sent), 20, "transactions: each message has a span")
        scene.client("consume", topic, count, "one")
        spans = processed(scene, topic, count)
        if IS_LONG:
            sent = {key: ids for key, ids in sent.items() if key[0] in "02"}
        check_processed(spans, sent, "transactions")


SERVER = """
import http.server, sqlite3, sys
from confluent_kafka import Consumer
consumer = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'web',
                     'auto.offset.reset': 'earliest'})
consumer.subscribe([sys.argv[2]])
base = sqlite3.connect(':memory:', isolation_level=None, check_same_thread=False)
base.execute('CREATE TABLE seen (key)')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        message = None
        while message is None or message.error():
            message = consumer.poll(1)
        base.execute('INSERT INTO seen VALUES (?)', (message.key(),))
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[3])), Handler).serve_forever()
"""


def test_request():
    """Who asks for a message to answer a request stays with the request."""
    with Kafka() as scene:
        if not has_confluent(scene):
            skip("request", "confluent_kafka is not installed")
            return
        topic, sent = scene.send_many(5)
        port = free_port()
        scene.start([PYTHON, scene.write("server.py", SERVER), scene.bootstrap, topic, str(port)],
                    "web", port=port)
        for _ in range(5):
            scene.run(["curl", "-sS", "http://127.0.0.1:%d/" % port], traced=False)
        check_processed(processed(scene, topic, 5), sent, "request")
        spans = scene.wait_spans(5, lambda span: span.name == "INSERT seen")
        servers = {span.id for span in spans if span.kind == "SERVER"}
        under = {span.parent for span in spans if span.name == "INSERT seen"}
        check(len(servers) == 5 and under == servers, "request: its calls are the request's",
              (servers, under))


def test_exit():
    """Who does not close its consumer has its last message told when the process ends."""
    with Kafka() as scene:
        if not has_confluent(scene):
            skip("exit", "confluent_kafka is not installed")
            return
        topic, sent = scene.send_many(3)
        done = scene.run([PYTHON, scene.write("taker.py", TAKER), scene.bootstrap, topic, "3", "open"])
        equal(done.returncode, 0, "a consumer that is left open ends")
        check_processed(processed(scene, topic, 3), sent, "left open")


def test_kcat():
    with Kafka() as scene:
        topic = scene.topic()
        lines = "".join("%d:line %d\n" % (i, i) for i in range(COUNT)).encode()
        common = ["kcat", "-q", "-b", scene.bootstrap]
        done = scene.run([*common, "-P", "-t", topic, "-p", "0", "-K:"], "kcat", stdin=lines)
        if done.returncode == 127:
            skip("kcat", "it is not installed")
            return
        equal(done.returncode, 0, "kcat sends")
        spans = scene.wait_spans(COUNT)
        sent = {span.attributes["messaging.kafka.message.key"]: (span.trace, span.id) for span in spans}
        take = [*common, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-f", "%k:%s\\n"]
        done = scene.run(take, "kcat")
        equal((done.returncode, done.stdout), (0, lines), "kcat takes what was sent")
        check_processed(processed(scene, topic, COUNT), sent, "kcat")
        take = [*common, "-X", "auto.offset.reset=earliest", "-c", str(COUNT), "-f", "%k:%s\\n", "-G",
                "cats", topic]
        done = scene.run(take, "kcat")
        equal((done.returncode, done.stdout), (0, lines), "kcat takes what was sent, in a group")
        check_processed(processed(scene, topic, 2 * COUNT)[COUNT:], sent, "kcat in a group")
        for options in ([], ["-X", "client.id=x"]):
            dumps = [scene.run([*common, *options, "-X", "dump", "-P", "-t", topic], traced=traced).stdout
                     for traced in (False, True)]
            dumps = [re.sub(rb"0x[0-9a-f]+", b"", dump) for dump in dumps] # addresses
            check(b"client.id" in dumps[0] and dumps[0] == dumps[1], "its configuration is as bare")


def test_memory():
    with Kafka() as scene:
        if scene.run(["valgrind", "--version"], traced=False).returncode != 0:
            skip("memory", "valgrind is not installed")
            return
        topic = scene.topic()
        for arguments in (("produce", topic), ("errors", topic), ("consume", topic, "15", "one"),
                          ("consume", topic, "15", "poll")):
            what, *rest = arguments
            done = scene.run([*MEMCHECK, CLIENT, what, scene.bootstrap, *rest], timeout=170)
            errors = [line for line in done.stderr.decode().splitlines() if line.startswith("==")]
            check(done.returncode == 0 and not errors, "memcheck: %s %s" % (what, rest[1:]),
                  "\n".join(errors) or done.stderr)


def run(cases):
    if not os.path.exists(CLIENT):
        print("1..0 # SKIP librdkafka-dev is not installed")
    elif IS_LONG and not glob.glob(JARS + "/kafka_*.jar"):
        print("1..0 # SKIP Apache Kafka is not there")
    else:
        main(cases)


if __name__ == "__main__":
    run(globals())
