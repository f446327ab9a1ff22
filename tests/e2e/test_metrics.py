# SPDX-License-Identifier: Apache-2.0
"""Durations of all requests as OTLP histograms, sampled or not."""
import collections
import harness
import http.client
import json
import os
import signal
import threading
import time

from harness import Scene, check, equal, get, load, main, wait_until

if harness.otlp:
    from otlp import Collector, never, refuse

SERVED = "http.server.request.duration"
MADE = "http.client.request.duration"
ASKED = "db.client.operation.duration"
SOON = {"OTEL_METRIC_EXPORT_INTERVAL": "100"}


def to(collector, **more):
    return dict(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **more)


def latest(points):
    """The last point of each series."""
    return {(p.process, p.resource["service.instance.id"], p.name,
             tuple(sorted(p.attributes.items()))): p for p in points}.values()


def stop(scene, app):
    """It ends itself: where a signal ends it nobody has a say."""
    get(app.port, "/exit/0")
    app.wait(20)


def total(points):
    return sum(point.count for point in points)


def test_all():
    """nginx in front of a service, of whose requests no trace is kept."""
    with Scene() as scene:
        collector = Collector(scene)
        off = to(collector, OTEL_TRACES_SAMPLER="always_off")
        app = scene.service("app", **off)
        proxy = scene.nginx("location /gone { return 404; } "
                            "location / { proxy_pass http://127.0.0.1:%d; }" % app.port,
                            name="proxy", **off)
        load(proxy.port, 200, 8)
        get(proxy.port, "/gone")
        scene.stop(proxy)
        stop(scene, app)
        points = collector.points()
        served = [p for p in latest(points) if p.name == SERVED]
        of = lambda service: [p for p in served if p.resource["service.name"] == service]
        equal(total(of("app")), 201, "a service's requests are all counted at its end")
        equal(total(of("proxy")), 201, "so are those of nginx's workers")
        equal(sorted({p.attributes["http.response.status_code"] for p in of("proxy")}), [200, 404],
              "by status")
        made = [p for p in latest(points) if p.name == MADE]
        equal((total(made), {p.attributes["server.port"] for p in made}), (200, {app.port}),
              "and the requests made, by server")
        check(all(sum(p.buckets) == p.count and len(p.buckets) == 15 and p.unit == "s" and
                  p.sum > 0 for p in served + made), "as histograms of seconds")
        check(not any(p.exemplars for p in points), "without exemplars: nothing was sampled")
        equal(collector.spans(), [], "and no span was sent")
        names = {p.name for p in points}
        check({"process.cpu.time", "process.memory.usage", "process.thread.count",
               "burdock.spans.measured", "burdock.attribution.selfcheck.right"} <= names,
              "with figures of the process and of the library", names)


def test_intervals():
    with Scene() as scene:
        collector = Collector(scene)
        app = scene.service("app", **to(collector, **SOON))
        for number in range(3):
            get(app.port, "/%d" % number)
            wait_until(lambda: total(latest(collector.points(SERVED))) == number + 1)
        points = collector.points(SERVED)
        equal(total(latest(points)), 3, "cumulative: the last one has them all")
        equal(len({p.start for p in points}), 1, "from one start on")
        spans = {(s.trace, s.id) for s in collector.spans()}
        exemplars = [e for p in points for e in p.exemplars]
        check(exemplars and set(exemplars) <= spans, "exemplars name spans", (exemplars, spans))
        count = len(collector.metrics_posts)
        wait_until(lambda: len(collector.metrics_posts) > count + 1)
        check(len(collector.metrics_posts) > count, "and goes on when nothing happens")

    with Scene() as scene:
        collector = Collector(scene)
        delta = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
        app = scene.service("app", **to(collector, **SOON, **delta))
        for number in range(3):
            get(app.port, "/%d" % number)
            time.sleep(0.15)
        stop(scene, app)
        points = collector.points(SERVED)
        equal((total(points), {p.temporality for p in points}), (4, {1}), "delta: together all")
        check(all(a.time == b.start for a, b in zip(points, points[1:])) or len(points) == 1 or
              all(a.time <= b.start for a, b in zip(points, points[1:])),
              "intervals that do not overlap", [(p.start, p.time) for p in points])


