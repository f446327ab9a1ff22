# SPDX-License-Identifier: Apache-2.0
"""Twisted's server and client, in its own reactor: twisted_service.py PORT TARGET [asyncio]. /<way>/<number>
calls TARGET/<way>/<number>, as often as the way does."""
import sys
import urllib.request

if sys.argv[3:] == ["asyncio"]:
    from twisted.internet import asyncioreactor
    asyncioreactor.install()

from twisted.internet import defer, reactor, task, threads
from twisted.web import client, resource, server

TARGET = sys.argv[2]
agent = client.Agent(reactor, pool=client.HTTPConnectionPool(reactor))


@defer.inlineCallbacks
def call(path):
    answer = yield agent.request(b"GET", (TARGET + path).encode())
    yield client.readBody(answer)


@defer.inlineCallbacks
def sequence(path):
    yield call(path)
    yield call(path)


@defer.inlineCallbacks
def later(path):
    for _ in range(2):
        yield task.deferLater(reactor, 0.003, call, path)


@defer.inlineCallbacks
def in_thread(path):
    for _ in range(2):
        yield threads.deferToThread(lambda: urllib.request.urlopen(TARGET + path).read())

WAYS = {"sequence": sequence, "later": later, "thread": in_thread}


class Answer(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        path = request.path.decode()
        WAYS[path.split("/")[1]](path).addCallback(lambda _: self.end(request))
        return server.NOT_DONE_YET

    def end(self, request):
        request.write(b"ok")
        request.finish()


reactor.listenTCP(int(sys.argv[1]), server.Site(Answer()), interface="127.0.0.1")
reactor.run()
