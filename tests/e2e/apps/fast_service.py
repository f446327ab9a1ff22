# SPDX-License-Identifier: Apache-2.0
"""A FastAPI service under uvicorn: as aio_service.py, for what this framework adds.

fast_service.py PORT BACKEND asyncio|uvloop
"""
import asyncio
import sys
import urllib.request

import httpx
import uvicorn
from fastapi import BackgroundTasks, FastAPI

PORT, BACKEND, LOOP = int(sys.argv[1]), sys.argv[2], sys.argv[3]
application = FastAPI()
shared = {}


@application.on_event("startup")
async def start():
    limits = httpx.Limits(max_connections=8)
    shared["client"] = httpx.AsyncClient(limits=limits, timeout=60, trust_env=False)


@application.on_event("shutdown")
async def stop():
    await shared["client"].aclose()


async def call(how, k, number):
    await shared["client"].get(f"{BACKEND}/{how}/{k}/{number}")


def call_blocking(how, k, number):
    urllib.request.urlopen(f"{BACKEND}/{how}/{k}/{number}").read()


@application.get("/awaits/{number}")
async def awaits(number: int):
    await call("awaits", 1, number)
    await call("awaits", 2, number)


@application.get("/told/{number}")
async def told(number: int):
    """Asks to be told of a task that is done, as anyio does where it connects."""
    for k in (1, 2):
        task = asyncio.create_task(call("told", k, number))
        await task
        await asyncio.wait([task])
        await call("told", k + 2, number)


@application.get("/blocks/{number}")
def blocks(number: int):
    """Runs in a thread of anyio."""
    call_blocking("blocks", 1, number)
    call_blocking("blocks", 2, number)


@application.get("/afterwards/{number}")
async def afterwards(number: int, tasks: BackgroundTasks):
    """Work after the answer, on the loop and in a thread."""
    tasks.add_task(call, "afterwards", 2, number)
    tasks.add_task(call_blocking, "afterwards", 3, number)
    await call("afterwards", 1, number)


uvicorn.run(application, host="127.0.0.1", port=PORT, loop=LOOP, log_level="error")
