# SPDX-License-Identifier: Apache-2.0
"""Jobs through beanstalkd: what a program puts and takes is told, and is what it is without us."""
import collections
import os
import shutil
import signal
import subprocess

from harness import (APPS, BUILD, PATH, RawServer, Scene, check, equal, free_port, is_listening, main,
                     skip, wait_until)

PYTHON = os.path.join(BUILD, ".venv/bin/python")
APP = os.path.join(APPS, "beanstalk_py.py")
COUNT = int(os.environ.get("BEANSTALKD_JOBS", "400"))


def has_client():
    return subprocess.run([PYTHON, "-c", "import greenstalk"], capture_output=True).returncode == 0


class Server:
    def __init__(self, scene, *arguments, traced=False):
        self.scene, self.port, self.traced = scene, free_port(), traced
        self.arguments = arguments
        self.start()

    def start(self):
        self.process = self.scene.start(["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port),
                                         *self.arguments], "beanstalkd", self.traced, self.port)

    def app(self, mode, *arguments):
        return [PYTHON, APP, mode, str(self.port), *map(str, arguments)]


def by(spans, operation):
    return [span for span in spans if span.attributes.get("messaging.operation.name") == operation]


def job(span):
    return int(span.attributes["messaging.message.id"])


def lines_of(output):
    return [line.split() for line in output.decode().splitlines() if line[:1].isdigit()]


def test_jobs():
    """Each job is told, with its own number, and the call that is made for it is under it."""
    if not has_client():
        return skip("jobs", "greenstalk is not there")
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        worker = scene.start(server.app("work", COUNT, "orders", back.port), "work")
        wait_until(lambda: b"ready" in scene.stdout(worker))
        done = scene.run(server.app("put", COUNT, "orders"), "put", timeout=120)
        check(done.returncode == 0, "the producer runs", done.stderr[-1000:])
        check(wait_until(lambda: worker.poll() is not None, 120) is not None, "the worker ends",
              scene.stderr(worker)[-1000:])
        sent, got = lines_of(done.stdout), lines_of(scene.stdout(worker))
        check(sent == got and len(sent) == COUNT, "bit for bit what was put, in its order")
        spans = scene.wait_spans(COUNT * 5, timeout=60)
        put, taken, worked, deleted = (by(spans, what)
                                       for what in ("put", "reserve", "process", "delete"))
        numbers = [int(line[0]) for line in sent]
        for what, those in (("put", put), ("taken", taken), ("worked on", worked),
                            ("deleted", deleted)):
            equal(sorted(map(job, those)), sorted(numbers), "each job is %s once" % what)
        equal({span.kind for span in put} | {span.kind for span in taken} |
              {span.kind for span in worked}, {"PRODUCER", "CLIENT", "CONSUMER"}, "kinds")
        equal({span.name for span in put + taken + worked + deleted},
              {what + " orders" for what in ("put", "reserve", "process", "delete")}, "names")
        own = {span.id: job(span) for span in worked}
        calls = [span for span in spans if span.service == "work" and "url.full" in span.attributes]
        equal(sorted(int(span.attributes["url.full"].rsplit("/")[-1]) for span in calls),
              sorted(numbers), "a call for each")
        equal([span.name for span in calls
               if own.get(span.parent) != int(span.attributes["url.full"].rsplit("/")[-1])], [],
              "each under its own job's span")
        equal([span.name for span in deleted if own.get(span.parent) != job(span)], [],
              "and so is its deleting")
        equal({span.parent for span in put + taken + worked}, {""}, "a job begins a trace")
        equal({span.attributes.get("error.type") for span in spans}, {None}, "and none fails")


def test_bare():
    """What a program gets is what it is without the library."""
    if not has_client():
        return skip("bare", "greenstalk is not there")
    for mode, spans in (("ways", 4 + 6 + 5 + 4), ("errors", None)):
        outputs = []
        for traced in (False, True):
            with Scene() as scene:
                server = Server(scene, *(["-z", "100"] if mode == "errors" else []))
                more = [server.process.pid] if mode == "errors" else []
                done = scene.run(server.app(mode, *more), mode, traced)
                outputs.append((done.returncode, done.stdout))
                told = scene.spans()
        check(outputs[0] == outputs[1] and outputs[0][0] == 0, mode + ": as bare",
              (outputs, done.stderr[-1000:]))
        if mode == "ways":
            equal(len(told), spans, "ways: each is told")
            check_ways(told)
        else:
            failed = collections.Counter(span.attributes.get("error.type") for span in told)
            draining = failed.pop("DRAINING")
            equal((failed[None] >= 2, failed["JOB_TOO_BIG"], draining), (True, 1, 1),
                  "errors: by the server's word")


def check_ways(spans):
    equal(collections.Counter(span.name for span in spans),
          {"put ways": 4, "reserve ways": 2, "reserve 127.0.0.1": 4, "process ways": 2,
           "process 127.0.0.1": 3, "release ways": 1, "bury ways": 1, "delete 127.0.0.1": 2},
          "ways: a tube is told if it is known")
    equal(sorted((job(span), span.attributes.get("error.type", "")) for span in
                 by(spans, "process")), [(1, ""), (1, "release"), (2, "bury"), (3, ""), (4, "")],
 "ways: what became of each job")
    equal({span.attributes.get("error.type") for span in by(spans, "reserve")}, {None},
          "ways: that nothing came is no error")


