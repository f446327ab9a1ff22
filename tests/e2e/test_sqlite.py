# SPDX-License-Identifier: Apache-2.0
"""Programs that use SQLite under the library, and what SQLite's own trace says that it began: the
same statements, a span each, in the same order, without their literals."""
import os
import re
import subprocess

from harness import (APPS, LIBRARY, PATH, PYTHON, Scene, check, equal, free_port, get, load, main,
                     skip)

SQLITE = "-l:libsqlite3.so.0"
SETUP = "CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3);"


def build(scene, name, *flags):
    path = scene.path(name)
    done = subprocess.run(["gcc", "-O1", *flags, "-o", path, os.path.join(APPS, name + ".c"), SQLITE,
                           "-pthread"], capture_output=True)
    assert done.returncode == 0, done.stderr
    return path


def sanitized(text):
    """Of the statements below; written without a look at the library's own reader."""
    return re.sub(r"'(?:[^']|'')*'|\b\d+\b", "?", text).strip()


def in_order(spans):
    return sorted((span for span in spans if "db.system.name" in span.attributes),
                  key=lambda span: span.start)


def said(span):
    return span.attributes.get("db.query.text", "").strip()


class Traced(Scene):
    """With SQLite's own trace beside the library."""

    def __init__(self):
        super().__init__()
        self.trace = self.path("trace.log")
        self.preload = LIBRARY + ":" + build(self, "sqlite_trace", "-shared", "-fPIC")

    def began(self):
        if not os.path.exists(self.trace):
            return []
        with open(self.trace) as lines:
            return [bytes.fromhex(line).decode() for line in lines]

    def watched(self, command, what, status=0, **more):
        """Runs a program; answers its spans, which are those that the trace has."""
        before = len(self.spans())
        if os.path.exists(self.trace):
            os.unlink(self.trace)
        done = self.run(command, LD_PRELOAD=self.preload, SQLITE_TRACE=self.trace, **more)
        check(done.returncode == status, what + ": runs",
              (done.stdout[-800:] + done.stderr[-800:]).decode("latin-1"))
        began = [sanitized(text) for text in self.began()]
        spans = in_order(self.wait_spans(before + len(began))[before:])
        told = [span for span in spans if not span.attributes.get("error.type") == "SQLITE_ERROR"]
        equal([said(span) for span in told], began,
              what + ": each statement is a span, in order (%d)" % len(began))
        check(len(began) > 3, what + ": the trace has it")
        check("secret" not in repr([(span.name, span.attributes) for span in spans]),
              what + ": no literal")
        return spans


def by_text(spans, part):
    return next(span for span in spans if part in said(span))


PYTHON_SCRIPT = """
import sqlite3
base = sqlite3.connect('base.db')
base.execute("CREATE TABLE carts (n INTEGER PRIMARY KEY, who TEXT)")
base.executemany("INSERT INTO carts (who) VALUES (?)", [("a",), ("b",), ("c",)])
base.commit()
base.executescript("INSERT INTO carts VALUES (10, 'secret'); DELETE FROM carts WHERE n = 10; ;")
print(base.execute("SELECT who, n FROM carts WHERE n > ? AND who <> 'secret'", (1,)).fetchall())
begun = base.execute("SELECT who AS begun FROM carts")
print(begun.fetchone())
begun.close()
for text in ("SELECT * FROM absent", "INSERT INTO carts VALUES (1, 'secret')", "SELEC"):
    try:
        base.execute(text)
    except sqlite3.Error as error:
        print(error)
base.rollback()
base.create_function("ask", 1, lambda n: sqlite3.connect(':memory:').execute(
    "SELECT 7 AS within").fetchone()[0])
print(base.execute("SELECT ask(1) AS outside").fetchall())
memory = sqlite3.connect(':memory:')
memory.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
memory.execute("INSERT INTO words VALUES ('one two')")
print(memory.execute("SELECT text FROM words WHERE words MATCH 'two'").fetchall())
memory.close()
"""


