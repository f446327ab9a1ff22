# SPDX-License-Identifier: Apache-2.0
"""A consumer by aiokafka that works on each record, by a call of HTTP with its key as the path: as
kafka_each_py.py.

    each    async for record in consumer        one     await consumer.getone()
    wait    getone(), waited for by a task      many    all of a getmany()
    some    only each third makes a call        gather  ten by ten
    task    each by a task of its own, at once  pair    two consumers, a partition and a task each"""
import asyncio
import os
import random
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition

HOW, BOOTSTRAP, TOPIC, COUNT, PORT = sys.argv[1:]


async def call(record):
    await asyncio.sleep(random.random() / 500)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(PORT))
    writer.write(b"GET /%s HTTP/1.1\r\nHost: stock\r\n\r\n" % record.key)
    await reader.readexactly(40)
    writer.close()


async def records(consumer):
    while HOW == "many":
        for some in (await consumer.getmany(timeout_ms=1000, max_records=7)).values():
            for record in some:
                yield record
    while HOW == "wait":
        yield await asyncio.wait_for(consumer.getone(), 60)
    while True:
        yield await consumer.getone()


async def work(partition=None):
    topics = () if HOW == "pair" else (TOPIC,)
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, client_id="stock",
                                group_id="g%d" % os.getpid(), auto_offset_reset="earliest")
    await consumer.start()
    gathered, tasks, left = [], set(), int(COUNT)
    if HOW == "pair":
        consumer.assign([TopicPartition(TOPIC, partition)])
        left = (left + 1 - partition) // 2
    async for record in consumer if HOW in ("each", "some", "gather", "pair", "task") else records(consumer):
        print((record.offset, record.key, record.value, list(record.headers)))
        left -= 1
        if HOW == "gather":
            gathered.append(record)
            if len(gathered) == 10:
                while gathered:
                    await call(gathered.pop())
        elif HOW == "task":
            task = asyncio.create_task(call(record))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        elif HOW != "some" or int(record.key) % 3 == 0:
            await call(record)
        if left == 0:
            break
    await asyncio.gather(*tasks)
    await consumer.stop()


async def main():
    await asyncio.gather(*([work(0), work(1)] if HOW == "pair" else [work()]))


asyncio.run(main())
