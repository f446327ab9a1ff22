# SPDX-License-Identifier: Apache-2.0
"""The suites, one row each: what it needs, how a unit of it runs, how its output reads.

A unit runs in a directory of its own (`place.path`), with `place.source` read only, but for curl,
which only works in its own tree. A parser gives {name of a test: outcome}.
"""
import getpass
import os
import random
import re
import shutil
import socket
import sys
import xml.etree.ElementTree as xml
import zlib
from dataclasses import dataclass, field
from typing import Callable

PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Suite:
    name: str
    packages: tuple           # Debian packages
    units: dict               # name: arguments
    command: Callable         # (place, arguments, names of tests or ()): command line
    parse: Callable           # (place, output): results
    short: dict               # the units of ./check
    source: str = ""          # Debian source package; suites of one source share its tree
    build: tuple = ()         # commands, in the source's directory
    environment: dict = field(default_factory=dict)
    as_nobody: bool = False   # where root is refused
    can_choose: bool = False  # single tests can be run again
    limit: int = 900          # seconds for a unit, bare or traced


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def unique(pairs):
    """Results of tests whose names repeat: "name", "name (2)"..."""
    results, seen = {}, {}
    for name, outcome in pairs:
        seen[name] = seen.get(name, 0) + 1
        results[name if seen[name] == 1 else f"{name} ({seen[name]})"] = outcome
    return results


# --- CPython ---------------------------------------------------------------------------------

# Where the kernel has no VSOCK to loop back, these wait for ever, bare as well.
NOT_VSOCK = ["-i", "*VSOCK*", "-i", "*Vsock*"]


def cpython_command(place, arguments, only):
    chosen = [word for name in only for word in ("-m", name)]
    return [PYTHON, "-m", "test", "-u", "cpu,subprocess", *NOT_VSOCK, "--junit-xml", "report.xml",
            *(chosen or arguments[1:]), arguments[0]]


# So that the carrier is in its places before the first test (carriers/python/python.h).
AFTER_ACCEPT = """
import asyncio.events, concurrent.futures.thread, runpy, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()), server.accept()[0]:
        pass
del server, socket, asyncio, concurrent
runpy.run_module("test", run_name="__main__", alter_sys=True)"""


def cpython_carried_command(place, arguments, only):
    plain = cpython_command(place, arguments, only)
    return ["/usr/bin/env", "BURDOCK_CARRIERS=python", PYTHON, "-c", AFTER_ACCEPT, *plain[3:]]


def cpython_isolated_command(place, arguments, only):
    """Each loop on epoll gets its events one by one (runtime/isolation.h). Left out is what counts
    looks: that an event is there in the look after another's, or in one of the next ten."""
    env, _, *command = cpython_carried_command(place, arguments, only)
    return [env, "BURDOCK_CARRIERS=none", "BURDOCK_ISOLATION=always", *command,
            "-i", "*.EPollEventLoopTests.test_sendfile_close_peer_in_the_middle_of_receiving",
            "-i", "*.DefaultSelectorTestCase.test_selector",
            "-i", "*.EpollSelectorTestCase.test_selector"]


def cpython_parse(place, output):
    try:
        tree = xml.parse(os.path.join(place.path, "report.xml"))
    except (OSError, xml.ParseError):
        return {}
    def outcome(case):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        return kinds[0] if kinds else "ok"
    return unique((case.get("name"), outcome(case)) for case in tree.iter("testcase"))


CPYTHON_MODULES = [
    "test_socket", "test_httplib", "test_httpservers", "test_ssl", "test_asyncio",
    "test_subprocess", "test_threading", "test_signal", "test_posix", "test_os",
    "test_urllib2_localnet", "test_select", "test_selectors", "test_poll", "test_epoll",
    "test_fork1", "test_wait3", "test_wait4", "test_pty", "test_ftplib",
    "test_smtplib", "test_imaplib", "test_poplib", "test_telnetlib", "test_fileio", "test_io"]


