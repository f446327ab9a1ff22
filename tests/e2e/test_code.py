# SPDX-License-Identifier: Apache-2.0
"""Which code made a call: the native stack of calls that were slow or failed, symbolised."""
import os
import subprocess
import time

from harness import BUILD, RawServer, Scene, check, equal, main, read_head

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps")
SLOW = 0.15  # seconds; stacks are taken from 0.1 on
MAKERS = ["look_up_price", "fill_cart", "main"]


def build(scene, *flags):
    path = scene.path("calls")
    subprocess.run(["gcc", "-O2", "-fomit-frame-pointer", *flags, "-o", path,
                    os.path.join(APPS, "calls.c")], check=True)
    return path


def prices(scene):
    def serve(connection):
        path = read_head(connection).split()[1]
        if b"slow" in path:
            time.sleep(SLOW)
        status = b"503 No" if b"error" in path else b"200 OK"
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % status)
    return RawServer(scene, serve)


def stacks(mode, paths, flags=(), **environment):
    """By path: the names of the functions in the call's stack, and which of them is said to have
    made it."""
    with Scene(**environment) as scene:
        program, server = build(scene, *flags), prices(scene)
        scene.as_bare([program, str(server.port), mode, *paths], mode + " calls", spans=len(paths))
        return {span.attributes["url.full"].rsplit("/", 1)[1]:
                ([line.split("+")[0] for line in
                  span.attributes.get("code.stacktrace", "").splitlines()],
                 span.attributes.get("code.function.name")) for span in scene.spans()}


def makers(stack):
    return [name for name in stack if name in MAKERS]


def test_slow_and_failed():
    for mode in ("blocking", "polled"):
        found = stacks(mode, ["/slow", "/error", "/fine"])
        for path in ("slow", "error"):
            frames, maker = found[path]
            equal(makers(frames), MAKERS, "%s: %s says who made it" % (mode, path))
            equal(maker, "read_answer", "%s: %s was waited for" % (mode, path))
            check(not any("burdock" in name for name in frames), "our own frames are not told",
                  frames)
        equal(found["fine"], ([], None), "%s: what is quick and well says nothing" % mode)


def line_of(text):
    """Of calls.c: where it has this."""
    with open(os.path.join(APPS, "calls.c")) as file:
        return next(number for number, line in enumerate(file, 1) if text in line)


def sources(*flags, separate=None):
    """Of a slow call: the lines of its stack that are the program's own, and the attributes that say
    which code made it; of a program that `separate` takes the debug information out of."""
    with Scene() as scene:
        program, server = build(scene, *flags), prices(scene)
        for command in separate(program) if separate else []:
            subprocess.run(command, check=True)
        scene.as_bare([program, str(server.port), "blocking", "/slow"], "calls", spans=1)
        span, = scene.spans()
        shown = scene.run([os.path.join(BUILD, "cli/burdock"), "show", "-a", span.trace],
                          traced=False).stdout.decode()
        own = [line for line in span.attributes["code.stacktrace"].splitlines() if "(calls)" in line]
        return own, span.attributes, shown


def check_lines(found, what):
    """The first is where it waited, the next are who called that."""
    own, attributes, shown = found
    path = os.path.join(APPS, "calls.c")
    marks = ["while (read(fd", "read_answer(fd);", "look_up_price(port, path);", "fill_cart(port, arg"]
    expected = [":".join((path, str(line_of(mark)))) for mark in marks]
    equal([line.split(") ")[-1] for line in own[:4]], expected, what + ": a line for each frame")
    equal((attributes.get("code.file.path"), attributes.get("code.line.number")),
          (path, line_of(marks[0])), what + ": where it was made")
    for text in (expected[1], "code.file.path", "code.line.number"):
        check(text in shown, what + ": burdock show prints " + text, shown)


def test_lines():
    check_lines(sources("-gdwarf-5"), "DWARF 5")
    check_lines(sources("-gdwarf-4"), "DWARF 4, of a source by its whole path")
    check_lines(sources("-gdwarf-5", "-gz=zlib"), "compressed by zlib")
    check_lines(sources("-gdwarf-4", separate=lambda program: [
        ["objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", program, program + ".debug"],
        ["strip", "-g", program], ["objcopy", "--add-gnu-debuglink=" + program + ".debug", program]]),
                "compressed in a file of its own")
    check_lines(sources("-gdwarf-5", separate=lambda program: [
        ["objcopy", "--only-keep-debug", program, program + ".debug"], ["strip", "-g", program],
        ["objcopy", "--add-gnu-debuglink=" + program + ".debug", program]]), "in a file of its own")


def test_no_lines():
    own, attributes, _ = sources("-g0")
    check(own and all(line.endswith("(calls)") for line in own),
          "without debug information names alone", own)
    equal(attributes.get("code.line.number"), None, "without debug information no line")


def test_loop():
    found = stacks("loop", ["/slow", "/error"])
    equal([found["slow"], found["error"]], [([], None)] * 2,
          "after a wait for others the stack need not be the caller's: it is not told")


def test_threshold():
    found = stacks("blocking", ["/fine"], BURDOCK_STACKTRACE_MIN_DURATION="0")
    equal(makers(found["fine"][0]), MAKERS, "0: every call")
    found = stacks("blocking", ["/slow", "/error"], BURDOCK_STACKTRACE_MIN_DURATION="none")
    equal([found["slow"], found["error"]], [([], None)] * 2, "none: no call")
    found = stacks("blocking", ["/slow"], BURDOCK_STACKTRACE_MIN_DURATION="5000")
    equal(found["slow"], ([], None), "5000: this was not slow")


def test_without_names():
    frames, maker = stacks("blocking", ["/slow"], flags=["-s"])["slow"]
    check(frames and all(not name.startswith("0x") for name in frames),
          "a stripped program's addresses are told by file", frames)
    check(frames.count("calls") >= 3, "each frame of it", frames)
    equal(maker, None, "and nothing is said to have made it")


def test_no_connection():
    with Scene() as scene:
        program = build(scene)
        refused = RawServer(scene, lambda connection: None)
        refused.close()
        scene.run([program, str(refused.port), "blocking", "/"])
        span, = scene.wait_spans(1)
        equal(span.attributes.get("code.function.name"), "look_up_price", "a failed connect")


def test_sampled_out():
    """A failed connect that is no span leaves its stack to nobody."""
    with Scene(OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5") as scene:
        program, server = build(scene), prices(scene)
        refused = RawServer(scene, lambda connection: None)
        refused.close()
        turns = ["@%d" % refused.port, "/refused", "@%d" % server.port, "/fine"] * 40
        scene.run([program, "0", "blocking", *turns])
        fine = [span for span in scene.wait_spans(1) if "url.full" in span.attributes]
        check(len(fine) > 5, "some of what is well is told", len(fine))
        equal([span for span in fine if "code.stacktrace" in span.attributes], [],
              "none of it has a stack")


main(globals(), needs=["gcc"])
