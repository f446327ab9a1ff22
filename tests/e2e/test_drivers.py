# SPDX-License-Identifier: Apache-2.0
"""Every driver of a database that could be had, against the real server: a span for each statement
that the server logged, in text, count and order; and as a service of 64 requests at a time, each
statement under the request that made it. A statement has its request's number in a name (r17_a).

test_drivers.py [postgresql|mysql|redis] plays a part; DRIVERS="psql;Ruby pg" in the environment only
those rows; DRIVERS_LONG=1 all of them, over TLS too."""
import collections
import dataclasses
import glob
import os
import re
import shutil
import subprocess

import test_mysql as mysql
import test_postgresql as postgresql
import test_redis as redis
from harness import APPS, BUILD, PATH, PYTHON, Scene, check, equal, free_port, load, main, skip, wait_until

HERE = os.path.join(APPS, "drivers")
CONCURRENCY = 64
IS_LONG = bool(os.environ.get("DRIVERS_LONG"))
REQUESTS = 640 if IS_LONG else 128


# --- the servers, and their logs -------------------------------------------------------------------


def certify(scene):
    """A key and a certificate that the servers may read."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", scene.path("key.pem"), "-out", scene.path("cert.pem"), "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return scene.path("key.pem"), scene.path("cert.pem")


def owned(path, user):
    if os.geteuid() == 0:
        shutil.chown(path, user)
    os.chmod(path, 0o600)
    return path


class Postgresql:
    """Its log, in the order of which statements end if one connection makes them."""
    def demand(self, how):
        """The drivers do (sslmode=require)."""

    def __init__(self, scene):
        key, certificate = certify(scene)
        self.server = postgresql.Server(
            scene, "ssl = on", "ssl_cert_file = '%s'" % certificate,
            "ssl_key_file = '%s'" % owned(key, "postgres"), "max_pred_locks_per_transaction = 64")
        self.port = self.tls_port = self.server.port

    def begin(self):
        self.start = self.server.mark()

    def end(self):
        said = self.server.said(self.start, self.server.mark())
        return [(postgresql.shown(text), code) for text, code in said]

    def told(self, spans):
        return [tuple(pair) for pair in postgresql.told(spans)]


class Mysql:
    def __init__(self, scene):
        key, certificate = certify(scene)
        self.server = mysql.Server(scene, "--ssl-cert=" + certificate,
                                   "--ssl-key=" + owned(key, "mysql"))
        self.port = self.tls_port = self.server.port

    def demand(self, how):
        """Some drivers would go on in plaintext."""
        self.server.ask("set global require_secure_transport = %d" % (how == "tls"))

    def begin(self):
        self.server.forget()

    def end(self):
        # The log goes without white space at the end.
        return [mysql.sanitized(text) for _, kind, text in self.server.log()
                if kind in ("Query", "Execute")]

    def told(self, spans):
        return [span.attributes.get("db.query.text", "").rstrip() for span in spans
                if "db.operation.name" not in span.attributes]


class Redis:
    def demand(self, how):
        """A port of its own."""

    def __init__(self, scene):
        key, certificate = certify(scene)
        self.tls_port = free_port()
        self.server = redis.Redis(scene, "--tls-port", str(self.tls_port), "--tls-cert-file",
                                  certificate, "--tls-key-file", key, "--tls-ca-cert-file",
                                  certificate, "--tls-auth-clients", "no")
        self.port = self.server.port

    def begin(self):
        self.server.ask("FLUSHALL")
        self.monitor = self.server.monitor()

    def end(self):
        return [(database, redis.shown(words)) for database, words in self.monitor.stop()
                if words[0].lower() not in redis.UNSEEN]

    def told(self, spans):
        return redis.told(spans)


# --- what is asked of a row ------------------------------------------------------------------------


def of_database(scene):
    """As they ended: each thread tells its own in order."""
    return sorted((span for span in redis.in_order(scene) if "db.system.name" in span.attributes),
                  key=lambda span: span.end)


def forget(scene):
    """What was told so far; nobody is at work."""
    for path in glob.glob(scene.store + "/*.otlp"):
        os.unlink(path)


def wait_told(scene, database, count):
    """All spans of statements, once as many are told as wanted."""
    wait_until(lambda: len(database.told(of_database(scene))) >= count, 10, 0.1)
    return of_database(scene)


def compare(told, said, ordered, what):
    if not ordered:
        told, said = sorted(told, key=repr), sorted(said, key=repr)
    first = next((i for i, pair in enumerate(zip(told, said)) if pair[0] != pair[1]),
                 min(len(told), len(said)))
    return check(told == said and said, "%s: %d statements, a span each%s"
                 % (what, len(said), ", in order" if ordered else ""),
                 "%d spans, %d in the log; from the first that differs\ntold %r\nsaid %r"
                 % (len(told), len(said), told[first:first + 3], said[first:first + 3]))


def plays(scene, database, what, command, row, is_seen):
    """All that a driver can do, once."""
    forget(scene)
    database.begin()
    done = scene.run(command, timeout=120, **row.environment)
    said = database.end()
    check(done.returncode == 0, what + ": runs",
          (done.stdout[-500:] + done.stderr[-1500:]).decode("latin-1"))
    told = database.told(wait_told(scene, database, len(said) if is_seen else 0))
    if not is_seen:
        return check(told == [] and said, "%s: %d statements, which are not seen" % (what, len(said)),
                     told[:3])
    return compare(told, said, row.ordered, what)


def judge(spans, requests):
    """How many statements are under the request whose number they have."""
    found = collections.Counter()
    for span in spans:
        number = re.search(r"\br(\d+)_[a-z]\b", span.attributes.get("db.query.text", ""))
        if number:
            found["right" if requests.get(span.parent) == number.group(1)
                  else "none" if not span.parent else "wrong"] += 1
    return found


def serves(scene, database, what, command, row, carrier, **environment):
    """64 requests at a time."""
    forget(scene)
    database.begin()
    port = free_port()
    process = scene.start(command + [str(port)], "web", port=port, **row.environment,
                          **environment, BURDOCK_CARRIERS=carrier or "none")
    what += ", served" + (", %s's tasks carried" % carrier if carrier else "") + \
        "".join(", in a " + where for where in environment.values())
    failures = load(port, REQUESTS, CONCURRENCY)
    check(not failures, what + ": requests are answered",
          "%r\n%r" % (failures[:2], scene.stderr(process)[-1500:]))
    said = database.end()
    spans = wait_told(scene, database, len(said))
    compare(database.told(spans), said, False, what)
    requests = {span.id: span.attributes["url.path"].rsplit("/", 1)[1]
                for span in scene.wait_spans(0) if span.kind == "SERVER"}
    found = judge(spans, requests)
    total = sum(found.values())
    processes = 2 if "cluster" in environment.values() else 1  # each has its trial
    roots_allowed = total if row.is_loop and not carrier else row.roots * processes
    check(not found["wrong"] and found["none"] <= roots_allowed and total == 3 * REQUESTS,
          "%s: of %d statements %d are under their request, %d under none, %d under another's"
          % (what, total, found["right"], found["none"], found["wrong"]))
    scene.stop(process)


# --- the rows --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    command: list                # and the port, and how; as a service, its port
    has: list                    # a command that succeeds where the driver is there
    hows: tuple = ("plain", "tls")
    unseen: tuple = ()           # of hows: their statements are not seen
    environment: dict = dataclasses.field(default_factory=dict)
    ordered: bool = True         # one connection at a time
    serves: bool = True
    is_loop: bool = False        # many requests in one thread: without a carrier they may be roots
    carrier: str = None
    roots: int = 0               # statements that its carrier may leave without a parent
    within: tuple = ()           # what else the service runs in
    is_long: bool = False        # too slow, or too rare, for every day


def python(name, module=None, is_loop=False, interpreter=PYTHON, **more):
    return Row([interpreter, HERE + "/driver.py", name], is_loop=is_loop,
               has=[interpreter, "-c", "import " + (module or name)],
               carrier="python" if is_loop else None, **more)


def wheel(name, module=None, **more):
    """With libpq and OpenSSL of its own inside."""
    return python(name, module, interpreter=BUILD + "/wheels/bin/python", is_long=True, **more)


def c(name, **more):
    program = os.path.join(BUILD, "tests/e2e/driver_" + name)
    return Row([program], has=["test", "-x", program], **more)


def cli(name, **more):
    return Row(["sh", HERE + "/cli.sh", name], has=["which", name], serves=False, **more)


def ruby(name, **more):
    return Row(["ruby", HERE + "/driver.rb", name], has=["ruby", "-r" + name, "-e", "1"], **more)


def perl(name, module, **more):
    return Row(["perl", HERE + "/driver.pl", name],
               has=["perl", "-MDBI", "-M" + module, "-e", "1"], **more)


def php(name, **more):
    has = "exit(extension_loaded('%s') ? 0 : 1);" % name
    if name == "predis":
        has = "require 'Predis/Autoloader.php';"
    return Row(["php", HERE + "/driver.php", name], has=["php", "-r", has], **more)


NODE_MODULES = ["/usr/share/nodejs", BUILD + "/node/node_modules"]


TRIAL = 3 * 64  # before these, where others wait, Node's carrier is not believed: attribution.c


def node(name, paths=NODE_MODULES, is_long=True, roots=TRIAL, **more):
    """Its TLS is its own."""
    return Row(["node", HERE + "/driver.cjs", name], has=["node", "-e", "require('%s')" % name],
               environment={"NODE_PATH": ":".join(paths)}, unseen=("tls",), is_loop=True,
               is_long=is_long, carrier="node", roots=roots,
               within=("worker", "cluster"), **more)


CLASSES = os.path.join(BUILD, "java")
JARS = ["/usr/share/java/postgresql.jar", "/usr/share/java/mariadb-java-client.jar",
        *glob.glob(CLASSES + "/*.jar")]


def java(name, has, **more):
    """So is its TLS. The class is made once: the launcher of sources would do so for each run."""
    compile_it = "javac -d %s %s/Driver.java && javap -cp %s %s" % (
        CLASSES, HERE, ":".join(JARS), has)
    return Row(["java", "-cp", ":".join([CLASSES, *JARS]), "Driver", name],
               has=["sh", "-c", compile_it], unseen=("tls",), is_long=True, **more)


ALL = ("plain", "tls", "compressed")
ROWS = {
    "postgresql": {
        "psql": cli("psql"),
        "pgbench": cli("pgbench", ordered=False),
        "libpq": c("pq"),
        "psycopg2": python("psycopg2"),
        "psycopg2, its wheel": wheel("psycopg2"),
        "psycopg": python("psycopg"),
        "psycopg, its wheel": wheel("psycopg"),
        "psycopg, async": python("psycopg_async", "psycopg", is_loop=True),
        "asyncpg": python("asyncpg", is_loop=True),
        "asyncpg, its wheel": wheel("asyncpg", is_loop=True),
        "Ruby pg": ruby("pg"),
        "Perl DBD::Pg": perl("Pg", "DBD::Pg"),
        "PHP pgsql": php("pgsql"),
        "PHP pdo_pgsql": php("pdo_pgsql"),
        "node-postgres": node("pg"),
        "JDBC": java("postgresql", "org.postgresql.Driver"),
    },
    "mysql": {
        "mariadb": cli("mariadb", hows=ALL, unseen=("compressed",)),
        "libmariadb, not blocking": c("mariadb", hows=ALL, unseen=("compressed",)),
        "PyMySQL": python("pymysql"),
        "mysqlclient": python("MySQLdb", hows=ALL, unseen=("compressed",)),
        "Ruby mysql2": ruby("mysql2"),
        "Perl DBD::mysql": perl("mysql", "DBD::mysql", hows=ALL, unseen=("compressed",)),
        "Perl DBD::MariaDB": perl("MariaDB", "DBD::MariaDB", hows=ALL, unseen=("compressed",)),
        "PHP mysqli": php("mysqli", hows=ALL, unseen=("compressed",)),
        "PHP pdo_mysql": php("pdo_mysql"),
        "Node mysql": node("mysql", is_long=False),
        "Node mysql2": node("mysql2"),
        "Node mariadb": node("mariadb", roots=3 * REQUESTS),  # the carrier has no row for it
        "JDBC": java("mariadb", "org.mariadb.jdbc.Driver"),
    },
    "redis": {
        "redis-cli": cli("redis-cli"),
        "redis-benchmark -P 16": cli("redis-benchmark", ordered=False),
        "hiredis": c("hiredis", hows=("plain",)),
        "redis-py": python("redis"),
        "redis-py, async": python("redis_async", "redis.asyncio", is_loop=True),
        "Ruby redis": ruby("redis"),
        "Perl Redis": perl("Redis", "Redis"),
        "PHP phpredis": php("redis"),
        "PHP predis": php("predis"),
        "node-redis 4": node("redis", is_long=False),
        "node-redis": node("redis", NODE_MODULES[::-1]),
        "ioredis": node("ioredis"),
        "Jedis": java("jedis", "redis.clients.jedis.Jedis", hows=("plain",)),
    },
}


def play_row(scene, database, name, row):
    if subprocess.run(row.has, env={"PATH": PATH, **row.environment},
                      capture_output=True).returncode != 0:
        return skip(name, "not installed")
    for how in row.hows:
        port = database.tls_port if how == "tls" else database.port
        database.demand(how)
        command, is_seen = row.command + [str(port), how], how not in row.unseen
        what = name + {"plain": "", "tls": " over TLS", "compressed": " compressed"}[how]
        plays(scene, database, what, command, row, is_seen)
        if row.serves and is_seen and (IS_LONG or how == "plain"):
            for carrier in {None, row.carrier}:
                serves(scene, database, what, command, row, carrier)
            for where in row.within:
                serves(scene, database, what, command, row, row.carrier, DRIVER_IN=where)


def play_rows(system, server):
    wanted = os.environ.get("DRIVERS")
    with Scene() as scene:
        scene.environment["TLS_CA"] = scene.path("cert.pem")
        database = server(scene)
        for name, row in ROWS[system].items():
            if name in wanted.split(";") if wanted else row.is_long <= IS_LONG:
                play_row(scene, database, name, row)


def test_postgresql():
    play_rows("postgresql", Postgresql)


def test_mysql():
    play_rows("mysql", Mysql)


def test_redis():
    play_rows("redis", Redis)


if __name__ == "__main__":
    main(globals())