def test_python():
    with Traced() as scene:
        script = scene.write("script.py", PYTHON_SCRIPT)
        spans = scene.watched([PYTHON, script], "Python")
        span = by_text(spans, "SELECT who, n")
        equal((span.kind, span.name, span.status, span.attributes), ("CLIENT", "SELECT carts", "UNSET", {
            "db.system.name": "sqlite", "db.namespace": scene.path("base.db"),
            "db.query.text": "SELECT who, n FROM carts WHERE n > ? AND who <> ?",
            "db.query.summary": "SELECT carts", "db.response.returned_rows": 2,
            "burdock.attribution": "none"}), "what a span says")
        check(by_text(spans, "AS begun").attributes["db.response.returned_rows"] in (1, 2),
              "rows of what was not read to its end") # some versions read one ahead
        equal("db.response.returned_rows" in by_text(spans, "DELETE").attributes, False,
              "no rows of what returns none")
        equal("db.namespace" in by_text(spans, "MATCH").attributes, False, "in memory: no file")
        wrong = [(said(span), span.attributes["error.type"], span.status,
                  span.attributes["db.response.status_code"])
                 for span in spans if "error.type" in span.attributes]
        code = "SQLITE_CONSTRAINT_PRIMARYKEY"
        equal(wrong, [("SELECT * FROM absent", "SQLITE_ERROR", "ERROR", "SQLITE_ERROR"),
                      ("INSERT INTO carts VALUES (?, ?)", code, "ERROR", code),
                      ("SELEC", "SQLITE_ERROR", "ERROR", "SQLITE_ERROR")], "errors")
        check("_sqlite3" in by_text(spans, "absent").attributes.get("code.stacktrace", ""),
              "an error says which code made the call")
        os.unlink(scene.path("base.db"))
        scene.as_bare(["sh", "-c", "rm -f base.db; exec %s %s" % (PYTHON, script)], "Python",
                      spans=len(spans))


SHELL = b"""CREATE TABLE carts (n INTEGER, who TEXT);
INSERT INTO carts VALUES (1, 'secret'), (2, 'b;c');
SELECT * FROM carts WHERE who = 'secret' -- a remark
;
BEGIN; UPDATE carts SET n = n + 1; COMMIT;
WITH x AS (SELECT max(n) FROM carts) SELECT * FROM x;
DROP TABLE carts;
"""


def test_shell():
    with Traced() as scene:
        spans = scene.watched(["sqlite3", "-batch", "-init", "/dev/null", "shell.db"], "sqlite3",
                              stdin=SHELL.replace(b"-- a remark\n", b""))
        equal(by_text(spans, "SELECT * FROM carts").attributes["db.namespace"], scene.path("shell.db"),
              "its file")
        equal(by_text(spans, "UPDATE").name, "UPDATE carts", "its summary")


PHP = """<?php
$base = new PDO('sqlite:php.db', null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_SILENT]);
$base->exec('CREATE TABLE carts (n INTEGER PRIMARY KEY, who TEXT)');
$base->exec("INSERT INTO carts VALUES (1, 'secret')");
$insert = $base->prepare('INSERT INTO carts (who) VALUES (?)');
foreach (['a', 'b', 'c'] as $who) $insert->execute([$who]);
$base->beginTransaction();
foreach ($base->query("SELECT n, who FROM carts WHERE who <> 'secret'") as $row) echo $row['who'];
$base->commit();
$insert = null;
$base = new SQLite3('php.db');
$base->exec("UPDATE carts SET who = 'secret' WHERE n = 2");
echo $base->querySingle('SELECT count(*) FROM carts');
$select = $base->prepare('SELECT who FROM carts WHERE n = :n');
$select->bindValue(':n', 3);
$rows = $select->execute();
while ($row = $rows->fetchArray()) echo $row[0];
$base->close();
"""

PERL = """use DBI;
my $base = DBI->connect('dbi:SQLite:dbname=perl.db', '', '', {RaiseError => 1, PrintError => 0});
$base->do('CREATE TABLE carts (n INTEGER PRIMARY KEY, who TEXT)');
my $insert = $base->prepare('INSERT INTO carts (who) VALUES (?)');
$insert->execute($_) for 'a', 'b', 'c';
$base->begin_work;
$base->do("UPDATE carts SET who = 'secret' WHERE n = 1");
$base->commit;
print map { "@$_\\n" } @{$base->selectall_arrayref('SELECT n, who FROM carts WHERE n > ?', {}, 1)};
eval { $base->do("INSERT INTO carts VALUES (1, 'secret')") };
print $@ ? "refused\\n" : "taken\\n";
$base->disconnect;
"""

RUBY = """require 'sqlite3'
base = SQLite3::Database.new('ruby.db')
base.execute('CREATE TABLE carts (n INTEGER PRIMARY KEY, who TEXT)')
%w[a b c].each { |who| base.execute('INSERT INTO carts (who) VALUES (?)', [who]) }
base.transaction { base.execute("UPDATE carts SET who = 'secret' WHERE n = 1") }
p base.execute('SELECT n, who FROM carts WHERE n > 1')
base.close
"""


