# SPDX-License-Identifier: Apache-2.0
"""A collector that can be killed: keeps what it gets in a file, then answers.

  collector.py PORT FILE     appends the length of a body, 4 bytes, and the body, by one write
"""
import http.server
import os
import struct
import sys

out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            os.write(out, struct.pack("<I", len(body)) + body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
