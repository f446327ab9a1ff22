# SPDX-License-Identifier: Apache-2.0
"""W3C Trace Context, levels 1 and 2: what a service that knows nothing of it must send on when it
runs under the library. A row is one request; the checks look only at what reaches the callback."""
import json
import re
import socket

from harness import RawServer, Scene, check, main, read_head, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = "00-%s-%s-01" % (TRACE, PARENT)
NEW, SAME = "a new trace", "the same trace"
NONE = ""  # no tracestate may arrive


def parent(value, name="traceparent"):
    return [(name, value)]


def states(*values, name="tracestate"):
    return parent(GOOD) + [(name, value) for value in values]


MEMBERS = ["k%02d=%d" % (number, number) for number in range(33)]
LONG_KEY = "t" * 256

# (what is sent, its headers, which trace, tracestate expected: None = not looked at)
CASES = [
    ("neither header", [], NEW, NONE),
    ("traceparent alone", parent(GOOD), SAME, NONE),
    ("traceparent twice, different", parent(GOOD) + parent(GOOD.replace("4bf9", "5bf9")), NEW, None),
    ("name with a hyphen", parent(GOOD, "trace-parent"), NEW, None),
    ("name with a dot", parent(GOOD, "trace.parent"), NEW, None),
    ("name TraceParent", parent(GOOD, "TraceParent"), SAME, None),
    ("name TrAcEpArEnT", parent(GOOD, "TrAcEpArEnT"), SAME, None),
    ("name TRACEPARENT", parent(GOOD, "TRACEPARENT"), SAME, None),
    ("version 00 with something behind", parent(GOOD + "."), NEW, None),
    ("version 00 with another field", parent(GOOD + "-what-the-future-will-be-like"), NEW, None),
    ("version cc alone", parent("cc" + GOOD[2:]), SAME, None),
    ("version cc with another field", parent("cc" + GOOD[2:] + "-what-the-future"), SAME, None),
    ("version cc with junk behind", parent("cc" + GOOD[2:] + ".what-the-future"), NEW, None),
    ("version ff", parent("ff" + GOOD[2:]), NEW, None),
    ("version .0", parent(".0" + GOOD[2:]), NEW, None),
    ("version 0.", parent("0." + GOOD[2:]), NEW, None),
    ("version too long", parent("000" + GOOD[2:]), NEW, None),
    ("version too long, zeros", parent("0000" + GOOD[2:]), NEW, None),
    ("version too short", parent("0" + GOOD[2:]), NEW, None),
    ("trace id of zeros", parent(GOOD.replace(TRACE, "0" * 32)), NEW, None),
    ("trace id with a dot", parent(GOOD.replace(TRACE, "." + TRACE[1:])), NEW, None),
    ("trace id in capitals", parent(GOOD.replace(TRACE, TRACE.upper())), NEW, None),
    ("trace id too long", parent(GOOD.replace(TRACE, TRACE + "0")), NEW, None),
    ("trace id too short", parent(GOOD.replace(TRACE, TRACE[1:])), NEW, None),
    ("parent id of zeros", parent(GOOD.replace(PARENT, "0" * 16)), NEW, None),
    ("parent id with a dot", parent(GOOD.replace(PARENT, "." + PARENT[1:])), NEW, None),
    ("parent id too long", parent(GOOD.replace(PARENT, PARENT + "0")), NEW, None),
    ("parent id too short", parent(GOOD.replace(PARENT, PARENT[1:])), NEW, None),
    ("flags .0", parent(GOOD[:-2] + ".0"), NEW, None),
    ("flags 0.", parent(GOOD[:-2] + "0."), NEW, None),
    ("flags too long", parent(GOOD + "1"), NEW, None),
    ("flags too short", parent(GOOD[:-1]), NEW, None),
    ("space before", parent(" " + GOOD), SAME, None),
    ("tab before", parent("\t" + GOOD), SAME, None),
    ("space behind", parent(GOOD + " "), SAME, None),
    ("tab behind", parent(GOOD + "\t"), SAME, None),
    ("tabs and spaces around", parent("\t " + GOOD + " \t"), SAME, None),
    ("tracestate without traceparent", [("tracestate", "foo=1")], NEW, NONE),
    ("tracestate with a broken traceparent", parent("nonsense") + [("tracestate", "foo=1")], NEW,
     NONE),
    ("two members", states("foo=1,bar=2"), SAME, "foo=1,bar=2"),
    ("name with a hyphen: tracestate", states("foo=1", name="trace-state"), SAME, NONE),
    ("name with a dot: tracestate", states("foo=1", name="trace.state"), SAME, NONE),
    ("name TraceState", states("foo=1", name="TraceState"), SAME, "foo=1"),
    ("name TrAcEsTaTe", states("foo=1", name="TrAcEsTaTe"), SAME, "foo=1"),
    ("name TRACESTATE", states("foo=1", name="TRACESTATE"), SAME, "foo=1"),
    ("an empty tracestate", states(""), SAME, NONE),
    ("an empty one before", states("", "foo=1"), SAME, "foo=1"),
    ("an empty one behind", states("foo=1", ""), SAME, "foo=1"),
    ("several headers keep their order", states("foo=1,bar=2", "rojo=1,congo=2", "baz=3"), SAME,
     "foo=1,bar=2,rojo=1,congo=2,baz=3"),
    ("all characters of keys and values", states("a0_-*/z=" + "".join(
        chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",=")), SAME, "a0_-*/z=" + "".join(
            chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",=")),
    ("a key that begins with a digit", states("0f@vendor=1"), SAME, "0f@vendor=1"),
    ("spaces and tabs around members", states("foo=1 \t , \t bar=2, \t baz=3"), SAME,
     "foo=1,bar=2,baz=3"),
    ("spaces and tabs around the list", states("\t foo=1,bar=2 \t"), SAME, "foo=1,bar=2"),
    ("a key with a space", states("foo =1"), SAME, NONE),
    ("a key in capitals", states("FOO=1"), SAME, NONE),
    ("a key with a dot", states("foo.bar=1"), SAME, NONE),
    ("a key that ends with @", states("foo@=1,bar=2"), SAME, "foo@=1,bar=2"),
    ("a key with two @", states("foo@@bar=1,bar=2"), SAME, "foo@@bar=1,bar=2"),
    ("a key with @ and @", states("foo@bar@baz=1,bar=2"), SAME, "foo@bar@baz=1,bar=2"),
    ("a key that begins with @", states("@foo=1,bar=2"), SAME, NONE),
    ("32 members", states(",".join(MEMBERS[:32])), SAME, ",".join(MEMBERS[:32])),
    ("32 members in two headers", states(",".join(MEMBERS[:16]), ",".join(MEMBERS[16:32])), SAME,
     ",".join(MEMBERS[:32])),
    ("33 members", states(",".join(MEMBERS)), SAME, NONE),
    ("a key of 256", states("foo=1,%s=1" % LONG_KEY), SAME, "foo=1,%s=1" % LONG_KEY),
    ("a key of 257", states("foo=1,%s=1" % (LONG_KEY + "t")), SAME, NONE),
    ("a vendor key of 241 and 14", states("%s@%s=1" % ("t" * 241, "v" * 14)), SAME,
     "%s@%s=1" % ("t" * 241, "v" * 14)),
    ("a value with =", states("foo=bar=baz"), SAME, NONE),
    ("an empty value", states("foo=,bar=3"), SAME, NONE),
]

