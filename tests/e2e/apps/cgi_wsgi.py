# SPDX-License-Identifier: Apache-2.0
"""What a request may ask of a web application in the tests of CGI's descendants: a WSGI application."""
import os
import signal
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)


def call(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


def application(environ, start):
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
    if "die" in query:
        os.kill(os.getpid(), signal.SIGKILL)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    lines = ["%d" % len(body)]
    if "dump" in query:
        lines = sorted("%s=%s" % pair for pair in environ.items() if isinstance(pair[1], str))
    if "call" in query:
        url = "%s/leaf?n=%s" % (query["call"], query["n"])
        lines.append(pool.submit(call, url).result() if "pool" in query else call(url))
    start(query.get("status", "200 OK"), [("Content-Type", "text/plain")])
    return [("\n".join(lines) + "\n").encode()]
