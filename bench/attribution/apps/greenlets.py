# SPDX-License-Identifier: Apache-2.0
"""gevent with everything patched: the cells of wsgi.py, and those that need greenlets."""
from gevent import monkey

monkey.patch_all()
import os  # noqa: E402

import gevent  # noqa: E402
from gevent.lock import BoundedSemaphore  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from gevent.queue import Queue  # noqa: E402

import wsgi  # noqa: E402

few = BoundedSemaphore(4)


def pool(token):
    for k in range(2):
        with few:
            wsgi.call_urllib(token, k)


def sleep(token):
    for k in range(2):
        gevent.sleep(0.003)
        wsgi.call_urllib(token, k)


def spawn(token):
    gevent.joinall([gevent.spawn(wsgi.call_urllib, token, k) for k in range(2)])


def after(token):
    wsgi.call_urllib(token, 0)
    gevent.spawn_later(0.003, wsgi.call_urllib, token, 1)


def both(token):
    """Over connections that are kept."""
    gevent.joinall([gevent.spawn(wsgi.call_requests, token, k) for k in range(2)])


class Jobs(wsgi.ByEvent):
    """A queue of gevent's own, to greenlets that the first requests start."""
    make = Queue

    def put(self, job):
        self.filled.put(job)

    def take(self):
        return self.filled.get()


wsgi.CELLS.update(both=both, jobs=Jobs(), pool=pool, sleep=sleep, spawn=spawn, after=after)
WSGIServer(("127.0.0.1", int(os.environ["APP_PORT"])), wsgi.application, backlog=1024,
           log=None).serve_forever()