CARRIED_MODULES = ["test_asyncio", "test_threading", "test_concurrent_futures", "test_context",
                   "test_subprocess", "test_thread", "test_socket", "test_inspect", "test_sys_settrace",
                   "test_coroutines", "test_queue", "test_contextlib_async"]


def cpython(name, modules, command=cpython_command, **more):
    return Suite(name, (f"libpython3.{sys.version_info.minor}-testsuite",),
                 {module: (module,) for module in modules}, command, cpython_parse,
                 can_choose=True, **more)


# --- hiredis ---------------------------------------------------------------------------------

HIREDIS = """
redis-server --bind 127.0.0.1 --port $1 --unixsocket $PWD/socket --save '' >/dev/null &
for _ in $(seq 100); do [ -S socket ] && break; sleep 0.1; done
$SOURCE/hiredis-test -h 127.0.0.1 -p $1 -s $PWD/socket
status=$?
kill $!; wait $!
exit $status"""


def hiredis_command(place, arguments, only):
    return ["sh", "-c", HIREDIS, "sh", free_port()]


def hiredis_parse(place, output):
    """Throughput is told between the tests, and differs."""
    found = re.findall(r"^#\d+ (.*?):? *\033\[0;3\dm(PASSED|FAILED|SKIPPED)", output, re.M)
    return unique((re.sub(r"\d+", "N", name), outcome) for name, outcome in found)


# --- Redis -----------------------------------------------------------------------------------

REDIS_BINARIES = ("server", "cli", "benchmark", "check-aof", "check-rdb", "sentinel")


def redis_command(place, arguments, only):
    tree = os.path.join(place.path, "redis")
    shutil.copytree(place.source, tree, symlinks=True)
    singles = [word for unit in arguments for word in ("--single", unit)]
    # It looks for free ports itself, from here on, and 10,000 above for its cluster's bus.
    base = str(random.randrange(12000, 20000, 500))
    return ["sh", "-c", 'cd "$1" && shift && exec ./runtest "$@"', "sh", tree, "--durable",
            "--clients", "1", "--portcount", "500", "--baseport", base, *singles]


def redis_parse(place, output):
    plain = re.sub(r"\033\[[0-9;]*m", "", output)
    found = re.findall(r"^\[(ok|err|skip|ignore|exception)\]: (.*?)(?: \(\d+ ms\)| in tests/\S+)?$",
                       plain, re.M)
    return unique((re.sub(r"\d{4,}", "N", name), outcome) for outcome, name in found)


# --- curl ------------------------------------------------------------------------------------

CURL_PACKAGES = ("dpkg-dev", "gcc", "libssl-dev", "make", "perl", "zlib1g-dev")
CURL_BUILD = ("./configure --quiet --with-openssl --disable-shared --disable-ldap "
              "--disable-manual --without-libpsl --without-brotli --without-zstd "
              "--without-nghttp2", "make -s -j2", "make -s -j2 -C tests")


# As the suite prints a line that is in the request and should not be.
TRACEPARENT = r"\+traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-03\[CR\]\[LF\]"


def curl_command(place, arguments, only):
    run = 'cd "$SOURCE/tests" && perl runtests.pl -a -n "$@" || echo "something failed"'
    return ["sh", "-c", run, "sh", *(only or arguments)]


def curl_parse(place, output):
    """Each test that runs begins with its number, and says OK or complains."""
    results = {}
    for number, text in re.findall(r"^test (\d{4})\.\.\.(.*?)(?=^test \d{4}|\Z)", output,
                                   re.M | re.S):
        holds = re.search(r"\bOK \(", text) or only_adds_context(text)
        results[number] = "ok" if holds else "failed"
    results.update(dict.fromkeys(re.findall(r"^test (\d{4}) SKIPPED", output, re.M), "skipped"))
    return results


def only_adds_context(text):
    """A complaint about the bytes of a request, whose difference is our line and nothing else."""
    changed = re.findall(r"^[-+](?!-- |\+\+ ).+", text, re.M)
    ours = [line for line in changed if re.fullmatch(TRACEPARENT, line)]
    return len(ours) == len(changed) > 0


