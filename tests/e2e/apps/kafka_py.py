# SPDX-License-Identifier: Apache-2.0
"""A producer and a consumer by kafka-python: as kafka_aio.py."""
import sys

from kafka import KafkaConsumer, KafkaProducer

from kafka_settings import CA, CODEC, MORE, SECURITY, WIDE

WHAT, BOOTSTRAP, TOPIC, COUNT, GROUP = sys.argv[1:]
LARGE = {"batch_size": WIDE, "linger_ms": 200} if GROUP == "wide" else {}
SURE = {"enable_idempotence": True, "acks": "all"} if GROUP == "told" else {}
TRUST = {"ssl_cafile": CA} if CA else {}


def send():
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, client_id="shop", **SURE, **TRUST,
                             **SECURITY, **CODEC, **LARGE)
    for i in range(int(COUNT)):
        sent = producer.send(TOPIC, b"value %d \0" % i + MORE, b"%d" % i,
                             [("n", b"%d" % i)] if i % 2 else None, i % 2 if LARGE or GROUP == "pair" else 0)
        if GROUP not in ("batch", "wide"):
            sent.get(120)
        if GROUP == "told":
            print(i, flush=True)
    producer.flush()
    producer.close()


def take():
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, client_id="stock", group_id=GROUP,
                             auto_offset_reset="earliest", **TRUST, **SECURITY)
    left = int(COUNT)
    while left > 0:
        for messages in consumer.poll(1000).values():
            for message in messages:
                print((message.offset, message.key, message.value, list(message.headers)))
                left -= 1
    consumer.close()


{"send": send, "take": take}[WHAT]()