def language(what, command, probe, script):
    if subprocess.run(probe, env={"PATH": PATH}, capture_output=True).returncode != 0:
        return skip(what, "not installed")
    with Traced() as scene:
        spans = scene.watched([*command, scene.write("script", script)], what)
        select = [span for span in spans if said(span).startswith("SELECT n, who")][0]
        equal((select.name, select.attributes["db.namespace"].rsplit(".", 1)[1]),
              ("SELECT carts", "db"), what + ": what a span says")


def test_php():
    language("PHP", ["php"], ["php", "-r", "new SQLite3(':memory:'); new PDO('sqlite::memory:');"],
             PHP)


def test_perl():
    language("Perl", ["perl"], ["perl", "-MDBD::SQLite", "-e1"], PERL)


def test_ruby():
    language("Ruby", ["ruby"], ["ruby", "-e", "require 'sqlite3'"], RUBY)


def test_served():
    """Sixteen at a time: each statement is of the request that it was made for."""
    total = 400
    with Scene() as scene:
        path, port = scene.path("served.db"), free_port()
        subprocess.run([PYTHON, "-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript("
                        "'PRAGMA journal_mode = WAL; CREATE TABLE visits (n, who);"
                        "CREATE TABLE goods (n); INSERT INTO goods VALUES (1), (2), (3)')", path],
                       check=True)
        scene.start([PYTHON, os.path.join(APPS, "sqlite_service.py"), str(port), path], "shop",
                    port=port)
        equal(load(port, total, 16), [], "all are answered")
        spans = scene.wait_spans(4 * total)
        served = {span.id: span for span in spans if span.kind == "SERVER"}
        asked = in_order(spans)
        equal((len(served), len(asked)), (total, 3 * total), "three statements for each request")
        wrong = []
        for span in asked:
            name = re.search(r"\b[ru](\d+)\b", said(span))
            parent = served.get(span.parent)
            if parent is None or span.trace != parent.trace or \
                    name and not parent.attributes["url.path"].endswith("/" + name[1]):
                wrong.append((said(span), parent and parent.attributes["url.path"]))
        equal(wrong[:5], [], "each is a child of its own request")
        rows = {span.attributes.get("db.response.returned_rows") for span in asked
                if said(span).startswith("SELECT n")}
        equal(rows, {3}, "rows that came in two goes")


# --- every call, and its edges -------------------------------------------------------------------


class Calls(Scene):
    def __init__(self):
        super().__init__()
        self.calls = build(self, "sqlite_calls")

    def of(self, mode, count):
        """The spans of one mode, which printed what it prints bare."""
        command = ["sh", "-c", "rm -f y.db; LD_PRELOAD= sqlite3 y.db '%s'; exec %s y.db %s"
                   % (SETUP, self.calls, mode)]
        self.as_bare(command, mode, spans=count)
        return [(said(span), span.attributes.get("db.response.returned_rows"),
                 span.attributes.get("error.type")) for span in in_order(self.spans())]


def test_forms():
    with Calls() as scene:
        error = "SQLITE_ERROR"
        equal(scene.of("forms", 13), [
            ("SELECT ? AS old", 1, None), ("SELECT ? AS cut", 1, None), ("SELECT ? AS first;", 1, None),
            ("SELECT ? AS second", 1, None), ("SELECT ? AS größe", 1, None),
            ("SELECT ? AS größer", 1, None), ("SELECT ? AS \U00010348", 1, None),
            ("SELECT ? FROM absent", None, error), ("SELECT ? FROM absent3", None, error),
            ("SELECT ? FROM absent1", None, error), ("SELECT ? FROM ä\U00010348", None, error),
            ("SELECT ? FROM absent162", None, error), ("SELECT ? FROM absent163", None, error)],
            "forms of preparing")


def test_executions():
    with Calls() as scene:
        again, wrong = "SELECT n AS again FROM t", "SELECT abs(?) AS wrong FROM t"
        unique = "SQLITE_CONSTRAINT_PRIMARYKEY"
        equal(scene.of("executions", 7), [
            (again, 3, None), (again, 3, None), (again, 1, None), (again, 1, None),
            ("INSERT INTO t VALUES (?)", None, unique), (wrong, 0, "SQLITE_ERROR"),
            (wrong, 0, "SQLITE_ERROR")], "executions")


def test_whole():
    with Calls() as scene:
        inside = ("SELECT ? AS inside", 1, None)
        equal(scene.of("whole", 6), [
            ("SELECT n AS one FROM t LIMIT ?", None, None), inside, inside,
            ("SELECT ? AS two; SELECT ? AS three;", None, None),
            ("SELECT ? AS four; SELECT ? FROM absent", None, "SQLITE_ERROR"),
            ("SELECT n AS five FROM t", None, None)], "whole texts")


