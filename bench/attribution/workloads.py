# SPDX-License-Identifier: Apache-2.0
"""The table of workloads, which the modules rows_* fill: a row each. A cell of a row is a path of the
server; it says how many calls a request makes and, where they are not HTTP, by which protocol."""
import glob
import importlib
import os
import shutil
import signal
from types import SimpleNamespace

from cell import APPS, MODULES, PROGRAMS, harness

RECORDED = {"http"}  # protocols of calls and requests that Burdock makes spans of

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


def app(name):
    return os.path.join(APPS, name)


def built(name):
    return os.path.join(PROGRAMS, name)


def fill():
    """Answers the table, by number."""
    if not workloads:
        for name in ("native", "proxies", "python", "node", "others"):
            importlib.import_module("rows_" + name)
        workloads.sort(key=lambda row: int(row.number[1:]))
    return workloads
