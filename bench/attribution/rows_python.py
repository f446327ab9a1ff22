# SPDX-License-Identifier: Apache-2.0
"""Python: processes, threads, event loops."""
from cell import APPS, harness
from workloads import app, workload


def gunicorn(*options):
    return lambda stage: stage.serve(
        [harness.PYTHON, "-m", "gunicorn", "--chdir", APPS, "--worker-tmp-dir", stage.directory,
         "--log-level", "error", "--bind", "127.0.0.1:%d" % stage.port, *options,
         "wsgi:application"])


WSGI = ["python:gunicorn", "python:requests"]
workload("W2", "gunicorn sync", "urllib:2 requests:2 spread:2", gunicorn("--workers", "4"), WSGI)
workload("W4", "gunicorn gthread", "urllib:2 requests:2 spread:2 shared:2",
         gunicorn("--workers", "2", "--worker-class", "gthread", "--threads", "16"), WSGI)


def aio(loop):
    return lambda stage: stage.serve([harness.PYTHON, app("aio.py"), loop])


AIO = "seq:2 gather:4 pool:2 executor:2 sleep:2 soon:2 both:2 after:2 cron:2 event:2 "\
    "condition:2 drain:2 redis:2:resp:python:redis"
workload("W15", "aiohttp", AIO, aio("asyncio"), ["python:aiohttp"])
workload("W17", "aiohttp on uvloop", AIO, aio("uvloop"), ["python:aiohttp", "python:uvloop"])


def uvicorn(loop):
    return lambda stage: stage.serve(
        [harness.PYTHON, "-m", "uvicorn", "--app-dir", APPS, "--loop", loop, "--port",
         str(stage.port), "--no-access-log", "--log-level", "error", "--backlog", "1024",
         "fast:app"])


FAST = ["python:fastapi", "python:uvicorn", "python:httpx"]
workload("W16", "FastAPI", "async:2 sync:2 background:2", uvicorn("asyncio"), FAST)
workload("W17", "FastAPI on uvloop", "async:2 sync:2 background:2", uvicorn("uvloop"),
         [*FAST, "python:uvloop"])
workload("W18", "gevent",
         "urllib:2 requests:2 pool:2 sleep:2 spawn:2 both:2 after:2 thread:2 jobs:2 event:2 condition:2 lock:2",
         lambda stage: stage.serve([harness.PYTHON, app("greenlets.py")]),
         ["python:gevent", "python:requests"])


def threads(server):
    return lambda stage: stage.serve([harness.PYTHON, app("wsgi_server.py"), server])


THREADS = "urllib:2 thread:2 after:2 shared:2 event:2 condition:2 lock:2"
workload("W29", "ThreadingHTTPServer", THREADS, threads("library"))
workload("W30", "cheroot", THREADS, threads("cheroot"), ["python:cheroot"])
workload("W31", "waitress", THREADS, threads("waitress"), ["python:waitress"])
