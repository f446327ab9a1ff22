# SPDX-License-Identifier: Apache-2.0
"""Which traces are kept, and what the tracestate says of how many each stands for."""
import http.server
import json
import os
import threading
import time

from harness import BUILD, PYTHON, Scene, check, equal, get, main, wait_until
from test_context import PARENT, SAMPLED, TRACE, UNSAMPLED, Pair

ALL = 1 << 56
QUARTER = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
# The random bits of TRACE are the last 14 digits.
BELOW, ABOVE = "48eb211c80319c", "48eb211c80319d"


def random_of(trace):
    return int(trace[-14:], 16)


def test_ratio():
    """Of what begins here: the threshold is told where it let a trace through, and only there."""
    with Scene(**QUARTER) as scene:
        pair = Pair(scene)
        wrong, sampled = [], 0
        for _ in range(200):
            arrived = pair.ask()
            _, trace, _, flags = arrived["traceparent"][0].split("-")
            is_sampled = int(flags, 16) & 1
            sampled += is_sampled
            if is_sampled != (random_of(trace) >= 0xc << 52) or \
                    arrived.get("tracestate", []) != (["ot=th:c"] if is_sampled else []):
                wrong.append(arrived)
        check(not wrong and 20 < sampled < 90, "sampled are those whose random bits reach the "
              "threshold, which goes on with them alone", (sampled, wrong[:3]))
        spans = scene.wait_spans(2 * sampled)
        equal((len(spans), {span.state for span in spans}), (2 * sampled, {"ot=th:c"}),
              "and the spans say so")
        equal(pair.ask({"traceparent": SAMPLED, "tracestate": "a=1"})["tracestate"], ["a=1"],
              "nothing is said of a trace that others decided about")


def test_calls():
    """The same where a trace begins with a call."""
    with Scene(**QUARTER) as scene:
        back = scene.service("back", traced=False)
        program = ("import json, sys, urllib.request\n"
                   "for number in range(200):\n"
                   "    with urllib.request.urlopen('http://127.0.0.1:%d/echo') as answer:\n"
                   "        head = {k.lower(): v for k, v in json.load(answer)}\n"
                   "    print(head['traceparent'], head.get('tracestate'))\n" % back.port)
        done = scene.run([PYTHON, "-c", program], "script")
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        wrong = [line for line in lines if line[1] != (
            "ot=th:c" if random_of(line[0].split("-")[1]) >= 0xc << 52 else "None")]
        sampled = [line for line in lines if line[0].endswith("3")]
        check(len(lines) == 200 and not wrong and 20 < len(sampled) < 90,
              "calls that begin a trace carry the threshold if sampled", (done.stderr, wrong[:3]))
        equal({(span.trace, span.state) for span in scene.wait_spans(len(sampled))},
              {(line[0].split("-")[1], "ot=th:c") for line in sampled}, "and their spans too")


MANY = ",".join("k%d=1" % number for number in range(32))
FOREIGN = [
    # sampler, incoming flags, incoming tracestate, what goes on, why
    (None, SAMPLED, "a=1,ot=th:%s,b=2" % BELOW, "a=1,ot=th:%s,b=2" % BELOW, "is passed on as it came"),
    (None, SAMPLED, "ot=th:0", "ot=th:0", "of all traces, too"),
    (None, SAMPLED, "a=1,ot=th:%s;rv:ffffffffffffff" % ABOVE,
     "a=1,ot=th:%s;rv:ffffffffffffff" % ABOVE, "is judged by an explicit random value"),
    (None, SAMPLED, "a=1,ot=th:%s,b=2" % ABOVE, "a=1,b=2", "that cannot be true is erased"),
    (None, SAMPLED, "a=1,ot=p:8;th:%s;rv:00000000000000" % BELOW, "ot=p:8;rv:00000000000000,a=1",
     "is erased alone: what else the member says stays"),
    (None, UNSAMPLED, "ot=th:%s,a=1" % ABOVE, "a=1", "of what is not sampled is erased"),
    (None, SAMPLED, "ot=th:xyz,a=1", "a=1", "that is none is erased"),
    ("traceidratio 0.25", SAMPLED, "a=1,ot=th:4;rv:ffffffffffffff", "ot=th:c;rv:ffffffffffffff,a=1",
     "is ours where we decide, and goes to the front"),
    ("traceidratio 0.25", UNSAMPLED, "ot=rv:ffffffffffffff", "ot=th:c;rv:ffffffffffffff",
     "is ours also where the caller did not sample"),
    ("traceidratio 0.25", SAMPLED, "ot=th:4;rv:bfffffffffffff", "ot=rv:bfffffffffffff",
     "is erased where we decide against it"),
    ("traceidratio 0.75", SAMPLED, MANY, "ot=th:4," + MANY.rpartition(",")[0],
     "takes the place of the last of 32 members"),
    ("always_on", UNSAMPLED, "ot=th:c,a=1", "a=1", "is erased where all are kept"),
]


