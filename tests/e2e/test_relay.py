# SPDX-License-Identifier: Apache-2.0
"""Spans and metrics by https through the relay: collectors in every mood, certificates that do not
fit, relays that are killed, late or not there. What arrives and what is counted is what was made."""
import email.utils
import glob
import os
import signal
import threading
import time

import harness
from harness import PYTHON, check, equal, free_port, get, load, main, skip, wait_until

if harness.otlp:
    from otlp import Collector, refuse, spans_of_store
    from relay_scene import BURDOCK, RELAY, SECRET, Relayed
    from test_spool import MOODS, counted, each_once, received, spool_files


def paths(spans):
    return sorted(span.attributes["url.path"] for span in spans)


def test_https():
    with Relayed(OTEL_METRICS_EXPORTER="otlp", OTEL_METRIC_EXPORT_INTERVAL="300",
                 OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as scene:
        collector = Collector(scene, tls=scene.tls())
        app = scene.app(collector.endpoint)
        equal(load(app.port, 50, 4), [], "https: requests are answered")
        check(wait_until(lambda: len(collector.spans()) == 50), "https: spans arrive",
              len(collector.spans()))
        equal({(post.path, post.headers["authorization"], post.headers["Content-Type"],
                post.headers["Content-Encoding"]) for post in collector.posts},
              {("/v1/traces", "Bearer " + SECRET, "application/x-protobuf", "gzip")},
              "https: as OTLP/HTTP wants it, with the headers")
        check("OTel-OTLP-Exporter" in collector.posts[0].headers["User-Agent"] and
              "traceparent" not in collector.posts[0].headers, "https: it names itself, untraced",
              collector.posts[0].headers)
        check(wait_until(lambda: collector.points("http.server.request.duration")),
              "https: metrics arrive")
        equal((counted(scene), os.listdir(scene.store)), (0, ["spool"]),
              "https: nothing is lost or kept")
        pid, = scene.relays()
        with open("/proc/%d/cmdline" % pid) as words, open("/proc/%d/maps" % pid) as maps:
            check(SECRET not in words.read() and "libburdock" not in maps.read(),
                  "https: no secret in the relay's arguments, no library in it")
        with open("/proc/%d/maps" % child_of(app)) as maps:
            text = maps.read()
            check("libburdock" in text and "libcurl" not in text and "libnghttp2" not in text,
                  "https: nothing of it in the program")
        stat = os.stat(glob.glob(scene.rings + "/burdock-relay-*")[0])
        equal((stat.st_mode & 0o777, stat.st_uid), (0o700, os.geteuid()), "https: a place for the user")
        equal(scene.stop(app), -signal.SIGTERM, "https: the program ends as it ends")


def child_of(process):
    with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
        return int(file.read().split()[0])


def test_run():
    """The program and whoever started it see nothing of the relay."""
    for what, more in (("run", []), ("run --exec", ["--exec"])):
        with Relayed(OTEL_EXPORTER_OTLP_ENDPOINT="https://localhost:%d" % free_port()) as scene:
            command = [BURDOCK, "run", *more, "--", "sh", "-c"]
            done = scene.run([*command, "read -r c < /proc/$$/task/$$/children; cat; echo \"[$c]\";"
                              " echo err >&2; exit 3"], stdin=b"in ", traced=False, timeout=20)
            equal((done.returncode, done.stdout, done.stderr), (3, b"in []\n", b"err\n"),
                  what + ": status, output and children are the program's, and no pipe is held")
            equal(scene.run([*command, "kill -9 $$"], traced=False).returncode, -signal.SIGKILL,
                  what + ": its death, too")
            pid, = scene.relays()
            with open("/proc/%d/stat" % pid) as file:
                fields = file.read().rpartition(")")[2].split()
            check(int(fields[3]) != os.getsid(0) and fields[4] == "0",
                  what + ": the relay has a session of its own, no terminal", fields)
            equal(os.readlink("/proc/%d/cwd" % pid), "/", what + ": and keeps no directory busy")
            descriptors = {os.readlink("/proc/%d/fd/%d" % (pid, number)) for number in range(3)}
            equal(descriptors, {"/dev/null"}, what + ": nor anybody's output")


def huge(handler):
    handler.send(200, bytes(5 << 20))


def in_two_seconds(handler):
    refuse(503, Retry_After=email.utils.formatdate(time.time() + 2, usegmt=True))(handler)


MORE_MOODS = () if harness.otlp is None else (
    ("503 with a date", [in_two_seconds], None),
    ("an answer of 5 MB", [huge], ("spans.dropped.export", 1)),
    ("redirected", [refuse(307, Location="http://localhost:1/")], ("spans.dropped.export", 1)),
)


def test_moods():
    made = 150
    for what, answers, loss in (*MOODS, *MORE_MOODS):
        with Relayed() as scene:
            collector = Collector(scene, answers, tls=scene.tls())
            app = scene.app(collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="700")
            equal(load(app.port, made, 4), [], what + ": every request is answered")

            def total():
                return len(received(collector)) - counted(scene, ["spans.rejected"]) + \
                    counted(scene) == made and not spool_files(scene)

            nonsense = what == "garbage"  # no answer of HTTP is none at all to libcurl
            check(wait_until(total, 60), what + ": received and counted is what was made",
                  (len(received(collector)), [ring.counters for ring in scene.rings_left()]))
            check(each_once(received(collector)), what + ": nothing arrives twice")
            if loss and not nonsense:
                check(counted(scene, [loss[0]]) >= loss[1], what + ": the loss is counted")
            else:
                equal(counted(scene), 0, what + ": nothing is lost")


# --- certificates --------------------------------------------------------------------------------


def test_certificates():
    """What does not fit is kept until it does."""
    with Relayed() as scene:
        scene.authority("other")
        client = scene.certificate("client")
        cases = (
            ("another authority", dict(), {"OTEL_EXPORTER_OTLP_CERTIFICATE": scene.path("other.pem")},
             "certificate"),
            ("no such file", dict(), {"OTEL_EXPORTER_OTLP_CERTIFICATE": scene.path("none.pem")},
             "certificate"),
            ("expired", dict(zip(("certificate", "key"), scene.certificate("old", days=-1))), {},
             "expired"),
            ("another host", dict(zip(("certificate", "key"), scene.certificate("far", "DNS:far.test"))),
             {}, "localhost"),
            ("no certificate of ours", dict(clients=scene.path("ca.pem")), {}, ""),
        )
        port = free_port()
        endpoint = "https://localhost:%d" % port
        for what, server, settings, words in cases:
            collector = Collector(scene, port=port, tls=scene.tls(**server))
            app = scene.app(endpoint, OTEL_RESOURCE_ATTRIBUTES="case=x", **settings)
            get(app.port, "/" + what.replace(" ", "-"))
            check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 1),
                  what + ": the span is kept", [ring.counters for ring in scene.rings_left()])
            status, out, _ = scene.burdock("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **settings)
            line = next((line for line in out.splitlines() if "relay" in line and "fail" in line), "")
            check(status == 1 and words in line, what + ": the doctor says why", out)
            equal((collector.posts, counted(scene)), ([], 0), what + ": nothing arrives, none is lost")
            scene.stop(app)
            collector.close()
            for pid in scene.relays():
                scene.end_relay(pid)
        equal(len(spans_of_store(scene.path("store/spool"))), len(cases), "all of them wait")
        collector = Collector(scene, port=port, tls=scene.tls(clients=scene.path("ca.pem")))
        relay = scene.relay(endpoint, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=client[0],
                            OTEL_EXPORTER_OTLP_CLIENT_KEY=client[1])
        check(wait_until(lambda: len(collector.spans()) == len(cases)),
              "with all that fits, they arrive: a client's certificate, too", scene.stderr(relay))
        equal(paths(collector.spans()), sorted("/" + case[0].replace(" ", "-") for case in cases),
              "each of them")
        check(wait_until(lambda: not spool_files(scene)), "and nothing waits any more")
        equal(scene.stop(relay), 0, "a relay by hand ends well")
        check(b"takes them" in scene.stderr(relay) and SECRET.encode() not in scene.stderr(relay),
              "and says what happened, without secrets", scene.stderr(relay))


# --- relays that go ------------------------------------------------------------------------------


def test_killed():
    """kill -9 in the middle of the work, again and again; `burdock run` starts it anew."""
    with Relayed() as scene:
        collector = Collector(scene, tls=scene.tls())
        app = scene.app(collector.endpoint)
        made, deaths = 0, 3
        for death in range(deaths):
            pids, before, failures = wait_until(scene.relays), len(collector.posts), []
            work = threading.Thread(target=lambda: failures.extend(
                load(app.port, 200, 4, "/%d/%%d" % death)))
            work.start()
            wait_until(lambda: len(collector.posts) > before + 1)
            scene.end_relay(pids[0], signal.SIGKILL)
            work.join()
            equal(failures, [], "killed: requests are answered")
            made += 200
            equal(load(app.port, 50, 4, "/dead/%d/%%d" % death), [], "killed: without relay too")
            made += 50
            check(wait_until(lambda: [pid for pid in scene.relays() if pid != pids[0]]),
                  "killed: it is started anew")
        check(wait_until(lambda: len({s.id for s in collector.spans()}) == made and
                         not spool_files(scene), 60),
              "killed: all arrive", (made, len({s.id for s in collector.spans()}),
                                     spool_files(scene)))
        again = len(collector.spans()) - made
        check(again <= 20 * deaths, "killed: at most what was under way arrives twice", again)
        equal(counted(scene), 0, "killed: nothing is lost")


def test_late():
    """LD_PRELOAD alone: spans wait, and the doctor says for what."""
    with Relayed() as scene:
        collector = Collector(scene, tls=scene.tls())
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        equal(load(app.port, 30, 2), [], "late: requests are answered")
        check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 30), "late: spans wait")
        status, out, _ = scene.burdock("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        check("burdock relay" in out and "warn" in out, "late: the doctor says what to do", out)
        status, out, _ = scene.burdock("status", str(app.pid))
        check(status == 1 and "relay" in out, "late: the state of the process says so, too", out)
        relay = scene.relay(collector.endpoint)
        check(wait_until(lambda: len(collector.spans()) == 30, 60), "late: they arrive",
              (len(collector.spans()), scene.stderr(relay)))
        get(app.port, "/live")
        check(wait_until(lambda: len(collector.spans()) == 31), "late: and it goes on")
        check(each_once(collector.spans()) and counted(scene) == 0, "late: each once, none lost")
        second = scene.start([BURDOCK, "relay"], traced=False,
                             OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        equal(second.wait(20), 0, "late: a second one is not needed")
        status, out, _ = scene.burdock("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        check("ok    relay" in out, "late: the doctor is content", out)
        scene.stop(app)


def test_off():
    with Relayed(BURDOCK_RELAY="off") as scene:
        app = scene.app("https://localhost:1")
        get(app.port, "/kept")
        check(wait_until(lambda: len(scene.spans()) == 1), "off: kept in the local store")
        equal(scene.relays(), [], "off: no relay is started")


def test_idle():
    """It ends when nobody needs it, and not while one who has asked lives."""
    with Relayed() as scene:
        collector = Collector(scene, tls=scene.tls())
        relay = scene.start([RELAY, "--idle", "1"], traced=False,
                            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        wait_until(scene.relays)
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        get(app.port, "/one")
        wait_until(lambda: len(collector.spans()) == 1)
        time.sleep(3)  # longer than it may be idle
        equal(relay.poll(), None, "idle: it stays while the process that has asked lives")
        get(app.port, "/two")
        check(wait_until(lambda: len(collector.spans()) == 2), "idle: which still finds it")
        scene.stop(app)
        equal(relay.wait(20), 0, "idle: and then it ends")
        equal(glob.glob(scene.rings + "/burdock-relay-*"), [], "idle: nothing of it is left")


# --- who may --------------------------------------------------------------------------------------


def test_strangers():
    """Another user's process gets no answer; another user's socket gets no spans."""
    if os.geteuid() != 0:
        skip("strangers", "needs root")
        return
    with Relayed() as scene:
        collector = Collector(scene, tls=scene.tls())
        relay = scene.relay(collector.endpoint)
        path, = glob.glob(scene.rings + "/burdock-relay-*/*.sock")
        ask = ["curl", "-sS", "--unix-socket", path, "http://relay/status"]
        equal(scene.run(ask, traced=False).returncode, 0, "strangers: its user is answered")
        stranger = ["setpriv", "--reuid=65534", "--clear-groups", *ask]
        check(scene.run(stranger, traced=False).returncode != 0, "strangers: others do not reach it")
        os.chmod(os.path.dirname(path), 0o711)
        os.chmod(path, 0o666)
        done = scene.run(stranger, traced=False)
        check(done.returncode != 0 and not done.stdout, "strangers: nor are they answered", done)
        scene.stop(relay)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        trap = scene.start(["setpriv", "--reuid=65534", "--clear-groups", PYTHON, "-c", """
import os, socket, sys
trap = socket.socket(socket.AF_UNIX)
trap.bind(sys.argv[1])
trap.listen()
print("there", flush=True)
while True:
    connection, _ = trap.accept()
    print(len(connection.recv(10)), flush=True)
""", scene.path("rings/trap")], traced=False)
        wait_until(lambda: os.path.exists(scene.path("rings/trap")))
        os.rename(scene.path("rings/trap"), path)
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        get(app.port, "/kept")
        check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 1),
              "strangers: what is not root's or the user's is not believed")
        check(wait_until(lambda: b"0" in scene.stdout(trap)) and b"10" not in scene.stdout(trap),
              "strangers: and learns nothing", scene.stdout(trap))


def test_dropped_rights():
    """nginx's workers are somebody else by then: root's relay sends what they leave."""
    if os.geteuid() != 0:
        skip("dropped rights", "needs root")
        return
    with Relayed() as scene:
        collector = Collector(scene, tls=scene.tls())
        relay = scene.relay(collector.endpoint)
        nginx = scene.nginx("location / { return 200 well; }",
                            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        os.makedirs(scene.path("store/spool"), exist_ok=True)
        os.chmod(scene.path("store/spool"), 0o1777)
        equal(load(nginx.port, 100, 4), [], "dropped rights: requests are answered")
        check(wait_until(lambda: len(collector.spans()) == 100), "dropped rights: all arrive",
              (len(collector.spans()), scene.stderr(relay), spool_files(scene)))
        check(each_once(collector.spans()), "dropped rights: each once")


# --- the command's own ---------------------------------------------------------------------------


def test_export():
    with Relayed() as scene:
        app = scene.service("app", OTEL_TRACES_EXPORTER="otlp")
        equal(load(app.port, 40, 2), [], "export: requests are answered")
        scene.wait_spans(40)
        collector = Collector(scene, [refuse(503, Retry_After="1")], tls=scene.tls())
        status, out, err = scene.burdock("export", "--endpoint", collector.endpoint)
        equal((status, err), (0, ""), "export: by https")
        check("40 spans" in out and len(collector.spans()) == 40, "export: all of them", out)
        equal(scene.burdock("export", "--endpoint", "https://localhost:%d" % free_port())[0], 1,
              "export: nobody there")


def test_recover():
    with Relayed() as scene:
        port = free_port()
        endpoint = "https://localhost:%d" % port
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        equal(load(app.port, 40, 2), [], "recover: requests are answered")
        check(wait_until(lambda: counted(scene, ["spans.spooled"]) == 40), "recover: spans wait")
        scene.stop(app, signal.SIGKILL)
        status, out, err = scene.burdock("recover", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        # The relay tries, too, and holds the file meanwhile.
        check(status == 1 or "a living process is at them" in out, "recover: nobody there", (out, err))
        collector = Collector(scene, port=port, tls=scene.tls())
        check(wait_until(lambda: scene.burdock("recover", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) and
                         len({s.id for s in collector.spans()}) == 40, 60), "recover: all arrive")
        wait_until(lambda: not spool_files(scene)) # whoever has sent the last one removes it then
        check(each_once(collector.spans()) and not spool_files(scene), "recover: each once",
              (len(collector.spans()), spool_files(scene)))


if __name__ == "__main__":
    if harness.otlp and not os.path.exists(RELAY):
        print("1..0 # SKIP burdock was built without the relay")
    else:
        main(globals(), ("curl", "openssl"))
