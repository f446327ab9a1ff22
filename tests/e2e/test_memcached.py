# SPDX-License-Identifier: Apache-2.0
"""Clients of memcached under the library, and what the server's own log (-vv) says of their commands:
the same ones, in the same order; no keys, no values."""
import collections
import os
import re
import shutil
import signal
import socket
import subprocess

from harness import (APPS, PATH, PYTHON, Scene, check, equal, free_port, in_order, load, main,
                     operations_by_request, skip, wait_until)

SECRET = "correcthorse"

# Commands of the binary protocol by their numbers, written without a look at the library's table;
# in capitals: no answer if nothing is wrong.
BINARY = {0x00: "get", 0x01: "set", 0x02: "add", 0x03: "replace", 0x04: "delete", 0x05: "incr",
          0x06: "decr", 0x07: "quit", 0x08: "flush_all", 0x09: "GET", 0x0a: "noop",
          0x0b: "version", 0x0c: "get", 0x0d: "GET", 0x0e: "append", 0x0f: "prepend",
          0x10: "stats", 0x11: "SET", 0x14: "DELETE", 0x17: "QUIT", 0x1c: "touch", 0x1d: "gat",
          0x20: "sasl_list_mechs", 0x21: "sasl_auth"}


class Memcached:
    """A server of its own, and what its log tells."""

    def __init__(self, scene, *options, traced=False, port=None):
        self.scene, self.port = scene, port or free_port()
        where = [] if "-s" in options else ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        self.process = scene.start(
            ["memcached", "-u", "root", "-t", "1", "-vv", *where, *options], "memcached", traced,
            port=self.port if where else None)

    def is_idle(self):
        log = self.scene.stderr(self.process)
        return log.count(b" client connection\n") == log.count(b" connection closed.\n")

    def commands(self):
        """By connection: the words of each line; of messages, a name each."""
        found, heads = collections.defaultdict(list), collections.defaultdict(list)
        fresh = collections.Counter()
        for line in self.scene.stderr(self.process).decode("latin-1").splitlines():
            new = re.match(r"<(\d+) new auto-negotiating", line)
            said = re.match(r"<(\d+) ([a-z_]+)( .*)?$", line)
            head = re.match(r"<(\d+)    (0x\S\S) (0x\S\S) (0x\S\S) (0x\S\S)$", line)
            if new:
                fresh[new.group(1)] += 1
            elif head:
                key = (int(head.group(1)), fresh[head.group(1)])
                heads[key] += [int(byte, 16) for byte in head.groups()[1:]]
                if len(heads[key]) == 24:
                    found[key].append(BINARY[heads.pop(key)[1]])
            elif said and said.group(2) not in ("connection", "new", "server"):
                key = (int(said.group(1)), fresh[said.group(1)])
                found[key].append(said.group(2))
        return found


def expected(commands):
    """Names of spans: quiet gets are one with what makes them be answered."""
    names, gets = [], 0
    for command in commands:
        if command == "GET":
            gets += 1
        elif gets:
            names.append("get" if gets == 1 else "BATCH get")
            gets = 0
            assert command == "noop", command
        else:
            names.append(command.lower())
    return names


def of_memcached(spans):
    return [span for span in spans if span.attributes.get("db.system.name") == "memcached"]


def watched(scene, memcached, command, what, ordered=True, **more):
    """Runs a program, and compares its spans with what the server's log has."""
    wait_until(memcached.is_idle)  # what others have sent is in its log
    before = {span.id for span in scene.spans()}
    known = {key: len(names) for key, names in memcached.commands().items()}
    done = scene.run(command, **more)
    check(done.returncode == 0, what + ": runs", done.stdout[-1000:] + done.stderr[-1000:])
    wait_until(memcached.is_idle)  # it has read all that was sent
    seen = []
    for key, names in sorted(memcached.commands().items(), key=lambda item: item[0][::-1]):
        seen += expected(names[known.get(key, 0):])
    scene.wait_spans(len(before) + len(seen))
    spans = [span for span in of_memcached(in_order(scene)) if span.id not in before]
    got = [span.attributes.get("db.operation.name") for span in spans]
    compare = (lambda names: names) if ordered else collections.Counter
    equal(compare(got), compare(seen), what + ": each command is a span (%d)" % len(seen))
    check(len(seen) > 0, what + ": the server's log has it")
    return spans


