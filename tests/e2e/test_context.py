# SPDX-License-Identifier: Apache-2.0
"""Which context goes out and what is recorded: continuing, sampling, propagators, switches, and
contexts that the application itself sends."""
import base64
import json
import os
import socket
import subprocess
from urllib.parse import quote

from harness import (BUILD, LIBRARY, PYTHON, RawServer, Scene, check, equal, get, main, raw, read_head,
                     skip, thread_names)

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = ("00-%s-%s-%s" % (TRACE, PARENT, flags) for flags in ("01", "00"))
PROPAGATED = ("traceparent", "tracestate", "baggage")


class Pair:
    """A traced service and an untraced one behind it that tells which head arrives."""

    def __init__(self, scene, **settings):
        self.scene = scene
        self.back = scene.service("back", traced=False)
        self.front = scene.service("front", **settings)

    def ask(self, headers=None, own=None):
        """What arrives of the context: {name: [values]}."""
        path = "/fetch?url=" + quote("http://127.0.0.1:%d/echo" % self.back.port, safe="")
        if own:
            path += "&header=" + quote(own, safe="")
        status, _, body = get(self.front.port, path, headers)
        assert status == 200, (status, body)
        found = {}
        for name, value in json.loads(body):
            if name.lower() in PROPAGATED:
                found.setdefault(name.lower(), []).append(value)
        return found

    def parts(self, *arguments, **more):
        """The one traceparent that arrives, in its four parts."""
        values = self.ask(*arguments, **more).get("traceparent", [])
        return values[0].split("-") if len(values) == 1 else ["", "", "", str(values)]


def test_continues():
    with Scene() as scene:
        pair = Pair(scene)
        arrived = pair.ask({"traceparent": SAMPLED, "tracestate": "a=1,b=2",
                            "baggage": "user=x;p=1,tenant=%C3%A4"})
        spans = {span.kind: span for span in scene.wait_spans(2)}
        server, client = spans["SERVER"], spans["CLIENT"]
        equal((server.trace, server.parent), (TRACE, PARENT), "the server span continues the trace")
        equal((client.trace, client.parent), (TRACE, server.id), "the client span is its child")
        equal((hex(server.flags), hex(client.flags)), ("0x301", "0x101"),
              "flags: sampled as it came, only the server's parent is remote")
        equal((server.state, client.state), ("a=1,b=2",) * 2, "tracestate is recorded")
        equal(arrived, {"traceparent": ["00-%s-%s-01" % (TRACE, client.id)],
                        "tracestate": ["a=1,b=2"], "baggage": ["user=x;p=1,tenant=%C3%A4"]},
              "the call carries trace, client span, tracestate and baggage")


def test_unsampled():
    with Scene() as scene:
        pair = Pair(scene)
        version, trace, span, flags = pair.parts({"traceparent": UNSAMPLED})
        check(trace == TRACE and span != PARENT and flags == "00",
              "an unsampled trace goes on, unsampled, with an id of our own", (trace, span, flags))
        pair.ask({"traceparent": SAMPLED})
        spans = scene.wait_spans(2)
        equal(sorted(span.kind for span in spans), ["CLIENT", "SERVER"],
              "only the sampled request is exported")


GUARDED = b"GET /%d HTTP/1.1\r\nHost: a\r\n!~: secret\r\n!~FLAGS: C\r\n\r\n"
SENDER = """
import socket, sys
port, heads = int(sys.argv[1]), sys.argv[2:]
with socket.create_connection(("127.0.0.1", port)) as connection:
    for head in heads:
        for piece in head.encode().decode("unicode_escape").encode().split(b"|"):
            connection.sendall(piece)
        connection.recv(65536)
"""


def test_guarded():
    """Passenger's web servers write lines that its agent trusts, and it refuses any other behind them."""
    heads, arrived = [GUARDED % 0], []
    for cut in range(1, len(GUARDED) - 1, 3):
        head = GUARDED % len(heads)
        heads.append(head[:cut] + b"|" + head[cut:])

    def serve(connection):
        while head := read_head(connection):
            arrived.append(head)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with Scene() as scene:
        back = RawServer(scene, serve)
        scene.run([PYTHON, "-c", SENDER, str(back.port), *(
            head.decode().replace("\r\n", "\\r\\n") for head in heads)], "front")
        spans = {span.attributes["url.full"].rpartition("/")[2]: span
                 for span in scene.wait_spans(len(heads))}
        line = b"traceparent: 00-%s-%s-03\r\n"
        wanted = [GUARDED.replace(b"!~:", line % tuple(
            part.encode() for part in (spans[str(i)].trace, spans[str(i)].id)) + b"!~:") % i
            for i in range(len(heads))]
        equal(arrived[0], wanted[0], "the context stands before the lines that are trusted")
        equal([head for i, head in enumerate(arrived) if head not in (GUARDED % i, wanted[i])], [],
              "however the head is cut: there, or nowhere")
        check(any(head == wanted[i] for i, head in enumerate(arrived) if i > 0), "it is there in some")


