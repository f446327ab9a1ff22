# SPDX-License-Identifier: Apache-2.0
"""A program of NATS by its own client for Python, which knows nothing of tracing.

  nats_py.py publish PORT COUNT         messages of their own each to t.0, t.1, ...
  nats_py.py consume PORT COUNT [QUEUE] the messages to t.*, one line of JSON each
  nats_py.py stream PORT COUNT          publishes to a stream, pulls, answers each in another way
  nats_py.py push PORT COUNT none|explicit  is pushed them, and acknowledges if that is asked for
  nats_py.py answer PORT, ask PORT COUNT    requests and answers
  nats_py.py adopt PORT TRACEPARENT     one message with a context of its own
  nats_py.py forward PORT URL           for each t.* asks the URL and publishes u.*, until "done"

With APP_TLS=1 inside TLS; the server's certificate is not checked.
"""
import asyncio
import hashlib
import json
import os
import random
import ssl
import sys
import urllib.request

import nats
from nats.js.api import AckPolicy, ConsumerConfig

MODE, PORT, *REST = sys.argv[1:]


def message(number):
    """Payload and headers of a message: bytes of all kinds, lengths from 0."""
    dice = random.Random(number)
    length = dice.choice([0, 1, 5, 40, 900, 5000] + [200_000] * (number % 100 == 7))
    payload = dice.choice([b"", b"PUB x 1\r\n", b"\r\n\r\nNATS/1.0\r\n"]) + dice.randbytes(length)
    headers = {"X-Number": str(number), "Accept": "a, b"} if number % 3 == 0 else None
    return payload, headers


def told(subject, data, headers):
    return json.dumps({"subject": subject, "digest": hashlib.sha256(data).hexdigest(),
                       "length": len(data), "headers": dict(headers or {})})


async def publish(client):
    for number in range(int(REST[0])):
        payload, headers = message(number)
        reply = "answers.%d" % number if number % 5 == 0 else ""
        await client.publish("t.%d" % number, payload, reply=reply, headers=headers)
        print(told("t.%d" % number, payload, headers))
        if number % 50 == 0:
            await client.flush()
    await client.flush()


async def consume(client):
    wanted, queue = int(REST[0]), REST[1] if len(REST) > 1 else ""
    subscription = await client.subscribe("t.*", queue=queue)
    await client.flush()
    print("ready", flush=True)
    for _ in range(wanted):
        message_of = await subscription.next_msg(timeout=60)
        print(told(message_of.subject, message_of.data, message_of.headers))


async def stream(client):
    """Each fourth is acknowledged, refused, refused for ever, acknowledged with an answer."""
    count = int(REST[0])
    context = client.jetstream()
    await context.add_stream(name="S", subjects=["s.*"])
    for number in range(count):
        payload, headers = message(number)
        await context.publish("s.%d" % number, payload, headers=headers)
    subscription = await context.pull_subscribe("s.*", "C")
    refused, seen = set(), 0
    while seen < count:
        for one in await subscription.fetch(10, timeout=10):
            number = int(one.subject[2:])
            again = number in refused
            if not again:
                assert one.data == message(number)[0], number
            await one.in_progress()
            if number % 4 == 1 and not again:
                refused.add(number)
                await one.nak()
                continue
            seen += 1
            await (one.term() if number % 4 == 2 else
                   one.ack_sync() if number % 4 == 3 else one.ack())
    await client.flush()
    print("seen", seen)


async def push(client):
    count, policy = int(REST[0]), REST[1]
    context = client.jetstream()
    await context.add_stream(name="P", subjects=["p.*"])
    config = ConsumerConfig(ack_policy=AckPolicy(policy))
    subscription = await context.subscribe("p.*", config=config, manual_ack=True)
    for number in range(count):
        await context.publish("p.%d" % number, b"x")
    for _ in range(count):
        one = await subscription.next_msg(timeout=20)
        if policy != "none":
            await one.ack()
    await asyncio.sleep(0.5)
    await client.flush()


async def answer(client):
    async def reply(request):
        await request.respond(request.data[::-1])
    await client.subscribe("service", queue="servers", cb=reply)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def ask(client):
    for number in range(int(REST[0])):
        got = await client.request("service", b"%d-abc" % number, timeout=20)
        assert got.data == (b"%d-abc" % number)[::-1], got.data
    try:
        await client.request("nobody.is.there", b"", timeout=20)
    except nats.errors.NoRespondersError:
        print("nobody")


async def adopt(client):
    await client.publish("t.0", b"x", headers={"traceparent": REST[0], "tracestate": "own=1"})
    await client.flush()


async def forward(client):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def take(one):
        opener.open(REST[0]).read()
        await client.publish("u." + one.subject[2:], one.data)
    await client.subscribe("t.*", cb=take)
    done = await client.subscribe("done")
    await client.flush()
    print("ready", flush=True)
    await done.next_msg(timeout=60)
    await client.drain()


async def main():
    tls = ssl._create_unverified_context() if "APP_TLS" in os.environ else None
    client = await nats.connect("nats://127.0.0.1:" + PORT, allow_reconnect=False, tls=tls)
    await globals()[MODE](client)
    if not client.is_closed:
        await client.close()


asyncio.run(main())
