# SPDX-License-Identifier: Apache-2.0
"""The shapes that HTTP takes between real programs: the same bytes as without the library, and one
span for each exchange."""
import hashlib
import http.client
import os
import socket

from harness import (APPS, LIBRARY, PYTHON, VICTIMS, RawServer, Scene, check, equal, free_port, get,
                     main, raw, read_head, wait_until)


def kinds(spans, kind):
    return [span for span in spans if span.kind == kind]


def codes(spans, kind="SERVER"):
    return [span.attributes.get("http.response.status_code") for span in kinds(spans, kind)]


def without_date(head):
    return [line for line in head.split(b"\r\n") if not line.startswith(b"Date:")]


def check_curl(label, arguments, path, status, method="GET", stdin=b""):
    """curl and a Python service, both traced: one client and one server span, the answer as bare."""
    answers = []
    for traced in (False, True):
        with Scene() as scene:
            back = scene.service("back", traced=traced)
            answer = scene.curl("-i", *arguments, "http://127.0.0.1:%d%s" % (back.port, path),
                                traced=traced, stdin=stdin)
            body = answer.stdout.replace(b"from %07d\n" % back.pid, b"from PID\n")
            answers.append((answer.returncode, without_date(body), answer.stderr))
            if not traced:
                continue
            spans = scene.wait_spans(2)
            equal(sorted((span.kind, span.name, span.attributes.get("http.response.status_code"))
                         for span in spans),
                  [("CLIENT", method, status), ("SERVER", method, status)], label + ": two spans")
            by_kind = {span.kind: span for span in spans}
            equal(by_kind["SERVER"].parent, by_kind["CLIENT"].id, label + ": parent and child")
    equal(answers[1], answers[0], label + ": the same bytes as bare")


def test_curl():
    check_curl("GET", [], "/", 200)
    check_curl("HEAD", ["-I"], "/status/200", 200, "HEAD")
    check_curl("HEAD of chunked", ["-I"], "/nocontent", 204, "HEAD")
    check_curl("204", [], "/nocontent", 204)
    check_curl("304", [], "/notmodified", 304)
    check_curl("chunked download with trailers", [], "/chunked", 200)
    check_curl("103 before the answer", [], "/early", 200)
    check_curl("HTTP/1.0", ["-0"], "/", 200)
    check_curl("DELETE", ["-X", "DELETE"], "/", 200, "DELETE")
    check_curl("PUT", ["-X", "PUT", "-d", "x=1"], "/some", 200, "PUT")
    check_curl("an unknown method", ["-X", "FROB"], "/", 200, "HTTP")
    check_curl("small upload", ["-d", "a=1"], "/upload", 200, "POST")
    check_curl("chunked upload", ["-H", "Transfer-Encoding: chunked", "-H", "Expect:",
                                  "--data-binary", "@-"], "/upload", 200, "POST", os.urandom(300_000))
    check_curl("large upload, Expect: 100-continue", ["-H", "Expect: 100-continue", "--data-binary",
                                                      "@-"], "/upload", 200, "POST", os.urandom(3_000_000))
    check_curl("64 KB of headers", ["-H", "X-Long: " + "h" * 60_000], "/echo2", 200)
    check_curl("many headers", [part for number in range(90) for part in
                                ("-H", "X-%d: %s" % (number, "v" * 400))], "/echo2", 200)


TWO_THREADS = """
import socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
answered = threading.Semaphore(0)
def read():
    for i in range(5):
        got = b""
        while b"hello" not in got:
            got += s.recv(65536)
        print(got.split(b"\\r\\n")[0])
        answered.release()
threading.Thread(target=read).start()
for i in range(5):
    s.sendall(b"GET /%d HTTP/1.1\\r\\nHost: b\\r\\n\\r\\n" % i)
    answered.acquire()
"""


def test_answered_early():
    """One thread reads the answer before the other is back from sending the request."""
    late = os.path.join(VICTIMS, "late.so")
    for propagators in "tracecontext", "none":
        with Scene() as scene:
            back = scene.service("back", traced=False)
            scene.as_bare([PYTHON, "-c", TWO_THREADS, str(back.port)],
                          "answered early, propagators " + propagators, 5, {"LD_PRELOAD": late},
                          LD_PRELOAD=LIBRARY + ":" + late, OTEL_PROPAGATORS=propagators)
            equal([(span.attributes["url.full"][-2:], code) for span, code in
                   zip(scene.spans(), codes(scene.spans(), "CLIENT"))],
                  [("/%d" % i, 200) for i in range(5)], "answered early: each has its answer")


def test_curl_keepalive():
    """Three URLs, one connection."""
    with Scene() as scene:
        back = scene.service("back")
        url = "http://127.0.0.1:%d/%%d" % back.port
        answer = scene.curl(url % 1, url % 2, url % 3)
        equal(answer.stdout.count(b"hello"), 3, "keep-alive: three answers")
        spans = scene.wait_spans(6)
        clients = {span.id: span for span in kinds(spans, "CLIENT")}
        check(len(spans) == 6 and all(
            span.parent in clients and clients[span.parent].attributes["url.full"].endswith(
                span.attributes["url.path"]) for span in kinds(spans, "SERVER")),
              "keep-alive: each server span below its own client span", spans)


