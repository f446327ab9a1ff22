# SPDX-License-Identifier: Apache-2.0
"""A client that speaks the protocol by itself: pg_asyncpg.py PORT"""
import asyncio
import sys

import asyncpg


async def main(port):
    c = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database="postgres",
                              ssl=False)
    await c.execute("CREATE TEMP TABLE things (a int, b text)")
    await c.executemany("INSERT INTO things VALUES ($1, $2)", [(i, "x%d" % i) for i in range(100)])
    assert len(await c.fetch("SELECT a FROM things WHERE a < $1", 10)) == 10
    assert await c.fetchval("SELECT count(*) FROM things") == 100
    for text in ("SELECT nothing FROM nowhere", "SELEC 1"):
        try:
            await c.fetch(text)
        except asyncpg.PostgresError:
            pass
    unused = await c.prepare("SELECT b FROM things WHERE b = $1")
    await c.execute("SELECT 1 AS simple")
    assert await unused.fetch("x7")
    async with c.transaction():
        async for _ in c.cursor("SELECT a FROM things", prefetch=30):
            pass
    try:
        await c.execute("SELECT 1/$1::int", 0)
    except asyncpg.PostgresError:
        pass
    await c.copy_records_to_table("things", records=[(1, "copied")])
    assert await c.fetchval("SELECT 2 AS last") == 2
    await c.close()


asyncio.run(main(int(sys.argv[1])))
