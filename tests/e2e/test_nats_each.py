# SPDX-License-Identifier: Apache-2.0
"""nats-py: what a program does for a message of JetStream is under that message's span, however many it has in
hand."""
import os

from harness import APPS, Scene, check, equal, main, skip
from test_nats import PYTHON, Server, by, has_client, subject

APP = os.path.join(APPS, "nats_each.py")
COUNT = int(os.environ.get("NATS_MESSAGES", "200"))
PYTHON = os.environ.get("NATS_PYTHON", PYTHON)
# How it consumes, and how many calls are roots at most; None: they may all be.
WAYS = (("callback", 0), ("next", 0), ("for", 0), ("eight", 0), ("tasks", 0), ("pull", 0),
        ("some", None), ("ahead", None), ("callback-none", 5), ("eight-none", 5), ("for-none", 5))


def play(way, roots_max):
    with Scene() as scene:
        server = Server(scene, 'jetstream: { store_dir: "%s" }' % scene.path("js"))
        back = scene.service("back", traced=False)
        url = "http://127.0.0.1:%d/echo/" % back.port
        done = scene.run([PYTHON, APP, way, str(server.port), str(COUNT), url], "each", timeout=120)
        check(done.returncode == 0, way + ": runs", done.stderr[-2000:])
        acks = 0 if way.endswith("-none") else COUNT
        spans = scene.wait_spans(4 * COUNT + acks, timeout=60)
        worked = {span.id: span for span in by(spans, "process")}
        equal(len(worked), COUNT, way + ": each message is told once")
        sent = {span.id: span for span in by(spans, "publish")}
        equal([span.name for span in worked.values() if subject(sent.get(span.parent)) != subject(span)], [],
              way + ": each under its own sending")
        calls = [(span, span.attributes["url.full"].rsplit("/")[-1]) for span in spans
                 if "url.full" in span.attributes]
        ends = [(span, subject(span)[5:]) for span in sent.values() if subject(span).startswith("done.")]
        equal((len(calls), len(ends)), (COUNT, COUNT), way + ": each has its call, and an end")
        equal([(number, span.name) for span, number in calls + ends if span.parent and
               (span.parent not in worked or subject(worked[span.parent]) != number)][:5], [],
              way + ": none under another")
        roots = [sum(not span.parent for span, _ in what) for what in (calls, ends)]
        if "NATS_SHOW" in os.environ:
            print(way, "roots", roots, "longest", max(span.end - span.start for span in worked.values()) // 10**6)
        check(roots_max is None or roots[0] <= roots_max, way + ": calls that are known", roots)


def make(way, roots_max):
    def test():
        if not has_client():
            return skip(way, "nats-py is not there")
        play(way, roots_max)
    return test


for way, roots_max in WAYS:
    globals()["test_" + way.replace("-", "_")] = make(way, roots_max)

if __name__ == "__main__":
    main(globals(), ["nats-server"])
