# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the queues of clouds, in the test's own process: SQS and SNS in both of their
protocols, which believe nobody whose signature does not hold, and Pub/Sub's REST interface."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import subprocess
import threading
import urllib.parse
from xml.sax.saxutils import escape

SECRET = "secret/of+the/test"


def _key(scope):
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signature(method, path, headers, signed, scope, body):
    """Of Amazon's version 4; headers: pairs as they stand in the head."""
    lines = []
    for name in signed:
        values = [" ".join(value.split()) for key, value in headers if key.lower() == name]
        lines.append("%s:%s\n" % (name, ",".join(values)))
    date = next(value for key, value in headers if key.lower() == "x-amz-date")
    request = "\n".join([method, path, "", "".join(lines), ";".join(signed),
                         hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope,
                      hashlib.sha256(request.encode()).hexdigest()])
    return hmac.new(_key(scope), text.encode(), hashlib.sha256).hexdigest()


def is_signed(method, path, headers, body):
    """Does the head's signature hold, for what has arrived?"""
    given = [value for key, value in headers if key.lower() == "authorization"]
    if len(given) != 1 or not given[0].startswith("AWS4-HMAC-SHA256 "):
        return False
    parts = dict(part.strip().split("=", 1) for part in given[0].split(" ", 1)[1].split(","))
    scope = parts["Credential"].split("/", 1)[1]
    return parts["Signature"] == signature(method, path, headers,
                                           parts["SignedHeaders"].split(";"), scope, body)


class Request:
    def __init__(self, handler, body):
        self.method, self.path, self.body = handler.command, handler.path, body
        self.headers = list(handler.headers.items())
        self.holds = is_signed(self.method, self.path, self.headers, body)
        self.operation = ""
        self.messages = []  # what it sent, or got

    def of(self, name):
        return [value for key, value in self.headers if key.lower() == name]


