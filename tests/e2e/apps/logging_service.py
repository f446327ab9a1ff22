# SPDX-License-Identifier: Apache-2.0
"""An ordinary service with logs that knows nothing of tracing: logging_service.py PORT FOLDER.

A request GET /r/N writes N as text to standard error and to text.log, as JSON to json.log, and over
several lines to blocks.log; bytes that are no whole lines go to parts.log."""
import http.server
import json
import logging
import os
import sys
import threading

FOLDER = sys.argv[2]


class AsJson(logging.Formatter):
    def format(self, record):
        return json.dumps({"level": record.levelname, "path": record.getMessage()})


def logger(name, handler, formatter=None):
    found = logging.getLogger(name)
    found.propagate = False
    found.setLevel(logging.INFO)
    handler.setFormatter(formatter or logging.Formatter("%(levelname)s %(message)s"))
    found.addHandler(handler)
    return found


def file(name):
    return logging.FileHandler(os.path.join(FOLDER, name + ".log"))


LOGS = [logger("text", file("text")), logger("json", file("json"), AsJson()),
        logger("error", logging.StreamHandler())]
BLOCKS = logger("blocks", file("blocks"))
PARTS = os.open(os.path.join(FOLDER, "parts.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
TWO_PARTS = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        for log in LOGS:
            log.info(self.path)
        BLOCKS.info("%s\n  and more of it", self.path)
        if self.path.endswith("7"):
            with TWO_PARTS:
                os.write(PARTS, b"%s in " % self.path.encode())
                os.write(PARTS, b"two parts\n")
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        LOGS[0].info("%s after", self.path)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
