# SPDX-License-Identifier: Apache-2.0
"""Messages through Mosquitto: each consumer's span hangs under the span that published its own
message, payloads are as they were sent, and who is not traced sees a User Property and nothing
else."""
import collections
import json
import os
import re
import signal

from cutter import Cutter
from harness import APPS, BUILD, PYTHON, Scene, check, equal, free_port, main, skip, wait_until
from tls_scene import certify

APP, HAND = (os.path.join(APPS, name) for name in ("mqtt_paho.py", "mqtt_hand.py"))
CLIENT = os.path.join(BUILD, "tests/e2e/mqtt_client")
COUNT = int(os.environ.get("MQTT_MESSAGES", "150"))
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OURS = re.compile(r" ?traceparent[:=](00-[0-9a-f]{32}-([0-9a-f]{16})-[0-9a-f]{2})")


def has_paho():
    return os.path.exists("/usr/lib/python3/dist-packages/paho/mqtt/client.py")


class Broker:
    def __init__(self, scene, settings="", traced=False):
        self.scene, self.port, self.traced = scene, free_port(), traced
        self.config = scene.write("mosquitto.conf", """
user root
log_type debug
listener %d 127.0.0.1
max_queued_messages 100000
%s%s""" % (self.port, "" if "acl_file" in settings or "allow" in settings else
           "allow_anonymous true\n", settings))
        self.start()

    def start(self):
        self.process = self.scene.start(["mosquitto", "-c", self.config], "mosquitto", self.traced,
                                        self.port)

    def app(self, mode, *arguments):
        return [PYTHON, APP, mode, str(self.port), *map(str, arguments)]

    def subscribed(self):
        """How many subscriptions it has answered since it was started."""
        return self.scene.stderr(self.process).count(b"Sending SUBACK")

    def consumer(self, command, service="consume", traced=True, **more):
        """A program that subscribes; it has."""
        before = self.subscribed()
        process = self.scene.start(command, service, traced, **more)
        wait_until(lambda: self.subscribed() > before or process.poll() is not None)
        return process

    def watcher(self, count):
        """An untraced mosquitto_sub: topic, payload in hexadecimal, user properties of each."""
        return self.consumer(["mosquitto_sub", "-V", "5", "-p", str(self.port), "-q", "2", "-t",
                              "t/+", "-C", str(count), "-d", "-F", "> %t %x %P"], None, False)

    def run(self, command, service="publish", traced=True, **more):
        done = self.scene.run(command, service, traced, timeout=120, **more)
        check(done.returncode == 0, "%s runs" % service, done.stdout[-500:] + done.stderr[-2000:])
        return done


def lines_of(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]


def seen_by(scene, watcher):
    """(topic, payload, user properties but for ours, the span that ours names), of each."""
    ends_well(scene, watcher, "the one that is not traced")
    found = []
    for line in scene.stdout(watcher).decode().splitlines():
        if line.startswith("> "):
            topic, payload, user = (line[2:].split(" ", 2) + ["", ""])[:3]
            ours = OURS.findall(user)
            found.append((topic, payload, OURS.sub("", user).strip(),
                          ours[0][1] if len(ours) == 1 else ours))
    return found


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def topic(span):
    return span.attributes.get("messaging.destination.name")


def ends_well(scene, process, what):
    check(wait_until(lambda: process.poll() is not None, 60) is not None and
          process.returncode == 0, what + " ends well", scene.stderr(process)[-2000:])


def strangers(spans):
    """Consumers' spans that are not under, and linked to, the sending of their own message."""
    sent = {span.id: span for span in by(spans, "publish")}
    return [(span.name, span.parent) for span in by(spans, "process")
            if span.parent not in sent or topic(sent[span.parent]) != topic(span) or
            sent[span.parent].trace != span.trace or
            list(map(tuple, span.links)) != [(span.trace, span.parent)]]


