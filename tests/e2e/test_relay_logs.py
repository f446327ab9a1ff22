# SPDX-License-Identifier: Apache-2.0
"""Lines of logs by https and by grpc through the relay: certificates of both sides, answers of all
kinds, collectors and relays that go. Each line comes once, in order, or is counted."""
import os
import signal
import subprocess

import harness
from harness import PYTHON, check, equal, free_port, main, wait_until

if harness.otlp:
    from otlp import Collector, accept, logs_of_request, refuse
    from relay_scene import BURDOCK, RELAY, SECRET, Relayed
    from test_relay import child_of
    from test_relay_grpc import GRPC, LOGS, GrpcCollector, grpc, partial
    from test_relay_grpc import refuse as abort
    from test_spool import counted, spool_files
    from test_spool_logs import LOST, WRITES, write, write_many


def scene_of(**more):
    return Relayed(**dict(dict(BURDOCK_LOGS="2", OTEL_LOGS_EXPORTER="otlp", OTEL_BSP_SCHEDULE_DELAY="50",
                               OTEL_BLRP_MAX_EXPORT_BATCH_SIZE="50"), **more))


def writer(scene, run=True, **more):
    """Under `burdock run`, which starts the relay; or with the library alone."""
    command = [PYTHON, "-uc", WRITES, "writer"]
    return scene.start([BURDOCK, "run", "--", *command] if run else command, "writer",
                       traced=not run, stdin=subprocess.PIPE, **more)


def client_of(scene):
    certificate, key = scene.certificate("client")
    return {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certificate, "OTEL_EXPORTER_OTLP_CLIENT_KEY": key}


def end(scene, process):
    """The program is killed, and who else might be at what it left."""
    os.kill(child_of(process), signal.SIGKILL)
    process.wait(20)
    process.stdin.close()
    for pid in scene.relays():
        scene.end_relay(pid)


def numbers(logs):
    return [int(log.body.split()[1]) for log in logs]


def came(collector):
    return numbers(log for post in list(collector.logs_posts) if post.answer is accept
                   for log in logs_of_request(post.body))


def came_by_grpc(collector):
    return numbers(collector.received(LOGS, logs_of_request))