SAMPLERS = [
    # sampler, argument, incoming, what it becomes
    ("always_on", None, None, True), ("always_on", None, UNSAMPLED, True),
    ("always_off", None, None, False), ("always_off", None, SAMPLED, False),
    ("parentbased_always_on", None, None, True), ("parentbased_always_on", None, UNSAMPLED, False),
    ("parentbased_always_on", None, SAMPLED, True),
    ("parentbased_always_off", None, None, False), ("parentbased_always_off", None, SAMPLED, True),
    ("traceidratio", "1.0", None, True), ("traceidratio", "0", None, False),
    ("traceidratio", "0", SAMPLED, False),
    ("parentbased_traceidratio", "0", None, False), ("parentbased_traceidratio", "0", SAMPLED, True),
    ("parentbased_traceidratio", "1", UNSAMPLED, False), ("nonsense", None, None, True),
    (None, None, None, True),
]


def test_samplers():
    started = {}
    with Scene() as scene:
        back = scene.service("back", traced=False)
        for number, (sampler, argument, incoming, sampled) in enumerate(SAMPLERS):
            label = "%s %s, incoming %s" % (sampler or "by default", argument or "",
                                            incoming[-2:] if incoming else "none")
            if (sampler, argument) not in started:
                settings = {"OTEL_TRACES_SAMPLER": sampler} if sampler else {}
                if argument:
                    settings["OTEL_TRACES_SAMPLER_ARG"] = argument
                started[sampler, argument] = scene.service("sampler%d" % number, **settings)
            front = started[sampler, argument]
            path = "/fetch?url=" + quote("http://127.0.0.1:%d/echo?case=%d" % (back.port, number),
                                         safe="")
            _, _, body = get(front.port, path, {"traceparent": incoming} if incoming else {})
            sent = [value for name, value in json.loads(body) if name.lower() == "traceparent"]
            check(len(sent) == 1 and int(sent[0][-2:], 16) & 1 == sampled and
                  (not incoming or TRACE in sent[0]), label + ": the flag that goes on", sent)
        wanted = sum(2 for case in SAMPLERS if case[3])
        spans = scene.wait_spans(wanted)
        cases = sorted({int(span.attributes["url.full"].rpartition("=")[2])
                        for span in spans if span.kind == "CLIENT"})
        equal((cases, len(spans)), ([number for number, case in enumerate(SAMPLERS) if case[3]], wanted),
              "exactly the sampled requests are exported")