def check_calls(spans, count, what, is_known):
    """The call that was made for each message is under it, or a root."""
    worked = {span.id: topic(span).split("/")[1] for span in by(spans, "process")}
    calls = [span for span in spans if span.service == "consume" and "url.full" in span.attributes]
    equal(len(calls), count, what + ": its calls are told")
    equal([span.name for span in calls if span.parent and
           worked.get(span.parent) != span.attributes["url.full"].rsplit("/")[-1]], [],
          what + ": no call under another message")
    roots = sum(not span.parent for span in calls)
    print("# %s: %d of %d calls are roots" % (what, roots, count))
    if is_known:
        equal(roots, 0, what + ": all of them known")


# --- paho ------------------------------------------------------------------------------------------


def through_paho(version, qos, **more):
    what = "MQTT %s, QoS %d" % ({4: "3.1.1", 5: "5"}[version], qos)
    with Scene(**more) as scene:
        certify(scene)
        tls = "certfile %s\nkeyfile %s\n" % (scene.path("cert.pem"), scene.path("key.pem"))
        broker = Broker(scene, tls if "APP_TLS" in more else "")
        traced, bare = (broker.consumer(broker.app("consume", version, qos, COUNT), name,
                                        name == "consume") for name in ("consume", "bare"))
        sent = lines_of(broker.run(broker.app("publish", version, qos, COUNT)).stdout)
        ends_well(scene, traced, what + ": the consumer")
        ends_well(scene, bare, what + ": the one that is not traced")
        acks = COUNT if qos > 0 else 0
        spans = scene.wait_spans(2 * COUNT + acks, timeout=60)
        equal(collections.Counter((span.kind, span.attributes["messaging.operation.name"],
                                   span.attributes.get("error.type")) for span in spans),
              {("PRODUCER", "publish", None): COUNT, ("CONSUMER", "process", None): COUNT,
               **({("CLIENT", "ack", None): COUNT} if acks else {})}, what + ": spans of each")
        seen = lines_of(scene.stdout(bare))
        ours = {line["topic"]: [value for name, value in line["user"] if name == "traceparent"]
                for line in seen}
        strip = lambda lines: [{**line, "user": [pair for pair in line["user"]
                                                 if pair[0] != "traceparent"]} for line in lines]
        check(strip(seen) == sent, what + ": bit for bit what was sent, in its order")
        check(strip(lines_of(scene.stdout(traced))) == sent, what + ": and so for who is traced")
        if version == 4:
            equal((set(map(len, ours.values())), {span.parent for span in by(spans, "process")}),
                  ({0}, {""}), what + ": there is nowhere to put a context")
            return
        equal(strangers(spans), [], what + ": each is under its own sending")
        equal({name: [value[36:52] for value in values] for name, values in ours.items()},
              {topic(span): [span.id] for span in by(spans, "publish")},
              what + ": the property is the publisher's span")


def test_messages():
    if not has_paho():
        return skip("messages", "paho is not there")
    for version, qos in ((5, 0), (5, 1), (5, 2), (4, 0), (4, 1), (4, 2)):
        through_paho(version, qos)


def test_tls():
    if not has_paho():
        return skip("tls", "paho is not there")
    through_paho(5, 1, APP_TLS="1")


def test_work():
    """A call that a consumer makes for a message is under that message's span."""
    if not has_paho():
        return skip("work", "paho is not there")
    for qos, threaded in ((0, False), (1, False), (2, False), (0, True), (1, True), (2, True)):
        with Scene() as scene:
            broker, back = Broker(scene), scene.service("back", traced=False)
            consumer = broker.consumer(
                broker.app("consume", 5, qos, 60, "t/+", "http://127.0.0.1:%d/echo" % back.port),
                **({"APP_THREAD": "1"} if threaded else {}))
            broker.run(broker.app("publish", 5, qos, 60))
            ends_well(scene, consumer, "the consumer")
            spans = scene.wait_spans(180 + (60 if qos else 0))
            check_calls(spans, 60, "QoS %d%s" % (qos, ", on a thread" if threaded else ""),
                        not threaded)
            equal(strangers(spans), [], "and each message is under its own sending")


