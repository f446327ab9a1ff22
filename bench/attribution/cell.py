# SPDX-License-Identifier: Apache-2.0
"""One cell of the benchmark: a workload, a path of it, a concurrency; played from nothing, in a
scene of its own (tests/e2e/harness.py), so that no cell has what another left."""
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../tests/e2e"), os.path.join(HERE, "..")]
import harness  # noqa: E402
import measure  # noqa: E402
import score  # noqa: E402

SERVICE = "workload"
APPS = os.path.join(HERE, "apps")
PROGRAMS = os.path.join(harness.BUILD, "bench/attribution")
MODULES = os.path.join(PROGRAMS, "node")  # what run.py --install puts there
CARRIERS = {name: os.environ[name] for name in ("BURDOCK_CARRIERS",) if name in os.environ}
SECONDS_MAX = 120  # a load that takes longer is given up, and said to have failed
WARM = "w"


class Stage(harness.Scene):
    """A scene with a backend, and the ways to start a workload in it."""

    def __init__(self, cell="", delay_us=(1000, 12000), traced=True):
        super().__init__(APP_CELL=cell, **CARRIERS)
        self.traced = traced
        self.port = harness.free_port()
        self.back = SimpleNamespace(**{name: harness.free_port()
                                       for name in ("http", "slow", "resp", "pg", "nobody")})
        self.log = self.path("backend.log")
        self.backend = super().start(
            [os.path.join(PROGRAMS, "backend"), self.log, *map(str, delay_us), str(self.back.http),
             str(self.back.slow), str(self.back.resp), str(self.back.pg)], "backend", False,
            self.back.pg)
        self.environment.update(
            APP_PORT=str(self.port), BACK_HTTP=str(self.back.http), BACK_RESP=str(self.back.resp),
            BACK_PG=str(self.back.pg), APP_MODULES=MODULES)

    def start(self, command, service=SERVICE, traced=True, port=None, **more):
        return super().start(command, service, traced and self.traced, port, **more)

    def serve(self, command, **more):
        """Starts the workload itself; it listens on the stage's port."""
        return self.start(command, port=self.port, **more)

    def program(self, name):
        return self.serve([os.path.join(PROGRAMS, name)])

    def load(self, concurrency, requests, letter, path):
        done = subprocess.run([os.path.join(PROGRAMS, "load"), str(self.port), str(concurrency),
                               str(requests), letter, path, str(SECONDS_MAX)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError("load: " + done.stderr)
        return json.loads(done.stdout)

    def settle(self, quiet=0.25, timeout=20):
        """Waits until nothing is exported any more and what was recorded has been."""
        last, since, deadline = None, time.monotonic(), time.monotonic() + timeout
        while time.monotonic() < deadline:
            rings = self.rings_left()
            now = [(ring.pid, ring.counters.get("spans.recorded"),
                    ring.counters.get("spans.exported")) for ring in rings]
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > quiet and all(ring.is_empty for ring in rings):
                return
            time.sleep(0.05)

    def counters(self):
        total = {}
        for ring in self.rings_left():
            for name, count in ring.counters.items():
                total[name] = total.get(name, 0) + count
        return total

    def recover(self):
        """The next process of a service sends what is left in the rings of those that were killed."""
        if self.rings_left():
            self.run([harness.PYTHON, "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1"
                      ":%d/').read()" % self.back.http], SERVICE)


def cpu_us(pid):
    """CPU time of a process tree, in the kernel's ticks: of threads that have ended too."""
    ticks = 0
    for each in measure.tree(pid):
        fields = measure.read("/proc/%d/stat" % each).rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def selfcheck(counters):
    """The library's own estimate of how often it is right; None as long as it has none."""
    checked = counters.get("attribution.selfcheck.checked", 0)
    return counters.get("attribution.selfcheck.right", 0) / checked if checked else None


def play(workload, cell, concurrency, requests, traced=True, delay_us=(1000, 12000),
         is_cold=False):
    """What came of a load: failures, CPU per request, latency, and if traced the score."""
    with Stage(cell, delay_us, traced) as stage:
        process = workload.start(stage)
        path = "/%s/*" % cell
        if not is_cold:
            stage.load(concurrency, min(requests, 2 * concurrency + 8), WARM, path)
        before = cpu_us(process.pid)
        load = stage.load(concurrency, requests, "u", path)
        stage.settle(timeout=2 if cell == "cron" else 20)  # that one never rests
        result = SimpleNamespace(
            load=load, cpu_us=(cpu_us(process.pid) - before) / max(1, load["answered"]),
            counters=stage.counters())
        result.selfcheck = selfcheck(result.counters)
        if process.poll() is None:
            stage.stop(process, workload.stop_signal)
        stage.stop(stage.backend, signal.SIGTERM)
        if traced:
            stage.recover()
            stage.settle(0.1)
            spans = [span for span in stage.spans() if span.service == SERVICE]
            result.counts = score.score(score.read_log(stage.log), spans, requests)
            result.said = stage.stderr(process)
        return result
