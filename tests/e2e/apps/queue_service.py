# SPDX-License-Identifier: Apache-2.0
"""What takes from queues, made by whichever request comes first. GET /HOW/N as in aio_service.py.

queue_service.py PORT BACKEND aiohttp|uvicorn: a handler runs in its connection's task, or in one
that is made for the request.
"""
import asyncio
import functools
import queue as queues
import sys
import threading
import time
import urllib.request

import aiohttp
from aiohttp import web

PORT, BACKEND, SERVER = int(sys.argv[1]), sys.argv[2], sys.argv[3]
TICKS = 50
kept = {}


async def call(how, k, number):
    async with kept["session"].get(f"{BACKEND}/{how}/{k}/{number}") as answer:
        await answer.read()


def call_blocking(how, k, number):
    urllib.request.urlopen(f"{BACKEND}/{how}/{k}/{number}").read()


def keep(coroutine):
    kept.setdefault("tasks", set()).add(asyncio.create_task(coroutine))


# --- queues of work ---------------------------------------------------------------------------------


def served_by(run, make=asyncio.Queue, workers=1):
    """A handler that starts what serves the queue, if there are too few yet."""
    state = []

    async def handler(number):
        if not state:
            state.extend((make(), []))
        if len(state[1]) < workers:
            state[1].append(asyncio.create_task(run(handler.how, state[0])))
        done = asyncio.get_running_loop().create_future()
        state[0].put_nowait((number, done))
        await done
        await call(handler.how, "own", number)
    return handler


async def serve(how, take):
    while True:
        try:
            number, done = await take()
        except asyncio.TimeoutError:
            continue
        await call(how, "item", number)
        done.set_result(None)
        await call(how, "late", number)


async def plainly(how, items):
    await serve(how, items.get)


async def in_time(how, items):
    await serve(how, lambda: asyncio.wait_for(items.get(), 0.05))


async def deeply(how, items):
    async def take():
        return await items.get()
    await serve(how, lambda: asyncio.wait_for(take(), 0.05))


async def each_a_task(how, items):
    async def work(number, done):
        await call(how, "item", number)
        done.set_result(None)
        await call(how, "late", number)
    while True:
        keep(work(*await items.get()))


async def drains(how, items):
    """Takes all there are, then works."""
    while True:
        batch = [await items.get()]
        while not items.empty():
            batch.append(items.get_nowait())
        for number, done in batch:
            await call(how, "item", number)
            done.set_result(None)
            await call(how, "late", number)


async def drains_in_time(how, items):
    while True:
        batch = [await items.get()]
        try:
            while len(batch) < 8:
                batch.append(await asyncio.wait_for(items.get(), 0.005))
        except asyncio.TimeoutError:
            pass
        for number, done in batch:
            await call(how, "item", number)
            done.set_result(None)
            await call(how, "late", number)


def overdue():
    """A consumer that takes a second item in the turn in which the time for it is over: each second
    request stops the loop for as long, once that has begun to wait."""
    state = {}

    async def consume():
        async def take():
            state["waits"].set()
            return await state["items"].get()
        while True:
            batch = [await state["items"].get()]
            try:
                batch.append(await asyncio.wait_for(take(), 0.01))
            except asyncio.TimeoutError:
                pass
            state["waits"].clear()
            for number, done in batch:
                await call("overdue", "item", number)
                done.set_result(None)
                await call("overdue", "late", number)

    async def handler(number):
        if not state:
            state.update(items=asyncio.Queue(), waits=asyncio.Event())
            state["consumer"] = asyncio.create_task(consume())
        done = asyncio.get_running_loop().create_future()
        if int(number) % 2:
            try:
                await asyncio.wait_for(state["waits"].wait(), 0.5)
            except asyncio.TimeoutError:
                pass  # the others are over
            await asyncio.sleep(0)
            time.sleep(0.012)
        state["items"].put_nowait((number, done))
        await done
        await call("overdue", "own", number)
    return handler


async def tries_again(how, items):
    """Half of the items go back once."""
    tried = set()
    while True:
        number, done = await items.get()
        if int(number) % 2 and number not in tried:
            tried.add(number)
            items.put_nowait((number, done))
            continue
        await call(how, "item", number)
        done.set_result(None)
        await call(how, "late", number)