def test_forward():
    """What is sent on for a message is under it, or a root."""
    if not has_paho():
        return skip("forward", "paho is not there")
    for qos in (0, 1):
        with Scene() as scene:
            broker = Broker(scene)
            forwarder = broker.consumer(broker.app("forward", 5, qos, 60), "forward")
            broker.run(broker.app("publish", 5, qos, 60))
            ends_well(scene, forwarder, "the forwarder")
            spans = scene.wait_spans(180)
            worked = {span.id: topic(span) for span in by(spans, "process")}
            sent = [span for span in by(spans, "publish") if span.service == "forward"]
            equal((len(worked), len(sent)), (60, 60), "QoS %d: each is sent on" % qos)
            equal([span.name for span in sent if span.parent and
                   worked[span.parent][2:] != topic(span)[2:]], [], "none under another message")
            print("# %d of 60 are roots" % sum(not span.parent for span in sent))


def test_adopted():
    if not has_paho():
        return skip("adopted", "paho is not there")
    with Scene() as scene:
        broker = Broker(scene)
        consumer = broker.consumer(broker.app("consume", 5, 1, 1))
        broker.run(broker.app("adopt", 5, 1, OWN))
        ends_well(scene, consumer, "the consumer")
        got, = lines_of(scene.stdout(consumer))
        equal(got["user"], [["traceparent", OWN], ["tracestate", "own=1"]],
              "a context of the program's own goes as it is")
        spans = scene.wait_spans(3)
        sent, = by(spans, "publish")
        worked, = by(spans, "process")
        equal((worked.trace, worked.parent, sent.kind), (OWN[3:35], OWN[36:52], "CLIENT"),
              "and is the consumer's parent; the sending is not what made the message")


# --- Mosquitto's own clients -------------------------------------------------------------------------


def test_tools():
    """mosquitto_pub and mosquitto_sub as they are."""
    for version, has_context in (("5", True), ("mqttv311", False)):
        with Scene() as scene:
            broker = Broker(scene)
            tool = lambda name, *more: [name, "-V", version, "-p", str(broker.port), *more]
            traced = broker.consumer(
                tool("mosquitto_sub", "-t", "t/+", "-q", "2", "-C", "30", "-d", "-F", "> %t %x"))
            watcher = broker.watcher(30)
            user = ["-D", "publish", "user-property", "k", "a b"] if has_context else []
            for number in range(9):
                broker.run(tool("mosquitto_pub", "-t", "t/%d" % number, "-q", str(number % 3), "-m",
                                "m%d" % number, *user))
            broker.run(tool("mosquitto_pub", "-t", "t/lines", "-q", "1", "-l"),
                       stdin=b"".join(b"line %d\n" % number for number in range(21)))
            ends_well(scene, traced, "mosquitto_sub")
            seen = seen_by(scene, watcher)
            expected = [("t/%d" % number, b"m%d" % number) for number in range(9)]
            expected += [("t/lines", b"line %d" % number) for number in range(21)]
            equal(sorted(line[:2] for line in seen), sorted((name, payload.hex()) for name, payload in
                                                            expected), version + ": what was sent")
            equal({line[2] for line in seen if line[0] != "t/lines"},
                  {"k:a b" if has_context else ""}, version + ": with its own property")
            spans = scene.wait_spans(87)  # a publish, a process and, but for three, an ack each
            equal(collections.Counter(span.attributes["messaging.operation.name"] for span in spans),
                  {"publish": 30, "process": 30, "ack": 27}, version + ": all is told")
            if has_context:
                equal(strangers(spans), [], "each is under its own sending")
                equal(sorted(line[3] for line in seen), sorted(span.id for span in
                                                               by(spans, "publish")),
                      "and the property is that")