def test_callers():
    """A caller's threshold."""
    with Scene() as scene:
        pairs = {}
        for sampler, parent, state, wanted, why in FOREIGN:
            if sampler not in pairs:
                names = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")
                pairs[sampler] = Pair(scene, **dict(zip(names, (sampler or "").split())))
            arrived = pairs[sampler].ask({"traceparent": parent, "tracestate": state})
            equal(arrived.get("tracestate"), [wanted], "a threshold %s" % why)
        pair = Pair(scene, OTEL_SDK_DISABLED="true")
        incoming = {"traceparent": UNSAMPLED, "tracestate": "ot=th:" + ABOVE}
        equal(pair.ask(incoming), {name: [value] for name, value in incoming.items()},
              "OTEL_SDK_DISABLED: it is left as it is")


def test_process():
    """TRACEPARENT and TRACESTATE are a caller, too."""
    with Scene() as scene:
        back = scene.service("back", traced=False)
        for state, wanted in (("ot=th:" + BELOW, "ot=th:" + BELOW), ("a=1,ot=th:" + ABOVE, "a=1")):
            done = scene.curl("http://127.0.0.1:%d/echo" % back.port, TRACEPARENT=SAMPLED,
                              TRACESTATE=state)
            check(('"%s"' % wanted).encode() in done.stdout, "of the process's own parent: " + state,
                  done.stdout)
        span = scene.wait_spans(2)[0]
        equal((span.trace, span.parent), (TRACE, PARENT), "whose trace goes on")


RULES = "off path=/health|/metrics*; off method=OPTIONS; on path=/pay; 0 exe=python3* path=/zero; off exe=cron*"


def test_rules():
    with Scene(BURDOCK_SAMPLER_RULES=RULES) as scene:
        front = scene.service("front")
        forced = scene.service("forced", OTEL_TRACES_SAMPLER="always_on")
        for service in front, forced:
            for method, path, parent, _ in WANTED:
                get(service.port, path, {"traceparent": parent} if parent else {}, method)
        kept = [row for row in WANTED if row[3]]  # all of the second, but for the last: a ratio
        found = sorted((span.attributes["http.request.method"], span.attributes["url.path"])
                       for span in scene.wait_spans(2 * len(kept) - 1) if span.service == "front")
        equal(found, sorted((row[0], row[1].split("?")[0]) for row in kept),
              "requests are kept and dropped as the rules say")
        back = scene.service("back", traced=False)
        before = len(scene.spans())
        pairs = [Pair(scene, BURDOCK_SAMPLER_RULES="off path=/fetch", **more)
                 for more in ({}, {"OTEL_TRACES_SAMPLER": "always_on"})]
        equal([pair.parts({"traceparent": SAMPLED})[3] for pair in pairs], ["00", "00"],
              "calls of a request that was dropped go out unsampled")
        get(front.port, "/echo")
        equal(len(scene.wait_spans(before + 1)), before + 1, "and are no spans")
        scene.curl("http://127.0.0.1:%d/echo" % back.port, BURDOCK_SAMPLER_RULES="off exe=curl")
        scene.curl("http://127.0.0.1:%d/health" % back.port)
        equal(len(scene.wait_spans(before + 2)), before + 2,
              "a rule for a program is for its calls, too; one with a path is not")


WANTED = [
    # method, path, caller, is it kept
    ("GET", "/echo", None, True), ("GET", "/health", None, False), ("GET", "/health?a", SAMPLED, False),
    ("GET", "/healthy", None, True), ("GET", "/metrics/all", None, False),
    ("OPTIONS", "/echo", None, False), ("GET", "/pay", UNSAMPLED, True), ("GET", "/zero", None, False),
    ("GET", "/zero", SAMPLED, True),
]


def test_bad_rule():
    with Scene() as scene:
        done = scene.run([os.path.join(BUILD, "cli/burdock"), "doctor"], traced=False,
                         BURDOCK_SAMPLER_RULES="off path=/a; offf path=/b")
        check(b"BURDOCK_SAMPLER_RULES" in done.stdout and b"a rule was ignored" in done.stdout,
              "a rule that is none is a finding of burdock doctor", done.stdout.decode())


