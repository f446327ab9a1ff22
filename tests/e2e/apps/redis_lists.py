# SPDX-License-Identifier: Apache-2.0
"""Lists and channels of Redis by redis-py: prints what was sent or came.

Each value is a JSON object with its number, in one of many shapes; bytes and what is no object are
pushed, too.
"""
import json
import sys
import threading
import urllib.request

try:
    import redis
except ImportError: # only its values are asked for
    redis = None

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SHAPES = [lambda n: b'{"id":%d}' % n, lambda n: b' {"id": %d , "a":[{"traceparent":"not at the top"}]}\n' % n,
          lambda n: b'{"body":"\\"}{\\\\","headers":{"x":{"y":1}},"id":%d}' % n,
          lambda n: b'{"headers":{} , "id":%d}' % n, lambda n: b'{"headers":[{}],"id":%d}' % n,
          lambda n: b'{"id":%d,"large":"%s"}' % (n, b"\xc3\xa9" * 9000),
          lambda n: json.dumps({"a": {"b": {"traceparent": "deeper"}}, "id": n, "\u00e9": "\u20ac"}).encode()]
SMALL = 5 # the first of them
OTHERS = [b"", b"{}x", b"[{}]", b"{", b'"{}"', b"1", b"\x00\xff{}", b"job:17",
          b'{"id":0,}', b"{'id': 0}", b'{"id":[0}', b'{"id" 0}', b'{"id":a}', b"{" + b'"a":{' * 70 + b"}" * 71]


def value_of(number, shapes=len(SHAPES)):
    return SHAPES[number % shapes](number)


def call(back, what):
    OPENER.open("http://127.0.0.1:%s/echo/%s" % (back, what)).read()


def push(client, count):
    """One by one, in pipelines and transactions, and several in one command."""
    for number in range(0, int(count), 10):
        values = [value_of(n) for n in range(number, number + 10)]
        for value in values[:4]:
            client.lpush("jobs", value)
        with client.pipeline(transaction=number % 20 == 0) as pipe:
            for value in values[4:7]:
                pipe.lpush("jobs", value)
            pipe.get("k")
            pipe.execute()
        client.lpush("jobs", *values[7:])


def others(client):
    for value in OTHERS:
        client.lpush("others", value)
    client.lpush("others", b"{}", b"no object", b"{}")
    client.execute_command("RPUSH", "others", '{"traceparent":null}')
    for command in (("LPUSH",), ("LPUSH", "others"), ("PUBLISH", "c", "{}", "{}")):
        try:
            client.execute_command(*command)
        except redis.ResponseError as error:
            print(error)
    print(client.lrange("others", 0, -1))


def adopt(client, traceparent):
    client.lpush("jobs", json.dumps({"id": 0, "traceparent": traceparent}))


POPS = {"brpop": lambda client: client.brpop("jobs", 1), "rpop": lambda client: (b"jobs", client.rpop("jobs")),
        "move": lambda client: (b"jobs", client.brpoplpush("jobs", "taken", 1)),
        "count": lambda client: (b"jobs", client.rpop("jobs", 3)),
        "lmpop": lambda client: client.execute_command("LMPOP", 1, "jobs", "RIGHT", "COUNT", 3),
        "blmpop": lambda client: client.execute_command("BLMPOP", 1, 2, "none", "jobs", "RIGHT", "COUNT", 1)}


def work(client, count, back, how, threads=1):
    """One after the other, a call for each; by as many threads as wanted, of one pool."""
    done, lock = [], threading.Lock()

    def one():
        while len(done) < int(count):
            taken = POPS[how](client)
            if taken is None or taken[1] is None:
                continue
            for value in taken[1] if isinstance(taken[1], list) else [taken[1]]:
                identifier = json.loads(value)["id"]
                client.get("k")
                if back != "0":
                    call(back, identifier)
                with lock:
                    done.append(value)
    print("ready", flush=True)
    workers = [threading.Thread(target=one) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for value in done:
        print(value.hex())


def publish(client, count):
    for number in range(int(count)):
        client.publish("c", value_of(number, SMALL))
        client.blpop("done", 20)


def subscribe(client, count, back):
    pubsub = client.pubsub()
    pubsub.subscribe("c")
    pubsub.get_message(timeout=10)
    print("ready", flush=True)
    for message in pubsub.listen():
        identifier = json.loads(message["data"])["id"]
        call(back, identifier)
        print(message["data"].hex(), flush=True)
        client.rpush("done", 1)
        if identifier == int(count) - 1:
            break


if __name__ == "__main__":
    globals()[sys.argv[1]](redis.Redis("127.0.0.1", int(sys.argv[2]), socket_timeout=30), *sys.argv[3:])
