# SPDX-License-Identifier: Apache-2.0
"""Clients of PostgreSQL under the library, and what the server's own log (log_statement = all) has of
them: the same statements, one span each, in the same order, with the same errors, without their
literals."""
import collections
import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess

from harness import (APPS, BUILD, PATH, PYTHON, Scene, check, equal, free_port, in_order, load,
                     main, skip, wait_until)
from tls_scene import certify

BIN = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [""])[-1]
CLIENT = os.path.join(BUILD, "tests/e2e/pg_client")


def as_postgres():
    """The server refuses to be root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """A server of its own on a free port."""

    def __init__(self, scene, *options):
        self.scene, self.port, self.data = scene, free_port(), scene.path("data")
        os.mkdir(self.data, 0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
        self.plain = {"PATH": PATH, "LC_ALL": "C"}
        subprocess.run([BIN + "/initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-N",
                        "--no-locale", "-E", "UTF8"], env=self.plain, check=True,
                       capture_output=True, cwd="/", timeout=120, **as_postgres())
        with open(self.data + "/postgresql.conf", "a") as file:
            file.write("port = %d\nlisten_addresses = '127.0.0.1'\nfsync = off\n"
                       "unix_socket_directories = ''\nmax_connections = 120\nautovacuum = off\n"
                       "shared_buffers = 16MB\nlogging_collector = on\nlog_directory = 'log'\n"
                       "log_destination = 'jsonlog'\nlog_filename = 'log'\nlog_rotation_age = 0\n"
                       "log_rotation_size = 0\nlog_statement = all\n"
                       # Killed, it leaves what it shares: in its own directory, then.
                       "dynamic_shared_memory_type = mmap\n%s\n"
                       % (self.port, "\n".join(options)))
        self.marks = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen([BIN + "/postgres", "-D", self.data], env=self.plain,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd="/",
                                        start_new_session=True, **as_postgres())
        self.scene.processes.append(self.process)
        for process in (self.process,):
            process.out_path = process.err_path = "/dev/null"
        assert wait_until(lambda: self.ask("SELECT 1") == "1\n", 60), "the server answers"

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.wait(60)

    def ask(self, text):
        return subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
                               "-qAtX", "-c", text, "postgres"], env=self.plain,
                              capture_output=True, timeout=30).stdout.decode()

    def rows(self):
        with open(self.data + "/log/log.json") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def mark(self):
        """The number of rows that the log has, once all before has been written."""
        self.marks += 1
        name = "mark_%d_of_the_log" % self.marks
        self.ask("SELECT 1 AS " + name)
        wait_until(lambda: any(name in row["message"] for row in self.rows()))
        return len(self.rows())

    def said(self, start, end):
        """[text, SQLSTATE of its error or None] of the statements in a part of the log."""
        said, last = [], {}
        for row in self.rows()[start:end]:
            message, session = row["message"], row["session_id"]
            found = re.match(r"(?:statement|execute [^:]*): (.*)", message, re.S)
            if "_of_the_log" in message:
                continue
            if found and row["error_severity"] == "LOG":
                last[session] = [found.group(1), None]
                said.append(last[session])
            elif row["error_severity"] in ("ERROR", "FATAL") and "statement" in row:
                if last.get(session, [None])[0] != row["statement"] or last[session][1]:
                    last[session] = [row["statement"], None]
                    said.append(last[session])
                last[session][1] = row["state_code"]
            elif row["error_severity"] == "ERROR" and row["state_code"].startswith("23"):
                last[session][1] = row["state_code"]  # of the commit that a Sync means
            elif row["error_severity"] == "ERROR":
                said.append(["", row["state_code"]])  # an unknown statement was to be executed
        return said


def shown(text):
    """A statement as its span is to show it, for the statements of this test."""
    text = re.sub(r"(?:\bE)?'(?:[^'\\]|''|\\.)*'|\$\$.*?\$\$", "?", text, flags=re.S)
    text = re.sub(r"(?<![\w$.])[-+]?\d+(?:\.\d+)?\b|\b(?:true|false|off)\b", "?", text)
    return re.sub(r"\b(IN) \(\?(?:, ?\?)+\)", r"\1 (?)", " ".join(text.split()), flags=re.I)


def of_postgresql(spans):
    return [span for span in spans if span.attributes.get("db.system.name") == "postgresql"]


def told(spans):
    """Statements; not the one that a failed session is."""
    return [[" ".join(span.attributes.get("db.query.text", "").split()),
             span.attributes.get("db.response.status_code")] for span in spans
            if span.attributes.get("db.operation.name") != "FUNCTION CALL"]


def compare(told_, said, ordered, what):
    said = [[shown(text), code] for text, code in said]
    if ordered:
        first = next((i for i, pair in enumerate(zip(told_, said)) if pair[0] != pair[1]),
                     min(len(told_), len(said)))
        return check(told_ == said and said, what,
                     "%d spans, %d in the log; from the first that differs\ntold %r\nsaid %r"
                     % (len(told_), len(said), told_[first:first + 4], said[first:first + 4]))
    told_, said = (collections.Counter(map(tuple, side)) for side in (told_, said))
    return check(told_ == said and said, what, "more told %r\nmore said %r"
                 % (list((told_ - said).items())[:4], list((said - told_).items())[:4]))


def watched(scene, server, command, what, ordered=True, status=0, **more):
    """Runs a program, and compares its spans with what the server logged. Answers the spans."""
    before, start = {span.id for span in scene.spans()}, server.mark()
    done = scene.run(command, timeout=120, **more)
    equal(done.returncode, status, what + ": ends as it should")
    if done.returncode != status:
        print("# " + repr(done.stderr[-600:]))
    end = server.mark()
    said = server.said(start, end)
    wait_until(lambda: len([s for s in of_postgresql(in_order(scene)) if s.id not in before]) >= len(said), 10)
    spans = [span for span in of_postgresql(in_order(scene)) if span.id not in before]
    compare(told(spans), said, ordered, "%s: %d spans, as the server's log" % (what, len(said)))
    return spans


def where(server):
    return ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]


def conninfo(server):
    return "host=127.0.0.1 port=%d user=postgres dbname=postgres" % server.port


def installed(module, *command):
    return subprocess.run(command, env={"PATH": PATH}, capture_output=True).returncode == 0 or \
        skip(module, "not installed")


# --- one client after the other ----------------------------------------------------------------


def test_psql():
    script = """CREATE TABLE t (a int, b text);
