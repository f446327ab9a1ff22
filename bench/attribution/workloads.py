# SPDX-License-Identifier: Apache-2.0
"""The workloads: a row each. A cell of a row is a path of the server; it says how many calls a
request makes and, where they are not HTTP, by which protocol."""
import glob
import os
import shutil
import signal
from types import SimpleNamespace

from cell import APPS, MODULES, PROGRAMS, harness

RECORDED = {"http"}  # protocols of calls and requests that Burdock makes spans of

workloads = []


def workload(number, name, cells, needs=(), stop_signal=signal.SIGTERM):
    """Enters a server into the table. Cells: "name:calls" or "name:calls:protocol", by spaces; a
    need is a program by name or path, or "python:module", or "node:module"."""
    def enter(start):
        parsed = {}
        for text in cells.split():
            cell, calls, *protocol = text.split(":")
            parsed[cell] = SimpleNamespace(calls=int(calls), protocol=(protocol or ["http"])[0])
        workloads.append(SimpleNamespace(number=number, name=name, cells=parsed, needs=needs,
                                         start=start, stop_signal=stop_signal))
        return start
    return enter


def is_there(need):
    kind, _, module = need.partition(":")
    if module and kind == "python":
        return bool(glob.glob("/usr/lib/python3/dist-packages/%s*" % module))
    if module and kind == "node":
        return os.path.exists(os.path.join(MODULES, "node_modules", module))
    if "/" in need:
        return bool(glob.glob(need))
    return shutil.which(need, path=harness.PATH) is not None


def missing(row):
    return [need for need in row.needs if not is_there(need)]


def app(name):
    return os.path.join(APPS, name)


def built(name):
    return os.path.join(PROGRAMS, name)


@workload("W1", "C, thread per connection", "fresh:2 kept:2 after:2", [built("threads")])
def threads(stage):
    return stage.program("threads")


NGINX = """
upstream fresh { server 127.0.0.1:%(http)d; }
upstream kept { server 127.0.0.1:%(http)d; keepalive 8; }
upstream retry { server 127.0.0.1:%(nobody)d max_fails=0; server 127.0.0.1:%(http)d max_fails=0; }
upstream late { server 127.0.0.1:%(slow)d max_fails=0; server 127.0.0.1:%(http)d max_fails=0; }
keepalive_requests 1000000;
"""
NGINX_PATHS = """
location /fresh/ { proxy_pass http://fresh; }
location /kept/ { proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ""; }
location /retry/ { proxy_pass http://retry; }
location /late/ { proxy_pass http://late; proxy_read_timeout 60ms; }
location /auth/ { auth_request /asked; proxy_pass http://fresh; }
location = /asked { internal; proxy_pass http://fresh/asked$request_uri.1; }
"""


def nginx_on(stage, paths, http="", **more):
    """The harness's nginx draws a port of its own: it becomes the stage's."""
    process = harness.Scene.nginx(stage, paths, "workload", 2, NGINX % vars(stage.back) + http,
                                  **more)
    stage.port = process.port
    return process


@workload("W6", "nginx proxy", "fresh:1 kept:1 retry:1 late:1 auth:2", ["nginx"])
def nginx(stage):
    return nginx_on(stage, NGINX_PATHS)


def node(stage):
    return stage.serve(["node", app("node.mjs")])


workload("W10", "Node http, fetch, Promise.all", "http:2 fetch:2 all:4", ["node"])(node)


def gunicorn(*options):
    return lambda stage: stage.serve(
        [harness.PYTHON, "-m", "gunicorn", "--chdir", APPS, "--worker-tmp-dir", stage.directory,
         "--log-level", "error", "--bind", "127.0.0.1:%d" % stage.port, *options,
         "wsgi:application"])


workload("W2", "gunicorn sync", "urllib:2 requests:2", ["gunicorn", "python:requests"])(
    gunicorn("--workers", "4"))
workload("W4", "gunicorn gthread", "urllib:2 requests:2", ["gunicorn", "python:requests"])(
    gunicorn("--workers", "2", "--worker-class", "gthread", "--threads", "16"))
