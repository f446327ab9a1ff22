# SPDX-License-Identifier: Apache-2.0
"""Formats of context other than W3C's, in messages and in CGI's variables: what is sent has the headers
that the format has, what comes is continued, and a context of the program's own is left alone."""
import ast
import http.server
import json
import os
import re
import threading

import test_amqp as amqp
import test_kafka_wire as kafka_wire
import test_mqtt as mqtt
import test_nats as nats
import test_redis_streams as redis_streams
import test_stomp as stomp
import test_uwsgi as uwsgi
from harness import Scene, check, equal, free_port, get, main, skip
from rabbit import SERVER
from test_context import FORMATS, PARENT, REPLACED, TRACE, filled
from test_fastcgi import links, stage
from test_kafka import Kafka

COUNT = 3
DIGITS = {"ottrace": 16} # of the trace's id that it carries


def sent_by(spans, name="publish"):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == name]


def check_headers(came, spans, name, what):
    """came: each message's headers of context. They are those of the spans that sent them."""
    wanted = sorted(json.dumps({key: value for key, (value,) in filled(FORMATS[name][1], span).items()},
                               sort_keys=True) for span in spans)
    lower = [json.dumps({key.lower(): value for key, value in headers.items()}, sort_keys=True)
             for headers in came]
    equal(sorted(lower), wanted, "%s: %s: the format's headers and no others" % (what, name))


def check_continued(sent, came, name, what):
    digits = DIGITS.get(name, 32)
    equal(sorted((span.trace[-digits:], span.parent) for span in came),
          sorted((span.trace[-digits:], span.id) for span in sent),
          "%s: %s: each is continued" % (what, name))


NAMES = {"traceparent", *(key for _, outgoing in FORMATS.values() for key in outgoing)}


def of_context(pairs):
    """Those of any format."""
    return {key: value for key, value in pairs if key.lower() in NAMES}


def test_nats():
    if not has_nats():
        return
    for name in FORMATS:
        with Scene(OTEL_PROPAGATORS=name) as scene:
            server = nats.Server(scene)
            traced = server.start("consume", COUNT, service="traced")
            bare = server.start("consume", COUNT, service="bare", traced=False)
            server.run("publish", COUNT)
            for process in (traced, bare):
                nats.ends_well(scene, process, "NATS: a consumer")
            spans = scene.wait_spans(2 * COUNT)
            check_continued(sent_by(spans), sent_by(spans, "process"), name, "NATS")
            came = [of_context(line["headers"].items())
                    for line in nats.lines_of(scene.stdout(bare))]
            check_headers(came, sent_by(spans), name, "NATS")


def has_nats():
    return nats.has_client() or skip("NATS", "nats-py is not there")


def test_nats_own():
    """A context of the program's own, in the format's words or in W3C's."""
    if not has_nats():
        return
    own = "1" * 32 + "-" + "3" * 16 + "-1"
    with Scene(OTEL_PROPAGATORS="b3") as scene:
        server = nats.Server(scene)
        script = scene.write("own.py", """
import asyncio, sys, nats
async def main():
    client = await nats.connect("nats://127.0.0.1:" + sys.argv[1])
    await client.publish("t.0", b"a", headers={"B3": sys.argv[2], "Other": "b3"})
    await client.flush()
    await client.close()
asyncio.run(main())
""")
        consumer = server.start("consume", 1)
        done = scene.run([nats.PYTHON, script, str(server.port), own], "publish")
        equal(done.returncode, 0, "own: it runs")
        nats.ends_well(scene, consumer, "own: the consumer")
        got, = nats.lines_of(scene.stdout(consumer))
        equal(got["headers"], {"B3": own, "Other": "b3"}, "own: it goes as it is")
        spans = scene.wait_spans(2)
        equal({(span.trace, span.parent) for span in spans}, {("1" * 32, "3" * 16)},
              "own: both are under it")


def test_mqtt():
    if not has_mqtt():
        return
    for name in FORMATS:
        with Scene(OTEL_PROPAGATORS=name) as scene:
            broker = mqtt.Broker(scene)
            traced, bare = (broker.consumer(broker.app("consume", 5, 1, COUNT), what, what == "consume")
                            for what in ("consume", "bare"))
            broker.run(broker.app("publish", 5, 1, COUNT))
            for process in (traced, bare):
                mqtt.ends_well(scene, process, "MQTT: a consumer")
            spans = scene.wait_spans(3 * COUNT)
            check_continued(sent_by(spans), sent_by(spans, "process"), name, "MQTT")
            came = [of_context(line["user"]) for line in mqtt.lines_of(scene.stdout(bare))]
            check_headers(came, sent_by(spans), name, "MQTT")


