# SPDX-License-Identifier: Apache-2.0
"""Databases, caches and brokers. None speaks HTTP but where it says so: no span, no ring file."""
import base64
import os
import re
import shutil
import signal

from stage import as_user, free_port, harness, is_listening, main, part, wait_until

POSTGRES = "/usr/lib/postgresql/15/bin/"


@part(POSTGRES + "initdb", POSTGRES + "postgres", "psql", "pgbench", quick=True)
def postgresql(play):
    port, data, postgres = free_port(), play.path("data"), as_user("postgres")
    os.mkdir(data)
    os.chown(data, *os.stat("/var/lib/postgresql")[4:6])
    os.chmod(data, 0o700)
    play.command(*postgres, POSTGRES + "initdb", "-D", data, "-A", "trust", "-N", "--no-locale",
                 "-E", "UTF8", what="initdb")
    with open(data + "/postgresql.conf", "a") as file:
        file.write("port = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
                   "logging_collector = on\nlog_directory = 'log'\nlog_filename = 'log'\n"
                   "log_line_prefix = ''\nshared_buffers = 4MB\nfsync = off\nwork_mem = 1MB\n"
                   "autovacuum = off\ndynamic_shared_memory_type = mmap\n" % port)
    server = play.start([*postgres, POSTGRES + "postgres", "-D", data], port=port)
    client = [*postgres, "psql", "-h", "127.0.0.1", "-p", str(port), "-qAtX", "postgres", "-c"]

    def sql(text, what=None):
        return play.command(*client, text, what=what or text)
    play.until("it answers", lambda: play.run([*client, "select 1"]).returncode == 0)
    sql("create table t as select n, md5(n::text) from generate_series(1, 1000) n", "create")
    play.tell("a query", sql("select sum(n) from t"), "500500\n")
    play.tell("copy", sql("copy (select md5 from t order by n) to stdout", "copy out"))
    play.command(*client, "select 1/0", what="an error", wanted=1)
    bench = [*postgres, POSTGRES + "pgbench", "-h", "127.0.0.1", "-p", str(port)]
    play.command(*bench, "-iq", "postgres", what="pgbench -i")
    play.command(*bench, "-c", "4", "-t", "50", "-j", "2", "postgres", what="pgbench")
    play.tell_descriptors(but="DIR/data/")  # its writers open them when they like
    with open(data + "/postgresql.conf", "a") as file:
        file.write("work_mem = 2MB\n")
    server.send_signal(signal.SIGHUP)
    play.until("SIGHUP: the new configuration",
               lambda: play.run([*client, "show work_mem"]).stdout == b"2MB\n")
    play.rotate("data/log/log", lambda: sql("select pg_rotate_logfile()"),
                lambda: play.run([*client, "select 2/0"]))
    play.end(server, signal.SIGINT)
    play.tell_log("data/log/log.1", "division by zero", but="checkpoint|statistics")
    play.tell_log("data/log/log", "database system is shut down",
                  but="checkpoint|terminating connection")


@part("mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin")
def mariadb(play):
    port, data, run = free_port(), play.make("data", group="mysql"), play.make("run", group="mysql")
    play.command("mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir=" + data,
                 "--auth-root-authentication-method=normal", "--skip-test-db",
                 what="mariadb-install-db")
    server = play.start(["mariadbd", "--no-defaults", "--user=mysql", "--datadir=" + data,
                         "--bind-address=127.0.0.1", "--port=%d" % port, "--socket=" + run + "/s",
                         "--pid-file=" + run + "/pid", "--log-error=" + run + "/error.log",
                         "--general-log=1", "--general-log-file=" + run + "/general.log"], port=port)
    reach = ["--no-defaults", "-h", "127.0.0.1", "-P", str(port), "-u", "root"]

    def sql(text, what=None, wanted=0):
        return play.command("mariadb", *reach, "-N", "-e", text, what=what or text, wanted=wanted)
    sql("create database d; create table d.t (n int, word text)", "create")
    sql("insert into d.t values (1, 'one'), (2, 'two')")
    play.tell("a query", sql("select sum(n), group_concat(word order by n) from d.t"), "3\tone,two\n")
    sql("select * from d.absent", "an error", 1)
    play.command("mariadb", "--no-defaults", "-S", run + "/s", "-N", "-e", "select 5 * 5",
                 what="by its socket")
    play.rotate("run/general.log", lambda: sql("flush logs"),
                lambda: play.run(["mariadb", *reach, "-e", "select 'rotated'"]))
    server.send_signal(signal.SIGHUP)
    play.until("SIGHUP: tells its status", lambda: b"Status information" in play.stdout(server) +
               play.read("run/error.log"))
    play.tell("and serves", sql("select 1 + 1"), "2\n")
    play.end(server, signal.SIGTERM)


