# SPDX-License-Identifier: Apache-2.0
"""Messages of Kafka by clients that speak its protocol themselves: what comes is what was sent, each
message carries the span of its own request, and a fetch is linked to what it brought."""
import ast
import collections
import os
import re
import shutil
import signal

from harness import APPS, BUILD, check, equal, free_port, skip, wait_until
from test_kafka import COUNT, IS_LONG, JARS, Kafka, run
from tls_scene import certify

PYTHON = os.path.join(BUILD, ".venv/bin/python")
TRACEPARENT = re.compile(rb"00-(\w{32})-(\w{16})-0[0-9a-f]$")
LINKS_MAX = 128 # of a span; of others it says how many
READ_MAX = 1024 # records of a fetch that are looked into
MODULES = {"aio": "aiokafka", "py": "kafka"}
CARRIED = ("py", "aio", "js") # what their programs are at is told: test_kafka_each.py
KAFKAJS = os.path.join(BUILD, "node/node_modules/kafkajs")
PROTOCOLS = ("SASL_PLAINTEXT", "SSL", "SASL_SSL")
SECURITY = """
listeners=PLAINTEXT://127.0.0.1:%%(port)d,CONTROLLER://127.0.0.1:%%(inner)d,%(listeners)s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,%(map)s
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location=%(keystore)s
"""
LOGIN = """listener.name.%(listener)s.plain.sasl.jaas.config=\\
    org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="wonder";
listener.name.%(listener)s.scram-sha-256.sasl.jaas.config=%(scram)s
listener.name.%(listener)s.scram-sha-512.sasl.jaas.config=%(scram)s
"""
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class Guarded(Kafka):
    """Kafka's own broker, that listens in every way that it knows."""

    def start_kafka(self, *_):
        certify(self)
        self.write("keystore.pem", b"".join(open(self.path(name), "rb").read()
                                            for name in ("key.pem", "cert.pem")))
        self.places = {protocol: "127.0.0.1:%d" % free_port() for protocol in PROTOCOLS}
        more = SECURITY % {"listeners": ",".join("%s://%s" % one for one in self.places.items()),
                           "map": ",".join("%s:%s" % (one, one) for one in PROTOCOLS),
                           "keystore": self.path("keystore.pem")}
        more += "".join(LOGIN % {"listener": one.lower(), "scram": SCRAM} for one in PROTOCOLS[::2])
        super().start_kafka(more, [part for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512") for part in
                                   ("--add-scram", mechanism + "=[name=alice,password=wonder]")])

    def choose(self, security):
        """Where, and how, clients connect from now on."""
        self.bootstrap = self.places[security.split(":")[0]]
        self.environment.update(KAFKA_SECURITY=security)
        if "SSL" in security:
            self.environment.update(KAFKA_CA=self.path("ca.pem"))


def has(scene, module):
    what = {"java": ["java", "-version"], "js": ["node", "-e", "require('%s')" % KAFKAJS]}.get(
        module, [PYTHON, "-c", "import " + MODULES.get(module, "")])
    if shutil.which(what[0]) and scene.run(what, traced=False).returncode == 0:
        return True
    skip(module, "it is not installed")
    return False


def command(module):
    if module == "java":
        return ["java", "-Xmx256m", "-cp", JARS + "/*", os.path.join(APPS, "KafkaJava.java")]
    if module == "js":
        return ["node", os.path.join(APPS, "kafka_js.cjs"), KAFKAJS]
    return [PYTHON, os.path.join(APPS, "kafka_%s.py" % module)]


def client(scene, module, what, *arguments, traced=True):
    done = scene.run([*command(module), what, scene.bootstrap, *map(str, arguments)], what, traced, 300)
    check(done.returncode == 0, "%s: %s %s: runs" % (module, what, arguments), done.stderr[-2000:])
    return [ast.literal_eval(line) for line in done.stdout.decode().splitlines()]


