# SPDX-License-Identifier: Apache-2.0
"""Streams and channels of Redis by redis-py: prints what was sent or came."""
import hashlib
import sys
import urllib.request

import redis

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fields_of(number):
    """A number, and any bytes."""
    return {b"number": b"%d" % number, b"\r\n\0": hashlib.sha256(b"%d" % number).digest(),
            b"more": b"$1\r\n" * (number % 700)}


def tell(identifier, fields):
    own = [(name, value) for name, value in fields.items() if name in (*fields_of(1), b"a")]
    others = [name.decode() for name in fields if (name, fields[name]) not in own]
    print(identifier.decode(), hashlib.sha256(repr(own).encode()).hexdigest(), *others, flush=True)


def call(back, what):
    OPENER.open("http://127.0.0.1:%s/echo/%s" % (back, what)).read()


def add(client, count):
    for number in range(int(count)):
        fields = fields_of(number)
        more = {"maxlen": 100000, "approximate": True} if number % 2 else {}
        tell(client.xadd("orders", fields, **more), fields)


def group(client, count, at_once, back):
    """One after the other, a call for each before it is acknowledged."""
    client.xgroup_create("orders", "workers", "0", mkstream=True)
    print("ready", flush=True)
    done = 0
    while done < int(count):
        for _, entries in client.xreadgroup("workers", "me", {"orders": ">"}, int(at_once), 20000):
            for identifier, fields in entries:
                if back != "0":
                    call(back, identifier.decode())
                client.xack("orders", "workers", identifier)
                tell(identifier, fields)
                done += 1


def read(client, count, back):
    """As a log, from its beginning; nothing is acknowledged."""
    last, done = "0", 0
    print("ready", flush=True)
    while done < int(count):
        for _, entries in client.xread({"orders": last}, 1, 20000):
            for identifier, fields in entries:
                call(back, identifier.decode())
                tell(identifier, fields)
                last = identifier
                done += 1


def adopt(client, traceparent):
    client.xadd("orders", {"a": "b", "traceparent": traceparent})


def mixed(client):
    """All in one write: what is put into some of it must not be seen in the answers to others."""
    with client.pipeline(transaction=False) as pipe:
        for number in range(60):
            pipe.set("k", number)
            pipe.xadd("orders", {"a": "%d" % number}, id="%d-1" % (number + 1))
            pipe.get("k")
        print(pipe.execute())
    with client.pipeline(transaction=True) as pipe:
        pipe.xadd("orders", {"in": "multi"}, id="100-1")
        pipe.xadd("orders", {"large": "x" * 40000}, id="101-1")
        pipe.xlen("orders")
        print(pipe.execute())
    for arguments in (("XADD", "orders", "*"), ("XADD", "orders", "*", "a"),
                      ("XADD", "orders", "NEW", "*", "a", "b"), ("XADD", "orders", "1-1", "a", "b"),
                      ("XADD", "none", "NOMKSTREAM", "*", "a", "b")):
        try:
            print(client.execute_command(*arguments))
        except redis.ResponseError as error:
            print(error)
    for identifier, fields in client.xrange("orders"):
        tell(identifier, fields) if len(sys.argv) == 3 else print(identifier, fields)


def publish(client, count):
    """The first half one by one, the others at once."""
    for number in range(int(count)):
        print(client.publish("c.%d" % number, b"\r\n\0" + b"%d" % number))
        if number < int(count) // 2:
            client.blpop("done", 20)


def subscribe(client, count, back):
    pubsub = client.pubsub()
    pubsub.psubscribe("c.*")
    pubsub.get_message(timeout=10)
    print("ready", flush=True)
    for message in pubsub.listen():
        call(back, message["channel"].decode())
        print(message["channel"].decode(), message["data"].hex(), flush=True)
        client.rpush("done", 1)
        if message["channel"] == b"c.%d" % (int(count) - 1):
            break


def cut(client):
    try:
        client.xread({"orders": "0"}, 1, 20000)
    except Exception as error:
        print(type(error).__name__)


globals()[sys.argv[1]](redis.Redis("127.0.0.1", int(sys.argv[2]), socket_timeout=30), *sys.argv[3:])