def test_ratio():
    """About a quarter, decided by the trace id, the same in every service."""
    with Scene(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.25") as scene:
        pair = Pair(scene)
        sampled = sum(int(pair.parts()[3], 16) & 1 for _ in range(400))
        check(60 <= sampled <= 140, "a quarter of 400 traces is sampled, more or less", sampled)
        equal(len(scene.wait_spans(2 * sampled)), 2 * sampled, "and those are exported, whole")


def test_propagators_none():
    with Scene() as scene:
        pair = Pair(scene, OTEL_PROPAGATORS="none")
        equal(pair.ask({"traceparent": SAMPLED, "baggage": "a=1"}), {}, "nothing is passed on")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        check(spans["SERVER"].trace != TRACE and spans["SERVER"].parent == "",
              "an incoming context is not looked at", spans["SERVER"])
        equal(spans["CLIENT"].parent, spans["SERVER"].id, "inside the process the tree is whole")


def test_propagators_one():
    with Scene() as scene:
        pair = Pair(scene, OTEL_PROPAGATORS="tracecontext")
        arrived = pair.ask({"traceparent": SAMPLED, "baggage": "a=1"})
        equal(sorted(arrived), ["traceparent"], "tracecontext alone: no baggage")
        pair = Pair(scene, OTEL_PROPAGATORS="baggage")
        arrived = pair.ask({"traceparent": SAMPLED, "baggage": "a=1"})
        equal(arrived, {"baggage": ["a=1"]}, "baggage alone: no traceparent")


def test_sdk_disabled():
    with Scene(OTEL_SDK_DISABLED="true") as scene:
        pair = Pair(scene)
        incoming = {"traceparent": SAMPLED, "tracestate": "a=1", "baggage": "b=2"}
        equal(pair.ask(incoming), {name: [value] for name, value in incoming.items()},
              "OTEL_SDK_DISABLED: the context is passed on unchanged")
        equal(pair.ask({"traceparent": UNSAMPLED}), {"traceparent": [UNSAMPLED]},
              "OTEL_SDK_DISABLED: an unsampled one, too")
        equal(pair.ask(), {}, "OTEL_SDK_DISABLED: none is begun")
        scene.stop(pair.front)
        check(scene.spans() == [] and scene.rings_left() == [], "OTEL_SDK_DISABLED: no spans")


def test_disabled():
    with Scene(BURDOCK_DISABLED="1") as scene:
        by_word = Pair(scene, BURDOCK_DISABLED="true")
        pair = Pair(scene)
        for label, each in (("true", by_word), ("1", pair)):
            equal(each.ask({"traceparent": SAMPLED, "baggage": "b=2"}), {},
                  "BURDOCK_DISABLED=%s: nothing is passed on" % label)
            check(not "burdock" in thread_names(each.front), "BURDOCK_DISABLED=%s: no thread" % label)
        check(scene.spans() == [] and scene.rings_left() == [], "BURDOCK_DISABLED: nothing recorded")
        with open("/proc/%d/maps" % pair.front.pid) as maps:
            check(LIBRARY in maps.read(), "though the library was there")


def test_own_context():
    """The application's own traceparent is adopted, never doubled, never changed."""
    own = "00-11111111111111112222222222222222-3333333333333333-01"
    with Scene() as scene:
        pair = Pair(scene)
        arrived = pair.ask(own="Traceparent:" + own)
        equal(arrived.get("traceparent"), [own], "it arrives once, as it was")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal((spans["CLIENT"].trace, spans["CLIENT"].parent), (own.split("-")[1], own.split("-")[2]),
              "our client span joins the application's trace")
        check(spans["SERVER"].trace != spans["CLIENT"].trace, "the server span keeps its own")
        arrived = pair.ask({"traceparent": SAMPLED}, own="traceparent:garbage")
        equal(arrived.get("traceparent"), ["garbage"], "even a broken one is left alone")


def test_own_by_curl():
    own = "00-11111111111111112222222222222222-3333333333333333-01"
    with Scene() as scene:
        back = scene.service("back")
        answer = scene.curl("-H", "TRACEPARENT: " + own, "http://127.0.0.1:%d/echo" % back.port)
        heads = [value for name, value in json.loads(answer.stdout) if name.lower() == "traceparent"]
        equal(heads, [own], "curl's own header goes out once")
        spans = {span.service: span for span in scene.wait_spans(2)}
        equal(spans["back"].parent, own.split("-")[2], "the server's parent is what curl said")
        equal((spans["curl"].trace, spans["curl"].attributes["burdock.attribution"]),
              (spans["back"].trace, "header"), "curl's span is in that trace, by its header")


def test_forwarded():
    """nginx passes its client's headers on: our span must stand between."""
    with Scene() as scene:
        back = scene.service("back")
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % back.port)
        _, _, body = get(front.port, "/echo", {"traceparent": SAMPLED, "tracestate": "a=1",
                                               "baggage": "b=2"})
        head = [(name.lower(), value) for name, value in json.loads(body)
                if name.lower() in PROPAGATED]
        spans = {(span.service, span.kind): span for span in scene.wait_spans(3)}
        server, client = spans["nginx", "SERVER"], spans["nginx", "CLIENT"]
        equal(sorted(head), [("baggage", "b=2"), ("traceparent", "00-%s-%s-01" % (TRACE, client.id)),
                             ("tracestate", "a=1")], "each header arrives once, with our span's id")
        equal((server.parent, client.parent, spans["back", "SERVER"].parent),
              (PARENT, server.id, client.id), "remote, server, client, server: one below the other")
        equal({span.trace for span in spans.values()}, {TRACE}, "in one trace")
        equal([span.attributes.get("burdock.attribution") for span in (client, server)],
              ["header", None], "the header says so")


