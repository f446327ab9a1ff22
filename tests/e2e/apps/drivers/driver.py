# SPDX-License-Identifier: Apache-2.0
"""Drivers of Python. driver.py NAME PORT plain|tls|compressed [HTTP_PORT]: some of all that a driver
can do; or a service whose request /r/N makes three statements named rN_a, rN_b, rN_c."""
import asyncio
import io
import sys

import web

NAME, PORT, HOW = sys.argv[1], int(sys.argv[2]), sys.argv[3]
IS_TLS = HOW == "tls"
HOST = "127.0.0.1"
WRONG = ("SELECT 1/0", "SELECT nothing FROM nowhere")


# --- PostgreSQL ------------------------------------------------------------------------------------

CONNINFO = "host=%s port=%d user=postgres dbname=postgres sslmode=%s" % (
    HOST, PORT, "require" if IS_TLS else "disable")


def psycopg2_connect():
    import psycopg2
    connection = psycopg2.connect(CONNINFO)
    connection.autocommit = True
    return connection


def postgresql_ask(connection, number):
    with connection.cursor() as cursor:
        for part in "abc":
            cursor.execute("SELECT %%s::int AS r%s_%s" % (number, part), (7,))
            cursor.fetchall()


def psycopg2_play(connection):
    import psycopg2.extras
    k = connection.cursor()
    k.execute("CREATE TEMP TABLE things (a int, b text)")
    psycopg2.extras.execute_batch(k, "INSERT INTO things VALUES (%s, %s)",
                                  [(i, "it's %d" % i) for i in range(250)])
    psycopg2.extras.execute_values(k, "INSERT INTO things VALUES %s", [(1, "one"), (2, "two")])
    k.copy_expert("COPY things FROM STDIN", io.StringIO("100\tcopied\n" * 5000))
    k.copy_expert("COPY things TO STDOUT", io.StringIO())
    refuse(k.execute, WRONG)
    connection.autocommit = False
    named = connection.cursor("named")
    named.itersize = 1000
    named.execute("SELECT a FROM things")
    assert len(list(named)) == 5252
    named.close()
    connection.commit()
    large = connection.lobject(0, "wb")
    large.write(b"x" * 100000)
    large.close()
    assert len(connection.lobject(large.oid, "rb").read()) == 100000
    connection.rollback()
    k.execute("LISTEN news")
    k.execute("NOTIFY news")
    connection.commit()
    k.execute("SELECT repeat('x', 300000) AS long")


def refuse(execute, texts):
    for text in texts:
        try:
            execute(text)
        except Exception as error:
            assert "nowhere" in str(error) or "zero" in str(error), error
        else:
            sys.exit(text + ": was not refused")


def psycopg_connect():
    import psycopg
    return psycopg.connect(CONNINFO, autocommit=True)


def psycopg_play(connection):
    k = connection.cursor()
    k.execute("CREATE TEMP TABLE things (a int, b text)")
    k.executemany("INSERT INTO things VALUES (%s, %s)", [(i, "it's") for i in range(250)])
    for i in range(8):  # prepared from the sixth on
        k.execute("SELECT b FROM things WHERE a = %s", (i,)).fetchall()
    k.execute("SELECT a FROM things WHERE a < %b", (9,), binary=True).fetchall()
    with k.copy("COPY things FROM STDIN") as copy:
        for i in range(5000):
            copy.write_row((i, "copied"))
    with k.copy("COPY things TO STDOUT") as copy:
        assert len(list(copy.rows())) == 5250
    refuse(k.execute, WRONG)
    with connection.pipeline():
        for i in range(300):
            connection.execute("SELECT %%s::int AS piped_%d" % i, (i,))
    with connection.transaction():
        with connection.transaction():
            k.execute("UPDATE things SET a = %s WHERE a = %s", (3, 4))
        with connection.cursor("named") as named:
            named.itersize = 1000
            assert len(named.execute("SELECT a FROM things").fetchall()) == 5250
    assert len(list(k.stream("SELECT a FROM things"))) == 5250
    k.execute("LISTEN news")
    k.execute("NOTIFY news")


async def psycopg_async_connect():
    import psycopg
    return await psycopg.AsyncConnection.connect(CONNINFO, autocommit=True)


async def psycopg_async_ask(connection, number):
    await connection.execute("SELECT %%s::int AS r%s_a" % number, (7,))
    async with connection.pipeline():
        for part in "bc":
            await connection.execute("SELECT %%s::int AS r%s_%s" % (number, part), (7,))


async def psycopg_async_play(connection):
    await connection.execute("CREATE TEMP TABLE things (a int, b text)")
    k = connection.cursor()
    await k.executemany("INSERT INTO things VALUES (%s, %s)", [(i, "it's") for i in range(100)])
    async with k.copy("COPY things FROM STDIN") as copy:
        await copy.write("1\tcopied\n" * 5000)
    async with connection.pipeline():
        for i in range(300):
            await connection.execute("SELECT %%s::int AS piped_%d" % i, (i,))
    async for _ in k.stream("SELECT a FROM things"):
        pass


async def asyncpg_connect():
    import asyncpg
    import ssl
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncpg.connect(host=HOST, port=PORT, user="postgres", database="postgres",
                                 ssl=context if IS_TLS else False)


