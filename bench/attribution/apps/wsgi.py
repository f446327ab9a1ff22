# SPDX-License-Identifier: Apache-2.0
"""A WSGI application: /<cell>/<token> answers with the token after two calls to the backend."""
import os
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

BACK = "http://127.0.0.1:%s/" % os.environ["BACK_HTTP"]
session = None
shared = ThreadPoolExecutor(8)


def call_urllib(token, k):
    urllib.request.urlopen("%s%s.%d" % (BACK, token, k), timeout=60).read()


def call_requests(token, k):
    """One session for all threads, with connections that are kept."""
    global session
    if session is None:
        import requests
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
    session.get("%s%s.%d" % (BACK, token, k), timeout=60)


def twice(call):
    return lambda token: [call(token, k) for k in range(2)]


def spread(token):
    """Both at once, by threads that live as long as the request."""
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(call_urllib, (token, token), range(2)))


def hand_over(token):
    """One after the other, by threads that all requests share."""
    for k in range(2):
        shared.submit(call_urllib, token, k).result()


def thread(token):
    """A thread for each call, one after the other."""
    for k in range(2):
        started = threading.Thread(target=call_urllib, args=(token, k))
        started.start()
        started.join()


def after(token):
    """A thread that nobody waits for."""
    threading.Thread(target=twice(call_urllib), args=(token,)).start()


class Workers:
    """Threads that the first requests start, and that all requests give work by a list."""

    def __init__(self, count=4):
        self.jobs, self.started, self.count = [], 0, count
        self.filled = self.make()

    def run(self):
        while True:
            token, done = self.take()
            for k in range(2):
                call_urllib(token, k)
            done.set()

    def __call__(self, token):
        done = threading.Event()
        self.put((token, done))
        if self.started < self.count:
            self.started += 1
            threading.Thread(target=self.run, daemon=True).start()
        done.wait()


class ByEvent(Workers):
    make = threading.Event

    def put(self, job):
        self.jobs.append(job)
        self.filled.set()

    def take(self):
        while True:
            self.filled.wait()
            try:
                return self.jobs.pop(0)
            except IndexError:
                self.filled.clear()
                if self.jobs:
                    self.filled.set()


class ByCondition(Workers):
    make = threading.Condition

    def put(self, job):
        with self.filled:
            self.jobs.append(job)
            self.filled.notify()

    def take(self):
        with self.filled:
            while not self.jobs:
                self.filled.wait()
            return self.jobs.pop(0)


class ByLock(Workers):
    """They look again and again."""
    make = threading.Lock

    def put(self, job):
        with self.filled:
            self.jobs.append(job)

    def take(self):
        while True:
            with self.filled:
                if self.jobs:
                    return self.jobs.pop(0)
            time.sleep(0.002)


CELLS = {"urllib": twice(call_urllib), "requests": twice(call_requests), "spread": spread,
         "shared": hand_over, "thread": thread, "after": after, "event": ByEvent(),
         "condition": ByCondition(), "lock": ByLock()}


def application(environ, start_response):
    _, cell, token = environ["PATH_INFO"].split("/")
    CELLS[cell](token)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(token)))])
    return [token.encode()]