def has_mqtt():
    return mqtt.has_paho() or skip("MQTT", "paho is not there")


def test_redis():
    if not redis_streams.has_client():
        return skip("Redis", "redis-py is not there")
    for name in FORMATS:
        with Scene(OTEL_PROPAGATORS=name, BURDOCK_REDIS_STREAMS="1") as scene:
            server = redis_streams.Server(scene)
            worker = server.start("group", COUNT, 1, 0)
            server.run("add", COUNT)
            redis_streams.ends(scene, worker, "Redis: the worker")
            spans = scene.wait_spans(2 * COUNT, lambda span: span.attributes.get(
                "messaging.operation.name") in ("XADD", "process"))
            check_continued(sent_by(spans, "XADD"), sent_by(spans, "process"), name, "Redis")
            got = redis_streams.lines_of(scene.stdout(worker))
            equal([sorted(map(str.lower, line[2:])) for line in got], [sorted(FORMATS[name][1])] * COUNT,
                  "Redis: %s: the format's fields and no others" % name)


def rabbit_case(rabbit, name):
    scene = rabbit.scene
    amqp.clear(scene)
    scene.environment["OTEL_PROPAGATORS"] = name
    rabbit.work("publish", COUNT)
    lines = rabbit.work("consume", COUNT)
    spans = scene.wait_spans(2 * COUNT)
    check_continued(sent_by(spans), sent_by(spans, "consume"), name, "AMQP")
    came = [ast.literal_eval(re.search(r"\{.*\}", line).group()) for line in lines]
    check_headers([of_context(headers.items()) for headers in came], sent_by(spans), name, "AMQP")


def test_rabbit():
    if not os.path.exists(SERVER):
        return skip("AMQP", "RabbitMQ is not there")
    with Scene() as scene:
        rabbit = amqp.Broker(scene)
        for name in FORMATS:
            rabbit_case(rabbit, name)


def test_stomp():
    if not os.path.exists(SERVER):
        return skip("STOMP", "RabbitMQ is not there")
    with Scene() as scene:
        broker = stomp.Broker(scene)
        for name in FORMATS:
            stomp.clear(scene)
            scene.environment["OTEL_PROPAGATORS"] = name
            queue = "/queue/" + name
            consumer = broker.consumer("1.2", queue, COUNT, "auto")
            broker.run("publish", "1.2", queue, COUNT)
            stomp.ends_well(scene, consumer, "STOMP: the consumer")
            spans = scene.wait_spans(2 * COUNT)
            check_continued(sent_by(spans, "send"), sent_by(spans, "process"), name, "STOMP")


def named(scene, count, name):
    return [span for span in scene.wait_spans(count, lambda span: span.name == name) if span.name == name]


def kafka_case(scene, name, how):
    what, topic = "Kafka, " + how, scene.topic()
    if how == "rdkafka":
        scene.client("many", topic, COUNT)
    else:
        kafka_wire.client(scene, "aio", "send", topic, COUNT, "one")
    spans = named(scene, COUNT, "send " + topic)
    came = kafka_wire.client(scene, "aio", "take", topic, COUNT, "one", traced=False)
    check_headers([of_context((key, value.decode()) for key, value in message[3]) for message in came],
                  spans, name, what)
    kafka_wire.client(scene, "aio", "take", topic, COUNT, "two")
    linked = [link for span in named(scene, 1, "fetch " + topic) for link in span.links]
    digits = DIGITS.get(name, 32)
    equal(sorted((trace[-digits:], span) for trace, span in linked),
          sorted((span.trace[-digits:], span.id) for span in spans),
          "%s: %s: fetches are linked to what they brought" % (what, name))
    handed = named(scene, COUNT, "process " + topic)
    check_continued(spans, handed, name, what + ", what aiokafka hands out")
    if how == "rdkafka":
        scene.client("consume", topic, COUNT, "poll")
        known = {span.id for span in handed}
        others = [span for span in named(scene, 2 * COUNT, "process " + topic) if span.id not in known]
        check_continued(spans, others, name, what)


