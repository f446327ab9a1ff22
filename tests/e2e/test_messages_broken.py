# SPDX-License-Identifier: Apache-2.0
"""Messages while something breaks: a broker that is killed and started again, connections that are cut
in the middle of a message, consumers that are killed with one in hand. The same programs run bare and
traced, side by side: nothing is lost or doubled for those that is not for these, payloads are whole, each
carries the context of an attempt to send it, and no span has another message's parent.

With BROKEN_LONG all systems and more messages; without, those whose brokers start at once."""
import collections
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

from harness import (APPS, BUILD, PATH, PYTHON, Scene, check, equal, free_port, is_listening, main, skip,
                     wait_until)
from rabbit import SERVER, Rabbit
from test_kafka import JARS, kafka_command

IS_LONG = os.environ.get("BROKEN_LONG")
APP = os.path.join(APPS, "endure.py")
VENV = os.path.join(BUILD, ".venv/bin/python")
COUNT = int(os.environ.get("BROKEN_MESSAGES", 600 if IS_LONG else 60))
AT = COUNT // 3  # the message that it breaks in
PATIENCE = 150
CONTEXT = re.compile(r"00-(\w{32})-(\w{16})-\w\w")


class Cutter:
    """Between clients and a broker: ends one connection in the middle of a message, when the mark
    has passed in that direction."""

    def __init__(self, mark=None, to_broker=False):
        self.mark, self.to_broker, self.target = mark, to_broker, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        with client:
            try:
                with socket.create_connection(("127.0.0.1", self.target)) as broker:
                    back = threading.Thread(target=self.pump, args=(broker, client, False), daemon=True)
                    back.start()
                    self.pump(client, broker, True)
                    back.join()
            except OSError:
                pass

    def pump(self, source, sink, to_broker):
        seen = b""
        try:
            while data := source.recv(65536):
                seen = seen[-100:] + data
                if self.mark and to_broker == self.to_broker and self.mark in seen:
                    sink.sendall(data[:len(data) - len(seen) + seen.index(self.mark) + len(self.mark)])
                    self.mark = None
                    break
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


# --- brokers: `port` is where they listen, `start` starts them again ------------------------------


class Server:
    def __init__(self, scene, cutters, *command):
        self.scene, self.port = scene, free_port()
        self.command = [part.replace("PORT", str(self.port)) for part in command]
        self.start()
        for cutter in cutters:
            cutter.target = self.port

    def start(self):
        self.process = self.scene.start(self.command, "broker", False, self.port)


def redis(scene, cutters):
    return Server(scene, cutters, "redis-server", "--port", "PORT", "--bind", "127.0.0.1", "--save", "",
                  "--appendonly", "yes", "--appendfsync", "always", "--dir", scene.directory)


def nats(scene, cutters):
    return Server(scene, cutters, "nats-server", "-a", "127.0.0.1", "-p", "PORT", "-js", "-sd",
                  scene.path("streams"))


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
        wait_until(lambda: is_listening(self.stomp), 90)


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

System = collections.namedtuple("System", "broker python module server signal send process key")
MESSAGE_ID, NAME = "messaging.message.id", "messaging.destination.name"
SYSTEMS = {
    "redis": System(redis, PYTHON, "redis", "redis-server", signal.SIGKILL, "XADD", "process", MESSAGE_ID),
    # What was acknowledged in the last tenth of a second this broker forgets when it is killed.
    "nats": System(nats, VENV, "nats", "nats-server", signal.SIGTERM, "publish", "process", NAME),
    "amqp": System(rabbit, PYTHON, "pika", SERVER, signal.SIGTERM, "publish", "consume", MESSAGE_ID),
    "stomp": System(WithStomp, PYTHON, "stomp", SERVER, signal.SIGTERM, "send", "process", None),
    "kafka": System(Kafka, VENV, "aiokafka", "java", signal.SIGKILL, "send", None, "messaging.kafka.message.key"),
}


class Side:
    """The bare or the traced one: its own queue, its own way to the broker."""

    def __init__(self, scene, system, what, traced):
        self.scene, self.system, self.traced = scene, system, traced
        self.name = "%s-%s" % (what, "traced" if traced else "bare")
        self.cutter = Cutter(b"<<%d>>" % AT if "cut" in what else None, what == "cut-sending")
        self.takers = []
        scene.servers.append(self.cutter)

    def start(self, role, number):
        python = SYSTEMS[self.system].python
        return self.scene.start([python, APP, self.system, role, str(self.cutter.port), self.name,
                                 str(number)], role, self.traced, stdin=subprocess.PIPE)

    def take(self, die_at=-1):
        self.takers.append(self.start("take", die_at))

    def lines(self, word, processes=None):
        return [line.split()[1:] for process in processes or self.takers
                for line in self.scene.stdout(process).decode().split("\n")[:-1]
                if line.startswith(word)]

    def has_all(self):
        return len({number for number, in self.lines("done") + self.lines("open")}) == COUNT

    def came(self):
        return collections.Counter(int(line[0]) for line in self.lines("came"))


