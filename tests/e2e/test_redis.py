# SPDX-License-Identifier: Apache-2.0
"""Clients of Redis under the library, and what the server's own MONITOR saw of them: the same
commands, one span each, in the same order, without their values."""
import collections
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

from harness import (APPS, BUILD, PATH, PYTHON, Scene, check, equal, free_port, in_order, load,
                     main, skip, wait_until)

SECRET = "correcthorse"
CLIENT = os.path.join(BUILD, "tests/e2e/redis_client")

# How many arguments are shown; a name that is not here: all. Of None every second one is hidden.
SHOWN = {"set": 1, "setex": 2, "lpush": 1, "rpush": 1, "sadd": 1, "zadd": 1, "hset": None,
         "hmset": None, "mset": None, "publish": 1, "ping": 0, "echo": 0, "spop": 9, "getset": 1,
         "append": 1, "xadd": 1, "eval": 0}


def shown(words):
    """A command as its span is to show it; written without a look at the library's own table."""
    name, arguments = words[0], words[1:]
    count = SHOWN.get(name.lower(), 99)
    if name.lower() == "eval":
        keys = 1 + int(arguments[1])
        kept = ["?"] + arguments[1:1 + keys] + ["?"] * len(arguments[1 + keys:])
    elif count is None:
        first = 1 if name.lower() in ("hset", "hmset") else 0
        kept = arguments[:first] + [word if i % 2 == 0 else "?"
                                    for i, word in enumerate(arguments[first:])]
    else:
        kept = arguments[:count] + ["?"] * len(arguments[count:])
    return " ".join([name] + kept)


class Redis:
    """A server of its own, and what its MONITOR tells."""

    def __init__(self, scene, *options, traced=False, port=None):
        self.scene, self.port = scene, port or free_port()
        self.options = options
        self.process = scene.start(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir",
             scene.directory, *options], "redis-server", traced, self.port)

    def ask(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True,
                              timeout=20, env={"PATH": PATH}).stdout.decode()

    def monitor(self):
        return Monitor(self.port)