def test_both():
    """With two jobs in hand calls are roots; with one again they are not."""
    if not has_client():
        return skip("both", "greenstalk is not there")
    with Scene() as scene:
        server = Server(scene)
        back = scene.service("back", traced=False)
        done = scene.run(server.app("both", back.port), "both")
        check(done.returncode == 0, "the program runs", done.stderr[-1000:])
        spans = scene.wait_spans(5 * 4 + 5)
        own = {span.id: job(span) for span in by(spans, "process")}
        calls = {int(span.attributes["url.full"].rsplit("/")[-1]): own.get(span.parent, span.parent)
                 for span in spans if "url.full" in span.attributes}
        wrong = {number: parent for number, parent in calls.items() if parent not in ("", number)}
        equal((len(calls), wrong), (5, {}), "none is under another job")
        equal(calls[5], 5, "what is alone in hand is known")
        equal({span.parent for span in by(spans, "reserve")}, {""}, "asking for more is no work")


def test_endure():
    """A server that is killed and comes again: no job is lost or doubled that would not be bare."""
    if not has_client():
        return skip("endure", "greenstalk is not there")
    with Scene() as scene:
        os.mkdir(scene.path("wal"))
        server = Server(scene, "-b", scene.path("wal"), "-f0")
        worker = scene.start(server.app("endure", 200), "endure", stdin=subprocess.PIPE)
        for at in (50, 100, 150, 200):
            check(wait_until(lambda: b"at %d\n" % at in scene.stdout(worker), 30),
                  "the program comes to %d" % at, scene.stderr(worker)[-600:])
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            if at < 200:
                server.start()
            worker.stdin.write(b"\n")
            worker.stdin.flush()
        check(wait_until(lambda: worker.poll() is not None, 30) is not None, "and ends")
        equal(scene.stdout(worker).splitlines()[-1], b"done True", "having seen its connection end")
        spans = scene.wait_spans(4 * 200, timeout=30)
        deleted = [job(span) for span in by(spans, "delete")]
        equal((len(deleted), len(set(deleted))), (200, 200), "each job was told once")


def test_cut():
    """The connection ends in the middle of a job."""
    if not has_client():
        return skip("cut", "greenstalk is not there")
    with Scene() as scene:
        def half(connection):
            connection.recv(4096)
            connection.sendall(b"RESERVED 7 100\r\nhalf of it")
        server = RawServer(scene, half)
        scene.as_bare([PYTHON, APP, "cut", str(server.port)], "cut", spans=2)
        equal(collections.Counter(span.name for span in scene.spans()),
              {"reserve default": 1, "process default": 1}, "what came of it is told")
        equal({span.name: span.attributes.get("error.type") for span in scene.spans()}.get("process default"),
              "connection_closed", "as what was cut")


RUBY = """
require "beaneater"
b = Beaneater.new("127.0.0.1:" + ARGV[0])
tube = b.tubes["ruby"]
50.times { |i| tube.put("job %d \\r\\n\\0" % i) }
b.tubes.watch!("ruby")
50.times { job = b.tubes.reserve(5); puts job.body.inspect; job.delete }
b.close
"""

PHP = """<?php
require "/usr/share/php/Pheanstalk/autoload.php";
$p = Pheanstalk\\Pheanstalk::create("127.0.0.1", (int)$argv[1]);
$p->useTube("php");
for ($i = 0; $i < 50; $i++) $p->put("job $i \\r\\n\\0");
$p->watchOnly("php");
for ($i = 0; $i < 50; $i++) {
    $job = $p->reserveWithTimeout(5);
    echo json_encode($job->getData()), "\\n";
    $p->delete($job);
}
"""


def test_others():
    """Clients in Ruby and PHP."""
    for name, command, program, there in (
            ("ruby", ["ruby"], RUBY, "/usr/lib/ruby/vendor_ruby/beaneater.rb"),
            ("php", ["php"], PHP, "/usr/share/php/Pheanstalk/autoload.php")):
        if not os.path.exists(there) or shutil.which(name, path=PATH) is None:
            skip(name, "its client is not there")
            continue
        with Scene() as scene:
            server = Server(scene)
            script = scene.write("client", program)
            done = scene.as_bare(command + [script, str(server.port)], name, spans=200)
            equal(len(done.stdout.splitlines()), 50, name + ": each job came")
            spans = scene.spans()
            equal(collections.Counter(span.name for span in spans),
                  {"%s %s" % (what, name): 50 for what in ("put", "reserve", "process", "delete")},
                  name + ": each is told")
            equal(sorted(map(job, by(spans, "process"))), sorted(map(job, by(spans, "put"))),
                  name + ": by its number")


def test_server():
    """The server itself under the library: what it reads and sends is none of its spans."""
    if not has_client():
        return skip("server", "greenstalk is not there")
    with Scene() as scene:
        server = Server(scene, traced=True)
        done = scene.run(server.app("put", 20, "t"), "put")
        check(done.returncode == 0, "puts", done.stderr[-500:])
        equal({span.service for span in scene.wait_spans(20)}, {"put"}, "only the client's")


main(globals(), ["beanstalkd"])
