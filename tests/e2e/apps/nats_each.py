# SPDX-License-Identifier: Apache-2.0
"""A program that asks a URL for each message of a stream, by nats-py: nats_each.py HOW PORT COUNT URL

HOW it consumes: a callback, next, for (all three pushed), pull (one by one), some (pulled, a task for each),
eight (tasks that take from one subscription), tasks (one for each message), ahead (reads, then works).
Each with `-none` behind: nobody acknowledges. Messages go to e.0, e.1, ... before.
"""
import asyncio
import os
import random
import sys
import urllib.request

import nats
from nats.js.api import AckPolicy, ConsumerConfig

HOW, PORT, COUNT, URL = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
WAY, _, POLICY = HOW.partition("-")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def main():
    client = await nats.connect("nats://127.0.0.1:" + PORT)
    context = client.jetstream()
    await context.add_stream(name="E", subjects=["e.*"])
    left, done, running = COUNT, asyncio.Event(), set()

    async def work(one):
        nonlocal left
        await asyncio.sleep(random.random() / 500)
        OPENER.open(URL + one.subject).read()
        if not POLICY:
            await one.ack()
        await client.publish("done." + one.subject, b"")
        left -= 1
        if left == 0:
            done.set()

    def begin(one):
        task = asyncio.create_task(work(one))
        running.add(task)
        task.add_done_callback(running.discard)

    async def take(subscription):
        while left > 0:
            try:
                await work(await subscription.next_msg(timeout=0.5))
            except nats.errors.TimeoutError:
                pass

    config = ConsumerConfig(ack_policy=AckPolicy(POLICY or "explicit"),
                            max_ack_pending=None if POLICY else 50)
    if WAY in ("pull", "some"):
        subscription = await context.pull_subscribe("e.*", "C", config=config)
    else:
        callback = {"callback": work}.get(WAY)
        subscription = await context.subscribe("e.*", cb=callback, config=config, manual_ack=True)
    for number in range(COUNT):
        await context.publish("e.%d" % number, b"x")
    if WAY == "eight":
        await asyncio.gather(*(take(subscription) for _ in range(8)))
    elif WAY == "next":
        await take(subscription)
    elif WAY in ("for", "tasks"):
        seen = 0
        async for one in subscription.messages:
            begin(one) if WAY == "tasks" else await work(one)
            seen += 1
            if seen == COUNT:
                break
    elif WAY in ("pull", "some"):
        while left > len(running):
            batch = await subscription.fetch(1 if WAY == "pull" else 8, timeout=10)
            for one in batch:
                begin(one) if WAY == "some" else await work(one)
    elif WAY == "ahead":
        while left > 0:
            batch = [await subscription.next_msg(timeout=10) for _ in range(min(8, left))]
            for one in batch:
                await work(one)
    await done.wait()
    await client.close()


asyncio.run(main())