def test_limit():
    """Whole traces, and no more spans than the limit but for what one trace has."""
    with Scene(BURDOCK_SPANS_PER_SECOND="20") as scene:
        pair = Pair(scene)
        began = time.monotonic()
        kept = sum(int(pair.parts()[3], 16) & 1 for _ in range(100))
        took = time.monotonic() - began
        check(9 <= kept <= 20 * (1 + took) / 2 + 1,
              "of traces that begin here, as many as the limit permits", (kept, took))
        equal([pair.parts({"traceparent": SAMPLED})[3] for _ in range(5)], ["01"] * 5,
              "it is not for those that came")
        spans = scene.wait_spans(2 * kept + 10)
        equal(len(spans), 2 * kept + 10, "what is kept is kept whole")

        def limited():
            return sum(ring.counters["sampler.limited"] for ring in scene.rings_left())
        wait_until(lambda: limited() == 100 - kept)
        equal(limited(), 100 - kept, "and what is not is counted")


def told(scene, count):
    """What is kept: sorted (service, kind, path or port, why)."""
    return sorted(((span.service, span.kind, span.attributes.get("url.path") or
                    span.attributes.get("url.full", "connect").rpartition("/")[2],
                    span.attributes.get("burdock.kept")) for span in scene.wait_spans(count)), key=str)


def test_keep():
    """What failed or was slow is kept with its calls, though nothing is sampled."""
    with Scene(OTEL_TRACES_SAMPLER="parentbased_always_off", BURDOCK_KEEP="errors,slow=400ms",
               BURDOCK_SAMPLER_RULES="off path=/status/503") as scene:
        pair = Pair(scene)
        front, back = pair.front.port, "http://127.0.0.1:%d/" % pair.back.port
        equal([pair.parts()[3] for _ in range(20)], ["02"] * 20, "what is fast and fine is not sampled")
        for path in ("/status/500", "/status/503", "/slow?s=0.5", "/status/404", "/echo",
                     "/fetch?url=" + back + "status/500", "/fetch?url=" + back + "slow?s=0.5",
                     "/fetch?url=http://127.0.0.1:1/x"):
            get(front, path)
        get(front, "/status/501", {"traceparent": UNSAMPLED, "tracestate": "a=1"})
        get(front, "/echo", {"traceparent": SAMPLED})
        wanted = [("front", "CLIENT", "connect", "error"), ("front", "CLIENT", "slow?s=0.5", "slow"),
                  ("front", "CLIENT", "500", "error"), ("front", "SERVER", "/echo", None),
                  ("front", "SERVER", "/fetch", "error"), ("front", "SERVER", "/fetch", "error"),
                  ("front", "SERVER", "/fetch", "slow"), ("front", "SERVER", "/slow", "slow"),
                  ("front", "SERVER", "/status/500", "error"), ("front", "SERVER", "/status/501", "error")]
        equal(told(scene, len(wanted)), sorted(wanted, key=str), "what failed or was slow is kept, whole")
        spans = scene.spans()
        kept = [span for span in spans if "burdock.kept" in span.attributes]
        equal({span.flags & 1 for span in kept}, {0}, "marked as not sampled: it stands for no other")
        of_caller = [span for span in kept if span.trace == TRACE]
        equal([(span.parent, span.state) for span in of_caller], [(PARENT, "a=1")],
              "where others began the trace, too")
        ids = {span.id for span in spans}
        check(all(span.parent in ids for span in kept if span.kind == "CLIENT"),
              "calls are under their requests")
        wait_until(lambda: sum(r.counters["tail.kept"] for r in scene.rings_left()) == len(kept))
        counters = scene.rings_left()[0].counters
        equal((counters["tail.kept"], counters["spans.recorded"]),
              (len(kept), counters["spans.measured"] + counters["spans.exported"]),
              "all that was recorded is exported, or counted as measured")


def test_keep_calls():
    """A call that nobody is known to have made is a trace of its own."""
    with Scene(OTEL_TRACES_SAMPLER="always_off", BURDOCK_KEEP="errors") as scene:
        back = scene.service("back", traced=False)
        for path in ("echo", "status/404"):
            scene.curl("http://127.0.0.1:%d/%s" % (back.port, path))
        equal(told(scene, 1), [("curl", "CLIENT", "404", "error")], "the one that failed is kept")


CALLER = {"traceparent": SAMPLED, "tracestate": "a=1", "baggage": "b=2"}


