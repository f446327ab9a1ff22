#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logs of programs that know nothing of tracing: lines get the ids of their own request or none,
and without ours each is as it was."""
import json
import re

from harness import *

TOTAL, CONCURRENCY = 400, 32
TEXT = re.compile(r" trace_id=([0-9a-f]{32}) span_id=([0-9a-f]{16})$")
OBJECT = re.compile(r',"trace_id":"([0-9a-f]{32})","span_id":"([0-9a-f]{16})","trace_flags":"0[0-3]"(?=}$)')


def trace_id(number):
    return "%032x" % (0x10ad << 64 | number)


def ask(port, total=TOTAL, concurrency=CONCURRENCY, path="/r/%d", good=(200,)):
    """Each request in a trace of its own, whose id tells its number."""
    failures = []

    def one(connection, number):
        connection.request("GET", path % number, headers={
            "traceparent": "00-%s-00000000000000aa-01" % trace_id(number)})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in good:
            failures.append((number, answer.status))

    on_connections(port, total, concurrency, one)
    return failures


def lines_of(path):
    with open(path, "rb") as file:
        return file.read().decode().splitlines()


class Log:
    """The lines of a log: without ours, and what ours said."""

    def __init__(self, lines, form=TEXT):
        self.bare, self.right, self.wrong, self.without = [], [], [], []
        for line in lines:
            found = form.search(line)
            number = re.search(r"/r/(\d+)", line)
            self.bare.append(form.sub("", line))
            if found is None:
                self.without.append(line)
            elif number is not None and found[1] == trace_id(int(number[1])):
                self.right.append((int(number[1]), found[2]))
            else:
                self.wrong.append(line)


def compare(name, log, bare, joined):
    """joined: how many lines at least are to have got their ids."""
    if bare is not None:
        equal(sorted(log.bare), sorted(bare), "%s: without ours its lines are as ever" % name)
    equal(log.wrong, [], "%s: no line has a stranger's ids" % name)
    check(len(log.right) >= joined, "%s: %d of %d lines have got theirs" %
          (name, len(log.right), len(log.bare)), "\n".join(log.without[:10]))


def spans_agree(scene, name, *logs):
    served = {(int(span.attributes["url.path"].split("/")[2]), span.id)
              for span in scene.wait_spans(TOTAL) if span.kind == "SERVER"}
    for log in logs:
        check(set(log.right) <= served, "%s: the ids are those of the requests' spans" % name,
              sorted(set(log.right) - served)[:5])


def python(scene, folder, **environment):
    port = free_port()
    os.mkdir(scene.path(folder))
    process = scene.start([PYTHON, os.path.join(APPS, "logging_service.py"), str(port),
                           scene.path(folder)], "python", port=port, **environment)
    equal(ask(port), [], "%s: all are answered" % folder)
    # Of each request its last line is written after its answer.
    wait_until(lambda: len(lines_of(scene.path(folder + "/text.log"))) >= 2 * TOTAL)
    scene.wait_spans(0)
    scene.stop(process)
    found = {name: lines_of(scene.path("%s/%s.log" % (folder, name)))
             for name in ("text", "json", "blocks", "parts")}
    return {**found, "error": scene.stderr(process).decode().splitlines()}


def test_python():
    with Scene() as scene:
        bare = python(scene, "bare", LD_PRELOAD="")
        off = python(scene, "off")
        equal({name: sorted(lines) for name, lines in off.items()},
              {name: sorted(lines) for name, lines in bare.items()}, "unasked nothing is changed")
        found = python(scene, "logs", BURDOCK_LOGS="2," + scene.path("logs/*"))
        text, error = Log(found["text"]), Log(found["error"])
        objects = Log(found["json"], OBJECT)
        compare("text to a file", text, bare["text"], TOTAL)
        compare("text to standard error", error, bare["error"], TOTAL)
        compare("JSON to a file", objects, bare["json"], TOTAL)
        check(all(json.loads(line)["trace_id"] for line in found["json"]), "it is JSON still")
        equal(sorted(found["blocks"]), sorted(bare["blocks"]), "writes of several lines stay as they are")
        equal(len(Log(found["parts"]).right), 0, "lines in parts stay as they are")
        spans_agree(scene, "Python", text, error, objects)


def test_several():
    """Asked for, all lines of a write get the ids of who writes it, in the form that is asked for."""
    with Scene() as scene:
        found = python(scene, "logs", BURDOCK_LOGS=scene.path("logs/blocks.log"),
                       BURDOCK_LOGS_SEVERAL="1", BURDOCK_LOGS_SUFFIX=" [{trace_id}/{trace_flags}]")
        right = 0
        for first, second in zip(found["blocks"][::2], found["blocks"][1::2]):
            number = int(re.search(r"/r/(\d+)", first)[1])
            ending = " [%s/" % trace_id(number)
            right += ending in first and ending in second
        equal(right, TOTAL, "both lines of a write")
        equal(len(Log(found["text"]).right), 0, "a file that is not named stays as it is")


ACCESS = "log_format plain escape=none '$request_uri $status'; log_format object escape=json " \
         "'{\"path\":\"$request_uri\",\"status\":$status}';"


STRANGE = (b"", b"nonsense\r\n\r\n", b"GET /early HTTP/1.1\r\nHost", b"GET / HTTP/9.9\r\n\r\n")


def disturb(port, h2_port, stop):
    """Clients whose requests nobody can trace, and who are logged too: garbage, heads that end early,
    heads that never end until they are out of time, and HTTP/2."""
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            waiting.sendall(b"GET /waits HTTP/1.1\r\nHost: x\r\n")
            subprocess.run(["curl", "-s", "--http2-prior-knowledge", "http://127.0.0.1:%d/h2/[1-60]" %
                            h2_port], stdout=subprocess.DEVNULL, timeout=20)
            for request in STRANGE * 10:
                try:
                    raw(port, request, shut=True, timeout=5)
                except OSError:
                    pass
            try:
                waiting.settimeout(5)
                waiting.recv(100)
            except OSError:
                pass


def nginx(scene, number, disturbed=False, **environment):
    """Its own files, a proxied location, and 404s, which its error log tells of."""
    folder = scene.path("logs%d" % number)
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    backend = scene.nginx("location / { return 200 ok; }", "backend", traced=False)
    h2_port = free_port()
    front = scene.nginx("""error_log %s/error.log info; root %s;
        access_log %s/access.log plain; access_log %s/access.json object;
        location / { proxy_pass http://127.0.0.1:%d; }
        location ~ .*[37]$ { }""" % (folder, folder, folder, folder, backend.port), "front",
        http=ACCESS + "client_header_timeout 1s; server { listen 127.0.0.1:%d http2; access_log %s/"
        "access.log plain; location / { return 200 x; } }" % (h2_port, folder), **environment)
    stop = threading.Event()
    others = [threading.Thread(target=disturb, args=(front.port, h2_port, stop)) for _ in range(6 * disturbed)]
    for thread in others:
        thread.start()
    equal(ask(front.port, total=TOTAL * (1 + 9 * disturbed), good=(200, 404)), [], "all are answered")
    stop.set()
    for thread in others:
        thread.join()
    scene.stop(front)
    scene.stop(backend)
    error = [re.sub(r'^\S+ \S+ |\d+#\d+: \*\d+|, client.*request: "GET|, host: "[^"]*"|, upstream.*?(?= trace|$)|logs\d', "", line)
             for line in lines_of(folder + "/error.log") if "[info]" not in line or "id=" in line]
    return lines_of(folder + "/access.log"), lines_of(folder + "/access.json"), error


def test_nginx():
    with Scene() as scene:
        access, objects, error = nginx(scene, 1, LD_PRELOAD="")
        found = nginx(scene, 2, BURDOCK_LOGS=scene.path("logs2/*"))
        compare("nginx's access log", Log(found[0]), access, TOTAL)
        compare("nginx's access log as JSON", Log(found[1], OBJECT), objects, TOTAL)
        compare("nginx's error log", Log(found[2]), error, TOTAL // 5)


def test_nginx_disturbed():
    with Scene() as scene:
        found = nginx(scene, 1, True, BURDOCK_LOGS=scene.path("logs1/*"))
        access = Log(found[0])
        strange = [line for line in access.without if "/r/" not in line]
        check(len(strange) > 100, "nginx has logged others' requests, too: %d" % len(strange))
        compare("nginx's access log among them", access, None, 9 * TOTAL)
        compare("nginx's error log among them", Log(found[2]), None, TOTAL // 5)


def test_node():
    with Scene() as scene:
        results = []
        for environment in ({"LD_PRELOAD": ""}, {"BURDOCK_LOGS": "1,2"},
                            {"BURDOCK_LOGS": "1,2", "BURDOCK_CARRIERS": "node"}):
            port = free_port()
            process = scene.start(["node", os.path.join(APPS, "logging_service.mjs"), str(port)],
                                  "node", port=port, **environment)
            ask(port)
            ask(port, path="/waits/r/%d")
            wait_until(lambda: len(scene.stdout(process).splitlines()) == 5 * TOTAL)
            scene.stop(process)
            results.append((scene.stdout(process).decode().splitlines(),
                            scene.stderr(process).decode().splitlines()))
        (text, objects), *rest = results
        for carrier, (found_text, found_objects) in zip(("Node", "Node with its carrier"), rest):
            compare(carrier + "'s console.log", Log(found_text), text, TOTAL)
            compare(carrier + "'s console.error of JSON", Log(found_objects, OBJECT), objects, TOTAL)


def test_php():
    """error_log to a file, by PHP's own server."""
    with Scene() as scene:
        if shutil.which("php", path=PATH) is None:
            return skip("PHP's error_log", "php is not installed")
        scene.write("index.php", "<?php error_log($_SERVER['REQUEST_URI']); echo 'ok';")
        results = []
        for number, environment in enumerate(({"LD_PRELOAD": ""},
                                              {"BURDOCK_LOGS": scene.path("php1.log")})):
            port, path = free_port(), scene.path("php%d.log" % number)
            process = scene.start(["php", "-d", "error_log=" + path, "-d", "log_errors=1", "-S",
                                   "127.0.0.1:%d" % port, "index.php"], "php", port=port, **environment)
            ask(port, 100, 8)
            scene.stop(process)
            results.append([re.sub(r"^\[.*?\] ", "", line) for line in lines_of(path)])
        compare("PHP's error_log", Log(results[1]), results[0], 100)


def test_children():
    """What is started for a request is read by who started it, whatever its descriptor is."""
    with Scene() as scene:
        port = free_port()
        scene.start([PYTHON, os.path.join(APPS, "starting_service.py"), str(port)], "starter", port=port,
                    BURDOCK_LOGS="1,2", BURDOCK_FOLLOW="1")
        for path in ("/program", "/fork"):
            equal(get(port, path)[2], b"a line\n", "%s: what it says is what is read" % path)


def test_daemon():
    """By printf and by write to one descriptor; a pipe and a file that is not appended to, by number."""
    program = os.path.join(BUILD, "tests/e2e/log_daemon")
    with Scene() as scene:
        for kind in ("file", "pipe"):
            port = free_port()
            command = [program, str(port)]
            if kind == "pipe":
                command = ["sh", "-c", "exec %s %d | cat" % (program, port)]
            process = scene.start(command, "daemon", port=port, BURDOCK_LOGS="1")
            ask(port, 60, 1)
            wait_until(lambda: len(scene.stdout(process).splitlines()) == 120)
            log = Log(scene.stdout(process).decode().splitlines())
            compare("a daemon's " + kind, log, ["%s GET /r/%d HTTP/1.1" % (how, number)
                    for number in range(60) for how in ("printed", "written")], 120)
            os.killpg(process.pid, signal.SIGTERM)


def said(scene, until=lambda: True, **environment):
    port = free_port()
    program = os.path.join(BUILD, "tests/e2e/log_daemon")
    process = scene.start([program, str(port)], "daemon", port=port, **environment)
    equal(ask(port, 20, 1), [], "all are answered")
    lines = scene.stderr(process).decode().splitlines()
    wait_until(until)
    scene.stop(process)
    return lines


def test_syslog():
    """Messages for syslog, as it shows them on standard error: text and objects of one line get their
    ids; several lines, long ones and those with positions are as ever, and so are all unasked."""
    with Scene() as scene:
        bare, off = said(scene, LD_PRELOAD=""), said(scene, BURDOCK_LOGS="1")
        equal(len(bare), 20 * 7, "the daemon says what it says")
        equal(off, bare, "unasked nothing is changed")
        lines = said(scene, BURDOCK_LOGS="syslog")
        ended = [line for line in lines if "ended" in line]
        log = Log([line for line in lines if "ended" not in line])
        compare("messages", log, [line for line in bare if "ended" not in line], 40)
        kept = [line for line in bare if "ended" not in line and ": GET" not in line]
        equal(log.without, kept, "what could differ stays as it is")
        compare("objects", Log(ended, OBJECT), [line for line in bare if "ended" in line], 20)


def test_syslog_records():
    """What is said by syslog as records: each message, several lines or long, how grave, whose."""
    with Scene() as scene:
        collector = otlp.Collector(scene)
        bare = said(scene, LD_PRELOAD="")
        lines = said(scene, lambda: len(collector.logs()) >= 20 * 5 and len(collector.spans()) >= 20,
                     BURDOCK_LOGS="syslog", OTEL_LOGS_EXPORTER="otlp",
                     OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        equal(len(lines), len(bare), "what is shown has as many lines")
        logs = collector.logs()
        equal(len(logs), 20 * 5, "each message is a record, but the one with positions")
        equal({(log.severity, log.word) for log in logs}, {(9, "info")}, "how grave is what syslog was told")
        equal(sorted(log.body for log in logs if "long" not in log.body),
              sorted(body for number in range(20) for body in
                     2 * ["GET /r/%d HTTP/1.1: Operation not permitted" % number] +
                     ['{"ended":"GET /r/%d HTTP/1.1"}' % number,
                      "several GET /r/%d HTTP/1.1\nlines" % number]), "as the program said it")
        equal({(len(log.body), log.attributes["burdock.log.dropped_bytes"] > 0)
               for log in logs if "long" in log.body}, {(899, True)}, "a long one is cut, and says so")
        wrong = [log.body for log in logs
                 if log.trace != trace_id(int(re.search(r"/r/(\d+)", log.body)[1]))]
        equal(wrong, [], "each in its request's trace")
        spans = {span.id for span in collector.spans()}
        equal({log.span for log in logs} - spans, set(), "in its span")


# --- the same lines as records ----------------------------------------------------------------

WRITES = """import os, sys, time
for number in range(int(sys.argv[1])):
    os.write(2, b"line %d %s\\n" % (number, b"x" * int(sys.argv[2])))
print("written", flush=True)
time.sleep(600)"""


def writer(scene, collector, count, **environment):
    process = scene.start([PYTHON, "-c", WRITES, str(count), "80"], "writer", BURDOCK_LOGS="2",
                          OTEL_LOGS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                          **environment)
    wait_until(lambda: b"written" in scene.stdout(process), 60)
    return process


def counted(scene, settled, timeout=60):
    """The counters of the one process, once they say what they are to."""
    found = {}

    def holds():
        for ring in scene.rings_left():
            found.update({name[5:]: value for name, value in ring.counters.items()
                          if name.startswith("logs.")})
        return bool(found) and settled(found)
    wait_until(holds, timeout, 0.05)
    return found


def test_records():
    """All lines of all logs, whatever their form: as they were written, in their request's span if
    it is sure; what stays as it is in the file too."""
    with Scene() as scene:
        collector = otlp.Collector(scene)
        found = python(scene, "logs", BURDOCK_LOGS="2," + scene.path("logs/*"), OTEL_LOGS_EXPORTER="otlp",
                       OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        written = {name: Log(lines, OBJECT if name == "json" else TEXT).bare
                   for name, lines in found.items()}
        total = sum(map(len, written.values())) + len(written["parts"])  # those are two each
        wait_until(lambda: len(collector.logs()) >= total)
        logs = collector.logs()
        by = {name: [log for log in logs if log.attributes.get("log.file.path") ==
                     scene.path("logs/%s.log" % name)] for name in written}
        by["error"] = [log for log in logs if log.attributes.get("log.iostream") == "stderr"]
        equal(sum(map(len, by.values())), len(logs), "each has come from one of the logs")
        for name in ("text", "json", "error", "blocks"):
            equal(sorted(log.body for log in by[name]), sorted(written[name]), name + ": line by line")
        equal("".join(log.body for log in by["parts"]).count(" in two parts"), len(written["parts"]),
              "a line in parts is a record for each")
        joined = [log for log in by["text"] if log.trace or not log.body.endswith(" after")]
        wrong = [log for log in joined + by["json"] + by["error"]
                 if log.trace != trace_id(int(re.search(r"/r/(\d+)", log.body)[1]))]
        equal(wrong, [], "each in its request's trace, but for some written after the answer")
        ids = {(log.trace, log.span) for log in joined}
        check(ids == {(span.trace, span.id) for span in collector.spans() if span.kind == "SERVER"},
              "in the span that was exported")
        equal({log.trace for log in by["blocks"]}, {""}, "whose several lines are, nothing tells")
        equal({(log.severity, log.word) for log in by["json"]}, {(9, "INFO")}, "JSON tells how grave")
        equal({(log.severity, log.word) for log in by["text"]}, {(0, "")}, "text does not")
        equal({log.flags & 1 for log in joined}, {1}, "flags")
        check(all(log.time == 0 and log.observed > 1 << 60 for log in logs), "when it was seen")
        resources = [span.resource for span in collector.spans()]
        check(all(log.resource == resources[0] for log in logs), "the resource is that of the spans")
        equal({log.scope for log in logs}, {"burdock"}, "scope")


def test_record_limits():
    """A long line is cut, and says so; bytes that are no text, blank lines, ends of lines."""
    with Scene() as scene:
        collector = otlp.Collector(scene)
        script = """import os
os.write(2, b"a" * 9000 + b"\\n\\n  \\t\\r\\nends\\r\\n\\xff\\x00 {\\n")
os.write(2, b'{"m":"%s","level":50}\\n' % (b"b" * 9000))
os.write(2, b'{"severity":"Notice","m":"%s"}\\n' % (b"b" * 9000))
os.writev(2, [b"in ", b"pieces", b"\\nand", b" more\\n"])"""
        scene.run([PYTHON, "-c", script], "limits", BURDOCK_LOGS="2", OTEL_LOGS_EXPORTER="otlp",
                  OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        logs = collector.logs()
        equal([log.body for log in logs if len(log.body) < 100],
              ["ends", "\ufffd\0 {", "in pieces", "and more"], "short ones, in order")
        cut = [log for log in logs if len(log.body) > 100]
        equal([(len(log.body), log.attributes["burdock.log.dropped_bytes"], log.severity) for log in cut],
              [(8192, 808, 0), (8192, 827, 0), (8192, 836, 10)], "cut at 8 KB, the rest is counted")
        equal({log.trace for log in logs}, {""}, "of no request")


def test_records_are_counted():
    """Too many, refused, or while the collector is away: each is exported or counted."""
    with Scene() as scene:
        answers = ("away", [otlp.refuse(503)] * 3, otlp.accept), ("refused", [], otlp.refuse(400)), \
            ("partly", [], otlp.partial(3)), ("flood", [], otlp.accept)
        for name, script, default in answers:
            collector = otlp.Collector(scene, default=default)
            collector.logs_script[:] = script
            count = 60000 if name == "flood" else 2000
            process = writer(scene, collector, count)

            def settled(logs):
                done = sum(logs[what] for what in ("exported", "rejected", "dropped.export"))
                return logs["recorded"] == done and done + logs["dropped.ring_full"] == count
            logs = counted(scene, settled)
            check(settled(logs), "%s: every line is in one counter" % name, logs)
            equal(logs["exported"], sum(len(otlp.logs_of_request(post.body)) -
                                        (3 if name == "partly" else 0) for post in collector.logs_posts
                                        if post.answer in (otlp.accept, default) and name != "refused"),
                  "%s: what it accepted" % name)
            if name == "away":
                equal([log.body for log in collector.logs()], ["line %d %s" % (number, "x" * 80)
                      for number in range(count)], "what waited has come, in order")
            if name == "refused":
                equal(logs["dropped.export"], count, "refused: all of them")
            scene.stop(process, signal.SIGKILL)
            for path in os.listdir(scene.rings):
                os.unlink(os.path.join(scene.rings, path))


def test_records_of_the_dead():
    """What stands in the rings of a killed process is sent by whoever finds it; also by one who
    wants no logs himself, who says that they are lost."""
    burdock = os.path.join(BUILD, "cli/burdock")
    with Scene() as scene:
        for wanted in ("otlp", "none"):
            collector = otlp.Collector(scene)
            process = writer(scene, collector, 100, OTEL_BSP_SCHEDULE_DELAY="600000")
            scene.stop(process, signal.SIGKILL)
            equal(len(collector.logs()), 0, "nothing was sent yet")
            said = scene.run([burdock, "recover"], traced=False, BURDOCK_LOGS="2", OTEL_LOGS_EXPORTER=wanted,
                             OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint).stdout.decode()
            equal(len(collector.logs()), 100 if wanted == "otlp" else 0, "its lines come: " + wanted)
            check(("100 lines of logs of dead processes and 0 of the spool sent" if wanted == "otlp" else
                   "100 lines of logs refused and lost") in said, "recover tells of them", said)


def test_record_outlets():
    """The console, a file, JSON by HTTP: the same records."""
    with Scene() as scene:
        script = "import os; os.write(2, b'hello\\n'); os.write(2, b'{\"level\":\"warn\"}\\n')"
        run = lambda **environment: scene.run([PYTHON, "-c", script], "app", BURDOCK_LOGS="2", **environment)
        events = [json.loads(line) for line in run(
            OTEL_LOGS_EXPORTER="console", BURDOCK_CONSOLE="stdout").stdout.splitlines()]
        equal([(event["body"], event["severity_number"], event["trace_id"], event["attributes"])
               for event in events], [("hello", 0, None, {"log.iostream": "stderr"}), (
                   '{"level":"warn"}', 13, None, {"log.iostream": "stderr"})], "the console's events")
        path = scene.path("logs.jsonl")
        run(OTEL_LOGS_EXPORTER="otlp_file", BURDOCK_OTLP_LOGS_FILE=path)
        with open(path, "rb") as file:
            of_file = [log for line in file for log in otlp.logs_of_request(line)]
        configured = scene.write("burdock.yaml", """file_format: "1.0"
logger_provider:
  processors: [{batch: {exporter: {otlp_file/development: {output_stream: "file://%s.2"}}}}]
distribution: {burdock: {logs: "2"}}
""" % path)
        scene.run([os.path.join(BUILD, "cli/burdock"), "run", "--", PYTHON, "-c", script], "app", traced=False,
                  OTEL_CONFIG_FILE=configured)
        with open(path + ".2", "rb") as file:
            equal([log.body for line in file for log in otlp.logs_of_request(line)],
                  [log.body for log in of_file], "by OTEL_CONFIG_FILE")
        collector = otlp.Collector(scene)
        run(OTEL_LOGS_EXPORTER="otlp", OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="http/json",
            OTEL_EXPORTER_OTLP_LOGS_COMPRESSION="gzip", OTEL_EXPORTER_OTLP_LOGS_HEADERS="x-key=1",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=collector.endpoint + "/v1/logs")
        for logs in (of_file, collector.logs()):
            equal([(log.body, log.severity) for log in logs], [("hello", 0), ('{"level":"warn"}', 13)], "JSON")
        posts = len(collector.logs_posts)
        equal({(post.headers["Content-Type"], post.headers["Content-Encoding"], post.headers["x-key"])
               for post in collector.logs_posts}, {("application/json", "gzip", "1")},
              "by the signal's own variables")
        equal(run(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint).stderr.splitlines(),
              [b"hello", b'{"level":"warn"}'], "unasked")
        equal(len(collector.logs_posts), posts, "nothing is sent")


if __name__ == "__main__":
    main(globals())
