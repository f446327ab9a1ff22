# SPDX-License-Identifier: Apache-2.0
"""A FastAPI application: /<cell>/<token> answers with the token after two calls to the backend."""
import os

import httpx
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse

BACK = "http://127.0.0.1:%s/" % os.environ["BACK_HTTP"]
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=256)
app = FastAPI()
blocking = httpx.Client(limits=LIMITS, timeout=60)
kept = []


async def call(token, k):
    if not kept:
        kept.append(httpx.AsyncClient(limits=LIMITS, timeout=60))
    await kept[0].get("%s%s.%d" % (BACK, token, k))


@app.get("/async/{token}", response_class=PlainTextResponse)
async def waits(token: str):
    await call(token, 0)
    await call(token, 1)
    return token


@app.get("/sync/{token}", response_class=PlainTextResponse)
def blocks(token: str):
    for k in range(2):
        blocking.get("%s%s.%d" % (BACK, token, k))
    return token


@app.get("/background/{token}", response_class=PlainTextResponse)
async def leaves_work(token: str, tasks: BackgroundTasks):
    await call(token, 0)
    tasks.add_task(call, token, 1)
    return token
