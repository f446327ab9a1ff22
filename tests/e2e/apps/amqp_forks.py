# SPDX-License-Identifier: Apache-2.0
"""amqp_forks.py PORT COUNT REDIS sends|works: a consumer with pika that forks a process for each message. It
sends others by py-amqp, on a connection of its own, and asks Redis in between; or it works on what another queue
has, of which there is one for each."""
import os
import sys

import amqp
import pika

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from amqp_redis import Redis # noqa: E402

port, count, redis, how = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def open_channel():
    connection = amqp.Connection("127.0.0.1:%d" % port, confirm_publish=True)
    connection.connect()
    channel = connection.channel()
    channel.queue_declare("more", durable=False, auto_delete=False)
    return connection, channel


def send(name):
    """It waits for the broker five times."""
    asked = Redis(redis)
    asked.get("m:%s" % name)
    _, channel = open_channel()
    asked.get("m:%s" % name)
    for _ in range(2):
        channel.basic_publish_confirm(amqp.Message(b"", message_id=name), "", "more")
        asked.get("m:%s" % name)


def work(name):
    asked = Redis(redis)
    asked.get("m:%s" % name)
    connection, channel = open_channel()
    came = []

    def on_message(message):
        asked.get("m:%s" % message.properties["message_id"])
        channel.basic_ack(message.delivery_tag)
        came.append(message)

    channel.basic_qos(0, 1, False)
    channel.basic_consume("more", callback=on_message)
    while len(came) < 2:
        connection.drain_events()


def on_message(channel, method, properties, body):
    child = os.fork()
    if child == 0:
        {"sends": send, "works": work}[how](properties.message_id)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    seen.append(child)
    channel.basic_ack(method.delivery_tag)
    if len(seen) == count:
        channel.stop_consuming()


seen = []
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
channel = connection.channel()
channel.queue_declare("work")
channel.queue_declare("more")
channel.basic_qos(prefetch_count=5)
channel.basic_consume("work", on_message)
channel.start_consuming()
connection.close()
