# SPDX-License-Identifier: Apache-2.0
"""mongodb_server.py PORT [compress]: stands in for MongoDB's server, which the distribution has not.
It speaks OP_MSG, OP_COMPRESSED (zlib) and the greeting by OP_QUERY as the specifications of drivers
have them, keeps documents in memory, and prints a line of JSON for each command that it gets: name,
collection, database, and the requestID. The command `fail` fails as it is told to; `die` ends it."""
import json
import os
import socketserver
import struct
import sys
import threading
import zlib

import bson
from bson.int64 import Int64

OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG = 1, 2004, 2012, 2013
MORE_TO_COME = 2
COMPRESSES = sys.argv[2:] == ["compress"]
LOCK, STORE, CURSORS, COUNT = threading.Lock(), {}, {}, [0]


def greet(body, _):
    reply = {"ismaster": True, "helloOk": True, "maxBsonObjectSize": 16777216, "ok": 1.0,
             "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": 0,
             "maxWireVersion": 13, "logicalSessionTimeoutMinutes": 30, "readOnly": False}
    if COMPRESSES and "zlib" in body.get("compression", ()):
        reply["compression"] = ["zlib"]
    return reply


def batch(documents, name, body, key):
    size = body.get("batchSize") or 101
    rest, number = documents[size:], 0
    if rest:
        number = len(CURSORS) + 1
        CURSORS[number] = (name, rest)
    return {"cursor": {key: documents[:size], "id": Int64(number), "ns": name}, "ok": 1.0}


def find(body, name):
    return batch([d for d in STORE.get(name, []) if all(
        d.get(k) == v for k, v in body.get("filter", {}).items())], name, body, "firstBatch")


def get_more(body, _):
    name, rest = CURSORS.pop(body["getMore"])
    return batch(rest, name, body, "nextBatch")


def insert(body, name):
    there = {d["_id"] for d in STORE.get(name, [])}
    errors = [{"index": i, "code": 11000, "errmsg": "duplicate key"}
              for i, d in enumerate(body["documents"]) if d["_id"] in there]
    if errors:
        return {"n": 0, "writeErrors": errors, "ok": 1.0}
    STORE.setdefault(name, []).extend(body["documents"])
    return {"n": len(body["documents"]), "ok": 1.0}


def aggregate(body, name):
    return batch([{"_id": 1, "n": len(STORE.get(name, []))}], name, body, "firstBatch")


def fail(body, _):
    return {"ok": 0.0, "errmsg": "as you wish", "code": body["fail"], "codeName": "Wish"}


COMMANDS = {"hello": greet, "isMaster": greet, "ismaster": greet, "find": find,
            "getMore": get_more, "insert": insert, "aggregate": aggregate, "fail": fail,
            "die": lambda *_: os._exit(0),
            "saslStart": lambda *_: {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18,
                                     "codeName": "AuthenticationFailed"},
            "count": lambda body, name: {"n": len(STORE.get(name, [])), "ok": 1.0},
            "update": lambda body, _: {"n": len(body["updates"]), "nModified": 0, "ok": 1.0},
            "delete": lambda body, _: {"n": 0, "ok": 1.0}}


def answer(body, request_id):
    name = next(iter(body))
    target = body[name] if isinstance(body[name], str) else body.get("collection")
    with LOCK:
        if name not in ("hello", "isMaster", "ismaster"):
            print(json.dumps([name, target, body.get("$db"), request_id]), flush=True)
        made = COMMANDS.get(name, lambda *_: {"ok": 1.0})
        return made(body, "%s.%s" % (body.get("$db"), target))


def take_apart(payload):
    """Flags and the command of an OP_MSG, lists of sections put into it."""
    flags, at, end, body, lists = struct.unpack_from("<I", payload)[0], 4, len(payload), None, {}
    end -= 4 if flags & 1 else 0
    while at < end:
        kind, size = payload[at], struct.unpack_from("<i", payload, at + 1)[0]
        part = payload[at + 1:at + 1 + size]
        if kind == 0:
            body = bson.decode(part)
        else:
            zero = part.index(b"\0", 4)
            lists[part[4:zero].decode()] = bson.decode_all(part[zero + 1:])
        at += 1 + size
    body.update(lists)
    return flags, body


class Session(socketserver.StreamRequestHandler):
    def send(self, opcode, to, payload):
        with LOCK:
            COUNT[0] += 1
            number = 1000000 + COUNT[0]
        self.wfile.write(struct.pack("<IIII", 16 + len(payload), number, to, opcode) + payload)
        return number

    def reply(self, body, to, compressed):
        payload = struct.pack("<I", 0) + b"\0" + bson.encode(body)
        if compressed:
            return self.send(OP_COMPRESSED, to, struct.pack("<IIB", OP_MSG, len(payload), 2) +
                             zlib.compress(payload))
        return self.send(OP_MSG, to, payload)

    def handle(self):
        while True:
            head = self.rfile.read(16)
            if len(head) < 16:
                return
            length, number, _, opcode = struct.unpack("<IIII", head)
            payload = self.rfile.read(length - 16)
            if opcode == OP_QUERY:
                document = bson.decode(payload[payload.index(b"\0", 4) + 9:])
                document = document.get("$query", document)
                self.send(OP_REPLY, number, struct.pack("<IQII", 8, 0, 0, 1) +
                          bson.encode(greet(document, None)))
                continue
            compressed = opcode == OP_COMPRESSED
            if compressed:
                assert struct.unpack_from("<IIB", payload)[::2] == (OP_MSG, 2)
                payload = zlib.decompress(payload[9:])
            flags, body = take_apart(payload)
            made = answer(body, number)
            if not flags & MORE_TO_COME:
                self.reply(made, number, compressed)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