INSERT INTO t SELECT i, 'secret ' || i FROM generate_series(1, 10) i;
SELECT a, b FROM t WHERE b = 'it''s a secret';
SELECT b FROM t; UPDATE t SET a = 5 WHERE a > 8;
\\copy t FROM 'rows'
\\copy (SELECT a FROM t) TO 'out'
SELECT 1/0;
SELEC 1;
SELECT nothing FROM nowhere;
BEGIN; DECLARE c CURSOR FOR SELECT a FROM t; FETCH 3 FROM c; FETCH ALL FROM c; COMMIT;
DO $$ BEGIN RAISE NOTICE 'a notice'; END $$;
LISTEN news; NOTIFY news;
SELECT 1 AS one \\; SELECT 2 AS two;
"""
    with Scene() as scene:
        server = Server(scene)
        scene.write("rows", "1\tcopied\n2\tcopied\n")
        script = scene.write("script.sql", script)
        spans = watched(scene, server, ["psql", *where(server), "-qAtX", "-f", script, "postgres"],
                        "psql")
        by_text = {span.attributes.get("db.query.text"): span for span in spans}
        rows = {text: span.attributes.get("db.response.returned_rows")
                for text, span in by_text.items()}
        equal((rows.get("SELECT b FROM t;"), rows.get("FETCH ? FROM c;"),
               rows.get("SELECT a, b FROM t WHERE b = ?;")), (10, 3, 0), "rows that were returned")
        check(not any("secret" in str(span.attributes) for span in spans), "no literal is told")
        error = next(span for span in spans if span.attributes.get("error.type") == "22012")
        check(error.name == "SELECT" and error.status == "ERROR", "an error", error)
        equal({(s.attributes["db.namespace"], s.attributes["server.address"],
                s.attributes["server.port"]) for s in spans},
              {("postgres", "127.0.0.1", server.port)}, "which database, and where")
        watched(scene, server, ["psql", *where(server), "-X", "postgres", "-c",
                                "SELECT 1 AS several; SELECT 2; SELECT 3"], "psql, several at once")


def test_pgbench():
    with Scene() as scene:
        server = Server(scene)
        subprocess.run(["pgbench", *where(server), "-iq", "postgres"], env=server.plain,
                       capture_output=True, check=True, timeout=60)
        for mode in ("simple", "extended", "prepared"):
            watched(scene, server, ["pgbench", *where(server), "-n", "-M", mode, "-c", "4", "-j",
                                    "2", "-t", "25", "postgres"], "pgbench -M " + mode, False)
        script = scene.write("pipeline.sql", "\\startpipeline\n" + "".join(
            "SELECT abalance FROM pgbench_accounts WHERE aid = %d;\n" % i for i in range(100))
            + "\\endpipeline\n")
        for mode in ("extended", "prepared"):
            watched(scene, server, ["pgbench", *where(server), "-n", "-M", mode, "-f", script, "-t",
                                    "5", "postgres"], "pgbench, pipeline, -M " + mode)


def test_libpq():
    if not os.path.exists(CLIENT):
        skip("libpq", "libpq-dev is not installed")
        return
    with Scene() as scene:
        server = Server(scene)
        for what in ("broken", "copy", "deferred", "prepared", "escapes"):
            spans = watched(scene, server, [CLIENT, conninfo(server), what], "libpq, " + what)
            check("hunter2" not in str([s.attributes for s in spans]), what + ": no literal")
        for what in ("synced", "mixed", "joined"):
            for count in (60, 1000):
                watched(scene, server, [CLIENT, conninfo(server), what, str(count)],
                        "libpq, pipeline, %s, %d" % (what, count))
        watched(scene, server, [CLIENT, conninfo(server), "function"], "libpq, function call")


def test_long():
    """A text that is cut leaves room for the error, the database, and what TLS agreed on."""
    broken = "SELECT 1/0 AS broken, '%s'" % ("x" * 20000)
    texts = ["-c", broken, "-c", "PREPARE p AS " + broken, "-c", "EXECUTE p"]
    with Scene() as scene:
        certify(scene)
        key = scene.write("server.key", open(scene.path("key.pem")).read())
        os.chmod(key, 0o600)
        if os.geteuid() == 0:
            shutil.chown(key, "postgres")
        server = Server(scene, "ssl = on", "ssl_key_file = '%s'" % key,
                        "ssl_cert_file = '%s'" % scene.path("cert.pem"))
        for mode in ("disable", "require"):
            spans = watched(scene, server, ["psql", *where(server), "-X", *texts, "postgres"],
                            "long statements, sslmode=" + mode, status=1, PGSSLMODE=mode)
            equal({s.attributes.get("db.namespace") for s in spans}, {"postgres"}, "their database")
            equal([len(s.events) for s in spans], [mode == "require", 0, 0], "a handshake is told once")


def test_code():
    """Of a slow statement: the function, the file and the line of who called libpq."""
    with Scene() as scene:
        server = Server(scene)
        spans = watched(scene, server, [CLIENT, conninfo(server), "slow"], "a slow statement of libpq's")
        slow, = [span for span in spans if "pg_sleep" in span.attributes.get("db.query.text", "")]
        with open(os.path.join(APPS, "pg_client.c")) as file:
            line = next(number for number, text in enumerate(file, 1) if "pg_sleep" in text)
        equal(slow.attributes.get("code.function.name"), "close_day", "its function")
        check(slow.attributes.get("code.file.path", "").endswith("apps/pg_client.c"),
              "its file", slow.attributes)
        equal(slow.attributes.get("code.line.number"), line, "its line")
        check("apps/pg_client.c:%d\n" % line in slow.attributes["code.stacktrace"], "in its stack, too", slow.attributes)
        quick, = [span for span in spans if "quick" in span.attributes.get("db.query.text", "")]
        check("code.line.number" not in quick.attributes, "none of a quick one", quick.attributes)


def test_drivers():
    with Scene() as scene:
        server = Server(scene)
        port = str(server.port)
        if installed("psycopg2", PYTHON, "-c", "import psycopg2"):
            watched(scene, server, [PYTHON, APPS + "/pg_psycopg2.py", port], "psycopg2")
        if installed("asyncpg", PYTHON, "-c", "import asyncpg"):
            watched(scene, server, [PYTHON, APPS + "/pg_asyncpg.py", port], "asyncpg")
        if installed("PDO", "php", "-r", "exit(extension_loaded('pdo_pgsql') ? 0 : 1);"):
            watched(scene, server, ["php", APPS + "/pg_pdo.php", port], "PHP's PDO")
        if installed("DBD::Pg", "perl", "-MDBD::Pg", "-e", "1"):
            watched(scene, server, ["perl", APPS + "/pg_dbd.pl", port], "Perl's DBD::Pg")


# --- under requests --------------------------------------------------------------------------------


def parents_of(spans):
    """How many statements are under the request whose number they have, under none, another one's."""
    requests = {span.id: span.attributes["url.path"].rsplit("/", 1)[1] for span in spans
                if "url.path" in span.attributes}
    found = collections.Counter()
    for span in of_postgresql(spans):
        number = re.search(r" AS r(\d+)_", span.attributes["db.query.text"])
        found["right" if number and requests.get(span.parent) == number.group(1)
              else "none" if not span.parent else "wrong"] += bool(number)
    return +found


