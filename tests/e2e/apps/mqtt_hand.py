# SPDX-License-Identifier: Apache-2.0
"""A client of MQTT 5 by hand: mqtt_hand.py PORT MODE [ARGUMENT]. What the broker answers is printed.

  pieces     a message cut at every place, and byte by byte
  many       300 in one buffer
  buffers    one in several buffers of one call, and several with one for each field
  aliases    a topic that is said once
  bare       without a payload: with properties, and without
  limit N    messages whose packet is N bytes long, and what is 73 to 76 bytes shorter
  early      a message behind CONNECT, before the broker has answered
"""
import socket
import sys

PORT, MODE, *REST = sys.argv[1:]
CONNECT = b"\x10\x0e\0\4MQTT\5\2\0\x3c\0\0\1h"


def length(number):
    """A Variable Byte Integer."""
    digits = b""
    while True:
        number, digit = divmod(number, 128)
        digits += bytes([digit | (128 if number else 0)])
        if not number:
            return digits


def packet(first, body):
    return bytes([first]) + length(len(body)) + body


def text(what):
    return len(what).to_bytes(2, "big") + what


def message(topic, payload, number=None, properties=b""):
    """With an identifier if it has a number: once then, else at most once."""
    identifier = b"" if number is None else number.to_bytes(2, "big")
    return packet(0x30 if number is None else 0x32, text(topic) + identifier +
                  length(len(properties)) + properties + payload)


def read(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        if not more:
            raise SystemExit("closed")
        got += more
    return got


def answer(s):
    first, size = read(s, 2)
    return bytes([first]) + read(s, size)


def flush(s):
    s.sendall(b"\xc0\0")
    while True:
        got = answer(s)
        if got[0] == 0xd0:
            return
        print(got.hex())


def pieces(s):
    for number, whole in enumerate((message(b"t/p", b"abc", 5), message(b"t/q", b"x" * 200))):
        for cut in range(1, len(whole)):
            s.sendall(whole[:cut])
            s.sendall(whole[cut:])
            flush(s)
    for byte in message(b"t/r", b"abc", 7):
        s.sendall(bytes([byte]))
    flush(s)


def many(s):
    s.sendall(b"".join(message(b"t/%d" % number, b"x" * (number % 200 + 1)) for number in range(300)))


def buffers(s):
    whole = message(b"t/b", b"abc", 5)
    s.sendmsg([whole[:3], whole[3:]])
    flush(s)
    s.sendmsg([whole[:-3], whole[-3:]])
    flush(s)
    fields = []  # as mqtt.js writes them
    for number in range(8, 48):
        whole = message(b"t/b", b"abc", number)
        fields += [whole[:1], whole[1:2], whole[2:4], whole[4:7], whole[7:9], whole[9:10], whole[10:]]
    s.sendmsg(fields)


def aliases(s):
    alias = b"\x23\0\1"
    s.sendall(message(b"t/alias", b"one", properties=alias) + message(b"", b"two", properties=alias))
    s.sendall(message(b"", b"three", 3, alias))
    s.sendall(message(b"t/other", b"four", 3, alias) + message(b"", b"five", 4, alias))


def bare(s):
    s.sendall(message(b"t/bare", b"", properties=b"\x01\1\x26\0\1k\0\1v"))
    s.sendall(message(b"t/bare", b"", 2))


def limit(s):
    for short in (0, 73, 74, 75, 76):
        rest = int(REST[0]) - short - len(message(b"t/0000", b"x" * 1000, 1)) + 1000
        s.sendall(message(b"t/%04d" % short, b"x" * rest, 1))
        flush(s)


with socket.create_connection(("127.0.0.1", int(PORT))) as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(CONNECT + (message(b"t/early", b"x") if MODE == "early" else b""))
    print(answer(s).hex())
    if MODE != "early":
        globals()[MODE](s)
    flush(s)
    s.sendall(b"\xe0\0")