def test_busy():
    with Calls() as scene:
        insert = "INSERT INTO t VALUES (?)"
        equal(scene.of("busy", 5), [
            ("BEGIN IMMEDIATE", None, None), (insert, None, "SQLITE_BUSY"),
            (insert, None, "SQLITE_BUSY"), ("COMMIT", None, None), (insert, None, None)],
            "tried again")


def test_moved():
    with Calls() as scene:
        equal(scene.of("moved", 1), [("SELECT n AS moved FROM t", 3, None)], "by two threads")


def test_forked():
    with Calls() as scene:
        text = "SELECT n AS forked FROM t"
        equal(sorted(scene.of("forked", 2)), [(text, 3, None)] * 2, "one each")


def test_many():
    with Calls() as scene:
        spans = scene.of("many", None)
        check(4096 < len(spans) <= 8192, "as many as there is room for", len(spans))
        equal(set(spans), {("SELECT n FROM t", 3, None)}, "each of them whole")


def test_by_name():
    with Calls() as scene:
        scene.of("by_name", 0)


ABSENT = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
    return printf("%d\\n", dlsym(RTLD_DEFAULT, "sqlite3_step") == NULL) < 0;
}
"""

# A library of another make that has the name, calls itself by it, and lacks most of the rest.
OTHER = """int sqlite3_step(void *statement) { return statement == 0 ? 41 : 42; }
int sqlite3_exec(void *db, const char *text, void *row, void *argument, void *message)
{
    return 1000 + sqlite3_step(db);
}
"""
PLUGIN = """int sqlite3_step(void *); int sqlite3_exec(void *, const char *, void *, void *, void *);
int other(void) { return sqlite3_step(0) + sqlite3_exec(0, "SELECT 1", 0, 0, 0); }
"""
ASKS = """#include <sqlite.h>
int asks(void)
{
    sqlite3 *db;
    sqlite3_open(":memory:", &db);
    int result = sqlite3_exec(db, "SELECT 1 AS own", 0, 0, 0);
    sqlite3_close(db);
    return result;
}
"""
LINKED = """#include <stdio.h>
int asks(void), other(void);
int main(void) { return printf("%d %d %d\\n", asks(), other(), asks()) < 0; }
"""
LOADED = """#include <dlfcn.h>
#include <stdio.h>
int main(void)
{
    int (*asks)(void) = dlsym(dlopen("libasks.so", RTLD_NOW), "asks");
    int (*other)(void) = dlsym(dlopen("libplugin.so", RTLD_NOW), "other");
    return printf("%d %d %d\\n", asks(), other(), asks()) < 0;
}
"""


def compile(scene, name, text, *flags):
    subprocess.run(["gcc", "-O1", "-fno-builtin", "-I" + APPS, "-o", scene.path(name),
                    scene.write(name + ".c", text), "-L" + scene.directory,
                    "-Wl,-rpath," + scene.directory, *flags], check=True)


def test_absent():
    with Scene() as scene:
        compile(scene, "absent", ABSENT)
        done = scene.run([scene.path("absent")])
        equal(done.stdout, b"1\n", "who looks for SQLite where there is none does not find it")


def test_two_copies():
    """What is not hooked is bound by the linker; what is must be of the same library."""
    with Scene() as scene:
        shared, needs = ["-shared", "-fPIC"], ["-Wl,--no-as-needed"]
        compile(scene, "libother.so", OTHER, *shared)
        compile(scene, "libplugin.so", PLUGIN, *shared, "-lother")
        compile(scene, "libasks.so", ASKS, *shared, SQLITE)
        compile(scene, "first", LINKED, *needs, "-lasks", "-lplugin")
        compile(scene, "second", LINKED, *needs, "-lplugin", "-lasks")
        compile(scene, "loaded", LOADED)
        outputs = []
        for program, told in (("first", 2), ("second", 0), ("loaded", 2)):
            before = len(scene.spans())
            outputs.append(scene.as_bare([scene.path(program)], "several copies, " + program).stdout)
            spans = in_order(scene.wait_spans(before + told)[before:])
            equal(len(spans), told, program + ": what is no SQLite as we know it is not told")
        equal(outputs[2], b"0 %d 0\n" % (41 + 1000 + 41), "to each its own")
        equal(len(set(outputs)), 3, "else the first for all")


if __name__ == "__main__":
    main(globals(), needs=["gcc", "sqlite3"])
