# SPDX-License-Identifier: Apache-2.0
"""Reads what Burdock exports with a decoder that is not ours (opentelemetry-proto), and plays a
collector whose answers a test can choose."""
import base64
import glob
import gzip
import http.server
import json
import os
import struct
import threading
from types import SimpleNamespace

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest, ExportTraceServiceResponse)

KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
STATUSES = {0: "UNSET", 1: "OK", 2: "ERROR"}
MAGIC = b"BRDK"


def _value(value):
    which = value.WhichOneof("value")
    return getattr(value, which) if which else None


def _attributes(pairs):
    return {pair.key: _value(pair.value) for pair in pairs}


def _ids_as_protobuf_has_them(value):
    if isinstance(value, list):
        return [_ids_as_protobuf_has_them(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId") else _ids_as_protobuf_has_them(item)
            for key, item in value.items()}


def _parsed(payload, request):
    """JSON with all its members known, or protobuf."""
    if payload[:1] == b"{":
        json_format.ParseDict(_ids_as_protobuf_has_them(json.loads(payload)), request)
    else:
        request.ParseFromString(payload)
    return request


def spans_of_request(payload):
    request = _parsed(payload, ExportTraceServiceRequest())
    found = []
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                found.append(SimpleNamespace(
                    service=resource.get("service.name"), resource=resource,
                    scope=scope_spans.scope.name, scope_version=scope_spans.scope.version,
                    schema_url=scope_spans.schema_url or resource_spans.schema_url,
                    name=span.name, kind=KINDS.get(span.kind), trace=span.trace_id.hex(),
                    id=span.span_id.hex(), parent=span.parent_span_id.hex(), flags=span.flags,
                    state=span.trace_state, status=STATUSES.get(span.status.code),
                    message=span.status.message, start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano, attributes=_attributes(span.attributes),
                    events=[(event.name, event.time_unix_nano, _attributes(event.attributes))
                            for event in span.events], links=[
                        (link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    links_dropped=span.dropped_links_count))
    return found


def points_of_request(payload):
    """Of metrics: one entry per data point."""
    request = _parsed(payload, ExportMetricsServiceRequest())
    found = []
    for resource_metrics in request.resource_metrics:
        resource = _attributes(resource_metrics.resource.attributes)
        for metric in (m for scope in resource_metrics.scope_metrics for m in scope.metrics):
            data = getattr(metric, metric.WhichOneof("data"))
            for point in data.data_points:
                is_histogram = metric.WhichOneof("data") in ("histogram", "exponential_histogram")
                is_exponential = metric.HasField("exponential_histogram")
                found.append(SimpleNamespace(
                    resource=resource, name=metric.name, unit=metric.unit,
                    temporality=data.aggregation_temporality, process=resource.get("process.pid"),
                    attributes=_attributes(point.attributes), start=point.start_time_unix_nano,
                    time=point.time_unix_nano,
                    count=point.count if is_histogram else None,
                    sum=point.sum if is_histogram else None,
                    buckets=None if not is_histogram else list(
                        point.positive.bucket_counts if is_exponential else point.bucket_counts),
                    scale=point.scale if is_exponential else None,
                    offset=point.positive.offset if is_exponential else None,
                    zeros=point.zero_count if is_exponential else None,
                    least=point.min if is_histogram else None,
                    most=point.max if is_histogram else None,
                    exemplars=[(e.trace_id.hex(), e.span_id.hex()) for e in point.exemplars],
                    value=None if is_histogram else getattr(point, point.WhichOneof("value"))))
    return found


def logs_of_request(payload):
    """Records of lines, in the order in which they were written."""
    request = _parsed(payload, ExportLogsServiceRequest())
    return sorted((SimpleNamespace(
        resource=_attributes(of.resource.attributes), service=_attributes(
            of.resource.attributes).get("service.name"), scope=scope.scope.name,
        body=_value(log.body), trace=log.trace_id.hex(), span=log.span_id.hex(), flags=log.flags,
        severity=log.severity_number, word=log.severity_text, time=log.time_unix_nano,
        observed=log.observed_time_unix_nano, attributes=_attributes(log.attributes))
        for of in request.resource_logs for scope in of.scope_logs for log in scope.log_records),
        key=lambda log: log.observed)


def _crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    """RFC 3720, B.4, bit by table: slow, for small frames only."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def frames_of_file(data, verify=False):
    """The payloads of a store file. A frame that is still being written ends the list."""
    offset = 0
    while data[offset:offset + 4] == MAGIC and offset + 12 <= len(data):
        length, checksum = struct.unpack_from("<II", data, offset + 4)
        payload = data[offset + 12:offset + 12 + length]
        if len(payload) < length:
            return
        if verify and crc32c(payload) != checksum:
            raise ValueError("a frame with a wrong checksum at %d" % offset)
        yield payload
        offset += 12 + length


_decoded = {}  # path: (size, spans); the files only grow


def spans_of_store(directory, verify=False):
    found = []
    for path in sorted(glob.glob(os.path.join(directory, "*.otlp"))):
        size = os.path.getsize(path)
        if verify or _decoded.get(path, (None,))[0] != size:
            with open(path, "rb") as file:
                data = file.read()
            _decoded[path] = (len(data), [
                span for payload in frames_of_file(data, verify)
                for span in spans_of_request(payload)])
        found += _decoded[path][1]
    return found


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        collector = self.server.collector
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        script, posts = {
            collector.metrics_path: (collector.metrics_script, collector.metrics_posts),
            collector.logs_path: (collector.logs_script, collector.logs_posts),
        }.get(self.path, (collector.script, collector.posts))
        with collector.lock:
            answer = script.pop(0) if script else collector.default
            post = SimpleNamespace(path=self.path, headers=self.headers, body=body,
                                   peer=self.client_address, answer=answer, status=None)
            posts.append(post)
        self.post = post
        answer(self)

    def send(self, status, body=b"", **headers):
        self.post.status = status
        self.send_response(status)
        if "Content_Type" not in headers:
            self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def accept(handler):
    handler.send(200)


def partial(rejected, message="some were refused"):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    return lambda handler: handler.send(200, answer.SerializeToString())


def partial_json(rejected, message="some were refused"):
    answer = json.dumps({"partialSuccess": {"rejectedSpans": str(rejected),
                                            "errorMessage": message}}).encode()
    return lambda handler: handler.send(200, answer, Content_Type="application/json")


def refuse(status, **headers):
    return lambda handler: handler.send(status, **headers)


def up_to(limit):
    """Of this many bytes; a larger body is refused."""
    return lambda handler: (refuse(413) if int(handler.headers["Content-Length"]) > limit
                            else accept)(handler)


def hang_up(handler):
    handler.close_connection = True


def never(handler):
    handler.server.collector.released.wait(60)
    handler.close_connection = True


def nonsense(handler):
    handler.wfile.write(b"\x00\xff this is not HTTP at all\r\n\r\n")
    handler.close_connection = True


class Collector:
    """An OTLP/HTTP receiver. script: answers for the next requests; then default. Metrics and logs
    are kept apart."""
    metrics_path, logs_path = "/v1/metrics", "/v1/logs"

    def __init__(self, scene=None, script=(), default=accept, port=0, tls=None):
        self.posts, self.script, self.default = [], list(script), default
        self.metrics_posts, self.metrics_script = [], []
        self.logs_posts, self.logs_script = [], []
        self.lock, self.released = threading.Lock(), threading.Event()
        http.server.ThreadingHTTPServer.daemon_threads = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self.server.collector = self
        self.server.handle_error = lambda *_: None
        self.is_tls = tls is not None
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        if scene is not None:
            scene.servers.append(self)

    @property
    def endpoint(self):
        return ("https://localhost:%d" if self.is_tls else "http://127.0.0.1:%d") % self.port

    def spans(self):
        """What was accepted."""
        return [span for post in list(self.posts) if post.answer is accept
                for span in spans_of_request(post.body)]

    def points(self, name=None):
        """Data points of metrics that were accepted, in the order in which they came."""
        return [point for post in list(self.metrics_posts) if post.answer is accept
                for point in points_of_request(post.body) if name in (None, point.name)]

    def logs(self):
        """Records that were accepted, in the order in which their lines were written."""
        return sorted((log for post in list(self.logs_posts) if post.answer is accept
                       for log in logs_of_request(post.body)), key=lambda log: log.observed)

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
