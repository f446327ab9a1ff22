# SPDX-License-Identifier: Apache-2.0
"""aio_pika_worker.py WAY PORT COUNT PREFETCH ACK REDIS: a program with aio-pika that knows nothing of
traces. While it works on message ID it waits, asks Redis for "m:ID", waits, asks again, and publishes "ID"
to the queue "done". What came is printed, one line a message.

WAY: callback: queue.consume(function); plain: of aiormq alone; iterator: `async for`, one after the other;
    tasks: the same, a task for each message; process: `async with message.process()` in a callback
ACK: each: after the work; first: before it; none: the queue is consumed without acknowledgement
"""
import asyncio
import hashlib
import random
import sys

import aio_pika
import aiormq

way, ack = sys.argv[1], sys.argv[5]
port, count, prefetch, redis = map(int, (*sys.argv[2:5], sys.argv[6]))
url = "amqp://guest:guest@127.0.0.1:%d/" % port
lines, chance = [], random.Random(7)


async def ask(key):
    reader, writer = await asyncio.open_connection("127.0.0.1", redis)
    writer.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
    assert await reader.readexactly(5) == b"$-1\r\n"
    writer.close()
    await writer.wait_closed()


async def wait():
    await asyncio.sleep(chance.choice((0, 0, 0.001, 0.003)))


async def work(number, headers, body, publish):
    await wait()
    await ask("m:" + number)
    await wait()
    await ask("m:" + number)
    await publish(number)
    lines.append("%s %s %s" % (number, headers, hashlib.sha256(body).hexdigest()))
    print(lines[-1], flush=True)


class Worker:
    def __init__(self, channel):
        self.channel, self.done = channel, asyncio.Event()

    async def publish(self, number):
        await self.channel.default_exchange.publish(
            aio_pika.Message(number.encode(), message_id=number), "done")

    async def work(self, message):
        await work(message.message_id, dict(message.headers), message.body, self.publish)

    async def on_message(self, message):
        if ack == "first":
            await message.ack()
        await self.work(message)
        if ack == "each":
            await message.ack()
        self.look()

    def look(self):
        if len(lines) == count:
            self.done.set()

    async def on_process(self, message):
        async with message.process():
            await self.work(message)
        self.look()

    async def iterate(self, queue, tasks=False):
        kept = set()
        async with queue.iterator(no_ack=ack == "none") as messages:
            async for message in messages:
                if tasks:
                    kept.add(asyncio.create_task(self.on_message(message)))
                else:
                    await self.on_message(message)
                if (len(kept) if tasks else len(lines)) == count:
                    break
            await asyncio.gather(*kept)


async def with_aio_pika():
    connection = await aio_pika.connect_robust(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.declare_queue("work")
    worker = Worker(channel)
    if way in ("iterator", "tasks"):
        await worker.iterate(queue, way == "tasks")
    else:
        await queue.consume(worker.on_process if way == "process" else worker.on_message,
                            no_ack=ack == "none")
        await worker.done.wait()
    await connection.close()


async def with_aiormq():
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=prefetch)
    done = asyncio.Event()

    async def publish(number):
        await channel.basic_publish(number.encode(), routing_key="done",
                                    properties=aiormq.spec.Basic.Properties(message_id=number))

    async def on_message(message):
        properties, tag = message.header.properties, message.delivery.delivery_tag
        if ack == "first":
            await channel.basic_ack(tag)
        await work(properties.message_id, properties.headers, message.body, publish)
        if ack == "each":
            await channel.basic_ack(tag)
        if len(lines) == count:
            done.set()

    await channel.basic_consume("work", on_message, no_ack=ack == "none")
    await done.wait()
    await connection.close()


asyncio.run(with_aiormq() if way == "plain" else with_aio_pika())