class Monitor:
    """(database, words) of each command while it is open. Commands about the server are not shown by
    it, nor those that it refuses."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.sendall(b"MONITOR\r\n")
        self.file = self.socket.makefile("rb")
        assert self.file.readline() == b"+OK\r\n"
        self.seen, self.over = [], threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.file:
            text = line.decode("latin-1")
            if "the-end-of-it" in text:
                break
            source = re.match(r"\+\d+\.\d+ \[(\d+) (\S+)\] ", text)
            words = [eval(word) for word in re.findall(r'"(?:[^"\\]|\\.)*"', text[source.end():])]
            if source.group(2) != "lua":
                self.seen.append((source.group(1), words))
        self.over.set()

    def stop(self):
        with socket.create_connection(("127.0.0.1", self.port), 20) as end:
            end.sendall(b"ECHO the-end-of-it\r\n")
            end.recv(100)
        self.over.wait(20)
        self.socket.close()
        return self.seen


def of_redis(spans):
    return [span for span in spans if span.attributes.get("db.system.name") == "redis"]


# Not shown by MONITOR: https://redis.io/commands/monitor.
UNSEEN = {"auth", "hello", "config", "acl", "debug", "shutdown", "monitor", "replicaof", "client"}
# Told as messages: test_redis_streams.py.
UNSEEN |= {"xadd", "xread", "xreadgroup", "xack", "publish"}


def told(spans):
    return [(span.attributes.get("db.namespace"), span.attributes["db.query.text"])
            for span in of_redis(spans)
            if span.attributes["db.operation.name"].lower() not in UNSEEN]


def watched(scene, redis, command, what, ordered=True, **more):
    """Runs a program, and compares its spans with what the server saw."""
    before = {span.id for span in scene.spans()}
    monitor = redis.monitor()
    done = scene.run(command, **more)
    seen = [(database, shown(words)) for database, words in monitor.stop()
            if words[0].lower() not in UNSEEN]
    check(done.returncode == 0, what + ": runs", done.stdout[-1000:] + done.stderr[-1000:])
    scene.wait_spans(len(before) + len(seen))
    spans = [span for span in in_order(scene) if span.id not in before]
    got = told(spans)
    if ordered:
        equal(got, seen, what + ": each command is a span, in order (%d)" % len(seen))
    else:
        equal(collections.Counter(got), collections.Counter(seen),
              what + ": each command is a span (%d)" % len(seen))
    check(len(seen) > 0, what + ": MONITOR saw it")
    return of_redis(spans)


SCRIPT = b"""set k v
get k
select 3
hset h f v g w
lpush l a b c
lrange l 0 -1
mset a 1 b 2
select 0
multi
incr n
exec
"""


def test_cli():
    with Scene() as scene:
        redis = Redis(scene)
        spans = watched(scene, redis, ["redis-cli", "-p", str(redis.port)], "redis-cli",
                        stdin=SCRIPT)
        first = next(span for span in spans if span.name == "set")
        equal((first.kind, first.status, first.attributes),
              ("CLIENT", "UNSET", {
                  "db.system.name": "redis", "db.operation.name": "set", "db.query.text": "set k ?",
                  "db.namespace": "0", "server.address": "127.0.0.1", "server.port": redis.port,
                  "network.peer.address": "127.0.0.1", "network.peer.port": redis.port,
                  "burdock.attribution": first.attributes.get("burdock.attribution")}),
              "redis-cli: all of a span")
        watched(scene, redis, ["redis-cli", "-3", "-p", str(redis.port)], "redis-cli, RESP3",
                stdin=b"set k v\nsadd s a b\nsmembers s\nzadd z 1 a\nhgetall h\n")


def test_errors():
    with Scene() as scene:
        redis = Redis(scene)
        scene.run(["redis-cli", "-p", str(redis.port)],
                  stdin=b"lpush l a\nget l\nnonsense a\nmulti\nget l\nexec\nget\n")
        scene.wait_spans(8)
        spans = of_redis(in_order(scene))
        equal([(span.name, span.status, span.attributes.get("db.response.status_code"),
                span.attributes.get("error.type")) for span in spans if span.name != "COMMAND"],
              [("lpush", "UNSET", None, None), ("get", "ERROR", "WRONGTYPE", "WRONGTYPE"),
               ("nonsense", "ERROR", "ERR", "ERR"), ("multi", "UNSET", None, None),
               ("get", "UNSET", None, None), ("exec", "ERROR", "WRONGTYPE", "WRONGTYPE"),
               ("get", "ERROR", "ERR", "ERR")], "errors have the server's own word")


def test_benchmark():
    with Scene() as scene:
        redis = Redis(scene)
        for options in ((), ("-P", "16"), ("-P", "16", "-3")):
            watched(scene, redis, ["redis-benchmark", "-p", str(redis.port), "-n", "1000", "-c",
                                   "10", "-q", "-t", "ping,set,incr,lpush,mset", *options],
                    "redis-benchmark " + " ".join(options), ordered=False)


def test_hiredis():
    if not os.path.exists(CLIENT):
        return skip("hiredis", "was not there when this was built")
    with Scene() as scene:
        redis = Redis(scene)
        for how, count in (("sync", 100), ("pipeline", 1000), ("async", 500)):
            watched(scene, redis, [CLIENT, str(redis.port), how, str(count)], "hiredis, " + how)


PYTHON_CLIENT = """
import redis, sys
client = redis.Redis(port=int(sys.argv[1]), db=2)
client.set("key", "value"); client.get("key"); client.setex("t", 10, "v")
client.hset("h", mapping={"f": "v", "g": "w"}); client.mset({"a": 1, "b": 2})
pipeline = client.pipeline(transaction=False)
for i in range(100): pipeline.rpush("list", i)
pipeline.execute()
pipeline = client.pipeline()
pipeline.incr("n").incr("n").execute()
client.eval("return redis.call('get', KEYS[1])", 1, "key", "argument")
client.set("big", "x" * 5_000_000); assert len(client.get("big")) == 5_000_000
client.xadd("s", {"f": "v"}); client.xread({"s": 0}); client.zadd("z", {"a": 1}); client.zrange
assert client.blpop("nothing", timeout=1) is None
"""


def test_python():
    with Scene() as scene:
        redis = Redis(scene)
        spans = watched(scene, redis, [PYTHON, "-c", PYTHON_CLIENT, str(redis.port)], "redis-py")
        blocked = next(span for span in spans if span.name == "BLPOP")
        check(0.9e9 < blocked.end - blocked.start < 3e9, "BLPOP takes as long as it waits")
        equal({span.attributes["db.namespace"] for span in spans}, {"2"}, "in its database")


def test_long_pipeline():
    """Beyond the limit commands are told together, and none is lost."""
    with Scene() as scene:
        redis = Redis(scene)
        code = """
