# SPDX-License-Identifier: Apache-2.0
"""Python's older frameworks, which have ways of their own to share a thread: calls are under their own
request, or roots; never under another's."""
import os

from harness import APPS, equal, free_port, main, skip
from tasks_scene import has, play, service

EVERY = 96
ALL = 1.0


def test_tornado():
    """The next request of a connection is read by a callback, before its task is back from the last."""
    if not has("tornado"):
        return skip("Tornado", "python3-tornado is not installed")
    calls = {"sequence": 2, "gather": 3, "executor": 2, "background": 2}
    equal(play("Tornado", service("tornado_service.py"), calls, EVERY, missed={"executor": 0.02}), b"",
          "Tornado: nothing is printed")


def test_tornado_curl():
    """libcurl sends for all requests, whoever's callback calls it: each transfer is its giver's. One that
    has waited in Tornado's own queue is given by whoever was answered: nobody's for certain."""
    if not has("tornado", "pycurl"):
        return skip("Tornado, curl", "python3-tornado or python3-pycurl is not installed")
    ways = {"sequence": 2, "gather": 3}
    play("Tornado, curl", service("tornado_service.py", "curl"), ways, EVERY)
    play("Tornado, few of curl", service("tornado_service.py", "curl", "few"), ways, EVERY,
         missed=dict.fromkeys(ways, ALL))


TWISTED = {"sequence": 2, "awaited": 2, "chain": 3, "at_once": 3, "semaphore": 2, "timer": 1, "later": 2, "thread": 2,
           "by_thread": 1, "cooperate": 2, "after": 2}
QUEUES = {"queue": 1, "by_worker": 1, "own_queue": 1, "chain": 3}


def twisted(*reactor):
    if not has("twisted"):
        return skip("Twisted", "python3-twisted is not installed")
    text = "Twisted, %s" % (reactor or ("epoll",))
    front = service("twisted_service.py", *reactor)
    equal(play(text, front, TWISTED, EVERY, missed={"sequence": 0.6, "after": ALL}), b"", text + ": nothing is printed")
    play(text + ", queues", front, QUEUES, EVERY, missed=dict.fromkeys(QUEUES, ALL))


def test_twisted():
    """A function is of who adds it to a Deferred. Until sixteen that waited were seen to make calls of their own,
    a call may be a root; so is one after the answer, and of a queue those of whoever is called by it."""
    twisted()


def test_twisted_asyncio():
    twisted("asyncio")


def test_twisted_select():
    twisted("select")


ASGIREF = {"streams": 2, "gather": 2, "sensitive": 2, "mixed": 4, "plain": 2}


def test_asgiref():
    """Loops that follow each other in the threads of a pool, under the same number, are no loop that
    they share."""
    if not has("asgiref"):
        return skip("asgiref", "python3-asgiref is not installed")
    equal(play("asgiref", service("asgiref_service.py"), ASGIREF, 6 * EVERY), b"",
          "asgiref: nothing is printed")


def uwsgi(scene, target):
    port = free_port()
    front = scene.start(["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:%d" % port,
                         "--threads", "8", "--listen", "100", "--disable-logging", "--need-app",
                         "--wsgi-file", os.path.join(APPS, "asgiref_service.py")],
                        "front", port=port, TARGET=target)
    front.port = port
    return front


def test_asgiref_uwsgi():
    """What asgiref copies from its loop into the request's thread does not make the calls of the next
    one, which uWSGI reads where Python does not see it, the last one's."""
    if not has("asgiref") or not os.path.exists("/usr/lib/uwsgi/plugins/python3_plugin.so"):
        return skip("asgiref, uWSGI", "python3-asgiref or uwsgi-plugin-python3 is not installed")
    play("asgiref, uWSGI", uwsgi, ASGIREF, EVERY)


if __name__ == "__main__":
    main(globals())