def without_ours(message):
    """And (trace, span) of the context in it."""
    offset, key, value, headers = message
    found = [TRACEPARENT.match(content) for name, content in headers if name == "traceparent"]
    own = [(name, content) for name, content in headers if name != "traceparent"]
    ids = tuple(part.decode() for part in found[0].groups()) if len(found) == 1 and found[0] else None
    return (offset, key, value, own), ids


def named(spans, name):
    return [span for span in spans if span.name == name]


def check_carried(scene, topic, came, what, requests=None):
    """Each message by the request that it went in. Answers the spans' (trace, span)."""
    spans = scene.wait_spans(requests or 1, lambda span: span.name == "send " + topic)
    counts = {(span.trace, span.id): span.attributes.get("messaging.batch.message_count", 1)
              for span in named(spans, "send " + topic)
              if "error.type" not in span.attributes} # it was sent again
    ids = collections.Counter(without_ours(message)[1] for message in came)
    equal(dict(ids), counts, what + ": each message carries the span of the request it went in")
    keys = {(span.trace, span.id): span.attributes["messaging.kafka.message.key"]
            for span in named(spans, "send " + topic)
            if "messaging.kafka.message.key" in span.attributes}
    wrong = [message for message in came for ids in [without_ours(message)[1]]
             if ids in keys and keys[ids].encode() != message[1]]
    equal(wrong, [], what + ": ... its own")
    return counts


def check_attempts(scene, topic, came, what):
    """Each message by an attempt to send it, be it one whose answer was lost."""
    spans = scene.wait_spans(len(came), lambda span: span.name == "send " + topic)
    keys = {(span.trace, span.id): span.attributes["messaging.kafka.message.key"].encode()
            for span in named(spans, "send " + topic)}
    carried = [(without_ours(message)[1], message[1]) for message in came]
    wrong = [one for one in carried if keys.get(one[0]) != one[1]]
    errors = collections.Counter(span.attributes.get("error.type") for span in spans)
    print("# %s: %d attempts, %s" % (what, len(keys), dict(errors)))
    check(not wrong and len(dict(carried)) == len(came),
          what + ": each message carries the span of an attempt to send it", (len(keys), wrong[:3]))


def check_fetched(scene, topic, sent, count, what):
    """Every fetch is linked to what it brought, and to nothing else."""
    def brought(spans):
        return sum(span.attributes.get("messaging.batch.message_count", 1)
                   for span in named(spans, "fetch " + topic))
    scene.wait_spans(1, lambda span: span.name == "fetch " + topic)
    spans = named(scene.spans(), "fetch " + topic)
    linked = [link for span in spans for link in span.links]
    check(brought(spans) == count and set(linked) <= set(sent) and len(set(linked)) == len(linked) and
          all(span.links and not span.parent and span.kind == "CLIENT" for span in spans),
          "%s: %d fetches, linked to what they brought" % (what, len(spans)),
          (brought(spans), count, len(linked), len(sent)))
    alone = all(count == 1 for count in sent.values())
    for span in spans if alone else ():
        looked = min(span.attributes.get("messaging.batch.message_count", 1), READ_MAX)
        if (len(span.links), span.links_dropped) != (min(looked, LINKS_MAX), looked - len(span.links)):
            return check(False, what + ": one a message, others counted",
                         (looked, len(span.links), span.links_dropped))
    if all(len(span.links) < LINKS_MAX for span in spans):
        equal(set(linked), set(sent), what + ": to all of it")
    return spans


