# SPDX-License-Identifier: Apache-2.0
"""A threaded HTTP service that asks SQLite for every request: sqlite_service.py PORT DATABASE
Each statement bears the request's number as a name, which is no literal."""
import http.server
import sqlite3
import sys
import threading

kept = threading.local()


def database():
    """A connection for each thread, as frameworks have it."""
    if not hasattr(kept, "connection"):
        kept.connection = sqlite3.connect(sys.argv[2], timeout=60, isolation_level=None)
    return kept.connection


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        number = int(self.path.rsplit("/", 1)[1])
        asked = database()
        asked.execute("INSERT INTO visits VALUES (%d, 'secret')" % number)
        rows = asked.execute("SELECT n AS r%d FROM goods ORDER BY n" % number)
        first = rows.fetchone()[0]
        asked.execute("SELECT count(*) AS u%d FROM visits WHERE n = %d" % (number, number))
        rest = len(rows.fetchall())
        body = b"%d %d" % (first, rest)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
