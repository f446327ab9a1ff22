# SPDX-License-Identifier: Apache-2.0
"""HTTP for driver.py: one thread a connection, or one task; and a pool that both wait at."""
import asyncio
import http.server
import queue

CONNECTIONS = 16


class Pool:
    """Connections that go from thread to thread."""

    def __init__(self, connect):
        self.free = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self.free.put(connect())

    def __call__(self, use):
        connection = self.free.get()
        try:
            return use(connection)
        finally:
            self.free.put(connection)


def serve_threads(port, connect, ask):
    pool = Pool(connect)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            number = self.path.rsplit("/", 1)[1]
            pool(lambda connection: ask(connection, number))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 256

    Server(("127.0.0.1", port), Handler).serve_forever()


async def serve_tasks(port, connect, ask):
    free = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await connect())

    async def one(reader, writer):
        while head := await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            connection = await free.get()
            await ask(connection, head.split()[1].rsplit(b"/", 1)[1].decode())
            free.put_nowait(connection)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", port, backlog=256)
    await server.serve_forever()
