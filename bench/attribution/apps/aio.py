# SPDX-License-Identifier: Apache-2.0
"""aio.py LOOP: aiohttp as server and client; /<cell>/<token> answers with the token after calls."""
import asyncio
import concurrent.futures
import itertools
import os
import sys
import urllib.request

from aiohttp import ClientSession, TCPConnector, web

BACK = "http://127.0.0.1:%s/" % os.environ["BACK_HTTP"]
executor = concurrent.futures.ThreadPoolExecutor(8)
kept = {}  # what is made once, in the loop


def session(name, limit):
    if name not in kept:
        kept[name] = ClientSession(connector=TCPConnector(limit=limit))
    return kept[name]


async def call(token, k, name="plenty", limit=0):
    async with session(name, limit).get("%s%s.%d" % (BACK, token, k)) as answer:
        await answer.read()


async def twice(token, one):
    for k in range(2):
        await one(token, k)


async def seq(token):
    await twice(token, call)


async def gather(token):
    await asyncio.gather(*(call(token, k) for k in range(3)))
    await call(token, 3)


async def pool(token):
    await twice(token, lambda token, k: call(token, k, "few", 4))


async def in_executor(token):
    loop = asyncio.get_running_loop()
    for k in range(2):
        url = "%s%s.%d" % (BACK, token, k)
        await loop.run_in_executor(executor, lambda: urllib.request.urlopen(url).read())


async def sleep(token):
    async def late(token, k):
        await asyncio.sleep(0.003)
        await call(token, k)
    await twice(token, late)


async def soon(token):
    """By a callback that starts a task."""
    loop = asyncio.get_running_loop()

    async def later(token, k):
        done = loop.create_future()

        def start():
            task = loop.create_task(call(token, k))
            task.add_done_callback(lambda _: done.set_result(None))
        loop.call_soon(start)
        await done
    await twice(token, later)


async def both(token):
    """One call while the other is put off."""
    async def late():
        await asyncio.sleep(0.003)
        await call(token, 1)
    await asyncio.gather(call(token, 0), late())


async def tick():
    for count in itertools.count():
        await asyncio.sleep(0.005)
        await call("b%dq" % count, 0)


async def after(token):
    """The second call is of a task that outlives the answer."""
    await call(token, 0)

    async def background():
        await asyncio.sleep(0.003)
        await call(token, 1)
    task = asyncio.create_task(background())
    kept[task] = True
    task.add_done_callback(kept.pop)


async def redis(token):
    if "redis" not in kept:
        import redis.asyncio
        kept["redis"] = redis.asyncio.Redis(port=int(os.environ["BACK_RESP"]))
    await twice(token, lambda token, k: kept["redis"].get("%s:%d" % (token, k)))


class ByEvent:
    """Tasks that the first requests start, and that all requests give work by a list."""

    def __init__(self):
        self.jobs, self.started = [], 0

    async def run(self):
        while True:
            token, done = await self.take()
            await twice(token, call)
            done.set_result(None)

    async def __call__(self, token):
        if not self.started:
            self.filled = self.make()
        done = asyncio.get_running_loop().create_future()
        await self.put((token, done))
        if self.started < 4:
            self.started += 1
            kept[asyncio.create_task(self.run())] = True
        await done

    make = asyncio.Event

    async def put(self, job):
        self.jobs.append(job)
        self.filled.set()

    async def take(self):
        while True:
            await self.filled.wait()
            if self.jobs:
                return self.jobs.pop(0)
            self.filled.clear()


class Drains(ByEvent):
    """They look for more before they wait."""

    async def take(self):
        while not self.jobs:
            self.filled.clear()
            await self.filled.wait()
        return self.jobs.pop(0)


class ByCondition(ByEvent):
    make = asyncio.Condition

    async def put(self, job):
        async with self.filled:
            self.jobs.append(job)
            self.filled.notify()

    async def take(self):
        async with self.filled:
            await self.filled.wait_for(lambda: self.jobs)
            return self.jobs.pop(0)


CELLS = {"event": ByEvent(), "drain": Drains(), "condition": ByCondition(), "seq": seq, "gather": gather, "pool": pool, "executor": in_executor, "sleep": sleep,
         "soon": soon, "both": both, "cron": seq, "after": after, "redis": redis}


async def handle(request):
    token = request.match_info["token"]
    await CELLS[request.match_info["cell"]](token)
    return web.Response(text=token)


if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.install()
async def start(_):
    if os.environ["APP_CELL"] == "cron":
        kept["cron"] = asyncio.create_task(tick())

application = web.Application()
application.on_startup.append(start)
application.router.add_get("/{cell}/{token}", handle)
web.run_app(application, host="127.0.0.1", port=int(os.environ["APP_PORT"]), print=None,
            access_log=None, backlog=1024)
