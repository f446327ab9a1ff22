# SPDX-License-Identifier: Apache-2.0
"""nats_within.py PORT NATS_PORT: a server whose requests each send a message, wait for its answer on
a subject of their own, and ask a peer of plain HTTP then. A thread a connection, no time-outs."""
import http.server
import re
import socket
import sys
import urllib.request

kept = []  # connections are, as in a pool
NATS = ("127.0.0.1", int(sys.argv[2]))


def ask(number):
    subject = b"answers.%d" % number
    nats = socket.create_connection(NATS)
    kept.append(nats)
    file = nats.makefile("rb")
    file.readline()
    nats.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB %s 1\r\n' % subject)
    nats.sendall(b"PUB %s 4\r\nbody\r\n" % subject)
    head = file.readline()
    assert re.match(rb"H?MSG " + subject, head), head
    return file.read(int(head.split()[-1]) + 2)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        number = int(self.path.rsplit("/")[-1])
        if self.path.startswith("/within/"):
            assert ask(number).endswith(b"body\r\n")
            url = "http://127.0.0.1:%d/after/%d" % (self.server.server_port, number)
            urllib.request.urlopen(url, timeout=20).read()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