def test_trust():
    with Scene() as scene:
        for trust, believed in (("all", True), ("private", True), ("none", False)):
            arrived = Pair(scene, BURDOCK_TRUST=trust).ask(CALLER)
            is_same = arrived["traceparent"][0].split("-")[1] == TRACE
            equal((is_same, arrived.get("tracestate"), arrived.get("baggage")),
                  (True, ["a=1"], ["b=2"]) if believed else (False, None, None),
                  "BURDOCK_TRUST=%s: a caller on this machine is %sbelieved" % (
                      trust, "" if believed else "not "))
        refused, = [span for span in scene.wait_spans(6) if span.kind == "SERVER" and not span.parent]
        equal((refused.links, hex(refused.flags)), ([(TRACE, PARENT)], "0x103"),
              "a request that is not believed begins a trace, with a link to its caller's")
        call, = [span for span in scene.spans() if span.parent == refused.id]
        equal((call.trace, call.links), (refused.trace, []), "to which its calls belong")


def test_trust_formats():
    with Scene(BURDOCK_TRUST="none", OTEL_PROPAGATORS="b3,tracecontext",
               OTEL_TRACES_SAMPLER="parentbased_always_off") as scene:
        pair = Pair(scene)
        parents = [pair.parts({name: value}) for name, value in (
            ("b3", "%s-%s-1" % (TRACE, PARENT)), ("b3", "1"), ("traceparent", SAMPLED))]
        equal([(parts[1] == TRACE, parts[3]) for parts in parents], [(False, "02")] * 3,
              "nor is another format, nor a decision alone")
        equal(scene.spans(), [], "so nobody makes us keep anything")


class Jaeger(http.server.BaseHTTPRequestHandler):
    """A stand-in for Jaeger's endpoint of sampling strategies; see SAMPLING.md for what real ones say."""
    strategy, asked = {}, []

    def do_GET(self):
        self.asked.append(self.path)
        body = self.strategy if isinstance(self.strategy, bytes) else json.dumps(self.strategy).encode()
        self.send_response(200 if self.path.startswith("/sampling?") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_jaeger():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Jaeger)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    argument = "endpoint=http://127.0.0.1:%d,pollingIntervalMs=50,initialSamplingRate=0" % server.server_port
    Jaeger.strategy, Jaeger.asked = b"", []
    try:
        with Scene(OTEL_TRACES_SAMPLER="parentbased_jaeger_remote",
                   OTEL_TRACES_SAMPLER_ARG=argument) as scene:
            pair = Pair(scene)

            def share(count=100):
                return sum(int(pair.parts()[3], 16) & 1 for _ in range(count))

            def told(strategy):
                """From now on Jaeger says this, and we have heard it."""
                Jaeger.strategy = strategy
                seen = len(Jaeger.asked)
                wait_until(lambda: len(Jaeger.asked) >= seen + 3)
            equal(share(10), 0, "by the initial rate, until something is told")
            check(wait_until(lambda: Jaeger.asked), "but it is asked, though nothing is recorded")
            equal(Jaeger.asked[0], "/sampling?service=front", "as Jaeger wants to be asked")
            told({"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 1}})
            equal(share(10), 10, "all")
            told({"strategyType": 0, "probabilisticSampling": {"samplingRate": 0.5}})
            check(25 <= share() <= 75, "a half, more or less")
            states = {span.state for span in scene.wait_spans(1)}
            check("ot=th:8" in states and states <= {"ot=th:8", ""}, "told as such", states)
            told(b"nonsense")
            check(25 <= share() <= 75, "what is no strategy changes nothing")
            wait_until(lambda: any(r.counters["sampler.remote_failed"] for r in scene.rings_left()))
            check(any(r.counters["sampler.remote_failed"] for r in scene.rings_left()), "and is counted")
            told({"probabilisticSampling": {}})
            equal(share(20), 0, "a rate that is not told is 0")
            told({"strategyType": 1, "rateLimitingSampling": {"maxTracesPerSecond": 3}})
            check(1 <= share(60) <= 20, "so many a second")
            found = []
            for operation in "GET", "PUT":
                told({"operationSampling": {
                    "defaultSamplingProbability": 0.0, "defaultLowerBoundTracesPerSecond": 0.0,
                    "perOperationStrategies": [
                        {"operation": operation, "probabilisticSampling": {"samplingRate": 1.0}}]}})
                found.append(share(10))
            equal(found, [10, 0], "by operation")
            told({"operationSampling": {
                "defaultSamplingProbability": 0.0, "defaultLowerBoundTracesPerSecond": 0.01}})
            equal(share(10), 1, "and at least so many a second")
            equal(pair.parts({"traceparent": UNSAMPLED})[3], "00", "a caller's word counts")
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main(globals(), ("curl",))
