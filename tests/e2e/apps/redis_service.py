# SPDX-License-Identifier: Apache-2.0
"""redis_service.py PORT REDIS_PORT: an HTTP service of threads. /r/N asks a Redis for the key N, over
connections of a pool, one by one and in a pipeline."""
import http.server
import sys

import redis

POOL = redis.ConnectionPool(host="127.0.0.1", port=int(sys.argv[2]))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        number = self.path.rsplit("/", 1)[1]
        client = redis.Redis(connection_pool=POOL)
        client.incr("count:" + number)
        pipeline = client.pipeline(transaction=False)
        pipeline.set("key:" + number, "value").get("key:" + number)
        body = repr(pipeline.execute()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