def test_tools():
    with Scene() as scene:
        memcached = Memcached(scene)
        scene.write("key1", SECRET)
        scene.write("key2", "b")
        servers = "--servers=127.0.0.1:%d" % memcached.port
        for name, *arguments in (("memccp", "key1", "key2"), ("memccat", "key1", "key2"),
                                 ("memcping",), ("memcexist", "key1"), ("memctouch", "key1"),
                                 ("memcstat",), ("memcrm", "key1"), ("memcflush",)):
            if shutil.which(name, path=PATH) is None:
                skip(name, "libmemcached-tools is not installed")
                continue
            for options in [[]] + [["--binary"]] * (name != "memcping"):
                scene.run(["memccp", servers, "key1", "key2"], traced=False)
                watched(scene, memcached, [name, servers, *options, *arguments],
                        " ".join([name] + options))
        spans = of_memcached(scene.spans())
        hit = next(span for span in spans if span.name.startswith("get "))
        place = "127.0.0.1:%d" % memcached.port
        equal((hit.name, hit.kind, hit.status, hit.attributes),
              ("get " + place, "CLIENT", "UNSET", {
                  "db.system.name": "memcached", "db.operation.name": "get",
                  "db.response.returned_rows": 1, "server.address": "127.0.0.1",
                  "server.port": memcached.port, "network.peer.address": "127.0.0.1",
                  "network.peer.port": memcached.port,
                  "burdock.attribution": hit.attributes.get("burdock.attribution")}),
              "all of a span")
        stored = b"".join(open(os.path.join(scene.store, name), "rb").read()
                          for name in os.listdir(scene.store))
        check(SECRET.encode() not in stored and b"key1" not in stored, "no key, no value is stored")


PYMEMCACHE = """
import sys
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError
c = Client(("127.0.0.1", int(sys.argv[1])))
c.set("a", "x"); c.get("a"); c.get_many(["a", "b", "c"]); c.gets("a"); c.delete("a", noreply=False)
c.set_many({"n%d" % i: "1" for i in range(20)}, noreply=False)
c.incr("n1", 2); c.decr("n1", 1); c.append("n1", "0", noreply=False); c.touch("n1", 9)
c.add("n1", "v"); c.cas("n1", "v", "1", noreply=False); c.flush_all(); c.version()
c.set("big", "x" * 900000); assert len(c.get("big")) == 900000
try: c.incr("big", 1)
except MemcacheClientError: pass
c.stats(); c.quit()
"""

PYTHON_MEMCACHED = """
import memcache, sys
m = memcache.Client(["127.0.0.1:" + sys.argv[1]])
m.set("z", 1); m.get("z"); m.set_multi({"y": "1", "x": "2"}); m.get_multi(["z", "y", "w"])
m.incr("z"); m.delete("z"); m.disconnect_all()
"""

PHP = """
foreach ([false, true] as $binary) {
    $m = new Memcached(); $m->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $m->addServer("127.0.0.1", (int)$argv[1]);
    $m->set("p", 1); $m->get("p"); $m->getMulti(["p", "q", "r"]); $m->increment("p");
    $m->setMulti(["q" => 1, "r" => 2]); $m->get("nothing"); $m->delete("p"); $m->touch("q", 10);
    $m->quit();
}
"""


def test_clients():
    with Scene() as scene:
        memcached = Memcached(scene)
        for name, command, package in (
                ("pymemcache", [PYTHON, "-c", PYMEMCACHE], "python3-pymemcache"),
                ("python-memcached", [PYTHON, "-c", PYTHON_MEMCACHED], "python3-memcache"),
                ("php-memcached", ["php", "-r", PHP], "php-memcached")):
            if subprocess.run(["dpkg-query", "-W", package], capture_output=True).returncode:
                skip(name, package + " is not installed")
                continue
            watched(scene, memcached, command + [str(memcached.port)], name)
        failed = [(span.attributes["db.operation.name"], span.attributes.get("error.type"))
                  for span in of_memcached(in_order(scene)) if span.status == "ERROR"]
        check(set(failed) <= {("incr", "CLIENT_ERROR")}, "what failed is an error", failed)


RAW = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def ask(request, end):
    s.sendall(request)
    answer = b""
    while not answer.endswith(end): answer += s.recv(65536)