# --- PostgreSQL ------------------------------------------------------------------------------

PG_BIN = "/usr/lib/postgresql/15/bin"
PG_LIB = "/usr/lib/postgresql/15/lib"
PG_TEST = f"{PG_LIB}/pgxs/src/test"
PG_REGRESS_SO = ("gcc -O1 -shared -fPIC -I$(pg_config --includedir-server) -o regress.so regress.c "
                 f"&& cp {PG_LIB}/autoinc.so {PG_LIB}/refint.so .")


def pg_regress(place, arguments, only):
    program, inputs, schedule, *more = arguments
    tree = os.path.join(place.path, "inputs")
    shutil.copytree(os.path.join(place.source, "src/test", inputs), tree)
    return [f"{PG_TEST}/{program}", "--temp-instance=instance", f"--bindir={PG_BIN}", "--no-locale",
            f"--inputdir={tree}", "--outputdir=.", f"--dlpath={tree}", "--max-concurrent-tests=20",
            f"--schedule={tree}/{schedule}", f"--port={free_port()}", *more]


def pg_regress_parse(place, output):
    """A failure is told by what was printed: where it fails bare, it has to fail alike."""
    results = dict(re.findall(r"^(?:test)? +(\S+) +\.\.\. (ok|FAILED|failed)", output, re.M))
    for name in [name for name, outcome in results.items() if outcome != "ok"]:
        path = os.path.join(place.path, "results", f"{name}.out")
        if os.path.exists(path):
            with open(path, "rb") as printed:
                results[name] += f" with output {zlib.crc32(printed.read()):08x}"
    return results


PGBENCH = f"""
set -e
PATH={PG_BIN}:$PATH
initdb -D data -A trust --no-locale >/dev/null
pg_ctl -D data -w -l log -o "-p $1 -k $PWD -c listen_addresses=127.0.0.1" start >/dev/null
trap 'pg_ctl -D data -w -m fast stop >/dev/null' EXIT
bench() {{
    name=$1; shift
    echo "begin $name"
    pgbench -p "$port" "$@" postgres || echo "status $?"
}}
port=$1
bench initialised -h 127.0.0.1 -i -q
for protocol in simple extended prepared; do
    bench $protocol -h 127.0.0.1 -M $protocol -c 4 -j 2 -t 200
    bench "$protocol, Unix socket, only reading" -h $PWD -M $protocol -S -c 8 -j 2 -t 500
done
bench "a connection for each transaction" -h 127.0.0.1 -C -S -c 4 -t 50
bench "pipeline" -h 127.0.0.1 -M extended -f pipeline.sql -c 4 -t 100
"""
PIPELINE = "\\startpipeline\n" + "SELECT abalance FROM pgbench_accounts WHERE aid = 7;\n" * 50 + \
    "\\endpipeline\n"


def pgbench_command(place, arguments, only):
    with open(os.path.join(place.path, "pipeline.sql"), "w") as script:
        script.write(PIPELINE)
    return ["sh", "-c", PGBENCH, "sh", free_port()]


def pgbench_parse(place, output):
    results = {}
    for name, text in re.findall(r"^begin (.*?)\n(.*?)(?=^begin |\Z)", output, re.M | re.S):
        done = re.search(r"actually processed: (\d+)/\1\n.*failed transactions: 0 |^done in ", text,
                         re.M | re.S)
        trouble = re.findall(r"status \d+|(?:error|fatal|warning):.*", text, re.I)
        results[name] = " ".join(["ok" if done else "failed", *trouble])
    return results


# --- Linux -----------------------------------------------------------------------------------

