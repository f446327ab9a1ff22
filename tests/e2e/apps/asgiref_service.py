# SPDX-License-Identifier: Apache-2.0
"""Coroutines that threads run by asgiref, as Django runs its async views under WSGI: each in a loop of
its own, made for one request. asgiref_service.py PORT TARGET, or by uWSGI with TARGET in the environment.
/<way>/<number> calls TARGET/<way>/<number>, as often as the way does."""
import asyncio
import http.client
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync, sync_to_async

TARGET = urlsplit(sys.argv[2] if __name__ == "__main__" else os.environ["TARGET"])


def call(path):
    connection = http.client.HTTPConnection(TARGET.netloc)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()


async def stream(path):
    reader, writer = await asyncio.open_connection(TARGET.hostname, TARGET.port)
    writer.write(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path).encode())
    await reader.readuntil(b"\r\n\r\nok")
    writer.close()


@async_to_sync
async def streams(path):
    await stream(path)
    await stream(path)


@async_to_sync
async def gather(path):
    await asyncio.gather(stream(path), stream(path))


@async_to_sync
async def sensitive(path):
    """Back in the thread of the request, as the ORM's calls are."""
    await sync_to_async(call)(path)
    await sync_to_async(call)(path)


def mixed(path):
    """Before it, in a loop, and after it."""
    call(path)
    async_to_sync(stream)(path)
    async_to_sync(sync_to_async(call))(path)
    call(path)


def plain(path):
    call(path)
    call(path)


WAYS = {"plain": plain, "streams": streams, "gather": gather, "sensitive": sensitive, "mixed": mixed}


def application(environ, start_response):
    WAYS[environ["PATH_INFO"].split("/")[1]](environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2"), ("Connection", "close")])
    return [b"ok"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        WAYS[self.path.split("/")[1]](self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
