# SPDX-License-Identifier: Apache-2.0
"""Celery's tasks by RabbitMQ: what a task does is under its own message, or, in a process that has it
by a pipe, beside that, and both under the request that has sent it."""
import collections

from celery_shop import Shop, calls_of, number_of_call, way_of
from harness import PYTHON, Scene, check, equal, get, main, skip, wait_until
from rabbit import SERVER, Rabbit
from test_amqp import clear, of_messages, start_redis

BROKER = "amqp://guest:guest@127.0.0.1:%d//"
TASKS = {"once": 1, "later": 1, "twice": 2, "chain": 2, "pooled": 1}


def check_tasks(scene, rabbit, redis, pool, kind, known, **settings):
    count, what = 40, "%s, %s, %s" % (pool, kind, settings)
    shop = Shop(scene, BROKER % rabbit.port, redis, pool, **settings)
    wanted = count * TASKS[kind]
    equal(shop.ask(kind, count), {200}, what + ": every request is answered")
    wait_until(lambda: len(shop.told()) >= wanted, 60)
    numbers = [str(k) for k in range(count)] if TASKS[kind] == 1 else \
        ["%d.%d" % (k, n) for k in range(count) for n in range(TASKS[kind])]
    equal(sorted(shop.told()), sorted("%s ['traceparent']" % number for number in numbers),
          what + ": each task has been worked on once, and has our context")
    shop.end(what)
    spans = scene.wait_spans(wanted * 3 + count)
    calls, by_id = calls_of(spans), {span.id: span for span in spans}
    equal(sorted(map(number_of_call, calls)), sorted(numbers), what + ": its calls are told")
    ways = [(number_of_call(span), *way_of(span, by_id)) for span in calls if span.parent]
    equal([way for way in ways if way[2] is not None and way[2] != way[0].split(".")[0]], [],
          what + ": none is under another's request")
    parents = {"solo": {"consume celery"}, "prefork": {"publish celery"}, # what was put off, beside its message
               "threads": {"consume celery", "publish celery"} if kind in ("twice", "later") else {"consume celery"}}
    equal({way[1][0] for way in ways} - parents[pool], set(), what + ": but under its message")
    print("# %s: %d of %d calls are roots" % (what, len(calls) - len(ways), len(calls)))
    check(len(ways) >= known * len(calls), what + ": those that are to be known are", len(ways))
    if known == 1:
        equal({way[2] for way in ways}, {str(k) for k in range(count)},
              what + ": and each message under the request that has sent it")
    clear(scene)


def test_pools(scene, rabbit, redis):
    for pool in "solo", "threads":
        for prefetch, late in ("1", "0"), ("4", "0"), ("4", "1"):
            check_tasks(scene, rabbit, redis, pool, "once", 1, PREFETCH=prefetch, LATE=late)
        check_tasks(scene, rabbit, redis, pool, "chain", 1)
        check_tasks(scene, rabbit, redis, pool, "twice", 1 if pool == "threads" else 0.5)
        check_tasks(scene, rabbit, redis, pool, "later", 1 if pool == "threads" else 0)


def test_processes(scene, rabbit, redis):
    """The message is another process's: what a task does is under who has sent it."""
    for kind in "once", "chain", "twice", "later":
        check_tasks(scene, rabbit, redis, "prefork", kind, 1, LATE="1" if kind == "once" else "0")


def test_no_carrier(scene, rabbit, redis):
    check_tasks(scene, rabbit, redis, "solo", "once", 0, carriers="none")
    check_tasks(scene, rabbit, redis, "threads", "once", 0, carriers="none")
    check_tasks(scene, rabbit, redis, "prefork", "once", 0, carriers="none")


def test_pool_of_connections(scene, rabbit, redis):
    """Filled by the first request, and used by others before anything was returned to it."""
    shop = Shop(scene, BROKER % rabbit.port, redis, "solo")
    equal(shop.ask("pooled", 4), {200}, "pooled: every request is answered")
    equal(get(shop.port, "/nobodys/0")[0], 200, "pooled: and nobody's task is sent")
    wait_until(lambda: len(shop.told()) == 5, 60)
    shop.end("pooled")
    spans = scene.wait_spans(5 * 4)
    by_id = {span.id: span for span in spans}
    equal(collections.Counter((number_of_call(span), way_of(span, by_id)[1])
                              for span in calls_of(spans)),
          {("0", "0"): 1, ("1", "1"): 1, ("2", "2"): 1, ("3", "3"): 1, ("nobody's", None): 1},
          "pooled: each task is under its own request, and nobody's under none")
    clear(scene)


def test_celery():
    with Scene() as scene:
        if scene.run([PYTHON, "-c", "import celery"], traced=False).returncode:
            return skip("Celery", "python3-celery is not installed")
        rabbit, redis = Rabbit(scene), start_redis(scene)
        for part in test_pool_of_connections, test_processes, test_no_carrier, test_pools:
            part(scene, rabbit, redis)


scope = {"test_celery": test_celery}
if __name__ == "__main__":
    main(scope, needs=[SERVER])
