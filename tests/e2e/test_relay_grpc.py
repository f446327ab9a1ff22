# SPDX-License-Identifier: Apache-2.0
"""Spans and metrics by grpc through the relay, to servers of gRPC's own library, with TLS and
without; and by HTTP/2 through nginx."""
import os
import signal
import threading
import time
from concurrent import futures
from types import SimpleNamespace

import harness
from harness import check, equal, free_port, get, load, main, wait_until

if harness.otlp:
    from otlp import (Collector, ExportTraceServiceResponse, points_of_request, spans_of_request)
    from relay_scene import RELAY, SECRET, Relayed
    from test_spool import counted, each_once, spool_files
try:
    import grpc
except ImportError:
    grpc = None

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


# --- servers --------------------------------------------------------------------------------------


def accept(context):
    return b""


def partial(rejected):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = "some were refused" * 100
    return lambda context: answer.SerializeToString()


def refuse(code, details=None):
    """details: the bytes of google.rpc.Status."""
    def answer(context):
        if details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(code, "not now: 100 % of it")
    return answer


def field(number, payload):
    """Of a protobuf message, length-delimited; short ones."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def retry_info(seconds, nanos=0):
    duration = (bytes([1 << 3, seconds]) if seconds else b"") + \
        (bytes([2 << 3]) + varint(nanos) if nanos else b"")
    info = field(1, b"type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, duration))
    other = field(1, b"type.googleapis.com/google.rpc.DebugInfo") + field(2, field(2, b"x"))
    return bytes([1 << 3, 14]) + field(2, b"busy") + field(3, other) + field(3, info)


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


class GrpcCollector:
    """script: answers for the next requests with spans; then default. The same for logs."""

    def __init__(self, scene, script=(), default=accept, port=None, tls=None, clients=None,
                 socket=None, receives=4 << 20):
        self.script, self.default, self.posts, self.released = list(script), default, [], \
            threading.Event()
        self.socket, self.logs_script = socket, []
        self.lock, self.is_tls, self.port = threading.Lock(), tls is not None, port or free_port()
        self.server = grpc.server(futures.ThreadPoolExecutor(8), compression=grpc.Compression.Gzip,
                                  options=(("grpc.so_reuseport", 0),
                                           ("grpc.max_receive_message_length", receives)))
        self.server.add_generic_rpc_handlers((self,))
        address = "unix:" + socket if socket else "127.0.0.1:%d" % self.port
        if tls:
            def read(path):
                with open(path, "rb") as file:
                    return file.read()
            credentials = grpc.ssl_server_credentials(
                ((read(tls[1]), read(tls[0])),), clients and read(clients), clients is not None)
            self.server.add_secure_port(address, credentials)
        else:
            self.server.add_insecure_port(address)
        self.server.start()
        scene.servers.append(self)

    def service(self, details):
        if details.method not in (TRACES, METRICS, LOGS):
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: self.export(details.method, body, context))

    def export(self, method, body, context):
        with self.lock:
            script = {TRACES: self.script, LOGS: self.logs_script}.get(method)
            answer = script.pop(0) if script else accept if script is None else self.default
            self.posts.append(SimpleNamespace(
                method=method, body=body, answer=answer, when=time.monotonic(),
                metadata={key: value for key, value in context.invocation_metadata()},
                remaining=context.time_remaining()))
        return answer(context)

    @property
    def endpoint(self):
        if self.socket:
            return "unix://" + self.socket
        return ("https" if self.is_tls else "http") + "://localhost:%d" % self.port

    def received(self, method=TRACES, read=spans_of_request if harness.otlp else None):
        """Spans of what was answered by OK, or lines of logs, as they came."""
        return [item for post in list(self.posts) if post.method == method and
                (post.answer is accept or getattr(post.answer, "is_partial", False))
                for item in read(post.body)]

    def close(self):
        self.released.set()
        self.server.stop(0).wait()


GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


# --- grpc ----------------------------------------------------------------------------------------


def test_export():
    for what, secure, gzip in (("h2c", False, False), ("h2c, gzip", False, True), ("h2", True, False),
                               ("h2c over a Unix socket", False, False),
                               ("h2, gzip, client's certificate", True, True)):
        with Relayed(**GRPC, OTEL_METRICS_EXPORTER="otlp", OTEL_METRIC_EXPORT_INTERVAL="300") as scene:
            tls = (scene.path("cert.pem"), scene.path("key.pem")) if secure else None
            client = scene.certificate("client")
            both = secure and gzip
            collector = GrpcCollector(scene, tls=tls, clients=scene.path("ca.pem") if both else None,
                                      socket=scene.path("sock") if "socket" in what else None)
            beyond = "" if "socket" in what else "/a/path/that/does/not/matter"
            more = {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": client[0],
                    "OTEL_EXPORTER_OTLP_CLIENT_KEY": client[1]} if both else {}
            app = scene.app(collector.endpoint + beyond,
                            OTEL_EXPORTER_OTLP_COMPRESSION="gzip" if gzip else "none", **more)
            equal(load(app.port, 50, 4), [], what + ": requests are answered")
            check(wait_until(lambda: len(collector.received()) == 50), what + ": spans arrive",
                  (len(collector.received()), scene.burdock("doctor", **more)[1]))
            check(wait_until(lambda: [post for post in collector.posts if post.method == METRICS and
                                      points_of_request(post.body)]), what + ": metrics arrive")
            post = collector.posts[0]
            equal((post.metadata.get("authorization"), "traceparent" in post.metadata),
                  ("Bearer " + SECRET, False), what + ": with the headers, untraced")
            check("OTel-OTLP-Exporter" in post.metadata.get("user-agent", "") and
                  post.remaining is not None and 5 < post.remaining <= 10,
                  what + ": with its name and its time", post)
            check(each_once(collector.received()) and counted(scene) == 0, what + ": each once")


OPTIONAL = [] if grpc is None else [
    # what, answers, spans lost: (counter, at least) or None
    ("UNAVAILABLE", [refuse(grpc.StatusCode.UNAVAILABLE)] * 2, None),
    ("CANCELLED, DEADLINE_EXCEEDED, ABORTED", [refuse(grpc.StatusCode.CANCELLED),
     refuse(grpc.StatusCode.DEADLINE_EXCEEDED), refuse(grpc.StatusCode.ABORTED)], None),
    ("OUT_OF_RANGE, DATA_LOSS", [refuse(grpc.StatusCode.OUT_OF_RANGE),
     refuse(grpc.StatusCode.DATA_LOSS)], None),
    ("RESOURCE_EXHAUSTED that recovers", [refuse(grpc.StatusCode.RESOURCE_EXHAUSTED,
     retry_info(1))], None),
    ("RESOURCE_EXHAUSTED", [refuse(grpc.StatusCode.RESOURCE_EXHAUSTED)],
     ("spans.dropped.export", 1)),
    ("INVALID_ARGUMENT", [refuse(grpc.StatusCode.INVALID_ARGUMENT, retry_info(1))],
     ("spans.dropped.export", 1)),
    ("UNAUTHENTICATED", [refuse(grpc.StatusCode.UNAUTHENTICATED)], ("spans.dropped.export", 1)),
    ("UNKNOWN", [refuse(grpc.StatusCode.UNKNOWN)], ("spans.dropped.export", 1)),
    ("partial success", [partial(1), accept, partial(1)], ("spans.rejected", 2)),
    ("never answering", ["never"] * 2, None),
]


def test_moods():
    made = 100
    for what, answers, loss in OPTIONAL:
        with Relayed(**GRPC) as scene:
            collector = GrpcCollector(scene)

            def never(context):
                collector.released.wait(20)
                context.abort(grpc.StatusCode.INTERNAL, "too late")

            for answer in answers:
                if answer != "never":
                    answer.is_partial = what == "partial success"
            collector.script = [never if answer == "never" else answer for answer in answers]
            app = scene.app(collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="700")
            equal(load(app.port, made, 4), [], what + ": every request is answered")

            def total():
                return len(collector.received()) - counted(scene, ["spans.rejected"]) + \
                    counted(scene) == made and not spool_files(scene)

            check(wait_until(total, 60), what + ": received and counted is what was made",
                  (len(collector.received()), [ring.counters for ring in scene.rings_left()]))
            check(each_once(collector.received()), what + ": nothing arrives twice")
            if loss:
                check(counted(scene, [loss[0]]) >= loss[1], what + ": the loss is counted")
            else:
                equal(counted(scene), 0, what + ": nothing is lost")
            collector.released.set()


def test_small_messages():
    """A server that takes less than a batch: the library for gRPC refuses the message."""
    with Relayed(**GRPC) as scene:
        collector = GrpcCollector(scene, receives=2500)
        app = scene.app(collector.endpoint)
        equal(load(app.port, 100, 4), [], "small messages: every request is answered")
        check(wait_until(lambda: len(collector.received()) == 100, 60), "small messages: all arrive",
              (len(collector.received()), [ring.counters for ring in scene.rings_left()]))
        check(each_once(collector.received()) and counted(scene) == 0,
              "small messages: each once, none is lost")
        check(wait_until(lambda: len(collector.posts) > 100 / 10), "small messages: in parts",
              len(collector.posts))


def test_retry_info():
    """The time that it names is waited for, by all."""
    for what, info, least in (("seconds", retry_info(2), 2), ("a part of one", retry_info(0, 1000000), 1)):
        with Relayed(**GRPC) as scene:
            collector = GrpcCollector(scene, [refuse(grpc.StatusCode.UNAVAILABLE, info)])
            app = scene.app(collector.endpoint)
            get(app.port, "/")
            wait_until(lambda: collector.posts)
            other = scene.app(collector.endpoint, "other")
            get(other.port, "/")
            check(wait_until(lambda: len(collector.received()) == 2), what + ": then all is taken")
            waited = collector.posts[1].when - collector.posts[0].when
            check(waited > least - 0.1, what + ": no sooner than it has asked for", waited)


def test_killed():
    """The server and the relay, killed in turn."""
    with Relayed(**GRPC) as scene:
        port = free_port()
        collectors = [GrpcCollector(scene, port=port)]
        app = scene.app(collectors[0].endpoint)
        made = 0
        for death in range(2):
            equal(load(app.port, 100, 4, "/%d/%%d" % death), [], "killed: requests are answered")
            scene.end_relay(wait_until(scene.relays)[0], signal.SIGKILL)
            collectors[-1].close()
            equal(load(app.port, 50, 4, "/dead/%d/%%d" % death), [], "killed: without both, too")
            made += 150
            collectors.append(GrpcCollector(scene, port=port))

        def received():
            return [span for collector in collectors for span in collector.received()]

        check(wait_until(lambda: len({s.id for s in received()}) == made and not spool_files(scene), 60),
              "killed: all arrive", (made, len({s.id for s in received()}), spool_files(scene)))
        check(len(received()) - made <= 40, "killed: at most what was under way arrives twice")
        equal(counted(scene), 0, "killed: nothing is lost")


def test_not_grpc():
    """A server of HTTP/1.1 at the other end: nothing is lost, and the doctor says why."""
    for what, secure in (("https", True), ("http", False)):
        with Relayed(**GRPC) as scene:
            collector = Collector(scene, tls=scene.tls() if secure else None)
            endpoint = "%s://localhost:%d" % (what, collector.port)
            app = scene.app(endpoint)
            get(app.port, "/")
            check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 1),
                  "not grpc, %s: the span is kept" % what)
            status, out, _ = scene.burdock("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
            check(status == 1 and "relay (process" in out, "not grpc, %s: the doctor says so" % what, out)
            equal(counted(scene), 0, "not grpc, %s: none is lost" % what)


# --- HTTP/2 --------------------------------------------------------------------------------------


def test_nginx():
    """http/protobuf and http/json by HTTP/2, as nginx speaks it, to a collector behind it."""
    for protocol in ("http/protobuf", "http/json"):
        with Relayed(OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
                     OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as scene:
            collector = Collector(scene)
            port = free_port()
            log = scene.path("versions")
            scene.nginx("", traced=False, http="""