def go(scene, broker, sides, what):
    for side in sides:
        side.take(AT if what == "killed" else -1)
        side.sender = side.start("send", COUNT)
    for side in sides:
        check(wait_until(lambda: side.lines("half", [side.sender]) or side.sender.poll() is not None,
                         PATIENCE) and side.sender.poll() is None, side.name + ": half of it is sent",
              scene.stderr(side.sender)[-1000:])
        side.sender.stdin.write(b"\n")
        side.sender.stdin.flush()
    if what == "restarted":
        os.killpg(broker.process.pid, SYSTEMS[sides[0].system].signal)
        broker.process.wait()
        broker.start()
    for side in sides:
        if what == "killed":
            wait_until(lambda: side.takers[0].poll() is not None, PATIENCE)
            equal(side.takers[0].poll(), -signal.SIGKILL, side.name + ": with one in hand")
            side.take()
        wait_until(lambda: side.sender.poll() is not None, PATIENCE)
        equal(side.sender.poll(), 0, side.name + ": all is sent")
        check(wait_until(side.has_all, PATIENCE), side.name + ": all has come",
              (len(side.lines("done")), scene.stderr(side.takers[-1])[-1000:]))
        scene.stop(side.takers[-1])
        equal(side.cutter.mark, None, side.name + ": what was to be cut is")


def check_came(bare, traced, what):
    equal([line for side in (bare, traced) for line in side.lines("came") if line[2] != "whole"], [],
          what + ": every payload is what was sent")
    doubled = [{number: times for number, times in side.came().items() if times > 1}
               for side in (bare, traced)]
    print("# %s: more than once: bare %s, traced %s" % (what, *doubled))
    if what.endswith("restarted"):  # one may be on its way on either side of it
        check(max(map(len, doubled)) <= 2, what + ": no more is doubled than is in flight", doubled)
    else:
        equal(doubled[1], doubled[0], what + ": what is doubled is doubled bare")


def ids_of(line):
    found = CONTEXT.fullmatch(line[3])
    return found and found.groups()


def is_of(attributes, name, value):
    return str(attributes[name]) == value if name in attributes else "error.type" in attributes


def check_spans(system, side, spans, what):
    row = SYSTEMS[system]
    equal(len({(span.trace, span.id) for span in spans}), len(spans), what + ": no span twice")
    told = {operation: [span for span in spans
                        if span.attributes.get("messaging.operation.name") == operation]
            for operation in (row.send, row.process)}
    sends = {(span.trace, span.id): span for span in told[row.send]}
    came = side.lines("came")
    equal([line for line in came if ids_of(line) not in sends], [],
          what + ": each carries the context of an attempt")
    equal(len({(line[0], ids_of(line)) for line in came}), len({ids_of(line) for line in came}),
          what + ": none that of another")
    if row.key:  # what an answer names, an attempt without its answer does not know
        equal([line for line in came if ids_of(line) in sends and
               not is_of(sends[ids_of(line)].attributes, row.key, line[1])], [], what + ": its own")
    good = [span for span in sends.values() if "error.type" not in span.attributes]
    more = {"cut-sending": 1, "restarted": 2}  # attempts that left whole
    if system == "amqp":
        more = {"restarted": 1}  # confirmed by a broker that then says that it ends
    more = more.get(what.split()[1], 0)
    check(COUNT <= len(good) <= COUNT + more,
          what + ": a span for each that was sent", (len(good), len(sends)))
    if row.process is None:
        linked = {link for span in spans for link in span.links}
        check(linked <= set(sends), what + ": fetches are linked to what was sent")
        return
    contexts = collections.defaultdict(set)  # one that was sent again has several
    for line in came:
        contexts[line[1]].add(ids_of(line))
    key = row.key or MESSAGE_ID
    whole = [span for span in told[row.process] if "error.type" not in span.attributes]
    equal([span for span in told[row.process] if span.attributes.get(key) in contexts and
           (span.trace, span.parent) not in contexts[span.attributes[key]]], [],
          what + ": each is worked on under its own sending")
    times = collections.Counter(span.attributes.get(key) for span in whole)
    most = collections.Counter(line[1] for line in came)
    equal({one: count for one, count in times.items() if count > most[one]},
          {next(line[1] for line in came if line[0] == str(AT)): 2} if "cut-taking" in what and
          sum(times.values()) > COUNT else {}, what + ": none twice but what was cut")
    check(sum(most.values()) - len(whole) <= {"killed": 1, "restarted": 2}.get(what.split()[1], 0),
          what + ": all that came is told", (len(whole), len(came)))


def broken(system, what):
    with Scene(BURDOCK_REDIS_STREAMS="1") as scene:
        sides = [Side(scene, system, what, traced) for traced in (False, True)]
        broker = SYSTEMS[system].broker(scene, [side.cutter for side in sides])
        go(scene, broker, sides, what)
        name = "%s %s" % (system, what)
        check_came(*sides, name)
        scene.wait_spans(2 * COUNT if SYSTEMS[system].process else COUNT)
        check_spans(system, sides[1], scene.spans(), name)


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
        for what in ("cut-sending", "cut-taking", "killed", "restarted"):
            broken(system, what)
    return case


for _system in SYSTEMS if IS_LONG else ("redis", "nats"):
    globals()["test_" + _system] = cases_of(_system)

main(globals())
