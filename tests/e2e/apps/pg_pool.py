# SPDX-License-Identifier: Apache-2.0
"""GET /N asks PostgreSQL three times, by asyncpg's pool, which the first request makes.

pg_pool.py PORT PG_PORT
"""
import asyncio
import sys

import asyncpg
from aiohttp import web

PORT, PG_PORT = map(int, sys.argv[1:])
made = []


async def pool():
    if not made:
        made.append(asyncio.ensure_future(asyncpg.create_pool(
            host="127.0.0.1", port=PG_PORT, user="postgres", database="postgres", ssl=False,
            min_size=1, max_size=8)))
    return await asyncio.shield(made[0])


async def handle(request):
    number = int(request.match_info["number"])
    connections = await pool()
    async with connections.acquire() as connection:
        await connection.fetchval("SELECT %d AS r%d_1" % (number, number))
    async with connections.acquire(timeout=30) as connection:
        await connection.fetchval("SELECT %d AS r%d_2" % (number, number))
    await connections.fetchval("SELECT %d AS r%d_3" % (number, number))
    return web.Response(text="ok")


application = web.Application()
application.router.add_get("/r/{number}", handle)
web.run_app(application, host="127.0.0.1", port=PORT, print=None, access_log=None)
