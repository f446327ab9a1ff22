#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logs that programs write by the C library's stdio, and by C++'s streams: what they put, what they are
answered and what stays as it is, against the bare run byte by byte but for ours."""
import json
import re

from harness import *
from test_logs import ask, compare, lines_of, trace_id, Log, OBJECT, TEXT

ROUNDS = 40


def answers(port, total=ROUNDS):
    """What each request is answered, on one connection; each in a trace of its own."""
    found = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for number in range(total):
        connection.request("GET", "/r/%d" % number, headers={
            "traceparent": "00-%s-00000000000000aa-01" % trace_id(number)})
        found.append(connection.getresponse().read())
    connection.close()
    return found


def without_ours(text):
    """Bytes, since a line is not to be mended either."""
    text = re.sub(rb" trace_id=[0-9a-f]{32} span_id=[0-9a-f]{16}(?=\n)", b"", text)
    return re.sub(rb',"trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}","trace_flags":"0[0-3]"(?=}\n)', b"", text)


def daemon(scene, how, into, collector=None, **environment):
    """into: file, appended to and chosen by its path; pipe; or by its number."""
    port = free_port()
    program = os.path.join(BUILD, "tests/e2e/log_stdio")
    out, err = scene.path("out-%s-%d" % (how, port)), scene.path("err-%s-%d" % (how, port))
    redirect = {"file": ">>%s 2>>%s", "number": ">%s 2>%s", "pipe": "> >(cat >%s) 2> >(cat >%s)"}[into] % (out, err)
    logs = "%s,%s" % (out, err) if into == "file" else "1,2"
    process = scene.start(["bash", "-c", "exec %s %d %s %s" % (program, port, how, redirect)], "daemon",
                          port=port, BURDOCK_LOGS=logs, **environment)
    found = answers(port)
    last = "dprintf_chk /r/%d" % (ROUNDS - 1)  # what a signal's end leaves is for others to recover
    wait_until(lambda: collector is None or any(log.body == last for log in collector.logs()))
    scene.stop(process)

    wait_until(lambda: last.encode() in open(err, "rb").read())
    return found, open(out, "rb").read(), open(err, "rb").read()


def joins(text):
    """The lines that got ids, and those that did not; no line has a stranger's."""
    lines = text.decode().splitlines()
    joined = [line for line in lines if TEXT.search(line) or OBJECT.search(line)]
    wrong = [line for line in joined if (TEXT.search(line) or OBJECT.search(line))[1] !=
             trace_id(int(re.search(r"/r/(\d+)", line)[1]))]
    return joined, [line for line in lines if line not in joined], wrong


def test_every_function():
    with Scene() as scene:
        for how, into in (("full", "file"), ("line", "file"), ("none", "file"), ("full", "number"),
                          ("none", "pipe"), ("full", "pipe"), ("line", "pipe")):
            name = "%s, %s" % (how, into)
            bare = daemon(scene, how, into, LD_PRELOAD="")
            found = daemon(scene, how, into)
            equal(found[0], bare[0], name + ": results and errno")
            for stream, got, wanted in (("out", found[1], bare[1]), ("err", found[2], bare[2])):
                equal(without_ours(got), wanted, "%s: without ours std%s is as bare" % (name, stream))
                joined, without, wrong = joins(got)
                equal(wrong, [], "%s: no stranger's" % name)
                left = [line for line in without if line.strip() and not line.startswith(
                    ("kept", "{\"kept", "}", "parts between"))]
                if how == "full":  # what a header puts into a buffer nobody sees
                    left = [line for line in left if not line.endswith(" and pu")]
                equal(left, [], "%s: every other line of std%s has its ids" % (name, stream))
                check(not [line for line in joined if "kept" in line], "%s: what is kept is kept" % name, joined)
                check(all(json.loads(line)["trace_id"] for line in joined if line.startswith("{")), "JSON")


def streams(scene, **environment):
    port = free_port()
    process = scene.start([os.path.join(BUILD, "tests/e2e/log_streams"), str(port)], "streams", port=port,
                          **environment)
    equal(ask(port, 400, 16), [], "all are answered")
    scene.stop(process)
    return scene.stdout(process).decode().splitlines(), scene.stderr(process).decode().splitlines()


def test_streams():
    """C++'s streams and stdio, by 16 threads at once."""
    with Scene() as scene:
        if not os.path.exists(os.path.join(BUILD, "tests/e2e/log_streams")):
            return skip("C++'s streams", "there is no compiler of C++")
        bare, found = streams(scene, LD_PRELOAD=""), streams(scene, BURDOCK_LOGS="1,2")
        equal((len(bare[0]), len(bare[1])), (1600, 1600), "the daemon says what it says")
        for how in ("whole ", "locked ", "cerr ", "clog ", "cout ", '{"whole"', '{"cout"', '{"ended"'):
            lines, wanted = [[line for line in out + err if line.startswith(how)] for out, err in (found, bare)]
            # An object that has ended before its line does stays as it is.
            compare(how.strip(), Log(lines, OBJECT if how[0] == "{" else TEXT), wanted, 0 if "ended" in how else 400)


