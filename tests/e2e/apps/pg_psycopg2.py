# SPDX-License-Identifier: Apache-2.0
"""pg_psycopg2.py PORT"""
import io
import sys

import psycopg2

c = psycopg2.connect(host="127.0.0.1", port=int(sys.argv[1]), user="postgres", dbname="postgres")
k = c.cursor()
k.execute("CREATE TEMP TABLE things (a int, b text)")
for i in range(20):
    k.execute("INSERT INTO things VALUES (%s, %s)", (i, "it's number %d" % i))
k.execute("SELECT a, b FROM things WHERE a < %s", (7,))
assert len(k.fetchall()) == 7
k.execute("SELECT a FROM things WHERE false")
k.copy_expert("COPY things FROM STDIN", io.StringIO("100\tcopied\n"))
k.copy_expert("COPY things TO STDOUT", io.StringIO())
c.commit()
named = c.cursor("named")
named.itersize = 5
named.execute("SELECT a FROM things")
assert len(list(named)) == 21
named.close()
c.commit()
for text in ("SELECT 1/0", "SELECT nothing FROM nowhere"):
    try:
        k.execute(text)
    except psycopg2.Error:
        c.rollback()
k.execute("SELECT 1 AS one; SELECT 2 AS two; UPDATE things SET a = 3 WHERE a = 2")
k.execute("DO $$ BEGIN RAISE NOTICE 'told'; END $$")
k.execute("LISTEN news")
k.execute("NOTIFY news, 'secret'")
c.commit()
c.close()
