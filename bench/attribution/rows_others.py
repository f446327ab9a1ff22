# SPDX-License-Identifier: Apache-2.0
"""Java, and consumers of queues."""
from cell import harness
from workloads import app, workload

workload("W22", "JDK HttpServer", "sync:2 pool:2 submit:2 scheduled:2 supply:2 async:2",
         lambda stage: stage.serve(["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                                    app("Calls.java")]), ["java", "javac"])


def consumer(stage):
    port = harness.free_port()
    stage.start(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                 stage.directory], "redis", False, port)
    return stage.serve([harness.PYTHON, app("consumer.py")], REDIS_PORT=str(port))


workload("W23", "batch consumer", "blpop:1:resp lpop:1:resp", consumer,
         ["redis-server", "python:redis"])