def test_requests():
    """64 at once: each request has its own three statements below it, and no other."""
    if not installed("gunicorn", PYTHON, "-c", "import gunicorn, psycopg2"):
        return
    with Scene() as scene:
        server, port = Server(scene), free_port()
        scene.start([PYTHON, "-m", "gunicorn", "-w", "2", "-k", "gthread", "--threads", "32", "-b",
                     "127.0.0.1:%d" % port, "--chdir", APPS, "pg_wsgi:application"], "web", True,
                    port, PG_PORT=str(server.port))
        start = server.mark()
        equal(load(port, 640, 64), [], "requests are answered")
        end = server.mark()
        scene.wait_spans(640 * 4, timeout=30)
        spans = scene.spans()
        found = parents_of(spans)
        equal(dict(+found), {"right": 640 * 3}, "statements under the request that made them")
        compare(told(of_postgresql(spans)), server.said(start, end), False,
                "as many as the server's log has")


def pool(whose):
    """A queue of connections, from the first request on, which makes it."""
    if not installed(whose, PYTHON, "-c", "import aiohttp, asyncpg, " + whose):
        return
    with Scene() as scene:
        server, port = Server(scene), free_port()
        scene.start([PYTHON, APPS + "/pg_pool.py", str(port), str(server.port), whose], "web", True,
                    port)
        equal(load(port, 320, 32), [], whose + "'s pool: requests are answered")
        scene.wait_spans(320 * 4, timeout=30)
        found = parents_of(scene.spans())
        equal(found["wrong"], 0, whose + "'s pool: no statement is under another's request")
        check(found["right"] >= 0.95 * 960, "%s's pool: %d of 960 statements are under their own"
              % (whose, found["right"]), dict(found))