FORMATS = {
    # what comes in, by format, and what of it goes out: {name: pattern}
    "b3": ({"b3": "%s-%s-1" % (TRACE, PARENT)}, {"b3": "{trace}-{span}-1"}),
    "b3multi": ({"X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT, "X-B3-Sampled": "1"},
                {"x-b3-traceid": "{trace}", "x-b3-spanid": "{span}", "x-b3-sampled": "1"}),
    "jaeger": ({"uber-trace-id": "%s:%s:0:1" % (TRACE, PARENT)},
               {"uber-trace-id": "{trace}:{span}:0:1"}),
    "xray": ({"X-Amzn-Trace-Id": "Root=1-%s-%s;Parent=%s;Sampled=1" % (TRACE[:8], TRACE[8:], PARENT)},
             {"x-amzn-trace-id": "Root=1-{trace:.8}-{tail};Parent={span};Sampled=1"}),
    "datadog": ({"x-datadog-trace-id": str(int(TRACE[16:], 16)),
                 "x-datadog-parent-id": str(int(PARENT, 16)), "x-datadog-sampling-priority": "2",
                 "x-datadog-tags": "_dd.p.dm=-4,_dd.p.tid=" + TRACE[:16]},
                {"x-datadog-trace-id": "{low}", "x-datadog-parent-id": "{number}",
                 "x-datadog-sampling-priority": "1", "x-datadog-tags": "_dd.p.tid={trace:.16}"}),
    "gcp": ({"X-Cloud-Trace-Context": "%s/%d;o=1" % (TRACE, int(PARENT, 16))},
            {"x-cloud-trace-context": "{trace}/{number};o=1"}),
    "ottrace": ({"ot-tracer-traceid": TRACE, "ot-tracer-spanid": PARENT, "ot-tracer-sampled": "true"},
                {"ot-tracer-traceid": "{half}", "ot-tracer-spanid": "{span}",
                 "ot-tracer-sampled": "true"}),
}
REPLACED = ("b3", "b3multi", "jaeger", "xray", "ottrace") # span ids that are always 16 digits
W3C = ({"traceparent": SAMPLED}, {"traceparent": "00-{trace}-{span}-01"})


def context_of(body):
    """{name: [values]} of all headers that are context in any format."""
    found = {}
    for name, value in json.loads(body):
        if name.lower() not in ("host", "accept-encoding", "connection", "user-agent", "accept"):
            found.setdefault(name.lower(), []).append(value)
    return found


def filled(patterns, span):
    values = {"trace": span.trace, "span": span.id, "tail": span.trace[8:], "half": span.trace[16:],
              "low": int(span.trace[16:], 16), "number": int(span.id, 16)}
    return {name: [pattern.format(**values)] for name, pattern in patterns.items()}


def fetched(pair, headers=None, own=None):
    path = "/fetch?url=" + quote("http://127.0.0.1:%d/echo" % pair.back.port, safe="")
    if own:
        path += "&header=" + quote(own, safe="")
    return context_of(get(pair.front.port, path, headers)[2])


def test_formats():
    """Each by Python: continued, and written as it came."""
    for name, (incoming, outgoing) in FORMATS.items():
        with Scene(OTEL_PROPAGATORS=name) as scene:
            arrived = fetched(Pair(scene), incoming)
            spans = {span.kind: span for span in scene.wait_spans(2)}
            server, client = spans["SERVER"], spans["CLIENT"]
            equal((server.trace, server.parent, client.parent), (TRACE, PARENT, server.id),
                  name + ": the trace is continued")
            equal(arrived, filled(outgoing, client), name + ": and goes on, in no other format")
        with Scene(OTEL_PROPAGATORS=name) as scene:
            arrived = fetched(Pair(scene), {"traceparent": SAMPLED})
            spans = {span.kind: span for span in scene.wait_spans(2)}
            equal((spans["SERVER"].trace != TRACE, arrived), (True, filled(outgoing, spans["CLIENT"])),
                  name + ": traceparent says nothing if it is not configured")


def test_formats_at_once():
    names = ",".join(["tracecontext", "baggage", *FORMATS])
    outgoing = {key: value for _, each in (W3C, *FORMATS.values()) for key, value in each.items()}
    for name, (incoming, _) in (("tracecontext", W3C), *FORMATS.items()):
        with Scene(OTEL_PROPAGATORS=names) as scene:
            arrived = fetched(Pair(scene), incoming)
            spans = {span.kind: span for span in scene.wait_spans(2)}
            equal((spans["SERVER"].trace, spans["SERVER"].parent), (TRACE, PARENT),
                  name + " of all: the trace is continued")
            equal(arrived, filled(outgoing, spans["CLIENT"]), name + " of all: goes out as all")


def test_formats_order():
    """The last valid one wins, as in the SDKs; a broken one leaves what there is alone."""
    other = "2" * 32
    for names, b3, trace in (("tracecontext,b3", other + "-" + PARENT + "-1", other),
                             ("b3,tracecontext", other + "-" + PARENT + "-1", TRACE),
                             ("tracecontext,b3", "nonsense", TRACE)):
        with Scene(OTEL_PROPAGATORS=names) as scene:
            fetched(Pair(scene), {"traceparent": SAMPLED, "b3": b3})
            equal({span.trace for span in scene.wait_spans(2)}, {trace}, names + " and b3: " + b3)


def test_formats_forwarded():
    """nginx passes its client's headers on, whatever the format."""
    for name in REPLACED:
        incoming, outgoing = FORMATS[name]
        if name == "ottrace": # passed on as it came, of 32 digits
            outgoing = {**outgoing, "ot-tracer-traceid": "{trace}"}
        with Scene(OTEL_PROPAGATORS=name) as scene:
            back = scene.service("back")
            front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % back.port)
            arrived = context_of(get(front.port, "/echo", incoming)[2])
            spans = {(span.service, span.kind): span for span in scene.wait_spans(3)}
            server, client = spans["nginx", "SERVER"], spans["nginx", "CLIENT"]
            equal((server.parent, client.parent, spans["back", "SERVER"].parent),
                  (PARENT, server.id, client.id), name + ": one below the other")
            equal(arrived, filled(outgoing, client), name + ": each header once, with our span's id")
            check({span.trace for span in spans.values()} == {TRACE}, name + ": in one trace")


