# SPDX-License-Identifier: Apache-2.0
"""celery_app.py PORT: an HTTP service whose GET /KIND/N sends tasks with Celery; and, as a module, what
its workers run. Each task asks a Redis for "m:N", and tells the service's number for it.

BROKER, REDIS: an address, a port; TOLD: the file for what tasks tell; PREFETCH, LATE: Celery's settings
"""
import http.server
import os
import socket
import sys
import threading

import celery

app = celery.Celery("celery_app", broker=os.environ["BROKER"])
app.conf.update(worker_prefetch_multiplier=int(os.environ.get("PREFETCH", 4)), task_ignore_result=True,
                task_acks_late=os.environ.get("LATE") == "1")
local = threading.local()


def ask(key):
    if getattr(local, "pid", None) != os.getpid():
        local.pid = os.getpid()
        local.redis = socket.create_connection(("127.0.0.1", int(os.environ["REDIS"])))
    local.redis.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
    assert local.redis.recv(100) == b"$-1\r\n"


def work(request, number):
    ask("m:" + number)
    with open(os.environ["TOLD"], "a") as file:
        print(number, sorted(set(request.__dict__) & {"traceparent", "tracestate", "baggage"}),
              file=file)


@app.task(bind=True)
def once(self, number):
    work(self.request, number)


@app.task(bind=True, max_retries=1)
def twice(self, number):
    work(self.request, "%s.%d" % (number, self.request.retries))
    if not self.request.retries:
        raise self.retry(countdown=0.1)


def chain(number):
    celery.chain(once.si(number + ".0"), once.si(number + ".1"))()


# --- the pools of kombu: four requests have a connection each before the first gives it back, and then
# a thread that works for no request takes one -------------------------------------------------------

together = threading.Barrier(4)


def pooled(number):
    with app.producer_pool.acquire(block=True) as producer:
        together.wait(30)
        once.apply_async((number,), producer=producer)


def nobodys():
    once.delay("nobody's")


SENDS = {"once": once.delay, "later": lambda number: once.apply_async((number,), countdown=0.3),
         "twice": twice.delay, "chain": chain, "pooled": pooled}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        _, kind, number = self.path.split("/")
        if kind == "nobodys":
            begin.set()
        else:
            SENDS[kind](number)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    begin = threading.Event()

    def wait_and_send():
        begin.wait()
        nobodys()

    threading.Thread(target=wait_and_send, daemon=True).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
