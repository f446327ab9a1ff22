# SPDX-License-Identifier: Apache-2.0
"""Messages through nats-server: each consumer's span hangs under the span that published its own
message, payloads are as they were sent, and who is not traced sees a header and nothing else."""
import collections
import json
import os
import re
import socket

from harness import APPS, BUILD, Scene, check, equal, free_port, get, main, skip, wait_until
from tls_scene import certify

PYTHON = os.path.join(BUILD, ".venv/bin/python")
APP = os.path.join(APPS, "nats_py.py")
CLIENT = os.path.join(BUILD, "tests/e2e/nats_client")
COUNT = int(os.environ.get("NATS_MESSAGES", "1500"))
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-03$")


def has_client():
    probe = os.path.join(BUILD, ".venv/lib")
    return any("nats" in names for _, names, _ in os.walk(probe) if "nats" in names)


class Server:
    def __init__(self, scene, settings="", traced=False):
        self.scene, self.port = scene, free_port()
        config = scene.write("nats.conf", """
listen: "127.0.0.1:%d"
trace: true
debug: true
%s""" % (self.port, settings))
        self.process = scene.start(["nats-server", "-c", config], "nats", traced, self.port)

    def app(self, mode, *arguments):
        return [PYTHON, APP, mode, str(self.port), *map(str, arguments)]

    def start(self, mode, *arguments, service=None, traced=True):
        """A program that says when it is ready."""
        process = self.scene.start(self.app(mode, *arguments), service or mode, traced)
        wait_until(lambda: b"ready\n" in self.scene.stdout(process) or process.poll() is not None)
        return process

    def run(self, mode, *arguments, traced=True, **more):
        done = self.scene.run(self.app(mode, *arguments), mode, traced, timeout=120, **more)
        check(done.returncode == 0, "%s runs" % mode, done.stdout[-500:] + done.stderr[-2000:])
        return done

    def log(self):
        return self.scene.stderr(self.process).decode("latin-1")


