# SPDX-License-Identifier: Apache-2.0
"""An aiohttp service. GET /HOW/N calls the backend at /HOW/K/N for some K, in the way named HOW.

aio_service.py PORT BACKEND [uvloop]
"""
import asyncio
import collections
import os
import queue as queues
import ssl
import sys
import threading
import types
import urllib.request

import aiohttp
from aiohttp import web

PORT, BACKEND = int(sys.argv[1]), sys.argv[2]
kept = set()


def url(how, k, number):
    return f"{BACKEND}/{how}/{k}/{number}"


async def call(app, how, k, number, session="session"):
    async with app[session].get(url(how, k, number)) as answer:
        await answer.read()


def call_blocking(how, k, number):
    urllib.request.urlopen(url(how, k, number)).read()


async def sequence(app, number):
    await call(app, "sequence", 1, number)
    await call(app, "sequence", 2, number)


async def gather(app, number):
    await asyncio.gather(*(call(app, "gather", k, number) for k in (1, 2, 3)))
    await call(app, "gather", 4, number)


async def pool(app, number):
    """Many requests wait for four connections."""
    await call(app, "pool", 1, number, "small")
    await call(app, "pool", 2, number, "small")


async def sleep(app, number):
    await asyncio.sleep(0.003)
    await call(app, "sleep", 1, number)
    await asyncio.sleep(0)
    await call(app, "sleep", 2, number)


async def soon(app, number):
    """Callbacks of the loop, which make tasks."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def begin(k):
        task = loop.create_task(call(app, "soon", k, number))
        if k == 2:
            task.add_done_callback(lambda _: done.set_result(None))
        else:
            task.add_done_callback(lambda _: loop.call_later(0.002, begin, 2))

    loop.call_soon(begin, 1)
    await done


async def executor(app, number):
    await asyncio.get_running_loop().run_in_executor(None, call_blocking, "executor", 1, number)
    await call(app, "executor", 2, number)


async def thread(app, number):
    await asyncio.to_thread(call_blocking, "thread", 1, number)
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def work():
        call_blocking("thread", 2, number)
        future = asyncio.run_coroutine_threadsafe(call(app, "thread", 3, number), loop)
        future.result()
        loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=work).start()
    await done
    await call(app, "thread", 4, number)


async def background(app, number):
    """Work that outlives the request, and waits for the small pool."""
    async def later():
        await asyncio.sleep(0.005)
        await call(app, "background", 2, number, "small")
        await call(app, "background", 3, number, "small")

    task = asyncio.create_task(later())
    kept.add(task)
    task.add_done_callback(kept.discard)
    await call(app, "background", 1, number)


async def streams(app, number):
    """Connections of its own, without a library."""
    host, port = BACKEND.rpartition("/")[2].split(":")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 10)
    for k in (1, 2):
        writer.write(f"GET /streams/{k}/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await writer.drain()
        await reader.readuntil(b"ok")
    writer.close()


async def event(app, number):
    """Tasks of the program's own start wait for the request, and are woken by it."""
    done = asyncio.get_running_loop().create_future()
    await app["requests"].put((number, done))
    await done
    await call(app, "event", 2, number)


async def consume(app):
    while True:
        number, done = await app["requests"].get()
        await call(app, "event", 1, number)
        done.set_result(None)


async def queue(app, number):
    """Tasks of the program's own start take one request's item after another's, without a wait."""
    done = asyncio.get_running_loop().create_future()
    app["items"].put_nowait((number, done))
    await done
    await call(app, "queue", 3, number)


async def work(app, take):
    while True:
        try:
            number, done = await take()
        except asyncio.TimeoutError:
            continue
        await call(app, "queue", 1, number)
        done.set_result(None)
        await call(app, "queue", 2, number, "small")


def in_time(items):
    return lambda: asyncio.wait_for(items.get(), 0.5)


async def queue_of_threads(app, number):
    """The same with threads, which are there before any request."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    app["threads"].put((number, lambda: loop.call_soon_threadsafe(done.set_result, None)))
    await done


def work_in_thread(items):
    while True:
        number, done = items.get()
        call_blocking("queue_of_threads", 1, number)
        done()
        call_blocking("queue_of_threads", 2, number)


async def pool_in_queue(app, number):
    """What is taken from a queue to work with, and put back, is nobody's work."""
    for k in (1, 2):
        worker = await app["workers"].get()
        await call(app, "pool_in_queue", k, number)
        app["workers"].put_nowait(worker)


class Shared:
    """One connection for all requests, which ask without waiting for each other."""

    async def start(self):
        host, port = BACKEND.rpartition("/")[2].split(":")
        self.reader, self.writer = await asyncio.open_connection(host, port)
        self.asked = collections.deque()
        kept.add(asyncio.create_task(self.read()))

    async def read(self):
        while True:
            await self.reader.readuntil(b"\r\n\r\n")
            await self.reader.readexactly(2)
            self.asked.popleft().set_result(None)

    async def ask(self, path):
        answer = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await answer


async def shared(app, number):
    for k in (1, 2):
        await app["shared"].ask(f"/shared/{k}/{number}")


class Pool:
    """As aiomysql's, aiopg's and asyncmy's: who finds nothing waits at a Condition."""

    def __init__(self):
        self._free, self._cond = 4, asyncio.Condition()

    def acquire(self):
        return self._acquire()

    async def _acquire(self):
        async with self._cond:
            while self._free == 0:
                await self._cond.wait()
            self._free -= 1
            self._cond.notify()

    def release(self):
        self._free += 1
        task = asyncio.create_task(self._wake_up())
        kept.add(task)
        task.add_done_callback(kept.discard)

    async def _wake_up(self):
        async with self._cond:
            self._cond.notify()


sys.modules["aiomysql.pool"] = types.ModuleType("aiomysql.pool")
sys.modules["aiomysql.pool"].Pool = Pool


async def pool_at_condition(app, number):
    for k in (1, 2):
        await app["pool"].acquire()
        await call(app, "pool_at_condition", k, number)
        app["pool"].release()


HOWS = {function.__name__: function for function in (
    sequence, gather, pool, sleep, soon, executor, thread, background, streams, event,
    queue, queue_of_threads, pool_in_queue, pool_at_condition, shared)}


async def handle(request):
    await HOWS[request.match_info["how"]](request.app, request.match_info["number"])
    return web.Response(text="ok")


async def sessions(app):
    app["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    app["small"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4))
    app["requests"] = asyncio.Queue()
    for _ in range(64):
        kept.add(asyncio.create_task(consume(app)))
    app["items"], app["workers"], app["threads"] = asyncio.Queue(), asyncio.Queue(), queues.Queue()
    for take in [app["items"].get] * 2 + [in_time(app["items"])] * 2:
        kept.add(asyncio.create_task(work(app, take)))
    for k in range(4):
        app["workers"].put_nowait(k)
        threading.Thread(target=work_in_thread, args=(app["threads"],), daemon=True).start()
    app["pool"] = Pool()
    app["shared"] = Shared()
    await app["shared"].start()
    yield
    app["shared"].writer.close()
    await app["session"].close()
    await app["small"].close()


if sys.argv[3:] == ["uvloop"]:
    import uvloop
    uvloop.install()
application = web.Application()
application.cleanup_ctx.append(sessions)
application.router.add_get("/{how}/{number}", handle)
tls = None
if "CERTIFICATE" in os.environ:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
web.run_app(application, host="127.0.0.1", port=PORT, print=None, access_log=None, ssl_context=tls)