# The kernel's own tests of its system calls: those about calls that we hook, about processes and
# about signals that need no more than a compiler. Left out: af_unix/test_unix_oob, which waits for
# ever, bare as well.
LINUX_TESTS = """
core/close_range_test filesystems/epoll/epoll_wakeup_test seccomp/seccomp_bpf net/socket
net/reuseport_bpf net/reuseport_bpf_cpu net/reuseport_dualstack net/reuseport_addr_any
net/reuseaddr_conflict net/sk_bind_sendto_listen net/sk_connect_zero_addr net/tcp_inq
net/rxtimestamp net/udpgso net/psock_snd net/psock_fanout net/so_netns_cookie
net/tcp_fastopen_backup_key net/tun net/af_unix/unix_connect net/af_unix/diag_uid
pidfd/pidfd_test pidfd/pidfd_fdinfo_test pidfd/pidfd_getfd_test pidfd/pidfd_open_test
pidfd/pidfd_poll_test pidfd/pidfd_wait pidfd/pidfd_setns_test clone3/clone3
clone3/clone3_clear_sighand clone3/clone3_set_tid exec/null-argv sigaltstack/sas
syscall_user_dispatch/sud_test ptrace/get_syscall_info ptrace/peeksiginfo kcmp/kcmp_test
proc/fd-002-posix-eq proc/proc-self-syscall splice/default_file_splice_read
timers/posix_timers""".split()
LINUX_BUILD = f"""
tar xf /usr/src/linux-source-*.tar.xz --strip-components=1 --wildcards '*/tools/testing/selftests/*'
mkdir built
cd tools/testing/selftests
for test in {' '.join(LINUX_TESTS)}; do
    (cd $(dirname $test) && gcc -O1 -w -D_GNU_SOURCE= -I.. -o "$SOURCE/built/$(basename $test)" \\
        $(basename $test).c -lpthread -lcap) || echo "$test cannot be built"
done"""
# In a network of their own: some give addresses to the loopback device.
LINUX_RUN = """
ip link set lo up
for test; do
    echo "begin $test"
    timeout -s KILL 120 "$SOURCE/built/$test"
    status=$?; echo; echo "status $status"
done"""


def linux_command(place, arguments, only):
    return ["unshare", "--net", "sh", "-c", LINUX_RUN, "sh", *map(os.path.basename, LINUX_TESTS)]


def linux_parse(place, output):
    """Some speak TAP, with numbers of processes and descriptors; others end with a status only."""
    found = []
    for name, text, status in re.findall(r"^begin (\S+)\n(.*?)^status (\d+)$", output,
                                         re.M | re.S):
        found.append((name, "ok" if status == "0" else f"status {status}"))
        for outcome, case in re.findall(r"^(ok|not ok) \d+ (.*)", text, re.M):
            found.append((f"{name}: {re.sub('[0-9]+', 'N', case)}",
                          "skipped" if "# SKIP" in case else outcome))
    return unique(found)


# --- lighttpd --------------------------------------------------------------------------------

# In a network of its own: its servers have fixed ports. Before each result stands its file, and its
# number goes, since the order of some is that of a hash.
LIGHTTPD_RUN = r"""
ip link set lo up
cp -r "$SOURCE" tree && cd tree/tests
export srcdir=$PWD top_builddir=$PWD/..
./prepare.sh
for file in *.t; do
    perl -I. $file 2>&1 | sed -E "s/^(ok|not ok) [0-9]+ - /\1 $file: /"
done
for program in common configfile mod; do
    ../src/t/test_$program && echo "ok $program" || echo "not ok $program"
done"""


def lighttpd_command(place, arguments, only):
    return ["unshare", "--net", "sh", "-c", LIGHTTPD_RUN]


def tap_parse(place, output):
    return unique((name, outcome) for outcome, name in re.findall(r"^(ok|not ok) (.+)", output, re.M))


