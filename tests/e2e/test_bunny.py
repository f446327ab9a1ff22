# SPDX-License-Identifier: Apache-2.0
"""bunny, Ruby's client of RabbitMQ: one thread reads, those of pools work, and what each does is under its own message."""
import os

from harness import APPS, Scene, equal, main, skip
from rabbit import SERVER
from test_amqp import Broker, check_calls, clear, start_redis, strangers

APP = os.path.join(APPS, "bunny_worker.rb")
COUNT = 120


def consume(scene, rabbit, redis, options, traced, carriers="ruby"):
    sent = rabbit.work("publish", COUNT, traced=traced)
    done = scene.run(["ruby", APP, str(rabbit.port), str(COUNT), str(redis), *map(str, options)], "consume",
                     traced=traced, BURDOCK_CARRIERS=carriers)
    equal((done.returncode, done.stderr), (0, b""), "%s: it ends as it should" % (options,))
    lines = done.stdout.decode().splitlines()
    equal(lines[:-1], ["%s %s" % (line.split()[0], line.split()[-1]) for line in sent], "what comes is what was sent")
    return lines[-1]


def test_bunny():
    with Scene() as scene:
        if scene.run(["ruby", "-e", "require 'bunny'"], traced=False).returncode:
            return skip("bunny", "ruby-bunny is not installed")
        rabbit, redis = Broker(scene), start_redis(scene)
        methods = consume(scene, rabbit, redis, (10, "each", 1, 1), False)
        for options, carriers, roots in (((1, "each", 1, 1), "ruby", 0), ((10, "each", 1, 1), "ruby", 0),
                                         ((50, "first", 4, 2), "ruby", 0), ((10, "fail", 2, 1), "ruby", 0),
                                         ((0, "none", 4, 1), "ruby", COUNT), ((10, "each", 1, 1), "none", COUNT)):
            what = "%s, carriers: %s" % (options, carriers)
            equal(consume(scene, rabbit, redis, options, True, carriers), methods, what + ": its methods are bunny's")
            spans = scene.wait_spans(COUNT * (4 if options[1] != "none" else 3))
            equal(strangers(spans), [], what + ": each under its own message's")
            check_calls(spans, COUNT, what, roots)
            clear(scene)


scope = {"test_bunny": test_bunny}
if __name__ == "__main__":
    main(scope, needs=[SERVER])
