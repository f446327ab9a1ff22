# SPDX-License-Identifier: Apache-2.0
"""Proxies that pass their clients' heads on: each call is known by its head, and a request that
carries no traceparent gets one on its way in."""
import grp
import os
import pwd
import re
import shutil
import socket

from harness import (PYTHON, RawServer, Scene, check, equal, free_port, get, load, main, raw,
                     read_head, skip, wait_until)

TRACEPARENT = re.compile(rb"\r\ntraceparent: ([0-9a-f]{2}(?:-[0-9a-f]+){3})(?=\r\n)")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HAPROXY = """
global
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout queue 20s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one 127.0.0.1:{back} maxconn 4
"""
VCL = 'vcl 4.1; backend default {{ .host = "127.0.0.1"; .port = "{back}"; }} ' \
      'sub vcl_recv {{ return (pass); }}'
SQUID = """
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent {back} 0 no-query originserver
pid_filename {run}/pid
cache_log {run}/log
access_log none
coredump_dir {run}
visible_hostname loopback
pinger_enable off
netdb_filename none
cache deny all
http_access allow all
"""


def haproxy(scene, port, back, **more):
    config = scene.write("haproxy.cfg", HAPROXY.format(port=port, back=back))
    return scene.start(["haproxy", "-db", "-f", config], "haproxy", port=port, **more)


def varnish(scene, port, back, **more):
    run, admin = scene.path("varnish"), free_port()
    os.mkdir(run)
    if os.geteuid() == 0:
        os.chown(run, -1, grp.getgrnam("varnish").gr_gid)
        os.chmod(run, 0o775)
    return scene.start(["varnishd", "-F", "-a", "127.0.0.1:%d" % port,
                        "-T", "127.0.0.1:%d" % admin, "-n", run, "-s", "malloc,16m", "-f",
                        scene.write("default.vcl", VCL.format(back=back))],
                       "varnish", port=port, **more)


def squid(scene, port, back, **more):
    """By its own user: as root its worker takes no preload."""
    run, user = scene.path("squid"), []
    os.mkdir(run)
    if os.geteuid() == 0:
        os.chown(run, pwd.getpwnam("proxy").pw_uid, -1)
        user = ["setpriv", "--reuid=proxy", "--regid=proxy", "--clear-groups"]
    config = scene.write("squid.conf", SQUID.format(run=run, port=port, back=back))
    return scene.start([*user, "squid", "--foreground", "-n", "e2e%d" % port, "-f", config],
                       "squid", port=port, **more)


PROXIES = {"haproxy": haproxy, "varnishd": varnish, "squid": squid}


def read_request(connection):
    """With its body, in however many parts it comes."""
    data = read_head(connection)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data)
    while length and len(data) < data.index(b"\r\n\r\n") + 4 + int(length[1]):
        data += connection.recv(65536) or b"\0cut"
    return data


