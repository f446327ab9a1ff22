#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The circuit breakers: a process that stopped observing itself says why, and a service that keeps
crashing is left alone, says so, and can be allowed again."""
import platform
import signal
import struct

from harness import *

LOADER = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
BROKEN_AT = 316  # in a ring file: runtime/ring.h
CRASHES = 5      # runtime/guard.h
# One request; then as it was told to end.
CLIENT = """
import http.client, os, signal, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/" + sys.argv[2])
connection.getresponse().read()
sys.stdin.readline()
if sys.argv[2] == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def doctor(scene, *arguments):
    done = subprocess.run([BURDOCK, "doctor", *arguments], env=scene.env(traced=False),
                          capture_output=True, text=True)
    return done.stdout


def test_broken_process():
    """The library writes this itself (the stress test sees it do so); here the doctor reads it."""
    with Scene() as scene:
        back = scene.service()
        get(back.port)
        wait_until(lambda: scene.rings_left())
        path, = glob.glob(os.path.join(scene.rings, "burdock-*.ring"))
        with open(path, "r+b") as file:
            file.seek(BROKEN_AT)
            file.write(struct.pack("<I", 1) + b"two and two were five\0")
        out = doctor(scene, str(back.pid))
        check("fail  the library stopped observing this process: two and two were five" in out,
              "the doctor tells why the breaker opened", out)


def client(scene, port, path, command=(PYTHON,), end=None, **more):
    """Runs one; it is ended after its span, and those of whoever died before it, are stored."""
    process = scene.start([*command, "-c", CLIENT, str(port), path], "fragile", stdin=subprocess.PIPE,
                          BURDOCK_CRASH_GUARD="1", **more)
    wait_until(end or (lambda: process.poll() is not None))
    process.stdin.close()
    return process.wait(20)


def paths(scene):
    return [span.attributes.get("url.full", "").rsplit("/", 1)[-1] for span in scene.spans()]


def test_crash_guard():
    with Scene() as scene:
        back = scene.service(traced=False)
        for number in range(1, CRASHES + 2):
            status = client(scene, back.port, "crash",
                            end=lambda: paths(scene).count("crash") >= number and
                            len(scene.rings_left()) == 1)  # its predecessor's has been found
            equal(status, -signal.SIGSEGV, "crash %d is the program's own" % number)
            second = int(time.time())
            wait_until(lambda: int(time.time()) > second)
        client(scene, back.port, "after", end=lambda: True)
        equal(paths(scene).count("after"), 0, "after %d crashes the service is left alone" % CRASHES)
        process = scene.start([PYTHON, "-c", "input()"], "fragile", stdin=subprocess.PIPE)
        for arguments in ((), (str(process.pid),)):
            out = doctor(scene, *arguments)
            check("fragile is left alone since" in out, "doctor %s tells so" % " ".join(arguments), out)
        if os.path.exists(LOADER.get(platform.machine(), "")):
            plain = dict(scene.env("fragile", traced=False))
            subprocess.run([LOADER[platform.machine()], "--preload", LIBRARY, PYTHON, "-c", CLIENT,
                            str(back.port), "whole"], env=plain, stdin=subprocess.DEVNULL, timeout=20)
            equal(paths(scene).count("whole"), 0, "so it is where LD_PRELOAD does not name the library")
        allowed = subprocess.run([BURDOCK, "allow", "fragile"], env=scene.env(traced=False))
        equal(allowed.returncode, 0, "it is allowed again")
        client(scene, back.port, "again", end=lambda: paths(scene).count("again") == 1)
        equal(paths(scene).count("again"), 1, "and traced again")


main(globals(), needs=[PYTHON])
