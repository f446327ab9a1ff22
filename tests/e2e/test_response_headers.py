# SPDX-License-Identifier: Apache-2.0
"""Answers that name their span: BURDOCK_RESPONSE_HEADERS. What a client gets is what it gets from
the bare program but for those lines, byte by byte, and each names the span of its own request."""
import os
import re
import socket
import ssl
from email.utils import formatdate

from harness import APPS, PYTHON, RawServer, Scene, check, equal, free_port, main, raw, read_head
from tls_scene import certify, have

BOTH = "traceresponse,server-timing"
IDS = rb"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])"
LINES = {"traceresponse": re.compile(rb"traceresponse: " + IDS + rb"\r?\n"),
         "server-timing": re.compile(rb'Server-Timing: traceparent;desc="' + IDS + rb'"\r?\n')}


def read_answer(file, method=b"GET"):
    """One final answer, with the interim ones before it, as it came."""
    got, status = b"", 100
    while status < 200:
        head = b""
        while not head.endswith((b"\r\n\r\n", b"\n\n")):
            line = file.readline()
            if not line:
                return got + head
            head += line
        got += head
        status = int(head.split(b" ", 2)[1])
    fields = head.lower()
    if method == b"HEAD" or status in (204, 304):
        return got
    if b"transfer-encoding: chunked" in fields:
        size = None
        while size != 0:
            line = file.readline()
            size = int(line, 16)
            got += line + file.read(size) + (file.readline() if size else b"")
        while (line := file.readline()) not in (b"\r\n", b""):
            got += line
        return got + line
    length = re.search(rb"\ncontent-length: *(\d+)", fields)
    return got + (file.read(int(length.group(1))) if length else file.read())


def converse(connection, requests, at_once=False, ends=False):
    """Asks one after the other, or all at once; ends: and waits for the server to see the end."""
    answers = []
    with connection, connection.makefile("rb") as file:
        for request in [b"".join(requests)] if at_once else requests:
            connection.sendall(request)
            for one in requests if at_once else [request]:
                answers.append(read_answer(file, one.split(b" ")[0]))
        if ends:
            connection.shutdown(socket.SHUT_WR)
            answers.append(file.read())
    return b"".join(answers)


def steady(data):
    return re.sub(rb"\r\n(Date|Last-Modified): [^\r]*", b"", data)


def take_out(data, names):
    """The ids in our lines, in the order in which they stand, and the rest."""
    found = {}
    for name in names:
        found[name] = [(m[1].decode(), m[2].decode()) for m in LINES[name].finditer(data)]
        data = LINES[name].sub(b"", data)
    return found, data


def compare(what, start, paths, dialogue, wanted=BOTH, silent=(), skipped=0):
    """A server, bare and under the library, and a dialogue with it: but for our lines the bytes are
    the same, what the server prints too, and the lines name the spans of their requests.

    start: of a scene and whether it is traced, the process with its port; paths: of the requests, in
    their order; silent: those whose answers get no line; skipped: how many of them were counted."""
    kept = []
    for traced in (False, True):
        with Scene(BURDOCK_RESPONSE_HEADERS=wanted) as scene:
            server = start(scene, traced)
            answers = steady(dialogue(scene, server))
            kept.append((answers, scene.stdout(server).replace(b"%d" % server.port, b"PORT")))
            if not traced:
                continue
            spans = {span.attributes.get("url.path"): (span.trace, span.id)
                     for span in scene.wait_spans(len(paths), is_server) if is_server(span)}
            counted = sum(ring.counters.get("inject.skipped", 0) for ring in scene.rings_left())
    names = wanted.split(",")
    found, rest = take_out(kept[1][0], names)
    check(len(kept[0][0]) > 0 and (rest, kept[1][1]) == kept[0], what + ": as bare but for the lines",
          "bare   %r\ntraced %r" % (kept[0], kept[1]))
    named = [spans.get(path) for path in paths if path not in silent]
    for name in names:
        equal(found[name], named, "%s: %s names the request's span" % (what, name))
    equal(counted, skipped, what + ": what could not be edited is counted")


def is_server(span):
    return span.kind == "SERVER" and span.service != "back"