def test_pipelining():
    """Requests in one write, answers in order; nginx and Python."""
    requests = b"".join(b"GET /p/%d HTTP/1.1\r\nHost: a\r\n%s\r\n" % (
        number, b"Connection: close\r\n" if number == 19 else b"") for number in range(20))
    with Scene() as scene:
        front = scene.nginx("location / { return 200 $uri; }")
        back = scene.service("back")
        for name, port in (("nginx", front.port), ("back", back.port)):
            answer = raw(port, requests)
            equal(answer.count(b"HTTP/1.1 200"), 20, "pipelining, %s: all are answered" % name)
            spans = scene.wait_spans(20, lambda span: span.service == name)
            paths = sorted(int(span.attributes["url.path"][3:]) for span in spans
                           if span.service == name)
            equal(paths, list(range(20)), "pipelining, %s: a span for each" % name)


def test_bytewise():
    """A request that comes in single bytes."""
    with Scene() as scene:
        for service in (scene.service("back"), scene.nginx("location / { return 200 ok; }")):
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in b"GET /slowly HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" \
                        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n":
                    connection.send(bytes([byte]))
                equal(connection.recv(12), b"HTTP/1.1 200", "byte by byte: it is answered")
        spans = scene.wait_spans(2)
        equal([(span.attributes["url.path"], span.parent) for span in spans],
              [("/slowly", "b7ad6b7169203331")] * 2, "byte by byte: the spans, and their parent")


def test_bare_lf():
    with Scene() as scene:
        back = scene.service("back")
        answer = raw(back.port, b"GET /lf HTTP/1.0\nHost: a\n\n")
        check(b" 200 " in answer, "bare line feeds: it is answered", answer)
        equal([span.attributes["url.path"] for span in scene.wait_spans(1)], ["/lf"],
              "bare line feeds: the span")


def test_sendfile():
    """50 MB by sendfile, whole and in part, and the same through the proxy."""
    with Scene() as scene:
        os.mkdir(scene.path("files"))
        content = os.urandom(1 << 20) * 50
        scene.write("files/big", content)
        os.chmod(scene.path("files/big"), 0o644)
        files = scene.nginx("root %s; sendfile on; tcp_nopush on; sendfile_max_chunk 512k;"
                            % scene.path("files"), "files")
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % files.port, "front")
        wanted = hashlib.sha256(content).hexdigest()
        for name, port in (("files", files.port), ("proxy", front.port)):
            answer = scene.curl("http://127.0.0.1:%d/big" % port)
            equal(hashlib.sha256(answer.stdout).hexdigest(), wanted, "50 MB, %s: byte for byte" % name)
        answer = scene.curl("-r", "1000000-1999999", "http://127.0.0.1:%d/big" % files.port)
        check(answer.stdout == content[1_000_000:2_000_000], "a part of it: byte for byte")
        answer = raw(files.port, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"
                     b"GET /missing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        check(answer.count(b"HTTP/1.1 404") == 1 and content in answer,
              "an answer behind 50 MB is found")
        spans = scene.wait_spans(10)
        equal((sorted(codes(spans)), sorted(codes(spans, "CLIENT"))),
              ([200, 200, 200, 200, 206, 404], [200, 200, 200, 206]), "a span for each exchange")


def test_big_proxy_upload():
    with Scene() as scene:
        back = scene.service("back")
        front = scene.nginx("client_max_body_size 0; location / { proxy_pass http://127.0.0.1:%d; "
                            "proxy_http_version 1.1; proxy_request_buffering off; }" % back.port)
        body = os.urandom(20_000_000)
        answer = scene.curl("--data-binary", "@-", "-H", "Transfer-Encoding: chunked",
                            "http://127.0.0.1:%d/up" % front.port, stdin=body)
        equal(answer.stdout.decode(), "%d %s" % (len(body), hashlib.sha256(body).hexdigest()),
              "20 MB up through the proxy: byte for byte")
        equal(len(scene.wait_spans(4)), 4, "20 MB up through the proxy: four spans")