class Own(asyncio.Queue):
    """With an order of its own."""
    def _init(self, maxsize):
        self._things = []

    def _put(self, item):
        self._things.append(item)

    def _get(self):
        return self._things.pop(len(self._things) // 2)

    def qsize(self):
        return len(self._things)

    def empty(self):
        return not self._things


def served_by_threads(take, workers=1, make=queues.Queue):
    state = []

    async def handler(number):
        loop = asyncio.get_running_loop()
        if not state:
            state.extend((make(), []))
        if len(state[1]) < workers:
            thread = threading.Thread(target=work, args=(handler.how, state[0]), daemon=True)
            state[1].append(thread)
            thread.start()
        done = loop.create_future()
        state[0].put((number, functools.partial(loop.call_soon_threadsafe, done.set_result, None)))
        await done
        await call(handler.how, "own", number)

    def work(how, items):
        while True:
            try:
                number, done = take(items)
            except queues.Empty:
                continue
            call_blocking(how, "item", number)
            done()
            call_blocking(how, "late", number)
    return handler


# --- pools in queues --------------------------------------------------------------------------------


class Pool:
    """As many things to work with as `size`, in a queue. `grows`: made when they are needed."""
    def __init__(self, make, size, grows=None):
        self.items, self.size, self.grows, self.made = make(size), size, grows, 0
        while not grows and self.made < size:
            self.items.put_nowait(self.thing())

    def thing(self):
        self.made += 1
        return object()

    async def take(self):
        if self.grows == "counting" and self.made < self.size:
            return self.thing()
        if self.grows == "asking" and self.made < self.size:
            try:
                return self.items.get_nowait()
            except asyncio.QueueEmpty:
                return self.thing()
        return await self.items.get()

    async def give(self, thing):
        self.items.put_nowait(thing)


def worked_with(make=asyncio.LifoQueue, in_tasks=False, **more):
    state = []

    async def handler(number):
        if not state:
            state.append(Pool(make, 4, **more))
        for k in (1, 2):
            thing = await (asyncio.wait_for(state[0].take(), 60) if in_tasks else state[0].take())
            try:
                await call(handler.how, k, number)
            finally:
                await (asyncio.shield(state[0].give(thing)) if in_tasks else state[0].give(thing))
        await call(handler.how, "own", number)
    return handler


async def nobodys(number):
    """The pool that what no request causes takes from, too."""
    pool = kept.setdefault("pool", Pool(asyncio.LifoQueue, 4))
    thing = await pool.take()
    await call("nobodys", 1, number)
    await pool.give(thing)
    await call("nobodys", "own", number)


async def tick():
    while "pool" not in kept:
        await asyncio.sleep(0.001)
    for _ in range(TICKS):
        thing = await kept["pool"].take()
        await call("tick", 1, "none")
        await kept["pool"].give(thing)
        await asyncio.sleep(0.001)


HOWS = {
    "task": served_by(plainly), "tasks": served_by(plainly, workers=4),
    "in_time": served_by(in_time), "in_time_4": served_by(in_time, workers=4),
    "deep": served_by(deeply), "deep_4": served_by(deeply, workers=4),
    "each": served_by(each_a_task), "again": served_by(tries_again, workers=2),
    "drain": served_by(drains), "drain_in_time": served_by(drains_in_time),
    "overdue": overdue(),
    "lifo": served_by(plainly, asyncio.LifoQueue, workers=2),
    "own_order": served_by(plainly, Own, workers=2),
    "least": served_by(plainly, asyncio.PriorityQueue, workers=2),
    "least_in_threads": served_by_threads(lambda items: items.get(), 2, queues.PriorityQueue),
    "thread": served_by_threads(lambda items: items.get()),
    "threads": served_by_threads(lambda items: items.get(), workers=4),
    "polls": served_by_threads(lambda items: items.get(timeout=0.001), workers=2),
    "pool": worked_with(), "pool_in_tasks": worked_with(in_tasks=True),
    "pool_fifo": worked_with(asyncio.Queue),
    "pool_asks": worked_with(grows="asking"), "pool_counts": worked_with(grows="counting"),
    "nobodys": nobodys,
}
for name, function in HOWS.items():
    function.how = name


async def start():
    kept["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    keep(tick())


async def handle(request):
    await HOWS[request.match_info["how"]](request.match_info["number"])
    return web.Response(text="ok")


async def application(scope, receive, send):
    """The same for uvicorn."""
    if scope["type"] == "lifespan":
        await receive()
        await start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    how, number = scope["path"].strip("/").split("/")
    await HOWS[how](number)
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def sessions(app):
    await start()
    yield
    await kept["session"].close()


if SERVER == "uvicorn":
    import uvicorn
    uvicorn.run(application, host="127.0.0.1", port=PORT, loop="asyncio", log_level="error")
else:
    served = web.Application()
    served.cleanup_ctx.append(sessions)
    served.router.add_get("/{how}/{number}", handle)
    web.run_app(served, host="127.0.0.1", port=PORT, print=None, access_log=None)
