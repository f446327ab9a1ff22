# SPDX-License-Identifier: Apache-2.0
"""Messages that RabbitMQ gives back, transactions, and what it refuses: each code on the span of what it is about."""
import collections
import os

from harness import APPS, PYTHON, Scene, equal, main, skip
from rabbit import SERVER, Rabbit
from test_amqp import OWN, WORKER, clear, of_messages, start_redis

APP = [PYTHON, os.path.join(APPS, "amqp_refusals.py")]


def errors_of(spans):
    return collections.Counter((span.name, span.kind, span.attributes.get("error.type")) for span in spans)


def play(scene, rabbit, role, count, *arguments):
    """Bare and traced: what the broker says is the same. Its spans in their order."""
    came = [scene.run([*APP, role, str(rabbit.port), *map(str, arguments)], role, traced=traced)
            for traced in (False, True)]
    equal([(done.returncode, done.stdout, done.stderr) for done in came[1:]], [(0, came[0].stdout, b"")],
          role + ": as bare")
    spans = sorted(scene.wait_spans(count), key=lambda span: span.start)
    clear(scene)
    return came[0].stdout.decode().splitlines(), spans


def test_returns(scene, rabbit):
    lines, spans = play(scene, rabbit, "returns", 13)
    equal(lines[1:], ["returned 0 b'confirmed-0'", "confirmed 1", "returned 2 b'confirmed-2'", "confirmed 3",
                      "returned own"], "returns: what the program hears")
    by_id = {span.id: span for span in spans}
    returns = of_messages(spans, "return")
    equal(errors_of(returns), {("return nowhere", "CLIENT", "312"): 3}, "returns: what nobody waited for")
    equal({by_id[span.parent].attributes["messaging.message.id"] if span.parent in by_id else span.parent
           for span in returns}, {"open-0", "open-2", OWN.split("-")[2]}, "returns: each under its own sending")
    equal({span.trace == by_id[span.parent].trace for span in returns if span.parent in by_id}, {True},
          "returns: in its trace")
    sent = {span.attributes["messaging.message.id"]: span.attributes.get("error.type")
            for span in of_messages(spans, "publish")}
    equal({name for name in sent if sent[name] is not None}, {"confirmed-0", "confirmed-2", "confirmed-own"},
          "returns: what was to be confirmed says it itself")
    equal(set(sent.values()), {None, "312"}, "returns: by the broker's code")
    lines, spans = play(scene, rabbit, "many", 60)
    equal(lines, ["20"], "many: every third comes back")
    equal({span.attributes["messaging.message.id"] for span in spans if "error.type" in span.attributes},
          {"many-%d" % number for number in range(0, 60, 3)}, "many: each on its own span")
    equal(len(spans), 60, "many: and on no other")


def test_transactions(scene, rabbit):
    lines, spans = play(scene, rabbit, "transactions", 32, start_redis(scene))
    equal(lines, ["tx-0 False", "tx-1 False", "tx-2 False", "tx-1 True", "tx-2 True", "None"],
          "transactions: what comes again")
    equal(errors_of(of_messages(spans)), {
        ("publish work", "PRODUCER", None): 4, ("commit 127.0.0.1", "CLIENT", None): 3,
        ("rollback 127.0.0.1", "CLIENT", None): 3, ("get work", "CLIENT", None): 6,
        ("consume work", "CONSUMER", None): 3, ("ack work", "CLIENT", None): 3,
        ("consume work", "CONSUMER", "recover"): 2, ("recover work", "CLIENT", "recover"): 2},
        "transactions: their ends, and what was settled")
    consumed = {span.id: span for span in of_messages(spans, "consume")}
    settled = of_messages(spans, "ack") + of_messages(spans, "recover")
    equal(collections.Counter(span.parent for span in settled), collections.Counter(list(consumed)),
          "transactions: each message once")
    equal([span.name for span in settled if span.start != consumed[span.parent].end], [],
          "transactions: it was over when it was said to be")
    calls = [span for span in spans if "db.system.name" in span.attributes]
    equal([span.attributes["db.query.text"] for span in calls if "m:" + consumed[span.parent].attributes[
        "messaging.message.id"] not in span.attributes["db.query.text"]], [], "transactions: calls under their own")
    equal(len(calls), 5, "transactions: all of them")


def test_refusals(scene, rabbit):
    lines, spans = play(scene, rabbit, "refusals", 9)
    equal([line for line in lines if not line.startswith("publish")],
          ["get 404", "get locked 405", "consume 404", "consume locked 405", "consume well went", "confirmed 404",
           "ack 406", "declare 406"], "refusals: what the program hears")
    equal([(span.name, span.attributes.get("error.type"), span.parent) for span in of_messages(spans)],
          [("get missing", "404", ""), ("get locked", "405", ""), ("consume missing", "404", ""),
           ("consume locked", "405", ""), ("publish missing:key", None, ""), ("close 127.0.0.1", "404", ""),
           ("publish missing:key", "404", ""), ("close 127.0.0.1", "406", ""), ("close 127.0.0.1", "406", "")],
          "refusals: each where it belongs")


def test_forks(scene, rabbit):
    """A child of a message's waits for its own connection to the broker, and stays at the message; what it
    gets there is what it works on."""
    count, redis = 10, start_redis(scene)
    for how in "sends", "works":
        done = scene.run([*WORKER, "publish", str(rabbit.port), str(count)], "publish")
        equal(done.returncode, 0, how + ": messages are there")
        done = scene.run([PYTHON, os.path.join(APPS, "amqp_forks.py"), str(rabbit.port), str(count), str(redis), how],
                         how)
        equal((done.returncode, done.stderr), (0, b""), how + ": it ends well")
        spans = scene.wait_spans(count * (9 if how == "sends" else 10))
        by_id = {span.id: span for span in spans}
        calls = [span for span in spans if "db.system.name" in span.attributes]
        equal(len(calls), count * (4 if how == "sends" else 3), how + ": its calls are told")
        equal([(span.attributes["db.query.text"], span.parent) for span in calls if span.parent not in by_id or
               "m:" + by_id[span.parent].attributes["messaging.message.id"] not in span.attributes["db.query.text"]],
              [], how + ": each under its own message")
        equal(collections.Counter(by_id[span.parent].name for span in calls),
              {"consume work": 4 * count} if how == "sends" else {"consume work": count, "consume more": 2 * count},
              how + ": of the queue that it is at")
        more = [span for span in of_messages(spans) if span.name == {"sends": "publish more",
                                                                    "works": "consume more"}[how]]
        equal(len(more), 2 * count, how + ": so many of the others")
        if how == "sends":
            equal([span.name for span in more if by_id[span.parent].name != "consume work" or by_id[
                span.parent].attributes["messaging.message.id"] != span.attributes["messaging.message.id"]], [],
                how + ": under the message that sends them")
        clear(scene)


def test_amqp_refusals():
    with Scene() as scene:
        if scene.run([PYTHON, "-c", "import pika"], traced=False).returncode:
            return skip("what RabbitMQ refuses", "python3-pika is not installed")
        rabbit = Rabbit(scene)
        for part in test_returns, test_transactions, test_refusals, test_forks:
            part(scene, rabbit)


scope = {"test_amqp_refusals": test_amqp_refusals}
if __name__ == "__main__":
    main(scope, needs=[SERVER])
