# SPDX-License-Identifier: Apache-2.0
"""What stands between clients and a broker: ends connections in the middle of messages, or lets them
through in small pieces."""
import collections
import random
import socket
import threading
import time


class Cutter:
    """Each mark ends the connection that it passes on, once; they come in their order. Of what comes in
    one piece with a mark so many bytes go on behind it (or, below 0, so many less)."""

    def __init__(self, to_broker=(), from_broker=(), target=None):
        """Of (mark, bytes) each. The target, a port, may be said later."""
        self.left = {True: collections.deque(to_broker), False: collections.deque(from_broker)}
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        with client:
            try:
                with socket.create_connection(("127.0.0.1", self.target)) as broker:
                    back = threading.Thread(target=self.pump, args=(broker, client, False), daemon=True)
                    back.start()
                    self.pump(client, broker, True)
                    back.join()
            except OSError:
                pass

    def pump(self, source, sink, to_broker):
        seen, left = b"", self.left[to_broker]
        try:
            while data := source.recv(65536):
                seen = seen[-100:] + data
                if left and left[0][0] in seen:
                    mark, more = left.popleft()
                    end = len(data) - len(seen) + seen.index(mark) + len(mark)
                    sink.sendall(data[:max(end + more, 0)])
                    break
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Dribbler(Cutter):
    """What comes from the broker goes on in pieces of no length that its messages have, as a slow or
    busy network has it."""

    def connect(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connect(client)

    def pump(self, source, sink, to_broker):
        if not to_broker:
            sink = Pieces(sink)
        super().pump(source, sink, to_broker)


class Pieces:
    def __init__(self, sink):
        self.sink, self.random = sink, random.Random(1)

    def sendall(self, data):
        while data:
            size = self.random.choice((1, 8, 20, 60, 120, 200, 400, 1000, 3000))
            self.sink.sendall(data[:size])
            data = data[size:]
            time.sleep(self.random.choice((0, 0, 0.0001, 0.0003, 0.001)))

    def shutdown(self, how):
        self.sink.shutdown(how)