def upgrade(connection):
    """Answers 101 and then echoes, which may look like HTTP again."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n"
                       b"Connection: Upgrade\r\n\r\n")
    while data := connection.recv(65536):
        connection.sendall(data)


UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
LOOKS_LIKE_HTTP = b"GET /not-http HTTP/1.1\r\nHost: b\r\n\r\n\x00\x01\x02" * 50


def test_upgrade():
    """After 101 the stream belongs to another protocol, though it may look like ours."""
    with Scene() as scene:
        server = RawServer(scene, upgrade)
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; "
                            "proxy_set_header Upgrade $http_upgrade; "
                            "proxy_set_header Connection upgrade; }" % server.port)
        with socket.create_connection(("127.0.0.1", front.port), 20) as connection:
            connection.sendall(UPGRADE)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            check(head.startswith(b"HTTP/1.1 101"), "upgrade: switched", head)
            connection.sendall(LOOKS_LIKE_HTTP)
            echo = b""
            while len(echo) < len(LOOKS_LIKE_HTTP):
                echo += connection.recv(65536)
        check(echo == LOOKS_LIKE_HTTP, "upgrade: what follows is left alone", echo[:300])
        spans = scene.wait_spans(2)
        scene.stop(front)
        equal((codes(scene.spans()), codes(spans, "CLIENT")), ([101], [101]),
              "upgrade: one span on each side, ended by 101")


PROXY = """
import socket, sys, threading
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError: pass
def serve(client):
    head = b""
    while b"\\r\\n\\r\\n" not in head: head += client.recv(65536)
    host, port = head.split()[1].decode().split(":")
    server = socket.create_connection((host, int(port)))
    client.sendall(b"HTTP/1.1 200 Connection established\\r\\n\\r\\n")
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
    pump(client, server)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def test_connect():
    """curl through a CONNECT proxy that is traced; behind the tunnel curl speaks HTTP again."""
    with Scene() as scene:
        port, back = free_port(), scene.service("back")
        proxy = scene.start([PYTHON, scene.write("proxy.py", PROXY), str(port)], "proxy", port=port)
        answer = scene.curl("-p", "-x", "http://127.0.0.1:%d" % port,
                            "http://127.0.0.1:%d/through" % back.port)
        check(answer.stdout.startswith(b"hello"), "CONNECT: the answer comes through", answer)
        scene.wait_spans(3)
        scene.stop(back)
        scene.stop(proxy)
        connects = [span for span in scene.spans() if span.name == "CONNECT"]
        equal(sorted((span.service, span.kind) for span in connects),
              [("curl", "CLIENT"), ("proxy", "SERVER")], "CONNECT: a span on each side")
        check(any(s.service == "back" and s.attributes["url.path"] == "/through"
                  for s in scene.spans()), "CONNECT: the service behind has its span")


def test_absolute_form():
    with Scene() as scene:
        back = scene.service("back")
        answer = scene.curl("-x", "http://127.0.0.1:%d" % back.port, "http://example.test/a?b=1")
        check(answer.stdout.startswith(b"hello"), "a proxy's request: answered", answer)
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal((spans["CLIENT"].attributes["url.full"], spans["CLIENT"].attributes["server.address"]),
              ("http://example.test/a?b=1", "example.test"), "a proxy's request: the client span")
        equal((spans["SERVER"].attributes["url.path"], spans["SERVER"].attributes.get("url.query")),
              ("/a", "b=1"), "a proxy's request: the server span")


def test_secrets():
    with Scene() as scene:
        back = scene.service("back")
        scene.curl("http://joe:secret@127.0.0.1:%d/a?sig=topsecret&X-Amz-Signature=abc&b=1" % back.port)
        spans = scene.wait_spans(2)
        texts = str([span.attributes for span in spans])
        check("secret" not in texts and "sig=REDACTED" in texts, "signatures and passwords stay out",
              texts)


def test_not_http():
    """Things that are not HTTP, or only begin like it, arrive as they were."""
    streams = {"binary": bytes(range(256)) * 40, "a greeting": b"GETAWAY 1\r\n" * 20,
               "almost": b"GET / HTPP/1.1\r\nHost: a\r\n\r\n", "empty line": b"\r\n\r\n\r\n",
               "SSH": b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64}
    code = "import socket,sys; s=socket.create_connection(('127.0.0.1',int(sys.argv[1]))); " \
        "s.sendall(sys.stdin.buffer.read()); s.shutdown(1); print(s.recv(1))"
    for label, stream in streams.items():
        with Scene() as scene:
            got = []

            def collect(connection):
                data = b""
                while chunk := connection.recv(65536):
                    data += chunk
                got.append(data)
            server = RawServer(scene, collect)
            scene.run([PYTHON, "-c", code, str(server.port)], stdin=stream)
            wait_until(lambda: got)
            check(got == [stream], "%s: sent as it is" % label, got)
            equal((scene.spans(), scene.rings_left()), ([], []), "%s: nothing recorded" % label)


def test_unix_socket():
    with Scene() as scene:
        back = scene.nginx("location / { return 200 ok; } listen unix:%s;" % scene.path("socket"))
        answer = scene.curl("--unix-socket", scene.path("socket"), "http://somewhere/x")
        equal(answer.stdout, b"ok", "a Unix socket: answered")
        spans = {span.kind: span for span in scene.wait_spans(2)}
        equal(spans["SERVER"].parent, spans["CLIENT"].id, "a Unix socket: parent and child")


def test_node_keepalive_connection():
    with Scene() as scene:
        back = scene.node()
        connection = http.client.HTTPConnection("127.0.0.1", back.port)
        for number in range(3):
            connection.request("POST" if number == 1 else "GET", "/k/%d" % number,
                               b"[]" if number == 1 else None)
            equal(connection.getresponse().read(), b"hello from node\n", "node, keep-alive: answer")
        connection.close()
        equal(sorted(span.attributes["url.path"] for span in scene.wait_spans(3)),
              ["/k/0", "/k/1", "/k/2"], "node, keep-alive: three spans")


if __name__ == "__main__":
    main(globals(), ("nginx", "curl", "node"))