def lines_of(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def subject(span):
    return span.attributes.get("messaging.destination.name")


def ends_well(scene, process, what):
    check(wait_until(lambda: process.poll() is not None, 60) is not None and
          process.returncode == 0, what + " ends well", scene.stderr(process)[-2000:])


def test_messages():
    if not has_client():
        return skip("messages", "nats-py is not there")
    with Scene() as scene:
        server = Server(scene)
        traced = server.start("consume", COUNT, "workers", service="traced")
        bare = server.start("consume", COUNT, service="bare", traced=False)
        sent = lines_of(server.run("publish", COUNT).stdout)
        for process, what in ((traced, "the consumer"), (bare, "the one that is not traced")):
            ends_well(scene, process, what)
        spans = scene.wait_spans(2 * COUNT, timeout=60)
        published, processed = by(spans, "publish"), by(spans, "process")
        equal((len(published), len(processed)), (COUNT, COUNT), "a span for each message, twice")
        parents = {subject(span): span for span in published}
        wrong = [(span.name, span.parent) for span in processed
                 if (span.parent, span.trace) != (parents[subject(span)].id,
                                                  parents[subject(span)].trace)]
        equal(wrong[:5], [], "each message's span is under the one that published it")
        equal({(span.kind, span.attributes.get("messaging.consumer.group.name")) for span in spans},
              {("PRODUCER", None), ("CONSUMER", "workers")}, "kinds, and the queue group")
        seen = lines_of(scene.stdout(bare))
        strip = lambda line: {**line, "headers": {name: value for name, value in
                                                  line["headers"].items() if name != "traceparent"}}
        check([strip(line) for line in seen] == sent, "bit for bit what was sent, in its order")
        check([strip(line) for line in lines_of(scene.stdout(traced))] == sent,
              "and so for the consumer that is traced")
        odd = [line for line in seen if not TRACEPARENT.match(line["headers"].get("traceparent", ""))
               or line["headers"]["traceparent"][36:52] != parents[line["subject"]].id]
        equal(odd[:3], [], "the header is the publisher's span")
        check("-ERR" not in server.log() and "parser" not in server.log().lower(),
              "the server complains of nothing")


def test_bare():
    """What a program gets and says is what it is without the library."""
    if not has_client():
        return skip("bare", "nats-py is not there")
    with Scene() as scene:
        server = Server(scene)
        scene.as_bare(server.app("publish", 200), "publisher", spans=200)


def test_adopted():
    if not has_client():
        return skip("adopted", "nats-py is not there")
    with Scene() as scene:
        server = Server(scene)
        consumer = server.start("consume", 1)
        server.run("adopt", OWN)
        ends_well(scene, consumer, "the consumer")
        got, = lines_of(scene.stdout(consumer))
        equal(got["headers"], {"traceparent": OWN, "tracestate": "own=1"},
              "a context of the program's own goes as it is")
        spans = scene.wait_spans(2)
        sent, = by(spans, "publish")
        processed, = by(spans, "process")
        equal((processed.trace, processed.parent), (OWN[3:35], OWN[36:52]),
              "and is the consumer's parent")
        equal(sent.kind, "CLIENT", "the sending is not what made the message")


def test_old_server():
    """A server without headers gets none."""
    if not has_client():
        return skip("old server", "nats-py is not there")
    with Scene() as scene:
        server = Server(scene, "no_header_support: true")
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            told = client.recv(4096)
        check(b'"headers":true' not in told, "the server says that it has no headers", told)
        consumer = server.start("consume", 1)
        program = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.recv(4096)
s.sendall(b'CONNECT {"headers":true}\\r\\nPUB t.0 5\\r\\nhello\\r\\nPING\\r\\n')
got = b""
while not got.endswith(b"PONG\\r\\n"):
    got += s.recv(4096)
assert b"-ERR" not in got
"""
        done = scene.run([PYTHON, "-c", program, str(server.port)], "publish")
        check(done.returncode == 0, "publishes", done.stderr[-600:])
        ends_well(scene, consumer, "the consumer")
        got, = lines_of(scene.stdout(consumer))
        equal((got["length"], got["headers"]), (5, {}), "no header arrives")
        spans = scene.wait_spans(2)
        equal(sorted(span.name for span in spans), ["process t.0", "publish t.0"], "both are told")
        check("HPUB" not in server.log(), "and no HPUB is sent")


def test_stream():
    """JetStream: pulled, and acknowledged in four ways."""
    if not has_client():
        return skip("stream", "nats-py is not there")
    with Scene() as scene:
        count = 40
        server = Server(scene, 'jetstream: { store_dir: "%s" }' % scene.path("js"))
        done = server.run("stream", count)
        equal(done.stdout, b"seen %d\n" % count, "each message came")
        quarter = count // 4
        spans = scene.wait_spans(count + 2 * (count + quarter))
        published, processed = by(spans, "publish"), by(spans, "process")
        own = {subject(span): span for span in published}
        equal(len(published), count, "requests and acknowledgements are no messages")
        equal(collections.Counter(span.attributes["messaging.operation.name"] for span in spans),
              {"publish": count, "process": count + quarter, "ack": 3 * quarter, "nak": quarter,
               "term": quarter}, "each delivery is settled, in its way")
        equal([span.name for span in processed if span.parent != own[subject(span)].id], [],
              "each delivery is under its own message")
        deliveries = {span.id: span for span in processed}
        settled = [span for span in spans if span.attributes["messaging.operation.type"] == "settle"]
        check(all(span.parent in deliveries and subject(span) == subject(deliveries[span.parent])
                  for span in settled), "each settling is under its delivery",
              [(span.name, span.parent) for span in settled][:5])
        equal({span.attributes.get("error.type") for span in processed}, {None, "nak", "term"},
              "refusals are errors")


def test_push():
    if not has_client():
        return skip("push", "nats-py is not there")
    for policy, settled in (("explicit", 30), ("none", 0)):
        with Scene() as scene:
            server = Server(scene, 'jetstream: { store_dir: "%s" }' % scene.path("js"))
            server.run("push", 30, policy)
            spans = scene.wait_spans(60 + settled)
            equal(collections.Counter(span.attributes["messaging.operation.name"] for span in spans),
                  {"publish": 30, "process": 30, **({"ack": settled} if settled else {})},
                  "pushed, acknowledgements: " + policy)
            own = {subject(span): span.id for span in by(spans, "publish")}
            equal([span.name for span in by(spans, "process") if span.parent != own[subject(span)]],
                  [], "under its own message: " + policy)
            ends = sorted(span.end for span in by(spans, "process"))
            if policy == "none":
                check(ends[-1] - ends[-2] > 400_000_000,
                      "ended when the program asked for more, not with the connection")


def test_answers():
    """An answer is sent as a message, but its coming is no work to be done."""
    if not has_client():
        return skip("answers", "nats-py is not there")
    with Scene() as scene:
        server = Server(scene)
        server.start("answer")
        done = server.run("ask", 20)
        equal(done.stdout, b"nobody\n", "answered, and told that nobody is there")
        spans = scene.wait_spans(61)
        asked = [span for span in by(spans, "publish") if span.service == "ask"]
        worked = by(spans, "process")
        answered = [span for span in by(spans, "publish") if span.service == "answer"]
        equal((len(asked), len(worked), len(answered)), (21, 20, 20), "asked, worked on, answered")
        equal({span.parent for span in asked}, {""}, "no question is under an answer")
        check({span.parent for span in worked} < {span.id for span in asked},
              "the work is under the question")
        equal({span.name for span in answered}, {"publish 127.0.0.1"},
              "an inbox is no name")
        equal(sum(span.attributes.get("messaging.consumer.group.name") == "servers"
                  for span in worked), 20, "the group of those who answer")


def test_forward():
    """What an event loop's program does for a message, calls and sends, is under it or a root."""
    if not has_client():
        return skip("forward", "nats-py is not there")
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        forwarder = server.start("forward", "http://127.0.0.1:%d/echo" % back.port)
        done = scene.run(by_hand(server, "each"), traced=False)
        check(done.returncode == 0, "published, one after the other", done.stderr[-500:])
        ends_well(scene, forwarder, "the forwarder")
        spans = scene.wait_spans(60 * 3 + 1)
        processed = {span.id: span for span in by(spans, "process")}
        sent = [span for span in by(spans, "publish") if span.service == "forward"]
        calls = [span for span in spans if span.service == "forward" and span.kind == "CLIENT"]
        equal((len(sent), len(calls)), (60, 60), "each is forwarded, after a call")
        equal([span.name for span in sent if span.parent and
               subject(processed[span.parent])[2:] != subject(span)[2:]], [],
              "no message is forwarded under another")
        under = [sum(span.parent in processed for span in what) for what in (sent, calls)]
        check(min(under) >= 50, "and most are under their own", under)
        equal(len({span.parent for span in calls if span.parent}),
              sum(bool(span.parent) for span in calls), "no two calls are under one message")


# --- libnats, which reads on a thread of its own ---------------------------------------------------


def of_library(scene, server, scheme="nats", count=400):
    """A publisher, a consumer, and one that is not traced: their lines, and all spans."""
    url = "%s://127.0.0.1:%d" % (scheme, server.port)
    consumers = [scene.start([CLIENT, "consume", url, str(count)], name, name != "bare")
                 for name in ("consume", "bare")]
    for process in consumers:
        wait_until(lambda: b"ready\n" in scene.stdout(process) or process.poll() is not None)
    done = scene.run([CLIENT, "publish", url, str(count)], "publish")
    check(done.returncode == 0, "%s: publishes" % scheme, done.stderr[-1000:])
    for process in consumers:
        ends_well(scene, process, scheme + ": a consumer")
    return [[line.split() for line in scene.stdout(process).decode().splitlines()[1:]]
            for process in consumers], scene.wait_spans(2 * count)


def check_lines(lines, count, what):
    """Subject, length, bytes that are as they were, headers. Answers those without a context: the
    library cuts what it has gathered into buffers, and a head may lie in two of them."""
    sent = [["t.%d" % i, str(i * 37 % 5000), str(i * 37 % 5000)] +
            ["X-Number=t.%d" % i] * (i % 3 == 0) for i in range(count)]
    got = [[word for word in line if not word.startswith("traceparent=")] for line in lines]
    check([sorted(line) for line in got] == [sorted(line) for line in sent],
          what + ": bit for bit what was sent")
    without = {line[0] for line in lines
               if not any(word.startswith("traceparent=") for word in line)}
    check(len(without) <= count // 50, what + ": all but those cut have a context", without)
    return without


def check_parents(spans, count, what):
    own = {subject(span): (span.id, span.trace) for span in by(spans, "publish")}
    equal((len(own), len(by(spans, "process"))), (count, count), what + ": each message, twice")
    roots = {subject(span) for span in by(spans, "process") if span.parent == ""}
    equal([span.name for span in by(spans, "process") if subject(span) not in roots
           and (span.parent, span.trace) != own[subject(span)]], [], what + ": under its own, or none")
    return roots


def test_library():
    if not os.path.exists(CLIENT):
        return skip("library", "libnats is not there")
    with Scene() as scene:
        lines, spans = of_library(scene, Server(scene))
        without = [check_lines(got, 400, what) for got, what in zip(lines, ("traced", "bare"))]
        roots = check_parents(spans, 400, "libnats")
        equal(without, [roots, roots], "libnats: none but those without a context begins a trace")


def test_tls():
    """TLS begins behind the server's first line, and what it said there holds inside."""
    if not os.path.exists(CLIENT):
        return skip("tls", "libnats is not there")
    with Scene() as scene:
        certify(scene)
        server = Server(scene, 'tls: { cert_file: "%s", key_file: "%s" }' % (
            scene.path("cert.pem"), scene.path("key.pem")))
        lines, spans = of_library(scene, server, "tls")
        without = [check_lines(got, 400, what)
                   for got, what in zip(lines, ("traced, inside TLS", "bare, inside TLS"))]
        roots = check_parents(spans, 400, "inside TLS")
        equal(without, [roots, roots], "inside TLS: none but those without one begins a trace")


def test_memory():
    """A session over memory has no socket that is known: what the server said is not, either."""
    if not has_client():
        return skip("memory", "nats-py is not there")
    with Scene(APP_TLS="1") as scene:
        certify(scene)
        server = Server(scene, 'tls: { cert_file: "%s", key_file: "%s" }' % (
            scene.path("cert.pem"), scene.path("key.pem")))
        consumer = server.start("consume", 50)
        sent = lines_of(server.run("publish", 50).stdout)
        ends_well(scene, consumer, "the consumer, inside TLS")
        spans = scene.wait_spans(100)
        check(lines_of(scene.stdout(consumer)) == sent, "what came is what was sent, and no context")
        equal((len(by(spans, "publish")), len(by(spans, "process"))), (50, 50), "all is told")


# --- by hand, to the byte ------------------------------------------------------------------------

BY_HAND = """
import json, select, socket, sys, time, urllib.request
port, what = int(sys.argv[1]), sys.argv[2]
s = socket.create_connection(("127.0.0.1", port))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def until(end):
    got = b""
    while not got.endswith(end):
        got += s.recv(65536)
    return got
info = json.loads(s.recv(65536).split(b" ", 1)[1])
s.sendall(b'CONNECT {"verbose":%s,"headers":true}\\r\\nPING\\r\\n' % (b"true" if what == "verbose" else b"false"))
until(b"PONG\\r\\n")
def publish(*pieces):
    for piece in pieces:
        s.sendall(piece)
    s.sendall(b"PING\\r\\n")
    return until(b"PONG\\r\\n")
if what == "pieces":
    whole = b"PUB t.0 3\\r\\nabc\\r\\n"
    for i in range(1, len(whole)):
        assert publish(whole[:i], whole[i:]) == b"PONG\\r\\n"
    assert publish(*(whole[i:i + 1] for i in range(len(whole)))) == b"PONG\\r\\n"
elif what == "many":
    assert publish(b"".join(b"PUB t.%d 1\\r\\nx\\r\\n" % i for i in range(300))) == b"PONG\\r\\n"
elif what == "limit":
    most = info["max_payload"]
    for length in (most, most - 81, most - 82, most - 83):
        assert publish(b"PUB t.0 %d\\r\\n" % length + b"x" * length + b"\\r\\n") == b"PONG\\r\\n"
    s.sendall(b"PUB t.0 %d\\r\\n" % (most + 1) + b"x" * (most + 1) + b"\\r\\n")
    print(s.recv(4096).decode().strip())
elif what == "each":
    s.sendall(b"SUB u.* 1\\r\\n")
    for i in range(60):
        s.sendall(b"PUB t.%d 1\\r\\nx\\r\\n" % i)
        until(b"\\r\\nx\\r\\n")
    assert publish(b"PUB done 0\\r\\n\\r\\n") == b"PONG\\r\\n"
elif what == "verbose":
    assert publish(b"PUB t.0 1\\r\\nx\\r\\nPUB t.0 1\\r\\ny\\r\\n") == b"+OK\\r\\n+OK\\r\\nPONG\\r\\n"
elif what in ("work", "ahead"):
    s.sendall(b"SUB t.* 1\\r\\nPING\\r\\n")
    until(b"PONG\\r\\n")
    print("ready", flush=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    def message():
        head = b""
        while not head.endswith(b"\\r\\n"):
            head += s.recv(1)
        left = int(head.split()[-1]) + 2
        while left > 0:
            left -= len(s.recv(left))
        return head.split()[1].decode()
    def call(subject):
        opener.open("http://127.0.0.1:%s/echo/%s" % (sys.argv[4], subject)).read()
    before = None
    for _ in range(int(sys.argv[3])):
        subject = message()
        if what == "work" or before:
            call(subject if what == "work" else before)
        before = subject
        while what != "work" and before != "t.29" and not select.select([s], [], [], 0)[0]:
            time.sleep(0.001)
"""


def by_hand(server, what, *arguments):
    return ["/usr/bin/python3", "-c", BY_HAND, str(server.port), what, *map(str, arguments)]


def test_hand():
    with Scene() as scene:
        server = Server(scene)
        for what, messages in (("pieces", 16), ("many", 300), ("verbose", 2)):
            scene.as_bare(by_hand(server, what), what, spans=messages)
        spans = by(scene.spans(), "publish")
        equal(len(spans), 318, "each is told")
        heads = [line for line in server.log().splitlines() if "<<- [HPUB t" in line]
        check(len(heads) >= 302, "each that goes out whole has a context", len(heads))


def test_limit():
    with Scene() as scene:
        server = Server(scene, "max_payload: 100000")
        done = scene.as_bare(by_hand(server, "limit"), "at the limit of payloads", spans=5)
        check(b"Maximum Payload" in done.stdout, "the server's limit is the program's own")
        edited = re.findall(r"<<- \[HPUB t\.0 82 (\d+)\]", server.log())
        equal(edited, ["100000", "99999"], "what has room for it gets a context, to the last byte")


def work(what, calls_known):
    """A call that a consumer makes for a message is under that message's span, or under none."""
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back")
        count = 30
        consumer = scene.start(by_hand(server, what, count, back.port), "consumer")
        wait_until(lambda: b"ready" in scene.stdout(consumer))
        program = BY_HAND.split('if what == "pieces"')[0] + """
for i in range(%d):
    assert publish(b"PUB t.%%d 1\\r\\nx\\r\\n" %% i) == b"PONG\\r\\n"
""" % count
        done = scene.run(["/usr/bin/python3", "-c", program, str(server.port), "none"], "publish")
        check(done.returncode == 0, "published", done.stderr[-500:])
        ends_well(scene, consumer, "the consumer")
        made = count if calls_known else count - 1
        spans = scene.wait_spans(2 * count + 2 * made)
        published = {span.id: span for span in by(spans, "publish")}
        processed = {span.id: span for span in by(spans, "process")}
        calls = [span for span in spans if span.service == "consumer" and span.kind == "CLIENT"]
        equal((len(published), len(processed), len(calls)), (count, count, made), what + ": all told")
        equal(sum(span.parent in processed for span in calls), made if calls_known else 0,
              what + ": so many calls are under a message")
        equal([span.attributes["url.full"] for span in calls if span.parent and
               not span.attributes["url.full"].endswith("/" + subject(processed[span.parent]))], [],
              what + ": each under its own")
        check(all(span.parent in published and subject(span) == subject(published[span.parent])
                  for span in processed.values()), "each of which is under its own sending")


def test_work():
    work("work", True)


def test_ahead():
    """Who looks whether there is more before it works on what it has, as Ruby's client of STOMP."""
    work("ahead", False)


def test_within():
    """What a request asks for is no task of its own: it is told at once, and the calls that follow
    are still the request's."""
    with Scene() as scene:
        server, port, count = Server(scene), free_port(), 30
        app = os.path.join(APPS, "nats_within.py")
        scene.start(["/usr/bin/python3", app, str(port), str(server.port)], "app", port=port)
        for number in range(count):
            get(port, "/within/%d" % number)
        spans = scene.wait_spans(5 * count)  # two requests, a call, a message sent, a message read
        served = {span.id: span.attributes["url.path"] for span in spans if span.kind == "SERVER"}
        calls = [span for span in spans if span.kind == "CLIENT" and "url.full" in span.attributes]
        equal({(served.get(span.parent, "?").rsplit("/")[-1],
                span.attributes["url.full"].rsplit("/")[-1]) for span in calls},
              {(str(n), str(n)) for n in range(count)}, "within a request: its calls stay its own")
        sent = {span.id: subject(span) for span in by(spans, "publish")}
        equal([sent.get(span.parent) == subject(span) for span in by(spans, "process")],
              [True] * count, "and each answer is told while the process lives")


def test_server():
    """The server itself under the library: what it reads and sends is none of its spans."""
    with Scene() as scene:
        server = Server(scene, traced=True)
        done = scene.run(by_hand(server, "many"), "publish")
        check(done.returncode == 0, "publishes", done.stderr[-500:])
        equal({span.service for span in scene.wait_spans(300)}, {"publish"}, "only the client's")


if __name__ == "__main__":
    main(globals(), ["nats-server"])
