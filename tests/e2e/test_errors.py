# SPDX-License-Identifier: Apache-2.0
"""Exchanges that fail: status and error.type of the span on the side that is traced, or on both."""
import os
import socket
import struct
from urllib.parse import quote

from harness import BURDOCK, PYTHON, RawServer, Scene, check, equal, free_port, get, main, read_head, wait_until


def outcome(span):
    """(status, error.type, status code)"""
    return (span.status, span.attributes.get("error.type"),
            span.attributes.get("http.response.status_code"))


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def reset_after_request(connection):
    read_head(connection)
    reset(connection)


def close_after_request(connection):
    read_head(connection)


def cut_off(connection):
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")


def cut_chunked(connection):
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nonly this")


def reset_in_body(connection):
    cut_off(connection)
    wait_until(lambda: False, 0.2)  # what was sent should arrive before the reset overtakes it
    reset(connection)


def silent(connection):
    read_head(connection)
    connection.recv(1)  # until the client has had enough


def head_then_silent(connection):
    cut_off(connection)
    connection.recv(1)


# how the backend behaves, curl's exit status, what the client span says
BACKENDS = [
    (reset_after_request, 56, ("ERROR", "connection_reset", None)),
    (close_after_request, 52, ("ERROR", "connection_closed", None)),
    (cut_off, 18, ("ERROR", "response_truncated", 200)),
    (cut_chunked, 18, ("ERROR", "response_truncated", 200)),
    (reset_in_body, 56, ("ERROR", "connection_reset", 200)),
    (silent, 28, ("ERROR", "timeout", None)),
    (head_then_silent, 28, ("ERROR", "timeout", 200)),
]


def test_curl():
    for backend, status, wanted in BACKENDS:
        with Scene() as scene:
            label = "curl, " + backend.__name__.replace("_", " ")
            server = RawServer(scene, backend)
            answer = scene.curl("--max-time", "1", "http://127.0.0.1:%d/x" % server.port)
            equal(answer.returncode, status, label + ": curl's own verdict is as without us")
            spans = scene.wait_spans(1)
            equal([outcome(span) for span in spans], [wanted], label + ": the client span")


def test_curl_refused():
    with Scene() as scene:
        port = free_port()
        answer = scene.curl("http://127.0.0.1:%d/x" % port)
        equal(answer.returncode, 7, "curl, refused: curl's own verdict")
        spans = scene.wait_spans(1)
        equal([(s.kind, s.parent, outcome(s)) for s in spans],
              [("CLIENT", "", ("ERROR", "connection_refused", None))], "curl, refused: one client span")
        span = spans[0]
        equal((span.attributes.get("server.address"), span.attributes.get("server.port")),
              ("127.0.0.1", port), "curl, refused: the span names the server")


def python_call(backend_port, timeout="20"):
    return "/fetch?timeout=%s&url=%s" % (
        timeout, quote("http://127.0.0.1:%d/x" % backend_port, safe=""))


def test_python():
    for backend, _, wanted in BACKENDS:
        with Scene() as scene:
            label = "python, " + backend.__name__.replace("_", " ")
            server, front = RawServer(scene, backend), scene.service("front")
            status, _, _ = get(front.port, python_call(server.port, "0.5"))
            spans = {span.kind: span for span in scene.wait_spans(2)}
            equal(outcome(spans["CLIENT"]), wanted, label + ": the client span")
            equal(outcome(spans["SERVER"]), ("ERROR", "502", status), label + ": the server span")
            equal(spans["CLIENT"].parent, spans["SERVER"].id, label + ": its parent")


def test_python_refused():
    with Scene() as scene:
        front = scene.service("front")
        get(front.port, python_call(free_port()))
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal(outcome(spans["CLIENT"]), ("ERROR", "connection_refused", None), "python, refused")
        equal(spans["CLIENT"].parent, spans["SERVER"].id, "python, refused: its parent")


def test_nginx():
    for backend, status, wanted in (
            (reset_after_request, 502, ("ERROR", "connection_reset", None)),
            (close_after_request, 502, ("ERROR", "connection_closed", None)),
            (silent, 504, ("ERROR", "timeout", None))):
        with Scene() as scene:
            label = "nginx, " + backend.__name__.replace("_", " ")
            server = RawServer(scene, backend)
            front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; "
                                "proxy_read_timeout 500ms; }" % server.port)
            equal(get(front.port)[0], status, label + ": its answer")
            spans = {span.kind: span for span in scene.wait_spans(2)}
            equal(outcome(spans["SERVER"]), ("ERROR", str(status), status), label + ": the server span")
            equal(outcome(spans["CLIENT"]), wanted, label + ": the client span")
            equal(spans["CLIENT"].parent, spans["SERVER"].id, label + ": its parent")


def test_nginx_refused():
    with Scene() as scene:
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % free_port())
        equal(get(front.port)[0], 502, "nginx, refused: its answer")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal(outcome(spans["CLIENT"]), ("ERROR", "connection_refused", None), "nginx, refused")
        equal(spans["CLIENT"].parent, spans["SERVER"].id, "nginx, refused: its parent")


def test_nginx_cut_off():
    """The answer has begun: nginx can only cut it off, too; both of its spans say so."""
    with Scene() as scene:
        server = RawServer(scene, cut_off)
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % server.port)
        answer = scene.curl("http://127.0.0.1:%d/" % front.port, traced=False)
        equal(answer.returncode, 18, "nginx, cut off: curl sees it")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        wanted = ("ERROR", "response_truncated", 200)
        equal(outcome(spans["CLIENT"]), wanted, "nginx, cut off: the client span")
        equal(outcome(spans["SERVER"]), wanted, "nginx, cut off: the server span")


