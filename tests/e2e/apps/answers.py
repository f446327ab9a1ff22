# SPDX-License-Identifier: Apache-2.0
"""A server by hand: each path is an answer of its own shape, sent by another call.

  answers.py PORT        one connection after the other; what its calls returned is printed
"""
import os
import socket
import sys

HEAD = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: %d\r\n\r\n"
BIG = bytes(range(256)) * 4096  # a megabyte: more than a socket takes at once
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))


def told(*results):
    print(*results, flush=True)


def answer(body=b"hello", head=HEAD):
    return head % len(body) + body


def simple(link):
    told(link.send(answer()))


def bytewise(link):
    told(*(link.send(bytes([byte])) for byte in answer()))


def vectors(link):
    told(os.writev(link.fileno(), [HEAD % 5, b"he", b"llo"]))


def vectors_many(link):
    """Also in the middle of a word, and more of them than fit into one call."""
    pieces = [bytes([byte]) for byte in answer(b"x" * 90)]
    told(os.writev(link.fileno(), pieces))


def message(link):
    told(link.sendmsg([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r", b"\nok"]))


def more(link):
    told(link.send(HEAD % 5, socket.MSG_MORE), link.send(b"hello"))


def head_alone(link):
    """The empty line comes later, and alone."""
    head = HEAD % 5
    told(link.send(head[:-2]), link.send(head[-2:]), link.send(b"hello"))


def files(link):
    with open(__file__, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        told(link.send(HEAD % size, socket.MSG_MORE))
        told(os.sendfile(link.fileno(), file.fileno(), 0, size))


def partial(link):
    """What a socket that does not wait takes is not all; a loop offers the rest."""
    link.setblocking(False)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data, sent = answer(BIG), 0
    while sent < len(data):
        try:
            went = link.send(data[sent:])
        except BlockingIOError:
            os.sched_yield()
            continue
        assert 0 < went <= len(data) - sent
        sent += went
    link.setblocking(True)
    told(sent)


def waiting(link):
    told(link.send(answer(BIG)))


def line_feeds(link):
    told(link.send(b"HTTP/1.0 200 OK\nContent-Length: 2\n\nok"))


def no_fields(link):
    told(link.send(b"HTTP/1.1 204 No Content\r\n\r\n"))


def interim(link):
    told(link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer()))


def own(link):
    told(link.send(answer(head=b"HTTP/1.1 200 OK\r\nTraceResponse: 00-mine\r\nServer-Timing: db;dur=1"
                               b"\r\nContent-Length: %d\r\n\r\n")))


def own_empty(link):
    told(link.send(answer(head=b"HTTP/1.1 200 OK\r\ntraceresponse:\r\nContent-Length: %d\r\n\r\n")))


def own_bytewise(link):
    data = answer(head=b"HTTP/1.1 200 OK\r\ntraceresponse: 00-mine\r\nContent-Length: %d\r\n\r\n")
    told(*(link.send(bytes([byte])) for byte in data))


def similar(link):
    told(link.send(answer(head=b"HTTP/1.1 200 OK\r\nX: traceresponse: a\r\nTraceresponses: 1\r\n"
                               b"Content-Length: %d\r\n\r\n")))


def interim_own(link):
    told(link.send(b"HTTP/1.1 103 Early Hints\r\ntraceresponse: 00-mine\r\n\r\n" + answer()))


def old(link):
    told(link.send(b"no head at all\n"))


def upgrade(link):
    told(link.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 "
                   b"200 OK\r\n\r\n"))


def zero_copy(link):
    """A call that cannot be edited."""
    told(link.send(answer(), 0x4000000))


def serve(link):
    pending = b""
    while True:
        while b"\r\n\r\n" not in pending:
            chunk = link.recv(65536)
            if not chunk:
                return
            pending += chunk
        heads = pending.split(b"\r\n\r\n")
        pending = heads.pop()
        names = [head.split(b" ")[1][1:].decode() for head in heads]
        if len(names) > 1:  # all of them at once
            told(link.send(b"".join(answer(name.encode()) for name in names)))
            continue
        globals()[names[0]](link)
        if names[0] in ("old", "upgrade"):
            return


while True:
    connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve(connection)