def exchange(module, group, security=None):
    with Guarded() if security else Kafka() as scene:
        if not has(scene, module):
            return
        if security:
            scene.choose(security)
        what, came = " ".join([module, group, security or ""]), []
        count = COUNT if group == "one" else 40
        for traced in (False, True):
            topic = scene.topic()
            client(scene, module, "send", topic, count, group, traced=traced)
            came.append(client(scene, module, "take", topic, count, group, traced=traced))
        equal([without_ours(message)[0] for message in came[1]], came[0], what + ": messages as bare")
        sent = check_carried(scene, topic, came[1], what, count if group == "one" else None)
        check_fetched(scene, topic, sent, count, what)
        spans = scene.spans()
        told = {"send", "fetch"} | ({"process"} if module in CARRIED else set())
        equal({span.name.split()[0] for span in spans}, told, what + ": no more")
        check(not any("burdock.context.sent" in span.attributes for span in spans), what + ": all with it")


def test_aiokafka():
    exchange("aio", "one")


def linked_once(module, count):
    """Each of so many requests, by the fetches that brought what they had sent."""
    with Kafka() as scene:
        if not has(scene, module):
            return
        what = "%s, %d of one each" % (module, count)
        # An answer of the mock has one batch of a partition.
        topic, group = (scene.topic(), "one") if IS_LONG else ("apart", "apart")
        client(scene, module, "send", topic, count, group)
        came = client(scene, module, "take", topic, count, group)
        sent = check_carried(scene, topic, came, what, count)
        spans = check_fetched(scene, topic, sent, count, what)
        links = collections.Counter(link for span in spans or () for link in span.links)
        equal(sorted(links.values()), [1] * min(count, sum(links.values())), what + ": once")
        largest = max(spans or (), key=lambda span: len(span.links))
        print("# %s: %d fetches, %d links and %d more in the largest" % (
            what, len(spans), len(largest.links), largest.links_dropped))
        if len(spans) == 1: # what is there comes at once
            equal((len(largest.links), largest.links_dropped),
                  (min(count, LINKS_MAX), max(0, count - LINKS_MAX)), what + ": links of the one fetch")


def test_links():
    for count in (9, 100, LINKS_MAX, LINKS_MAX + 1):
        for module in ("aio", "py") if IS_LONG else ("aio",): # the latter and the mock: see below
            linked_once(module, count)


def test_aiokafka_batch():
    exchange("aio", "batch")


def wide(module, security=None):
    """Busy producers: requests of hundreds of kilobytes, to two partitions. Each message carries the
    span of its request, and is else what it is bare."""
    count, came, what = (10000 if IS_LONG else 3000), [], "%s, large batches %s" % (module, security or "")
    with Guarded() if security else Kafka() as scene:
        if not has(scene, module):
            return
        if security:
            scene.choose(security)
        for traced in (False, True):
            topic = scene.topic()
            client(scene, module, "send", topic, count, "wide", traced=traced)
            taken = client(scene, module, "take", topic, count, "wide", traced=False)
            came.append(sorted(taken, key=lambda message: int(message[1])))
        check([without_ours(message)[0] for message in came[1]] == came[0] and
              [int(message[1]) for message in came[0]] == list(range(count)), what + ": messages as bare")
        counts = check_carried(scene, topic, came[1], what)
        check(sum(counts.values()) == count and max(counts.values()) * 300 > 100000,
              what + ": %d requests, the largest of %d messages" % (len(counts), max(counts.values())))


def test_wide():
    wide("aio")
    if IS_LONG:
        for module in ("py", "java"):
            wide(module)
        wide("aio", "SSL")


def test_untouched():
    """What is too long goes out as it is, and its span says so."""
    with Kafka() as scene:
        if not has(scene, "aio"):
            return
        topic = scene.topic()
        client(scene, "aio", "send", topic, 3, "long")
        came = client(scene, "aio", "take", topic, 3, "long", traced=False)
        equal([(len(value), without_ours((offset, key, value, headers))[1])
               for offset, key, value, headers in came], [(1000009, None)] * 3, "long ones are not touched")
        spans = named(scene.wait_spans(3), "send " + topic)
        equal([span.attributes.get("burdock.context.sent") for span in spans], [False] * 3, "and say so")