def test_https():
    made = 400
    for what, more in (("gzip", {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}),
                       ("JSON", {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"})):
        with scene_of() as scene:
            collector = Collector(scene, tls=scene.tls(clients=scene.path("ca.pem")))
            more.update(client_of(scene), OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
            process = writer(scene, **more)
            write(process, made)
            check(wait_until(lambda: len(came(collector)) == made, 40), what + ": the lines come",
                  (len(came(collector)), scene.burdock("doctor", **more)[1]))
            equal(came(collector), list(range(made)), what + ": each once and in order")
            equal({(post.path, post.headers["authorization"], post.headers["Content-Type"],
                    post.headers["Content-Encoding"]) for post in collector.logs_posts},
                  {("/v1/logs", "Bearer " + SECRET, "application/" + ("json" if what == "JSON" else
                    "x-protobuf"), "gzip" if what == "gzip" else None)}, what + ": as OTLP wants it")
            equal(counted(scene, LOST), 0, what + ": nothing is lost")
            equal(scene.stderr(process).count(b"\n"), made, what + ": the program's log is whole")


def test_certificates():
    """Who shows no certificate is turned away: the lines wait, and come with one."""
    with scene_of() as scene:
        collector = Collector(scene, tls=scene.tls(clients=scene.path("ca.pem")))
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        process = writer(scene, **endpoint)
        write(process, 100)
        check(wait_until(lambda: counted(scene, ["logs.spooled"]) == 100, 40) and not came(collector),
              "no certificate: they wait", [ring.counters for ring in scene.rings_left()])
        status, out, _ = scene.burdock("doctor", **endpoint)
        check(status == 1 and ": logs to " in out, "no certificate: the doctor says so", out)
        end(scene, process)
        status, out, err = scene.burdock("recover", **endpoint, **client_of(scene))
        check(status == 0 and wait_until(lambda: len(came(collector)) == 100 and not spool_files(scene)),
              "with one `burdock recover` sends them, or its relay", (status, out, err, spool_files(scene)))
        equal(came(collector), list(range(100)), "with one: each once and in order")


def test_grpc():
    made = 400
    for what, secure in (("h2c", False), ("h2, client's certificate", True)):
        with scene_of(**GRPC) as scene:
            tls = (scene.path("cert.pem"), scene.path("key.pem")) if secure else None
            collector = GrpcCollector(scene, tls=tls, clients=scene.path("ca.pem") if secure else None)
            process = writer(scene, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                             OTEL_EXPORTER_OTLP_COMPRESSION="gzip" if secure else "none",
                             **(client_of(scene) if secure else {}))
            write(process, made)
            check(wait_until(lambda: len(came_by_grpc(collector)) == made, 40), what + ": the lines come",
                  len(came_by_grpc(collector)))
            equal(came_by_grpc(collector), list(range(made)), what + ": each once and in order")
            equal({(post.method, post.metadata.get("authorization")) for post in collector.posts},
                  {(LOGS, "Bearer " + SECRET)}, what + ": to its method, with the headers")
            equal(counted(scene, LOST), 0, what + ": nothing is lost")


def test_answers():
    """What a server of either kind says of lines means what it means of spans."""
    code = grpc.StatusCode
    cases = (("UNAVAILABLE", GrpcCollector, abort(code.UNAVAILABLE), None),
             ("partial success", GrpcCollector, partial(3), "logs.rejected"),
             ("400", Collector, refuse(400), "logs.dropped.export"))
    for what, kind, answer, loss in cases:
        is_grpc = kind is GrpcCollector
        with scene_of(**(GRPC if is_grpc else {})) as scene:
            collector = kind(scene, tls=None if is_grpc else scene.tls())
            answer.is_partial = loss == "logs.rejected"
            collector.logs_script[:] = [answer]
            process = writer(scene, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
            write(process, 200)
            arrived = came_by_grpc if is_grpc else came

            def total():
                return len(arrived(collector)) - counted(scene, ["logs.rejected"]) + \
                    counted(scene, LOST) == 200 and not spool_files(scene)
            check(wait_until(total, 60), what + ": received and counted is what was made",
                  (len(arrived(collector)), [ring.counters for ring in scene.rings_left()]))
            equal(len(set(arrived(collector))), len(arrived(collector)), what + ": nothing comes twice")
            check(counted(scene, [loss]) > 0 if loss else counted(scene, LOST) == 0,
                  what + ": lost is what was refused for good")


def test_killed():
    """The server is away, then the relay is killed, then the program: the next relay sends what they
    left, with no program near it; spans go another way, without it."""
    with scene_of() as scene:
        port, made = free_port(), 1200
        spans = Collector(scene)
        more = dict(OTEL_EXPORTER_OTLP_ENDPOINT=spans.endpoint,
                    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="http://localhost:%d" % port,
                    OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="grpc", BURDOCK_SPOOL=scene.path("lines"))
        process = writer(scene, **more)
        write_many(scene, process, made // 2, ["logs.spooled"])
        scene.end_relay(*scene.relays(), signal.SIGKILL)
        write_many(scene, process, made // 2, ["logs.spooled"])
        end(scene, process)
        equal(scene.relays(), [], "killed: nobody is left")
        collector = GrpcCollector(scene, port=port)
        relay = scene.start([BURDOCK, "relay"], traced=False, **more)
        check(wait_until(lambda: len(came_by_grpc(collector)) >= made and
                         not os.listdir(scene.path("lines")), 60), "killed: a relay by itself sends all",
              (len(came_by_grpc(collector)), os.listdir(scene.path("lines"))))
        equal(came_by_grpc(collector), list(range(made)), "killed: each once and in order")
        equal((relay.poll(), spans.logs_posts), (None, []), "killed: by no other way")


if __name__ == "__main__":
    if harness.otlp and not os.path.exists(RELAY):
        print("1..0 # SKIP burdock was built without the relay")
    elif harness.otlp and grpc is None:
        print("1..0 # SKIP there is no grpcio")
    else:
        main(globals(), ("openssl",))
