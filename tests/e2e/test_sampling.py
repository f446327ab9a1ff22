# SPDX-License-Identifier: Apache-2.0
"""Which traces are kept, and what the tracestate says of how many each stands for."""
import http.server
import json
import operator
import os
import re
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
        def tell_all():
            counters = scene.rings_left()[0].counters
            return (counters["tail.kept"], counters["spans.recorded"]), \
                (len(kept), counters["spans.measured"] + counters["spans.exported"])
        wait_until(lambda: operator.eq(*tell_all()))
        equal(*tell_all(),
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


class XRay(http.server.BaseHTTPRequestHandler):
    """The daemon, or a collector that stands for it."""
    rules, asked, told, targets = [], [], [], None

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/SamplingTargets":
            self.told.extend(asked["SamplingStatisticsDocuments"])
            return self.answer(self.targets if isinstance(self.targets, bytes) else
                               json.dumps(self.targets).encode())
        self.asked.append((self.path, self.headers["Content-Type"], asked))
        return self.answer(json.dumps({"SamplingRuleRecords": [{"SamplingRule": {
            "Attributes": {}, "ResourceARN": "*", "ServiceType": "*", "ServiceName": "*", "Host": "*",
            "HTTPMethod": "*", "URLPath": "*", "Priority": number, "ReservoirSize": 0, "FixedRate": 0,
            **rule}} for number, rule in enumerate(self.rules)]}).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_xray():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), XRay)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    XRay.rules, XRay.asked = [
        {"HTTPMethod": "GET", "URLPath": "/fetch", "ServiceName": "fr*", "FixedRate": 1},
        {"ReservoirSize": 1}], []
    argument = "endpoint=http://127.0.0.1:%d,polling_interval=1" % server.server_port
    try:
        with Scene(OTEL_TRACES_SAMPLER="xray", OTEL_TRACES_SAMPLER_ARG=argument) as scene:
            pair = Pair(scene)
            pair.parts()
            check(wait_until(lambda: len(XRay.asked) > 1), "X-Ray is asked, and again")
            equal(XRay.asked[0], ("/GetSamplingRules", "application/json", {}), "as it wants to be")
            equal([pair.parts()[3][1] for _ in range(20)], ["3"] * 20, "all that a rule keeps")
            began = time.monotonic()
            for _ in range(40):
                get(pair.front.port, "/echo")
            took = time.monotonic() - began
            echoes = lambda span: span.attributes.get("url.path") == "/echo"
            kept = sum(map(echoes, scene.wait_spans(1, echoes)))
            check(1 <= kept <= 2 + took, "one a second of what the next one borrows", (kept, took))
            equal(pair.parts({"traceparent": UNSAMPLED})[3], "00", "a caller's word counts")
    finally:
        server.shutdown()
        server.server_close()


def test_xray_targets():
    """What a rule was used for is told, each request once; the quota that comes back counts, until it
    is over; nonsense changes nothing."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), XRay)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    XRay.rules = [{"RuleName": "echoes", "URLPath": "/echo", "ReservoirSize": 50},
                  {"RuleName": "unused", "URLPath": "/nowhere"}]
    XRay.asked, XRay.told, XRay.targets = [], [], b'{"SamplingTargetDocuments":[{"RuleName":"echoes",'
    argument = "endpoint=http://127.0.0.1:%d" % server.server_port
    made = 0

    def echo(port, count):
        nonlocal made
        for _ in range(count):
            get(port, "/echo")
        made += count

    def told(name):
        return sum(document[name] for document in XRay.told)

    def granted(quota, rate):
        XRay.targets = {"LastRuleModification": 1.0, "UnprocessedStatistics": [], "SamplingTargetDocuments": [
            {"RuleName": "echoes", "FixedRate": rate, "ReservoirQuota": quota, "Interval": 1,
             "ReservoirQuotaTTL": time.time() + 600}]}
    try:
        with Scene(OTEL_TRACES_SAMPLER="xray", OTEL_TRACES_SAMPLER_ARG=argument) as scene:
            app = scene.service("app")
            get(app.port, "/first")  # the exporter's thread asks for rules
            wait_until(lambda: XRay.asked)
            echo(app.port, 20)
            check(wait_until(lambda: XRay.told, 60), "X-Ray is told")
            document = XRay.told[0]
            equal({key: type(value) for key, value in document.items()}, dict(
                RuleName=str, ClientID=str, Timestamp=int, RequestCount=int, SampledCount=int,
                BorrowCount=int), "as it wants to be")
            check(re.fullmatch("[0-9a-f]{24}", document["ClientID"]) and
                  abs(document["Timestamp"] - time.time()) < 3600, "by whom, and when", document)
            check(wait_until(lambda: any(ring.counters["sampler.remote_failed"] for ring in
                                         scene.rings_left())), "an answer that is cut off is counted")
            granted(1000000, 0)
            echo(app.port, 20)
            check(wait_until(lambda: told("RequestCount") == made, 60), "each request is told once",
                  (XRay.told, made))
            before = told("SampledCount"), told("BorrowCount")
            echo(app.port, 100)
            wait_until(lambda: told("RequestCount") == made, 60)
            equal((told("SampledCount") - before[0], told("BorrowCount") - before[1]), (100, 0),
                  "the quota keeps all of them, none is lent")
            kept = lambda span: span.attributes.get("url.path") == "/echo"
            equal(sum(map(kept, scene.wait_spans(before[0] + before[1] + 100, kept))),
                  told("SampledCount") + told("BorrowCount"), "and spans are what was told")
            granted(0, 0)
            echo(app.port, 1)
            wait_until(lambda: told("RequestCount") == made, 60)
            before = told("SampledCount") + told("BorrowCount")
            echo(app.port, 50)
            wait_until(lambda: told("RequestCount") == made, 60)
            equal(told("SampledCount") + told("BorrowCount") - before, 0, "a quota of nothing keeps none")
            equal({document["RuleName"] for document in XRay.told}, {"echoes"}, "rules in use alone")
    finally:
        server.shutdown()
        server.server_close()


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
