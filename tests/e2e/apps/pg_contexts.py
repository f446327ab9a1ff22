# SPDX-License-Identifier: Apache-2.0
"""Statements that carry a context of their own, by every way: pg_contexts.py PORT, where each line
of stdin is a way, a tab and a statement."""
import asyncio
import ctypes
import sys

import asyncpg
import psycopg2

PORT = int(sys.argv[1])
LINES = [line.rstrip("\n").split("\t") for line in sys.stdin]
CONNECTION = ("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable "
              "options='-c client_min_messages=error'" % PORT)


def psycopg2_lines():
    connection = psycopg2.connect(CONNECTION)
    connection.autocommit = True
    for way, text in LINES:
        if way == "psycopg2":
            connection.cursor().execute(text)
    connection.close()


def libpq_lines():
    """Text and execution in one message of libpq's, or prepared and executed twice."""
    pq = ctypes.CDLL("libpq.so.5")
    for name in ("PQconnectdb", "PQexecParams", "PQprepare", "PQexecPrepared"):
        getattr(pq, name).restype = ctypes.c_void_p
    connection = ctypes.c_void_p(pq.PQconnectdb(CONNECTION.encode()))
    for number, (way, text) in enumerate(LINES):
        results = []
        if way == "params":
            results = [pq.PQexecParams(connection, text.encode(), 0, None, None, None, None, 0)]
        elif way == "prepared":
            name = b"s%d" % number
            results = [pq.PQprepare(connection, name, text.encode(), 0, None)]
            results += [pq.PQexecPrepared(connection, name, 0, None, None, None, 0)
                        for _ in range(2)]
        for result in results:
            pq.PQclear(ctypes.c_void_p(result))
    pq.PQfinish(connection)


async def asyncpg_lines():
    connection = await asyncpg.connect(host="127.0.0.1", port=PORT, user="postgres",
                                       database="postgres", ssl=False)
    for way, text in LINES:
        if way == "execute":
            await connection.execute(text)
        elif way == "fetch":
            await connection.fetch(text)
            await connection.fetch(text)
    await connection.close()


psycopg2_lines()
libpq_lines()
asyncio.run(asyncpg_lines())
