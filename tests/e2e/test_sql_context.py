# SPDX-License-Identifier: Apache-2.0
"""Statements that carry a context in a comment that their program has written: their spans continue
it, and the servers get them as they are, also where we would write a comment of our own."""
import re
import subprocess

from harness import APPS, PATH, PYTHON, Scene, equal, free_port, get, main, skip, wait_until
from test_mysql import Server as MariaDB
from test_postgresql import Server as PostgreSQL, installed

TRACE = "%032x"
SPAN = "%016x"
ROOT = ("", "")  # of nobody's trace that is named here


def traceparent(number, flags=1):
    return "traceparent='00-%s-%s-%02x'" % (TRACE % (0xa0000 + number), SPAN % (0xb0000 + number), flags)


def own(number):
    return (TRACE % (0xa0000 + number), SPAN % (0xb0000 + number))


# What follows "SELECT <number> AS c<number>" or goes before it, and whether it is believed.
FORMS = [
    ("%s /*{}*/", True),
    ("%s /*{}*/ ;", True),
    ("/*{}*/ %s", True),
    ("%s /*action='%%2Fa',{},framework='x'*/", True),
    ("%s, '/* none' /*{}*/", True),
    ("%s, '/*{}*/'", False),
    ("%s -- /*{}*/", False),
    ("%s /* see {} */", False),
    ("%s /*{} */ /*app='x'*/", False),
    ("/*{},{}*/ %s", False),
    ("%s /*traceparent='00-00000000000000000000000000000000-0000000000000001-01'*/", False),
    ("%s", False),
]
POSTGRESQL = [("%s, $$/*{}*/$$", False), ("%s, 'x' AS \"/*{}*/\"", False), ("%s, $$x$$ /*{}*/", True), ("%s /* a /* b */ */ /*{}*/", True)]
MYSQL = [("%s, \"/*{}*/\"", False), ("%s # /*{}*/", False)]


def statements(forms, way, start):
    """[way, text, parent or ROOT, number]"""
    rows = []
    for number, (form, is_believed) in enumerate(forms, start):
        context = traceparent(number).replace("'", "''") if "'/*{}" in form else traceparent(number)
        text = form.replace("%%", "\0").replace("%s", "SELECT %d AS c%d" % (number, number))
        rows.append((way, text.replace("{}", context).replace("\0", "%"),
                     own(number) if is_believed else ROOT, number))
    return rows


def number_of(text):
    row = re.search(r"\bc(\d+)\b", text)
    return int(row.group(1)) if row else None


def parents(spans):
    """By the number of a row: (trace, parent) of its spans, ROOT of those that have none."""
    found = {}
    for span in spans:
        number = number_of(span.attributes.get("db.query.text", ""))
        found.setdefault(number, []).append((span.trace, span.parent) if span.parent else ROOT)
    return found


def as_sent(said, rows):
    """What has a comment came as it is; only what has none got ours. Logs may cut a text's end."""
    sent = {number: text for _, text, _, number in rows}
    wrong = [text for text in said if number_of(text) in sent and
             (text.rstrip("; ") == sent[number_of(text)].rstrip("; ")) !=
             ("/*" in sent[number_of(text)])]
    equal((wrong, {number_of(text) for text in said} >= set(sent)), ([], True),
          "the server gets what has a comment as it is")


def test_postgresql_wire():
    if not installed("psycopg2, asyncpg", PYTHON, "-c", "import psycopg2, asyncpg"):
        return
    forms = FORMS + POSTGRESQL
    rows = statements(forms, "psycopg2", 100) + statements(forms, "params", 200) + \
        statements(FORMS[:1], "prepared", 400) + statements(forms, "execute", 300) + \
        statements(FORMS[:1], "fetch", 500)
    with Scene() as scene:
        server = PostgreSQL(scene)
        start = server.mark()
        lines = "".join("%s\t%s\n" % row[:2] for row in rows)
        done = scene.run([PYTHON, APPS + "/pg_contexts.py", str(server.port)], stdin=lines.encode(),
                         BURDOCK_SQLCOMMENTER="1")
        equal((done.returncode, done.stderr), (0, b""), "the program")
        as_sent([text for text, _ in server.said(start, server.mark())], rows)
        wait_until(lambda: len(scene.spans()) >= len(rows) + 2, 10)
        found = parents(scene.spans())
        for way in ("psycopg2", "params", "execute"):
            equal([found.get(number) for whose, _, _, number in rows if whose == way],
                  [[parent] for whose, _, parent, _ in rows if whose == way],
                  way + ": each has the parent that it names")
        equal((found.get(400), found.get(500)), ([ROOT] * 2, [ROOT] * 2),
              "what was prepared before has none of its own")