def test_webfs():
    """webfsd, of the distribution: fprintf to a file that it appends to."""
    with Scene() as scene:
        if shutil.which("webfsd", path=PATH) is None:
            return skip("webfsd's log", "webfs is not installed")
        os.mkdir(scene.path("root"))
        results = []
        for number, environment in enumerate(({"LD_PRELOAD": ""}, {"BURDOCK_LOGS": scene.path("web1.log")})):
            port, path = free_port(), scene.path("web%d.log" % number)
            process = scene.start(["webfsd", "-F", "-p", str(port), "-r", scene.path("root"), "-L", path], "webfsd",
                                  port=port, **environment)
            ask(port, 200, 8, good=(404,))
            scene.stop(process)
            results.append([re.sub(r"\[.*?\]|(?<= 404) \d+", "", line) for line in lines_of(path)])
        # It says a connection's last request again when that is closed; sizes are those of a connection.
        log = Log(results[1])
        equal(set(log.bare), set(results[0]), "without ours its lines are as ever")
        compare("webfsd's log", log, None, 200)


def test_php():
    """PHP's own server says by fprintf whom it has answered."""
    with Scene() as scene:
        if shutil.which("php", path=PATH) is None:
            return skip("PHP's server's log", "php is not installed")
        scene.write("index.php", "<?php echo 'ok';")
        results = []
        for environment in ({"LD_PRELOAD": ""}, {"BURDOCK_LOGS": "2"}):
            port = free_port()
            process = scene.start(["php", "-S", "127.0.0.1:%d" % port, "-t", scene.directory], "php",
                                  port=port, **environment)
            ask(port, 100, 8)
            scene.stop(process)
            lines = scene.stderr(process).decode().splitlines()
            results.append([re.sub(r"^\[.*?\] |127.0.0.1:\d+ ", "", line) for line in lines if "/r/" in line])
        compare("PHP's server", Log(results[1]), results[0], 50)


# --- the same lines as records ----------------------------------------------------------------

def programs(scene, port):
    """Of the distribution, with what they are told and what they then say last: they log by fprintf, to
    standard error, to standard output or to a file that they open for each line. None speaks HTTP."""
    configured = scene.write("mosquitto.conf", "listener %d 127.0.0.1\nallow_anonymous true\n" % port)
    return {
        "memcached": (["memcached", "-vv", "-U", "0", "-l", "127.0.0.1", "-p", str(port), "-u", "nobody"],
                      b"set a 0 0 1\r\nx\r\nget a\r\nquit\r\n", b"connection closed"),
        "mosquitto": (["mosquitto", "-v", "-c", configured], b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\1a\xe0\0", b" disconnected"),
        "redis-server": (["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--loglevel",
                          "debug", "--logfile", scene.path("redis.log")], b"PING\r\nSHUTDOWN NOSAVE\r\n", b"bye bye"),
        "beanstalkd": (["beanstalkd", "-VV", "-l", "127.0.0.1", "-p", str(port)],
                       b"put 1 0 10 1\r\nx\r\nreserve\r\nquit\r\n", b"close ")}


def logged(scene, name, collector=None, **environment):
    port = free_port()
    command, told, last = programs(scene, port)[name]
    if os.path.exists(scene.path("redis.log")):
        os.unlink(scene.path("redis.log"))
    process = scene.start(command, name, port=port, **environment)

    def text():
        files = [process.out_path, process.err_path, scene.path("redis.log")]
        return b"".join(open(path, "rb").read() for path in files if os.path.exists(path))
    raw(port, told, timeout=10)
    wait_until(lambda: last in text())
    # A signal ends some at once; what is not sent by then is for others to recover.
    wait_until(lambda: collector is None or len(collector.logs()) >= len(text().splitlines()))
    scene.stop(process)
    return text()


def test_records():
    """Programs that serve no requests: their logs are as bare, numbers apart, and each line is a record."""
    def plain(text):
        return sorted(re.sub(rb"0x[0-9a-f]+|[0-9.:]+|<\w+>| [A-Z][a-z]{2} |\bserver_cron.*|#\S*", b"", line)
                      for line in text.splitlines())
    with Scene() as scene:
        for name in ("memcached", "mosquitto", "redis-server", "beanstalkd"):
            if shutil.which(name, path=PATH) is None:
                skip(name + "'s log", name + " is not installed")
                continue
            collector = otlp.Collector(scene)
            bare = logged(scene, name, LD_PRELOAD="")
            found = logged(scene, name, collector, BURDOCK_LOGS="1,2," + scene.path("redis.log"), OTEL_LOGS_EXPORTER="otlp",
                           OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
            lines = [line for line in found.decode().splitlines() if line.strip()]
            check(len(lines) > 5 and plain(found) == plain(bare), "%s: %d lines as bare" % (name, len(lines)),
                  "%r\n%r" % (plain(found), plain(bare)))
            wait_until(lambda: len(collector.logs()) >= len(lines))
            logs = collector.logs()
            equal(sorted(log.body for log in logs), sorted(lines), name + ": each line is a record")
            equal({log.trace for log in logs}, {""}, name + ": of no request")


def test_records_in_pieces():
    """A line in pieces is one record, in its request's span; what was not seen of it is not told."""
    with Scene() as scene:
        collector = otlp.Collector(scene)
        answer, out, err = daemon(scene, "none", "file", collector, OTEL_LOGS_EXPORTER="otlp",
                                  OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        joined = {line for text in (out, err) for line in joins(text)[0]}
        logs = collector.logs()
        bodies = [log.body for log in logs]
        plain = {without_ours(line.encode() + b"\n").decode()[:-1] for line in joined}
        equal(plain - set(bodies), set(), "each line that got its ids is a record")
        wrong = [log for log in logs if log.trace and log.trace != trace_id(int(re.search(r"/r/(\d+)", log.body)[1]))]
        equal(wrong, [], "none of a stranger's")
        equal({log.body for log in logs if not log.trace} & plain, set(), "and has them, too")


if __name__ == "__main__":
    main(globals())
