# SPDX-License-Identifier: Apache-2.0
"""A service that starts programs for its requests and answers what they print: starting_service.py
PORT. /program: another program, /fork: a child of its own."""
import http.server
import os
import subprocess
import sys


def program():
    return subprocess.run([sys.executable, "-c", "print('a line', flush=True)"],
                          stdout=subprocess.PIPE, check=True).stdout


def fork():
    ours, its = os.pipe()
    if os.fork() == 0:
        os.dup2(its, 1)
        os.write(1, b"a line\n")
        os._exit(0)
    os.close(its)
    with os.fdopen(ours, "rb") as file:
        said = file.read()
    os.wait()
    return said


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        body = program() if self.path == "/program" else fork()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
