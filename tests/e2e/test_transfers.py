# SPDX-License-Identifier: Apache-2.0
"""A server in C on epoll that calls others by libcurl's multi interface, which sends for all requests
whenever its turn comes: each call is under the request that gave the transfer, inside TLS as well, and
where several send the same at once it is nobody's rather than another's."""
import os

from harness import BUILD, PYTHON, check, equal, free_port, load, main, skip
from tls_scene import Secure

REQUESTS, CONCURRENCY = 320, 32
PROGRAM = os.path.join(BUILD, "bench/attribution/transfers")
BACKEND = r"""
import asyncio, random, ssl, sys
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            print(fields["user-agent"], fields["traceparent"].split("-")[1], flush=True)
            await asyncio.sleep(random.uniform(0.001, 0.012))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if sys.argv[2:]:
        secure.load_cert_chain(*sys.argv[2:])
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]),
                                      ssl=secure if sys.argv[2:] else None)).serve_forever()
asyncio.run(main())
"""


def play(text, way, is_secure=False, **more):
    """Answers how many calls were under their own request, as the backend got them."""
    with Secure() as scene:
        back, port = free_port(), free_port()
        certificate = [scene.path("cert.pem"), scene.path("key.pem")] if is_secure else []
        backend = scene.start([PYTHON, "-c", BACKEND, str(back), *certificate], traced=False, port=back)
        url = "%s://127.0.0.1:%d" % ("https" if is_secure else "http", back)
        scene.start([PROGRAM], "front", port=port, APP_PORT=str(port), BACK_URL=url, **more)
        equal(load(port, REQUESTS, CONCURRENCY, "/" + way + "/u%d")[:3], [],
              text + ": every request is answered")
        owners = {span.trace: span.attributes["url.path"].rpartition("/")[2]
                  for span in scene.wait_spans(3 * REQUESTS, timeout=60) if span.kind == "SERVER"}
        calls = [line.split() for line in scene.stdout(backend).decode().splitlines()]
        strange = [call for call in calls if owners.get(call[1], call[0]) != call[0]]
        equal((len(calls), strange[:3]), (2 * REQUESTS, []), text + ": no call is under another's request")
        return sum(call[1] in owners for call in calls)


def test_transfers():
    if not os.path.exists(PROGRAM):
        return skip("libcurl's multi interface", "the program was not built")
    for way in "socket", "perform", "few":
        right = play(way + ", TLS", way, True)
        check(right >= 0.95 * 2 * REQUESTS, way + ", TLS: nearly each is under its own", right)
    for way, is_secure in ("socket", False), ("perform", False), ("few", False), ("few", True), ("mixed", False):
        text = way + (", TLS, one URL" if is_secure else ", one URL")
        right = play(text, way, is_secure, SAME_URL="1")
        check(right >= 0.95 * 2 * REQUESTS, text + ": nearly each is under its own", right)


if __name__ == "__main__":
    main(globals())
