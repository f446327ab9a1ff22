# SPDX-License-Identifier: Apache-2.0
"""Messages by STOMP through RabbitMQ: each consumer's span hangs under the span that sent its own
message, bodies are as they were sent, and who is not traced sees a header and nothing else."""
import collections
import json
import os
import re

from harness import (APPS, LIBRARY, PYTHON, VICTIMS, Scene, check, equal, free_port, is_listening,
                     main, skip, wait_until)
from rabbit import SERVER, Rabbit

APP = os.path.join(APPS, "stomp_app.py")
COUNT = int(os.environ.get("STOMP_MESSAGES", "100"))
PATIENCE = 60 + COUNT // 20  # seconds
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-([0-9a-f]{16})-03$")


class Broker(Rabbit):
    def __init__(self, scene):
        self.stomp = free_port()
        super().__init__(scene, ["rabbitmq_stomp"],
                         "stomp.listeners.tcp.1 = 127.0.0.1:%d\n" % self.stomp)
        wait_until(lambda: is_listening(self.stomp), 60)

    def app(self, mode, *arguments):
        return [PYTHON, APP, mode, str(self.stomp), *map(str, arguments)]

    def consumer(self, *arguments, traced=True):
        process = self.scene.start(self.app("consume", *arguments), "consume", traced)
        wait_until(lambda: b"ready\n" in self.scene.stdout(process) or process.poll() is not None)
        return process

    def run(self, mode, *arguments, **more):
        done = self.scene.run(self.app(mode, *arguments), mode, timeout=60 + PATIENCE, **more)
        check(done.returncode == 0, mode + " runs", done.stdout[-300:] + done.stderr[-2000:])
        return lines_of(done.stdout)