DUPLICATES = [
    ("the same key, same value", "foo=1,foo=1"), ("the same key, other value", "foo=1,foo=2"),
    ("the same key in two headers", ("foo=1", "foo=1")),
]

FLAGS = [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fc", "00"), ("ff", "03")]
FORMAT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


class Callback:
    """Records the heads of the requests that the service makes."""

    def __init__(self, scene):
        self.heads = []
        self.server = RawServer(scene, self.serve)

    def serve(self, connection):
        data = read_head(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = [line.split(":", 1) for line in head.decode("latin-1").split("\r\n")[1:]]
        fields = [(name.lower(), value.strip(" \t")) for name, value in lines]
        wanted = int(dict(fields).get("content-length", 0))
        chunked = dict(fields).get("transfer-encoding") == "chunked"
        while len(body) < wanted or (chunked and not body.endswith(b"0\r\n\r\n")):
            body += connection.recv(65536)
        self.heads.append(fields)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def ask(service, callback, headers, calls=1):
    """One request with exactly these header lines; answers the heads of the calls it caused."""
    callback.heads.clear()
    body = json.dumps([{"url": "http://127.0.0.1:%d/%d" % (callback.server.port, number),
                        "arguments": []} for number in range(calls)]).encode()
    lines = "".join("%s: %s\r\n" % header for header in headers)
    head = "POST /test HTTP/1.1\r\nHost: test\r\n%sContent-Type: application/json\r\n" \
        "Content-Length: %d\r\nConnection: close\r\n\r\n" % (lines, len(body))
    with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer[:7] == b"HTTP/1." and answer[8:12] == b" 200", answer[:300]
    wait_until(lambda: len(callback.heads) == calls)
    return list(callback.heads)


def context_of(head):
    """(traceparents, tracestate) of a head."""
    return ([value for name, value in head if name == "traceparent"],
            ",".join(value for name, value in head if name == "tracestate" and value))


def check_case(label, heads, which, state):
    parents, arrived = context_of(heads[0])
    if len(parents) != 1 or not FORMAT.match(parents[0]):
        return check(False, label, "traceparents: %s" % parents)
    _, trace, span, _ = parents[0].split("-")
    right = (trace == TRACE) == (which == SAME) and span != PARENT
    if state is not None:
        right = right and arrived == state
    return check(right, "%s: %s" % (label, which), "sent on: %s, tracestate %r, wanted %r" % (
        parents[0], arrived, state))


def check_duplicates(kind, service, callback):
    for label, values in DUPLICATES:
        values = values if isinstance(values, tuple) else (values,)
        parents, arrived = context_of(ask(service, callback, states(*values))[0])
        allowed = {",".join(values), "foo=1", "foo=2"}
        check(TRACE in parents[0] and arrived in allowed,
              "%s: %s: kept, or one of them" % (kind, label), arrived)


def check_several_calls(kind, service, callback):
    for label, headers, which in (("with a context", parent(GOOD), SAME), ("without", [], NEW),
                                  ("with a broken one", parent("00-x"), NEW)):
        heads = ask(service, callback, headers, 3)
        sent = [context_of(head)[0] for head in heads]
        ids = [value.split("-") for values in sent for value in values]
        check(len(ids) == 3 and len({each[1] for each in ids}) == 1 and
              len({each[2] for each in ids} | {PARENT}) == 4 and
              (ids[0][1] == TRACE) == (which == SAME),
              "%s: three calls, %s: one trace, three parents" % (kind, label), sent)


def check_flags(kind, service, callback):
    for incoming, outgoing in FLAGS:
        parents, _ = context_of(ask(service, callback, parent(GOOD[:-2] + incoming))[0])
        check(len(parents) == 1 and parents[0].startswith("00-" + TRACE) and
              parents[0].endswith("-" + outgoing),
              "%s: flags %s go on as %s" % (kind, incoming, outgoing), parents)
    parents, _ = context_of(ask(service, callback, [])[0])
    check(parents[0].endswith("-03"), kind + ": a trace that we begin is sampled and random", parents)


def conformance(kind, start):
    with Scene(OTEL_TRACES_EXPORTER="none") as scene:
        service, callback = start(scene), Callback(scene)
        for label, headers, which, state in CASES:
            check_case("%s: %s" % (kind, label), ask(service, callback, headers), which, state)
        check_duplicates(kind, service, callback)
        check_several_calls(kind, service, callback)
        check_flags(kind, service, callback)
        check(scene.spans() == [] and scene.rings_left() == [], kind + ": nothing is recorded")


def test_python():
    conformance("python", lambda scene: scene.service())


def test_python_http10():
    conformance("python, HTTP/1.0 answers", lambda scene: scene.service(arguments=("--http10",)))


def test_node():
    conformance("node", lambda scene: scene.node())


if __name__ == "__main__":
    main(globals(), ("node",))
