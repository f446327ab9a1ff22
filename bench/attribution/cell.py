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
import baselines  # noqa: E402
import harness  # noqa: E402
import measure  # noqa: E402
import otlp  # noqa: E402
import score  # noqa: E402

SERVICE = "workload"
APPS = os.path.join(HERE, "apps")
PROGRAMS = os.path.join(harness.BUILD, "bench/attribution")
MODULES = os.path.join(PROGRAMS, "node")  # what run.py --install puts there
SDK = os.path.join(PROGRAMS, "sdk")  # so does this virtual environment of Python's
INSTRUMENTED = {"python:aiohttp", "python:fastapi"}  # servers that the SDK makes spans of by itself
CARRIERS = {name: os.environ[name] for name in ("BURDOCK_CARRIERS",) if name in os.environ}
SECONDS_MAX = 120  # a load that takes longer is given up, and said to have failed
WARM = "w"


class Stage(harness.Scene):
    """A scene with a backend, and the ways to start a workload in it."""

    def __init__(self, cell="", delay_us=(1000, 12000), traced=True):
        super().__init__(APP_CELL=cell, **CARRIERS)
        self.traced, self.record_file, self.sdk = traced, None, None
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

    def record(self):
        """What is started from now on is seen by the recorder: baselines.py."""
        self.record_file = self.write("records", b"")
        os.truncate(self.record_file, baselines.BYTES)
        os.chmod(self.record_file, 0o666)

    def instrument(self):
        """What is started from now on has OpenTelemetry's SDK in it; its spans come to `collected`."""
        port, self.collected = harness.free_port(), self.path("collected")
        super().start([harness.PYTHON, os.path.join(harness.APPS, "collector.py"), str(port),
                       self.collected], "collector", False, port)
        self.sdk = dict(
            OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:%d" % port, OTEL_LOGS_EXPORTER="none",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_METRICS_EXPORTER="none",
            OTEL_SEMCONV_STABILITY_OPT_IN="http", OTEL_RESOURCE_ATTRIBUTES="process.pid=1",
            OTEL_BSP_MAX_QUEUE_SIZE="100000", OTEL_BSP_SCHEDULE_DELAY="200")

    def start(self, command, service=SERVICE, traced=True, port=None, **more):
        if self.sdk and service == SERVICE:
            command = [os.path.join(SDK, "bin/opentelemetry-instrument"), os.path.join(SDK, "bin/python"),
                       *command[1:]]
            more.update(self.sdk)
        if self.record_file and service == SERVICE:
            more.update(LD_PRELOAD=os.path.join(PROGRAMS, "recorder.so"),
                        RECORDER_FILE=self.record_file)
        return super().start(command, service, traced and self.traced, port, **more)

    def serve(self, command, **more):
        """Starts the workload itself; it listens on the stage's port."""
        return self.start(command, port=self.port, **more)

    def program(self, name, heap=False):
        """heap: as by burdock run --heap."""
        is_watched = heap and self.traced and not self.record_file
        more = {"LD_PRELOAD": "%s:%s" % (harness.LIBRARY, harness.HEAP)} if is_watched else {}
        return self.serve([os.path.join(PROGRAMS, name)], **more)

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


def load_bare(stage, workload, cell, concurrency, requests, seconds):
    """The same load without our library; so long what is called after the answer has."""
    process = workload.start(stage)
    path = "/%s/*" % cell
    stage.load(concurrency, min(requests, 2 * concurrency + 8), WARM, path)
    stage.load(concurrency, requests, "u", path)
    time.sleep(seconds)
    if process.poll() is None:
        stage.stop(process, workload.stop_signal)
    stage.stop(stage.backend, signal.SIGTERM)


def play_sdk(workload, cell, concurrency, requests, delay_us=(1000, 12000)):
    """Counts of the spans that the runtime's own SDK makes; None: it is not there, or not for this. Its
    spans of databases do not show the tokens."""
    if not set(workload.needs) & INSTRUMENTED or workload.cells[cell].protocol != "http" or \
            not os.path.exists(SDK + "/bin/opentelemetry-instrument"):
        return None
    with Stage(cell, delay_us, False) as stage:
        stage.instrument()
        load_bare(stage, workload, cell, concurrency, requests, 1)  # for the last batch, too
        spans = []
        with open(stage.collected, "rb") as file:
            while length := file.read(4):
                spans += otlp.spans_of_request(file.read(int.from_bytes(length, "little")))
        return score.score(score.read_log(stage.log), spans, requests)


def play_others(workload, cell, concurrency, requests, delay_us=(1000, 12000)):
    """What rules of others make of the same load: counts by their names."""
    with Stage(cell, delay_us, False) as stage:
        stage.record()
        load_bare(stage, workload, cell, concurrency, requests, 0.5)
        return baselines.score(stage.record_file, score.read_log(stage.log))
