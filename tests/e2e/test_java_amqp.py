# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ's Java client, which reads messages by one thread and works on them by a pool: what is done for each
message is under its own span."""
import os

from harness import APPS, PATH, PYTHON, Scene, check, equal, free_port, main, skip
from rabbit import SERVER, Rabbit
from test_java import FLAGS, JARS, MACHINES, compiles

APP = os.path.join(APPS, "RabbitTasks.java")
CLIENTS = os.environ.get("AMQP_CLIENTS", JARS + "amqp-client.jar").split(":")
OTHERS = [JARS + "slf4j-api.jar"]
COUNT = 100
# How a message is worked on, with so many in hand (10 where no number is); and in how many calls.
WAYS = {"each1": 2, "each10": 2, "each100": 2, "early10": 2, "auto": 2, "nack": 3, "throws": 2, "pool": 2,
        "thread": 2, "many": 2}


def run(scene, java, jar, *arguments, **more):
    path = ":".join([jar, *OTHERS])
    return scene.start([java, *FLAGS, "-cp", path, APP, *map(str, arguments)], "worker", **more)


def finish(scene, process):
    """What it says of its ways: how many messages are left."""
    equal(process.wait(180), 0, "it ends")
    return [line for line in scene.stdout(process).decode().splitlines()]


def judge(spans, calls_of):
    """For each way the calls under their own message's span, without a parent, and strangers."""
    messages = {span.id: span for span in spans if span.kind == "CONSUMER"}
    found = {way: [0, 0, 0] for way in calls_of}
    for span in spans:
        if span.kind != "CLIENT" or "-" not in span.attributes.get("url.full", ""):
            continue
        name = span.attributes["url.full"].rpartition("/")[2].split(".")[0]
        message = messages.get(span.parent)
        is_own = message is not None and message.attributes.get("messaging.message.id") == name
        found[name.split("-")[0]][0 if is_own else 2 if span.parent else 1] += 1
    return found


def play(java, jar, count=COUNT, ways=WAYS, **more):
    with Scene(**more) as scene:
        rabbit, back = Rabbit(scene), free_port()
        scene.start([PYTHON, os.path.join(APPS, "aio_backend.py"), str(back)], traced=False, port=back)
        said = finish(scene, run(scene, java, jar, "publish", rabbit.port, count, *ways, traced=False))
        equal(said, ["done"], "all is published")
        process = run(scene, java, jar, "consume", rabbit.port, count, back, *ways)
        equal(finish(scene, process), [way + " 0" for way in ways] + ["done"], "each message is worked on")
        check(b"urdock" not in scene.stderr(process), "nothing is said", scene.stderr(process)[-2000:])
        expected = count * sum(ways.values())
        scene.wait_spans(expected, lambda span: span.kind == "CLIENT" and "url.full" in span.attributes)
        return judge(scene.spans(), ways)


def test_consumers():
    """Every call of a message's, on every JDK."""
    for java in MACHINES:
        for jar in CLIENTS:
            if not compiles(java) or not os.path.exists(jar) or not os.path.exists(SERVER):
                skip("RabbitMQ's client: " + java, "no JDK, no client or no broker")
                continue
            for way, (right, roots, strange) in play(java, jar, BURDOCK_CARRIERS="java").items():
                print("# %s, %s: %d right, %d roots, %d strangers" % (jar, way, right, roots, strange))
                what = "%s, %s: " % (java, way)
                equal(strange, 0, what + "no call is a stranger's")
                equal(right + roots, COUNT * WAYS[way], what + "all are told")
                check(roots <= (COUNT if way == "thread" else 0), what + "each is its own message's", roots)


def test_later():
    """A program that serves before it has a channel: the client's classes are changed when they are there."""
    java = MACHINES[0] if MACHINES else None
    if java is None or not compiles(java) or not os.path.exists(CLIENTS[0]) or not os.path.exists(SERVER):
        return skip("RabbitMQ's client, later", "no JDK, no client or no broker")
    right, roots, strange = play(java, CLIENTS[0], ways={"later": 2}, BURDOCK_CARRIERS="java")["later"]
    equal((right, roots, strange), (COUNT * 2, 0, 0), "each call is its own message's")


if __name__ == "__main__":
    main(globals())