def test_library():
    """libmosquitto: its calls, and who acknowledges before the work is done."""
    if not os.path.exists(CLIENT):
        return skip("library", "libmosquitto-dev was not there when it was built")
    count = 60
    for version, qos, is_known in ((5, 0, True), (5, 1, True), (4, 2, False)):
        with Scene() as scene:
            what = "libmosquitto, QoS %d" % qos
            broker, back = Broker(scene), scene.service("back", traced=False)
            app = lambda mode, *more: [CLIENT, mode, str(broker.port), str(version), str(qos),
                                       str(count), *map(str, more)]
            consumer = broker.consumer(app("consume", back.port))
            bare = broker.consumer(app("consume"), "bare", False)
            broker.run(app("publish"))
            for process in (consumer, bare):
                ends_well(scene, process, what)
            sent = [["t/%d" % i] + [str(1 + i * 37 % 4999)] * 2 +
                    ["X-Number=t/%d" % i] * (i % 3 == 0 and version == 5) for i in range(count)]
            for process in (consumer, bare):
                got = [OURS.sub("", line).split() for line in
                       scene.stdout(process).decode().splitlines()[1:]]
                check(got == sent, what + ": bit for bit what was sent", got[:3])
            spans = scene.wait_spans(count * (3 + (qos > 0)))
            equal((len(by(spans, "publish")), len(by(spans, "process"))), (count, count),
                  what + ": each message, twice")
            if version == 5:
                equal(strangers(spans), [], what + ": each under its own sending")
                check_calls(spans, count, what, is_known)
            else:
                check_calls(spans, count, what, is_known)


# --- by hand, to the byte ------------------------------------------------------------------------


def by_hand(broker, *arguments):
    return [PYTHON, HAND, str(broker.port), *map(str, arguments)]


def test_hand():
    cases = (("pieces", 221, None), ("many", 300, 300), ("buffers", 42, 42), ("aliases", 5, 5),
             ("bare", 2, 1), ("early", 1, 0))
    for mode, count, known in cases:
        with Scene() as scene:
            broker = Broker(scene)
            watcher = broker.watcher(2 * count)
            scene.as_bare(by_hand(broker, mode), mode, spans=count)
            seen = seen_by(scene, watcher)
            equal([line[:3] for line in seen[count:]], [line[:3] for line in seen[:count]],
                  mode + ": the same messages")
            spans = scene.spans()
            own = {span.id: topic(span) for span in by(spans, "publish")}
            told = [(line[0], own.get(line[3], "?")) for line in seen[count:] if line[3]]
            equal([pair for pair in told if pair[0] != pair[1]], [], mode + ": each its own span")
            equal(sorted(map(topic, by(spans, "publish"))), sorted(line[0] for line in seen[:count]),
                  mode + ": their topics")
            if known is not None:
                equal(len(told), known, mode + ": so many have a context")
            print("# %s: %d of %d have a context" % (mode, len(told), count))


def test_limit():
    """What the broker would refuse for being too long goes out as it is."""
    with Scene() as scene:
        broker = Broker(scene, "max_packet_size 2000\n")
        watcher = broker.watcher(10)
        scene.as_bare(by_hand(broker, "limit", 2000), "at the limit", spans=5)
        seen = seen_by(scene, watcher)
        own = {topic(span): span.id for span in by(scene.spans(), "publish")}
        equal([(line[0], line[3]) for line in seen[5:]],
              [(name, own[name] if name >= "t/0072" else []) for name in
               ("t/0000", "t/0073", "t/0074", "t/0075", "t/0076")], "to the byte")


def test_refused():
    """An acknowledgement that says no is an error."""
    with Scene() as scene:
        broker = Broker(scene, "allow_anonymous true\nacl_file %s\n" %
                        scene.write("acl", "topic read #\n"))
        for qos in "1", "2":
            scene.run(["mosquitto_pub", "-V", "5", "-p", str(broker.port), "-t", "t/no", "-m", "x",
                       "-q", qos], "publish")
        spans = scene.wait_spans(2)
        equal([(span.name, span.status, span.attributes.get("error.type")) for span in spans],
              [("publish t/no", "ERROR", "not_authorized")] * 2, "refused")


