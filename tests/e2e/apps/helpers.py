# SPDX-License-Identifier: Apache-2.0
"""helpers.py PORT BACK: requests that have processes forked which call BACK: /child/N one of its own,
/slept/N one that sleeps first, /pool/N and /multi/N those that concurrent.futures and multiprocessing
keep, /pipe/N and /pair/N one that this program keeps. The kept ones begin with the first request."""
import concurrent.futures
import http.server
import multiprocessing
import os
import socket
import sys
import time
import urllib.request

fork = multiprocessing.get_context("fork")
kept = {}


def keep(name, make):
    if name not in kept:
        kept[name] = make()
    return kept[name]


def call(path):
    urllib.request.urlopen("http://127.0.0.1:%s%s" % (sys.argv[2], path)).read()


def child(path, before=lambda: None):
    process = fork.Process(target=lambda: (before(), call(path)))
    process.start()
    process.join()


def slept(path):
    child(path, lambda: time.sleep(0.01))


def pool(path):
    keep("pool", lambda: concurrent.futures.ProcessPoolExecutor(1, fork)).submit(call, path).result()


def multi(path):
    keep("multi", lambda: fork.Pool(1)).apply(call, (path,))


class Worker:
    """Reads paths from one descriptor, says to another when each is called."""

    def __init__(self, jobs, done):
        self.jobs, self.done = jobs, done
        if os.fork() == 0:
            while path := os.read(jobs[0], 99):
                call(path.decode())
                os.write(done[1], b".")
            os._exit(0)

    def __call__(self, path):
        os.write(self.jobs[1], path.encode())
        os.read(self.done[0], 1)


def pipe(path):
    keep("pipe", lambda: Worker(os.pipe(), os.pipe()))(path)


def pair(path):
    ours, theirs = keep("sockets", socket.socketpair)
    ends = theirs.fileno(), ours.fileno()
    keep("pair", lambda: Worker(ends, ends[::-1]))(path)


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        globals()[self.path.split("/")[1]](self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
