# SPDX-License-Identifier: Apache-2.0
"""A service that puts tokens into a Redis list, and in the same process the consumer of it: by BLPOP
one at a time, or by LPOP ten at once; for each a call to the backend, after which it is answered."""
import http.server
import os
import threading
import urllib.request

import redis

BACK = "http://127.0.0.1:%s/" % os.environ["BACK_HTTP"]
server = redis.Redis(port=int(os.environ["REDIS_PORT"]))
done = {}


def take_one():
    return [server.blpop("blpop")[1]]


def take_ten():
    return server.lpop("lpop", 10) or [server.blpop("lpop")[1]]


def consume(take):
    while True:
        for message in take():
            token = message.decode()
            urllib.request.urlopen("%s%s.0" % (BACK, token)).read()
            done[token].set()


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        _, cell, token = self.path.split("/")
        done[token] = threading.Event()
        server.rpush(cell, token)
        done[token].wait(60)
        del done[token]
        self.send_response(200)
        self.send_header("Content-Length", str(len(token)))
        self.end_headers()
        self.wfile.write(token.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    for each in (take_one, take_ten):
        for _ in range(4):
            threading.Thread(target=consume, args=(each,), daemon=True).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["APP_PORT"])),
                                    Service).serve_forever()
