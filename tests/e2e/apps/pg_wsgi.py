# SPDX-License-Identifier: Apache-2.0
"""Three statements a request, told apart by the names of their columns; PG_PORT says where."""
import os
import threading

import psycopg2

local = threading.local()


def application(environ, start_response):
    number = environ["PATH_INFO"].rsplit("/", 1)[1]
    if not hasattr(local, "connection"):
        local.connection = psycopg2.connect(host="127.0.0.1", port=int(os.environ["PG_PORT"]),
                                            user="postgres", dbname="postgres")
        local.connection.autocommit = True
    cursor = local.connection.cursor()
    for part in "abc":
        cursor.execute("SELECT %%s AS r%s_%s" % (number, part), ("secret",))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
