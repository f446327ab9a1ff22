# SPDX-License-Identifier: Apache-2.0
"""A client of Beanstalkd by greenstalk: prints what it sent or got."""
import hashlib
import signal
import socket
import sys
import urllib.request

import greenstalk

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def body_of(number):
    """Any bytes, of lengths that are all over, the number first."""
    more = hashlib.sha256(b"%d" % number).digest() * (number % 300)
    return b"%d " % number + b"\r\n\0" * (number % 3) + more


def client(port, **more):
    return greenstalk.Client(("127.0.0.1", port), encoding=None, **more)


def tell(job):
    print(job.id, len(job.body), hashlib.sha256(job.body).hexdigest(), flush=True)


def put(port, count, tube):
    with client(port, use=tube) as producer:
        for number in range(int(count)):
            body = body_of(number)
            print(producer.put(body, delay=0), len(body), hashlib.sha256(body).hexdigest())


def work(port, count, tube, back):
    """One after the other, a call for each before it is deleted."""
    print("ready", flush=True)
    with client(port, watch=tube) as worker:
        for _ in range(int(count)):
            job = worker.reserve(timeout=30)
            OPENER.open("http://127.0.0.1:%s/echo/%d" % (back, job.id)).read()
            worker.delete(job)
            tell(job)


def both(port, back):
    """Two in hand at once: nothing tells which is being worked on."""
    with client(port) as worker:
        for number in range(4):
            worker.put(body_of(number))
        for _ in range(2):
            jobs = [worker.reserve(), worker.reserve()]
            for job in reversed(jobs):
                OPENER.open("http://127.0.0.1:%s/echo/%d" % (back, job.id)).read()
                worker.delete(job)
        worker.put(b"last")
        job = worker.reserve()
        OPENER.open("http://127.0.0.1:%s/echo/%d" % (back, job.id)).read()
        worker.delete(job)


def ways(port):
    """All that can be done with a job."""
    with client(port, use="ways", watch="ways") as worker:
        for number in range(4):
            worker.put(body_of(number))
        first = worker.reserve()
        worker.release(first, priority=100000)
        second = worker.reserve(timeout=5)
        worker.touch(second)
        worker.bury(second)
        third = worker.reserve_job(3)
        worker.delete(third)
        worker.watch("another")
        fourth = worker.reserve()
        print(worker.stats_job(fourth)["state"], worker.tubes(), worker.peek(second.id).id)
        worker.delete(fourth)
        try:
            worker.reserve(timeout=0)
            worker.reserve(timeout=0)
        except greenstalk.TimedOutError:
            print("timed out")
        print(worker.kick(10), worker.watching())


def errors(port, server):
    """What a server refuses."""
    import os
    with client(port) as producer:
        print(producer.put(b"x" * 100))
        for body in (b"x" * 101, b"y"):
            try:
                print(producer.put(body))
            except greenstalk.Error as error:
                print(type(error).__name__)
        os.kill(int(server), signal.SIGUSR1)
        while True:
            try:
                producer.put(b"z")
            except greenstalk.DrainingError:
                print("draining")
                break


def endure(port, count):
    """Puts and takes until each has come, whatever becomes of the connection."""
    done, failed = 0, set()
    while done < int(count):
        try:
            with client(port) as worker:
                while done < int(count):
                    worker.put(body_of(done))
                    worker.delete(worker.reserve(timeout=5))
                    done += 1
                    if done % 50 == 0:
                        print("at", done, flush=True)
                        sys.stdin.readline()
        except (OSError, greenstalk.Error, ConnectionError) as error:
            failed.add(type(error).__name__)
    print("done", len(failed) > 0)


def cut(port):
    """A connection that ends in the middle of a job."""
    try:
        with client(port) as worker:
            worker.reserve()
    except Exception as error:
        print(type(error).__name__, error)


globals()[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
