# SPDX-License-Identifier: Apache-2.0
"""Ruby: Rack's servers."""
from workloads import app, workload


CELLS = "fresh:2 kept:2 pool:2 sleep:2 thread:2 queue:2 after:2 redis:2:resp pg:2:pg"


def puma(*options):
    return lambda stage: stage.serve(["puma", "--quiet", "--environment", "production", "--bind",
                                      "tcp://127.0.0.1:%d" % stage.port, *options, app("calls.ru")])


workload("W32", "puma", CELLS, puma("--threads", "5"), ["puma"])
workload("W33", "puma, two workers", CELLS, puma("--threads", "16", "--workers", "2"), ["puma"])
workload("W34", "unicorn", "fresh:2 kept:2 after:2 redis:2:resp pg:2:pg",
         lambda stage: stage.serve(["unicorn", "--env", "production", "--no-default-middleware", "--listen",
                                    "127.0.0.1:%d" % stage.port, app("calls.ru")]), ["unicorn"])
