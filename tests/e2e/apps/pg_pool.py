# SPDX-License-Identifier: Apache-2.0
"""GET /r/N asks PostgreSQL three times, by a pool that the first request makes.

pg_pool.py PORT PG_PORT asyncpg|sqlalchemy
"""
import asyncio
import sys

import asyncpg
from aiohttp import web

PORT, PG_PORT, WHOSE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
made = []


async def pool():
    if not made:
        made.append(asyncio.ensure_future(asyncpg.create_pool(
            host="127.0.0.1", port=PG_PORT, user="postgres", database="postgres", ssl=False,
            min_size=1, max_size=8)))
    return await asyncio.shield(made[0])


async def by_asyncpg(number):
    connections = await pool()
    async with connections.acquire() as connection:
        await connection.fetchval("SELECT %d AS r%d_1" % (number, number))
    async with connections.acquire(timeout=30) as connection:
        await connection.fetchval("SELECT %d AS r%d_2" % (number, number))
    await connections.fetchval("SELECT %d AS r%d_3" % (number, number))


async def by_sqlalchemy(number):
    if not made:
        made.append(create_async_engine(
            "postgresql+asyncpg://postgres@127.0.0.1:%d/postgres?ssl=disable" % PG_PORT,
            pool_size=4, max_overflow=4, isolation_level="AUTOCOMMIT"))
    for k in (1, 2, 3):
        async with made[0].connect() as connection:
            await connection.execute(text("SELECT %d AS r%d_%d" % (number, number, k)))


async def handle(request):
    await ask(int(request.match_info["number"]))
    return web.Response(text="ok")


ask = by_asyncpg
if WHOSE == "sqlalchemy":
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    ask = by_sqlalchemy


application = web.Application()
application.router.add_get("/r/{number}", handle)
web.run_app(application, host="127.0.0.1", port=PORT, print=None, access_log=None)