def test_asyncpg():
    pool("asyncpg")


def test_sqlalchemy():
    pool("sqlalchemy")


# --- context as a comment --------------------------------------------------------------------------

COMMENT = re.compile(r" /\*traceparent='00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}'"
                     r"(?:,tracestate='[^']*')?\*/")
QUERIES = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|VALUES|CALL)\b", re.I)


def commented(scene, server, command, what, **more):
    """Each query that the server's log has ends in a comment that names the span which tells it."""
    before, start = {span.id for span in scene.spans()}, server.mark()
    bare = scene.run(command, traced=False, timeout=60, **more)
    middle = server.mark()
    done = scene.run(command, timeout=60, BURDOCK_SQLCOMMENTER="1", **more)
    said = server.said(middle, server.mark())
    equal((done.returncode, done.stdout, done.stderr), (bare.returncode, bare.stdout, bare.stderr),
          what + ": as bare")
    plain = [[COMMENT.sub("", text), code] for text, code in said]
    check(plain == server.said(start, middle) and plain,
          what + ": the same statements, but for comments (%d)" % len(plain))
    wait_until(lambda: len([s for s in of_postgresql(scene.spans()) if s.id not in before]) >= len(said), 10)
    texts = {(span.trace, span.id): shown(span.attributes["db.query.text"])
             for span in of_postgresql(scene.spans())
             if span.id not in before and "db.query.text" in span.attributes}
    named = [COMMENT.search(text) for text, _ in said]
    equal([text for (text, _), found in zip(said, named)
           if found and texts.get(found.groups()) != shown(COMMENT.sub("", text))], [],
          what + ": each comment names the span of its own statement")
    equal(len({found.groups() for found in named if found}), len([f for f in named if f]),
          what + ": no two the same (%d)" % len({f.groups() for f in named if f}))
    return [text for (text, _), found in zip(said, named) if not found and QUERIES.match(text)]