@part("redis-server", "redis-cli", "redis-benchmark", quick=True)
def redis(play):
    port, run = free_port(), play.make("run")
    config = play.write("redis.conf", "bind 127.0.0.1\nport %d\ndir %s\nlogfile %s/log\n"
                        "pidfile %s/pid\nappendonly yes\nsave ''\n" % (port, run, run, run))
    server = play.start(["redis-server", config], port=port)

    def cli(*words, stdin=b""):
        return play.command("redis-cli", "-p", str(port), *words, what=" ".join(words), stdin=stdin)
    play.tell("PING", cli("PING"), "PONG\n")
    cli("SET", "key", "value")
    play.tell("GET", cli("GET", "key"), "value\n")
    cli("EVAL", "return redis.call('get', KEYS[1])", "1", "key")
    cli("--pipe", stdin=b"".join(b"SET k%d v\r\n" % number for number in range(1000)))
    play.tell("DBSIZE", cli("DBSIZE"), "1001\n")
    play.run(["redis-benchmark", "-p", str(port), "-n", "2000", "-c", "20", "-t", "set,get,lpush"])

    def save(command, state):
        cli(command)
        play.until(command + " is done", lambda: state + ":0" in play.run(
            ["redis-cli", "-p", str(port), "info", "persistence"]).stdout.decode())
    save("BGREWRITEAOF", "aof_rewrite_in_progress")
    save("BGSAVE", "rdb_bgsave_in_progress")
    cli("CONFIG", "SET", "maxmemory", "100mb")
    cli("CONFIG", "REWRITE")
    play.tell_descriptors()
    play.rotate("run/log", lambda: save("BGSAVE", "rdb_bgsave_in_progress"),
                lambda: None)  # it opens the log for each line
    play.end(server, signal.SIGTERM)
    play.tell_log("run/log.1", "Background saving terminated with success", but="RDB|COW|Current|MB")
    play.tell_log("run/log", "bye bye", but="RDB|COW|Current|MB")


RABBIT = "/usr/lib/rabbitmq/bin/"


@part(RABBIT + "rabbitmq-server", "epmd")
def rabbitmq(play):
    """Erlang, asked over its HTTP interface; its name server is a daemon of its own."""
    port, web, names, run = free_port(), free_port(), free_port(), play.make("run")
    play.environment.update(
        RABBITMQ_NODENAME="burdock@localhost", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
        RABBITMQ_NODE_PORT=str(port), RABBITMQ_DIST_PORT=str(free_port()), RABBITMQ_MNESIA_BASE=run,
        RABBITMQ_LOG_BASE=run, RABBITMQ_CONF_ENV_FILE="/dev/null", RABBITMQ_PID_FILE=run + "/pid",
        RABBITMQ_CONFIG_FILE=play.write("rabbitmq.conf", "management.tcp.ip = 127.0.0.1\n"
                                        "management.tcp.port = %d\nlog.file.level = info\n" % web),
        RABBITMQ_ENABLED_PLUGINS_FILE=play.write("plugins", "[rabbitmq_management].\n"),
        ERL_EPMD_PORT=str(names), ERL_EPMD_ADDRESS="127.0.0.1",
        ERL_INETRC=play.write("inetrc", '{host, {127,0,0,1}, ["localhost"]}.\n'))
    server = play.start([RABBIT + "rabbitmq-server"])
    play.until("it listens", lambda: is_listening(web) and is_listening(port), 60)

    def ask(method, path, body, wanted):
        headers = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(),
                   "Content-Type": "application/json"}
        play.expect(web, "/api/" + path, wanted, method=method, body=body, headers=headers)
    ask("PUT", "queues/%2f/q", b'{"durable": true}', (201, ""))
    ask("POST", "exchanges/%2f/amq.default/publish", b'{"properties": {}, "routing_key": "q", '
        b'"payload": "word", "payload_encoding": "string"}', (200, '{"routed":true}'))
    got = '[{"payload_bytes":N,"redelivered":false,"exchange":"","routing_key":"q",' \
        '"message_count":N,"properties":[],"payload":"word","payload_encoding":"string"}]'
    ask("POST", "queues/%2f/q/get", b'{"count": 1, "ackmode": "ack_requeue_false", '
        b'"encoding": "auto"}', (200, got))

    def control(*words):
        play.command(RABBIT + "rabbitmqctl", "-q", *words, what=words[0])
    control("list_queues", "name", "messages")
    control("shutdown")
    play.tell("its exit status", wait_until(lambda: server.poll() is not None, 30) and
              server.returncode, 0)
    play.command("epmd", "-kill", what="the name server ends")
    play.ended(server, "shutdown")
    shutil.rmtree(run)  # its journals' names are chance