def test_formats_cut():
    """A head that comes byte by byte says the same."""
    for name in ("b3multi", "gcp"):
        lines = "".join("%s:\t %s \r\n" % item for item in FORMATS[name][0].items())
        with Scene(OTEL_PROPAGATORS=name) as scene:
            back = scene.service("back")
            with socket.create_connection(("127.0.0.1", back.port)) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in ("GET /echo HTTP/1.1\r\nHost: a\r\n%sConnection: close\r\n\r\n" % lines).encode():
                    client.sendall(bytes([byte]))
                while client.recv(65536):
                    pass
            span, = scene.wait_spans(1)
            equal((span.trace, span.parent), (TRACE, PARENT), name + ": read in pieces")


def test_formats_own():
    """The application's own context in a configured format is adopted, never doubled."""
    own = "1" * 32 + "-" + "3" * 16 + "-1"
    with Scene(OTEL_PROPAGATORS="tracecontext,b3") as scene:
        equal(fetched(Pair(scene), own="B3:" + own), {"b3": [own]}, "it arrives, and nothing else")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal((spans["CLIENT"].trace, spans["CLIENT"].parent), ("1" * 32, "3" * 16), "and is joined")


CARRIED = {
    "istio": {"X-Request-Id": "b6b1-7", "x-client-trace-id": "7", "x-envoy-force-trace": "true",
              "x-ot-span-context": "a;b"},
    "sw8": {"sw8": "1-YQ==-Yg==-3-Yw==-ZA==-ZQ==-Zg==", "sw8-x": "0-1712", "sw8-correlation": "YQ==:Yg=="},
    "jaeger": {"uberctx-tenant": "a%20b"}, "ottrace": {"ot-baggage-tenant": "a"},
    "datadog": {"x-datadog-origin": "synthetics"},
}


