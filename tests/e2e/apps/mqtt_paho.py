# SPDX-License-Identifier: Apache-2.0
"""A program of MQTT by paho, which knows nothing of tracing.

  mqtt_paho.py publish PORT VERSION QOS COUNT        messages of their own each to t/0, t/1, ...
  mqtt_paho.py consume PORT VERSION QOS COUNT [FILTER] [URL]
      one line of JSON for each that comes to FILTER (t/+), after a question to the URL with its number
  mqtt_paho.py forward PORT VERSION QOS COUNT        sends each of t/+ on to u/+
  mqtt_paho.py adopt PORT VERSION QOS TRACEPARENT    one message with a context of its own
  mqtt_paho.py resume PORT VERSION QOS COUNT         each is retained, and waits for its
      acknowledgement; connects anew as often as it must; prints the number of each

VERSION is 4 or 5. With APP_TLS=1 inside TLS; with APP_THREAD=1 on a thread of paho's.
"""
import hashlib
import json
import os
import queue
import random
import sys
import threading
import urllib.request

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MODE, PORT, VERSION, QOS, LAST, *REST = sys.argv[1:]
VERSION, QOS = int(VERSION), int(QOS)


def message(number):
    """Payload and properties of a message: bytes of all kinds, lengths from 1."""
    dice = random.Random(number)
    length = dice.choice([1, 2, 40, 127, 128, 900, 5000] + [200_000] * (number % 100 == 7))
    payload = dice.choice([b"", b"\x30\x05\0\1a\0x", b"\x26\0\x0btraceparent"]) + dice.randbytes(length)
    user = [("X-Number", str(number)), ("k", "")] if number % 3 == 0 else []
    return payload, user


def properties(user):
    if VERSION != 5:
        return None
    made = Properties(PacketTypes.PUBLISH)
    if user:
        made.UserProperty = user
        made.ContentType = "text/plain"
    return made


def told(topic, payload, user):
    return json.dumps({"topic": topic, "digest": hashlib.sha256(payload).hexdigest(),
                       "length": len(payload), "user": [list(pair) for pair in user]})


def client(name):
    made = mqtt.Client(name, protocol=VERSION)
    made.max_inflight_messages_set(20)
    if "APP_TLS" in os.environ:
        import ssl
        made.tls_set(cert_reqs=ssl.CERT_NONE)
        made.tls_insecure_set(True)
    return made


def loop(made, holds):
    if "APP_THREAD" in os.environ:
        import time
        made.loop_start()
        while holds():
            time.sleep(0.01)
        made.loop_stop()
    else:
        while holds():
            made.loop(1)
    made.disconnect()
    made.loop(1)


def send(made, name, number):
    payload, user = message(number)
    return made.publish("%s/%d" % (name, number), payload, qos=QOS, properties=properties(user))


def publish():
    made, left = client("publisher"), set()
    made.on_connect = lambda *_: start()
    made.on_publish = lambda _, __, mid: left.discard(mid)

    def start():
        for number in range(int(LAST)):
            left.add(send(made, "t", number).mid)
            payload, user = message(number)
            print(told("t/%d" % number, payload, user if VERSION == 5 else []))
    made.connect("127.0.0.1", int(PORT))
    left.add(-1)
    loop(made, lambda: len(left) > 1 or (left == {-1} and not made._last_mid))


def consume():
    name = "consumer-%d" % os.getpid()
    made, seen, url = client(name), [], REST[1] if len(REST) > 1 else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def take(_, __, one):
        user = getattr(getattr(one, "properties", None), "UserProperty", [])
        if url:
            opener.open("%s/%s" % (url, one.topic.split("/")[1])).read()
        seen.append(told(one.topic, one.payload, user))
    made.on_message = take
    made.on_connect = lambda *_: made.subscribe(REST[0] if REST else "t/+", QOS)
    made.on_subscribe = lambda *_: print("ready", flush=True)
    made.connect("127.0.0.1", int(PORT))
    loop(made, lambda: len(seen) < int(LAST))
    print("\n".join(seen))


def forward():
    made, sent = client("forwarder"), []
    done = set()
    made.on_message = lambda _, __, one: sent.append(
        made.publish("u" + one.topic[1:], one.payload, qos=QOS).mid)
    made.on_publish = lambda _, __, mid: done.add(mid)
    made.on_connect = lambda *_: made.subscribe("t/+", QOS)
    made.on_subscribe = lambda *_: print("ready", flush=True)
    made.connect("127.0.0.1", int(PORT))
    loop(made, lambda: len(sent) < int(LAST) or not set(sent) <= done)


def resume():
    made, published, connected = client("resumer"), queue.Queue(), threading.Event()
    made.on_connect = lambda *_: connected.set()
    made.on_publish = lambda _, __, mid: published.put(mid)
    made.reconnect_delay_set(1, 1)
    made.connect("127.0.0.1", int(PORT))
    made.loop_start()
    connected.wait(60)  # what is sent before the broker has agreed carries no context
    for number in range(int(LAST)):
        payload, user = message(number)
        sent = made.publish("t/%d" % number, payload, QOS, True, properties(user)).mid
        while published.get(timeout=60) != sent: # without a connection, too, it is kept and sent
            pass
        print(number, flush=True)
    made.disconnect()
    made.loop_stop()


def adopt():
    made, done = client("adopter"), []
    made.on_connect = lambda *_: made.publish("t/0", b"x", qos=QOS, properties=properties(
        [("traceparent", LAST), ("tracestate", "own=1")]))
    made.on_publish = lambda *_: done.append(1)
    made.connect("127.0.0.1", int(PORT))
    loop(made, lambda: not done)


globals()[MODE]()
