# SPDX-License-Identifier: Apache-2.0
"""amqp_worker.py publish|consume|get PORT COUNT [option=value ...]: programs with pika that know
nothing of traces. What was sent and what came is printed, one line a message.

publish: confirm=1, context=traceparent of the program's own
consume: prefetch=N, ack=each|none|first|last, redis=PORT: asks for "m:ID" while it works on ID,
    threads=N: by threads that take messages from a queue and have each acknowledged (ack=thread)
loop: consume on pika's event loop, ack=each
"""
import hashlib
import queue
import socket
import sys
import threading

import pika

role, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = dict(argument.split("=", 1) for argument in sys.argv[4:])
parameters = pika.ConnectionParameters("127.0.0.1", port)
connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.queue_declare("work")


def body_of(number):
    return (b"%d " % number) * (number % 97) + bytes(range(256)) * (number % 5)


def tell(number, headers, body):
    print(number, headers, hashlib.sha256(body).hexdigest(), flush=True)


def publish():
    if "confirm" in options:
        channel.confirm_delivery()
    for number in range(count):
        headers = {"n": number, "deep": {"a": [1, "two", None]}} if number % 3 else None
        if "context" in options:
            headers = {"traceparent": options["context"]}
        channel.basic_publish("", "work", body_of(number), pika.BasicProperties(
            message_id=str(number), content_type="application/octet-stream", headers=headers,
            delivery_mode=2 if number % 2 else None))
        tell(number, headers, body_of(number))


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))

    def get(self, key):
        self.socket.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
        assert self.socket.recv(100) == b"$-1\r\n"


class Threads:
    def __init__(self, port, threads):
        self.messages, self.done = queue.Queue(), 0
        for _ in range(threads):
            threading.Thread(target=self.work, args=(Redis(port),), daemon=True).start()

    def work(self, redis):
        while True:
            key, tag = self.messages.get()
            redis.get(key)
            connection.add_callback_threadsafe(lambda tag=tag: self.acknowledge(tag))

    def acknowledge(self, tag):
        channel.basic_ack(tag)
        self.done += 1
        if self.done == count:
            channel.stop_consuming()


def consume():
    threads = int(options.get("threads", 0))
    workers = Threads(int(options["redis"]), threads) if threads else None
    redis = Redis(int(options["redis"])) if "redis" in options else None
    ack = options.get("ack", "each")
    seen = []

    def on_message(channel, method, properties, body):
        if ack == "first":
            channel.basic_ack(method.delivery_tag)
        if workers:
            workers.messages.put(("m:" + properties.message_id, method.delivery_tag))
        elif redis:
            redis.get("m:" + properties.message_id)
        tell(int(properties.message_id), properties.headers, body)
        seen.append(method.delivery_tag)
        if ack == "each":
            channel.basic_ack(method.delivery_tag)
        if len(seen) == count and ack != "thread":
            if ack == "last":
                channel.basic_ack(method.delivery_tag, multiple=True)
            channel.stop_consuming()

    if "prefetch" in options:
        channel.basic_qos(prefetch_count=int(options["prefetch"]))
    channel.basic_consume("work", on_message, auto_ack=ack == "none")
    channel.start_consuming()


def loop():
    redis, seen = Redis(int(options["redis"])), []

    def on_message(channel, method, properties, body):
        redis.get("m:" + properties.message_id)
        tell(int(properties.message_id), properties.headers, body)
        channel.basic_ack(method.delivery_tag)
        seen.append(method.delivery_tag)
        if len(seen) == count:
            loop.close()

    def on_channel(channel):
        channel.basic_qos(prefetch_count=int(options["prefetch"]))
        channel.basic_consume("work", on_message)

    loop = pika.SelectConnection(parameters, lambda loop: loop.channel(on_open_callback=on_channel),
                                 on_close_callback=lambda loop, error: loop.ioloop.stop())
    loop.ioloop.start()


def get():
    for _ in range(count):
        method, properties, body = channel.basic_get("work")
        tell(int(properties.message_id), properties.headers, body)
        channel.basic_ack(method.delivery_tag)
    assert channel.basic_get("work")[0] is None


{"publish": publish, "consume": consume, "loop": loop, "get": get}[role]()
connection.close()
