# SPDX-License-Identifier: Apache-2.0
"""An event loop with a pool that grows: pg_first_come.py PG_PORT HTTP_PORT [tls]. A request that finds
no connection has one made and waits in line; a connection that is ready goes to who has waited
longest. /r/N makes one statement named rN_a. It speaks PostgreSQL's protocol by hand."""
import collections
import select
import socket
import ssl
import struct
import sys

PG, HTTP = map(int, sys.argv[1:3])
IN_TLS = sys.argv[3:] == ["tls"]
STARTUP = b"user\0postgres\0database\0postgres\0\0"
poll = select.epoll()
sockets, kind, got, number, at_work = {}, {}, {}, {}, {}
waiting = collections.deque()


def watch(sock, what, events):
    sock.setblocking(False)
    descriptor = sock.fileno()
    sockets[descriptor], kind[descriptor], got[descriptor] = sock, what, b""
    poll.register(descriptor, events)


def make():
    made = socket.socket()
    made.setblocking(False)
    try:
        made.connect(("127.0.0.1", PG))
    except BlockingIOError:
        pass
    watch(made, "made", select.EPOLLOUT)


def made(descriptor):
    assert sockets[descriptor].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    poll.modify(descriptor, select.EPOLLIN)
    if not IN_TLS:
        return log_in(descriptor)
    sockets[descriptor].send(struct.pack("!II", 8, 80877103))
    kind[descriptor] = "asked"


def asked(descriptor):
    assert sockets[descriptor].recv(1) == b"S"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sockets[descriptor] = context.wrap_socket(sockets[descriptor], do_handshake_on_connect=False)
    kind[descriptor] = "shaking"
    shaking(descriptor)


def shaking(descriptor):
    try:
        sockets[descriptor].do_handshake()
    except ssl.SSLWantReadError:
        return
    log_in(descriptor)


def log_in(descriptor):
    sockets[descriptor].send(struct.pack("!II", 8 + len(STARTUP), 196608) + STARTUP)
    kind[descriptor] = "database"


def give(descriptor):
    """To the first in line."""
    client = at_work[descriptor] = waiting.popleft()
    text = b"SELECT 1 AS r%d_a\0" % number[client]
    sockets[descriptor].send(b"Q" + struct.pack("!I", 4 + len(text)) + text)


def database(descriptor):
    """A message of ReadyForQuery is the end of the login, and of the statement."""
    try:
        got[descriptor] += sockets[descriptor].recv(65536)
    except ssl.SSLWantReadError:
        return
    if not got[descriptor].endswith(b"Z\0\0\0\5I"):
        return
    got[descriptor] = b""
    client = at_work.pop(descriptor, None)
    if waiting:
        give(descriptor)
    if client is not None:
        sockets[client].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def client(descriptor):
    data = sockets[descriptor].recv(65536)
    if not data:
        poll.unregister(descriptor)
        sockets.pop(descriptor).close()
        return
    number[descriptor] = int(data.split()[1].rsplit(b"/", 1)[1])
    waiting.append(descriptor)
    make()


listener = socket.create_server(("127.0.0.1", HTTP))
watch(listener, "listener", select.EPOLLIN)
while True:
    for descriptor, _ in poll.poll():
        if kind[descriptor] == "listener":
            watch(listener.accept()[0], "client", select.EPOLLIN)
        else:
            {"client": client, "made": made, "asked": asked, "shaking": shaking,
             "database": database}[kind[descriptor]](descriptor)
