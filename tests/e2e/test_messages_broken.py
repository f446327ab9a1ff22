# SPDX-License-Identifier: Apache-2.0
"""Messages while something breaks: a broker that is killed and started again, connections that are cut
in the middle of a message, consumers that are killed with one in hand. The same programs run bare and
traced, side by side: nothing is lost or doubled for those that is not for these, payloads are whole, each
carries the context of an attempt to send it, and no span has another message's parent.

With BROKEN_LONG all systems and more messages; without, those whose brokers start at once."""
import collections
import contextlib
import glob
import os
import re
import shutil
import signal
import sqlite3
import subprocess

from cutter import Cutter
from harness import (APPS, BUILD, PATH, PYTHON, RawServer, Scene, check, equal, free_port, is_listening,
                     main, skip, wait_until)
from rabbit import SERVER, Rabbit
from test_kafka import JARS, kafka_command

IS_LONG = os.environ.get("BROKEN_LONG")
APP = os.path.join(APPS, "endure.py")
VENV = os.path.join(BUILD, ".venv/bin/python")
COUNT = int(os.environ.get("BROKEN_MESSAGES", 10000 if IS_LONG else 60))
WHAT = ("all",) if IS_LONG else ("cut-sending", "cut-taking", "killed", "restarted")
PATIENCE = 150 + COUNT // 10
CALL = re.compile(r"AS n(\d+)")
CONTEXT = re.compile(r"00-(\w{32})-(\w{16})-\w\w")


# What breaks: numbers of messages. Those that are cut on their way to the broker, or from it; those that
# a consumer is killed with; those after which the broker is ended and started again.
Plan = collections.namedtuple("Plan", "sending taking kills restarts", defaults=[[]] * 4)