def talk(port, words, end):
    return harness.raw(port, words, until=lambda got: got.endswith(end))


@part("memcached")
def memcached(play):
    port = free_port()
    server = play.start(["memcached", "-u", "memcache", "-l", "127.0.0.1", "-p", str(port), "-U", "0",
                         "-v"], port=port)
    play.tell("set", talk(port, b"set a 0 0 3\r\none\r\n", b"STORED\r\n"), b"STORED\r\n")
    play.tell("get", talk(port, b"get a\r\n", b"END\r\n"), b"VALUE a 0 3\r\none\r\nEND\r\n")
    play.tell_lines("stats", talk(port, b"stats settings\r\n", b"END\r\n"), "STAT tcpport")
    play.tell_descriptors()
    play.end(server, signal.SIGTERM)


@part("mosquitto", "mosquitto_pub", "mosquitto_sub")
def mosquitto(play):
    port, run = free_port(), play.make("run", group="mosquitto")

    def configure(anonymous):
        return play.write("mosquitto.conf", "listener %d 127.0.0.1\nallow_anonymous %s\n"
                          "persistence true\npersistence_location %s/\nlog_dest file %s/log\n"
                          "log_timestamp false\nuser mosquitto\npid_file %s/pid\n" %
                          (port, anonymous, run, run, run))
    server = play.start(["mosquitto", "-c", configure("true")], port=port)
    reach = ["-h", "127.0.0.1", "-p", str(port), "-t", "topic"]

    def publish(what, wanted=0):
        play.command("mosquitto_pub", *reach, "-q", "1", "-r", "-m", "word", what=what, wanted=wanted)
    publish("mosquitto_pub")
    got = play.command("mosquitto_sub", *reach, "-C", "1", "-W", "10", what="mosquitto_sub")
    play.tell("the message", got, "word\n")
    play.tell_descriptors()
    configure("false")
    play.rotate("run/log", lambda: server.send_signal(signal.SIGHUP),
                lambda: wait_until(lambda: play.run(["mosquitto_pub", *reach, "-m", "x"]).returncode))
    publish("SIGHUP: refuses whom it does not know", 5)
    play.end(server, signal.SIGTERM)
    play.tell_log("run/log.1", "New connection from", but="[Cc]lient")


@part("nats-server")
def nats(play):
    """A Go program: the library is loaded and sees nothing, so its HTTP makes no spans."""
    port, web, run = free_port(), free_port(), play.make("run")

    def configure(size):
        return play.write("nats.conf", 'host: 127.0.0.1\nport: %d\nhttp: "127.0.0.1:%d"\n'
                          'log_file: "%s/log"\nlogtime: false\nmax_payload: %d\n' %
                          (port, web, run, size))
    server = play.start(["nats-server", "-c", configure(100000), "-P", run + "/pid"], port=port)

    def info():
        return re.search(rb'"max_payload":(\d+)', harness.raw(port, b"", until=len)).group(1)
    got = harness.raw(port, b"CONNECT {}\r\nSUB t 1\r\nPUB t 4\r\nword\r\nPING\r\n",
                      until=lambda got: got.endswith(b"PONG\r\n"))
    play.tell("publish and subscribe", got.partition(b"\r\n")[2].count(b"MSG t 1 4\r\nword\r\n"), 1)
    play.tell("its monitor", harness.get(web, "/healthz")[::2], (200, b'{"status":"ok"}'))
    configure(200000)
    server.send_signal(signal.SIGHUP)
    play.until("SIGHUP: the new configuration", lambda: info() == b"200000")
    play.rotate("run/log", lambda: server.send_signal(signal.SIGUSR1),
                lambda: harness.raw(port, b"NONSENSE\r\n"))
    play.end(server, signal.SIGTERM, 1)
    play.tell_log("run/log.1", "Reloaded", but="Connection|ID:|Name:")


if __name__ == "__main__":
    main()
