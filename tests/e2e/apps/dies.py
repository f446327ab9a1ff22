# SPDX-License-Identifier: Apache-2.0
"""dies.py PORT MODE [COUNT]: a server that is killed the moment that its answers are sent.
once: the process, after its first answer. children: a child for each connection, which is killed
after its answer. together: COUNT connections, a thread for each; all threads answer at once, then the
process is killed. warm: the same after a first request of the main thread, at rest again."""
import os
import signal
import socket
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(connection):
    connection.recv(4096)
    connection.send(ANSWER)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def once(listener, _):
    answer(listener.accept()[0])
    die()


def children(listener, _):
    while True:
        connection, _ = listener.accept()
        child = os.fork()
        if child == 0:
            answer(connection)
            die()
        connection.close()
        os.waitpid(child, 0)


def together(listener, count):
    begin, sent = threading.Barrier(count), threading.Barrier(count, action=die)

    def serve(connection):
        begin.wait()
        answer(connection)
        sent.wait()

    connections = [listener.accept()[0] for _ in range(count)]
    for connection in connections:
        threading.Thread(target=serve, args=(connection,)).start()
    time.sleep(60)


def warm(listener, count):
    connection, _ = listener.accept()
    answer(connection)
    connection.close()
    together(listener, count)


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512) as server:
        globals()[sys.argv[2]](server, int(sys.argv[3]) if len(sys.argv) > 3 else 1)
