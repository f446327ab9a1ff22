# SPDX-License-Identifier: Apache-2.0
"""Every method of a client of Elasticsearch 8, with made-up arguments: a line for each request that
it makes, "endpoint part=value ...", as the client itself names it. elastic_endpoints.py URL
"""
import inspect
import sys
import warnings

import elasticsearch8
from elasticsearch8._sync.client import _base

warnings.simplefilter("ignore")
client = elasticsearch8.Elasticsearch(sys.argv[1])
perform = _base.BaseClient.perform_request


def noting(self, method, path, *, endpoint_id=None, path_parts=None, **more):
    if endpoint_id:
        parts = " ".join("%s=%s" % part for part in sorted((path_parts or {}).items()))
        print("%s %s %s" % (endpoint_id, path.split("?")[0], parts), flush=True)
    return perform(self, method, path, endpoint_id=endpoint_id, path_parts=path_parts, **more)


_base.BaseClient.perform_request = noting
SKIPPED = {"perform_request", "options", "close", "transport", "bulk", "ping"}


def call(function, names):
    try:
        function(**{name: "x" + name for name in names})
    except Exception:
        pass  # of arguments that it does not take; a request that it made counts


def ask(owner):
    for name, function in inspect.getmembers(owner, callable):
        if name.startswith("_") or name in SKIPPED:
            continue
        parameters = inspect.signature(function).parameters.values()
        needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and
                  p.kind is not inspect.Parameter.VAR_KEYWORD]
        call(function, needed)
        for part in ("index", "id", "name", "metric", "node_id", "repository", "task_id"):
            if part not in needed and any(p.name == part for p in parameters):
                call(function, needed + [part])


ask(client)
for space in ("async_search", "cat", "cluster", "eql", "esql", "ilm", "indices", "ingest", "nodes",
              "snapshot", "sql", "tasks", "ml", "security"):
    ask(getattr(client, space))