def get(path, method=b"GET", *more):
    return b"\r\n".join([b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: localhost", *more, b"", b""])


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 60)


def usual(connect, paths):
    """Three on a connection that is kept, two at once, HEAD, and HTTP/1.0: seven paths."""
    requests = [get(path) for path in paths[:5]]
    return b"".join((converse(connect(), requests[:3]), converse(connect(), requests[3:], True),
                     converse(connect(), [get(paths[5], b"HEAD")]),
                     converse(connect(), [b"GET %s HTTP/1.0\r\n\r\n" % paths[6].encode()])))


def listening(process, port):
    process.port = port
    return process


# --- servers -----------------------------------------------------------------------------------

FILE = os.urandom(300_000)


def nginx_site(scene, traced, more="", http="", **environment):
    os.mkdir(scene.path("site"))
    os.chmod(scene.path("site"), 0o755)
    scene.write("site/big", FILE)
    scene.write("site/small", "small\n")
    scene.write("site/ssi.html", '<!--#set var="a" value="b" --> <!--#echo var="a" -->'
                                 '<!--#include virtual="/inner" -->\n')
    return scene.nginx("""root %s; sendfile on; ssi on; ssi_types text/plain; etag off;
        location = /inner { return 200 "from inside"; }
        location /file/ { ssi off; alias %s/site/; add_header Last-Modified "Tue, 01 Jan 2030 00:00:00 GMT"; }
        location /word/ { return 200 $uri; } location /moved/ { return 301 http://a/; }
        location /empty/ { return 204; } %s""" % (scene.path("site"), scene.directory, more),
                       workers=1, http=http, traced=traced, **environment)


def test_nginx():
    paths = ["/file/small", "/file/big", "/word/a", "/word/b", "/word/c", "/empty/a", "/moved/a"]
    compare("nginx", nginx_site, paths,
            lambda scene, server: usual(lambda: connect(server.port), paths))

    def conditional(scene, server):
        since = b"If-Modified-Since: Tue, 01 Jan 2030 00:00:00 GMT"
        return converse(connect(server.port), [
            get("/file/small", b"GET", b"If-Modified-Since: " + modified(scene)),
            get("/file/big", b"GET", b"Range: bytes=1000-250000"), get("/ssi.html"),
            get("/file/nothing"), get("/word/z", b"GET", since)])

    compare("nginx: 304, 206, server-side includes, 404", nginx_site,
            ["/file/small", "/file/big", "/ssi.html", "/file/nothing", "/word/z"], conditional)
    compare("nginx: traceresponse alone", nginx_site, ["/word/1"],
            lambda scene, server: converse(connect(server.port), [get("/word/1")]), "traceresponse")
    compare("nginx: Server-Timing alone", nginx_site, ["/word/1"],
            lambda scene, server: converse(connect(server.port), [get("/word/1")]), "server-timing")


def modified(scene):
    return formatdate(os.stat(scene.path("site/small")).st_mtime, usegmt=True).encode()


def test_nginx_proxy():
    """A server behind it that is not traced: what comes from there is passed on as it was."""
    paths = ["/status/200", "/status/201", "/notmodified", "/nocontent", "/status/404", "/status/500", "/early"]

    def start(scene, traced):
        back = scene.service("back", traced=False)
        return scene.nginx(
            "location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; }" % back.port,
            workers=1, traced=traced)

    compare("nginx: a proxy", start, paths,
            lambda scene, server: usual(lambda: connect(server.port), paths))


def test_nginx_passes_on():
    """What the server behind it says of itself stands: its traceresponse is the program's own."""
    with Scene(BURDOCK_RESPONSE_HEADERS=BOTH) as scene:
        back = scene.service("back")
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % back.port)
        found, _ = take_out(converse(connect(front.port), [get("/status/200")]), LINES)
        spans = {(span.service, span.kind): (span.trace, span.id) for span in scene.wait_spans(3)}
        equal(found["traceresponse"], [spans["back", "SERVER"]], "a proxy: traceresponse as it came")
        equal(found["server-timing"], [spans["back", "SERVER"], spans["nginx", "SERVER"]],
              "a proxy: Server-Timing of both, its own last")


def test_nginx_tls():
    if not have("openssl", "nginx: TLS"):
        return
    paths = ["/file/small", "/file/big", "/word/a", "/word/b", "/word/c", "/empty/a", "/moved/a"]

    def start(scene, traced):
        certify(scene)
        port = free_port()
        server = nginx_site(scene, traced, http="""ssl_certificate %s; ssl_certificate_key %s;
            server { listen 127.0.0.1:%d ssl; root %s; etag off;
                location /file/ { alias %s/site/; } location /word/ { return 200 $uri; }
                location /moved/ { return 301 http://a/; } location /empty/ { return 204; } }""" % (
                    scene.path("cert.pem"), scene.path("key.pem"), port, scene.path("site"), scene.directory))
        return listening(server, port)

    def dialogue(scene, server):
        context = ssl.create_default_context(cafile=scene.path("ca.pem"))
        return usual(lambda: context.wrap_socket(connect(server.port), server_hostname="localhost",
                                                 suppress_ragged_eofs=True), paths)

    compare("nginx: TLS", start, paths, dialogue)


def test_gnutls():
    if not have("gnutls-serv", "GnuTLS") or not have("openssl", "GnuTLS"):
        return

    def start(scene, traced):
        certify(scene)
        port = free_port()
        return listening(scene.start(["gnutls-serv", "--quiet", "--http", "-p", str(port), "--x509certfile",
                                      "cert.pem", "--x509keyfile", "key.pem"], "gnutls", traced, port), port)

    def dialogue(scene, server):
        context = ssl.create_default_context(cafile=scene.path("ca.pem"))
        link = context.wrap_socket(connect(server.port), server_hostname="localhost")
        data = converse(link, [b"GET /it HTTP/1.0\r\n\r\n"])
        head, _, body = data.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n" + body[:20]  # the rest is about this very session

    compare("GnuTLS", start, ["/it"], dialogue)


