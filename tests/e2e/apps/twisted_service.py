# SPDX-License-Identifier: Apache-2.0
"""Twisted's server and client: twisted_service.py PORT TARGET [asyncio | select]. /<way>/<number> calls
TARGET/<way>/<number>, as often as the way does."""
import sys
import urllib.request

if sys.argv[3:] == ["asyncio"]:
    from twisted.internet import asyncioreactor
    asyncioreactor.install()
elif sys.argv[3:] == ["select"]:
    from twisted.internet import selectreactor
    selectreactor.install()

from twisted.internet import defer, reactor, task, threads
from twisted.web import client, resource, server

TARGET = sys.argv[2]
kept = client.Agent(reactor, pool=client.HTTPConnectionPool(reactor))
fresh = client.Agent(reactor)
few = defer.DeferredSemaphore(2)
jobs = defer.DeferredQueue()


def plain(path, agent=kept):
    """Callbacks alone: nothing has a context of its own."""
    return agent.request(b"GET", (TARGET + path).encode()).addCallback(client.readBody)


@defer.inlineCallbacks
def call(path):
    yield plain(path)


@defer.inlineCallbacks
def sequence(path):
    yield call(path)
    yield call(path)


async def awaited(path):
    await plain(path)
    await task.deferLater(reactor, 0.001, lambda: None)
    await plain(path)


def chain(path):
    return plain(path).addCallback(lambda _: plain(path)).addCallback(lambda _: plain(path, fresh))


def at_once(path):
    return defer.gatherResults([plain(path), plain(path, fresh), call(path)])


def semaphore(path):
    """Whoever is done calls what waits."""
    return few.run(plain, path).addCallback(lambda _: few.run(plain, path))


def timer(path):
    done = defer.Deferred()
    reactor.callLater(0.003, lambda: plain(path).chainDeferred(done))
    return done


@defer.inlineCallbacks
def later(path):
    for _ in range(2):
        yield task.deferLater(reactor, 0.003, call, path)


@defer.inlineCallbacks
def in_thread(path):
    for _ in range(2):
        yield threads.deferToThread(lambda: urllib.request.urlopen(TARGET + path).read())


def by_thread(path):
    """What a thread has the reactor do."""
    return threads.deferToThread(threads.blockingCallFromThread, reactor, plain, path)


def queue(path):
    done = defer.Deferred()
    jobs.put((path, done))
    return done


def work(job):
    """One consumer for all."""
    path, done = job
    plain(path).addCallback(done.callback).addBoth(lambda _: jobs.get().addCallback(work))


jobs.get().addCallback(work)

pending, is_busy = [], False


def pump():
    """A queue of the program's own: whoever is done works for the next one."""
    global is_busy
    if is_busy or not pending:
        return
    is_busy = True
    path, done = pending.pop(0)
    plain(path).addCallback(over, done)


def over(_, done):
    global is_busy
    is_busy = False
    done.callback(None)
    pump()


def own_queue(path):
    done = defer.Deferred()
    pending.append((path, done))
    pump()
    return done


items, worker, wakeup = [], None, None


async def serve_items():
    """A worker that the first request starts."""
    global wakeup
    while True:
        while items:
            path, done = items.pop(0)
            await threads.deferToThread(urllib.request.urlopen, TARGET + path)
            done.callback(None)
        wakeup = defer.Deferred()
        await wakeup


def by_worker(path):
    global worker, wakeup
    done = defer.Deferred()
    items.append((path, done))
    if worker is None:
        worker = defer.ensureDeferred(serve_items())
    elif wakeup is not None:
        wakeup, woken = None, wakeup
        woken.callback(None)
    return done


def cooperate(path):
    def steps():
        yield None
        yield plain(path)
        yield plain(path)
    return task.cooperate(steps()).whenDone()


WAYS = {"sequence": sequence, "awaited": lambda path: defer.ensureDeferred(awaited(path)), "chain": chain,
        "at_once": at_once, "semaphore": semaphore, "timer": timer, "later": later, "thread": in_thread,
        "by_thread": by_thread, "queue": queue, "after": plain,
        "own_queue": own_queue, "cooperate": cooperate, "by_worker": by_worker}


class Answer(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        path = request.path.decode()
        way = path.split("/")[1]
        if way == "after":
            self.end(request)
            plain(path).addCallback(lambda _: plain(path))
        else:
            WAYS[way](path).addCallback(lambda _: self.end(request))
        return server.NOT_DONE_YET

    def end(self, request):
        request.write(b"ok")
        request.finish()


reactor.listenTCP(int(sys.argv[1]), server.Site(Answer()), interface="127.0.0.1")
reactor.run()
