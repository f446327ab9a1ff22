# SPDX-License-Identifier: Apache-2.0
"""Tasks of dramatiq by RabbitMQ. As a program it sends COUNT of them: dramatiq_app.py COUNT. A task asks
Redis for "m:NUMBER" twice; every fifth one sends another task, "NUMBER.1",
to be done DELAY milliseconds later."""
import os
import socket
import sys
import threading

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

dramatiq.set_broker(RabbitmqBroker(url=os.environ["BROKER"], middleware=[]))
own = threading.local()


def ask(key):
    if not hasattr(own, "redis"):
        own.redis = socket.create_connection(("127.0.0.1", int(os.environ["REDIS"])))
    own.redis.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
    assert own.redis.recv(100) == b"$-1\r\n"


@dramatiq.actor(queue_name="work")
def work(number):
    ask("m:" + number)
    ask("m:" + number)
    if number.isdigit() and int(number) % 5 == 0:
        work.send_with_options(args=(number + ".1",), delay=int(os.environ["DELAY"]) or None)
    with open(os.environ["TOLD"], "a") as file:
        file.write(number + "\n")


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        work.send(str(number))
