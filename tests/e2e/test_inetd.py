# SPDX-License-Identifier: Apache-2.0
"""Programs that a super-server starts for each connection (inetd, xinetd, systemd's Accept=yes): the
socket is their standard input, output and error. And programs that answer by stdio, where the C
library writes by itself: that they answered is known, how is not."""
import socket
import subprocess

from harness import PYTHON, RawServer, Scene, equal, free_port, main, read_head, wait_until

ANSWER = "HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
PROGRAMS = {
    "python": [PYTHON, "-c", "import os; os.read(0, 1000); os.write(1, b'%s')" % ANSWER],
    "python, other way": [PYTHON, "-c", "import os; os.read(1, 1000); os.write(0, b'%s')" % ANSWER],
    "perl": ["perl", "-e", 'while (<STDIN>) { last if /^\\r/ } print "%s"' % ANSWER],
    "lighttpd": ["lighttpd", "-1", "-f", "lighttpd.conf"],
}
BY_STDIO = ["bash", "-c", "while read -r line && [ \"$line\" != $'\\r' ]; do :; done; printf '%s'" % ANSWER]


def told(spans):
    return sorted((span.kind, span.name, span.status, span.attributes.get("error.type"),
                   span.attributes.get("http.response.status_code"),
                   span.attributes.get("client.address")) for span in spans)


def super_server(scene, command):
    def serve(connection):
        connection.settimeout(None)
        subprocess.run(command, env=scene.env("inetd", True), cwd=scene.directory, timeout=60,
                       stdin=connection, stdout=connection, stderr=connection)
    return RawServer(scene, serve).port


def test_standard_descriptors():
    for name, command in {**PROGRAMS, "bash": BY_STDIO}.items():
        with Scene() as scene:
            scene.write("ok", "ok")
            scene.write("lighttpd.conf", 'server.document-root = "%s"\nserver.bind = "127.0.0.1"\n'
                        "server.port = 0\n" % scene.directory)
            port = super_server(scene, command)
            for _ in range(2):
                answer = scene.curl("-sS", "http://127.0.0.1:%d/ok" % port, traced=False)
                equal((answer.returncode, answer.stdout), (0, b"ok"), name + ": answers")
            status = None if name == "bash" else 200
            equal(told(scene.wait_spans(2)),
                  [("SERVER", "GET", "UNSET", None, status, "127.0.0.1")] * 2, name + ": its spans")


# answers by a stream of libc's: of one request, or of two of one connection
WRITES = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
link, _ = listener.accept()
listener.close()
file = ctypes.c_void_p(libc.fdopen(link.fileno(), b"w"))
for _ in range(int(sys.argv[3])):
    link.recv(1000)
    libc.fputs(b"HTTP/1.1 200 OK\\\\r\\\\nContent-Length: 2\\\\r\\\\n\\\\r\\\\nok", file)
    if sys.argv[2] != "fclose":
        libc.fflush(file)
fd = link.detach()
if sys.argv[2] == "fclose":
    libc.fclose(file)
if sys.argv[2] == "close":
    os.close(fd)
if sys.argv[2] == "_exit":
    os._exit(0)
"""


def test_stdio():
    wanted = ("SERVER", "GET", "UNSET", None, None, "127.0.0.1")
    for how in "fclose", "close", "exit", "_exit":
        for requests in 1, 2:
            if (how, requests) == ("fclose", 2):
                continue  # the first one would never be answered
            with Scene() as scene:
                port = free_port()
                program = scene.start([PYTHON, "-c", WRITES, str(port), how, str(requests)],
                                      port=port)
                with socket.create_connection(("127.0.0.1", port)) as link:
                    for _ in range(requests):
                        link.sendall(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
                        equal(link.recv(1000)[-2:], b"ok", "%s, %d: answered" % (how, requests))
                equal(program.wait(20), 0, "%s, %d: ends well" % (how, requests))
                equal(told(scene.spans()), [wanted] if requests == 1 else [],
                      "%s, %d: when which was answered is not known" % (how, requests))


# reads the answers by a stream of libc's, of one connection
READS = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
libc.fdopen.restype = libc.fgets.restype = ctypes.c_void_p
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
file = ctypes.c_void_p(libc.fdopen(os.dup(link.fileno()), b"r"))
line = ctypes.create_string_buffer(1000)
for _ in range(int(sys.argv[2])):
    link.sendall(b"GET /ok HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    while libc.fgets(line, 1000, file) and line.value != b"ok\\n":
        pass
print(line.value)
"""


def test_client_by_stdio():
    """An answer that libc has read is none that is told; a second request is not taken for one that
    did not wait."""
    def serve(connection):
        for _ in range(requests):
            read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    for requests in 1, 2, 3:
        with Scene() as scene:
            server = RawServer(scene, serve)
            answer = scene.run([PYTHON, "-c", READS, str(server.port), str(requests)])
            equal((answer.returncode, answer.stdout), (0, b"b'ok\\n'\n"), "%d: answered" % requests)
            equal(told(scene.spans()),
                  [("CLIENT", "GET", "UNSET", None, None, None)] if requests == 1 else [],
                  "%d: when which was answered is not known" % requests)


# is asked twice by one connection, and asks for each; answers by a stream of libc's
CALLS = """
import ctypes, socket, sys
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
unix = sys.argv[1].startswith("/")
listener = socket.create_server(sys.argv[1] if unix else ("127.0.0.1", int(sys.argv[1])),
                                family=socket.AF_UNIX if unix else socket.AF_INET)
link, _ = listener.accept()
file = ctypes.c_void_p(libc.fdopen(link.fileno(), b"w"))
for i in range(3):
    link.recv(1000)
    with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as call:
        call.sendall(b"GET /call%d HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n" % i)
        call.recv(1000)
    libc.fputs(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", file)
    libc.fflush(file)
"""


def connect(place):
    if isinstance(place, int):
        return socket.create_connection(("127.0.0.1", place))
    link = socket.socket(socket.AF_UNIX)
    wait_until(lambda: link.connect_ex(place) == 0)
    return link


def test_calls_of_who_answers_by_stdio():
    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    for kind in "TCP", "Unix":
        with Scene() as scene:
            server = RawServer(scene, serve)
            place = free_port() if kind == "TCP" else scene.path("socket")
            program = scene.start([PYTHON, "-c", CALLS, str(place), str(server.port)],
                                  port=place if kind == "TCP" else None)
            with connect(place) as link:
                for _ in range(3):
                    link.sendall(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
                    link.recv(1000)
            equal(program.wait(20), 0, kind + ", three by stdio: ends well")
            calls = {span.attributes["url.full"][-5:]: span for span in scene.wait_spans(3)}
            equal((bool(calls["call0"].parent), calls["call1"].parent, calls["call2"].parent),
                  (True, "", ""), kind + ", three by stdio: no later call is under the first request")
            equal(len({span.trace for span in calls.values()}), 3,
                  kind + ", three by stdio: three traces")


if __name__ == "__main__":
    main(globals(), ("lighttpd",))