def backend(scene, heads):
    def serve(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := read_request(connection):
            heads.append(request)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
    return RawServer(scene, serve)


def through(scene, start, heads, **more):
    server, port = backend(scene, heads), free_port()
    start(scene, port, server.port, **more)
    return port


def arrived(heads):
    """By path; squid asks for something of its own now and then."""
    return {path: TRACEPARENT.findall(head) for head in heads
            if (path := head.split()[1].decode()).startswith("/r/")}


def check_requests(name, spans, found, remote=None):
    servers = {s.attributes["url.path"]: s for s in spans
               if s.kind == "SERVER" and s.attributes["url.path"].startswith("/r/")}
    calls = {s.id: s for s in spans if s.kind == "CLIENT"}
    wrong = []
    for path, lines in found.items():
        server = servers.get(path)
        _, trace, parent, _ = lines[0].decode().split("-") if len(lines) == 1 else [""] * 4
        call = calls.get(parent)
        if not server or not call or call.parent != server.id or call.trace != server.trace or \
                trace != server.trace or server.parent != (remote or ""):
            wrong.append((path, lines, server, call))
    equal(wrong, [], name + ": each call under its request, and its ids went out")


def each_proxy():
    for name, start in PROXIES.items():
        if shutil.which(name) is None:
            skip(name, "not installed")
        else:
            yield name, start


def test_crowd():
    for name, start in each_proxy():
        heads = []
        with Scene() as scene:
            port = through(scene, start, heads)
            equal(load(port, 600, 32), [], name + ": all are answered")
            equal(len(arrived(heads)), 600, name + ": all arrived")
            spans = scene.wait_spans(1200, lambda s: s.attributes.get("url.path", "/r/")
                                     .startswith("/r/"))
            check_requests(name, spans, arrived(heads))
            own = {s.attributes.get("burdock.attribution") for s in spans if s.kind == "CLIENT"
                   and "/r/" not in s.attributes.get("url.full", "/r/")}
            equal(own - {"none", "ambiguous"}, set(), name + ": its own calls are nobody's")


def test_own_parent():
    """Some of them share one: then nobody knows whose a head is, and it goes on as it came."""
    for name, start in each_proxy():
        heads = []
        with Scene() as scene:
            port = through(scene, start, heads)
            get(port, "/r/1", {"traceparent": PARENT})
            spans = scene.wait_spans(2)
            check_requests(name, spans, arrived(heads), remote=PARENT.split("-")[2])
            equal(load(port, 200, 16, headers={"traceparent": PARENT}), [], name + ": shared")
            traces = {line.split(b"-")[1] for lines in arrived(heads).values() for line in lines}
            equal(traces, {PARENT.split("-")[1].encode()}, name + ": all in the client's trace")


def test_heads_are_the_same():
    """But for the line."""
    for name, start in each_proxy():
        bodies = []
        for traced in (False, True):
            heads = []
            with Scene() as scene:
                port = through(scene, start, heads, traced=traced)
                request = b"POST /r/1 HTTP/1.1\r\nHost: a\r\nX-Some: %s\r\nContent-Length: 5\r\n\r\nhello"
                raw(port, (request % (b"x" * 200)).replace(b"Host: a", b"Host: a\r\nConnection: close"))
            sent = re.sub(rb"(?i)\r\n(X-Varnish|Via|Age|Cache-Control): [^\r]*", b"", b"".join(
                head for head in heads if b"squid-internal" not in head))
            equal(len(TRACEPARENT.findall(sent)), int(traced), name + ": one line if traced")
            bodies.append(TRACEPARENT.sub(b"", sent))
        equal(*bodies, name + ": nothing else differs")


READER = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    got = []
    for size in map(int, sys.argv[2].split(",")):
        got.append(connection.recv(size))
    sys.stdout.buffer.write(b"|".join(got) + b"\\n--\\n")
    sys.stdout.flush()
    connection.sendall(b"HTTP/1.1 204 No\\r\\n\\r\\n" * b"".join(got).count(b"HTTP/1.1"))
    connection.close()
"""
HEAD = b"GET /r/1 HTTP/1.1\r\nHost: a\r\n\r\n"
LINE = rb"(traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-03\r\n)"
# sizes of the reads, what is sent, what is read: LINE stands for it
READS = [
    ("there is room", "4096", HEAD, HEAD[:-2] + b"LINE\r\n"),
    ("there is just room", str(len(HEAD) + 70), HEAD, HEAD[:-2] + b"LINE\r\n"),
    ("there is one byte too little", str(len(HEAD) + 69), HEAD, HEAD),
    ("it is full", str(len(HEAD)), HEAD, HEAD),
    ("the head comes in two reads", "20,4096", HEAD, HEAD[:20] + b"|" + HEAD[20:-2] + b"LINE\r\n"),
    ("a body follows", "4096", HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nok"),
     HEAD[:-2] + b"Content-Length: 2\r\nLINE\r\nok"),
    ("two heads in one read", "4096", HEAD * 2, HEAD * 2),
    ("it has one", "4096", HEAD[:-2] + b"traceparent: " + PARENT.encode() + b"\r\n\r\n",
     HEAD[:-2] + b"traceparent: " + PARENT.encode() + b"\r\n\r\n"),
    ("it is no HTTP", "4096", b"EHLO there\r\n", b"EHLO there\r\n"),
]


def connect(port):
    """The reader takes one connection, so it is not to be asked whether it listens."""
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=20)
    except ConnectionRefusedError:
        return None


def test_reads():
    for what, sizes, sent, wanted in READS:
        with Scene(BURDOCK_INBOUND="1") as scene:
            port = free_port()
            process = scene.start([PYTHON, scene.write("reader.py", READER), str(port), sizes],
                                  port=None)
            client = wait_until(lambda: connect(port))
            client.sendall(sent)
            while client.recv(4096):
                pass
            client.close()
            got = scene.stdout(process).split(b"\n--\n")[0]
            check(re.fullmatch(LINE.join(map(re.escape, wanted.split(b"LINE"))), got),
                  "read: " + what, (wanted, got))


def test_off():
    heads = []
    with Scene(BURDOCK_INBOUND="0") as scene:
        if shutil.which("haproxy") is None:
            return skip("haproxy", "not installed")
        port = through(scene, haproxy, heads)
        equal(load(port, 50, 8), [], "BURDOCK_INBOUND=0: all are answered")
        spans = scene.wait_spans(100)
        equal({s.attributes.get("burdock.attribution") for s in spans if s.kind == "CLIENT"} &
              {"header"}, set(), "BURDOCK_INBOUND=0: heads come in as they were")


main(globals())
