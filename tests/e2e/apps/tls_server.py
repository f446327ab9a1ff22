#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server that answers what it received: tls_server.py PORT CERTIFICATE KEY.

The body of an answer: the lines of the request's head but for those of the trace context, in their
order, and the digest of its body; the trace context is in a header of the answer."""
import hashlib
import http.server
import os
import ssl
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        context = [line for line in lines if line.lower().startswith("traceparent:")]
        kept = [line for line in lines if line not in context]
        text = "\n".join([self.requestline, *kept, hashlib.sha256(body).hexdigest(), ""]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Contexts", str(len(context)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        self.wfile.flush()
        # Whole, whichever other thread writes its own.
        sys.stdout.write("%d %s %s %d\n" % (len(context), context[0][13:] if context else "-",
                                            self.path, self.client_address[1]))
        sys.stdout.flush()

    do_GET = do_POST = do_HEAD = do_PUT = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def finish_request(self, request, address):
        super().finish_request(CONTEXT.wrap_socket(request, server_side=True), address)

    def handle_error(self, *_):
        pass  # a client that does not trust us


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
if os.environ.get("KTLS"):
    CONTEXT.options |= 8  # SSL_OP_ENABLE_KTLS, which this Python has no name for
CONTEXT.load_cert_chain(sys.argv[2], sys.argv[3])
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