import redis, sys
pipeline = redis.Redis(port=int(sys.argv[1])).pipeline(transaction=False)
for i in range(10000): pipeline.incr("n")
assert pipeline.execute()[-1] == 10000
"""
        scene.run([PYTHON, "-c", code, str(redis.port)])
        spans = of_redis(scene.wait_spans(1024))
        sizes = [span.attributes.get("db.operation.batch.size", 1) for span in spans]
        equal(sum(sizes), 10000, "each of 10,000 commands is told (%d spans)" % len(spans))
        equal({span.name for span in spans}, {"INCRBY", "PIPELINE"}, "or is part of a pipeline")


LISTENER = """
import redis, sys
client = redis.Redis(port=int(sys.argv[1]))
listener = client.pubsub(ignore_subscribe_messages=True)
listener.subscribe("a", "b"); listener.psubscribe("c*")
print("ready", flush=True)
seen = 0
for message in listener.listen():
    seen += 1
    if message["data"] == b"end": break
listener.unsubscribe(); listener.punsubscribe()
while listener.subscribed: listener.get_message(timeout=1)
print(seen, flush=True)
client.get("after")
"""


def test_pubsub():
    with Scene() as scene:
        redis = Redis(scene)
        listener = scene.start([PYTHON, "-c", LISTENER, str(redis.port)], "listener")
        wait_until(lambda: b"ready" in scene.stdout(listener))
        wait_until(lambda: "3" in redis.ask("PUBSUB", "NUMSUB", "b").split()[1:] or
                   redis.ask("PUBSUB", "NUMPAT").strip() == "1")
        for channel, word in (("a", "x"), ("b", "x"), ("c1", "x"), ("c2", "end")):
            redis.ask("PUBLISH", channel, word)
        wait_until(lambda: listener.poll() is not None)
        equal(scene.stdout(listener).split(), [b"ready", b"4"], "a listener gets its messages")
        equal([text for _, text in told(scene.wait_spans(5) and in_order(scene))],
              ["SUBSCRIBE a b", "PSUBSCRIBE c*", "UNSUBSCRIBE", "PUNSUBSCRIBE", "GET after"],
              "messages are no answers")


def test_secrets():
    with Scene() as scene:
        redis = Redis(scene)
        scene.run(["redis-cli", "-p", str(redis.port)], stdin="""
