# SPDX-License-Identifier: Apache-2.0
"""A service that sends tasks with Celery, its worker, and what is asked of the spans of both."""
import concurrent.futures
import os

from harness import APPS, PYTHON, equal, free_port, get, wait_until

APP = os.path.join(APPS, "celery_app.py")


class Shop:
    """A service that sends tasks, and a worker."""

    def __init__(self, scene, broker, redis, pool, carriers="python", **settings):
        self.scene, self.port = scene, free_port()
        self.told_at = scene.path("told")
        scene.write("told", "")
        environment = dict(settings, BROKER=broker,
                           REDIS=str(redis), TOLD=self.told_at, PYTHONPATH=APPS,
                           BURDOCK_CARRIERS=carriers, C_FORCE_ROOT="1")
        self.worker = scene.start([PYTHON, "-m", "celery", "-A", "celery_app", "worker", "-l", "INFO",
                                   "-P", pool, "-c", "1" if pool == "solo" else "3"],
                                  "worker", **environment)
        if not wait_until(lambda: b" ready." in scene.stderr(self.worker), 60):
            raise RuntimeError(scene.stderr(self.worker)[-800:])
        self.front = scene.start([PYTHON, APP, str(self.port)], "front", port=self.port, **environment)

    def ask(self, kind, count, clients=4):
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            return set(pool.map(lambda number: get(self.port, "/%s/%d" % (kind, number))[0],
                                range(count)))

    def told(self):
        with open(self.told_at) as file:
            return file.read().splitlines()

    def end(self, what):
        equal(self.scene.stop(self.worker, timeout=60), 0, what + ": the worker ends well")
        self.scene.stop(self.front)


def number_of_call(span):
    return span.attributes["db.query.text"].split("m:")[1]


def way_of(span, spans):
    """From a task's call to its request: names, and the number of that."""
    names = []
    while span is not None and span.kind != "SERVER":
        span = spans.get(span.parent)
        names.append("none" if span is None else span.name)
    return names, span and span.attributes["url.path"].split("/")[2]


def calls_of(spans):
    return [span for span in spans if span.attributes.get("db.query.text", "").startswith("GET m:")]