def test_collector_in_moods():
    with Scene() as scene:
        collector = Collector(scene)
        collector.metrics_script += [refuse(503), refuse(404), refuse(500)]
        delta = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
        app = scene.service("app", **to(collector, **SOON, **delta))
        for number in range(4):
            get(app.port, "/%d" % number)
            wait_until(lambda: len(collector.metrics_posts) > number)
        stop(scene, app)
        equal(total(collector.points(SERVED)), 5, "what was refused goes with the next")
        equal(len(collector.spans()), 5, "and spans do not care")

    with Scene() as scene:
        traces, metrics = Collector(scene), Collector(scene)
        metrics.metrics_path = "/own"
        app = scene.service("app", **to(traces, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=metrics.endpoint +
                                        "/own", OTEL_EXPORTER_OTLP_METRICS_COMPRESSION="gzip"))
        get(app.port, "/")
        stop(scene, app)
        equal((total(metrics.points(SERVED)), len(traces.spans()), traces.metrics_posts,
               metrics.posts), (2, 2, [], []), "each signal has its own endpoint")


def test_choice():
    with Scene() as scene:
        collector = Collector(scene)
        app = scene.service("app", **to(collector, OTEL_METRICS_EXPORTER="none"))
        get(app.port, "/")
        stop(scene, app)
        equal((len(collector.spans()), collector.metrics_posts), (2, []), "metrics can be refused")
    with Scene() as scene:
        collector = Collector(scene)
        app = scene.service("app", **to(collector, OTEL_TRACES_EXPORTER="none"))
        get(app.port, "/")
        stop(scene, app)
        equal((collector.posts, total(collector.points(SERVED))), ([], 2), "so can traces")


WAITS = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
PHASES = {"in the rings": WAITS, "counted": QUICK, "sent once": dict(QUICK, **SOON)}


def served(collector):
    """Requests that were told as ended, each once."""
    return {s.id for s in collector.spans()
            if s.kind == "SERVER" and "burdock.unfinished" not in s.attributes}


def killed(phase, temporality, how, by_hand, **more):
    """A process that a signal ends: all that it served is counted, once."""
    what = "%s, %s, %s" % (phase, temporality, how.name)
    with Scene() as scene:
        collector = Collector(scene)
        settings = to(collector, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality, **more)
        app = scene.service("app", **settings, **PHASES[phase])

        def counted(pid=app.pid):
            points = [p for p in collector.points(SERVED) if p.process == pid]
            return total(points if temporality == "delta" else latest(points))
        load(app.port, 700, 8)
        if phase != "in the rings":
            wait_until(lambda: len(served(collector)) == 700)
        if phase == "sent once":
            wait_until(lambda: counted() == 700)
            for _ in range(5):
                get(app.port, "/status/404")
        scene.stop(app, how)
        if by_hand:
            done = scene.run([os.path.join(harness.BUILD, "cli/burdock"), "recover"], traced=False,
                             **settings)
            equal((done.returncode, done.stderr), (0, b""), what + ": recovered by hand")
        else:
            heir = scene.service("app", **settings)
            get(heir.port, "/")
            wait_until(lambda: not any(str(app.pid) in name for name in os.listdir(scene.rings)))
            stop(scene, heir)
        points = [p for p in collector.points(SERVED) if p.process == app.pid]
        check(counted() == len(served(collector)) - (0 if by_hand else 2) >= 699,
              what + ": all are counted, once", (counted(), len(served(collector))))
        equal((os.listdir(scene.rings), {p.temporality for p in points},
               len({p.resource["service.instance.id"] for p in points})),
              ([], {1 if temporality == "delta" else 2}, 1), what + ": as the process told it")
        check(len({p.start for p in points}) == 1 or temporality == "delta", what + ": from its start",
              {p.start for p in points})
        check(all(p.start <= p.time for p in points), what + ": to its end")
        check(all(sum(p.buckets) + (p.zeros or 0) == p.count for p in points), what + ": in buckets")
        figures = [p for p in collector.points("process.thread.count") if p.process == app.pid]
        equal(len(figures) > 0, phase == "sent once", what + ": without figures of the one who recovers")


def test_killed():
    for number, phase in enumerate(PHASES):
        for temporality in "cumulative", "delta":
            killed(phase, temporality, signal.SIGKILL, by_hand=True)
            killed(phase, temporality, (signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT)[number],
                   by_hand=False)
        killed(phase, "cumulative", signal.SIGKILL, by_hand=True, **EXPONENTIAL)


