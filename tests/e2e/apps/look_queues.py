# SPDX-License-Identifier: Apache-2.0
"""What a program can see of its queues while a request is worked on: the same bare and traced.

look_queues.py: serves one request to itself, and prints.
"""
import asyncio
import asyncio.queues
import copy
import gc
import http.server
import inspect
import pickle
import queue
import sys
import threading
import urllib.request


class Slots(asyncio.Queue):
    __slots__ = ("more",)


class Refuses(asyncio.Queue):
    is_done = False

    def __init__(self):
        super().__init__()
        self.is_done = True

    def __setattr__(self, name, value):
        if self.is_done and name not in self.__dict__:
            raise AttributeError(name)
        super().__setattr__(name, value)


class RefusesThreads(queue.Queue):
    def __getattr__(self, name):
        raise RuntimeError(name)


class Own(asyncio.Queue):
    def _init(self, maxsize):
        self._queue = []

    def _put(self, item):
        self._queue.insert(0, item)

    def _get(self):
        return self._queue.pop()


class Half(queue.Queue):
    """What it puts goes through ours, what it gets does not."""
    def _get(self):
        return self.queue.pop()


class Fails(queue.Queue):
    def _put(self, item):
        raise ValueError(item)


class OwnThreads(queue.Queue):
    """Without what the others have."""
    def _init(self, maxsize):
        self.things = set()

    def _qsize(self):
        return len(self.things)

    def _put(self, item):
        self.things.add(item)

    def _get(self):
        return self.things.pop()


class Equal(queue.Queue):
    def __eq__(self, other):
        raise RuntimeError("compared")

    def __hash__(self):
        raise RuntimeError("hashed")


def told(function):
    try:
        return function()
    except Exception as error:
        return type(error).__name__, str(error)


def used(made):
    """Through all its calls, full and empty."""
    put = made.put_nowait
    seen = [told(lambda: put(k)) for k in (3, 1, 2)]
    seen += [told(made.get_nowait) for _ in range(2)]
    seen.append(told(lambda: put(4)))
    return seen, sorted(map(str, vars(made))), made.qsize()


def again(made):
    """A copy has what the original has, and both go on."""
    both = [made, copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))]
    return [[told(one.get_nowait) for _ in range(3)] for one in both]


def at_its_items(made, items):
    """The program takes from behind the queue's back."""
    for k in range(6):
        made.put_nowait(k)
    items.clear()
    made.put_nowait("after")
    items.extend("xy")
    return [told(made.get_nowait) for _ in range(4)]


async def waits():
    made = asyncio.Queue(1)
    async def take():
        return [await made.get() for _ in range(3)]
    task = asyncio.create_task(take())
    for k in range(3):
        await made.put(k)
    seen = [await task, told(made.get_nowait)]
    try:
        await asyncio.wait_for(made.get(), 0.001)
    except asyncio.TimeoutError:
        seen.append("timed out")
    made.put_nowait(1)
    return seen, told(lambda: made.put_nowait(2)), made._format()


def look():
    for kind in (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue, Slots, Refuses, Own,
                 queue.Queue, queue.LifoQueue, queue.PriorityQueue, RefusesThreads, Half, Fails,
                 OwnThreads, Equal):
        made = kind()
        print(kind.__name__, used(made), told(lambda: hasattr(made, "_burdock")), sys.getrefcount(made))
    for kind in (asyncio.Queue, asyncio.LifoQueue, Slots):
        made = kind()
        made.put_nowait("first")
        made.put_nowait("second")
        print(kind.__name__, again(made))
    made = asyncio.Queue()
    print(at_its_items(made, made._queue))
    made = queue.Queue()
    print(at_its_items(made, made.queue))
    print(told(lambda: queue.Queue(1).get(timeout=0.001)), told(lambda: asyncio.Queue.get_nowait(1)))
    print(told(lambda: asyncio.Queue.put_nowait()), told(lambda: queue.Queue.get(block=False)))
    print(asyncio.run(waits()))
    for function in (asyncio.Queue.get, asyncio.Queue.get_nowait, asyncio.Queue.put_nowait,
                     queue.Queue.get, queue.Queue.put, queue.LifoQueue._get):
        print(function.__qualname__, inspect.signature(function), inspect.iscoroutinefunction(function))
    items = [object() for _ in range(3)]
    made = queue.Queue()
    for item in items:
        made.put(item)
        made.get()
    del item
    print([sys.getrefcount(item) for item in items])
    for _ in range(1000):  # those that are gone are forgotten, wherever the next one is
        made = queue.Queue()
        made.put(1)
        made.put(2)
        assert made.get() == 1
    many = queue.LifoQueue()
    for k in range(10000):
        many.put(k)
    print([many.get() for _ in range(10000)] == list(range(10000))[::-1])
    gc.collect()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        look()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(2):
    urllib.request.urlopen("http://127.0.0.1:%d/" % server.server_port).read()
look()