def test_comments():
    script = """CREATE TABLE t (a int, b text);
INSERT INTO t SELECT i, 'secret ' || i FROM generate_series(1, 10) i;
SELECT a, b FROM t WHERE b = 'it''s a ; secret';
SELECT 1 AS "-- none";
SELECT b FROM t; UPDATE t SET a = 5 WHERE a > 8;
\\copy t FROM 'rows'
SELECT 1/0;
SELECT nothing FROM nowhere;
BEGIN; DECLARE c CURSOR FOR SELECT a FROM t; FETCH 3 FROM c; COMMIT;
WITH w AS (SELECT 1) SELECT * FROM w /* mine */ ;
PREPARE p AS SELECT 1; EXECUTE p;
SELECT 1 AS one \\; SELECT 2 AS two;
DROP TABLE t;
"""
    with Scene() as scene:
        server = Server(scene)
        scene.write("rows", "1\tcopied\n")
        script = scene.write("script.sql", script)
        left = commented(scene, server, ["psql", *where(server), "-qAtX", "-f", script, "postgres"],
                         "psql")
        equal(left, ['SELECT 1 AS "-- none";', "WITH w AS (SELECT 1) SELECT * FROM w /* mine */ ;",
                     "SELECT 1 AS one ; SELECT 2 AS two;"], "psql: what has none")
        long = "SELECT '%s'" % ("x" * 40000)
        equal(commented(scene, server, ["psql", *where(server), "-qAtX", "-f", "-", "postgres"],
                        "psql, long", stdin=long.encode() + b";SELECT 2;"), [long + ";"],
              "psql: too long a statement has none")
        if os.path.exists(CLIENT):
            for count in ("60", "1000"):
                for which in ("synced", "mixed", "joined"):
                    commented(scene, server, [CLIENT, conninfo(server), which, count],
                              "libpq, pipeline, %s, %s" % (which, count))
        if installed("psycopg2", PYTHON, "-c", "import psycopg2"):
            commented(scene, server, [PYTHON, APPS + "/pg_psycopg2.py", str(server.port)], "psycopg2")
        if installed("asyncpg", PYTHON, "-c", "import asyncpg"):
            commented(scene, server, [PYTHON, APPS + "/pg_asyncpg.py", str(server.port)], "asyncpg")


# --- what goes wrong ---------------------------------------------------------------------------------


def login_of(listener, context):
    """A connection whose client has said who it is."""
    connection = listener.accept()[0]
    connection.settimeout(20)
    if context is not None:
        connection.recv(8)
        connection.sendall(b"S")
        connection = context.wrap_socket(connection, server_side=True)
    connection.recv(4096)
    return connection


READY = b"Z\0\0\0\5I"
GREETING = b"R\0\0\0\x08\0\0\0\0" + READY
ANSWER = b"C\0\0\0\x0dSELECT 1\0" + READY


def test_growing_pool():
    grow_pool("plain", second_is_ready_first)
    grow_pool("plain", first_becomes_free)


def test_growing_pool_in_tls():
    grow_pool("tls", second_is_ready_first)
    grow_pool("tls", first_becomes_free)


def second_is_ready_first(asks):
    """And goes to the first of two requests."""
    clients, servers = zip(*map(asks, (1, 2)))
    for server, number in zip(servers[::-1], (1, 2)):
        server.sendall(GREETING)
        check(b"r%d_a" % number in server.recv(4096), "request %d has its turn" % number)
    for server in servers:
        server.sendall(ANSWER)
    return clients, servers