def test_killed_when_full():
    """What it had lost and not told yet is told by who recovers it."""
    for temporality in "cumulative", "delta":
        with Scene() as scene:
            collector = Collector(scene, [never])
            settings = to(collector, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality,
                          BURDOCK_SPOOL="off", OTEL_EXPORTER_OTLP_TIMEOUT="60000", **QUICK)
            app = scene.service("app", **settings)
            for _ in range(700):
                get(app.port, "/" + "p" * 4000)
            lost = wait_until(lambda: sum(ring.counters["spans.dropped.ring_full"]
                                          for ring in scene.rings_left()))
            scene.stop(app, signal.SIGKILL)
            done = scene.run([os.path.join(harness.BUILD, "cli/burdock"), "recover"], traced=False,
                             **settings)
            told = collector.points("burdock.spans.dropped.ring_full")
            equal([p.value for p in told], [lost], temporality + ": what it lost, once")
            check(b"lost: spans.dropped.ring_full %d:" % lost in done.stdout,
                  temporality + ": by the command, too", done.stdout)
            check(lost + len(served(collector)) >= 700, temporality + ": all are counted",
                  (lost, len(served(collector))))


def test_killed_in_moods():
    """What is recovered while the collector takes no metrics waits, once, or is told to be lost."""
    for status, spool, left in (503, None, 0), (503, "off", 4), (404, None, 0):
        with Scene() as scene:
            collector = Collector(scene)
            settings = to(collector, **QUICK, **({"BURDOCK_SPOOL": spool} if spool else {}))
            recover = [os.path.join(harness.BUILD, "cli/burdock"), "recover"]
            apps = [scene.service(name, **settings) for name in ("one", "two")]
            for app in apps:
                for _ in range(5):
                    get(app.port, "/")
            wait_until(lambda: len(served(collector)) == 10)
            for app in apps:
                scene.stop(app, signal.SIGKILL)
            collector.metrics_script += [refuse(status)] * 100
            done = scene.run(recover, traced=False, **settings)
            what = "%d, spool %s" % (status, spool)
            equal((done.returncode, b"4 metrics refused and lost" in done.stdout,
                   len(os.listdir(scene.rings))), (1, status == 404, left), what + ": says so")
            collector.metrics_script[:] = []
            done = scene.run(recover, traced=False, **settings)
            equal((done.returncode, total(collector.points(SERVED)), os.listdir(scene.rings)),
                  (0, 0 if status == 404 else 10, []), what + ": then all is sent")


EXPONENTIAL = {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION":
               "base2_exponential_bucket_histogram"}


