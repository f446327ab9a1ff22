# SPDX-License-Identifier: Apache-2.0
"""The table of workloads, which the modules rows_* fill: a row each. A cell of a row is a path of the
server; it says how many calls a request makes and, where they are not HTTP, by which protocol."""
import glob
import importlib
import os
import shutil
import signal
import subprocess
from types import SimpleNamespace

from cell import APPS, MODULES, PROGRAMS, SDK, harness

RECORDED = {"http", "pg", "resp"}  # protocols of calls and requests that Burdock makes spans of

workloads = []


def workload(number, name, cells, start, needs=(), stop_signal=signal.SIGTERM):
    """Enters a server. Cells: "name:calls" or "name:calls:protocol", by spaces; a need is a program
    by name or path, "python:module" or "node:module"; one that only a cell has stands behind it, as
    "name:calls:protocol:need"."""
    parsed = {}
    for text in cells.split():
        given = text.split(":", 3)
        cell, calls, protocol, need = given + ["", "", "http", ""][len(given):]
        parsed[cell] = SimpleNamespace(calls=int(calls), protocol=protocol, need=need)
    workloads.append(SimpleNamespace(number=number, name=name, cells=parsed, needs=needs,
                                     start=start, stop_signal=stop_signal))


def is_there(need):
    kind, _, module = need.partition(":")
    if module and kind == "python":
        return bool(glob.glob("/usr/lib/python3/dist-packages/%s*" % module))
    if module and kind == "node":
        return os.path.exists(os.path.join(MODULES, "node_modules", module))
    if "/" in need:
        return bool(glob.glob(need))
    return shutil.which(need, path=harness.PATH) is not None


def missing(row, cell):
    needs = [*row.needs, *filter(None, [row.cells[cell].need])]
    return [need.rpartition("/")[2] for need in needs if not is_there(need)]


PACKAGES = """gunicorn python3-cheroot python3-waitress
python3-requests python3-aiohttp python3-fastapi uvicorn python3-httpx
python3-gevent python3-uvloop python3-redis apache2 lighttpd haproxy nginx-light libnginx-mod-http-lua
php-cli php-fpm php-curl php-pgsql nodejs npm openjdk-17-jdk-headless redis-server g++ libevent-dev
libhiredis-dev libboost-context-dev puma unicorn ruby-connection-pool ruby-redis ruby-pg"""
SDK_PACKAGES = ["opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http", *(
    "opentelemetry-instrumentation-" + name for name in (
        "aiohttp-server", "aiohttp-client", "fastapi", "httpx", "urllib", "redis", "threading", "asyncio"))]
NODE_MODULES = "undici@6 pg@8 ioredis@5 redis@4"


def install():
    """As ./check does: one by one, since any may be left out."""
    script = '. tests/install.sh; for package; do install "workloads" "$package" || true; done'
    subprocess.run(["bash", "-c", script, "bash", *PACKAGES.split()], cwd=harness.SOURCE, check=True)
    os.makedirs(MODULES, exist_ok=True)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", *NODE_MODULES.split()], cwd=MODULES)
    subprocess.run([harness.PYTHON, "-m", "venv", "--system-site-packages", SDK], check=True)
    subprocess.run([SDK + "/bin/pip", "install", "--disable-pip-version-check", "-q", *SDK_PACKAGES])
    subprocess.run(["meson", "setup", "--reconfigure", harness.BUILD], cwd=harness.SOURCE, check=True)
    subprocess.run(["ninja", "-C", harness.BUILD], check=True)


def app(name):
    return os.path.join(APPS, name)


def built(name):
    return os.path.join(PROGRAMS, name)


def fill():
    """Answers the table, by number."""
    if not workloads:
        for name in ("native", "proxies", "python", "node", "ruby", "others"):
            importlib.import_module("rows_" + name)
        workloads.sort(key=lambda row: int(row.number[1:]))
    return workloads
