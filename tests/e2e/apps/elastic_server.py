# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Elasticsearch and OpenSearch: answers every request as their references say their
servers do, as far as clients look at it, and writes what it got, a line of JSON each, to a file.

elastic_server.py PORT LOG PRODUCT [CERTIFICATE KEY]; PRODUCT: elasticsearch, opensearch, or nothing,
which answers without a header that names a product.
"""
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEADERS = {"elasticsearch": ("X-elastic-product", "Elasticsearch"),
           "opensearch": ("X-OpenSearch-Version", "OpenSearch/3.0.0 (opensearch)")}
VERSIONS = {"opensearch": {"distribution": "opensearch", "number": "3.0.0"}}
PORT, LOG, PRODUCT = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def about():
    version = VERSIONS.get(PRODUCT, {"number": "8.11.0", "build_flavor": "default"})
    return {"name": "n", "cluster_name": "c", "cluster_uuid": "u", "version": version,
            "tagline": "You Know, for Search"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while True:
            size = int(self.rfile.readline(), 16)
            whole += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return whole

    def answer(self):
        body = self.body()
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(json.dumps({"method": self.command, "path": self.path,
                                  "headers": list(self.headers.items()),
                                  "body": body.decode("latin-1")}) + "\n")
        path = self.path.split("?")[0]
        status, said = (200, about()) if path == "/" else (200, {"acknowledged": True})
        if "missing" in path:
            status, said = 404, {"error": {"type": "index_not_found_exception"}, "status": 404}
        elif path.endswith("_bulk"):
            said = {"took": 1, "errors": False, "items": []}
        elif path.endswith("_search"):
            said = {"took": 1, "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []}}
        text = json.dumps(said).encode()
        media = "application/json"
        if "vnd.elasticsearch" in self.headers.get("Accept", ""):
            media = "application/vnd.elasticsearch+json;compatible-with=8"
        self.send_response(status)
        if PRODUCT in HEADERS:
            self.send_header(*HEADERS[PRODUCT])
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