SUITES = [
    cpython("cpython", CPYTHON_MODULES, short={
        "test_subprocess": ("test_subprocess", "-m", "POSIXProcessTestCase"),
        "test_socket": ("test_socket", "-m", "*TCP*", "-m", "*Sendfile*", "-m", "*Unix*",
                        "-m", "UnbufferedFileObject*"),
        "test_httplib": ("test_httplib",)}),
    cpython("cpython-carried", CARRIED_MODULES, cpython_carried_command, short={
        "test_context": ("test_context",),
        "test_asyncio": ("test_asyncio", "-m", "*test_tasks*", "-m", "*test_events*")}),
    cpython("cpython-isolated", ["test_asyncio", "test_selectors", "test_socket", "test_httpservers",
                                 "test_ssl", "test_asyncore", "test_smtplib", "test_ftplib"],
            cpython_isolated_command, short={}, limit=1500),
    # It compares the headers that a server received; ours would be among them.
    cpython("cpython-headers", ["test_xmlrpc"], short={},
            environment={"OTEL_PROPAGATORS": "none"}),
    Suite("hiredis", ("dpkg-dev", "gcc", "make", "redis-server"), {"hiredis-test": ()},
          hiredis_command, hiredis_parse, short={"hiredis-test": ()}, source="hiredis",
          build=("make -s hiredis-test",)),
    Suite("redis", ("dpkg-dev", "redis-server", "tcl"),
          {"types": [f"unit/type/{name}" for name in ("string", "incr", "list", "list-2", "list-3",
                                                      "set", "zset", "hash", "stream",
                                                      "stream-cgroups")],
           "pubsub": ["unit/pubsub", "unit/pubsubshard"],
           "introspection": ["unit/introspection", "unit/introspection-2"],
           "connections": [f"unit/{name}" for name in (
               "auth", "acl", "protocol", "quit", "multi", "tracking", "networking", "limits",
               "obuf-limits", "querybuf", "pendingquerybuf", "pause", "shutdown", "scripting",
               "client-eviction", "replybufsize")],
           "processes": ["unit/aofrw", "unit/other", "integration/rdb", "integration/aof",
                         "integration/logging", "integration/redis-cli",
                         "integration/redis-benchmark", "integration/replication"]},
          redis_command, redis_parse, short={"pubsub": ["unit/pubsub"]}, source="redis",
          build=tuple(f"ln -sf /usr/bin/redis-{name} src/redis-{name}" for name in REDIS_BINARIES)),
    # Its servers compare every byte of a request, so once without ours, and once with.
    Suite("curl", CURL_PACKAGES, {"all": ()},
          curl_command, curl_parse, short={}, source="curl", can_choose=True, limit=2400,
          environment={"OTEL_PROPAGATORS": "none", "USER": getpass.getuser()},
          build=CURL_BUILD),
    Suite("curl-context", CURL_PACKAGES, {"http": ("HTTP",)}, curl_command, curl_parse, short={},
          source="curl", can_choose=True, limit=2400, environment={"USER": getpass.getuser()},
          build=CURL_BUILD),
    Suite("postgresql", ("dpkg-dev", "gcc", "postgresql-15", "postgresql-server-dev-15"),
          {"regress": ("regress/pg_regress", "regress", "parallel_schedule", "--host=127.0.0.1"),
           "isolation": ("isolation/pg_isolation_regress", "isolation", "isolation_schedule")},
          pg_regress, pg_regress_parse, short={}, source="postgresql-15", as_nobody=True,
          build=(f"cd src/test/regress && {PG_REGRESS_SO}",)),
    Suite("linux", ("gcc", "iproute2", "libcap-dev", "linux-source", "util-linux", "xz-utils"),
          {"system-calls": ()}, linux_command, linux_parse, short={}, build=(LINUX_BUILD,)),
    Suite("lighttpd", ("autoconf", "automake", "dpkg-dev", "gcc", "iproute2", "libpcre2-dev", "libssl-dev",
                       "libtool", "make", "perl", "pkg-config", "util-linux"),
          {"tests": ()}, lighttpd_command, tap_parse, short={}, source="lighttpd",
          build=("autoreconf -fi", "./configure --quiet --with-openssl --with-pcre2", "make -s -j2",
                 "make -s -C tests check TESTS=", "make -s -C src check TESTS=")),
    Suite("pgbench", ("postgresql-15",), {"pgbench": ()}, pgbench_command, pgbench_parse, short={},
          as_nobody=True),
]