def compressed(scene, module, codec):
    """As bare, without a context; what was sent says so, and what was fetched how many."""
    count, came, what = COUNT // 4, [], "%s, %s" % (module, codec)
    scene.environment.update(KAFKA_CODEC=codec)
    for traced in (False, True):
        topic = scene.topic()
        client(scene, module, "send", topic, count, "batch", traced=traced)
        came.append(client(scene, module, "take", topic, count, "batch", traced=traced))
    equal(came[1], came[0], what + ": messages as bare, without a context")
    fetched = named(scene.wait_spans(2), "fetch " + topic)
    sent = named(scene.spans(), "send " + topic)
    equal([sum(span.attributes.get("messaging.batch.message_count", 1) for span in spans)
           for spans in (sent, fetched)], [count, count], what + ": how many they are")
    check(all(span.attributes.get("burdock.context.sent") is False for span in sent) and
          not any(span.links for span in fetched), what + ": spans say that none has one", sent[:2])


def test_compressed():
    with Kafka() as scene:
        for codec in ("gzip", "snappy", "lz4", "zstd") if IS_LONG else ("gzip",):
            for module in ("aio", "py", "java", "js") if IS_LONG else ("aio",):
                if (module != "js" or codec == "gzip") and has(scene, module):
                    compressed(scene, module, codec)


def test_kafka_python():
    """It does not get on with the mock."""
    if IS_LONG:
        exchange("py", "one")
        exchange("py", "batch")


def test_kafkajs():
    """It asks for the versions once, and fetches by a connection that begins with that."""
    exchange("js", "one")
    if IS_LONG:
        exchange("js", "batch")


def test_java():
    """Its requests are gathered from several buffers, and its topics have ids."""
    if IS_LONG:
        exchange("java", "one")
        exchange("java", "batch")


def test_java_takes():
    """What others have sent."""
    with Kafka() as scene:
        if not IS_LONG or not has(scene, "aio"):
            return
        topic = scene.topic()
        client(scene, "aio", "send", topic, COUNT, "one")
        came = [client(scene, "java", "take", topic, COUNT, "j%d" % traced, traced=bool(traced))
                for traced in (0, 1)]
        equal(came[1], came[0], "java takes as bare")
        check_fetched(scene, topic, check_carried(scene, topic, came[0], "java takes", COUNT),
                      COUNT, "java")


def test_security():
    """Requests between, and TLS where its library can be seen: Java's and that within node cannot."""
    if not IS_LONG:
        return
    for security in ("SASL_PLAINTEXT:PLAIN", "SASL_PLAINTEXT:SCRAM-SHA-256", "SSL",
                     "SASL_SSL:SCRAM-SHA-512"):
        for module in ("aio", "py") + (() if "SSL" in security else ("js", "java")):
            exchange(module, "one", security)


def test_broker_killed():
    """In the middle, and started again: what each producer was told is there comes once, and in
    order, as it would without us, and still under what sent it."""
    if not IS_LONG:
        return
    for module in ("aio", "py", "java", "js"):
        with Kafka() as scene:
            if not has(scene, module):
                continue
            topic, what = scene.topic(), module + ", its broker killed"
            process = scene.start([*command(module), "send", scene.bootstrap, topic, str(COUNT), "told"],
                                  "send")
            wait_until(lambda: scene.stdout(process).count(b"\n") > COUNT // 4, 120)
            check(process.poll() is None, what + ": in the middle", scene.stderr(process)[-2000:])
            scene.stop(scene.broker, signal.SIGKILL)
            scene.start_broker()
            check(process.wait(300) == 0, what + ": all was sent", scene.stderr(process)[-2000:])
            came = client(scene, module, "take", topic, COUNT, "told")
            equal([int(message[1]) for message in came], list(range(COUNT)), what + ": each once")
            equal([message[0] for message in came], list(range(COUNT)), what + ": and no more")
            check_attempts(scene, topic, came, what)


if __name__ == "__main__":
    run(globals())