def plan_of(what):
    if what != "all":
        one, half = [COUNT // 3], [COUNT // 2]
        return Plan(**{"cut-sending": {"sending": one}, "cut-taking": {"taking": one},
                       "killed": {"kills": one}, "restarted": {"restarts": half}}[what])
    step, times = COUNT // 10, range(9)
    return Plan(*([step * i + step * part // 5 + i for i in times] for part in (1, 2, 3)),
                restarts=[step * i for i in (3, 6, 8)])


def cuts_of(numbers):
    """Behind the middle, in it, and before it, in the head."""
    return [(b"<<%d>>" % number, (0, -200, 40)[i % 3]) for i, number in enumerate(numbers)]


# --- brokers: `port` is where they listen, `start` starts them again ------------------------------


class Server:
    def __init__(self, scene, cutters, *command, port=None):
        self.scene, self.port = scene, port or free_port()
        self.command = [part.replace("PORT", str(self.port)) for part in command]
        self.start()
        for cutter in cutters:
            cutter.target = self.port

    def start(self):
        self.process = self.scene.start(self.command, "broker", False)
        wait_until(lambda: is_listening(self.port) or self.process.poll() is not None, 240)
        if not is_listening(self.port):
            raise RuntimeError("no broker: %r" % self.scene.stderr(self.process))


def redis(scene, cutters):
    return Server(scene, cutters, "redis-server", "--port", "PORT", "--bind", "127.0.0.1", "--save", "",
                  "--appendonly", "yes", "--appendfsync", "always", "--dir", scene.directory)


def nats(scene, cutters):
    return Server(scene, cutters, "nats-server", "-a", "127.0.0.1", "-p", "PORT", "-js", "-sd",
                  scene.path("streams"))


def mosquitto(scene, cutters):
    port = free_port()
    config = scene.write("mosquitto.conf", """user root
listener %d 127.0.0.1
allow_anonymous true
max_queued_messages 100000
persistence true
persistence_location %s/
""" % (port, scene.directory))
    return Server(scene, cutters, "mosquitto", "-c", config, port=port)


def rabbit(scene, cutters):
    broker = Rabbit(scene)
    for cutter in cutters:
        cutter.target = broker.port
    return broker


class WithStomp(Rabbit):
    def __init__(self, scene, cutters):
        self.stomp = free_port()
        super().__init__(scene, ["rabbitmq_stomp"], "stomp.listeners.tcp.1 = 127.0.0.1:%d\n" % self.stomp)
        for cutter in cutters:
            cutter.target = self.stomp

    def start(self):
        super().start()
        wait_until(lambda: is_listening(self.stomp), 240)


class Kafka(Server):
    """It tells its clients to come by the cutters."""

    def __init__(self, scene, cutters):
        places = [("BARE", cutters[0]), ("TRACED", cutters[1])]
        for _, cutter in places:
            cutter.target = free_port()
        self.scene, self.port = scene, free_port()
        more = "listeners=CONTROLLER://127.0.0.1:%(inner)d,PLAINTEXT://127.0.0.1:%(port)d," + ",".join(
            "%s://127.0.0.1:%d" % (name, cutter.target) for name, cutter in places)
        more += "\nadvertised.listeners=PLAINTEXT://127.0.0.1:%(port)d," + ",".join(
            "%s://127.0.0.1:%d" % (name, cutter.port) for name, cutter in places)
        more += "\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT," + \
            "BARE:PLAINTEXT,TRACED:PLAINTEXT\n"
        self.command = kafka_command(scene, self.port, more)
        self.start()


# --- what is known of a message ---------------------------------------------------------------------

# roots: which part of the calls made for messages may be roots, since it is not known whose they are.
System = collections.namedtuple("System", "broker python module server signal send process key roots")
MESSAGE_ID, NAME = "messaging.message.id", "messaging.destination.name"
SYSTEMS = {
    "redis": System(redis, PYTHON, "redis", "redis-server", signal.SIGKILL, "XADD", "process", MESSAGE_ID, 0),
    # What was acknowledged in the last tenth of a second this broker forgets when it is killed.
    "nats": System(nats, VENV, "nats", "nats-server", signal.SIGTERM, "publish", "process", NAME, 1),
    # It keeps what it has when it is asked to end.
    "mqtt": System(mosquitto, PYTHON, "paho.mqtt.client", "mosquitto", signal.SIGTERM, "publish", "process",
                   NAME, 0),
    "amqp": System(rabbit, PYTHON, "pika", SERVER, signal.SIGTERM, "publish", "consume", MESSAGE_ID, 0),
    # It reads on a thread of its own.
    "stomp": System(WithStomp, PYTHON, "stomp", SERVER, signal.SIGTERM, "send", "process", None, 0.5),
    "kafka": System(Kafka, VENV, "aiokafka", "java", signal.SIGKILL, "send", "fetch",
                    "messaging.kafka.message.key", 1),
}


class Side:
    """The bare or the traced one: its own queue, its own way to the broker."""

    def __init__(self, scene, system, what, traced):
        self.scene, self.system, self.traced = scene, system, traced
        self.name = "%s-%s" % (what, "traced" if traced else "bare")
        self.plan = plan_of(what)
        self.cutter = Cutter(cuts_of(self.plan.sending), cuts_of(self.plan.taking))
        self.takers = []
        scene.servers.append(self.cutter)

    def start(self, role, *numbers):
        python = SYSTEMS[self.system].python
        return self.scene.start([python, APP, self.system, role, str(self.cutter.port), self.name,
                                 *map(str, numbers)], role, self.traced, stdin=subprocess.PIPE)

    def begin(self):
        self.tend()
        wait_until(lambda: self.lines("ready"), PATIENCE)  # brokers of MQTT keep what somebody wants
        self.sender = self.start("send", COUNT, *self.plan.restarts)

    def tend(self):
        """There is a consumer, unless one has ended otherwise than it was to."""
        if not self.takers or self.takers[-1].poll() == -signal.SIGKILL:
            die_at = [*self.plan.kills, -1][len(self.takers):][:1]
            self.takers += [self.start("take", number) for number in die_at]

    def lines(self, word, processes=None):
        return [line.split()[1:] for process in processes or self.takers
                for line in self.scene.stdout(process).decode().split("\n")[:-1]
                if line.startswith(word)]

    def has_come_to(self, number):
        return ["%d" % number] in self.lines("at", [self.sender]) or self.sender.poll() is not None

    def has_all(self):
        self.tend()
        return self.sender.poll() is not None and (self.sender.poll() != 0 or len(
            {number for number, in self.lines("done") + self.lines("open")}) == COUNT)

    def came(self):
        return collections.Counter(int(line[0]) for line in self.lines("came"))

    def worked(self):
        with contextlib.closing(sqlite3.connect(self.scene.path(self.name + ".db"))) as base:
            return collections.Counter(number for number, in base.execute("SELECT number FROM worked"))


def restart(scene, broker, sides, number):
    def have_come():
        for side in sides:
            side.tend()
        return all(side.has_come_to(number) for side in sides)
    check(wait_until(have_come, PATIENCE, 0.1), "%s: %d are sent" % (sides[0].name, number),
          [scene.stderr(side.sender)[-1000:] for side in sides])
    for side in sides:
        side.sender.stdin.write(b"\n")
        side.sender.stdin.flush()
    os.killpg(broker.process.pid, SYSTEMS[sides[0].system].signal)
    broker.process.wait()
    broker.start()


def go(scene, broker, sides, plan):
    for side in sides:
        side.begin()
    for number in plan.restarts:
        restart(scene, broker, sides, number)
    wait_until(lambda: all([side.has_all() for side in sides]), PATIENCE, 0.2)
    for side in sides:
        equal(side.sender.poll(), 0, side.name + ": all is sent")
        check(side.has_all(), side.name + ": all has come",
              (len(side.lines("done")), scene.stderr(side.takers[-1])[-1000:]))
        equal([taker.poll() for taker in side.takers], [-signal.SIGKILL] * len(plan.kills) + [None],
              side.name + ": consumers end where they are killed")
        scene.stop(side.takers[-1])
        equal(sum(map(len, side.cutter.left.values())), 0, side.name + ": what was to be cut is")


def check_came(bare, traced, plan, what):
    for side in (bare, traced):
        equal([line for line in side.lines("came") if line[2] != "whole"], [],
              side.name + ": every payload is what was sent")
        equal(set(side.came()), set(range(COUNT)), side.name + ": none is lost")
        equal(side.worked(), side.came(), side.name + ": each is in the database as often as it came")
    doubled = [{number: times for number, times in side.came().items() if times > 1}
               for side in (bare, traced)]
    print("# %s: more than once: bare %s, traced %s; without an answer to their acknowledgement: %s" % (
        what, *doubled, [[int(number) for number, in side.lines("open")] for side in (bare, traced)]))
    if not plan.restarts:
        equal(doubled[1], doubled[0], what + ": what is doubled is doubled bare")
    for side, those in zip((bare, traced), doubled):  # one may be on its way on either side of the broker
        others = set(those) - set(plan.kills)
        check(len(others) <= 2 * len(plan.restarts) + len(plan.sending + plan.taking),
              side.name + ": no more is doubled than is in flight", others)


def ids_of(line):
    found = CONTEXT.fullmatch(line[3])
    return found and found.groups()


def is_of(attributes, name, value):
    return str(attributes[name]) == value if name in attributes else "error.type" in attributes


def check_sent(system, came, sends, plan, what):
    """Each message has the context of an attempt to send it, and no other has that."""
    row = SYSTEMS[system]
    equal([line for line in came if ids_of(line) not in sends], [],
          what + ": each carries the context of an attempt")
    equal(len({(line[0], ids_of(line)) for line in came}), len({ids_of(line) for line in came}),
          what + ": none that of another")
    if row.key:  # what an answer names, an attempt without its answer does not know
        equal([line for line in came if ids_of(line) in sends and
               not is_of(sends[ids_of(line)].attributes, row.key, line[1])], [], what + ": its own")
    good = [span for span in sends.values() if "error.type" not in span.attributes]
    print("# %s: %d attempts, %d with an error" % (what, len(sends), len(sends) - len(good)))
    # Attempts that left whole, or were confirmed by a broker that then says that it ends.
    more = len(plan.sending) + 2 * len(plan.restarts)
    check(COUNT <= len(good) <= COUNT + more, what + ": a span for each that was sent",
          (len(good), len(sends)))


def check_worked(row, came, told, sends, plan, what):
    """Each is worked on under its own sending."""
    contexts = collections.defaultdict(set)  # one that was sent again has several
    for line in came:
        contexts[line[1]].add(ids_of(line))
    key = row.key or MESSAGE_ID
    equal([span for span in told if (span.trace, span.parent) not in
           contexts.get(span.attributes.get(key), sends)], [],
          what + ": each is worked on under its own sending")
    whole = [span for span in told if "error.type" not in span.attributes]
    equal([(span.links, span.parent) for span in whole
           if span.links != [(span.trace, span.parent)]], [],
          what + ": and linked to that alone")
    times = collections.Counter(span.attributes.get(key) for span in whole)
    most = collections.Counter(line[1] for line in came)
    cut = {line[1] for line in came if int(line[0]) in plan.taking}
    more = [one for one, count in times.items() if count > most[one] + (one in cut)]
    check(len(more) <= 2 * len(plan.restarts), what + ": none twice but what was cut, or on its way", more)
    if not plan.restarts:
        equal(collections.Counter(span.kind for span in told
                                  if span.attributes.get("error.type") == "process_died"),
              {"CONSUMER": len(plan.kills)} if plan.kills else {}, what + ": and those of the dead")
    missing = sum((most - times).values())
    print("# %s: %d came, %d told, %d of them with an error" % (
        what, len(came), len(told), len(told) - len(whole)))
    check(missing <= len(plan.kills) + 2 * len(plan.restarts), what + ": all that came is told", missing)


def check_fetched(came, spans, sends, what):
    """Fetches know no message: what they brought they are linked to."""
    links = collections.Counter(link for span in spans for link in span.links)
    equal(set(links) - set(sends), set(), what + ": fetches are linked to what was sent")
    missing = {ids_of(line) for line in came} - set(links)
    dropped = sum(span.links_dropped for span in spans)
    print("# %s: %d fetches, %d have no link for lack of room" % (what, len(spans), len(missing)))
    check(len(missing) <= dropped, what + ": to each that came, but for those too many for one span",
          (len(missing), dropped))
    equal([span.attributes for span in spans if len(span.links) + span.links_dropped !=
           span.attributes.get("messaging.batch.message_count", 1) and
           "error.type" not in span.attributes and span.kind == "CLIENT"], [],
          what + ": to as many as they brought")


def check_calls(row, came, spans, plan, what):
    """The statement for each message is in that one's trace, or a root. At what breaks a message of the
    connection before may be in hand as well."""
    traces = collections.defaultdict(set)
    for line in came:
        traces[line[0]].add(ids_of(line)[0])
    calls = [(CALL.search(span.attributes.get("db.query.text", "")), span) for span in spans]
    calls = [(found[1], span) for found, span in calls if found]
    equal(collections.Counter(number for number, _ in calls),
          collections.Counter(line[0] for line in came), what + ": each statement is told")
    roots = [span for _, span in calls if not span.parent]
    equal([(number, span.trace) for number, span in calls
           if span.parent and span.trace not in traces[number]], [],
          what + ": none is under another message")
    print("# %s: %d of %d statements are roots" % (what, len(roots), len(calls)))
    check(len(roots) <= len(calls) * row.roots + sum(map(len, plan)),
          what + ": no more of them than it has to be")


def check_spans(system, side, spans, plan, what):
    row, came = SYSTEMS[system], side.lines("came")
    equal(len({(span.trace, span.id) for span in spans}), len(spans), what + ": no span twice")
    told = {operation: [span for span in spans
                        if span.attributes.get("messaging.operation.name") == operation]
            for operation in (row.send, row.process)}
    sends = {(span.trace, span.id): span for span in told[row.send]}
    equal([span.attributes for span in told[row.send] if span.service != "send"], [],
          what + ": consumers send nothing")
    check_sent(system, came, sends, plan, what)
    check_calls(row, came, spans, plan, what)
    if row.process == "fetch":
        check_fetched(came, told["fetch"], sends, what)
    else:
        check_worked(row, came, told[row.process], sends, plan, what)


def broken(system, what):
    with Scene(BURDOCK_REDIS_STREAMS="1") as scene:
        sides = [Side(scene, system, what, traced) for traced in (False, True)]
        broker = SYSTEMS[system].broker(scene, [side.cutter for side in sides])
        plan, name = sides[0].plan, "%s %s" % (system, what)
        go(scene, broker, sides, plan)
        check_came(*sides, plan, name)
        scene.wait_spans(3 * COUNT if SYSTEMS[system].process != "fetch" else 2 * COUNT)
        check_spans(system, sides[1], scene.spans(), plan, name)


def has(system):
    row = SYSTEMS[system]
    found = shutil.which(row.server, path=PATH) and os.path.exists(row.python) and (
        system != "kafka" or glob.glob(JARS + "/kafka_*.jar")) and \
        subprocess.run([row.python, "-c", "import " + row.module], capture_output=True).returncode == 0
    if not found:
        skip(system, "its broker or client is not installed")
    return found


def cases_of(system):
    def case():
        if not has(system):
            return
        for what in WHAT:
            broken(system, what)
    return case


# What a client says, what the broker answers, and a message that is not whole when the broker goes.
HALVES = {
    "nats": (b'CONNECT {"headers":true}\r\n', b'INFO {"headers":true,"max_payload":1000}\r\n',
             b"PUB a 100\r\nhalf"),
    "stomp": (b"CONNECT\naccept-version:1.2\n\n\0", b"CONNECTED\nversion:1.2\n\n\0",
              b"SEND\ndestination:a\n\nhalf"),
    "mqtt": (b"\x10\x0d\0\x04MQTT\x04\x02\0<\0\x01c", b"\x20\x02\0\0", b"\x30\x40\0\x01ahalf"),
    "amqp": (b"AMQP\0\0\x09\x01", b"\x01", b"\x01\0\x01\0\0\0\x0a\0<\0(\0\0\0\x01a\0\xce"
             b"\x02\0\x01\0\0\0\x0e\0<\0\0\0\0\0\0\0\0\0\x05\0\0\xce\x03\0\x01\0\0\0\x05ha"),
    "redis": (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", b"*5\r\n$4\r\nXADD\r\n$1\r\na\r\n$1\r\n*\r\n$1\r\nb\r\n$5\r\nha"),
}
HALF = """import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as broker:
    broker.sendall(%r)
    broker.recv(1000)
    broker.sendall(%r)
    while broker.recv(1000):
        pass
"""


def test_half():
    """The broker goes while a message that wants no answer is being sent: that one is an error. A command
    of Redis that is not whole is none."""
    for system, (hello, answer, half) in HALVES.items():
        with Scene() as scene:
            def serve(connection):
                connection.recv(1000)
                connection.sendall(answer)
                connection.recv(1000)
            done = scene.run([PYTHON, "-c", HALF % (hello, half), str(RawServer(scene, serve).port)], "half")
            equal((done.returncode, done.stderr), (0, b""), system + ": the client sees it go")
            equal([(span.kind, span.attributes.get("messaging.destination.name"),
                    span.attributes.get("error.type")) for span in scene.spans() if span.name != "PING"],
                  [("PRODUCER", "a", "connection_closed")] if system != "redis" else [],
                  system + ": what it was sending says so")


for _system in SYSTEMS if IS_LONG else ("redis", "nats", "mqtt"):
    globals()["test_" + _system] = cases_of(_system)

main(globals())