def first_becomes_free(asks):
    """Before the second, which was made for the second request, is ready."""
    first = asks(1)
    first[1].sendall(GREETING)
    check(b"r1_a" in first[1].recv(4096), "request 1 has its turn")
    second = asks(2)
    first[1].sendall(ANSWER)
    check(b"r2_a" in first[1].recv(4096), "request 2 has its turn")
    first[1].sendall(ANSWER)
    return zip(first, second)


def grow_pool(how, play):
    with Scene() as scene, socket.create_server(("127.0.0.1", 0)) as listener:
        port, context = free_port(), None
        if how == "tls":
            certify(scene)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(scene.path("cert.pem"), scene.path("key.pem"))
        scene.start([PYTHON, APPS + "/pg_first_come.py", str(listener.getsockname()[1]), str(port),
                     how], "pool", port=port, BURDOCK_CARRIERS="none")
        listener.settimeout(20)

        def asks(number):
            client = socket.create_connection(("127.0.0.1", port), 20)
            client.sendall(b"GET /r/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            return client, login_of(listener, context)

        clients, servers = play(asks)
        check(all(b"200 OK" in client.recv(4096) for client in clients), "both are answered")
        spans = scene.wait_spans(4)
        requests = {span.id: span.attributes["url.path"] for span in spans if span.kind == "SERVER"}
        statements = {span.attributes["db.query.text"]: span for span in of_postgresql(spans)}
        for number in (1, 2):
            parent = statements["SELECT ? AS r%d_a" % number].parent
            check(not parent or requests[parent] == "/r/%d" % number,
                  "statement %d is under no other request" % number, requests.get(parent))
        for sock in (*clients, *servers):
            sock.close()


def test_failures():
    with Scene() as scene:
        server = Server(scene)
        sleeper = ["psql", *where(server), "-qAtX", "-c", "SELECT pg_sleep(60) AS killed",
                   "postgres"]

        def sleeping():
            return server.ask("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                              "query LIKE 'SELECT pg_sleep%'") == "1\n"

        def last(what, code, error):
            wait_until(lambda: of_postgresql(scene.spans()), 10)
            spans = of_postgresql(scene.spans())
            attributes = spans[-1].attributes if len(spans) == 1 else {}
            equal((len(spans), attributes.get("db.query.text"),
                   attributes.get("db.response.status_code"), attributes.get("error.type")),
                  (1, "SELECT pg_sleep(?) AS killed", code, error), what)
            shutil.rmtree(scene.store)
            os.mkdir(scene.store)

        client = scene.start(sleeper)
        wait_until(sleeping)
        server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE "
                   "'SELECT pg_sleep%'")
        client.wait(20)
        last("a backend that is terminated", "57P01", "57P01")

        client = scene.start(sleeper)
        wait_until(sleeping)
        server.ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE "
                   "'SELECT pg_sleep%'")
        client.wait(20)
        last("a statement that is cancelled", "57014", "57014")

        client = scene.start(sleeper)
        wait_until(sleeping)
        server.stop()
        client.wait(20)
        last("a server that is shut down", "57P01", "57P01")
        server.start()

        client = scene.start(sleeper)
        wait_until(sleeping)
        backend = int(server.ask("SELECT pid FROM pg_stat_activity WHERE query LIKE "
                                 "'SELECT pg_sleep%' AND pid <> pg_backend_pid()"))
        os.kill(backend, signal.SIGKILL)
        client.wait(20)
        spans = wait_until(lambda: of_postgresql(scene.spans()), 10)
        check(len(spans) == 1 and spans[0].status == "ERROR" and
              spans[0].attributes.get("error.type") in ("connection_closed", "connection_reset"),
              "a backend that is killed", spans)

        client = scene.start(sleeper)
        wait_until(lambda: server.ask("SELECT 1") == "1\n" and sleeping(), 30)
        client.kill()
        client.wait(20)
        scene.run(["psql", *where(server), "-X", "-c", "SELECT 1 AS alive", "postgres"])
        wait_until(lambda: len(of_postgresql(scene.spans())) >= 2, 10)
        check("SELECT ? AS alive" in [s.attributes.get("db.query.text")
                                      for s in of_postgresql(scene.spans())],
              "after a client that was killed, the next one is seen")


if __name__ == "__main__":
    main(globals(), ("psql", "pgbench") if BIN else ("initdb",))
