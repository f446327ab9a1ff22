# SPDX-License-Identifier: Apache-2.0
"""Node: what runs inline, pools that are exhausted, and work that is put off. The clients from npm
are installed by run.py --install."""
from workloads import app, workload


def node(number, name, cells):
    workload(number, name, cells, lambda stage: stage.serve(["node", app("node.mjs")]), ["node"])


node("W10", "Node http, fetch, Promise.all", "http:2 fetch:2 all:4 pg:2:pg:node:pg")
node("W11", "Node, exhausted pools", "agent:2 undici:2:http:node:undici pgfew:2:pg:node:pg")
node("W12", "Node, Redis", "redis:2:resp:node:ioredis pipeline:2:resp:node:ioredis "
     "noderedis:2:resp:node:redis")
node("W13", "Node, work put off", "timer:2 immediate:2 fs:2 dns:2 both:2 after:3 cron:2")
node("W14", "Node, an application's queue", "queue:2")
node("W24", "Node, DataLoader", "batch:1")
