# SPDX-License-Identifier: Apache-2.0
"""A producer and a consumer by aiokafka: send|take BOOTSTRAP TOPIC COUNT GROUP. One record a request, or,
if GROUP is `batch`, many; if it is `told`, each that the broker has is told, and none comes twice; if it
is `long`, each has a megabyte; if it is `wide`, many to two partitions, in large
batches; if it is `pair`, to two partitions; if it is `apart`, each to a partition of its own."""
import asyncio
import os
import ssl
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from kafka_settings import CA, CODEC, MORE, SECURITY, WIDE

WHAT, BOOTSTRAP, TOPIC, COUNT, GROUP = sys.argv[1:]
LARGE = {"max_batch_size": WIDE, "linger_ms": 200} if GROUP == "wide" else {}
SURE = {"enable_idempotence": True, "request_timeout_ms": 120000} if GROUP == "told" else {}
TRUST = {"ssl_context": ssl.create_default_context(cafile=CA)} if CA else {}


async def send():
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, client_id="shop", **SURE, **TRUST,
                                **SECURITY, **CODEC, **LARGE)
    await producer.start()
    sent = []
    for i in range(int(COUNT)):
        sent.append(await producer.send(TOPIC, b"value %d \0" % i + MORE, b"%d" % i,
                                        i if GROUP == "apart" else
                                        i % 2 if LARGE or GROUP == "pair" else 0,
                                        headers=[("n", b"%d" % i)] if i % 2 else None))
        if GROUP not in ("batch", "wide"):
            await sent[-1]
        if GROUP == "told":
            print(i, flush=True)
    await asyncio.gather(*sent)
    await producer.stop()


async def take():
    own = "%s-%d" % (GROUP, os.getpid())  # nobody waits for those before to leave
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, client_id="stock", group_id=own,
                                auto_offset_reset="earliest", **TRUST, **SECURITY)
    await consumer.start()
    for _ in range(int(COUNT)):
        message = await consumer.getone()
        print((message.offset, message.key, message.value, list(message.headers)))
    await consumer.stop()


asyncio.run({"send": send, "take": take}[WHAT]())