config set requirepass {0}
auth {0}
auth default {0}
hello 2 auth default {0}
set key {0}
hset h f {0}
eval "return '{0}'" 0 {0}
acl setuser bob on >{0}
config set masterauth {0}
migrate 127.0.0.1 1 nothing 0 10 auth {0}
unheard-of {0}
echo {0}
publish c {0}
ping {0}
""".format(SECRET).encode())
        scene.run(["redis-cli", "-a", SECRET, "-p", str(redis.port), "ping"])
        spans = of_redis(scene.wait_spans(15))
        stored = b"".join(open(os.path.join(scene.store, name), "rb").read()
                          for name in os.listdir(scene.store))
        check(len(spans) >= 15 and SECRET.encode() not in stored, "no secret is stored")
        check("auth ?" in {span.attributes["db.query.text"] for span in spans}, "AUTH is told")


def test_server_gone():
    with Scene() as scene:
        redis = Redis(scene)
        client = scene.start(["redis-cli", "-p", str(redis.port), "blpop", "nothing", "0"], "cli")
        wait_until(lambda: "blocked_clients:1" in redis.ask("info", "clients"))
        scene.stop(redis.process, signal.SIGKILL)
        wait_until(lambda: client.poll() is not None)
        span = next(span for span in scene.wait_spans(1) if span.name == "blpop")
        equal((span.status, span.attributes.get("error.type")), ("ERROR", "connection_closed"),
              "the server is killed")
        again = Redis(scene, port=redis.port)
        watched(scene, again, ["redis-cli", "-p", str(redis.port), "get", "k"], "after its restart")


def test_socket():
    with Scene() as scene:
        path = scene.path("socket")
        redis = Redis(scene, "--unixsocket", path)
        spans = watched(scene, redis, ["redis-cli", "-s", path, "get", "k"], "by a Unix socket")
        equal(spans[-1].attributes.get("server.address"), path, "its path is the server's address")


def test_servers_are_none_of_ours():
    """A traced server: the spans are of its client alone, and of itself where it is a client."""
    with Scene() as scene:
        master = Redis(scene, traced=True)
        scene.run(["redis-benchmark", "-p", str(master.port), "-n", "500", "-q", "-t", "set"])
        spans = of_redis(scene.wait_spans(500))
        equal({span.service for span in spans}, {"redis-benchmark"}, "a server makes no spans")
        replica = Redis(scene, "--replicaof", "127.0.0.1 %d" % master.port, traced=True)
        wait_until(lambda: "master_link_status:up" in replica.ask("info", "replication"))
        master.ask("set", "k", "v")
        equal(wait_until(lambda: replica.ask("get", "k") == "v\n"), True, "a replica follows")
        scene.wait_spans(len(spans) + 6)
        names = [span.name for span in in_order(scene) if span.service == "redis-server"]
        equal((names[0], names[-1], set(names)), ("PING", "PSYNC", {"PING", "REPLCONF", "PSYNC"}),
              "what it asked its master, up to the copy")


def test_parents():
    with Scene() as scene:
        redis, port = Redis(scene), free_port()
        scene.start([PYTHON, os.path.join(APPS, "pool_service.py"), "redis", str(port),
                     str(redis.port)],
                    "shop", port=port)
        equal(load(port, 1000, 64), [], "64 requests at a time")
        spans = scene.wait_spans(4000)
        requests = {span.id: span.attributes["url.path"].rsplit("/")[-1] for span in spans
                    if span.kind == "SERVER"}
        wrong = [(span.attributes["db.query.text"], requests.get(span.parent))
                 for span in of_redis(spans) if "key" in span.attributes["db.query.text"] and
                 span.attributes["db.query.text"].split()[1].split(":")[1] !=
                 requests.get(span.parent)]
        equal((len(requests), wrong[:5]), (1000, []), "each command under its own request")
        equal(len([s for s in of_redis(spans) if s.name in ("INCRBY", "SET", "GET")]), 3000,
              "all of them")


CLIENTS = {
    "perl": (["perl", "-MRedis", "-e", """
my $r = Redis->new(server => "127.0.0.1:$ARGV[0]", no_auto_connect_on_new => 0);
$r->set(k => "v"); $r->get("k"); $r->select(1); $r->lpush("l", 1, 2);
$r->incr("n", sub {}) for 1 .. 50; $r->wait_all_responses;
"""], "libredis-perl"),
    "ruby": (["ruby", "-rredis", "-e", """
r = Redis.new(port: ARGV[0].to_i)
r.set("k", "v"); r.get("k"); r.select(1)
r.pipelined { |p| 50.times { p.incr("n") } }
r.multi { |m| m.incr("n"); m.get("n") }
"""], "ruby-redis"),
    "php": (["php", "-r", """
$r = new Redis(); $r->connect("127.0.0.1", (int)$argv[1]);
$r->set("k", "v"); $r->get("k"); $r->select(1);
$p = $r->multi(Redis::PIPELINE); for ($i = 0; $i < 50; $i++) $p->incr("n"); $p->exec();
$r->multi()->incr("n")->get("n")->exec();
"""], "php-redis"),
    "node": (["node", "-e", """
const { createClient } = require("redis");
(async () => {
  const r = createClient({ url: "redis://127.0.0.1:" + process.argv[1] });
  await r.connect();
  await r.set("k", "v"); await r.get("k"); await r.select(1);
  await Promise.all(Array.from({ length: 50 }, () => r.incr("n")));
  await r.multi().incr("n").get("n").exec();
  await r.quit();
})();
"""], "node-redis"),
}


def test_clients():
    with Scene() as scene:
        redis = Redis(scene)
        for name, (command, package) in CLIENTS.items():
            there = shutil.which(command[0], path=PATH) and subprocess.run(
                ["dpkg-query", "-W", package], capture_output=True).returncode == 0
            if not there:
                skip(name, package + " is not installed")
                continue
            watched(scene, redis, command + [str(redis.port)], name,
                    NODE_PATH="/usr/share/nodejs")


if __name__ == "__main__":
    main(globals(), needs=["redis-server", "redis-cli", "redis-benchmark"])
