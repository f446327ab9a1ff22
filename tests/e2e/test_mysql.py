# SPDX-License-Identifier: Apache-2.0
"""Clients of MariaDB under the library, and what the server's own general log saw of them: the same
statements, one span each, in the same order, without their literals."""
import os
import re
import shutil
import subprocess

from harness import PATH, Scene, check, equal, free_port, load, main, skip

SECRET = "correcthorse"
SETUP = """
create database shop; create database other; create table shop.t (n int, s varchar(100));
insert into shop.t values (1, 'one'), (2, 'two'), (3, 'three');
create user app@'%' identified by 'correcthorse'; grant all on *.* to app@'%';
create procedure shop.two() begin select 1; select n from shop.t; end;
"""


def sanitized(text):
    """Of the statements below; written without a look at the library's own reader."""
    return re.sub(r"'(?:[^'\\]|''|\\.)*'|(?:(?<= )-)?\b\d+(?:\.\d+)?\b|(?<!IS )\bNULL\b", "?", text)


class Server:
    """A MariaDB of its own, as a user without rights where there is one."""

    def __init__(self, scene, *options):
        self.scene, self.port, self.options = scene, free_port(), options
        self.directory, self.socket = scene.path("data"), scene.path("socket")
        os.chmod(scene.directory, 0o777)
        self.user = ["--user=mysql"] if os.getuid() == 0 else []
        done = subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
             "--skip-test-db", "--datadir=" + self.directory, *self.user],
            capture_output=True, env={"PATH": PATH}, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()
        self.ask("delimiter //\n" + SETUP.replace(";\n", "//\n").replace(
            "; create", "// create").replace("; grant", "// grant"))

    def start(self):
        self.process = self.scene.start(
            ["mariadbd", "--no-defaults", "--datadir=" + self.directory, "--port=%d" % self.port,
             "--bind-address=127.0.0.1", "--socket=" + self.socket, "--log-output=TABLE",
             "--general-log=1", "--skip-log-bin", "--innodb-buffer-pool-size=16M", "--local-infile=1",
             "--pid-file=" + self.scene.path("pid"), *self.user, *self.options],
            traced=False, port=self.port)

    def ask(self, text):
        done = subprocess.run(["mariadb", "--no-defaults", "-S", self.socket, "-uroot", "-N", "-B"],
                              input=text.encode(), capture_output=True, env={"PATH": PATH},
                              timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def forget(self):
        self.ask("truncate mysql.general_log")

    def log(self):
        """(thread, command, text), of the users under test."""
        lines = self.ask("select thread_id, command_type, hex(argument) from mysql.general_log "
                         "where user_host like '%app%' order by event_time").splitlines()
        rows = [line.split("\t") for line in lines]
        return [(int(thread), command, bytes.fromhex(text).decode("latin-1"))
                for thread, command, text in rows]


def of_server(spans):
    return sorted((span for span in spans if "db.system.name" in span.attributes),
                  key=lambda span: span.start)


def watched(scene, server, command, what, status=0, **more):
    """Runs a program, and compares its spans with what the server logged."""
    before = len(scene.spans())
    server.forget()
    done = scene.run(command, **more)
    seen = [sanitized(text) for _, kind, text in server.log() if kind in ("Query", "Execute")]
    check(done.returncode == status, what + ": runs",
          (done.stdout[-1000:] + done.stderr[-1000:]).decode("latin-1"))
    spans = of_server(scene.wait_spans(before + len(seen))[before:])
    told = [span for span in spans if "db.operation.name" not in span.attributes]
    # The log goes without white space at the end.
    equal([span.attributes.get("db.query.text", "").rstrip() for span in told], seen,
          what + ": each statement is a span, in order (%d)" % len(seen))
    check(len(seen) > 0, what + ": the log has it")
    check(SECRET not in repr([(span.name, span.attributes) for span in spans]),
          what + ": no password")
    return spans


def by_text(spans, text):
    return next(span for span in spans if span.attributes.get("db.query.text") == text)


SCRIPT = b"""select 1;
use shop
select n, s from t where n > 1;
update t set s = 'x' where n = 99;
use other
select n from shop.t;
select * from missing;
call shop.two();
use `shop`
show tables;
"""


def rows_of(spans, text):
    return by_text(spans, text).attributes.get("db.response.returned_rows")


def cli(server, *more):
    return ["mariadb", "--no-defaults", "-uapp", "-p" + SECRET, "--force", *more]


def test_cli():
    with Scene() as scene:
        server = Server(scene)
        tcp = cli(server, "-h127.0.0.1", "-P%d" % server.port)
        spans = watched(scene, server, tcp, "mariadb over TCP", stdin=SCRIPT)
        span = by_text(spans, "select n, s from t where n > ?")
        equal((span.kind, span.name, span.status, span.attributes),
              ("CLIENT", "select t", "UNSET", {
                  "db.system.name": "mariadb", "db.namespace": "shop",
                  "db.query.text": "select n, s from t where n > ?",
                  "db.query.summary": "select t", "db.response.returned_rows": 2,
                  "server.address": "127.0.0.1", "server.port": server.port,
                  "network.peer.address": "127.0.0.1", "network.peer.port": server.port,
                  "burdock.attribution": "none"}),
              "what a span says")
        equal(by_text(spans, "select n from shop.t").attributes["db.namespace"], "other",
              "a database chosen later")
        equal(by_text(spans, "show tables").attributes["db.namespace"], "shop", "in quotes")
        equal(rows_of(spans, "call shop.two()"), 4, "rows of a procedure's results")
        equal(rows_of(spans, "update t set s = ? where n = ?"), None, "no rows of an update")
        wrong = by_text(spans, "select * from missing")
        equal((wrong.status, wrong.attributes["db.response.status_code"],
               wrong.attributes["error.type"]), ("ERROR", "1146", "1146"), "an error")
        spans = watched(scene, server, cli(server, "-S", server.socket), "over a Unix socket",
                        stdin=SCRIPT)
        equal(spans[0].attributes["server.address"], server.socket, "its path")
        before = len(scene.spans())
        scene.run(["mariadb", "--no-defaults", "-uapp", "-pwrong", "-h127.0.0.1",
                   "-P%d" % server.port, "-e", "select 1"])
        spans = of_server(scene.wait_spans(before + 1)[before:])
        equal([(span.name, span.attributes["db.response.status_code"]) for span in spans],
              [("CONNECT", "1045")], "a login that is refused")


PYTHON_TEXT = """
import sys, MODULE
c = MODULE.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", CONNECT, **dict(MORE))
k = c.cursor()
k.execute("select n from t where s = %s", ("o'ne",))
k.fetchall()
k.executemany("insert into t values (%s, %s)", [(7, "a"), (8, "b")])
k.execute("use other")
k.execute("select n from shop.t where n < 5")
k.fetchall()
c.ping()
try:
    k.execute("select nonsense from shop.t")
except Exception as error:
    print(error.args[0])
k.execute("select '" + "x" * 70000 + "'")
k.fetchall()
c.select_db("shop")
k.execute("delete from t where n > 3")
c.commit()
c.close()
"""


def python(module, connect):
    return ["/usr/bin/python3", "-c",
            PYTHON_TEXT.replace("MODULE", module).replace("CONNECT", connect).replace("MORE", "()")]


CLIENTS = {
    "PyMySQL": (python("pymysql", 'password="%s", database="shop"' % SECRET), "python3-pymysql"),
    "mysqlclient": (python("MySQLdb", 'passwd="%s", db="shop"' % SECRET), "python3-mysqldb"),
    "mysqli": (["php", "-r", """
mysqli_report(MYSQLI_REPORT_OFF);
$m = new mysqli("127.0.0.1", "app", "correcthorse", "shop", (int)$argv[1]);
$m->query("select n from t where n = 2")->fetch_all();
$s = $m->prepare("select s from t where n = ?");
foreach ([1, 2, 3] as $n) { $s->bind_param("i", $n); $s->execute(); $s->get_result()->fetch_all(); }
$s->close();
$m->prepare("select from nowhere");
$m->multi_query("select 1; select n from t; select nothing");
do { $r = $m->store_result(); } while ($m->next_result());
$m->select_db("other"); $m->query("select 5"); $m->change_user("app", "correcthorse", "shop");
$m->query("select n from t where n = 1"); $m->ping(); $m->close();
"""], "php8.2-mysql"),
    "PDO": (["php", "-r", """
$p = new PDO("mysql:host=127.0.0.1;dbname=shop;port=" . $argv[1], "app", "correcthorse");
$p->setAttribute(PDO::ATTR_EMULATE_PREPARES, false);
$p->query("select n from t")->fetchAll();
$s = $p->prepare("insert into t values (?, ?)"); $s->execute([20, "a"]); $s->execute([21, "b"]);
$p->beginTransaction(); $p->exec("delete from t where n > 3"); $p->commit();
"""], "php8.2-mysql"),
    "DBD::mysql": (["perl", "-MDBI", "-e", """
my $d = DBI->connect("dbi:mysql:shop;host=127.0.0.1;mysql_server_prepare=1;port=$ARGV[0]", "app",
  "correcthorse", {PrintError => 0});
my $s = $d->prepare("select s from t where n = ?");
for (1, 2, 3) { $s->execute($_); $s->fetchall_arrayref; }
$d->do("select n from missing"); $d->do("use other"); $d->do("delete from shop.t where n > 3");
$s->finish; $d->disconnect;
"""], "libdbd-mysql-perl"),
    "DBD::MariaDB": (["perl", "-MDBI", "-e", """
my $d = DBI->connect("dbi:MariaDB:shop;host=127.0.0.1;mariadb_server_prepare=1;port=$ARGV[0]",
  "app", "correcthorse", {PrintError => 0});
my $s = $d->prepare("select s from t where n = ?");
for (1, 2, 3) { $s->execute($_); $s->fetchall_arrayref; }
$d->do("delete from t where n > 3"); $s->finish; $d->disconnect;
"""], "libdbd-mariadb-perl"),
    "Ruby mysql2": (["ruby", "-rmysql2", "-e", """
c = Mysql2::Client.new(host: "127.0.0.1", port: ARGV[0].to_i, username: "app",
  password: "correcthorse", database: "shop")
c.query("select n from t").to_a
s = c.prepare("select s from t where n = ?")
[1, 2].each { |n| s.execute(n).to_a }
s.close; c.close
"""], "ruby-mysql2"),
    "Node": (["node", "-e", """
const c = require("mysql").createConnection({host: "127.0.0.1", user: "app",
  password: "correcthorse", database: "shop", port: +process.argv[1]});
for (let i = 0; i < 20; i++) c.query("select n from t where n = ?", [i]);
c.query("select * from missing", () => {});
c.changeUser({database: "other"}); c.query("select 1"); c.end();
"""], "node-mysql"),
    "ODBC": (["/usr/bin/python3", "-c", """
import sys, pyodbc
c = pyodbc.connect("Driver=MariaDB Unicode;SERVER=127.0.0.1;UID=app;PWD=correcthorse;DATABASE=shop;"
                   "PORT=" + sys.argv[1])
k = c.cursor()
try:
    k.execute("select nothing from t where n = 1")
except pyodbc.Error:
    pass
k.execute("select n from t where n > 1")
k.fetchall()
k.execute("select s from t where n = ?", 1)
k.fetchall()
"""], "python3-pyodbc odbc-mariadb"),
}


def told_failed(span):
    return tuple(span.attributes.get("db." + key) for key in (
        "operation.name", "query.text", "response.status_code"))


def test_clients():
    with Scene() as scene:
        server = Server(scene)
        for name, (command, package) in CLIENTS.items():
            installed = subprocess.run(["dpkg-query", "-W", "-f=${Status}", *package.split()],
                                       capture_output=True).stdout.count(b"ok installed")
            if not shutil.which(command[0], path=PATH) or installed <= package.count(" "):
                skip(name, package + " is not installed")
                continue
            spans = watched(scene, server, command + [str(server.port)], name,
                            NODE_PATH="/usr/share/nodejs")
            if name in ("mysqli", "ODBC"):
                failed = ("select from nowhere", "1064") if name == "mysqli" else \
                    ("select nothing from t where n = ?", "1054")
                equal([told_failed(span) for span in spans if "db.operation.name" in span.attributes],
                      [("PREPARE", *failed)], name + ": a PREPARE that fails")
            if name == "mysqli":
                equal(rows_of(spans, "select s from t where n = ?"), 1, name + ": binary rows")
        with open(scene.path("lines"), "w") as file:
            file.write("90\tninety\n91\tninety-one\n")
        load = b"load data local infile 'lines' into table shop.t; select n from shop.t where n > 80;"
        spans = watched(scene, server, cli(server, "-h127.0.0.1", "-P%d" % server.port,
                                           "--local-infile=1"), "LOCAL INFILE", stdin=load)
        equal(rows_of(spans, "select n from shop.t where n > ?"), 2, "and what came with the file")


def service(port):
    """A program that asks the database for each request, many at a time."""
    return ["/usr/bin/python3", "-c", """
import sys, threading, http.server, pymysql
local = threading.local()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if not hasattr(local, "c"):
            local.c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[2]), user="app",
                                      password="correcthorse", database="shop")
        cursor = local.c.cursor()
        cursor.execute("select n, %s from t where n = 1", (self.path,))
        cursor.fetchall()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""", str(port)]


def test_parents():
    with Scene() as scene:
        server = Server(scene)
        server.ask("set global max_connections = 400")
        port = free_port()
        scene.start(service(port) + [str(server.port)], "shop", port=port)
        server.forget()
        load(port, 512, 64)
        spans = scene.wait_spans(1024)
        servers = {span.id: span for span in spans if span.kind == "SERVER"}
        calls = [span for span in of_server(spans) if "db.query.text" in span.attributes and
                 span.attributes["db.query.text"].startswith("select")]
        logged = [text for _, kind, text in server.log() if kind == "Query" and "select n" in text]
        equal((len(calls), len(logged)), (512, 512), "64 at a time: as many as the log has")
        equal(len({span.parent for span in calls if span.parent in servers}), 512,
              "each under a request of its own")


COMMENT = re.compile(r" /\*traceparent='00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}'"
                     r"(?:,tracestate='[^']*')?\*/")


def commented(scene, server, command, what, **more):
    """Each statement that the log has with a comment is the one of the span that this names.
    Answers those without."""
    before = len(scene.spans())
    server.forget()
    bare = scene.run(command, traced=False, **more)
    plain = [text for _, kind, text in server.log() if kind in ("Query", "Execute")]
    server.forget()
    done = scene.run(command, BURDOCK_SQLCOMMENTER="1", **more)
    said = [text for _, kind, text in server.log() if kind in ("Query", "Execute")]
    equal((done.returncode, done.stdout), (bare.returncode, bare.stdout), what + ": as bare")
    equal([COMMENT.sub("", text) for text in said], plain,
          what + ": the same statements, but for comments (%d)" % len(said))
    spans = of_server(scene.wait_spans(before + len(said))[before:])
    texts = {(span.trace, span.id): span.attributes["db.query.text"].rstrip("; ") for span in spans
             if "db.query.text" in span.attributes}
    pairs = [(text, COMMENT.search(text)) for text in said]
    equal([text for text, found in pairs
           if found and texts.get(found.groups()) != sanitized(COMMENT.sub("", text))], [],
          what + ": each comment names the span of its own statement (%d)"
          % len([found for _, found in pairs if found]))
    return [text for text, found in pairs if not found]


def test_comments():
    with Scene() as scene:
        server = Server(scene)
        tcp = cli(server, "-h127.0.0.1", "-P%d" % server.port)
        left = commented(scene, server, tcp, "mariadb", stdin=SCRIPT)
        equal(sorted(set(left)), ["show tables"], "mariadb: what has none")
        driver = "/usr/bin/python3"
        if subprocess.run([driver, "-c", "import pymysql"], capture_output=True).returncode != 0:
            return skip("PyMySQL", "not installed")
        left = commented(scene, server, [driver, "-c", QUERIES, str(server.port)], "PyMySQL")
        equal([text for text in left if text.startswith(("select", "update"))],
              ["select 'open -- no comment'"], "PyMySQL: what has none")


QUERIES = """
import sys, pymysql
at = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", password="correcthorse",
                     database="shop").cursor()
at.execute("select 'open -- no comment'")
for number in range(100):
    at.execute("select %s, %s, s from t where n = 1;", (number, "it's /" * (number % 60)))
    print(at.fetchall())
    at.execute("update t set s = %s where n = 1", ("x" * number,))
    print(at.rowcount)
"""

KILLED = """
import sys, pymysql
connect = lambda: pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app",
                                  password="correcthorse", database="shop")
a, b = connect(), connect()
b.kill(a.thread_id())
try:
    a.cursor().execute("select 1")
except Exception as error:
    print(type(error).__name__)
try:
    b.cursor().execute("kill connection_id()")
except Exception as error:
    print(type(error).__name__)
"""


def test_killed():
    with Scene() as scene:
        server = Server(scene)
        done = scene.run(["/usr/bin/python3", "-c", KILLED, str(server.port)])
        bare = scene.run(["/usr/bin/python3", "-c", KILLED, str(server.port)], traced=False)
        equal((done.returncode, done.stdout), (bare.returncode, bare.stdout), "as bare")
        spans = of_server(scene.wait_spans(2))
        told = {span.attributes.get("db.query.text"): span for span in spans}
        check("kill connection_id()" in told, "the statement that killed its connection", told)
        late = told.get("select ?")
        check(late is not None and late.status == "ERROR", "one that came too late", told)
        scene.stop(server.process)
        done = scene.run(cli(server, "-h127.0.0.1", "-P%d" % server.port), stdin=b"select 1")
        check(done.returncode != 0, "a server that is down")
        server.start()
        watched(scene, server, cli(server, "-h127.0.0.1", "-P%d" % server.port),
                "after a restart", stdin=SCRIPT)


if __name__ == "__main__":
    main(globals(), needs=["mariadbd", "mariadb", "mariadb-install-db"])
