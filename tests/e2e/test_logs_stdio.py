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


def daemon(scene, how, into, **environment):
    """into: file, appended to and chosen by its path; pipe; or by its number."""
    port = free_port()
    program = os.path.join(BUILD, "tests/e2e/log_stdio")
    out, err = scene.path("out-%s-%d" % (how, port)), scene.path("err-%s-%d" % (how, port))
    redirect = {"file": ">>%s 2>>%s", "number": ">%s 2>%s", "pipe": "> >(cat >%s) 2> >(cat >%s)"}[into] % (out, err)
    logs = "%s,%s" % (out, err) if into == "file" else "1,2"
    process = scene.start(["bash", "-c", "exec %s %d %s %s" % (program, port, how, redirect)], "daemon",
                          port=port, BURDOCK_LOGS=logs, **environment)
    found = answers(port)
    scene.stop(process)

    wait_until(lambda: b"dprintf_chk /r/%d" % (ROUNDS - 1) in open(err, "rb").read())
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


if __name__ == "__main__":
    main(globals())