def test_mariadb_wire():
    if subprocess.run([PYTHON, "-c", "import pymysql"], env={"PATH": PATH}, capture_output=True).returncode != 0:
        return skip("PyMySQL", "not installed")
    rows = statements(FORMS + MYSQL, "pymysql", 100)
    program = """
import sys, pymysql
at = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", password="correcthorse",
                     database="shop").cursor()
for line in sys.stdin:
    at.execute(line.rstrip("\\n"))
"""
    with Scene() as scene:
        server = MariaDB(scene)
        server.forget()
        lines = "".join(text + "\n" for _, text, _, _ in rows)
        done = scene.run([PYTHON, "-c", program, str(server.port)], stdin=lines.encode(),
                         BURDOCK_SQLCOMMENTER="1")
        equal((done.returncode, done.stderr), (0, b""), "the program")
        as_sent([text for _, kind, text in server.log() if kind == "Query"], rows)
        wait_until(lambda: len(scene.spans()) >= len(rows), 10)
        found = parents(scene.spans())
        equal([found.get(number) for _, _, _, number in rows], [[parent] for _, _, parent, _ in rows],
              "PyMySQL: each has the parent that it names")
        php = """
$m = new mysqli("127.0.0.1", "app", "correcthorse", "shop", (int)$argv[1]);
$m->query("SELECT 600 AS c600 /*%s*/");
$s = $m->prepare("SELECT 601 AS c601 /*%s*/");
$s->execute(); $s->get_result(); $s->execute(); $s->get_result();
""" % (traceparent(600), traceparent(601))
        if subprocess.run(["php", "-r", "exit(extension_loaded('mysqli') ? 0 : 1);"],
                          env={"PATH": PATH}, capture_output=True).returncode != 0:
            return skip("mysqli", "not installed")
        before = len(scene.spans())
        done = scene.run(["php", "-r", php, str(server.port)])
        equal((done.returncode, done.stdout + done.stderr), (0, b""), "PHP")
        scene.wait_spans(before + 3)
        found = parents(scene.spans())
        equal((found.get(600), found.get(601)), ([own(600)], [ROOT, ROOT]),
              "mysqli: a query has the parent that it names, what was prepared before has none")


def test_sampling_and_state():
    if not installed("psycopg2", PYTHON, "-c", "import psycopg2, asyncpg"):
        return
    lines = "psycopg2\tSELECT 1 AS c1 /*%s*/\npsycopg2\tSELECT 2 AS c2 /*%s,tracestate='a%%3Db%%2Cc%%3Dd'*/\n" \
            "params\tSELECT 3 AS c3 /*%s*/\nparams\tSELECT 4 AS c4 /*%s*/\n" \
            % (traceparent(1, 0), traceparent(2), traceparent(3, 0), traceparent(4))
    with Scene() as scene:
        server = PostgreSQL(scene)
        done = scene.run([PYTHON, APPS + "/pg_contexts.py", str(server.port)], stdin=lines.encode())
        equal((done.returncode, done.stderr), (0, b""), "the program")
        scene.wait_spans(2)
        spans = [span for span in scene.spans() if " AS c" in span.attributes.get("db.query.text", "")]
        equal(sorted((number_of(span.attributes["db.query.text"]), span.trace, span.parent, span.state)
                     for span in spans), [(2, *own(2), "a=b,c=d"), (4, *own(4), "")],
              "what is not sampled is not told; tracestate is the statement's")


SERVER = """
import http.server, sys, psycopg2
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        at = psycopg2.connect("host=127.0.0.1 port=%s user=postgres sslmode=disable" % sys.argv[2]).cursor()
        own = self.path[1:] or self.headers["traceparent"]
        at.execute("SELECT 1 AS c%d /*traceparent='%s'*/" % (bool(self.path[1:]), own))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_in_a_request():
    """The comment says more than the thread; one that repeats what the request carried is its."""
    if not installed("psycopg2", PYTHON, "-c", "import psycopg2"):
        return
    incoming = traceparent(1).split("'")[1]
    with Scene() as scene:
        server, port = PostgreSQL(scene), free_port()
        scene.start([PYTHON, "-c", SERVER, str(port), str(server.port)], "web", port=port)
        for path in ("/", "/" + traceparent(2).split("'")[1]):
            get(port, path, headers={"traceparent": incoming})
        spans = scene.wait_spans(4)
        requests = {span.attributes["url.path"]: span for span in spans if span.kind == "SERVER"}
        found = parents(spans)
        equal(found.get(0), [(own(1)[0], requests["/"].id)], "passed on: the request's")
        equal(found.get(1), [own(2)], "of its own: that")
        equal({span.parent for span in requests.values()}, {own(1)[1]}, "the requests' is their caller's")


if __name__ == "__main__":
    main(globals())
