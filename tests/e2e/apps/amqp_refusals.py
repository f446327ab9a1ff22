# SPDX-License-Identifier: Apache-2.0
"""amqp_refusals.py returns|many|transactions|refusals PORT [REDIS]: programs with pika whose messages come back,
who take back what they said, and who are refused. What the broker tells them is printed."""
import os
import sys

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, UnroutableError

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from amqp_redis import Redis # noqa: E402

role, port = sys.argv[1], int(sys.argv[2])
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
OWN = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def open_channel():
    channel = connection.channel()
    channel.queue_declare("work")
    return channel


def publish(channel, key, name, **properties):
    channel.basic_publish("", key, name.encode(), pika.BasicProperties(message_id=name, **properties),
                          mandatory=True)


def returns():
    channel = open_channel()
    came = []
    channel.add_on_return_callback(lambda channel, method, properties, body: came.append(
        (method.reply_code, method.routing_key, body)))
    for number in range(4):
        publish(channel, "work" if number % 2 else "nowhere", "open-%d" % number)
    publish(channel, "nowhere", "open-own", headers=OWN)
    while len(came) < 3:
        connection.process_data_events(1)
    print(sorted(came))
    channel = open_channel()
    channel.confirm_delivery()
    for number in range(4):
        try:
            publish(channel, "work" if number % 2 else "nowhere", "confirmed-%d" % number)
            print("confirmed", number)
        except UnroutableError as error:
            print("returned", number, error.messages[0].body)
    try:
        publish(channel, "nowhere", "confirmed-own", headers=OWN)
    except UnroutableError:
        print("returned own")


def many():
    """Confirmed, many under way at once, and every third comes back."""
    count, seen = 60, {"confirmed": 0, "returned": 0}

    def on_channel(channel):
        def on_confirm(frame):
            seen["confirmed"] = max(frame.method.delivery_tag, seen["confirmed"])
            if seen["confirmed"] == count:
                selected.close()

        def on_return(*_):
            seen["returned"] += 1

        channel.add_on_return_callback(on_return)
        channel.confirm_delivery(on_confirm, lambda _: publish_all(channel))

    def publish_all(channel):
        for number in range(count):
            publish(channel, "work" if number % 3 else "nowhere", "many-%d" % number)

    selected = pika.SelectConnection(
        pika.ConnectionParameters("127.0.0.1", port), lambda it: it.channel(on_open_callback=on_channel),
        on_close_callback=lambda it, _: it.ioloop.stop())
    selected.ioloop.start()
    print(seen["returned"])


def transactions():
    channel, redis = open_channel(), Redis(int(sys.argv[3]))
    channel.queue_purge("work")
    channel.tx_select()
    for number in range(3):
        publish(channel, "work", "tx-%d" % number)
    channel.tx_commit()
    publish(channel, "work", "never")
    channel.tx_rollback()

    def take():
        method, properties, _ = channel.basic_get("work")
        redis.get("m:" + properties.message_id)
        print(properties.message_id, method.redelivered)
        return method.delivery_tag

    first = take()
    channel.basic_ack(first)
    channel.tx_commit()
    second = take()
    channel.basic_ack(second)
    channel.tx_rollback()
    third = take()
    channel.basic_nack(third, requeue=False)
    channel.tx_rollback()
    channel.basic_recover(requeue=True)
    for _ in range(2):
        channel.basic_ack(take())
    channel.tx_commit()
    print(channel.basic_get("work")[0])


def refused(what, act):
    channel = open_channel()
    try:
        act(channel)
        channel.connection.process_data_events(0.5)
        channel.queue_declare("work", passive=True)
        print(what, "went")
    except ChannelClosedByBroker as error:
        print(what, error.reply_code)
    except AMQPError as error:
        print(what, type(error).__name__)


def confirmed(channel):
    channel.confirm_delivery()
    channel.basic_publish("missing", "key", b"x")


def refusals():
    other = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
    other.channel().queue_declare("locked", exclusive=True)
    other.channel().queue_declare("empty")
    refused("get", lambda channel: channel.basic_get("missing"))
    refused("get locked", lambda channel: channel.basic_get("locked"))
    refused("consume", lambda channel: channel.basic_consume("missing", print))
    refused("consume locked", lambda channel: channel.basic_consume("locked", print))
    refused("consume well", lambda channel: channel.basic_consume("empty", print))
    refused("publish", lambda channel: channel.basic_publish("missing", "key", b"x"))
    refused("confirmed", confirmed)
    refused("ack", lambda channel: channel.basic_ack(77))
    refused("declare", lambda channel: channel.queue_declare("work", durable=True))
    other.close()


{"returns": returns, "many": many, "transactions": transactions, "refusals": refusals}[role]()
connection.close()
