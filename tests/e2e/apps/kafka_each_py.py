# SPDX-License-Identifier: Apache-2.0
"""A consumer by kafka-python that works on each record, by a call of HTTP with its key as the path:
HOW BOOTSTRAP TOPIC COUNT PORT. It prints each record.

    each    for record in consumer          next    next(consumer)
    commit  the same, committed one by one  poll    all of a poll()
    one     poll(max_records=1)             some    only each third makes a call
    gather  ten by ten, called when there   pool    each in a pool of threads, waited for
    are ten                                 open    each, and the consumer is left open
    sqlite  each by a statement, too        pair    two consumers, a partition and a thread each"""
import concurrent.futures
import http.client
import os
import sqlite3
import sys
import threading

from kafka import KafkaConsumer, TopicPartition

HOW, BOOTSTRAP, TOPIC, COUNT, PORT = sys.argv[1:]
connections = {}
pool = concurrent.futures.ThreadPoolExecutor(4)
base = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
base.execute("CREATE TABLE seen (key)")


def call(record):
    http_client = connections.setdefault(threading.get_ident(),
                                         http.client.HTTPConnection("127.0.0.1", int(PORT)))
    http_client.request("GET", "/" + record.key.decode())
    http_client.getresponse().read()


def tell(record):
    sys.stdout.write("%r\n" % ((record.offset, record.key, record.value, list(record.headers)),))


def records(consumer):
    """Each by itself, or what poll() answers."""
    if HOW in ("poll", "one"):
        while True:
            for some in consumer.poll(1000, max_records=1 if HOW == "one" else 7).values():
                yield from some
    while True:
        yield next(consumer)


def work(partition=None):
    topics = () if HOW == "pair" else (TOPIC,)
    consumer = KafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, client_id="stock", group_id="g%d" % os.getpid(),
                             auto_offset_reset="earliest", enable_auto_commit=HOW != "commit")
    gathered, left = [], int(COUNT)
    if HOW == "pair":
        consumer.assign([TopicPartition(TOPIC, partition)])
        left = (left + 1 - partition) // 2
    for record in consumer if HOW in ("each", "commit", "open", "some", "pair") else records(consumer):
        tell(record)
        left -= 1
        if HOW == "gather":
            gathered.append(record)
            if len(gathered) == 10:
                while gathered:
                    call(gathered.pop())
        elif HOW == "pool":
            pool.submit(call, record).result()
        elif HOW != "some" or int(record.key) % 3 == 0:
            call(record)
        if HOW == "sqlite":
            base.execute("INSERT INTO seen VALUES (%d)" % int(record.key))
        if HOW == "commit":
            consumer.commit()
        if left == 0:
            break
    if HOW != "open":
        consumer.close()


if HOW == "pair":
    threads = [threading.Thread(target=work, args=[partition]) for partition in (0, 1)]
    for thread in threads:
        thread.start()
else:
    work()