def lines_of(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def ends_well(scene, process, what):
    check(wait_until(lambda: process.poll() is not None, PATIENCE) is not None and
          process.returncode == 0, what + " ends well", scene.stderr(process)[-2000:])


def clear(scene):
    for name in os.listdir(scene.store):
        os.unlink(os.path.join(scene.store, name))


def strip(lines):
    return sorted(json.dumps({**line, "headers": {name: value for name, value in
                                                  line["headers"].items() if name != "traceparent"}})
                  for line in lines)


def through(scene, broker, version, acks, back):
    what = "STOMP %s, %s" % (version, acks)
    topic = "/topic/%s.%s" % (version.replace(".", "-"), acks)
    url = "http://127.0.0.1:%d/echo" % back.port
    traced = broker.consumer(version, topic, COUNT, acks, url)
    bare = broker.consumer(version, topic, COUNT, "auto", traced=False)
    sent = broker.run("publish", version, topic, COUNT)
    ends_well(scene, traced, what + ": the consumer")
    ends_well(scene, bare, what + ": the one that is not traced")
    refused = COUNT // 5 if acks == "client-individual" else 0
    settled = COUNT + refused if acks != "auto" else 0
    spans = scene.wait_spans(3 * COUNT + 2 * refused + settled, timeout=PATIENCE)
    counted = collections.Counter((span.kind, span.attributes["messaging.operation.name"])
                                  for span in spans if "messaging.system" in span.attributes)
    equal(counted, collections.Counter({("PRODUCER", "send"): COUNT, ("CONSUMER", "process"): COUNT +
                                        refused, ("CLIENT", "ack"): settled - refused,
                                        ("CLIENT", "nack"): refused}), what + ": spans of each")
    seen = lines_of(scene.stdout(bare))
    equal(strip(seen), strip(sent), what + ": bit for bit what was sent")
    equal(strip(lines_of(scene.stdout(traced))), strip(sent), what + ": and so for who is traced")
    ours = {TRACEPARENT.match(line["headers"].get("traceparent", "")) for line in seen}
    published = {span.id: span for span in by(spans, "send")}
    equal({match and match.group(1) for match in ours}, set(published),
          what + ": the headers are the senders' spans")
    number = {match.group(1): line["number"] for line in seen
              for match in [TRACEPARENT.match(line["headers"]["traceparent"])]}
    worked = {span.id: span for span in by(spans, "process")}
    equal([span.name for span in worked.values() if span.parent not in published or
           span.trace != published[span.parent].trace], [], what + ": each under a sending")
    equal(collections.Counter(number[span.parent] for span in worked.values()),
          collections.Counter(list(range(COUNT)) + [5 * i for i in range(refused)]),
          what + ": each under its own")
    calls = [span for span in spans if "url.full" in span.attributes]
    equal(len(calls), COUNT + refused, what + ": a call for each")
    equal([span.name for span in calls if span.parent and
           str(number[worked[span.parent].parent]) != span.attributes["url.full"].split("/")[-1]], [],
          what + ": no call under another message")
    roots = sum(not span.parent for span in calls)
    print("# %s: %d of %d calls are roots" % (what, roots, len(calls)))
    clear(scene)


def test_messages(scene, broker):
    back = scene.service("back", traced=False)
    for version, acks in (("1.2", "auto"), ("1.2", "client"), ("1.2", "client-individual"),
                          ("1.1", "client-individual"), ("1.1", "client"), ("1.0", "auto")):
        through(scene, broker, version, acks, back)


def test_adopted(scene, broker):
    consumer = broker.consumer("1.2", "/topic/adopted", 1, "auto")
    broker.run("adopt", "1.2", "/topic/adopted", OWN)
    ends_well(scene, consumer, "the consumer")
    got, = lines_of(scene.stdout(consumer))
    equal(got["headers"], {"x-number": "0", "traceparent": OWN, "tracestate": "own=1:2"},
          "a context of the program's own goes as it is")
    spans = scene.wait_spans(2)
    sent, worked = by(spans, "send")[0], by(spans, "process")[0]
    equal((worked.trace, worked.parent, sent.kind, worked.state), (OWN[3:35], OWN[36:52], "CLIENT",
                                                                   "own=1:2"),
          "and is the consumer's parent")
    clear(scene)


def test_late(scene, broker):
    """A receipt comes to one thread before the other is back from sending."""
    late = LIBRARY + ":" + os.path.join(VICTIMS, "late.so")
    broker.run("publish", "1.2", "/queue/late", 10, LD_PRELOAD=late)
    broker.run("adopt", "1.2", "/queue/late", OWN, LD_PRELOAD=late)
    spans = scene.wait_spans(11)
    equal(len(by(spans, "send")), 11, "each that is answered before it is sent has its span")
    clear(scene)


BY_HAND = r"""
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def until(end):
    got = b""
    while end not in got:
        got += s.recv(65536)
    return got
eol = sys.argv[2].encode().decode("unicode_escape").encode()
def frame(command, *lines, body=b""):
    return eol.join([command, *lines, b"", b""]) + body + b"\0"
def receipt(*frames):
    for one in frames:
        s.sendall(one)
    s.sendall(frame(b"BEGIN", b"transaction:t", b"receipt:done") + frame(b"ABORT", b"transaction:t"))
    until(b"receipt-id:done\n\n\0")
s.sendall(frame(b"CONNECT", b"accept-version:1.2", b"login:guest", b"passcode:guest", b"heart-beat:0,0"))
until(b"\0")
s.sendall(b"\n\n")
whole = frame(b"SEND", b"destination:/queue/hand", body=b"abc")
for cut in range(1, len(whole)):
    receipt(whole[:cut], whole[cut:])
receipt(*(whole[i:i + 1] for i in range(len(whole))))
receipt(whole * 200)
receipt(frame(b"SEND", b"destination:/queue/hand", b"content-length:3", body=b"a\0c"))
s.sendall(frame(b"BEGIN", b"transaction:1"))
receipt(frame(b"SEND", b"destination:/queue/hand", b"transaction:1", body=b"in"), frame(b"COMMIT", b"transaction:1"))
s.sendall(frame(b"NONE", b"a:b"))
print(until(b"\0").split(b"\n")[0])
"""


def test_hand(scene, broker):
    # one for each place where a frame can be cut, one byte by byte, 200 at once, two more
    for eol, count in ("\\n", 33 + 203), ("\\r\\n", 36 + 203):
        scene.as_bare([PYTHON, "-c", BY_HAND, str(broker.stomp), eol], "by hand, " + eol, spans=count)
        spans = by(scene.spans(), "send")
        equal({span.name for span in spans}, {"send /queue/hand"}, "each by its name")
        clear(scene)


def scope():
    """Each test with one broker: it takes its time to start."""
    def test_all():
        if not os.path.exists("/usr/lib/python3/dist-packages/stomp"):
            return skip("stomp", "python3-stomp is not installed")
        with Scene() as scene:
            broker = Broker(scene)
            for test in (test_messages, test_adopted, test_late, test_hand):
                test(scene, broker)
    return {"test_all": test_all}


if __name__ == "__main__":
    main(scope(), needs=[SERVER])