def test_carried():
    """What names no parent reaches the calls of its request as it came, and those alone."""
    for name, lines in CARRIED.items():
        with Scene(OTEL_PROPAGATORS="tracecontext,baggage," + name) as scene:
            pair = Pair(scene)
            arrived = fetched(pair, {"traceparent": SAMPLED, "baggage": "a=1", **lines})
            equal({key: arrived.get(key.lower()) for key in lines},
                  {key: [value] for key, value in lines.items()}, name + ": it is passed on as it came")
            spans = {span.kind: span for span in scene.wait_spans(2)}
            equal((arrived["traceparent"], arrived["baggage"], spans["SERVER"].trace),
                  (["00-%s-%s-01" % (TRACE, spans["CLIENT"].id)], ["a=1"], TRACE),
                  name + ": beside the context, which is W3C's")
            arrived = fetched(pair)
            equal([key for key in arrived if key in {key.lower() for key in lines}], [],
                  name + ": the next request has none of it")
    with Scene(OTEL_PROPAGATORS="tracecontext,istio,sw8") as scene:
        pair = Pair(scene)
        arrived = fetched(pair, {"X-Request-Id": "theirs", "sw8-x": "0"}, own="x-request-id:mine")
        equal((arrived["x-request-id"], arrived["sw8-x"], "traceparent" in arrived),
              (["mine"], ["0"], True), "what the program sends by itself stands; the rest is added")
        path = "/fetch?url=" + quote("http://127.0.0.1:%d/echo" % pair.back.port, safe="")
        with socket.create_connection(("127.0.0.1", pair.front.port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in ("GET %s HTTP/1.1\r\nHost: a\r\nX-Request-ID:\t in pieces \r\nsw8:\r\nsw8-x: 1\r\n"
                         "Connection: close\r\n\r\n" % path).encode():
                client.sendall(bytes([byte]))
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        arrived = context_of(answer.split(b"\r\n\r\n", 1)[1])
        equal((arrived["x-request-id"], arrived["sw8-x"]), (["in pieces"], ["1"]), "in pieces, too")
        long_one = "a" * 9000
        arrived = fetched(pair, {"X-Request-Id": long_one, "sw8": "b"})
        equal((arrived["x-request-id"], arrived["sw8"]), ([long_one], ["b"]), "however long it is")
    with Scene() as scene:
        arrived = fetched(Pair(scene), CARRIED["istio"])
        equal([key for key in arrived if key.startswith("x-")], [], "and nothing of it by default")
    with Scene(OTEL_PROPAGATORS="tracecontext,istio", BURDOCK_TRUST="none") as scene:
        arrived = fetched(Pair(scene), CARRIED["istio"])
        equal([key for key in arrived if key.startswith("x-")], [], "nor of who is not believed")


def test_carried_by_nginx():
    """A proxy passes it on by itself: once, and our context beside it."""
    with Scene(OTEL_PROPAGATORS="tracecontext,istio,newrelic") as scene:
        back = scene.service("back")
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % back.port)
        arrived = context_of(get(front.port, "/echo", {**CARRIED["istio"], "newrelic": NEWRELIC})[2])
        spans = {(span.service, span.kind): span for span in scene.wait_spans(3)}
        client = spans["nginx", "CLIENT"]
        equal((arrived["x-request-id"], arrived["newrelic"], arrived["traceparent"]),
              (["b6b1-7"], [NEWRELIC], ["00-%s-%s-01" % (TRACE, client.id)]), "nginx: each header once")
        equal((spans["nginx", "SERVER"].parent, spans["back", "SERVER"].parent), (PARENT, client.id),
              "nginx: New Relic's parent is read, and ours goes on")


NEWRELIC_DATA = {"ty": "App", "ac": "1", "ap": "2", "id": PARENT, "tr": TRACE, "sa": True, "pr": 1.5,
                 "tx": "e8b91a159289ff74", "ti": 1518469636035}
NEWRELIC = base64.b64encode(json.dumps({"v": [0, 1], "d": NEWRELIC_DATA}).encode()).decode()
BY_NEWRELIC = """
import json, sys
from newrelic.common.encoding_utils import DistributedTracePayload as Payload
print(Payload(v=Payload.version, d=json.loads(sys.argv[1])).http_safe())
"""


def test_newrelic():
    """Read only: what goes on is in the other formats."""
    with Scene(OTEL_PROPAGATORS="tracecontext,newrelic") as scene:
        arrived = fetched(Pair(scene), {"newrelic": NEWRELIC})
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal((spans["SERVER"].trace, spans["SERVER"].parent), (TRACE, PARENT), "newrelic: continued")
        equal(arrived, filled(W3C[1], spans["CLIENT"]), "newrelic: and goes on as Trace Context alone")
    python = os.path.join(BUILD, ".venv/bin/python")
    official = subprocess.run([python, "-c", BY_NEWRELIC, json.dumps(NEWRELIC_DATA)], text=True,
                              capture_output=True, timeout=60) if os.path.exists(python) else None
    if official is None or official.returncode != 0:
        skip("newrelic: as its own agent writes it", "its Python package is not there")
    else:
        with Scene(OTEL_PROPAGATORS="newrelic") as scene:
            get(scene.service("app").port, "/echo", {"newrelic": official.stdout.strip()})
            span, = scene.wait_spans(1)
            equal((span.trace, span.parent), (TRACE, PARENT), "newrelic: as its own agent writes it")
    with Scene(OTEL_PROPAGATORS="tracecontext,newrelic") as scene:
        other = "00-%s-%s-01" % ("4" * 32, "5" * 16)
        fetched(Pair(scene), {"newrelic": NEWRELIC, "traceparent": other})
        equal({span.trace for span in scene.wait_spans(2)}, {"4" * 32}, "newrelic: traceparent counts more")


OFFICIAL = {
    "tracecontext": "trace.propagation.tracecontext.TraceContextTextMapPropagator",
    "b3": "propagators.b3.B3SingleFormat", "b3multi": "propagators.b3.B3MultiFormat",
    "jaeger": "propagators.jaeger.JaegerPropagator", "xray": "propagators.aws.AwsXRayPropagator",
    "ottrace": "propagators.ot_trace.OTTracePropagator",
    "gcp": "propagators.cloud_trace_propagator.CloudTraceFormatPropagator", "datadog": "ddtrace",
}
BY_OFFICIAL = """
import importlib, json, os, sys
where, ids, heads = json.loads(sys.argv[1])
if where == "ddtrace": # Datadog's own
    os.environ["DD_TRACE_PROPAGATION_STYLE"] = "datadog"
    from ddtrace.propagation.http import HTTPPropagator
    from ddtrace.trace import Context
    sent = {}
    HTTPPropagator.inject(Context(int(ids[0], 16), int(ids[1], 16), sampling_priority=1), sent)
    found = HTTPPropagator.extract(heads)
    print(json.dumps([sent, "%032x" % (found.trace_id or 0), "%016x" % (found.span_id or 0),
                      int((found.sampling_priority or 0) > 0)]))
    sys.exit()
from opentelemetry import trace
module, _, name = where.rpartition(".")
propagator = getattr(importlib.import_module("opentelemetry." + module), name)()
context = trace.SpanContext(int(ids[0], 16), int(ids[1], 16), True, trace.TraceFlags(1))
sent = {}
propagator.inject(sent, trace.set_span_in_context(trace.NonRecordingSpan(context)))
class Heads: # of any case, as a server's are
    def get(self, carrier, key):
        return [v for k, v in carrier.items() if k.lower() == key.lower()] or None
    def keys(self, carrier):
        return list(carrier)
found = trace.get_current_span(propagator.extract(heads, getter=Heads())).get_span_context()
print(json.dumps([sent, "%032x" % found.trace_id, "%016x" % found.span_id,
                  int(found.trace_flags) & 1]))
"""


def test_formats_official():
    """OpenTelemetry's own propagators, Google's and Datadog's, read what is written here, and the
    other way round."""
    python = os.path.join(BUILD, ".venv/bin/python")
    for name, where in OFFICIAL.items():
        def official(heads):
            return subprocess.run([python, "-c", BY_OFFICIAL, json.dumps([where, (TRACE, PARENT), heads])],
                                  capture_output=True, text=True, timeout=60)
        if not os.path.exists(python) or official({}).returncode != 0:
            skip(name + ": against the official one", "its Python package is not there")
            continue
        with Scene(OTEL_PROPAGATORS=name) as scene:
            arrived = fetched(Pair(scene), json.loads(official({}).stdout)[0])
            spans = {span.kind: span for span in scene.wait_spans(2)}
            server, client = spans["SERVER"], spans["CLIENT"]
            half = 16 if name == "ottrace" else 0 # it writes, and we write, the lower half
            equal((server.trace[half:], server.parent), (TRACE[half:], PARENT), name + ": theirs is read")
            _, trace, span, sampled = json.loads(
                official({key: values[0] for key, values in arrived.items()}).stdout)
            equal((trace[half:], span, sampled), (client.trace[half:], client.id, 1),
                  name + ": ours is read by theirs")


BAGGAGE = {"user": "Am\u00e9lie", "odd": "DF 28;x=1,y \\ \"z\"", "plain": "false", "empty": ""}
BY_OFFICIAL_BAGGAGE = """
import json, sys
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
given, context, sent = json.loads(sys.argv[1]), None, {}
for key, value in given.get("entries", {}).items():
    context = baggage.set_baggage(key, value, context)
W3CBaggagePropagator().inject(sent, context)
print(json.dumps([sent, dict(baggage.get_all(W3CBaggagePropagator().extract(given.get("heads", {}))))]))
"""


def test_baggage_official():
    """What OpenTelemetry's SDK puts into it arrives where it is read."""
    python = os.path.join(BUILD, ".venv/bin/python")

    def official(**given):
        return subprocess.run([python, "-c", BY_OFFICIAL_BAGGAGE, json.dumps(given)],
                              capture_output=True, text=True, timeout=60)
    if not os.path.exists(python) or official().returncode != 0:
        skip("baggage: against the official one", "its Python package is not there")
        return
    with Scene() as scene:
        sent, _ = json.loads(official(entries=BAGGAGE).stdout)
        arrived = fetched(Pair(scene), {**sent, "traceparent": "00-%s-%s-01" % (TRACE, PARENT)})
        equal(arrived["baggage"], [sent["baggage"]], "baggage: byte for byte")
        equal(json.loads(official(heads={"baggage": arrived["baggage"][0]}).stdout)[1], BAGGAGE,
              "baggage: of the same entries")


def test_b3_decisions():
    with Scene(OTEL_PROPAGATORS="b3multi") as scene:
        pair = Pair(scene)
        arrived = fetched(pair, {"b3": "0"})
        equal(arrived["x-b3-sampled"], ["0"], "b3: 0 begins a trace that is not sampled")
        arrived = fetched(pair, {"b3": TRACE[16:] + "-" + PARENT})
        equal((arrived["x-b3-traceid"], arrived["x-b3-sampled"]), (["0" * 16 + TRACE[16:]], ["1"]),
              "64 bits are padded; what is not decided is decided")
        arrived = fetched(pair, {"X-B3-Flags": "1", "X-B3-TraceId": TRACE, "X-B3-SpanId": PARENT})
        equal((arrived["x-b3-flags"], "x-b3-sampled" in arrived), (["1"], False), "debug stays debug")
        spans = scene.wait_spans(4)
        equal({hex(span.flags & 255) for span in spans}, {"0x1"}, "and is no flag of the span")


def test_process_parent():
    """TRACEPARENT of the environment: what a shell's pipeline hands to curl."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        answer = scene.curl("http://127.0.0.1:%d/echo" % back.port, TRACEPARENT=SAMPLED,
                            TRACESTATE="a=1", BAGGAGE="b=2")
        sent = {name.lower(): value for name, value in json.loads(answer.stdout)}
        span, = scene.wait_spans(1)
        equal((span.trace, span.parent, hex(span.flags)), (TRACE, PARENT, "0x301"),
              "the call is a child of the environment's span")
        equal(span.attributes["burdock.attribution"], "process", "and says why")
        equal((sent.get("traceparent"), sent.get("tracestate"), sent.get("baggage")),
              ("00-%s-%s-01" % (TRACE, span.id), "a=1", "b=2"), "and carries it on")


def test_two_baggages():
    with Scene() as scene:
        pair = Pair(scene)
        head = b"GET /fetch?url=http%%3A%%2F%%2F127.0.0.1%%3A%d%%2Fecho HTTP/1.1\r\nHost: a\r\n" \
            b"Connection: close\r\nbaggage: a=1\r\nX: y\r\nBaggage: b=2\r\n\r\n" % pair.back.port
        body = raw(pair.front.port, head).split(b"\r\n\r\n", 1)[1]
        sent = [value for name, value in json.loads(body) if name.lower() == "baggage"]
        equal([value.replace(" ", "") for value in sent], ["a=1,b=2"], "two baggage headers become one")


def test_random_flag_off():
    with Scene(BURDOCK_RANDOM_FLAG_OFF="true") as scene:
        equal(Pair(scene).parts()[3], "01", "BURDOCK_RANDOM_FLAG_OFF: traces begin with flags 01")


if __name__ == "__main__":
    main(globals(), ("nginx", "curl"))
