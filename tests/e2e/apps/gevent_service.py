# SPDX-License-Identifier: Apache-2.0
"""Requests in greenlets: gevent_service.py PORT TARGET, or by gunicorn with TARGET in the environment.
/<way>/<number> calls TARGET/<way>/<number>, as often as the way does."""
from gevent import monkey

monkey.patch_all()
import http.client  # noqa: E402
import os  # noqa: E402
import queue  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from urllib.parse import urlsplit  # noqa: E402

import gevent  # noqa: E402
from gevent.lock import BoundedSemaphore  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

HOST = urlsplit(sys.argv[2] if len(sys.argv) > 2 and "gunicorn" not in sys.argv[0]
                else os.environ["TARGET"]).netloc
few = BoundedSemaphore(4)
group = Pool(4)
kept = queue.LifoQueue()


def call(path):
    connection = http.client.HTTPConnection(HOST)
    use(connection, path)
    connection.close()


def use(connection, path):
    connection.request("GET", path)
    connection.getresponse().read()


def sequence(path):
    call(path)
    call(path)


def pool(path):
    for _ in range(2):
        with few:
            call(path)


def sleep(path):
    for _ in range(2):
        gevent.sleep(0.003)
        call(path)


def connections(path):
    """Of a pool in a queue: another request's connection, kept open."""
    for _ in range(2):
        try:
            connection = kept.get_nowait()
        except queue.Empty:
            connection = http.client.HTTPConnection(HOST)
        use(connection, path)
        kept.put(connection)


def spawn(path):
    gevent.joinall([gevent.spawn(call, path) for _ in range(2)])


def grouped(path):
    gevent.joinall([group.spawn(call, path) for _ in range(2)])


def thread(path):
    threads = [threading.Thread(target=call, args=(path,)) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def offloaded(path):
    gevent.get_hub().threadpool.apply(len, ("",))
    sequence(path)


def background(path):
    call(path)
    gevent.spawn_later(0.005, call, path)


WAYS = {each.__name__: each for each in (sequence, pool, sleep, connections, spawn, grouped, thread,
                                         offloaded, background)}


def application(environ, start_response):
    WAYS[environ["PATH_INFO"].split("/")[1]](environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, backlog=256, log=None).serve_forever()
