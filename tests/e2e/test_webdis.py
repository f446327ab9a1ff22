# SPDX-License-Identifier: Apache-2.0
"""webdis, a server of HTTP that asks Redis by hiredis's asynchronous client, in the loop of libevent: each
command is under the request that asked for it, and they are those which the server's MONITOR saw."""
import json
import socket

from harness import Scene, check, equal, free_port, in_order, load, main
from test_redis import Redis, of_redis, told, shown

REQUESTS, CONCURRENCY = 640, 32


def start(scene, redis, **options):
    port = free_port()
    settings = dict(redis_host="127.0.0.1", redis_port=redis.port, http_host="127.0.0.1", http_port=port,
                    daemonize=False, database=0, verbosity=0, logfile=scene.path("webdis.log"),
                    websockets=False, acl=[], **options)
    webdis = scene.start(["webdis", scene.write("webdis.json", json.dumps(settings).encode())], "webdis",
                         port=port)
    webdis.port = port
    return webdis


def number_of(span):
    text = span.attributes.get("url.path") or span.attributes["db.query.text"]
    return text.replace("/", " ").rpartition(" ")[2]


def judge(spans, text, total):
    """Every command has its own request for a parent."""
    servers = {span.id: number_of(span) for span in spans if span.kind == "SERVER"}
    commands = [span for span in of_redis(spans) if number_of(span).isdigit() and "SELECT" not in told([span])[0][1]]
    strange = [span for span in commands if span.parent and servers.get(span.parent) != number_of(span)]
    roots = [span for span in commands if not span.parent]
    equal(len(commands), total, text + ": each command is told")
    equal((len(strange), len(roots)), (0, 0), text + ": none is under another's request, or under none")


def play(text, paths, **options):
    with Scene() as scene:
        redis = Redis(scene)
        webdis = start(scene, redis, **options)
        monitor = redis.monitor()
        for path in paths:
            equal(load(webdis.port, REQUESTS, CONCURRENCY, path)[:3], [], "%s: %s is answered" % (text, path))
        seen = [(database, shown(words)) for database, words in monitor.stop()]
        scene.wait_spans(2 * REQUESTS * len(paths))
        spans = in_order(scene)
        judge(spans, text, REQUESTS * len(paths))
        return seen, told(spans)


def test_one_connection():
    """All requests share it: many commands go out in one write, and many answers come in one read."""
    seen, got = play("one connection", ["/GET/%d", "/INCR/%d"], threads=1, pool_size=1)
    equal(got, seen, "one connection: the commands are MONITOR's, in its order")


def test_many():
    seen, got = play("four threads", ["/GET/%d", "/HGET/h/%d"], threads=4, pool_size=3)
    equal(sorted(got), sorted(seen), "four threads: the commands are MONITOR's")


def test_connection_each():
    """Those of another database have a connection each, which is closed by its own callback."""
    play("a connection each", ["/7/GET/%d"], threads=1, pool_size=1)


def test_subscriber():
    """A client whose answers are not in order is left alone; the others are not."""
    with Scene() as scene:
        redis = Redis(scene)
        webdis = start(scene, redis, threads=1, pool_size=1)
        with socket.create_connection(("127.0.0.1", webdis.port), 20) as subscriber:
            subscriber.sendall(b"GET /SUBSCRIBE/news HTTP/1.1\r\nHost: x\r\n\r\n")
            check(b"subscribe" in subscriber.recv(4096), "subscriber: is told so")
            equal(load(webdis.port, REQUESTS, CONCURRENCY, "/GET/%d")[:3], [], "subscriber: others are answered")
            redis.ask("PUBLISH", "news", "today")
            check(b"today" in subscriber.recv(4096), "subscriber: hears what is published")
        equal(load(webdis.port, REQUESTS, CONCURRENCY, "/GET/%d")[:3], [], "subscriber: and after it has left")
        scene.wait_spans(4 * REQUESTS)
        judge(in_order(scene), "subscriber", 2 * REQUESTS)


def test_server_gone():
    """Commands that wait when the connection breaks are called back without an answer."""
    with Scene() as scene:
        redis = Redis(scene)
        webdis = start(scene, redis, threads=1, pool_size=1)
        equal(load(webdis.port, 64, CONCURRENCY, "/GET/%d"), [], "server gone: answered before")
        redis.ask("DEBUG", "SLEEP", "0")
        scene.stop(redis.process)
        failures = load(webdis.port, 64, CONCURRENCY, "/GET/%d")
        check(len(failures) >= 32, "server gone: it says so", failures[:3])
        check(webdis.poll() is None, "server gone: and lives")
        strange = [span for span in of_redis(scene.spans())
                   if span.parent and number_of(span).isdigit() and number_of(span) not in
                   [number_of(other) for other in scene.spans() if other.id == span.parent]]
        equal(strange, [], "server gone: no stranger")


if __name__ == "__main__":
    main(globals(), ("webdis",))
