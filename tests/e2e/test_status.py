# SPDX-License-Identifier: Apache-2.0
"""burdock status as a probe asks it, and burdock metrics as Prometheus scrapes it."""
import json
import os
import re
import signal
import subprocess

import harness
from harness import BUILD, Scene, check, equal, get, load, main, wait_until

if harness.otlp:
    from otlp import Collector, accept, refuse

COMMAND = os.path.join(BUILD, "cli/burdock")
SCRAPED = {"OTEL_METRICS_EXPORTER": "prometheus"}


def burdock(scene, *words):
    return subprocess.run([COMMAND, *map(str, words)], capture_output=True, timeout=60,
                          env=scene.env(traced=False))


def status(scene, pid):
    """(exit status, what it says)"""
    done = burdock(scene, "status", "--json", pid)
    return done.returncode, json.loads(done.stdout)


def test_healthy():
    with Scene() as scene:
        app = scene.service("app")
        code, said = status(scene, app.pid)
        equal((code, said["status"], said["reasons"]),
              (0, "healthy", ["nothing that is traced has happened yet"]), "before any request")
        load(app.port, 50, 4)
        wait_until(lambda: status(scene, app.pid)[1].get("counters", {}).get("spans.exported") == 50)
        code, said = status(scene, app.pid)
        equal((code, said["v"], said["pid"], said["status"], said["reasons"], said["service"],
               said["troubled_s_ago"], said["counters"]["spans.recorded"]),
              (0, 1, app.pid, "healthy", [], "app", None, 50), "and when all has arrived")
        check(0 <= said["exported_s_ago"] < 20 and said["ring_used_max_bytes"] > 0,
              "with its last success, and how full the rings were", said)
        done = burdock(scene, "status", app.pid)
        first, connections = done.stdout.splitlines()
        equal((done.returncode, first),
              (0, b"healthy  50 spans recorded, 50 exported, 0 dropped"), "for people")
        check(re.fullmatch(rb"  http, as server: [0-4] connections open of [1-4]", connections),
              "with the connections by protocol", connections)
        scene.stop(app)


def test_degraded():
    with Scene() as scene:
        collector = Collector(scene, default=refuse(500))
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                            OTEL_METRICS_EXPORTER="none")
        get(app.port, "/")
        wait_until(lambda: status(scene, app.pid)[0] == 1)
        code, said = status(scene, app.pid)
        equal((code, said["status"], said["counters"]["export.failed"] > 0), (1, "degraded", True),
              "a collector that refuses")
        check(said["reasons"] and "requests failed" in said["reasons"][0], "is told", said)
        collector.default = accept
        get(app.port, "/")
        wait_until(lambda: status(scene, app.pid)[1]["exported_s_ago"] is not None)
        equal(status(scene, app.pid)[0], 1, "what was lost a moment ago is not forgotten at once")
        scene.stop(app)


def test_untraced():
    with Scene() as scene:
        app = scene.service("app", traced=False)
        code, said = status(scene, app.pid)
        equal((code, said["status"]), (2, "untraced"), "a process without the library")
        equal(status(scene, scene.service("app", BURDOCK_DISABLED="1").pid)[0], 2, "switched off")
        equal(status(scene, 2 ** 30)[0], 2, "no process")
        for words in ([], ["x"], ["-1"], ["1", "2"], ["--nosuch", "1"]):
            done = burdock(scene, "status", *words)
            check(done.returncode == 2 and done.stderr, "wrong usage: %s" % words, done)


# --- metrics ---------------------------------------------------------------------------------

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z][a-z_0-9]*="(?:[^"\\]|\\.)*",?)*)\} (\S+)')
LABEL = re.compile(r'([a-z][a-z_0-9]*)="((?:[^"\\]|\\.)*)"')


def parsed(text):
    """[(name, labels, value)], after the rules of the format: the samples of a family together,
    behind its HELP and TYPE, each series once."""
    samples, types, family, seen, bad = [], {}, None, set(), []
    for line in text.decode().splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            bad += [line] if family in types else []
            types[family] = kind
            continue
        match, series = SAMPLE.fullmatch(line), line.rsplit(" ", 1)[0]
        if not match or not match.group(1).startswith(family) or series in seen:
            bad.append(line)
            continue
        seen.add(series)
        samples.append((match.group(1), dict(LABEL.findall(match.group(2))), float(match.group(3))))
    if bad:
        raise ValueError("lines that break the format: %s" % bad)
    return samples, types


def value(samples, name, **labels):
    return sum(number for one, has, number in samples
               if one == name and all(has.get(key) == want for key, want in labels.items()))


def scrape(scene, *words):
    return parsed(burdock(scene, "metrics", *words).stdout)[0]