def test_python():
    paths = ["/a/1", "/a/2", "/chunked", "/a/4", "/nocontent", "/status/404", "/early"]

    def dialogue(scene, server):
        return usual(lambda: connect(server.port), paths).replace(b"from %07d\n" % server.pid, b"")

    compare("Python", lambda scene, traced: scene.service(traced=traced), paths, dialogue)


def test_python_files():
    """Its own server of files: HTTP/1.0."""
    def start(scene, traced):
        scene.write("big", FILE)
        port = free_port()
        return listening(scene.start([PYTHON, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
                                     "files", traced, port), port)

    compare("Python's files", start, ["/big"], lambda scene, server: converse(
        connect(server.port), [get("/big")]))


def test_node():
    if not have("node", "Node"):
        return
    paths = ["/status/200", "/x/1", "/x/2", "/x/3", "/x/4", "/x/5", "/x/6"]
    program = """require("http").createServer((request, response) => {
        response.setHeader("X-Path", request.url);
        if (request.url.endsWith("1")) { response.write("in "); response.end("chunks"); }
        else if (request.url.endsWith("2")) { response.writeHead(200, "Fine", ["A", "1", "A", "2"]); response.end(); }
        else response.end(Buffer.alloc(200000, request.url));
    }).listen(+process.argv[2], "127.0.0.1");"""

    def start(scene, traced):
        port = free_port()
        return listening(scene.start(["node", scene.write("server.js", program), str(port)], "node", traced,
                                     port), port)

    compare("Node", start, paths, lambda scene, server: usual(lambda: connect(server.port), paths))


# --- by hand -----------------------------------------------------------------------------------


def by_hand(what, paths, lines=True, wanted=BOTH, skipped=0, at_once=False):
    def start(scene, traced):
        port = free_port()
        return listening(scene.start([PYTHON, os.path.join(APPS, "answers.py"), str(port)], "hand", traced,
                                     port), port)

    def dialogue(scene, server):
        if paths == ["/old"]:
            return raw(server.port, get("/old"))
        return converse(connect(server.port), [get(path) for path in paths], at_once, True)

    compare(what, start, paths, dialogue, wanted, () if lines else paths, skipped)


def test_calls():
    by_hand("by hand: every call", ["/" + name for name in (
        "simple", "bytewise", "vectors", "vectors_many", "message", "more", "head_alone", "files", "partial",
        "waiting", "line_feeds", "no_fields", "interim", "similar", "interim_own")])
    by_hand("by hand: three at once", ["/1", "/2", "/3"], at_once=True)


def test_own():
    """The program has a traceresponse of its own: it stays alone."""
    paths = ["/own", "/own_empty", "/own_bytewise"]
    by_hand("by hand: its own", paths, False, "traceresponse")
    by_hand("by hand: its own", paths, True, "server-timing")


def test_untouched():
    by_hand("by hand: no head", ["/old"], False)
    by_hand("by hand: 101", ["/upgrade"], False)
    by_hand("by hand: a call that cannot be edited", ["/zero_copy"], False, skipped=1)


def test_off():
    """By default, where nothing is recorded, and where the name is none: nothing."""
    for environment in ({}, {"BURDOCK_RESPONSE_HEADERS": "none"}, {"BURDOCK_RESPONSE_HEADERS": "x"},
                        {"BURDOCK_RESPONSE_HEADERS": BOTH, "OTEL_SDK_DISABLED": "true"},
                        {"BURDOCK_RESPONSE_HEADERS": BOTH, "OTEL_TRACES_EXPORTER": "none"},
                        {"BURDOCK_RESPONSE_HEADERS": BOTH, "BURDOCK_DISABLED": "1"}):
        with Scene(**environment) as scene:
            front = scene.nginx("location / { return 200 ok; }")
            data = converse(connect(front.port), [get("/a")])
            check(b"traceresponse" not in data and b"Server-Timing" not in data,
                  "off: %s" % environment, data)


def test_unsampled():
    """The flags say so; and the ids are those that the service behind it got."""
    with Scene(BURDOCK_RESPONSE_HEADERS="traceresponse", OTEL_TRACES_SAMPLER="always_off") as scene:
        heads = []
        back = RawServer(scene, lambda connection: heads.append(read_head(connection)) or connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        front = scene.nginx("location / { proxy_pass http://127.0.0.1:%d; }" % back.port)
        match = LINES["traceresponse"].search(converse(connect(front.port), [get("/a")]))
        sent = re.search(rb"traceparent: 00-(\w+)-\w+-(\w+)", heads[0])
        check(match and match[3] in (b"00", b"02") and match[1] == sent[1], "not sampled: the flags say so",
              (match, heads))


if __name__ == "__main__":
    main(globals(), ("nginx",))
