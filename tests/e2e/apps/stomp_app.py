# SPDX-License-Identifier: Apache-2.0
"""A program of STOMP by stomp.py, which knows nothing of tracing.

  stomp_app.py publish PORT VERSION QUEUE COUNT     with a receipt for every other message
  stomp_app.py consume PORT VERSION QUEUE COUNT ACK [URL]
      one line of JSON for each, after a question to the URL with its number; acknowledges each, or
      each tenth where ACK is client; refuses each fifth, once, where it is client-individual
  stomp_app.py adopt PORT VERSION QUEUE TRACEPARENT
"""
import hashlib
import json
import random
import sys
import threading
import urllib.request

import stomp

MODE, PORT, VERSION, QUEUE, LAST, *REST = sys.argv[1:]
PATIENCE = 60 + int(LAST) // 20 if MODE != "adopt" else 60  # seconds
CONNECTION = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}


def message(number):
    """Bytes of all kinds, NUL among them, and a header that has to be escaped."""
    dice = random.Random(number)
    length = dice.choice([0, 1, 40, 900, 5000] + [200_000] * (number % 100 == 7))
    special = "a:b\\c" if VERSION != "1.0" and number % 3 == 0 else "plain"
    return dice.choice([b"", b"\n\n\0\0SEND\n"]) + dice.randbytes(length), {
        "x-number": str(number), "x-special": special}


def told(number, body, headers):
    keep = {name: headers[name] for name in ("x-number", "x-special", "traceparent", "tracestate")
            if name in headers}
    return json.dumps({"number": number, "digest": hashlib.sha256(body).hexdigest(),
                       "length": len(body), "headers": keep})


class Listener(stomp.ConnectionListener):
    def __init__(self, connection):
        self.connection, self.seen, self.refused = connection, [], set()
        self.done, self.receipts, self.lock = threading.Event(), 0, threading.Condition()
        self.gone = threading.Event()

    def on_receipt(self, frame):
        with self.lock:
            self.receipts += 1
            self.lock.notify()

    def on_disconnected(self):
        self.gone.set()

    def on_error(self, frame):
        print("error", frame.headers.get("message"), flush=True)

    def on_message(self, frame):
        headers, body = frame.headers, frame.body
        body = body if isinstance(body, bytes) else body.encode()
        number = int(headers["x-number"])
        if len(REST) > 1:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open("%s/%d" % (REST[1], number)).read()
        if REST[0] == "client-individual" and number % 5 == 0 and number not in self.refused:
            self.refused.add(number)
            self.answer(self.connection.nack, headers)
            return
        self.seen.append(told(number, body, headers))
        if REST[0] == "client-individual" or (REST[0] == "client" and len(self.seen) % 10 == 0):
            self.answer(self.connection.ack, headers)
        if len(self.seen) == int(LAST):
            self.done.set()

    def answer(self, how, headers):
        if VERSION == "1.2":
            how(headers["ack"])
        elif VERSION == "1.1":
            how(headers["message-id"], headers["subscription"])
        else:
            how(headers["message-id"])


more = {} if VERSION == "1.0" else {"vhost": "/"}
connection = CONNECTION[VERSION]([("127.0.0.1", int(PORT))], auto_decode=False, **more)
listener = Listener(connection)
connection.set_listener("", listener)
connection.connect("guest", "guest", wait=True)
if MODE == "publish":
    for number in range(int(LAST)):
        body, headers = message(number)
        if number % 2:
            headers["receipt"] = "r-%d" % number
        connection.send(QUEUE, body, "application/octet-stream", headers)
        headers.pop("receipt", None)
        print(told(number, body, headers))
        if number % 200 == 199 or number == int(LAST) - 1:  # no faster than it can be told
            with listener.lock:
                assert listener.lock.wait_for(lambda: listener.receipts >= (number + 1) // 2, PATIENCE)
elif MODE == "consume":
    more = {} if VERSION == "1.0" else {"id": "s:1"}
    connection.subscribe(QUEUE, ack=REST[0], headers={"prefetch-count": "20"}, **more)
    print("ready", flush=True)
    assert listener.done.wait(PATIENCE)
    print("\n".join(listener.seen))
else:
    connection.send(QUEUE, b"x", headers={"x-number": "0", "traceparent": LAST, "tracestate": "own=1:2",
                                          "receipt": "1"})
    with listener.lock:
        assert listener.lock.wait_for(lambda: listener.receipts, 60)
connection.disconnect()
assert listener.gone.wait(PATIENCE)  # the thread that reads is done with the last message
