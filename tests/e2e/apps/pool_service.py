# SPDX-License-Identifier: Apache-2.0
"""pool_service.py KIND PORT STORE_PORT: an HTTP service of threads. /r/N asks a Redis, a memcached or
a MongoDB about the key N, over connections of a pool: Redis one by one and in a pipeline, the others
by storing it once and asking for it one to three times."""
import http.server
import sys

KIND, PORT, STORE_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def redis_asker():
    import redis
    pool = redis.ConnectionPool(host="127.0.0.1", port=STORE_PORT)

    def ask(number):
        client = redis.Redis(connection_pool=pool)
        client.incr("count:" + number)
        pipeline = client.pipeline(transaction=False)
        pipeline.set("key:" + number, "value").get("key:" + number)
        return pipeline.execute()
    return ask


def memcached_asker():
    from pymemcache.client.base import PooledClient
    pool = PooledClient(("127.0.0.1", STORE_PORT), max_pool_size=64)

    def ask(number):
        pool.set("key" + number, b"value", noreply=False)
        return [pool.get("key" + number) for _ in range(1 + int(number) % 3)]
    return ask


def mongodb_asker():
    import pymongo
    keys = pymongo.MongoClient("127.0.0.1", STORE_PORT, maxPoolSize=64).shop.keys

    def ask(number):
        keys.insert_one({"_id": number})
        return [keys.find_one({"_id": number}) for _ in range(1 + int(number) % 3)]
    return ask


ASK = {"redis": redis_asker, "memcached": memcached_asker, "mongodb": mongodb_asker}[KIND]()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = repr(ASK(self.path.rsplit("/", 1)[1])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


Server(("127.0.0.1", PORT), Handler).serve_forever()