def test_statuses():
    """5xx is an error of both sides, 4xx of the client's alone."""
    cases = {200: (None, None), 301: (None, None), 304: (None, None), 400: (None, "400"),
             404: (None, "404"), 429: (None, "429"), 500: ("500", "500"), 503: ("503", "503")}
    for status, (server_error, client_error) in cases.items():
        with Scene() as scene:
            back = scene.service("back")
            scene.curl("http://127.0.0.1:%d/status/%d" % (back.port, status))
            spans = {span.kind: span for span in scene.wait_spans(2)}
            for kind, error in (("SERVER", server_error), ("CLIENT", client_error)):
                equal(outcome(spans[kind]), ("ERROR" if error else "UNSET", error, status),
                      "%d: the %s span" % (status, kind.lower()))
                equal(spans[kind].message, "", "%d: no description" % status)


def test_server_gives_up():
    """What the server's own span says when it does not answer, or not completely."""
    for path, wanted in (("/cut", ("ERROR", "response_truncated", 200)),
                         ("/reset", ("ERROR", "no_response", None))):
        with Scene() as scene:
            back = scene.service("back")
            scene.curl("http://127.0.0.1:%d%s" % (back.port, path), traced=False)
            equal([outcome(span) for span in scene.wait_spans(1)], [wanted],
                  "python server, %s: its span" % path)


def test_client_gives_up():
    """The client leaves before the answer: an error of the call; the server had no one to answer."""
    with Scene() as scene:
        back = scene.service("back")
        answer = scene.curl("--max-time", "0.3", "http://127.0.0.1:%d/slow?s=1" % back.port)
        equal(answer.returncode, 28, "client gives up: curl's own verdict")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal(outcome(spans["CLIENT"]), ("ERROR", "timeout", None), "client gives up: its span")
        check(spans["SERVER"].parent == spans["CLIENT"].id, "client gives up: the server has a span")
    with Scene() as scene:
        back = scene.service("back", traced=False)
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % back.port)
        scene.curl("--max-time", "0.3", "http://127.0.0.1:%d/slow?s=2" % front.port, traced=False)
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal(outcome(spans["SERVER"])[:2], ("ERROR", "client_disconnected"),
              "client gives up: nginx's server span")
        check("CLIENT" in spans, "client gives up: nginx's call ends, too", spans)


# reads the first line and leaves, or waits for one that does not come: its loop looks once more,
# without sleeping, before it closes
LEAVES = """
import asyncio, sys
async def main(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /%s HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n" % path.encode())
    try:
        print(await asyncio.wait_for(reader.readline(), 0.3 if path == "late" else 60))
    except asyncio.TimeoutError:
        print("late")
    writer.close()
    await writer.wait_closed()
asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


# looks whether an idle connection is there still, and leaves
LOOKS = """
import select, socket, sys
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
link.sendall(b"GET /now HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
print(link.recv(1000))
poll = select.poll()
poll.register(link, select.POLLIN)
print(poll.poll(0))
link.close()
"""


def test_client_leaves():
    """Who leaves of itself makes no error; a look of no time that finds nothing is no timeout."""
    for program, path, backend, wanted in (
            (LEAVES, "now", head_then_silent, ("UNSET", None, 200)),
            (LEAVES, "late", silent, ("ERROR", "timeout", None)),
            (LOOKS, "now", head_then_silent, ("UNSET", None, 200))):
        with Scene() as scene:
            server = RawServer(scene, backend)
            scene.as_bare(["python3", "-c", program, str(server.port), path], "leaves, " + path,
                          spans=1)
            equal(outcome(scene.spans()[0]), wanted, "leaves, %s: its span" % path)


# is asked, asks, and ends with neither answered; or its second thread does, while the first waits
ENDS = """
import ctypes, os, socket, sys, threading
def end(how):
    if how in ("exit", "_exit", "quick_exit"):
        getattr(ctypes.CDLL(None), how)(3)
    os.execv("/bin/sh", ["sh", "-c", "exit 3"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
link, _ = listener.accept()
link.recv(1000)
call = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
call.sendall(b"GET /call HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
call.recv(1)
if sys.argv[3].startswith("thread "):
    threading.Timer(0.2, end, sys.argv[3].split()[1:]).start()
    call.recv(1000)
end(sys.argv[3])
"""


def first_byte_alone(connection):
    read_head(connection)
    connection.sendall(b"H")
    connection.recv(1)


def test_program_ends():
    """What is open when a program ends of itself ends then, as if it had closed all it has: once,
    and nothing is left for others to find. After exec, which may keep it, they tell it."""
    for how in "exit", "_exit", "thread exit", "thread _exit", "quick_exit", "execv":
        with Scene() as scene:
            server, port = RawServer(scene, first_byte_alone), free_port()
            program = scene.start([BURDOCK, "run", "--", PYTHON, "-c", ENDS, str(port),
                                   str(server.port), how], port=port, traced=False)
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(b"GET /asked HTTP/1.1\r\nHost: a\r\n\r\n")
                equal(program.wait(20), 3, "ends by %s: with its own status" % how)
            spans = {span.kind: span for span in scene.wait_spans(2)}
            told = how not in ("quick_exit", "execv")
            equal(outcome(spans["SERVER"]),
                  ("ERROR", "process_exited" if told else "process_died", None),
                  "ends by %s: what it was asked" % how)
            equal(outcome(spans["CLIENT"]),
                  ("UNSET", None, None) if told else ("ERROR", "process_died", None),
                  "ends by %s: what it asked" % how)
            equal(spans["CLIENT"].parent, spans["SERVER"].id, "ends by %s: whose call" % how)
            equal((len(scene.spans()), os.listdir(scene.rings)), (2, []), "ends by %s: once" % how)


if __name__ == "__main__":
    main(globals(), ("nginx", "curl"))