log_format versions "$server_protocol $status";
server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s; ssl_certificate_key %s;
         access_log %s versions; location / { proxy_pass http://127.0.0.1:%d; } }
""" % (port, scene.path("cert.pem"), scene.path("key.pem"), log, collector.port))
            wait_until(lambda: harness.is_listening(port))
            app = scene.app("https://localhost:%d/" % port)
            equal(load(app.port, 100, 8), [], protocol + " by HTTP/2: requests are answered")
            check(wait_until(lambda: len(collector.spans()) == 100), protocol + " by HTTP/2: all arrive",
                  len(collector.spans()))
            equal({post.headers["Content-Type"] for post in collector.posts},
                  {"application/" + ("json" if "json" in protocol else "x-protobuf")},
                  protocol + " by HTTP/2: in its form")
            with open(log) as lines:
                equal(set(lines.read().splitlines()), {"HTTP/2.0 200"}, protocol + ": it was HTTP/2")
            equal(counted(scene), 0, protocol + " by HTTP/2: none is lost")


if __name__ == "__main__":
    if harness.otlp and not os.path.exists(RELAY):
        print("1..0 # SKIP burdock was built without the relay")
    elif grpc is None:
        print("1..0 # SKIP there is no grpcio")
    else:
        main(globals(), ("nginx", "openssl"))
