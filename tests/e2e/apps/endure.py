# SPDX-License-Identifier: Apache-2.0
"""A producer and a consumer that go on whatever breaks, and know nothing of tracing:

  endure.py SYSTEM send PORT NAME COUNT [AT...]   each is sent until the broker has it: "sent NUMBER KEY
      TRIES"; after those numbers it says "at NUMBER" and waits for a line
  endure.py SYSTEM take PORT NAME DIE_AT          "ready"; for each "came NUMBER KEY whole|broken CONTEXT",
      and a statement of SQLite that names it, then it is acknowledged: "done NUMBER", or "open NUMBER"
      when it is not known whether the broker has that; kills itself with number DIE_AT in hand; ends by
      SIGTERM

One message at a time. In its middle a message has a mark, `<<NUMBER>>`; one in ten is of 4.5 KB.
"""
import asyncio
import hashlib
import os
import queue
import re
import signal
import sqlite3
import sys
import time

SYSTEM, ROLE, PORT, NAME, NUMBER, *AT = sys.argv[1:]
PATIENCE = 120  # seconds for one message


def body_of(number):
    some = hashlib.sha256(b"%d" % number).digest()
    times = 8 if number % 10 == 0 else 1
    return some * 5 * times + b"<<%d>>" % number + some * 13 * times


def text(value):
    return value.decode() if isinstance(value, bytes) else value


class Amqp:
    def __init__(self):
        import pika
        self.properties = pika.BasicProperties
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(PORT)))
        self.channel = self.connection.channel()
        self.channel.queue_declare(NAME, durable=True)
        if ROLE == "send":
            self.channel.confirm_delivery()
        else:
            self.channel.basic_qos(prefetch_count=1)
            self.messages = self.channel.consume(NAME)

    def send(self, number, body):
        self.channel.basic_publish("", NAME, body, self.properties(message_id=str(number), delivery_mode=2))
        return number

    def take(self):
        method, properties, body = next(self.messages)
        self.tag = method.delivery_tag
        return properties.message_id, body, (properties.headers or {}).get("traceparent")

    def settle(self):
        self.channel.basic_ack(self.tag)


class Stomp:
    def __init__(self):
        import stomp
        self.inbox = queue.Queue()
        self.connection = stomp.Connection12([("127.0.0.1", int(PORT))], auto_decode=False, vhost="/",
                                             reconnect_attempts_max=1)
        self.connection.set_listener("", self)
        self.connection.connect("guest", "guest", wait=True)
        if ROLE == "take":
            self.connection.subscribe("/queue/" + NAME, "1", "client-individual",
                                      {"prefetch-count": "1"})

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        found = name[3:] if name in ("on_message", "on_receipt", "on_disconnected") else None
        return lambda frame=None: found and self.inbox.put((found, frame))

    def next(self):
        what, frame = self.inbox.get(timeout=PATIENCE)
        if what == "disconnected":
            raise OSError(what)
        return frame

    def send(self, number, body):
        self.connection.send("/queue/" + NAME, body, "application/octet-stream",
                             {"number": str(number), "persistent": "true", "receipt": str(number)})
        assert self.next().headers["receipt-id"] == str(number)
        return number

    def take(self):
        frame = self.next()
        self.tag = frame.headers["ack"]
        return frame.headers["message-id"], frame.body, frame.headers.get("traceparent")

    def settle(self):
        self.connection.ack(self.tag)


class Redis:
    """What it had in hand when its connection ended comes first."""

    def __init__(self):
        import redis
        self.client = redis.Redis("127.0.0.1", int(PORT), single_connection_client=True)
        self.since = "0"
        if ROLE == "take":
            try:
                self.client.xgroup_create(NAME, "workers", "0", mkstream=True)
            except redis.ResponseError:  # it is there
                pass

    def send(self, number, body):
        return text(self.client.xadd(NAME, {"body": body}))

    def take(self):
        while True:
            found = self.client.xreadgroup("workers", "me", {NAME: self.since}, 1, 20000)
            if found and found[0][1]:
                break
            self.since = ">"
        (self.tag, fields), = found[0][1]
        return text(self.tag), fields[b"body"], fields.get(b"traceparent")

    def settle(self):
        self.client.xack(NAME, "workers", self.tag)