async def asyncpg_ask(connection, number):
    for part in "abc":
        await connection.fetchval("SELECT $1::int AS r%s_%s" % (number, part), 7)


async def asyncpg_play(c):
    await c.execute("CREATE TEMP TABLE things (a int, b text)")
    await c.executemany("INSERT INTO things VALUES ($1, $2)", [(i, "it's") for i in range(100)])
    for i in range(8):
        assert len(await c.fetch("SELECT b FROM things WHERE a = $1", i)) == 1
    async with c.transaction():
        async for _ in c.cursor("SELECT a FROM things", prefetch=30):
            pass
        async with c.transaction():
            await c.execute("UPDATE things SET a = $1 WHERE a = $2", 3, 4)
    for text in WRONG:
        try:
            await c.fetch(text)
        except Exception:
            pass
    await c.copy_records_to_table("things", records=[(1, "copied")] * 5000)
    await c.copy_from_query("SELECT a FROM things", output=io.BytesIO())
    heard = asyncio.get_running_loop().create_future()
    await c.add_listener("news", lambda *_: heard.set_result(None))
    await c.execute("NOTIFY news")
    await heard


# --- MySQL ------------------------------------------------------------------------------------------


def pymysql_connect():
    import pymysql
    import ssl
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return pymysql.connect(host=HOST, port=PORT, user="app", password="correcthorse",
                           database="shop", ssl=context if IS_TLS else None, autocommit=True)


def mysqlclient_connect():
    import MySQLdb
    more = {"ssl": {"cipher": ""}} if IS_TLS else {}
    more.update({"compress": True} if HOW == "compressed" else {})
    return MySQLdb.connect(host=HOST, port=PORT, user="app", passwd="correcthorse", db="shop",
                           autocommit=True, **more)


def mysql_ask(connection, number):
    cursor = connection.cursor()
    for part in "abc":
        cursor.execute("select %%s as r%s_%s" % (number, part), (7,))
        cursor.fetchall()


def mysql_play(connection):
    k = connection.cursor()
    k.execute("select n, s from t where s = %s", ("o'ne",))
    k.fetchall()
    k.executemany("insert into t values (%s, %s)", [(i, "it's") for i in range(4, 104)])
    k.execute("select '" + "x" * 70000 + "'")
    k.fetchall()
    k.execute("select repeat('x', 20000000) as long_row")
    k.fetchall()
    try:
        k.execute("select nonsense from t")
    except Exception as error:
        assert error.args[0] == 1054, error
    k.execute("call two()")
    while True:
        k.fetchall()
        if not k.nextset():
            break
    k.execute("delete from t where n > 3")
    connection.commit()
    connection.close()


# --- Redis -----------------------------------------------------------------------------------------

REDIS = dict(host=HOST, port=PORT, ssl=IS_TLS, **({"ssl_cert_reqs": None} if IS_TLS else {}))


def redis_connect():
    import redis
    return redis.Redis(**REDIS)


def redis_ask(client, number):
    client.incr("r%s_a" % number)
    client.pipeline(transaction=False).set("r%s_b" % number, "v").get("r%s_c" % number).execute()


def redis_play(client):
    client.set("key", "value")
    client.hset("h", mapping={"f": "v", "g": "w"})
    pipeline = client.pipeline(transaction=False)
    for i in range(500):
        pipeline.rpush("list", i)
    pipeline.execute()
    client.pipeline().incr("n").incr("n").execute()
    client.set("big", "x" * 3_000_000)
    assert len(client.get("big")) == 3_000_000
    try:
        client.get("h")
    except Exception as error:
        assert "WRONGTYPE" in str(error), error


async def redis_async_connect():
    import redis.asyncio
    return redis.asyncio.Redis(**REDIS)


async def redis_async_ask(client, number):
    await client.incr("r%s_a" % number)
    async with client.pipeline(transaction=False) as pipeline:
        await pipeline.set("r%s_b" % number, "v").get("r%s_c" % number).execute()


async def redis_async_play(client):
    await client.set("key", "value")
    async with client.pipeline(transaction=False) as pipeline:
        for i in range(500):
            pipeline.rpush("list", i)
        await pipeline.execute()
    await client.close()


DRIVERS = {
    "psycopg2": (psycopg2_connect, postgresql_ask, psycopg2_play),
    "psycopg": (psycopg_connect, postgresql_ask, psycopg_play),
    "psycopg_async": (psycopg_async_connect, psycopg_async_ask, psycopg_async_play),
    "asyncpg": (asyncpg_connect, asyncpg_ask, asyncpg_play),
    "pymysql": (pymysql_connect, mysql_ask, mysql_play),
    "MySQLdb": (mysqlclient_connect, mysql_ask, mysql_play),
    "redis": (redis_connect, redis_ask, redis_play),
    "redis_async": (redis_async_connect, redis_async_ask, redis_async_play),
}


def main():
    connect, ask, play = DRIVERS[NAME]
    is_async = asyncio.iscoroutinefunction(play)
    if len(sys.argv) > 4:
        port = int(sys.argv[4])
        if not is_async:
            return web.serve_threads(port, connect, ask)
        return asyncio.run(web.serve_tasks(port, connect, ask))
    if not is_async:
        return play(connect())

    async def run():
        await play(await connect())
    return asyncio.run(run())


main()
