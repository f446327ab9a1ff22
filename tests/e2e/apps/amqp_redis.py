# SPDX-License-Identifier: Apache-2.0
"""A client of Redis that asks, and nothing else."""
import socket


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))

    def get(self, key):
        self.socket.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
        assert self.socket.recv(100) == b"$-1\r\n"
