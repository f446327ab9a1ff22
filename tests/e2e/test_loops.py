# SPDX-License-Identifier: Apache-2.0
"""Event loops that no carrier knows, and that write once they may, by epoll, poll and select: isolated, each
call is under its own request, be its connection a pool's. The first requests show that the loop is to be trusted."""
import os
import re
import subprocess

from harness import APPS, PATH, Scene, equal, free_port, load, main, skip
from tasks_scene import backend, judge

FIRST, REQUESTS, CONCURRENCY = 500, 300, 16
WAYS = {"fresh": 2, "kept": 2}


def works(*command):
    return subprocess.run(command, env={"PATH": PATH}, capture_output=True).returncode == 0


def play(text, command, **environment):
    port = free_port()
    command = [word.replace("PORT", str(port)) for word in command]
    with Scene() as scene:
        target = "http://127.0.0.1:%d" % backend(scene)
        scene.start(command, "front", port=port, TARGET=target, BURDOCK_ISOLATION="always", **environment)
        for way, count in {"first": FIRST, **dict.fromkeys(WAYS, REQUESTS)}.items():
            path = "/fresh/9%03d" if way == "first" else "/%s/%%d" % way
            equal(load(port, count, CONCURRENCY, path)[:3], [], "%s, %s: every request is answered" % (text, way))
        spans = scene.wait_spans(3 * FIRST + 3 * REQUESTS * len(WAYS), timeout=60)
        judge([span for span in spans if not is_first(span)], text, WAYS, REQUESTS, True,
              dict.fromkeys(WAYS, 0.1))


def is_first(span):
    return re.search("/fresh/9...$", span.attributes.get("url.full") or span.attributes["url.path"])


def mojo(reactor):
    if not works("perl", "-MMojolicious", "-MEV", "-e1"):
        return skip("Mojolicious", "libmojolicious-perl or libev-perl is not installed")
    play("Mojolicious, " + reactor,
         ["perl", os.path.join(APPS, "loop_mojo.pl"), "daemon", "-m", "production", "-l", "http://127.0.0.1:PORT"],
         MOJO_REACTOR="Mojo::Reactor::" + reactor)


def test_epoll():
    mojo("EV")


def test_poll():
    mojo("Poll")


def test_select():
    if not works("ruby", "-reventmachine", "-e1"):
        return skip("EventMachine", "ruby-eventmachine is not installed")
    play("EventMachine", ["ruby", os.path.join(APPS, "loop_eventmachine.rb"), "PORT"])


if __name__ == "__main__":
    main(globals())
