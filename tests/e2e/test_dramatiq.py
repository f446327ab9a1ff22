# SPDX-License-Identifier: Apache-2.0
"""dramatiq's tasks by RabbitMQ: one thread reads, others work, and what each does is under its own message."""
import os

from harness import APPS, BUILD, Scene, check, equal, main, skip, wait_until
from rabbit import SERVER, Rabbit
from test_amqp import clear, of_messages, start_redis

PYTHON = os.path.join(BUILD, ".venv/bin/python")
APP = os.path.join(APPS, "dramatiq_app.py")
COUNT = 100
NUMBERS = sorted([str(k) for k in range(COUNT)] + ["%d.1" % k for k in range(0, COUNT, 5)])


def play(scene, rabbit, redis, threads, delay, traced, carriers):
    told = scene.path("told")
    scene.write("told", "")
    environment = dict(BROKER="amqp://guest:guest@127.0.0.1:%d/" % rabbit.port, REDIS=str(redis), TOLD=told,
                       PYTHONPATH=APPS, BURDOCK_CARRIERS=carriers, DELAY=str(delay))
    sent = scene.run([PYTHON, APP, str(COUNT)], "front", traced=traced, **environment)
    equal((sent.returncode, sent.stderr), (0, b""), "tasks are sent")
    worker = scene.start([PYTHON, "-m", "dramatiq", "dramatiq_app", "--processes", "1", "--threads",
                          str(threads)], "worker", traced=traced, **environment)

    def numbers():
        with open(told) as file:
            return sorted(file.read().split())

    wait_until(lambda: len(numbers()) >= len(NUMBERS), 60)
    status = scene.stop(worker, timeout=60)
    return numbers(), status


def number_of(message, spans, sent):
    """By who has sent it: the front, one after the other, a task, or dramatiq when its time has come."""
    sender = spans.get(message.parent)
    if sender is None or sender.id in sent:
        return sender and str(sent.index(sender.id))
    task = spans.get(sender.parent)
    number = task and number_of(task, spans, sent)
    return number and (number if task.name == "consume work.DQ" else number + ".1")


def check_tasks(scene, rabbit, redis, threads, carriers="python", delay=0):
    what = "%d threads, carriers: %s, others %d ms later" % (threads, carriers, delay)
    equal(play(scene, rabbit, redis, threads, delay, False, carriers), (NUMBERS, 0), what + ": bare, each is done once")
    equal(play(scene, rabbit, redis, threads, delay, True, carriers), (NUMBERS, 0), what + ": traced as well")
    spans = {span.id: span for span in scene.wait_spans(len(NUMBERS) * 5)}
    sent = [span.id for span in sorted(spans.values(), key=lambda span: span.start)
            if span.service == "front" and span in of_messages([span], "publish")]
    equal(len(sent), COUNT, what + ": each is sent once")
    numbers = {span.id: number_of(span, spans, sent) for span in of_messages(spans.values(), "consume")}
    calls = [span for span in spans.values() if span.attributes.get("db.system.name") == "redis"]
    equal(len(calls), 2 * len(NUMBERS), what + ": its calls are told")
    known = [span for span in calls if span.parent]
    equal([span.attributes["db.query.text"] for span in known if numbers.get(span.parent, "") is not None and
           "GET m:%s" % numbers.get(span.parent) != span.attributes["db.query.text"]], [],
          what + ": none is under another message")
    print("# %s: %d of %d calls are known" % (what, len(known), len(calls)))
    # Each thread's first, for which it waited before it was looked at.
    check(carriers == "none" or len(calls) - len(known) <= 2 * threads, what + ": the others are known", len(known))
    if carriers != "none" and not delay:
        check(sum(number is not None for number in numbers.values()) >= len(NUMBERS) - threads,
              what + ": and so is who has sent it", numbers)
    clear(scene)


def test_dramatiq():
    with Scene() as scene:
        if scene.run([PYTHON, "-c", "import dramatiq, pika"], traced=False).returncode:
            return skip("dramatiq", "it is not in build/.venv (./check puts it there)")
        rabbit, redis = Rabbit(scene), start_redis(scene)
        for threads in 1, 4:
            check_tasks(scene, rabbit, redis, threads)
        check_tasks(scene, rabbit, redis, 4, delay=100)
        check_tasks(scene, rabbit, redis, 4, "none")


scope = {"test_dramatiq": test_dramatiq}
if __name__ == "__main__":
    main(scope, needs=[SERVER])