def test_shared():
    """Consumers of a shared subscription, and the retained message of a topic."""
    if not has_paho():
        return skip("shared", "paho is not there")
    with Scene() as scene:
        broker = Broker(scene)
        sub = ["mosquitto_sub", "-V", "5", "-p", str(broker.port), "-q", "1", "-d", "-t"]
        consumers = [broker.consumer([*sub, "$share/workers/t/+"], "worker")
                     for _ in range(2)]
        broker.run(broker.app("publish", 5, 1, 40))
        spans = scene.wait_spans(120)
        equal(collections.Counter(span.attributes.get("messaging.consumer.group.name")
                                  for span in by(spans, "process")), {"workers": 40}, "the group")
        equal(strangers(spans), [], "each under its own sending")
        for process in consumers:
            scene.stop(process)
        broker.run(["mosquitto_pub", "-V", "5", "-p", str(broker.port), "-t", "kept", "-m", "x", "-r"])
        broker.run([*sub, "kept", "-C", "1"], "late")
        spans = scene.wait_spans(122, timeout=10)
        late, = [span for span in by(spans, "process") if span.service == "late"]
        made, = [span for span in by(spans, "publish") if topic(span) == "kept"]
        equal((late.parent, late.attributes.get("messaging.consumer.group.name")), (made.id, None),
              "who comes later gets what was kept, under its own sending")


# --- what breaks ---------------------------------------------------------------------------------


def kept_of(scene, broker, count, service, traced):
    """What a broker has kept: topic, payload, properties but for ours."""
    done = broker.run(["mosquitto_sub", "-V", "5", "-p", str(broker.port), "-q", "1", "-t", "t/+",
                       "-C", str(count), "-F", "%t %x %P"], service, traced)
    return sorted(OURS.sub("", line).strip() for line in done.stdout.decode().splitlines())


def after_breaks(breaks, least, settings=""):
    """Each message is sent until it is acknowledged; breaks(scene, broker) gives the port to use and
    what to call when the publisher runs; at least so many are then without an acknowledgement."""
    kept, count = [], 60
    for traced in (False, True):
        with Scene() as scene:
            broker = Broker(scene, settings % {"home": scene.directory})
            port, meanwhile = breaks(scene, broker)
            command = [PYTHON, APP, "resume", str(port), "5", "1", str(count)]
            publisher = scene.start(command, "publish", traced)
            meanwhile(publisher)
            ends_well(scene, publisher, "the publisher")
            kept.append(kept_of(scene, broker, count, "consume", traced))
            if not traced:
                continue
            spans = scene.wait_spans(3 * count)
            equal(strangers(spans), [], "each is under a sending of its own")
            errors = [span for span in by(spans, "publish") if "error.type" in span.attributes]
            check(least <= len(errors) <= 3, "what was not acknowledged is an error",
                  [span.attributes for span in errors])
            equal({topic(span) for span in by(spans, "publish")},
                  {"t/%d" % number for number in range(count)}, "all are told")
    check(kept[0] == kept[1] and len(kept[0]) == count, "the broker has what it has without us")


def test_cut():
    """The connection is cut in the middle of a packet."""
    if not has_paho():
        return skip("cut", "paho is not there")

    def breaks(scene, broker):
        cutter = Cutter([(b"t/12", 0), (b"t/29", 0)], target=broker.port)
        scene.servers.append(cutter)
        return cutter.port, lambda publisher: None
    after_breaks(breaks, 1)


def test_restart():
    """The broker is stopped, and started again."""
    if not has_paho():
        return skip("restart", "paho is not there")

    def breaks(scene, broker):
        def meanwhile(publisher):
            wait_until(lambda: b"\n30\n" in scene.stdout(publisher))
            scene.stop(broker.process, signal.SIGTERM)
            broker.start()
        return broker.port, meanwhile
    after_breaks(breaks, 0, "persistence true\npersistence_location %(home)s/\nretain_available true\n")


def test_server():
    """The broker itself under the library: what it reads and sends is none of its spans."""
    with Scene() as scene:
        broker = Broker(scene, traced=True)
        broker.run(by_hand(broker, "many"))
        equal({span.service for span in scene.wait_spans(300)}, {"publish"}, "only the client's")


if __name__ == "__main__":
    main(globals(), ["mosquitto", "mosquitto_sub", "mosquitto_pub"])