def test_metrics():
    with Scene() as scene:
        apps = [scene.service("shop \"%d\"" % number, **SCRAPED) for number in range(2)]
        load(apps[0].port, 120, 4)
        get(apps[1].port, "/once")
        served = "http_server_request_duration_seconds"
        wait_until(lambda: value(scrape(scene), served + "_count") == 121)
        samples, types = parsed(burdock(scene, "metrics").stdout)
        equal(types.get(served), "histogram", "durations are histograms")
        equal(value(samples, served + "_count", job='shop \\"0\\"',
                    http_response_status_code="200"), 120, "of each process by its job")
        buckets = [number for name, labels, number in samples
                   if name == served + "_bucket" and labels["job"] == 'shop \\"0\\"']
        check(len(buckets) == 15 and buckets == sorted(buckets) and buckets[-1] == 120,
              "in buckets that add up", buckets)
        bounds = [labels["le"] for name, labels, _ in samples
                  if name == served + "_bucket" and labels["job"] == 'shop \\"0\\"']
        equal(bounds, ["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1",
                       "2.5", "5", "7.5", "10", "+Inf"], "up to the convention's bounds")
        equal((value(samples, "burdock_spans_recorded_total"),
               types.get("burdock_spans_recorded_total"),
               types.get("process_memory_usage_bytes"), types.get("process_cpu_time_seconds_total")),
              (121, "counter", "gauge", "counter"), "counters and figures of the process")
        check(value(samples, "burdock_ring_usage_max_bytes") > 0, "how full the rings were")
        equal(sorted(labels["process_pid"] for name, labels, _ in samples if name == "target_info"),
              sorted(str(app.pid) for app in apps), "and who they are")
        one = scrape(scene, apps[1].pid)
        equal(value(one, served + "_count"), 1, "one process alone")
        left = os.listdir(scene.rings)
        check(sum(name.endswith(".metrics") for name in left) == 2, "a file each", left)
        scene.stop(apps[0], signal.SIGKILL)
        equal(value(scrape(scene), served + "_count"), 1, "the dead are not told of")
        get(apps[1].port, "/exit/0")
        apps[1].wait(20)
        done = burdock(scene, "metrics")
        check(done.returncode == 1 and b"prometheus" in done.stderr, "nobody left", done)
        heir = scene.service("shop \"0\"", **SCRAPED)
        get(heir.port, "/")
        wait_until(lambda: not [name for name in os.listdir(scene.rings)
                                if str(apps[0].pid) in name])
        equal([name for name in os.listdir(scene.rings) if str(heir.pid) not in name], [],
              "the next process of the service removes what the dead one left")


def test_labels():
    """Attributes whose names differ only in what no label can hold leave the text readable."""
    with Scene() as scene:
        app = scene.service("shop", **SCRAPED, OTEL_RESOURCE_ATTRIBUTES="a.b=1,a_b=2,job=j,"
                            "instance=i,1x=3,__y=5,q=%22%2Ca_c=%22,a_c=4")
        get(app.port, "/")
        wait_until(lambda: burdock(scene, "metrics").returncode == 0)
        text = burdock(scene, "metrics").stdout
        parsed(text)
        line, = [line for line in text.decode().splitlines() if line.startswith("target_info{")]
        names = [name for name, _ in LABEL.findall(line)]
        equal(len(names), len(set(names)), "labels: each name once")
        labels = dict(LABEL.findall(line))
        equal([labels.get(name) for name in ("job", "a_b", "key_1x", "key__y", "a_c")],
              ["shop", "1", "3", "5", "4"], "labels: the first of a name counts")
        check(labels["instance"] != "i", "labels: identity stays the process's", labels)


def test_metrics_and_otlp():
    """Both at once: what is scraped is cumulative, what is sent as well."""
    with Scene() as scene:
        collector = Collector(scene)
        app = scene.service("app", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                            OTEL_METRICS_EXPORTER="otlp,prometheus", OTEL_METRIC_EXPORT_INTERVAL="100",
                            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta")
        for number in range(3):
            get(app.port, "/%d" % number)
            wait_until(lambda: any(point.count == number + 1 for point in
                                   collector.points("http.server.request.duration")))
        wait_until(lambda: value(scrape(scene, app.pid),
                                 "http_server_request_duration_seconds_count") == 3)
        equal(value(scrape(scene, app.pid), "http_server_request_duration_seconds_count"), 3,
              "scraped and sent")
        equal({point.temporality for point in collector.points("http.server.request.duration")},
              {2}, "cumulative")
        check(max(point.value for point in collector.points("burdock.export.requests")) > 0 and
              max(point.value for point in collector.points("burdock.export.microseconds")) > 0,
              "with how many requests and how long they took")
        own = max(point.value for point in collector.points("burdock.self.microseconds"))
        check(0 < own < 5e6, "and what Burdock's own thread took of the CPU", own)
        scene.stop(app)
    with Scene() as scene:
        app = scene.service("app")
        get(app.port, "/")
        scene.wait_spans(1)
        equal([name for name in os.listdir(scene.rings) if name.endswith(".metrics")], [],
              "and no file without being asked")
        scene.stop(app)


main(globals())