def test_kafka():
    """By librdkafka, and by a client that speaks the protocol itself: a fetch has links."""
    with Kafka() as scene:
        if not kafka_wire.has(scene, "aio"):
            return
        for name in ("b3multi", "datadog"): # of several headers
            scene.environment["OTEL_PROPAGATORS"] = name
            for how in ("rdkafka", "wire"):
                kafka_case(scene, name, how)


PASSING = """
import asyncio
import sys

from aiokafka import AIOKafkaProducer

bootstrap, topic, port = sys.argv[1:]


async def main():
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")
        lines = [line.split(": ", 1) for line in head[1:] if line]
        own = [(name.lower(), value.encode()) for name, value in lines
               if name.lower() in ("traceparent", "b3")]
        sent = await producer.send_and_wait(topic, b"value", b"key", headers=own)
        body = b"%d" % sent.offset
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", int(port)) as server:
        await server.serve_forever()


asyncio.run(main())
"""


def test_kafka_passed_on():
    """A service that hands its client's context on in a record, of whose batch there is a checksum: it
    goes as it is, and names the parent."""
    for name, value in (("traceparent", "00-%s-%s-01" % (TRACE, PARENT)),
                        ("b3", "%s-%s-1" % (TRACE, PARENT))):
        with Kafka() as scene:
            if not kafka_wire.has(scene, "aio"):
                return
            scene.environment["OTEL_PROPAGATORS"] = "tracecontext,b3"
            topic, port = scene.topic(), free_port()
            script = scene.write("passing.py", PASSING)
            scene.start([kafka_wire.PYTHON, script, scene.bootstrap, topic, str(port)], "shop",
                        port=port)
            equal(get(port, "/", {name: value})[2], b"0", name + ": the broker takes it")
            message, = kafka_wire.client(scene, "aio", "take", topic, 1, "one", traced=False)
            equal(message[3], [(name, value.encode())], name + ": as it was")
            span, = [span for span in scene.wait_spans(1, lambda span: span.name == "send " + topic)
                     if span.name == "send " + topic]
            equal((span.trace, span.parent), (TRACE, PARENT), name + ": it is the parent")


def test_cgi():
    """nginx before uWSGI and php-fpm. A client's headers are variables: as in heads, our span takes its
    place in those that have its id in 16 digits."""
    for name, (incoming, _) in FORMATS.items():
        for what in ("uwsgi", "scgi", "fastcgi"):
            for headers in (None, incoming) if name in REPLACED else (None,):
                with Scene(OTEL_PROPAGATORS=name) as scene:
                    front, _ = stage(scene) if what == "fastcgi" else uwsgi.stage(scene, what)
                    get(front.port, "/", headers)
                    spans = scene.wait_spans(3)
                    equal([[kind for _, kind, _ in line] for line in links(spans)],
                          [["SERVER", "CLIENT", "SERVER"]], "%s: %s: one below the other" % (what, name))
                    traces = {span.trace[-16:] for span in spans}
                    check(len(traces) == 1 and (headers is None or traces == {TRACE[-16:]}),
                          "%s: %s: one trace" % (what, name), traces)


def test_cgi_carried():
    """What is only passed on goes through a web server and its variables to whom the application asks."""
    for name, header in (("jaeger", "uberctx-tenant-id"), ("ottrace", "ot-baggage-tenant")):
        for what in ("uwsgi", "scgi", "fastcgi"):
            with Scene(OTEL_PROPAGATORS=name) as scene:
                came = []

                class Leaf(http.server.BaseHTTPRequestHandler):
                    def do_GET(self):
                        came.append(self.headers.get_all(header))
                        self.send_response(200)
                        self.end_headers()

                    def log_message(self, *_):
                        pass
                leaf = http.server.HTTPServer(("127.0.0.1", 0), Leaf)
                threading.Thread(target=leaf.serve_forever, daemon=True).start()
                front, _ = stage(scene) if what == "fastcgi" else uwsgi.stage(scene, what)
                status, _, _ = get(front.port, "/?n=1&call=http://127.0.0.1:%d" % leaf.server_port,
                                   {header: "a%20b", **FORMATS[name][0]})
                leaf.shutdown()
                leaf.server_close()
                equal((status, came), (200, [["a%20b"]]), "%s: %s: passed on, once" % (what, name))


main(globals())