class Mqtt:
    """Its session outlives it. paho would acknowledge a message before this has seen it."""

    def __init__(self):
        from paho.mqtt import client, packettypes, properties
        session = properties.Properties(packettypes.PacketTypes.CONNECT)
        session.SessionExpiryInterval, session.ReceiveMaximum = 3600, 1
        self.inbox, self.tags, self.done = [], [], set()
        self.client = client.Client(NAME + ROLE, protocol=client.MQTTv5)
        self.client.on_connect = lambda *_: self.done.add("connect")
        self.client.on_subscribe = lambda *_: self.done.add("subscribe")
        self.client.on_message = lambda _, __, message: self.inbox.append(message)
        self.acknowledge = self.client._send_puback
        self.client._send_puback = lambda tag: self.tags.append(tag) or client.MQTT_ERR_SUCCESS
        self.client.connect("127.0.0.1", int(PORT), clean_start=False, properties=session)
        self.loop(lambda: "connect" in self.done)
        if ROLE == "take":
            self.client.subscribe(NAME + "/+", 1)
            self.loop(lambda: "subscribe" in self.done)

    def loop(self, until):
        deadline = time.monotonic() + PATIENCE
        while not until():
            if self.client.loop(1) != 0 or time.monotonic() > deadline:
                raise OSError("the connection has ended")

    def send(self, number, body):
        topic = "%s/%d" % (NAME, number)
        self.loop(self.client.publish(topic, body, 1).is_published)
        return topic

    def take(self):
        self.loop(lambda: self.inbox)
        message = self.inbox.pop(0)
        user = dict(getattr(message.properties, "UserProperty", ()))
        return message.topic, message.payload, user.get("traceparent")

    def settle(self):
        if self.acknowledge(self.tags.pop(0)) != 0:
            raise OSError("it cannot be acknowledged")


class Loop:
    """Of a client that is asyncio's."""
    loop = asyncio.new_event_loop()

    def do(self, what, timeout=PATIENCE):
        return self.loop.run_until_complete(asyncio.wait_for(what, timeout))

    def __init__(self):
        self.do(self.connect())

    def settle(self):
        self.do(self.settled())

    def send(self, number, body):
        return self.do(self.sent(number, body))


class Nats(Loop):
    async def connect(self):
        import nats
        self.client = await nats.connect("nats://127.0.0.1:" + PORT, allow_reconnect=False)
        self.stream = self.client.jetstream()
        await self.stream.add_stream(name=NAME, subjects=[NAME + ".*"])
        if ROLE == "take":
            config = nats.js.api.ConsumerConfig(ack_wait=5, max_ack_pending=1)
            self.messages = await self.stream.pull_subscribe(NAME + ".*", "workers", config=config)

    async def sent(self, number, body):
        await self.stream.publish("%s.%d" % (NAME, number), body, timeout=5)
        return "%s.%d" % (NAME, number)

    def take(self):
        self.message, = self.do(self.messages.fetch(1, timeout=5))
        return self.message.subject, self.message.data, (self.message.headers or {}).get("traceparent")

    async def settled(self):
        await self.message.ack_sync()


class Kafka(Loop):
    """It comes again by itself."""

    async def connect(self):
        import aiokafka
        common = {"bootstrap_servers": "127.0.0.1:" + PORT, "request_timeout_ms": 30000}
        if ROLE == "send":
            self.client = aiokafka.AIOKafkaProducer(enable_idempotence=True, **common)
        else:
            # No more than a span has links for.
            self.client = aiokafka.AIOKafkaConsumer(group_id=NAME, enable_auto_commit=False,
                                                    auto_offset_reset="earliest",
                                                    max_partition_fetch_bytes=32768, **common)
            self.client.assign([aiokafka.TopicPartition(NAME, 0)])
        await self.client.start()

    async def sent(self, number, body):
        await self.client.send_and_wait(NAME, body, b"%d" % number, 0)
        return number

    def take(self):
        message = self.do(self.client.getone())
        return text(message.key), message.value, dict(message.headers).get("traceparent")

    async def settled(self):
        await self.client.commit()


def again(work):
    """Until it is done; answers how often it was tried."""
    global client
    for tries in range(1, 20 * PATIENCE):
        try:
            client = client or SYSTEMS[SYSTEM]()
            return work(), tries
        except Exception as error:
            print("#", repr(error)[:200], file=sys.stderr, flush=True)
            client = None
            time.sleep(0.05)
    sys.exit(2)


def send():
    for number in range(int(NUMBER)):
        key, tries = again(lambda: client.send(number, body_of(number)))
        print("sent", number, key, tries, flush=True)
        if str(number) in AT:
            print("at", number, flush=True)
            sys.stdin.readline()


def take_one():
    key, body, context = client.take()
    number = int(re.search(rb"<<(\d+)>>", body)[1])
    print("came", number, key, "whole" if body == body_of(number) else "broken", text(context), flush=True)
    base.execute("INSERT INTO worked SELECT %d AS n%d" % (number, number))
    if number == int(NUMBER):
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        client.settle()
    except Exception:
        print("open", number, flush=True)
        raise
    print("done", number, flush=True)


def take():
    global base
    base = sqlite3.connect(NAME + ".db", isolation_level=None)
    base.executescript("PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS worked (number INTEGER)")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    again(lambda: print("ready", flush=True))
    while True:
        again(take_one)


SYSTEMS = {"amqp": Amqp, "stomp": Stomp, "redis": Redis, "nats": Nats, "mqtt": Mqtt, "kafka": Kafka}
client = None
{"send": send, "take": take}[ROLE]()
