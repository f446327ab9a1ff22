# SPDX-License-Identifier: Apache-2.0
"""Tornado's server and clients: tornado_service.py PORT TARGET. /<way>/<number> calls
TARGET/<way>/<number>, as often as the way does. The clients are Tornado's own, or with "curl" as a
third argument libcurl's, which works for all requests at once; with "few" for ten, and the rest queue."""
import asyncio
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from tornado import httpclient, ioloop, web

TARGET = sys.argv[2]
executor = ThreadPoolExecutor(8)
client = None  # made in the loop


async def call(path):
    await client.fetch(TARGET + path, request_timeout=60, connect_timeout=60)


async def sequence(path):
    await call(path)
    await call(path)


async def gather(path):
    await asyncio.gather(call(path), call(path))
    await call(path)


async def in_executor(path):
    for _ in range(2):
        await ioloop.IOLoop.current().run_in_executor(
            executor, lambda: urllib.request.urlopen(TARGET + path).read())


async def background(path):
    await call(path)
    ioloop.IOLoop.current().spawn_callback(call, path)

WAYS = {"sequence": sequence, "gather": gather, "executor": in_executor, "background": background}


class Handler(web.RequestHandler):
    async def get(self, way):
        await WAYS[way](self.request.path)
        self.write("ok")


async def main():
    global client
    client = httpclient.AsyncHTTPClient(max_clients=10 if "few" in sys.argv else 200)
    web.Application([(r"/(\w+)/\w+", Handler)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()

if "curl" in sys.argv:
    httpclient.AsyncHTTPClient.configure("tornado.curl_httpclient.CurlAsyncHTTPClient")
asyncio.run(main())