ask(b"ms a 1 T0\\r\\nx\\r\\n", b"HD\\r\\n"); ask(b"mg a v\\r\\n", b"x\\r\\n")
ask(b"mg a v k q\\r\\nmg b v k q\\r\\nmg c v k q\\r\\nmn\\r\\n", b"MN\\r\\n")
ask(b"ms a 1 q\\r\\nx\\r\\nmd b q\\r\\nmn\\r\\n", b"MN\\r\\n"); ask(b"me a\\r\\n", b"\\r\\n")
ask(b"ma n N0\\r\\n", b"HD\\r\\n"); ask(b"".join(b"mg k%d v\\r\\n" % i for i in range(50)), b"EN\\r\\n" * 50)
"""


def test_meta():
    with Scene() as scene:
        memcached = Memcached(scene)
        scene.run([PYTHON, "-c", RAW, str(memcached.port)])
        names = [span.attributes["db.operation.name"] for span in
                 of_memcached(scene.wait_spans(59) and in_order(scene))]
        lines = [name for names in memcached.commands().values() for name in names]
        equal(names, ["ms", "mg", "BATCH mg", "ms", "md", "mn", "me", "ma"] + ["mg"] * 50,
              "meta commands")
        equal(collections.Counter(lines), collections.Counter(mg=54, ms=2, md=1, mn=2, me=1, ma=1),
              "which the server had")


def test_counters():
    """Of many at a time: as many as the server counted."""
    if shutil.which("memcslap", path=PATH) is None:
        return skip("memcslap", "libmemcached-tools is not installed")
    with Scene() as scene:
        memcached = Memcached(scene)
        scene.run(["memcslap", "--servers=127.0.0.1:%d" % memcached.port, "--concurrency=4",
                   "--execute-number=250", "--test=set", "--flush"])
        with socket.create_connection(("127.0.0.1", memcached.port), 20) as client:
            client.sendall(b"stats\r\nquit\r\n")
            stats = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        count = int(re.search(r"STAT cmd_set (\d+)", stats).group(1))
        scene.wait_spans(count)
        names = collections.Counter(span.attributes["db.operation.name"]
                                    for span in of_memcached(scene.spans()))
        equal((names["set"], count >= 1000), (count, True), "memcslap: cmd_set")


def test_errors():
    with Scene() as scene:
        memcached = Memcached(scene)
        code = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for line in (b"set big 0 0 3000000\\r\\n" + b"x" * 3000000 + b"\\r\\n", b"nonsense\\r\\n"):
    s.sendall(line); s.recv(1000)
s.sendall(b"get a\\r\\n"); s.recv(1000); input()
s.sendall(b"get a\\r\\n"); s.recv(1000)
"""
        client = scene.start([PYTHON, "-c", code, str(memcached.port)], "client",
                             stdin=subprocess.PIPE)
        scene.wait_spans(3)
        scene.stop(memcached.process, signal.SIGKILL)
        client.communicate(b"\n")
        spans = of_memcached(scene.wait_spans(4) and in_order(scene))
        got = [(span.attributes.get("db.operation.name"), span.attributes.get(
            "db.response.status_code"), span.attributes.get("error.type")) for span in spans]
        equal(got[:3], [("set", "SERVER_ERROR", "SERVER_ERROR"), (None, "ERROR", "ERROR"),
                        ("get", None, None)], "the server's own words")
        check(got[3][2] in ("connection_closed", "connection_reset"), "the server is killed", got)


def test_sasl():
    """A server's refusal, and nothing of what was sent."""
    with Scene() as scene:
        memcached = Memcached(scene, "-B", "binary")
        code = """
import socket, struct, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def ask(opcode, key=b"", value=b""):
    s.sendall(struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), 0, 0, 0, len(key + value), 0, 0) +
              key + value)
    s.recv(1000)
ask(0x20); ask(0x21, b"PLAIN", b"\\0user\\0%s"); ask(0x00, b"a")
""" % SECRET
        scene.run([PYTHON, "-c", code, str(memcached.port)])
        spans = of_memcached(scene.wait_spans(3) and in_order(scene))
        equal([(span.attributes["db.operation.name"], span.attributes.get("error.type"))
               for span in spans],
              [("sasl_list_mechs", "0x0081"), ("sasl_auth", "0x0081"), ("get", None)],
              "a server without SASL refuses it")
        stored = b"".join(open(os.path.join(scene.store, name), "rb").read()
                          for name in os.listdir(scene.store))
        check(SECRET.encode() not in stored, "no password is stored")


def test_socket():
    with Scene() as scene:
        path = scene.path("socket")
        Memcached(scene, "-s", path)
        wait_until(lambda: os.path.exists(path))
        code = """
import sys
from pymemcache.client.base import Client
Client(sys.argv[1]).get("a")
"""
        if scene.run([PYTHON, "-c", code, path]).returncode:
            return skip("by a Unix socket", "python3-pymemcache is not installed")
        span = of_memcached(scene.wait_spans(1))[0]
        equal((span.name, span.attributes["server.address"]), ("get " + path, path),
              "by a Unix socket")


def test_servers_are_none_of_ours():
    with Scene() as scene:
        memcached = Memcached(scene, traced=True)
        code = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for _ in range(100): s.sendall(b"get a\\r\\n"); assert s.recv(1000) == b"END\\r\\n"
"""
        scene.run([PYTHON, "-c", code, str(memcached.port)], service="client")
        spans = of_memcached(scene.wait_spans(100))
        equal((len(spans), {span.service for span in spans}), (100, {"client"}),
              "a server makes no spans")


def test_parents():
    """64 requests at a time: each command under its own request."""
    with Scene() as scene:
        memcached, port = Memcached(scene), free_port()
        scene.start([PYTHON, os.path.join(APPS, "pool_service.py"), "memcached", str(port),
                     str(memcached.port)], "shop", port=port)
        equal(load(port, 600, 64), [], "64 requests at a time")
        spans = scene.wait_spans(600 + 600 + 1200)
        wanted = {i: collections.Counter(set=1, get=1 + i % 3) for i in range(600)}
        got = operations_by_request(spans, of_memcached(spans))
        equal({i: got[i] for i in got if got[i] != wanted.get(i)}, {}, "each under its own request")
        equal(len(got), 600, "and each request has its own")


main(globals(), needs=["memcached"])