class Cloud:
    """Listens until the scene ends. `requests` is what has come, in order. is_secure: at `port`
    inside TLS; at plain_port in the open, in any case."""

    def __init__(self, scene, is_secure=False):
        self.requests, self.waiting, self.numbers = [], [], 0
        self.lock = threading.Lock()
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with cloud.lock:
                    request = Request(self, body)
                    cloud.requests.append(request)
                    self.answer(*cloud.answer(request))

            def answer(self, status, content_type, body, is_chunked=False):
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                if not is_chunked:
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for at in range(0, len(body), 97):
                    part = body[at:at + 97]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.servers, self.certificate = [], None
        self.plain_port = self.port = self.serve(Handler)
        if is_secure:
            self.certificate = os.path.join(scene.directory, "certificate.pem")
            key = os.path.join(scene.directory, "key.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                            key, "-out", self.certificate], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, key)
            self.port = self.serve(Handler, context)
        scene.servers.append(self)

    def serve(self, handler, context=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True,
                                                do_handshake_on_connect=False)
        self.servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server.server_address[1]

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def named(self, operation):
        return [request for request in self.requests if request.operation == operation]

    def answer(self, request):
        if request.path.startswith("/v1/"):
            return self.pubsub(request)
        if not request.holds:
            return 403, "text/plain", b"SignatureDoesNotMatch"
        target = request.of("x-amz-target")
        if target:
            request.operation = target[0].split(".")[1]
            return 200, "application/x-amz-json-1.0", self.by_json(request)
        form = dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True))
        request.operation = form["Action"]
        return 200, "text/xml", self.by_form(request, form)

    # --- SQS: what is the same in both protocols ---

    def put(self, request, body, own=None):
        """The head's line counts for all messages of a request."""
        self.numbers += 1
        trace = request.of("x-amzn-trace-id")
        message = {"id": "m%d" % self.numbers, "body": body, "own": own,
                   "trace": trace[0] if trace else None}
        request.messages.append(message)
        self.waiting.append(message)
        return message

    def take(self, request, most):
        request.messages, self.waiting = self.waiting[:most], self.waiting[most:]
        return request.messages

    def by_json(self, request):
        asked = json.loads(request.body)
        assert asked.get("QueueUrl", "").endswith("/orders"), asked

        def put(entry):
            own = entry.get("MessageAttributes", {}).get("traceparent", {}).get("StringValue")
            message = self.put(request, entry["MessageBody"], own)
            return {"MessageId": message["id"],
                    "MD5OfMessageBody": hashlib.md5(message["body"].encode()).hexdigest()}
        if request.operation == "SendMessage":
            return json.dumps(put(asked)).encode()
        if request.operation == "SendMessageBatch":
            return json.dumps({"Failed": [], "Successful": [dict(put(entry), Id=entry["Id"]) for
                                                            entry in asked["Entries"]]}).encode()
        if request.operation == "ReceiveMessage":
            messages = []
            for message in self.take(request, asked["MaxNumberOfMessages"]):
                told = {"MessageId": message["id"], "ReceiptHandle": message["id"],
                        "Body": message["body"], "Attributes": {"SenderId": "AKIDEXAMPLE"},
                        "MD5OfBody": hashlib.md5(message["body"].encode()).hexdigest()}
                if message["trace"]:
                    told["Attributes"]["AWSTraceHeader"] = message["trace"]
                if message["own"]:
                    told["MessageAttributes"] = {"traceparent": {"DataType": "String",
                                                                 "StringValue": message["own"]}}
                messages.append(told)
            return json.dumps({"Messages": messages} if messages else {}).encode()
        return b"{}"

    def by_form(self, request, form):
        def put(prefix):
            own = form.get(prefix + "MessageAttribute.1.Value.StringValue")
            message = self.put(request, form[prefix + "MessageBody"], own)
            return "<MessageId>%s</MessageId><MD5OfMessageBody>%s</MD5OfMessageBody>" % (
                message["id"], hashlib.md5(message["body"].encode()).hexdigest())
        inner = ""
        if request.operation == "SendMessage":
            inner = put("")
        elif request.operation == "SendMessageBatch":
            for number in range(1, 11):
                prefix = "SendMessageBatchRequestEntry.%d." % number
                if prefix + "Id" in form:
                    inner += "<SendMessageBatchResultEntry><Id>%s</Id>%s" \
                        "</SendMessageBatchResultEntry>" % (form[prefix + "Id"], put(prefix))
        elif request.operation == "ReceiveMessage":
            for message in self.take(request, int(form["MaxNumberOfMessages"])):
                inner += "<Message><MessageId>%s</MessageId><ReceiptHandle>%s</ReceiptHandle>" \
                    "<MD5OfBody>%s</MD5OfBody><Body>%s</Body>" % (
                        message["id"], message["id"],
                        hashlib.md5(message["body"].encode()).hexdigest(),
                        escape(message["body"]))
                pairs = [("SenderId", "AKIDEXAMPLE")]
                if message["trace"]:
                    pairs.append(("AWSTraceHeader", message["trace"]))
                inner += "".join("<Attribute><Name>%s</Name><Value>%s</Value></Attribute>" % pair
                                 for pair in pairs)
                if message["own"]:
                    inner += "<MessageAttribute><Name>traceparent</Name><Value><StringValue>%s" \
                        "</StringValue><DataType>String</DataType></Value></MessageAttribute>" \
                        % message["own"]
                inner += "</Message>"
        elif request.operation == "Publish":
            inner = "<MessageId>%s</MessageId>" % self.put(request, form["Message"])["id"]
            self.waiting.clear()
        return ("<?xml version=\"1.0\"?><%sResponse xmlns=\"http://queue.amazonaws.com/doc/"
                "2012-11-05/\"><%sResult>%s</%sResult><ResponseMetadata><RequestId>r</RequestId>"
                "</ResponseMetadata></%sResponse>" % ((request.operation,) * 2 + (inner,) +
                                                      (request.operation,) * 2)).encode()

    # --- Pub/Sub ---

    def pubsub(self, request):
        asked = json.loads(request.body)
        request.operation = request.path.split(":")[1]
        told = {}
        if request.operation == "publish":
            for message in asked["messages"]:
                base64.b64decode(message["data"])
                self.numbers += 1
                request.messages.append(dict(message, messageId=str(self.numbers)))
            self.waiting += request.messages
            told = {"messageIds": [message["messageId"] for message in request.messages]}
        elif request.operation == "pull":
            messages = self.take(request, asked["maxMessages"])
            told = {"receivedMessages": [{"ackId": message["messageId"], "message": message}
                                         for message in messages]} if messages else {}
        return 200, "application/json; charset=UTF-8", json.dumps(told, indent=2).encode(), \
            request.operation == "pull"