def official(durations):
    """What the official SDK makes of them: (scale, offset, counts), or None without it."""
    try:
        from opentelemetry.sdk.metrics import MeterProvider, Histogram
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
    except ImportError:
        return None
    reader = InMemoryMetricReader(
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
    histogram = MeterProvider([reader]).get_meter("test").create_histogram("h")
    for duration in durations:
        histogram.record(duration)
    data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data
    point = data.data_points[0]
    return point.scale, point.positive.offset, list(point.positive.bucket_counts)


def at_scale(scale, histograms):
    """{bucket: count} of several together, at a scale that none is beneath."""
    found = collections.Counter()
    for own, offset, counts in histograms:
        for number, count in enumerate(counts):
            found[offset + number >> own - scale] += count
    return +found


def test_exponential():
    for temporality in "cumulative", "delta":
        with Scene() as scene:
            collector = Collector(scene)
            app = scene.service("app", **to(
                collector, **EXPONENTIAL,
                OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality))
            load(app.port, 300, 8)
            get(app.port, "/sleep?s=0.2")
            stop(scene, app)
            points = [p for p in collector.points(SERVED)
                      if p.attributes["http.response.status_code"] == 200]
            if temporality == "cumulative":
                points = points[-1:]  # the end of a process may tell twice
            durations = [(span.end - span.start) / 1e9 for span in collector.spans()
                         if span.attributes["http.response.status_code"] == 200]
            equal((total(points), sum(sum(p.buckets) + p.zeros for p in points),
                   min(p.least for p in points), max(p.most for p in points)),
                  (302, 302, min(durations), max(durations)), "%s: all of them" % temporality)
            check(all(len(p.buckets) <= 160 and p.scale > 0 and
                      2 ** (p.offset * 2 ** -p.scale) <= p.least and
                      p.most <= 2 ** ((p.offset + len(p.buckets)) * 2 ** -p.scale)
                      for p in points),
                  "%s: between the bounds that the scale gives" % temporality,
                  [(p.scale, p.offset, len(p.buckets), p.least, p.most) for p in points])
            wanted = official(durations)
            if wanted is None:
                harness.skip("%s: as the official SDK has it" % temporality, "it is not installed")
                continue
            scale = min(p.scale for p in points)
            check(scale >= wanted[0] if len(points) > 1 else scale == wanted[0],
                  "%s: at the official SDK's scale" % temporality, (scale, wanted[0]))
            equal(at_scale(wanted[0], [(p.scale, p.offset, p.buckets) for p in points]),
                  at_scale(wanted[0], [wanted]), "%s: as the official SDK has it" % temporality)


def test_database():
    """Each process of redis-cli measures its own commands."""
    with Scene() as scene:
        collector = Collector(scene)
        port = harness.free_port()
        scene.start(["redis-server", "--port", str(port), "--save", ""], traced=False, port=port)
        for words in ["set", "k", "v"], ["get", "k"], ["get", "k"], ["incr", "k"]:
            scene.run(["redis-cli", "-p", str(port), *words], "client",
                      **to(collector, OTEL_TRACES_SAMPLER="always_off"))
        points = collector.points(ASKED)
        by = {}
        for point in points:
            name = point.attributes["db.operation.name"].upper()
            by[name] = by.get(name, 0) + point.count
        equal((by.get("SET"), by.get("GET"), by.get("INCR")), (1, 2, 1), "operations by name")
        failed = [p for p in points if p.attributes.get("error.type")]
        equal([p.attributes["db.response.status_code"] for p in failed], ["ERR"], "and by error")
        check(all(p.attributes["db.system.name"] == "redis" and
                  p.attributes["server.port"] == port for p in points), "of this server")


def test_active():
    """Requests that are being served, sampled or not, while they are; those that are over are not."""
    with Scene() as scene:
        collector = Collector(scene)
        app = scene.service("app", OTEL_TRACES_SAMPLER="always_off", **to(collector, **SOON))

        def told():
            points = {}
            for point in collector.points("http.server.active_requests"):
                points[point.attributes["http.request.method"], point.attributes["url.scheme"]] = point.value
            return points
        get(app.port, "/status/200")  # before something ended nothing is exported
        slow = [threading.Thread(target=get, args=(app.port, "/slow?s=4")) for _ in range(3)]
        for thread in slow:
            thread.start()
        check(wait_until(lambda: told() == {("GET", "http"): 3}), "three are active", told())
        kept = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
        kept.request("PURGE", "/slow?s=1")
        kept.getresponse().read()
        for thread in slow:
            thread.join()
        check(wait_until(lambda: told().get(("GET", "http")) == 0), "none is, any more", told())
        equal({point.temporality for point in collector.points("http.server.active_requests")}, {2},
              "always cumulative")


def test_connections():
    """By protocol and side: open ones are there until they are closed, begun ones for ever."""
    with Scene() as scene:
        collector = Collector(scene)
        app = scene.service("app", **to(collector, **SOON))

        def told(protocol, side):
            """What the last export that has both says is open, and was begun."""
            found = [[p for p in collector.points(name) if (p.attributes["network.protocol.name"],
                      p.attributes["burdock.connection.side"]) == (protocol, side)]
                     for name in ("burdock.connections", "burdock.connections.begun")]
            return tuple(points[-1].value if points else 0 for points in found)
        kept = [http.client.HTTPConnection("127.0.0.1", app.port, timeout=20) for _ in range(3)]
        for connection in kept:
            for _ in range(4):
                connection.request("GET", "/status/200")
                connection.getresponse().read()
        check(wait_until(lambda: told("http", "server") == (3, 3)), "three are open", told("http", "server"))
        for connection in kept[1:]:
            connection.close()
        check(wait_until(lambda: told("http", "server") == (1, 3)), "two are closed", told("http", "server"))
        command = [os.path.join(harness.BUILD, "cli/burdock"), "status", "--json", str(app.pid)]
        wanted = [{"protocol": "http", "side": "server", "open": 1, "begun": 3}]
        check(wait_until(lambda: json.loads(scene.run(command, traced=False).stdout)[
            "connections"] == wanted), "burdock status says so")
        get(app.port, "/fetch?url=http://127.0.0.1:%d/" % collector.port)
        check(wait_until(lambda: told("http", "client") == (0, 1)), "made ones apart", told("http", "client"))


main(globals(), needs=["nginx", "redis-server"])
