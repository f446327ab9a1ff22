# SPDX-License-Identifier: Apache-2.0
"""An ordinary threaded HTTP service that knows nothing of tracing: http.server and urllib.

  service.py PORT [--http10] [--prefork N] [--fork-per-request]
    /fetch?url=U[&header=N:V]  answers what GET U answered        /echo    the request's head as JSON
    /status/N, /nocontent, /notmodified, /chunked, /early, /cut, /reset, /slow?s=N, /exit/N
    POST /test                 [{"url": U, "arguments": A}, ...]: POSTs A to each U, then answers
    POST /anything             the length and digest of the body
"""
import hashlib
import http.server
import json
import os
import socket
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))


def fetch(url, data=None, headers=None, timeout=20):
    request = urllib.request.Request(url, data, headers or {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return answer.status, answer.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0" if "--http10" in sys.argv else "HTTP/1.1"

    def answer(self, status, body=b"", content_type="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def bare(self, status):
        self.send_response(status)
        self.end_headers()

    def query(self):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))

    def do_fetch(self):
        query = self.query()
        headers = dict([query["header"].split(":", 1)]) if "header" in query else {}
        try:
            status, body = fetch(query["url"], None, headers, float(query.get("timeout", 20)))
        except urllib.error.HTTPError as error:
            status, body = 502, b"upstream said %d" % error.code
        except Exception as error:
            status, body = 502, type(error).__name__.encode()
        self.answer(status, body)

    def do_echo(self):
        head = [[name, value] for name, value in self.headers.items()]
        self.answer(200, json.dumps(head).encode(), "application/json")

    def do_chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        for size in (1, 10, 5000):
            self.wfile.write(b"%x\r\n%s\r\n" % (size, b"c" * size))
        self.wfile.write(b"0\r\nX-Sum: 5011\r\n\r\n")

    def do_cut(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half of it")
        self.close_connection = True

    def do_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        self.wfile = open(os.devnull, "wb")
        self.rfile = open(os.devnull, "rb")

    def do_slow(self):
        time.sleep(float(self.query()["s"]))
        try:
            self.answer(200, b"late")
        except OSError:
            self.close_connection = True

    def do_GET(self):
        first = urllib.parse.urlsplit(self.path).path.split("/")[1]
        if first == "status":
            self.answer(int(self.path.split("/")[2]), b"as you wish")
        elif first == "nocontent":
            self.bare(204)
        elif first == "notmodified":
            self.bare(304)
        elif first == "early":
            self.connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
            self.answer(200, b"at last")
        elif first == "exit":
            self.answer(200, b"bye")
            self.wfile.flush()
            os._exit(int(self.path.split("/")[2]))
        elif first in ("fetch", "echo", "chunked", "cut", "reset", "slow"):
            getattr(self, "do_" + first)()
        else:
            self.answer(200, b"hello from %07d\n" % os.getpid())  # as long for each process

    do_HEAD = do_DELETE = do_OPTIONS = do_FROB = do_GET

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return b"".join(parts)

    def do_POST(self):
        body = self.body()
        if self.path != "/test":
            text = "%d %s" % (len(body), hashlib.sha256(body).hexdigest())
            return self.answer(200, text.encode())
        for call in json.loads(body):
            fetch(call["url"], json.dumps(call["arguments"]).encode(),
                  {"Content-Type": "application/json"})
        self.answer(200, b"{}", "application/json")

    do_PUT = do_PATCH = do_POST

    def log_message(self, *_):
        pass


class Threaded(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    handle_error = lambda *_: None


class ForkEach(http.server.socketserver.ForkingMixIn, http.server.HTTPServer):
    request_queue_size = 128


def prefork(port, workers):
    """Each worker accepts for itself and serves one request at a time."""
    server = http.server.HTTPServer(("127.0.0.1", port), Handler, bind_and_activate=False)
    server.request_queue_size = 128
    server.server_bind()
    server.server_activate()
    for _ in range(workers):
        if os.fork() == 0:
            server.serve_forever()
    for _ in range(workers):
        os.wait()


if __name__ == "__main__":
    number = int(sys.argv[1])
    if "--prefork" in sys.argv:
        prefork(number, int(sys.argv[sys.argv.index("--prefork") + 1]))
    elif "--fork-per-request" in sys.argv:
        ForkEach(("127.0.0.1", number), Handler).serve_forever()
    else:
        Threaded(("127.0.0.1", number), Handler).serve_forever()
